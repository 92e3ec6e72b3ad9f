"""Conformance suite of environments in which a policy acts while time passes.

`archgym_py.testing` offers it beside the suites for simulators, designs and agents.

    >>> check_control_env("ArchGym/SoCFrequency-v0", n_jobs=5)
"""

from __future__ import annotations

import copy
import itertools
import math
import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, VectorEnv

from archgym_py.errors import ActionError
from archgym_py.testing_parts import (
    bad_actions,
    check_api,
    in_new_process,
    raises,
    require,
    same_spaces,
)

__all__ = ["check_control_env"]

_STEPS = 120
"""Steps of an episode that are compared."""

_LONGEST = 50_000
"""Steps within which an episode must end."""

_TRIED = 64
"""Actions that are tried at a decision."""


def check_control_env(env_id: str, **kwargs: Any) -> None:
    """Check a registered environment whose steps are decisions in time, not designs.

    Runs Gymnasium's `check_env`, and Stable-Baselines3's where it is installed and knows the
    observations, with warnings turned into errors. Checks that equal seeds give equal episodes, in
    two environments, after an episode that was left, in a copy, from the `spec` and in a spawned
    process, and that other seeds give others; that observations lie in their space, rewards are
    finite and `info["now_us"]` never falls; that with a `Discrete` action space
    `info["action_mask"]` and `action_masks()` agree and are right: what they allow is accepted,
    everything else raises `ActionError`; that actions of wrong type, shape or range raise
    `ActionError`, and refused ones change nothing; that an episode ends, by `truncated` at
    `length_us`; that a step before `reset` or after the end raises `ResetNeeded`; and that the
    vector form, where there is one for these arguments, equals a `SyncVectorEnv` of single
    environments with the autoreset mode SAME_STEP.

    Args:
        env_id: Gymnasium id of an environment with an argument `length_us`, whose infos have
            `now_us`.
        **kwargs: Arguments of the environment.

    Raises:
        AssertionError: If a check fails.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_api(lambda: _taking_any_action(_make(env_id, kwargs)))
        _check_seeds(env_id, kwargs)
        _check_actions(env_id, kwargs)
        _check_end(env_id, kwargs)
        _check_copy(env_id, kwargs)
        has_vector_form = gym.spec(env_id).vector_entry_point is not None
        # Graphs differ in size, so that they cannot be batched.
        if has_vector_form and not _observes_graphs(_make(env_id, kwargs)):
            _check_vector(env_id, kwargs)
        _check_new_process(env_id, kwargs)


def _make(env_id: str | EnvSpec, kwargs: Mapping[str, Any]) -> gym.Env[Any, Any]:
    return gym.make(env_id, **kwargs).unwrapped


def _observes_graphs(env: gym.Env[Any, Any]) -> bool:
    return isinstance(env.observation_space, gym.spaces.Graph)


def _taking_any_action(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Let an illegal action stand for the next legal one: other libraries' checks draw any."""
    if not _has_masks(env):
        return env
    step = env.step

    def step_legally(action: Any) -> Any:
        mask = _masks(env)
        if mask.any():
            action = (action + np.roll(mask, -action).argmax()) % len(mask)
        return step(action)

    env.step = step_legally  # type: ignore[method-assign]
    return env


def _has_masks(env: gym.Env[Any, Any]) -> bool:
    return isinstance(env.action_space, gym.spaces.Discrete)


def _masks(env: gym.Env[Any, Any]) -> Any:
    return env.get_wrapper_attr("action_masks")()


def _choose(env: gym.Env[Any, Any], rng: np.random.Generator) -> Any:
    """Return a random legal action."""
    if _has_masks(env):
        return int(rng.choice(np.flatnonzero(_masks(env))))
    env.action_space.seed(int(rng.integers(2**31)))
    return env.action_space.sample()


def _play(env: gym.Env[Any, Any], seed: int | None, steps: int = _STEPS) -> list[tuple[Any, ...]]:
    """Return what `reset` and up to `steps` random legal actions give."""
    rng = np.random.default_rng(0)
    given: list[tuple[Any, ...]] = [env.reset(seed=seed)]
    while len(given) <= steps:
        given.append(env.step(_choose(env, rng)))
        if given[-1][2] or given[-1][3]:
            break
    return given


def _require_same(what: str, one: Any, other: Any) -> None:
    for number, (first, second) in enumerate(itertools.zip_longest(one, other)):
        require(
            data_equivalence(first, second, exact=True),
            f"{what}: step {number} gives {first} and {second}.",
        )


