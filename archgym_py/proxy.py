"""A proxy: a model of a simulator's metrics, with all that it takes to use it in the right place.

A proxy is fitted on a `TrainingSet` and predicts every metric of a design with a standard
deviation, for each of the problems (workloads and settings of the simulator) that it has seen:

1. `FeatureMap` turns the design and the descriptors of the problem into numbers.
2. A metric that is positive and spans a decade or more is modelled by its logarithm; all are
   centred and scaled to unit variance. What a model finds is taken back to the metric's unit.
3. A `Surrogate` learns the metrics. Where some designs failed, a forest learns which.
4. The model's own standard deviation s is calibrated: sqrt(a s^2 + b), with a and b for each metric
   such that the interval of 1.645 of them on either side holds 90 % of the errors on designs that
   were left out of a first fit. That is split conformal prediction with normalised errors (Lei et
   al., "Distribution-free predictive inference for regression", JASA 2018); among the a and b that
   do so the interval score decides (Gneiting and Raftery, "Strictly proper scoring rules", JASA
   2007). The floor b is there since members of an ensemble that agree may all be
   wrong. Errors of a simulator's model are not normal: many are 0 and a few are large, so that
   other intervals than that of 90 % hold more or less than they say.

A file of a proxy is a safetensors file: numbers and a JSON header, nothing that is executed. The
header has the parameters, units and problems that the proxy is for, where its training data came
from, and a SHA-256 of everything, so that a damaged file is refused. It is a checksum and no
signature: it does not tell who wrote the file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from archgym_py.config import canonical_json
from archgym_py.errors import ConfigError, ProxyFileError, UnknownNameError, did_you_mean, require
from archgym_py.features import FeatureMap
from archgym_py.files import atomic_path
from archgym_py.registry import PROXIES
from archgym_py.space import ParameterSpace, Value
from archgym_py.surrogate import Surrogate

__all__ = [
    "FORMAT_VERSION",
    "Forecast",
    "KnownProblem",
    "Progress",
    "Proxy",
    "ProxyHeader",
    "Target",
    "TrainingSet",
    "fit_proxy",
    "load_proxy",
    "model_version",
    "read_header",
    "save_proxy",
    "space_signature",
]

FORMAT_VERSION = 1
"""Version of the file; it changes whenever a reader of the older ones would go wrong."""

FloatArray: TypeAlias = npt.NDArray[np.float64]
Progress: TypeAlias = Callable[[str, int, int], object]
"""Called with what is being done, how much of it is done and how much there is."""

_HEADER = "archgym_proxy"
_MODEL, _FEASIBILITY = "model.", "feasibility."
_LOG_SPAN = 10.0  # largest over smallest value from which on a metric is modelled by its logarithm
_CALIBRATION_ROWS = 50_000  # enough for two numbers; a second fit on more would only take time
_CALIBRATION_SHARE = 0.2
_HALF_WIDTH = NormalDist().inv_cdf(0.95)  # of an interval of 90 %, in standard deviations


@dataclass(frozen=True, slots=True)
class KnownProblem:
    """A problem that a proxy has seen.

    Attributes:
        name: What users call it: the name of the workload.
        problem: All that metrics depend on besides the design; see `Described.problem`.
        descriptors: Value of each descriptor, in the order of the training set's names.
    """

    name: str
    problem: Mapping[str, Any]
    descriptors: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Samples of one space and simulator, ready for a model.

    Attributes:
        env_id: Gymnasium id of the environment of the first run.
        simulator: Name of the simulator.
        version: Version of its model; see `model_version`.
        space: The space of the designs.
        metrics: Name and unit of each metric.
        descriptors: Names of the descriptors.
        problems: The problems that occur.
        features: What `FeatureMap` makes of each sample, float32, shape (m, f).
        problem: Number of each sample's problem, shape (m,).
        keys: First 64 bits of each design's key, shape (m,).
        ok: Whether each sample has metrics, shape (m,).
        values: Metrics, NaN where a sample has none, shape (m, t).
        sources: For each run its id, agent, samples and a digest of their content.
    """

    env_id: str
    simulator: str
    version: str
    space: ParameterSpace
    metrics: tuple[tuple[str, str], ...]
    descriptors: tuple[str, ...]
    problems: tuple[KnownProblem, ...]
    features: npt.NDArray[np.float32]
    problem: npt.NDArray[np.int64]
    keys: npt.NDArray[np.uint64]
    ok: npt.NDArray[np.bool_]
    values: FloatArray
    sources: tuple[Mapping[str, Any], ...]

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.keys)

    def take(self, rows: npt.NDArray[Any]) -> TrainingSet:
        """Return some of the samples.

        Args:
            rows: Numbers of samples, or a mask.
        """
        return replace(
            self,
            features=self.features[rows],
            problem=self.problem[rows],
            keys=self.keys[rows],
            ok=self.ok[rows],
            values=self.values[rows],
        )

    @staticmethod
    def joined(sets: Sequence[TrainingSet]) -> TrainingSet:
        """Return the samples of several sets, one set after another.

        Args:
            sets: Samples of the same space, with the same metrics and problems in the same order.
        """
        first, sources = sets[0], [source for samples in sets for source in samples.sources]
        return replace(
            first,
            features=np.concatenate([samples.features for samples in sets]),
            problem=np.concatenate([samples.problem for samples in sets]),
            keys=np.concatenate([samples.keys for samples in sets]),
            ok=np.concatenate([samples.ok for samples in sets]),
            values=np.concatenate([samples.values for samples in sets]),
            sources=tuple({canonical_json(source): source for source in sources}.values()),
        )

    def draw(self, count: int, *, seed: int) -> TrainingSet:
        """Return some of the samples, drawn without replacement; all where there are no more.

        Args:
            count: Largest number of samples.
            seed: Seed of the draw.
        """
        if count >= len(self):
            return self
        chosen = np.random.default_rng(seed).choice(len(self), count, replace=False)
        return self.take(np.sort(chosen))

    def only(self, metrics: Sequence[str]) -> TrainingSet:
        """Return the samples with some of the metrics.

        Args:
            metrics: Names, in the order that is wanted.

        Raises:
            UnknownNameError: If there is no such metric.
        """
        names = [name for name, _ in self.metrics]
        for name in metrics:
            if name not in names:
                raise UnknownNameError(f"no metric {name!r}.{did_you_mean(name, names)}")
        columns = [names.index(name) for name in metrics]
        return replace(
            self,
            metrics=tuple(self.metrics[column] for column in columns),
            values=self.values[:, columns],
        )


