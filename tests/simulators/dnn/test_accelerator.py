import itertools
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archgym_py.errors import ConfigError, InfeasibleDesign, UnknownNameError
from archgym_py.simulator import BatchSimulator, Status
from archgym_py.simulators.dnn.accelerator import AcceleratorSimulator
from archgym_py.simulators.dnn.extended import EXTENDED
from archgym_py.simulators.dnn.eyeriss import PUBLISHED_DESIGN
from archgym_py.simulators.dnn.model import evaluate
from archgym_py.simulators.dnn.platforms import Platform, eyeriss_platform
from archgym_py.space import Design
from archgym_py.testing import check_simulator

EYERISS = eyeriss_platform()
PLATFORMS = pytest.mark.parametrize("platform", [EYERISS, EXTENDED], ids=["archgym", "extended"])
SMALL: dict[str, Any] = {
    "name": "small",
    "layers": [
        {"name": "conv", "op": "conv", "M": 16, "C": 8, "P": 14, "Q": 14, "R": 3, "S": 3},
        {"name": "dw", "op": "depthwise", "G": 16, "P": 14, "Q": 14, "R": 3, "S": 3, "count": 2},
        {"name": "same", "op": "conv", "M": 16, "C": 8, "P": 14, "Q": 14, "R": 3, "S": 3},
        {"name": "fc", "op": "gemm", "M": 10, "C": 64},
    ],
}
PARTS = ("mac", "local", "shared", "dram")


def simulator(workload: Any = None, **arguments: Any) -> AcceleratorSimulator:
    arguments = {"effort": 300, "threads": 1, **arguments}
    return AcceleratorSimulator(SMALL if workload is None else workload, **arguments)


def designs(platform: Platform, count: int, seed: int = 1) -> list[Design]:
    rng = np.random.default_rng(seed)
    return [platform.space.sample(rng) for _ in range(count)]


# --- The published figures ------------------------------------------------------------------------


def test_the_published_design_has_its_published_cycles_and_area() -> None:
    published = AcceleratorSimulator(
        "archgym_alexnet", platform=eyeriss_platform("published"), threads=1
    )
    evaluation = published.evaluate(dict(PUBLISHED_DESIGN), seed=0)
    assert evaluation.metrics["cycles"] == 7_885_704
    assert round(evaluation.metrics["area_mm2"], 3) == 2.026
    assert evaluation.metrics["optimal_share"] == 1.0
    # The published mapper found 29206 uJ; the best mappings of the same cycles cost 6207.
    assert evaluation.metrics["energy_uj"] < 6207


def test_granted_prices_charge_for_every_register() -> None:
    published = simulator(platform=eyeriss_platform("published"))
    granted = simulator(platform=eyeriss_platform("granted"))
    one = published.evaluate(dict(PUBLISHED_DESIGN), seed=0).metrics
    other = granted.evaluate(dict(PUBLISHED_DESIGN), seed=0).metrics
    assert other["cycles"] == one["cycles"]
    assert other["area_mm2"] > one["area_mm2"]


# --- Metrics --------------------------------------------------------------------------------------


def test_the_published_space_passes_the_checks_of_simulators() -> None:
    check_simulator(simulator("archgym_alexnet"), EYERISS.space, samples=60)


def test_the_published_space_as_published_passes_them_too() -> None:
    check_simulator(
        simulator(platform=eyeriss_platform("published")), EYERISS.space, samples=60, seed=3
    )


def test_the_extended_space_passes_the_checks_of_simulators() -> None:
    check_simulator(simulator(platform=EXTENDED), EXTENDED.space, samples=60)


@PLATFORMS
def test_metrics_agree_with_one_another(platform: Platform) -> None:
    sim = simulator(platform=platform)
    names = [metric.name for metric in sim.metrics]
    feasible = 0
    for design in designs(platform, 30):
        evaluation = sim.evaluate(design, seed=0)
        if evaluation.status is not Status.OK:
            continue
        feasible += 1
        metrics = evaluation.metrics
        assert list(metrics) == names
        energy = sum(metrics[f"energy_{part}_uj"] for part in PARTS)
        assert metrics["energy_uj"] == pytest.approx(energy)
        assert metrics["edp_uj_ms"] == pytest.approx(energy * metrics["latency_ms"])
        assert metrics["power_mw"] == pytest.approx(energy / metrics["latency_ms"])
        machine = platform.build(design)
        units = machine.architecture.compute.instances
        assert metrics["utilization"] == pytest.approx(sim.network.macs / metrics["cycles"] / units)
        assert metrics["latency_ms"] == pytest.approx(metrics["cycles"] / machine.clock_mhz / 1e3)
        assert metrics["area_mm2"] == pytest.approx(machine.architecture.area_um2 / 1e6)
    assert feasible > 5


