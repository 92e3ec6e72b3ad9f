from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archgym_py.errors import ConfigError, InfeasibleDesign, UnknownNameError
from archgym_py.simulator import BatchSimulator, Explainable, Status
from archgym_py.simulators.dnn.components import dram, mac
from archgym_py.simulators.dnn.layers import Layer
from archgym_py.simulators.dnn.mapper import Mapper
from archgym_py.simulators.dnn.mapping_hardware import L1
from archgym_py.simulators.dnn.mapping_search import MappingSimulator
from archgym_py.simulators.dnn.mapping_space import layer_mappings
from archgym_py.simulators.dnn.mapspace import LevelRule, Template
from archgym_py.simulators.dnn.model import Mapping, tile_words
from archgym_py.simulators.dnn.networks import as_network, network_names
from archgym_py.simulators.dnn.performance import measure
from archgym_py.space import Design, Value
from archgym_py.testing import check_simulator

GEMM: dict[str, Any] = {"name": "fc", "op": "gemm", "M": 8, "C": 6, "P": 4}
TINY: dict[str, Any] = {
    "array_x": 4,
    "array_y": 4,
    "l1_words": 16,
    "l2_words": 64,
    "l2_bandwidth": 4,
}
DEFAULT_LAYER = as_network("resnet18/layer1").layers[0]
EVERY = "NGMCPQRS"


def network(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"name": "test", "layers": list(layers)}


def designs(simulator: MappingSimulator, count: int, seed: int = 0) -> list[Design]:
    units = np.random.default_rng(seed).random((count, len(simulator.space.parameters)))
    return simulator.space.batch(units).designs


def mapping_of(simulator: MappingSimulator, **changes: Value) -> Mapping:
    (mapped,) = simulator.map_network(simulator.space.fill_defaults(changes))
    return mapped.mapping


@pytest.mark.parametrize(
    "workload",
    [
        "resnet18/layer1",
        "alexnet/conv1",  # bounds of 55, strides
        "mobilenet_v2/b1.dw",
        "gpt2_decode_1024",
        network({"name": "one", "op": "gemm"}),
        network({"name": "odd", "op": "conv", "M": 13, "C": 7, "P": 55, "Q": 227, "R": 5}),
        network({"name": "gap", "op": "conv", "P": 9, "R": 4, "stride_p": 3, "dilation_r": 2}),
    ],
)
def test_it_is_a_simulator(workload: Any) -> None:
    simulator = MappingSimulator(workload)
    assert isinstance(simulator, BatchSimulator)
    check_simulator(simulator, simulator.space, samples=200)


@pytest.mark.parametrize(
    "hardware",
    [
        {"array_x": 1, "array_y": 1},
        {"array_x": 16, "array_y": 1, "precision": "int8", "l1_bandwidth": 0.5},
        {"array_x": 4, "array_y": 12, "l1_words": 64, "dram": "HBM3", "dram_channels": 4},
        {"precision": "fp32", "clock_mhz": 1000, "l2_bandwidth": 256, "l2_words": 1 << 17},
    ],
)
def test_bounds_hold_on_other_hardware(hardware: dict[str, Any]) -> None:
    simulator = MappingSimulator("resnet18/layer2.ds", **hardware)
    check_simulator(simulator, simulator.space, samples=500)


@pytest.mark.parametrize("name", network_names())
def test_the_default_mapping_is_legal_for_every_network(name: str) -> None:
    simulator = MappingSimulator(name)
    evaluation = simulator.evaluate(simulator.space.default(), seed=0)
    assert evaluation.status is Status.OK, evaluation.message


def test_the_default_mapping_is_legal_in_the_smallest_memories() -> None:
    simulator = MappingSimulator(l1_words=3, l2_words=4, l2_bandwidth=1)
    default = simulator.space.default()
    assert (default["parallel"], default["factors_M"]) == ("none", "1*1*1*64")
    assert simulator.evaluate(default, seed=0).status is Status.OK


# ---- designs -------------------------------------------------------------------------------------


