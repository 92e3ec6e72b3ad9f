"""The published Eyeriss-like accelerator: its 26 parameters and what they build.

The template is that of the eyeriss-like baseline design of Timeloop and Accelergy, and the
parameters and their values are those of ArchGym's TimeloopGym (Krishnan et al., ISCA 2023). Seen
from the multipliers it has the scratchpads of a processing element (PE) for partial sums, weights
and inputs, a buffer that holds nothing and only forms a row of PEs, a shared buffer, and LPDDR4.

    >>> EYERISS_SPACE.size
    2154550209231716352
    >>> round(PUBLISHED_DEFAULT.area_um2 / 1e6, 3)  # mm2
    2.026
    >>> built = eyeriss_architecture(EYERISS_SPACE.default(), pricing="granted")
    >>> [level.name for level in built.levels]
    ['psum_spad', 'weights_spad', 'ifmap_spad', 'DummyBuffer', 'shared_glb', 'DRAM']
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, cast, get_args

from archgym_py.errors import ConfigError, did_you_mean
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
from archgym_py.space import Choice, Ordinal, Parameter, ParameterSpace, Value

__all__ = [
    "BUFFER_CLASSES",
    "EYERISS_SPACE",
    "PUBLISHED_DEFAULT",
    "PUBLISHED_DESIGN",
    "WORD_BITS",
    "Pricing",
    "eyeriss_architecture",
]

Pricing: TypeAlias = Literal["published", "granted"]

WORD_BITS: Final = 16
"""Bits of an element of every tensor."""

BUFFER_CLASSES: Final = ("regfile", "smartbuffer_RF", "smartbuffer_SRAM", "SRAM")
"""What a buffer can be: registers or SRAM, the "smart" ones with address generators."""

_ROWS = 14  # instances of the dummy buffer, whatever the mesh
_BLOCK_SIZES = (1, 2, 4)
_BANDWIDTHS = (2, 4, 8, 16)
_DEPTHS = tuple(2**exponent for exponent in range(1, 17))
_GLB_DEPTHS = tuple(2**exponent for exponent in range(10, 17))

# The sizes that the published pipeline prices where a class does not read the size of the design.
_CLASS_REGFILE_WORDS = 1
_CLASS_SMART_WORDS = 12
_CLASS_SRAM_WORDS, _CLASS_SRAM_BITS = 512, 64
# Up to here Aladdin's plug-in prices an SRAM as a register file.
_SMALL_SRAM_WORDS, _SMALL_SRAM_BITS = 128, 16
# What the pipeline falls back to where no plug-in knows a component: one unit of everything.
_MIN_CACTI_BITS = 512  # 64 bytes
_UNPRICED = Storage(1.0, 1.0, 1.0)


def _buffer(prefix: str, what: str, kind: str, depth: int) -> tuple[Parameter, ...]:
    """Return the parameters that all buffers have."""
    return (
        Choice(f"{prefix}_class", BUFFER_CLASSES, default=kind, doc=f"circuit of {what}"),
        Ordinal(f"{prefix}_depth", _DEPTHS, default=depth, doc=f"blocks that {what} holds"),
        _block_size(prefix, what, 1),
    )


def _block_size(prefix: str, what: str, default: int) -> Parameter:
    doc = f"words of 16 bits that an access of {what} moves"
    return Ordinal(f"{prefix}_block_size", _BLOCK_SIZES, default=default, doc=doc)


def _bandwidths(prefix: str, what: str, default: int) -> tuple[Parameter, ...]:
    unit = "words/cycle"
    return tuple(
        Ordinal(
            f"{prefix}_{way}_bandwidth",
            _BANDWIDTHS,
            default=default,
            doc=f"{way} bandwidth of {what}",
            unit=unit,
        )
        for way in ("read", "write")
    )


def _space() -> ParameterSpace:
    ifmap, psum, weights = "the input scratchpad", "the sum scratchpad", "the weight scratchpad"
    dummy, glb = "the dummy buffer", "the shared buffer"
    return ParameterSpace(
        (
            Ordinal("n_pes", tuple(range(14, 337, 14)), default=168, doc="processing elements"),
            Ordinal("mesh_x", (2, 7, 14), default=14, doc="columns of the array"),
            *_buffer("ifmap", ifmap, "smartbuffer_RF", 16),
            *_bandwidths("ifmap", ifmap, 2),
            *_buffer("psum", psum, "smartbuffer_RF", 16),
            *_bandwidths("psum", psum, 2),
            *_buffer("weights", weights, "smartbuffer_SRAM", 256),
            *_bandwidths("weights", weights, 2),
            *_buffer("dummy", dummy, "regfile", 16),
            Choice(
                "glb_class", BUFFER_CLASSES, default="smartbuffer_SRAM", doc=f"circuit of {glb}"
            ),
            Ordinal("glb_depth", _GLB_DEPTHS, default=16384, doc=f"blocks that {glb} holds"),
            Ordinal("glb_banks", (16, 32, 64, 128), default=32, doc=f"banks of {glb}"),
            _block_size("glb", glb, 4),
            *_bandwidths("glb", glb, 16),
        )
    )


EYERISS_SPACE: Final = _space()
"""The published space: 26 parameters in the published order, about 2.15e18 designs.

