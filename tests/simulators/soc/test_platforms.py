import copy
import math
import pickle
from importlib.resources import files
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from archgym_py.config import load_yaml
from archgym_py.errors import ConfigError, UnknownNameError
from archgym_py.simulators.soc.graphs import TaskGraph, load_task_graph
from archgym_py.simulators.soc.platforms import (
    Cluster,
    OperatingPoint,
    Platform,
    as_platform,
    load_platform,
    parse_platform,
    platform_names,
)

DS3_GRAPHS = (
    *("wifi_transmitter", "wifi_receiver", "lag_detection", "temporal_mitigation"),
    *("single_carrier_transmitter", "single_carrier_receiver"),
)

TINY: dict[str, Any] = {
    "name": "tiny",
    "clusters": [
        {
            "name": "A7",
            "kind": "little",
            "pes": 2,
            "opps": [[1000, 1150], [600, 1000]],
            "power_w": [{"up_to_mhz": 1000, "watts": [0.19, 0.29]}],
            "trip_mhz": [None, 1000, 600],
        },
        {"name": "FFT", "kind": "accelerator", "pes": 1, "opps": [[1000, 900]]},
    ],
    "bandwidth": {
        "same_pe": 10000,
        "default": 1,
        "between": [["A7", "A7", 1000], ["A7", "FFT", 10], ["memory", "A7", 500]],
    },
    "times_us": {"lfm": {"A7": 90}, "fft": {"A7": 150, "FFT": 30}},
}


def _changed(change: Any) -> dict[str, Any]:
    content = copy.deepcopy(TINY)
    change(content)
    return content


@pytest.mark.parametrize("name", platform_names())
def test_shipped_file(name: str) -> None:
    platform = load_platform(name)
    assert platform.name == name
    assert platform.description
    assert platform.source
    file = files("archgym_py.configs") / "soc" / "platforms" / f"{name}.yaml"
    assert platform.to_dict() == load_yaml(str(file))
    assert parse_platform(platform.to_dict(), where="x") == platform
    assert load_platform(name) is platform
    assert pickle.loads(pickle.dumps(platform)) == platform  # noqa: S301 - workers get them so


def test_shipped_names() -> None:
    assert platform_names() == ("bal_only", "ds3gym", "multiple_bal", "top")


def test_multiple_bal() -> None:
    platform = load_platform("multiple_bal")
    assert [(cluster.name, cluster.kind, cluster.pes) for cluster in platform.clusters] == [
        ("A7", "little", 4),
        ("A15", "big", 4),
        ("MM", "accelerator", 2),
        ("FFT", "accelerator", 4),
        ("VIT", "accelerator", 2),
    ]
    a15 = platform.clusters[1]
    assert (a15.opps[0], a15.opps[-1]) == (OperatingPoint(600, 900), OperatingPoint(2000, 1362))
    assert a15.power_w == {1000: (0.85, 1.3, 1.58, 1.78), 2000: (3.32, 5.05, 6.15, 6.91)}
    assert list(a15.trip_mhz) == [1600, 1000, 600]
    assert list(platform.clusters[0].trip_mhz) == [None, 1200, 600]
    assert len(a15.times_us) == 92
    # Of a task that a cluster of the original lists twice, the first time counts.
    assert [c.times_us.get("viterbi_decoder") for c in platform.clusters] == [
        *(1828, 739, None, None, 2),
    ]
    assert a15.times_us["descrambler"] == 2
    assert platform.clusters[0].times_us["descrambler"] == 3


def test_bal_only_has_slow_filters() -> None:
    fast, slow = load_platform("multiple_bal"), load_platform("bal_only")
    for i in range(2):
        fast_times, slow_times = fast.clusters[i].times_us, slow.clusters[i].times_us
        differing = {task for task in fast_times if fast_times[task] != slow_times[task]}
        assert differing == {"fir_filter", "match_correlation", "filter"}


def test_bandwidths_of_multiple_bal() -> None:
    platform = load_platform("multiple_bal")
    matrix = platform.bandwidth_matrix()
    assert matrix.shape == (17, 17)
    np.testing.assert_array_equal(matrix, matrix.T)
    assert set(np.diagonal(matrix)) == {10000.0}
    kinds = [platform.clusters[i].name for i in platform.pe_cluster]
    for p in range(16):
        for q in range(p + 1, 16):
            slow = sorted((kinds[p], kinds[q])) in (["A7", "FFT"], ["A15", "FFT"], ["FFT", "MM"])
            assert matrix[p, q] == (10 if slow else 1000)
    assert set(matrix[16, :16]) == {1000.0}


