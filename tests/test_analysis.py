"""The analysis of a sweep, against values computed by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archgym_py.analysis import (
    analyse,
    scored_runs,
    transfer,
    tuned_score,
    variance_shares,
)
from archgym_py.log import DefaultResult
from archgym_py.outcome import run_outcome
from archgym_py.results import (
    Optimum,
    Problem,
    Results,
    describe_problem,
    read_results,
    row_of,
    write_about,
    write_rows,
)
from archgym_py.statistics import bootstrap_interval, iqm
from archgym_py.summary import summary
from archgym_py.sweep_config import SweepAgent, SweepConfig, SweepEnv

Row = dict[str, Any]


def row(agent: str, reward: float | None, **changes: Any) -> Row:
    """Return the row of a run that found its best design, of so much energy, with its last try."""
    found = reward is not None
    values = {
        "problem": "P",
        "agent": agent,
        "label": "default",
        "agent_config": '{"rate":0.5}',
        "seed": 0,
        "budget": 100,
        "status": "finished",
        "message": "",
        "reward": reward,
        "sample": 100 if found else None,
        "design": '{"size":8}' if found else None,
        "metrics": '{"energy":110.0}' if found else None,
        "improved_at": [100] if found else [],
        "improved_to": [reward] if found else [],
        "workload": "w",
        "objective": "minimize:energy",
        "git_commit": "abc",
    }
    return {**values, **changes}


def seeds(agent: str, rewards: Sequence[float | None], **changes: Any) -> list[Row]:
    return [row(agent, reward, seed=seed, **changes) for seed, reward in enumerate(rewards)]


def failure(agent: str, message: str, **changes: Any) -> Row:
    return row(agent, None, status="failed", message=message, **changes)


def problem(
    name: str = "P", *, default: float | None = 0.0, optimum: float | None = 1.0, **changes: Any
) -> Problem:
    values = {
        "name": name,
        "env_id": "ArchGym/Toy-v0",
        "env_kwargs": {"objective": "minimize:energy", "workload": name},
        "simulator": "toy 1",
        "units": {"energy": "pJ"},
        "default": None
        if default is None
        else DefaultResult({"size": 1}, {"energy": 300.0}, default),
        "optimum": None if optimum is None else Optimum("energy", 100.0, optimum, "p.json"),
    }
    return Problem(**{**values, **changes})


def results(rows: Sequence[Row], *problems: Problem) -> Results:
    described = problems or (problem(),)
    return Results(rows, {entry.name: entry for entry in described}, ["command"], {"numpy": "2"})


def analysed(rows: Sequence[Row], *problems: Problem) -> dict[str, Any]:
    """Analyse rows, and see on the way that all of it is plain JSON and can be shown."""
    data = analyse(results(rows, *problems))
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert summary(data)
    return data


def only(data: Mapping[str, Any], agent: str) -> dict[str, Any]:
    [found] = data["problems"]
    [entry] = [entry for entry in found["agents"] if entry["agent"] == agent]
    assert isinstance(entry, dict)
    return entry


# --- Scores --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("default", "optimum", "rewards", "scores"),
    [
        pytest.param(1.0, 5.0, [3.0, 5.0, 0.0], [0.5, 1.0, -0.25], id="optimum known"),
        pytest.param(1.0, None, [3.0, 2.0, 9.0], [0.25, 0.125, 1.0], id="optimum unknown"),
        pytest.param(1.0, None, [0.0, 9.0], [-0.125, 1.0], id="worse than the default"),
        pytest.param(5.0, None, [1.0, 2.0, 5.0], [0.0, 0.25, 1.0], id="default not beaten"),
        pytest.param(9.0, None, [1.0, 2.0, 5.0], [0.0, 0.25, 1.0], id="default not reached"),
        pytest.param(
            5.0, 9.0, [1.0, 3.0], [-1.0, -0.5], id="default not beaten but by the optimum"
        ),
        pytest.param(None, None, [1.0, 2.0, 5.0], [0.0, 0.25, 1.0], id="default infeasible"),
        pytest.param(None, 9.0, [1.0, 3.0], [0.0, 0.25], id="default infeasible, optimum known"),
        pytest.param(None, None, [4.0, 4.0], [1.0, 1.0], id="all equal"),
        pytest.param(4.0, None, [4.0, 4.0], [1.0, 1.0], id="all equal to the default"),
        pytest.param(4.0, 4.0, [4.0], [1.0], id="the default is the optimum"),
        pytest.param(1.0, 5.0, [3.0, None, 0.0], [0.5, -0.25, -0.25], id="nothing feasible"),
        pytest.param(1.0, 5.0, [3.0, None], [0.5, 0.0], id="nothing feasible is no gain"),
        pytest.param(None, None, [4.0, None], [1.0, 0.0], id="nothing feasible is not the best"),
        pytest.param(None, None, [None, None], [0.0, 0.0], id="nothing feasible at all"),
        pytest.param(-2.0, -1.0, [-1.5, None], [0.5, 0.0], id="negative rewards"),
    ],
)
def test_scores(
    default: float | None,
    optimum: float | None,
    rewards: list[float | None],
    scores: list[float],
) -> None:
    known = problem(default=default, optimum=optimum)
    rows = seeds("a", rewards)
    found = scored_runs(results(rows, known))
    assert [run.score for run in found["P"]] == pytest.approx(scores, abs=1e-15)
    assert [run.row for run in found["P"]] == rows
    assert only(analysed(rows, known), "a")["scores"] == pytest.approx(scores, abs=1e-15)


def test_the_best_run_is_that_of_all_agents() -> None:
    rows = [row("a", 1.0), row("b", 4.0), row("b", 99.0, problem="Q"), row("a", 3.0, problem="Q")]
    found = scored_runs(results(rows, problem(optimum=None), problem("Q", optimum=None)))
    assert {name: [run.score for run in runs] for name, runs in found.items()} == {
        "P": [0.25, 1.0],
        "Q": [1.0, pytest.approx(1 / 33)],
    }


def test_curves_are_scored_like_results() -> None:
    better = row("a", 3.0, improved_at=[2, 7, 50], improved_to=[-1.0, 1.0, 3.0])
    [run] = scored_runs(results([better], problem(default=1.0, optimum=5.0)))["P"]
    assert run.curve == ([2, 7, 50], [-0.5, 0.0, 0.5])


def test_failed_runs_have_no_score() -> None:
    rows = [row("a", 1.0), failure("a", "why", seed=1), failure("b", "why")]
    found = scored_runs(results(rows))
    assert [run.row["seed"] for run in found["P"]] == [0]


# --- What the variance is due to -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("agents", "shares"),
    [
        # Within configurations 2. Means of configurations: 2 and 6 with a variance of 8, 3 and 11
        # with 32, each less 2 / 2 for the seeds: 7 and 31, in the mean 19. Means of agents: 4 and
        # 7 with 4.5, less (19 + 1) / 2: below 0.
        ({"a": [[1, 3], [5, 7]], "b": [[2, 4], [10, 12]]}, (0.0, 19 / 21, 2 / 21)),
        # The same with b better by 100: 103 ** 2 / 2 - 10 = 5294.5.
        (
            {"a": [[1, 3], [5, 7]], "b": [[102, 104], [110, 112]]},
            (5294.5 / 5315.5, 19 / 5315.5, 2 / 5315.5),
        ),
        # Seeds: 4 of a and 2 of b, in the mean 3. Configurations, of b only: 50 - 2 / 2. Agents:
        # means 2 and 106 with a variance of 5408, less the mean of 4 / 3 for the one configuration
        # of a and of 50 / 2 for the two of b: 79 / 6.
        (
            {"a": [[0, 2, 4]], "b": [[100, 102], [110, 112]]},
            tuple(part / (5408 - 79 / 6 + 49 + 3) for part in (5408 - 79 / 6, 49, 3)),
        ),
        ({"a": [[0, 1], [0, 1]], "b": [[0, 1], [0, 1]]}, (0.0, 0.0, 1.0)),
        ({"a": [[0, 0], [1, 1]], "b": [[0, 0], [1, 1]]}, (0.0, 1.0, 0.0)),
        ({"a": [[0, 0], [0, 0]], "b": [[1, 1], [1, 1]]}, (1.0, 0.0, 0.0)),
    ],
)
def test_shares_of_the_variance(
    agents: dict[str, list[list[float]]], shares: tuple[float, float, float]
) -> None:
    found = variance_shares(agents)
    assert found is not None
    assert (found.agent, found.configuration, found.seed) == pytest.approx(shares, abs=1e-12)


@pytest.mark.parametrize(
    "agents",
    [
        {},
        {"a": [[0.0, 1.0], [2.0, 3.0]]},  # one agent
        {"a": [[0.0, 1.0]], "b": [[2.0, 3.0]]},  # no agent with two configurations
        {"a": [[0.0], [1.0]], "b": [[2.0], [3.0]]},  # no configuration with two seeds
        {"a": [[1.0, 1.0], [1.0, 1.0]], "b": [[1.0, 1.0], [1.0, 1.0]]},
    ],
)
def test_no_shares_of_what_cannot_be_told_apart(agents: dict[str, list[list[float]]]) -> None:
    assert variance_shares(agents) is None


_SCORES = st.lists(
    st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=3), min_size=1, max_size=3
)


@given(
    agents=st.dictionaries(st.sampled_from("abc"), _SCORES),
    scale=st.sampled_from([0.5, 2.0, 1024.0]),
    shift=st.integers(-8, 8),
)
def test_shares_do_not_depend_on_scale_or_origin(
    agents: dict[str, list[list[float]]], scale: float, shift: int
) -> None:
    found = variance_shares(agents)
    moved = variance_shares(
        {
            agent: [[scale * (score + shift) for score in config] for config in configs]
            for agent, configs in agents.items()
        }
    )
    assert (found is None) == (moved is None)
    if found is None or moved is None:
        return
    parts = (found.agent, found.configuration, found.seed)
    assert sum(parts) == pytest.approx(1.0)
    assert min(parts) >= 0.0
    assert (moved.agent, moved.configuration, moved.seed) == pytest.approx(parts, abs=1e-9)


def test_shares_find_the_components_that_scores_were_drawn_with() -> None:
    rng = np.random.default_rng(0)
    # Standard deviations 1, 2 and 3: variances 1, 4 and 9 of 14.
    agent = rng.normal(0.0, 1.0, (600, 1, 1))
    configuration = rng.normal(0.0, 2.0, (600, 20, 1))
    scores = agent + configuration + rng.normal(0.0, 3.0, (600, 20, 4))
    shares = variance_shares({str(number): own.tolist() for number, own in enumerate(scores)})
    assert shares is not None
    assert (shares.agent, shares.configuration, shares.seed) == pytest.approx(
        (1 / 14, 4 / 14, 9 / 14), abs=0.015
    )


# --- Tuning --------------------------------------------------------------------------------------


def test_the_tuned_configuration_is_measured_on_a_seed_that_did_not_choose_it() -> None:
    one, other = {0: 10.0, 1: 0.0, 2: 1.0}, {0: 2.0, 1: 5.0, 2: 4.0}
    # Without seed 0 the other one is better (4.5), without 1 the first (5.5), without 2 too (5).
    assert tuned_score([one, other]) == pytest.approx((2.0 + 0.0 + 1.0) / 3)
    assert tuned_score([other, one]) == pytest.approx(1.0)


def test_tuned_scores_of_few() -> None:
    assert tuned_score([{0: 1.0, 1: 2.0, 2: 6.0}]) is None  # nothing to choose
    assert tuned_score([{0: 1.0}, {0: 2.0}]) is None
    assert tuned_score([]) is None
    # A seed counts if all have it: here 3 and 5, which choose by each other.
    assert tuned_score([{3: 1.0, 4: 9.0, 5: 0.5}, {3: 0.0, 5: 2.0}]) == 0.25
    assert tuned_score([{0: 1.0, 1: 1.0}, {1: 2.0, 2: 2.0}]) is None


def test_tuning_does_not_profit_from_luck() -> None:
    # Configurations that differ in luck only: the best mean is above 0, what it is worth is not.
    scores = np.random.default_rng(1).normal(0.0, 1.0, (400, 20, 5))
    tuned = [tuned_score([dict(enumerate(seeds)) for seeds in own.tolist()]) for own in scores]
    best = scores.mean(axis=2).max(axis=1).mean()
    assert best > 0.7
    assert abs(fmean(score for score in tuned if score is not None)) < 0.08


def test_default_and_tuned_of_an_agent() -> None:
    configs = {"default": [0.2, 0.4], "drawn 1": [0.9, 0.1], "drawn 2": [0.5, 0.6]}
    rows = [
        entry
        for label, rewards in configs.items()
        for entry in seeds("a", rewards, label=label, agent_config=json.dumps({"name": label}))
    ]
    found = only(analysed(rows), "a")
    assert (found["runs"], found["configs"]) == (6, 3)
    assert found["default_score"] == pytest.approx(0.3)
    # By seed 1, "drawn 2" is the best, by seed 0 "drawn 1": they have 0.5 and 0.1 on the other one.
    assert found["tuned_score"] == pytest.approx(0.3)
    assert found["tuned"] == {
        "label": "drawn 2",
        "config": {"name": "drawn 2"},
        "score": pytest.approx(0.55),
    }
    # The means of the random ones are 0.5 and 0.55.
    assert found["best_of"] == pytest.approx([0.525, 0.55])
    assert found["labels"] == [label for label in configs for _ in range(2)]
    assert found["seeds"] == [0, 1] * 3


def test_agents_without_a_default_or_with_one_seed() -> None:
    found = only(analysed([row("a", 0.5, label="drawn 1"), row("a", 0.7, label="drawn 2")]), "a")
    assert found["default_score"] is None
    assert found["tuned_score"] is None
    assert found["tuned"]["label"] == "drawn 2"


# --- Transfer ------------------------------------------------------------------------------------


def test_transfer_to_another_workload() -> None:
    scores = {
        "P": {"default": [0.1, 0.3], "drawn 1": [0.8, 0.6], "drawn 2": [0.5, 0.5]},
        "Q": {"default": [0.4, 0.6], "drawn 1": [0.1, 0.2], "drawn 2": [0.9, 0.8]},
    }
    rows = [
        entry
        for name, configs in scores.items()
        for label, rewards in configs.items()
        for entry in seeds("a", rewards, label=label, problem=name)
    ]
    rows += [row("a", 0.9, label="drawn 3")]  # which Q does not have
    rows += [row("b", 0.5), row("b", 0.6, problem="Q")]  # nothing to choose
    rows += [row("c", 0.5), row("c", 0.5, label="drawn 1")]  # nowhere to go
    expected = [
        {
            "agent": "a",
            "source": "P",
            "target": "Q",
            "label": "drawn 1",
            "transferred": pytest.approx(0.15),
            "own": pytest.approx(0.85),
            "default": pytest.approx(0.5),
        },
        {
            "agent": "a",
            "source": "Q",
            "target": "P",
            "label": "drawn 2",
            "transferred": pytest.approx(0.5),
            "own": pytest.approx(0.7),
            "default": pytest.approx(0.2),
        },
    ]
    assert transfer(results(rows, problem(), problem("Q"))) == expected
    assert analysed(rows, problem(), problem("Q"))["transfer"] == expected

    without = [entry for entry in rows if entry["label"] != "default"]
    assert [pair["default"] for pair in transfer(results(without, problem(), problem("Q")))] == [
        None,
        None,
    ]
    # Another objective or environment asks for something else.
    other_objective = problem("Q", env_kwargs={"objective": "minimize:delay", "workload": "Q"})
    assert transfer(results(rows, problem(), other_objective)) == []
    other_env = problem("Q", env_id="ArchGym/ToySequential-v0")
    assert transfer(results(rows, problem(), other_env)) == []


# --- One problem ---------------------------------------------------------------------------------


def test_what_a_problem_is() -> None:
    data = analysed([row("a", 0.5), row("a", 0.25, label="drawn 1", budget=80, seed=3)])
    [found] = data["problems"]
    assert (found["name"], found["env"], found["workload"]) == ("P", "ArchGym/Toy-v0", "w")
    assert found["objective"] == "minimize:energy"
    assert found["env_kwargs"] == {"objective": "minimize:energy", "workload": "P"}
    assert found["budgets"] == [80, 100]
    assert found["units"] == {"energy": "pJ"}
    assert found["default"] == {"design": {"size": 1}, "metrics": {"energy": 300.0}, "reward": 0.0}
    assert found["optimum"] == {
        "metric": "energy",
        "value": 100.0,
        "reward": 1.0,
        "source": "p.json",
    }
    assert (data["commands"], data["versions"]) == (["command"], {"numpy": "2"})
    assert (data["runs"], data["failed"], data["git_commits"]) == (2, 0, ["abc"])

    [found] = analysed([row("a", 0.5)], problem(default=None, optimum=None))["problems"]
    assert found["default"] is found["optimum"] is None


def test_the_best_design_is_the_one_that_was_found_first() -> None:
    rows = [
        row("a", 0.5, sample=1),
        row("a", 0.7, seed=1, sample=30),
        row("b", 0.7, seed=2, sample=12, label="drawn 4", design='{"size":2}'),
        row("c", 0.7, seed=3, sample=12),
        row("d", None),
    ]
    [found] = analysed(rows)["problems"]
    assert found["best"] == {
        "agent": "b",
        "label": "drawn 4",
        "seed": 2,
        "sample": 12,
        "reward": 0.7,
        "design": {"size": 2},
        "metrics": {"energy": 110.0},
        "regret_percent": pytest.approx(10.0),
    }
    [found] = analysed(rows, problem(optimum=None))["problems"]
    assert found["best"]["regret_percent"] is None


def test_nothing_feasible_was_found() -> None:
    data = analysed(seeds("a", [None, None]), problem(default=None, optimum=None))
    [found] = data["problems"]
    assert found["best"] is None
    assert only(data, "a")["scores"] == [0.0, 0.0]
    assert only(data, "a")["regret"] is None
    assert set(only(data, "a")["curve"]["median"]) == {0.0}


def test_regret_is_the_excess_over_the_optimum() -> None:
    energies = [100.0, 150.0, 100.0, 120.0]
    rows = [
        row("a", 0.5, seed=seed, metrics=json.dumps({"energy": energy, "delay": 1.0}))
        for seed, energy in enumerate(energies)
    ]
    rows += [row("a", None, seed=4), row("b", None)]
    found = only(analysed(rows), "a")["regret"]
    # 0, 0, 20 and 50 %, of those that found something.
    assert found == {"quartiles": pytest.approx([0.0, 10.0, 27.5]), "optimal_runs": 2}
    assert only(analysed(rows), "b")["regret"] is None
    assert only(analysed(rows, problem(optimum=None)), "a")["regret"] is None


def test_distribution_of_the_scores() -> None:
    rows = seeds("a", [0.0, 1.0, 0.25, 0.5]) + seeds("b", [0.5, 0.75])
    data = analysed(rows)
    found = only(data, "a")
    assert found["quartiles"] == pytest.approx([0.1875, 0.375, 0.625])
    assert found["range"] == 1.0
    assert found["iqm"][0] == pytest.approx(0.375)
    [whole] = data["problems"]
    thresholds = whole["thresholds"]
    assert (thresholds[0], thresholds[-1], len(thresholds)) == (0.0, 1.0, 101)
    assert whole["profiles"] == {
        agent: [fmean(score > threshold for score in scores) for threshold in thresholds]
        for agent, scores in (("a", [0.0, 1.0, 0.25, 0.5]), ("b", [0.5, 0.75]))
    }
    # Of the 8 pairs, a is better in 2, and one is a tie.
    assert whole["improvement"] == {
        "agents": ["a", "b"],
        "matrix": [[0.5, 0.3125], [0.6875, 0.5]],
    }


def test_thresholds_reach_below_the_default() -> None:
    rows = seeds("a", [-1.0] * 3 + [0.5] * 97)
    [found] = analysed(rows, problem(optimum=1.0))["problems"]
    assert found["thresholds"][0] == -1.0
    assert found["thresholds"][-1] == 1.0


def test_curves_of_the_best_so_far() -> None:
    rows = [
        row("a", 0.8, improved_at=[1, 10], improved_to=[0.4, 0.8]),
        row("a", 0.6, seed=1, improved_at=[3, 100], improved_to=[0.2, 0.6]),
    ]
    curve = only(analysed(rows), "a")["curve"]
    samples = curve["samples"]
    assert samples[0] == 1
    assert samples[-1] == 100
    assert samples == sorted(set(samples))
    for number, at in enumerate(samples):
        one = 0.8 if at >= 10 else 0.4
        other = 0.6 if at >= 100 else 0.2 if at >= 3 else 0.0
        assert curve["median"][number] == pytest.approx((one + other) / 2)
        assert curve["q1"][number] == pytest.approx(other + 0.25 * (one - other))
        assert curve["q3"][number] == pytest.approx(other + 0.75 * (one - other))


def test_before_anything_is_found_a_curve_is_as_low_as_any() -> None:
    rows = [
        row("a", 0.5, improved_at=[10, 20], improved_to=[-2.0, 0.5]),
        row("a", None, seed=1),
    ]
    curve = only(analysed(rows), "a")["curve"]
    first = dict(zip(curve["samples"], curve["median"], strict=True))
    assert first[1] == -2.0  # neither has found anything
    assert first[10] == -2.0
    assert first[100] == pytest.approx((0.5 - 2.0) / 2)


# --- Intervals -----------------------------------------------------------------------------------


def grid_of(scores: Sequence[Sequence[float]], agent: str = "a", **changes: Any) -> list[Row]:
    return [
        entry
        for number, rewards in enumerate(scores, 1)
        for entry in seeds(agent, rewards, label=f"grid {number}", **changes)
    ]


def test_intervals_are_over_configurations() -> None:
    # Seeds change nothing: five of them tell no more than one about other configurations.
    means = [0.0, 0.2, 0.3, 0.5, 0.7, 0.9]
    once = only(analysed(grid_of([[mean] for mean in means])), "a")["iqm"]
    often = only(analysed(grid_of([[mean] * 5 for mean in means])), "a")["iqm"]
    as_runs = bootstrap_interval([np.repeat(means, 5)], iqm, rng_seed=0)
    assert once[0] == pytest.approx(0.425)  # the mean of 0.2, 0.3, 0.5 and 0.7
    # Of 30 scores 7 are left out at each end: 3 of 0.2, 5 of 0.3, 5 of 0.5 and 3 of 0.7 remain.
    assert often[0] == as_runs.estimate == pytest.approx((0.6 + 1.5 + 2.5 + 2.1) / 16)
    assert often[2] - often[1] > 1.5 * (as_runs.high - as_runs.low)
    assert often[2] - often[1] == pytest.approx(once[2] - once[1], rel=0.15)


def test_intervals_of_one_configuration_are_over_its_runs() -> None:
    scores = [0.1, 0.2, 0.4, 0.8, 0.9]
    expected = bootstrap_interval([scores], iqm, rng_seed=0)
    found = only(analysed(seeds("a", scores)), "a")["iqm"]
    assert found == pytest.approx([expected.estimate, expected.low, expected.high])


def test_intervals_where_a_run_is_missing() -> None:
    rows = grid_of([[0.1, 0.2], [0.4, 0.8], [0.5, 0.9]])[:-1]
    found = only(analysed([*rows, failure("a", "why", label="grid 3", seed=1)]), "a")["iqm"]
    expected = bootstrap_interval([[0.1, 0.2, 0.4, 0.8, 0.5]], iqm, rng_seed=0)
    assert found == pytest.approx([expected.estimate, expected.low, expected.high])


def test_intervals_over_all_problems_draw_configurations_with_all_their_runs() -> None:
    one, other = [[0.1], [0.3], [0.4]], [[0.6], [0.7], [0.9]]
    rows = grid_of(one) + grid_of(other, problem="Q")
    data = analysed(rows, problem(), problem("Q"))
    [found] = data["overall"]["agents"]
    runs = np.array([[0.1, 0.6], [0.3, 0.7], [0.4, 0.9]])

    def of_configurations(drawn: Any, axis: int) -> Any:
        return iqm(runs[drawn.astype(int)].reshape(*drawn.shape[:-1], -1), axis=axis)

    expected = bootstrap_interval([[0.0, 1.0, 2.0]], of_configurations, rng_seed=0)
    assert found["iqm"] == pytest.approx([expected.estimate, expected.low, expected.high])


def test_intervals_of_one_configuration_draw_seeds_with_all_their_problems() -> None:
    rows = seeds("a", [0.1, 0.3, 0.4]) + seeds("a", [0.6, 0.7, 0.9], problem="Q")
    [found] = analysed(rows, problem(), problem("Q"))["overall"]["agents"]
    runs = np.array([[0.1, 0.6], [0.3, 0.7], [0.4, 0.9]])

    def of_seeds(drawn: Any, axis: int) -> Any:
        return iqm(runs[drawn.astype(int)].reshape(*drawn.shape[:-1], -1), axis=axis)

    expected = bootstrap_interval([[0.0, 1.0, 2.0]], of_seeds, rng_seed=0)
    assert found["iqm"] == pytest.approx([expected.estimate, expected.low, expected.high])


def test_shares_of_nothing_but_luck() -> None:
    # Three agents whose configurations do not differ, with different noise.
    rng = np.random.default_rng(0)
    found = [
        variance_shares({name: rng.normal(0.0, sd, (30, 5)).tolist() for name, sd in noise.items()})
        for noise in [{"a": 1.0, "b": 3.0, "c": 0.1}] * 200
    ]
    hyperparameters = [shares.configuration for shares in found if shares is not None]
    assert len(hyperparameters) == 200
    assert fmean(hyperparameters) < 0.03


def test_equal_rows_give_equal_numbers() -> None:
    rows = grid_of([[0.1, 0.2], [0.4, 0.8], [0.5, 0.9]])
    assert analysed(rows) == analysed(rows)


# --- Several budgets -----------------------------------------------------------------------------


def test_budgets_of_an_agent_make_other_configurations() -> None:
    rows = seeds("a", [0.1, 0.3], budget=10) + seeds("a", [0.6, 0.8], budget=100)
    rows += seeds("b", [0.5, 0.5])
    data = analysed(rows)
    found = only(data, "a")
    assert found["configs"] == 2
    assert found["tuned"]["label"] == "default, 100 samples"
    assert found["tuned"]["score"] == pytest.approx(0.7)
    assert found["tuned_score"] == pytest.approx(0.7)
    assert found["best_of"] == pytest.approx([0.45, 0.7])
    assert found["default_score"] is None  # there are two
    assert found["labels"] == ["default"] * 4
    assert found["curve"]["samples"][-1] == 100  # as far as any of its runs goes
    assert data["problems"][0]["budgets"] == [10, 100]
    one = only(data, "b")  # whose label is as it was
    assert (one["configs"], one["tuned"]["label"]) == (1, "default")
    assert one["default_score"] == 0.5


# --- Failures ------------------------------------------------------------------------------------


def test_failed_runs_are_counted_and_explained() -> None:
    rows = [
        row("a", 0.5),
        failure("a", "rare", seed=1),
        failure("b", "often", seed=0),
        failure("b", "often", seed=1),
        failure("b", "often", seed=2),
        row("a", 0.5, problem="Q"),
        failure("a", "rare", seed=1, problem="Q"),
        failure("c", "never works", problem="R"),
    ]
    data = analysed(rows, problem(), problem("Q"), problem("R"))
    assert (data["runs"], data["failed"]) == (8, 6)
    assert data["failures"] == [  # the most frequent ones first
        {"agent": "b", "message": "often", "runs": 3},
        {"agent": "a", "message": "rare", "runs": 2},
        {"agent": "c", "message": "never works", "runs": 1},
    ]
    # What nobody finished is no problem of the report, and who finished nothing no agent of it.
    assert [entry["name"] for entry in data["problems"]] == ["P", "Q"]
    for entry in data["problems"]:
        [agent] = entry["agents"]
        assert (agent["agent"], agent["runs"], agent["failed"]) == ("a", 1, 1)


def test_nothing_but_failures() -> None:
    data = analysed([failure("a", "why")])
    assert data["problems"] == data["transfer"] == []
    assert data["overall"]["agents"] == []
    assert data["overall"]["variance"] is None
    assert data["overall"]["thresholds"] == []


# --- All problems --------------------------------------------------------------------------------


def test_agents_are_compared_on_the_problems_that_all_met() -> None:
    rows = [
        *seeds("a", [0.2, 0.4]),
        *seeds("b", [0.5, 0.5]),
        *seeds("c", [0.9, 0.9]),
        *seeds("a", [0.6, 1.0], problem="Q"),
        *seeds("b", [0.1, 0.3], problem="Q"),
        failure("c", "why", problem="Q"),
    ]
    data = analysed(rows, problem(), problem("Q"))
    overall = data["overall"]
    assert [entry["agent"] for entry in overall["agents"]] == ["a", "b"]
    one, other = overall["agents"]
    # Of 0.2, 0.4, 0.6 and 1 the lowest and the highest are left out; of 0.1, 0.3, 0.5 and 0.5 too.
    assert (one["iqm"][0], other["iqm"][0]) == pytest.approx((0.5, 0.4))
    assert (one["mean_rank"], other["mean_rank"]) == (1.5, 1.5)  # b is better on P, a on Q
    assert one["quartiles"] == pytest.approx([0.35, 0.5, 0.7])
    assert one["default_score"] == pytest.approx((0.3 + 0.8) / 2)
    assert one["tuned_score"] is None  # there is nothing to choose
    assert one["mean"] == pytest.approx((0.2 + 0.4 + 0.6 + 1.0) / 4)
    assert list(overall["profiles"]) == ["a", "b"]
    assert overall["profiles"]["a"][-1] == 0.0
    # On P a never beats b, on Q always.
    assert overall["improvement"] == {"agents": ["a", "b"], "matrix": [[0.5, 0.5], [0.5, 0.5]]}


def test_a_default_that_is_missing_somewhere_has_no_mean() -> None:
    rows = [row("a", 0.2), row("a", 0.4, problem="Q", label="drawn 1")]
    [found] = analysed(rows, problem(), problem("Q"))["overall"]["agents"]
    assert found["default_score"] is None
    assert found["tuned_score"] is None


def test_shares_over_all_problems_are_their_mean() -> None:
    def rows_of(agents: Mapping[str, Sequence[Sequence[float]]], name: str) -> list[Row]:
        return [
            entry
            for agent, configs in agents.items()
            for entry in grid_of(configs, agent, problem=name)
        ]

    luck = {"a": [[0.0, 1.0], [0.0, 1.0]], "b": [[0.0, 1.0], [0.0, 1.0]]}
    tuning = {"a": [[0.0, 0.0], [1.0, 1.0]], "b": [[0.0, 0.0], [1.0, 1.0]]}
    flat = {"a": [[1.0], [1.0]]}  # which nothing can be said about
    rows = rows_of(luck, "P") + rows_of(tuning, "Q") + rows_of(flat, "R")
    data = analysed(rows, problem(), problem("Q"), problem("R"))
    assert data["problems"][0]["variance"] == {"agent": 0.0, "configuration": 0.0, "seed": 1.0}
    assert data["problems"][1]["variance"] == {"agent": 0.0, "configuration": 1.0, "seed": 0.0}
    assert data["problems"][2]["variance"] is None
    assert data["overall"]["variance"] == {"agent": 0.0, "configuration": 0.5, "seed": 0.5}


# --- From runs to the report ---------------------------------------------------------------------


def test_a_small_sweep_from_its_runs_to_its_tables(tmp_path: Path) -> None:
    config = SweepConfig(
        envs=(
            SweepEnv(env="ArchGym/Toy-v0", objectives=("minimize:delay_ns", "minimize:cost_usd")),
            SweepEnv(
                env="ArchGym/Toy-v0",
                kwargs={"baseline": {"cost_usd": 40.0, "delay_ns": 900.0}},
                objectives=("minimize:delay_ns",),
            ),
        ),
        agents=(
            SweepAgent(agent="random_search", seeds=4),
            SweepAgent(agent="genetic", draw=2, kwargs={"population_size": 8}),
            SweepAgent(agent="ant_colony", default=False, grid={"ants": [4, 8]}),
        ),
        budget=40,
        seeds=2,
        out=tmp_path,
    )
    planned = config.runs()
    rows = [row_of(run, run_outcome(run.run)) for run in planned]
    problems = {run.problem: (run.run.env, run.run.env_kwargs) for run in planned}
    write_about(tmp_path, [describe_problem(*of) for of in problems.values()], ["me"], {})
    write_rows(tmp_path, rows)
    data = analyse(read_results(tmp_path))
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert (data["runs"], data["failed"]) == (len(planned), 0) == (42, 0)
    for found in data["problems"]:
        own = [entry for entry in rows if entry["problem"] == found["name"]]
        top = max(entry["reward"] for entry in own)
        assert found["best"]["reward"] == top
        # No optimum is known: the best run scores 1, and the default design 0.
        zero = found["default"]["reward"]
        for agent in found["agents"]:
            rewards = [entry["reward"] for entry in own if entry["agent"] == agent["agent"]]
            assert agent["scores"] == pytest.approx(
                [(reward - zero) / (top - zero) for reward in rewards]
            )
            assert agent["iqm"][1] <= agent["iqm"][2]
        sizes = {agent["agent"]: (agent["runs"], agent["configs"]) for agent in found["agents"]}
        assert sizes == {"random_search": (4, 1), "genetic": (6, 3), "ant_colony": (4, 2)}
        assert sum(found["variance"].values()) == pytest.approx(1.0)
    assert len(data["overall"]["agents"]) == 3
    ranks = [agent["mean_rank"] for agent in data["overall"]["agents"]]
    assert sum(ranks) == pytest.approx(6.0)
    assert {pair["agent"] for pair in data["transfer"]} == {"genetic", "ant_colony"}
    assert len(data["transfer"]) == 4  # to and fro between the two with one objective

    text = summary(data)
    for found in data["problems"]:
        assert f"{found['name']}, 40 samples" in text
    assert "all problems" in text
    assert "42 runs. Scores" in text
