"""What holds for every model."""

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from archgym_py.cores import CORES_VARIABLE
from archgym_py.errors import ArchGymError, ConfigError, ProxyFileError
from archgym_py.simulators.proxies.gradient_boosting import GradientBoosting
from archgym_py.simulators.proxies.linear import Linear
from archgym_py.simulators.proxies.mlp_ensemble import MLPEnsemble
from archgym_py.simulators.proxies.random_forest import RandomForest
from archgym_py.space import Value
from archgym_py.surrogate import Prediction, Surrogate, check_tensors

Arrays = tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]
Model = tuple[type[Surrogate], dict[str, Value]]

MODELS: dict[str, Model] = {
    "linear": (Linear, {}),
    "random_forest": (RandomForest, {"trees": 12}),
    "gradient_boosting": (GradientBoosting, {"rounds": 60, "leaves": 31}),
    "mlp_ensemble": (
        MLPEnsemble,
        {"members": 2, "layers": 2, "width": 24, "updates": 300, "learning_rate": 0.02},
    ),
}
CONSTANT = 2
"""The column of the targets of `examples` that never varies."""


def examples(rows: int, seed: int = 0) -> Arrays:
    """Six features of which four matter, and four targets, one of them constant."""
    rng = np.random.default_rng(seed)
    x = np.round(rng.random((rows, 6)) * 8).astype(np.float32) / np.float32(8)
    a, b, c, d = x[:, :4].astype(np.float64).T
    y = np.stack([a + 2 * b - c, -a - 2 * b + c + 0.1 * d, np.full(rows, 0.5), np.sin(5 * a * b)])
    y = y.T.copy()
    varying = [0, 1, 3]
    if rows > 1:
        y[:, varying] = (y[:, varying] - y[:, varying].mean(axis=0)) / y[:, varying].std(axis=0)
    return x, y


@pytest.fixture(scope="module")
def fitted() -> dict[str, Surrogate]:
    models = {}
    for name, (kind, hyperparameters) in MODELS.items():
        models[name] = kind(seed=7, **hyperparameters)
        models[name].fit(*examples(400))
    return models


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def new(name: str, seed: int = 7) -> Surrogate:
    kind, hyperparameters = MODELS[name]
    return kind(seed=seed, **hyperparameters)


def same(one: Prediction, other: Prediction, *, exactly: bool = True) -> None:
    for array, expected in zip(one, other, strict=True):
        if exactly:
            np.testing.assert_array_equal(array, expected)
        else:
            np.testing.assert_allclose(array, expected, rtol=0.0, atol=1e-6)


def test_models_learn(name: str, fitted: dict[str, Surrogate]) -> None:
    features, targets = examples(1000, seed=1)
    mean, std = fitted[name].predict(features)
    assert mean.dtype == std.dtype == np.float64
    assert mean.shape == std.shape == targets.shape
    assert np.isfinite(mean).all()
    assert np.isfinite(std).all()
    assert (std >= 0.0).all()
    error = np.sqrt(((mean - targets) ** 2).mean(axis=0))
    assert error[0] < (0.05 if name == "linear" else 0.25)
    assert error[3] < (1.0 if name == "linear" else 0.25)


def test_constant_targets_are_known_exactly(name: str, fitted: dict[str, Surrogate]) -> None:
    mean, std = fitted[name].predict(examples(50, seed=1)[0])
    assert (mean[:, CONSTANT] == 0.5).all()
    assert (std[:, CONSTANT] == 0.0).all()
    assert (std[:, 0] > 0.0).any()


@pytest.mark.parametrize("rows", [1, 5])
def test_with_nothing_to_learn_a_model_repeats_what_it_saw(name: str, rows: int) -> None:
    model = new(name)
    features, targets = examples(1)
    calls: list[tuple[int, int]] = []
    model.fit(
        np.tile(features, (rows, 1)),
        np.tile(targets, (rows, 1)),
        progress=lambda *parts: calls.append(parts),
    )
    assert calls[-1][0] == calls[-1][1]
    restored = type(model).restore(*model.state())
    for each in (model, restored):
        mean, std = each.predict(examples(3, seed=2)[0])
        np.testing.assert_array_equal(mean, np.tile(targets, (3, 1)))
        assert (std == 0.0).all()


