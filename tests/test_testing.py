"""The conformance suites find what they are meant to find."""

import itertools
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from archgym_py.agents.random_search import RandomSearch
from archgym_py.environment import DesignEnv, DesignVectorEnv
from archgym_py.envs.toy import ToyEnv
from archgym_py.errors import InfeasibleDesign, SpaceError
from archgym_py.simulator import Evaluation, Metric, Status
from archgym_py.simulators.toy import TOY_SPACE, ToySimulator
from archgym_py.space import Design, Integer, ParameterSpace, Real
from archgym_py.testing import check_agent, check_env, check_simulator

# ---- simulators --------------------------------------------------------------------------------


class Duplicate(ToySimulator):
    metrics = ToySimulator.metrics[:1] * 2


class Unitless(ToySimulator):
    metrics = (ToySimulator.metrics[0], Metric("delay_ns", "", 100.0, 1e5))


class Tight(ToySimulator):
    metrics = (Metric("cost_usd", "USD", 7.0, 9.0), ToySimulator.metrics[1])


class Undeclared(ToySimulator):
    metrics = ToySimulator.metrics[:1]


class InfeasibleDefault(ToySimulator):
    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        raise InfeasibleDesign("never")


class Crashing(ToySimulator):
    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        if design["unit"] == "systolic":
            raise ZeroDivisionError("by zero")
        return super().evaluate(design, seed=seed)


class Vague(ToySimulator):
    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        if design["unit"] == "systolic":
            return Evaluation({}, Status.INFEASIBLE)
        return super().evaluate(design, seed=seed)


class Changing(ToySimulator):
    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        evaluation = super().evaluate(design, seed=seed)
        design["lanes"] = 1
        return evaluation


class Remembering(ToySimulator):
    def __init__(self) -> None:
        self.count = itertools.count()

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        metrics = dict(super().evaluate(design, seed=seed).metrics)
        metrics["delay_ns"] *= 1 + 1e-6 * next(self.count)
        return Evaluation(metrics)


class ShortBatch(ToySimulator):
    def evaluate_batch(
        self, designs: Sequence[Design], *, seeds: Sequence[int]
    ) -> list[Evaluation]:
        return [self.evaluate(design, seed=0) for design in designs[1:]]


class OtherBatch(ToySimulator):
    def evaluate_batch(
        self, designs: Sequence[Design], *, seeds: Sequence[int]
    ) -> list[Evaluation]:
        return [self.evaluate(design, seed=0) for design in designs[::-1]]


