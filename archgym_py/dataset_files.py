"""Logs of several folders in one, and datasets in a form that other programs expect."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from archgym_py.dataset import LoggedRun, SampleDataset
from archgym_py.dataset_summary import Summary, summarise
from archgym_py.errors import ConfigError
from archgym_py.files import TEMPORARY_SUFFIX, locked
from archgym_py.log import (
    PART_PATTERN,
    PREFIXES,
    TRIAL_FIELDS,
    DatasetError,
    RunInfo,
    run_folder,
)
from archgym_py.summary import markdown

__all__ = ["Merged", "export_hugging_face", "folder_to_be", "merge"]

_SHARD_ROWS = 1_000_000
_ASIDE = f".old{TEMPORARY_SUFFIX}"  # a version of a run that another one replaces
_NEW = f".new{TEMPORARY_SUFFIX}"
_MAY_DIFFER = ("package_version", "git_commit")  # of two logs of the same run
_SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
_MEANINGS = {
    "index": "number of the sample in its run, from 0",
    "key": "hash of the canonical design: equal for designs that mean the same",
    "status": "ok, infeasible, timeout or crashed",
    "message": "why there are no metrics, where the status is not ok",
    "reward": "what the agent was told, always maximised",
    "rewards": "the vector behind the reward, for objectives with several metrics",
    "cached": "whether an earlier sample of the run had the same key",
    "wall_s": "time that the sample took",
    "trial_seed": "seed given to the simulator; 0 where it is deterministic",
    "fidelity": "where the metrics come from: simulator or proxy",
    "run_id": "id of the run, equal for runs that do the same",
    "agent": "name of the agent that proposed the design",
    "agent_config": "hyperparameters of the agent, as JSON",
    "env_id": "Gymnasium id of the environment",
    "env_kwargs": "arguments of the environment, as JSON",
    "workload": "name of the workload",
    "objective": "objective that the rewards come from",
    "simulator": "name of the simulator",
    "simulator_version": "version of the simulator",
    "package_version": "version of archgym_py",
    "git_commit": "commit of archgym_py",
    "seed": "seed of the run",
    "quality": "how good the agent is, in the words of who collected the data",
    "schema_version": "version of the columns of the log",
}

_LOADING = """\
```python
import pyarrow.dataset

samples = pyarrow.dataset.dataset("data").to_table()

from datasets import load_dataset  # or with Hugging Face's library

samples = load_dataset("parquet", data_files="data/train-*.parquet", split="train")
```"""


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge did.

    Attributes:
        copied: Runs that the folder did not have.
        extended: Runs of which the folder had fewer samples.
        kept: Runs of which the folder, or another one, had all samples already.
        rows: Samples of all runs that were looked at, without those that occur twice.
    """

    copied: int
    extended: int
    kept: int
    rows: int


