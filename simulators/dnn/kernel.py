"""The loop-nest model, compiled by numba: what a mapping costs.

A mapping is given as arrays over the levels, the innermost first, and the dimensions of
`layers.DIMS`: spatial factors in X and in Y, temporal factors, and for each level the order of its
temporal loops from the inside out. The rules are Timeloop's (revision 4cf6d4c, neighbour forwarding
off); `model.py` states them in the terms of a user.

How a mapping is evaluated (`_cost`):

1. `_nest` multiplies the factors from the inside out into extents of tiles, and lists the temporal
   loops with more than one iteration.
2. For each tensor and level, `_delivered` counts the words that one child receives during the whole
   layer: the tile moves with every iteration of a loop, and only words that it did not hold before
   are sent. `_distinct` counts children that need different words; the others share a multicast.
3. `_traffic` turns both into words read, filled and updated per instance, with bypassed levels
   passing the demands of their children on.
4. Cycles are those of the busiest of compute and bandwidths; energy is accesses times prices.

Every compiled function of the model lies in this file on purpose: numba's cache on disk watches
only the file of the function that is called, so a helper in another module could change without
being recompiled.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from archgym_py.simulators.dnn.layers import DIMS, TENSORS

__all__ = [
    "CAPACITY",
    "FANOUT_X",
    "FANOUT_Y",
    "FILLS",
    "HARDWARE",
    "OK",
    "PER_LEVEL",
    "READS",
    "UPDATES",
    "evaluate",
]

N, G, M, C, P, Q, R, S = range(len(DIMS))
WEIGHTS, INPUTS, OUTPUTS = range(len(TENSORS))
N_DIMS = len(DIMS)
N_TENSORS = len(TENSORS)

READS, FILLS, UPDATES = range(3)
"""Places in the last axis of the counts."""

OK, FANOUT_X, FANOUT_Y, CAPACITY = range(4)
"""Verdicts on a mapping; one that is not OK is followed by the number of the level."""

HARDWARE = (
    *("fanout_x", "fanout_y", "capacity", "block"),
    *("read_bandwidth", "write_bandwidth", "shared_bandwidth"),
    *("read_pj", "write_pj"),
)
"""Columns of the hardware table, a row for each level; no limit is infinity."""
H_FANOUT_X, H_FANOUT_Y, H_CAPACITY, H_BLOCK, H_READ_BW, H_WRITE_BW, H_SHARED_BW, H_READ, H_WRITE = (
    range(len(HARDWARE))
)

PER_LEVEL = ("tile", "part", "instances")
"""Places in the last axis of the table of sizes."""

_AXIS = np.full((N_TENSORS, N_DIMS), -1, np.int64)
for _tensor, _axes in (
    (WEIGHTS, ((G,), (M,), (C,), (R,), (S,))),
    (INPUTS, ((N,), (G,), (C,), (P, R), (Q, S))),
    (OUTPUTS, ((N,), (G,), (M,), (P,), (Q,))),
):
    for _axis, _dims in enumerate(_axes):
        _AXIS[_tensor, list(_dims)] = _axis
AXIS: Any = _AXIS

_options: Any = {"nogil": True, "cache": True, "error_model": "numpy"}
# The inner functions allocate nothing, and numba's reference counts at every call that passes an
# array would cost more than their work.
_inline: Any = njit(**{**_options, "_nrt": False, "forceinline": True})


@_inline
def _columns(e: Any, coef: Any) -> Any:
    """Columns of the inputs that a box of iterations with these extents touches."""
    return 1 + coef[P] * (e[P] - 1) + coef[R] * (e[R] - 1)


@_inline
def _rows(e: Any, coef: Any) -> Any:
    """Rows of the inputs that a box of iterations with these extents touches."""
    return 1 + coef[Q] * (e[Q] - 1) + coef[S] * (e[S] - 1)


@_inline
def _extent(t: Any, d: Any, e: Any, coef: Any) -> Any:
    """Extent of a box on the axis of a tensor that a dimension moves along."""
    if t == INPUTS and (d == P or d == R):
        return _columns(e, coef)
    if t == INPUTS and (d == Q or d == S):
        return _rows(e, coef)
    return e[d]


@_inline
def _volume(t: Any, e: Any, coef: Any) -> Any:
    """Words of a tensor that a box of iterations with these extents touches."""
    if t == WEIGHTS:
        return e[G] * e[M] * e[C] * e[R] * e[S]
    if t == OUTPUTS:
        return e[N] * e[G] * e[M] * e[P] * e[Q]
    return e[N] * e[G] * e[C] * _columns(e, coef) * _rows(e, coef)


@_inline
def _held(keep: Any, e: Any, coef: Any) -> Any:
    """Words of the tensors that a level keeps of a box of iterations with these extents."""
    words = 0
    for t in range(N_TENSORS):
        if keep[t]:
            words += _volume(t, e, coef)
    return words


@_inline
def _delivered(t: Any, e: Any, coef: Any, loops: Any, first: Any, count: Any) -> Any:
    """Words of a tensor that one child with tile extents `e` receives during the layer.

    `loops` has a row for each temporal loop, the innermost first: dimension, iterations, step. From
    one iteration of a loop to the next the tile jumps by the loop's step less what the inner loops
    have moved it so far. A jump of zero costs nothing. The innermost loop that moves the tile costs
    what lies outside of the overlap with the tile before, and so does any jump that equals its;
    every other jump costs the whole tile. As in the reference, inner loops count as rewound from
    their second iteration, so each contributes one step.
    """
    volume = _volume(t, e, coef)
    total = 0
    axis = -1  # of the innermost loop that moves the tile
    shift = 0  # its step
    fresh = 0  # what a jump by that step costs
    moved = 0  # how far the loops so far have moved the tile on that axis
    straight = True  # they moved it on no other axis
    for j in range(first, count):
        d = loops[j, 0]
        n = loops[j, 1]
        a = AXIS[t, d]
        cost = 0
        if axis < 0:
            if a >= 0:
                axis = a
                shift = loops[j, 2] * (coef[d] if t == INPUTS else 1)
                moved = shift
                extent = _extent(t, d, e, coef)
                fresh = volume // extent * min(extent, shift)
                cost = fresh
        else:
            cost = volume
            if a == axis and straight:
                step = loops[j, 2] * (coef[d] if t == INPUTS else 1)
                if step == moved:
                    cost = 0
                elif step == moved + shift:
                    cost = fresh
                moved += step
            elif a >= 0 and a != axis:
                straight = False
        total = total * n + cost * (n - 1)
    return volume + total


@_inline
def _on_axis(n1: Any, a: Any, n2: Any, b: Any) -> Any:
    """Distinct positions of n1 * n2 children, placed in steps of a and of b."""
    if n1 == 1 or n2 == 1:
        return n1 * n2
    x, y = a, b
    while y:
        x, y = y, x % y
    return n1 * n2 - max(0, n1 - b // x) * max(0, n2 - a // x)


@_inline
def _distinct(t: Any, f: Any, step: Any, coef: Any) -> Any:
    """Children of a level that need different words of a tensor; f are the spatial factors."""
    if t == WEIGHTS:
        return f[G] * f[M] * f[C] * f[R] * f[S]
    if t == OUTPUTS:
        return f[N] * f[G] * f[M] * f[P] * f[Q]
    return (
        f[N]
        * f[G]
        * f[C]
        * _on_axis(f[P], coef[P] * step[P], f[R], coef[R] * step[R])
        * _on_axis(f[Q], coef[Q] * step[Q], f[S], coef[S] * step[S])
    )


@_inline
def _ceil_div(a: Any, b: Any) -> Any:
    return a if b == 1 else -(-a // b)


@_inline
def _nest(
    levels: Any,
    spatial: Any,
    temporal: Any,
    order: Any,
    fan: Any,
    inner: Any,
    outer: Any,
    loops: Any,
    starts: Any,
) -> Any:
    """Multiply factors up and list the temporal loops; return how many there are.

    `fan[l]` are the spatial factors of level l, `inner[l]` the extents below and with its spatial
    block, `outer[l + 1]` those with its temporal block too; `starts[l]` is its first loop.
    """
    count = 0
    for d in range(N_DIMS):
        outer[0, d] = 1
    for level in range(levels):
        starts[level] = count
        for d in range(N_DIMS):
            fan[level, d] = spatial[level, 0, d] * spatial[level, 1, d]
            inner[level, d] = outer[level, d] * fan[level, d]
            outer[level + 1, d] = inner[level, d] * temporal[level, d]
        for place in range(N_DIMS):
            d = order[level, place]
            n = temporal[level, d]
            if n > 1:
                loops[count, 0] = d
                loops[count, 1] = n
                loops[count, 2] = inner[level, d]
                count += 1
    return count


@_inline
def _verdict(levels: Any, spatial: Any, keep: Any, hardware: Any, outer: Any, coef: Any) -> Any:
    """Return why a mapping is not legal, and at which level."""
    for level in range(levels):
        for side in range(2):
            used = 1
            for d in range(N_DIMS):
                used *= spatial[level, side, d]
            if used > hardware[level, H_FANOUT_X + side]:
                return FANOUT_X + side, level
        if _held(keep[level], outer[level + 1], coef) > hardware[level, H_CAPACITY]:
            return CAPACITY, level
    return OK, 0


@_inline
def _traffic(
    levels: Any,
    keep: Any,
    coef: Any,
    subtract: Any,
    fan: Any,
    inner: Any,
    outer: Any,
    loops: Any,
    starts: Any,
    count: Any,
    counts: Any,
    sizes: Any,
) -> None:
    """Fill `counts` with words read, filled and updated per instance, and `sizes`.

    `subtract` is whether the fills of outputs leave out the first partial sums, which were never
    written (as Timeloop does since 2023; before, it did for reads only).
    """
    instances = 1.0
    for level in range(levels - 1, -1, -1):
        below = 1.0
        for d in range(N_DIMS):
            below *= fan[level, d]
        for t in range(N_TENSORS):
            sizes[level, t, 2] = instances
            sizes[level, t, 0] = _volume(t, outer[level + 1], coef)
        instances *= below
    for t in range(N_TENSORS):
        top = levels - 1
        while not keep[top, t]:
            top -= 1
        part = _volume(t, outer[levels], coef)
        sizes[levels - 1, t, 1] = part
        for level in range(levels - 2, -1, -1):
            spread = False
            for d in range(N_DIMS):
                if fan[level + 1, d] > 1:
                    spread = True
            if spread:
                share = _volume(t, inner[level + 1], coef)
                part = part * _volume(t, outer[level + 1], coef) // share
            sizes[level, t, 1] = part
        demand = 1  # into one child: a multiplier keeps nothing
        for j in range(count):
            demand *= loops[j, 1]
        sent = 0
        for level in range(levels):
            if level == 0 or keep[level - 1, t]:
                passed = demand
            else:
                passed = sent
            sent = passed * _distinct(t, fan[level], outer[level], coef)
            if level + 1 < levels:
                demand = _delivered(t, outer[level + 1], coef, loops, starts[level + 1], count)
            elided = np.int64(sizes[level, t, 1]) if t == OUTPUTS else 0
            if not keep[level, t]:
                counts[level, t, READS] = 0
                counts[level, t, FILLS] = 0
                counts[level, t, UPDATES] = 0
                continue
            counts[level, t, READS] = sent - elided
            counts[level, t, UPDATES] = sent if t == OUTPUTS else 0
            if level == top:
                counts[level, t, FILLS] = 0
            else:
                counts[level, t, FILLS] = demand - (elided if subtract else 0)


@_inline
def _cost(
    levels: Any,
    macs: Any,
    mac_pj: Any,
    hardware: Any,
    count: Any,
    loops: Any,
    counts: Any,
    sizes: Any,
) -> Any:
    """Cycles and energy from the counts."""
    compute = 1.0
    for j in range(count):
        compute *= loops[j, 1]
    cycles = compute
    energy = macs * mac_pj
    for level in range(levels):
        block = np.int64(hardware[level, H_BLOCK])
        reads = 0
        writes = 0
        read_blocks = 0
        write_blocks = 0
        for t in range(N_TENSORS):
            reads += counts[level, t, READS]
            writes += counts[level, t, FILLS] + counts[level, t, UPDATES]
            read_blocks += _ceil_div(counts[level, t, READS], block)
            write_blocks += _ceil_div(counts[level, t, FILLS], block)
            write_blocks += _ceil_div(counts[level, t, UPDATES], block)
        cycles = max(
            cycles,
            reads / hardware[level, H_READ_BW],
            writes / hardware[level, H_WRITE_BW],
            (reads + writes) / hardware[level, H_SHARED_BW],
        )
        energy += sizes[level, 0, 2] * (
            read_blocks * hardware[level, H_READ] + write_blocks * hardware[level, H_WRITE]
        )
    return math.ceil(cycles * (1 - 1e-12)), energy


@njit(**_options)
def _scratch(levels: Any) -> Any:
    """Return room for what `_nest` makes of a mapping."""
    return (
        np.empty((levels, N_DIMS), np.int64),
        np.empty((levels, N_DIMS), np.int64),
        np.empty((levels + 1, N_DIMS), np.int64),
        np.empty((levels * N_DIMS, 3), np.int64),
        np.empty(levels, np.int64),
    )


@njit(**_options)
def evaluate(
    coef: Any,
    macs: Any,
    spatial: Any,
    temporal: Any,
    order: Any,
    keep: Any,
    hardware: Any,
    mac_pj: Any,
    subtract: Any,
    verdicts: Any,
    results: Any,
    counts: Any,
    sizes: Any,
) -> None:
    """Evaluate mappings of a layer.

    Args:
        coef: Step of each dimension on its axis of the inputs, int64[8]: strides for P and Q,
            dilations for R and S, else 1.
        macs: Multiply-accumulates of the layer.
        spatial: Spatial factors, int64[B, L, 2, 8], in X and in Y.
        temporal: Temporal factors, int64[B, L, 8].
        order: Dimensions of each level from the inside out, int64[B, L, 8].
        keep: Whether a level keeps a tensor, bool[B, L, 3].
        hardware: The levels as `HARDWARE` lists them, float64[1 or B, L, 9].
        mac_pj: Energy of a multiply-accumulate in pJ, float64[1 or B].
        subtract: Whether the fills of outputs leave out the first partial sums.
        verdicts: Receives verdict and level, int64[B, 2].
        results: Receives cycles and energy in pJ, float64[B, 2]; zeros for illegal mappings.
        counts: Receives words per instance, int64[B or 1, L, 3, 3]; with one row, the last's.
        sizes: Receives tile and partition in words and the instances used, as `PER_LEVEL` lists
            them, float64[B or 1, L, 3, 3].
    """
    batch, levels = temporal.shape[0], temporal.shape[1]
    fan, inner, outer, loops, starts = _scratch(levels)
    for b in range(batch):
        h = hardware[b if len(hardware) > 1 else 0]
        row = b if len(counts) > 1 else 0
        count = _nest(levels, spatial[b], temporal[b], order[b], fan, inner, outer, loops, starts)
        verdict, level = _verdict(levels, spatial[b], keep[b], h, outer, coef)
        verdicts[b, 0] = verdict
        verdicts[b, 1] = level
        if verdict != OK:
            results[b, 0] = 0.0
            results[b, 1] = 0.0
            continue
        _traffic(
            levels, keep[b], coef, subtract, fan, inner, outer, loops, starts, count,
            counts[row], sizes[row],
        )  # fmt: skip
        cycles, energy = _cost(
            levels, macs, mac_pj[b if len(mac_pj) > 1 else 0], h, count, loops, counts[row],
            sizes[row],
        )  # fmt: skip
        results[b, 0] = cycles
        results[b, 1] = energy


# --- The search for the best mapping -------------------------------------------------------------

DELAY, ENERGY, EDP = range(3)
"""What a mapper minimises first: cycles, energy, or their product; the second is the other one."""

NODES_OF_EVALUATION = 6
"""What the evaluation of a mapping counts for, in choices that are looked at: it takes as long."""

EVALUATED, COMPLETE = range(2)
"""Places in the statistics of a search."""


@_inline
def _measure(
    levels: Any,
    coef: Any,
    macs: Any,
    keep: Any,
    hardware: Any,
    mac_pj: Any,
    subtract: Any,
    spatial: Any,
    temporal: Any,
    order: Any,
    fan: Any,
    inner: Any,
    outer: Any,
    loops: Any,
    starts: Any,
    counts: Any,
    sizes: Any,
) -> Any:
    count = _nest(levels, spatial, temporal, order, fan, inner, outer, loops, starts)
    _traffic(
        levels, keep, coef, subtract, fan, inner, outer, loops, starts, count, counts, sizes
    )  # fmt: skip
    return _cost(levels, macs, mac_pj, hardware, count, loops, counts, sizes)


@_inline
def _better(goal: Any, cycles: Any, energy: Any, best: Any) -> Any:
    """Return whether a cost is lexicographically below the best so far."""
    if goal == DELAY:
        return cycles < best[0] or (cycles == best[0] and energy < best[1])
    if goal == ENERGY:
        return energy < best[1] or (energy == best[1] and cycles < best[0])
    return cycles * energy < best[0] * best[1]


@_inline
def _fits(
    levels: Any, spatial: Any, temporal: Any, keep: Any, hardware: Any, extents: Any, coef: Any
) -> Any:
    """Return whether the tiles of the factors so far fit; those to come only make them larger."""
    for d in range(N_DIMS):
        extents[d] = 1
    for level in range(levels):
        for d in range(N_DIMS):
            extents[d] *= spatial[level, 0, d] * spatial[level, 1, d] * temporal[level, d]
        if hardware[level, H_CAPACITY] == np.inf:
            continue
        if _held(keep[level], extents, coef) > hardware[level, H_CAPACITY]:
            return False
    return True


@_inline
def _set_space(levels: Any, options: Any, spatial: Any, combination: Any) -> None:
    for d in range(N_DIMS):
        option = combination[d]
        for level in range(levels):
            spatial[level, 0, d] = options[option, 2 * level]
            spatial[level, 1, d] = options[option, 2 * level + 1]


@_inline
def _looped(temporal: Any, level: Any) -> Any:
    """Return the dimensions that a level loops over as bits."""
    mask = 0
    for d in range(N_DIMS):
        if temporal[level, d] > 1:
            mask |= 1 << d
    return mask


@njit(**_options)
def search_all(
    coef: Any,
    macs: Any,
    goal: Any,
    keep: Any,
    orders: Any,
    distinct: Any,
    n_distinct: Any,
    options: Any,
    first_row: Any,
    last_row: Any,
    rows: Any,
    combos: Any,
    used: Any,
    hardware: Any,
    mac_pj: Any,
    subtract: Any,
    max_nodes: Any,
    best: Any,
    best_spatial: Any,
    best_temporal: Any,
    best_order: Any,
    stats: Any,
) -> None:
    """Find the best mapping by looking at all of them, unless there are too many.

    The ways to use the array come by rising compute cycles, so that a search for the fewest cycles
    ends as soon as the next way computes for longer than the best mapping takes. Factors in time
    are chosen a dimension at a time; a choice whose tiles do not fit is not completed.

    Args:
        coef: As for `evaluate`.
        macs: As for `evaluate`.
        goal: DELAY, ENERGY or EDP.
        keep: Whether a level keeps a tensor, bool[L, 3].
        orders: See `mapspace.Orders`; so are `distinct` and `n_distinct`.
        distinct: As above.
        n_distinct: As above.
        options: See `mapspace.Choices`; so are `first_row`, `last_row` and `rows`.
        first_row: As above.
        last_row: As above.
        rows: As above.
        combos: See `mapspace.Combinations`; so is `used`.
        used: As above.
        hardware: One architecture, float64[L, 9].
        mac_pj: Energy of a multiply-accumulate in pJ.
        subtract: As for `evaluate`.
        max_nodes: How many choices may be looked at; an evaluation counts as some of them.
        best: Cycles and energy of the best mapping so far, infinite if there is none; float64[2].
        best_spatial: Receives its factors in space, int64[L, 2, 8].
        best_temporal: Receives its factors in time, int64[L, 8].
        best_order: Receives its loop orders, int64[L, 8].
        stats: Receives how many mappings were evaluated and whether all were covered, int64[2].
    """
    levels = keep.shape[0]
    fan, inner, outer, loops, starts = _scratch(levels)
    counts = np.empty((levels, N_TENSORS, 3), np.int64)
    sizes = np.empty((levels, N_TENSORS, 3), np.float64)
    extents = np.empty(N_DIMS, np.int64)
    spatial = np.ones((levels, 2, N_DIMS), np.int64)
    temporal = np.ones((levels, N_DIMS), np.int64)
    order = np.zeros((levels, N_DIMS), np.int64)
    mask = np.zeros(levels, np.int64)
    chosen = np.zeros(levels, np.int64)
    place = np.zeros(N_DIMS, np.int64)
    at = np.zeros(N_DIMS, np.int64)
    nodes = 0
    evaluated = 0
    for c in range(len(combos)):
        if goal == DELAY and macs // used[c] > best[0]:
            break
        _set_space(levels, options, spatial, combos[c])
        # Dimensions without a choice first: what they force shrinks the room for the others.
        n = 0
        for d in range(N_DIMS):
            if last_row[combos[c, d]] - first_row[combos[c, d]] == 1:
                place[n] = d
                n += 1
        for d in range(N_DIMS):
            if last_row[combos[c, d]] - first_row[combos[c, d]] > 1:
                place[n] = d
                n += 1
        for level in range(levels):
            for d in range(N_DIMS):
                temporal[level, d] = 1
        depth = 0
        at[0] = first_row[combos[c, place[0]]]
        while depth >= 0:
            d = place[depth]
            if at[depth] == last_row[combos[c, d]]:
                for level in range(levels):
                    temporal[level, d] = 1
                depth -= 1
                if depth >= 0:
                    at[depth] += 1
                continue
            nodes += 1
            if nodes > max_nodes:
                stats[EVALUATED] = evaluated
                stats[COMPLETE] = 0
                return
            for level in range(levels):
                temporal[level, d] = rows[at[depth], level]
            if not _fits(levels, spatial, temporal, keep, hardware, extents, coef):
                at[depth] += 1
                continue
            if depth < N_DIMS - 1:
                depth += 1
                at[depth] = first_row[combos[c, place[depth]]]
                continue
            at[depth] += 1
            for level in range(levels):
                chosen[level] = 0
                mask[level] = _looped(temporal, level)
                order[level] = orders[distinct[level, mask[level], 0]]
            while True:
                cycles, energy = _measure(
                    levels, coef, macs, keep, hardware, mac_pj, subtract, spatial, temporal, order,
                    fan, inner, outer, loops, starts, counts, sizes,
                )  # fmt: skip
                evaluated += 1
                nodes += NODES_OF_EVALUATION
                if _better(goal, cycles, energy, best):
                    best[0] = cycles
                    best[1] = energy
                    best_spatial[:] = spatial
                    best_temporal[:] = temporal
                    best_order[:] = order
                level = 0
                while level < levels:
                    if chosen[level] + 1 < n_distinct[level, mask[level]]:
                        chosen[level] += 1
                        number = distinct[level, mask[level], chosen[level]]
                        order[level] = orders[number]
                        break
                    chosen[level] = 0
                    order[level] = orders[distinct[level, mask[level], 0]]
                    level += 1
                if level == levels:
                    break
    stats[EVALUATED] = evaluated
    stats[COMPLETE] = 1


@_inline
def _next_random(state: Any) -> Any:
    """Advance a splitmix64 generator and return 53 random bits (Steele et al., OOPSLA 2014)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64((z ^ (z >> np.uint64(31))) >> np.uint64(11))


