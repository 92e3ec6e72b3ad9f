"""Many runs in worker processes: each has an outcome, and nothing that was sampled is lost."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from archgym_py.config import RunConfig
from archgym_py.dataset import SampleDataset
from archgym_py.errors import ConfigError
from archgym_py.evaluator import Trial
from archgym_py.outcome import Outcome
from archgym_py.pool import run_all
from archgym_py.ray_workers import Ledger, Queue
from archgym_py.runner import CONFIG_NAME, read_state, run

TOY = "ArchGym/Toy-v0"
KILLS_ITS_WORKER = "import os, signal; os.kill(os.getppid(), signal.SIGKILL)"
TALKS_NONSENSE = "print('good morning')"


def toy(out: Path, agent: str = "random_search", budget: int = 30, **more: Any) -> RunConfig:
    return RunConfig(env=TOY, agent=agent, budget=budget, out=out, **more)


def program(out: Path, code: str) -> RunConfig:
    command = shlex.join([sys.executable, "-c", code])
    return toy(out, "external", agent_kwargs={"command": command})


def interrupted(config: RunConfig, after: int) -> RunConfig:
    """Begin a run in this process, and stop it as Ctrl-C does."""

    def progress(trial: Trial) -> None:
        if trial.index + 1 == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, progress=progress)
    return config


def logs(out: Path) -> dict[Path, int]:
    """Return when each file of the logs was written."""
    return {path: path.stat().st_mtime_ns for path in out.rglob("part-*.parquet")}


def test_every_run_has_an_outcome_in_the_order_of_the_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configs = [
        program(tmp_path, KILLS_ITS_WORKER),
        toy(tmp_path, seed=1),
        interrupted(toy(tmp_path, "genetic"), after=12),
        program(tmp_path, TALKS_NONSENSE),
        toy(tmp_path, seed=2, env_kwargs={"colour": "red"}),
        toy(tmp_path, seed=3),
    ]
    environment = dict(os.environ)
    outcomes = run_all(configs, jobs=2)
    assert dict(os.environ) == environment  # the limits of threads are for the workers
    assert [outcome.config for outcome in outcomes] == configs
    killed, plain, continued, nonsense, misspelt, last = outcomes
    assert killed.error == "its process died"
    assert "'good morning' is no JSON" in nonsense.error
    assert "has no argument 'colour'" in misspelt.error
    assert all(outcome.trials == 0 for outcome in (killed, nonsense, misspelt))

    for outcome in (plain, continued, last):
        assert outcome.error == ""
        assert outcome.trials == 30
        assert outcome.folder is not None
        best = SampleDataset(outcome.folder).best()
        assert best is not None
        assert (outcome.reward, outcome.metrics) == (best.reward, best.metrics)
        assert outcome.sample == best.index + 1
        assert outcome.simulator_version == "1"
    assert plain.wall_s is not None
    assert plain.wall_s > 0.0
    assert continued.wall_s is None  # nobody knows how long it would have taken in one go
    err = capsys.readouterr().err
    assert "6/6" in err
    assert "3 failed" in err

    # What is finished is read, not repeated; in another order the outcomes are too.
    finished = [last, continued, plain]
    before = logs(tmp_path)
    again = run_all([outcome.config for outcome in finished], jobs=1, progress=False)
    assert again == finished
    assert logs(tmp_path) == before
    assert capsys.readouterr().err == ""


def test_equal_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two of the runs are the same"):
        run_all([toy(tmp_path), toy(tmp_path)], jobs=1)
    assert not list(tmp_path.iterdir())


def test_no_runs() -> None:
    assert run_all([], jobs=2, progress=False) == []


def test_ctrl_c_keeps_what_was_sampled(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "archgym_py.cli", "experiment", "defaults"]
    command += ["--agents", "genetic", "--problems", "toy", "--configs", "1", "--seeds", "1"]
    command += ["--budget", "1000000", "--jobs", "2", "--out", str(tmp_path)]
    # A group of its own, which gets the signal as a whole: that is what a terminal does.
    with subprocess.Popen(
        command, text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 60.0
        while len({path.parent for path in logs(tmp_path)}) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-2:] == [
        "archgym: what was finished is kept; the same command continues",
        "archgym: interrupted",
    ]
    assert "Traceback" not in err
    folders = [path.parent for path in tmp_path.rglob(CONFIG_NAME)]
    assert len(folders) == 2
    for folder in folders:
        state = read_state(folder)
        assert state is not None
        assert state.state == "interrupted"
        assert 0 < state.samples < 1_000_000
        # The signal may have come when a sample was logged and not counted yet.
        assert len(SampleDataset(folder)) in (state.samples, state.samples + 1)


def test_the_slowest_agent_goes_first_once_all_are_known(tmp_path: Path) -> None:
    agents = ["grid", "grid", "ppo", "ppo", "ppo", "genetic", "genetic"]
    configs = [toy(tmp_path, agent, seed=seed) for seed, agent in enumerate(agents)]
    seconds = {"grid": 1.0, "ppo": 9.0, "genetic": 4.0}
    queue = Queue(configs)
    taken: list[int] = []
    left: list[float] = []
    while queue:
        [number] = queue.take(most=10)  # none is so short that a worker should have two of them
        queue.learn(number, seconds[agents[number]])
        taken.append(number)
        left.append(queue.seconds_left)
    assert order(taken, agents) == ["grid", "ppo", "genetic", "ppo", "ppo", "genetic", "grid"]
    assert sorted(taken) == list(range(7))
    assert left == [1.0, 19.0, 23.0, 14.0, 5.0, 1.0, 0.0]


def test_short_runs_are_taken_by_the_dozen(tmp_path: Path) -> None:
    queue = Queue([toy(tmp_path, seed=seed) for seed in range(40)])
    assert queue.take(most=10) == [0]  # nobody knows yet how short they are
    queue.learn(0, 0.04)
    assert queue.take(most=20) == list(range(1, 13))
    assert queue.take(most=3) == [13, 14, 15]
    queue.put_back(15)
    assert len(queue) == 25
    assert queue.take(most=1) == [15]


def order(numbers: Sequence[int], agents: Sequence[str]) -> list[str]:
    return [agents[number] for number in numbers]


def test_later_runs_say_more_about_an_agent_than_its_first(tmp_path: Path) -> None:
    queue = Queue([toy(tmp_path, seed=seed) for seed in range(4)])
    queue.learn(0, 8.0)  # it loaded the libraries
    queue.learn(1, 2.0)
    assert queue.seconds_left == 4 * 5.0


# --- The ledger, without Ray ---------------------------------------------------------------------


def done(config: RunConfig, error: str = "") -> tuple[Outcome, float]:
    return Outcome(config, error=error), 0.01


def test_a_worker_that_died_twice_in_a_run_has_failed_in_it(tmp_path: Path) -> None:
    configs = [toy(tmp_path, seed=seed) for seed in range(3)]
    ledger = Ledger(configs, None)
    ledger.join("a")
    assert ledger.exchange("a", None) == [configs[0]]
    assert ledger.exchange("a", None) == [configs[1]]
    ledger.join("a")  # again: the machine may have been at fault
    assert ledger.news().ended == ()
    assert ledger.exchange("a", None) == [configs[0]]
    ledger.join("a")
    [(number, outcome)] = ledger.news().ended
    assert (number, outcome.error) == (0, "its process died")
    assert ledger.exchange("a", None) == [configs[1]]  # it was not begun, and is not lost
    assert ledger.exchange("a", [done(configs[1])]) == [configs[2]]
    assert ledger.exchange("a", [done(configs[2])]) == []
    assert [number for number, _ in ledger.news().ended] == [1, 2]
    assert ledger.news().ended == ()


def test_of_several_runs_the_one_that_kills_is_found(tmp_path: Path) -> None:
    configs = [toy(tmp_path, seed=seed) for seed in range(20)]
    ledger = Ledger(configs, None)
    ledger.join("a")
    [first] = ledger.exchange("a", None)
    share = ledger.exchange("a", [done(first)])
    assert len(share) == 4  # a quarter of what is left, so that all workers end together
    died = 0
    tried: list[RunConfig] = []
    while share:
        if share[0].seed == 3 or configs[3] in share:
            died += 1
            ledger.join("a")
            share = ledger.exchange("a", None)
            continue
        tried += share
        share = ledger.exchange("a", [done(config) for config in share])
    ended = dict(ledger.news().ended)
    assert sorted(ended) == list(range(20))
    assert [number for number, outcome in ended.items() if outcome.error] == [3]
    assert died == 2  # in the share, and alone
    assert configs[3] not in tried


def test_too_many_failures_stop_the_ledger(tmp_path: Path) -> None:
    configs = [toy(tmp_path, seed=seed) for seed in range(5)]
    ledger = Ledger(configs, 1)
    ledger.join("a")
    [config] = ledger.exchange("a", None)
    [config] = ledger.exchange("a", [done(config, "broken")])
    assert not ledger.is_stopped()
    assert ledger.exchange("a", [done(config, "broken")]) == []
    assert ledger.is_stopped()


def test_a_worker_that_gave_up_has_failed_in_nothing(tmp_path: Path) -> None:
    ledger = Ledger([toy(tmp_path)], None)
    ledger.join("a")
    ledger.exchange("a", None)
    ledger.stop()
    ledger.leave("a", [])
    ledger.join("a")
    assert ledger.news().ended == ()
    assert ledger.exchange("a", None) == []


def test_what_had_ended_when_a_worker_gave_up_is_kept(tmp_path: Path) -> None:
    configs = [toy(tmp_path, seed=seed) for seed in range(20)]
    ledger = Ledger(configs, None)
    ledger.join("a")
    [first] = ledger.exchange("a", None)
    share = ledger.exchange("a", [done(first)])
    ledger.leave("a", [done(share[0])])
    assert [number for number, _ in ledger.news().ended] == [0, 1]
