"""Ramulator 2, a cycle-accurate DRAM simulator, behind the memory controller's designs.

The program is looked up as ``ramulator2``. It has fewer choices than the designs do: its one
scheduler prefers what is ready, its read and write buffers have 32 places each, and its front end
sends a request in each cycle. A design that asks for something else is infeasible.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import yaml

from archgym_py.design import Design, Value
from archgym_py.errors import ConfigError, InfeasibleDesign, SimulatorError
from archgym_py.simulator import Evaluation, Simulator
from archgym_py.simulators.backend import ProgramBackend
from archgym_py.simulators.dram.address import AddressMap, decode_trace
from archgym_py.simulators.dram.model import DRAMSimulator
from archgym_py.simulators.dram.technology import Technology
from archgym_py.simulators.dram.trace import Trace
from archgym_py.simulators.process import last_lines
from archgym_py.space import ParameterSpace

__all__ = ["Ramulator2", "load_store_text"]

_ADAPTER_VERSION = "1"  # raise it when the same design gets other files, or is read otherwise

_REMEDY = (
    "Ramulator 2.0 is to be had from github.com/CMU-SAFARI/ramulator2 (a version whose "
    "configuration is a YAML file)."
)

_HAS: Mapping[str, tuple[Value, ...]] = {
    "page_policy": ("Open", "Closed"),
    "scheduler": ("FrFcfs",),
    "scheduler_buffer": ("ReadWrite",),
    "request_buffer_size": (32,),
    "resp_queue": ("Fifo",),
    "refresh_policy": ("AllBank",),
    "arbiter": ("Simple",),
    "cmd_mux": ("Oldest",),
    "power_down_policy": ("NoPowerDown",),
}
"""What it has of each parameter.

Limits of postponed and pulled-in refreshes are upper bounds. A controller that refreshes when it is
time obeys them all. The number of active requests has no meaning with the arbiter Simple.
"""

_ROW_POLICIES: Mapping[Value, Mapping[str, Any]] = {
    "Open": {"impl": "OpenRowPolicy"},
    "Closed": {"impl": "ClosedRowPolicy", "cap": 1},  # precharge after one access
}

_TIMINGS = {
    "nCL": "RL",
    "nCWL": "WL",
    **{f"n{name}": name for name in ("RCD", "RP", "RAS", "RC", "WR", "RTP", "FAW", "RFC", "REFI")},
    "nCS": "RTRS",
}
_GROUP_TIMINGS = {
    "DDR3": {f"n{name}": name for name in ("CCD", "RRD", "WTR")},
    "DDR4": {f"n{name}{s}": f"{name}_{s}" for name in ("CCD", "RRD", "WTR") for s in "SL"},
}
"""Ramulator's name of each timing, and ours."""

_PREFETCH = 8
"""Columns of an access of DDR3 and DDR4, and burst length."""

_STATISTIC = re.compile(r"\s*([a-z][A-Za-z0-9_]*):\s*(\S.*?)\s*(?:#.*)?")


