"""ZigZag as a backend: the real tool on small layers, what it is given, and how it fails."""

from __future__ import annotations

import logging
import math
import os
import pickle
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import pytest
import yaml

from archgym_py.errors import ConfigError, InfeasibleDesign, SimulatorError
from archgym_py.simulators.dnn.accelerator import AcceleratorSimulator
from archgym_py.simulators.dnn.extended import EXTENDED
from archgym_py.simulators.dnn.zigzag import Found, Moves, ZigZag
from archgym_py.simulators.stand_in import backend_of

CONV: Mapping[str, Any] = {
    "name": "conv", "op": "conv", "M": 8, "C": 4, "P": 6, "Q": 6, "R": 3, "S": 3, "count": 2
}  # fmt: skip
SMALL: Mapping[str, Any] = {
    "name": "small",
    "layers": [
        CONV,
        {**CONV, "name": "again", "count": 1},
        {"name": "depthwise", "op": "depthwise", "G": 6, "P": 5, "Q": 5, "R": 3, "S": 3,
         "stride_p": 2, "stride_q": 2},
    ],
}  # fmt: skip
ONE: Mapping[str, Any] = {"name": "one", "layers": [{**CONV, "count": 1}]}

with_tool = pytest.mark.skipif(
    find_spec("zigzag") is None and not os.environ.get("ARCHGYM_REQUIRE_TOOLS"),
    reason="zigzag-dse is not installed",
)


def accelerator(workload: object = SMALL, **options: Any) -> AcceleratorSimulator:
    platform = None if options.pop("published", False) else EXTENDED
    return AcceleratorSimulator(workload, platform=platform, threads=1, **options)  # type: ignore[arg-type]


def zigzag(model: AcceleratorSimulator, **options: Any) -> ZigZag:
    return ZigZag(model, model.platform.space, **{"lpf_limit": 3, **options})


def default(model: AcceleratorSimulator, **changes: Any) -> dict[str, Any]:
    return {**model.platform.space.default(), **changes}


# ---- the real tool -----------------------------------------------------------------------------


@with_tool
def test_metrics_fit_together() -> None:
    model = accelerator()
    tool = zigzag(model)
    design = default(model)
    told = tool.evaluate(design, seed=0).metrics
    known = model.evaluate(design, seed=0).metrics
    assert tuple(told) == tuple(metric.name for metric in tool.metrics) == ZigZag.reports
    for metric in tool.metrics:
        assert metric.low <= told[metric.name] <= metric.high, metric.name
    # Every multiplication costs the same, whoever counts; the mapping is as parallel as ours.
    assert told["energy_mac_uj"] == pytest.approx(known["energy_mac_uj"], rel=1e-9)
    _, layers = model.map_network(design)
    ideal = sum(each.layer.count * each.cost.compute_cycles for each in layers)
    assert ideal <= told["cycles"] < 2 * known["cycles"]
    parts = ("mac", "local", "shared", "dram")
    assert told["energy_uj"] == pytest.approx(sum(told[f"energy_{part}_uj"] for part in parts))
    assert told["edp_uj_ms"] == pytest.approx(told["energy_uj"] * told["latency_ms"])


@with_tool
@pytest.mark.parametrize("published", [False, True])
def test_all_that_is_needed_comes_from_dram_once(published: bool) -> None:
    """A layer that fits: words and energies of the DRAM have the units of the embedded model."""
    model = accelerator(ONE, goal="energy", published=published)
    design = default(model)
    told = zigzag(model).evaluate(design, seed=0).metrics
    words = 8 * 4 * 9 + 4 * 8 * 8 + 8 * 6 * 6  # weights, inputs, outputs
    assert told["dram_mb"] == pytest.approx(2 * words / 1e6, rel=1e-3)
    assert told["energy_dram_uj"] == pytest.approx(words * 512 / 4 / 1e6, rel=1e-3)
    known = model.evaluate(design, seed=0).metrics
    assert told["dram_mb"] == pytest.approx(known["dram_mb"], rel=1e-3)


