"""Trains a policy that schedules a SoC with MaskablePPO of sb3-contrib, and loads it again.

The policy chooses among the ready tasks of an observation and their PEs. It is a multilayer
perceptron over the whole observation, beside which each pair of a task and a PE has a direct way
from its estimated finish time to its logit. That way starts with the weight `Training.etf_weight`:
a policy that takes the earliest finish time is ETF (among the tasks that it sees), so that training
starts at ETF and has to improve on it. With a weight of 0 it starts at random.

The reward of the environment is minus the number of jobs in the system, integrated over time: it
adds up to minus the sum of all latencies. Discounting is per decision and strong: what a decision
delays shows within some tens of others, and what comes later is noise of the stream. With a
discount of 0.99 the critic explained hardly any of the returns.

Saving is that of stable-baselines3: a zip with the arguments as JSON, some of them pickled, and the
weights as torch files. `load_policy` reads none of the pickles: it makes the network anew from an
entry of its own, and lets torch read tensors only.
"""

from __future__ import annotations

import csv
import io
import json
import os
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, cast

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from torch import nn

from archgym_py.agents.isolation import isolated
from archgym_py.checks import integer, number
from archgym_py.envs.soc_scheduler import SoCSchedulerVectorEnv
from archgym_py.errors import ConfigError
from archgym_py.experiments.vec_adapter import SchedulerVecEnv
from archgym_py.files import atomic_path

__all__ = [
    "CURVE_FIELDS",
    "LearnedPolicy",
    "SchedulingPolicy",
    "Training",
    "choose_earliest_finish",
    "load_policy",
    "mean_latency_us",
    "train",
]

CURVE_FIELDS: Final = ("seconds", "steps", "validation_us", "etf_us", "entropy", "explained")
"""Columns of a learning curve: time of training, decisions, mean latency on the validation stream
of the policy and of ETF among the same tasks, entropy of the policy in nat, and the share of the
variance of the returns that the critic explains (0 before the first update)."""

_ENV: Final = "ArchGym/SoCScheduler-v0"
_ENTRY: Final = "archgym_scheduling.json"  # what `load_policy` makes the network from
_WEIGHTS: Final = "policy.pth"  # where stable-baselines3 puts the weights
_VALIDATION_SEED: Final = 1_000_000  # held-out streams have small seeds
_TRAINING_SEED: Final = 2_000_000
_VALIDATION_ENVS: Final = 16
_LOWEST_RATE: Final = 0.02  # of the learning rate at the end, as a share of that at the start
_MOST_SECONDS: Final = 1e6
_MOST_STEPS: Final = 10**12