def test_pairs_that_are_not_listed_have_the_default() -> None:
    matrix = load_platform("ds3gym").bandwidth_matrix()
    expected = [[100, 1, 1, 2], [1, 100, 1, 2], [1, 1, 100, 2], [2, 2, 2, 100]]
    np.testing.assert_array_equal(matrix, expected)


def test_power_by_task_equals_the_time() -> None:
    for cluster in load_platform("ds3gym").clusters:
        assert cluster.task_power_w == cluster.times_us
        assert len(cluster.times_us) == 10
        assert len(cluster.opps) == 8


def test_every_application_runs() -> None:
    for name in DS3_GRAPHS:
        graph = load_task_graph(name)
        times = load_platform("multiple_bal").times_us(graph)
        assert times.shape == (len(graph.tasks), 16)
        assert np.isfinite(times[:, :8]).all()
        assert np.isfinite(load_platform("bal_only").times_us(graph)).all()
    for name in ("canonical", "top_1", "top_10"):
        for platform in ("top", "ds3gym"):
            times = load_platform(platform).times_us(load_task_graph(name))
            np.testing.assert_array_equal(times[0], [14, 16, 9])


def test_tiny() -> None:
    platform = parse_platform(TINY, where="x")
    assert platform.n_pes == 3
    assert platform.pe_names == ("A7-0", "A7-1", "FFT")
    assert platform.pe_cluster == (0, 0, 1)
    assert [opp.mhz for opp in platform.clusters[0].opps] == [600, 1000]
    np.testing.assert_array_equal(
        platform.bandwidth_matrix(),
        [[10000, 1000, 10, 500], [1000, 10000, 10, 500], [10, 10, 10000, 1], [500, 500, 1, 10000]],
    )
    times = platform.times_us(TaskGraph("g", ("fft", "lfm"), ()))
    np.testing.assert_array_equal(times, [[150, 150, 30], [90, 90, math.inf]])


def test_own_times_of_a_graph_replace_those_of_the_platform() -> None:
    platform = parse_platform(TINY, where="x")
    graph = TaskGraph("g", ("fft", "new"), (), {"fft": {"A7": 7, "GPU": 1}, "new": {"FFT": 3}})
    np.testing.assert_array_equal(
        platform.times_us(graph), [[7, 7, math.inf], [math.inf, math.inf, 3]]
    )


def test_task_without_a_pe() -> None:
    platform = parse_platform(TINY, where="x")
    with pytest.raises(
        ConfigError,
        match=r"task 'ffft' of graph 'g' runs on no PE of platform 'tiny': no cluster has a time "
        r"for it.*Did you mean 'fft'\?",
    ):
        platform.times_us(TaskGraph("g", ("lfm", "ffft"), ()))
    with pytest.raises(
        ConfigError, match=r"task 'fft' of graph 'g' .* its times_us are for A17, and the clusters"
    ):
        platform.times_us(TaskGraph("g", ("fft",), (), {"fft": {"A17": 1.0}}))
    with pytest.raises(ConfigError, match=r"task 'lfm' of graph 'g' runs on no PE"):
        platform.with_pes({"A7": 0}).times_us(TaskGraph("g", ("fft", "lfm"), ()))


