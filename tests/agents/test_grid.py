from typing import Any, cast

import pytest

from archgym_py.agents.grid import Grid
from archgym_py.space import Choice, Constraint, Design, Integer, ParameterSpace, Real


def flat(_: Design) -> float:
    return 1.0


SPACE = ParameterSpace((Choice("c", ("a", "b", "z")), Integer("i", 0, 8), Integer("j", 0, 4)))


@pytest.mark.parametrize("order", ["scattered", "lexicographic"])
def test_the_coarse_grid_comes_first_and_everything_in_the_end(search: Any, order: str) -> None:
    designs = [t.design for t in search(Grid(SPACE, seed=0, order=order), flat, 3 * 9 * 5)]
    ends = {(c, i, j) for c in "abz" for i in (0, 8) for j in (0, 4)}
    assert {tuple(design.values()) for design in designs[:12]} == ends
    middles = {(c, i, j) for c in "abz" for i in (0, 4, 8) for j in (0, 2, 4)}
    assert {tuple(design.values()) for design in designs[:27]} == middles
    assert len({tuple(design.values()) for design in designs}) == SPACE.size


def test_lexicographic_order_moves_the_last_parameter_first(search: Any) -> None:
    trials = search(Grid(SPACE, seed=0, order="lexicographic"), flat, 4)
    assert [tuple(t.design.values()) for t in trials] == [
        ("a", 0, 0),
        ("a", 0, 4),
        ("a", 8, 0),
        ("a", 8, 4),
    ]


def test_scattered_points_move_every_parameter_early(search: Any) -> None:
    space = ParameterSpace(tuple(Integer(f"x{index}", 0, 1) for index in range(20)))
    trials = search(Grid(space, seed=0), flat, 40)
    assert all(len({trial.design[name] for trial in trials}) == 2 for name in space.names)
    still = search(Grid(space, seed=0, order="lexicographic"), flat, 40)
    assert sum(len({trial.design[name] for trial in still}) == 2 for name in space.names) == 6


def test_a_continuous_parameter_is_cut_finer_without_end(search: Any) -> None:
    trials = search(Grid(ParameterSpace((Real("x", 0.0, 1.0),)), seed=0), flat, 60)
    values = [cast(float, trial.design["x"]) for trial in trials]
    assert len(set(values)) == 60
    assert set(values[:2]) == {0.0, 1.0}
    assert values[2] == 0.5


def test_an_exhausted_space_is_proposed_again(search: Any) -> None:
    keys = [trial.key for trial in search(Grid(SPACE, seed=0), flat, 2 * 135)]
    assert set(keys[:135]) == set(keys[135:])


def test_designs_that_break_a_constraint_are_left_out(search: Any) -> None:
    space = ParameterSpace(
        (Integer("x", 0, 9), Integer("y", 0, 9)),
        (Constraint("sum", "x + y < 9", lambda d: cast(int, d["x"]) + cast(int, d["y"]) < 9),),
    )
    trials = search(Grid(space, seed=0), flat, 45)
    assert all(trial.status == "ok" for trial in trials)
    assert len({trial.key for trial in trials}) == 45 == space.count_canonical()


def test_a_space_of_more_points_than_64_bits_can_count(search: Any) -> None:
    space = ParameterSpace(tuple(Integer(f"x{index}", 0, 9) for index in range(80)))
    trials = search(Grid(space, seed=0), flat, 50)
    assert len({trial.key for trial in trials}) == 50
