"""Address maps: which address bit selects which part of the memory.

A map is a ConGen JSON file, as the DRAMSys simulator reads it: for each field of the memory a list
of address bits, least significant first, and optionally pairs of bits to be XORed first.

    >>> xor = load_address_map("kit_ddr3_xor")
    >>> decoded = xor.decode(np.array([0x12340, 0x22340], dtype=np.uint64))
    >>> decoded.bank.tolist(), decoded.row.tolist(), decoded.column.tolist()
    ([0, 3], [1, 2], [104, 104])
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from archgym_py.errors import ConfigError, UnknownNameError, did_you_mean
from archgym_py.simulators.dram.technology import Technology
from archgym_py.simulators.dram.trace import Trace

__all__ = [
    "AddressMap",
    "DecodedAddresses",
    "address_map_names",
    "address_maps_for",
    "decode_trace",
    "load_address_map",
]

_FIELDS = {
    "CHANNEL_BIT": "channel",
    "RANK_BIT": "rank",
    "BANKGROUP_BIT": "bank_group",
    "BANK_BIT": "bank",
    "ROW_BIT": "row",
    "COLUMN_BIT": "column",
    "BYTE_BIT": "byte",
}

_MAX_FIELD_BITS = 30  # decoded fields, numbered through the channel, are 32-bit integers

_TITLES = {
    "DDR3 8x1Gbx8 rbc": "am_ddr3_8x1Gbx8_dimm_p1KB_rbc",
    "DDR3 8x1Gbx8 brc": "am_ddr3_8x1Gbx8_dimm_p1KB_brc",
    "DDR4 8x4Gbx8 brc": "am_ddr4_8x4Gbx8_dimm_p1KB_brc",
    "LPDDR4 8Gbx16 brc": "am_lpddr4_8Gbx16_brc",
    "HBM2 8Gb pc brc": "am_hbm2_8Gb_pc_brc",
}
"""Other names for the maps whose file names come from DRAMSys."""


@dataclass(frozen=True, slots=True)
class DecodedAddresses:
    """Where addresses lie in the memory, int32 arrays of shape (requests,).

    Attributes:
        channel: Channel.
        rank: Rank in its channel.
        bank_group: Bank group, numbered through the channel, rank by rank.
        bank: Bank, numbered through the channel, rank by rank and group by group.
        row: Row in its bank.
        column: Column in its row.
    """

    channel: npt.NDArray[np.int32]
    rank: npt.NDArray[np.int32]
    bank_group: npt.NDArray[np.int32]
    bank: npt.NDArray[np.int32]
    row: npt.NDArray[np.int32]
    column: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class AddressMap:
    """A map from addresses to places in the memory.

    Attributes:
        name: Name of the map, or path of its file.
        channel: Address bits that select the channel, least significant first.
        rank: Those of the rank.
        bank_group: Those of the bank group.
        bank: Those of the bank in its group.
        row: Those of the row.
        column: Those of the column.
        byte: Those of the byte under a column address.
        xor: Pairs (first, second): in this order, bit `first` becomes `first` XOR `second` before
            the fields are read.

    Raises:
        ConfigError: If the bits are not 0..N-1, each of them once, or a pair is not usable.
    """

    name: str
    channel: tuple[int, ...] = ()
    rank: tuple[int, ...] = ()
    bank_group: tuple[int, ...] = ()
    bank: tuple[int, ...] = ()
    row: tuple[int, ...] = ()
    column: tuple[int, ...] = ()
    byte: tuple[int, ...] = ()
    xor: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        owner: dict[int, str] = {}
        for key, field in _FIELDS.items():
            if len(getattr(self, field)) > _MAX_FIELD_BITS:
                raise self._error(f"{key}: a field has at most {_MAX_FIELD_BITS} bits")
            for bit in getattr(self, field):
                if not 0 <= bit < 64:
                    raise self._error(f"{key}: address bit {bit} is not in 0..63")
                if bit in owner:
                    raise self._error(
                        f"{key}: address bit {bit} is already used by {owner[bit]}. Give each bit "
                        f"to one field"
                    )
                owner[bit] = key
        for bit in range(len(owner)):
            if bit not in owner:
                raise self._error(
                    f"address bit {bit} is in no field, though bit {max(owner)} is. Use every bit "
                    f"from 0 up"
                )
        for first, second in self.xor:
            for bit in (first, second):
                if bit not in owner:
                    raise self._error(f"XOR: address bit {bit} is in no field. Use a mapped bit")
            if first == second:
                raise self._error(f"XOR: bit {first} with itself is always 0. Use two bits")

    @property
    def bits(self) -> int:
        """Number of address bits; the memory holds 2**bits bytes."""
        return sum(len(getattr(self, field)) for field in _FIELDS.values())

    def mismatches(self, technology: Technology) -> tuple[str, ...]:
        """Return why the map does not fit a memory.

        Args:
            technology: The memory.

        Returns:
            A text for each field whose size differs; none if the map fits.
        """
        sizes = {
            "CHANNEL_BIT": technology.channels,
            "RANK_BIT": technology.ranks,
            "BANKGROUP_BIT": technology.bank_groups,
            "BANK_BIT": technology.banks // technology.bank_groups,
            "ROW_BIT": technology.rows,
            "COLUMN_BIT": technology.columns,
            "BYTE_BIT": technology.bytes_per_column,
        }
        return tuple(
            f"{key} has {count} bits and so {2**count} values, the memory has {size}"
            for key, size in sizes.items()
            if 2 ** (count := len(getattr(self, _FIELDS[key]))) != size
        )

    def check(self, technology: Technology) -> None:
        """Refuse a memory that the map does not fit.

        Args:
            technology: The memory.

        Raises:
            ConfigError: If a field of the map has not the size that the memory has.
        """
        mismatches = self.mismatches(technology)
        if mismatches:
            raise self._error(
                f"does not fit {technology.name}: {'; '.join(mismatches)}. Maps that fit: "
                f"{', '.join(address_maps_for(technology))}"
            )

    def congen(self) -> dict[str, Any]:
        """Return the map as the content of a ConGen file, which `load_address_map` reads back.

        Returns:
            The object of the file, ready to be written as JSON; fields without bits are left out.

        Examples:
            >>> list(load_address_map("kit_ddr3_xor").congen()["CONGEN"])
            ['XOR', 'BANK_BIT', 'ROW_BIT', 'COLUMN_BIT', 'BYTE_BIT']
        """
        fields: dict[str, Any] = {}
        if self.xor:
            fields["XOR"] = [{"FIRST": first, "SECOND": second} for first, second in self.xor]
        for key, field in _FIELDS.items():
            if bits := getattr(self, field):
                fields[key] = list(bits)
        return {"CONGEN": fields}

    def decode(self, addresses: npt.ArrayLike) -> DecodedAddresses:
        """Return where addresses lie. Bits above the memory's size are ignored, with a warning.

        Args:
            addresses: Byte addresses, shape (requests,), uint64.

        Returns:
            The place of each address.
        """
        running = np.array(addresses, dtype=np.uint64)
        beyond = running >> np.uint64(self.bits) != 0 if self.bits < 64 else np.zeros(1, dtype=bool)
        if beyond.any():
            warnings.warn(
                f"address map {self.name}: {np.count_nonzero(beyond)} of {running.size} addresses "
                f"lie beyond the memory of {self.bits} address bits, the first is "
                f"0x{int(running[beyond][0]):x}. Their upper bits are ignored.",
                stacklevel=2,
            )
        for first, second in self.xor:
            bit = (running >> np.uint64(second)) & np.uint64(1)
            running ^= bit << np.uint64(first)
        rank = _field(running, self.rank)
        bank_group = (rank << len(self.bank_group)) + _field(running, self.bank_group)
        fields = {
            "channel": _field(running, self.channel),
            "rank": rank,
            "bank_group": bank_group,
            "bank": (bank_group << len(self.bank)) + _field(running, self.bank),
            "row": _field(running, self.row),
            "column": _field(running, self.column),
        }
        for values in fields.values():
            values.flags.writeable = False  # decoded once and shared by all evaluations
        return DecodedAddresses(**fields)

    def _error(self, text: str) -> ConfigError:
        return ConfigError(f"address map {self.name}: {text}.")


def _field(addresses: npt.NDArray[np.uint64], bits: tuple[int, ...]) -> npt.NDArray[np.int32]:
    """Gather address bits into a number, run of neighbouring bits by run."""
    value = np.zeros(addresses.shape, dtype=np.uint64)
    place = 0
    while place < len(bits):
        width = 1
        while place + width < len(bits) and bits[place + width] == bits[place] + width:
            width += 1
        run = (addresses >> np.uint64(bits[place])) & np.uint64(2**width - 1)
        value |= run << np.uint64(place)
        place += width
    return value.astype(np.int32)


@lru_cache(maxsize=16)
def decode_trace(trace: Trace, address_map: AddressMap) -> DecodedAddresses:
    """Return where the requests of a trace lie; decoded once for each trace and map.

    Args:
        trace: The trace.
        address_map: The map.

    Returns:
        The place of each request, in the order of the trace.
    """
    return address_map.decode(trace.addresses)


@cache
def address_map_names() -> tuple[str, ...]:
    """Return the names of the maps that come with the library, sorted."""
    folder = files("archgym_py.configs") / "dram" / "address_maps"
    return tuple(sorted(entry.name.removesuffix(".json") for entry in folder.iterdir()))


@cache
def address_maps_for(technology: Technology) -> tuple[str, ...]:
    """Return the names of the library's maps that fit a memory, its default map first.

    Args:
        technology: The memory.

    Returns:
        Names for `load_address_map`.

    Examples:
        >>> from archgym_py.simulators.dram.technology import load_technology
        >>> address_maps_for(load_technology("HBM2"))
        ('kit_hbm2_rbc', 'am_hbm2_8Gb_pc_brc', 'kit_hbm2_rankil')
    """
    default = technology.default_address_map
    return (
        default,
        *(
            name
            for name in address_map_names()
            if name != default and not load_address_map(name).mismatches(technology)
        ),
    )


def load_address_map(name: str | os.PathLike[str]) -> AddressMap:
    """Return an address map.

    Args:
        name: Name of a map that comes with the library ("kit_ddr3_xor"), or the path of a ConGen
            JSON file, with its ending.

    Returns:
        The map.

    Raises:
        UnknownNameError: If there is neither such a map nor such a file.
        ConfigError: If the file is not a valid map.

    Examples:
        >>> load_address_map("kit_ddr3_xor").xor
        ((13, 16), (14, 17), (15, 18))
        >>> load_address_map("kit_ddr3_xro")
        Traceback (most recent call last):
        archgym_py.errors.UnknownNameError: unknown address map 'kit_ddr3_xro': it is no file \
