"""The model of an AR/VR system on a chip, compiled by numba: what a design takes and costs.

How a design is evaluated (`simulate`):

1. `_build` removes what is not needed: links between buses that share no task, and buses that only
   pass on what comes from one side.
2. `_route` finds the shortest way from each processor to each memory, and `_load` puts the reads
   and writes of all tasks on the hops of their ways.
3. `_execute` runs the tasks in phases. In a phase each busy processor has one task, and a task is
   as fast as its slowest part allows (`_rates`); the phase ends when the first task does.
4. `_price` adds up energy, power, area and development cost.

A hop is a pair of neighbours on the way from a processor to a memory, once for reads and once for
writes. A bus has a channel for every hop that leaves it, fed by the hops that enter it; a memory
has one for reads and one for writes.

Every compiled function of the model lies in this file on purpose: numba's cache on disk watches
only the file of the function that is called, so a helper in another module could change without
being recompiled.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = [
    "COLUMNS",
    "OK",
    "TOO_LARGE",
    "UNREACHABLE",
    "Blocks",
    "Designs",
    "Detail",
    "Graph",
    "simulate",
]

COLUMNS: Final = (
    *("latency_s", "power_w", "area_m2", "non_dram_area_m2", "dram_area_m2"),
    *("energy_j", "processor_energy_j", "memory_energy_j"),
    *("development_cost", "processors", "memories", "buses"),
)
"""Columns of the result."""
(
    _LATENCY,
    _POWER,
    _AREA,
    _NON_DRAM_AREA,
    _DRAM_AREA,
    _ENERGY,
    _PROCESSOR_ENERGY,
    _MEMORY_ENERGY,
    _COST,
    _PROCESSORS,
    _MEMORIES,
    _BUSES,
) = range(len(COLUMNS))

OK, UNREACHABLE, TOO_LARGE = range(3)
"""Verdicts. Behind UNREACHABLE come the task and the memory, behind TOO_LARGE the memory."""

_READ, _WRITE = 0, 1
_DRAM = 1  # its place in `arvr_database.TECHNOLOGIES`

_COMPLETE_FARSI = 0.99  # share of its work with which the original calls a task complete
_COMPLETE = 1.0 - 1e-9  # the rest is rounding
_BANK_BYTES = 1048576.0  # of a memory's banks, for the development cost
_IP_EFFORT = 100.0  # development cost of an accelerator, relative to software
_PART_EFFORT = 0.1  # of a bank, a bus, and a block on a way

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]
_Flags = npt.NDArray[np.uint8]


class Graph(NamedTuple):
    """A workload of T tasks and E edges.

    Attributes:
        work: Instructions of each task.
        parent_start: Where the parents of each task start in `parent_edge`, shape (T + 1,).
        parent_edge: Edges, by the task that reads.
        child_start: Where the children of each task start in `child_edge`.
        child_edge: Edges, by the task that writes.
        parent: The task that writes, for each edge.
        child: The task that reads.
        size: Bytes.
        read_unit: Bytes that the child reads in one of its bursts.
        write_unit: Bytes that the parent writes in one of its bursts.
        order: Tasks in the order in which those that start together come.
        least_work: The least work of a task that is no dummy.
    """

    work: _Floats
    parent_start: _Ints
    parent_edge: _Ints
    child_start: _Ints
    child_edge: _Ints
    parent: _Ints
    child: _Ints
    size: _Floats
    read_unit: _Floats
    write_unit: _Floats
    order: _Ints
    least_work: float


class Blocks(NamedTuple):
    """Types of blocks: rates per second, J per instruction or byte, areas in m2.

    Attributes:
        processor_rate: Instructions per second.
        processor_energy: J per instruction.
        processor_area: Area.
        is_core: 1 for a core, 0 for an accelerator.
        memory_rate: Bytes per second in each direction.
        technology: Row of the memory's technology in the tables.
        bus_rate: Bytes per second for each channel.
        read_energy: J per byte read, by technology and size.
        write_energy: J per byte written.
        memory_area: Area.
        step_bytes: The smallest size of a memory.
    """

    processor_rate: _Floats
    processor_energy: _Floats
    processor_area: _Floats
    is_core: _Flags
    memory_rate: _Floats
    technology: _Ints
    bus_rate: _Floats
    read_energy: _Floats
    write_energy: _Floats
    memory_area: _Floats
    step_bytes: float


class Designs(NamedTuple):
    """N designs with P processors, M memories and B buses.

    Attributes:
        processor: Types of the processors, -1 for none, shape (N, P).
        processor_bus: The bus of each.
        memory: Types of the memories, -1 for none, shape (N, M).
        memory_bus: The bus of each, -1 for none.
        bus: Types of the buses, shape (N, B).
        link: 1 where two buses are linked, symmetric, shape (N, B, B).
        task_processor: Where each task runs, shape (N, T).
        task_memory: Where each task writes.
    """

    processor: _Ints
    processor_bus: _Ints
    memory: _Ints
    memory_bus: _Ints
    bus: _Ints
    link: _Flags
    task_processor: _Ints
    task_memory: _Ints


class Detail(NamedTuple):
    """What the last design of a call did.

    Attributes:
        launch: Time at which each task was launched, in s, shape (T,).
        start: Time at which it first had its processor, in s.
        finish: Time at which it was complete, in s.
        phase_s: Durations of the phases, shape (T + 2,).
        phase_j: Energies of the phases.
        phase_processor_j: Energies of the processors in the phases.
        limit: What sets the pace of each task in each phase, shape (T + 2, T): -1 for its
            processor, then the buses and behind them the memories; -2 for a task that is not active
            or a dummy.
        phases: Their number, shape (1,).
        processor_j: Energy of each processor.
        memory_j: Energy of each memory.
        peak_bytes: Most bytes that each memory held.
        processor_area: In m2, 0 for a processor that is not built.
        memory_area: In m2, 0 for a memory that is not built.
        processor_built: 1 for a processor that has tasks.
        memory_built: 1 for a memory that holds something.
        bus_built: 1 for a bus that is left.
        processor_bus: The bus of each processor in the end, -1 for none.
        memory_bus: The bus of each memory in the end, -1 for none.
        link: Links between buses in the end.
    """

    launch: _Floats
    start: _Floats
    finish: _Floats
    phase_s: _Floats
    phase_j: _Floats
    phase_processor_j: _Floats
    limit: _Ints
    phases: _Ints
    processor_j: _Floats
    memory_j: _Floats
    peak_bytes: _Floats
    processor_area: _Floats
    memory_area: _Floats
    processor_built: _Flags
    memory_built: _Flags
    bus_built: _Flags
    processor_bus: _Ints
    memory_bus: _Ints
    link: _Flags


class _Loads(NamedTuple):
    """Hops that each task uses, K at most.

    Attributes:
        hops: Number of hops of each task.
        hop: Numbers of the hops, shape (T, K).
        unit: Bytes of the task's bursts on each hop.
        fed_by: Place in the list of the hop before, -1 if the hop leaves a processor.
        source: Where the hop before comes from: a processor, or P and a bus.
        bus: The bus that the hop leaves.
        bus_rate: Bytes per second of the bus that the hop leaves.
        bus_ratio: Bytes per instruction of the task on that bus.
        memory: The memory that the hop enters, -1 if it enters a bus.
        memory_rate: Bytes per second of that memory.
        memory_ratio: Bytes per instruction of the task on that memory.
    """

    hops: _Ints
    hop: _Ints
    unit: _Floats
    fed_by: _Ints
    source: _Ints
    bus: _Ints
    bus_rate: _Floats
    bus_ratio: _Floats
    memory: _Ints
    memory_rate: _Floats
    memory_ratio: _Floats


class _Scratch(NamedTuple):
    """Working space of one design; what it holds is said where it is used."""

    previous: _Ints
    queue: _Ints
    on_bus: _Ints
    order: _Ints
    seen: _Flags
    bus_sum: _Floats
    place: _Ints
    place_stamp: _Ints
    total: _Floats
    total_stamp: _Ints
    feeders: _Ints
    mark: _Ints
    rate: _Floats
    left: _Floats
    tokens: _Ints
    active: _Ints
    next_active: _Ints
    waiting: _Ints
    next_waiting: _Ints
    done: _Flags
    listed: _Flags
    held: _Floats
    read: _Floats
    written: _Floats
    processor_busy: _Flags


@njit(cache=True, nogil=True, error_model="numpy")
def simulate(
    graph: Any,
    blocks: Any,
    designs: Any,
    farsi: Any,
    window_s: Any,
    table: Any,
    verdicts: Any,
    detail: Any,
) -> None:
    """Evaluate designs.

    Args:
        graph: A `Graph`.
        blocks: `Blocks`.
        designs: `Designs`.
        farsi: Whether to do what the original does where `arvr_model` says that it is wrong.
        window_s: Time over which power is averaged.
        table: Takes the results, float64 of shape (N, len(COLUMNS)).
        verdicts: Takes the verdicts, int64 of shape (N, 3).
        detail: `Detail`, takes what the last design did.
    """
    n, n_p = designs.processor.shape
    n_m, n_b, n_t = designs.memory.shape[1], designs.bus.shape[1], len(graph.work)
    hops = 2 * (n_p + n_m + n_b * n_b)
    most = 2 * (n_b + n_m)
    loads = _Loads(
        np.zeros(n_t, np.int64),
        np.zeros((n_t, most), np.int64),
        np.zeros((n_t, most), np.float64),
        np.zeros((n_t, most), np.int64),
        np.zeros((n_t, most), np.int64),
        np.zeros((n_t, most), np.int64),
        np.zeros((n_t, most), np.float64),
        np.zeros((n_t, most), np.float64),
        np.zeros((n_t, most), np.int64),
        np.zeros((n_t, most), np.float64),
        np.zeros((n_t, most), np.float64),
    )
    scratch = _Scratch(
        np.zeros((n_b, n_b), np.int64),
        np.zeros(n_b * n_b + n_b, np.int64),
        np.zeros(n_b, np.int64),
        np.zeros(n_b, np.int64),
        np.zeros(n_b, np.uint8),
        np.zeros(n_b, np.float64),
        np.zeros(hops, np.int64),
        np.zeros(hops, np.int64),
        np.zeros(hops, np.float64),
        np.zeros(hops, np.int64),
        np.zeros(hops, np.int64),
        np.zeros((hops, n_p + n_b), np.int64),
        np.zeros(n_t, np.float64),
        np.zeros(n_t, np.float64),
        np.zeros(n_t, np.int64),
        np.zeros(n_t, np.int64),
        np.zeros(n_t, np.int64),
        np.zeros(n_t, np.int64),
        np.zeros(n_t, np.int64),
        np.zeros(n_t, np.uint8),
        np.zeros(n_t, np.uint8),
        np.zeros(n_m, np.float64),
        np.zeros((n_t + 2, n_m), np.float64),
        np.zeros((n_t + 2, n_m), np.float64),
        np.zeros(n_p, np.uint8),
    )
    stamp = 0
    for i in range(n):
        verdicts[i, :] = 0
        table[i, :] = 0.0
        if not _build(graph, designs, i, farsi, detail, scratch, verdicts[i]):
            continue
        stamp = _load(graph, blocks, designs, i, loads, detail, scratch, stamp)
        stamp = _execute(graph, blocks, designs, i, farsi, loads, detail, scratch, stamp)
        _price(graph, blocks, designs, i, farsi, window_s, detail, scratch, table[i], verdicts[i])


# ---- the blocks that are left ------------------------------------------------------------------


@njit(cache=True, nogil=True, error_model="numpy")
def _build(
    graph: Any, designs: Any, i: Any, farsi: Any, detail: Any, scratch: Any, verdict: Any
) -> Any:
    """Fill the parts of `detail` that say what is built; return whether all ways exist."""
    n_p, n_m, n_b = len(detail.processor_bus), len(detail.memory_bus), len(detail.bus_built)
    task_processor, task_memory = designs.task_processor[i], designs.task_memory[i]
    detail.processor_built[:] = 0
    detail.memory_built[:] = 0
    detail.link[:] = designs.link[i]
    for t in range(len(graph.work)):
        detail.processor_built[task_processor[t]] = 1
    for e in range(len(graph.size)):
        detail.memory_built[task_memory[graph.parent[e]]] = 1
    for p in range(n_p):
        # The original leaves idle blocks where they are, which may keep a bus alive.
        keep = detail.processor_built[p] or (farsi and designs.processor[i, p] >= 0)
        detail.processor_bus[p] = designs.processor_bus[i, p] if keep else -1
    for m in range(n_m):
        keep = detail.memory_built[m] or (farsi and designs.memory[i, m] >= 0)
        detail.memory_bus[m] = designs.memory_bus[i, m] if keep else -1

    _route(detail, scratch)
    on_bus = scratch.on_bus  # sets of tasks
    on_bus[:] = 0
    for e in range(len(graph.size)):
        m = task_memory[graph.parent[e]]
        for t in (graph.parent[e], graph.child[e]):
            first, b = detail.processor_bus[task_processor[t]], detail.memory_bus[m]
            if b < 0 or scratch.previous[first, b] == -2:
                verdict[0], verdict[1], verdict[2] = UNREACHABLE, t, m
                return False
            while b >= 0:
                on_bus[b] |= np.int64(1) << np.int64(t)
                b = scratch.previous[first, b]
    for x in range(n_b):
        for y in range(x):
            if on_bus[x] & on_bus[y] == 0:
                detail.link[x, y] = 0
                detail.link[y, x] = 0

    count = _walk(detail, scratch)
    for k in range(count):
        b = scratch.order[k]
        if _attached(detail.processor_bus, b) == 0 and _attached(detail.memory_bus, b) == 0:
            for x in range(n_b):
                if detail.link[b, x]:
                    for y in range(x):
                        if detail.link[b, y]:
                            detail.link[x, y] = 1
                            detail.link[y, x] = 1
            _remove(detail, b)
    for k in range(count):
        b = scratch.order[k]
        if detail.bus_built[b] and _attached(detail.memory_bus, b) == 0:
            _hand_over(detail, detail.processor_bus, b)
    for k in range(count):
        b = scratch.order[k]
        if detail.bus_built[b] and _attached(detail.processor_bus, b) == 0:
            _hand_over(detail, detail.memory_bus, b)
    _route(detail, scratch)
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def _route(detail: Any, scratch: Any) -> None:
    """Fill `previous[s, b]`: the bus before b on a shortest way from s; -1 for s, -2 for none.

    Rows of buses without a processor are left as they are: no way begins there.
    """
    n_b = len(detail.link)
    link, previous, queue = detail.link, scratch.previous, scratch.queue
    for s in range(n_b):
        if _attached(detail.processor_bus, s) == 0:
            continue
        previous[s, :] = -2
        previous[s, s] = -1
        queue[0] = s
        first, last = 0, 1
        while first < last:
            x = queue[first]
            first += 1
            for y in range(n_b):
                if link[x, y] and previous[s, y] == -2:
                    previous[s, y] = x
                    queue[last] = y
                    last += 1


@njit(cache=True, nogil=True, error_model="numpy")
def _walk(detail: Any, scratch: Any) -> Any:
    """List buses depth first from the buses of the processors, and count them.

    The walk begins at the first processor, and goes on at others that have tasks.
    """
    n_b = len(detail.bus_built)
    detail.bus_built[:] = 0
    stack, count = scratch.queue, 0
    for p in range(len(detail.processor_bus)):
        if detail.processor_bus[p] < 0 or not (p == 0 or detail.processor_built[p]):
            continue
        stack[0] = detail.processor_bus[p]
        depth = 1
        while depth:
            depth -= 1
            x = stack[depth]
            if detail.bus_built[x]:
                continue
            detail.bus_built[x] = 1
            scratch.order[count] = x
            count += 1
            for y in range(n_b - 1, -1, -1):
                if detail.link[x, y] and not detail.bus_built[y]:
                    stack[depth] = y
                    depth += 1
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _attached(buses: Any, b: Any) -> Any:
    """Count the blocks on a bus."""
    count = 0
    for k in range(len(buses)):
        if buses[k] == b:
            count += 1
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _remove(detail: Any, b: Any) -> None:
    detail.bus_built[b] = 0
    detail.link[b, :] = 0
    detail.link[:, b] = 0


@njit(cache=True, nogil=True, error_model="numpy")
def _hand_over(detail: Any, buses: Any, b: Any) -> None:
    """Move the blocks of a bus to its neighbour and remove it, if it has a single neighbour."""
    neighbour, count = -1, 0
    for x in range(len(detail.bus_built)):
        if detail.link[b, x]:
            neighbour = x
            count += 1
    if count == 1:
        for k in range(len(buses)):
            if buses[k] == b:
                buses[k] = neighbour
        _remove(detail, b)


# ---- reads and writes on their ways ------------------------------------------------------------


@njit(cache=True, nogil=True, error_model="numpy")
def _load(
    graph: Any,
    blocks: Any,
    designs: Any,
    i: Any,
    loads: Any,
    detail: Any,
    scratch: Any,
    stamp: Any,
) -> Any:
    """Fill `loads`; return the last stamp that was used."""
    n_p, n_m, n_b = len(detail.processor_bus), len(detail.memory_bus), len(detail.bus_built)
    one_way = n_p + n_m + n_b * n_b
    previous, bus_sum = scratch.previous, scratch.bus_sum
    for t in range(len(graph.work)):
        loads.hops[t] = 0
        if graph.work[t] == 0.0:
            continue  # a dummy takes no time, whatever it moves
        stamp += 1
        p = designs.task_processor[i, t]
        first = detail.processor_bus[p]
        for way in (_READ, _WRITE):
            start, edges, units = graph.child_start, graph.child_edge, graph.write_unit
            if way == _READ:
                start, edges, units = graph.parent_start, graph.parent_edge, graph.read_unit
            begin = loads.hops[t]
            bus_sum[:] = 0.0
            for k in range(start[t], start[t + 1]):
                e = edges[k]
                m = designs.task_memory[i, graph.parent[e]]
                ratio = graph.size[e] / graph.work[t]
                b = detail.memory_bus[m]
                at = _use(loads, scratch, stamp, t, way * one_way + n_p + m, units[e])
                loads.memory[t, at] = m
                loads.memory_rate[t, at] = blocks.memory_rate[designs.memory[i, m]]
                loads.memory_ratio[t, at] += ratio
                while True:
                    bus_sum[b] += ratio
                    before = previous[first, b]
                    if before >= 0:
                        source = n_p + before
                        hop = way * one_way + n_p + n_m + before * n_b + b
                    else:
                        source = p
                        hop = way * one_way + p
                    into = _use(loads, scratch, stamp, t, hop, units[e])
                    loads.fed_by[t, at] = into
                    loads.source[t, at] = source
                    loads.bus[t, at] = b
                    loads.bus_rate[t, at] = blocks.bus_rate[designs.bus[i, b]]
                    if before < 0:
                        break
                    at, b = into, before
            for k in range(begin, loads.hops[t]):
                if loads.fed_by[t, k] >= 0:
                    loads.bus_ratio[t, k] = bus_sum[loads.bus[t, k]]
    return stamp


@njit(cache=True, nogil=True, error_model="numpy")
def _use(loads: Any, scratch: Any, stamp: Any, t: Any, hop: Any, unit: Any) -> Any:
    """Add bytes to a hop of a task, and return its place in the task's list."""
    if scratch.place_stamp[hop] != stamp:
        scratch.place_stamp[hop] = stamp
        k = loads.hops[t]
        loads.hops[t] += 1
        scratch.place[hop] = k
        loads.hop[t, k] = hop
        loads.unit[t, k] = 0.0
        loads.fed_by[t, k] = -1
        loads.memory[t, k] = -1
        loads.memory_ratio[t, k] = 0.0
    k = scratch.place[hop]
    loads.unit[t, k] += unit
    return k


