from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import yaml

from archgym_py.envs.arvr_soc import ARVRSoCEnv, ARVRSoCSequentialEnv, ARVRSoCVectorEnv
from archgym_py.errors import ConfigError, UnknownNameError
from archgym_py.simulator import Status
from archgym_py.testing import check_env


@pytest.fixture
def ids() -> Iterator[tuple[str, str]]:
    """Ids of the environments, for the time of a test."""
    names = ("Test/ARVRSoC-v0", "Test/ARVRSoCSequential-v0")
    module = "archgym_py.envs.arvr_soc"
    gym.register(
        names[0],
        entry_point=f"{module}:ARVRSoCEnv",
        vector_entry_point=f"{module}:ARVRSoCVectorEnv",
    )
    gym.register(names[1], entry_point=f"{module}:ARVRSoCSequentialEnv")
    yield names
    for name in names:
        del gym.registry[name]


def test_they_are_environments(ids: tuple[str, str]) -> None:
    for env_id in ids:
        check_env(env_id)


@pytest.mark.parametrize("space", ["comprehensive", "published_limited"])
def test_other_spaces_are_environments(ids: tuple[str, str], space: str) -> None:
    check_env(ids[0], workload="hpvm_cava", space=space, compat="farsi")


def test_action_spaces() -> None:
    env = ARVRSoCEnv()
    assert isinstance(env.action_space, gym.spaces.MultiDiscrete)
    assert env.action_space.shape == (34,)
    assert ARVRSoCEnv(action="box").action_space == gym.spaces.Box(-1, 1, (34,), np.float32)
    assert ARVRSoCSequentialEnv(space="comprehensive").action_space == gym.spaces.Discrete(17)


def test_the_default_design_is_the_baseline() -> None:
    env = ARVRSoCEnv(space="comprehensive")
    default = env.space.default()
    assert env.evaluator.evaluate(default).reward == 0.0
    better = env.evaluator.evaluate(
        {
            **default,
            "gaussianSmoothing_runs_on": "accelerator",
            "gaussianSmoothing_unroll": 512,
            "gaussianSmoothing_clock_mhz": 800,
        }
    )
    expected = np.log(env.baseline["distance"] / better.metrics["distance"])
    assert better.reward == pytest.approx(expected)
    assert better.reward > 0


@pytest.mark.parametrize("action", ["multidiscrete", "box"])
@pytest.mark.parametrize("space", ["limited", "comprehensive"])
def test_every_action_is_a_system_that_works(space: str, action: str) -> None:
    envs = ARVRSoCVectorEnv(num_envs=200, space=space, action=action)
    envs.reset(seed=0)
    envs.action_space.seed(0)
    _, rewards, _, _, infos = envs.step(envs.action_space.sample())
    assert set(infos["final_info"]["status"]) == {"ok"}
    assert np.isfinite(rewards).all()


def test_illegal_published_designs_say_why() -> None:
    env = ARVRSoCEnv(space="published_limited")
    env.reset(seed=0)
    illegal = {**env.space.default(), "bus_to_mem_connection_1": 0}
    _, reward, terminated, _, info = env.step(env.space.encode(illegal))
    assert info["status"] == Status.INFEASIBLE
    assert "memory slot 0 is on two buses" in info["message"]
    assert reward == env.objective.failure_reward < env.objective.reward_low
    assert terminated


def test_a_workload_of_a_file(tmp_path: Path) -> None:
    content: dict[str, Any] = {
        "name": "pair",
        "tasks": [{"name": "a", "a53_cycles": 1e6}, {"name": "b", "a53_cycles": 2e6}],
        "edges": [{"from": "a", "to": "b", "bytes": 65_536}],
    }
    path = tmp_path / "pair.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    budgets: dict[str, Any] = {
        "latency_budget_ms": 5.0,
        "power_budget_mw": 80.0,
        "area_budget_mm2": 2.0,
    }
    env = ARVRSoCEnv(workload=path, space="comprehensive", **budgets)
    trial = env.evaluator.evaluate(env.space.default())
    assert trial.metrics["latency_ms"] == pytest.approx(3.0)
    assert trial.metrics["budgets_met"] == 4
    with pytest.raises(ConfigError, match="Give latency_budget_ms"):
        ARVRSoCEnv(workload=path)


def test_other_objectives() -> None:
    env = ARVRSoCEnv(objective="target:latency_ms=34,power_mw=8.737", space="comprehensive")
    assert env.evaluator.evaluate(env.space.default()).reward < 0
    env = ARVRSoCEnv(objective="pareto:latency_ms,energy_uj,area_mm2")
    assert env.evaluator.evaluate(env.space.default()).reward == 0


def test_bad_arguments() -> None:
    with pytest.raises(ConfigError, match="no argument 'budget'"):
        ARVRSoCEnv(budget=3)
    with pytest.raises(ConfigError, match="workload must be a name or a path"):
        ARVRSoCEnv(workload=3)  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="Did you mean 'edge_detection'"):
        ARVRSoCEnv(workload="edge_detektion")
    with pytest.raises(ConfigError, match="Did you mean 'limited'"):
        ARVRSoCSequentialEnv(space="limitd")
    with pytest.raises(ConfigError, match="no argument 'spaces'"):
        ARVRSoCVectorEnv(spaces="limited")
