"""Compare the library with recorded runs of the simulators that it models.

    python tests/golden/replay.py dram DIR [--verbose]
    python tests/golden/replay.py dnn DIR... [--verbose]
    python tests/golden/replay.py soc FILE... [--verbose]
    python tests/golden/replay.py sample SRC DST [--kind dram] [--seed 0]

`dram` replays a folder of DRAMSys runs: `golden.csv` with a row for each run, `traces/` and
`address_maps/` that the rows name, and optionally `command_traces/`; the table, traces and command
traces may be gzipped. It prints, for each technology and metric, how far the library is from the
reference, then whether that is within the tolerances. The exit code is 0 if it is, 1 if it is not,
2 if the folder cannot be read.

`dnn` does the same with folders of runs of the tools for DNN accelerators, in one table
`golden.csv` each, which may be gzipped; see `replay_dnn`.

`soc` does the same with files of runs of the SoC simulators, JSON that may be gzipped; see
`replay_soc`.

`sample` copies a small part of such a folder or file, chosen by a rule and a seed; see
`choose_sample` here, in `replay_dnn` and in `replay_soc`.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import importlib
import json
import math
import random
import re
import shutil
import sys
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from archgym_py.design import Design
from archgym_py.errors import ArchGymError, ConfigError, did_you_mean
from archgym_py.simulator import Status
from archgym_py.simulators.dram.address import AddressMap, load_address_map
from archgym_py.simulators.dram.layout import VALUES
from archgym_py.simulators.dram.model import DRAMSimulator
from archgym_py.simulators.dram.technology import load_technology
from archgym_py.simulators.dram.trace import Trace, read_stl

# --- Names of the reference and of the library ---------------------------------------------------

KNOBS = {
    "PagePolicy": "page_policy",
    "Scheduler": "scheduler",
    "SchedulerBuffer": "scheduler_buffer",
    "RequestBufferSize": "request_buffer_size",
    "CmdMux": "cmd_mux",
    "RespQueue": "resp_queue",
    "RefreshPolicy": "refresh_policy",
    "RefreshMaxPostponed": "refresh_max_postponed",
    "RefreshMaxPulledin": "refresh_max_pulledin",
    "PowerDownPolicy": "power_down_policy",
    "Arbiter": "arbiter",
    "MaxActiveTransactions": "max_active_transactions",
}
"""Columns that make the design. Their values are spelled as in the library."""

ARGUMENTS = {
    "player_clk_MHz": "player_clock_mhz",
    "ArbitrationDelayFw_ns": "arbitration_delay_fw_ns",
    "ArbitrationDelayBw_ns": "arbitration_delay_bw_ns",
    "ThinkDelayFw_ns": "think_delay_fw_ns",
    "ThinkDelayBw_ns": "think_delay_bw_ns",
    "PhyDelayFw_ns": "phy_delay_fw_ns",
    "PhyDelayBw_ns": "phy_delay_bw_ns",
}
"""Columns that are arguments of the simulator."""


@dataclass(frozen=True, slots=True)
class Column:
    """A result in the reference.

    Attributes:
        name: Name of the column.
        metric: Name of the library's metric.
        scale: What the metric is multiplied by to get the column's unit.
        decimals: How many decimals the reference printed: values are equal if these are.
    """

    name: str
    metric: str
    scale: float = 1.0
    decimals: int = 0


_COUNTS = ("ACT", "PRE", "PREA", "RD", "RDA", "WR", "WRA", "REFA", "REFB", "PDEA", "PDEP", "SREFEN")
_COLUMN_COMMANDS = ("RD", "RDA", "WR", "WRA")
_OF_A_ROW = ("ACT", *_COLUMN_COMMANDS)  # a precharge names another row in the reference
_OF_A_BANK = (*_OF_A_ROW, "PRE", "REFB")
_BANDWIDTHS = ("avg_bw_Gbps", "bw_noidle_Gbps")

RESULTS = (
    Column("total_time_ps", "total_time_ns", 1000.0),
    Column("energy_pJ", "energy_pj", decimals=2),
    Column("avg_power_mW", "average_power_mw", decimals=2),
    Column("lat_mean_ps", "latency_mean_ns", 1000.0, decimals=1),
    Column("lat_p50_ps", "latency_p50_ns", 1000.0, decimals=1),
    Column("lat_p99_ps", "latency_p99_ns", 1000.0, decimals=1),
    Column("lat_max_ps", "latency_max_ns", 1000.0, decimals=1),
    Column("avg_bw_Gbps", "bandwidth_gbit_s", decimals=2),
    Column("bw_noidle_Gbps", "bandwidth_busy_gbit_s", decimals=2),
    *(Column(name, f"n_{name.lower()}") for name in _COUNTS),
)

_CLOCKS = ("player_clk_MHz",)
_PLACE = ("cfg", "mem", "address_map", "trace", "n_requests")
COLUMNS = (*_PLACE, *KNOBS, *ARGUMENTS, *(column.name for column in RESULTS))
"""Columns that a table must have; it may have others."""

PLAIN = ("DDR3-1600", "DDR4-2400", "LPDDR4-3200")
"""Groups of rows that the reference model was best understood for; the others have wider limits."""

SAMPLE_ROWS = 100
"""Rows that a sample has of each group, if the reference has them."""

Row = Mapping[str, str]

# --- Reading -------------------------------------------------------------------------------------


def read_rows(folder: Path) -> list[Row]:
    """Read the table of a folder.

    Args:
        folder: Folder with `golden.csv` or `golden.csv.gz`.

    Returns:
        The rows, as text by column.

    Raises:
        ConfigError: If there is no such file, or a column or value is missing or wrong.
    """
    path = _find(folder, "golden.csv", "golden.csv.gz")
    reader = csv.DictReader(_read_text(path).splitlines())
    present = reader.fieldnames or []
    for name in COLUMNS:
        if name not in present:
            raise ConfigError(f"{path}: column {name!r} is missing.{did_you_mean(name, present)}")
    rows: list[Row] = []
    for number, row in enumerate(reader, start=2):
        try:
            _check_row(row)
        except ArchGymError as error:
            raise ConfigError(f"{path}, line {number}: {error}") from None
        rows.append(row)
    if not rows:
        raise ConfigError(f"{path}: has no row.")
    return rows


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise ConfigError(f"{path}: cannot be read: {error}.") from None


def _find(folder: Path, *names: str) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise ConfigError(f"{folder}: has no {' and no '.join(names)}.")


def _check_row(row: Row) -> None:
    if None in row or None in row.values():
        raise ConfigError("the line has more or fewer values than there are columns.")
    policies = load_technology(row["mem"]).refresh_policies
    for column, name in KNOBS.items():
        if name in VALUES:
            known = policies if name == "refresh_policy" else VALUES[name]
            if row[column] not in known:
                hint = did_you_mean(row[column], known)
                raise ConfigError(f"{row['mem']}: {column} has no value {row[column]!r}.{hint}")
    for column in ("n_requests", *(column for column, name in KNOBS.items() if name not in VALUES)):
        if not re.fullmatch("[0-9]{1,9}", row[column]):
            raise ConfigError(f"{column} must be a whole number below 1e9, got {row[column]!r}.")
    for column in ARGUMENTS:
        low = 1 if column in _CLOCKS else 0
        if not low <= _number(row, column) <= 1e5:
            raise ConfigError(f"{column} must be from {low} to 1e5, got {row[column]!r}.")
    for result in RESULTS:
        if row[result.name] and not math.isfinite(_number(row, result.name)):
            raise ConfigError(f"{result.name} must be finite, got {row[result.name]!r}.")


def _number(row: Row, column: str) -> float:
    try:
        return float(row[column])
    except ValueError:
        raise ConfigError(f"{column} must be a number, got {row[column]!r}.") from None


def name_of(row: Row) -> str:
    """Return what a row of a technology is called: its configuration and trace."""
    return f"{row['cfg']}/{row['trace']}"


def group_of(row: Mapping[str, Any]) -> str:
    """Return the group of a row: its technology, and what of it is judged apart."""
    group = str(row["mem"])
    if row["PowerDownPolicy"] == "Staggered":
        group += " power-down"
    if row["RefreshPolicy"] == "PerBank":
        group += " per-bank"
    return group


class _Inputs:
    """Traces and address maps of a folder, each read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._traces: dict[str, Trace] = {}
        self._maps: dict[str, AddressMap] = {}

    def trace(self, name: str) -> Trace:
        if name not in self._traces:
            path = _find(
                self._folder / "traces",
                *(name + ending for ending in (".stl", ".stl.gz", ".rstl", ".rstl.gz")),
            )
            self._traces[name] = read_stl(path)
        return self._traces[name]

    def address_map(self, name: str) -> AddressMap:
        if name not in self._maps:
            self._maps[name] = load_address_map(_find(self._folder / "address_maps", name))
        return self._maps[name]


