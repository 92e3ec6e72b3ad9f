"""Memory technologies, as data: organisation, timings and currents, each with its source.

The files lie in `configs/dram/technologies`. A file states every figure once, in groups that each
name their `source`; a variant names the technology it is based on and states only what differs.

    >>> ddr3 = load_technology("DDR3-1600")
    >>> ddr3.tck_ps, ddr3.bytes_per_burst, ddr3.timings["RCD"]
    (1250, 64, 10)
    >>> load_technology("DDR3-1600-2rank").ranks
    2
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from archgym_py.errors import ConfigError, UnknownNameError, did_you_mean

__all__ = ["Supply", "Technology", "load_technology", "parse_technology", "technology_names"]

_COMMON = ("RAS", "RL", "WL", "FAW", "RTP", "WR", "REFI", "CKE", "XP", "DQSCK")
_DDR = (
    *("RCD", "RP", "RC", "RFC", "CKESR", "XS", "XSDLL"),
    *("ACTPDEN", "PRPDEN", "REFPDEN", "RTRS"),
)
_DDR4 = ("CCD_L", "CCD_S", "RRD_L", "RRD_S", "WTR_L", "WTR_S", "RPRE", "WPRE")
_LPDDR4 = (
    *("RCD", "RPpb", "RPab", "RCpb", "CCD", "RRD", "WTR", "PPD", "REFIpb", "RFCab", "RFCpb"),
    *("CMDCKE", "SR", "XSR", "DQSS", "DQS2DQ", "WPRE", "RPST", "RTRS"),
)
_HBM2 = (
    *("RCDRD", "RCDWR", "RP", "RC", "CCDL", "CCDS", "RRDL", "RRDS", "RTW", "WTRL", "WTRS"),
    *("REFISB", "RFC", "RFCSB", "RREFD", "CKESR", "XS", "PL"),
)
_TIMINGS: Mapping[str, tuple[str, ...]] = {
    "DDR3": (*_COMMON, *_DDR, "CCD", "RRD", "WTR"),
    "DDR4": (*_COMMON, *_DDR, *_DDR4),
    "LPDDR4": (*_COMMON, *_LPDDR4),
    "HBM2": (*_COMMON, *_HBM2),
}
"""The timing parameters that the rules of a standard are made of. A file gives exactly these."""

_IDD = ("idd0", "idd2n", "idd3n", "idd4r", "idd4w", "idd5", "idd6")
_CURRENTS: Mapping[str, tuple[str, ...]] = {
    "DDR3": (*_IDD, "idd2p0", "idd2p1", "idd3p0", "idd3p1"),
    "DDR4": (*_IDD, "idd2p0", "idd2p1", "idd3p0", "idd3p1"),
    "LPDDR4": (*_IDD, "idd2p", "idd3p", "idd5pb"),
    "HBM2": (),
}
"""The currents that the energy model of a standard is made of. Each supply gives exactly these."""

_PER_BANK_REFRESH = frozenset({"LPDDR4", "HBM2"})
_MAY_BE_ZERO = frozenset({"DQSCK", "PL", "RPST"})
_COUNTS = (
    *("burst_length", "devices", "width_bits", "channels", "ranks"),
    *("bank_groups", "banks", "rows", "columns"),
)
_KEYS = ("name", "standard", "description", "default_address_map")
_SECTIONS = ("organisation", "timings", "supplies")


@dataclass(frozen=True, slots=True)
class Supply:
    """A supply rail of a device.

    Attributes:
        name: Name of the rail ("VDD").
        voltage_v: Its voltage, in V.
        currents_ma: Current of one device under each of the data sheet's conditions, in mA: idd0,
            idd2n, idd3n, idd4r, idd4w, idd5, idd6; for DDR3 and DDR4 also idd2p0, idd2p1, idd3p0,
            idd3p1; for LPDDR4 also idd2p, idd3p and idd5pb (refresh of one bank).
    """

    name: str
    voltage_v: float
    currents_ma: Mapping[str, float] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Technology:
    """A memory as the controller sees it.

    Attributes:
        name: Name of the technology, also of its file.
        standard: "DDR3", "DDR4", "LPDDR4" or "HBM2": which timing and energy rules apply.
        description: One line that says what is on the bus.
        clock_mhz: Clock of the memory bus and of the controller, in MHz.
        burst_length: Beats of one access.
        devices: Devices that work in parallel in a rank.
        width_bits: Data width of a device.
        channels: Independent channels, each with a controller.
        ranks: Ranks of a channel.
        bank_groups: Bank groups of a rank, 1 where the standard has none.
        banks: Banks of a rank, over all of its groups.
        rows: Rows of a bank.
        columns: Columns of a row.
        timings: Timing parameters without their leading t, in clock cycles ("RCD", "RFCab").
        supplies: Supply rails; none where no currents are public, and then energy is unknown.
        default_address_map: Address map used unless another one is asked for.
    """

    name: str
    standard: str
    description: str
    clock_mhz: float
    burst_length: int
    devices: int
    width_bits: int
    channels: int
    ranks: int
    bank_groups: int
    banks: int
    rows: int
    columns: int
    timings: Mapping[str, int] = field(hash=False)
    supplies: tuple[Supply, ...]
    default_address_map: str

    @property
    def tck_ps(self) -> int:
        """Clock period, rounded to whole picoseconds as the reference rounds it."""
        return round(1e6 / self.clock_mhz)

    @property
    def bytes_per_burst(self) -> int:
        """Bytes that one access moves, the size of a request."""
        return self.burst_length * self.bytes_per_column

    @property
    def refresh_policies(self) -> tuple[str, ...]:
        """Refresh policies that the standard has."""
        per_bank = ("PerBank",) if self.standard in _PER_BANK_REFRESH else ()
        return ("NoRefresh", "AllBank", *per_bank)

    @property
    def bytes_per_column(self) -> int:
        """Bytes that the devices of a rank hold under one column address."""
        return self.devices * self.width_bits // 8


def technology_names() -> tuple[str, ...]:
    """Return the names of the technologies that come with the library, sorted."""
    folder = files("archgym_py.configs") / "dram" / "technologies"
    names = (entry.name.removesuffix(".yaml") for entry in folder.iterdir())
    return tuple(sorted(names))


@cache
def load_technology(name: str) -> Technology:
    """Return a technology that comes with the library.

    Args:
        name: Name of the technology ("DDR4-2400").

    Returns:
        The technology; the same object for every call.

    Raises:
        UnknownNameError: If there is no such technology.
        ConfigError: If its file is not valid.

    Examples:
        >>> load_technology("DDR4-2400").bank_groups
        4
        >>> load_technology("DDR4-2440")
        Traceback (most recent call last):
        archgym_py.errors.UnknownNameError: unknown technology 'DDR4-2440'. Did you mean \
