"""The model on small systems, of which the figures are worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from archgym_py.errors import ConfigError, InfeasibleDesign, UnknownNameError
from archgym_py.simulators.soc.arvr_database import load_hardware
from archgym_py.simulators.soc.arvr_design import Block, Placement, SoC
from archgym_py.simulators.soc.arvr_model import Result, SoCModel, distances
from archgym_py.simulators.soc.arvr_workloads import Budgets, Workload, as_workload

J_PER_INSTRUCTION = 1 / 47019607843


def graph(tasks: Mapping[str, float], *edges: tuple[str, str, float], **ips: Any) -> Workload:
    """Return a workload of tasks with cycles, edges, and accelerators of some tasks."""
    return as_workload(
        {
            "name": "test",
            "tasks": [
                {"name": name, "a53_cycles": cycles, **ips.get(name, {})}
                for name, cycles in tasks.items()
            ],
            "edges": [{"from": u, "to": v, "bytes": size} for u, v, size in edges],
        }
    )


def system(
    tasks: Mapping[str, tuple[str, str]],
    *,
    processors: Mapping[str, str] | None = None,
    memories: Mapping[str, str] | None = None,
    buses: Sequence[str] = ("main",),
    links: Sequence[tuple[str, str]] = (),
    memory: str = "GMEM_5_8",
    bus: str = "LMEM_ic_5_8",
    types: Mapping[str, str] | None = None,
) -> SoC:
    """Return a system of cores, fast memories and fast buses; blocks are given with their bus."""
    kinds = types or {}
    return SoC(
        processors={
            name: Block(kinds.get(name, "A53"), on)
            for name, on in (processors or {"cpu": "main"}).items()
        },
        memories={
            name: Block(kinds.get(name, memory), on)
            for name, on in (memories or {"ddr": "main"}).items()
        },
        buses={name: Block(kinds.get(name, bus)) for name in buses},
        tasks={task: Placement(*place) for task, place in tasks.items()},
        links=links,
    )


def evaluate(workload: Workload, soc: SoC, compat: str | None = None) -> Result:
    return SoCModel(workload, compat=compat).evaluate(soc)


def test_a_chain_on_a_core() -> None:
    workload = graph({"a": 1e6, "b": 2e6}, ("a", "b", 4096))
    result = evaluate(workload, system({"a": ("cpu", "ddr"), "b": ("cpu", "ddr")}))
    assert result.kernels["a"] == pytest.approx((0.0, 0.0, 1e-3))
    assert result.kernels["b"] == pytest.approx((1e-3, 1e-3, 3e-3))
    assert result.latency_s == pytest.approx(3e-3)
    assert result.processor_energy_j == pytest.approx(6e6 * J_PER_INSTRUCTION)
    table = load_hardware().table
    assert result.memory_energy_j == pytest.approx(4096 * (table.read[1, 0] + table.write[1, 0]))
    assert result.energy_j == pytest.approx(result.processor_energy_j + result.memory_energy_j)
    assert result.area_m2 == pytest.approx(6.5e-7 + table.area[1, 0])
    assert result.dram_area_m2 == table.area[1, 0]
    assert result.power_w == pytest.approx(result.energy_j / 3e-3)
    # 1 + 2 for the tasks, a bank, a bus, and a way of three blocks for each of the two tasks
    assert result.development_cost == pytest.approx(1 + 2 + 0.1 + 0.1 + 2 * 0.3)


def test_a_slow_memory_sets_the_pace() -> None:
    workload = graph({"a": 1000, "b": 1000}, ("a", "b", 65_536))
    soc = system({"a": ("cpu", "ddr"), "b": ("cpu", "ddr")}, memory="GMEM_0_4")
    result = evaluate(workload, soc)
    assert result.phases == pytest.approx((0, 65_536 / 16e8, 65_536 / 16e8))


def test_a_slow_bus_sets_the_pace() -> None:
    workload = graph({"a": 1000, "b": 1000}, ("a", "b", 65_536))
    soc = system({"a": ("cpu", "ddr"), "b": ("cpu", "ddr")}, bus="LMEM_ic_1_1")
    assert evaluate(workload, soc).phases == pytest.approx((0, 65_536 / 8e8, 65_536 / 8e8))


def test_two_readers_share_a_memory_by_their_bursts() -> None:
    tasks = {"a": 1000, "b": 1000, "c": 1000}
    workload = graph(tasks, ("a", "b", 65_536), ("a", "c", 65_536))
    soc = system(
        {"a": ("one", "ddr"), "b": ("one", "ddr"), "c": ("two", "ddr")},
        processors={"one": "main", "two": "main"},
        memory="GMEM_0_1",
    )
    result = evaluate(workload, soc)
    # Both have bursts of 1024 bytes and half of the memory's 4e8 bytes per second.
    assert result.phases == pytest.approx((0, 131_072 / 4e8, 65_536 / 2e8))
    assert result.kernels["b"] == result.kernels["c"]


def test_an_accelerator_takes_its_time_energy_and_area() -> None:
    ip = {"ip_cycles": 1e5, "ip_energy": 1e6, "ip_area": 1e6, "loop_iterations": 8}
    workload = graph({"a": 1e6}, a=ip)
    soc = system({"a": ("ip", "ddr")}, processors={"ip": "main"}, types={"ip": "a_IP0_8_4"})
    result = evaluate(workload, soc)
    assert result.latency_s == pytest.approx(1e5 / 1e8 / 32)
    assert result.energy_j == pytest.approx(1e6 * 1e-15 * 0.064 * 8)
    assert result.area_m2 == pytest.approx(1e6 * 1e-12 * 0.0374 * 8)
    # No memory is needed, and a bus is.
    assert result.development_cost == pytest.approx(100 + 0.1)


def test_dummies_take_no_time_and_no_area() -> None:
    workload = graph({"in": 0, "a": 1e6, "out": 0}, ("in", "a", 100), ("a", "out", 100))
    soc = system(
        {"in": ("io", "ddr"), "a": ("cpu", "ddr"), "out": ("io", "ddr")},
        processors={"io": "main", "cpu": "main"},
    )
    result = evaluate(workload, soc)
    assert result.latency_s == pytest.approx(1e-3)
    assert result.block_area["io"] == 0.0
    assert result.block_area["cpu"] == 6.5e-7


# ---- where the original differs ----------------------------------------------------------------


def test_tasks_complete_at_all_of_their_work() -> None:
    workload = graph({"a": 1_000_000, "b": 1_005_000})
    soc = system(
        {"a": ("one", "ddr"), "b": ("two", "ddr")}, processors={"one": "main", "two": "main"}
    )
    clean, farsi = evaluate(workload, soc), evaluate(workload, soc, "farsi")
    assert clean.kernels["b"][2] == pytest.approx(1.005e-3)
    assert farsi.kernels["b"][2] == pytest.approx(1e-3)
    assert farsi.energy_j == pytest.approx(4e6 * J_PER_INSTRUCTION)
    assert clean.energy_j == pytest.approx(4.01e6 * J_PER_INSTRUCTION)


def test_tasks_wait_in_their_order() -> None:
    # b and c become ready together, and d as soon as b is done, while c waits.
    workload = graph(
        {"a": 1e6, "b": 1e6, "c": 1e6, "d": 1e6}, ("a", "b", 8), ("a", "c", 8), ("b", "d", 8)
    )
    soc = system(dict.fromkeys("abcd", ("cpu", "ddr")))
    clean, farsi = evaluate(workload, soc), evaluate(workload, soc, "farsi")
    assert [clean.kernels[task][2] for task in "bcd"] == pytest.approx([2e-3, 3e-3, 4e-3])
    assert [farsi.kernels[task][2] for task in "bcd"] == pytest.approx([2e-3, 4e-3, 3e-3])
    assert clean.kernels["c"] == pytest.approx((1e-3, 2e-3, 3e-3))


def test_what_the_source_writes_is_freed() -> None:
    workload = graph({"in": 0, "a": 1e6, "b": 1e6}, ("in", "a", 5e5), ("a", "b", 8))
    soc = system(dict.fromkeys(("in", "a", "b"), ("cpu", "ddr")))
    assert evaluate(workload, soc).peak_bytes == {"ddr": 500_008}
    chain = graph(
        {"in": 0, "a": 1e6, "b": 1e6, "c": 1e6}, ("in", "a", 5e5), ("a", "b", 8), ("b", "c", 6e5)
    )
    soc = system(dict.fromkeys(("in", "a", "b", "c"), ("cpu", "ddr")))
    assert evaluate(chain, soc).peak_bytes == {"ddr": 600_008}
    assert evaluate(chain, soc, "farsi").peak_bytes == {"ddr": 1_100_008}


def test_a_shared_child_frees_the_outputs_of_both_parents() -> None:
    tasks = {"p": 1e6, "q": 1e6, "c": 1e6, "d": 1e6, "e": 1e6}
    workload = graph(tasks, ("p", "c", 1000), ("q", "c", 2000), ("c", "d", 1), ("d", "e", 10_000))
    soc = system(dict.fromkeys(tasks, ("cpu", "ddr")))
    # When d is launched, p's and q's outputs are gone; the original keeps those of q.
    assert evaluate(workload, soc).peak_bytes == {"ddr": 10_001}
    assert evaluate(workload, soc, "farsi").peak_bytes == {"ddr": 12_001}


def test_a_window_of_power_has_its_own_phases() -> None:
    workload = graph(
        {"in": 0, "a": 1e6, "b": 2e7, "c": 2e7},
        *(("in", "a", 8), ("a", "b", 8), ("b", "c", 8)),
        a={"ip_cycles": 5e5, "ip_energy": 1e15, "ip_area": 1, "loop_iterations": 1},
    )
    soc = system(
        {"in": ("cpu", "ddr"), "a": ("ip", "ddr"), "b": ("cpu", "ddr"), "c": ("cpu", "ddr")},
        processors={"cpu": "main", "ip": "main"},
        types={"ip": "a_IP0_1_1"},
    )
    clean, farsi = evaluate(workload, soc), evaluate(workload, soc, "farsi")
    assert clean.phases == pytest.approx((0, 0, 5e-3, 20e-3, 20e-3))
    first, second = clean.phase_energy[2:4]
    assert clean.power_w == pytest.approx((first + second) / 25e-3)
    # The original's first window has the two empty phases, and its second one the first full one.
    assert farsi.power_w == pytest.approx(first / 5e-3)


def test_idle_blocks_are_not_built() -> None:
    workload = graph({"a": 1e6, "b": 1e6}, ("a", "b", 8))
    soc = system(
        {"a": ("cpu", "ddr"), "b": ("cpu", "ddr")},
        processors={"cpu": "left", "idle": "middle"},
        memories={"ddr": "right", "spare": "middle"},
        buses=("left", "middle", "right"),
        links=[("left", "middle"), ("middle", "right")],
    )
    clean, farsi = evaluate(workload, soc), evaluate(workload, soc, "farsi")
    assert set(clean.block_area) == {"cpu", "ddr", "right"}
    assert clean.buses == {"cpu": "right", "ddr": "right"}
    assert clean.links == ()
    # The idle blocks keep their bus, to which the core moves.
    assert set(farsi.block_area) == {"cpu", "ddr", "middle"}
    assert farsi.block_area.keys().isdisjoint({"idle", "spare"})


# ---- ways --------------------------------------------------------------------------------------


def test_unused_links_are_cut_and_used_buses_stay() -> None:
    workload = graph({"a": 1000, "b": 1000, "c": 1000}, ("a", "b", 65_536), ("b", "c", 65_536))
    soc = system(
        {"a": ("one", "near"), "b": ("two", "far"), "c": ("two", "far")},
        processors={"one": "x", "two": "y"},
        memories={"near": "x", "far": "y"},
        buses=("x", "y", "z"),
        links=[("x", "y"), ("y", "z")],
        types={"y": "LMEM_ic_0_1"},
    )
    result = evaluate(workload, soc)
    assert result.links == (("y", "x"),)
    assert set(result.block_area) == {"one", "two", "near", "far", "x", "y"}
    # b reads through both buses, of which the slow one sets the pace, and writes through it.
    assert result.kernels["b"][2] - result.kernels["b"][1] == pytest.approx(65_536 / 4e8)


def test_missing_ways_are_named() -> None:
    workload = graph({"a": 1e6, "b": 1e6}, ("a", "b", 8))
    soc = system(
        {"a": ("cpu", "far"), "b": ("cpu", "far")},
        memories={"far": "island"},
        buses=("main", "island"),
    )
    with pytest.raises(InfeasibleDesign, match="no way from the processor of task 'a' to memory"):
        evaluate(workload, soc)
    loose = SoC(soc.processors, {"far": Block("GMEM_0_1")}, soc.buses, soc.tasks)
    with pytest.raises(InfeasibleDesign, match="'far'"):
        evaluate(workload, loose)


def test_a_memory_that_is_too_large_is_named() -> None:
    workload = graph({"a": 1e6, "b": 1e6}, ("a", "b", 53_760_001))
    with pytest.raises(InfeasibleDesign, match="memory 'ddr' would have to hold more than"):
        evaluate(workload, system({"a": ("cpu", "ddr"), "b": ("cpu", "ddr")}))
    largest = graph({"a": 1e6, "b": 1e6}, ("a", "b", 53_760_000))
    soc = system({"a": ("cpu", "ddr"), "b": ("cpu", "ddr")})
    assert evaluate(largest, soc).area_m2 > 0


def test_the_order_of_kernels() -> None:
    workload = graph({"a": 1e6, "b": 1e6})
    soc = system({"a": ("cpu", "ddr"), "b": ("cpu", "ddr")})
    model = SoCModel(workload)
    assert model.evaluate(soc).kernels["a"][2] == pytest.approx(1e-3)
    assert model.evaluate(soc, kernel_order=["b", "a"]).kernels["a"][2] == pytest.approx(2e-3)
    with pytest.raises(ConfigError, match="every task of the workload once"):
        model.evaluate(soc, kernel_order=["b", "b"])
    with pytest.raises(UnknownNameError, match="no task 'x'"):
        model.evaluate(soc, kernel_order=["b", "x"])


# ---- distances ---------------------------------------------------------------------------------


def test_distances() -> None:
    budgets = Budgets(latency_ms=10, power_mw=10, area_mm2=10)
    result = {"latency_s": 0.02, "power_w": 0.005, "area_m2": 1.6e-5, "dram_area_m2": 1e-6}
    parts = {"latency": 1.0, "power": -0.5, "area": 0.5, "dram_area": -0.9}
    assert distances(result, budgets, "excess") == pytest.approx(parts)
    assert distances(result, budgets, "simple") == pytest.approx(
        {name: abs(value) for name, value in parts.items()}
    )
    assert distances(result, budgets, "dampen") == pytest.approx(
        {**parts, "power": 0.05, "dram_area": 0.09}
    )
    assert distances(result, budgets) == pytest.approx({**parts, "power": 1e-9, "dram_area": 1e-9})
    almost = {**result, "latency_s": 0.010009}
    assert distances(almost, budgets)["latency"] == 1e-9
    with pytest.raises(ConfigError, match="Did you mean 'eliminate'"):
        distances(result, budgets, "eliminat")