def _simulator(row: Row, inputs: _Inputs, threads: int | None) -> DRAMSimulator:
    technology = load_technology(row["mem"])
    address_map = inputs.address_map(row["address_map"])
    address_map.check(technology)
    trace = inputs.trace(row["trace"])
    if len(trace) != int(row["n_requests"]):
        raise ConfigError(
            f"{name_of(row)}: n_requests is {row['n_requests']}, but trace {trace.name} has "
            f"{len(trace)} requests."
        )
    return DRAMSimulator(
        trace=trace,
        technology=technology,
        address_map=address_map,
        fixed={},
        reference_energy=technology.ranks > 1,
        threads=threads,
        **{argument: float(row[column]) for column, argument in ARGUMENTS.items()},
    )


def _design(row: Row) -> Design:
    return {
        name: row[column] if name in VALUES else int(row[column]) for column, name in KNOBS.items()
    }


# --- Comparing -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Comparison:
    """A metric of the library beside the reference's, over a group of rows.

    Attributes:
        group: Group of the rows, see `group_of`.
        metric: Name of the library's metric.
        rows: Name of each row.
        ours: float64[rows]; the library's values in the reference's unit, NaN where the simulator
            gave none.
        theirs: float64[rows]; the reference's values.
        rounding: How far the reference may have rounded them.
    """

    group: str
    metric: str
    rows: tuple[str, ...]
    ours: npt.NDArray[np.float64]
    theirs: npt.NDArray[np.float64]
    rounding: float

    @property
    def exact(self) -> npt.NDArray[np.bool_]:
        """Where the values agree to the last decimal that the reference printed."""
        return np.abs(self.ours - self.theirs) <= self.rounding

    @property
    def errors(self) -> npt.NDArray[np.float64]:
        """Errors relative to the reference's value; 0 where exact, 1 where we have no value."""
        relative = np.abs(self.ours - self.theirs) / np.where(self.theirs, np.abs(self.theirs), 1.0)
        return np.where(self.exact, 0.0, np.nan_to_num(relative, nan=1.0))

    @property
    def p99(self) -> float:
        """99th percentile of the errors."""
        return float(np.quantile(self.errors, 0.99))

    @property
    def worst(self) -> float:
        """Largest error."""
        return float(self.errors.max())

    @property
    def worst_row(self) -> str:
        """Name of the row with the largest error."""
        return self.rows[int(np.argmax(self.errors))]

    def share_within(self, error: float) -> float:
        """Share of the rows whose error is at most `error`."""
        return float(np.mean(self.errors <= error))


