"""Static schedules: the library's schedulers beside recorded schedules of the same graphs.

A recorded graph has `name`, `W` (times by task and PE), `edges` (source, target, volume),
`bandwidth` and `results`: by algorithm the `makespan` and the `schedule` as rows of PE, start and
end. Some results have `rank_u` (upward ranks) or `oct` (the table of optimistic costs). `cpsat` is
the best that a solver found: where it is `proven`, makespan and `lower_bound` have to be equal, and
else ours must not be worse. The schedule may be another one of the same makespan.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np

from archgym_py.errors import ConfigError, did_you_mean
from archgym_py.simulators.soc.graphs import Edge
from archgym_py.simulators.soc.optimum import optimum
from archgym_py.simulators.soc.static_schedule import (
    STATIC_SCHEDULERS,
    StaticProblem,
    optimistic_costs,
    upward_ranks,
)

ALGORITHMS: Final[Mapping[str, str]] = {
    "heft": "heft",
    "heft_reference_code": "heft",
    "cpop": "cpop",
    "peft": "peft",
    "minmin": "min_min",
    "maxmin": "max_min",
    "met": "met",
    "etf": "etf",
    "cpsat": "optimum",
}
"""Our scheduler for each recorded algorithm."""

EXACT: Final = 1e-9
"""Relative error up to which numbers are equal: sums may have been taken in another order."""

_Numbers = Sequence[float]


@dataclass(frozen=True, slots=True)
class StaticFinding:
    """A result of ours beside a recorded one.

    Attributes:
        graph: Name of the graph.
        algorithm: Name of the recorded algorithm.
        quantity: "makespan", "schedule", "rank_u", "oct" or "lower_bound".
        error: Largest relative difference of a number; infinite where a task is on another PE.
    """

    graph: str
    algorithm: str
    quantity: str
    error: float

    @property
    def exact(self) -> bool:
        """Whether all numbers are equal."""
        return self.error <= EXACT


@dataclass(frozen=True, slots=True)
class StaticSummary:
    """The findings of an algorithm and a quantity.

    Attributes:
        algorithm: Name of the recorded algorithm.
        quantity: As in `StaticFinding`.
        exact: How many findings are exact.
        total: How many there are.
        worst_error: Largest error of any.
        worst_graph: The graph that has it.
    """

    algorithm: str
    quantity: str
    exact: int
    total: int
    worst_error: float
    worst_graph: str


def read_static(path: Path) -> list[dict[str, Any]]:
    """Return the recorded graphs of a JSON file, which may be gzipped.

    Args:
        path: The file; the graphs are its list `static_dag`.

    Raises:
        ConfigError: If it cannot be read or has no such list.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        recorded = json.loads(content)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ConfigError(f"{path}: cannot be read: {error}.") from None
    cases = recorded.get("static_dag") if isinstance(recorded, dict) else None
    if not isinstance(cases, list):
        raise ConfigError(f"{path}: has no list 'static_dag'.")
    return cases


def problem_of(case: Mapping[str, Any]) -> StaticProblem:
    """Return the problem of a recorded graph; a time of null is that of a PE that cannot run it."""
    times = [[math.inf if time is None else time for time in row] for row in case["W"]]
    edges = tuple(Edge(source, target, volume) for source, target, volume in case["edges"])
    return StaticProblem(np.array(times), edges, np.array(case["bandwidth"], dtype=np.float64))


def replay_static(cases: Sequence[Mapping[str, Any]]) -> list[StaticFinding]:
    """Schedule recorded graphs and compare.

    Args:
        cases: The graphs, as `read_static` returns them.

    Returns:
        The findings, in order of the graphs.

    Raises:
        ConfigError: If an algorithm is not known, or a schedule of ours is not valid.
    """
    return [finding for case in cases for finding in _replay_case(case)]


def _replay_case(case: Mapping[str, Any]) -> Iterator[StaticFinding]:
    problem = problem_of(case)
    for algorithm, result in case["results"].items():
        if algorithm not in ALGORITHMS:
            raise ConfigError(
                f"{case['name']}: unknown algorithm {algorithm!r}."
                f"{did_you_mean(algorithm, ALGORITHMS)}"
            )
        numbers: dict[str, tuple[_Numbers, _Numbers]] = {}
        if algorithm == "cpsat":
            best = optimum(problem, hint=STATIC_SCHEDULERS["heft"](problem))
            schedule = best.schedule
            numbers["makespan"] = [schedule.makespan], [result["makespan"]]
            if result["proven"]:
                numbers["lower_bound"] = [best.lower_bound], [result["lower_bound"]]
            elif schedule.makespan < result["makespan"]:
                numbers["makespan"] = [result["makespan"]], [result["makespan"]]
        else:
            schedule = STATIC_SCHEDULERS[ALGORITHMS[algorithm]](problem)
            rows = list(zip(schedule.pe, schedule.start, schedule.finish, strict=True))
            yield StaticFinding(
                case["name"], algorithm, "schedule", _schedule_error(rows, result["schedule"])
            )
            numbers["makespan"] = [schedule.makespan], [result["makespan"]]
        schedule.validate(problem)
        if "rank_u" in result:
            numbers["rank_u"] = upward_ranks(problem), result["rank_u"]
        if "oct" in result:
            ours, theirs = optimistic_costs(problem), result["oct"]
            numbers["oct"] = list(chain(*ours)), list(chain(*theirs))
        for quantity, (ours_of_it, theirs_of_it) in numbers.items():
            error = _largest_error(ours_of_it, theirs_of_it)
            yield StaticFinding(case["name"], algorithm, quantity, error)


def summarise_static(findings: Sequence[StaticFinding]) -> list[StaticSummary]:
    """Count the exact findings of each algorithm and quantity.

    Args:
        findings: What `replay_static` returns.

    Returns:
        A summary for each, in order of their first findings.
    """
    groups: dict[tuple[str, str], list[StaticFinding]] = {}
    for finding in findings:
        groups.setdefault((finding.algorithm, finding.quantity), []).append(finding)
    summaries = []
    for (algorithm, quantity), group in groups.items():
        worst = max(group, key=lambda finding: finding.error)
        exact = sum(finding.exact for finding in group)
        summaries.append(
            StaticSummary(algorithm, quantity, exact, len(group), worst.error, worst.graph)
        )
    return summaries


def _schedule_error(ours: Sequence[_Numbers], theirs: Sequence[_Numbers]) -> float:
    """Return the largest error of a start or an end; infinity if a task is on another PE."""
    if [row[0] for row in ours] != [row[0] for row in theirs]:
        return math.inf
    return _largest_error(
        [time for row in ours for time in row[1:]], [time for row in theirs for time in row[1:]]
    )


def _largest_error(ours: _Numbers, theirs: _Numbers) -> float:
    """Return the largest difference, relative to the largest recorded number."""
    if len(ours) != len(theirs):
        return math.inf
    scale = max(map(abs, theirs), default=0.0) or 1.0
    gaps = (abs(one - other) / scale for one, other in zip(ours, theirs, strict=True))
    return max(gaps, default=0.0)
