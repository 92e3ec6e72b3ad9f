"""The samples of one run or of many, read from their logs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.dataset as pa_dataset

from archgym_py.errors import did_you_mean
from archgym_py.evaluator import Trial
from archgym_py.files import atomic_path
from archgym_py.log import (
    PART_PATTERN,
    PREFIXES,
    TRIAL_FIELDS,
    DatasetError,
    DefaultResult,
    Part,
    RunInfo,
    read_part,
    read_parts,
    trials_of,
)
from archgym_py.simulator import Status

__all__ = ["LoggedRun", "SampleDataset"]

_JSON_FIELDS = (
    "index",
    "key",
    "status",
    "message",
    "reward",
    "rewards",
    "cached",
    "wall_s",
    "design",
    "metrics",
)


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """A run as its log describes it.

    Attributes:
        info: Where the samples come from.
        rows: Number of samples in the log.
        folder: The folder of the run.
        default: The default design's result, where the run knew it.
        units: Unit of each metric.
    """

    info: RunInfo
    rows: int
    folder: Path
    default: DefaultResult | None
    units: Mapping[str, str]


class SampleDataset:
    """The samples of one run or of many, read from their logs.

    Args:
        path: A folder of runs, the folder of a run, or one part of it.

    Raises:
        DatasetError: If there is no log, or a file cannot be read; the message names it.

    Examples:
        >>> import tempfile
        >>> from archgym_py.config import RunConfig
        >>> from archgym_py.runner import run
        >>> with tempfile.TemporaryDirectory() as out:
        ...     _ = run(RunConfig(env="ArchGym/Toy-v0", agent="genetic", budget=50, out=out))
        ...     samples = SampleDataset(out)
        ...     best = samples.best("delay_ns")
        >>> samples.units["metric.delay_ns"], best.status.value, len(best.design)
        ('ns', 'ok', 6)
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.is_file():
            groups = [[read_part(self.path)]]
        else:
            folders = sorted({file.parent for file in self.path.rglob(PART_PATTERN)})
            groups = [parts for folder in folders if (parts := read_parts(folder))]
        if not groups:
            raise DatasetError(
                f"{self.path}: holds no logged run. Name a folder that `archgym run --out` wrote."
            )
        parts = [part for group in groups for part in group]
        self._runs = tuple(_logged_run(group) for group in groups)
        self._data: pa_dataset.Dataset = pa_dataset.dataset(
            [str(part.path) for part in parts], schema=_common_schema(parts), format="parquet"
        )

    @classmethod
    def _of_table(cls, table: pa.Table, whole: SampleDataset) -> SampleDataset:
        """Make a dataset of some rows of another."""
        part = cls.__new__(cls)
        part.path = whole.path
        part._runs = whole._runs
        part._data = pa_dataset.dataset(table)
        return part

    @property
    def schema(self) -> pa.Schema:
        """The columns with their types and units."""
        return self._data.schema

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self._data.schema.names)

    @property
    def units(self) -> dict[str, str]:
        """Unit of every parameter and metric that has one, by column."""
        metadata = {field.name: field.metadata or {} for field in self._data.schema}
        units = {name: entries.get(b"unit", b"").decode() for name, entries in metadata.items()}
        return {name: unit for name, unit in units.items() if unit}

    def __len__(self) -> int:
        """Return the number of samples."""
        return self._data.count_rows()

    def runs(self) -> tuple[LoggedRun, ...]:
        """Return the runs that the files belong to, in the order of their samples."""
        return self._runs

    def table(
        self, columns: Sequence[str] | None = None, *, where: pc.Expression | None = None
    ) -> pa.Table:
        """Read samples into memory.

        Args:
            columns: The columns to read; all where left out.
            where: Condition on the rows, such as `pyarrow.compute.field("status") == "ok"`.

        Returns:
            One row a sample, run after run, in the order in which they were taken. A column that
            a run does not have is null.

        Raises:
            DatasetError: If a column does not exist.
        """
        for name in columns or ():
            self._check_column(name)
        chosen = None if columns is None else list(columns)
        return self._data.to_table(columns=chosen, filter=where).unify_dictionaries()

    def trials(self, *, where: pc.Expression | None = None) -> Iterator[Trial]:
        """Go through samples without holding all of them.

        Args:
            where: Condition on the rows.

        Yields:
            The samples in the order of `table`.
        """
        names = [name for name in self.columns if name in TRIAL_FIELDS or name.startswith(PREFIXES)]
        for batch in self._data.to_batches(columns=names, filter=where):
            yield from trials_of(batch)

    def best(self, column: str = "reward", *, largest: bool | None = None) -> Trial | None:
        """Return the best feasible sample.

        Args:
            column: The reward, or a metric as `metric.<name>` or by its name alone.
            largest: Whether the largest value is the best. Where left out it is for the reward,
                and not for metrics.

        Returns:
            The first of the best samples; None where no sample is feasible.

        Raises:
            DatasetError: If the column does not exist.
        """
        if column != "reward" and not column.startswith("metric."):
            column = f"metric.{column}"
        self._check_column(column)
        largest = column == "reward" if largest is None else largest
        feasible = (pc.field("status") == Status.OK.value) & pc.field(column).is_valid()
        found = self.table([column, "run_id", "index"], where=feasible)
        if not found.num_rows:
            return None
        values = found.column(column).to_numpy()
        row = found.slice(int(values.argmax() if largest else values.argmin()), 1).to_pylist()[0]
        this_row = (pc.field("run_id") == row["run_id"]) & (pc.field("index") == row["index"])
        return next(self.trials(where=this_row))

    def split(self, fractions: Sequence[float], *, seed: int) -> tuple[SampleDataset, ...]:
        """Divide the samples at random so that equal designs stay together.

        A design belongs to the same part whatever else is in the dataset, so that a model fitted on
        the first part of some runs has never seen a design of the second part of others.

        Args:
            fractions: Expected share of each part; they add up to 1.
            seed: Another seed gives another division.

        Returns:
            One dataset, held in memory, for each fraction.

        Raises:
            DatasetError: If the fractions are not positive or do not add up to 1.
        """
        edges = np.cumsum(fractions)
        if min(fractions, default=0.0) <= 0.0 or not abs(edges[-1] - 1.0) <= 1e-9:  # NaN too
            raise DatasetError(
                f"fractions must be positive and add up to 1, got {list(fractions)}. "
                "Try [0.8, 0.2]."
            )
        table = self.table()
        keys = table.column("key").combine_chunks().dictionary_encode()
        hashes = [
            int.from_bytes(hashlib.sha256(f"{seed}:{key}".encode()).digest()[:8]) / 2**64
            for key in keys.dictionary.to_pylist()
        ]
        part_of_key = np.minimum(np.searchsorted(edges, hashes, "right"), len(edges) - 1)
        part_of_row = part_of_key[keys.indices.to_numpy()]
        return tuple(
            SampleDataset._of_table(table.filter(pa.array(part_of_row == part)), self)
            for part in range(len(edges))
        )

    def to_csv(self, path: str | Path) -> None:
        """Write all columns to a CSV file; lists are written as JSON.

        Args:
            path: The file.

        Raises:
            OSError: If the file cannot be written.
        """
        schema = pa.schema(
            [
                field.with_type(pa.string())
                if pa.types.is_dictionary(field.type) or pa.types.is_list(field.type)
                else field
                for field in self.schema
            ]
        )
        with atomic_path(Path(path)) as temporary, pa_csv.CSVWriter(temporary, schema) as writer:
            for batch in self._data.to_batches():
                position = batch.schema.get_field_index("rewards")
                texts = pa.array([json.dumps(values) for values in batch["rewards"].to_pylist()])
                writer.write_batch(batch.set_column(position, "rewards", texts).cast(schema))

    def to_jsonl(self, path: str | Path) -> None:
        """Write a JSON object per line: the columns, with `design` and `metrics` as objects.

        Args:
            path: The file.

        Raises:
            OSError: If the file cannot be written.
        """
        constants = [name for name in self.columns if name not in TRIAL_FIELDS]
        constants = [name for name in constants if not name.startswith(PREFIXES)]
        with (
            atomic_path(Path(path)) as temporary,
            temporary.open("w", encoding="utf-8") as file,
        ):
            for batch in self._data.to_batches():
                about = batch.select(constants).to_pylist()
                for trial, constant in zip(trials_of(batch), about, strict=True):
                    row = {name: getattr(trial, name) for name in _JSON_FIELDS}
                    row["trial_seed"] = trial.seed
                    file.write(json.dumps({**row, **constant}, allow_nan=False) + "\n")

    def _check_column(self, name: str) -> None:
        if name not in self.columns:
            raise DatasetError(
                f"{self.path}: no column {name!r}.{did_you_mean(name, self.columns)}"
            )


