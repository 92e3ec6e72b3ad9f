"""Random search: the yardstick for every other agent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from archgym_py.agent import AskTellAgent, sample_feasible
from archgym_py.evaluator import Trial
from archgym_py.space import Design, Integer, ParameterSpace

__all__ = ["RandomSearch"]


class RandomSearch(AskTellAgent):
    """Independent designs, uniform over those that satisfy the constraints.

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

    @property
    def batch_size(self) -> int:
        """Designs evaluated at a time."""
        return int(self.config["batch_size"])

    def ask(self, n: int) -> list[Design]:
        """Draw designs.

        Args:
            n: How many.

        Returns:
            `n` designs of the space.
        """
        return [sample_feasible(self.space, self.rng) for _ in range(n)]

    def tell(self, trials: Sequence[Trial]) -> None:
        """Ignore the results.

        Args:
            trials: Trials of the designs that were asked for.
        """