@with_tool
def test_less_bandwidth_takes_longer() -> None:
    model = accelerator(ONE)
    tool = zigzag(model)
    cycles = [
        tool.evaluate(default(model, dram=dram, clock_mhz=clock), seed=0).metrics["cycles"]
        for dram, clock in (("HBM3", 200), ("LPDDR4", 200), ("LPDDR4", 1000))
    ]
    assert cycles == sorted(cycles)
    assert cycles[0] < cycles[-1]


@with_tool
def test_equal_questions_have_equal_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    model = accelerator()
    tool = zigzag(model)
    first = tool.evaluate(default(model), seed=0)
    copy = pickle.loads(pickle.dumps(zigzag(accelerator())))  # noqa: S301
    assert copy.evaluate(default(model), seed=0) == first
    assert copy.version == tool.version
    monkeypatch.setattr(tool._tool, "run", None)  # it is not asked again
    assert tool.evaluate(default(model), seed=1) == first


@with_tool
def test_an_environment_runs_on_it(capfd: pytest.CaptureFixture[str]) -> None:
    handlers = list(logging.getLogger().handlers)
    env = gym.make(
        "ArchGym/DNNAccelerator-v0",
        space="extended",
        workload=ONE,
        simulator={"backend": "zigzag", "lpf_limit": 2, "opt": "EDP"},
    )
    env.reset(seed=0)
    _, reward, _, _, info = env.step([0, 3, 2, 7, 3, 3, 3, 0, 2, 3, 0, 1, 2, 2])
    assert info["status"] == "ok"
    assert reward != 0
    env.close()
    assert logging.getLogger().handlers == handlers
    assert capfd.readouterr() == ("", "")


@with_tool
def test_an_array_that_one_memory_cannot_feed_is_infeasible() -> None:
    model = accelerator(ONE)
    none = {f"{tensor}_rf_words": 0 for tensor in ("weight", "input", "output")}
    design = default(model, glb_bandwidth=4, **none)
    assert model.evaluate(design, seed=0).metrics["cycles"] > 0
    with pytest.raises(InfeasibleDesign, match=r"layer 'conv': ZigZag would use .* multipliers"):
        zigzag(model).evaluate(design, seed=0)


@with_tool
def test_a_budget_is_kept() -> None:
    model = accelerator(ONE)
    power = zigzag(model).evaluate(default(model), seed=0).metrics["power_mw"]
    limited = zigzag(accelerator(ONE, power_budget_mw=power / 2))
    evaluation = limited.evaluate(default(model), seed=0)
    assert (evaluation.status, bool(evaluation.metrics)) == ("infeasible", False)
    assert limited.evaluate_unbudgeted(default(model)).metrics["power_mw"] == power


# ---- what it is given --------------------------------------------------------------------------


