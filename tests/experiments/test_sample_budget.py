"""The experiment that says how good agents are after few samples and after many."""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archgym_py.config import RunConfig
from archgym_py.dataset import SampleDataset
from archgym_py.errors import ConfigError
from archgym_py.experiments import sample_budget
from archgym_py.experiments.sample_budget import (
    TABLE,
    SampleBudgetExperiment,
    budgets_up_to,
    compare,
    curves,
    draw,
    render,
    study_of,
)
from archgym_py.experiments.tables import RESULTS, insert_table, study_text
from archgym_py.log import DefaultResult
from archgym_py.registry import AGENTS
from archgym_py.results import Optimum, Problem, Results, describe_problem
from archgym_py.runner import run
from archgym_py.simulator import Status
from archgym_py.statistics import area_under_curve
from archgym_py.sweep_config import SweepAgent, SweepConfig, SweepEnv, load_preset

PNG = b"\x89PNG"


def problem(name: str, *, default: float | None = 0.0, optimum: float | None = 1.0) -> Problem:
    """Return a problem by the rewards of its default design and of its optimum."""
    return Problem(
        name=name,
        env_id="ArchGym/Toy-v0",
        env_kwargs={"objective": name},
        simulator="toy 1",
        units={"delay_ns": "ns"},
        default=None
        if default is None
        else DefaultResult({"lanes": 1}, {"delay_ns": 1.0}, default),
        optimum=None if optimum is None else Optimum("delay_ns", 1.0, optimum, "made-up.json"),
    )


def row(
    agent: str, seed: int, *improvements: tuple[int, float], on: str = "p", samples: int = 1000
) -> dict[str, Any]:
    """Return the row of a run that improved at some samples to some rewards."""
    last = improvements[-1] if improvements else (None, None)
    return {
        "problem": on,
        "agent": agent,
        "label": "default",
        "agent_config": json.dumps({"of": agent}),
        "seed": seed,
        "budget": samples,
        "status": "finished",
        "message": "",
        "samples": samples,
        "reward": last[1],
        "sample": last[0],
        "improved_at": [sample for sample, _ in improvements],
        "improved_to": [reward for _, reward in improvements],
        "simulator_version": "1",
        "package_version": "2",
        "git_commit": "abc",
        "wall_s": 1.5,
    }


def failed(agent: str, seed: int, message: str = "no luck", on: str = "p") -> dict[str, Any]:
    return {**row(agent, seed, on=on), "status": "failed", "message": message, "samples": 0}


def results(*rows: dict[str, Any], problems: Sequence[Problem] = (problem("p"),)) -> Results:
    return Results(rows, {one.name: one for one in problems}, ["the command"], {"numpy": "9"})


# --- Budgets -------------------------------------------------------------------------------------


