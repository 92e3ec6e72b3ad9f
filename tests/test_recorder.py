"""The recorder: what is appended is read back, whatever happens in between."""

from __future__ import annotations

import dataclasses
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archgym_py import recorder as recorder_module
from archgym_py.errors import ConfigError
from archgym_py.evaluator import Trial
from archgym_py.log import (
    DatasetError,
    DefaultResult,
    RunInfo,
    part_name,
    read_history,
    read_parts,
    run_folder,
    schema_for,
)
from archgym_py.recorder import ParquetRecorder
from archgym_py.simulator import Metric, Status
from archgym_py.space import Choice, Integer, Ordinal, ParameterSpace, Real

SPACE = ParameterSpace(
    (
        Choice("policy", ("Open", 'Closed, or "so"\n'), doc="what to do"),
        Choice("enabled", (False, True)),
        Ordinal("size", (1, 4, 16), unit="KiB"),
        Ordinal("voltage", (0.5, 1.0), unit="V"),
        Integer("depth", 1, 128),
        Real("clock", 0.1, 2.0, unit="GHz"),
    )
)
METRICS = (Metric("time_ns", "ns", 0.0, 1e9), Metric("hits", "1", 0.0, 1.0, "share of hits"))
INFO = RunInfo(
    run_id="0123456789ab",
    agent="some agent",
    agent_config='{"batch_size":1}',
    env_id="ArchGym/Some-v0",
    env_kwargs="{}",
    workload="cloud",
    objective="minimize:time_ns",
    simulator="some",
    simulator_version="1",
    package_version="0",
    git_commit="",
    seed=3,
)
DEFAULT = DefaultResult(SPACE.default(), {"time_ns": 2.0, "hits": 0.5}, 0.0)


def make_trial(index: int, **changes: Any) -> Trial:
    design = SPACE.sample(np.random.default_rng(index))
    trial = Trial(
        index=index,
        design=design,
        key=SPACE.key(design),
        status=Status.OK,
        message="",
        metrics={"time_ns": 1.0 + index, "hits": 0.25},
        reward=-1.0 / (1 + index),
        rewards=(0.5, -0.5),
        cached=False,
        wall_s=1e-3,
        seed=2**63 - 1,
    )
    return dataclasses.replace(trial, **changes)


def make_failure(index: int) -> Trial:
    return make_trial(index, status=Status.CRASHED, message="no\nreason: ü", metrics={})


def record(out: Path, trials: list[Trial], **options: Any) -> ParquetRecorder:
    recorder = ParquetRecorder(out, INFO, SPACE, METRICS, default=DEFAULT, **options)
    for trial in trials:
        recorder.append(trial)
    recorder.close()
    return recorder


def test_trials_are_read_back_equal(tmp_path: Path) -> None:
    trials = [make_failure(i) if i % 3 == 1 else make_trial(i) for i in range(10)]
    run_dir = record(tmp_path, trials, flush_rows=4).run_dir
    assert run_dir == tmp_path / "env=ArchGym%2FSome-v0/agent=some%20agent/run=0123456789ab"
    assert sorted(path.name for path in run_dir.iterdir()) == [part_name(i) for i in range(3)]
    history = read_history(run_dir, SPACE)
    assert history == trials
    for trial in history:
        assert SPACE.validate(trial.design) == trial.design
        assert [type(value) for value in trial.design.values()] == [
            str,
            bool,
            int,
            float,
            int,
            float,
        ]


numbers = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.floats(0.1, 2.0),
            st.sampled_from(list(Status)),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
            numbers,
            st.lists(numbers, max_size=3),
            st.booleans(),
        ),
        min_size=1,
        max_size=12,
    ),
    flush_rows=st.integers(1, 5),
)
def test_any_trial_survives(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], flush_rows: int
) -> None:
    trials = [
        make_trial(
            index,
            design={**SPACE.default(), "clock": clock},
            status=status,
            message=message,
            reward=reward,
            rewards=tuple(rewards),
            metrics={"time_ns": reward, "hits": clock} if status is Status.OK else {},
            cached=cached,
        )
        for index, (clock, status, message, reward, rewards, cached) in enumerate(rows)
    ]
    recorder = record(tmp_path_factory.mktemp("log"), trials, flush_rows=flush_rows)
    assert read_history(recorder.run_dir, SPACE) == trials
    recorder.merge()
    assert [path.name for path in recorder.run_dir.iterdir()] == [part_name(0)]
    assert read_history(recorder.run_dir, SPACE) == trials


