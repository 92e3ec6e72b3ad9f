"""DS3's files: what is written in its format is read again, and nothing else is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archgym_py.errors import ConfigError
from archgym_py.simulators.soc.arrivals import as_mix
from archgym_py.simulators.soc.ds3_import import read_ds3_job, read_ds3_soc
from archgym_py.simulators.soc.graphs import TaskGraph, as_task_graph, task_graph_names
from archgym_py.simulators.soc.platforms import MEMORY, Platform, as_platform, load_platform

TYPES = {"big": "BIG", "little": "LTL", "cpu": "CPU1", "accelerator": "ACC_1"}

SOC = """\
# Lines that start with "#" are comments

add_new_resource resource_type LTL resource_name A7 resource_ID 0 capacity 2 \
num_supported_functionalities 3 DVFS_mode performance
opp 600 1000
opp 1400 1300
trip_freq -1 600 600
DTPM_trip_freq 1400 600 600
power_profile 1000 0.19 0.29
PG_profile 1000 0.13 0.23
power_profile 1400 0.39 .59
lfm 90
fft 150.5
lfm 80

add_new_resource resoruce_type ACC_2 resource_name FFT resource_ID 1 capacity 1 \
num_supported_functionalities 1 DVFS_mode performance
opp 1000 900
trip_freq -1 -1 -1
power_profile 1000 0.0913
fft 30 30

add_new_resource resource_type MEM resource_name M1 resource_ID 2 capacity 1 \
num_supported_functionalities 1 DVFS_mode none
None 0

comm_band_self 10000
comm_band 0 0 1000
comm_band 1 0 10
comm_band 1 1 1000
comm_band 0 2 500
comm_band 2 2 0
"""

JOB = """\
# a comment
job_name tiny
add_new_tasks 3
in 0
in HEAD
in earliest_start 0 deadline 100000 input_vol 0 output_vol 0
fft 1 0
fft earliest_start 0 deadline 2
out 2 1 0
out TAIL
out earliest_start 0 deadline 100000 input_vol 192 output_vol 64

