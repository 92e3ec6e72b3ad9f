"""The dataset: all samples of many runs, in one table."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import fields
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from archgym_py.config import RunConfig
from archgym_py.dataset import SampleDataset
from archgym_py.evaluator import Trial
from archgym_py.log import DatasetError, RunInfo, part_name
from archgym_py.recorder import ParquetRecorder
from archgym_py.runner import run
from archgym_py.simulator import Status
from archgym_py.space import Choice, Integer, Parameter, ParameterSpace, Real


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs on two environments."""
    folder = tmp_path_factory.mktemp("runs")
    for env, agent, budget in (
        ("ArchGym/Toy-v0", "random_search", 40),
        ("ArchGym/Toy-v0", "genetic", 60),
        ("ArchGym/ToySequential-v0", "genetic", 30),
    ):
        run(RunConfig(env=env, agent=agent, budget=budget, seed=1, out=folder), flush_rows=16)
    return folder


@pytest.fixture(scope="module")
def samples(out: Path) -> SampleDataset:
    return SampleDataset(out)


def test_all_samples_of_all_runs(out: Path, samples: SampleDataset) -> None:
    assert len(samples) == 130
    logs = samples.runs()
    assert {(log.info.env_id, log.info.agent, log.rows) for log in logs} == {
        ("ArchGym/Toy-v0", "random_search", 40),
        ("ArchGym/Toy-v0", "genetic", 60),
        ("ArchGym/ToySequential-v0", "genetic", 30),
    }
    table = samples.table()
    assert tuple(table.column_names) == samples.columns
    assert table.column("index").to_pylist() == [i for log in logs for i in range(log.rows)]
    assert samples.units["metric.delay_ns"] == "ns"
    assert samples.units["design.voltage_v"] == "V"
    for log in logs:
        assert len(SampleDataset(log.folder)) == log.rows
        assert len(SampleDataset(log.folder / part_name(0))) == log.rows
        assert log.default is not None
        assert log.default.reward == 0.0
        assert log.units == {"cost_usd": "USD", "delay_ns": "ns"}
        assert log.folder.is_relative_to(out)


def test_conditions_and_columns(samples: SampleDataset) -> None:
    table = samples.table(
        ["index", "agent", "metric.cost_usd"],
        where=(pc.field("agent") == "genetic") & (pc.field("index") < 5),
    )
    assert table.column_names == ["index", "agent", "metric.cost_usd"]
    assert table.num_rows == 10
    assert set(table.column("agent").to_pylist()) == {"genetic"}
    with pytest.raises(
        DatasetError, match=r"no column 'metric.cost'. Did you mean 'metric.cost_usd'"
    ):
        samples.table(["metric.cost"])


def test_trials_are_those_of_the_table(samples: SampleDataset) -> None:
    trials = list(samples.trials(where=pc.field("env_id") == "ArchGym/Toy-v0"))
    assert len(trials) == 100
    for trial in trials:
        assert trial.rewards == (trial.reward,)
        assert set(trial.metrics) == ({"cost_usd", "delay_ns"} if trial.status == "ok" else set())


def test_best(samples: SampleDataset) -> None:
    feasible = [trial for trial in samples.trials() if trial.status == "ok"]
    best, cheapest, dearest = (
        samples.best(),
        samples.best("cost_usd"),
        samples.best("metric.cost_usd", largest=True),
    )
    assert best is not None
    assert best.reward == max(trial.reward for trial in feasible)
    assert cheapest is not None
    assert cheapest.metrics["cost_usd"] == min(trial.metrics["cost_usd"] for trial in feasible)
    assert dearest is not None
    assert dearest.metrics["cost_usd"] == max(trial.metrics["cost_usd"] for trial in feasible)
    with pytest.raises(DatasetError, match="no column"):
        samples.best("cost")


def test_a_split_keeps_equal_designs_together(samples: SampleDataset) -> None:
    parts = samples.split([0.5, 0.3, 0.2], seed=7)
    keys = [set(part.table(["key"]).column("key").to_pylist()) for part in parts]
    assert sum(map(len, parts)) == len(samples)
    assert not keys[0] & keys[1]
    assert not keys[0] & keys[2]
    assert not keys[1] & keys[2]
    assert len(keys[0]) > len(keys[2]) > 0
    again = samples.split([0.5, 0.3, 0.2], seed=7)
    assert [len(part) for part in again] == [len(part) for part in parts]
    assert [set(part.table(["key"]).column("key").to_pylist()) for part in again] == keys
    other = samples.split([0.5, 0.3, 0.2], seed=8)
    assert set(other[0].table(["key"]).column("key").to_pylist()) != keys[0]
    assert parts[0].units == samples.units
    assert parts[0].best() is not None


