"""Conformance suites: what every simulator, environment and agent must do.

Whoever adds one calls the function for it from a test; a failed check raises an `AssertionError`
that says what was expected and what happened. The library's own tests call them for everything in
its tables.

    >>> from archgym_py.simulators.toy import TOY_SPACE, ToySimulator
    >>> check_simulator(ToySimulator(), TOY_SPACE)
"""

from __future__ import annotations

import json
import math
import random
import sys
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import gymnasium as gym
import numpy as np
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode

from archgym_py.agent import Agent, AskTellAgent, sample_feasible
from archgym_py.environment import DesignEnv, DesignVectorEnv, SequentialDesignEnv
from archgym_py.errors import (
    ActionError,
    BudgetExhausted,
    ConfigError,
    DesignError,
    InfeasibleDesign,
    SimulatorError,
    SpaceError,
)
from archgym_py.evaluator import MemoryRecorder, Trial
from archgym_py.registry import AGENTS
from archgym_py.simulator import BatchSimulator, Evaluation, Metric, Simulator, Status
from archgym_py.space import Choice, Design, Integer, Ordinal, ParameterSpace, Real, Value
from archgym_py.testing_control import check_control_env
from archgym_py.testing_parts import (
    bad_actions,
    check_api,
    in_new_process,
    raises,
    require,
    same_spaces,
)

__all__ = ["check_agent", "check_control_env", "check_env", "check_simulator"]

TOY_ENV = "archgym_py:ArchGym/Toy-v0"
"""The environment that agents are checked on; its simulator knows its optimum."""

TOY_BUDGET = 300
"""Designs an agent may propose to get at least halfway to the toy's optimum."""


# ---- simulators --------------------------------------------------------------------------------


def check_simulator(
    simulator: Simulator, space: ParameterSpace, *, samples: int = 64, seed: int = 0
) -> None:
    """Check a simulator on random designs of its space, and close it.

    Checks that metrics are declared once each, with a unit; that the default design is feasible;
    that the designs are evaluated without a crash, with the declared metrics within their bounds;
    that equal designs and seeds give equal metrics in any order; that designs are left unchanged;
    that `evaluate_batch` agrees with `evaluate`; and that it can be closed twice.

    Args:
        simulator: The simulator.
        space: The designs it evaluates.
        samples: Number of random designs.
        seed: Seed of the designs.

    Raises:
        AssertionError: If a check fails.
    """
    who = f"simulator {simulator.name!r}"
    require(bool(simulator.name and simulator.version), f"{who} needs a name and a version.")
    names = [metric.name for metric in simulator.metrics]
    require(bool(names), f"{who} declares no metric.")
    require(len(set(names)) == len(names), f"{who} declares a metric twice: {names}.")
    for metric in simulator.metrics:
        require(bool(metric.unit), f"{who}: metric {metric.name!r} needs a unit, '1' for counts.")

    rng = np.random.default_rng(seed)
    designs = [space.default()]
    drawn = sample_feasible(space, rng, samples)
    designs += [d for d, feasible in zip(drawn.designs, drawn.feasible, strict=True) if feasible]
    seeds = [
        0 if simulator.deterministic else int(s) for s in rng.integers(2**31, size=len(designs))
    ]
    first = [_evaluate(simulator, d, s) for d, s in zip(designs, seeds, strict=True)]
    default = first[0]
    require(
        default.status is Status.OK,
        f"{who}: the default design is the baseline and must be feasible, but it is "
        f"{default.status}: {default.message}",
    )
    for design, evaluation in zip(designs, first, strict=True):
        _check_evaluation(who, simulator.metrics, design, evaluation)
    for index in reversed(range(len(designs))):
        again = _evaluate(simulator, designs[index], seeds[index])
        _require_same(
            f"{who}: evaluated again in another order", designs[index], first[index], again
        )
    if isinstance(simulator, BatchSimulator):
        batch = simulator.evaluate_batch([dict(design) for design in designs], seeds=seeds)
        require(
            len(batch) == len(designs),
            f"{who}: evaluate_batch gives {len(batch)} evaluations for {len(designs)} designs.",
        )
        for design, one, other in zip(designs, first, batch, strict=True):
            _require_same(f"{who}: evaluate_batch differs from evaluate", design, one, other)
    simulator.close()
    simulator.close()