def test_layers_of_one_shape_share_their_parameters() -> None:
    twice = network(GEMM, GEMM | {"name": "fc2", "count": 2})
    simulator = MappingSimulator(twice)
    alone = MappingSimulator(network(GEMM))
    assert simulator.space == alone.space
    default = alone.space.default()
    once = alone.evaluate(default, seed=0).metrics
    both = simulator.evaluate(default, seed=0).metrics
    for name in ("cycles", "energy_uj", "energy_local_uj", "energy_dram_uj", "dram_mb"):
        assert both[name] == pytest.approx(3 * once[name])
    assert [each.layer.name for each in simulator.map_network(default)] == ["fc", "fc2"]


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["resnet18/conv1", "mobilenet_v2/b1.dw"]))
def test_designs_multiply_up_fit_the_array_and_keep_the_capacities(seed: int, name: str) -> None:
    simulator = MappingSimulator(name, array_x=16, array_y=8)
    (mappings,) = layer_mappings(simulator.network.layers, simulator.architecture)
    chosen = designs(simulator, 50, seed)
    arrays = mappings.decode(chosen)
    arrays.check(mappings.layer, simulator.architecture)
    assert (arrays.spatial.prod(axis=3) <= [[1, 1], [16, 8], [1, 1]]).all()
    results = simulator.evaluate_batch(chosen, seeds=[0] * len(chosen))
    for b, evaluation in enumerate(results):
        extents = np.cumprod(arrays.spatial[b].prod(axis=1) * arrays.temporal[b], axis=0)
        needs = [
            sum(tile_words(mappings.layer, dict(zip(EVERY, row, strict=True))).values())
            for row in extents.tolist()
        ]
        fits = needs[0] <= 256 and needs[1] <= 65536
        assert (evaluation.status is Status.OK) is fits
        assert fits or "level 'L1' holds 256" in evaluation.message or "65536" in evaluation.message


# ---- costs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("hardware", [{}, {"array_x": 1, "array_y": 1, "l1_words": 4096}])
def test_metrics_are_those_of_the_model(hardware: dict[str, Any]) -> None:
    simulator = MappingSimulator(
        network(GEMM, GEMM | {"name": "two", "M": 9, "count": 5}), **hardware
    )
    chosen = designs(simulator, 60)
    results = simulator.evaluate_batch(chosen, seeds=[0] * 60)
    assert sum(result.status is Status.OK for result in results) > 20
    for design, result in zip(chosen, results, strict=True):
        assert simulator.evaluate(design, seed=0) == result
        if result.status is not Status.OK:
            with pytest.raises(InfeasibleDesign) as caught:
                simulator.map_network(design)
            assert str(caught.value) == result.message
            continue
        costs = {each.layer.shape_key: each.cost for each in simulator.map_network(design)}
        expected = measure(simulator.network.layers, costs, simulator.architecture, 200.0)
        if simulator.architecture.compute.instances == 1:  # L1 is local here, whatever there is
            locals_uj = sum(
                each.layer.count * each.cost.levels[L1].energy_pj / 1e6
                for each in simulator.map_network(design)
            )
            expected["energy_local_uj"] += locals_uj
            expected["energy_shared_uj"] -= locals_uj
        assert list(result.metrics) == list(expected)
        assert result.metrics == pytest.approx(expected, rel=1e-12)
        parts = ("mac", "local", "shared", "dram")
        assert result.metrics["energy_uj"] == pytest.approx(
            sum(result.metrics[f"energy_{part}_uj"] for part in parts)
        )


def test_an_explanation_adds_up_to_the_metrics() -> None:
    simulator = MappingSimulator("alexnet")
    assert isinstance(simulator, Explainable)
    design = simulator.space.default()
    metrics = simulator.evaluate(design, seed=0).metrics
    rows = simulator.explain(design).rows
    assert [row.name for row in rows] == [layer.name for layer in simulator.network.layers]
    energy_uj = sum(row.count * sum(row.energy_pj.values()) for row in rows) / 1e6
    assert energy_uj == pytest.approx(metrics["energy_uj"])


def test_values_by_hand() -> None:
    # 8 x 6 by 6 x 4 with all of it in L2, M in X and C in Y, P and the rest of both in L1.
    simulator = MappingSimulator(network(GEMM), array_x=4, array_y=2, dram="HBM3", l2_bandwidth=512)
    changes: dict[str, Value] = {
        "parallel": "MxC",
        "factors_M_x": "2*4*1*1",
        "factors_C_y": "3*2*1*1",
        "factors_P": "4*1*1*1",
    }
    design = simulator.space.fill_defaults(changes)
    metrics = simulator.evaluate(design, seed=0).metrics
    macs = 8 * 6 * 4
    assert metrics["cycles"] == macs / 8
    assert metrics["utilization"] == 1.0
    assert metrics["energy_mac_uj"] == pytest.approx(1e-6 * macs * mac("int16").energy_pj)
    words = 8 * 6 + 6 * 4 + 8 * 4  # each once
    assert metrics["dram_mb"] == pytest.approx(2e-6 * words)
    assert metrics["energy_dram_uj"] == pytest.approx(16e-6 * words * dram("HBM3").pj_per_bit)
    l1, l2, _ = simulator.architecture.levels
    # In a PE every operation reads two operands, and all but the first of a sum the sum.
    reads, writes = 24 + 24 + 24 - 8, 6 + 12 + 24
    assert metrics["energy_local_uj"] == pytest.approx(
        8e-6 * (reads * l1.read_pj + writes * l1.write_pj)
    )
    # L2 sends 48 weights and 24 inputs in blocks of 4, and gets them and 32 sums.
    assert metrics["energy_shared_uj"] == pytest.approx(
        1e-6 * ((12 + 6) * l2.read_pj + (12 + 6 + 8) * l2.write_pj)
    )