@_inline
def _smallest_prime(number: Any) -> Any:
    p = 2
    while p * p <= number:
        if number % p == 0:
            return p
        p += 1
    return number


@njit(**_options)
def search_near(
    coef: Any,
    macs: Any,
    goal: Any,
    keep: Any,
    orders: Any,
    distinct: Any,
    n_distinct: Any,
    may_loop: Any,
    options: Any,
    first_row: Any,
    last_row: Any,
    rows: Any,
    combos: Any,
    used: Any,
    hardware: Any,
    mac_pj: Any,
    subtract: Any,
    max_evaluated: Any,
    seed: Any,
    best: Any,
    best_spatial: Any,
    best_temporal: Any,
    best_order: Any,
    stats: Any,
) -> None:
    """Find a good mapping by hill climbing from many starts.

    A start takes the next way to use the array, those that use most of it first, and random factors
    in time that fit. Each climb makes the best of all moves (a prime factor of one dimension from
    one level to another, or another loop order of a level) until none is better. The search ends
    when so many mappings are evaluated; where cycles are minimised it begins again with the first
    way as soon as no other can be faster.

    Args are those of `search_all`, and:
        may_loop: Whether a level may loop over a dimension, bool[L, 8].
        max_evaluated: How many mappings may be evaluated; the last climb is completed.
        seed: Seed of the starts.
    """
    levels = keep.shape[0]
    fan, inner, outer, loops, starts = _scratch(levels)
    counts = np.empty((levels, N_TENSORS, 3), np.int64)
    sizes = np.empty((levels, N_TENSORS, 3), np.float64)
    extents = np.empty(N_DIMS, np.int64)
    spatial = np.ones((levels, 2, N_DIMS), np.int64)
    temporal = np.ones((levels, N_DIMS), np.int64)
    order = np.zeros((levels, N_DIMS), np.int64)
    here = np.empty(2, np.float64)
    near = np.empty(2, np.float64)
    state = np.empty(1, np.uint64)
    state[0] = np.uint64(seed)
    evaluated = 0
    c = -1
    while evaluated < max_evaluated:
        # The next way to use the array; back to the first when no other can be better.
        c += 1
        if c == len(combos) or (goal == DELAY and macs // used[c] > best[0]):
            c = 0
        _set_space(levels, options, spatial, combos[c])
        placed = False
        for attempt in range(20):
            for d in range(N_DIMS):
                first, last = first_row[combos[c, d]], last_row[combos[c, d]]
                row = last - 1 - (_next_random(state) % (last - first))
                if attempt == 19:  # all factors as far out as they may be
                    row = first
                for level in range(levels):
                    temporal[level, d] = rows[row, level]
            if _fits(levels, spatial, temporal, keep, hardware, extents, coef):
                placed = True
                break
        if not placed:
            evaluated += 1  # so that a search without any start ends too
            continue
        for level in range(levels):
            mask = _looped(temporal, level)
            number = _next_random(state) % n_distinct[level, mask]
            order[level] = orders[distinct[level, mask, number]]
        cycles, energy = _measure(
            levels, coef, macs, keep, hardware, mac_pj, subtract, spatial, temporal, order, fan,
            inner, outer, loops, starts, counts, sizes,
        )  # fmt: skip
        evaluated += 1
        here[0] = cycles
        here[1] = energy
        while True:
            near[0] = here[0]
            near[1] = here[1]
            move, what, source, target = 0, 0, 0, 0
            for d in range(N_DIMS):
                for a in range(levels):
                    rest = temporal[a, d]
                    while rest > 1:
                        p = _smallest_prime(rest)
                        while rest % p == 0:
                            rest //= p
                        temporal[a, d] //= p
                        for b in range(levels):
                            if b == a or not may_loop[b, d]:
                                continue
                            temporal[b, d] *= p
                            if b > a or _fits(
                                levels, spatial, temporal, keep, hardware, extents, coef
                            ):
                                cycles, energy = _measure(
                                    levels, coef, macs, keep, hardware, mac_pj, subtract, spatial,
                                    temporal, order, fan, inner, outer, loops, starts, counts,
                                    sizes,
                                )  # fmt: skip
                                evaluated += 1
                                if _better(goal, cycles, energy, near):
                                    near[0] = cycles
                                    near[1] = energy
                                    move, what, source, target = p, d, a, b
                            temporal[b, d] //= p
                        temporal[a, d] *= p
            for level in range(levels):
                mask = _looped(temporal, level)
                for d in range(N_DIMS):
                    extents[d] = order[level, d]
                for choice in range(n_distinct[level, mask]):
                    number = distinct[level, mask, choice]
                    order[level] = orders[number]
                    cycles, energy = _measure(
                        levels, coef, macs, keep, hardware, mac_pj, subtract, spatial, temporal,
                        order, fan, inner, outer, loops, starts, counts, sizes,
                    )  # fmt: skip
                    evaluated += 1
                    if _better(goal, cycles, energy, near):
                        near[0] = cycles
                        near[1] = energy
                        move, what, source = -1, level, number
                for d in range(N_DIMS):
                    order[level, d] = extents[d]
            if move == 0:
                break
            here[0] = near[0]
            here[1] = near[1]
            if move > 0:
                temporal[source, what] //= move
                temporal[target, what] *= move
            else:
                order[what] = orders[source]
        if _better(goal, here[0], here[1], best):
            best[0] = here[0]
            best[1] = here[1]
            best_spatial[:] = spatial
            best_temporal[:] = temporal
            best_order[:] = order
    stats[EVALUATED] = evaluated
    stats[COMPLETE] = 0
