"""The hardware that mappings are searched for: an array of elements, a shared buffer and a DRAM."""

from __future__ import annotations

import math
from typing import Final

from archgym_py.checks import integer, number, require_type
from archgym_py.errors import ConfigError, InfeasibleDesign
from archgym_py.simulators.dnn.components import DRAM_WORD_BITS, Storage, mac, smart_buffer
from archgym_py.simulators.dnn.components import dram as dram_of
from archgym_py.simulators.dnn.hardware import Architecture, Compute, Level
from archgym_py.simulators.dnn.layers import TENSORS
from archgym_py.simulators.dnn.sram import MIN_WIDTH_BITS, sram

__all__ = ["DRAM", "L1", "L2", "array_architecture"]

L1, L2, DRAM = range(3)
"""Places of the levels."""

_MAX_SIDE: Final = 1024
_MAX_CHANNELS: Final = 1024
_MAX_WORDS: Final = 1 << 32
"""More words than any SRAM has; which there are `sram` knows."""


def array_architecture(
    *,
    array_x: int = 32,
    array_y: int = 32,
    l1_words: int = 256,
    l2_words: int = 65536,
    l1_bandwidth: float = 4.0,
    l2_bandwidth: float = 64.0,
    dram: str = "LPDDR4",
    dram_channels: int = 1,
    precision: str = "int16",
    clock_mhz: float = 200.0,
) -> Architecture:
    """Build the hardware: PEs with an L1 each, an L2 that they share, and a DRAM.

    The array has the 1024 PEs of the published environment, whose memories are unlimited there, so
    that every loop nest works and tiles cost nothing. Here the memories are those of the Eyeriss
    chip (Chen et al., JSSC 2017), which has half a KiB in a PE and 108 KiB shared: at 16 bits the
    default L2 holds a seventh of the default layer's 452,864 words, and an L1 a tile of some dozen
    words of each tensor. Moved at 64 words per cycle, which is 16 times less than the PEs could
    ask for, data that is not reused makes the array wait, and so does the DRAM.

    Both memories are SRAMs with an address generator and two ports, one to read and one to write,
    and an access to L2 moves 64 bits; L2 has a bank for each of the accesses that its bandwidth
    asks for. Prices are those of `components` and `sram` at 45 nm and do not depend on the clock;
    200 MHz is that of the published characterisation.

    Args:
        array_x: PEs in X.
        array_y: PEs in Y.
        l1_words: Words that the memory of a PE holds.
        l2_words: Words that the shared memory holds.
        l1_bandwidth: Words per cycle that an L1 reads, and as many that it writes.
        l2_bandwidth: Words per cycle that L2 reads, and as many that it writes.
        dram: Kind of DRAM, one of `components.DRAMS`.
        dram_channels: Channels or stacks of it; reads and writes share their bandwidth.
        precision: Number format of all words, one of `components.PRECISIONS`.
        clock_mhz: Clock, in MHz.

    Returns:
        The levels "L1", "L2" and "DRAM".

    Raises:
        ConfigError: If an argument is out of range, or there is no such SRAM.
        UnknownNameError: If there is no such DRAM or number format.

    Examples:
        >>> built = array_architecture()
        >>> built.fanout_x, built.fanout_y, round(built.area_um2 / 1e6, 2)
        ((1, 32, 1), (1, 32, 1), 6.5)
    """
    array_x = integer("array_x", array_x, 1, _MAX_SIDE)
    array_y = integer("array_y", array_y, 1, _MAX_SIDE)
    # A word of each tensor at least.
    l1_words = integer("l1_words", l1_words, len(TENSORS), _MAX_WORDS)
    l2_words = integer("l2_words", l2_words, len(TENSORS), _MAX_WORDS)
    l1_bandwidth = number("l1_bandwidth", l1_bandwidth, 0.01, 1e6)
    l2_bandwidth = number("l2_bandwidth", l2_bandwidth, 0.01, 1e6)
    dram_channels = integer("dram_channels", dram_channels, 1, _MAX_CHANNELS)
    clock_mhz = number("clock_mhz", clock_mhz, 1.0, 1e4)
    require_type("dram", dram, str)
    require_type("precision", precision, str)
    unit, memory = mac(precision), dram_of(dram)
    bits = unit.bits
    l1_block, l2_block = max(1, MIN_WIDTH_BITS // bits), DRAM_WORD_BITS // bits
    banks = 1 << math.ceil(math.log2(max(1.0, l2_bandwidth / l2_block)))
    l1 = _memory("l1_words", l1_words, l1_block, bits, 1)
    l2 = _memory("l2_words", l2_words, l2_block, bits, banks)
    burst_pj = memory.pj_per_bit * DRAM_WORD_BITS
    return Architecture(
        name="array",
        levels=(
            Level(
                name="L1",
                mesh_x=array_x,
                mesh_y=array_y,
                capacity_words=l1_words,
                block_size=l1_block,
                word_bits=bits,
                read_bandwidth=l1_bandwidth,
                write_bandwidth=l1_bandwidth,
                read_pj=l1.read_pj,
                write_pj=l1.write_pj,
                area_um2=l1.area_um2,
            ),
            Level(
                name="L2",
                capacity_words=l2_words,
                block_size=l2_block,
                word_bits=bits,
                read_bandwidth=l2_bandwidth,
                write_bandwidth=l2_bandwidth,
                read_pj=l2.read_pj,
                write_pj=l2.write_pj,
                area_um2=l2.area_um2,
            ),
            Level(
                name="DRAM",
                block_size=l2_block,
                word_bits=bits,
                shared_bandwidth=memory.words_per_cycle(clock_mhz, dram_channels, bits),
                read_pj=burst_pj,
                write_pj=burst_pj,
            ),
        ),
        compute=Compute(
            mesh_x=array_x, mesh_y=array_y, mac_pj=unit.energy_pj, area_um2=unit.area_um2
        ),
    )


def _memory(name: str, words: int, block: int, bits: int, banks: int) -> Storage:
    if words % block:
        raise ConfigError(
            f"{name} must be a multiple of the {block} words that an access moves, got {words}."
        )
    try:
        return smart_buffer(sram(words // block, block * bits, banks=banks, ports=2))
    except InfeasibleDesign as error:
        raise ConfigError(
            f"{name} = {words} cannot be built: {error} With other words, or a smaller bandwidth, "
            f"there may be fewer banks."
        ) from error
