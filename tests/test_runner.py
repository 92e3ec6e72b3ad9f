"""Runs: exactly the budget, the same samples for the same seed, also after a kill."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pyarrow as pa
import pytest

import archgym_py.configs
from archgym_py import registry
from archgym_py.agents.a2c import A2C
from archgym_py.agents.genetic import Genetic
from archgym_py.agents.sb3 import POLICY_NAME
from archgym_py.config import RunConfig
from archgym_py.dataset import SampleDataset
from archgym_py.environment import DesignEnv
from archgym_py.errors import (
    AgentError,
    ConfigError,
    ReplayMismatch,
    SimulatorTimeout,
    UnknownNameError,
)
from archgym_py.evaluator import Trial
from archgym_py.log import DatasetError, part_name, read_parts
from archgym_py.runner import (
    CONFIG_NAME,
    STATE_NAME,
    RunState,
    make_env,
    metrics_evaluator,
    read_state,
    run,
)
from archgym_py.simulator import Evaluation, Status
from archgym_py.simulators.toy import TOY_SPACE, ToySimulator
from archgym_py.space import Design

AGENTS = ("random_search", "genetic")


def make(out: Path, **changes: Any) -> RunConfig:
    return RunConfig(
        **{
            "env": "ArchGym/Toy-v0",
            "agent": "random_search",
            "budget": 200,
            "seed": 5,
            "out": out,
            **changes,
        }
    )


def rows(run_dir: Path) -> pa.Table:
    """Everything that is logged but the time it took."""
    return SampleDataset(run_dir).table().drop_columns(["wall_s"])


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("budget", [1, 7, 150])
def test_a_run_takes_its_budget_and_logs_it(tmp_path: Path, agent: str, budget: int) -> None:
    config = make(tmp_path, agent=agent, budget=budget)
    seen: list[Trial] = []
    result = run(config, progress=seen.append)
    assert result.trials == budget
    assert sum(result.counts.values()) == budget
    assert [trial.index for trial in seen] == list(range(budget))
    assert list(SampleDataset(result.run_dir).trials()) == seen
    assert [path.name for path in sorted(result.run_dir.glob("[!.]*"))] == [
        CONFIG_NAME,
        STATE_NAME,
        part_name(0),
    ]
    assert RunConfig.from_yaml(result.run_dir / CONFIG_NAME) == config
    feasible = [trial for trial in seen if trial.status is Status.OK]
    assert result.best == max(feasible, key=lambda trial: trial.reward)
    assert result.log.info.run_id == config.run_id
    assert result.log.info.objective == "product:cost_usd*delay_ns"
    assert result.log.default is not None
    assert result.log.default.design == make_env("ArchGym/Toy-v0").space.default()


@pytest.mark.parametrize("agent", AGENTS)
def test_equal_seeds_give_equal_samples(tmp_path: Path, agent: str) -> None:
    first = run(make(tmp_path / "a", agent=agent))
    second = run(make(tmp_path / "b", agent=agent), flush_rows=7)
    other = run(make(tmp_path / "c", agent=agent, seed=6))
    assert rows(first.run_dir).equals(rows(second.run_dir))
    assert rows(first.run_dir).column("key") != rows(other.run_dir).column("key")


def test_a_logged_run_is_not_overwritten(tmp_path: Path) -> None:
    config = make(tmp_path)
    first = run(config)
    with pytest.raises(ConfigError, match=r"logged already. Continue or read it with --resume"):
        run(config)
    (first.run_dir / CONFIG_NAME).unlink()
    with pytest.raises(ConfigError, match="logged already"):
        run(config)


def test_a_finished_run_returns_its_result(tmp_path: Path) -> None:
    config = make(tmp_path)
    first = run(config)
    before = (first.run_dir / part_name(0)).stat()
    seen: list[Trial] = []
    again = run(config, resume=True, progress=seen.append)
    assert not seen
    assert (first.run_dir / part_name(0)).stat() == before
    assert dataclasses.replace(again, wall_s=first.wall_s) == first


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("done", [0, 1, 64, 65, 130, 199])
def test_an_interrupted_run_goes_on_to_the_same_samples(
    tmp_path: Path, agent: str, done: int
) -> None:
    whole = run(make(tmp_path / "whole", agent=agent))
    config = make(tmp_path / "cut", agent=agent)

    def interrupt(trial: Trial) -> None:
        if trial.index >= done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, progress=interrupt)
    logged = len(SampleDataset(tmp_path / "cut"))
    assert logged == done + 1
    result = run(config, resume=True)
    assert result.trials == 200
    assert rows(result.run_dir).equals(rows(whole.run_dir))
    assert result.best is not None
    assert whole.best is not None
    assert result.best.key == whole.best.key
    assert result.counts == whole.counts


def start_command(out: Path, agent: str, budget: int, before: str = "") -> subprocess.Popen[bytes]:
    """Start `archgym run` in a process of its own, after some other code."""
    arguments = ["run", "--env", "ArchGym/Toy-v0", "--agent", agent, "--budget", str(budget)]
    arguments += ["--seed", "5", "--out", str(out), "--flush-rows", "40"]
    code = f"{before}\nimport sys\nfrom archgym_py.cli import main\nsys.exit(main({arguments!r}))"
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.parametrize("agent", AGENTS)
def test_sigkill_loses_the_unflushed_part_only(tmp_path: Path, agent: str) -> None:
    budget = 6000
    process = start_command(tmp_path / "cut", agent, budget)
    wait_for(lambda: len(list((tmp_path / "cut").rglob("part-*.parquet"))) > 10)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL

    samples = SampleDataset(tmp_path / "cut")
    survived = len(samples)
    assert 400 <= survived < budget
    assert survived % 40 == 0
    assert samples.table(["index"]).column("index").to_pylist() == list(range(survived))

    resumed = run(make(tmp_path / "cut", agent=agent, budget=budget), resume=True)
    whole = run(make(tmp_path / "whole", agent=agent, budget=budget))
    assert rows(resumed.run_dir).equals(rows(whole.run_dir))
    assert resumed.counts == whole.counts


KILL_AT_THIRD_RENAME = """
import os, pathlib, signal
rename, count = pathlib.Path.replace, 0
def replace(path, target):
    global count
    count += target.suffix == ".parquet"
    if count == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(path, target)
