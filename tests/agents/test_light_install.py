"""The light install lists all agents, runs what needs no library, and says what is missing."""

import json
import subprocess
import sys
import textwrap

LIGHT = {
    "ant_colony",
    "external",
    "genetic",
    "grid",
    "local_search",
    "random_search",
    "simulated_annealing",
}

PROGRAM = """
import json
import sys

for name in (
    "cmaes", "lightgbm", "matplotlib", "minari", "moocore", "optuna", "pettingzoo", "safetensors",
    "scipy", "sklearn", "stable_baselines3", "tensorboard", "torch",
):
    sys.modules[name] = None  # importing it fails as if it were not installed

from archgym_py.cli import main
from archgym_py.errors import ConfigError
from archgym_py.registry import AGENTS
from archgym_py.runner import make_env

assert main(["list", "agents", "--verbose"]) == main(["list", "proxies", "--verbose"]) == 0
results = {}
for name in AGENTS.names():
    env = make_env("ArchGym/Toy-v0")
    env.new_evaluator(budget=3)
    try:
        agent_class = AGENTS.load(name)
        agent_class(env.space, seed=0, **agent_class.example).run(env)
        results[name] = "ran"
    except ConfigError as error:
        results[name] = str(error)
print(json.dumps(results))
"""


def test_without_the_learning_libraries() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    results: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    assert {name for name, result in results.items() if result == "ran"} == LIGHT
    for name in set(results) - LIGHT:
        extra = "proxy" if name == "surrogate_assisted" else "agents"
        assert f"pip install 'archgym_py[{extra}]'" in results[name], (name, results[name])