@pytest.mark.parametrize(
    ("simulator", "message"),
    [
        (Duplicate, "declares a metric twice"),
        (Unitless, "'delay_ns' needs a unit"),
        (Tight, r"cost_usd is .* outside its declared bounds \[7.0, 9.0\]"),
        (Undeclared, r"declares the metrics \['cost_usd'\], but reports"),
        (InfeasibleDefault, "the default design is .* infeasible: never"),
        (Crashing, "raises ZeroDivisionError: by zero"),
        (Vague, "does not say why"),
        (Changing, "changes the design"),
        (Remembering, "evaluated again in another order"),
        (ShortBatch, "64 evaluations for 65 designs"),
        (OtherBatch, "evaluate_batch differs from evaluate"),
    ],
)
def test_bad_simulator_is_found(simulator: type[ToySimulator], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_simulator(simulator(), TOY_SPACE)


def test_stochastic_simulator_is_checked_with_equal_seeds() -> None:
    class Noisy(ToySimulator):
        deterministic = False

        def evaluate(self, design: Design, *, seed: int) -> Evaluation:
            metrics = dict(super().evaluate(design, seed=seed).metrics)
            metrics["delay_ns"] *= 1 + 1e-3 * np.random.default_rng(seed).random()
            return Evaluation(metrics)

    check_simulator(Noisy(), TOY_SPACE)


# ---- environments ------------------------------------------------------------------------------


class Timed(ToyEnv):
    """Its infos differ between equal steps."""

    count = itertools.count()

    def step(self, action: Any) -> Any:
        *result, info = super().step(action)
        return *result, {**info, "time": next(self.count)}


class Talkative(ToyEnv):
    """Its infos have an entry more."""

    def step(self, action: Any) -> Any:
        *result, info = super().step(action)
        return *result, {**info, "area": 1.0}


class Escaping(ToyEnv):
    """Its observations leave their space."""

    def step(self, action: Any) -> Any:
        observation, *result = super().step(action)
        return observation + 2, *result


class Clipping(ToyEnv):
    """It accepts actions that are out of range."""

    def step(self, action: Any) -> Any:
        if isinstance(self.action_space, gym.spaces.MultiDiscrete) and np.shape(action) == (6,):
            action = np.clip(np.asarray(action), 0, self.action_space.nvec - 1)
        return super().step(action)


class Truncating(ToyEnv):
    def step(self, action: Any) -> Any:
        observation, reward, _, _, info = super().step(action)
        return observation, reward, False, True, info


class WrongVector(DesignVectorEnv):
    """Its rewards are in the wrong order."""

    def __init__(self, *, num_envs: int = 1, **kwargs: Any) -> None:
        super().__init__(ToyEnv(**kwargs), num_envs)

    def step(self, actions: Any) -> Any:
        observations, rewards, *result = super().step(actions)
        return observations, rewards[::-1], *result


@pytest.fixture
def env_id() -> Iterator[str]:
    yield "Test/Bad-v0"
    gym.registry.pop("Test/Bad-v0", None)


@pytest.mark.parametrize(
    ("env", "vector", "message"),
    [
        (Timed, None, "info are not equ"),
        (Talkative, None, "info has .*'area'"),
        (Escaping, None, "(?i)observation"),
        (Clipping, None, "must raise ActionError, but is accepted"),
        (Truncating, None, "truncates"),
        (gym.make("CartPole-v1").unwrapped.__class__, None, "must derive from DesignEnv"),
        (ToyEnv, WrongVector, "in the vector form and"),
    ],
)
def test_bad_env_is_found(env: Any, vector: Any, message: str, env_id: str) -> None:
    gym.register(env_id, entry_point=env, vector_entry_point=vector)
    # Gymnasium and Stable-Baselines3 report part of this as warnings, which are errors here.
    with pytest.raises((AssertionError, UserWarning), match=message):
        check_env(env_id)


def test_continuous_env_is_checked_with_box_actions(env_id: str) -> None:
    space = ParameterSpace((Real("x", 0.0, 1.0), Integer("n", 1, 3)))

    class Square:
        name = "square"
        version = "1"
        deterministic = True
        metrics = (Metric("cost", "1", 1.0, 4.0),)

        def evaluate(self, design: Design, *, seed: int) -> Evaluation:
            return Evaluation({"cost": 1.0 + float(design["x"]) ** 2})

        def close(self) -> None:
            pass

    class Continuous(DesignEnv):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(space, Square(), "minimize:cost", **{"action": "box", **kwargs})

    gym.register(env_id, entry_point=Continuous)
    check_env(env_id)


# ---- agents ------------------------------------------------------------------------------------


class Lazy(RandomSearch):
    """Leaves some of the budget."""

    def run(self, env: DesignEnv) -> None:
        self.begin(env)
        while (env.evaluator.remaining or 0) > 1:
            env.evaluator.evaluate(self.ask(1)[0])


class Greedy(RandomSearch):
    """Asks for more than is left."""

    def ask(self, n: int) -> list[Design]:
        return super().ask(max(n, 4))


class Illegal(RandomSearch):
    def ask(self, n: int) -> list[Design]:
        return [{"lanes": 3} for _ in range(n)]


class Unseeded(RandomSearch):
    def __init__(self, space: ParameterSpace, **kwargs: Any) -> None:
        super().__init__(space, **kwargs)
        self.rng = np.random.default_rng()


class BatchDependent(RandomSearch):
    """Draws once more for each batch."""

    def ask(self, n: int) -> list[Design]:
        self.rng.random()
        return super().ask(n)


class Optimistic(RandomSearch):
    """Gives up when nothing is feasible."""

    def run(self, env: DesignEnv) -> None:
        self.begin(env)
        while env.evaluator.remaining:
            self.tell(env.evaluator.evaluate_batch(self.ask(1)))
            if env.evaluator.spent > 100 and env.evaluator.best is None:
                return


class Stuck(RandomSearch):
    """Proposes designs of one corner of the space, although its encoding has others."""

    def propose(self) -> Sequence[Design]:
        return self.space.batch(self.rng.random((4, len(self.space.parameters))) / 3).designs


class Narrow(RandomSearch):
    """Reaches three values of each parameter."""

    def express(self, rng: np.random.Generator) -> Design:
        return self.space.from_unit(rng.integers(3, size=len(self.space.parameters)) / 2)


class Seedless(RandomSearch):
    """Ignores its seed."""

    def __init__(self, space: ParameterSpace, *, seed: int, **hyperparameters: Any) -> None:
        super().__init__(space, seed=0, **hyperparameters)


class Meddling(RandomSearch):
    """Seeds the generator that the whole process shares."""

    def propose(self) -> Sequence[Design]:
        np.random.seed(int(self.rng.integers(100)))  # noqa: NPY002
        return super().propose()


class Curt(RandomSearch):
    """Refuses a continuum without a remedy."""

    def __init__(self, space: ParameterSpace, *, seed: int, **hyperparameters: Any) -> None:
        if space.size == float("inf"):
            raise SpaceError("no")
        super().__init__(space, seed=seed, **hyperparameters)


class Tolerant(RandomSearch):
    """Accepts any hyperparameter."""

    def __init__(self, space: ParameterSpace, *, seed: int, **hyperparameters: Any) -> None:
        super().__init__(space, seed=seed)


class Endless(RandomSearch):
    """Runs without a budget."""

    def run(self, env: DesignEnv) -> None:
        for _ in range(env.evaluator.remaining or 10):
            env.evaluator.evaluate(self.ask(1)[0])


@pytest.mark.parametrize(
    ("agent", "message"),
    [
        (Tolerant, "an unknown hyperparameter must raise ConfigError"),
        (Endless, "an environment without a budget must raise ConfigError"),
        (Lazy, "returns after 0 of 1 designs"),
        (Greedy, "with a budget of 1: "),
        (Illegal, "with a budget of 1: "),
        (Unseeded, "other samples in a second run"),
        (BatchDependent, "asked for 1 at a time it gives other samples"),
        (Optimistic, "returns after 101 of 150 designs"),
        (Narrow, r"its encoding gives choice = 'b' in 0 of 4000 designs; each of the 5 values"),
        (Seedless, "another seed gives the same samples"),
        (Meddling, "changes a global random state"),
        (Curt, "refuses a continuous parameter with 'no', which must name"),
        (Stuck, r"reaches a reward of .* on the toy in 300 designs"),
    ],
)
def test_bad_agent_is_found(agent: type[RandomSearch], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_agent(agent)


def test_agent_that_depends_on_its_process_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
        import os
        import numpy as np
        from archgym_py.agents.random_search import RandomSearch

        class ByProcess(RandomSearch):
            def __init__(self, space, *, seed, **hyperparameters):
                super().__init__(space, seed=seed, **hyperparameters)
                self.rng = np.random.default_rng((seed, os.getpid()))
        """
    (tmp_path / "agent_by_process.py").write_text(textwrap.dedent(source))
    monkeypatch.syspath_prepend(tmp_path)
    __import__("agent_by_process")
    with pytest.raises(AssertionError, match="other samples in a new process"):
        check_agent(sys.modules["agent_by_process"].ByProcess)


def test_hyperparameters_reach_the_agent() -> None:
    check_agent("genetic", population_size=8, elites=2, crossover="two_point")
