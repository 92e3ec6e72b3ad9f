"""A real tool behind an environment, in the place of the simulator that comes with the library.

An adapter is one class and one line of the registry `BACKENDS`. It writes a design as a
configuration of its tool, calls the tool and reads the metrics that it reports, under the names and
in the units of the simulator that it takes the place of.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

from archgym_py.checks import number
from archgym_py.design import Design
from archgym_py.errors import ConfigError
from archgym_py.simulator import Described, Evaluation, Metric, Simulator
from archgym_py.simulators.process import MAX_TIMEOUT_S, Program, find_program
from archgym_py.space import ParameterSpace

__all__ = ["Backend", "ProgramBackend"]


class Backend(ABC):
    """A simulator whose metrics a real tool computes.

    A subclass names its metrics (`reports`), says which designs the tool cannot express (`check`),
    writes them (`configuration`) and evaluates them (`evaluate`). Its constructor takes the
    embedded simulator, the space, and options of its own by keyword; it finds the tool only when
    the tool is first needed, so that a configuration can be written without it.

    Args:
        embedded: The simulator that comes with the library, set up for the problem.
        space: The space of the designs.

    Attributes:
        name: Name in the registry, under which results are recorded.
        simulates: Names of the simulators whose place it can take.
        reports: Names of the metrics that it reports, of those that the embedded simulator has.
        embedded: As above; its metrics give units and bounds.
        space: As above.
        metrics: The metrics that are reported.

    Raises:
        ConfigError: If the tool does not do what the embedded simulator does.
    """

    name: ClassVar[str]
    simulates: ClassVar[tuple[str, ...]]
    reports: ClassVar[tuple[str, ...]]
    deterministic = True

    def __init__(self, embedded: Simulator, space: ParameterSpace) -> None:
        if embedded.name not in self.simulates:
            raise ConfigError(
                f"the backend {self.name!r} evaluates designs of {', '.join(self.simulates)}, not "
                f"of {embedded.name}."
            )
        self.embedded = embedded
        self.space = space
        known = {metric.name: metric for metric in embedded.metrics}
        self.metrics: tuple[Metric, ...] = tuple(
            known[name] for name in self.reports if name in known
        )

    @property
    @abstractmethod
    def version(self) -> str:
        """What the metrics depend on besides the design: versions of adapter and tool, workload."""

    @property
    def problem(self) -> Mapping[str, Any]:
        """The problem of the embedded simulator, and that this tool solves it; see `Described`."""
        problem = self.embedded.problem if isinstance(self.embedded, Described) else {}
        return {**problem, "backend": self.name}

    @property
    def descriptors(self) -> Mapping[str, float]:
        """The descriptors of the embedded simulator; see `Described`."""
        return self.embedded.descriptors if isinstance(self.embedded, Described) else {}

    @abstractmethod
    def configuration(self, design: Design) -> Mapping[str, str]:
        """Return a design as files that the tool reads, by relative path.

        Args:
            design: A complete design of the space.

        Returns:
            Text of each file. One of them is `README.txt`, which says how the tool is called.

        Raises:
            InfeasibleDesign: If the tool cannot express the design; the message says why.
        """

    @abstractmethod
    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        """Let the tool evaluate a design; see `Simulator.evaluate`."""

    def close(self) -> None:
        """Close the embedded simulator."""
        self.embedded.close()


class ProgramBackend(Backend):
    """A backend whose tool is a program that is called for every design.

    Args:
        embedded: The simulator that comes with the library, set up for the problem.
        space: The space of the designs.
        program: Path of the program; by default that of the environment variable, or the one in
            PATH.
        timeout_s: Time that a call may take, in seconds.

    Attributes:
        executable: Name of the program's file, as it is looked up in PATH.
        variable: Environment variable that may hold its path.
        remedy: Where the tool is to be had, a sentence.
        environment: Variables that the program gets beside those of this process.

    Raises:
        ConfigError: If the tool does not do what the embedded simulator does, or the time is not
            legal.
    """

    executable: ClassVar[str]
    variable: ClassVar[str]
    remedy: ClassVar[str]
    environment: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self,
        embedded: Simulator,
        space: ParameterSpace,
        *,
        program: str | os.PathLike[str] | None,
        timeout_s: float,
    ) -> None:
        super().__init__(embedded, space)
        self._given = program
        self._timeout_s = number("timeout_s", timeout_s, 1e-3, MAX_TIMEOUT_S)

    @cached_property
    def _program(self) -> Program:
        path = find_program(
            self.executable, given=self._given, variable=self.variable, remedy=self.remedy
        )
        return Program([path], timeout_s=self._timeout_s, environment=self.environment)