def test_a_split_does_not_depend_on_the_other_samples(samples: SampleDataset) -> None:
    first = set(samples.split([0.5, 0.5], seed=1)[0].table(["key"]).column("key").to_pylist())
    for log in samples.runs():
        part = SampleDataset(log.folder).split([0.5, 0.5], seed=1)[0]
        assert set(part.table(["key"]).column("key").to_pylist()) <= first


@pytest.mark.parametrize("fractions", [[], [0.5, 0.4], [1.5, -0.5], [1.0, 0.0], [0.5, math.nan]])
def test_wrong_fractions(samples: SampleDataset, fractions: list[float]) -> None:
    with pytest.raises(DatasetError, match="must be positive and add up to 1"):
        samples.split(fractions, seed=0)


def test_exports(samples: SampleDataset, tmp_path: Path) -> None:
    samples.to_csv(tmp_path / "a.csv")
    samples.to_jsonl(tmp_path / "a.jsonl")
    table = samples.table().to_pylist()
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["reward"]) for row in rows] == [row["reward"] for row in table]
    assert [json.loads(row["rewards"]) for row in rows] == [row["rewards"] for row in table]
    assert [row["design.buffer"] for row in rows] == [row["design.buffer"] for row in table]
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [line["design"]["lanes"] for line in lines] == [row["design.lanes"] for row in table]
    assert [line["agent"] for line in lines] == [row["agent"] for row in table]
    assert [line["metrics"].get("delay_ns") for line in lines] == [
        row["metric.delay_ns"] for row in table
    ]


def test_other_programs_read_the_folder(out: Path) -> None:
    """They take `agent=...` in a folder's name for a column, which the files have as well."""
    table = pq.read_table(out)
    assert table.num_rows == 130
    assert set(table.column("agent").to_pylist()) == {"random_search", "genetic"}
    assert set(table.column("run").to_pylist()) == set(table.column("run_id").to_pylist())


def test_no_log(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no logged run"):
        SampleDataset(tmp_path)
    with pytest.raises(DatasetError, match="holds no logged run"):
        SampleDataset(tmp_path / "none")


def test_foreign_and_damaged_files_are_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / part_name(0))
    with pytest.raises(DatasetError, match=r"part-00000.parquet: is no part of a log"):
        SampleDataset(tmp_path)
    (tmp_path / part_name(0)).write_bytes(b"PAR1 and so on")
    with pytest.raises(DatasetError, match=r"part-00000.parquet: cannot be read"):
        SampleDataset(tmp_path)
    (tmp_path / part_name(0)).rename(tmp_path / "part-0.parquet")
    with pytest.raises(DatasetError, match="is not named like a part of a log"):
        SampleDataset(tmp_path)


def log_of(out: Path, name: str, parameter: Parameter, status: Status = Status.OK) -> None:
    """Log one sample of a space with one parameter."""
    space = ParameterSpace((parameter,))
    blank = dict.fromkeys([field.name for field in fields(RunInfo)], "")
    info = RunInfo(**{**blank, "env_id": name, "agent": "a", "run_id": "1", "seed": 0})  # type: ignore[arg-type]
    recorder = ParquetRecorder(out, info, space, ())
    design = space.default()
    recorder.append(Trial(0, design, space.key(design), status, "", {}, 0.0, (), False, 0.0, 0))
    recorder.close()


def test_whole_and_other_numbers_share_a_column(tmp_path: Path) -> None:
    log_of(tmp_path, "A", Integer("size", 1, 4))
    log_of(tmp_path, "B", Real("size", 0.5, 4.0))
    log_of(tmp_path, "C", Integer("other", 7, 9))
    table = SampleDataset(tmp_path).table()
    assert table.column("design.size").to_pylist() == [1.0, 0.5, None]
    assert table.column("design.other").to_pylist() == [None, None, 7]
    assert [trial.design for trial in SampleDataset(tmp_path).trials()] == [
        {"size": 1.0},
        {"size": 0.5},
        {"other": 7},
    ]


def test_columns_that_cannot_be_one(tmp_path: Path) -> None:
    log_of(tmp_path, "A", Integer("size", 1, 4))
    log_of(tmp_path, "B", Choice("size", ("small", "large")))
    with pytest.raises(DatasetError, match=r"column 'design.size' is int64 in .*env=A.* string in"):
        SampleDataset(tmp_path)


def test_no_feasible_sample(tmp_path: Path) -> None:
    log_of(tmp_path, "A", Integer("size", 1, 4), Status.CRASHED)
    assert SampleDataset(tmp_path).best() is None
