"""What a layer costs on an accelerator with a given mapping: Timeloop's loop-nest model.

A `Mapping` says, for every storage level from the innermost to the outermost, which tensors it
keeps, how its children share the work in space, and in which loops it hands them their tiles.
`evaluate` counts what moves and prices it; `evaluate_batch` does so for thousands of mappings in
one call. The rules, per instance of a level (source: Timeloop, Parashar et al., ISPASS 2019,
checked number by number against its revision 4cf6d4c with neighbour forwarding off):

* **Tiles.** The tile of a tensor at a level is what all loops inside touch. The tiles of the
  tensors that a level keeps have to fit into its capacity.
* **Deliveries.** With every iteration of a loop further out the tile moves. Words that stay inside
  are not sent again as long as the tile keeps moving by the same step (sliding windows); any other
  move sends the whole tile; a loop that does not move the tile sends nothing.
* **Multicast.** Children that need the same tile are served by one read; their partial sums are
  added on the way.
* **Outputs.** Each update of a partial sum is preceded by its read, but for the first of each.
* **Bypass.** A level that does not keep a tensor passes the demands of its children on.
* **Cycles.** The largest of the iterations in time (one multiply-accumulate each) and of the words
  that an instance reads, writes or both over the bandwidth it has for them.
* **Energy.** Multiply-accumulates and accesses of blocks, times their energy. Leakage, adders and
  the network are not included; address generators are part of a storage's energy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from archgym_py.checks import integer
from archgym_py.errors import ConfigError, InfeasibleDesign, did_you_mean
from archgym_py.simulators.dnn import kernel
from archgym_py.simulators.dnn.hardware import Architecture, Level
from archgym_py.simulators.dnn.layers import DIMS, MAX_BOUND, TENSORS, Layer

__all__ = [
    "Cost",
    "Counts",
    "LevelCost",
    "LevelMapping",
    "Mapping",
    "MappingArrays",
    "TensorCost",
    "check_legal",
    "count_batch",
    "evaluate",
    "evaluate_batch",
    "hardware_table",
    "steps_on_axes",
    "tensor_energies",
    "tile_words",
]

_PLACE = {dim: index for index, dim in enumerate(DIMS)}


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelMapping:
    """What a mapping says about one storage level.

    Attributes:
        keep: Tensors that the level holds, of "Weights", "Inputs" and "Outputs".
        temporal: Loops over time, the innermost first, as pairs of dimension and iterations. A
            dimension occurs at most once.
        spatial_x: How its children in X share the work: pairs of dimension and number of parts.
        spatial_y: The same in Y.
    """

    keep: tuple[str, ...] = TENSORS
    temporal: tuple[tuple[str, int], ...] = ()
    spatial_x: tuple[tuple[str, int], ...] = ()
    spatial_y: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Mapping:
    """How a layer runs on an architecture: one `LevelMapping` per level, the innermost first.

    Attributes:
        levels: What is done at each level.
    """

    levels: tuple[LevelMapping, ...]


@dataclass(frozen=True, slots=True)
class TensorCost:
    """What a level does with one tensor. Words are per instance.

    Attributes:
        tile: Words that an instance holds at a time; 0 where it does not keep the tensor.
        partition: Distinct words that an instance holds over the whole layer.
        reads: Words read.
        fills: Words written from the level above.
        updates: Words written from below: partial sums.
        energy_pj: Energy of all instances, in pJ.
    """

    tile: int
    partition: int
    reads: int
    fills: int
    updates: int
    energy_pj: float


@dataclass(frozen=True, slots=True)
class LevelCost:
    """What a level does.

    Attributes:
        name: Name of the level.
        instances: Instances that are used.
        cycles: Cycles that its bandwidths ask for.
        energy_pj: Energy of all instances, in pJ.
        tensors: What it does with each tensor.
    """

    name: str
    instances: int
    cycles: int
    energy_pj: float
    tensors: dict[str, TensorCost]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a layer costs.

    Attributes:
        cycles: Cycles, the largest of `compute_cycles` and those of the levels.
        compute_cycles: Cycles that the multipliers ask for.
        energy_pj: Energy, in pJ: `mac_energy_pj` and those of the levels.
        mac_energy_pj: Energy of the multiply-accumulates, in pJ.
        utilization: Multiply-accumulates over those that all units could do in `cycles`.
        levels: What each level does, the innermost first.
        bound: What takes `cycles`: "compute" or the name of a level.
    """

    cycles: int
    compute_cycles: int
    energy_pj: float
    mac_energy_pj: float
    utilization: float
    levels: tuple[LevelCost, ...]
    bound: str


