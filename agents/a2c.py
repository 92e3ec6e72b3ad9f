"""Advantage actor-critic, by stable-baselines3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from archgym_py.agents.sb3 import StableBaselinesAgent
from archgym_py.space import Ordinal, ParameterSpace, Real

__all__ = ["A2C"]


class A2C(StableBaselinesAgent):
    """Advantage actor-critic (Mnih et al. 2016), in its synchronous form.

    The policy takes one step after every `n_designs` designs. See `StableBaselinesAgent` for
    environments, rewards and budget.

    Examples:
        >>> from archgym_py.simulators.toy import TOY_SPACE
        >>> A2C(TOY_SPACE, seed=0, n_designs=4).config["n_designs"]
        4
    """

    name: ClassVar[str] = "a2c"
    doc: ClassVar[str] = "advantage actor-critic (stable-baselines3)"
    algorithm: ClassVar[str] = "A2C"
    chooses_values: ClassVar[bool] = True
    hyperparameters: ClassVar[ParameterSpace] = ParameterSpace(
        (
            Ordinal("n_designs", (4, 8, 16, 32), default=4, doc="designs for an update"),
            Real("learning_rate", 1e-4, 0.05, log=True, default=5e-3, doc="of RMSprop"),
            Real("entropy", 1e-4, 0.1, log=True, default=0.01, doc="weight of the entropy bonus"),
            Ordinal("width", (8, 16, 32, 64, 128), default=32, doc="units of a hidden layer"),
        )
    )

    def _arguments(self, designs: int, steps: int) -> Mapping[str, Any]:
        return {
            "n_steps": cast(int, self.config["n_designs"]) * steps,
            "ent_coef": self.config["entropy"],
            "normalize_advantage": True,
        }
