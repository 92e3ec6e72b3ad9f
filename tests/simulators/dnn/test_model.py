"""The loop-nest model: worked examples, an independent simulation, and properties."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archgym_py.errors import ConfigError, InfeasibleDesign
from archgym_py.simulators.dnn import kernel
from archgym_py.simulators.dnn.hardware import Architecture, Compute, Level
from archgym_py.simulators.dnn.layers import DIMS, TENSORS, Layer
from archgym_py.simulators.dnn.model import (
    Cost,
    LevelMapping,
    Mapping,
    MappingArrays,
    evaluate,
    evaluate_batch,
    tile_words,
)

OF_TENSOR = {"Weights": "GMCRS", "Inputs": "NGCPQRS", "Outputs": "NGMPQ"}
NAMES = ("RF", "GLB", "DRAM")
few = settings(max_examples=60, deadline=None)


def counts(cost: Cost, level: int, tensor: str) -> tuple[int, int, int]:
    """Reads, fills and updates of a tensor at a level."""
    row = cost.levels[level].tensors[tensor]
    return row.reads, row.fills, row.updates


# --- The worked example of the specification ------------------------------------------------------

GEMM = Layer(name="gemm", op="gemm", M=128, C=128, P=128)
NEST = Mapping(
    (
        LevelMapping(temporal=(("M", 16), ("P", 4), ("C", 2))),
        LevelMapping(
            spatial_x=(("P", 4),),
            spatial_y=(("C", 8),),
            temporal=(("C", 2), ("P", 4), ("M", 2)),
        ),
        LevelMapping(temporal=(("P", 2), ("M", 4), ("C", 4))),
    )
)
PES = Architecture(
    name="pes",
    levels=(Level(name="RF", mesh_x=7, mesh_y=8), Level(name="GLB"), Level(name="DRAM")),
    compute=Compute(mesh_x=7, mesh_y=8, mac_pj=1.0),
)


def test_worked_example() -> None:
    cost = evaluate(GEMM, PES, NEST)
    assert (cost.cycles, cost.compute_cycles, cost.bound) == (65536, 65536, "compute")
    assert cost.utilization == pytest.approx(32 / 56)
    assert [level.instances for level in cost.levels] == [32, 1, 1]
    register, buffer, memory = (
        {tensor: level.tensors[tensor].tile for tensor in TENSORS} for level in cost.levels
    )
    assert register == {"Weights": 32, "Inputs": 8, "Outputs": 64}
    assert buffer == {"Weights": 1024, "Inputs": 2048, "Outputs": 2048}
    assert memory == dict.fromkeys(TENSORS, 128 * 128)
    assert counts(cost, 0, "Weights") == (65536, 16384, 0)
    assert counts(cost, 0, "Inputs") == (65536, 4096, 0)
    assert counts(cost, 0, "Outputs") == (61440, 12288, 65536)
    assert cost.levels[0].tensors["Outputs"].partition == 4096


def test_first_sums_may_count_as_fills() -> None:
    cost = evaluate(GEMM, PES, NEST, fills_of_first_sums=True)
    assert counts(cost, 0, "Outputs") == (61440, 16384, 65536)
    assert counts(cost, 0, "Weights") == (65536, 16384, 0)


# --- Random nests ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A layer with a mapping, and an architecture on which it is legal."""

    layer: Layer
    architecture: Architecture
    mapping: Mapping


