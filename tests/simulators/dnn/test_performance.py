import math
from dataclasses import replace
from typing import Any

import pytest

from archgym_py.simulators.dnn.hardware import Architecture, Compute, Level
from archgym_py.simulators.dnn.layers import Layer
from archgym_py.simulators.dnn.model import Cost, LevelMapping, Mapping, evaluate
from archgym_py.simulators.dnn.performance import Limits, describe_metrics, measure

GEMM = Layer(name="gemm", op="gemm", M=4, C=6, P=5)
CONV = Layer(name="conv", op="conv", M=2, C=2, P=4, R=3, stride_p=2, count=3)
MACHINE = Architecture(
    name="three",
    levels=(
        Level(name="RF", mesh_x=4, read_pj=0.5, write_pj=0.25, area_um2=10.0),
        Level(name="GLB", block_size=2, read_pj=6.0, write_pj=7.0, area_um2=1e4),
        Level(name="DRAM", block_size=4, word_bits=24, read_pj=200.0, write_pj=210.0),
    ),
    compute=Compute(mesh_x=4, mesh_y=1, mac_pj=2.0, area_um2=100.0),
)


def cost_of(layer: Layer) -> Cost:
    """The layer with everything in space or at the buffer that can be."""
    loops = tuple((dim, n) for dim, n in zip("NGCPQRS", _rest(layer), strict=True) if n > 1)
    middle = LevelMapping(spatial_x=(("M", layer.M),), temporal=loops)
    return evaluate(layer, MACHINE, Mapping((LevelMapping(), middle, LevelMapping())))


def _rest(layer: Layer) -> tuple[int, ...]:
    n, g, _, *others = layer.bounds
    return (n, g, *others)


def measured(*layers: Layer, clock_mhz: float = 200.0) -> dict[str, float]:
    costs = {layer.shape_key: cost_of(layer) for layer in layers}
    return measure(layers, costs, MACHINE, clock_mhz)


def test_metrics_of_one_layer() -> None:
    cost, metrics = cost_of(GEMM), measured(GEMM)
    register, buffer, memory = cost.levels
    assert metrics["cycles"] == cost.cycles == 30
    assert metrics["latency_ms"] == pytest.approx(30 / 200e6 * 1e3)
    assert metrics["energy_mac_uj"] == pytest.approx(120 * 2.0 / 1e6)
    assert metrics["energy_local_uj"] == pytest.approx(register.energy_pj / 1e6)
    assert metrics["energy_shared_uj"] == pytest.approx(buffer.energy_pj / 1e6)
    assert metrics["energy_dram_uj"] == pytest.approx(memory.energy_pj / 1e6)
    assert metrics["energy_uj"] == pytest.approx(cost.energy_pj / 1e6)
    assert metrics["edp_uj_ms"] == pytest.approx(metrics["energy_uj"] * metrics["latency_ms"])
    watts = metrics["energy_uj"] / 1e6 / (metrics["latency_ms"] / 1e3)
    assert metrics["power_mw"] == pytest.approx(watts * 1e3)
    assert metrics["area_mm2"] == pytest.approx((4 * 110 + 1e4) / 1e6)
    assert metrics["utilization"] == 1.0
    words = GEMM.M * GEMM.C + GEMM.C * GEMM.P + GEMM.M * GEMM.P  # each moves once
    assert metrics["dram_mb"] == pytest.approx(words * 3 / 1e6)


def test_layers_count_as_often_as_the_network_has_them() -> None:
    one = measured(replace(CONV, count=1))
    three = measured(CONV)
    both = measured(CONV, GEMM)
    gemm = measured(GEMM)
    sums = ("cycles", "latency_ms", "dram_mb", "energy_uj", "energy_mac_uj", "energy_local_uj")
    for name in (*sums, "energy_shared_uj", "energy_dram_uj"):
        assert three[name] == pytest.approx(3 * one[name])
        assert both[name] == pytest.approx(3 * one[name] + gemm[name])
    for name in ("power_mw", "utilization", "area_mm2"):
        assert three[name] == pytest.approx(one[name])
    assert both["utilization"] == pytest.approx((GEMM.macs + 3 * CONV.macs) / both["cycles"] / 4)
    assert both["edp_uj_ms"] == pytest.approx(both["energy_uj"] * both["latency_ms"])


def test_the_clock_changes_times_only() -> None:
    slow, fast = measured(GEMM), measured(GEMM, clock_mhz=400.0)
    assert fast["latency_ms"] == slow["latency_ms"] / 2
    assert fast["power_mw"] == pytest.approx(slow["power_mw"] * 2)
    timed = ("latency_ms", "power_mw", "edp_uj_ms")
    assert {n: v for n, v in fast.items() if n not in timed} == {
        n: v for n, v in slow.items() if n not in timed
    }


def limits(**changes: Any) -> Limits:
    fields: dict[str, Any] = {
        "units": 4,
        "clock_mhz": (100.0, 400.0),
        "mac_pj": (2.0, 2.0),
        "access_pj": 450.0,
        "bandwidth": 1.0,
        "area_mm2": (0.01, 0.02),
        "word_bytes": (3.0, 3.0),
    }
    return Limits(**fields | changes)


@pytest.mark.parametrize("layers", [(GEMM,), (CONV,), (CONV, GEMM)])
@pytest.mark.parametrize("clock_mhz", [100.0, 400.0])
def test_metrics_lie_within_their_bounds(layers: tuple[Layer, ...], clock_mhz: float) -> None:
    described = describe_metrics(layers, limits())
    metrics = measured(*layers, clock_mhz=clock_mhz)
    assert [metric.name for metric in described] == list(metrics)
    for metric in described:
        assert metric.low <= metrics[metric.name] <= metric.high
        assert metric.name.startswith(("cycles", "utiliz")) or metric.unit != "1"


def test_bounds_that_are_reached() -> None:
    """A full array does one operation per unit and cycle, and no less energy will do."""
    by_name = {metric.name: metric for metric in describe_metrics((GEMM,), limits())}
    assert by_name["cycles"].low == pytest.approx(GEMM.macs / 4)
    assert by_name["energy_mac_uj"].low == pytest.approx(GEMM.macs * 2.0 / 1e6)
    assert by_name["energy_uj"].low == pytest.approx(GEMM.macs * 2.0 / 1e6)
    assert by_name["utilization"].high == pytest.approx(1.0)
    assert by_name["latency_ms"].low == pytest.approx(GEMM.macs / 4 / 400e6 * 1e3)
    assert all(math.isfinite(metric.high) for metric in by_name.values())
