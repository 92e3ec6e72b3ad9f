"""Statistics against values from hand, from publications and from their laws."""

from __future__ import annotations

import itertools
import math
import statistics as standard
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archgym_py.errors import ConfigError
from archgym_py.evaluator import Trial
from archgym_py.pareto import ParetoArchive
from archgym_py.simulator import Status
from archgym_py.statistics import (
    Interval,
    Quartiles,
    area_under_curve,
    bootstrap_interval,
    ecdf,
    ecdf_at,
    expected_best_curve,
    expected_best_of,
    iqm,
    iqr,
    mean_ranks,
    performance_profile,
    performance_profile_band,
    probability_of_improvement,
    probability_of_improvement_interval,
    quartiles,
    step_at,
    value_range,
)

# Few levels, so that ties are common, among values of any size.
SCORE = st.integers(-3, 3).map(float) | st.floats(-1e6, 1e6)
SCORES = st.lists(SCORE, min_size=1, max_size=20)
NEAR = 1e-8
"""For sums of some values of SCORES."""

# Ages at which diabetes was diagnosed: the example of scipy.stats.mannwhitneyu, with U = 17.
MALES = [19, 22, 16, 29, 24]
FEMALES = [20, 11, 17, 12]


# ---- aggregates ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([7.0], 7.0),
        ([3.0, 1.0, 8.0], 4.0),  # floor(3 / 4) = 0 are left out
        ([100.0, 2.0, -50.0, 4.0], 3.0),
        ([9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 99.0], 4.6),  # 2, 3, 4, 5 and 9
        (range(8, 0, -1), 4.5),  # 3 to 6
        (np.arange(20) ** 2, 98.5),  # the squares of 5 to 14: 985 / 10
    ],
)
def test_interquartile_mean(scores: npt.ArrayLike, expected: float) -> None:
    assert iqm(scores) == pytest.approx(expected, rel=1e-14)


@given(SCORES, st.floats(-1e3, 1e3), st.randoms())
def test_laws_of_the_interquartile_mean(scores: list[float], shift: float, random: Any) -> None:
    middle = iqm(scores)
    assert min(scores) - NEAR <= middle <= max(scores) + NEAR
    assert iqm([score + shift for score in scores]) == pytest.approx(middle + shift, abs=1e-6)
    assert iqm(random.sample(scores, len(scores))) == middle
    cut = len(scores) // 4
    assert middle == pytest.approx(
        math.fsum(sorted(scores)[cut : len(scores) - cut]) / (len(scores) - 2 * cut), abs=NEAR
    )


def test_the_interquartile_mean_along_an_axis() -> None:
    table = np.random.default_rng(0).normal(size=(3, 9))
    assert iqm(table, axis=-1).tolist() == [iqm(row) for row in table]
    assert iqm(table, axis=0).tolist() == [iqm(column) for column in table.T]


def test_quartiles() -> None:
    # R: quantile(c(1, 2, 4, 8, 16)), at places 1, 2 and 3 counted from 0.
    assert quartiles([16.0, 1.0, 8.0, 2.0, 4.0]) == Quartiles(2.0, 4.0, 8.0)
    # 6 values: places 1.25, 2.5 and 3.75.
    assert quartiles([6, 7, 15, 36, 39, 40]) == (9.0, 25.5, 38.25)
    assert quartiles([5.0]) == (5.0, 5.0, 5.0)
    assert iqr([6, 7, 15, 36, 39, 40]) == 29.25
    assert value_range([6, 7, 15, 36, 39, 40]) == 34.0
    assert iqr([5.0]) == value_range([5.0]) == 0.0


@given(st.lists(SCORE, min_size=2, max_size=20))
def test_quartiles_are_those_of_the_standard_library(values: list[float]) -> None:
    assert quartiles(values) == pytest.approx(
        standard.quantiles(values, n=4, method="inclusive"), abs=NEAR
    )


# ---- distributions -------------------------------------------------------------------------------


def test_ecdf() -> None:
    x, share = ecdf([30, 10, 30, 20, 30])
    assert x.tolist() == [10.0, 20.0, 30.0]
    assert share.tolist() == [0.2, 0.4, 1.0]
    places = [[9.9, 10.0], [29.9, 31.0]]
    assert ecdf_at([30, 10, 30, 20, 30], places).tolist() == [[0.0, 0.2], [0.4, 1.0]]
    assert ecdf_at([1.0], 1.0).shape == ()


