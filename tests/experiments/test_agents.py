"""The table of agents: its measures, how it is written, and the experiment that makes it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from archgym_py.cli import main
from archgym_py.config import RunConfig
from archgym_py.dataset import SampleDataset
from archgym_py.errors import ConfigError
from archgym_py.experiments import agents, problems
from archgym_py.experiments.agents import TABLE, regret, render, summarize
from archgym_py.experiments.tables import RESULTS, insert_table
from archgym_py.outcome import Outcome
from archgym_py.registry import AGENTS

ROOT = Path(__file__).resolve().parents[2]


# ---- measures ------------------------------------------------------------------------------------


def test_regret() -> None:
    assert regret(102.5, 100.0) == pytest.approx(2.5)
    assert regret(5290.0, 5290.0) == 0.0
    assert regret(None, 100.0) == math.inf
    with pytest.raises(ConfigError, match=r"found 99.0, below the enumerated optimum 100.0"):
        regret(99.0, 100.0)


def test_summary() -> None:
    summary = summarize(
        best=[100.0, 101.0, 100.0, 104.0, None],
        samples=[70, 90, 40, 12, None],
        early=[102.0, 103.0, 100.0, 104.0, None],
        optimum=100.0,
    )
    assert (summary.low, summary.median, summary.high) == (0.0, 1.0, 4.0)
    assert summary.hits == 2
    assert summary.early == 3.0
    assert summary.samples == math.inf  # three of five did not find it
    assert summarize([100.0] * 3, [70, 90, 40], [100.0] * 3, 100.0).samples == 70.0


# ---- tables --------------------------------------------------------------------------------------


def row(agent: str, problem: str, best: list[Any], samples: list[Any], early: list[Any]) -> Any:
    return {
        "agent": agent,
        "problem": problem,
        "best": best,
        "samples": samples,
        "early": early,
        "wall_s": [1.0, 2.0, None],
    }


STUDY: dict[str, Any] = {
    "budget": 1000,
    "early": 100,
    "seeds": 3,
    "problems": [{"name": "time", "optimum": 100.0}, {"name": "energy", "optimum": 200.0}],
    "runs": [
        row("random_search", "time", [100.0, 100.0, 102.0], [300, 700, 50], [104.0, 103.0, 102.0]),
        row("random_search", "energy", [201.0] * 3, [500, 600, 700], [204.0] * 3),
        row("genetic", "time", [100.0] * 3, [200, 250, 900], [101.0] * 3),
        row("genetic", "energy", [200.0] * 3, [400, 800, 300], [204.0] * 3),
        row("ppo", "time", [None, None, 100.0], [None, None, 800], [None] * 3),
        row("ppo", "energy", [200.00001] * 3, [9, 9, 9], [200.00001] * 3),
    ],
    "failures": {"ppo": {"runs": 2, "messages": ["it broke"]}},
}


def test_tables() -> None:
    late, late_table, soon, soon_table, legend, failed = render(STUDY).split("\n\n")
    assert late.startswith("Regret in percent after 1,000 samples: median")
    assert "how many of 3 runs found the optimum itself" in late
    # Sorted by the regret; a median is compared strictly, and ties are shown.
    assert late_table.splitlines() == [
        "| agent | time | energy | beats random | s per run |",
        "| --- | --: | --: | --: | --: |",
        "| `genetic` | 0 (0–0), 3 | 0 (0–0), 3 | 1 (1 tie) | 1.5 |",
        "| `random_search` | 0 (0–1.00), 2 | 0.50 (0.50–0.50), 0 |  | 1.5 |",
        "| `ppo` | none (none–none), 1 | <0.01 (<0.01–<0.01), 0 | 1 | 1.5 |",
    ]
    assert "after the first 100 samples" in soon
    assert soon_table.splitlines() == [
        "| agent | time | energy | beats random |",
        "| --- | --: | --: | --: |",
        "| `genetic` | 1.00 / 250 | 2.00 / 400 | 1 (1 tie) / 2 |",
        "| `random_search` | 3.00 / 700 | 2.00 / - |  |",
        "| `ppo` | none / - | <0.01 / - | 1 / 0 (1 tie) |",
    ]
    assert "strictly below" in legend
    assert failed == "Failed: 2 runs of `ppo` (it broke)."


def test_equal_regrets_are_sorted_by_the_early_ones() -> None:
    study = deepcopy(STUDY)
    study["runs"][0]["best"] = [100.0] * 3
    study["runs"][1]["best"] = [200.0] * 3
    study["runs"][3]["early"] = [250.0] * 3
    order = [line.split("`")[1] for line in render(study).splitlines() if line.startswith("| `")]
    assert order == ["random_search", "genetic", "ppo"] * 2


def test_the_readme_has_the_table_of_the_results() -> None:
    study = json.loads((ROOT / RESULTS / "agents.json").read_text(encoding="utf-8"))
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert page == insert_table(page, TABLE, render(study))
    assert list(study["agents"]) == ["random_search"] + [
        name for name in AGENTS.names() if name != "random_search"
    ]
    assert (study["budget"], study["seeds"]) == (1000, 20)
    assert study["failures"] == {}


# ---- the experiment ------------------------------------------------------------------------------


def experiment(out: Path, *more: str, budget: int = 6) -> list[str]:
    command = ["experiment", "agents", "--agents", "genetic", "--budget", str(budget)]
    return [*command, "--seeds", "2", "--jobs", "2", "--out", str(out), *more]


def test_the_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(agents, "_EARLY", 3)
    out, readme = tmp_path / "runs", tmp_path / "README.md"
    page = "# Page\n<!-- agents:begin -->\n<!-- agents:end -->\nend\n"
    readme.write_text(page, encoding="utf-8")
    assert main(experiment(out, "--readme", str(readme))) == 0
    text = (tmp_path / RESULTS / "agents.json").read_text(encoding="utf-8")
    study = json.loads(text)
    table = render(study)
    assert readme.read_text(encoding="utf-8") == insert_table(page, TABLE, table)
    assert capsys.readouterr().out.startswith(table)
    assert (out / "agents.json").read_text(encoding="utf-8") == text

    assert study["command"].startswith("archgym experiment agents --agents genetic")
    assert (study["budget"], study["early"], study["seeds"]) == (6, 3, 2)
    assert list(study["agents"]) == ["random_search", "genetic"]
    assert study["agents"]["genetic"] == AGENTS.load("genetic").hyperparameters.default()
    assert study["libraries"].keys() >= {"archgym_py", "numpy", "torch"}
    assert study["failures"] == {}
    names = ["cloud, time", "cloud, energy", "random, time", "random, energy"]
    assert [problem["name"] for problem in study["problems"]] == names
    assert [(r["agent"], r["problem"]) for r in study["runs"]] == [
        (agent, name) for agent in study["agents"] for name in names
    ]
    # A row is a line, so that changes can be read.
    assert sum(line.lstrip().startswith('{"agent"') for line in text.splitlines()) == 8

    logged: dict[tuple[str, str], list[tuple[float, int, float]]] = {}
    samples = SampleDataset(out)
    for log in sorted(samples.runs(), key=lambda log: log.info.seed):
        [problem] = [
            problem
            for problem in study["problems"]
            if problem["env_kwargs"] == json.loads(log.info.env_kwargs)
        ]
        values = [trial.metrics[problem["metric"]] for trial in SampleDataset(log.folder).trials()]
        assert len(values) == 6
        best = min(values)
        logged.setdefault((log.info.agent, problem["name"]), []).append(
            (best, values.index(best) + 1, min(values[:3]))
        )
    for r in study["runs"]:
        of_row = list(zip(r["best"], r["samples"], r["early"], strict=True))
        assert of_row == logged[r["agent"], r["problem"]]
        assert all(seconds > 0.0 for seconds in r["wall_s"])


def test_a_page_without_a_place_is_noticed_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# Page\n")
    assert main(experiment(tmp_path / "runs", "--readme", str(readme))) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "once each, in this order" in captured.err
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def pretend(monkeypatch: pytest.MonkeyPatch, **result: Any) -> None:
    """Have every run end with a result at once."""

    def run_all(configs: Sequence[RunConfig], **_: Any) -> list[Outcome]:
        return [Outcome(config, **result) for config in configs]

    monkeypatch.setattr(problems, "run_all", run_all)


def test_an_optimum_of_another_simulator_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(monkeypatch, trials=6, simulator_version="0.9")
    assert main(experiment(tmp_path)) == 2
    err = capsys.readouterr().err
    assert "the optimum of 'cloud, time' is of version " in err
    assert "of agent 'random_search' of version 0.9. Enumerate the optimum anew" in err


def test_runs_that_fail_are_rows_and_notes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(monkeypatch, error="out of luck")
    assert main(experiment(tmp_path)) == 1
    out = capsys.readouterr().out
    assert "| `genetic` | none (none–none), 0 | " in out
    assert "Failed: 8 runs of `genetic` (out of luck)." in out
    study = json.loads((tmp_path / "agents.json").read_text(encoding="utf-8"))
    assert study["failures"]["random_search"] == {"runs": 8, "messages": ["out of luck"]}
    assert {tuple(r["best"]) for r in study["runs"]} == {(None, None)}


def test_an_unknown_agent_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["experiment", "agents", "--agents", "gentic"])
    assert caught.value.code == 2
    assert "unknown agent 'gentic'. Did you mean 'genetic'?" in capsys.readouterr().err
