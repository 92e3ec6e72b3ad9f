"""Bayesian optimisation: tree-structured Parzen estimators or Gaussian processes, by optuna."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from archgym_py.agents.optuna_study import StudyAgent
from archgym_py.space import Choice, Integer, ParameterSpace

if TYPE_CHECKING:
    import optuna

__all__ = ["Bayesian"]


class Bayesian(StudyAgent):
    """Models which designs are good, and proposes where the model promises most.

    "tpe" is the tree-structured Parzen estimator (Bergstra et al. 2011; Watanabe 2023) over all
    parameters jointly; it handles a thousand samples in seconds. "gp" is a Gaussian process with a
    Matérn kernel and expected improvement, told constraints as constraints; its time grows with
    the cube of the samples, so that it serves budgets of some hundred. See `StudyAgent` for how
    designs and failures are told.

    Examples:
        >>> from archgym_py.simulators.toy import TOY_SPACE
        >>> agent = Bayesian(TOY_SPACE, seed=0, batch_size=3)
        >>> len(agent.ask(100))
        3
    """

    name: ClassVar[str] = "bayesian"
    doc: ClassVar[str] = "optuna's Parzen estimators or Gaussian processes"
    hyperparameters: ClassVar[ParameterSpace] = ParameterSpace(
        (
            Choice("sampler", ("tpe", "gp"), doc="the model"),
            Integer("startup", 4, 100, default=16, doc="random designs before the model is used"),
            Integer("batch_size", 1, 32, default=4, doc="designs proposed before results are told"),
            Integer(
                "candidates",
                8,
                128,
                default=24,
                doc="designs that the model compares for a proposal",
                active_when={"sampler": ("tpe",)},
            ),
        )
    )

    # Where the model sees nothing but known designs, asking it again takes time and leads nowhere.
    _most_repeats: ClassVar[int] = 2

    @property
    def _count(self) -> int:
        return cast(int, self.config["batch_size"])

    def _sampler(self, library: Any, seed: int) -> optuna.samplers.BaseSampler:
        startup = cast(int, self.config["startup"])
        sampler: optuna.samplers.BaseSampler
        if self.config["sampler"] == "gp":
            sampler = library.samplers.GPSampler(seed=seed, n_startup_trials=startup)
        else:
            sampler = library.samplers.TPESampler(
                seed=seed,
                n_startup_trials=startup,
                n_ei_candidates=cast(int, self.config["candidates"]),
            )
        return sampler
