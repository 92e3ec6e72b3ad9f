import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given
from hypothesis import strategies as st

from archgym_py.environment import DesignEnv, DesignVectorEnv, SequentialDesignEnv
from archgym_py.errors import (
    ActionError,
    BudgetExhausted,
    ConfigError,
    InfeasibleDesign,
    SpaceError,
)
from archgym_py.evaluator import Evaluator, MemoryRecorder
from archgym_py.simulator import Evaluation, Metric, Status
from archgym_py.space import (
    Choice,
    Constraint,
    Design,
    Integer,
    Ordinal,
    ParameterSpace,
    Real,
    Value,
)


def _is_small(design: Mapping[str, Value]) -> bool:
    return not (design["size"] == 64 and design["depth"] == 5)


SPACE = ParameterSpace(
    (
        Choice("policy", ("open", "closed", "broken")),
        Ordinal("size", (1, 8, 64)),
        Integer("depth", 1, 5),
        Real("clock", 0.5, 2.0, levels=4),
    ),
    (Constraint("small", "64 does not go with 5", _is_small),),
)


class Simulator:
    """time_ns = size * depth / clock and hit_rate = depth / 5; "broken" designs fail."""

    name = "test"
    version = "1"
    deterministic = True
    metrics = (
        Metric("time_ns", "ns", 0.1, 1e4),
        Metric("hit_rate", "1", 0.0, 1.0),
    )

    def __init__(self) -> None:
        self.calls = 0
        self.closed = 0

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        self.calls += 1
        if design["policy"] == "broken":
            raise InfeasibleDesign("broken cannot be built")
        size, depth, clock = (float(design[name]) for name in ("size", "depth", "clock"))
        return Evaluation({"time_ns": size * depth / clock, "hit_rate": depth / 5})

    def close(self) -> None:
        self.closed += 1


class BatchSimulator(Simulator):
    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def evaluate_batch(
        self, designs: Sequence[Design], *, seeds: Sequence[int]
    ) -> list[Evaluation]:
        self.batches.append(len(designs))
        evaluations = []
        for design, seed in zip(designs, seeds, strict=True):
            try:
                evaluations.append(self.evaluate(design, seed=seed))
            except InfeasibleDesign as error:
                evaluations.append(Evaluation({}, Status.INFEASIBLE, str(error)))
        return evaluations


def make(simulator: Simulator | None = None, **kwargs: Any) -> DesignEnv:
    return DesignEnv(SPACE, simulator or Simulator(), "minimize:time_ns", **kwargs)


def make_sequential(**kwargs: Any) -> SequentialDesignEnv:
    return SequentialDesignEnv(SPACE, Simulator(), "minimize:time_ns", **kwargs)


GOOD = np.array([1, 1, 2, 3])  # closed, size 8, depth 3, clock 2.0
BROKEN = np.array([2, 1, 2, 3])
TOO_LARGE = np.array([0, 2, 4, 0])


# ---- one step, one design ----------------------------------------------------------------------


def test_a_step_is_a_design() -> None:
    env = make()
    observation, info = env.reset(seed=0)
    assert observation.tolist() == [0.0, 0.0, 0.0]
    assert info == {}
    observation, reward, terminated, truncated, info = env.step(GOOD)
    design = {"policy": "closed", "size": 8, "depth": 3, "clock": 2.0}
    assert info == {
        "design": design,
        "key": SPACE.key(design),
        "status": "ok",
        "message": "",
        "metrics": {"time_ns": 12.0, "hit_rate": 0.6},
    }
    # The default design takes 1 * 1 / 0.5 = 2 ns.
    assert reward == pytest.approx(math.log(2.0 / 12.0))
    assert (terminated, truncated) == (True, False)
    assert type(reward) is float
    # time_ns is on a log scale from 0.1 to 1e4, hit_rate on a linear one as it may be 0.
    assert observation == pytest.approx([math.log10(12.0 / 0.1) / 5, 0.6, 1.0])
    assert observation.dtype == np.float32


def test_box_actions_are_bins_of_the_cube() -> None:
    env = make(action="box")
    *_, info = env.step(np.array([-1.0, 0.0, 1.0, 0.49], np.float32))
    assert info["design"] == {"policy": "open", "size": 8, "depth": 5, "clock": 1.5}


@pytest.mark.parametrize(
    ("action", "message"),
    [(BROKEN, "broken cannot be built"), (TOO_LARGE, "small: 64 does not go with 5")],
)
def test_a_failure_is_data(action: "np.ndarray[Any, Any]", message: str) -> None:
    env = make()
    observation, reward, terminated, _, info = env.step(action)
    assert observation.tolist() == [0.0, 0.0, 0.0]
    assert reward == env.objective.failure_reward < env.objective.reward_low
    assert terminated
    assert (info["status"], info["message"]) == ("infeasible", message)
    assert info["metrics"] == {}


