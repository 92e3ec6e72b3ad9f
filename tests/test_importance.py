"""Shares of variance: known functions, brute force and another implementation."""

from __future__ import annotations

import itertools
import math
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeRegressor

from archgym_py import importance
from archgym_py.errors import ConfigError
from archgym_py.importance import Importance, exact_importance, forest_importance
from archgym_py.space import Choice, Integer, Ordinal, ParameterSpace, Real

FloatArray = npt.NDArray[np.float64]

SPACE = ParameterSpace(
    (
        Choice("cache", ("none", "direct", "lru")),
        Ordinal("kib", (16, 32), active_when={"cache": ("direct", "lru")}),
        Integer("ways", 1, 4, active_when={"cache": ("lru",)}),
        Integer("cores", 1, 3),
    )
)
"""Of its 72 points, 36 differ in effect."""


def factorial(counts: Sequence[int]) -> npt.NDArray[np.int64]:
    return np.array(list(itertools.product(*map(range, counts))))


def exact(counts: Sequence[int], values: npt.ArrayLike) -> Importance:
    """Analyse a full factorial without conditions, its last parameter the fastest."""
    grid = factorial(counts)
    return exact_importance(grid, np.ones(grid.shape, np.bool_), counts, np.ravel(values))


def centres(counts: Sequence[int]) -> FloatArray:
    return np.asarray((factorial(counts) + 0.5) / np.array(counts))


def canonical(
    space: ParameterSpace, metric: Callable[[dict[str, Any]], float]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], list[int], list[float]]:
    """Return what `exact_importance` wants of the designs that satisfy all constraints."""
    designs = list(space.iter_canonical())
    numbers = np.array([space.encode(design) for design in designs])
    counts = [p.cardinality or 0 for p in space.parameters]
    active = space.batch((numbers + 0.5) / np.array(counts)).active
    return numbers, active, counts, [metric(design) for design in designs]


def cache_metric(design: dict[str, Any]) -> float:
    size = {"none": 0, "direct": design["kib"], "lru": design["kib"] * design["ways"] ** 0.5}
    return float(size[design["cache"]] + 20.0 / design["cores"] + size[design["cache"]] ** 0.5)


# --- Every design --------------------------------------------------------------------------------


def test_two_by_three_by_hand() -> None:
    # Mean 4; rows 3 and 5, so that their effects have the variance 1; columns 2, 5 and 5: 2. The
    # squares of all distances from the mean are 9, 4, 4, 1, 16 and 0: 34 / 6 = 17 / 3.
    shares = exact([2, 3], [[1, 2, 6], [3, 8, 4]])
    assert shares.main == pytest.approx([3 / 17, 6 / 17])
    assert shares.interactions == pytest.approx(np.array([[0, 8 / 17], [8 / 17, 0]]))
    assert shares.higher_order == pytest.approx(0.0, abs=1e-15)
    assert shares.deviation == pytest.approx(math.sqrt(17 / 3))
    assert shares.in_pairs == pytest.approx([8 / 17, 8 / 17])


def ishigami(points: tuple[int, int, int]) -> tuple[Importance, FloatArray]:
    """Analyse sin(x) + 7 sin(y)^2 + 0.1 z^4 sin(x) in the middles of bins of (-pi, pi)."""
    x, y, z = ((np.arange(count) + 0.5) / count * 2 * np.pi - np.pi for count in points)
    a, b = 7.0, 0.1
    values = (
        np.sin(x)[:, None, None]
        + a * np.sin(y)[None, :, None] ** 2
        + b * (z**4)[None, None, :] * np.sin(x)[:, None, None]
    )
    # Means of the powers of sines on even points are those of the continuum; those of z are not.
    fourth, eighth = np.mean(z**4), np.mean(z**8)
    parts = np.array([(1 + b * fourth) ** 2 / 2, a**2 / 8, 0.0, b**2 * (eighth - fourth**2) / 2])
    return exact(points, values), parts


def test_ishigami_on_a_grid() -> None:
    shares, parts = ishigami((12, 10, 9))
    assert shares.main == pytest.approx(parts[:3] / parts.sum(), abs=1e-12)
    assert shares.interactions[0, 2] == pytest.approx(parts[3] / parts.sum())
    assert shares.interactions[0, 1] == pytest.approx(0.0, abs=1e-12)
    assert shares.interactions[1, 2] == pytest.approx(0.0, abs=1e-12)
    assert shares.deviation == pytest.approx(math.sqrt(parts.sum()))


def test_ishigami_as_published() -> None:
    shares, _ = ishigami((8, 8, 400))
    # Saltelli et al., Global Sensitivity Analysis: The Primer, 2008.
    assert shares.main == pytest.approx([0.3139, 0.4424, 0.0], abs=1e-4)
    assert shares.interactions[0, 2] == pytest.approx(0.2437, abs=1e-4)


