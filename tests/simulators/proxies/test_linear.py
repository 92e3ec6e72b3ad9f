import numpy as np
import pytest
from sklearn.linear_model import BayesianRidge

from archgym_py.errors import ProxyFileError
from archgym_py.simulators.proxies.linear import Linear


def test_it_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(80, 6)).astype(np.float32)
    features[:, 5] = features[:, 0] - features[:, 1]  # of no use, and no harm
    weights = rng.normal(size=(6, 2))
    targets = features @ weights + rng.normal(size=(80, 2)) * [0.1, 2.0] + 3.0
    model = Linear(seed=1)
    model.fit(features, targets)
    asked = rng.normal(size=(30, 6)).astype(np.float32)
    mean, std = model.predict(asked)
    center, scale = features.mean(axis=0), features.std(axis=0)
    for target in range(2):
        reference = BayesianRidge(
            max_iter=3000, tol=1e-10, alpha_1=0, alpha_2=0, lambda_1=0, lambda_2=0
        ).fit((features - center) / scale, targets[:, target])
        expected, spread = reference.predict((asked - center) / scale, return_std=True)
        np.testing.assert_allclose(mean[:, target], expected, rtol=1e-2, atol=1e-2)
        np.testing.assert_allclose(std[:, target], spread, rtol=0.05)


def test_the_deviation_is_that_of_the_noise() -> None:
    rng = np.random.default_rng(1)
    features = rng.random((5000, 3), dtype=np.float32)
    targets = features.sum(axis=1, keepdims=True, dtype=np.float64)
    model = Linear(seed=1)
    model.fit(features, targets + rng.normal(size=targets.shape) * 0.25)
    mean, std = model.predict(features)
    np.testing.assert_allclose(std, 0.25, rtol=0.05)
    assert np.abs(mean - targets).max() < 0.05


def test_it_is_surer_where_it_has_seen_examples() -> None:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(20, 3)).astype(np.float32)
    model = Linear(seed=1)
    model.fit(features, features[:, :1].astype(np.float64) + rng.normal(size=(20, 1)))
    near, far = model.predict(np.array([[0, 0, 0], [9, 9, 9]], dtype=np.float32)).std
    assert far > 1.5 * near


def test_what_is_linear_is_learned_exactly() -> None:
    features = np.random.default_rng(3).random((100_000, 4), dtype=np.float32)
    targets = features.astype(np.float64) @ np.array([[1.0, 0.0], [2.0, 1.0], [0, 0], [0, -1.0]])
    model = Linear(seed=1)
    model.fit(features, targets)
    mean, std = model.predict(features[:100])
    np.testing.assert_allclose(mean, targets[:100], atol=1e-5)
    assert (std < 1e-4).all()


def test_what_does_not_depend_on_the_features_is_noise() -> None:
    rng = np.random.default_rng(4)
    features = rng.random((2000, 4), dtype=np.float32)
    model = Linear(seed=1)
    model.fit(features, rng.normal(size=(2000, 1)))
    mean, std = model.predict(features)
    assert np.abs(mean).max() < 0.2
    np.testing.assert_allclose(std, 1.0, rtol=0.05)


@pytest.mark.parametrize("name", ["scale", "variances", "noise"])
@pytest.mark.parametrize("value", [0.0, -1.0])
def test_numbers_that_must_be_positive_are_checked(name: str, value: float) -> None:
    rng = np.random.default_rng(5)
    model = Linear(seed=1)
    model.fit(rng.random((20, 3), dtype=np.float32), rng.normal(size=(20, 2)))
    tensors, settings = model.state()
    damaged = tensors[name].copy()
    damaged.flat[-1] = value
    with pytest.raises(ProxyFileError, match=f"'{name}' must be positive"):
        Linear.restore({**tensors, name: damaged}, settings)