@pytest.mark.parametrize("rows", [2, 3, 10])
def test_few_examples_suffice(name: str, rows: int) -> None:
    model = new(name)
    model.fit(*examples(rows))
    prediction = model.predict(examples(20, seed=1)[0])
    assert np.isfinite(prediction.mean).all()
    assert (prediction.std >= 0.0).all()
    same(type(model).restore(*model.state()).predict(examples(20, seed=1)[0]), prediction)


def test_features_that_never_vary_do_no_harm(name: str) -> None:
    features, targets = examples(60)
    model = new(name)
    model.fit(np.ones_like(features), targets)
    mean, _ = model.predict(np.ones_like(features[:2]))
    np.testing.assert_allclose(mean[:, [0, 1, 3]], 0.0, atol=0.2)  # the mean of the targets


def test_a_restored_model_predicts_the_same(name: str, fitted: dict[str, Surrogate]) -> None:
    tensors, state = fitted[name].state()
    copies = {key: array.copy() for key, array in tensors.items()}
    for array in copies.values():
        array.setflags(write=False)  # as arrays over the bytes of a file are
    restored = type(fitted[name]).restore(copies, json.loads(json.dumps(state)))
    features = examples(300, seed=3)[0]
    same(restored.predict(features), fitted[name].predict(features))
    again, state_again = restored.state()
    assert state_again == state
    assert list(again) == list(tensors)


def test_the_number_of_cores_changes_nothing(
    name: str, fitted: dict[str, Surrogate], monkeypatch: pytest.MonkeyPatch
) -> None:
    features = examples(100, seed=3)[0]
    expected = fitted[name].predict(features)
    for count in ("1", "2"):
        monkeypatch.setenv(CORES_VARIABLE, count)
        model = new(name)
        model.fit(*examples(400))
        same(model.predict(features), expected)


def test_another_seed_makes_another_model(name: str, fitted: dict[str, Surrogate]) -> None:
    model = new(name, seed=8)
    model.fit(*examples(400))
    features = examples(100, seed=3)[0]
    differs = (model.predict(features).mean != fitted[name].predict(features).mean).any()
    assert differs == (name != "linear")  # which draws nothing


def test_fitting_again_forgets(name: str, fitted: dict[str, Surrogate]) -> None:
    model = new(name)
    features, targets = examples(30)
    model.fit(features[:, :2].copy(), targets[:, :1].copy())
    model.fit(*examples(400))
    same(model.predict(features), fitted[name].predict(features))


