"""Quasi-random search: points that fill the unit cube more evenly than random ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np
import numpy.typing as npt

from archgym_py.agent import AskTellAgent, take_new
from archgym_py.errors import SpaceError, require
from archgym_py.space import Design, Ordinal, ParameterSpace, Value

if TYPE_CHECKING:
    from scipy.stats.qmc import Sobol

__all__ = ["QuasiRandom"]

_MAX_DIMENSION = 21_201
"""Dimensions of the table of Joe and Kuo (2008), which scipy uses."""

_ATTEMPTS = 20
"""Batches of points without a new feasible design after which known ones are proposed again."""


class QuasiRandom(AskTellAgent):
    """Evaluates the designs at scrambled Sobol points.

    The points of a Sobol sequence spread evenly over the unit cube and over its projections on few
    axes. Owen's scrambling, seeded, keeps this and makes the seeds differ (Owen 1998, "Scrambling
    Sobol' and Niederreiter-Xing points"). The sequence comes from scipy.

    Points in the bins of one design are the same design: designs that were proposed before are
    skipped, and so are those that break a constraint. A space that seems exhausted is proposed
    again.

    Examples:
        >>> from archgym_py.simulators.toy import TOY_SPACE
        >>> agent = QuasiRandom(TOY_SPACE, seed=0)
        >>> len(agent.ask(3))
        3
    """

    name: ClassVar[str] = "quasi_random"
    doc: ClassVar[str] = "scrambled Sobol points"
    hyperparameters: ClassVar[ParameterSpace] = ParameterSpace(
        (
            Ordinal(
                "batch_size",
                (16, 32, 64, 128, 256, 512, 1024),
                default=64,
                doc="points drawn at a time; a power of two keeps each batch balanced",
            ),
        )
    )

    def __init__(self, space: ParameterSpace, *, seed: int, **hyperparameters: Value) -> None:
        super().__init__(space, seed=seed, **hyperparameters)
        if len(space.parameters) > _MAX_DIMENSION:
            raise SpaceError(
                f"agent {self.name!r} searches spaces of up to {_MAX_DIMENSION} parameters, for "
                f"which Sobol directions are known, got {len(space.parameters)}. Use random_search."
            )
        self._sequence: Sobol | None = None
        self._seen: set[bytes] = set()

    def propose(self) -> Sequence[Design]:
        """Return the new designs of the next points."""
        for _ in range(_ATTEMPTS):
            batch = self.space.batch(self._points())
            if new := take_new(batch, self._seen):
                return [batch.designs[number] for number in new]
        self._seen.clear()
        legal = [design for design, ok in zip(batch.designs, batch.feasible, strict=True) if ok]
        return legal or batch.designs

    def _points(self) -> npt.NDArray[np.float64]:
        """Return the next points; a sequence that is used up is followed by another one."""
        count = cast(int, self.config["batch_size"])
        if self._sequence is None or self._sequence.num_generated + count > self._sequence.maxn:
            qmc = require("scipy.stats.qmc", extra="agents")
            self._sequence = qmc.Sobol(len(self.space.parameters), scramble=True, rng=self.rng)
        points: npt.NDArray[np.float64] = self._sequence.random(count)
        return points