@dataclass(frozen=True, slots=True)
class Target:
    """A metric as a model sees it.

    Attributes:
        name: Name of the metric.
        unit: Its unit.
        log: Whether its logarithm is modelled.
        centre: Mean of what is modelled, over the training samples.
        scale: Its standard deviation; 1 where the metric never changes.
        spread_factor: a of the calibration, without a unit.
        spread_floor: b of the calibration, in units of `scale` squared.
    """

    name: str
    unit: str
    log: bool
    centre: float
    scale: float
    spread_factor: float = 1.0
    spread_floor: float = 0.0


class Forecast(NamedTuple):
    """What a proxy says about m designs.

    Attributes:
        mean: Each metric in its unit, shape (m, t).
        std: Standard deviation of each in its unit, shape (m, t).
        relative_std: The same on the scale that is modelled, relative to the spread of the training
            samples, shape (m, t); 1 means that the proxy knows nothing.
        feasible: Estimated probability that the design has metrics at all, shape (m,).
    """

    mean: FloatArray
    std: FloatArray
    relative_std: FloatArray
    feasible: FloatArray


@dataclass(frozen=True)
class ProxyHeader:
    """What a file says about a proxy, without its numbers.

    Attributes:
        env_id: Gymnasium id of an environment that it was fitted for.
        simulator: Name of the simulator that it stands in for.
        version: Version of that simulator's model.
        space: The parameters, as `space_signature` gives them.
        descriptors: Names of the descriptors of a problem.
        problems: The problems that it has seen.
        features: Names of the features that its model uses: those that vary in the training set.
        targets: The metrics that it predicts.
        model: Name in the registry of proxies.
        training: Where the training samples came from: `sources`, `rows`, `designs`, `seed` and
            what who fitted it adds.
        digest: SHA-256 of all of this and of the numbers; "" before it is saved.
    """

    env_id: str
    simulator: str
    version: str
    space: Sequence[Mapping[str, Any]]
    descriptors: tuple[str, ...]
    problems: tuple[KnownProblem, ...]
    features: tuple[str, ...]
    targets: tuple[Target, ...]
    model: str
    training: Mapping[str, Any]
    digest: str = ""

    def problem_number(self, problem: Mapping[str, Any]) -> int:
        """Return the number of a problem that the proxy has seen.

        Args:
            problem: See `Described.problem`.

        Raises:
            ConfigError: If it has not seen it; the message says in what the nearest one differs.
        """
        wanted = canonical_json(problem)
        known = [canonical_json(each.problem) for each in self.problems]
        if wanted in known:
            return known.index(wanted)

        def differences(each: KnownProblem) -> list[str]:
            names = dict.fromkeys((*each.problem, *problem))
            return [name for name in names if each.problem.get(name) != problem.get(name)]

        nearest = min(self.problems, key=lambda each: len(differences(each)))
        raise ConfigError(
            f"the proxy has not seen this workload with these settings. It knows "
            f"{', '.join(each.name for each in self.problems)}; of these {nearest.name!r} is the "
            f"nearest and differs in {', '.join(differences(nearest))}. Log samples of the problem "
            f"and fit the proxy on them too, or use the simulator."
        )

    def check_space(self, space: ParameterSpace) -> None:
        """Refuse a space other than the one that the proxy was fitted for.

        Args:
            space: The space of the designs that it will be asked about.

        Raises:
            ProxyFileError: If a parameter differs; the message names it.
        """
        fitted = {str(entry["name"]): entry for entry in self.space}
        given = {str(entry["name"]): entry for entry in space_signature(space)}
        if list(fitted) != list(given):
            raise ProxyFileError(
                f"the proxy was fitted for designs of {', '.join(fitted)}, not of "
                f"{', '.join(given)}. Choose the environment and the space of its training data."
            )
        for name, entry in given.items():
            if entry != fitted[name]:
                raise ProxyFileError(
                    f"parameter {name!r} was {dict(fitted[name])} when the proxy was fitted and is "
                    f"{dict(entry)} now. Fit the proxy again."
                )


