"""A design environment in which every parameter is an agent, for multi-agent learners.

Importing this module needs PettingZoo (`pip install 'archgym_py[agents]'`).

    >>> from archgym_py.envs.toy import ToyEnv
    >>> env = DesignParallelEnv(ToyEnv())
    >>> env.possible_agents[:2]
    ['unit', 'lanes']
    >>> observations, infos = env.reset(seed=0)
    >>> actions = {agent: env.action_space(agent).sample() for agent in env.agents}
    >>> observations, rewards, terminations, truncations, infos = env.step(actions)
    >>> len(set(rewards.values())), all(terminations.values()), env.agents
    (1, True, [])
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from pettingzoo import ParallelEnv

from archgym_py.environment import DesignEnv
from archgym_py.errors import ActionError, did_you_mean
from archgym_py.space import Parameter, Value

__all__ = ["DesignParallelEnv"]

_Observation: TypeAlias = npt.NDArray[np.float32]


class DesignParallelEnv(ParallelEnv[str, _Observation, Any]):  # type: ignore[misc]  # untyped
    """A PettingZoo `ParallelEnv` view of a design environment.

    **Agents.** One for each parameter, named like it. All act at the same time, and a step is a
    whole design, which ends the episode of all.

    **Action.** Discrete: the number of the parameter's value. For a continuous parameter Box(-1, 1)
    of one entry: the position between its bounds.

    **Observation.** For every agent that of `DesignEnv`: what the last design achieved, zeros
    after a reset.

    **Reward.** The objective's reward of the design, the same for every agent.

    **Info.** For every agent that of `DesignEnv`.

    The design is evaluated by the environment's evaluator, with its budget, cache and log.

    Args:
        env: Any design environment, also a sequential one, whose order then plays no part.

    Attributes:
        env: The view of it whose steps are designs.
        possible_agents: The names of the parameters, in their order.
        agents: Those that have to act next.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": "archgym_design_v0", "render_modes": ["ansi"]}

    def __init__(self, env: DesignEnv) -> None:
        continuous = any(p.cardinality is None for p in env.space.parameters)
        self.env = env.view(sequential=False, action="box" if continuous else "multidiscrete")
        self.render_mode = env.render_mode
        self.possible_agents = list(env.space.names)
        self.agents: list[str] = []
        self._actions = {p.name: _action_space(p) for p in env.space.parameters}
        self._observations = {
            p.name: gym.spaces.Box(0.0, 1.0, self.env.observation_space.shape, np.float32)
            for p in env.space.parameters
        }

    def observation_space(self, agent: str) -> gym.spaces.Space[Any]:
        """Return the observations of an agent, always the same object."""
        return self._observations[agent]

    def action_space(self, agent: str) -> gym.spaces.Space[Any]:
        """Return the actions of an agent, always the same object."""
        return self._actions[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, _Observation], dict[str, dict[str, Any]]]:
        """Start an episode; the budget that is spent stays spent.

        Args:
            seed: Seed of the spaces' and environment's generators, from which nothing is drawn.
            options: Ignored, as PettingZoo's tests ask for; there are none.

        Returns:
            Observations and infos by agent.
        """
        observation, info = self.env.reset(seed=seed)
        self.agents = list(self.possible_agents)
        return self._for_all(observation), {agent: dict(info) for agent in self.agents}

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[
        dict[str, _Observation],
        dict[str, float],
        dict[str, bool],
        dict[str, bool],
        dict[str, dict[str, Any]],
    ]:
        """Evaluate the design that the agents make together.

        Args:
            actions: An action for every agent.

        Returns:
            Observations, rewards, terminations, truncations and infos by agent.

        Raises:
            ActionError: If an agent's action is missing or illegal, or an agent is unknown.
            ResetNeeded: If the episode has ended.
            BudgetExhausted: If the evaluator's budget is spent.
        """
        if not self.agents:
            raise gym.error.ResetNeeded("the design is complete: call reset() to start another.")
        for agent in actions:
            if agent not in self._actions:
                near = did_you_mean(agent, self.possible_agents)
                raise ActionError(f"there is no agent {agent!r}.{near}")
        design = {p.name: _value(p, actions) for p in self.env.space.parameters}
        observation, reward, _, _, info = self.env.step_design(design)
        everyone, self.agents = self.agents, []
        return (
            {agent: observation.copy() for agent in everyone},
            dict.fromkeys(everyone, reward),
            dict.fromkeys(everyone, True),
            dict.fromkeys(everyone, False),
            {agent: dict(info) for agent in everyone},
        )

    def render(self) -> str | None:
        """Return a text about the last design, or None without a render mode."""
        self.env.render_mode = self.render_mode
        return self.env.render()

    def close(self) -> None:
        """Close the simulator."""
        self.env.close()

    def _for_all(self, observation: _Observation) -> dict[str, _Observation]:
        return {agent: observation.copy() for agent in self.agents}


def _action_space(parameter: Parameter) -> gym.spaces.Space[Any]:
    if parameter.cardinality is None:
        return gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    return gym.spaces.Discrete(parameter.cardinality)


def _value(parameter: Parameter, actions: Mapping[str, Any]) -> Value:
    """Return the value that a parameter's agent chose."""
    if parameter.name not in actions:
        raise ActionError(f"agent {parameter.name!r} has no action. Every parameter needs one.")
    array = np.asarray(actions[parameter.name])
    if parameter.cardinality is None:
        if array.dtype.kind not in "fiu" or array.shape != (1,):
            raise ActionError(
                f"the action of agent {parameter.name!r} is a vector of one number, got dtype "
                f"{array.dtype} and shape {array.shape}."
            )
        return parameter.from_unit((float(array[0]) + 1.0) / 2.0)
    if array.dtype.kind not in "iu" or array.shape != ():
        raise ActionError(
            f"the action of agent {parameter.name!r} is one integer, got dtype {array.dtype} and "
            f"shape {array.shape}."
        )
    return parameter.value_at(int(array))