def _evaluate(simulator: Simulator, design: Design, seed: int) -> Evaluation:
    """Evaluate a design; the failures that a simulator may signal become evaluations."""
    given = dict(design)
    try:
        evaluation = simulator.evaluate(given, seed=seed)
    except SimulatorError as error:
        status = Status.INFEASIBLE if isinstance(error, InfeasibleDesign) else Status.CRASHED
        evaluation = Evaluation({}, status, str(error))
    except Exception as error:
        raise AssertionError(
            f"simulator {simulator.name!r} raises {type(error).__name__}: {error} on {design}. "
            f"Raise a SimulatorError where a design cannot be evaluated."
        ) from error
    require(given == design, f"simulator {simulator.name!r} changes the design {design}.")
    return evaluation


def _check_evaluation(
    who: str, metrics: Sequence[Metric], design: Design, evaluation: Evaluation
) -> None:
    require(
        evaluation.status is not Status.CRASHED,
        f"{who} crashes on {design}: {evaluation.message}",
    )
    if evaluation.status is not Status.OK:
        require(bool(evaluation.message), f"{who} does not say why {design} failed.")
        return
    declared = {metric.name for metric in metrics}
    require(
        set(evaluation.metrics) == declared,
        f"{who} declares the metrics {sorted(declared)}, but reports "
        f"{sorted(evaluation.metrics)} for {design}.",
    )
    for metric in metrics:
        value = evaluation.metrics[metric.name]
        require(
            metric.low <= value <= metric.high,
            f"{who}: {metric.name} is {value} for {design}, outside its declared bounds "
            f"[{metric.low}, {metric.high}].",
        )


def _require_same(what: str, design: Design, one: Evaluation, other: Evaluation) -> None:
    require(
        one.status is other.status and dict(one.metrics) == dict(other.metrics),
        f"{what}: {design} gives {one} and then {other}.",
    )


# ---- environments ------------------------------------------------------------------------------


