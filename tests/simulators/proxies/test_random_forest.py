from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sklearn.tree

from archgym_py.errors import ProxyFileError
from archgym_py.simulators.proxies.random_forest import RandomForest
from archgym_py.simulators.proxies.trees import LEAF


def examples(rows: int, seed: int = 0) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Four targets: two that follow each other, one that mirrors them, and one on its own."""
    rng = np.random.default_rng(seed)
    features = np.round(rng.random((rows, 5)) * 16).astype(np.float32) / np.float32(16)
    a, b, c, d = features[:, :4].astype(np.float64).T
    one = np.minimum(a, b) + c * d
    targets = np.stack([one, one + 0.02 * a, 3.0 - one, (2 * c - 1) * (2 * a - 1)], axis=1)
    return features, (targets - targets.mean(axis=0)) / targets.std(axis=0)


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The trees of scikit-learn that are fitted during a test."""
    made: list[Any] = []

    class Watched(sklearn.tree.DecisionTreeRegressor):  # type: ignore[misc]  # untyped
        def fit(self, *args: Any, **kwargs: Any) -> Any:
            made.append(self)
            return super().fit(*args, **kwargs)

    monkeypatch.setattr(sklearn.tree, "DecisionTreeRegressor", Watched)
    return made


@pytest.mark.parametrize("config", [{}, {"min_samples_leaf": 5}, {"max_rows": 100}], ids=str)
def test_predictions_are_those_of_the_trees_of_scikit_learn(
    config: dict[str, int], models: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHGYM_CORES", "1")  # so that trees are made in order
    features, targets = examples(300)
    targets[:50] = np.round(targets[:50])  # so that different examples have equal targets
    forest = RandomForest(seed=3, trees=6, **config)
    forest.fit(features, targets)
    asked, _ = examples(200, seed=1)
    mean, std = forest.predict(asked)
    groups = forest.state()[0]["groups"]
    assert len(models) == 6 * (groups.max() + 1)
    for group in range(groups.max() + 1):
        chosen = groups == group
        each = [model.predict(asked) for model in models[6 * group : 6 * group + 6]]
        opinions = np.stack(each).astype(np.float32).astype(np.float64)
        opinions = opinions.reshape(6, len(asked), -1)
        np.testing.assert_allclose(mean[:, chosen], opinions.mean(axis=0), rtol=0, atol=1e-14)
        np.testing.assert_allclose(std[:, chosen], opinions.std(axis=0), rtol=0, atol=1e-7)


def test_a_forest_reaches_a_low_error() -> None:
    forest = RandomForest(seed=1)
    forest.fit(*examples(3000))
    features, targets = examples(1000, seed=1)
    mean, std = forest.predict(features)
    error = np.abs(mean - targets)
    assert (np.sqrt((error**2).mean(axis=0)) < 0.12).all()
    unsure = std[:, 0] > np.median(std[:, 0])
    assert error[unsure, 0].mean() > 1.5 * error[~unsure, 0].mean()


def test_a_tree_that_saw_every_example_repeats_it() -> None:
    features, targets = examples(200)
    features[:, 0] = np.arange(200, dtype=np.float32)  # no two examples are the same
    forest = RandomForest(seed=1, trees=5)
    forest.fit(features, targets)
    mean, std = forest.predict(features)
    np.testing.assert_array_equal(mean, targets.astype(np.float32))
    assert (std == 0.0).all()


def test_targets_share_a_forest_if_they_are_alike() -> None:
    def groups(**config: int) -> list[int]:
        forest = RandomForest(seed=1, trees=2, **config)
        forest.fit(*examples(300))
        tensors, _ = forest.state()
        assert len(tensors["roots"]) == 2 * (tensors["groups"].max() + 1)
        found: list[int] = tensors["groups"].tolist()
        return found

    first, second, mirrored, alone = groups()
    assert first == second == mirrored != alone
    assert groups(forests=1) == [0, 0, 0, 0]


def test_leaves_with_one_example_take_no_memory_of_their_own() -> None:
    features, targets = examples(500)
    few, many = (RandomForest(seed=1, trees=trees) for trees in (2, 40))
    few.fit(features, targets)
    many.fit(features, targets)
    assert len(many.state()[0]["values"]) < 2 * len(few.state()[0]["values"])


def test_a_tree_sees_a_part_of_many_examples(models: list[Any]) -> None:
    forest = RandomForest(seed=1, trees=4, max_rows=100, forests=1)
    forest.fit(*examples(500))
    assert [model.tree_.n_node_samples[0] for model in models] == [100] * 4
    mean, _ = forest.predict(examples(500)[0])
    assert np.sqrt(((mean - examples(500)[1]) ** 2).mean()) < 0.6


@pytest.fixture(scope="module")
def saved() -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    forest = RandomForest(seed=1, trees=3)
    forest.fit(*examples(60))
    return forest.state()


def test_results_that_no_leaf_has_are_refused(saved: Any) -> None:
    tensors, settings = saved
    leaves = np.flatnonzero(tensors["feature"] == LEAF)
    RandomForest.restore(tensors, settings)
    for value in (-1, len(tensors["values"]), 2**31 - 1):
        for leaf in leaves[[0, -1]]:
            child = tensors["child"].copy()
            child[leaf] = value
            with pytest.raises(ProxyFileError, match="points outside of the results"):
                RandomForest.restore({**tensors, "child": child}, settings)
    # The last number is a result of its own, but no row of three begins there.
    child = tensors["child"].copy()
    child[leaves[0]] = len(tensors["values"]) - 1
    assert tensors["groups"][0] == 0
    with pytest.raises(ProxyFileError, match="points outside of the results"):
        RandomForest.restore({**tensors, "child": child}, settings)
    with pytest.raises(ProxyFileError, match="points outside of the results"):
        RandomForest.restore({**tensors, "values": tensors["values"][:-1]}, settings)


@pytest.mark.parametrize("groups", [[0, 0, 0, -1], [0, 0, 0, 4], [0, 0, 0, 2], [0, 0, 0, 0]])
def test_groups_that_do_not_match_the_trees_are_refused(saved: Any, groups: list[int]) -> None:
    tensors, settings = saved
    wrong = {**tensors, "groups": np.array(groups, dtype=np.int32)}
    with pytest.raises(ProxyFileError, match="group"):
        RandomForest.restore(wrong, settings)


def test_the_number_of_trees_is_checked(saved: Any) -> None:
    tensors, settings = saved
    other = {**settings, "hyperparameters": {**settings["hyperparameters"], "trees": 4}}
    with pytest.raises(ProxyFileError, match="2 groups of 4 trees cannot have 6"):
        RandomForest.restore(tensors, other)