def test_the_schema_has_types_and_units() -> None:
    schema = schema_for(SPACE, METRICS)
    expected = {
        "index": pa.int64(),
        "design.policy": pa.string(),
        "design.enabled": pa.bool_(),
        "design.size": pa.int64(),
        "design.voltage": pa.float64(),
        "design.clock": pa.float64(),
        "metric.time_ns": pa.float64(),
        "seed": pa.int64(),
        "schema_version": pa.int64(),
    }
    assert {name: schema.field(name).type for name in expected} == expected
    assert schema.field("design.clock").metadata == {b"unit": b"GHz", b"doc": b""}
    assert schema.field("metric.hits").metadata == {b"unit": b"1", b"doc": b"share of hits"}
    needed = (
        "index status message reward cached wall_s seed agent agent_config env_id env_kwargs "
        "workload objective simulator simulator_version package_version git_commit schema_version"
    )
    assert set(needed.split()) <= set(schema.names)


def test_rows_are_on_disk_after_some_rows_or_seconds(tmp_path: Path) -> None:
    recorder = ParquetRecorder(tmp_path, INFO, SPACE, METRICS, flush_rows=3, flush_s=0.2)
    recorder.append(make_trial(0))
    recorder.append(make_trial(1))
    assert not read_parts(recorder.run_dir)
    recorder.append(make_trial(2))
    assert len(read_history(recorder.run_dir, SPACE)) == 3
    time.sleep(0.25)
    recorder.append(make_trial(3))
    assert len(read_history(recorder.run_dir, SPACE)) == 4
    recorder.append(make_trial(4))
    assert len(read_history(recorder.run_dir, SPACE)) == 4
    recorder.close()
    recorder.close()
    assert len(read_history(recorder.run_dir, SPACE)) == 5


def test_a_design_that_changes_later_is_logged_as_it_was(tmp_path: Path) -> None:
    design = SPACE.default()
    recorder = ParquetRecorder(tmp_path, INFO, SPACE, METRICS)
    recorder.append(make_trial(0, design=design))
    design["depth"] = 77
    recorder.close()
    assert read_history(recorder.run_dir, SPACE)[0].design == SPACE.default()


def test_goes_on_behind_the_last_row(tmp_path: Path) -> None:
    trials = [make_trial(i) for i in range(9)]
    run_dir = record(tmp_path, trials[:4], flush_rows=2).run_dir
    leftover = run_dir / f".{part_name(2)}.123.tmp"
    leftover.write_bytes(b"half a file")
    assert read_history(run_dir, SPACE) == trials[:4]
    recorder = record(tmp_path, trials[4:], flush_rows=2)
    assert not leftover.exists()
    assert read_history(run_dir, SPACE) == trials
    recorder.merge()
    assert read_history(run_dir, SPACE) == trials
    assert read_parts(run_dir)[0].default == DEFAULT


def test_only_the_next_trial_is_taken(tmp_path: Path) -> None:
    recorder = record(tmp_path, [make_trial(0)])
    for index in (0, 2):
        with pytest.raises(DatasetError, match=f"expects trial 1, got trial {index}"):
            recorder.append(make_trial(index))
    with pytest.raises(DatasetError, match=r"metrics \['time_ns'\], but the columns are"):
        recorder.append(make_trial(1, metrics={"time_ns": 1.0}))
    with pytest.raises(DatasetError, match=r"parameters \['depth'\]"):
        recorder.append(make_trial(1, design={"depth": 1}))
    recorder.append(make_trial(1))
    recorder.close()
    assert len(read_history(recorder.run_dir, SPACE)) == 2


