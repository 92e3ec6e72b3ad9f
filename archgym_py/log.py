"""The format of the log: Parquet files that survive a kill.

A run is logged under `env=<id>/agent=<name>/run=<id>/` as `part-00000.parquet` and so on. A part
is written under a temporary name and renamed when it is safe on disk, so a killed run keeps every
part but the one that it had not written yet. A finished run is merged into one part.

================== ======== ==================================================================
column             type     meaning
================== ======== ==================================================================
`index`            int64    number of the sample in its run, from 0
`key`              string   hash of the canonical design: equal for designs that mean the same
`status`           string   ok, infeasible, timeout or crashed
`message`          string   why there are no metrics, where the status is not ok
`reward`           float64  what the agent was told, always maximised
`rewards`          list     the vector behind the reward, for objectives that have several metrics
`cached`           bool     whether an earlier sample of the run had the same key
`wall_s`           float64  seconds that the sample took
`trial_seed`       int64    seed given to the simulator; 0 where it is deterministic
`design.<name>`    its own  value of a parameter of the design
`metric.<name>`    float64  value of a metric, null where the status is not ok
================== ======== ==================================================================

The fields of [`RunInfo`][] and `schema_version` follow as columns that are constant in a run. Units
are in the field metadata of the schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from itertools import repeat
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from archgym_py.errors import ArchGymError
from archgym_py.evaluator import Trial
from archgym_py.simulator import Metric, Status
from archgym_py.space import ParameterSpace, Value

__all__ = [
    "PART_PATTERN",
    "PREFIXES",
    "SCHEMA_VERSION",
    "TRIAL_FIELDS",
    "DatasetError",
    "DefaultResult",
    "Part",
    "RunInfo",
    "part_metadata",
    "part_name",
    "part_number",
    "read_history",
    "read_part",
    "read_parts",
    "read_rows",
    "run_folder",
    "schema_for",
    "trials_of",
]

SCHEMA_VERSION = 1
"""Version of the columns; it changes whenever a reader of the older ones would go wrong."""

PART_PATTERN = "part-*.parquet"
"""Pattern of the names of the files of a run."""

PREFIXES = ("design.", "metric.")
"""How the names of the columns of parameters and metrics begin."""

_METADATA_KEY = b"archgym"
_PART_NAME = re.compile(r"part-(\d{5,})\.parquet")

# A dictionary type costs nothing for a constant column, and `agent` has to have it: readers that
# find `agent=...` in the folder's name expect that type.
_WORD = pa.dictionary(pa.int32(), pa.string())

TRIAL_FIELDS: dict[str, pa.DataType] = {
    "index": pa.int64(),
    "key": pa.string(),
    "status": _WORD,
    "message": pa.string(),
    "reward": pa.float64(),
    "rewards": pa.list_(pa.float64()),
    "cached": pa.bool_(),
    "wall_s": pa.float64(),
    "trial_seed": pa.int64(),
}
"""The columns that every log begins with."""

_VALUE_TYPES: dict[type, pa.DataType] = {
    bool: pa.bool_(),
    float: pa.float64(),
    int: pa.int64(),
    str: pa.string(),
}


class DatasetError(ArchGymError, ValueError):
    """A log cannot be read, or cannot be continued; the message names the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """Where the samples of a run come from; constant columns of its log.

    Attributes:
        run_id: Id of the run: equal for runs that do the same.
        agent: Name of the agent.
        agent_config: All its hyperparameters, as JSON.
        env_id: Gymnasium id of the environment.
        env_kwargs: The arguments that the environment was given, as JSON.
        workload: Name of the workload, "" where the environment has none.
        objective: Name of the objective that the rewards come from.
        simulator: Name of the simulator.
        simulator_version: Version of the simulator.
        package_version: Version of this package.
        git_commit: Commit of this package's checkout, "" where there is none; ends in "-dirty"
            where files differed from the commit.
        seed: Seed of the run.
    """

    run_id: str
    agent: str
    agent_config: str
    env_id: str
    env_kwargs: str
    workload: str
    objective: str
    simulator: str
    simulator_version: str
    package_version: str
    git_commit: str
    seed: int


