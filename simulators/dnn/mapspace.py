"""Which mappings a dataflow allows: templates, and the choices that they leave open.

A `Template` says of each storage level which tensors it keeps, over which dimensions it may loop in
time, which it may spread in X and in Y, and in which orders its loops may run. A dimension has a
*slot* wherever it may have a factor; a mapping distributes the prime factors of each bound over the
slots of its dimension. A dimension with one slot has no choice there.

`choices_of` lists, for a layer, all distributions of every dimension: first the factors in space,
and for each of these the factors in time. The mapper combines them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from archgym_py.errors import ConfigError
from archgym_py.simulators.dnn.layers import DIMS, TENSORS, Layer

__all__ = [
    "ALL_DIMS",
    "Choices",
    "Combinations",
    "LevelRule",
    "Orders",
    "Template",
    "choices_of",
    "combinations",
    "factorizations",
    "free_orders",
    "minimal_mapping",
    "orders_of",
]

ALL_DIMS: Final = "".join(DIMS)
"""All dimensions, for a slot that has no rule."""

_OF_TENSOR: Final = {"Weights": "GMCRS", "Inputs": "NGCPQRS", "Outputs": "NGMPQ"}
"""The dimensions that each tensor depends on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelRule:
    """What a template allows at one storage level.

    Attributes:
        keep: Tensors that the level holds.
        temporal: Dimensions over which it may loop.
        spatial_x: Dimensions that it may spread over its children in X.
        spatial_y: The same in Y.
        order: Order of its loops from the inside out, a permutation of `DIMS`; "" if any order
            that `free_orders` lists will do.
        spread: Whether it must have more than one child, as where the reference refuses to spread
            over a level that does not exist.
    """

    keep: tuple[str, ...] = TENSORS
    temporal: str = ""
    spatial_x: str = ""
    spatial_y: str = ""
    order: str = ""
    spread: bool = False


@dataclass(frozen=True, slots=True)
class Template:
    """A dataflow: the rules of all levels, the innermost first.

    Attributes:
        name: Name of the dataflow.
        rules: One rule for each level.

    Raises:
        ConfigError: If there is no rule, a dimension has no slot or its outermost one is in space
            although there are others, a rule names an unknown dimension or tensor or repeats one,
            or the outermost level does not keep every tensor.
    """

    name: str
    rules: tuple[LevelRule, ...]

    def __post_init__(self) -> None:
        if not self.rules:
            raise ConfigError(f"template {self.name!r} needs a rule for each storage level.")
        for rule in self.rules:
            for dims in (rule.temporal, rule.spatial_x, rule.spatial_y):
                if not set(dims) <= set(DIMS) or len(set(dims)) < len(dims):
                    raise ConfigError(
                        f"template {self.name!r}: slots are dimensions of {ALL_DIMS}, each once; "
                        f"got {dims!r}."
                    )
            if rule.order and sorted(rule.order) != sorted(DIMS):
                raise ConfigError(
                    f"template {self.name!r}: an order is a permutation of {ALL_DIMS}, got "
                    f"{rule.order!r}."
                )
            if not set(rule.keep) <= set(TENSORS):
                raise ConfigError(
                    f"template {self.name!r}: tensors are {', '.join(TENSORS)}, got {rule.keep!r}."
                )
        if set(self.rules[-1].keep) != set(TENSORS):
            raise ConfigError(f"template {self.name!r}: the outermost level keeps every tensor.")
        for dim in DIMS:
            in_time, in_space = self.temporal_slots(dim), self.spatial_slots(dim)
            if not in_time and not in_space:
                raise ConfigError(f"template {self.name!r}: dimension {dim} has no slot.")
            # So that moving factors outwards makes all tiles smaller, see `minimal_mapping`. A
            # level's spatial block is inside of its temporal one.
            last_in_time = in_time[-1] if in_time else -1
            last_in_space = in_space[-1] // 2 if in_space else -1
            if last_in_space > last_in_time and len(in_time) + len(in_space) > 1:
                raise ConfigError(
                    f"template {self.name!r}: the outermost slot of dimension {dim} is in space. "
                    f"Allow a loop over it at that level or further out."
                )

    def temporal_slots(self, dim: str) -> tuple[int, ...]:
        """Return the levels that may loop over a dimension."""
        return tuple(level for level, rule in enumerate(self.rules) if dim in rule.temporal)

    def spatial_slots(self, dim: str) -> tuple[int, ...]:
        """Return where a dimension may be spread: 2 * level for X, 2 * level + 1 for Y."""
        return tuple(
            2 * level + side
            for level, rule in enumerate(self.rules)
            for side, dims in enumerate((rule.spatial_x, rule.spatial_y))
            if dim in dims
        )

    @property
    def keep(self) -> npt.NDArray[np.bool_]:
        """Whether a level keeps a tensor, bool[L, 3]."""
        return np.array([[tensor in rule.keep for tensor in TENSORS] for rule in self.rules])


