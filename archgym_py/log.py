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
`fidelity`         string   where the metrics come from: simulator or proxy
`design.<name>`    its own  value of a parameter of the design
`metric.<name>`    float64  value of a metric, null where the status is not ok
================== ======== ==================================================================

The fields of [`RunInfo`][] and `schema_version` follow as columns that are constant in a run. Units
are in the field metadata of the schema. Logs of version 1 lack `fidelity`, which is simulator then,
and `quality`.

Parquet checks its pages at most, and neither names nor counts. So a part is sealed: its footer
holds the SHA-256 of the file, taken with zeros in its own place, and a reader finds out about every
byte that has changed. Parts of version 1 have no seal and are read with what Parquet checks.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from archgym_py.simulator import SIMULATED, Metric, Status
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
    "parts_of",
    "read_history",
    "read_part",
    "read_parts",
    "read_rows",
    "reading",
    "run_folder",
    "schema_for",
    "seal",
    "trials_of",
]

SCHEMA_VERSION = 2
"""Version of the columns; it changes whenever a reader of the older ones would go wrong."""

PART_PATTERN = "part-*.parquet"
"""Pattern of the names of the files of a run."""

PREFIXES = ("design.", "metric.")
"""How the names of the columns of parameters and metrics begin."""

_READABLE = (1, 2)
_METADATA_KEY = b"archgym"
_PART_NAME = re.compile(r"part-(\d{5,})\.parquet")

_OPEN = "0" * 64  # stands where the seal will be
_SEAL = re.compile(rb'"schema_version": [0-9]+, "sha256": "([0-9a-f]{64})"')
_CHUNK = 2**20
_REMEDY = (
    "Restore the file, or delete it and every later part of its run and continue the run with "
    "--resume."
)

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
    "fidelity": _WORD,
}
"""The columns that every log begins with."""

