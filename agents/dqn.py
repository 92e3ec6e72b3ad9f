"""Deep Q-network, by stable-baselines3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from archgym_py.agent import check_finite
from archgym_py.agents.sb3 import EPISODES_OF_A_SAMPLE, StableBaselinesAgent
from archgym_py.space import Integer, Ordinal, ParameterSpace, Real

__all__ = ["DQN"]


class DQN(StableBaselinesAgent):
    """Deep Q-network (Mnih et al. 2015), parameter by parameter.

    It values single choices, so that it trains on the sequential form of every environment: there
    a step is the value of one parameter. Steps explore at random at first, and less and less over
    the share `exploration` of the budget. See `StableBaselinesAgent` for rewards and budget.

    Examples:
        >>> from archgym_py.simulators.toy import TOY_SPACE
        >>> DQN(TOY_SPACE, seed=0, batch_size=32).config["batch_size"]
        32
    """

    name: ClassVar[str] = "dqn"
    doc: ClassVar[str] = "deep Q-network, parameter by parameter (stable-baselines3)"
    algorithm: ClassVar[str] = "DQN"
    chooses_values: ClassVar[bool] = True
    hyperparameters: ClassVar[ParameterSpace] = ParameterSpace(
        (
            Integer("startup", 8, 128, default=32, doc="random designs before learning"),
            Ordinal("batch_size", (16, 32, 64, 128), default=64, doc="steps of a gradient"),
            Integer("train_every", 2, 32, default=5, doc="steps between gradients"),
            Real(
                "exploration", 0.1, 0.9, default=0.4, doc="share of the budget that explores more"
            ),
            Real("epsilon", 0.01, 0.3, log=True, default=0.05, doc="share of random steps at last"),
            Integer("target_every", 10, 1000, default=100, doc="steps between target updates"),
            Real("learning_rate", 1e-4, 0.02, log=True, default=2e-3, doc="of Adam"),
            Ordinal("width", (16, 32, 64, 128), default=64, doc="units of a hidden layer"),
        )
    )

    def _always_sequential(self) -> bool:
        return True

    def _kind(self, *, sequential: bool) -> str:
        check_finite(self.name, self.space)
        return "discrete"

    def _arguments(self, designs: int, steps: int) -> Mapping[str, Any]:
        return {
            "buffer_size": designs * steps,
            "learning_starts": int(self.config["startup"]) * steps,
            "batch_size": self.config["batch_size"],
            "train_freq": self.config["train_every"],
            "target_update_interval": self.config["target_every"],
            # The library's share is of all episodes that there may be, most of which never happen.
            "exploration_fraction": cast(float, self.config["exploration"]) / EPISODES_OF_A_SAMPLE,
            "exploration_final_eps": self.config["epsilon"],
        }
