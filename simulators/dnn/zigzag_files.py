"""What ZigZag reads: accelerators, layers and spatial mappings as its YAML files."""

from __future__ import annotations

from typing import Any, Final

import yaml

from archgym_py.errors import ConfigError, InfeasibleDesign
from archgym_py.simulators.dnn.hardware import Architecture, Level
from archgym_py.simulators.dnn.layers import Layer
from archgym_py.simulators.dnn.mapped import MappedLayer
from archgym_py.simulators.dnn.mapspace import Template

__all__ = ["accelerator_text", "spatial_mapping_text", "workload", "workload_text"]

_OPERANDS: Final = {"Inputs": "I1", "Weights": "I2", "Outputs": "O"}
_LOOPS: Final = {
    "N": "B", "G": "G", "M": "K", "C": "C", "P": "OX", "Q": "OY", "R": "FX", "S": "FY"
}  # fmt: skip
_EQUATION: Final = "O[b][g][k][oy][ox]+=W[g][k][c][fy][fx]*I[b][g][c][iy][ix]"

_UNLIMITED_BITS: Final = 2**16
"""Bits per cycle of a memory without a limit, more than any array here asks for."""

_DRAM_BITS: Final = 2**50
"""Size of a memory without a limit."""


def _text(content: object) -> str:
    return yaml.safe_dump(content, sort_keys=False)


def accelerator_text(architecture: Architecture, dataflow: Template) -> str:
    """Return the hardware, with the memories that the dataflow uses.

    Args:
        architecture: The accelerator.
        dataflow: Which tensors its levels keep.

    Raises:
        ConfigError: If a level serves a part of the array only.
        InfeasibleDesign: If a level moves less than a bit per cycle.
    """
    compute = architecture.compute
    memories = {
        level.name: _memory(level, rule.keep, (compute.mesh_x, compute.mesh_y))
        for level, rule in zip(architecture.levels, dataflow.rules, strict=True)
        if rule.keep
    }
    return _text(
        {
            "name": architecture.name,
            "memories": memories,
            "operational_array": {
                "unit_energy": float(compute.mac_pj),
                "unit_area": float(compute.area_um2),
                "dimensions": ["D1", "D2"],
                "sizes": [compute.mesh_x, compute.mesh_y],
            },
        }
    )


def _memory(level: Level, keep: tuple[str, ...], array: tuple[int, int]) -> dict[str, Any]:
    """Return a level as ZigZag's memory.

    ZigZag prices an access of the widest that a port moves in a cycle, and counts parts of it in
    steps of the narrowest: here a block of the level.

    Raises:
        ConfigError: If the level serves a part of the array only.
    """
    mesh = (level.mesh_x, level.mesh_y)
    if mesh not in ((1, 1), array):
        raise ConfigError(
            f"level {level.name!r} has {mesh[0]} x {mesh[1]} instances for {array[0]} x {array[1]} "
            f"multipliers; only one for all or one for each can be written for ZigZag."
        )
    shared = level.shared_bandwidth
    read_bits = _bits_per_cycle(level, shared if shared is not None else level.read_bandwidth)
    write_bits = _bits_per_cycle(level, shared if shared is not None else level.write_bandwidth)
    block_bits = level.block_size * level.word_bits
    ways = {
        tensor: ("fh", "tl", "fl", "th") if tensor == "Outputs" else ("fh", "tl") for tensor in keep
    }
    served = {
        way: [f"{_OPERANDS[t]}, {each}" for t in keep for each in ways[t] if each[0] == way]
        for way in "tf"
    }

    def port(name: str, kind: str, bits: int, allocation: list[str]) -> dict[str, Any]:
        return {
            "name": name,
            "type": kind,
            "bandwidth_min": min(block_bits, bits),
            "bandwidth_max": bits,
            "allocation": allocation,
        }

    if shared is not None:
        ports = [port("rw_port_1", "read_write", read_bits, served["f"] + served["t"])]
    else:
        ports = [
            port("r_port_1", "read", read_bits, served["t"]),
            port("w_port_1", "write", write_bits, served["f"]),
        ]
    words = level.capacity_words
    return {
        "size": _DRAM_BITS if words is None else words * level.word_bits,
        "r_cost": level.read_pj * read_bits / block_bits,
        "w_cost": level.write_pj * write_bits / block_bits,
        "area": float(level.area_um2),
        "latency": 1,
        "operands": [_OPERANDS[tensor] for tensor in keep],
        "ports": ports,
        "served_dimensions": ["D1", "D2"] if mesh == (1, 1) else [],
    }


def _bits_per_cycle(level: Level, words: float | None) -> int:
    if words is None:
        return max(_UNLIMITED_BITS, level.block_size * level.word_bits)
    bits = int(words * level.word_bits)
    if bits < 1:
        raise InfeasibleDesign(
            f"level {level.name!r} moves {words:g} words per cycle, less than a bit: ZigZag has no "
            f"such memory."
        )
    return bits


def workload(layer: Layer, architecture: Architecture) -> list[dict[str, Any]]:
    """Return a layer as ZigZag has it.

    Args:
        layer: The layer.
        architecture: The accelerator: operands are as wide as the words of its outermost level,
            partial sums as those of its innermost one.
    """
    bits, sum_bits = architecture.levels[-1].word_bits, architecture.levels[0].word_bits
    content = {
        "id": 0,
        "name": "layer",
        "operator_type": "Conv",
        "equation": _EQUATION,
        "dimension_relations": [
            f"ix={layer.stride_p}*ox+{layer.dilation_r}*fx",
            f"iy={layer.stride_q}*oy+{layer.dilation_s}*fy",
        ],
        "loop_dims": list(_LOOPS.values()),
        "loop_sizes": [getattr(layer, dim) for dim in _LOOPS],
        "operand_precision": {"I": bits, "W": bits, "O": sum_bits, "O_final": bits},
        "operand_source": {"I": 0, "W": 0},
    }
    return [content]


def workload_text(layer: Layer, architecture: Architecture) -> str:
    """Return `workload` as YAML.

    Args:
        layer: The layer.
        architecture: The accelerator.
    """
    return _text(workload(layer, architecture))


def spatial_mapping_text(mapped: MappedLayer) -> str:
    """Return how a layer is spread over the array.

    Args:
        mapped: The layer and its mapping.
    """
    sides: list[dict[str, int]] = [{}, {}]
    for level in mapped.mapping.levels:
        for side, factors in zip(sides, (level.spatial_x, level.spatial_y), strict=True):
            for dim, factor in factors:
                if factor > 1:
                    side[_LOOPS[dim]] = side.get(_LOOPS[dim], 1) * factor
    spatial = {
        name: [f"{loop}, {factor}" for loop, factor in (side or {"B": 1}).items()]
        for name, side in zip(("D1", "D2"), sides, strict=True)
    }
    links = {"O": "O", "W": _OPERANDS["Weights"], "I": _OPERANDS["Inputs"]}
    return _text([{"name": "default", "spatial_mapping": spatial, "memory_operand_links": links}])
