"""Uniform random search, the baseline of every comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

from archgym_py.agent import AskTellAgent, sample_feasible
from archgym_py.space import Design, Integer, ParameterSpace

__all__ = ["RandomSearch"]


class RandomSearch(AskTellAgent):
    """Draws designs uniformly from those that satisfy the constraints.

    Designs are drawn with replacement. `batch_size` is how many are evaluated at a time; it has no
    influence on which.

    Examples:
        >>> from archgym_py.simulators.toy import TOY_SPACE
        >>> agent = RandomSearch(TOY_SPACE, seed=0)
        >>> len(agent.ask(3))
        3
    """

    name: ClassVar[str] = "random_search"
    doc: ClassVar[str] = "uniform random designs"
    hyperparameters: ClassVar[ParameterSpace] = ParameterSpace(
        (Integer("batch_size", 1, 4096, default=64, doc="designs evaluated at a time"),)
    )

    def propose(self) -> Sequence[Design]:
        """Return `batch_size` designs."""
        count = cast(int, self.config["batch_size"])
        return sample_feasible(self.space, self.rng, count).designs