class Ramulator2(ProgramBackend):
    """Ramulator 2.0 with its front end for traces of loads and stores.

    The timings and the organisation of the memory are given explicitly; addresses are rewritten so
    that its mapper RoBaRaCoCh takes each request where the design's address map does. Metrics:

    * ``total_time_ns``: ``memory_system_cycles`` times the clock period. Ramulator ends when the
      controller has accepted the last request, while those in its buffers still wait; the embedded
      simulator waits for the last answer.
    * ``row_hit_rate``: share of the requests that found their row open, of those whose first
      command was issued before that end.

    It has no energy model. Of a read latency it reports the mean, from acceptance on and for reads
    only, which is another quantity than ``latency_mean_ns``.

    The default design of the spaces is not one that it has: give the environment a ``baseline``.

    Args:
        embedded: The memory controller that comes with the library.
        space: The space of the designs.
        program: Path of the program; by default that of the environment variable
            ARCHGYM_RAMULATOR2, or `ramulator2` in PATH.
        timeout_s: Time that one evaluation may take, in seconds.

    Raises:
        ConfigError: If Ramulator cannot express the memory (it has DDR3 and DDR4 of the library's
            standards), the clocks, a delay, or a trace that does not send in every cycle.
    """

    name = "ramulator2"
    simulates = ("dram",)
    reports = ("total_time_ns", "row_hit_rate")
    executable = "ramulator2"
    variable = "ARCHGYM_RAMULATOR2"
    remedy = _REMEDY

    def __init__(
        self,
        embedded: Simulator,
        space: ParameterSpace,
        *,
        program: str | os.PathLike[str] | None = None,
        timeout_s: float = 60.0,
    ) -> None:
        super().__init__(embedded, space, program=program, timeout_s=timeout_s)
        if not isinstance(embedded, DRAMSimulator):
            raise ConfigError(f"Ramulator needs a DRAMSimulator, got {type(embedded).__name__}.")
        self._model = embedded
        _check_memory(embedded.technology)
        _check_requests(embedded.trace)
        for name, delay_ns in embedded.delays_ns.items():
            if delay_ns:
                raise ConfigError(
                    f"Ramulator 2 has no delays, but {name}_ns={delay_ns:g}. Leave it out."
                )
        self._ratio = _clock_ratio(embedded)
        period_ns = embedded.technology.tck_ps / 1000.0
        self.metrics = tuple(
            replace(metric, low=period_ns, doc="instant at which the last request is accepted")
            if metric.name == "total_time_ns"
            else metric
            for metric in self.metrics
        )

    @property
    def version(self) -> str:
        """Version of the adapter, digests of the program and of the trace."""
        return f"{_ADAPTER_VERSION}/{self._program.digest[:12]}+{self._model.trace.digest[:12]}"

    def configuration(self, design: Design) -> Mapping[str, str]:
        """Return a design as files; see `Backend.configuration`."""
        readme = (
            "A memory controller for Ramulator 2.0. In this folder, call\n\n"
            f"    {' '.join(['ramulator2', *_ARGUMENTS])}\n\n"
            "It prints its statistics. The total time is memory_system_cycles times\n"
            f"{self._model.technology.tck_ps} ps, the instant at which the last request is "
            "accepted.\n"
        )
        return {"README.txt": readme, **self._files(design)}

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        """Let Ramulator simulate a design; see `Simulator.evaluate`."""
        files = self._files(design)  # first, so that what is infeasible is so without the program
        answer = self._program.call(_ARGUMENTS, files=files)
        return Evaluation(self._read(answer.stdout), wall_s=answer.wall_s)

    def _files(self, design: Design) -> dict[str, str]:
        """Return what Ramulator reads of a design."""
        technology = self._model.technology
        controller = self._model.controller_of(design)
        _check_controller(controller, technology)
        config = {
            "Frontend": {
                "impl": "LoadStoreTrace",
                "clock_ratio": self._ratio.numerator,
                "path": "trace.txt",
            },
            "MemorySystem": {
                "impl": "GenericDRAM",
                "clock_ratio": self._ratio.denominator,
                "DRAM": {
                    "impl": technology.standard,
                    "org": _organisation(technology),
                    "timing": _timings(technology),
                },
                "Controller": {
                    "impl": "Generic",
                    "Scheduler": {"impl": "FRFCFS"},
                    "RefreshManager": {"impl": "AllBank"},
                    "RowPolicy": dict(_ROW_POLICIES[controller["page_policy"]]),
                },
                "AddrMapper": {"impl": "RoBaRaCoCh"},
            },
        }
        address_map = self._model.address_map_of(design)
        return {
            "config.yaml": yaml.safe_dump(config, sort_keys=False),
            "trace.txt": load_store_text(self._model.trace, address_map, technology),
        }

    def _read(self, text: str) -> dict[str, float]:
        """Return the metrics that statistics stand for."""
        statistics = _Statistics(text)
        writes = int(np.count_nonzero(self._model.trace.is_write))
        reads = len(self._model.trace) - writes
        found = [statistics.count(f"total_num_{kind}_requests") for kind in ("read", "write")]
        if found != [reads, writes]:
            raise SimulatorError(
                f"Ramulator has taken {found[0]} reads and {found[1]} writes, but the trace has "
                f"{reads} and {writes}. Builds of before September 2023 take loads for stores; "
                f"use a later one.{last_lines(text)}"
            )
        hits = total = 0
        for channel in range(self._model.technology.channels):
            for kind in ("hits", "misses", "conflicts"):
                count = statistics.count(f"row_{kind}_{channel}")
                total += count
                hits += count if kind == "hits" else 0
        cycles = statistics.count("memory_system_cycles")
        return {
            "total_time_ns": cycles * self._model.technology.tck_ps / 1000.0,
            "row_hit_rate": hits / total if total else 0.0,
        }


_ARGUMENTS = ("-f", "config.yaml")


