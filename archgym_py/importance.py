"""How much of what a metric does is due to each parameter of a design, alone and in pairs.

A functional analysis of variance splits a function of independent inputs into a mean, a function of
each input, a function of each pair, and so on, all orthogonal to each other (Hoeffding, Annals of
Mathematical Statistics 19, 1948; Sobol, Mathematics and Computers in Simulation 55, 2001). The
variance of a part over that of the whole is its share: the *main effect* of a parameter, the
*interaction* of a pair, and a rest of higher order.

Two functions find them, and both mean the same distribution: every value of every parameter is
equally likely, as in `ParameterSpace.sample`. Values that differ in an inert parameter are
different points with the same metric there, so that a design weighs as much as there are such
points.

`exact_importance` needs the metric of every design, and no model. Designs that are left out,
because they break a constraint or failed, cost the parameters their independence. What it returns
is then still well-defined and lies within 0 to 1:

- a main effect is the variance of the mean of the metric given the parameter (the correlation
  ratio, or first-order Sobol index),
- an interaction is the part of the variance of the mean given both parameters which no sum of a
  function of the one and a function of the other explains (a two-way layout with unequal weights).

Yet the shares then overlap: a parameter that does nothing has a main effect if the constraint ties
it to one that does something, and the sum of all shares may exceed 1. Where the designs that are
left form a full factorial of fewer values, all is as without constraints.

`forest_importance` takes any designs with their metric: it fits a random forest and analyses each
tree exactly (Hutter, Hoos, Leyton-Brown, ICML 2014). The shares are those of the forest. They tell
of the metric as far as the forest does, which the out-of-bag R² says, on designs like those that it
was fitted on; it has a value for designs too that cannot be built.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from archgym_py.errors import ConfigError, require

__all__ = ["MAX_VALUES", "ForestImportance", "Importance", "exact_importance", "forest_importance"]

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.intp]

MAX_VALUES = 1024
"""Most values of a parameter in an exact analysis, which has tables of values times values."""

_TREES = 64
"""Size of a forest, which is that of Optuna's evaluator too. A row is in the bags of all its trees,
and so without an out-of-bag prediction, with the probability 0.632^64, or 2e-13."""

_MAX_TABLE = 2**16
"""Most values of a parameter that a forest takes one by one. More of them are a continuum to it:
the share of values below a threshold is then wrong by no more than one in so many."""

_NOTHING = 1e-20
"""Variance of a tree that is rounding, where the metric goes from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Importance:
    """Shares of the variance of a metric.

    Attributes:
        main: Main effect of each parameter, shape (n,).
        interactions: Interaction of each pair of parameters, symmetric with zeros on the diagonal,
            shape (n, n).
        higher_order: What is left for three and more parameters together; None where the shares
            overlap, see above. May differ from 0 by rounding where there is nothing.
        deviation: Standard deviation of the metric over all designs, in its unit.
    """

    main: FloatArray
    interactions: FloatArray
    higher_order: float | None
    deviation: float

    @property
    def in_pairs(self) -> FloatArray:
        """Sum of the interactions that each parameter takes part in, shape (n,)."""
        return np.asarray(self.interactions.sum(axis=1))


@dataclass(frozen=True, slots=True)
class ForestImportance:
    """Shares of the variance of a random forest.

    Attributes:
        shares: Means over the trees.
        main_spread: Standard deviation over the trees of each main effect, shape (n,).
        interaction_spread: The same of each interaction, shape (n, n).
        r2: Coefficient of determination of the forest's out-of-bag predictions: 1 is perfect, 0 is
            no better than the mean.
        trees: Number of trees that find an effect.
    """

    shares: Importance
    main_spread: FloatArray
    interaction_spread: FloatArray
    r2: float
    trees: int


# --- Every design --------------------------------------------------------------------------------