@given(SCORES, st.lists(SCORE, min_size=1))
def test_laws_of_the_ecdf(values: list[float], places: list[float]) -> None:
    x, share = ecdf(values)
    assert share[-1] == 1.0
    assert (np.diff(x) > 0).all()
    assert (np.diff(share) > 0).all()
    assert ecdf_at(values, x).tolist() == share.tolist()
    expected = [sum(value <= place for value in values) / len(values) for place in places]
    assert ecdf_at(values, places).tolist() == expected
    assert performance_profile(values, places) == pytest.approx(1.0 - np.array(expected))


def test_performance_profile() -> None:
    # A score that is equal to a threshold is not above it, and thresholds need no order.
    shares = performance_profile([0.0, 0.5, 0.5, 1.0, 1.0], [1.0, 0.5, 0.4, -1.0, 0.5])
    assert shares.tolist() == [0.0, 0.4, 0.8, 1.0, 0.4]


# ---- bootstrap -----------------------------------------------------------------------------------


def test_a_bootstrap_whose_distribution_is_known() -> None:
    # Sums of resamples: 0, 1 or 2 of the first stratum and 20, 30 or 40 of the second one, with
    # probabilities of 1/4, 1/2 and 1/4. The sum 20 has 1/16, 21 has 1/8, and so on.
    strata = [[1, 0], [10, 20]]
    assert bootstrap_interval(strata, np.mean, rng_seed=1) == Interval(7.75, 5.0, 10.5)
    assert bootstrap_interval(strata, np.mean, rng_seed=1, confidence=0.8) == Interval(
        7.75, 5.25, 10.25
    )
    # 6 of 20: the sums are binomial with p = 0.3. P(S <= 1) = 0.008, P(S <= 2) = 0.035,
    # P(S <= 9) = 0.952, P(S <= 10) = 0.983.
    runs = [1.0] * 6 + [0.0] * 14
    assert bootstrap_interval(runs, np.mean, rng_seed=2, resamples=20_000) == Interval(
        0.3, 0.1, 0.5
    )


@pytest.mark.parametrize("statistic", [np.mean, iqm, np.median])
def test_coverage_of_the_bootstrap(statistic: Callable[..., Any]) -> None:
    # Two tasks whose scores are apart: a bootstrap that mixes them has far too wide intervals for
    # the mean. The distribution is symmetric, so that all three statistics aim at 5.
    repetitions, runs = 400, 40
    rng = np.random.default_rng(5)
    hits = 0
    for repetition in range(repetitions):
        strata = [rng.normal(0.0, 1.0, runs), rng.normal(10.0, 1.0, runs)]
        if statistic is not np.mean:
            strata = [rng.normal(5.0, 2.0, runs), rng.normal(5.0, 1.0, runs)]
        interval = bootstrap_interval(strata, statistic, rng_seed=repetition, resamples=500)
        assert interval.low <= interval.estimate <= interval.high
        hits += interval.low <= 5.0 <= interval.high
    # 95 %, less the bias of sqrt(39 / 40) in the width and the noise of 500 resamples; three
    # standard deviations of a binomial are 3 %.
    assert 0.905 <= hits / repetitions <= 0.975


def test_strata_are_resampled_by_themselves() -> None:
    # Each stratum is constant, so that no resample differs from another one.
    strata = [[1.0] * 3, [5.0] * 9]
    assert bootstrap_interval(strata, np.mean, rng_seed=0) == Interval(4.0, 4.0, 4.0)
    assert bootstrap_interval(np.concatenate(strata), np.mean, rng_seed=0).low < 4.0


def test_the_bootstrap_depends_on_its_seed_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    strata = [rng.normal(size=size) for size in (5, 11, 8)]
    first = bootstrap_interval(strata, iqm, rng_seed=3)
    assert bootstrap_interval(strata, iqm, rng_seed=3) == first
    assert bootstrap_interval([part[::-1] for part in strata], iqm, rng_seed=3) == first
    assert bootstrap_interval(strata, iqm, rng_seed=4) != first
    band = performance_profile_band(strata, [-1.0, 0.0, 1.0], rng_seed=3)
    monkeypatch.setattr("archgym_py.statistics._BLOCK", 1000)  # 41 resamples at a time
    assert bootstrap_interval(strata, iqm, rng_seed=3) == first
    blocks = performance_profile_band(strata, [-1.0, 0.0, 1.0], rng_seed=3)
    assert blocks.low.tolist() == band.low.tolist()
    assert blocks.high.tolist() == band.high.tolist()


