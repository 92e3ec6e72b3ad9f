"""What the conformance suites share: expectations, bad actions, other libraries' checks."""

from __future__ import annotations

import importlib.util
import math
import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import gymnasium as gym
import numpy as np
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from gymnasium.vector import VectorEnv

__all__ = ["bad_actions", "check_api", "in_new_process", "raises", "require", "same_spaces"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


def require(condition: bool, message: str) -> None:
    """Raise an `AssertionError` unless a condition holds; unlike `assert` also under -O."""
    if not condition:
        raise AssertionError(message)


@contextmanager
def raises(expected: type[Exception], what: str) -> Iterator[None]:
    """Raise an `AssertionError` unless the block raises an error of a type."""
    try:
        yield
    except expected:
        return
    except Exception as error:
        raise AssertionError(
            f"{what} must raise {expected.__name__}, but raises {type(error).__name__}: {error}"
        ) from error
    raise AssertionError(f"{what} must raise {expected.__name__}, but is accepted.")


def check_api(make: Callable[[], gym.Env[Any, Any]]) -> None:
    """Run Gymnasium's check of an environment, and Stable-Baselines3's where it is installed.

    Args:
        make: Makes the environment; each check gets a new one.
    """
    gymnasium_check_env(make())
    is_graph = isinstance(make().observation_space, gym.spaces.Graph)  # which SB3 does not know
    if importlib.util.find_spec("stable_baselines3") is not None and not is_graph:
        with warnings.catch_warnings():
            warnings.simplefilter("default")  # what its import warns of is not about the env
            from stable_baselines3.common.env_checker import check_env as sb3_check_env
        sb3_check_env(make())


def bad_actions(space: gym.Space[Any]) -> list[Any]:
    """Return actions of wrong types, shapes and ranges for a space."""
    if isinstance(space, gym.spaces.Discrete):
        return [int(space.n), -1, 0.0, math.nan, True, [0], "0", None]
    legal = np.zeros(space.shape or (), space.dtype)
    bad: list[Any] = [legal[:-1], np.append(legal, legal[:1]), legal.reshape(1, -1), 0, "0", None]
    wrong = [math.nan, math.inf, 1.5, -1.5]
    if isinstance(space, gym.spaces.MultiDiscrete):
        bad += [legal.astype(np.float64), legal.astype(np.bool_), space.nvec.copy()]
        wrong = [-1]
    for number in wrong:
        action = legal.copy()
        action[-1] = number
        bad.append(action)
    return bad


def in_new_process(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call a function in a new interpreter, where numerical libraries use one thread.

    It has another hash seed and none of this one's global state.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=_use_one_thread) as pool:
        return pool.submit(function, *args, **kwargs).result()


def _use_one_thread() -> None:
    """Make the numerical libraries, which are not loaded yet, use one thread."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"


def same_spaces(
    env_id: str, batched: VectorEnv[Any, Any, Any], single: VectorEnv[Any, Any, Any]
) -> None:
    """Require that a vector form has the spaces of Gymnasium's vector of single environments.

    Args:
        env_id: Id of the environment, for messages.
        batched: The vector form.
        single: Single environments, as a vector.
    """
    for name in (
        "action_space",
        "observation_space",
        "single_action_space",
        "single_observation_space",
    ):
        require(
            getattr(batched, name) == getattr(single, name),
            f"{env_id}: {name} of the vector form is {getattr(batched, name)}, of single "
            f"environments {getattr(single, name)}.",
        )
