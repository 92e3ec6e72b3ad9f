"""The memory controller as a simulator: designs in, metrics out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from archgym_py.cores import cores
from archgym_py.design import Design, Value
from archgym_py.errors import ConfigError
from archgym_py.simulator import Evaluation, Status
from archgym_py.simulators.dram.address import AddressMap, decode_trace, load_address_map
from archgym_py.simulators.dram.commands import COMMANDS
from archgym_py.simulators.dram.descriptors import describe_technology, describe_trace
from archgym_py.simulators.dram.energy import EnergyModel
from archgym_py.simulators.dram.kernel import simulate
from archgym_py.simulators.dram.layout import (
    CONFIG,
    DECODED,
    MAX_BANKS,
    MAX_CHANNELS,
    MAX_GROUPS,
    MAX_RANKS,
    MAX_TRACE,
    OK,
    RESULT,
    STATE,
    SYSTEM_FIELDS,
    VALUES,
)
from archgym_py.simulators.dram.metrics import MetricTable
from archgym_py.simulators.dram.problem import identify_address_map, identify_technology
from archgym_py.simulators.dram.technology import Technology
from archgym_py.simulators.dram.timing import timing_tables
from archgym_py.simulators.dram.trace import Trace

__all__ = ["Command", "DRAMSimulator"]

_MODEL_VERSION = "1"  # raise it when the same design gets other metrics

_NUMBER = {name: {value: i for i, value in enumerate(values)} for name, values in VALUES.items()}
_NO_LOG = np.empty((0, 6), np.int64)
_MIN_DESIGNS_PER_THREAD = 4


@dataclass(frozen=True, slots=True)
class Command:
    """A command on a channel's bus.

    Attributes:
        cycle: Clock cycle of its issue.
        name: JEDEC name ("ACT", "RDA", "REFB", ...).
        rank: Rank, numbered over all channels.
        bank_group: Bank group, numbered over all ranks; None for a command to a whole rank.
        bank: Bank, numbered over all ranks; None for a command to a whole rank.
        row: The row that is open or being opened; None where there is none.
    """

    cycle: int
    name: str
    rank: int
    bank_group: int | None
    bank: int | None
    row: int | None


class DRAMSimulator:
    """A memory controller in front of a DRAM, playing one trace.

    It models DRAMSys 4.0 cycle by cycle, with DRAMPower 4.1's energy model. Metrics:

    * ``total_time_ns``: instant of the last answer at the trace player.
    * ``latency_mean_ns``, ``latency_p50_ns``, ``latency_p99_ns``, ``latency_max_ns``: answer at the
      player minus actual send time. The percentiles are elements n/2 and 99n/100 of the sorted
      list.
    * ``bandwidth_gbit_s``: data moved over the total time; ``bandwidth_busy_gbit_s``: the same
      without the time in which a channel's controller holds no request. With arbiter Simple the
      reference leaves the last request out of both; here every request counts.
    * ``row_hit_rate``: share of column commands that found their row open, that is without an
      activation of their bank since the bank's previous column command.
    * ``energy_pj``, its parts (`energy.COMPONENTS`) and ``average_power_mw``: of all DRAM devices,
      over the window that DRAMPower uses, which ends with the last command. Absent where no
      currents are public.
    * ``n_act`` ... ``n_srefen``: commands issued, over all channels.

    Args:
        trace: The requests.
        technology: The memory.
        address_map: Where addresses lie, unless a design says otherwise (``address_map``).
        fixed: Values of the parameters that designs lack, by name.
        player_clock_mhz: Clock of the trace player, in MHz.
        arbitration_delay_fw_ns: Player to controller (arbiter Simple only), in ns.
        arbitration_delay_bw_ns: Controller to player (arbiter Simple only), in ns.
        think_delay_fw_ns: Controller front end, requests, in ns.
        think_delay_bw_ns: Controller front end, responses, in ns.
        phy_delay_fw_ns: PHY, commands, in ns.
        phy_delay_bw_ns: PHY, data, in ns.
        reference_energy: Count the energy of several ranks as the reference does: all commands in
            one set of counters, the standby multiplied by the number of ranks. One rank: no effect.
        threads: Threads for a batch; as many as there are cores if None.

    Attributes:
        metrics: Names, units and bounds of what is reported.
        player_clock_mhz: As above.
        delays_ns: The six delays by name ("think_delay_fw"), in ns.

    Raises:
        ConfigError: If the kernel has no room for so many channels, ranks, banks or requests.
    """

    name = "dram"
    deterministic = True

    def __init__(
        self,
        *,
        trace: Trace,
        technology: Technology,
        address_map: AddressMap,
        fixed: Mapping[str, Value],
        player_clock_mhz: float,
        arbitration_delay_fw_ns: float = 0.0,
        arbitration_delay_bw_ns: float = 0.0,
        think_delay_fw_ns: float = 0.0,
        think_delay_bw_ns: float = 0.0,
        phy_delay_fw_ns: float = 0.0,
        phy_delay_bw_ns: float = 0.0,
        reference_energy: bool = False,
        threads: int | None = None,
    ) -> None:
        _check_size(technology, trace)
        self.trace = trace
        self.technology = technology
        self._address_map = address_map
        self._fixed = dict(fixed)
        self.player_clock_mhz = player_clock_mhz
        self.delays_ns: Mapping[str, float] = {
            "arbitration_delay_fw": arbitration_delay_fw_ns,
            "arbitration_delay_bw": arbitration_delay_bw_ns,
            "think_delay_fw": think_delay_fw_ns,
            "think_delay_bw": think_delay_bw_ns,
            "phy_delay_fw": phy_delay_fw_ns,
            "phy_delay_bw": phy_delay_bw_ns,
        }
        self._threads = threads or cores()
        self._pool: ThreadPoolExecutor | None = None
        self.version = f"{_MODEL_VERSION}+{trace.digest[:12]}"

        tables = timing_tables(technology)
        power = tables.power
        on_the_way = _ps(think_delay_fw_ns + think_delay_bw_ns + phy_delay_fw_ns + phy_delay_bw_ns)
        values = {
            "tck": technology.tck_ps,
            "player_period": round(1e6 / player_clock_mhz),
            "relative": trace.relative,
            "arbitration_fw": _ps(arbitration_delay_fw_ns),
            "arbitration_bw": _ps(arbitration_delay_bw_ns),
            "think_fw": _ps(think_delay_fw_ns),
            "command_delay": _ps(think_delay_fw_ns + phy_delay_fw_ns),
            "read_delay": on_the_way + tables.read_data_end,
            "write_delay": on_the_way + tables.write_data_end,
            "channels": technology.channels,
            "ranks": technology.ranks,
            "groups": technology.bank_groups,
            "banks": technology.banks,
            "split_bus": tables.split_bus,
            "interval_all": tables.refresh_interval["AllBank"],
            "interval_bank": tables.refresh_interval.get("PerBank", 0),
            "merge_ranks": reference_energy,
            "ap_read": power.auto_precharge_read,
            "ap_write": power.auto_precharge_write,
            "tras": power.tras,
            "trp": power.trp,
            "trfc": power.trfc,
            "trfcpb": power.trfcpb,
        }
        on_grid = ("player_period", "arbitration_fw", "arbitration_bw", "think_fw")
        values["aligned"] = (
            values["player_period"] == technology.tck_ps
            and not tables.split_bus
            and (values["read_delay"] - values["write_delay"]) % technology.tck_ps == 0
            and all(values[field] % technology.tck_ps == 0 for field in (*on_grid, "read_delay"))
        )
        self._system = np.zeros(1, STATE)
        for field in SYSTEM_FIELDS:
            self._system[field] = values[field]
        self._system["distance"] = tables.distance
        self._system["length"] = tables.length
        self._system["completion"] = power.completion
        merges_ranks = reference_energy and technology.ranks > 1 and bool(technology.supplies)
        self._settings: Mapping[str, Any] = {
            "fixed": {name: self._fixed[name] for name in CONFIG if name in self._fixed},
            "player_period_ps": values["player_period"],
            "arbitration_delay_fw_ps": values["arbitration_fw"],
            "arbitration_delay_bw_ps": values["arbitration_bw"],
            "think_delay_fw_ps": values["think_fw"],
            "command_delay_ps": values["command_delay"],
            "answer_delay_ps": on_the_way,
            "reference_energy": merges_ranks,
        }
        # The busiest data bus bounds the time; a design that chooses its map may spread perfectly.
        # With split command buses (HBM2) a rank is a pseudo channel and has a data bus of its own.
        buses = technology.channels * (technology.ranks if tables.split_bus else 1)
        busiest = len(trace) // buses
        if "address_map" in self._fixed and not tables.split_bus:
            busiest = int(np.bincount(self._requests("")["channel"]).max())
        self._table = MetricTable(
            trace,
            technology,
            self._system[0],
            EnergyModel.of(technology, merge_ranks=reference_energy),
            domains=technology.channels * (1 if reference_energy else technology.ranks),
            buses=buses,
            busiest=busiest,
        )
        self.metrics = self._table.metrics
        self._names = tuple(metric.name for metric in self.metrics)

    @cached_property
    def problem(self) -> Mapping[str, Any]:
        """All that the metrics of a design depend on; see `Described`."""
        return {
            "trace": self.trace.digest,
            "technology": identify_technology(self.technology),
            "address_map": identify_address_map(self._address_map, self.technology),
            **self._settings,
        }

    @cached_property
    def descriptors(self) -> Mapping[str, float]:
        """Numbers of the trace, the memory and the fixed arguments; see `Described`.

        Those of the trace are for the simulator's own address map, also where designs bring theirs.
        Delays are logarithms of one and the delay in ns. Flags are 0 where designs choose.
        """
        settings = self._settings
        return {
            **describe_trace(
                self.trace, self.technology, self._address_map, settings["player_period_ps"]
            ),
            **describe_technology(self.technology),
            "log_arbitration_delay_ns": math.log1p(
                (settings["arbitration_delay_fw_ps"] + settings["arbitration_delay_bw_ps"]) / 1000.0
            ),
            "log_answer_delay_ns": math.log1p(settings["answer_delay_ps"] / 1000.0),
            "strict_cmd_mux": float(self._fixed.get("cmd_mux") == "Strict"),
            "powers_down": float(self._fixed.get("power_down_policy") == "Staggered"),
            "reference_energy": float(settings["reference_energy"]),
        }

    def __getstate__(self) -> dict[str, Any]:
        """Leave the threads out, which cannot be copied; a copy starts its own."""
        return {**self.__dict__, "_pool": None}

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        """Simulate one design; see `Simulator.evaluate`."""
        return self.evaluate_batch([design], seeds=[seed])[0]

    def evaluate_batch(
        self, designs: Sequence[Design], *, seeds: Sequence[int]
    ) -> list[Evaluation]:
        """Simulate designs, on several threads where there are enough of them.

        Args:
            designs: Complete designs.
            seeds: Not used: the simulation is deterministic.

        Returns:
            One evaluation for each design, in order.
        """
        results = np.zeros(len(designs), RESULT)
        for name, members in self._by_address_map(designs).items():
            configs = np.array([self._config(designs[i]) for i in members], np.int64)
            part = np.zeros(len(members), RESULT)
            self._simulate(configs, self._requests(name), part)
            results[members] = part
        metrics = self._table.values(results)
        return [
            Evaluation(dict(zip(self._names, row, strict=True)))
            if status == OK
            else Evaluation(
                status=Status.CRASHED,
                message="the controller stalled: requests wait, but no column command can be "
                "issued any more. With cmd_mux=Strict the scheduler has to be Fifo.",
            )
            for row, status in zip(metrics, results["status"].tolist(), strict=True)
        ]

    def command_trace(self, design: Design) -> list[Command]:
        """Simulate one design and list every command that it issues.

        Args:
            design: A complete design.

        Returns:
            The commands in the order of their issue; for several channels, channel by channel
            within a simulation step.
        """
        requests = self._requests(self._map_name(design))
        configs = np.array([self._config(design)], np.int64)
        result = np.zeros(1, RESULT)
        simulate(self._system, configs, requests, result, _NO_LOG)
        log = np.empty((int(result["counts"].sum()), 6), np.int64)
        simulate(self._system, configs, requests, result, log)
        tck = self.technology.tck_ps
        return [
            Command(
                round(time / tck),
                COMMANDS[command],
                rank,
                *(None if number < 0 else number for number in place),
            )
            for time, command, rank, *place in log.tolist()
        ]

    def close(self) -> None:
        """End the threads; the simulator can still be used."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    # --- From designs to configurations ----------------------------------------------------------

    def controller_of(self, design: Design) -> dict[str, Value]:
        """Return a design's controller, with the parameters that are fixed.

        Args:
            design: A complete design.

        Returns:
            The value of each parameter of `layout.CONFIG`, in that order.
        """
        return {name: design[name] if name in design else self._fixed[name] for name in CONFIG}

    def address_map_of(self, design: Design) -> AddressMap:
        """Return the address map of a design, the simulator's own where designs have none.

        Args:
            design: A complete design.
        """
        name = self._map_name(design)
        return load_address_map(name) if name else self._address_map

    def _map_name(self, design: Design) -> str:
        return str(design["address_map"]) if "address_map" in design else ""

    def _by_address_map(self, designs: Sequence[Design]) -> dict[str, list[int]]:
        groups: dict[str, list[int]] = {}
        for i, design in enumerate(designs):
            groups.setdefault(self._map_name(design), []).append(i)
        return groups

    def _requests(self, map_name: str) -> np.ndarray:
        address_map = load_address_map(map_name) if map_name else self._address_map
        return _decoded_requests(self.trace, address_map, self.technology)

    def _config(self, design: Design) -> list[int]:
        row = []
        for name, value in self.controller_of(design).items():
            numbers = _NUMBER.get(name)
            row.append(int(value) if numbers is None else numbers[str(value)])
        return row

    def _simulate(self, configs: np.ndarray, requests: np.ndarray, results: np.ndarray) -> None:
        shares = min(self._threads, len(configs) // _MIN_DESIGNS_PER_THREAD)
        if shares < 2:
            simulate(self._system, configs, requests, results, _NO_LOG)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads)
        # Small pieces, since neighbouring designs may take much longer than others.
        size = max(_MIN_DESIGNS_PER_THREAD, len(configs) // (8 * shares))
        jobs = [
            self._pool.submit(
                simulate,
                self._system,
                configs[start : start + size],
                requests,
                results[start : start + size],
                _NO_LOG,
            )
            for start in range(0, len(configs), size)
        ]
        for job in jobs:
            job.result()


def _ps(time_ns: float) -> int:
    return round(time_ns * 1000.0)


def _check_size(technology: Technology, trace: Trace) -> None:
    if len(trace) > MAX_TRACE:
        raise ConfigError(
            f"trace {trace.name!r} has {len(trace)} requests; the simulator takes {MAX_TRACE} at "
            f"most. Cut the trace into pieces."
        )
    ranks = technology.channels * technology.ranks
    for what, number, limit in (
        ("channels", technology.channels, MAX_CHANNELS),
        ("ranks", ranks, MAX_RANKS),
        ("bank groups", ranks * technology.bank_groups, MAX_GROUPS),
        ("banks", ranks * technology.banks, MAX_BANKS),
    ):
        if number > limit:
            raise ConfigError(
                f"technology {technology.name!r} has {number} {what} over all channels; the "
                f"simulator has room for {limit}. Raise the limit in simulators/dram/layout.py."
            )


@lru_cache(maxsize=64)
def _decoded_requests(trace: Trace, address_map: AddressMap, technology: Technology) -> np.ndarray:
    """The trace as the kernel reads it; shared, do not change it."""
    place = decode_trace(trace, address_map)
    n = len(trace)
    requests = np.zeros(n, DECODED)
    requests["stamp"] = trace.stamps
    requests["address"] = trace.addresses.astype(np.int64)
    requests["row"] = place.row
    requests["bank"] = place.bank + place.channel * (technology.ranks * technology.banks)
    requests["channel"] = place.channel
    requests["write"] = trace.is_write
    requests["successor"] = n
    for channel in range(technology.channels):
        members = np.flatnonzero(place.channel == channel)
        requests["successor"][members[:-1]] = members[1:]
    return requests
