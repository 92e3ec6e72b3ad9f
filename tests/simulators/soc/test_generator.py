import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from archgym_py.errors import ConfigError
from archgym_py.simulators.soc.generator import generate_task_graph
from archgym_py.simulators.soc.graphs import TaskGraph, parse_task_graph
from archgym_py.simulators.soc.platforms import load_platform


def _depth(graph: TaskGraph) -> int:
    """Return the number of tasks of the longest chain."""
    depth = [1] * len(graph.tasks)
    for task in graph.topological_order:
        depth[task] = max([1, *(depth[source] + 1 for source in graph.predecessors(task))])
    return max(depth)


def _times(graph: TaskGraph) -> Any:
    return np.array([list(graph.times_us[task].values()) for task in graph.tasks])


@settings(max_examples=60, deadline=None)
@given(
    n_tasks=st.integers(1, 80),
    seed=st.integers(0, 2**63 - 1),
    shape=st.floats(0.1, 10.0),
    out_degree=st.integers(1, 90),
    ccr=st.floats(0.0, 10.0),
    heterogeneity=st.floats(0.0, 2.0),
    clusters=st.integers(1, 4),
)
def test_every_recipe_is_a_graph(**recipe: Any) -> None:
    graph = generate_task_graph(**recipe)
    n = recipe["n_tasks"]
    assert len(graph.tasks) == n
    assert graph.entries == (0,)
    assert graph.exits == (n - 1,)
    assert generate_task_graph(**recipe) == graph
    assert parse_task_graph(graph.to_dict(), where="x") == graph
    assert all(edge.source < edge.target for edge in graph.edges)
    times = _times(graph)
    assert times.shape == (n, recipe["clusters"])
    assert (times >= 0).all()
    assert (times <= 100 * (1 + recipe["heterogeneity"] / 2)).all()


def test_seeds_differ() -> None:
    prints = {generate_task_graph(20, clusters=3, seed=seed).fingerprint for seed in range(20)}
    assert len(prints) == 20


def test_shape_sets_the_depth() -> None:
    """Levels are about sqrt(v) / shape, and an edge never stays in its level."""
    for shape in (0.5, 1.0, 2.0):
        depths = [
            _depth(generate_task_graph(100, clusters=1, seed=seed, shape=shape))
            for seed in range(40)
        ]
        # The entry and the exit are levels of their own, and the last width may be cut.
        assert math.sqrt(100) / shape < np.mean(depths) < math.sqrt(100) / shape + 4


def test_out_degree() -> None:
    for out_degree in (1, 3, 5):
        degrees = []
        for seed in range(20):
            graph = generate_task_graph(100, clusters=1, seed=seed, out_degree=out_degree)
            degrees += [len(graph.successors(task)) for task in range(60)]
        # Every task gets a predecessor in the level before: there are never fewer edges than tasks.
        assert out_degree <= np.mean(degrees) < out_degree + 0.8


def test_ccr_scales_the_volumes_alone() -> None:
    low, high = (generate_task_graph(60, clusters=3, seed=4, ccr=ccr) for ccr in (0.1, 10.0))
    assert low.times_us == high.times_us
    for one, other in zip(low.edges, high.edges, strict=True):
        assert (one.source, one.target) == (other.source, other.target)
        assert other.volume == pytest.approx(100 * one.volume)
    volumes = [
        edge.volume
        for seed in range(20)
        for edge in generate_task_graph(60, clusters=3, seed=seed, ccr=2.0).edges
    ]
    assert np.mean(volumes) == pytest.approx(2.0 * 50.0, rel=0.05)
    assert max(volumes) <= 4.0 * 50.0


def test_heterogeneity_spreads_the_times_alone() -> None:
    even, mixed = (
        generate_task_graph(60, clusters=3, seed=4, heterogeneity=value) for value in (0.0, 1.0)
    )
    assert even.edges == mixed.edges
    assert (np.ptp(_times(even), axis=1) == 0).all()
    work = _times(even)[:, 0]
    ratio = _times(mixed) / work[:, None]
    assert ((ratio >= 0.5) & (ratio <= 1.5)).all()
    assert np.ptp(ratio) > 0.8


def test_mean_work() -> None:
    means = [
        _times(generate_task_graph(100, clusters=3, seed=seed, mean_work_us=8.0)).mean()
        for seed in range(20)
    ]
    assert np.mean(means) == pytest.approx(8.0, rel=0.05)


def test_platform() -> None:
    """Times are for its clusters, and volumes are so large that transfers take the wanted time."""
    platform = load_platform("multiple_bal")
    graph = generate_task_graph(40, clusters=platform, seed=1, ccr=1.0)
    assert np.isfinite(platform.times_us(graph)).all()
    on_three = generate_task_graph(40, clusters=3, seed=1, ccr=1.0)
    matrix = platform.bandwidth_matrix()[:16, :16]
    mean = (matrix.sum() - np.trace(matrix)) / (16 * 15)
    for edge, plain in zip(graph.edges, on_three.edges, strict=True):
        assert edge.volume == pytest.approx(mean * plain.volume)
    alone = platform.with_pes({"A7": 1, "A15": 0, "MM": 0, "FFT": 0, "VIT": 0})
    assert generate_task_graph(5, clusters=alone, seed=1).times_us["t0"].keys() == {"A7"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_tasks": 0}, "n_tasks must be a whole number from 1 to 1000, got 0"),
        ({"n_tasks": 5.0}, "n_tasks must be a whole number from 1 to 1000, got 5.0"),
        ({"seed": -1}, "seed must be a whole number from 0"),
        ({"shape": 0.0}, "shape must be a number from 0.05 to 20, got 0.0"),
        ({"out_degree": 0}, "out_degree must be a whole number from 1"),
        ({"ccr": -1.0}, "ccr must be a number from 0 to 1000"),
        ({"heterogeneity": 2.1}, "heterogeneity must be a number from 0 to 2, got 2.1"),
        ({"mean_work_us": math.nan}, "mean_work_us must be a number from 0.001"),
        ({"clusters": 0}, "clusters must be a whole number from 1 to 1024, got 0"),
    ],
)
def test_illegal_argument(change: dict[str, Any], message: str) -> None:
    recipe = {"n_tasks": 5, "clusters": 2, "seed": 1, **change}
    with pytest.raises(ConfigError, match=message):
        generate_task_graph(**recipe)
