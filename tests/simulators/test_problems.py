"""Every simulator says which problem it poses, and describes it with numbers."""

import json
import math
import pickle
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archgym_py.config import canonical_json
from archgym_py.registration import ENVS
from archgym_py.registry import SIMULATORS
from archgym_py.runner import make_env
from archgym_py.simulator import Described
from archgym_py.simulators.dnn.accelerator import AcceleratorSimulator
from archgym_py.simulators.dnn.descriptors import describe_network
from archgym_py.simulators.dnn.networks import as_network
from archgym_py.simulators.dram.address import load_address_map
from archgym_py.simulators.dram.descriptors import WINDOWS, describe_trace
from archgym_py.simulators.dram.model import DRAMSimulator
from archgym_py.simulators.dram.problem import identify_address_map, identify_technology
from archgym_py.simulators.dram.technology import load_technology, technology_names
from archgym_py.simulators.dram.trace import Trace, write_stl
from archgym_py.simulators.dram.workloads import WORKLOADS, Workload
from archgym_py.simulators.soc.arvr_workloads import as_workload
from archgym_py.simulators.soc.descriptors import describe_workload
from archgym_py.simulators.soc.design import SoCDesignSimulator

DRAM = "ArchGym/DRAMController-v0"
DNN = "ArchGym/DNNAccelerator-v0"
MAPPING = "ArchGym/DNNMapping-v0"
SYSTOLIC = "ArchGym/SystolicArray-v0"
SOC = "ArchGym/SoCDesign-v0"
ARVR = "ArchGym/ARVRSoC-v0"
TOY = "ArchGym/Toy-v0"

SMALL: Mapping[str, dict[str, Any]] = {
    DRAM: {"workload": "random-saturating-100"},
    DNN: {"workload": "alexnet/conv3"},
    MAPPING: {"workload": "alexnet/conv3"},
    SYSTOLIC: {"workload": "alexnet/conv3"},
    SOC: {"workload": "wifi_receiver", "n_jobs": 5, "seeds": 1},
    ARVR: {},
    TOY: {},
}
"""Arguments that are quick, by environment: one of each simulator."""

OTHERS: tuple[tuple[str, dict[str, Any]], ...] = (
    (DRAM, {"workload": "stream-saturating-100"}),
    (DRAM, {"workload": "random-saturating-100-s1"}),
    (DRAM, {"workload": "random-saturating-101"}),
    (DRAM, {"workload": "random-idle-100"}),
    (DRAM, {"workload": "random-saturating-100-w90"}),
    (DRAM, {"technology": "DDR4-2400"}),
    (DRAM, {"technology": "DDR3-1600-2rank"}),
    (DRAM, {"technology": "DDR3-1600-2ch"}),
    (DRAM, {"technology": "HBM2"}),
    (DRAM, {"address_map": "kit_ddr3_xor"}),
    (DRAM, {"player_clock_mhz": 100.0}),
    (DRAM, {"arbitration_delay_fw_ns": 5.0}),
    (DRAM, {"arbitration_delay_bw_ns": 5.0}),
    (DRAM, {"think_delay_fw_ns": 5.0}),
    (DRAM, {"think_delay_bw_ns": 5.0}),
    (DRAM, {"phy_delay_fw_ns": 5.0}),
    (DRAM, {"phy_delay_bw_ns": 5.0}),
    (DRAM, {"cmd_mux": "Strict"}),
    (DRAM, {"power_down_policy": "Staggered", "workload": "random-idle-100"}),
    (DRAM, {"technology": "DDR3-1600-2rank", "reference_energy": True}),
    (DNN, {"workload": "alexnet/conv2"}),
    (DNN, {"space": "extended"}),
    (DNN, {"pricing": "published"}),
    (DNN, {"goal": "energy"}),
    (DNN, {"effort": 50}),
    (DNN, {"mapper_seed": 1}),
    (DNN, {"area_budget_mm2": 5.0}),
    (DNN, {"power_budget_mw": 500.0}),
    (MAPPING, {"workload": "alexnet/conv2"}),
    (MAPPING, {"array_x": 16}),
    (MAPPING, {"array_y": 16}),
    (MAPPING, {"l1_words": 512}),
    (MAPPING, {"l2_words": 32768}),
    (MAPPING, {"l1_bandwidth": 1.0}),
    (MAPPING, {"l2_bandwidth": 16.0}),
    (MAPPING, {"dram": "HBM2"}),
    (MAPPING, {"dram_channels": 2}),
    (MAPPING, {"precision": "int8"}),
    (MAPPING, {"precision": "bf16"}),
    (MAPPING, {"clock_mhz": 400.0}),
    (SYSTOLIC, {"workload": "alexnet/conv2"}),
    (SYSTOLIC, {"area_budget_mm2": 5.0}),
    (SYSTOLIC, {"power_budget_mw": 500.0}),
    (SOC, {"workload": "lag_detection"}),
    (SOC, {"workload": ["wifi_receiver", "lag_detection"]}),
    (SOC, {"arrivals": "poisson:mean_us=400"}),
    (SOC, {"arrivals": "deterministic:period_us=500"}),
    (SOC, {"n_jobs": 6}),
    (SOC, {"seeds": 2}),
    (SOC, {"first_seed": 1}),
    (SOC, {"deadline_factor": 1.1}),
    (SOC, {"patience": 3.0}),
    (SOC, {"contention": False}),
    (SOC, {"wake_us": 5.0}),
    (SOC, {"thermal_speedup": 1.0}),
    (SOC, {"temperature_limit_celsius": 90.0}),
    (SOC, {"area_budget_mm2": 18.0}),
    (SOC, {"power_budget_mw": 5000.0}),
    (ARVR, {"workload": "hpvm_cava"}),
    (ARVR, {"space": "comprehensive"}),
    (ARVR, {"compat": "farsi"}),
    (ARVR, {"latency_budget_ms": 1.0}),
    (ARVR, {"power_budget_mw": 1.0}),
    (ARVR, {"area_budget_mm2": 1.0}),
)
"""Each argument that metrics or feasibility depend on, changed."""


