"""FARSI's own database: the CSV files of a workload become a workload here.

`as_workload` calls the reader for a path that ends in .csv, so that the environment takes the file
of a task graph where it takes a name:

    gym.make("ArchGym/ARVRSoC-v0", workload="parsing/mine_database - Task Data Movement.csv")

The other files of the workload lie beside it, under the names that FARSI gives them:

| file                                        | what is read                                     |
|---------------------------------------------|--------------------------------------------------|
| `mine_database - Task Data Movement.csv`    | a row and a column for each task: the bytes that |
|                                             | the task of the row hands to that of the column  |
| `mine_database - Task PE Performance.csv`   | cycles of each task on `A53` and on its          |
|                                             | accelerator, `IP0`                               |
| `mine_database - Task PE Energy.csv`        | energy of the accelerator, in fJ                 |
| `mine_database - Task PE Area.csv`          | its area, in um2                                 |
| `mine_database - Task Itr Count.csv`        | iterations of its loop                           |
| `misc_database - Budget.csv`                | budgets of latency (s), power (W) and area (m2)  |
|                                             | in the row of the workload; may be missing       |
| `misc_database - Last Tasks.csv`            | the task at whose end the workload is complete;  |
|                                             | may be missing                                   |
| `misc_database - Block Characteristics.csv` | clocks, widths, energy and area of the blocks;   |
|                                             | may be missing for those of the library          |

As in FARSI, bytes that a task hands to itself are left out, the tasks have the order of the first
file and the accelerators that of the second. Budgets of cost, and the rows of `all` workloads at
once, are not used; nor are columns of accelerators beyond `IP0` in the files of energy and area,
which are no blocks without cycles, nor columns of blocks that the model does not have
(`hop_latency`, `pipe_line_depth`, `Byte_per_joul`, `Byte_per_m`: memories are CACTI's).

The format is that of the public database of FARSI (Boroujerdian et al., ACM TECS 2022).
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from archgym_py.checks import integer, made, number
from archgym_py.errors import ConfigError, did_you_mean
from archgym_py.simulators.soc.arvr_database import CORE, load_hardware
from archgym_py.simulators.soc.arvr_workloads import (
    INSTRUCTIONS_PER_CYCLE,
    Blocks,
    Budgets,
    Edge,
    Task,
    Workload,
)

__all__ = ["read_farsi"]

_ENDING: Final = "_database - Task Data Movement.csv"
_TASK: Final = "Task Name"
_ACCELERATOR: Final = "IP0"
_ITERATIONS: Final = "number of iterations"
_BUDGETS: Final = {"latency": 1000, "power": 1000, "area": 1_000_000}
"""Columns of budgets, and from their units to ms, mW and mm2."""
_BLOCKS: Final = (
    *("Name", "Type", "Subtype", "Freq", "dhrystone_IPC", "Inst_per_joul", "Gpp_area", "BitWidth"),
)
_KINDS: Final[Mapping[tuple[str, str], str]] = {
    ("pe", "gpp"): CORE,
    ("pe", "ip"): "IP",
    ("mem", "dram"): "GMEM",
    ("mem", "sram"): "LMEM",
    ("ic", "ic"): "LMEM_ic",
}
"""Names of blocks by type and subtype; memories and buses are numbered."""
_REAL: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of a table.

    Attributes:
        where: File and line, for messages.
        cells: Texts by column, without space around them.
    """

    where: str
    cells: Mapping[str, str]

    def error(self, text: str) -> ConfigError:
        return ConfigError(f"{self.where}: {text}")

    def number(self, column: str, *, low: float = 0.0) -> float:
        """Return the number in a cell, from `low` on."""
        text = self.cells[column]
        value = float(text) if _REAL.fullmatch(text) else text
        return number(f"{self.where}: column {column!r}", value, low, math.inf)

    def decimal(self, column: str) -> Decimal:
        """Return the positive number in a cell, exactly."""
        self.number(column, low=1e-30)
        return Decimal(self.cells[column])