class Proxy:
    """A fitted model of metrics; `fit_proxy` and `load_proxy` make one.

    Args:
        header: What it is for.
        space: The space of the designs.
        model: The model of the metrics.
        feasibility: The model of whether there are metrics, None where all samples had them.

    Attributes:
        header: As above.
        space: As above.
    """

    def __init__(
        self,
        header: ProxyHeader,
        space: ParameterSpace,
        model: Surrogate,
        feasibility: Surrogate | None,
    ) -> None:
        header.check_space(space)
        self.header = header
        self.space = space
        self._model = model
        self._feasibility = feasibility
        self._features = FeatureMap(space, header.descriptors)
        names = {name: column for column, name in enumerate(self._features.names)}
        for name in header.features:
            if name not in names:
                raise ProxyFileError(
                    f"the proxy uses the feature {name!r}, which designs do not have any more. Fit "
                    f"it again."
                )
        self._columns = [names[name] for name in header.features]

    def predict(
        self, designs: Sequence[Mapping[str, Value]], problem: Mapping[str, Any]
    ) -> Forecast:
        """Predict the metrics of designs.

        Args:
            designs: Canonical designs of the space.
            problem: The problem; see `Described.problem`.

        Returns:
            The prediction, in the order of `header.targets`.

        Raises:
            ConfigError: If the proxy has not seen the problem.
            DesignError: If a design is not in the space.
        """
        number = self.header.problem_number(problem)
        descriptors = np.array(self.header.problems[number].descriptors)
        return self.forecast(self._features.of_designs(designs, descriptors))

    def forecast(self, features: npt.NDArray[np.float32]) -> Forecast:
        """Predict from features, also of problems that the proxy has not seen.

        Args:
            features: Shape (m, f), as `FeatureMap` makes them.
        """
        features = features[:, self._columns]
        raw = self._model.predict(features)
        shape = self._shape
        relative = np.sqrt(shape.factor * raw.std**2 + shape.floor)
        spread = relative * shape.scale
        mean = shape.centre + shape.scale * raw.mean
        std = spread.copy()
        log = shape.log
        mean[:, log] = np.exp(mean[:, log])
        std[:, log] = mean[:, log] * np.sqrt(np.expm1(spread[:, log] ** 2))  # of a lognormal
        feasible = np.ones(len(features))
        if self._feasibility is not None:
            feasible = self._feasibility.predict(features).mean[:, 0]
        return Forecast(mean, std, relative, feasible)

    def residuals(self, features: npt.NDArray[np.float32], values: FloatArray) -> FloatArray:
        """Return errors in standard deviations, on the scale that is modelled.

        Args:
            features: Shape (m, f).
            values: The true metrics, shape (m, t).

        Returns:
            Shape (m, t): about normal with variance 1 if the uncertainty is right; 0 where a metric
            never changed and is predicted exactly, infinite where it is not.
        """
        raw = self._model.predict(features[:, self._columns])
        shape = self._shape
        spread = np.sqrt(shape.factor * raw.std**2 + shape.floor)
        error = _standardise(values, self.header.targets) - raw.mean
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(error == 0.0, 0.0, error / spread)

    @cached_property
    def _shape(self) -> _Shape:
        targets = self.header.targets
        return _Shape(
            np.array([target.log for target in targets]),
            np.array([target.centre for target in targets]),
            np.array([target.scale for target in targets]),
            np.array([target.spread_factor for target in targets]),
            np.array([target.spread_floor for target in targets]),
        )