@given(
    st.lists(
        st.lists(st.integers(-5, 5), min_size=2, max_size=4).filter(lambda v: len(set(v)) > 1),
        min_size=2,
        max_size=4,
    )
)
def test_products_have_shares_in_closed_form(effects: list[list[int]]) -> None:
    # f = product of (1 + g), each g with mean 0 and variance v: a set of parameters has the
    # variance that is the product of theirs.
    centred = [np.array(effect) - np.mean(effect) for effect in effects]
    counts = [len(effect) for effect in effects]
    values = math.prod(1.0 + g[column] for g, column in zip(centred, factorial(counts).T))  # noqa: B905
    v = np.array([np.mean(g**2) for g in centred])
    total = np.prod(1.0 + v) - 1.0
    shares = exact(counts, values)
    assert shares.main == pytest.approx(v / total, abs=1e-12)
    pairs = np.outer(v, v) / total
    np.fill_diagonal(pairs, 0.0)
    assert shares.interactions == pytest.approx(pairs, abs=1e-12)
    rest = 1.0 - v.sum() / total - pairs.sum() / 2
    assert shares.higher_order == pytest.approx(rest, abs=1e-12)
    assert shares.deviation == pytest.approx(math.sqrt(total))


def test_inert_values_count_as_often_as_they_can_be_set() -> None:
    shares = exact_importance(*canonical(SPACE, cache_metric))
    counts = [p.cardinality or 0 for p in SPACE.parameters]
    everywhere = [cache_metric(SPACE.canonical(SPACE.decode(row))) for row in factorial(counts)]
    expanded = exact(counts, everywhere)
    assert shares.main == pytest.approx(expanded.main, abs=1e-12)
    assert shares.interactions == pytest.approx(expanded.interactions, abs=1e-12)
    assert shares.higher_order == pytest.approx(expanded.higher_order, abs=1e-12)
    assert shares.deviation == pytest.approx(expanded.deviation)
    assert shares.main.min() > 0.001  # all of it is tested


def explained(columns: Sequence[npt.NDArray[np.int64]], values: FloatArray) -> float:
    """Return the variance that the best sum of effects of some columns explains."""
    dummies = np.hstack([column[:, None] == np.unique(column) for column in columns]).astype(float)
    fitted = dummies @ np.linalg.lstsq(dummies, values)[0]
    return float(np.var(fitted) / np.var(values))


@given(st.data())
def test_designs_left_out_against_regression(data: st.DataObject) -> None:
    space = ParameterSpace(SPACE.parameters)
    numbers, active, counts, values = canonical(space, cache_metric)
    kept = data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)))
    keep = np.array(kept)
    metric = np.array(values)[keep]
    if len(set(metric)) < 2:
        return
    shares = exact_importance(numbers[keep], active[keep], counts, metric)
    # The same by brute force: all points that mean one of the designs that are kept.
    keys = {tuple(row): value for row, value in zip(numbers[keep].tolist(), metric, strict=True)}
    points = [
        (row, keys[place])
        for row in factorial(counts)
        if (place := tuple(space.encode(space.canonical(space.decode(row))).tolist())) in keys
    ]
    grid = np.array([row for row, _ in points])
    spread = np.array([value for _, value in points])
    for i in range(len(counts)):
        assert shares.main[i] == pytest.approx(explained([grid[:, i]], spread), abs=1e-9)
    for i, j in itertools.combinations(range(len(counts)), 2):
        cells = grid[:, i] * 100 + grid[:, j]
        gain = explained([cells], spread) - explained([grid[:, i], grid[:, j]], spread)
        assert shares.interactions[i, j] == pytest.approx(gain, abs=1e-9)
    complete = math.prod(len(np.unique(column)) for column in grid.T) == len(grid)
    assert (shares.higher_order is not None) == complete


def test_a_value_that_is_forbidden_takes_nothing_from_the_others() -> None:
    grid = factorial([3, 2, 2])
    values = np.array([5.0 * a + b * c for a, b, c in grid])
    kept = grid[:, 0] > 0
    shares = exact_importance(grid[kept], np.ones((8, 3), np.bool_), [3, 2, 2], values[kept])
    smaller = exact([2, 2, 2], values[kept])
    assert shares.main == pytest.approx(smaller.main)
    assert shares.interactions == pytest.approx(smaller.interactions, abs=1e-12)
    assert shares.higher_order == pytest.approx(0.0, abs=1e-12)


