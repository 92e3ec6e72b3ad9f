"""DRAMSys behind the memory controller: what it is given, what is read, and how it fails."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archgym_py.errors import (
    ConfigError,
    SimulatorError,
    SimulatorTimeout,
    UnknownNameError,
)
from archgym_py.simulator import Status
from archgym_py.simulators.dram.address import AddressMap, address_map_names, load_address_map
from archgym_py.simulators.dram.dramsys import DRAMSys, parse_output
from archgym_py.simulators.dram.dramsys_config import (
    address_mapping_5,
    memspec_4,
    memspec_5,
)
from archgym_py.simulators.dram.model import DRAMSimulator
from archgym_py.simulators.dram.space import dram_space
from archgym_py.simulators.dram.technology import load_technology, technology_names
from archgym_py.simulators.dram.trace import Trace, read_stl, stl_text
from archgym_py.simulators.dram.workloads import Workload
from archgym_py.space import Design

GOLDEN = Path(__file__).parents[2] / "golden" / "dram"
ENV = "ArchGym/DRAMController-v0"
TRACE = Workload("cloud", requests=50).generate()
ACTION = [0, 2, 2, 4, 0, 1, 3, 3, 1, 6]  # of the published space; a buffer of 16 requests

FAKE = r"""
import json, pathlib, re, sys

def read(path):
    return json.loads(pathlib.Path(path).read_text())

simulation = read(sys.argv[1])["simulation"]
if VERSION == 4:
    assert sys.argv[2:] == ["./"]
    folder = sys.argv[2]
    config = {
        key: read(f"{folder}configs/{kind}/" + simulation[name])[key]
        for name, kind, key in (
            ("addressmapping", "amconfigs", "CONGEN"),
            ("mcconfig", "mcconfigs", "mcconfig"),
            ("memspec", "memspecs", "memspec"),
            ("simconfig", "simulator", "simconfig"),
            ("thermalconfig", "thermalsim", "thermalsimconfig"),
        )
    }
    clock = config["memspec"]["memtimingspec"]["clkMhz"]
    trace = f"{folder}traces/" + simulation["tracesetup"][0]["name"]
else:
    assert len(sys.argv) == 2
    config = {
        key: simulation[key] for key in ("addressmapping", "mcconfig", "memspec", "simconfig")
    }
    clock = 1e-6 / config["memspec"]["memtimingspec"]["tCK"]
    trace = simulation["tracesetup"][0]["name"]
assert all(config.values())
config["tracesetup"] = simulation["tracesetup"]
pathlib.Path(__file__ + ".got").write_text(json.dumps(config))

lines = pathlib.Path(trace).read_text().splitlines()
assert all(re.fullmatch(r"\d+:\s+(read|write)\s+0x[0-9a-f]+", line) for line in lines)
memory, knobs = config["memspec"]["memarchitecturespec"], config["mcconfig"]
size = knobs.get("RequestBufferSize", knobs.get("RequestBufferSizeRead"))
per_request = 10 + size + (100 if knobs["PagePolicy"] == "Closed" else 0)
ticks = round(len(lines) * per_request * 1e6 / clock)
unit = "ps"
while ticks % 1000 == 0 and unit != "us":
    ticks, unit = ticks // 1000, {"ps": "ns", "ns": "us"}[unit]