@dataclass(frozen=True, slots=True)
class _Table:
    """A CSV file with a head.

    Attributes:
        path: The file.
        columns: Names of its columns.
        rows: Its rows by their first cells.
    """

    path: Path
    columns: tuple[str, ...]
    rows: Mapping[str, _Row]

    def require(self, columns: Sequence[str]) -> None:
        """Refuse a table that lacks columns."""
        for column in columns:
            if column not in self.columns:
                raise ConfigError(
                    f"{self.path}, line 1: there is no column {column!r}."
                    f"{did_you_mean(column, self.columns)}"
                )

    def check_tasks(self, tasks: Sequence[str], *, all_of_them: bool = True) -> None:
        """Refuse rows of tasks that do not exist, and, if wanted, tasks without a row."""
        for name, row in self.rows.items():
            if name not in tasks:
                raise row.error(f"there is no task {name!r}.{did_you_mean(name, tasks)}")
        if all_of_them and (missing := [task for task in tasks if task not in self.rows]):
            raise ConfigError(
                f"{self.path}: there is no row of task {missing[0]!r}. Add one for every task of "
                f"the graph; nothing is assumed."
            )


def read_farsi(path: str) -> Workload:
    """Read a workload of FARSI's database.

    Args:
        path: Its file `<workload>_database - Task Data Movement.csv`; the others lie beside it.

    Returns:
        The workload. It has no budgets where FARSI's file has none for it, and no blocks of its own
        where these are the library's.

    Raises:
        ConfigError: If a file is missing or cannot be read, a cell is none of the format, or the
            files say what a workload cannot hold. The message names the file and the line.
    """
    graph = Path(path)
    name = graph.name.removesuffix(_ENDING)
    if name == graph.name or not name.strip():
        raise ConfigError(
            f"{path}: is no task graph of FARSI. Name the file '<workload>{_ENDING}'; the others "
            f"of the workload are found beside it."
        )
    movement = _table(graph, _TASK)
    names = tuple(movement.rows)
    edges = _edges(movement, names)
    performance = _of_tasks(graph, name, "Task PE Performance", names)
    tasks = _tasks(graph, name, names, performance)
    usual = tuple(task.name for task in tasks if task.ip_cycles is not None)
    order = tuple(task for task in performance.rows if task in usual)
    workload = made(
        path,
        Workload,
        name=name,
        tasks=tasks,
        edges=edges,
        budgets=_budgets(graph, name),
        accelerator_order=() if order == usual else order,
        blocks=_blocks(graph),
        source=f"{graph.name} and the files beside it, of FARSI's database",
    )
    _check_last_task(graph, workload)
    return workload


