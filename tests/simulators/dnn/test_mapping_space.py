"""Mappings as designs: parameters, their values, and back."""

import math
from typing import Any, cast

import numpy as np

from archgym_py.simulators.dnn.mapping_hardware import array_architecture
from archgym_py.simulators.dnn.mapping_search import MappingSimulator
from archgym_py.simulators.dnn.mapping_space import layer_mappings, mapping_space
from archgym_py.simulators.dnn.mapspace import free_orders
from archgym_py.simulators.dnn.model import LevelMapping, Mapping
from archgym_py.simulators.dnn.networks import as_network
from archgym_py.space import Value

GEMM: dict[str, Any] = {"name": "fc", "op": "gemm", "M": 8, "C": 6, "P": 4}
DEFAULT_LAYER = as_network("resnet18/layer1").layers[0]


def network(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"name": "test", "layers": list(layers)}


def mapping_of(simulator: MappingSimulator, **changes: Value) -> Mapping:
    (mapped,) = simulator.map_network(simulator.space.fill_defaults(changes))
    return mapped.mapping


def test_parameters_of_the_default_layer() -> None:
    space = mapping_space(layer_mappings([DEFAULT_LAYER], array_architecture()))
    counts = {p.name: p.cardinality for p in space.parameters}
    times = {"M": 28, "C": 28, "P": 30, "Q": 30}  # 2^6 in three factors; 56 = 2^3 * 7 in three
    assert {dim: counts[f"factors_{dim}"] for dim in times} == times
    # 2^k parts, k from 1 to 5 on a side and to 6 on the array, and the rest in three factors.
    assert counts["factors_M_side"] == sum(math.comb(6 - k + 2, 2) for k in range(1, 6)) == 55
    assert counts["factors_M_array"] == 56
    assert (counts["factors_R"], counts["order_l2"], counts["order_dram"]) == (3, 720, 720)
    assert counts["parallel"] == 1 + 4 + 6
    assert (space.size, space.count_canonical()) == (2062017569156751360000000000, 91166215910400)


def test_a_design_says_what_the_mapping_is() -> None:
    simulator = MappingSimulator()
    changes: dict[str, Value] = {
        "parallel": "CxP",
        "factors_M": "4*1*8*2",
        "factors_C_side": "2*16*1*2",
        "factors_P_side": "2*28*1*1",
        "factors_Q": "1*1*2*28",
        "factors_R": "1*1*3*1",
        "factors_S": "1*1*1*3",
        "order_l2": "QRMCPS",
        "order_dram": "SQCMPR",
    }
    assert mapping_of(simulator, **changes) == Mapping(
        (
            LevelMapping(temporal=(("P", 2), ("M", 4), ("C", 2))),
            LevelMapping(
                temporal=(("Q", 2), ("R", 3), ("M", 8)),
                spatial_x=(("C", 16),),
                spatial_y=(("P", 28),),
            ),
            LevelMapping(temporal=(("S", 3), ("Q", 28), ("C", 2), ("M", 2))),
        )
    )


def test_one_dimension_may_have_the_whole_array() -> None:
    simulator = MappingSimulator()
    level = mapping_of(simulator, parallel="M", factors_M_array="1*64*1*1").levels[1]
    assert (level.spatial_x, level.spatial_y) == ((("M", 32),), (("M", 2),))
    nothing = mapping_of(simulator, parallel="none").levels[1]
    assert (nothing.spatial_x, nothing.spatial_y) == ((), ())


def test_sides_that_differ_have_their_own_factors() -> None:
    simulator = MappingSimulator(network(GEMM), array_x=4, array_y=2)
    space = simulator.space
    assert space["parallel"].describe() == "one of none, M, C, P, MxC, MxP, CxM, CxP, PxM, PxC"
    assert (
        space["factors_C_x"].describe()
        == "one of 1*2*1*3, 1*2*3*1, 3*2*1*1, 1*3*1*2, 1*3*2*1, 2*3*1*1"
    )
    assert space["factors_C_y"].describe() == "one of 1*2*1*3, 1*2*3*1, 3*2*1*1"
    level = mapping_of(
        simulator, parallel="CxM", factors_C_x="2*3*1*1", factors_M_y="1*2*2*2"
    ).levels[1]
    assert (level.spatial_x, level.spatial_y) == ((("C", 3),), (("M", 2),))
    # 6 parts of C are 3 x 2.
    level = mapping_of(simulator, parallel="C", factors_C_array="1*6*1*1").levels[1]
    assert (level.spatial_x, level.spatial_y) == ((("C", 3),), (("C", 2),))


