"""The four kinds of parameter that a design can have.

================ ======================================= ==========================
class            values                                  example
================ ======================================= ==========================
`Choice`         names, flags or numbers, in no order    a scheduling policy
`Ordinal`        listed numbers, in increasing order     a size of 8, 16 or 64 KiB
`Integer`        every whole number of a range           a depth of 1 to 128
`Real`           a range of numbers, or a grid over it   a clock of 0.5 to 2 GHz
================ ======================================= ==========================

Each takes its name, what defines its values, and the keywords that `Parameter` describes:
`default`, `doc`, `unit` and `active_when`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar, cast

import numpy as np

from archgym_py.design import Parameter, Value
from archgym_py.errors import SpaceError, did_you_mean

__all__ = ["Choice", "Integer", "Ordinal", "Real"]

MAX_CARDINALITY = 2**32
"""Most values an `Integer` can have: up to here positions in [0, 1] tell all of them apart."""

MAX_LEVELS = 2**16
"""Most points of a grid over a `Real`, which are held in memory."""

_GRID_TOLERANCE = 1e-9
"""How far a number may lie from a grid point, as a part of the gap, and still mean it."""

_NUMBERS = (int, float, np.integer, np.floating)


@dataclass(frozen=True, slots=True)
class _Listed(Parameter):
    """A parameter whose values are listed one by one."""

    values: Sequence[Value]
    _index: dict[Value, int] = field(init=False, repr=False, compare=False)

    _types: ClassVar[tuple[type[Value], ...]]

    def _define(self) -> None:
        values = _of_one_type(self.values)
        if not values or type(values[0]) not in self._types:
            types = ", ".join(kind.__name__ for kind in self._types)
            raise self._error(
                f"values must be a sequence of one type among {types}, got {self.values!r}. Spell "
                f"mixed values as strings"
            )
        if any(isinstance(value, float) and not math.isfinite(value) for value in values):
            raise self._error(f"values must be finite, got {values!r}")
        self._set("values", values)
        self._set("_index", {value: index for index, value in enumerate(values)})
        if len(self._index) < len(values):
            raise self._error(f"values must differ from each other, got {values!r}")

    @property
    def value_type(self) -> type[Value]:
        """The type of the listed values."""
        return type(self.values[0])

    @property
    def cardinality(self) -> int:
        """The number of listed values."""
        return len(self.values)

    def check(self, value: object) -> Value:
        """Return the listed value that equals a value; see `Parameter.check`."""
        return self.values[self.index_of(value)]

    def index_of(self, value: object) -> int:
        """Return the place of a value in the list; see `Parameter.index_of`."""
        try:
            index = self._index[cast(Value, value)]
        except (KeyError, TypeError):  # unknown, or not even hashable
            raise self._refuse(value, self._remedy(value)) from None
        # True == 1 and both have the same hash, yet a flag is no number.
        if isinstance(value, (bool, np.bool_)) is not isinstance(self.values[index], bool):
            raise self._refuse(value, f" Write {self.values[index]!r}.")
        return index

    def value_at(self, index: int) -> Value:
        """Return the value at a place of the list; see `Parameter.value_at`."""
        return self.values[self._check_index(index, len(self.values))]

    def describe(self) -> str:
        """Return the legal values in words."""
        return self._with_unit("one of " + ", ".join(map(str, self.values)))

    def _remedy(self, value: object) -> str:
        if not isinstance(value, str):
            return ""
        near = did_you_mean(value, map(str, self.values))
        return near if near.startswith(" Did") else ""  # the message lists the values already


@dataclass(frozen=True, slots=True)
class Choice(_Listed):
    """One of several values without an order: strings, flags or numbers.

    Args:
        name: Name of the parameter.
        values: The legal values, all different and of one type.

    Examples:
        >>> policy = Choice("page_policy", ("Open", "Closed"), default="Closed")
        >>> policy.default, policy.cardinality, policy.index_of("Open")
        ('Closed', 2, 0)
        >>> policy.check("open")
        Traceback (most recent call last):
        archgym_py.errors.DesignError: parameter 'page_policy' takes one of Open, Closed, \
got 'open'. Did you mean 'Open'?
    """

    _types: ClassVar[tuple[type[Value], ...]] = (str, bool, int, float)


@dataclass(frozen=True, slots=True)
class Ordinal(_Listed):
    """One of several listed numbers, of which neighbours are alike.

    Args:
        name: Name of the parameter.
        values: The legal numbers, strictly increasing.

    Examples:
        >>> size = Ordinal("cache", (16, 32, 64), default=32, unit="KiB")
        >>> size.to_unit(32), size.value_at(2)
        (0.5, 64)
        >>> size.check(48)
        Traceback (most recent call last):
        archgym_py.errors.DesignError: parameter 'cache' takes one of 16, 32, 64 KiB, got 48. \
