"""The dataflows that come with the library, as templates.

`ROW_STATIONARY` and `SIMBA` are those of the reference's baseline designs for Eyeriss (Chen et al.,
JSSC 2017) and Simba (Shao et al., MICRO 2019).
"""

from __future__ import annotations

from typing import Final

from archgym_py.simulators.dnn.mapspace import ALL_DIMS, LevelRule, Template

__all__ = ["ROW_STATIONARY", "SIMBA"]

ROW_STATIONARY: Final = Template(
    "row_stationary",
    (
        LevelRule(keep=("Outputs",), temporal="M", order="NCPQRSMG"),
        LevelRule(keep=("Weights",), temporal="RC", order="NMPQSCRG"),
        LevelRule(keep=("Inputs",), order=ALL_DIMS),
        LevelRule(keep=(), spatial_y="SCM", order=ALL_DIMS, spread=True),
        LevelRule(keep=("Inputs", "Outputs"), temporal="PCMNG", spatial_x="MQ", order="QRSCPNMG"),
        LevelRule(temporal="CMNQG", order="RSPCMNQG"),
    ),
)
"""Eyeriss: a row of the filter stays in an element, rows of the array add up.

The levels are psum_spad, weights_spad, ifmap_spad, DummyBuffer (columns of the array, holds
nothing), shared_glb and DRAM. The rules are those of the baseline designs that the published system
uses; groups, which it does not have, are looped over outside of everything else.
"""

SIMBA: Final = Template(
    "simba",
    (
        LevelRule(keep=("Weights",), temporal="NPQ"),
        LevelRule(keep=("Outputs",), temporal=ALL_DIMS, spatial_y="C"),
        LevelRule(keep=("Weights",), temporal=ALL_DIMS),
        LevelRule(keep=("Inputs",), temporal=ALL_DIMS, spatial_y="M"),
        LevelRule(keep=("Inputs", "Outputs"), temporal=ALL_DIMS, spatial_x="MC"),
        LevelRule(temporal=ALL_DIMS),
    ),
)
"""Simba: vector units multiply C in parallel, elements and their lanes share M and C.

The levels are PEWeightRegs, PEAccuBuffer, PEWeightBuffer, PEInputBuffer, GlobalBuffer and DRAM.
"""
