"""What Timeloop reads: hardware, prices, layers and mappings as its YAML files.

The files are those of Timeloop's own binaries (revision 4cf6d4c of 2025), which its Python front
end writes too. The prices are given as Accelergy's tables, so that Accelergy is not needed.

    >>> from archgym_py.simulators.dnn.layers import Layer
    >>> print(problem_file(Layer(name="fc", op="gemm", M=8, C=6)).splitlines()[0])
    problem:
"""

from __future__ import annotations

import math
from typing import Any, Final

import yaml

from archgym_py.simulators.dnn.hardware import Architecture, Level
from archgym_py.simulators.dnn.layers import DIMS, TENSORS, Layer
from archgym_py.simulators.dnn.model import Mapping

__all__ = ["ARCHITECTURE_FILES", "MAPPING_FILE", "PROBLEM_FILE", "architecture_files",
           "mapping_file", "problem_file"]  # fmt: skip

ARCHITECTURE_FILES: Final = ("arch.yaml", "ERT.yaml", "ART.yaml")
"""Names of the files of `architecture_files`, in the order in which they are given to the tool."""

PROBLEM_FILE: Final = "problem.yaml"
MAPPING_FILE: Final = "mapping.yaml"

_VERSION: Final = "0.4"  # of the tables and the tree, not of the tool
_ROOT: Final = "system"
_PROJECTIONS: Final = {
    "Weights": [[["G"]], [["M"]], [["C"]], [["R"]], [["S"]]],
    "Inputs": [
        [["N"]],
        [["G"]],
        [["C"]],
        [["R", "dilation_r"], ["P", "stride_p"]],
        [["S", "dilation_s"], ["Q", "stride_q"]],
    ],
    "Outputs": [[["N"]], [["G"]], [["M"]], [["Q"]], [["P"]]],
}
_COEFFICIENTS: Final = ("stride_p", "stride_q", "dilation_r", "dilation_s")


def architecture_files(architecture: Architecture) -> dict[str, str]:
    """Return the hardware, its energies (ERT, in pJ) and areas (ART, in um2) by file name.

    All instances of a level lie side by side in X. Where they are in X and where in Y makes no
    difference to what is counted, but a dimension that is spread over both sides has no place in
    Timeloop's mappings.

    Args:
        architecture: The accelerator.
    """
    compute = architecture.compute
    outermost = architecture.levels[-1]
    parts = [_storage(level, level is outermost) for level in reversed(architecture.levels)]
    parts.append(
        {
            "name": _instances(compute.name, compute.instances),
            "class": "intmac",
            "attributes": {
                "datawidth": architecture.levels[0].word_bits,
                "meshX": compute.instances,
                "meshY": 1,
            },
        }
    )
    energies = {
        _instances(level.name, level.instances): {
            "read": level.read_pj,
            "write": level.write_pj,
            "update": level.write_pj,
            "leak": 0.0,
        }
        for level in reversed(architecture.levels)
    }
    # The action has had both names.
    energies[_instances(compute.name, compute.instances)] = {
        "compute": compute.mac_pj,
        "mac": compute.mac_pj,
        "leak": 0.0,
    }
    areas = {_instances(each.name, each.instances): each.area_um2 for each in architecture.levels}
    areas[_instances(compute.name, compute.instances)] = compute.area_um2
    tree = {"version": _VERSION, "subtree": [{"name": _ROOT, "local": parts}]}
    ert = [
        {
            "name": f"{_ROOT}.{name}",
            "actions": [
                {"name": action, "arguments": {}, "energy": float(energy)}
                for action, energy in actions.items()
            ],
        }
        for name, actions in energies.items()
    ]
    art = [{"name": f"{_ROOT}.{name}", "area": float(area)} for name, area in areas.items()]
    contents = (
        {"architecture": tree},
        {"ERT": {"version": _VERSION, "tables": ert}},
        {"ART": {"version": _VERSION, "tables": art}},
    )
    return dict(zip(ARCHITECTURE_FILES, map(_text, contents), strict=True))


def problem_file(layer: Layer) -> str:
    """Return a layer.

    Args:
        layer: The layer.
    """
    spaces = [
        {"name": tensor, "projection": _PROJECTIONS[tensor], "read_write": tensor == "Outputs"}
        for tensor in TENSORS
    ]
    shape = {
        "name": "layer",
        "dimensions": list(DIMS),
        "coefficients": [{"name": name, "default": 1} for name in _COEFFICIENTS],
        "data_spaces": spaces,
    }
    instance = {name: getattr(layer, name) for name in (*DIMS, *_COEFFICIENTS)}
    return _text({"problem": {"version": _VERSION, "shape": shape, "instance": instance}})


def mapping_file(architecture: Architecture, mapping: Mapping) -> str:
    """Return how a layer runs.

    Permutations have the innermost loop first. A level with one child has no spatial block.

    Args:
        architecture: The accelerator.
        mapping: A mapping of a layer onto it.
    """
    blocks: list[dict[str, Any]] = []
    children = architecture.compute.instances
    for level, at in zip(architecture.levels, mapping.levels, strict=True):
        kept = {"keep": [tensor for tensor in TENSORS if tensor in at.keep]}
        bypassed = {"bypass": [tensor for tensor in TENSORS if tensor not in at.keep]}
        lists = {name: tensors for name, tensors in (kept | bypassed).items() if tensors}
        blocks.append({"target": level.name, "type": "datatype", **lists})
        if children > level.instances:
            spread: dict[str, int] = {}
            for dim, factor in (*at.spatial_x, *at.spatial_y):
                spread[dim] = spread.get(dim, 1) * factor
            loops = _loops(tuple(spread.items()))
            blocks.append({"target": level.name, "type": "spatial", **loops, "split": len(DIMS)})
        blocks.append({"target": level.name, "type": "temporal", **_loops(at.temporal)})
        children = level.instances
    return _text({"mapping": blocks})


def _text(content: object) -> str:
    return yaml.safe_dump(content, sort_keys=False)


def _instances(name: str, count: int) -> str:
    return f"{name}[1..{count}]"


def _storage(level: Level, is_outermost: bool) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "width": level.block_size * level.word_bits,
        "datawidth": level.word_bits,
        "cluster_size": 1,
        "meshX": level.instances,
        "meshY": 1,
    }
    if not is_outermost:
        # A level that is only a place in the hierarchy needs a size too.
        words = level.capacity_words or level.block_size
        attributes["depth"] = math.ceil(words / level.block_size)
    for name in ("read_bandwidth", "write_bandwidth", "shared_bandwidth"):
        bandwidth = getattr(level, name)
        if bandwidth is not None:
            attributes[name] = bandwidth
    return {
        "name": _instances(level.name, level.instances),
        "class": "DRAM" if is_outermost else "SRAM",
        "attributes": attributes,
    }


def _loops(loops: tuple[tuple[str, int], ...]) -> dict[str, str]:
    """Return factors and permutation of all dimensions, those without a loop as the outermost."""
    factors = dict(loops)
    order = [*factors, *(dim for dim in DIMS if dim not in factors)]
    return {
        "factors": " ".join(f"{dim}{factors.get(dim, 1)}" for dim in DIMS),
        "permutation": "".join(order),
    }