@settings(deadline=None, max_examples=8)
@given(st.lists(st.integers(0, 60), max_size=3))
def test_rows_do_not_depend_on_those_beside_them(
    fitted: dict[str, Surrogate], cuts: list[int]
) -> None:
    features = examples(60, seed=4)[0]
    bounds = [0, *sorted(cuts), 60]
    for name, model in fitted.items():
        whole = model.predict(features)
        parts = [model.predict(features[a:b]) for a, b in pairwise(bounds)]
        split = Prediction(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
        same(split, whole, exactly=name != "mlp_ensemble")


def test_many_rows_are_predicted_in_blocks(name: str, fitted: dict[str, Surrogate]) -> None:
    features = examples(5000, seed=5)[0]
    mean, std = fitted[name].predict(features)
    tail = fitted[name].predict(features[4090:4100])
    same(Prediction(mean[4090:4100], std[4090:4100]), tail, exactly=name != "mlp_ensemble")


def test_threads_may_predict_at_the_same_time(name: str, fitted: dict[str, Surrogate]) -> None:
    features = examples(200, seed=6)[0]
    expected = fitted[name].predict(features)
    with ThreadPoolExecutor(4) as pool:
        for prediction in pool.map(fitted[name].predict, [features] * 8):
            same(prediction, expected)


def test_the_layout_of_arrays_does_not_matter(name: str, fitted: dict[str, Surrogate]) -> None:
    features, targets = examples(400)
    model = new(name)
    model.fit(np.asfortranarray(features), np.asfortranarray(targets))
    same(model.predict(np.asfortranarray(features)), fitted[name].predict(features))


def test_progress_is_told_to_the_end(name: str) -> None:
    calls: list[tuple[int, int]] = []
    new(name).fit(*examples(40), progress=lambda done, total: calls.append((done, total)))
    assert calls[-1][0] == calls[-1][1] >= 1
    assert {total for _, total in calls} == {calls[-1][1]}
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    if name in ("random_forest", "gradient_boosting"):
        assert len(calls) == calls[-1][1]


def global_state() -> str:
    return repr(np.random.get_state())  # noqa: NPY002  # to see that nothing is drawn from it


def test_global_random_states_and_threads_stay_as_they_are(name: str) -> None:
    states = torch.random.get_rng_state(), global_state()
    threads = torch.get_num_threads()
    new(name).fit(*examples(40))
    assert (torch.random.get_rng_state() == states[0]).all()
    assert global_state() == states[1]
    assert torch.get_num_threads() == threads


def test_arguments_are_checked(name: str) -> None:
    kind = MODELS[name][0]
    known = kind.hyperparameters.names[0]
    with pytest.raises(ConfigError, match=rf"model '{name}'.*Did you mean '{known}'"):
        kind(seed=1, **{known + "s": 3})
    with pytest.raises(ConfigError, match=known):
        kind(seed=1, **{known: -1})
    with pytest.raises(ConfigError, match="seed"):
        kind(seed=-1)
    assert kind(seed=1).config == kind.hyperparameters.default()
    assert kind.name == name


def test_a_model_is_fitted_before_it_is_used(name: str) -> None:
    model = new(name)
    assert (model.features, model.targets) == (0, 0)
    with pytest.raises(ArchGymError, match="Call fit"):
        model.predict(examples(1)[0])
    with pytest.raises(ArchGymError, match="Call fit"):
        model.state()
    model.fit(*examples(10))
    assert (model.features, model.targets) == (6, 4)


X, Y = examples(8)


@pytest.mark.parametrize(
    ("features", "targets"),
    [
        (X.astype(np.float64), Y),
        (X, Y.astype(np.float32)),
        (X[0], Y),
        (X, Y[:, 0]),
        (X[:-1], Y),
        (X[:0], Y[:0]),
        (X[:, :0], Y),
        (X, Y[:, :0]),
        (np.where(X > 0.5, np.float32(np.nan), X), Y),
        (X, np.where(Y > 0.0, np.inf, Y)),
    ],
)
def test_examples_are_checked(features: Any, targets: Any) -> None:
    with pytest.raises(ConfigError, match=r"the (features|targets) of a model"):
        Linear(seed=1).fit(features, targets)


def test_features_to_predict_from_are_checked(fitted: dict[str, Surrogate]) -> None:
    wrong: list[Any] = [X[0], X[:, :-1], X.astype(np.float64)]
    for bad in wrong:
        with pytest.raises(ConfigError, match="fitted with 6 features"):
            fitted["linear"].predict(bad)
    with pytest.raises(ConfigError, match="finite"):
        fitted["linear"].predict(np.full((1, 6), np.nan, dtype=np.float32))


def damaged(array: npt.NDArray[Any], how: str, at: int) -> npt.NDArray[Any] | None:
    """Return an array that no model can have, None where this damage does not apply."""
    if how == "type":
        return array.astype(np.float16 if array.dtype.kind == "f" else np.int8)
    if how == "axis":
        return array[None]
    if how == "shorter":
        return array[:-1]
    if how == "longer":
        return np.concatenate([array, array[-1:]])
    if how == "empty":
        return array[:0]
    if array.dtype.kind != "f":
        return None
    copy = array.copy()
    copy.flat[at % array.size] = {"nan": np.nan, "inf": np.inf}[how]
    return copy


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(["type", "axis", "shorter", "longer", "empty", "nan", "inf"]),
    st.integers(0, 10),
    st.integers(0, 10**6),
)
def test_damaged_arrays_are_refused(
    fitted: dict[str, Surrogate], how: str, which: int, at: int
) -> None:
    for model in fitted.values():
        tensors, state = model.state()
        key = list(tensors)[which % len(tensors)]
        array = damaged(tensors[key], how, at)
        if array is None or (how in ("longer", "shorter") and key == "values"):
            continue  # results that no leaf points at do no harm
        with pytest.raises(ProxyFileError, match=f"the model '{model.name}' is damaged: "):
            type(model).restore({**tensors, key: array}, state)


