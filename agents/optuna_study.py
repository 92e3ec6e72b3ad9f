"""What the agents built on optuna share: a study that is asked and told."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, cast

import numpy as np

from archgym_py.agent import AskTellAgent, Scores, sample_feasible
from archgym_py.agents.isolation import isolated
from archgym_py.errors import require
from archgym_py.evaluator import Trial
from archgym_py.simulator import Status
from archgym_py.space import Choice, Design, Parameter, ParameterSpace, Real, Value

if TYPE_CHECKING:
    import optuna

__all__ = ["StudyAgent"]

_Suggest: TypeAlias = "Callable[[optuna.Trial], Value]"

_MOST_ASKED = 10
"""How often optuna is asked for a design that breaks no constraint of the space."""

_MOST_DRAWN = 20
"""How many random designs are drawn to find a new one."""


class StudyAgent(AskTellAgent):
    """An agent whose proposals are those of an optuna sampler.

    Only active parameters are suggested. Ordered parameters are suggested by the number of their
    value, unordered ones as categories, continuous ones on their scale. With several objectives
    the study has as many directions, and learns from the vectors of rewards.

    A design that breaks a constraint, of the space or of the simulator, is told as one with a
    violated constraint; one of the space is told at once and costs no sample. All failures have
    the finite score that `Scores` gives them, as optuna takes no notice of trials that are told as
    failed. Just this is what happens to designs that are known: told again, they would draw the
    model to where nothing new is. Where `_most_repeats` proposals are known, or ten of no use, the
    next design is a random one.
    """

    _most_repeats: ClassVar[int] = _MOST_ASKED

    def __init__(self, space: ParameterSpace, *, seed: int, **hyperparameters: Value) -> None:
        super().__init__(space, seed=seed, **hyperparameters)
        self._study: optuna.Study | None = None
        self._seed = int(self.rng.integers(2**31))
        self._suggest = [
            (p.name, p.default, p.conditions, _suggestion(p)) for p in space.parameters
        ]
        self._scores = Scores()
        self._known: set[tuple[Value, ...]] = set()
        self._pending: list[optuna.Trial] = []

    @property
    @abstractmethod
    def _count(self) -> int:
        """Designs that are asked for before the sampler is told."""

    @abstractmethod
    def _sampler(self, library: Any, seed: int) -> optuna.samplers.BaseSampler:
        """Return the sampler of the study.

        Args:
            library: The module optuna.
            seed: Seed of the sampler.
        """

    def propose(self) -> Sequence[Design]:
        """Return what the sampler suggests."""
        with isolated():
            if self._study is None:
                self._study = self._new_study()
            self._pending = []
            return [self._next(self._study) for _ in range(self._count)]

    def learn(self, trials: Sequence[Trial]) -> None:
        """Tell the study the scores of the batch."""
        with isolated():
            for proposal, trial in zip(self._pending, trials, strict=True):
                violation = 1.0 if trial.status is Status.INFEASIBLE else -1.0
                self._tell(proposal, violation, self._scores.of(trial))

    def express(self, rng: np.random.Generator) -> Design:
        """Return a design that optuna's random sampler suggests."""
        library = require("optuna", extra="agents")
        with _quiet(library):
            sampler = library.samplers.RandomSampler(seed=int(rng.integers(2**31)))
            return self._design(library.create_study(sampler=sampler).ask())

    def _new_study(self) -> optuna.Study:
        library = require("optuna", extra="agents")
        self._scores = Scores(self.objectives)
        with _quiet(library):
            study: optuna.Study = library.create_study(
                directions=["maximize"] * self.objectives,
                sampler=self._sampler(library, self._seed),
            )
        return study

    def _next(self, study: optuna.Study) -> Design:
        """Return the next design that is worth a sample."""
        optuna = require("optuna", extra="agents")
        repeats = 0
        for _ in range(_MOST_ASKED):
            proposal = study.ask()
            design = self._design(proposal)
            if not all(constraint.check(design) for constraint in self.space.constraints):
                self._tell(proposal, 1.0, self._scores.failure())
            elif tuple(design.values()) not in self._known:
                return self._chosen(proposal, design)
            else:
                study.tell(proposal, state=optuna.trial.TrialState.FAIL)
                repeats += 1
                if repeats == self._most_repeats:
                    break
        drawn = sample_feasible(self.space, self.rng, _MOST_DRAWN).designs
        new = (one for one in drawn if tuple(one.values()) not in self._known)
        design = next(new, drawn[0])
        study.enqueue_trial(self._suggested(design))
        proposal = study.ask()
        self._design(proposal)
        return self._chosen(proposal, design)

    def _chosen(self, proposal: optuna.Trial, design: Design) -> Design:
        self._known.add(tuple(design.values()))
        self._pending.append(proposal)
        return design

    def _suggested(self, design: Design) -> dict[str, Value]:
        """Return what a trial would have to suggest for a design."""
        return {
            p.name: design[p.name]
            if isinstance(p, Choice) or p.cardinality is None
            else p.index_of(design[p.name])
            for p in self.space.parameters
            if p.cardinality != 1
        }

    def _tell(self, proposal: optuna.Trial, violation: float, scores: Sequence[float]) -> None:
        study = cast("optuna.Study", self._study)
        proposal.set_constraint("feasible", violation)
        study.tell(proposal, list(scores))

    def _design(self, proposal: optuna.Trial) -> Design:
        """Return the canonical design of a trial, of which it suggests what is active."""
        design: dict[str, Value] = {}
        inactive: set[str] = set()
        for name, default, conditions, suggest in self._suggest:
            if all(p not in inactive and design[p] in values for p, values in conditions):
                design[name] = suggest(proposal)
            else:
                design[name] = default
                inactive.add(name)
        return design


def _suggestion(parameter: Parameter) -> _Suggest:
    """Return what lets a trial suggest a value of a parameter."""
    name, count = parameter.name, parameter.cardinality
    if count == 1:
        return lambda _: parameter.default
    if isinstance(parameter, Choice):
        return lambda trial: cast(Value, trial.suggest_categorical(name, parameter.values))
    if count is None:
        real = cast(Real, parameter)
        return lambda trial: real.check(
            trial.suggest_float(name, real.low, real.high, log=real.log)
        )
    return lambda trial: parameter.value_at(trial.suggest_int(name, 0, count - 1))


@contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """Keep optuna from announcing a study."""
    verbosity = library.logging.get_verbosity()
    library.logging.set_verbosity(library.logging.WARNING)
    try:
        yield
    finally:
        library.logging.set_verbosity(verbosity)
