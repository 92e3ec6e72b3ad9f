from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeRegressor

from archgym_py.errors import ProxyFileError
from archgym_py.simulators.proxies.trees import LEAF, TREE_ARRAYS, Trees, flatten, join


def fitted(seed: int, rows: int = 200, levels: int = 50) -> Any:
    rng = np.random.default_rng(seed)
    features = (np.round(rng.random((rows, 3)) * levels) / levels).astype(np.float32)
    targets = rng.normal(size=(rows, 2))
    return DecisionTreeRegressor(random_state=seed, max_features=0.7).fit(features, targets).tree_


def flat(tree: Any) -> Trees:
    numbers = np.arange(tree.node_count)
    return flatten(tree.children_left, tree.children_right, tree.feature, tree.threshold, numbers)


def found(trees: Trees, features: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    return np.concatenate([numbers for _, numbers in trees.look_up(features)], axis=1)


TREES = join([flat(fitted(seed)) for seed in range(3)])


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.integers(2, 60), st.sampled_from([1, 3, 1000]))
def test_rows_reach_the_leaves_that_scikit_learn_says(seed: int, rows: int, levels: int) -> None:
    trees = [fitted(seed + number, rows, levels) for number in range(2)]
    rng = np.random.default_rng(seed)
    features = rng.random((50, 3), dtype=np.float32)
    expected = np.stack([tree.apply(features) for tree in trees])
    np.testing.assert_array_equal(found(join([flat(tree) for tree in trees]), features), expected)


def test_features_at_a_threshold_go_where_they_should() -> None:
    tree = fitted(5)
    inner = tree.feature >= 0
    near = tree.threshold[inner].astype(np.float32)
    around = np.concatenate(
        [near, np.nextafter(near, np.float32(-1)), np.nextafter(near, np.float32(2))]
    )
    features = np.repeat(around[:, None], 3, axis=1)
    np.testing.assert_array_equal(found(flat(tree), features)[0], tree.apply(features))


@pytest.mark.parametrize("threshold", [0.1, 0.3, 1 / 3, 1e-50, -1e-50, 1.0, -0.7])
def test_thresholds_are_rounded_down(threshold: float) -> None:
    left, right = np.array([1, -1, -1]), np.array([2, -1, -1])
    thresholds = np.array([threshold, 0.0, 0.0])
    tree = flatten(left, right, np.zeros(3, np.int64), thresholds, np.array([0, 10, 20]))
    near = np.float32(threshold)
    for value in (near, np.nextafter(near, np.float32(-9)), np.nextafter(near, np.float32(9))):
        side = found(tree, np.array([[value]], dtype=np.float32))[0, 0]
        assert side == (10 if float(value) <= threshold else 20)


def test_what_rows_find_is_added_up_in_order() -> None:
    features = np.random.default_rng(1).random((70, 3), dtype=np.float32)
    values = np.random.default_rng(2).normal(size=400)
    numbers = found(TREES, features)
    np.testing.assert_array_equal(
        TREES.add_up(features, values, slice(0, 3)),
        values[numbers[0]] + values[numbers[1]] + values[numbers[2]],
    )
    np.testing.assert_array_equal(TREES.add_up(features, values, slice(1, 2)), values[numbers[1]])


def test_a_lone_leaf_is_a_tree() -> None:
    none = np.array([-1])
    lone = flatten(none, none, none, np.zeros(1), np.array([7]))
    assert found(lone, np.zeros((3, 2), np.float32)).tolist() == [[7, 7, 7]]
    assert len(Trees.restore(lone.tensors(), features=1)) == 1


def test_no_rows_find_nothing() -> None:
    assert list(TREES.look_up(np.zeros((0, 3), np.float32))) == []


def test_sound_trees_are_restored() -> None:
    restored = Trees.restore(TREES.tensors(), features=3)
    for name in TREE_ARRAYS:
        np.testing.assert_array_equal(getattr(restored, name), getattr(TREES, name))
    assert restored.sizes.sum() == len(TREES.feature)


INNER = np.flatnonzero(TREES.feature != LEAF)
ROOT = int(TREES.roots[1])


@pytest.mark.parametrize(
    ("name", "at", "value", "message"),
    [
        ("feature", INNER[3], 3, "compares a feature"),
        ("feature", INNER[3], -2, "compares a feature"),
        ("child", INNER[3], 0, "does not follow"),
        ("child", INNER[0], 0, "does not follow"),
        ("child", INNER[3], -5, "does not follow"),
        ("child", INNER[3], 2**31 - 1, "does not follow"),
        ("child", 0, ROOT - 1, "does not follow"),  # its second child is in the next tree
        ("child", 0, ROOT, "does not follow"),
        ("child", ROOT, 0, "does not follow"),
        ("roots", 0, 1, "roots"),
        ("roots", 0, -1, "roots"),
        ("roots", 1, 0, "roots"),
        ("roots", 1, 10**9, "roots"),
        ("roots", 2, len(TREES.feature), "roots"),
    ],
)
def test_trees_that_lead_astray_are_refused(name: str, at: int, value: int, message: str) -> None:
    tensors = {key: array.copy() for key, array in TREES.tensors().items()}
    tensors[name][at] = value
    with pytest.raises(ProxyFileError, match=message):
        Trees.restore(tensors, features=3)


def test_arrays_of_nodes_have_one_length() -> None:
    for name in ("feature", "threshold", "child"):
        tensors = {**TREES.tensors(), name: getattr(TREES, name)[:-1]}
        with pytest.raises(ProxyFileError, match="differ in length"):
            Trees.restore(tensors, features=3)
    with pytest.raises(ProxyFileError, match="roots"):
        Trees.restore({**TREES.tensors(), "roots": np.zeros(0, np.int64)}, features=3)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_whatever_passes_leads_every_row_to_a_leaf(data: st.DataObject) -> None:
    nodes = data.draw(st.integers(1, 9))
    trees = data.draw(st.integers(1, 3))

    def draw(low: int, high: int, size: int) -> list[int]:
        return data.draw(st.lists(st.integers(low, high), min_size=size, max_size=size))

    tensors: dict[str, npt.NDArray[Any]] = {
        "roots": np.array([0, *draw(-1, nodes, trees - 1)], dtype=np.int64),
        "feature": np.array(draw(-2, 2, nodes), dtype=np.int32),
        "threshold": np.array(draw(0, 1, nodes), dtype=np.float32),
        "child": np.array(draw(-1, nodes, nodes), dtype=np.int32),
    }
    try:
        restored = Trees.restore(tensors, features=2)
    except ProxyFileError:
        return
    features = np.random.default_rng(0).random((4, 2), dtype=np.float32) * 3 - 1
    for tree, (root, size) in enumerate(zip(restored.roots, restored.sizes, strict=True)):
        leaves = restored.child[root : root + size][restored.feature[root : root + size] == LEAF]
        assert set(found(restored, features)[tree].tolist()) <= set(leaves.tolist())
