from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

from archgym_py.agents.ant_colony import AntColony
from archgym_py.space import Choice, Constraint, Design, Integer, ParameterSpace

SPACE = ParameterSpace((Choice("c", ("a", "b", "z")), Integer("i", 0, 3)))
CONDITIONAL = ParameterSpace(
    (Choice("mode", ("off", "on")), Integer("depth", 0, 3, active_when={"mode": ("on",)}))
)


def pheromone(agent: AntColony) -> dict[str, list[float]]:
    edges = np.cumsum([p.cardinality for p in agent.space.parameters])[:-1]
    parts = np.split(agent._pheromone, edges)
    return dict(zip(agent.space.names, (part.tolist() for part in parts), strict=True))


def test_pheromone_of_a_generation_by_hand(tell: Any) -> None:
    agent = AntColony(SPACE, seed=0, ants=4, evaporation=0.5, elites=2, best_share=0.4, floor=0.01)
    order = tell(agent, float_of(SPACE))
    best, second = sorted(order, key=float_of(SPACE), reverse=True)[:2]
    # All start at 1 and keep 0.5. The best design of the run lays 0.4 of 0.5; the elites share the
    # rest 2 to 1, and the first of them is that best design.
    expected: dict[str, list[float]] = {"c": [0.5] * 3, "i": [0.5] * 4}
    for design, laid in ((best, 0.5 * 0.4 + 0.5 * 0.6 * 2 / 3), (second, 0.5 * 0.6 / 3)):
        expected["c"]["abz".index(cast(str, design["c"]))] += laid
        expected["i"][cast(int, design["i"])] += laid
    for name, values in pheromone(agent).items():
        assert values == pytest.approx(expected[name])


def float_of(space: ParameterSpace) -> Callable[[Design], float]:
    """A reward that is different for every design."""
    return lambda design: float(space.encode(design) @ np.array([4.0, 1.0]))


@pytest.mark.parametrize(
    "other", [lambda r: 1000.0 * r, lambda r: r - 1e6, lambda r: r**3, lambda r: np.exp(r) - 50.0]
)
def test_only_the_order_of_rewards_matters(tell: Any, other: Callable[[float], float]) -> None:
    def proposals(reward: Callable[[float], float]) -> list[Design]:
        space = ParameterSpace(tuple(Integer(f"x{k}", 0, 4) for k in range(4)))
        agent = AntColony(space, seed=1, ants=8)
        designs: list[Design] = []
        for _ in range(25):
            designs += tell(
                agent, lambda d: reward(sum(cast(int, v) for v in d.values()) + float(d["x0"]) / 8)
            )
        return designs

    assert proposals(other) == proposals(lambda r: r)


def test_pheromone_gathers_on_the_better_values_also_of_negative_rewards(search: Any) -> None:
    space = ParameterSpace(tuple(Integer(f"x{k}", 0, 9) for k in range(5)))

    def cost(design: Design) -> float:  # above 1, so that every reward is negative
        return 2.0 + sum(abs(cast(int, value) - 7) for value in design.values())

    agent = AntColony(space, seed=0, patience=100)
    search(agent, cost, 400)
    for values in pheromone(agent).values():
        assert int(np.argmax(values)) == 7


def test_pheromone_stays_between_floor_and_ceiling(tell: Any) -> None:
    agent = AntColony(SPACE, seed=0, ants=4, evaporation=0.8, floor=0.05, patience=100)
    for _ in range(30):
        tell(agent, float_of(SPACE))
    for values in pheromone(agent).values():
        assert min(values) == 0.05
        assert 0.9 < max(values) <= 1.0


def test_inactive_parameters_keep_their_pheromone(tell: Any) -> None:
    agent = AntColony(CONDITIONAL, seed=0, ants=5, elites=1)
    agent._pheromone[2:] = 0.5  # below the ceiling, so that more would be seen too
    tell(agent, lambda design: 1.0 if design["mode"] == "off" else 0.0)
    after = pheromone(agent)
    assert after["depth"] == [0.5] * 4
    assert after["mode"][0] == 1.0 > after["mode"][1]


