"""Systems on a chip: blocks on buses, and where the tasks of a workload run and write.

A system has processors, memories and buses. A processor is on one bus, a memory on one bus, and
buses are linked to each other. Every task runs on a processor and writes all of its outputs to a
memory, from which its children read them. As a mapping, in which types are those of
`archgym_py.simulators.soc.arvr_database`:

    >>> from archgym_py.simulators.soc.arvr_database import BlockLibrary
    >>> from archgym_py.simulators.soc.arvr_workloads import as_workload
    >>> workload = as_workload({
    ...     "name": "pair",
    ...     "tasks": [{"name": "a", "a53_cycles": 1e6}, {"name": "b", "a53_cycles": 2e6}],
    ...     "edges": [{"from": "a", "to": "b", "bytes": 65536}],
    ... })
    >>> soc = parse_soc({
    ...     "processors": {"cpu": {"type": "A53", "bus": "main"}},
    ...     "memories": {"ddr": {"type": "GMEM_0_4", "bus": "main"}},
    ...     "buses": {"main": {"type": "LMEM_ic_0_4"}},
    ...     "tasks": {"a": {"processor": "cpu", "memory": "ddr"}, "b": {"processor": "cpu"}},
    ... })
    >>> designs_of([soc], workload, BlockLibrary(workload)).task_processor
    array([[0, 0]])
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from archgym_py.checks import check_keys
from archgym_py.errors import ConfigError, InfeasibleDesign, UnknownNameError, did_you_mean
from archgym_py.simulators.soc.arvr_database import BlockLibrary
from archgym_py.simulators.soc.arvr_kernel import Designs
from archgym_py.simulators.soc.arvr_workloads import MAX_TASKS, Workload

__all__ = ["Block", "Placement", "SoC", "designs_of", "empty_designs", "parse_soc", "soc_of"]

_Ints = npt.NDArray[np.int64]

_MOST = {"processor": 2 * MAX_TASKS, "memory": MAX_TASKS, "bus": MAX_TASKS}
"""Most blocks of each kind: a core and an accelerator for each task, a memory and a bus."""


@dataclass(frozen=True, slots=True)
class Block:
    """A processor, memory or bus.

    Attributes:
        type: Name of its type.
        bus: Name of the bus that it is on; None for a bus, and for a memory that is on none.
    """

    type: str
    bus: str | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a task runs and writes.

    Attributes:
        processor: Name of a processor.
        memory: Name of a memory; None for a task that writes nothing.
    """

    processor: str
    memory: str | None = None


@dataclass(frozen=True)
class SoC:
    """A system on a chip with its mapping.

    Attributes:
        processors: The processors by name.
        memories: The memories by name.
        buses: The buses by name.
        tasks: Where each task of the workload runs and writes, by name.
        links: Pairs of buses that are linked.

    Raises:
        ConfigError: If there is no processor or bus, or too many of one kind, if a bus is linked to
            itself, or a processor is on no bus. The message names the block.
        UnknownNameError: If a bus, processor or memory that is named does not exist.
    """

    processors: Mapping[str, Block]
    memories: Mapping[str, Block]
    buses: Mapping[str, Block]
    tasks: Mapping[str, Placement]
    links: Sequence[tuple[str, str]] = ()

    def __post_init__(self) -> None:
        kinds = {"processor": self.processors, "memory": self.memories, "bus": self.buses}
        for kind, blocks in kinds.items():
            if not 1 <= len(blocks) <= _MOST[kind]:
                raise ConfigError(
                    f"the blocks of kind {kind!r} must be 1 to {_MOST[kind]}, got {len(blocks)}."
                )
        for name, block in self.processors.items():
            if block.bus is None:
                raise ConfigError(f"processor {name!r} is on no bus. Name one.")
            _require(f"processor {name!r}", "bus", block.bus, self.buses)
        for name, block in self.memories.items():
            if block.bus is not None:
                _require(f"memory {name!r}", "bus", block.bus, self.buses)
        for one, other in self.links:
            for bus in (one, other):
                _require(f"link {one!r} - {other!r}", "bus", bus, self.buses)
            if one == other:
                raise ConfigError(f"bus {one!r} is linked to itself. Remove the link.")
        for name, placement in self.tasks.items():
            _require(f"task {name!r}", "processor", placement.processor, self.processors)
            if placement.memory is not None:
                _require(f"task {name!r}", "memory", placement.memory, self.memories)


def parse_soc(content: Mapping[str, Any]) -> SoC:
    """Return the system that a mapping describes; see the module for an example.

    Args:
        content: `processors`, `memories`, `buses` and `tasks`, and if wanted `links`.

    Raises:
        ConfigError: If a key is missing or unknown or a value has the wrong type.
        UnknownNameError: If a block that is named does not exist.

    Examples:
        >>> parse_soc({"procesors": {}})
        Traceback (most recent call last):
        archgym_py.errors.ConfigError: system: unknown key 'procesors'. Did you mean 'processors'?
    """
    required = ("processors", "memories", "buses", "tasks")
    check_keys(content, (*required, "links"), required, "system")
    parts: dict[str, dict[str, Any]] = {}
    for part, make, known, needed in (
        ("processors", Block, ("type", "bus"), ("type", "bus")),
        ("memories", Block, ("type", "bus"), ("type",)),
        ("buses", Block, ("type",), ("type",)),
        ("tasks", Placement, ("processor", "memory"), ("processor",)),
    ):
        entries = content[part]
        if not isinstance(entries, Mapping):
            raise ConfigError(f"system: {part} must be a mapping of names, got {entries!r}.")
        for name, entry in entries.items():
            check_keys(entry, known, needed, f"system: {part}: {name!r}")
            for key, value in entry.items():
                if not isinstance(value, str):
                    raise ConfigError(
                        f"system: {part}: {name!r}: {key} must be a name, got {value!r}."
                    )
        parts[part] = {str(name): make(**entry) for name, entry in entries.items()}
    links = content.get("links", ())
    for link in links:
        if isinstance(link, str) or not isinstance(link, Sequence) or len(link) != 2:
            raise ConfigError(f"system: a link is a pair of buses, got {link!r}.")
    return SoC(**parts, links=tuple((str(one), str(other)) for one, other in links))


