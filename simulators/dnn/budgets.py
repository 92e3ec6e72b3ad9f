"""Limits of area and power that make a design infeasible."""

from __future__ import annotations

import math
from collections.abc import Sequence

from archgym_py.checks import number
from archgym_py.errors import ConfigError
from archgym_py.simulator import Evaluation, Metric, Status

__all__ = ["Budgets"]


class Budgets:
    """Limits of metrics.

    Args:
        metrics: The metrics of the simulator, with their bounds.
        area_budget_mm2: Largest `area_mm2`; None for no limit.
        power_budget_mw: Largest `power_mw`; None for no limit.

    Raises:
        ConfigError: If a limit is no positive number, or one that no design can keep.

    Examples:
        >>> metrics = (Metric("area_mm2", "mm2", 1, 100), Metric("power_mw", "mW", 1, 1e4))
        >>> budgets = Budgets(metrics, area_budget_mm2=10, power_budget_mw=None)
        >>> budgets.judge({"area_mm2": 12.5, "power_mw": 300.0}).message
        'area_mm2 is 12.5, over the budget of 10'
    """

    def __init__(
        self,
        metrics: Sequence[Metric],
        *,
        area_budget_mm2: float | None,
        power_budget_mw: float | None,
    ) -> None:
        bounds = {metric.name: metric for metric in metrics}
        given = {
            "area_mm2": ("area_budget_mm2", area_budget_mm2),
            "power_mw": ("power_budget_mw", power_budget_mw),
        }
        self._limits = {
            metric: _limit(name, value, bounds[metric])
            for metric, (name, value) in given.items()
            if value is not None
        }

    def judge(self, metrics: dict[str, float]) -> Evaluation:
        """Return an evaluation: infeasible, with the reason, if a limit is exceeded."""
        over = [
            f"{name} is {metrics[name]:.4g}, over the budget of {limit:g}"
            for name, limit in self._limits.items()
            if metrics[name] > limit
        ]
        if over:
            return Evaluation(status=Status.INFEASIBLE, message="; ".join(over))
        return Evaluation(metrics)


def _limit(name: str, value: float, metric: Metric) -> float:
    limit = number(name, value, 0.0, math.inf)
    if limit < metric.low:
        raise ConfigError(
            f"{name} is {value:g}, but no design needs less than {metric.low:.4g}. Raise it."
        )
    return limit
