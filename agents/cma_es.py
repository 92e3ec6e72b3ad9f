"""CMA-ES with margin, for continuous, ordered and unordered parameters at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from archgym_py.agent import AskTellAgent, Scores, sample_feasible
from archgym_py.errors import require
from archgym_py.evaluator import Trial
from archgym_py.space import Choice, Design, Integer, ParameterSpace, Real, Value

if TYPE_CHECKING:
    from cmaes import CatCMAwM

__all__ = ["CMAES"]

_FloatArray: TypeAlias = npt.NDArray[np.float64]

_STALE = 10
"""Generations in a row that hold nothing new, after which the distribution starts anew."""

_MAX_VALUES = 4096
"""Ordered parameters with more values than this are treated as continuous."""


class CMAES(AskTellAgent):
    """Adapts a normal distribution and categorical ones towards the better designs.

    The algorithm is CatCMA with margin (Hamano et al. 2025): a normal distribution with adapted
    covariance over the continuous and the ordered parameters, a categorical one for each unordered
    parameter, and a least probability for every value, so that a distribution that has narrowed to
    one value can still leave it. It comes from the library cmaes; optuna's CMA-ES sampler, built on
    the same library, draws unordered parameters independently of all results, and these
    are half of a memory controller's.

    It compares scores by rank; for failed designs see `Scores`. A design that is known already is
    told its known score without a sample, one that breaks a constraint that of a failure. After
    10 generations without a new design the distribution starts anew.

    Examples:
        >>> from archgym_py.simulators.toy import TOY_SPACE
        >>> agent = CMAES(TOY_SPACE, seed=0, population_size=12)
        >>> 1 <= len(agent.ask(100)) <= 12
        True
    """

    name: ClassVar[str] = "cma_es"
    doc: ClassVar[str] = "CMA-ES with margin for mixed spaces"
    hyperparameters: ClassVar[ParameterSpace] = ParameterSpace(
        (
            Integer("population_size", 4, 64, default=14, doc="designs in a generation"),
            Real(
                "sigma",
                0.3,
                3.0,
                log=True,
                default=1.0,
                doc="first step size, 1 is a third of a range",
            ),
        )
    )

    def __init__(self, space: ParameterSpace, *, seed: int, **hyperparameters: Value) -> None:
        super().__init__(space, seed=seed, **hyperparameters)
        self._scores = Scores()
        self._known: dict[bytes, float] = {}
        self._generation: list[tuple[CatCMAwM.Solution, bytes]] = []
        self._proposed: list[bytes] = []
        # The library has no parameters of one value, and wants those of two to be unordered.
        self._real: list[int] = []
        self._ordered: list[int] = []
        self._unordered: list[int] = []
        self._counts = [p.cardinality for p in space.parameters]
        for index, (parameter, count) in enumerate(
            zip(space.parameters, self._counts, strict=True)
        ):
            if count is None or (count > _MAX_VALUES and not isinstance(parameter, Choice)):
                self._real.append(index)
            elif isinstance(parameter, Choice) or count == 2:
                self._unordered += [index] if count > 1 else []
            elif count > 1:
                self._ordered.append(index)
        self._optimizer: CatCMAwM | None = None

    def propose(self) -> Sequence[Design]:
        """Return the designs of the next generation that are not known."""
        if not self._real + self._ordered + self._unordered:
            self._proposed = []
            return [self.space.default()]
        for stale in range(10 * _STALE):
            if self._optimizer is None or stale % _STALE == _STALE - 1:
                self._optimizer = self._new_optimizer()
            designs = self._sample(self._optimizer)
            if designs:
                return designs
            self._tell()
        # A space that is all but exhausted is proposed again.
        batch = sample_feasible(self.space, self.rng, 1)
        self._generation, self._proposed = [], [batch.units[0].tobytes()]
        return batch.designs

    def learn(self, trials: Sequence[Trial]) -> None:
        """Adapt the distribution to the scores of the generation."""
        for behaviour, trial in zip(self._proposed, trials, strict=False):
            self._known[behaviour] = self._scores.of(trial)[0]
        self._tell()

    def _sample(self, optimizer: CatCMAwM) -> list[Design]:
        """Draw a generation; return what has to be evaluated of it."""
        solutions = [optimizer.ask() for _ in range(optimizer.population_size)]
        batch = self.space.batch(np.array([self._units(solution) for solution in solutions]))
        behaviours = [position.tobytes() for position in batch.units]
        self._generation = list(zip(solutions, behaviours, strict=True))
        new = {
            behaviour: design
            for behaviour, design, feasible in zip(
                behaviours, batch.designs, batch.feasible, strict=True
            )
            if feasible and behaviour not in self._known
        }
        self._proposed = list(new)
        return list(new.values())

    def _tell(self) -> None:
        """Tell the library the scores of the generation; it minimises."""
        if not self._generation:
            return
        failure = self._scores.failure()[0]
        told = [(one, -self._known.get(behaviour, failure)) for one, behaviour in self._generation]
        assert self._optimizer is not None  # it made the generation
        self._optimizer.tell(told)

    def _units(self, solution: CatCMAwM.Solution) -> _FloatArray:
        """Return the position of a solution in the unit cube."""
        units = np.full(len(self._counts), 0.5)
        if self._real:
            units[self._real] = np.clip(solution.x, 0.0, 1.0)  # its bounds hold up to rounding
        if self._ordered:
            units[self._ordered] = solution.z
        if self._unordered:
            numbers = cast(_FloatArray, solution.c).argmax(axis=1)
            counts = np.array([self._counts[index] for index in self._unordered])
            units[self._unordered] = (numbers + 0.5) / counts
        return units

    def _new_optimizer(self) -> CatCMAwM:
        cmaes = require("cmaes", extra="agents")

        def centres(index: int) -> list[float]:
            count = cast(int, self._counts[index])
            return [(number + 0.5) / count for number in range(count)]

        optimizer: CatCMAwM = cmaes.CatCMAwM(
            x_space=[[0.0, 1.0]] * len(self._real) or None,
            z_space=[centres(index) for index in self._ordered] or None,
            c_space=[cast(int, self._counts[index]) for index in self._unordered] or None,
            population_size=cast(int, self.config["population_size"]),
            sigma=cast(float, self.config["sigma"]),
            seed=int(self.rng.integers(2**31)),
        )
        return optimizer