# ---- phases ------------------------------------------------------------------------------------


@njit(cache=True, nogil=True, error_model="numpy")
def _execute(
    graph: Any,
    blocks: Any,
    designs: Any,
    i: Any,
    farsi: Any,
    loads: Any,
    detail: Any,
    scratch: Any,
    stamp: Any,
) -> Any:
    """Run all tasks; return the last stamp that was used."""
    n_t = len(graph.work)
    complete = _COMPLETE_FARSI if farsi else _COMPLETE
    task_processor, task_memory = designs.task_processor[i], designs.task_memory[i]
    left, tokens, done = scratch.left, scratch.tokens, scratch.done
    active, waiting = scratch.active, scratch.waiting
    next_active, next_waiting = scratch.next_active, scratch.next_waiting
    left[:] = graph.work
    tokens[:] = 0
    done[:] = 0
    scratch.listed[:] = 0
    scratch.held[:] = 0.0
    scratch.read[:] = 0.0
    scratch.written[:] = 0.0
    detail.peak_bytes[:] = 0.0
    detail.phase_processor_j[:] = 0.0
    detail.processor_j[:] = 0.0
    detail.launch[:] = -1.0
    detail.start[:] = -1.0
    n_active, n_waiting, n_done, phase, now = 0, 0, 0, 0, 0.0
    while True:
        stamp += 1
        limit = detail.limit[phase]
        limit[:] = -2
        dt = _rates(graph, blocks, designs, i, loads, scratch, n_active, stamp, limit)
        if farsi:  # which takes the duration from the clock, with its rounding
            dt = now + dt - now
        now += dt
        detail.phase_s[phase] = dt
        for k in range(n_active):
            t = active[k]
            amount = scratch.rate[t] * dt
            if graph.work[t] == 0.0 or amount == 0.0:
                continue
            left[t] -= amount
            p = task_processor[t]
            energy = amount * blocks.processor_energy[designs.processor[i, p]]
            detail.phase_processor_j[phase] += energy
            detail.processor_j[p] += energy
            for q in range(graph.parent_start[t], graph.parent_start[t + 1]):
                e = graph.parent_edge[q]
                m = task_memory[graph.parent[e]]
                scratch.read[phase, m] += amount * (graph.size[e] / graph.work[t])
            for q in range(graph.child_start[t], graph.child_start[t + 1]):
                e = graph.child_edge[q]
                scratch.written[phase, task_memory[t]] += amount * (graph.size[e] / graph.work[t])
        phase += 1

        for k in range(n_active):
            t = active[k]
            if graph.work[t] == 0.0 or (graph.work[t] - left[t]) / graph.work[t] >= complete:
                done[t] = 1
        for k in range(n_t):
            t = graph.order[k]
            if done[t] != 1:
                continue
            done[t] = 2  # told to its children
            n_done += 1
            detail.finish[t] = now
            for q in range(graph.child_start[t], graph.child_start[t + 1]):
                tokens[graph.child[graph.child_edge[q]]] += 1
            _release(graph, task_memory, farsi, scratch, t)
        if n_done == n_t:
            break

        # The tasks of the next phase. The first of them that wants a processor has it.
        scratch.processor_busy[:] = 0
        fresh, n_next = 0, 0
        for k in range(n_active):
            t = active[k]
            if not done[t]:
                next_active[n_next] = t
                n_next += 1
                scratch.processor_busy[task_processor[t]] = 1
        n_left = 0
        if not farsi:
            for k in range(n_waiting):
                t = waiting[k]
                n_next, n_left = _dispatch(
                    t, task_processor[t], scratch, n_next, n_left, detail, now
                )
        for k in range(n_t):
            t = graph.order[k]
            if (
                detail.launch[t] < 0.0
                and tokens[t] == graph.parent_start[t + 1] - graph.parent_start[t]
            ):
                detail.launch[t] = now
                fresh += 1
                _hold(graph, task_memory, detail, scratch, t)
                n_next, n_left = _dispatch(
                    t, task_processor[t], scratch, n_next, n_left, detail, now
                )
        if farsi:  # a new task overtakes those that wait
            for k in range(n_waiting):
                t = waiting[k]
                n_next, n_left = _dispatch(
                    t, task_processor[t], scratch, n_next, n_left, detail, now
                )
        for k in range(n_next):
            active[k] = next_active[k]
        for k in range(n_left):
            waiting[k] = next_waiting[k]
        n_active, n_waiting = n_next, n_left
    detail.phases[0] = phase
    return stamp


