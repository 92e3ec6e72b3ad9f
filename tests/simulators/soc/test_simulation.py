"""Properties that every simulation must have, and what is said about wrong arguments."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from archgym_py.errors import ArchGymError, ConfigError, UnknownNameError
from archgym_py.simulators.soc.arrivals import Mix
from archgym_py.simulators.soc.generator import generate_task_graph
from archgym_py.simulators.soc.graphs import Edge, TaskGraph, load_task_graph
from archgym_py.simulators.soc.optimum import optimum
from archgym_py.simulators.soc.platforms import (
    MEMORY,
    Cluster,
    OperatingPoint,
    Platform,
    load_platform,
)
from archgym_py.simulators.soc.settings import Settings
from archgym_py.simulators.soc.simulation import (
    SCHEDULERS,
    Decision,
    Result,
    Scheduler,
    simulate,
)
from archgym_py.simulators.soc.static_problem import StaticProblem
from archgym_py.simulators.soc.static_schedule import heft

PROFILE = {600: (0.2, 0.35, 0.5), 1000: (0.4, 0.7, 0.95)}
POINTS = (OperatingPoint(600, 900), OperatingPoint(1000, 1000))

# A plan decides as the static schedulers do that are tested elsewhere; HEFT stands for all of them.
ONLINE = tuple(name for name in SCHEDULERS if name not in {"cpop", "peft", "lookahead_heft"})
NOT_OPTIMUM = tuple(name for name in ONLINE if name != "optimum")


def _platform(seed: int = 0) -> Platform:
    """Return three clusters of several PEs, with links that differ."""
    rng = np.random.default_rng(seed)
    kinds = ("little", "big", "accelerator")
    clusters = tuple(
        Cluster(f"P{c + 1}", kind, int(rng.integers(1, 4)), POINTS, PROFILE, (None, 600.0, 600.0))  # type: ignore[arg-type]
        for c, kind in enumerate(kinds)
    )
    names = [*(cluster.name for cluster in clusters), MEMORY]
    links = {
        (one, other): float(rng.choice([0.5, 2.0, 10.0]))
        for i, one in enumerate(names)
        for other in names[i:]
        if one != MEMORY
    }
    return Platform(f"random {seed}", clusters, 1000.0, 1.0, links)


def _mix(platform: Platform, seed: int = 0, ccr: float = 1.0) -> Mix:
    """Return two random applications, some of whose tasks cannot run everywhere."""
    rng = np.random.default_rng([7, seed])
    graphs = []
    for number, n_tasks in enumerate((6, 11)):
        graph = generate_task_graph(n_tasks, clusters=platform, seed=2 * seed + number, ccr=ccr)
        times = {task: dict(of_task) for task, of_task in graph.times_us.items()}
        for of_task in times.values():
            if rng.random() < 0.3:
                del of_task[f"P{rng.integers(1, 4)}"]
        graphs.append(replace(graph, name=f"app {number}", times_us=times))
    return Mix(tuple(graphs), (0.5, 0.5))


def _simulate(scheduler: str | Scheduler = "etf", seed: int = 0, **options: Any) -> Result:
    """Simulate 40 jobs of a random mix on a random platform, under load."""
    platform = _platform(seed)
    n_jobs = options.pop("n_jobs", 40)
    mean_us = options.pop("mean_us", 60)
    chance = options.pop("chance", 0)
    return simulate(
        platform,
        _mix(platform, seed),
        arrivals=f"poisson:mean_us={mean_us}",
        n_jobs=n_jobs,
        seed=seed,
        scheduler=scheduler,
        settings=Settings(seed=chance, **options),
    )


# --- Schedules ------------------------------------------------------------------------------------


def _rows(result: Result) -> Any:
    return result.sim.rows[0, : result.sim.system[0, 0]["n_rows"]]


def _check_schedule(result: Result, mix: Mix, *, fixed: bool = True) -> None:
    """Recompute everything about a schedule that was completed.

    Args:
        result: What came of a simulation.
        mix: Its applications.
        fixed: Whether frequencies are constant and times do not vary, so that durations are known.
    """
    o, rows = result.soc.options[0], _rows(result)
    bandwidth = result.platform.bandwidth_matrix()
    whole = o["compat"] == 1
    row_of = {(int(row[0]), int(row[1])): row for row in rows}
    assert len(row_of) == len(rows)
    jobs = result.sim.graphs[0]
    assert set(row_of) == {
        (job, task) for job, g in enumerate(jobs) for task in range(len(mix.graphs[g].tasks))
    }
    for job, g in enumerate(jobs):
        graph = mix.graphs[g]
        times = result.platform.times_us(graph)
        for task in range(len(graph.tasks)):
            _, _, pe, start, finish, decided, ready = row_of[job, task]
            assert start >= ready - 1e-9
            assert start >= decided - 1e-9
            slowdown = result.sim.clusters[0]["slowdown"][result.soc.cluster[int(pe)]]
            if fixed:
                assert finish - start == pytest.approx(times[task, int(pe)] * slowdown, abs=1e-7)
            assert math.isfinite(times[task, int(pe)])
            stored, made = [], []
            for edge in graph.edges:
                if edge.target == task:
                    source = row_of[job, edge.source]
                    way = (int(source[2]), -1) if o["shared_memory"] else (int(source[2]), int(pe))
                    delay = edge.volume / bandwidth[way]
                    end = math.floor(source[4]) if whole else source[4]
                    made.append(source[4])
                    stored.append(end + (math.floor(delay) if whole else delay))
            assert decided >= max(made, default=0.0)
            if made and o["shared_memory"]:
                assert decided >= max(stored) - 1e-9
                loads = [
                    edge.volume / bandwidth[-1, int(pe)]
                    for edge in graph.edges
                    if edge.target == task
                ]
                least = decided + max(math.floor(load) if whole else load for load in loads)
            elif made:
                least = max(stored)
            else:
                least = decided
            if o["contention"]:
                assert ready >= least - 1e-7
            else:
                assert ready == pytest.approx(least, abs=1e-7)
    for pe in range(len(result.soc.cluster)):
        own = rows[rows[:, 2] == pe]
        own = own[np.lexsort((own[:, 4], own[:, 3]))]
        assert (own[1:, 3] >= own[:-1, 4] - 1e-9).all(), f"PE {pe} runs two tasks at once"


def _check_no_idling(result: Result) -> None:
    """A task starts when its inputs are there, or when its PE is done with another one."""
    rows = _rows(result)
    for pe in range(len(result.soc.cluster)):
        own = rows[rows[:, 2] == pe]
        for row in own:
            at_once = math.isclose(row[3], max(row[5], row[6]), abs_tol=1e-7)
            assert at_once or np.isclose(own[:, 4], row[3], rtol=0, atol=1e-7).any()


@pytest.mark.parametrize("scheduler", ONLINE)
@pytest.mark.parametrize("mode", ["none", "shared", "contention", "shared contention"])
def test_schedules_keep_the_rules(scheduler: str, mode: str) -> None:
    for seed in range(2):
        result = _simulate(
            scheduler, seed, shared_memory="shared" in mode, contention="contention" in mode
        )
        assert result.completed == result.injected == 40
        _check_schedule(result, _mix(result.platform, seed))
        _check_no_idling(result)


@pytest.mark.parametrize("scheduler", ["met", "eft", "etf", "etf_lb", "stf"])
@pytest.mark.parametrize("shared_memory", [False, True])
def test_schedules_of_ds3_keep_the_rules(scheduler: str, shared_memory: bool) -> None:
    for seed in range(2):
        platform = _platform(seed)
        mix = _even(_mix(platform, seed))
        result = simulate(
            platform,
            mix,
            arrivals="deterministic:period_us=90",
            n_jobs=14,  # DS3 forgets tasks of jobs that are older
            scheduler=scheduler,
            settings=Settings(compat="ds3", shared_memory=shared_memory),
        )
        assert result.completed == 14
        _check_schedule(result, mix)


def _even(mix: Mix) -> Mix:
    """Return a mix with even times, 2 at least, and volumes that are multiples of four."""
    graphs = tuple(
        replace(
            graph,
            times_us={
                task: {name: 2.0 * max(round(time / 2.0), 1) for name, time in of_task.items()}
                for task, of_task in graph.times_us.items()
            },
            edges=tuple(
                Edge(edge.source, edge.target, 4.0 * round(edge.volume / 2.0))
                for edge in graph.edges
            ),
        )
        for graph in mix.graphs
    )
    return Mix(graphs, mix.probabilities)


@pytest.mark.parametrize(
    "options",
    [
        {"noise_std": 0.3},
        {"switch_us": 7.0},
        {"power_gating": True, "wake_us": 11.0},
        {"switch_us": 5.0, "power_gating": True, "wake_us": 3.0, "contention": True},
        {"governor": "ondemand"},
        {"governor": {"P1": "constant-600", "P2": "powersave", "P3": "ondemand"}},
        {"throttling": True, "trip_celsius": (42.001, 42.002, 42.003), "thermal_us": 50.0},
        {"asap": True},
        {"max_jobs_in_flight": 2},
    ],
    ids=",".join,
)
@pytest.mark.parametrize("scheduler", ["eft", "heft_rt", "met", "heft"])
def test_schedules_keep_the_rules_in_harder_conditions(
    scheduler: str, options: dict[str, Any]
) -> None:
    result = _simulate(scheduler, 1, **options)
    assert result.completed == 40
    fixed = not {"noise_std", "throttling", "governor"} & options.keys()
    _check_schedule(result, _mix(result.platform, 1), fixed=fixed)


def test_a_pe_takes_time_to_turn_to_another_task() -> None:
    plain, slow = _simulate("eft", switch_us=0.0), _simulate("eft", switch_us=9.0)
    rows = _rows(slow)
    for pe in range(len(slow.soc.cluster)):
        own = rows[rows[:, 2] == pe]
        own = own[np.argsort(own[:, 3])]
        kinds = [(slow.sim.graphs[0][int(row[0])], row[1]) for row in own]
        for kind, other, one, row in zip(kinds, kinds[1:], own, own[1:], strict=False):
            gap = 9.0 if kind != other else 0.0
            assert row[3] >= max(one[4], row[6]) + gap - 1e-9
    assert slow.latency_mean_us > plain.latency_mean_us


def test_a_cluster_takes_time_to_wake() -> None:
    result = _simulate("eft", power_gating=True, wake_us=9.0)
    rows, cluster = _rows(result), result.soc.cluster
    woken = 0
    for i, row in enumerate(rows):
        same = cluster[rows[:, 2].astype(np.int64)] == cluster[int(row[2])]
        same[i] = False
        others = rows[same & (rows[:, 3] <= row[3])]
        # Just before it was prepared nothing of its cluster ran or was woken for something else.
        if not (others[:, 4] >= row[3] - 9.0).any():
            assert row[3] >= row[6] + 9.0 - 1e-9
            woken += 1
    assert woken > 5


def test_links_that_carry_one_transfer_at_a_time_delay_jobs() -> None:
    for seed in range(4):
        for shared_memory in (False, True):
            free, busy = (
                _simulate("eft", seed, shared_memory=shared_memory, contention=contention)
                for contention in (False, True)
            )
            assert busy.latency_mean_us > free.latency_mean_us


def test_transfers_queue_on_a_link() -> None:
    """Two inputs from one PE come one after the other; without contention, together."""
    clusters = tuple(
        Cluster(name, "cpu", 1, (OperatingPoint(1000, 1000),), PROFILE, (), times)
        for name, times in (("A", {"a": 10.0, "b": 10.0}), ("B", {"c": 10.0}))
    )
    graph = TaskGraph("join", ("a", "b", "c"), (Edge(0, 2, 8.0), Edge(1, 2, 6.0)))
    platform = Platform("two", clusters, 1000.0, 1.0, {("A", "B"): 2.0})
    ends = {}
    for contention in (False, True):
        result = simulate(platform, graph, n_jobs=1, settings=Settings(contention=contention))
        ends[contention] = result.end_us
    assert ends[False] == 20.0 + 3.0 + 10.0  # b, which ends at 20, takes 3
    assert ends[True] == 20.0 + 4.0 + 3.0 + 10.0  # a waits until it is known where c will run


# --- Jobs -----------------------------------------------------------------------------------------


def test_jobs_do_not_depend_on_the_scheduler() -> None:
    results = [_simulate(name, noise_std=0.2, max_jobs_in_flight=100) for name in NOT_OPTIMUM]
    first = results[0]
    for result in results[1:]:
        assert (result.sim.graphs == first.sim.graphs).all()
        assert (result.sim.waits_us == first.sim.waits_us).all()
        assert (result.sim.noise == first.sim.noise).all()
        came = result.sim.done_us - result.sim.latency_us
        assert came == pytest.approx(first.sim.done_us - first.sim.latency_us, abs=1e-6)
    assert len({result.latency_mean_us for result in results}) > 5


def test_equal_seeds_give_equal_runs() -> None:
    for scheduler, other_seed, other_chance in (("etf", 4, 0), ("random", 3, 1)):
        one, two, other = (
            _simulate(scheduler, seed, noise_std=0.2, governor="ondemand", chance=chance)
            for seed, chance in ((3, 0), (3, 0), (other_seed, other_chance))
        )
        assert (_rows(one) == _rows(two)).all()
        assert one.energy_j == two.energy_j
        assert not np.array_equal(_rows(one), _rows(other))


@pytest.mark.parametrize("scheduler", ["etf", "heft_rt", "random"])
def test_little_s_law(scheduler: str) -> None:
    result = _simulate(scheduler, max_jobs_in_flight=6)
    assert result.jobs_in_flight * result.counted_us == pytest.approx(result.latencies_us.sum())
    assert result.latency_mean_us == pytest.approx(result.latencies_us.mean())
    assert result.latency_quantile_us(1.0) == result.latencies_us.max()
    assert result.latency_quantile_us(0.0) == result.latencies_us.min()


@pytest.mark.parametrize("compat", ["none", "ds3"])
def test_no_more_jobs_than_there_may_be(compat: str) -> None:
    for most in (1, 3):
        result = _simulate("met", 1, max_jobs_in_flight=most, compat=compat, n_jobs=14)
        done = np.sort(result.sim.done_us[0])
        came = np.sort(result.sim.done_us[0] - result.sim.latency_us[0])
        inside = [int((came <= t + 1e-6).sum() - (done < t - 1e-6).sum()) for t in came]
        assert max(inside) <= most + (compat == "none")  # one leaves as the next one enters
        assert result.jobs_in_flight <= most


def test_asap_lets_jobs_in_without_a_wait() -> None:
    plain, soon = (_simulate("etf", mean_us=5000, asap=asap) for asap in (False, True))
    assert soon.end_us < 0.2 * plain.end_us
    came = np.sort(soon.sim.done_us[0] - soon.sim.latency_us[0])[1:]
    assert np.isin(np.round(came, 6), np.round(soon.sim.done_us[0], 6)).mean() > 0.8


def test_statistics_begin_at_the_warm_up_and_end_with_the_run() -> None:
    whole = _simulate("etf")
    part = _simulate("etf", warmup_us=600.0, length_us=1500.0)
    done = whole.sim.done_us[0]
    counted = (done >= 600.0) & (done < 1500.0)
    assert part.end_us == 1500.0
    assert part.counted_us == 900.0
    assert part.completed == counted.sum() > 5
    assert (part.latencies_us == whole.sim.latency_us[0][counted]).all()
    came = done - whole.sim.latency_us[0]
    inside = np.clip(done, 600.0, 1500.0) - np.clip(came, 600.0, 1500.0)
    assert part.jobs_in_flight == pytest.approx(inside.sum() / 900.0)
    rows = _rows(whole)
    assert (_rows(part) == rows[rows[:, 4] < 1500.0]).all()
    assert part.active_us.sum() == pytest.approx(
        np.clip(
            rows[rows[:, 4] < 1500.0][:, 4] - np.maximum(rows[rows[:, 4] < 1500.0][:, 3], 600.0),
            0,
            None,
        ).sum()
    )


def test_deadlines() -> None:
    assert _simulate("met").missed == 0
    result = _simulate("met", deadline_factor=3.0)
    limits = result.soc.deadline_us[result.sim.graphs[0]]
    late = int((result.sim.latency_us[0] > limits).sum())
    assert 0 < result.missed == late < 40
    for graph, limit in zip(_mix(result.platform).graphs, result.soc.deadline_us, strict=True):
        fastest = result.platform.times_us(graph).min(axis=1)
        longest = [0.0] * len(fastest)
        for task in graph.topological_order:
            before = max((longest[source] for source in graph.predecessors(task)), default=0.0)
            longest[task] = before + fastest[task]
        assert limit == pytest.approx(3.0 * max(longest))


# --- Energy ---------------------------------------------------------------------------------------


def _recomputed_energy(result: Result) -> list[float]:
    """Return the energy of each cluster in J at constant frequencies and 42 degrees."""
    rows, base = _rows(result), result.soc
    gating = base.options[0]["gating"]
    kelvin = 273.0 + 42.0
    joules = []
    for c, cluster in enumerate(result.platform.clusters):
        point = next(p for p in cluster.opps if p.mhz == result.sim.clusters[0]["mhz"][c])
        volt = point.mv / 1000.0
        leakage = volt * 0.002488 * kelvin**2 * math.exp(-2660.0 / kelvin) + 0.000519 * volt
        leakage *= {"little": 1 / 16, "big": 1 / 4, "accelerator": 0.0}[cluster.kind]
        key = min(mhz for mhz in cluster.power_w if mhz >= point.mhz)
        assert key == point.mhz  # so that the dynamic power is that of the profile
        own = rows[base.cluster[rows[:, 2].astype(np.int64)] == c]
        times = np.unique(np.concatenate([[0.0, result.end_us], own[:, 3], own[:, 4]]))
        joule = 0.0
        for begin, end in itertools.pairwise(times):
            busy = int(((own[:, 3] <= begin) & (own[:, 4] >= end)).sum())
            watt = 0.0 if gating and not busy else leakage * cluster.pes
            if busy:
                profile = cluster.power_w[key]
                watt += profile[busy - 1] - leakage * len(profile)
            joule += watt * (end - begin) * 1e-6
        joules.append(joule)
    return joules


@pytest.mark.parametrize(
    "options",
    [{}, {"governor": "powersave"}, {"power_gating": True, "wake_us": 5.0}, {"noise_std": 0.2}],
    ids=str,
)
def test_energy_is_that_of_the_schedule(options: dict[str, Any]) -> None:
    result = _simulate("etf", 2, thermal_us=1e9, **options)
    assert result.cluster_energy_j == pytest.approx(_recomputed_energy(result), rel=1e-9)
    base = (0.0473 + 0.1201) * result.end_us * 1e-6
    assert result.energy_j == pytest.approx(result.cluster_energy_j.sum() + base, rel=1e-12)


def test_energy_of_a_part_adds_up() -> None:
    """What is used before a time and after it is what is used in all."""
    whole = _simulate("etf", 2)
    before = _simulate("etf", 2, length_us=700.0)
    after = _simulate("etf", 2, warmup_us=700.0)
    assert before.energy_j + after.energy_j == pytest.approx(whole.energy_j, rel=1e-9)
    assert before.end_us + after.counted_us == pytest.approx(whole.end_us)
    assert min(before.energy_j, after.energy_j) > 0.1 * whole.energy_j


def test_gating_saves_energy_and_waking_costs_time() -> None:
    plain, gated, slow = (
        _simulate("met", 2, power_gating=gating, wake_us=wake)
        for gating, wake in ((False, 0.0), (True, 0.0), (True, 20.0))
    )
    assert (_rows(plain) == _rows(gated)).all()
    assert gated.energy_j < plain.energy_j
    assert slow.latency_mean_us > gated.latency_mean_us


def test_without_power_there_is_no_energy_and_the_same_schedule() -> None:
    with_it, without = (_simulate("etf", power=power) for power in (True, False))
    assert (_rows(with_it) == _rows(without)).all()
    assert with_it.energy_j > 0.0
    assert without.energy_j == 0.0


def test_low_frequencies_take_longer() -> None:
    high, low = (_simulate("met", governor=name) for name in ("performance", "powersave"))
    assert low.sim.clusters[0]["mhz"].tolist()[:2] == [600.0, 600.0]
    rows = {(row[0], row[1]): row for row in _rows(high)}
    for row in _rows(low):
        if row[2] == rows[row[0], row[1]][2]:
            quick = rows[row[0], row[1]]
            slowdown = low.sim.clusters[0]["slowdown"][low.soc.cluster[int(row[2])]]
            assert row[4] - row[3] == pytest.approx(slowdown * (quick[4] - quick[3]))
    assert low.latency_mean_us > high.latency_mean_us


def test_ondemand_steps_down_when_there_is_little_to_do() -> None:
    options: dict[str, Any] = {"mean_us": 20_000, "n_jobs": 10, "length_us": 500_000.0}
    idle = _simulate("met", governor="ondemand", **options)
    assert idle.completed == 10
    assert (idle.sim.clusters[0]["mhz"] == 600.0).all()
    busy = _simulate("met", governor="performance", **options)
    assert idle.energy_j < busy.energy_j
    assert idle.latency_mean_us > busy.latency_mean_us


def test_hot_chips_are_slowed_down() -> None:
    options: dict[str, Any] = {"thermal_us": 100.0, "n_jobs": 100}
    free = _simulate("met", 1, **options)
    held = _simulate("met", 1, throttling=True, trip_celsius=(42.0, 42.001, 42.002), **options)
    assert free.peak_celsius > 42.002
    assert (free.sim.clusters[0]["mhz"] == 1000.0).all()
    assert (held.sim.clusters[0]["mhz"] == 600.0).all()
    assert held.latency_mean_us > free.latency_mean_us
    # Trips that are never reached change nothing.
    cool = _simulate("met", 1, throttling=True, trip_celsius=(200.0, 201.0, 202.0), **options)
    assert (_rows(cool) == _rows(free)).all()


def test_temperatures_do_not_depend_on_the_period_of_their_updates() -> None:
    peaks = [_simulate("met", 1, n_jobs=200, thermal_us=us).sim.celsius[0] for us in (50, 200)]
    assert peaks[0] - 42.0 == pytest.approx(peaks[1] - 42.0, rel=0.15)
    assert (peaks[0] > 42.0).all()


# --- Schedulers -----------------------------------------------------------------------------------


class EarliestFinish:
    """What "eft" does, written outside."""

    def choose(self, decision: Decision) -> int:
        return int(np.argmin(decision.finish_us))


@pytest.mark.parametrize("compat", ["none", "ds3"])
def test_a_scheduler_outside_gives_the_same_schedule(compat: str) -> None:
    for shared_memory in (False, True):
        options: dict[str, Any] = {"compat": compat, "shared_memory": shared_memory}
        inside = _simulate("eft", 2, n_jobs=14, **options)
        outside = _simulate(EarliestFinish(), 2, n_jobs=14, **options)
        assert (_rows(inside) == _rows(outside)).all()
        assert inside.energy_j == outside.energy_j


def test_what_a_scheduler_is_told() -> None:
    told: list[Decision] = []

    class Listener:
        def choose(self, decision: Decision) -> int:
            told.append(decision)
            return decision.able[-1]

    result = _simulate(Listener(), n_jobs=5)
    mix = _mix(result.platform)
    assert len(told) == sum(len(mix.graphs[g].tasks) for g in result.sim.graphs[0])
    rows = {(int(row[0]), int(row[1])): row for row in _rows(result)}
    for decision in told:
        row = rows[decision.job, decision.task]
        times = result.platform.times_us(mix.graphs[decision.graph])[decision.task]
        assert (decision.work_us == times).all()
        assert decision.able == np.flatnonzero(np.isfinite(times)).tolist()
        assert (decision.now_us, decision.able[-1]) == (row[5], row[2])
        assert decision.finish_us[int(row[2])] >= times[int(row[2])]
        assert decision.rank_us >= np.mean(times[np.isfinite(times)]) - 1e-9
    assert any(decision.busy.any() for decision in told)


def test_no_schedule_of_a_job_is_shorter_than_the_optimum() -> None:
    for seed in range(3):
        platform = _platform(seed)
        platform = replace(platform, same_pe_bandwidth=1e12)
        graph = _mix(platform, seed).graphs[0]
        problem = StaticProblem.of(graph, platform)
        best = optimum(problem, time_limit_s=20.0)
        assert best.proven
        ends = {
            name: simulate(platform, graph, n_jobs=1, scheduler=name).end_us for name in SCHEDULERS
        }
        assert min(ends.values()) >= best.schedule.makespan - 1e-6
        assert best.schedule.makespan <= heft(problem).makespan + 1e-6
        assert best.schedule.makespan < max(ends.values())


def test_round_robin_takes_turns() -> None:
    cluster = Cluster("A", "cpu", 3, POINTS, PROFILE, (), {"a": 5.0})
    graph = TaskGraph("one", ("a",), ())
    platform = Platform("three", (cluster,), 1.0, 1.0)
    result = simulate(platform, graph, n_jobs=7, scheduler="round_robin")
    assert [row.pe for row in sorted(result.schedule, key=lambda row: row.job)] == [
        *(0, 1, 2, 0, 1, 2, 0)
    ]


def test_the_canonical_graph() -> None:
    """DS3's schedulers take 80 on one job, as HEFT does, and the optimum is 73."""
    platform = replace(load_platform("top"), same_pe_bandwidth=1e12)
    for scheduler in ("eft", "etf"):
        for compat in ("none", "ds3"):
            result = simulate(
                platform,
                "canonical",
                n_jobs=1,
                scheduler=scheduler,
                settings=Settings(compat=compat),
            )
            assert result.end_us == pytest.approx(80.0)
    ends = [simulate(platform, "canonical", n_jobs=1, scheduler=name).end_us for name in SCHEDULERS]
    assert min(ends) >= 73.0