The nearest is 32.
    """

    _types: ClassVar[tuple[type[Value], ...]] = (int, float)

    def _define(self) -> None:
        _Listed._define(self)  # not super(), which names the class that slots=True has replaced
        if any(low >= high for low, high in pairwise(cast(Sequence[float], self.values))):
            raise self._error(f"values must be strictly increasing, got {self.values!r}")

    def _remedy(self, value: object) -> str:
        number = _as_float(value)
        if number is None:
            return ""
        nearest = min(cast(Sequence[float], self.values), key=lambda legal: abs(legal - number))
        return f" The nearest is {nearest!r}."


@dataclass(frozen=True, slots=True)
class Integer(Parameter):
    """Every whole number of a range.

    Args:
        name: Name of the parameter.
        low: Smallest value.
        high: Largest value, included.

    Examples:
        >>> depth = Integer("queue_depth", 1, 128, default=8)
        >>> depth.cardinality, depth.value_at(127)
        (128, 128)
        >>> depth.check(300)
        Traceback (most recent call last):
        archgym_py.errors.DesignError: parameter 'queue_depth' takes integer 1..128, got 300. \
The nearest is 128.
    """

    low: int
    high: int

    def _define(self) -> None:
        for bound, given in (("low", self.low), ("high", self.high)):
            number = _as_integer(given)
            if number is None or not -(2**63) <= number < 2**63:
                raise self._error(f"{bound} must be a 64-bit integer, got {given!r}")
            self._set(bound, number)
        if self.low > self.high:
            raise self._error(f"low must not exceed high, got {self.low}..{self.high}")
        if self.cardinality > MAX_CARDINALITY:
            raise self._error(
                f"{self.low}..{self.high} has more than {MAX_CARDINALITY} values. Use a Real, or "
                f"an Ordinal of the values that matter"
            )

    @property
    def value_type(self) -> type[Value]:
        """Always `int`."""
        return int

    @property
    def cardinality(self) -> int:
        """The number of whole numbers in the range."""
        return self.high - self.low + 1

    def check(self, value: object) -> int:
        """Return a value as an int; see `Parameter.check`."""
        number = value if type(value) is int else _as_integer(value)
        if number is None:
            raise self._refuse(value, " Write a whole number.")
        if not self.low <= number <= self.high:
            raise self._refuse(value, f" The nearest is {min(max(number, self.low), self.high)}.")
        return number

    def index_of(self, value: object) -> int:
        """Return the distance of a value from `low`; see `Parameter.index_of`."""
        return self.check(value) - self.low

    def value_at(self, index: int) -> int:
        """Return the value at a distance from `low`; see `Parameter.value_at`."""
        return self.low + self._check_index(index, self.cardinality)

    def describe(self) -> str:
        """Return the legal values in words."""
        return self._with_unit(f"integer {self.low}..{self.high}")


@dataclass(frozen=True, slots=True)
class Real(Parameter):
    """Any number of a range, or one of a grid of them.

    Args:
        name: Name of the parameter.
        low: Smallest value.
        high: Largest value, included.
        levels: Number of grid points, both ends included; None for a continuum.
        log: Whether equal ratios, not equal differences, make equal steps; needs `low` > 0.

    Examples:
        >>> Real("voltage", 0.5, 1.5, unit="V").from_unit(0.25)
        0.75
        >>> clock = Real("clock", 0.25, 4.0, levels=5, log=True, unit="GHz")
        >>> [clock.value_at(index) for index in range(5)]
        [0.25, 0.5, 1.0, 2.0, 4.0]
        >>> clock.check(3.5)
        Traceback (most recent call last):
        archgym_py.errors.DesignError: parameter 'clock' takes one of 5 numbers 0.25..4.0 GHz on a \
