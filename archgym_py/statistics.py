"""Statistics of experiments: how good agents are over many runs, and how sure that is.

A *score* is a finite number that says how good a run's result is: larger is better. Rewards are
scores; a cost that is minimised becomes one with its sign turned. A *stratum* is the scores of the
runs that differ in nothing but their seed or their configuration, such as those of one task.

    >>> runs = [[0.9, 1.0, 1.3], [0.4, 0.7, 0.5]]  # of one agent on two workloads
    >>> bootstrap_interval(runs, iqm, rng_seed=0)
    Interval(estimate=0.775, low=0.675, high=0.925)
    >>> probability_of_improvement(runs, [[0.8, 0.9, 1.1], [0.6, 0.4, 0.2]])
    0.7222222222222222

All functions are pure: arrays in, numbers out. What is drawn at random depends on `rng_seed`, on
the order of the strata and on their scores, and on nothing else, not even on the order of the runs.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from archgym_py.checks import flag, integer, number
from archgym_py.errors import ConfigError

__all__ = [
    "Band",
    "Interval",
    "Quartiles",
    "Statistic",
    "Strata",
    "area_under_curve",
    "bootstrap_interval",
    "ecdf",
    "ecdf_at",
    "expected_best_curve",
    "expected_best_of",
    "iqm",
    "iqr",
    "mean_ranks",
    "performance_profile",
    "performance_profile_band",
    "probability_of_improvement",
    "probability_of_improvement_interval",
    "quartiles",
    "step_at",
    "value_range",
]

_Floats: TypeAlias = npt.NDArray[np.float64]
_Ints: TypeAlias = npt.NDArray[np.int64]

Strata: TypeAlias = npt.ArrayLike | Sequence[npt.ArrayLike]
"""A sequence of strata, each a 1-D array of scores; their lengths may differ.

A 2-D array has a stratum in each row. A single 1-D array is one stratum.
"""

Statistic: TypeAlias = Callable[..., Any]
"""Called as `statistic(scores, axis=-1)` with an array of shape (rows, runs).

