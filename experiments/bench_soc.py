"""How fast jobs are scheduled on a SoC, on one core.

A section of `archgym_py.experiments.bench` for single simulations, one for the environment.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from archgym_py.envs.soc_scheduler import SoCSchedulerEnv, SoCSchedulerVectorEnv
from archgym_py.errors import ArchGymError
from archgym_py.experiments.timing import (
    Effort,
    Figure,
    Section,
    figure_of,
    million_steps,
    repeat_pairs,
)
from archgym_py.simulators.soc import kernel
from archgym_py.simulators.soc.arrivals import DS3_MIX, as_arrivals, as_mix
from archgym_py.simulators.soc.layout import Sim
from archgym_py.simulators.soc.platforms import load_platform
from archgym_py.simulators.soc.problem import make_soc
from archgym_py.simulators.soc.settings import SCHEDULERS, Settings
from archgym_py.simulators.soc.simulation import draw_jobs
from archgym_py.simulators.soc.state import make_sims, make_view

__all__ = ["measure_decisions", "measure_schedules"]

_PLATFORM = "multiple_bal"  # 16 PEs
_ARRIVALS = "poisson:mean_us=100"
_JOBS = 1000

_TARGET_TASKS_PER_S = 3e6
_TARGET_TASKS_WITH_POWER_PER_S = 1.5e6
_TARGET_DECISIONS_PER_S = 1e5
_TARGET_BATCHED_PER_S = 1e6

_DECISIONS = 500  # of a call
_BATCH = 256
_BATCH_STEPS = 10


def measure_schedules(effort: Effort) -> Section:
    """Time one simulation at a time, for every scheduler.

    Args:
        effort: How much is measured.

    Returns:
        Tasks per second, on one core; beside it the number of tasks of a simulation.
    """
    cases: list[tuple[str, str, dict[str, Any], float | None]] = [
        ("etf, scheduling only", "etf", {"power": False}, _TARGET_TASKS_PER_S),
        ("etf, power and temperature", "etf", {}, _TARGET_TASKS_WITH_POWER_PER_S),
        ("etf, compat='ds3'", "etf", {"compat": "ds3"}, None),
    ]
    cases += [
        (f"{name}, scheduling only", name, {"power": False}, None)
        for name in SCHEDULERS
        if name not in {"etf", "optimum"}  # its plans take long to find and run like others
    ]
    figures = []
    for label, scheduler, options, target in cases:
        job, tasks = _simulation(Settings(scheduler=scheduler, **options))
        figures.append(_figure(label, job, tasks, effort, target))
    return Section(
        title=f"one simulation at a time on one core: six applications, {_PLATFORM}, {_ARRIVALS}",
        unit="tasks/s",
        ratio_to="per 1e6 calibration steps",
        also="tasks of a simulation",
        figures=tuple(figures),
        note="Jobs are drawn and plans are made before the time is taken.",
    )


def measure_decisions(effort: Effort) -> Section:
    """Time the scheduler's environment with the first legal action, without a policy.

    Args:
        effort: How much is measured.

    Returns:
        Decisions per second, of one environment and of the vector form.
    """
    figures = []
    problems: dict[str, dict[str, Any]] = {
        "ds3gym": {
            "mix": [f"top_{profile}" for profile in range(1, 6)],
            "arrivals": "poisson:mean_us=25",
            "max_jobs_in_flight": 3,
        },
        _PLATFORM: {"mix": DS3_MIX, "arrivals": _ARRIVALS},
    }
    for platform, problem in problems.items():
        given = {"platform": platform, "n_jobs": _JOBS, "power": False, **problem}
        figures += [
            _figure(
                f"{platform}, single",
                _single(SoCSchedulerEnv(**given)),
                _DECISIONS,
                effort,
                _TARGET_DECISIONS_PER_S,
            ),
            _figure(
                f"{platform}, batched, one thread",
                _batched(SoCSchedulerVectorEnv(num_envs=_BATCH, threads=1, **given)),
                _BATCH * _BATCH_STEPS,
                effort,
                _TARGET_BATCHED_PER_S,
            ),
            _figure(
                f"{platform}, batched, all cores",
                _batched(SoCSchedulerVectorEnv(num_envs=_BATCH, **given)),
                _BATCH * _BATCH_STEPS,
                effort,
                None,
            ),
        ]
    return Section(
        title="decisions of ArchGym/SoCScheduler-v0 without a policy",
        unit="decisions/s",
        ratio_to="per 1e6 calibration steps",
        also="in a call",
        figures=tuple(figures),
        note=f"The action is always the first legal one; resets count. A batch has {_BATCH} "
        f"environments.",
    )


def _figure(
    name: str, job: Callable[[], object], count: int, effort: Effort, target: float | None
) -> Figure:
    job_s, steps_s = repeat_pairs(job, million_steps, effort)
    rates = [count / seconds for seconds in job_s]
    ratios = [rate * steps for rate, steps in zip(rates, steps_s, strict=True)]
    return figure_of(name, rates, ratios, target=target, also=float(count))


def _simulation(settings: Settings) -> tuple[Callable[[], Sim], int]:
    """Return a call that simulates the same jobs from their beginning, and how many tasks."""
    mix = as_mix(DS3_MIX)
    soc = make_soc(load_platform(_PLATFORM), mix.graphs, settings)
    jobs = draw_jobs(mix, as_arrivals(_ARRIVALS), n_jobs=_JOBS, seed=0)
    fresh, sim = make_sims(soc, [jobs]), make_sims(soc, [jobs])
    bound = kernel.bind(soc, sim, make_view(soc, 0))
    actions, codes = np.full(1, kernel.GO_ON), np.full(1, kernel.ENDED)

    def run() -> Sim:
        for array, start in zip(sim, fresh, strict=True):
            array[:] = start
        kernel.advance(bound, actions, math.inf, codes)
        return sim

    tasks = int(np.diff(soc.first_task)[jobs.graphs].sum())
    if run().system[0, 0]["tasks_done"] != tasks:
        raise ArchGymError(f"{settings.scheduler}: there is nothing to time: tasks are left over.")
    return run, tasks


def _single(env: SoCSchedulerEnv) -> Callable[[], object]:
    """Return a call that makes some decisions, one after another."""
    _, info = env.reset(seed=0)

    def decide() -> None:
        nonlocal info
        for _ in range(_DECISIONS):
            *_, terminated, truncated, info = env.step(int(info["action_mask"].argmax()))
            if terminated or truncated:
                _, info = env.reset()

    return decide


def _batched(envs: SoCSchedulerVectorEnv) -> Callable[[], object]:
    """Return a call that makes some decisions in every environment of a batch."""
    _, infos = envs.reset(seed=0)

    def decide() -> None:
        nonlocal infos
        for _ in range(_BATCH_STEPS):
            *_, infos = envs.step(infos["action_mask"].argmax(axis=1))

    return decide
