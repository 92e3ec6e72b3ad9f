"""What there is in a dataset, found in one pass over its samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from archgym_py.dataset import SampleDataset, problem_of
from archgym_py.dataset_rows import DigestSet, key_digests
from archgym_py.simulator import Status
from archgym_py.space import ParameterSpace
from archgym_py.summary import align

__all__ = [
    "MetricRange",
    "ParameterCoverage",
    "ProblemRows",
    "RewardQuantiles",
    "Summary",
    "summarise",
]

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""The quantiles of rewards that a summary has."""


@dataclass(frozen=True, slots=True)
class ProblemRows:
    """How often one problem was sampled.

    Attributes:
        problem: The problem, as `problem_of` tells it from others.
        workload: Its workload, "" where the environment has none.
        rows: Number of samples.
        designs: Number of different designs among them.
        feasible: Number of samples that are feasible.
    """

    problem: str
    workload: str
    rows: int
    designs: int
    feasible: int


@dataclass(frozen=True, slots=True)
class ParameterCoverage:
    """Which part of a parameter's values was sampled.

    Attributes:
        name: Name of the parameter.
        unit: Its unit, "" where it has none.
        seen: Number of different values in the samples.
        values: Number of values that it has; None where they form a continuum, where the
            environments differ, or where their spaces are not known.
    """

    name: str
    unit: str
    seen: int
    values: int | None


@dataclass(frozen=True, slots=True)
class MetricRange:
    """The values of a metric.

    Attributes:
        name: Name of the metric.
        unit: Its unit.
        rows: Number of samples that have it.
        low: The smallest value; None where no sample has the metric.
        high: The largest value.
    """

    name: str
    unit: str
    rows: int
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class RewardQuantiles:
    """The rewards of the feasible samples of one objective on one problem.

    Attributes:
        problem: The problem.
        objective: The objective.
        rows: Number of feasible samples.
        quantiles: The quantiles `QUANTILES`; empty where no sample is feasible.
    """

    problem: str
    objective: str
    rows: int
    quantiles: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """What there is in a dataset.

    Attributes:
        runs: Number of runs that have samples.
        rows: Number of samples.
        unique: Number of different pairs of a problem and a design.
        designs: Number of different designs, on whatever problem.
        wall_s: Time that the samples took, in seconds.
        statuses: Number of samples by status, the most frequent first; so for the others.
        fidelities: By where the metrics come from.
        agents: By agent.
        qualities: By quality of the agent; "" where nobody stated it.
        workloads: By workload.
        problems: Problems in the order of the samples.
        parameters: Coverage of parameters.
        metrics: Ranges of metrics.
        rewards: Rewards by problem and objective.
        left_out: What was left out of the dataset and why.
    """

    runs: int
    rows: int
    unique: int
    designs: int
    wall_s: float
    statuses: Mapping[str, int]
    fidelities: Mapping[str, int]
    agents: Mapping[str, int]
    qualities: Mapping[str, int]
    workloads: Mapping[str, int]
    problems: tuple[ProblemRows, ...]
    parameters: tuple[ParameterCoverage, ...]
    metrics: tuple[MetricRange, ...]
    rewards: tuple[RewardQuantiles, ...]
    left_out: tuple[str, ...]

    @property
    def duplicates(self) -> float:
        """Share of the samples that repeat a design on the same problem; 0 without samples."""
        return 1.0 - self.unique / self.rows if self.rows else 0.0

    def to_mapping(self) -> dict[str, Any]:
        """Return all of it as plain data, ready for JSON."""
        return {**asdict(self), "duplicates": self.duplicates}

    def text(self) -> str:
        """Return all of it as tables for the terminal."""
        blocks = [
            align(
                [
                    ["dataset", ""],
                    ["runs", f"{self.runs:,}"],
                    ["samples", f"{self.rows:,}"],
                    ["different designs", f"{self.designs:,}"],
                    ["different designs of problems", f"{self.unique:,}"],
                    ["repetitions", f"{self.duplicates:.1%}"],
                    ["simulated for", f"{self.wall_s:,.1f} s"],
                ]
            )
        ]
        blocks += [
            _counts(title, counts, self.rows)
            for title, counts in (
                ("status", self.statuses),
                ("fidelity", self.fidelities),
                ("agent", self.agents),
                ("quality", self.qualities),
                ("workload", self.workloads),
            )
        ]
        blocks.append(
            align(
                [
                    ["problem", "samples", "designs", "feasible"],
                    *(
                        [each.problem, f"{each.rows:,}", f"{each.designs:,}", f"{each.feasible:,}"]
                        for each in self.problems
                    ),
                ]
            )
        )
        blocks.append(
            align(
                [
                    ["parameter", "unit", "values seen", "of", "share"],
                    *(_coverage(each) for each in self.parameters),
                ]
            )
        )
        blocks.append(
            align(
                [
                    ["metric", "unit", "samples", "smallest", "largest"],
                    *(
                        [
                            each.name,
                            each.unit,
                            f"{each.rows:,}",
                            _short(each.low),
                            _short(each.high),
                        ]
                        for each in self.metrics
                    ),
                ]
            )
        )
        blocks.append(
            align(
                [
                    ["reward of feasible samples", "samples", "min", "25 %", "50 %", "75 %", "max"],
                    *(
                        [f"{each.objective}, {each.problem}", f"{each.rows:,}", *_five(each)]
                        for each in self.rewards
                    ),
                ]
            )
        )
        blocks += [f"left out: {problem}" for problem in self.left_out]
        return "\n\n".join(blocks)


