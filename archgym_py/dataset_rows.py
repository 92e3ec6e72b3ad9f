"""The rows of a log, file by file and batch by batch, and the conditions that views put on them.

A view of a dataset is a list of conditions. A scan reads the files one after the other in batches
and applies the conditions to each, so that no more than some batches are in memory.
"""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import reduce
from operator import and_
from typing import Any, ClassVar, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pa_dataset
import pyarrow.fs as pa_fs

from archgym_py.config import canonical_json
from archgym_py.environment import problem_arguments
from archgym_py.errors import did_you_mean
from archgym_py.log import TRIAL_FIELDS, DatasetError, Part, RunInfo, reading
from archgym_py.simulator import SIMULATED

__all__ = [
    "CONSTANTS",
    "Condition",
    "DigestSet",
    "First",
    "RowCondition",
    "Share",
    "check_expression",
    "common_schema",
    "key_digests",
    "problem_of",
    "scan",
    "share_of_key",
]

CONSTANTS = tuple(entry.name for entry in fields(RunInfo))
"""The columns that are constant in a run."""

_BATCH = 65_536  # rows
_HIDDEN = "\0where"  # begins the names of computed columns; no column of a log begins so
_HEX_KEY = re.compile("[0-9a-f]{64}")

Mask: TypeAlias = Callable[[Part, pa.RecordBatch], npt.NDArray[np.bool_]]
"""Which rows of a batch a condition keeps."""


def problem_of(info: RunInfo) -> str:
    """Return what the metrics of a design depend on, as text that is equal for equal problems.

    Args:
        info: The run.

    Returns:
        The environment, those of its arguments that metrics depend on, and the version of the
        simulator. The sequential form of an environment poses the same problem; a proxy has its
        own version.

    Examples:
        >>> from archgym_py.log import RunInfo
        >>> blank = dict.fromkeys(CONSTANTS, "")
        >>> info = RunInfo(**{**blank, "env_id": "ArchGym/ToySequential-v0", "simulator_version":
        ...     "1", "env_kwargs": '{"objective":"minimize:cost_usd"}', "seed": 0})
        >>> problem_of(info)
        'ArchGym/Toy-v0 {} 1'
    """
    kwargs = problem_arguments(json.loads(info.env_kwargs or "{}"))
    env_id = info.env_id.replace("Sequential-v", "-v")
    return f"{env_id} {canonical_json(kwargs)} {info.simulator_version}"


class RowCondition(ABC):
    """A condition that takes more than an expression.

    Attributes:
        columns: The columns that it looks at.
    """

    columns: ClassVar[tuple[str, ...]]

    @abstractmethod
    def start(self) -> Mask:
        """Begin a scan.

        Returns:
            What judges the batches of the scan, each once and in their order.
        """


Condition: TypeAlias = pc.Expression | RowCondition
"""What a view asks of rows. An expression that is null is not satisfied."""


