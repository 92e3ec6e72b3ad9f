import itertools
import math
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archgym_py.errors import ConfigError, UnknownNameError
from archgym_py.simulator import BatchSimulator, Status
from archgym_py.simulators.dnn.accelerator import AcceleratorSimulator
from archgym_py.simulators.dnn.components import DRAMS, dram, mac
from archgym_py.simulators.dnn.sram import sram
from archgym_py.simulators.dnn.systolic_array import SYSTOLIC_SPACE, SystolicSimulator
from archgym_py.space import Design, Ordinal
from archgym_py.testing import check_simulator

GEMM: dict[str, Any] = {"name": "fc", "op": "gemm", "M": 64, "C": 48, "P": 40}
WIDE: dict[str, Any] = {"dram": "HBM3", "dram_channels": 8}  # enough for no stalls
ENERGIES = ("energy_mac_uj", "energy_register_uj", "energy_sram_uj", "energy_dram_uj")


def network(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"name": "test", "layers": list(layers)}


def evaluate(
    workload: Any = None, budgets: dict[str, Any] | None = None, **changes: str | int
) -> dict[str, float]:
    design: Design = {**SYSTOLIC_SPACE.default(), **changes}
    simulator = SystolicSimulator(network(GEMM) if workload is None else workload, **budgets or {})
    evaluation = simulator.evaluate(design, seed=0)
    assert evaluation.status is Status.OK, evaluation.message
    return dict(evaluation.metrics)


def designs(seed: int, count: int) -> list[Design]:
    units = np.random.default_rng(seed).random((count, len(SYSTOLIC_SPACE.parameters)))
    batch = SYSTOLIC_SPACE.batch(units)
    return [d for d, feasible in zip(batch.designs, batch.feasible, strict=True) if feasible]


@pytest.mark.parametrize("workload", ["alexnet", "mobilenet_v2", "gpt2_decode_1024"])
def test_it_is_a_simulator(workload: str) -> None:
    simulator = SystolicSimulator(workload)
    assert isinstance(simulator, BatchSimulator)
    check_simulator(simulator, SYSTOLIC_SPACE, samples=200)


def test_bounds_hold_for_the_smallest_network_and_for_extreme_designs() -> None:
    ends = [
        (p.value_at(0), p.value_at(p.cardinality - 1))
        if isinstance(p, Ordinal)
        else tuple(map(p.value_at, range(cast(int, p.cardinality))))
        for p in SYSTOLIC_SPACE.parameters
    ]
    corners = [
        dict(zip(SYSTOLIC_SPACE.names, values, strict=True)) for values in itertools.product(*ends)
    ]
    one = network({"name": "one", "op": "gemm"})
    conv = network({"name": "c", "op": "conv", "M": 300, "C": 70, "P": 90, "Q": 90, "R": 3, "S": 3})
    for workload in (one, conv):
        simulator = SystolicSimulator(workload)
        evaluations = simulator.evaluate_batch(corners, seeds=[0] * len(corners))
        values = [e.metrics for e in evaluations if e.status is Status.OK]
        assert len(values) > len(corners) / 2
        for metric in simulator.metrics:
            found = [metrics[metric.name] for metrics in values]
            assert metric.low <= min(found) <= max(found) <= metric.high, metric.name


def test_units_are_those_of_all_simulators_of_the_family() -> None:
    units = {metric.name: metric.unit for metric in SystolicSimulator("alexnet/conv1").metrics}
    others = {metric.name: metric.unit for metric in AcceleratorSimulator("alexnet/conv1").metrics}
    shared = units.keys() & others.keys()
    assert len(shared) > 6
    assert {name: units[name] for name in shared} == {name: others[name] for name in shared}
    assert (units["stall_cycles"], units["edp_uj_ms"]) == ("cycles", "uJ*ms")


# ---- values --------------------------------------------------------------------------------------


def test_values_by_hand() -> None:
    # 40 x 48 by 48 x 64 with outputs staying on 32 x 32 cells: 2 x 2 folds of 48 + 62 cycles.
    metrics = evaluate(**WIDE)
    cycles, macs = 4 * 110, 40 * 48 * 64
    assert metrics["cycles"] == metrics["compute_cycles"] == cycles
    assert metrics["stall_cycles"] == 0
    assert metrics["latency_ms"] == pytest.approx(cycles / 500e3)
    assert metrics["utilization"] == pytest.approx(macs / (1024 * cycles))
    words = 40 * 48 + 48 * 64 + 40 * 64  # each once, of 16 bits
    assert metrics["dram_mb"] == pytest.approx(2e-6 * words)
    assert metrics["energy_dram_uj"] == pytest.approx(16e-6 * words * dram("HBM3").pj_per_bit)
    assert metrics["energy_mac_uj"] == pytest.approx(
        1e-6 * macs * mac("int16").energy_pj * 9.55 / 8.63  # at 2 ns
    )
    bits = macs * (16 + 16 + 32) + 40 * 64 * 32 * 33 / 2
    assert metrics["energy_register_uj"] == pytest.approx(1e-6 * bits * 0.009)
    # Half of 128 KiB in 8 macros for 32 words of 16 bits, in 16 for sums of 32 bits.
    operands, sums = sram(1024, 64), sram(512, 64, ports=2)
    energy_pj = (2 * 40 * 48 + 2 * 48 * 64) * operands.read_pj * 16 / 64
    energy_pj += (40 * 48 + 48 * 64) * operands.write_pj * 16 / 64
    energy_pj += 40 * 64 * (sums.read_pj + sums.write_pj) * 32 / 64
    assert metrics["energy_sram_uj"] == pytest.approx(1e-6 * energy_pj)
    cell = mac("int16").area_um2 * 5140 / 4600 + 64 * 5.98
    area_um2 = 1024 * cell + 32 * operands.area_um2 + 32 * sums.area_um2
    assert metrics["area_mm2"] == pytest.approx(1e-6 * area_um2)