def test_a_statistic_sees_many_resamples_at_a_time() -> None:
    shapes = []

    def mean(scores: npt.NDArray[np.float64], axis: int) -> Any:
        shapes.append(scores.shape)
        return scores.mean(axis=axis)

    bootstrap_interval(np.ones((10, 100)), mean, rng_seed=0)
    assert sorted(shapes) == [(1, 1000), (2000, 1000)]


def test_higher_confidence_is_a_wider_interval() -> None:
    scores = np.random.default_rng(0).normal(size=30)
    narrow, wide = (
        bootstrap_interval(scores, iqm, rng_seed=0, confidence=confidence)
        for confidence in (0.5, 0.99)
    )
    assert wide.low < narrow.low < narrow.high < wide.high
    assert wide.estimate == narrow.estimate == iqm(scores)


def test_the_band_of_a_performance_profile() -> None:
    # 0.5 is above one run of the first stratum: none, one or two of a resample's four runs.
    thresholds = [2.5, 0.5, -1.0, 2.5, 9.0]
    band = performance_profile_band([[0.0, 1.0], [2.0, 2.0]], thresholds, rng_seed=0)
    assert band.estimate.tolist() == [0.0, 0.75, 1.0, 0.0, 0.0]
    assert band.low.tolist() == [0.0, 0.5, 1.0, 0.0, 0.0]
    assert band.high.tolist() == [0.0, 1.0, 1.0, 0.0, 0.0]


@given(st.lists(SCORES, min_size=1, max_size=3), SCORES)
def test_the_band_has_the_profile_of_all_runs(
    strata: list[list[float]], thresholds: list[float]
) -> None:
    band = performance_profile_band(strata, thresholds, rng_seed=0, resamples=100)
    pooled = list(itertools.chain(*strata))
    assert band.estimate.tolist() == performance_profile(pooled, thresholds).tolist()
    assert (band.low >= 0.0).all()
    assert (band.low <= band.high).all()
    assert (band.high <= 1.0).all()


def test_the_band_is_the_interval_of_a_share() -> None:
    scores = np.random.default_rng(0).normal(size=(2, 25))
    band = performance_profile_band(scores, [0.3], rng_seed=7)
    above = bootstrap_interval((scores > 0.3).astype(float), np.mean, rng_seed=7)
    assert (band.estimate[0], band.low[0], band.high[0]) == pytest.approx(
        (above.estimate, above.low, above.high)
    )


# ---- probability of improvement ------------------------------------------------------------------


def test_probability_of_improvement() -> None:
    assert probability_of_improvement(MALES, FEMALES) == 17 / 20
    assert probability_of_improvement([2.0, 2.0], [2.0]) == 0.5
    assert probability_of_improvement([0.0, 1.0, 2.0], [2.0, 0.0]) == 0.5  # 0.5, 1 and 1.5 of 2
    # The tasks count alike, whatever their numbers of runs.
    assert probability_of_improvement((MALES, [1]), (FEMALES, [2])) == 17 / 40


@given(SCORES, SCORES)
def test_laws_of_the_probability_of_improvement(x: list[float], y: list[float]) -> None:
    better = probability_of_improvement(x, y)
    pairs = [(a > b) + 0.5 * (a == b) for a, b in itertools.product(x, y)]
    assert better == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)
    assert better + probability_of_improvement(y, x) == pytest.approx(1.0, abs=1e-12)
    assert probability_of_improvement(x, x) == 0.5
    assert probability_of_improvement([x, x], [y, x]) == pytest.approx((better + 0.5) / 2)


def test_the_interval_of_the_probability_of_improvement() -> None:
    # Resamples of x beat y twice, once or never with probabilities of 1/4, 1/2 and 1/4.
    interval = probability_of_improvement_interval([1.0, 3.0], [2.0], rng_seed=0)
    assert interval == Interval(0.5, 0.0, 1.0)
    narrow = probability_of_improvement_interval([1.0, 3.0], [2.0], rng_seed=0, confidence=0.4)
    assert narrow == Interval(0.5, 0.5, 0.5)
    tasks = ([[1.0, 3.0], [5.0]], [[2.0], [4.0]])
    assert probability_of_improvement_interval(*tasks, rng_seed=0) == Interval(0.75, 0.5, 1.0)
    # The other agent's runs are resampled, too.
    assert probability_of_improvement_interval([2.0], [1.0, 3.0], rng_seed=0).low == 0.0