@pytest.mark.parametrize("period_us", [60, 3000])
@pytest.mark.parametrize("scheduler", ["eft", "etf"])
def test_clean_and_ds3_agree_where_times_are_even(scheduler: str, period_us: int) -> None:
    """DS3 looks at its queues once in a microsecond, and late at what began one before."""
    for seed in range(3):
        plain = _platform(seed)
        links = dict.fromkeys(plain.bandwidths, 2.0)
        platform = replace(plain, same_pe_bandwidth=2.0, bandwidths=links)
        mix = _even(_mix(platform, seed))
        clean, ds3 = (
            simulate(
                platform,
                mix,
                arrivals=f"deterministic:period_us={period_us}",
                n_jobs=14,
                scheduler=scheduler,
                settings=Settings(compat=compat),
            )
            for compat in ("none", "ds3")
        )
        assert (clean.sim.rows[0] == ds3.sim.rows[0]).all()
        assert (clean.latencies_us == ds3.latencies_us).all()
        assert clean.active_us == pytest.approx(ds3.active_us)


# --- Errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"governor": "ondemnd"}, "ondemnd"),
        ({"governor": {"P9": "ondemand"}}, r"unknown cluster 'P9'.*Known: P1, P2, P3"),
        ({"governor": "constant-700"}, "700"),
        ({"governor": {"P1": "constant-fast"}}, "constant-fast"),
        ({"compat": "ds4"}, r"unknown compat 'ds4'.*Did you mean 'ds3'"),
        ({"compat": "ds3", "contention": True}, r"contention=True needs compat='none'"),
        ({"compat": "ds3", "switch_us": 1.0}, r"switch_us=1.0 needs compat='none'"),
        ({"order": "ranks"}, r"unknown order 'ranks'.*Did you mean 'rank'"),
        ({"reward": "energi"}, r"unknown reward 'energi'.*Did you mean 'energy'"),
        ({"max_jobs_in_flight": 0}, "max_jobs_in_flight"),
        ({"max_jobs_in_flight": 2.5}, "max_jobs_in_flight"),
        ({"length_us": 0.0}, "length_us"),
        ({"warmup_us": -1.0}, "warmup_us"),
        ({"warmup_us": math.nan}, "warmup_us"),
        ({"noise_std": -0.1}, "noise_std"),
        ({"sampling_us": 0.0}, "sampling_us"),
        ({"thermal_us": 0.0}, "thermal_us"),
        ({"contention": 1}, "contention"),
        ({"chance": -1}, "seed"),
    ],
    ids=str,
)
def test_wrong_settings_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArchGymError, match=message):
        _simulate("etf", **options)


