"""The spaces of AR/VR systems on a chip, and what their designs mean as blocks and links.

Two spaces are legal by construction: every design is a system that works.

* Buses make a tree: bus i is linked to one of those before it, so that there is exactly one way
  from everywhere to everywhere. Every processor and memory is on one bus.
* A task has parameters only for processors that can run it. Dummies run on the first core, where
  they take no time.
* Blocks that nothing needs are not built: a slot without tasks, data or ways costs nothing, so that
  there need be no choice of how many there are.

In `limited` there are three slots of each kind: processors are an A53, and two that are an A53 or
the first accelerator of all, once and at the lowest clock; memories are `GMEM_0` and buses
`LMEM_ic_0`, each in four clocks. In `comprehensive` there are as many cores, memories and buses as
tasks, and an accelerator of each task, of all types.

Two more have the published encoding, for comparison: `published_limited` and
`published_comprehensive`, with the same blocks and one integer for each entry of the action vector
of ArchGym's FARSI environment. Below 1 % of their designs are legal; the others are infeasible,
with a message that names what is wrong.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from archgym_py.errors import ConfigError, did_you_mean
from archgym_py.simulators.soc.arvr_database import BlockLibrary, unrolls
from archgym_py.simulators.soc.arvr_design import empty_designs
from archgym_py.simulators.soc.arvr_kernel import Designs
from archgym_py.simulators.soc.arvr_workloads import Task, Workload
from archgym_py.space import Choice, Design, Integer, Ordinal, Parameter, ParameterSpace, Value

__all__ = ["SPACES", "Encoding", "encoding_of"]

_LIMITED_SLOTS: Final = 3

_Ints = npt.NDArray[np.int64]


class Encoding(ABC):
    """A parameter space of systems, and what its designs mean.

    Args:
        workload: What the systems run.
        blocks: The types of blocks for it.

    Attributes:
        space: The parameters.
        slots: Numbers of processors, memories and buses of the arrays.
    """

    space: ParameterSpace
    slots: tuple[int, int, int]

    def __init__(self, workload: Workload, blocks: BlockLibrary) -> None:
        self.workload = workload
        self.blocks = blocks
        parameters = list(self._parameters())
        self.space = ParameterSpace(tuple(parameters))
        self._column = {parameter.name: n for n, parameter in enumerate(parameters)}
        self._prepare()
        self._numbers: list[tuple[str, dict[Value, int]]] = [
            (p.name, {p.value_at(index): index for index in range(p.cardinality or 0)})
            for p in parameters
        ]

    def designs(self, designs: Sequence[Design]) -> tuple[Designs, list[str]]:
        """Return designs as arrays of the model.

        Args:
            designs: Designs of the space.

        Returns:
            The arrays, and for each design what makes it illegal, "" if nothing does. The arrays of
            an illegal design are not to be used.

        Raises:
            DesignError: If a design is not in the space.
        """
        try:
            rows = [[table[design[name]] for name, table in self._numbers] for design in designs]
        except (KeyError, TypeError):
            rows = [self.space.encode(design).tolist() for design in designs]  # says what is wrong
        numbers = np.array(rows, np.int64).reshape(len(rows), len(self._numbers))
        arrays = empty_designs(len(rows), self.workload, self.slots)
        return arrays, self._fill(arrays, numbers)

    @abstractmethod
    def _parameters(self) -> Sequence[Parameter]:
        """Return the parameters and set `slots`."""

    @abstractmethod
    def _fill(self, arrays: Designs, numbers: _Ints) -> list[str]:
        """Fill arrays from the numbers of the values, shape (designs, parameters)."""

    @abstractmethod
    def _prepare(self) -> None:
        """Look up what `_fill` needs, once."""

    def _columns(self, names: Iterable[str]) -> _Ints:
        """Return the columns of some parameters."""
        return np.array([self._column[name] for name in names], np.int64)

    @property
    def _writers(self) -> list[tuple[int, Task]]:
        """The tasks that have outputs, with their numbers."""
        tasks = enumerate(self.workload.tasks)
        return [(number, task) for number, task in tasks if self.workload.children[number]]

    @property
    def _workers(self) -> list[tuple[int, Task]]:
        """The tasks that are no dummies, with their numbers."""
        return [(number, task) for number, task in enumerate(self.workload.tasks) if task.work]


class _Tree(Encoding):
    """What the legal spaces have in common: a tree of buses, and memories on it."""

    widths: bool
    """Whether memories and buses have more than the smallest width, and memories may be SRAM."""

    @property
    def _clocks(self) -> tuple[int, ...]:
        return tuple(bus.clock_mhz for bus in self.blocks.buses[: self._clock_count])

    @property
    def _clock_count(self) -> int:
        return len(self.blocks.hardware.multipliers)

    def _tree_parameters(self) -> list[Parameter]:
        parameters: list[Parameter] = []
        buses = range(self.slots[2])
        bus_widths = tuple(dict.fromkeys(bus.width_bytes for bus in self.blocks.buses))
        memory_widths = tuple(dict.fromkeys(m.width_bytes for m in self.blocks.memories))
        for b in buses:
            if self.widths:
                parameters.append(
                    Ordinal(f"bus_{b}_width_bytes", bus_widths, doc="width", unit="B")
                )
            parameters.append(
                Ordinal(f"bus_{b}_clock_mhz", self._clocks, doc="clock of the bus", unit="MHz")
            )
            if b > 1:
                doc = "bus to which it is linked; bus 1 is linked to bus 0"
                parameters.append(Choice(f"bus_{b}_link", tuple(range(b)), doc=doc))
        for m in range(self.slots[1]):
            if self.widths:
                kinds = tuple(dict.fromkeys(memory.technology for memory in self.blocks.memories))
                parameters += [
                    Choice(f"memory_{m}_technology", kinds, doc="dram or sram"),
                    Ordinal(f"memory_{m}_width_bytes", memory_widths, doc="width", unit="B"),
                ]
            parameters += [
                Ordinal(f"memory_{m}_clock_mhz", self._clocks, doc="clock", unit="MHz"),
                Choice(f"memory_{m}_bus", tuple(buses), doc="bus that the memory is on"),
            ]
        parameters += [
            Choice(
                f"{task.name}_memory",
                tuple(range(self.slots[1])),
                doc="memory to which the task writes",
            )
            for _, task in self._writers
        ]
        return parameters

    def _prepare(self) -> None:
        buses, memories = range(self.slots[2]), range(self.slots[1])
        self._bus_clock = self._columns(f"bus_{b}_clock_mhz" for b in buses)
        self._bus_link = self._columns(f"bus_{b}_link" for b in buses[2:])
        self._memory_clock = self._columns(f"memory_{m}_clock_mhz" for m in memories)
        self._memory_bus = self._columns(f"memory_{m}_bus" for m in memories)
        if self.widths:
            self._bus_width = self._columns(f"bus_{b}_width_bytes" for b in buses)
            self._memory_width = self._columns(f"memory_{m}_width_bytes" for m in memories)
            self._memory_kind = self._columns(f"memory_{m}_technology" for m in memories)
        self._writing = [number for number, _ in self._writers]
        self._task_memory = self._columns(f"{task.name}_memory" for _, task in self._writers)

    def _fill_tree(self, arrays: Designs, numbers: _Ints) -> None:
        arrays.bus[:] = numbers[:, self._bus_clock]
        arrays.memory[:] = numbers[:, self._memory_clock]
        if self.widths:
            clocks = self._clock_count
            of_a_kind = len(self.blocks.buses)
            arrays.bus[:] += clocks * numbers[:, self._bus_width]
            arrays.memory[:] += clocks * numbers[:, self._memory_width]
            arrays.memory[:] += of_a_kind * numbers[:, self._memory_kind]
        arrays.memory_bus[:] = numbers[:, self._memory_bus]
        arrays.task_memory[:, self._writing] = numbers[:, self._task_memory]
        rows = np.arange(len(numbers))
        if self.slots[2] > 1:
            arrays.link[:, 1, 0] = 1
        for b, column in enumerate(self._bus_link.tolist(), start=2):
            arrays.link[rows, b, numbers[:, column]] = 1
        arrays.link[:] |= arrays.link.transpose(0, 2, 1)


class _Limited(_Tree):
    """Three slots of each kind; the first processor is an A53, without which nothing works."""

    widths = False

    def _parameters(self) -> Sequence[Parameter]:
        self.slots = (_LIMITED_SLOTS,) * 3
        core, accelerator = self._kinds()
        parameters: list[Parameter] = []
        others = range(1, _LIMITED_SLOTS)
        if accelerator is not None:
            parameters += [
                Choice(
                    f"processor_{p}",
                    (core, accelerator),
                    doc="type of the processor; processor 0 is an A53",
                )
                for p in others
            ]
        parameters += [
            Choice(f"processor_{p}_bus", tuple(range(_LIMITED_SLOTS)), doc="bus that it is on")
            for p in range(_LIMITED_SLOTS)
        ]
        for _, task in self._workers:
            own = accelerator is not None and self.blocks.processor(accelerator).runs(task)
            needs = {} if accelerator is None or own else {"processor_{}": (core,)}
            parameters += [
                Choice(
                    f"{task.name}_on_{p}",
                    (False, True),
                    doc=f"whether it runs on processor {p}; the last wins, and 0 has the rest",
                    active_when={name.format(p): values for name, values in needs.items()},
                )
                for p in others
            ]
        return parameters + self._tree_parameters()

    def _kinds(self) -> tuple[str, str | None]:
        """Return the core, and the first accelerator if there is any."""
        names = [processor.name for processor in self.blocks.processors[:2]]
        return names[0], names[1] if len(names) > 1 else None

    def _prepare(self) -> None:
        super()._prepare()
        slots, others = range(_LIMITED_SLOTS), range(1, _LIMITED_SLOTS)
        named = [p for p in others if f"processor_{p}" in self._column]
        self._named = named
        self._processor = self._columns(f"processor_{p}" for p in named)
        self._processor_bus = self._columns(f"processor_{p}_bus" for p in slots)
        self._working = [number for number, _ in self._workers]
        self._on = [
            (p, self._columns(f"{task.name}_on_{p}" for _, task in self._workers)) for p in others
        ]
        kinds = self.blocks.processors[:2]
        self._runs = np.array([[kind.runs(task) for _, task in self._workers] for kind in kinds])

    def _fill(self, arrays: Designs, numbers: _Ints) -> list[str]:
        arrays.processor[:] = 0
        arrays.processor[:, self._named] = numbers[:, self._processor]
        arrays.processor_bus[:] = numbers[:, self._processor_bus]
        where = np.zeros((len(numbers), len(self._working)), np.int64)
        for p, columns in self._on:
            # An inactive parameter says nothing, whatever its value.
            where[(numbers[:, columns] == 1) & self._runs[arrays.processor[:, p]]] = p
        arrays.task_processor[:, self._working] = where
        self._fill_tree(arrays, numbers)
        return [""] * len(numbers)


class _Comprehensive(_Tree):
    """Every task on one of as many cores, or on an accelerator of its own."""

    widths = True

    def _parameters(self) -> Sequence[Parameter]:
        count = len(self.workload.tasks)
        self.slots = (2 * count, count, count)
        slots = tuple(range(count))
        parameters: list[Parameter] = [
            Choice(f"core_{p}_bus", slots, doc="bus that the core is on") for p in slots
        ]
        for _, task in self._workers:
            name = task.name
            core, own = {}, {}
            if task.ip_cycles is not None:
                core = {f"{name}_runs_on": ("core",)}
                own = {f"{name}_runs_on": ("accelerator",)}
                parameters.append(
                    Choice(f"{name}_runs_on", ("core", "accelerator"), doc="what runs the task")
                )
            parameters.append(
                Choice(f"{name}_core", slots, doc="core that runs it", active_when=core)
            )
            if task.ip_cycles is None:
                continue
            if len(unrolls(task)) > 1:
                parameters.append(
                    Ordinal(
                        f"{name}_unroll",
                        unrolls(task),
                        doc="copies of the loop body of its accelerator",
                        active_when=own,
                    )
                )
            parameters += [
                Ordinal(
                    f"{name}_clock_mhz",
                    self._clocks,
                    doc="clock of its accelerator",
                    unit="MHz",
                    active_when=own,
                ),
                Choice(f"{name}_bus", slots, doc="bus that its accelerator is on", active_when=own),
            ]
        return parameters + self._tree_parameters()

    def _prepare(self) -> None:
        super()._prepare()
        count = len(self.workload.tasks)
        own = [(number, task) for number, task in self._workers if task.ip_cycles is not None]
        unrolled = [task for _, task in own if f"{task.name}_unroll" in self._column]
        self._core_bus = self._columns(f"core_{p}_bus" for p in range(count))
        self._working = [number for number, _ in self._workers]
        self._core = self._columns(f"{task.name}_core" for _, task in self._workers)
        self._owning = np.array([number for number, _ in own], np.int64)
        self._runs_on = self._columns(f"{task.name}_runs_on" for _, task in own)
        self._clock = self._columns(f"{task.name}_clock_mhz" for _, task in own)
        self._own_bus = self._columns(f"{task.name}_bus" for _, task in own)
        self._unroll = self._columns(f"{task.name}_unroll" for task in unrolled)
        self._unrolled = [place for place, (_, task) in enumerate(own) if task in unrolled]
        self._first_kind = np.array(
            [self.blocks.processor_index(f"{task.name}_IP0_1_1") for _, task in own], np.int64
        )

    def _fill(self, arrays: Designs, numbers: _Ints) -> list[str]:
        count = len(self.workload.tasks)
        arrays.processor[:, :count] = 0
        arrays.processor_bus[:, :count] = numbers[:, self._core_bus]
        arrays.task_processor[:, self._working] = numbers[:, self._core]
        own = numbers[:, self._runs_on] == 1
        kind = self._first_kind + numbers[:, self._clock]
        kind[:, self._unrolled] += self._clock_count * numbers[:, self._unroll]
        slots = count + self._owning
        arrays.processor[:, slots] = np.where(own, kind, -1)
        arrays.processor_bus[:, slots] = numbers[:, self._own_bus]
        cores = arrays.task_processor[:, self._owning]
        arrays.task_processor[:, self._owning] = np.where(own, slots, cores)
        self._fill_tree(arrays, numbers)
        return [""] * len(numbers)


class _Published(Encoding):
    """The action vector of ArchGym's FARSI environment.

    The original cuts a box action, from -1 to 1, into bins of the width (high - low) /
    (high - low + 1) for integers from low to high, starting at low and not at -1, so that
    everything below low is low. Here as everywhere the bins of a box action have equal widths. A
    bus that is linked to itself has no link; of an empty slot, the connections mean nothing.
    """

    limited: bool

    def _parameters(self) -> Sequence[Parameter]:
        tasks = len(self.workload.tasks)
        slots = _LIMITED_SLOTS if self.limited else tasks
        self.slots = (slots, slots, slots)
        least = 0 if self.limited else -1
        multipliers = len(self.blocks.hardware.multipliers)
        kinds = (
            len(self.blocks.processors[:2] if self.limited else self.blocks.processors),
            multipliers if self.limited else len(self.blocks.memories),
            multipliers if self.limited else len(self.blocks.buses),
        )
        groups = (
            ("pe_allocation", slots, least, kinds[0] - 1, "type of the processor, -1 for none"),
            ("mem_allocation", slots, least, kinds[1] - 1, "type of the memory, -1 for none"),
            ("bus_allocation", slots, least, kinds[2] - 1, "type of the bus, -1 for none"),
            ("pe_to_bus_connection", slots, 0, slots - 1, "bus of the processor"),
            ("bus_to_bus_connection", slots, -1, slots - 1, "bus to which it is linked"),
            ("bus_to_mem_connection", slots, -1, slots - 1, "memory on the bus"),
            ("task_to_pe_mapping", tasks, 0, slots - 1, "processor of the task"),
            ("task_to_mem_mapping", tasks, 0, slots - 1, "memory that the task writes"),
        )
        return [
            Integer(f"{name}_{k}", low, high, default=_published_default(name, k), doc=doc)
            for name, count, low, high, doc in groups
            for k in range(count)
        ]

    def _prepare(self) -> None:
        parameters = self.space.parameters
        self._lows = np.array([p.low for p in parameters if isinstance(p, Integer)], np.int64)
        self._groups: dict[str, list[int]] = {}
        for name, column in self._column.items():
            self._groups.setdefault(name.rpartition("_")[0], []).append(column)

    def _fill(self, arrays: Designs, numbers: _Ints) -> list[str]:
        values, groups = numbers + self._lows, self._groups
        arrays.processor[:] = values[:, groups["pe_allocation"]]
        arrays.memory[:] = values[:, groups["mem_allocation"]]
        arrays.bus[:] = values[:, groups["bus_allocation"]]
        arrays.processor_bus[:] = values[:, groups["pe_to_bus_connection"]]
        arrays.task_processor[:] = values[:, groups["task_to_pe_mapping"]]
        arrays.task_memory[:] = values[:, groups["task_to_mem_mapping"]]
        arrays.memory_bus[:] = -1
        links = values[:, groups["bus_to_bus_connection"]].tolist()
        attached = values[:, groups["bus_to_mem_connection"]].tolist()
        return [
            self._connect(arrays, row, links[row], attached[row]) for row in range(len(numbers))
        ]

    def _connect(
        self, arrays: Designs, row: int, links: Sequence[int], attached: Sequence[int]
    ) -> str:
        """Link the blocks of a design; return why it is illegal, "" if it is not."""
        processors, memories, buses = (
            kinds[row].tolist() for kinds in (arrays.processor, arrays.memory, arrays.bus)
        )
        for b, other in enumerate(links):
            if buses[b] < 0 or other < 0 or other == b:
                continue
            if buses[other] < 0:
                return f"bus slot {b} is linked to bus slot {other}, which is empty"
            arrays.link[row, b, other] = 1
            arrays.link[row, other, b] = 1
        for b, m in enumerate(attached):
            if buses[b] < 0 or m < 0:
                continue
            if memories[m] < 0:
                return f"bus slot {b} leads to memory slot {m}, which is empty"
            if arrays.memory_bus[row, m] >= 0:
                other = arrays.memory_bus[row, m]
                return f"memory slot {m} is on two buses, {other} and {b}; it may be on one"
            arrays.memory_bus[row, m] = b
        for p, b in enumerate(arrays.processor_bus[row].tolist()):
            if processors[p] >= 0 and buses[b] < 0:
                return f"processor slot {p} is on bus slot {b}, which is empty"
        placed = zip(
            self.workload.tasks,
            arrays.task_processor[row].tolist(),
            arrays.task_memory[row].tolist(),
            strict=True,
        )
        for number, (task, p, m) in enumerate(placed):
            if processors[p] < 0:
                return f"task {task.name!r} is mapped to processor slot {p}, which is empty"
            kind = self.blocks.processors[processors[p]]
            if not kind.runs(task):
                return (
                    f"task {task.name!r} is mapped to processor slot {p}, a {kind.name}, which "
                    f"cannot run it"
                )
            if self.workload.children[number] and memories[m] < 0:
                return f"task {task.name!r} writes to memory slot {m}, which is empty"
        return ""


class _PublishedLimited(_Published):
    limited = True


class _PublishedComprehensive(_Published):
    limited = False


def _published_default(name: str, slot: int) -> int:
    """Return the baseline: everything on the first A53, bus and memory."""
    if name == "bus_to_bus_connection" or (name == "bus_to_mem_connection" and slot):
        return -1
    return 0


_ENCODINGS: Final[Mapping[str, type[Encoding]]] = {
    "limited": _Limited,
    "comprehensive": _Comprehensive,
    "published_limited": _PublishedLimited,
    "published_comprehensive": _PublishedComprehensive,
}

SPACES: Final = tuple(_ENCODINGS)
"""Names of the spaces."""


def encoding_of(space: str, workload: Workload, blocks: BlockLibrary) -> Encoding:
    """Return a space for a workload.

    Args:
        space: One of `SPACES`.
        workload: What the systems run.
        blocks: The types of blocks for it.

    Raises:
        ConfigError: If there is no such space.

    Examples:
        >>> from archgym_py.simulators.soc.arvr_workloads import load_workload
        >>> workload = load_workload("edge_detection")
        >>> blocks = BlockLibrary(workload)
        >>> [len(encoding_of(space, workload, blocks).space.names) for space in SPACES]
        [34, 99, 34, 64]
        >>> encoding_of("limitd", workload, blocks)
        Traceback (most recent call last):
        archgym_py.errors.ConfigError: unknown space 'limitd'. Did you mean 'limited'?
    """
    if space not in _ENCODINGS:
        raise ConfigError(f"unknown space {space!r}.{did_you_mean(str(space), SPACES)}")
    return _ENCODINGS[space](workload, blocks)
