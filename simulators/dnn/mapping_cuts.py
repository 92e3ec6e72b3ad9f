"""How the bound of a dimension is cut into factors for the memories and for the array.

A cut has five factors that multiply to the bound exactly: iterations in L1, parts in X and in Y,
iterations in L2 and in DRAM. As a text it is "L1*space*L2*DRAM". A dimension has one of four roles:
"" if it is not spread, "array" if it is spread alone over both sides, "x" or "y" if it has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import compress
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from archgym_py.simulators.dnn import kernel
from archgym_py.simulators.dnn.hardware import Architecture
from archgym_py.simulators.dnn.layers import DIMS, TENSORS, Layer
from archgym_py.simulators.dnn.mapping_hardware import DRAM, L1, L2
from archgym_py.simulators.dnn.mapspace import factorizations
from archgym_py.simulators.dnn.model import MappingArrays, evaluate_batch

__all__ = [
    "ROLES",
    "Cuts",
    "cuts_that_fit",
    "largest_tiles",
    "mapping_arrays",
    "weights_in_place",
]

ROLES: Final = ("", "array", "x", "y")
"""What the array may do with a dimension."""

_IN_L1, _IN_X, _IN_Y, _IN_L2, _IN_DRAM = range(5)

Integers = npt.NDArray[np.int64]


class Cuts(NamedTuple):
    """Cuts of a dimension in a role; shared, do not change them.

    Attributes:
        factors: In L1, X, Y, L2 and DRAM, int64[n, 5].
        texts: The same as texts.
    """

    factors: Integers
    texts: tuple[str, ...]


def mapping_arrays(layer: Layer, cuts: Mapping[str, Integers], batch: int) -> MappingArrays:
    """Return mappings that keep everything everywhere, with the loops of a level in any order.

    Args:
        layer: The layer.
        cuts: Factors of dimensions, int64[batch, 5], or int64[5] for all alike. Dimensions that are
            not given are left to the DRAM.
        batch: How many mappings there are.
    """
    spatial = np.ones((batch, 3, 2, len(DIMS)), np.int64)
    temporal = np.ones((batch, 3, len(DIMS)), np.int64)
    temporal[:, DRAM] = layer.bounds
    for dim, factors in cuts.items():
        d = DIMS.index(dim)
        temporal[:, L1, d] = factors[..., _IN_L1]
        spatial[:, L2, 0, d] = factors[..., _IN_X]
        spatial[:, L2, 1, d] = factors[..., _IN_Y]
        temporal[:, L2, d] = factors[..., _IN_L2]
        temporal[:, DRAM, d] = factors[..., _IN_DRAM]
    order = np.broadcast_to(np.arange(len(DIMS)), temporal.shape).copy()
    return MappingArrays(spatial, temporal, order, np.ones((batch, 3, len(TENSORS)), np.bool_))


def _verdicts(
    layer: Layer, architecture: Architecture, cuts: Mapping[str, Integers], batch: int
) -> Integers:
    """Return the verdicts of `kernel.evaluate` on mappings with the smallest tiles else."""
    return evaluate_batch(layer, [architecture], mapping_arrays(layer, cuts, batch))[0]


def largest_tiles(layer: Layer, dim: str, architecture: Architecture) -> tuple[int, int]:
    """Return how far the tiles of a dimension in L1 and L2 may extend if all others are 1.

    Args:
        layer: The layer.
        dim: The dimension.
        architecture: The hardware, as `mapping_hardware.array_architecture` makes it.
    """
    extents = factorizations(layer.bounds[DIMS.index(dim)], 2)
    ones = np.ones_like(extents[:, 0])
    tried = np.concatenate(
        [
            np.column_stack([extents[:, 0], ones, ones, ones, extents[:, 1]]),
            np.column_stack([ones, ones, ones, extents[:, 0], extents[:, 1]]),
        ]
    )
    verdicts = _verdicts(layer, architecture, {dim: tried}, len(tried))
    inner, outer = np.split(verdicts[:, 0] == kernel.OK, 2)
    return int(extents[inner, 0].max()), int(extents[outer, 0].max())


def cuts_that_fit(
    layer: Layer, dim: str, role: str, architecture: Architecture, largest: tuple[int, int]
) -> Cuts:
    """Return the cuts of a dimension in a role, those with the fewest parts in space first.

    Args:
        layer: The layer.
        dim: The dimension.
        role: One of `ROLES`.
        architecture: The hardware.
        largest: Largest extents in L1 and in L2; see `largest_tiles`.
    """
    bound = layer.bounds[DIMS.index(dim)]
    every = _all_cuts(bound, role, architecture.fanout_x[L2], architecture.fanout_y[L2])
    factors = every.factors
    fits = (factors[:, _IN_L1] <= largest[0]) & (bound // factors[:, _IN_DRAM] <= largest[1])
    return Cuts(factors[fits], tuple(compress(every.texts, fits.tolist())))


@lru_cache(maxsize=65536)
def _all_cuts(bound: int, role: str, x: int, y: int) -> Cuts:
    rows = [
        (l1, in_x, in_y, l2, dram)
        for in_x, in_y in _spreads(bound, role, x, y)
        for l1, l2, dram in factorizations(bound // (in_x * in_y), 3).tolist()
    ]
    return Cuts(np.array(rows, np.int64).reshape(-1, 5), tuple(_text(*row) for row in rows))


def _text(l1: int, x: int, y: int, l2: int, dram: int) -> str:
    return f"{l1}*{x * y}*{l2}*{dram}"


def _spreads(bound: int, role: str, x: int, y: int) -> list[tuple[int, int]]:
    """Return the parts in X and in Y that a dimension may have in a role, fewest first."""
    if role == "":
        return [(1, 1)]
    divisors = [f for f in factorizations(bound, 2)[:, 0].tolist() if 1 < f <= x * y]
    if role == "x":
        return [(f, 1) for f in divisors if f <= x]
    if role == "y":
        return [(1, f) for f in divisors if f <= y]
    # What counts is how many parts there are, so one way to place them will do.
    ways = [[(a, f // a) for a in range(x, 0, -1) if f % a == 0 and f // a <= y] for f in divisors]
    return [way[0] for way in ways if way]


def weights_in_place(
    layer: Layer,
    architecture: Architecture,
    uses: Sequence[Mapping[str, str]],
    cuts: Mapping[tuple[str, str], Cuts],
) -> tuple[int, dict[str, str]]:
    """Choose a mapping that keeps weights in place.

    The use of the array that keeps most PEs busy, the first that is listed among equals; then as
    much of the filter and of C in L1 as fits, and as many outputs and weights in L2; the rest in
    DRAM.

    Args:
        layer: The layer.
        architecture: The hardware.
        uses: Uses of the array: roles of the dimensions of more than one iteration. In the first
            none is spread.
        cuts: Cuts of each dimension in each role.

    Returns:
        The number of the use, and the cut of each dimension.
    """
    chosen = {
        dim: np.array([1, 1, 1, 1, layer.bounds[DIMS.index(dim)]], np.int64) for dim in uses[0]
    }
    number, most, spread = 0, 1, dict[str, Integers]()
    for i, roles in enumerate(uses[1:], start=1):
        tried, parts = _placed(roles, cuts)
        more = parts > most
        if more.any():
            tried, parts = {dim: rows[more] for dim, rows in tried.items()}, parts[more]
            fits = _verdicts(layer, architecture, tried, len(parts))[:, 0] == kernel.OK
            if fits.any():
                best = int(np.argmax(parts * fits))
                number, most = i, int(parts[best])
                spread = {dim: rows[best] for dim, rows in tried.items()}
    chosen |= spread
    for place, growing in ((_IN_L1, "RSC"), (_IN_L2, "PQNCM")):
        for dim in growing:
            if dim in chosen:
                extents = factorizations(int(chosen[dim][_IN_DRAM]), 2)[::-1]
                rows = np.tile(chosen[dim], (len(extents), 1))
                rows[:, place], rows[:, _IN_DRAM] = extents.T
                verdicts = _verdicts(layer, architecture, chosen | {dim: rows}, len(rows))
                chosen[dim] = rows[np.flatnonzero(verdicts[:, 0] == kernel.OK)[0]]
    return number, {dim: _text(*factors.tolist()) for dim, factors in chosen.items()}


def _placed(
    roles: Mapping[str, str], cuts: Mapping[tuple[str, str], Cuts]
) -> tuple[dict[str, Integers], Integers]:
    """Return the ways to use the array with tiles of 1 in it and in L2, and their parts."""
    options = {}
    for dim, role in roles.items():
        if role:
            factors = cuts[dim, role].factors
            options[dim] = factors[(factors[:, _IN_L1] == 1) & (factors[:, _IN_L2] == 1)]
    numbers = np.indices([len(rows) for rows in options.values()]).reshape(len(options), -1)
    tried = {dim: rows[n] for (dim, rows), n in zip(options.items(), numbers, strict=True)}
    parts = np.prod([rows[:, _IN_X] * rows[:, _IN_Y] for rows in tried.values()], axis=0)
    return tried, parts
