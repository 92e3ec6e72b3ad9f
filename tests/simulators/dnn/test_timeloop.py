"""Timeloop as a backend: what it is given, what is read, and how it fails.

The program in these tests is a small one: it reads the five files back into an accelerator, a layer
and a mapping, evaluates them and prints what Timeloop prints. So a design that comes out as the
embedded model has it was written completely and in the right units.
"""

from __future__ import annotations

import os
import pickle
import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from archgym_py.errors import ConfigError, InfeasibleDesign, SimulatorError, SimulatorTimeout
from archgym_py.simulators.dnn.accelerator import AcceleratorSimulator
from archgym_py.simulators.dnn.extended import EXTENDED
from archgym_py.simulators.dnn.hardware import Architecture, Compute, Level
from archgym_py.simulators.dnn.layers import DIMS, TENSORS, Layer
from archgym_py.simulators.dnn.mapped import MappedLayer
from archgym_py.simulators.dnn.mapping_search import MappingSimulator
from archgym_py.simulators.dnn.model import Cost, LevelMapping, Mapping, evaluate
from archgym_py.simulators.dnn.timeloop import Timeloop, read_stats
from archgym_py.simulators.dnn.timeloop_files import (
    architecture_files,
    mapping_file,
    problem_file,
)
from archgym_py.simulators.stand_in import backend_of

SMALL: dict[str, Any] = {
    "name": "small",
    "layers": [
        {"name": "conv", "op": "conv", "M": 8, "C": 4, "P": 6, "Q": 6, "R": 3, "S": 3, "count": 2},
        {"name": "depthwise", "op": "depthwise", "G": 6, "P": 5, "Q": 5, "R": 3, "S": 3,
         "stride_p": 2, "stride_q": 2},
    ],
}  # fmt: skip

ONE = {"name": "one", "layers": SMALL["layers"][:1]}


# ---- the program -------------------------------------------------------------------------------


def parsed(texts: dict[str, str]) -> tuple[Architecture, Layer, Mapping]:
    """Read the files back."""
    content: dict[str, Any] = {}
    for text in texts.values():
        content |= yaml.safe_load(text)
    assert set(content) == {"architecture", "ERT", "ART", "problem", "mapping"}
    tree = content["architecture"]
    assert (tree["version"], content["ERT"]["version"], content["ART"]["version"]) == ("0.4",) * 3
    (system,) = tree["subtree"]
    energies = {
        table["name"]: {action["name"]: action["energy"] for action in table["actions"]}
        for table in content["ERT"]["tables"]
    }
    areas = {table["name"]: table["area"] for table in content["ART"]["tables"]}
    levels = []
    compute = None
    for part in reversed(system["local"]):
        name, count = part["name"].removesuffix("]").split("[1..")
        attributes, priced = part["attributes"], energies[f"system.{part['name']}"]
        assert (attributes["meshX"], attributes["meshY"]) == (int(count), 1)
        area = areas[f"system.{part['name']}"]
        if part["class"] == "intmac":
            compute = Compute(
                name=name, mesh_x=int(count), mesh_y=1, mac_pj=priced["compute"], area_um2=area
            )
            continue
        assert priced["write"] == priced["update"]
        assert priced["leak"] == 0
        bits = attributes["datawidth"]
        block = attributes["width"] // (bits * attributes["cluster_size"])
        is_dram = part["class"] == "DRAM"
        bandwidths = {f"{way}_bandwidth" for way in ("read", "write", "shared")}
        levels.append(
            Level(
                name=name,
                mesh_x=int(count),
                capacity_words=None if is_dram else attributes["depth"] * block,
                block_size=block,
                word_bits=bits,
                read_pj=priced["read"],
                write_pj=priced["write"],
                area_um2=area,
                **{way: attributes.get(way) for way in bandwidths},
            )
        )
    assert compute is not None
    architecture = Architecture(name=system["name"], levels=tuple(levels), compute=compute)
    shape, instance = content["problem"]["shape"], content["problem"]["instance"]
    assert tuple(shape["dimensions"]) == DIMS
    assert [space["name"] for space in shape["data_spaces"]] == list(TENSORS)
    assert [space["read_write"] for space in shape["data_spaces"]] == [False, False, True]
    layer = Layer(name="layer", op="conv", **instance)
    return architecture, layer, _mapping(architecture, content["mapping"])