either. Did you mean 'kit_ddr3_xor'?
    """
    text = os.fspath(name)
    own = _TITLES.get(text, text)
    if own in address_map_names():
        return _load_own(own)
    path = Path(text)
    if not path.is_file():
        known = (*address_map_names(), *_TITLES)
        raise UnknownNameError(
            f"unknown address map {text!r}: it is no file either.{did_you_mean(text, known)}"
        )
    return _parse(text, path.read_bytes())


@cache
def _load_own(name: str) -> AddressMap:
    path = files("archgym_py.configs") / "dram" / "address_maps" / f"{name}.json"
    return _parse(name, path.read_bytes())


def _parse(name: str, content: bytes) -> AddressMap:
    where = f"address map {name}"
    try:
        document = json.loads(content)
    except ValueError as error:
        raise ConfigError(f"{where}: not valid JSON: {error}.") from None
    if not isinstance(document, dict) or list(document) != ["CONGEN"]:
        raise ConfigError(
            f"{where}: must be a JSON object with the one key 'CONGEN', as of DRAMSys 4. Files of "
            f"DRAMSys 5 ('addressmapping') name the fields differently."
        )
    congen = document["CONGEN"]
    if not isinstance(congen, dict):
        raise ConfigError(f"{where}: CONGEN must be a JSON object, got {congen!r}.")
    known = (*_FIELDS, "XOR")
    for key in congen:
        if key not in known:
            raise ConfigError(f"{where}: unknown field {key!r}.{did_you_mean(key, known)}")
    return AddressMap(
        name,
        **{field: _bits(congen.get(key, []), f"{where}: {key}") for key, field in _FIELDS.items()},
        xor=_pairs(congen.get("XOR", []), f"{where}: XOR"),
    )


def _bits(value: Any, where: str) -> tuple[int, ...]:
    if not isinstance(value, list) or any(type(bit) is not int for bit in value):
        raise ConfigError(
            f"{where}: must be a list of address bits, least significant first, got {value!r}. "
            f"Write what is to be XORed as pairs under XOR."
        )
    return tuple(value)


def _pairs(value: Any, where: str) -> tuple[tuple[int, int], ...]:
    legal = isinstance(value, list) and all(
        isinstance(pair, Mapping)
        and set(pair) == {"FIRST", "SECOND"}
        and all(type(bit) is int for bit in pair.values())
        for pair in value
    )
    if not legal:
        raise ConfigError(
            f"{where}: must be a list of objects {{'FIRST': bit, 'SECOND': bit}}, got {value!r}."
        )
    return tuple((pair["FIRST"], pair["SECOND"]) for pair in value)