text = "\n        DRAMSys, with a logo\n\n"
for channel in range(memory["nbrOfChannels"]):
    if config["simconfig"]["PowerAnalysis"]:
        mw = 1000.0 + size + channel
        ns = ticks / {"ps": 1000, "ns": 1, "us": 0.001}[unit]
        if VERSION == 4:
            text += f"DRAMSys.dram{channel}  Total Energy:   {mw * ns:.2f} pJ\n"
            text += f"DRAMSys.dram{channel}  Average Power:  {mw:.2f} mW\n"
        else:
            text += f"DRAMSys.dram{channel}  Total Energy:   {mw * ns * 1e-12:.6g} J\n"
            text += f"DRAMSys.dram{channel}  Core Energy:   {mw * ns * 1e-12:.6g} J\n"
            text += f"DRAMSys.dram{channel}  Average Power:  {mw * 1e-3:.6g} W\n"
    here = f"DRAMSys.controller{channel}"
    if VERSION == 4:
        text += f"{here}  Total Time:     {ticks} {unit}\n"
        text += f"{here}  AVG BW:         17.78 Gb/s (17.36 %)\n"
        text += f"{here}  AVG BW\\IDLE:    {20 + size / 100:.2f} Gb/s (17.36 %)\n"
        text += f"{here}  MAX BW:         102.40 Gb/s\n"
    else:
        text += f"{here:<24}  Total Time:     {ticks} {unit}\n"
        text += f"{here:<24}  AVG BW:         17.78  Gb/s | 2.22   GB/s | 17.36  %\n"
        text += f"{here + '.ra0':<24}  AVG BW:         8.89   Gb/s | 1.11   GB/s | 8.68   %\n"
        busy = f"{20 + size / 100:<6.2f} Gb/s"
        text += f"{here:<24}  AVG BW\\IDLE:    {busy} | 2.22   GB/s | 17.36  %\n"
        text += f"{here:<24}  MAX BW:         102.40 Gb/s | 12.80  GB/s | 100.00 %\n"
