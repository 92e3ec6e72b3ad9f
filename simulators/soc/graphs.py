"""Task graphs: an application as tasks, and the data that they hand to each other.

A task graph file is YAML. `after` names the predecessors of a task and how much data each of them
sends; data of volume 150 over a link of bandwidth 10 takes 15 µs. Tasks keep the order of the file:

    name: lag_detection
    description: Range detection by the lag of an echo
    source: what the figures are from
    tasks:
      - {name: ST}
      - {name: LFM, after: {ST: 1}}
      - {name: max_detect, after: {LFM: 150}, times_us: {A7: 20, A15: 20}}

A platform knows how long each of its clusters takes for a task, by the task's name. `times_us`
states it for this graph instead: such a task runs on the clusters that are named there and on no
others, and names of clusters that a platform does not have count for other platforms.

A file that ends in .txt is a job of DS3; see `archgym_py.simulators.soc.ds3_import`.

`as_task_graph` takes a graph in every form in which a configuration can hold one:

    >>> as_task_graph("lag_detection").tasks[-1]
    'max_detect'
    >>> one = as_task_graph({"name": "one", "tasks": [{"name": "fft", "times_us": {"A7": 30}}]})
    >>> one.times_us
    {'fft': {'A7': 30.0}}
"""

from __future__ import annotations

import hashlib
import heapq
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from archgym_py.checks import check_keys, integer, number
from archgym_py.errors import ConfigError, did_you_mean
from archgym_py.simulators.soc.shelf import Shelf

__all__ = [
    "MAX_TASKS",
    "Edge",
    "TaskGraph",
    "as_task_graph",
    "check_keys",
    "load_task_graph",
    "parse_task_graph",
    "read_times",
    "task_graph_names",
]

MAX_TASKS: Final = 10_000
"""Most tasks of a graph; the simulator keeps a row of every PE for each task in flight."""

_GRAPH_KEYS: Final = ("name", "description", "source", "tasks")
_TASK_KEYS: Final = ("name", "after", "times_us")

Times = Mapping[str, Mapping[str, float]]
"""Microseconds or watts by task and cluster."""


@dataclass(frozen=True, slots=True)
class Edge:
    """Data that one task hands to another.

    Attributes:
        source: Index of the task that sends.
        target: Index of the task that waits for the data.
        volume: How much, 0 or more. Volume over bandwidth is a time in µs.

    Raises:
        ConfigError: If an index is no whole number from 0 on, or the volume is no finite number
            from 0 on.
    """

    source: int
    target: int
    volume: float

    def __post_init__(self) -> None:
        for end in ("source", "target"):
            index = integer(f"{end} of an edge", getattr(self, end), 0, MAX_TASKS - 1)
            object.__setattr__(self, end, index)
        volume = number(
            f"volume of the edge from task {self.source} to {self.target}",
            *(self.volume, 0.0, math.inf),
        )
        object.__setattr__(self, "volume", volume)