@PLATFORMS
def test_explanations_add_up_to_the_metrics(platform: Platform) -> None:
    sim = simulator(platform=platform)
    design = platform.space.default()
    metrics = sim.evaluate(design, seed=0).metrics
    machine, layers = sim.map_network(design)
    assert [each.layer.name for each in layers] == ["conv", "dw", "same", "fc"]
    assert layers[0].mapping == layers[2].mapping
    assert metrics["cycles"] == sum(each.layer.count * each.cost.cycles for each in layers)
    energy = sum(each.layer.count * each.cost.energy_pj for each in layers)
    assert metrics["energy_uj"] == pytest.approx(energy / 1e6)
    for each in layers:
        assert evaluate(each.layer, machine.architecture, each.mapping) == each.cost
    distinct = [layers[0], layers[1], layers[3]]
    share = sum(bool(each.optimal) for each in distinct) / 3
    assert metrics["optimal_share"] == pytest.approx(share)


def test_repeated_layers_count_as_often_as_they_are_there() -> None:
    conv, dw, _, fc = SMALL["layers"]
    written_out = [conv, dw, {**dw, "name": "dw2", "count": 1}, fc]
    written_out[1] = {**dw, "count": 1}
    twice = {"name": "twice", "layers": [{**conv, "count": 2}, *written_out[1:]]}
    design = EYERISS.space.default()
    one = simulator().evaluate(design, seed=0).metrics
    other = simulator(twice).evaluate(design, seed=0).metrics
    assert one == pytest.approx(other)


@pytest.mark.parametrize("metric", ["cycles", "energy_uj", "edp_uj_ms"])
def test_each_goal_is_best_at_its_own(metric: str) -> None:
    goals = {"cycles": "delay", "energy_uj": "energy", "edp_uj_ms": "edp"}
    layer = {"name": "one", "layers": SMALL["layers"][:1]}
    for design in [EYERISS.space.default(), *designs(EYERISS, 12)]:
        values = {}
        for goal in goals.values():
            evaluation = simulator(layer, goal=goal).evaluate(design, seed=0)
            if evaluation.status is Status.OK:
                assert evaluation.metrics["optimal_share"] == 1.0
                values[goal] = evaluation.metrics[metric]
        if values:
            assert values[goals[metric]] <= min(values.values()) * (1 + 1e-12)


# --- Batches, threads, processes ------------------------------------------------------------------


@PLATFORMS
def test_a_batch_gives_what_single_designs_give(platform: Platform) -> None:
    chosen = designs(platform, 12)
    one = simulator(platform=platform)
    assert isinstance(one, BatchSimulator)
    expected = [one.evaluate(design, seed=seed) for seed, design in enumerate(chosen)]
    for threads in (1, 2):
        other = simulator(platform=platform, threads=threads)
        assert other.evaluate_batch(chosen, seeds=range(12)) == expected
        assert other.evaluate_batch(chosen[:1], seeds=[0]) == expected[:1]
        assert other.evaluate_batch([], seeds=[]) == []
        other.close()
        assert other.evaluate(chosen[3], seed=9) == expected[3]
        other.close()


def test_a_copy_evaluates_alike() -> None:
    sim = simulator(platform=EXTENDED, threads=2)
    chosen = EXTENDED.space.batch(np.random.default_rng(0).random((3, 14))).designs
    expected = sim.evaluate_batch(chosen, seeds=[0] * 3)
    copy = pickle.loads(pickle.dumps(sim))  # noqa: S301 - our own
    assert copy.evaluate_batch(chosen, seeds=[0] * 3) == expected
    assert copy.metrics == sim.metrics
    sim.close()
    copy.close()


def test_mappings_are_kept_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mappings.sqlite"
    design = EXTENDED.space.default()
    first = simulator(platform=EXTENDED, mapping_cache=path)
    expected = first.evaluate(design, seed=0)
    first.close()
    size = path.stat().st_size
    second = simulator(platform=EXTENDED, mapping_cache=str(path))
    assert second.evaluate(design, seed=0) == expected
    second.close()
    assert path.stat().st_size == size


def test_the_mapper_seed_may_change_the_mappings() -> None:
    big = {"name": "big", "layers": [{**SMALL["layers"][0], "M": 96, "C": 60, "P": 28}]}
    found = {
        simulator(big, platform=EXTENDED, goal="energy", effort=20, mapper_seed=seed)
        .evaluate(EXTENDED.space.default(), seed=0)
        .metrics["energy_uj"]
        for seed in range(5)
    }
    assert len(found) > 1