'DDR4-2400'?
    """
    return parse_technology(_read(name), f"technology file {name}.yaml")


def _read(name: str) -> dict[str, Any]:
    """Return the content of a file, laid over the file that it is based on."""
    if name not in technology_names():
        raise UnknownNameError(
            f"unknown technology {name!r}.{did_you_mean(name, technology_names())}"
        )
    path = files("archgym_py.configs") / "dram" / "technologies" / f"{name}.yaml"
    content = dict(_mapping(yaml.safe_load(path.read_bytes()), f"technology file {name}.yaml"))
    base = content.pop("base", None)
    return content if base is None else _overlay(_read(base), content)


def _overlay(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `changes`, mapping by mapping."""
    merged = dict(base)
    for key, value in changes.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            value = _overlay(below, value)
        merged[key] = value
    return merged


def parse_technology(content: Mapping[str, Any], where: str) -> Technology:
    """Return the technology that a file describes.

    Args:
        content: Content of the file, with that of its base. Every key must be known and present.
        where: What to call the file in messages.

    Returns:
        The technology.

    Raises:
        ConfigError: If a key is missing or unknown, or a value is not legal.
    """
    _exactly(content, (*_KEYS, *_SECTIONS), where)
    standard = _text(content, "standard", where)
    if standard not in _TIMINGS:
        raise ConfigError(
            f"{where}: unknown standard {standard!r}.{did_you_mean(standard, _TIMINGS)}"
        )
    organisation, place = content["organisation"], f"{where}, organisation"
    _exactly(organisation, ["source", "clock_mhz", *_COUNTS], place)
    _text(organisation, "source", place)
    counts = {key: _count(organisation, key, place) for key in _COUNTS}
    if counts["banks"] % counts["bank_groups"]:
        raise ConfigError(
            f"{place}: {counts['banks']} banks do not divide into {counts['bank_groups']} "
            f"bank_groups of equal size."
        )
    return Technology(
        name=_text(content, "name", where),
        standard=standard,
        description=_text(content, "description", where),
        clock_mhz=_number(organisation, "clock_mhz", place, positive=True),
        **counts,
        timings=_timings(content, standard, where),
        supplies=tuple(
            _supply(entry, standard, f"{where}, supply {number}")
            for number, entry in enumerate(_list(content, "supplies", where), start=1)
        ),
        default_address_map=_text(content, "default_address_map", where),
    )


