import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archgym_py.errors import ArchGymError, ConfigError, TraceError, UnknownNameError
from archgym_py.simulators.dram.address import load_address_map
from archgym_py.simulators.dram.technology import load_technology, technology_names
from archgym_py.simulators.dram.trace import Trace, write_stl
from archgym_py.simulators.dram.workloads import (
    MAX_REQUESTS,
    RATES,
    WORKLOADS,
    Workload,
    parse_workload,
)

DIGESTS = {
    "stream-saturating-1k": "2ead6d658fe1bf05",
    "random-saturating-1k": "878d82fa6503de71",
    "strided-saturating-1k": "32804d3b0d6fb87c",
    "chase-saturating-1k": "f536f6bc99d92f5e",
    "cloud-saturating-1k": "85ec3d014bd57dcf",
    "conflict-saturating-1k": "e818c43e13ce47c7",
    "write_bursts-saturating-1k": "dd6e74187e32e639",
    "cloud-medium-1k": "2343eebfb260ae3f",
    "cloud-idle-1k": "b67c22a32a901fb5",
    "chase-medium-1k": "93728b1bd24a093c",
    "random-saturating-10k": "223200905fc8fab8",
    "write_bursts-saturating-1k-w20": "417fce5235461fdb",
    "cloud-saturating-1k-w50-s7": "1961fc3f8e1e00fc",
}


def _row_hit_rate(trace: Trace, technology: str) -> float:
    """Return the share of requests to the row that their bank saw last."""
    address_map = load_address_map(load_technology(technology).default_address_map)
    decoded = address_map.decode(trace.addresses)
    bank = decoded.channel * 1000 + decoded.bank
    order = np.argsort(bank, kind="stable")
    same = (np.diff(bank[order]) == 0) & (np.diff(decoded.row[order]) == 0)
    return float(same.sum()) / len(trace)


def _workload(spec: Any) -> Workload:
    workload = parse_workload(spec)
    assert isinstance(workload, Workload)
    return workload


def test_digests_are_fixed() -> None:
    """Published results stay comparable: these traces must not change."""
    assert {name: _workload(name).generate().digest[:16] for name in DIGESTS} == DIGESTS
    assert {_workload(name).pattern for name in DIGESTS} == set(WORKLOADS)
    assert {_workload(name).rate for name in DIGESTS} == set(RATES)


@pytest.mark.parametrize("pattern", WORKLOADS)
@pytest.mark.parametrize("rate", RATES)
def test_every_workload_is_well_formed(pattern: str, rate: Any) -> None:
    trace = Workload(pattern, rate, 2500, seed=3).generate()
    assert len(trace) == 2500
    assert trace.name == f"{pattern}-{rate}-2500-s3"
    assert trace.stamps[0] == 0
    assert (np.diff(trace.stamps) >= 1).all()
    assert (trace.addresses % np.uint64(64) == 0).all()
    assert trace.addresses.max() < 2**30
    assert trace == Workload(pattern, rate, 2500, seed=3).generate()
    if pattern != "conflict":
        assert trace != Workload(pattern, rate, 2500, seed=4).generate()


@pytest.mark.parametrize("pattern", WORKLOADS)
def test_one_request_is_enough(pattern: str) -> None:
    assert len(Workload(pattern, "medium", 1).generate()) == 1


@pytest.mark.parametrize(
    ("rate", "mean", "longest"), [("saturating", 1, 1), ("medium", 8, 64), ("idle", 100, 199)]
)
def test_rates(rate: Any, mean: float, longest: int) -> None:
    gaps = np.diff(Workload("random", rate, 50_000).generate().stamps)
    assert gaps.mean() == pytest.approx(mean, rel=0.05)
    assert gaps.min() == 1
    assert gaps.max() == longest


def test_medium_requests_come_in_clusters() -> None:
    gaps = np.diff(Workload("random", "medium", 20_000).generate().stamps)
    assert np.mean(gaps == 1) == pytest.approx(0.78, abs=0.02)


def test_a_chase_waits_for_each_answer() -> None:
    gaps = np.diff(Workload("chase", "saturating", 5000).generate().stamps)
    assert (gaps.min(), gaps.max()) == (40, 79)
    thinking = np.diff(Workload("chase", "idle", 5000).generate().stamps)
    assert thinking.mean() == pytest.approx(59.5 + 99, rel=0.05)


@pytest.mark.parametrize(
    ("pattern", "writes", "hits"),
    [
        # The reference traces of the same patterns: 0.33, 0.33, 0.25, 0, 0.30 and 0.30 writes,
        # 0.99, 0, 0.49, 0, 0.86 and 0.13 hits.
        ("stream", 1 / 3, 0.99),
        ("random", 0.33, 0.0),
        ("strided", 0.25, 0.49),
        ("chase", 0.0, 0.0),
        ("cloud", 0.25, 0.86),
        ("conflict", 0.30, 0.125),
        ("write_bursts", 0.5, 0.86),
    ],
)
def test_the_character_of_the_patterns(pattern: str, writes: float, hits: float) -> None:
    trace = Workload(pattern, requests=10_000).generate()
    assert trace.is_write.mean() == pytest.approx(writes, abs=0.015)
    assert _row_hit_rate(trace, "DDR3-1600") == pytest.approx(hits, abs=0.02)


