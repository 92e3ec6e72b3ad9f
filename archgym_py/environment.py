"""Gymnasium environments made of a parameter space, a simulator and an objective.

| class                 | a step is                     | an episode is |
|-----------------------|-------------------------------|---------------|
| `DesignEnv`           | a whole design                | one step      |
| `SequentialDesignEnv` | the value of one parameter    | one design    |
| `DesignVectorEnv`     | a batch of whole designs      | one step      |

All of them evaluate through an `Evaluator`, which counts designs against a budget, caches them,
turns failures into data and records every sample. An environment starts with an unlimited
evaluator; `DesignEnv.new_evaluator` gives it another one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from archgym_py.checks import integer
from archgym_py.errors import ActionError, ConfigError, did_you_mean
from archgym_py.evaluator import Evaluator, Recorder, Trial
from archgym_py.objective import Objective, parse_objective
from archgym_py.simulator import Simulator, Status, reference_of
from archgym_py.space import Design, Parameter, ParameterSpace, Value

__all__ = [
    "INTERFACE_ARGUMENTS",
    "DesignEnv",
    "DesignVectorEnv",
    "SequentialDesignEnv",
    "problem_arguments",
    "refuse_options",
    "step_space",
    "step_value",
]

INTERFACE_ARGUMENTS = ("objective", "action", "render_mode", "baseline", "simulator")
"""Arguments of environments on which the metrics of a design do not depend."""

_MAX_ENVS = 2**31 - 1


class DesignEnv(gym.Env[npt.NDArray[np.float32], Any]):
    """An environment in which one step proposes and evaluates one design.

    **Action.** `"multidiscrete"`: for each parameter the number of its value. `"box"`: a point of
    the cube [-1, 1]^n, in which every parameter has bins of equal width for its values.

    **Observation.** Box(0, 1), one entry for each metric of the simulator and a last one. A
    metric's entry is the position of the last design's value between the metric's bounds, on a
    logarithmic scale if the lower bound is positive, otherwise on a linear one. The last entry is
    1 if the last design is feasible. All entries are 0 after a reset and after a design that could
    not be evaluated.

    **Reward.** The objective's, always maximised and always finite; a design that could not be
    evaluated has a reward below every feasible one's.

    **End.** Every step ends the episode with `terminated`. As one design does not influence the
    next, `reset` may be left out between the steps.

    **Info.** `design`, `key` (equal for designs that behave alike), `status` ("ok", "infeasible",
    "timeout", "crashed"), `message` (why it failed) and `metrics` (empty if it failed). Equal
    actions give equal infos.

    Args:
        space: The designs.
        simulator: What evaluates them; the environment closes it.
        objective: What is rewarded, such as "minimize:delay_ns"; see `parse_objective`.
        action: Kind of action, "multidiscrete" (the default) or "box".
        render_mode: None, or "ansi" for a text about the last design.
        baseline: Metrics of the design against which improvements are measured, by name. By
            default those of the default design, simulated when they are first needed; this
            simulation is neither counted nor recorded. With a proxy in the simulator's place it is
            the simulator that is asked, so that rewards have the same origin with both.

    Attributes:
        actions: The kinds of action that the class has, the default first.
        space: The designs.
        simulator: What evaluates them.
        action: The kind of action.

    Raises:
        ConfigError: If the objective, the kind of action or the render mode is unknown.
        SpaceError: If the kind of action cannot express every design.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 4}  # noqa: RUF012  # Gymnasium's type
    actions: ClassVar[tuple[str, ...]] = ("multidiscrete", "box")

    def __init__(
        self,
        space: ParameterSpace,
        simulator: Simulator,
        objective: str | Mapping[str, Any],
        *,
        action: str | None = None,
        render_mode: str | None = None,
        baseline: Mapping[str, float] | None = None,
    ) -> None:
        action = self.actions[0] if action is None else action
        _require_one_of("action", action, self.actions)
        if render_mode is not None:
            _require_one_of("render_mode", render_mode, self.metadata["render_modes"])
        if baseline is not None and not isinstance(baseline, Mapping):
            raise ConfigError(f"baseline must be a mapping of metrics to values, got {baseline!r}.")
        self.space = space
        self.simulator = simulator
        self.action = action
        self.render_mode = render_mode
        self._objective_spec = objective
        # A misspelt objective has to fail here, not after the first simulation. The upper bounds
        # stand in for the baseline, which only shifts the reward.
        self._any_objective = self._parse({m.name: m.high for m in simulator.metrics})
        self._baseline = None if baseline is None else dict(baseline)
        self._objective = None if baseline is None else self._parse(baseline)
        self._evaluator: Evaluator | None = None
        self._last: Trial | None = None
        self._scales = _MetricScales(simulator)
        self.action_space = self._make_action_space()
        self.observation_space = self._make_observation_space()

    # ---- evaluation ----------------------------------------------------------------------------

    @property
    def baseline(self) -> Mapping[str, float]:
        """Metrics of the design against which the objective measures improvements.

        Raises:
            ConfigError: If the default design cannot be evaluated.
        """
        if self._baseline is None:
            evaluator = Evaluator(self.space, reference_of(self.simulator), self._any_objective)
            trial = evaluator.evaluate(self.space.default())
            if trial.status is not Status.OK:
                raise ConfigError(
                    f"the default design is the baseline and must be feasible, but it is "
                    f"{trial.status}: {trial.message.rstrip('.')}. Pass baseline={{metric: value}}."
                )
            self._baseline = dict(trial.metrics)
        return self._baseline

    @property
    def objective(self) -> Objective:
        """What is rewarded, bound to the baseline.

        Raises:
            ConfigError: If the baseline is needed and the default design cannot be evaluated.
        """
        if self._objective is None:
            self._objective = self._parse(self.baseline)
        return self._objective

    @property
    def evaluator(self) -> Evaluator:
        """What evaluates and counts the designs; unlimited unless `new_evaluator` was called."""
        if self._evaluator is None:
            return self.new_evaluator()
        return self._evaluator

    def new_evaluator(
        self,
        *,
        budget: int | None = None,
        seed: int = 0,
        recorder: Recorder | None = None,
        history: Sequence[Trial] = (),
    ) -> Evaluator:
        """Replace the evaluator: a fresh count, and a recorder if one is given.

        Args:
            budget: Number of designs that may be evaluated; None for no limit.
            seed: Seed of the noise of a simulator that is not deterministic. It is the only one:
                the seed of `reset` plays no part.
            recorder: Receives every trial.
            history: Trials of an earlier run that answer the first evaluations.

        Returns:
            The new `evaluator`.

        Raises:
            ConfigError: If the default design cannot be evaluated and no baseline was given.
        """
        self._evaluator = Evaluator(
            self.space,
            self.simulator,
            self.objective,
            budget=budget,
            seed=seed,
            recorder=recorder,
            history=history,
        )
        return self._evaluator

    def view(self, *, sequential: bool, action: str) -> DesignEnv:
        """Return the same problem with other steps or actions, on the same evaluator.

        A learner whose algorithm takes one kind of action only can so be given any environment:
        designs are still counted, cached and recorded in one place.

        Args:
            sequential: Whether a step sets one parameter (`SequentialDesignEnv`) or makes a whole
                design.
            action: Kind of action: "multidiscrete" or "box"; of a sequential view "discrete" or
                "box".

        Returns:
            A new environment. Its evaluator is this one's at present; closing either closes the
            simulator of both.

        Raises:
            ConfigError: If the kind of action is unknown.
            SpaceError: If the kind of action cannot express every design.
        """
        view = (SequentialDesignEnv if sequential else DesignEnv)(
            self.space,
            self.simulator,
            self._objective_spec,
            action=action,
            baseline=self._baseline,
        )
        view._evaluator = self.evaluator
        return view

    # ---- Gymnasium -----------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Start an episode; the budget that is spent stays spent.

        Args:
            seed: Seed of `np_random`, which nothing in the environment draws from.
            options: None or empty: there are no options.

        Returns:
            The observation before any design, and an empty info.

        Raises:
            ConfigError: If an option is given.
        """
        super().reset(seed=seed)
        refuse_options(options)
        self._last = None
        return self._scales.observe(None), {}

    def step(
        self, action: Any
    ) -> tuple[npt.NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Evaluate the design that an action stands for.

        Args:
            action: A member of `action_space`.

        Returns:
            Observation, reward, True (terminated), False (truncated) and info.

        Raises:
            ActionError: If the action has the wrong shape, type or range.
            BudgetExhausted: If the evaluator's budget is spent.
        """
        return self.step_design(self.design_from_action(action))

    def design_from_action(self, action: Any) -> Design:
        """Return the design that an action stands for.

        Raises:
            ActionError: If the action has the wrong shape, type or range.
        """
        # The constructor admits the kinds of the space only.
        return self.space.design_from_action(action, self.action)  # type: ignore[arg-type]

    def render(self) -> str | None:
        """Return a text about the last design, or None without a render mode."""
        if self.render_mode is None:
            gym.logger.warn("render() does nothing without render_mode='ansi'.")
            return None
        return "no design yet" if self._last is None else _render_trial(self._last)

    def close(self) -> None:
        """Close the simulator."""
        self.simulator.close()

    # ---- parts of the above --------------------------------------------------------------------

    def _make_action_space(self) -> gym.Space[Any]:
        return self.space.action_space(self.action)  # type: ignore[arg-type]

    def _make_observation_space(self) -> gym.Space[Any]:
        return gym.spaces.Box(0.0, 1.0, (self._scales.size,), np.float32)

    def step_design(
        self, design: Design
    ) -> tuple[npt.NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Evaluate a design, as `step` does with the one that an action stands for.

        Args:
            design: A design of the space.

        Returns:
            Observation, reward, True (terminated), False (truncated) and info.

        Raises:
            DesignError: If the design is not in the space.
            BudgetExhausted: If the evaluator's budget is spent.
        """
        trial = self.evaluator.evaluate(design)
        self._last = trial
        return self._scales.observe(trial), trial.reward, True, False, _trial_info(trial)

    def _parse(self, baseline: Mapping[str, float]) -> Objective:
        return parse_objective(
            self._objective_spec, metrics=self.simulator.metrics, baseline=baseline
        )


class SequentialDesignEnv(DesignEnv):
    """An environment in which a step sets one parameter and an episode makes one design.

    The parameters are set in the order of the space, also those that turn out to be inactive.

    **Action.** `"discrete"`: a number below k, the largest number of values that a parameter has.
    Action a gives a parameter of k_i values the value number floor(a * k_i / k): every action is
    legal for every parameter, and every value has an action. `"box"`: one number in [-1, 1], which
    is cut into bins of equal width for the values of the parameter.

    **Observation.** Two entries for each of the n parameters. The first n are the values set so
    far as positions in [0, 1], -1 where a parameter is not set yet; the last n are 1 for the
    parameter that the next step sets and 0 for the others.

    **Reward.** 0 until the last parameter is set, then the objective's reward of the design.

    **End.** The step that sets the last parameter ends the episode with `terminated`.

    **Info.** Empty until the last step, then that of `DesignEnv`.

    Args:
        space: The designs.
        simulator: What evaluates them; the environment closes it.
        objective: What is rewarded; see `parse_objective`.
        action: Kind of action, "discrete" (the default) or "box".
        render_mode: None, or "ansi" for a text about the design.
        baseline: Metrics of the design against which improvements are measured; see `DesignEnv`.

    Raises:
        ConfigError: If the objective, the kind of action or the render mode is unknown.
        SpaceError: If the kind of action cannot express every design.
    """

    actions: ClassVar[tuple[str, ...]] = ("discrete", "box")

    def __init__(
        self,
        space: ParameterSpace,
        simulator: Simulator,
        objective: str | Mapping[str, Any],
        *,
        action: str | None = None,
        render_mode: str | None = None,
        baseline: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(
            space,
            simulator,
            objective,
            action=action,
            render_mode=render_mode,
            baseline=baseline,
        )
        self._partial: Design = {}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Start a new design.

        Args:
            seed: Seed of `np_random`, which nothing in the environment draws from.
            options: None or empty: there are no options.

        Returns:
            The observation of a design without any value, and an empty info.

        Raises:
            ConfigError: If an option is given.
        """
        super().reset(seed=seed, options=options)
        self._partial = {}
        return self.observe(self._partial), {}

    def step(
        self, action: Any
    ) -> tuple[npt.NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Set the next parameter; evaluate the design if it was the last.

        Args:
            action: A member of `action_space`.

        Returns:
            Observation, reward, terminated, False (truncated) and info.

        Raises:
            ActionError: If the action has the wrong shape, type or range.
            ResetNeeded: If the design is complete.
            BudgetExhausted: If the design is complete and the evaluator's budget is spent.
        """
        if len(self._partial) == len(self.space.parameters):
            raise gym.error.ResetNeeded("the design is complete: call reset() to start another.")
        parameter = self.space.parameters[len(self._partial)]
        value = step_value(self.space, parameter, action, self.action)
        self._partial[parameter.name] = value
        if len(self._partial) < len(self.space.parameters):
            return self.observe(self._partial), 0.0, False, False, {}
        _, reward, terminated, truncated, info = self.step_design(self._partial)
        return self.observe(self._partial), reward, terminated, truncated, info

    def design_from_action(self, action: Any) -> Design:
        """Refuse: one action of this environment is not a design."""
        raise ActionError(
            "an action of a sequential environment sets one parameter and stands for no design. "
            "Use step(), or the one-step environment."
        )

    def render(self) -> str | None:
        """Return a text about the design, or None without a render mode."""
        if self.render_mode is None or self._last is not None:
            return super().render()
        return "\n".join(f"{name:<24} {self._partial.get(name, '-')}" for name in self.space.names)

    def _make_action_space(self) -> gym.Space[Any]:
        return step_space(self.space, self.action)

    def _make_observation_space(self) -> gym.Space[Any]:
        n = len(self.space.parameters)
        low = np.concatenate([np.full(n, -1.0), np.zeros(n)]).astype(np.float32)
        return gym.spaces.Box(low, np.ones(2 * n, np.float32), dtype=np.float32)

    def observe(self, partial: Design) -> npt.NDArray[np.float32]:
        """Return the observation of a design of which the first parameters are set.

        Args:
            partial: Values of the first parameters, in order.

        Returns:
            A member of `observation_space`.
        """
        n, done = len(self.space.parameters), len(partial)
        observation = np.zeros(2 * n, np.float32)
        observation[done:n] = -1.0
        for index, parameter in enumerate(self.space.parameters[:done]):
            observation[index] = parameter.to_unit(partial[parameter.name])
        if done < n:
            observation[n + done] = 1.0
        return observation


def step_space(space: ParameterSpace, kind: str) -> gym.Space[Any]:
    """Return the action space of a step that sets one parameter.

    Args:
        space: The designs.
        kind: "discrete" or "box".

    Returns:
        A new Gymnasium space; see `SequentialDesignEnv` for what its members mean.

    Raises:
        SpaceError: If the kind of action cannot express every design.
    """
    if kind == "box":
        space.action_space("box")  # refuses what 32-bit floats cannot tell apart
        return gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    space.action_space("multidiscrete")  # refuses continuous parameters
    return gym.spaces.Discrete(_most_values(space))


def step_value(space: ParameterSpace, parameter: Parameter, action: Any, kind: str) -> Value:
    """Return the value that an action gives to a parameter in a sequential environment.

    Args:
        space: The designs.
        parameter: A parameter of the space.
        action: A member of `step_space(space, kind)`.
        kind: "discrete" or "box".

    Returns:
        A value of the parameter.

    Raises:
        ActionError: If the action has the wrong shape, type or range.
    """
    array = np.asarray(action)
    if kind == "box":
        if array.dtype.kind not in "fiu" or array.shape != (1,):
            raise ActionError(
                f"an action is a vector of one number, got dtype {array.dtype} and shape "
                f"{array.shape}."
            )
        position = float(array[0])
        if not -1.0 <= position <= 1.0:  # also refuses NaN
            raise ActionError(
                f"an action must lie in [-1, 1], got {position}. Clip or rescale it before."
            )
        return parameter.from_unit((position + 1.0) / 2.0)
    if array.dtype.kind not in "iu" or array.shape != ():
        raise ActionError(
            f"an action is one integer, got dtype {array.dtype} and shape {array.shape}."
        )
    number, most = int(array), _most_values(space)
    if not 0 <= number < most:
        raise ActionError(f"an action must lie in 0..{most - 1}, got {number}.")
    return parameter.value_at(number * (parameter.cardinality or 1) // most)


def _most_values(space: ParameterSpace) -> int:
    """Return the largest number of values that a parameter of a finite space has."""
    return max(parameter.cardinality or 0 for parameter in space.parameters)


class DesignVectorEnv(VectorEnv[npt.NDArray[np.float32], npt.NDArray[Any], npt.NDArray[Any]]):
    """A vector environment that evaluates a batch of designs in each step.

    It behaves like `num_envs` copies of a `DesignEnv` in Gymnasium's `SyncVectorEnv`, but there is
    one simulator, one evaluator with one budget, and one call of the simulator's
    `evaluate_batch` for each step where it has one.

    Each step ends `num_envs` episodes, so the autoreset mode is SAME_STEP: the observations that
    `step` returns are those after the reset, and `infos["final_obs"]` and `infos["final_info"]`
    hold what the designs gave.

    Args:
        env: The environment of a single design; the vector environment closes it.
        num_envs: Designs in a step.

    Attributes:
        env: The environment of a single design, with its evaluator.

    Raises:
        ConfigError: If `num_envs` is less than 1, or if the environment is sequential.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  # Gymnasium's type
        **DesignEnv.metadata,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(self, env: DesignEnv, num_envs: int = 1) -> None:
        if isinstance(env, SequentialDesignEnv):
            raise ConfigError(
                "a vector environment batches whole designs; a sequential environment sets one "
                "parameter at a time. Use gymnasium.make_vec(..., vectorization_mode='sync')."
            )
        num_envs = integer("num_envs", num_envs, 1, _MAX_ENVS)
        self.env = env
        self.num_envs = num_envs
        self.render_mode = env.render_mode
        self.single_action_space = env.action_space
        self.single_observation_space = env.observation_space
        self.action_space = batch_space(env.action_space, num_envs)
        self.observation_space = batch_space(env.observation_space, num_envs)
        self._last: list[Trial] = []

    @property
    def evaluator(self) -> Evaluator:
        """What evaluates and counts the designs."""
        return self.env.evaluator

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Start the episodes; the budget that is spent stays spent.

        Args:
            seed: Seed of `np_random`, which nothing in the environment draws from.
            options: None or empty: there are no options.

        Returns:
            Zeros, shape (num_envs, metrics + 1), and an empty info.

        Raises:
            ConfigError: If an option is given.
        """
        super().reset(seed=seed)
        refuse_options(options)
        self._last = []
        return self._first_observations(), {}

    def step(
        self, actions: npt.NDArray[Any]
    ) -> tuple[
        npt.NDArray[np.float32],
        npt.NDArray[np.float64],
        npt.NDArray[np.bool_],
        npt.NDArray[np.bool_],
        dict[str, Any],
    ]:
        """Evaluate one design for each sub-environment.

        Args:
            actions: Actions, shape (num_envs, parameters).

        Returns:
            Observations after the reset, rewards, terminations (all True), truncations (all
            False), each with num_envs rows, and infos with `final_obs` and `final_info`.

        Raises:
            ActionError: If an action has the wrong shape, type or range; the message gives its
                row. No design is evaluated then.
            BudgetExhausted: If the budget does not reach for all designs; none is evaluated then.
        """
        trials = self.evaluator.evaluate_batch(self._designs(actions))
        self._last = trials
        everywhere = np.ones(self.num_envs, np.bool_)
        final_obs = np.empty(self.num_envs, object)
        for index, trial in enumerate(trials):
            final_obs[index] = self.env._scales.observe(trial)
        infos = {
            "final_obs": final_obs,
            "_final_obs": everywhere.copy(),
            "final_info": _columns([_trial_info(trial) for trial in trials]),
            "_final_info": everywhere.copy(),
        }
        rewards = np.array([trial.reward for trial in trials], np.float64)
        return self._first_observations(), rewards, everywhere, ~everywhere, infos

    def render(self) -> tuple[str, ...] | None:
        """Return a text about each of the last designs, or None without a render mode."""
        if self.render_mode is None:
            gym.logger.warn("render() does nothing without render_mode='ansi'.")
            return None
        if not self._last:
            return ("no design yet",) * self.num_envs
        return tuple(map(_render_trial, self._last))

    def close_extras(self) -> None:
        """Close the simulator."""
        self.env.close()

    def _designs(self, actions: npt.NDArray[Any]) -> list[Design]:
        shape = np.shape(actions)
        if shape[:1] != (self.num_envs,):
            raise ActionError(
                f"a step takes {self.num_envs} actions, one for each sub-environment, got an "
                f"array of shape {shape}."
            )
        designs = []
        for index, action in enumerate(actions):
            try:
                designs.append(self.env.design_from_action(action))
            except ActionError as error:
                raise ActionError(f"action {index}: {error}") from None
        return designs

    def _first_observations(self) -> npt.NDArray[np.float32]:
        return np.zeros(self.observation_space.shape or (), np.float32)


def _trial_info(trial: Trial) -> dict[str, Any]:
    """Return what an environment's info says about a trial.

    Only what the design determines: no time, no position in the run, no cache hit.

    Args:
        trial: An evaluated design.

    Returns:
        A new dictionary with `design`, `key`, `status`, `message` and `metrics`.
    """
    return {
        "design": dict(trial.design),
        "key": trial.key,
        "status": trial.status.value,
        "message": trial.message,
        "metrics": dict(trial.metrics),
    }


def _render_trial(trial: Trial) -> str:
    """Return a text of several lines about a trial: status, reward, design and metrics."""
    lines = [f"{trial.status.value}, reward {trial.reward:.6g}"]
    if trial.message:
        lines.append(trial.message)
    lines += [f"  {name:<24} {value}" for name, value in trial.design.items()]
    lines += [f"  {name:<24} {value:.6g}" for name, value in trial.metrics.items()]
    return "\n".join(lines)


class _MetricScales:
    """Turns the metrics of a trial into an observation."""

    def __init__(self, simulator: Simulator) -> None:
        self._names = [metric.name for metric in simulator.metrics]
        self._is_log = np.array([metric.low > 0 for metric in simulator.metrics])
        low = np.array([math.log(m.low) if m.low > 0 else m.low for m in simulator.metrics])
        high = np.array([math.log(m.high) if m.low > 0 else m.high for m in simulator.metrics])
        self._low, self._width = low, high - low
        self.size = len(self._names) + 1

    def observe(self, trial: Trial | None) -> npt.NDArray[np.float32]:
        """Return the observation after a trial, or before any; shape (size,), within [0, 1]."""
        observation = np.zeros(self.size, np.float32)
        if trial is not None and trial.status is Status.OK:
            metrics = trial.metrics
            values = np.array([metrics[name] for name in self._names])
            np.log(values, out=values, where=self._is_log)
            values -= self._low
            values /= self._width
            # The evaluator admits values within the bounds only; this removes rounding errors.
            np.maximum(values, 0.0, out=values)
            np.minimum(values, 1.0, out=values)
            observation[:-1] = values
            observation[-1] = 1.0
        return observation


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Batch infos as Gymnasium's vector environments do.

    Args:
        rows: One info for each sub-environment.

    Returns:
        For each name that some row has, an array with the values (0, False or None in the rows
        without it) and, under the name with an underscore before it, the mask of the rows with
        it. Where the values are dictionaries, the result has a dictionary of columns.
    """
    columns: dict[str, Any] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        present = [name in row for row in rows]
        values = [row[name] for row in rows if name in row]
        mask = np.array(present, np.bool_)
        if isinstance(values[0], dict):
            columns[name] = _columns([row.get(name, {}) for row in rows])
        else:
            kind = type(values[0])
            if kind in (int, float, bool):
                column = np.zeros(len(rows), dtype=kind)
            else:
                column = np.full(len(rows), None, dtype=object)
            column[mask] = values
            columns[name] = column
        columns[f"_{name}"] = mask
    return columns


def _require_one_of(name: str, value: object, known: Sequence[str]) -> None:
    if not isinstance(value, str) or value not in known:
        raise ConfigError(f"unknown {name} {value!r}.{did_you_mean(str(value), known)}")


def problem_arguments(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return those arguments of an environment on which the metrics of a design depend.

    Args:
        kwargs: Arguments of an environment.

    Examples:
        >>> problem_arguments({"workload": "cloud", "objective": "minimize:energy_pj"})
        {'workload': 'cloud'}
    """
    return {name: value for name, value in kwargs.items() if name not in INTERFACE_ARGUMENTS}


def refuse_options(options: Mapping[str, Any] | None) -> None:
    """Raise if `reset` was given an option: our environments have none.

    Args:
        options: What `reset` was given.

    Raises:
        ConfigError: If there is one.
    """
    if options:
        raise ConfigError(
            f"reset takes no options, got {', '.join(map(repr, options))}. Arguments of the "
            f"environment are given to gymnasium.make."
        )
