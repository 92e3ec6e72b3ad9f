"""What the memory controller reports: its metrics with their bounds, and their values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from archgym_py.simulator import Metric
from archgym_py.simulators.dram.commands import COMMANDS
from archgym_py.simulators.dram.energy import COMPONENTS, EnergyModel
from archgym_py.simulators.dram.layout import COUNTERS
from archgym_py.simulators.dram.technology import Technology
from archgym_py.simulators.dram.trace import Trace

__all__ = ["MetricTable"]

COUNTED = ("ACT", "PRE", "PREA", "RD", "RDA", "WR", "WRA", "REFA", "REFB", "PDEA", "PDEP", "SREFEN")
_COUNTED_COLUMNS = np.array([COMMANDS.index(name) for name in COUNTED])
_FIRST_DURATION = COUNTERS.index("active")


class MetricTable:
    """The metrics of one memory under one trace.

    Args:
        trace: The requests.
        technology: The memory.
        system: A record of `layout.STATE` with its system fields and tables set.
        energy: The energy model, None where no currents are public.
        domains: Energy domains over all channels.
        buses: Data buses over all channels.
        busiest: Least number of requests that the busiest data bus carries, over all designs.

    Attributes:
        metrics: Names, units and bounds, in order.
    """

    def __init__(
        self,
        trace: Trace,
        technology: Technology,
        system: np.void,
        energy: EnergyModel | None,
        *,
        domains: int,
        buses: int,
        busiest: int,
    ) -> None:
        self._requests = len(trace)
        self._burst_bits = 8 * technology.bytes_per_burst
        self._weights = np.empty((0, 0)) if energy is None else energy.weights
        self._domains = domains
        # Energies use the exact clock period, times the one rounded to ps, as in the reference.
        self._rounding = technology.tck_ps * technology.clock_mhz / 1e6
        self.metrics = _describe(
            trace, technology, system, energy is not None, buses=buses, busiest=busiest
        )

    def values(self, results: np.ndarray) -> list[list[float]]:
        """Compute the metrics.

        Args:
            results: RESULT[m] of the kernel.

        Returns:
            One row for each result, in the order of `metrics`.
        """
        table = np.empty((len(results), len(self.metrics)))
        _derive(
            results,
            self._requests,
            self._burst_bits,
            self._weights,
            self._domains,
            self._rounding,
            _COUNTED_COLUMNS,
            table,
        )
        rows: list[list[float]] = table.tolist()
        return rows


@njit(nogil=True, cache=True, error_model="numpy")
def _derive(
    results: Any,
    requests: int,
    burst_bits: int,
    weights: Any,
    domains: int,
    rounding: float,
    counted: Any,
    table: Any,
) -> None:
    """Fill `table`, float64[m, metrics]; compiled, since numpy's overhead on one row is large."""
    for i in range(len(results)):
        result = results[i]
        row = table[i]
        row[0] = result.total_time_ps / 1000.0
        row[1] = result.latency_sum_ps / (1000.0 * requests)
        row[2] = result.latency_p50_ps / 1000.0
        row[3] = result.latency_p99_ps / 1000.0
        row[4] = result.latency_max_ps / 1000.0
        row[5] = requests * burst_bits * 1000.0 / result.total_time_ps
        row[6] = 0.0
        for c in range(len(result.served)):
            if result.served[c] > 0:
                busy_ps = result.total_time_ps - result.idle_ps[c]
                row[6] += result.served[c] * burst_bits * 1000.0 / busy_ps
        row[7] = result.row_hits / requests
        column = 8
        parts = weights.shape[1]
        if parts > 0:
            row[column : column + parts + 2] = 0.0
            for d in range(domains):
                energy_pj = 0.0
                duration_ps = 0
                for k in range(len(weights)):
                    count = result.counters[d, k]
                    if k >= _FIRST_DURATION:
                        duration_ps += count
                    for j in range(parts):
                        part = count * weights[k, j]
                        row[column + 1 + j] += part
                        energy_pj += part
                row[column] += energy_pj
                if duration_ps > 0:
                    row[column + parts + 1] += 1000.0 * rounding * energy_pj / duration_ps
            column += parts + 2
        for command in counted:
            row[column] = result.counts[command]
            column += 1


def _describe(
    trace: Trace,
    technology: Technology,
    system: np.void,
    has_energy: bool,
    *,
    buses: int,
    busiest: int,
) -> tuple[Metric, ...]:
    """Metrics with bounds that hold for every design.

    The data bus bounds the time from below; from above, a design that works on one request at a
    time and waits for the longest timing rule four times for each.
    """
    n = len(trace)
    tck_ns = technology.tck_ps / 1000.0
    burst_ns = technology.burst_length / 2 * tck_ns
    fastest = max(1, busiest) * burst_ns
    answer = min(int(system["read_delay"]), int(system["write_delay"])) / 1000.0
    waits = 4 * int(system["distance"].max()) + 2 * int(
        max(system["read_delay"], system["write_delay"])
        + system["arbitration_fw"]
        + system["arbitration_bw"]
        + system["think_fw"]
        + system["player_period"]
    )
    span = sum(trace.stamps.tolist()) if trace.relative else int(trace.stamps.max())
    slowest = (span * int(system["player_period"]) + (n + 4) * waits) / 1000.0
    moved = n * 8 * technology.bytes_per_burst
    # A little more than the buses' peak, for the rounded clock period.
    peak = 1.001 * buses * 8 * technology.bytes_per_burst / burst_ns
    metrics = [
        Metric("total_time_ns", "ns", fastest, slowest, "instant of the last answer"),
        Metric("latency_mean_ns", "ns", answer, slowest, "mean time from request to answer"),
        Metric("latency_p50_ns", "ns", answer, slowest, "median time from request to answer"),
        Metric("latency_p99_ns", "ns", answer, slowest, "99th percentile of that time"),
        Metric("latency_max_ns", "ns", answer, slowest, "longest time from request to answer"),
        Metric(
            "bandwidth_gbit_s", "Gbit/s", moved / slowest, peak, "data moved over the total time"
        ),
        Metric(
            "bandwidth_busy_gbit_s",
            "Gbit/s",
            moved / slowest,
            peak,
            "data moved over the time in which the controller holds requests",
        ),
        Metric("row_hit_rate", "1", 0.0, 1.0, "column commands that found their row open"),
    ]
    if has_energy:
        metrics += _describe_energy(technology, fastest, slowest)
    most = slowest / tck_ns * technology.channels
    metrics += [Metric(f"n_{name.lower()}", "1", 0.0, most, f"{name} commands") for name in COUNTED]
    return tuple(metrics)


def _describe_energy(technology: Technology, fastest: float, slowest: float) -> list[Metric]:
    """Bounds: every rail in self refresh, and every rail at the sum of all its currents."""
    places = technology.channels * technology.ranks * technology.devices
    least = places * sum(
        s.voltage_v * min(s.currents_ma["idd6"], s.currents_ma["idd2n"])
        for s in technology.supplies
    )
    most = places * sum(s.voltage_v * sum(s.currents_ma.values()) for s in technology.supplies)
    most *= technology.ranks  # the reference counts the standby of a rank once for every rank
    return [
        Metric("energy_pj", "pJ", least * fastest / 2, most * slowest, "energy of all devices"),
        *(
            Metric(name, "pJ", 0.0, most * slowest, f"energy of {doc}")
            for name, doc in COMPONENTS.items()
        ),
        Metric("average_power_mw", "mW", least / 2, most, "energy over the time that it covers"),
    ]