@pytest.mark.parametrize("options", [{"flush_rows": 0}, {"flush_s": -1.0}, {"flush_s": math.nan}])
def test_wrong_options(tmp_path: Path, options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="flush_rows must be at least 1 and flush_s at least 0"):
        record(tmp_path, [], **options)


def test_rows_survive_a_failed_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = ParquetRecorder(tmp_path, INFO, SPACE, METRICS, flush_rows=2)
    recorder.append(make_trial(0))
    with monkeypatch.context() as patch:

        def full_disk(_: int) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(os, "fsync", full_disk)
        with pytest.raises(OSError, match="No space"):
            recorder.append(make_trial(1))
    assert not list(recorder.run_dir.iterdir())
    recorder.close()
    assert len(read_history(recorder.run_dir, SPACE)) == 2


def test_a_merge_that_is_cut_short_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = [make_trial(i) for i in range(9)]
    recorder = record(tmp_path, trials, flush_rows=2)
    with monkeypatch.context() as patch:

        def killed(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            recorder.merge()
    assert len(list(recorder.run_dir.iterdir())) == 5
    assert read_history(recorder.run_dir, SPACE) == trials
    record(tmp_path, [])
    assert [path.name for path in recorder.run_dir.iterdir()] == [part_name(0)]
    assert read_history(recorder.run_dir, SPACE) == trials


def test_a_merge_holds_some_rows_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "_ROW_GROUP", 4)
    trials = [make_trial(i) for i in range(10)]
    recorder = record(tmp_path, trials, flush_rows=2)
    recorder.merge()
    with pq.ParquetFile(recorder.run_dir / part_name(0)) as file:
        assert [file.metadata.row_group(i).num_rows for i in range(3)] == [4, 4, 2]
    assert read_history(recorder.run_dir, SPACE) == trials


def test_a_missing_part_is_found(tmp_path: Path) -> None:
    run_dir = record(tmp_path, [make_trial(i) for i in range(6)], flush_rows=2).run_dir
    (run_dir / part_name(1)).unlink()
    with pytest.raises(DatasetError, match=r"part-00002.parquet: begins with sample 4.* hold 2"):
        read_history(run_dir, SPACE)


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    run_dir = record(tmp_path, [make_trial(i) for i in range(6)], flush_rows=2).run_dir
    path = run_dir / part_name(1)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match=r"part-00001.parquet: cannot be read"):
        read_history(run_dir, SPACE)
    path.write_bytes(b"")
    with pytest.raises(DatasetError, match=r"part-00001.parquet: cannot be read"):
        read_history(run_dir, SPACE)


def test_the_log_of_another_space_is_not_continued(tmp_path: Path) -> None:
    run_dir = record(tmp_path, [make_trial(0)]).run_dir
    other = ParameterSpace(SPACE.parameters[:-1])
    with pytest.raises(DatasetError, match="designs of another space"):
        read_history(run_dir, other)
    with pytest.raises(DatasetError, match="has other columns than this run writes"):
        ParquetRecorder(tmp_path, INFO, SPACE, METRICS[:1])


def test_appending_is_cheap(tmp_path: Path) -> None:
    trials = [make_trial(i) for i in range(3000)]
    seconds = []
    for attempt in range(3):  # the best of three, for machines that are busy
        recorder = ParquetRecorder(tmp_path / str(attempt), INFO, SPACE, METRICS)
        start = time.perf_counter()
        for trial in trials:
            recorder.append(trial)
        recorder.close()
        seconds.append(time.perf_counter() - start)
    assert min(seconds) / len(trials) < 50e-6


def test_folders_are_quoted() -> None:
    info = dataclasses.replace(INFO, env_id="../x", agent="a=b/c")
    assert run_folder("out", info) == Path("out/env=..%2Fx/agent=a%3Db%2Fc/run=0123456789ab")