def check_env(env_id: str, **kwargs: Any) -> None:
    """Check a registered environment with every kind of action that it has.

    Runs Gymnasium's `check_env`, and Stable-Baselines3's where it is installed, with warnings
    turned into errors. Checks that two environments answer the same actions alike, that
    observations, rewards and infos are what `DesignEnv` documents, that a failure's reward is
    below every feasible one, that illegal actions raise `ActionError` and count for nothing, and
    that the vector form, where there is one, agrees with single environments.

    Args:
        env_id: Gymnasium id of an environment that derives from `DesignEnv`; "module:id" imports
            the module first.
        **kwargs: Arguments of the environment other than `action`.

    Raises:
        AssertionError: If a check fails.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gym.make(env_id, **kwargs).unwrapped
        spec = gym.spec(env_id.rpartition(":")[2])  # making it has imported its module
        require(isinstance(env, DesignEnv), f"{env_id} must derive from DesignEnv.")
        space, actions = cast(DesignEnv, env).space, cast(DesignEnv, env).actions
        env.close()
        for action in actions:
            if action != "box" and math.isinf(space.size):
                with raises(SpaceError, f"{env_id}: action={action!r} in a continuous space"):
                    gym.make(env_id, action=action, **kwargs)
                continue
            check_api(partial(_make, env_id, {**kwargs, "action": action}))
            _check_rollout(env_id, {**kwargs, "action": action})
            _check_bad_actions(env_id, {**kwargs, "action": action})
            if spec.vector_entry_point is not None:
                _check_vector(env_id, {**kwargs, "action": action})
        with raises(ConfigError, f"{env_id}: action='nonsense'"):
            gym.make(env_id, action="nonsense", **kwargs)


def _make(env_id: str, kwargs: Mapping[str, Any]) -> DesignEnv:
    return cast(DesignEnv, gym.make(env_id, **kwargs).unwrapped)


def _check_rollout(env_id: str, kwargs: Mapping[str, Any], designs: int = 16) -> None:
    """Step two environments through the same designs and check everything they return."""
    one, other = _make(env_id, kwargs), _make(env_id, kwargs)
    one.action_space.seed(0)
    steps = len(one.space.parameters) if isinstance(one, SequentialDesignEnv) else 1
    for _ in range(designs):
        require(
            data_equivalence(one.reset(seed=0), other.reset(seed=0), exact=True),
            f"{env_id}: two resets with the same seed differ.",
        )
        for step in range(1, steps + 1):
            action = one.action_space.sample()
            result, twin = one.step(action), other.step(action)
            require(
                data_equivalence(result, twin, exact=True),
                f"{env_id}: the action {action} gives {result} in one environment and {twin} in "
                f"another.",
            )
            observation, reward, terminated, truncated, info = result
            require(
                observation in one.observation_space,
                f"{env_id}: {observation} is not in {one.observation_space}.",
            )
            require(not truncated, f"{env_id} truncates; the end of a design is `terminated`.")
            require(
                terminated is (step == steps),
                f"{env_id}: terminated is {terminated} after {step} of {steps} steps.",
            )
        _check_outcome(env_id, one, reward, info)
    one.close()
    other.close()


def _check_outcome(env_id: str, env: DesignEnv, reward: float, info: Mapping[str, Any]) -> None:
    expected = ["design", "key", "status", "message", "metrics"]
    require(list(info) == expected, f"{env_id}: info has {list(info)}, expected {expected}.")
    env.space.validate(info["design"])
    require(
        info["key"] == env.space.key(info["design"]),
        f"{env_id}: info has the key of another design.",
    )
    objective = env.objective
    if Status(info["status"]) is Status.OK:
        require(
            list(info["metrics"]) == [metric.name for metric in env.simulator.metrics],
            f"{env_id}: info has the metrics {list(info['metrics'])}.",
        )
        require(
            objective.failure_reward < objective.reward_low <= reward <= objective.reward_high,
            f"{env_id}: reward {reward} is outside "
            f"[{objective.reward_low}, {objective.reward_high}].",
        )
    else:
        require(bool(info["message"]), f"{env_id}: {info['status']} without a message.")
        require(
            reward == objective.failure_reward and not info["metrics"],
            f"{env_id}: a failure has the reward {reward} and the metrics {info['metrics']}.",
        )


def _check_bad_actions(env_id: str, kwargs: Mapping[str, Any]) -> None:
    env = _make(env_id, kwargs)
    env.reset(seed=0)
    spent = env.evaluator.spent
    for action in bad_actions(env.action_space):
        with raises(ActionError, f"{env_id}: the action {action!r}"):
            env.step(action)
        require(env.evaluator.spent == spent, f"{env_id} counts the illegal action {action!r}.")
    env.close()


def _check_vector(env_id: str, kwargs: Mapping[str, Any], num_envs: int = 4) -> None:
    """Compare the vector form with Gymnasium's own vector environment of single ones."""
    batched = gym.make_vec(env_id, num_envs=num_envs, **kwargs)
    single = gym.make_vec(
        env_id,
        num_envs=num_envs,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
        **kwargs,
    )
    require(
        isinstance(batched, DesignVectorEnv),
        f"{env_id}: the vector form must derive from DesignVectorEnv.",
    )
    batched = cast(DesignVectorEnv, batched)
    require(
        batched.metadata.get("autoreset_mode") is AutoresetMode.SAME_STEP,
        f"{env_id}: the autoreset mode of the vector form must be SAME_STEP; any other wastes "
        f"every second action.",
    )
    same_spaces(env_id, batched, single)
    require(
        data_equivalence(batched.reset(seed=0), single.reset(seed=0), exact=True),
        f"{env_id}: reset of the vector form differs from single environments.",
    )
    batched.action_space.seed(0)
    steps = 4
    for _ in range(steps):
        actions = batched.action_space.sample()
        one, other = batched.step(actions), single.step(actions)
        require(
            data_equivalence(one, other, exact=True),
            f"{env_id}: the actions {actions} give {one} in the vector form and {other} in single "
            f"environments.",
        )
    require(
        batched.evaluator.spent == steps * num_envs,
        f"{env_id}: {steps} steps of {num_envs} designs count as {batched.evaluator.spent}.",
    )
    with raises(ActionError, f"{env_id}: {num_envs - 1} actions for {num_envs} environments"):
        batched.step(actions[:-1])
    batched.close()
    single.close()


