"""Multi-agent reinforcement learning: every parameter has a learner, and all share the reward.

The formulation is that of "Multi-Agent RL for Microprocessor Design Space Exploration"
(arXiv 2211.16385): credit for a good design goes to each of its choices at once, and no learner
has to search the product of all parameters.

The learners are independent PPO models of stable-baselines3. RLlib brings multi-agent training
ready made, but it starts processes for it, takes seconds before the first sample, and does not
promise the same samples for the same seed. Here a step is a whole design and lasts less than a
millisecond. stable-baselines3 trains one model in one environment, so that the models cannot run
their own loops side by side; but a model's parts are public. Each draws its actions for a batch
from its policy, its rollout buffer is filled with the shared reward, and its own `train` updates
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, cast

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from archgym_py.agent import Agent, check_finite, rank_scores, take_new
from archgym_py.agents.isolation import isolated
from archgym_py.environment import DesignEnv
from archgym_py.errors import require
from archgym_py.simulator import Status
from archgym_py.space import Design, Integer, Ordinal, ParameterSpace, Real, Value

if TYPE_CHECKING:
    from stable_baselines3 import PPO

__all__ = ["MultiAgent"]

_FloatArray: TypeAlias = npt.NDArray[np.float64]

_ATTEMPTS = 10
"""How often a design is drawn again if it is known already or breaks a constraint."""


class MultiAgent(Agent):
    """Independent learners, one for each parameter, on a `DesignParallelEnv`.

    The learners act on the same batch of `n_designs` designs and learn from the same reward, its
    rank within the batch scaled to [-1, 1] (see `rank_scores`). What they observe at the start of
    an episode never changes, so that each solves a bandit problem that moves as the others learn.
    Designs that are known or break a constraint are drawn again, up to 10 times.

    Examples:
        >>> from archgym_py.simulators.toy import TOY_SPACE
        >>> MultiAgent(TOY_SPACE, seed=0, n_designs=8).config["n_designs"]
        8
    """

    name: ClassVar[str] = "multi_agent"
    doc: ClassVar[str] = "a PPO learner for each parameter, one shared reward"
    hyperparameters: ClassVar[ParameterSpace] = ParameterSpace(
        (
            Ordinal("n_designs", (8, 16, 32, 64), default=8, doc="designs for an update"),
            Integer("epochs", 1, 8, default=3, doc="passes over the designs of an update"),
            Real("learning_rate", 1e-3, 0.1, log=True, default=0.01, doc="of Adam"),
            Real("entropy", 1e-4, 0.1, log=True, default=1e-3, doc="weight of the entropy bonus"),
            Real("clip", 0.05, 0.5, default=0.3, doc="how far a probability may move"),
            Ordinal("width", (4, 8, 16, 32), default=4, doc="units of the hidden layer"),
        )
    )

    def __init__(self, space: ParameterSpace, *, seed: int, **hyperparameters: Value) -> None:
        super().__init__(space, seed=seed, **hyperparameters)
        check_finite(self.name, space)
        self._counts = [cast(int, p.cardinality) for p in space.parameters]
        self._seed = int(self.rng.integers(2**31))
        self._seen: set[bytes] = set()

    def run(self, env: DesignEnv) -> None:
        """Let the learners act and learn until the budget is spent.

        Args:
            env: An environment of `space` whose evaluator has a budget.

        Raises:
            ConfigError: If the environment has another space, or its evaluator no budget.
        """
        self.begin(env)
        require("pettingzoo", extra="agents")
        from archgym_py.parallel import DesignParallelEnv

        parallel = DesignParallelEnv(env)
        with isolated(self._seed):
            learners = [
                _Learner(count, self.config, seed=self._seed + index)
                for index, count in enumerate(self._counts)
            ]
            while remaining := env.evaluator.remaining:
                actions = self._act(learners)
                earned = []
                for row in actions[:remaining]:
                    parallel.reset()
                    chosen = dict(zip(self.space.names, row.tolist(), strict=True))
                    _, rewards, _, _, infos = parallel.step(chosen)
                    one = self.space.names[0]
                    earned.append((infos[one]["status"] == Status.OK, rewards[one]))
                if len(earned) == len(actions):
                    advantage = rank_scores(earned)
                    for index, learner in enumerate(learners):
                        learner.learn(actions[:, index], advantage)

    def express(self, rng: np.random.Generator) -> Design:
        """Return the design of learners that act at random."""
        return self.space.decode(rng.integers(self._counts))

    def _act(self, learners: Sequence[_Learner]) -> npt.NDArray[np.int64]:
        """Return the numbers of the values that the learners choose, shape (designs, n)."""
        actions = np.empty((cast(int, self.config["n_designs"]), len(learners)), dtype=np.int64)
        left = np.arange(len(actions))
        for _ in range(_ATTEMPTS + 1):
            drawn = np.stack([learner.act() for learner in learners], axis=1)
            actions[left] = drawn[left]
            batch = self.space.batch((actions[left] + 0.5) / self._counts)
            left = np.delete(left, take_new(batch, self._seen))
            if not len(left):
                break
        return actions


class _Learner:
    """A PPO model that chooses the value of one parameter, for a batch of designs at a time."""

    def __init__(self, count: int, config: Design, *, seed: int) -> None:
        library = require("stable_baselines3", extra="agents")
        vector = require("stable_baselines3.common.vec_env", extra="agents")
        logger = require("stable_baselines3.common.logger", extra="agents")
        self._torch: Any = require("torch", extra="agents")
        self._designs = cast(int, config["n_designs"])
        self._model: PPO = library.PPO(
            "MlpPolicy",
            vector.DummyVecEnv([lambda: _Choice(count)] * self._designs),
            n_steps=1,
            batch_size=self._designs,
            n_epochs=config["epochs"],
            learning_rate=config["learning_rate"],
            ent_coef=config["entropy"],
            clip_range=config["clip"],
            normalize_advantage=False,  # ranks have the scale of standardised rewards already
            policy_kwargs={"net_arch": [config["width"]]},
            seed=seed,
            device="cpu",
        )
        # Not by `configure`, which makes a folder even for a logger that writes nothing.
        self._model.set_logger(logger.Logger(folder=None, output_formats=[]))
        self._observations = np.ones((self._designs, 1), dtype=np.float32)

    def act(self) -> npt.NDArray[np.int64]:
        """Return the numbers of values drawn from the policy, one for each design."""
        with self._torch.no_grad():
            observations = self._torch.from_numpy(self._observations)
            actions, _, _ = self._model.policy(observations)
        numbers: npt.NDArray[np.int64] = actions.numpy()
        return numbers

    def learn(self, actions: npt.NDArray[np.int64], rewards: _FloatArray) -> None:
        """Update the model with what its actions earned."""
        torch = self._torch
        buffer, policy = self._model.rollout_buffer, self._model.policy
        with torch.no_grad():
            values, log_probabilities, _ = policy.evaluate_actions(
                torch.from_numpy(self._observations), torch.from_numpy(actions)
            )
        buffer.reset()
        buffer.add(
            self._observations,
            actions.reshape(-1, 1),
            rewards,
            np.ones(self._designs),
            values.flatten(),
            log_probabilities,
        )
        # Every design ends its episode, so that nothing follows the last value.
        buffer.compute_returns_and_advantage(values.flatten(), np.ones(self._designs))
        self._model.train()


class _Choice(gym.Env[npt.NDArray[np.float32], np.int64]):
    """Tells a model the shape of its problem; it is never stepped."""

    def __init__(self, count: int) -> None:
        self.observation_space = gym.spaces.Box(0.0, 1.0, (1,), np.float32)
        self.action_space = gym.spaces.Discrete(count)