@njit(cache=True, nogil=True, error_model="numpy")
def _dispatch(t: Any, p: Any, scratch: Any, n_next: Any, n_left: Any, detail: Any, now: Any) -> Any:
    """Give a processor to a task if it is free; return the lengths of both lists."""
    if scratch.processor_busy[p]:
        scratch.next_waiting[n_left] = t
        return n_next, n_left + 1
    scratch.processor_busy[p] = 1
    scratch.next_active[n_next] = t
    detail.start[t] = now
    return n_next + 1, n_left


@njit(cache=True, nogil=True, error_model="numpy")
def _rates(
    graph: Any,
    blocks: Any,
    designs: Any,
    i: Any,
    loads: Any,
    scratch: Any,
    n_active: Any,
    stamp: Any,
    limit: Any,
) -> Any:
    """Fill rates and limits of the active tasks; return the time until the first of them ends."""
    total, feeders = scratch.total, scratch.feeders
    for k in range(n_active):
        t = scratch.active[k]
        for a in range(loads.hops[t]):
            hop = loads.hop[t, a]
            if scratch.total_stamp[hop] != stamp:
                scratch.total_stamp[hop] = stamp
                total[hop] = 0.0
                feeders[hop] = 0
            total[hop] += loads.unit[t, a]
            if loads.fed_by[t, a] >= 0 and scratch.mark[hop, loads.source[t, a]] != stamp:
                scratch.mark[hop, loads.source[t, a]] = stamp
                feeders[hop] += 1
    dt = math.inf if n_active else 0.0
    for k in range(n_active):
        t = scratch.active[k]
        if graph.work[t] == 0.0:
            scratch.rate[t] = 1.0
            dt = 0.0
            continue
        rate = blocks.processor_rate[designs.processor[i, designs.task_processor[i, t]]]
        slowest = -1
        for a in range(loads.hops[t]):
            before = loads.fed_by[t, a]
            if before < 0:
                continue
            hop = loads.hop[t, a]
            share = 1.0 / feeders[hop] * loads.unit[t, before] / total[loads.hop[t, before]]
            through = loads.bus_rate[t, a] * share / loads.bus_ratio[t, a]
            if through < rate:
                rate = through
                slowest = loads.bus[t, a]
            if loads.memory[t, a] >= 0:
                share = loads.unit[t, a] / total[hop]
                through = loads.memory_rate[t, a] * share / loads.memory_ratio[t, a]
                if through < rate:
                    rate = through
                    slowest = designs.bus.shape[1] + loads.memory[t, a]
        scratch.rate[t] = rate
        limit[t] = slowest
        dt = min(dt, scratch.left[t] / rate)
    return dt