@dataclass(frozen=True, slots=True)
class MappingArrays:
    """A batch of B mappings over L levels, as the kernel reads it.

    Attributes:
        spatial: Factors in X and Y, int64[B, L, 2, 8].
        temporal: Factors over time, int64[B, L, 8].
        order: Order of the temporal loops from the inside out, int64[B, L, 8].
        keep: Whether a level keeps a tensor, bool[B, L, 3].
    """

    spatial: npt.NDArray[np.int64]
    temporal: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]
    keep: npt.NDArray[np.bool_]

    @classmethod
    def of(
        cls, mappings: Sequence[Mapping], layer: Layer, architecture: Architecture
    ) -> MappingArrays:
        """Check mappings of a layer and return them as arrays.

        Raises:
            ConfigError: If a mapping does not fit the architecture's levels, names a tensor or a
                dimension that there is not, does not multiply up to the layer's bounds, or keeps a
                tensor nowhere.
        """
        batch, levels = len(mappings), len(architecture.levels)
        arrays = cls(
            np.ones((batch, levels, 2, len(DIMS)), np.int64),
            np.ones((batch, levels, len(DIMS)), np.int64),
            np.tile(np.arange(len(DIMS)), (batch, levels, 1)),
            np.zeros((batch, levels, len(TENSORS)), np.bool_),
        )
        for b, mapping in enumerate(mappings):
            if len(mapping.levels) != levels:
                raise ConfigError(
                    f"a mapping has one entry for each of the {levels} levels of "
                    f"{architecture.name!r}, got {len(mapping.levels)}."
                )
            for i, level in enumerate(mapping.levels):
                where = f"mapping of layer {layer.name!r}, level {architecture.levels[i].name!r}"
                arrays.keep[b, i] = _kept(level.keep, where)
                for side, factors in enumerate((level.spatial_x, level.spatial_y)):
                    for dim, factor in _checked(factors, where):
                        arrays.spatial[b, i, side, dim] = factor
                loops = _checked(level.temporal, where)
                first = [dim for dim, _ in loops]
                rest = [dim for dim in range(len(DIMS)) if dim not in first]
                arrays.order[b, i] = first + rest
                for dim, factor in loops:
                    arrays.temporal[b, i, dim] = factor
        arrays.check(layer, architecture)
        return arrays

    def check(self, layer: Layer, architecture: Architecture) -> None:
        """Raise if factors do not multiply up to the bounds or no level keeps a tensor.

        Raises:
            ConfigError: If so; the message names mapping, layer and dimension or tensor.
        """
        least = np.minimum(self.temporal.min(axis=1), self.spatial.min(axis=(1, 2)))
        for b, d in np.argwhere(least < 1).tolist():
            raise ConfigError(
                f"mapping {b} of layer {layer.name!r}: the factors of {DIMS[d]} must be whole "
                f"numbers from 1 on, got {least[b, d]}."
            )
        # As floats, because large products wrap around in integers; those up to the bounds are
        # exact.
        products = self.temporal.prod(axis=1, dtype=np.float64)
        products *= self.spatial.prod(axis=(1, 2), dtype=np.float64)
        for b, d in np.argwhere(products != np.array(layer.bounds)).tolist():
            raise ConfigError(
                f"mapping {b} of layer {layer.name!r}: the factors of {DIMS[d]} multiply to "
                f"{products[b, d]:.16g}, not to its bound {layer.bounds[d]}."
            )
        for b, t in np.argwhere(~self.keep.any(axis=1)).tolist():
            raise ConfigError(
                f"mapping {b} of layer {layer.name!r}: no level of {architecture.name!r} keeps "
                f"{TENSORS[t]}. Let the outermost one keep it."
            )

    def mapping(self, b: int) -> Mapping:
        """Return mapping number `b` of the batch."""
        return Mapping(
            tuple(
                LevelMapping(
                    keep=tuple(t for t, kept in zip(TENSORS, self.keep[b, i], strict=True) if kept),
                    temporal=_factors(self.temporal[b, i], self.order[b, i]),
                    spatial_x=_factors(self.spatial[b, i, 0], range(len(DIMS))),
                    spatial_y=_factors(self.spatial[b, i, 1], range(len(DIMS))),
                )
                for i in range(self.temporal.shape[1])
            )
        )


