"""How many cores there are to work on."""

from __future__ import annotations

import os

from archgym_py.errors import ConfigError

__all__ = ["CORES_VARIABLE", "cores"]

CORES_VARIABLE = "ARCHGYM_CORES"
"""Environment variable with the number of cores that a process is to use."""


def cores() -> int:
    """Return the number of cores that this process may use, or is told to by `CORES_VARIABLE`.

    Raises:
        ConfigError: If the variable is no whole number of at least 1.
    """
    told = os.environ.get(CORES_VARIABLE)
    if told is not None:
        if not told.isdecimal() or int(told) < 1:
            raise ConfigError(
                f"{CORES_VARIABLE} must be a whole number of at least 1, got {told!r}."
            )
        return int(told)
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
