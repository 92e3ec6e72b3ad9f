"""What the agents built on stable-baselines3 share: environment, budget, rewards and policy."""

from __future__ import annotations

import bisect
import math
import zipfile
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import gymnasium as gym
import numpy as np

from archgym_py.agent import Agent
from archgym_py.agents.isolation import isolated
from archgym_py.environment import DesignEnv, SequentialDesignEnv, step_space, step_value
from archgym_py.errors import ArchGymError, ConfigError, require
from archgym_py.simulator import Status
from archgym_py.space import Design, ParameterSpace, Value

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

__all__ = ["EPISODES_OF_A_SAMPLE", "POLICY_NAME", "StableBaselinesAgent"]

POLICY_NAME = "_policy.zip"
"""File of a saved policy."""

_AGENT_ENTRY = "archgym_agent"
"""Entry of a saved policy with the name of the agent."""

_MOST_REPEATS = 10
"""Episodes in a row that repeat a known design and cost no sample."""

_REPEAT = -1.0
"""Reward of a repeat, in standard deviations below the mean."""

EPISODES_OF_A_SAMPLE = 1 + _MOST_REPEATS
"""Most episodes that a sample of the budget can last."""


class StableBaselinesAgent(Agent):
    """An agent that a learner of stable-baselines3 trains as it searches.

    The learner trains on the form that the environment has: whole designs, or parameter by
    parameter. Its actions are of the kind that the algorithm takes, whatever the environment's.

    Training stops with the last sample of the budget; there are no evaluation episodes. The reward
    that is learned from is the rank of the design among all so far, failures last, scaled to mean 0
    and variance 1: the scale and the offset of the objective play no part, a failure does not dwarf
    everything else, and near the optimum small differences still count.

    A policy that has settled proposes the same designs over and over, which tells nothing new. Such
    a repeat earns what a rather bad design earns, -1, and costs no sample, unless it is the
    eleventh in a row: a policy that can do nothing else must not go on forever.

    Networks are small and run on one thread of the CPU: they take longer to move than to compute,
    and the same seed gives the same samples anywhere.

    Attributes:
        algorithm: Name of the learner in stable-baselines3.
        chooses_values: Whether an action is the number of a value rather than a position, where
            all parameters are finite.
        model: The learner, after `run`.
    """

    algorithm: ClassVar[str]
    chooses_values: ClassVar[bool]

    def __init__(self, space: ParameterSpace, *, seed: int, **hyperparameters: Value) -> None:
        super().__init__(space, seed=seed, **hyperparameters)
        self._kind(sequential=True)  # refuses a space that the algorithm cannot search
        self._kind(sequential=False)
        self._seed = int(self.rng.integers(2**31))
        self._policy: Path | None = None
        self._tensorboard: Path | None = None
        self.model: BaseAlgorithm | None = None

    def run(self, env: DesignEnv) -> None:
        """Train until the budget is spent.

        Args:
            env: An environment of `space` whose evaluator has a budget.

        Raises:
            ConfigError: If the environment has another space, its evaluator no budget, or if a
                policy that was loaded does not fit.
        """
        self.begin(env)
        evaluator = env.evaluator
        if not evaluator.remaining:
            return
        view = self._view(env)
        steps = evaluator.remaining * _steps_of_a_design(view)
        with isolated(self._seed):
            self.model = self._make_model(view, steps)
            self.model.learn(
                steps * EPISODES_OF_A_SAMPLE,
                callback=lambda *_: bool(evaluator.remaining),
                # By default A2C would log every hundredth update only.
                log_interval=None if self._tensorboard is None else 1,  # type: ignore[arg-type]
            )
        if evaluator.remaining:
            raise ArchGymError(f"agent {self.name!r} stopped with {evaluator.remaining} to spend.")

    def save(self, folder: Path) -> Path | None:
        """Save the policy with stable-baselines3's own `save`.

        Args:
            folder: An existing folder.

        Returns:
            The file "_policy.zip" in it; None if nothing was learned.
        """
        if self.model is None:
            return None
        path = folder / POLICY_NAME
        self.model.save(path)
        with zipfile.ZipFile(path, "a") as archive:  # of another entry the library takes no notice
            archive.writestr(_AGENT_ENTRY, self.name)
        return path

    def load(self, path: Path) -> None:
        """Start the next `run` from a saved policy.

        Only the weights are read, by `set_parameters` of stable-baselines3, which unpickles
        nothing.

        Args:
            path: A file that `save` wrote, for the same algorithm, space and network.

        Raises:
            ConfigError: If there is no such file, or it holds no policy.
        """
        if not zipfile.is_zipfile(path):
            raise ConfigError(f"{path}: is no saved policy. Give the {POLICY_NAME} of a run.")
        self._policy = path

    def log_to_tensorboard(self, folder: Path) -> None:
        """Have `run` write stable-baselines3's logs for TensorBoard.

        Args:
            folder: Where to write them, each run in a folder such as "PPO_1".

        Raises:
            ConfigError: If tensorboard is not installed.
        """
        require("tensorboard", extra="agents")
        self._tensorboard = folder

    def design(self, env: DesignEnv) -> Design:
        """Return the design that the policy thinks best, without evaluating it.

        Args:
            env: An environment of the form that was trained on.

        Returns:
            A design of the space.

        Raises:
            ArchGymError: If nothing was learned yet.
        """
        if self.model is None:
            raise ArchGymError(f"agent {self.name!r} has no policy yet. Call run() before.")
        view = self._view(env)
        observation, _ = view.reset()
        if not isinstance(view, SequentialDesignEnv):
            action, _ = self.model.predict(observation, deterministic=True)
            return view.design_from_action(action)
        design: Design = {}
        for parameter in self.space.parameters:
            action, _ = self.model.predict(observation, deterministic=True)
            design[parameter.name] = step_value(self.space, parameter, action, view.action)
            observation = view.observe(design)
        return design

    def express(self, rng: np.random.Generator) -> Design:
        """Return the design of random actions, of the form that the algorithm always takes."""
        sequential = self._always_sequential()
        kind = self._kind(sequential=sequential)
        if not sequential:
            space = self.space.action_space(cast(Any, kind))
            space.seed(int(rng.integers(2**31)))
            return self.space.design_from_action(space.sample(), cast(Any, kind))
        step = step_space(self.space, kind)
        step.seed(int(rng.integers(2**31)))
        return {
            parameter.name: step_value(self.space, parameter, step.sample(), kind)
            for parameter in self.space.parameters
        }

    def _kind(self, *, sequential: bool) -> str:
        """Return the kind of action that the algorithm takes; refuse a space without."""
        if self.chooses_values and not math.isinf(self.space.size):
            return "discrete" if sequential else "multidiscrete"
        self.space.action_space("box")  # refuses what 32-bit floats cannot tell apart
        return "box"

    @abstractmethod
    def _arguments(self, designs: int, steps: int) -> Mapping[str, Any]:
        """Return the arguments of the learner.

        Args:
            designs: Designs of the budget.
            steps: Steps of the environment that make a design.
        """

    def _always_sequential(self) -> bool:
        """Return whether the algorithm trains parameter by parameter on any environment."""
        return False

    def _view(self, env: DesignEnv) -> DesignEnv:
        sequential = self._always_sequential() or isinstance(env, SequentialDesignEnv)
        return env.view(sequential=sequential, action=self._kind(sequential=sequential))

    def _make_model(self, view: DesignEnv, steps: int) -> BaseAlgorithm:
        library = require("stable_baselines3", extra="agents")
        width = cast(int, self.config["width"])
        each = _steps_of_a_design(view)
        model: BaseAlgorithm = getattr(library, self.algorithm)(
            "MlpPolicy",
            _Training(view),
            learning_rate=self.config["learning_rate"],
            policy_kwargs={"net_arch": [width, width]},
            gamma=1.0,  # a design is judged by its reward, however many steps made it
            seed=self._seed,
            device="cpu",
            tensorboard_log=None if self._tensorboard is None else str(self._tensorboard),
            **self._arguments(steps // each, each),
        )
        if self._tensorboard is None:
            # By default the logger makes a folder, even where nothing is written to it.
            logger = require("stable_baselines3.common.logger", extra="agents")
            model.set_logger(logger.Logger(folder=None, output_formats=[]))
        if self._policy is not None:
            self._restore(model, self._policy)
        return model

    def _restore(self, model: BaseAlgorithm, path: Path) -> None:
        """Give a learner the weights of a saved policy."""
        refusal = f"{path}: does not fit the agent {self.name!r} on this environment"
        try:
            with zipfile.ZipFile(path) as archive:
                saved_by = archive.read(_AGENT_ENTRY).decode()
            # Other agents' networks may be the same, but not the state of their optimisers.
            if saved_by == self.name:
                model.set_parameters(str(path), device="cpu")
                return
        except Exception as error:  # on a foreign file, torch raises whatever comes to its mind
            raise ConfigError(f"{refusal}: {error}") from error
        raise ConfigError(f"{refusal}: it is a policy of the agent {saved_by!r}.")


class _Training(gym.Env[Any, Any]):
    """An environment as a learner sees it: ranks for rewards, and repeats that cost no sample.

    Args:
        view: The environment, with actions that the learner takes.
    """

    def __init__(self, view: DesignEnv) -> None:
        self.action_space = view.action_space
        self.observation_space = view.observation_space
        self._view = view
        self._design: Design = {}
        self._known: set[str] = set()
        self._results: list[tuple[bool, float]] = []  # whether it works and the reward, sorted
        self._repeats = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        self._design = {}
        return self._view.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        view, space = self._view, self._view.space
        if not isinstance(view, SequentialDesignEnv):
            reward = self._reward(view.design_from_action(action))
            observation, _ = view.reset()  # the episode is over: nobody learns from it
            return observation, reward, True, False, {}
        parameter = space.parameters[len(self._design)]
        self._design[parameter.name] = step_value(space, parameter, action, view.action)
        observation = view.observe(self._design)
        if len(self._design) < len(space.parameters):
            return observation, 0.0, False, False, {}
        return observation, self._reward(self._design), True, False, {}

    def _reward(self, design: Design) -> float:
        is_known = self._view.space.key(design) in self._known
        if is_known and self._repeats < _MOST_REPEATS:
            self._repeats += 1
            return _REPEAT
        self._repeats = 0
        trial = self._view.evaluator.evaluate(design)
        if is_known:
            return _REPEAT
        self._known.add(trial.key)
        result = (trial.status is Status.OK, trial.reward)
        first = bisect.bisect_left(self._results, result)
        last = bisect.bisect_right(self._results, result)
        self._results.insert(last, result)
        others = len(self._results) - 1
        # Equals share the mean of their ranks. Ranks are uniform: scaled to variance 1.
        return math.sqrt(3.0) * ((first + last) / others - 1.0) if others else 0.0


def _steps_of_a_design(view: DesignEnv) -> int:
    return len(view.space.parameters) if isinstance(view, SequentialDesignEnv) else 1