def simulator(env_id: str, **arguments: Any) -> Any:
    return make_env(env_id, {**SMALL[env_id], **arguments}).simulator


def test_every_registered_simulator_is_tested_here() -> None:
    assert {simulator(env_id).name for env_id in SMALL} == set(SIMULATORS.names())
    assert set(SMALL) <= {entry.id for entry in ENVS}


@pytest.mark.parametrize("env_id", SMALL)
def test_equal_instances_pose_equal_problems(env_id: str) -> None:
    one, other = simulator(env_id), simulator(env_id)
    assert isinstance(one, Described)
    assert json.loads(canonical_json(one.problem)) == json.loads(canonical_json(other.problem))
    assert dict(one.descriptors) == dict(other.descriptors)
    _check_descriptors(one.descriptors)


@pytest.mark.parametrize(("env_id", "changes"), OTHERS, ids=str)
def test_what_changes_metrics_changes_the_problem(env_id: str, changes: dict[str, Any]) -> None:
    usual, other = simulator(env_id), simulator(env_id, **changes)
    assert canonical_json(usual.problem) != canonical_json(other.problem)
    assert list(usual.descriptors) == list(other.descriptors)
    _check_descriptors(other.descriptors)


@pytest.mark.parametrize(
    ("env_id", "changes"),
    [
        (env_id, changes)
        for env_id, changes in OTHERS
        # A seed of a search and what designs mean are no workload.
        if (env_id, *changes) not in ((DNN, "mapper_seed"), (ARVR, "space"))
    ],
    ids=str,
)
def test_descriptors_show_what_changes_metrics(env_id: str, changes: dict[str, Any]) -> None:
    assert simulator(env_id).descriptors != simulator(env_id, **changes).descriptors


def _check_descriptors(descriptors: Mapping[str, float]) -> None:
    for name, value in descriptors.items():
        assert type(value) is float, name
        assert math.isfinite(value), name


@pytest.mark.parametrize("env_id", SMALL)
def test_a_pickled_simulator_poses_the_same_problem(env_id: str) -> None:
    made = simulator(env_id)
    before = dict(made.descriptors)
    copy = pickle.loads(pickle.dumps(made))  # noqa: S301 - our own bytes
    assert (copy.problem, copy.descriptors) == (made.problem, before)