def test_with_pes() -> None:
    platform = parse_platform(TINY, where="x")
    assert platform.with_pes({}) == platform
    smaller = platform.with_pes({"FFT": 0, "A7": 1})
    assert smaller.cluster_names == ("A7",)
    assert smaller.pe_names == ("A7",)
    assert smaller.bandwidths == {("A7", "A7"): 1000, ("memory", "A7"): 500}
    assert platform.with_pes({"A7": 8}).pe_cluster == (0,) * 8 + (1,)
    assert smaller.fingerprint != platform.fingerprint
    with pytest.raises(ConfigError, match=r"platform 'tiny': there must be at least one cluster"):
        platform.with_pes({"FFT": 0, "A7": 0})
    with pytest.raises(UnknownNameError, match=r"has no cluster 'FTF'. Did you mean 'FFT'"):
        platform.with_pes({"FTF": 1})
    with pytest.raises(
        ConfigError, match=r"PEs of 'A7' must be a whole number from 0 to 1024, got"
    ):
        platform.with_pes({"A7": -1})


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(("A7", "A15", "MM", "FFT", "VIT")), st.integers(0, 8)),
)
def test_changed_platforms_stay_consistent(pes: dict[str, int]) -> None:
    base = load_platform("multiple_bal")
    if sum(pes.get(cluster.name, cluster.pes) for cluster in base.clusters) == 0:
        with pytest.raises(ConfigError, match=r"at least one cluster"):
            base.with_pes(pes)
        return
    platform = base.with_pes(pes)
    assert platform.n_pes == len(platform.pe_names) == len(platform.pe_cluster)
    assert len(set(platform.pe_names)) == platform.n_pes
    matrix = platform.bandwidth_matrix()
    assert matrix.shape == (platform.n_pes + 1,) * 2
    assert (matrix > 1).all()  # every pair of the original is listed
    assert parse_platform(platform.to_dict(), where="x") == platform


