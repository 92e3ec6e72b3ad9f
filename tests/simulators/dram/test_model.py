import copy
import hashlib
import json
import pickle
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archgym_py.errors import ConfigError
from archgym_py.simulator import BatchSimulator, Status
from archgym_py.simulators.dram.address import load_address_map
from archgym_py.simulators.dram.energy import COMPONENTS
from archgym_py.simulators.dram.model import Command, DRAMSimulator
from archgym_py.simulators.dram.space import dram_space
from archgym_py.simulators.dram.technology import load_technology, technology_names
from archgym_py.simulators.dram.trace import Trace, read_stl, write_stl
from archgym_py.simulators.dram.workloads import Workload
from archgym_py.space import Design

CLOUD = Workload("cloud", "medium", 300).generate()
COMMANDS = (
    "ACT",
    "PRE",
    "PREA",
    "RD",
    "RDA",
    "WR",
    "WRA",
    "REFA",
    "REFB",
    "PDEA",
    "PDEP",
    "SREFEN",
)
COLUMN_COMMANDS = ("RD", "RDA", "WR", "WRA")


def _simulator(
    technology: str = "DDR3-1600", trace: Trace = CLOUD, **changes: Any
) -> DRAMSimulator:
    memory = load_technology(technology)
    arguments: dict[str, Any] = {
        "address_map": load_address_map(memory.default_address_map),
        "fixed": {},
        "player_clock_mhz": memory.clock_mhz,
    }
    return DRAMSimulator(trace=trace, technology=memory, **arguments | changes)


def _design(technology: str = "DDR3-1600", **changes: Any) -> Design:
    return dram_space("extended", load_technology(technology)).default() | changes


def _designs(technology: str, count: int, seed: int) -> list[Design]:
    space = dram_space("extended", load_technology(technology))
    rng = np.random.default_rng(seed)
    designs: list[Design] = []
    while len(designs) < count:
        design = space.sample(rng)
        if not space.violations(design):
            designs.append(design)
    return designs


def _trace(*requests: tuple[int, str, int], relative: bool = False) -> Trace:
    """A trace of (stamp, "r" or "w", address)."""
    return Trace(
        np.array([stamp for stamp, _, _ in requests]),
        np.array([direction == "w" for _, direction, _ in requests]),
        np.array([address for _, _, address in requests], np.uint64),
        relative,
    )


def _total_time(technology: str, trace: Trace, design: Design, **arguments: Any) -> float:
    evaluation = _simulator(technology, trace, **arguments).evaluate(design, seed=0)
    assert evaluation.status == Status.OK
    return evaluation.metrics["total_time_ns"]


# --- Batches, threads, processes ------------------------------------------------------------------


@pytest.mark.parametrize("technology", technology_names())
def test_a_batch_gives_what_single_designs_give(technology: str) -> None:
    """Whatever their address maps, and on any number of threads."""
    designs = _designs(technology, 24, seed=1)
    if technology != "LPDDR4-3200" and "2" not in technology.partition("-1600-")[2]:
        assert len({design["address_map"] for design in designs}) > 1
    simulator = _simulator(technology, threads=2)
    assert isinstance(simulator, BatchSimulator)
    batch = simulator.evaluate_batch(designs, seeds=[0] * len(designs))
    one_thread = _simulator(technology, threads=1)
    assert one_thread.evaluate_batch(designs, seeds=[0] * len(designs)) == batch
    for design, evaluation in zip(designs, batch, strict=True):
        assert evaluation.status == Status.OK
        assert one_thread.evaluate(design, seed=7) == evaluation
    simulator.close()
    assert simulator.evaluate_batch(designs, seeds=[0] * len(designs)) == batch
    simulator.close()


def test_a_simulator_with_threads_can_be_copied() -> None:
    """As learning libraries do with environments that they save or send to workers."""
    designs = _designs("DDR3-1600", 16, seed=1)
    original = _simulator("DDR3-1600", threads=2)
    expected = original.evaluate_batch(designs, seeds=[0] * 16)
    for duplicate in (copy.deepcopy(original), pickle.loads(pickle.dumps(original))):  # noqa: S301
        assert duplicate.evaluate_batch(designs, seeds=[0] * 16) == expected
        duplicate.close()
    original.close()


def test_an_empty_batch() -> None:
    assert _simulator().evaluate_batch([], seeds=[]) == []


