from typing import Any, cast

import numpy as np
import pytest

from archgym_py.agents.simulated_annealing import SimulatedAnnealing
from archgym_py.space import Choice, Constraint, Design, Integer, ParameterSpace, Real

SPACE = ParameterSpace(
    (Choice("c", tuple("abcdef")), Integer("i", 0, 49), Real("r", 0.0, 1.0), Integer("one", 3, 3))
)


def bowl(design: Design) -> float:
    return (
        1.0
        + (design["c"] != "c")
        + abs(cast(int, design["i"]) - 35) / 10
        + abs(cast(float, design["r"]) - 0.25)
    )


def test_it_cools_onto_the_best_region(search: Any) -> None:
    agent = SimulatedAnnealing(SPACE, seed=0, cycle=400)
    costs = [trial.metrics["a"] for trial in search(agent, bowl, 396)]
    assert np.mean(costs[-40:]) < np.mean(costs[:100]) / 2
    assert min(costs) < 1.1


def test_another_scale_or_offset_of_the_reward_changes_nothing(tell: Any) -> None:
    def proposals(scale: float, offset: float) -> list[Design]:
        agent = SimulatedAnnealing(SPACE, seed=4)
        designs: list[Design] = []
        for _ in range(60):
            designs += tell(
                agent,
                # Powers of two, so that rounding is the same.
                lambda d: None if d["c"] == "f" else scale * (offset - round(8 * bowl(d))),
            )
        return designs

    expected = proposals(1.0, 0.0)
    assert proposals(1024.0, 0.0) == expected
    assert proposals(1.0, -4096.0) == expected


@pytest.mark.parametrize(
    ("temperature", "loss", "low", "high"),
    # exp(-loss / temperature), with losses in units of the spread of scores
    [(1.0, 1.0, 0.30, 0.44), (0.5, 1.0, 0.09, 0.18), (1.0, 0.0, 1.0, 1.0), (1.0, -3.0, 1.0, 1.0)],
)
def test_worse_neighbours_are_taken_by_temperature(
    monkeypatch: pytest.MonkeyPatch,
    tell: Any,
    temperature: float,
    loss: float,
    low: float,
    high: float,
) -> None:
    monkeypatch.setattr(SimulatedAnnealing, "_temperature", lambda _: temperature)
    monkeypatch.setattr(SimulatedAnnealing, "_spread_of_scores", lambda _: 2.0)
    taken = []
    for seed in range(12):
        agent = SimulatedAnnealing(SPACE, seed=seed, chains=64)
        tell(agent, lambda _: 0.0)
        before = agent._here.copy()
        tell(agent, lambda _: -2.0 * loss)
        taken += (agent._here != before).any(axis=1).tolist()
    assert low <= np.mean(taken) <= high


def test_the_temperature_falls_geometrically_and_rises_again() -> None:
    agent = SimulatedAnnealing(
        SPACE, seed=0, start_temperature=10.0, end_temperature=1e-3, cycle=100
    )
    course = []
    for done in (0, 25, 50, 75, 99, 100, 125):
        agent._history = [0.0] * done
        course.append(agent._temperature())
    assert course[:4] == pytest.approx([10.0, 1.0, 1e-1, 1e-2])
    assert course[5:] == pytest.approx([10.0, 1.0])
    assert course[4] < 1.2e-3


def test_chains_restart_at_the_best_design(tell: Any) -> None:
    agent = SimulatedAnnealing(SPACE, seed=0, chains=5, cycle=20)
    rewards: list[tuple[float, Design]] = []

    def reward(design: Design) -> float:
        rewards.append((-bowl(design), design))
        return rewards[-1][0]

    for _ in range(4):
        tell(agent, reward)
    value, best = max(rewards, key=lambda pair: pair[0])
    assert all(design == best for design in agent.space.batch(agent._here).designs)
    assert agent._value.tolist() == [value] * 5


def test_without_spread_a_move_changes_one_parameter(tell: Any) -> None:
    agent = SimulatedAnnealing(SPACE, seed=0, chains=30, spread=0.0)
    before = tell(agent, lambda _: 0.0)
    after = tell(agent, lambda _: -1.0)
    for one, other in zip(before, after, strict=True):
        assert sum(one[name] != other[name] for name in one) == 1
        assert other["one"] == 3


def test_losses_are_measured_in_interquartile_ranges() -> None:
    agent = SimulatedAnnealing(SPACE, seed=0)
    agent._history = [0.0, 1.0, 2.0, 3.0, 400.0]
    assert agent._spread_of_scores() == 2.0
    agent._history = [0.0] * 9 + [5.0]  # most are equal
    assert agent._spread_of_scores() == 5.0


def test_failures_do_not_stretch_the_spread_of_scores(tell: Any) -> None:
    agent = SimulatedAnnealing(SPACE, seed=0, chains=16)
    told = []

    def reward(design: Design) -> float | None:
        told.append(-bowl(design) if design["c"] in ("a", "b") else None)
        return told[-1]

    for _ in range(10):
        tell(agent, reward)
    works = [value for value in told if value is not None]
    assert 40 < len(works) < 120
    assert agent._spread_of_scores() <= 2 * (max(works) - min(works))


@pytest.mark.parametrize(("temperature", "low", "high"), [(10.0, 12.0, 60.0), (1e-5, 0.5, 3.0)])
def test_moves_are_wide_when_hot_and_of_about_one_value_when_cold(
    monkeypatch: pytest.MonkeyPatch, tell: Any, temperature: float, low: float, high: float
) -> None:
    space = ParameterSpace((Integer("i", 0, 99),))
    agent = SimulatedAnnealing(space, seed=0, chains=64, start_temperature=10.0)
    monkeypatch.setattr(agent, "_temperature", lambda: temperature)
    before = tell(agent, lambda _: 0.0)
    after = tell(agent, lambda _: 0.0)
    lengths = [abs(a["i"] - b["i"]) for a, b in zip(before, after, strict=True)]
    assert min(lengths) >= 1
    assert low <= np.mean(lengths) <= high


def test_moves_are_reflected_at_the_bounds() -> None:
    agent = SimulatedAnnealing(ParameterSpace((Real("r", 0.0, 1.0),)), seed=0)
    for start in (0.01, 0.99):
        ends = np.array([agent._move(np.array([start]))[0] for _ in range(1000)])
        assert ((ends > 0.0) & (ends < 1.0)).all()
        # Reflected, both halves of a normal distribution of width 0.3 lie inside.
        assert 0.15 < np.median(np.abs(ends - start)) < 0.25


def test_neighbours_satisfy_constraints(search: Any) -> None:
    space = ParameterSpace(
        (Integer("x", 0, 19), Integer("y", 0, 19)),
        (Constraint("sum", "x + y < 20", lambda d: cast(int, d["x"]) + cast(int, d["y"]) < 20),),
    )
    trials = search(SimulatedAnnealing(space, seed=0), lambda d: 40.0 - cast(int, d["x"]), 200)
    assert sum(trial.status == "ok" for trial in trials) == 200