def test_stale_pheromone_is_reset(tell: Any) -> None:
    space = ParameterSpace(tuple(Integer(f"x{k}", 0, 9) for k in range(4)))
    agent = AntColony(space, seed=0, ants=4, patience=3)
    tell(agent, lambda _: 5.0)
    for _ in range(2):
        tell(agent, lambda _: 1.0)
        assert set(agent._pheromone.tolist()) != {1.0}
    tell(agent, lambda _: 1.0)
    assert set(agent._pheromone.tolist()) == {1.0}


def test_known_designs_and_broken_constraints_cost_nothing(search: Any) -> None:
    space = ParameterSpace(
        (Integer("x", 0, 29), Integer("y", 0, 29)),
        (Constraint("sum", "x + y < 30", lambda d: cast(int, d["x"]) + cast(int, d["y"]) < 30),),
    )
    trials = search(AntColony(space, seed=0, floor=0.3), lambda d: 1.0 + cast(int, d["x"]), 40)
    assert all(trial.status == "ok" for trial in trials)
    assert len({trial.key for trial in trials}) == 40


def test_failures_rank_below_everything(tell: Any) -> None:
    agent = AntColony(SPACE, seed=0, ants=6, elites=1, best_share=0.0)
    designs = tell(agent, lambda design: None if design["c"] != "b" else -1e12)
    assert {design["c"] for design in designs} >= {"a", "b"}
    best = int(np.argmax(pheromone(agent)["c"]))
    assert best == 1


def test_a_generation_does_not_lay_what_the_best_design_of_the_run_does(tell: Any) -> None:
    agent = AntColony(SPACE, seed=0, ants=4, evaporation=0.5, best_share=1.0, floor=0.01)
    best = max(tell(agent, float_of(SPACE)), key=float_of(SPACE))
    for _ in range(2):
        tell(agent, lambda _: -1.0)
    for name, values in pheromone(agent).items():
        expected = [0.125] * len(values)
        expected[SPACE[name].index_of(best[name])] = 1.0
        assert values == pytest.approx(expected)


def test_a_parameter_that_is_active_in_some_elites_gets_their_share(tell: Any) -> None:
    agent = AntColony(CONDITIONAL, seed=0, ants=5, evaporation=0.5, elites=2, best_share=0.0)
    agent._pheromone[2:] = 0.6
    order: list[Design] = []

    def reward(design: Design) -> float:  # the first "off" is best, the first "on" second
        order.append(design)
        first = [d["mode"] for d in order].count(design["mode"]) == 1
        return (2.0 if design["mode"] == "off" else 1.0) if first else 0.0

    tell(agent, reward)
    second = next(design for design in order if design["mode"] == "on")
    # Of the 0.5 that are laid, the second of two elites lays a third.
    expected = [0.6 * (1 - 0.5 / 3)] * 4
    expected[cast(int, second["depth"])] += 0.5 / 3
    assert pheromone(agent)["depth"] == pytest.approx(expected)


def test_patience_counts_from_the_last_better_design_or_restart(tell: Any) -> None:
    space = ParameterSpace(tuple(Integer(f"x{k}", 0, 9) for k in range(4)))
    agent = AntColony(space, seed=0, ants=4, patience=3)
    restarts = []
    for reward in (5.0, 5.0, 5.0, 6.0, 6.0, 6.0, 6.0, 1.0, 6.0, 5.0):
        tell(agent, lambda _, reward=reward: reward)
        restarts.append(set(agent._pheromone.tolist()) == {1.0})
    # Nothing is better than the 6 of the fourth generation: not an equal one either.
    assert restarts == [False] * 6 + [True] + [False] * 2 + [True]
