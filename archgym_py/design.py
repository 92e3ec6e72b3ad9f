"""What a design is made of: values, and the parameters and constraints that rule them."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from keyword import iskeyword
from typing import Any, TypeAlias, cast

from archgym_py.errors import ActionError, DesignError, SpaceError

__all__ = ["ActiveWhen", "Constraint", "Design", "Parameter", "Value"]

Value: TypeAlias = str | int | float | bool
"""One value of one parameter."""

Design: TypeAlias = dict[str, Value]
"""A value for every parameter of a space, by name."""

ActiveWhen: TypeAlias = tuple[tuple[str, tuple[Value, ...]], ...]
"""Pairs of a parent's name and those of its values under which a parameter is active."""

_FIRST: Any = None
"""Stands for "the first value" where no default is given; no parameter keeps it."""


@dataclass(frozen=True, slots=True)
class Parameter(ABC):
    """What all kinds of parameter have in common.

    A parameter checks its definition once, when it is made. From then on it checks values, numbers
    them from 0, and places them in the unit interval, which is cut into one bin of equal width for
    each value.

    Attributes:
        name: A Python identifier, as it is also used for arguments and for column names.
        default: The value of the baseline design; the first value unless given.
        doc: One line that says what the parameter does.
        unit: Physical unit of the values, "" where there is none.
        active_when: Parent parameters and those of their values under which this parameter has
            an effect; with several parents all must agree. Given as a mapping, kept as
            `conditions`.

    Raises:
        SpaceError: If the definition is not usable.
    """

    name: str
    default: Value = field(default=_FIRST, kw_only=True)
    doc: str = field(default="", kw_only=True)
    unit: str = field(default="", kw_only=True)
    active_when: Mapping[str, Sequence[Value]] | ActiveWhen = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        if not str(self.name).isidentifier() or iskeyword(str(self.name)):
            raise SpaceError(
                f"the name of a parameter must be a Python identifier such as 'buffer_size', got "
                f"{self.name!r}."
            )
        conditions = []
        for parent, values in dict(self.active_when).items():
            if isinstance(values, str) or not values:
                raise self._error(
                    f"active_when needs a sequence of values of {parent!r}, got {values!r}"
                )
            conditions.append((parent, tuple(values)))
        self._set("active_when", tuple(conditions))
        self._define()
        try:
            default = self.from_unit(0.0) if self.default is _FIRST else self.check(self.default)
        except DesignError as error:
            raise SpaceError(f"the default is not legal: {error}") from None
        self._set("default", default)

    @property
    def conditions(self) -> ActiveWhen:
        """`active_when` as it is kept: pairs of a parent's name and its values."""
        return cast(ActiveWhen, self.active_when)

    @property
    @abstractmethod
    def value_type(self) -> type[Value]:
        """The one Python type of all values: `str`, `int`, `float` or `bool`."""

    @property
    @abstractmethod
    def cardinality(self) -> int | None:
        """The number of values, or None where they form a continuum."""

    @abstractmethod
    def check(self, value: object) -> Value:
        """Return a value as this parameter spells it.

        Numpy scalars become Python values, and a number that equals a legal value becomes that
        value (4.0 becomes 4 where 4 is legal). A bool is never taken for a number.

        Args:
            value: Anything.

        Returns:
            The legal value that `value` equals.

        Raises:
            DesignError: If there is none. The message gives the rule, the value and a remedy.
        """

    @abstractmethod
    def index_of(self, value: object) -> int:
        """Return the number of a value, counted from 0.

        Args:
            value: Anything that `check` accepts.

        Returns:
            A number below `cardinality`.

        Raises:
            DesignError: If the value is not legal.
            SpaceError: If the parameter is continuous.
        """

    @abstractmethod
    def value_at(self, index: int) -> Value:
        """Return the value with a number, the inverse of `index_of`.

        Args:
            index: Number of the value, counted from 0.

        Returns:
            A legal value.

        Raises:
            ActionError: If there is no such number.
            SpaceError: If the parameter is continuous.
        """

    @abstractmethod
    def describe(self) -> str:
        """Return the legal values in words ("integer 1..128")."""

    def to_unit(self, value: object) -> float:
        """Return the position of a value in [0, 1].

        Args:
            value: Anything that `check` accepts.

        Returns:
            The centre of the value's bin; in a continuum, the relative distance from the low end.

        Raises:
            DesignError: If the value is not legal.
        """
        return (self.index_of(value) + 0.5) / cast(int, self.cardinality)

    def from_unit(self, position: float) -> Value:
        """Return the value at a position, the inverse of `to_unit`.

        Args:
            position: A number in [0, 1].

        Returns:
            The value in whose bin the position lies, the last one for 1.

        Raises:
            ActionError: If the position is NaN or outside [0, 1].
        """
        self._check_position(position)
        count = cast(int, self.cardinality)
        return self.value_at(min(int(position * count), count - 1))

    @abstractmethod
    def _define(self) -> None:
        """Check and normalise the fields that define the legal values."""

    def _set(self, name: str, value: object) -> None:
        """Set a field while the frozen instance is being made."""
        object.__setattr__(self, name, value)

    def _error(self, problem: str) -> SpaceError:
        return SpaceError(f"parameter {self.name!r}: {problem}.")

    def _refuse(self, value: object, remedy: str = "") -> DesignError:
        return DesignError(
            f"parameter {self.name!r} takes {self.describe()}, got {value!r}.{remedy}"
        )

    def _with_unit(self, words: str) -> str:
        return f"{words} {self.unit}" if self.unit else words

    def _check_index(self, index: int, count: int) -> int:
        if not 0 <= index < count:
            raise ActionError(
                f"the values of parameter {self.name!r} have the numbers 0..{count - 1}, got "
                f"{index}."
            )
        return operator.index(index)

    def _check_position(self, position: float) -> None:
        if not 0.0 <= position <= 1.0:  # also refuses NaN
            raise ActionError(
                f"the position of parameter {self.name!r} must lie in [0, 1], got {position}. "
                f"Clip or rescale it before."
            )


@dataclass(frozen=True, slots=True)
class Constraint:
    """A rule that a design must satisfy to be worth simulating.

    Attributes:
        name: Short name of the rule.
        doc: The rule in words, shown to whoever breaks it.
        check: Returns whether a canonical design satisfies the rule. A function of a module, so
            that the space can be pickled.

    Examples:
        >>> def fits(design):
        ...     return design["rows"] * design["columns"] <= 64
        >>> area = Constraint("area", "rows * columns must not exceed 64", fits)
        >>> area.check({"rows": 16, "columns": 8})
        False
    """

    name: str
    doc: str
    check: Callable[[Mapping[str, Value]], bool]
