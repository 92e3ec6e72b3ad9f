from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from archgym_py.envs.soc_design import SoCDesignEnv, SoCDesignSequentialEnv, SoCDesignVectorEnv
from archgym_py.errors import ConfigError, UnknownNameError
from archgym_py.simulator import Status
from archgym_py.simulators.soc.design_space import SOC_DESIGN_SPACE
from archgym_py.testing import check_env

QUICK: dict[str, Any] = {"n_jobs": 40, "seeds": 2}


@pytest.fixture
def ids() -> Iterator[tuple[str, str]]:
    """Ids of the environments, for the time of a test."""
    names = ("Test/SoCDesign-v0", "Test/SoCDesignSequential-v0")
    module = "archgym_py.envs.soc_design"
    gym.register(
        names[0],
        entry_point=f"{module}:SoCDesignEnv",
        vector_entry_point=f"{module}:SoCDesignVectorEnv",
    )
    gym.register(names[1], entry_point=f"{module}:SoCDesignSequentialEnv")
    yield names
    for name in names:
        del gym.registry[name]


def test_they_are_environments(ids: tuple[str, str]) -> None:
    for env_id in ids:
        check_env(env_id, **QUICK)


def test_budgeted_loads_of_other_kinds_are_environments(ids: tuple[str, str]) -> None:
    check_env(
        ids[0],
        workload=["wifi_receiver", "lag_detection"],
        arrivals={"kind": "deterministic", "period_us": 400},
        area_budget_mm2=20.0,
        power_budget_mw=2000.0,
        objective="pareto:latency_mean_us,energy_per_job_uj,area_mm2",
        **QUICK,
    )


def test_action_spaces() -> None:
    env = SoCDesignEnv(**QUICK)
    size = len(SOC_DESIGN_SPACE.parameters)
    assert isinstance(env.action_space, gym.spaces.MultiDiscrete)
    assert env.action_space.shape == (size,)
    box = SoCDesignEnv(action="box", **QUICK)
    assert box.action_space == gym.spaces.Box(-1, 1, (size,), np.float32)
    assert env.observation_space.shape == (len(env.simulator.metrics) + 1,)


def test_the_default_design_is_the_baseline() -> None:
    env = SoCDesignEnv(**QUICK)
    default = env.evaluator.evaluate(env.space.default())
    assert default.reward == 0.0
    better = env.evaluator.evaluate({**env.space.default(), "big_max_mhz": 1000})
    expected = np.log(env.baseline["edp_uj_ms"] / better.metrics["edp_uj_ms"])
    assert better.reward == pytest.approx(expected)
    assert better.reward > 0


def test_a_budget_that_the_default_design_exceeds() -> None:
    env = SoCDesignEnv(area_budget_mm2=12, **QUICK)
    env.reset(seed=0)
    _, reward, terminated, _, info = env.step(env.space.encode(env.space.default()))
    assert terminated
    assert info["status"] == Status.INFEASIBLE
    assert info["message"] == "area_mm2 is 17.5, over the budget of 12"
    assert reward == env.objective.failure_reward < env.objective.reward_low
    small = {**env.space.default(), "big_cores": 1, "matrix_accelerators": 0}
    _, reward, _, _, info = env.step(env.space.encode(small))
    assert info["status"] == Status.OK
    assert info["metrics"]["area_mm2"] <= 12
    assert env.objective.reward_low <= reward


def test_random_designs_are_feasible_or_say_why() -> None:
    envs = SoCDesignVectorEnv(num_envs=300, n_jobs=60)
    envs.reset(seed=0)
    envs.action_space.seed(0)
    _, rewards, _, _, infos = envs.step(envs.action_space.sample())
    statuses = list(infos["final_info"]["status"])
    assert set(statuses) == {"ok", "infeasible"}
    assert statuses.count("ok") > 100
    for status, message in zip(statuses, infos["final_info"]["message"], strict=True):
        assert bool(message) == (status == "infeasible")
    assert np.isfinite(rewards).all()


def test_bad_arguments() -> None:
    with pytest.raises(ConfigError, match=r"no argument 'n_job'\. Did you mean 'n_jobs'"):
        SoCDesignEnv(n_job=3)
    with pytest.raises(UnknownNameError, match="Did you mean 'wifi_receiver'"):
        SoCDesignSequentialEnv(workload="wifi_reciever")
    with pytest.raises(ConfigError, match="edp_uj_ms"):
        SoCDesignVectorEnv(objective="minimize:edp")
    with pytest.raises(ConfigError, match="no design needs less than"):
        SoCDesignEnv(power_budget_mw=1)