def test_bandwidths_and_clock_limit() -> None:
    fast = MappingSimulator(l2_bandwidth=512, dram="HBM3")
    slow = MappingSimulator(l2_bandwidth=1, dram="HBM3")
    design = fast.space.default()
    cycles = [s.evaluate(design, seed=0).metrics["cycles"] for s in (fast, slow)]
    assert cycles[0] == 4 * 112896  # all PEs are busy
    assert cycles[1] > cycles[0]
    assert slow.map_network(design)[0].cost.bound == "L2"
    quick = MappingSimulator(clock_mhz=10_000)  # the DRAM is as slow as ever
    assert quick.map_network(design)[0].cost.bound == "DRAM"


def test_the_mapper_is_not_beaten() -> None:
    rules = (
        LevelRule(temporal=EVERY),
        LevelRule(temporal=EVERY, spatial_x="MCPQG", spatial_y="MCPQG"),
        LevelRule(temporal=EVERY),
    )
    for layer in (
        Layer(name="fc", op="gemm", M=4, C=3, P=2),
        Layer(name="c", op="conv", M=2, P=2, R=3),
    ):
        simulator = MappingSimulator(network(layer.to_dict()), **TINY)
        found = Mapper(Template("free", rules), goal="edp").map(layer, simulator.architecture)
        assert found.optimal
        best = found.cycles * found.energy_pj
        results = simulator.evaluate_batch(designs(simulator, 3000), seeds=[0] * 3000)
        reached = [
            result.metrics["cycles"] * result.metrics["energy_uj"] * 1e6
            for result in results
            if result.status is Status.OK
        ]
        assert len(reached) > 300
        assert best * (1 - 1e-9) <= min(reached) < 1.5 * best


def test_half_of_the_random_designs_fit() -> None:
    simulator = MappingSimulator()
    results = simulator.evaluate_batch(designs(simulator, 5000), seeds=[0] * 5000)
    share = sum(result.status is Status.OK for result in results) / 5000
    assert 0.48 < share < 0.54


def test_a_batch_may_be_empty_or_longer_than_a_piece_of_work() -> None:
    simulator = MappingSimulator(network(GEMM))
    assert simulator.evaluate_batch([], seeds=[]) == []
    chosen = designs(simulator, 100) * 50
    results = simulator.evaluate_batch(chosen, seeds=[0] * len(chosen))
    assert results[:100] == results[-100:]


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"parallel": "none", "factors_M": "16*1*1*4", "factors_C": "16*1*1*4"},
            "level 'L1' holds 256 words, but its tiles need 2464 (2304 of Weights, 144 of Inputs",
        ),
        (
            {"factors_Q": "1*1*56*1"},
            "level 'L2' holds 65536 words, but its tiles need 334080 (18432 of Weights, 215296 of",
        ),
    ],
)
def test_tiles_that_do_not_fit(changes: dict[str, Value], message: str) -> None:
    simulator = MappingSimulator()
    bad = simulator.space.fill_defaults(changes)
    good = simulator.space.default()
    first, second, third = simulator.evaluate_batch([good, bad, good], seeds=[0, 0, 0])
    assert first == third == simulator.evaluate(good, seed=0)
    assert second.status is Status.INFEASIBLE
    assert second.message.startswith(f"layer 'layer1': {message}")
    assert not second.metrics
    with pytest.raises(InfeasibleDesign, match=r"its tiles need"):
        simulator.map_network(bad)


def test_the_first_layer_that_does_not_fit_is_named() -> None:
    layers = [GEMM | {"name": name, "M": 64 + 64 * i} for i, name in enumerate(("a", "b", "c"))]
    simulator = MappingSimulator(network(*layers), l1_words=100)
    bad: dict[str, Value] = {
        f"{name}_factors_{dim}": value
        for name in ("b", "c")
        for dim, value in (("M", "16*1*1*" + ("8" if name == "b" else "12")), ("C", "6*1*1*1"))
    }
    bad |= {"b_parallel": "none", "c_parallel": "none"}
    evaluation = simulator.evaluate(simulator.space.fill_defaults(bad), seed=0)
    assert evaluation.message.startswith("layer 'b': level 'L1' holds 100 words, but its tiles ")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"workload": "resnet18/layer9"}, UnknownNameError, "has no layer 'layer9'"),
        ({"workload": None}, ConfigError, "workload must be"),
    ],
)
def test_errors(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        MappingSimulator(**arguments)
