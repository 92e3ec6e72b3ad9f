"""What an AR/VR system on a chip takes and costs: latency, power, area, energy, development cost.

The model is that of FARSI (Boroujerdian et al., ACM TECS 2022). Time passes in phases with constant
rates. In a phase each busy processor has one task, whose rate in instructions per second is the
least of

* that of the processor,
* for every bus and memory on the ways of its reads and writes, the bandwidth x the task's share of
  it / the bytes that the task moves there for each instruction.

A bus has a channel for each neighbour towards the memories and each direction. The active hops
that feed a channel get equal parts of it, and within a hop tasks share by the size of their bursts.
A task moves its smallest input in bursts of `burst_bytes`, and everything else in as many parts.
What a task moves through any channel of a bus in a direction counts against each of these channels.

Before it runs, a system is reduced to what is needed: links between buses that no task uses both of
are cut; then, depth first from the first processor, a bus that connects nothing but buses is
replaced by links between these, a bus with no memory and one neighbour hands its processors to it,
and a bus with no processor and one neighbour its memories. A bus costs neither energy nor area.

Power is the largest mean of a window, which is as many phases as reach 10 ms. Energy is that of the
instructions and of the bytes read and written; there is no leakage. A memory is as large as the
most that it holds: the outputs of a task are there from its launch until all of its children are
complete. A core that runs dummies only takes no area.

**What the original does and this does not**, unless `compat="farsi"` asks for it:

- A task is complete at 99 % of its work. Here at all of it.
- A task that becomes ready overtakes those that wait for the same processor. Here they are served
  in their order.
- Tasks that become ready together come in the order of a hash table (`kernel_order`). Here in the
  workload's, which is also the default with `compat`.
- Outputs are freed by way of a list of complete tasks, from which children are struck out when they
  free the outputs of one parent, so that those of another one may stay. Here each parent's outputs
  are freed when its children are complete.
- What a dummy without parents writes is never freed. Here like everything else.
- The windows of power lie as many phases too early as there are empty phases. Here each phase is in
  one window.
- Idle processors and memories stay on their bus, which may keep it. Here they are not built.
- An accelerator to which a dummy is mapped takes area. Here only if it has work.
- Durations of phases are differences of the clock, with its rounding. Here they are exact.

Kept is the approximation that one processor never has two tasks under way, and those of the
preceding paragraphs: they are the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from archgym_py.errors import ConfigError, InfeasibleDesign, did_you_mean
from archgym_py.simulators.soc import arvr_kernel
from archgym_py.simulators.soc.arvr_database import CORE, TECHNOLOGIES, BlockLibrary
from archgym_py.simulators.soc.arvr_design import SoC, designs_of
from archgym_py.simulators.soc.arvr_kernel import COLUMNS, Blocks, Designs, Detail, Graph
from archgym_py.simulators.soc.arvr_workloads import Budgets, Workload

__all__ = ["MET", "Result", "SoCModel", "burst_parts", "check_compat", "distances"]

MET = 0.001
"""A budget is met if the relative excess is below this."""

MET_DISTANCE = 1e-9
"""What a budget that is met adds to the distance."""

DAMPING = 10.0
"""By how much an excess counts less if its budget is met and the mode is "dampen"."""

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Result:
    """What a system does.

    Attributes:
        latency_s: Time from the first launch to the last completion, in s.
        power_w: Largest mean power of a window, in W.
        area_m2: Area of all blocks, in m2.
        dram_area_m2: That of the DRAMs.
        energy_j: Energy of a run, in J.
        processor_energy_j: That of the processors.
        memory_energy_j: That of the memories.
        development_cost: Effort, in units of programming the smallest task.
        kernels: Launch, start on its processor and completion of each task, in s.
        phases: Durations, in s.
        phase_energy: Energy of each phase, in J.
        phase_processor_energy: That of the processors.
        limits: For each phase, what sets the pace of each task that is under way and no dummy: the
            name of its processor, or of a bus or memory.
        block_energy: Energy of each processor and memory that is built, in J.
        block_area: Area of each block that is built, in m2.
        peak_bytes: Most bytes that each memory that is built holds.
        buses: The bus that each processor and memory is on in the end, if any.
        links: Pairs of buses that are linked in the end.
    """

    latency_s: float
    power_w: float
    area_m2: float
    dram_area_m2: float
    energy_j: float
    processor_energy_j: float
    memory_energy_j: float
    development_cost: float
    kernels: Mapping[str, tuple[float, float, float]]
    phases: tuple[float, ...]
    phase_energy: tuple[float, ...]
    phase_processor_energy: tuple[float, ...]
    limits: tuple[Mapping[str, str], ...]
    block_energy: Mapping[str, float]
    block_area: Mapping[str, float]
    peak_bytes: Mapping[str, int]
    buses: Mapping[str, str]
    links: tuple[tuple[str, str], ...]


class SoCModel:
    """Evaluates systems that run a workload.

    Args:
        workload: What they run.
        compat: "farsi" for what the original does; None for what is right.

    Attributes:
        workload: The workload.
        blocks: The types of blocks for it.

    Raises:
        ConfigError: If `compat` is unknown.
    """

    def __init__(self, workload: Workload, *, compat: str | None = None) -> None:
        self._farsi = check_compat(compat) == "farsi"
        self.workload = workload
        self.blocks = BlockLibrary(workload)
        self._graph = _graph_of(workload, self.blocks.hardware.burst_bytes)

    def evaluate(self, soc: SoC, *, kernel_order: Sequence[str] | None = None) -> Result:
        """Evaluate a system.

        Args:
            soc: The system.
            kernel_order: Names of all tasks, in the order in which those that become ready at the
                same time are launched; None for the workload's.

        Raises:
            ConfigError: If the order does not have every task once, or the mapping is incomplete.
            UnknownNameError: If a type of block or a task does not exist.
            InfeasibleDesign: If a processor cannot run a task, there is no way from a task's
                processor to a memory, or a memory would have to be larger than any.
        """
        designs = designs_of([soc], self.workload, self.blocks)
        graph = self._graph
        if kernel_order is not None:
            order = [self.workload.index(name) for name in kernel_order]
            if sorted(order) != list(range(len(order))) or len(order) != len(self.workload.tasks):
                raise ConfigError("kernel_order must have every task of the workload once.")
            graph = graph._replace(order=np.array(order, np.int64))
        table, verdicts, detail = self._simulate(graph, designs)
        if reason := self.reason(verdicts[0], list(soc.memories)):
            raise InfeasibleDesign(reason)
        return self._result(soc, table[0], detail)

    def evaluate_arrays(self, designs: Designs) -> tuple[_Floats, npt.NDArray[np.int64]]:
        """Evaluate designs that are legal but for ways that may be missing.

        Args:
            designs: N designs.

        Returns:
            The results, shape (N, len(arvr_kernel.COLUMNS)), and the verdicts, shape (N, 3); see
            `arvr_kernel` and `reason`.
        """
        table, verdicts, _ = self._simulate(self._graph, designs)
        return table, verdicts

    def reason(self, verdict: npt.NDArray[np.int64], memories: Sequence[str]) -> str:
        """Return why a design cannot work, "" if it can.

        Args:
            verdict: A row of the verdicts.
            memories: Names of the memories.
        """
        kind, first, second = verdict.tolist()
        if kind == arvr_kernel.UNREACHABLE:
            return (
                f"there is no way from the processor of task {self.workload.names[first]!r} to "
                f"memory {memories[second]!r}, which it reads or writes. Put the memory on a bus, "
                f"and link the buses between them."
            )
        if kind == arvr_kernel.TOO_LARGE:
            return (
                f"memory {memories[first]!r} would have to hold more than the largest one, "
                f"{self.blocks.hardware.table.most_bytes} bytes. Spread the tasks over more "
                f"memories."
            )
        return ""

    def contention(self, task: int) -> tuple[float, float]:
        """Return by how much less than an equal part a task can get of a shared way.

        Args:
            task: Number of the task.

        Returns:
            For reads and for writes, the bursts of all tasks over the smallest one of this task; 0
            if it has none.
        """
        shares = []
        for units, edges in (
            (self._graph.read_unit, self.workload.parents[task]),
            (self._graph.write_unit, self.workload.children[task]),
        ):
            own = [float(units[edge]) for edge in edges]
            shares.append(float(units.sum()) / min(own) if own else 0.0)
        return shares[0], shares[1]

    def _simulate(
        self, graph: Graph, designs: Designs
    ) -> tuple[_Floats, npt.NDArray[np.int64], Detail]:
        table = np.empty((len(designs.processor), len(COLUMNS)))
        verdicts = np.empty((len(designs.processor), 3), np.int64)
        detail = _empty_detail(designs)
        window_s = self.blocks.hardware.power_window_s
        arvr_kernel.simulate(
            graph, self._rates, designs, self._farsi, window_s, table, verdicts, detail
        )
        return table, verdicts, detail

    @cached_property
    def _rates(self) -> Blocks:
        processors, memories = self.blocks.processors, self.blocks.memories
        table = self.blocks.hardware.table
        return Blocks(
            processor_rate=np.array([block.rate for block in processors]),
            processor_energy=np.array([block.energy for block in processors]),
            processor_area=np.array([block.area for block in processors]),
            is_core=np.array([block.name == CORE for block in processors], np.uint8),
            memory_rate=np.array([block.bandwidth for block in memories]),
            technology=np.array([TECHNOLOGIES.index(m.technology) for m in memories], np.int64),
            bus_rate=np.array([block.bandwidth for block in self.blocks.buses]),
            read_energy=table.read,
            write_energy=table.write,
            memory_area=table.area,
            step_bytes=float(table.step_bytes),
        )

    def _result(self, soc: SoC, row: _Floats, detail: Detail) -> Result:
        value = dict(zip(COLUMNS, row.tolist(), strict=True))
        phases = int(detail.phases[0])
        processors = _where(list(soc.processors), detail.processor_built)
        memories = _where(list(soc.memories), detail.memory_built)
        buses = list(soc.buses)
        times = zip(
            detail.launch.tolist(), detail.start.tolist(), detail.finish.tolist(), strict=True
        )
        return Result(
            latency_s=value["latency_s"],
            power_w=value["power_w"],
            area_m2=value["area_m2"],
            dram_area_m2=value["dram_area_m2"],
            energy_j=value["energy_j"],
            processor_energy_j=value["processor_energy_j"],
            memory_energy_j=value["memory_energy_j"],
            development_cost=value["development_cost"],
            kernels=dict(zip(self.workload.names, times, strict=True)),
            phases=tuple(detail.phase_s[:phases].tolist()),
            phase_energy=tuple(detail.phase_j[:phases].tolist()),
            phase_processor_energy=tuple(detail.phase_processor_j[:phases].tolist()),
            limits=tuple(self._limits(soc, row) for row in detail.limit[:phases].tolist()),
            block_energy={
                **{name: float(detail.processor_j[p]) for p, name in processors},
                **{name: float(detail.memory_j[m]) for m, name in memories},
            },
            block_area={
                **{name: float(detail.processor_area[p]) for p, name in processors},
                **{name: float(detail.memory_area[m]) for m, name in memories},
                **{name: 0.0 for _, name in _where(buses, detail.bus_built)},
            },
            peak_bytes={name: round(float(detail.peak_bytes[m])) for m, name in memories},
            buses={
                name: buses[bus]
                for names, places in (
                    (soc.processors, detail.processor_bus),
                    (soc.memories, detail.memory_bus),
                )
                for name, bus in zip(names, places.tolist(), strict=True)
                if bus >= 0 and detail.bus_built[bus]
            },
            links=tuple(
                (buses[x], buses[y])
                for x in range(len(buses))
                for y in range(x)
                if detail.link[x, y] and detail.bus_built[x]
            ),
        )

    def _limits(self, soc: SoC, row: Sequence[int]) -> dict[str, str]:
        """Return what sets the pace of the tasks in a phase; see `arvr_kernel.Detail`."""
        shared = [*soc.buses, *soc.memories]
        return {
            name: soc.tasks[name].processor if place < 0 else shared[place]
            for name, place in zip(self.workload.names, row, strict=True)
            if place > -2
        }


def check_compat(compat: str | None) -> Literal["farsi"] | None:
    """Return `compat` if it is known.

    Raises:
        ConfigError: If it is not.

    Examples:
        >>> check_compat("farsy")
        Traceback (most recent call last):
        archgym_py.errors.ConfigError: unknown compat 'farsy'. Did you mean 'farsi'?
    """
    if compat is None:
        return None
    if compat == "farsi":
        return "farsi"
    raise ConfigError(f"unknown compat {compat!r}.{did_you_mean(str(compat), ['farsi'])}")


def burst_parts(workload: Workload, task: int, burst_bytes: int) -> int:
    """Return in how many bursts a task moves its data.

    It is as many as its smallest input has bursts of `burst_bytes`; a single one if the input is
    smaller than that, or if a burst of an output or the work between two bursts would be empty.

    Args:
        workload: The workload.
        task: Number of the task.
        burst_bytes: Size of a burst of the smallest input.
    """
    inputs = [workload.edges[edge].bytes for edge in workload.parents[task]]
    if not workload.work[task] or not inputs:
        return 1
    parts = int(min(inputs) // burst_bytes)
    outputs = [workload.edges[edge].bytes for edge in workload.children[task]]
    if parts and min([*outputs, workload.work[task]]) // parts >= 1:
        return parts
    return 1


def distances(
    result: Mapping[str, float], budgets: Budgets, mode: str = "eliminate"
) -> dict[str, float]:
    """Return how far a design is from its budgets, in four parts.

    A relative excess is (value - budget) / budget. That of the area is taken of the blocks that are
    no DRAM and of the DRAMs, each against the whole budget. A budget is met if its excess is below
    `MET`.

    Args:
        result: `latency_s`, `power_w`, `area_m2` and `dram_area_m2`.
        budgets: The budgets.
        mode: What a part is: "excess", the relative excess itself; "eliminate", the excess, or
            `MET_DISTANCE` if the budget is met; "dampen", the excess, or a tenth of its absolute
            value if the budget is met; "simple", its absolute value.

    Returns:
        The parts `latency`, `power`, `area` and `dram_area`; their sum is the distance.

    Raises:
        ConfigError: If the mode is unknown.

    Examples:
        >>> result = dict(latency_s=0.068, power_w=0.005, area_m2=1e-5, dram_area_m2=0.0)
        >>> distances(result, Budgets(latency_ms=34, power_mw=10, area_mm2=20))
        {'latency': 1.0, 'power': 1e-09, 'area': 1e-09, 'dram_area': 1e-09}
    """
    modes = ("excess", "eliminate", "dampen", "simple")
    if mode not in modes:
        raise ConfigError(f"unknown mode {mode!r}.{did_you_mean(str(mode), modes)}")
    dram = result["dram_area_m2"]
    excess = {
        "latency": result["latency_s"] * 1e3 / budgets.latency_ms - 1.0,
        "power": result["power_w"] * 1e3 / budgets.power_mw - 1.0,
        "area": (result["area_m2"] - dram) * 1e6 / budgets.area_mm2 - 1.0,
        "dram_area": dram * 1e6 / budgets.area_mm2 - 1.0,
    }
    if mode == "excess":
        return excess
    if mode == "simple":
        return {name: abs(value) for name, value in excess.items()}
    if mode == "dampen":
        return {
            name: abs(value) / DAMPING if value < MET else value for name, value in excess.items()
        }
    return {name: MET_DISTANCE if value < MET else value for name, value in excess.items()}


def _where(names: Sequence[str], flags: npt.NDArray[np.uint8]) -> list[tuple[int, str]]:
    return [(place, name) for place, name in enumerate(names) if flags[place]]


def _graph_of(workload: Workload, burst_bytes: int) -> Graph:
    parts = [burst_parts(workload, task, burst_bytes) for task in range(len(workload.tasks))]
    edges = workload.edges
    return Graph(
        work=np.array(workload.work),
        parent_start=np.cumsum([0, *map(len, workload.parents)]).astype(np.int64),
        parent_edge=np.array([e for group in workload.parents for e in group], np.int64),
        child_start=np.cumsum([0, *map(len, workload.children)]).astype(np.int64),
        child_edge=np.array([e for group in workload.children for e in group], np.int64),
        parent=np.array([edge.parent for edge in edges], np.int64),
        child=np.array([edge.child for edge in edges], np.int64),
        size=np.array([edge.bytes for edge in edges], np.float64),
        read_unit=np.array([e.bytes // parts[e.child] for e in edges], np.float64),
        write_unit=np.array([e.bytes // parts[e.parent] for e in edges], np.float64),
        order=np.arange(len(workload.tasks)),
        least_work=min(work for work in workload.work if work),
    )


def _empty_detail(designs: Designs) -> Detail:
    tasks, processors = designs.task_processor.shape[1], designs.processor.shape[1]
    memories, buses = designs.memory.shape[1], designs.bus.shape[1]
    return Detail(
        launch=np.zeros(tasks),
        start=np.zeros(tasks),
        finish=np.zeros(tasks),
        phase_s=np.zeros(tasks + 2),
        phase_j=np.zeros(tasks + 2),
        phase_processor_j=np.zeros(tasks + 2),
        limit=np.zeros((tasks + 2, tasks), np.int64),
        phases=np.zeros(1, np.int64),
        processor_j=np.zeros(processors),
        memory_j=np.zeros(memories),
        peak_bytes=np.zeros(memories),
        processor_area=np.zeros(processors),
        memory_area=np.zeros(memories),
        processor_built=np.zeros(processors, np.uint8),
        memory_built=np.zeros(memories, np.uint8),
        bus_built=np.zeros(buses, np.uint8),
        processor_bus=np.zeros(processors, np.int64),
        memory_bus=np.zeros(memories, np.int64),
        link=np.zeros((buses, buses), np.uint8),
    )
