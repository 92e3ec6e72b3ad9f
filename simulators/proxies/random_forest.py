"""Forests of regression trees.

>>> features = np.linspace(0.0, 1.0, 50, dtype=np.float32)[:, None]
>>> forest = RandomForest(seed=1, trees=8)
>>> forest.fit(features, np.sin(6.0 * features.astype(np.float64)))
>>> bool(abs(forest.predict(features[:1]).mean[0, 0]) < 0.1)
True
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from archgym_py.cores import cores
from archgym_py.errors import ConfigError, ProxyFileError, require
from archgym_py.parameters import Integer, Real
from archgym_py.simulators.proxies.kernel import mean_and_spread
from archgym_py.simulators.proxies.trees import LEAF, TREE_ARRAYS, Trees, flatten, join
from archgym_py.space import ParameterSpace
from archgym_py.surrogate import Prediction, Progress, Surrogate, Tensors, check_tensors

__all__ = ["RandomForest"]

_ALIKE = 0.999
"""Correlation, of either sign, from which on two targets may share a forest.

Of 20 metrics of the DRAM controller that vary this makes 14 groups; with 0.8 there are 7, and the
error of the total time is twice as large.
"""


class RandomForest(Surrogate):
    """A forest for each group of targets that are alike.

    Metrics of a deterministic simulator have no noise to average out, so that a tree gains from
    every example that it sees: there is no bootstrap, and the trees of a forest differ by the
    features that each of their splits may use. Beyond `max_rows` examples a tree sees a random part
    of them. The mean is that of the trees, and the deviation is their spread.

    A tree can predict many targets, but its splits are then a compromise between them. So only
    targets that correlate share a forest.
    """

    name: ClassVar[str] = "random_forest"
    doc: ClassVar[str] = "mean and spread of regression trees"
    hyperparameters: ClassVar[ParameterSpace] = ParameterSpace(
        (
            Integer("trees", 1, 1000, default=20, doc="trees of each forest"),
            Real("max_features", 0.05, 1.0, default=0.75, doc="share of features a split may use"),
            Integer("min_samples_leaf", 1, 1000, default=1, doc="fewest examples in a leaf"),
            Integer("max_rows", 100, 10_000_000, default=100_000, doc="most examples of a tree"),
            Integer("forests", 1, 100, default=20, doc="most groups of targets with a forest each"),
        )
    )

    _trees: Trees
    _values: npt.NDArray[np.float32]  # results of leaves, one number after another
    _groups: npt.NDArray[np.int32]  # of each target

    def _fit(
        self,
        features: npt.NDArray[np.float32],
        targets: npt.NDArray[np.float64],
        progress: Progress,
    ) -> None:
        regressor = require("sklearn.tree", extra="proxy").DecisionTreeRegressor
        count, max_rows = cast(int, self.config["trees"]), cast(int, self.config["max_rows"])
        # Features that never vary, such as the descriptors of a single workload, must not take up
        # the share of features that a split may use.
        varying = np.flatnonzero((features != features[0]).any(axis=0))
        if 0 < len(varying) < features.shape[1]:
            features = np.ascontiguousarray(features[:, varying])
        self._groups = _alike(targets, cast(int, self.config["forests"]))
        members = [np.flatnonzero(self._groups == g) for g in range(self._groups.max() + 1)]
        chosen = [np.ascontiguousarray(targets[:, each]) for each in members]
        narrow = [each.astype(np.float32) for each in chosen]

        def grown(job: tuple[int, np.random.SeedSequence]) -> tuple[Trees, npt.NDArray[np.float32]]:
            group, seed = job
            rng = np.random.default_rng(seed)
            model = regressor(
                max_features=self.config["max_features"],
                min_samples_leaf=self.config["min_samples_leaf"],
                random_state=int(rng.integers(2**32)),
            )
            numbers = np.arange(len(features))
            part, part_targets = features, chosen[group]
            if len(features) > max_rows:
                numbers = np.sort(rng.choice(numbers, max_rows, replace=False))
                part, part_targets = features[numbers], chosen[group][numbers]
            model.fit(part, part_targets, check_input=False)
            tree, own = _with_shared_leaves(model.tree_, part, numbers, narrow[group])
            is_inner = tree.feature != LEAF
            tree.feature[is_inner] = varying[tree.feature[is_inner]]
            return tree, own

        seeds = np.random.SeedSequence(self.seed).spawn(count * len(members))
        jobs = [(number // count, seed) for number, seed in enumerate(seeds)]
        trees: list[Trees] = []
        own: list[npt.NDArray[np.float32]] = []
        with ThreadPoolExecutor(cores()) as pool:
            for tree, results in pool.map(grown, jobs):
                trees.append(tree)
                own.append(results)
                progress(len(trees), len(jobs))
        values: list[npt.NDArray[np.float32]] = []
        offset = 0
        for group in range(len(members)):
            part = slice(group * count, (group + 1) * count)
            kept = _number_results(trees[part], [narrow[group], *own[part]], offset)
            values.append(kept)
            offset += len(kept)
        del own, tree, results
        self._trees = join(trees)
        self._values = np.concatenate(values)

    def _predict(self, features: npt.NDArray[np.float32]) -> Prediction:
        shape = len(features), len(self._groups)
        mean, std = np.empty(shape), np.empty(shape)
        order = np.argsort(self._groups, kind="stable")
        sizes = np.bincount(self._groups)
        for rows, found in self._trees.look_up(features):
            mean_and_spread(found, self._values, sizes, order, mean[rows], std[rows])
        return Prediction(mean, std)

    def _tensors(self) -> dict[str, npt.NDArray[Any]]:
        return {**self._trees.tensors(), "values": self._values, "groups": self._groups}

    def _restore(self, tensors: Tensors, targets: int) -> None:
        expected = {
            **TREE_ARRAYS,
            "values": (np.float32, (None,)),
            "groups": (np.int32, (targets,)),
        }
        arrays = check_tensors(tensors, expected)
        self._values, self._groups = arrays["values"], arrays["groups"]
        self._trees = trees = Trees.restore(arrays, features=self._features)
        if self._groups.min() < 0 or self._groups.max() >= targets:
            raise ProxyFileError(f"a target is in a group other than 0..{targets - 1}.")
        sizes = np.bincount(self._groups)
        if sizes.min() == 0:
            raise ProxyFileError("a group has no targets.")
        count = cast(int, self.config["trees"])
        if len(trees) != len(sizes) * count:
            raise ProxyFileError(f"{len(sizes)} groups of {count} trees cannot have {len(trees)}.")
        bounds = np.append(trees.roots[::count], len(trees.feature))
        for size, (first, end) in zip(sizes, pairwise(bounds), strict=True):
            found = trees.child[first:end][trees.feature[first:end] == LEAF]
            if found.min() < 0 or found.max() > len(self._values) - size:
                raise ProxyFileError("a leaf points outside of the results.")


def _alike(targets: npt.NDArray[np.float64], most: int) -> npt.NDArray[np.int32]:
    """Return a group number for each target, counted from 0.

    Groups are clusters by complete linkage: each two targets of a group correlate, by at least
    `_ALIKE` unless there would be more than `most` groups.
    """
    count = targets.shape[1]
    if count == 1:
        return np.zeros(1, dtype=np.int32)
    cluster = require("scipy.cluster.hierarchy", extra="proxy")
    # The last digits, which depend on how a sum is split between threads, decide nothing.
    distance = np.round(1.0 - np.abs(np.corrcoef(targets, rowvar=False)), 9)
    tree = cluster.linkage(distance[np.triu_indices(count, 1)], method="complete")
    labels = cluster.fcluster(tree, 1.0 - _ALIKE, criterion="distance")
    if labels.max() > most:
        labels = cluster.fcluster(tree, most, criterion="maxclust")
    return cast("npt.NDArray[np.int32]", np.unique(labels, return_inverse=True)[1].astype(np.int32))


def _with_shared_leaves(
    tree: Any,
    features: npt.NDArray[np.float32],
    numbers: npt.NDArray[np.intp],
    targets: npt.NDArray[np.float32],
) -> tuple[Trees, npt.NDArray[np.float32]]:
    """Return a fitted tree whose leaves point at the examples that they equal.

    Most leaves hold a single example, and many trees have a leaf of the same one. Kept once for
    all, the results of a forest take a fraction of the memory and fit into a processor's cache.

    Args:
        tree: The `tree_` of scikit-learn.
        features: The examples that it was fitted on, shape (m, f).
        numbers: Their numbers, shape (m,).
        targets: The targets of all examples, also those of other trees, shape (n, t).

    Returns:
        The tree, and the results of those leaves that equal no example, shape (k, t). A leaf has
        the number of an example, or -1 - i for the i-th of these results.
    """
    example = np.zeros(tree.node_count, dtype=np.int64)
    example[tree.apply(features)] = numbers  # of each leaf one of its examples
    leaves = np.flatnonzero(tree.children_left < 0)
    values = tree.value[leaves, :, 0].astype(np.float32)
    differs = (values != targets[example[leaves]]).any(axis=1)
    own = leaves[differs]
    example[own] = -1 - np.arange(len(own))
    flat = flatten(tree.children_left, tree.children_right, tree.feature, tree.threshold, example)
    return flat, values[differs]


def _number_results(
    trees: Sequence[Trees], results: Sequence[npt.NDArray[np.float32]], offset: int
) -> npt.NDArray[np.float32]:
    """Let the leaves of a forest say where their results begin, and return these.

    Args:
        trees: Trees as `_with_shared_leaves` returns them, whose leaves are changed.
        results: The targets of all examples, and then what each tree has of its own.
        offset: Place of the first number that is returned.

    Returns:
        The results that a leaf points at, one number after another.
    """
    together = np.concatenate(results)
    ends = np.cumsum([len(part) for part in results])
    leaves = [tree.feature == LEAF for tree in trees]
    used = np.zeros(len(together), dtype=np.bool_)
    for tree, is_leaf, end in zip(trees, leaves, ends, strict=False):
        is_own = is_leaf & (tree.child < 0)
        tree.child[is_own] = end - 1 - tree.child[is_own]
        used[tree.child[is_leaf]] = True
    kept = together[used].ravel()
    if offset + len(kept) >= 2**31:
        raise ConfigError(
            f"the leaves of the forests have {offset + len(kept)} numbers or more, which cannot be "
            f"counted in 32 bits. Raise min_samples_leaf, or lower max_rows."
        )
    places = offset + (np.cumsum(used) - 1) * together.shape[1]
    for tree, is_leaf in zip(trees, leaves, strict=True):
        tree.child[is_leaf] = places[tree.child[is_leaf]]
    return kept
