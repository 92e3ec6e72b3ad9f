"""The multi-agent view: PettingZoo's own tests, one shared reward, every design reachable."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from pettingzoo.test import parallel_api_test, parallel_seed_test

from archgym_py.environment import DesignEnv
from archgym_py.errors import ActionError, BudgetExhausted
from archgym_py.parallel import DesignParallelEnv
from archgym_py.runner import make_env
from archgym_py.simulator import Evaluation, Metric, Status
from archgym_py.simulators.toy import TOY_SPACE
from archgym_py.space import Choice, Design, Integer, Ordinal, ParameterSpace, Real

SMALL = ParameterSpace((Choice("c", ("a", "b", "c")), Ordinal("o", (1, 10)), Integer("i", -2, 2)))
CONTINUOUS = ParameterSpace((Choice("c", ("a", "b")), Real("r", 1.0, 100.0, log=True)))


class Simulator:
    name = "test"
    version = "1"
    deterministic = True
    metrics = (Metric("cost", "1", 1e-3, 1e3),)
    closed = False

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        return Evaluation({"cost": 1.0 + float("bca".find(str(design["c"])))})

    def close(self) -> None:
        self.closed = True


def make(space: ParameterSpace, **arguments: Any) -> DesignParallelEnv:
    action = "box" if math.isinf(space.size) else "multidiscrete"
    return DesignParallelEnv(
        DesignEnv(space, Simulator(), "minimize:cost", action=action, **arguments)
    )


def actions_of(space: ParameterSpace, design: Design) -> dict[str, Any]:
    numbers = space.encode(space.validate(design))
    return dict(zip(space.names, (np.int64(number) for number in numbers), strict=True))


ENVS = [
    ("ArchGym/Toy-v0", {}),
    ("ArchGym/Toy-v0", {"action": "box", "objective": "pareto:delay_ns,cost_usd"}),
    ("ArchGym/ToySequential-v0", {}),
    ("ArchGym/DRAMController-v0", {}),
    ("ArchGym/DRAMController-v0", {"space": "extended", "objective": "minimize:energy_pj"}),
]


@pytest.mark.parametrize(("env_id", "kwargs"), ENVS)
def test_pettingzoo_accepts_it(env_id: str, kwargs: dict[str, Any]) -> None:
    env = DesignParallelEnv(make_env(env_id, kwargs))
    parallel_api_test(env, num_cycles=20)
    assert env.possible_agents == list(env.env.space.names)
    env.close()


def test_pettingzoo_accepts_a_continuous_space() -> None:
    parallel_api_test(make(CONTINUOUS), num_cycles=20)


def test_equal_seeds_give_equal_episodes() -> None:
    parallel_seed_test(lambda: DesignParallelEnv(make_env("ArchGym/Toy-v0")), num_cycles=20)


@pytest.mark.parametrize("env_id", ["ArchGym/Toy-v0", "ArchGym/ToySequential-v0"])
def test_a_step_is_what_it_is_in_the_design_environment(env_id: str) -> None:
    env, plain = DesignParallelEnv(make_env(env_id)), make_env("ArchGym/Toy-v0")
    design = {**TOY_SPACE.default(), "unit": "systolic", "lanes": 8}
    first, infos = env.reset(seed=0)
    expected, _ = plain.reset(seed=0)
    assert list(first) == list(infos) == env.agents == list(TOY_SPACE.names)
    for agent in env.agents:
        assert (first[agent] == expected).all()
        assert infos[agent] == {}
    expected, reward, _, _, info = plain.step_design(design)
    observations, rewards, terminations, truncations, infos = env.step(
        actions_of(TOY_SPACE, design)
    )
    assert env.agents == []
    for given in (observations, rewards, terminations, truncations, infos):
        assert list(given) == list(TOY_SPACE.names)
    for agent in TOY_SPACE.names:
        assert (observations[agent] == expected).all()
        assert env.observation_space(agent).contains(observations[agent])
        assert rewards[agent] == reward != 0.0
        assert (terminations[agent], truncations[agent]) == (True, False)
        assert infos[agent]["design"] == design
        assert infos[agent]["metrics"] == info["metrics"]


def test_agents_share_no_memory() -> None:
    env = make(SMALL)
    observations, infos = env.reset()
    observations["c"][:] = 9.0
    infos["c"]["mine"] = 1
    assert not (observations["o"] == 9.0).any()
    assert infos["o"] == {}
    observations, _, _, _, infos = env.step(actions_of(SMALL, SMALL.default()))
    observations["c"][:] = 9.0
    infos["c"]["mine"] = 1
    assert not (observations["o"] == 9.0).any()
    assert "mine" not in infos["o"]


def test_spaces_stay_the_same_objects() -> None:
    env = make(SMALL)
    for agent in env.possible_agents:
        assert env.action_space(agent) is env.action_space(agent)
        assert env.observation_space(agent) is env.observation_space(agent)
    sizes = [env.action_space(agent) for agent in env.possible_agents]
    assert sizes == [gym.spaces.Discrete(count) for count in (3, 2, 5)]
    assert env.action_space("c") is not env.action_space("o")


def test_every_design_is_reached() -> None:
    env = make(SMALL)
    seen = set()
    for index in np.ndindex(3, 2, 5):
        env.reset()
        numbers = dict(zip(SMALL.names, map(int, index), strict=True))
        _, _, _, _, infos = env.step(numbers)
        design = infos["c"]["design"]
        assert design == SMALL.decode(np.array(index))
        seen.add(SMALL.key(design))
    assert len(seen) == 30


def test_every_toy_value_is_drawn() -> None:
    env = DesignParallelEnv(make_env("ArchGym/Toy-v0"))
    seen: dict[str, set[Any]] = {name: set() for name in env.possible_agents}
    for number, agent in enumerate(env.possible_agents):
        env.action_space(agent).seed(number)
    for _ in range(300):
        env.reset()
        actions = {agent: env.action_space(agent).sample() for agent in env.agents}
        _, _, _, _, infos = env.step(actions)
        for name, value in infos["unit"]["design"].items():
            seen[name].add(value)
    for parameter in TOY_SPACE.parameters:
        assert len(seen[parameter.name]) == parameter.cardinality


@pytest.mark.parametrize(("action", "value"), [(-1.0, 1.0), (0.0, 10.0), (1.0, 100.0)])
def test_continuous_parameters_are_positions_between_the_bounds(
    action: float, value: float
) -> None:
    env = make(CONTINUOUS)
    assert env.action_space("r") == gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    assert env.action_space("c") == gym.spaces.Discrete(2)
    env.reset()
    _, _, _, _, infos = env.step({"c": 1, "r": np.array([action], np.float32)})
    assert infos["r"]["design"]["c"] == "b"
    assert infos["r"]["design"]["r"] == pytest.approx(value)


# ---- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"c": None}, "agent 'c' has no action. Every parameter needs one."),
        ({"choice": 1}, "there is no agent 'choice'."),
        ({"O": 1}, "there is no agent 'O'. Did you mean 'o'?"),
        ({"c": 3}, "0..2"),
        ({"c": -1}, "0..2"),
        ({"c": 1.0}, "the action of agent 'c' is one integer, got dtype float64 and shape ()."),
        ({"c": True}, "the action of agent 'c' is one integer, got dtype bool"),
        ({"c": np.array([1])}, "is one integer, got dtype int64 and shape (1,)"),
        ({"c": "a"}, "the action of agent 'c' is one integer"),
    ],
)
def test_illegal_actions(changes: Mapping[str, Any], message: str) -> None:
    check_refused(make(SMALL), {"c": 0, "o": 0, "i": 0}, changes, message)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (0.5, "the action of agent 'r' is a vector of one number"),
        (np.zeros(2), "a vector of one number, got dtype float64 and shape (2,)"),
        (np.array(["1"]), "the action of agent 'r' is a vector of one number"),
        (np.array([1.5]), ""),
        (np.array([np.nan]), ""),
    ],
)
def test_illegal_continuous_actions(action: Any, message: str) -> None:
    check_refused(make(CONTINUOUS), {"c": 0, "r": np.zeros(1)}, {"r": action}, message)


def check_refused(
    env: DesignParallelEnv, good: dict[str, Any], changes: Mapping[str, Any], message: str
) -> None:
    """Check that changed actions are refused, without a sample, and that good ones go on."""
    env.reset()
    changed = {name: action for name, action in {**good, **changes}.items() if action is not None}
    with pytest.raises(ActionError) as caught:
        env.step(changed)
    assert message in str(caught.value)
    assert env.env.evaluator.spent == 0
    assert env.agents == env.possible_agents
    env.step(good)
    assert env.env.evaluator.spent == 1


def test_a_design_ends_the_episode() -> None:
    env = make(SMALL)
    good = actions_of(SMALL, SMALL.default())
    with pytest.raises(gym.error.ResetNeeded, match="call reset"):
        env.step(good)
    env.reset()
    env.step(good)
    with pytest.raises(gym.error.ResetNeeded, match="call reset"):
        env.step(good)
    assert env.env.evaluator.spent == 1
    assert env.reset(seed=3, options={"anything": 1})  # PettingZoo's own tests pass such options


# ---- the environment behind ----------------------------------------------------------------------


def test_budget_and_trials_are_those_of_the_environment() -> None:
    inner = make_env("ArchGym/ToySequential-v0")
    evaluator = inner.new_evaluator(budget=2)
    env = DesignParallelEnv(inner)
    good = actions_of(TOY_SPACE, TOY_SPACE.default())
    for _ in range(2):
        env.reset()
        env.step(good)
    assert evaluator.spent == 2
    assert evaluator.best is not None
    env.reset()
    with pytest.raises(BudgetExhausted):
        env.step(good)


def test_a_failure_is_told_to_all() -> None:
    env = DesignParallelEnv(make_env("ArchGym/Toy-v0"))
    env.reset()
    design = {**TOY_SPACE.default(), "lanes": 32, "stages": 12}
    _, rewards, terminations, _, infos = env.step(actions_of(TOY_SPACE, design))
    assert {info["status"] for info in infos.values()} == {Status.INFEASIBLE}
    assert set(rewards.values()) == {env.env.objective.failure_reward}
    assert all(terminations.values())


def test_it_renders_the_last_design() -> None:
    env = DesignParallelEnv(make_env("ArchGym/Toy-v0", {"render_mode": "ansi"}))
    env.reset()
    assert env.render() == "no design yet"
    env.step(actions_of(TOY_SPACE, {**TOY_SPACE.default(), "unit": "systolic"}))
    text = env.render()
    assert text is not None
    assert "systolic" in text


def test_closing_closes_the_simulator() -> None:
    simulator = Simulator()
    env = DesignParallelEnv(DesignEnv(SMALL, simulator, "minimize:cost"))
    env.close()
    assert simulator.closed
