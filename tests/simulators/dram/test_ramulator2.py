"""Ramulator 2 behind the memory controller: what it is given, what is read, and how it fails."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from archgym_py.errors import ConfigError, InfeasibleDesign, SimulatorError, SimulatorTimeout
from archgym_py.simulator import Status
from archgym_py.simulators.dram.address import AddressMap, address_maps_for, load_address_map
from archgym_py.simulators.dram.model import DRAMSimulator
from archgym_py.simulators.dram.ramulator2 import Ramulator2, load_store_text
from archgym_py.simulators.dram.space import dram_space
from archgym_py.simulators.dram.technology import load_technology
from archgym_py.simulators.dram.trace import Trace
from archgym_py.simulators.dram.workloads import Workload
from archgym_py.space import Design

ENV = "ArchGym/DRAMController-v0"
TRACE = Workload("cloud", requests=50).generate()
TECHNOLOGIES = ["DDR3-1600", "DDR3-1600-2ch", "DDR3-1600-2rank", "DDR4-2400"]
ACTION = [0, 2, 1, 5, 0, 1, 3, 3, 0, 7]
"""Of the published space: Open, FrFcfs, ReadWrite with 32 places, AllBank, Simple."""

FAKE = r"""
import pathlib, re, sys

assert sys.argv[1:] == ["-f", "config.yaml"]
config = pathlib.Path("config.yaml").read_text()
pathlib.Path(__file__ + ".got").write_text(config)

def value(key):
    return re.search(rf"^\s*{key}: (\S+)$", config, re.MULTILINE)[1]

