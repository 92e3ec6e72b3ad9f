"""Spaces of DNN accelerators: what a design builds, and within which limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, Final

from archgym_py.errors import InfeasibleDesign
from archgym_py.simulators.dnn.dataflows import ROW_STATIONARY
from archgym_py.simulators.dnn.eyeriss import (
    BUFFER_CLASSES,
    EYERISS_SPACE,
    WORD_BITS,
    Pricing,
    eyeriss_architecture,
)
from archgym_py.simulators.dnn.hardware import Architecture, Level
from archgym_py.simulators.dnn.mapspace import Template
from archgym_py.simulators.dnn.performance import Limits
from archgym_py.space import Ordinal, ParameterSpace

__all__ = ["EYERISS_CLOCK_MHZ", "Machine", "Platform", "eyeriss_platform"]


@dataclass(frozen=True, slots=True)
class Machine:
    """An accelerator that a design builds.

    Attributes:
        architecture: Its storage and multipliers.
        dataflow: Which mappings it can run.
        clock_mhz: Its clock, in MHz.
    """

    architecture: Architecture
    dataflow: Template
    clock_mhz: float


@dataclass(frozen=True, slots=True)
class Platform:
    """A space of accelerators.

    Attributes:
        name: Name of the space.
        space: The designs.
        build: Makes the accelerator of a design; raises `InfeasibleDesign` if it cannot be built.
        limits: What the accelerators have at least and at most.
    """

    name: str
    space: ParameterSpace
    build: Callable[[Mapping[str, Any]], Machine]
    limits: Limits


EYERISS_CLOCK_MHZ: Final = 200.0
"""Clock of the published template: the energies of its logic are those of a period of 5 ns."""


_SLACK: Final = 2.0
"""Factor for prices between those of a space's corners, which do not rise quite steadily."""


def eyeriss_platform(pricing: Pricing = "granted") -> Platform:
    """Return the published space of Eyeriss-like accelerators.

    Args:
        pricing: How buffers are priced; see `eyeriss.eyeriss_architecture`.

    Raises:
        ConfigError: If there is no such pricing.
    """
    build = partial(_build_eyeriss, pricing=pricing)
    return Platform("archgym", EYERISS_SPACE, build, _eyeriss_limits(build))


def _build_eyeriss(design: Mapping[str, Any], pricing: Pricing) -> Machine:
    architecture = eyeriss_architecture(design, pricing=pricing)
    return Machine(architecture, ROW_STATIONARY, EYERISS_CLOCK_MHZ)


def _eyeriss_limits(build: Callable[[Mapping[str, Any]], Machine]) -> Limits:
    """Return the limits of the published space: those of its smallest and largest designs.

    Prices rise with depth, width and banks but for CACTI's jumps between organisations, which
    `_SLACK` covers.
    """
    corners = []
    for kind, banks, end in product(BUFFER_CLASSES, (16, 32, 64, 128), (0, -1)):
        design = EYERISS_SPACE.default()
        for parameter in EYERISS_SPACE.parameters:
            if isinstance(parameter, Ordinal):
                design[parameter.name] = parameter.values[end]
            else:
                design[parameter.name] = kind
        try:
            corners.append(build({**design, "glb_banks": banks}).architecture)
        except InfeasibleDesign:  # banks that are too small for this class
            continue
    areas = [corner.area_um2 / 1e6 for corner in corners]
    dearest = [sum(max(at.read_pj, at.write_pj) for at in corner.levels) for corner in corners]
    psum, weights, ifmap, _, shared, dram = range(6)
    per_word = [[_cheapest(level) for level in corner.levels] for corner in corners]
    return Limits(
        units=max(corner.compute.instances for corner in corners),
        clock_mhz=(EYERISS_CLOCK_MHZ, EYERISS_CLOCK_MHZ),
        mac_pj=(corners[0].compute.mac_pj, corners[0].compute.mac_pj),
        access_pj=_SLACK * max(dearest),
        # An update of the sum, and a read of the weight and of the input, for every operation.
        local_pj=min(pj[psum] + pj[weights] + pj[ifmap] for pj in per_word) / _SLACK,
        shared_pj=min(pj[shared] for pj in per_word) / _SLACK,
        dram_pj=min(pj[dram] for pj in per_word),
        bandwidth=2.0,
        area_mm2=(min(areas) / _SLACK, _SLACK * max(areas)),
        word_bytes=(WORD_BITS / 8, WORD_BITS / 8),
    )


def _cheapest(level: Level) -> float:
    """Return the energy of an access for each word that it moves, in pJ."""
    return min(level.read_pj, level.write_pj) / level.block_size
