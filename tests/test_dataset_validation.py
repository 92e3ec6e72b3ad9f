"""Samples are simulated again: what differs is found, what cannot be compared is skipped."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from archgym_py.config import RunConfig
from archgym_py.dataset import SampleDataset
from archgym_py.dataset_validation import validate
from archgym_py.errors import ConfigError
from archgym_py.log import DatasetError
from archgym_py.recorder import ParquetRecorder
from archgym_py.runner import make_env, run
from archgym_py.simulator import PROXY, Status
from archgym_py.simulators.toy import ToySimulator


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for seed, env in enumerate(("ArchGym/Toy-v0", "ArchGym/ToySequential-v0")):
        run(RunConfig(env=env, agent="genetic", budget=60, seed=seed, out=folder))
    return folder


def altered(source: Path, out: Path, **changes: Any) -> None:
    """Write a run again with other values in every sample."""
    samples = SampleDataset(source)
    [log] = samples.runs()
    env = make_env(log.info.env_id, json.loads(log.info.env_kwargs))
    info = dataclasses.replace(log.info, **changes.pop("info", {}))
    recorder = ParquetRecorder(out, info, env.space, env.simulator.metrics)
    env.close()
    for trial in samples.trials():
        recorder.append(dataclasses.replace(trial, **changes))
    recorder.close()


def test_all_is_as_logged(out: Path) -> None:
    done: list[int] = []
    found = validate(SampleDataset(out), progress=done.append)
    assert (found.compared, found.skipped, found.mismatches, found.notes) == (120, 0, [], [])
    assert sum(done) == 120


def test_a_draw_is_repeatable(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    evaluate = ToySimulator.evaluate

    def spy(self: ToySimulator, design: Any, *, seed: int) -> Any:
        calls.append(tuple(design.values()))
        return evaluate(self, design, seed=seed)

    monkeypatch.setattr(ToySimulator, "evaluate", spy)
    draws = []
    for seed in (1, 1, 2):
        calls.clear()
        assert validate(SampleDataset(out), samples=30, seed=seed).compared == 30
        draws.append(list(calls))
    assert draws[0] == draws[1] != draws[2]
    assert len(draws[0]) == 30


def test_what_differs_is_named(out: Path, tmp_path: Path) -> None:
    source = SampleDataset(out).runs()[0].folder
    first = next(trial for trial in SampleDataset(source).trials() if trial.status == "ok")
    wrong = {**first.metrics, "cost_usd": 12.5}
    altered(source, tmp_path, metrics=wrong, status=Status.OK, info={"simulator_version": "0"})
    found = validate(SampleDataset(tmp_path), samples=20)
    assert found.compared == 20
    assert {info.simulator_version for info, _ in found.mismatches} == {"0"}
    [same] = [
        mismatch
        for _, mismatch in validate(SampleDataset(tmp_path)).mismatches
        if mismatch.index == first.index
    ]
    assert (same.column, same.logged, same.now) == (
        "metric.cost_usd",
        12.5,
        first.metrics["cost_usd"],
    )
    [note] = found.notes
    assert "ArchGym/Toy-v0 {}: logged with version 0 of simulator toy, simulated with" in note


def test_what_cannot_be_compared_is_skipped(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = SampleDataset(out).runs()[0].folder
    altered(source, tmp_path / "timeout", metrics={}, status=Status.TIMEOUT)
    found = validate(SampleDataset(tmp_path / "timeout"))
    assert (found.compared, found.skipped, found.mismatches) == (0, 60, [])
    altered(source, tmp_path / "proxy", fidelity=PROXY)
    with pytest.raises(DatasetError, match="no sample of a simulator to compare with"):
        validate(SampleDataset(tmp_path / "proxy"))
    both = SampleDataset(source, tmp_path / "proxy")
    assert (validate(both).compared, len(both)) == (60, 120)
    monkeypatch.setattr(ToySimulator, "deterministic", False)
    found = validate(SampleDataset(source))
    assert (found.compared, found.skipped) == (0, 60)
    assert "is not deterministic, 60 samples skipped" in found.notes[0]


def test_wrong_numbers_of_samples(out: Path) -> None:
    with pytest.raises(ConfigError, match="samples"):
        validate(SampleDataset(out), samples=0)
