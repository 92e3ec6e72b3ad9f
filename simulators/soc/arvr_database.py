"""The blocks that an AR/VR system on a chip can be made of, with their rates and prices.

- `A53`: a core with 2 instructions x 1 GHz, 1 / 47019607843 J per instruction and 0.65 mm2.
- `<task>_IP0_<l>_<m>`: the accelerator of a task, unrolled l times. It is m l times as fast as
  `ip_cycles` at 100 MHz, takes 0.064 l `ip_energy` fJ for the task and 0.0374 l `ip_area` um2.
- `GMEM_<k>_<m>` (DRAM) and `LMEM_<k>_<m>` (SRAM): memories that read and write 4 2^k bytes at a
  clock of m 100 MHz each. Energy and area are those of a table.
- `LMEM_ic_<k>_<m>`: a bus of that width and clock for each way out and direction. It takes neither
  energy nor area.

A core runs every task, an accelerator its own only. l is 1, 2, 4, ... up to the iterations of the
loop, which are the last value themselves; of more than 17 powers of two the first 16 are taken. m
is 1, 4, 6 or 8. The energy and area of a memory depend on its size, a multiple of 256,000 bytes, as
large as what it holds at the same time.

Formulas and figures are those of FARSI (Boroujerdian et al., ACM TECS 2022); the figures are data
in `configs/soc/arvr/hardware`. A workload may have others (`Blocks`).

    >>> from archgym_py.simulators.soc.arvr_workloads import load_workload
    >>> blocks = BlockLibrary(load_workload("edge_detection"))
    >>> len(blocks.processors), len(blocks.memories), len(blocks.buses)
    (377, 48, 24)
    >>> blocks.processor("gaussianSmoothing_IP0_2_8").rate / 1e9  # instructions per ns
    15.62...
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import as_file, files
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from archgym_py.config import load_yaml
from archgym_py.errors import UnknownNameError, did_you_mean
from archgym_py.simulators.soc.arvr_workloads import Blocks, Task, Workload

__all__ = [
    "CORE",
    "TECHNOLOGIES",
    "BlockLibrary",
    "Bus",
    "Hardware",
    "Memory",
    "MemoryTable",
    "Processor",
    "hardware_of",
    "load_hardware",
    "unrolls",
]

CORE: Final = "A53"
"""Name of the general processor, which runs every task."""

TECHNOLOGIES: Final = ("sram", "dram")
"""Of memories, in the order of the memory table."""

_MOST_POWERS: Final = 17
_KEPT_POWERS: Final = 16


@dataclass(frozen=True, slots=True)
class Processor:
    """A type of core or accelerator.

    Attributes:
        name: Its name.
        rate: Instructions per second.
        energy: J per instruction.
        area: m2.
        task: Name of the only task that it runs; None for a core, which runs all.
        unroll: How often the loop is unrolled; 1 for a core.
        multiplier: Clock as a multiple of the lowest; 1 for a core.
    """

    name: str
    rate: float
    energy: float
    area: float
    task: str | None = None
    unroll: int = 1
    multiplier: int = 1

    def runs(self, task: Task) -> bool:
        """Return whether it runs a task. A dummy takes no time and runs everywhere."""
        return self.task is None or self.task == task.name or not task.work


@dataclass(frozen=True, slots=True)
class Memory:
    """A type of memory.

    Attributes:
        name: Its name.
        technology: "sram" or "dram".
        bandwidth: Bytes per second, for reads and as much for writes.
        width_bytes: Width.
        clock_mhz: Clock.
    """

    name: str
    technology: str
    bandwidth: float
    width_bytes: int
    clock_mhz: int


@dataclass(frozen=True, slots=True)
class Bus:
    """A type of bus.

    Attributes:
        name: Its name.
        bandwidth: Bytes per second, for each way out and direction.
        width_bytes: Width.
        clock_mhz: Clock.
    """

    name: str
    bandwidth: float
    width_bytes: int
    clock_mhz: int


@dataclass(frozen=True)
class MemoryTable:
    """Figures of memories by technology, as in `TECHNOLOGIES`, and size, a multiple of a step.

    Attributes:
        step_bytes: The smallest size, of which all others are multiples.
        read: J per byte read, shape (technologies, sizes).
        write: J per byte written.
        area: m2.
    """

    step_bytes: int
    read: npt.NDArray[np.float64]
    write: npt.NDArray[np.float64]
    area: npt.NDArray[np.float64]

    @property
    def most_bytes(self) -> int:
        """The largest size."""
        return self.step_bytes * len(self.read[0])


@dataclass(frozen=True)
class Hardware:
    """What all blocks have in common.

    Attributes:
        settings: The content of `hardware/farsi.yaml`.
        table: Prices of memories.
    """

    settings: dict[str, Any]
    table: MemoryTable

    @property
    def multipliers(self) -> tuple[int, ...]:
        """Clocks of accelerators, memories and buses as multiples of the lowest one."""
        return tuple(self.settings["clock_multipliers"])

    @property
    def burst_bytes(self) -> int:
        """Bytes of the bursts in which tasks move data."""
        return int(self.settings["burst_bytes"])

    @property
    def power_window_s(self) -> float:
        """Time over which power is averaged, in seconds."""
        return float(self.settings["power_window_s"])

    @property
    def blocks(self) -> Blocks:
        """The figures that a workload may have others for."""
        core, memory = self.settings["core"], self.settings["memory"]
        return Blocks(
            core_clock_mhz=core["clock_mhz"],
            core_instructions_per_joule=core["instructions_per_joule"],
            core_area_m2=core["area_m2"],
            accelerator_clock_mhz=self.settings["accelerator"]["clock_mhz"],
            clock_mhz=memory["clock_mhz"],
            widths_bytes=tuple(memory["widths_bytes"]),
        )


@cache
def load_hardware() -> Hardware:
    """Return the figures that come with the library."""
    folder = files("archgym_py.configs") / "soc" / "arvr" / "hardware"
    with as_file(folder / "farsi.yaml") as path:
        settings = load_yaml(path)
    lines = (folder / settings["memory"]["table"]).read_text(encoding="utf-8").splitlines()
    rows = list(csv.DictReader(lines))
    sizes = sorted({int(row["size_bytes"]) for row in rows})
    figures = {
        (row["technology"], int(row["size_bytes"])): [
            float(row[column]) for column in ("read_j_per_byte", "write_j_per_byte", "area_m2")
        ]
        for row in rows
    }
    table = np.array([[figures[kind, size] for size in sizes] for kind in TECHNOLOGIES])
    return Hardware(
        settings, MemoryTable(sizes[0], *np.ascontiguousarray(table.transpose(2, 0, 1)))
    )


def hardware_of(workload: Workload) -> Hardware:
    """Return the figures for a workload: those of the library, and its own in their place."""
    hardware, own = load_hardware(), workload.blocks
    if own is None:
        return hardware
    common = {"clock_mhz": own.clock_mhz, "widths_bytes": list(own.widths_bytes)}
    changed: dict[str, dict[str, Any]] = {
        "core": {
            "clock_mhz": own.core_clock_mhz,
            "instructions_per_joule": own.core_instructions_per_joule,
            "area_m2": own.core_area_m2,
        },
        "accelerator": {"clock_mhz": own.accelerator_clock_mhz},
        "memory": common,
        "bus": common,
    }
    kinds = {kind: {**hardware.settings[kind], **figures} for kind, figures in changed.items()}
    return Hardware({**hardware.settings, **kinds}, hardware.table)


def unrolls(task: Task) -> tuple[int, ...]:
    """Return how often the loop of a task's accelerator can be unrolled.

    Args:
        task: A task with an accelerator.

    Examples:
        >>> unrolls(Task(name="t", a53_cycles=9, ip_cycles=5, ip_energy=1, ip_area=1,
        ...              loop_iterations=151))
        (1, 2, 4, 8, 16, 32, 64, 128, 151)
    """
    iterations = task.loop_iterations or 1
    powers = [1 << power for power in range(iterations.bit_length())]
    if len(powers) > _MOST_POWERS:
        powers = powers[:_KEPT_POWERS]
    return tuple(dict.fromkeys([*powers, iterations]))


_B = TypeVar("_B", Processor, Memory, Bus)


class BlockLibrary:
    """The types of blocks for a workload, in the order in which ArchGym's environment lists them.

    Args:
        workload: Its tasks have accelerators.
        hardware: Figures; by default those of `hardware_of`.

    Attributes:
        hardware: The figures.
        processors: The A53; then for each task its accelerators, by unrolling and then by clock.
        memories: DRAMs by width and then by clock, then SRAMs.
        buses: By width and then by clock.
    """

    def __init__(self, workload: Workload, hardware: Hardware | None = None) -> None:
        self.hardware = hardware or hardware_of(workload)
        settings = self.hardware.settings
        core = settings["core"]
        self.processors = (
            Processor(
                core["name"],
                core["instructions_per_cycle"] * core["clock_mhz"] * 1e6,
                1.0 / core["instructions_per_joule"],
                core["area_m2"],
            ),
            *(ip for task in workload.with_accelerators for ip in self._accelerators(task)),
        )
        memory = settings["memory"]
        self.memories = tuple(
            Memory(f"{kind}_{k}_{m}", technology, 1e6 * mhz * width * m, width, mhz * m)
            for mhz in [memory["clock_mhz"]]
            for kind, technology in memory["kinds"].items()
            for k, width in enumerate(memory["widths_bytes"])
            for m in self.hardware.multipliers
        )
        bus = settings["bus"]
        self.buses = tuple(
            Bus(f"{bus['kind']}_{k}_{m}", 1e6 * mhz * width * m, width, mhz * m)
            for mhz in [bus["clock_mhz"]]
            for k, width in enumerate(bus["widths_bytes"])
            for m in self.hardware.multipliers
        )

    def _accelerators(self, task: Task) -> list[Processor]:
        settings = self.hardware.settings["accelerator"]
        assert task.ip_cycles is not None
        assert task.ip_energy is not None
        assert task.ip_area is not None
        seconds = task.ip_cycles / (settings["clock_mhz"] * 1e6)
        energy = task.ip_energy * 1e-15 * settings["energy_scale"]
        area = task.ip_area * 1e-12 * settings["area_scale"]
        return [
            Processor(
                f"{task.name}_IP0_{unroll}_{multiplier}",
                multiplier * unroll * task.work / seconds,
                energy * unroll / task.work,
                area * unroll,
                task.name,
                unroll,
                multiplier,
            )
            for unroll in unrolls(task)
            for multiplier in self.hardware.multipliers
        ]

    def processor(self, name: str) -> Processor:
        """Return the type of processor with a name.

        Raises:
            UnknownNameError: If there is none.
        """
        return self.processors[self.processor_index(name)]

    def processor_index(self, name: str) -> int:
        """Return the place of a type of processor; see `processor`."""
        return _find("processor", name, self._places[0])

    def memory_index(self, name: str) -> int:
        """Return the place of a type of memory; raises as `processor` does."""
        return _find("memory", name, self._places[1])

    def bus_index(self, name: str) -> int:
        """Return the place of a type of bus; raises as `processor` does."""
        return _find("bus", name, self._places[2])

    @cached_property
    def _places(self) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
        return _by_name(self.processors), _by_name(self.memories), _by_name(self.buses)


def _by_name(blocks: Sequence[_B]) -> dict[str, int]:
    return {block.name: place for place, block in enumerate(blocks)}


def _find(what: str, name: str, places: dict[str, int]) -> int:
    if name not in places:
        raise UnknownNameError(
            f"there is no {what} {name!r} for this workload.{_nearest(name, list(places))}"
        )
    return places[name]


def _nearest(name: str, known: list[str]) -> str:
    """Return a hint; of hundreds of names only the closest one, or a few as examples."""
    near = did_you_mean(name, known)
    if near.startswith(" Did"):
        return near
    return f" It is one such as {', '.join(known[:: max(1, len(known) // 4)][:4])}."
