"""The samples of one run or of many, read from their logs.

A `SampleDataset` keeps no rows. It is a list of files with conditions on their rows; `where`,
`unique`, the splits and so on return datasets with further conditions, and whatever goes through
rows reads the files batch by batch.
"""

from __future__ import annotations

import json
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import accumulate
from operator import and_
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from archgym_py.dataset_rows import (
    CONSTANTS,
    Condition,
    First,
    Share,
    check_expression,
    common_schema,
    problem_of,
    scan,
)
from archgym_py.errors import did_you_mean
from archgym_py.evaluator import Trial
from archgym_py.files import atomic_path
from archgym_py.log import (
    PREFIXES,
    TRIAL_FIELDS,
    DatasetError,
    DefaultResult,
    Part,
    RunInfo,
    part_number,
    parts_of,
    read_part,
    trials_of,
)
from archgym_py.simulator import Status
from archgym_py.space import Value

__all__ = ["LoggedRun", "SampleDataset", "problem_of"]

_JSON_FIELDS = (
    "index",
    "key",
    "status",
    "message",
    "reward",
    "rewards",
    "cached",
    "wall_s",
    "fidelity",
    "design",
    "metrics",
)

_TABLES = ("results.parquet",)
"""Parquet files that sweeps put beside their runs and that are no parts of logs."""