# ---- agents ------------------------------------------------------------------------------------


def check_agent(agent: str | type[Agent], **hyperparameters: Value) -> None:
    """Check an agent on the toy environment and on spaces and simulators that are awkward.

    Checks that it spends its budget exactly, also one smaller than a batch, on legal designs only;
    that its encoding reaches every value of every parameter; that equal seeds give equal samples,
    in a spawned process with another number of threads too and, for an ask/tell agent, however the
    batches are cut; that a run resumed from a history continues to the same samples; that it
    leaves the global random states alone; that it survives a simulator that rejects 30 % of the
    designs and one that always crashes, more than one objective, a sequential environment, a space
    of one design and a continuous space (or refuses that with a `SpaceError` that names the
    parameter and what can be searched); that it refuses an unknown hyperparameter and an
    environment without a budget; and that it gets at least halfway from the default design to the
    toy's optimum in 300 designs.

    Args:
        agent: A registered name, or a class that can be imported.
        **hyperparameters: Hyperparameters to check it with; those left out take their defaults,
            options take the agent's `example`.

    Raises:
        AssertionError: If a check fails.
    """
    cls: type[Agent] = AGENTS.load(agent) if isinstance(agent, str) else agent
    who = f"agent {cls.name!r}"
    if isinstance(agent, str):
        require(cls.name == agent, f"{who} is registered as {agent!r}.")
    require(bool(cls.doc), f"{who} needs a line of documentation in `doc`.")

    arguments = {**cls.example, **hyperparameters}

    def make(space: ParameterSpace, seed: int = 0) -> Agent:
        return cls(space, seed=seed, **arguments)

    _check_refusals(who, cls, make, arguments)
    _check_encoding(who, make)
    toy = _make(TOY_ENV, {})
    for budget in (1, 7, 150):
        _search(who, make, toy, budget)
    _check_samples(who, make, toy)
    _check_resume(who, make, toy)
    _check_failures(who, make, toy)
    _check_other_forms(who, make)
    _check_awkward_spaces(who, make)
    _check_toy_solved(who, make, toy)
    _check_new_process(who, cls, make, toy, arguments)


_Maker = Callable[..., Agent]


def _search(
    who: str,
    make: _Maker,
    env: DesignEnv,
    budget: int,
    *,
    seed: int = 0,
    history: Sequence[Trial] = (),
) -> list[Trial]:
    """Run an agent, check that it spends its budget, and return the trials that are new."""
    memory = MemoryRecorder()
    evaluator = env.new_evaluator(budget=budget, seed=seed, recorder=memory, history=history)
    try:
        make(env.space, seed).run(env)
    except (BudgetExhausted, DesignError) as error:
        raise AssertionError(f"{who} with a budget of {budget}: {error}") from error
    require(
        evaluator.spent == budget,
        f"{who} returns after {evaluator.spent} of {budget} designs.",
    )
    return memory.trials


def _keys(trials: Sequence[Trial]) -> list[str]:
    return [trial.key for trial in trials]


def _check_refusals(
    who: str, cls: type[Agent], make: _Maker, arguments: Mapping[str, Value]
) -> None:
    toy = _make(TOY_ENV, {})
    with raises(ConfigError, f"{who}: an unknown hyperparameter"):
        cls(toy.space, seed=0, no_such_hyperparameter=1, **arguments)
    with raises(ConfigError, f"{who}: an environment without a budget"):
        make(toy.space).run(toy)


