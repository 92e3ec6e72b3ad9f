"""Compare the event-driven SoC simulator with recorded runs of DS3Gym.

Runs are recorded as those of DS3 are (`replay_soc_ds3`), with fewer results. Three things are taken
from the schedule of a run because chance made them:

* Execution times, if they vary (`resource_std`).
* The decisions of the scheduler "random".
* Where execution times are taken from a schedule, tasks that it does not have never end: they were
  under way, or waiting, when the run ended.

"heftrt" is shown but does not bind: among ready tasks of the same rank the reference follows the
order of its data structures, for which no rule is known that is right everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from archgym_py.errors import ArchGymError, ConfigError, did_you_mean
from archgym_py.simulators.soc.graphs import load_task_graph
from archgym_py.simulators.soc.layout import Sim, Soc
from archgym_py.simulators.soc.platforms import load_platform
from archgym_py.simulators.soc.problem import make_soc
from archgym_py.simulators.soc.settings import Settings
from archgym_py.simulators.soc.simulation import Decision, play
from archgym_py.simulators.soc.state import Jobs, make_sims
from tests.golden.replay_soc_ds3 import Finding, Row, gap, schedule_finding

__all__ = ["SCHEDULERS", "replay_gym"]

SCHEDULERS: Final[Mapping[str, str]] = {
    "MET": "met",
    "EFT": "eft",
    "ETF": "etf",
    "stf": "stf",
    "heftrt": "heft_rt",
    "random": "external",
}
"""The library's scheduler for each recorded one."""

_PROFILES: Final = ("job_Top.txt", *(f"job_Top{number}.txt" for number in range(2, 11)))
"""Files of the profiles; their names are Top_1 to Top_10."""


class _Recorded:
    """A scheduler that repeats the decisions of a recorded run.

    Of a task that the run did not complete it is not known where it went. It is held back for ever,
    unless it is the first task of a job and among those that the run counts as started.
    """

    def __init__(self, row: Row, soc: Soc, sim: Sim) -> None:
        self._sim = sim
        self._pe = {(task[1], task[2]): int(task[3]) for task in row["tasks"]}
        self._last_start = [
            max((task[4] for task in row["tasks"] if task[3] == pe), default=-math.inf)
            for pe in range(len(soc.cluster))
        ]
        completed_heads = sum(task[2] == 0 for task in row["tasks"])
        self._started_heads = row["results"]["injected_jobs"] - completed_heads

    def choose(self, decision: Decision) -> int:
        """Return the recorded PE, or one that nothing recorded disturbs or is disturbed by."""
        known = self._pe.get((decision.job, decision.task))
        if known is not None:
            return known
        if decision.task == 0 and self._started_heads:
            self._started_heads -= 1
        else:
            slots, tasks = self._sim.jobs[0], self._sim.tasks[0]
            place = int(np.flatnonzero(slots["id"] == decision.job)[0]) * (len(tasks) // len(slots))
            tasks["after"][place + decision.task] = place + decision.task  # waits for itself
        return min(decision.able, key=lambda pe: self._last_start[pe])


def replay_gym(section: str, rows: Sequence[Row]) -> list[Finding]:
    """Simulate recorded runs of DS3Gym and compare.

    Args:
        section: Name of the list that the runs are from.
        rows: The runs.

    Raises:
        ConfigError: If a run lacks something, or names what does not exist.
    """
    findings = []
    for number, row in enumerate(rows):
        run = str(row.get("id", f"run {number}"))
        try:
            scheduler = row["spec"]["scheduler"]
            group = f"{row['group']} {scheduler}"
            binding = scheduler != "heftrt"
            for quantity, (error, words) in _compare(row):
                findings.append(Finding(section, group, run, quantity, error, words, binding))
        except KeyError as error:
            raise ConfigError(f"{section}: {run}: the key {error} is missing.") from None
        except (ArchGymError, TypeError, ValueError) as error:
            raise ConfigError(f"{section}: {run}: {error}") from error
    return findings


def _compare(row: Row) -> Iterator[tuple[str, tuple[float, str]]]:
    soc, sim = _simulate(row)
    y, theirs = sim.system[0, 0], row["results"]
    yield "schedule", schedule_finding(soc, sim, row["tasks"])
    yield (
        "counts",
        gap(
            {
                "injected_jobs": (y["heads"], theirs["injected_jobs"]),
                "completed_jobs": (y["counted"], theirs["completed_jobs"]),
                "tasks_completed": (y["tasks_done"], theirs["tasks_completed"]),
            }
        ),
    )
    latency = (y["latency_us"], theirs["cumulative_exe_time"])
    yield "latency", gap({"cumulative_exe_time": latency})
    yield (
        "energy",
        gap(
            {
                "energy": (y["task_energy"], theirs["energy"]),
                "EDP": (y["task_energy"] * y["latency_us"], theirs["EDP"]),
            }
        ),
    )
    active = np.append(sim.pes[0]["active_us"], 0.0)  # the last one is the memory
    yield "active", gap({"busy": (active, theirs["busy"])})


def _simulate(row: Row) -> tuple[Soc, Sim]:
    spec = row["spec"]
    if spec["scheduler"] not in SCHEDULERS:
        hint = did_you_mean(spec["scheduler"], SCHEDULERS)
        raise ConfigError(f"unknown scheduler {spec['scheduler']!r}.{hint}")
    is_random = spec["scheduler"] == "random"
    timed = is_random or bool(spec.get("resource_std"))
    platform = load_platform("ds3gym")
    profiles = [_profile(name) for name in spec["job_profile"].split(",")]
    graphs = [load_task_graph(f"top_{number}") for number in profiles]
    settings = Settings(
        scheduler=SCHEDULERS[spec["scheduler"]],
        compat="ds3gym",
        max_jobs_in_flight=spec["max_num_jobs"],
        length_us=float(spec["simulation_length"]),
        fill_first=spec["pss"],
        durations=timed,
    )
    soc = make_soc(platform, graphs, settings)
    sim = make_sims(soc, [_jobs(row, profiles, timed)], rows=len(row["arrivals"]) * 10)
    play(soc, sim, _Recorded(row, soc, sim) if is_random else None)
    return soc, sim


def _profile(name: str) -> int:
    if name not in _PROFILES:
        raise ConfigError(f"unknown job profile {name!r}.{did_you_mean(name, _PROFILES)}")
    return _PROFILES.index(name) + 1


def _jobs(row: Row, profiles: Sequence[int], timed: bool) -> Jobs:
    names = [f"Top_{number}" for number in profiles]
    graphs = np.array([names.index(name) for name, _ in row["arrivals"]], np.int64)
    waits = np.array(row["wait_draws"], np.float64)
    if not timed:
        return Jobs(graphs, waits)
    durations: Any = np.full((len(graphs), 10), np.inf)
    for _, job, task, _, start, finish, *_ in row["tasks"]:
        durations[job, task] = finish - start
    return Jobs(graphs, waits, durations)
