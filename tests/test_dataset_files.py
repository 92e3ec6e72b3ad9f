"""Merging folders, and exports that other programs read equal."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.dataset as pa_dataset
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from archgym_py import dataset_files
from archgym_py.dataset import SampleDataset
from archgym_py.dataset_files import export_hugging_face, merge
from archgym_py.errors import ConfigError
from archgym_py.evaluator import Trial
from archgym_py.files import LockedError, locked
from archgym_py.log import DatasetError, RunInfo, part_name
from archgym_py.recorder import ParquetRecorder
from archgym_py.simulator import Metric, Status
from archgym_py.space import Choice, Integer, ParameterSpace, Real

SPACE = ParameterSpace(
    (
        Choice("policy", ("Open", 'Closed, or "so"\n', ""), doc="what | to\ndo"),
        Choice("fast", (False, True)),
        Integer("depth", 1, 128),
        Real("clock", 0.1, 2.0, unit="GHz"),
    )
)
METRICS = (Metric("time_ns", "ns", 0.0, 1e300, "a time"), Metric("hits", "1", 0.0, 1.0))


def write(
    out: Path, run_id: str, trials: Sequence[Trial], flush_rows: int = 1000, **changes: Any
) -> Path:
    """Log trials; return the folder of the run."""
    blank = dict.fromkeys([field.name for field in fields(RunInfo)], "")
    about = {"env_id": "E/E-v0", "agent": "a", "env_kwargs": "{}", "seed": 0, "run_id": run_id}
    info = RunInfo(**{**blank, **about, **changes})
    recorder = ParquetRecorder(out, info, SPACE, METRICS, flush_rows=flush_rows, flush_s=1e9)
    for trial in trials:
        recorder.append(trial)
    recorder.close()
    (recorder.run_dir / "_run.yaml").write_text(f"run: {run_id}\n")
    return recorder.run_dir


def samples_of(number: int, start: int = 0) -> list[Trial]:
    return [sample(index, start + index) for index in range(number)]


def sample(index: int, number: int, **changes: Any) -> Trial:
    design = SPACE.sample(np.random.default_rng(number))
    trial = Trial(
        index=index,
        design=design,
        key=SPACE.key(design),
        status=Status.OK,
        message="",
        metrics={"time_ns": 1.0 / 3.0 + number, "hits": 0.25},
        reward=-1.0 / (1 + number),
        rewards=(0.1, -0.5),
        cached=False,
        wall_s=1e-3,
        seed=2**63 - 1,
    )
    return dataclasses.replace(trial, **changes)


def rows_of(dataset: SampleDataset) -> list[dict[str, Any]]:
    return dataset.table().to_pylist()


# ---- merging -----------------------------------------------------------------------------------


def test_a_merge_has_the_runs_of_all(tmp_path: Path) -> None:
    write(tmp_path / "x", "1", samples_of(5), flush_rows=2)
    write(tmp_path / "x", "2", samples_of(3, 9))
    two = write(tmp_path / "y", "3", samples_of(4))
    (two / "_state.json").write_text("{}")
    (two / "note").write_text("no part of the log")
    seen: list[tuple[int, int]] = []
    done = merge(
        [tmp_path / "x", tmp_path / "y"], tmp_path / "z", progress=lambda *now: seen.append(now)
    )
    assert (done.copied, done.extended, done.kept, done.rows) == (3, 0, 0, 12)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    merged = SampleDataset(tmp_path / "z")
    assert rows_of(merged) == rows_of(SampleDataset(tmp_path / "x", tmp_path / "y"))
    names = {path.name: path for path in (tmp_path / "z").rglob("*") if path.is_file()}
    assert set(names) == {".lock", "_run.yaml", "_state.json", *map(part_name, range(3))}
    assert names["_state.json"].parent.name == "run=3"
    again = merge([tmp_path / "x", tmp_path / "y"], tmp_path / "z")
    assert (again.copied, again.kept) == (0, 3)
    into_itself = merge([tmp_path / "z"], tmp_path / "z")
    assert (into_itself.kept, rows_of(SampleDataset(tmp_path / "z"))) == (3, rows_of(merged))


def test_the_longer_of_two_versions_of_a_run_wins(tmp_path: Path) -> None:
    slower = [dataclasses.replace(trial, wall_s=7.0) for trial in samples_of(6)]
    write(tmp_path / "short", "1", samples_of(4))
    write(tmp_path / "long", "1", slower, flush_rows=4, git_commit="other")
    assert merge([tmp_path / "short"], tmp_path / "z").copied == 1
    done = merge([tmp_path / "long"], tmp_path / "z")
    assert (done.extended, done.rows) == (1, 6)
    assert rows_of(SampleDataset(tmp_path / "z")) == rows_of(SampleDataset(tmp_path / "long"))
    done = merge([tmp_path / "short"], tmp_path / "z")
    assert done.kept == 1
    assert rows_of(SampleDataset(tmp_path / "z")) == rows_of(SampleDataset(tmp_path / "long"))
    at_once = merge([tmp_path / "long", tmp_path / "short"], tmp_path / "y")
    assert (at_once.copied, at_once.kept, at_once.rows) == (1, 1, 6)
    assert not list((tmp_path / "z").rglob(".run=*"))


@pytest.mark.parametrize(
    ("trials", "changes", "message"),
    [
        ([sample(0, 5), sample(1, 1)], {}, "with different samples"),
        ([sample(0, 0, reward=1.0), sample(1, 1)], {}, "with different samples"),
        (samples_of(1), {"simulator_version": "2"}, "different simulator_version: '' and '2'"),
        (samples_of(1), {"quality": "tuned"}, "different quality: '' and 'tuned'"),
    ],
)
def test_runs_that_contradict_each_other(
    tmp_path: Path, trials: list[Trial], changes: dict[str, Any], message: str
) -> None:
    write(tmp_path / "x", "1", samples_of(3))
    write(tmp_path / "y", "1", trials, **changes)
    merge([tmp_path / "x"], tmp_path / "z")
    before = rows_of(SampleDataset(tmp_path / "z"))
    with pytest.raises(DatasetError, match=rf"z.*run=1 and .*y.*run=1 are the same.*{message}"):
        merge([tmp_path / "y"], tmp_path / "z")
    assert rows_of(SampleDataset(tmp_path / "z")) == before


def test_damaged_files_are_not_merged(tmp_path: Path) -> None:
    damaged = write(tmp_path / "x", "1", samples_of(6), flush_rows=2)
    content = bytearray((damaged / part_name(1)).read_bytes())
    content[200] ^= 4
    (damaged / part_name(1)).write_bytes(content)
    with pytest.raises(DatasetError, match=r"part-00001\.parquet: is damaged"):
        merge([tmp_path / "x"], tmp_path / "z")
    with pytest.warns(UserWarning, match="left out"):
        done = merge([tmp_path / "x"], tmp_path / "z", skip_damaged=True)
    assert (done.copied, done.rows) == (1, 2)
    assert len(SampleDataset(tmp_path / "z")) == 2


def test_one_merge_at_a_time(tmp_path: Path) -> None:
    write(tmp_path / "x", "1", samples_of(2))
    (tmp_path / "z").mkdir()
    with locked(tmp_path / "z", "merged runs"), pytest.raises(LockedError, match="merged runs"):
        merge([tmp_path / "x"], tmp_path / "z")
    with pytest.raises(DatasetError, match="nothing to merge"):
        merge([], tmp_path / "z")


@pytest.mark.parametrize("renames", [0, 1])
def test_a_merge_that_is_killed_goes_on(tmp_path: Path, renames: int) -> None:
    """It dies before or between the renames by which one version of a run replaces another."""
    write(tmp_path / "short", "1", samples_of(2))
    write(tmp_path / "long", "1", samples_of(3))
    write(tmp_path / "other", "2", samples_of(1))
    merge([tmp_path / "short"], tmp_path / "z")
    program = f"""
