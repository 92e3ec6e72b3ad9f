"""A toy multiply-accumulate unit: six parameters, closed formulas, a known optimum.

It serves the tests, and it is the shortest example of what a simulator is: a parameter space, the
metrics with their units and bounds, and a class that turns a design into an evaluation. The
formulas have the shape of real trade-offs (deeper pipelines are faster and stall more, a higher
voltage is faster and hotter), not the numbers of a real chip.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from archgym_py.simulator import Evaluation, Metric
from archgym_py.space import (
    Choice,
    Constraint,
    Design,
    Integer,
    Ordinal,
    ParameterSpace,
    Real,
    Value,
)

__all__ = ["TOY_SPACE", "ToySimulator"]

OPERATIONS = 4096
"""Multiply-accumulate operations of the one workload."""

MAX_REGISTERS = 64
"""Pipeline registers that fit: one for each lane and stage."""

_UNITS: Mapping[str, tuple[float, float]] = {
    "scalar": (1.0, 0.03),
    "vector": (2.0, 0.04),
    "systolic": (4.0, 0.18),
}
"""Operations per lane and cycle, and stall cycles per operation and pipeline stage."""

_MISS_RATE: Mapping[str, float] = {"none": 1.0, "single": 0.5, "double": 0.35}
"""Share of the operands that come from memory when the buffer is small."""


def _registers_fit(design: Mapping[str, Value]) -> bool:
    return cast(int, design["lanes"]) * cast(int, design["stages"]) <= MAX_REGISTERS


TOY_SPACE = ParameterSpace(
    (
        Choice("unit", tuple(_UNITS), doc="organisation of the lanes"),
        Ordinal("lanes", (1, 2, 4, 8, 16, 32), default=4, doc="units side by side"),
        Integer("stages", 1, 12, default=2, doc="pipeline depth"),
        Real("voltage_v", 0.75, 1.25, levels=9, default=0.875, doc="supply voltage", unit="V"),
        Choice("buffer", tuple(_MISS_RATE), doc="operand buffer; double hides memory behind work"),
        Ordinal(
            "buffer_kib",
            (4, 8, 16, 32, 64, 128),
            doc="size of each operand buffer",
            unit="KiB",
            active_when={"buffer": ("single", "double")},
        ),
    ),
    (Constraint("registers", f"lanes * stages must not exceed {MAX_REGISTERS}", _registers_fit),),
)
"""All toy designs: 34,992 points, of which 17,550 are feasible and differ in behaviour."""


class ToySimulator:
    """Cost and delay of a small multiply-accumulate unit.

    Attributes:
        optimum: The design with the lowest cost times delay of all.

    Examples:
        >>> toy = ToySimulator()
        >>> evaluation = toy.evaluate(toy.optimum, seed=0)
        >>> {name: round(value, 3) for name, value in evaluation.metrics.items()}
        {'cost_usd': 31.346, 'delay_ns': 340.533}
    """

    name: ClassVar[str] = "toy"
    version: ClassVar[str] = "1"
    deterministic: ClassVar[bool] = True
    problem: ClassVar[Mapping[str, Any]] = {}  # the one workload is part of the formulas
    descriptors: ClassVar[Mapping[str, float]] = {}
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("cost_usd", "USD", 5.0, 100.0, "price of a chip with its cooling"),
        Metric("delay_ns", "ns", 100.0, 1e5, "time for the whole workload"),
    )
    optimum: ClassVar[Mapping[str, Value]] = {
        "unit": "vector",
        "lanes": 16,
        "stages": 4,
        "voltage_v": 1.0,
        "buffer": "double",
        "buffer_kib": 64,
    }

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        """Evaluate one design.

        Args:
            design: A design of `TOY_SPACE`.
            seed: Not used: equal designs always have equal metrics.

        Returns:
            The cost in US dollars and the delay in nanoseconds.
        """
        lanes, stages = cast(int, design["lanes"]), cast(int, design["stages"])
        voltage_v = cast(float, design["voltage_v"])
        buffer, kib = cast(str, design["buffer"]), cast(int, design["buffer_kib"])
        width, stall = _UNITS[cast(str, design["unit"])]
        copies = {"none": 0, "single": 1, "double": 2}[buffer]

        period_ns = (6.0 / stages + 0.3) * 0.65 / (voltage_v - 0.35)
        compute_ns = period_ns * (1.0 + OPERATIONS * (1.0 + stall * stages) / (lanes * width))
        memory_ns = OPERATIONS * _MISS_RATE[buffer] / (1.0 + min(copies, 1) * kib / 16.0)
        if buffer == "double":
            short_ns, long_ns = sorted((compute_ns, memory_ns))
            delay_ns = long_ns + 0.2 * short_ns
        else:
            delay_ns = compute_ns + memory_ns

        area_mm2 = 0.4 + 0.05 * lanes * width**0.8 * (1.0 + 0.08 * stages) + 0.04 * copies * kib
        power_w = area_mm2 * voltage_v**2 / period_ns
        cost_usd = 6.0 + 3.0 * area_mm2 + 0.8 * power_w
        return Evaluation({"cost_usd": cost_usd, "delay_ns": delay_ns})

    def close(self) -> None:
        """Do nothing: the simulator holds no resources."""