def _check_seeds(env_id: str, kwargs: Mapping[str, Any]) -> None:
    one, other = _make(env_id, kwargs), _make(env_id, kwargs)
    first = _play(one, seed=0)
    _check_steps(env_id, one, first)
    _require_same(f"{env_id}: the same seed in two environments", first, _play(other, seed=0))
    second = _play(one, seed=None)
    require(
        not data_equivalence(first, second, exact=True),
        f"{env_id}: reset without a seed gives the same episode again.",
    )
    _require_same(f"{env_id}: the second episode of a seed", second, _play(other, seed=None))
    _require_same(f"{env_id}: the same seed again", first, _play(one, seed=0))
    require(
        not data_equivalence(first, _play(one, seed=1), exact=True),
        f"{env_id}: another seed gives the same episode.",
    )
    assert one.spec is not None
    _require_same(f"{env_id}: made from its spec", first, _play(_make(one.spec, {}), seed=0))
    one.close()
    other.close()


def _check_steps(env_id: str, env: gym.Env[Any, Any], given: list[tuple[Any, ...]]) -> None:
    """Check what an environment returns by itself."""
    now = 0.0
    for observation, *result, info in given:
        require(
            observation in env.observation_space,
            f"{env_id}: {observation} is not in {env.observation_space}.",
        )
        require(
            "now_us" in info and now <= info["now_us"] < math.inf,
            f"{env_id}: info must have `now_us`, the time in us, which cannot fall: it is "
            f"{info.get('now_us')} after {now}.",
        )
        now = info["now_us"]
        if result:
            reward, terminated, truncated = result
            require(
                isinstance(reward, float) and math.isfinite(reward),
                f"{env_id}: the reward {reward!r} is no finite float.",
            )
            require(
                isinstance(terminated, bool) and isinstance(truncated, bool),
                f"{env_id}: terminated {terminated!r} and truncated {truncated!r} must be bool.",
            )
            require(not (terminated and truncated), f"{env_id}: both terminated and truncated.")


def _check_actions(env_id: str, kwargs: Mapping[str, Any], steps: int = 24) -> None:
    """Try every kind of action at some decisions, beside an environment that sees none of it."""
    env, twin = _make(env_id, kwargs), _make(env_id, kwargs)
    rng = np.random.default_rng(1)
    _, info = env.reset(seed=0)
    twin.reset(seed=0)
    for _ in range(steps):
        for action in [*bad_actions(env.action_space), [[0], [0, 0]]]:
            with raises(ActionError, f"{env_id}: the action {action!r}"):
                env.step(action)
        if _has_masks(env):
            _check_masks(env_id, env, info, rng)
        action = _choose(twin, rng)
        result, expected = env.step(action), twin.step(action)
        _require_same(f"{env_id}: an action that is refused changes the next", result, expected)
        info = result[-1]
        if result[2] or result[3]:
            break
    env.close()
    twin.close()


def _check_masks(
    env_id: str, env: gym.Env[Any, Any], info: Mapping[str, Any], rng: np.random.Generator
) -> None:
    """Check the mask of a decision by trying what it allows, on copies, and what it does not."""
    size = int(env.action_space.n)  # type: ignore[attr-defined]
    mask = _masks(env)
    require(
        isinstance(mask, np.ndarray) and mask.dtype == np.bool_ and mask.shape == (size,),
        f"{env_id}: action_masks() must give bool ({size},), gives {mask!r}.",
    )
    given = info.get("action_mask")
    require(
        isinstance(given, np.ndarray) and given.dtype == np.int8 and np.array_equal(given, mask),
        f"{env_id}: info['action_mask'] must be action_masks() {mask} as int8, is {given!r}.",
    )
    require(bool(mask.any()), f"{env_id}: no action is legal, but the episode goes on.")
    for action in rng.permutation(size)[:_TRIED].tolist():
        if mask[action]:
            try:
                copy.deepcopy(env).step(action)
            except ActionError as error:
                raise AssertionError(
                    f"{env_id}: action_masks() allows {action}, which is refused: {error}"
                ) from error
        else:
            with raises(ActionError, f"{env_id}: the masked action {action}"):
                env.step(action)


def _check_end(env_id: str, kwargs: Mapping[str, Any]) -> None:
    env = _make(env_id, kwargs)
    rng = np.random.default_rng(2)
    somehow = env.action_space.sample()
    with raises(gym.error.ResetNeeded, f"{env_id}: a step before reset"):
        env.step(somehow)
    given = _play(env, seed=0, steps=_LONGEST)
    _check_steps(env_id, env, given)
    *_, terminated, truncated, info = given[-1]
    require(terminated or truncated, f"{env_id}: an episode does not end within {_LONGEST} steps.")
    with raises(gym.error.ResetNeeded, f"{env_id}: a step after the end"):
        env.step(somehow)
    env.reset(seed=0)
    env.step(_choose(env, rng))
    env.close()

    length_us = info["now_us"] / 2
    cut = _make(env_id, {**kwargs, "length_us": length_us})
    *_, terminated, truncated, info = _play(cut, seed=0, steps=_LONGEST)[-1]
    require(
        truncated and not terminated and info["now_us"] == length_us,
        f"{env_id}: with length_us={length_us} an episode must be truncated then, but terminated "
        f"is {terminated} and truncated is {truncated} at {info['now_us']} us.",
    )
    with raises(gym.error.ResetNeeded, f"{env_id}: a step after the truncation"):
        cut.step(somehow)
    cut.close()


