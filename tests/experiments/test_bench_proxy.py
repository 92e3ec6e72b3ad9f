"""The benchmark of proxies measures what it says; how fast they are, no test asks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from archgym_py.cores import CORES_VARIABLE, cores
from archgym_py.errors import InfeasibleDesign, ProxyFileError
from archgym_py.experiments import bench_proxy
from archgym_py.experiments.bench_proxy import (
    PROBLEMS,
    Speed,
    main,
    measure_speed,
    one_thread,
    speed_table,
)
from archgym_py.experiments.problems import Problem
from archgym_py.proxy import Proxy, fit_proxy
from archgym_py.registration import ENVS
from archgym_py.simulator import Evaluation
from archgym_py.simulators.toy import ToySimulator
from archgym_py.space import Design

TOY = PROBLEMS["Toy"]


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_proxy, "_SHORT_S", 0.001)


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Proxy]:
    samples = bench_proxy._samples(TOY, 200, tmp_path_factory.mktemp("runs"))
    return {
        f"{trees} trees": fit_proxy(samples, hyperparameters={"trees": trees}) for trees in (2, 3)
    }


def test_every_environment_of_designs_has_its_place() -> None:
    timed = {problem.env for problems in PROBLEMS.values() for problem in problems}
    assert timed == {entry.id for entry in ENVS if entry.is_design and "Sequential" not in entry.id}
    assert all("10k" in problem.name for problem in PROBLEMS["DRAMController"])


def test_all_proxies_are_timed_on_batches_of_the_same_size(proxies: dict[str, Proxy]) -> None:
    speeds = measure_speed(TOY, proxies, designs=40, repeats=3)
    assert [speed.model for speed in speeds] == ["2 trees", "3 trees"]
    for speed in speeds:
        assert (speed.metrics, speed.designs) == (2, 40)
        assert min(speed.native, speed.proxy, speed.predict, speed.predict_ratio) > 0
        assert 0 < speed.low <= speed.ratio <= speed.high


def test_each_repeat_has_designs_and_a_simulator_of_its_own(
    proxies: dict[str, Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[int, list[Design]] = {}
    kept: list[object] = []  # so that no two simulators have the same address

    def evaluate(self: ToySimulator, design: Design, *, seed: int) -> Evaluation:
        assert seed == 0
        kept.append(self)
        seen.setdefault(id(self), []).append(dict(design))
        assert cores() == 1
        return Evaluation({"cost_usd": 20.0, "delay_ns": 1000.0})

    monkeypatch.setattr(ToySimulator, "evaluate", evaluate)
    measure_speed(TOY, proxies, designs=36, repeats=2)
    batches = [tuple(map(repr, designs[1:])) for designs in seen.values() if len(designs) == 37]
    assert len(batches) == 2  # and one design before, which is not timed
    assert len(set(batches)) == 2


def test_one_thread_is_kept_to_and_given_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CORES_VARIABLE, "7")
    with one_thread():
        assert cores() == 1
    assert cores() == 7
    monkeypatch.delenv(CORES_VARIABLE)
    with pytest.raises(ValueError, match="stop"), one_thread():
        raise ValueError("stop")
    assert CORES_VARIABLE not in os.environ


def test_torch_gets_its_threads_back() -> None:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_a_design_that_does_not_work_is_an_answer() -> None:
    class Picky(ToySimulator):
        calls = 0

        def evaluate(self, design: Design, *, seed: int) -> Evaluation:
            self.calls += 1
            raise InfeasibleDesign("too small")

    simulator = Picky()
    bench_proxy._evaluate(simulator, [dict(simulator.optimum)] * 3)
    assert simulator.calls == 3


def test_a_slow_simulator_has_smaller_batches(
    proxies: dict[str, Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_proxy, "_rate", lambda _: 100.0)
    [speed, _] = measure_speed(TOY, proxies, designs=1000, repeats=1)
    assert speed.designs == 150  # of a second and a half


def test_a_proxy_of_something_else_is_refused(proxies: dict[str, Proxy]) -> None:
    with pytest.raises(ProxyFileError, match="the proxy was fitted"):
        measure_speed(PROBLEMS["SystolicArray"], proxies, designs=4, repeats=1)


def test_samples_are_of_all_problems_and_no_more_than_wanted(tmp_path: Path) -> None:
    both: Sequence[Problem] = [
        Problem("product", "ArchGym/Toy-v0", {}),
        Problem("delay", "ArchGym/Toy-v0", {"objective": "minimize:delay_ns"}),
    ]
    samples = bench_proxy._samples(both, 60, tmp_path)
    assert [source["rows"] for source in samples.sources] == [30, 30]
    assert len(samples) == len(np.unique(samples.keys)) <= 60


def test_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    command = ["--envs", "Toy", "--samples", "120", "--designs", "32", "--repeats", "1"]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Toy: Toy; fitted on ")
    assert lines[0].endswith("batches of 32 designs")
    assert lines[1].split()[:2] == ["model", "metrics"]
    assert lines[2].split()[:2] == ["random_forest", "2"]
    assert lines[-1] == "target: 50 times the DRAM simulator"
    assert not list(tmp_path.iterdir())  # the logs are gone


def test_an_unknown_environment_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--envs", "Toyy"])
    assert "Did you mean 'Toy'?" in capsys.readouterr().err


def test_the_table_has_a_row_for_each_speed() -> None:
    fast = Speed("linear", 3, 50, 1e3, 5.0e4, 1e5, 50.0, 40.0, 60.0, 100.0)
    head, row = speed_table([fast])
    assert len(head) == len(row)
    assert row == ["linear", "3", "1,000", "50,000", "50 (40–60)", "100,000", "100"]
