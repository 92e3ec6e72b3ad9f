"""The simulator: its spaces, its metrics, and what holds for every design."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from archgym_py.errors import ConfigError, DesignError, InfeasibleDesign, UnknownNameError
from archgym_py.simulator import Explainable, Status
from archgym_py.simulators.soc.arvr import ARVRSimulator
from archgym_py.simulators.soc.arvr_model import Result
from archgym_py.simulators.soc.arvr_space import SPACES
from archgym_py.simulators.soc.arvr_workloads import MAX_TASKS, workload_names
from archgym_py.space import Design
from archgym_py.testing import check_simulator

LEGAL = ("limited", "comprehensive")
IP = {"ip_cycles": 500, "ip_energy": 9.5, "ip_area": 12}
OWN: dict[str, Any] = {
    "name": "own",
    "budgets": {"latency_ms": 1, "power_mw": 2, "area_mm2": 3},
    "tasks": [
        {"name": "a", "a53_cycles": 4000},
        {"name": "b", "a53_cycles": 1000, **IP, "loop_iterations": 1},
        {"name": "pause"},
        {"name": "c", "a53_cycles": 3000, **IP, "loop_iterations": 6},
        {"name": "alone", "a53_cycles": 2000},
    ],
    "edges": [
        {"from": "a", "to": "b", "bytes": 4096},
        {"from": "a", "to": "pause", "bytes": 1},
        {"from": "pause", "to": "c", "bytes": 70_000},
        {"from": "b", "to": "c", "bytes": 300_000},
    ],
}
"""A workload without dummies at its ends, with one in the middle and a task without edges."""


def draw(simulator: ARVRSimulator, count: int, seed: int = 0) -> list[Design]:
    rng = np.random.default_rng(seed)
    return [simulator.space.sample(rng) for _ in range(count)]


@pytest.mark.parametrize("compat", [None, "farsi"])
@pytest.mark.parametrize("space", LEGAL)
@pytest.mark.parametrize("workload", [*workload_names(), OWN], ids=str)
def test_it_is_a_simulator(workload: Any, space: str, compat: str | None) -> None:
    simulator = ARVRSimulator(workload, space=space, compat=compat)
    check_simulator(simulator, simulator.space)


@pytest.mark.parametrize("space", ["published_limited", "published_comprehensive"])
def test_the_published_spaces_are_simulated(space: str) -> None:
    simulator = ARVRSimulator("hpvm_cava", space=space)
    check_simulator(simulator, simulator.space, samples=16)


@pytest.mark.parametrize("compat", [None, "farsi"])
@pytest.mark.parametrize("space", LEGAL)
@pytest.mark.parametrize("workload", [*workload_names(), OWN], ids=str)
def test_every_design_works_and_is_consistent(
    workload: Any, space: str, compat: str | None
) -> None:
    simulator = ARVRSimulator(workload, space=space, compat=compat)
    designs = draw(simulator, 150)
    evaluations = simulator.evaluate_batch(designs, seeds=[0] * len(designs))
    bounds = {metric.name: (metric.low, metric.high) for metric in simulator.metrics}
    for evaluation in evaluations:
        assert evaluation.status is Status.OK
        assert list(evaluation.metrics) == list(bounds)
        for name, value in evaluation.metrics.items():
            assert bounds[name][0] <= value <= bounds[name][1], name
    for design, evaluation in list(zip(designs, evaluations, strict=True))[:40]:
        check_result(simulator, design, simulator.result(design), evaluation.metrics)


def check_result(simulator: ARVRSimulator, design: Design, result: Result, metrics: Any) -> None:
    """Check what must hold of every design."""
    model, workload, soc = simulator.model, simulator.workload, simulator.soc(design)
    # The same design, once from arrays and once as a system of named blocks.
    assert metrics["latency_ms"] == 1e3 * result.latency_s
    assert metrics["energy_uj"] == pytest.approx(1e6 * result.energy_j, rel=1e-12)
    assert metrics["area_mm2"] == pytest.approx(1e6 * result.area_m2, rel=1e-12)
    assert metrics["power_mw"] == 1e3 * result.power_w
    assert model.evaluate(soc) == result
    # Energy and area are those of the blocks, and energy that of the phases.
    assert sum(result.block_energy.values()) == pytest.approx(result.energy_j)
    assert sum(result.phase_energy) == pytest.approx(result.energy_j)
    assert result.processor_energy_j + result.memory_energy_j == pytest.approx(result.energy_j)
    assert sum(result.block_area.values()) == pytest.approx(result.area_m2)
    assert metrics["area_non_dram_mm2"] + metrics["area_dram_mm2"] == pytest.approx(
        metrics["area_mm2"]
    )
    assert sum(result.phases) == pytest.approx(result.latency_s)
    # The explanation has the same totals.
    explanation = simulator.explain(design)
    assert explanation.totals["latency_ms"] == pytest.approx(metrics["latency_ms"])
    assert explanation.energy_pj["processor"] == pytest.approx(1e6 * metrics["energy_processor_uj"])
    memory_uj = metrics["energy_memory_uj"]
    assert explanation.energy_pj["memory"] / 1e6 == pytest.approx(
        memory_uj, abs=1e-9 * metrics["energy_uj"]
    )
    # Tasks come after their parents, and a processor has one at a time.
    busy: dict[str, list[tuple[float, float]]] = {}
    for number, name in enumerate(workload.names):
        launch, start, finish = result.kernels[name]
        parents = [workload.names[workload.edges[e].parent] for e in workload.parents[number]]
        assert launch == max((result.kernels[parent][2] for parent in parents), default=0.0)
        assert launch <= start <= finish <= result.latency_s
        if workload.work[number]:
            busy.setdefault(soc.tasks[name].processor, []).append((start, finish))
    for times in busy.values():
        for (_, finish), (start, _) in pairwise(sorted(times)):
            assert finish <= start
    # Nothing moves more than its way allows.
    assert result.latency_s >= max(
        sum(finish - start for start, finish in times) * (1 - 1e-9) for times in busy.values()
    )


@pytest.mark.parametrize("space", LEGAL)
def test_a_batch_gives_what_single_designs_give(space: str) -> None:
    simulator = ARVRSimulator("audio_decoder", space=space)
    designs = draw(simulator, 20)
    batch = simulator.evaluate_batch(designs, seeds=[0] * 20)
    assert batch == [simulator.evaluate(design, seed=n) for n, design in enumerate(designs)]
    assert simulator.evaluate_batch([], seeds=[]) == []


@pytest.mark.parametrize("space", LEGAL)
def test_inactive_parameters_do_nothing(space: str) -> None:
    simulator = ARVRSimulator("edge_detection", space=space)
    designs = draw(simulator, 50)
    canonical = [simulator.space.canonical(design) for design in designs]
    assert canonical != designs
    seeds = [0] * 50
    one = simulator.evaluate_batch(designs, seeds=seeds)
    assert one == simulator.evaluate_batch(canonical, seeds=seeds)


@pytest.mark.parametrize(
    ("workload", "limited", "comprehensive"),
    [
        ("edge_detection", 1.56e17, 1.85e82),
        ("hpvm_cava", 1.40e18, 1.59e93),
        ("audio_decoder", 5.44e26, 1.1e214),
    ],
)
def test_the_published_spaces_have_the_published_sizes(
    workload: str, limited: float, comprehensive: float
) -> None:
    sizes = {
        space: ARVRSimulator(workload, space=f"published_{space}").space.size for space in LEGAL
    }
    assert sizes["limited"] == pytest.approx(limited, rel=5e-3)
    assert sizes["comprehensive"] == pytest.approx(comprehensive, rel=2e-2)


def test_all_cardinalities_are_finite() -> None:
    for space in SPACES:
        parameters = ARVRSimulator("hpvm_cava", space=space).space.parameters
        assert all(parameter.cardinality for parameter in parameters)


PUBLISHED = {
    "bus_to_mem_connection_0": "there is no way from the processor of task 'souurce' to memory",
    "task_to_pe_mapping_2": "task 'laplacianEstimate' is mapped to processor slot 1, a gaussian",
    "bus_to_mem_connection_1": "memory slot 0 is on two buses, 0 and 1",
}
VALUES = {"bus_to_mem_connection_0": -1, "bus_to_mem_connection_1": 0, "task_to_pe_mapping_2": 1}


@pytest.mark.parametrize("changed", PUBLISHED)
def test_illegal_published_designs_are_infeasible(changed: str) -> None:
    simulator = ARVRSimulator("edge_detection", space="published_limited")
    design = {**simulator.space.default(), "pe_allocation_1": 1, changed: VALUES[changed]}
    good = {**simulator.space.default(), "bus_to_bus_connection_1": 1}  # a bus without a link
    first, evaluation, last = simulator.evaluate_batch([good, design, good], seeds=[0] * 3)
    assert evaluation.status is Status.INFEASIBLE
    assert PUBLISHED[changed] in evaluation.message
    assert not evaluation.metrics
    assert first == last == simulator.evaluate(simulator.space.default(), seed=0)
    with pytest.raises(InfeasibleDesign):
        simulator.result(design)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pe_allocation_0": -1}, "task 'souurce' is mapped to processor slot 0, which is empty"),
        ({"mem_allocation_0": -1}, "bus slot 0 leads to memory slot 0, which is empty"),
        ({"bus_allocation_0": -1}, "processor slot 0 is on bus slot 0, which is empty"),
        (
            {"bus_allocation_1": -1, "bus_to_bus_connection_0": 1},
            "bus slot 0 is linked to bus slot 1, which is empty",
        ),
        (
            {"mem_allocation_1": -1, "task_to_mem_mapping_1": 1},
            "task 'gaussianSmoothing' writes to memory slot 1, which is empty",
        ),
    ],
)
def test_empty_published_slots(changes: dict[str, int], message: str) -> None:
    simulator = ARVRSimulator("edge_detection", space="published_comprehensive")
    evaluation = simulator.evaluate({**simulator.space.default(), **changes}, seed=0)
    assert evaluation.message == message


def test_all_spaces_have_the_same_default() -> None:
    found = [
        ARVRSimulator("edge_detection", space=space).evaluate(
            ARVRSimulator("edge_detection", space=space).space.default(), seed=0
        )
        for space in SPACES
    ]
    assert all(evaluation.status is Status.OK for evaluation in found)
    assert len({evaluation.metrics["latency_ms"] for evaluation in found}) == 1
    assert len({evaluation.metrics["distance"] for evaluation in found}) == 1


def test_an_accelerator_of_the_comprehensive_space() -> None:
    simulator = ARVRSimulator("edge_detection", space="comprehensive")
    design = {
        **simulator.space.default(),
        "computeGradient_runs_on": "accelerator",
        "computeGradient_unroll": 2,
        "computeGradient_clock_mhz": 600,
        "computeGradient_bus": 3,
        "computeGradient_memory": 2,
        "memory_2_technology": "sram",
        "memory_2_width_bytes": 64,
        "memory_2_clock_mhz": 400,
        "memory_2_bus": 5,
        "bus_5_link": 3,
        "bus_5_width_bytes": 128,
        "bus_5_clock_mhz": 800,
    }
    soc = simulator.soc(design)
    processor = soc.processors[soc.tasks["computeGradient"].processor]
    assert (processor.type, processor.bus) == ("computeGradient_IP0_2_6", "bus_3")
    assert soc.tasks["computeGradient"].memory == "memory_2"
    assert (soc.memories["memory_2"].type, soc.memories["memory_2"].bus) == ("LMEM_4_4", "bus_5")
    assert soc.buses["bus_5"].type == "LMEM_ic_5_8"
    assert ("bus_3", "bus_5") in soc.links
    metrics = simulator.evaluate(design, seed=0).metrics
    assert (metrics["processors"], metrics["memories"]) == (2, 2)


def test_explanations_name_the_bottleneck() -> None:
    simulator = ARVRSimulator("edge_detection", space="comprehensive")
    assert isinstance(simulator, Explainable)
    fast = {
        **simulator.space.default(),
        **{
            f"{task.name}_{name}": value
            for task in simulator.workload.tasks
            if task.work
            for name, value in (("runs_on", "accelerator"), ("unroll", 256), ("clock_mhz", 800))
        },
    }
    rows = simulator.explain(fast).rows
    assert rows[0].values["bound"] == "gaussianSmoothing by bus_0"  # as slow as the memory
    wide = {**fast, "bus_0_width_bytes": 128, "bus_0_clock_mhz": 800}
    assert simulator.explain(wide).rows[0].values["bound"] == "gaussianSmoothing by memory_0"
    quick = {**wide, "memory_0_width_bytes": 128, "memory_0_clock_mhz": 800}
    bound = simulator.explain(quick).rows[0].values["bound"]
    assert bound == "gaussianSmoothing by processor_9"
    published = ARVRSimulator("edge_detection", space="published_limited")
    with pytest.raises(InfeasibleDesign, match="memory slot 0 is on two buses"):
        published.explain({**published.space.default(), "bus_to_mem_connection_1": 0})


def test_budgets() -> None:
    shipped = ARVRSimulator("edge_detection")
    assert shipped.budgets.latency_ms == 34
    wide = ARVRSimulator("edge_detection", latency_budget_ms=1e4, power_budget_mw=100)
    default = wide.space.default()
    metrics = wide.evaluate(default, seed=0).metrics
    assert metrics["budgets_met"] == 4
    assert metrics["distance"] == pytest.approx(4e-9)
    assert metrics["excess_latency"] < 0
    assert shipped.evaluate(default, seed=0).metrics["budgets_met"] == 2
    content = {key: value for key, value in OWN.items() if key != "budgets"}
    with pytest.raises(ConfigError, match=r"budget of latency_ms\. Give latency_budget_ms"):
        ARVRSimulator(content)
    with pytest.raises(ConfigError, match="Give area_budget_mm2"):
        ARVRSimulator(content, latency_budget_ms=1, power_budget_mw=1)
    given = ARVRSimulator(content, latency_budget_ms=1, power_budget_mw=1, area_budget_mm2=1)
    assert given.budgets.area_mm2 == 1
    with pytest.raises(ConfigError, match="budget power_mw"):
        ARVRSimulator("edge_detection", power_budget_mw=-1)


def test_bad_arguments() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'comprehensive'"):
        ARVRSimulator("edge_detection", space="comprehensiv")
    with pytest.raises(ConfigError, match="unknown compat 'ds3'"):
        ARVRSimulator("edge_detection", compat="ds3")
    with pytest.raises(UnknownNameError, match="Did you mean 'audio_decoder'"):
        ARVRSimulator("audio_decoer")
    simulator = ARVRSimulator("edge_detection")
    default = simulator.space.default()
    with pytest.raises(DesignError, match="bus_0_clock_mhz"):
        simulator.evaluate({**default, "bus_0_clock_mhz": 500}, seed=0)
    with pytest.raises(DesignError, match=r"missing|lacks"):
        simulator.evaluate({"bus_0_clock_mhz": 400}, seed=0)


@pytest.mark.parametrize("space", LEGAL)
def test_the_largest_workload(space: str) -> None:
    rng = np.random.default_rng(0)
    tasks = [
        {"name": f"t{n}", "a53_cycles": int(rng.integers(1, 10**6)), **IP, "loop_iterations": 3}
        for n in range(MAX_TASKS)
    ]
    edges = [
        {"from": f"t{u}", "to": f"t{v}", "bytes": int(rng.integers(1, 10**5))}
        for u in range(MAX_TASKS)
        for v in range(u + 1, MAX_TASKS)
        if rng.random() < 0.1
    ]
    content = {**OWN, "tasks": tasks, "edges": edges}
    simulator = ARVRSimulator(content, space=space)
    check_simulator(simulator, simulator.space, samples=8)
    for design in draw(simulator, 4):
        metrics = simulator.evaluate(design, seed=0).metrics
        check_result(simulator, design, simulator.result(design), metrics)


def test_a_workload_that_is_too_large_is_infeasible() -> None:
    edges = [{**edge, "bytes": 60_000_000} for edge in OWN["edges"]]
    simulator = ARVRSimulator({**OWN, "edges": edges})
    evaluation = simulator.evaluate(simulator.space.default(), seed=0)
    assert evaluation.status is Status.INFEASIBLE
    assert "memory 'memory_0' would have to hold more" in evaluation.message


def test_the_version_follows_the_workload() -> None:
    tasks = [{**OWN["tasks"][0], "a53_cycles": 5000}, *OWN["tasks"][1:]]
    assert ARVRSimulator(OWN).version != ARVRSimulator({**OWN, "tasks": tasks}).version
