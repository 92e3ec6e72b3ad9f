"""Compare the event-driven SoC simulator with recorded runs of DS3.

A run has `spec`, what was simulated; `results`; and most have `tasks`, the whole schedule,
`arrivals`, the applications in order of their jobs with the time at which they came, and
`wait_draws`, what the generator slept. `freq_changes` are the steps of the governor "ondemand".

Where a run carries no arrivals they are drawn as DS3 draws them: waits by Python's `random`,
applications by NumPy's legacy generator, both from the run's seed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from archgym_py.errors import ArchGymError, ConfigError, did_you_mean
from archgym_py.simulators.soc.graphs import Edge, TaskGraph, load_task_graph
from archgym_py.simulators.soc.layout import Sim, Soc
from archgym_py.simulators.soc.platforms import Cluster, OperatingPoint, Platform, load_platform
from archgym_py.simulators.soc.problem import make_soc
from archgym_py.simulators.soc.settings import Settings
from archgym_py.simulators.soc.simulation import play
from archgym_py.simulators.soc.state import Jobs, make_sims

__all__ = ["EXACT", "TOLERANCES", "Finding", "Row", "gap", "replay_ds3", "schedule_finding"]

Row = Mapping[str, Any]

EXACT: Final = 1e-12
"""Numbers are equal if they differ by no more, relative to the recorded one: sums are rounded."""

TOLERANCES: Final[Mapping[str, float]] = {
    "schedule": 1e-9,
    "arrivals": 1e-9,
    "frequency changes": 1e-9,
    "counts": 0.0,
    "times": EXACT,
    "latency": EXACT,
    "mean jobs": EXACT,
    "energy": 1e-9,
    "energy of PEs": 1e-9,
    "temperature": 1e-9,
    "blocking": 0.0,
    "active": 1e-9,
    "final frequencies": 0.0,
}
"""Largest relative error of each quantity. Whole numbers have to be equal wherever they occur."""

PLATFORMS: Final[Mapping[str, str]] = {
    "SoC.MULTIPLE_BAL.txt": "multiple_bal",
    "SoC.BAL_only.txt": "bal_only",
    "SoC.Top.txt": "top",
}
"""The library's name of each of DS3's platforms."""

APPLICATIONS: Final[Mapping[str, tuple[str, str]]] = {
    "job_WIFI_5TXM.txt": ("WiFi_Transmitter", "wifi_transmitter"),
    "job_WIFI_5RXM.txt": ("WiFi_Receiver", "wifi_receiver"),
    "job_LAG.txt": ("lag_detection", "lag_detection"),
    "job_SCT.txt": ("SC-T", "single_carrier_transmitter"),
    "job_SCR.txt": ("SC-R", "single_carrier_receiver"),
    "job_TEMP_MIT.txt": ("Temporal_Mitigation", "temporal_mitigation"),
    "job_Top.txt": ("Top", "canonical"),
}
"""The name in `arrivals` and the library's name of each of DS3's applications."""

MOST_CHANGES: Final = 100_000
"""Changes of frequency for which there is room in a run; DS3's are in the hundreds."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A quantity of a run of ours beside the recorded one.

    Attributes:
        section: List of the file that has the run.
        group: Group and scheduler of the run.
        run: Name of the run.
        quantity: One of `TOLERANCES`.
        error: Largest relative error of its numbers; infinite where whole numbers differ, or one
            side has more numbers.
        difference: The first or largest difference in words, "" if there is none.
        binding: Whether the tolerance has to be kept.
    """

    section: str
    group: str
    run: str
    quantity: str
    error: float
    difference: str
    binding: bool = True

    @property
    def exact(self) -> bool:
        """Whether all numbers are equal."""
        return self.error <= EXACT

    @property
    def passed(self) -> bool:
        """Whether the tolerance is kept."""
        return self.error <= TOLERANCES[self.quantity]


def replay_ds3(section: str, rows: Sequence[Row]) -> list[Finding]:
    """Simulate recorded runs of DS3 and compare.

    Args:
        section: Name of the list that the runs are from, "ds3" or "ds3_small".
        rows: The runs.

    Raises:
        ConfigError: If a run lacks something, or names what does not exist.
    """
    findings = []
    for number, row in enumerate(rows):
        run = str(row.get("id", f"run {number}"))
        try:
            group = f"{row['group']} {row['spec']['scheduler']}"
            for quantity, (error, difference) in _compare(row):
                findings.append(Finding(section, group, run, quantity, error, difference))
        except KeyError as error:
            raise ConfigError(f"{section}: {run}: the key {error} is missing.") from None
        except (ArchGymError, TypeError, ValueError) as error:
            raise ConfigError(f"{section}: {run}: {error}") from error
    return findings


# --- What was simulated --------------------------------------------------------------------------


def _simulate(row: Row) -> tuple[Soc, Sim]:
    """Simulate a run; jobs that it does not record are drawn as DS3 draws them."""
    spec = row["spec"]
    platform, graphs = _platform(spec), _graphs(spec)
    soc = make_soc(platform, graphs, _settings(spec))
    if "arrivals" in row:
        return soc, _play(soc, _recorded_jobs(row))
    fixed = spec.get("fixed_num", True)
    count = spec["max_jobs"] if fixed else 64
    while True:
        sim = _play(soc, Jobs(_applications(spec, count), _waits(spec, count)))
        if fixed:  # the number does not include jobs that come before the warm-up
            came = sim.done_us[0] - sim.latency_us[0]
            missing = spec["max_jobs"] - int((came >= spec.get("warmup", 0)).sum())
        else:
            missing = count if sim.system[0, 0]["injected"] == count else 0
        if missing == 0:
            return soc, sim
        count += missing


def _play(soc: Soc, jobs: Jobs) -> Sim:
    tasks = int(np.diff(soc.first_task)[jobs.graphs].sum())
    sim = make_sims(soc, [jobs], rows=tasks, changes=MOST_CHANGES)
    play(soc, sim)
    return sim


def _settings(spec: Row) -> Settings:
    fixed = spec.get("fixed_num", True)
    return Settings(
        scheduler=spec["scheduler"].lower(),
        governor=spec.get("governor", "performance"),
        compat="ds3",
        max_jobs_in_flight=spec.get("max_parallel", 12),
        length_us=math.inf if fixed else float(spec["simulation_length"]),
        warmup_us=float(spec.get("warmup", 0)),
        shared_memory=spec.get("shared_memory", False),
        asap=spec.get("asap", False),
        throttling=spec.get("enable_throttling") in ("yes", True),
        trip_celsius=tuple(float(trip) for trip in spec.get("trip_temperature", (85, 90, 95))),
    )


def _platform(spec: Row) -> Platform:
    if "table" in spec:
        return _inline_platform(spec["table"])
    platform = load_platform(_known("soc", spec["soc"], PLATFORMS))
    return platform.with_pes(spec["capacity"]) if "capacity" in spec else platform


def _graphs(spec: Row) -> list[TaskGraph]:
    if "table" in spec:
        table = spec["table"]
        edges = tuple(Edge(source, target, volume) for source, target, volume in table["edges"])
        return [TaskGraph("inline", _task_names(table), edges)]
    return [load_task_graph(_known("job", job, APPLICATIONS)[1]) for job in spec["jobs"]]


def _known(what: str, name: str, known: Mapping[str, Any]) -> Any:
    if name not in known:
        raise ConfigError(f"unknown {what} {name!r}.{did_you_mean(name, known)}")
    return known[name]


def _task_names(table: Row) -> tuple[str, ...]:
    return tuple(f"task_{task}" for task in range(table["n_tasks"]))


def _inline_platform(table: Row) -> Platform:
    """Return the platform that a small case carries: one operating point, 50 mW for a busy PE."""
    names, bandwidth = _task_names(table), table["bandwidth"]
    members: dict[int, list[int]] = {}
    for pe, cluster in enumerate(table["pe_cluster"]):
        members.setdefault(cluster, []).append(pe)
    clusters = []
    for cluster, pes in sorted(members.items()):
        times = [[row[pe] for row in table["exec"]] for pe in pes]
        clusters.append(
            Cluster(
                name=f"P{cluster}",
                kind="cpu",
                pes=len(pes),
                opps=(OperatingPoint(1000.0, 900.0),),
                power_w={1000: tuple(0.05 * (n + 1) for n in range(len(pes)))},
                trip_mhz=(None, None, None),
                times_us={
                    name: time
                    for name, time in zip(names, _one_of(times), strict=True)
                    if time is not None
                },
            )
        )
    between = {
        (f"P{one}", f"P{other}"): float(
            _one_of([bandwidth[p][q] for p in members[one] for q in members[other] if p != q])
        )
        for one in members
        for other in members
        if one < other or (one == other and len(members[one]) > 1)
    }
    same = float(_one_of([bandwidth[pe][pe] for pe in range(table["n_pe"])]))
    return Platform("inline", tuple(clusters), same, 1.0, between)


def _one_of(values: Sequence[Any]) -> Any:
    """Return what is the same for all PEs of a cluster."""
    if any(value != values[0] for value in values):
        raise ConfigError(f"PEs of one cluster must be alike, got {values}.")
    return values[0]


# --- Which jobs came ------------------------------------------------------------------------------


def _recorded_jobs(row: Row) -> Jobs:
    spec, arrivals = row["spec"], row["arrivals"]
    waits = np.array(row.get("wait_draws") or _waits(spec, len(arrivals)), np.float64)
    if len(spec["jobs"]) == 1:
        return Jobs(np.zeros(len(arrivals), np.int64), waits)
    names = [_known("job", job, APPLICATIONS)[0] for job in spec["jobs"]]
    numbers = {name: number for number, name in enumerate(names)}
    graphs = [_known("application", name, numbers) for name, _ in arrivals]
    return Jobs(np.array(graphs, np.int64), waits)


def _waits(spec: Row, count: int) -> Any:
    if spec.get("fixed_rate"):
        return np.full(count, float(spec["scale"]))
    draw = random.Random(spec["seed"])
    return np.floor([draw.expovariate(1 / spec["scale"]) for _ in range(count)])


def _applications(spec: Row, count: int) -> Any:
    draw = np.random.RandomState(spec["seed"])
    choices = len(spec["jobs"])
    drawn = [draw.choice(choices, 1, p=spec["probabilities"])[0] for _ in range(count)]
    return np.array(drawn, np.int64)


# --- Comparing ------------------------------------------------------------------------------------


def _compare(row: Row) -> Iterator[tuple[str, tuple[float, str]]]:
    soc, sim = _simulate(row)
    y, pes, theirs = sim.system[0, 0], sim.pes[0], row["results"]
    if "tasks" in row:
        yield "schedule", schedule_finding(soc, sim, row["tasks"])
    if "arrivals" in row:
        done = sim.done_us[0] >= 0.0
        came = (sim.done_us[0] - sim.latency_us[0])[done]
        recorded = np.array([time for _, time in row["arrivals"]], np.float64)
        yield "arrivals", gap({"time of completed job": (came, recorded[done])})
    if "freq_changes" in row:
        changes = sim.changes[0, : y["n_changes"]]
        governed = changes[changes[:, 3] == 0.0, :3]
        yield "frequency changes", gap({"change": (governed, row["freq_changes"])})
    temperature = theirs["temperature"]
    yield (
        "counts",
        gap(
            {
                "injected_jobs": (y["heads"], theirs["injected_jobs"]),
                "completed_jobs": (y["counted"], theirs["completed_jobs"]),
                "tasks_completed": (y["tasks_done"], theirs["tasks_completed"]),
                "pruned_lookups": (y["lost_inputs"], theirs["pruned_predecessor_lookups"]),
                "temperature.n": (y["thermal_n"], temperature["n"]),
            }
        ),
    )
    execution = y["last_us"] - soc.options[0]["warmup_us"]
    yield (
        "times",
        gap(
            {
                "execution_time": (execution, theirs["execution_time"]),
                "sim_end": (y["now"], theirs["sim_end"]),
            }
        ),
    )
    mean = y["latency_us"] / max(y["counted"], 1)
    yield (
        "latency",
        gap(
            {
                "cumulative_exe_time": (y["latency_us"], theirs["cumulative_exe_time"]),
                "avg_latency": (mean, theirs["avg_latency"]),
            }
        ),
    )
    jobs = y["jobs_sum"] / y["injected"]
    yield "mean jobs", gap({"average_job_number": (jobs, theirs["average_job_number"])})
    joule = pes["energy_j"].sum()
    yield (
        "energy",
        gap(
            {
                "energy_J": (joule, theirs["energy_J"]),
                "energy_all_J": (y["energy_j"], theirs["energy_all_J"]),
                "EDP": (joule * execution, theirs["EDP"]),
            }
        ),
    )
    # The last PE and the last cluster of the reference are the memory.
    for quantity, key, name in (
        ("energy of PEs", "energy_J", "energy_j"),
        ("blocking", "blocking", "blocking_us"),
        ("active", "active", "active_us"),
    ):
        of_each = [pe[key] for pe in theirs["PE"]]
        yield quantity, gap({"PE": (np.append(pes[name], 0.0), of_each)})
    yield (
        "temperature",
        gap(
            {
                "max": (y["hottest"], temperature["max"]),
                "last": (sim.celsius[0], temperature["last"]),
            }
        ),
    )
    frequencies = np.append(sim.clusters[0]["mhz"], 0.0)
    yield "final frequencies", gap({"cluster": (frequencies, theirs["final_freq"])})


def schedule_finding(soc: Soc, sim: Sim, recorded: Sequence[Sequence[float]]) -> tuple[float, str]:
    """Compare a schedule with a recorded one.

    Args:
        soc: The problem.
        sim: Its simulation, which has ended and kept all rows.
        recorded: Rows of task_id, job_id, base_id, pe, start, finish, decided_at, comm_ready_at;
            of tasks that were completed, by task_id.

    Returns:
        The largest relative error of a time, and the earliest difference in words. The error is
        infinite where a task ran on another PE, or is in one of the schedules only.
    """
    rows = sim.rows[0, : sim.system[0, 0]["n_rows"]]
    jobs, tasks = rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64)
    first = np.concatenate([[0], np.cumsum(np.diff(soc.first_task)[sim.graphs[0]])])
    numbered = np.column_stack([first[jobs] + tasks, rows])
    ours = {row[0]: row[1:] for row in numbered.tolist()}
    theirs = {float(row[0]): [float(value) for value in row[1:]] for row in recorded}
    worst, earliest, difference = 0.0, math.inf, ""
    for task in ours.keys() | theirs.keys():
        our, their = ours.get(task), theirs.get(task)
        if our is None or their is None or our[:3] != their[:3]:
            error = math.inf
        else:
            error = max(map(_relative, our[3:], their[3:]))
        decided = min(row[5] for row in (our, their) if row is not None)
        if error > EXACT and decided < earliest:
            earliest = decided
            difference = f"task {task:.0f} is {our}, recorded {their}"
        worst = max(worst, error)
    return worst, difference


def gap(pairs: Mapping[str, tuple[Any, Any]]) -> tuple[float, str]:
    """Return the largest relative error, and where it is.

    Args:
        pairs: Our numbers and the recorded ones by their name, scalars or arrays.

    Returns:
        The error and the difference in words; infinite where there are more numbers on one side.
    """
    worst, difference = 0.0, ""
    for name, (one, other) in pairs.items():
        ours = np.asarray(one, np.float64).ravel()
        theirs = np.asarray(other, np.float64).ravel()
        if ours.size != theirs.size:
            return math.inf, f"{name}: {ours.size} numbers, recorded {theirs.size}"
        for place, (a, b) in enumerate(zip(ours.tolist(), theirs.tolist(), strict=True)):
            error = _relative(a, b)
            if error > worst:
                at = f" {place}" if ours.size > 1 else ""
                worst, difference = error, f"{name}{at} is {a!r}, recorded {b!r}"
    return worst, difference


def _relative(ours: float, theirs: float) -> float:
    if ours == theirs:
        return 0.0
    error = abs(ours - theirs) / abs(theirs) if theirs else math.inf
    return math.inf if math.isnan(error) else error
