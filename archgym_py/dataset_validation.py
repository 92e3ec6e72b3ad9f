"""Logged samples are simulated again, to see that the log says what the simulator says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from archgym_py.checks import integer
from archgym_py.config import canonical_json
from archgym_py.dataset import SampleDataset
from archgym_py.environment import problem_arguments
from archgym_py.evaluator import Trial
from archgym_py.log import DatasetError, RunInfo, trials_of
from archgym_py.runner import make_env, metrics_evaluator
from archgym_py.simulator import SIMULATED, Status

__all__ = ["Mismatch", "Validation", "differences", "validate"]

_MAX_SAMPLES = 10**9


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A value that came out differently.

    Attributes:
        index: Number of the sample in its run.
        column: What differs: "status", "reward", "key" or "metric.<name>".
        logged: Its value in the log.
        now: Its value now.
    """

    index: int
    column: str
    logged: Any
    now: Any


@dataclass(slots=True)
class Validation:
    """How the simulation of some samples of a dataset went.

    Attributes:
        compared: Samples that were simulated and compared.
        skipped: Samples that were not: of simulators that are not deterministic, and those that
            timed out, which may be due to the machine.
        mismatches: Values that differ, each with its run.
        notes: What was skipped, and what may be behind a difference.
    """

    compared: int = 0
    skipped: int = 0
    mismatches: list[tuple[RunInfo, Mismatch]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def differences(logged: Trial, now: Trial, *, rewards: bool = True) -> Iterator[Mismatch]:
    """Compare a sample with one of the same design; equal means equal to the last bit.

    Args:
        logged: The sample of the log.
        now: The sample of today.
        rewards: Whether to compare rewards too.

    Yields:
        Every value that differs.
    """
    pairs: dict[str, tuple[Any, Any]] = {
        "status": (logged.status.value, now.status.value),
        "key": (logged.key, now.key),
    }
    if rewards:
        pairs["reward"] = logged.reward, now.reward
        pairs["rewards"] = logged.rewards, now.rewards
    for name in dict.fromkeys((*logged.metrics, *now.metrics)):
        pairs[f"metric.{name}"] = logged.metrics.get(name), now.metrics.get(name)
    for column, (before, after) in pairs.items():
        if before != after:
            yield Mismatch(logged.index, column, before, after)


def validate(
    dataset: SampleDataset,
    *,
    samples: int = 1000,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Validation:
    """Simulate some samples again, drawn at random, and compare status and metrics exactly.

    Samples that a proxy predicted are not drawn. The simulator is asked even where a proxy stood
    in for it in a run.

    Args:
        dataset: The samples.
        samples: How many to draw; all where there are fewer.
        seed: Seed of the draw.
        progress: Called with the number of samples that were done since the last call.

    Returns:
        What came out.

    Raises:
        ConfigError: If `samples` is less than 1.
        ArchGymError: If a file cannot be read, an environment cannot be made, or a design is not
            in its space any more.

    Examples:
        >>> import tempfile
        >>> from archgym_py.config import RunConfig
        >>> from archgym_py.runner import run
        >>> with tempfile.TemporaryDirectory() as out:
        ...     config = dict(env="ArchGym/Toy-v0", agent="random_search", budget=50)
        ...     _ = run(RunConfig(**config, out=out))
        ...     found = validate(SampleDataset(out), samples=20)
        >>> found.compared, found.mismatches
        (20, [])
    """
    samples = integer("samples", samples, 1, _MAX_SAMPLES)
    drawn = _draw(dataset.where(pc.field("fidelity") == SIMULATED), samples, seed)
    problems: dict[tuple[str, str], list[tuple[RunInfo, Trial]]] = {}
    for info, trial in drawn:
        kwargs = canonical_json(problem_arguments(json.loads(info.env_kwargs)))
        problems.setdefault((info.env_id, kwargs), []).append((info, trial))
    result = Validation()
    for (env_id, kwargs), pairs in problems.items():
        _compare(env_id, kwargs, pairs, result)
        if progress is not None:
            progress(len(pairs))
    return result


def _draw(dataset: SampleDataset, samples: int, seed: int) -> Iterator[tuple[RunInfo, Trial]]:
    """Yield samples drawn at random without repetition, in the order of the dataset."""
    rows = len(dataset)
    if not rows:
        raise DatasetError(f"{dataset.name}: there is no sample of a simulator to compare with.")
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(rows, min(samples, rows), replace=False))
    start = 0
    for info, batch in dataset.batches_of_runs():
        low, high = np.searchsorted(chosen, [start, start + batch.num_rows])
        here: npt.NDArray[np.int64] = chosen[low:high] - start
        start += batch.num_rows
        if len(here):
            for trial in trials_of(batch.take(pa.array(here, pa.int64()))):
                yield info, trial


def _compare(
    env_id: str, kwargs: str, pairs: list[tuple[RunInfo, Trial]], result: Validation
) -> None:
    """Simulate samples of one problem."""
    env = make_env(env_id, json.loads(kwargs))
    try:
        simulator = env.simulator
        if not simulator.deterministic:
            result.skipped += len(pairs)
            result.notes.append(
                f"{env_id} {kwargs}: simulator {simulator.name} is not deterministic, "
                f"{len(pairs)} samples skipped"
            )
            return
        for version in sorted({info.simulator_version for info, _ in pairs}):
            if version.partition("/")[0] != simulator.version:  # what follows names a proxy
                result.notes.append(
                    f"{env_id} {kwargs}: logged with version {version} of simulator "
                    f"{simulator.name}, simulated with version {simulator.version}"
                )
        kept = [(info, trial) for info, trial in pairs if trial.status is not Status.TIMEOUT]
        result.skipped += len(pairs) - len(kept)
        result.compared += len(kept)
        now = metrics_evaluator(env).evaluate_batch([trial.design for _, trial in kept])
        for (info, logged), again in zip(kept, now, strict=True):
            result.mismatches += [
                (info, mismatch) for mismatch in differences(logged, again, rewards=False)
            ]
    finally:
        env.close()
