from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from archgym_py.environment import DesignEnv
from archgym_py.envs.dnn import (
    DNNAcceleratorEnv,
    DNNAcceleratorSequentialEnv,
    DNNAcceleratorVectorEnv,
)
from archgym_py.errors import ConfigError, UnknownNameError
from archgym_py.simulator import Status
from archgym_py.simulators.dnn.extended import EXTENDED
from archgym_py.simulators.dnn.eyeriss import EYERISS_SPACE, PUBLISHED_DESIGN
from archgym_py.simulators.dnn.platforms import EYERISS_CLOCK_MHZ
from archgym_py.testing import check_env

SMALL: dict[str, Any] = {"workload": "alexnet/conv3", "effort": 100}
IDS = ("ArchGym/DNNAccelerator-v0", "ArchGym/DNNAcceleratorSequential-v0")


@pytest.mark.parametrize("space", ["archgym", "extended"])
@pytest.mark.parametrize("env_id", IDS)
def test_they_are_environments(env_id: str, space: str) -> None:
    check_env(env_id, space=space, **SMALL)


@pytest.mark.parametrize(
    "arguments", [{"pricing": "published"}, {"area_budget_mm2": 5.0, "power_budget_mw": 1000.0}]
)
def test_they_are_environments_with_other_arguments(arguments: dict[str, Any]) -> None:
    check_env(IDS[0], **SMALL, **arguments)


def test_action_spaces() -> None:
    published, extended = DNNAcceleratorEnv(**SMALL), DNNAcceleratorEnv(space="extended", **SMALL)
    assert isinstance(published.action_space, gym.spaces.MultiDiscrete)
    counts = [24, 3, *([4, 16, 3, 4, 4] * 3), 4, 16, 3, 4, 7, 4, 3, 4, 4]
    assert published.action_space.nvec.tolist() == counts
    assert published.space.size == EYERISS_SPACE.size
    assert isinstance(extended.action_space, gym.spaces.MultiDiscrete)
    assert extended.action_space.nvec.tolist() == [4, 10, 10, 9, 9, 9, 8, 2, 5, 5, 3, 5, 5, 5]
    assert extended.space is EXTENDED.space
    box = DNNAcceleratorEnv(action="box", **SMALL).action_space
    assert box == gym.spaces.Box(-1, 1, (26,), np.float32)
    assert DNNAcceleratorSequentialEnv(**SMALL).action_space == gym.spaces.Discrete(24)
    sequential = DNNAcceleratorSequentialEnv(space="extended", **SMALL)
    assert sequential.action_space == gym.spaces.Discrete(10)


# --- Baseline and reward --------------------------------------------------------------------------


def test_the_baseline_of_the_published_space_is_the_published_design() -> None:
    env = DNNAcceleratorEnv(**SMALL)
    published = env.simulator.evaluate(dict(PUBLISHED_DESIGN), seed=0)
    assert env.baseline == published.metrics
    trial = env.evaluator.evaluate(env.space.default())
    ratio = env.baseline["edp_uj_ms"] / trial.metrics["edp_uj_ms"]
    assert trial.reward == pytest.approx(np.log(ratio))
    assert trial.reward != 0  # larger memories cost more


def test_the_baseline_of_the_extended_space_is_its_default() -> None:
    env = DNNAcceleratorEnv(space="extended", **SMALL)
    trial = env.evaluator.evaluate(env.space.default())
    assert dict(env.baseline) == dict(trial.metrics)
    assert trial.reward == 0.0


@pytest.mark.parametrize("space", ["archgym", "extended"])
def test_a_baseline_may_be_given(space: str) -> None:
    env = DNNAcceleratorEnv(
        space=space, objective="minimize:cycles", baseline={"cycles": 1e6}, **SMALL
    )
    trial = env.evaluator.evaluate(env.space.default())
    assert trial.reward == pytest.approx(np.log(1e6 / trial.metrics["cycles"]))


def test_the_published_targets() -> None:
    objective = "target:energy_uj=20444.2,area_mm2=1.7255,cycles=6308563.2"
    env = DNNAcceleratorEnv(pricing="published", objective=objective)
    trial = env.evaluator.evaluate(env.space.default())
    assert trial.status is Status.OK
    assert trial.metrics["cycles"] == 7_885_704
    assert env.simulator.metrics[0].name == "cycles"


def test_the_baseline_need_not_keep_the_budgets() -> None:
    env = DNNAcceleratorEnv(area_budget_mm2=0.5, **SMALL)
    assert env.baseline["area_mm2"] > 0.5
    trial = env.evaluator.evaluate(env.space.default())
    assert trial.status is Status.INFEASIBLE
    assert "over the budget of 0.5" in trial.message


def test_networks_that_the_published_default_cannot_run() -> None:
    """A filter of 20 rows needs 20 rows of elements, one of 40 more than there are."""
    assert DNNAcceleratorEnv(workload="keyword_spotting").baseline["cycles"] > 0
    with pytest.raises(ConfigError, match=r"level 'DummyBuffer' .* Choose space='extended'"):
        DNNAcceleratorEnv(workload="archgym_cognitive_small_v1")
    DNNAcceleratorEnv(workload="archgym_cognitive_small_v1", space="extended")