@dataclass(frozen=True, slots=True)
class DefaultResult:
    """What the default design of a run's environment achieves: the result to beat.

    Attributes:
        design: The default design.
        metrics: Its metrics.
        reward: Its reward.
    """

    design: Mapping[str, Value]
    metrics: Mapping[str, float]
    reward: float


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a log, as its footer describes it.

    Attributes:
        path: The file.
        schema: Its columns.
        rows: Its number of samples.
        first_index: Index of its first sample.
        info: The run.
        default: The default design's result, where the run knew it.
    """

    path: Path
    schema: pa.Schema
    rows: int
    first_index: int
    info: RunInfo
    default: DefaultResult | None


def run_folder(out_dir: str | Path, info: RunInfo) -> Path:
    """Return the folder under `out_dir` in which a run is logged.

    Args:
        out_dir: Folder of any number of runs.
        info: The run.

    Returns:
        The path; nothing is created.
    """
    names = {"env": info.env_id, "agent": info.agent, "run": info.run_id}
    return Path(out_dir, *(f"{name}={quote(value, safe='')}" for name, value in names.items()))


def schema_for(space: ParameterSpace, metrics: Sequence[Metric]) -> pa.Schema:
    """Return the columns of a log.

    Args:
        space: The space of the designs.
        metrics: The metrics of the simulator.

    Returns:
        The schema; parameters and metrics have their unit and meaning in the field's metadata.
    """
    columns = [pa.field(name, kind) for name, kind in TRIAL_FIELDS.items()]
    columns += [
        pa.field(
            f"design.{parameter.name}",
            _VALUE_TYPES[parameter.value_type],
            metadata={"unit": parameter.unit, "doc": parameter.doc},
        )
        for parameter in space.parameters
    ]
    columns += [
        pa.field(
            f"metric.{metric.name}",
            pa.float64(),
            metadata={"unit": metric.unit, "doc": metric.doc},
        )
        for metric in metrics
    ]
    columns += [
        pa.field(entry.name, pa.int64() if entry.name == "seed" else _WORD)
        for entry in fields(RunInfo)
    ]
    return pa.schema([*columns, pa.field("schema_version", pa.int64())])


def part_name(number: int) -> str:
    """Return the name of the file of a part.

    Examples:
        >>> part_name(7)
        'part-00007.parquet'
    """
    return f"part-{number:05d}.parquet"


def part_number(path: Path) -> int:
    """Return the number in the name of the file of a part.

    Raises:
        DatasetError: If the file is not named like one.
    """
    match = _PART_NAME.fullmatch(path.name)
    if match is None:
        raise DatasetError(f"{path}: is not named like a part of a log, {part_name(0)}.")
    return int(match[1])


def part_metadata(
    info: RunInfo, default: DefaultResult | None, first_index: int
) -> dict[bytes, bytes]:
    """Return what the footer of a part says besides its columns.

    Args:
        info: The run.
        default: The default design's result, where it is known.
        first_index: Index of the first sample of the part.

    Returns:
        Metadata of a schema.
    """
    about = {
        "schema_version": SCHEMA_VERSION,
        "first_index": first_index,
        "run": asdict(info),
        "default": None if default is None else asdict(default),
    }
    return {_METADATA_KEY: json.dumps(about, allow_nan=False).encode()}


def read_part(path: Path) -> Part:
    """Read the footer of a part.

    Args:
        path: The file.

    Returns:
        The part.

    Raises:
        DatasetError: If the file cannot be read or is no part of a log.
    """
    with _reading(path), pq.ParquetFile(path) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows
    try:
        about = json.loads((schema.metadata or {})[_METADATA_KEY])
    except (KeyError, ValueError) as error:
        raise DatasetError(f"{path}: is no part of a log: it says nothing of a run.") from error
    if about.get("schema_version") != SCHEMA_VERSION:
        raise DatasetError(
            f"{path}: has schema version {about.get('schema_version')}, but this package reads "
            f"version {SCHEMA_VERSION}. Read it with the version of the package that wrote it."
        )
    default = about["default"]
    return Part(
        path=path,
        schema=schema,
        rows=rows,
        first_index=about["first_index"],
        info=RunInfo(**about["run"]),
        default=None if default is None else DefaultResult(**default),
    )


def read_parts(run_dir: Path) -> list[Part]:
    """Read the footers of a run.

    Args:
        run_dir: The folder of the run.

    Returns:
        The parts in order; those whose samples a merged part holds too are left out.

    Raises:
        DatasetError: If a file cannot be read, or one is missing between two others.
    """
    parts: list[Part] = []
    rows = 0
    for path in sorted(run_dir.glob(PART_PATTERN), key=part_number):
        part = read_part(path)
        if part.first_index < rows:
            continue
        if part.first_index > rows:
            raise DatasetError(
                f"{path}: begins with sample {part.first_index}, but the files before it hold "
                f"{rows} samples. Restore the missing file, or delete this one and every later "
                "part and continue the run with --resume."
            )
        parts.append(part)
        rows += part.rows
    return parts


def read_rows(part: Part) -> pa.Table:
    """Read all samples of a part.

    Raises:
        DatasetError: If the file cannot be read.
    """
    with _reading(part.path), pq.ParquetFile(part.path) as file:
        return file.read()


def read_history(run_dir: str | Path, space: ParameterSpace) -> list[Trial]:
    """Read what a run has logged so far, to continue it.

    Args:
        run_dir: The folder of the run.
        space: The space of the designs.

    Returns:
        The trials 0, 1, 2, ... without a gap; empty where nothing was logged.

    Raises:
        DatasetError: If a file cannot be read, or holds the designs of another space.
    """
    history: list[Trial] = []
    for part in read_parts(Path(run_dir)):
        logged = [name for name in part.schema.names if name.startswith("design.")]
        if logged != [f"design.{name}" for name in space.names]:
            raise DatasetError(
                f"{part.path}: holds designs of another space. Its environment has changed since: "
                "choose another folder."
            )
        for batch in read_rows(part).to_batches():
            history += trials_of(batch)
    return history


def trials_of(batch: pa.RecordBatch) -> Iterator[Trial]:
    """Make trials of rows.

    Args:
        batch: Rows with the columns of `TRIAL_FIELDS` and any of designs and metrics. A null is a
            parameter or a metric that the row does not have.

    Yields:
        A trial for each row.
    """
    names = batch.schema.names
    groups = []
    for prefix in PREFIXES:
        own = [name for name in names if name.startswith(prefix)]
        columns = [_values(batch, name) for name in own]
        rows = zip(*columns, strict=True) if columns else repeat((), batch.num_rows)
        groups.append(([name.removeprefix(prefix) for name in own], rows))
    (parameters, designs), (metrics, measured) = groups
    trials = zip(*(_values(batch, name) for name in TRIAL_FIELDS), strict=True)
    for trial, design, row in zip(trials, designs, measured, strict=True):
        index, key, status, message, reward, rewards, cached, wall_s, seed = trial
        yield Trial(
            index=index,
            design=_present(parameters, design),
            key=key,
            status=Status(status),
            message=message,
            metrics=_present(metrics, row),
            reward=reward,
            rewards=tuple(rewards),
            cached=cached,
            wall_s=wall_s,
            seed=seed,
        )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Name the file in errors about its content."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(
            f"{path}: cannot be read as a part of a log: {error}. Restore the file, or delete it "
            "and every later part of its run and continue the run with --resume."
        ) from error


def _values(batch: pa.RecordBatch, name: str) -> list[Any]:
    """Return a column as Python values."""
    column = batch.column(name)
    if column.null_count or not pa.types.is_primitive(column.type):
        return cast(list[Any], column.to_pylist())
    return cast(list[Any], column.to_numpy(zero_copy_only=False).tolist())  # much faster


def _present(names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}