def exact_importance(
    numbers: npt.ArrayLike,
    active: npt.ArrayLike,
    counts: Sequence[int],
    values: npt.ArrayLike,
) -> Importance:
    """Analyse a metric that is known for every design.

    Args:
        numbers: Number of each value, as `ParameterSpace.encode` returns them, shape (m, n): every
            canonical design that is feasible, once.
        active: Whether each parameter has an effect in each design, shape (m, n); see
            `DesignBatch`.
        counts: Number of values of each parameter, n of them.
        values: The metric of each design, shape (m,).

    Returns:
        The shares. They are exact but for rounding; noise of a stochastic simulator counts as an
        effect of higher order.

    Raises:
        ConfigError: If the shapes or the numbers do not fit, a value is not finite, the metric is
            the same for all designs, or a parameter has too many values.

    Examples:
        A sum of two parameters, and their product:

        >>> grid = [[a, b] for a in range(2) for b in range(2)]
        >>> everywhere = [[True, True]] * 4
        >>> shares = exact_importance(grid, everywhere, [2, 2], [0, 2, 1, 3])
        >>> shares.main.round(3), shares.interactions.round(3)[0, 1] == 0.0
        (array([0.2, 0.8]), np.True_)
        >>> exact_importance(grid, everywhere, [2, 2], [0, 0, 0, 1]).main.round(3)
        array([0.333, 0.333])
    """
    places, is_active, metric = _checked(numbers, active, counts, values)
    inert = np.array(counts, dtype=np.float64)
    multiplicity = np.where(is_active, 1.0, inert).prod(axis=1)
    weights = multiplicity / multiplicity.sum()
    centred = (metric - weights @ metric) / np.ptp(metric)  # whose squares are floats
    deviation = math.sqrt(weights @ centred**2)
    scaled = centred / deviation
    # An inert value goes into one more row of a table, which is then spread over all others.
    places = np.where(is_active, places, np.array(counts))

    n = len(counts)
    main, interactions = np.zeros(n), np.zeros((n, n))
    used = 1.0
    for i, count in enumerate(counts):
        weight = _spread_rows(_add_up(places[:, i], weights, count + 1))
        total = _spread_rows(_add_up(places[:, i], weights * scaled, count + 1))
        main[i] = np.sum(_ratio(total, weight) * total)
        used *= np.count_nonzero(weight)
    for i, j in combinations(range(n), 2):
        shape = (counts[i] + 1, counts[j] + 1)
        cells = places[:, i] * shape[1] + places[:, j]
        size = shape[0] * shape[1]
        weight, total = (
            _spread_rows(_spread_rows(_add_up(cells, w, size).reshape(shape)).T).T
            for w in (weights, weights * scaled)
        )
        interactions[i, j] = interactions[j, i] = _interaction(weight, _ratio(total, weight))
    # The points of the designs lie in the grid of all values that occur: as many points as the
    # grid has are all of it, and then the parameters are independent.
    complete = math.isclose(multiplicity.sum(), used, rel_tol=1e-12)
    rest = 1.0 - main.sum() - interactions.sum() / 2.0
    return Importance(
        main, interactions, float(rest) if complete else None, float(deviation * np.ptp(metric))
    )


def _checked(
    numbers: npt.ArrayLike, active: npt.ArrayLike, counts: Sequence[int], values: npt.ArrayLike
) -> tuple[IntArray, npt.NDArray[np.bool_], FloatArray]:
    places = np.asarray(numbers)
    is_active = np.asarray(active)
    _check_shapes(places, is_active, len(counts))
    if places.dtype.kind not in "iu":
        raise ConfigError(f"the numbers of values must be integers, got dtype {places.dtype}.")
    if (places < 0).any() or (places >= np.array(counts)).any():
        raise ConfigError(f"the values are numbered from 0 to below {list(counts)}.")
    if max(counts) > MAX_VALUES:
        raise ConfigError(
            f"a parameter has {max(counts)} values, and tables for pairs of parameters have room "
            f"for {MAX_VALUES}. Give it fewer levels, or analyse samples instead."
        )
    return places.astype(np.intp), is_active, _metric(values, len(places))