@pytest.mark.parametrize(
    ("dataflow", "cycles", "per_mac", "shifted"),
    [
        # Weights 48 x 64 in 2 x 2 folds of 40 + 94 cycles; each passes half of 32 rows.
        ("ws", 4 * 134, 16 + 32, 48 * 64 * 16),
        # Inputs 48 x 40 in 2 x 2 folds of 64 + 94 cycles.
        ("is", 4 * 158, 16 + 32, 48 * 40 * 16),
    ],
)
def test_other_dataflows_by_hand(dataflow: str, cycles: int, per_mac: int, shifted: int) -> None:
    metrics = evaluate(dataflow=dataflow, **WIDE)
    assert metrics["cycles"] == cycles
    bits = 40 * 48 * 64 * per_mac + shifted * 33 / 2
    assert metrics["energy_register_uj"] == pytest.approx(1e-6 * bits * 0.009)


def test_spilled_sums_have_their_full_width() -> None:
    # 8192 x 48 by 48 x 32: the sums of one fold, 8192 x 32 words of 32 bits, are more than half of
    # 512 KiB but not of 2 MiB. Two folds along the rows: out and back once, and out.
    layer = network(GEMM | {"P": 8192, "M": 32})
    kept = evaluate(layer, dataflow="ws", ofmap_kib=2048)
    spilled = evaluate(layer, dataflow="ws", ofmap_kib=1024)
    assert kept["dram_mb"] == pytest.approx(2e-6 * (8192 * 48 + 48 * 32 + 8192 * 32))
    assert spilled["dram_mb"] - kept["dram_mb"] == pytest.approx(1e-6 * 8192 * 32 * (4 + 4))


def test_a_slow_memory_stalls_each_layer_on_its_own() -> None:
    # A product of one row moves 64 x 48 weights for little work; the other one is bound by work.
    slow = GEMM | {"name": "thin", "P": 1}
    bits = 16 * (48 + 48 * 64 + 64)
    waiting = math.ceil(bits / (12.8e9 * 8 / 500e6))
    alone = evaluate(network(slow), rows=16)
    assert alone["cycles"] == waiting
    assert alone["compute_cycles"] == 2 * (48 + 46)
    assert alone["stall_cycles"] == waiting - 2 * (48 + 46)
    busy = GEMM | {"name": "thick", "P": 120, "M": 120, "C": 256}
    other = evaluate(network(busy), rows=16)
    assert (other["cycles"], other["stall_cycles"]) == (8 * 4 * (256 + 46), 0)
    both = evaluate(network(slow, busy), rows=16)
    assert both["cycles"] == alone["cycles"] + other["cycles"]
    assert both["stall_cycles"] == alone["stall_cycles"]


def test_groups_and_counts_are_repetitions() -> None:
    once = evaluate(network({"name": "d", "op": "conv", "P": 9, "Q": 9, "R": 3, "S": 3}))
    depthwise = {"name": "d", "op": "depthwise", "G": 10, "P": 9, "Q": 9, "R": 3, "S": 3}
    many = evaluate(network(depthwise | {"count": 3}))
    for name in ("cycles", "stall_cycles", "latency_ms", "dram_mb", "energy_uj", *ENERGIES):
        assert many[name] == pytest.approx(30 * once[name])
    assert many["utilization"] == pytest.approx(once["utilization"])


def test_a_faster_clock_costs_energy_and_area() -> None:
    fast, slow = evaluate(clock_mhz=1000, **WIDE), evaluate(clock_mhz=200, **WIDE)
    assert fast["latency_ms"] == pytest.approx(slow["latency_ms"] / 5)
    assert fast["energy_mac_uj"] == pytest.approx(slow["energy_mac_uj"] * 12.68 / 8.63)
    assert fast["area_mm2"] > slow["area_mm2"]


