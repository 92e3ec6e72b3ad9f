"""Local search: climb by moves of one parameter, drift along plateaus, start again at the top."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from archgym_py.agent import AskTellAgent, sample_feasible
from archgym_py.evaluator import Trial
from archgym_py.simulator import Status
from archgym_py.space import Choice, Design, Integer, Parameter, ParameterSpace, Value

__all__ = ["LocalSearch"]

_Point: TypeAlias = npt.NDArray[np.float64]
"""Canonical position of a design in the unit cube."""
_Rank: TypeAlias = tuple[bool, float]
"""Feasible ones first, then by reward."""

_MAX_VALUES = 16
"""Up to so many values of a parameter, every other value is one move away."""

_HALVINGS = 10
"""A continuous parameter moves by 1/2, 1/4, ... of its range, so many times halved."""

_ATTEMPTS = 50
"""Restarts in a row that find no new neighbour, after which known designs are proposed again."""


class LocalSearch(AskTellAgent):
    """Climbs from design to better neighbouring design, and restarts from where none is better.

    The neighbours of a design differ from it in one parameter: by any other value if it has at
    most 16, else by 1, 2, 4, ... values up or down; a continuous parameter moves by a half, a
    quarter, ... of its range. Neighbours that break a constraint are left out, and what is known
    already is not sampled again.

    The search starts at the best of `starts` random designs. It looks at `batch_size` neighbours
    at a time and moves to the best of them if that is better. Many parameters of hardware do not
    matter while another one is the bottleneck, so that neighbours are often equal: from a design
    without a better neighbour, up to `sideways` moves in a row go to an equal one. Then the search
    restarts: "random" starts at a random design, "kick" at the best design so far with `kick`
    parameters changed at random (iterated local search; Lourenço, Martin and Stützle 2003).

    Examples:
        >>> from archgym_py.simulators.toy import TOY_SPACE
        >>> agent = LocalSearch(TOY_SPACE, seed=0, starts=8)
        >>> len(agent.ask(100))
        8
    """

    name: ClassVar[str] = "local_search"
    doc: ClassVar[str] = "climbs by moves of one parameter, and restarts"
    hyperparameters: ClassVar[ParameterSpace] = ParameterSpace(
        (
            Integer("starts", 1, 128, default=32, doc="random designs, the best of which starts"),
            Integer("batch_size", 1, 64, default=24, doc="neighbours evaluated before a move"),
            Integer("sideways", 0, 32, default=16, doc="moves in a row to an equal neighbour"),
            Choice("restart", ("random", "kick"), doc="where to go on after a local optimum"),
            Integer(
                "kick",
                1,
                12,
                default=3,
                doc="parameters that a kick changes",
                active_when={"restart": ("kick",)},
            ),
        )
    )

    def __init__(self, space: ParameterSpace, *, seed: int, **hyperparameters: Value) -> None:
        super().__init__(space, seed=seed, **hyperparameters)
        self._moves = [_moves(parameter) for parameter in space.parameters]
        self._rank: dict[bytes, _Rank] = {}  # of every point that was evaluated
        self._proposed: list[_Point] = []
        self._here: _Point | None = None
        self._best: _Point | None = None
        self._neighbours: list[_Point] = []
        self._unknown: list[_Point] = []  # neighbours that are not evaluated yet
        self._sideways = 0
        self._visited: set[bytes] = set()

    def propose(self) -> Sequence[Design]:
        """Return the next neighbours; at first, and where all is known, random designs."""
        if self._best is None:
            return self._ask_for(self._random(cast(int, self.config["starts"])))
        for _ in range(_ATTEMPTS):
            if self._unknown:
                count = cast(int, self.config["batch_size"])
                batch, self._unknown = self._unknown[:count], self._unknown[count:]
                return self._ask_for(batch)
            self._leave()
        return self._ask_for(self._random(1))

    def learn(self, trials: Sequence[Trial]) -> None:
        """Move to the best of the new designs if it is better."""
        for point, trial in zip(self._proposed, trials, strict=True):
            self._rank[point.tobytes()] = (trial.status is Status.OK, trial.reward)
        best = max(self._proposed, key=self._rank_of)
        if self._best is None or self._rank_of(best) > self._rank_of(self._best):
            self._best = best
        if self._here is None or self._rank_of(best) > self._rank_of(self._here):
            self._sideways = 0
            self._move_to(best)

    def _ask_for(self, points: Sequence[_Point]) -> list[Design]:
        self._proposed = list(points)
        return self.space.batch(np.array(points)).designs

    def _rank_of(self, point: _Point) -> _Rank:
        return self._rank[point.tobytes()]

    def _random(self, count: int) -> list[_Point]:
        return list(sample_feasible(self.space, self.rng, count).units)

    def _move_to(self, point: _Point) -> None:
        """Look around a point that is evaluated; climb on while what is known is better."""
        while True:
            self._here = point
            self._visited.add(point.tobytes())
            self._neighbours = self._around(point)
            known = [near for near in self._neighbours if near.tobytes() in self._rank]
            point = max([point, *known], key=self._rank_of)
            if self._rank_of(point) == self._rank_of(self._here):
                break
        self._unknown = [near for near in self._neighbours if near.tobytes() not in self._rank]

    def _leave(self) -> None:
        """Go on from a point whose neighbours are all known and not better."""
        here = cast(_Point, self._here)  # the point of a restart is evaluated before it is left
        equal = [
            near
            for near in self._neighbours
            if self._rank_of(near) == self._rank_of(here) and near.tobytes() not in self._visited
        ]
        if equal and self._sideways < cast(int, self.config["sideways"]):
            self._sideways += 1
            self._move_to(equal[0])
            return
        self._sideways = 0
        start = self._kicked() if self.config["restart"] == "kick" else self._random(1)[0]
        if start.tobytes() in self._rank:
            self._move_to(start)
        else:
            self._here = None
            self._unknown = [start]

    def _kicked(self) -> _Point:
        """Return the best point with some parameters changed at random."""
        n = len(self.space.parameters)
        point = cast(_Point, self._best).copy()
        changed = self.rng.permutation(n)[: cast(int, self.config["kick"])]
        point[changed] = self.rng.random(len(changed))
        batch = self.space.batch([point])
        return batch.units[0] if batch.feasible[0] else self._random(1)[0]

    def _around(self, point: _Point) -> list[_Point]:
        """Return the feasible neighbours of a point, in random order."""
        rows = []
        for index, moves in enumerate(self._moves):
            for position in moves(point[index]):
                row = point.copy()
                row[index] = position
                rows.append(row)
        if not rows:
            return []
        batch = self.space.batch(np.array(rows))
        distinct = {p.tobytes(): p for p, ok in zip(batch.units, batch.feasible, strict=True) if ok}
        distinct.pop(point.tobytes(), None)
        points = list(distinct.values())
        return [points[index] for index in self.rng.permutation(len(points))]


def _moves(parameter: Parameter) -> Callable[[float], list[float]]:
    """Return what gives the positions that are one move away from a parameter's position."""
    count = parameter.cardinality
    if count is None:
        lengths = 0.5 ** np.arange(1, _HALVINGS + 1)

        def glide(here: float) -> list[float]:
            targets = np.concatenate((here - lengths, here + lengths))
            return [float(u) for u in targets if 0.0 <= u <= 1.0]

        return glide
    if count <= _MAX_VALUES or isinstance(parameter, Choice):
        centres = [(number + 0.5) / count for number in range(count)]
        return lambda here: [u for u in centres if u != here]
    steps = [2**power for power in range(count.bit_length())]

    def step(here: float) -> list[float]:
        number = int(here * count)
        targets = [number + sign * length for length in steps for sign in (-1, 1)]
        return [(target + 0.5) / count for target in targets if 0 <= target < count]

    return step
