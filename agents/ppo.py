"""Proximal policy optimisation, by stable-baselines3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from archgym_py.agents.sb3 import StableBaselinesAgent
from archgym_py.space import Integer, Ordinal, ParameterSpace, Real

__all__ = ["PPO"]


class PPO(StableBaselinesAgent):
    """Proximal policy optimisation (Schulman et al. 2017).

    The policy is updated after every `n_designs` designs, by `epochs` passes over them. See
    `StableBaselinesAgent` for environments, rewards and budget.

    Examples:
        >>> from archgym_py.simulators.toy import TOY_SPACE
        >>> PPO(TOY_SPACE, seed=0, n_designs=16).config["n_designs"]
        16
    """

    name: ClassVar[str] = "ppo"
    doc: ClassVar[str] = "proximal policy optimisation (stable-baselines3)"
    algorithm: ClassVar[str] = "PPO"
    chooses_values: ClassVar[bool] = True
    hyperparameters: ClassVar[ParameterSpace] = ParameterSpace(
        (
            Ordinal("n_designs", (8, 16, 32, 64, 128), default=16, doc="designs for an update"),
            Integer("epochs", 1, 20, default=10, doc="passes over the designs of an update"),
            Ordinal("minibatches", (1, 2, 4), default=1, doc="parts of a pass"),
            Real("learning_rate", 1e-4, 0.05, log=True, default=5e-3, doc="of Adam"),
            Real("entropy", 1e-4, 0.1, log=True, default=0.01, doc="weight of the entropy bonus"),
            Real("clip", 0.05, 0.5, default=0.2, doc="how far a probability may move"),
            Ordinal("width", (8, 16, 32, 64, 128), default=32, doc="units of a hidden layer"),
        )
    )

    def _arguments(self, designs: int, steps: int) -> Mapping[str, Any]:
        n_steps = cast(int, self.config["n_designs"]) * steps
        return {
            "n_steps": n_steps,
            "batch_size": n_steps // cast(int, self.config["minibatches"]),
            "n_epochs": self.config["epochs"],
            "ent_coef": self.config["entropy"],
            "clip_range": self.config["clip"],
        }