# ---- properties ----------------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_metrics_are_consistent(seed: int) -> None:
    simulator = SystolicSimulator("resnet18")
    chosen = designs(seed, 20)
    batch = simulator.evaluate_batch(chosen, seeds=[0] * len(chosen))
    for design, evaluation in zip(chosen, batch, strict=True):
        assert simulator.evaluate(design, seed=0) == evaluation
        m = evaluation.metrics
        assert m["energy_uj"] == pytest.approx(sum(m[name] for name in ENERGIES))
        assert m["power_mw"] == pytest.approx(m["energy_uj"] / m["latency_ms"])
        assert m["edp_uj_ms"] == pytest.approx(m["energy_uj"] * m["latency_ms"])
        cells = cast(int, design["rows"]) * cast(int, design["columns"])
        assert m["cycles"] >= simulator.network.macs / cells
        memory = DRAMS[cast(str, design["dram"])]
        peak_gb_s = memory.bandwidth_gb_s * cast(int, design["dram_channels"])
        assert m["dram_mb"] / m["latency_ms"] <= peak_gb_s * (1 + 1e-9)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["ifmap_kib", "filter_kib", "ofmap_kib"]))
def test_a_larger_memory_moves_no_more_and_takes_no_less_area(seed: int, grown: str) -> None:
    simulator = SystolicSimulator("alexnet")
    values = SYSTOLIC_SPACE[grown]
    for design in designs(seed, 10):
        index = values.index_of(design[grown])
        if index + 1 < cast(int, values.cardinality):
            small = simulator.evaluate(design, seed=0).metrics
            larger: Design = {**design, grown: values.value_at(index + 1)}
            large = simulator.evaluate(larger, seed=0).metrics
            assert large["dram_mb"] <= small["dram_mb"]
            assert large["cycles"] <= small["cycles"]
            assert large["area_mm2"] >= small["area_mm2"]  # equal below CACTI's smallest macro


def test_a_batch_may_be_empty_or_longer_than_a_piece_of_work() -> None:
    simulator = SystolicSimulator("vit_b16")
    assert simulator.evaluate_batch([], seeds=[]) == []
    chosen = designs(0, 12) * 1500
    evaluations = simulator.evaluate_batch(chosen, seeds=[0] * len(chosen))
    assert evaluations[: len(chosen) // 1500] == evaluations[-(len(chosen) // 1500) :]


# ---- what is refused -----------------------------------------------------------------------------


def test_the_array_must_be_served_in_every_cycle() -> None:
    # 256 sums of 32 bits are 128 macros in each half; of 32 KiB a half has 2048 words for them.
    small: Design = {**SYSTOLIC_SPACE.default(), "columns": 256, "ofmap_kib": 32}
    assert SYSTOLIC_SPACE.violations({**small, "ofmap_kib": 64}) == ()
    (broken,) = SYSTOLIC_SPACE.violations(small)
    assert broken.startswith("macro_depth: ")
    simulator = SystolicSimulator(network(GEMM))
    good, bad = simulator.evaluate_batch([SYSTOLIC_SPACE.default(), small], seeds=[0, 0])
    assert good.status is Status.OK
    assert (bad.status, bad.message, bad.metrics) == (Status.INFEASIBLE, broken, {})
    # What enters along the rows and along the columns changes places with the dataflow.
    tall: Design = {**SYSTOLIC_SPACE.default(), "rows": 256, "ifmap_kib": 16}
    assert SYSTOLIC_SPACE.violations(tall) == (broken,)
    assert SYSTOLIC_SPACE.violations({**tall, "dataflow": "is"}) == ()
    assert SYSTOLIC_SPACE.violations({**tall, "precision": "int8"}) == ()


def test_budgets() -> None:
    metrics = evaluate()
    exact = {
        "area_budget_mm2": metrics["area_mm2"],
        "power_budget_mw": metrics["power_mw"],
    }
    assert evaluate(budgets=exact) == metrics
    tight = {name: 0.99 * limit for name, limit in exact.items()}
    evaluation = SystolicSimulator(network(GEMM), **tight).evaluate(
        SYSTOLIC_SPACE.default(), seed=0
    )
    assert evaluation.status is Status.INFEASIBLE
    area, power = evaluation.message.split("; ")
    assert area.startswith(f"area_mm2 is {metrics['area_mm2']:.4g}, over the budget of ")
    assert power.startswith(f"power_mw is {metrics['power_mw']:.4g}, over the budget of ")


@pytest.mark.parametrize("name", ["area_budget_mm2", "power_budget_mw"])
@pytest.mark.parametrize("value", [0, -1.0, math.inf, math.nan, True, "5"])
def test_budgets_are_positive_numbers(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{name} (must be a finite number|is 0, but no design)"):
        SystolicSimulator(network(GEMM), **{name: value})


def test_a_budget_that_no_design_keeps() -> None:
    with pytest.raises(ConfigError, match=r"area_budget_mm2 is 0.01, but no design needs less"):
        SystolicSimulator(network(GEMM), area_budget_mm2=0.01)


def test_networks_that_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'alexnet'"):
        SystolicSimulator("alexnett")
    huge = GEMM | {"M": 2**16, "C": 2**16, "P": 2**10, "count": 100}
    with pytest.raises(ConfigError, match="'test' has 439804651110400 multiplications, more than"):
        SystolicSimulator(network(huge))
    with pytest.raises(ConfigError, match="m must be from 1 to 2147483647, got 4294967296"):
        SystolicSimulator(network({"name": "c", "op": "conv", "P": 2**16, "Q": 2**16}))
