"""Sweeps: resumable after a kill, with the rows of an unbroken one, here and on a cluster."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archgym_py.cli import main
from archgym_py.dataset import SampleDataset
from archgym_py.errors import ConfigError, PoolError
from archgym_py.files import LockedError, locked
from archgym_py.outcome import Outcome
from archgym_py.results import (
    describe_problem,
    read_results,
    read_rows,
    row_of,
    write_about,
    write_rows,
)
from archgym_py.runner import STATE_NAME
from archgym_py.sweep import CONFIG_NAME, sample_of, sweep
from archgym_py.sweep_config import SweepAgent, SweepConfig, SweepEnv

TALKS_NONSENSE = shlex.join([sys.executable, "-c", "print('good morning')"])
PATIENCE_S = 120.0


def config(out: Path, **changes: Any) -> SweepConfig:
    """Return 60 runs of two agents, and one of a third that fails."""
    nonsense = SweepAgent(agent="external", kwargs={"command": TALKS_NONSENSE}, seeds=(0,))
    whole = SweepConfig(
        envs=(SweepEnv(env="ArchGym/Toy-v0", objectives=("minimize:delay_ns",)),),
        agents=(
            SweepAgent(agent="genetic", draw=5),
            SweepAgent(agent="simulated_annealing", draw=5),
            replace(nonsense, default=False, configs=({},)),
        ),
        budget=400,
        seeds=5,
        out=out,
    )
    return replace(whole, **changes)


def start(sweep: SweepConfig, *options: str) -> subprocess.Popen[str]:
    path = sweep.out.parent / f"{sweep.out.name}.yaml"
    sweep.to_yaml(path)
    command = [sys.executable, "-m", "archgym_py.cli", "sweep", str(path), "--jobs", "2", *options]
    return subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )


def finished(out: Path) -> dict[Path, int]:
    """Return when the log of each finished run was written."""
    return {
        path: path.stat().st_mtime_ns
        for state in out.rglob(STATE_NAME)
        for path in state.parent.glob("part-*.parquet")
    }


def without_times(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "wall_s"} for row in rows]


def test_a_killed_sweep_goes_on_to_the_rows_of_an_unbroken_one(tmp_path: Path) -> None:
    unbroken = config(tmp_path / "unbroken")
    with start(unbroken) as process:
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1  # a run has failed
    assert "61 runs, 1 failed" in out
    assert "61/61" in err
    assert "Traceback" not in err
    expected = read_rows(unbroken.out)
    assert [row["status"] for row in expected] == ["finished"] * 60 + ["failed"]
    assert "'good morning' is no JSON" in expected[-1]["message"]
    assert all(row["samples"] == 400 for row in expected[:-1])

    broken = config(tmp_path / "broken")
    with start(broken) as process:
        deadline = time.monotonic() + PATIENCE_S
        while len(finished(broken.out)) < 10:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    before = finished(broken.out)
    assert len(before) < 60  # it was killed in the middle
    results = sweep(broken, resume=True, jobs=2, progress=False)
    assert without_times(results.rows) == without_times(expected)
    after = finished(broken.out)
    # A run may have ended between the kill of the driver and that of its workers, not the reverse.
    assert {path: after[path] for path in before} == before
    assert len(SampleDataset(broken.out / "runs")) == 60 * 400

    # What has failed is tried again; what has finished is not.
    again = sweep(broken, resume=True, jobs=1, progress=False)
    assert list(again.rows) == list(results.rows)
    assert finished(broken.out) == after


def test_a_relative_folder_and_a_relative_workload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.stl").write_text("0: read 0x0\n1: write 0x40\n", encoding="utf-8")
    relative = config(
        Path("out"),
        envs=(SweepEnv(env="ArchGym/DRAMController-v0", workloads=("own.stl",)),),
        agents=(SweepAgent(agent="random_search"),),
        budget=5,
        seeds=1,
    )
    [row] = sweep(relative, jobs=1, progress=False).rows
    assert (row["status"], row["message"]) == ("finished", "")
    assert len(SampleDataset("out/runs")) == 5
    assert not list(tmp_path.glob("runs"))


def test_too_many_failures_end_a_sweep_and_are_rows(tmp_path: Path) -> None:
    hopeless = config(
        tmp_path,
        agents=(
            SweepAgent(
                agent="external",
                default=False,
                configs=({"command": TALKS_NONSENSE},),
                seeds=tuple(range(20)),
            ),
        ),
    )
    with pytest.raises(PoolError, match=r"runs have failed, more than the 1 that"):
        sweep(hopeless, jobs=1, max_failures=1, progress=False)
    rows = read_rows(tmp_path)
    assert 2 <= len(rows) < 20  # the runs that were handed out already have failed, too
    assert {row["status"] for row in rows} == {"failed"}


def test_folders_are_not_mixed_up(tmp_path: Path) -> None:
    own = config(tmp_path / "a")
    own.out.mkdir()
    own.to_yaml(own.out / CONFIG_NAME)
    with pytest.raises(ConfigError, match=r"was begun already\. Continue or read it with --resume"):
        sweep(own, jobs=1)
    with pytest.raises(ConfigError, match="holds another sweep"):
        sweep(replace(own, budget=401), resume=True, jobs=1)
    with (
        locked(own.out, "this sweep"),
        pytest.raises(LockedError, match="another process is writing this sweep"),
    ):
        sweep(own, resume=True, jobs=1)


def test_rows_of_runs_that_are_not_planned_any_more(tmp_path: Path) -> None:
    own = config(tmp_path)
    own.to_yaml(tmp_path / CONFIG_NAME)
    run = own.runs()[0]
    other = replace(run, run=replace(run.run, budget=1))
    write_rows(tmp_path, [row_of(other, Outcome(other.run, error="x"))])
    with pytest.raises(ConfigError, match="holds runs that this sweep does not have any more"):
        sweep(own, resume=True, jobs=1)


def test_rows_of_another_simulator(tmp_path: Path) -> None:
    own = config(tmp_path)
    own.to_yaml(tmp_path / CONFIG_NAME)
    run = own.runs()[0]
    row = row_of(run, Outcome(run.run, simulator="toy", simulator_version="0"))
    write_rows(tmp_path, [row])
    with pytest.raises(ConfigError, match="was begun with the simulator 'toy 0', which is 'toy 1'"):
        sweep(own, resume=True, jobs=1)


def test_all_versions_that_took_part_are_kept(tmp_path: Path) -> None:
    own = config(tmp_path, agents=(SweepAgent(agent="random_search"),), budget=5, seeds=1)
    own.to_yaml(tmp_path / CONFIG_NAME)
    problems = [describe_problem(own.envs[0].env, {})]
    write_about(tmp_path, problems, ["archgym sweep a"], {"numpy": "0.1", "python": "3"})
    first = sweep(own, resume=True, jobs=1, progress=False, command="archgym sweep b")
    assert first.versions["numpy"].startswith("0.1, ")
    assert list(first.commands) == ["archgym sweep a", "archgym sweep b"]
    again = sweep(own, resume=True, jobs=1, progress=False, command="archgym sweep c")
    assert again.commands == first.commands  # which made nothing new


def test_a_misspelt_argument_of_an_environment_is_found_before_the_first_run(
    tmp_path: Path,
) -> None:
    wrong = config(tmp_path / "a", envs=(SweepEnv(env="ArchGym/Toy-v0", kwargs={"objektive": 1}),))
    with pytest.raises(ConfigError, match=r"no argument 'objektive'\. Did you mean 'objective'"):
        sweep(wrong, jobs=1)
    assert not wrong.out.exists()


def test_a_larger_share_holds_a_smaller_one(tmp_path: Path) -> None:
    runs = config(tmp_path, agents=(SweepAgent(agent="genetic", draw=199),)).runs()
    assert len(runs) == 1000
    tenth, half = sample_of(runs, 0.1), sample_of(runs, 0.5)
    assert 60 < len(tenth) < 140
    assert 420 < len(half) < 580
    assert [run for run in half if run in tenth] == tenth
    assert sample_of(runs, 1.0) == runs


@pytest.mark.parametrize("share", [0.0, -1.0, 1.1, float("nan")])
def test_shares_out_of_range(tmp_path: Path, share: float) -> None:
    with pytest.raises(ConfigError, match="must be above 0 and at most 1"):
        sample_of(config(tmp_path).runs(), share)


def test_a_share_that_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is none\. Take a larger one"):
        sample_of(config(tmp_path).runs(), 1e-9)


# --- On a cluster --------------------------------------------------------------------------------


CLUSTER = """
import sys
from ray.cluster_utils import Cluster

