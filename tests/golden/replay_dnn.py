"""Compare the models of DNN accelerators with recorded runs of the tools that they follow.

A folder has `golden.csv.gz` or `golden.csv`, a row for each run of a tool, of many kinds. `KINDS`
says what replays a kind; it turns rows into findings, a pair of numbers and the rule that they have
to obey each:

    rows = read_rows(folder)
    findings = replay(rows)
    print(describe(findings))

A kind is added by a function from its rows to findings, and a line in `KINDS`. The kinds in
`NOT_COMPARED` are known and left out.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archgym_py.errors import ArchGymError, ConfigError, did_you_mean
from archgym_py.simulators.dnn.layers import Layer
from archgym_py.simulators.dnn.systolic import dram_traffic, gemm_of, systolic_counts
from tests.golden.replay_dnn_designs import replay_designs
from tests.golden.replay_dnn_loops import replay_fixed, replay_mapper
from tests.golden.replay_dnn_rank import replay_maestro, replay_zigzag
from tests.golden.replay_dnn_rows import Finding, Row, parsed, read_rows, write_rows

__all__ = [
    "KINDS",
    "NOT_COMPARED",
    "Finding",
    "choose_sample",
    "describe",
    "describe_inexact",
    "describe_left_out",
    "judge",
    "judge_kinds",
    "read_rows",
    "replay",
    "write_sample",
]

# --- Systolic arrays ------------------------------------------------------------------------------

_SRAM_BYTES = 256 * 1024  # of each SRAM in the full runs, with words of a byte


def replay_systolic(rows: Sequence[Row]) -> list[Finding]:
    """Compare runs of SCALE-Sim 3: of its compute model, or in full with its memories.

    Args:
        rows: Rows of the kinds "scalesim-compute" and "scalesim-full".

    Returns:
        For each row its cycles, SRAM accesses and utilizations; for full runs the DRAM accesses.
    """
    return [finding for row in rows for finding in _replay_array(row)]


def _replay_array(row: Row) -> list[Finding]:
    arch, layer = parsed(row, "arch_json"), parsed(row, "layer_json")
    levels, extra = parsed(row, "levels_json"), parsed(row, "extra_json")
    rows, columns, m, n, k = (int(value) for value in (arch["rows"], arch["cols"], *_mnk(layer)))
    problem = (rows, columns, arch["dataflow"], m, n, k)
    counts = systolic_counts(*problem, compat=True)
    ours = {
        "cycles": counts.cycles,
        "sram_ifmap_reads": counts.ifmap_reads,
        "sram_filter_reads": counts.filter_reads,
        "sram_ofmap_writes": counts.ofmap_writes,
        "mapping_efficiency_pct": 100.0 * counts.mapping_efficiency,
    }
    theirs = {
        "cycles": row["cycles"],
        **levels,
        "mapping_efficiency_pct": extra["mapping_efficiency_pct"],
    }
    busy = 100.0 * counts.compute_utilization
    if row["kind"] == "scalesim-compute":
        ours["utilization_pct"], theirs["utilization_pct"] = busy, row["utilization_pct"]
    else:
        ours["utilization_pct"] = 100.0 * m * n * k / (rows * columns * counts.cycles)
        theirs["utilization_pct"] = row["utilization_pct"]
        ours["compute_util_pct"], theirs["compute_util_pct"] = busy, extra["compute_util_pct"]
        traffic = dram_traffic(
            *problem,
            inputs=gemm_of(_layer(layer)).inputs,
            ifmap_words=_SRAM_BYTES,
            filter_words=_SRAM_BYTES,
            ofmap_words=_SRAM_BYTES,
            compat=True,
        )
        ours["dram_ifmap_reads"] = traffic.ifmap_reads
        ours["dram_filter_reads"] = traffic.filter_reads
        ours["dram_ofmap_writes"] = traffic.ofmap_writes
    return [
        Finding(
            row["kind"],
            row["case_id"],
            name,
            float(ours[name]),
            float(theirs[name]),
            rounding=6e-7 if name.endswith("_pct") else 0.0,  # printed with six decimals
        )
        for name in ours
    ]


def _mnk(layer: Mapping[str, Any]) -> tuple[int, int, int]:
    return layer["M"], layer["N"], layer["K"]


def _layer(layer: Mapping[str, Any]) -> Layer:
    """Return the layer that a full run names: "M|N|K", or rows, columns and filter of a conv."""
    sizes = [int(size) for size in layer["spec"].split("|")]
    if len(sizes) == 3:
        m, n, k = sizes
        made = Layer(name=layer["name"], op="gemm", P=m, M=n, C=k)
    else:
        height, width, s, r, c, filters, stride = sizes
        made = Layer(
            name=layer["name"],
            op="conv",
            M=filters,
            C=c,
            P=math.ceil((width - r + stride) / stride),
            Q=math.ceil((height - s + stride) / stride),
            R=r,
            S=s,
            stride_p=stride,
            stride_q=stride,
        )
    gemm = gemm_of(made)
    if (gemm.m, gemm.n, gemm.k) != _mnk(layer):
        raise ConfigError(f"{layer['name']}: {layer['spec']} is {gemm}, not {_mnk(layer)}.")
    return made


# --- All kinds ------------------------------------------------------------------------------------

KINDS: Mapping[str, Callable[[Sequence[Row]], list[Finding]]] = {
    "timeloop-fixed": replay_fixed,
    "timeloop-fixed-bw": replay_fixed,
    "timeloop-fixed-dw": replay_fixed,
    "timeloop-capacity": replay_fixed,
    "mapper-archgym": replay_mapper,
    "mapper-thorough": replay_mapper,
    "mapper-simba-medium": replay_mapper,
    "agenv": replay_designs,
    "scalesim-compute": replay_systolic,
    "scalesim-full": replay_systolic,
    "zigzag-loma6": replay_zigzag,
    "maestro-dataflow": replay_maestro,
}
"""What replays the rows of a kind."""

NOT_COMPARED: Mapping[str, str] = {
    "timeloop-fixed-link": "words that pass from neighbour to neighbour are not modelled",
    "maestro-gamma": "a random mapping each, on hardware that differs from row to row",
    "accelforge-ffm": "two layers at most on the same hardware",
}
"""Kinds that nothing replays, and why."""

PARTLY_COMPARED: Mapping[str, str] = {
    "zigzag-loma6": "ranks of the layers on eyeriss_like, with ours on the published default "
    "design; of the other hardware a row has the name only",
    "maestro-dataflow": "ranks of the convolutions of VGG-16 and ResNet-50, with ours on 256 "
    "elements that spread the dimensions of the dataflow; of other layers a row has the name only",
}
"""What is compared of kinds of which some rows are left out."""


def replay(rows: Sequence[Row], kinds: Sequence[str] | None = None) -> list[Finding]:
    """Compare rows with the library.

    Args:
        rows: Rows of a table; those of a kind without an entry in `KINDS` are left out.
        kinds: Kinds to replay; all of `KINDS` if None.

    Returns:
        The findings, kind by kind.

    Raises:
        ConfigError: If a kind is unknown or a row cannot be understood.
    """
    findings = []
    for kind in KINDS if kinds is None else kinds:
        if kind not in KINDS:
            raise ConfigError(f"nothing replays the kind {kind!r}.{did_you_mean(kind, KINDS)}")
        members = [row for row in rows if row["kind"] == kind]
        try:
            findings += KINDS[kind](members)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            if isinstance(error, ArchGymError):
                raise
            raise ConfigError(f"a row of kind {kind!r} cannot be understood: {error!r}.") from error
    return findings


def describe(findings: Sequence[Finding]) -> str:
    """Return a table of the findings: a line for each kind and quantity.

    Args:
        findings: The findings.

    Returns:
        Rows, share of them that is exact in all numbers (or better, for rules other than "equal"),
        the worst relative error with its row, and whether all rules are kept.
    """
    lines = []
    last = ""
    for (kind, quantity), members in _grouped(findings).items():
        if kind != last:
            last = kind
            head = f"{kind:<27} {'rows':>6} {'exact':>9} {'worst':>11}  rule      worst row"
            lines += ["", head]
        worst = max(members, key=lambda finding: finding.error)
        rows = {finding.case for finding in members}
        inexact = {finding.case for finding in members if finding.error}
        verdict = "" if all(finding.passed for finding in members) else "  FAIL"
        lines.append(
            f"  {quantity:<25} {len(rows):>6} {100 - 100 * len(inexact) / len(rows):>7.2f} % "
            f"{100 * worst.error:>9.4f} %  {worst.rule:<8}  {worst.case if worst.error else '-'}"
            f"{verdict if worst.binding else verdict and '  below the bar'}"
        )
    return "\n".join(lines[1:])


def _grouped(findings: Sequence[Finding]) -> dict[tuple[str, str], list[Finding]]:
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.kind, finding.quantity), []).append(finding)
    return groups


def describe_inexact(findings: Sequence[Finding]) -> str:
    """Return a line for each number that is not exact, the largest errors of a quantity first."""
    lines = []
    for members in _grouped(findings).values():
        for finding in sorted(members, key=lambda finding: -finding.error):
            if finding.error == 0:
                break
            lines.append(
                f"{finding.kind}  {finding.quantity}  {finding.case}  "
                f"{finding.where + '  ' if finding.where else ''}"
                f"ours {finding.ours:.10g}  theirs {finding.theirs:.10g}  "
                f"off by {100 * finding.error:.4f} %"
            )
    return "\n".join(lines)


def describe_left_out(rows: Sequence[Row]) -> str:
    """Return a line for each kind of which rows are not compared.

    Raises:
        ConfigError: If there is nothing to compare.
    """
    counts = Counter(row["kind"] for row in rows)
    if not any(kind in KINDS for kind in counts):
        raise ConfigError(f"there is no row of a kind that is compared: {', '.join(KINDS)}.")
    lines = [
        f"{kind}: {counts[kind]} rows not compared: {reason}"
        for kind, reason in NOT_COMPARED.items()
        if counts[kind]
    ]
    lines += [f"{kind}: {what}" for kind, what in PARTLY_COMPARED.items() if counts[kind]]
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a quantity of a kind keeps its rule.

    Attributes:
        passed: Whether it does, in all rows.
        text: The quantity, its tolerance and the numbers.
        binding: Whether it has to.
    """

    passed: bool
    text: str
    binding: bool = True


