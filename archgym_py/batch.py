"""Many designs at once: positions in the unit cube, decoded a column at a time.

Agents breed, sample and compare designs by the hundred. Here a batch of them is a matrix of
positions (see `ParameterSpace.to_unit`), which numpy works on a parameter at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from typing import NamedTuple, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from archgym_py.design import Design, Parameter, Value

__all__ = ["Decoder", "DesignBatch"]

FloatArray: TypeAlias = npt.NDArray[np.float64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
_Column: TypeAlias = Callable[[FloatArray], list[Value]]

_MAX_TABLE = 2**16
"""Most values of a parameter that are kept as a list to read from."""


class DesignBatch(NamedTuple):
    """Some designs in their canonical form.

    Attributes:
        units: Their positions in the unit cube, shape (m, n). Rows are equal if and only if the
            designs are.
        designs: The m designs.
        feasible: Whether each satisfies all constraints of the space, shape (m,).
        active: Whether each parameter of each is active, shape (m, n).
    """

    units: FloatArray
    designs: list[Design]
    feasible: BoolArray
    active: BoolArray


class Decoder:
    """Turns positions in the unit cube into canonical designs.

    Args:
        parameters: The parameters of a space that is sound.
    """

    def __init__(self, parameters: tuple[Parameter, ...]) -> None:
        self._names = tuple(p.name for p in parameters)
        finite = [(i, p.cardinality) for i, p in enumerate(parameters) if p.cardinality is not None]
        self._finite = np.array([i for i, _ in finite], dtype=np.intp)
        self._counts = np.array([count for _, count in finite], dtype=np.float64)
        self._columns: list[_Column] = [_column(p) for p in parameters]
        place = {name: index for index, name in enumerate(self._names)}
        self._rules = [
            (
                place[p.name],
                p.to_unit(p.default),
                [
                    (place[name], [parameters[place[name]].to_unit(value) for value in values])
                    for name, values in p.conditions
                ],
            )
            for p in parameters
            if p.conditions
        ]

    def canonical(self, units: FloatArray) -> tuple[FloatArray, BoolArray]:
        """Return the positions of the canonical designs at some positions, and what is active.

        Args:
            units: Positions in [0, 1], shape (m, n).

        Returns:
            The centre of the bin for finite parameters and the default's position for inactive
            ones; and whether a parameter is active. Both have the shape (m, n).
        """
        canonical = units.copy()
        counts = self._counts
        numbers = np.minimum(np.floor(units[:, self._finite] * counts), counts - 1.0)
        canonical[:, self._finite] = (numbers + 0.5) / counts
        active = np.ones(units.shape, dtype=np.bool_)
        for child, default, parents in self._rules:
            conditions = [
                reduce(np.logical_or, [canonical[:, parent] == value for value in values])
                & active[:, parent]
                for parent, values in parents
            ]
            active[:, child] = reduce(np.logical_and, conditions)
            canonical[~active[:, child], child] = default
        return canonical, active

    def designs(self, canonical: FloatArray) -> list[Design]:
        """Return the designs at canonical positions, shape (m, n)."""
        columns = [
            column(positions) for column, positions in zip(self._columns, canonical.T, strict=True)
        ]
        return [dict(zip(self._names, row, strict=True)) for row in zip(*columns, strict=True)]


def _column(parameter: Parameter) -> _Column:
    """Return what turns positions of one parameter into its values; it can be pickled."""
    count = parameter.cardinality
    if count is None or count > _MAX_TABLE:
        return partial(_compute, parameter)
    return partial(_look_up, [parameter.value_at(index) for index in range(count)])


def _compute(parameter: Parameter, positions: FloatArray) -> list[Value]:
    from_unit = parameter.from_unit
    return [from_unit(unit) for unit in positions.tolist()]


def _look_up(values: list[Value], positions: FloatArray) -> list[Value]:
    # A canonical position is the middle of its bin, so that truncation finds the bin.
    numbers = (positions * len(values)).astype(np.intp)
    return [values[number] for number in cast("list[int]", numbers.tolist())]