def _logged_run(parts: Sequence[Part]) -> LoggedRun:
    """Describe a run by the footers of its parts."""
    first = parts[0]
    return LoggedRun(
        info=first.info,
        rows=sum(part.rows for part in parts),
        folder=first.path.parent,
        default=first.default,
        units={
            field.name.removeprefix("metric."): (field.metadata or {}).get(b"unit", b"").decode()
            for field in first.schema
            if field.name.startswith("metric.")
        },
    )


def _common_schema(parts: Iterable[Part]) -> pa.Schema:
    """Return the union of the columns: trials first, then designs, metrics and the run."""
    columns: dict[str, tuple[pa.Field[Any], Path]] = {}
    for part in parts:
        for field in part.schema:
            known, path = columns.setdefault(field.name, (field, part.path))
            if known.type.equals(field.type):
                continue
            if {known.type, field.type} == {pa.int64(), pa.float64()}:
                columns[field.name] = (known.with_type(pa.float64()), path)
                continue
            raise DatasetError(
                f"column {field.name!r} is {known.type} in {path} but {field.type} in {part.path}. "
                "Open the runs of one environment at a time."
            )
    order = {"design.": 1, "metric.": 2}
    constants = {entry.name for entry in fields(RunInfo)} | {"schema_version"}
    return pa.schema(
        sorted(
            (field for field, _ in columns.values()),
            key=lambda field: 3 if field.name in constants else order.get(field.name[:7], 0),
        )
    )