def _check_copy(env_id: str, kwargs: Mapping[str, Any], steps: int = 20) -> None:
    """A copy in the middle of an episode goes on like the original, and by itself."""
    env, rng = _make(env_id, kwargs), np.random.default_rng(3)
    if any(_play(env, seed=0, steps=5)[-1][2:4]):  # an episode of a few steps
        env.reset(seed=0)
    twin = copy.deepcopy(env)
    actions, expected = [], []
    for _ in range(steps):
        actions.append(_choose(env, rng))
        expected.append(env.step(actions[-1]))
        if expected[-1][2] or expected[-1][3]:
            break
    try:
        given = [twin.step(action) for action in actions]
    except gym.error.ResetNeeded as error:
        raise AssertionError(f"{env_id}: a deep copy ends with its original: {error}") from error
    _require_same(f"{env_id}: a deep copy", expected, given)


def _check_new_process(env_id: str, kwargs: Mapping[str, Any]) -> None:
    env = _make(env_id, kwargs)
    assert env.spec is not None
    spawned = in_new_process(partial(_play_spec, env.spec))
    _require_same(f"{env_id}: the same seed in a new process", _play(env, seed=0), spawned)


def _play_spec(spec: EnvSpec) -> list[tuple[Any, ...]]:
    """Play an episode; called in a new process."""
    return _play(_make(spec, {}), seed=0)


def _check_vector(env_id: str, kwargs: Mapping[str, Any], num_envs: int = 3) -> None:
    """Compare the vector form with Gymnasium's own until some episodes have ended."""
    batched = gym.make_vec(env_id, num_envs=num_envs, **kwargs)
    mode: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP}
    single = gym.make_vec(
        env_id, num_envs=num_envs, vectorization_mode="sync", vector_kwargs=mode, **kwargs
    )
    require(
        batched.metadata.get("autoreset_mode") is AutoresetMode.SAME_STEP,
        f"{env_id}: the autoreset mode of the vector form must be SAME_STEP.",
    )
    same_spaces(env_id, batched, single)
    with raises(gym.error.ResetNeeded, f"{env_id}: a step of the vector form before reset"):
        batched.step(batched.action_space.sample())
    rng = np.random.default_rng(4)
    first = batched.reset(seed=0)
    _require_same(f"{env_id}: reset of the vector form", first, single.reset(seed=0))
    infos = first[-1]
    ended, steps, enough = 0, 0, _STEPS
    while (ended < num_envs or steps < enough) and steps < _LONGEST:
        actions = _choose_for_all(batched, infos, rng)
        if steps < 10:
            _check_bad_batches(env_id, batched, actions, infos)
        result, expected = batched.step(actions), single.step(actions)
        _require_same(f"{env_id}: the vector form", result, expected)
        infos, now = result[-1], int(np.count_nonzero(result[2] | result[3]))
        ended, steps = ended + now, steps + 1
        enough = steps + 10 if now else enough
    require(ended >= num_envs, f"{env_id}: the vector form ends no episode in {_LONGEST} steps.")
    _require_same(f"{env_id}: the vector form goes on", batched.reset(), single.reset())
    batched.close()
    single.close()


def _choose_for_all(
    envs: VectorEnv[Any, Any, Any], infos: Mapping[str, Any], rng: np.random.Generator
) -> Any:
    """Return a random legal action for each environment."""
    if isinstance(envs.single_action_space, gym.spaces.Discrete):
        return np.array([rng.choice(np.flatnonzero(mask)) for mask in infos["action_mask"]])
    envs.action_space.seed(int(rng.integers(2**31)))
    return envs.action_space.sample()


def _check_bad_batches(
    env_id: str, envs: VectorEnv[Any, Any, Any], actions: Any, infos: Mapping[str, Any]
) -> None:
    """Try batches of wrong shape and type, and with one action that is not legal."""
    bad = [actions[:-1], actions.astype(np.float64), actions > 0, None, [[0], [0, 0]]]
    if isinstance(envs.single_action_space, gym.spaces.Discrete):
        illegal = [np.flatnonzero(mask == 0) for mask in infos["action_mask"]]
        numbers = [-1, int(envs.single_action_space.n), *illegal[-1][:1].tolist()]
        bad += [np.append(actions[:-1], number) for number in numbers]
    for batch in bad:
        with raises(ActionError, f"{env_id}: the actions {batch!r}"):
            envs.step(batch)
