"""Random task graphs, drawn from a seed.

The generator is that of Topcuoglu, Hariri and Wu, "Performance-effective and low-complexity task
scheduling for heterogeneous computing", IEEE TPDS 13(3), 2002, section 5.1, with which HEFT and
most schedulers after it were measured. Equal arguments give equal graphs.

    >>> graph = generate_task_graph(20, clusters=3, seed=7)
    >>> len(graph.tasks), len(graph.entries), len(graph.exits)
    (20, 1, 1)
    >>> graph == generate_task_graph(20, clusters=3, seed=7)
    True
"""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np

from archgym_py.checks import integer, number
from archgym_py.errors import ConfigError
from archgym_py.simulators.soc.graphs import Edge, TaskGraph
from archgym_py.simulators.soc.platforms import MAX_PES, Platform

__all__ = ["MAX_GENERATED_TASKS", "generate_task_graph"]

MAX_GENERATED_TASKS = 1000
"""Largest graph; the published ones have 10 to 100 tasks."""


def generate_task_graph(
    n_tasks: int,
    *,
    clusters: Platform | int,
    seed: int,
    shape: float = 1.0,
    out_degree: int = 3,
    ccr: float = 1.0,
    heterogeneity: float = 1.0,
    mean_work_us: float = 50.0,
) -> TaskGraph:
    """Draw a task graph with one entry and one exit, and with execution times of its own.

    Tasks lie in levels, an edge goes from a level to a later one, and each task but the entry has a
    predecessor in the level before its own: a graph has as many tasks in a row as it has levels.

    Args:
        n_tasks: Number of tasks, 1 to `MAX_GENERATED_TASKS`.
        clusters: What the graph is to run on: a platform, all of whose clusters get times, or a
            number of clusters, which are called P1, P2, ... and have bandwidth 1.
        seed: Seed of everything that is drawn. Edges, volumes and times are drawn independently:
            `ccr` changes the volumes alone, and `heterogeneity` the times alone.
        shape: Levels are shape * sqrt(n_tasks) tasks wide on average, so that there are about
            sqrt(n_tasks) / shape of them. From 0.05 to 20.
        out_degree: Mean number of successors that are drawn for a task, uniformly from 1 on; there
            are fewer where no more tasks follow, and more where one would lack a predecessor.
        ccr: Communication to computation ratio: mean time of a transfer over mean time of a task.
            A volume is drawn uniformly from 0 to twice its mean. From 0 to 1000.
        heterogeneity: Range of the times of a task: those of mean w on a cluster lie uniformly
            between w (1 - heterogeneity / 2) and w (1 + heterogeneity / 2). From 0 to 2.
        mean_work_us: Mean time of a task in µs; that of one task lies uniformly between 0 and twice
            it.

    Returns:
        The graph.

    Raises:
        ConfigError: If an argument is not legal.

    Examples:
        >>> generate_task_graph(4, clusters=2, seed=1).times_us["t0"]
        {'P1': 28.530686100770115, 'P2': 21.96506037119274}
    """
    n_tasks = integer("n_tasks", n_tasks, 1, MAX_GENERATED_TASKS)
    seed = integer("seed", seed, 0, 2**63 - 1)
    shape = number("shape", shape, 0.05, 20.0)
    out_degree = integer("out_degree", out_degree, 1, MAX_GENERATED_TASKS)
    ccr = number("ccr", ccr, 0.0, 1000.0)
    heterogeneity = number("heterogeneity", heterogeneity, 0.0, 2.0)
    mean_work_us = number("mean_work_us", mean_work_us, 1e-3, 1e9)
    names, bandwidth = _targets(clusters)
    rngs = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(3))
    edge_rng, volume_rng, time_rng = rngs

    ends = _draw_edges(n_tasks, shape, out_degree, edge_rng)
    volumes = volume_rng.random(len(ends)) * (2.0 * ccr * mean_work_us * bandwidth)
    work = time_rng.random((n_tasks, 1)) * (2.0 * mean_work_us)
    spread = time_rng.random((n_tasks, len(names))) - 0.5
    times = work * (1.0 + heterogeneity * spread)
    tasks = tuple(f"t{i}" for i in range(n_tasks))
    return TaskGraph(
        name=f"random_{n_tasks}_s{seed}",
        tasks=tasks,
        edges=tuple(
            Edge(source, target, volume)
            for (source, target), volume in zip(ends, volumes.tolist(), strict=True)
        ),
        times_us={
            task: dict(zip(names, row, strict=True))
            for task, row in zip(tasks, times.tolist(), strict=True)
        },
        description=(
            f"Random graph: shape {shape:g}, out-degree {out_degree}, CCR {ccr:g}, heterogeneity "
            f"{heterogeneity:g}"
        ),
        source="generated as in Topcuoglu et al., IEEE TPDS 2002",
    )


def _targets(clusters: Platform | int) -> tuple[list[str], float]:
    """Return the names of the clusters, and the mean bandwidth between two PEs."""
    if not isinstance(clusters, Platform):
        return [f"P{i}" for i in range(1, integer("clusters", clusters, 1, MAX_PES) + 1)], 1.0
    names = list(clusters.cluster_names)
    n_pes = clusters.n_pes
    if n_pes == 1:
        return names, clusters.same_pe_bandwidth
    between = clusters.bandwidth_matrix()[:n_pes, :n_pes][~np.eye(n_pes, dtype=bool)]
    mean = float(between.mean())
    if not math.isfinite(mean):
        raise ConfigError(f"platform {clusters.name!r} has no finite mean bandwidth.")
    return names, mean


def _draw_edges(
    n_tasks: int, shape: float, out_degree: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Return the edges in order; task 0 is the entry, the last one the exit."""
    levels = _draw_levels(n_tasks, shape, rng)
    level_of = [number for number, level in enumerate(levels) for _ in level]
    edges: set[tuple[int, int]] = set()
    for before, level in itertools.pairwise(levels):
        for task in level:
            edges.add((int(rng.choice(before)), task))
    present = Counter(source for source, _ in edges)
    for task in range(n_tasks - 1):
        later = [target for target in range(task + 1, n_tasks) if level_of[target] > level_of[task]]
        wanted = int(rng.integers(1, 2 * out_degree))
        free = [target for target in later if (task, target) not in edges]
        count = min(max(0, wanted - present[task]), len(free))
        edges.update((task, int(target)) for target in rng.choice(free, count, replace=False))
    return sorted(edges)


def _draw_levels(n_tasks: int, shape: float, rng: np.random.Generator) -> list[range]:
    """Return the tasks of each level: the entry, levels of drawn widths, the exit."""
    levels = [range(1)]
    last = n_tasks - 1
    mean_width = max(1.0, shape * math.sqrt(n_tasks))
    first = 1
    while first < last:
        width = int(rng.integers(1, round(2.0 * mean_width)))  # uniform from 1 to 2 mean - 1
        levels.append(range(first, min(first + width, last)))
        first = levels[-1].stop
    if last > 0:
        levels.append(range(last, n_tasks))
    return levels
