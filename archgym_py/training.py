"""From logged samples to what a proxy is fitted on.

A log says which environment and arguments its samples come from. The environment is made again, so
that the space, the problem and its descriptors are those of the simulator and not a copy of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from archgym_py.config import canonical_json
from archgym_py.dataset import LoggedRun, SampleDataset
from archgym_py.environment import problem_arguments
from archgym_py.features import FeatureMap
from archgym_py.log import DatasetError
from archgym_py.proxy import KnownProblem, TrainingSet, model_version, space_signature
from archgym_py.runner import make_env
from archgym_py.simulator import SIMULATED, Described, Simulator, Status
from archgym_py.space import ParameterSpace

__all__ = ["training_set"]


@dataclass(frozen=True)
class _Problem:
    """What the environment of some runs says."""

    run: LoggedRun
    space: ParameterSpace
    signature: list[dict[str, Any]]
    simulator: str
    version: str
    metrics: tuple[tuple[str, str], ...]
    known: KnownProblem
    names: tuple[str, ...]
    deterministic: bool


def training_set(dataset: SampleDataset) -> TrainingSet:
    """Read what a proxy can learn from: one sample of each design and problem.

    Samples that a proxy predicted are left out, and so are time-outs and crashes, which say more
    about the machine than about the design, and designs that break a constraint of their space,
    which no simulator has seen. Of equal designs the first sample stays.

    Args:
        dataset: Runs of one space and simulator, with any workloads.

    Returns:
        The samples in the order of the dataset.

    Raises:
        DatasetError: If runs have different spaces, simulators, versions or metrics, if a
            deterministic simulator gave one design different metrics, or if no sample is left.
        ArchGymError: If an environment cannot be made.
    """
    problems = _problems(dataset)
    first = problems[0][1]
    numbers: dict[str, int] = {}  # of distinct problems, by what the simulator says
    known: list[KnownProblem] = []
    of_run: dict[str, int] = {}
    for run, asked in problems:
        identity = canonical_json(asked.known.problem)
        if identity not in numbers:
            numbers[identity] = len(known)
            known.append(asked.known)
        of_run[run.info.run_id] = numbers[identity]

    names = [name for name, _ in first.metrics]
    columns = ["run_id", "key", "status", *(f"metric.{name}" for name in names)]
    columns += [f"design.{name}" for name in first.space.names]
    usable = pc.field("fidelity") == SIMULATED
    statuses = pa.array([Status.OK.value, Status.INFEASIBLE.value])
    usable &= pc.field("status").cast(pa.string()).isin(statuses)
    table = dataset.where(usable).table(columns)
    if not table.num_rows:
        raise DatasetError(
            f"{dataset.name}: no sample of a simulator is left to learn from. Log some with "
            f"`archgym dataset collect` or `archgym run`."
        )
    runs, run_of_row = _distinct(table["run_id"])
    problem = np.array([of_run[run] for run in runs], np.int64)[run_of_row]
    keys = _first_bits(table["key"])
    status, number = _distinct(table["status"])
    ok = np.array([name == Status.OK for name in status])[number]
    values = np.column_stack(
        [table[f"metric.{name}"].to_numpy().astype(np.float64) for name in names]
    )
    rows = _first_of_equals(dataset, first, keys, problem, ok, values)
    feature_map = FeatureMap(first.space, first.names)
    descriptors = np.array([each.descriptors for each in known]).reshape(len(known), -1)
    taken = table.take(rows)
    features = feature_map.of_table(taken, descriptors[problem[rows]])
    legal = _legal(first.space, taken, ok[rows])
    rows, features = rows[legal], features[legal]
    return TrainingSet(
        env_id=first.run.info.env_id,
        simulator=first.simulator,
        version=first.version,
        space=first.space,
        metrics=first.metrics,
        descriptors=first.names,
        problems=tuple(known),
        features=features,
        problem=problem[rows],
        keys=keys[rows],
        ok=ok[rows],
        values=values[rows],
        sources=_sources(dataset, runs, run_of_row, keys, values),
    )


def _problems(dataset: SampleDataset) -> list[tuple[LoggedRun, _Problem]]:
    """Ask the environment of each run; equal arguments are asked once."""
    found: dict[tuple[str, str], _Problem] = {}
    pairs = []
    for run in dataset.runs():
        kwargs = problem_arguments(json.loads(run.info.env_kwargs))
        identity = run.info.env_id, canonical_json(kwargs)
        if identity not in found:
            found[identity] = _ask(run, kwargs)
            _check_alike(next(iter(found.values())), found[identity])
        problem = found[identity]
        if problem.version != model_version(run.info.simulator_version):
            raise DatasetError(
                f"{run.folder}: was logged with version {run.info.simulator_version} of the "
                f"simulator {problem.simulator!r}, which is {problem.version} now. Log the samples "
                f"again, or leave the run out."
            )
        pairs.append((run, problem))
    return pairs


def _ask(run: LoggedRun, kwargs: Mapping[str, Any]) -> _Problem:
    env = make_env(run.info.env_id, kwargs)
    try:
        simulator: Simulator = env.simulator
        problem, descriptors = {}, {}
        if isinstance(simulator, Described):
            problem, descriptors = dict(simulator.problem), dict(simulator.descriptors)
        return _Problem(
            run=run,
            space=env.space,
            signature=space_signature(env.space),
            simulator=simulator.name,
            version=model_version(simulator.version),
            metrics=tuple((metric.name, metric.unit) for metric in simulator.metrics),
            known=KnownProblem(
                run.info.workload or run.info.env_id, problem, tuple(descriptors.values())
            ),
            names=tuple(descriptors),
            deterministic=simulator.deterministic,
        )
    finally:
        env.close()


def _check_alike(first: _Problem, other: _Problem) -> None:
    for what in ("simulator", "version", "signature", "metrics", "names"):
        if getattr(first, what) != getattr(other, what):
            words = {"signature": "space", "names": "descriptors of the workload"}.get(what, what)
            raise DatasetError(
                f"{first.run.folder} and {other.run.folder} differ in their {words}. A proxy is "
                f"fitted on runs of one simulator and one space: choose among the folders."
            )


def _distinct(column: pa.ChunkedArray[Any]) -> tuple[list[Any], npt.NDArray[np.int64]]:
    """Return the distinct values of a column, and the number of each row's value among them."""
    found: Any = column.unify_dictionaries().combine_chunks()
    if not pa.types.is_dictionary(found.type):
        found = found.dictionary_encode()
    return found.dictionary.to_pylist(), found.indices.to_numpy().astype(np.int64)


