"""How jobs run on a platform: everything but the platform and the jobs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from archgym_py.checks import flag, integer, number
from archgym_py.errors import ConfigError, UnknownNameError, did_you_mean
from archgym_py.simulators.soc.layout import ORDERS, POLICIES, REWARDS

__all__ = ["COMPAT", "PLANS", "SCHEDULERS", "Settings"]

COMPAT: Final = ("none", "ds3", "ds3gym")
"""Whose ways a simulation keeps; "none" for the clean mode."""

PLANS: Final = ("heft", "cpop", "peft", "lookahead_heft", "optimum")
"""Schedulers that give each task of a graph the PE of its static schedule on an idle platform."""

SCHEDULERS: Final = (*(name for name in POLICIES if name not in {"external", "plan"}), *PLANS)
"""Names of the schedulers: those that decide when a task is ready, and then `PLANS`."""

_MAX_US: Final = 1e12


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How jobs run on a platform.

    Attributes:
        scheduler: One of `SCHEDULERS`, or "external": the caller places every task.
        governor: How clusters choose their operating point, for all or by name of the cluster:
            "performance" (the highest), "powersave" (the lowest), "ondemand" or a frequency of the
            cluster, "constant-1000" in MHz. One name for all leaves accelerators at their highest.
        compat: One of `COMPAT`.
        max_jobs_in_flight: Jobs in the system above which none is let in.
        length_us: When the run ends, in us; infinite: when all jobs are complete.
        warmup_us: When the statistics begin, in us.
        shared_memory: Data pass through the memory instead of from PE to PE.
        asap: A job that ends lets the next one in at once.
        contention: A link carries one transfer at a time, and so does the memory.
        power: Keep account of energy and temperature.
        power_gating: Clusters without a running task are switched off and do not leak.
        wake_us: Time to switch them on, in us.
        switch_us: Time that a PE takes to turn to another kind of task, in us.
        noise_std: Standard deviation of execution times, relative.
        durations: The jobs say how long each of their tasks runs.
        deadline_factor: A job is late if it takes longer than this times the sum of the shortest
            execution times on its critical path; infinite for no deadlines.
        throttling: Hot chips are slowed down.
        trip_celsius: Temperatures of the trip levels.
        sampling_us: Period of the governor "ondemand", in us.
        high_load: Load (sum over the PEs of a cluster) above which it takes the highest frequency.
        low_load: Load below which it steps down.
        thermal_us: Period of the temperatures, in us.
        fill_first: Jobs enter at time 0 until no more may, as in DS3Gym.
        seed: Seed of the scheduler "random".
        order: How ready tasks are put to a scheduler outside, one of `layout.ORDERS`.
        reward: What is counted for it, one of `layout.REWARDS`.

    Raises:
        ConfigError: If a value is not legal.
        UnknownNameError: If a name is not known.
    """

    scheduler: str = "etf"
    governor: str | Mapping[str, str] = "performance"
    compat: str = "none"
    max_jobs_in_flight: int = 12
    length_us: float = math.inf
    warmup_us: float = 0.0
    shared_memory: bool = False
    asap: bool = False
    contention: bool = False
    power: bool = True
    power_gating: bool = False
    wake_us: float = 0.0
    switch_us: float = 0.0
    noise_std: float = 0.0
    durations: bool = False
    deadline_factor: float = math.inf
    throttling: bool = False
    trip_celsius: tuple[float, ...] = (85.0, 90.0, 95.0)
    sampling_us: float = 10.0
    high_load: float = 0.8
    low_load: float = 0.3
    thermal_us: float = 1000.0
    fill_first: bool = False
    seed: int = 0
    order: str = "fifo"
    reward: str = "jobs_in_system"

    def __post_init__(self) -> None:
        names = {
            "scheduler": (*SCHEDULERS, "external"),
            "compat": COMPAT,
            "order": ORDERS,
            "reward": REWARDS,
        }
        for name, known in names.items():
            value = getattr(self, name)
            if value not in known:
                raise UnknownNameError(
                    f"unknown {name} {value!r}.{did_you_mean(str(value), known)}"
                )
        for name in (
            "shared_memory",
            "asap",
            "contention",
            "power",
            "power_gating",
            "throttling",
            "fill_first",
            "durations",
        ):
            flag(name, getattr(self, name))
        if not isinstance(self.governor, str | Mapping):
            raise ConfigError(f"governor is a name, or names by cluster, got {self.governor!r}.")
        if not isinstance(self.trip_celsius, Sequence):
            raise ConfigError(f"trip_celsius lists temperatures, got {self.trip_celsius!r}.")
        trips = [number("trip_celsius", trip, -273.0, 1e4) for trip in self.trip_celsius]
        if not trips or sorted(set(trips)) != trips:
            raise ConfigError(f"trip_celsius must rise from level to level, got {trips}.")
        integer("max_jobs_in_flight", self.max_jobs_in_flight, 1, 10_000)
        integer("seed", self.seed, 0, 2**63 - 1)
        for name, low in (
            ("warmup_us", 0.0),
            ("wake_us", 0.0),
            ("switch_us", 0.0),
            ("noise_std", 0.0),
            ("sampling_us", 1e-3),
            ("thermal_us", 1e-3),
            ("high_load", 0.0),
            ("low_load", 0.0),
        ):
            number(name, getattr(self, name), low, _MAX_US)
        for name in ("length_us", "deadline_factor"):
            if getattr(self, name) != math.inf:
                number(name, getattr(self, name), 1e-3, _MAX_US)
        if self.durations and self.noise_std > 0.0:
            raise ConfigError("durations=True and noise_std exclude each other: leave one out.")
        if self.throttling and not self.power:
            raise ConfigError("throttling=True needs power=True, which keeps the temperatures.")
        if self.low_load > self.high_load:
            raise ConfigError(
                f"low_load must be at most high_load, got {self.low_load} and {self.high_load}."
            )
        if self.warmup_us >= self.length_us:
            raise ConfigError(
                f"warmup_us must be less than length_us, got {self.warmup_us} and {self.length_us}."
            )
        if self.compat != "none":
            for name in ("contention", "power_gating", "switch_us", "wake_us"):
                if getattr(self, name):
                    raise ConfigError(
                        f"{name}={getattr(self, name)!r} needs compat='none': the simulators that "
                        f"compat={self.compat!r} follows know nothing of it."
                    )
