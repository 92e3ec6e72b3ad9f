"""What evaluates the designs of an environment: its own simulator, a proxy of it, or a real tool.

>>> import gymnasium as gym
>>> gym.make("ArchGym/Toy-v0", simulator="proxy:nowhere.safetensors")
Traceback (most recent call last):
archgym_py.errors.ProxyFileError: nowhere.safetensors: is no file. Name the one that ...
>>> gym.make("ArchGym/Toy-v0", simulator="dramsys")
Traceback (most recent call last):
archgym_py.errors.ConfigError: the backend 'dramsys' evaluates designs of dram, not of toy.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archgym_py.checks import check_keys
from archgym_py.errors import ConfigError, did_you_mean
from archgym_py.proxy import load_proxy
from archgym_py.registry import BACKENDS
from archgym_py.simulator import Simulator
from archgym_py.simulators.backend import Backend
from archgym_py.simulators.proxy import PREFIX, ProxySimulator
from archgym_py.space import ParameterSpace

__all__ = ["EMBEDDED", "backend_of", "stand_in"]

EMBEDDED = "embedded"
"""Name of the simulator that an environment comes with."""

_PROXY_KEYS = ("proxy", "fallback")


def stand_in(spec: object, reference: Simulator, space: ParameterSpace) -> Simulator:
    """Return the simulator that the argument `simulator` of an environment asks for.

    Args:
        spec: "embedded"; "proxy:PATH" with the file of a proxy, or a mapping with the path as
            `proxy` and optionally `fallback`, see `ProxySimulator`; the name of a backend
            ("dramsys"), or a mapping with the name as `backend` and its options.
        reference: The environment's own simulator.
        space: The designs.

    Returns:
        `reference` itself, or a proxy or a backend in front of it.

    Raises:
        ConfigError: If the argument cannot be understood, the proxy does not know the problem, the
            backend does not evaluate such designs, or its tool is not there.
        ProxyFileError: If the file of a proxy cannot be read or is for something else.
        UnknownNameError: If there is no such backend.
    """
    if spec == EMBEDDED:
        return reference
    try:
        if isinstance(spec, Mapping) and "backend" in spec:
            options = {str(key): value for key, value in spec.items() if key != "backend"}
            return _found(backend_of(spec["backend"], reference, space, **options))
        if isinstance(spec, Mapping):
            check_keys(spec, _PROXY_KEYS, ("proxy",), "simulator")
            return _proxy(spec["proxy"], reference, space, fallback=spec.get("fallback"))
        if isinstance(spec, str) and spec.startswith(PREFIX):
            return _proxy(spec.removeprefix(PREFIX), reference, space, fallback=None)
        if isinstance(spec, str) and spec in BACKENDS:
            return _found(backend_of(spec, reference, space))
        known = (EMBEDDED, f"{PREFIX}PATH", *BACKENDS.names())
        raise ConfigError(f"unknown simulator {spec!r}.{did_you_mean(str(spec), known)}")
    except BaseException:
        reference.close()
        raise


def backend_of(name: object, embedded: Simulator, space: ParameterSpace, **options: Any) -> Backend:
    """Return the adapter of a real tool for the designs of an environment.

    The tool itself is looked for when it is first needed: the adapter can write configurations for
    it wherever it is.

    Args:
        name: Name in the registry of backends.
        embedded: The simulator that comes with the library, set up for the problem.
        space: The designs.
        **options: Arguments of the backend.

    Raises:
        ConfigError: If the backend does not evaluate such designs, or an option is unknown or
            illegal.
        UnknownNameError: If there is no such backend.
    """
    cls: type[Backend] = BACKENDS.load(str(name))
    parameters = inspect.signature(cls).parameters.values()
    known = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
    for option in options:
        if option not in known:
            raise ConfigError(
                f"the backend {name!r} has no option {option!r}.{did_you_mean(option, known)}"
            )
    return cls(embedded, space, **options)


def _found(backend: Backend) -> Backend:
    """Return a backend whose tool is there; its version is the tool's, too."""
    backend.version  # noqa: B018
    return backend


def _proxy(
    path: object, reference: Simulator, space: ParameterSpace, *, fallback: float | None
) -> ProxySimulator:
    if not isinstance(path, str | Path) or not str(path):
        raise ConfigError(f"the path of a proxy must name a file, got {path!r}.")
    return ProxySimulator(reference, load_proxy(path, space), fallback=fallback)
