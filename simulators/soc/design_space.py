"""The designs of an SoC: how many PEs of which kind, their links, frequencies and scheduler.

The kinds of PE are the clusters of the platform "multiple_bal", which is the default design.

    >>> design = SOC_DESIGN_SPACE.default()
    >>> design["little_cores"], design["big_cores"], design["fft_accelerators"]
    (4, 4, 4)
    >>> f"{SOC_DESIGN_SPACE.size:.1e}"
    '5.5e+17'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from archgym_py.simulators.soc.platforms import Platform, load_platform
from archgym_py.simulators.soc.settings import SCHEDULERS
from archgym_py.space import Choice, Integer, Ordinal, ParameterSpace

__all__ = ["KINDS", "MAX_PES", "SOC_DESIGN_SPACE", "TRIP_STEP_CELSIUS", "Kind", "base_platform"]

MAX_PES: Final = 8
"""Most PEs of a kind."""

TRIP_STEP_CELSIUS: Final = 5.0
"""Between one trip temperature and the next, as in DS3 (85, 90, 95)."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of PE.

    Attributes:
        label: Its name in metrics.
        cluster: Its cluster of the platform.
        count: The parameter that says how many there are.
        max_mhz: The parameter of their highest frequency, None if they have one frequency only.
        most_per_cluster: PEs that share an operating point; more of them make a second cluster.
    """

    label: str
    cluster: str
    count: str
    max_mhz: str | None = None
    most_per_cluster: int = MAX_PES


KINDS: Final = (
    Kind("little", "A7", "little_cores", "little_max_mhz", most_per_cluster=4),
    Kind("big", "A15", "big_cores", "big_max_mhz", most_per_cluster=4),
    Kind("matrix", "MM", "matrix_accelerators"),
    Kind("fft", "FFT", "fft_accelerators"),
    Kind("viterbi", "VIT", "viterbi_accelerators"),
)
"""The kinds of PE, in the order of the platform's clusters.

A platform states the power of at most four cores of a cluster, the most that clusters of A7 and A15
have, so that more than four cores are two clusters.
"""

# The on-line "min_min" makes the choices of "etf", and "optimum" may search for a minute.
_LEFT_OUT: Final = frozenset({"min_min", "optimum"})
_SCHEDULERS: Final = tuple(name for name in SCHEDULERS if name not in _LEFT_OUT)
_BANDWIDTHS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
_SCALED: Final = ("performance", "ondemand")  # governors that a highest frequency limits
_SOME: Final = tuple(range(1, MAX_PES + 1))
_TO_PE: Final[Mapping[str, tuple[str, ...]]] = {"communication": ("pe_to_pe",)}


@cache
def base_platform() -> Platform:
    """Return the platform whose kinds of PE the designs use."""
    return load_platform("multiple_bal")


def _counts() -> list[Integer]:
    clusters = {cluster.name: cluster.pes for cluster in base_platform().clusters}
    docs = {
        "little_cores": "little cores (Cortex-A7)",
        "big_cores": "big cores (Cortex-A15)",
        "matrix_accelerators": "accelerators for matrix products",
        "fft_accelerators": "accelerators for FFTs",
        "viterbi_accelerators": "accelerators for Viterbi decoding",
    }
    return [
        Integer(kind.count, 0, MAX_PES, default=clusters[kind.cluster], doc=docs[kind.count])
        for kind in KINDS
    ]


def _highest_frequencies() -> list[Ordinal]:
    clusters = {cluster.name: cluster for cluster in base_platform().clusters}
    parameters = []
    for kind in KINDS:
        if kind.max_mhz is not None:
            frequencies = tuple(int(opp.mhz) for opp in clusters[kind.cluster].opps)
            parameters.append(
                Ordinal(
                    kind.max_mhz,
                    frequencies,
                    default=frequencies[-1],
                    unit="MHz",
                    doc=f"highest frequency of the {kind.label} cores",
                    active_when={"governor": _SCALED, kind.count: _SOME},
                )
            )
    return parameters


SOC_DESIGN_SPACE: Final = ParameterSpace(
    (
        *_counts(),
        Choice(
            "governor",
            ("performance", "ondemand", "powersave"),
            doc="cores run at their highest frequency, as their load asks for, or at the lowest",
        ),
        *_highest_frequencies(),
        Ordinal(
            "ondemand_high_load",
            (0.5, 0.65, 0.8, 0.95, 1.5, 2.0),
            default=0.8,
            doc="load of a cluster, summed over its cores, above which it takes its highest "
            "frequency",
            active_when={"governor": ("ondemand",)},
        ),
        Ordinal(
            "ondemand_low_load",
            (0.05, 0.1, 0.2, 0.3, 0.4),
            default=0.3,
            doc="load below which it steps down",
            active_when={"governor": ("ondemand",)},
        ),
        Ordinal(
            "sampling_us",
            (10, 20, 50, 100, 200, 500, 1000, 2000, 5000),
            default=10,
            unit="us",
            doc="period after which the loads are looked at",
            active_when={"governor": ("ondemand",)},
        ),
        Choice(
            "communication",
            ("pe_to_pe", "shared_memory"),
            doc="how data pass from one task to the next",
        ),
        Ordinal(
            "core_bandwidth",
            _BANDWIDTHS,
            default=1000,
            unit="volume/us",
            doc="bandwidth between cores",
            active_when=_TO_PE,
        ),
        Ordinal(
            "accelerator_bandwidth",
            _BANDWIDTHS,
            default=1000,
            unit="volume/us",
            doc="bandwidth of other links with an accelerator",
            active_when=_TO_PE,
        ),
        Ordinal(
            "fft_bandwidth",
            _BANDWIDTHS,
            default=10,
            unit="volume/us",
            doc="bandwidth between FFT accelerators and cores or matrix accelerators",
            active_when={**_TO_PE, "fft_accelerators": _SOME},
        ),
        Ordinal(
            "memory_bandwidth",
            _BANDWIDTHS,
            default=1000,
            unit="volume/us",
            doc="bandwidth between the shared memory and each PE",
            active_when={"communication": ("shared_memory",)},
        ),
        Choice(
            "scheduler",
            _SCHEDULERS,
            default="etf",
            doc="what gives tasks their PE; heft, cpop, peft and lookahead_heft plan each "
            "application once on an idle SoC, the others decide when a task is ready",
        ),
        Ordinal(
            "max_jobs_in_flight",
            (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64),
            default=12,
            doc="jobs in the system above which none is let in",
        ),
        Choice(
            "power_gating",
            (False, True),
            doc="clusters without a running task are switched off; waking them takes time",
        ),
        Choice(
            "throttling",
            (False, True),
            default=True,
            doc="a hot chip is slowed down in three steps",
        ),
        Ordinal(
            "first_trip_celsius",
            (60, 65, 70, 75, 80, 85, 90),
            default=85,
            unit="degC",
            doc="temperature of the first step; the others follow at 5 and 10 degrees more",
            active_when={"throttling": (True,)},
        ),
    )
)
"""All SoCs that can be designed; the default is the platform "multiple_bal" under ETF."""
