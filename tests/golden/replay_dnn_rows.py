"""Rows of recorded runs of tools for DNN accelerators, and numbers of ours beside theirs."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from archgym_py.errors import ConfigError, did_you_mean
from archgym_py.simulators.dnn.layers import Layer

COLUMNS = (
    *("case_id", "kind", "arch_json", "layer_json", "mapping_json", "valid", "cycles"),
    *("energy_pJ", "utilization_pct", "area_um2", "levels_json", "extra_json"),
)
"""Columns that a table must have; it may have others."""

CENT = 0.0050001
"""Half of the last digit of a number that was printed with two decimals, and a hair more."""

ALEXNET = "archgym_alexnet"
"""The network of the published runs."""

_MAX_FIELD = 2**24  # characters of a value; mappings are longer than csv's limit

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Finding:
    """A number of ours beside a tool's.

    Attributes:
        kind: Kind of the row.
        case: Name of the row, or of the group of rows that the number is about.
        quantity: What the number is.
        ours: Our number.
        theirs: The tool's.
        rule: What ours must be: equal to theirs, at most or at least it.
        rounding: How far the tool may have rounded; up to here numbers are equal.
        tolerance: Error that the rule allows, relative to theirs.
        where: Which of several such numbers of the row, empty if there is one.
        binding: Whether a broken rule counts; else it is only shown.
    """

    kind: str
    case: str
    quantity: str
    ours: float
    theirs: float
    rule: Literal["equal", "at most", "at least"] = "equal"
    rounding: float = 0.0
    tolerance: float = 0.0
    where: str = ""
    binding: bool = True

    @property
    def error(self) -> float:
        """How far ours breaks the rule, relative to theirs; 0 where it does not."""
        excess = self.ours - self.theirs
        if not math.isfinite(excess):
            return math.inf
        if self.rule == "at least":
            excess = -excess
        if self.rule == "equal":
            excess = abs(excess)
        return 0.0 if excess <= self.rounding else excess / (abs(self.theirs) or 1.0)

    @property
    def passed(self) -> bool:
        """Whether the rule is kept, with its tolerance."""
        return self.error <= self.tolerance


def read_rows(folder: Path) -> list[Row]:
    """Read the table of a folder.

    Args:
        folder: Folder with `golden.csv` or `golden.csv.gz`.

    Returns:
        The rows, as text by column.

    Raises:
        ConfigError: If there is no such file, or it lacks a column, a value or any row.
    """
    path = folder / "golden.csv"
    if not path.is_file():
        path = folder / "golden.csv.gz"
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        lines = content.decode("utf-8").splitlines()
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise ConfigError(f"{path}: cannot be read: {error}.") from None
    limit = csv.field_size_limit(_MAX_FIELD)
    try:
        reader = csv.DictReader(lines)
        rows: list[Row] = list(reader)
    except csv.Error as error:
        raise ConfigError(f"{path}: cannot be read: {error}.") from None
    finally:
        csv.field_size_limit(limit)
    present = reader.fieldnames or []
    for name in COLUMNS:
        if name not in present:
            raise ConfigError(f"{path}: column {name!r} is missing.{did_you_mean(name, present)}")
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise ConfigError(
                f"{path}, row {number}: has more or fewer values than there are columns."
            )
        if row["valid"] not in ("0", "1"):
            raise ConfigError(f"{path}, row {number}: valid must be 0 or 1, got {row['valid']!r}.")
    if not rows:
        raise ConfigError(f"{path}: has no row.")
    return rows


def write_rows(folder: Path, rows: Sequence[Row]) -> Path:
    """Write a table as `golden.csv.gz`; the same rows give the same file.

    Args:
        folder: Folder to write to; made if it does not exist.
        rows: The rows.

    Returns:
        The path of the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "golden.csv.gz"
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(gzip.compress(text.getvalue().encode("utf-8"), mtime=0))
    return path


def parsed(row: Row, column: str) -> Any:
    """Return what a column with JSON says.

    Args:
        row: The row.
        column: Name of the column.

    Raises:
        ConfigError: If it is not JSON.
    """
    try:
        return json.loads(row[column])
    except ValueError as error:
        raise ConfigError(f"{row['case_id']}: {column} is not JSON: {error}.") from None


def timeloop_layer(layer: Mapping[str, Any]) -> Layer:
    """Return a layer of Timeloop's problem shapes: a convolution, or a depthwise one."""
    depthwise = layer.get("op") == "depthwise"
    channels = {"G": layer["C"]} if depthwise else {"M": layer["M"], "C": layer["C"]}
    return Layer(
        name=layer["name"],
        op="depthwise" if depthwise else "conv",
        **{dim: layer[dim] for dim in "NPQRS"},
        **channels,
        stride_p=layer["Wstride"],
        stride_q=layer["Hstride"],
        dilation_r=layer["Wdilation"],
        dilation_s=layer["Hdilation"],
    )


def verdict(row: Row, *, ours: bool) -> Finding:
    """Compare whether a design or mapping is valid."""
    return Finding(row["kind"], row["case_id"], "valid", float(ours), float(row["valid"]))


def no_worse(
    row: Row, what: str, where: str, ours: tuple[float, float], theirs: tuple[Any, Any]
) -> list[Finding]:
    """Compare cycles, and energies in pJ if the cycles are equal; theirs may be text."""
    kind, case = row["kind"], row["case_id"]
    cycles, energy = (float(value) for value in theirs)
    findings = [Finding(kind, case, f"{what} cycles", ours[0], cycles, "at most", where=where)]
    if ours[0] == cycles:
        findings.append(
            Finding(
                *(kind, case, f"{what} energy", ours[1], energy, "at most"),
                rounding=1e6 * CENT,
                where=where,
            )
        )
    return findings
