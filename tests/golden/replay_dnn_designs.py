"""Replays random designs of the published space through the published pipeline."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from archgym_py.errors import ConfigError, InfeasibleDesign
from archgym_py.simulators.dnn.dataflows import ROW_STATIONARY
from archgym_py.simulators.dnn.eyeriss import EYERISS_SPACE, eyeriss_architecture
from archgym_py.simulators.dnn.hardware import Architecture
from archgym_py.simulators.dnn.mapper import Mapper
from archgym_py.simulators.dnn.networks import load_network
from tests.golden.replay_dnn_rows import ALEXNET, CENT, Finding, Row, no_worse, parsed, verdict

_PREFIXES = {"DB": "dummy", "IFMap": "ifmap", "PSum": "psum", "Weights": "weights", "SGB": "glb"}
_FIELDS = {
    "class": "class",
    "memory_depth": "depth",
    "n_banks": "banks",
    "block-size": "block_size",
    "read_bandwidth": "read_bandwidth",
    "write_bandwidth": "write_bandwidth",
}
_OTHERS = {"PE Spatial Array.npes": "n_pes", "MAC.meshx": "mesh_x"}


def replay_designs(rows: Sequence[Row]) -> list[Finding]:
    """Compare random designs of the published space, on all layers of AlexNet.

    Args:
        rows: Rows of the kind "agenv".

    Returns:
        For each row whether it can be priced (CACTI aborts otherwise) and is valid, its energies
        per access, and of a valid one area, cycles and the cycles and energy of each layer.
    """
    findings = []
    layers = load_network(ALEXNET).layers
    mapper = Mapper(ROW_STATIONARY, goal="delay")
    for row in rows:
        kind, case = row["kind"], row["case_id"]
        extra = parsed(row, "extra_json")
        priced = float(extra["reason"] != "cacti_abort")
        try:
            built = eyeriss_architecture(_design(row), pricing="published")
        except InfeasibleDesign:
            findings += [Finding(kind, case, "priced", 0.0, priced), verdict(row, ours=False)]
            continue
        findings.append(Finding(kind, case, "priced", 1.0, priced))
        findings += _prices(row, built, extra.get("energy_tables_pJ") or {})
        try:
            found = [mapper.map(layer, built) for layer in layers]
        except InfeasibleDesign:
            findings.append(verdict(row, ours=False))
            continue
        findings.append(verdict(row, ours=True))
        if row["valid"] == "0":
            continue
        cycles, area = float(row["cycles"]), float(row["area_um2"])
        total = float(sum(mapping.cycles for mapping in found))
        findings += [
            Finding(kind, case, "area_um2", built.area_um2, area, rounding=CENT, tolerance=1e-4),
            Finding(kind, case, "cycles", total, cycles, "at most"),
        ]
        for layer, mapping, theirs in zip(layers, found, parsed(row, "levels_json"), strict=True):
            if not theirs["layer"].endswith(f"_{layer.name}.yaml"):
                raise ConfigError(f"{case}: layer {theirs['layer']!r} is not {layer.name!r}.")
            findings += no_worse(
                *(row, "layer", layer.name, (mapping.cycles, mapping.energy_pj)),
                (theirs["cycles"], 1e6 * float(theirs["energy_uJ"])),
            )
    return findings


def _design(row: Row) -> dict[str, Any]:
    design = {}
    for name, value in parsed(row, "arch_json").items():
        if name in _OTHERS:
            design[_OTHERS[name]] = value
        else:
            buffer, _, field = name.partition(".")
            design[f"{_PREFIXES[buffer]}_{_FIELDS[field]}"] = value
    return dict(EYERISS_SPACE.validate(design))


def _prices(row: Row, built: Architecture, tables: Mapping[str, Any]) -> list[Finding]:
    levels = {level.name: level for level in built.levels}
    findings = []
    for path, table in tables.items():
        name = re.sub(r"\[.*\]$", "", re.split(r"\.(?![^\[]*\])", path)[-1])
        if name == "mac":
            prices = {"mac": (built.compute.mac_pj, table["mac_random"])}
        else:
            prices = {
                "read": (levels[name].read_pj, table["read"]),
                "write": (levels[name].write_pj, table["write"]),
            }
        findings += [
            Finding(
                *(row["kind"], row["case_id"], "access energy_pJ", ours, float(theirs)),
                rounding=0.0000050001,  # printed with five decimals
                tolerance=1e-4,
                where=f"{name} {action}",
            )
            for action, (ours, theirs) in prices.items()
        ]
    return findings