def test_coverage_of_the_probability_of_improvement() -> None:
    # X - Y is normal with mean 1 and variance 2: P(X > Y) = Phi(1 / sqrt(2)) = 0.760.
    truth = 0.5 * (1.0 + math.erf(0.5))
    assert truth == pytest.approx(0.760, abs=5e-4)
    rng = np.random.default_rng(11)
    hits = 0
    for repetition in range(300):
        x, y = rng.normal(1.0, 1.0, (2, 20)), rng.normal(0.0, 1.0, (2, 20))
        interval = probability_of_improvement_interval(x, y, rng_seed=repetition, resamples=400)
        hits += interval.low <= truth <= interval.high
    assert 0.89 <= hits / 300 <= 0.98


# ---- what tuning buys ----------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 5, 7])
def test_the_expected_best_is_the_mean_over_all_subsets(n: int) -> None:
    values = np.random.default_rng(n).normal(size=n).round(1)
    for k in range(1, n + 1):
        best = [max(subset) for subset in itertools.combinations(values, k)]
        assert expected_best_of(values, k) == pytest.approx(sum(best) / len(best))


@pytest.mark.parametrize("n", [10, 5000])
def test_the_expected_best_of_serial_numbers(n: int) -> None:
    # The maximum of k of the numbers 1 to n has the mean k (n + 1) / (k + 1), by which the number
    # of tanks was estimated (Goodman, "Serial Number Analysis", JASA 47, 1952).
    for k in (1, 2, n // 3, n // 2, n - 1, n):
        expected = k * (n + 1) / (k + 1)
        assert expected_best_of(np.arange(1, n + 1), k) == pytest.approx(expected, rel=1e-11)


@given(SCORES)
def test_laws_of_the_expected_best(values: list[float]) -> None:
    curve = expected_best_curve(values)
    assert curve.shape == (len(values),)
    assert curve.tolist() == [expected_best_of(values, k) for k in range(1, len(values) + 1)]
    assert curve[0] == pytest.approx(math.fsum(values) / len(values), abs=NEAR)
    assert curve[-1] == max(values)
    assert (np.diff(curve) >= -NEAR).all()
    assert (curve <= max(values)).all()


def test_equal_configurations_have_an_exact_expectation() -> None:
    assert expected_best_curve([0.1] * 7).tolist() == [0.1] * 7


# ---- best-so-far curves --------------------------------------------------------------------------


def test_steps() -> None:
    at = [[1, 2, 3], [100, 7, 6]]
    expected = [[-1.0, 0.0, 0.0], [2.0, 2.0, 0.0]]
    assert step_at([2, 7], [0.0, 2.0], at, before=-1.0).tolist() == expected
    assert step_at([1], [3.0], 1, before=-1.0).tolist() == 3.0
    assert step_at([], [], [1, 99], before=-1.0).tolist() == [-1.0, -1.0]


@pytest.mark.parametrize(
    ("samples", "values", "budget", "log", "expected"),
    [
        ([1, 10, 100], [1.0, 2.0, 4.0], 1000, True, 7 / 3),  # a decade each
        ([10, 100], [1.0, 3.0], 10_000, True, (0.0 + 1.0 + 2 * 3.0) / 4),
        ([2, 4], [1.0, 2.0], 8, True, 1.0),  # an octave each: 0, 1 and 2
        ([11, 51], [0.5, 1.0], 101, False, 0.7),  # 10 x 0, 40 x 0.5 and 50 x 1 of 100
        ([1], [5.0], 2, True, 5.0),
        ([1], [5.0], 2, False, 5.0),
        ([100], [1.0], 100, True, 0.0),  # found with the last sample
        ([10, 2000], [1.0, 9.0], 100, True, 0.5),  # what comes later does not count
        ([], [], 50, True, 0.0),
    ],
)
def test_area_under_curve(
    samples: list[int], values: list[float], budget: int, log: bool, expected: float
) -> None:
    area = area_under_curve(samples, values, budget=budget, before=0.0, log=log)
    assert area == pytest.approx(expected, abs=1e-12)


def test_the_axis_is_logarithmic_unless_said_otherwise() -> None:
    assert area_under_curve([10], [1.0], budget=100, before=0.0) == pytest.approx(0.5)


@given(
    st.lists(st.integers(1, 60), unique=True, max_size=8).map(sorted),
    st.lists(SCORE, min_size=9, max_size=9).map(sorted),
    st.integers(2, 60),
)
def test_the_area_is_that_of_the_steps(
    samples: list[int], heights: list[float], budget: int
) -> None:
    before, values = heights[0], heights[1 : len(samples) + 1]
    numbers = np.arange(1, budget)
    curve = step_at(samples, values, numbers, before=before)
    linear = area_under_curve(samples, values, budget=budget, before=before, log=False)
    assert linear == pytest.approx(curve.mean(), abs=NEAR)
    widths = np.log((numbers + 1) / numbers) / np.log(budget)
    log = area_under_curve(samples, values, budget=budget, before=before)
    assert log == pytest.approx(curve @ widths, abs=NEAR)
    assert log <= linear + NEAR  # it looks more at the beginning, where the curve is lower


# ---- ranks ---------------------------------------------------------------------------------------


def test_mean_ranks() -> None:
    # The ranks of 0, 2, 3, 2 are 1, 2.5, 4, 2.5, as in the example of scipy.stats.rankdata.
    assert mean_ranks([[-0.0], [-2.0], [-3.0], [-2.0]]).tolist() == [1.0, 2.5, 4.0, 2.5]
    assert mean_ranks([[1.0, 1.0, 1.0], [1.0, 0.0, 2.0]]).tolist() == [1.5, 1.5]
    assert mean_ranks([[5.0, 4.0], [7.0, 4.0], [6.0, 4.0]]).tolist() == [2.5, 1.5, 2.0]


@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.tuples(*[SCORE] * n), min_size=1)))
def test_laws_of_mean_ranks(scores: list[tuple[float, ...]]) -> None:
    ranks = mean_ranks(scores)
    agents = len(scores)
    assert ranks.sum() == pytest.approx(agents * (agents + 1) / 2)
    # The rank is the mean of the places of equal scores in the order of a column.
    columns = [sorted(column, reverse=True) for column in zip(*scores, strict=True)]
    for agent, rank in zip(scores, ranks, strict=True):
        places = [
            column.index(score) + (column.count(score) + 1) / 2
            for score, column in zip(agent, columns, strict=True)
        ]
        assert rank == pytest.approx(sum(places) / len(places))