def judge(findings: Sequence[Finding]) -> list[Verdict]:
    """Hold findings against their rules.

    * Timeloop's model: counts equal; cycles equal within 1, energies within 1e-6; verdicts equal.
    * Its mapper: its mapping costs what it says, as above; our best one takes no more cycles, and
      no more energy where cycles are equal; row-stationary ones are proved to be the best.
    * Random designs: verdicts equal, area and energies per access within 1e-4, no more cycles, in
      all and of each layer, and no more energy of a layer where its cycles are equal.
    * SCALE-Sim: equal. MAESTRO and ZigZag: ranks of layers, which bind nothing.

    Args:
        findings: What `replay` returned.

    Returns:
        A verdict for each kind and quantity, and one for each correlation of ranks.
    """
    together: dict[tuple[str, str], list[Finding]] = {}
    verdicts = []
    for finding in findings:
        if finding.binding:
            name = _TOGETHER.get(finding.quantity, finding.quantity)
            together.setdefault((finding.kind, name), []).append(finding)
    for (kind, name), members in together.items():
        kept = sum(finding.passed for finding in members)
        text = f"{kind:<20} {name:<23} {_limit(members)}: {kept} of {len(members)} numbers"
        verdicts.append(Verdict(kept == len(members), text))
    return verdicts + [
        Verdict(
            finding.passed,
            f"{finding.kind:<20} {finding.quantity:<23} at least {finding.theirs:g}: "
            f"{finding.ours:.3f}, {finding.case}",
            binding=False,
        )
        for finding in findings
        if not finding.binding
    ]


