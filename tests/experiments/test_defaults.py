"""Default hyperparameters against others: what is drawn, how it is scored, and the experiment."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archgym_py.cli import main
from archgym_py.config import RunConfig
from archgym_py.errors import ConfigError
from archgym_py.experiments.defaults import PROBLEMS, Scale, rank
from archgym_py.outcome import Outcome
from archgym_py.registry import AGENTS
from archgym_py.runner import make_env

TUNABLE = [name for name in AGENTS.names() if AGENTS.load(name).hyperparameters.parameters]


# ---- scores --------------------------------------------------------------------------------------


def test_a_score_is_0_for_random_search_and_1_for_the_best() -> None:
    scale = Scale.of([2.0, 4.0, 3.0], [2.0, 4.0, 3.0, 8.0, -1.0, None])
    assert scale == Scale(zero=3.0, one=8.0, lowest=-1.0)
    assert [scale.score(reward) for reward in (3.0, 8.0, 5.5, 2.0)] == [0.0, 1.0, 0.5, -0.2]
    assert scale.score(None) == scale.score(-1.0)


def test_a_reference_that_finds_nothing_counts_as_the_lowest() -> None:
    assert Scale.of([None, None, 5.0], [None, None, 5.0, 2.0]) == Scale(2.0, 5.0, 2.0)


def test_where_random_search_finds_the_best_there_is_no_score() -> None:
    scale = Scale.of([4.0, 4.0], [4.0, 4.0, 1.0])
    assert (scale.score(4.0), scale.score(1.0)) == (0.0, 0.0)


def test_nothing_feasible_is_an_error() -> None:
    with pytest.raises(ConfigError, match="Raise --budget"):
        Scale.of([None], [None, None])


# ---- ranking -------------------------------------------------------------------------------------


def outcomes(
    rewards: Sequence[float | None], error: str = "", wall_s: float = 1.0
) -> list[Outcome]:
    config = RunConfig(env="ArchGym/Toy-v0", agent="genetic", budget=1)
    return [Outcome(config, reward=reward, error=error, wall_s=wall_s) for reward in rewards]


def test_rank() -> None:
    scales = {"one": Scale(0.0, 10.0, 0.0), "two": Scale(0.0, 1.0, 0.0)}
    configs = [("default", {"a": 1}), ("drawn", {"a": 2}), ("drawn", {"a": 3}), ("given", {"a": 4})]
    runs = [
        {"one": outcomes([5.0, 7.0], wall_s=3.0), "two": outcomes([0.5, 0.5])},
        {"one": outcomes([10.0, 10.0]), "two": outcomes([None, 1.0], error="no luck")},
        {"one": outcomes([10.0, 10.0]), "two": outcomes([None, 1.0])},
        {"one": outcomes([0.0, 0.0]), "two": outcomes([0.0, 0.0])},
    ]
    ranked = rank("genetic", configs, runs, scales)
    assert [candidate.config["a"] for candidate in ranked] == [3, 1, 4, 2]
    assert [candidate.rank for candidate in ranked] == [1, 2, 3, None]
    best, default, given, failed = ranked
    assert best.scores == {"one": 1.0, "two": 0.5}
    assert best.score == 0.75
    assert best.rewards == {"one": [10.0, 10.0], "two": [None, 1.0]}
    # Standard deviations 0 and sqrt(1/2), over sqrt(2) seeds and 2 problems.
    assert best.error == pytest.approx(0.25)
    assert default.origin == "default"
    assert default.score == pytest.approx(0.55)
    assert default.wall_s == 2.0
    assert (given.score, given.error) == (0.0, 0.0)
    assert (failed.score, failed.error, failed.scores) == (None, None, {})
    assert failed.failures == ["no luck"]


def test_one_seed_has_no_standard_error() -> None:
    [candidate] = rank(
        "genetic", [("default", {})], [{"p": outcomes([1.0])}], {"p": Scale(0.0, 2.0, 0.0)}
    )
    assert (candidate.score, candidate.error) == (0.5, None)


# ---- the experiment ------------------------------------------------------------------------------


def experiment(out: Path, *more: str, agents: str = "genetic") -> list[str]:
    command = ["experiment", "defaults", "--agents", agents, "--problems", "toy", "--budget", "12"]
    return [*command, "--seeds", "2", "--jobs", "2", "--out", str(out), *more]


def test_the_experiment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = experiment(tmp_path, "--configs", "2", "--try", "elites=1,mutation_rate=0.2")
    assert main(command) == 0
    first = capsys.readouterr().out
    lines = first.splitlines()
    assert lines[0] == "genetic: 4 configurations, 2 seeds, 12 samples"
    assert lines[1].split() == ["rank", "score", "+-", "toy", "s/run", "configuration"]
    assert [line.split()[0] for line in lines[2:6]] == ["1", "2", "3", "4"]
    assert sum("DEFAULT: " in line for line in lines[2:6]) == 1
    assert sum("GIVEN: " in line and "elites=1" in line for line in lines[2:6]) == 1

    found = json.loads((tmp_path / "defaults.json").read_text())
    assert found["command"].startswith("archgym experiment defaults --agents genetic")
    assert (found["budget"], found["seeds"]) == (12, 2)
    [problem] = found["problems"]
    assert (problem["name"], problem["env"]) == ("toy", "ArchGym/Toy-v0")
    scale = problem["scale"]
    candidates = found["candidates"]
    assert sorted(c["origin"] for c in candidates) == ["default", "drawn", "drawn", "given"]
    assert [c["rank"] for c in candidates] == [1, 2, 3, 4]
    assert all(len(c["rewards"]["toy"]) == 2 for c in candidates)
    scores = [candidate["score"] for candidate in candidates]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] <= 1.0
    mean = np.mean(candidates[0]["rewards"]["toy"])
    assert scores[0] == pytest.approx((mean - scale["zero"]) / (scale["one"] - scale["zero"]))

    assert main(command) == 0  # reads what is there
    assert capsys.readouterr().out == first


def test_a_run_that_fails_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(AGENTS.load("external"), "example", {"command": "echo nonsense"})
    assert main(experiment(tmp_path, "--configs", "1", agents="external")) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[2:4]] == [["-", "-"]] * 2
    assert "'nonsense' is no JSON" in lines[-1]
    assert lines[-1].startswith("failed: the program")
    found = json.loads((tmp_path / "defaults.json").read_text())
    assert [candidate["rank"] for candidate in found["candidates"]] == [None, None]
    assert all("nonsense" in text for c in found["candidates"] for text in c["failures"])


@pytest.mark.parametrize(
    ("more", "agents", "message"),
    [
        (["--try", "elites=1"], "genetic,grid", "--try is for one agent"),
        (["--try", "elits=1"], "genetic", "Did you mean 'elites'?"),
        (["--try", "elites=60"], "genetic", "--try elites=60: "),
        (["--try", "elites"], "genetic", "key=value"),
        (["--try", "elites=1", "--try", "elites=1"], "genetic", "given twice"),
        (["--draw", "-1"], "genetic", "--draw must be at least 0, got -1"),
    ],
)
def test_mistakes(
    more: list[str],
    agents: str,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(experiment(tmp_path, *more, agents=agents)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_problems_can_be_made(problem: Any) -> None:
    env = make_env(problem.env, problem.env_kwargs)
    assert env.objective.name == problem.env_kwargs.get("objective", env.objective.name)
    env.close()


def test_the_problems_are_not_those_of_the_table_of_agents() -> None:
    workloads = {problem.env_kwargs.get("workload") for problem in PROBLEMS}
    assert workloads & {"cloud-saturating-1k", "random-saturating-1k"} == set()
