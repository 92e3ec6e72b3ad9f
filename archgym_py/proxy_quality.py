"""How good a proxy is on samples that it has not seen.

For each metric, over m samples with true values y and predictions p:

=================== ===============================================================================
`rmse`              sqrt(mean((p - y)^2)), in the metric's unit
`rmse_percent`      the same in percent of |mean(y)|
`mape_percent`      mean(|p - y| / |y|) in percent, over the samples with y other than 0
`r2`                1 - sum((p - y)^2) / sum((y - mean(y))^2)
`kendall_tau`       rank correlation tau-b (Kendall, Biometrika 1945), within each problem, averaged
`regret_1`          how much worse the design with the smallest prediction is than the best one, as
                    a share of the way from the best to the mean; within each problem, averaged.
                    0 is the best design, 1 no better than a random one
`regret_10`         the same for the best of the ten designs with the smallest predictions
`coverage_90`       share of the samples whose true value lies in the central interval that should
                    hold 90 %
`calibration_error` mean of |share - nominal| over the central intervals of 10, 20, ..., 90 %
                    (Kuleshov et al., "Accurate uncertainties for deep learning", ICML 2018)
=================== ===============================================================================

A number that does not exist, such as the correlation with a metric that never changes, is None.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from archgym_py.errors import ConfigError, require
from archgym_py.proxy import Proxy, TrainingSet

__all__ = ["Quality", "judge", "quality_table"]

FloatArray = npt.NDArray[np.float64]

_LEVELS: Final = np.arange(1, 10) / 10.0
_CHUNK = 65_536
_TAU_ROWS = 20_000  # more samples would not change the second digit


@dataclass(frozen=True, slots=True)
class Quality:
    """The figures of one metric; the module says what they mean.

    Attributes:
        metric: Name of the metric.
        unit: Its unit.
        samples: Number of samples.
        rmse: See above, as all others.
    """

    metric: str
    unit: str
    samples: int
    rmse: float
    rmse_percent: float | None
    mape_percent: float | None
    r2: float | None
    kendall_tau: float | None
    regret_1: float | None
    regret_10: float | None
    coverage_90: float
    calibration_error: float

    def to_mapping(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}


def judge(proxy: Proxy, samples: TrainingSet) -> tuple[Quality, ...]:
    """Compare a proxy with samples.

    Args:
        proxy: The proxy.
        samples: Samples of its space and metrics; those without metrics are left out. Their
            problems may be ones that the proxy has not seen.

    Returns:
        The figures of each metric, in the order of the proxy's targets.

    Raises:
        ConfigError: If no sample has metrics.
        UnknownNameError: If the samples lack one of the proxy's metrics.
    """
    samples = samples.only([target.name for target in proxy.header.targets])
    samples = samples.take(np.flatnonzero(samples.ok))
    if not len(samples):
        raise ConfigError("there is no sample with metrics to compare with. Choose other samples.")
    means, residuals = [], []
    for start in range(0, len(samples), _CHUNK):
        rows = slice(start, start + _CHUNK)
        means.append(proxy.forecast(samples.features[rows]).mean)
        residuals.append(proxy.residuals(samples.features[rows], samples.values[rows]))
    mean, residual = np.concatenate(means), np.abs(np.concatenate(residuals))
    return tuple(
        _quality(
            target.name,
            target.unit,
            samples.values[:, column],
            mean[:, column],
            residual[:, column],
            samples.problem,
        )
        for column, target in enumerate(proxy.header.targets)
    )


def quality_table(
    qualities: Sequence[Quality],
) -> list[tuple[str, ...]]:
    """Return the figures as rows of text with a head.

    Args:
        qualities: The figures of some metrics.

    Returns:
        Rows of equal length, the first one with the names of the columns.
    """
    head = ("metric", "RMSE", "unit", "RMSE %", "MAPE %", "R2", "tau", "regret@1", "regret@10")
    return [
        (*head, "in 90 %", "cal. error"),
        *(
            (
                each.metric,
                f"{each.rmse:.4g}",
                each.unit,
                _shown(each.rmse_percent, ".3f"),
                _shown(each.mape_percent, ".3f"),
                _shown(each.r2, ".5f"),
                _shown(each.kendall_tau, ".4f"),
                _shown(each.regret_1, ".4f"),
                _shown(each.regret_10, ".4f"),
                f"{each.coverage_90:.1%}",
                f"{each.calibration_error:.3f}",
            )
            for each in qualities
        ),
    ]


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _quality(
    metric: str,
    unit: str,
    true: FloatArray,
    predicted: FloatArray,
    residual: FloatArray,
    problem: npt.NDArray[np.int64],
) -> Quality:
    error = predicted - true
    rmse = math.sqrt(float((error**2).mean()))
    mean = abs(float(true.mean()))
    nonzero = true != 0.0
    total = float(((true - true.mean()) ** 2).sum())
    each = [np.flatnonzero(problem == number) for number in np.unique(problem)]
    shares = [float((residual <= _half_width(level)).mean()) for level in _LEVELS]
    return Quality(
        metric=metric,
        unit=unit,
        samples=len(true),
        rmse=rmse,
        rmse_percent=100.0 * rmse / mean if mean else None,
        mape_percent=(
            100.0 * float((np.abs(error[nonzero]) / np.abs(true[nonzero])).mean())
            if nonzero.any()
            else None
        ),
        r2=1.0 - float((error**2).sum()) / total if total else None,
        kendall_tau=_average([_tau(true[rows], predicted[rows]) for rows in each]),
        regret_1=_average([_regret(true[rows], predicted[rows], 1) for rows in each]),
        regret_10=_average([_regret(true[rows], predicted[rows], 10) for rows in each]),
        coverage_90=float((residual <= _half_width(0.9)).mean()),
        calibration_error=float(np.abs(np.array(shares) - _LEVELS).mean()),
    )


def _average(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def _half_width(level: float) -> float:
    """Return the half width of the central interval of a standard normal variable."""
    return NormalDist().inv_cdf((1.0 + float(level)) / 2.0)


def _tau(true: FloatArray, predicted: FloatArray) -> float | None:
    if len(true) > _TAU_ROWS:
        rows = np.linspace(0, len(true) - 1, _TAU_ROWS).astype(np.int64)
        true, predicted = true[rows], predicted[rows]
    if len(np.unique(true)) < 2 or len(np.unique(predicted)) < 2:
        return None
    return float(require("scipy.stats", extra="proxy").kendalltau(predicted, true).statistic)


def _regret(true: FloatArray, predicted: FloatArray, count: int) -> float | None:
    best = float(true.min())
    gap = float(true.mean()) - best
    if gap <= 0.0 or len(true) <= count:
        return None
    chosen = np.argsort(predicted, kind="stable")[:count]
    return (float(true[chosen].min()) - best) / gap
