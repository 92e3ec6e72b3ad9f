"""The example program: short, correct by itself, and better than chance."""

from __future__ import annotations

import json
import shlex
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from archgym_py.agent import Agent
from archgym_py.agents import external
from archgym_py.agents.external import External
from archgym_py.agents.random_search import RandomSearch
from archgym_py.environment import DesignEnv
from archgym_py.evaluator import MemoryRecorder
from archgym_py.runner import make_env
from archgym_py.simulator import Evaluation, Metric
from archgym_py.simulators.toy import ToySimulator
from archgym_py.space import Design, Integer, ParameterSpace, Real

MODULE = "archgym_py.agents.external_example"


def test_it_fits_on_a_page() -> None:
    source = Path(external.__file__).with_name("external_example.py").read_text().splitlines()
    code = [line for line in source if line.strip()][1:]  # the first one is the docstring
    assert len(code) <= 20
    assert max(map(len, source)) <= 100


def test_the_agent_is_tested_with_it() -> None:
    command = External.example["command"]
    assert isinstance(command, str)
    assert shlex.split(command) == [sys.executable, "-m", MODULE]


# ---- by itself -----------------------------------------------------------------------------------

PARAMETERS: list[dict[str, Any]] = [
    {"name": "choice", "kind": "choice", "values": ["a", "b", "c"]},
    {"name": "integer", "kind": "integer", "low": -3, "high": 3},
    {"name": "real", "kind": "real", "low": 0.5, "high": 0.75, "log": False},
]


class Conversation:
    """The example in a process, spoken to line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def tell(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def read(self) -> dict[str, Any]:
        """Return the one design of its next answer."""
        assert self._process.stdout is not None
        answer = json.loads(self._process.stdout.readline())
        assert list(answer) == ["designs"]
        [design] = answer["designs"]
        assert isinstance(design, dict)
        return design


@contextmanager
def conversation(seed: int) -> Iterator[Conversation]:
    with subprocess.Popen(
        [sys.executable, "-m", MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        talk = Conversation(process)
        try:
            talk.tell({"type": "start", "seed": seed, "space": {"parameters": PARAMETERS}})
            yield talk
            talk.tell({"type": "end", "best": None})
            rest, notes = process.communicate(timeout=10)
        finally:
            process.kill()
        assert (rest, notes, process.returncode) == ("", "", 0)


def told(design: Mapping[str, Any], reward: float) -> dict[str, Any]:
    return {"type": "trials", "trials": [{"design": design, "reward": reward}], "remaining": 9}


def test_it_mutates_the_best_design() -> None:
    best: dict[str, Any] = {"choice": "b", "integer": 1, "real": 0.6}
    designs, changed = [], []
    with conversation(seed=0) as talk:
        designs.append(talk.read())
        talk.tell(told(best, 5.0))
        for _ in range(300):
            designs.append(talk.read())
            changed.append([designs[-1][name] != best[name] for name in best])
            talk.tell(told(designs[-1], 4.0))  # worse: the best design stays
        talk.read()
        last = {"choice": "c", "integer": -2, "real": 0.7}
        talk.tell(told(last, 6.0))
        designs.append(talk.read())
        assert sum(designs[-1][name] == last[name] for name in last) >= 1
    for design in designs:
        assert list(design) == [p["name"] for p in PARAMETERS]
        assert design["choice"] in ("a", "b", "c")
        assert type(design["integer"]) is int
        assert -3 <= design["integer"] <= 3
        assert 0.5 <= design["real"] <= 0.75
    shares = [sum(column) / len(changed) for column in zip(*changed, strict=True)]
    # A quarter is drawn anew; some of that is the value that it was.
    for share, expected in zip(shares, (1 / 4 * 2 / 3, 1 / 4 * 6 / 7, 1 / 4), strict=True):
        assert abs(share - expected) < 0.1
    assert {design["choice"] for design in designs} == {"a", "b", "c"}
    assert {design["integer"] for design in designs} == set(range(-3, 4))


def test_it_is_seeded() -> None:
    def first(seed: int) -> dict[str, Any]:
        with conversation(seed) as talk:
            return talk.read()

    assert first(1) == first(1) != first(2)


# ---- as an agent ---------------------------------------------------------------------------------


def best_rewards(cls: type[Agent], budget: int) -> list[float]:
    rewards = []
    for seed in range(6):
        env = make_env("ArchGym/Toy-v0")
        evaluator = env.new_evaluator(budget=budget)
        cls(env.space, seed=seed, **cls.example).run(env)
        assert evaluator.best is not None
        rewards.append(evaluator.best.reward)
    return rewards


def test_it_solves_the_toy() -> None:
    optimum = make_env("ArchGym/Toy-v0").evaluator.evaluate(ToySimulator.optimum).reward
    rewards = best_rewards(External, 400)
    assert statistics.median(rewards) > 0.95 * optimum
    assert statistics.median(rewards) > statistics.median(best_rewards(RandomSearch, 400))


class Bowl:
    name = "bowl"
    version = "1"
    deterministic = True
    metrics = (Metric("cost", "1", 1e-6, 1e6),)

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        count, share = float(design["count"]), float(design["share"])
        return Evaluation({"cost": 1e-3 + abs(count - 700.0) / 1e3 + abs(share - 0.2)})

    def close(self) -> None:
        pass


def test_it_searches_continuous_parameters() -> None:
    space = ParameterSpace((Integer("count", 0, 1000), Real("share", 0.0, 1.0)))
    env, memory = DesignEnv(space, Bowl(), "minimize:cost", action="box"), MemoryRecorder()
    evaluator = env.new_evaluator(budget=400, recorder=memory)
    External(space, seed=0, **External.example).run(env)
    assert evaluator.best is not None
    assert evaluator.best.metrics["cost"] < 0.05
    assert len({trial.design["share"] for trial in memory.trials}) > 50
