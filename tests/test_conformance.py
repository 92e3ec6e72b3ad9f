"""Every registered simulator, environment and agent passes the suite for its kind.

The tests read the tables, so a new entry is tested without being named here.
"""

import math
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from archgym_py.agent import Agent
from archgym_py.config import RunConfig
from archgym_py.dataset import SampleDataset
from archgym_py.environment import DesignEnv
from archgym_py.registration import ENVS
from archgym_py.registry import AGENTS, SIMULATORS
from archgym_py.runner import run
from archgym_py.testing import check_agent, check_control_env, check_env, check_simulator

DESIGN_IDS = [entry.id for entry in ENVS if entry.is_design]
CONTROL_IDS = [entry.id for entry in ENVS if not entry.is_design]


@pytest.mark.parametrize("env_id", DESIGN_IDS)
def test_env_conforms(env_id: str) -> None:
    check_env(env_id)


@pytest.mark.parametrize("env_id", CONTROL_IDS)
def test_control_env_conforms(env_id: str) -> None:
    check_control_env(env_id, n_jobs=20)


@pytest.mark.parametrize("env_id", DESIGN_IDS)
def test_simulator_of_env_conforms(env_id: str) -> None:
    env: Any = gym.make(env_id).unwrapped
    assert isinstance(env, DesignEnv)
    assert env.simulator.name in SIMULATORS.names()
    check_simulator(env.simulator, env.space)


def test_every_simulator_has_an_env() -> None:
    envs: list[Any] = [gym.make(env_id).unwrapped for env_id in DESIGN_IDS]
    assert {env.simulator.name for env in envs} == set(SIMULATORS.names())


@pytest.mark.parametrize("name", AGENTS.names())
def test_agent_conforms(name: str) -> None:
    check_agent(name)


@pytest.mark.parametrize("env_id", DESIGN_IDS)
@pytest.mark.parametrize("name", AGENTS.names())
def test_every_agent_searches_every_env(name: str, env_id: str, tmp_path: Path) -> None:
    """The smoke matrix: a logged run of each agent on each environment."""
    agent_class: type[Agent] = AGENTS.load(name)
    config = RunConfig(
        env=env_id, agent=name, agent_kwargs=dict(agent_class.example), budget=12, out=tmp_path
    )
    result = run(config)
    assert result.trials == 12
    assert len(SampleDataset(tmp_path)) == 12
    assert result.best is not None
    assert math.isfinite(result.best.reward)