@pytest.mark.parametrize("technology", technology_names())
def test_streams_keep_rows_open_in_every_technology(technology: str) -> None:
    assert _row_hit_rate(Workload("stream", requests=10_000).generate(), technology) > 0.93


@pytest.mark.parametrize("technology", technology_names())
def test_conflicts_are_confined_to_two_banks_in_every_technology(technology: str) -> None:
    memory = load_technology(technology)
    decoded = load_address_map(memory.default_address_map).decode(
        Workload("conflict").generate().addresses
    )
    for channel in range(memory.channels):
        here = decoded.channel == channel
        assert len(np.unique(decoded.bank[here])) == 2
        assert len(np.unique(decoded.row[here])) in (8, 16)


def test_write_bursts_are_long() -> None:
    trace = Workload("write_bursts", requests=10_000).generate()
    runs = np.diff(np.flatnonzero(np.diff(trace.is_write)))
    assert 55 < runs.mean() < 75
    written = trace.addresses[trace.is_write]
    assert np.mean(np.diff(written) == 64) > 0.99


@pytest.mark.parametrize("pattern", WORKLOADS)
@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_the_share_of_writes_can_be_set(pattern: str, share: float) -> None:
    trace = Workload(pattern, requests=20_000, write_fraction=share).generate()
    assert trace.is_write.mean() == pytest.approx(share, abs=0.01)


def test_a_seed_gives_the_same_addresses_at_every_rate() -> None:
    first, *others = (Workload("cloud", rate).generate() for rate in RATES)
    for other in others:
        assert (other.addresses == first.addresses).all()
        assert (other.is_write == first.is_write).all()


@given(
    st.builds(
        Workload,
        st.sampled_from(list(WORKLOADS)),
        st.sampled_from(RATES),
        st.integers(1, MAX_REQUESTS),
        st.none() | st.floats(0, 1) | st.integers(0, 100).map(lambda percent: percent / 100),
        st.integers(0, 10**9),
    )
)
def test_names_are_read_back_equal(workload: Workload) -> None:
    assert parse_workload(workload.name) == workload


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("cloud", "cloud-saturating-1k"),
        ("cloud-saturating-1k", "cloud-saturating-1k"),
        ("random-10k-idle", "random-idle-10k"),
        ("stream-s7-w50", "stream-saturating-1k-w50-s7"),
        ("stream-w0.5", "stream-saturating-1k-w50"),
        ({"pattern": "chase", "rate": "idle"}, "chase-idle-1k"),
        ({"pattern": "cloud", "requests": 1500, "write_fraction": 1}, "cloud-saturating-1500-w100"),
    ],
)
def test_specifications(spec: str | dict[str, Any], name: str) -> None:
    assert _workload(spec).name == name


@pytest.mark.parametrize("ending", [".stl", ".stl.gz"])
def test_a_path_is_read(tmp_path: Path, ending: str) -> None:
    trace = Workload("cloud").generate()
    path = tmp_path / f"cloud{ending}"
    write_stl(trace, path)
    assert parse_workload(str(path)) == trace
    assert parse_workload(path) == trace


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("clod", UnknownNameError, "unknown workload 'clod'. Did you mean 'cloud'?"),
        ("", UnknownNameError, "unknown workload ''. Known: stream, random, "),
        ({"pattern": ["cloud"]}, UnknownNameError, "unknown workload ['cloud']. Did you"),
        ("cloud-satrating", ConfigError, "'satrating' is not a rate, a number of requests (1k)"),
        ("cloud-satrating", ConfigError, "Did you mean 'saturating'?"),
        ("cloud-1k-2k", ConfigError, "workload 'cloud-1k-2k': requests is given twice"),
        ("cloud-0k", ConfigError, "requests must be a whole number from 1 to 10000000, got 0"),
        ("cloud-w101", ConfigError, "write_fraction must be a number from 0 to 1, or None"),
        ("cloud-1k-", ConfigError, "'' is not a rate"),
        ({"rate": "idle"}, ConfigError, "'pattern' is missing. It is one of stream, random,"),
        ({"pattern": "cloud", "request": 3}, ConfigError, "unknown field 'request'. Did you mean"),
        ({"pattern": "cloud", "rate": "idel"}, UnknownNameError, "unknown rate 'idel'. Did you"),
        ({"pattern": "cloud", "requests": True}, ConfigError, "requests must be a whole number"),
        ({"pattern": "cloud", "requests": 10**7 + 1}, ConfigError, "from 1 to 10000000"),
        ({"pattern": "cloud", "seed": -1}, ConfigError, "seed must be a whole number, 0 or more"),
        (
            {"pattern": "cloud", "write_fraction": float("nan")},
            ConfigError,
            "write_fraction must be a number from 0 to 1, or None",
        ),
        ("missing.stl", TraceError, "missing.stl: cannot be read: No such file"),
        (Path("cloud"), TraceError, "cloud: a trace file ends in .stl"),
    ],
)
def test_mistakes_are_named(spec: Any, error: type[ArchGymError], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        parse_workload(spec)
