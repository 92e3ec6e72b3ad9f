import math
from typing import Any

import numpy as np
import pytest

from archgym_py.errors import ConfigError
from archgym_py.simulator import Evaluation, Metric, Status
from archgym_py.simulators.dnn.budgets import Budgets

METRICS = (
    Metric("cycles", "cycles", 1, 1e9),
    Metric("area_mm2", "mm2", 1, 100),
    Metric("power_mw", "mW", 2, 1e4),
)


def judge(area: float, power: float, **limits: Any) -> Evaluation:
    budgets = Budgets(METRICS, **{"area_budget_mm2": None, "power_budget_mw": None, **limits})
    return budgets.judge({"cycles": 5.0, "area_mm2": area, "power_mw": power})


def test_without_budgets_every_design_passes() -> None:
    evaluation = judge(100, 1e4)
    assert evaluation.status is Status.OK
    assert evaluation.metrics == {"cycles": 5.0, "area_mm2": 100, "power_mw": 1e4}


@pytest.mark.parametrize(
    ("area", "power", "message"),
    [
        (10, 300, ""),
        (10.5, 300, "area_mm2 is 10.5, over the budget of 10"),
        (9, 301, "power_mw is 301, over the budget of 300"),
        (
            12,
            1e3,
            "area_mm2 is 12, over the budget of 10; power_mw is 1000, over the budget of 300",
        ),
    ],
)
def test_budgets(area: float, power: float, message: str) -> None:
    evaluation = judge(area, power, area_budget_mm2=10, power_budget_mw=np.float64(300))
    assert (evaluation.message or "") == message
    assert evaluation.status is (Status.INFEASIBLE if message else Status.OK)
    assert bool(evaluation.metrics) is not bool(message)


@pytest.mark.parametrize("name", ["area_budget_mm2", "power_budget_mw"])
@pytest.mark.parametrize("value", [-1, math.nan, math.inf, "5", True, [5]])
def test_what_is_no_budget(name: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        judge(1, 1, **{name: value})
    assert str(caught.value) == f"{name} must be a finite number from 0 on, got {value!r}."


def test_a_budget_that_no_design_can_keep() -> None:
    with pytest.raises(ConfigError) as caught:
        judge(1, 1, power_budget_mw=1.5)
    assert str(caught.value) == (
        "power_budget_mw is 1.5, but no design needs less than 2. Raise it."
    )
