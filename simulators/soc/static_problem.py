"""Static scheduling: a whole task graph is known, and each task gets a PE and a time.

A task starts when its PE is free and the data of all its predecessors has arrived. Data takes
volume / bandwidth, and no time at all on the PE where it was made (Topcuoglu, Hariri and Wu,
"Performance-effective and low-complexity task scheduling for heterogeneous computing", IEEE TPDS
13(3), 2002, section 2). Links carry any number of transfers at once.

    >>> from archgym_py.simulators.soc.graphs import load_task_graph
    >>> from archgym_py.simulators.soc.platforms import load_platform
    >>> problem = StaticProblem.of(load_task_graph("canonical"), load_platform("top"))
    >>> problem.n_tasks, problem.n_pes, problem.mean_work[0]
    (10, 3, 13.0)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import numpy.typing as npt

from archgym_py.errors import ConfigError, InfeasibleDesign
from archgym_py.simulators.soc.graphs import Edge, TaskGraph
from archgym_py.simulators.soc.platforms import Platform

__all__ = ["PartialSchedule", "Schedule", "StaticProblem", "transfer_time"]

_TOLERANCE = 1e-9
"""Relative error that sums of times may have by rounding."""


@dataclass(frozen=True, eq=False)
class StaticProblem:
    """A task graph and the PEs that it is to run on.

    Args:
        times: Execution times of (tasks, P) in µs, infinite where a PE cannot run a task.
        edges: The edges of the graph; indices are rows of `times`.
        bandwidth: Volume per µs between each two PEs, of (P, P); 0 is no link, infinity is no
            delay. The diagonal does not count.
        tasks: Names of the tasks, for messages; "task 0" and so on if empty.

    Raises:
        ConfigError: If a shape, a time, a bandwidth or an edge is not legal, the edges form a
            cycle, or no PE can run a task.
    """

    times: npt.NDArray[np.float64]
    edges: tuple[Edge, ...]
    bandwidth: npt.NDArray[np.float64]
    tasks: tuple[str, ...] = ()
    graph: TaskGraph = field(init=False, repr=False)

    def __post_init__(self) -> None:
        times = np.array(self.times, dtype=np.float64)
        bandwidth = np.array(self.bandwidth, dtype=np.float64)
        if times.ndim != 2 or times.size == 0:
            raise ConfigError(
                f"times must have a row for each task and a column for each PE, got the shape "
                f"{times.shape}."
            )
        if bandwidth.shape != (times.shape[1], times.shape[1]):
            raise ConfigError(
                f"bandwidth must be of shape {(times.shape[1], times.shape[1])}, as there are "
                f"{times.shape[1]} PEs, got {bandwidth.shape}."
            )
        for name, values in (("times", times), ("bandwidth", bandwidth)):
            if not (values >= 0).all():  # also false for NaN
                raise ConfigError(f"{name} must be numbers from 0 on, got {values.min()}.")
        tasks = self.tasks or tuple(f"task {i}" for i in range(len(times)))
        if len(tasks) != len(times):
            raise ConfigError(f"there are {len(tasks)} names of tasks, and {len(times)} rows.")
        graph = TaskGraph("static", tasks, self.edges)
        for task, row in zip(tasks, times, strict=True):
            if not np.isfinite(row).any():
                raise ConfigError(f"{task!r} has no finite time: no PE can run it.")
        for name, value in (("times", times), ("bandwidth", bandwidth), ("tasks", tasks)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "edges", graph.edges)
        object.__setattr__(self, "graph", graph)
        times.flags.writeable = bandwidth.flags.writeable = False

    @classmethod
    def of(cls, graph: TaskGraph, platform: Platform) -> StaticProblem:
        """Return the problem of a graph on a platform at its highest frequencies.

        Args:
            graph: The graph.
            platform: The platform; its memory does not count.

        Raises:
            ConfigError: If no PE can run a task.
        """
        n_pes = platform.n_pes
        bandwidth = platform.bandwidth_matrix()[:n_pes, :n_pes]
        return cls(platform.times_us(graph), graph.edges, bandwidth, graph.tasks)

    @property
    def n_tasks(self) -> int:
        """Number of tasks."""
        return len(self.times)

    @property
    def n_pes(self) -> int:
        """Number of PEs."""
        return int(self.times.shape[1])

    @property
    def mean_work(self) -> list[float]:
        """Mean execution time in µs of each task over the PEs that can run it."""
        return [float(row[np.isfinite(row)].mean()) for row in self.times]

    @property
    def mean_bandwidth(self) -> float:
        """Mean bandwidth between two different PEs; infinite if there is one PE."""
        if self.n_pes == 1:
            return math.inf
        return float(self.bandwidth[~np.eye(self.n_pes, dtype=bool)].mean())

    def mean_delay(self, volume: float) -> float:
        """Return how long a volume takes at the mean bandwidth in µs."""
        return transfer_time(volume, self.mean_bandwidth)

    def delays(self, volume: float) -> list[list[float]]:
        """Return how long a volume takes from each PE to each in µs, as [from][to]."""
        with np.errstate(divide="ignore"):
            delays = volume / self.bandwidth if volume else np.zeros_like(self.bandwidth)
        np.fill_diagonal(delays, 0.0)
        return cast(list[list[float]], delays.tolist())


def transfer_time(volume: float, bandwidth: float) -> float:
    """Return how long a volume takes in µs; infinity where there is no link.

    Args:
        volume: Volume.
        bandwidth: Volume per µs. Nothing needs no link.
    """
    if volume == 0.0:
        return 0.0
    return volume / bandwidth if bandwidth > 0.0 else math.inf


@dataclass(frozen=True, slots=True)
class Schedule:
    """A PE and a time for each task.

    Attributes:
        pe: Index of the PE of each task.
        start: Start of each task in µs.
        finish: End of each task in µs.
    """

    pe: tuple[int, ...]
    start: tuple[float, ...]
    finish: tuple[float, ...]

    @property
    def makespan(self) -> float:
        """When the last task ends in µs."""
        return max(self.finish)

    def validate(self, problem: StaticProblem) -> None:
        """Raise if the schedule cannot be carried out.

        Args:
            problem: The problem that it is a schedule of.

        Raises:
            ConfigError: If a task is missing, starts before 0 or before its data is there, does not
                take the time that its PE needs, runs on a PE that cannot run it, or overlaps with
                another one of its PE. The message names the tasks.
        """
        names = problem.tasks
        lengths = {len(self.pe), len(self.start), len(self.finish)}
        if lengths != {problem.n_tasks}:
            raise ConfigError(
                f"the schedule must have {problem.n_tasks} tasks, got {len(self.pe)} PEs, "
                f"{len(self.start)} starts and {len(self.finish)} ends."
            )
        rows = zip(names, self.pe, self.start, self.finish, problem.times, strict=True)
        for name, pe, start, finish, times in rows:
            if not 0 <= pe < problem.n_pes:
                raise ConfigError(f"{name!r}: there is no PE {pe}; there are {problem.n_pes}.")
            if not math.isfinite(times[pe]):
                raise ConfigError(f"{name!r} cannot run on PE {pe}.")
            if not (start >= 0 and math.isfinite(finish)):
                raise ConfigError(
                    f"{name!r} must run at a time from 0 on, got {start} to {finish}."
                )
            if not math.isclose(finish - start, times[pe], rel_tol=_TOLERANCE, abs_tol=self._slack):
                raise ConfigError(
                    f"{name!r} takes {times[pe]} us on PE {pe}, but runs from {start} to {finish}."
                )
        self._check_overlaps(names)
        self._check_edges(problem)

    @property
    def _slack(self) -> float:
        return _TOLERANCE * max(1.0, self.makespan)

    def _check_overlaps(self, names: Sequence[str]) -> None:
        order = sorted(range(len(names)), key=lambda t: (self.pe[t], self.start[t], self.finish[t]))
        for one, other in itertools.pairwise(order):
            same = self.pe[one] == self.pe[other]
            if same and self.start[other] < self.finish[one] - self._slack:
                raise ConfigError(
                    f"{names[one]!r} and {names[other]!r} run on PE {self.pe[one]} at the same "
                    f"time: the one ends at {self.finish[one]}, the other starts at "
                    f"{self.start[other]}."
                )

    def _check_edges(self, problem: StaticProblem) -> None:
        for edge in problem.edges:
            delay = problem.delays(edge.volume)[self.pe[edge.source]][self.pe[edge.target]]
            arrival = self.finish[edge.source] + delay
            if self.start[edge.target] < arrival - self._slack:
                raise ConfigError(
                    f"{problem.tasks[edge.target]!r} starts at {self.start[edge.target]}, before "
                    f"the data of {problem.tasks[edge.source]!r} arrives at {arrival}."
                )


class PartialSchedule:
    """A schedule that grows task by task.

    Args:
        problem: The problem.

    Attributes:
        pe: PE of each task, -1 where it has none yet.
        start: Start of each task in µs.
        finish: End of each task in µs.
    """

    def __init__(self, problem: StaticProblem) -> None:
        self.problem = problem
        n = problem.n_tasks
        self.pe = [-1] * n
        self.start = [0.0] * n
        self.finish = [0.0] * n
        self._times: list[list[float]] = problem.times.tolist()
        self._incoming: list[list[tuple[int, list[list[float]]]]] = [[] for _ in range(n)]
        for edge in problem.edges:
            row = (edge.source, problem.delays(edge.volume))
            self._incoming[edge.target].append(row)
        self._busy: list[list[tuple[float, float, int]]] = [[] for _ in range(problem.n_pes)]

    def data_ready(self, task: int, pe: int) -> float:
        """Return when the data of those predecessors that have a place is on a PE in µs."""
        ready = 0.0
        for source, delays in self._incoming[task]:
            if self.pe[source] >= 0:
                ready = max(ready, self.finish[source] + delays[self.pe[source]][pe])
        return ready

    def earliest_start(self, task: int, pe: int, *, insert: bool) -> float:
        """Return when a task could start on a PE in µs.

        Args:
            task: The task.
            pe: The PE.
            insert: Whether the task may go into a gap between others, or only behind them all.

        Returns:
            The time; infinity if the PE cannot run the task or gets no data for it.
        """
        length = self._times[task][pe]
        begin = self.data_ready(task, pe)
        if math.isinf(length) or math.isinf(begin):
            return math.inf
        busy = self._busy[pe]
        if not insert:
            return max(begin, busy[-1][1]) if busy else begin
        for start, finish, _ in busy:
            if begin + length <= start:
                break
            begin = max(begin, finish)
        return begin

    def earliest_finishes(self, task: int, *, insert: bool) -> list[float]:
        """Return when a task could end on each PE in µs; see `earliest_start`."""
        return [
            self.earliest_start(task, pe, insert=insert) + length
            for pe, length in enumerate(self._times[task])
        ]

    def place(self, task: int, pe: int, *, insert: bool) -> None:
        """Put a task on a PE at its earliest start.

        Raises:
            InfeasibleDesign: If the PE cannot run it or gets no data for it.
        """
        start = self.earliest_start(task, pe, insert=insert)
        if math.isinf(start):
            raise InfeasibleDesign(
                f"{self.problem.tasks[task]!r} cannot run on PE {pe}: the PE has no time for it, "
                f"or no link over which its data could come."
            )
        self.pe[task] = pe
        self.start[task] = start
        self.finish[task] = start + self._times[task][pe]
        self._busy[pe].append((start, self.finish[task], task))
        self._busy[pe].sort()

    def remove(self, task: int) -> None:
        """Take a task out again."""
        pe = self.pe[task]
        self._busy[pe].remove((self.start[task], self.finish[task], task))
        self.pe[task] = -1

    def done(self) -> Schedule:
        """Return the schedule, once all tasks have a place."""
        return Schedule(tuple(self.pe), tuple(self.start), tuple(self.finish))
