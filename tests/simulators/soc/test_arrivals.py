import math
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from archgym_py.errors import ConfigError, UnknownNameError
from archgym_py.simulators.soc.arrivals import (
    Arrivals,
    Bursty,
    Deterministic,
    Mix,
    Poisson,
    Trace,
    as_arrivals,
    as_mix,
)
from archgym_py.simulators.soc.graphs import TaskGraph, load_task_graph

PROCESSES: tuple[Arrivals, ...] = (
    Poisson(100.0),
    Poisson(2.5, whole_us=True),
    Deterministic(7.25),
    Bursty(400.0, 20.0, 90_000.0, 10_000.0),
)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.name)
def test_draws(process: Arrivals) -> None:
    waits = process.draw(np.random.default_rng(1), 1000)
    assert waits.shape == (1000,)
    assert waits.dtype == np.float64
    assert np.isfinite(waits).all()
    assert (waits >= 0).all()
    np.testing.assert_array_equal(waits, process.draw(np.random.default_rng(1), 1000))
    assert process.draw(np.random.default_rng(1), 0).shape == (0,)
    assert process.n_jobs is None
    assert as_arrivals(process.name) == process
    assert as_arrivals(process) is process


def test_means() -> None:
    rng = np.random.default_rng(5)
    exact = Poisson(100.0).draw(rng, 200_000)
    assert exact.mean() == pytest.approx(100.0, rel=0.01)
    assert exact.std() == pytest.approx(100.0, rel=0.02)
    whole = Poisson(2.5, whole_us=True).draw(rng, 200_000)
    assert (whole == np.floor(whole)).all()
    # The mean of the floor of an exponential variable is 1 / (exp(1 / mean) - 1).
    assert whole.mean() == pytest.approx(1 / math.expm1(1 / 2.5), rel=0.01)
    bursty = Bursty(400.0, 20.0, 9_000.0, 1_000.0)
    assert bursty.mean_us == pytest.approx(10_000 / (22.5 + 50))
    waits = bursty.draw(rng, 400_000)
    assert waits.mean() == pytest.approx(bursty.mean_us, rel=0.03)
    assert waits.std() > 1.5 * waits.mean()  # of a Poisson process they are equal


def test_bursts_come_together() -> None:
    """Waits that follow a short one are shorter than those that follow a long one."""
    waits = Bursty(400.0, 20.0, 9_000.0, 1_000.0).draw(np.random.default_rng(2), 50_000)
    after_short = waits[1:][waits[:-1] < 30].mean()
    after_long = waits[1:][waits[:-1] > 300].mean()
    assert after_short < after_long / 2


def test_equal_states_are_a_poisson_process() -> None:
    waits = Bursty(50.0, 50.0, 1_000.0, 60.0).draw(np.random.default_rng(2), 100_000)
    assert waits.mean() == pytest.approx(50.0, rel=0.02)
    assert waits.std() == pytest.approx(50.0, rel=0.02)


def test_trace() -> None:
    trace = as_arrivals({"kind": "trace", "times_us": [3, 3, 10.5]})
    assert trace == Trace((3.0, 3.0, 10.5))
    assert trace.n_jobs == 3
    assert trace.mean_us == 3.75
    rng = np.random.default_rng(1)
    assert trace.draw(rng, 4).tolist() == [0.0, 7.5, math.inf, math.inf]
    assert trace.draw(rng, 1).tolist() == [0.0]
    assert Trace((4.0,)).draw(rng, 1).tolist() == [math.inf]