@njit(cache=True, nogil=True, error_model="numpy")
def _hold(graph: Any, task_memory: Any, detail: Any, scratch: Any, t: Any) -> None:
    """Reserve the outputs of a task in its memory."""
    m = task_memory[t]
    for q in range(graph.child_start[t], graph.child_start[t + 1]):
        scratch.held[m] += graph.size[graph.child_edge[q]]
    detail.peak_bytes[m] = max(detail.peak_bytes[m], scratch.held[m])


@njit(cache=True, nogil=True, error_model="numpy")
def _release(graph: Any, task_memory: Any, farsi: Any, scratch: Any, t: Any) -> None:
    """Free the outputs of the parents of a complete task whose children are all complete.

    The original has a list of complete tasks, and strikes out children when it frees their parent's
    outputs: another parent of one of them is not freed then, if it comes later. What the first task
    of the graph writes is never freed.
    """
    listed = scratch.listed
    listed[t] = 1
    for q in range(graph.parent_start[t], graph.parent_start[t + 1]):
        parent = graph.parent[graph.parent_edge[q]]
        amount, complete = 0.0, True
        for r in range(graph.child_start[parent], graph.child_start[parent + 1]):
            e = graph.child_edge[r]
            amount += graph.size[e]
            if not listed[graph.child[e]]:
                complete = False
        if not complete:
            continue
        is_source = graph.parent_start[parent] == graph.parent_start[parent + 1]
        if not (farsi and is_source and graph.work[parent] == 0.0):
            scratch.held[task_memory[parent]] -= amount
        if farsi:
            for r in range(graph.child_start[parent], graph.child_start[parent + 1]):
                listed[graph.child[graph.child_edge[r]]] = 0