class _Statistics:
    """The statistics that Ramulator prints as YAML, behind lines that it logs.

    Args:
        text: Its standard output. It is not parsed as YAML, since every channel has the same keys.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._found: dict[str, list[str]] = {}
        for line in text.splitlines():
            if match := _STATISTIC.fullmatch(line):
                self._found.setdefault(match[1], []).append(match[2])

    def count(self, name: str) -> int:
        """Return a count.

        Args:
            name: Name of the statistic.

        Raises:
            SimulatorError: If it is not there once, or is no whole number of 0 or more.
        """
        values = self._found.get(name, [])
        if len(values) != 1:
            times = f"{len(values)} times" if values else "not"
            raise SimulatorError(
                f"Ramulator has printed the statistic {name!r} {times}, but should once. Use a "
                f"build of Ramulator 2.0.{last_lines(self._text)}"
            )
        if not re.fullmatch("[0-9]{1,18}", values[0], re.ASCII):
            raise SimulatorError(
                f"Ramulator says '{name}: {values[0][:80]}', which is no whole number of 0 or more."
            )
        return int(values[0])


@lru_cache(maxsize=8)
def load_store_text(trace: Trace, address_map: AddressMap, technology: Technology) -> str:
    """Return a trace as Ramulator reads it, made once for each of the last traces and maps.

    Args:
        trace: The trace.
        address_map: Where its addresses lie.
        technology: The memory.

    Returns:
        A line for each request: LD or ST, and an address that Ramulator's mapper RoBaRaCoCh takes
        to the place to which the map takes the trace's address. From the lowest bit on that mapper
        has the bytes of an access, channel, column, rank, bank group, bank and row.
    """
    place = decode_trace(trace, address_map)
    banks = technology.banks // technology.bank_groups
    address = np.zeros(len(trace), np.int64)
    size = technology.bytes_per_burst
    for values, count in (
        (place.channel, technology.channels),
        (place.column // _PREFETCH, technology.columns // _PREFETCH),
        (place.rank, technology.ranks),
        (place.bank_group % technology.bank_groups, technology.bank_groups),
        (place.bank % banks, banks),
        (place.row, technology.rows),
    ):
        address += values.astype(np.int64) * size
        size *= count
    commands = zip(trace.is_write.tolist(), address.tolist(), strict=True)
    return "".join(f"{'ST' if write else 'LD'} 0x{where:x}\n" for write, where in commands)


def _check_memory(technology: Technology) -> None:
    if technology.standard not in _GROUP_TIMINGS:
        raise ConfigError(
            f"Ramulator 2 does not model {technology.name} ({technology.standard}) as the library "
            f"describes it. It has {', '.join(_GROUP_TIMINGS)}."
        )
    # Ramulator takes the rate of transfers and computes the period from it, in whole ps.
    rate = 2 * technology.clock_mhz
    if not rate.is_integer() or int(1e6 / (rate / 2)) != technology.tck_ps:
        raise ConfigError(
            f"Ramulator 2 cannot be given the clock of {technology.name}, "
            f"{technology.clock_mhz:g} MHz: it would have another period than "
            f"{technology.tck_ps} ps."
        )
    if technology.burst_length != _PREFETCH:
        raise ConfigError(
            f"Ramulator 2 has bursts of {_PREFETCH}, but {technology.name} has "
            f"{technology.burst_length}."
        )


def _check_requests(trace: Trace) -> None:
    latest = np.zeros(len(trace), np.int64) if trace.relative else np.arange(len(trace))
    late = np.flatnonzero(trace.stamps > latest)
    if late.size:
        raise ConfigError(
            f"Ramulator 2 sends a request in every cycle, but trace {trace.name} waits with its "
            f"request {late[0]} until cycle {trace.stamps[late[0]]}. Use a saturating workload."
        )


def _clock_ratio(model: DRAMSimulator) -> Fraction:
    """Return the player's clock over the memory's, as Ramulator takes it: two whole numbers."""
    ratio = model.player_clock_mhz / model.technology.clock_mhz
    fraction = Fraction(ratio).limit_denominator(1000)
    if abs(float(fraction) / ratio - 1.0) > 1e-9:
        raise ConfigError(
            f"Ramulator 2 takes the ratio of clocks as whole numbers, but player_clock_mhz="
            f"{model.player_clock_mhz:g} is {ratio:g} of the memory's. Give a simple fraction of "
            f"{model.technology.clock_mhz:g} MHz."
        )
    return fraction


def _check_controller(controller: Mapping[str, Value], technology: Technology) -> None:
    # The closed policy looks for bank groups, of which DDR3 has none.
    has = {**_HAS, "page_policy": ("Open",)} if technology.standard == "DDR3" else _HAS
    lacking = [f"{name} {controller[name]}" for name in has if controller[name] not in has[name]]
    if lacking:
        known = ", ".join(f"{name} {' or '.join(map(str, has[name]))}" for name in has)
        raise InfeasibleDesign(
            f"Ramulator 2 lacks {', '.join(lacking)}. For {technology.standard} it has {known}."
        )


def _organisation(technology: Technology) -> dict[str, int]:
    """Return the counts of each level; density is that of a device in Mbit."""
    groups = {"bankgroup": technology.bank_groups} if technology.standard == "DDR4" else {}
    bits = technology.banks * technology.rows * technology.columns * technology.width_bits
    return {
        "dq": technology.width_bits,
        "density": bits >> 20,
        "channel_width": technology.devices * technology.width_bits,
        "channel": technology.channels,
        "rank": technology.ranks,
        **groups,
        "bank": technology.banks // technology.bank_groups,
        "row": technology.rows,
        "column": technology.columns,
    }


def _timings(technology: Technology) -> dict[str, int]:
    """Return the timings in cycles, and the rate in transfers per microsecond."""
    names = {**_TIMINGS, **_GROUP_TIMINGS[technology.standard]}
    return {
        "rate": round(2 * technology.clock_mhz),
        "nBL": technology.burst_length // 2,
        **{name: technology.timings[own] for name, own in names.items()},
    }
