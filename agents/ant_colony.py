"""A max-min ant system on the parameter graph, with pheromone that depends on ranks only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from archgym_py.agent import AskTellAgent, check_finite, take_new
from archgym_py.evaluator import Trial
from archgym_py.simulator import Status
from archgym_py.space import Design, Integer, ParameterSpace, Real, Value

__all__ = ["AntColony"]

_ATTEMPTS = 20
"""How often an ant walks again if its design is known already or breaks a constraint."""

_Walks: TypeAlias = npt.NDArray[np.intp]
"""Number of the value that each ant takes of each parameter, shape (m, n)."""
_Mask: TypeAlias = npt.NDArray[np.bool_]


class _Elite(NamedTuple):
    """A design that lays pheromone.

    Attributes:
        rank: Whether it works, and its reward.
        walk: The values that it takes, shape (n,).
        active: Which of them matter, shape (n,).
    """

    rank: tuple[bool, float]
    walk: _Walks
    active: _Mask


class AntColony(AskTellAgent):
    """Ants walk the parameter graph and leave pheromone on the values of the best designs.

    The graph has a column of nodes for each parameter, one node for each value. An ant takes one
    node of each column, with probabilities that are proportional to the pheromone on them, so that
    its walk is a design. With the probability `greediness` it takes one of those with the most
    pheromone instead, as in the Ant Colony System (Dorigo and Gambardella, IEEE Trans. Evolutionary
    Computation 1, 1997). After a generation of ants the share `evaporation` of all pheromone
    evaporates, and as much is laid: the share `best_share` of it by the best design so far, the
    rest by the `elites` best designs of the generation, the k-th of which lays in proportion to
    elites - k + 1. Inactive parameters keep their pheromone.

    As in the Max-Min Ant System (Stützle and Hoos, Future Generation Computer Systems 16, 2000),
    pheromone stays between a ceiling, here 1, and a floor, so that no value is ever out of reach;
    it begins at the ceiling; and it is set back to it after `patience` generations without a
    better design. There, pheromone is laid in proportion to the reward. Here, rewards are only
    compared: another unit or offset of the reward changes nothing.

    The budget buys new designs: an ant whose design is known, or breaks a constraint, walks again,
    up to 20 times.

    Examples:
        >>> from archgym_py.simulators.toy import TOY_SPACE
        >>> agent = AntColony(TOY_SPACE, seed=0, ants=8)
        >>> len(agent.ask(100))
        8
    """

    name: ClassVar[str] = "ant_colony"
    doc: ClassVar[str] = "max-min ant system with pheromone on the values of the best designs"
    hyperparameters: ClassVar[ParameterSpace] = ParameterSpace(
        (
            Integer("ants", 2, 128, default=16, doc="designs in a generation"),
            Real(
                "evaporation",
                0.02,
                1.0,
                default=0.2,
                doc="share of pheromone that is renewed by a generation",
            ),
            Integer("elites", 1, 16, default=3, doc="best ants of a generation that lay pheromone"),
            Real(
                "best_share", 0.0, 1.0, default=0.4, doc="share laid by the best design of the run"
            ),
            Real("floor", 1e-3, 0.3, default=0.03, log=True, doc="least pheromone on a value"),
            Integer(
                "patience", 2, 100, default=15, doc="generations without a better design to restart"
            ),
            Real("greediness", 0.0, 1.0, default=0.0, doc="chance to take the value with the most"),
        )
    )

    def __init__(self, space: ParameterSpace, *, seed: int, **hyperparameters: Value) -> None:
        super().__init__(space, seed=seed, **hyperparameters)
        check_finite(self.name, space)
        self._ants = cast(int, self.config["ants"])
        self._evaporation = cast(float, self.config["evaporation"])
        self._elites = cast(int, self.config["elites"])
        self._best_share = cast(float, self.config["best_share"])
        self._floor = cast(float, self.config["floor"])
        self._patience = cast(int, self.config["patience"])
        self._greediness = cast(float, self.config["greediness"])
        self._counts = np.array([p.cardinality for p in space.parameters], dtype=np.intp)
        # Pheromone lies in one array, the values of the first parameter first, so that all
        # parameters are walked, and laid upon, at once.
        self._firsts = np.cumsum(self._counts) - self._counts
        self._owners = np.repeat(np.arange(len(self._counts)), self._counts)
        self._pheromone = np.ones(len(self._owners))
        self._walks: _Walks = np.empty((0, len(self._counts)), dtype=np.intp)
        self._active: _Mask = np.empty(self._walks.shape, dtype=np.bool_)
        self._known: set[bytes] = set()
        self._best: _Elite | None = None
        self._stale = 0  # generations since the best design was found, or the last restart

    def express(self, rng: np.random.Generator) -> Design:
        """Return the design of an ant that finds the same pheromone on all values."""
        walk = self._walk(np.ones_like(self._pheromone), rng.random((1, len(self._counts))))
        return self.space.batch(self._units(walk)).designs[0]

    def propose(self) -> Sequence[Design]:
        """Return the designs of a generation of ants."""
        n = len(self._counts)
        designs: list[Design] = [{}] * self._ants
        self._walks = np.empty((self._ants, n), dtype=np.intp)
        self._active = np.empty((self._ants, n), dtype=np.bool_)
        left = np.arange(self._ants)
        for _ in range(_ATTEMPTS + 1):
            walks = self._choose(self.rng.random((len(left), n)))
            batch = self.space.batch(self._units(walks))
            self._walks[left], self._active[left] = walks, batch.active
            for ant, design in zip(left.tolist(), batch.designs, strict=True):
                designs[ant] = design
            left = np.delete(left, take_new(batch, self._known))
            if not len(left):
                break
        return designs

    def learn(self, trials: Sequence[Trial]) -> None:
        """Let pheromone evaporate, and the best designs lay some."""
        ranks = [(trial.status is Status.OK, trial.reward) for trial in trials]
        order = sorted(range(len(ranks)), key=lambda ant: ranks[ant], reverse=True)
        elites = [
            _Elite(ranks[ant], self._walks[ant].copy(), self._active[ant].copy())
            for ant in order[: self._elites]
        ]
        if self._best is None or elites[0].rank > self._best.rank:
            self._best, self._stale = elites[0], 0
        else:
            self._stale += 1
        if self._stale == self._patience:
            self._stale = 0
            self._pheromone[:] = 1.0
        else:
            self._lay(elites, self._best)

    def _lay(self, elites: Sequence[_Elite], best: _Elite) -> None:
        weights = np.arange(len(elites), 0, -1, dtype=np.float64)
        weights *= (1.0 - self._best_share) / weights.sum()
        shares = self._evaporation * np.append(weights, self._best_share)
        laying = [*elites, best]
        active = np.array([elite.active for elite in laying])
        places = self._firsts + np.array([elite.walk for elite in laying])
        # A parameter loses what it is given: nothing where it was active in none of the designs.
        self._pheromone *= (1.0 - shares @ active)[self._owners]
        laid = np.broadcast_to(shares[:, None], active.shape)
        np.add.at(self._pheromone, places[active], laid[active])
        np.clip(self._pheromone, self._floor, 1.0, out=self._pheromone)

    def _choose(self, draws: npt.NDArray[np.float64]) -> _Walks:
        """Return the values that ants take, some of them greedily."""
        walks = self._walk(self._pheromone, draws)
        if self._greediness == 0.0:
            return walks
        most = np.maximum.reduceat(self._pheromone, self._firsts)[self._owners]
        best = self._walk(np.where(self._pheromone == most, 1.0, 0.0), draws)
        return np.where(self.rng.random(draws.shape) < self._greediness, best, walks)

    def _walk(self, pheromone: npt.NDArray[np.float64], draws: npt.NDArray[np.float64]) -> _Walks:
        """Return the values that ants take, for draws from [0, 1) of shape (m, n)."""
        totals = np.add.reduceat(pheromone, self._firsts)
        # The shares of parameter j end at j + 1, so that one search serves all parameters.
        sums = np.cumsum(pheromone / totals[self._owners])
        places = np.searchsorted(sums, draws + np.arange(len(totals)), side="right")
        # The sums are rounded: a draw next to the end of a range may fall out of it.
        walks: _Walks = np.clip(places - self._firsts, 0, self._counts - 1)
        return walks

    def _units(self, walks: _Walks) -> npt.NDArray[np.float64]:
        """Return the positions of values in the unit cube: centres of their bins."""
        units: npt.NDArray[np.float64] = (walks + 0.5) / self._counts
        return units