def summarise(
    dataset: SampleDataset,
    *,
    spaces: Mapping[str, ParameterSpace] | None = None,
    progress: Callable[[int], object] | None = None,
) -> Summary:
    """Count and measure what there is in a dataset, in one pass.

    Memory grows by 32 bytes for each different design and 8 for each feasible sample.

    Args:
        dataset: The samples.
        spaces: Spaces of problems that are known, by problem.
        progress: Called with the number of samples of each batch.

    Returns:
        The summary.

    Raises:
        DatasetError: If a file cannot be read.

    Examples:
        >>> import tempfile
        >>> from archgym_py.config import RunConfig
        >>> from archgym_py.runner import run
        >>> with tempfile.TemporaryDirectory() as out:
        ...     config = dict(env="ArchGym/Toy-v0", agent="random_search", budget=50)
        ...     _ = run(RunConfig(**config, out=out))
        ...     found = summarise(SampleDataset(out))
        >>> found.rows, found.agents, found.metrics[1].name, found.metrics[1].unit
        (50, {'random_search': 50}, 'delay_ns', 'ns')
    """
    counts: dict[str, Counter[str]] = {name: Counter() for name in _COUNTED}
    designs, problems = DigestSet(), dict[str, _Problem]()
    rewards: dict[tuple[str, str], list[npt.NDArray[np.float64]]] = {}
    names = [name.removeprefix("design.") for name in dataset.columns if name.startswith("design.")]
    values: dict[str, Any] = {}
    metrics = {name: _Range() for name in dataset.columns if name.startswith("metric.")}
    runs, wall_s = set[tuple[str, str, str]](), 0.0
    columns = ["key", "status", "fidelity", "reward", "wall_s", *metrics]
    columns += [f"design.{name}" for name in names]
    for info, batch in dataset.batches_of_runs(columns):
        rows = batch.num_rows
        runs.add((info.env_id, info.agent, info.run_id))
        for name in ("agent", "quality", "workload"):
            counts[name][getattr(info, name)] += rows
        for name in ("status", "fidelity"):
            for entry in cast(Any, pc.value_counts(batch.column(name))).to_pylist():
                counts[name][entry["values"]] += entry["counts"]
        problem = problems.setdefault(problem_of(info), _Problem(info.workload))
        digests = key_digests(batch.column("key"))
        designs.add(digests)
        problem.designs.add(digests)
        problem.rows += rows
        feasible = pc.equal(batch.column("status").cast(pa.string()), _OK)
        of_feasible = batch.column("reward").filter(feasible).to_numpy()
        problem.feasible += len(of_feasible)
        rewards.setdefault((problem_of(info), info.objective), []).append(of_feasible)
        wall_s += float(batch.column("wall_s").to_numpy().sum())
        for name in names:
            column = batch.column(f"design.{name}")
            known = [values[name]] if name in values else []
            values[name] = pa.chunked_array([*known, pc.unique(column.drop_null())]).unique()
        for name, seen in metrics.items():
            seen.add(batch.column(name))
        if progress is not None:
            progress(rows)
    units = dataset.units
    return Summary(
        runs=len(runs),
        rows=counts["status"].total(),
        unique=sum(len(problem.designs) for problem in problems.values()),
        designs=len(designs),
        wall_s=wall_s,
        statuses=dict(counts["status"].most_common()),
        fidelities=dict(counts["fidelity"].most_common()),
        agents=dict(counts["agent"].most_common()),
        qualities=dict(counts["quality"].most_common()),
        workloads=dict(counts["workload"].most_common()),
        problems=tuple(
            ProblemRows(name, each.workload, each.rows, len(each.designs), each.feasible)
            for name, each in problems.items()
        ),
        parameters=tuple(
            ParameterCoverage(
                name,
                units.get(f"design.{name}", ""),
                len(values.get(name, ())),
                _cardinality(name, problems, spaces or {}),
            )
            for name in names
        ),
        metrics=tuple(
            MetricRange(
                name.removeprefix("metric."), units.get(name, ""), seen.rows, seen.low, seen.high
            )
            for name, seen in metrics.items()
        ),
        rewards=tuple(
            RewardQuantiles(*group, sum(map(len, found)), _quantiles(found))
            for group, found in rewards.items()
        ),
        left_out=dataset.problems,
    )


