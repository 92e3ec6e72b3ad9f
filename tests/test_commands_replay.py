"""Replay: equal where nothing changed, and every difference where something did."""

from __future__ import annotations

import pytest

from archgym_py.commands_replay import Mismatch, Replay, replay
from archgym_py.config import RunConfig
from archgym_py.dataset import LoggedRun, SampleDataset
from archgym_py.runner import run
from archgym_py.simulator import Evaluation
from archgym_py.simulators.toy import ToySimulator
from archgym_py.space import Design


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> LoggedRun:
    out = tmp_path_factory.mktemp("runs")
    config = RunConfig(env="ArchGym/Toy-v0", agent="genetic", budget=3000, seed=2, out=out)
    return run(config).log


def replayed(log: LoggedRun, limit: int | None = None) -> tuple[Replay, list[Mismatch], int]:
    mismatches: list[Mismatch] = []
    done: list[int] = []
    result = replay(log, limit=limit, report=mismatches.append, progress=done.append)
    return result, mismatches, sum(done)


def test_nothing_changed(log: LoggedRun) -> None:
    assert replayed(log) == (Replay(compared=3000), [], 3000)
    assert replayed(log, limit=7) == (Replay(compared=7), [], 7)
    assert replayed(log, limit=10**6)[0].compared == 3000


def test_differences_are_reported(log: LoggedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate = ToySimulator.evaluate

    def slower(simulator: ToySimulator, design: Design, *, seed: int) -> Evaluation:
        metrics = dict(evaluate(simulator, design, seed=seed).metrics)
        if design["unit"] == "scalar":
            metrics["delay_ns"] *= 1.0 + 1e-15
        return Evaluation(metrics)

    monkeypatch.setattr(ToySimulator, "evaluate", slower)
    monkeypatch.setattr(ToySimulator, "version", "2")
    result, mismatches, _ = replayed(log)
    trials = {trial.index: trial for trial in SampleDataset(log.folder).trials()}
    assert mismatches
    assert result.mismatches == len(mismatches)
    assert result.note == "logged with version 1 of simulator toy, replayed with version 2"
    # The reward compares with the default design, which is a scalar one.
    assert {mismatch.column for mismatch in mismatches} == {"metric.delay_ns", "reward", "rewards"}
    for mismatch in mismatches:
        if mismatch.column == "metric.delay_ns":
            trial = trials[mismatch.index]
            assert trial.design["unit"] == "scalar"
            assert mismatch.logged == trial.metrics["delay_ns"]
            assert mismatch.now > mismatch.logged


def test_noise_is_not_compared(log: LoggedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToySimulator, "deterministic", False)
    result, mismatches, _ = replayed(log)
    assert result.compared == 0
    assert not mismatches
    assert "not deterministic" in result.note