def _first_bits(keys: pa.ChunkedArray[Any]) -> npt.NDArray[np.uint64]:
    """Return the first 64 bits of keys, which tell designs apart for all that matters here."""
    texts, number = _distinct(keys)
    bits = np.array([int(text[:16], 16) for text in texts], np.uint64)
    return bits[number]


def _first_of_equals(
    dataset: SampleDataset,
    first: _Problem,
    keys: npt.NDArray[np.uint64],
    problem: npt.NDArray[np.int64],
    ok: npt.NDArray[np.bool_],
    values: npt.NDArray[np.float64],
) -> npt.NDArray[np.int64]:
    """Return the rows that are the first of their design and problem, in order."""
    pairs = np.empty(len(keys), [("key", np.uint64), ("problem", np.int64)])
    pairs["key"], pairs["problem"] = keys, problem
    _, rows, group = np.unique(pairs, return_index=True, return_inverse=True)
    if first.deterministic:
        before = rows[group]
        same = (ok == ok[before]) & (
            (values == values[before]) | (np.isnan(values) & np.isnan(values[before]))
        ).all(axis=1)
        if not same.all():
            row = int(np.flatnonzero(~same)[0])
            raise DatasetError(
                f"{dataset.name}: the samples {int(before[row])} and {row} are of one design and "
                f"one problem but have different metrics, although the simulator "
                f"{first.simulator!r} is deterministic. `archgym dataset validate` shows which is "
                f"right."
            )
    return np.sort(rows)


def _legal(
    space: ParameterSpace, table: pa.Table, ok: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Return which rows satisfy the constraints of the space; only failures need be checked."""
    legal = np.ones(table.num_rows, np.bool_)
    if not space.constraints:
        return legal
    failed = np.flatnonzero(~ok)
    designs = table.select([f"design.{name}" for name in space.names]).take(failed)
    for row, design in zip(failed.tolist(), designs.to_pylist(), strict=True):
        plain = {name.removeprefix("design."): value for name, value in design.items()}
        legal[row] = not space.violations(plain)
    return legal


def _sources(
    dataset: SampleDataset,
    runs: list[str],
    run_of_row: npt.NDArray[np.int64],
    keys: npt.NDArray[np.uint64],
    values: npt.NDArray[np.float64],
) -> tuple[Mapping[str, Any], ...]:
    """Say for each run what was taken from it, with a digest of designs and metrics."""
    place = {run: number for number, run in enumerate(runs)}
    order = np.argsort(run_of_row, kind="stable")
    edges = np.searchsorted(run_of_row[order], np.arange(len(place) + 1))
    sources = []
    for run in dataset.runs():
        number = place.get(run.info.run_id)
        if number is None:
            continue
        rows = order[edges[number] : edges[number + 1]]
        content = hashlib.sha256(keys[rows].tobytes())
        content.update(values[rows].tobytes())
        sources.append(
            {
                "run_id": run.info.run_id,
                "agent": run.info.agent,
                "quality": run.info.quality,
                "workload": run.info.workload,
                "rows": len(rows),
                "sha256": content.hexdigest(),
            }
        )
    return tuple(sources)