def test_threads_and_caches_are_no_problem(tmp_path: Path) -> None:
    cached = simulator(DNN, mapping_cache=tmp_path / "mappings")
    assert cached.problem == simulator(DNN).problem
    cached.close()
    accelerators = [AcceleratorSimulator("alexnet/conv3", threads=n) for n in (1, 2)]
    assert accelerators[0].problem == accelerators[1].problem
    socs = [SoCDesignSimulator("wifi_receiver", n_jobs=5, threads=n) for n in (1, 2)]
    assert socs[0].problem == socs[1].problem
    controllers = [_controller(threads=n) for n in (1, 2)]
    assert controllers[0].problem == controllers[1].problem


def test_ways_to_say_the_same_pose_the_same_problem(tmp_path: Path) -> None:
    mapping = {"pattern": "random", "requests": 100}
    assert simulator(DRAM, workload=mapping).problem == simulator(DRAM).problem
    clock = load_technology("DDR3-1600").clock_mhz
    assert simulator(DRAM, player_clock_mhz=clock).problem == simulator(DRAM).problem
    # One rank: the reference counts its energy like everybody else.
    assert simulator(DRAM, reference_energy=True).problem == simulator(DRAM).problem
    times = tmp_path / "times.csv"
    times.write_text("0\n500\n1000\n1500\n2000\n2500\n", encoding="utf-8")
    from_file = simulator(SOC, arrivals=f"trace:{times}")
    copied = times.rename(tmp_path / "copied.csv")
    assert simulator(SOC, arrivals=f"trace:{copied}").problem == from_file.problem
    network = as_network("alexnet/conv3").to_dict()
    renamed = {**network, "name": "mine", "description": "the same"}
    assert simulator(SYSTOLIC, workload=renamed).problem == simulator(SYSTOLIC).problem


# --- The memory controller -----------------------------------------------------------------------


def _controller(trace: Trace | None = None, **arguments: Any) -> DRAMSimulator:
    memory = load_technology("DDR3-1600")
    given: dict[str, Any] = {
        "trace": Workload("random", requests=100).generate() if trace is None else trace,
        "technology": memory,
        "address_map": load_address_map(memory.default_address_map),
        "fixed": {},
        "player_clock_mhz": 800.0,
        **arguments,
    }
    return DRAMSimulator(**given)


def test_a_trace_file_counts_by_its_content(tmp_path: Path) -> None:
    trace = Workload("cloud", requests=100).generate()
    paths = [tmp_path / name for name in ("one.stl", "two.stl.gz")]
    for path in paths:
        write_stl(trace, path)
    one, two = (simulator(DRAM, workload=path) for path in paths)
    assert (one.problem, one.version) == (two.problem, two.version)
    assert dict(one.descriptors) == dict(two.descriptors)
    write_stl(replace(trace, is_write=~trace.is_write), paths[0])
    changed = simulator(DRAM, workload=paths[0])
    assert changed.problem != one.problem
    assert changed.version != one.version
    assert one.version == f"1+{trace.digest[:12]}"


def test_a_memory_counts_by_its_content() -> None:
    for name in technology_names():
        memory = load_technology(name)
        assert identify_technology(memory) == name
        renamed = replace(memory, name="mine", description="own", default_address_map="own")
        assert identify_technology(renamed) == name
        slower = replace(memory, timings={**memory.timings, "RAS": memory.timings["RAS"] + 1})
        assert identify_technology(slower) not in (name, identify_technology(renamed))
        assert len(identify_technology(slower)) == 64


def test_an_address_map_counts_by_its_content() -> None:
    memory = load_technology("DDR3-1600")
    wiring = load_address_map("kit_ddr3_xor")
    assert identify_address_map(replace(wiring, name="mine.json"), memory) == "kit_ddr3_xor"
    plain = replace(wiring, xor=wiring.xor[:1])
    assert identify_address_map(plain, memory) == identify_address_map(
        replace(plain, name="other.json"), memory
    )
    assert len(identify_address_map(plain, memory)) == 64


def _describe(trace: Trace, technology: str = "DDR3-1600") -> dict[str, float]:
    memory = load_technology(technology)
    return describe_trace(trace, memory, load_address_map(memory.default_address_map), 1250)