def _digest(technologies: Sequence[str]) -> str:
    metrics = [
        dict(_simulator(name).evaluate(design, seed=0).metrics)
        for name in technologies
        for design in _designs(name, 5, seed=3)
    ]
    return hashlib.sha256(json.dumps(metrics).encode()).hexdigest()


def test_another_process_agrees() -> None:
    names = ("DDR3-1600-2rank", "HBM2")
    code = f"""
import importlib.util
spec = importlib.util.spec_from_file_location("same", {__file__!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(module._digest({names!r}))
"""
    other = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=300
    )
    assert other.stdout.strip() == _digest(names)


# --- Metrics --------------------------------------------------------------------------------------


@pytest.mark.parametrize("technology", technology_names())
def test_metrics_are_complete_ordered_and_within_bounds(technology: str) -> None:
    names = [
        "total_time_ns",
        "latency_mean_ns",
        "latency_p50_ns",
        "latency_p99_ns",
        "latency_max_ns",
        "bandwidth_gbit_s",
        "bandwidth_busy_gbit_s",
        "row_hit_rate",
        *([] if technology == "HBM2" else ["energy_pj", *COMPONENTS, "average_power_mw"]),
        *(f"n_{command.lower()}" for command in COMMANDS),
    ]
    simulator = _simulator(technology)
    assert [metric.name for metric in simulator.metrics] == names
    for metric in simulator.metrics:
        assert metric.doc
        assert 0 <= metric.low < metric.high < np.inf
    designs = [_design(technology), *_designs(technology, 10, seed=2)]
    for evaluation in simulator.evaluate_batch(designs, seeds=[0] * len(designs)):
        assert list(evaluation.metrics) == names
        for metric in simulator.metrics:
            value = evaluation.metrics[metric.name]
            assert type(value) is float
            assert metric.low <= value <= metric.high, metric.name
        m = evaluation.metrics
        assert m["latency_p50_ns"] <= m["latency_p99_ns"] <= m["latency_max_ns"]
        assert m["latency_max_ns"] <= m["total_time_ns"]
        assert m["bandwidth_gbit_s"] <= m["bandwidth_busy_gbit_s"] * (1 + 1e-9)


def test_the_pseudo_channels_of_hbm2_have_a_data_bus_each() -> None:
    """Reads that alternate between them take a cycle each, half of a burst; the bounds allow it."""
    trace = Workload("stream", requests=1000, write_fraction=0.0).generate()
    rank_interleaved = load_address_map("kit_hbm2_rankil")
    simulator = _simulator("HBM2", trace, address_map=rank_interleaved, threads=1)
    design = _design("HBM2", address_map="kit_hbm2_rankil")
    metrics = simulator.evaluate(design, seed=0).metrics
    assert 1000 < metrics["total_time_ns"] < 1500
    for metric in simulator.metrics:
        assert metric.low <= metrics[metric.name] <= metric.high, metric.name


