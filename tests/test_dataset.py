"""The dataset: all samples of many runs, in one table."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archgym_py.config import RunConfig
from archgym_py.dataset import SampleDataset
from archgym_py.dataset_rows import DigestSet, key_digests
from archgym_py.evaluator import Trial
from archgym_py.log import DatasetError, RunInfo, part_name
from archgym_py.recorder import ParquetRecorder
from archgym_py.runner import run
from archgym_py.simulator import Metric, Status
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


# ---- several folders, and files that are no logs -----------------------------------------------

SPACE = ParameterSpace(
    (
        Choice("policy", ("Open", 'Closed, or "so"\n')),
        Integer("depth", 1, 6),
        Real("clock", 0.0, 1.0, levels=5),
        Choice("fast", (False, True)),
        Integer("ways", 1, 2),
    )
)
METRICS = (Metric("time_ns", "ns", 0.0, 1e9),)


def info_of(run_id: str, **changes: Any) -> RunInfo:
    blank = dict.fromkeys([field.name for field in fields(RunInfo)], "")
    known = {"env_id": "E-v0", "agent": "a", "env_kwargs": "{}", "seed": 0, "run_id": run_id}
    return RunInfo(**{**blank, **known, **changes})


def write(
    out: Path, run_id: str, designs: Sequence[int], *, flush_rows: int = 1000, **changes: Any
) -> Path:
    """Log designs, each of which a number stands for; return the folder of the run."""
    info = info_of(run_id, **changes)
    recorder = ParquetRecorder(out, info, SPACE, METRICS, flush_rows=flush_rows, flush_s=1e9)
    for index, number in enumerate(designs):
        design = SPACE.sample(np.random.default_rng(number))
        metrics = {"time_ns": float(number)}
        trial = Trial(
            index, design, SPACE.key(design), Status.OK, "", metrics, -number, (), False, 0.5, 0
        )
        recorder.append(trial)
    recorder.close()
    return recorder.run_dir


def as_version_1(part: Path) -> None:
    """Write a part as it was before there were columns for fidelity and quality."""
    table = pq.read_table(part, partitioning=None)
    about = json.loads(table.schema.metadata[b"archgym"])
    about["schema_version"] = 1
    del about["sha256"], about["run"]["quality"]
    table = table.drop_columns(["fidelity", "quality"])
    ones = pa.array([1] * table.num_rows)
    table = table.set_column(table.schema.get_field_index("schema_version"), "schema_version", ones)
    table = table.replace_schema_metadata({b"archgym": json.dumps(about).encode()})
    pq.write_table(table, part, write_page_checksum=True)


def rows_of(dataset: SampleDataset) -> list[dict[str, Any]]:
    return dataset.table().to_pylist()


def test_any_number_of_folders_and_files(tmp_path: Path) -> None:
    one = write(tmp_path / "x", "1", [1, 2, 3], flush_rows=2)
    two = write(tmp_path / "y", "2", [4, 5])
    both = SampleDataset(tmp_path / "x", tmp_path / "y")
    assert [row["metric.time_ns"] for row in rows_of(both)] == [1, 2, 3, 4, 5]
    assert [log.rows for log in both.runs()] == [3, 2]
    again = SampleDataset(one, tmp_path / "x", two / part_name(0), two)
    assert rows_of(again) == rows_of(both)
    assert SampleDataset(one / part_name(1)).runs()[0].rows == 1
    assert both.name == f"{tmp_path / 'x'}, {tmp_path / 'y'}"
    assert SampleDataset(one).path == one
    with pytest.raises(DatasetError, match=r"x, .*y are several folders"):
        _ = both.path
    with pytest.raises(DatasetError, match="needs at least one folder"):
        SampleDataset()


def test_parquet_files_that_are_no_logs(tmp_path: Path) -> None:
    run_dir = write(tmp_path, "1", [1, 2])
    for passed_over in ("results.parquet", "_mine.parquet", ".mine.parquet"):
        pq.write_table(pa.table({"a": [1]}), tmp_path / passed_over)
    (tmp_path / ".kept").mkdir()
    pq.write_table(pa.table({"a": [1]}), tmp_path / ".kept" / part_name(0))
    assert len(SampleDataset(tmp_path)) == 2
    pq.write_table(pa.table({"a": [1]}), run_dir / "mine.parquet")
    with pytest.raises(DatasetError, match=r"mine\.parquet: is not named like a part"):
        SampleDataset(tmp_path)
    with pytest.warns(UserWarning, match=r"left out: .*mine\.parquet"):
        assert len(SampleDataset(tmp_path, skip_damaged=True)) == 2


def change(part: Path, alter: Callable[[pa.Table, dict[str, Any]], pa.Table]) -> None:
    """Write a part with other columns or another description."""
    table = pq.read_table(part, partitioning=None)
    about = json.loads(table.schema.metadata[b"archgym"])
    del about["sha256"]
    table = alter(table, about)
    pq.write_table(table.replace_schema_metadata({b"archgym": json.dumps(about).encode()}), part)


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (lambda table, _: table.drop_columns(["reward"]), "lacks the column 'reward'"),
        (lambda table, _: table.append_column("b", [["x", "y"]]), "no log has a column 'b'"),
        (
            lambda table, _: table.set_column(0, "index", [["x", "y"]]),
            "type of column 'index' is string, which has to be int64",
        ),
        (lambda table, about: about.update(schema_version=3) or table, "version 3, .* 1 and 2"),
        (lambda table, about: about.pop("run") and table, "incomplete: 'run'"),
        (lambda table, about: about.update(run={"a": 1}) or table, "incomplete: .*'a'"),
    ],
)
def test_files_that_are_almost_logs(
    tmp_path: Path, alter: Callable[[pa.Table, dict[str, Any]], pa.Table], message: str
) -> None:
    run_dir = write(tmp_path, "1", [1, 2])
    change(run_dir / part_name(0), alter)
    with pytest.raises(DatasetError, match=rf"part-00000\.parquet: .*{message}"):
        SampleDataset(tmp_path)


def test_logs_of_version_1_have_the_columns_of_today(tmp_path: Path) -> None:
    old = write(tmp_path, "1", [1, 2])
    before = rows_of(SampleDataset(tmp_path))
    as_version_1(old / part_name(0))
    now = SampleDataset(tmp_path)
    changed = [{**row, "schema_version": 1} for row in before]
    assert rows_of(now) == changed
    assert len(now.where(pc.field("fidelity") == "simulator")) == 2
    assert len(now.where(pc.field("fidelity").is_null())) == 0
    write(tmp_path, "2", [3], quality="tuned")
    both = SampleDataset(tmp_path)
    assert both.columns == now.columns
    assert [row["quality"] for row in rows_of(both)] == ["", "", "tuned"]
    assert len(both.where(pc.field("quality") == "")) == 2


# ---- damage ------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_no_damage_goes_unnoticed(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    out = tmp_path_factory.mktemp("damaged")
    part = write(out, "1", range(20)) / part_name(0)
    before, content = rows_of(SampleDataset(out)), bytearray(part.read_bytes())
    if data.draw(st.booleans(), "cut"):
        del content[data.draw(st.integers(0, len(content) - 1), "size") :]
    else:
        for _ in range(data.draw(st.integers(1, 3), "flips")):
            place = data.draw(st.integers(0, len(content) - 1), "place")
            content[place] ^= data.draw(st.integers(1, 255), "bits")
    part.write_bytes(content)
    try:
        after = rows_of(SampleDataset(out))
    except DatasetError as error:
        assert str(part) in str(error)  # noqa: PT017  # no error is right as well
    else:
        assert after == before


def test_a_damaged_part_ends_its_run(tmp_path: Path) -> None:
    damaged = write(tmp_path, "1", range(6), flush_rows=2)
    write(tmp_path, "2", range(3))
    content = bytearray((damaged / part_name(1)).read_bytes())
    content[100] ^= 1
    (damaged / part_name(1)).write_bytes(content)
    with pytest.raises(DatasetError, match=r"part-00001\.parquet: is damaged: its SHA-256"):
        SampleDataset(tmp_path)
    with pytest.warns(UserWarning, match=r"left out: .*part-00001\.parquet: is damaged"):
        rest = SampleDataset(tmp_path, skip_damaged=True)
    assert [row["metric.time_ns"] for row in rows_of(rest)] == [0, 1, 0, 1, 2]
    [problem] = rest.problems
    assert "part-00001" in problem
    assert rest.where(pc.field("index") == 0).problems == rest.problems
    with (
        pytest.warns(UserWarning, match="left out"),
        pytest.raises(DatasetError, match="no logged run that can"),
    ):
        SampleDataset(damaged / part_name(1), skip_damaged=True)


def test_a_missing_seal_is_noticed(tmp_path: Path) -> None:
    part = write(tmp_path, "1", range(3)) / part_name(0)
    content = part.read_bytes()
    part.write_bytes(content.replace(b'"sha256": "', b'"sha257": "'))
    with pytest.raises(DatasetError, match=r"part-00000\.parquet: is damaged: the SHA-256 in it"):
        SampleDataset(tmp_path)


def test_damaged_pages_of_a_file_without_a_seal(tmp_path: Path) -> None:
    """A sound footer lets such a file be opened; its rows are refused."""
    part = write(tmp_path, "1", range(1000)) / part_name(0)
    as_version_1(part)
    write(tmp_path, "2", [5])
    chunk = pq.read_metadata(part).row_group(0).column(1)
    content = bytearray(part.read_bytes())
    assert chunk.path_in_schema == "key"
    assert chunk.dictionary_page_offset is not None
    content[chunk.dictionary_page_offset + chunk.total_compressed_size // 2] ^= 1
    part.write_bytes(content)
    samples = SampleDataset(tmp_path)
    for use in (
        samples.table,
        lambda: list(samples.trials()),
        lambda: len(samples.unique()),
        lambda: samples.to_csv(tmp_path / "a.csv"),
    ):
        with pytest.raises(DatasetError, match=r"part-00000\.parquet: cannot be read"):
            use()
    assert not (tmp_path / "a.csv").exists()
    with pytest.warns(UserWarning, match="cannot be read"):
        assert len(SampleDataset(tmp_path, skip_damaged=True)) == 1


def test_a_file_that_has_gone_is_named(tmp_path: Path) -> None:
    part = write(tmp_path, "1", range(3)) / part_name(0)
    samples = SampleDataset(tmp_path)
    part.unlink()
    with pytest.raises(DatasetError, match=r"part-00000\.parquet: cannot be read"):
        samples.table()


# ---- views -------------------------------------------------------------------------------------

RUNS = st.lists(
    st.tuples(
        st.lists(st.integers(0, 15), min_size=1, max_size=12),
        st.sampled_from(['{"workload":"w"}', '{"objective":"x","workload":"w"}', "{}"]),
        st.sampled_from(["E-v0", "ESequential-v0"]),
    ),
    min_size=1,
    max_size=4,
)


def write_all(out: Path, runs: Sequence[tuple[list[int], str, str]]) -> None:
    for number, (designs, env_kwargs, env_id) in enumerate(runs):
        write(out, str(number), designs, flush_rows=5, env_kwargs=env_kwargs, env_id=env_id)


def identity(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return the problem and the design of a row, found another way than the dataset does."""
    return "w" if '"w"' in row["env_kwargs"] else "", row["key"]


