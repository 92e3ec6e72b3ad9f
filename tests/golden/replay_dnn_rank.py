"""Compares how tools with models of their own order layers, on hardware like theirs.

MAESTRO and ZigZag count cycles by other rules, so only ranks are compared: Spearman's correlation
of the cycles of our best mapping with theirs, over the layers of a group at fixed hardware. What is
compared depends on what a row says of hardware and layer; the findings are shown but do not bind.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from archgym_py.simulators.dnn.dataflows import ROW_STATIONARY
from archgym_py.simulators.dnn.eyeriss import PUBLISHED_DEFAULT
from archgym_py.simulators.dnn.hardware import Architecture, Compute, Level
from archgym_py.simulators.dnn.layers import DIMS, Layer
from archgym_py.simulators.dnn.mapper import Mapper
from archgym_py.simulators.dnn.mapspace import LevelRule, Template
from archgym_py.simulators.dnn.networks import load_network
from tests.golden.replay_dnn_rows import Finding, Row, parsed

BAR = 0.8
"""Correlation that a group should reach."""

LEAST_ROWS = 5
"""Rows that a group needs."""

_SPREAD = {  # dimensions in X and Y of a dataflow of MAESTRO; none in Y: the array is a row
    "kcp_ws": ("MC", "MC"),
    "ckp_ws": ("MC", "MC"),
    "nlr": ("C", "M"),
    "yxp_os": ("P", "Q"),
    "xp_ws": ("P", ""),
}


def rank_correlation(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return Spearman's rank correlation; NaN if all values of a side are equal.

    Examples:
        >>> rank_correlation([1, 2, 3], [10, 20, 15])
        0.5
    """
    both = np.array([_ranks(ours), _ranks(theirs)])
    both -= both.mean(axis=1, keepdims=True)
    scale = math.sqrt(float((both**2).sum(axis=1).prod()))
    return float((both[0] * both[1]).sum()) / scale if scale else math.nan


def _ranks(values: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return ranks, equal values sharing the mean of theirs."""
    _, group, sizes = np.unique(np.array(values, float), return_inverse=True, return_counts=True)
    ranks: npt.NDArray[np.float64] = (np.cumsum(sizes) - (sizes - 1) / 2)[group]
    return ranks


def replay_zigzag(rows: Sequence[Row]) -> list[Finding]:
    """Compare layers on ZigZag's eyeriss_like with those on the published default design.

    Args:
        rows: Rows of the kind "zigzag-loma6"; those of other hardware are left out.

    Returns:
        The correlation, if there are enough rows.
    """
    pairs = []
    mapper = Mapper(ROW_STATIONARY)
    for row in rows:
        if parsed(row, "arch_json")["file"].endswith("/eyeriss_like.yaml"):
            sizes = parsed(row, "layer_json")
            layer = Layer(
                name=sizes["name"],
                op="conv",
                M=sizes["K"],
                C=sizes["C"],
                P=sizes["OX"],
                Q=sizes["OY"],
                R=sizes["FX"],
                S=sizes["FY"],
                stride_p=sizes["stride"],
                stride_q=sizes["stride"],
            )
            pairs.append((mapper.map(layer, PUBLISHED_DEFAULT).cycles, float(row["cycles"])))
    return _correlations("zigzag-loma6", {"eyeriss_like": pairs})


def replay_maestro(rows: Sequence[Row]) -> list[Finding]:
    """Compare the convolutions of VGG-16 and ResNet-50 on arrays of 256 elements.

    Args:
        rows: Rows of the kind "maestro-dataflow"; those of other networks, elementwise layers and
            layers whose output the row does not imply are left out.

    Returns:
        The correlation of each network and dataflow with enough rows.
    """
    groups: dict[str, list[tuple[float, float]]] = defaultdict(list)
    mappers = {flow: _mapper(flow) for flow in _SPREAD}
    for row in rows:
        named = parsed(row, "layer_json")
        hardware = parsed(row, "arch_json")
        flow = named["network"].partition("_")[2]
        layer = _layer(named, int(parsed(row, "extra_json")["macs"]))
        if layer is not None and flow in _SPREAD:
            found = mappers[flow].map(layer, _hardware(flow, hardware))
            groups[named["network"]].append((found.cycles, float(row["cycles"])))
    return _correlations("maestro-dataflow", groups)


def _correlations(kind: str, groups: Mapping[str, Sequence[tuple[float, float]]]) -> list[Finding]:
    findings = []
    for name, pairs in groups.items():
        if len(pairs) >= LEAST_ROWS:
            ours, theirs = zip(*pairs, strict=True)
            findings.append(
                Finding(
                    *(kind, f"{name}, {len(pairs)} layers", "rank of cycles"),
                    *(rank_correlation(ours, theirs), BAR, "at least"),
                    where=name,
                    binding=False,
                )
            )
    return findings


def _layer(named: Mapping[str, Any], macs: int) -> Layer | None:
    """Return a convolution by its name; its output, always a square, follows from the products."""
    network, name = named["network"].partition("_")[0], named["layer"]
    block = re.fullmatch(r"CONV([2-5])_\d_([123])", name)
    if network == "vgg16" and (number := re.fullmatch(r"CONV(\d+)", name)):
        like = load_network("vgg16").select(f"conv{number[1]}").layers[0]
        m, c, r = like.M, like.C, like.R
    elif network == "Resnet50" and name == "CONV1":
        m, c, r = 64, 3, 7
    elif network == "Resnet50" and block:
        width, side = 16 << int(block[1]), 224 >> int(block[1])
        narrow = max(1, macs // (width * side**2))  # the first of a block has the inputs it needs
        m, c, r = {"1": (width, narrow, 1), "2": (width, width, 3), "3": (4 * width, width, 1)}[
            block[2]
        ]
    else:
        return None
    p = math.isqrt(macs // (m * c * r * r))
    if p * p * m * c * r * r != macs:
        return None
    return Layer(name=name, op="conv", M=m, C=c, P=p, Q=p, R=r, S=r)


def _mapper(flow: str) -> Mapper:
    x, y = _SPREAD[flow]
    every = "".join(DIMS)
    rules = (
        LevelRule(temporal=every),
        LevelRule(temporal=every, spatial_x=x, spatial_y=y),
        LevelRule(temporal=every),
    )
    return Mapper(Template(flow, rules), effort=500)


def _hardware(flow: str, hardware: Mapping[str, Any]) -> Architecture:
    """Return elements with 4 Ki words each, a buffer of 1 Mi words, and the row's bandwidth."""
    elements = int(hardware["num_pes"])
    side = math.isqrt(elements)
    mesh_x, mesh_y = (side, elements // side) if _SPREAD[flow][1] else (elements, 1)
    return Architecture(
        name="array",
        levels=(
            Level(name="L1", mesh_x=mesh_x, mesh_y=mesh_y, capacity_words=2**12, read_pj=1.0),
            Level(name="L2", capacity_words=2**20, read_pj=10.0),
            Level(name="DRAM", shared_bandwidth=hardware["offchip_bw"], read_pj=100.0),
        ),
        compute=Compute(mesh_x=mesh_x, mesh_y=mesh_y, mac_pj=1.0),
    )