def test_observations_stay_in_their_space_at_the_bounds() -> None:
    class Extreme(Simulator):
        metrics = (
            Metric("time_ns", "ns", 0.3, 0.3 * (1 + 1e-15)),
            Metric("hit_rate", "1", -1e300, 1e300),
        )

        def evaluate(self, design: Design, *, seed: int) -> Evaluation:
            time_ns, hit_rate = self.metrics
            if design["depth"] == 1:
                return Evaluation({"time_ns": time_ns.low, "hit_rate": hit_rate.low})
            return Evaluation({"time_ns": time_ns.high, "hit_rate": hit_rate.high})

    env = make(Extreme())
    low, high = env.step(np.array([0, 0, 0, 0]))[0], env.step(np.array([0, 0, 1, 0]))[0]
    assert low.tolist() == [0.0, 0.0, 1.0]
    assert high.tolist() == [1.0, 1.0, 1.0]
    assert low in env.observation_space
    assert high in env.observation_space


@pytest.mark.parametrize(
    ("kind", "action", "message"),
    [
        ("multidiscrete", [0, 0, 0], "4 integers"),
        ("multidiscrete", [[0, 0, 0, 0]], "4 integers"),
        ("multidiscrete", [0.0, 0.0, 0.0, 0.0], "dtype float64"),
        ("multidiscrete", [0, 3, 0, 0], r"'size'.* 0\.\.2, got 3"),
        ("multidiscrete", [-1, 0, 0, 0], r"'policy'.* 0\.\.2, got -1"),
        ("multidiscrete", "open", "dtype <U4"),
        ("box", [0.0, 0.0, 0.0], "4 numbers"),
        ("box", [0.0, math.nan, 0.0, 0.0], r"'size' must lie in \[-1, 1\], got nan"),
        ("box", [0.0, 0.0, 0.0, 1.01], r"'clock' must lie in \[-1, 1\], got 1.01"),
        ("box", [0.0, 0.0, -math.inf, 0.0], r"'depth' must lie in \[-1, 1\], got -inf"),
    ],
)
def test_wrong_actions_are_refused_and_count_for_nothing(
    kind: str, action: Any, message: str
) -> None:
    env = make(action=kind)
    with pytest.raises(ActionError, match=message):
        env.step(action)
    assert env.evaluator.spent == 0


def test_returned_data_is_new_on_every_call() -> None:
    env = make()
    first, second = env.step(GOOD), env.step(GOOD)
    assert data_equivalence(first, second, exact=True)
    first[4]["metrics"]["time_ns"] = -1.0
    first[4]["design"]["size"] = -1
    first[0][:] = -1.0
    assert data_equivalence(env.step(GOOD), second, exact=True)


def test_the_same_info_for_cached_and_simulated_designs() -> None:
    simulator = Simulator()
    env = make(simulator)
    first, calls = env.step(GOOD), simulator.calls
    assert data_equivalence(env.step(GOOD), first, exact=True)
    assert simulator.calls == calls


# ---- arguments ---------------------------------------------------------------------------------


def test_wrong_arguments_are_refused_before_any_simulation() -> None:
    simulator = Simulator()
    with pytest.raises(ConfigError, match="Did you mean 'time_ns'"):
        DesignEnv(SPACE, simulator, "minimize:time")
    with pytest.raises(ConfigError, match=r"unknown action 'multi_discrete'\. Did you mean"):
        make(simulator, action="multi_discrete")
    with pytest.raises(ConfigError, match="unknown render_mode 'human'"):
        make(simulator, render_mode="human")
    with pytest.raises(ConfigError, match="baseline must be a mapping of metrics to values, got 3"):
        make(simulator, baseline=3)
    assert simulator.calls == 0


def test_a_continuous_space_needs_box_actions() -> None:
    space = ParameterSpace((Real("clock", 0.5, 2.0),))

    class Clock(Simulator):
        def evaluate(self, design: Design, *, seed: int) -> Evaluation:
            return Evaluation({"time_ns": 1 / float(design["clock"]), "hit_rate": 0.0})

    for sequential in (False, True):
        make_env = SequentialDesignEnv if sequential else DesignEnv
        with pytest.raises(SpaceError, match=r"continuous.*'box'"):
            make_env(space, Clock(), "minimize:time_ns")
        env = make_env(space, Clock(), "minimize:time_ns", action="box")
        env.reset()
        *_, info = env.step(np.array([-0.5], np.float32))
        assert info["design"] == {"clock": 0.875}