def test_budgets_go_up_in_steps_of_1_2_5_to_the_last_one() -> None:
    assert budgets_up_to(10_000) == (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
    assert budgets_up_to(300) == (10, 20, 50, 100, 200, 300)
    assert budgets_up_to(11) == (10, 11)


@pytest.mark.parametrize("budget", [1, 10])
def test_a_budget_within_the_first_one_is_refused(budget: int) -> None:
    with pytest.raises(ConfigError, match=f"above 10 samples, .* got {budget}. Take a larger"):
        budgets_up_to(budget)


# --- Curves --------------------------------------------------------------------------------------


def test_a_curve_holds_the_best_score_so_far() -> None:
    of = results(
        row("a", 0, (1, -1.0), (20, 1.0), (21, 3.0)),
        row("a", 1, (10, 2.0), (1000, 3.0)),
        problems=[problem("p", default=-1.0, optimum=3.0)],
    )
    [curve] = curves(of, (10, 20, 999, 1000))
    assert (curve.agent, curve.problem, curve.seeds) == ("a", "p", (0, 1))
    assert curve.scores.tolist() == [[0.0, 0.5, 1.0, 1.0], [0.75, 0.75, 0.75, 1.0]]
    assert curve.wall_s == (1.5, 1.5)


def test_until_something_feasible_is_found_a_run_scores_as_the_worst_first_find() -> None:
    of = results(
        row("late", 0, (50, 0.5)),
        row("never", 0),
        row("bad", 0, (3, -4.0), (15, -2.0), (90, 0.25)),
    )
    late, never, bad = curves(of, (10, 20, 100))
    assert late.scores.tolist() == [[-4.0, -4.0, 0.5]]
    assert never.scores.tolist() == [[-4.0, -4.0, -4.0]]
    assert bad.scores.tolist() == [[-4.0, -2.0, 0.25]]


def test_nothing_feasible_is_no_better_than_the_default_design() -> None:
    late, never = curves(results(row("late", 0, (50, 0.5)), row("never", 0)), (10, 100))
    assert late.scores.tolist() == [[0.0, 0.5]]
    assert never.scores.tolist() == [[0.0, 0.0]]
    assert never.areas.tolist() == [0.0]
    [alone] = curves(results(row("never", 0)), (10, 100))
    assert alone.scores.tolist() == [[0.0, 0.0]]


def test_without_an_optimum_the_best_run_has_score_1() -> None:
    of = results(
        row("a", 0, (1, 1.0), (30, 5.0)),
        row("b", 0, (1, 3.0)),
        problems=[problem("p", default=1.0, optimum=None)],
    )
    assert [curve.scores.tolist() for curve in curves(of, (10, 30))] == [[[0.0, 1.0]], [[0.5, 0.5]]]


def test_failed_runs_have_no_curve() -> None:
    [curve] = curves(results(failed("a", 0), row("a", 1, (1, 0.5)), failed("b", 0)), (10, 100))
    assert (curve.agent, curve.seeds) == ("a", (1,))
    assert curves(results(failed("a", 0)), (10, 100)) == []


@pytest.mark.parametrize("budgets", [(), (10,), (10, 10), (20, 10), (0, 10)])
def test_budgets_that_do_not_ascend_are_refused(budgets: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="two or more numbers of samples that ascend"):
        curves(results(row("a", 0, (1, 0.5))), budgets)


def test_a_run_says_nothing_about_more_samples_than_it_has() -> None:
    with pytest.raises(ConfigError, match=r"'a' on p has 50 samples, .* about 100"):
        curves(results(row("a", 0, (1, 0.5), samples=50)), (10, 100))


@pytest.mark.parametrize(
    ("improvements", "area"),
    [
        ([(100, 1.0)], 0.5),  # one decade of two
        ([(10, 1.0)], 1.0),
        ([(1, 0.5), (5, 1.0)], 1.0),  # what happens before the first budget is not in it
        ([(1, 0.25)], 0.25),
        ([(1, 0.5), (100, 1.0)], 0.75),
        ([(1000, 1.0)], 0.0),
        ([(100, 0.5), (2000, 1.0)], 0.25),  # nor is what happens after the last one
    ],
)
def test_the_area_is_the_mean_height_on_the_logarithmic_axis(
    improvements: list[tuple[int, float]], area: float
) -> None:
    [curve] = curves(results(row("a", 0, *improvements, samples=5000)), (10, 50, 1000))
    assert curve.areas == pytest.approx([area], abs=1e-12)


@given(st.lists(st.integers(1, 999), unique=True, max_size=8), st.integers(2, 30))
def test_the_area_is_a_difference_of_two_areas(samples: list[int], first: int) -> None:
    samples = sorted(samples)
    rewards = [number / 8 for number in range(1, len(samples) + 1)]
    [curve] = curves(results(row("a", 0, *zip(samples, rewards, strict=True))), (first, 999))
    up_to_last, up_to_first = (
        area_under_curve(samples, rewards, budget=budget, before=0.0) * math.log(budget)
        for budget in (999, first)
    )
    assert curve.areas == pytest.approx([(up_to_last - up_to_first) / math.log(999 / first)])


# --- Comparison ----------------------------------------------------------------------------------


def test_ranks_change_with_the_budget_and_equals_share_them() -> None:
    quick = [row("quick", seed, (5, 0.5)) for seed in range(4)]
    slow = [row("slow", seed, (5, 0.1), (60, 1.0)) for seed in range(4)]
    same = [row("same", seed, (5, 0.5)) for seed in range(4)]
    entries = compare(curves(results(*quick, *slow, *same), (10, 50, 100)))
    assert [entry["agent"] for entry in entries] == ["quick", "slow", "same"]
    assert [entry["rank"] for entry in entries] == [[1.5, 1.5, 2.5], [3, 3, 1], [1.5, 1.5, 2.5]]
    # 0.1 until 60 and 1.0 from there on: below 0.5 in the mean over the decade from 10 to 100.
    slow_area = 0.1 + 0.9 * math.log10(100 / 60)
    assert [entry["area"][0] for entry in entries] == pytest.approx([0.5, slow_area, 0.5])
    assert [entry["area_rank"] for entry in entries] == [1.5, 3.0, 1.5]


def test_ranks_are_averaged_over_problems_and_scores_are_pooled() -> None:
    two = [problem("p"), problem("q", default=0.0, optimum=10.0)]
    rows = [
        *(row("a", seed, (1, 0.8), on="p") for seed in range(2)),
        *(row("b", seed, (1, 0.4), on="p") for seed in range(2)),
        *(row("a", seed, (1, 2.0), on="q") for seed in range(2)),
        *(row("b", seed, (1, 6.0), on="q") for seed in range(2)),
    ]
    a, b = compare(curves(results(*rows, problems=two), (10, 100)))
    assert a["rank"] == b["rank"] == [1.5, 1.5]
    # Of the pooled 0.2, 0.2, 0.8, 0.8 and 0.4, 0.4, 0.6, 0.6 the middle half counts.
    assert a["iqm"][0] == pytest.approx([0.5, 0.5, 0.5])  # no run differs from another by its seed
    assert b["area"] == pytest.approx([0.5, 0.5, 0.5])


def test_the_interquartile_mean_leaves_out_the_extremes() -> None:
    rewards = [-5.0, 0.2, 0.4, 1.0]
    rows = [row("a", seed, (1, reward)) for seed, reward in enumerate(rewards)]
    [entry] = compare(curves(results(*rows), (10, 100)))
    estimate, low, high = entry["iqm"][-1]
    assert estimate == pytest.approx(0.3)
    assert low < estimate < high <= 1.0
    [shuffled] = compare(curves(results(*reversed(rows)), (10, 100)))
    assert shuffled == entry


def test_a_single_run_has_no_interval() -> None:
    [entry] = compare(curves(results(row("a", 0, (1, 0.5))), (10, 100)))
    assert entry["iqm"] == [[0.5, None, None]] * 2
    assert entry["area"] == [0.5, None, None]


def test_agents_that_miss_a_problem_are_not_compared() -> None:
    two = [problem("p"), problem("q")]
    rows = [row("a", 0, (1, 0.2), on="p"), row("a", 0, (1, 0.2), on="q"), row("b", 0, (1, 1.0))]
    [entry] = compare(curves(results(*rows, problems=two), (10, 100)))
    assert (entry["agent"], entry["rank"]) == ("a", [1.0, 1.0])
    assert compare([]) == []
    one_each = [row("a", 0, (1, 0.2), on="p"), row("b", 0, (1, 0.2), on="q")]
    assert compare(curves(results(*one_each, problems=two), (10, 100))) == []


# --- Study, tables and image ---------------------------------------------------------------------


def made_up() -> Results:
    """Return a sweep of four agents on two problems, with runs that failed."""
    rows = [
        *(row("dqn", seed, (3, -0.5), (40 + seed, 0.9), on=on) for on in "pq" for seed in range(3)),
        *(row("grid", seed, (2, 0.25), on=on) for on in "pq" for seed in range(3)),
        *(row("sac", seed, (2, 0.5), on="p") for seed in range(2)),
        failed("sac", 2),
        *(failed("sac", seed, "out of memory", on="q") for seed in range(3)),
        *(failed("td3", seed, on=on) for on in "pq" for seed in range(3)),
    ]
    return results(*rows, problems=[problem("p"), problem("q")])


def cells(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("| ").split(" | ")]
        for line in text.splitlines()
        if line.startswith("| ")
    ]