class Choices(NamedTuple):
    """All ways to distribute the factors of each dimension of a layer, as arrays.

    Attributes:
        first_option: The options of dimension d are those from first_option[d] to
            first_option[d + 1], int64[9].
        options: Factors in space, int64[options, 2L], in X and Y of each level.
        first_row: First of an option's rows, int64[options].
        last_row: The row after its last, int64[options].
        rows: Factors in time, int64[rows, L].
    """

    first_option: npt.NDArray[np.int64]
    options: npt.NDArray[np.int64]
    first_row: npt.NDArray[np.int64]
    last_row: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]


@lru_cache(maxsize=4096)
def choices_of(template: Template, bounds: tuple[int, ...]) -> Choices:
    """List all ways to distribute the bounds of a layer over a template's slots.

    Args:
        template: The template.
        bounds: Sizes of the dimensions, in the order of `DIMS`.

    Returns:
        The choices; shared, do not change them.
    """
    parts = [
        _choices_of_dim(
            bound, template.spatial_slots(dim), template.temporal_slots(dim), len(template.rules)
        )
        for dim, bound in zip(DIMS, bounds, strict=True)
    ]
    starts = np.cumsum([0, *(len(rows) for *_, rows in parts)])
    return Choices(
        np.cumsum([0, *(len(options) for options, *_ in parts)]),
        np.concatenate([options for options, *_ in parts]),
        np.concatenate([first + s for (_, first, _, _), s in zip(parts, starts[:-1], strict=True)]),
        np.concatenate([last + s for (_, _, last, _), s in zip(parts, starts[:-1], strict=True)]),
        np.concatenate([rows for *_, rows in parts]),
    )


class Combinations(NamedTuple):
    """Ways to use an array of processing elements, those that use most of them first.

    Attributes:
        options: For each way the option of each dimension, int64[n, 8].
        used: Product of its factors in space, int64[n].
    """

    options: npt.NDArray[np.int64]
    used: npt.NDArray[np.int64]


@lru_cache(maxsize=4096)
def combinations(
    template: Template, bounds: tuple[int, ...], fanouts: tuple[int, ...]
) -> Combinations:
    """List the combinations of factors in space that fit an array.

    Args:
        template: The template.
        bounds: Sizes of the dimensions, in the order of `DIMS`.
        fanouts: Children in X and Y of each level.

    Returns:
        The combinations by falling use of the array; shared, do not change them. There is none if
        the slots force more children than there are.
    """
    choices = choices_of(template, bounds)
    limits = np.array(fanouts)
    taken = np.ones((1, len(fanouts)), np.int64)
    chosen = np.empty((1, 0), np.int64)
    for d in range(len(DIMS)):
        numbers = np.arange(choices.first_option[d], choices.first_option[d + 1])
        product = taken[:, np.newaxis, :] * choices.options[numbers]
        old, new = np.nonzero((product <= limits).all(axis=2))
        taken = product[old, new]
        chosen = np.column_stack([chosen[old], numbers[new]])
    used = taken.prod(axis=1)
    best_first = np.argsort(-used, kind="stable")
    return Combinations(
        np.ascontiguousarray(chosen[best_first]), np.ascontiguousarray(used[best_first])
    )


class Orders(NamedTuple):
    """The loop orders of a template, as arrays.

    Attributes:
        orders: All orders of all levels, from the inside out, int64[K, 8].
        distinct: Numbers of the orders that differ at a level, given the dimensions that it loops
            over as bits, int64[L, 256, k]; loops of one iteration play no part.
        n_distinct: How many of them, int64[L, 256].
    """

    orders: npt.NDArray[np.int64]
    distinct: npt.NDArray[np.int64]
    n_distinct: npt.NDArray[np.int64]


@lru_cache(maxsize=256)
def orders_of(template: Template) -> Orders:
    """Return the loop orders that a template allows; shared, do not change them."""
    lists = [(rule.order,) if rule.order else free_orders() for rule in template.rules]
    every = tuple(dict.fromkeys(order for orders in lists for order in orders))
    masks = 2 ** len(DIMS)
    distinct = np.zeros((len(lists), masks, max(len(orders) for orders in lists)), np.int64)
    n_distinct = np.zeros((len(lists), masks), np.int64)
    for level, orders in enumerate(lists):
        for mask, differing in enumerate(_distinct_orders(orders)):
            distinct[level, mask, : len(differing)] = [every.index(order) for order in differing]
            n_distinct[level, mask] = len(differing)
    table = np.array([[DIMS.index(dim) for dim in order] for order in every])
    return Orders(table, distinct, n_distinct)