def _timings(content: Mapping[str, Any], standard: str, where: str) -> dict[str, int]:
    timings: dict[str, int] = {}
    for number, group in enumerate(_list(content, "timings", where), start=1):
        place = f"{where}, timings group {number}"
        _exactly(group, ["source", "cycles"], place)
        _text(group, "source", place)
        for key in _mapping(group["cycles"], f"{place}, cycles"):
            if key in timings:
                raise ConfigError(f"{place}: {key} is given twice. State each figure once.")
            timings[key] = _count(group["cycles"], key, place, zero=key in _MAY_BE_ZERO)
    _exactly(timings, _TIMINGS[standard], f"{where}, timings")
    return timings


def _supply(entry: Any, standard: str, where: str) -> Supply:
    _exactly(entry, ["name", "source", "voltage_v", "currents_ma"], where)
    _text(entry, "source", where)
    currents = entry["currents_ma"]
    _exactly(currents, _CURRENTS[standard], f"{where}, currents_ma")
    return Supply(
        name=_text(entry, "name", where),
        voltage_v=_number(entry, "voltage_v", where, positive=True),
        currents_ma={key: _number(currents, key, where) for key in currents},
    )


def _mapping(content: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        raise ConfigError(f"{where}: must be a mapping, got {content!r}.")
    return content


def _exactly(content: Any, keys: Sequence[str], where: str) -> None:
    """Refuse anything but a mapping with exactly these keys."""
    for key in _mapping(content, where):
        if key not in keys:
            raise ConfigError(f"{where}: unknown key {key!r}.{did_you_mean(str(key), keys)}")
    for key in keys:
        if key not in content:
            raise ConfigError(f"{where}: {key!r} is missing. Nothing is assumed for it.")


def _list(content: Mapping[str, Any], key: str, where: str) -> list[Any]:
    value = content[key]
    if not isinstance(value, list):
        raise ConfigError(f"{where}: {key} must be a list, got {value!r}.")
    return value


def _text(content: Mapping[str, Any], key: str, where: str) -> str:
    value = content[key]
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{where}: {key} must be a text that is not empty, got {value!r}.")
    return value


def _count(content: Mapping[str, Any], key: str, where: str, *, zero: bool = False) -> int:
    value = content[key]
    if type(value) is not int or value < (0 if zero else 1):
        least = "0 or more" if zero else "1 or more"
        raise ConfigError(f"{where}: {key} must be a whole number, {least}, got {value!r}.")
    return value


def _number(content: Mapping[str, Any], key: str, where: str, *, positive: bool = False) -> float:
    value = content[key]
    legal = type(value) in (int, float) and math.isfinite(value) and value >= 0
    if not legal or (positive and value == 0):
        least = "above 0" if positive else "0 or more"
        raise ConfigError(f"{where}: {key} must be a number, {least}, got {value!r}.")
    return float(value)