_Act = Callable[[npt.NDArray[np.float32], npt.NDArray[np.bool_]], npt.NDArray[np.int64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How a policy is trained. It ends with the first limit that is reached.

    Attributes:
        seconds: Time of training in s, validation included; None for no limit.
        steps: Decisions; the last update is a whole one, so that there may be some more. None for
            no limit.
        seed: Seed of weights, actions and streams. With a limit of steps alone, the same seed gives
            the same policy; how far a limit of time reaches depends on the machine.
        slots: Ready tasks among which the policy chooses.
        envs: Episodes at a time.
        update_steps: Decisions of each episode between two updates.
        batch_size: Decisions of a step of the optimiser.
        epochs: How often an update goes through its decisions.
        gamma: Discount of a decision.
        gae_lambda: Parameter of the generalised advantage estimation.
        learning_rate: Of Adam at the start; it falls in proportion to what is left of the limit.
        entropy: Weight of the entropy in the loss.
        width: Units of the two hidden layers of actor and critic each.
        etf_weight: Weight of the estimated finish times at the start.
        reward_scale: What rewards (jobs times ms) are multiplied by; a decision's is about 1 then.
        validations: Evaluations on the validation stream, evenly over the limit.

    Raises:
        ConfigError: If a value is not legal, or there is no limit.
    """

    seconds: float | None = 1200.0
    steps: int | None = None
    seed: int = 0
    slots: int = 4
    envs: int = 64
    update_steps: int = 256
    batch_size: int = 2048
    epochs: int = 4
    gamma: float = 0.95
    gae_lambda: float = 0.9
    learning_rate: float = 1e-3
    entropy: float = 0.0
    width: int = 64
    etf_weight: float = 30.0
    reward_scale: float = 100.0
    validations: int = 30

    def __post_init__(self) -> None:
        if self.seconds is None and self.steps is None:
            raise ConfigError("a training needs a limit: give seconds, steps or both.")
        if self.seconds is not None:
            number("seconds", self.seconds, 1e-3, _MOST_SECONDS)
        if self.steps is not None:
            integer("steps", self.steps, 1, _MOST_STEPS)
        for name, low, high in (
            ("seed", 0, 10_000),
            ("slots", 1, 1000),
            ("envs", 1, 10_000),
            ("update_steps", 2, 100_000),
            ("batch_size", 2, 10**9),
            ("epochs", 1, 1000),
            ("width", 1, 10_000),
            ("validations", 1, 10_000),
        ):
            integer(name, getattr(self, name), low, high)
        for name, high_number in (
            ("gamma", 1.0),
            ("gae_lambda", 1.0),
            ("learning_rate", 1.0),
            ("entropy", 10.0),
            ("etf_weight", 1e4),
            ("reward_scale", 1e9),
        ):
            number(name, getattr(self, name), 0.0, high_number)


class SchedulingPolicy(MaskableActorCriticPolicy):
    """Actor and critic: perceptrons, and a direct way from finish times to logits.

    Args:
        *args: Spaces and schedule, as stable-baselines3 gives them.
        slots: Ready tasks of an observation.
        width: Units of a hidden layer.
        etf_weight: Weight of the finish times at the start.
        **kwargs: Further arguments of the base class.
    """

    def __init__(
        self, *args: Any, slots: int, width: int, etf_weight: float, **kwargs: Any
    ) -> None:
        self._slots, self._width, self._etf_weight = slots, width, etf_weight
        super().__init__(*args, **kwargs)

    def _build_mlp_extractor(self) -> None:
        body = _Body(self.features_dim, self._slots, _pairs_of(self.action_space), self._width)
        self.mlp_extractor = body  # type: ignore[assignment]  # it asks for the methods only

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        pairs = _pairs_of(self.action_space)
        weight = cast(nn.Linear, self.action_net).weight
        with torch.no_grad():
            weight[:, -pairs:] = -self._etf_weight * torch.eye(pairs)


def _pairs_of(space: gym.Space[Any]) -> int:
    assert isinstance(space, gym.spaces.Discrete)
    return int(space.n)


class _Body(nn.Module):
    """Hidden layers; those of the actor are followed by the finish times of all pairs.

    The names of the methods and sizes are those that stable-baselines3 asks for.
    """

    def __init__(self, inputs: int, slots: int, pairs: int, width: int) -> None:
        super().__init__()
        self._slots, self._pairs = slots, pairs
        self.latent_dim_pi, self.latent_dim_vf = width + pairs, width
        self.actor = _hidden(inputs, width)
        self.critic = _hidden(inputs, width)

    def forward(self, observations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.forward_actor(observations), self.forward_critic(observations)

    def forward_actor(self, observations: torch.Tensor) -> torch.Tensor:
        finish = _finish_of(observations, self._slots, self._pairs)
        return torch.cat([self.actor(observations), finish], dim=1)

    def forward_critic(self, observations: torch.Tensor) -> torch.Tensor:
        latent: torch.Tensor = self.critic(observations)
        return latent


def _hidden(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())


def _finish_of(observations: Any, slots: int, pairs: int) -> Any:
    """Return the finish times (N, slots * P) in observations (N, F), arrays or tensors.

    Each ready task has 5 numbers, then P execution times and P finish times.
    """
    pes = pairs // slots
    width = 5 + 2 * pes
    tasks = observations[:, : slots * width].reshape(-1, slots, width)
    return tasks[:, :, 5 + pes :].reshape(-1, pairs)


def choose_earliest_finish(
    observations: npt.NDArray[np.float32], masks: npt.NDArray[np.bool_], *, slots: int
) -> npt.NDArray[np.int64]:
    """Choose as ETF does among the tasks of an observation.

    Args:
        observations: Observations (N, F).
        masks: Legal actions (N, slots * P).
        slots: Ready tasks of an observation.

    Returns:
        The legal pair of a task and a PE with the earliest finish, the first of equals, (N,).
    """
    finish = _finish_of(observations, slots, masks.shape[1])
    return np.asarray(np.where(masks, finish, 2.0).argmin(axis=1), np.int64)


@dataclass(frozen=True, slots=True)
class LearnedPolicy:
    """A policy that was trained, for use.

    Attributes:
        network: Actor and critic.
        slots: Ready tasks among which it chooses; the environment must be made with as many.
        origin: Problem, arguments of the environment and of the training, and the learning curve.
    """

    network: SchedulingPolicy
    slots: int
    origin: Mapping[str, Any]

    def choose(
        self, observations: npt.NDArray[np.float32], masks: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.int64]:
        """Return the most probable legal action of each observation.

        Args:
            observations: Observations (N, F).
            masks: Legal actions (N, slots * P).
        """
        with isolated():
            return _most_probable(self.network, observations, masks)


def _most_probable(
    network: SchedulingPolicy,
    observations: npt.NDArray[np.float32],
    masks: npt.NDArray[np.bool_],
) -> npt.NDArray[np.int64]:
    chosen, _ = network.predict(observations, action_masks=masks, deterministic=True)
    return np.asarray(chosen, np.int64)


def mean_latency_us(act: _Act, env_kwargs: Mapping[str, Any], *, seed: int, episodes: int) -> float:
    """Return the mean over episodes of their mean latencies in us.

    Args:
        act: Chooses legal actions (N,) from observations (N, F) and masks (N, A).
        env_kwargs: Arguments of `ArchGym/SoCScheduler-v0`.
        seed: Seed of the first episode, those of the others follow.
        episodes: How many.
    """
    envs = _make_envs(env_kwargs, episodes)
    observations, _ = envs.reset(seed=seed)
    latency = np.full(episodes, np.nan)
    while np.isnan(latency).any():
        actions = act(observations, envs.action_masks())
        observations, _, terminated, truncated, infos = envs.step(actions)
        ended = (terminated | truncated) & np.isnan(latency)
        if ended.any():
            latency[ended] = infos["final_info"]["metrics"]["latency_mean_us"][ended]
    envs.close()
    return float(latency.mean())


def _make_envs(env_kwargs: Mapping[str, Any], count: int) -> SoCSchedulerVectorEnv:
    envs = gym.make_vec(_ENV, num_envs=count, **env_kwargs)
    assert isinstance(envs, SoCSchedulerVectorEnv)
    return envs


def train(
    problem: str,
    env_kwargs: Mapping[str, Any],
    path: Path,
    training: Training,
    *,
    progress: Callable[[float, float], object] | None = None,
) -> LearnedPolicy:
    """Train a policy, and save the one that was best on the validation stream.

    Args:
        problem: Name of what it is trained for, for the file.
        env_kwargs: Arguments of `ArchGym/SoCScheduler-v0`, but `slots`.
        path: File of the policy, a zip; the learning curve goes beside it, as CSV. Both are written
            at each validation, so that an interrupted training leaves its best.
        training: How it is trained.
        progress: Is told the share of the limit that is over and the last latency on the validation
            stream in us; None to tell nobody.

    Returns:
        The policy that was saved.

    Raises:
        ConfigError: If an argument of the environment is not legal.
        OSError: If a file cannot be written.
    """
    env_kwargs = {**env_kwargs, "slots": training.slots}
    with isolated(training.seed):
        adapter = SchedulerVecEnv(
            _make_envs(env_kwargs, training.envs),
            seed=_TRAINING_SEED + training.seed * training.envs,
            reward_scale=training.reward_scale,
        )
        course = _Course(problem, env_kwargs, path, training, progress)
        model = MaskablePPO(
            SchedulingPolicy,
            adapter,
            learning_rate=course.learning_rate,
            n_steps=training.update_steps,
            batch_size=min(training.batch_size, training.envs * training.update_steps),
            n_epochs=training.epochs,
            gamma=training.gamma,
            gae_lambda=training.gae_lambda,
            ent_coef=training.entropy,
            policy_kwargs={
                "slots": training.slots,
                "width": training.width,
                "etf_weight": training.etf_weight,
            },
            seed=training.seed,
            device="cpu",
        )
        # By default the logger makes a folder, even where nothing is written to it.
        model.set_logger(Logger(folder=None, output_formats=[]))
        course.start()
        model.learn(training.steps or _MOST_STEPS, callback=course)
        course.validate()  # the weights of the last update
        adapter.close()
    return load_policy(path)


class _Course(BaseCallback):
    """The course of a training: its limits, its curve and its best policy."""

    def __init__(
        self,
        problem: str,
        env_kwargs: Mapping[str, Any],
        path: Path,
        training: Training,
        progress: Callable[[float, float], object] | None,
    ) -> None:
        super().__init__()
        self._problem, self._env_kwargs, self._path = problem, env_kwargs, path
        self._training, self._progress = training, progress
        self._curve: list[dict[str, float]] = []
        self._began = 0.0
        self._etf_us = 0.0
        self._best = b""

    def start(self) -> None:
        """Measure ETF on the validation stream, then start the clock: it compiles the kernel."""

        def etf(
            observations: npt.NDArray[np.float32], masks: npt.NDArray[np.bool_]
        ) -> npt.NDArray[np.int64]:
            return choose_earliest_finish(observations, masks, slots=self._training.slots)

        self._etf_us = self._latency_us(etf)
        self._began = time.monotonic()

    def learning_rate(self, _: float) -> float:
        """Return the learning rate, which falls with the share of the limit that is over."""
        return self._training.learning_rate * max(1.0 - self._share(), _LOWEST_RATE)

    def validate(self) -> None:
        """Measure the policy on the validation stream, and save the best so far with the curve."""
        policy = self.model.policy
        assert isinstance(policy, SchedulingPolicy)
        latency = self._latency_us(lambda seen, masks: _most_probable(policy, seen, masks))
        logged = self.model.logger.name_to_value
        self._curve.append(
            {
                "seconds": round(time.monotonic() - self._began, 3),
                "steps": self.num_timesteps,
                "validation_us": latency,
                "etf_us": self._etf_us,
                "entropy": -float(logged.get("train/entropy_loss", 0.0)),
                "explained": float(logged.get("train/explained_variance", 0.0)),
            }
        )
        if latency <= min(point["validation_us"] for point in self._curve):
            self._keep()
        self._save()
        self._write_curve()
        if self._progress is not None:
            self._progress(min(self._share(), 1.0), latency)

    def _on_rollout_start(self) -> None:
        if self._share() * self._training.validations >= len(self._curve):
            self.validate()

    def _on_step(self) -> bool:
        # A limit of decisions ends with a whole update, that of time at once.
        seconds = self._training.seconds
        return seconds is None or time.monotonic() - self._began < seconds

    def _share(self) -> float:
        """Return the share of the limit that is over; 0 before the start."""
        if not self._began:
            return 0.0
        seconds, steps = self._training.seconds, self._training.steps
        return max(
            (time.monotonic() - self._began) / seconds if seconds is not None else 0.0,
            self.num_timesteps / steps if steps is not None else 0.0,
        )

    def _latency_us(self, act: _Act) -> float:
        return mean_latency_us(
            act, self._env_kwargs, seed=_VALIDATION_SEED, episodes=_VALIDATION_ENVS
        )

    def _keep(self) -> None:
        """Keep the present policy as the best."""
        file = io.BytesIO()
        # The learning rate is a method of this object, of which no other reader knows.
        self.model.save(file, exclude=["learning_rate", "lr_schedule"])
        self._best = file.getvalue()

    def _save(self) -> None:
        """Write the best policy with the curve up to now."""
        origin = {
            "problem": self._problem,
            "env_kwargs": self._env_kwargs,
            "training": asdict(self._training),
            "curve": self._curve,
        }
        with atomic_path(self._path) as temporary:
            temporary.write_bytes(self._best)
            with zipfile.ZipFile(temporary, "a") as archive:  # the library takes no notice of it
                archive.writestr(_ENTRY, json.dumps(origin, allow_nan=False))

    def _write_curve(self) -> None:
        with (
            atomic_path(self._path.with_suffix(".csv")) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.DictWriter(file, CURVE_FIELDS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self._curve)


def load_policy(path: str | os.PathLike[str]) -> LearnedPolicy:
    """Load a policy that `train` saved.

    Only tensors and JSON are read. `MaskablePPO.load` would unpickle, which runs whatever code a
    foreign file holds.

    Args:
        path: The zip.

    Raises:
        ConfigError: If there is no such file, or it holds no such policy.
    """
    path = Path(path)
    if not zipfile.is_zipfile(path):
        raise ConfigError(
            f"{path}: is no saved policy. Train one: archgym experiment scheduling --train 1200."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            origin = json.loads(archive.read(_ENTRY))
            weights = torch.load(
                io.BytesIO(archive.read(_WEIGHTS)), map_location="cpu", weights_only=True
            )
        training = _training_of(origin["training"])
        single = gym.make_vec(_ENV, num_envs=1, **origin["env_kwargs"])
        with isolated(0):  # the weights are drawn before they are replaced
            network = SchedulingPolicy(
                single.single_observation_space,
                single.single_action_space,
                lambda _: 0.0,
                slots=training.slots,
                width=training.width,
                etf_weight=training.etf_weight,
            )
        single.close()
        network.load_state_dict(weights)
    except Exception as error:  # on a foreign file, torch raises whatever comes to its mind
        raise ConfigError(f"{path}: holds no scheduling policy: {error}") from error
    network.set_training_mode(False)
    return LearnedPolicy(network, training.slots, origin)


def _training_of(values: Mapping[str, Any]) -> Training:
    """Return a training as a file states it; refuse what is missing or not known."""
    known = {field.name for field in fields(Training)}
    if set(values) != known:
        raise ConfigError(f"training: other fields than known: {sorted(set(values) ^ known)}.")
    return Training(**values)