@st.composite
def cases(draw: st.DrawFn, dims: str = "NGMCPQRS", primes: int = 8, strided: bool = True) -> Case:
    """Distribute some prime factors over the blocks of three levels."""
    block = st.tuples(st.sampled_from(range(3)), st.sampled_from(("temporal", "x", "y")))
    factors = draw(
        st.lists(
            st.tuples(block, st.sampled_from(dims), st.sampled_from((2, 2, 3))), max_size=primes
        )
    )
    blocks: list[dict[str, dict[str, int]]] = [{"temporal": {}, "x": {}, "y": {}} for _ in NAMES]
    bounds: dict[str, int] = {}
    for (level, where), dim, prime in factors:
        chosen = blocks[level][where]
        chosen[dim] = chosen.get(dim, 1) * prime
        bounds[dim] = bounds.get(dim, 1) * prime
    geometry = {
        field: draw(st.integers(1, 3)) if strided else 1
        for field in ("stride_p", "stride_q", "dilation_r", "dilation_s")
    }
    keeps = [draw(st.sets(st.sampled_from(TENSORS))) for _ in NAMES[:-1]] + [set(TENSORS)]
    orders = [draw(st.permutations(DIMS)) for _ in NAMES]
    mapping = Mapping(
        tuple(
            LevelMapping(
                keep=tuple(tensor for tensor in TENSORS if tensor in keep),
                temporal=tuple(
                    (dim, of["temporal"][dim]) for dim in order if dim in of["temporal"]
                ),
                spatial_x=tuple(of["x"].items()),
                spatial_y=tuple(of["y"].items()),
            )
            for of, keep, order in zip(blocks, keeps, orders, strict=True)
        )
    )
    layer = Layer(name="random", op="conv", **bounds, **geometry)  # type: ignore[arg-type]
    bandwidths = st.sampled_from((None, 0.25, 1, 3, 16))
    levels: list[Level] = []
    x = y = 1
    for number in (2, 1, 0):
        levels.insert(
            0,
            Level(
                name=NAMES[number],
                mesh_x=x,
                mesh_y=y,
                block_size=draw(st.sampled_from((1, 2, 4))),
                read_bandwidth=draw(bandwidths),
                write_bandwidth=draw(bandwidths),
                shared_bandwidth=draw(bandwidths),
                read_pj=draw(st.sampled_from((0.0, 0.5, 7.0))),
                write_pj=draw(st.sampled_from((0.0, 0.25, 9.0))),
            ),
        )
        spare = draw(st.integers(1, 2))  # children that are not used
        x *= spare * math.prod(blocks[number]["x"].values())
        y *= math.prod(blocks[number]["y"].values())
    compute = Compute(mesh_x=x, mesh_y=y, mac_pj=draw(st.sampled_from((0.0, 2.0))))
    return Case(layer, Architecture(name="a", levels=tuple(levels), compute=compute), mapping)


def with_levels(architecture: Architecture, **changes: Any) -> Architecture:
    levels = tuple(replace(level, **changes) for level in architecture.levels)
    return replace(architecture, levels=levels)


# --- An independent simulation --------------------------------------------------------------------


def words_of(layer: Layer, tensor: str, box: dict[str, range]) -> set[tuple[int, ...]]:
    """The words of a tensor that a box of iterations touches, all between them included."""
    axes: list[range] = []
    for dim in OF_TENSOR[tensor]:
        if tensor == "Inputs" and dim in "RS":
            continue
        if tensor == "Inputs" and dim in "PQ":
            other = {"P": "R", "Q": "S"}[dim]
            stride = {"P": layer.stride_p, "Q": layer.stride_q}[dim]
            dilation = {"P": layer.dilation_r, "Q": layer.dilation_s}[dim]
            low = box[dim][0] * stride + box[other][0] * dilation
            high = box[dim][-1] * stride + box[other][-1] * dilation
            axes.append(range(low, high + 1))
        else:
            axes.append(box[dim])
    return set(itertools.product(*axes))


class Simulation:
    """Runs a nest iteration by iteration and counts which words move.

    It follows instance 0 of every level; all instances do the same on other words.
    """

    def __init__(self, case: Case) -> None:
        self.layer = case.layer
        self.levels = case.mapping.levels
        # Loops from the outside in: level, whether in space, dimension, iterations, step.
        self.loops: list[tuple[int, bool, str, int, int]] = []
        step = dict.fromkeys(DIMS, 1)
        for number, level in enumerate(self.levels):
            space = [*level.spatial_x, *level.spatial_y]
            for is_space, block in ((True, space), (False, level.temporal)):
                for dim, factor in block:
                    self.loops.insert(0, (number, is_space, dim, factor, step[dim]))
                    step[dim] *= factor
        self.tile = []  # extents that a level (or, at -1, a multiplier) holds
        for number in range(-1, len(self.levels)):
            extents = dict.fromkeys(DIMS, 1)
            for place, _, dim, factor, _ in self.loops:
                if place <= number:
                    extents[dim] *= factor
            self.tile.append(extents)

    def times(self, below: int) -> Iterator[dict[str, int]]:
        """Where the loops in time outside of a level are, one iteration after the other."""
        loops = [loop for loop in self.loops if loop[0] > below and not loop[1]]
        for index in itertools.product(*(range(loop[3]) for loop in loops)):
            where = dict.fromkeys(DIMS, 0)
            for (_, _, dim, _, step), i in zip(loops, index, strict=True):
                where[dim] += i * step
            yield where

    def children(self, below: int, top: int) -> list[dict[str, int]]:
        """Where the instances of a level are that one instance of a higher level serves."""
        loops = [loop for loop in self.loops if below < loop[0] <= top and loop[1]]
        places = []
        for index in itertools.product(*(range(loop[3]) for loop in loops)):
            where = dict.fromkeys(DIMS, 0)
            for (_, _, dim, _, step), i in zip(loops, index, strict=True):
                where[dim] += i * step
            places.append(where)
        return places

    def held(self, tensor: str, level: int, *where: dict[str, int]) -> set[tuple[int, ...]]:
        box = {}
        for dim in DIMS:
            start = sum(place[dim] for place in where)
            box[dim] = range(start, start + self.tile[level + 1][dim])
        return words_of(self.layer, tensor, box)

    def received(self, tensor: str, level: int, server: int) -> tuple[int, int]:
        """Words that the children at a level of one instance get, and how many get there first.

        A child gets what it does not hold; a multiplier holds nothing. Children that get the same
        word at the same time share it.
        """
        places = self.children(level, server)
        before: list[set[tuple[int, ...]]] = [set() for _ in places]
        known: set[tuple[int, ...]] = set()
        sent = 0
        for time in self.times(level):
            moving: set[tuple[int, ...]] = set()
            for number, place in enumerate(places):
                now = self.held(tensor, level, time, place)
                moving |= now if level < 0 else now - before[number]
                before[number] = now
            sent += len(moving)
            known |= moving
        return sent, len(known)

    def counts(self, number: int, tensor: str) -> tuple[int, int, int]:
        """Reads, fills and updates of a tensor at a level."""
        keeping = [i for i, level in enumerate(self.levels) if tensor in level.keep]
        if number not in keeping:
            return 0, 0, 0
        below = [i for i in keeping if i < number]
        sent, first = self.received(tensor, below[-1] if below else -1, number)
        filled, first_filled = 0, 0
        if number != keeping[-1]:
            filled, first_filled = self.received(tensor, number, number)
        if tensor == "Outputs":
            return sent - first, filled - first_filled, sent
        return sent, filled, 0


