"""Surrogate-assisted search: a model judges many designs, the simulator verifies the best ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from archgym_py.agent import AskTellAgent, Scores, sample_feasible, take_new
from archgym_py.agents.genetic import Genetic
from archgym_py.errors import require
from archgym_py.evaluator import Trial
from archgym_py.features import FeatureMap
from archgym_py.registry import PROXIES
from archgym_py.simulator import Status
from archgym_py.space import Design, DesignBatch, Integer, ParameterSpace, Real, Value
from archgym_py.surrogate import Surrogate

__all__ = ["SurrogateAssisted"]

_Floats: TypeAlias = npt.NDArray[np.float64]

_ATTEMPTS = 20
"""Draws without a new design after which the space counts as exhausted."""

_AUGMENTATION = 0.05
"""Weight of the mean beside the worst goal, as in Knowles 2006."""

_MAX_FEATURES = 0.5
"""Share of the features that a split may use; with 0.25 to 0.7 as good designs were found."""

_NO_WORKLOAD = np.empty(0)
"""Descriptors of the workload: a run has a single one, so that they would tell nothing apart."""


class SurrogateAssisted(AskTellAgent):
    """Trains a model on its trials, searches in the model, and verifies what that finds.

    After `initial` random designs each round has three steps:

    1. A forest of `trees` regression trees is fitted on the scores of all trials so far.
    2. The genetic algorithm breeds `generations` of `population_size` designs for which the
       forest stands in for the simulator. Its first generation holds the best `parents` designs
       that were evaluated, and random ones.
    3. Of the designs that were bred and are new, the best `batch_size` are evaluated. For each
       place in the batch they are compared by mean + k * deviation of the forest, where k is drawn
       anew from an exponential distribution of mean `exploration`: some places go to the designs
       that look best, others to those of which the forest knows least (Hutter, Hoos and
       Leyton-Brown 2012, "Parallel algorithm configuration"). With 0 all go to the former.

    Only what is evaluated counts: a wrong prediction costs a sample and corrects the next model.

    With several goals each round has another one in view: the scores are scaled to the range of
    the designs that work, and combined by an augmented Tchebycheff function with weights drawn
    uniformly (ParEGO; Knowles 2006), so that the rounds go to different parts of the front.

    The model need not know how bad a bad design is: all designs below the median of those that work
    count as the median. Failures score below it, as `Scores` says, which leads the search away from
    them.

    Raises:
        ConfigError: If scikit-learn is not installed, or a parameter has too many values for
            `FeatureMap`.

    Examples:
        >>> from archgym_py.simulators.toy import TOY_SPACE
        >>> agent = SurrogateAssisted(TOY_SPACE, seed=0, initial=24)
        >>> len(agent.ask(100))
        24
    """

    name: ClassVar[str] = "surrogate_assisted"
    doc: ClassVar[str] = "genetic search in a forest fitted on the trials, verified by samples"
    hyperparameters: ClassVar[ParameterSpace] = ParameterSpace(
        (
            Integer("initial", 2, 256, default=32, doc="random designs before the first model"),
            Integer("batch_size", 1, 64, default=16, doc="designs evaluated for each model"),
            Integer("trees", 4, 100, default=20, doc="trees of the forest"),
            Real("exploration", 0.0, 8.0, default=1.0, doc="mean weight of the deviation"),
            Integer("population_size", 16, 256, default=200, doc="designs in a generation"),
            Integer("generations", 1, 64, default=4, doc="generations bred for each model"),
            Integer("parents", 1, 128, default=24, doc="best trials that breeding starts from"),
            Real("mutation_rate", 0.0, 1.0, default=0.25, doc="probability that a gene mutates"),
        )
    )

    def __init__(self, space: ParameterSpace, *, seed: int, **hyperparameters: Value) -> None:
        super().__init__(space, seed=seed, **hyperparameters)
        require("sklearn.tree", extra="proxy")  # now, and not after the initial designs
        self._features = FeatureMap(space, ())
        self._proposed = space.batch(np.empty((0, len(space.parameters))))
        self._seen: set[bytes] = set()
        self._units: _Floats = self._proposed.units  # of all trials
        self._worked: list[bool] = []  # of all trials
        self._rewards: list[tuple[float, ...]] = []  # of all trials

    def propose(self) -> Sequence[Design]:
        """Return the designs to verify; at first, random ones."""
        missing = cast(int, self.config["initial"]) - len(self._worked)
        self._proposed = self._random(missing) if missing > 0 else self._promising()
        return self._proposed.designs

    def learn(self, trials: Sequence[Trial]) -> None:
        """Keep the trials for the next model."""
        self._units = np.concatenate((self._units, self._proposed.units))
        for trial in trials:
            self._worked.append(trial.status is Status.OK)
            self._rewards.append(trial.rewards if self.objectives > 1 else (trial.reward,))

    def _random(self, count: int) -> DesignBatch:
        """Return up to so many random new designs; known ones where the space is exhausted."""
        rows: list[_Floats] = []
        for _ in range(_ATTEMPTS):
            batch = sample_feasible(self.space, self.rng, count - len(rows))
            rows += [batch.units[number] for number in take_new(batch, self._seen)]
            if len(rows) == count:
                break
        if not rows:
            return sample_feasible(self.space, self.rng, count)
        return self.space.batch(np.array(rows))

    def _promising(self) -> DesignBatch:
        """Return the new designs that the model recommends, and random ones where too few."""
        count = cast(int, self.config["batch_size"])
        scores = self._scalar_scores()
        model = self._fit(scores)
        candidates, mean, std = self._breed(model, scores)
        batch = self.space.batch(candidates)
        new = np.array(take_new(batch, set(self._seen)), dtype=np.intp)
        # Trees give equal predictions to designs that they do not tell apart: no order favours one.
        new = self.rng.permutation(new)
        left = np.ones(len(new), dtype=np.bool_)
        chosen: list[int] = []
        for weight in self.rng.exponential(cast(float, self.config["exploration"]), count):
            if len(chosen) == len(new):
                break
            bound = np.where(left, mean[new] + weight * std[new], -np.inf)
            place = int(bound.argmax())
            left[place] = False
            chosen.append(place)
        units = batch.units[new[chosen]]
        self._seen.update(row.tobytes() for row in units)
        if len(units) < count:
            units = np.concatenate((units, self._random(count - len(units)).units))
        return self.space.batch(units)

    def _scalar_scores(self) -> _Floats:
        """Return one score for each trial so far, standardised; larger is better."""
        worked = np.array(self._worked)
        scores = np.full(len(worked), Scores().failure()[0])
        if worked.any():
            found = self._combined(np.array(self._rewards)[worked])
            # Bad designs differ by much: the trees would spend their splits on telling them apart.
            scores[worked] = np.maximum(found, np.median(found))
            of_failures = Scores()
            for score in scores[worked].tolist():
                of_failures.success((score,))
            scores[~worked] = of_failures.failure()[0]
        spread = float(scores.std())
        standardised: _Floats = (scores - scores.mean()) / (spread or 1.0)
        return standardised

    def _combined(self, rewards: _Floats) -> _Floats:
        """Return one number for each reward vector; with several goals, of other weights each time.

        Args:
            rewards: Shape (m, goals).
        """
        if rewards.shape[1] == 1:
            return rewards[:, 0]
        low, high = rewards.min(axis=0), rewards.max(axis=0)
        distance = (high - rewards) / np.where(high > low, high - low, 1.0)
        weighted = self.rng.dirichlet(np.ones(len(high))) * distance
        combined: _Floats = -(weighted.max(axis=1) + _AUGMENTATION * weighted.sum(axis=1))
        return combined

    def _fit(self, scores: _Floats) -> Surrogate:
        """Return a model of the scores of all trials so far."""
        seed = int(self.rng.integers(2**31))
        model: Surrogate = PROXIES.load("random_forest")(
            seed=seed, trees=self.config["trees"], max_features=_MAX_FEATURES
        )
        model.fit(self._features.of_units(self._units, _NO_WORKLOAD), scores[:, None])
        return model

    def _breed(self, model: Surrogate, scores: _Floats) -> tuple[_Floats, _Floats, _Floats]:
        """Return positions of candidates, with the mean and deviation of what is expected.

        Args:
            model: Stands in for the simulator.
            scores: Of all trials so far.

        Returns:
            Genes of shape (m, n), means and deviations of shape (m,).
        """
        size = cast(int, self.config["population_size"])
        best = np.argsort(-scores, kind="stable")[: min(size, cast(int, self.config["parents"]))]
        first = self._units[best]
        if len(first) < size:
            others = sample_feasible(self.space, self.rng, size - len(first)).units
            first = np.concatenate((first, others))
        breeder = _Breeder(
            self.space,
            first,
            seed=int(self.rng.integers(2**31)),
            mutation_rate=self.config["mutation_rate"],
        )
        genes, means, stds = [], [], []
        for _ in range(cast(int, self.config["generations"])):
            designs = breeder.propose()
            prediction = model.predict(self._features.of_designs(designs, _NO_WORKLOAD))
            mean, std = prediction.mean[:, 0], prediction.std[:, 0]
            breeder.judge(designs, mean + cast(float, self.config["exploration"]) * std)
            genes.append(breeder.genes)
            means.append(mean)
            stds.append(std)
        return np.concatenate(genes), np.concatenate(means), np.concatenate(stds)


class _Breeder(Genetic):
    """The genetic algorithm, with a first generation and judgements of someone else.

    Args:
        space: The designs.
        first: Positions of the first generation, shape (m, n), m at least 16.
        seed: Seed of the offspring.
        mutation_rate: Probability that a gene mutates.
    """

    def __init__(
        self, space: ParameterSpace, first: _Floats, *, seed: int, mutation_rate: Value
    ) -> None:
        size = len(first)
        super().__init__(
            space,
            seed=seed,
            population_size=size,
            elites=min(64, size // 3),
            mutation_rate=mutation_rate,
        )
        self._first = first

    def propose(self) -> Sequence[Design]:
        """Return the first generation, then the offspring of the one before."""
        if len(self._genes):
            return super().propose()
        return self._distinct(self._first.copy(), self._first)

    @property
    def genes(self) -> _Floats:
        """Positions of the designs that were proposed last, shape (m, n)."""
        return self._offspring

    def judge(self, designs: Sequence[Design], scores: _Floats) -> None:
        """Take in what the designs of `propose` are worth; all of them count as feasible."""
        self.learn(
            [
                Trial(index, design, "", Status.OK, "", {}, score, (score,), False, 0.0, 0, "proxy")
                for index, (design, score) in enumerate(zip(designs, scores.tolist(), strict=True))
            ]
        )
