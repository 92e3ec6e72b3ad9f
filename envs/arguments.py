"""The check of which arguments environments take; `archgym_py.checks` has those of values."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from archgym_py.errors import ConfigError, did_you_mean

__all__ = ["refuse_unknown"]


def refuse_unknown(env: type, what: str, arguments: Mapping[str, Any]) -> None:
    """Raise if there is an argument that an environment does not have.

    Args:
        env: Class of the environment, whose constructor lists the arguments.
        what: What it designs, for the message.
        arguments: What was left over.

    Raises:
        ConfigError: If anything was; the message suggests the nearest argument.
    """
    parameters = inspect.signature(env).parameters.values()
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    for name in arguments:
        raise ConfigError(f"{what} has no argument {name!r}.{did_you_mean(name, known)}")
