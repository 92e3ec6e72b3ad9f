"""Area of an SoC, from the few figures that are published.

The SoC that DS3's authors floor-planned has four big and four little cores with caches and memory
controllers on 14.94 mm2, and grows with its accelerators (Arda et al., "DS3: A system-level domain-
specific system-on-chip simulation framework", IEEE TC 2020):

========= ========= ========== ============ =====================================================
FFTs      Viterbis  mm2        model        of which
========= ========= ========== ============ =====================================================
0         0         14.94      14.94
0         1         14.94      15.21        the floor plan had room for it
2         1         15.82      15.89
4         0         16.29      16.29        0.3375 for each FFT
4         1         16.56      16.56        0.27 more for a Viterbi decoder
6         3         19.29      17.78        the floor plan grew by a row
========= ========= ========== ============ =====================================================

* An FFT and a Viterbi decoder take what they add to a plan that has four FFTs, 0.3375 and 0.27 mm2.
* A little core takes 0.65 mm2, the Cortex-A53 of FARSI's hardware database (Boroujerdian et al.,
  TECS 2023), which is the Cortex-A7's successor.
* Assumed: a big core takes three times as much, 1.95 mm2. The rest of the plan, 4.54 mm2, is caches
  and memory controllers, and every SoC has it.
* Assumed: an accelerator for matrix products takes as much as one for FFTs.
* Assumed: the port of a PE takes 0.01 mm2 for each 1000 of bandwidth. The figures above include
  ports of the default bandwidths, so that only differences from these count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from archgym_py.simulators.soc.design_space import KINDS, SOC_DESIGN_SPACE
from archgym_py.space import Value

__all__ = ["PORT_BANDWIDTHS", "area_mm2"]

PE_MM2: Final[Mapping[str, float]] = {
    "little": 0.65,
    "big": 3 * 0.65,
    "matrix": 0.3375,
    "fft": 0.3375,
    "viterbi": 0.27,
}
UNCORE_MM2: Final = 14.94 - 4 * PE_MM2["little"] - 4 * PE_MM2["big"]
PORT_MM2: Final = 1e-5  # for each unit of bandwidth

PORT_BANDWIDTHS: Final[Mapping[str, str]] = {
    "little": "core_bandwidth",
    "big": "core_bandwidth",
    "matrix": "accelerator_bandwidth",
    "fft": "fft_bandwidth",
    "viterbi": "accelerator_bandwidth",
}
"""The parameter that gives the bandwidth of a PE's port, by the label of its kind."""


def area_mm2(design: Mapping[str, Value]) -> float:
    """Return the area of a design of `SOC_DESIGN_SPACE` in mm2.

    Examples:
        >>> fewer = {"matrix_accelerators": 0, "viterbi_accelerators": 0}
        >>> round(area_mm2({**SOC_DESIGN_SPACE.default(), **fewer}), 2)
        16.29
    """
    area = UNCORE_MM2
    for kind in KINDS:
        own = PORT_BANDWIDTHS[kind.label]
        used = own if design["communication"] == "pe_to_pe" else "memory_bandwidth"
        wider = float(design[used]) - float(SOC_DESIGN_SPACE[own].default)
        area += int(design[kind.count]) * (PE_MM2[kind.label] + PORT_MM2 * wider)
    return area
