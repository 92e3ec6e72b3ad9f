"""What a search agent is.

An agent is made for a `ParameterSpace` and a seed, and spends the budget of an environment's
evaluator. It never sees the simulator. Most agents are ask/tell: they propose designs and are told
the trials.

    >>> from archgym_py.registry import AGENTS
    >>> AGENTS.load("random_search").doc
    'uniform random designs'
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from archgym_py.environment import DesignEnv
from archgym_py.errors import ArchGymError, ConfigError, DesignError, SpaceError
from archgym_py.evaluator import Trial
from archgym_py.simulator import Status
from archgym_py.space import Design, DesignBatch, ParameterSpace, Value

__all__ = [
    "Agent",
    "AskTellAgent",
    "Scores",
    "check_finite",
    "rank_scores",
    "sample_feasible",
    "take_new",
]


class Agent(ABC):
    """A search algorithm with its hyperparameters.

    Args:
        space: The designs to search.
        seed: Seed of everything the agent draws: equal seeds give equal samples.
        **arguments: Values of `hyperparameters`, of which those left out take their defaults, and
            of `options`, none of which may be left out.

    Attributes:
        name: Name under which runs are recorded.
        doc: One line that says what the algorithm does.
        hyperparameters: What can be configured, as a space: names, ranges and defaults.
        options: Strings that the agent needs and that nobody would tune, each with what it means.
        example: Arguments with which an agent that has options is tested and measured.
        space: The designs to search.
        config: The value of every hyperparameter and option.
        rng: The agent's only source of randomness.
        objectives: Length of the trials' reward vectors, which the start of a run finds out.

    Raises:
        ConfigError: If an argument is unknown, illegal, missing, or in conflict with another.
        SpaceError: If the agent cannot search such a space.
    """

    name: ClassVar[str]
    doc: ClassVar[str]
    hyperparameters: ClassVar[ParameterSpace]
    options: ClassVar[Mapping[str, str]] = MappingProxyType({})
    example: ClassVar[Mapping[str, Value]] = MappingProxyType({})

    def __init__(self, space: ParameterSpace, *, seed: int, **arguments: Value) -> None:
        given = {name: value for name, value in arguments.items() if name not in self.options}
        try:
            self.config = self.hyperparameters.fill_defaults(given)
        except DesignError as error:
            raise ConfigError(f"agent {self.name!r}: {error}") from None
        broken = self.hyperparameters.violations(self.config)
        if broken:
            raise ConfigError(f"agent {self.name!r}: {'; '.join(broken)}, got {self.config}.")
        for name, meaning in self.options.items():
            if not isinstance(arguments.get(name), str):
                raise ConfigError(
                    f"agent {self.name!r} needs {name!r}, a string: {meaning}. Got "
                    f"{arguments.get(name)!r}."
                )
            self.config[name] = arguments[name]
        self.space = space
        self.objectives = 1
        # Agents of one seed draw independently of one another: their first samples would be the
        # same otherwise, and their results correlated.
        stream = zlib.crc32(self.name.encode())
        self.rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream,)))

    @abstractmethod
    def run(self, env: DesignEnv) -> None:
        """Search until the budget of `env.evaluator` is spent, exactly.

        Args:
            env: An environment of `space` whose evaluator has a budget.

        Raises:
            ConfigError: If the environment has another space, or its evaluator no budget.
        """

    def express(self, rng: np.random.Generator) -> Design:
        """Return a design that was drawn through the agent's own encoding.

        It tells whether the agent can reach every value of every parameter: the conformance suite
        draws from here. An agent with an encoding other than positions in the unit cube overrides
        this.

        Args:
            rng: Source of randomness.

        Returns:
            A design of the space, in which every value of an active parameter is about as likely.
        """
        return self.space.from_unit(rng.random(len(self.space.parameters)))

    def save(self, folder: Path) -> Path | None:
        """Save the policy that was learned, for use after `run`.

        Args:
            folder: Where to save it. Names begin with an underscore, which readers of logs skip.

        Returns:
            The file, or None for an agent that learns no policy.
        """
        return None

    def log_to_tensorboard(self, folder: Path) -> None:
        """Have `run` write TensorBoard logs; call it before.

        Args:
            folder: Where to write them. Every run of the agent gets a folder of its own there.

        Raises:
            ConfigError: If the agent writes none, or tensorboard is not installed.
        """
        raise ConfigError(
            f"agent {self.name!r} writes no TensorBoard logs; those of stable-baselines3 do. The "
            f"samples are logged in any case."
        )

    def begin(self, env: DesignEnv) -> None:
        """Get ready to search an environment; for use at the start of `run`.

        Args:
            env: An environment of `space` whose evaluator has a budget.

        Raises:
            ConfigError: If the environment has another space, or its evaluator no budget.
        """
        if env.space != self.space:
            raise ConfigError(
                f"agent {self.name!r} was made for another space than the environment's. Make it "
                f"with env.space."
            )
        if env.evaluator.remaining is None:
            raise ConfigError(
                f"agent {self.name!r} would never stop: the evaluator has no budget. Call "
                f"env.new_evaluator(budget=N) before."
            )
        self.objectives = len(env.objective.failure_vector)


class AskTellAgent(Agent):
    """An agent that proposes designs and is told what they are worth.

    A subclass says what the next batch is (`propose`) and what it takes from the results
    (`learn`). The designs depend on the seed and on what was told, never on how many are asked for
    at a time: a batch may be taken and told in pieces.
    """

    def __init__(self, space: ParameterSpace, *, seed: int, **arguments: Value) -> None:
        super().__init__(space, seed=seed, **arguments)
        self._waiting: deque[Design] = deque()  # proposed, not asked for yet
        self._asked: deque[Design] = deque()  # asked for, not told yet
        self._told: list[Trial] = []

    @abstractmethod
    def propose(self) -> Sequence[Design]:
        """Return the next batch: at least one design of the space."""

    def learn(self, trials: Sequence[Trial]) -> None:
        """Take in what became of the last batch.

        Args:
            trials: Trials of the designs of `propose`, in that order.
        """

    def ask(self, n: int) -> list[Design]:
        """Return the next designs of the current batch.

        Args:
            n: How many are wanted, at least 1.

        Returns:
            Between 1 and `n` designs of the space: fewer than `n` at the end of a batch.

        Raises:
            ArchGymError: If the batch is used up but not told completely, or if the agent proposes
                nothing.
        """
        if not self._waiting:
            if self._asked:
                raise ArchGymError(
                    f"agent {self.name!r}: the next batch depends on {len(self._asked)} designs "
                    f"that were asked for. Call tell() with their trials before ask()."
                )
            self._waiting.extend(self.propose())
            if not self._waiting:
                raise ArchGymError(
                    f"agent {self.name!r} proposes nothing. propose() must return at least one "
                    f"design."
                )
        batch = [self._waiting.popleft() for _ in range(min(n, len(self._waiting)))]
        self._asked.extend(batch)
        return batch

    def tell(self, trials: Sequence[Trial]) -> None:
        """Take in what became of designs that were asked for.

        Args:
            trials: Their trials, in the order in which they were asked for.

        Raises:
            ArchGymError: If a trial is not that of the design whose turn it is.
        """
        for trial in trials:
            if not self._asked or not self._is_of(trial, self._asked[0]):
                raise ArchGymError(
                    f"agent {self.name!r}: trial {trial.index} is not of the design that was asked "
                    f"for next. Tell the trials of all designs, in the order in which they were "
                    f"asked for."
                )
            self._asked.popleft()
            self._told.append(trial)
        if self._told and not self._asked and not self._waiting:
            told, self._told = self._told, []
            self.learn(told)

    def _is_of(self, trial: Trial, design: Design) -> bool:
        # Comparing comes first because most agents propose what is canonical already.
        return trial.design == design or trial.design == self.space.canonical(design)

    def run(self, env: DesignEnv) -> None:
        """Ask, evaluate and tell until the budget is spent.

        Args:
            env: An environment of `space` whose evaluator has a budget.

        Raises:
            ConfigError: If the environment has another space, or its evaluator no budget.
            ArchGymError: If the agent proposes nothing.
        """
        self.begin(env)
        while remaining := env.evaluator.remaining:
            self.tell(env.evaluator.evaluate_batch(self.ask(remaining)))


class Scores:
    """Rewards as a model or a policy can learn them: failures just below the worst success.

    The reward of a failure lies below every reward that is possible at all. In a regression it
    would dwarf the differences between designs that work. Here a failure scores as far below the
    worst feasible reward so far as the best lies above it, or by 1 where these are equal or none.
    The scores depend on the trials and their order only.

    Args:
        objectives: Length of the trials' reward vectors.
    """

    def __init__(self, objectives: int = 1) -> None:
        self._low: tuple[float, ...] = ()
        self._high: tuple[float, ...] = ()
        self._objectives = objectives

    def of(self, trial: Trial) -> tuple[float, ...]:
        """Return a finite score for each objective; larger is better.

        Args:
            trial: The next trial. With one objective its scalar reward counts.
        """
        if trial.status is not Status.OK:
            return self.failure()
        return self.success((trial.reward,) if self._objectives == 1 else trial.rewards)

    def success(self, rewards: tuple[float, ...]) -> tuple[float, ...]:
        """Return the scores of a design that works, which are its rewards."""
        self._low = tuple(map(min, self._low or rewards, rewards))
        self._high = tuple(map(max, self._high or rewards, rewards))
        return rewards

    def failure(self) -> tuple[float, ...]:
        """Return the scores of a design that fails at present."""
        low = self._low or (0.0,) * self._objectives
        high = self._high or low
        return tuple(a - ((b - a) or 1.0) for a, b in zip(low, high, strict=True))


def rank_scores(results: Sequence[tuple[bool, float]]) -> npt.NDArray[np.float64]:
    """Return how designs did within their batch, whatever the scale of the reward.

    Args:
        results: Whether each of m designs works, and its reward.

    Returns:
        Shape (m,): -1 for the worst and 1 for the best, in equal steps, of mean 0. Failures are
        below all others; equals share their mean.

    Examples:
        >>> rank_scores([(True, -7.0), (False, 9.0), (True, 1e6), (True, -7.0), (True, -8.0)])
        array([ 0.25, -1.  ,  1.  ,  0.25, -0.5 ])
    """
    ordered = sorted(results)
    last = len(ordered) - 1
    middle = last / 2
    places = {
        result: (ordered.index(result) + last - ordered[::-1].index(result)) / 2
        for result in set(results)
    }
    return np.array([(places[result] - middle) / max(1.0, middle) for result in results])


def check_finite(name: str, space: ParameterSpace, *, most: int = 4096) -> None:
    """Refuse a space that an agent with a number for each value cannot search.

    Args:
        name: The agent.
        space: The designs to search.
        most: Most values of a parameter that the agent can handle.

    Raises:
        SpaceError: If a parameter is continuous or has too many values.
    """
    for parameter in space.parameters:
        count = parameter.cardinality
        if count is None or count > most:
            has = "is continuous" if count is None else f"has {count} values"
            raise SpaceError(
                f"agent {name!r} searches parameters of up to {most} values each, but "
                f"{parameter.name!r} {has}. Give it levels=N, list the values that matter in an "
                f"Ordinal, or take an agent for continuous parameters, such as cma_es."
            )


def take_new(batch: DesignBatch, seen: set[bytes]) -> list[int]:
    """Find the designs of a batch that are worth a sample, and remember them.

    Args:
        batch: The designs.
        seen: Positions of the designs that are known, as bytes; those that are found are added.

    Returns:
        Numbers of the designs that are feasible, and neither known nor earlier in the batch.
    """
    found = []
    for number, (position, feasible) in enumerate(zip(batch.units, batch.feasible, strict=True)):
        behaviour = position.tobytes()
        if feasible and behaviour not in seen:
            seen.add(behaviour)
            found.append(number)
    return found


def sample_feasible(
    space: ParameterSpace, rng: np.random.Generator, count: int, *, attempts: int = 100
) -> DesignBatch:
    """Draw designs uniformly, and independently, from those that satisfy the constraints.

    Args:
        space: The designs.
        rng: Source of randomness. Equal streams give equal designs, however many are drawn at a
            time.
        count: How many are drawn, at least 1.
        attempts: How often to draw in vain before designs that break a constraint are returned
            after all: a space whose constraints leave next to nothing must not stop a search.

    Returns:
        The designs in their canonical form.
    """
    drawn: list[npt.NDArray[np.float64]] = []
    missing, vain = count, 0
    while missing:
        batch = space.batch(rng.random((missing, len(space.parameters))))
        kept = batch.feasible
        vain = 0 if kept.any() else vain + 1
        if vain == attempts:
            kept = ~kept
        drawn.append(batch.units[kept])
        missing -= len(drawn[-1])
    return space.batch(np.concatenate(drawn))
