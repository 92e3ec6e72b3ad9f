"""What a simulator is: a design goes in, an `Evaluation` of physical metrics comes out.

Anything with the attributes and methods of `Simulator` is one; there is nothing to inherit.
Only `Evaluator` calls a simulator.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from archgym_py.design import Design
from archgym_py.errors import ConfigError
from archgym_py.explanation import Explanation

__all__ = [
    "PROXY",
    "SIMULATED",
    "BatchSimulator",
    "Described",
    "Evaluation",
    "Explainable",
    "Metric",
    "Simulator",
    "StandIn",
    "Status",
    "reference_of",
]

SIMULATED = "simulator"
"""Fidelity of metrics that a simulator computed."""

PROXY = "proxy"
"""Fidelity of metrics that a fitted model predicted in the simulator's place."""


class Status(StrEnum):
    """How the evaluation of a design ended.

    Examples:
        >>> Status("ok") is Status.OK
        True
    """

    OK = "ok"
    INFEASIBLE = "infeasible"
    TIMEOUT = "timeout"
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True)
class Metric:
    """A quantity that a simulator reports, with its unit and its physical bounds.

    Attributes:
        name: Name of the metric, with its unit as a suffix where it has one ("energy_pj").
        unit: Unit of the values; "1" for counts and ratios.
        low: Smallest value that a feasible design can have, in `unit`.
        high: Largest value that a feasible design can have, in `unit`.
        doc: One line that says what is measured.

    Raises:
        ConfigError: If the bounds are not finite or `low` is not below `high`.

    Examples:
        >>> Metric("energy_pj", "pJ", 1.0, 1e12, "energy of the whole trace").unit
        'pJ'
    """

    name: str
    unit: str
    low: float
    high: float
    doc: str = ""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ConfigError(
                f"metric {self.name!r}: bounds must be finite with low < high, got "
                f"[{self.low}, {self.high}]. Give the physical limits of a feasible design."
            )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a simulator says about one design.

    Attributes:
        metrics: Value of every metric of the simulator, by name; empty unless `status` is OK.
        status: How the evaluation ended.
        message: Why, where `status` is not OK.
        wall_s: Time that the simulator spent on this design, in seconds; 0 where it did not
            measure it.
        fidelity: Where the metrics come from: `SIMULATED` or `PROXY`.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    status: Status = Status.OK
    message: str = ""
    wall_s: float = 0.0
    fidelity: str = SIMULATED


class Simulator(Protocol):
    """A model that evaluates one design at a time.

    A design that cannot be evaluated is reported by raising
    `InfeasibleDesign`,
    `SimulatorTimeout` or another
    `SimulatorError`, or by returning an evaluation whose
    status is not OK.
    """

    @property
    def name(self) -> str:
        """Name under which results are recorded."""
        ...

    @property
    def version(self) -> str:
        """Version of the model; it changes whenever the metrics of a design change."""
        ...

    @property
    def deterministic(self) -> bool:
        """Whether equal designs always have equal evaluations.

        Only such evaluations are cached, and their seed is always 0.
        """
        ...

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What is reported, in a fixed order."""
        ...

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        """Evaluate one complete design of the space the simulator was made for.

        Args:
            design: The design; the simulator does not change it.
            seed: The only source of randomness that a stochastic simulator may use.

        Returns:
            The metrics, or a status that says why there are none.

        Raises:
            SimulatorError: If the design cannot be evaluated.
        """
        ...

    def close(self) -> None:
        """Release what the simulator holds; calling it again does nothing."""
        ...


@runtime_checkable
class BatchSimulator(Simulator, Protocol):
    """A simulator that evaluates many designs at once, faster than one by one."""

    def evaluate_batch(
        self, designs: Sequence[Design], *, seeds: Sequence[int]
    ) -> list[Evaluation]:
        """Evaluate designs; equal to `Simulator.evaluate` on each of them.

        Args:
            designs: The designs.
            seeds: One seed for each design.

        Returns:
            One evaluation for each design, in order. A design that cannot be evaluated has an
            evaluation whose status is not OK: one bad design never fails the others.
        """
        ...


@runtime_checkable
class Explainable(Simulator, Protocol):
    """A simulator that can say where the metrics of a design come from."""

    def explain(self, design: Design) -> Explanation:
        """Return what a design does, in parts that add up to its metrics.

        Args:
            design: A complete design of the space the simulator was made for.

        Raises:
            SimulatorError: If the design cannot be evaluated.
        """
        ...


@runtime_checkable
class StandIn(Simulator, Protocol):
    """A simulator that stands in for another one."""

    @property
    def reference(self) -> Simulator:
        """The other one, against whose default design rewards measure improvements."""
        ...


def reference_of(simulator: Simulator) -> Simulator:
    """Return the simulator that one stands in for; itself where it does not."""
    return simulator.reference if isinstance(simulator, StandIn) else simulator


@runtime_checkable
class Described(Simulator, Protocol):
    """A simulator that says which problem it poses, so that a model can tell problems apart.

    A simulator without these attributes poses one problem only.
    """

    @property
    def problem(self) -> Mapping[str, Any]:
        """All that the metrics of a design depend on besides the design, as plain data.

        With equal problems, equal designs have equal metrics. What is large, such as a trace, is
        there by a digest of its content; a file's name is no content.
        """
        ...

    @property
    def descriptors(self) -> Mapping[str, float]:
        """Numbers that describe the workload to a model, finite, found without simulating.

        Every instance of a class has the same names, in the same order.
        """
        ...