# ---- prices ------------------------------------------------------------------------------------


@njit(cache=True, nogil=True, error_model="numpy")
def _price(
    graph: Any,
    blocks: Any,
    designs: Any,
    i: Any,
    farsi: Any,
    window_s: Any,
    detail: Any,
    scratch: Any,
    row: Any,
    verdict: Any,
) -> None:
    """Fill a row of the result."""
    n_p, n_m, n_b, n_t = (
        len(detail.processor_bus),
        len(detail.memory_bus),
        len(detail.bus_built),
        len(graph.work),
    )
    task_processor, task_memory = designs.task_processor[i], designs.task_memory[i]
    phases = detail.phases[0]
    cost = 0.0

    detail.processor_area[:] = 0.0
    for t in range(n_t):
        p = task_processor[t]
        kind = designs.processor[i, p]
        if blocks.is_core[kind]:
            cost += graph.work[t] / graph.least_work
            if graph.work[t] > 0.0:
                detail.processor_area[p] = blocks.processor_area[kind]
        else:
            cost += _IP_EFFORT * graph.work[t] / graph.least_work
            if graph.work[t] > 0.0 or farsi:
                detail.processor_area[p] = blocks.processor_area[kind]
    for p in range(n_p):
        row[_AREA] += detail.processor_area[p]
        row[_NON_DRAM_AREA] += detail.processor_area[p]
        row[_PROCESSOR_ENERGY] += detail.processor_j[p]
        row[_PROCESSORS] += detail.processor_area[p] > 0.0

    detail.phase_j[:] = detail.phase_processor_j
    for m in range(n_m):
        detail.memory_area[m] = 0.0
        detail.memory_j[m] = 0.0
        if not detail.memory_built[m]:
            continue
        size = max(0, math.ceil(math.ceil(detail.peak_bytes[m]) / blocks.step_bytes) - 1)
        if size >= blocks.read_energy.shape[1]:
            verdict[0], verdict[1] = TOO_LARGE, m
            return
        technology = blocks.technology[designs.memory[i, m]]
        for k in range(phases):
            energy = (
                scratch.read[k, m] * blocks.read_energy[technology, size]
                + scratch.written[k, m] * blocks.write_energy[technology, size]
            )
            detail.phase_j[k] += energy
            detail.memory_j[m] += energy
        area = blocks.memory_area[technology, size]
        detail.memory_area[m] = area
        row[_MEMORY_ENERGY] += detail.memory_j[m]
        row[_AREA] += area
        row[_MEMORIES] += 1.0
        row[_DRAM_AREA if technology == _DRAM else _NON_DRAM_AREA] += area
        cost += _PART_EFFORT * math.ceil(detail.peak_bytes[m] / _BANK_BYTES)

    for b in range(n_b):
        row[_BUSES] += detail.bus_built[b]
    cost += _PART_EFFORT * row[_BUSES]
    for t in range(n_t):
        used = np.int64(0)  # set of memories
        first = detail.processor_bus[task_processor[t]]
        for q in range(graph.parent_start[t], graph.parent_start[t + 1]):
            used |= np.int64(1) << task_memory[graph.parent[graph.parent_edge[q]]]
        if graph.child_start[t] < graph.child_start[t + 1]:
            used |= np.int64(1) << task_memory[t]
        for m in range(n_m):
            if used >> m & 1:
                length, b = 2, detail.memory_bus[m]
                while b >= 0:
                    length += 1
                    b = scratch.previous[first, b]
                cost += _PART_EFFORT * length
    row[_COST] = cost

    for k in range(phases):
        row[_ENERGY] += detail.phase_j[k]
    for t in range(n_t):
        row[_LATENCY] = max(row[_LATENCY], detail.finish[t])
    row[_POWER] = _power(detail.phase_s, detail.phase_j, phases, window_s, farsi)


@njit(cache=True, nogil=True, error_model="numpy")
def _power(phase_s: Any, phase_j: Any, phases: Any, window_s: Any, farsi: Any) -> Any:
    """Return the largest mean power of a window.

    A window takes in phases until it is as long as `window_s`, the last one whole. The original
    counts the phases that take time but cuts the list of all of them, so that its windows lie as
    many phases too early as there are empty ones.
    """
    power, left, first, count = 0.0, window_s, 0, 0
    for k in range(phases):
        if phase_s[k] == 0.0:
            continue
        end = count if farsi else k
        count += 1
        if phase_s[k] > left:
            power = max(power, _mean_power(phase_s, phase_j, first, end + 1))
            first, left = end + 1, window_s
        else:
            left -= phase_s[k]
    return max(power, _mean_power(phase_s, phase_j, first, phases))


@njit(cache=True, nogil=True, error_model="numpy")
def _mean_power(phase_s: Any, phase_j: Any, first: Any, end: Any) -> Any:
    seconds, energy = 0.0, 0.0
    for k in range(first, end):
        seconds += phase_s[k]
        energy += phase_j[k]
    return energy / seconds if seconds > 0.0 else 0.0
