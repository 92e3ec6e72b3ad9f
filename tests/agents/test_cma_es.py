from typing import Any, cast

import pytest

from archgym_py.agents.cma_es import CMAES
from archgym_py.agents.random_search import RandomSearch
from archgym_py.simulator import Status
from archgym_py.space import Choice, Constraint, Design, Integer, Ordinal, ParameterSpace, Real

MIXED = ParameterSpace(
    (
        Real("real", 0.0, 1.0),
        Real("log", 1.0, 1e4, log=True),
        Integer("ordered", 0, 40),
        Ordinal("two", (1, 2)),
        Choice("unordered", ("a", "b", "c", "d")),
        Integer("single", 5, 5),
    )
)


def bowl(design: Design) -> float:
    return (
        1e-3
        + (cast(float, design["real"]) - 0.7) ** 2
        + ((cast(int, design["ordered"]) - 31) / 40) ** 2
        + (design["two"] == 1)
        + (design["unordered"] != "c")
    )


def test_it_converges_on_a_bowl_over_a_mixed_space(search: Any) -> None:
    for seed in range(3):
        best = min(t.metrics["a"] for t in search(CMAES(MIXED, seed=seed), bowl, 400))
        random = min(t.metrics["a"] for t in search(RandomSearch(MIXED, seed=seed), bowl, 400))
        assert best < 1.2e-3 < random


def test_other_units_of_the_cost_change_nothing(search: Any) -> None:
    def keys(factor: float) -> list[str]:
        # The reward is the logarithm of the cost, so that this shifts all rewards.
        trials = search(CMAES(MIXED, seed=0), lambda design: factor * bowl(design), 120)
        return [trial.key for trial in trials]

    assert keys(1.0) == keys(1e3)


def test_known_designs_cost_no_sample(search: Any) -> None:
    space = ParameterSpace((Integer("x", 1, 30), Choice("c", ("a", "b"))))

    def cost(design: Design) -> float:
        return cast(int, design["x"]) + (design["c"] == "a")

    trials = search(CMAES(space, seed=0), cost, 40)
    assert len({trial.key for trial in trials}) == 40


def test_designs_that_break_a_constraint_cost_no_sample(search: Any) -> None:
    space = ParameterSpace(
        (Integer("x", 1, 50, default=30), Integer("y", 1, 50, default=30)),
        (Constraint("sum", "x + y >= 40", lambda d: cast(int, d["x"]) + cast(int, d["y"]) >= 40),),
    )
    trials = search(
        CMAES(space, seed=0), lambda d: float(cast(int, d["x"]) * cast(int, d["y"])), 100
    )
    assert all(trial.status is Status.OK for trial in trials)
    assert min(trial.metrics["a"] for trial in trials) <= 60.0


@pytest.mark.parametrize("size", [4, 30])
def test_a_generation_has_the_population_size_at_most(size: int) -> None:
    assert len(CMAES(MIXED, seed=0, population_size=size).ask(1000)) == size


def test_a_broken_constraint_is_told_as_worse_than_all_that_works(
    monkeypatch: pytest.MonkeyPatch, tell: Any
) -> None:
    space = ParameterSpace(
        (Real("x", 0.0, 1.0), Real("y", 0.0, 1.0)),
        (Constraint("x", "x <= 0.6", lambda d: cast(float, d["x"]) <= 0.6),),
    )
    agent = CMAES(space, seed=0, population_size=16)
    optimizer = agent._new_optimizer()
    learn = optimizer.tell
    losses: dict[bool, list[float]] = {True: [], False: []}

    def spy(solutions: list[tuple[Any, float]]) -> None:
        for solution, loss in solutions:
            losses[bool(solution.x[0] <= 0.6)].append(loss)
        learn(solutions)

    monkeypatch.setattr(optimizer, "tell", spy)
    monkeypatch.setattr(agent, "_new_optimizer", lambda: optimizer)
    for _ in range(6):
        tell(agent, lambda design: cast(float, design["x"]) - 100.0)
    assert len(losses[False]) >= 10
    assert min(losses[False]) > max(losses[True])
    assert max(losses[False]) < 102.0  # and finite: as far below as the best lies above
