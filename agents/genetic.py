"""A genetic algorithm for designs with unordered, ordered, conditional and continuous genes."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias, cast

from archgym_py.agent import AskTellAgent, sample_feasible
from archgym_py.errors import ArchGymError
from archgym_py.evaluator import Trial
from archgym_py.simulator import Status
from archgym_py.space import Choice, Constraint, Design, Integer, ParameterSpace, Real, Value

__all__ = ["Genetic"]

_Genes: TypeAlias = list[float]
"""Position of each parameter's value in [0, 1]; see `ParameterSpace.from_unit`."""

_STEP = 0.1
"""Mean length of a mutation step, as a share of an ordered gene's range."""

_ATTEMPTS = 20
"""How often an offspring is mutated again if it is known already or breaks a constraint."""


@dataclass(frozen=True, slots=True)
class _Proposal:
    genes: _Genes
    design: Design
    key: str


@dataclass(frozen=True, slots=True)
class _Individual:
    genes: _Genes
    rank: tuple[bool, float]  # feasible ones first, then by reward


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

    The budget buys new designs. An offspring that behaves like an earlier one (same key) is mutated
    further, in at least one gene; one that breaks a constraint is replaced by a mutant of the last
    that breaks none, or of its first parent. If 20 such attempts fail, as in a space that is nearly
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
            Integer("population_size", 4, 256, default=24, doc="designs in a generation"),
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
        self._ordered = [not isinstance(p, Choice) for p in space.parameters]
        self._counts = [p.cardinality for p in space.parameters]
        self._population: list[_Individual] = []
        self._bred: deque[_Proposal] = deque()  # of this generation, not asked for yet
        self._asked: deque[_Proposal] = deque()  # asked for, not told yet
        self._told: list[_Individual] = []
        self._seen: set[str] = set()

    @property
    def batch_size(self) -> int:
        """Designs in a generation: the most that are proposed before results are needed."""
        return self._population_size

    def ask(self, n: int) -> list[Design]:
        """Propose the next designs of the current generation.

        Args:
            n: How many are wanted.

        Returns:
            `n` designs of the space, or fewer at the end of a generation.

        Raises:
            ArchGymError: If the generation is complete but not told completely.
        """
        if not self._bred:
            if self._asked:
                raise ArchGymError(
                    f"the next generation depends on {len(self._asked)} designs that were asked "
                    f"for. Call tell() with their trials before ask()."
                )
            self._bred.extend(self._breed() if self._population else self._start())
        batch = [self._bred.popleft() for _ in range(min(n, len(self._bred)))]
        self._asked.extend(batch)
        return [dict(proposal.design) for proposal in batch]

    def tell(self, trials: Sequence[Trial]) -> None:
        """Take in results; the last of a generation starts the next one.

        Args:
            trials: Trials of the designs that were asked for, in that order.

        Raises:
            ArchGymError: If a trial is not that of the design whose turn it is.
        """
        for trial in trials:
            if not self._asked or self._asked[0].key != trial.key:
                raise ArchGymError(
                    f"trial {trial.index} is not of the design that was asked for next. Tell the "
                    f"trials of all designs, in the order in which they were asked for."
                )
            rank = (trial.status is Status.OK, trial.reward)
            self._told.append(_Individual(self._asked.popleft().genes, rank))
        if self._told and not self._asked and not self._bred:
            self._population = self._best() + self._told
            self._told = []

    def _start(self) -> list[_Proposal]:
        """Return the first generation: random designs."""
        proposals = []
        for _ in range(self._population_size):
            design = sample_feasible(self.space, self.rng)
            genes: _Genes = self.space.to_unit(design).tolist()
            proposals.append(self._propose(genes, genes))
        return proposals

    def _breed(self) -> list[_Proposal]:
        """Return the new designs of the next generation."""
        proposals = []
        for _ in range(self._population_size - self._elites):
            parent = self._parent().genes
            proposals.append(self._propose(self._mutate(self._cross(parent)), parent))
        return proposals

    def _best(self) -> list[_Individual]:
        return sorted(self._population, key=lambda one: one.rank, reverse=True)[: self._elites]

    def _propose(self, genes: _Genes, parent: _Genes) -> _Proposal:
        """Return a proposal of the genes, or of mutants of them that are new and feasible."""
        for attempt in range(_ATTEMPTS + 1):
            if attempt:
                genes = self._mutate(parent, at_least=int(self.rng.integers(len(genes))))
            design = self.space.from_unit(genes)
            key = self.space.key(design)
            if not self.space.violations(design):
                if key not in self._seen:
                    break
                parent = genes
        self._seen.add(key)
        return _Proposal(genes, design, key)

    def _cross(self, first: _Genes) -> _Genes:
        """Return the genes of a child of a parent and perhaps of a second one."""
        if self.rng.random() >= self._crossover_rate:
            return list(first)
        second = self._parent().genes
        if self._uniform:
            takes = (self.rng.random(len(first)) < 0.5).tolist()
            return [b if take else a for a, b, take in zip(first, second, takes, strict=True)]
        one = int(self.rng.integers(len(first) + 1))
        other = int(self.rng.integers(len(first)))
        start, stop = sorted((one, other + (other >= one)))
        return first[:start] + second[start:stop] + first[stop:]

    def _parent(self) -> _Individual:
        count = len(self._population)
        drawn: list[int] = self.rng.integers(count, size=self._tournament_size).tolist()
        # Of equals, max() takes the one that was drawn first, which is a fair choice.
        return max((self._population[index] for index in drawn), key=lambda one: one.rank)

    def _mutate(self, genes: _Genes, at_least: int | None = None) -> _Genes:
        """Return the genes after mutation; gene number `at_least` mutates in any case."""
        mutates = (self.rng.random(len(genes)) < self._mutation_rate).tolist()
        if at_least is not None:
            mutates[at_least] = True
        return [
            self._mutate_gene(index, gene) if mutates[index] else gene
            for index, gene in enumerate(genes)
        ]

    def _mutate_gene(self, index: int, gene: float) -> float:
        count = self._counts[index]
        steps = self._ordered[index] and self.rng.random() < 0.5
        if count is None:
            if not steps:
                return self.rng.random()
            moved = (gene + self.rng.laplace(0.0, _STEP)) % 2.0
            return min(moved, 2.0 - moved)
        if count == 1:
            return gene
        number = min(int(gene * count), count - 1)
        if steps:
            distance = int(self.rng.geometric(1.0 / max(1.0, _STEP * count)))
            moved = number + (distance if self.rng.random() < 0.5 else -distance)
            # Reflected half a step outside the range: the only mirror under which every move
            # keeps the probability of its reverse, so that the ends are as likely as the middle.
            moved %= 2 * count
            number = min(moved, 2 * count - 1 - moved)
        else:
            other = int(self.rng.integers(count - 1))
            number = other + (other >= number)
        return (number + 0.5) / count
