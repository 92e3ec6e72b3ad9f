import numpy as np
import pytest
import torch

from archgym_py.errors import ConfigError, ProxyFileError
from archgym_py.simulators.proxies.mlp_ensemble import MLPEnsemble


def small(**config: float) -> MLPEnsemble:
    return MLPEnsemble(seed=3, **{"members": 2, "layers": 2, "width": 16, "updates": 60, **config})


def test_networks_compute_what_torch_does() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(50, 3)).astype(np.float32) * 5 + 2
    model = small()
    model.fit(features, np.sin(features[:, :2]).astype(np.float64))
    tensors, _ = model.state()
    opinions = []
    for member in range(2):
        layers: list[torch.nn.Module] = []
        for number in range(3):
            weights = torch.from_numpy(tensors[f"layer_{number}"][member])
            layer = torch.nn.Linear(weights.shape[0] - 1, weights.shape[1])
            layer.weight.data, layer.bias.data = weights[:-1].T, weights[-1]
            layers += [layer, torch.nn.SiLU()]
        network = torch.nn.Sequential(*layers[:-1])
        with torch.no_grad():
            scaled = torch.from_numpy((features - features.mean(axis=0)) / features.std(axis=0))
            opinions.append(network(scaled).numpy())
    mean, std = model.predict(features)
    np.testing.assert_allclose(mean, np.mean(opinions, axis=0), atol=1e-5)
    np.testing.assert_allclose(std, np.std(opinions, axis=0), atol=1e-5)


def test_scales_of_features_do_not_matter() -> None:
    rng = np.random.default_rng(1)
    features = rng.random((300, 2), dtype=np.float32)
    targets = np.sin(6 * features[:, :1]).astype(np.float64) * features[:, 1:]
    errors = []
    for scale in (1.0, 1024.0):
        model = small(updates=300, learning_rate=0.02)
        model.fit(features * np.float32(scale), targets)
        errors.append(np.abs(model.predict(features * np.float32(scale)).mean - targets).mean())
    np.testing.assert_allclose(errors[0], errors[1], rtol=0.2)
    assert errors[0] < 0.05


def test_more_updates_fit_better() -> None:
    features = np.linspace(0, 1, 64, dtype=np.float32)[:, None]
    targets = np.sin(9 * features.astype(np.float64))
    errors = []
    for updates in (20, 400):
        model = small(updates=updates, learning_rate=0.01, batch_size=1000)
        model.fit(features, targets)
        errors.append(np.abs(model.predict(features).mean - targets).mean())
    assert errors[1] < 0.5 * errors[0]


def test_shapes_of_a_file_are_checked() -> None:
    model = small()
    rng = np.random.default_rng(2)
    model.fit(rng.random((20, 3), dtype=np.float32), rng.normal(size=(20, 2)))
    tensors, settings = model.state()
    for change in ({"width": 17}, {"layers": 3}, {"layers": 1}, {"members": 3}):
        other = {**settings, "hyperparameters": {**settings["hyperparameters"], **change}}
        with pytest.raises(ProxyFileError, match="layer_"):
            MLPEnsemble.restore(tensors, other)


def test_features_that_never_varied_are_left_alone() -> None:
    rng = np.random.default_rng(3)
    features = rng.random((50, 3), dtype=np.float32)
    features[:, 1] = np.float32(0.1)
    model = small()
    model.fit(features, np.sin(features[:, :1]).astype(np.float64))
    expected = model.predict(features).mean
    features[:, 1] = 7.0
    np.testing.assert_array_equal(model.predict(features).mean, expected)


def test_training_that_diverges_is_an_error() -> None:
    rng = np.random.default_rng(4)
    features = rng.random((20, 2), dtype=np.float32)
    model = small(updates=30)
    targets = features[:, :1].astype(np.float64) * 1e38  # the loss is infinite, its slope NaN
    with pytest.raises(ConfigError, match="Lower learning_rate"):
        model.fit(features, targets)
