"""Replays runs of Timeloop: of its model on given mappings, and of its mapper.

Where Timeloop got its energies per access from Accelergy, they had five decimals, and so have ours
here. Numbers are exact if they agree to the last digit that the tool printed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from archgym_py.errors import ConfigError, InfeasibleDesign, did_you_mean
from archgym_py.simulators.dnn.dataflows import ROW_STATIONARY, SIMBA
from archgym_py.simulators.dnn.eyeriss import PUBLISHED_DEFAULT
from archgym_py.simulators.dnn.hardware import Architecture, Compute, Level
from archgym_py.simulators.dnn.layers import TENSORS, Layer
from archgym_py.simulators.dnn.mapper import Mapper
from archgym_py.simulators.dnn.mapspace import Template
from archgym_py.simulators.dnn.model import Cost, LevelMapping, evaluate
from archgym_py.simulators.dnn.model import Mapping as LoopNest
from archgym_py.simulators.dnn.networks import load_network
from archgym_py.simulators.dnn.simba import SIMBA_ARCHITECTURE
from tests.golden.replay_dnn_rows import (
    ALEXNET,
    CENT,
    Finding,
    Row,
    no_worse,
    parsed,
    timeloop_layer,
    verdict,
)

_COUNTS = {  # names of the tool and of ours
    "reads": "reads",
    "fills": "fills",
    "updates": "updates",
    "cap": "tile",
    "inst": "instances",
    "part": "partition",
}
_TRAFFIC = ("reads", "fills", "updates")


# --- Given mappings -------------------------------------------------------------------------------


def replay_fixed(rows: Sequence[Row]) -> list[Finding]:
    """Compare runs of the model on given mappings of random hierarchies.

    Args:
        rows: Rows of the kinds "timeloop-fixed", also with "-bw" and "-dw", and
            "timeloop-capacity".

    Returns:
        For each row the verdict; where the mapping is legal cycles, energy, utilization, and the
        counts of all tensors at all levels.
    """
    findings = []
    for row in rows:
        layer = timeloop_layer(parsed(row, "layer_json"))
        architecture = _architecture(parsed(row, "arch_json"))
        mapping = _given_mapping(parsed(row, "mapping_json"), layer)
        try:
            cost = evaluate(layer, architecture, mapping)
        except InfeasibleDesign:
            cost = None
        findings.append(verdict(row, ours=cost is not None))
        if cost is not None and row["valid"] == "1" and not _verdict_only(row):
            printed = sum(len(level.tensors) for level in cost.levels) + 1  # sums of these
            findings += _costs(row, cost, energy_rounding=printed * CENT)
    return findings


def _architecture(description: Mapping[str, Any]) -> Architecture:
    levels = tuple(
        Level(
            name=level["name"],
            mesh_x=level["instances"][0],
            mesh_y=level["instances"][1],
            capacity_words=level["capacity_words"],
            block_size=level["block_size"],
            word_bits=level["word_bits"],
            read_bandwidth=level["read_bw"],
            write_bandwidth=level["write_bw"],
            read_pj=level["read_pJ"],
            write_pj=level["write_pJ"],
        )
        for level in description["levels"]
    )
    unit = description["mac"]
    mesh_x, mesh_y = unit["instances"]
    return Architecture(
        name="given",
        levels=levels,
        compute=Compute(mesh_x=mesh_x, mesh_y=mesh_y, mac_pj=unit["pJ"]),
    )


def _given_mapping(levels: Sequence[Mapping[str, Any]], layer: Layer) -> LoopNest:
    def factors(loops: Sequence[Sequence[Any]], side: str = "") -> tuple[tuple[str, int], ...]:
        channels = "G" if layer.op == "depthwise" else "C"
        return tuple(
            (channels if dim == "C" else dim, factor)
            for dim, factor, *axis in loops
            if axis == [side] or not side
        )

    return LoopNest(
        tuple(
            LevelMapping(
                keep=tuple(level["keep"]),
                temporal=factors(level["temporal"]),
                spatial_x=factors(level["spatial"], "X"),
                spatial_y=factors(level["spatial"], "Y"),
            )
            for level in levels
        )
    )


def _verdict_only(row: Row) -> bool:
    """Return whether a row has no results: those near the limits of capacity are verdicts."""
    results = (row["cycles"], row["energy_pJ"], row["levels_json"])
    return row["kind"] == "timeloop-capacity" and not any(results)


def _costs(row: Row, cost: Cost, *, energy_rounding: float) -> list[Finding]:
    """Compare everything that the tool says about a legal mapping."""
    kind, case = row["kind"], row["case_id"]
    cycles = float(row["cycles"])
    used = 100 * cost.utilization * cost.cycles / cycles  # the rounding of cycles counts once
    findings = [
        # The tool divides floating-point numbers and rounds up: off by one is no error.
        Finding(kind, case, "cycles", cost.cycles, cycles, tolerance=1 / cycles),
        Finding(kind, case, "utilization_pct", used, float(row["utilization_pct"]), rounding=CENT),
        Finding(
            kind,
            case,
            "energy_pJ",
            cost.energy_pj,
            float(row["energy_pJ"]),
            rounding=energy_rounding,
            tolerance=1e-6,
        ),
    ]
    theirs = dict(parsed(row, "levels_json"))
    for level in cost.levels:
        if level.name not in theirs:
            raise ConfigError(f"{case}: levels_json has no level {level.name!r}.")
        described = theirs.pop(level.name)
        findings.append(
            Finding(
                kind,
                case,
                "level energy_pJ",
                level.energy_pj,
                float(described["energy_pJ"]),
                rounding=len(TENSORS) * CENT,
                tolerance=1e-6,
                where=level.name,
            )
        )
        for tensor in TENSORS:
            counts = level.tensors[tensor]
            known = described["tensors"].get(tensor)
            for name, quantity in _COUNTS.items():
                if known is None and quantity not in _TRAFFIC:
                    continue  # a tensor that passes by has no tile
                value = level.instances if name == "inst" else getattr(counts, quantity)
                findings.append(
                    Finding(
                        kind,
                        case,
                        quantity,
                        float(value),
                        0.0 if known is None else float(known[name]),
                        where=f"{level.name} {tensor}",
                    )
                )
    for name, described in theirs.items():
        if described["tensors"]:
            raise ConfigError(f"{case}: the architecture has no level {name!r} of levels_json.")
    return findings


# --- The mapper -----------------------------------------------------------------------------------


class _Target(NamedTuple):
    """What the mapper of the tool ran on."""

    architecture: Architecture
    template: Template


def _as_printed(architecture: Architecture) -> Architecture:
    """Round energies per access as Accelergy prints them."""
    unit = architecture.compute
    return replace(
        architecture,
        levels=tuple(
            replace(level, read_pj=round(level.read_pj, 5), write_pj=round(level.write_pj, 5))
            for level in architecture.levels
        ),
        compute=replace(unit, mac_pj=round(unit.mac_pj, 5)),
    )


EFFORT = 50_000
"""Mappings that our search may evaluate: hundredths of a second, where the tool had minutes."""

_TARGETS = {
    "eyeriss_like_default": _Target(_as_printed(PUBLISHED_DEFAULT), ROW_STATIONARY),
    "simba_like_2022": _Target(SIMBA_ARCHITECTURE, SIMBA),
}

_PUBLISHED_UJ, _PUBLISHED_CYCLES, _PUBLISHED_MM2 = 29206.0, 7885704.0, 2.026
_EXHAUSTIVE_UJ = 6206.5


def replay_mapper(rows: Sequence[Row]) -> list[Finding]:
    """Compare runs of the mapper: its mapping in our model, and our best mapping with its own.

    Args:
        rows: Rows of the kinds "mapper-archgym", "mapper-thorough" and "mapper-simba-medium".

    Returns:
        For each row area and costs of the tool's mapping, and whether our best one is no worse: in
        cycles, and where these are equal in energy. For mapper-archgym also the published default
        design on AlexNet, see `published_default`.
    """
    findings = []
    for row in rows:
        findings += _replay_mapping(row)
    if rows and rows[0]["kind"] == "mapper-archgym":
        findings += published_default(rows)
    return findings


def _replay_mapping(row: Row) -> list[Finding]:
    kind, case = row["kind"], row["case_id"]
    target = _target(row)
    layer = timeloop_layer(parsed(row, "layer_json"))
    try:
        best = Mapper(target.template, goal="delay", effort=EFFORT).map(layer, target.architecture)
        if row["valid"] == "0":
            return [verdict(row, ours=True)]
        mapping = found_mapping(row, target.architecture)
        cost = evaluate(layer, target.architecture, mapping)
    except InfeasibleDesign:
        return [verdict(row, ours=False)]
    area = float(row["area_um2"])
    ours = target.architecture.area_um2
    findings = [
        verdict(row, ours=True),
        Finding(kind, case, "area_um2", ours, area, rounding=CENT, tolerance=1e-4),
        *_costs(row, cost, energy_rounding=1e6 * CENT),
    ]
    findings += no_worse(
        row, "best", "", (best.cycles, best.energy_pj), (row["cycles"], row["energy_pJ"])
    )
    if target.template is ROW_STATIONARY:
        findings.append(Finding(kind, case, "best is proved", float(best.optimal), 1.0))
    return findings


def _target(row: Row) -> _Target:
    name = parsed(row, "arch_json")["template"]
    if name not in _TARGETS:
        raise ConfigError(
            f"{row['case_id']}: unknown template {name!r}.{did_you_mean(str(name), _TARGETS)}"
        )
    return _TARGETS[name]


def found_mapping(row: Row, architecture: Architecture) -> LoopNest:
    """Return the mapping that the mapper of the tool found.

    A row has it twice: as directives, with permutations from the inside out and the first `split`
    dimensions of a spatial one in X, and as text, from the outside in.

    Raises:
        ConfigError: If the two differ.
    """
    described = parsed(row, "mapping_json")
    keep: dict[str, set[str]] = {}
    loops: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for directive in described["yaml"]["mapping"]:
        name = directive["target"]
        if directive["type"] == "datatype":
            keep[name] = set(directive["keep"])
            continue
        numbers = dict(re.findall(r"([A-Z])=?(\d+)", directive["factors"]))
        order = directive["permutation"]
        split = len(order) if directive["type"] == "temporal" else directive["split"]
        sides = ("time", "") if directive["type"] == "temporal" else ("X", "Y")
        for side, dims in zip(sides, (order[:split], order[split:]), strict=True):
            if dims:
                factors = [(dim, int(numbers[dim])) for dim in dims]
                loops[name, side] = [(dim, factor) for dim, factor in factors if factor > 1]
    names = [level.name for level in architecture.levels]
    mapping = LoopNest(
        tuple(
            LevelMapping(
                keep=tuple(tensor for tensor in TENSORS if tensor in keep[name]),
                temporal=tuple(loops.get((name, "time"), ())),
                spatial_x=tuple(loops.get((name, "X"), ())),
                spatial_y=tuple(loops.get((name, "Y"), ())),
            )
            for name in names
        )
    )
    loops = {place: factors for place, factors in loops.items() if factors}
    if (keep, _unordered(loops)) != _of_text(described["text"]):
        raise ConfigError(f"{row['case_id']}: the mapping's directives and its text differ.")
    return mapping


_Loops = dict[tuple[str, str], list[tuple[str, int]]]


def _unordered(loops: _Loops) -> _Loops:
    """Sort loops in space, whose order has no effect."""
    return {place: own if place[1] == "time" else sorted(own) for place, own in loops.items()}


def _of_text(text: str) -> tuple[dict[str, set[str]], _Loops]:
    """Read tensors and loops of each level from the text form of a mapping."""
    keep: dict[str, set[str]] = {}
    loops: _Loops = {}
    name = ""
    for line in text.splitlines():
        if head := re.fullmatch(r"(\w+) \[(.*)\] *", line):
            name = head[1]
            keep[name] = set(re.findall(r"(\w+):", head[2]))
        elif loop := re.fullmatch(r"[| ]*for (\w) in \[0:(\d+)\)(?: \(Spatial-([XY])\))?", line):
            loops.setdefault((name, loop[3] or "time"), []).insert(0, (loop[1], int(loop[2])))
    return keep, _unordered(loops)


def published_default(rows: Sequence[Row]) -> list[Finding]:
    """Compare the published default design on AlexNet with what was published of it.

    Args:
        rows: Rows of the kind "mapper-archgym".

    Returns:
        Cycles, area and energy of our best mappings, and, if the rows have the published mappings
        of all five layers, of these too, with fills counted as in 2022.
    """
    kind = "mapper-archgym"
    layers = load_network(ALEXNET).layers
    mapper = Mapper(ROW_STATIONARY, goal="delay")
    found = [mapper.map(layer, PUBLISHED_DEFAULT) for layer in layers]
    totals = [("our mappings", [(f.cycles, f.energy_pj) for f in found], _EXHAUSTIVE_UJ, 0.05)]
    by_shape = {timeloop_layer(parsed(row, "layer_json")).shape_key: row for row in rows}
    if all(layer.shape_key in by_shape for layer in layers):
        costs = [
            evaluate(
                layer,
                PUBLISHED_DEFAULT,
                found_mapping(by_shape[layer.shape_key], PUBLISHED_DEFAULT),
                fills_of_first_sums=True,
            )
            for layer in layers
        ]
        costs_of_both = [(cost.cycles, cost.energy_pj) for cost in costs]
        totals.append(("published mappings", costs_of_both, _PUBLISHED_UJ, 0.5))
    findings = []
    for name, both, energy_uj, rounding in totals:
        case = f"AlexNet, {name}"
        cycles, energy_pj = (sum(values) for values in zip(*both, strict=True))
        area_mm2 = PUBLISHED_DEFAULT.area_um2 / 1e6
        findings += [
            Finding(kind, case, "published cycles", cycles, _PUBLISHED_CYCLES),
            Finding(
                kind, case, "published energy_uJ", energy_pj / 1e6, energy_uj, rounding=rounding
            ),
            Finding(
                kind, case, "published area_mm2", area_mm2, _PUBLISHED_MM2, rounding=0.00050001
            ),
        ]
    return findings
