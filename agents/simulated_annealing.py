"""Simulated annealing: several chains that take worse designs less and less often."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from archgym_py.agent import AskTellAgent, Scores, sample_feasible
from archgym_py.evaluator import Trial
from archgym_py.space import Choice, Design, Integer, ParameterSpace, Real, Value

__all__ = ["SimulatedAnnealing"]

_Points: TypeAlias = npt.NDArray[np.float64]

_ATTEMPTS = 20
"""How often a move is drawn again if it leads nowhere or to a design that breaks a constraint."""


class SimulatedAnnealing(AskTellAgent):
    """Metropolis chains whose temperature falls and rises again.

    Each of `chains` chains proposes a neighbour of its design: one parameter changes, each further
    one with a probability of `spread`. An unordered parameter takes any other value; an ordered
    one moves by a share of its range drawn from a normal distribution, whose width shrinks with
    the temperature from `step` down to one value. A better neighbour is taken, a worse one with
    probability exp(-loss / temperature) (Kirkpatrick, Gelatt and Vecchi 1983).

    Losses are measured in units of the interquartile range of all scores so far, so that the
    search does not depend on the scale or the offset of the reward. The temperature, in these
    units, falls from `start_temperature` to `end_temperature` geometrically over `cycle` designs.
    Then every chain restarts at the best design so far and the temperature at its start. Failed
    designs score below the worst feasible one; see `Scores`.

    Examples:
        >>> from archgym_py.simulators.toy import TOY_SPACE
        >>> agent = SimulatedAnnealing(TOY_SPACE, seed=0, chains=3)
        >>> len(agent.ask(100))
        3
    """

    name: ClassVar[str] = "simulated_annealing"
    doc: ClassVar[str] = "chains that take worse designs less and less often"
    hyperparameters: ClassVar[ParameterSpace] = ParameterSpace(
        (
            Integer("chains", 1, 64, default=4, doc="chains side by side"),
            Real("start_temperature", 0.01, 10.0, log=True, default=0.5, doc="of a cycle"),
            Real("end_temperature", 1e-5, 0.01, log=True, default=1e-3, doc="of a cycle"),
            Integer("cycle", 20, 2000, default=300, doc="designs until the temperature rises"),
            Real("step", 0.05, 0.5, default=0.3, doc="width of a hot move of an ordered parameter"),
            Real("spread", 0.0, 0.8, default=0.2, doc="chance of each further change in a move"),
        )
    )

    def __init__(self, space: ParameterSpace, *, seed: int, **hyperparameters: Value) -> None:
        super().__init__(space, seed=seed, **hyperparameters)
        counts = [p.cardinality for p in space.parameters]
        # One value of a finite parameter is its shortest move.
        self._widths = np.array([0.0 if count is None else 1.0 / count for count in counts])
        self._free = np.array([index for index, count in enumerate(counts) if count != 1])
        self._ordered = np.array([not isinstance(p, Choice) for p in space.parameters])
        self._scores = Scores()
        self._history: list[float] = []
        self._here: _Points = np.empty((0, len(space.parameters)))
        self._value: npt.NDArray[np.float64] = np.empty(0)
        self._proposed = self._here
        self._best = (-math.inf, np.empty(0))

    def propose(self) -> Sequence[Design]:
        """Return a neighbour of each chain's design; at first, random designs."""
        chains = cast(int, self.config["chains"])
        if not len(self._here):
            batch = sample_feasible(self.space, self.rng, chains)
        else:
            batch = self.space.batch(np.array([self._neighbour(point) for point in self._here]))
        self._proposed = batch.units
        return batch.designs

    def learn(self, trials: Sequence[Trial]) -> None:
        """Let each chain take its neighbour or stay."""
        new = np.array([self._scores.of(trial)[0] for trial in trials])
        before = len(self._history) // cast(int, self.config["cycle"])
        self._history += new.tolist()
        winner = int(new.argmax())
        if new[winner] > self._best[0]:
            self._best = (float(new[winner]), self._proposed[winner])
        if not len(self._here):
            self._here, self._value = self._proposed.copy(), new
            return
        if len(self._history) // cast(int, self.config["cycle"]) > before:
            self._here[:] = self._best[1]
            self._value[:] = self._best[0]
            return
        loss = self._value - new
        draws = -np.log1p(-self.rng.random(len(new)))  # exponentially distributed
        taken = loss <= draws * self._temperature() * self._spread_of_scores()
        self._here[taken] = self._proposed[taken]
        self._value[taken] = new[taken]

    def _temperature(self) -> float:
        """Return the temperature, in units of the spread of all scores."""
        cycle = cast(int, self.config["cycle"])
        hot = cast(float, self.config["start_temperature"])
        cold = cast(float, self.config["end_temperature"])
        return float(hot * (cold / hot) ** (len(self._history) % cycle / cycle))

    def _spread_of_scores(self) -> float:
        """Return the interquartile range of all scores; where it is 0, their whole range."""
        low, first, third, high = np.quantile(self._history, (0.0, 0.25, 0.75, 1.0)).tolist()
        return cast(float, (third - first) or (high - low))

    def _neighbour(self, point: _Points) -> _Points:
        """Return a feasible neighbour; the point itself where none was drawn."""
        for _ in range(_ATTEMPTS):
            moved = self.space.batch([self._move(point)])
            if moved.feasible[0] and (moved.units[0] != point).any():
                neighbour: _Points = moved.units[0]
                return neighbour
        return point

    def _move(self, point: _Points) -> _Points:
        """Return a point with one or more parameters changed."""
        if not len(self._free):
            return point
        moved = point.copy()
        changes = self.rng.random(len(point)) < cast(float, self.config["spread"])
        changes[self.rng.choice(self._free)] = True
        cooling = self._temperature() / cast(float, self.config["start_temperature"])
        for index in np.flatnonzero(changes).tolist():
            if not self._ordered[index]:
                moved[index] = self.rng.random()
                continue
            width = cast(float, self.config["step"]) * math.sqrt(cooling)
            length = self.rng.normal(0.0, max(width, self._widths[index]))
            reflected = (point[index] + length) % 2.0
            moved[index] = min(reflected, 2.0 - reflected)
        return moved