It returns a finite number for each row: `iqm`, `numpy.mean`, `numpy.median` and the like.
"""

_MIN_RESAMPLES = 100
_MAX_SEED = 2**63 - 1
_BLOCK = 2**22
"""Scores that are resampled at a time: 32 MiB of them, and as much of their places."""


# --- Aggregates ----------------------------------------------------------------------------------


@overload
def iqm(scores: npt.ArrayLike) -> float: ...
@overload
def iqm(scores: npt.ArrayLike, *, axis: int) -> _Floats: ...
def iqm(scores: npt.ArrayLike, *, axis: int | None = None) -> float | _Floats:
    """Return the interquartile mean: the mean without the lowest and the highest quarter.

    Of n scores, floor(n / 4) are left out at each end, as `scipy.stats.trim_mean(scores, 0.25)`
    does. It is less sensitive to outliers than the mean and needs fewer runs than the median
    (Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice",
    NeurIPS 2021).

    Args:
        scores: Shape (runs,) without an axis, any shape with one.
        axis: The axis of the runs; None for the only one.

    Returns:
        A number, or an array without the axis.

    Raises:
        ConfigError: If there is no score, or one is no finite number.

    Examples:
        >>> iqm([1.0, 2.0, 3.0, 4.0, 100.0])  # the mean of 2, 3 and 4
        3.0
        >>> iqm([[1.0, 2.0, 4.0, 9.0], [5.0, 5.0, 7.0, 0.0]], axis=-1)
        array([3., 5.])
    """
    if axis is None:
        return float(iqm(_finite("scores", scores), axis=-1))
    ordered = np.moveaxis(np.sort(_finite("scores", scores, ndim=None), axis=axis), axis, -1)
    cut = ordered.shape[-1] // 4
    middle: _Floats = ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1)
    return middle


class Quartiles(NamedTuple):
    """The three values that cut ordered values into quarters."""

    q1: float
    median: float
    q3: float


def quartiles(values: npt.ArrayLike) -> Quartiles:
    """Return first quartile, median and third quartile, between two values in proportion.

    The quantile of a share p of n ordered values lies at place (n - 1) p, counted from 0: type 7 of
    Hyndman and Fan, "Sample Quantiles in Statistical Packages", The American Statistician 50, 1996.

    Args:
        values: Shape (n,).

    Raises:
        ConfigError: If there is no value, or one is no finite number.

    Examples:
        >>> quartiles([4.0, 1.0, 2.0, 3.0])
        Quartiles(q1=1.75, median=2.5, q3=3.25)
    """
    q1, median, q3 = np.quantile(_finite("values", values), (0.25, 0.5, 0.75)).tolist()
    return Quartiles(q1, median, q3)


def iqr(values: npt.ArrayLike) -> float:
    """Return the interquartile range: third less first quartile, in the unit of the values.

    Args:
        values: Shape (n,).

    Raises:
        ConfigError: If there is no value, or one is no finite number.

    Examples:
        >>> iqr([4.0, 1.0, 2.0, 3.0])
        1.5
    """
    q1, _, q3 = quartiles(values)
    return q3 - q1


def value_range(values: npt.ArrayLike) -> float:
    """Return the range: largest less smallest value, in the unit of the values.

    Args:
        values: Shape (n,).

    Raises:
        ConfigError: If there is no value, or one is no finite number.

    Examples:
        >>> value_range([4.0, 1.0, 2.0, 3.0])
        3.0
    """
    return float(np.ptp(_finite("values", values)))


# --- Distributions -------------------------------------------------------------------------------


def ecdf(values: npt.ArrayLike) -> tuple[_Floats, _Floats]:
    """Return the steps of the empirical distribution: F(x) is the share of values up to x.

    Args:
        values: Shape (n,).

    Returns:
        The distinct values, ascending, and F at each of them; the last is 1. Both have a shape
        (m,), m <= n. F is constant from a step to the next one, and 0 before the first.

    Raises:
        ConfigError: If there is no value, or one is no finite number.

    Examples:
        >>> ecdf([3.0, 1.0, 3.0, 2.0])
        (array([1., 2., 3.]), array([0.25, 0.5 , 1.  ]))
    """
    array = _finite("values", values)
    steps, counts = np.unique(array, return_counts=True)
    return steps, np.cumsum(counts) / array.size


def ecdf_at(values: npt.ArrayLike, x: npt.ArrayLike) -> _Floats:
    """Return the empirical distribution at some places: the share of values up to each of them.

    Args:
        values: Shape (n,).
        x: The places, of any shape.

    Returns:
        Shares from 0 to 1, in the shape of `x`.

    Raises:
        ConfigError: If there is no value or place, or one is no finite number.

    Examples:
        >>> ecdf_at([3.0, 1.0, 3.0, 2.0], [0.9, 1.0, 2.5, 3.0])
        array([0.  , 0.25, 0.5 , 1.  ])
    """
    ordered = np.sort(_finite("values", values))
    places = _finite("x", x, ndim=None)
    return np.asarray(np.searchsorted(ordered, places, side="right") / ordered.size)


def performance_profile(scores: npt.ArrayLike, thresholds: npt.ArrayLike) -> _Floats:
    """Return the share of runs whose score is above each threshold.

    A profile that lies above another one at every threshold belongs to the better agent (Dolan and
    Moré, "Benchmarking Optimization Software with Performance Profiles", Mathematical Programming
    91, 2002). As in Agarwal et al., NeurIPS 2021, the share is of runs, not of tasks, and a score
    that is equal to a threshold is not above it.

    Args:
        scores: Shape (runs,).
        thresholds: Scores in any order, shape (t,).

    Returns:
        Shares from 0 to 1, shape (t,).

    Raises:
        ConfigError: If there is no score or threshold, or one is no finite number.

    Examples:
        >>> performance_profile([0.2, 0.5, 0.5, 0.9], [0.0, 0.5, 0.8, 1.0])
        array([1.  , 0.25, 0.25, 0.  ])
    """
    ordered = np.sort(_finite("scores", scores))
    reached = np.searchsorted(ordered, _finite("thresholds", thresholds), side="right")
    return np.asarray((ordered.size - reached) / ordered.size)


# --- Bootstrap -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Interval:
    """A statistic with its confidence interval.

    Attributes:
        estimate: The statistic of all runs.
        low: Lower end of the interval.
        high: Upper end.
    """

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single answer to `==`
class Band:
    """A curve with a confidence interval at each of its points.

    Attributes:
        estimate: The curve of all runs, shape (t,).
        low: Lower ends of the intervals, shape (t,).
        high: Upper ends, shape (t,).
    """

    estimate: _Floats
    low: _Floats
    high: _Floats


def bootstrap_interval(
    strata: Strata,
    statistic: Statistic,
    *,
    rng_seed: int,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> Interval:
    """Return a statistic of the pooled runs with its stratified percentile bootstrap interval.

    A resample draws from every stratum as many runs as it has, with replacement; the interval
    reaches from the (1 - c) / 2 to the (1 + c) / 2 quantile of the statistic over the resamples, c
    being the confidence (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter
    13; with strata, Agarwal et al., NeurIPS 2021). A run counts alike in every stratum, so that
    larger strata weigh more.

    The interval is about other runs of the same strata, not about other tasks. With n runs in each
    stratum it is too narrow by a factor of about sqrt((n - 1) / n), so that with few runs it holds
    the truth less often than c says; strata of a single run give it no width at all, which says
    nothing about precision. The estimate need not lie inside.

    Args:
        strata: The scores.
        statistic: Called as `statistic(scores, axis=-1)` with scores of shape (rows, runs).
        rng_seed: Seed of the resampling, from 0 on.
        resamples: Their number, from 100 on.
        confidence: Between 0 and 1.

    Raises:
        ConfigError: If there is no stratum or an empty one, a score is no finite number, an
            argument is out of its range, or the statistic returns something else than a finite
            number for each row.

    Examples:
        >>> bootstrap_interval([[0.0, 1.0], [10.0, 20.0]], np.mean, rng_seed=0)
        Interval(estimate=7.75, low=5.0, high=10.5)
    """

    def of_rows(rows: npt.NDArray[Any]) -> _Floats:
        results = _array("the results of statistic", statistic(rows, axis=-1))
        if results.shape != rows.shape[:1]:
            raise ConfigError(
                "statistic must return a number for each row of a 2-D array when it is called with "
                f"axis=-1, got the shape {results.shape} for {rows.shape}."
            )
        if not np.isfinite(results).all():
            raise ConfigError(
                "statistic must return finite numbers, got others for some resamples."
            )
        return results.astype(np.float64)

    estimate, low, high = _bootstrap(
        _strata("strata", strata), of_rows, rng_seed, resamples, confidence
    )
    return Interval(float(estimate), float(low), float(high))


def performance_profile_band(
    strata: Strata,
    thresholds: npt.ArrayLike,
    *,
    rng_seed: int,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> Band:
    """Return the performance profile of the pooled runs with stratified bootstrap intervals.

    The intervals are pointwise: each of them covers its point with the given confidence, not all
    points at once.

    Args:
        strata: The scores.
        thresholds: Scores in any order, shape (t,).
        rng_seed: As for `bootstrap_interval`.
        resamples: Likewise.
        confidence: Likewise.

    Returns:
        Shares from 0 to 1, at each threshold.

    Raises:
        ConfigError: As `bootstrap_interval` and `performance_profile`.

    Examples:
        >>> band = performance_profile_band([[0.0, 1.0], [2.0, 3.0]], [-1.0, 1.5, 2.5], rng_seed=0)
        >>> band.estimate, band.low, band.high
        (array([1.  , 0.5 , 0.25]), array([1. , 0.5, 0. ]), array([1. , 0.5, 0.5]))
    """
    levels, places = np.unique(_finite("thresholds", thresholds), return_inverse=True)
    # All that matters of a score is how many levels it is above, which is quick to count.
    passed = [np.searchsorted(levels, scores) for scores in _strata("strata", strata)]

    def shares_above(rows: npt.NDArray[Any]) -> _Floats:
        up_to = np.cumsum(_counts(rows, levels.size + 1), axis=1)[:, places]
        return np.asarray((rows.shape[1] - up_to) / rows.shape[1])

    return Band(*_bootstrap(passed, shares_above, rng_seed, resamples, confidence))


def probability_of_improvement(x: Strata, y: Strata) -> float:
    """Return the probability that a run of one agent is better than a run of another one.

    P(X > Y) + P(X = Y) / 2 over all pairs of runs: the Mann-Whitney U statistic over the number of
    pairs (Mann and Whitney, Annals of Mathematical Statistics 18, 1947). With several tasks, their
    mean (Agarwal et al., NeurIPS 2021). It says how often, not by how much.

    Args:
        x: Scores of one agent: of a task, shape (runs,), or a stratum for each task.
        y: Scores of the other one, on the same tasks; the numbers of runs may differ.

    Returns:
        From 0 to 1; 0.5 for equal agents.

    Raises:
        ConfigError: If there is no task or one without runs, a score is no finite number, or the
            numbers of tasks differ.

    Examples:
        >>> probability_of_improvement([1.0, 3.0], [0.0, 1.0, 2.0])  # 1.5 of 3, and 3 of 3
        0.75
        >>> probability_of_improvement([[1.0, 3.0], [5.0]], [[0.0, 1.0, 2.0], [5.0]])
        0.625
    """
    strata, mean_over_tasks = _duels(x, y)
    return float(mean_over_tasks(np.concatenate(strata)[None])[0])


def probability_of_improvement_interval(
    x: Strata,
    y: Strata,
    *,
    rng_seed: int,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> Interval:
    """Return the probability of improvement with its stratified bootstrap interval.

    Both agents' runs are resampled, on their own and within each task.

    Args:
        x: As for `probability_of_improvement`.
        y: Likewise.
        rng_seed: As for `bootstrap_interval`.
        resamples: Likewise.
        confidence: Likewise.

    Raises:
        ConfigError: As `bootstrap_interval` and `probability_of_improvement`.

    Examples:
        >>> probability_of_improvement_interval([3.0, 4.0], [1.0, 2.0], rng_seed=0)
        Interval(estimate=1.0, low=1.0, high=1.0)
    """
    strata, mean_over_tasks = _duels(x, y)
    estimate, low, high = _bootstrap(strata, mean_over_tasks, rng_seed, resamples, confidence)
    return Interval(float(estimate), float(low), float(high))


def _duels(x: Strata, y: Strata) -> tuple[list[_Ints], Callable[[npt.NDArray[Any]], _Floats]]:
    """Prepare two agents' scores for counting who is better.

    Returns:
        The ranks of x and of y in each task in turns, and the function that takes rows of all these
        ranks, shape (rows, runs), to mean probabilities of improvement, shape (rows,).
    """
    ours, theirs = _strata("x", x), _strata("y", y)
    if len(ours) != len(theirs):
        raise ConfigError(
            f"x and y must have the same tasks, got {len(ours)} of x and {len(theirs)} of y. Give "
            "the runs of both agents on each task that both have."
        )
    ranks: list[_Ints] = []
    levels: list[int] = []
    for mine, yours in zip(ours, theirs, strict=True):
        # Who is better depends on the order of the scores only, and ranks are quick to count.
        distinct, places = np.unique(np.concatenate((mine, yours)), return_inverse=True)
        ranks += np.split(places, [mine.size])
        levels.append(distinct.size)
    ends = np.cumsum([part.size for part in ranks])[:-1]

    def mean_over_tasks(rows: npt.NDArray[Any]) -> _Floats:
        parts = np.split(rows, ends, axis=1)
        tasks = zip(parts[::2], parts[1::2], levels, strict=True)
        return np.asarray(np.mean([_improvement(*task) for task in tasks], axis=0))

    return ranks, mean_over_tasks


def _improvement(x: _Ints, y: _Ints, levels: int) -> _Floats:
    """Return P(X > Y) + P(X = Y) / 2 of ranks below `levels`, in each row of x and y."""
    of_x, of_y = _counts(x, levels), _counts(y, levels)
    below = np.cumsum(of_y, axis=1) - of_y
    twice = (of_x * (2 * below + of_y)).sum(axis=1)  # whole numbers up to here
    return np.asarray(twice / (2 * x.shape[1] * y.shape[1]))


def _counts(ranks: _Ints, levels: int) -> _Ints:
    """Return how often each rank below `levels` occurs in each row, shape (rows, levels)."""
    rows = len(ranks)
    of_row = ranks + levels * np.arange(rows)[:, None]
    return np.bincount(of_row.ravel(), minlength=rows * levels).reshape(rows, levels)


def _bootstrap(
    strata: Sequence[npt.NDArray[Any]],
    statistic: Callable[[npt.NDArray[Any]], _Floats],
    rng_seed: int,
    resamples: int,
    confidence: float,
) -> tuple[_Floats, _Floats, _Floats]:
    """Return a statistic of the pooled strata, with the ends of its percentile interval.

    The statistic takes rows of pooled runs, in the order of the strata, to a value for each row,
    which may be an array.
    """
    rng = np.random.default_rng(integer("rng_seed", rng_seed, 0, _MAX_SEED))
    resamples = integer("resamples", resamples, _MIN_RESAMPLES, 10**9)
    confidence = number("confidence", confidence, 0.0, 1.0)
    if confidence in (0.0, 1.0):
        raise ConfigError(
            f"confidence must lie between 0 and 1 and be neither, got {confidence}. Give 0.95 for "
            "an interval of 95 %."
        )
    blocks = list(map(statistic, _resampled(strata, rng, resamples)))
    tails = ((1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0)
    low, high = np.quantile(np.concatenate(blocks), tails, axis=0)
    return statistic(np.concatenate(strata)[None])[0], low, high


def _resampled(
    strata: Sequence[npt.NDArray[Any]], rng: np.random.Generator, resamples: int
) -> Iterator[npt.NDArray[Any]]:
    """Yield resamples of the pooled strata as the rows of arrays that fit into memory."""
    pooled = np.concatenate(strata)
    sizes = np.array([stratum.size for stratum in strata])
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)  # where the stratum of each place begins
    sizes = np.repeat(sizes, sizes)
    rows = max(1, _BLOCK // pooled.size)
    for done in range(0, resamples, rows):
        # Row by row, so that the size of a block does not change what is drawn.
        shape = (min(rows, resamples - done), pooled.size)
        yield pooled[first + rng.integers(sizes, size=shape)]


# --- What tuning buys ----------------------------------------------------------------------------


def expected_best_of(values: npt.ArrayLike, k: int) -> float:
    """Return the expected maximum of k of the values, drawn without replacement.

    What to expect of the best of k random configurations, estimated from n that were tried. Of the
    C(n, k) subsets, C(i - 1, k - 1) have the i-th smallest value as their maximum:

        E = sum of C(i - 1, k - 1) / C(n, k) * v(i), i from k to n

    This is unbiased (Tang et al., "Showing Your Work Doesn't Always Work", ACL 2020). Draws with
    replacement, as in Dodge et al., "Show Your Work: Improved Reporting of Experimental Results",
    EMNLP 2019, underestimate the maximum.

    Args:
        values: A value for each configuration, the mean over its seeds, shape (n,).
        k: Number of configurations, from 1 to n.

    Returns:
        The mean of the values for k = 1, their maximum for k = n.

    Raises:
        ConfigError: If there is no value, one is no finite number, or k is out of its range.

    Examples:
        >>> expected_best_of([1.0, 2.0, 4.0], 2)  # the mean of 2, 4 and 4
        3.3333333333333335
    """
    return _expected_best(np.sort(_finite("values", values))[::-1], k)


def expected_best_curve(values: npt.ArrayLike) -> _Floats:
    """Return the expected maximum of k of the values for every k.

    Args:
        values: A value for each configuration, shape (n,).

    Returns:
        `expected_best_of(values, k)` for k from 1 to n, shape (n,).

    Raises:
        ConfigError: If there is no value, or one is no finite number.

    Examples:
        >>> expected_best_curve([1.0, 2.0, 4.0]).round(3)
        array([2.333, 3.333, 4.   ])
    """
    falling = np.sort(_finite("values", values))[::-1]
    return np.array([_expected_best(falling, k) for k in range(1, falling.size + 1)])


def _expected_best(falling: _Floats, k: int) -> float:
    """Return the expected maximum of k of some values that are sorted, the largest first."""
    n = falling.size
    k = integer("k", k, 1, n)
    # Binomials of thousands overflow. The weight of the largest value is k / n, and each weight is
    # (i - k) / (i - 1) times that of the next larger value.
    i = np.arange(n, 1, -1)
    weights = np.cumprod(np.concatenate(([k / n], np.maximum(i - k, 0) / (i - 1))))
    # The weights add up to 1. As a distance from the maximum, E is exact where all values are equal
    # or k = n, and never above the maximum.
    return float(falling[0] - weights @ (falling[0] - falling))


# --- Best-so-far curves --------------------------------------------------------------------------


def step_at(
    samples: npt.ArrayLike, values: npt.ArrayLike, at: npt.ArrayLike, *, before: float
) -> _Floats:
    """Return a best-so-far curve at given numbers of samples.

    Args:
        samples: The samples that were better than all before, numbered from 1 on, ascending, shape
            (m,). There may be none.
        values: The best score from each of them on, shape (m,). It does not fall.
        at: Numbers of samples, from 1 on, of any shape and order.
        before: The score before the first of the samples, not above `values`.

    Returns:
        The best score after that many samples, in the shape of `at`.

    Raises:
        ConfigError: If the numbers of samples are not whole, not from 1 on or do not ascend, a
            score is no finite number, or the curve falls.

    Examples:
        >>> step_at([3, 10], [0.5, 0.75], [1, 3, 9, 10, 500], before=0.0)
        array([0.  , 0.5 , 0.5 , 0.75, 0.75])
    """
    events, heights = _steps(samples, values, before)
    return np.asarray(heights[np.searchsorted(events, _whole("at", at), side="right")])


def area_under_curve(
    samples: npt.ArrayLike,
    values: npt.ArrayLike,
    *,
    budget: int,
    before: float,
    log: bool = True,
) -> float:
    """Return the mean height of a best-so-far curve from the first sample to the budget.

    With u(s) = log10(s), or u(s) = s on a linear axis, and the curve f as in `step_at`:

        A = integral of f(s) du from u(1) to u(budget), over u(budget) - u(1)

    On the logarithmic axis every factor of ten in samples weighs the same, as is usual where
    performance at any time counts (Hansen et al., "Anytime Performance Assessment in Blackbox
    Optimization Benchmarking", IEEE Trans. Evolutionary Computation 26, 2022).

    Args:
        samples: As for `step_at`. What lies beyond the budget is not part of the area.
        values: As for `step_at`.
        budget: Number of samples at which the area ends, from 2 on.
        before: As for `step_at`.
        log: Whether the axis is logarithmic.

    Returns:
        In the unit of the values: from `before` to the last value within the budget.

    Raises:
        ConfigError: As `step_at`, or if the budget is out of its range.

    Examples:
        >>> area_under_curve([10], [1.0], budget=1000, before=0.0)  # two decades of three
        0.6666666666666666
        >>> area_under_curve([11], [1.0], budget=21, before=0.0, log=False)
        0.5
    """
    events, heights = _steps(samples, values, before)
    budget = integer("budget", budget, 2, _MAX_SEED)
    within = int(np.searchsorted(events, budget))
    edges = np.concatenate(([1], events[:within], [budget])).astype(np.float64)
    if flag("log", log):
        edges = np.log10(edges)
    return float(np.average(heights[: within + 1], weights=np.diff(edges)))


def _steps(samples: npt.ArrayLike, values: npt.ArrayLike, before: float) -> tuple[_Ints, _Floats]:
    """Return the numbers of samples, and the heights before, between and after them."""
    events = _whole("samples", samples, least=0)
    later = _finite("values", values, least=0)
    if events.shape != later.shape:
        raise ConfigError(
            f"samples and values must be 1-D arrays of the same length, got the shapes "
            f"{events.shape} and {later.shape}."
        )
    back = np.flatnonzero(np.diff(events) <= 0)
    if back.size:
        raise ConfigError(
            f"samples must ascend, got {events[back[0] + 1]} after {events[back[0]]}. Give each "
            "sample that improved once, in the order of the run."
        )
    heights = np.concatenate(([number("before", before, -math.inf, math.inf)], later))
    down = np.flatnonzero(np.diff(heights) < 0.0)
    if down.size:
        raise ConfigError(
            f"a best-so-far curve must not fall, got {heights[down[0] + 1]} after "
            f"{heights[down[0]]}. Give values of which larger is better, in the order of the run, "
            "and for before a score that no value lies below."
        )
    return events, heights


# --- Ranks ---------------------------------------------------------------------------------------


def mean_ranks(scores: npt.ArrayLike) -> _Floats:
    """Return the mean rank of each agent; rank 1 is the best.

    Ranks are those within a column; equal scores share the mean of their ranks (Demšar,
    "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7, 2006).

    Args:
        scores: Shape (agents, columns); a column is a task or a run, with all agents.

    Returns:
        From 1 to the number of agents, shape (agents,). Their mean is (agents + 1) / 2.

    Raises:
        ConfigError: If there is no score, or one is no finite number.

    Examples:
        >>> mean_ranks([[9.0, 7.0], [5.0, 7.0], [1.0, 2.0]])  # 1 and 1.5, 2 and 1.5, 3 and 3
        array([1.25, 1.75, 3.  ])
    """
    table = _finite("scores", scores, ndim=2)
    # Ranks 1 + better to better + equal, of which an agent is one itself, are shared: their mean.
    twice = [((table > agent).sum(axis=0) + (table >= agent).sum(axis=0) + 1) for agent in table]
    return np.asarray(np.mean(twice, axis=1) / 2)


# --- Checks --------------------------------------------------------------------------------------


def _strata(name: str, strata: Any) -> list[_Floats]:
    """Return strata as sorted arrays, so that the order of the runs does not matter."""
    try:
        parts = list(strata)
    except TypeError as error:
        raise ConfigError(
            f"{name} must be a sequence of 1-D arrays, one for each stratum, got {strata!r}."
        ) from error
    if not parts:
        raise ConfigError(f"{name} must hold at least one stratum, got none.")
    if isinstance(parts[0], numbers.Real):
        return [np.sort(_finite(name, strata))]
    return [np.sort(_finite(f"{name}[{place}]", part)) for place, part in enumerate(parts)]


def _array(name: str, values: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return numbers as an array, and refuse what numpy would turn into numbers."""
    try:
        array = np.asarray(values)
    except ValueError as error:  # numpy calls it inhomogeneous
        raise ConfigError(
            f"{name} must be an array of numbers, got sequences of different lengths."
        ) from error
    if array.dtype.kind not in "iuf":
        raise ConfigError(
            f"{name} must be an array of numbers, got values of type {array.dtype}. Leave out what "
            "is missing, and do not mix numbers with other types."
        )
    return array


def _finite(name: str, values: npt.ArrayLike, *, ndim: int | None = 1, least: int = 1) -> _Floats:
    """Return finite numbers as an array.

    Args:
        name: What they are, for the message.
        values: The numbers.
        ndim: Number of dimensions, None for any.
        least: How many there have to be, 0 or 1.

    Raises:
        ConfigError: If they are something else.
    """
    array = _array(name, values).astype(np.float64)
    if ndim is not None and array.ndim != ndim:
        raise ConfigError(f"{name} must be a {ndim}-D array, got the shape {array.shape}.")
    if array.size < least:
        raise ConfigError(f"{name} must hold at least one number, got the shape {array.shape}.")
    wrong = array[~np.isfinite(array)]
    if wrong.size:
        raise ConfigError(
            f"{name} must be finite numbers, got {wrong[0]}. Leave out a run without a score, or "
            "give it a score below all others."
        )
    return array


def _whole(name: str, values: npt.ArrayLike, *, least: int = 1) -> _Ints:
    """Return numbers of samples as an array of any shape; there may be none if `least` is 0."""
    array = _array(name, values)
    if array.size < least:
        raise ConfigError(f"{name} must hold at least one number, got the shape {array.shape}.")
    if array.size and (array.dtype.kind == "f" or array.min() < 1):
        raise ConfigError(
            f"{name} must be whole numbers from 1 on, got {array.dtype} from {array.min()} on. The "
            "first sample is number 1."
        )
    return array.astype(np.int64)