# --- Designs that cannot be -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        (
            {"weights_depth": 2},
            ("layer 'conv3'", "level 'weights_spad' holds 2 words", "3 of Weights"),
        ),
        ({"n_pes": 28}, ("layer 'conv3'", "level 'DummyBuffer' has 2 children in Y", "S 3")),
        ({"n_pes": 14}, ("level 'DummyBuffer'", "Use more processing elements")),
        (
            {"glb_depth": 1024, "glb_block_size": 1, "weights_block_size": 4},
            ("layer 'wide'", "level 'shared_glb' holds 1024 words", "of Inputs", "of Outputs"),
        ),
    ],
)
def test_the_message_says_what_is_too_small(
    changes: dict[str, Any], parts: tuple[str, ...]
) -> None:
    wide = {"name": "wide", "op": "conv", "P": 900, "R": 3}
    conv3 = {"name": "conv3", "op": "conv", "M": 8, "C": 4, "P": 13, "Q": 13, "R": 3, "S": 3}
    layer = wide if "layer 'wide'" in parts else conv3
    env = DNNAcceleratorEnv(workload={"name": "net", "layers": [layer]}, effort=100)
    default = env.space.default()
    env.reset(seed=0)
    action = env.space.encode({**default, **changes})
    _, reward, terminated, _, info = env.step(np.array(action))
    assert info["status"] == "infeasible"
    assert terminated
    for part in parts:
        assert part in info["message"]
    assert reward < env.evaluator.evaluate(default).reward


# --- Arguments ------------------------------------------------------------------------------------


def test_arguments_reach_the_simulator(tmp_path: Path) -> None:
    path = tmp_path / "mappings.sqlite"
    env = DNNAcceleratorEnv(
        workload={"name": "n", "layers": [{"name": "fc", "op": "gemm", "M": 8, "C": 8}]},
        space="extended",
        goal="energy",
        mapper_seed=3,
        effort=50,
        mapping_cache=path,
        objective="minimize:energy_uj",
        render_mode="ansi",
        power_budget_mw=5000,
    )
    assert env.objective.name == "minimize:energy_uj"
    trial = env.evaluator.evaluate(env.space.default())
    assert trial.status is Status.OK
    latency = trial.metrics["cycles"] / EYERISS_CLOCK_MHZ / 1e3
    assert trial.metrics["latency_ms"] == pytest.approx(latency)
    assert env.render() == "no design yet"
    env.close()
    assert path.stat().st_size > 0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"worklod": "alexnet"}, ConfigError, "has no argument 'worklod'. Did you mean 'workload'"),
        ({"area_budget": 5}, ConfigError, "Did you mean 'area_budget_mm2'"),
        ({"threads": 2}, ConfigError, "the accelerator has no argument 'threads'"),
        ({"workload": "alexnt"}, UnknownNameError, "Did you mean 'alexnet'"),
        ({"workload": "alexnet/conv9"}, UnknownNameError, "has no layer 'conv9'"),
        ({"workload": 3}, ConfigError, "workload must be"),
        ({"workload": None}, ConfigError, "workload must be"),
        ({"space": "extnded"}, ConfigError, "unknown space 'extnded'. Did you mean 'extended'"),
        ({"space": None}, ConfigError, "space must be a name, got None"),
        ({"pricing": "grant"}, ConfigError, "unknown pricing 'grant'. Did you mean 'granted'"),
        (
            {"space": "extended", "pricing": "granted"},
            ConfigError,
            "pricing='granted' is an argument of space='archgym'",
        ),
        ({"goal": "energie"}, ConfigError, "unknown goal 'energie' of the mapper. Did you mean"),
        ({"effort": 0}, ConfigError, "effort must be a whole number from 1 to 1000000000, got 0"),
        ({"effort": "100"}, ConfigError, "from 1 to 1000000000, got '100'"),
        (
            {"mapper_seed": -1},
            ConfigError,
            "seed must be a whole number from 0 to 92",
        ),
        ({"area_budget_mm2": "5"}, ConfigError, "area_budget_mm2 must be a finite number"),
        ({"power_budget_mw": -2}, ConfigError, "power_budget_mw must be a finite number"),
        ({"area_budget_mm2": 1e-6}, ConfigError, "no design needs less than"),
        ({"objective": "minimize:edp_uj"}, ConfigError, "Did you mean 'edp_uj_ms'"),
        ({"objective": "minimize:optimal_share"}, ConfigError, "can be as low as 0"),
        ({"action": "discrete"}, ConfigError, "action"),
        ({"mapping_cache": "/dev/null/none"}, ConfigError, "/dev/null/none"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        DNNAcceleratorEnv(**arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize("arguments", [{"mapping_cache": 3}, {"goal": ["delay"]}, {"goal": None}])
def test_arguments_of_wrong_types(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        DNNAcceleratorEnv(**arguments)


def test_the_sequential_form_takes_the_same_arguments() -> None:
    env = DNNAcceleratorSequentialEnv(space="extended", objective="minimize:cycles", **SMALL)
    assert env.objective.name == "minimize:cycles"
    assert DNNAcceleratorSequentialEnv(**SMALL).baseline == DNNAcceleratorEnv(**SMALL).baseline
    with pytest.raises(ConfigError, match="Did you mean 'workload'"):
        DNNAcceleratorSequentialEnv(worklod="alexnet")


def test_the_vector_form_takes_the_arguments_of_the_env() -> None:
    envs = DNNAcceleratorVectorEnv(
        num_envs=3, action="box", space="extended", objective="minimize:cycles", **SMALL
    )
    assert isinstance(envs.env, DesignEnv)
    assert envs.env.objective.name == "minimize:cycles"
    assert envs.action_space.shape == (3, 14)
    with pytest.raises(ConfigError, match="Did you mean 'workload'"):
        DNNAcceleratorVectorEnv(num_envs=2, worklod="alexnet")