def assert_as_simulated(case: Case) -> None:
    cost = evaluate(case.layer, case.architecture, case.mapping)
    simulation = Simulation(case)
    for number, tensor in itertools.product(range(3), TENSORS):
        assert counts(cost, number, tensor) == simulation.counts(number, tensor), (number, tensor)
        held = simulation.held(tensor, number, dict.fromkeys(DIMS, 0))
        kept = tensor in case.mapping.levels[number].keep
        assert cost.levels[number].tensors[tensor].tile == (len(held) if kept else 0)


@given(cases(dims="NGMCPQ", primes=6, strided=False))
@few
def test_counts_are_those_of_a_simulation(case: Case) -> None:
    """Without sliding windows tiles are equal or disjoint, and nothing is approximate."""
    assert_as_simulated(case)


@given(
    factors=st.fixed_dictionaries({dim: st.integers(1, 3) for dim in "MCPR"}),
    rounds=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 3)),
    stride=st.integers(1, 2),
    dilation=st.integers(1, 2),
    axis=st.sampled_from((("P", "R"), ("Q", "S"))),
)
@few
def test_a_sliding_window_receives_only_what_is_new(
    factors: dict[str, int],
    rounds: tuple[int, int, int],
    stride: int,
    dilation: int,
    axis: tuple[str, str],
) -> None:
    """The window slides over the inputs, then starts again on other channels and images."""
    (images, slides, channels), (out, kernel_dim) = rounds, axis
    inner = (("M", factors["M"]), ("C", factors["C"]), (out, factors["P"]))
    mapping = Mapping(
        (
            LevelMapping(temporal=(*inner, (kernel_dim, factors["R"]))),
            LevelMapping(temporal=((out, slides), ("C", channels), ("N", images))),
            LevelMapping(),
        )
    )
    bounds = {
        "M": factors["M"],
        "C": factors["C"] * channels,
        "N": images,
        out: factors["P"] * slides,
        kernel_dim: factors["R"],
    }
    side = {"P": ("stride_p", "dilation_r"), "Q": ("stride_q", "dilation_s")}[out]
    geometry = dict(zip(side, (stride, dilation), strict=True))
    layer = Layer(name="window", op="conv", **bounds, **geometry)  # type: ignore[arg-type]
    levels = tuple(Level(name=name) for name in NAMES)
    one = Compute(mesh_x=1, mesh_y=1, mac_pj=1.0)
    architecture = Architecture(name="one", levels=levels, compute=one)
    assert_as_simulated(Case(layer, architecture, mapping))


def test_a_window_that_slides_on_at_the_next_level_keeps_its_words() -> None:
    """Two loops of two iterations move by the same step, as one of four does."""
    layer = Layer(name="halo", op="conv", P=8, R=3)
    levels = tuple(Level(name=name) for name in NAMES)
    machine = Architecture(
        name="one", levels=levels, compute=Compute(mesh_x=1, mesh_y=1, mac_pj=1.0)
    )
    inner = LevelMapping(temporal=(("P", 2), ("R", 3)))
    two = (LevelMapping(temporal=(("P", 2),)), LevelMapping(temporal=(("P", 2),)))
    cost = evaluate(layer, machine, Mapping((inner, *two)))
    assert counts(cost, 0, "Inputs")[1] == 10  # every column once: 4 and then 2 three times
    assert counts(cost, 2, "Inputs")[0] == 10