pathlib.Path.replace = replace
"""
KILL_AFTER_MERGE = """
import os, pathlib, signal
def unlink(path, missing_ok=False):
    os.kill(os.getpid(), signal.SIGKILL)
pathlib.Path.unlink = unlink
"""


@pytest.mark.parametrize(
    ("before", "survived", "files"),
    [(KILL_AT_THIRD_RENAME, 80, 2), (KILL_AFTER_MERGE, 200, 5)],
    ids=["before a rename", "amid the merge"],
)
def test_sigkill_at_the_worst_moments(
    tmp_path: Path, before: str, survived: int, files: int
) -> None:
    process = start_command(tmp_path / "cut", "random_search", 200, before)
    assert process.wait() == -signal.SIGKILL
    config = make(tmp_path / "cut")
    assert len(list((tmp_path / "cut").rglob("part-*.parquet"))) == files
    assert len(list((tmp_path / "cut").rglob("*.tmp"))) == (1 if survived < 200 else 0)
    assert len(SampleDataset(tmp_path / "cut")) == survived

    resumed = run(config, resume=True)
    assert rows(resumed.run_dir).equals(rows(run(make(tmp_path / "whole")).run_dir))
    assert not list((tmp_path / "cut").rglob("*.tmp"))
    assert len(read_parts(resumed.run_dir)) == 1


class NoisySimulator(ToySimulator):
    """A toy that measures with noise and sometimes fails."""

    deterministic: ClassVar[bool] = False

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        noise = np.random.default_rng(seed).random()
        if noise < 0.1:
            raise SimulatorTimeout("took too long")
        exact = super().evaluate(design, seed=seed).metrics
        return Evaluation({name: value * (1.0 + noise / 10.0) for name, value in exact.items()})


class NoisyEnv(DesignEnv):
    """An environment around it."""

    def __init__(self, workload: str = "some") -> None:
        baseline = {"cost_usd": 10.0, "delay_ns": 1000.0}
        super().__init__(TOY_SPACE, NoisySimulator(), "minimize:delay_ns", baseline=baseline)


@pytest.fixture
def noisy() -> Iterator[str]:
    gym.register("Test/Noisy-v0", entry_point=NoisyEnv)  # type: ignore[arg-type]
    yield "Test/Noisy-v0"
    del gym.registry["Test/Noisy-v0"]


def test_noise_comes_from_the_seed(tmp_path: Path, noisy: str) -> None:
    whole = run(make(tmp_path / "whole", env=noisy))
    assert set(whole.counts) == {Status.OK, Status.TIMEOUT}
    assert whole.log.info.workload == "some"
    config = make(tmp_path / "cut", env=noisy)
    with pytest.raises(RuntimeError):
        run(config, progress=fail_at(70))
    assert rows(run(config, resume=True).run_dir).equals(rows(whole.run_dir))
    other = run(make(tmp_path / "other", env=noisy, seed=6))
    assert other.counts != whole.counts


def test_two_processes_do_not_write_one_run(tmp_path: Path) -> None:
    config = make(tmp_path)

    def resume_too(trial: Trial) -> None:
        if trial.index == 10:
            with pytest.raises(ConfigError, match="another process is writing this run"):
                run(config, resume=True)

    assert run(config, progress=resume_too).trials == 200


def test_a_log_of_another_version_is_not_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make(tmp_path)
    with pytest.raises(RuntimeError):
        run(config, progress=fail_at(50))
    monkeypatch.setattr("archgym_py.simulators.toy.ToySimulator.version", "other")
    with pytest.raises(DatasetError, match=r"begun with simulator_version .* 'other' now"):
        run(config, resume=True)


def test_an_agent_that_changed_does_not_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make(tmp_path)
    with pytest.raises(RuntimeError):
        run(config, progress=fail_at(50))
    monkeypatch.setattr(
        "archgym_py.agents.random_search.RandomSearch.ask",
        lambda agent, n: [agent.space.default()] * n,
    )
    with pytest.raises(ReplayMismatch):
        run(config, resume=True)


def fail_at(index: int) -> Callable[[Trial], None]:
    def progress(trial: Trial) -> None:
        if trial.index == index:
            raise RuntimeError

    return progress


def test_a_full_disk_keeps_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make(tmp_path)
    written = 0

    def fsync(_: int) -> None:
        nonlocal written
        written += 1
        if written > 6:  # two for _run.yaml, two for each part
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(OSError, match="No space left"):
            run(config, flush_rows=20)
    assert len(SampleDataset(tmp_path)) == 40
    assert run(config, resume=True).trials == 200


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"agent": "genetics"},
            UnknownNameError,
            "unknown agent 'genetics'. Did you mean 'genetic'?",
        ),
        ({"env": "ArchGym/Toi-v0"}, UnknownNameError, "Did you mean 'ArchGym/Toy-v0'?"),
        ({"env": "nowhere:Toy-v0"}, UnknownNameError, "unknown environment 'nowhere:Toy-v0'"),
        ({"env": "CartPole-v1"}, ConfigError, "its steps are not designs"),
        (
            {"env": "archgym_py:ArchGym/SoCScheduler-v0"},
            ConfigError,
            "Train a policy on gymnasium.make('archgym_py:ArchGym/SoCScheduler-v0')",
        ),
        (
            {"env_kwargs": {"objectiv": "x"}},
            ConfigError,
            "no argument 'objectiv'. Did you mean 'objective'?",
        ),
        ({"env_kwargs": {"objective": "minimize:delay"}}, ConfigError, "delay"),
        ({"env_kwargs": {"baseline": 3}}, ConfigError, "baseline"),
        ({"agent_kwargs": {"batch": 3}}, ConfigError, "batch_size"),
        ({"agent_kwargs": {"batch_size": 0}}, ConfigError, "batch_size"),
        ({"agent_kwargs": {"seed": 0}}, ConfigError, "seed"),
    ],
)
def test_mistakes_are_found_before_anything_is_written(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        run(make(tmp_path / "out", **changes))
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_ids_with_a_module(tmp_path: Path) -> None:
    env = make_env("archgym_py:ArchGym/Toy-v0", {"objective": "minimize:delay_ns"})
    assert env.objective.name == "minimize:delay_ns"
    assert not isinstance(env, gym.Wrapper)
    result = run(make(tmp_path, env="archgym_py:ArchGym/Toy-v0", budget=3))
    assert result.run_dir.parent.parent.name == "env=archgym_py%3AArchGym%2FToy-v0"


@pytest.mark.parametrize(
    "path", sorted((Path(archgym_py.configs.__file__).parent / "runs").glob("*.yaml")), ids=str
)
def test_shipped_runs_can_start(path: Path) -> None:
    config = RunConfig.from_yaml(path)
    env = make_env(config.env, config.env_kwargs)
    agent = registry.AGENTS.load(config.agent)(env.space, seed=0, **config.agent_kwargs)
    assert agent.space == env.space


def test_metrics_need_no_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    env = make_env("ArchGym/Toy-v0")
    monkeypatch.setattr(type(env), "baseline", property(lambda _: pytest.fail("simulated")))
    trial = metrics_evaluator(env).evaluate(env.space.default())
    assert trial.status is Status.OK
    assert trial.reward == 0.0


def test_the_default_design_costs_no_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated: list[object] = []
    evaluate = ToySimulator.evaluate

    def counted(simulator: ToySimulator, design: Design, *, seed: int) -> Evaluation:
        simulated.append(design)
        return evaluate(simulator, design, seed=seed)

    monkeypatch.setattr(ToySimulator, "evaluate", counted)
    result = run(make(tmp_path, budget=3))
    assert result.trials == len(SampleDataset(tmp_path)) == 3
    assert len(simulated) > 3  # the default design as well


# ---- how a run ended -----------------------------------------------------------------------------


def test_a_finished_run_says_so(tmp_path: Path) -> None:
    result = run(make(tmp_path, budget=30))
    state = read_state(result.run_dir)
    assert state is not None
    assert state == RunState("finished", 30, 30, "", state.wall_s)
    assert state.wall_s is not None
    assert 0.0 < state.wall_s < result.wall_s


@pytest.mark.parametrize(
    ("error", "state", "message"),
    [
        (AgentError("the model diverged."), "failed", "the model diverged."),
        (RuntimeError(), "failed", "RuntimeError"),
        (KeyboardInterrupt(), "interrupted", ""),
    ],
)
def test_a_run_that_breaks_off_says_why_and_keeps_its_samples(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    state: str,
    message: str,
) -> None:
    config = make(tmp_path, agent="genetic", budget=60)

    def stop(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(Genetic, "learn", stop)
        with pytest.raises(type(error)):
            run(config)
    [log] = SampleDataset(tmp_path).runs()
    assert log.rows == 24
    assert read_state(log.folder) == RunState(state, 24, 60, message)
    result = run(config, resume=True)
    assert read_state(log.folder) == RunState("finished", 60, 60, "")
    whole = run(make(tmp_path / "whole", agent="genetic", budget=60))
    assert rows(result.run_dir).equals(rows(whole.run_dir))


def test_a_run_under_way_has_no_state(tmp_path: Path) -> None:
    config = make(tmp_path)
    states = []

    def look(_: Trial) -> None:
        [saved] = tmp_path.rglob(CONFIG_NAME)
        states.append(read_state(saved.parent))

    result = run(config, progress=look)
    assert states == [None] * 200
    (result.run_dir / STATE_NAME).write_text("{}")
    with pytest.raises(DatasetError, match=r"_state.json: is damaged"):
        read_state(result.run_dir)


# ---- several goals -------------------------------------------------------------------------------


def test_several_goals_have_an_archive_also_after_an_interruption(tmp_path: Path) -> None:
    config = make(tmp_path, budget=80, env_kwargs={"objective": "pareto:delay_ns,cost_usd"})

    def interrupt(trial: Trial) -> None:
        if trial.index == 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, progress=interrupt)
    result = run(config, resume=True)
    assert result.pareto is not None
    feasible = [t for t in SampleDataset(result.run_dir).trials() if t.status is Status.OK]
    expected = {
        t.rewards
        for t in feasible
        if not any(
            o.rewards != t.rewards and all(map(float.__ge__, o.rewards, t.rewards))
            for o in feasible
        )
    }
    assert len(expected) > 1
    assert {trial.rewards for trial in result.pareto.front} == expected
    assert result.pareto.hypervolume() > 0.0
    assert run(make(tmp_path)).pareto is None


# ---- agents that learn ---------------------------------------------------------------------------


def test_a_policy_is_saved_beside_the_log(tmp_path: Path) -> None:
    config = make(tmp_path, agent="a2c", budget=12)
    result = run(config, tensorboard=tmp_path / "board")
    agent = A2C(TOY_SPACE, seed=0)
    agent.load(result.run_dir / POLICY_NAME)
    agent.run(limited(3))
    assert list((tmp_path / "board").rglob("events.out.tfevents*"))
    assert len(SampleDataset(tmp_path).runs()) == 1  # what lies beside a log does not disturb it


def test_an_agent_without_tensorboard_logs_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'random_search' writes no TensorBoard logs"):
        run(make(tmp_path), tensorboard=tmp_path / "board")
    assert not list(tmp_path.iterdir())


def limited(budget: int) -> DesignEnv:
    env = make_env("ArchGym/Toy-v0")
    env.new_evaluator(budget=budget)
    return env