def merge(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    skip_damaged: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> Merged:
    """Copy the runs of several folders into one.

    A run is copied with its configuration, its state and its policy. Of equal runs one is kept; of
    runs of which one continues the other, the longer one. A kill leaves each run of the folder as
    it was or as it is to be, or aside in the moment in which one version replaces another; the
    next merge into the folder puts that in order, and the same call goes on.

    Args:
        paths: Folders of runs.
        out: The folder to fill; made where it does not exist. Runs that are there stay.
        skip_damaged: Whether to leave damaged files out, with a warning for each.
        progress: Called with the number of runs that are done, and of all.

    Returns:
        What was done.

    Raises:
        DatasetError: If a folder holds no runs, a file cannot be read, or two runs with one id
            differ; nothing of such a run is written.
        LockedError: If another process merges into the folder.
        OSError: If a file cannot be written.

    Examples:
        >>> import tempfile
        >>> from archgym_py.config import RunConfig
        >>> from archgym_py.runner import run
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for seed in (1, 2):
        ...         config = dict(env="ArchGym/Toy-v0", agent="random_search", budget=50)
        ...         _ = run(RunConfig(**config, seed=seed, out=f"{folder}/{seed}"))
        ...     done = merge([f"{folder}/1", f"{folder}/2"], f"{folder}/both")
        ...     rows = len(SampleDataset(f"{folder}/both"))
        >>> done.copied, rows
        (2, 100)
    """
    out = Path(out)
    sources = [SampleDataset(path, skip_damaged=skip_damaged) for path in paths]
    if not sources:
        raise DatasetError("there is nothing to merge. Name the folders of runs.")
    out.mkdir(parents=True, exist_ok=True)
    counts = {"copied": 0, "extended": 0, "kept": 0}
    rows: dict[Path, int] = {}
    parts: dict[Path, list[Path]] = {}
    for file in dict.fromkeys(file for source in sources for file in source.files):
        parts.setdefault(file.parent, []).append(file)
    runs = [log for source in sources for log in source.runs()]
    with locked(out, "merged runs"):
        _put_in_order(out)
        for done, log in enumerate(runs, start=1):
            target = run_folder(out, log.info)
            rows[target] = max(rows.get(target, 0), log.rows)
            counts[_merge_run(log, parts[log.folder], target)] += 1
            if progress is not None:
                progress(done, len(runs))
    return Merged(**counts, rows=sum(rows.values()))


def _merge_run(log: LoggedRun, files: Sequence[Path], target: Path) -> str:
    """Copy the files of a run unless the target has it; say what was done."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside, new = (target.with_name(f".{target.name}{ending}") for ending in (_ASIDE, _NEW))
    if log.folder.resolve() == target.resolve():
        return "kept"
    there = any(target.glob(PART_PATTERN))
    if there:
        [known] = SampleDataset(target).runs()
        _check_same_run(known, log, files)
        if known.rows >= log.rows:
            return "kept"
    with _new_folder(new) as made:
        beside = [path for path in sorted(log.folder.glob("_*")) if path.is_file()]
        for file in (*files, *beside):
            shutil.copyfile(file, made / file.name)
            _sync(made / file.name)
        _sync(made)
        if target.exists():
            target.rename(aside)
        made.rename(target)
    _sync(target.parent)
    if aside.exists():
        shutil.rmtree(aside)
    return "extended" if there else "copied"


def _put_in_order(out: Path) -> None:
    """Undo what a merge that was killed has begun."""
    for aside in sorted(out.glob(f"env=*/agent=*/.run=*{_ASIDE}")):
        target = aside.with_name(aside.name.removeprefix(".").removesuffix(_ASIDE))
        if target.exists():
            shutil.rmtree(aside)
        else:
            aside.rename(target)
    for new in out.glob(f"env=*/agent=*/.run=*{_NEW}"):
        shutil.rmtree(new)


def _check_same_run(one: LoggedRun, other: LoggedRun, files: Sequence[Path]) -> None:
    """Refuse runs of which neither continues the other."""
    for entry in fields(RunInfo):
        before, now = getattr(one.info, entry.name), getattr(other.info, entry.name)
        if before != now and entry.name not in _MAY_DIFFER:
            raise DatasetError(
                f"{one.folder} and {other.folder} are the same run {one.info.run_id} with a "
                f"different {entry.name}: {before!r} and {now!r}. Merge one of them only."
            )
    left, right = SampleDataset(one.folder), SampleDataset(*files)
    columns = [name for name in left.columns if name in TRIAL_FIELDS or name.startswith(PREFIXES)]
    columns.remove("wall_s")
    same = left.columns == right.columns and all(
        mine.equals(theirs)
        for mine, theirs in _side_by_side(left.batches(columns), right.batches(columns))
    )
    if not same:
        raise DatasetError(
            f"{one.folder} and {other.folder} are the same run {one.info.run_id} with different "
            "samples. `archgym dataset validate` shows which is right; merge that one only."
        )


def _side_by_side(
    left: Iterator[pa.RecordBatch], right: Iterator[pa.RecordBatch]
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Yield the rows of two scans in pieces of equal length, up to the end of the shorter one."""
    mine: pa.RecordBatch | None = None
    theirs: pa.RecordBatch | None = None
    while True:
        mine = mine if mine is not None and mine.num_rows else next(left, None)
        theirs = theirs if theirs is not None and theirs.num_rows else next(right, None)
        if mine is None or theirs is None:
            return
        rows = min(mine.num_rows, theirs.num_rows)
        yield _plain(mine.slice(0, rows)), _plain(theirs.slice(0, rows))
        mine, theirs = mine.slice(rows), theirs.slice(rows)


def _plain(batch: pa.RecordBatch) -> pa.Table:
    """Return rows with strings in place of numbers of strings, which differ between files."""
    return pa.Table.from_batches([batch]).cast(_plain_schema(batch.schema))


def _plain_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema(
        [
            field.with_type(pa.string()) if pa.types.is_dictionary(field.type) else field
            for field in schema
        ]
    )


def _sync(path: Path) -> None:
    """See that a file or a folder survives a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _new_folder(path: Path) -> Iterator[Path]:
    """Make an empty folder, in place of what a kill has left there; remove what stays of it."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def folder_to_be(folder: Path) -> Iterator[Path]:
    """Fill a folder under a temporary name, and give it its name once it is complete.

    Args:
        folder: The folder; it must not exist, or be empty.

    Yields:
        The temporary folder, beside it.

    Raises:
        ConfigError: If the folder exists and is not empty, or is a file.
        OSError: If it cannot be written.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise ConfigError(f"{folder}: exists already. Delete it, or name another folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _new_folder(folder.with_name(f".{folder.name}.{os.getpid()}{TEMPORARY_SUFFIX}")) as made:
        yield made
        for path in sorted(made.rglob("*")):
            _sync(path)
        made.replace(folder)  # which an empty folder does not prevent
    _sync(folder.parent)


def export_hugging_face(
    dataset: SampleDataset,
    folder: str | Path,
    *,
    name: str,
    shard_rows: int = _SHARD_ROWS,
    progress: Callable[[int], object] | None = None,
) -> Summary:
    """Write a dataset as a folder that the Hugging Face hub and its libraries take as it is.

    The folder has `data/train-00000-of-00001.parquet` and so on, with the columns of the log, and
    `README.md`: the dataset card, with units, provenance and counts. It is complete or absent.

    Args:
        dataset: The samples.
        folder: The folder to write; it must not exist, or be empty.
        name: Name of the dataset, for the card.
        shard_rows: Most rows of a file.
        progress: Called with the number of samples of each batch that was written.

    Returns:
        What the card says of the samples.

    Raises:
        ConfigError: If the folder is not empty or `shard_rows` is less than 1.
        DatasetError: If there is no sample, or a file cannot be read.
        OSError: If a file cannot be written.

    Examples:
        >>> import tempfile
        >>> import pyarrow.dataset
        >>> from archgym_py.config import RunConfig
        >>> from archgym_py.runner import run
        >>> with tempfile.TemporaryDirectory() as out:
        ...     config = dict(env="ArchGym/Toy-v0", agent="random_search", budget=50)
        ...     _ = run(RunConfig(**config, out=f"{out}/runs"))
        ...     _ = export_hugging_face(SampleDataset(f"{out}/runs"), f"{out}/hub", name="Toy")
        ...     pyarrow.dataset.dataset(f"{out}/hub/data").count_rows()
        50
    """
    folder = Path(folder)
    if shard_rows < 1:
        raise ConfigError(f"shard_rows must be at least 1, got {shard_rows}.")
    rows = len(dataset)
    if not rows:
        raise DatasetError(f"{dataset.name}: no sample is left to export.")
    shards = -(-rows // shard_rows)
    schema = _plain_schema(dataset.schema)
    options: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True}
    with folder_to_be(folder) as made:
        (made / "data").mkdir()
        left: Iterator[pa.Table] = _in_pieces(dataset, shard_rows, schema)
        piece = next(left, None)
        for shard in range(shards):
            path = made / "data" / f"train-{shard:05d}-of-{shards:05d}.parquet"
            written = 0
            with pq.ParquetWriter(path, schema, **options) as writer:
                while piece is not None and written + piece.num_rows <= shard_rows:
                    writer.write_table(piece)
                    written += piece.num_rows
                    if progress is not None:
                        progress(piece.num_rows)
                    piece = next(left, None)
        summary = summarise(dataset)
        card = _card(dataset, summary, name)
        (made / "README.md").write_text(card, encoding="utf-8")
    return summary


def _in_pieces(dataset: SampleDataset, shard_rows: int, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield all rows in pieces that do not cross the border of a shard."""
    room = shard_rows
    for batch in dataset.batches():
        while batch.num_rows:
            rows = min(batch.num_rows, room)
            yield pa.Table.from_batches([batch.slice(0, rows)]).cast(schema)
            batch = batch.slice(rows)
            room = room - rows or shard_rows


def _card(dataset: SampleDataset, summary: Summary, name: str) -> str:
    """Return the page that describes a dataset: Markdown that begins with metadata as YAML."""
    front = {
        "pretty_name": name,
        "license": "other",
        "tags": ["computer-architecture", "design-space-exploration", "tabular", "archgym"],
        "size_categories": [_size(summary.rows)],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": "data/train-*.parquet"}],
            }
        ],
    }
    infos = [run.info for run in dataset.runs()]
    provenance = {
        "environments": {info.env_id for info in infos},
        "simulators": {f"{info.simulator} {info.simulator_version}" for info in infos},
        "objectives": {info.objective for info in infos},
        "archgym_py": {f"{info.package_version} {info.git_commit}".strip() for info in infos},
    }
    metadata = {field.name: field.metadata or {} for field in dataset.schema}
    units = {**dataset.units, "wall_s": "s"}
    columns = [
        (
            f"`{field.name}`",
            _type(field),
            units.get(field.name, ""),
            _cell(_MEANINGS.get(field.name, "") or metadata[field.name].get(b"doc", b"").decode()),
        )
        for field in dataset.schema
    ]
    ranges = [
        (
            metric.name,
            metric.unit,
            f"{metric.rows:,}",
            "-" if metric.low is None else f"{metric.low:.6g}",
            "-" if metric.high is None else f"{metric.high:.6g}",
        )
        for metric in summary.metrics
    ]
    counts = [
        (_cell(f"{what}: {entry or '-'}"), f"{number:,}", f"{number / summary.rows:.1%}")
        for what, found in (
            ("agent", summary.agents),
            ("quality", summary.qualities),
            ("workload", summary.workloads),
            ("status", summary.statuses),
            ("fidelity", summary.fidelities),
        )
        for entry, number in found.items()
    ]
    about = (
        f"{summary.rows:,} samples of {summary.runs:,} runs, in which search agents proposed "
        f"hardware designs and a simulator evaluated them: {summary.unique:,} different pairs of a "
        f"design and a problem ({summary.duplicates:.1%} of the samples are repetitions). Made by "
        "`archgym dataset export`."
    )
    parts = [
        f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---",
        f"# {name}",
        about,
        "## How to load it",
        _LOADING,
        "Split samples by `key`, not by row: a design may occur more than once.",
        "## Where it comes from",
        "\n".join(
            f"- {what}: {', '.join(f'`{entry}`' for entry in sorted(found))}"
            for what, found in provenance.items()
        ),
        "## What there is",
        markdown(("samples by", "samples", "share"), counts),
        markdown(("metric", "unit", "samples", "smallest", "largest"), ranges),
        "## Columns",
        markdown(("column", "type", "unit", "meaning"), columns),
        "## License",
        "Who publishes the data states it: until then `license` above says `other`.",
    ]
    return "\n\n".join(parts) + "\n"


def _type(field: pa.Field[Any]) -> str:
    """Return the type of a column as it is exported."""
    if pa.types.is_list(field.type):
        return "list of double"
    return "string" if pa.types.is_dictionary(field.type) else str(field.type)


def _size(rows: int) -> str:
    """Return the category of size in the words of the hub.

    Examples:
        >>> _size(999), _size(1000), _size(5_000_000)
        ('n<1K', '1K<n<10K', '1M<n<10M')
    """
    words = ["1K", "10K", "100K", "1M", "10M", "100M", "1B"]
    above = [word for word, size in zip(words, _SIZES, strict=True) if rows >= size]
    below = words[len(above) :]
    return f"{above[-1]}<n{'<' + below[0] if below else ''}" if above else "n<1K"


def _cell(text: str) -> str:
    """Return text that a cell of a Markdown table can hold."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|")
