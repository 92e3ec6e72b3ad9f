from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from archgym_py.agent import AskTellAgent, sample_feasible
from archgym_py.environment import DesignEnv
from archgym_py.errors import ArchGymError, ConfigError
from archgym_py.evaluator import Trial
from archgym_py.simulator import Evaluation, Metric
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
    """Asks for the designs x = 0, 1, 2, ..., at most three at a time."""

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
        self.asked: list[int] = []
        self.told: list[Trial] = []

    @property
    def batch_size(self) -> int:
        return 4

    def ask(self, n: int) -> list[Design]:
        self.asked.append(n)
        count = min(n, 3)
        self.next += count
        return [{"x": x, "y": "a"} for x in range(self.next - count, self.next)]

    def tell(self, trials: Sequence[Trial]) -> None:
        self.told += trials


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


def test_run_spends_the_budget_exactly() -> None:
    env = make_env(8)
    agent = Counting(SPACE, seed=0)
    agent.run(env)
    assert agent.asked == [4, 4, 2]  # three of four come back, then the budget is nearly spent
    assert [trial.design["x"] for trial in agent.told] == list(range(3, 11))
    assert [trial.index for trial in agent.told] == list(range(8))
    assert env.evaluator.remaining == 0


def test_run_with_a_spent_or_empty_budget_does_nothing() -> None:
    agent = Counting(SPACE, seed=0)
    agent.run(make_env(0))
    assert agent.asked == []


def test_run_refuses_an_agent_that_proposes_nothing() -> None:
    class Silent(Counting):
        def ask(self, n: int) -> list[Design]:
            return []

    with pytest.raises(ArchGymError, match="proposes nothing although 5 designs are left"):
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
    rng = np.random.default_rng(0)
    counts: dict[str, int] = {}
    for _ in range(8000):
        key = space.key(sample_feasible(space, rng))
        counts[key] = counts.get(key, 0) + 1
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
    design = sample_feasible(space, np.random.default_rng(0), attempts=10)
    assert space.violations(design)
    assert len(calls) <= 10
