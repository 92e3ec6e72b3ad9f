"""A decision as a graph: the tasks in flight and the PEs, for policies that learn on graphs.

Nodes are the tasks in flight that are not complete, in the order of the kernel's numbers, and then
the PEs. With x / (x + s) for a time x and the mean execution time s, and P PEs, a node has

* 1 for a task, 0 for a PE;
* of a task: 1 if it is the first ready one, 1 if it is ready, 1 if it waits for its PE, 1 if it
  runs; upward rank; age of its job; execution time on each PE (1: it cannot run there);
* of a PE: 1 if it is busy, and in place of the age the time until it has done what it was given.

Edges lead from each task to its successors in flight, with the time of the transfer over the mean
link, and from each task that has a PE to that PE, with 0.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from archgym_py.simulators.soc.layout import QUEUES, Sim, Soc

__all__ = ["graph_of", "graph_space"]

_FIXED = 7


def graph_space(soc: Soc) -> gym.spaces.Graph:
    """Return the space of the observations of a problem."""
    features = _FIXED + len(soc.cluster)
    return gym.spaces.Graph(
        node_space=gym.spaces.Box(0.0, 1.0, (features,), np.float32),
        edge_space=gym.spaces.Box(0.0, 1.0, (1,), np.float32),
    )


def graph_of(soc: Soc, sim: Sim) -> gym.spaces.GraphInstance:
    """Return a simulation as a graph.

    Args:
        soc: The problem.
        sim: One simulation, every array with a first axis of one.

    Returns:
        Nodes float32 (n, 7 + P), edges float32 (e, 1) and their ends int64 (e, 2).
    """
    y, scale = sim.system[0, 0], float(soc.options[0]["scale_us"])
    pes, most = len(soc.cluster), sim.tasks.shape[1] // sim.jobs.shape[1]
    work = _squash(soc.work_us, scale)
    rank = _squash(soc.rank_us, scale)
    delay = _squash(_mean_delay(soc), scale)
    queued = sim.queues[0, QUEUES.index("ready"), : y["n_ready"]].tolist()
    # While the policy decides, those before `head` have been given a PE.
    head = int(y["head"]) if y["waiting"] else 0
    ready = queued[head:]
    waiting = set(sim.queues[0, QUEUES.index("executable"), : y["n_executable"]].tolist())
    waiting.update(queued[:head])
    running = {int(n) for n in sim.pes[0]["task"] if n >= 0}
    place: dict[int, int] = {}
    nodes: list[npt.NDArray[Any]] = []
    for j, job in enumerate(sim.jobs[0]):
        if job["id"] < 0:
            continue
        first = int(soc.first_task[job["graph"]])
        age = _squash(np.float64(y["now"] - job["injected"]), scale)
        for g in range(first, int(soc.first_task[job["graph"] + 1])):
            n = j * most + g - first
            if sim.tasks[0, n]["done"]:
                continue
            place[n] = len(nodes)
            is_first = n in ready[:1]
            flags = [1.0, is_first, n in ready, n in waiting, n in running, rank[g], age]
            nodes.append(np.concatenate([flags, work[g]]))
    edges: list[tuple[int, int]] = []
    values: list[float] = []
    for n, at in place.items():
        job = sim.jobs[0, n // most]
        g = int(soc.first_task[job["graph"]]) + n % most
        for i in range(int(soc.first_out[g]), int(soc.first_out[g + 1])):
            edges.append((at, place[n - n % most + int(soc.target[i])]))
            values.append(float(delay[soc.out_edge[i]]))
        if n in waiting or n in running:
            edges.append((at, len(place) + int(sim.tasks[0, n]["pe"])))
            values.append(0.0)
    for p in range(pes):
        wait = max(float(sim.available_us[0, p] - y["now"]), 0.0)
        flags = [0.0, 0.0, 0.0, 0.0, sim.pes[0, p]["busy"], 0.0, _squash(np.float64(wait), scale)]
        nodes.append(np.concatenate([flags, np.zeros(pes)]))
    return gym.spaces.GraphInstance(
        nodes=np.array(nodes, np.float32),
        edges=np.array(values, np.float32).reshape(-1, 1),
        edge_links=np.array(edges, np.int64).reshape(-1, 2),
    )


def _mean_delay(soc: Soc) -> npt.NDArray[np.float64]:
    """Return how long each edge takes over the mean link between different PEs, in us."""
    pes = len(soc.cluster)
    between = soc.comm_us[:, :pes, :pes][:, ~np.eye(pes, dtype=bool)]
    return between.mean(axis=1) if between.size else np.zeros(len(soc.comm_us))


def _squash(time: Any, scale: float) -> Any:
    """Map times from 0 to infinity to numbers from 0 to 1."""
    return 1.0 - scale / (np.asarray(time) + scale)
