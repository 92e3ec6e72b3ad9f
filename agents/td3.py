"""Twin delayed deep deterministic policy gradient, by stable-baselines3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from archgym_py.agents.sb3 import StableBaselinesAgent
from archgym_py.errors import require
from archgym_py.space import Integer, Ordinal, ParameterSpace, Real

__all__ = ["TD3"]


class TD3(StableBaselinesAgent):
    """Twin delayed deterministic policy gradient (Fujimoto et al. 2018) on continuous actions.

    The actions are cut into the values of the parameters. The policy itself explores nothing:
    `noise` is the deviation of the normal noise on its actions, whose range is 2. See
    `StableBaselinesAgent` for environments, rewards and budget.

    Examples:
        >>> from archgym_py.simulators.toy import TOY_SPACE
        >>> TD3(TOY_SPACE, seed=0, noise=0.2).config["noise"]
        0.2
    """

    name: ClassVar[str] = "td3"
    doc: ClassVar[str] = "twin delayed deterministic policy gradient (stable-baselines3)"
    algorithm: ClassVar[str] = "TD3"
    chooses_values: ClassVar[bool] = False
    hyperparameters: ClassVar[ParameterSpace] = ParameterSpace(
        (
            Integer("startup", 8, 256, default=64, doc="random steps before learning"),
            Ordinal("batch_size", (16, 32, 64, 128), default=64, doc="steps of a gradient"),
            Integer("train_every", 1, 16, default=2, doc="steps between gradients"),
            Real("noise", 0.05, 2.0, log=True, default=0.7, doc="deviation of exploring actions"),
            Real("learning_rate", 1e-4, 0.02, log=True, default=2e-3, doc="of Adam"),
            Real("tau", 0.005, 0.5, log=True, default=0.02, doc="speed of the target networks"),
            Ordinal("width", (16, 32, 64, 128), default=64, doc="units of a hidden layer"),
        )
    )

    def _arguments(self, designs: int, steps: int) -> Mapping[str, Any]:
        noise = require("stable_baselines3.common.noise", extra="agents")
        size = len(self.space.parameters) if steps == 1 else 1
        return {
            "action_noise": noise.NormalActionNoise(
                np.zeros(size), np.full(size, self.config["noise"])
            ),
            "buffer_size": designs * steps,
            "learning_starts": self.config["startup"],
            "batch_size": self.config["batch_size"],
            "train_freq": self.config["train_every"],
            "tau": self.config["tau"],
        }
