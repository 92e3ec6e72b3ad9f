"""Boosted regression trees, grown by LightGBM.

>>> features = np.linspace(0.0, 1.0, 50, dtype=np.float32)[:, None]
>>> model = GradientBoosting(seed=1, rounds=50)
>>> model.fit(features, np.sin(6.0 * features.astype(np.float64)))
>>> bool(abs(model.predict(features[:1]).mean[0, 0]) < 0.1)
True
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from archgym_py.cores import cores
from archgym_py.errors import ProxyFileError, require
from archgym_py.parameters import Integer, Real
from archgym_py.simulators.proxies.trees import LEAF, TREE_ARRAYS, Trees, flatten, join
from archgym_py.space import ParameterSpace
from archgym_py.surrogate import Prediction, Progress, Surrogate, Tensors, check_tensors

__all__ = ["GradientBoosting"]

_SPLITS = {
    "left_child": np.int64,
    "right_child": np.int64,
    "split_feature": np.int64,
    "threshold": np.float64,
}
"""The lines of a tree in LightGBM's text that say how it splits."""


class GradientBoosting(Surrogate):
    """For each target some boosted ensembles that see different random examples.

    Each round of boosting adds a tree that corrects those before it (Friedman, "Greedy function
    approximation: a gradient boosting machine", 2001; Ke et al., "LightGBM", 2017). A round draws
    the examples that it sees, and a split the features that it may use, so that ensembles of
    different seeds differ. The mean is that of the ensembles, and the deviation is their spread.
    """

    name: ClassVar[str] = "gradient_boosting"
    doc: ClassVar[str] = "LightGBM ensembles, one target at a time"
    hyperparameters: ClassVar[ParameterSpace] = ParameterSpace(
        (
            Integer("members", 2, 20, default=2, doc="ensembles for each target"),
            Integer("rounds", 1, 10_000, default=300, doc="trees of an ensemble"),
            Integer("leaves", 2, 10_000, default=255, doc="most leaves of a tree"),
            Real("learning_rate", 0.001, 1.0, default=0.1, log=True, doc="weight of a new tree"),
            Integer("min_samples_leaf", 1, 1000, default=2, doc="fewest examples in a leaf"),
            Real("max_features", 0.05, 1.0, default=0.8, doc="share of features a split may use"),
            Real("max_samples", 0.05, 1.0, default=0.9, doc="share of examples a tree sees"),
        )
    )

    _trees: Trees
    _values: npt.NDArray[np.float64]  # of leaves
    _lengths: npt.NDArray[np.int64]  # trees of each ensemble, shape (targets, members)

    def _fit(
        self,
        features: npt.NDArray[np.float32],
        targets: npt.NDArray[np.float64],
        progress: Progress,
    ) -> None:
        lightgbm = require("lightgbm", extra="proxy")
        members = cast(int, self.config["members"])
        parameters = {
            "objective": "regression",
            "num_leaves": self.config["leaves"],
            "learning_rate": self.config["learning_rate"],
            "min_data_in_leaf": self.config["min_samples_leaf"],
            "min_sum_hessian_in_leaf": 0.0,
            "feature_fraction_bynode": self.config["max_features"],
            "bagging_fraction": self.config["max_samples"],
            "bagging_freq": 1,
            "min_data_in_bin": 1,
            "use_missing": False,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,  # ensembles are grown side by side
            "verbosity": -1,
        }

        def grown(job: tuple[int, np.random.SeedSequence]) -> tuple[Trees, npt.NDArray[np.float64]]:
            target, seed = job
            data = lightgbm.Dataset(features, targets[:, target], params=parameters)
            booster = lightgbm.train(
                {**parameters, "seed": int(seed.generate_state(1)[0] >> 1)},
                data,
                num_boost_round=self.config["rounds"],
            )
            return _flat(booster.model_to_string())

        count = targets.shape[1] * members
        seeds = np.random.SeedSequence(self.seed).spawn(count)
        jobs = [(number // members, seed) for number, seed in enumerate(seeds)]
        ensembles: list[Trees] = []
        values: list[npt.NDArray[np.float64]] = []
        first = 0
        with ThreadPoolExecutor(cores()) as pool:
            for trees, own in pool.map(grown, jobs):
                trees.child[trees.feature == LEAF] += first
                first += len(own)
                ensembles.append(trees)
                values.append(own)
                progress(len(ensembles), count)
        self._lengths = np.array([len(trees) for trees in ensembles]).reshape(-1, members)
        self._trees = join(ensembles)
        self._values = np.concatenate(values)

    def _predict(self, features: npt.NDArray[np.float32]) -> Prediction:
        targets, members = self._lengths.shape
        ends = np.cumsum(self._lengths).reshape(targets, members)
        starts = ends - self._lengths
        opinions = np.empty((members, len(features), targets))
        for target, member in np.ndindex(targets, members):
            trees = slice(starts[target, member], ends[target, member])
            opinions[member, :, target] = self._trees.add_up(features, self._values, trees)
        return Prediction.of_members(opinions)

    def _tensors(self) -> dict[str, npt.NDArray[Any]]:
        return {**self._trees.tensors(), "values": self._values, "lengths": self._lengths}

    def _restore(self, tensors: Tensors, targets: int) -> None:
        expected = {
            **TREE_ARRAYS,
            "values": (np.float64, (None,)),
            "lengths": (np.int64, (targets, cast(int, self.config["members"]))),
        }
        arrays = check_tensors(tensors, expected)
        self._values, self._lengths = arrays["values"], arrays["lengths"]
        self._trees = Trees.restore(arrays, features=self._features)
        count = len(self._trees)
        lengths = self._lengths
        if lengths.min() < 1 or lengths.max() > count or lengths.sum() != count:
            raise ProxyFileError(f"ensembles of at least one tree each cannot have {count} in all.")
        found = self._trees.child[self._trees.feature == LEAF]
        if found.min() < 0 or found.max() >= len(self._values):
            raise ProxyFileError("a leaf points outside of the results.")


def _flat(text: str) -> tuple[Trees, npt.NDArray[np.float64]]:
    """Return the trees of a model of LightGBM and the values of their leaves, one after another.

    Args:
        text: What `Booster.model_to_string` returns: for each tree a line "Tree=<number>" and then
            lines "<name>=<numbers>", in which a child of -1 - i stands for leaf i.
    """
    trees: list[Trees] = []
    values: list[npt.NDArray[np.float64]] = []
    first = 0
    for block in text.split("\nTree=")[1:]:
        lines = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        leaves = np.array(lines["leaf_value"].split(), dtype=np.float64)
        inner = len(leaves) - 1  # a tree that never split has no other lines
        split = {
            name: np.array(lines[name].split() if inner else [], dtype=kind)
            for name, kind in _SPLITS.items()
        }
        left, right = (
            np.append(
                np.where(split[side] >= 0, split[side], inner - 1 - split[side]),
                np.full(len(leaves), -1),
            )
            for side in ("left_child", "right_child")
        )
        found = np.concatenate([np.zeros(inner, np.int64), first + np.arange(len(leaves))])
        tail = np.zeros(len(leaves))
        trees.append(
            flatten(
                left,
                right,
                np.append(split["split_feature"], tail),
                np.append(split["threshold"], tail),
                found,
            )
        )
        values.append(leaves)
        first += len(leaves)
    return join(trees), np.concatenate(values)