The default is the published default design but for two depths, which its own lists do not have:
12 blocks of inputs and 192 of weights became the next larger ones, 16 and 256, so that whatever
fits the published design fits the default.
"""

PUBLISHED_DESIGN: Final[Mapping[str, Value]] = {
    **EYERISS_SPACE.default(),
    "ifmap_depth": 12,
    "weights_depth": 192,
}
"""The published default design, which is not a member of the published space."""


def eyeriss_architecture(
    design: Mapping[str, Value], *, pricing: Pricing = "published"
) -> Architecture:
    """Build the accelerator of a design, at 45 nm.

    The published pipeline does not price every buffer as the design has it. The classes "regfile"
    and "SRAM" of scratchpads and of the shared buffer ignore depth and width, and so do the smart
    classes of the dummy buffer: they cost what the class costs by default, while the design may
    use all of the capacity that it asks for. A register file has the area of one word. An SRAM of
    less than 64 bytes costs 1 pJ if its words are wider than 16 bits, as no plug-in knows it.

    Args:
        design: A value for every parameter of `EYERISS_SPACE`. Depths may also lie between those of
            the space.
        pricing: "published" for all of that, and "granted" for prices of what the design gets:
            depth and width, with an area for every word.

    Returns:
        The accelerator, its levels from the innermost to the outermost. Words have 16 bits, an
        access moves the block of its level, and the dummy buffer and DRAM have no limits of their
        bandwidth.

    Raises:
        InfeasibleDesign: If there is no SRAM as a buffer asks for, such as banks of less than 32
            words.
        ConfigError: If there is no such pricing.
    """
    given: object = pricing
    if not (isinstance(given, str) and given in get_args(Pricing)):
        raise ConfigError(
            f"unknown pricing {pricing!r}.{did_you_mean(str(pricing), get_args(Pricing))}"
        )
    n_pes, mesh_x = _int(design, "n_pes"), _int(design, "mesh_x")
    pes = (mesh_x, n_pes // mesh_x)
    unit = mac(f"int{WORD_BITS}")
    burst_pj = dram("LPDDR4").pj_per_bit * DRAM_WORD_BITS
    return Architecture(
        name="eyeriss",
        levels=(
            _level("psum_spad", "psum", design, pes, pricing),
            _level("weights_spad", "weights", design, pes, pricing),
            _level("ifmap_spad", "ifmap", design, pes, pricing),
            _level("DummyBuffer", "dummy", design, (mesh_x, _ROWS // mesh_x), pricing),
            _level("shared_glb", "glb", design, (1, 1), pricing),
            Level(
                name="DRAM",
                block_size=DRAM_WORD_BITS // WORD_BITS,
                word_bits=WORD_BITS,
                read_pj=burst_pj,
                write_pj=burst_pj,
            ),
        ),
        compute=Compute(
            mesh_x=pes[0], mesh_y=pes[1], mac_pj=unit.energy_pj, area_um2=unit.area_um2
        ),
    )


def _level(
    name: str, prefix: str, design: Mapping[str, Value], mesh: tuple[int, int], pricing: Pricing
) -> Level:
    kind = cast(str, design[f"{prefix}_class"])
    depth, block_size = _int(design, f"{prefix}_depth"), _int(design, f"{prefix}_block_size")
    banks = _int(design, "glb_banks") if prefix == "glb" else 1
    if pricing == "granted":
        cost = _granted(kind, depth, block_size * WORD_BITS, banks)
    else:
        cost = _published(kind, depth, block_size * WORD_BITS, banks, dummy=prefix == "dummy")
    limited = prefix != "dummy"
    return Level(
        name=name,
        mesh_x=mesh[0],
        mesh_y=mesh[1],
        capacity_words=depth * block_size,
        block_size=block_size,
        word_bits=WORD_BITS,
        read_bandwidth=_int(design, f"{prefix}_read_bandwidth") if limited else None,
        write_bandwidth=_int(design, f"{prefix}_write_bandwidth") if limited else None,
        read_pj=cost.read_pj,
        write_pj=cost.write_pj,
        area_um2=cost.area_um2,
    )


def _granted(kind: str, depth: int, width: int, banks: int) -> Storage:
    """Price a buffer as the design has it; the smart classes have two ports, as published."""
    if kind == "regfile":
        return register_file(depth, width)
    if kind == "smartbuffer_RF":
        return smart_buffer(register_file(depth, width))
    if kind == "SRAM":
        return sram(depth, width, banks=banks)
    return smart_buffer(sram(depth, width, banks=banks, ports=2))


def _published(kind: str, depth: int, width: int, banks: int, *, dummy: bool) -> Storage:
    """Price a buffer as the published pipeline does."""
    if kind == "regfile":
        words, bits = (depth, width) if dummy else (_CLASS_REGFILE_WORDS, WORD_BITS)
        return register_file(words, bits, per_word_area=False)
    if kind == "SRAM":
        if dummy:
            return _published_sram(depth, width, banks, ports=1)
        return sram(_CLASS_SRAM_WORDS, _CLASS_SRAM_BITS, banks=banks)
    if dummy:
        depth, width = _CLASS_SMART_WORDS, WORD_BITS
    if kind == "smartbuffer_RF":
        return smart_buffer(register_file(depth, width, per_word_area=False))
    return smart_buffer(_published_sram(depth, width, banks, ports=2))


def _published_sram(depth: int, width: int, banks: int, *, ports: int) -> Storage:
    if depth <= _SMALL_SRAM_WORDS and width <= _SMALL_SRAM_BITS:
        return register_file(depth, width, per_word_area=False)
    if depth * width < _MIN_CACTI_BITS:
        return _UNPRICED
    return sram(depth, width, banks=banks, ports=ports)


def _int(design: Mapping[str, Value], name: str) -> int:
    return cast(int, design[name])


PUBLISHED_DEFAULT: Final = eyeriss_architecture(PUBLISHED_DESIGN)
"""The accelerator of the published default design: 29,206 uJ and 2.03 mm2 on AlexNet as found."""
