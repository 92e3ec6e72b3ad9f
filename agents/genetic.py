"""A genetic algorithm for designs with unordered, ordered, conditional and continuous genes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from archgym_py.agent import AskTellAgent, sample_feasible
from archgym_py.evaluator import Trial
from archgym_py.simulator import Status
from archgym_py.space import Choice, Constraint, Design, Integer, ParameterSpace, Real, Value

__all__ = ["Genetic"]

_Genes: TypeAlias = npt.NDArray[np.float64]
"""Position of each parameter's value in [0, 1], a row for each individual."""
_Mask: TypeAlias = npt.NDArray[np.bool_]

_STEP = 0.1
"""Mean length of a mutation step, as a share of an ordered gene's range."""

_ATTEMPTS = 20
"""How often an offspring is mutated again if it is known already or breaks a constraint."""


def _elites_are_a_part(config: Mapping[str, Value]) -> bool:
    return cast(int, config["elites"]) < cast(int, config["population_size"])


class Genetic(AskTellAgent):
    """Generations of designs, bred from the better designs of the generation before.

    A generation consists of the `elites` best designs of the one before, which are kept without
    being evaluated again, and of new designs. A new design has two parents, each the best of
    `tournament_size` designs drawn with replacement. With probability `crossover_rate` it takes
    each gene from either parent ("uniform") or a run of genes from the second ("two_point"),
    otherwise all genes from the first. Then each gene mutates with probability `mutation_rate`.

    An unordered gene mutates to any other value. An ordered one does the same half of the time,
    and otherwise goes a few steps up or down and is reflected at the ends of its range. All these
    moves are as likely as their reverse, so that mutation alone favours no value and no bound.

    The budget buys new designs. An offspring that behaves like an earlier one is mutated further,
    in at least one gene; one that breaks a constraint is replaced by a mutant of the last that
    breaks none, or of its first parent. If 20 such attempts fail, as in a space that is nearly
    exhausted, the last one is proposed as it is.

    Genes of inactive parameters are inherited like the others. Failed designs rank below all
    feasible ones.

    Examples:
        >>> from archgym_py.simulators.toy import TOY_SPACE
        >>> agent = Genetic(TOY_SPACE, seed=0, population_size=16, crossover="two_point")
        >>> len(agent.ask(100))
        16
    """

    name: ClassVar[str] = "genetic"
    doc: ClassVar[str] = "genetic algorithm with tournaments, crossover, mutation and elites"
    hyperparameters: ClassVar[ParameterSpace] = ParameterSpace(
        (
            Integer("population_size", 2, 256, default=24, doc="designs in a generation"),
            Integer("tournament_size", 1, 16, default=4, doc="contenders for being a parent"),
            Choice("crossover", ("uniform", "two_point"), doc="how genes of parents are mixed"),
            Real(
                "crossover_rate", 0.0, 1.0, default=0.9, doc="share of offspring with two parents"
            ),
            Real("mutation_rate", 0.0, 1.0, default=0.15, doc="probability that a gene mutates"),
            Integer("elites", 0, 64, default=8, doc="best designs kept for the next generation"),
        ),
        (Constraint("elites", "elites must be below population_size", _elites_are_a_part),),
    )

    def __init__(self, space: ParameterSpace, *, seed: int, **hyperparameters: Value) -> None:
        super().__init__(space, seed=seed, **hyperparameters)
        self._population_size = cast(int, self.config["population_size"])
        self._tournament_size = cast(int, self.config["tournament_size"])
        self._uniform = self.config["crossover"] == "uniform"
        self._crossover_rate = cast(float, self.config["crossover_rate"])
        self._mutation_rate = cast(float, self.config["mutation_rate"])
        self._elites = cast(int, self.config["elites"])
        self._mutation = _Mutation(space, self._mutation_rate, self.rng)
        self._genes: _Genes = np.empty((0, len(space.parameters)))  # of the population
        self._ranks = np.empty(0, dtype=np.intp)  # of the population; larger is better
        self._offspring = self._genes  # genes of the designs that were proposed last
        self._scores: list[tuple[bool, float]] = []  # of the population: feasible, reward
        self._seen: set[bytes] = set()

    def propose(self) -> Sequence[Design]:
        """Return the new designs of the next generation; at first, random ones."""
        if len(self._genes):
            return self._distinct(*self._breed(self._population_size - self._elites))
        genes = sample_feasible(self.space, self.rng, self._population_size).units
        return self._distinct(genes, genes)

    def learn(self, trials: Sequence[Trial]) -> None:
        """Join the new designs with the elites: they are the next generation."""
        elites = np.argsort(-self._ranks, kind="stable")[: self._elites]
        self._genes = np.concatenate((self._genes[elites], self._offspring))
        self._scores = [self._scores[index] for index in elites.tolist()]
        self._scores += [(trial.status is Status.OK, trial.reward) for trial in trials]
        place = {score: rank for rank, score in enumerate(sorted(set(self._scores)))}
        self._ranks = np.array([place[score] for score in self._scores], dtype=np.intp)

    def _breed(self, count: int) -> tuple[_Genes, _Genes]:
        """Return the genes of offspring, and of the first parent of each."""
        parents = self._genes[self._parents(count)]
        others = self._genes[self._parents(count)]
        n = parents.shape[1]
        if self._uniform:
            takes = self.rng.random((count, n)) < 0.5
        else:
            cuts = np.sort(_two_of(self.rng, n + 1, count), axis=0)
            takes = (cuts[0][:, None] <= np.arange(n)) & (np.arange(n) < cuts[1][:, None])
        takes &= self.rng.random((count, 1)) < self._crossover_rate
        return self._mutation.apply(np.where(takes, others, parents)), parents

    def _parents(self, count: int) -> npt.NDArray[np.int64]:
        """Return the winners of tournaments."""
        drawn = self.rng.integers(len(self._genes), size=(count, self._tournament_size))
        # Of equals, argmax takes the one that was drawn first, which is a fair choice.
        winners = self._ranks[drawn].argmax(axis=1, keepdims=True)
        return np.take_along_axis(drawn, winners, axis=1)[:, 0]

    def _distinct(self, genes: _Genes, parents: _Genes) -> list[Design]:
        """Return designs of the genes, or of mutants of them that are new and feasible."""
        parents = parents.copy()
        designs: list[Design] = [{}] * len(genes)
        left = np.arange(len(genes))
        for attempt in range(_ATTEMPTS + 1):
            if attempt:
                least = self.rng.integers(genes.shape[1], size=len(left))
                genes[left] = self._mutation.apply(parents[left], at_least=least)
            batch = self.space.batch(genes[left])
            again = []
            for row, index in enumerate(left.tolist()):
                designs[index] = batch.designs[row]
                behaviour = batch.units[row].tobytes()
                if not batch.feasible[row]:
                    again.append(index)
                elif behaviour in self._seen:
                    parents[index] = genes[index]
                    again.append(index)
                else:
                    self._seen.add(behaviour)
            if not again:
                break
            left = np.array(again)
        self._offspring = genes
        return designs