def _check_shapes(designs: npt.NDArray[Any], active: npt.NDArray[Any], parameters: int) -> None:
    """Refuse designs that are no rows, and flags that are not theirs."""
    if designs.ndim != 2 or designs.shape[1] != parameters:
        raise ConfigError(
            f"designs are rows of {parameters} numbers, one for each parameter, got shape "
            f"{designs.shape}."
        )
    if active.shape != designs.shape or active.dtype != np.bool_:
        raise ConfigError(
            f"active must be flags of the shape {designs.shape} of the designs, got dtype "
            f"{active.dtype} and shape {active.shape}."
        )


def _metric(values: npt.ArrayLike, rows: int) -> FloatArray:
    """Return the metric as an array that can be analysed, or refuse it."""
    metric = np.asarray(values, dtype=np.float64)
    if metric.shape != (rows,):
        raise ConfigError(f"{rows} designs need as many values, got shape {metric.shape}.")
    if not np.isfinite(metric).all():
        raise ConfigError("the metric must be finite everywhere. Leave failed designs out.")
    if not rows or metric.min() == metric.max():
        same = f"the same for all {rows} designs" if rows else "known for no design"
        raise ConfigError(f"the metric is {same}: it has no variance to explain.")
    return metric


def _add_up(cells: IntArray, heights: FloatArray, size: int) -> FloatArray:
    """Return the sum of what falls into each cell, shape (size,)."""
    return np.bincount(cells, heights, size).astype(np.float64, copy=False)


def _spread_rows(table: FloatArray) -> FloatArray:
    """Distribute the last row, of inert values, evenly over the others."""
    return np.asarray(table[:-1] + table[-1:] / (len(table) - 1))


def _ratio(total: FloatArray, weight: FloatArray) -> FloatArray:
    """Return means of cells, 0 for those that hold no design."""
    return np.divide(total, weight, out=np.zeros_like(total), where=weight > 0.0)


def _interaction(weight: FloatArray, means: FloatArray) -> float:
    """Return the variance in a table that no sum of a row's and a column's effect explains.

    The least-squares effects of a two-way layout with unequal weights (Yates, Journal of the
    American Statistical Association 29, 1934). That of the columns follows from that of the rows,
    so that the system to solve is the one of the shorter side.

    Args:
        weight: Share of the designs in each cell, shape (a, b).
        means: Their mean, shape (a, b).
    """
    if weight.shape[0] > weight.shape[1]:
        weight, means = weight.T, means.T
    occurs = np.ix_(weight.any(axis=1), weight.any(axis=0))
    weight, means = weight[occurs], means[occurs]
    of_rows, of_columns = weight.sum(axis=1), weight.sum(axis=0)
    totals = weight * means
    column_means = totals.sum(axis=0) / of_columns
    system = np.diag(of_rows) - (weight / of_columns) @ weight.T
    # Singular, as a constant may move from the rows to the columns: any solution will do.
    rows = np.linalg.lstsq(system, totals.sum(axis=1) - weight @ column_means)[0]
    columns = column_means - rows @ weight / of_columns
    return float(np.sum(weight * (means - rows[:, None] - columns) ** 2))


# --- Some designs --------------------------------------------------------------------------------


