"""The best trade-offs of a search with several goals, and one number for how good they are.

A design dominates another one if it is at least as good in every goal and better in one. What
nothing dominates is the Pareto front. Its hypervolume is the volume of all reward vectors between
the front and a reference point (Zitzler and Thiele, IEEE Trans. Evolutionary Computation 3, 1999).
Rewards are logarithms, so that it has no unit: with two goals, 1 is the area that a design earns
which is better than the reference point by a factor of e in both.

Hypervolumes of different runs can be compared if their reference points are the same. By default
that is a design with twice the values of the default design; an objective such as
`pareto:total_time_ns=1e5,energy_pj=2e8` states another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from archgym_py.errors import require
from archgym_py.evaluator import Trial
from archgym_py.objective import parse_objective
from archgym_py.simulator import Metric, Status

__all__ = ["ParetoArchive", "goals_of", "reference_of"]


class ParetoArchive:
    """The feasible trials that no other trial dominates.

    Of trials with equal reward vectors, the first is kept.

    Args:
        reference: The reference point, a reward for each goal.

    Attributes:
        reference: As above.

    Examples:
        >>> archive = ParetoArchive((0.0, 0.0))
        >>> for index, rewards in enumerate([(1.0, 1.0), (0.5, 0.5), (3.0, 0.25)]):
        ...     _ = archive.add(
        ...         Trial(index, {}, "", Status.OK, "", {}, 0.0, rewards, False, 0.0, 0)
        ...     )
        >>> [trial.rewards for trial in archive.front]
        [(3.0, 0.25), (1.0, 1.0)]
        >>> archive.hypervolume()  # 3 x 0.25, and 1 x 0.75 above it
        1.5
    """

    def __init__(self, reference: Sequence[float]) -> None:
        self.reference = tuple(reference)
        self._trials: list[Trial] = []
        self._rewards: npt.NDArray[np.float64] = np.empty((0, len(self.reference)))

    @property
    def front(self) -> list[Trial]:
        """The trials, the best in the first goal first."""
        return sorted(self._trials, key=lambda trial: trial.rewards, reverse=True)

    def add(self, trial: Trial) -> bool:
        """Take a trial if nothing dominates it, and drop what it dominates.

        Args:
            trial: Any trial, with as many rewards as the reference point.

        Returns:
            Whether it was taken.
        """
        if trial.status is not Status.OK:
            return False
        rewards = np.array(trial.rewards)
        if (self._rewards >= rewards).all(axis=1).any():
            return False
        stays = np.flatnonzero((self._rewards > rewards).any(axis=1))
        self._trials = [*(self._trials[index] for index in stays.tolist()), trial]
        self._rewards = np.concatenate((self._rewards[stays], rewards[None, :]))
        return True

    def hypervolume(self) -> float:
        """Return the volume between the front and the reference point.

        Returns:
            At least 0; what is worse than the reference point in some goal adds nothing.

        Raises:
            ConfigError: If moocore is not installed.
        """
        # Not by our own few lines: with four goals and more, a fast algorithm is intricate.
        moocore = require("moocore", extra="report")
        inside = self._rewards[(self._rewards > np.array(self.reference)).all(axis=1)]
        if not len(inside):
            return 0.0
        return float(moocore.hypervolume(inside, ref=self.reference, maximise=True))


def goals_of(objective: str) -> tuple[str, ...]:
    """Return the metrics that a logged objective minimises side by side.

    Args:
        objective: Its name.

    Returns:
        Their names; none where the objective has a single goal.

    Examples:
        >>> goals_of("pareto:total_time_ns=1e5,energy_pj=2e8"), goals_of("minimize:energy_pj")
        (('total_time_ns', 'energy_pj'), ())
    """
    kind, _, goals = objective.partition(":")
    if kind != "pareto":
        return ()
    return tuple(goal.partition("=")[0] for goal in goals.split(","))


def reference_of(objective: str, trial: Trial) -> tuple[float, ...] | None:
    """Return the reference point of a logged objective.

    Args:
        objective: Its name.
        trial: A feasible trial of the same run, from whose metrics and rewards the baseline is
            known.

    Returns:
        A reward for each goal, None where the objective has one goal only.
    """
    goals = goals_of(objective)
    if not goals:
        return None
    # Only the bounds of failures depend on those of the metrics, which logs do not hold.
    metrics = [Metric(goal, "", 1e-300, 1e300) for goal in goals]
    baseline = {
        goal: trial.metrics[goal] * math.exp(reward)
        for goal, reward in zip(goals, trial.rewards, strict=True)
    }
    return parse_objective(objective, metrics=metrics, baseline=baseline).reference