def test_what_cannot_be_spread_has_no_parameter() -> None:
    layer = {"name": "n", "op": "conv", "N": 4, "M": 37, "R": 3, "P": 2}
    space = MappingSimulator(network(layer)).space
    assert space["parallel"].describe() == "one of none, P"  # 37 parts have no place
    assert [name for name in space.names if "_M" in name] == ["factors_M"]
    assert [name for name in space.names if "_N" in name or "_R" in name] == [
        "factors_N",
        "factors_R",
    ]
    column = MappingSimulator(network(GEMM), array_x=1, array_y=1).space
    assert column["parallel"].describe() == "one of none"


def test_primes_are_cut_into_themselves() -> None:
    layer = {"name": "odd", "op": "conv", "M": 13, "P": 55, "Q": 227}
    space = MappingSimulator(network(layer)).space
    assert space["factors_M_side"].describe() == "one of 1*13*1*1"
    assert space["factors_Q"].describe() == "one of 1*1*1*227, 1*1*227*1"  # 227 outgrow an L1
    assert "factors_Q_side" not in space.names
    sides = [str(cast(Any, space["factors_P_side"]).value_at(i)) for i in range(6)]
    assert sides == ["1*5*1*11", "1*5*11*1", "11*5*1*1", "1*11*1*5", "1*11*5*1", "5*11*1*1"]


def test_a_layer_of_one_operation_has_one_mapping() -> None:
    simulator = MappingSimulator(network({"name": "one", "op": "gemm"}))
    assert simulator.space.names == ("parallel",)
    assert simulator.space.size == 1
    assert simulator.evaluate({"parallel": "none"}, seed=0).metrics["cycles"] == 1


def test_a_single_loop_has_no_order() -> None:
    space = MappingSimulator(network({"name": "dot", "op": "gemm", "C": 8})).space
    assert space.names == ("parallel", "factors_C", "factors_C_array")


def test_many_dimensions_have_the_orders_that_matter() -> None:
    layer = {"name": "all", "op": "conv"} | dict.fromkeys("NGMCPQRS", 2)
    space = MappingSimulator(network(layer)).space
    assert space["order_l2"].describe() == f"one of {', '.join(free_orders())}"
    six = MappingSimulator(network({**layer, "N": 1, "G": 1})).space["order_l2"]
    assert six.cardinality == 720
    assert set(cast(Any, six).values) >= {
        order.translate({78: "", 71: ""}) for order in free_orders()
    }


def test_names_of_layers_become_identifiers() -> None:
    names = ("a.b", "a-b", "1st", "a_b_2")
    layers = [GEMM | {"name": name, "M": 2 + i} for i, name in enumerate(names)]
    space = MappingSimulator(network(*layers)).space
    assert [name.removesuffix("parallel") for name in space.names if "parallel" in name] == [
        "a_b_",
        "a_b_2_",
        "layer_1st_",
        "a_b_2_2_",
    ]
    assert "of a-b" in space["a_b_2_factors_M"].doc


def test_designs_are_different_mappings() -> None:
    simulator = MappingSimulator(network(GEMM | {"C": 4}), array_x=4, array_y=4)
    default = simulator.space.default()
    orders = {name: default[name] for name in ("order_l2", "order_dram")}
    found = [d | orders for d in simulator.space.iter_canonical() if d.items() >= orders.items()]
    assert len(found) > 1000
    (mappings,) = layer_mappings(simulator.network.layers, simulator.architecture)
    arrays = mappings.decode(found)
    parts = arrays.spatial.prod(axis=2).reshape(len(found), -1)
    rows = np.column_stack([parts, arrays.temporal.reshape(len(found), -1)])
    assert len(np.unique(rows, axis=0)) == len(found)
