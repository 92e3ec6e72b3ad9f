"""The recorder: writes the samples of a run to its log."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from archgym_py.errors import ConfigError
from archgym_py.evaluator import Trial
from archgym_py.files import TEMPORARY_SUFFIX, atomic_path
from archgym_py.log import (
    PART_PATTERN,
    SCHEMA_VERSION,
    DatasetError,
    DefaultResult,
    RunInfo,
    part_metadata,
    part_name,
    part_number,
    read_parts,
    read_rows,
    run_folder,
    schema_for,
    seal,
)
from archgym_py.simulator import Metric
from archgym_py.space import ParameterSpace

__all__ = ["ParquetRecorder"]

_ROW_GROUP = 65_536  # rows of a merged part that are held in memory at once


class ParquetRecorder:
    """Logs trials to the folder of a run, in parts that survive a kill.

    A recorder that is opened on the folder of an unfinished run continues behind its last row.

    Args:
        out_dir: Folder of any number of runs; created where it does not exist.
        info: The run.
        space: The space of the designs.
        metrics: The metrics of the simulator.
        default: The default design's result, to be kept with the log.
        flush_rows: Rows after which a part is written; at least 1.
        flush_s: Seconds after which the next row causes a part to be written, at the latest.

    Raises:
        ConfigError: If `flush_rows` or `flush_s` is out of range.
        DatasetError: If the folder holds a log that cannot be continued.
        OSError: If the folder cannot be written.
    """

    def __init__(
        self,
        out_dir: str | Path,
        info: RunInfo,
        space: ParameterSpace,
        metrics: Sequence[Metric],
        *,
        default: DefaultResult | None = None,
        flush_rows: int = 1000,
        flush_s: float = 5.0,
    ) -> None:
        if flush_rows < 1 or not flush_s >= 0.0:  # also refuses NaN
            raise ConfigError(
                f"flush_rows must be at least 1 and flush_s at least 0, got {flush_rows} and "
                f"{flush_s}."
            )
        self.run_dir = run_folder(out_dir, info)
        self._schema = schema_for(space, metrics)
        # Numbers seldom repeat enough for a dictionary to pay for the time that it takes.
        words = [field.name for field in self._schema if not pa.types.is_primitive(field.type)]
        words = [name for name in words if name not in ("key", "rewards")]
        self._options: dict[str, Any] = {
            "compression": "zstd",
            "use_dictionary": words,
            "write_page_checksum": True,
        }
        self._info = info
        self._default = default
        self._constants = [*asdict(info).values(), SCHEMA_VERSION]
        self._parameters = space.names
        self._metrics = tuple(metric.name for metric in metrics)
        self._no_metrics = (None,) * len(metrics)
        self._flush_rows = flush_rows
        self._flush_s = flush_s
        # Rows are kept as tuples, not as trials: a design is a dict that its owner may change.
        self._rows: list[tuple[Any, ...]] = []

        self.run_dir.mkdir(parents=True, exist_ok=True)
        for leftover in self.run_dir.glob(f"*{TEMPORARY_SUFFIX}"):
            leftover.unlink()
        parts = read_parts(self.run_dir)
        for path in self.run_dir.glob(PART_PATTERN):
            if path not in {part.path for part in parts}:
                path.unlink()  # rows that a merged part holds already
        for part in parts:
            if not part.schema.equals(self._schema):
                raise DatasetError(
                    f"{part.path}: has other columns than this run writes. Its environment has "
                    "changed since: choose another folder."
                )
        self._next_part = part_number(parts[-1].path) + 1 if parts else 0
        self._flushed = sum(part.rows for part in parts)
        self._last_flush = time.monotonic()

    def append(self, trial: Trial) -> None:
        """Take one trial; it is on disk after `flush_rows` rows or the next row past `flush_s`.

        Args:
            trial: The trial that follows the last one.

        Raises:
            DatasetError: If the trial is not the next one, or its parameters or metrics are not
                those of the log.
            OSError: If a part cannot be written.
        """
        expected = self._flushed + len(self._rows)
        if trial.index != expected:
            raise DatasetError(
                f"{self.run_dir}: expects trial {expected}, got trial {trial.index}. Append every "
                "trial of a run once and in order."
            )
        design, metrics = trial.design, trial.metrics
        if tuple(design) != self._parameters or (metrics and tuple(metrics) != self._metrics):
            raise DatasetError(
                f"trial {trial.index} has the parameters {list(design)} and the metrics "
                f"{list(metrics)}, but the columns are {list(self._parameters)} and "
                f"{list(self._metrics)}."
            )
        # One append, so that an interrupt leaves the row in or out as a whole.
        self._rows.append(
            (
                trial.index,
                trial.key,
                trial.status.value,
                trial.message,
                trial.reward,
                trial.rewards,
                trial.cached,
                trial.wall_s,
                trial.seed,
                trial.fidelity,
                *design.values(),
                *(metrics.values() or self._no_metrics),
            )
        )
        if (
            len(self._rows) >= self._flush_rows
            or time.monotonic() - self._last_flush >= self._flush_s
        ):
            self.flush()

    def flush(self) -> None:
        """Write the rows taken since the last flush as a part; does nothing where there are none.

        Raises:
            OSError: If the part cannot be written; the rows are kept for the next attempt.
        """
        rows = len(self._rows)
        if rows:
            columns = list(zip(*self._rows, strict=True))
            types = self._schema.types
            own, constant = types[: len(columns)], types[len(columns) :]
            arrays = [pa.array(column, kind) for column, kind in zip(columns, own, strict=True)]
            arrays += [
                _constant(value, kind, rows)
                for value, kind in zip(self._constants, constant, strict=True)
            ]
            schema = self._schema_from(self._flushed)
            table = pa.Table.from_arrays(arrays, schema=schema)
            with atomic_path(self.run_dir / part_name(self._next_part)) as temporary:
                pq.write_table(table, temporary, **self._options)
                seal(temporary)
            # One statement, so that an interrupt finds all three as they were or as they are.
            self._next_part, self._flushed, self._rows = (
                self._next_part + 1,
                self._flushed + rows,
                [],
            )
        self._last_flush = time.monotonic()

    def close(self) -> None:
        """Write what is left; calling it again does nothing.

        Raises:
            OSError: If the part cannot be written.
        """
        self.flush()

    def merge(self) -> None:
        """Close a finished run and put its parts into one file.

        A kill at any moment leaves all rows readable, each of them once.

        Raises:
            DatasetError: If a part cannot be read.
            OSError: If the file cannot be written.
        """
        self.flush()
        parts = read_parts(self.run_dir)
        if len(parts) < 2:
            return
        schema = self._schema_from(0)
        merged = self.run_dir / part_name(0)
        with atomic_path(merged) as temporary:
            with pq.ParquetWriter(temporary, schema, **self._options) as writer:
                pending: list[pa.Table] = []
                for part in parts:
                    pending.append(read_rows(part).cast(schema))
                    if sum(table.num_rows for table in pending) >= _ROW_GROUP:
                        writer.write_table(pa.concat_tables(pending).unify_dictionaries())
                        pending.clear()
                if pending:
                    writer.write_table(pa.concat_tables(pending).unify_dictionaries())
            seal(temporary)
        # The merged part counts from here on: readers skip parts whose rows it covers.
        for part in parts:
            if part.path != merged:
                part.path.unlink()
        self._next_part = 1

    def _schema_from(self, first_index: int) -> pa.Schema:
        """Return the schema of a part that begins with a sample."""
        return self._schema.with_metadata(part_metadata(self._info, self._default, first_index))


def _constant(value: str | int, kind: pa.DataType, rows: int) -> pa.Array[Any]:
    if isinstance(value, int):
        return pa.array(np.full(rows, value), kind)
    return pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), pa.array([value]))
