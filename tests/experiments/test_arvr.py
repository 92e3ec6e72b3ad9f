"""The table of distances to the budgets, and the experiment that makes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from archgym_py.cli import main
from archgym_py.config import RunConfig
from archgym_py.experiments import problems
from archgym_py.experiments.arvr import TABLE, render
from archgym_py.experiments.tables import RESULTS, insert_table
from archgym_py.outcome import Outcome
from archgym_py.registry import AGENTS

ROOT = Path(__file__).resolve().parents[2]
STUDY: dict[str, Any] = {
    "budget": 1000,
    "seeds": 3,
    "problems": [
        {"name": "limited", "baseline": 99.887},
        {"name": "comprehensive", "baseline": 99.887},
    ],
    "failures": {"ppo": {"runs": 2, "messages": ["no luck"]}},
    "runs": [
        {
            "agent": "grid",
            "problem": "limited",
            "best": [91.0, 93.0, 92.0],
            "budgets_met": [2.0, 2.0, 2.0],
        },
        {
            "agent": "grid",
            "problem": "comprehensive",
            "best": [5.0, 6.0, 7.0],
            "budgets_met": [3.0, 2.0, 3.0],
        },
        {
            "agent": "genetic",
            "problem": "limited",
            "best": [91.5, 92.5, 92.5],
            "budgets_met": [2.0, 2.0, 2.0],
        },
        {
            "agent": "genetic",
            "problem": "comprehensive",
            "best": [4e-9, 4e-9, 1.5],
            "budgets_met": [4.0, 4.0, 3.0],
        },
        {
            "agent": "ppo",
            "problem": "limited",
            "best": [93.0, None, None],
            "budgets_met": [2.0, None, None],
        },
        {
            "agent": "ppo",
            "problem": "comprehensive",
            "best": [6.0, None, None],
            "budgets_met": [2.0, None, None],
        },
    ],
}


def test_the_table() -> None:
    text = render(STUDY)
    assert "within 1,000 samples" in text
    assert "of 3 runs" in text
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows] == [
        "| agent",
        "| ---",
        "| default design",
        "| `genetic`",  # the best one in the last space
        "| `grid`",
        "| `ppo`",  # has mostly found nothing
    ]
    assert rows[0][1:] == ["limited", "budgets met", "comprehensive", "budgets met |"]
    assert rows[2][1:] == ["99.887", "", "99.887", " |"]
    assert rows[3][1:] == ["92.5 (92–92.5)", "0 of 3", "0 (0–0.75)", "2 of 3 |"]
    assert rows[5][1].startswith("none")
    assert "Failed: 2 runs of `ppo` (no luck)." in text


def test_the_experiment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = tmp_path / "README.md"
    page = f"# Page\n<!-- {TABLE}:begin -->\n<!-- {TABLE}:end -->\n"
    readme.write_text(page, encoding="utf-8")
    command = ["experiment", "arvr", "--agents", "genetic,random_search", "--budget", "8"]
    out = tmp_path / "runs"
    options = ["--seeds", "2", "--jobs", "2", "--out", str(out), "--readme", str(readme)]
    assert main([*command, *options]) == 0
    text = (tmp_path / RESULTS / "arvr.json").read_text(encoding="utf-8")
    study = json.loads(text)
    assert (out / "arvr.json").read_text(encoding="utf-8") == text
    assert readme.read_text(encoding="utf-8") == insert_table(page, TABLE, render(study))
    assert capsys.readouterr().out.startswith(render(study))
    assert [problem["name"] for problem in study["problems"]] == ["limited", "comprehensive"]
    assert all(problem["baseline"] > 50 for problem in study["problems"])
    assert len(study["runs"]) == 4
    for row in study["runs"]:
        assert len(row["best"]) == len(row["budgets_met"]) == 2
        assert all(0 < best < 1e3 for best in row["best"])


def test_failed_runs_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_all(configs: list[RunConfig], *, jobs: int) -> list[Outcome]:
        assert jobs > 0
        assert {config.env_kwargs["space"] for config in configs} == {"limited"}
        return [Outcome(config, error="no luck") for config in configs]

    monkeypatch.setattr(problems, "run_all", run_all)
    command = ["experiment", "arvr", "--agents", "grid", "--spaces", "limited"]
    assert main([*command, "--out", str(tmp_path)]) == 1
    study = json.loads((tmp_path / "arvr.json").read_text(encoding="utf-8"))
    assert study["failures"] == {"grid": {"runs": 5, "messages": ["no luck"]}}


def test_a_page_without_markers_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# Page\n", encoding="utf-8")
    assert main(["experiment", "arvr", "--readme", str(readme), "--out", str(tmp_path)]) != 0
    assert f"<!-- {TABLE}:begin -->" in capsys.readouterr().err


def test_the_readme_has_the_table_of_the_results() -> None:
    study = json.loads((ROOT / RESULTS / "arvr.json").read_text(encoding="utf-8"))
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert page == insert_table(page, TABLE, render(study))
    assert list(study["agents"]) == list(AGENTS.names())
    assert (study["budget"], study["seeds"]) == (1000, 5)
    assert study["failures"] == {}
