"""Accelerators as hierarchies of storage levels above an array of multipliers.

The terms are Timeloop's: a *word* is one element of a tensor, a *block* is the words that one
access moves, the *fan-out* of a level is the number of instances of the next inner level (or of
multipliers) that each of its instances serves, in X and in Y.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from archgym_py.checks import integer, number, require_type
from archgym_py.errors import ConfigError
from archgym_py.simulators.dnn.layers import MAX_BOUND, MAX_COUNT

__all__ = ["Architecture", "Compute", "Level"]

_MIN_BANDWIDTH: Final = 1e-9  # words per cycle; below, cycles are no longer counted exactly


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """The multiply-accumulate units.

    Attributes:
        mesh_x: Units in X.
        mesh_y: Units in Y.
        mac_pj: Energy of one multiply-accumulate, in pJ.
        area_um2: Area of one unit, in um2.
        name: Name of the component.

    Raises:
        ConfigError: If a field has the wrong type or is out of range.
    """

    mesh_x: int
    mesh_y: int
    mac_pj: float
    area_um2: float = 0.0
    name: str = "MAC"

    def __post_init__(self) -> None:
        require_type("the name of the multipliers", self.name, str)
        _check_counts(self, MAX_BOUND, "mesh_x", "mesh_y")
        _check_amounts(self, "mac_pj", "area_um2")

    @property
    def instances(self) -> int:
        """Units of the whole accelerator."""
        return self.mesh_x * self.mesh_y


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One storage level: equal memories, side by side.

    Attributes:
        name: Name of the level, unique in its architecture.
        mesh_x: Instances in X.
        mesh_y: Instances in Y.
        capacity_words: Words that an instance holds; None for no limit.
        block_size: Words that one access moves.
        word_bits: Bits of a word.
        read_bandwidth: Words per cycle that an instance reads; None for no limit.
        write_bandwidth: Words per cycle that an instance writes; None for no limit.
        shared_bandwidth: Words per cycle that an instance reads and writes; None for no limit.
        read_pj: Energy of reading a block, in pJ.
        write_pj: Energy of writing a block, also as an update, in pJ.
        area_um2: Area of an instance, in um2.

    Raises:
        ConfigError: If a field has the wrong type or is out of range.
    """

    name: str
    mesh_x: int = 1
    mesh_y: int = 1
    capacity_words: int | None = None
    block_size: int = 1
    word_bits: int = 16
    read_bandwidth: float | None = None
    write_bandwidth: float | None = None
    shared_bandwidth: float | None = None
    read_pj: float = 0.0
    write_pj: float = 0.0
    area_um2: float = 0.0

    def __post_init__(self) -> None:
        require_type("the name of a level", self.name, str)
        _check_counts(self, MAX_BOUND, "mesh_x", "mesh_y", "block_size", "word_bits")
        if self.capacity_words is not None:
            _check_counts(self, MAX_COUNT, "capacity_words")
        _check_amounts(self, "read_pj", "write_pj", "area_um2")
        for field in ("read_bandwidth", "write_bandwidth", "shared_bandwidth"):
            value = getattr(self, field)
            if value is None:
                continue
            try:
                value = number(f"{self.name}: {field}", value, _MIN_BANDWIDTH, math.inf)
            except ConfigError as error:
                raise ConfigError(f"{error} It counts words per cycle; None is no limit.") from None
            object.__setattr__(self, field, value)

    @property
    def instances(self) -> int:
        """Instances of the whole accelerator."""
        return self.mesh_x * self.mesh_y


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A hierarchy of storage levels, the innermost first, and the multipliers below it.

    Attributes:
        name: Name of the architecture.
        levels: The storage levels from the innermost to the outermost (DRAM); a list becomes a
            tuple.
        compute: The multipliers below the innermost level.

    Raises:
        ConfigError: If a field has the wrong type, there is no level, names repeat, the outermost
            level has several instances or a limited capacity, or instances do not nest evenly.

    Examples:
        >>> pe = Level(name="RF", mesh_x=4, mesh_y=2, capacity_words=64, read_pj=0.1, write_pj=0.1)
        >>> dram = Level(name="DRAM", read_pj=512.0, write_pj=512.0, block_size=4)
        >>> small = Architecture(
        ...     name="small", levels=(pe, dram), compute=Compute(mesh_x=4, mesh_y=2, mac_pj=2.2)
        ... )
        >>> small.fanout_x, small.fanout_y
        ((1, 4), (1, 2))
    """

    name: str
    levels: tuple[Level, ...]
    compute: Compute

    def __post_init__(self) -> None:
        require_type("the name of an architecture", self.name, str)
        levels: object = self.levels
        if not (
            isinstance(levels, tuple | list) and all(isinstance(level, Level) for level in levels)
        ):
            raise ConfigError(
                f"architecture {self.name!r}: levels must be a tuple of Level objects, got "
                f"{levels!r}."
            )
        object.__setattr__(self, "levels", tuple(levels))
        compute: object = self.compute
        if not isinstance(compute, Compute):
            raise ConfigError(
                f"architecture {self.name!r}: compute must be a Compute object, got {compute!r}."
            )
        if not self.levels:
            raise ConfigError(f"architecture {self.name!r} needs at least one storage level.")
        names = [level.name for level in self.levels]
        if len(set(names)) < len(names):
            raise ConfigError(f"architecture {self.name!r}: names of levels repeat: {names}.")
        top = self.levels[-1]
        if top.instances != 1 or top.capacity_words is not None:
            raise ConfigError(
                f"architecture {self.name!r}: the outermost level {top.name!r} must be one "
                f"instance without a limit of its capacity."
            )
        parts: tuple[Compute | Level, ...] = (self.compute, *self.levels)
        for inner, outer in pairwise(parts):
            if inner.mesh_x % outer.mesh_x or inner.mesh_y % outer.mesh_y:
                raise ConfigError(
                    f"architecture {self.name!r}: the {inner.mesh_x} x {inner.mesh_y} instances of "
                    f"{inner.name!r} do not spread evenly over the {outer.mesh_x} x {outer.mesh_y} "
                    f"of {outer.name!r}."
                )

    @property
    def fanout_x(self) -> tuple[int, ...]:
        """Children in X of one instance of each level, the innermost level first."""
        parts: tuple[Compute | Level, ...] = (self.compute, *self.levels)
        return tuple(inner.mesh_x // outer.mesh_x for inner, outer in pairwise(parts))

    @property
    def fanout_y(self) -> tuple[int, ...]:
        """Children in Y of one instance of each level, the innermost level first."""
        parts: tuple[Compute | Level, ...] = (self.compute, *self.levels)
        return tuple(inner.mesh_y // outer.mesh_y for inner, outer in pairwise(parts))

    @property
    def area_um2(self) -> float:
        """Area of all instances and multipliers, in um2."""
        return self.compute.instances * self.compute.area_um2 + sum(
            level.instances * level.area_um2 for level in self.levels
        )


def _check_counts(part: Any, high: int, *fields: str) -> None:
    for field in fields:
        value = integer(f"{part.name}: {field}", getattr(part, field), 1, high)
        object.__setattr__(part, field, value)


def _check_amounts(part: Any, *fields: str) -> None:
    for field in fields:
        value = number(f"{part.name}: {field}", getattr(part, field), 0.0, math.inf)
        object.__setattr__(part, field, value)