@lru_cache(maxsize=4096)
def hardware_table(architecture: Architecture) -> npt.NDArray[np.float64]:
    """Return what the kernel reads of the levels, float64[L, 9]; shared, do not change it."""
    table = np.array(
        [
            [
                fan_x,
                fan_y,
                _or_infinity(level.capacity_words),
                level.block_size,
                _or_infinity(level.read_bandwidth),
                _or_infinity(level.write_bandwidth),
                _or_infinity(level.shared_bandwidth),
                level.read_pj,
                level.write_pj,
            ]
            for level, fan_x, fan_y in zip(
                architecture.levels, architecture.fanout_x, architecture.fanout_y, strict=True
            )
        ],
        np.float64,
    )
    table.flags.writeable = False
    return table


def _or_infinity(limit: float | None) -> float:
    return math.inf if limit is None else limit


def steps_on_axes(layer: Layer) -> npt.NDArray[np.int64]:
    """Return the step of each dimension on its axis of the inputs, int64[8]."""
    steps = dict.fromkeys(DIMS, 1) | {
        "P": layer.stride_p,
        "Q": layer.stride_q,
        "R": layer.dilation_r,
        "S": layer.dilation_s,
    }
    return np.array([steps[dim] for dim in DIMS], np.int64)


class Counts(NamedTuple):
    """What the kernel says about B mappings over L levels.

    Attributes:
        verdicts: `kernel.OK` or why a mapping is not legal, and at which level, int64[B, 2].
        results: Cycles and energy in pJ, float64[B, 2]; zero for illegal mappings.
        words: Words read, filled and updated by an instance, for each tensor, int64[B, L, 3, 3];
            zero for illegal mappings.
        sizes: Tile and partition in words, and instances used, float64[B, L, 3, 3].
    """

    verdicts: npt.NDArray[np.int64]
    results: npt.NDArray[np.float64]
    words: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.float64]


def count_batch(
    layer: Layer,
    architectures: Sequence[Architecture],
    mappings: MappingArrays,
    *,
    fills_of_first_sums: bool = False,
    detailed: bool = True,
) -> Counts:
    """Count what many mappings of a layer move.

    Args:
        layer: The layer.
        architectures: One architecture for all mappings, or one for each, of equally many levels.
        mappings: B mappings, checked by `MappingArrays.of` or made from a template.
        fills_of_first_sums: Whether partial sums that were never written count as fills, as in
            Timeloop up to 2022.
        detailed: Whether words and sizes are kept; otherwise they are those of one mapping.

    Raises:
        ConfigError: If there are neither one nor B architectures.
    """
    batch, levels = mappings.temporal.shape[:2]
    if len(architectures) not in (1, batch):
        raise ConfigError(
            f"{batch} mappings need one architecture or one each, got {len(architectures)}."
        )
    rows = batch if detailed else 1
    counts = Counts(
        np.empty((batch, 2), np.int64),
        np.empty((batch, 2), np.float64),
        np.zeros((rows, levels, len(TENSORS), 3), np.int64),
        np.zeros((rows, levels, len(TENSORS), len(kernel.PER_LEVEL)), np.float64),
    )
    kernel.evaluate(
        steps_on_axes(layer),
        layer.macs,
        mappings.spatial,
        mappings.temporal,
        mappings.order,
        mappings.keep,
        np.stack([hardware_table(each) for each in architectures]),
        np.array([each.compute.mac_pj for each in architectures]),
        not fills_of_first_sums,
        *counts,
    )
    return counts