def test_reset_takes_no_options() -> None:
    with pytest.raises(ConfigError, match=r"no options, got 'workload'. .* gymnasium.make"):
        make().reset(options={"workload": "x"})
    make().reset(options={})


def test_baseline_is_simulated_once_and_not_counted() -> None:
    simulator, memory = Simulator(), MemoryRecorder()
    env = make(simulator)
    env.reset()
    assert simulator.calls == 0
    env.new_evaluator(recorder=memory)
    env.new_evaluator(recorder=memory)
    assert env.baseline == {"time_ns": 2.0, "hit_rate": 0.2}
    assert simulator.calls == 1
    assert env.evaluator.spent == 0
    assert memory.trials == []


def test_given_baseline_replaces_the_default_design() -> None:
    simulator = Simulator()
    env = make(simulator, baseline={"time_ns": 24.0})
    assert env.step(GOOD)[1] == pytest.approx(math.log(2.0))
    assert simulator.calls == 1


def test_infeasible_default_is_refused() -> None:
    space = ParameterSpace((Choice("policy", ("broken", "open")), *SPACE.parameters[1:]))
    env = DesignEnv(space, Simulator(), "minimize:time_ns")
    with pytest.raises(ConfigError, match=r"infeasible: broken cannot be built. Pass baseline="):
        env.step(GOOD % 2)
    env = DesignEnv(space, Simulator(), "minimize:time_ns", baseline={"time_ns": 1.0})
    assert env.step(np.array([0, 0, 0, 0]))[4]["status"] == "infeasible"


# ---- evaluator ---------------------------------------------------------------------------------


def test_new_evaluator_sets_budget_and_recorder() -> None:
    env, memory = make(), MemoryRecorder()
    env.step(GOOD)
    evaluator = env.new_evaluator(budget=2, recorder=memory)
    assert env.evaluator is evaluator
    env.step(GOOD)
    env.reset()
    env.step(BROKEN)
    assert (evaluator.spent, evaluator.remaining) == (2, 0)
    with pytest.raises(BudgetExhausted):
        env.step(GOOD)
    assert [trial.status for trial in memory.trials] == [Status.OK, Status.INFEASIBLE]


def test_new_evaluator_resumes_from_a_history() -> None:
    env, memory = make(), MemoryRecorder()
    env.new_evaluator(budget=2, recorder=memory)
    env.step(GOOD)
    env.step(BROKEN)
    resumed = MemoryRecorder()
    env.new_evaluator(budget=3, recorder=resumed, history=memory.trials)
    for action in (GOOD, BROKEN, TOO_LARGE):
        env.step(action)
    assert [trial.index for trial in resumed.trials] == [2]


def test_noise_follows_the_seed_of_the_evaluator() -> None:
    class Noisy(Simulator):
        deterministic = False

        def evaluate(self, design: Design, *, seed: int) -> Evaluation:
            noise = np.random.default_rng(seed).random()
            return Evaluation({"time_ns": 1.0 + noise, "hit_rate": 0.0})

    env = make(Noisy())

    def times(seed: int) -> list[float]:
        env.new_evaluator(seed=seed)
        return [env.step(GOOD)[4]["metrics"]["time_ns"] for _ in range(3)]

    assert len(set(times(0))) == 3
    assert times(0) == times(0)
    assert times(0) != times(1)


def test_close_closes_the_simulator() -> None:
    simulator = Simulator()
    make(simulator).close()
    assert simulator.closed == 1
    envs = DesignVectorEnv(make(simulator), 2)
    envs.close()
    envs.close()
    assert simulator.closed == 2


# ---- rendering ---------------------------------------------------------------------------------


def test_ansi_text_shows_design_and_metrics() -> None:
    env = make(render_mode="ansi")
    env.reset()
    assert env.render() == "no design yet"
    env.step(GOOD)
    text = str(env.render())
    for part in ("ok", "closed", "clock", "2.0", "time_ns", "12"):
        assert part in text
    env.step(BROKEN)
    assert "infeasible" in str(env.render())
    assert "broken cannot be built" in str(env.render())


def test_render_without_a_mode_warns() -> None:
    env = make()
    with pytest.warns(UserWarning, match="render_mode='ansi'"):
        assert env.render() is None
    with pytest.warns(UserWarning, match="render_mode='ansi'"):
        assert DesignVectorEnv(env, 2).render() is None


