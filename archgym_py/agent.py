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
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from archgym_py.environment import DesignEnv
from archgym_py.errors import ArchGymError, ConfigError, DesignError
from archgym_py.evaluator import Trial
from archgym_py.space import Design, ParameterSpace, Value

__all__ = ["Agent", "AskTellAgent", "sample_feasible"]


class Agent(ABC):
    """A search algorithm with its hyperparameters.

    Args:
        space: The designs to search.
        seed: Seed of everything the agent draws: equal seeds give equal samples.
        **hyperparameters: Values of `hyperparameters`; those left out take their defaults.

    Attributes:
        name: Name under which runs are recorded.
        doc: One line that says what the algorithm does.
        hyperparameters: What can be configured, as a space: names, ranges and defaults.
        space: The designs to search.
        config: The value of every hyperparameter.
        rng: The agent's only source of randomness.

    Raises:
        ConfigError: If a hyperparameter is unknown, illegal, or in conflict with another.
    """

    name: ClassVar[str]
    doc: ClassVar[str]
    hyperparameters: ClassVar[ParameterSpace]

    def __init__(self, space: ParameterSpace, *, seed: int, **hyperparameters: Value) -> None:
        try:
            self.config = self.hyperparameters.fill_defaults(hyperparameters)
        except DesignError as error:
            raise ConfigError(f"agent {self.name!r}: {error}") from None
        broken = self.hyperparameters.violations(self.config)
        if broken:
            raise ConfigError(f"agent {self.name!r}: {'; '.join(broken)}, got {self.config}.")
        self.space = space
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

    def check_env(self, env: DesignEnv) -> None:
        """Refuse an environment that this agent cannot search; for use in `run`.

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


class AskTellAgent(Agent):
    """An agent that proposes designs and is told what they are worth.

    The designs depend on the seed and on what was told, never on how many are asked for at a time.
    """

    @property
    @abstractmethod
    def batch_size(self) -> int:
        """How many designs the agent can propose before it has to be told."""

    @abstractmethod
    def ask(self, n: int) -> list[Design]:
        """Propose designs.

        Args:
            n: How many are wanted, at least 1.

        Returns:
            Between 1 and `n` designs of the space: fewer than `n` where the algorithm has to be
            told before it can go on.
        """

    @abstractmethod
    def tell(self, trials: Sequence[Trial]) -> None:
        """Take in what became of proposed designs.

        Args:
            trials: Trials of the designs that were asked for, in that order.
        """

    def run(self, env: DesignEnv) -> None:
        """Ask, evaluate and tell until the budget is spent.

        Args:
            env: An environment of `space` whose evaluator has a budget.

        Raises:
            ConfigError: If the environment has another space, or its evaluator no budget.
            ArchGymError: If `ask` returns no design.
        """
        self.check_env(env)
        while remaining := env.evaluator.remaining:
            designs = self.ask(min(self.batch_size, remaining))
            if not designs:
                raise ArchGymError(
                    f"agent {self.name!r} proposes nothing although {remaining} designs are left "
                    f"to spend. ask() must return at least one design."
                )
            self.tell(env.evaluator.evaluate_batch(designs))


def sample_feasible(
    space: ParameterSpace, rng: np.random.Generator, *, attempts: int = 100
) -> Design:
    """Draw a design uniformly from those that satisfy the constraints.

    Args:
        space: The designs.
        rng: Source of randomness.
        attempts: How often to draw before a design that breaks a constraint is returned after
            all: a space whose constraints leave next to nothing must not stop a search.

    Returns:
        A design of the space.
    """
    for _ in range(attempts - 1):
        design = space.sample(rng)
        if not space.violations(design):
            return design
    return space.sample(rng)
