"""What a simulator says about the parts of a design's work: a table that any simulator can fill.

A `Row` is a part of the work, such as a layer of a network, with values in units of its own and its
energy by component. The rows add up to what the simulator reports as metrics.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from archgym_py.errors import ConfigError, did_you_mean

__all__ = ["Cell", "Column", "Explanation", "Row"]

Cell: TypeAlias = bool | int | float | str
"""A value of a table."""

_PJ_PER_UJ = 1e6


@dataclass(frozen=True, slots=True)
class Column:
    """A value that every row has.

    Attributes:
        name: Name of the value.
        unit: Its unit; "1" for counts and ratios, "" for words.
        doc: One line that says what it is.
        total: What the total of the rows is: their "sum", their "mean" weighted by their time, or
            "" where there is none. Rows count as often as their `count` says.
    """

    name: str
    unit: str
    doc: str = ""
    total: Literal["sum", "mean", ""] = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A part of the work. All numbers are those of one occurrence.

    Attributes:
        name: Name of the part.
        count: How often it occurs.
        values: A value for every column, by its name.
        energy_pj: Energy by component, in pJ.
        text: More about the part, of any number of lines; "" where there is nothing to say.
    """

    name: str
    count: int
    values: Mapping[str, Cell]
    energy_pj: Mapping[str, float]
    text: str = ""

    @property
    def total_energy_pj(self) -> float:
        """Energy of all components, in pJ."""
        return math.fsum(self.energy_pj.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A design's work in parts.

    Attributes:
        title: What works on what, in one line.
        part: What a row is, such as "layer".
        time: The column that says how long a row takes.
        columns: The values of a row; none is called like `part`, "count" or "energy".
        rows: The parts, in the order in which they are done.

    Raises:
        ConfigError: If there is no row, a name is there twice, `time` is no column, a row takes no
            time, or rows differ in their columns or components. The message names the row.

    Examples:
        >>> cycles = Column("cycles", "1", "how long it takes", total="sum")
        >>> busy = Column("busy", "1", "share of the time", total="mean")
        >>> explanation = Explanation(
        ...     title="two steps", part="step", time="cycles", columns=(cycles, busy),
        ...     rows=(Row("load", 3, {"cycles": 100, "busy": 0.5}, {"bus": 2e6, "core": 0.0}),
        ...           Row("add", 1, {"cycles": 300, "busy": 1.0}, {"bus": 0.0, "core": 1e6})))
        >>> explanation.totals
        {'count': 4, 'cycles': 600, 'busy': 0.75}
        >>> explanation.energy_pj
        {'bus': 6000000.0, 'core': 1000000.0}
        >>> print(explanation.table())
        two steps
        step   count  cycles  busy  energy  bus  core
                                        uJ   uJ    uJ
        load       3     100   0.5       2    2     0
        add        1     300     1       1    0     1
        total      4     600  0.75       7    6     1
    """

    title: str
    part: str
    time: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if not self.rows:
            raise ConfigError(f"{self.title}: an explanation needs at least one {self.part}.")
        if self.time not in names:
            raise ConfigError(
                f"{self.title}: no column {self.time!r}.{did_you_mean(self.time, names)}"
            )
        _refuse_twice(self.title, "column", [self.part, "count", "energy", *names])
        _refuse_twice(self.title, self.part, [row.name for row in self.rows])
        for row in self.rows:
            where = f"{self.title}: {self.part} {row.name!r}"
            if set(row.values) != set(names):
                raise ConfigError(f"{where} needs the values {names}, got {list(row.values)}.")
            if tuple(row.energy_pj) != tuple(self.rows[0].energy_pj):
                raise ConfigError(
                    f"{where} has the components {list(row.energy_pj)}, others have "
                    f"{list(self.rows[0].energy_pj)}. Give all of them, 0 where one is idle."
                )
            time = row.values[self.time]
            if isinstance(time, str) or not time > 0:
                raise ConfigError(f"{where}: {self.time} must be a positive number, got {time!r}.")

    @property
    def totals(self) -> dict[str, int | float]:
        """The number of parts, and the total of every column that has one."""
        counts = [row.count for row in self.rows]
        times = [row.count * _number(row, self.time) for row in self.rows]
        totals: dict[str, int | float] = {"count": sum(counts)}
        for column in self.columns:
            if column.total:
                values = [_number(row, column.name) for row in self.rows]
                weights = counts if column.total == "sum" else times
                total = _sum(w * value for w, value in zip(weights, values, strict=True))
                totals[column.name] = total if column.total == "sum" else total / _sum(times)
        return totals

    @property
    def energy_pj(self) -> dict[str, float]:
        """Energy of all rows by component, in pJ."""
        return {
            component: math.fsum(row.count * row.energy_pj[component] for row in self.rows)
            for component in self.rows[0].energy_pj
        }

    @property
    def total_energy_pj(self) -> float:
        """Energy of all rows and components, in pJ."""
        return math.fsum(self.energy_pj.values())

    def only(self, names: Sequence[str]) -> Explanation:
        """Return the explanation of some of the rows; totals are those of what is left.

        Args:
            names: Names of the rows to keep, in any order.

        Raises:
            ConfigError: If there is no such row.
        """
        known = [row.name for row in self.rows]
        for name in names:
            if name not in known:
                raise ConfigError(
                    f"{self.title}: no {self.part} {name!r}.{did_you_mean(name, known)}"
                )
        return dataclasses.replace(self, rows=tuple(row for row in self.rows if row.name in names))

    def table(self) -> str:
        """Return the rows and their total as text.

        Rows are given for one occurrence, the total for all. Energies are in uJ; components that
        take none in any row are left out.
        """
        spent = [component for component, energy in self.energy_pj.items() if energy > 0.0]
        units = ["" if column.unit == "1" else column.unit for column in self.columns]
        cells = [
            [self.part, "count", *(column.name for column in self.columns), "energy", *spent],
            ["", "", *units, *["uJ"] * (1 + len(spent))],
        ]
        totals: dict[str, Any] = self.totals
        for name, count, values, energy_pj in (
            *((row.name, row.count, row.values, row.energy_pj) for row in self.rows),
            ("total", totals["count"], totals, self.energy_pj),
        ):
            energies = [math.fsum(energy_pj.values()), *(energy_pj[name] for name in spent)]
            cells.append(
                [name, str(count)]
                + [_cell(values.get(column.name, "")) for column in self.columns]
                + [_cell(energy / _PJ_PER_UJ) for energy in energies]
            )
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(
                cell.rjust(width) if number else cell.ljust(width)
                for number, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in cells
        ]
        return "\n".join([self.title, *lines])

    def to_mapping(self, *, text: bool = False) -> dict[str, Any]:
        """Return everything as plain data, ready for JSON. Energies are in pJ.

        Args:
            text: Whether rows have their texts.
        """
        return {
            "title": self.title,
            "part": self.part,
            "units": {column.name: column.unit for column in self.columns},
            "rows": [
                {
                    "name": row.name,
                    "count": row.count,
                    **row.values,
                    "energy_pj": row.total_energy_pj,
                    "energy_by_component_pj": dict(row.energy_pj),
                    **({"text": row.text} if text else {}),
                }
                for row in self.rows
            ],
            "total": {
                **self.totals,
                "energy_pj": self.total_energy_pj,
                "energy_by_component_pj": self.energy_pj,
            },
        }


def _sum(values: Iterable[int | float]) -> int | float:
    """Add numbers up, exactly where all are whole."""
    numbers = list(values)
    return sum(numbers) if all(isinstance(each, int) for each in numbers) else math.fsum(numbers)


def _number(row: Row, name: str) -> int | float:
    value = row.values[name]
    if isinstance(value, str):
        raise ConfigError(
            f"{row.name!r}: {name} has a total, so it must be a number, got {value!r}."
        )
    return value


def _refuse_twice(title: str, what: str, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{title}: two {what}s are called {name!r}. Give each its own name.")


def _cell(value: Cell) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