@pytest.mark.parametrize(("filter_rows", "distinct"), [(1, 3), (2, 4), (3, 5)])
def test_children_on_a_diagonal_share_inputs(filter_rows: int, distinct: int) -> None:
    """Elements of a row-stationary array with equal P + R need the same row."""
    layer = Layer(name="diagonal", op="conv", P=3, R=filter_rows)
    machine = Architecture(
        name="array",
        levels=(Level(name="RF", mesh_x=3, mesh_y=filter_rows), Level(name="DRAM")),
        compute=Compute(mesh_x=3, mesh_y=filter_rows, mac_pj=1.0),
    )
    spread = LevelMapping(spatial_x=(("P", 3),), spatial_y=(("R", filter_rows),))
    cost = evaluate(layer, machine, Mapping((LevelMapping(), spread)))
    assert counts(cost, 1, "Inputs")[0] == distinct
    assert counts(cost, 1, "Outputs") == (0, 0, 3)  # partial sums are added on the way
    assert counts(cost, 1, "Weights")[0] == filter_rows


# --- The ideal single-level case ------------------------------------------------------------------


@given(
    bounds=st.fixed_dictionaries({dim: st.integers(1, 4) for dim in DIMS}),
    block=st.sampled_from((1, 3, 4)),
    bandwidth=st.sampled_from((None, 0.3, 2.0)),
)
@few
def test_one_level_has_a_closed_form(
    bounds: dict[str, int], block: int, bandwidth: float | None
) -> None:
    """Every operation reads its operands and updates its sum; the first update reads no sum."""
    layer = Layer(name="ideal", op="conv", **bounds)  # type: ignore[arg-type]
    memory = Level(
        name="DRAM", block_size=block, read_pj=5.0, write_pj=3.0, shared_bandwidth=bandwidth
    )
    machine = Architecture(
        name="ideal", levels=(memory,), compute=Compute(mesh_x=1, mesh_y=1, mac_pj=2.0)
    )
    cost = evaluate(layer, machine, Mapping((LevelMapping(temporal=tuple(bounds.items())),)))
    macs = math.prod(bounds.values())
    outputs = math.prod(bounds[dim] for dim in "NGMPQ")
    assert counts(cost, 0, "Weights") == (macs, 0, 0)
    assert counts(cost, 0, "Inputs") == (macs, 0, 0)
    assert counts(cost, 0, "Outputs") == (macs - outputs, 0, macs)
    reads = 2 * math.ceil(macs / block) + math.ceil((macs - outputs) / block)
    assert cost.energy_pj == 2.0 * macs + 5.0 * reads + 3.0 * math.ceil(macs / block)
    words = 4 * macs - outputs
    needed = macs if bandwidth is None else math.ceil(max(macs, words / bandwidth) * (1 - 1e-12))
    assert (cost.compute_cycles, cost.cycles) == (macs, needed)
    assert cost.utilization == macs / needed
    assert cost.levels[0].tensors["Inputs"].tile == (
        bounds["N"] * bounds["G"] * bounds["C"] * layer.input_columns * layer.input_rows
    )


# --- Properties -----------------------------------------------------------------------------------