_CORNER_PARAMETERS = 3


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """A run as its log describes it.

    Attributes:
        info: Where the samples come from.
        rows: Number of samples in the dataset.
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
        *paths: Folders of runs, folders of a run, or single parts of one.
        skip_damaged: Whether to go on without files that cannot be read, with a warning for each.
            What a run logged after such a file is left out too, as it continues the file.

    Attributes:
        paths: The paths.
        problems: What was left out and why, a text for each file.

    Raises:
        DatasetError: If there is no log, or a file cannot be read or is no part of a log; the
            message names it.

    Examples:
        >>> import tempfile
        >>> from archgym_py.config import RunConfig
        >>> from archgym_py.runner import run
        >>> with tempfile.TemporaryDirectory() as out:
        ...     _ = run(RunConfig(env="ArchGym/Toy-v0", agent="genetic", budget=50, out=out))
        ...     samples = SampleDataset(out)
        ...     best = samples.best("delay_ns")
        ...     train, test = samples.unique().split([0.8, 0.2], seed=1)
        ...     rows = len(train) + len(test)
        >>> samples.units["metric.delay_ns"], best.status.value, len(best.design), rows <= 50
        ('ns', 'ok', 6, True)
    """

    def __init__(self, *paths: str | Path, skip_damaged: bool = False) -> None:
        if not paths:
            raise DatasetError("a dataset needs at least one folder of runs, or part of a log.")
        self.paths = tuple(map(Path, paths))
        problems: list[str] | None = [] if skip_damaged else None
        parts = [part for path in self.paths for part in _read(path, problems)]
        self._parts = tuple({part.path.resolve(): part for part in parts}.values())
        self.problems = tuple(problems or ())
        for problem in self.problems:
            warnings.warn(f"left out: {problem}", stacklevel=2)
        if not self._parts:
            raise DatasetError(
                f"{self.name}: holds no logged run{' that can be read' if problems else ''}. Name "
                "a folder that `archgym run --out` wrote."
            )
        self._schema = common_schema(self._parts)
        self._conditions: tuple[Condition, ...] = ()

    @property
    def path(self) -> Path:
        """The path, where there is only one.

        Raises:
            DatasetError: If there are several.
        """
        if len(self.paths) > 1:
            raise DatasetError(f"{self.name} are several folders. Name one of them.")
        return self.paths[0]

    @property
    def name(self) -> str:
        """The paths as text, for messages."""
        return ", ".join(map(str, self.paths))

    @property
    def schema(self) -> pa.Schema:
        """The columns with their types and units."""
        return self._schema

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self._schema.names)

    @property
    def units(self) -> dict[str, str]:
        """Unit of every parameter and metric that has one, by column."""
        metadata = {field.name: field.metadata or {} for field in self._schema}
        units = {name: entries.get(b"unit", b"").decode() for name, entries in metadata.items()}
        return {name: unit for name, unit in units.items() if unit}

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that a scan reads, in its order."""
        return tuple(part.path for part in self._parts)

    def check_column(self, name: str) -> None:
        """Refuse the name of a column that does not exist.

        Args:
            name: The name.

        Raises:
            DatasetError: If there is no such column; the message suggests the nearest.
        """
        if name not in self.columns:
            raise DatasetError(
                f"{self.name}: no column {name!r}.{did_you_mean(name, self.columns)}"
            )

    def __len__(self) -> int:
        """Return the number of samples."""
        return sum(self._rows.values())

    def runs(self) -> tuple[LoggedRun, ...]:
        """Return the runs that samples are of, in the order of their samples."""
        first: dict[Path, Part] = {}
        for part in self._parts:
            first.setdefault(part.path.parent, part)
        return tuple(
            _logged_run(part, rows)
            for folder, part in first.items()
            if (rows := self._rows[folder])
        )

    # ---- rows ----------------------------------------------------------------------------------

    def batches(
        self, columns: Sequence[str] | None = None, *, where: pc.Expression | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Go through samples in batches.

        Args:
            columns: The columns to read; all where left out.
            where: Condition on the rows.

        Yields:
            The rows of `table` in its order, at most 65,536 at a time and at least one.
            Dictionaries differ from batch to batch.

        Raises:
            DatasetError: If a column does not exist, `where` is no condition, or a file cannot be
                read.
        """
        view = self if where is None else self.where(where)
        for name in columns or ():
            self.check_column(name)
        for _, batch in view._scan(self.columns if columns is None else columns):
            yield batch

    def batches_of_runs(
        self, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[RunInfo, pa.RecordBatch]]:
        """Go through samples in batches, each with the run that it is of.

        Args:
            columns: The columns to read; all where left out.

        Yields:
            A run, and rows of it, in the order of `table`.

        Raises:
            DatasetError: As `batches`.
        """
        for name in columns or ():
            self.check_column(name)
        for part, batch in self._scan(self.columns if columns is None else columns):
            yield part.info, batch

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
            DatasetError: As `batches`.
        """
        batches = list(self.batches(columns, where=where))
        names = self.columns if columns is None else columns
        schema = pa.schema([self._schema.field(name) for name in names])
        return pa.Table.from_batches(batches, schema).unify_dictionaries()

    def trials(self, *, where: pc.Expression | None = None) -> Iterator[Trial]:
        """Go through samples without holding all of them.

        Args:
            where: Condition on the rows.

        Yields:
            The samples in the order of `table`.

        Raises:
            DatasetError: As `batches`.
        """
        for batch in self.batches(self._trial_columns, where=where):
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
            DatasetError: If the column does not exist, or a file cannot be read.
        """
        if column != "reward" and not column.startswith("metric."):
            column = f"metric.{column}"
        self.check_column(column)
        largest = column == "reward" if largest is None else largest
        sign = 1.0 if largest else -1.0
        feasible = (pc.field("status") == Status.OK.value) & pc.field(column).is_valid()
        found: tuple[Part, int] | None = None
        best = -math.inf
        for part, batch in self.where(feasible)._scan([column, "index"]):
            values = sign * batch.column(column).to_numpy()
            row = int(values.argmax())
            if values[row] > best or found is None:
                best, found = float(values[row]), (part, batch.column("index")[row].as_py())
        if found is None:
            return None
        this_part, index = found
        rows = scan([this_part], self._schema, self._trial_columns, [pc.field("index") == index])
        return next(trials_of(next(rows)[1]))

    # ---- views ---------------------------------------------------------------------------------

    def where(self, expression: pc.Expression) -> SampleDataset:
        """Return the samples that satisfy a condition.

        Args:
            expression: A condition on columns, such as `pyarrow.compute.field("agent") == "ppo"`.
                Where it is null it is not satisfied.

        Returns:
            A dataset that reads the same files.

        Raises:
            DatasetError: If a column does not exist or the expression is no condition.
        """
        check_expression(expression, self._schema)
        return self._view(expression)

    def unique(self) -> SampleDataset:
        """Return the first sample of every design on every problem.

        A problem is what `problem_of` tells apart, so that the samples that are left out are
        repetitions. A scan remembers 16 bytes for each design.

        Returns:
            A dataset that reads the same files.
        """
        return self._view(First())

    def split(self, fractions: Sequence[float], *, seed: int) -> tuple[SampleDataset, ...]:
        """Divide the samples at random so that equal designs stay together.

        A design belongs to the same part whatever else is in the dataset, so that a model fitted on
        the first part of some runs has never seen a design of the second part of others.

        Args:
            fractions: Expected share of each part; they add up to 1.
            seed: Another seed gives another division.

        Returns:
            One dataset for each fraction.

        Raises:
            DatasetError: If the fractions are not positive or do not add up to 1.
        """
        edges = tuple(accumulate(fractions))
        if min(fractions, default=0.0) <= 0.0 or not abs(edges[-1] - 1.0) <= 1e-9:  # NaN too
            raise DatasetError(
                f"fractions must be positive and add up to 1, got {list(fractions)}. "
                "Try [0.8, 0.2]."
            )
        return tuple(self._view(Share(edges, part, seed)) for part in range(len(edges)))

    def split_by(
        self, column: str, held_out: Sequence[str | int]
    ) -> tuple[SampleDataset, SampleDataset]:
        """Divide the runs by what is constant in them: workload, agent, quality, seed and so on.

        Args:
            column: A column that is constant in a run.
            held_out: Values of the column.

        Returns:
            The rest, and the runs that have one of the values.

        Raises:
            DatasetError: If the column is not constant in a run, or no run has one of the values.
        """
        if column not in CONSTANTS:
            raise DatasetError(
                f"column {column!r} is not constant in a run.{did_you_mean(column, CONSTANTS)}"
            )
        if isinstance(held_out, str) or not held_out:
            raise DatasetError(f"held_out must be a list of values of {column}, got {held_out!r}.")
        logged = list(dict.fromkeys(getattr(part.info, column) for part in self._parts))
        for value in held_out:
            if value not in logged:
                raise DatasetError(
                    f"no run has {column} {value!r}.{did_you_mean(str(value), map(str, logged))}"
                )
        inside = [getattr(part.info, column) in held_out for part in self._parts]
        return (
            self._of([part for part, held in zip(self._parts, inside, strict=True) if not held]),
            self._of([part for part, held in zip(self._parts, inside, strict=True) if held]),
        )

    def split_region(
        self, region: Mapping[str, Sequence[Value]]
    ) -> tuple[SampleDataset, SampleDataset]:
        """Divide the samples by where their design lies.

        Args:
            region: Some values of some parameters.

        Returns:
            The samples outside, and those inside, whose design has one of the values for each of
            the parameters.

        Raises:
            DatasetError: If there is no such parameter, or a value is not of its type.
        """
        if not region:
            raise DatasetError("a region needs at least one parameter with some of its values.")
        conditions = []
        for name, values in region.items():
            column = self._design_column(name)
            if isinstance(values, str) or not values:
                raise DatasetError(
                    f"a region needs a list of values of parameter {name!r}, got {values!r}."
                )
            kind = self._schema.field(column).type
            try:
                among = pa.array(list(values), kind)
            except (pa.ArrowException, TypeError, ValueError):
                among = pa.nulls(1, kind)
            if among.null_count or among.to_pylist() != list(values):  # 1.5 is cut to 1
                raise DatasetError(f"parameter {name!r} has values of type {kind}, got {values!r}.")
            conditions.append(pc.field(column).isin(among))
        inside = reduce(and_, conditions)
        return self._view(~inside), self._view(inside)

    def corner(
        self, parameters: Sequence[str] | None = None, *, share: float = 0.5
    ) -> dict[str, list[Value]]:
        """Return a corner of the space, to hold out by `split_region`.

        Args:
            parameters: Parameters with numbers for values; by default the three of which the
                samples have the most different values.
            share: The part of the different values of each parameter that the corner has.

        Returns:
            For each parameter the largest of its values in the samples, increasing.

        Raises:
            DatasetError: If a parameter does not exist, is no number or has one value only, or if
                the share is not between 0 and 1.

        Examples:
            >>> import tempfile
            >>> from archgym_py.config import RunConfig
            >>> from archgym_py.runner import run
            >>> with tempfile.TemporaryDirectory() as out:
            ...     config = dict(env="ArchGym/Toy-v0", agent="random_search", budget=50)
            ...     _ = run(RunConfig(**config, out=out))
            ...     SampleDataset(out).corner(["lanes"])
            {'lanes': [8, 16, 32]}
        """
        if not 0.0 < share < 1.0:
            raise DatasetError(f"share must lie between 0 and 1, got {share}. Try 0.5.")
        numeric = [
            field.name.removeprefix("design.")
            for field in self._schema
            if field.name.startswith("design.") and _is_number(field.type)
        ]
        for name in parameters or ():
            if self._design_column(name) and name not in numeric:
                raise DatasetError(
                    f"the values of parameter {name!r} have no order. Name some of "
                    f"{', '.join(numeric)}."
                )
        values = self.values(numeric if parameters is None else parameters)
        usable = {name: found for name, found in values.items() if len(found) > 1}
        chosen = parameters
        if chosen is None:
            chosen = sorted(usable, key=lambda name: -len(usable[name]))[:_CORNER_PARAMETERS]
            chosen = [name for name in values if name in chosen]
        if not chosen or any(name not in usable for name in chosen):
            raise DatasetError(
                f"a corner needs parameters with two values or more in the samples; these are "
                f"{', '.join(usable) or 'none'}."
            )
        return {
            name: usable[name][-max(1, math.floor(share * len(usable[name]))) :] for name in chosen
        }

    def values(self, parameters: Sequence[str] | None = None) -> dict[str, list[Value]]:
        """Return the different values that parameters have in the samples.

        Args:
            parameters: The parameters; all where left out.

        Returns:
            For each parameter its values, increasing.

        Raises:
            DatasetError: If a parameter does not exist, or a file cannot be read.
        """
        if parameters is None:
            parameters = [
                name.removeprefix("design.") for name in self.columns if name.startswith("design.")
            ]
        columns = {name: self._design_column(name) for name in parameters}
        found = {
            name: pa.array([], self._schema.field(column).type) for name, column in columns.items()
        }
        for batch in self.batches(list(columns.values())) if columns else ():
            for name, column in columns.items():
                both = [found[name], pc.unique(batch.column(column).drop_null())]
                found[name] = pa.chunked_array(both).unique()
        return {
            name: sorted(cast("list[Value]", known.to_pylist())) for name, known in found.items()
        }

    # ---- exports -------------------------------------------------------------------------------

    def to_csv(self, path: str | Path, *, progress: Callable[[int], object] | None = None) -> None:
        """Write all columns to a CSV file; lists are written as JSON.

        Args:
            path: The file.
            progress: Called with the number of samples of each batch that was written.

        Raises:
            DatasetError: If a log cannot be read.
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
            for batch in self.batches():
                position = batch.schema.get_field_index("rewards")
                texts = pa.array([json.dumps(values) for values in batch["rewards"].to_pylist()])
                writer.write_batch(batch.set_column(position, "rewards", texts).cast(schema))
                if progress is not None:
                    progress(batch.num_rows)

    def to_jsonl(
        self, path: str | Path, *, progress: Callable[[int], object] | None = None
    ) -> None:
        """Write a JSON object per line: the columns, with `design` and `metrics` as objects.

        Args:
            path: The file.
            progress: Called with the number of samples of each batch that was written.

        Raises:
            DatasetError: If a log cannot be read.
            OSError: If the file cannot be written.
        """
        constants = [name for name in self.columns if name not in TRIAL_FIELDS]
        constants = [name for name in constants if not name.startswith(PREFIXES)]
        with (
            atomic_path(Path(path)) as temporary,
            temporary.open("w", encoding="utf-8") as file,
        ):
            for batch in self.batches():
                about = batch.select(constants).to_pylist()
                for trial, constant in zip(trials_of(batch), about, strict=True):
                    row = {name: getattr(trial, name) for name in _JSON_FIELDS}
                    row["trial_seed"] = trial.seed
                    file.write(json.dumps({**row, **constant}, allow_nan=False) + "\n")
                if progress is not None:
                    progress(batch.num_rows)

    # ---- parts of the above --------------------------------------------------------------------

    def _scan(self, columns: Sequence[str]) -> Iterator[tuple[Part, pa.RecordBatch]]:
        return scan(self._parts, self._schema, columns, self._conditions)

    def _view(self, condition: Condition) -> SampleDataset:
        """Return a dataset with one more condition."""
        view = self._of(self._parts)
        view._conditions = (*self._conditions, condition)
        return view

    def _of(self, parts: Sequence[Part]) -> SampleDataset:
        """Return a dataset of some of the files."""
        view = SampleDataset.__new__(SampleDataset)
        view.paths, view.problems = self.paths, self.problems
        view._parts, view._schema, view._conditions = tuple(parts), self._schema, self._conditions
        return view

    @cached_property
    def _rows(self) -> Counter[Path]:
        """The number of samples by folder of a run."""
        rows: Counter[Path] = Counter()
        if self._conditions:
            for part, batch in self._scan(["index"]):
                rows[part.path.parent] += batch.num_rows
        else:
            for part in self._parts:
                rows[part.path.parent] += part.rows
        return rows

    @property
    def _trial_columns(self) -> list[str]:
        return [name for name in self.columns if name in TRIAL_FIELDS or name.startswith(PREFIXES)]

    def _design_column(self, name: str) -> str:
        """Return the column of a parameter."""
        if f"design.{name}" not in self.columns:
            known = [
                column.removeprefix("design.")
                for column in self.columns
                if column.startswith("design.")
            ]
            raise DatasetError(f"{self.name}: no parameter {name!r}.{did_you_mean(name, known)}")
        return f"design.{name}"


def _read(path: Path, problems: list[str] | None) -> Iterator[Part]:
    """Read the footers of logs; tell `problems` what is wrong with one, or raise it."""
    if path.is_file():
        yield from _tell(problems, path)
        return
    folders: dict[Path, list[Path]] = {}
    for file in sorted(path.rglob("*.parquet")):
        hidden = any(name.startswith((".", "_")) for name in file.relative_to(path).parts)
        if hidden or file.name in _TABLES:
            continue  # as other readers of Parquet do
        try:
            part_number(file)
        except DatasetError as error:
            if problems is None:
                raise
            problems.append(str(error))
            continue
        folders.setdefault(file.parent, []).append(file)
    for files in folders.values():
        yield from parts_of(files, problems=problems)


def _tell(problems: list[str] | None, path: Path) -> Iterator[Part]:
    """Read the footer of one file, which may be any part of a run."""
    try:
        yield read_part(path)
    except DatasetError as error:
        if problems is None:
            raise
        problems.append(str(error))


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _logged_run(first: Part, rows: int) -> LoggedRun:
    """Describe a run by the footer of its first part."""
    return LoggedRun(
        info=first.info,
        rows=rows,
        folder=first.path.parent,
        default=first.default,
        units={
            field.name.removeprefix("metric."): (field.metadata or {}).get(b"unit", b"").decode()
            for field in first.schema
            if field.name.startswith("metric.")
        },
    )
