"""On-chip SRAM, priced with CACTI 7.

The table `configs/dnn/cacti_sram.csv` holds runs of CACTI 7 in the default configuration of
Accelergy's plug-in: itrs-lstp cells and periphery, 300 K, ED^2 as the objective, "ram" as the type.
At 45 nm it covers widths of 16 to 256 bits, one or two read-write ports, 1 to 128 banks and up to
4 MiB; at 65, 32 and 22 nm one width, one port and one bank. A point of the table is returned as it
is. Between points energy, area and cycle time are interpolated linearly in the logarithms of the
words and of the width; ports and banks are not interpolated.

    >>> glb = sram(16384, 64, banks=32, ports=2)
    >>> glb.read_pj, glb.write_pj, glb.area_um2
    (74.0954, 75.166, 1162370.0)
"""

from __future__ import annotations

import csv
import math
from functools import cache, lru_cache
from importlib.resources import files
from itertools import groupby
from typing import Final, NamedTuple

from archgym_py.checks import integer
from archgym_py.errors import InfeasibleDesign
from archgym_py.simulators.dnn.components import Storage, register_file
from archgym_py.simulators.dnn.layers import MAX_COUNT
from archgym_py.simulators.dnn.scaling import check_node, interpolate, logic_area, logic_energy

__all__ = ["MAX_WIDTH_BITS", "MIN_BANK_WORDS", "MIN_WIDTH_BITS", "sram"]

MIN_BANK_WORDS: Final = 32
"""Words of the smallest of several banks; CACTI aborts below."""

MIN_WIDTH_BITS: Final = 16
"""Narrowest word of the table, in bits."""

MAX_WIDTH_BITS: Final = 256
"""Widest word of the table, in bits."""

_TABLE_NM = 45
_SCALED_WIDTH_BITS = 64  # of the rows at other nodes
_MIN_BITS = 512  # smallest memory that the plug-in gives to CACTI: 64 bytes
_MAX_BANKS, _MAX_PORTS = 128, 2


class _Figures(NamedTuple):
    """What CACTI says about a memory, as in `Storage`, or the logarithms of it."""

    read_pj: float
    write_pj: float
    area_um2: float
    cycle_ns: float


class _Curve(NamedTuple):
    """The memories of the table that differ in their words only."""

    log_words: tuple[float, ...]
    logs: tuple[tuple[float, ...], ...]  # one tuple for each field of _Figures


@lru_cache(maxsize=65536, typed=True)  # True is no 1
def sram(
    words: int, width_bits: int, *, banks: int = 1, ports: int = 1, node_nm: float = 45.0
) -> Storage:
    """Price an SRAM.

    Like the plug-in, CACTI gets nothing smaller than 64 words of 4 bytes or more: smaller memories
    cost as much. Below 64 bytes a register file takes the place of an SRAM.

    At 65, 32 and 22 nm, energies, area and cycle time are those of 45 nm times the ratio of
    CACTI's runs at the two nodes, for the same words of 64 bits; in between the ratio is
    interpolated linearly in the node. Below 22 nm, which CACTI does not reach, energy falls with
    the square root of the node and area with the node (the rule of the newer plug-in), and the
    cycle time stays that of 22 nm. Above 65 nm energy and area grow as those of logic, and the
    cycle time is unknown.

    Args:
        words: Words that it holds, over all banks.
        width_bits: Bits of a word, which one access reads or writes.
        banks: Banks, a power of 2 up to 128. An access goes to one of them.
        ports: Ports, each for reads and writes: 1 or 2.
        node_nm: Technology node, in nm.

    Returns:
        Its energy, area and cycle time.

    Raises:
        InfeasibleDesign: If there is no such memory: banks too small or too many, a word too
            narrow or too wide, or too many words.
        ConfigError: If an argument is no count or the node is out of range.

    Examples:
        >>> sram(512, 64).read_pj
        3.38552
        >>> sram(512, 64, banks=32)
        Traceback (most recent call last):
        archgym_py.errors.InfeasibleDesign: a bank of an SRAM holds at least 32 words; 512 words \
in 32 banks leave 16. Use at most 16 banks.
    """
    words, width_bits, banks, ports = _checked(words, width_bits, banks, ports)
    node_nm = check_node(node_nm)
    if words * width_bits < _MIN_BITS:
        return register_file(words, width_bits, node_nm=node_nm)
    if not MIN_WIDTH_BITS <= width_bits <= MAX_WIDTH_BITS:
        raise InfeasibleDesign(
            f"a word of an SRAM has {MIN_WIDTH_BITS} to {MAX_WIDTH_BITS} bits, got {width_bits}. "
            f"Change the words that a block holds."
        )
    narrow, wide, share = _neighbours(width_bits)
    logs = _at(ports, banks, narrow, words, width_bits)
    if share:
        wider = _at(ports, banks, wide, words, width_bits)
        logs = [(1.0 - share) * low + share * high for low, high in zip(logs, wider, strict=True)]
    # Rounding to 12 digits gives the points of the table exactly.
    figures = _Figures(*(float(f"{math.exp(value):.12g}") for value in logs))
    if node_nm == _TABLE_NM:
        return Storage(*figures)
    return _scaled(figures, words, node_nm)


