"""What becomes of a run: whatever happens is an outcome, and a log says the same."""

from __future__ import annotations

import dataclasses
import shlex
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

import archgym_py.outcome
from archgym_py.config import RunConfig
from archgym_py.dataset import LoggedRun, SampleDataset
from archgym_py.errors import InfeasibleDesign
from archgym_py.evaluator import Trial
from archgym_py.files import locked
from archgym_py.outcome import Outcome, outcome_of_log, run_outcome
from archgym_py.runner import run
from archgym_py.simulator import Evaluation, Status
from archgym_py.simulators.toy import ToySimulator

TOY = "ArchGym/Toy-v0"


def toy(out: Path, agent: str = "genetic", **changes: Any) -> RunConfig:
    return RunConfig(**{"env": TOY, "agent": agent, "budget": 40, "out": out, **changes})


def log_of(folder: Path | None) -> LoggedRun:
    assert folder is not None
    [log] = SampleDataset(folder).runs()
    return log


def interrupt(config: RunConfig, after: int) -> None:
    def progress(trial: Trial) -> None:
        if trial.index + 1 == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_outcome(config, progress=progress)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"agent": "random_search", "seed": 3},
        {"env_kwargs": {"objective": "minimize:delay_ns"}},
        {"env_kwargs": {"objective": "pareto:cost_usd,delay_ns"}, "agent": "nsga2"},
        {"env": "ArchGym/ToySequential-v0"},
    ],
)
def test_the_outcome_of_a_run_is_that_of_its_log(tmp_path: Path, changes: dict[str, Any]) -> None:
    config = toy(tmp_path, **changes)
    outcome = run_outcome(config)
    assert outcome.error == ""
    assert outcome.trials == 40
    assert outcome_of_log(log_of(outcome.folder), config) == outcome
    # The log, sample by sample.
    assert outcome.folder is not None
    trials = list(SampleDataset(outcome.folder).trials())
    feasible = [trial for trial in trials if trial.status is Status.OK]
    assert outcome.feasible == len(feasible)
    best = max(feasible, key=lambda trial: (trial.reward, -trial.index))
    assert (outcome.reward, outcome.sample) == (best.reward, best.index + 1)
    assert (outcome.design, outcome.metrics) == (best.design, best.metrics)
    so_far = [
        (trial.index + 1, trial.reward)
        for number, trial in enumerate(feasible)
        if all(trial.reward > earlier.reward for earlier in feasible[:number])
    ]
    assert list(outcome.improvements) == so_far
    assert so_far[-1] == (outcome.sample, outcome.reward)


def test_what_is_finished_is_read_and_not_repeated(tmp_path: Path) -> None:
    samples: list[int] = []
    outcome = run_outcome(toy(tmp_path), progress=lambda trial: samples.append(trial.index))
    assert samples == list(range(40))
    assert outcome.wall_s is not None
    assert outcome.wall_s > 0.0
    again = run_outcome(toy(tmp_path), progress=lambda trial: samples.append(trial.index))
    assert again == outcome  # the seconds, too, are those of the first time
    assert len(samples) == 40


def test_a_run_that_was_interrupted_goes_on(tmp_path: Path) -> None:
    config = toy(tmp_path / "cut")
    interrupt(config, after=15)
    samples: list[int] = []
    outcome = run_outcome(config, progress=lambda trial: samples.append(trial.index))
    assert samples == list(range(15, 40))
    whole = run_outcome(toy(tmp_path / "whole"))
    assert outcome.wall_s is None  # nobody knows how long it would have taken in one go
    elsewhere = dataclasses.replace(whole, config=config, folder=outcome.folder, wall_s=None)
    assert outcome == elsewhere


def test_an_unfinished_log(tmp_path: Path) -> None:
    config = toy(tmp_path)
    interrupt(config, after=15)
    [folder] = {part.parent for part in tmp_path.rglob("part-*.parquet")}
    outcome = outcome_of_log(log_of(folder), config)
    assert outcome.error == "has 15 of 40 samples: interrupted"
    assert (outcome.trials, outcome.wall_s) == (15, None)
    whole = run_outcome(dataclasses.replace(config, out=tmp_path / "whole"))
    expected = tuple(entry for entry in whole.improvements if entry[0] <= 15)
    assert outcome.improvements == expected
    assert (outcome.sample, outcome.reward) == expected[-1]


