"""The published Simba-like accelerator, at 45 nm.

The structure is that of the simba-like baseline design of Timeloop and Accelergy as of 2022, after
Simba (Shao et al., MICRO 2019): 16 processing elements (PEs), each with a buffer of inputs and four
lanes, each lane with buffers of weights and of sums and four multipliers of 8 bits. The dataflow is
`archgym_py.simulators.dnn.dataflows.SIMBA`.

    >>> SIMBA_ARCHITECTURE.compute.instances, round(SIMBA_ARCHITECTURE.area_um2 / 1e6, 3)  # mm2
    (256, 11.687)
    >>> [level.instances for level in SIMBA_ARCHITECTURE.levels]
    [256, 64, 64, 16, 1, 1]
"""

from __future__ import annotations

from typing import Final

from archgym_py.simulators.dnn.components import (
    DRAM_WORD_BITS,
    Storage,
    dram,
    mac,
    register_file,
    smart_buffer,
)
from archgym_py.simulators.dnn.hardware import Architecture, Compute, Level
from archgym_py.simulators.dnn.sram import sram

__all__ = ["SIMBA_ARCHITECTURE", "WORD_BITS"]

WORD_BITS: Final = 8
"""Bits of an element of inputs and weights; sums have three times as many."""

_PES, _LANES, _WIDTH = 16, 4, 4  # PEs in X, lanes of a PE and multipliers of a lane in Y
_BLOCK = DRAM_WORD_BITS // WORD_BITS  # words that an access of DRAM, inputs or weights moves
_GLB_BLOCK = 32
_CLASS_BITS = 16  # the width that the published pipeline prices where it does not read the design's

# No component of the pipeline gives this: the energy that the tool's results imply, per word.
_WEIGHT_REGISTER_PJ = 0.0076407428
_WEIGHT_REGISTER_UM2 = 5.98  # a register of one bit


def _level(
    name: str, mesh: tuple[int, int], words: int, block: int, cost: Storage, bits: int = WORD_BITS
) -> Level:
    return Level(
        name=name,
        mesh_x=mesh[0],
        mesh_y=mesh[1],
        capacity_words=words,
        block_size=block,
        word_bits=bits,
        read_pj=cost.read_pj,
        write_pj=cost.write_pj,
        area_um2=cost.area_um2,
    )


def _registers(depth: int, width: int) -> Storage:
    return smart_buffer(register_file(depth, width, per_word_area=False))


def _build() -> Architecture:
    lanes, multipliers = (_PES, _LANES), (_PES, _LANES * _WIDTH)
    weight_register = Storage(_WEIGHT_REGISTER_PJ, _WEIGHT_REGISTER_PJ, _WEIGHT_REGISTER_UM2)
    shared = smart_buffer(sram(2048, WORD_BITS * _GLB_BLOCK, banks=4, ports=2))
    unit = mac(f"int{WORD_BITS}")
    burst_pj = dram("LPDDR4").pj_per_bit * DRAM_WORD_BITS
    return Architecture(
        name="simba",
        levels=(
            _level("PEWeightRegs", multipliers, 1, 1, weight_register),
            _level("PEAccuBuffer", lanes, 128, 1, _registers(128, _CLASS_BITS), 3 * WORD_BITS),
            _level("PEWeightBuffer", lanes, 4096 * _BLOCK, _BLOCK, _registers(4096, _CLASS_BITS)),
            _level(
                "PEInputBuffer",
                (_PES, 1),
                8192 * _BLOCK,
                _BLOCK,
                _registers(8192, WORD_BITS * _BLOCK),
            ),
            _level("GlobalBuffer", (1, 1), 2048 * _GLB_BLOCK, _GLB_BLOCK, shared),
            Level(
                name="DRAM",
                block_size=_BLOCK,
                word_bits=WORD_BITS,
                read_pj=burst_pj,
                write_pj=burst_pj,
            ),
        ),
        compute=Compute(
            mesh_x=multipliers[0],
            mesh_y=multipliers[1],
            mac_pj=unit.energy_pj,
            area_um2=unit.area_um2,
        ),
    )


SIMBA_ARCHITECTURE: Final = _build()
"""The accelerator of the baseline design, priced as the published pipeline does.

The shared buffer is an SRAM; the buffers of inputs, weights and sums are priced as register files,
those of weights and sums with the width that their class has by default. Bandwidths have no limit.
"""