def test_the_configuration_is_the_design() -> None:
    model = accelerator(goal="edp")
    design = default(
        model, array_x=8, array_y=4, input_rf_words=0, output_rf_words=4, glb_bandwidth=16
    )
    machine, layers = model.map_network(design)
    levels = {level.name: level for level in machine.architecture.levels}
    files = zigzag(model).configuration(design)
    assert set(files) == {
        "README.txt",
        "accelerator.yaml",
        *(f"layer{n}.{kind}.yaml" for n in (0, 1) for kind in ("workload", "mapping")),
    }
    assert 'opt="EDP", lpf_limit=3' in files["README.txt"]
    assert "layer0: 3 times\nlayer1: 1 times\n" in files["README.txt"]
    hardware = yaml.safe_load(files["accelerator.yaml"])
    assert hardware["operational_array"]["sizes"] == [8, 4]
    memories = hardware["memories"]
    assert list(memories) == ["output_rf", "weight_rf", "GLB", "DRAM"]  # no input_rf
    assert memories["output_rf"]["size"] == 4 * 32
    assert memories["output_rf"]["served_dimensions"] == []
    glb, dram = memories["GLB"], memories["DRAM"]
    assert glb["size"] == levels["GLB"].capacity_words * 16  # type: ignore[operator]
    assert [port["bandwidth_max"] for port in glb["ports"]] == [256, 256]
    assert glb["r_cost"] == pytest.approx(levels["GLB"].read_pj * 4)  # 16 words are four blocks
    assert glb["w_cost"] == pytest.approx(levels["GLB"].write_pj * 4)
    assert [port["type"] for port in dram["ports"]] == ["read_write"]
    bits = dram["ports"][0]["bandwidth_max"]
    assert bits == int(levels["DRAM"].shared_bandwidth * 16)  # type: ignore[operator]
    assert dram["r_cost"] == pytest.approx(8.0 * bits)  # LPDDR4 takes 8 pJ per bit
    (workload,) = yaml.safe_load(files["layer1.workload.yaml"])
    sizes = dict(zip(workload["loop_dims"], workload["loop_sizes"], strict=True))
    assert sizes == {"B": 1, "G": 6, "K": 1, "C": 1, "OX": 5, "OY": 5, "FX": 3, "FY": 3}
    assert workload["dimension_relations"] == ["ix=2*ox+1*fx", "iy=2*oy+1*fy"]
    assert workload["operand_precision"] == {"I": 16, "W": 16, "O": 32, "O_final": 16}
    (mapping,) = yaml.safe_load(files["layer0.mapping.yaml"])
    used = 1
    for side in mapping["spatial_mapping"].values():
        for word in side:
            used *= int(word.split(", ")[1])
    assert used * layers[0].cost.compute_cycles == layers[0].layer.macs


def test_the_published_space_leaves_the_dummy_buffer_out() -> None:
    model = accelerator(ONE, published=True)
    hardware = yaml.safe_load(zigzag(model).configuration(default(model))["accelerator.yaml"])
    memories = hardware["memories"]
    kept = {name: memory["operands"] for name, memory in memories.items()}
    assert kept == {
        "psum_spad": ["O"],
        "weights_spad": ["I2"],
        "ifmap_spad": ["I1"],
        "shared_glb": ["I1", "O"],
        "DRAM": ["I2", "I1", "O"],
    }
    for memory in memories.values():
        ways = sorted(way for port in memory["ports"] for way in port["allocation"])
        expected = [f"{o}, {way}" for o in memory["operands"] for way in ("fh", "tl")]
        expected += [f"O, {way}" for way in ("fl", "th") if "O" in memory["operands"]]
        assert ways == sorted(expected)


# ---- failures ----------------------------------------------------------------------------------


def found(**changes: Any) -> Found:
    """Return something that ZigZag may say about the layer of `ONE`."""
    moves = tuple(
        Moves(memory, reported_pj=2.0, energy_pj=2.5, rounding_pj=1.0, bits=80.0)
        for memory in ("output_rf", "weight_rf", "GLB", "DRAM", "DRAM")
    )
    mapped = {"cycles": 100.0, "ideal_cycles": math.nan, "mac_pj": 1.0, "total_pj": 11.0}
    return Found(**{**mapped, "moves": moves, **changes})


def faked(**changes: Any) -> tuple[ZigZag, dict[str, Any]]:
    """Return a backend whose tool says something, and a design."""
    model = accelerator(ONE)
    _, (mapped,) = model.map_network(default(model))
    answer = found(**{"ideal_cycles": mapped.cost.compute_cycles, **changes})
    tool = zigzag(model)
    tool.__dict__["_tool"] = SimpleNamespace(run=lambda *_: answer)
    return tool, default(model)


