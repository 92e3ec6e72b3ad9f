"""Lets stable-baselines3 train on the batched scheduling environment.

Stable-baselines3 has vector environments of its own kind: a step comes in two halves, infos are a
list, and the info of an episode that ended says with what. On both sides an episode begins in the
step that ends the one before it (SAME_STEP), so that observations and rewards pass through.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import VecEnv

from archgym_py.checks import number
from archgym_py.envs.soc_scheduler import SoCSchedulerVectorEnv
from archgym_py.errors import ConfigError

__all__ = ["SchedulerVecEnv"]

_MASKS = "action_masks"  # the method that sb3-contrib looks for


class SchedulerVecEnv(VecEnv):
    """Episodes of `ArchGym/SoCScheduler-v0` as a vector environment of stable-baselines3.

    Args:
        envs: The episodes.
        seed: Seed of the first of them, those of the others follow, at the first `reset`.
        reward_scale: What rewards are multiplied by.

    Raises:
        ConfigError: If the scale is not positive.

    Examples:
        >>> import gymnasium as gym
        >>> name = "ArchGym/SoCScheduler-v0"
        >>> envs = gym.make_vec(name, num_envs=3, platform="ds3gym", mix="top_1")
        >>> adapter = SchedulerVecEnv(envs, seed=0)
        >>> adapter.reset().shape, np.stack(adapter.env_method("action_masks")).shape
        ((3, 27), (3, 3))
        >>> observations, rewards, dones, infos = adapter.step(np.zeros(3, np.int64))
        >>> rewards.shape, bool(dones.any()), infos[0]
        ((3,), False, {})
    """

    def __init__(
        self, envs: SoCSchedulerVectorEnv, *, seed: int, reward_scale: float = 1.0
    ) -> None:
        self._envs = envs  # the base class asks for an attribute of it
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)
        self._scale = number("reward_scale", reward_scale, 1e-9, 1e9)
        self._first_seed: int | None = seed
        self._actions: npt.NDArray[np.int64] = np.zeros(envs.num_envs, np.int64)

    def reset(self) -> npt.NDArray[np.float32]:
        """Begin all episodes, the first time with the seed."""
        observations, _ = self._envs.reset(seed=self._first_seed)
        self._first_seed = None
        return observations

    def step_async(self, actions: npt.NDArray[np.int64]) -> None:
        """Take note of an action for each episode, (num_envs,)."""
        self._actions = actions

    def step_wait(
        self,
    ) -> tuple[
        npt.NDArray[np.float32],
        npt.NDArray[np.float32],
        npt.NDArray[np.bool_],
        list[dict[str, Any]],
    ]:
        """Place the tasks.

        Returns:
            Observations (num_envs, F), scaled rewards, whether episodes ended, and infos. The info
            of an episode that ended has what stable-baselines3 bootstraps from: its last
            observation, and whether it was truncated.
        """
        observations, rewards, terminated, truncated, infos = self._envs.step(self._actions)
        dones = terminated | truncated
        each: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for index in np.flatnonzero(dones):
            each[index] = {
                "terminal_observation": infos["final_obs"][index],
                "TimeLimit.truncated": bool(truncated[index]),
            }
        return observations, (rewards * self._scale).astype(np.float32), dones, each

    def close(self) -> None:
        """Close the environment."""
        self._envs.close()

    def has_attr(self, attr_name: str) -> bool:
        """Return whether an episode has an attribute; sb3-contrib asks for "action_masks"."""
        return attr_name == _MASKS or hasattr(self._envs, attr_name)

    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]:
        """Return an attribute of the environment, which all its episodes share."""
        return [getattr(self._envs, attr_name)] * len(self._numbers(indices))

    def set_attr(
        self, attr_name: str, value: Any, indices: int | Iterable[int] | None = None
    ) -> None:
        """Refuse: the episodes share their attributes, and none is to be changed.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(f"attribute {attr_name!r} cannot be set: make another environment.")

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: int | Iterable[int] | None = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """Return the legal actions of episodes, each (slots * P,).

        Raises:
            ConfigError: If the method is another than "action_masks".
        """
        if method_name != _MASKS:
            raise ConfigError(f"the only method of an episode is {_MASKS!r}, got {method_name!r}.")
        masks = self._envs.action_masks(*method_args, **method_kwargs)
        return [masks[index] for index in self._numbers(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[Any], indices: int | Iterable[int] | None = None
    ) -> list[bool]:
        """Return that no episode is in a wrapper."""
        return [False] * len(self._numbers(indices))

    def _numbers(self, indices: int | Iterable[int] | None) -> list[int]:
        return [int(index) for index in self._get_indices(indices)]