EDIT
print(text, end="")
"""


def write_fake(folder: Path, *, edit: str = "", version: int = 4, name: str = "DRAMSys") -> Path:
    """Write a program that answers as DRAMSys does, after `edit` has changed the text."""
    program = folder / name
    code = FAKE.replace("EDIT", edit).replace("VERSION", str(version))
    program.write_text(f"#!{sys.executable} -IS\n{code}")
    program.chmod(0o755)
    return program


def embedded(technology: str = "DDR3-1600", trace: Trace = TRACE, **changes: Any) -> DRAMSimulator:
    memory = load_technology(technology)
    arguments: dict[str, Any] = {
        "address_map": load_address_map(memory.default_address_map),
        "fixed": {},
        "player_clock_mhz": memory.clock_mhz,
    }
    return DRAMSimulator(trace=trace, technology=memory, **arguments | changes)


def backend(
    program: Path | str | None = None,
    technology: str = "DDR3-1600",
    *,
    changes: Mapping[str, Any] | None = None,
    **options: Any,
) -> DRAMSys:
    space = dram_space("extended", load_technology(technology))
    return DRAMSys(embedded(technology, **changes or {}), space, program=program, **options)


def trace_of(
    stamps: list[int], is_write: list[bool], addresses: list[int], *, relative: bool = False
) -> Trace:
    return Trace(
        np.array(stamps, np.int64),
        np.array(is_write, np.bool_),
        np.array(addresses, np.uint64),
        relative,
    )


def design_of(technology: str = "DDR3-1600", **changes: Any) -> Design:
    return dram_space("extended", load_technology(technology)).default() | changes


def expected_ns(requests: int, clock_mhz: float, size: int, closed: bool = False) -> float:
    return requests * (10 + size + 100 * closed) * 1000.0 / clock_mhz


# --- The description of the memory ---------------------------------------------------------------


@pytest.mark.parametrize("technology", technology_names())
def test_memories_of_version_4_are_those_of_the_reference(technology: str) -> None:
    reference = json.loads((GOLDEN / "memspecs" / f"dramsys4-{technology}.json").read_text())
    memory = memspec_4(load_technology(technology))
    assert memory["memoryType"] == reference["memoryType"]
    assert memory["memarchitecturespec"] == reference["memarchitecturespec"]
    assert memory["memtimingspec"] == reference["memtimingspec"]
    power = dict(reference.get("mempowerspec", {}))
    if technology == "LPDDR4-3200":  # the I/O rail, and conditions that no model uses
        for name in list(power):
            if name[-1] in "qQl" or name.rstrip("2").endswith(("s", "ab")):
                del power[name]
    assert memory.get("mempowerspec", {}) == power


@pytest.mark.parametrize("technology", ["DDR3-1600", "DDR4-2400", "LPDDR4-3200"])
def test_memories_of_version_5_are_those_of_the_reference(technology: str) -> None:
    reference = json.loads((GOLDEN / "memspecs" / f"dramsys5-{technology}.json").read_text())
    memory = memspec_5(load_technology(technology))
    assert memory["memarchitecturespec"] == reference["memarchitecturespec"]
    assert reference["memtimingspec"] == memory["memtimingspec"] | (
        {"REFM": 1} if technology == "DDR4-2400" else {}  # which nothing reads any more
    )
    power = memory.get("mempowerspec", {})
    assert set(power) <= set(reference.get("mempowerspec", {}))
    different = {name for name in power if power[name] != reference["mempowerspec"][name]}
    assert (
        different
        == {
            "DDR3-1600": set(),
            "DDR4-2400": {"ipp2p", "ipp3p"},  # the file repeats the currents of VDD for VPP
            "LPDDR4-3200": {"vddq"},  # left out, as in the energy model
        }[technology]
    )


def test_more_ranks_are_in_both_versions() -> None:
    memory = load_technology("DDR3-1600-2rank")
    assert memspec_5(memory)["memarchitecturespec"]["nbrOfRanks"] == 2
    assert memspec_5(load_technology("DDR3-1600-2ch"))["memarchitecturespec"]["nbrOfChannels"] == 2


def test_a_figure_that_is_not_known_is_not_made_up() -> None:
    faster = replace(load_technology("DDR3-1600"), clock_mhz=1066.0, name="DDR3-2133")
    with pytest.raises(ConfigError, match=r"needs tXPDLL.*DDR3 at 1066 MHz \(DDR3-2133\)"):
        memspec_4(faster)
    with pytest.raises(ConfigError, match=r"timing CCDR.*Use version='4'"):
        backend("none", "HBM2", version="5")


# --- Address maps --------------------------------------------------------------------------------


def test_address_maps_are_those_of_the_reference() -> None:
    paths = sorted((GOLDEN / "address_maps").glob("*.json"))
    assert len(paths) == 11
    for path in paths:
        assert load_address_map(path).congen() == json.loads(path.read_text())


def decode_5(fields: Mapping[str, Any], address: int) -> dict[str, int]:
    """Decode as version 5 does: the parity of the bits that are listed."""
    values = {}
    for key, entries in fields.items():
        values[key] = 0
        for place, entry in enumerate(entries):
            bits = entry if isinstance(entry, list) else [entry]
            values[key] |= sum(address >> bit & 1 for bit in bits) % 2 << place
    return values


@given(
    st.sampled_from(address_map_names()),
    st.integers(0, 2**32 - 1),
    st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=4),
)
def test_both_forms_of_a_map_decode_alike(
    name: str, address: int, pairs: list[tuple[int, int]]
) -> None:
    base = load_address_map(name)
    xor = tuple(pair for pair in pairs if pair[0] != pair[1])
    address_map = replace(base, xor=base.xor + xor)
    address %= 2**address_map.bits
    place = address_map.decode([address])
    values = decode_5(address_mapping_5(address_map), address)
    assert place.row[0] == values["ROW_BIT"]
    assert place.column[0] == values["COLUMN_BIT"]
    assert place.channel[0] == values.get("CHANNEL_BIT", 0)
    assert place.rank[0] == values.get("RANK_BIT", 0)
    assert place.bank[0] % 2 ** len(base.bank) == values["BANK_BIT"]
    congen = address_map.congen()["CONGEN"]
    again = AddressMap(
        "again",
        **{
            field: tuple(congen.get(key, ()))
            for key, field in (
                *(
                    ("CHANNEL_BIT", "channel"),
                    ("RANK_BIT", "rank"),
                    ("BANKGROUP_BIT", "bank_group"),
                ),
                *(("BANK_BIT", "bank"), ("ROW_BIT", "row"), ("COLUMN_BIT", "column")),
                ("BYTE_BIT", "byte"),
            )
        },
        xor=tuple((pair["FIRST"], pair["SECOND"]) for pair in congen.get("XOR", ())),
    )
    assert again == replace(address_map, name="again")


def test_the_trace_is_read_back_equal(tmp_path: Path) -> None:
    for relative, ending in ((False, ".stl"), (True, ".rstl")):
        trace = trace_of([0, 3, 2], [False, True, False], [0, 2**64 - 1, 0x1C0], relative=relative)
        path = tmp_path / f"trace{ending}"
        path.write_text(stl_text(trace))
        assert read_stl(path) == trace


# --- What the program gets -----------------------------------------------------------------------


@given(st.integers(0, 2**32))
def test_the_controller_is_the_design(seed: int) -> None:
    space = dram_space("extended", load_technology("DDR3-1600"), allow_no_refresh=True)
    design = space.sample(np.random.default_rng(seed))
    simulator = backend("none")
    files = simulator.configuration(design)
    knobs = json.loads(files["configs/mcconfigs/controller.json"])["mcconfig"]
    for name, value in design.items():
        key = "".join(word.capitalize() for word in name.split("_"))
        assert name == "address_map" or knobs[key] == value
    assert json.loads(files["configs/amconfigs/address_map.json"]) == (
        load_address_map(str(design["address_map"])).congen()
    )


def test_a_configuration_is_complete_and_needs_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    files = backend().configuration(design_of())
    assert "DRAMSys simulation.json ./" in files["README.txt"]
    simulation = json.loads(files["simulation.json"])["simulation"]
    folders = {
        "addressmapping": "configs/amconfigs",
        "mcconfig": "configs/mcconfigs",
        "memspec": "configs/memspecs",
        "simconfig": "configs/simulator",
        "thermalconfig": "configs/thermalsim",
    }
    named = {f"{folder}/{simulation[key]}" for key, folder in folders.items()}
    assert set(files) == named | {"README.txt", "simulation.json", "traces/trace.stl"}
    simconfig = json.loads(files["configs/simulator/simulator.json"])["simconfig"]
    assert simconfig["PowerAnalysis"] is True
    assert simconfig["DatabaseRecording"] is False
    assert files["traces/trace.stl"].count("\n") == 50
    assert backend(version="5").configuration(design_of())["README.txt"].count("energy") == 0


@pytest.mark.parametrize(
    ("version", "technology"), [(4, "LPDDR4-3200"), (4, "HBM2"), (5, "DDR3-1600")]
)
def test_without_a_power_model_there_is_no_energy(
    tmp_path: Path, version: int, technology: str
) -> None:
    simulator = backend(write_fake(tmp_path, version=version), technology, version=str(version))
    metrics = simulator.evaluate(design_of(technology), seed=0).metrics
    assert set(metrics) == {"total_time_ns", "bandwidth_gbit_s", "bandwidth_busy_gbit_s"}
    assert [metric.name for metric in simulator.metrics] == list(metrics)


def test_delays_and_clocks(tmp_path: Path) -> None:
    delays = {"think_delay_fw_ns": 10.0, "phy_delay_bw_ns": 1.25, "player_clock_mhz": 400.0}
    for version, expected in ((4, (10, 1.25)), (5, (8, 1))):
        program = write_fake(tmp_path, version=version)
        backend(program, changes=delays, version=str(version)).evaluate(design_of(), seed=0)
        got = json.loads(Path(f"{program}.got").read_text())
        knobs = got["mcconfig"]
        assert (knobs["ThinkDelayFw"], knobs["PhyDelayBw"]) == expected
        assert knobs["ArbitrationDelayFw"] == 0
        assert got["tracesetup"][0]["clkMhz"] == 400
    with pytest.raises(ConfigError, match=r"whole clock cycles, but think_delay_fw_ns=1 is 0\.8"):
        backend(changes={"think_delay_fw_ns": 1.0})
    with pytest.raises(ConfigError, match=r"whole MHz, but player_clock_mhz is 800\.5 MHz"):
        backend(changes={"player_clock_mhz": 800.5})
    # The clock of DDR4-2400 is rounded to ps; the delay is whole in cycles all the same.
    files = backend(None, "DDR4-2400", changes={"think_delay_fw_ns": 10.0}).configuration(
        design_of("DDR4-2400")
    )
    knobs = json.loads(files["configs/mcconfigs/controller.json"])["mcconfig"]
    assert knobs["ThinkDelayFw"] == 9.996


def test_version_5_has_two_sizes_for_two_buffers(tmp_path: Path) -> None:
    program = write_fake(tmp_path, version=5)
    simulator = backend(program, "DDR4-2400", version="5")
    for buffer, sizes in (
        ("ReadWrite", {"RequestBufferSizeRead": 16, "RequestBufferSizeWrite": 16}),
        ("Shared", {"RequestBufferSize": 16}),
    ):
        design = design_of("DDR4-2400", scheduler_buffer=buffer, request_buffer_size=16)
        simulator.evaluate(design, seed=0)
        knobs = json.loads(Path(f"{program}.got").read_text())["mcconfig"]
        assert {key: knobs[key] for key in knobs if key.startswith("RequestBuffer")} == sizes


# --- What is read --------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [4, 5])
def test_an_evaluation(tmp_path: Path, version: int) -> None:
    program = write_fake(tmp_path, version=version)
    simulator = backend(program, "DDR4-2400", version=version)
    for size, page_policy in ((4, "Open"), (8, "Closed")):
        design = design_of("DDR4-2400", request_buffer_size=size, page_policy=page_policy)
        evaluation = simulator.evaluate(design, seed=0)
        assert evaluation.status is Status.OK
        assert evaluation.wall_s > 0
        expected = expected_ns(50, 1200, size, page_policy == "Closed")
        metrics = evaluation.metrics
        assert metrics["total_time_ns"] == pytest.approx(expected, rel=1e-3)
        assert metrics["average_power_mw"] == pytest.approx(1000 + size)
        assert metrics["energy_pj"] == pytest.approx((1000 + size) * expected, rel=1e-3)
        assert metrics["bandwidth_gbit_s"] == 17.78
        assert metrics["bandwidth_busy_gbit_s"] == 20 + size / 100
        got = json.loads(Path(f"{program}.got").read_text())
        assert got["mcconfig"]["PagePolicy"] == page_policy


def test_channels_are_put_together(tmp_path: Path) -> None:
    simulator = backend(write_fake(tmp_path), "DDR3-1600-2ch")
    metrics = simulator.evaluate(design_of("DDR3-1600-2ch", request_buffer_size=8), seed=0).metrics
    assert metrics["total_time_ns"] == expected_ns(50, 800, 8)
    assert metrics["average_power_mw"] == 1008 + 1009
    assert metrics["energy_pj"] == pytest.approx((1008 + 1009) * metrics["total_time_ns"])
    assert metrics["bandwidth_gbit_s"] == pytest.approx(2 * 17.78)


@given(
    st.integers(1, 10**12),
    st.sampled_from([("ps", -3), ("ns", 0), ("us", 3), ("ms", 6), ("s", 9)]),
)
def test_times_in_any_unit(number: int, unit: tuple[str, int]) -> None:
    text = f"DRAMSys.controller0  Total Time:     {number} {unit[0]}\n"
    found = parse_output(text, channels=1, names=["total_time_ns"])
    exact = number * 10 ** unit[1] if unit[1] >= 0 else number / 10 ** -unit[1]
    assert found == {"total_time_ns": float(exact)}


BLOCK = """
287980 ns random_stl terminated
DRAMSys.dram0  Total Energy:   354964950.00 pJ
DRAMSys.dram0  Average Power:  1232.60 mW
DRAMSys.controller0  Total Time:     287980 ns
DRAMSys.controller0  AVG BW:         17.78 Gb/s (17.36 %)
DRAMSys.controller0  AVG BW\\IDLE:    17.78 Gb/s (17.36 %)
DRAMSys.controller0  MAX BW:         102.40 Gb/s
"""


def test_a_real_answer() -> None:
    assert parse_output(BLOCK, channels=1, names=list(DRAMSys.reports)) == {
        "total_time_ns": 287980.0,
        "energy_pj": 354964950.0,
        "average_power_mw": 1232.6,
        "bandwidth_gbit_s": 17.78,
        "bandwidth_busy_gbit_s": 17.78,
    }


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("287980 ns\n", "287980 pJ\n", r"Total Time:     287980 pJ'.*'pJ' is a unit of energy"),
        ("287980 ns\n", "287980\n", r"Total Time:     287980'.*not a number with a unit"),
        ("287980 ns\n", "287980 cycles\n", r"unknown unit 'cycles'"),
        ("287980 ns\n", "1e999 ns\n", r"too large"),
        ("287980 ns\n", "\n", r"not a number with a unit"),
        ("1232.60 mW", "1232.60 W W", r"not a number with a unit"),
        ("1232.60 mW", "nan mW", r"not a number with a unit"),
        ("17.78 Gb/s (17.36 %)\nDRAMSys.controller0  MAX", "nan Gb/s\nMAX", r"not a number"),
        ("Total Time: ", "Total Tme: ", r"did not print the line 'controller0  Total Time'"),
        ("DRAMSys.dram0  Average", "DRAMSys.dram1  Average", r"has 1 channels"),
        ("controller0  Total Time", "dram0  Total Time", r"each with a controller and a dram"),
        (BLOCK, BLOCK + BLOCK, r"says it twice: 'DRAMSys\.dram0  Total Energy"),
        (BLOCK, "", r"did not print the line 'controller0  Total Time'"),
    ],
)
def test_what_is_not_understood_is_an_error(old: str, new: str, error: str) -> None:
    text = BLOCK.replace(old, new)
    assert text != BLOCK
    with pytest.raises(SimulatorError, match=error):
        parse_output(text, channels=1, names=list(DRAMSys.reports))


def test_a_channel_without_requests() -> None:
    idle = BLOCK.replace("0  ", "1  ").replace("17.78", "0.00")
    idle = idle.replace("IDLE:    0.00", "IDLE:    -nan")
    found = parse_output(BLOCK + idle, channels=2, names=list(DRAMSys.reports))
    assert found["bandwidth_busy_gbit_s"] == 17.78


@given(st.text(max_size=200))
def test_garbage_is_no_answer(text: str) -> None:
    with pytest.raises(SimulatorError):
        parse_output(text, channels=1, names=["total_time_ns"])


# --- Failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "error"),
    [
        ("raise SystemExit(1)", r"DRAMSys exited with 1"),
        ("print('Error: FATAL', file=sys.stderr); raise SystemExit(2)", r"with 2.*\s+Error: FATAL"),
        ("import os; os.abort()", r"killed by SIGABRT"),
        ("text = text[: text.index('AVG BW')]", r"did not print.*AVG BW'.*\s+.*logo"),
        ("text = text.replace(' mW', ' mJ')", r"'mJ' is a unit of energy"),
        ("text = '\\x00\\xff' * 99", r"did not print the line"),
    ],
)
def test_failures_become_trials(tmp_path: Path, edit: str, error: str) -> None:
    simulator = backend(write_fake(tmp_path, edit=edit))
    with pytest.raises(SimulatorError, match=f"(?s){error}"):
        simulator.evaluate(design_of(), seed=0)
    settings = {"backend": "dramsys", "program": str(write_fake(tmp_path, edit=edit))}
    env = gym.make(ENV, simulator=settings, workload="cloud-50", baseline={"total_time_ns": 1000.0})
    env.reset(seed=0)
    *_, info = env.step(ACTION)
    assert info["status"] == "crashed"
    assert info["message"]


def test_a_hang(tmp_path: Path) -> None:
    program = write_fake(tmp_path, edit="import time; time.sleep(60)")
    with pytest.raises(SimulatorTimeout, match=r"DRAMSys did not finish within 1 s"):
        backend(program, timeout_s=1.0).evaluate(design_of(), seed=0)


def test_a_program_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("ARCHGYM_DRAMSYS", raising=False)
    simulator = backend()
    for use in (lambda: simulator.version, lambda: simulator.evaluate(design_of(), seed=0)):
        with pytest.raises(ConfigError, match=r"'DRAMSys' was not found.*tukl-msd/DRAMSys"):
            use()
    with pytest.raises(ConfigError, match=r"program: .*nowhere"):
        backend(tmp_path / "nowhere").evaluate(design_of(), seed=0)
    monkeypatch.setenv("ARCHGYM_DRAMSYS", str(write_fake(tmp_path, name="other")))
    assert backend().evaluate(design_of(), seed=0).status is Status.OK
    monkeypatch.delenv("ARCHGYM_DRAMSYS")
    write_fake(tmp_path)
    assert backend().evaluate(design_of(), seed=0).status is Status.OK


# --- In an environment ---------------------------------------------------------------------------


def test_an_environment(tmp_path: Path) -> None:
    settings = {"backend": "dramsys", "program": str(write_fake(tmp_path))}
    env = gym.make(ENV, simulator=settings, workload="cloud-50")
    env.reset(seed=0)
    *_, info = env.step(ACTION)
    assert info["status"] == "ok"
    assert info["metrics"]["total_time_ns"] == expected_ns(50, 800, 16)
    assert env.unwrapped.simulator.problem["backend"] == "dramsys"  # type: ignore[attr-defined]


def test_options_are_checked() -> None:
    for options, error in (
        ({"programm": "x"}, r"no option 'programm'\. Did you mean 'program'\?"),
        ({"version": "6"}, r"unknown version '6' of DRAMSys\. Known: 4, 5\."),
        ({"timeout_s": 0.0}, r"timeout_s must be"),
    ):
        with pytest.raises(ConfigError, match=error):
            gym.make(ENV, simulator={"backend": "dramsys", **options})
    with pytest.raises(UnknownNameError, match="Did you mean 'dramsys'"):
        gym.make(ENV, simulator={"backend": "dramsis"})
    with pytest.raises(ConfigError, match="designs of dram, not of toy"):
        gym.make("ArchGym/Toy-v0", simulator="dramsys")


def test_the_version_changes_with_tool_and_trace(tmp_path: Path) -> None:
    program = write_fake(tmp_path)
    first = backend(program).version
    assert first == backend(program).version
    other = Workload("cloud", requests=51).generate()
    write_fake(tmp_path, name="other", edit="pass")
    versions = {
        first,
        backend(program, changes={"trace": other}).version,
        backend(tmp_path / "other").version,
        backend(program, version="5").version,
    }
    assert len(versions) == 4
    assert backend(program).problem != backend(program, version="5").problem


# --- Many at a time ------------------------------------------------------------------------------


IN_A_PROCESS = """
import json, pickle, sys
from concurrent.futures import ThreadPoolExecutor