def forest_importance(
    units: npt.ArrayLike,
    active: npt.ArrayLike,
    counts: Sequence[int | None],
    values: npt.ArrayLike,
    *,
    seed: int = 0,
) -> ForestImportance:
    """Fit a random forest to a metric that is known for some designs, and analyse its trees.

    A leaf of a tree is a box of designs with one prediction, so that means over all designs with
    given values of one or two parameters are sums over leaves, weighted by the share of the designs
    in them (algorithm 2 of Hutter, Hoos, Leyton-Brown, ICML 2014). The values of a `Choice` are
    taken in the order of their declaration.

    Inert values are drawn anew at random. In canonical designs they are at their default, which a
    tree takes for the cause of what their parent does.

    Args:
        units: Positions of the designs in the unit cube, as `ParameterSpace.to_unit` returns them,
            shape (m, n).
        active: Whether each parameter has an effect in each design, shape (m, n); see
            `DesignBatch`.
        counts: Number of values of each parameter, None for a continuum, n of them.
        values: The metric of each design, shape (m,). Designs should differ, or the out-of-bag
            predictions are of designs that were seen.
        seed: Seed of the forest and of the inert values, not negative.

    Returns:
        The shares. The same arguments have the same result.

    Raises:
        ConfigError: If scikit-learn is not installed, the shapes do not fit, a position is outside
            of [0, 1], a value is not finite, the metric is the same for all designs, or the forest
            finds nothing that it depends on.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> units = rng.random((500, 3))
        >>> metric, active = np.sin(6 * units[:, 0]) + units[:, 1], np.ones((500, 3), bool)
        >>> found = forest_importance(units, active, [None] * 3, metric)
        >>> found.shares.main.argsort()[::-1], found.r2 > 0.9
        (array([0, 1, 2]), True)
    """
    ensemble = require("sklearn.ensemble", extra="proxy")
    positions, is_active = np.asarray(units, dtype=np.float64), np.asarray(active)
    _check_shapes(positions, is_active, len(counts))
    if not ((positions >= 0.0) & (positions <= 1.0)).all():  # also refuses NaN
        raise ConfigError("the positions must lie in [0, 1]. Clip or rescale them before.")
    metric = _metric(values, len(positions))
    scale = float(np.ptp(metric))
    of_inert, of_forest = np.random.SeedSequence(seed).spawn(2)
    anywhere = _placed(np.random.default_rng(of_inert).random(positions.shape), counts)
    forest = ensemble.RandomForestRegressor(
        n_estimators=_TREES,
        oob_score=True,
        random_state=int(of_forest.generate_state(1)[0]),
    )
    forest.fit(np.where(is_active, positions, anywhere), (metric - metric.min()) / scale)
    analysed = [_tree_importance(member.tree_, counts) for member in forest.estimators_]
    known = [shares for shares in analysed if shares is not None]
    if not known:
        raise ConfigError(
            "no tree of the forest finds an effect: the metric differs for too few of the designs. "
            "Take more samples."
        )
    main = np.array([shares.main for shares in known])
    interactions = np.array([shares.interactions for shares in known])
    shares = Importance(
        main.mean(axis=0),
        interactions.mean(axis=0),
        float(np.mean([shares.higher_order for shares in known])),
        scale * math.sqrt(np.mean([shares.deviation**2 for shares in known])),
    )
    return ForestImportance(
        shares,
        main.std(axis=0),
        interactions.std(axis=0),
        float(forest.oob_score_),
        len(known),
    )


def _placed(units: FloatArray, counts: Sequence[int | None]) -> FloatArray:
    """Move positions below 1 to the centres of the bins of those parameters that have bins."""
    bins = np.array([np.nan if count is None else count for count in counts])
    return np.where(np.isnan(bins), units, (np.floor(units * bins) + 0.5) / bins)


def _tree_importance(tree: Any, counts: Sequence[int | None]) -> Importance | None:
    """Analyse a tree of scikit-learn; None if it has one prediction for all designs."""
    low, high, leaves = _boxes(tree, len(counts))
    below, upto = _share_below(low, counts), _share_below(high, counts)
    lengths = upto - below
    # Between two thresholds there may be none of the values that a parameter has.
    filled = lengths.all(axis=1)
    low, high, leaves, lengths = low[filled], high[filled], leaves[filled], lengths[filled]
    volumes = lengths.prod(axis=1)
    leaves = leaves - volumes @ leaves
    variance = float(volumes @ leaves**2)
    if variance < _NOTHING:
        return None
    axes = [_cells(low[:, i], high[:, i], count) for i, count in enumerate(counts)]
    n = len(counts)
    main, interactions = np.zeros(n), np.zeros((n, n))
    effects = []
    for i, axis in enumerate(axes):
        heights, size = leaves * volumes / lengths[:, i], len(axis.shares) + 1
        steps = _add_up(axis.first, heights, size) - _add_up(axis.behind, heights, size)
        effects.append(np.cumsum(steps)[:-1])
        main[i] = axis.shares @ effects[i] ** 2 / variance
    for i, j in combinations(range(n), 2):
        one, other = axes[i], axes[j]
        if len(one.shares) == 1 or len(other.shares) == 1:
            continue  # the tree does not look at one of them
        heights = leaves * volumes / (lengths[:, i] * lengths[:, j])
        both = _heights(one, other, heights) - effects[i][:, None] - effects[j]
        interactions[i, j] = interactions[j, i] = one.shares @ both**2 @ other.shares / variance
    rest = 1.0 - main.sum() - interactions.sum() / 2.0
    return Importance(main, interactions, float(rest), math.sqrt(variance))


