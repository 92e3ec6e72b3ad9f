import itertools
import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archgym_py.errors import ConfigError
from archgym_py.evaluator import Trial
from archgym_py.objective import parse_objective
from archgym_py.pareto import ParetoArchive, goals_of, reference_of
from archgym_py.simulator import Evaluation, Metric, Status

METRICS = (Metric("time_ns", "ns", 1.0, 1e9), Metric("energy_pj", "pJ", 10.0, 1e12))
BASELINE = {"time_ns": 1000.0, "energy_pj": 500.0}


def trial(index: int, *rewards: float, status: Status = Status.OK) -> Trial:
    return Trial(index, {}, str(index), status, "", {}, 0.0, rewards, False, 0.0, 0)


def dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))


def vectors(goals: int) -> st.SearchStrategy[list[tuple[float, ...]]]:
    # Few levels, so that equal rewards and ties in one goal are common.
    return st.lists(st.tuples(*[st.integers(-2, 3).map(float)] * goals), max_size=25)


@given(st.integers(1, 3).flatmap(vectors))
def test_the_front_is_what_nothing_dominates(rewards: list[tuple[float, ...]]) -> None:
    archive = ParetoArchive((-3.0,) * (len(rewards[0]) if rewards else 2))
    taken = [archive.add(trial(index, *vector)) for index, vector in enumerate(rewards)]
    expected = {v for v in rewards if not any(dominates(other, v) for other in rewards)}
    front = archive.front
    assert sorted(t.rewards for t in front) == sorted(expected)  # each of them once
    assert all(t.index == rewards.index(t.rewards) for t in front)  # the first of equals
    assert all(taken[t.index] for t in front)
    assert [t.rewards for t in front] == sorted(expected, reverse=True)


@given(st.integers(2, 3).flatmap(vectors))
def test_the_hypervolume_is_the_number_of_unit_boxes_below_the_front(
    rewards: list[tuple[float, ...]],
) -> None:
    goals = len(rewards[0]) if rewards else 2
    archive = ParetoArchive((-1.0,) * goals)
    for index, vector in enumerate(rewards):
        archive.add(trial(index, *vector))
    corners = itertools.product(range(4), repeat=goals)  # the upper corners of the boxes from -1 on
    inside = sum(any(all(map(float.__ge__, v, map(float, c))) for v in rewards) for c in corners)
    assert archive.hypervolume() == pytest.approx(inside)


def test_failures_are_not_trade_offs() -> None:
    archive = ParetoArchive((0.0, 0.0))
    assert not archive.add(trial(0, 5.0, 5.0, status=Status.CRASHED))
    assert archive.front == []
    assert archive.hypervolume() == 0.0


def test_what_is_worse_than_the_reference_point_in_one_goal_has_no_volume() -> None:
    archive = ParetoArchive((0.0, 0.0))
    assert archive.add(trial(0, 100.0, -0.1))
    assert archive.hypervolume() == 0.0
    assert archive.add(trial(1, 2.0, 3.0))
    assert archive.hypervolume() == 6.0


@pytest.mark.parametrize(
    "spec", ["pareto:time_ns,energy_pj", "pareto:energy_pj=2e3,time_ns=1.5e3", "pareto:time_ns"]
)
def test_the_reference_point_is_known_from_the_log(spec: str) -> None:
    objective = parse_objective(spec, metrics=METRICS, baseline=BASELINE)
    metrics = {"time_ns": 700.0, "energy_pj": 650.0}
    evaluation = Evaluation(metrics)
    logged = Trial(
        3, {}, "", Status.OK, "", metrics, 0.0, objective.vector(evaluation), False, 0.0, 0
    )
    assert reference_of(objective.name, logged) == pytest.approx(objective.reference, rel=1e-12)
    assert goals_of(objective.name) == objective.metrics


def test_an_objective_with_one_goal_has_no_reference_point() -> None:
    objective = parse_objective("minimize:time_ns", metrics=METRICS, baseline=BASELINE)
    assert objective.reference is None
    assert goals_of(objective.name) == ()
    assert reference_of(objective.name, trial(0, math.log(2))) is None


def test_without_moocore_the_front_is_there_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "moocore", None)
    archive = ParetoArchive((0.0, 0.0))
    archive.add(trial(0, 1.0, 1.0))
    assert len(archive.front) == 1
    with pytest.raises(ConfigError, match=r"pip install 'archgym_py\[report\]'"):
        archive.hypervolume()
