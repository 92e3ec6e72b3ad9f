from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
import pytest

from archgym_py.errors import ProxyFileError
from archgym_py.simulators.proxies.gradient_boosting import GradientBoosting
from archgym_py.simulators.proxies.trees import LEAF


def examples(rows: int, seed: int = 0) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, 4)).astype(np.float32)
    a, b, c, _ = features.astype(np.float64).T
    targets = np.stack([np.minimum(a, b), np.sin(a) * c], axis=1)
    return features, (targets - targets.mean(axis=0)) / targets.std(axis=0)


@pytest.mark.parametrize("rows", [2, 5, 400])
def test_predictions_are_those_of_lightgbm(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    boosters: list[Any] = []
    train = lightgbm.train

    def watched(*args: Any, **kwargs: Any) -> Any:
        boosters.append(train(*args, **kwargs))
        return boosters[-1]

    monkeypatch.setattr(lightgbm, "train", watched)
    monkeypatch.setenv("ARCHGYM_CORES", "1")  # so that ensembles are made in order
    model = GradientBoosting(seed=5, rounds=40, leaves=31, members=3)
    model.fit(*examples(rows))
    asked, _ = examples(200, seed=1)
    assert len(boosters) == 2 * 3
    opinions = np.stack([booster.predict(asked) for booster in boosters])
    mean, std = model.predict(asked)
    for target in range(2):
        of_target = opinions[3 * target : 3 * target + 3]
        assert (mean[:, target] == (of_target[0] + of_target[1] + of_target[2]) / 3).all()
        np.testing.assert_allclose(std[:, target], of_target.std(axis=0), rtol=0, atol=1e-15)


def test_boosting_reaches_a_low_error() -> None:
    model = GradientBoosting(seed=1, rounds=150, leaves=63)
    model.fit(*examples(2000))
    features, targets = examples(500, seed=1)
    mean, std = model.predict(features)
    assert (np.sqrt(((mean - targets) ** 2).mean(axis=0)) < 0.2).all()
    assert (std > 0.0).all()


def test_ensembles_of_one_target_differ() -> None:
    model = GradientBoosting(seed=1, rounds=5, members=4)
    model.fit(*examples(300))
    tensors, _ = model.state()
    assert tensors["lengths"].tolist() == [[5, 5, 5, 5]] * 2
    assert (model.predict(examples(50, seed=1)[0]).std > 0.0).all()


@pytest.fixture(scope="module")
def saved() -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    model = GradientBoosting(seed=1, rounds=4, leaves=5)
    model.fit(*examples(60))
    return model.state()


def test_results_that_no_leaf_has_are_refused(saved: Any) -> None:
    tensors, settings = saved
    leaf = int(np.flatnonzero(tensors["feature"] == LEAF)[-1])
    GradientBoosting.restore(tensors, settings)
    for value in (-1, len(tensors["values"]), 2**31 - 1):
        child = tensors["child"].copy()
        child[leaf] = value
        with pytest.raises(ProxyFileError, match="points outside of the results"):
            GradientBoosting.restore({**tensors, "child": child}, settings)
    with pytest.raises(ProxyFileError, match="points outside of the results"):
        GradientBoosting.restore({**tensors, "values": tensors["values"][:-1]}, settings)


def test_lengths_that_overflow_are_refused(saved: Any) -> None:
    tensors, settings = saved
    lengths = np.array([[2**62, 2**62], [2**62, 2**62 + 16]])
    with pytest.raises(ProxyFileError, match="ensembles of at least one tree"):
        GradientBoosting.restore({**tensors, "lengths": lengths}, settings)


@pytest.mark.parametrize("change", [[4, 5], [4, 3], [8, 0], [-4, 12], [2**62, 2**62]])
def test_ensembles_that_do_not_match_the_trees_are_refused(saved: Any, change: list[int]) -> None:
    tensors, settings = saved
    lengths = tensors["lengths"].copy()
    assert lengths.tolist() == [[4, 4], [4, 4]]
    lengths[-1] = change
    with pytest.raises(ProxyFileError, match="ensembles of at least one tree"):
        GradientBoosting.restore({**tensors, "lengths": lengths}, settings)