def test_parameters_that_are_tied_share_what_one_does() -> None:
    tied = np.array([[0, 0], [1, 1], [2, 2]])
    shares = exact_importance(tied, np.ones((3, 2), np.bool_), [3, 3], [1.0, 2.0, 4.0])
    assert shares.main == pytest.approx([1.0, 1.0])
    assert shares.interactions[0, 1] == pytest.approx(0.0, abs=1e-12)
    assert shares.higher_order is None


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_the_unit_of_a_metric_changes_no_share(scale: float) -> None:
    shares = exact([2, 3], scale * np.array([[1, 2, 6], [3, 8, 4]]))
    assert shares.main == pytest.approx([3 / 17, 6 / 17])
    assert shares.deviation == pytest.approx(scale * math.sqrt(17 / 3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": [1.0, 1.0]}, "is the same for all 2 designs: it has no variance"),
        ({"values": [1.0, math.nan]}, "must be finite"),
        ({"values": [1.0]}, "2 designs need as many values"),
        ({"numbers": [[0, 0], [0, 2]]}, r"numbered from 0 to below \[2, 2\]"),
        ({"numbers": [[0, 0], [0, -1]]}, "numbered from 0"),
        ({"numbers": [[0.0, 0.0], [0.0, 1.0]]}, "must be integers, got dtype float64"),
        ({"numbers": [[0], [1]]}, "rows of 2 numbers"),
        ({"active": [[1, 1], [1, 1]]}, "must be flags"),
        ({"active": [True, True]}, "must be flags"),
        ({"counts": [2, 2000]}, "has 2000 values"),
        (
            {"numbers": np.zeros((0, 2), int), "active": np.ones((0, 2), bool), "values": []},
            "known for no design",
        ),
    ],
)
def test_wrong_arguments(changes: dict[str, Any], message: str) -> None:
    arguments = {
        "numbers": [[0, 0], [0, 1]],
        "active": [[True, True], [True, True]],
        "counts": [2, 2],
        "values": [1.0, 2.0],
    }
    with pytest.raises(ConfigError, match=message):
        exact_importance(**{**arguments, **changes})


# --- Some designs --------------------------------------------------------------------------------


def forest(
    units: FloatArray, counts: Sequence[int | None], values: npt.ArrayLike, **options: Any
) -> importance.ForestImportance:
    return forest_importance(units, np.ones(units.shape, np.bool_), counts, values, **options)


@pytest.mark.parametrize("seed", range(5))
def test_a_tree_is_analysed_as_its_predictions_everywhere(seed: int) -> None:
    # Odd and even counts, so that thresholds fall onto values that no row has.
    counts = [2, 3, 5, 4]
    rng = np.random.default_rng(seed)
    grid = centres(counts)
    some = grid[rng.choice(len(grid), 40, replace=False)]
    tree = DecisionTreeRegressor(random_state=seed).fit(some, rng.normal(size=40))
    found = importance._tree_importance(tree.tree_, counts)
    brute = exact(counts, tree.predict(grid))
    assert found is not None
    assert found.main == pytest.approx(brute.main, abs=1e-12)
    assert found.interactions == pytest.approx(brute.interactions, abs=1e-12)
    assert found.higher_order == pytest.approx(brute.higher_order, abs=1e-12)
    assert found.deviation == pytest.approx(brute.deviation)


def test_a_tree_over_continua_is_analysed_as_its_volumes() -> None:
    # (1 + g)(1 + h) with steps at p and q, where the rows have them to 32 bits.
    p, q = 0.3, 0.55
    grid = np.array(list(itertools.product([0.1, p - 1e-6, p + 1e-6], [q - 1e-6, q + 1e-6, 0.9])))
    values = (1.0 + (grid[:, 0] > p)) * (1.0 + 2.0 * (grid[:, 1] > q))
    tree = DecisionTreeRegressor(random_state=0).fit(grid, values)
    found = importance._tree_importance(tree.tree_, [None, None])
    # Relative to their means, 2 - p and 3 - 2q, the factors have the variances v and w.
    v, w = p * (1 - p) / (2 - p) ** 2, 4 * q * (1 - q) / (3 - 2 * q) ** 2
    total = v + w + v * w
    assert found is not None
    assert found.main == pytest.approx([v / total, w / total], abs=1e-5)
    assert found.interactions[0, 1] == pytest.approx(v * w / total, abs=1e-5)
    assert found.deviation == pytest.approx(math.sqrt(total) * (2 - p) * (3 - 2 * q), abs=1e-5)


def test_more_values_than_are_taken_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    units = (rng.integers(0, 1000, (300, 2)) + 0.5) / 1000
    values = units[:, 0] ** 2 + units[:, 1]
    one_by_one = forest(units, [1000, 1000], values)
    monkeypatch.setattr(importance, "_MAX_TABLE", 999)
    continuum = forest(units, [1000, 1000], values)
    assert continuum.shares.main == pytest.approx(one_by_one.shares.main, abs=0.01)
    assert list(continuum.shares.main) != list(one_by_one.shares.main)