def test_a_plain_log_gives_the_same(tmp_path: Path) -> None:
    config = toy(tmp_path)
    log = run(config).log
    assert run_outcome(config) == outcome_of_log(log, config)


def test_of_equals_the_first_is_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    same = Mock(return_value=Evaluation({"cost_usd": 20.0, "delay_ns": 900.0}))
    monkeypatch.setattr(ToySimulator, "evaluate", same)
    config = toy(tmp_path)
    outcome = run_outcome(config)
    assert (outcome.sample, outcome.improvements) == (1, ((1, 0.0),))
    assert outcome_of_log(log_of(outcome.folder), config) == outcome


def test_nothing_feasible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rejected = Mock(side_effect=InfeasibleDesign("does not fit"))
    monkeypatch.setattr(ToySimulator, "evaluate", rejected)
    baseline = {"cost_usd": 30.0, "delay_ns": 900.0}
    config = toy(tmp_path, env_kwargs={"baseline": baseline})
    outcome = run_outcome(config)
    assert (outcome.error, outcome.trials, outcome.feasible) == ("", 40, 0)
    found = (outcome.reward, outcome.design, outcome.metrics, outcome.sample)
    assert found == (None, None, None, None)
    assert outcome.improvements == ()
    assert outcome_of_log(log_of(outcome.folder), config) == outcome


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"agent": "genetics"}, "unknown agent 'genetics'. Did you mean 'genetic'?"),
        ({"env": "ArchGym/Tow-v0"}, "unknown environment 'ArchGym/Tow-v0'. Did you mean"),
        ({"agent_kwargs": {"elites": -1}}, "agent 'genetic': "),
        ({"env_kwargs": {"colour": 1}}, "ArchGym/Toy-v0 has no argument 'colour'."),
    ],
)
def test_what_is_wrong_with_a_run_is_its_outcome(
    tmp_path: Path, changes: dict[str, Any], error: str
) -> None:
    config = toy(tmp_path, **changes)
    outcome = run_outcome(config)
    assert outcome.error.startswith(error)
    assert outcome == Outcome(config, error=outcome.error)


def test_an_agent_that_gives_up_is_an_outcome(tmp_path: Path) -> None:
    command = shlex.join([sys.executable, "-c", "print('hello')"])
    outcome = run_outcome(toy(tmp_path, "external", agent_kwargs={"command": command}))
    assert "'hello' is no JSON" in outcome.error


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
        (RuntimeError(), "RuntimeError: "),
    ],
)
def test_a_defect_of_an_agent_is_an_outcome(tmp_path: Path, raised: Exception, error: str) -> None:
    def progress(trial: Trial) -> None:
        if trial.index == 5:
            raise raised

    config = toy(tmp_path)
    assert run_outcome(config, progress=progress) == Outcome(config, error=error)
    assert run_outcome(config).trials == 40  # it can be tried again


def test_a_locked_run_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = toy(tmp_path)
    folder = run_outcome(config).folder
    assert folder is not None
    with ExitStack() as held:
        held.enter_context(locked(folder, "this run"))
        naps: list[float] = []

        def sleep(seconds: float) -> None:
            naps.append(seconds)
            if len(naps) == 3:
                held.close()  # whoever held it lets go

        monkeypatch.setattr(time, "sleep", sleep)
        assert run_outcome(config).error == ""
    assert len(naps) == 3


def test_waiting_for_a_lock_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = toy(tmp_path)
    folder = run_outcome(config).folder
    assert folder is not None
    monkeypatch.setattr(archgym_py.outcome, "_PATIENCE_S", 0.3)
    # Another process holds it, as the worker of a sweep that was killed may.
    code = (
        "import sys; from pathlib import Path; from archgym_py.files import locked\n"
        "with locked(Path(sys.argv[1]), 'this run'): print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        outcome = run_outcome(config)
        assert outcome.error == (
            f"{folder}: another process is writing this run. Wait until it ends."
        )
        assert outcome == Outcome(config, error=outcome.error)
        holder.kill()
    assert run_outcome(config).error == ""  # the system lifts the lock of a dead process