def replay(
    folder: Path, rows: Sequence[Row] | None = None, *, threads: int | None = None
) -> list[Comparison]:
    """Simulate the rows of a folder.

    Args:
        folder: Folder with the schema of the reference.
        rows: Rows to simulate; all of the folder's table if None.
        threads: Threads for a batch; as many as there are cores if None.

    Returns:
        A comparison for each group and metric that the reference gives.

    Raises:
        ArchGymError: If a file is missing or not valid.
    """
    rows = read_rows(folder) if rows is None else rows
    inputs = _Inputs(folder)
    batches: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        key = [row[column] for column in ("mem", "address_map", "trace", "n_requests", *ARGUMENTS)]
        batches[tuple(key)].append(number)
    metrics: list[Mapping[str, float]] = [{}] * len(rows)
    with tqdm(total=len(rows), unit="row", file=sys.stderr, disable=None) as progress:
        for members in batches.values():
            simulator = _simulator(rows[members[0]], inputs, threads)
            for start in range(0, len(members), 100):
                part = members[start : start + 100]
                evaluations = simulator.evaluate_batch(
                    [_design(rows[i]) for i in part], seeds=[0] * len(part)
                )
                for i, evaluation in zip(part, evaluations, strict=True):
                    if evaluation.status == Status.OK:
                        metrics[i] = evaluation.metrics
                progress.update(len(part))
            simulator.close()
    return _compare(rows, metrics)


