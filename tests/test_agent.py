from collections import Counter
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from archgym_py.agent import AskTellAgent, Scores, check_finite, sample_feasible
from archgym_py.environment import DesignEnv
from archgym_py.errors import ArchGymError, ConfigError, SpaceError
from archgym_py.evaluator import Trial
from archgym_py.simulator import Evaluation, Metric, Status
from archgym_py.space import Choice, Constraint, Design, Integer, ParameterSpace, Real

SPACE = ParameterSpace((Integer("x", 0, 99), Choice("y", ("a", "b"))))


class Simulator:
    name = "test"
    version = "1"
    deterministic = True
    metrics = (Metric("cost", "1", 1.0, 1000.0),)

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        return Evaluation({"cost": 1.0 + float(design["x"])})

    def close(self) -> None:
        pass


class Counting(AskTellAgent):
    """Asks for the designs x = 0, 1, 2, ..., three at a time."""

    name = "counting"
    doc = "counts"
    hyperparameters = ParameterSpace(
        (
            Integer("start", 0, 9, default=3, doc="first x"),
            Real("rate", 0.0, 1.0, default=0.5),
            Choice("mode", ("fast", "slow")),
        ),
        (
            Constraint(
                "late", "start 9 needs mode slow", lambda c: c["start"] != 9 or c["mode"] == "slow"
            ),
        ),
    )

    def __init__(self, space: ParameterSpace, *, seed: int, **hyperparameters: Any) -> None:
        super().__init__(space, seed=seed, **hyperparameters)
        self.next = int(self.config["start"])
        self.learned: list[list[Trial]] = []

    def propose(self) -> list[Design]:
        self.next += 3
        return [{"x": x, "y": "a"} for x in range(self.next - 3, self.next)]

    def learn(self, trials: Sequence[Trial]) -> None:
        self.learned.append(list(trials))


class Talking(Counting):
    """Has an option."""

    options = MappingProxyType({"topic": "what to talk about"})


def make_env(budget: int | None) -> DesignEnv:
    env = DesignEnv(SPACE, Simulator(), "minimize:cost")
    env.new_evaluator(budget=budget)
    return env


