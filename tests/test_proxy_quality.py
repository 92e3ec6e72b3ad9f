"""The figures of a proxy, by hand."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from archgym_py import proxy_quality
from archgym_py.proxy_quality import quality_table

TRUE = np.array([1.0, 2.0, 3.0, 4.0, 10.0])
PREDICTED = np.array([2.0, 1.0, 3.0, 5.0, 9.0])
EXACT = np.zeros(5)
ONE = np.zeros(5, np.int64)


def figures(
    true: np.ndarray = TRUE,
    predicted: np.ndarray = PREDICTED,
    residual: np.ndarray = EXACT,
    problem: np.ndarray = ONE,
) -> proxy_quality.Quality:
    return proxy_quality._quality("delay_ns", "ns", true, predicted, residual, problem)


def test_errors_by_hand() -> None:
    found = figures()
    assert found.rmse == pytest.approx(math.sqrt(4 / 5))
    assert found.rmse_percent == pytest.approx(100 * math.sqrt(4 / 5) / 4)
    assert found.mape_percent == pytest.approx(100 * (1 + 1 / 2 + 0 + 1 / 4 + 1 / 10) / 5)
    assert found.r2 == pytest.approx(1 - 4 / 50)
    assert found.kendall_tau == pytest.approx((9 - 1) / 10)  # one of ten pairs is swapped
    assert found.samples == 5


def test_regret_is_a_share_of_the_way_to_the_mean() -> None:
    assert figures().regret_1 == pytest.approx((2 - 1) / (4 - 1))  # the second is predicted best
    assert figures().regret_10 is None  # there are not more than ten designs
    true = np.arange(40.0)
    assert figures(true, -true, np.zeros(40), np.zeros(40, np.int64)).regret_10 == pytest.approx(
        30 / 19.5
    )


def test_ranks_and_regret_are_averaged_over_problems() -> None:
    two = np.array([0, 0, 0, 1, 1])
    found = figures(problem=two)
    # In the first problem one of three pairs is swapped, in the second none.
    assert found.kendall_tau == pytest.approx(((2 - 1) / 3 + 1) / 2)
    assert found.regret_1 == pytest.approx(((2 - 1) / (2 - 1) + 0) / 2)


def test_a_metric_that_never_changes_has_no_rank_and_no_r2() -> None:
    found = figures(np.zeros(5), np.zeros(5))
    assert found.rmse == 0.0
    assert (found.rmse_percent, found.mape_percent, found.r2) == (None, None, None)
    assert (found.kendall_tau, found.regret_1) == (None, None)
    assert [row[3:8] for row in quality_table([found])][1] == ("-",) * 5


def test_right_uncertainty_has_no_calibration_error() -> None:
    m = 100_000
    quantiles = (np.arange(m) + 0.5) / m
    normal = np.array([NormalDist().inv_cdf(q) for q in quantiles])
    true = quantiles + 1.0
    zeros = np.zeros(m, np.int64)
    right = figures(true, true, np.abs(normal), zeros)
    assert right.coverage_90 == pytest.approx(0.9, abs=1e-4)
    assert right.calibration_error == pytest.approx(0.0, abs=1e-4)
    timid = figures(true, true, np.zeros(m), zeros)
    assert timid.coverage_90 == 1.0
    assert timid.calibration_error == pytest.approx(0.5)  # mean of 1 - 0.1, ..., 1 - 0.9
    bold = figures(true, true, np.full(m, np.inf), zeros)
    assert bold.coverage_90 == 0.0
    assert bold.calibration_error == pytest.approx(0.5)
