"""Mappings as designs: the parameters of a layer's mapping, and back from them to the mapping.

A mapping is given for each layer by

* `parallel`: which dimensions are spread over the array. "none"; "M": M alone, over the whole
  array; "MxC": parts of M along X and parts of C along Y. M, C, P, Q and G can be spread.
* `factors_<DIM>`: how the bound of a dimension is cut, as "L1*space*L2*DRAM": iterations in a PE,
  parts that work side by side, iterations in L2, iterations in DRAM. "4*8*1*2" is a bound of 64.
  A dimension that is not spread has the parameter without a suffix and a space of 1;
  `factors_<DIM>_array` has effect where it is spread alone, `factors_<DIM>_side` where it is one of
  two (`_x` and `_y` if the array is not a square), and then the space is at least 2 and fits.
* `order_l2` and `order_dram`: the order of the loops in L2 and in DRAM, from the inside out, so
  that "PQMCRS" first moves on in P. There are all permutations of the dimensions of more than one
  iteration if these are at most six, else `mapspace.free_orders`. The loops in L1 have no order:
  a multiplier keeps nothing, so that it makes no difference.

What cannot be spread or cut has no parameter. Factors multiply to the bound exactly: a bound such
as 13 is cut as 1 * 13 only, and 55 is never padded to 56 to fill an array better. Cuts of a
dimension that would not fit a memory even if all other tiles were 1 are left out.

So every design is a mapping, and only the capacities of L1 and L2 make it infeasible. Two designs
are two mappings, except that an order also has a place for loops of one iteration. On a square M
along X with C along Y stands for the reverse too; where the sides differ there are both, as other
sizes fit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import combinations, permutations
from typing import Final, NamedTuple, cast

import numpy as np

from archgym_py.simulators.dnn.hardware import Architecture
from archgym_py.simulators.dnn.layers import DIMS, Layer
from archgym_py.simulators.dnn.mapping_cuts import (
    ROLES,
    Cuts,
    Integers,
    cuts_that_fit,
    largest_tiles,
    mapping_arrays,
    weights_in_place,
)
from archgym_py.simulators.dnn.mapping_hardware import DRAM, L2
from archgym_py.simulators.dnn.mapspace import free_orders
from archgym_py.simulators.dnn.model import MappingArrays
from archgym_py.space import Choice, Design, Parameter, ParameterSpace, Value

__all__ = ["LayerMappings", "layer_mappings", "mapping_space"]

_SPREADABLE: Final = "MCPQG"
"""Dimensions that may be spread, those of the weights first."""

_MAX_PERMUTED: Final = 6
"""Up to so many dimensions all orders are offered: 720 as published."""


def mapping_space(layers: Sequence[LayerMappings]) -> ParameterSpace:
    """Return the mappings of layers as designs.

    Args:
        layers: The mappings of each layer, from `layer_mappings`.

    Returns:
        The space. The default of each layer is a legal mapping.

    Examples:
        >>> from archgym_py.simulators.dnn.mapping_hardware import array_architecture
        >>> from archgym_py.simulators.dnn.networks import as_network
        >>> layers = as_network("alexnet").select("conv5", "fc8").layers
        >>> space = mapping_space(layer_mappings(layers, array_architecture()))
        >>> [name for name in space.names if name.startswith("fc8")]
        ['fc8_parallel', 'fc8_factors_M', 'fc8_factors_M_array', 'fc8_factors_M_side',
         'fc8_factors_C', 'fc8_factors_C_array', 'fc8_factors_C_side', 'fc8_order_l2',
         'fc8_order_dram']
        >>> space.default()["conv5_parallel"], space.default()["conv5_factors_M_side"]
        ('MxC', '1*32*1*8')
    """
    return ParameterSpace(tuple(p for layer in layers for p in layer.parameters))


def layer_mappings(layers: Sequence[Layer], architecture: Architecture) -> list[LayerMappings]:
    """Return the mappings of every distinct layer.

    Args:
        layers: The layers. Those of the same shape share their parameters, which have the name of
            the first of them, as an identifier, in front of theirs; if all have the same shape, the
            names are bare.
        architecture: The hardware, as `mapping_hardware.array_architecture` makes it.
    """
    distinct: dict[tuple[int, ...], Layer] = {}
    for layer in layers:
        distinct.setdefault(layer.shape_key, layer)
    if len(distinct) == 1:
        return [LayerMappings(layers[0], architecture)]
    found: list[LayerMappings] = []
    taken: set[str] = set()
    for layer in distinct.values():
        stem = re.sub(r"\W", "_", layer.name)
        stem = stem if stem.isidentifier() else f"layer_{stem}"
        prefix, number = f"{stem}_", 2
        while prefix in taken:  # "a.b" and "a-b"
            prefix, number = f"{stem}_{number}_", number + 1
        taken.add(prefix)
        found.append(LayerMappings(layer, architecture, prefix=prefix))
    return found


class _Use(NamedTuple):
    """A value of `parallel`: its name, and the role of each dimension, one of `ROLES`."""

    name: str
    roles: Mapping[str, str]


class _Orders(NamedTuple):
    """Loop orders, from the inside out; shared, do not change them.

    Attributes:
        texts: The orders of the dimensions of more than one iteration.
        numbers: The place of each of them.
        table: The orders of all dimensions, int64[n, 8].
    """

    texts: tuple[str, ...]
    numbers: Mapping[Value, int]
    table: Integers


class _Reader(NamedTuple):
    """How the cut of a dimension is read from a design.

    Attributes:
        factors: The cuts in all roles, int64[n, 5].
        rows: For each use of the array, the parameter that has effect, and the row of each of its
            values. The sides of a square share a parameter, so the values alone do not say which.
    """

    factors: Integers
    rows: Mapping[str, tuple[str, Mapping[Value, int]]]


class LayerMappings:
    """The mappings of one layer, as parameters and as what the model takes.

    Args:
        layer: The layer.
        architecture: The hardware, as `mapping_hardware.array_architecture` makes it.
        prefix: What the names of the parameters begin with.

    Attributes:
        layer: The layer.
        parameters: The parameters of a mapping, `parallel` first.
    """

    def __init__(self, layer: Layer, architecture: Architecture, *, prefix: str = "") -> None:
        self.layer = layer
        self._prefix = prefix
        self._parallel = f"{prefix}parallel"
        self._dims = "".join(d for d, n in zip(DIMS, layer.bounds, strict=True) if n > 1)
        square = architecture.fanout_x[L2] == architecture.fanout_y[L2]
        sides = ("_side", "_side") if square else ("_x", "_y")
        self._suffixes = dict(zip(ROLES, ("", "_array", *sides), strict=True))
        self._cuts: dict[tuple[str, str], Cuts] = {}
        for dim in self._dims:
            largest = largest_tiles(layer, dim, architecture)
            for role in ROLES if dim in _SPREADABLE else ROLES[:1]:
                self._cuts[dim, role] = cuts_that_fit(layer, dim, role, architecture, largest)
        self._uses = _uses(self._dims, self._cuts, square=square)
        self._orders = _orders(self._dims)
        self._order_names = (
            {L2: f"{prefix}order_l2", DRAM: f"{prefix}order_dram"} if len(self._dims) > 1 else {}
        )
        self._readers = {dim: self._reader(dim) for dim in self._dims}
        use, cuts = weights_in_place(
            layer, architecture, [use.roles for use in self._uses], self._cuts
        )
        self.parameters = tuple(self._parameters(self._uses[use], cuts))

    def decode(self, designs: Sequence[Design]) -> MappingArrays:
        """Return the mappings that designs say.

        Args:
            designs: Designs of a space that has these parameters.
        """
        uses = [cast(str, design[self._parallel]) for design in designs]
        cuts = {}
        for dim, reader in self._readers.items():
            rows = []
            for design, use in zip(designs, uses, strict=True):
                name, numbers = reader.rows[use]
                rows.append(numbers[design[name]])
            cuts[dim] = reader.factors[rows]
        arrays = mapping_arrays(self.layer, cuts, len(designs))
        arrays.order[:] = self._orders.table[0]
        for level, name in self._order_names.items():
            rows = [self._orders.numbers[design[name]] for design in designs]
            arrays.order[:, level] = self._orders.table[rows]
        return arrays

    def _reader(self, dim: str) -> _Reader:
        tables: list[Integers] = []
        numbers: dict[str, Mapping[Value, int]] = {}
        first = 0
        for role in ROLES:
            if (dim, role) in self._cuts:
                factors, texts = self._cuts[dim, role]
                tables.append(factors)
                numbers[role] = dict(zip(texts, range(first, first + len(texts)), strict=True))
                first += len(texts)
        return _Reader(
            np.concatenate(tables),
            {
                use.name: (self._factors_name(dim, use.roles[dim]), numbers[use.roles[dim]])
                for use in self._uses
            },
        )

    def _factors_name(self, dim: str, role: str) -> str:
        return f"{self._prefix}factors_{dim}{self._suffixes[role]}"

    def _parameters(self, default: _Use, default_cuts: Mapping[str, str]) -> Iterator[Parameter]:
        where = f" of {self.layer.name}" if self._prefix else ""
        yield Choice(
            self._parallel,
            tuple(use.name for use in self._uses),
            default=default.name,
            doc=f"dimensions{where} that are spread over the array",
        )
        for dim in self._dims:
            bound = getattr(self.layer, dim)
            for suffix in dict.fromkeys(self._suffixes.values()):
                roles = [role for role, end in self._suffixes.items() if end == suffix]
                active = [use.name for use in self._uses if use.roles[dim] in roles]
                if not active:
                    continue
                # The two roles that share a parameter have the same texts.
                values = self._cuts[dim, roles[0]].texts
                chosen = default.roles[dim] in roles
                yield Choice(
                    self._factors_name(dim, roles[0]),
                    values,
                    # Otherwise all in DRAM but for the smallest part in space.
                    default=default_cuts[dim] if chosen else values[0],
                    doc=f"{bound} of {dim}{where} as L1*space*L2*DRAM",
                    active_when={} if len(active) == len(self._uses) else {self._parallel: active},
                )
        for level, name in self._order_names.items():
            place = {L2: "L2", DRAM: "DRAM"}[level]
            yield Choice(name, self._orders.texts, doc=f"loops{where} in {place}, innermost first")


def _uses(dims: str, cuts: Mapping[tuple[str, str], Cuts], *, square: bool) -> tuple[_Use, ...]:
    """Return the uses of the array for which there are cuts; in the first nothing is spread."""
    idle = dict.fromkeys(dims, "")
    spread = [dim for dim in _SPREADABLE if dim in dims]
    uses = [_Use("none", idle)]
    uses += (_Use(dim, idle | {dim: "array"}) for dim in spread if cuts[dim, "array"].texts)
    # On a square, one of X and Y is as good as the other.
    uses += (
        _Use(f"{a}x{b}", idle | {a: "x", b: "y"})
        for a, b in (combinations(spread, 2) if square else permutations(spread, 2))
        if cuts[a, "x"].texts and cuts[b, "y"].texts
    )
    return tuple(uses)


@lru_cache(maxsize=256)
def _orders(dims: str) -> _Orders:
    """Return the loop orders that are offered; the first keeps the weights in place."""
    few = ["".join(dim for dim in order if dim in dims) for order in free_orders()]
    if len(dims) <= _MAX_PERMUTED:
        few = [few[0], *map("".join, permutations(dims))]
    texts = tuple(dict.fromkeys(few))
    rest = [d for d, dim in enumerate(DIMS) if dim not in dims]
    table = np.array([[*map(DIMS.index, order), *rest] for order in texts], np.int64)
    return _Orders(texts, {text: number for number, text in enumerate(texts)}, table)