def test_a_study_tells_where_it_comes_from() -> None:
    study = study_of(made_up(), (10, 100), "archgym experiment sample_budget")
    assert json.loads(study_text(study)) == study
    assert study["command"] == "archgym experiment sample_budget"
    assert study["commands"] == ["the command"]
    assert (study["budget"], study["budgets"], study["seeds"]) == (100, [10, 100], 3)
    assert study["git_commits"] == ["abc"]
    assert (study["package_versions"], study["simulator_versions"]) == (["2"], ["1"])
    assert study["libraries"] == {"numpy": "9"}
    assert study["agents"]["td3"] == {"of": "td3"}
    assert study["failures"] == {
        "sac": {"runs": 4, "messages": ["no luck", "out of memory"]},
        "td3": {"runs": 6, "messages": ["no luck"]},
    }
    assert [one["name"] for one in study["problems"]] == ["p", "q"]
    assert {one["optimum_reward"] for one in study["problems"]} == {1.0}
    assert [entry["agent"] for entry in study["overall"]] == ["dqn", "grid"]
    rows = {(of["agent"], of["problem"]): of for of in study["runs"]}
    assert list(rows) == [("dqn", "p"), ("grid", "p"), ("sac", "p"), ("dqn", "q"), ("grid", "q")]
    assert rows["sac", "p"]["rank"] == [1.0, 2.0]  # it is compared where it ran
    assert rows["grid", "p"]["rank"] == [2.0, 3.0]
    assert rows["grid", "q"]["rank"] == [1.0, 2.0]
    assert rows["dqn", "p"]["scores"] == [[-0.5, 0.9]] * 3
    assert len(rows["sac", "p"]["areas"]) == len(rows["sac", "p"]["seeds"]) == 2


