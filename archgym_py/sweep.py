"""Sweeps: many runs with equal budgets, resumable, with a table of results.

>>> import tempfile
>>> from archgym_py.sweep_config import SweepAgent, SweepConfig, SweepEnv
>>> config = SweepConfig(
...     envs=(SweepEnv(env="ArchGym/Toy-v0"),),
...     agents=(SweepAgent(agent="random_search"),),
...     budget=20,
...     seeds=2,
...     out=tempfile.mkdtemp(),
... )
>>> results = sweep(config, resume=True, jobs=1, progress=False)
>>> [(row["agent"], row["seed"], row["samples"]) for row in results.rows]
[('random_search', 0, 20), ('random_search', 1, 20)]
"""

from __future__ import annotations

import time
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from archgym_py.errors import ConfigError
from archgym_py.files import locked
from archgym_py.outcome import Outcome
from archgym_py.pool import run_all
from archgym_py.results import (
    ABOUT_NAME,
    Results,
    describe_problem,
    read_about,
    read_results,
    read_rows,
    row_of,
    write_about,
    write_rows,
)
from archgym_py.sweep_config import PlannedRun, SweepConfig, refuse_another
from archgym_py.versions import library_versions

__all__ = ["CONFIG_NAME", "sample_of", "sweep"]

CONFIG_NAME = "sweep.yaml"
"""File of a sweep with its configuration."""

_WRITE_S = 10.0
"""Seconds after which the table is written again, at the earliest: it is written as a whole. What
a kill loses of it is made of the logs again."""


def sweep(
    config: SweepConfig,
    *,
    resume: bool = False,
    share: float = 1.0,
    jobs: int | None = None,
    address: str | None = None,
    max_failures: int | None = None,
    progress: bool = True,
    command: str = "",
) -> Results:
    """Make all runs of a sweep that are not finished yet.

    Every run is logged like any other, under `runs` in the folder of the sweep. Runs that failed
    are rows of the result; they are tried again by the next call.

    Args:
        config: The sweep.
        resume: Whether to continue a sweep that was begun; one that was not starts.
        share: Part of the runs to make, chosen at random but always the same: a larger share
            holds all runs of a smaller one.
        jobs: Number of worker processes; None for as many as there are cores.
        address: A Ray cluster, see `pool.run_all`.
        max_failures: Failed runs that are tolerated; None for any number.
        progress: Whether to show a progress bar on stderr.
        command: What to put down as the command that did it.

    Returns:
        The results.

    Raises:
        ConfigError: If the folder holds this sweep already and `resume` is false, or another one;
            if another process is at it; or if something is wrong with an environment.
        PoolError: If more than `max_failures` runs failed, or if Ray does not work.
        DatasetError: If the results of the last call cannot be read.
        OSError: If a file cannot be written.
    """
    everything = config.runs()
    chosen = sample_of(everything, share)
    problems = {run.problem: (run.run.env, run.run.env_kwargs) for run in everything}
    described = [describe_problem(*problem) for problem in problems.values()]
    folder = config.out
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, "this sweep"):
        saved = folder / CONFIG_NAME
        if saved.exists():
            earlier = SweepConfig.from_yaml(saved)
            refuse_another(
                "sweep", same=earlier.sweep_id == config.sweep_id, resume=resume, file=saved
            )
        config.to_yaml(saved)
        rows = {row["run_id"]: row for row in read_rows(folder)}
        order = {run.run.run_id: number for number, run in enumerate(everything)}
        _check_rows(rows, order, {problem.name: problem.simulator for problem in described}, folder)
        done = {run_id for run_id, row in rows.items() if row["status"] == "finished"}
        todo = [run for run in chosen if run.run.run_id not in done]
        before = read_about(folder) if (folder / ABOUT_NAME).exists() else None
        if todo or before is None:
            commands = [*(before.commands if before else ()), *([command] if command else ())]
            versions = _both(before.versions if before else {}, library_versions())
            write_about(folder, described, list(dict.fromkeys(commands)), versions)
        written = time.monotonic()

        def save() -> None:
            nonlocal written
            write_rows(folder, sorted(rows.values(), key=lambda row: order[row["run_id"]]))
            written = time.monotonic()

        def take_in(number: int, outcome: Outcome) -> None:
            run = todo[number]
            rows[run.run.run_id] = row_of(run, outcome)
            if time.monotonic() - written > _WRITE_S:
                save()

        try:
            run_all(
                [run.run for run in todo],
                jobs=jobs,
                address=address,
                max_failures=max_failures,
                progress=progress,
                on_outcome=take_in,
            )
        finally:
            save()
    return read_results(folder)


def sample_of(runs: list[PlannedRun], share: float) -> list[PlannedRun]:
    """Return a random part of some runs.

    Args:
        runs: The runs.
        share: Which part, above 0 and up to 1. Each run is in or out by its id, so that the number
            of runs is near that share only, and a larger share holds all runs of a smaller one.

    Raises:
        ConfigError: If the share is out of range, or so small that no run is left.
    """
    if not 0.0 < share <= 1.0:  # also refuses NaN
        raise ConfigError(f"the share of the runs must be above 0 and at most 1, got {share}.")
    chosen = [run for run in runs if int(run.run.run_id, 16) < share * 16**12]
    if not chosen:
        raise ConfigError(f"a share of {share} of {len(runs)} runs is none. Take a larger one.")
    return chosen


def _check_rows(
    rows: Mapping[str, Mapping[str, Any]],
    planned: Container[str],
    simulators: Mapping[str, str],
    folder: Path,
) -> None:
    """Refuse to add to rows that the runs of today would not agree with."""
    for run_id, row in rows.items():
        if run_id not in planned:
            raise ConfigError(
                f"{folder}: holds runs that this sweep does not have any more: the defaults or "
                "ranges of an agent have changed since. Choose another folder."
            )
        simulator = f"{row['simulator']} {row['simulator_version']}"
        if row["status"] == "finished" and simulator != simulators[row["problem"]]:
            raise ConfigError(
                f"{folder}: was begun with the simulator {simulator!r}, which is "
                f"{simulators[row['problem']]!r} now. Install the version that began the sweep, or "
                "choose another folder."
            )


def _both(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Return the versions of libraries, all that took part in a sweep."""
    both = {}
    for name, version in now.items():
        earlier = [part for part in before.get(name, "").split(", ") if part]
        both[name] = ", ".join(dict.fromkeys([*earlier, version]))
    return both