@dataclass(frozen=True, slots=True)
class TaskGraph:
    """An application: tasks and the edges between them, without a cycle.

    Attributes:
        name: Name of the graph.
        tasks: Names of the tasks; an index is a place in it. No name occurs twice.
        edges: The edges, at most one from a task to another. They are kept in order of their
            targets, and those of one target in the order given.
        times_us: Execution times in µs of this graph's own, by task and cluster. A task that is
            here runs on these clusters only, whatever times the platform knows for it.
        description: One line that says what the application does.
        source: Where the figures are from.

    Raises:
        ConfigError: If there is no task, a name occurs twice, an edge ends nowhere, joins a task to
            itself or is there twice, the edges form a cycle, or a time is no finite number from 0
            on. The message names the tasks.

    Examples:
        >>> graph = TaskGraph("fork", ("a", "b", "c"), (Edge(0, 1, 4.0), Edge(0, 2, 8.0)))
        >>> graph.successors(0), graph.predecessors(2), graph.entries, graph.exits
        ((1, 2), (0,), (0,), (1, 2))
        >>> TaskGraph("loop", ("a", "b"), (Edge(0, 1, 4.0), Edge(1, 0, 8.0)))
        Traceback (most recent call last):
        archgym_py.errors.ConfigError: task graph 'loop': the tasks 'a' -> 'b' -> 'a' form a cycle,
        and none of them could ever start. Remove one of the edges.
    """

    name: str
    tasks: tuple[str, ...]
    edges: tuple[Edge, ...]
    times_us: Times = field(default_factory=dict)
    description: str = ""
    source: str = ""
    _predecessors: tuple[tuple[int, ...], ...] = field(init=False, repr=False, compare=False)
    _successors: tuple[tuple[int, ...], ...] = field(init=False, repr=False, compare=False)
    _topological_order: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        name: object = self.name
        if not (isinstance(name, str) and name.strip()):
            raise ConfigError(f"the name of a task graph must be a text, got {name!r}.")
        where = f"task graph {self.name!r}"
        for key in ("description", "source"):
            text = getattr(self, key)
            if not isinstance(text, str):
                raise ConfigError(f"{where}: {key} must be a text, got {text!r}.")
        self._check_tasks(where)
        self._check_edges(where)
        times = read_times(self.times_us, f"{where}: times_us", "us", tasks=self.tasks)
        object.__setattr__(self, "times_us", times)
        edges = tuple(sorted(self.edges, key=lambda edge: edge.target))
        object.__setattr__(self, "edges", edges)
        before: list[list[int]] = [[] for _ in self.tasks]
        after: list[list[int]] = [[] for _ in self.tasks]
        for edge in edges:
            before[edge.target].append(edge.source)
            after[edge.source].append(edge.target)
        object.__setattr__(self, "_predecessors", tuple(map(tuple, before)))
        object.__setattr__(self, "_successors", tuple(map(tuple, after)))
        object.__setattr__(self, "_topological_order", self._ordered(where))

    def _check_tasks(self, where: str) -> None:
        tasks: object = self.tasks
        if not isinstance(tasks, tuple):
            raise ConfigError(f"{where}: tasks must be a tuple of names, got {tasks!r}.")
        if not 1 <= len(self.tasks) <= MAX_TASKS:
            raise ConfigError(
                f"{where}: there must be 1 to {MAX_TASKS} tasks, got {len(self.tasks)}."
            )
        seen: set[str] = set()
        for task in tasks:
            if not (isinstance(task, str) and task.strip()):
                raise ConfigError(f"{where}: the name of a task must be a text, got {task!r}.")
            if task in seen:
                raise ConfigError(f"{where}: two tasks have the name {task!r}. Rename one.")
            seen.add(task)

    def _check_edges(self, where: str) -> None:
        edges: object = self.edges
        if not (isinstance(edges, tuple) and all(isinstance(edge, Edge) for edge in edges)):
            raise ConfigError(f"{where}: edges must be a tuple of Edge objects, got {edges!r}.")
        seen: set[tuple[int, int]] = set()
        for edge in self.edges:
            for index in (edge.source, edge.target):
                if index >= len(self.tasks):
                    raise ConfigError(
                        f"{where}: the edge from task {edge.source} to {edge.target} ends at no "
                        f"task. The indices of its tasks are 0 to {len(self.tasks) - 1}."
                    )
            ends = (edge.source, edge.target)
            names = tuple(repr(self.tasks[end]) for end in ends)
            if edge.source == edge.target:
                raise ConfigError(f"{where}: task {names[0]} must not be its own predecessor.")
            if ends in seen:
                raise ConfigError(
                    f"{where}: there are two edges from {names[0]} to {names[1]}. State one with "
                    f"the sum of their volumes."
                )
            seen.add(ends)

    def _ordered(self, where: str) -> tuple[int, ...]:
        """Return the topological order in which the lowest index that can come next does so."""
        waiting = [len(sources) for sources in self._predecessors]
        ready = [task for task, count in enumerate(waiting) if count == 0]
        order: list[int] = []
        while ready:  # a sorted list is a heap
            task = heapq.heappop(ready)
            order.append(task)
            for successor in self._successors[task]:
                waiting[successor] -= 1
                if waiting[successor] == 0:
                    heapq.heappush(ready, successor)
        if len(order) < len(self.tasks):
            cycle = " -> ".join(repr(self.tasks[task]) for task in self._cycle(set(order)))
            raise ConfigError(
                f"{where}: the tasks {cycle} form a cycle, and none of them could ever start. "
                f"Remove one of the edges."
            )
        return tuple(order)

    def _cycle(self, ordered: set[int]) -> list[int]:
        """Return a cycle among the tasks that have no place in an order, its first task twice.

        Each of them has a predecessor among them, so walking back must come to a task again.
        """
        task = next(task for task in range(len(self.tasks)) if task not in ordered)
        walk: list[int] = []
        while task not in walk:
            walk.append(task)
            task = next(source for source in self._predecessors[task] if source not in ordered)
        cycle = [*walk[walk.index(task) :], task][::-1]
        lowest = cycle.index(min(cycle))
        return [*cycle[lowest:-1], *cycle[:lowest], cycle[lowest]]

    def predecessors(self, task: int) -> tuple[int, ...]:
        """Return the tasks whose data a task waits for, in the order of its edges."""
        return self._predecessors[task]

    def successors(self, task: int) -> tuple[int, ...]:
        """Return the tasks that wait for the data of a task, ascending."""
        return self._successors[task]

    @property
    def entries(self) -> tuple[int, ...]:
        """The tasks without a predecessor, ascending."""
        return tuple(task for task, sources in enumerate(self._predecessors) if not sources)

    @property
    def exits(self) -> tuple[int, ...]:
        """The tasks without a successor, ascending."""
        return tuple(task for task, targets in enumerate(self._successors) if not targets)

    @property
    def topological_order(self) -> tuple[int, ...]:
        """All tasks, each after its predecessors; of several that could be next, the lowest."""
        return self._topological_order

    @property
    def fingerprint(self) -> str:
        """Eight digits that change with what is computed: a file may change under its name."""
        edges = sorted((edge.source, edge.target, edge.volume) for edge in self.edges)
        times = sorted((task, sorted(row.items())) for task, row in self.times_us.items())
        content = repr((self.tasks, edges, times))
        return hashlib.sha256(content.encode()).hexdigest()[:8]

    def to_dict(self) -> dict[str, Any]:
        """Return the graph as plain data, from which `parse_task_graph` makes an equal one."""
        texts = {"name": self.name, "description": self.description, "source": self.source}
        tasks: list[dict[str, Any]] = [{"name": name} for name in self.tasks]
        for edge in self.edges:
            row = tasks[edge.target].setdefault("after", {})
            row[self.tasks[edge.source]] = edge.volume
        for task in tasks:
            if task["name"] in self.times_us:
                task["times_us"] = dict(self.times_us[task["name"]])
        return {**{key: text for key, text in texts.items() if text}, "tasks": tasks}


