"""Compare the SoC simulators with recorded runs of the tools that they follow.

A file is JSON, which may be gzipped, of up to five lists:

* `ds3`, `ds3_small`: runs of DS3, see `replay_soc_ds3`;
* `ds3gym`: runs of DS3Gym, see `replay_soc_gym`;
* `farsi`: designs that FARSI evaluated, see `replay_farsi`;
* `static_dag`: graphs and their static schedules, see `replay_static`.

What comes of a list is the same for all of them, so that one table shows it:

    recorded = read(paths)
    comparison = replay(recorded)
    print(describe(comparison))
"""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from archgym_py.errors import ConfigError, did_you_mean
from tests.golden import replay_farsi, replay_static
from tests.golden.replay_soc_ds3 import TOLERANCES, Finding, Row, replay_ds3
from tests.golden.replay_soc_gym import replay_gym

__all__ = [
    "SAMPLE_RUNS",
    "SECTIONS",
    "TASK_COLUMNS",
    "Comparison",
    "Line",
    "choose_sample",
    "describe",
    "describe_groups",
    "describe_inexact",
    "describe_left_out",
    "describe_verdict",
    "read",
    "replay",
    "write_sample",
]

TASK_COLUMNS: Final = (
    *("task_id", "job_id", "base_id", "pe"),
    *("start", "finish", "decided_at", "comm_ready_at"),
)
"""Columns of recorded schedules, in the order that the comparison relies on."""

_SIMULATED: Final[Mapping[str, Callable[[str, Sequence[Row]], list[Finding]]]] = {
    "ds3": replay_ds3,
    "ds3_small": replay_ds3,
    "ds3gym": replay_gym,
}
SECTIONS: Final = (*_SIMULATED, "farsi", "static_dag")
"""Lists that a file may have."""

SAMPLE_RUNS: Final[Mapping[str, int]] = {"ds3": 60, "ds3_small": 40, "ds3gym": 12, "farsi": 60}
"""Runs of each list in a sample; of the static schedules it has all."""

_NOT_BINDING: Final = ", not binding"

Recorded = Mapping[str, Sequence[Row]]


@dataclass(frozen=True, slots=True)
class Line:
    """How one quantity compares over the runs of a list.

    Attributes:
        section: Name of the list, and "not binding" for what is shown only.
        quantity: What is compared.
        runs: Number of runs that record it.
        exact: Runs in which all of its numbers are equal but for rounding.
        worst: Largest relative error of a number, infinite where one side has more numbers.
        worst_run: The run that has it, "" if there is no error.
        limit: The error that is allowed.
        binding: Whether the limit has to be kept.
    """

    section: str
    quantity: str
    runs: int
    exact: int
    worst: float
    worst_run: str
    limit: float
    binding: bool = True

    @property
    def passed(self) -> bool:
        """Whether the limit is kept."""
        return self.worst <= self.limit


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of a replay.

    Attributes:
        lines: For each list and quantity how it compares.
        findings: Of the simulated runs, each quantity of each run.
    """

    lines: tuple[Line, ...]
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether all limits that bind are kept."""
        return all(line.passed or not line.binding for line in self.lines)


# --- Reading --------------------------------------------------------------------------------------


def read(paths: Sequence[Path]) -> dict[str, list[Any]]:
    """Read recorded runs.

    Args:
        paths: Files; lists of the same name are joined.

    Returns:
        The lists by their name, those that are not known as well.

    Raises:
        ConfigError: If a file cannot be read, or has no list that can be compared.
    """
    recorded: dict[str, list[Any]] = {}
    for path in paths:
        content = _read_json(path)
        columns = content.pop("task_columns", list(TASK_COLUMNS))
        if columns != list(TASK_COLUMNS):
            raise ConfigError(f"{path}: task_columns must be {list(TASK_COLUMNS)}, got {columns}.")
        if not content.keys() & set(SECTIONS):
            hints = "".join(did_you_mean(name, SECTIONS) for name in content)
            raise ConfigError(f"{path}: has none of the lists {', '.join(SECTIONS)}.{hints}")
        for name, rows in content.items():
            if name in SECTIONS and not (
                isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
            ):
                raise ConfigError(f"{path}: {name} must be a list of objects.")
            recorded.setdefault(name, []).extend(rows if name in SECTIONS else [])
    return recorded


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        found = json.loads(content)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ConfigError(f"{path}: cannot be read: {error}.") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: must be a JSON object of lists.")
    return found