head = {"num_cpus": 0, "include_dashboard": False, "ray_client_server_port": int(sys.argv[1])}
cluster = Cluster(initialize_head=True, head_node_args=head)
cluster.add_node(num_cpus=1)
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@pytest.fixture
def addresses() -> Iterator[list[str]]:
    """Start Ray with a head that has no cores, and a second node that has one."""
    pytest.importorskip("ray")
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER, str(port)],
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        lines = (line.strip() for line in process.stdout)
        yield [
            next(line for line in lines if re.fullmatch(r"[0-9.]+:[0-9]+", line)),
            f"ray://127.0.0.1:{port}",
        ]
        process.communicate(timeout=PATIENCE_S)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_cluster_makes_the_same_rows(addresses: list[str], tmp_path: Path) -> None:
    small = config(
        tmp_path / "here", agents=(SweepAgent(agent="genetic", draw=2),), budget=50, seeds=2
    )
    here = sweep(small, jobs=1, progress=False)
    for number, address in enumerate(addresses):
        there = replace(small, out=tmp_path / f"there-{number}")
        with start(there, "--address", address) as process:
            out, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, err
        assert "6 runs." in out
        assert without_times(read_results(there.out).rows) == without_times(here.rows)


def test_an_address_without_a_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = config(tmp_path / "here", seeds=1)
    small.to_yaml(tmp_path / "sweep.yaml")
    address = f"127.0.0.1:{free_port()}"
    code = main(["sweep", str(tmp_path / "sweep.yaml"), "--address", address])
    assert code == 2
    assert f"Ray cannot be used at {address}" in capsys.readouterr().err


@pytest.mark.parametrize(("deaths", "error"), [(0, ""), (2, ""), (3, "died"), (1, "no version")])
def test_a_client_whose_server_dies_connects_again(
    deaths: int, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers of Ray's clients die now and then while the head of a cluster forks them."""
    ray = pytest.importorskip("ray")
    calls = []

    def init(**options: Any) -> None:
        calls.append(options["address"])
        if len(calls) <= deaths:
            if error == "no version":
                raise RuntimeError(error)
            raise ConnectionAbortedError("died")
        raise ValueError("connected")

    small = config(tmp_path, seeds=1)
    monkeypatch.setattr(ray, "init", init)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"ray://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(PoolError, match=f"Ray cannot be used at {address}: ") as caught:
            sweep(small, address=address, progress=False)
    assert str(caught.value).endswith(error or "connected")
    assert calls == [address] * (1 if error == "no version" else min(deaths + 1, 3))
