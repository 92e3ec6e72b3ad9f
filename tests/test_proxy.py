"""Proxies: what they learn, how sure they are, and files that are whole or refused."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from archgym_py import proxy as proxy_module
from archgym_py.config import RunConfig
from archgym_py.dataset import SampleDataset
from archgym_py.errors import ConfigError, ProxyFileError, UnknownNameError
from archgym_py.proxy import (
    KnownProblem,
    Proxy,
    TrainingSet,
    fit_proxy,
    load_proxy,
    model_version,
    read_header,
    save_proxy,
    space_signature,
)
from archgym_py.registry import PROXIES
from archgym_py.runner import run
from archgym_py.simulators.toy import TOY_SPACE
from archgym_py.space import Integer, ParameterSpace
from archgym_py.training import training_set

FEW_TREES = {"trees": 8}


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    out = tmp_path_factory.mktemp("runs")
    run(RunConfig(env="ArchGym/Toy-v0", agent="random_search", budget=500, out=out))
    return training_set(SampleDataset(out))


@pytest.fixture(scope="module")
def fitted(training: TrainingSet) -> Proxy:
    return fit_proxy(training, hyperparameters=FEW_TREES, seed=3, notes={"holdout": 0.2})


@pytest.fixture(scope="module")
def saved(fitted: Proxy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("proxies") / "toy.safetensors"
    save_proxy(fitted, path)
    return path


def designs(count: int, seed: int = 0) -> list[dict[str, str | int | float | bool]]:
    rng = np.random.default_rng(seed)
    return TOY_SPACE.batch(rng.random((count, len(TOY_SPACE.parameters)))).designs


# --- Fitting -------------------------------------------------------------------------------------


def test_targets_are_logarithms_where_they_span_a_decade(
    training: TrainingSet, fitted: Proxy
) -> None:
    for target, column in zip(fitted.header.targets, training.values.T, strict=True):
        assert target.log == (column.max() >= 10 * column.min())
        modelled = np.log(column) if target.log else column
        assert target.centre == pytest.approx(modelled.mean())
        assert target.scale == pytest.approx(modelled.std())
    assert any(target.log for target in fitted.header.targets)


@pytest.mark.parametrize("model", PROXIES.names())
def test_every_model_beats_the_mean_and_is_saved(
    training: TrainingSet, tmp_path: Path, model: str
) -> None:
    half = len(training) // 2
    rows = np.arange(len(training))
    small = {"mlp_ensemble": {"members": 2, "updates": 500}, "gradient_boosting": {"rounds": 30}}
    proxy = fit_proxy(training.take(rows < half), model=model, hyperparameters=small.get(model))
    judged = training.take(rows >= half)
    forecast = proxy.forecast(judged.features)
    assert (forecast.std >= 0).all()
    assert np.isfinite(forecast.std).all()
    error = np.sqrt(((forecast.mean - judged.values) ** 2).mean(axis=0))
    assert (error < 0.8 * judged.values.std(axis=0)).all()
    save_proxy(proxy, tmp_path / "p.safetensors")
    again = load_proxy(tmp_path / "p.safetensors", TOY_SPACE).forecast(judged.features)
    for now, before in zip(again, forecast, strict=True):
        np.testing.assert_allclose(now, before, rtol=1e-5, atol=1e-7)


def test_equal_seeds_give_equal_proxies(training: TrainingSet, fitted: Proxy) -> None:
    again = fit_proxy(training, hyperparameters=FEW_TREES, seed=3, notes={"holdout": 0.2})
    other = fit_proxy(training, hyperparameters=FEW_TREES, seed=4, notes={"holdout": 0.2})
    means = [each.predict(designs(99), {}).mean for each in (fitted, again, other)]
    np.testing.assert_array_equal(means[0], means[1])
    assert (means[0] != means[2]).any()
    assert again.header == fitted.header


def test_failures_are_learned(training: TrainingSet) -> None:
    names = training.space.names
    lanes = [parameter.name for parameter in training.space.parameters].index("lanes")
    assert names[lanes] == "lanes"
    column = training.features[:, _column("lanes", training)]
    ok = column < np.median(column)
    values = np.where(ok[:, None], training.values, np.nan)
    proxy = fit_proxy(replace(training, ok=ok, values=values), hyperparameters=FEW_TREES)
    feasible = proxy.forecast(training.features).feasible
    assert ((feasible >= 0.5) == ok).mean() > 0.98
    assert proxy.header.training["infeasible_rows"] == int((~ok).sum())


def _column(name: str, training: TrainingSet) -> int:
    from archgym_py.features import FeatureMap

    return FeatureMap(training.space, training.descriptors).names.index(name)


def test_a_constant_metric_is_predicted_exactly(training: TrainingSet) -> None:
    values = training.values.copy()
    values[:, 0] = 0.1
    proxy = fit_proxy(replace(training, values=values), hyperparameters=FEW_TREES)
    forecast = proxy.forecast(training.features)
    assert (forecast.mean[:, 0] == 0.1).all()
    assert (forecast.std[:, 0] == 0.0).all()
    assert (proxy.residuals(training.features, values)[:, 0] == 0.0).all()


def test_the_spread_is_that_of_a_lognormal(training: TrainingSet, fitted: Proxy) -> None:
    forecast = fitted.forecast(training.features[:20])
    target = next(t for t in fitted.header.targets if t.log)
    column = fitted.header.targets.index(target)
    sigma = forecast.relative_std[:, column] * target.scale
    expected = forecast.mean[:, column] * np.sqrt(np.exp(sigma**2) - 1.0)
    np.testing.assert_allclose(forecast.std[:, column], expected, rtol=1e-6)


@pytest.mark.parametrize(("a", "b"), [(4.0, 0.0), (1.0, 0.25), (0.0, 2.0)])
def test_the_calibration_finds_the_variances(a: float, b: float) -> None:
    rng = np.random.default_rng(1)
    spread = rng.uniform(0.1, 1.0, 40_000)
    errors = rng.normal(0.0, np.sqrt(a * spread**2 + b))
    found_a, found_b = proxy_module._calibrate(errors, spread)
    variances = found_a * spread**2 + found_b
    np.testing.assert_allclose(variances, a * spread**2 + b, rtol=0.3)
    inside = np.abs(errors) <= 1.6449 * np.sqrt(variances)
    assert inside.mean() == pytest.approx(0.9, abs=1e-3)


@settings(max_examples=50, deadline=None)
@given(st.integers(20, 200), st.integers(0, 10**6))
def test_nine_of_ten_errors_lie_inside_whatever_their_distribution(m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    errors = rng.standard_cauchy(m) * (rng.random(m) < 0.5)
    spread = np.abs(rng.standard_cauchy(m)) * (rng.random(m) < 0.7)
    a, b = proxy_module._calibrate(errors, spread)
    inside = np.abs(errors) <= 1.6449 * np.sqrt(a * spread**2 + b) * (1 + 1e-9)
    assert inside.mean() >= 0.9 - 1.0 / m


def test_no_error_needs_no_spread() -> None:
    assert proxy_module._calibrate(np.zeros(5), np.ones(5)) == (0.0, 0.0)


def test_progress_names_what_is_done(training: TrainingSet) -> None:
    steps: list[tuple[str, int, int]] = []
    fit_proxy(
        training,
        hyperparameters=FEW_TREES,
        progress=lambda what, done, total: steps.append((what, done, total)),
    )
    what, done, total = steps[-1]
    assert what == "fitting"
    assert done == total >= 8
    assert ("calibrating", total, total) in steps


def test_too_few_samples_are_refused(training: TrainingSet) -> None:
    with pytest.raises(ConfigError, match="at least 10 samples with metrics, got 9 among 9"):
        fit_proxy(training.take(np.arange(9)))


def test_problems_that_look_alike_are_refused(training: TrainingSet) -> None:
    twins = (KnownProblem("a", {"trace": "1"}, ()), KnownProblem("b", {"trace": "2"}, ()))
    with pytest.raises(ConfigError, match="problems 'a' and 'b' have equal descriptors"):
        fit_proxy(replace(training, problems=twins))


def test_unknown_names_are_refused(training: TrainingSet) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown proxy 'randm_forest'\. Did you mean"):
        fit_proxy(training, model="randm_forest")
    with pytest.raises(UnknownNameError, match=r"no metric 'delay_n'\. Did you mean 'delay_ns'"):
        training.only(["delay_n"])


def test_samples_are_drawn_without_replacement(training: TrainingSet) -> None:
    drawn = training.draw(50, seed=1)
    assert len(drawn) == len(np.unique(drawn.keys)) == 50
    assert (training.draw(50, seed=1).keys == drawn.keys).all()
    assert (training.draw(50, seed=2).keys != drawn.keys).any()
    assert training.draw(10**6, seed=1) is training


def test_a_model_version_has_no_digest() -> None:
    assert (model_version("1"), model_version("2+abc")) == ("1", "2")


# --- Where a proxy may be used -------------------------------------------------------------------


def test_an_unknown_problem_is_refused_with_the_difference(training: TrainingSet) -> None:
    two = (
        KnownProblem("cloud", {"trace": "1", "clock": 800}, (0.0,)),
        KnownProblem("stream", {"trace": "2", "clock": 800}, (1.0,)),
    )
    features = np.hstack([training.features, training.features[:, :1]])
    proxy = fit_proxy(
        replace(training, problems=two, descriptors=("rate",), features=features),
        hyperparameters=FEW_TREES,
    )
    assert proxy.header.problem_number({"clock": 800, "trace": "2"}) == 1
    with pytest.raises(ConfigError, match="'stream' is the nearest and differs in clock"):
        proxy.predict(designs(2), {"trace": "2", "clock": 400})


def test_another_space_is_refused(saved: Path) -> None:
    with pytest.raises(ProxyFileError, match="was fitted for designs of unit, lanes"):
        load_proxy(saved, ParameterSpace((Integer("cores", 1, 4),)))
    first, *rest = TOY_SPACE.parameters
    changed = ParameterSpace((replace(first, default=first.check("vector")), *rest))
    with pytest.raises(ProxyFileError, match=r"toy\.safetensors: parameter 'unit' was"):
        load_proxy(saved, changed)


def test_a_signature_is_plain_data() -> None:
    signature = space_signature(TOY_SPACE)
    assert json.loads(json.dumps(signature)) == signature
    assert [entry["name"] for entry in signature] == list(TOY_SPACE.names)


# --- Files ---------------------------------------------------------------------------------------


def test_a_fresh_process_predicts_the_same(fitted: Proxy, saved: Path) -> None:
    expected = fitted.predict(designs(5), {}).mean
    script = (
        "import numpy as np\n"
        "from archgym_py.proxy import load_proxy\n"
        "from archgym_py.simulators.toy import TOY_SPACE\n"
        f"proxy = load_proxy({str(saved)!r}, TOY_SPACE)\n"
        "rng = np.random.default_rng(0)\n"
        "designs = TOY_SPACE.batch(rng.random((5, len(TOY_SPACE.parameters)))).designs\n"
        "print(proxy.predict(designs, {}).mean.tolist())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert json.loads(done.stdout) == expected.tolist()


def test_the_header_is_kept(fitted: Proxy, saved: Path) -> None:
    header = read_header(saved)
    assert replace(header, digest="") == fitted.header
    assert len(header.digest) == 64
    assert header.training["rows"] == header.training["designs"]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_file_is_refused(
    fitted: Proxy, saved: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(saved.read_bytes())
    if data.draw(st.booleans(), "truncate"):
        content = content[: data.draw(st.integers(0, len(content) - 1), "length")]
    else:
        # Half of the time in the header, which is a small part of the file.
        end = data.draw(st.sampled_from((4096, len(content))), "part")
        place = data.draw(st.integers(0, end - 1), "place")
        content[place] ^= data.draw(st.integers(1, 255), "bits")
    path = tmp_path_factory.mktemp("damaged") / "p.safetensors"
    path.write_bytes(content)
    refused = ""
    try:
        loaded = load_proxy(path, TOY_SPACE)
    except ProxyFileError as error:
        refused = str(error)
    else:  # another kind of white space between two words of JSON means the same
        np.testing.assert_array_equal(
            loaded.predict(designs(9), {}).mean, fitted.predict(designs(9), {}).mean
        )
    assert refused.startswith(str(path)) or not refused


def test_a_file_that_is_wrong_under_a_right_digest_is_refused(saved: Path, tmp_path: Path) -> None:
    """Whoever writes a digest too must not make a compiled kernel read anywhere it likes."""
    from safetensors import safe_open

    with safe_open(saved, framework="numpy") as file:
        text = file.metadata()[proxy_module._HEADER]
    tensors = load_file(saved)
    children = next(name for name in tensors if name.startswith("model.") and "child" in name)
    tensors[children] = tensors[children] + np.asarray(10**6, tensors[children].dtype)
    path = tmp_path / "p.safetensors"
    digest = proxy_module._digest(text, tensors)
    save_file(tensors, path, metadata={proxy_module._HEADER: text, "sha256": digest})
    with pytest.raises(ProxyFileError, match=r"p\.safetensors"):
        load_proxy(path, TOY_SPACE)


def test_what_is_no_proxy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProxyFileError, match="is no file"):
        read_header(tmp_path)
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ProxyFileError, match="cannot be read as a safetensors file"):
        read_header(tmp_path / "text")
    save_file({"weights": np.zeros(3)}, tmp_path / "weights")
    with pytest.raises(ProxyFileError, match="holds no proxy"):
        read_header(tmp_path / "weights")


def test_another_format_is_refused(
    fitted: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy_module, "FORMAT_VERSION", 2)
    save_proxy(fitted, tmp_path / "p.safetensors")
    monkeypatch.undo()
    with pytest.raises(ProxyFileError, match="has format version 2, but this package reads 1"):
        read_header(tmp_path / "p.safetensors")
