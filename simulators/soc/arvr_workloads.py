"""Workloads of augmented and virtual reality: graphs of tasks that hand bytes to each other.

A workload file is YAML:

    name: tiny
    description: A filter between a sensor and a display
    source: what the figures are from
    budgets: {latency_ms: 34, power_mw: 8.7, area_mm2: 17.5}
    tasks:
      - {name: sensor}
      - {name: filter, a53_cycles: 2000000, ip_cycles: 150000, ip_energy: 90000, ip_area: 50000,
         loop_iterations: 64}
      - {name: display}
    edges:
      - {from: sensor, to: filter, bytes: 65536}
      - {from: filter, to: display, bytes: 65536}

| key                 | meaning                                                                 |
|---------------------|-------------------------------------------------------------------------|
| `a53_cycles`        | cycles on an A53 core; left out or 0 for a dummy, which takes no time   |
| `ip_cycles`         | cycles of an accelerator of the task at its lowest clock, not unrolled  |
| `ip_energy`         | its energy in fJ before technology scaling                              |
| `ip_area`           | its area in um2 before technology scaling                               |
| `loop_iterations`   | how often its loop can be unrolled at most                              |
| `bytes`             | what a task hands to another one through a memory                       |
| `budgets`           | what a design should keep; may be left out                              |
| `accelerator_order` | names of the tasks with accelerators in the order in which these are    |
|                     | listed; may be left out for that of the tasks                           |
| `blocks`            | figures of the blocks, see `Blocks`; may be left out for those of       |
|                     | `archgym_py.simulators.soc.arvr_database`                               |

The four figures of an accelerator come together: a task without them runs on cores only.

A file that ends in .csv is of FARSI's database; see `archgym_py.simulators.soc.farsi_import`.

`as_workload` takes a workload in every form in which a configuration can hold one:

    >>> workload = as_workload("edge_detection")
    >>> len(workload.tasks), workload.bytes
    (8, 52429000)
    >>> as_workload({"name": "one", "tasks": [{"name": "a", "a53_cycles": 1e6}]}).work
    (2000000.0,)
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Final

from archgym_py.checks import check_keys, integer, made, number
from archgym_py.errors import ConfigError, UnknownNameError, did_you_mean
from archgym_py.simulators.soc.shelf import Shelf

__all__ = [
    "INSTRUCTIONS_PER_CYCLE",
    "MAX_TASKS",
    "MAX_WIDTHS",
    "Blocks",
    "Budgets",
    "Edge",
    "Task",
    "Workload",
    "as_workload",
    "load_workload",
    "parse_workload",
    "workload_names",
]

MAX_TASKS: Final = 63
"""Most tasks of a workload: sets of them are bits of a 64-bit integer."""

INSTRUCTIONS_PER_CYCLE: Final = 2
"""Of the A53, on which the work of a task was measured."""

MAX_WIDTHS: Final = 16
"""Most widths of memories and buses."""

_MOST: Final = 1e15  # of cycles, bytes and the like, so that products stay exact enough
_IP_FIELDS: Final = ("ip_cycles", "ip_energy", "ip_area", "loop_iterations")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task of a workload.

    Attributes:
        name: Its name.
        a53_cycles: Cycles on an A53 core; 0 for a dummy.
        ip_cycles: Cycles of its accelerator at the lowest clock, not unrolled; None without one.
        ip_energy: Energy of its accelerator in fJ, before technology scaling.
        ip_area: Area of its accelerator in um2, before technology scaling.
        loop_iterations: How often its loop can be unrolled at most.

    Raises:
        ConfigError: If a figure is out of range, or some of an accelerator's are missing.
    """

    name: str
    a53_cycles: float = 0.0
    ip_cycles: float | None = None
    ip_energy: float | None = None
    ip_area: float | None = None
    loop_iterations: int | None = None

    def __post_init__(self) -> None:
        name: object = self.name
        if not (isinstance(name, str) and name.strip()):
            raise ConfigError(f"the name of a task must be a text, got {name!r}.")
        where = f"task {self.name!r}: "
        cycles = number(f"{where}a53_cycles", self.a53_cycles, 0.0, _MOST)
        if 0.0 < cycles < 1.0:
            raise ConfigError(f"{where}a53_cycles must be 0 or at least 1, got {cycles!r}.")
        object.__setattr__(self, "a53_cycles", cycles)
        given = [field for field in _IP_FIELDS if getattr(self, field) is not None]
        if not given:
            return
        if missing := [field for field in _IP_FIELDS if field not in given]:
            raise ConfigError(
                f"{where}an accelerator needs {', '.join(_IP_FIELDS)}; {', '.join(missing)} "
                f"missing. Add them, or leave out {', '.join(given)}."
            )
        if not cycles:
            raise ConfigError(f"{where}a dummy without a53_cycles takes no accelerator.")
        for field in ("ip_cycles", "ip_energy", "ip_area"):
            figure = number(f"{where}{field}", getattr(self, field), 1e-9, _MOST)
            object.__setattr__(self, field, figure)
        iterations = integer(f"{where}loop_iterations", self.loop_iterations, 1, 2**40)
        object.__setattr__(self, "loop_iterations", iterations)

    @property
    def work(self) -> float:
        """Instructions of the task: two for each cycle of an A53."""
        return self.a53_cycles * INSTRUCTIONS_PER_CYCLE