import os, signal
from pathlib import Path
from archgym_py.dataset_files import merge
rename, left = Path.rename, [{renames}]
def killed(self, target):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return rename(self, target)
Path.rename = killed
merge([{str(tmp_path / "long")!r}], {str(tmp_path / "z")!r})
"""
    killed = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    if renames == 0:
        assert len(SampleDataset(tmp_path / "z")) == 2
    merge([tmp_path / "other"], tmp_path / "z")  # any merge puts things in order
    assert [log.rows for log in SampleDataset(tmp_path / "z").runs()] == [2, 1]
    merge([tmp_path / "long"], tmp_path / "z")
    assert rows_of(SampleDataset(tmp_path / "z")) == rows_of(
        SampleDataset(tmp_path / "long", tmp_path / "other")
    )
    assert not list((tmp_path / "z").rglob(".run=*"))


# ---- round trips -------------------------------------------------------------------------------

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
ROWS = st.lists(
    st.tuples(st.integers(0, 99), NUMBERS, TEXTS, st.lists(NUMBERS, max_size=3), st.booleans()),
    min_size=1,
    max_size=9,
)


def write_rows(out: Path, rows: Sequence[Any], workload: str) -> SampleDataset:
    trials = [
        sample(
            index,
            number,
            reward=value,
            message=text,
            rewards=tuple(rewards),
            metrics={} if failed else {"time_ns": abs(value), "hits": 0.5},
            status=Status.CRASHED if failed else Status.OK,
        )
        for index, (number, value, text, rewards, failed) in enumerate(rows)
    ]
    write(out, "1", trials, workload=workload)
    write(out, "2", trials[:1])
    return SampleDataset(out)


@settings(max_examples=20, deadline=None)
@given(rows=ROWS, workload=TEXTS)
def test_csv_has_the_same_values(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], workload: str
) -> None:
    out = tmp_path_factory.mktemp("csv")
    samples = write_rows(out, rows, workload)
    samples.to_csv(out / "a.csv")
    types = {
        field.name: pa.string()
        if pa.types.is_dictionary(field.type) or pa.types.is_list(field.type)
        else field.type
        for field in samples.schema
    }
    back = pa_csv.read_csv(
        out / "a.csv",
        parse_options=pa_csv.ParseOptions(newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(
            column_types=types, strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    ).to_pylist()
    assert [{**row, "rewards": json.loads(row["rewards"])} for row in back] == rows_of(samples)


@settings(max_examples=20, deadline=None)
@given(rows=ROWS, workload=TEXTS, shard_rows=st.integers(1, 5))
def test_shards_have_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], workload: str, shard_rows: int
) -> None:
    out = tmp_path_factory.mktemp("hub")
    samples = write_rows(out / "runs", rows, workload)
    done: list[int] = []
    export_hugging_face(samples, out / "hub", name="a", shard_rows=shard_rows, progress=done.append)
    files = sorted((out / "hub" / "data").iterdir())
    shards = -(-len(samples) // shard_rows)
    assert [file.name for file in files] == [
        f"train-{number:05d}-of-{shards:05d}.parquet" for number in range(shards)
    ]
    assert [pq.read_metadata(file).num_rows for file in files[:-1]] == [shard_rows] * (shards - 1)
    back = pa_dataset.dataset([str(file) for file in files]).to_table()
    assert back.to_pylist() == rows_of(samples)
    assert sum(done) == len(samples)
    assert back.schema.field("metric.time_ns").metadata == {b"unit": b"ns", b"doc": b"a time"}


def test_the_card(tmp_path: Path) -> None:
    about: dict[str, Any] = {
        "agent": "genetic",
        "quality": "tuned",
        "simulator": "toy",
        "simulator_version": "3",
        "package_version": "0.1.0",
        "objective": "minimize:time_ns",
        "workload": "a|b",
    }
    write(tmp_path / "runs", "1", [*samples_of(3), sample(3, 0)], **about)
    export_hugging_face(SampleDataset(tmp_path / "runs"), tmp_path / "hub", name="My: data")
    card = (tmp_path / "hub" / "README.md").read_text(encoding="utf-8")
    _, front, page = card.split("---\n", 2)
    metadata = yaml.safe_load(front)
    assert metadata["pretty_name"] == "My: data"
    assert metadata["license"] == "other"
    assert metadata["size_categories"] == ["n<1K"]
    [entry] = metadata["configs"]
    [files] = entry["data_files"]
    assert list((tmp_path / "hub").glob(files["path"])) == [
        tmp_path / "hub" / "data" / "train-00000-of-00001.parquet"
    ]
    for text in (
        "# My: data\n",
        "4 samples of 1 runs",
        "3 different pairs",
        "25.0% of the samples",
        "- environments: `E/E-v0`",
        "- simulators: `toy 3`",
        "- archgym_py: `0.1.0`",
        "| agent: genetic | 4 | 100.0% |",
        "| workload: a\\|b | 4 | 100.0% |",
        "| `design.clock` | double | GHz |",
        "| `design.policy` | string |  | what \\| to do |",
        "| `metric.time_ns` | double | ns | a time |",
    ):
        assert text in page


def test_an_export_is_complete_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "runs", "1", samples_of(3))
    samples = SampleDataset(tmp_path / "runs")
    (tmp_path / "hub").mkdir()

    def full_disk(*_: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(dataset_files, "summarise", full_disk)
        with pytest.raises(OSError, match="no space"):
            export_hugging_face(samples, tmp_path / "hub", name="a")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hub", "runs"]
    assert not any((tmp_path / "hub").iterdir())
    export_hugging_face(samples, tmp_path / "hub", name="a")
    with pytest.raises(ConfigError, match="hub: exists already"):
        export_hugging_face(samples, tmp_path / "hub", name="a")
    with pytest.raises(ConfigError, match="shard_rows must be at least 1, got 0"):
        export_hugging_face(samples, tmp_path / "other", name="a", shard_rows=0)
    with pytest.raises(DatasetError, match="no sample is left to export"):
        export_hugging_face(samples.where(pc.field("index") < 0), tmp_path / "b", name="a")
    assert not (tmp_path / "b").exists()
