from collections import Counter
from typing import Any, cast

import pytest
from scipy.stats.qmc import Sobol

from archgym_py.agents import quasi_random
from archgym_py.agents.quasi_random import QuasiRandom
from archgym_py.errors import SpaceError
from archgym_py.space import Choice, Constraint, Design, Integer, ParameterSpace, Real

SPACE = ParameterSpace((Choice("c", tuple("abcd")), Integer("i", 0, 7), Real("r", 0.0, 1.0)))


def flat(_: Design) -> float:
    return 1.0


def test_every_batch_is_balanced_over_every_parameter(tell: Any) -> None:
    agent = QuasiRandom(SPACE, seed=0, batch_size=64)
    for _ in range(3):
        designs = tell(agent, lambda _: 0.0)
        assert len(designs) == 64  # the continuous parameter makes all designs different
        assert set(Counter(design["c"] for design in designs).values()) == {16}
        assert set(Counter(design["i"] for design in designs).values()) == {8}
        assert set(Counter(int(64 * cast(float, d["r"])) for d in designs).values()) == {1}


def test_points_fill_pairs_of_parameters_evenly(tell: Any) -> None:
    designs = tell(QuasiRandom(SPACE, seed=0, batch_size=64), lambda _: 0.0)
    pairs = Counter((design["c"], design["i"]) for design in designs)
    assert len(pairs) == 32  # of 64 random designs, 28 pairs on average
    assert set(pairs.values()) == {2}


def test_seeds_scramble_differently(search: Any) -> None:
    keys = [{t.key for t in search(QuasiRandom(SPACE, seed=s), flat, 64)} for s in (1, 2)]
    assert not keys[0] & keys[1]


def test_no_design_comes_twice_until_all_have_come(search: Any) -> None:
    space = ParameterSpace(
        (Integer("x", 0, 7), Integer("y", 0, 7)),
        (Constraint("sum", "x + y < 8", lambda d: cast(int, d["x"]) + cast(int, d["y"]) < 8),),
    )
    trials = search(QuasiRandom(space, seed=0), flat, 60)
    legal = space.count_canonical()
    assert legal == 36
    assert len({trial.key for trial in trials[:legal]}) == legal
    assert len({trial.key for trial in trials}) == legal


def test_more_parameters_than_sobol_has_directions_for_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert quasi_random._MAX_DIMENSION == Sobol.MAXDIM
    monkeypatch.setattr(quasi_random, "_MAX_DIMENSION", 3)  # so many parameters take seconds
    space = ParameterSpace(tuple(Integer(f"x{index}", 0, 1) for index in range(4)))
    with pytest.raises(SpaceError, match=r"up to 3 parameters.*got 4. Use random_search"):
        QuasiRandom(space, seed=0)
    QuasiRandom(ParameterSpace(space.parameters[:3]), seed=0)


def test_known_designs_are_skipped_and_an_exhausted_space_comes_again(search: Any) -> None:
    # No power of two: the points of a batch that are balanced on paper share designs.
    space = ParameterSpace((Integer("x", 0, 2), Integer("y", 0, 4), Integer("z", 0, 6)))
    trials = search(QuasiRandom(space, seed=0, batch_size=16), flat, 105 + 16 + 105)
    assert len({trial.key for trial in trials[:105]}) == 105
    # The batch that brought nothing new is followed by all designs once more.
    assert len({trial.key for trial in trials[-105:]}) == 105


def test_a_sequence_that_is_used_up_is_followed_by_another_one(tell: Any) -> None:
    agent = QuasiRandom(SPACE, seed=0, batch_size=64)
    first = tell(agent, lambda _: 0.0)
    assert agent._sequence is not None
    agent._sequence.num_generated = agent._sequence.maxn  # after a thousand million points
    second = tell(agent, lambda _: 0.0)
    assert set(Counter(design["i"] for design in second).values()) == {8}
    assert not {design["r"] for design in first} & {design["r"] for design in second}
