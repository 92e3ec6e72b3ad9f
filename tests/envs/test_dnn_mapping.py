from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from archgym_py.environment import DesignEnv
from archgym_py.envs.dnn_mapping import (
    DNNMappingEnv,
    DNNMappingSequentialEnv,
    DNNMappingVectorEnv,
)
from archgym_py.errors import ConfigError, DesignError, UnknownNameError
from archgym_py.simulator import Status
from archgym_py.testing import check_env

LAYER: dict[str, Any] = {"name": "fc", "op": "gemm", "M": 8, "C": 6, "P": 4}
SMALL: dict[str, Any] = {"workload": {"name": "n", "layers": [LAYER]}, "l1_words": 16}


@pytest.fixture
def ids() -> Iterator[tuple[str, str]]:
    """Ids of the environments, for the time of a test."""
    names = ("Test/DNNMapping-v0", "Test/DNNMappingSequential-v0")
    module = "archgym_py.envs.dnn_mapping"
    gym.register(
        names[0],
        entry_point=f"{module}:DNNMappingEnv",
        vector_entry_point=f"{module}:DNNMappingVectorEnv",
    )
    gym.register(names[1], entry_point=f"{module}:DNNMappingSequentialEnv")
    yield names
    for name in names:
        del gym.registry[name]


def test_they_are_environments(ids: tuple[str, str]) -> None:
    for env_id in ids:
        check_env(env_id)


def test_they_are_environments_with_arguments(ids: tuple[str, str]) -> None:
    check_env(ids[0], **SMALL, array_x=4, array_y=2, objective="minimize:energy_uj")


def test_action_spaces() -> None:
    counts = [11, 28, 56, 55, 28, 56, 55, 30, 50, 49, 30, 50, 49, 3, 3, 720, 720]
    assert DNNMappingEnv().action_space == gym.spaces.MultiDiscrete(counts)
    assert DNNMappingEnv(action="box").action_space == gym.spaces.Box(-1, 1, (17,), np.float32)
    assert DNNMappingSequentialEnv().action_space == gym.spaces.Discrete(720)


@pytest.mark.parametrize("metric", ["edp_uj_ms", "latency_ms", "energy_uj", "dram_mb"])
def test_the_default_mapping_is_the_baseline(metric: str) -> None:
    env = DNNMappingEnv(objective=f"minimize:{metric}")
    default = env.space.default()
    assert env.evaluator.evaluate(default).reward == 0.0
    other = env.evaluator.evaluate({**default, "order_dram": "MCPQRS"})
    assert other.reward == pytest.approx(np.log(env.baseline[metric] / other.metrics[metric]))


def test_arguments_reach_the_env() -> None:
    env = DNNMappingEnv(
        **SMALL,
        array_x=2,
        array_y=2,
        objective="minimize:cycles",
        baseline={"cycles": 1e3},
        render_mode="ansi",
    )
    assert env.objective.name == "minimize:cycles"
    assert env.evaluator.evaluate(env.space.default()).metrics["cycles"] >= 8 * 6 * 4 / 4
    assert env.render() == "no design yet"
    defaults = DNNMappingEnv(workload="resnet18")
    assert "layer2_0_conv1_parallel" in defaults.space.names


def test_tiles_that_do_not_fit_are_infeasible() -> None:
    env = DNNMappingEnv()
    trial = env.evaluator.evaluate(env.space.fill_defaults({"factors_Q": "1*1*56*1"}))
    assert trial.status is Status.INFEASIBLE
    assert trial.reward == env.objective.failure_reward
    assert "level 'L2' holds 65536 words" in trial.message


def test_a_factor_that_does_not_divide_is_no_design() -> None:
    env = DNNMappingEnv(**SMALL)
    with pytest.raises(DesignError, match=r"'factors_C' takes one of .*, got '4\*1\*1\*2'"):
        env.evaluator.evaluate(env.space.default() | {"factors_C": "4*1*1*2"})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"workload": "resnet81"}, UnknownNameError, "Did you mean 'resnet18'"),
        ({"workload": 3}, ConfigError, "workload must be"),
        ({"array": 3}, ConfigError, "the mapping has no argument 'array'. Did you mean 'array_"),
        ({"l1_word": 3}, ConfigError, "has no argument 'l1_word'. Did you mean 'l1_words'"),
        ({"array_x": "32"}, ConfigError, "array_x must be a whole number"),
        ({"clock_mhz": -5}, ConfigError, "clock_mhz must be a number from 1 to 10000, got -5"),
        ({"objective": "minimize:edp_uj"}, ConfigError, "Did you mean 'edp_uj_ms'"),
        ({"action": "discrete"}, ConfigError, "action"),
        ({"render_mode": "human"}, ConfigError, "render_mode"),
    ],
)
def test_errors(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        DNNMappingEnv(**arguments)


def test_other_forms_take_the_arguments_of_the_env() -> None:
    envs = DNNMappingVectorEnv(num_envs=3, action="box", objective="minimize:cycles", **SMALL)
    assert isinstance(envs.env, DesignEnv)
    assert envs.env.objective.name == "minimize:cycles"
    assert envs.action_space.shape == (3, len(envs.env.space.names))
    with pytest.raises(ConfigError, match=r"has no argument 'arry_x'\. Did you mean 'array_x'"):
        DNNMappingVectorEnv(num_envs=3, arry_x=4)
    with pytest.raises(ConfigError, match=r"has no argument 'arry_x'\. Did you mean 'array_x'"):
        DNNMappingSequentialEnv(arry_x=4)


def test_l1_is_local_in_an_array_of_one() -> None:
    env = DNNMappingEnv(**SMALL, array_x=1, array_y=1)
    metrics = env.evaluator.evaluate(env.space.default()).metrics
    assert metrics["energy_local_uj"] > 0
    row = env.simulator.explain(env.space.default()).rows[0]  # type: ignore[attr-defined]
    assert metrics["energy_local_uj"] == pytest.approx(row.energy_pj["L1"] / 1e6)


def test_a_layer_counts_as_often_as_its_network_has_it() -> None:
    default = DNNMappingEnv()
    layer = {**default.simulator.network.layers[0].to_dict(), "count": 1}  # type: ignore[attr-defined]
    once = DNNMappingEnv(workload={"name": "once", "layers": [layer]})
    design = default.space.default()
    four, one = (env.evaluator.evaluate(design).metrics for env in (default, once))
    assert four["cycles"] == 4 * one["cycles"]
    assert four["edp_uj_ms"] == pytest.approx(16 * one["edp_uj_ms"])
