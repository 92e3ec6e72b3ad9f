from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from archgym_py.environment import DesignEnv
from archgym_py.envs.systolic import (
    SystolicArrayEnv,
    SystolicArraySequentialEnv,
    SystolicArrayVectorEnv,
)
from archgym_py.errors import ConfigError, UnknownNameError
from archgym_py.simulator import Status
from archgym_py.testing import check_env

SMALL: dict[str, Any] = {"workload": "alexnet/conv3"}


@pytest.fixture
def ids() -> Iterator[tuple[str, str]]:
    """Ids of the environments, for the time of a test."""
    names = ("Test/SystolicArray-v0", "Test/SystolicArraySequential-v0")
    module = "archgym_py.envs.systolic"
    gym.register(
        names[0],
        entry_point=f"{module}:SystolicArrayEnv",
        vector_entry_point=f"{module}:SystolicArrayVectorEnv",
    )
    gym.register(names[1], entry_point=f"{module}:SystolicArraySequentialEnv")
    yield names
    for name in names:
        del gym.registry[name]


def test_they_are_environments(ids: tuple[str, str]) -> None:
    for env_id in ids:
        check_env(env_id, **SMALL)


def test_they_are_environments_with_budgets(ids: tuple[str, str]) -> None:
    check_env(ids[0], **SMALL, area_budget_mm2=5.0, power_budget_mw=3000.0)


def test_action_spaces() -> None:
    counts = [16, 16, 3, 8, 8, 8, 5, 4, 4, 9]
    assert SystolicArrayEnv(**SMALL).action_space == gym.spaces.MultiDiscrete(counts)
    box = SystolicArrayEnv(**SMALL, action="box").action_space
    assert box == gym.spaces.Box(-1, 1, (10,), np.float32)
    assert SystolicArraySequentialEnv(**SMALL).action_space == gym.spaces.Discrete(16)


def test_the_default_design_is_the_baseline() -> None:
    env = SystolicArrayEnv(**SMALL)
    default = env.space.default()
    assert env.evaluator.evaluate(default).reward == 0.0
    better = env.evaluator.evaluate({**default, "dram": "HBM2"})
    assert better.reward == pytest.approx(
        np.log(env.baseline["edp_uj_ms"] / better.metrics["edp_uj_ms"])
    )


def test_arguments_reach_the_env() -> None:
    env = SystolicArrayEnv(
        workload={"name": "n", "layers": [{"name": "fc", "op": "gemm", "M": 8, "C": 8}]},
        objective="minimize:cycles",
        power_budget_mw=500.0,
        baseline={"cycles": 1e3},
        render_mode="ansi",
    )
    assert env.objective.name == "minimize:cycles"
    trial = env.evaluator.evaluate({**env.space.default(), "rows": 8, "columns": 8})
    assert (trial.status, trial.metrics["cycles"]) == (Status.OK, 22)
    assert trial.reward == pytest.approx(np.log(1e3 / 22))
    assert env.render() == "no design yet"


def test_a_design_over_budget_is_infeasible() -> None:
    env = SystolicArrayEnv(**SMALL, area_budget_mm2=4.0)
    trial = env.evaluator.evaluate({**env.space.default(), "rows": 256})
    assert trial.status is Status.INFEASIBLE
    assert "over the budget of 4" in trial.message


def test_the_baseline_need_not_keep_the_budgets() -> None:
    env = SystolicArrayEnv(**SMALL, area_budget_mm2=1.0)
    assert env.baseline["area_mm2"] > 1.0
    assert env.evaluator.evaluate(env.space.default()).status is Status.INFEASIBLE


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"workload": "alexnt"}, UnknownNameError, "Did you mean 'alexnet'"),
        ({"workload": "alexnet/conv9"}, UnknownNameError, "has no layer 'conv9'"),
        ({"workload": 3}, ConfigError, "workload must be"),
        ({"objective": "minimize:edp_uj"}, ConfigError, "Did you mean 'edp_uj_ms'"),
        ({"objective": "minimize:stall_cycles"}, ConfigError, "can be as low as 0"),
        ({"area_budget_mm2": "5"}, ConfigError, "area_budget_mm2 must be a finite number"),
        ({"action": "discrete"}, ConfigError, "action"),
        ({"workload": [3]}, ConfigError, "workload must be a name or a path or a mapping, got"),
        ({"objective": 3}, ConfigError, "an objective is a string such as"),
        ({"action": ["box"]}, ConfigError, "unknown action"),
        ({"action": np.array(["box", "box"])}, ConfigError, "unknown action"),
        ({"render_mode": np.array([1, 2])}, ConfigError, "unknown render_mode"),
        ({"baseline": 3}, ConfigError, "baseline must be a mapping"),
        ({"power_budget_mw": np.array([1, 2])}, ConfigError, "power_budget_mw must be a"),
    ],
)
def test_errors(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SystolicArrayEnv(**arguments)


@pytest.mark.parametrize("count", [0, 1.5, True, None, "2", [2], float("nan")])
def test_wrong_numbers_of_designs_in_a_step(count: Any) -> None:
    with pytest.raises(ConfigError, match="num_envs must be a whole number from 1"):
        SystolicArrayVectorEnv(num_envs=count, **SMALL)


def test_vector_form_takes_the_arguments_of_the_env() -> None:
    envs = SystolicArrayVectorEnv(num_envs=3, action="box", objective="minimize:cycles", **SMALL)
    assert isinstance(envs.env, DesignEnv)
    assert envs.env.objective.name == "minimize:cycles"
    assert envs.action_space.shape == (3, 10)