class _Shape(NamedTuple):
    """Fields of the targets as arrays."""

    log: npt.NDArray[np.bool_]
    centre: FloatArray
    scale: FloatArray
    factor: FloatArray
    floor: FloatArray


# --- Fitting -------------------------------------------------------------------------------------


def fit_proxy(
    training: TrainingSet,
    *,
    model: str = "random_forest",
    hyperparameters: Mapping[str, Value] | None = None,
    seed: int = 0,
    notes: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Proxy:
    """Fit a proxy.

    Args:
        training: The samples.
        model: Name in the registry of proxies.
        hyperparameters: Of the model; what is left out takes its default.
        seed: Seed of everything that is drawn.
        notes: Kept in the header's `training`, as JSON.
        progress: Called while it works.

    Returns:
        The proxy.

    Raises:
        ConfigError: If there are fewer than ten samples with metrics, if two problems have equal
            descriptors, or if a hyperparameter is not legal.
        UnknownNameError: If there is no such model.
    """
    done = progress or (lambda *_: None)
    model_class: type[Surrogate] = PROXIES.load(model)
    arguments = dict(hyperparameters or {})
    usable = np.flatnonzero(training.ok)
    if len(usable) < 10:
        raise ConfigError(
            f"a proxy needs at least 10 samples with metrics, got {len(usable)} among "
            f"{len(training)}. Log more samples, or choose other runs."
        )
    _check_descriptors(training)
    targets = _targets(training, usable)
    # A column that never changes teaches nothing, and trees would draw it in vain.
    varying = np.flatnonzero((training.features != training.features[0]).any(axis=0))
    if not len(varying):
        raise ConfigError("all samples are of one design. A proxy needs different ones.")
    names = FeatureMap(training.space, training.descriptors).names
    features = np.ascontiguousarray(training.features[:, varying])
    own = features if len(usable) == len(training) else features[usable]
    scaled = _standardise(training.values[usable], targets)

    def fit(rows: npt.NDArray[np.int64] | slice, what: str) -> Surrogate:
        fitted = model_class(seed=seed, **arguments)
        fitted.fit(own[rows], scaled[rows], progress=lambda i, n: done(what, i, n))
        return fitted

    first, left_out = _calibration_rows(training.keys[usable], seed)
    if len(first) and len(left_out):
        raw = fit(first, "calibrating").predict(own[left_out])
        errors = scaled[left_out] - raw.mean
        targets = tuple(
            replace(target, spread_factor=a, spread_floor=b)
            for target, (a, b) in zip(targets, map(_calibrate, errors.T, raw.std.T), strict=True)
        )
    fitted = fit(slice(None), "fitting")
    feasibility = None
    if len(usable) < len(training):
        feasibility = PROXIES.load("random_forest")(seed=seed)
        feasibility.fit(
            features,
            training.ok[:, None].astype(np.float64),
            progress=lambda i, n: done("fitting feasibility", i, n),
        )
    header = ProxyHeader(
        env_id=training.env_id,
        simulator=training.simulator,
        version=training.version,
        space=space_signature(training.space),
        descriptors=training.descriptors,
        problems=training.problems,
        features=tuple(names[column] for column in varying.tolist()),
        targets=targets,
        model=model,
        training={
            **(notes or {}),
            "rows": len(training),
            "infeasible_rows": len(training) - len(usable),
            "designs": len(np.unique(training.keys)),
            "seed": seed,
            "hyperparameters": dict(fitted.config),
            "sources": [dict(source) for source in training.sources],
        },
    )
    return Proxy(header, training.space, fitted, feasibility)


def model_version(version: str) -> str:
    """Return the version of a simulator's model without digests.

    Simulators write "<model>+<digest>" with that of their workload, which is part of the problem;
    a proxy appends "/<digest>" with its own.

    Examples:
        >>> model_version("3+0a1b2c"), model_version("3/77ff")
        ('3', '3')
    """
    return re.split("[+/]", version, maxsplit=1)[0]


def space_signature(space: ParameterSpace) -> list[dict[str, Any]]:
    """Return all that defines the parameters of a space, as plain data.

    Args:
        space: The space.

    Returns:
        A dictionary for each parameter: its kind, name, legal values, default and unit.
    """
    signature = []
    for parameter in space.parameters:
        entry = {"kind": type(parameter).__name__, **asdict(parameter)}
        entry.pop("doc")
        signature.append(json.loads(canonical_json(entry)))
    return signature


def _check_descriptors(training: TrainingSet) -> None:
    """Refuse problems that the model could not tell apart."""
    seen: dict[tuple[float, ...], KnownProblem] = {}
    for problem in training.problems:
        other = seen.setdefault(problem.descriptors, problem)
        if other is not problem:
            raise ConfigError(
                f"the problems {other.name!r} and {problem.name!r} have equal descriptors, so that "
                f"a model cannot tell them apart: {canonical_json(other.problem)} and "
                f"{canonical_json(problem.problem)}. Fit one proxy for each."
            )


def _targets(training: TrainingSet, usable: npt.NDArray[np.int64]) -> tuple[Target, ...]:
    """Choose the scale of each metric and measure it."""
    targets = []
    for (name, unit), column in zip(training.metrics, training.values.T, strict=True):
        values = column[usable]
        low, high = float(values.min()), float(values.max())
        log = low > 0.0 and high >= _LOG_SPAN * low
        if log:
            values = np.log(values)
        # The mean of a constant may differ from it by rounding, and its deviation from 0.
        constant = low == high
        centre = low if constant else float(values.mean())
        targets.append(Target(name, unit, log, centre, 1.0 if constant else float(values.std())))
    return tuple(targets)


def _standardise(values: FloatArray, targets: Sequence[Target]) -> FloatArray:
    """Return metrics on the scale that is modelled; shape (m, t) as given."""
    scaled = values.astype(np.float64, copy=True)
    for column, target in enumerate(targets):
        if target.log:
            scaled[:, column] = np.log(scaled[:, column])
        scaled[:, column] -= target.centre
        scaled[:, column] /= target.scale
    return scaled


def _calibration_rows(
    keys: npt.NDArray[np.uint64], seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Divide some rows by design into those of a first fit and those that it is judged by."""
    rng = np.random.default_rng([seed, 1])
    designs = rng.permutation(np.unique(keys))
    judged = designs[: math.ceil(_CALIBRATION_SHARE * len(designs))]
    rows = np.sort(rng.permutation(len(keys))[:_CALIBRATION_ROWS])
    held = np.isin(keys[rows], judged)
    return rows[~held], rows[held]


def _calibrate(errors: FloatArray, spread: FloatArray) -> tuple[float, float]:
    """Return the a and b of the best intervals that hold 90 % of the errors.

    Args:
        errors: Of designs that the model has not seen, shape (m,).
        spread: The model's standard deviations s, shape (m,).

    Returns:
        a and b, where the interval of 90 % is 1.645 sqrt(a s^2 + b) on either side. For each of
        some ratios b / a there is one a that holds 90 %; the ratio with the least mean interval
        score, 2 w + 20 max(0, |error| - w) for the half width w, is taken. (0, 0) if 90 % of the
        errors are 0.
    """
    absolute = np.abs(errors)
    largest = max(float(spread.max()), float(absolute.max())) ** 2
    # Of the form p s^2 + q; the first one does not use s at all.
    forms = [(0.0, 1.0), *((1.0, q) for q in largest * np.geomspace(1e-14, 1.0, 57) if largest)]
    best, least = (0.0, 0.0), math.inf
    for p, q in forms:
        shape = np.sqrt(p * spread**2 + q)
        factor = float(np.quantile(absolute / shape, 0.9))
        width = factor * shape
        score = float((2.0 * width + 20.0 * np.maximum(absolute - width, 0.0)).mean())
        if score < least:
            scale = (factor / _HALF_WIDTH) ** 2
            best, least = (scale * p, scale * float(q)), score
    return best


# --- Files ---------------------------------------------------------------------------------------


def save_proxy(proxy: Proxy, path: str | Path) -> ProxyHeader:
    """Write a proxy to a file.

    Args:
        proxy: The proxy.
        path: The file; an older one is replaced. Its name should end in ".safetensors".

    Returns:
        The header with the digest of the file's content.

    Raises:
        ConfigError: If safetensors is not installed.
        OSError: If the file cannot be written.
    """
    library = require("safetensors.numpy", extra="proxy")
    path = Path(path)
    tensors, settings = proxy._model.state()
    stored = {f"{_MODEL}{name}": np.ascontiguousarray(array) for name, array in tensors.items()}
    about = {"format_version": FORMAT_VERSION, "model_settings": settings}
    if proxy._feasibility is not None:
        tensors, about["feasibility_settings"] = proxy._feasibility.state()
        stored |= {
            f"{_FEASIBILITY}{name}": np.ascontiguousarray(array) for name, array in tensors.items()
        }
    header = dataclasses.asdict(replace(proxy.header, digest=""))
    text = canonical_json({**header, **about})
    digest = _digest(text, stored)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        library.save_file(stored, temporary, metadata={_HEADER: text, "sha256": digest})
    return replace(proxy.header, digest=digest)


def read_header(path: str | Path) -> ProxyHeader:
    """Read what a file says about its proxy; the numbers are checked too.

    Args:
        path: The file.

    Raises:
        ProxyFileError: If the file cannot be read, is no proxy, or is damaged.
        ConfigError: If safetensors is not installed.
    """
    return _read(Path(path))[0]


def load_proxy(path: str | Path, space: ParameterSpace) -> Proxy:
    """Read a proxy.

    Args:
        path: The file.
        space: The space of the designs that it will be asked about.

    Returns:
        A proxy that predicts what the saved one did.

    Raises:
        ProxyFileError: If the file cannot be read, is no proxy, is damaged, or is for another
            space.
        ConfigError: If a library that the model needs is not installed.
    """
    path = Path(path)
    header, about, tensors = _read(path)

    def restore(name: str, prefix: str, key: str) -> Surrogate:
        own = {
            tensor.removeprefix(prefix): array
            for tensor, array in tensors.items()
            if tensor.startswith(prefix)
        }
        model_class: type[Surrogate] = PROXIES.load(name)
        return model_class.restore(own, about[key])

    try:
        header.check_space(space)
        model = restore(header.model, _MODEL, "model_settings")
        feasibility = None
        if "feasibility_settings" in about:
            feasibility = restore("random_forest", _FEASIBILITY, "feasibility_settings")
        return Proxy(header, space, model, feasibility)
    except (ProxyFileError, UnknownNameError) as error:
        raise ProxyFileError(f"{path}: {error}") from error


def _digest(text: str, tensors: Mapping[str, npt.NDArray[Any]]) -> str:
    """Return the SHA-256 of a header and of tensors, names, types and shapes included."""
    content = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        array = tensors[name]
        content.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        content.update(array.tobytes())
    return content.hexdigest()


def _read(
    path: Path,
) -> tuple[ProxyHeader, dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Read a file: its header, what else the JSON holds, and its tensors."""
    library = require("safetensors", extra="proxy")
    if not path.is_file():
        raise ProxyFileError(f"{path}: is no file. Name the one that `archgym proxy fit` wrote.")
    try:
        with library.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    except (library.SafetensorError, OSError, TypeError, ValueError) as error:
        raise ProxyFileError(
            f"{path}: cannot be read as a safetensors file: {error}. Restore the file or fit the "
            f"proxy again."
        ) from error
    text = metadata.get(_HEADER)
    if text is None:
        raise ProxyFileError(f"{path}: holds no proxy. Name a file of `archgym proxy fit`.")
    if _digest(text, tensors) != metadata.get("sha256"):
        raise ProxyFileError(
            f"{path}: its content does not have the SHA-256 that it was saved with. Restore the "
            f"file or fit the proxy again."
        )
    about = json.loads(text)
    if about["format_version"] != FORMAT_VERSION:
        raise ProxyFileError(
            f"{path}: has format version {about['format_version']}, but this package reads "
            f"{FORMAT_VERSION}. Fit the proxy again."
        )
    try:
        header = ProxyHeader(
            env_id=about["env_id"],
            simulator=about["simulator"],
            version=about["version"],
            space=about["space"],
            descriptors=tuple(about["descriptors"]),
            problems=tuple(
                KnownProblem(each["name"], each["problem"], tuple(each["descriptors"]))
                for each in about["problems"]
            ),
            features=tuple(about["features"]),
            targets=tuple(Target(**each) for each in about["targets"]),
            model=about["model"],
            training=about["training"],
            digest=metadata["sha256"],
        )
    except (KeyError, TypeError) as error:
        raise ProxyFileError(f"{path}: its header is incomplete: {error!r}.") from error
    return header, about, tensors
