"""How simulations are played on: in batches, in parts, and with decisions from outside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from archgym_py.simulators.soc import kernel
from archgym_py.simulators.soc.arrivals import as_arrivals, as_mix
from archgym_py.simulators.soc.layout import QUEUES, REWARDS, Sim, Soc
from archgym_py.simulators.soc.platforms import load_platform
from archgym_py.simulators.soc.problem import make_soc
from archgym_py.simulators.soc.settings import Settings
from archgym_py.simulators.soc.simulation import draw_jobs
from archgym_py.simulators.soc.state import make_sims, make_view

MIX = as_mix({"wifi_receiver": 0.5, "lag_detection": 0.5})
N_TASKS = (34, 7)


def _problem(seeds: Sequence[int], *, n_jobs: int = 20, **options: Any) -> tuple[Soc, Sim]:
    """Return a problem, and a simulation of it that has not begun for each seed."""
    settings = Settings(**options)
    soc = make_soc(load_platform("multiple_bal"), MIX.graphs, settings)
    arrivals = as_arrivals("poisson:mean_us=150")
    jobs = [
        draw_jobs(MIX, arrivals, n_jobs=n_jobs, seed=seed, noise=settings.noise_std > 0.0)
        for seed in seeds
    ]
    return soc, make_sims(soc, jobs, rows=34 * n_jobs, changes=2000)


def _advance(soc: Soc, sims: Sim, until: float = math.inf, actions: Any = None) -> list[int]:
    count = len(sims.system)
    codes = np.zeros(count, np.int64)
    actions = np.full(count, kernel.GO_ON) if actions is None else np.asarray(actions, np.int64)
    kernel.advance(kernel.bind(soc, sims, make_view(soc, 0)), actions, until, codes)
    return codes.tolist()


def _same(one: Sim, other: Sim, i: int = 0, j: int = 0) -> bool:
    """Return whether two simulations ended alike, in every array but scratch."""
    scratch = {"costs", "best_us", "best_pe", "heat_scratch", "queues"}
    return all(
        getattr(one, name)[i].tobytes() == getattr(other, name)[j].tobytes()
        for name in one._fields
        if name not in scratch
    )


HARD: list[dict[str, Any]] = [
    {},
    {"compat": "ds3"},
    {"compat": "ds3", "governor": "ondemand", "shared_memory": True},
    {"contention": True, "noise_std": 0.2, "governor": "ondemand"},
    {"power_gating": True, "wake_us": 5.0, "switch_us": 3.0, "scheduler": "heft_rt"},
    {"scheduler": "random", "length_us": 2000.0, "warmup_us": 500.0},
]


@pytest.mark.parametrize("options", HARD, ids=str)
def test_a_batch_is_its_simulations_one_by_one(options: dict[str, Any]) -> None:
    seeds = (3, 4, 5)
    soc, batch = _problem(seeds, **options)
    assert _advance(soc, batch) == [kernel.ENDED] * 3
    for i, seed in enumerate(seeds):
        soc, alone = _problem((seed,), **options)
        assert _advance(soc, alone) == [kernel.ENDED]
        assert _same(batch, alone, i, 0)
    assert not _same(batch, batch, 0, 1)


@pytest.mark.parametrize("options", HARD, ids=str)
def test_a_pause_changes_nothing_but_sums(options: dict[str, Any]) -> None:
    soc, whole = _problem((3,), **options)
    _advance(soc, whole)
    soc, parts = _problem((3,), **options)
    times = [0.0, 0.5, 10.0, 333.3, 334.0, 1000.0, 1000.5]
    for until in times:
        assert _advance(soc, parts, until) == [kernel.PAUSED]
        assert parts.system[0, 0]["now"] == until
    assert _advance(soc, parts) == [kernel.ENDED]
    for name in ("rows", "latency_us", "done_us", "changes", "celsius"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-12)
    assert parts.pes["energy_j"] == pytest.approx(whole.pes["energy_j"], rel=1e-12)
    assert parts.clusters["energy_j"] == pytest.approx(whole.clusters["energy_j"], rel=1e-12)
    assert parts.system[0, 0]["area_us"] == pytest.approx(whole.system[0, 0]["area_us"])


def test_an_ended_simulation_stays_ended() -> None:
    runs: list[dict[str, Any]] = [{}, {"length_us": 1500.0}]
    for options in runs:
        soc, sims = _problem((3,), **options)
        assert _advance(soc, sims) == [kernel.ENDED]
        before = sims.system.copy()
        assert _advance(soc, sims) == [kernel.ENDED]
        for name in ("now", "completed", "latency_us", "area_us", "n_rows"):
            assert sims.system[0, 0][name] == before[0, 0][name]


# --- Decisions from outside -----------------------------------------------------------------------


def _ready(sims: Sim, i: int = 0) -> list[tuple[int, int]]:
    """Return slot of the job and place in the graph of the tasks that wait for a decision."""
    y = sims.system[i, 0]
    most = sims.tasks.shape[1] // sims.jobs.shape[1]
    waiting = sims.queues[i, QUEUES.index("ready"), y["head"] : y["n_ready"]]
    return [(int(n) // most, int(n) % most) for n in waiting]


def test_any_ready_task_may_be_placed_first() -> None:
    """Slots count from the first task that waits, and the others keep their order."""
    rng = np.random.default_rng(0)
    soc, sims = _problem((3,), scheduler="external", n_jobs=10)
    codes, decided = _advance(soc, sims), 0
    while codes == [kernel.WAITING]:
        ready = _ready(sims)
        slot = int(rng.integers(len(ready)))
        job = sims.jobs[0, ready[slot][0]]
        g = int(soc.first_task[job["graph"]]) + ready[slot][1]
        pe = int(rng.choice(np.flatnonzero(np.isfinite(soc.work_us[g]))))
        now = sims.system[0, 0]["now"]
        codes = _advance(soc, sims, actions=[slot * 16 + pe])
        decided += 1
        if codes == [kernel.WAITING] and sims.system[0, 0]["now"] == now:
            left = [task for i, task in enumerate(ready) if i != slot]
            assert _ready(sims)[: len(left)] == left or not left
    assert codes == [kernel.ENDED]
    y = sims.system[0, 0]
    assert y["completed"] == 10
    assert decided == y["decisions"] == y["tasks_done"] == y["n_rows"]
    assert decided == sum(N_TASKS[g] for g in sims.graphs[0])


def test_a_simulation_of_a_batch_may_be_left_alone() -> None:
    soc, sims = _problem((3, 4))
    assert _advance(soc, sims, actions=[kernel.STAY, kernel.GO_ON]) == [0, kernel.ENDED]
    assert sims.system[:, 0]["completed"].tolist() == [0, 20]
    soc, alone = _problem((4,))
    _advance(soc, alone)
    assert _same(sims, alone, 1, 0)
    assert _advance(soc, sims, actions=[kernel.GO_ON, kernel.STAY]) == [kernel.ENDED, 0]
    assert _same(sims, alone, 1, 0)


def test_without_a_decision_nothing_happens() -> None:
    soc, sims = _problem((3,), scheduler="external")
    assert _advance(soc, sims) == [kernel.WAITING]
    before = sims.system.copy()
    assert _advance(soc, sims) == [kernel.WAITING]
    assert sims.system.tobytes() == before.tobytes()


def test_tasks_are_put_by_rank() -> None:
    soc, sims = _problem((3,), scheduler="external", order="rank", n_jobs=6)
    codes, most = _advance(soc, sims), 0
    while codes == [kernel.WAITING]:
        ranks = [
            soc.rank_us[soc.first_task[sims.jobs[0, slot]["graph"]] + task]
            for slot, task in _ready(sims)
        ]
        assert ranks == sorted(ranks, reverse=True)
        most = max(most, len(ranks))
        slot, task = _ready(sims)[0]
        g = soc.first_task[sims.jobs[0, slot]["graph"]] + task
        codes = _advance(soc, sims, actions=[int(np.argmin(soc.work_us[g]))])
    assert most >= 5


def test_estimates_come_true_on_an_idle_soc() -> None:
    soc, sims = _problem((3,), scheduler="external", n_jobs=1)
    codes = _advance(soc, sims)
    estimates = {}
    while codes == [kernel.WAITING]:
        kernel.estimate(kernel.bind(soc, sims, make_view(soc, 0)))
        costs = sims.costs[0].copy()
        slot, task = _ready(sims)[0]
        g = soc.first_task[sims.jobs[0, slot]["graph"]] + task
        assert (np.isinf(costs) == np.isinf(soc.work_us[g])).all()
        pe = int(np.argmin(costs))
        estimates[task] = sims.system[0, 0]["now"] + costs[pe]
        codes = _advance(soc, sims, actions=[pe])
    for row in sims.rows[0, : sims.system[0, 0]["n_rows"]]:
        assert row[4] == pytest.approx(estimates[int(row[1])])


def _play(soc: Soc, sims: Sim, view: Any) -> float:
    """Place every task where it ends first, and return the sum of all rewards."""
    codes, actions = np.zeros(1, np.int64), np.full(1, kernel.GO_ON)
    bound = kernel.bind(soc, sims, view)
    total = 0.0
    kernel.advance(bound, actions, math.inf, codes)
    while True:
        total += float(view.reward[0])
        assert np.isfinite(view.features).all()
        assert view.features.min() >= 0.0
        assert view.features.max() <= 1.0
        if codes[0] != kernel.WAITING:
            return total
        kernel.estimate(bound)
        actions[0] = int(np.argmin(sims.costs[0]))
        assert view.mask[0, actions[0]] == 1
        kernel.advance(bound, actions, math.inf, codes)


@pytest.mark.parametrize("reward", REWARDS)
def test_rewards_add_up_to_what_they_stand_for(reward: str) -> None:
    soc, sims = _problem((3,), scheduler="external", reward=reward, deadline_factor=1.5)
    total = _play(soc, sims, make_view(soc, 1, slots=2))
    y = sims.system[0, 0]
    base = float(soc.options[0]["base_w"]) * y["now"] * 1e-6
    energy = sims.clusters[0]["energy_j"].sum() + base
    latencies = sims.latency_us[0]
    expected = {
        "jobs_in_system": -latencies.sum() * 1e-3,
        "latency": -latencies.sum() * 1e-3,
        "energy": -energy * 1e3,
        "edp": -energy * 1e3 * latencies.mean() * 1e-3,
        "deadline": -float(y["missed"]),
        "compbonus": 50.0 * 20 - 0.5 * y["now"],
    }[reward]
    assert total == pytest.approx(expected)
    assert y["missed"] > 0


# --- Frequencies ----------------------------------------------------------------------------------


def test_frequencies_from_outside() -> None:
    """A task that is under way keeps what it has done, and goes on at the new frequency."""
    soc, sims = _problem((3,), n_jobs=1, scheduler="met", thermal_us=1e9)
    assert _advance(soc, sims, 1.0) == [kernel.PAUSED]
    slow, fast = np.zeros(5, np.int64), soc.n_points - 1
    running = {int(p): float(sims.event_us[0, p]) for p in np.flatnonzero(sims.pes[0]["busy"])}
    bound = kernel.bind(soc, sims, make_view(soc, 0))
    kernel.set_points(bound, slow)
    assert (sims.clusters[0]["mhz"] == soc.mhz[:, 0]).all()
    assert running
    for p, ends in running.items():
        slowdown = sims.clusters[0]["slowdown"][soc.cluster[p]]
        assert sims.event_us[0, p] == pytest.approx(1.0 + (ends - 1.0) * slowdown)
    kernel.set_points(bound, fast)
    for p, ends in running.items():
        assert sims.event_us[0, p] == pytest.approx(ends)
    assert _advance(soc, sims) == [kernel.ENDED]
    soc, plain = _problem((3,), n_jobs=1, scheduler="met", thermal_us=1e9)
    _advance(soc, plain)
    assert sims.rows == pytest.approx(plain.rows)
    assert sims.clusters["energy_j"] == pytest.approx(plain.clusters["energy_j"])


def test_changes_of_frequency_are_kept() -> None:
    soc, sims = _problem((3,), governor="ondemand", n_jobs=30)
    _advance(soc, sims)
    y = sims.system[0, 0]
    changes = sims.changes[0, : y["n_changes"]]
    assert 0 < len(changes) < 2000
    assert (np.diff(changes[:, 0]) >= 0.0).all()
    assert (changes[:, 0] % 10.0 == 0.0).all()  # the governor's period
    assert (changes[:, 3] == 0.0).all()
    last = {int(cluster): mhz for _, cluster, mhz, _ in changes}
    for cluster, mhz in last.items():
        assert sims.clusters[0, cluster]["mhz"] == mhz


# --- HEFT at run time -----------------------------------------------------------------------------


def test_insertion_leaves_no_task_behind() -> None:
    """Plans of PEs are chains: each task waits for the one before it, and all of them run."""
    runs: list[dict[str, Any]] = [
        {},
        {"contention": True, "noise_std": 0.4},
        {"shared_memory": True},
    ]
    for seed in range(5):
        for options in runs:
            soc, sims = _problem((seed,), n_jobs=60, scheduler="heft_rt", **options)
            assert _advance(soc, sims) == [kernel.ENDED]
            assert sims.system[0, 0]["completed"] == 60
            assert sims.system[0, 0]["n_executable"] == 0


def test_the_random_scheduler_takes_every_pe_alike() -> None:
    soc, sims = _problem((3,), n_jobs=400, scheduler="random", seed=5, power=False)
    _advance(soc, sims)
    rows = sims.rows[0, : sims.system[0, 0]["n_rows"]]
    lag = rows[(sims.graphs[0][rows[:, 0].astype(np.int64)] == 1) & (rows[:, 1] == 1)]
    counts = np.bincount(lag[:, 2].astype(np.int64), minlength=16)
    assert (counts[8:] == 0).all()  # accelerators cannot run it
    expected = len(lag) / 8
    assert ((counts[:8] - expected) ** 2 / expected).sum() < 24.3  # chi square, 7 degrees, 0.1 %
