"""Energy per access and area of the parts of an accelerator.

The figures are those of the published pipelines (Accelergy with its Aladdin and CACTI plug-ins),
so that published designs keep their published energies: logic from the 40/45 nm characterisation
of Aladdin (Shao et al., ISCA 2014) at a clock period of 5 ns, memories above register files from
`archgym_py.simulators.dnn.sram`. Energies are those of an access to random addresses with random
data, leakage is not included.

    >>> unit = mac("int16")
    >>> round(unit.energy_pj, 5), unit.area_um2
    (2.20035, 1239.5)
    >>> spad = smart_buffer(register_file(16, 16, per_word_area=False))
    >>> round(spad.read_pj, 5), round(spad.area_um2, 2)
    (0.25083, 414.68)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from archgym_py.checks import integer, number
from archgym_py.errors import UnknownNameError, did_you_mean
from archgym_py.simulators.dnn.layers import MAX_COUNT
from archgym_py.simulators.dnn.scaling import check_node, logic_area, logic_energy

__all__ = [
    "DRAMS",
    "DRAM_WORD_BITS",
    "PARTIAL_SUM_BITS",
    "PERIODS_NS",
    "PRECISIONS",
    "Dram",
    "Mac",
    "Storage",
    "dram",
    "mac",
    "register_file",
    "smart_buffer",
    "wire_pj_per_bit_mm",
]

# Aladdin, 40/45 nm, 5 ns: dynamic energy in pJ, area in um2.
_REGISTER_BIT_PJ, _REGISTER_BIT_UM2 = 0.009, 5.98
_COMPARATOR_PJ, _COMPARATOR_UM2 = 0.029015, 70.0  # of 32 bits
_ADDER_PJ, _ADDER_IDLE_PJ, _ADDER_UM2 = 0.0857, 0.0119, 179.0  # of 32 bits
_MULTIPLIER_PJ, _MULTIPLIER_UM2 = 8.63, 4600.0  # of 32 bits
_FP32_ADDER_PJ, _FP32_MULTIPLIER_PJ, _FP32_MAC_UM2 = 7.928, 24.4, 4120.0  # 3 pipeline stages

# Aladdin's 32-bit multiplier at the periods of PERIODS_NS: dynamic energy in pJ, area in um2.
_MULTIPLIER_AT_PJ = (12.68, 9.55, 8.8, 8.66, _MULTIPLIER_PJ)
_MULTIPLIER_AT_UM2 = (6350.0, 5140.0, 4970.0, 4620.0, _MULTIPLIER_UM2)

# Horowitz, "Computing's energy problem", ISSCC 2014, 45 nm, 0.9 V, in pJ; the areas beside these
# energies, in um2, are from Dally, "High-performance hardware for machine learning", NIPS 2015.
_ADD_PJ = {"fp16": 0.4, "fp32": 0.9}
_MULTIPLY_PJ = {"fp16": 1.1, "fp32": 3.7}
_ADD_UM2 = {"fp16": 1360.0, "fp32": 4184.0}
_MULTIPLY_UM2 = {"fp16": 1640.0, "fp32": 7700.0}
_BF16_MULTIPLIER = (8 / 11) ** 2  # significands of 8 and 11 bits, with the leading one

_ADDRESS_BITS = 16
_INTEGER_BITS: Mapping[str, int] = {"int8": 8, "int16": 16, "int32": 32}
_FLOAT_BITS: Mapping[str, int] = {"bf16": 16, "fp16": 16, "fp32": 32}

PRECISIONS: Final = (*_INTEGER_BITS, *_FLOAT_BITS)
"""Number formats that `mac` prices."""

PARTIAL_SUM_BITS: Final = 32
"""Bits of a partial sum of narrower words."""

DRAM_WORD_BITS: Final = 64
"""Bits that an access to a DRAM moves."""

PERIODS_NS: Final = (1.0, 2.0, 3.0, 4.0, 5.0)
"""Clock periods at which multipliers are characterised, in ns; `mac` takes any in between."""


@dataclass(frozen=True, slots=True)
class Storage:
    """One memory, with all of its ports and banks.

    Attributes:
        read_pj: Energy of reading one word (a block of elements), in pJ.
        write_pj: Energy of writing one word, in pJ.
        area_um2: Area, in um2.
        cycle_ns: Shortest time between two accesses of one port, in ns; None where it is unknown.
    """

    read_pj: float
    write_pj: float
    area_um2: float
    cycle_ns: float | None = None


@dataclass(frozen=True, slots=True)
class Mac:
    """One multiply-accumulate unit.

    Attributes:
        energy_pj: Energy of one operation, in pJ.
        area_um2: Area, in um2.
        bits: Bits of an operand.
    """

    energy_pj: float
    area_um2: float
    bits: int


@dataclass(frozen=True, slots=True)
class Dram:
    """One channel or stack of off-chip memory. It takes no area of the chip.

    Attributes:
        name: Name of the memory.
        pj_per_bit: Energy of reading or writing a bit, in pJ.
        bandwidth_gb_s: Peak bandwidth of one channel or stack, in GB/s (1e9 bytes per second).
        organisation: What the bandwidth belongs to.
        source: Where both figures come from.
    """

    name: str
    pj_per_bit: float
    bandwidth_gb_s: float
    organisation: str
    source: str

    def words_per_cycle(self, clock_mhz: float, channels: int, word_bits: int) -> float:
        """Return the words that all channels move in a cycle of the chip, at the peak bandwidth.

        Args:
            clock_mhz: Clock of the chip, in MHz.
            channels: Channels or stacks.
            word_bits: Bits of a word.

        Raises:
            ConfigError: If an argument is not positive.

        Examples:
            >>> dram("LPDDR4").words_per_cycle(200.0, channels=2, word_bits=16)
            64.0
        """
        clock_mhz = number("clock_mhz", clock_mhz, 1e-3, 1e6)
        channels = integer("channels", channels, 1, 2**16)
        word_bits = integer("word_bits", word_bits, 1, 2**16)
        return 8e3 * self.bandwidth_gb_s * channels / clock_mhz / word_bits


DRAMS: Mapping[str, Dram] = {
    memory.name: memory
    for memory in (
        Dram(
            "LPDDR4",
            8.0,
            12.8,
            "a channel of 32 bits at 3200 MT/s",
            "energy: Accelergy's CACTI plug-in (public data); bandwidth: JESD209-4 data rate",
        ),
        Dram(
            "DDR3",
            70.0,
            12.8,
            "a channel of 64 bits at 1600 MT/s",
            "energy: Malladi et al., ISCA 2012; bandwidth: JESD79-3 data rate",
        ),
        Dram(
            "GDDR6",
            7.5,
            64.0,
            "a device of 32 bits at 16 GT/s",
            "Micron, ultra-bandwidth solutions memory comparison: average device power, "
            "GB/s per placement",
        ),
        Dram(
            "HBM2",
            3.9,
            256.0,
            "a stack of 1024 bits at 2 GT/s",
            "energy: Chatterjee et al., MICRO 2017; bandwidth: JESD235 data rate",
        ),
        Dram(
            "HBM3",
            4.05,
            819.2,
            "a stack of 1024 bits at 6.4 GT/s",
            "energy: hwcomponents-cacti 1.0.40, whose HBM2 has 6.25 pJ/bit, so that both HBM here "
            "do not compare; bandwidth: JESD238 data rate",
        ),
    )
}
"""Memories of which both the energy and the bandwidth have a public figure.