@dataclass(frozen=True, slots=True)
class Edge:
    """Bytes that one task writes and another one reads.

    Attributes:
        parent: Number of the task that writes.
        child: Number of the task that reads.
        bytes: Their number.
    """

    parent: int
    child: int
    bytes: float


@dataclass(frozen=True, slots=True)
class Budgets:
    """What a design should keep.

    Attributes:
        latency_ms: Time of one run of the workload.
        power_mw: Largest mean power of a window.
        area_mm2: Area without DRAM, and area of the DRAM.

    Raises:
        ConfigError: If one is no positive number.
    """

    latency_ms: float
    power_mw: float
    area_mm2: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = number(f"budget {field.name}", getattr(self, field.name), 1e-12, 1e12)
            object.__setattr__(self, field.name, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """Figures of the blocks that a system is made of, in place of those of the library.

    Attributes:
        core_clock_mhz: Clock of the core.
        core_instructions_per_joule: Its instructions for each J.
        core_area_m2: Its area.
        accelerator_clock_mhz: Lowest clock of accelerators, that of their `ip_cycles`.
        clock_mhz: Lowest clock of memories and buses.
        widths_bytes: Widths of memories and of buses, ascending.

    Raises:
        ConfigError: If a figure is out of range.
    """

    core_clock_mhz: float
    core_instructions_per_joule: float
    core_area_m2: float
    accelerator_clock_mhz: float
    clock_mhz: int
    widths_bytes: tuple[int, ...]

    def __post_init__(self) -> None:
        for name, low, high in (
            ("core_clock_mhz", 1.0, 1e5),
            ("core_instructions_per_joule", 1.0, 1e18),
            ("core_area_m2", 1e-12, 1.0),
            ("accelerator_clock_mhz", 1.0, 1e5),
        ):
            value = number(f"blocks: {name}", getattr(self, name), low, high)
            object.__setattr__(self, name, value)
        clock = integer("blocks: clock_mhz", self.clock_mhz, 1, 100_000)
        object.__setattr__(self, "clock_mhz", clock)
        widths: object = self.widths_bytes
        if not isinstance(widths, Sequence) or isinstance(widths, str):
            raise ConfigError(f"blocks: widths_bytes must be a list, got {widths!r}.")
        checked = tuple(integer("blocks: a width in bytes", width, 1, 2**20) for width in widths)
        if not 1 <= len(checked) <= MAX_WIDTHS or list(checked) != sorted(set(checked)):
            raise ConfigError(
                f"blocks: widths_bytes must be 1 to {MAX_WIDTHS} different widths in ascending "
                f"order, got {list(checked)}."
            )
        object.__setattr__(self, "widths_bytes", checked)


@dataclass(frozen=True)
class Workload:
    """A graph of tasks.

    Attributes:
        name: Its name.
        tasks: The tasks, in the order in which the original lists them.
        edges: What they hand to each other, in the order of the file.
        budgets: What a design should keep; None if nothing is said about it.
        accelerator_order: Names of the tasks with accelerators, in the order in which these are
            listed; empty for that of the tasks.
        blocks: Figures of the blocks; None for those of the library.
        description: One line that says what is done.
        source: Where the figures are from.

    Raises:
        ConfigError: If there is no task with work, a name or an edge is there twice, there are too
            many tasks, or the edges make a cycle. The message names the task.
    """

    name: str
    tasks: tuple[Task, ...]
    edges: tuple[Edge, ...] = ()
    budgets: Budgets | None = None
    accelerator_order: tuple[str, ...] = ()
    blocks: Blocks | None = None
    description: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        name: object = self.name
        if not (isinstance(name, str) and name.strip()):
            raise ConfigError(f"the name of a workload must be a text, got {name!r}.")
        where = f"workload {self.name!r}: "
        for field in ("description", "source"):
            text = getattr(self, field)
            if not isinstance(text, str):
                raise ConfigError(f"{where}{field} must be a text, got {text!r}.")
        if not any(task.work for task in self.tasks):
            raise ConfigError(f"{where}no task has a53_cycles, so that nothing takes any time.")
        if len(self.tasks) > MAX_TASKS:
            raise ConfigError(
                f"{where}has {len(self.tasks)} tasks, more than the {MAX_TASKS} that a workload "
                f"can have. Merge some."
            )
        for index, task in enumerate(self.tasks):
            if task.name in self.names[:index]:
                raise ConfigError(f"{where}two tasks have the name {task.name!r}. Rename one.")
        seen: set[tuple[int, int]] = set()
        for edge in self.edges:
            ends = edge.parent, edge.child
            shown = " -> ".join(self.names[end] for end in ends)
            if edge.parent == edge.child:
                raise ConfigError(f"{where}the edge {shown} leads from a task to itself.")
            if ends in seen:
                raise ConfigError(f"{where}the edge {shown} is there twice. Add up the bytes.")
            seen.add(ends)
            number(f"{where}bytes of {shown}", edge.bytes, 1.0, _MOST)
        with_ip = [task.name for task in self.tasks if task.ip_cycles is not None]
        if self.accelerator_order and sorted(self.accelerator_order) != sorted(with_ip):
            wrong = set(self.accelerator_order).symmetric_difference(with_ip)
            raise ConfigError(
                f"{where}accelerator_order must name every task with an accelerator once"
                + (f"; wrong or missing: {', '.join(sorted(wrong))}." if wrong else ".")
            )
        if cycle := self._cycle():
            shown = " -> ".join(self.names[task] for task in cycle)
            raise ConfigError(f"{where}the edges make a cycle, {shown}. Remove one of them.")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the tasks."""
        return tuple(task.name for task in self.tasks)

    @property
    def with_accelerators(self) -> tuple[Task, ...]:
        """The tasks with accelerators, in the order in which these are listed."""
        if self.accelerator_order:
            return tuple(self.tasks[self.index(name)] for name in self.accelerator_order)
        return tuple(task for task in self.tasks if task.ip_cycles is not None)

    @cached_property
    def work(self) -> tuple[float, ...]:
        """Instructions of each task."""
        return tuple(task.work for task in self.tasks)

    @cached_property
    def parents(self) -> tuple[tuple[int, ...], ...]:
        """Numbers of the edges that lead to each task."""
        return tuple(
            tuple(number for number, edge in enumerate(self.edges) if edge.child == task)
            for task in range(len(self.tasks))
        )

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """Numbers of the edges that lead from each task."""
        return tuple(
            tuple(number for number, edge in enumerate(self.edges) if edge.parent == task)
            for task in range(len(self.tasks))
        )

    @property
    def bytes(self) -> int:
        """All bytes that tasks hand to each other."""
        return round(sum(edge.bytes for edge in self.edges))

    @property
    def fingerprint(self) -> str:
        """Eight digits that change with what is computed: a file may change under its name."""
        content = [
            (task.name, *(getattr(task, f.name) for f in fields(task))) for task in self.tasks
        ]
        edges = [(edge.parent, edge.child, edge.bytes) for edge in self.edges]
        text = repr((content, edges, self.accelerator_order))
        if self.blocks is not None:
            text += repr(self.blocks)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def index(self, task: str) -> int:
        """Return the number of a task.

        Raises:
            UnknownNameError: If there is none of that name.
        """
        if task not in self.names:
            near = did_you_mean(task, self.names)
            raise UnknownNameError(f"workload {self.name!r} has no task {task!r}.{near}")
        return self.names.index(task)

    @cached_property
    def topological(self) -> tuple[int, ...]:
        """Numbers of the tasks, parents before their children, else in their order."""
        order: list[int] = []
        while ready := [t for t in range(len(self.tasks)) if self._comes_after(t, order)]:
            order += ready
        return tuple(order)

    def _comes_after(self, task: int, done: Sequence[int]) -> bool:
        """Return whether a task is not done and all of its parents are."""
        return task not in done and all(self.edges[e].parent in done for e in self.parents[task])

    def _cycle(self) -> list[int]:
        """Return the tasks of a cycle, the first one again at the end; empty if there is none."""
        left = [task for task in range(len(self.tasks)) if task not in self.topological]
        if not left:
            return []
        walk = left[:1]  # every task that is left has a parent that is left
        while walk.count(walk[-1]) < 2:
            parents = (self.edges[edge].parent for edge in self.parents[walk[-1]])
            walk.append(next(parent for parent in parents if parent in left))
        return walk[walk.index(walk[-1]) :][::-1]


def workload_names() -> tuple[str, ...]:
    """Return the names of the workloads that come with the library, sorted.

    Examples:
        >>> workload_names()
        ('audio_decoder', 'edge_detection', 'hpvm_cava')
    """
    return _SHELF.names


def load_workload(name_or_path: str | os.PathLike[str]) -> Workload:
    """Return a workload that comes with the library, or that of a file.

    Args:
        name_or_path: One of `workload_names()`, or the path of a file that ends in .yaml, .yml or,
            in FARSI's format, .csv.

    Returns:
        The workload; for a name the same object in every call.

    Raises:
        UnknownNameError: If there is no such workload.
        ConfigError: If the file cannot be read or is not valid.

    Examples:
        >>> load_workload("edge_detecton")
        Traceback (most recent call last):
        archgym_py.errors.UnknownNameError: unknown workload 'edge_detecton'. Did you mean \
'edge_detection'? The name of a file ends in .yaml, .yml or .csv.
    """
    return _SHELF.load(name_or_path)


def as_workload(workload: str | os.PathLike[str] | Mapping[str, Any]) -> Workload:
    """Return the workload that a configuration asks for.

    Args:
        workload: What `load_workload` takes, or the content of a workload file as a mapping.

    Raises:
        UnknownNameError: If there is no such workload.
        ConfigError: If the mapping or the file is not valid, or the type is another one.
    """
    return _SHELF.get(workload, Workload)


def parse_workload(content: Mapping[str, Any], *, source: str) -> Workload:
    """Return the workload that a mapping describes.

    Args:
        content: The mapping, as a workload file has it.
        source: What to call it in messages.

    Raises:
        ConfigError: If a key is missing or unknown, a value is not legal, or the tasks are no
            acyclic graph. The message names the source and the task or edge.
        UnknownNameError: If an edge names a task that does not exist.

    Examples:
        >>> tasks = [{"name": "a", "a53_cycles": 5}, {"name": "b"}]
        >>> edges = [{"from": "a", "to": "c", "bytes": 4}]
        >>> parse_workload({"name": "w", "tasks": tasks, "edges": edges}, source="w.yaml")
        Traceback (most recent call last):
        archgym_py.errors.UnknownNameError: w.yaml: edge 1: there is no task 'c'. Known: a, b.
    """
    known = tuple(field.name for field in fields(Workload))
    check_keys(content, known, ("name", "tasks"), source)
    task_fields = tuple(field.name for field in fields(Task))
    tasks: list[Task] = []
    for place, entry in enumerate(_list_of(content, "tasks", source), start=1):
        where = f"{source}: task {place}"
        check_keys(entry, task_fields, ("name",), where)
        tasks.append(made(source, Task, **entry))
    names = [task.name for task in tasks]
    edges: list[Edge] = []
    for place, entry in enumerate(_list_of(content, "edges", source), start=1):
        where = f"{source}: edge {place}"
        check_keys(entry, ("from", "to", "bytes"), ("from", "to", "bytes"), where)
        for end in (entry["from"], entry["to"]):
            if end not in names:
                raise UnknownNameError(
                    f"{where}: there is no task {end!r}.{did_you_mean(str(end), names)}"
                )
        amount = number(f"{where}: bytes", entry["bytes"], 1.0, _MOST)
        edges.append(Edge(names.index(entry["from"]), names.index(entry["to"]), amount))
    budgets = None
    if "budgets" in content:
        limits = tuple(field.name for field in fields(Budgets))
        check_keys(content["budgets"], limits, limits, f"{source}: budgets")
        budgets = made(source, Budgets, **content["budgets"])
    blocks = None
    if "blocks" in content:
        figures = tuple(field.name for field in fields(Blocks))
        check_keys(content["blocks"], figures, figures, f"{source}: blocks")
        blocks = made(source, Blocks, **content["blocks"])
    order = _list_of(content, "accelerator_order", source)
    for name in order:
        if name not in names:
            raise UnknownNameError(
                f"{source}: accelerator_order: there is no task {name!r}."
                f"{did_you_mean(str(name), names)}"
            )
    texts = {key: content[key] for key in ("name", "description", "source") if key in content}
    workload: Workload = made(
        source,
        Workload,
        tasks=tuple(tasks),
        edges=tuple(edges),
        budgets=budgets,
        accelerator_order=tuple(order),
        blocks=blocks,
        **texts,
    )
    return workload


def _list_of(content: Mapping[str, Any], key: str, source: str) -> Sequence[Any]:
    entries = content.get(key, [])
    if not isinstance(entries, Sequence) or isinstance(entries, str | bytes):
        raise ConfigError(f"{source}: {key} must be a list, got {entries!r}.")
    return entries


def _parse(content: Mapping[str, Any], source: str) -> Workload:
    return parse_workload(content, source=source)


def _read_farsi(path: str) -> Workload:
    from archgym_py.simulators.soc.farsi_import import read_farsi  # which needs this module

    return read_farsi(path)


_SHELF: Final = Shelf("workload", ("soc", "arvr", "workloads"), _parse, {".csv": _read_farsi})