def test_a_forest_finds_the_shares_of_the_function() -> None:
    rng = np.random.default_rng(3)
    counts = [4, 5, 6, 3]
    grid = centres(counts)
    metric = np.array([(a > 0.5) + 2 * b + 3 * (a - 0.5) * (c - 0.5) for a, b, c, _ in grid])
    truth = exact(counts, metric)
    rows = rng.choice(len(grid), 250, replace=False)
    found = forest(grid[rows], counts, metric[rows])
    assert found.r2 > 0.95
    assert found.trees == 64
    assert found.shares.main == pytest.approx(truth.main, abs=0.03)
    assert found.shares.interactions == pytest.approx(truth.interactions, abs=0.03)
    assert found.shares.deviation == pytest.approx(truth.deviation, rel=0.05)
    assert 0.0 < found.main_spread.max() < 0.1
    assert np.array_equal(found.interaction_spread, found.interaction_spread.T)


def test_inert_values_are_no_causes() -> None:
    # 'ways' and 'kib' are at their default without a cache, so that they give its lack away.
    space = ParameterSpace((*SPACE.parameters[:3], Integer("cores", 1, 24)))
    numbers, active, counts, values = canonical(space, cache_metric)
    truth = exact_importance(numbers, active, counts, values).main
    units = (numbers + 0.5) / np.array(counts)
    found = forest_importance(units, active, counts, values).shares.main
    assert found == pytest.approx(truth, abs=0.05)
    taken_for_causes = forest(units, counts, values).shares.main
    assert np.abs(taken_for_causes - truth).max() > 0.3


def test_the_same_seed_gives_the_same_shares() -> None:
    rng = np.random.default_rng(0)
    units, active = rng.random((100, 3)), rng.random((100, 3)) < 0.8
    values = units.sum(axis=1)
    one, again, other = (
        forest_importance(units, active, [None] * 3, values, seed=seed) for seed in (1, 1, 2)
    )
    assert np.array_equal(one.shares.main, again.shares.main)
    assert np.array_equal(one.shares.interactions, again.shares.interactions)
    assert one.r2 == again.r2
    assert not np.array_equal(one.shares.main, other.shares.main)


def test_noise_is_not_explained() -> None:
    rng = np.random.default_rng(0)
    found = forest(rng.random((200, 3)), [None] * 3, rng.normal(size=200))
    assert found.r2 < 0.1


def test_optuna_finds_the_same_main_effects() -> None:
    optuna = pytest.importorskip("optuna")
    rng = np.random.default_rng(0)
    units = rng.random((400, 3))
    values = np.sin(6 * units[:, 0]) + units[:, 1] ** 2 + units[:, 0] * units[:, 2]
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    names = ["a", "b", "c"]
    study = optuna.create_study()
    uniform = optuna.distributions.FloatDistribution(0.0, 1.0)
    study.add_trials(
        [
            optuna.trial.create_trial(
                params=dict(zip(names, row, strict=True)),
                distributions=dict.fromkeys(names, uniform),
                value=value,
            )
            for row, value in zip(units.tolist(), values.tolist(), strict=True)
        ]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own experimental parts
        theirs = optuna.importance.FanovaImportanceEvaluator(seed=0).evaluate(study)
    ours = forest(units, [None] * 3, values).shares.main
    total = sum(theirs.values())
    expected = [theirs[name] / total for name in names]
    assert ours / ours.sum() == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    ("units", "values", "message"),
    [
        ([[0.1, 1.1]], [1.0], r"must lie in \[0, 1\]"),
        ([[0.1, math.nan]], [1.0], r"must lie in \[0, 1\]"),
        ([[0.1]], [1.0], "rows of 2 numbers"),
        ([[0.1, 0.2], [0.3, 0.4]], [1.0, 1.0], "no variance to explain"),
        # Where all rows are in one place, no tree can tell them apart.
        ([[0.5, 0.5]] * 30, [*range(30)], "no tree of the forest finds an effect"),
    ],
)
def test_wrong_samples(units: list[list[float]], values: list[float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        forest(np.array(units), [None, None], values)


def test_continua_take_part() -> None:
    space = ParameterSpace((Real("volt", 0.5, 1.5), Choice("kind", ("a", "b"))))
    rng = np.random.default_rng(0)
    designs = [space.sample(rng) for _ in range(200)]
    units = np.array([space.to_unit(design) for design in designs])
    values = [4.0 * float(design["volt"]) + (design["kind"] == "b") for design in designs]
    found = forest(units, [p.cardinality for p in space.parameters], values)
    # Variances 16 / 12 and 1 / 4.
    assert found.shares.main == pytest.approx([16 / 19, 3 / 19], abs=0.03)


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(ConfigError, match=r"pip install 'archgym_py\[proxy\]'"):
        forest(np.array([[0.1], [0.2]]), [None], [1.0, 2.0])