def empty_designs(count: int, workload: Workload, slots: tuple[int, int, int]) -> Designs:
    """Return arrays for designs, with no block and no link.

    Args:
        count: Number of designs.
        workload: Its tasks are all mapped to the first slots.
        slots: Numbers of processors, memories and buses.
    """
    processors, memories, buses = slots
    tasks = len(workload.tasks)
    return Designs(
        processor=np.full((count, processors), -1, np.int64),
        processor_bus=np.zeros((count, processors), np.int64),
        memory=np.full((count, memories), -1, np.int64),
        memory_bus=np.full((count, memories), -1, np.int64),
        bus=np.zeros((count, buses), np.int64),
        link=np.zeros((count, buses, buses), np.uint8),
        task_processor=np.zeros((count, tasks), np.int64),
        task_memory=np.zeros((count, tasks), np.int64),
    )


def designs_of(socs: Sequence[SoC], workload: Workload, blocks: BlockLibrary) -> Designs:
    """Return systems as the arrays that the compiled model takes.

    Args:
        socs: The systems; each may have its own number of blocks.
        workload: What they run.
        blocks: The types of blocks for this workload.

    Raises:
        UnknownNameError: If a type or a task does not exist.
        ConfigError: If a task is not mapped, or one with outputs writes to no memory.
        InfeasibleDesign: If a processor cannot run a task that is mapped to it.
    """
    slots = (
        max(len(soc.processors) for soc in socs),
        max(len(soc.memories) for soc in socs),
        max(len(soc.buses) for soc in socs),
    )
    designs = empty_designs(len(socs), workload, slots)
    for row, soc in enumerate(socs):
        buses = {name: place for place, name in enumerate(soc.buses)}
        for place, block in enumerate(soc.buses.values()):
            designs.bus[row, place] = blocks.bus_index(block.type)
        for place, block in enumerate(soc.processors.values()):
            designs.processor[row, place] = blocks.processor_index(block.type)
            designs.processor_bus[row, place] = buses[str(block.bus)]
        for place, block in enumerate(soc.memories.values()):
            designs.memory[row, place] = blocks.memory_index(block.type)
            designs.memory_bus[row, place] = -1 if block.bus is None else buses[block.bus]
        for one, other in soc.links:
            designs.link[row, buses[one], buses[other]] = 1
            designs.link[row, buses[other], buses[one]] = 1
        _place_tasks(soc, workload, blocks, designs, row)
    return designs


def soc_of(designs: Designs, row: int, workload: Workload, blocks: BlockLibrary) -> SoC:
    """Return one of some designs as a system; its blocks are named by their slots.

    Args:
        designs: The designs.
        row: Which one.
        workload: What it runs.
        blocks: The types of blocks for this workload.
    """
    links = np.argwhere(np.triu(designs.link[row])).tolist()
    placed = zip(
        workload.names,
        designs.task_processor[row].tolist(),
        designs.task_memory[row].tolist(),
        strict=True,
    )
    return SoC(
        processors={
            f"processor_{p}": Block(blocks.processors[kind].name, f"bus_{bus}")
            for p, (kind, bus) in enumerate(_pairs(designs.processor, designs.processor_bus, row))
            if kind >= 0
        },
        memories={
            f"memory_{m}": Block(blocks.memories[kind].name, f"bus_{bus}" if bus >= 0 else None)
            for m, (kind, bus) in enumerate(_pairs(designs.memory, designs.memory_bus, row))
            if kind >= 0
        },
        buses={
            f"bus_{b}": Block(blocks.buses[kind].name)
            for b, kind in enumerate(designs.bus[row].tolist())
            if kind >= 0
        },
        tasks={name: Placement(f"processor_{p}", f"memory_{m}") for name, p, m in placed},
        links=[(f"bus_{x}", f"bus_{y}") for x, y in links],
    )


def _pairs(kinds: _Ints, buses: _Ints, row: int) -> Iterator[tuple[int, int]]:
    return zip(kinds[row].tolist(), buses[row].tolist(), strict=True)


def _place_tasks(
    soc: SoC, workload: Workload, blocks: BlockLibrary, designs: Designs, row: int
) -> None:
    for name in soc.tasks:
        workload.index(name)  # raises if there is no such task
    processors, memories = list(soc.processors), list(soc.memories)
    for number, task in enumerate(workload.tasks):
        if task.name not in soc.tasks:
            raise ConfigError(f"task {task.name!r} is mapped to no processor. Add it to the tasks.")
        placement = soc.tasks[task.name]
        kind = soc.processors[placement.processor].type
        if not blocks.processor(kind).runs(task):
            raise InfeasibleDesign(
                f"task {task.name!r} is mapped to {placement.processor!r}, a {kind}, which cannot "
                f"run it. Map it to an A53 or to one of its own accelerators."
            )
        designs.task_processor[row, number] = processors.index(placement.processor)
        if placement.memory is not None:
            designs.task_memory[row, number] = memories.index(placement.memory)
        elif workload.children[number]:
            raise ConfigError(f"task {task.name!r} has outputs but no memory to write them to.")


def _require(what: str, kind: str, name: str, known: Mapping[str, object]) -> None:
    if name not in known:
        raise UnknownNameError(f"{what}: there is no {kind} {name!r}.{did_you_mean(name, known)}")