def _mapping(architecture: Architecture, blocks: list[dict[str, Any]]) -> Mapping:
    found: dict[str, dict[str, Any]] = {level.name: {} for level in architecture.levels}
    for block in blocks:
        at = found[block["target"]]
        if block["type"] == "datatype":
            assert sorted(block.get("keep", []) + block.get("bypass", [])) == sorted(TENSORS)
            at["keep"] = tuple(block.get("keep", []))
            continue
        assert sorted(block["permutation"]) == sorted(DIMS)
        factors = {word[0]: int(word[1:]) for word in block["factors"].split()}
        loops = tuple((dim, factors[dim]) for dim in block["permutation"])
        if block["type"] == "spatial":
            assert block["split"] == len(DIMS)  # all in X
            at["spatial_x"] = loops
        else:
            at["temporal"] = loops
    # A level with one child has no spatial block; every other one needs one.
    for level, width in zip(architecture.levels, architecture.fanout_x, strict=True):
        assert ("spatial_x" in found[level.name]) == (width > 1)
    return Mapping(tuple(LevelMapping(**found[level.name]) for level in architecture.levels))


def rendered(architecture: Architecture, layer: Layer, cost: Cost) -> str:
    """Print the fields of a result as Timeloop does, with others around them."""
    compute = architecture.compute
    lines = ["Buffer and Arithmetic Levels", "----------------------------", "Level 0", "-------"]
    lines += [
        f"=== {compute.name} ===",
        "",
        "    SPECS",
        "    -----",
        "    Word bits             : 16",
    ]
    lines += [f"    Compute energy        : {compute.mac_pj:.2f} pJ", "", "    STATS", "    -----"]
    lines += [f"    Utilized instances      : {compute.instances}"]
    lines += [f"    Computes (total)        : {layer.macs}"]
    lines += [f"    Cycles                  : {cost.compute_cycles}"]
    lines += [f"    Energy (total)          : {cost.mac_energy_pj:.2f} pJ"]
    lines += [f"    Area (total)            : {compute.area_um2:.2f} um^2", ""]
    for number, (level, spent) in enumerate(zip(architecture.levels, cost.levels, strict=True), 1):
        lines += [
            f"Level {number}",
            "-------",
            f"=== {level.name} ===",
            "",
            "    SPECS",
            "    -----",
        ]
        lines += ["        Technology                      : SRAM"]
        lines += [f"        Word bits                       : {level.word_bits}"]
        lines += ["        Shared bandwidth                : -"]
        lines += [f"        Area                            : {level.area_um2:.2f} um^2", ""]
        lines += ["    MAPPING", "    -------", "    Loop nest:", "      for M in [0:8)"]
        lines += ["        for Q in [0:2) (Spatial-X)", "", "    STATS", "    -----"]
        lines += [f"    Cycles               : {spent.cycles}", "    Bandwidth throttling : 1.00"]
        for name, tensor in spent.tensors.items():
            if not tensor.tile:
                continue
            each = {"Partition size": tensor.partition, "Utilized capacity": tensor.tile}
            each["Utilized instances (max)"] = spent.instances
            for way in ("reads", "fills", "updates"):
                each[f"Scalar {way} (per-instance)"] = getattr(tensor, way)
            lines.append(f"    {name}:")
            lines += [f"        {field:<40} : {value}" for field, value in each.items()]
            energy = tensor.energy_pj
            lines += [f"        {'Energy (per-instance)':<40} : {energy / spent.instances:.2f} pJ"]
            lines += [f"        {'Energy (total)':<40} : {energy:.2f} pJ"]
            lines += [f"        {'Temporal Reduction Energy (total)':<40} : 0.00 pJ"]
            lines += [f"        {'Read Bandwidth (total)':<40} : 84.00 words/cycle"]
        lines.append("")
    lines += ["Networks", "--------", "Network 0", "---------", "DRAM <==> GLB", "    Weights:"]
    lines += ["        Energy (total)                           : 0.00 pJ", ""]
    lines += ["Operational Intensity Stats", "---------------------------"]
    lines += [f"    Total elementwise ops                   : {layer.macs}", ""]
    for level in architecture.levels:
        lines += [f"=== {level.name} ===", "    Total scalar accesses                   : 77"]
    lines += ["", "", "Summary Stats", "-------------", "GFLOPs (@1GHz): 247.33"]
    lines += [f"Utilization: {100 * cost.utilization:.2f}%", f"Cycles: {cost.cycles}"]
    lines += [f"Energy: {cost.energy_pj / 1e6:.2f} uJ", "EDP(J*cycle): 5.10e+00"]
    lines += ["Area: 0.00 mm^2", "", f"Computes = {layer.macs}", "fJ/Compute"]
    lines += ["    Total                                         = 5469.65", ""]
    return "\n".join(lines)