_FIRST_FIELDS = tuple(TRIAL_FIELDS)[:-1]  # those of version 1

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
        quality: How good the agent is, in the words of who collected the data; "" where nobody
            said.
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
    quality: str = ""


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
        sealed: Whether it holds a SHA-256 of itself, which is right then.
    """

    path: Path
    schema: pa.Schema
    rows: int
    first_index: int
    info: RunInfo
    default: DefaultResult | None
    sealed: bool


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
        Metadata of a schema, with a place for the seal.
    """
    about = {
        "schema_version": SCHEMA_VERSION,
        "sha256": _OPEN,
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
    sealed = _check_seal(path)
    with reading(path), pq.ParquetFile(path) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows
    try:
        about = json.loads((schema.metadata or {})[_METADATA_KEY])
        version, to_be_sealed = about["schema_version"], "sha256" in about
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{path}: is no part of a log: it says nothing of a run.") from error
    if version not in _READABLE:
        raise DatasetError(
            f"{path}: has schema version {version}, but this package reads "
            f"{' and '.join(map(str, _READABLE))}. Read it with the version of the package that "
            "wrote it."
        )
    if to_be_sealed and not sealed:
        raise DatasetError(f"{path}: is damaged: the SHA-256 in it is missing. {_REMEDY}")
    try:
        default = about["default"]
        part = Part(
            path=path,
            schema=schema,
            rows=rows,
            first_index=int(about["first_index"]),
            info=RunInfo(**about["run"]),
            default=None if default is None else DefaultResult(**default),
            sealed=sealed,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{path}: is no part of a log: what it says of its run is incomplete: {error}."
        ) from error
    _check_columns(part, version)
    return part


def _check_columns(part: Part, version: int) -> None:
    """Refuse a part that lacks a column, or has one that logs do not have."""
    expected = (
        {name: TRIAL_FIELDS[name] for name in _FIRST_FIELDS} if version == 1 else {**TRIAL_FIELDS}
    )
    expected |= {
        entry.name: pa.int64() if entry.name == "seed" else _WORD
        for entry in fields(RunInfo)
        if version > 1 or entry.name != "quality"
    }
    expected["schema_version"] = pa.int64()
    wanted: tuple[pa.DataType, ...]
    for column in part.schema:
        if column.name.startswith("metric."):
            wanted = (pa.float64(),)
        elif column.name.startswith("design."):
            wanted = tuple(_VALUE_TYPES.values())
        elif column.name in expected:
            wanted = (expected.pop(column.name),)
        else:
            raise DatasetError(
                f"{part.path}: is no part of a log: no log has a column {column.name!r}."
            )
        if column.type not in wanted:
            raise DatasetError(
                f"{part.path}: is no part of a log: the type of column {column.name!r} is "
                f"{column.type}, which has to be {' or '.join(map(str, wanted))}."
            )
    if expected:
        raise DatasetError(
            f"{part.path}: is no part of a log: it lacks the column {next(iter(expected))!r}."
        )


def seal(path: Path) -> None:
    """Put the SHA-256 of a part into its place in the footer, so that readers find damage.

    Args:
        path: A file whose schema has the metadata of `part_metadata`; not sealed yet.

    Raises:
        OSError: If the file cannot be written.
    """
    digest, place = _digest(path)
    if place is not None:
        with path.open("rb+") as file:
            file.seek(place)
            file.write(digest.encode())


def _check_seal(path: Path) -> bool:
    """Refuse a part whose bytes are not those that were sealed; return whether it is sealed."""
    with reading(path):
        digest, place = _digest(path)
        if place is None:
            return False
        with path.open("rb") as file:
            file.seek(place)
            sealed = file.read(len(digest)).decode()
    if sealed != digest:
        raise DatasetError(
            f"{path}: is damaged: its SHA-256 is not the one that was written into it. {_REMEDY}"
        )
    return True


def _digest(path: Path) -> tuple[str, int | None]:
    """Return the SHA-256 of a file with zeros in place of its seal, and the place of the seal."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(size - 8, 0))
        footer_size = int.from_bytes(file.read(4), "little")
        start = max(size - 8 - footer_size, 0)
        file.seek(start)
        footer = file.read()
        found = _SEAL.search(footer)
        if found is None:
            return "", None
        place = start + found.start(1)
        digest = hashlib.sha256()
        file.seek(0)
        left = place
        while left and (chunk := file.read(min(left, _CHUNK))):
            digest.update(chunk)
            left -= len(chunk)
        digest.update(_OPEN.encode())
        file.seek(place + len(_OPEN))
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest(), place


def read_parts(run_dir: Path) -> list[Part]:
    """Read the footers of a run.

    Args:
        run_dir: The folder of the run.

    Returns:
        The parts in order; those whose samples a merged part holds too are left out.

    Raises:
        DatasetError: If a file cannot be read, or one is missing between two others.
    """
    return parts_of(run_dir.glob(PART_PATTERN))


def parts_of(files: Iterable[Path], *, problems: list[str] | None = None) -> list[Part]:
    """Read the footers of the files of a run.

    Args:
        files: All files of the run, in any order.
        problems: Where given, it is told what is wrong with a file, which ends the run then.

    Returns:
        The parts in order; those whose samples a merged part holds too are left out.

    Raises:
        DatasetError: If there are no `problems`, and a file cannot be read or one is missing
            between two others.
    """
    parts: list[Part] = []
    rows = 0
    try:
        for path in sorted(files, key=part_number):
            part = read_part(path)
            if part.first_index < rows:
                continue
            if part.first_index > rows:
                raise DatasetError(
                    f"{path}: begins with sample {part.first_index}, but the files before it hold "
                    f"{rows} samples. Restore the missing file, or delete this one and every later "
                    "part and continue the run with --resume."
                )
            if problems is not None and not part.sealed:
                _read_through(part)
            parts.append(part)
            rows += part.rows
    except DatasetError as error:
        if problems is None:
            raise
        problems.append(str(error))
    return parts


def _read_through(part: Part) -> None:
    """Find damage of a file that is not sealed: the only way is to read it."""
    with (
        reading(part.path),
        pq.ParquetFile(part.path, page_checksum_verification=True) as file,
    ):
        for _ in file.iter_batches():
            pass


def read_rows(part: Part) -> pa.Table:
    """Read all samples of a part.

    Raises:
        DatasetError: If the file cannot be read.
    """
    with (
        reading(part.path),
        pq.ParquetFile(part.path, page_checksum_verification=True) as file,
    ):
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
        batch: Rows with the columns of `TRIAL_FIELDS`, of which version 1 lacks `fidelity`, and
            any of designs and metrics. A null is a parameter or a metric that the row does not
            have.

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
    trials = zip(*(_values(batch, name) for name in _FIRST_FIELDS), strict=True)
    fidelities = _values(batch, "fidelity") if "fidelity" in names else repeat(None)
    for trial, design, row, fidelity in zip(trials, designs, measured, fidelities, strict=False):
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
            fidelity=fidelity or SIMULATED,
        )


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Name the file in errors about its content.

    Args:
        path: The part that is read.

    Raises:
        DatasetError: If reading it fails.
    """
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(
            f"{path}: cannot be read as a part of a log: {error}. {_REMEDY}"
        ) from error


def _values(batch: pa.RecordBatch, name: str) -> list[Any]:
    """Return a column as Python values."""
    column = batch.column(name)
    if column.null_count or not pa.types.is_primitive(column.type):
        return cast(list[Any], column.to_pylist())
    return cast(list[Any], column.to_numpy(zero_copy_only=False).tolist())  # much faster


def _present(names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}
