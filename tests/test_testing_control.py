"""The suite for environments of control finds what it is meant to find."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from archgym_py.envs.soc_scheduler import SoCFrequencyEnv, SoCSchedulerEnv, SoCSchedulerVectorEnv
from archgym_py.testing import check_control_env
from archgym_py.testing_parts import raises, require


class Timed(SoCSchedulerEnv):
    """Its infos differ between equal steps."""

    count = itertools.count()

    def step(self, action: Any) -> Any:
        *result, info = super().step(action)
        return *result, {**info, "time": next(self.count)}


class Seedless(SoCSchedulerEnv):
    """Ignores its seed."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        given = super().reset(seed=seed, options=options)
        if seed is None:
            return given
        self._work.begin({0: np.random.default_rng(0)})
        return self._observe(), self._info()


class Repeating(SoCSchedulerEnv):
    """Begins the same episode again and again."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self._last = seed if seed is not None else getattr(self, "_last", 0)
        return super().reset(seed=self._last, options=options)


class Tolerant(SoCSchedulerEnv):
    """Takes the first legal action for an illegal one."""

    def step(self, action: Any) -> Any:
        if isinstance(action, int) and not (0 <= action < 16 and self.action_masks()[action]):
            action = int(self.action_masks().argmax())
        return super().step(action)


class Strict(SoCSchedulerEnv):
    """Its mask allows everything."""

    def action_masks(self) -> Any:
        return np.ones_like(super().action_masks())


class Silent(SoCSchedulerEnv):
    """Its infos have no mask."""

    def step(self, action: Any) -> Any:
        *result, info = super().step(action)
        del info["action_mask"]
        return *result, info

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        observation, info = super().reset(seed=seed, options=options)
        del info["action_mask"]
        return observation, info


class Charging(SoCSchedulerEnv):
    """A refused action costs something."""

    fine = 0.0

    def step(self, action: Any) -> Any:
        try:
            observation, reward, *result = super().step(action)
        except ValueError:
            self.fine += 1.0
            raise
        return observation, reward - self.fine, *result


class Infinite(SoCSchedulerEnv):
    def step(self, action: Any) -> Any:
        observation, _, *result = super().step(action)
        return observation, float("inf"), *result


class Backwards(SoCSchedulerEnv):
    """Its time falls."""

    def step(self, action: Any) -> Any:
        *result, info = super().step(action)
        return *result, {**info, "now_us": -info["now_us"]}


class Ending(SoCSchedulerEnv):
    """Calls every end the proper one."""

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward, terminated or truncated, False, info


class Unending(SoCSchedulerEnv):
    """Goes on by itself after the end."""

    _over = False

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self._over = False
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> Any:
        if self._over:
            self.reset()
        *result, info = super().step(int(self.action_masks().argmax()) if self._over else action)
        self._over = result[2] or result[3]
        return *result, info


class Shared(SoCFrequencyEnv):
    """Its copies are itself."""

    def __deepcopy__(self, memo: Any) -> Any:
        return self


class WrongVector(SoCSchedulerVectorEnv):
    """Its rewards are in the wrong order."""

    def step(self, actions: Any) -> Any:
        observations, rewards, *result = super().step(actions)
        return observations, rewards[::-1].copy(), *result


class Forgetful(SoCSchedulerVectorEnv):
    """Does not tell the last observations."""

    def step(self, actions: Any) -> Any:
        *result, infos = super().step(actions)
        infos.pop("final_obs", None)
        return *result, infos


class Eager(SoCSchedulerVectorEnv):
    """Plays a batch that is not whole."""

    def step(self, actions: Any) -> Any:
        if np.shape(actions) == (self.num_envs - 1,):
            actions = np.append(actions, 0)
        return super().step(actions)


@pytest.fixture
def env_id() -> Iterator[str]:
    yield "Test/Control-v0"
    gym.registry.pop("Test/Control-v0", None)


@pytest.mark.parametrize(
    ("env", "vector", "message"),
    [
        (Timed, None, "info are not equ"),
        (Seedless, None, "another seed gives the same episode"),
        (Repeating, None, "without a seed gives the same episode"),
        (Tolerant, None, "must raise ActionError, but is accepted"),
        (Strict, None, "is not legal now"),
        (Silent, None, r"info\['action_mask'\] must be"),
        (Charging, None, "an action that is refused changes the next"),
        (Infinite, None, "(?i)inf"),
        (Backwards, None, "`now_us`, .* cannot fall"),
        (Ending, None, "must be truncated then"),
        (Unending, None, "a step after the end must raise ResetNeeded"),
        (Shared, None, "a deep copy ends with its original"),
        (SoCSchedulerEnv, WrongVector, "the vector form: step 1 gives"),
        (SoCSchedulerEnv, Forgetful, "the vector form: step 4 gives"),
        (SoCSchedulerEnv, Eager, "must raise ActionError"),
    ],
)
def test_bad_env_is_found(env: Any, vector: Any, message: str, env_id: str) -> None:
    gym.register(env_id, entry_point=env, vector_entry_point=vector)
    with pytest.raises((AssertionError, UserWarning, ValueError, gym.error.Error), match=message):
        check_control_env(env_id, n_jobs=4, mix="lag_detection")


def test_good_env_is_not_found(env_id: str) -> None:
    gym.register(
        env_id,
        entry_point="archgym_py.envs.soc_scheduler:SoCSchedulerEnv",
        vector_entry_point="archgym_py.envs.soc_scheduler:SoCSchedulerVectorEnv",
    )
    check_control_env(env_id, n_jobs=4, mix="lag_detection")


def test_expectations() -> None:
    require(True, "never said")
    with pytest.raises(AssertionError, match="said"):
        require(False, "said")
    with raises(ValueError, "what"):
        int("x")
    with (
        pytest.raises(AssertionError, match="what must raise ValueError, but is accepted"),
        raises(ValueError, "what"),
    ):
        int("1")
    with (
        pytest.raises(AssertionError, match="what must raise KeyError, but raises ValueError: inv"),
        raises(KeyError, "what"),
    ):
        int("x")
