"""What the kernel is given: arrays of a problem, and simulations before they begin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from archgym_py.errors import ConfigError
from archgym_py.simulators.soc.generator import generate_task_graph
from archgym_py.simulators.soc.graphs import Edge, TaskGraph, load_task_graph
from archgym_py.simulators.soc.layout import POLICIES, Soc
from archgym_py.simulators.soc.platforms import MEMORY, Platform, load_platform
from archgym_py.simulators.soc.problem import make_soc
from archgym_py.simulators.soc.settings import SCHEDULERS, Settings
from archgym_py.simulators.soc.state import Jobs, make_sims, make_view
from archgym_py.simulators.soc.static_problem import StaticProblem
from archgym_py.simulators.soc.static_schedule import (
    optimistic_costs,
    static_schedule,
    upward_ranks,
)

PLATFORM = load_platform("multiple_bal")
GRAPHS = [load_task_graph(name) for name in ("lag_detection", "wifi_receiver")]


def _soc(graphs: list[TaskGraph] | None = None, **options: Any) -> Soc:
    return make_soc(PLATFORM, graphs or GRAPHS, Settings(**options))


def test_the_edges_of_all_graphs() -> None:
    drawn = [generate_task_graph(20, clusters=PLATFORM, seed=seed) for seed in range(3)]
    for graphs in (GRAPHS, drawn):
        soc = _soc(graphs)
        assert soc.first_task.tolist() == np.cumsum([0, *(len(g.tasks) for g in graphs)]).tolist()
        for number, graph in enumerate(graphs):
            for task in range(len(graph.tasks)):
                g = soc.first_task[number] + task
                into = soc.source[soc.first_in[g] : soc.first_in[g + 1]]
                assert into.tolist() == list(graph.predecessors(task))
                out = soc.target[soc.first_out[g] : soc.first_out[g + 1]]
                assert out.tolist() == sorted(graph.successors(task))
                for target, edge in zip(
                    out, soc.out_edge[soc.first_out[g] : soc.first_out[g + 1]], strict=True
                ):
                    # The same edge as seen from its target.
                    h = soc.first_task[number] + target
                    assert soc.first_in[h] <= edge < soc.first_in[h + 1]
                    assert soc.source[edge] == task


def test_times_of_transfers() -> None:
    bandwidth = PLATFORM.bandwidth_matrix()
    for compat in ("none", "ds3"):
        soc = _soc(compat=compat)
        assert soc.comm_us.shape == (len(soc.source), 17, 17)
        at = 0
        for graph in GRAPHS:
            volumes = {(edge.source, edge.target): edge.volume for edge in graph.edges}
            for task in range(len(graph.tasks)):
                for source in graph.predecessors(task):
                    expected = volumes[source, task] / bandwidth
                    if compat == "ds3":
                        expected = np.floor(expected)
                    assert (soc.comm_us[at] == expected).all()
                    at += 1
        assert at == len(soc.source)


def test_no_data_need_no_link() -> None:
    platform = Platform("p", PLATFORM.clusters, 1.0, 0.0, {("A7", MEMORY): 2.0})
    graph = TaskGraph("g", ("LFM", "xcorr_fft0", "xcorr_fft1"), (Edge(0, 1, 0.0), Edge(0, 2, 3.0)))
    soc = make_soc(platform, [graph], Settings())
    assert (soc.comm_us[0] == 0.0).all()
    assert soc.comm_us[1, 0, 0] == 3.0
    assert soc.comm_us[1, 0, 1] == math.inf
    assert soc.comm_us[1, 0, 16] == 1.5


def test_times_of_tasks() -> None:
    soc = _soc()
    assert soc.work_us.shape == (41, 16)
    assert (soc.work_us[:7] == PLATFORM.times_us(GRAPHS[0])).all()
    assert (soc.work_us[7:] == PLATFORM.times_us(GRAPHS[1])).all()


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_what_each_scheduler_looks_up(scheduler: str) -> None:
    graphs = GRAPHS[:1] if scheduler == "optimum" else GRAPHS
    soc = _soc(graphs, scheduler=scheduler)
    problems = [StaticProblem.of(graph, PLATFORM) for graph in graphs]
    ranks = np.concatenate([upward_ranks(problem) for problem in problems])
    assert (soc.rank_us == (ranks if scheduler == "heft_rt" else 0.0)).all()
    outlook = np.concatenate([optimistic_costs(problem) for problem in problems])
    assert (soc.outlook_us == (outlook if scheduler == "peft_rt" else 0.0)).all()
    if scheduler in POLICIES:
        assert soc.options[0]["policy"] == POLICIES.index(scheduler)
        assert (soc.plan == 0).all()
    else:
        assert soc.options[0]["policy"] == POLICIES.index("plan")
        for first, problem in zip(soc.first_task, problems, strict=False):
            schedule = static_schedule(scheduler, problem)
            times = list(zip(schedule.start, schedule.finish, range(problem.n_tasks), strict=True))
            rows = soc.plan[first : first + problem.n_tasks].tolist()
            for task, (pe, before) in enumerate(rows):
                assert pe == schedule.pe[task]
                earlier = [t for t in times if schedule.pe[t[2]] == pe and t < times[task]]
                assert before == (max(earlier)[2] if earlier else -1)
        able = soc.work_us[np.arange(len(soc.plan)), soc.plan[:, 0]]
        assert np.isfinite(able).all()


@pytest.mark.parametrize(
    ("governor", "mhz"),
    [
        ("performance", (1400, 2000, 1000, 1000, 1000)),
        ("powersave", (600, 600, 1000, 1000, 1000)),
        ("ondemand", (1400, 2000, 1000, 1000, 1000)),
        ("constant-800", (800, 800, 1000, 1000, 1000)),
        ({"A7": "constant-600", "A15": "powersave"}, (600, 600, 1000, 1000, 1000)),
        ({"A15": "ondemand"}, (1400, 2000, 1000, 1000, 1000)),
    ],
    ids=str,
)
def test_governors(governor: Any, mhz: tuple[int, ...]) -> None:
    soc = _soc(governor=governor)
    assert soc.mhz[np.arange(5), soc.start_point].tolist() == list(mhz)
    sims = make_sims(soc, [_jobs(2)])
    assert sims.clusters[0]["mhz"].tolist() == list(mhz)
    highest = soc.mhz[np.arange(5), soc.n_points - 1]
    assert (sims.clusters[0]["slowdown"] == highest / np.array(mhz)).all()
    governed = {"ondemand": [1, 1, 1, 1, 1]}.get(str(governor), [0] * 5)
    if governor == {"A15": "ondemand"}:
        governed = [0, 1, 0, 0, 0]
    assert soc.governor.tolist() == governed


def test_power_of_the_platform() -> None:
    soc = _soc()
    assert soc.first_pe.tolist() == [0, 4, 8, 10, 14, 16]
    assert soc.n_profiles.tolist() == [2, 2, 1, 1, 1]
    assert soc.profile_w[1, 1, :4].tolist() == [3.32, 5.05, 6.15, 6.91]
    assert soc.profile_volt[1].tolist() == [1.0, 1.362]
    assert soc.profile_n.tolist() == [4, 4, 2, 4, 2]
    assert soc.trip_mhz[0].tolist() == [-1.0, 1200.0, 600.0]
    # Accelerators leak as big cores in DS3, and not at all in the clean mode.
    assert soc.leak.tolist() == [1 / 16, 1 / 4, 0.0, 0.0, 0.0]
    assert _soc(compat="ds3").leak.tolist() == [1 / 16, 1 / 4, 1 / 4, 1 / 4, 1 / 4]


def test_temperatures_settle_alike_for_every_period() -> None:
    power = np.array([0.0473, 0.1201, 0.5, 2.0, 0.1, 0.2, 0.1])
    settled = []
    for thermal_us in (100.0, 1000.0, 100_000.0):
        soc = _soc(thermal_us=thermal_us)
        settled.append(np.linalg.solve(np.eye(5) - soc.cooling, soc.heating @ power))
    for state in settled:
        assert state == pytest.approx(settled[0], rel=1e-5)
    # Ten steps of a tenth of the period are one step.
    fine, coarse = (_soc(thermal_us=us) for us in (10_000.0, 100_000.0))
    state = np.zeros(5)
    for _ in range(10):
        state = fine.cooling @ state + fine.heating @ power
    assert state == pytest.approx(coarse.heating @ power, rel=1e-6)


def _jobs(count: int, graph: int = 0) -> Jobs:
    return Jobs(np.full(count, graph, np.int64), np.full(count, 50.0))


def test_simulations_before_they_begin() -> None:
    soc = _soc(max_jobs_in_flight=3)
    sims = make_sims(soc, [_jobs(5), _jobs(5, 1)], rows=7, changes=2)
    assert sims.jobs.shape == (2, 3)
    assert (sims.jobs["id"] == -1).all()
    assert sims.tasks.shape == (2, 3 * 34)
    assert sims.queues.shape == (2, 4, 3 * 34)
    assert sims.rows.shape == (2, 7, 7)
    assert sims.changes.shape == (2, 2, 4)
    assert sims.graphs.tolist() == [[0] * 5, [1] * 5]
    assert (sims.celsius == 42.0).all()
    assert (sims.event_us == math.inf).all()


def test_varying_times_need_noise() -> None:
    with pytest.raises(ConfigError, match="execution times vary, so that jobs need `noise`"):
        make_sims(_soc(noise_std=0.1), [_jobs(2)])
    with pytest.raises(ConfigError, match="execution times vary, so that jobs need `noise`"):
        make_sims(_soc(durations=True), [_jobs(2)])


def test_views() -> None:
    soc = _soc()
    view = make_view(soc, 3, slots=4)
    assert view.mask.shape == (3, 4 * 16)
    assert view.features.shape[0] == len(view.reward) == 3
    assert make_view(soc, 0).features.shape[0] == len(make_view(soc, 0).reward) == 0
