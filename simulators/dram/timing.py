"""The timing rules of a JEDEC standard, turned into the tables that the kernel reads.

A standard is a YAML file in ``configs/dram/standards``: which command must keep which distance from
which earlier command, and on what scope. The distances are sums of timing parameters
("WL + B + WR"); a `Technology` gives the parameters their values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
import yaml

from archgym_py.errors import ConfigError, did_you_mean
from archgym_py.simulators.dram.commands import COMMANDS, NEVER, SCOPES
from archgym_py.simulators.dram.technology import Technology

__all__ = ["PowerTiming", "TimingTables", "timing_tables"]


@dataclass(frozen=True, slots=True, eq=False)
class PowerTiming:
    """Durations that the energy model counts, in clock cycles.

    Attributes:
        auto_precharge_read: RDA to the start of its own precharge.
        auto_precharge_write: WRA to the start of its own precharge.
        completion: int64[16]; by command, how long the device is busy with it after its issue.
        tras, trp, trc, trfc, trfcpb: The timing parameters of these names; 0 where the standard has
            none.
    """

    auto_precharge_read: int
    auto_precharge_write: int
    completion: np.ndarray
    tras: int
    trp: int
    trc: int
    trfc: int
    trfcpb: int


@dataclass(frozen=True, slots=True, eq=False)
class TimingTables:
    """Timing rules of one technology.

    Attributes:
        distance: int64[scope, previous command, next command] in ps; `NEVER` where there is no
            rule. Scopes and commands are numbered as in `commands`.
        length: int64[command]; time that a command occupies the command bus, in ps.
        split_bus: Whether row and column commands have a bus each.
        read_data_end, write_data_end: Issue of a column command to the last beat of its data, ps.
        refresh_interval: Interval between refresh commands by refresh policy, in ps.
        power: What the energy model needs.
    """

    distance: np.ndarray
    length: np.ndarray
    split_bus: bool
    read_data_end: int
    write_data_end: int
    refresh_interval: Mapping[str, int]
    power: PowerTiming


@lru_cache(maxsize=32)
def timing_tables(technology: Technology) -> TimingTables:
    """Build the timing tables of a technology.

    Args:
        technology: The memory; its `standard` names the file with the rules.

    Returns:
        The tables; they are shared, do not change them.

    Raises:
        ConfigError: If the standard is unknown or a rule names a timing that the technology lacks.
    """
    rules = _load_standard(technology.standard)
    cycles = {"B": technology.burst_length // 2, **technology.timings}

    def value(expression: object, where: str) -> int:
        return _evaluate(str(expression), cycles, f"{technology.standard}.yaml, {where}")

    for name, expression in rules["derived"].items():
        cycles[name] = value(expression, f"derived {name}")

    tck = technology.tck_ps
    distance = np.full((len(SCOPES), len(COMMANDS), len(COMMANDS)), NEVER, dtype=np.int64)
    for following, rows in rules["constraints"].items():
        for row in rows:
            scope, previous, expression = row.split(maxsplit=2)
            offset = value(expression, f"row {row!r} of {following}") * tck
            if scope == "group" and technology.bank_groups == 1:
                scope = "rank"
            for s in ("rank", "other") if scope == "any" else (scope,):
                for p in previous.split(","):
                    for f in following.split():
                        cell = (SCOPES.index(s), COMMANDS.index(p), COMMANDS.index(f))
                        distance[cell] = max(distance[cell], offset)

    lengths = rules.get("command_cycles", {})
    power = rules.get("power", {})
    completion = np.zeros(len(COMMANDS), dtype=np.int64)
    for name, expression in power.get("completion", {}).items():
        completion[COMMANDS.index(name)] = value(expression, f"completion {name}")
    auto = power.get("auto_precharge", {"RDA": 0, "WRA": 0})
    return TimingTables(
        distance=distance,
        length=np.array([lengths.get(name, 1) * tck for name in COMMANDS], dtype=np.int64),
        split_bus=bool(rules.get("split_bus", False)),
        read_data_end=value(rules["data_end"]["RD"], "data_end") * tck,
        write_data_end=value(rules["data_end"]["WR"], "data_end") * tck,
        refresh_interval={
            policy: value(name, f"refresh_interval {policy}") * tck
            for policy, name in rules["refresh_interval"].items()
        },
        power=PowerTiming(
            auto_precharge_read=value(auto["RDA"], "auto_precharge"),
            auto_precharge_write=value(auto["WRA"], "auto_precharge"),
            completion=completion,
            **{
                name: value(power.get(key, 0), f"power {key}")
                for name, key in (
                    ("tras", "tRAS"),
                    ("trp", "tRP"),
                    ("trc", "tRC"),
                    ("trfc", "tRFC"),
                    ("trfcpb", "tRFCpb"),
                )
            },
        ),
    )


@lru_cache(maxsize=8)
def _load_standard(name: str) -> Mapping[str, Any]:
    folder = resources.files("archgym_py.configs") / "dram" / "standards"
    file = folder / f"{name}.yaml"
    if not file.is_file():
        known = sorted(f.name.removesuffix(".yaml") for f in folder.iterdir())
        raise ConfigError(f"unknown memory standard {name!r}.{did_you_mean(name, known)}")
    rules: Mapping[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return rules


def _evaluate(expression: str, cycles: Mapping[str, int], where: str) -> int:
    """Sum of names and numbers with + and -; ``max(a, b, ...)`` may stand as a whole.

    Examples:
        >>> _evaluate("WL + B - 2", {"WL": 8, "B": 4}, "here")
        10
        >>> _evaluate("max(A + 1, 3)", {"A": 1}, "here")
        3
    """
    if expression.startswith("max(") and expression.endswith(")"):
        return max(_evaluate(part, cycles, where) for part in expression[4:-1].split(","))
    return sum(_terms(expression, cycles, where))


def _terms(expression: str, cycles: Mapping[str, int], where: str) -> Iterator[int]:
    sign = 1
    for token in re.findall(r"[-+]|[^-+\s]+", expression):
        if token in "+-":
            sign = 1 if token == "+" else -1
        elif token.isdigit():
            yield sign * int(token)
        elif token in cycles:
            yield sign * cycles[token]
        else:
            raise ConfigError(
                f"{where}: the technology gives no timing {token!r}.{did_you_mean(token, cycles)}"
            )