def _compare(rows: Sequence[Row], metrics: Sequence[Mapping[str, float]]) -> list[Comparison]:
    groups: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        groups[group_of(row)].append(number)
    comparisons = []
    for group, members in sorted(groups.items(), key=lambda item: _order(item[0])):
        for column in RESULTS:
            given = [i for i in members if rows[i][column.name]]
            theirs = np.array([_theirs(rows[i], column) for i in given])
            ours = np.array([_ours(rows[i], metrics[i], column) for i in given])
            if not given or not (theirs.any() or ours.any()):
                continue  # not given, or a command that never occurs
            names = tuple(name_of(rows[i]) for i in given)
            # The reference rounds what it prints of each channel; a hair more for binary fractions.
            channels = load_technology(rows[members[0]]["mem"]).channels
            rounding = 0.5000001 * 10.0**-column.decimals * channels
            comparisons.append(Comparison(group, column.metric, names, ours, theirs, rounding))
    return comparisons


def _order(group: str) -> tuple[bool, str]:
    return group not in PLAIN, group


def _theirs(row: Row, column: Column) -> float:
    value = float(row[column.name])
    if column.name in _COUNTS:
        # Of several channels the reference adds up the counts, each of which is that of all
        # channels. There is one column command for a request.
        columns = sum(int(row[name] or 0) for name in _COLUMN_COMMANDS)
        value /= max(1, round(columns / int(row["n_requests"])))
    return value


def _ours(row: Row, metrics: Mapping[str, float], column: Column) -> float:
    value = metrics.get(column.metric, math.nan) * column.scale
    if column.name in _BANDWIDTHS and row["Arbiter"] == "Simple":
        # The reference stops before it counts the last request.
        value *= 1 - 1 / int(row["n_requests"])
    return value


# --- Judging -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a group keeps a tolerance.

    Attributes:
        passed: Whether it does.
        text: The tolerance and the value that was found.
    """

    passed: bool
    text: str


def judge(comparisons: Sequence[Comparison]) -> list[Verdict]:
    """Hold comparisons against the tolerances.

    * Total time, by group: exact on 99 % of the rows of DDR3 and 98 % of DDR4 and of LPDDR4 with
      all-bank refresh, and nowhere off by more than 0.5 %; with HBM2, per-bank refresh, power-down,
      several ranks or several channels nowhere off by more than 1 %.
    * Energy, by technology and wherever the reference gives it: within 1e-5 on 90 % of the rows,
      within 0.3 % on 99 %, within 0.5 % on all.
    * Mean latency, by technology: within 0.5 % on 99 % of the rows.

    Args:
        comparisons: What `replay` returned.

    Returns:
        A verdict for each tolerance and group.
    """
    verdicts = []

    def check(
        comparison: Comparison, what: str, value: float, limit: float, *, least: bool
    ) -> None:
        passed = value >= limit if least else value <= limit
        verdicts.append(
            Verdict(
                passed,
                f"{comparison.group:<22} {comparison.metric:<16} {what:<12} "
                f"{100 * value:9.4f} %, {'at least' if least else 'at most'} {100 * limit:g} %",
            )
        )

    for c in comparisons:
        if c.metric == "total_time_ns":
            if c.group in PLAIN:
                share = 0.99 if c.group == "DDR3-1600" else 0.98
                check(c, "exact", float(np.mean(c.exact)), share, least=True)
            check(c, "worst", c.worst, 0.005 if c.group in PLAIN else 0.01, least=False)
    for c in _by_technology(comparisons, "energy_pj"):
        check(c, "within 1e-5", c.share_within(1e-5), 0.9, least=True)
        check(c, "p99", c.p99, 0.003, least=False)
        check(c, "worst", c.worst, 0.005, least=False)
    for c in _by_technology(comparisons, "latency_mean_ns"):
        check(c, "p99", c.p99, 0.005, least=False)
    return verdicts


def _by_technology(comparisons: Sequence[Comparison], metric: str) -> list[Comparison]:
    """Join the groups of each technology."""
    joined: dict[str, Comparison] = {}
    for c in comparisons:
        if c.metric != metric:
            continue
        technology = c.group.split()[0]
        if technology in joined:
            other = joined[technology]
            joined[technology] = Comparison(
                technology,
                metric,
                other.rows + c.rows,
                np.concatenate([other.ours, c.ours]),
                np.concatenate([other.theirs, c.theirs]),
                c.rounding,
            )
        else:
            joined[technology] = replace(c, group=technology)
    return list(joined.values())


# --- Command traces ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CommandComparison:
    """The commands of a run beside the reference's.

    Attributes:
        name: Name of the run.
        agreed: Commands before the first difference.
        total: Commands of the reference.
        difference: The first difference, empty if there is none.
    """

    name: str
    agreed: int
    total: int
    difference: str


def compare_commands(folder: Path, rows: Sequence[Row] | None = None) -> list[CommandComparison]:
    """Compare runs command by command.

    Args:
        folder: Folder with `command_traces/index.json` and the files and rows that it names.
        rows: Rows of the folder's table; read from it if None.

    Returns:
        A comparison for each run of the index.

    Raises:
        ArchGymError: If a file is missing or not valid.
    """
    rows = read_rows(folder) if rows is None else rows
    table = {_run(row): row for row in rows}
    inputs = _Inputs(folder)
    comparisons = []
    for entry in _read_index(folder):
        name = entry["name"]
        if _run(entry) not in table:
            raise ConfigError(
                f"{folder}: the table has no row {_run(entry)}, command trace {name}."
            )
        row = table[_run(entry)]
        simulator = _simulator(row, inputs, 1)
        theirs = _read_commands(folder, name, simulator.technology.tck_ps)
        ours = []
        for command in simulator.command_trace(_design(row)):
            place = "" if command.bank is None else f" bank {command.bank}"
            if command.name in _OF_A_ROW:
                place += f" row {command.row}"
            ours.append(f"{command.name} rank {command.rank}{place} in cycle {command.cycle}")
        agreed = next(
            (i for i, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]),
            min(len(ours), len(theirs)),
        )
        difference = ""
        if agreed < max(len(ours), len(theirs)):
            our, their = (
                commands[agreed] if agreed < len(commands) else "none"
                for commands in (ours, theirs)
            )
            difference = f"command {agreed} is {our}, in the reference {their}"
        comparisons.append(CommandComparison(name, agreed, len(theirs), difference))
    return comparisons


def _run(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return what tells a run from all others."""
    return row["cfg"], row["mem"], row["trace"]