@settings(max_examples=40, deadline=None)
@given(
    requests=st.lists(
        st.tuples(st.integers(0, 300), st.booleans(), st.integers(0, 2**20)),
        min_size=1,
        max_size=40,
    ),
    relative=st.booleans(),
)
def test_descriptors_of_any_trace_by_their_definitions(
    requests: list[tuple[int, bool, int]], relative: bool
) -> None:
    stamps, writes, lines = (list(column) for column in zip(*requests, strict=True))
    trace = Trace(
        np.array(stamps), np.array(writes), np.array(lines, np.uint64) * 64, relative=relative
    )
    described = _describe(trace)
    _check_descriptors(described)
    memory = load_technology("DDR3-1600")
    place = load_address_map(memory.default_address_map).decode(trace.addresses)
    banks, rows = place.bank.tolist(), place.row.tolist()
    n = len(banks)
    assert described["log_requests"] == math.log(n)
    for window in (1, *WINDOWS):
        hits = 0
        for i in range(n):
            before = [rows[j] for j in range(i) if banks[j] == banks[i]]
            hits += rows[i] in before[-window:]
        name = "row_hits" if window == 1 else f"row_hits_{window}"
        assert described[name] == pytest.approx(hits / n)
    for window in WINDOWS:
        # How many windows does each bank appear in, of all that end at a request?
        places = [(banks[j], rows[j]) for j in range(n)]
        for name, keys in (("banks", banks), ("rows", places)):
            # Each request counts in the windows that it ends and that no equal one follows in:
            # those that begin after the last equal one before it.
            sizes = 0
            for i in range(n):
                since = next((d for d in range(1, i + 1) if keys[i - d] == keys[i]), i + 1)
                sizes += min(since, window)
            assert described[f"{name}_{window}"] == pytest.approx(sizes / n)
    assert described["row_hits"] <= described["row_hits_8"] <= described["row_hits_128"]
    assert described["log_pace_128_ns"] <= described["log_pace_8_ns"] <= described["log_pace_ns"]


def _trace(places: Any, *, gap: int = 0, writes: Any = None) -> Trace:
    """Return requests at some addresses, equally far apart."""
    addresses = np.array(places, np.uint64)
    stamps = gap * np.arange(len(addresses))
    return Trace(stamps, np.zeros(len(stamps), np.bool_) if writes is None else writes, addresses)


def test_working_sets_are_those_of_sliding_windows() -> None:
    # Banks in turn: among the last 8 requests are all 8 banks, but for the first seven windows.
    described = _describe(_trace(np.arange(80) << 13))
    assert described["banks_8"] == pytest.approx((80 * 8 - sum(range(8))) / 80)


@pytest.mark.parametrize("pattern", WORKLOADS)
def test_descriptors_tell_patterns_apart(pattern: str) -> None:
    described = _describe(Workload(pattern).generate())
    assert described["row_hits"] == pytest.approx(
        {
            "stream": 0.98, "random": 0.0, "strided": 0.49, "chase": 0.0, "cloud": 0.86,
            "conflict": 0.12, "write_bursts": 0.86,
        }[pattern],
        abs=0.03,
    )  # fmt: skip
    for name in technology_names():
        assert list(_describe(Workload(pattern).generate(), name)) == list(described)


def test_the_pace_is_that_of_the_slowest_thing() -> None:
    n = 64
    row, rows_of_a_bank = np.zeros(n), np.arange(n) << 16
    pace = {
        "bus": _describe(_trace(row)),
        "turns": _describe(_trace(row, writes=np.arange(n) % 2 == 1)),
        "bank": _describe(_trace(rows_of_a_bank)),
        "arrivals": _describe(_trace(row, gap=100)),
    }
    times = {name: math.exp(each["log_pace_ns"]) for name, each in pace.items()}
    burst, cycle = 5.0, 47.5  # 4 and 38 cycles of 1.25 ns
    assert times["bus"] == pytest.approx(burst + (cycle - burst) / n)  # the first one is a miss
    assert times["bank"] == pytest.approx(cycle)
    assert times["arrivals"] == pytest.approx(125.0)
    assert burst < times["turns"] < cycle
    assert math.exp(pace["turns"]["log_pace_128_ns"]) == pytest.approx(times["bus"])


# --- The others ----------------------------------------------------------------------------------


