"""Simulates jobs on a SoC under a scheduler, and says what came of it.

    >>> result = simulate("multiple_bal", "wifi_receiver", arrivals="poisson:mean_us=900", n_jobs=9)
    >>> result.completed
    9
    >>> 280 < result.latency_mean_us < 400
    True

A scheduler is a name of `SCHEDULERS`, or any object with `choose`:

    >>> class FirstAble:
    ...     def choose(self, decision):
    ...         return decision.able[0]
    >>> result = simulate("multiple_bal", "lag_detection", scheduler=FirstAble(), n_jobs=3)
    >>> {row.pe for row in result.schedule}
    {0}
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from archgym_py.checks import integer
from archgym_py.errors import ConfigError
from archgym_py.simulators.soc import kernel
from archgym_py.simulators.soc.arrivals import Arrivals, Mix, as_arrivals, as_mix
from archgym_py.simulators.soc.gantt import ScheduleRow
from archgym_py.simulators.soc.graphs import TaskGraph
from archgym_py.simulators.soc.layout import Sim, Soc
from archgym_py.simulators.soc.platforms import Platform, as_platform
from archgym_py.simulators.soc.problem import make_soc
from archgym_py.simulators.soc.settings import SCHEDULERS, Settings
from archgym_py.simulators.soc.state import Jobs, make_sims, make_view

__all__ = [
    "SCHEDULERS",
    "Decision",
    "Result",
    "Scheduler",
    "attempts_of",
    "draw_jobs",
    "play",
    "simulate",
]

_MAX_JOBS = 10_000_000


@dataclass(frozen=True, slots=True)
class Decision:
    """A ready task that needs a PE.

    Attributes:
        now_us: Time in us.
        job: Number of the job.
        graph: Number of its task graph.
        task: Place of the task in its graph.
        work_us: Execution time on each PE at its highest frequency, (P,), inf where it cannot run.
        finish_us: Estimated time from now to its end on each PE, (P,): it waits for its inputs and
            for the tasks that the PE was given before.
        busy: Whether each PE runs a task, (P,).
        rank_us: Length of the longest way from the task to the end of its graph, mean times.
    """

    now_us: float
    job: int
    graph: int
    task: int
    work_us: npt.NDArray[np.float64]
    finish_us: npt.NDArray[np.float64]
    busy: npt.NDArray[np.bool_]
    rank_us: float

    @property
    def able(self) -> list[int]:
        """The PEs that can run the task."""
        return np.flatnonzero(np.isfinite(self.work_us)).tolist()


class Scheduler(Protocol):
    """What places tasks, one after another as they become ready."""

    def choose(self, decision: Decision) -> int:
        """Return the number of the PE that is to run the task."""
        ...


@dataclass(frozen=True)
class Result:
    """What came of a simulation. Statistics begin at the warm-up.

    Attributes:
        platform: The SoC.
        graphs: The graphs of the jobs.
        soc: The problem as the kernel has it.
        sim: The simulation at its end, every array with a first axis of one.
    """

    platform: Platform
    graphs: tuple[TaskGraph, ...]
    soc: Soc
    sim: Sim

    @property
    def _system(self) -> Any:
        return self.sim.system[0, 0]

    @property
    def end_us(self) -> float:
        """When the run ended, in us."""
        return float(self._system["now"])

    @property
    def counted_us(self) -> float:
        """Time from the warm-up to the end, in us."""
        return max(self.end_us - float(self.soc.options[0]["warmup_us"]), 0.0)

    @property
    def injected(self) -> int:
        """Jobs that entered, warm-up or not."""
        return int(self._system["injected"])

    @property
    def completed(self) -> int:
        """Jobs that were completed after the warm-up."""
        return int(self._system["counted"])

    @cached_property
    def latencies_us(self) -> npt.NDArray[np.float64]:
        """Latency of each job completed after the warm-up, by number of the job, in us."""
        done = self.sim.latency_us[0] >= 0.0
        done &= self.sim.done_us[0] >= self.soc.options[0]["warmup_us"]
        return np.asarray(self.sim.latency_us[0][done])

    @property
    def latency_mean_us(self) -> float:
        """Mean latency in us, 0 if no job was completed; DS3's forgotten jobs count as 0."""
        return float(self._system["latency_us"]) / max(self.completed, 1)

    def latency_quantile_us(self, share: float) -> float:
        """Return the latency that a share of the completed jobs does not exceed, in us."""
        return float(np.quantile(self.latencies_us, share)) if len(self.latencies_us) else 0.0

    @property
    def missed(self) -> int:
        """Completed jobs that were late."""
        return int(self._system["missed"])

    @property
    def jobs_in_flight(self) -> float:
        """Mean number of jobs in the system over time."""
        return float(self._system["area_us"]) / self.counted_us if self.counted_us else 0.0

    @property
    def energy_j(self) -> float:
        """Energy of all clusters, memory and GPU up to now, in J."""
        if self.soc.options[0]["compat"]:
            return float(self.sim.pes[0]["energy_j"].sum())
        base = float(self.soc.options[0]["base_w"]) * self.counted_us * 1e-6
        return float(self.cluster_energy_j.sum()) + (base if self.soc.options[0]["power"] else 0.0)

    @property
    def cluster_energy_j(self) -> npt.NDArray[np.float64]:
        """Energy of each cluster, (C,), in J; not with `compat`, which has it by PE."""
        # A cluster is charged when its power changes; this adds what has passed since.
        clusters, warmup = self.sim.clusters[0], float(self.soc.options[0]["warmup_us"])
        passed = np.maximum(self.end_us - np.maximum(clusters["charged"], warmup), 0.0)
        return np.asarray(clusters["energy_j"] + clusters["watt"] * passed * 1e-6)

    @property
    def peak_celsius(self) -> float:
        """Highest temperature, in degrees Celsius."""
        return max(float(self._system["hottest"]), float(self.sim.celsius[0].max()))

    @property
    def active_us(self) -> npt.NDArray[np.float64]:
        """Time that each PE was at work on completed tasks, (P,), in us."""
        return np.asarray(self.sim.pes[0]["active_us"])

    @property
    def blocking_us(self) -> npt.NDArray[np.float64]:
        """Time that each PE was at work while another task waited for it, (P,), in us."""
        return np.asarray(self.sim.pes[0]["blocking_us"])

    @property
    def schedule(self) -> list[ScheduleRow]:
        """The completed tasks in the order of their completion, if they were recorded.

        `gantt.draw_gantt` draws them and `gantt.schedule_table` writes them as CSV.
        """
        rows = self.sim.rows[0, : self._system["n_rows"]]
        names = [graph.tasks for graph in self.graphs]
        graph_of = self.sim.graphs[0]
        return [
            ScheduleRow(names[graph_of[int(job)]][int(task)], int(job), int(pe), start, finish)
            for job, task, pe, start, finish in rows[:, :5].tolist()
        ]