@lru_cache(maxsize=256)
def _distinct_orders(orders: tuple[str, ...]) -> list[list[str]]:
    """Return the orders that differ, for every set of dimensions with loops."""
    sets = []
    for mask in range(2 ** len(DIMS)):
        looped = {dim for d, dim in enumerate(DIMS) if mask >> d & 1}
        by_effect: dict[str, str] = {}
        for order in orders:
            by_effect.setdefault("".join(dim for dim in order if dim in looped), order)
        sets.append(list(by_effect.values()))
    return sets


@lru_cache(maxsize=1)
def free_orders() -> tuple[str, ...]:
    """Return the loop orders that make a difference to traffic, but for coincidences.

    What a level sends of a tensor depends on the innermost of its loops that moves the tile. So for
    each tensor and each of its dimensions there is an order with the loops that leave the tensor in
    place inside, then that dimension, then the others; and, since the innermost loop may slide
    another tensor's window, the same with each of the idle loops innermost.
    """
    stationary, sliding = [], []
    for tensor, dims in _OF_TENSOR.items():
        idle = [dim for dim in DIMS if dim not in dims]
        for moved in dims:
            rest = [dim for dim in dims if dim != moved]
            stationary.append("".join([*idle, moved, *rest]))
        for innermost in idle:
            others = [dim for dim in idle if dim != innermost]
            for moved in dims if tensor == "Inputs" else dims[:1]:
                rest = [dim for dim in dims if dim != moved]
                sliding.append("".join([innermost, *others, moved, *rest]))
    return tuple(dict.fromkeys(stationary + sliding))


def minimal_mapping(
    template: Template, layer: Layer
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the mapping with the smallest tiles: every factor in its outermost temporal slot.

    Tiles grow with every factor that moves inwards, and `Template` sees to it that the outermost
    slot is one in time where there is a choice. So if this mapping is not legal none is.

    Returns:
        Factors in space int64[L, 2, 8], more than 1 only for dimensions without a temporal slot,
        and in time int64[L, 8].
    """
    levels = len(template.rules)
    spatial = np.ones((levels, 2, len(DIMS)), np.int64)
    temporal = np.ones((levels, len(DIMS)), np.int64)
    for d, (dim, bound) in enumerate(zip(DIMS, layer.bounds, strict=True)):
        slots = template.temporal_slots(dim)
        if slots:
            temporal[slots[-1], d] = bound
        else:
            slot = template.spatial_slots(dim)[-1]
            spatial[slot // 2, slot % 2, d] = bound
    return spatial, temporal


@lru_cache(maxsize=65536)
def _choices_of_dim(
    bound: int, spatial: Sequence[int], temporal: Sequence[int], levels: int
) -> tuple[npt.NDArray[np.int64], ...]:
    """Return options, first and last rows and rows of one dimension."""
    options, first, last, rows = [], [], [], []
    total = 0
    for split in factorizations(bound, len(spatial) + 1).tolist():
        *in_space, rest = split
        if rest > 1 and not temporal:
            continue
        option = np.ones(2 * levels, np.int64)
        option[list(spatial)] = in_space
        times = factorizations(rest, len(temporal)) if temporal else np.ones((1, 0), np.int64)
        table = np.ones((len(times), levels), np.int64)
        table[:, list(temporal)] = times
        options.append(option)
        rows.append(table)
        first.append(total)
        total += len(table)
        last.append(total)
    return np.array(options), np.array(first), np.array(last), np.concatenate(rows)


@lru_cache(maxsize=65536)
def factorizations(number: int, parts: int) -> npt.NDArray[np.int64]:
    """Return all ways to write a number as a product of so many ordered factors, int64[n, parts].

    Examples:
        >>> factorizations(4, 2).tolist()
        [[1, 4], [2, 2], [4, 1]]
    """
    if parts == 1:
        return np.array([[number]])
    tables = [
        np.column_stack([np.full(len(rest), divisor), rest])
        for divisor in _divisors(number)
        for rest in (factorizations(number // divisor, parts - 1),)
    ]
    return np.concatenate(tables)


@lru_cache(maxsize=65536)
def _divisors(number: int) -> tuple[int, ...]:
    low = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return tuple(sorted({*low, *(number // d for d in low)}))
