"""Regression trees as flat arrays, and the compiled loop that looks designs up in them.

Both ensembles of trees, the forest and the boosted ones, are kept in this form. A tree's nodes lie
one after another, the two children of a node side by side, so that a node needs a single number to
point at both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from archgym_py.errors import ProxyFileError
from archgym_py.simulators.proxies.kernel import add_up, look_up
from archgym_py.surrogate import Tensors

__all__ = ["LEAF", "TREE_ARRAYS", "Trees", "flatten", "join"]

LEAF = -1
"""Feature of a node that has no children."""

_BLOCK = 4096
"""Rows that are looked up at a time: a tree is fetched into a cache once for all of them."""

TREE_ARRAYS: Mapping[str, tuple[npt.DTypeLike, tuple[None]]] = {
    "roots": (np.int64, (None,)),
    "feature": (np.int32, (None,)),
    "threshold": (np.float32, (None,)),
    "child": (np.int32, (None,)),
}
"""Type and shape of the arrays in which trees are saved."""


@dataclass(frozen=True, slots=True)
class Trees:
    """Some trees over the same features.

    Attributes:
        roots: Where each tree begins in the other arrays, int64, shape (trees,).
        feature: Feature that a node compares, `LEAF` for a leaf, int32, shape (nodes,).
        threshold: A row goes to the first child if its feature is at most this, to the second
            otherwise, float32, shape (nodes,); 0 in leaves.
        child: The first child, counted from the tree's root; the second follows it. In a leaf the
            number that a row finds there, which leads to its result. int32, shape (nodes,).
    """

    roots: npt.NDArray[np.int64]
    feature: npt.NDArray[np.int32]
    threshold: npt.NDArray[np.float32]
    child: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.roots)

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """The number of nodes of each tree, shape (trees,)."""
        return np.diff(self.roots, append=len(self.feature))

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays by name."""
        return {name: getattr(self, name) for name in TREE_ARRAYS}

    @classmethod
    def restore(cls, tensors: Tensors, *, features: int) -> Trees:
        """Return trees from arrays that came from a file.

        The numbers in the leaves are for the caller to check.

        Args:
            tensors: Arrays by name, of which those of `TREE_ARRAYS` have passed `check_tensors`.
            features: Number of features.

        Raises:
            ProxyFileError: If a row could leave the arrays or never reach a leaf.
        """
        roots, feature, threshold, child = (tensors[name] for name in TREE_ARRAYS)
        nodes = len(feature)
        if not len(threshold) == len(child) == nodes:
            raise ProxyFileError("the arrays of the nodes differ in length.")
        trees = cls(roots, feature, threshold, child)
        sizes = trees.sizes
        if len(roots) == 0 or roots[0] != 0 or (sizes <= 0).any():
            raise ProxyFileError("the roots of the trees must increase from 0, within the nodes.")
        if ((feature < LEAF) | (feature >= features)).any():
            raise ProxyFileError(f"a node compares a feature other than 0..{features - 1}.")
        for root, size in zip(roots, sizes, strict=True):
            first = child[root : root + size]
            # Both children come later in the same tree: a way down cannot but end in a leaf.
            inside = (first > np.arange(size)) & (first < size - 1)
            if not (inside | (feature[root : root + size] == LEAF)).all():
                raise ProxyFileError("a node has a child that does not follow it in its tree.")
        return trees

    def look_up(
        self, features: npt.NDArray[np.float32]
    ) -> Iterator[tuple[slice, npt.NDArray[np.int32]]]:
        """Yield what rows find in the leaves, for a block of rows at a time.

        Args:
            features: Contiguous, shape (m, f).

        Yields:
            The rows of a block, and the number that each of them finds in each tree, shape
            (trees, rows).
        """
        for start in range(0, len(features), _BLOCK):
            rows = slice(start, start + _BLOCK)
            yield rows, look_up(features[rows], *(getattr(self, name) for name in TREE_ARRAYS))

    def add_up(
        self, features: npt.NDArray[np.float32], values: npt.NDArray[np.float64], trees: slice
    ) -> npt.NDArray[np.float64]:
        """Return the sum over some trees of what rows find in the leaves.

        Args:
            features: Contiguous, shape (m, f).
            values: What the numbers in the leaves stand for.
            trees: The trees, which are added up in their order.

        Returns:
            Sums, shape (m,).
        """
        total = np.empty(len(features))
        roots = self.roots[trees]
        for start in range(0, len(features), _BLOCK):
            rows = slice(start, start + _BLOCK)
            total[rows] = add_up(
                features[rows], roots, self.feature, self.threshold, self.child, values
            )
        return total


def flatten(
    left: npt.NDArray[Any],
    right: npt.NDArray[Any],
    feature: npt.NDArray[Any],
    threshold: npt.NDArray[np.float64],
    found: npt.NDArray[Any],
) -> Trees:
    """Return one tree in the flat form.

    Args:
        left: Number of the child for values up to the threshold, negative for leaves, shape
            (nodes,). The root is the first node, and children come after their parent.
        right: Number of the other child.
        feature: Feature that each node compares.
        threshold: What it compares the feature to.
        found: The number to find in each leaf; anything in other nodes.

    Returns:
        A tree that leads 32-bit features to the same leaves.
    """
    parents = np.flatnonzero(left >= 0)
    first = 1 + 2 * np.arange(len(parents))
    place = np.zeros(len(left), dtype=np.int64)
    place[left[parents]] = first
    place[right[parents]] = first + 1
    # For 32-bit x, x <= threshold says the same as x <= the largest 32-bit number up to it.
    narrow = threshold[parents].astype(np.float32)
    above = narrow > threshold[parents]
    narrow[above] = np.nextafter(narrow[above], np.float32(-np.inf))
    flat = Trees(
        np.zeros(1, dtype=np.int64),
        np.full(len(left), LEAF, dtype=np.int32),
        np.zeros(len(left), dtype=np.float32),
        np.empty(len(left), dtype=np.int32),
    )
    flat.child[place] = found
    flat.child[place[parents]] = first
    flat.feature[place[parents]] = feature[parents]
    flat.threshold[place[parents]] = narrow
    return flat


def join(trees: list[Trees]) -> Trees:
    """Return the trees of several in one.

    Args:
        trees: What to join, at least one. The list is emptied on the way: large trees need not be
            in memory twice.
    """
    nodes = sum(len(part.feature) for part in trees)
    joined = Trees(
        np.empty(sum(map(len, trees)), dtype=np.int64),
        np.empty(nodes, dtype=np.int32),
        np.empty(nodes, dtype=np.float32),
        np.empty(nodes, dtype=np.int32),
    )
    trees.reverse()
    tree = node = 0
    while trees:
        part = trees.pop()
        joined.roots[tree : tree + len(part)] = part.roots + node
        for name in ("feature", "threshold", "child"):
            getattr(joined, name)[node : node + len(part.feature)] = getattr(part, name)
        tree, node = tree + len(part), node + len(part.feature)
    return joined