def test_the_tables() -> None:
    study = study_of(made_up(), (10, 100), "c")
    text = render(study)
    table = cells(text)
    assert table[0] == ["samples", "10", "100", "95 %", "area", "95 %"]
    of_dqn = -0.5 + 1.4 * (1 - math.log10(41 / 10))  # the middle one of three runs is not alone
    assert table[2][:4] == ["`grid`", "0.250", "0.250", "0.250 to 0.250"]
    assert table[3][:4] == ["`dqn`", "-0.500", "0.900", "0.900 to 0.900"]
    assert float(table[3][4]) == pytest.approx(of_dqn, abs=0.02)
    assert table[4:6] == [[f"`{agent}`", *["-"] * 5] for agent in ("sac", "td3")]
    assert table[6] == ["samples", "10", "100", "area"]
    assert table[8:10] == [["`grid`", "1.0", "2.0", "1.0"], ["`dqn`", "2.0", "1.0", "2.0"]]
    assert table[10] == ["`sac`", "-", "-", "-"]
    assert (
        "1 the optimum. Interquartile mean over all runs (problems: 2, runs of an agent on each: 3)"
        in text
    )
    assert (
        "A run of 100 samples stands for shorter ones, too. Not quite so for `dqn`, `sac`, `td3`"
        in text
    )
    assert "`dqn` explores over a share of it" in text
    assert "Failed: 4 runs of `sac` (no luck; out of memory)." in text
    assert text == render(json.loads(study_text(study)))