def _read_index(folder: Path) -> list[dict[str, Any]]:
    path = _find(folder / "command_traces", "index.json")
    try:
        index: list[dict[str, Any]] = json.loads(path.read_bytes())
        for entry in index:
            _run(entry), entry["name"], group_of({**entry["mc"], **entry})
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{path}: not a list of runs with all their keys: {error!r}.") from None
    return index


def _read_commands(folder: Path, name: str, tck_ps: int) -> list[str]:
    path = _find(folder / "command_traces", f"{name}.cmd", f"{name}.cmd.gz")
    commands = []
    for number, line in enumerate(_read_text(path).splitlines()[1:], start=2):
        try:
            time, command, rank, bank, row, _ = line.split()
            cycle = round(int(time) / tck_ps)
        except ValueError:
            raise ConfigError(f"{path}, line {number}: not a command: {line!r}.") from None
        place = f" bank {bank}" if command in _OF_A_BANK else ""
        place += f" row {row}" if command in _OF_A_ROW else ""
        commands.append(f"{command} rank {rank}{place} in cycle {cycle}")
    return commands


# --- Sampling ------------------------------------------------------------------------------------


def choose_sample(
    rows: Sequence[Row], command_traces: Sequence[Mapping[str, Any]], seed: int
) -> tuple[list[Row], list[str]]:
    """Choose a small part of a reference by chance, without a look at any result.

    * Traces: all with at most 1000 requests, and two longer ones, drawn.
    * Command traces: one for each group of rows, drawn.
    * Rows: those of the command traces; then, walking through the rows on the chosen traces in a
      drawn order, each row that has a value of a column which is not there yet for its technology;
      then, in the same order, rows of each group until it has `SAMPLE_ROWS`.

    Args:
        rows: Rows of the reference.
        command_traces: Its `index.json`.
        seed: Seed of everything that is drawn.

    Returns:
        The rows, in the reference's order, and the names of the command traces.
    """
    draw = random.Random(seed)
    short = {row["trace"] for row in rows if int(row["n_requests"]) <= 1000}
    long = sorted({row["trace"] for row in rows} - short)
    traces = short | set(draw.sample(long, min(2, len(long))))
    recorded: dict[str, Mapping[str, Any]] = {}
    for entry in draw.sample(command_traces, len(command_traces)):
        recorded.setdefault(group_of({**entry["mc"], **entry}), entry)
    wanted = {_run(entry) for entry in recorded.values()}

    order = [i for i in range(len(rows)) if rows[i]["trace"] in traces]
    draw.shuffle(order)
    chosen = {i for i in range(len(rows)) if _run(rows[i]) in wanted}
    covered: set[tuple[str, str, str]] = set()
    for i in order:
        values = {
            (rows[i]["mem"], column, rows[i][column])
            for column in ("address_map", "trace", *KNOBS, *ARGUMENTS)
        }
        if values - covered:
            chosen.add(i)
            covered |= values
    size: dict[str, int] = defaultdict(int)
    for i in chosen:
        size[group_of(rows[i])] += 1
    for i in order:
        if i not in chosen and size[group_of(rows[i])] < SAMPLE_ROWS:
            chosen.add(i)
            size[group_of(rows[i])] += 1
    return [rows[i] for i in sorted(chosen)], [entry["name"] for entry in recorded.values()]


