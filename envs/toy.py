"""Environments for the toy multiply-accumulate unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archgym_py.environment import DesignEnv, DesignVectorEnv, SequentialDesignEnv
from archgym_py.simulators.stand_in import EMBEDDED, stand_in
from archgym_py.simulators.toy import TOY_SPACE, ToySimulator

__all__ = ["ToyEnv", "ToySequentialEnv", "ToyVectorEnv"]

_OBJECTIVE = "product:cost_usd*delay_ns"


class ToyEnv(DesignEnv):
    """Design a toy multiply-accumulate unit: `ArchGym/Toy-v0`.

    Six parameters (three unordered or conditional), one constraint, two metrics: `cost_usd` and
    `delay_ns`. An evaluation takes microseconds and the best design is known
    (`ToySimulator.optimum`), which makes it the environment to try an agent on first. Actions,
    observations and infos are those of `DesignEnv`.

    Args:
        simulator: "embedded", the model that comes with the library; "proxy:PATH" for a fitted
            proxy in its place; the name of a real tool, or a mapping: see
            `archgym_py.simulators.stand_in.stand_in`.
        objective: What is rewarded; see `archgym_py.objective.parse_objective`.
        action: "multidiscrete" (the default) or "box".
        render_mode: None or "ansi".
        baseline: Metrics of the design to improve on; by default those of the default design.

    Examples:
        >>> import gymnasium as gym
        >>> env = gym.make("ArchGym/Toy-v0", objective="minimize:delay_ns")
        >>> env.action_space
        MultiDiscrete([ 3  6 12  9  3  6])
        >>> observation, info = env.reset(seed=0)
        >>> observation, reward, terminated, truncated, info = env.step([1, 4, 3, 4, 2, 4])
        >>> info["design"]["lanes"], info["status"], round(info["metrics"]["delay_ns"])
        (16, 'ok', 341)
        >>> round(reward, 3), terminated, truncated
        (3.221, True, False)
    """

    def __init__(
        self,
        *,
        simulator: str | Mapping[str, Any] = EMBEDDED,
        objective: str | Mapping[str, Any] = _OBJECTIVE,
        action: str | None = None,
        render_mode: str | None = None,
        baseline: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(
            TOY_SPACE,
            stand_in(simulator, ToySimulator(), TOY_SPACE),
            objective,
            action=action,
            render_mode=render_mode,
            baseline=baseline,
        )


class ToyVectorEnv(DesignVectorEnv):
    """A batch of toy designs in each step: the vector form of `ArchGym/Toy-v0`.

    Args:
        num_envs: Designs in a step.
        **kwargs: Arguments of `ToyEnv`.

    Examples:
        >>> import gymnasium as gym
        >>> envs = gym.make_vec("ArchGym/Toy-v0", num_envs=3)
        >>> observations, infos = envs.reset(seed=0)
        >>> _ = envs.action_space.seed(0)
        >>> observations, rewards, terminations, truncations, infos = envs.step(
        ...     envs.action_space.sample()
        ... )
        >>> rewards.shape, infos["final_info"]["metrics"]["delay_ns"].shape
        ((3,), (3,))
    """

    def __init__(self, *, num_envs: int = 1, **kwargs: Any) -> None:
        super().__init__(ToyEnv(**kwargs), num_envs)


class ToySequentialEnv(ToyEnv, SequentialDesignEnv):
    """Design the unit of `ToyEnv` one parameter at a time: `ArchGym/ToySequential-v0`.

    Arguments and rewards are those of `ToyEnv`, except that `action` is "discrete" (the default)
    or "box"; actions and observations are those of `SequentialDesignEnv`.

    Examples:
        >>> import gymnasium as gym
        >>> env = gym.make("ArchGym/ToySequential-v0")
        >>> env.action_space
        Discrete(12)
        >>> observation, info = env.reset(seed=0)
        >>> rewards = [env.step(action)[1] for action in (4, 8, 3, 6, 8, 8)]
        >>> [round(reward, 3) for reward in rewards]
        [0.0, 0.0, 0.0, 0.0, 0.0, 1.855]
    """