def test_fingerprint_follows_the_content() -> None:
    base = parse_platform(TINY, where="x")
    same = parse_platform({**TINY, "name": "other"}, where="x")
    assert same.fingerprint == base.fingerprint
    prints = {base.fingerprint}
    for change in (
        lambda c: c["clusters"][0].update(pes=3),
        lambda c: c["clusters"][0].update(kind="big"),
        lambda c: c["clusters"][0]["power_w"][0].update(watts=[0.2]),
        lambda c: c["clusters"][0].update(trip_mhz=[]),
        lambda c: c["clusters"][1].update(opps=[[1000, 901]]),
        lambda c: c["bandwidth"].update(default=2),
        lambda c: c["bandwidth"]["between"].pop(),
        lambda c: c["times_us"]["fft"].update(FFT=31),
        lambda c: c.update(task_power_w={"fft": {"FFT": 1}}),
    ):
        prints.add(parse_platform(_changed(change), where="x").fingerprint)
    assert len(prints) == 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("bandwidth"), "p: the key 'bandwidth' is missing"),
        (lambda c: c.update(clustres=[]), "p: unknown key 'clustres'. Did you mean 'clusters'"),
        (lambda c: c.update(clusters=[]), r"p: clusters must be a list of one or more .* got \[\]"),
        (lambda c: c.update(clusters=3), "p: clusters must be a list of one or more .* got 3"),
        (lambda c: c.update(name=""), "p: the name of a platform must be a text, got ''"),
        (
            lambda c: c["clusters"][0].update(kind="litle"),
            "p: cluster 'A7': unknown kind 'litle'. Did you mean 'little'",
        ),
        (
            lambda c: c["clusters"][1].pop("pes"),
            r"p: cluster 2 \('FFT'\): the key 'pes' is missing",
        ),
        (
            lambda c: c["clusters"][0].update(power=3),
            r"p: cluster 1 \('A7'\): unknown key 'power'. Did you mean 'power_w'",
        ),
        (
            lambda c: c["clusters"][0].update(pes=0),
            "cluster 'A7': pes must be a whole number from 1",
        ),
        (lambda c: c["clusters"].append(c["clusters"][1]), "two clusters have the name 'FFT'"),
        (lambda c: c["clusters"][0].update(name="memory"), "a text other than 'memory'"),
        (lambda c: c["clusters"][0].update(opps=[]), "opps must be a tuple of OperatingPoint"),
        (lambda c: c["clusters"][0].update(opps=[[1]]), r"opps: a row must be \[MHz, mV\], got"),
        (lambda c: c["clusters"][0].update(opps=3), r"opps must be a list of rows \[MHz, mV\]"),
        (
            lambda c: c["clusters"][0].update(opps=[[600, 1], [600, 2], [1000, 3]]),
            "cluster 'A7': opps: 600 MHz is given twice",
        ),
        (
            lambda c: c["clusters"][0].update(opps=[[0, 900]]),
            "mhz of an operating point must be a number from 1",
        ),
        (
            lambda c: c["clusters"][0].update(opps=[[1200, 900]], trip_mhz=[]),
            "power_w ends at 1000 MHz, below the highest operating point of 1200 MHz",
        ),
        (
            lambda c: c["clusters"][0]["power_w"].append({"up_to_mhz": 1000, "watts": [1]}),
            "power_w: two rows end at 1000 MHz",
        ),
        (
            lambda c: c["clusters"][0]["power_w"][0].update(watts=[]),
            "power_w: 1000 MHz: must be a list of the power of 1, 2, ... PEs",
        ),
        (
            lambda c: c["clusters"][0]["power_w"][0].update(watts=[-1]),
            "power_w: 1000 MHz: power must be a number from 0",
        ),
        (
            lambda c: c["clusters"][0].update(trip_mhz=[700, 600, 600]),
            "trip_mhz: 700 is the frequency of no operating point. They are: 600, 1000",
        ),
        (
            lambda c: c["clusters"][1].update(trip_mhz=[1000]),
            "trip_mhz must have an entry for every trip temperature .* 1 and 3 entries",
        ),
        (
            lambda c: c["bandwidth"]["between"].append(["A7", "memroy", 3]),
            "bandwidths: there is no cluster 'memroy'. Did you mean 'memory'",
        ),
        (
            lambda c: c["bandwidth"]["between"].append(["FFT", "A7", 3]),
            "the pair of 'FFT' and 'A7' is there twice. It holds in both directions",
        ),
        (
            lambda c: c["bandwidth"]["between"].append(["A7", "FFT", 3]),
            "between: the pair of 'A7' and 'FFT' is there twice",
        ),
        (
            lambda c: c["bandwidth"]["between"].append(["FFT", "FFT", -3]),
            "bandwidth between 'FFT' and 'FFT' must be a finite number from 0 on, got -3",
        ),
        (lambda c: c["bandwidth"].pop("default"), "p: bandwidth: the key 'default' is missing"),
        (
            lambda c: c["times_us"]["fft"].update(FTF=3),
            "p: times_us: task 'fft': there is no cluster 'FTF'. Did you mean 'FFT'",
        ),
        (
            lambda c: c["times_us"]["fft"].update(A7=math.inf),
            "p: times_us: task 'fft' on cluster 'A7' must be a finite number from 0 on, got inf",
        ),
        (
            lambda c: c.update(task_power_w={"lfm": {"FFT": 3}}),
            "p: cluster 'FFT': task_power_w: the cluster cannot run task 'lfm'",
        ),
    ],
)
def test_malformed_platform(change: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_platform(_changed(change), where="p")


def test_zero_bandwidth_is_no_link() -> None:
    content = _changed(lambda c: c["bandwidth"].update(default=0))
    assert parse_platform(content, where="p").bandwidth_matrix()[2, 3] == 0.0


def test_names_and_files(tmp_path: Path) -> None:
    platform = parse_platform(TINY, where="x")
    assert as_platform(platform) is platform
    assert as_platform(TINY) == platform
    with pytest.raises(UnknownNameError, match=r"unknown platform 'multiple'. Did you mean"):
        as_platform("multiple")
    with pytest.raises(ConfigError, match=r"platform file .*top.yaml: does not exist.*'top'"):
        as_platform(tmp_path / "top.yaml")
    with pytest.raises(ConfigError, match=r"must be its name, the path of its file, a mapping"):
        as_platform(3)  # type: ignore[arg-type]
    path = tmp_path / "p.yaml"
    path.write_text("name: p\nclusters: [{name: A7}]\nbandwidth: {}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"platform file .*p.yaml: cluster 1 \('A7'\): the key"):
        as_platform(path)


def test_constructor_copies_what_it_checks() -> None:
    times = {"fft": 3.0}
    cluster = Cluster("A7", "little", 1, (OperatingPoint(600, 1000),), times_us=times)
    times["fft"] = math.nan
    assert cluster.times_us == {"fft": 3.0}
    links: dict[Any, float] = {("A7", "A7"): 3.0}
    platform = Platform("p", (cluster,), 1.0, 1.0, links)
    links.clear()
    assert platform.bandwidths == {("A7", "A7"): 3.0}
    with pytest.raises(ConfigError, match=r"bandwidths: 'A7' is no pair of clusters"):
        Platform("p", (cluster,), 1.0, 1.0, {"A7": 3.0})  # type: ignore[dict-item]
