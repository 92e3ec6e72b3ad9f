"""The search for mappings, against every mapping that there is."""

import itertools
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archgym_py.errors import ConfigError, InfeasibleDesign
from archgym_py.simulators.dnn import kernel
from archgym_py.simulators.dnn import mapper as mapper_module
from archgym_py.simulators.dnn.dataflows import ROW_STATIONARY, SIMBA
from archgym_py.simulators.dnn.eyeriss import EYERISS_SPACE, PUBLISHED_DEFAULT, eyeriss_architecture
from archgym_py.simulators.dnn.hardware import Architecture, Compute, Level
from archgym_py.simulators.dnn.layers import DIMS, TENSORS, Layer
from archgym_py.simulators.dnn.mapper import GOALS, Mapper
from archgym_py.simulators.dnn.mapping_cache import Found, MappingCache
from archgym_py.simulators.dnn.mapspace import LevelRule, Template, free_orders
from archgym_py.simulators.dnn.model import (
    LevelMapping,
    Mapping,
    MappingArrays,
    evaluate,
    evaluate_batch,
)

ALL = "".join(DIMS)
GEMM = Layer(name="gemm", op="gemm", M=24, C=32, P=36)
FREE = Template(
    "free",
    (
        LevelRule(temporal="MCP"),
        LevelRule(temporal="MCP", spatial_x="MC", spatial_y="MP"),
        LevelRule(temporal=ALL),
    ),
)
"""About 5e6 mappings of `GEMM`, before orders: too many to look at."""


def machine(**changes: Any) -> Architecture:
    """Four by four elements of 40 words below a buffer of 1500."""
    element = Level(name="RF", mesh_x=4, mesh_y=4, capacity_words=40, read_pj=0.5, write_pj=0.5)
    buffer = Level(
        name="GLB",
        capacity_words=1500,
        block_size=2,
        read_bandwidth=16,
        write_bandwidth=16,
        read_pj=6.0,
        write_pj=7.0,
    )
    memory = Level(name="DRAM", block_size=4, shared_bandwidth=4, read_pj=200.0, write_pj=210.0)
    return Architecture(
        name="machine",
        levels=(element, replace(buffer, **changes), memory),
        compute=Compute(mesh_x=4, mesh_y=4, mac_pj=2.0),
    )


def score(found: Found, goal: str) -> tuple[float, float]:
    """What a goal minimises, in order."""
    if goal == "edp":
        return found.cycles * found.energy_pj, 0.0
    both = (float(found.cycles), found.energy_pj)
    return both if goal == "delay" else both[::-1]


def assert_true(found: Found, layer: Layer, architecture: Architecture, template: Template) -> None:
    """The mapping is legal, one of the template, and costs what was said."""
    cost = evaluate(layer, architecture, found.mapping)
    assert (cost.cycles, cost.energy_pj) == (found.cycles, found.energy_pj)
    for rule, level in zip(template.rules, found.mapping.levels, strict=True):
        assert set(level.keep) == set(rule.keep)
        for dims, block in (
            (rule.temporal, level.temporal),
            (rule.spatial_x, level.spatial_x),
            (rule.spatial_y, level.spatial_y),
        ):
            assert {dim for dim, _ in block} <= set(dims)
        order = "".join(dim for dim, _ in level.temporal)
        orders = [rule.order] if rule.order else free_orders()
        assert order in {"".join(d for d in each if d in order) for each in orders}