_REACHABLE = ParameterSpace(
    (
        Choice("choice", ("a", "b", "c", "d", "e")),
        Ordinal("ordinal", (1, 2, 8)),
        Integer("integer", -3, 24),
        Real("grid", 0.1, 10.0, levels=7, log=True),
        Choice("flag", (False, True)),
        Integer("single", 5, 5),
        Integer("inner", 0, 9, active_when={"flag": (True,)}),
    )
)
"""Finite parameters of every kind and of many sizes."""


def _check_encoding(who: str, make: _Maker, draws: int = 4000) -> None:
    """Draw from the agent's encoding: no value of a parameter may be out of its reach."""
    agent, rng = make(_REACHABLE), np.random.default_rng(0)
    designs = [_REACHABLE.canonical(agent.express(rng)) for _ in range(draws)]
    for parameter in _REACHABLE.parameters:
        counts = Counter(design[parameter.name] for design in designs)
        size = cast(int, parameter.cardinality)
        for value in map(parameter.value_at, range(size)):
            # A quarter of its fair share would be chance in less than one case of a million.
            require(
                counts[value] >= draws / size / 2 / 4,
                f"{who}: its encoding gives {parameter.name} = {value!r} in {counts[value]} of "
                f"{draws} designs; each of the {size} values must be about as likely.",
            )


def _check_other_forms(who: str, make: _Maker, budget: int = 40) -> None:
    """Search the toy parameter by parameter, by continuous actions, and with two objectives."""
    for env_id, kwargs in (
        ("archgym_py:ArchGym/ToySequential-v0", {}),
        (TOY_ENV, {"action": "box"}),
        (TOY_ENV, {"objective": "pareto:delay_ns,cost_usd"}),
    ):
        _search(f"{who} on {env_id} {kwargs}", make, _make(env_id, kwargs), budget)


def _check_samples(who: str, make: _Maker, env: DesignEnv, budget: int = 100) -> None:
    states = _global_random_states()
    expected = _keys(_search(who, make, env, budget))
    require(
        _global_random_states() == states,
        f"{who} changes a global random state: seed a generator of its own, or restore it.",
    )
    again = _keys(_search(who, make, env, budget))
    require(again == expected, f"{who}: the same seed gives other samples in a second run.")
    other = _keys(_search(who, make, env, budget, seed=1))
    require(other != expected, f"{who}: another seed gives the same samples.")
    if isinstance(make(env.space), AskTellAgent):
        for size in (1, 5):
            cut = _cut_keys(who, cast(AskTellAgent, make(env.space)), env, budget, size)
            require(cut == expected, f"{who}: asked for {size} at a time it gives other samples.")


def _global_random_states() -> list[bytes]:
    """Return the states of the generators that a whole process shares."""
    states = [repr(random.getstate()).encode(), repr(np.random.get_state()).encode()]  # noqa: NPY002
    if torch := sys.modules.get("torch"):
        states.append(torch.get_rng_state().numpy().tobytes())
    return states


def _check_new_process(
    who: str,
    cls: type[Agent],
    make: _Maker,
    env: DesignEnv,
    hyperparameters: Mapping[str, Value],
    budget: int = 100,
) -> None:
    expected = _keys(_search(who, make, env, budget))
    spawned = in_new_process(_spawned_keys, cls, dict(hyperparameters), budget)
    require(spawned == expected, f"{who}: the same seed gives other samples in a new process.")


def _spawned_keys(cls: type[Agent], hyperparameters: dict[str, Value], budget: int) -> list[str]:
    """Return the keys of a run; called in a new process."""

    def make(space: ParameterSpace, seed: int) -> Agent:
        return cls(space, seed=seed, **hyperparameters)

    return _keys(_search(f"agent {cls.name!r}", make, _make(TOY_ENV, {}), budget))