def test_unknown_names_are_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown scheduler 'eftf'.*Did you mean 'etf'"):
        _simulate("eftf")
    with pytest.raises(UnknownNameError, match=r"Did you mean 'multiple_bal'"):
        simulate("multiple_ball", "lag_detection")
    with pytest.raises(UnknownNameError, match=r"Did you mean 'lag_detection'"):
        simulate("multiple_bal", "lag_detecton")


def test_a_task_that_runs_nowhere_is_named() -> None:
    with pytest.raises(ConfigError, match=r"task 'x' of graph 'g' runs on no PE of platform"):
        simulate("multiple_bal", TaskGraph("g", ("x",), ()))


def test_data_without_a_way_are_named() -> None:
    clusters = tuple(
        Cluster(name, "cpu", 1, POINTS, PROFILE, (), {task: 10.0})
        for name, task in (("A", "a"), ("B", "b"))
    )
    platform = Platform("apart", clusters, 1.0, 1.0, {("A", "B"): 0.0})
    graph = TaskGraph("g", ("a", "b"), (Edge(0, 1, 5.0),))
    for scheduler in ("etf", "heft_rt", "met"):
        with pytest.raises(ConfigError, match=r"2 jobs can never be completed.*link"):
            simulate(platform, graph, n_jobs=2, scheduler=scheduler)


@pytest.mark.parametrize("pe", [-1, 99, "able + 1"])
def test_a_wrong_choice_is_named(pe: int | str) -> None:
    class Wrong:
        def choose(self, decision: Decision) -> int:
            unable = np.flatnonzero(np.isinf(decision.work_us))
            if isinstance(pe, int):
                return pe
            return int(unable[0]) if unable.size else decision.able[0]

    with pytest.raises(ConfigError, match=r"the scheduler chose PE .* for task \d+ of job \d+, wh"):
        _simulate(Wrong())


def test_the_shipped_graphs_run_on_their_platforms() -> None:
    for platform, graph in (("multiple_bal", "wifi_receiver"), ("bal_only", "lag_detection")):
        result = simulate(platform, graph, n_jobs=3, scheduler="heft_rt")
        assert result.completed == 3
        assert len(result.schedule) == 3 * len(load_task_graph(graph).tasks)