# --- Every mapping --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """A layer, a template and an architecture with few mappings."""

    layer: Layer
    template: Template
    architecture: Architecture


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    # A dimension has a slot in time at the level of its home, and none further out.
    home = {dim: draw(st.sampled_from((2, 2, 1, 0))) for dim in "MCPR"}
    home |= dict.fromkeys("NGQS", 2)
    rules = []
    free = draw(st.integers(0, 2))  # of the levels, one has any order
    for number in range(3):
        inside = [dim for dim in "MCPR" if home[dim] >= number]
        temporal, spatial_x, spatial_y = (
            draw(st.sets(st.sampled_from(inside), max_size=3)) if inside else set()
            for _ in range(3)
        )
        temporal |= {dim for dim in DIMS if home[dim] == number}
        kept = draw(st.sets(st.sampled_from(TENSORS))) if number < 2 else set(TENSORS)
        rules.append(
            LevelRule(
                keep=tuple(tensor for tensor in TENSORS if tensor in kept),
                temporal="".join(sorted(temporal)),
                spatial_x="".join(sorted(spatial_x)),
                spatial_y="".join(sorted(spatial_y)) if number == 1 else "",
                order="" if number == free else "".join(draw(st.permutations(DIMS))),
            )
        )
    bounds: dict[str, int] = {}
    for dim in draw(st.lists(st.sampled_from("MCPR"), min_size=2, max_size=5)):
        bounds[dim] = bounds.get(dim, 1) * draw(st.sampled_from((2, 3)))
    layer = Layer(name="l", op="conv", stride_p=draw(st.integers(1, 2)), **bounds)  # type: ignore[arg-type]
    capacities = st.sampled_from((None, 1, 2, 3, 4, 6, 10, 20))
    bandwidths = st.sampled_from((None, 0.5, 2))
    levels: list[Level] = []
    x = y = 1
    for name in ("DRAM", "GLB", "RF"):
        level = Level(
            name=name,
            mesh_x=x,
            mesh_y=y,
            capacity_words=None if name == "DRAM" else draw(capacities),
            block_size=draw(st.sampled_from((1, 2))),
            shared_bandwidth=draw(bandwidths),
            read_pj=draw(st.sampled_from((0.5, 6.0))),
            write_pj=draw(st.sampled_from((0.25, 9.0))),
        )
        levels.insert(0, level)
        x *= draw(st.integers(1, 4))
        y *= draw(st.integers(1, 3))
    compute = Compute(mesh_x=x, mesh_y=y, mac_pj=1.0)
    architecture = Architecture(name="a", levels=tuple(levels), compute=compute)
    return Problem(layer, Template("t", tuple(rules)), architecture)


def every_mapping(problem: Problem) -> list[Mapping]:
    """All mappings of a template, legal or not."""
    rules = problem.template.rules
    ways: list[list[dict[tuple[int, str], int]]] = []
    for dim, bound in zip(DIMS, problem.layer.bounds, strict=True):
        slots = [
            (number, kind)
            for number, rule in enumerate(rules)
            for kind, dims in (("t", rule.temporal), ("x", rule.spatial_x), ("y", rule.spatial_y))
            if dim in dims
        ]
        divisors = [d for d in range(1, bound + 1) if bound % d == 0]
        ways.append(
            [
                dict(zip(slots, way, strict=True))
                for way in itertools.product(divisors, repeat=len(slots))
                if math.prod(way) == bound
            ]
        )
    mappings = []
    for nest in itertools.product(*ways):
        factors: dict[tuple[int, str], dict[str, int]] = {}
        for dim, way in zip(DIMS, nest, strict=True):
            for slot, factor in way.items():
                if factor > 1:
                    factors.setdefault(slot, {})[dim] = factor
        per_level: list[set[tuple[tuple[str, int], ...]]] = []
        for number, rule in enumerate(rules):
            loops = factors.get((number, "t"), {})
            orders = [rule.order] if rule.order else free_orders()
            per_level.append(
                {tuple((d, loops[d]) for d in order if d in loops) for order in orders}
            )
        for orders_of_levels in itertools.product(*per_level):
            levels = [
                LevelMapping(
                    keep=rule.keep,
                    temporal=loops,
                    spatial_x=tuple(factors.get((number, "x"), {}).items()),
                    spatial_y=tuple(factors.get((number, "y"), {}).items()),
                )
                for number, (rule, loops) in enumerate(zip(rules, orders_of_levels, strict=True))
            ]
            mappings.append(Mapping(tuple(levels)))
    return mappings


def costs_of_all(problem: Problem, mappings: Sequence[Mapping]) -> list[tuple[int, float]]:
    """Cycles and energy of the legal ones."""
    arrays = MappingArrays.of(mappings, problem.layer, problem.architecture)
    verdicts, results = evaluate_batch(problem.layer, [problem.architecture], arrays)
    legal = verdicts[:, 0] == kernel.OK
    return [(int(cycles), energy) for cycles, energy in results[legal].tolist()]