def main(names: list[str]) -> None:
    """Be the program."""
    assert names == ["arch.yaml", "ERT.yaml", "ART.yaml", "problem.yaml", "mapping.yaml"]
    assert os.environ["TIMELOOP_DISABLE_LINK_TRANSFERS"] == "1"
    assert os.environ["TIMELOOP_HIDE_INCONSEQUENTIAL_STATS"] == "0"
    texts = {name: Path(name).read_text(encoding="utf-8") for name in names}
    architecture, layer, mapping = parsed(texts)
    stats = rendered(architecture, layer, evaluate(layer, architecture, mapping))
    Path("timeloop-model.stats.txt").write_text(stats, encoding="utf-8")


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], str]:
    """Return a function that makes a program of some code."""

    def write(code: str) -> str:
        path = tmp_path / "timeloop-model"
        path.write_text(f"#!{sys.executable}\n{code}\n", encoding="utf-8")
        path.chmod(0o755)
        return str(path)

    return write


FAITHFUL = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("program", {__file__!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.main(sys.argv[1:])
"""


# ---- whole evaluations -------------------------------------------------------------------------


def small_accelerator(workload: Any = SMALL, **options: Any) -> AcceleratorSimulator:
    return AcceleratorSimulator(workload, platform=EXTENDED, threads=1, **options)


def test_an_accelerator_comes_out_as_the_embedded_model_has_it(make: Callable[[str], str]) -> None:
    model = small_accelerator()
    tool = Timeloop(model, model.platform.space, program=make(FAITHFUL))
    # A register file is missing, and M is spread over both sides of the array.
    design = {**model.platform.space.default(), "input_rf_words": 0, "array_x": 4, "array_y": 4}
    told = tool.evaluate(design, seed=0).metrics
    known = model.evaluate(design, seed=0).metrics
    assert tuple(told) == tuple(metric.name for metric in tool.metrics) == Timeloop.reports
    # Timeloop prints energies with two decimals.
    assert told == pytest.approx({name: known[name] for name in told}, rel=1e-6)
    assert told["cycles"] == known["cycles"]
    assert told["dram_mb"] == known["dram_mb"]


def test_a_mapping_comes_out_as_the_embedded_model_has_it(make: Callable[[str], str]) -> None:
    env = gym.make(
        "ArchGym/DNNMapping-v0",
        workload=ONE,
        array_x=4,
        array_y=4,
        simulator={"backend": "timeloop", "program": make(FAITHFUL)},
    )
    env.reset(seed=1)
    info = env.step(env.action_space.sample() * 0)[4]
    assert info["status"] == "ok"
    model = MappingSimulator(ONE, array_x=4, array_y=4)
    known = model.evaluate(info["design"], seed=0).metrics
    assert dict(info["metrics"]) == pytest.approx(
        {name: known[name] for name in Timeloop.reports}, rel=1e-6
    )
    env.close()


def test_the_published_space_can_be_written() -> None:
    model = AcceleratorSimulator("archgym_alexnet/layer3", threads=1)
    tool = Timeloop(model, model.platform.space)  # no program is needed
    files = dict(tool.configuration(model.platform.space.default()))
    readme = files.pop("README.txt")
    assert "layer0: 1 times" in readme
    assert "TIMELOOP_DISABLE_LINK_TRANSFERS=1" in readme
    layer_files = {name: files.pop(f"layer0/{name}") for name in ("problem.yaml", "mapping.yaml")}
    assert set(files) == {"arch.yaml", "ERT.yaml", "ART.yaml"}
    machine, (mapped,) = model.map_network(model.platform.space.default())
    architecture, layer, mapping = parsed({**files, **layer_files})
    assert layer.shape_key == mapped.layer.shape_key
    assert architecture.area_um2 == pytest.approx(machine.architecture.area_um2)
    cost = evaluate(layer, architecture, mapping)
    assert (cost.cycles, cost.energy_pj) == (mapped.cost.cycles, mapped.cost.energy_pj)
    assert [level.name for level in architecture.levels if "Dummy" in level.name]


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_every_mapping_is_written_completely(data: st.DataObject) -> None:
    """Whatever the mapping: the files say the same, up to the side of the array."""
    model = MappingSimulator(SMALL, array_x=4, array_y=2)
    units = [data.draw(st.floats(0, 1)) for _ in model.space.names]
    design = model.space.from_unit(units)
    try:
        mapped = model.map_network(design)
    except InfeasibleDesign:
        return
    files = architecture_files(model.architecture)
    for each in mapped:
        files |= {"problem.yaml": problem_file(each.layer)}
        files |= {"mapping.yaml": mapping_file(model.architecture, each.mapping)}
        architecture, layer, mapping = parsed(files)
        cost = evaluate(layer, architecture, mapping)
        assert (cost.cycles, cost.energy_pj) == (each.cost.cycles, each.cost.energy_pj)


# ---- failures ----------------------------------------------------------------------------------


Answered = tuple[str, Architecture, MappedLayer]


@cache
def answer() -> Answered:
    """Return a right answer of the program, and what it is about."""
    model = small_accelerator()
    machine, (first, _) = model.map_network(model.platform.space.default())
    return rendered(machine.architecture, first.layer, first.cost), machine.architecture, first


def test_a_right_answer_is_read() -> None:
    text, architecture, mapped = answer()
    stats = read_stats(text, architecture, mapped)
    assert stats.cycles == mapped.cost.cycles
    assert stats.levels_pj == pytest.approx([at.energy_pj for at in mapped.cost.levels], abs=0.02)


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("Operational Intensity Stats", "Operational", "it is not complete"),
        (r"Computes \(total\)  ", "Computes        ", "no 'Computes .total.' for level 'MAC'"),
        (r"(Computes \(total\) +: )\d+", r"\g<1>7", "7 computes in a layer of"),
        (
            r"=== GLB ===\n\n",
            "=== glb ===\n\n",
            "has the levels MAC, output_rf.*not MAC, output_rf",
        ),
        (r"=== GLB ===\n\n", "=== DRAM ===\n\n", "has the level 'DRAM' twice"),
        (r"    Weights:\n", "    Wights:\n", "no 'Energy .total.' for Weights of level"),
        (r"(GLB(?:.*\n)*?    )Inputs:", r"\1Weights:", "has a tensor twice"),
        (r"(Energy \(total\) +: [0-9.]+) pJ", r"\1 nJ", "is no decimal number in pJ: .*nJ"),
        (r"(Energy \(total\) +: )[0-9.]+ pJ", r"\g<1>1.25e+03 pJ", "unset TIMELOOP_OUTPUT_STAT"),
        (r"(Energy \(total\) +: )[0-9.]+ pJ", r"\g<1>nan pJ", "is no decimal number in pJ"),
        (r"(Cycles  +: )\d+", r"\g<1>many", "Cycles of 'MAC' is no whole number: 'many'"),
        (r"(Scalar reads \(per-instance\) +: )\d+", r"\g<1>-3", "no whole number: '-3'"),
        (r"    Bandwidth throttling : 1.00", "    Cycles  : 1", "has a field twice"),
        (r"\nCycles: (\d+)", r"\nCycles: 1\1", "cycles in its summary, but"),
        (r"\nEnergy: (\S+) uJ", r"\nEnergy: 1\1 uJ", "uJ in its summary, but .* in its levels"),
        (r"\nEnergy: (\S+) uJ", r"\nEnergy: \1 mJ", "no summary with cycles and an energy in uJ"),
        (r"Summary Stats(.*\n)*", "", "no summary with cycles"),
    ],
)
def test_a_wrong_answer_is_an_error(old: str, new: str, error: str) -> None:
    text, architecture, mapped = answer()
    wrong, changes = re.subn(old, new, text)
    assert changes
    with pytest.raises(SimulatorError, match=error):
        read_stats(wrong, architecture, mapped)


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_an_answer_that_was_cut_off_is_an_error(length: int) -> None:
    text, architecture, mapped = answer()
    end = text.index("\nEDP(")
    with pytest.raises(SimulatorError):
        read_stats(text[: length * (end - 3) // 10_000], architecture, mapped)


@pytest.mark.parametrize(
    ("code", "kind", "error"),
    [
        ("print('garbage')", SimulatorError, r"did not leave the file timeloop-model\.stats\.txt"),
        (
            "open('timeloop-model.stats.txt', 'w').write('garbage')",
            SimulatorError,
            "it is not complete",
        ),
        (
            "import sys; sys.exit('ERROR: parse error at line 3')",
            SimulatorError,
            "exited with 1. Its last lines:\n.*parse error at line 3",
        ),
        (
            'import sys; sys.exit("ERROR: couldn\'t map level GLB: mapped tile size 9 exceeds 8")',
            InfeasibleDesign,
            r"layer 'conv': [^\0]*couldn't map level GLB",
        ),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGABRT)",
            SimulatorError,
            "was killed by SIGABRT",
        ),
        ("import time; time.sleep(60)", SimulatorTimeout, "did not finish within 1 s"),
    ],
)
def test_a_program_that_fails(
    make: Callable[[str], str], code: str, kind: type[Exception], error: str
) -> None:
    model = small_accelerator()
    limit = 1.0 if "sleep" in code else 60.0
    tool = Timeloop(model, model.platform.space, program=make(code), timeout_s=limit)
    with pytest.raises(kind, match=error) as caught:
        tool.evaluate(model.platform.space.default(), seed=0)
    assert caught.type is kind


def test_a_failure_is_a_trial(make: Callable[[str], str]) -> None:
    env = gym.make(
        "ArchGym/DNNMapping-v0",
        workload=SMALL,
        simulator={"backend": "timeloop", "program": make("raise SystemExit(3)")},
        objective="minimize:cycles",
        baseline={"cycles": 1000.0},
    )
    env.reset(seed=0)
    info = env.step(env.action_space.sample() * 0)[4]
    assert info["status"] == "crashed"
    assert "exited with 3" in info["message"]
    env.close()


# ---- arguments ---------------------------------------------------------------------------------


def test_a_program_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make: Callable[[str], str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    monkeypatch.delenv("ARCHGYM_TIMELOOP_MODEL", raising=False)
    model = MappingSimulator(SMALL)
    tool = backend_of("timeloop", model, model.space)
    with pytest.raises(ConfigError, match=r"program=.*ARCHGYM_TIMELOOP_MODEL.*NVlabs/timeloop"):
        tool.evaluate(model.space.default(), seed=0)
    monkeypatch.setenv("ARCHGYM_TIMELOOP_MODEL", make("pass"))
    assert "timeloop-" in backend_of("timeloop", model, model.space).version


def test_options_and_budgets() -> None:
    model = MappingSimulator(SMALL)
    with pytest.raises(ConfigError, match=r"has no option 'programm'\. Did you mean 'program'"):
        backend_of("timeloop", model, model.space, programm="x")
    limited = small_accelerator(area_budget_mm2=50.0)
    with pytest.raises(ConfigError, match="Leave out area_budget_mm2"):
        backend_of("timeloop", limited, limited.platform.space)


def test_a_power_budget_is_kept(make: Callable[[str], str]) -> None:
    model = small_accelerator(ONE)
    known = model.evaluate(model.platform.space.default(), seed=0).metrics
    limited = small_accelerator(ONE, power_budget_mw=known["power_mw"] / 2)
    tool = Timeloop(limited, limited.platform.space, program=make(FAITHFUL))
    evaluation = tool.evaluate(limited.platform.space.default(), seed=0)
    assert evaluation.status == "infeasible"
    assert "power_mw is" in evaluation.message


def test_versions_follow_program_and_network(make: Callable[[str], str]) -> None:
    model, other = MappingSimulator(SMALL), MappingSimulator("alexnet/conv3")
    versions = {Timeloop(m, m.space, program=make("pass")).version for m in (model, other)}
    tool = Timeloop(model, model.space, program=make("pass  # a newer one"))
    versions.add(tool.version)
    assert len(versions) == 3
    assert pickle.loads(pickle.dumps(tool)).version == tool.version  # noqa: S301
    assert tool.problem["backend"] == "timeloop"