def _checked(words: int, width_bits: int, banks: int, ports: int) -> tuple[int, int, int, int]:
    words = integer("words", words, 1, MAX_COUNT)
    width_bits = integer("width_bits", width_bits, 1, MAX_COUNT)
    banks = integer("banks", banks, 1, MAX_COUNT)
    ports = integer("ports", ports, 1, _MAX_PORTS)
    if banks & (banks - 1) or banks > _MAX_BANKS:
        raise InfeasibleDesign(
            f"the banks of an SRAM are a power of 2 up to {_MAX_BANKS}, got {banks}."
        )
    if banks > 1 and words < banks * MIN_BANK_WORDS:
        most = words // MIN_BANK_WORDS
        raise InfeasibleDesign(
            f"a bank of an SRAM holds at least {MIN_BANK_WORDS} words; {words} words in {banks} "
            f"banks leave {words // banks}. Use at most {max(1, most)} banks."
        )
    return words, width_bits, banks, ports


def _neighbours(width_bits: int) -> tuple[int, int, float]:
    """Return the table's widths around a width, and how far it lies from the lower one."""
    narrow = 1 << (width_bits.bit_length() - 1)
    return narrow, 2 * narrow, math.log2(width_bits / narrow)


def _at(ports: int, banks: int, column: int, words: int, width_bits: int) -> list[float]:
    """Return the logarithms of the figures on one curve, for a memory of `width_bits`."""
    log_words, rows = _curves()[_TABLE_NM, ports, banks, column]
    at = math.log2(words)
    if at > log_words[-1]:
        limit = round(2 ** log_words[-1])
        raise InfeasibleDesign(
            f"an SRAM of {width_bits} bits with {ports} port(s) and {banks} bank(s) holds at most "
            f"{limit} words, got {words}. Use a smaller one, or several."
        )
    at = max(at, log_words[0])  # CACTI builds nothing smaller
    return [interpolate(log_words, row, at) for row in rows]


def _scaled(figures: _Figures, words: int, node_nm: float) -> Storage:
    nodes = _scaled_nodes()
    inside = min(max(node_nm, nodes[0]), nodes[-1])
    ratios = [_ratios(int(node), words) for node in nodes]
    read, write, area, cycle = (
        value * interpolate(nodes, [ratio[field] for ratio in ratios], inside)
        for field, value in enumerate(figures)
    )
    if node_nm > nodes[-1]:
        energy = logic_energy(node_nm) / logic_energy(nodes[-1])
        area *= logic_area(node_nm) / logic_area(nodes[-1])
        return Storage(read * energy, write * energy, area)
    if node_nm < nodes[0]:
        shrink = node_nm / nodes[0]
        energy = math.sqrt(shrink)
        return Storage(read * energy, write * energy, area * shrink, cycle)
    return Storage(read, write, area, cycle)


@lru_cache(maxsize=4096)
def _ratios(node_nm: int, words: int) -> _Figures:
    """Return CACTI's figures at a node relative to 45 nm.

    Outside of the sizes that the table has at the node, the ratio is that of the nearest size.
    """
    if node_nm == _TABLE_NM:
        return _Figures(1.0, 1.0, 1.0, 1.0)
    log_words, rows = _curves()[node_nm, 1, 1, _SCALED_WIDTH_BITS]
    at = min(max(math.log2(words), log_words[0]), log_words[-1])
    reference_words, reference = _curves()[_TABLE_NM, 1, 1, _SCALED_WIDTH_BITS]
    return _Figures(
        *(
            math.exp(interpolate(log_words, row, at) - interpolate(reference_words, base, at))
            for row, base in zip(rows, reference, strict=True)
        )
    )


@cache
def _scaled_nodes() -> tuple[float, ...]:
    return tuple(sorted({float(node) for node, *_ in _curves()}))


@cache
def _curves() -> dict[tuple[int, int, int, int], _Curve]:
    """Return the curves of the table by node, ports, banks and width.

    The rows come from two builds of CACTI 7 in the same configuration, and all digits of their 75
    common points agree: commit 1ffd8df of its repository (one bank; two ports with 16 to 128 banks
    and 16 to 64 bits; the other nodes) and the source in the package hwcomponents-cacti 1.0.40 (all
    other banks and widths at 45 nm). Points at which CACTI aborts are not in the file.
    """
    path = files("archgym_py.configs") / "dnn" / "cacti_sram.csv"
    reader = csv.reader(path.read_text(encoding="utf-8").splitlines())
    next(reader)
    rows = sorted((tuple(map(int, row[:5])), tuple(map(float, row[5:]))) for row in reader)
    curves: dict[tuple[int, int, int, int], _Curve] = {}
    for (node, ports, banks, width), group in groupby(rows, key=lambda row: row[0][:4]):
        points = list(group)
        log_words = tuple(math.log2(key[4] * 8 // width) for key, _ in points)
        logs = zip(*(map(math.log, values) for _, values in points), strict=True)
        curves[node, ports, banks, width] = _Curve(log_words, tuple(logs))
    return curves