@given(problem=problems(), goal=st.sampled_from(tuple(GOALS)))
@settings(max_examples=100, deadline=None)
def test_the_search_finds_the_best_of_all_mappings(problem: Problem, goal: str) -> None:
    mappings = every_mapping(problem)
    if len(mappings) > 2000:
        return
    costs = costs_of_all(problem, mappings)
    mapper = Mapper(problem.template, goal=goal, effort=100_000)
    if not costs:
        with pytest.raises(InfeasibleDesign, match=r"layer 'l': level '(RF|GLB)' holds"):
            mapper.map(problem.layer, problem.architecture)
        return
    found = mapper.map(problem.layer, problem.architecture)
    assert found.optimal
    assert 1 <= found.evaluated <= len(mappings)
    assert_true(found, problem.layer, problem.architecture, problem.template)
    if goal == "delay":
        assert (found.cycles, found.energy_pj) == min(costs)
    elif goal == "energy":
        assert (found.energy_pj, found.cycles) == min((energy, cycles) for cycles, energy in costs)
    else:
        assert found.cycles * found.energy_pj == min(cycles * energy for cycles, energy in costs)


# --- Where not all mappings are looked at ---------------------------------------------------------


def only_climbing() -> AbstractContextManager[object]:
    """Let no search look at all mappings."""
    return patch.object(mapper_module, "MAX_CANDIDATES", 0)


@pytest.mark.parametrize("goal", GOALS)
def test_a_search_with_little_effort_is_legal_and_no_better_than_the_best(goal: str) -> None:
    small = Layer(name="small", op="gemm", M=4, C=2, P=2)
    best = Mapper(FREE, goal=goal, effort=100_000).map(small, machine())
    assert best.optimal
    scores = []
    for seed in range(8):
        with only_climbing():
            found = Mapper(FREE, goal=goal, effort=20, seed=seed).map(small, machine())
        assert not found.optimal
        assert_true(found, small, machine(), FREE)
        assert score(found, goal) >= score(best, goal)
        scores.append(score(found, goal)[0])
    assert np.median(scores) <= 1.5 * score(best, goal)[0]


@given(problem=problems(), goal=st.sampled_from(tuple(GOALS)), seed=st.integers(0, 2**63 - 1))
@settings(max_examples=60, deadline=None)
def test_small_problems_with_the_least_effort(problem: Problem, goal: str, seed: int) -> None:
    patient = Mapper(problem.template, goal=goal, effort=100_000)
    mapper = Mapper(problem.template, goal=goal, effort=1, seed=seed)
    try:
        best = patient.map(problem.layer, problem.architecture)
    except InfeasibleDesign:
        with pytest.raises(InfeasibleDesign):
            mapper.map(problem.layer, problem.architecture)
        return
    with only_climbing():
        found = mapper.map(problem.layer, problem.architecture)
    assert not found.optimal
    assert_true(found, problem.layer, problem.architecture, problem.template)
    if best.optimal:
        assert score(found, goal) >= score(best, goal)


def test_a_legal_mapping_is_found_whatever_the_effort() -> None:
    """The ways to use the array that come first do not fit into the buffer."""
    array = {"mesh_x": 64, "mesh_y": 64}
    levels = (
        Level(name="RF", capacity_words=3, **array),
        Level(name="GLB", capacity_words=4),
        Level(name="DRAM"),
    )
    compute = Compute(mesh_x=64, mesh_y=64, mac_pj=1.0)
    wide = Architecture(name="wide", levels=levels, compute=compute)
    both = LevelRule(temporal=ALL, spatial_x="M", spatial_y="M")
    template = Template("wide", (LevelRule(temporal=ALL), both, LevelRule(temporal=ALL)))
    layer = Layer(name="l", op="conv", M=65536, C=64, P=64, Q=64, R=3, S=3)
    found = Mapper(template, effort=1).map(layer, wide)
    assert_true(found, layer, wide, template)


