"""Grid search: every combination of evenly spaced values, then of more of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import ClassVar, cast

import numpy as np

from archgym_py.agent import AskTellAgent, take_new
from archgym_py.space import Choice, Design, Integer, Parameter, ParameterSpace, Value

__all__ = ["Grid"]

_ATTEMPTS = 200
"""Batches of points without a new feasible design after which known ones are proposed again."""


class Grid(AskTellAgent):
    """Evaluates a coarse grid, then finer ones, leaving out what was evaluated before.

    The grid of level L has L evenly spaced values of every ordered parameter, both ends included,
    and all values of the unordered ones. The levels are 2, 3, 4, ...; a continuous parameter can
    always be cut finer, any other space is exhausted one day and then proposed again.

    A budget usually ends within a grid. In lexicographic order the first parameters would never
    have moved by then, so that by default the points are visited in a scattered order: the index
    grows by a random stride without a common factor with the number of points, modulo this number.
    Each point comes once, and no list of them is kept.

    Examples:
        >>> from archgym_py.simulators.toy import TOY_SPACE
        >>> agent = Grid(TOY_SPACE, seed=0)
        >>> 1 <= len(agent.ask(3)) <= 3
        True
    """

    name: ClassVar[str] = "grid"
    doc: ClassVar[str] = "full-factorial grids, coarse to fine"
    hyperparameters: ClassVar[ParameterSpace] = ParameterSpace(
        (
            Choice("order", ("scattered", "lexicographic"), doc="of the points of a grid"),
            Integer("batch_size", 1, 1024, default=64, doc="points taken at a time"),
        )
    )

    def __init__(self, space: ParameterSpace, *, seed: int, **hyperparameters: Value) -> None:
        super().__init__(space, seed=seed, **hyperparameters)
        self._points = self._visit()
        self._seen: set[bytes] = set()

    def propose(self) -> Sequence[Design]:
        """Return the new designs of the next points."""
        count = cast(int, self.config["batch_size"])
        for _ in range(_ATTEMPTS):
            batch = self.space.batch(np.array([next(self._points) for _ in range(count)]))
            if new := take_new(batch, self._seen):
                return [batch.designs[number] for number in new]
        legal = [design for design, ok in zip(batch.designs, batch.feasible, strict=True) if ok]
        return legal or batch.designs

    def _visit(self) -> Iterator[list[float]]:
        """Yield the points of the grids, without end."""
        level = 2
        while True:
            axes = [_axis(parameter, level) for parameter in self.space.parameters]
            size = math.prod(map(len, axes))
            stride, start = self._order(size)
            for step in range(size):
                index = (start + stride * step) % size
                point = []
                for axis in reversed(axes):
                    index, place = divmod(index, len(axis))
                    point.append(axis[place])
                yield point[::-1]
            finer = [_axis(parameter, level + 1) for parameter in self.space.parameters]
            level = level + 1 if finer != axes else 2
            if level == 2:
                self._seen.clear()

    def _order(self, size: int) -> tuple[int, int]:
        """Return the stride and the start of the visit of a grid."""
        if self.config["order"] == "lexicographic":
            return 1, 0
        stride = self._below(size)
        while math.gcd(stride, size) != 1:
            stride = self._below(size)
        return stride, self._below(size)

    def _below(self, size: int) -> int:
        """Draw a number below a size, which may exceed 64 bits."""
        return int.from_bytes(self.rng.bytes(size.bit_length() // 8 + 8), "little") % size


def _axis(parameter: Parameter, level: int) -> list[float]:
    """Return the positions of a parameter's values on the grid of a level."""
    count = parameter.cardinality
    if count is None:
        return [place / (level - 1) for place in range(level)]
    if isinstance(parameter, Choice) or count <= level:
        return [(number + 0.5) / count for number in range(count)]
    numbers = [round(place * (count - 1) / (level - 1)) for place in range(level)]
    return [(number + 0.5) / count for number in numbers]