def test_missing_and_unknown_arrays_are_refused(name: str, fitted: dict[str, Surrogate]) -> None:
    tensors, state = fitted[name].state()
    kind = type(fitted[name])
    for key in tensors:
        with pytest.raises(ProxyFileError, match=f"'{key}' is missing"):
            kind.restore({k: v for k, v in tensors.items() if k != key}, state)
    with pytest.raises(ProxyFileError, match="unknown array 'more'"):
        kind.restore({**tensors, "more": np.zeros(1)}, state)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": "7"},
        {"seed": None},
        {"features": 5},
        {"features": 7},
        {"features": 0},
        {"features": 6.0},
        {"targets": 3},
        {"targets": 5},
        {"targets": -4},
        {"hyperparameters": {}},
        {"hyperparameters": None},
        {"hyperparameters": []},
        {"other": 1},
    ],
    ids=str,
)
def test_damaged_settings_are_refused(
    name: str, fitted: dict[str, Surrogate], change: dict[str, Any]
) -> None:
    tensors, state = fitted[name].state()
    kind = type(fitted[name])
    if change == {"features": 7} and name in ("random_forest", "gradient_boosting"):
        return  # trees need not use every feature
    with pytest.raises(ProxyFileError, match="is damaged"):
        kind.restore(tensors, {**state, **change})
    for key in change.keys() & state.keys():
        with pytest.raises(ProxyFileError, match=f"the key '{key}' is missing"):
            kind.restore(tensors, {k: v for k, v in state.items() if k != key})


def test_hyperparameters_of_a_file_are_checked(name: str, fitted: dict[str, Surrogate]) -> None:
    tensors, state = fitted[name].state()
    first = next(iter(state["hyperparameters"]))
    for value in (-1, "many", None, 10**9):
        wrong = {**state, "hyperparameters": {**state["hyperparameters"], first: value}}
        with pytest.raises(ProxyFileError, match=first):
            type(fitted[name]).restore(tensors, wrong)


def test_which_targets_vary_is_checked(fitted: dict[str, Surrogate]) -> None:
    tensors, state = fitted["linear"].state()
    assert tensors["varying"].tolist() == [0, 1, 3]
    for wrong in ([0, 1, 4], [-1, 1, 3], [0, 1, 1], [3, 1, 0], [0, 1], [0, 1, 2, 3]):
        with pytest.raises(ProxyFileError, match="is damaged"):
            Linear.restore({**tensors, "varying": np.array(wrong)}, state)
    nothing = {"varying": np.zeros(0, np.int64), "constants": np.zeros(4)}
    assert (Linear.restore(nothing, state).predict(X).mean == 0.0).all()
    with pytest.raises(ProxyFileError, match="unknown array 'weights'"):
        Linear.restore({**nothing, "weights": tensors["weights"]}, state)


def test_an_ensemble_has_a_mean_and_a_spread() -> None:
    opinions = np.array([[[1.0, 2.0]], [[3.0, 2.0]]])
    prediction = Prediction.of_members(opinions)
    assert prediction.mean.tolist() == [[2.0, 2.0]]
    assert prediction.std.tolist() == [[1.0, 0.0]]
    rng = np.random.default_rng(0)
    opinions = rng.normal(size=(9, 40, 3))
    prediction = Prediction.of_members(opinions)
    np.testing.assert_allclose(prediction.mean, opinions.mean(axis=0), atol=1e-15)
    np.testing.assert_allclose(prediction.std, opinions.std(axis=0), atol=1e-15)
    same(Prediction.of_members(opinions[:, :1]), Prediction(*(a[:1] for a in prediction)))


def test_arrays_of_a_file_get_the_layout_that_kernels_take() -> None:
    unaligned = np.frombuffer(b"x" + np.arange(12.0).tobytes(), np.float64, offset=1)
    array = unaligned.reshape(3, 4).T
    checked = check_tensors({"a": array}, {"a": (np.float64, (4, None))})["a"]
    assert checked.flags.carray
    np.testing.assert_array_equal(checked, array)