def draw_jobs(
    mix: Mix,
    arrivals: Arrivals,
    *,
    n_jobs: int,
    seed: int,
    noise: bool = False,
    attempts: int = 1,
) -> Jobs:
    """Return a stream of jobs; equal arguments give equal ones, whoever schedules them.

    Args:
        mix: The applications.
        arrivals: When jobs come.
        n_jobs: How many; a trace may have fewer.
        seed: Seed of applications, waits and execution times, which do not depend on each other.
        noise: Whether execution times vary.
        attempts: Waits to draw for each job; in DS3Gym every attempt to inject one is followed by
            a wait.

    Raises:
        ConfigError: If several waits are to be drawn for each job from arrivals that end.
    """
    if attempts > 1 and arrivals.n_jobs is not None:
        raise ConfigError(
            f"arrivals {arrivals.name!r} end, and compat='ds3gym' takes a wait for every attempt "
            f"to let a job in. Take arrivals that go on, or another compat."
        )
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(3)]
    if arrivals.n_jobs is not None:
        n_jobs = min(n_jobs, arrivals.n_jobs)
    most = max(len(graph.tasks) for graph in mix.graphs)
    return Jobs(
        graphs=mix.draw(streams[0], n_jobs),
        waits_us=arrivals.draw(streams[1], n_jobs * attempts),
        noise=streams[2].standard_normal((n_jobs, most)) if noise else None,
    )


def attempts_of(settings: Settings) -> int:
    """Return how many waits to draw for each job."""
    return 8 if settings.compat == "ds3gym" else 1