def task_graph_names() -> tuple[str, ...]:
    """Return the names of the task graphs that come with the library, sorted."""
    return _SHELF.names


def load_task_graph(name_or_path: str | os.PathLike[str]) -> TaskGraph:
    """Return a task graph that comes with the library, or that of a file.

    Args:
        name_or_path: One of `task_graph_names()`, or the path of a file that ends in .yaml, .yml
            or, in DS3's format, .txt.

    Returns:
        The graph; for a name the same object in every call.

    Raises:
        UnknownNameError: If there is no such graph.
        ConfigError: If the file cannot be read or is not valid.

    Examples:
        >>> len(load_task_graph("wifi_receiver").tasks)
        34
        >>> load_task_graph("wifi_reciever")
        Traceback (most recent call last):
        archgym_py.errors.UnknownNameError: unknown task graph 'wifi_reciever'. Did you mean
        'wifi_receiver'? The name of a file ends in .yaml, .yml or .txt.
    """
    return _SHELF.load(name_or_path)


def as_task_graph(spec: str | os.PathLike[str] | Mapping[str, Any] | TaskGraph) -> TaskGraph:
    """Return the task graph that a configuration asks for.

    Args:
        spec: A graph; what `load_task_graph` takes; or the content of a task graph file as a
            mapping.

    Returns:
        The graph.

    Raises:
        UnknownNameError: If there is no such graph.
        ConfigError: If the mapping or the file is not valid, or the type is another one.
    """
    return _SHELF.get(spec, TaskGraph)