def firsts(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({identity(row): row for row in reversed(rows)}.values())[::-1]


@settings(max_examples=12, deadline=None)
@given(runs=RUNS, seed=st.integers(0, 9), share=st.floats(0.1, 0.9))
def test_views_keep_the_rows_that_they_say(
    tmp_path_factory: pytest.TempPathFactory,
    runs: list[tuple[list[int], str, str]],
    seed: int,
    share: float,
) -> None:
    out = tmp_path_factory.mktemp("views")
    write_all(out, runs)
    samples = SampleDataset(out)
    rows = rows_of(samples)
    deep = pc.field("design.depth") > 2
    of_deep = [row for row in rows if row["design.depth"] > 2]

    assert rows_of(samples.where(deep)) == of_deep
    assert rows_of(samples.unique()) == sorted(firsts(rows), key=rows.index)
    assert rows_of(samples.where(deep).unique()) == sorted(firsts(of_deep), key=rows.index)
    odd = pc.field("index") > 0  # a condition that splits equal designs: the order matters
    assert rows_of(samples.unique().where(odd)) == [
        row for row in rows_of(samples.unique()) if row["index"] > 0
    ]
    assert rows_of(samples.unique().unique()) == rows_of(samples.unique())

    def sides(one: SampleDataset, other: SampleDataset) -> None:
        """Equal designs are on one side, and both sides are everything."""
        parts = [rows_of(one), rows_of(other)]
        assert len(one) + len(other) == len(samples)
        assert not {row["key"] for row in parts[0]} & {row["key"] for row in parts[1]}
        assert sorted(parts[0] + parts[1], key=rows.index) == rows

    sides(*samples.split([share, 1 - share], seed=seed))
    sides(*samples.split_region({"depth": [4, 5, 6], "fast": [True]}))
    train, test = samples.unique().split([share, 1 - share], seed=seed)
    assert rows_of(train.where(deep)) == [row for row in rows_of(train) if row["design.depth"] > 2]
    assert len(train) + len(test) == len(samples.unique())
    for log in samples.runs():  # whatever else is there
        alone = rows_of(SampleDataset(log.folder).split([share, 1 - share], seed=seed)[0])
        assert alone == [
            row
            for row in rows_of(samples.split([share, 1 - share], seed=seed)[0])
            if row["run_id"] == log.info.run_id
        ]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=9), max_size=30))
