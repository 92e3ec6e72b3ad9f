"""Every error the library raises on purpose.

All derive from `ArchGymError`, so ``except ArchGymError`` catches what the library reports and
nothing else. Errors about a bad argument also derive from the builtin that a reader expects
(`ValueError`, `LookupError`).
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from typing import Any

__all__ = [
    "ActionError",
    "AgentError",
    "ArchGymError",
    "BudgetExhausted",
    "ConfigError",
    "DesignError",
    "InfeasibleDesign",
    "PoolError",
    "ProxyFileError",
    "ReplayMismatch",
    "SimulatorError",
    "SimulatorTimeout",
    "SpaceError",
    "TraceError",
    "UnknownNameError",
    "did_you_mean",
    "require",
]


class ArchGymError(Exception):
    """Base of every error the library raises on purpose."""


class SpaceError(ArchGymError, ValueError):
    """A space is defined wrongly, or was asked for something it cannot serve."""


class DesignError(ArchGymError, ValueError):
    """A design is not a member of its space."""


class ActionError(ArchGymError, ValueError):
    """An action or a vector does not have the shape, type or range the space asks for."""


class ConfigError(ArchGymError, ValueError):
    """A configuration or an objective cannot be understood."""


class AgentError(ArchGymError):
    """An agent cannot go on, for a reason outside of the library."""


class ProxyFileError(ArchGymError, ValueError):
    """A saved proxy is damaged, or does not fit the problem it is asked about."""


class PoolError(ArchGymError):
    """Runs side by side cannot go on: too many have failed, or Ray does not work."""


class UnknownNameError(ArchGymError, LookupError):
    """A name is not in a registry."""


class SimulatorError(ArchGymError):
    """A simulator could not evaluate a design.

    Such failures are data, not accidents: the evaluator turns them into a trial whose status says
    what happened. Raised directly it means that the simulator crashed.
    """


class InfeasibleDesign(SimulatorError):
    """The simulator rejects the design: it could not be built."""


class SimulatorTimeout(SimulatorError):
    """The simulator did not finish in the time it is allowed."""


class BudgetExhausted(ArchGymError):
    """More designs were proposed than the evaluation budget allows."""


class ReplayMismatch(ArchGymError):
    """A resumed run proposes a design other than the one that its history holds."""


class TraceError(ArchGymError, ValueError):
    """A memory trace cannot be read; the message names the file and the line."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Build the end of an error message about an unknown name.

    Args:
        name: The name that was not found.
        known: The names that exist, in the order in which they should be listed.

    Returns:
        A sentence with a leading space: the closest known name where one is close, else all of
        them.

    Examples:
        >>> did_you_mean("page_polcy", ["scheduler", "page_policy"])
        " Did you mean 'page_policy'?"
        >>> did_you_mean("voltage", ["scheduler", "page_policy"])
        ' Known: scheduler, page_policy.'
        >>> did_you_mean("voltage", [])
        ' None are known.'
    """
    names = list(known)
    folded = {candidate.casefold(): candidate for candidate in names}  # 'FIFO' is close to 'Fifo'
    close = difflib.get_close_matches(name.casefold(), folded, n=1)
    if close:
        return f" Did you mean {folded[close[0]]!r}?"
    return f" Known: {', '.join(names)}." if names else " None are known."


def require(module: str, *, extra: str) -> Any:
    """Import a library that the light install leaves out.

    Args:
        module: Name of the module to import.
        extra: Extra of this package that installs it.

    Returns:
        The module.

    Raises:
        ConfigError: If it is not installed.

    Examples:
        >>> require("json", extra="agents").loads("[1]")
        [1]
        >>> require("no_such_library", extra="agents")
        Traceback (most recent call last):
        archgym_py.errors.ConfigError: this needs no_such_library. Install it with: pip install \
'archgym_py[agents]'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the library is there, and something is wrong with it
        raise ConfigError(
            f"this needs {error.name}. Install it with: pip install 'archgym_py[{extra}]'"
        ) from error