def parse_task_graph(content: Mapping[str, Any], *, where: str) -> TaskGraph:
    """Return the task graph that a mapping describes.

    Args:
        content: The mapping, as a task graph file has it: `name`, `tasks` and, if wanted,
            `description` and `source`.
        where: What to call the mapping in messages.

    Returns:
        The graph.

    Raises:
        ConfigError: If a key is missing or unknown, or a value is not legal. The message says where
            and, if there is one, which task.

    Examples:
        >>> tasks = [{"name": "LFM"}, {"name": "fft", "after": {"LFN": 1}}]
        >>> parse_task_graph({"name": "g", "tasks": tasks}, where="g.yaml")
        Traceback (most recent call last):
        archgym_py.errors.ConfigError: g.yaml: task 2 ('fft'): after: there is no task 'LFN'. Did
        you mean 'LFM'?
    """
    check_keys(content, _GRAPH_KEYS, ("name", "tasks"), where)
    entries = content["tasks"]
    if not isinstance(entries, Sequence) or isinstance(entries, str | bytes):
        raise ConfigError(f"{where}: tasks must be a list of mappings, got {entries!r}.")
    places: list[str] = []  # what a message calls each task
    names: list[Any] = []
    for position, entry in enumerate(entries, start=1):
        given = entry.get("name") if isinstance(entry, Mapping) else None
        places.append(f"{where}: task {position}" + (f" ({given!r})" if given is not None else ""))
        check_keys(entry, _TASK_KEYS, ("name",), places[-1])
        if not (isinstance(given, str) and given.strip()):
            raise ConfigError(f"{places[-1]}: name must be a text, got {given!r}.")
        names.append(given)
    index = {name: task for task, name in enumerate(names)}
    edges: list[Edge] = []
    times: dict[str, Any] = {}
    for target, (entry, place) in enumerate(zip(entries, places, strict=True)):
        after = entry.get("after", {})
        if not isinstance(after, Mapping):
            raise ConfigError(
                f"{place}: after must be a mapping of predecessors to volumes, such as "
                f"{{ST: 1}}, got {after!r}."
            )
        for name, volume in after.items():
            if name not in index:
                raise ConfigError(
                    f"{place}: after: there is no task {name!r}.{did_you_mean(str(name), names)}"
                )
            volume = number(f"{place}: after: volume of {name!r}", volume, 0.0, math.inf)
            edges.append(Edge(index[name], target, volume))
        if "times_us" in entry:
            row = {entry["name"]: entry["times_us"]}
            times |= read_times(row, f"{place}: times_us", "us", tasks=names)
    try:
        return TaskGraph(
            **{key: value for key, value in content.items() if key != "tasks"},
            tasks=tuple(names),
            edges=tuple(edges),
            times_us=times,
        )
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def read_times(
    table: object,
    where: str,
    unit: str,
    *,
    tasks: Sequence[str] | None = None,
    clusters: Sequence[str] | None = None,
) -> dict[str, dict[str, float]]:
    """Return a table of numbers by task and cluster, checked and as floats.

    Args:
        table: Mapping of tasks to mappings of clusters to numbers from 0 on.
        where: What to call the table in messages.
        unit: Unit of the numbers, for messages.
        tasks: Names that tasks can have; any if None.
        clusters: Names that clusters can have; any if None.

    Raises:
        ConfigError: If the table or a row is no mapping, a row is empty, a name is not known, or a
            value is no finite number from 0 on.
    """
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where} must be a mapping of tasks, got {table!r}.")
    checked: dict[str, dict[str, float]] = {}
    for task, row in table.items():
        if tasks is not None and task not in tasks:
            raise ConfigError(
                f"{where}: there is no task {task!r}.{did_you_mean(str(task), tasks)}"
            )
        if not (isinstance(task, str) and isinstance(row, Mapping) and row):
            raise ConfigError(
                f"{where}: the row of task {task!r} must be a mapping of one or more clusters to "
                f"{unit}, such as {{A7: 20}}, got {row!r}."
            )
        checked[task] = {}
        for cluster, value in row.items():
            if not isinstance(cluster, str) or (clusters is not None and cluster not in clusters):
                known = did_you_mean(str(cluster), clusters or ())
                raise ConfigError(
                    f"{where}: task {task!r}: there is no cluster {cluster!r}.{known}"
                )
            checked[task][cluster] = number(
                f"{where}: task {task!r} on cluster {cluster!r}", value, 0.0, math.inf
            )
    return checked


def _parse(content: Mapping[str, Any], where: str) -> TaskGraph:
    return parse_task_graph(content, where=where)


def _read_ds3(path: str) -> TaskGraph:
    from archgym_py.simulators.soc.ds3_import import read_ds3_job  # which needs this module

    return read_ds3_job(path)


_SHELF: Final = Shelf("task graph", ("soc", "graphs"), _parse, {".txt": _read_ds3})