def _table(path: Path, key: str, columns: Sequence[str] = ()) -> _Table:
    """Read a CSV file whose first column is called `key`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror}. The files of a workload of FARSI lie "
            f"beside its task graph."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text: {error.reason}.") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    head: list[str] = []
    rows: dict[str, _Row] = {}
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            where = f"{path}, line {reader.line_num}"
            if not any(cells):
                continue
            if not head:
                head = cells
                _check_head(where, head, key)
                continue
            if len(cells) != len(head):
                raise ConfigError(
                    f"{where}: has {len(cells)} cells, and the head has {len(head)}. Every row has "
                    f"a cell for each column, an empty one where there is nothing."
                )
            if not cells[0]:
                raise ConfigError(f"{where}: the cell of {key!r} is empty. Name what the row is.")
            if cells[0] in rows:
                raise ConfigError(f"{where}: there is a row of {cells[0]!r} before. Remove one.")
            rows[cells[0]] = _Row(where, dict(zip(head, cells, strict=True)))
    except csv.Error as error:
        raise ConfigError(f"{path}, line {reader.line_num}: is not valid CSV: {error}.") from error
    if not rows:
        raise ConfigError(f"{path}: has no row. Name a file of FARSI's database.")
    table = _Table(path, tuple(head), rows)
    table.require(columns)
    return table


def _check_head(where: str, head: Sequence[str], key: str) -> None:
    if head[0] != key:
        raise ConfigError(f"{where}: the first column must be {key!r}, got {head[0]!r}.")
    for place, column in enumerate(head):
        if not column or column in head[:place]:
            raise ConfigError(
                f"{where}: column {place + 1} is called {column!r}. Every column has a name of its "
                f"own."
            )


def _of_tasks(graph: Path, name: str, what: str, tasks: Sequence[str]) -> _Table:
    """Return a table with a row for each task, and columns of the core and the accelerator."""
    table = _table(graph.with_name(f"{name}_database - {what}.csv"), _TASK, (CORE,))
    table.check_tasks(tasks)
    return table


def _edges(movement: _Table, names: Sequence[str]) -> tuple[Edge, ...]:
    for column in movement.columns[1:]:
        if column not in names:
            raise ConfigError(
                f"{movement.path}, line 1: there is no row of task {column!r}."
                f"{did_you_mean(column, names)}"
            )
    movement.require(names)
    return tuple(
        Edge(names.index(parent), names.index(child), row.number(child, low=1.0))
        for parent, row in movement.rows.items()
        for child in movement.columns[1:]
        if row.cells[child] and child != parent
    )


def _tasks(graph: Path, name: str, names: Sequence[str], performance: _Table) -> tuple[Task, ...]:
    for column in performance.columns[1:]:
        if column not in (CORE, _ACCELERATOR):
            raise ConfigError(
                f"{performance.path}, line 1: column {column!r}: a task runs on the core {CORE} "
                f"and on one accelerator of its own, {_ACCELERATOR}. Remove the column."
            )
    energy = _of_tasks(graph, name, "Task PE Energy", names)
    area = _of_tasks(graph, name, "Task PE Area", names)
    iterations = _table(
        graph.with_name(f"{name}_database - Task Itr Count.csv"), _TASK, (_ITERATIONS,)
    )
    iterations.check_tasks(names, all_of_them=False)
    tasks = []
    for task in names:
        row = performance.rows[task]
        prices = {"ip_energy": energy.rows[task], "ip_area": area.rows[task]}
        for price in prices.values():
            if price.cells[CORE] and price.number(CORE) != 0.0:
                raise price.error(
                    f"column {CORE!r}: energy and area of the core are those of the block, for "
                    f"all tasks. Leave the cell empty."
                )
        cycles = row.number(CORE)
        if not row.cells.get(_ACCELERATOR):
            for price in prices.values():
                if price.cells.get(_ACCELERATOR):
                    raise price.error(
                        f"column {_ACCELERATOR!r}: task {task!r} has no cycles on an accelerator. "
                        f"Add them to {performance.path.name}, or leave the cell empty."
                    )
            tasks.append(made(row.where, Task, name=task, a53_cycles=cycles))
            continue
        for price, table in zip(prices.values(), (energy, area), strict=True):
            table.require((_ACCELERATOR,))
            if not price.cells[_ACCELERATOR]:
                raise price.error(
                    f"column {_ACCELERATOR!r}: is empty, and task {task!r} has an accelerator by "
                    f"{performance.path.name}. Add the figure."
                )
        if task not in iterations.rows:
            raise ConfigError(
                f"{iterations.path}: there is no row of task {task!r}, which has an accelerator. "
                f"Add the iterations of its loop."
            )
        tasks.append(
            made(
                row.where,
                Task,
                name=task,
                a53_cycles=cycles,
                ip_cycles=row.number(_ACCELERATOR),
                loop_iterations=_whole(iterations.rows[task], _ITERATIONS),
                **{figure: price.number(_ACCELERATOR) for figure, price in prices.items()},
            )
        )
    return tuple(tasks)


def _whole(row: _Row, column: str) -> int:
    value = row.number(column)
    whole = int(value) if value.is_integer() else value
    return integer(f"{row.where}: column {column!r}", whole, 1, 2**40)


def _row_of(graph: Path, what: str, name: str, key: str, columns: Sequence[str]) -> _Row | None:
    """Return the row of a workload in a file for all of them; None if there is none."""
    path = graph.with_name(f"misc_database - {what}.csv")
    return _table(path, key, columns).rows.get(name) if path.exists() else None


def _budgets(graph: Path, name: str) -> Budgets | None:
    row = _row_of(graph, "Budget", name, "Workload", tuple(_BUDGETS))
    if row is None:
        return None
    # As decimals: 0.0083 W are 8.3 mW, to the last digit.
    latency, power, area = (float(row.decimal(name) * scale) for name, scale in _BUDGETS.items())
    return made(row.where, Budgets, latency_ms=latency, power_mw=power, area_mm2=area)


def _check_last_task(graph: Path, workload: Workload) -> None:
    """Refuse a last task before which not all work is done: here the workload ends with all."""
    row = _row_of(graph, "Last Tasks", workload.name, "workload", ("last_task",))
    if row is None:
        return
    last = row.cells["last_task"]
    if last not in workload.names:
        raise row.error(
            f"last_task: there is no task {last!r}.{did_you_mean(last, workload.names)}"
        )
    before = {workload.index(last)}
    for parent in reversed(workload.topological):
        if any(workload.edges[edge].child in before for edge in workload.children[parent]):
            before.add(parent)
    for place, task in enumerate(workload.tasks):
        if task.work and place not in before:
            raise row.error(
                f"last_task: {last!r} does not wait for task {task.name!r}, which has work. Here "
                f"a workload is complete when all of its tasks are; name one that waits for all, "
                f"or leave the row out."
            )


def _blocks(graph: Path) -> Blocks | None:
    """Return the figures of the blocks; None if they are the library's or nothing is said."""
    path = graph.with_name("misc_database - Block Characteristics.csv")
    if not path.exists():
        return None
    table = _table(path, "Name", _BLOCKS)
    kinds: dict[str, list[_Row]] = {kind: [] for kind in _KINDS.values()}
    for name, row in table.rows.items():
        kind = _KINDS.get((row.cells["Type"], row.cells["Subtype"]))
        if kind is None:
            raise row.error(
                f"block {name!r} is of type {row.cells['Type']!r}, {row.cells['Subtype']!r}. The "
                f"types are: {'; '.join(', '.join(pair) for pair in _KINDS)}. Remove the block."
            )
        expected = kind if row.cells["Type"] == "pe" else f"{kind}_{len(kinds[kind])}"
        if name != expected:
            raise row.error(
                f"a block of this type and place must be called {expected!r}, got {name!r}."
            )
        kinds[kind].append(row)
    for kind, rows in kinds.items():
        if not rows:
            raise ConfigError(f"{path}: there is no block {kind!r}. Add it.")
    [core], [accelerator] = kinds[CORE], kinds["IP"]
    if core.number("dhrystone_IPC") != INSTRUCTIONS_PER_CYCLE:
        raise core.error(
            f"column 'dhrystone_IPC': must be {INSTRUCTIONS_PER_CYCLE}, in which the work of tasks "
            f"is counted, got {core.cells['dhrystone_IPC']!r}."
        )
    numbered = [row for kind in ("GMEM", "LMEM", "LMEM_ic") for row in kinds[kind]]
    for row in numbered:
        if row.number("Freq") != numbered[0].number("Freq"):
            raise row.error(
                f"column 'Freq': memories and buses must have one clock, and {row.cells['Name']} "
                f"has {row.cells['Freq']} Hz where {numbered[0].cells['Name']} has "
                f"{numbered[0].cells['Freq']} Hz. Multiples of it are chosen by the design."
            )
    widths = {kind: [_whole(row, "BitWidth") for row in kinds[kind]] for kind in list(kinds)[2:]}
    if len(set(map(tuple, widths.values()))) > 1:
        shown = "; ".join(f"{kind} {given}" for kind, given in widths.items())
        raise ConfigError(
            f"{path}: column 'BitWidth': memories and buses must have the same widths, got {shown}."
        )
    clock = float(numbered[0].decimal("Freq") / 1_000_000)
    own = made(
        str(path),
        Blocks,
        core_clock_mhz=float(core.decimal("Freq") / 1_000_000),
        core_instructions_per_joule=core.number("Inst_per_joul"),
        core_area_m2=core.number("Gpp_area"),
        accelerator_clock_mhz=float(accelerator.decimal("Freq") / 1_000_000),
        clock_mhz=int(clock) if clock.is_integer() else clock,
        widths_bytes=tuple(widths["LMEM_ic"]),
    )
    return None if own == load_hardware().blocks else own
