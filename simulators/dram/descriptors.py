"""Numbers that describe a trace and a memory to a model that predicts metrics.

They say what decides time, energy and power of a controller whatever its design: how much is asked
and how fast, how often the direction turns, how far rows and banks repeat, and what the memory
needs for it. Places are those of one address map; a design that brings a map of its own moves them.

    >>> from archgym_py.simulators.dram.address import load_address_map
    >>> from archgym_py.simulators.dram.technology import load_technology
    >>> from archgym_py.simulators.dram.workloads import Workload
    >>> memory = load_technology("DDR3-1600")
    >>> wiring = load_address_map(memory.default_address_map)
    >>> stream = describe_trace(Workload("stream").generate(), memory, wiring, 1250)
    >>> random = describe_trace(Workload("random").generate(), memory, wiring, 1250)
    >>> stream["row_hits"] > 0.9, random["row_hits"] < 0.1
    (True, True)
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from archgym_py.simulators.dram.address import AddressMap, decode_trace
from archgym_py.simulators.dram.commands import COMMANDS, SCOPES
from archgym_py.simulators.dram.technology import Technology
from archgym_py.simulators.dram.timing import timing_tables
from archgym_py.simulators.dram.trace import Trace

__all__ = ["WINDOWS", "describe_technology", "describe_trace"]

WINDOWS: Final = (8, 32, 128)
"""Requests that a controller may reorder: sizes of its buffers, from the default to the largest."""

_Integers = npt.NDArray[np.int64]


def describe_technology(technology: Technology) -> dict[str, float]:
    """Return what of a memory shifts the metrics of every design.

    Args:
        technology: The memory.

    Returns:
        Logarithms of the clock period, row cycle and burst in ns, and of the numbers of banks of a
        channel, of ranks and of channels; and whether its energy is known, with the logarithm of
        the standby power of all devices in mW (0 where it is not).
    """
    tables = timing_tables(technology)
    tck_ns = technology.tck_ps / 1000.0
    idle_mw = sum(supply.voltage_v * supply.currents_ma["idd2n"] for supply in technology.supplies)
    idle_mw *= technology.devices * technology.ranks * technology.channels
    return {
        "log_tck_ns": math.log(tck_ns),
        "log_row_cycle_ns": math.log(_distance_ps(tables.distance, "bank", "ACT", "ACT") / 1000.0),
        "log_burst_ns": math.log(technology.burst_length / 2 * tck_ns),
        "log_banks": math.log(technology.banks * technology.ranks),
        "log_ranks": math.log(technology.ranks),
        "log_channels": math.log(technology.channels),
        "has_energy": float(idle_mw > 0.0),
        "log_standby_mw": math.log(idle_mw) if idle_mw > 0.0 else 0.0,
    }


def describe_trace(
    trace: Trace, technology: Technology, address_map: AddressMap, player_period_ps: int
) -> dict[str, float]:
    """Return what a trace asks of a memory.

    Rows repeat within a window of w requests if the same row of the same bank was accessed by one
    of the w requests before in this bank: these can be row hits of a controller that reorders so
    many. The mean number of different banks among w requests in a row is the size of a working set
    (Denning and Schwartz, "Properties of the working-set model", CACM 15(3), 1972): the mean of
    min(w, distance to the last request of the same bank), and the same for rows.

    The paces estimate the time of a request in ns if nothing but one thing limits: the slowest of
    the arrivals, the data bus and the busiest bank, which needs a row cycle for each request that
    is no row hit. The bus pays for turns in order only; with several channels the requests are
    taken to be spread evenly over their buses.

    Args:
        trace: The requests.
        technology: The memory.
        address_map: Where addresses lie.
        player_period_ps: Clock period of the trace player, in ps.

    Returns:
        Finite numbers, with equal names for all traces.
    """
    place = decode_trace(trace, address_map)
    n = len(trace)
    channel = place.channel.astype(np.int64)
    bank = place.bank + channel * (technology.ranks * technology.banks)
    row = bank * technology.rows + place.row
    by_bank = np.argsort(bank, kind="stable")
    # Distance in requests of the bank since its last one of the same row.
    row_distance = _distances(row[by_bank])
    turns = float(np.mean(trace.is_write[1:] != trace.is_write[:-1])) if n > 1 else 0.0
    gaps_ns = _gaps(trace) * (player_period_ps / 1000.0)
    gap_ns = float(gaps_ns.mean())

    described = {
        "log_requests": math.log(n),
        "relative": float(trace.relative),
        "write_share": float(trace.is_write.mean()),
        "turns": turns,
        "log_gap_ns": math.log1p(gap_ns),
        "gap_variation": float(gaps_ns.std()) / gap_ns if gap_ns > 0.0 else 0.0,
        "row_hits": float(np.mean(row_distance <= 1)),
        **{f"row_hits_{w}": float(np.mean(row_distance <= w)) for w in WINDOWS},
    }
    for name, keys in (("banks", bank), ("rows", row)):
        reach = np.minimum(_distances(keys), np.arange(1, n + 1))  # the trace begins at its start
        described |= {f"{name}_{w}": float(np.minimum(reach, w).mean()) for w in WINDOWS}
    banks = technology.channels * technology.ranks * technology.banks
    described["bank_imbalance"] = math.log(np.bincount(bank).max() * banks / n)
    described["channel_imbalance"] = math.log(np.bincount(channel).max() * technology.channels / n)

    cycle_ns, burst_ns, turn_ns = _costs_ns(technology)
    bus_ns = burst_ns / technology.channels
    for w in (1, *WINDOWS):
        cost_ns = np.where(row_distance <= w, burst_ns, cycle_ns)
        busiest_ns = float(np.bincount(bank[by_bank], weights=cost_ns).max()) / n
        moved_ns = bus_ns + (turns * turn_ns / technology.channels if w == 1 else 0.0)
        name = "log_pace_ns" if w == 1 else f"log_pace_{w}_ns"
        described[name] = math.log(max(gap_ns, moved_ns, busiest_ns))
    return described


def _gaps(trace: Trace) -> npt.NDArray[np.float64]:
    """Return the cycles of the player from each request to the next; one zero for one request."""
    cycles = trace.stamps[1:] if trace.relative else np.diff(np.maximum.accumulate(trace.stamps))
    return cycles.astype(np.float64) if cycles.size else np.zeros(1)


def _distances(keys: _Integers) -> _Integers:
    """Return how many places before each key the last equal one is; beyond all where none is.

    Examples:
        >>> _distances(np.array([7, 8, 7, 7]))[2:]
        array([2, 1])
    """
    order = np.argsort(keys, kind="stable")
    distances = np.full(len(keys), np.iinfo(np.int64).max)
    repeats = keys[order[1:]] == keys[order[:-1]]
    distances[order[1:][repeats]] = np.diff(order)[repeats]
    return distances


def _costs_ns(technology: Technology) -> tuple[float, float, float]:
    """Return the row cycle, the burst and what a turn of the bus adds to a burst, in ns."""
    distance = timing_tables(technology).distance
    burst_ps = technology.burst_length // 2 * technology.tck_ps
    turns_ps = [_distance_ps(distance, "rank", *pair) for pair in (("RD", "WR"), ("WR", "RD"))]
    turn_ps = max(0.0, sum(turns_ps) / 2 - burst_ps)
    cycle_ps = _distance_ps(distance, "bank", "ACT", "ACT")
    return cycle_ps / 1000.0, burst_ps / 1000.0, turn_ps / 1000.0


def _distance_ps(distance: npt.NDArray[np.int64], scope: str, earlier: str, later: str) -> int:
    return int(distance[SCOPES.index(scope), COMMANDS.index(earlier), COMMANDS.index(later)])
