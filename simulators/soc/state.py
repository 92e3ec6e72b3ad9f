"""Jobs, and the simulations in which they run before they begin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from archgym_py.errors import ConfigError
from archgym_py.simulators.soc.layout import (
    AMBIENT_CELSIUS,
    CLUSTER,
    GOVERNORS,
    JOB,
    PE,
    QUEUES,
    ROW,
    SYSTEM,
    TASK,
    Sim,
    Soc,
    View,
)

__all__ = ["Jobs", "make_sims", "make_view"]

_NEVER: Final = 1 << 40  # a job number that no run reaches
_NO_NOISE: Final = np.zeros((1, 1))


@dataclass(frozen=True, slots=True)
class Jobs:
    """Which jobs come, and when.

    Attributes:
        graphs: int64 (J,): number of the task graph of each job.
        waits_us: float64: what the generator sleeps after each job that it let in (with
            compat="ds3gym" after each attempt), in us.
        noise: float64 (J, tasks of the largest graph): for each task what is drawn from a standard
            normal distribution, or with `Settings.durations` its execution time in us; None if
            times do not vary.
    """

    graphs: npt.NDArray[np.int64]
    waits_us: npt.NDArray[np.float64]
    noise: npt.NDArray[np.float64] | None = None


def make_sims(soc: Soc, jobs: Sequence[Jobs], *, rows: int = 0, changes: int = 0) -> Sim:
    """Return simulations that have not begun.

    Args:
        soc: The problem.
        jobs: The jobs of each simulation, which is the first axis of every array; equally many.
        rows: Tasks of which each keeps a row.
        changes: Changes of frequency that each keeps.

    Raises:
        ConfigError: If there is no such graph, or if execution times are to vary and jobs have no
            `noise`.
    """
    count = len(jobs)
    if soc.options[0]["noise"] and any(stream.noise is None for stream in jobs):
        raise ConfigError("execution times vary, so that jobs need `noise`: use draw_jobs.")
    if any(
        stream.graphs.min() < 0 or stream.graphs.max() > len(soc.deadline_us) - 1 for stream in jobs
    ):
        raise ConfigError(f"graphs of jobs must be numbers from 0 to {len(soc.deadline_us) - 1}.")
    slots, pes, clusters = int(soc.options[0]["capacity"]), len(soc.cluster), len(soc.first_pe) - 1
    tasks = int(np.diff(soc.first_task).max())
    is_ds3 = soc.options[0]["compat"] == 1
    number_of_jobs = len(jobs[0].graphs)
    system = np.zeros((count, 1), SYSTEM)
    system["tick_at"] = system["stamp_at"] = system["stop_at"] = math.inf
    system["sample_at"] = system["thermal_at"] = math.inf
    system["filling"] = soc.options[0]["fill_first"]
    system["ticked"] = -1.0 if soc.options[0]["compat"] else 0.0
    system["oldest"], system["newest"], system["sampled"] = _NEVER, -1, -1.0
    if is_ds3:
        system["sample_at"] = 0.0
    elif soc.options[0]["compat"] == 0:
        if soc.options[0]["power"]:
            system["thermal_at"] = soc.options[0]["thermal_us"]
        if (soc.governor == GOVERNORS.index("ondemand")).any():
            system["sample_at"] = soc.options[0]["sampling_us"]
    in_flight = np.zeros((count, slots), JOB)
    in_flight["id"] = -1
    engines = np.zeros((count, pes), PE)
    engines["task"] = engines["last"] = -1
    engines["evaluated"] = -1.0
    groups = np.zeros((count, clusters), CLUSTER)
    everywhere = np.arange(clusters)
    groups["point"] = soc.start_point
    groups["mhz"] = groups["policy_mhz"] = soc.mhz[everywhere, soc.start_point]
    groups["volt"] = soc.volt[everywhere, soc.start_point]
    groups["slowdown"] = soc.mhz[everywhere, soc.n_points - 1] / groups["mhz"]
    groups["charged"] = -1.0 if is_ds3 else 0.0
    return Sim(
        system=system,
        jobs=in_flight,
        tasks=np.zeros((count, slots * tasks), TASK),
        queues=np.zeros((count, len(QUEUES), slots * tasks), np.int64),
        pes=engines,
        event_us=np.full((count, pes), math.inf),
        event_phase=np.zeros((count, pes), np.int64),
        event_seq=np.zeros((count, pes), np.int64),
        available_us=np.zeros((count, pes)),
        clusters=groups,
        celsius=np.full((count, 5), AMBIENT_CELSIUS),
        link_us=np.zeros((count, clusters + 1, clusters + 1)),
        listed=np.zeros((count, number_of_jobs if is_ds3 else 0), np.int64),
        order=np.zeros((count, slots, tasks if is_ds3 else 0), np.int64),
        latency_us=np.full((count, number_of_jobs), -1.0),
        done_us=np.full((count, number_of_jobs), -1.0),
        heat_scratch=np.zeros((count, 5)),
        costs=np.zeros((count, pes)),
        best_us=np.zeros((count, slots * tasks)),
        best_pe=np.zeros((count, slots * tasks), np.int64),
        waits_us=np.array([stream.waits_us for stream in jobs], np.float64),
        graphs=np.array([stream.graphs for stream in jobs], np.int64),
        noise=np.array([_NO_NOISE if j.noise is None else j.noise for j in jobs], np.float64),
        rows=np.zeros((count, rows, len(ROW))),
        changes=np.zeros((count, changes, 4)),
    )


def make_view(soc: Soc, count: int, *, slots: int = 1) -> View:
    """Return room for observations, masks and rewards.

    Args:
        soc: The problem.
        count: Number of simulations; 0 if nothing is to be written.
        slots: Ready tasks that an observation describes.
    """
    pes = len(soc.cluster)
    return View(
        features=np.zeros((count, slots * (5 + 2 * pes) + 4 * pes + 4), np.float32),
        mask=np.zeros((count, slots * pes), np.int8),
        reward=np.zeros(count),
    )
