"""A decision as a graph: nodes, edges and flags, against the simulation itself."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from archgym_py.envs.soc_scheduler import SoCSchedulerEnv
from archgym_py.simulators.soc.task_view import graph_of, graph_space

MIX = {"lag_detection": 0.5, "temporal_mitigation": 0.5}


def _squash(time: Any, scale: float) -> Any:
    finite = np.where(np.isfinite(time), time, 0.0)
    return np.where(np.isfinite(time), finite / (finite + scale), 1.0)


def _env(**kwargs: Any) -> SoCSchedulerEnv:
    given = {"mix": MIX, "n_jobs": 10, "arrivals": "poisson:mean_us=20", **kwargs}
    return SoCSchedulerEnv(observation="graph", **given)


def test_a_first_decision() -> None:
    env = _env(mix="lag_detection")
    graph, _ = env.reset(seed=0)
    result = env.result()
    [tasks], pes = result.graphs, len(result.soc.cluster)
    assert graph.nodes.shape == (len(tasks.tasks) + pes, 7 + pes)
    assert graph.nodes[:, 0].tolist() == [1.0] * len(tasks.tasks) + [0.0] * pes
    heads = [float(not tasks.predecessors(b)) for b in range(len(tasks.tasks))]
    assert graph.nodes[: len(heads), 2].tolist() == heads
    assert graph.nodes[:, 1].sum() == 1
    assert not graph.nodes[:, 3:5].any()
    scale = float(result.soc.options[0]["scale_us"])
    times = result.platform.times_us(tasks)
    assert graph.nodes[: len(heads), 7:] == pytest.approx(_squash(times, scale), abs=1e-6)
    assert not graph.nodes[len(heads) :].any()
    assert graph.edge_links.tolist() == sorted([e.source, e.target] for e in tasks.edges)


def test_it_is_the_simulation() -> None:
    env = _env(governor="ondemand")
    rng = np.random.default_rng(0)
    graph, _ = env.reset(seed=1)
    seen: Counter[str] = Counter()
    ended = False
    while not ended:
        _check(env, graph, seen)
        action = rng.choice(np.flatnonzero(env.action_masks()))
        graph, _, ended, _, _ = env.step(action)
        assert graph in env.observation_space
    assert {"ready", "placed", "waiting", "running", "busy"} <= set(seen)
    # At the end there are PEs only, and none is at work.
    pes = len(env.result().soc.cluster)
    assert graph.nodes.shape == (pes, 7 + pes)
    assert not graph.nodes[:, 4].any()
    assert graph.edges.shape == (0, 1)
    assert graph.edge_links.shape == (0, 2)


def _check(env: SoCSchedulerEnv, graph: Any, seen: Counter[str]) -> None:
    result = env.result()
    k, s, y = result.soc, result.sim, result.sim.system[0, 0]
    pes, most = len(k.cluster), s.tasks.shape[1] // s.jobs.shape[1]
    scale = float(k.options[0]["scale_us"])
    ready = s.queues[0, 0, y["head"] : y["n_ready"]].tolist()
    given = s.queues[0, 0, : y["head"]].tolist() + s.queues[0, 1, : y["n_executable"]].tolist()
    running = [n for n in s.pes[0]["task"].tolist() if n >= 0]
    open_tasks = [
        (j, b)
        for j, job in enumerate(s.jobs[0])
        if job["id"] >= 0
        for b in range(len(result.graphs[job["graph"]].tasks))
        if not s.tasks[0, j * most + b]["done"]
    ]
    place = {task: at for at, task in enumerate(open_tasks)}
    assert len(graph.nodes) == len(open_tasks) + pes
    links = list(map(tuple, graph.edge_links.tolist()))
    expected: dict[tuple[int, int], float] = {}
    for (j, b), at in place.items():
        n, job = j * most + b, s.jobs[0, j]
        tasks = result.graphs[job["graph"]]
        g = int(k.first_task[job["graph"]]) + b
        node = graph.nodes[at]
        flags = [1.0, n == ready[0], n in ready, n in given, n in running]
        assert node[:5].tolist() == list(map(float, flags))
        assert sum(flags[2:]) <= 1
        assert node[5] == pytest.approx(_squash(k.rank_us[g], scale), abs=1e-6)
        assert node[6] == pytest.approx(_squash(y["now"] - job["injected"], scale), abs=1e-6)
        times = result.platform.times_us(tasks)[b]
        assert node[7:] == pytest.approx(_squash(times, scale), abs=1e-6)
        for edge in tasks.edges:
            if edge.source == b:
                times_us = _transfer_us(result, edge.volume)
                expected[at, place[j, edge.target]] = float(_squash(times_us, scale))
        if n in given or n in running:
            expected[at, len(place) + int(s.tasks[0, n]["pe"])] = 0.0
        seen["ready"] += n in ready[1:]
        seen["placed"] += n in s.queues[0, 0, : y["head"]]
        seen["waiting"] += n in given
        seen["running"] += n in running
    assert len(links) == len(expected)
    for link, value in zip(links, graph.edges[:, 0].tolist(), strict=True):
        assert value == pytest.approx(expected[link], abs=1e-6)
    wait = np.maximum(s.available_us[0] - y["now"], 0.0)
    machines = graph.nodes[len(place) :]
    assert not machines[:, [0, 1, 2, 3, 5]].any()
    assert machines[:, 4].tolist() == s.pes[0]["busy"].tolist()
    assert machines[:, 6] == pytest.approx(_squash(wait, scale), abs=1e-6)
    assert not machines[:, 7:].any()
    seen["busy"] += bool(machines[:, 4].any())


def _transfer_us(result: Any, volume: float) -> float:
    """Return the mean time of a transfer between two different PEs, in us."""
    pes = len(result.soc.cluster)
    bandwidth = result.platform.bandwidth_matrix()[:pes, :pes]
    return float(
        np.mean([volume / bandwidth[a, b] for a in range(pes) for b in range(pes) if a != b])
    )


def test_edges_without_data_take_no_time() -> None:
    graph, _ = _env(mix="single_carrier_receiver").reset(seed=0)
    assert len(graph.edges) == 7
    assert not graph.edges.any()


def test_tasks_that_are_ready_at_a_truncation_are_shown() -> None:
    env = _env(length_us=300.0)
    rng = np.random.default_rng(0)
    env.reset(seed=1)
    ended = False
    while not ended:
        action = rng.choice(np.flatnonzero(env.action_masks()))
        graph, _, _, ended, _ = env.step(action)
    result = env.result()
    sim = result.sim
    y = sim.system[0, 0]
    assert graph.nodes[:, 2].sum() == y["n_ready"]
    assert (graph.nodes[:, 0] == 1).sum() > 0
    again: Any = graph_of(result.soc, sim)
    assert again.nodes.tolist() == graph.nodes.tolist()
    assert again in graph_space(result.soc)