def test_trace_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("# us\n0\n\n2.5\n1e2\n", encoding="utf-8")
    trace = as_arrivals(f"trace:{path}")
    assert isinstance(trace, Trace)
    assert trace.times_us == (0.0, 2.5, 100.0)
    assert as_arrivals({"kind": "trace", "path": str(path)}) == trace
    assert as_arrivals(trace.name) == trace
    for text, message in (
        ("1\nx\n", "t.csv, line 2: must be the time of a job in us, got 'x'"),
        ("1\nnan\n", "t.csv, line 2: time must be a finite number from 0 on, got nan"),
        ("#\n4\n3\n", "t.csv, line 3: 3 is before the 4 of the job in front of it"),
        ("#\n", "t.csv: has no time"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=message):
            as_arrivals(f"trace:{path}")
    with pytest.raises(ConfigError, match=r"none.csv: cannot be read"):
        as_arrivals(f"trace:{tmp_path / 'none.csv'}")
    with pytest.raises(ConfigError, match=r"the name of its file is missing"):
        as_arrivals("trace:")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("poisson", "arrivals 'poisson': 'mean_us' is missing"),
        ("poisson:mean=3", "unknown field 'mean'. Did you mean 'mean_us'"),
        ("poisson:mean_us", "'mean_us' is not of the form field=value"),
        ("poisson:mean_us=3,mean_us=4", "'mean_us' is given twice"),
        ("poisson:mean_us=x", "poisson: mean_us must be a number from 0.001 to 1e.12, got 'x'"),
        ("poisson:mean_us=0", "poisson: mean_us must be a number from 0.001"),
        ("poisson:mean_us=nan", "poisson: mean_us must be a number from 0.001"),
        ("poisson:mean_us=3,whole_us=1", "poisson: whole_us must be True or False, got 1"),
        ({"kind": "deterministic"}, "'period_us' is missing"),
        ("bursty:calm_us=4,burst_us=8,calm_for_us=1,burst_for_us=1", "burst_us must be at most"),
        ("bursty:calm_us=8,burst_us=4,calm_for_us=1,burst_for_us=3", "burst_for_us must be at le"),
        ({"kind": "trace", "times_us": []}, "times_us must be a list of one or more"),
        ({"kind": "trace", "times_us": [2, 1]}, "time 2 is 1, before the 2 of the job"),
        (3, "arrivals are a text such as"),
    ],
)
def test_malformed_arrivals(spec: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        as_arrivals(spec)


def test_unknown_kind() -> None:
    with pytest.raises(
        UnknownNameError, match=r"kind of arrivals 'poison'. Did you mean 'poisson'"
    ):
        as_arrivals("poison:mean_us=3")
    with pytest.raises(UnknownNameError, match=r"unknown kind of arrivals None"):
        as_arrivals({"mean_us": 3})


def test_mix() -> None:
    mix = as_mix({"wifi_transmitter": 0.2, "wifi_receiver": 0.2, "lag_detection": 0.6})
    assert [graph.name for graph in mix.graphs] == [
        *("wifi_transmitter", "wifi_receiver", "lag_detection"),
    ]
    draws = mix.draw(np.random.default_rng(1), 50_000)
    shares = np.bincount(draws, minlength=3) / len(draws)
    np.testing.assert_allclose(shares, mix.probabilities, atol=0.01)
    np.testing.assert_array_equal(draws, mix.draw(np.random.default_rng(1), 50_000))
    assert as_mix(mix) is mix
    assert mix.name == "wifi_transmitter=0.2,wifi_receiver=0.2,lag_detection=0.6"


def test_forms_of_a_mix() -> None:
    canonical = load_task_graph("canonical")
    assert as_mix("canonical") == as_mix(canonical) == as_mix(["canonical"])
    assert as_mix(canonical.to_dict()) == as_mix([canonical])
    assert as_mix(["top_1", "top_2", "top_3", "top_4"]).probabilities == (0.25,) * 4


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "a mix must have one application or more"),
        ([], "a mix must have one application or more"),
        ({"top_1": 0.5, "top_2": 0.6}, "the probabilities must sum to 1, got 1.1"),
        ({"top_1": 1.5, "top_2": -0.5}, "probability of 'top_1' must be a number from 0 to 1"),
        (["top_1", "top_1"], "two applications have the name 'top_1'"),
        (3, "a mix of applications is the name of a task graph"),
    ],
)
def test_malformed_mix(spec: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        as_mix(spec)


def test_mix_needs_a_probability_each() -> None:
    graph = TaskGraph("g", ("a",), ())
    with pytest.raises(ConfigError, match=r"a probability for each of 1 applications, got 2"):
        Mix((graph,), (0.5, 0.5))
    with pytest.raises(UnknownNameError, match=r"unknown task graph 'top_11'. Did you mean"):
        as_mix({"top_11": 1.0})


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e9), min_size=1).map(sorted), st.integers(0, 40))
def test_waits_of_a_trace_lead_from_time_to_time(times: list[float], n: int) -> None:
    waits = Trace(tuple(times)).draw(np.random.default_rng(0), n)
    assert waits.shape == (n,)
    known = waits[: len(times) - 1]
    np.testing.assert_allclose(times[0] + np.cumsum(known), times[1 : n + 1], rtol=1e-9, atol=1e-6)
    assert np.isinf(waits[len(times) - 1 :]).all()


def test_number_of_draws_is_checked() -> None:
    with pytest.raises(ConfigError, match=r"number of draws must be a whole number from 0"):
        Poisson(1.0).draw(np.random.default_rng(0), -1)
