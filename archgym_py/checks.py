"""Checks of numbers, flags and types, from wherever they come: arguments, files, designs.

Each returns the value as Python's own type, so that what numpy computed may be passed on, and
raises a `ConfigError` that names the thing, its rule and what it got.

    >>> import numpy as np
    >>> integer("banks", np.int64(32), 1, 128), number("clock_mhz", np.float32(0.5), 0.1, 1e4)
    (32, 0.5)
"""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from archgym_py.errors import ConfigError, did_you_mean

__all__ = ["check_keys", "flag", "integer", "made", "number", "require_type"]

_T = TypeVar("_T")

_KINDS: Mapping[type, str] = {str: "a name", os.PathLike: "a path", Mapping: "a mapping"}


def integer(name: str, value: object, low: int, high: int) -> int:
    """Return a whole number of a range. A float is none, whatever its value, nor is a bool.

    Args:
        name: What it is, for the message.
        value: A Python or numpy integer.
        low: Smallest legal value.
        high: Largest legal value.

    Raises:
        ConfigError: If the value is no whole number or lies outside.

    Examples:
        >>> integer("banks", 7.0, 1, 128)
        Traceback (most recent call last):
        archgym_py.errors.ConfigError: banks must be a whole number from 1 to 128, got 7.0.
    """
    if not isinstance(value, bool) and isinstance(value, int | numbers.Integral):
        whole = int(value)
        if low <= whole <= high:
            return whole
    raise ConfigError(f"{name} must be a whole number from {low} to {high}, got {_shown(value)}.")


def number(name: str, value: object, low: float, high: float) -> float:
    """Return a finite number of a range, as a float. A bool is none.

    Args:
        name: What it is, for the message.
        value: A Python or numpy number.
        low: Smallest legal value.
        high: Largest legal value; infinity for no upper limit. The value itself is finite.

    Raises:
        ConfigError: If the value is no number, is not finite or lies outside.

    Examples:
        >>> number("power_budget_mw", float("nan"), 0.0, math.inf)
        Traceback (most recent call last):
        archgym_py.errors.ConfigError: power_budget_mw must be a finite number from 0 on, got nan.
    """
    if not isinstance(value, bool) and isinstance(value, float | int | numbers.Real):
        try:
            real = float(value)
        except OverflowError:  # an int beyond all floats
            real = math.inf
        if math.isfinite(real) and low <= real <= high:
            return real
    rule = (
        f"a number from {low:g} to {high:g}"
        if math.isfinite(high)
        else f"a finite number from {low:g} on"
    )
    raise ConfigError(f"{name} must be {rule}, got {_shown(value)}.")


def flag(name: str, value: object) -> bool:
    """Return a flag, Python's or numpy's. A number is none.

    Args:
        name: What it is, for the message.
        value: True or False.

    Raises:
        ConfigError: If the value is neither.
    """
    if not isinstance(value, bool | np.bool_):
        raise ConfigError(f"{name} must be True or False, got {_shown(value)}.")
    return bool(value)


def require_type(name: str, value: object, *types: type) -> None:
    """Raise if a value is not of one of some types, before it is used as a name or a path.

    Args:
        name: What it is, for the message.
        value: Its value.
        types: The types, such as `str`, `os.PathLike` and `Mapping`.

    Raises:
        ConfigError: If it is of none.

    Examples:
        >>> require_type("workload", 3, str, os.PathLike)
        Traceback (most recent call last):
        archgym_py.errors.ConfigError: workload must be a name or a path, got 3.
    """
    if not isinstance(value, types):
        legal = " or ".join(_KINDS.get(kind, f"of type {kind.__name__}") for kind in types)
        raise ConfigError(f"{name} must be {legal}, got {_shown(value)}.")


def check_keys(content: object, known: Sequence[str], required: Sequence[str], where: str) -> None:
    """Refuse anything but a mapping with the required keys and none that is not known.

    Args:
        content: What was given.
        known: Keys that may be there.
        required: Keys that must be there.
        where: What to call it in messages.

    Raises:
        ConfigError: If it is something else.
    """
    if not isinstance(content, Mapping):
        raise ConfigError(
            f"{where}: must be a mapping with the keys {', '.join(required)}, got {content!r}."
        )
    for key in content:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}.{did_you_mean(str(key), known)}")
    for key in required:
        if key not in content:
            raise ConfigError(f"{where}: the key {key!r} is missing. Nothing is assumed for it.")


def made(where: str, make: Callable[..., _T], /, **arguments: Any) -> _T:
    """Call a constructor, with the place of its arguments in front of its error.

    Args:
        where: Where the arguments are from, for the message.
        make: The constructor.
        **arguments: Its arguments.

    Raises:
        ConfigError: If the constructor does.
    """
    try:
        return make(**arguments)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _shown(value: object) -> str:
    """Return a value as a message shows it, cut if it is long."""
    try:
        text = repr(value)
    except ValueError:  # an int of thousands of digits
        return f"an {type(value).__name__} that is too long to show"
    return text if len(text) <= 200 else f"{text[:200]}..."
