"""Reports: tables and curves of logged runs."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archgym_py.config import RunConfig
from archgym_py.dataset import SampleDataset
from archgym_py.errors import ConfigError
from archgym_py.report import (
    Finding,
    best_of_runs,
    best_so_far,
    check_image,
    comparison,
    curves,
    hypervolume_so_far,
    plot_best_so_far,
    trade_offs,
)
from archgym_py.runner import run


def search(out: Path, **changes: Any) -> None:
    run(
        RunConfig(
            **{"env": "ArchGym/Toy-v0", "agent": "genetic", "budget": 40, "out": out, **changes}
        )
    )


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for seed in range(3):
        search(folder, seed=seed)
    search(folder, agent="random_search", budget=25)
    search(folder, env_kwargs={"objective": "minimize:delay_ns"})
    search(
        folder, env_kwargs={"objective": "minimize:delay_ns"}, agent_kwargs={"mutation_rate": 0.5}
    )
    return folder


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.booleans()), min_size=1))
def test_best_so_far_is_the_maximum_of_each_prefix(samples: list[tuple[float, bool]]) -> None:
    rewards, feasible = zip(*samples, strict=True)
    for index, best in enumerate(best_so_far(rewards, feasible)):
        good = [reward for reward, ok in samples[: index + 1] if ok]
        assert best == max(good) if good else np.isnan(best)


def test_curves(out: Path) -> None:
    found = curves(SampleDataset(out))
    assert set(found) == {
        "ArchGym/Toy-v0, product:cost_usd*delay_ns",
        "ArchGym/Toy-v0 objective=minimize:delay_ns, minimize:delay_ns",
    }
    product = {curve.label: curve for curve in found["ArchGym/Toy-v0, product:cost_usd*delay_ns"]}
    assert set(product) == {"genetic", "random_search"}
    genetic = product["genetic"]
    assert (genetic.runs, len(genetic.median)) == (3, 40)
    assert len(product["random_search"].median) == 25
    known = ~np.isnan(genetic.median)
    assert known[-1]
    assert (genetic.low <= genetic.median)[known].all()
    assert (genetic.median <= genetic.high)[known].all()
    assert (np.diff(genetic.high[known]) >= 0).all()
    best = [
        finding.best.reward
        for finding in best_of_runs(out)
        if finding.best
        and finding.log.info.agent == "genetic"
        and finding.log.info.env_kwargs == "{}"
    ]
    assert genetic.high[-1] == max(best)
    assert genetic.low[-1] == min(best)
    assert genetic.median[-1] == sorted(best)[1]


def test_agents_are_told_apart_by_what_differs(out: Path) -> None:
    found = curves(SampleDataset(out))[
        "ArchGym/Toy-v0 objective=minimize:delay_ns, minimize:delay_ns"
    ]
    assert len({curve.label for curve in found}) == 2
    assert all(curve.label.startswith("genetic (mutation_rate=") for curve in found)


def test_tables(out: Path) -> None:
    findings = best_of_runs(out)
    assert len(findings) == 6
    findings = [finding for finding in findings if finding.log.info.env_kwargs == "{}"]
    lines = comparison(findings).splitlines()
    header = next(line for line in lines if "random_search seed 0" in line)
    assert header.split()[0] == "default"
    assert header.split()[-1] == "unit"
    assert "genetic seed 2" in header
    delay = next(line for line in lines if line.startswith("delay_ns")).split()
    default = findings[0].log.default
    assert default is not None
    assert delay[1] == f"{default.metrics['delay_ns']:.6g}"
    assert delay[-1] == "ns"
    assert len(delay) == 7
    for finding in findings:
        assert finding.best is not None
        assert f"{finding.best.metrics['delay_ns']:.6g}" in comparison([finding])
        assert str(finding.best.design["buffer_kib"]) in comparison([finding])


def test_a_run_without_a_feasible_design(out: Path) -> None:
    log = SampleDataset(out).runs()[0]
    table = comparison([Finding(log, None)])
    assert [line.split()[-2:] for line in table.splitlines() if line.startswith("delay_ns")] == [
        ["-", "ns"]
    ]


def test_runs_that_differ_in_their_budget_only(tmp_path: Path) -> None:
    search(tmp_path, budget=5)
    search(tmp_path, budget=6)
    ids = [log.info.run_id for log in SampleDataset(tmp_path).runs()]
    assert all(
        f"genetic seed 0 run {run_id}" in comparison(best_of_runs(tmp_path)) for run_id in ids
    )


@pytest.mark.parametrize("name", ["a.png", "a.svg", "a.pdf"])
def test_plot(out: Path, tmp_path: Path, name: str) -> None:
    plot_best_so_far(SampleDataset(out), tmp_path / name)
    assert (tmp_path / name).stat().st_size > 5000
    if name == "a.svg":
        image = (tmp_path / name).read_text(encoding="utf-8")
        assert all(
            f"<!-- {word}" in image for word in ("genetic (3 runs)", "default design", "samples")
        )


def test_images_that_cannot_be_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"End the name in .png, .pdf, .svg"):
        check_image(tmp_path / "a.jpeg")
    with pytest.raises(ConfigError, match=r"the folder .* does not exist"):
        check_image(tmp_path / "none" / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ConfigError, match=r"is a folder\. Name the image"):
        check_image(tmp_path / "folder.png")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'archgym_py\[report\]'"):
        check_image(tmp_path / "a.png")


# ---- several goals -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_goals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for seed in range(2):
        search(folder, seed=seed, env_kwargs={"objective": "pareto:delay_ns,cost_usd"})
    return folder


def test_trade_offs_are_listed_with_their_hypervolume(two_goals: Path) -> None:
    findings = best_of_runs(two_goals)
    text = trade_offs(findings)
    for finding in findings:
        assert finding.pareto is not None
        assert finding.log.default is not None
        twice = {name: 2.0 * value for name, value in finding.log.default.metrics.items()}
        assert (
            f"hypervolume {finding.pareto.hypervolume():.6g} (reference point: "
            f"delay_ns {twice['delay_ns']:.6g} ns, cost_usd {twice['cost_usd']:.6g} USD)"
        ) in text
        for trial in finding.pareto.front:
            values = f"{trial.metrics['delay_ns']:.6g}", f"{trial.metrics['cost_usd']:.6g}"
            assert any(line.split() == [f"{trial.index + 1}", *values] for line in text.split("\n"))


def test_one_goal_has_no_trade_offs(out: Path) -> None:
    assert trade_offs(best_of_runs(out)) == ""


def test_long_fronts_are_cut_and_moocore_may_be_missing(
    two_goals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [finding, _] = best_of_runs(two_goals)
    assert finding.best is not None
    assert finding.pareto is not None
    for step in range(1, 60):
        rewards = (10.0 + step, 10.0 - step)
        assert finding.pareto.add(dataclasses.replace(finding.best, rewards=rewards))
    monkeypatch.setitem(sys.modules, "moocore", None)
    text = trade_offs([finding])
    assert f"and {len(finding.pareto.front) - 20} more" in text
    assert "hypervolume not known: this needs moocore. Install it with: pip" in text


def test_curves_of_several_goals_show_the_hypervolume(two_goals: Path) -> None:
    [[curve]] = curves(SampleDataset(two_goals)).values()
    assert curve.measure == "hypervolume so far"
    volumes = []
    for finding in best_of_runs(two_goals):
        assert finding.pareto is not None
        trials = list(SampleDataset(finding.log.folder).trials())
        course = hypervolume_so_far(trials, finding.pareto.reference)
        assert len(course) == 40
        assert (np.diff(course) >= 0).all()
        volumes.append(finding.pareto.hypervolume())
        assert course[-1] == volumes[-1]
    assert (curve.low[-1], curve.high[-1]) == (min(volumes), max(volumes))


def test_two_goals_have_a_panel_of_fronts(two_goals: Path, tmp_path: Path) -> None:
    plot_best_so_far(SampleDataset(two_goals), tmp_path / "a.svg")
    image = (tmp_path / "a.svg").read_text(encoding="utf-8")
    for words in ("hypervolume so far", "genetic (2 runs)", "delay_ns (ns)", "cost_usd (USD)"):
        assert f"<!-- {words}" in image