DDR4, GDDR5, LPDDR and HBM4 are left out: one of the two figures is missing for each.
"""


@lru_cache(maxsize=4096, typed=True)  # True is no 1
def register_file(
    words: int, width_bits: int, *, node_nm: float = 45.0, per_word_area: bool = True
) -> Storage:
    """Price a register file, as Aladdin's plug-in does: registers, and a comparator per word.

    Args:
        words: Words that it holds.
        width_bits: Bits of a word.
        node_nm: Technology node, in nm.
        per_word_area: Whether every word has an area. The published model has the registers of one
            word only, however many there are.

    Returns:
        Its energy and area.

    Raises:
        ConfigError: If an argument is out of range.

    Examples:
        >>> register_file(1, 16).read_pj
        0.144
        >>> published = register_file(12, 16, per_word_area=False)
        >>> round(published.read_pj, 5), round(published.area_um2, 2)
        (0.18752, 200.68)
    """
    words = integer("words", words, 1, MAX_COUNT)
    width_bits = integer("width_bits", width_bits, 1, MAX_COUNT)
    address = words * math.ceil(math.log2(words)) / 32
    energy = _REGISTER_BIT_PJ * width_bits + _COMPARATOR_PJ * address
    stored = width_bits * (words if per_word_area else 1)
    area = _REGISTER_BIT_UM2 * stored + _COMPARATOR_UM2 * address
    energy *= logic_energy(node_nm)
    return Storage(energy, energy, area * logic_area(node_nm))


def smart_buffer(storage: Storage, *, node_nm: float = 45.0) -> Storage:
    """Return a memory with two address generators of 16 bits, one for reads and one for writes.

    In every access one of the two adders works and the other idles.

    Args:
        storage: The memory.
        node_nm: Technology node of the adders, in nm.

    Examples:
        >>> smart_buffer(Storage(1.0, 2.0, 100.0))
        Storage(read_pj=1.0488, write_pj=2.0488, area_um2=279.0, cycle_ns=None)
    """
    share = _ADDRESS_BITS / 32
    energy = (_ADDER_PJ + _ADDER_IDLE_PJ) * share * logic_energy(node_nm)
    area = 2 * _ADDER_UM2 * share * logic_area(node_nm)
    return Storage(
        storage.read_pj + energy,
        storage.write_pj + energy,
        storage.area_um2 + area,
        storage.cycle_ns,
    )


@lru_cache(maxsize=1024, typed=True)
def mac(precision: str, *, node_nm: float = 45.0, period_ns: float = 5.0) -> Mac:
    """Price a multiply-accumulate unit: a multiplier and an adder of the same format.

    Integers and fp32 are Aladdin's; an integer adder grows with the bits, a multiplier with their
    square. Aladdin has no short floats: fp16 is its fp32 times the ratio of the two formats in
    Horowitz's table, and bf16 is fp16 with a multiplier of (8/11)^2 for its shorter significand.

    A clock period of less than 5 ns takes larger and faster circuits: energy and area of the unit
    grow with those of Aladdin's 32-bit multiplier, interpolated in the period. The periods are
    those of 45 nm; at other nodes the same ratios are taken.

    Args:
        precision: Number format, one of `PRECISIONS`.
        node_nm: Technology node, in nm.
        period_ns: Clock period, in ns, from 1 to 5.

    Returns:
        Its energy and area.

    Raises:
        UnknownNameError: If there is no such format.
        ConfigError: If the node or the period is out of range.

    Examples:
        >>> round(mac("int8").energy_pj, 4), mac("int8").area_um2
        (0.5608, 332.25)
        >>> round(mac("int8", period_ns=1).energy_pj, 4)
        0.824
        >>> mac("int4")
        Traceback (most recent call last):
        archgym_py.errors.UnknownNameError: unknown precision 'int4'. Did you mean 'int8'?
    """
    period_ns = number("period_ns", period_ns, PERIODS_NS[0], PERIODS_NS[-1])
    energy_factor = logic_energy(node_nm) * _at_period(_MULTIPLIER_AT_PJ, period_ns)
    area_factor = logic_area(node_nm) * _at_period(_MULTIPLIER_AT_UM2, period_ns)
    if precision in _INTEGER_BITS:
        bits = _INTEGER_BITS[precision]
        share = bits / 32
        energy = _ADDER_PJ * share + _MULTIPLIER_PJ * share**2
        area = _ADDER_UM2 * share + _MULTIPLIER_UM2 * share**2
    elif precision in _FLOAT_BITS:
        bits = _FLOAT_BITS[precision]
        energy = (_FP32_ADDER_PJ + _FP32_MULTIPLIER_PJ) * _relative(
            precision, _ADD_PJ, _MULTIPLY_PJ
        )
        area = _FP32_MAC_UM2 * _relative(precision, _ADD_UM2, _MULTIPLY_UM2)
    else:
        raise UnknownNameError(
            f"unknown precision {precision!r}.{did_you_mean(str(precision), PRECISIONS)}"
        )
    return Mac(energy * energy_factor, area * area_factor, bits)


def dram(name: str) -> Dram:
    """Return an off-chip memory. Its energy does not depend on the node of the accelerator.

    Args:
        name: Name of the memory, one of `DRAMS`.

    Raises:
        UnknownNameError: If there is no such memory.

    Examples:
        >>> dram("LPDDR4").pj_per_bit * 64
        512.0
    """
    if name not in DRAMS:
        raise UnknownNameError(f"unknown DRAM {name!r}.{did_you_mean(str(name), DRAMS)}")
    return DRAMS[name]


def wire_pj_per_bit_mm(node_nm: float = 45.0) -> float:
    """Return the energy of moving a bit by one millimetre on chip, in pJ.

    Aladdin's plug-in: 1.627 fF/um, switched by one bit in five, at 1 V. The capacitance of a wire
    per length hardly depends on the node (Ho, Mai and Horowitz, "The future of wires", 2001), so
    at the same supply the energy is the same at all nodes.

    Args:
        node_nm: Technology node, in nm.

    Raises:
        ConfigError: If the node is out of range.

    Examples:
        >>> round(wire_pj_per_bit_mm(), 4)
        0.3254
    """
    check_node(node_nm)
    activity, farad_per_mm, supply_v = 0.2, 1.627e-12, 1.0
    return activity * farad_per_mm * supply_v**2 * 1e12


def _at_period(values: tuple[float, ...], period_ns: float) -> float:
    """Return a figure at a clock period relative to the longest."""
    return float(np.interp(period_ns, PERIODS_NS, values)) / values[-1]


def _relative(precision: str, add: Mapping[str, float], multiply: Mapping[str, float]) -> float:
    """Return the cost of a floating-point format relative to fp32."""
    if precision == "fp32":
        return 1.0
    multiplier = multiply["fp16"] * (_BF16_MULTIPLIER if precision == "bf16" else 1.0)
    return (add["fp16"] + multiplier) / (add["fp32"] + multiply["fp32"])
