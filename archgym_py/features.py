"""Designs and workloads as the columns of numbers that a model learns from.

>>> from archgym_py.space import Choice, Integer, Ordinal, ParameterSpace
>>> space = ParameterSpace(
...     (Choice("cache", ("none", "lru")), Ordinal("kib", (16, 32, 64)), Integer("depth", 1, 99))
... )
>>> features = FeatureMap(space, ("write_share",))
>>> features.names
('cache=lru', 'kib', 'kib=16', 'kib=32', 'kib=64', 'depth', 'workload.write_share')
>>> features.of_designs([{"cache": "lru", "kib": 32, "depth": 50}], np.array([0.25]))
array([[1.  , 0.5 , 0.  , 1.  , 0.  , 0.5 , 0.25]], dtype=float32)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from archgym_py.errors import ActionError, ConfigError, DesignError, did_you_mean
from archgym_py.parameters import Choice
from archgym_py.space import Parameter, ParameterSpace

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FeatureMap"]

FloatArray: TypeAlias = npt.NDArray[np.float64]
Features: TypeAlias = npt.NDArray[np.float32]
_Codes: TypeAlias = npt.NDArray[np.generic]

_MAX_LEVELS = 16
"""Most values of a parameter of numbers that get a column each.

With a column for each value a tree isolates one of them by one split. It halves the error of trees
on the DRAM controller's parameters, which have eight.
"""

_MAX_TABLE = 2**16
"""Most values of a parameter whose columns are kept as a table to read from."""

_MAX_CHOICES = 1024
"""Most values of a `Choice`, each of which is a column."""

_BLOCK = 4096
"""Rows that are filled at a time, so that they stay in a cache while all columns are written."""


class FeatureMap:
    """Turns designs of a space, with descriptors of their workload, into numbers for a model.

    A `Choice` has a column for each value, 1 where the design has it and 0 elsewhere; one of two
    values has a single column, for the second value. A parameter of numbers has its position in
    [0, 1] (see `ParameterSpace.to_unit`), and a column for each value besides if it has 3 to 16 of
    them. The workload's descriptors follow as they are.

    Designs are taken as canonical: inactive parameters are at their default. The three ways in give
    the same columns for the same designs.

    Args:
        space: The space of the designs.
        descriptors: Names of the numbers that describe a workload, in the order in which they are
            given later; none for designs of one workload.

    Attributes:
        space: The space of the designs.
        descriptors: Names of the descriptors.
        names: Names of the columns.

    Raises:
        ConfigError: If two descriptors have the same name, or a `Choice` has too many values.
    """

    def __init__(self, space: ParameterSpace, descriptors: Sequence[str]) -> None:
        self.space = space
        self.descriptors = tuple(descriptors)
        for name in self.descriptors:
            if self.descriptors.count(name) > 1:
                raise ConfigError(f"two descriptors are called {name!r}. Give each its own name.")
        self._columns: list[_Column] = []
        names: list[str] = []
        for parameter in space.parameters:
            column = _column(parameter, len(names))
            names += column.names
            self._columns.append(column)
        self._of_designs = len(names)
        self.names = (*names, *(f"workload.{name}" for name in self.descriptors))

    def of_units(self, units: FloatArray, descriptors: FloatArray) -> Features:
        """Return the columns of designs that are given by their positions.

        Args:
            units: Positions in [0, 1] of canonical designs, shape (m, n), as `to_unit` and
                `ParameterSpace.batch` return them.
            descriptors: Descriptors of the workload, shape (d,), or of each row's, shape (m, d).

        Returns:
            The features, shape (m, f).

        Raises:
            ActionError: If the shape of the positions is wrong or one lies outside [0, 1].
            ConfigError: If the descriptors have a wrong shape or are no finite 32-bit floats.
        """
        n = len(self.space.parameters)
        if units.ndim != 2 or units.shape[1] != n:
            raise ActionError(
                f"positions are a matrix with {n} columns, one for each parameter, got shape "
                f"{units.shape}."
            )
        if not ((units >= 0.0) & (units <= 1.0)).all():  # also refuses NaN
            raise ActionError("the positions of designs must lie in [0, 1]. Clip or rescale them.")
        codes = []
        for column, positions in zip(self._columns, units.T, strict=True):
            if column.table is None:
                codes.append(positions)
            else:
                count = len(column.table)
                codes.append(np.minimum((positions * count).astype(np.intp), count - 1))
        return self._fill(codes, len(units), descriptors)

    def of_designs(
        self, designs: Sequence[Mapping[str, object]], descriptors: FloatArray
    ) -> Features:
        """Return the columns of designs.

        Args:
            designs: Canonical designs of the space.
            descriptors: Descriptors of the workload, shape (d,), or of each row's, shape (m, d).

        Returns:
            The features, shape (m, f).

        Raises:
            DesignError: If a design is not in the space.
            ConfigError: If the descriptors have a wrong shape or are no finite 32-bit floats.
        """
        if set(map(len, designs)) - {len(self._columns)}:
            self._refuse(designs)
        codes = []
        for column in self._columns:
            try:
                values = list(map(itemgetter(column.parameter.name), designs))
            except KeyError:
                self._refuse(designs)
            codes.append(column.codes(values))
        return self._fill(codes, len(designs), descriptors)

    def of_table(self, table: pa.Table, descriptors: FloatArray) -> Features:
        """Return the columns of designs that are given as rows of a log.

        Args:
            table: A table with the columns `design.<name>` of a log; others may be there.
            descriptors: Descriptors of the workload, shape (d,), or of each row's, shape (m, d).

        Returns:
            The features, shape (m, f).

        Raises:
            DesignError: If a parameter's column is missing, a column is of a parameter that the
                space does not have, or a value is not legal.
            ConfigError: If the descriptors have a wrong shape or are no finite 32-bit floats.
        """
        names = self.space.names
        for name in (name[7:] for name in table.column_names if name.startswith("design.")):
            # A table of several spaces has columns that are empty for this one.
            if name not in names and table[f"design.{name}"].null_count < table.num_rows:
                raise DesignError(
                    f"the table has a column 'design.{name}', but the space has no such parameter."
                    f"{did_you_mean(name, names)}"
                )
        codes = []
        for column in self._columns:
            name = f"design.{column.parameter.name}"
            if name not in table.column_names:
                raise DesignError(
                    f"the table has no column {name!r}. Every parameter of the space needs one."
                )
            codes.append(column.codes_of(table[name]))
        return self._fill(codes, table.num_rows, descriptors)

    def _fill(self, codes: Sequence[_Codes], rows: int, descriptors: FloatArray) -> Features:
        """Write the columns of the parameters, and those of the workload behind them."""
        described = self._described(descriptors, rows)
        features = np.empty((rows, len(self.names)), dtype=np.float32)
        features[:, self._of_designs :] = described
        for start in range(0, rows, _BLOCK):
            part = slice(start, start + _BLOCK)
            for column, code in zip(self._columns, codes, strict=True):
                if column.table is None:
                    features[part, column.first] = code[part]
                else:
                    width = column.table.shape[1]
                    features[part, column.first : column.first + width] = column.table[code[part]]
        return features

    def _described(self, descriptors: FloatArray, rows: int) -> Features:
        """Return the descriptors as 32-bit floats, or refuse them."""
        count = len(self.descriptors)
        if descriptors.shape not in ((count,), (rows, count)):
            raise ConfigError(
                f"{rows} designs need {count} descriptors, as shape ({count},) or ({rows}, "
                f"{count}), got shape {descriptors.shape}."
            )
        with np.errstate(over="ignore"):
            narrow = descriptors.astype(np.float32)
        if not np.isfinite(narrow).all():
            at = int(np.argwhere(~np.isfinite(narrow))[0][-1])
            raise ConfigError(
                f"the descriptor {self.descriptors[at]!r} must be a finite 32-bit float, got "
                f"{descriptors[..., at].max()}."
            )
        return narrow

    def _refuse(self, designs: Sequence[Mapping[str, object]]) -> None:
        """Raise the error of the first design that lacks a parameter or has one too many."""
        for design in designs:
            self.space.validate(design)


@dataclass(frozen=True, slots=True)
class _Column:
    """What one parameter becomes.

    Attributes:
        parameter: The parameter.
        first: Number of its first column.
        names: Names of its columns.
        table: The columns of every value, shape (count, width); None where there are too many
            values, and the position is the only column.
        index: The number of every value, empty without a table.
    """

    parameter: Parameter
    first: int
    names: tuple[str, ...]
    table: Features | None
    index: Mapping[object, int]

    def codes(self, values: list[object]) -> _Codes:
        """Return rows of the table, or positions where there is none.

        Raises:
            DesignError: If a value is not legal.
        """
        parameter = self.parameter
        if self.table is None:
            return np.fromiter(map(parameter.to_unit, values), np.float64, len(values))
        # Values of another type may be legal still (4.0 where 4 is) or not (True): ask for each.
        if not set(map(type, values)) - {parameter.value_type}:
            try:
                return np.fromiter(map(self.index.__getitem__, values), np.intp, len(values))
            except KeyError:
                pass  # the parameter says what is wrong
        return np.fromiter(map(parameter.index_of, values), np.intp, len(values))

    def codes_of(self, column: pa.ChunkedArray[Any]) -> _Codes:
        """Return the codes of a column of a table; see `codes`.

        Raises:
            DesignError: If a value is missing or not legal.
        """
        # Every environment imports this module, for proxies that need no tables.
        from pyarrow import compute, types

        if column.null_count:
            row = compute.index(compute.is_null(column), True).as_py()
            raise DesignError(
                f"parameter {self.parameter.name!r} has no value in row {row} of the table. Leave "
                f"such rows out."
            )
        if types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)  # chunks may differ in their dictionaries
        encoded = column.combine_chunks().dictionary_encode()
        codes = self.codes(encoded.dictionary.to_pylist())
        return cast(_Codes, codes[encoded.indices.to_numpy()])


def _column(parameter: Parameter, first: int) -> _Column:
    """Return what a parameter becomes, its columns beginning with number `first`."""
    name, count = parameter.name, parameter.cardinality
    is_choice = isinstance(parameter, Choice)
    if is_choice and count is not None and count > _MAX_CHOICES:
        raise ConfigError(
            f"parameter {name!r} is a choice of {count} values, and each would be a column of the "
            f"model; {_MAX_CHOICES} are the most. Give it numbers in a meaningful order instead."
        )
    if count is None or count > _MAX_TABLE:
        return _Column(parameter, first, (name,), None, {})
    values = [parameter.value_at(index) for index in range(count)]
    positions = np.array([parameter.to_unit(value) for value in values], dtype=np.float32)
    levels = np.eye(count, dtype=np.float32) if is_choice or count <= _MAX_LEVELS else None
    names: tuple[str, ...] = (name,)
    table = positions[:, None]
    if is_choice and levels is not None:
        skip = 1 if count == 2 else 0
        names = tuple(f"{name}={value}" for value in values[skip:])
        table = levels[:, skip:]
    elif levels is not None and count > 2:
        names = (name, *(f"{name}={value}" for value in values))
        table = np.hstack([table, levels])
    index: dict[object, int] = {value: number for number, value in enumerate(values)}
    return _Column(parameter, first, names, np.ascontiguousarray(table), index)