def test_sequential_render_shows_the_partial_design() -> None:
    env = make_sequential(render_mode="ansi")
    env.reset()
    env.step(2)
    lines = str(env.render()).splitlines()
    assert [line.split() for line in lines] == [
        ["policy", "closed"],
        ["size", "-"],
        ["depth", "-"],
        ["clock", "-"],
    ]
    for _ in range(3):
        env.step(0)
    assert "time_ns" in str(env.render())


# ---- one step, one parameter -------------------------------------------------------------------


@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize(
    ("of_sequential", "action"),
    [(False, "multidiscrete"), (False, "box"), (True, "discrete"), (True, "box")],
)
def test_views_share_the_evaluator(sequential: bool, of_sequential: bool, action: str) -> None:
    env = make_sequential() if sequential else make()
    evaluator = env.new_evaluator(budget=3)
    view = env.view(sequential=of_sequential, action=action)
    assert isinstance(view, SequentialDesignEnv) == of_sequential
    assert view.evaluator is evaluator
    assert view.objective.name == env.objective.name
    view.reset()
    view.action_space.seed(0)
    terminated = False
    while not terminated:
        terminated = view.step(view.action_space.sample())[2]
    assert evaluator.spent == 1


def test_views_refuse_actions_that_do_not_exist() -> None:
    with pytest.raises(ConfigError, match="action"):
        make().view(sequential=True, action="multidiscrete")


def test_sequential_episode() -> None:
    env = make_sequential()
    assert env.action_space == gym.spaces.Discrete(5)
    observation, info = env.reset(seed=0)
    assert observation.tolist() == [-1, -1, -1, -1, 1, 0, 0, 0]
    assert info == {}
    observation, reward, terminated, truncated, info = env.step(2)
    assert observation == pytest.approx([0.5, -1, -1, -1, 0, 1, 0, 0])
    assert (reward, terminated, truncated, info) == (0.0, False, False, {})
    for action in (3, 2):
        assert env.step(action)[1:] == (0.0, False, False, {})
    observation, reward, terminated, truncated, info = env.step(np.int64(4))
    assert info["design"] == {"policy": "closed", "size": 8, "depth": 3, "clock": 2.0}
    assert reward == pytest.approx(math.log(2.0 / 12.0))
    assert (terminated, truncated) == (True, False)
    assert observation == pytest.approx([0.5, 0.5, 0.5, 0.875, 0, 0, 0, 0])
    assert observation in env.observation_space
    assert env.evaluator.spent == 1


def test_sequential_actions_reach_every_value_about_equally() -> None:
    env = make_sequential()
    for number, parameter in enumerate(SPACE.parameters):
        reached = []
        for action in range(5):
            env.reset()
            for _ in range(number):
                env.step(0)
            env.step(action)
            reached.append(env._partial[parameter.name])
        values = [parameter.value_at(index) for index in range(parameter.cardinality or 0)]
        assert list(dict.fromkeys(reached)) == values
        counts = [reached.count(value) for value in values]
        assert max(counts) - min(counts) <= 1


def test_sequential_box_actions() -> None:
    env = make_sequential(action="box")
    assert env.action_space == gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    env.reset()
    for number in (-1.0, 0.0, 1.0, 0.49):
        *_, info = env.step(np.array([number], np.float32))
    assert info["design"] == {"policy": "open", "size": 8, "depth": 5, "clock": 1.5}


def test_sequential_design_is_complete_until_reset() -> None:
    env = make_sequential()
    env.reset()
    for _ in range(4):
        env.step(0)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)
    env.reset()
    env.step(0)


@pytest.mark.parametrize(
    ("kind", "action", "message"),
    [
        ("discrete", 5, r"0\.\.4, got 5"),
        ("discrete", -1, r"0\.\.4, got -1"),
        ("discrete", 1.0, "one integer, got dtype float64"),
        ("discrete", [1], r"shape \(1,\)"),
        ("discrete", True, "dtype bool"),
        ("box", [math.nan], "got nan"),
        ("box", [1.5], r"\[-1, 1\], got 1.5"),
        ("box", 0.5, r"shape \(\)"),
        ("box", [0.5, 0.5], r"shape \(2,\)"),
        ("box", ["0.5"], "dtype <U3"),
    ],
)
def test_wrong_sequential_actions_are_refused(kind: str, action: Any, message: str) -> None:
    env = make_sequential(action=kind)
    env.reset()
    with pytest.raises(ActionError, match=message):
        env.step(action)
    with pytest.raises(ActionError, match="stands for no design"):
        env.design_from_action(0)


def test_sequential_kinds_differ_from_whole_designs() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'discrete'"):
        make_sequential(action="multidiscrete")


# ---- batches -----------------------------------------------------------------------------------


