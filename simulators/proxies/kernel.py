"""The loops of the models that are compiled by numba.

The operations on a row and their order do not depend on the rows beside it, so that its result is
the same to the last bit in any batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["add_up", "linear", "look_up", "mean_and_spread"]

_LANES = 8
"""Rows that go down a tree together: a processor fetches their nodes at the same time."""

_options: Any = {"nogil": True, "cache": True, "error_model": "numpy"}


@njit(**_options, forceinline=True)
def _go_down(
    features: Any, rows: Any, root: Any, feature: Any, threshold: Any, child: Any, nodes: Any
) -> None:
    """Fill in the leaf that each of some rows reaches; `rows` is a pair, the first and how many."""
    start, count = rows
    for lane in range(count):
        nodes[lane] = root
    inside = True
    while inside:
        inside = False
        for lane in range(count):
            node = nodes[lane]
            at = feature[node]
            if at >= 0:
                second = features[start + lane, at] > threshold[node]
                nodes[lane] = root + child[node] + second
                inside = True


@njit(**_options)
def look_up(features: Any, roots: Any, feature: Any, threshold: Any, child: Any) -> Any:
    """Return the number that each row finds in each tree's leaf, shape (trees, rows)."""
    found = np.empty((len(roots), len(features)), np.int32)
    nodes = np.empty(_LANES, np.int64)
    for tree in range(len(roots)):
        for start in range(0, len(features), _LANES):
            lanes = min(_LANES, len(features) - start)
            _go_down(features, (start, lanes), roots[tree], feature, threshold, child, nodes)
            for lane in range(lanes):
                found[tree, start + lane] = child[nodes[lane]]
    return found


@njit(**_options)
def add_up(features: Any, roots: Any, feature: Any, threshold: Any, child: Any, values: Any) -> Any:
    """Return the sum of what each row finds in the trees, one after another, shape (rows,)."""
    total = np.zeros(len(features))
    nodes = np.empty(_LANES, np.int64)
    for tree in range(len(roots)):
        for start in range(0, len(features), _LANES):
            lanes = min(_LANES, len(features) - start)
            _go_down(features, (start, lanes), roots[tree], feature, threshold, child, nodes)
            for lane in range(lanes):
                total[start + lane] += values[child[nodes[lane]]]
    return total


@njit(**_options)
def mean_and_spread(found: Any, values: Any, sizes: Any, order: Any, mean: Any, std: Any) -> None:
    """Fill in the mean and the standard deviation over the trees of each group of targets.

    Args:
        found: Where in `values` the result of each tree begins, shape (trees, rows), as many trees
            for every group.
        values: Results of leaves, one number after another.
        sizes: The number of targets of each group.
        order: The targets of the first group, then those of the second and so on.
        mean: The means to fill in, shape (rows, targets).
        std: The standard deviations to fill in, shape (rows, targets).
    """
    trees = len(found) // len(sizes)
    total = np.empty(sizes.max())
    squares = np.empty(sizes.max())
    for row in range(found.shape[1]):
        place = 0
        for group in range(len(sizes)):
            size = sizes[group]
            # Differences to the first tree are summed up: their squares cancel less than those of
            # the values, and to nothing where all trees agree.
            first = found[group * trees, row]
            total[:size] = 0.0
            squares[:size] = 0.0
            for tree in range(group * trees + 1, (group + 1) * trees):
                at = found[tree, row]
                for target in range(size):
                    difference = np.float64(values[at + target]) - np.float64(
                        values[first + target]
                    )
                    total[target] += difference
                    squares[target] += difference * difference
            for target in range(size):
                offset = total[target] / trees
                column = order[place + target]
                mean[row, column] = values[first + target] + offset
                std[row, column] = np.sqrt(max(squares[target] / trees - offset * offset, 0.0))
            place += size


@njit(**_options)
def linear(
    features: Any,
    center: Any,
    scale: Any,
    intercept: Any,
    weights: Any,
    basis: Any,
    variances: Any,
    noise: Any,
    mean: Any,
    std: Any,
) -> None:
    """Fill in the prediction of a Bayesian linear regression.

    Args:
        features: Shape (rows, f).
        center: Taken off the features, shape (f,).
        scale: Divides what is left, shape (f,).
        intercept: Target where that is 0, shape (t,).
        weights: Slopes of the targets, shape (f, t).
        basis: Directions in which the weights are independent, as columns, shape (f, f).
        variances: Variance of each target's weight in each direction, shape (f, t).
        noise: Variance of each target that no weight explains, shape (t,).
        mean: The means to fill in, shape (rows, t).
        std: The standard deviations to fill in, shape (rows, t).
    """
    count = len(center)
    along = np.empty(count)
    for row in range(len(features)):
        along[:] = 0.0
        mean[row] = intercept
        std[row] = noise
        for feature in range(count):
            value = (features[row, feature] - center[feature]) / scale[feature]
            for target in range(len(intercept)):
                mean[row, target] += value * weights[feature, target]
            for direction in range(count):
                along[direction] += value * basis[feature, direction]
        for direction in range(count):
            square = along[direction] * along[direction]
            for target in range(len(intercept)):
                std[row, target] += square * variances[direction, target]
        for target in range(len(intercept)):
            std[row, target] = np.sqrt(std[row, target])
