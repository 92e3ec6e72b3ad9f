from typing import Any, cast

import pytest

from archgym_py.agents.local_search import LocalSearch
from archgym_py.evaluator import Trial
from archgym_py.space import Choice, Constraint, Design, Integer, ParameterSpace, Real

SPACE = ParameterSpace(
    (Choice("c", tuple("abcd")), Integer("i", 0, 7), Integer("wide", 0, 99), Real("r", 0.0, 1.0))
)


def changes(one: Design, other: Design) -> list[str]:
    return [name for name in one if one[name] != other[name]]


def bowl(design: Design) -> float:
    return (
        1.0
        + (design["c"] != "c")
        + abs(cast(int, design["i"]) - 5)
        + abs(cast(int, design["wide"]) - 70) / 10
        + abs(cast(float, design["r"]) - 0.25)
    )


def values(trials: list[Trial]) -> list[float]:
    return [trial.metrics["a"] for trial in trials]


def test_neighbours_differ_in_one_parameter(tell: Any) -> None:
    agent = LocalSearch(SPACE, seed=0, starts=1, batch_size=64)
    [start] = tell(agent, lambda _: 0.0)
    near = tell(agent, lambda _: -1.0)
    assert {tuple(changes(start, design)) for design in near} <= {(name,) for name in SPACE.names}
    assert {design["c"] for design in near} == set("abcd")
    assert {design["i"] for design in near} == set(range(8))
    steps = {abs(cast(int, d["wide"]) - cast(int, start["wide"])) for d in near} - {0}
    assert steps <= {1, 2, 4, 8, 16, 32, 64}
    assert len(steps) >= 6
    glides = {abs(cast(float, d["r"]) - cast(float, start["r"])) for d in near} - {0.0}
    assert all(min(abs(g - 0.5**k) for k in range(1, 11)) < 1e-12 for g in glides)


def test_it_climbs_to_the_top_of_a_hill(search: Any) -> None:
    assert min(values(search(LocalSearch(SPACE, seed=0), bowl, 300))) < 1.05


def test_no_design_is_sampled_twice_while_there_are_others(search: Any) -> None:
    trials = search(LocalSearch(SPACE, seed=0), bowl, 300)
    assert len({trial.key for trial in trials}) == 300


def test_sideways_moves_drift_along_a_plateau_before_a_restart(tell: Any) -> None:
    space = ParameterSpace(tuple(Integer(f"x{index}", 0, 1) for index in range(12)))
    agent = LocalSearch(space, seed=0, starts=1, batch_size=64, sideways=3)
    [start] = tell(agent, lambda _: 0.0)
    farthest = [max(len(changes(start, d)) for d in tell(agent, lambda _: 0.0)) for _ in range(4)]
    assert farthest == [1, 2, 3, 4]  # the neighbours of the start, then of one sideways move, ...
    [kicked] = tell(agent, lambda _: 0.0)
    assert len(changes(start, kicked)) > 2


def test_a_kick_changes_some_parameters_of_the_best_design(tell: Any) -> None:
    space = ParameterSpace(tuple(Integer(f"x{index}", 0, 1) for index in range(8)))
    agent = LocalSearch(space, seed=0, starts=1, batch_size=64, sideways=0, restart="kick", kick=4)
    [start] = tell(agent, lambda _: 0.0)
    near = tell(agent, lambda _: -1.0)  # all neighbours are worse: a local optimum
    assert len(near) == 8
    [kicked] = tell(agent, lambda _: -2.0)
    assert 2 <= len(changes(start, kicked)) <= 4


def test_a_random_restart_starts_anywhere(tell: Any) -> None:
    space = ParameterSpace(tuple(Integer(f"x{index}", 0, 1) for index in range(24)))
    agent = LocalSearch(space, seed=0, starts=1, batch_size=64, sideways=0, restart="random")
    [start] = tell(agent, lambda _: 0.0)
    tell(agent, lambda _: -1.0)
    [fresh] = tell(agent, lambda _: -2.0)
    assert len(changes(start, fresh)) > 5