def test_a_set_of_digests_is_a_set(batches: list[list[str]]) -> None:
    digests, seen = DigestSet(), set[str]()
    for batch in batches:
        expected = []
        for key in batch:
            expected.append(key not in seen)
            seen.add(key)
        assert digests.add(key_digests(pa.array(batch, pa.string()))).tolist() == expected
    assert len(digests) == len(seen)


def test_a_key_has_one_digest() -> None:
    key = hashlib.sha256(b"x").hexdigest()
    alone, beside = key_digests(pa.array([key])), key_digests(pa.array(["short", key]))
    assert alone[0] == beside[1] == bytes.fromhex(key[:32])


def test_a_view_is_a_dataset(samples: SampleDataset, tmp_path: Path) -> None:
    view = samples.where((pc.field("agent") == "genetic") & (pc.field("index") < 7))
    assert len(view) == 14
    assert [log.rows for log in view.runs()] == [7, 7]
    assert {log.info.agent for log in view.runs()} == {"genetic"}
    assert view.table().num_rows == len(list(view.trials())) == 14
    assert view.columns == samples.columns
    best = view.best("cost_usd")
    assert best is not None
    feasible = [trial for trial in view.trials() if trial.status == "ok"]
    assert best.metrics["cost_usd"] == min(trial.metrics["cost_usd"] for trial in feasible)
    view.to_csv(tmp_path / "a.csv")
    view.to_jsonl(tmp_path / "a.jsonl")
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 14
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 14
    none = view.where(pc.field("index") < 0)
    assert len(none) == 0
    assert none.runs() == ()
    assert none.best() is None
    assert none.table().schema.names == list(samples.columns)