_COUNTED = ("agent", "quality", "workload", "status", "fidelity")
_OK = pa.scalar(Status.OK.value)


class _Problem:
    """What is counted for a problem."""

    def __init__(self, workload: str) -> None:
        self.workload = workload
        self.designs = DigestSet()
        self.rows = self.feasible = 0


class _Range:
    """The range of a column."""

    def __init__(self) -> None:
        self.rows = 0
        self.low: float | None = None
        self.high: float | None = None

    def add(self, column: pa.Array[Any]) -> None:
        rows = len(column) - column.null_count
        if not rows:
            return
        found = cast("dict[str, float]", pc.min_max(column).as_py())
        self.rows += rows
        self.low = found["min"] if self.low is None else min(self.low, found["min"])
        self.high = found["max"] if self.high is None else max(self.high, found["max"])


def _cardinality(
    name: str, problems: Mapping[str, _Problem], spaces: Mapping[str, ParameterSpace]
) -> int | None:
    """Return the number of values of a parameter, where the problems that have it agree."""
    if any(problem not in spaces for problem in problems):
        return None
    found = {
        spaces[problem][name].cardinality for problem in problems if name in spaces[problem].names
    }
    return found.pop() if len(found) == 1 else None


def _quantiles(arrays: Sequence[npt.NDArray[np.float64]]) -> tuple[float, ...]:
    values = np.concatenate(arrays)
    return tuple(map(float, np.quantile(values, QUANTILES))) if len(values) else ()


def _counts(title: str, counts: Mapping[str, int], rows: int) -> str:
    return align(
        [
            [title, "samples", "share"],
            *([name or "-", f"{count:,}", f"{count / rows:.1%}"] for name, count in counts.items()),
        ]
    )


def _coverage(parameter: ParameterCoverage) -> list[str]:
    cells = [parameter.name, parameter.unit, f"{parameter.seen:,}"]
    if parameter.values is None:
        return [*cells, "-", "-"]
    return [*cells, f"{parameter.values:,}", f"{parameter.seen / parameter.values:.0%}"]


def _five(rewards: RewardQuantiles) -> list[str]:
    return [_short(value) for value in rewards.quantiles] or ["-"] * len(QUANTILES)


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"