def test_free_orders_include_the_best() -> None:
    """With the filter inside, weights stay while the window slides over rows, then columns."""
    layer = Layer(name="l", op="conv", M=2, C=2, P=4, Q=8, S=5)
    levels = (
        Level(name="RF", capacity_words=64, read_pj=0.1, write_pj=0.1),
        Level(name="DRAM", read_pj=100.0, write_pj=100.0),
    )
    compute = Compute(mesh_x=1, mesh_y=1, mac_pj=1.0)
    single = Architecture(name="single", levels=levels, compute=compute)
    template = Template("t", (LevelRule(temporal="RS"), LevelRule(temporal=ALL)))
    found = Mapper(template, goal="energy").map(layer, single)
    assert found.optimal
    inner, outer = found.mapping.levels
    for order in itertools.permutations(outer.temporal):
        cost = evaluate(layer, single, Mapping((inner, replace(outer, temporal=order))))
        assert found.energy_pj <= cost.energy_pj


@pytest.mark.parametrize("goal", GOALS)
def test_more_effort_is_better_on_average(goal: str) -> None:
    means = []
    for effort in (50, 1_000):
        scores = []
        for seed in range(6):
            found = Mapper(FREE, goal=goal, effort=effort, seed=seed).map(GEMM, machine())
            assert_true(found, GEMM, machine(), FREE)
            assert found.evaluated >= effort
            scores.append(math.log(score(found, goal)[0]))
        means.append(np.mean(scores))
    assert means[1] <= means[0]


def test_seeds_start_elsewhere() -> None:
    mappings = {
        Mapper(FREE, goal="energy", effort=60, seed=seed).map(GEMM, machine()).mapping
        for seed in range(5)
    }
    assert len(mappings) > 1


# --- Same answer every time -----------------------------------------------------------------------

SHAPES = [replace(GEMM, name=f"gemm{m}", M=m) for m in (8, 12, 24, 30)]


def test_the_answer_is_the_same_every_time_and_on_threads() -> None:
    mapper = Mapper(FREE, goal="edp", effort=100, seed=5)
    first = [mapper.map(layer, machine()) for layer in SHAPES]
    fresh = Mapper(FREE, goal="edp", effort=100, seed=5)
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda layer: fresh.map(layer, machine()), SHAPES * 3))
    assert again == first * 3
    assert [mapper.map(layer, machine()) for layer in SHAPES] == first  # kept ones


def test_the_answer_is_the_same_in_another_process() -> None:
    mapper = Mapper(FREE, goal="edp", effort=100, seed=5)
    code = (
        "import pickle, sys\n"
        "mapper, layers, architecture = pickle.loads(sys.stdin.buffer.read())\n"
        "found = [mapper.map(layer, architecture) for layer in layers]\n"
        "sys.stdout.buffer.write(pickle.dumps(found))\n"
    )
    other = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps((mapper, SHAPES, machine())),
        stdout=subprocess.PIPE,
        check=True,
        env=os.environ | {"PYTHONHASHSEED": "7"},
    )
    assert pickle.loads(other.stdout) == [  # noqa: S301 - our own
        mapper.map(layer, machine()) for layer in SHAPES
    ]


