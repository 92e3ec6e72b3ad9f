"""Bounds of the model's results that hold for every system of so many blocks.

A task is never slower than on its slowest processor, or with the smallest bursts of all on a memory
or bus that every processor uses. As something always runs, the latency is at most the sum over the
tasks, and at least that of the longest chain with every task at its fastest.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from archgym_py.simulators.soc.arvr_kernel import COLUMNS
from archgym_py.simulators.soc.arvr_model import SoCModel

__all__ = ["bounds_of"]

_SLACK = 0.02  # the published model drops up to 1 % of the work; the rest is for roundings
_COST_OF_IP = 100.0
_COST_OF_PART = 0.1


class _Limits(NamedTuple):
    """What a task takes at least and at most, in SI units."""

    shortest: float
    longest: float
    least_energy: float
    most_energy: float
    least_memory_energy: float
    most_memory_energy: float
    most_power: float
    least_area: float
    most_accelerator_area: float


def bounds_of(model: SoCModel, slots: tuple[int, int, int]) -> dict[str, tuple[float, float]]:
    """Return bounds of all columns of the results.

    Args:
        model: The model.
        slots: Most processors, memories and buses of a system.

    Returns:
        The lowest and the highest value for each of `arvr_kernel.COLUMNS`, in SI units.
    """
    workload, blocks = model.workload, model.blocks
    n_processors, n_memories, n_buses = slots
    tasks = range(len(workload.tasks))
    limits = {
        number: _limits(model, number, n_processors) for number in tasks if workload.work[number]
    }
    every = list(limits.values())
    longest = sum(limit.longest for limit in every)
    energy = sum(limit.least_energy for limit in every), sum(limit.most_energy for limit in every)
    memory_energy = (
        sum(limit.least_memory_energy for limit in every),
        sum(limit.most_memory_energy for limit in every) + 1e-15,  # without edges there is none
    )
    total = energy[0] + memory_energy[0], energy[1] + memory_energy[1]
    core = max(block.area for block in blocks.processors if block.task is None)
    area = n_processors * core + sum(limit.most_accelerator_area for limit in every)
    memory_area = n_memories * float(blocks.hardware.table.area[:, : _sizes(model)].max())
    least_area = min(limit.least_area for limit in every)
    effort = sum(workload.work) / min(work for work in workload.work if work)
    ways = sum(len(workload.parents[number]) + 1 for number in tasks)
    parts = workload.bytes / 2**20 + n_memories + n_buses + ways * (n_buses + 2)
    bounds = {
        "latency_s": (_chain(model, limits), longest),
        "power_w": (total[0] / longest, sum(limit.most_power for limit in every)),
        "area_m2": (least_area, area + memory_area),
        "non_dram_area_m2": (least_area, area + memory_area),
        "dram_area_m2": (0.0, memory_area),
        "energy_j": total,
        "processor_energy_j": energy,
        "memory_energy_j": memory_energy,
        "development_cost": (effort, _COST_OF_IP * effort + _COST_OF_PART * parts),
        "processors": (0.0, float(n_processors)),
        "memories": (0.0, float(n_memories)),
        "buses": (0.0, float(n_buses)),
    }
    return {
        name: ((1.0 - _SLACK) * bounds[name][0], (1.0 + _SLACK) * bounds[name][1])
        for name in COLUMNS
    }


def _limits(model: SoCModel, number: int, n_processors: int) -> _Limits:
    """Return the limits of a task that is no dummy."""
    workload, blocks = model.workload, model.blocks
    task, table, sizes = workload.tasks[number], blocks.hardware.table, _sizes(model)
    kinds = [kind for kind in blocks.processors if kind.runs(task)]
    moved = [
        sum(workload.edges[edge].bytes for edge in edges)
        for edges in (workload.parents[number], workload.children[number])
    ]
    slowest_byte = min(
        *(memory.bandwidth for memory in blocks.memories), *(bus.bandwidth for bus in blocks.buses)
    )
    busy = min(n_processors, len(workload.tasks))
    ways = [
        amount / slowest_byte * busy * contention
        for amount, contention in zip(moved, model.contention(number), strict=True)
    ]
    fastest = max(kind.rate for kind in kinds)
    energies = [task.work * kind.energy for kind in kinds]
    prices = [table.read[:, :sizes], table.write[:, :sizes]]
    memory = (
        sum(amount * float(price.min()) for amount, price in zip(moved, prices, strict=True)),
        sum(amount * float(price.max()) for amount, price in zip(moved, prices, strict=True)),
    )
    return _Limits(
        shortest=task.work / fastest,
        longest=max(task.work / min(kind.rate for kind in kinds), *ways),
        least_energy=min(energies),
        most_energy=max(energies),
        least_memory_energy=memory[0],
        most_memory_energy=memory[1],
        most_power=max(kind.energy * kind.rate for kind in kinds) + memory[1] * fastest / task.work,
        least_area=min(kind.area for kind in kinds),
        most_accelerator_area=max(
            (kind.area for kind in kinds if kind.task is not None), default=0.0
        ),
    )


def _sizes(model: SoCModel) -> int:
    """Return how many sizes of the table a memory can have: it never holds more than all bytes."""
    table = model.blocks.hardware.table
    return min(len(table.read[0]), math.ceil(model.workload.bytes / table.step_bytes) + 1)


def _chain(model: SoCModel, limits: dict[int, _Limits]) -> float:
    """Return the time of the longest chain of tasks."""
    workload = model.workload
    ends: dict[int, float] = {}
    for number in workload.topological:
        before = (ends[workload.edges[edge].parent] for edge in workload.parents[number])
        alone = limits[number].shortest if number in limits else 0.0
        ends[number] = alone + max(before, default=0.0)
    return max(ends.values())
