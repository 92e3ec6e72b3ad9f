"""How the energy and the area of logic change with the technology node, relative to 45 nm.

Source: Stillmaker and Baas, "Scaling equations for the accurate prediction of CMOS device
performance from 180 nm to 7 nm", Integration 58 (2017), the general-purpose transistors. Between
the nodes of the paper the factors are interpolated linearly in the node.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from archgym_py.checks import number
from archgym_py.errors import ConfigError

__all__ = ["MAX_NODE_NM", "MIN_NODE_NM", "check_node", "interpolate", "logic_area", "logic_energy"]

MIN_NODE_NM: Final = 7.0
"""Smallest node that the factors cover, in nm."""

MAX_NODE_NM: Final = 90.0
"""Largest node that the factors cover, in nm."""

_SUPPLY_V = 0.8
"""Supply at which nodes are compared, the same for all of them, in V."""

_NODES_NM = (7.0, 10.0, 14.0, 16.0, 20.0, 32.0, 45.0, 65.0, 90.0)

# Energy of a switching gate at a supply V is proportional to a V^2 + b V + c.
_ENERGY_COEFFICIENTS = (
    (0.1776, -0.09097, 0.02447),
    (0.2068, -0.09311, 0.02375),
    (0.2363, -0.09675, 0.02239),
    (0.2958, -0.1241, 0.03024),
    (0.373, -0.1582, 0.04104),
    (0.9559, -0.7823, 0.471),
    (1.103, -0.362, 0.2767),
    (3.755, -4.398, 1.975),
    (4.762, -4.781, 2.092),
)
_AREA_FACTORS = (0.059, 0.10, 0.17, 0.19, 0.21, 0.46, 1.0, 1.5, 2.8)


def _energy_factors() -> tuple[float, ...]:
    energies = [a * _SUPPLY_V**2 + b * _SUPPLY_V + c for a, b, c in _ENERGY_COEFFICIENTS]
    reference = energies[_NODES_NM.index(45.0)]
    return tuple(energy / reference for energy in energies)


_ENERGY_FACTORS = _energy_factors()


def check_node(node_nm: float) -> float:
    """Return a technology node as a float.

    Raises:
        ConfigError: If it is not a number from 7 to 90, in nm.

    Examples:
        >>> check_node(45)
        45.0
        >>> check_node(5)
        Traceback (most recent call last):
        archgym_py.errors.ConfigError: node_nm must be a number from 7 to 90, got 5. These are the \
nodes, in nm, that have factors.
    """
    try:
        return number("node_nm", node_nm, MIN_NODE_NM, MAX_NODE_NM)
    except ConfigError as error:
        raise ConfigError(f"{error} These are the nodes, in nm, that have factors.") from None


@lru_cache(maxsize=256, typed=True)
def logic_energy(node_nm: float) -> float:
    """Return the energy of a logic operation relative to 45 nm, at the same supply of 0.8 V.

    Args:
        node_nm: Technology node, in nm.

    Examples:
        >>> round(logic_energy(32), 3), round(logic_energy(28), 3), round(logic_energy(7), 3)
        (0.659, 0.513, 0.094)
    """
    return interpolate(_NODES_NM, _ENERGY_FACTORS, check_node(node_nm))


@lru_cache(maxsize=256, typed=True)
def logic_area(node_nm: float) -> float:
    """Return the area of logic relative to 45 nm.

    Args:
        node_nm: Technology node, in nm.

    Examples:
        >>> logic_area(65), logic_area(16)
        (1.5, 0.19)
    """
    return interpolate(_NODES_NM, _AREA_FACTORS, check_node(node_nm))


def interpolate(knots: Sequence[float], values: Sequence[float], at: float) -> float:
    """Return the value at a place on the broken line through some points.

    Args:
        knots: Places of the points, increasing.
        values: Values of the points.
        at: A place from the first to the last knot.

    Returns:
        The value there; exactly that of the point where `at` is a knot.

    Examples:
        >>> interpolate((0.0, 1.0, 3.0), (0.0, 10.0, 30.0), 2.0)
        20.0
    """
    right = bisect_left(knots, at)
    if knots[right] == at:
        return values[right]
    share = (at - knots[right - 1]) / (knots[right] - knots[right - 1])
    return (1.0 - share) * values[right - 1] + share * values[right]
