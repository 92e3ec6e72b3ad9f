"""Bounds of the metrics of an SoC's design that hold for every design that serves the load."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from archgym_py.errors import ConfigError
from archgym_py.simulators.soc.design_area import PORT_BANDWIDTHS, area_mm2
from archgym_py.simulators.soc.design_space import KINDS, MAX_PES, SOC_DESIGN_SPACE
from archgym_py.simulators.soc.kernel import LEAK_C1, LEAK_C2, LEAK_IG
from archgym_py.simulators.soc.layout import AMBIENT_CELSIUS, Soc
from archgym_py.simulators.soc.state import Jobs

__all__ = ["Load", "metric_bounds"]

_SLACK = 1e-9  # for roundings in another order

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Load:
    """What the runs ask for, whatever the design.

    Attributes:
        critical_us: Time of each job at least, in all runs: the longest path of its graph if every
            task runs on the fastest PE there is, (J,).
        end_us: End of each run at the earliest, (runs,).
        length_us: Time in which the jobs of a run come, and in which the longest of them could run
            all by itself, its tasks one after another on their slowest PEs; of the longest run.
    """

    critical_us: _Floats
    end_us: _Floats
    length_us: float

    @classmethod
    def of(cls, runs: Sequence[Jobs], *, critical_us: _Floats, serial_us: _Floats) -> Load:
        """Return the load of some runs.

        Args:
            runs: Their jobs.
            critical_us: Shortest time of each graph, in us.
            serial_us: Time of each graph on its slowest PEs, one task after another, in us.

        Raises:
            ConfigError: If the jobs of a run take no time.
        """
        arrivals = [np.cumsum([0.0, *run.waits_us[: len(run.graphs) - 1]]) for run in runs]
        end_us = np.array(
            [
                (arrival + critical_us[run.graphs]).max()
                for arrival, run in zip(arrivals, runs, strict=True)
            ]
        )
        if not end_us.min() > 0.0:
            raise ConfigError("the jobs of a run take no time at all. Take longer tasks.")
        last_us = max(float(arrival[-1]) for arrival in arrivals)
        of_job = np.concatenate([run.graphs for run in runs])
        return cls(critical_us[of_job], end_us, last_us + float(serial_us.max()))


def metric_bounds(
    load: Load, whole: Soc, *, length_us: float, limit_celsius: float
) -> dict[str, tuple[float, float]]:
    """Return the lowest and highest value of each metric.

    Args:
        load: What the runs ask for.
        whole: The problem of an SoC with every kind of PE.
        length_us: Longest time of a run.
        limit_celsius: Highest temperature.
    """
    jobs, runs = len(load.critical_us), len(load.end_us)
    p95, p99 = np.quantile(load.critical_us, (0.95, 0.99)).tolist()
    base_mw = 1e3 * float(whole.options[0]["base_w"])
    power_mw = (base_mw, base_mw + 1e3 * _most_watt(whole, limit_celsius))
    # A run takes no less than its arrivals ask for, and energy is power times time.
    least_us, most_us = float(load.end_us.sum()), runs * length_us
    energy_uj = (1e-3 * power_mw[0] * least_us / jobs, 1e-3 * power_mw[1] * most_us / jobs)
    latency_us = (float(load.critical_us.mean()), length_us)
    shares = [f"{name}_{kind.label}" for name in ("utilization", "blocking") for kind in KINDS]
    bounds = {
        "latency_mean_us": latency_us,
        "latency_p95_us": (p95, length_us),
        "latency_p99_us": (p99, length_us),
        "throughput_jobs_per_s": (1e6 * jobs / most_us, 1e6 * jobs / least_us),
        "deadline_miss_rate": (0.0, 1.0),
        "jobs_in_flight": (0.0, float(SOC_DESIGN_SPACE["max_jobs_in_flight"].from_unit(1.0))),
        "energy_per_job_uj": energy_uj,
        "edp_uj_ms": (
            1e-3 * energy_uj[0] * latency_us[0],
            1e-3 * energy_uj[1] * latency_us[1],
        ),
        "ed2p_uj_ms2": (
            1e-6 * energy_uj[0] * latency_us[0] ** 2,
            1e-6 * energy_uj[1] * latency_us[1] ** 2,
        ),
        "power_mw": power_mw,
        "peak_power_mw": power_mw,
        "peak_celsius": (AMBIENT_CELSIUS, limit_celsius),
        "area_mm2": _area_bounds(),
        **dict.fromkeys(shares, (0.0, 1.0)),
    }
    return {
        name: (low * (1.0 - _SLACK), high * (1.0 + _SLACK)) for name, (low, high) in bounds.items()
    }


def _most_watt(whole: Soc, limit_celsius: float) -> float:
    """Return the power of the largest SoC if everything works, or leaks at the highest voltage."""
    kelvin = 273.0 + limit_celsius
    total = 0.0
    for number, kind in enumerate(KINDS):
        volt = float(whole.volt[number].max())
        leakage = volt * (LEAK_C1 * kelvin**2 * math.exp(-LEAK_C2 / kelvin) + LEAK_IG)
        idle = leakage * float(whole.leak[number]) * kind.most_per_cluster
        working = float(whole.profile_w[number].max())
        total += MAX_PES // kind.most_per_cluster * max(working, idle)
    return total


def _area_bounds() -> tuple[float, float]:
    """Return the areas of an SoC without PEs and of the largest one with the widest links."""
    default = SOC_DESIGN_SPACE.default()
    ends = []
    for end in (0.0, 1.0):
        changed = (*(kind.count for kind in KINDS), *set(PORT_BANDWIDTHS.values()))
        design = {**default, **{n: SOC_DESIGN_SPACE[n].from_unit(end) for n in changed}}
        ends.append(area_mm2(design))
    return ends[0], ends[1]
