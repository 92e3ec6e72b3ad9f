"""A policy gradient without a critic, over one categorical distribution for each parameter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from archgym_py.agent import AskTellAgent, check_finite, rank_scores, take_new
from archgym_py.agents.isolation import isolated
from archgym_py.errors import require
from archgym_py.evaluator import Trial
from archgym_py.simulator import Status
from archgym_py.space import Design, Integer, ParameterSpace, Real, Value

if TYPE_CHECKING:
    import torch

__all__ = ["PolicyGradient"]

_FloatArray: TypeAlias = npt.NDArray[np.float64]

_ATTEMPTS = 20
"""How often a design is drawn again if it is known already or breaks a constraint."""


class PolicyGradient(AskTellAgent):
    """Makes the values of designs that did better than their batch more likely.

    Choosing a design is a bandit problem: one decision, one reward, and no state that the next
    decision depends on. A critic would learn a single number, the mean reward, and a network would
    map a constant to logits. So there is neither: the policy is a vector of logits for each
    parameter, and a batch is its own baseline, as in REINFORCE (Williams 1992) with the advantage
    of a design taken relative to its group.

    The advantage is the rank of the reward within the batch, scaled to [-1, 1], failed designs
    last: the search does not depend on the scale of the reward. `epochs` steps of Adam are taken on
    a batch; from the second on the gradient is that of the clipped ratio of probabilities (Schulman
    et al. 2017). An entropy bonus keeps the policy from settling too early. Parameters that are
    inactive in a design have no part in its probability. Designs that are known or break a
    constraint are drawn again, up to 20 times, because the budget counts repeated samples.

    Examples:
        >>> from archgym_py.simulators.toy import TOY_SPACE
        >>> agent = PolicyGradient(TOY_SPACE, seed=0, batch_size=12)
        >>> len(agent.ask(100))
        12
    """

    name: ClassVar[str] = "policy_gradient"
    doc: ClassVar[str] = "critic-free policy gradient over independent categoricals"
    hyperparameters: ClassVar[ParameterSpace] = ParameterSpace(
        (
            Integer("batch_size", 4, 128, default=32, doc="designs for a step of learning"),
            Real("learning_rate", 0.01, 1.0, log=True, default=0.05, doc="of Adam"),
            Real("entropy", 1e-4, 0.3, log=True, default=3e-3, doc="weight of the entropy bonus"),
            Integer("epochs", 1, 8, default=6, doc="steps on a batch"),
            Real(
                "clip",
                0.05,
                0.5,
                default=0.4,
                doc="how far a probability may move in a batch",
                active_when={"epochs": range(2, 9)},
            ),
        )
    )

    def __init__(self, space: ParameterSpace, *, seed: int, **hyperparameters: Value) -> None:
        super().__init__(space, seed=seed, **hyperparameters)
        check_finite(self.name, space)
        self._counts = np.array([p.cardinality for p in space.parameters], dtype=np.int64)
        self._torch: Any = require("torch", extra="agents")
        shape = (len(self._counts), int(self._counts.max()))
        legal = np.arange(shape[1]) < self._counts[:, None]
        # Every parameter has a row; what its row has too much can never be drawn.
        self._illegal: torch.Tensor = self._torch.from_numpy(~legal)
        self._logits: torch.Tensor = self._torch.zeros(
            shape, dtype=self._torch.float64, requires_grad=True
        )
        self._adam: torch.optim.Adam = self._torch.optim.Adam(
            [self._logits], lr=cast(float, self.config["learning_rate"])
        )
        self._seen: set[bytes] = set()
        self._units: _FloatArray = np.empty((0, shape[0]))
        self._active: npt.NDArray[np.bool_] = np.empty((0, shape[0]), dtype=np.bool_)

    def propose(self) -> Sequence[Design]:
        """Return designs drawn from the policy."""
        count = cast(int, self.config["batch_size"])
        with isolated():
            policy: _FloatArray = self._log_policy().exp().detach().numpy()
        units = np.empty((count, len(self._counts)))
        active = np.empty(units.shape, dtype=np.bool_)
        designs: list[Design] = [{}] * count
        left = np.arange(count)
        for _ in range(_ATTEMPTS + 1):
            batch = self.space.batch(self._draw(policy, len(left), self.rng))
            units[left], active[left] = batch.units, batch.active
            for index, design in zip(left.tolist(), batch.designs, strict=True):
                designs[index] = design
            left = np.delete(left, take_new(batch, self._seen))
            if not len(left):
                break
        self._units, self._active = units, active
        return designs

    def learn(self, trials: Sequence[Trial]) -> None:
        """Take `epochs` steps on the batch."""
        torch = self._torch
        with isolated():
            scores = rank_scores([(t.status is Status.OK, t.reward) for t in trials])
            advantages = torch.from_numpy(scores)
            numbers = torch.from_numpy((self._units * self._counts).astype(np.int64))
            active = torch.from_numpy(self._active)
            before = self._log_probability(numbers, active).detach()
            clip = cast(float, self.config["clip"])
            for _ in range(cast(int, self.config["epochs"])):
                ratio = (self._log_probability(numbers, active) - before).exp()
                clipped = ratio.clamp(1.0 - clip, 1.0 + clip)
                gain = torch.minimum(ratio * advantages, clipped * advantages).mean()
                log_policy = self._log_policy()
                weighted = (log_policy.exp() * log_policy).masked_fill(self._illegal, 0.0)
                entropy = -weighted.sum(dim=1).mean()
                self._adam.zero_grad()
                (-gain - cast(float, self.config["entropy"]) * entropy).backward()
                self._adam.step()

    def express(self, rng: np.random.Generator) -> Design:
        """Return a design drawn from a policy that prefers nothing."""
        even = (~self._illegal.numpy()) / self._counts[:, None]
        return self.space.batch(self._draw(even, 1, rng)).designs[0]

    def _log_policy(self) -> torch.Tensor:
        """Return the log-probability of every value, shape (n, values)."""
        return self._logits.masked_fill(self._illegal, -1e9).log_softmax(dim=1)

    def _log_probability(self, numbers: torch.Tensor, active: torch.Tensor) -> torch.Tensor:
        """Return the log-probability of designs, shape (m,)."""
        values = self._log_policy().expand(len(numbers), -1, -1)
        chosen = values.gather(2, numbers.unsqueeze(2)).squeeze(2)
        return (chosen * active).sum(dim=1)

    def _draw(self, policy: _FloatArray, count: int, rng: np.random.Generator) -> _FloatArray:
        """Return positions of designs drawn from a policy, shape (count, n)."""
        draws = rng.random((len(policy), count))
        numbers = np.empty((count, len(policy)))
        for index, probabilities in enumerate(policy):
            edges = np.cumsum(probabilities[: self._counts[index]])
            numbers[:, index] = np.searchsorted(edges[:-1], draws[index] * edges[-1], side="right")
        return (numbers + 0.5) / self._counts