def test_neighbours_that_break_a_constraint_cost_nothing(search: Any) -> None:
    space = ParameterSpace(
        (Integer("x", 0, 9), Integer("y", 0, 9)),
        (Constraint("sum", "x + y < 9", lambda d: cast(int, d["x"]) + cast(int, d["y"]) < 9),),
    )
    trials = search(LocalSearch(space, seed=0), lambda d: 20.0 - cast(int, d["x"]), 40)
    assert all(trial.status == "ok" for trial in trials)
    assert min(values(trials)) == 12.0


def test_failures_are_left_for_anything_that_works(search: Any) -> None:
    def mostly_broken(design: Design) -> float:
        return bowl(design) if design["c"] == "c" else float("inf")

    trials = search(LocalSearch(SPACE, seed=0, starts=4), mostly_broken, 200)
    assert min(trial.metrics["a"] for trial in trials if trial.status == "ok") < 1.2


BITS = ParameterSpace(tuple(Integer(f"x{index}", 0, 1) for index in range(12)))


def test_every_value_of_an_unordered_parameter_is_one_move_away(tell: Any) -> None:
    values = [f"v{index}" for index in range(40)]
    space = ParameterSpace((Choice("c", tuple(values)),))
    agent = LocalSearch(space, seed=0, starts=1, batch_size=64)
    [start] = tell(agent, lambda _: 0.0)
    near = tell(agent, lambda _: -1.0)
    assert {design["c"] for design in near} == set(values) - {start["c"]}


def test_it_goes_on_from_the_best_start_and_the_best_neighbour(tell: Any) -> None:
    agent = LocalSearch(BITS, seed=0, starts=6, batch_size=64)
    rewards = iter([1.0, 4.0, 2.0, 9.0, 3.0, 8.0])
    starts = tell(agent, lambda _: next(rewards))
    assert len(starts) == 6
    best = starts[3]
    near = tell(agent, lambda design: 10.0 + BITS.names.index(changes(best, design)[0]))
    assert all(len(changes(best, design)) == 1 for design in near)
    top = {**best, "x11": 1 - cast(int, best["x11"])}
    assert top in near
    assert all(len(changes(top, design)) == 1 for design in tell(agent, lambda _: 0.0))


@pytest.mark.parametrize("seed", range(8))
def test_sideways_moves_never_go_back(tell: Any, seed: int) -> None:
    agent = LocalSearch(BITS, seed=seed, starts=1, batch_size=64, sideways=3)
    [start] = tell(agent, lambda _: 0.0)
    steps = [BITS.names[:count] for count in range(12)]

    def stairs(design: Design) -> float:  # a plateau as narrow as a path
        return 0.0 if tuple(changes(start, design)) in steps else -1.0

    farthest = [max(len(changes(start, d)) for d in tell(agent, stairs)) for _ in range(4)]
    assert farthest == [1, 2, 3, 4]


def test_a_later_kick_still_starts_from_the_best_design(tell: Any) -> None:
    space = ParameterSpace(tuple(Integer(f"x{index}", 0, 3) for index in range(20)))
    agent = LocalSearch(space, seed=0, starts=1, batch_size=64, sideways=0, restart="kick", kick=5)
    [start] = tell(agent, lambda _: 0.0)
    assert len(tell(agent, lambda _: -1.0)) == 60
    kicks = []
    for level in (2.0, 4.0, 6.0):
        [kicked] = tell(agent, lambda _, level=level: -level)
        kicks.append(kicked)
        near = tell(agent, lambda _, level=level: -level - 1.0)
        assert all(len(changes(kicked, design)) == 1 for design in near)
    assert all(3 <= len(changes(start, kicked)) <= 5 for kicked in kicks)


def test_what_is_known_is_climbed_without_samples() -> None:
    space = ParameterSpace((Integer("x", 0, 99),))
    agent = LocalSearch(space, seed=0)
    points = space.batch([[(number + 0.5) / 100] for number in range(100)]).units
    agent._rank = {point.tobytes(): (True, float(point[0])) for point in points}
    agent._move_to(points[0])
    assert agent._here is not None
    assert agent._here.tolist() == points[99].tolist()
    assert agent._unknown == []