def tensor_energies(architecture: Architecture, counts: Counts) -> npt.NDArray[np.float64]:
    """Return the energy that each level spends on each tensor, in pJ, float64[B, L, 3].

    Args:
        architecture: The accelerator of all mappings.
        counts: Detailed counts of them.
    """
    table = hardware_table(architecture)
    block, read_pj, write_pj = (
        table[:, kernel.HARDWARE.index(name), np.newaxis]
        for name in ("block", "read_pj", "write_pj")
    )
    blocks = -(-counts.words // block[..., np.newaxis].astype(np.int64))
    written = blocks[..., kernel.FILLS] + blocks[..., kernel.UPDATES]
    each = blocks[..., kernel.READS] * read_pj + written * write_pj
    return np.asarray(counts.sizes[..., kernel.PER_LEVEL.index("instances")] * each)


def evaluate_batch(
    layer: Layer,
    architectures: Sequence[Architecture],
    mappings: MappingArrays,
    *,
    fills_of_first_sums: bool = False,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Evaluate many mappings of a layer.

    Args:
        layer: As for `count_batch`, and so are the others.
        architectures: As above.
        mappings: As above.
        fills_of_first_sums: As above.

    Returns:
        Verdicts int64[B, 2], and cycles and energy in pJ, float64[B, 2]; see `Counts`.

    Raises:
        ConfigError: If there are neither one nor B architectures.
    """
    counts = count_batch(
        layer,
        architectures,
        mappings,
        fills_of_first_sums=fills_of_first_sums,
        detailed=False,
    )
    return counts.verdicts, counts.results


def evaluate(
    layer: Layer,
    architecture: Architecture,
    mapping: Mapping,
    *,
    fills_of_first_sums: bool = False,
) -> Cost:
    """Evaluate one mapping of a layer in detail.

    Args:
        layer: The layer.
        architecture: The accelerator.
        mapping: How the layer runs on it.
        fills_of_first_sums: As in `evaluate_batch`.

    Returns:
        Cycles and energy, with what each level does with each tensor.

    Raises:
        ConfigError: If the mapping does not fit the layer or the architecture's levels.
        InfeasibleDesign: If a tile does not fit into a level, or a level has too few children. The
            message names the level and the tensors.

    Examples:
        The example of the specification: a matrix product of 128 x 128 x 128 on 7 x 8 elements.

        >>> from archgym_py.simulators.dnn.hardware import Compute, Level
        >>> levels = (Level(name="RF", mesh_x=7, mesh_y=8), Level(name="GLB"), Level(name="DRAM"))
        >>> pes = Architecture(name="pes", levels=levels,
        ...                    compute=Compute(mesh_x=7, mesh_y=8, mac_pj=1.0))
        >>> gemm = Layer(name="gemm", op="gemm", M=128, C=128, P=128)
        >>> nest = Mapping((
        ...     LevelMapping(temporal=(("M", 16), ("P", 4), ("C", 2))),
        ...     LevelMapping(spatial_x=(("P", 4),), spatial_y=(("C", 8),),
        ...                  temporal=(("C", 2), ("P", 4), ("M", 2))),
        ...     LevelMapping(temporal=(("P", 2), ("M", 4), ("C", 4))),
        ... ))
        >>> cost = evaluate(gemm, pes, nest)
        >>> cost.cycles, round(cost.utilization, 4), cost.levels[0].tensors["Outputs"].reads
        (65536, 0.5714, 61440)
    """
    arrays = MappingArrays.of([mapping], layer, architecture)
    check_legal(layer, architecture, arrays.spatial[0], arrays.temporal[0], arrays.keep[0])
    counts = count_batch(layer, [architecture], arrays, fills_of_first_sums=fills_of_first_sums)
    energies = tensor_energies(architecture, counts)
    compute = int(arrays.temporal.prod())
    costs = tuple(
        _level_cost(
            level,
            arrays.keep[0, i],
            counts.words[0, i],
            counts.sizes[0, i],
            energies[0, i],
            compute,
        )
        for i, level in enumerate(architecture.levels)
    )
    cycles = int(counts.results[0, 0])
    bound = next((c.name for c in costs if c.cycles > compute and c.cycles == cycles), "compute")
    return Cost(
        cycles=cycles,
        compute_cycles=compute,
        energy_pj=float(counts.results[0, 1]),
        mac_energy_pj=layer.macs * architecture.compute.mac_pj,
        utilization=layer.macs / (cycles * architecture.compute.instances),
        levels=costs,
        bound=bound,
    )


def _level_cost(
    level: Level,
    keep: npt.NDArray[np.bool_],
    words: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.float64],
    energies: npt.NDArray[np.float64],
    compute: int,
) -> LevelCost:
    instances = int(sizes[0, 2])
    tensors = {}
    for t, tensor in enumerate(TENSORS):
        reads, fills, updates = words[t].tolist()
        tensors[tensor] = TensorCost(
            tile=int(sizes[t, 0]) if keep[t] else 0,
            partition=int(sizes[t, 1]) if keep[t] else 0,
            reads=reads,
            fills=fills,
            updates=updates,
            energy_pj=float(energies[t]),
        )
    read = int(words[:, kernel.READS].sum())
    written = int(words[:, kernel.FILLS].sum() + words[:, kernel.UPDATES].sum())
    bandwidths = (level.read_bandwidth, level.write_bandwidth, level.shared_bandwidth)
    needs = [
        moved / bandwidth
        for moved, bandwidth in zip((read, written, read + written), bandwidths, strict=True)
        if bandwidth is not None
    ]
    return LevelCost(
        name=level.name,
        instances=instances,
        cycles=math.ceil(max(compute, *needs, 0) * (1 - 1e-12)),
        energy_pj=sum(cost.energy_pj for cost in tensors.values()),
        tensors=tensors,
    )


def check_legal(
    layer: Layer,
    architecture: Architecture,
    spatial: npt.NDArray[np.int64],
    temporal: npt.NDArray[np.int64],
    keep: npt.NDArray[np.bool_],
) -> None:
    """Raise if a mapping has too many children or tiles that do not fit.

    Args:
        layer: The layer.
        architecture: The accelerator.
        spatial: Factors in X and Y, int64[L, 2, 8].
        temporal: Factors in time, int64[L, 8].
        keep: Whether a level keeps a tensor, bool[L, 3].

    Raises:
        InfeasibleDesign: If the mapping is not legal. The message names the level, and the tensors
            or the dimensions.
    """
    extents = np.ones(len(DIMS), np.int64)
    fans = (architecture.fanout_x, architecture.fanout_y)
    for number, level in enumerate(architecture.levels):
        for side, axis in enumerate("XY"):
            factors = spatial[number, side]
            if factors.prod() > fans[side][number]:
                spread = " x ".join(f"{DIMS[d]} {factors[d]}" for d in np.flatnonzero(factors > 1))
                raise InfeasibleDesign(
                    f"layer {layer.name!r}: level {level.name!r} has {fans[side][number]} children "
                    f"in {axis}, too few to spread {spread} over."
                )
        extents *= spatial[number].prod(axis=0) * temporal[number]
        tiles = tile_words(layer, dict(zip(DIMS, extents.tolist(), strict=True)))
        kept = {t: tiles[t] for t, held in zip(TENSORS, keep[number], strict=True) if held}
        capacity = level.capacity_words
        if capacity is not None and sum(kept.values()) > capacity:
            parts = ", ".join(f"{words} of {tensor}" for tensor, words in kept.items())
            raise InfeasibleDesign(
                f"layer {layer.name!r}: level {level.name!r} holds {capacity} words, but its "
                f"tiles need {sum(kept.values())} ({parts})."
            )


def tile_words(layer: Layer, extents: dict[str, int]) -> dict[str, int]:
    """Return the words of each tensor that a box of iterations touches.

    Args:
        layer: The layer.
        extents: Iterations of each dimension.
    """
    e = extents
    columns = 1 + layer.stride_p * (e["P"] - 1) + layer.dilation_r * (e["R"] - 1)
    rows = 1 + layer.stride_q * (e["Q"] - 1) + layer.dilation_s * (e["S"] - 1)
    return {
        "Weights": e["G"] * e["M"] * e["C"] * e["R"] * e["S"],
        "Inputs": e["N"] * e["G"] * e["C"] * columns * rows,
        "Outputs": e["N"] * e["G"] * e["M"] * e["P"] * e["Q"],
    }


def _kept(keep: object, where: str) -> list[bool]:
    """Return whether a level keeps each tensor."""
    if not isinstance(keep, tuple):
        raise ConfigError(f"{where}: keep must be a tuple of tensors, got {keep!r}.")
    for tensor in keep:
        if tensor not in TENSORS:
            raise ConfigError(
                f"{where}: a tensor is one of {', '.join(TENSORS)}, got {tensor!r}."
                f"{did_you_mean(str(tensor), TENSORS)}"
            )
    if len(set(keep)) < len(keep):
        raise ConfigError(f"{where}: a tensor occurs twice in keep: {keep!r}. Name each once.")
    return [tensor in keep for tensor in TENSORS]


def _checked(factors: object, where: str) -> list[tuple[int, int]]:
    """Return pairs of a dimension's number and its factor."""
    try:
        pairs = [(dim, factor) for dim, factor in factors]  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise ConfigError(
            f"{where}: factors must be a tuple of pairs such as ('M', 2), got {factors!r}."
        ) from None
    checked = []
    for dim, factor in pairs:
        if not (isinstance(dim, str) and dim in _PLACE):
            raise ConfigError(f"{where}: a dimension is one of {', '.join(DIMS)}, got {dim!r}.")
        checked.append(
            (_PLACE[dim], integer(f"{where}: the factor of {dim}", factor, 1, MAX_BOUND))
        )
    if len({dim for dim, _ in checked}) < len(checked):
        raise ConfigError(f"{where}: a dimension occurs twice in one block: {factors!r}.")
    return checked


def _factors(
    factors: npt.NDArray[np.int64], order: Sequence[int] | npt.NDArray[np.int64] | range
) -> tuple[tuple[str, int], ...]:
    return tuple((DIMS[d], int(factors[d])) for d in order if factors[d] > 1)