def test_the_tables_say_what_1_is_where_the_optimum_is_not_known() -> None:
    one = [problem("p", optimum=None)]
    text = render(study_of(results(row("a", 0, (1, 0.5)), problems=one), (10, 100), "c"))
    assert "1 the optimum, or the best design of all runs." in text
    assert "shorter" not in text
    assert cells(text)[2] == ["`a`", "1.000", "1.000", "-", "1.000", "-"]


def test_a_replay_buffer_is_told_apart_from_exploration() -> None:
    text = render(study_of(results(row("td3", 0, (1, 0.5))), (10, 100), "c"))
    assert "Not quite so for `td3`: the replay buffer is as large as the budget.\n" in f"{text}\n"


def test_the_image(tmp_path: Path) -> None:
    draw(study_of(made_up(), (10, 20, 50, 100), "c"), tmp_path / "two.png")
    draw(study_of(results(row("a", 0, (1, 0.5))), (10, 100), "c"), tmp_path / "one.png")
    images = [(tmp_path / name).read_bytes() for name in ("two.png", "one.png")]
    assert all(image.startswith(PNG) for image in images)
    # Width and height, in the first chunk: a row of panels for all problems, and one for each.
    (width, height), (same_width, one_row) = (
        (int.from_bytes(image[16:20]), int.from_bytes(image[20:24])) for image in images
    )
    assert (width, height) == (same_width, 3 * one_row)


# --- The experiment ------------------------------------------------------------------------------


def toy_sweep() -> SweepConfig:
    return SweepConfig(
        envs=(SweepEnv(env="ArchGym/Toy-v0", objectives=("minimize:delay_ns",)),),
        agents=(SweepAgent(agent="grid"), SweepAgent(agent="random_search")),
        budget=40,
        seeds=2,
    )


def command(out: Path, *options: str) -> tuple[int, list[str]]:
    """Run the experiment as the command does."""
    experiment = SampleBudgetExperiment()
    parser = argparse.ArgumentParser()
    experiment.add_arguments(parser)
    args = parser.parse_args([*options, "--out", str(out)])
    args.command_line = "archgym experiment sample_budget"
    written: list[str] = []
    return experiment.run(args, written.append), written


def study_in(folder: Path) -> dict[str, Any]:
    study: dict[str, Any] = json.loads((folder / f"{TABLE}.json").read_text(encoding="utf-8"))
    return study


def test_the_command_on_the_toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_budget, "load_preset", lambda _: toy_sweep())
    out, readme = tmp_path / "out", tmp_path / "README.md"
    page = f"# Page\n<!-- {TABLE}:begin -->\n<!-- {TABLE}:end -->\n"
    readme.write_text(page, encoding="utf-8")
    code, lines = command(out, "--budget", "60", "--jobs", "1", "--readme", str(readme))
    assert code == 0
    study = study_in(out)
    assert study == study_in(tmp_path / RESULTS)
    assert readme.read_text(encoding="utf-8") == insert_table(page, TABLE, render(study))
    assert lines[0] == render(study)
    assert lines[-1] == f"image: {out / TABLE}.png"
    assert (out / f"{TABLE}.png").read_bytes().startswith(PNG)
    assert study["budgets"] == [10, 20, 50, 60]
    assert study["commands"] == ["archgym experiment sample_budget"]
    assert list(study["agents"]) == ["grid", "random_search"]
    for found in study["runs"]:
        assert found["seeds"] == [0, 1]
        assert all(seconds > 0 for seconds in found["wall_s"])
    # The scores are those of the logged samples.
    rewards: dict[tuple[str, int], list[float]] = {}
    default = study["problems"][0]["default_reward"]
    for log in SampleDataset(out / "runs").runs():
        rewards[log.info.agent, log.info.seed] = [
            trial.reward if trial.status is Status.OK else -math.inf
            for trial in SampleDataset(log.folder).trials()
        ]
    top = max(max(own) for own in rewards.values())
    for found in study["runs"]:
        for seed, scores in zip(found["seeds"], found["scores"], strict=True):
            own = rewards[found["agent"], seed]
            assert len(own) == 60
            best = [max(own[:budget]) for budget in study["budgets"]]
            assert np.isfinite(best).all()
            assert scores == pytest.approx([(one - default) / (top - default) for one in best])