@dataclass(frozen=True)
class Share(RowCondition):
    """The design belongs to one share of a division at random.

    Attributes:
        edges: Where the shares end; the last one at 1.
        part: Number of the share.
        seed: Seed of the division.
    """

    edges: tuple[float, ...]
    part: int
    seed: int

    columns = ("key",)

    def start(self) -> Mask:
        """Begin a scan; see `RowCondition.start`."""

        def mask(_: Part, batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
            keys = batch.column("key").dictionary_encode()
            chosen = [
                share_of_key(key, self.edges, self.seed) == self.part
                for key in cast("list[str]", keys.dictionary.to_pylist())
            ]
            kept: npt.NDArray[np.bool_] = np.array(chosen, np.bool_)[keys.indices.to_numpy()]
            return kept

        return mask


@dataclass(frozen=True)
class First(RowCondition):
    """The row is the first one with its design on its problem."""

    columns = ("key",)

    def start(self) -> Mask:
        """Begin a scan; see `RowCondition.start`."""
        seen: dict[str, DigestSet] = {}

        def mask(part: Part, batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
            designs = seen.setdefault(problem_of(part.info), DigestSet())
            return designs.add(key_digests(batch.column("key")))

        return mask


def share_of_key(key: str, edges: Sequence[float], seed: int) -> int:
    """Return the share of a division to which a design belongs, whatever else there is.

    Args:
        key: The key of the design.
        edges: Where the shares end in [0, 1], increasing; the last one at 1.
        seed: Another seed gives another division.

    Returns:
        A number below that of the shares.
    """
    place = int.from_bytes(hashlib.sha256(f"{seed}:{key}".encode()).digest()[:8]) / 2**64
    return next((part for part, edge in enumerate(edges[:-1]) if place < edge), len(edges) - 1)


class DigestSet:
    """A set of 16-byte digests that takes 16 bytes for each.

    It is kept as sorted arrays of different lengths, each more than twice as long as the next, so
    that adding n digests one batch after the other takes O(n log n).

    Examples:
        >>> digests = DigestSet()
        >>> digests.add(key_digests(pa.array(["a", "b", "a"]))).tolist()
        [True, True, False]
        >>> digests.add(key_digests(pa.array(["c", "b"]))).tolist(), len(digests)
        ([True, False], 3)
    """

    def __init__(self) -> None:
        self._levels: list[npt.NDArray[np.bytes_]] = []

    def __len__(self) -> int:
        """Return the number of digests."""
        return sum(map(len, self._levels))

    def add(self, digests: npt.NDArray[np.bytes_]) -> npt.NDArray[np.bool_]:
        """Add digests.

        Args:
            digests: Shape (n,), type S16.

        Returns:
            Shape (n,): which of them are new; of equal ones the first.
        """
        values, first = np.unique(digests, return_index=True)
        new = np.ones(len(values), np.bool_)
        for level in self._levels:
            place = np.minimum(np.searchsorted(level, values), len(level) - 1)
            new &= level[place] != values
        fresh = np.zeros(len(digests), np.bool_)
        fresh[first[new]] = True
        if new.any():
            self._levels.append(values[new])
        while len(self._levels) > 1 and len(self._levels[-2]) <= 2 * len(self._levels[-1]):
            both = [self._levels.pop(), self._levels.pop()]
            self._levels.append(np.sort(np.concatenate(both)))
        return fresh


def key_digests(keys: pa.Array[Any]) -> npt.NDArray[np.bytes_]:
    """Return 16 bytes that stand for each key.

    Args:
        keys: Strings, none of them null; keys of designs are 64 hexadecimal digits.

    Returns:
        Shape (n,), type S16.
    """
    texts = cast("list[str]", keys.to_pylist())
    if all(map(_HEX_KEY.fullmatch, texts)):
        digests = np.frombuffer(bytes.fromhex("".join(texts)), "S16")[::2]
    else:
        digests = np.frombuffer(b"".join(map(_digest, texts)), "S16")
    return digests


def _digest(key: str) -> bytes:
    if _HEX_KEY.fullmatch(key):
        return bytes.fromhex(key[:32])
    return hashlib.blake2b(key.encode(), digest_size=16).digest()


def common_schema(parts: Iterable[Part]) -> pa.Schema:
    """Return the union of the columns: trials first, then designs, metrics and the run.

    Args:
        parts: Parts of any runs.

    Returns:
        The schema, with all columns of the present version. A parameter that is a whole number in
        one run and any number in another is a float.

    Raises:
        DatasetError: If a column has types that cannot be one.
    """
    designs: dict[str, tuple[pa.Field[Any], Part]] = {}
    metrics: dict[str, pa.Field[Any]] = {}
    first: Part | None = None
    for part in parts:
        first = first or part
        for field in part.schema:
            if field.name.startswith("metric."):
                metrics.setdefault(field.name, field)
            if not field.name.startswith("design."):
                continue
            known, other = designs.setdefault(field.name, (field, part))
            if known.type.equals(field.type):
                continue
            if {known.type, field.type} == {pa.int64(), pa.float64()}:
                designs[field.name] = (known.with_type(pa.float64()), other)
                continue
            raise DatasetError(
                f"column {field.name!r} is {known.type} in {other.path} but {field.type} in "
                f"{part.path}. Open the runs of one environment at a time."
            )
    word = TRIAL_FIELDS["status"]
    return pa.schema(
        [
            *(pa.field(name, kind) for name, kind in TRIAL_FIELDS.items()),
            *(field for field, _ in designs.values()),
            *metrics.values(),
            *(pa.field(name, pa.int64() if name == "seed" else word) for name in CONSTANTS),
            pa.field("schema_version", pa.int64()),
        ]
    )


def check_expression(expression: pc.Expression, schema: pa.Schema) -> None:
    """Refuse an expression that cannot be a condition on rows, before the first file is read.

    Args:
        expression: The expression.
        schema: The columns.

    Raises:
        DatasetError: If a column does not exist or the expression is not true or false.
    """
    try:
        pa_dataset.dataset(schema.empty_table()).to_table(filter=expression)
    except (pa.ArrowException, NotImplementedError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        wrong = re.match(r"No match for FieldRef\.Name\((.*?)\)", reason)
        if wrong is not None:
            reason = f"no column {wrong[1]!r}.{did_you_mean(wrong[1], schema.names)}"
        raise DatasetError(f"{expression} is no condition on the rows: {reason}") from None


def scan(
    parts: Iterable[Part],
    schema: pa.Schema,
    columns: Sequence[str],
    conditions: Sequence[Condition] = (),
) -> Iterator[tuple[Part, pa.RecordBatch]]:
    """Go through the rows of parts.

    Args:
        parts: The parts, in the order wanted.
        schema: What `common_schema` returns for them, or for more.
        columns: The columns wanted.
        conditions: What rows have to satisfy, one after the other: a row that fails one is unknown
            to the next.

    Yields:
        Rows with the part they are from, none of them without rows. A column that the part does
        not have is null.

    Raises:
        DatasetError: If a file cannot be read; the message names it.
    """
    # Expressions commute with each other and with what looks at one row at a time, so that the
    # files need not give out rows which they exclude. Only what remembers rows has to come between.
    remembers = next((i for i, c in enumerate(conditions) if isinstance(c, First)), len(conditions))
    early = [c for c in conditions[:remembers] if isinstance(c, pc.Expression)]
    projection = {name: pc.field(name) for name in columns}
    masks: list[Mask] = []
    for number, condition in enumerate(conditions):
        if not isinstance(condition, pc.Expression):
            projection |= {name: pc.field(name) for name in condition.columns}
            masks.append(condition.start())
        elif number > remembers:
            projection[f"{_HIDDEN}{number}"] = condition
            masks.append(_column_mask(f"{_HIDDEN}{number}"))
    filesystem, file_format = pa_fs.LocalFileSystem(), pa_dataset.ParquetFileFormat()
    options = pa_dataset.ParquetFragmentScanOptions(
        page_checksum_verification=True, pre_buffer=False
    )
    for part in parts:
        # What is constant in a part excludes it without a look into it, and need not be read.
        known = {**asdict(part.info), **({} if "fidelity" in part.schema.names else _VERSION_1)}
        fragment = file_format.make_fragment(
            str(part.path),
            filesystem,
            reduce(and_, [pc.field(name) == value for name, value in known.items()]),
        )
        with reading(part.path):
            scanner = fragment.scanner(
                schema=schema,
                columns=cast(Any, projection),  # which may be a dict, whatever the stubs say
                filter=reduce(and_, early) if early else None,
                batch_size=_BATCH,
                batch_readahead=1,
                fragment_readahead=1,
                fragment_scan_options=options,
                cache_metadata=False,
            )
            for batch in scanner.to_batches():
                for mask in masks:
                    if not batch.num_rows:
                        break
                    kept = mask(part, batch)
                    if not kept.all():
                        batch = batch.filter(pa.array(kept))
                if batch.num_rows:
                    yield part, batch.select(list(columns))


_VERSION_1 = {"fidelity": SIMULATED}


def _column_mask(name: str) -> Mask:
    def mask(_: Part, batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        kept: npt.NDArray[np.bool_] = (
            batch.column(name).fill_null(False).to_numpy(zero_copy_only=False)
        )
        return kept

    return mask
