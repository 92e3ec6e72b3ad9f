"""A larger space of accelerators: array, buffers, bandwidths, DRAM, dataflow, number format, node.

The template has five levels, the innermost first: a register file in every processing element for
outputs, weights and inputs each (none if its size is 0), a global buffer and DRAM. The four
dataflows are the classes of Chen et al. (ISCA 2016): they differ in what is spread over the array
and in which tensor stays in place while the global buffer sends the next tiles. In every one each
loop may also run at an outer level, so that a design without a legal mapping is rare.

    >>> EXTENDED.space.size
    43740000000
    >>> machine = EXTENDED.build(EXTENDED.space.default())
    >>> [level.name for level in machine.architecture.levels]
    ['output_rf', 'weight_rf', 'input_rf', 'GLB', 'DRAM']
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import product
from typing import Any, Final

from archgym_py.simulators.dnn.components import (
    DRAM_WORD_BITS,
    DRAMS,
    PARTIAL_SUM_BITS,
    dram,
    mac,
    register_file,
    smart_buffer,
)
from archgym_py.simulators.dnn.hardware import Architecture, Compute, Level
from archgym_py.simulators.dnn.mapspace import ALL_DIMS, LevelRule, Template
from archgym_py.simulators.dnn.performance import Limits
from archgym_py.simulators.dnn.platforms import Machine, Platform
from archgym_py.simulators.dnn.sram import sram
from archgym_py.space import Choice, Ordinal, ParameterSpace

__all__ = ["EXTENDED"]

_SIDES = (4, 8, 12, 14, 16, 24, 28, 32, 48, 64)
_RF_WORDS = (0, 4, 8, 16, 32, 64, 128, 256, 512)
_GLB_KIB = (16, 32, 64, 128, 256, 512, 1024, 2048)
_GLB_BLOCKS = (4, 8)
_GLB_BANDWIDTHS = (4, 8, 16, 32, 64)
_CHANNELS = (1, 2, 4)
_PRECISIONS = ("int8", "int16", "bf16", "fp16", "fp32")
_NODES_NM = (7, 14, 22, 32, 45)
_CLOCKS_MHZ = (200, 400, 600, 800, 1000)

_SLACK: Final = 2.0
"""Factor for prices between those of the corners, which do not rise quite steadily."""

_DATAFLOWS: Final[Mapping[str, tuple[str, str, str]]] = {
    # what is spread in X, what in Y, and the order of the global buffer's loops, inside out
    "row_stationary": ("MQG", "SCM", "QRSCPNMG"),
    "weight_stationary": ("MG", "CRS", "NPQRSCMG"),
    "output_stationary": ("PMG", "QN", "CRSNPQMG"),
    "input_stationary": ("CG", "PQ", "MRSNPQCG"),
}

_SPACE: Final = ParameterSpace(
    (
        Choice("dataflow", tuple(_DATAFLOWS), doc="what stays in place"),
        Ordinal("array_x", _SIDES, default=14, doc="processing elements in X"),
        Ordinal("array_y", _SIDES, default=12, doc="processing elements in Y"),
        Ordinal("weight_rf_words", _RF_WORDS, default=256, doc="weights in an element"),
        Ordinal("input_rf_words", _RF_WORDS, default=16, doc="inputs in an element"),
        Ordinal("output_rf_words", _RF_WORDS, default=16, doc="partial sums in an element"),
        Ordinal("glb_kib", _GLB_KIB, default=128, doc="size of the global buffer", unit="KiB"),
        Ordinal("glb_block_size", _GLB_BLOCKS, default=4, doc="words of an access to it"),
        Ordinal(
            "glb_bandwidth",
            _GLB_BANDWIDTHS,
            default=16,
            doc="words that it reads, and writes, in a cycle",
            unit="words/cycle",
        ),
        Choice("dram", tuple(DRAMS), default="LPDDR4", doc="kind of DRAM"),
        Ordinal("dram_channels", _CHANNELS, default=1, doc="channels or stacks of it"),
        Choice("precision", _PRECISIONS, default="int16", doc="number format"),
        Ordinal("node_nm", _NODES_NM, default=45, doc="technology node", unit="nm"),
        Ordinal("clock_mhz", _CLOCKS_MHZ, default=200, doc="clock", unit="MHz"),
    )
)


def _build(design: Mapping[str, Any]) -> Machine:
    """Build the accelerator of a design."""
    x, y, node = design["array_x"], design["array_y"], design["node_nm"]
    unit = mac(design["precision"], node_nm=node, period_ns=1e3 / design["clock_mhz"])
    bits = unit.bits
    files = [
        _register_level(f"{tensor}_rf", design[f"{tensor}_rf_words"], width, (x, y), node)
        for tensor, width in (("output", PARTIAL_SUM_BITS), ("weight", bits), ("input", bits))
    ]
    block = design["glb_block_size"]
    words = design["glb_kib"] * 8192 // (block * bits)
    buffer = smart_buffer(sram(words, block * bits, node_nm=node), node_nm=node)
    memory = dram(design["dram"])
    access_pj = memory.pj_per_bit * DRAM_WORD_BITS
    architecture = Architecture(
        name="extended",
        levels=(
            *files,
            Level(
                name="GLB",
                capacity_words=words * block,
                block_size=block,
                word_bits=bits,
                read_bandwidth=design["glb_bandwidth"],
                write_bandwidth=design["glb_bandwidth"],
                read_pj=buffer.read_pj,
                write_pj=buffer.write_pj,
                area_um2=buffer.area_um2,
            ),
            Level(
                name="DRAM",
                block_size=DRAM_WORD_BITS // bits,
                word_bits=bits,
                shared_bandwidth=memory.words_per_cycle(
                    design["clock_mhz"], design["dram_channels"], bits
                ),
                read_pj=access_pj,
                write_pj=access_pj,
            ),
        ),
        compute=Compute(mesh_x=x, mesh_y=y, mac_pj=unit.energy_pj, area_um2=unit.area_um2),
    )
    kept = tuple(design[f"{tensor}_rf_words"] > 0 for tensor in ("output", "weight", "input"))
    return Machine(architecture, _template(design["dataflow"], kept), float(design["clock_mhz"]))


def _register_level(
    name: str, words: int, bits: int, mesh: tuple[int, int], node_nm: float
) -> Level:
    """Return a register file in every element; one of no words is only a place in the hierarchy."""
    if words == 0:
        return Level(name=name, mesh_x=mesh[0], mesh_y=mesh[1], word_bits=bits)
    cost = smart_buffer(register_file(words, bits, node_nm=node_nm), node_nm=node_nm)
    return Level(
        name=name,
        mesh_x=mesh[0],
        mesh_y=mesh[1],
        capacity_words=words,
        word_bits=bits,
        read_pj=cost.read_pj,
        write_pj=cost.write_pj,
        area_um2=cost.area_um2,
    )


@lru_cache(maxsize=64)
def _template(dataflow: str, kept: tuple[bool, ...]) -> Template:
    """Return the mappings of a dataflow; `kept` says which register files there are."""
    spread_x, spread_y, order = _DATAFLOWS[dataflow]
    outputs, weights, inputs = (
        (tensor,) if there else ()
        for tensor, there in zip(("Outputs", "Weights", "Inputs"), kept, strict=True)
    )
    return Template(
        dataflow,
        (
            LevelRule(keep=outputs, temporal="M", order="MNGCPQRS"),
            LevelRule(keep=weights, temporal="CRS", order="SRCNGMPQ"),
            LevelRule(keep=inputs, temporal="PQ", order="PQNGMCRS"),
            LevelRule(temporal=ALL_DIMS, spatial_x=spread_x, spatial_y=spread_y, order=order),
            LevelRule(temporal=ALL_DIMS),
        ),
    )


def _limits() -> Limits:
    """Return the limits of the space, from its extreme prices.

    Prices rise with sizes, nodes and clocks but for CACTI's jumps between organisations, which
    `_SLACK` covers.
    """
    units = [
        mac(precision, node_nm=node, period_ns=1e3 / clock)
        for precision, node, clock in product(_PRECISIONS, _NODES_NM, _CLOCKS_MHZ)
    ]
    design = _SPACE.default()
    low, high = {}, {}
    for parameter in _SPACE.parameters:
        if isinstance(parameter, Ordinal):
            low[parameter.name], high[parameter.name] = parameter.values[0], parameter.values[-1]
    small = _build({**design, **low, "precision": "int8"}).architecture
    large = _build({**design, **high, "precision": "fp32"}).architecture
    energies = [memory.pj_per_bit for memory in DRAMS.values()]
    narrow, wide = small.levels[-1].word_bits, large.levels[-1].word_bits
    slowest = min(m.words_per_cycle(_CLOCKS_MHZ[-1], 1, wide) for m in DRAMS.values())
    glb = small.levels[-2]
    return Limits(
        units=_SIDES[-1] ** 2,
        clock_mhz=(_CLOCKS_MHZ[0], _CLOCKS_MHZ[-1]),
        mac_pj=(min(u.energy_pj for u in units), max(u.energy_pj for u in units)),
        access_pj=_SLACK
        * (
            max(energies) * DRAM_WORD_BITS
            + sum(max(level.read_pj, level.write_pj) for level in large.levels)
        ),
        shared_pj=min(glb.read_pj, glb.write_pj) / glb.block_size / _SLACK,
        dram_pj=min(energies) * narrow,
        bandwidth=min(_GLB_BANDWIDTHS[0], slowest),
        area_mm2=(small.area_um2 / 1e6 / _SLACK, large.area_um2 / 1e6 * _SLACK),
        word_bytes=(1.0, 4.0),
    )


EXTENDED: Final = Platform("extended", _SPACE, _build, _limits())
"""The space: about 4.4e10 designs. Its default is like the published Eyeriss."""