def test_a_batch_comes_with_its_run(samples: SampleDataset) -> None:
    rows = 0
    for info, batch in samples.batches_of_runs(["run_id", "seed"]):
        assert set(batch.column("run_id").to_pylist()) == {info.run_id}
        assert set(batch.column("seed").to_pylist()) == {info.seed}
        rows += batch.num_rows
    assert rows == len(samples)
    with pytest.raises(DatasetError, match=r"no column 'seeds'\. Did you mean 'seed'"):
        next(samples.batches_of_runs(["seeds"]))


def test_the_best_is_of_the_view_where_a_run_occurs_twice(tmp_path: Path) -> None:
    write(tmp_path / "a", "1", [5, 3])
    write(tmp_path / "b", "1", [5, 2])
    best = SampleDataset(tmp_path / "a", tmp_path / "b").best("time_ns")
    assert best is not None
    assert best.metrics == {"time_ns": 2.0}


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (pc.field("agnet") == "x", "no column 'agnet'. Did you mean 'agent'"),
        (pc.field("reward"), "is no condition on the rows"),
        (pc.equal(pc.field("status"), pc.scalar(3)), "is no condition on the rows"),
    ],
)
def test_conditions_are_checked_at_once(
    samples: SampleDataset, expression: pc.Expression, message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        samples.where(expression)
    with pytest.raises(DatasetError, match=message):
        samples.table(where=expression)


def test_runs_are_held_out_by_what_is_constant_in_them(tmp_path: Path) -> None:
    for number, (workload, seed) in enumerate((("cloud", 1), ("edge", 2), ("cloud", 3))):
        write(tmp_path, str(number), [number], workload=workload, seed=seed)
    samples = SampleDataset(tmp_path)
    rest, held = samples.split_by("workload", ["cloud"])
    assert [log.info.seed for log in rest.runs()] == [2]
    assert [log.info.seed for log in held.runs()] == [1, 3]
    rest, held = samples.where(pc.field("index") >= 0).split_by("seed", [3])
    assert (len(rest), len(held)) == (2, 1)
    with pytest.raises(DatasetError, match=r"workload 'clod'\. Did you mean 'cloud'"):
        samples.split_by("workload", ["clod"])
    with pytest.raises(DatasetError, match=r"'workloads' is not constant in a run\. Did you"):
        samples.split_by("workloads", ["cloud"])
    with pytest.raises(DatasetError, match="must be a list of values of workload, got 'cloud'"):
        samples.split_by("workload", "cloud")


def test_a_corner_has_the_largest_values(tmp_path: Path) -> None:
    write(tmp_path, "1", range(200))
    samples = SampleDataset(tmp_path)
    assert samples.values(["depth", "policy"]) == {
        "depth": [1, 2, 3, 4, 5, 6],
        "policy": ['Closed, or "so"\n', "Open"],
    }
    assert samples.corner() == {"depth": [4, 5, 6], "clock": [0.75, 1.0], "ways": [2]}
    assert samples.corner(["depth"], share=0.99) == {"depth": [2, 3, 4, 5, 6]}
    assert samples.corner(["depth"], share=0.01) == {"depth": [6]}
    outside, inside = samples.split_region(samples.corner())
    assert min(len(outside), len(inside)) > 0
    assert {design["depth"] for design in (trial.design for trial in inside.trials())} == {4, 5, 6}
    with pytest.raises(DatasetError, match="share must lie between 0 and 1, got 1"):
        samples.corner(share=1.0)
    with pytest.raises(DatasetError, match=r"no parameter 'dept'. Did you mean 'depth'"):
        samples.corner(["dept"])
    with pytest.raises(DatasetError, match=r"'policy' have no order. Name .* depth, clock, ways"):
        samples.corner(["policy"])
    with pytest.raises(DatasetError, match="two values or more in the samples; these are none"):
        samples.where(pc.field("index") == 0).corner()


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ({}, "at least one parameter"),
        ({"depht": [1]}, r"no parameter 'depht'. Did you mean 'depth'"),
        ({"depth": []}, "a list of values of parameter 'depth'"),
        ({"policy": "Open"}, "a list of values of parameter 'policy'"),
        ({"depth": ["deep"]}, "'depth' has values of type int64"),
        ({"depth": [True]}, "'depth' has values of type int64"),
        ({"depth": [1.5]}, "'depth' has values of type int64"),
        ({"depth": [None]}, "'depth' has values of type int64"),
    ],
)
def test_wrong_regions(tmp_path: Path, region: dict[str, Any], message: str) -> None:
    write(tmp_path, "1", [1])
    with pytest.raises(DatasetError, match=message):
        SampleDataset(tmp_path).split_region(region)


def test_a_row_without_the_parameter_is_outside(tmp_path: Path) -> None:
    log_of(tmp_path, "A", Integer("size", 1, 4))
    log_of(tmp_path, "C", Integer("other", 7, 9))
    outside, inside = SampleDataset(tmp_path).split_region({"size": [1]})
    assert [row["env_id"] for row in rows_of(outside)] == ["C"]
    assert [row["env_id"] for row in rows_of(inside)] == ["A"]