def simulate(
    platform: str | os.PathLike[str] | Mapping[str, Any] | Platform,
    mix: object,
    *,
    arrivals: str | Mapping[str, Any] | Arrivals = "poisson:mean_us=100",
    n_jobs: int = 1000,
    seed: int = 0,
    scheduler: str | Scheduler = "etf",
    settings: Settings | None = None,
    record: bool = True,
) -> Result:
    """Simulate a stream of jobs.

    Args:
        platform: The SoC, in a form of `as_platform`.
        mix: The applications, in a form of `as_mix`.
        arrivals: When jobs come, in a form of `as_arrivals`.
        n_jobs: How many jobs come.
        seed: Seed of the jobs.
        scheduler: A name of `SCHEDULERS`, or an object with `choose`.
        settings: Everything else; its scheduler gives way to `scheduler`.
        record: Whether to keep the schedule.

    Raises:
        ConfigError: If an argument is not legal, or the scheduler chooses a PE that cannot run the
            task.
        UnknownNameError: If a name is not known.
    """
    settings = settings or Settings()
    if settings.durations:
        raise ConfigError("durations=True needs jobs with their times: use make_sims and play.")
    inside = scheduler if isinstance(scheduler, str) else "external"
    settings = replace(settings, scheduler=inside)
    soc_of = as_platform(platform)
    applications = as_mix(mix)
    jobs = draw_jobs(
        applications,
        as_arrivals(arrivals),
        n_jobs=integer("n_jobs", n_jobs, 1, _MAX_JOBS),
        seed=integer("seed", seed, 0, 2**63 - 1),
        noise=settings.noise_std > 0.0,
        attempts=attempts_of(settings),
    )
    soc = make_soc(soc_of, applications.graphs, settings)
    rows = int(np.diff(soc.first_task)[jobs.graphs].sum()) if record else 0
    sim = make_sims(soc, [jobs], rows=rows)
    play(soc, sim, None if isinstance(scheduler, str) else scheduler)
    return Result(soc_of, applications.graphs, soc, sim)


def play(soc: Soc, sim: Sim, scheduler: Scheduler | None = None) -> None:
    """Run one simulation to its end.

    Args:
        soc: The problem.
        sim: A simulation, every array with a first axis of one.
        scheduler: What places tasks where the problem's scheduler is "external".

    Raises:
        ConfigError: If the scheduler chooses a PE that cannot run the task, or jobs are left that
            can never be completed.
    """
    codes, action = np.zeros(1, np.int64), np.full(1, kernel.GO_ON)
    bound = kernel.bind(soc, sim, make_view(soc, 0))
    kernel.advance(bound, action, math.inf, codes)
    while codes[0] == kernel.WAITING:
        if scheduler is None:
            raise ConfigError("scheduler='external' needs an object with `choose`.")
        kernel.estimate(bound)
        action[0] = _choice(soc, sim, scheduler)
        kernel.advance(bound, action, math.inf, codes)
    y = sim.system[0, 0]
    if y["completed"] < sim.graphs.shape[1] and soc.options[0]["length_us"] == math.inf:
        raise ConfigError(
            f"{y['injected'] - y['completed']} jobs can never be completed: they wait for data "
            f"over a link without bandwidth. Give the platform that link."
        )


def _choice(soc: Soc, sim: Sim, scheduler: Scheduler) -> int:
    """Return the PE that a scheduler chooses for the first ready task, whose costs are known."""
    y = sim.system[0, 0]
    most = sim.tasks.shape[1] // sim.jobs.shape[1]
    n = int(sim.queues[0, 0, y["head"]])
    job = sim.jobs[0, n // most]
    g = int(soc.first_task[job["graph"]]) + n % most
    pe = scheduler.choose(
        Decision(
            now_us=float(y["now"]),
            job=int(job["id"]),
            graph=int(job["graph"]),
            task=n % most,
            work_us=soc.work_us[g].copy(),
            finish_us=sim.costs[0].copy(),
            busy=sim.pes[0]["busy"].astype(np.bool_),
            rank_us=float(soc.rank_us[g]),
        )
    )
    if isinstance(pe, bool) or not isinstance(pe, int | np.integer):
        raise ConfigError(f"a scheduler chooses the number of a PE, got {pe!r}.")
    if not (0 <= pe < len(soc.cluster) and math.isfinite(soc.work_us[g, pe])):
        able = np.flatnonzero(np.isfinite(soc.work_us[g])).tolist()
        raise ConfigError(
            f"the scheduler chose PE {pe} for task {n % most} of job {int(job['id'])}, which "
            f"runs on {able} only."
        )
    return int(pe)