# --- Comparing ------------------------------------------------------------------------------------


def replay(recorded: Recorded) -> Comparison:
    """Simulate recorded runs and compare.

    Args:
        recorded: What `read` returned.

    Raises:
        ConfigError: If a run lacks something, or names what does not exist.
    """
    lines, findings = [], []
    for section, rows in recorded.items():
        if section in _SIMULATED:
            found = _SIMULATED[section](section, rows)
            findings += found
            lines += _lines_of_runs(found)
        elif section == "farsi":
            lines += [
                Line(section, q.name, q.rows, q.exact, q.worst, q.worst_row, q.tolerance)
                for q in replay_farsi.replay(rows)
            ]
        elif section == "static_dag":
            lines += _lines_of_schedules(section, rows)
    return Comparison(tuple(lines), tuple(findings))


def _lines_of_runs(findings: Sequence[Finding]) -> list[Line]:
    grouped: dict[tuple[bool, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        grouped[not finding.binding, finding.quantity].append(finding)
    lines = []
    for (shown_only, quantity), found in sorted(grouped.items(), key=lambda item: item[0][0]):
        worst = max(found, key=lambda finding: finding.error)
        lines.append(
            Line(
                section=worst.section + _NOT_BINDING * shown_only,
                quantity=quantity,
                runs=len(found),
                exact=sum(finding.exact for finding in found),
                worst=worst.error,
                worst_run=worst.run if worst.error else "",
                limit=TOLERANCES[quantity],
                binding=not shown_only,
            )
        )
    return lines


def _lines_of_schedules(section: str, rows: Sequence[Row]) -> list[Line]:
    try:
        summaries = replay_static.summarise_static(replay_static.replay_static(rows))
    except KeyError as error:
        raise ConfigError(f"{section}: a graph lacks the key {error}.") from None
    return [
        Line(
            section=section,
            quantity=f"{summary.algorithm}, {summary.quantity}",
            runs=summary.total,
            exact=summary.exact,
            worst=summary.worst_error,
            worst_run=summary.worst_graph if summary.worst_error else "",
            limit=replay_static.EXACT,
        )
        for summary in summaries
    ]


# --- Describing -----------------------------------------------------------------------------------


def describe(comparison: Comparison) -> str:
    """Return a table for each list, with a line for each quantity."""
    lines: list[str] = []
    section = ""
    for line in comparison.lines:
        if line.section != section:
            section = line.section
            lines += [
                "",
                f"{section:<31} {'runs':>5} {'exact':>6} {'worst':>9} {'limit':>7}  worst run",
            ]
        mark = "" if line.passed else "  FAIL" if line.binding else "  differs"
        lines.append(
            f"  {line.quantity:<29} {line.runs:>5} {line.exact:>6} {line.worst:>9.2g} "
            f"{line.limit:>7.0g}  {line.worst_run or '-'}{mark}"
        )
    return "\n".join(lines[1:])


def describe_groups(comparison: Comparison) -> str:
    """Return a line for each group and scheduler of the simulated runs: what is exact in how many.

    Quantities that are exact in all runs of the group are not named.
    """
    grouped: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in comparison.findings:
        grouped[finding.section, finding.group].append(finding)
    lines = []
    for (section, group), found in grouped.items():
        by_quantity: dict[str, list[Finding]] = defaultdict(list)
        for finding in found:
            by_quantity[finding.quantity].append(finding)
        runs = len({finding.run for finding in found})
        inexact = ", ".join(
            f"{quantity} {sum(finding.exact for finding in of_it)} of {len(of_it)}"
            for quantity, of_it in by_quantity.items()
            if not all(finding.exact for finding in of_it)
        )
        worst = max(finding.error for finding in found)
        lines.append(
            f"  {section:<10} {group:<20} {runs:>4} runs, worst {worst:>8.2g}: "
            f"{f'exact are {inexact}' if inexact else f'all {len(by_quantity)} quantities exact'}"
        )
    return "\n".join(["by group and scheduler", *lines])


def describe_inexact(comparison: Comparison) -> str:
    """Return a line for each quantity of a simulated run that is not exact."""
    return "\n".join(
        f"{finding.run}  {finding.group}  {finding.quantity}  off by {finding.error:.3g}: "
        f"{finding.difference}"
        for finding in comparison.findings
        if not finding.exact
    )


def describe_verdict(comparison: Comparison) -> str:
    """Return for each list whether its limits are kept, and a line for each that is not."""
    lines = []
    for section in dict.fromkeys(line.section for line in comparison.lines):
        of_it = [line for line in comparison.lines if line.section == section]
        missed = [line for line in of_it if not line.passed]
        word = "pass" if not missed else "FAIL" if of_it[0].binding else "low "
        kept = len(of_it) - len(missed)
        lines.append(f"{word}  {section}: {kept} of {len(of_it)} limits are kept")
        lines += [
            f"      {line.quantity}: {line.worst:.3g} in {line.worst_run}, at most {line.limit:.0g}"
            for line in missed
        ]
    return "\n".join(lines)


def describe_left_out(recorded: Recorded) -> str:
    """Return a line for each list of the files that is not compared."""
    return "\n".join(
        f"{name}: not compared, no such list is known.{did_you_mean(name, SECTIONS)}"
        for name in recorded
        if name not in SECTIONS
    )


# --- Sampling -------------------------------------------------------------------------------------


def choose_sample(section: str, rows: Sequence[Row], seed: int) -> list[Row]:
    """Choose some simulated runs by chance, without a look at any result.

    One of each group and scheduler is drawn, then any until there are `SAMPLE_RUNS`.

    Args:
        section: Name of the list.
        rows: Its runs.
        seed: Seed of the choice.

    Returns:
        The runs in the order of `rows`, without the time that they took.
    """
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    first: dict[tuple[str, str], int] = {}
    for place in order:
        first.setdefault((rows[place]["group"], rows[place]["spec"]["scheduler"]), place)
    chosen = list(first.values())
    others = [place for place in order if place not in chosen]
    chosen += others[: max(SAMPLE_RUNS[section] - len(chosen), 0)]
    return [
        {key: value for key, value in rows[place].items() if key != "wall"}
        for place in sorted(chosen)
    ]


def write_sample(source: Path, target: Path, seed: int) -> int:
    """Write a small part of a file of recorded runs, as three files of the same form.

    Args:
        source: The file.
        target: Folder for `soc.json.gz` (simulated runs), `farsi.json.gz` and `static_dag.json.gz`.
        seed: Seed of the choice.

    Returns:
        Number of runs, designs and graphs.

    Raises:
        ConfigError: If the file cannot be read, or a run lacks its group or scheduler.
    """
    recorded = read([source])
    try:
        runs = {
            name: choose_sample(name, recorded[name], seed)
            for name in _SIMULATED
            if name in recorded
        }
        designs = recorded.get("farsi", [])
        if designs:
            designs = replay_farsi.choose_sample(designs, SAMPLE_RUNS["farsi"], seed)
    except KeyError as error:
        raise ConfigError(f"{source}: the key {error} is missing.") from None
    graphs = recorded.get("static_dag", [])
    target.mkdir(parents=True, exist_ok=True)
    written = 0
    for stem, lists in (
        ("soc", {"task_columns": TASK_COLUMNS, **runs} if runs else {}),
        ("farsi", {"farsi": designs} if designs else {}),
        ("static_dag", {"static_dag": graphs} if graphs else {}),
    ):
        if lists:
            text = json.dumps(lists, separators=(",", ":"))
            (target / f"{stem}.json.gz").write_bytes(gzip.compress(text.encode("utf-8"), mtime=0))
            written += sum(len(rows) for name, rows in lists.items() if name in SECTIONS)
    return written
