"""The hyperparameter lottery: its presets, its table, and the command."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from archgym_py.analysis import analyse
from archgym_py.cli import main
from archgym_py.errors import ConfigError
from archgym_py.experiments import lottery
from archgym_py.experiments.lottery import (
    PRESETS,
    TABLE,
    render,
    study_of,
)
from archgym_py.experiments.tables import RESULTS, insert_table
from archgym_py.outcome import run_outcome
from archgym_py.results import (
    RESULTS_NAME,
    describe_problem,
    read_results,
    row_of,
    write_about,
    write_rows,
)
from archgym_py.sweep_config import SweepAgent, SweepConfig, SweepEnv, load_preset

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("lottery", 2_230),
        ("lottery_full", 21_600),
        ("lottery_published", 8_268),  # the size of the published study's part on the memory
        ("lottery_published_dnn", 5_859),  # and on the accelerator
    ],
)
def test_presets(name: str, runs: int) -> None:
    assert name in PRESETS
    assert len(load_preset(name).runs()) == runs


def test_all_files_of_sweeps_can_be_read() -> None:
    for path in sorted((ROOT / "configs" / "sweeps").glob("*.yaml")):
        assert SweepConfig.from_yaml(path).runs()


def test_budgets_are_equal_in_ours_and_as_published_in_theirs() -> None:
    for name in ("lottery", "lottery_full"):
        config = load_preset(name)
        assert {run.run.budget for run in config.runs()} == {config.budget}
    budgets: dict[str, Counter[int]] = {}
    for run in load_preset("lottery_published").runs():
        budgets.setdefault(run.run.agent, Counter())[run.run.budget] += 1
    assert (min(budgets["ant_colony"]), max(budgets["ant_colony"])) == (4, 1024)
    assert (min(budgets["genetic"]), max(budgets["genetic"])) == (16, 4096)
    assert dict(budgets["bayesian"]) == {16: 60, 32: 60, 64: 60}
    assert dict(budgets["random_search"]) == {10_000: 12, 20_000: 12}


def small(out: Path) -> SweepConfig:
    return SweepConfig(
        envs=(
            SweepEnv(
                env="ArchGym/DRAMController-v0",
                workloads=("cloud-saturating-1k", "random-saturating-1k"),
                objectives=("minimize:energy_pj",),
            ),
        ),
        agents=(
            SweepAgent(agent="random_search"),
            SweepAgent(agent="genetic", draw=2),
        ),
        budget=20,
        seeds=3,
        out=out,
    )


def filled(config: SweepConfig) -> SweepConfig:
    """Make the runs of a sweep without Ray."""
    runs = config.runs()
    config.out.mkdir()
    rows = [row_of(run, run_outcome(run.run)) for run in runs]
    write_rows(config.out, rows)
    problems = {run.problem: (run.run.env, run.run.env_kwargs) for run in runs}
    described = [describe_problem(*problem) for problem in problems.values()]
    write_about(config.out, described, ["archgym sweep x"], {"archgym_py": "0.1.0"})
    config.to_yaml(config.out / "sweep.yaml")
    return config


def test_the_table_is_made_of_the_rows(tmp_path: Path) -> None:
    config = filled(small(tmp_path / "out"))
    data = analyse(read_results(config.out))
    study = study_of(data, config, "archgym experiment lottery")
    json.dumps(study, allow_nan=False)
    by_agent = {row["agent"]: row for row in study["runs"]}
    assert {agent: row["runs"] for agent, row in by_agent.items()} == {
        "random_search": 6,
        "genetic": 18,
    }
    lines = render(study).splitlines()
    assert lines[0].startswith("Scores of 24 runs on `DRAMController cloud-saturating-1k")
    cells = {
        line.split("|")[1].strip(): line.split("|")[2:-1]
        for line in lines
        if line.startswith("| `")
    }
    genetic = [cell.strip() for cell in cells["`genetic`"]]
    row = by_agent["genetic"]
    assert genetic[0] == "3"
    assert genetic[1].startswith(f"{row['iqm'][0]:.3f} (")
    assert genetic[3:6] == [f"{row[name]:.3f}" for name in ("mean", "default_score", "tuned_score")]
    assert genetic[6] == f"{row['optimal_runs']} of 18"
    assert cells["`random_search`"][5].strip() == "-"  # there is nothing to tune
    assert lines[-1].startswith("Variance of the scores: ")


def test_the_command_reads_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = filled(small(tmp_path / "out"))
    monkeypatch.setattr(lottery, "load_preset", lambda _: small(Path("elsewhere")))
    readme = tmp_path / "README.md"
    page = f"# Page\n<!-- {TABLE}:begin -->\n<!-- {TABLE}:end -->\n"
    readme.write_text(page, encoding="utf-8")
    options = ["--out", str(config.out), "--readme", str(readme)]
    assert main(["experiment", "lottery", *options]) == 0
    out = capsys.readouterr().out
    assert "24 runs." in out
    assert (config.out / "report.html").stat().st_size > 1_000_000
    study = json.loads((tmp_path / RESULTS / "lottery.json").read_text(encoding="utf-8"))
    assert readme.read_text(encoding="utf-8") == insert_table(page, TABLE, render(study))
    assert (config.out / RESULTS_NAME).exists()


@pytest.mark.parametrize(
    ("given", "agents", "runs"),
    [
        ({}, 2, 24),
        ({"agents": ("genetic",)}, 1, 18),
        ({"configs": 4}, 2, 36),
        ({"seeds": 1, "budget": 7}, 2, 8),
    ],
)
def test_options_change_a_preset(
    tmp_path: Path, given: dict[str, Any], agents: int, runs: int
) -> None:
    names = ("agents", "configs", "seeds", "budget", "out")
    args = argparse.Namespace(preset="x", **{**dict.fromkeys(names), **given})
    changed = lottery._adapted(small(tmp_path), args)
    assert len(changed.agents) == agents
    assert len(changed.runs()) == runs
    assert changed.budget == given.get("budget", 20)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"budget": 7}, "--budget: agents of the preset 'lottery_published' have their own"),
        ({"configs": 3}, "--configs: the preset 'lottery_published' draws no configurations"),
    ],
)
def test_options_that_a_preset_has_no_use_for(given: dict[str, Any], message: str) -> None:
    names = ("agents", "configs", "seeds", "budget", "out")
    preset = "lottery_published"
    args = argparse.Namespace(preset=preset, **{**dict.fromkeys(names), **given})
    with pytest.raises(ConfigError, match=message):
        lottery._adapted(load_preset(preset), args)


def test_an_agent_that_a_preset_does_not_have(tmp_path: Path) -> None:
    args = argparse.Namespace(
        preset="lottery", agents=("grid",), configs=None, seeds=None, budget=None, out=tmp_path
    )
    with pytest.raises(ConfigError, match="has no agent 'grid', only random_search, genetic"):
        lottery._adapted(small(tmp_path), args)


def test_a_page_without_a_place_is_found_before_the_runs(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# Page\n", encoding="utf-8")
    out = tmp_path / "out"
    assert main(["experiment", "lottery", "--readme", str(readme), "--out", str(out)]) == 2
    assert not out.exists()


def test_the_readme_has_the_table_of_the_results() -> None:
    study = json.loads((ROOT / RESULTS / f"{TABLE}.json").read_text(encoding="utf-8"))
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert page == insert_table(page, TABLE, render(study))