def test_the_options_change_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[SweepConfig, dict[str, Any]]] = []

    def sweep(config: SweepConfig, **options: Any) -> Results:
        called.append((config, options))
        return results(failed("genetic", 0), failed("external", 0))

    monkeypatch.setattr(sample_budget, "sweep", sweep)
    options = ["--agents", "genetic,external", "--budget", "300", "--seeds", "2", "--jobs", "3"]
    code, lines = command(tmp_path, *options)
    assert code == 1
    [(config, given_options)] = called
    assert [entry.agent for entry in config.agents] == ["genetic", "external"]
    assert (config.budget, config.seeds, config.out) == (300, (0, 1), tmp_path)
    assert len({planned.problem for planned in config.runs()}) == 4
    assert len(config.runs()) == 16
    assert given_options == {
        "resume": True,
        "jobs": 3,
        "command": "archgym experiment sample_budget",
    }
    assert lines[-1] == "no image: all runs failed"
    assert "Failed: 1 runs of `genetic` (no luck)." in lines[0]
    study = study_in(tmp_path)
    assert (study["overall"], study["runs"]) == ([], [])
    assert not (tmp_path / f"{TABLE}.png").exists()


def test_without_matplotlib_there_is_no_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find(name)
    )
    rows = (row("grid", 0, (1, 0.5)),)
    monkeypatch.setattr(sample_budget, "sweep", lambda *_, **__: results(*rows))
    code, lines = command(tmp_path, "--agents", "grid", "--budget", "20")
    assert code == 0
    assert lines[-1].startswith("no image: drawing needs matplotlib")


def test_what_cannot_work_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_budget, "sweep", lambda *_, **__: pytest.fail("it ran"))
    readme = tmp_path / "README.md"
    readme.write_text("# Page\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=f"<!-- {TABLE}:begin -->"):
        command(tmp_path, "--readme", str(readme))
    with pytest.raises(ConfigError, match="above 10 samples"):
        command(tmp_path, "--budget", "10")


def test_the_shipped_sweep_is_of_all_agents_on_problems_with_an_optimum() -> None:
    parser = argparse.ArgumentParser()
    SampleBudgetExperiment().add_arguments(parser)
    args = parser.parse_args([])
    assert args.agents == tuple(agent for agent in AGENTS.names() if agent != "external")
    assert (args.budget, args.seeds, args.out) == (10_000, 5, Path("runs/sample_budget"))
    planned = load_preset(TABLE).runs()
    assert len(planned) == 18 * 4 * 5
    assert {one.label for one in planned} == {"default"}
    problems = {one.problem: one.run for one in planned}
    assert len(problems) == 4
    for one in problems.values():
        described = describe_problem(one.env, one.env_kwargs)
        assert described.optimum is not None
        assert described.default is not None
        assert described.default.reward < described.optimum.reward


# --- What it rests on ----------------------------------------------------------------------------


@pytest.mark.parametrize("agent", AGENTS.names())
def test_agents_but_dqn_propose_the_same_whatever_the_budget(agent: str, tmp_path: Path) -> None:
    """Else a run of 10,000 samples would not tell what a shorter one would have found.

    A replay buffer matters where it has become full, which takes many known designs: not here.
    """
    short, long = (
        [trial.key for trial in proposals(agent, budget, tmp_path / str(budget))]
        for budget in (48, 96)
    )
    assert (short == long[:48]) == (agent != "dqn")


def proposals(agent: str, budget: int, out: Path) -> list[Any]:
    config = RunConfig(
        env="ArchGym/Toy-v0",
        agent=agent,
        agent_kwargs=AGENTS.load(agent).example,
        budget=budget,
        seed=1,
        out=out,
    )
    trials: list[Any] = []
    run(config, progress=trials.append)
    return trials