lines = pathlib.Path(value("path")).read_text().splitlines()
assert all(re.fullmatch("(LD|ST) 0x[0-9a-f]+", line) for line in lines)
writes = sum(line.startswith("ST") for line in lines)
reads = len(lines) - writes
cycles = len(lines) * (30 if "ClosedRowPolicy" in config else 20)
text = f'''[Ramulator::LoadStoreTrace] [info] Loading trace file trace.txt ...
[Ramulator::LoadStoreTrace] [info] Loaded {len(lines)} lines.
Frontend:
  impl: LoadStoreTrace



MemorySystem:
  impl: GenericDRAM
  total_num_other_requests: 0
  total_num_write_requests: {writes}
  memory_system_cycles: {cycles}
  total_num_read_requests: {reads}
  DRAM:
    impl: {value("impl")}
  AddrMapper:
    impl: RoBaRaCoCh


'''
for channel in range(int(value("channel"))):
    text += f'''  Controller:
    impl: Generic
    id: Channel {channel}
    queue_len_avg_{channel}: 1.72972977
    read_row_hits_{channel}: 30
    num_read_reqs_{channel}: {reads}
    avg_read_latency_{channel}: 5.28571415
    row_conflicts_{channel}: {channel}
    row_misses_{channel}: 10
    row_hits_{channel}: 30
    Scheduler:
      impl: FRFCFS
    RefreshManager:
      impl: AllBank


'''
EDIT
print(text, end="")
"""


def write_fake(folder: Path, *, edit: str = "", name: str = "ramulator2") -> Path:
    """Write a program that answers as Ramulator 2 does, after `edit` has changed the text."""
    program = folder / name
    program.write_text(f"#!{sys.executable} -IS\n{FAKE.replace('EDIT', edit)}")
    program.chmod(0o755)
    return program


def backend(
    program: Path | str | None = None,
    technology: str = "DDR4-2400",
    *,
    trace: Trace = TRACE,
    changes: Mapping[str, Any] | None = None,
    **options: Any,
) -> Ramulator2:
    memory = load_technology(technology)
    arguments: dict[str, Any] = {
        "address_map": load_address_map(memory.default_address_map),
        "fixed": {},
        "player_clock_mhz": memory.clock_mhz,
    }
    model = DRAMSimulator(trace=trace, technology=memory, **arguments | dict(changes or {}))
    return Ramulator2(model, dram_space("extended", memory), program=program, **options)


def trace_of(
    stamps: list[int], is_write: list[bool], addresses: list[int], *, relative: bool = False
) -> Trace:
    return Trace(
        np.array(stamps, np.int64),
        np.array(is_write, np.bool_),
        np.array(addresses, np.uint64),
        relative,
    )


def design_of(technology: str = "DDR4-2400", **changes: Any) -> Design:
    default = dram_space("extended", load_technology(technology)).default()
    return default | {"scheduler_buffer": "ReadWrite", "request_buffer_size": 32} | changes


# --- What the program gets -----------------------------------------------------------------------


def test_a_configuration_is_complete_and_needs_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    files = backend().configuration(design_of())
    assert set(files) == {"README.txt", "config.yaml", "trace.txt"}
    assert "ramulator2 -f config.yaml" in files["README.txt"]
    assert "833 ps" in files["README.txt"]
    config = yaml.safe_load(files["config.yaml"])
    assert config["Frontend"] == {"impl": "LoadStoreTrace", "clock_ratio": 1, "path": "trace.txt"}
    memory = config["MemorySystem"]
    assert (memory["impl"], memory["clock_ratio"]) == ("GenericDRAM", 1)
    assert memory["AddrMapper"] == {"impl": "RoBaRaCoCh"}
    assert memory["Controller"] == {
        "impl": "Generic",
        "Scheduler": {"impl": "FRFCFS"},
        "RefreshManager": {"impl": "AllBank"},
        "RowPolicy": {"impl": "OpenRowPolicy"},
    }
    assert files["trace.txt"].count("\n") == 50


def counts(text: str) -> dict[str, int]:
    words = text.split()
    return {name: int(count) for name, count in zip(words[::2], words[1::2], strict=True)}


def test_the_memory_in_full() -> None:
    """Each of Ramulator's parameters, or it would take a value of its own."""
    ddr4 = yaml.safe_load(backend().configuration(design_of())["config.yaml"])
    dram = ddr4["MemorySystem"]["DRAM"]
    assert dram["impl"] == "DDR4"
    assert dram["org"] == counts(
        "dq 8 density 4096 channel_width 64 channel 1 rank 1 bankgroup 4 bank 4 row 32768 "
        "column 1024"
    )
    assert dram["timing"] == counts(
        "rate 2400 nBL 4 nCL 16 nRCD 16 nRP 16 nRAS 39 nRC 55 nWR 18 nRTP 12 nCWL 16 nCCDS 4 "
        "nCCDL 6 nRRDS 4 nRRDL 6 nWTRS 3 nWTRL 9 nFAW 26 nRFC 313 nREFI 4680 nCS 1"
    )
    name = "DDR3-1600-2rank"
    ddr3 = yaml.safe_load(backend(None, name).configuration(design_of(name))["config.yaml"])
    dram = ddr3["MemorySystem"]["DRAM"]
    assert dram["impl"] == "DDR3"
    assert dram["org"] == counts(
        "dq 8 density 1024 channel_width 64 channel 1 rank 2 bank 8 row 16384 column 1024"
    )
    assert dram["timing"] == counts(
        "rate 1600 nBL 4 nCL 10 nRCD 10 nRP 10 nRAS 28 nRC 38 nWR 12 nRTP 6 nCWL 8 nCCD 4 nRRD 5 "
        "nWTR 6 nFAW 24 nRFC 88 nREFI 6240 nCS 1"
    )