class Counting(MappingCache):
    """Remembers the keys."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[str] = []

    def get(self, key: str) -> Found | None:
        self.keys.append(key)
        return super().get(key)


def test_what_a_kept_result_depends_on() -> None:
    cache = Counting()
    small = replace(GEMM, M=4, C=4, P=4)
    base: dict[str, Any] = {"goal": "delay", "effort": 9, "seed": 1, "cache": cache}

    def key(layer: Layer = small, architecture: Architecture | None = None, **changes: Any) -> str:
        template = changes.pop("template", FREE)
        architecture = machine() if architecture is None else architecture
        found = Mapper(template, **base | changes).map(layer, architecture)
        assert found == Mapper(template, **base | changes | {"cache": None}).map(
            layer, architecture
        )
        return cache.keys[-1]

    first = key()
    assert key(replace(small, name="other", count=7, weight_operand="activation")) == first
    assert key(architecture=machine(area_um2=5.0, name="buffer")) == first
    rule = replace(FREE.rules[0], keep=("Weights",))
    dear = replace(machine(), compute=replace(machine().compute, mac_pj=3.0))
    others = [
        key(replace(small, M=8)),
        key(replace(small, op="conv", stride_p=2)),
        key(architecture=machine(capacity_words=1400)),
        key(architecture=machine(read_pj=5.0)),
        key(architecture=machine(read_bandwidth=None)),
        key(architecture=dear),
        key(template=Template("free", (rule, *FREE.rules[1:]))),
        key(goal="energy"),
        key(effort=10),
        key(seed=2),
        key(fills_of_first_sums=True),
    ]
    assert len({first, *others}) == len(others) + 1


def test_first_sums_as_fills_cost_more() -> None:
    small = replace(GEMM, M=4, C=4, P=4)
    now = Mapper(FREE, goal="energy").map(small, machine())
    before = Mapper(FREE, goal="energy", fills_of_first_sums=True).map(small, machine())
    assert before.energy_pj > now.energy_pj
    again = evaluate(small, machine(), before.mapping, fills_of_first_sums=True)
    assert again.energy_pj == before.energy_pj


# --- What cannot be -------------------------------------------------------------------------------


def test_a_tile_that_does_not_fit_is_named() -> None:
    window = Layer(name="conv9", op="conv", M=4, R=11)
    with pytest.raises(InfeasibleDesign) as caught:
        Mapper(ROW_STATIONARY).map(window, with_spad("weights_spad", 10))
    assert str(caught.value) == (
        "layer 'conv9': level 'weights_spad' holds 10 words, but its tiles need 11 (11 of Weights)."
    )
    assert Mapper(ROW_STATIONARY).map(window, with_spad("weights_spad", 11)).optimal


def with_spad(name: str, words: int) -> Architecture:
    levels = tuple(
        replace(level, capacity_words=words) if level.name == name else level
        for level in PUBLISHED_DEFAULT.levels
    )
    return replace(PUBLISHED_DEFAULT, levels=levels)


def test_a_filter_with_more_rows_than_the_array_is_named() -> None:
    tall = Layer(name="tall", op="conv", S=13)
    with pytest.raises(InfeasibleDesign) as caught:
        Mapper(ROW_STATIONARY).map(tall, PUBLISHED_DEFAULT)
    assert str(caught.value) == (
        "layer 'tall': level 'DummyBuffer' has 12 children in Y, too few to spread S 13 over."
    )


@pytest.mark.parametrize(("n_pes", "feasible"), [(14, False), (28, True)])
def test_a_level_that_has_to_spread_needs_children(n_pes: int, feasible: bool) -> None:
    design = {**EYERISS_SPACE.default(), "n_pes": n_pes}
    mapper = Mapper(ROW_STATIONARY)
    flat = Layer(name="flat", op="gemm", M=16)
    if feasible:
        assert mapper.map(flat, eyeriss_architecture(design)).optimal
        return
    with pytest.raises(InfeasibleDesign, match="level 'DummyBuffer' of dataflow 'row_stationary'"):
        mapper.map(flat, eyeriss_architecture(design))


def test_check_feasible_agrees_with_the_search() -> None:
    mapper = Mapper(ROW_STATIONARY)
    layer = Layer(name="conv", op="conv", M=8, C=4, P=6, Q=6, R=3, S=3)
    for words in range(1, 16):
        architecture = with_spad("shared_glb", words * 10)
        try:
            mapper.check_feasible(layer, architecture)
        except InfeasibleDesign:
            with pytest.raises(InfeasibleDesign):
                mapper.map(layer, architecture)
        else:
            assert mapper.map(layer, architecture).optimal


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"goal": "dela"}, "unknown goal 'dela' of the mapper. Did you mean 'delay'?"),
        ({"goal": "area"}, "unknown goal 'area' of the mapper. Known: delay, energy, edp."),
        ({"effort": 0}, "effort must be a whole number from 1 to 1000000000, got 0."),
        ({"effort": 1.5}, "effort must be a whole number from 1 to 1000000000, got 1.5."),
        ({"effort": True}, "effort must be a whole number from 1 to 1000000000, got True."),
        ({"seed": -1}, "seed must be a whole number from 0 to 9223372036854775807, got -1."),
        ({"seed": "1"}, "seed must be a whole number from 0 to 9223372036854775807, got '1'."),
        ({"seed": None}, "seed must be a whole number from 0 to 9223372036854775807, got None."),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Mapper(FREE, **arguments)
    assert str(caught.value) == message


def test_an_architecture_of_another_height() -> None:
    with pytest.raises(ConfigError) as caught:
        Mapper(SIMBA).map(GEMM, machine())
    assert str(caught.value) == "template 'simba' has 6 levels, architecture 'machine' 3."