# ---- hypervolume ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rewards", "volume"),
    [
        # Strips above each other: 5 x 1, 2 x 2 and 1 x 1; the last point adds nothing.
        ([(1.0, 4.0), (2.0, 3.0), (5.0, 1.0), (1.0, 1.0)], 10.0),
        # Three boxes of 6; any two share a volume of 2, and all three the unit cube.
        ([(1.0, 2.0, 3.0), (3.0, 1.0, 2.0), (2.0, 3.0, 1.0)], 18.0 - 3 * 2.0 + 1.0),
    ],
)
def test_hypervolume(rewards: list[tuple[float, ...]], volume: float) -> None:
    origin = (0.0,) * len(rewards[0])
    archive = ParetoArchive(origin)
    for index, vector in enumerate(rewards):
        archive.add(Trial(index, {}, str(index), Status.OK, "", {}, 0.0, vector, False, 0.0, 0))
    assert archive.hypervolume() == pytest.approx(volume)


# ---- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        iqm,
        quartiles,
        iqr,
        value_range,
        ecdf,
        expected_best_curve,
        mean_ranks,
        lambda values: ecdf_at(values, [0.0]),
        lambda values: ecdf_at([0.0], values),
        lambda values: performance_profile(values, [0.0]),
        lambda values: performance_profile([0.0], values),
        lambda values: performance_profile_band([[0.0]], values, rng_seed=0),
        lambda values: performance_profile_band([[0.0], values], [0.0], rng_seed=0),
        lambda values: bootstrap_interval([[0.0], values], iqm, rng_seed=0),
        lambda values: probability_of_improvement([[0.0], values], [[0.0], [0.0]]),
        lambda values: probability_of_improvement([0.0], values),
        lambda values: expected_best_of(values, 1),
        lambda values: step_at([1], [1.0], values, before=0.0),
    ],
)
@pytest.mark.parametrize(
    "values",
    [
        [],
        [1.0, math.nan],
        [math.inf],
        ["1.0"],
        [None],
        [True],
        [1j],
        None,
    ],
    ids=repr,
)
def test_what_are_no_scores(function: Callable[[Any], object], values: Any) -> None:
    with pytest.raises(ConfigError, match=r"must (be|hold) "):
        function(values)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: iqm([1.0, math.nan]), r"scores must be finite numbers, got nan\. Leave out"),
        (lambda: iqm([]), r"scores must hold at least one number, got the shape \(0,\)\."),
        (lambda: iqm([[1.0]]), r"scores must be a 1-D array, got the shape \(1, 1\)\."),
        (lambda: iqm([[1.0], [2.0, 3.0]]), "scores must be .* got sequences of different lengths"),
        (lambda: mean_ranks([1.0]), r"scores must be a 2-D array, got the shape \(1,\)\."),
        (lambda: quartiles(["7"]), r"values must be an array of numbers, got values of type <U1"),
        (
            lambda: bootstrap_interval([[1.0], [math.inf]], iqm, rng_seed=0),
            r"strata\[1\] must be finite numbers, got inf\.",
        ),
        (lambda: bootstrap_interval([], iqm, rng_seed=0), "at least one stratum, got none"),
        (
            lambda: bootstrap_interval(1.0, iqm, rng_seed=0),
            r"strata must be a sequence of 1-D arrays, one for each stratum, got 1\.0\.",
        ),
        (
            lambda: bootstrap_interval([1.0], iqm, rng_seed=-1),
            "rng_seed must be a whole number from 0 to ",
        ),
        (
            lambda: bootstrap_interval([1.0], iqm, rng_seed=0, resamples=99),
            "resamples must be a whole number from 100 to 1000000000, got 99",
        ),
        (
            lambda: bootstrap_interval([1.0], iqm, rng_seed=0, confidence=95),
            "confidence must be a number from 0 to 1, got 95",
        ),
        (
            lambda: bootstrap_interval([1.0], iqm, rng_seed=0, confidence=1.0),
            r"confidence must lie between 0 and 1 and be neither, got 1\.0\. Give 0\.95",
        ),
        (
            lambda: bootstrap_interval(np.ones((2, 1, 1)), iqm, rng_seed=0),
            r"strata\[0\] must be a 1-D array, got the shape \(1, 1\)\.",
        ),
        (
            lambda: bootstrap_interval([1.0], lambda scores, **_: scores.mean(), rng_seed=0),
            r"statistic must return a number for each row .* got the shape \(\) for \(2000, 1\)\.",
        ),
        (
            lambda: bootstrap_interval(
                [1.0], lambda scores, **_: scores[:, 0] * np.nan, rng_seed=0
            ),
            "statistic must return finite numbers",
        ),
        (
            lambda: probability_of_improvement([[1.0], [2.0]], [[1.0]]),
            r"x and y must have the same tasks, got 2 of x and 1 of y\.",
        ),
        (lambda: expected_best_of([1.0, 2.0], 0), "k must be a whole number from 1 to 2, got 0"),
        (lambda: expected_best_of([1.0, 2.0], 3), "k must be a whole number from 1 to 2, got 3"),
        (lambda: expected_best_of([1.0, 2.0], True), "k must be a whole number from 1 to 2"),
        (
            lambda: step_at([0, 3], [1.0, 2.0], [1], before=0.0),
            r"samples must be whole numbers from 1 on, got int64 from 0 on\. The first sample is",
        ),
        (
            lambda: step_at([1.0], [1.0], [1], before=0.0),
            r"samples must be whole numbers from 1 on, got float64 from 1\.0 on",
        ),
        (lambda: step_at([1], [1.0], [0], before=0.0), "at must be whole numbers from 1 on"),
        (lambda: step_at([4, 4], [1.0, 2.0], [1], before=0.0), "must ascend, got 4 after 4"),
        (lambda: step_at([9, 4], [1.0, 2.0], [1], before=0.0), "must ascend, got 4 after 9"),
        (
            lambda: step_at([1, 2], [1.0], [1], before=0.0),
            r"samples and values must be 1-D arrays of the same length, got .* \(2,\) and \(1,\)\.",
        ),
        (
            lambda: step_at([1, 2], [2.0, 1.0], [1], before=0.0),
            r"a best-so-far curve must not fall, got 1\.0 after 2\.0\.",
        ),
        (
            lambda: step_at([1], [-0.5], [1], before=0.0),
            r"a best-so-far curve must not fall, got -0\.5 after 0\.0\. .* for before a score",
        ),
        (lambda: step_at([1], [1.0], [1], before=math.nan), "before must be a finite number"),
        (
            lambda: area_under_curve([1], [1.0], budget=1, before=0.0),
            "budget must be a whole number from 2 to ",
        ),
        (
            lambda: area_under_curve([1], [1.0], budget=9, before=0.0, log="linear"),  # type: ignore[arg-type]
            "log must be True or False, got 'linear'",
        ),
    ],
)
def test_messages(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        call()