class _Axis(NamedTuple):
    """The values of a parameter, cut into cells at the thresholds of a tree.

    Attributes:
        shares: Share of the values in each cell, shape (cells,).
        first: First cell of each leaf.
        behind: The cell behind the last one of each leaf.
    """

    shares: FloatArray
    first: IntArray
    behind: IntArray


def _cells(low: FloatArray, high: FloatArray, count: int | None) -> _Axis:
    """Cut an axis at the bounds of leaves."""
    edges = np.unique(np.concatenate((low, high)))
    shares = np.diff(_share_below(edges[:, None], [count])[:, 0])
    return _Axis(shares, np.searchsorted(edges, low), np.searchsorted(edges, high))


def _heights(one: _Axis, other: _Axis, heights: FloatArray) -> FloatArray:
    """Add up boxes over two axes: for each pair of cells the heights of the boxes over it.

    A box is written down at its corners only, and two running sums fill it.
    """
    shape = (len(one.shares) + 1, len(other.shares) + 1)
    steps = np.zeros(shape[0] * shape[1])
    for rows, columns, sign in (
        (one.first, other.first, 1.0),
        (one.first, other.behind, -1.0),
        (one.behind, other.first, -1.0),
        (one.behind, other.behind, 1.0),
    ):
        steps += sign * _add_up(rows * shape[1] + columns, heights, len(steps))
    filled: FloatArray = steps.reshape(shape).cumsum(axis=0).cumsum(axis=1)
    return filled[:-1, :-1]


def _boxes(tree: Any, n: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return what a tree of scikit-learn says.

    Returns:
        The lower bound of each leaf, not included, of shape (leaves, n), infinite where there is
        none; the upper bound, included, of the same shape; and the prediction, of shape (leaves,).
    """
    left, right = tree.children_left, tree.children_right
    low = np.full((tree.node_count, n), -np.inf)
    high = np.full((tree.node_count, n), np.inf)
    level = np.array([0])
    while len(level := level[left[level] >= 0]):  # those that have children
        for child, bound in ((left[level], high), (right[level], low)):
            low[child], high[child] = low[level], high[level]
            bound[child, tree.feature[level]] = tree.threshold[level]
        level = np.concatenate((left[level], right[level]))
    ends = left < 0
    return low[ends], high[ends], tree.value[ends, 0, 0].astype(np.float64)


def _share_below(positions: FloatArray, counts: Sequence[int | None]) -> FloatArray:
    """Return the share of the values of each parameter that are placed at or below a position.

    Args:
        positions: Any numbers, infinity too, shape (m, n).
        counts: Number of values of each parameter, None for a continuum, n of them.

    Returns:
        Shares from 0 to 1, shape (m, n).
    """
    shares = np.clip(positions, 0.0, 1.0)
    for i, count in enumerate(counts):
        if count is not None and count <= _MAX_TABLE:
            # scikit-learn compares positions as floats of 32 bits with thresholds of 64.
            places = ((np.arange(count) + 0.5) / count).astype(np.float32).astype(np.float64)
            shares[:, i] = np.searchsorted(places, positions[:, i], side="right") / count
    return shares