def test_latency_percentiles_are_elements_of_the_sorted_latencies() -> None:
    # Far apart, each request finds the memory idle: hits take 14 cycles, the first access to a row
    # in a precharged bank 24, a row that has to replace another 34.
    hit, empty, conflict = (17.5, 30.0, 42.5)
    row = 1 << 16
    addresses = [0, 64, row, row + 64, row + 128]
    trace = _trace(*((100 * i, "r", address) for i, address in enumerate(addresses)))
    metrics = _simulator(trace=trace).evaluate(_design(), seed=0).metrics
    ordered = sorted([empty, hit, conflict, hit, hit])
    assert metrics["latency_p50_ns"] == ordered[5 // 2]
    assert metrics["latency_p99_ns"] == ordered[99 * 5 // 100]
    assert metrics["latency_max_ns"] == conflict
    assert metrics["latency_mean_ns"] == pytest.approx(sum(ordered) / 5)
    assert metrics["total_time_ns"] == 400 * 1.25 + hit
    assert metrics["row_hit_rate"] == 3 / 5
    assert metrics["bandwidth_gbit_s"] == pytest.approx(5 * 512 / metrics["total_time_ns"])
    # A request is in the controller from its arrival to its answer.
    assert metrics["bandwidth_busy_gbit_s"] == pytest.approx(5 * 512 / sum(ordered))


# --- Times by hand --------------------------------------------------------------------------------

# One request to an idle memory: an activation at 0, the column command tRCD later, then the data.
ONE_READ = {
    "DDR3-1600": (10 + (10 + 4)) * 1.25,  # RCD, RL + B
    "DDR4-2400": (16 + (16 + 4)) * 0.833,
    "LPDDR4-3200": (29 + (28 + 6 + 8 + 3)) * 0.625,  # RCD, RL + DQSCK + B + 3
    # The first command is at 999 ps, as in the reference; RCDRD and the second cycle of ACT,
    # RL + DQSCK + B
    "HBM2": 0.999 + ((12 + 1) + (17 + 1 + 2)) * 1.0,
}
ONE_WRITE = {
    "DDR3-1600": (10 + (8 + 4)) * 1.25,  # RCD, WL + B
    "DDR4-2400": (16 + (16 + 4)) * 0.833,
    "LPDDR4-3200": (29 + (14 + 1 + 2 + 8 + 3)) * 0.625,  # RCD, WL + DQSS + DQS2DQ + B + 3
    "HBM2": 0.999 + ((6 + 1) + (7 + 2)) * 1.0,  # as above; RCDWR and the second cycle, WL + B
}


@pytest.mark.parametrize("arbiter", ["Simple", "Fifo", "Reorder"])
@pytest.mark.parametrize("technology", technology_names())
def test_one_request(technology: str, arbiter: str) -> None:
    base = technology.removesuffix("-2rank").removesuffix("-2ch")
    design = _design(technology, arbiter=arbiter)
    for direction, by_hand in (("r", ONE_READ[base]), ("w", ONE_WRITE[base])):
        simulator = _simulator(technology, _trace((0, direction, 0)))
        metrics = simulator.evaluate(design, seed=0).metrics
        assert metrics["total_time_ns"] == pytest.approx(by_hand)
        for name in ("latency_mean_ns", "latency_p50_ns", "latency_p99_ns", "latency_max_ns"):
            assert metrics[name] == metrics["total_time_ns"]


def test_the_player_sends_at_its_own_clock() -> None:
    # The request of cycle 7 at 300 MHz leaves at 7 * 3333 ps and is seen at the next edge of the
    # memory's clock, 19 * 1250 ps.
    trace = _trace((7, "r", 0))
    metrics = _simulator(trace=trace, player_clock_mhz=300).evaluate(_design(), seed=0).metrics
    assert metrics["total_time_ns"] == 19 * 1.25 + 30
    assert metrics["latency_max_ns"] == pytest.approx(19 * 1.25 + 30 - 7 * 3.333)


@pytest.mark.parametrize(
    ("delays", "simple", "others"),
    [
        ({"arbitration_delay_fw_ns": 10.0}, 10.0, 0.0),  # only the arbiter Simple has these two
        ({"arbitration_delay_bw_ns": 20.0}, 20.0, 0.0),
        ({"think_delay_fw_ns": 5.0}, 5.0, 5.0),
        ({"think_delay_bw_ns": 2.5}, 2.5, 2.5),
        ({"phy_delay_fw_ns": 7.5}, 7.5, 7.5),
        ({"phy_delay_bw_ns": 1.25}, 1.25, 1.25),
        (
            {"arbitration_delay_fw_ns": 10.0, "think_delay_fw_ns": 5.0, "phy_delay_bw_ns": 2.5},
            17.5,
            7.5,
        ),
    ],
)
def test_each_delay_is_passed_once_by_a_request(
    delays: dict[str, float], simple: float, others: float
) -> None:
    trace = _trace((0, "r", 0))
    for arbiter, delay in (("Simple", simple), ("Fifo", others), ("Reorder", others)):
        time = _total_time("DDR3-1600", trace, _design(arbiter=arbiter), **delays)
        assert time == pytest.approx(30 + delay)


def test_row_hits_follow_each_other_at_the_speed_of_the_bus() -> None:
    # ACT 0, RD 10, 14, 18, 22: the last data end 14 cycles after the last command.
    trace = _trace(*((0, "r", 64 * i) for i in range(4)))
    assert _total_time("DDR3-1600", trace, _design()) == (10 + 3 * 4 + 14) * 1.25
    # A write after a read waits RL + B + 2 - WL = 8 cycles, a read after a write WL + B + WTR = 18.
    turn = _trace((0, "r", 0), (0, "w", 64), (0, "r", 128))
    assert _total_time("DDR3-1600", turn, _design()) == (10 + 8 + 18 + 14) * 1.25


def test_page_policies() -> None:
    # Two reads of one row, then one of another row of the bank, far apart. Open finds the row open,
    # then has to precharge; Closed always activates. The adaptive policies close a row unless
    # (ClosedAdaptive) or when (OpenAdaptive) something else is waited for: here nothing is.
    row = 1 << 16
    trace = _trace((0, "r", 0), (100, "r", 64), (200, "r", row))
    ends = {"Open": 34, "OpenAdaptive": 34, "Closed": 24, "ClosedAdaptive": 24}
    commands = {
        "Open": {"n_act": 2, "n_pre": 1, "n_rd": 3, "n_rda": 0},
        "OpenAdaptive": {"n_act": 2, "n_pre": 1, "n_rd": 3, "n_rda": 0},
        "Closed": {"n_act": 3, "n_pre": 0, "n_rd": 0, "n_rda": 3},
        "ClosedAdaptive": {"n_act": 3, "n_pre": 0, "n_rd": 0, "n_rda": 3},
    }
    for policy, end in ends.items():
        metrics = _simulator(trace=trace).evaluate(_design(page_policy=policy), seed=0).metrics
        assert metrics["total_time_ns"] == (200 + end) * 1.25, policy
        assert {name: metrics[name] for name in commands[policy]} == commands[policy], policy


def test_arbiters_order_responses() -> None:
    # The row hit overtakes the conflict that is older; the arbiter Reorder holds it back.
    row = 1 << 16
    trace = _trace((0, "r", 0), (1, "r", row), (2, "r", 64))
    free = _simulator(trace=trace).evaluate(_design(arbiter="Fifo"), seed=0).metrics
    ordered = _simulator(trace=trace).evaluate(_design(arbiter="Reorder"), seed=0).metrics
    assert free["n_act"] == ordered["n_act"] == 2
    # ACT 0, RD 10, RD 14 (the hit), PRE 28, ACT 38, RD 48: the conflict is answered at 62.
    assert free["latency_max_ns"] == ordered["latency_max_ns"] == (62 - 1) * 1.25
    assert free["total_time_ns"] == 62 * 1.25
    # Held back, the hit follows one cycle after the conflict.
    assert ordered["total_time_ns"] == 63 * 1.25
    assert ordered["latency_mean_ns"] == pytest.approx((24 + 61 + 61) * 1.25 / 3)
    assert free["latency_mean_ns"] == pytest.approx((24 + 61 + 26) * 1.25 / 3)


def test_one_slot_makes_requests_wait_for_answers() -> None:
    # The second request is accepted when the first has been answered, at 24; its row is open.
    trace = _trace((0, "r", 0), (0, "r", 64))
    narrow = _design(arbiter="Fifo", max_active_transactions=1)
    assert _total_time("DDR3-1600", trace, narrow) == (24 + 14) * 1.25
    assert _total_time("DDR3-1600", trace, _design(arbiter="Fifo")) == (14 + 14) * 1.25


# --- Relative traces ------------------------------------------------------------------------------


def test_relative_stamps_count_from_the_acceptance_before(tmp_path: Path) -> None:
    """With the clock of the memory and a free arbiter, a request is accepted when it is sent.

    The next may leave one cycle later, and waits its stamp from there.
    """
    rng = np.random.default_rng(5)
    gaps = rng.integers(0, 9, size=120)
    relative = Trace(gaps, CLOUD.is_write[:120], CLOUD.addresses[:120], relative=True)
    absolute = replace(relative, stamps=np.cumsum(gaps + 1) - 1, relative=False)
    write_stl(relative, tmp_path / "t.rstl")
    write_stl(absolute, tmp_path / "t.stl")
    design = _design(arbiter="Fifo", max_active_transactions=128)
    first, second = (
        _simulator(trace=read_stl(tmp_path / name)).evaluate(design, seed=0).metrics
        for name in ("t.rstl", "t.stl")
    )
    assert first == second


def test_relative_stamps_wait_for_a_busy_controller() -> None:
    # One slot: the second request is accepted with the answer of the first, at 24, and the third
    # may leave one cycle later; it waits its 5 cycles from there.
    design = _design(arbiter="Fifo", max_active_transactions=1)
    trace = _trace((0, "r", 0), (5, "r", 64), (5, "r", 128), relative=True)
    # The second is answered at 24 + 14 = 38, by when the third, sent at 30, waits for the slot.
    assert _total_time("DDR3-1600", trace, design) == (38 + 14) * 1.25
    late = _trace((0, "r", 0), (5, "r", 64), (50, "r", 128), relative=True)
    assert _total_time("DDR3-1600", late, design) == (24 + 1 + 50 + 14) * 1.25


# --- Command traces -------------------------------------------------------------------------------


def _channel_of(command: Command, ranks: int) -> int:
    return command.rank // ranks


@pytest.mark.parametrize("technology", technology_names())
def test_command_traces(technology: str) -> None:
    memory = load_technology(technology)
    simulator = _simulator(technology, Workload("random", "medium", 250).generate())
    for design in _designs(technology, 12, seed=4):
        metrics = simulator.evaluate(design, seed=0).metrics
        commands = simulator.command_trace(design)
        counts = Counter(command.name for command in commands)
        assert {name: metrics[f"n_{name.lower()}"] for name in COMMANDS} == {
            name: counts[name] for name in COMMANDS
        }
        last: dict[int, int] = {}
        open_rows: dict[int, int | None] = {}
        fresh: set[int | None] = set()
        hits = 0
        for command in commands:
            channel = _channel_of(command, memory.ranks)
            assert command.cycle >= last.get(channel, 0)
            last[channel] = command.cycle
            assert 0 <= command.rank < memory.channels * memory.ranks
            if command.bank is None:
                assert command.bank_group is None
                assert command.row is None
                if command.name == "PREA":
                    banks = range(command.rank * memory.banks, (command.rank + 1) * memory.banks)
                    for bank in banks:
                        open_rows.pop(bank, None)
                continue
            assert command.bank // memory.banks == command.rank
            assert command.bank_group == command.bank // (memory.banks // memory.bank_groups)
            if command.name == "ACT":
                assert command.bank not in open_rows
                open_rows[command.bank] = command.row
                fresh.add(command.bank)
            elif command.name in COLUMN_COMMANDS:
                assert open_rows[command.bank] == command.row
                hits += command.bank not in fresh
                fresh.discard(command.bank)
                if command.name in ("RDA", "WRA"):
                    del open_rows[command.bank]
            elif command.name == "PRE":
                assert open_rows.pop(command.bank) == command.row
        assert metrics["row_hit_rate"] == hits / 250


def test_the_first_commands_of_a_trace_by_hand() -> None:
    row = 1 << 16
    trace = _trace((0, "r", 0), (100, "w", row), (200, "r", 1 << 13))
    commands = _simulator(trace=trace).command_trace(_design())
    assert commands == [
        Command(0, "ACT", 0, 0, 0, 0),
        Command(10, "RD", 0, 0, 0, 0),
        Command(100, "PRE", 0, 0, 0, 0),
        Command(110, "ACT", 0, 0, 0, 1),
        Command(120, "WR", 0, 0, 0, 1),
        Command(200, "ACT", 0, 0, 1, 0),
        Command(210, "RD", 0, 0, 1, 0),
    ]


# --- The rules of the memory ----------------------------------------------------------------------

# From the data sheets, in cycles, and not from the library's tables: both would be wrong together.
_RULES = """
         DDR3-1600  DDR4-2400
CL       10         16         read to its data
CWL      8          16         write to its data
RCD      10         16
RP       10         16
RAS      28         39
RC       38         55
FAW      24         26
RTP      6          12
WR       12         18
RRD_S    5          4          another bank group
RRD_L    5          6          the same bank group
CCD_S    4          4
CCD_L    4          6
WTR_S    6          3
WTR_L    6          9
TURN     2          2          the bus between read and write data
REFI     6240       4680
RFC      88         313
"""
_ROWS = [line.split() for line in _RULES.splitlines()[2:]]
DDR3_RULES = {row[0]: int(row[1]) for row in _ROWS}
DDR4_RULES = {row[0]: int(row[2]) for row in _ROWS}
BURST = 4


def _violations(
    commands: Sequence[Command], rules: dict[str, int], banks: int, ranks: int
) -> list[str]:
    """Hold the commands of one channel against the JEDEC rules.

    Every pair of commands is compared, with no state but the open rows: slow, and easy to check.
    """
    found = []
    t = rules
    open_rows: dict[int, int | None] = {}
    precharged_at = dict.fromkeys(range(banks * ranks), -t["RP"])
    activated_at: dict[int, int] = {}
    refreshed_at = dict.fromkeys(range(ranks), -t["RFC"])

    def require(what: str, first: int, second: int, least: int) -> None:
        if second - first < least:
            found.append(f"{what}: {second} comes {second - first} after {first}, least {least}")

    acts: list[Command] = []
    columns: list[Command] = []
    previous = -1
    for c in commands:
        require("command bus", previous, c.cycle, 1)
        previous = c.cycle
        require("tRFC", refreshed_at[c.rank], c.cycle, t["RFC"])
        if c.name == "ACT":
            assert c.bank is not None
            if c.bank in open_rows:
                found.append(f"ACT at {c.cycle} to bank {c.bank}, which is open")
            require("tRP", precharged_at[c.bank], c.cycle, t["RP"])
            if c.bank in activated_at:
                require("tRC", activated_at[c.bank], c.cycle, t["RC"])
            here = [a for a in acts if a.rank == c.rank]
            for a in here[-4:]:
                near = a.bank_group == c.bank_group
                require("tRRD", a.cycle, c.cycle, t["RRD_L"] if near else t["RRD_S"])
            if len(here) >= 4:
                require("tFAW", here[-4].cycle, c.cycle, t["FAW"])
            acts.append(c)
            activated_at[c.bank] = c.cycle
            open_rows[c.bank] = c.row
        elif c.name in COLUMN_COMMANDS:
            assert c.bank is not None
            if open_rows.get(c.bank) != c.row:
                found.append(f"{c.name} at {c.cycle} to row {c.row}, which is not open")
            require("tRCD", activated_at[c.bank], c.cycle, t["RCD"])
            writes = c.name[0] == "W"
            for p in columns[-8:]:
                near = p.bank_group == c.bank_group
                wrote = p.name[0] == "W"
                if p.rank != c.rank:
                    continue
                require("tCCD", p.cycle, c.cycle, t["CCD_L"] if near else t["CCD_S"])
                if writes and not wrote:
                    least = t["CL"] + BURST + t["TURN"] - t["CWL"]
                    require("read to write", p.cycle, c.cycle, least)
                if wrote and not writes:
                    turn = t["WTR_L"] if near else t["WTR_S"]
                    require("tWTR", p.cycle + t["CWL"] + BURST, c.cycle, turn)
            if columns:
                p = columns[-1]
                ends = p.cycle + (t["CWL"] if p.name[0] == "W" else t["CL"]) + BURST
                begins = c.cycle + (t["CWL"] if writes else t["CL"])
                require("data bus", ends, begins, 0 if p.rank == c.rank else 1)
            columns.append(c)
            if c.name in ("RDA", "WRA"):
                ready = c.cycle + (t["CWL"] + BURST + t["WR"] if writes else t["RTP"])
                precharged_at[c.bank] = max(ready, activated_at[c.bank] + t["RAS"])
                del open_rows[c.bank]
        elif c.name in ("PRE", "PREA"):
            members = range(c.rank * banks, (c.rank + 1) * banks) if c.bank is None else [c.bank]
            for bank in members:
                if bank not in open_rows:
                    continue
                require("tRAS", activated_at[bank], c.cycle, t["RAS"])
                for p in (p for p in columns if p.bank == bank and p.cycle > activated_at[bank]):
                    if p.name == "RD":
                        require("tRTP", p.cycle, c.cycle, t["RTP"])
                    else:
                        require("tWR", p.cycle + t["CWL"] + BURST, c.cycle, t["WR"])
                del open_rows[bank]
                precharged_at[bank] = c.cycle
        elif c.name == "REFA":
            for bank in range(c.rank * banks, (c.rank + 1) * banks):
                if bank in open_rows:
                    found.append(f"REFA at {c.cycle} with bank {bank} open")
                require("tRP", precharged_at[bank], c.cycle, t["RP"])
            refreshed_at[c.rank] = c.cycle
    return found


def _refresh_violations(
    commands: Sequence[Command], design: Design, rules: dict[str, int], first: int, end: int
) -> list[str]:
    """Hold the refreshes of one rank against the times at which they are due.

    They are due every tREFI from `first` on. A refresh may come as many intervals late as may be
    postponed, and then waits until the banks can be closed; it may come as many intervals early as
    may be pulled in.
    """
    times = [command.cycle for command in commands if command.name == "REFA"]
    postponed, pulled_in = (int(design[f"refresh_max_{w}"]) for w in ("postponed", "pulledin"))
    interval = rules["REFI"]
    found = []
    closing = 200  # cycles to finish what the banks do, then to precharge them
    for i, time in enumerate([*times, end]):
        if time > first + (i + postponed) * interval + closing:
            found.append(f"refresh {i} is late: {time}")
    for i, time in enumerate(times):
        if time < first + (i - pulled_in) * interval:
            found.append(f"refresh {i} is early: {time}")
    return found


@pytest.mark.parametrize("pattern", ["random", "cloud", "conflict", "write_bursts"])
@pytest.mark.parametrize(
    ("technology", "rules"),
    [("DDR3-1600", DDR3_RULES), ("DDR3-1600-2rank", DDR3_RULES), ("DDR4-2400", DDR4_RULES)],
)
def test_designs_keep_the_rules_of_the_memory(
    technology: str, rules: dict[str, int], pattern: str
) -> None:
    memory = load_technology(technology)
    checked = Counter[str]()
    for rate in ("saturating", "idle"):
        trace = Workload(pattern, rate, 400, seed=1).generate()
        simulator = _simulator(technology, trace)
        for design in _designs(technology, 8, seed=11):
            design["power_down_policy"] = "NoPowerDown"
            commands = simulator.command_trace(design)
            checked.update(command.name for command in commands)
            assert _violations(commands, rules, memory.banks, memory.ranks) == []
            end = commands[-1].cycle
            for rank in range(memory.ranks):
                own = [command for command in commands if command.rank == rank]
                first = rules["REFI"] // (rank + 1)  # the second rank is half an interval ahead
                assert _refresh_violations(own, design, rules, first, end) == []
    for name in ("ACT", "PRE", "PREA", "REFA", *COLUMN_COMMANDS):
        assert checked[name] > 0, name


def test_the_checker_of_the_rules_finds_what_is_wrong() -> None:
    """Moving one command a cycle nearer breaks the rule that had set its time."""
    trace = Workload("random", "saturating", 60, seed=2).generate()
    commands = _simulator(trace=trace).command_trace(_design(scheduler_buffer="Shared"))
    assert _violations(commands, DDR3_RULES, 8, 1) == []
    broken = set()
    for i in range(1, len(commands)):
        earlier = [*commands]
        earlier[i] = replace(commands[i], cycle=commands[i].cycle - 1)
        broken |= {text.partition(":")[0] for text in _violations(earlier, DDR3_RULES, 8, 1)}
    assert broken >= {"command bus", "tRCD", "tRP", "tRRD", "tCCD", "tWTR", "read to write"}


# --- What cannot be simulated ---------------------------------------------------------------------


def test_a_stalled_controller_is_a_crash() -> None:
    # Strict waits for the column command of the older request, FrFcfs prefers the younger row hit,
    # and no refresh ever closes the row.
    row = 1 << 16
    trace = _trace((0, "r", 0), (1, "r", row), (2, "r", 64))
    simulator = _simulator(trace=trace)
    stuck = _design(cmd_mux="Strict", scheduler="FrFcfs", refresh_policy="NoRefresh")
    fine = stuck | {"scheduler": "Fifo"}
    first, second = simulator.evaluate_batch([stuck, fine], seeds=[0, 0])
    assert (first.status, dict(first.metrics)) == (Status.CRASHED, {})
    assert "the controller stalled" in first.message
    assert "With cmd_mux=Strict the scheduler has to be Fifo" in first.message
    assert (second.status, second.message) == (Status.OK, "")


def test_a_memory_that_is_too_large_is_refused() -> None:
    memory = replace(load_technology("DDR3-1600"), name="wide", channels=5)
    message = (
        "technology 'wide' has 5 channels over all channels; the simulator has room for 4. Raise "
        "the limit in simulators/dram/layout.py."
    )
    with pytest.raises(ConfigError, match=re.escape(message)):
        DRAMSimulator(
            trace=CLOUD,
            technology=memory,
            address_map=load_address_map("kit_ddr3_2ch_rbc"),
            fixed={},
            player_clock_mhz=800,
        )


def test_fixed_values_stand_for_what_designs_lack() -> None:
    design = _design()
    fixed = {name: design.pop(name) for name in ("address_map", "cmd_mux", "power_down_policy")}
    with_fixed = _simulator(fixed=fixed).evaluate(design, seed=0)
    assert with_fixed == _simulator().evaluate(design | fixed, seed=0)