class _Mutation:
    """Changes some genes at random, each move as likely as its reverse.

    Args:
        space: What the genes mean.
        rate: Probability that a gene mutates.
        rng: Source of randomness.
    """

    def __init__(self, space: ParameterSpace, rate: float, rng: np.random.Generator) -> None:
        counts = [p.cardinality for p in space.parameters]
        self._continuous = np.array([count is None for count in counts])
        self._counts = np.array([count or 1 for count in counts], dtype=np.int64)
        self._ordered = np.array([not isinstance(p, Choice) for p in space.parameters])
        self._rate = rate
        self._rng = rng

    def apply(self, genes: _Genes, at_least: npt.NDArray[np.int64] | None = None) -> _Genes:
        """Return genes after mutation.

        Args:
            genes: Shape (m, n).
            at_least: For each row, a gene that mutates in any case.
        """
        mutates = self._rng.random(genes.shape) < self._rate
        if at_least is not None:
            mutates[np.arange(len(genes)), at_least] = True
        rows, columns = np.nonzero(mutates)
        mutated = genes.copy()
        mutated[rows, columns] = self._move(genes[rows, columns], columns)
        return mutated

    def _move(self, genes: _Genes, columns: npt.NDArray[np.intp]) -> _Genes:
        """Return another position for each of some genes, of the given parameters."""
        steps = self._ordered[columns] & (self._rng.random(len(genes)) < 0.5)
        up = self._rng.random(len(genes)) < 0.5
        draws = self._rng.random((2, len(genes)))
        counts = self._counts[columns]
        numbers = np.minimum((genes * counts).astype(np.int64), counts - 1)
        lengths = 1 + _geometric(draws[0], np.maximum(1.0, _STEP * counts))
        # Reflected half a step outside the range: the only mirror under which every move keeps
        # the probability of its reverse, so that the ends are as likely as the middle.
        moved = (numbers + np.where(up, lengths, -lengths)) % (2 * counts)
        stepped = np.minimum(moved, 2 * counts - 1 - moved)
        other = (draws[1] * (counts - 1)).astype(np.int64)
        jumped = np.minimum(other + (other >= numbers), counts - 1)
        finite: _Genes = (np.where(steps, stepped, jumped) + 0.5) / counts
        if not self._continuous.any():
            return finite
        lengths_real = -_STEP * np.log1p(-draws[0])
        moved_real = (genes + np.where(up, lengths_real, -lengths_real)) % 2.0
        stepped_real = np.minimum(moved_real, 2.0 - moved_real)
        continuous = np.where(steps, stepped_real, draws[1])
        return np.where(self._continuous[columns], continuous, finite)


def _geometric(draws: _Genes, means: _Genes) -> npt.NDArray[np.int64]:
    """Return whole numbers from 0 on, geometrically distributed, for draws from [0, 1).

    One more than such a number has the given mean.
    """
    with np.errstate(divide="ignore"):  # a mean of 1: the logarithm of 0, and a quotient of 0
        return (np.log1p(-draws) / np.log1p(-1.0 / means)).astype(np.int64)


def _two_of(rng: np.random.Generator, count: int, times: int) -> npt.NDArray[np.int64]:
    """Draw two different numbers below `count`, shape (2, times)."""
    one = rng.integers(count, size=times)
    other = rng.integers(count - 1, size=times)
    return np.stack((one, other + (other >= one)))
