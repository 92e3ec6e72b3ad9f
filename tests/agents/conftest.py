"""What tests of agents share: searches on a cost that is a function of the design."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import pytest

from archgym_py.agent import Agent, AskTellAgent
from archgym_py.environment import DesignEnv
from archgym_py.errors import InfeasibleDesign
from archgym_py.evaluator import MemoryRecorder, Trial
from archgym_py.simulator import Evaluation, Metric, Status
from archgym_py.space import Design

Cost = Callable[[Design], float | tuple[float, float]]


class Search(Protocol):
    def __call__(self, agent: Agent, cost: Cost, budget: int) -> list[Trial]: ...


class Tell(Protocol):
    def __call__(
        self, agent: AskTellAgent, reward: Callable[[Design], float | None]
    ) -> list[Design]: ...


class _Simulator:
    """Has one metric, "a", or a second one, "b"; an infinite cost stands for infeasible."""

    name = "cost"
    version = "1"
    deterministic = True

    def __init__(self, cost: Cost, goals: int) -> None:
        self._cost = cost
        self.metrics = tuple(Metric(name, "1", 1e-6, 1e6) for name in "ab"[:goals])
        self.calls = 0

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        self.calls += 1
        cost = self._cost(design)
        costs = cost if isinstance(cost, tuple) else (cost,)
        if float("inf") in costs:
            raise InfeasibleDesign("too much")
        return Evaluation(dict(zip("ab", costs, strict=False)))

    def close(self) -> None:
        pass


@pytest.fixture
def search() -> Search:
    """Run an agent; return the trials."""

    def run(agent: Agent, cost: Cost, budget: int) -> list[Trial]:
        goals = 2 if isinstance(cost(agent.space.default()), tuple) else 1
        objective = "minimize:a" if goals == 1 else "pareto:a,b"
        simulator = _Simulator(cost, goals)
        baseline = dict.fromkeys("ab"[:goals], 1.0)
        env = DesignEnv(agent.space, simulator, objective, action="box", baseline=baseline)
        memory = MemoryRecorder()
        env.new_evaluator(budget=budget, recorder=memory)
        agent.run(env)
        # Every sample is one call of the simulator, or none where the design is known.
        assert simulator.calls <= len(memory.trials) == budget
        return memory.trials

    return run


@pytest.fixture
def tell() -> Tell:
    """Ask for a batch and tell made-up rewards, None for a failure; return the designs."""

    def batch(agent: AskTellAgent, reward: Callable[[Design], float | None]) -> list[Design]:
        designs = agent.ask(1000)
        trials = []
        for index, design in enumerate(designs):
            given = reward(design)
            status = Status.CRASHED if given is None else Status.OK
            value = -1e9 if given is None else given
            trials.append(Trial(index, design, "", status, "", {}, value, (value,), False, 0.0, 0))
        agent.tell(trials)
        return designs

    return batch