simulator, designs = pickle.loads(sys.stdin.buffer.read())

def time_of(design):
    return simulator.evaluate(design, seed=0).metrics["total_time_ns"]

with ThreadPoolExecutor(4) as threads:
    print(json.dumps(list(threads.map(time_of, designs))))
"""


def evaluate_in_a_process(simulator: DRAMSys, designs: list[Design]) -> list[float]:
    """Evaluate with a copy of a simulator, four designs at a time."""
    done = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS],
        input=pickle.dumps((simulator, designs)),
        capture_output=True,
        check=True,
    )
    found: list[float] = json.loads(done.stdout)
    return found


def test_sixteen_at_a_time_do_not_mix(tmp_path: Path) -> None:
    """Four threads in each of four processes."""
    edit = "import time; time.sleep(size % 3 / 50); pathlib.Path('out').write_text(str(size))"
    edit += "; assert pathlib.Path('out').read_text() == str(size)"
    simulator = backend(write_fake(tmp_path, edit=edit))
    sizes = [list(range(start, start + 4)) for start in (1, 5, 9, 13)]
    designs = [[design_of(request_buffer_size=size) for size in group] for group in sizes]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(evaluate_in_a_process, [simulator] * 4, designs))
    assert found == [[expected_ns(50, 800, size) for size in group] for group in sizes]