def write_sample(source: Path, target: Path, seed: int) -> int:
    """Copy the sample that `choose_sample` draws, in the schema of the reference.

    Args:
        source: Folder of the reference.
        target: Folder to write to.
        seed: Seed of the choice.

    Returns:
        Number of rows.

    Raises:
        ArchGymError: If a file of the reference is missing or not valid.
    """
    index = _read_index(source)
    rows, recorded = choose_sample(read_rows(source), index, seed)
    for name in ("traces", "address_maps", "command_traces"):
        (target / name).mkdir(parents=True, exist_ok=True)
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    text = "".join(f"{line}\n" for line in lines)
    (target / "golden.csv.gz").write_bytes(gzip.compress(text.encode("utf-8"), mtime=0))
    for trace in sorted({row["trace"] for row in rows}):
        path = _find(source / "traces", f"{trace}.stl", f"{trace}.stl.gz")
        shutil.copyfile(path, target / "traces" / path.name)
    for name in sorted({row["address_map"] for row in rows}):
        shutil.copyfile(source / "address_maps" / name, target / "address_maps" / name)
    for name in recorded:
        path = _find(source / "command_traces", f"{name}.cmd", f"{name}.cmd.gz")
        shutil.copyfile(path, target / "command_traces" / path.name)
    kept = [entry for entry in index if entry["name"] in recorded]
    text = json.dumps(kept, indent=1) + "\n"
    (target / "command_traces" / "index.json").write_text(text, encoding="utf-8")
    return len(rows)


# --- Command line --------------------------------------------------------------------------------


def describe(comparisons: Sequence[Comparison]) -> str:
    """Return the table of the comparisons: a line for each technology and metric."""
    lines = []
    group = ""
    for c in comparisons:
        if c.group != group:
            group = c.group
            lines += [
                "",
                f"{group:<23} {'rows':>6} {'exact':>9} {'p99':>11} {'worst':>11}  worst row",
            ]
        lines.append(
            f"  {c.metric:<21} {len(c.rows):>6} {100 * np.mean(c.exact):>7.2f} % "
            f"{100 * c.p99:>9.4f} % {100 * c.worst:>9.4f} %  {c.worst_row if c.worst else '-'}"
        )
    return "\n".join(lines[1:])