# --- Designs that cannot be -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_pes": 14}, "level 'DummyBuffer' of dataflow 'row_stationary' spreads over its child"),
        (
            {"weights_depth": 2, "weights_block_size": 1},
            "level 'weights_spad' holds 2 words, but its tiles need 3 (3 of Weights)",
        ),
        (
            {"n_pes": 28},
            "level 'DummyBuffer' has 2 children in Y, too few to spread S 3 over.",
        ),
        ({"glb_banks": 128, "glb_depth": 1024}, "128 banks"),
    ],
)
def test_infeasible_designs(changes: dict[str, Any], message: str) -> None:
    design = {**EYERISS.space.default(), **changes}
    sim = simulator()
    evaluation = sim.evaluate(design, seed=0)
    assert evaluation.status is Status.INFEASIBLE
    assert message in str(evaluation.message)
    assert not evaluation.metrics
    with pytest.raises(InfeasibleDesign):
        sim.map_network(design)


def test_designs_with_14_elements_are_never_feasible() -> None:
    sim = simulator({"name": "fc", "layers": SMALL["layers"][3:]})
    for design in designs(EYERISS, 20):
        evaluation = sim.evaluate({**design, "n_pes": 14}, seed=0)
        assert evaluation.status is Status.INFEASIBLE


def test_budgets_make_designs_infeasible() -> None:
    design = EYERISS.space.default()
    metrics = simulator().evaluate(design, seed=0).metrics
    for name, argument in (("area_mm2", "area_budget_mm2"), ("power_mw", "power_budget_mw")):
        kept = simulator(**{argument: metrics[name] * 1.01}).evaluate(design, seed=0)
        assert kept.metrics == metrics
        over = simulator(**{argument: metrics[name] * 0.99}).evaluate(design, seed=0)
        assert over.status is Status.INFEASIBLE
        assert f"{name} is " in str(over.message)
        assert "over the budget of" in str(over.message)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"workload": "alexnt"}, UnknownNameError, "Did you mean 'alexnet'"),
        ({"workload": {"name": "none", "layers": []}}, ConfigError, "at least one layer"),
        ({"goal": "energie"}, ConfigError, "Did you mean 'energy'"),
        ({"effort": 0}, ConfigError, "effort must be a whole number from 1 to"),
        ({"mapper_seed": -1}, ConfigError, "seed must be a whole number from 0 to"),
        ({"area_budget_mm2": "5"}, ConfigError, "area_budget_mm2 must be a finite number"),
        ({"area_budget_mm2": 1e-9}, ConfigError, "no design needs less than"),
        ({"mapping_cache": "/dev/null/none"}, ConfigError, "the mapping cache '/dev/null/none'"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        AcceleratorSimulator(**{"workload": SMALL, **arguments})


def test_an_unknown_pricing() -> None:
    with pytest.raises(ConfigError, match=r"unknown pricing 'grant'\. Did you mean 'granted'"):
        eyeriss_platform("grant")  # type: ignore[arg-type]


# --- What a larger machine does -------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["ifmap_read_bandwidth", "psum_write_bandwidth", "weights_read_bandwidth"]
)
def test_more_bandwidth_takes_no_more_cycles(name: str) -> None:
    sim = simulator()
    cycles = []
    for value in (2, 4, 8, 16):
        design = {**EYERISS.space.default(), name: value}
        cycles.append(sim.evaluate(design, seed=0).metrics["cycles"])
    assert all(more >= less for more, less in itertools.pairwise(cycles))


def test_a_larger_buffer_takes_no_more_cycles() -> None:
    sim = simulator()
    cycles = [
        sim.evaluate({**EYERISS.space.default(), "glb_depth": depth}, seed=0).metrics["cycles"]
        for depth in (1024, 4096, 65536)
    ]
    assert all(more >= less for more, less in itertools.pairwise(cycles))


def test_of_equal_layers_the_first_is_named() -> None:
    evaluation = simulator().evaluate({**EYERISS.space.default(), "n_pes": 28}, seed=0)
    assert str(evaluation.message).startswith("layer 'conv': ")


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2"])
def test_wrong_numbers_of_threads(threads: Any) -> None:
    with pytest.raises(ConfigError, match="threads"):
        simulator(threads=threads)


def test_the_version_changes_with_the_network_not_with_its_name() -> None:
    """So that a run is not continued, nor replayed in silence, on a file that has changed."""
    first, *rest = SMALL["layers"]
    renamed = {"name": "other", "layers": [{**first, "name": "renamed"}, *rest]}
    changed = {"name": "small", "layers": [{**first, "M": 32}, *rest]}
    versions = [AcceleratorSimulator(network).version for network in (SMALL, renamed, changed)]
    assert versions[0] == versions[1] != versions[2]
