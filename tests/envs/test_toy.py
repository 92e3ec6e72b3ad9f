import gymnasium as gym
import numpy as np
import pytest

from archgym_py.environment import DesignEnv
from archgym_py.envs.toy import ToyEnv, ToySequentialEnv, ToyVectorEnv
from archgym_py.errors import ConfigError
from archgym_py.simulators.toy import ToySimulator


def test_reward_of_default_and_optimum() -> None:
    env = ToyEnv()
    assert env.evaluator.evaluate(env.space.default()).reward == 0.0
    best = env.evaluator.evaluate(ToySimulator.optimum)
    product = best.metrics["cost_usd"] * best.metrics["delay_ns"]
    baseline = env.baseline["cost_usd"] * env.baseline["delay_ns"]
    assert best.reward == pytest.approx(np.log(baseline / product))


@pytest.mark.parametrize(
    ("env_id", "action", "space"),
    [
        ("ArchGym/Toy-v0", "multidiscrete", gym.spaces.MultiDiscrete([3, 6, 12, 9, 3, 6])),
        ("ArchGym/Toy-v0", "box", gym.spaces.Box(-1, 1, (6,), np.float32)),
        ("ArchGym/ToySequential-v0", "discrete", gym.spaces.Discrete(12)),
        ("ArchGym/ToySequential-v0", "box", gym.spaces.Box(-1, 1, (1,), np.float32)),
    ],
)
def test_action_spaces(env_id: str, action: str, space: "gym.Space[object]") -> None:
    assert gym.make(env_id, action=action).action_space == space


def test_arguments_reach_the_env() -> None:
    env = ToyEnv(objective="minimize:delay_ns", baseline={"delay_ns": 1e3, "cost_usd": 10.0})
    best = env.evaluator.evaluate(ToySimulator.optimum)
    assert best.reward == pytest.approx(np.log(1e3 / best.metrics["delay_ns"]))
    with pytest.raises(ConfigError, match="Did you mean 'delay_ns'"):
        ToyEnv(objective="minimize:delay")
    with pytest.raises(ConfigError, match="Did you mean 'delay_ns'"):
        ToySequentialEnv(objective="minimize:delay")


def test_vector_form_takes_the_arguments_of_the_env() -> None:
    envs = ToyVectorEnv(num_envs=3, action="box", objective="minimize:cost_usd")
    assert isinstance(envs.env, DesignEnv)
    assert envs.env.objective.name == "minimize:cost_usd"
    assert envs.action_space.shape == (3, 6)
