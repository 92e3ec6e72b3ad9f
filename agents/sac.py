"""Soft actor-critic, by stable-baselines3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from archgym_py.agents.sb3 import StableBaselinesAgent
from archgym_py.space import Integer, Ordinal, ParameterSpace, Real

__all__ = ["SAC"]


class SAC(StableBaselinesAgent):
    """Soft actor-critic (Haarnoja et al. 2018) on continuous actions cut into the values.

    The weight of the entropy is learned, so that the entropy of the actions approaches `entropy`
    for each of them. The library's own aim, -1, is a normal distribution that is narrower than the
    bin of a value in many spaces: such a policy soon proposes the same design again. See
    `StableBaselinesAgent` for environments, rewards and budget.

    Examples:
        >>> from archgym_py.simulators.toy import TOY_SPACE
        >>> SAC(TOY_SPACE, seed=0, batch_size=32).config["batch_size"]
        32
    """

    name: ClassVar[str] = "sac"
    doc: ClassVar[str] = "soft actor-critic (stable-baselines3)"
    algorithm: ClassVar[str] = "SAC"
    chooses_values: ClassVar[bool] = False
    hyperparameters: ClassVar[ParameterSpace] = ParameterSpace(
        (
            Integer("startup", 8, 256, default=64, doc="random steps before learning"),
            Ordinal("batch_size", (16, 32, 64, 128), default=64, doc="steps of a gradient"),
            Integer("train_every", 1, 16, default=1, doc="steps between gradients"),
            Real("learning_rate", 1e-4, 0.02, log=True, default=5e-3, doc="of Adam"),
            Real("tau", 0.005, 0.5, log=True, default=0.15, doc="speed of the target network"),
            Real("entropy", -1.5, 0.6, default=-0.9, doc="aim of an action, in nats; ln 2 is even"),
            Ordinal("width", (16, 32, 64, 128), default=64, doc="units of a hidden layer"),
        )
    )

    def _arguments(self, designs: int, steps: int) -> Mapping[str, Any]:
        actions = len(self.space.parameters) if steps == 1 else 1
        return {
            "target_entropy": actions * cast(float, self.config["entropy"]),
            "buffer_size": designs * steps,
            "learning_starts": self.config["startup"],
            "batch_size": self.config["batch_size"],
            "train_freq": self.config["train_every"],
            "tau": self.config["tau"],
        }
