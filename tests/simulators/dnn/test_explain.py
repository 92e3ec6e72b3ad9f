"""Explanations of networks: rows add up to the metrics, loop nests say what the model counts."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from archgym_py.design import Design
from archgym_py.errors import ConfigError, InfeasibleDesign
from archgym_py.explanation import Explanation
from archgym_py.simulators.dnn.accelerator import AcceleratorSimulator
from archgym_py.simulators.dnn.explain import explain_layers, loop_nest
from archgym_py.simulators.dnn.extended import EXTENDED
from archgym_py.simulators.dnn.hardware import Architecture, Compute, Level
from archgym_py.simulators.dnn.layers import Layer
from archgym_py.simulators.dnn.mapped import MappedLayer
from archgym_py.simulators.dnn.model import LevelMapping, Mapping, evaluate
from archgym_py.simulators.dnn.systolic_array import SYSTOLIC_SPACE, SystolicSimulator

NETWORK: dict[str, Any] = {
    "name": "small",
    "layers": [
        {
            "name": "conv",
            "op": "conv",
            "M": 16,
            "C": 8,
            "P": 14,
            "Q": 14,
            "R": 3,
            "S": 3,
            "count": 4,
        },
        {"name": "dw", "op": "depthwise", "G": 16, "P": 14, "Q": 14, "R": 3, "S": 3},
        {"name": "fc", "op": "gemm", "M": 10, "C": 1024, "count": 2},
    ],
}

GEMM = Layer(name="gemm", op="gemm", M=128, C=128, P=128)
PES = Architecture(
    name="pes",
    levels=(
        Level(name="RF", mesh_x=7, mesh_y=8, capacity_words=128, read_pj=0.5, write_pj=0.5),
        Level(name="GLB", read_pj=6.0, write_pj=6.0),
        Level(name="DRAM", read_pj=200.0, write_pj=200.0),
    ),
    compute=Compute(mesh_x=7, mesh_y=8, mac_pj=1.0),
)
MAPPING = Mapping(
    (
        LevelMapping(temporal=(("M", 16), ("P", 4), ("C", 2))),
        LevelMapping(
            keep=("Inputs", "Outputs"),
            spatial_x=(("P", 4),),
            spatial_y=(("C", 8),),
            temporal=(("C", 2), ("P", 4), ("R", 1), ("M", 2)),
        ),
        LevelMapping(temporal=(("P", 2), ("M", 4), ("C", 4))),
    )
)


def test_loop_nest() -> None:
    assert loop_nest(GEMM, MAPPING, PES).splitlines() == [
        "gemm: gemm M=128 C=128 P=128",
        "DRAM  keeps Weights 16384, Inputs 16384, Outputs 16384 (49152 words)",
        "  for C in 0..4",
        "    for M in 0..4",
        "      for P in 0..2",
        "GLB   keeps Inputs 2048, Outputs 2048 (4096 words)",
        "        for M in 0..2",
        "          for P in 0..4",
        "            for C in 0..2",
        "              spread P over 4 in X",
        "              spread C over 8 in Y",
        "RF    keeps Weights 32, Inputs 8, Outputs 64 (104 of 128 words) in each of 32",
        "                for C in 0..2",
        "                  for P in 0..4",
        "                    for M in 0..16",
        "MAC   works in 32 of 56",
    ]


def test_loop_nest_of_a_level_that_keeps_nothing() -> None:
    levels = (*MAPPING.levels[:1], LevelMapping(keep=(), temporal=(("P", 8),)), LevelMapping())
    layer = Layer(name="fc", op="gemm", M=16, P=32, C=2, count=3)
    lines = loop_nest(layer, Mapping(levels), PES).splitlines()
    assert lines[0] == "fc: gemm M=16 C=2 P=32 count=3"
    assert lines[2:4] == ["GLB   keeps nothing", "  for P in 0..8"]


def test_nests_have_the_bounds_and_the_tiles_of_the_model() -> None:
    simulator = AcceleratorSimulator(NETWORK, platform=EXTENDED)
    machine, layers = simulator.map_network(EXTENDED.space.default())
    for layer, at in zip(simulator.network.layers, layers, strict=True):
        nest = loop_nest(layer, at.mapping, machine.architecture)
        bounds = dict.fromkeys("NGMCPQRS", 1)
        for dim, factor in re.findall(r"for (\w) in 0\.\.(\d+)", nest):
            bounds[dim] *= int(factor)
        for dim, factor in re.findall(r"spread (\w) over (\d+) in", nest):
            bounds[dim] *= int(factor)
        assert tuple(bounds.values()) == layer.bounds
        for cost in at.cost.levels:
            [line] = [line for line in nest.splitlines() if line.startswith(f"{cost.name} ")]
            tiles = {name: int(words) for name, words in re.findall(r"([A-Z]\w+ts) (\d+)", line)}
            assert tiles == {name: t.tile for name, t in cost.tensors.items() if t.tile}
            assert line.endswith(f" in each of {cost.instances}") == (cost.instances > 1)


def check_sums(explanation: Explanation, metrics: dict[str, float]) -> None:
    totals = explanation.totals
    assert totals["cycles"] == metrics["cycles"]
    assert totals["utilization"] == pytest.approx(metrics["utilization"], rel=1e-12)
    assert explanation.total_energy_pj == pytest.approx(1e6 * metrics["energy_uj"], rel=1e-12)
    by_hand = math.fsum(row.count * row.total_energy_pj for row in explanation.rows)
    assert by_hand == pytest.approx(1e6 * metrics["energy_uj"], rel=1e-12)
    assert [row.count for row in explanation.rows] == [4, 1, 2]
    assert [row.values["macs"] for row in explanation.rows] == [225792, 28224, 10240]


@pytest.mark.parametrize("dataflow", ["row_stationary", "weight_stationary"])
def test_rows_add_up_to_the_metrics_of_an_accelerator(dataflow: str) -> None:
    simulator = AcceleratorSimulator(NETWORK, platform=EXTENDED)
    design = {**EXTENDED.space.default(), "dataflow": dataflow}
    metrics = dict(simulator.evaluate(design, seed=0).metrics)
    explanation = simulator.explain(design)
    check_sums(explanation, metrics)
    energy = explanation.energy_pj
    assert energy["MAC"] == pytest.approx(1e6 * metrics["energy_mac_uj"], rel=1e-12)
    assert energy["DRAM"] == pytest.approx(1e6 * metrics["energy_dram_uj"], rel=1e-12)
    assert energy["GLB"] == pytest.approx(1e6 * metrics["energy_shared_uj"], rel=1e-12)
    optimal = [row.values["optimal"] for row in explanation.rows]
    assert optimal.count(True) / 3 == metrics["optimal_share"]
    _, layers = simulator.map_network(design)
    assert [row.values["bound"] for row in explanation.rows] == [at.cost.bound for at in layers]
    assert explanation.title.startswith(f"small on extended, {dataflow}, 168 multipliers at 200")


def test_rows_add_up_to_the_metrics_of_a_systolic_array() -> None:
    simulator = SystolicSimulator(NETWORK)
    for dataflow in ("os", "ws", "is"):
        design = {**SYSTOLIC_SPACE.default(), "dataflow": dataflow}
        metrics = dict(simulator.evaluate(design, seed=0).metrics)
        explanation = simulator.explain(design)
        check_sums(explanation, metrics)
        assert explanation.totals["stall_cycles"] == metrics["stall_cycles"]
        for part, energy in explanation.energy_pj.items():
            assert energy == pytest.approx(1e6 * metrics[f"energy_{part}_uj"], rel=1e-12)
        for row in explanation.rows:
            assert (row.values["bound"] == "dram") == bool(row.values["stall_cycles"])
            assert row.text == ""


def test_infeasible_designs() -> None:
    accelerator = AcceleratorSimulator(NETWORK)
    with pytest.raises(InfeasibleDesign, match="ifmap_spad"):
        accelerator.explain({**accelerator.platform.space.default(), "ifmap_depth": 2})
    small: Design = {"rows": 256, "ifmap_kib": 16, "precision": "fp16"}
    with pytest.raises(InfeasibleDesign, match="macro_depth: each half of an SRAM"):
        SystolicSimulator(NETWORK).explain({**SYSTOLIC_SPACE.default(), **small})


def test_mappings_that_nobody_searched_for() -> None:
    cost = evaluate(GEMM, PES, MAPPING)
    explanation = explain_layers("by hand", PES, [MappedLayer(GEMM, MAPPING, cost)])
    [row] = explanation.rows
    assert list(row.values) == ["macs", "cycles", "bound", "utilization"]
    assert list(row.energy_pj) == ["MAC", "RF", "GLB", "DRAM"]
    assert row.total_energy_pj == pytest.approx(cost.energy_pj, rel=1e-12)
    assert row.text == loop_nest(GEMM, MAPPING, PES)
    with pytest.raises(ConfigError, match="at least one layer"):
        explain_layers("nothing", PES, [])