comm_vol 0 1 12
comm_vol 0 2 1.5
"""


def soc_text(platform: Platform) -> str:
    """Write a platform as DS3 does."""
    lines = []
    for number, cluster in enumerate(platform.clusters):
        lines.append(
            f"add_new_resource resource_type {TYPES[cluster.kind]} resource_name {cluster.name} "
            f"resource_ID {number} capacity {cluster.pes} num_supported_functionalities "
            f"{len(cluster.times_us)} DVFS_mode performance"
        )
        lines += [f"opp {opp.mhz:g} {opp.mv:g}" for opp in cluster.opps]
        if cluster.trip_mhz:
            trips = ("-1" if trip is None else f"{trip:g}" for trip in cluster.trip_mhz)
            lines.append(f"trip_freq {' '.join(trips)}")
        lines += [
            f"power_profile {mhz} {' '.join(map(repr, watts))}"
            for mhz, watts in cluster.power_w.items()
        ]
        lines += [f"{task} {time!r}" for task, time in cluster.times_us.items()]
    ends = [*platform.cluster_names, MEMORY]
    lines.append(
        f"add_new_resource resource_type MEM resource_name M resource_ID {len(ends) - 1} "
        f"capacity 1 num_supported_functionalities 1 DVFS_mode none\nNone 0"
    )
    lines.append(f"comm_band_self {platform.same_pe_bandwidth!r}")
    pairs = {(ends.index(a), ends.index(b)): v for (a, b), v in platform.bandwidths.items()}
    for number in range(len(platform.clusters)):
        pairs.setdefault((number, number), platform.default_bandwidth)
    lines += [f"comm_band {a} {b} {value!r}" for (a, b), value in pairs.items()]
    return "\n".join(lines)


def job_text(graph: TaskGraph) -> str:
    """Write a task graph as DS3 does."""
    lines = [f"job_name {graph.name}", f"add_new_tasks {len(graph.tasks)}"]
    for number, task in enumerate(graph.tasks):
        lines.append(" ".join(map(str, (task, number, *graph.predecessors(number)))))
        lines += [f"{task} HEAD"] if number in graph.entries else []
        lines += [f"{task} TAIL"] if number in graph.exits else []
        lines.append(f"{task} earliest_start 0 deadline 10 input_vol 0 output_vol 0")
    lines += [f"comm_vol {edge.source} {edge.target} {edge.volume!r}" for edge in graph.edges]
    return "\n".join(lines)


def written(folder: Path, text: str, name: str = "SoC.mine.txt") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def changed(text: str, old: str, new: str) -> str:
    assert text.count(old) >= 1
    return text.replace(old, new, 1)


# ---- platforms ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["multiple_bal", "bal_only", "top"])
def test_platforms_come_back(name: str, tmp_path: Path) -> None:
    platform = load_platform(name)
    found = as_platform(written(tmp_path, soc_text(platform), f"SoC.{name}.txt"))
    assert found.name == name
    assert found.clusters == platform.clusters
    np.testing.assert_array_equal(found.bandwidth_matrix(), platform.bandwidth_matrix())
    if name != "top":  # whose clusters of one PE have no bandwidth among their PEs here
        assert found.fingerprint == platform.fingerprint


def test_a_soc(tmp_path: Path) -> None:
    platform = read_ds3_soc(written(tmp_path, SOC))
    little, fft = platform.clusters
    assert (platform.name, platform.n_pes) == ("mine", 3)
    assert (little.name, little.kind, little.pes) == ("A7", "little", 2)
    assert [(opp.mhz, opp.mv) for opp in little.opps] == [(600, 1000), (1400, 1300)]
    assert little.trip_mhz == (None, 600.0, 600.0)
    assert little.power_w == {1000: (0.19, 0.29), 1400: (0.39, 0.59)}
    assert little.times_us == {"lfm": 90.0, "fft": 150.5}  # of two lines the first counts
    assert (fft.kind, fft.times_us) == ("accelerator", {"fft": 30.0})
    assert platform.same_pe_bandwidth == 10000
    assert platform.default_bandwidth == 1
    assert platform.bandwidths == {
        ("A7", "A7"): 1000.0,
        ("FFT", "A7"): 10.0,
        ("FFT", "FFT"): 1000.0,
        ("A7", MEMORY): 500.0,
    }
    assert platform.bandwidth_matrix()[2, 3] == 1.0  # the FFT and the memory: not listed


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("opp 600 1000", "opp 600", 4, "must be of the form 'opp MHZ MV'"),
        ("opp 600 1000", "opp 6e x", 4, "MHz must be a finite number from 0 on, got '6e'"),
        ("opp 600 1000", "opp 600 nan", 4, "mV must be a finite number from 0 on, got 'nan'"),
        ("opp 600 1000", "opp 0 1000", 4, "mhz of an operating point must be a number from 1"),
        ("opp 600 1000", "opp 1400 1000", 3, "1400 MHz is given twice"),
        ("trip_freq -1 600 600", "trip_freq -1 700 600", 3, "700.0 is the frequency of no oper"),
        ("trip_freq -1 600 600", "trip_freq -1\ntrip_freq -1", 7, "trip_freq is there twice"),
        ("power_profile 1400", "power_profile 1000", 10, "two power profiles are for 1000 MHz"),
        ("power_profile 1400", "power_profile 1200", 3, "power_w ends at 1200 MHz"),
        ("0.39 .59", "0.39", 10, "must have a power for 1 to 2 PEs, got 1"),
        ("fft 150.5", "fft -1", 12, "time of task 'fft' in us must be a finite number from 0 on"),
        ("fft 30 30", "fft 30 40", 19, "has several times, 30, 40. DS3 takes the first one"),
        ("fft 150.5\n", "", 3, "'A7' has 2 tasks, not 3 as num_supported_functionalities says"),
        ("resource_type LTL", "resource_type LTTL", 3, "unknown resource_type 'LTTL'. Did you"),
        ("resource_type LTL", "resource_type ACC", 3, "Write ACC_1"),
        ("resource_type LTL", "resource_kind LTL", 3, "'resource_type' is expected, got 'resour"),
        ("DVFS_mode performance", "DVFS_mode ondemand", 3, "DVFS_mode is 'ondemand'"),
        ("resource_ID 1", "resource_ID 3", 15, "resource_ID is 3.*Write 1"),
        ("resource_name FFT", "resource_name A7", 15, "two resources have the name 'A7'"),
        ("capacity 2", "capacity 0", 3, "capacity must be a whole number from 1 to 1024, got 0"),
        ("capacity 2", "capacity 2.0", 3, "capacity must be a whole number.*got '2.0'"),
        ("None 0", "fft 3", 21, "the memory 'M1' runs no task"),
        ("trip_freq -1 -1 -1", "mesh_information F 5 1 1 red", 17, "network on chip"),
        ("comm_band 1 0 10", "comm_band 0 0 10", 26, "between 0 and 0 is there twice"),
        ("comm_band 1 0 10", "comm_band 1 3 10", 26, "the number of a resource must be a whole"),
        ("comm_band 1 0 10", "comm_band 1 0", 26, "must be of the form 'comm_band ID ID"),
        ("comm_band 1 0 10", "comm_bend 1 0 10", 26, "Did you mean 'comm_band'"),
        ("comm_band_self 10000", "comm_band_self 1 2", 24, "must be of the form"),
    ],
)
def test_a_wrong_line(old: str, new: str, line: int, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, changed(SOC, old, new))
    with pytest.raises(ConfigError, match=message) as caught:
        read_ds3_soc(path)
    assert str(caught.value).startswith(f"{path}, line {line}: ")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("comm_band_self 10000\n", "", "comm_band_self is missing"),
        ("comm_band 1 1 1000\n", "", "comm_band 1 1 is missing"),
        (SOC[SOC.index("add_new_resource resource_type MEM") :], "", "last resource must be the"),
        ("trip_freq -1 600 600", "trip_freq -1", "trip_mhz must have an entry for every trip"),
        (SOC, "# nothing", "says nothing"),
        (SOC, "opp 600 1000", "comes before the first add_new_resource"),
        (SOC, "comm_band 0 0 1", "bandwidths come after the resources"),
    ],
)
def test_a_wrong_file(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, changed(SOC, old, new))
    with pytest.raises(ConfigError, match=message) as caught:
        as_platform(path)
    assert str(caught.value).startswith(path)


def test_caches_are_refused(tmp_path: Path) -> None:
    cache = SOC[SOC.index("add_new_resource resource_type MEM") : SOC.index("comm_band_self")]
    cache = cache.replace("MEM", "CAC").replace("M1", "L1").replace("ID 2", "ID 3")
    path = written(tmp_path, changed(SOC, "comm_band_self", f"{cache}comm_band_self"))
    with pytest.raises(ConfigError, match=r"line 24: the memory must be the last.*Caches"):
        read_ds3_soc(path)


def test_a_resource_after_bandwidths(tmp_path: Path) -> None:
    resource = SOC[SOC.index("add_new_resource resoruce") : SOC.index("opp 1000")]
    with pytest.raises(ConfigError, match="resources come before the bandwidths"):
        read_ds3_soc(written(tmp_path, SOC + resource))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"SoC.nowhere.txt: does not exist"):
        as_platform(str(tmp_path / "SoC.nowhere.txt"))
    (tmp_path / "SoC.bad.txt").write_bytes(b"\xff\xfe")
    for read in (read_ds3_soc, read_ds3_job):
        with pytest.raises(ConfigError, match="is not UTF-8 text"):
            read(str(tmp_path / "SoC.bad.txt"))
        with pytest.raises(ConfigError, match="cannot be read"):
            read(str(tmp_path))


# ---- task graphs -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", task_graph_names())
def test_graphs_come_back(name: str, tmp_path: Path) -> None:
    graph = as_task_graph(name)
    found = as_task_graph(written(tmp_path, job_text(graph), f"job_{name}.txt"))
    assert found.name == name
    assert found.tasks == graph.tasks
    assert found.edges == graph.edges
    assert found.fingerprint == graph.fingerprint


def test_a_job(tmp_path: Path) -> None:
    graph = read_ds3_job(written(tmp_path, JOB, "job_tiny.txt"))
    assert graph.tasks == ("in", "fft", "out")
    edges = [(edge.source, edge.target, edge.volume) for edge in graph.edges]
    assert edges == [(0, 1, 12.0), (1, 2, 0.0), (0, 2, 1.5)]  # predecessors in their order


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("fft 1 0", "fft 2 0", 7, "the number of task 'fft' is 2.*Write 1"),
        ("fft 1 0", "in 1 0", 7, "two tasks have the name 'in'"),
        ("fft 1 0", "fft 1 1", 7, "has a predecessor twice, or itself"),
        ("fft 1 0", "fft 1 0 0", 7, "has a predecessor twice, or itself"),
        ("fft 1 0", "fft 1 9", 7, "a predecessor of task 'fft' must be a whole number from 0 to 2"),
        ("fft 1 0", "fft 1 0.0", 7, "a predecessor of task 'fft' must be a whole number"),
        ("fft 1 0", "fft one 0", 7, "there is no task 'fft' before this line"),
        (
            "out TAIL",
            "out TAIL\nout HEAD",
            9,
            "'out' must be HEAD if and only if it has no predecessor",
        ),
        ("in HEAD", "in HEAD 1", 5, "must be of the form 'TASK HEAD'"),
        ("in HEAD\n", "", 4, "'in' must be HEAD if and only if it has no predecessor"),
        ("in HEAD", "in FIRST", 5, "a number, HEAD, TAIL or earliest_start is expected"),
        ("deadline 2", "dead 2", 8, "must name earliest_start, deadline"),
        ("deadline 2", "deadline x", 8, "deadline must be a finite number from 0 on, got 'x'"),
        ("deadline 2", "deadline 2 input_vol", 8, "must name earliest_start, deadline"),
        ("comm_vol 0 1 12", "comm_vol 1 0 12", 13, "is no predecessor of task 0"),
        ("comm_vol 0 1 12", "comm_vol 0 1 -1", 13, "volume must be a finite number from 0 on"),
        ("comm_vol 0 2 1.5", "comm_vol 0 1 1.5", 14, "from 0 to 1 is there twice"),
        ("comm_vol 0 2 1.5", "comm_vol 0 3 1.5", 14, "number of a task must be a whole number"),
        ("add_new_tasks 3", "add_new_tasks 3\nadd_new_tasks 3", 4, "add_new_tasks is there twice"),
        ("job_name tiny", "job_name tiny\njob_name x", 3, "job_name is there twice"),
        ("job_name tiny\n", "", 3, "job_name and add_new_tasks come first"),
    ],
)
def test_a_wrong_line_of_a_job(old: str, new: str, line: int, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, changed(JOB, old, new), "job_tiny.txt")
    with pytest.raises(ConfigError, match=message) as caught:
        read_ds3_job(path)
    assert str(caught.value).startswith(f"{path}, line {line}: ")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("add_new_tasks 3", "add_new_tasks 4", "says 4 tasks, and there are 3"),
        ("out TAIL\n", "", "without a successor: out; TAIL: none"),
        ("out 2 1 0", "out 2 0", "without a successor: fft, out; TAIL: out"),
        ("fft 1 0", "fft 1 0 2", "without a successor: none"),
        (JOB, "job_name a", "job_name and add_new_tasks are missing"),
    ],
)
def test_a_wrong_job(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, changed(JOB, old, new), "job_tiny.txt")
    with pytest.raises(ConfigError, match=message) as caught:
        read_ds3_job(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_cycle_is_named(tmp_path: Path) -> None:
    text = changed(JOB, "fft 1 0", "fft 1 0 3").replace("add_new_tasks 3", "add_new_tasks 4")
    text = changed(text, "out 2 1 0", "loop 3 1\nout 2 1 0")
    text = changed(text, "loop 3 1\nout 2 1 0", "out 2 1 0\nloop 3 1")
    with pytest.raises(ConfigError, match="the tasks 'fft' -> 'loop' -> 'fft' form a cycle"):
        read_ds3_job(written(tmp_path, text, "job_tiny.txt"))


# ---- environments ------------------------------------------------------------------------------


def test_an_environment_takes_the_paths(tmp_path: Path) -> None:
    soc = written(tmp_path, soc_text(load_platform("multiple_bal")))
    job = written(tmp_path, job_text(as_task_graph("lag_detection")), "job_LAG.txt")
    own = gym.make("ArchGym/SoCScheduler-v0", platform=soc, mix=[job], n_jobs=2)
    shipped = gym.make(
        "ArchGym/SoCScheduler-v0", platform="multiple_bal", mix=["lag_detection"], n_jobs=2
    )
    states = []
    for env in (own, shipped):
        env.reset(seed=3)
        done, rewards = False, []
        while not done:
            mask = env.unwrapped.action_masks()  # type: ignore[attr-defined]
            _, reward, done, _, info = env.step(np.int64(np.flatnonzero(mask)[0]))
            rewards.append(reward)
        states.append((rewards, info["metrics"]))
        env.close()
    assert states[0] == states[1]
    assert as_mix({job: 0.25, "top_1": 0.75}).graphs[0].name == "lag_detection"


# ---- anything else -----------------------------------------------------------------------------

WORDS = st.sampled_from(
    [
        *("add_new_resource", "opp", "comm_band", "comm_vol", "HEAD", "TAIL", "in", "0", "1"),
        *("-1", "1e9", "nan", "inf", "٣", "9" * 5000, "earliest_start", "resource_type", "MEM"),
    ]
)


@settings(max_examples=150, deadline=None)
@given(
    text=st.sampled_from([SOC, JOB]),
    where=st.integers(0, 33),
    words=st.lists(WORDS | st.text(max_size=5), max_size=13),
)
def test_a_line_of_anything_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, text: str, where: int, words: Sequence[str]
) -> None:
    lines = text.splitlines()
    lines.insert(min(where, len(lines)), " ".join(words))
    path = tmp_path_factory.getbasetemp() / "SoC.any.txt"
    path.write_text("\n".join(lines), encoding="utf-8", errors="replace")
    read, known = (read_ds3_soc, "A7") if text is SOC else (read_ds3_job, "in")
    try:
        found = read(str(path))
    except ConfigError as error:
        message = str(error)
    else:
        message = f"{path}: {found.name}."
        names = found.cluster_names if isinstance(found, Platform) else found.tasks
        assert names[0] == known
    assert message.startswith(str(path))
    assert re.search(r"[.!?]$", message)