@given(st.lists(st.tuples(*[st.integers(0, k - 1) for k in (3, 3, 5, 4)]), min_size=1, max_size=6))
def test_vector_env_equals_gymnasiums(rows: list[tuple[int, ...]]) -> None:
    count = len(rows)
    envs = DesignVectorEnv(make(BatchSimulator()), count)
    single = SyncVectorEnv([make] * count, autoreset_mode=AutoresetMode.SAME_STEP)
    assert envs.action_space == single.action_space
    assert envs.observation_space == single.observation_space
    assert data_equivalence(envs.reset(seed=1), single.reset(seed=1), exact=True)
    for _ in range(2):
        actions = np.array(rows)
        one, other = envs.step(actions), single.step(actions)
        assert data_equivalence(one, other, exact=True)
        assert one[0] in envs.observation_space


def test_vector_step_returns_reset_and_final_observations() -> None:
    envs = DesignVectorEnv(make(BatchSimulator()), 2)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    envs.reset(seed=0)
    observations, rewards, terminations, truncations, infos = envs.step(np.stack([GOOD, BROKEN]))
    assert observations.tolist() == [[0.0] * 3] * 2
    assert terminations.tolist() == [True, True]
    assert truncations.tolist() == [False, False]
    assert rewards.dtype == np.float64
    final = make().step(GOOD)
    assert infos["final_obs"][0].tolist() == final[0].tolist()
    assert infos["final_obs"][1].tolist() == [0.0, 0.0, 0.0]
    info = infos["final_info"]
    assert info["status"].tolist() == ["ok", "infeasible"]
    assert info["metrics"]["time_ns"].tolist() == [12.0, 0.0]
    assert info["metrics"]["_time_ns"].tolist() == [True, False]
    assert info["design"]["size"].tolist() == [8, 8]


def test_vector_env_simulates_a_batch_in_one_call() -> None:
    simulator = BatchSimulator()
    envs = DesignVectorEnv(make(simulator), 3)
    envs.reset()
    envs.step(np.stack([GOOD, BROKEN, TOO_LARGE]))
    assert simulator.batches == [2]  # the third breaks a constraint
    assert isinstance(envs.evaluator, Evaluator)
    assert envs.evaluator.spent == 3


def test_vector_env_never_exceeds_the_budget() -> None:
    envs = DesignVectorEnv(make(BatchSimulator()), 3)
    envs.env.new_evaluator(budget=5)
    envs.reset()
    envs.step(np.stack([GOOD] * 3))
    with pytest.raises(BudgetExhausted):
        envs.step(np.stack([GOOD] * 3))
    assert envs.evaluator.spent == 3


def test_vector_env_names_the_wrong_action() -> None:
    envs = DesignVectorEnv(make(), 2)
    envs.reset()
    with pytest.raises(ActionError, match=r"action 1: .*'policy'"):
        envs.step(np.array([[0, 0, 0, 0], [7, 0, 0, 0]]))
    with pytest.raises(ActionError, match=r"2 actions, one for each sub-environment, .* \(3, 4\)"):
        envs.step(np.stack([GOOD] * 3))
    with pytest.raises(ActionError, match="2 actions"):
        envs.step(np.array(0))
    assert envs.evaluator.spent == 0


def test_vector_env_renders_each_design() -> None:
    envs = DesignVectorEnv(make(render_mode="ansi"), 2)
    envs.reset()
    assert envs.render() == ("no design yet", "no design yet")
    envs.step(np.stack([GOOD, BROKEN]))
    frames = envs.render()
    assert frames is not None
    assert frames[0].startswith("ok")
    assert frames[1].startswith("infeasible")


def test_vector_env_refuses_what_it_cannot_batch() -> None:
    with pytest.raises(ConfigError, match="vectorization_mode='sync'"):
        DesignVectorEnv(make_sequential(), 2)
    with pytest.raises(ConfigError, match=r"a whole number from 1 to .*, got 0"):
        DesignVectorEnv(make(), 0)
    with pytest.raises(ConfigError, match="no options, got 'reset_mask'"):
        DesignVectorEnv(make(), 2).reset(options={"reset_mask": np.array([True, False])})


def test_gymnasium_wrappers_accept_the_vector_env() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        envs = gym.make_vec("ArchGym/Toy-v0", num_envs=3)
        wrapped = gym.wrappers.vector.RecordEpisodeStatistics(envs)
        wrapped.reset(seed=0)
        wrapped.action_space.seed(0)
        _, rewards, *_, infos = wrapped.step(wrapped.action_space.sample())
    assert infos["episode"]["r"] == pytest.approx(rewards)
    assert infos["episode"]["l"].tolist() == [1, 1, 1]