def _cut_keys(who: str, agent: AskTellAgent, env: DesignEnv, budget: int, size: int) -> list[str]:
    evaluator = env.new_evaluator(budget=budget)
    keys: list[str] = []
    while remaining := evaluator.remaining:
        wanted = min(size, remaining)
        designs = agent.ask(wanted)
        require(1 <= len(designs) <= wanted, f"{who}: ask({wanted}) gives {len(designs)} designs.")
        trials = evaluator.evaluate_batch(designs)
        agent.tell(trials)
        keys += _keys(trials)
    return keys


def _check_resume(who: str, make: _Maker, env: DesignEnv, budget: int = 100) -> None:
    whole = _search(who, make, env, budget)
    for done in (1, 50, 99, budget):
        rest = _search(who, make, env, budget, history=whole[:done])
        require(
            _keys(rest) == _keys(whole[done:]),
            f"{who}: resumed after {done} designs it continues to other samples.",
        )


class _Unreliable:
    """A simulator that raises an error on a fixed share of its designs."""

    name = "unreliable"
    version = "1"
    deterministic = True

    def __init__(self, simulator: Simulator, share: float, error: type[Exception]) -> None:
        self._simulator, self._share, self._error = simulator, share, error
        self.metrics = simulator.metrics

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        digest = zlib.crc32(json.dumps(design, sort_keys=True).encode())
        if digest / 2**32 < self._share:
            raise self._error("this design always fails")
        return self._simulator.evaluate(design, seed=seed)

    def close(self) -> None:
        self._simulator.close()


def _check_failures(who: str, make: _Maker, toy: DesignEnv, budget: int = 150) -> None:
    def env(share: float, error: type[Exception]) -> DesignEnv:
        simulator = _Unreliable(toy.simulator, share, error)
        return DesignEnv(toy.space, simulator, toy.objective.name, baseline=toy.baseline)

    trials = _search(who, make, env(0.3, InfeasibleDesign), budget)
    require(
        any(trial.status is Status.OK for trial in trials),
        f"{who} finds no feasible design where 30 % fail.",
    )
    trials = _search(who, make, env(1.0, RuntimeError), budget)
    require(
        all(trial.status is not Status.OK for trial in trials),
        f"{who}: a simulator that always crashes gave a feasible trial.",
    )


class _Distance:
    """A simulator for any space: the mean position of a design's values in [0, 1]."""

    name = "distance"
    version = "1"
    deterministic = True
    metrics = (Metric("distance", "1", 0.5, 2.0),)

    def __init__(self, space: ParameterSpace) -> None:
        self._space = space

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        return Evaluation({"distance": 0.5 + float(self._space.to_unit(design).mean())})

    def close(self) -> None:
        pass


def _check_awkward_spaces(who: str, make: _Maker, budget: int = 60) -> None:
    def env(space: ParameterSpace) -> DesignEnv:
        action = "box" if math.isinf(space.size) else "multidiscrete"
        return DesignEnv(space, _Distance(space), "minimize:distance", action=action)

    _search(who, make, env(ParameterSpace((Choice("only", ("this",)),))), budget)
    continuous = ParameterSpace(
        (Real("x", -1.0, 1.0), Real("y", 1e-3, 1e3, log=True), Integer("n", 0, 1))
    )
    try:
        make(continuous)
    except SpaceError as error:
        # An agent may be unable to search a continuum, if it says so.
        for word in ("'x'", "levels"):
            require(
                word in str(error),
                f"{who} refuses a continuous parameter with {str(error)!r}, which must name the "
                f"parameter and the remedy (levels=N).",
            )
        return
    _search(who, make, env(continuous), budget)


def _check_toy_solved(who: str, make: _Maker, toy: DesignEnv) -> None:
    optimum = cast(Any, toy.simulator).optimum
    goal = toy.new_evaluator().evaluate(optimum).reward / 2  # the default design's reward is 0
    for seed in range(3):
        trials = _search(who, make, toy, TOY_BUDGET, seed=seed)
        best = max(trial.reward for trial in trials)
        require(
            best >= goal,
            f"{who} with seed {seed} reaches a reward of {best:.3f} on the toy in {TOY_BUDGET} "
            f"designs, less than {goal:.3f}, which is halfway from the default to the optimum.",
        )
