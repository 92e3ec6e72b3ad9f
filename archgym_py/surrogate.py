"""What a surrogate is: a model that learns metrics, says how sure it is, and is saved as arrays.

>>> from archgym_py.registry import PROXIES
>>> model = PROXIES.load("linear")(seed=1)
>>> features = np.linspace(0.0, 1.0, 50, dtype=np.float32)[:, None]
>>> model.fit(features, 2.0 * features.astype(np.float64) - 1.0)
>>> model.predict(features[:1]).mean.round(3)
array([[-1.]])
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from archgym_py.checks import check_keys, integer
from archgym_py.errors import (
    ArchGymError,
    ConfigError,
    DesignError,
    ProxyFileError,
    did_you_mean,
)
from archgym_py.space import ParameterSpace, Value

__all__ = ["Prediction", "Progress", "Surrogate", "Tensors", "check_tensors"]

Tensors: TypeAlias = Mapping[str, npt.NDArray[Any]]
"""Named arrays, in which a model is saved."""

Progress: TypeAlias = Callable[[int, int], object]
"""Is called with the parts of a fit that are done, and with how many there are."""


class Prediction(NamedTuple):
    """What a model expects of some designs.

    Attributes:
        mean: The expected targets, shape (m, t).
        std: How far the model thinks it may be off, shape (m, t); at least 0.
    """

    mean: npt.NDArray[np.float64]
    std: npt.NDArray[np.float64]

    @classmethod
    def of_members(cls, opinions: npt.NDArray[np.float64]) -> Self:
        """Return the mean and the spread of an ensemble.

        Args:
            opinions: What each member expects, shape (members, m, t).
        """
        # Member by member: numpy's own sums round differently for other numbers of rows.
        mean = sum(opinions[1:], start=opinions[0]) / len(opinions)
        squares = sum((opinion - mean) ** 2 for opinion in opinions)
        return cls(mean, np.sqrt(squares / len(opinions)))


class Surrogate(ABC):
    """A model of targets as a function of features.

    A subclass fits (`_fit`), predicts (`_predict`) and is saved (`_tensors`, `_restore`). What is
    common to all models is done here: arguments are checked, and targets that never vary are
    remembered, so that no subclass meets one.

    Args:
        seed: Seed of everything the model draws: equal seeds, hyperparameters and data make equal
            models, on any number of cores.
        **hyperparameters: Values of `hyperparameters`; those left out take their defaults.

    Attributes:
        name: Name in the registry.
        doc: One line that says what the model is.
        hyperparameters: What can be configured, as a space: names, ranges and defaults.
        config: The value of every hyperparameter.
        seed: The seed.

    Raises:
        ConfigError: If a hyperparameter is unknown or illegal, or the seed is no whole number.
    """

    name: ClassVar[str]
    doc: ClassVar[str]
    hyperparameters: ClassVar[ParameterSpace]

    def __init__(self, *, seed: int, **hyperparameters: Value) -> None:
        self.seed = integer("seed", seed, 0, 2**63 - 1)
        try:
            self.config = self.hyperparameters.fill_defaults(hyperparameters)
        except DesignError as error:
            raise ConfigError(f"model {self.name!r}: {error}") from None
        self._features = 0  # columns; 0 until the model is fitted
        self._varying = np.zeros(0, dtype=np.int64)
        self._constants = np.zeros(0)

    @property
    def features(self) -> int:
        """The number of features, 0 before `fit`."""
        return self._features

    @property
    def targets(self) -> int:
        """The number of targets, 0 before `fit`."""
        return len(self._constants)

    def fit(
        self,
        features: npt.NDArray[np.float32],
        targets: npt.NDArray[np.float64],
        *,
        progress: Progress | None = None,
    ) -> None:
        """Learn from examples; what was learned before is forgotten.

        Args:
            features: Shape (m, f), of at least one row and one column.
            targets: Shape (m, t), standardised: every column has mean 0 and standard deviation 1,
                or is constant.
            progress: Called as parts of the work are done, last of all when all of them are.

        Raises:
            ConfigError: If a shape or a type is wrong, or a number is not finite.
        """
        rows = len(targets)
        for what, array, kind in (("features", features, "f4"), ("targets", targets, "f8")):
            if array.ndim != 2 or array.dtype != kind or len(array) != rows or 0 in array.shape:
                raise ConfigError(
                    f"the {what} of a model are a matrix of {np.dtype(kind)} with a row for each "
                    f"of at least one example, got {array.dtype} and shape {array.shape} for "
                    f"{rows} rows of targets."
                )
            if not np.isfinite(array).all():
                raise ConfigError(f"the {what} of a model must be finite. Leave such rows out.")
        self._features = features.shape[1]
        self._constants = targets[0].copy()
        self._varying = np.flatnonzero((targets != self._constants).any(axis=0))
        progress = progress or (lambda *_: None)
        if len(self._varying) == 0:
            progress(1, 1)
            return
        if len(self._varying) < self.targets:
            targets = targets[:, self._varying]
        self._fit(np.ascontiguousarray(features), np.ascontiguousarray(targets), progress)

    def predict(self, features: npt.NDArray[np.float32]) -> Prediction:
        """Return what the model expects; several threads may ask at a time.

        Args:
            features: Shape (m, f). A row's result does not depend on the rows beside it.

        Returns:
            Means and standard deviations, of shape (m, t). The deviations are the model's own
            opinion: to mean something they have to be calibrated on other data.

        Raises:
            ArchGymError: If the model is not fitted.
            ConfigError: If the shape or the type is wrong, or a number is not finite.
        """
        if not self._features:
            raise ArchGymError(f"model {self.name!r} is not fitted. Call fit() first.")
        if (
            features.ndim != 2
            or features.dtype != np.float32
            or features.shape[1] != self._features
        ):
            raise ConfigError(
                f"the model was fitted with {self._features} features, so it predicts from a "
                f"matrix of float32 with as many columns, got {features.dtype} and shape "
                f"{features.shape}."
            )
        if not np.isfinite(features).all():
            raise ConfigError("the features of a model must be finite.")
        mean = np.tile(self._constants, (len(features), 1))
        std = np.zeros_like(mean)
        if len(self._varying):
            varying = self._predict(np.ascontiguousarray(features))
            mean[:, self._varying] = varying.mean
            std[:, self._varying] = varying.std
        return Prediction(mean, std)

    def state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Return all that `predict` needs.

        Returns:
            Arrays by name, and settings that can be written as JSON.

        Raises:
            ArchGymError: If the model is not fitted.
        """
        if not self._features:
            raise ArchGymError(f"model {self.name!r} is not fitted. Call fit() first.")
        settings = {
            "seed": self.seed,
            "hyperparameters": dict(self.config),
            "features": self.features,
            "targets": self.targets,
        }
        tensors = {"varying": self._varying, "constants": self._constants}
        if len(self._varying):
            tensors |= self._tensors()
        return tensors, settings

    @classmethod
    def restore(cls, tensors: Tensors, settings: Mapping[str, Any]) -> Self:
        """Return the model that `state` came from.

        Args:
            tensors: The arrays.
            settings: The settings.

        Returns:
            A model that predicts the same.

        Raises:
            ProxyFileError: If anything is missing, unknown, of a wrong type or shape, or out of
                range: no array that passes makes `predict` read beyond an array or go on forever.
        """
        try:
            return cls._restored(tensors, settings)
        except (ConfigError, ProxyFileError) as error:
            raise ProxyFileError(f"the model {cls.name!r} is damaged: {error}") from None

    @classmethod
    def _restored(cls, tensors: Tensors, settings: Mapping[str, Any]) -> Self:
        keys = ("seed", "hyperparameters", "features", "targets")
        check_keys(settings, keys, keys, "settings")
        names = cls.hyperparameters.names
        check_keys(settings["hyperparameters"], names, names, "hyperparameters")
        model = cls(seed=settings["seed"], **settings["hyperparameters"])
        model._features = integer("features", settings["features"], 1, 2**31 - 1)
        targets = integer("targets", settings["targets"], 1, 2**31 - 1)
        common = {"varying": (np.int64, (None,)), "constants": (np.float64, (targets,))}
        arrays = check_tensors({k: v for k, v in tensors.items() if k in common}, common)
        model._varying, model._constants = arrays["varying"], arrays["constants"]
        if (np.diff(model._varying, prepend=-1, append=targets) <= 0).any():
            raise ProxyFileError(f"the varying targets must increase within 0..{targets - 1}.")
        own = {name: array for name, array in tensors.items() if name not in common}
        if len(model._varying):
            model._restore(own, len(model._varying))
        else:
            check_tensors(own, {})
        return model

    @abstractmethod
    def _fit(
        self,
        features: npt.NDArray[np.float32],
        targets: npt.NDArray[np.float64],
        progress: Progress,
    ) -> None:
        """Learn from contiguous arrays of at least two rows; every target varies."""

    @abstractmethod
    def _predict(self, features: npt.NDArray[np.float32]) -> Prediction:
        """Predict the targets of `_fit` from a contiguous array, of no rows, too."""

    @abstractmethod
    def _tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays of a fitted model."""

    @abstractmethod
    def _restore(self, tensors: Tensors, targets: int) -> None:
        """Take over the arrays of a fitted model, whose `features` are restored, or refuse them.

        Args:
            tensors: What `_tensors` returned.
            targets: The number of targets of `_fit`, at least 1.

        Raises:
            ProxyFileError: See `restore`.
        """


def check_tensors(
    tensors: Tensors, expected: Mapping[str, tuple[npt.DTypeLike, Sequence[int | None]]]
) -> dict[str, npt.NDArray[Any]]:
    """Return arrays that a file should hold, or refuse them.

    Args:
        tensors: The arrays of the file.
        expected: The type and the shape of each array; None stands for any length.

    Returns:
        The arrays in the order of `expected`, each contiguous, aligned and writable: compiled
        functions need not be compiled for another layout.

    Raises:
        ProxyFileError: If an array is missing, unknown, or of another type or shape, or has a
            number that is not finite.

    Examples:
        >>> weights = {"weights": np.zeros((3, 2))}
        >>> list(check_tensors(weights, {"weights": (np.float64, (None, 2))}))
        ['weights']
        >>> check_tensors(weights, {"weights": (np.float64, (3, 3))})
        Traceback (most recent call last):
        archgym_py.errors.ProxyFileError: the array 'weights' must be float64 of shape (3, 3), got \
float64 of shape (3, 2).
    """
    for name in tensors:
        if name not in expected:
            raise ProxyFileError(f"unknown array {name!r}.{did_you_mean(str(name), expected)}")
    checked = {}
    for name, (kind, shape) in expected.items():
        if name not in tensors:
            raise ProxyFileError(f"the array {name!r} is missing.")
        array, dtype = tensors[name], np.dtype(kind)
        fits = len(shape) == array.ndim and all(
            length in (None, actual) for length, actual in zip(shape, array.shape, strict=True)
        )
        if array.dtype != dtype or not fits:
            lengths = ", ".join("any" if length is None else str(length) for length in shape)
            raise ProxyFileError(
                f"the array {name!r} must be {dtype} of shape ({lengths}), got {array.dtype} of "
                f"shape {array.shape}."
            )
        if dtype.kind == "f" and not np.isfinite(array).all():
            raise ProxyFileError(f"the array {name!r} has numbers that are not finite.")
        checked[name] = np.require(array, requirements=["C", "A", "W"])
    return checked