@given(cases())
@few
def test_energy_is_the_sum_of_its_components(case: Case) -> None:
    cost = evaluate(case.layer, case.architecture, case.mapping)
    assert cost.mac_energy_pj == case.layer.macs * case.architecture.compute.mac_pj
    total = cost.mac_energy_pj
    for level, spent in zip(case.architecture.levels, cost.levels, strict=True):
        parts = 0.0
        for row in spent.tensors.values():
            blocks = [-(-n // level.block_size) for n in (row.reads, row.fills, row.updates)]
            energy = blocks[0] * level.read_pj + (blocks[1] + blocks[2]) * level.write_pj
            assert row.energy_pj == pytest.approx(spent.instances * energy)
            parts += row.energy_pj
        assert spent.energy_pj == pytest.approx(parts)
        total += parts
    assert cost.energy_pj == pytest.approx(total, rel=1e-12)


@given(cases())
@few
def test_cycles_are_the_largest_of_compute_and_bandwidths(case: Case) -> None:
    cost = evaluate(case.layer, case.architecture, case.mapping)
    used = math.prod(
        factor
        for level in case.mapping.levels
        for _, factor in (*level.spatial_x, *level.spatial_y)
    )
    assert cost.compute_cycles * used == case.layer.macs
    bounds = [float(cost.compute_cycles)]
    for level, spent in zip(case.architecture.levels, cost.levels, strict=True):
        read = sum(row.reads for row in spent.tensors.values())
        written = sum(row.fills + row.updates for row in spent.tensors.values())
        needs = [
            words / bandwidth
            for words, bandwidth in (
                (read, level.read_bandwidth),
                (written, level.write_bandwidth),
                (read + written, level.shared_bandwidth),
            )
            if bandwidth is not None
        ]
        assert all(spent.cycles >= need * (1 - 1e-9) for need in needs)
        bounds += needs
    assert cost.cycles == pytest.approx(math.ceil(max(bounds) * (1 - 1e-12)))
    assert cost.cycles == max(cost.compute_cycles, *(level.cycles for level in cost.levels))
    units = case.architecture.compute.instances
    assert cost.utilization == pytest.approx(case.layer.macs / (cost.cycles * units))
    assert 0 < cost.utilization <= 1
    if cost.bound == "compute":
        assert cost.cycles == cost.compute_cycles
    else:
        (slowest,) = (spent for spent in cost.levels if spent.name == cost.bound)
        assert slowest.cycles == cost.cycles > cost.compute_cycles


@given(cases(), st.integers(0, 1), st.integers(-3, 3))
@few
def test_no_level_holds_more_than_its_capacity(case: Case, number: int, slack: int) -> None:
    free = evaluate(case.layer, case.architecture, case.mapping)
    tiles = {tensor: row.tile for tensor, row in free.levels[number].tensors.items()}
    need = sum(tiles.values())
    if need + slack < 1:
        return
    levels = list(case.architecture.levels)
    levels[number] = replace(levels[number], capacity_words=need + slack)
    tight = replace(case.architecture, levels=tuple(levels))
    arrays = MappingArrays.of([case.mapping], case.layer, tight)
    verdicts, results = evaluate_batch(case.layer, [tight], arrays)
    if slack >= 0:
        assert evaluate(case.layer, tight, case.mapping) == free
        assert verdicts.tolist() == [[kernel.OK, 0]]
        return
    with pytest.raises(InfeasibleDesign) as caught:
        evaluate(case.layer, tight, case.mapping)
    message = str(caught.value)
    name = NAMES[number]
    assert f"layer 'random': level '{name}' holds {need + slack} words, but its" in message
    assert f"tiles need {need} (" in message
    for tensor, tile in tiles.items():
        assert (f"{tile} of {tensor}" in message) == (tensor in case.mapping.levels[number].keep)
    assert verdicts.tolist() == [[kernel.CAPACITY, number]]
    assert results.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize(("side", "verdict"), [("x", kernel.FANOUT_X), ("y", kernel.FANOUT_Y)])
def test_more_children_than_there_are(side: str, verdict: int) -> None:
    layer = Layer(name="wide", op="gemm", M=4, C=3)
    spread = {f"spatial_{side}": (("M", 4), ("C", 3))}
    mapping = Mapping((LevelMapping(), LevelMapping(**spread)))  # type: ignore[arg-type]
    meshes = {"mesh_x": 12, "mesh_y": 12, f"mesh_{side}": 11}
    machine = Architecture(
        name="array",
        levels=(Level(name="RF", **meshes), Level(name="DRAM")),
        compute=Compute(**meshes, mac_pj=1.0),  # type: ignore[arg-type]
    )
    with pytest.raises(InfeasibleDesign) as caught:
        evaluate(layer, machine, mapping)
    assert str(caught.value) == (
        f"layer 'wide': level 'DRAM' has 11 children in {side.upper()}, too few to spread "
        f"M 4 x C 3 over."
    )
    arrays = MappingArrays.of([mapping], layer, machine)
    assert evaluate_batch(layer, [machine], arrays)[0].tolist() == [[verdict, 1]]


@given(cases(), st.data())
@few
def test_loops_of_one_iteration_change_nothing(case: Case, data: st.DataObject) -> None:
    padded = []
    for level in case.mapping.levels:
        loops = list(level.temporal)
        for dim in DIMS:
            if dim not in dict(level.temporal):
                loops.insert(data.draw(st.integers(0, len(loops))), (dim, 1))
        free = tuple((dim, 1) for dim in DIMS if dim not in dict(level.spatial_x))
        padded.append(replace(level, temporal=tuple(loops), spatial_x=(*free, *level.spatial_x)))
    with_ones = evaluate(case.layer, case.architecture, Mapping(tuple(padded)))
    assert with_ones == evaluate(case.layer, case.architecture, case.mapping)


@given(cases())
@few
def test_the_order_in_space_changes_nothing(case: Case) -> None:
    turned = tuple(
        replace(level, spatial_x=level.spatial_x[::-1], spatial_y=level.spatial_y[::-1])
        for level in case.mapping.levels
    )
    assert evaluate(case.layer, case.architecture, Mapping(turned)) == evaluate(
        case.layer, case.architecture, case.mapping
    )


@given(cases(), st.data())
@few
def test_loops_of_the_innermost_level_may_be_permuted(case: Case, data: st.DataObject) -> None:
    """A multiplier holds nothing, so only how many iterations there are counts."""
    inner = case.mapping.levels[0]
    loops = tuple(data.draw(st.permutations(inner.temporal)))
    changed = Mapping((replace(inner, temporal=loops), *case.mapping.levels[1:]))
    assert evaluate(case.layer, case.architecture, changed) == evaluate(
        case.layer, case.architecture, case.mapping
    )


@given(cases(dims="GMNC", strided=False))
@few
def test_weights_and_inputs_of_a_matrix_product_are_alike(case: Case) -> None:
    """With M and N exchanged the tensors are."""
    names = {"G": "G", "M": "N", "N": "M", "C": "C"}
    other_tensor = {"Weights": "Inputs", "Inputs": "Weights", "Outputs": "Outputs"}

    def renamed(block: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
        return tuple((names[dim], factor) for dim, factor in block)

    turned = Mapping(
        tuple(
            LevelMapping(
                keep=tuple(other_tensor[tensor] for tensor in level.keep),
                temporal=renamed(level.temporal),
                spatial_x=renamed(level.spatial_x),
                spatial_y=renamed(level.spatial_y),
            )
            for level in case.mapping.levels
        )
    )
    layer = replace(case.layer, M=case.layer.N, N=case.layer.M)
    one = evaluate(case.layer, case.architecture, case.mapping)
    other = evaluate(layer, case.architecture, turned)
    assert one.cycles == other.cycles
    assert one.energy_pj == pytest.approx(other.energy_pj)
    for mine, its in zip(one.levels, other.levels, strict=True):
        for tensor, row in mine.tensors.items():
            assert row == its.tensors[other_tensor[tensor]]


@given(cases())
@few
def test_x_and_y_are_alike(case: Case) -> None:
    levels = tuple(
        replace(level, mesh_x=level.mesh_y, mesh_y=level.mesh_x)
        for level in case.architecture.levels
    )
    compute = case.architecture.compute
    turned = Architecture(
        name="turned",
        levels=levels,
        compute=replace(compute, mesh_x=compute.mesh_y, mesh_y=compute.mesh_x),
    )
    mapping = Mapping(
        tuple(
            replace(level, spatial_x=level.spatial_y, spatial_y=level.spatial_x)
            for level in case.mapping.levels
        )
    )
    assert evaluate(case.layer, turned, mapping) == evaluate(
        case.layer, case.architecture, case.mapping
    )


@given(cases())
@few
def test_columns_and_rows_are_alike(case: Case) -> None:
    names = dict(zip("NGMCPQRS", "NGMCQPSR", strict=True))
    blocks = ("temporal", "spatial_x", "spatial_y")
    mapping = Mapping(
        tuple(
            LevelMapping(
                keep=level.keep,
                **{b: tuple((names[dim], n) for dim, n in getattr(level, b)) for b in blocks},
            )
            for level in case.mapping.levels
        )
    )
    old = case.layer
    layer = Layer(
        name="turned",
        op="conv",
        **{names[dim]: bound for dim, bound in zip(DIMS, old.bounds, strict=True)},  # type: ignore[arg-type]
        stride_p=old.stride_q,
        stride_q=old.stride_p,
        dilation_r=old.dilation_s,
        dilation_s=old.dilation_r,
    )
    assert evaluate(layer, case.architecture, mapping) == evaluate(
        old, case.architecture, case.mapping
    )


@given(cases())
@few
def test_energy_scales_with_prices(case: Case) -> None:
    dear = Architecture(
        name="dear",
        levels=tuple(
            replace(level, read_pj=4 * level.read_pj, write_pj=4 * level.write_pj)
            for level in case.architecture.levels
        ),
        compute=replace(case.architecture.compute, mac_pj=4 * case.architecture.compute.mac_pj),
    )
    cheap = evaluate(case.layer, case.architecture, case.mapping)
    cost = evaluate(case.layer, dear, case.mapping)
    assert cost.energy_pj == 4 * cheap.energy_pj
    assert (cost.cycles, cost.utilization) == (cheap.cycles, cheap.utilization)


@given(cases(dims="NPQRS"), st.sampled_from((2, 3, 5)))
@few
def test_a_depthwise_layer_is_copies_of_one_channel(case: Case, channels: int) -> None:
    """Channels share nothing: looped over outside of all, everything happens that often."""
    old = case.layer
    layer = replace(old, name="dw", op="depthwise", G=channels)
    top = case.mapping.levels[-1]
    outside = replace(top, temporal=(*top.temporal, ("G", channels)))
    copies = evaluate(layer, case.architecture, Mapping((*case.mapping.levels[:-1], outside)))
    one = evaluate(old, case.architecture, case.mapping)
    assert copies.compute_cycles == channels * one.compute_cycles
    for number, tensor in itertools.product(range(3), TENSORS):
        mine, its = counts(copies, number, tensor), counts(one, number, tensor)
        assert mine == tuple(channels * n for n in its)


@given(cases(dims="NMCPQRS"))
@few
def test_a_convolution_of_one_group_is_a_convolution(case: Case) -> None:
    grouped = Mapping(
        tuple(replace(level, temporal=(("G", 1), *level.temporal)) for level in case.mapping.levels)
    )
    layer = replace(case.layer, G=1)
    assert evaluate(layer, case.architecture, grouped) == evaluate(
        case.layer, case.architecture, case.mapping
    )


@given(cases(dims="MCP", strided=False))
@few
def test_a_gemm_is_a_convolution_with_a_filter_of_one(case: Case) -> None:
    gemm = replace(case.layer, op="gemm")
    assert evaluate(gemm, case.architecture, case.mapping) == evaluate(
        case.layer, case.architecture, case.mapping
    )


@given(cases())
@few
def test_with_free_bandwidth_compute_decides(case: Case) -> None:
    free = with_levels(
        case.architecture, read_bandwidth=None, write_bandwidth=None, shared_bandwidth=None
    )
    cost = evaluate(case.layer, free, case.mapping)
    assert (cost.cycles, cost.bound) == (cost.compute_cycles, "compute")
    assert cost.cycles <= evaluate(case.layer, case.architecture, case.mapping).cycles


@given(cases())
@few
def test_every_tensor_is_read_and_written_at_least_once(case: Case) -> None:
    cost = evaluate(case.layer, case.architecture, case.mapping)
    whole = tile_words(case.layer, dict(zip(DIMS, case.layer.bounds, strict=True)))
    top = cost.levels[-1].tensors
    assert top["Weights"].reads >= whole["Weights"]
    assert top["Outputs"].updates >= whole["Outputs"]
    assert top["Outputs"].reads == top["Outputs"].updates - whole["Outputs"]
    for level in cost.levels:
        for row in level.tensors.values():
            assert min(row.reads, row.fills, row.updates, row.tile) >= 0


# --- Batches --------------------------------------------------------------------------------------


@given(cases(), st.data())
@few
def test_a_batch_gives_what_single_mappings_give(case: Case, data: st.DataObject) -> None:
    """One architecture for all, or one for each; illegal mappings among them."""
    changed = []
    for _ in range(3):
        levels = [
            replace(level, temporal=tuple(data.draw(st.permutations(level.temporal))))
            for level in case.mapping.levels
        ]
        changed.append(Mapping(tuple(levels)))
    tight = replace(
        case.architecture,
        levels=(
            replace(case.architecture.levels[0], capacity_words=2),
            *case.architecture.levels[1:],
        ),
    )
    machines = [case.architecture, tight, with_levels(case.architecture, read_pj=2.5)]
    arrays = MappingArrays.of(changed, case.layer, case.architecture)
    verdicts, results = evaluate_batch(case.layer, machines, arrays)
    for b, (machine, mapping) in enumerate(zip(machines, changed, strict=True)):
        alone = MappingArrays.of([mapping], case.layer, machine)
        for part in (alone, MappingArrays.of([arrays.mapping(b)], case.layer, machine)):
            verdict, result = evaluate_batch(case.layer, [machine], part)
            assert verdict.tolist() == verdicts[b : b + 1].tolist()
            assert result.tolist() == results[b : b + 1].tolist()
        if verdicts[b, 0] == kernel.OK:
            cost = evaluate(case.layer, machine, mapping)
            assert results[b].tolist() == [cost.cycles, cost.energy_pj]
    same = evaluate_batch(case.layer, [case.architecture], arrays)
    each = evaluate_batch(case.layer, [case.architecture] * 3, arrays)
    assert all(np.array_equal(one, other) for one, other in zip(same, each, strict=True))


def test_a_batch_needs_one_architecture_or_one_each() -> None:
    arrays = MappingArrays.of([NEST] * 3, GEMM, PES)
    for machines in ([], [PES, PES]):
        with pytest.raises(ConfigError, match=rf"3 mappings need one .* got {len(machines)}\."):
            evaluate_batch(GEMM, machines, arrays)


def test_a_batch_of_none() -> None:
    verdicts, results = evaluate_batch(GEMM, [PES], MappingArrays.of([], GEMM, PES))
    assert (verdicts.shape, results.shape) == ((0, 2), (0, 2))


def test_counts_of_the_largest_layers_are_exact() -> None:
    layer = Layer(name="large", op="gemm", M=2**26, C=2**26)
    machine = Architecture(
        name="one", levels=(Level(name="DRAM"),), compute=Compute(mesh_x=1, mesh_y=1, mac_pj=1.0)
    )
    mapping = Mapping((LevelMapping(temporal=(("M", 2**26), ("C", 2**26))),))
    cost = evaluate(layer, machine, mapping)
    assert counts(cost, 0, "Outputs") == (2**52 - 2**26, 0, 2**52)


# --- Wrong mappings -------------------------------------------------------------------------------


def changed(level: int, **changes: Any) -> Mapping:
    levels = list(NEST.levels)
    levels[level] = replace(levels[level], **changes)
    return Mapping(tuple(levels))


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (
            Mapping(NEST.levels[:2]),
            "a mapping has one entry for each of the 3 levels of 'pes', got 2.",
        ),
        (
            changed(0, temporal=(("M", 16), ("P", 4))),
            "mapping 0 of layer 'gemm': the factors of C multiply to 64, not to its bound 128.",
        ),
        (changed(1, spatial_x=(("P", 8),)), "the factors of P multiply to 256, not to its bound"),
        (changed(2, temporal=(("K", 2),)), "a dimension is one of N, G, M, C, P, Q, R, S, got 'K'"),
        (
            changed(1, temporal=(("C", 2), ("C", 4))),
            "mapping of layer 'gemm', level 'GLB': a dimension occurs twice in one block: ((",
        ),
        (
            changed(0, spatial_y=(("C", 0),)),
            "mapping of layer 'gemm', level 'RF': the factor of C must be a whole number from 1",
        ),
        (changed(0, spatial_y=(("C", 2.0),)), "the factor of C must be a whole number from 1 to"),
        (changed(0, spatial_x=(("C", True),)), "the factor of C must be a whole number from 1 to"),
        (changed(0, temporal=("M2",)), "the factor of M must be a whole number from 1 to 21474836"),
        (changed(0, temporal=(("M",),)), "factors must be a tuple of pairs such as ('M', 2), got"),
        (changed(0, temporal=3), "factors must be a tuple of pairs such as ('M', 2), got 3."),
        (changed(0, temporal=((["M"], 2),)), "a dimension is one of N, G, M, C, P, Q, R, S, got ["),
        (
            Mapping(tuple(replace(level, keep=TENSORS[:2]) for level in NEST.levels)),
            "mapping 0 of layer 'gemm': no level of 'pes' keeps Outputs. Let the outermost one",
        ),
    ],
)
def test_wrong_mappings(mapping: Mapping, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        evaluate(GEMM, PES, mapping)
    assert message in str(caught.value)


def test_the_message_says_which_mapping_of_a_batch_is_wrong() -> None:
    wrong = changed(0, temporal=(("M", 16), ("P", 4)))
    with pytest.raises(ConfigError, match="mapping 1 of layer 'gemm': the factors of C"):
        MappingArrays.of([NEST, wrong], GEMM, PES)


def test_no_level_needs_to_keep_a_tensor_but_one() -> None:
    """A tensor may stay inside; nothing then moves at the levels further out."""
    levels = (replace(NEST.levels[0]), *(replace(at, keep=TENSORS[:2]) for at in NEST.levels[1:]))
    cost = evaluate(GEMM, PES, Mapping(levels))
    assert counts(cost, 0, "Outputs") == (61440, 0, 65536)
    assert counts(cost, 1, "Outputs") == counts(cost, 2, "Outputs") == (0, 0, 0)


@pytest.mark.parametrize(
    ("keep", "problem"),
    [
        (("Weigths", "Inputs"), "a tensor is one of Weights, Inputs, Outputs, got 'Weigths'. Did "),
        ("Weights", "keep must be a tuple of tensors, got 'Weights'."),
        (["Weights"], "keep must be a tuple of tensors, got ['Weights']."),
        (None, "keep must be a tuple of tensors, got None."),
        ((["Weights"],), "a tensor is one of Weights, Inputs, Outputs, got ['Weights']."),
        (("Weights", "Weights"), "a tensor occurs twice in keep: ('Weights', 'Weights')."),
    ],
)
def test_wrong_tensors(keep: Any, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        evaluate(GEMM, PES, changed(0, keep=keep))
    assert str(caught.value).startswith(f"mapping of layer 'gemm', level 'RF': {problem}")


def test_factors_and_tiles_beyond_64_bits() -> None:
    with pytest.raises(ConfigError, match="the factor of C"):
        evaluate(GEMM, PES, changed(0, spatial_y=(("C", 2**70),)))
