"""Which versions a result was made with."""

from __future__ import annotations

import platform
from importlib import metadata

import archgym_py

__all__ = ["library_versions"]

_LIBRARIES = (
    "numpy",
    "numba",
    "scikit-learn",
    "lightgbm",
    "safetensors",
    "scipy",
    "pyarrow",
    "optuna",
    "cmaes",
    "gymnasium",
    "pettingzoo",
    "stable-baselines3",
    "torch",
    "ray",
)


def library_versions() -> dict[str, str]:
    """Return the versions of Python, of this library and of those that agents use.

    Examples:
        >>> library_versions()["archgym_py"] == archgym_py.__version__
        True
    """
    versions = {"python": platform.python_version(), "archgym_py": archgym_py.__version__}
    for name in _LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions
