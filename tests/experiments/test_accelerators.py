"""The table of energy-delay products, and the experiment that makes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from archgym_py.cli import main
from archgym_py.config import RunConfig
from archgym_py.experiments import problems
from archgym_py.experiments.accelerators import TABLE, render
from archgym_py.experiments.tables import RESULTS, insert_table
from archgym_py.outcome import Outcome
from archgym_py.registry import AGENTS

ROOT = Path(__file__).resolve().parents[2]
STUDY: dict[str, Any] = {
    "budget": 500,
    "seeds": 3,
    "problems": [
        {"name": "chip", "baseline": 250_000.0},
        {"name": "array", "baseline": 48_000.0},
    ],
    "failures": {"ppo": {"runs": 1, "messages": ["no luck"]}},
    "runs": [
        {"agent": "grid", "problem": "chip", "best": [200e3, 400e3, 300e3]},
        {"agent": "grid", "problem": "array", "best": [1e3, 1e3, 1e3]},
        {"agent": "genetic", "problem": "chip", "best": [100e3, 90e3, 110e3]},
        {"agent": "genetic", "problem": "array", "best": [2e3, 3e3, 1e3]},
        {"agent": "ppo", "problem": "chip", "best": [100e3, None, None]},
        {"agent": "ppo", "problem": "array", "best": [2e3, 3e3, 1e3]},
    ],
}


def test_the_table() -> None:
    text = render(STUDY)
    assert "within 500 samples" in text
    assert "of 3 runs" in text
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows] == [
        "| agent",
        "| ---",
        "| baseline design",
        "| `genetic`",  # sqrt(100 * 2) is below sqrt(300 * 1)
        "| `grid`",
        "| `ppo`",  # has mostly found nothing
    ]
    assert rows[2][1:] == ["250", "48 |"]
    assert rows[3][1:] == ["100 (95–105)", "2 (1.5–2.5) |"]
    assert rows[5][1].startswith("none")
    assert "Failed: 1 runs of `ppo` (no luck)." in text


def test_the_experiment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = tmp_path / "README.md"
    page = f"# Page\n<!-- {TABLE}:begin -->\n<!-- {TABLE}:end -->\n"
    readme.write_text(page, encoding="utf-8")
    command = ["experiment", "accelerators", "--agents", "genetic,random_search", "--budget", "8"]
    out = tmp_path / "runs"
    options = ["--seeds", "2", "--jobs", "2", "--out", str(out), "--readme", str(readme)]
    assert main([*command, *options]) == 0
    text = (tmp_path / RESULTS / "accelerators.json").read_text(encoding="utf-8")
    study = json.loads(text)
    assert (out / "accelerators.json").read_text(encoding="utf-8") == text
    assert readme.read_text(encoding="utf-8") == insert_table(page, TABLE, render(study))
    assert capsys.readouterr().out.startswith(render(study))
    assert [problem["name"] for problem in study["problems"]] == [
        "published space",
        "systolic array",
    ]
    assert all(problem["baseline"] > 0 for problem in study["problems"])
    assert len(study["runs"]) == 4
    assert all(len(row["best"]) == 2 for row in study["runs"])


def test_failed_runs_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_all(configs: list[RunConfig], *, jobs: int) -> list[Outcome]:
        assert jobs > 0
        return [Outcome(config, error="no luck") for config in configs]

    monkeypatch.setattr(problems, "run_all", run_all)
    command = ["experiment", "accelerators", "--agents", "grid", "--out", str(tmp_path)]
    assert main(command) == 1
    study = json.loads((tmp_path / "accelerators.json").read_text(encoding="utf-8"))
    assert study["failures"] == {"grid": {"runs": 10, "messages": ["no luck"]}}


def test_the_readme_has_the_table_of_the_results() -> None:
    study = json.loads((ROOT / RESULTS / "accelerators.json").read_text(encoding="utf-8"))
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert page == insert_table(page, TABLE, render(study))
    assert list(study["agents"]) == list(AGENTS.names())
    assert (study["budget"], study["seeds"]) == (500, 5)
    assert study["failures"] == {}