def judge_kinds(rows: Sequence[Row]) -> list[Verdict]:
    """Return a failure for each kind that is not known, so that no row is left out in silence."""
    known = (*KINDS, *NOT_COMPARED)
    counts = Counter(row["kind"] for row in rows if row["kind"] not in known)
    return [
        Verdict(
            False,
            f"{kind:<20} {count} rows not compared: unknown kind.{did_you_mean(kind, known)}",
        )
        for kind, count in counts.items()
    ]


_TOGETHER = {
    **dict.fromkeys(("reads", "fills", "updates", "tile", "instances", "partition"), "counts"),
    "level energy_pJ": "energy_pJ",
}
"""Quantities that share a verdict."""


def _limit(findings: Sequence[Finding]) -> str:
    """Return in words what the rule of some findings allows."""
    if findings[0].rule != "equal":
        return findings[0].rule
    tolerance = max(finding.tolerance for finding in findings)
    if not tolerance:
        return "equal"
    if all(math.isclose(finding.tolerance * finding.theirs, 1) for finding in findings):
        return "within 1"
    return f"within {tolerance:.2g}"


# --- Sampling -------------------------------------------------------------------------------------

SAMPLE_ROWS: Mapping[str, int] = {
    **dict.fromkeys(KINDS, 9),
    **dict.fromkeys(NOT_COMPARED, 1),
    "scalesim-compute": 160,
    "scalesim-full": 27,
}
"""Rows that a sample has of each group of a kind, if the reference has them; see `group_of`."""


def group_of(row: Row) -> tuple[str, ...]:
    """Return the group of a row: its kind, and what of it a sample has to have."""
    kind = row["kind"]
    if kind.startswith("scalesim"):
        return kind, parsed(row, "arch_json")["dataflow"]
    if kind == "agenv":
        return kind, parsed(row, "extra_json")["reason"]
    if kind == "zigzag-loma6":
        return kind, parsed(row, "arch_json")["file"]
    if kind == "maestro-dataflow":
        return kind, parsed(row, "layer_json")["network"]
    return kind, row["valid"]


def choose_sample(rows: Sequence[Row], seed: int) -> list[Row]:
    """Choose a small part of a reference by chance, without a look at any number.

    Rows are drawn from each group until it has as many as `SAMPLE_ROWS` says.

    Args:
        rows: Rows of the reference.
        seed: Seed of the draw.

    Returns:
        The rows, in the reference's order.
    """
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    taken: dict[tuple[str, ...], int] = defaultdict(int)
    chosen = []
    for i in order:
        group = group_of(rows[i])
        if taken[group] < SAMPLE_ROWS[group[0]]:
            taken[group] += 1
            chosen.append(i)
    return [rows[i] for i in sorted(chosen)]


def write_sample(source: Path, target: Path, seed: int) -> int:
    """Copy the sample that `choose_sample` draws, in the schema of the reference.

    Args:
        source: Folder of the reference.
        target: Folder to write to.
        seed: Seed of the choice.

    Returns:
        Number of rows.

    Raises:
        ConfigError: If the reference cannot be read or has an unknown kind.
    """
    rows = read_rows(source)
    for unknown in judge_kinds(rows):
        raise ConfigError(f"{source}: {unknown.text}")
    chosen = choose_sample(rows, seed)
    write_rows(target, chosen)
    return len(chosen)
