"""NSGA-II: evolution by non-dominated sorting, for one or several objectives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from archgym_py.agents.optuna_study import StudyAgent
from archgym_py.space import Integer, ParameterSpace, Real

if TYPE_CHECKING:
    import optuna

__all__ = ["NSGA2"]


class NSGA2(StudyAgent):
    """Breeds from designs that no other dominates, the less crowded ones first (Deb et al. 2002).

    It is optuna's sampler rather than another library's because optuna is here for Bayesian search
    anyway, handles unordered, ordered and conditional parameters together with constraints, and is
    asked and told. With a `pareto:` objective it approaches the front; with one objective it is an
    elitist genetic algorithm. See `StudyAgent` for how designs and failures are told.

    Examples:
        >>> from archgym_py.simulators.toy import TOY_SPACE
        >>> agent = NSGA2(TOY_SPACE, seed=0, population_size=8)
        >>> len(agent.ask(100))
        8
    """

    name: ClassVar[str] = "nsga2"
    doc: ClassVar[str] = "optuna's NSGA-II, for one or several objectives"
    hyperparameters: ClassVar[ParameterSpace] = ParameterSpace(
        (
            Integer("population_size", 4, 128, default=24, doc="designs in a generation"),
            Real("crossover_rate", 0.0, 1.0, default=0.9, doc="share of offspring of two parents"),
            Real("swap_rate", 0.0, 0.5, default=0.5, doc="share of genes from the second parent"),
            Real("mutation_rate", 0.02, 0.5, log=True, default=0.12, doc="share of genes redrawn"),
        )
    )

    @property
    def _count(self) -> int:
        return cast(int, self.config["population_size"])

    def _sampler(self, library: Any, seed: int) -> optuna.samplers.BaseSampler:
        sampler: optuna.samplers.BaseSampler = library.samplers.NSGAIISampler(
            seed=seed,
            population_size=cast(int, self.config["population_size"]),
            crossover_prob=cast(float, self.config["crossover_rate"]),
            swapping_prob=cast(float, self.config["swap_rate"]),
            mutation_prob=cast(float, self.config["mutation_rate"]),
        )
        return sampler
