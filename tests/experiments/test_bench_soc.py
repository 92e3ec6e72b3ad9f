"""The benchmark of the SoC measures what it says; how fast that is, no test asks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from archgym_py.envs.soc_scheduler import SoCSchedulerEnv
from archgym_py.experiments import bench_soc
from archgym_py.experiments.bench_soc import measure_decisions, measure_schedules
from archgym_py.experiments.timing import QUICK
from archgym_py.simulators.soc.settings import SCHEDULERS, Settings

TINY = replace(QUICK, repeats=2, repeat_s=0.001)


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_soc, "_JOBS", 20)
    monkeypatch.setattr(bench_soc, "_BATCH", 4)
    monkeypatch.setattr(bench_soc, "_DECISIONS", 40)


def test_every_scheduler_is_timed() -> None:
    section = measure_schedules(TINY)
    targets = {figure.name: figure.target for figure in section.figures}
    others = {
        f"{name}, scheduling only": None for name in SCHEDULERS if name not in {"etf", "optimum"}
    }
    assert targets == {
        "etf, scheduling only": 3e6,
        "etf, power and temperature": 1.5e6,
        "etf, compat='ds3'": None,
        **others,
    }
    assert len({figure.also for figure in section.figures}) == 1  # they have the same jobs
    for figure in section.figures:
        assert 0 < figure.low <= figure.value <= figure.high
        assert figure.ratio > 0


def test_decisions_are_timed_single_and_batched() -> None:
    figures = {figure.name: figure for figure in measure_decisions(TINY).figures}
    for platform in ("ds3gym", "multiple_bal"):
        single = figures.pop(f"{platform}, single")
        batched = figures.pop(f"{platform}, batched, one thread")
        everywhere = figures.pop(f"{platform}, batched, all cores")
        assert (single.target, batched.target, everywhere.target) == (1e5, 1e6, None)
        assert (single.also, batched.also, everywhere.also) == (40, 40, 40)
        assert min(single.low, batched.low, everywhere.low) > 0
    assert not figures


def test_a_simulation_can_be_repeated() -> None:
    run, tasks = bench_soc._simulation(Settings(scheduler="etf"))
    first = run().latency_us.tolist()
    assert run().latency_us.tolist() == first
    assert run().system[0, 0]["tasks_done"] == tasks


def test_decisions_go_on_beyond_an_episode() -> None:
    env = SoCSchedulerEnv(platform="ds3gym", mix="top_1", n_jobs=1, power=False)
    decide = bench_soc._single(env)
    decide()
    assert 0 <= env.result().sim.system[0, 0]["decisions"] < 10  # 40 are four jobs of 10 tasks