log scale, got 3.5. The nearest is 4.0.
    """

    low: float
    high: float
    levels: int | None = field(default=None, kw_only=True)
    log: bool = field(default=False, kw_only=True)
    _grid: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def _define(self) -> None:
        for bound, given in (("low", self.low), ("high", self.high)):
            number = _as_float(given)
            if number is None:
                raise self._error(f"{bound} must be a finite number, got {given!r}")
            self._set(bound, number)
        if self.low >= self.high:
            raise self._error(f"low must be below high, got {self.low}..{self.high}")
        if self.log and self.low <= 0:
            raise self._error(f"a log scale needs low > 0, got {self.low}")
        if math.isinf(self.high / self.low if self.log else self.high - self.low):
            raise self._error(f"{self.low}..{self.high} is wider than floats can resolve")
        self._set("_grid", ())
        if self.levels is None:
            return
        levels = _as_integer(self.levels)
        if levels is None or not 2 <= levels <= MAX_LEVELS:
            raise self._error(f"levels must be None or 2..{MAX_LEVELS}, got {self.levels!r}")
        self._set("levels", levels)
        points = [self._between(index / (levels - 1)) for index in range(levels)]
        # Twelve digits where these suffice, so that logs say 0.7 and not 0.7000000000000001.
        slack = _GRID_TOLERANCE * min(high - low for low, high in pairwise(points))
        for index, point in enumerate(points[1:-1], start=1):
            short = float(f"{point:.12g}")
            points[index] = short if abs(short - point) <= slack else point
        self._set("_grid", tuple(points))
        if any(low >= high for low, high in pairwise(points)):
            raise self._error(f"{self.low}..{self.high} has no {levels} distinct levels")

    @property
    def value_type(self) -> type[Value]:
        """Always `float`."""
        return float

    @property
    def cardinality(self) -> int | None:
        """The number of grid points, or None for a continuum."""
        return self.levels

    def check(self, value: object) -> float:
        """Return a value as a float, on the grid if there is one; see `Parameter.check`."""
        number = _as_float(value)
        if number is None:
            raise self._refuse(value, " Write a finite number.")
        legal = self._nearest(number)
        if legal != number and not (self._grid and self._means(number, legal)):
            raise self._refuse(value, f" The nearest is {legal!r}.")
        return legal

    def index_of(self, value: object) -> int:
        """Return the place of a value on the grid; see `Parameter.index_of`."""
        self._need_grid()
        return bisect_left(self._grid, self.check(value))

    def value_at(self, index: int) -> float:
        """Return the value at a place of the grid; see `Parameter.value_at`."""
        self._need_grid()
        return self._grid[self._check_index(index, len(self._grid))]

    def to_unit(self, value: object) -> float:
        """Return the position of a value in [0, 1]; see `Parameter.to_unit`."""
        if self._grid:
            return Parameter.to_unit(self, value)
        number, low, high = self.check(value), self.low, self.high
        if self.log:
            return math.log(number / low) / math.log(high / low)
        return (number - low) / (high - low)

    def from_unit(self, position: float) -> float:
        """Return the value at a position in [0, 1]; see `Parameter.from_unit`."""
        if self._grid:
            return cast(float, Parameter.from_unit(self, position))
        self._check_position(position)
        return self._between(position)

    def describe(self) -> str:
        """Return the legal values in words."""
        kind = f"one of {self.levels} numbers" if self._grid else "real"
        scale = " on a log scale" if self.log else ""
        return self._with_unit(f"{kind} {self.low}..{self.high}") + scale

    def _between(self, position: float) -> float:
        if position == 1.0:
            return self.high
        if self.log:
            number = self.low * math.pow(self.high / self.low, position)
        else:
            number = self.low + (self.high - self.low) * position
        return min(number, self.high)  # rounding may leave the range by one bit

    def _nearest(self, number: float) -> float:
        if not self._grid:
            return min(max(number, self.low), self.high)
        right = min(bisect_left(self._grid, number), len(self._grid) - 1)
        return min(self._grid[max(right - 1, 0) : right + 1], key=lambda at: abs(at - number))

    def _means(self, number: float, legal: float) -> bool:
        """Return whether a number differs from a grid point by rounding only."""
        index = min(bisect_left(self._grid, legal), len(self._grid) - 2)
        gap = self._grid[index + 1] - self._grid[index]
        return abs(number - legal) <= max(_GRID_TOLERANCE * gap, 1e-15 * abs(legal))

    def _need_grid(self) -> None:
        if not self._grid:
            raise SpaceError(
                f"parameter {self.name!r} is continuous, so its values have no numbers. Give it "
                f"levels=N, or use positions in [0, 1] (to_unit, the 'box' action)."
            )


def _as_float(value: object) -> float | None:
    """Return a finite number as a float, anything else as None."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, _NUMBERS):
        return None
    try:
        number = float(value) + 0.0  # -0.0 becomes 0.0
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _as_integer(value: object) -> int | None:
    """Return a whole number as an int, anything else as None."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return int(value)
    number = _as_float(value)
    return None if number is None or not number.is_integer() else int(number)


def _of_one_type(values: object) -> tuple[Value, ...]:
    """Return values as Python values of one type, or an empty tuple where that is impossible."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        return ()
    plain = [value.item() if isinstance(value, np.generic) else value for value in values]
    types = set(map(type, plain))
    if types == {int, float}:
        return tuple(map(float, plain))
    return tuple(plain) if len(types) == 1 else ()