def slice_address(address: int, technology: str) -> dict[str, int]:
    """Take an address apart as RoBaRaCoCh does, from its lowest bits on."""
    memory = load_technology(technology)
    place = {}
    address //= memory.bytes_per_burst
    for name, count in (
        ("channel", memory.channels),
        ("column", memory.columns // 8),
        ("rank", memory.ranks),
        ("group", memory.bank_groups),
        ("bank", memory.banks // memory.bank_groups),
        ("row", memory.rows),
    ):
        address, place[name] = divmod(address, count)
    assert address == 0
    return place


@given(st.sampled_from(TECHNOLOGIES), st.integers(0, 4), st.integers(0, 2**30 - 1), st.booleans())
def test_addresses_keep_their_places(
    technology: str, number: int, address: int, write: bool
) -> None:
    memory = load_technology(technology)
    names = address_maps_for(memory)
    address_map = load_address_map(names[number % len(names)])
    trace = trace_of([0], [write], [address])
    command, text = load_store_text(trace, address_map, memory).split()
    assert command == ("ST" if write else "LD")
    there = slice_address(int(text, 16), technology)
    place = address_map.decode([address])
    assert there["channel"] == place.channel[0]
    assert there["column"] == place.column[0] // 8
    assert there["rank"] == place.rank[0]
    assert there["rank"] * memory.bank_groups + there["group"] == place.bank_group[0]
    banks = memory.banks // memory.bank_groups
    assert int(place.bank_group[0]) * banks + there["bank"] == place.bank[0]
    assert there["row"] == place.row[0]


def test_the_default_map_is_the_mappers_own() -> None:
    """Where the two agree, addresses stay as they are, but for the bytes of an access."""
    for technology in ("DDR3-1600", "DDR3-1600-2ch", "DDR4-2400"):
        memory = load_technology(technology)
        text = load_store_text(TRACE, load_address_map(memory.default_address_map), memory)
        assert [int(line.split()[1], 16) for line in text.splitlines()] == [
            address // 64 * 64 for address in TRACE.addresses.tolist()
        ]


def test_the_map_of_a_design_counts() -> None:
    other = design_of(address_map="kit_ddr4_bgil")
    first, second = (backend().configuration(each)["trace.txt"] for each in (design_of(), other))
    assert first != second
    assert first == backend().configuration(design_of())["trace.txt"]


def test_clocks_are_a_ratio() -> None:
    for player, expected in ((1200.0, (1, 1)), (800.0, (2, 3)), (2400.0, (2, 1)), (300.0, (1, 4))):
        files = backend(changes={"player_clock_mhz": player}).configuration(design_of())
        config = yaml.safe_load(files["config.yaml"])
        ratio = (config["Frontend"]["clock_ratio"], config["MemorySystem"]["clock_ratio"])
        assert ratio == expected
    with pytest.raises(ConfigError, match=r"player_clock_mhz=799\.999 is .* of the memory's"):
        backend(changes={"player_clock_mhz": 799.999})


# --- What it lacks -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "lacking"),
    [
        ({"scheduler": "Fifo"}, "scheduler Fifo"),
        ({"scheduler": "FrFcfsGrp"}, "scheduler FrFcfsGrp"),
        ({"page_policy": "OpenAdaptive"}, "page_policy OpenAdaptive"),
        ({"scheduler_buffer": "Shared"}, "scheduler_buffer Shared"),
        ({"request_buffer_size": 16}, "request_buffer_size 16"),
        ({"resp_queue": "Reorder"}, "resp_queue Reorder"),
        ({"refresh_policy": "NoRefresh"}, "refresh_policy NoRefresh"),
        ({"arbiter": "Fifo"}, "arbiter Fifo"),
        ({"cmd_mux": "Strict"}, "cmd_mux Strict"),
        ({"power_down_policy": "Staggered"}, "power_down_policy Staggered"),
        ({"arbiter": "Fifo", "request_buffer_size": 8}, "request_buffer_size 8, arbiter Fifo"),
    ],
)
def test_designs_that_it_lacks_are_infeasible(changes: dict[str, Any], lacking: str) -> None:
    with pytest.raises(InfeasibleDesign) as caught:
        backend("none").evaluate(design_of(**changes), seed=0)
    assert f"Ramulator 2 lacks {lacking}. For DDR4 it has page_policy Open or Closed," in str(
        caught.value
    )
    assert "scheduler FrFcfs, scheduler_buffer ReadWrite, request_buffer_size 32" in str(
        caught.value
    )


def test_its_closed_policy_needs_bank_groups(tmp_path: Path) -> None:
    simulator = backend(write_fake(tmp_path))
    simulator.evaluate(design_of(page_policy="Closed"), seed=0)
    got = yaml.safe_load((tmp_path / "ramulator2.got").read_text())
    assert got["MemorySystem"]["Controller"]["RowPolicy"] == {"impl": "ClosedRowPolicy", "cap": 1}
    ddr3 = backend("none", "DDR3-1600")
    with pytest.raises(InfeasibleDesign, match=r"lacks page_policy Closed\. For DDR3 it has page"):
        ddr3.configuration(design_of("DDR3-1600", page_policy="Closed"))


def test_limits_that_it_obeys_anyway_are_feasible(tmp_path: Path) -> None:
    simulator = backend(write_fake(tmp_path))
    results = [
        simulator.evaluate(design_of(refresh_max_postponed=n, refresh_max_pulledin=8 - n), seed=0)
        for n in (0, 8)
    ]
    assert results[0].metrics == results[1].metrics


def test_problems_that_it_lacks() -> None:
    for technology in ("LPDDR4-3200", "HBM2"):
        with pytest.raises(ConfigError, match=rf"does not model {technology}.*has DDR3, DDR4"):
            backend("none", technology)
    with pytest.raises(ConfigError, match=r"no delays, but phy_delay_bw_ns=10\."):
        backend("none", changes={"phy_delay_bw_ns": 10.0})
    idle = Workload("cloud", "idle", 50).generate()
    with pytest.raises(ConfigError, match=r"waits with its request 1 until cycle .*saturating"):
        backend("none", trace=idle)
    with pytest.raises(ConfigError, match="sends a request in every cycle"):
        backend("none", trace=trace_of([0, 1], [False, False], [0, 64], relative=True))
    # Stamps that are in the past mean "as soon as possible", which is what it does.
    backend("none", trace=trace_of([0, 0, 2], [False] * 3, [0, 64, 128]))
    backend("none", trace=trace_of([0, 0], [False, False], [0, 64], relative=True))


# --- What is read --------------------------------------------------------------------------------


@pytest.mark.parametrize("technology", TECHNOLOGIES)
def test_an_evaluation(tmp_path: Path, technology: str) -> None:
    simulator = backend(write_fake(tmp_path), technology)
    evaluation = simulator.evaluate(design_of(technology), seed=0)
    channels, tck_ns = simulator.embedded.technology.channels, {"DDR4-2400": 0.833}  # type: ignore[attr-defined]
    assert evaluation.metrics == {
        "total_time_ns": 50 * 20 * tck_ns.get(technology, 1.25),
        "row_hit_rate": 60 / 81 if channels == 2 else 30 / 40,
    }
    assert evaluation.status is Status.OK
    assert evaluation.wall_s > 0
    assert [metric.name for metric in simulator.metrics] == list(evaluation.metrics)
    assert simulator.metrics[0].low == tck_ns.get(technology, 1.25)


SWAPPED = """
text = text.replace('write_req', 'x').replace('read_req', 'write_req').replace('_x', '_read_req')
"""


@pytest.mark.parametrize(
    ("edit", "error"),
    [
        ("raise SystemExit(255)", r"ramulator2 exited with 255"),
        ("import os; os.abort()", r"killed by SIGABRT"),
        (
            "print('Trace trace.txt format invalid!', file=sys.stderr); raise SystemExit(1)",
            r"exited with 1.*format invalid",
        ),
        ("text = text[: text.index('memory_system')]", r"'total_num_read_requests' not, but"),
        ("text = text + text", r"'total_num_read_requests' 2 times, but should once"),
        ("text = ''", r"'total_num_read_requests' not, but should once"),
        ("text = '\\x00\\xff' * 99", r"not, but should once"),
        ("text = text.replace('row_hits_0', 'hits_0')", r"'row_hits_0' not, but"),
        (
            "text = text.replace('cycles: 1000', 'cycles: 1000 ns')",
            r"'memory_system_cycles: 1000 ns', which is no whole number",
        ),
        ("text = text.replace('cycles: 1000', 'cycles: 1e3')", r"1e3', which is no whole number"),
        ("text = text.replace('cycles: 1000', 'cycles: -1000')", r"-1000', which is no whole"),
        (SWAPPED, r"take loads for stores"),
        (
            "text = text.replace(f'read_requests: {reads}', 'read_requests: 0')",
            r"taken 0 reads and \d+ writes, but the trace has \d+ and \d+",
        ),
    ],
)
def test_failures(tmp_path: Path, edit: str, error: str) -> None:
    simulator = backend(write_fake(tmp_path, edit=edit))
    with pytest.raises(SimulatorError, match=f"(?s){error}"):
        simulator.evaluate(design_of(), seed=0)


def test_a_hang(tmp_path: Path) -> None:
    program = write_fake(tmp_path, edit="import time; time.sleep(60)")
    with pytest.raises(SimulatorTimeout, match=r"ramulator2 did not finish within 1 s"):
        backend(program, timeout_s=1.0).evaluate(design_of(), seed=0)


def test_a_program_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("ARCHGYM_RAMULATOR2", raising=False)
    with pytest.raises(ConfigError, match=r"'ramulator2' was not found.*CMU-SAFARI/ramulator2"):
        backend().evaluate(design_of(), seed=0)
    with pytest.raises(ConfigError, match=r"program: .*nowhere"):
        assert backend(tmp_path / "nowhere").version
    monkeypatch.setenv("ARCHGYM_RAMULATOR2", str(write_fake(tmp_path, name="other")))
    assert backend().evaluate(design_of(), seed=0).status is Status.OK
    monkeypatch.delenv("ARCHGYM_RAMULATOR2")
    write_fake(tmp_path)
    assert backend().evaluate(design_of(), seed=0).status is Status.OK


# --- In an environment ---------------------------------------------------------------------------


def test_an_environment(tmp_path: Path) -> None:
    settings = {"backend": "ramulator2", "program": str(write_fake(tmp_path))}
    env = gym.make(ENV, simulator=settings, workload="cloud-50", baseline={"total_time_ns": 2500.0})
    env.reset(seed=0)
    *_, info = env.step(ACTION)
    assert info["status"] == "ok"
    assert info["metrics"]["total_time_ns"] == 1250.0
    *_, info = env.step([1, *ACTION[1:]])
    assert info["status"] == "infeasible"
    assert "lacks page_policy OpenAdaptive" in info["message"]


def test_its_default_design_is_no_baseline(tmp_path: Path) -> None:
    settings = {"backend": "ramulator2", "program": str(write_fake(tmp_path))}
    env = gym.make(ENV, simulator=settings, workload="cloud-50")
    env.reset(seed=0)
    with pytest.raises(ConfigError, match=r"must be feasible.*lacks scheduler_buffer.*baseline="):
        env.step(ACTION)


def test_options_are_checked() -> None:
    for options, error in (
        ({"version": "2"}, r"has no option 'version'\. Known: program, timeout_s\."),
        ({"timeout": 1.0}, r"has no option 'timeout'\. Did you mean 'timeout_s'\?"),
        ({"timeout_s": -1.0}, r"timeout_s must be"),
    ):
        with pytest.raises(ConfigError, match=error):
            gym.make(ENV, simulator={"backend": "ramulator2", **options})
    with pytest.raises(ConfigError, match="designs of dram, not of toy"):
        gym.make("ArchGym/Toy-v0", simulator="ramulator2")


def test_the_version_changes_with_tool_and_trace(tmp_path: Path) -> None:
    program = write_fake(tmp_path)
    write_fake(tmp_path, name="other", edit="pass")
    versions = {
        backend(program).version,
        backend(program).version,
        backend(program, trace=Workload("cloud", requests=51).generate()).version,
        backend(tmp_path / "other").version,
    }
    assert len(versions) == 3


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


def evaluate_in_a_process(simulator: Ramulator2, designs: list[Design]) -> list[float]:
    """Evaluate with a copy of a simulator, four designs at a time."""
    done = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS],
        input=pickle.dumps((simulator, designs)),
        capture_output=True,
        check=True,
    )
    found: list[float] = json.loads(done.stdout)
    return found


def test_many_at_a_time_do_not_mix(tmp_path: Path) -> None:
    """Four threads in each of two processes."""
    simulator = backend(write_fake(tmp_path, edit="import time; time.sleep(cycles % 7 / 100)"))
    policies = [["Open", "Closed"] * 4, ["Closed", "Open"] * 4]
    designs = [[design_of(page_policy=policy) for policy in group] for group in policies]
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(evaluate_in_a_process, [simulator] * 2, designs))
    times = {"Open": 50 * 20 * 0.833, "Closed": 50 * 30 * 0.833}
    assert found == [[times[policy] for policy in group] for group in policies]


def test_maps_are_compared_by_their_bits() -> None:
    """Texts are kept for each map, not for its name."""
    memory = load_technology("DDR3-1600")
    base = load_address_map("kit_ddr3_xor")
    plain = AddressMap(base.name, bank=base.bank, row=base.row, column=base.column, byte=base.byte)
    assert load_store_text(TRACE, base, memory) != load_store_text(TRACE, plain, memory)
