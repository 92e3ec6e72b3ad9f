"""Linear regression.

>>> features = np.linspace(0.0, 1.0, 50, dtype=np.float32)[:, None]
>>> model = Linear(seed=1)
>>> model.fit(features, 2.0 * features.astype(np.float64) - 1.0)
>>> model.predict(np.array([[0.25]], dtype=np.float32)).mean.round(3)
array([[-0.5]])
"""

from __future__ import annotations

from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from archgym_py.errors import ProxyFileError
from archgym_py.parameters import Integer
from archgym_py.simulators.proxies.kernel import linear
from archgym_py.space import ParameterSpace
from archgym_py.surrogate import Prediction, Progress, Surrogate, Tensors, check_tensors

__all__ = ["Linear"]

_BLOCK = 65_536
"""Rows whose products are summed up at a time, to bound the memory for 64-bit copies."""

_PRECISIONS = (1e-6, 1e12)
"""Bounds of the precisions of weights and noise.

Targets and features have variance 1: noise below 1e-12 is rounding, and weights of a precision of
1e12 are nothing.
"""

_CONVERGED = 1e-6
"""Relative change of the precisions below which they are left as they are."""


class Linear(Surrogate):
    """Bayesian linear regression on the features, one target at a time.

    Weights have a normal prior around 0. How wide it is, and how strong the noise, is found by
    maximising the evidence (Bishop, "Pattern recognition and machine learning", 2006, section 3.5).
    The deviation is that of the posterior prediction. The model is the least that another has to
    beat.
    """

    name: ClassVar[str] = "linear"
    doc: ClassVar[str] = "Bayesian linear regression"
    hyperparameters: ClassVar[ParameterSpace] = ParameterSpace(
        (Integer("iterations", 1, 10_000, default=300, doc="most updates of prior and noise"),)
    )

    _arrays: dict[str, npt.NDArray[np.float64]]

    def _fit(
        self,
        features: npt.NDArray[np.float32],
        targets: npt.NDArray[np.float64],
        progress: Progress,
    ) -> None:
        rows = len(features)
        center = features.mean(axis=0, dtype=np.float64)
        varies = (features != features[0]).any(axis=0)
        scale = np.where(varies, features.std(axis=0, dtype=np.float64), 1.0)
        intercept = targets.mean(axis=0)
        gram = np.zeros((len(center), len(center)))
        cross = np.zeros((len(center), len(intercept)))
        for start in range(0, rows, _BLOCK):
            part = slice(start, start + _BLOCK)
            block = (features[part] - center) / scale
            gram += block.T @ block
            cross += block.T @ (targets[part] - intercept)
        power = ((targets - intercept) ** 2).sum(axis=0)
        # In the basis of the eigenvectors the weights are independent of each other.
        eigenvalues, basis = np.linalg.eigh(gram)
        eigenvalues = np.maximum(eigenvalues, 0.0)[:, None]
        cross = basis.T @ cross
        prior, noise = np.ones(len(intercept)), np.ones(len(intercept))  # precisions
        for _ in range(cast(int, self.config["iterations"])):
            weights = noise * cross / (prior + noise * eigenvalues)
            known = (noise * eigenvalues / (prior + noise * eigenvalues)).sum(axis=0)
            squares = power + (eigenvalues * weights**2 - 2.0 * weights * cross).sum(axis=0)
            before = np.concatenate([prior, noise])
            prior = np.clip(known / np.maximum((weights**2).sum(axis=0), 1e-300), *_PRECISIONS)
            freedom = np.maximum(rows - 1 - known, 0.0)
            noise = np.clip(freedom / np.maximum(squares, 1e-300), *_PRECISIONS)
            if np.allclose(np.concatenate([prior, noise]), before, rtol=_CONVERGED, atol=0.0):
                break
        weights = noise * cross / (prior + noise * eigenvalues)
        self._arrays = {
            "center": center,
            "scale": scale,
            "intercept": intercept,
            "weights": basis @ weights,
            "basis": basis,
            "variances": 1.0 / (prior + noise * eigenvalues),
            "noise": (1.0 + 1.0 / rows) / noise,
        }
        progress(1, 1)

    def _predict(self, features: npt.NDArray[np.float32]) -> Prediction:
        shape = len(features), len(self._arrays["intercept"])
        prediction = Prediction(np.empty(shape), np.empty(shape))
        linear(features, *self._arrays.values(), *prediction)
        return prediction

    def _tensors(self) -> dict[str, npt.NDArray[Any]]:
        return dict(self._arrays)

    def _restore(self, tensors: Tensors, targets: int) -> None:
        f, t = self._features, targets
        shapes = {
            "center": (f,),
            "scale": (f,),
            "intercept": (t,),
            "weights": (f, t),
            "basis": (f, f),
            "variances": (f, t),
            "noise": (t,),
        }
        arrays = check_tensors(
            tensors, {name: (np.float64, shape) for name, shape in shapes.items()}
        )
        for name in ("scale", "variances", "noise"):
            if not (arrays[name] > 0.0).all():
                raise ProxyFileError(f"the numbers of {name!r} must be positive.")
        self._arrays = arrays