def test_config_is_complete_and_typed() -> None:
    agent = Counting(SPACE, seed=0, rate=np.float32(0.25))
    assert agent.config == {"start": 3, "rate": 0.25, "mode": "fast"}
    assert type(agent.config["rate"]) is float


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"strat": 1}, r"agent 'counting': .*'strat'.*Did you mean 'start'"),
        ({"start": 10}, r"agent 'counting': .*'start'.* 0\.\.9, got 10"),
        ({"rate": float("nan")}, "agent 'counting': .*'rate'.*nan"),
        ({"mode": "Fast"}, "Did you mean 'fast'"),
        ({"start": 9}, "late: start 9 needs mode slow"),
    ],
)
def test_wrong_hyperparameters_are_refused(hyperparameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Counting(SPACE, seed=0, **hyperparameters)


def test_options_are_required_strings_that_are_part_of_the_config() -> None:
    agent = Talking(SPACE, seed=0, topic="memory", start=1)
    assert agent.config == {"start": 1, "rate": 0.5, "mode": "fast", "topic": "memory"}
    for arguments in ({}, {"topic": 3}):
        with pytest.raises(ConfigError, match=r"needs 'topic', a string: what to talk about"):
            Talking(SPACE, seed=0, **arguments)
    with pytest.raises(ConfigError, match="'topics'"):
        Talking(SPACE, seed=0, topic="memory", topics="memory")


def test_run_spends_the_budget_exactly() -> None:
    env = make_env(8)
    agent = Counting(SPACE, seed=0)
    agent.run(env)
    assert env.evaluator.remaining == 0
    # The last batch was cut, so that nothing is learned from it.
    assert [[trial.design["x"] for trial in batch] for batch in agent.learned] == [
        [3, 4, 5],
        [6, 7, 8],
    ]


def test_run_with_a_spent_or_empty_budget_does_nothing() -> None:
    agent = Counting(SPACE, seed=0)
    agent.run(make_env(0))
    assert agent.next == 3


def test_a_batch_is_taken_and_told_in_pieces() -> None:
    evaluator = make_env(None).evaluator
    agent = Counting(SPACE, seed=0)
    first, rest = agent.ask(1), agent.ask(100)
    assert [design["x"] for design in first + rest] == [3, 4, 5]
    with pytest.raises(ArchGymError, match=r"depends on 3 designs that were asked.*tell\(\)"):
        agent.ask(1)
    trials = evaluator.evaluate_batch(first + rest)
    agent.tell(trials[:2])
    assert agent.learned == []
    with pytest.raises(ArchGymError, match="depends on 1 designs"):
        agent.ask(1)
    agent.tell(trials[2:])
    assert agent.learned == [trials]
    assert agent.ask(1)[0]["x"] == 6


def test_tell_refuses_trials_of_other_designs() -> None:
    evaluator = make_env(None).evaluator
    agent = Counting(SPACE, seed=0)
    trials = evaluator.evaluate_batch(agent.ask(3))
    with pytest.raises(ArchGymError, match="'counting': trial 1 is not of the design"):
        agent.tell([trials[1]])
    agent.tell(trials[:2])
    agent.tell(trials[2:])
    with pytest.raises(ArchGymError, match="trial 2 is not of the design"):
        agent.tell(trials[2:])


def test_ask_refuses_an_agent_that_proposes_nothing() -> None:
    class Silent(Counting):
        def propose(self) -> list[Design]:
            return []

    with pytest.raises(ArchGymError, match="'counting' proposes nothing"):
        Silent(SPACE, seed=0).run(make_env(5))


def test_run_refuses_an_unlimited_evaluator() -> None:
    with pytest.raises(ConfigError, match=r"never stop.*new_evaluator\(budget=N\)"):
        Counting(SPACE, seed=0).run(make_env(None))


def test_run_refuses_another_space() -> None:
    agent = Counting(ParameterSpace((Integer("x", 0, 98), Choice("y", ("a", "b")))), seed=0)
    with pytest.raises(ConfigError, match="another space"):
        agent.run(make_env(5))


def test_equal_spaces_need_not_be_the_same_object() -> None:
    copy = ParameterSpace((Integer("x", 0, 99), Choice("y", ("a", "b"))))
    Counting(copy, seed=0).run(make_env(5))


def test_rng_depends_on_the_seed_only() -> None:
    first, same, other = (Counting(SPACE, seed=seed).rng.random(4) for seed in (7, 7, 8))
    assert first.tolist() == same.tolist()
    assert first.tolist() != other.tolist()


def test_sample_feasible_is_uniform_over_the_feasible_designs() -> None:
    space = ParameterSpace(
        (Integer("x", 1, 4), Integer("y", 1, 4)),
        (Constraint("area", "x * y < 6", lambda d: int(d["x"]) * int(d["y"]) < 6),),
    )
    counts = Counter(map(space.key, sample_feasible(space, np.random.default_rng(0), 8000).designs))
    assert len(counts) == space.count_canonical() == 8
    expected = 1000.0
    chi2 = sum((count - expected) ** 2 / expected for count in counts.values())
    assert chi2 < 24.4  # 99.9 % of the chi-squared distribution with 7 degrees of freedom


def test_sample_feasible_gives_up_on_a_hopeless_space() -> None:
    calls = []

    def check(design: Any) -> bool:
        calls.append(design)
        return bool(design["x"] == 0)

    space = ParameterSpace((Integer("x", 0, 10**6),), (Constraint("zero", "x is 0", check),))
    calls.clear()
    batch = sample_feasible(space, np.random.default_rng(0), 1, attempts=10)
    assert not batch.feasible.any()
    assert space.violations(batch.designs[0])
    assert len(calls) <= 12


def test_sample_feasible_draws_the_same_however_many_at_a_time() -> None:
    space = ParameterSpace(
        (Integer("x", 0, 99), Real("y", 0.0, 1.0)),
        (Constraint("odd", "x is odd", lambda d: int(d["x"]) % 2 == 1 or d["x"] == 0),),
    )
    one, other = (np.random.default_rng(5) for _ in range(2))
    whole = sample_feasible(space, one, 60)
    pieces = [sample_feasible(space, other, count) for count in (1, 19, 40)]
    assert whole.designs == [design for piece in pieces for design in piece.designs]
    assert whole.feasible.all()
    for unit, design in zip(whole.units, whole.designs, strict=True):
        assert space.from_unit(unit) == design


def trial(status: Status, *rewards: float) -> Trial:
    mean = sum(rewards) / len(rewards)
    return Trial(0, {}, "", status, "", {}, mean, rewards, False, 0.0, 0)


def test_failures_score_as_far_below_the_worst_as_the_best_lies_above_it() -> None:
    scores = Scores()
    assert scores.of(trial(Status.CRASHED, -50.0)) == (-1.0,)
    assert scores.of(trial(Status.OK, 3.0)) == (3.0,)
    assert scores.of(trial(Status.TIMEOUT, -50.0)) == (2.0,)
    assert scores.of(trial(Status.OK, 1.0)) == (1.0,)
    assert scores.of(trial(Status.INFEASIBLE, -50.0)) == (-1.0,)


def test_scores_of_vectors_are_taken_entry_by_entry() -> None:
    scores = Scores(objectives=2)
    scores.of(trial(Status.OK, 3.0, -1.0))
    scores.of(trial(Status.OK, 1.0, -1.0))
    assert scores.of(trial(Status.CRASHED, -50.0, -60.0)) == (-1.0, -2.0)


def test_with_one_objective_the_scalar_reward_counts() -> None:
    assert Scores().of(trial(Status.OK, 3.0, -1.0)) == (1.0,)


def test_spaces_with_too_many_values_are_refused() -> None:
    check_finite("test", SPACE)
    with pytest.raises(SpaceError, match=r"'test' searches .* 50 values each, but 'x' has 100"):
        check_finite("test", SPACE, most=50)
    with pytest.raises(SpaceError, match=r"'y' is continuous. Give it levels=N"):
        check_finite("test", ParameterSpace((Real("y", 0.0, 1.0),)))