def test_descriptors_of_a_network_by_hand() -> None:
    layers = [
        {"name": "a", "op": "conv", "M": 8, "C": 4, "P": 5, "Q": 5, "R": 3, "S": 3, "count": 2},
        {"name": "b", "op": "gemm", "M": 10, "C": 200},
        {"name": "c", "op": "depthwise", "G": 8, "P": 2, "Q": 2, "R": 2, "S": 2, "stride_p": 2},
    ]
    described = describe_network(as_network({"name": "n", "layers": layers}))
    a, b, c = 2 * 8 * 4 * 25 * 9, 10 * 200, 8 * 4 * 4
    total = a + b + c
    expected = {
        "log_macs": math.log(total),
        "log_weights": math.log(2 * 8 * 4 * 9 + 2000 + 8 * 4),
        "log_inputs": math.log(2 * 4 * 49 + 200 + 8 * 4 * 3),
        "log_outputs": math.log(2 * 8 * 25 + 10 + 8 * 4),
        "log_layers": math.log(4),
        "log_shapes": math.log(3),
        "depthwise_share": c / total,
        "product_share": b / total,
        "pointwise_share": 0.0,
        "large_filter_share": 0.0,
        "strided_share": c / total,
        "mean_log_groups": c / total * math.log(8),
        "mean_log_output_channels": (a * math.log(8) + b * math.log(10)) / total,
        "mean_log_filter": (a * math.log(9) + c * math.log(4)) / total,
    }
    assert {name: described[name] for name in expected} == pytest.approx(expected)
    words = sum(math.exp(described[f"log_{name}"]) for name in ("weights", "inputs", "outputs"))
    assert described["log_intensity"] == pytest.approx(math.log(total / words))


def test_descriptors_of_an_arvr_workload_by_hand() -> None:
    figures = {"ip_cycles": 100, "ip_energy": 4e6, "ip_area": 50.0, "loop_iterations": 8}
    content = {
        "name": "fork",
        "tasks": [
            {"name": "a", "a53_cycles": 1000},
            {"name": "b", "a53_cycles": 2000, **figures},
            {"name": "c", "a53_cycles": 1000},
        ],
        "edges": [{"from": "a", "to": "b", "bytes": 64}, {"from": "a", "to": "c", "bytes": 36}],
    }
    described = describe_workload(as_workload(content))
    assert described == pytest.approx(
        {
            "log_tasks": math.log(3),
            "log_edges": math.log(3),
            "log_work": math.log(8000),
            "log_parallelism": math.log(4000 / 3000),
            "log_bytes": math.log(101),
            "accelerated_share": 0.5,
            "log_speedup": math.log(20),
            "log_unrolling": math.log(8),
            "log_energy_fj": math.log(1000),
            "log_area_um2": math.log(50),
        }
    )
    tasks = [{"name": "a", "a53_cycles": 10}]
    assert describe_workload(as_workload({"name": "one", "tasks": tasks}))["log_speedup"] == 0.0


def test_descriptors_of_jobs_by_hand() -> None:
    tasks = [
        {"name": "a", "times_us": {"A7": 30, "A15": 10}},
        {"name": "b", "after": {"a": 7}, "times_us": {"A7": 60, "FFT": 5}},
        {"name": "c", "after": {"a": 3}, "times_us": {"A15": 20}},
    ]
    described = SoCDesignSimulator(
        {"name": "own", "tasks": tasks},
        arrivals="deterministic:period_us=70",
        n_jobs=10,
        seeds=2,
        area_budget_mm2=20.0,
    ).descriptors
    expected = {
        "log_tasks": math.log(4),
        "log_edges": math.log(3),
        "log_volume": math.log(11),
        "log_critical_us": math.log(31),
        "log_work_us": math.log(36),
        "log_parallelism": math.log(35 / 30),
        "log_little_us": math.log(91),
        "little_share": 90 / 110,
        "log_big_us": math.log(31),
        "big_share": 50 / 110,
        "log_fft_us": math.log(6),
        "fft_share": 60 / 110,
        "viterbi_share": 0.0,
        "log_wait_us": math.log(71),
        "wait_variation": 0.0,
        "log_load": math.log(36 / 71),
        "applications": 0.0,
        "log_jobs": math.log(10),
        "log_runs": math.log(2),
        "has_area_budget_mm2": 1.0,
        "log_area_budget_mm2": math.log(20),
        "has_power_budget_mw": 0.0,
    }
    assert {name: described[name] for name in expected} == pytest.approx(expected)