def test_energies_belong_to_places() -> None:
    tool, design = faked()
    told = tool.evaluate(design, seed=0).metrics
    parts = [told[f"energy_{part}_uj"] for part in ("mac", "local", "shared", "dram")]
    assert parts == pytest.approx([1e-6, 5e-6, 2.5e-6, 5e-6])
    assert told["dram_mb"] == pytest.approx(160 / 8e6)
    assert told["cycles"] == 100


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"total_pj": 11.5}, "add up to 11.0 pJ, not to its total 11.5 pJ"),
        ({"total_pj": 1.1e-5}, "add up to 11.0 pJ"),  # another unit
        ({"moves": (Moves("cache", 10.0, 10.0, 1.0, 8.0),)}, "for an operand in 'cache'"),
        ({"moves": (Moves("GLB", 10.0, 12.0, 1.0, 8.0),)}, "takes 12.0 pJ"),
        ({"moves": (Moves("GLB", 10.0, 9.0, 1.0, 8.0),)}, "takes 9.0 pJ"),
        ({"ideal_cycles": 1e9}, "ZigZag would use"),
    ],
)
def test_a_wrong_answer_is_an_error(changes: dict[str, Any], error: str) -> None:
    tool, design = faked(**changes)
    with pytest.raises(SimulatorError, match=error):
        tool.evaluate(design, seed=0)


@with_tool
def test_a_failure_of_the_tool_is_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    env = gym.make(
        "ArchGym/DNNAccelerator-v0",
        space="extended",
        workload=ONE,
        simulator="zigzag",
        baseline=dict.fromkeys(ZigZag.reports, 1.0),
    )
    tool = env.unwrapped.simulator  # type: ignore[attr-defined]

    answers: dict[str, Any] = {"nothing": [], "another": [(SimpleNamespace(), None)]}

    class Broken:
        answer = "crash"

        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def run(self) -> Any:
            if self.answer == "crash":
                raise IndexError("list index out of range")
            return answers[self.answer]

    monkeypatch.setattr(tool._tool, "_main", Broken)
    env.reset(seed=0)
    for answer, error in (
        ("crash", "ZigZag failed on layer 'conv': IndexError: list index"),
        ("nothing", "has 0 answers for layer 'conv'"),
        ("another", "of layer 'conv' is not as expected: AttributeError"),
    ):
        Broken.answer = answer
        env.unwrapped.new_evaluator()  # type: ignore[attr-defined]
        info = env.step([0, 3, 2, 7, 3, 3, 3, 0, 2, 3, 0, 1, 2, 2])[4]
        assert info["status"] == "crashed"
        assert error in info["message"]
        env.reset()
    env.close()


# ---- arguments ---------------------------------------------------------------------------------


def test_a_tool_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "zigzag"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "zigzag", None)
    model = accelerator(ONE)
    tool = zigzag(model)
    assert "accelerator.yaml" in tool.configuration(default(model))
    with pytest.raises(ConfigError, match=r"pip install 'archgym_py\[zigzag\]'"):
        tool.evaluate(default(model), seed=0)


def test_options_and_budgets() -> None:
    model = accelerator(ONE)
    space = model.platform.space
    with pytest.raises(ConfigError, match=r"has no option 'lpf_limt'\. Did you mean 'lpf_limit'"):
        backend_of("zigzag", model, space, lpf_limt=3)
    with pytest.raises(ConfigError, match=r"unknown opt 'latncy'\. Did you mean 'latency'"):
        backend_of("zigzag", model, space, opt="latncy")
    with pytest.raises(ConfigError, match="lpf_limit"):
        backend_of("zigzag", model, space, lpf_limit=0)
    limited = accelerator(ONE, area_budget_mm2=50.0)
    with pytest.raises(ConfigError, match="Leave out area_budget_mm2"):
        backend_of("zigzag", limited, space)


@with_tool
def test_versions_and_problems_tell_results_apart() -> None:
    tools = [zigzag(accelerator()), zigzag(accelerator(ONE))]
    assert len({tool.version for tool in tools}) == 2
    assert all("-zigzag-3." in tool.version for tool in tools)
    problems = [
        zigzag(accelerator(), **options).problem
        for options in ({}, {"lpf_limit": 4}, {"opt": "energy"})
    ]
    assert problems[0] not in problems[1:]
    assert problems[0]["backend"] == "zigzag"