def describe_rows(comparisons: Sequence[Comparison]) -> str:
    """Return a line for each value that is not exact, the largest errors of a metric first."""
    lines = []
    for c in comparisons:
        errors = c.errors
        for i in np.argsort(-errors, kind="stable").tolist():
            if errors[i] == 0:
                break
            lines.append(
                f"{c.group}  {c.metric}  {c.rows[i]}  ours {c.ours[i]:.10g}  "
                f"theirs {c.theirs[i]:.10g}  off by {100 * errors[i]:.4f} %"
            )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; see the module.

    Args:
        arguments: Command line; that of the process if None.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(
        prog="replay.py", description=(__doc__ or "").partition("\n")[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    dram = commands.add_parser("dram", help="replay a folder of DRAMSys runs")
    dram.add_argument("folder", type=Path)
    dram.add_argument("--verbose", action="store_true", help="list every value that is not exact")
    dram.add_argument("--threads", type=int, help="threads to use; by default all cores")
    dnn = commands.add_parser("dnn", help="replay folders of runs of tools for DNN accelerators")
    dnn.add_argument("folders", type=Path, nargs="+", metavar="folder")
    dnn.add_argument("--verbose", action="store_true", help="list every number that is not exact")
    soc = commands.add_parser("soc", help="replay files of runs of DS3, DS3Gym and FARSI")
    soc.add_argument("files", type=Path, nargs="+", metavar="file")
    soc.add_argument("--verbose", action="store_true", help="list every run that is not exact")
    sample = commands.add_parser("sample", help="copy a small part of such a folder or file")
    sample.add_argument("source", type=Path)
    sample.add_argument("target", type=Path)
    sample.add_argument("--kind", choices=("dram", "dnn", "soc"), default="dram")
    sample.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        if options.command == "sample":
            writers = {"dnn": _dnn, "soc": _soc}
            write = (
                writers[options.kind]().write_sample if options.kind in writers else write_sample
            )
            rows = write(options.source, options.target, options.seed)
            sys.stdout.write(f"{rows} rows in {options.target}\n")
            return 0
        if options.command == "dnn":
            return _replay_dnn(options.folders, verbose=options.verbose)
        if options.command == "soc":
            return _replay_soc(options.files, verbose=options.verbose)
        return _replay_dram(options.folder, options.threads, verbose=options.verbose)
    except ArchGymError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2


def _replay_dram(folder: Path, threads: int | None, *, verbose: bool) -> int:
    rows = read_rows(folder)
    comparisons = replay(folder, rows, threads=threads)
    if verbose:
        sys.stdout.write(f"{describe_rows(comparisons)}\n\n")
    sys.stdout.write(
        f"{describe(comparisons)}\n\n"
        "exact: equal to the last decimal that the reference printed; errors are relative to it.\n"
        "bandwidth: the reference leaves the last request out with arbiter Simple; so does this "
        "table.\n\n"
    )
    verdicts = judge(comparisons)
    for verdict in verdicts:
        sys.stdout.write(f"{'pass' if verdict.passed else 'FAIL'}  {verdict.text}\n")
    if (folder / "command_traces").is_dir():
        runs = compare_commands(folder, rows)
        equal = sum(not run.difference for run in runs)
        sys.stdout.write(f"\ncommand traces: {equal} of {len(runs)} equal\n")
        for run in runs:
            if run.difference:
                sys.stdout.write(f"  {run.name}: {run.difference}\n")
    return 0 if all(verdict.passed for verdict in verdicts) else 1


def _dnn() -> ModuleType:
    """Return the module for DNN accelerators; it compiles much that DRAM does not need."""
    return importlib.import_module("tests.golden.replay_dnn")


def _replay_dnn(folders: Sequence[Path], *, verbose: bool) -> int:
    dnn = _dnn()
    rows = [row for folder in folders for row in dnn.read_rows(folder)]
    left_out = dnn.describe_left_out(rows)
    findings = dnn.replay(rows)
    if verbose:
        sys.stdout.write(f"{dnn.describe_inexact(findings)}\n\n")
    sys.stdout.write(
        f"{dnn.describe(findings)}\n\n"
        "exact: all numbers of a row are equal to the last decimal that the tool printed, or "
        "better where that will do;\n"
        "errors are relative to the tool's number.\n\n"
    )
    if left_out:
        sys.stdout.write(f"{left_out}\n\n")
    verdicts = [*dnn.judge(findings), *dnn.judge_kinds(rows)]
    for verdict in verdicts:
        word = "pass" if verdict.passed else "FAIL" if verdict.binding else "low "
        sys.stdout.write(f"{word}  {verdict.text}\n")
    return 0 if all(verdict.passed or not verdict.binding for verdict in verdicts) else 1


def _soc() -> ModuleType:
    """Return the module for SoCs; it compiles much that DRAM does not need."""
    return importlib.import_module("tests.golden.replay_soc")


def _replay_soc(files: Sequence[Path], *, verbose: bool) -> int:
    soc = _soc()
    recorded = soc.read(files)
    comparison = soc.replay(recorded)
    if verbose:
        sys.stdout.write(f"{soc.describe_inexact(comparison)}\n\n")
    sys.stdout.write(
        f"{soc.describe(comparison)}\n\n"
        "exact: all numbers of a run are equal but for rounding; errors are relative to the "
        "recorded number.\n"
    )
    if comparison.findings:
        sys.stdout.write(f"\n{soc.describe_groups(comparison)}\n")
    left_out = soc.describe_left_out(recorded)
    if left_out:
        sys.stdout.write(f"\n{left_out}\n")
    sys.stdout.write(f"\n{soc.describe_verdict(comparison)}\n")
    return 0 if comparison.passed else 1


if __name__ == "__main__":
    # A script sees its own folder only, and modules here are imported from the checkout's root.
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    sys.exit(main())
