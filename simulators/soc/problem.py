"""Makes the kernel's arrays from a platform, task graphs and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from archgym_py.errors import ConfigError, UnknownNameError, did_you_mean
from archgym_py.simulators.soc.graphs import TaskGraph
from archgym_py.simulators.soc.layout import (
    GOVERNORS,
    GPU_W,
    MEMORY_W,
    OPTIONS,
    ORDERS,
    POLICIES,
    REWARDS,
    Soc,
)
from archgym_py.simulators.soc.platforms import Cluster, Platform
from archgym_py.simulators.soc.settings import COMPAT, PLANS, Settings
from archgym_py.simulators.soc.static_problem import StaticProblem
from archgym_py.simulators.soc.static_schedule import (
    optimistic_costs,
    static_schedule,
    upward_ranks,
)

__all__ = ["make_plan", "make_soc"]


# Temperatures of an Odroid-XU3's five hotspots above 42 degrees, from DS3: the next ones are
# _COOLING times these plus the columns of _HEATING times powers in W.
_COOLING: Final = np.array(
    [
        [0.9928, 0.000566, 0.004281, 0.0003725, 1.34e-5],
        [0.006084, 0.9909, 0.0, 0.001016, 8.863e-5],
        [0.0, 0.0008608, 0.993, 0.0, 0.0008842],
        [0.006844, -0.0005119, 0.0, 0.9904, 0.0003392],
        [0.0007488, 0.003932, 8.654e-5, 0.002473, 0.9905],
    ]
)
_HEATING: Final[Mapping[str, tuple[float, ...]]] = {
    "memory": (0.07423, 0.0, 0.6708, 0.0, 0.01404),
    "gpu": (6.898e-7, 0.001971, 2.108e-6, 0.01682, 0.03811),
    "big": (0.0471, 0.01265, 0.113, 0.01646, 0.01476),
    "little": (0.02399, 0.0, 0.02819, 0.007198, 0.03902),
}
_DS3_THERMAL_US: Final = 20.0
_DS3GYM_SAMPLING_US: Final = 5.0
_STEP_US: Final = 100_000.0  # period of the governors on the board that the matrices describe


_SAME_NAME: Final = (
    "shared_memory",
    "asap",
    "fill_first",
    "power",
    "contention",
    "throttling",
    "seed",
    "length_us",
    "warmup_us",
    "switch_us",
    "wake_us",
    "high_load",
    "low_load",
    "noise_std",
)  # settings that are options of the kernel


def make_soc(platform: Platform, graphs: Sequence[TaskGraph], settings: Settings) -> Soc:
    """Return a problem for the kernel.

    Args:
        platform: The SoC.
        graphs: The graphs of the jobs.
        settings: How they run.

    Raises:
        ConfigError: If no PE can run a task, or a governor asks for a frequency that a cluster does
            not have.
        UnknownNameError: If a governor or its cluster is not known.
    """
    problems = [StaticProblem.of(graph, platform) for graph in graphs]
    work_us = np.ascontiguousarray(np.concatenate([problem.times for problem in problems]))
    options = _options(settings)
    options["scale_us"] = max(float(work_us[np.isfinite(work_us)].mean()), 1e-3)
    is_clean = settings.compat == "none"
    cooling, heating = _thermal(
        platform.clusters, settings.thermal_us / _STEP_US if is_clean else 1.0
    )
    return Soc(
        options=options,
        work_us=work_us,
        comm_us=_communication(platform, graphs, is_clean=is_clean),
        energy=np.concatenate([_task_power(platform, graph) for graph in graphs]),
        rank_us=_ranks(problems, settings),
        outlook_us=_outlooks(problems, settings),
        plan=_plan(problems, settings),
        deadline_us=np.array([settings.deadline_factor * _critical_us(p) for p in problems]),
        cooling=cooling,
        heating=heating,
        **_edges(graphs),
        **_clusters(platform, settings),
    )


def _options(settings: Settings) -> npt.NDArray[Any]:
    """Return the record of options, but for the scale of times."""
    is_clean = settings.compat == "none"
    options = np.zeros(1, OPTIONS)
    o = options[0]
    o["compat"] = COMPAT.index(settings.compat)
    o["policy"] = POLICIES.index("plan" if settings.scheduler in PLANS else settings.scheduler)
    o["order"], o["reward"] = ORDERS.index(settings.order), REWARDS.index(settings.reward)
    o["capacity"] = settings.max_jobs_in_flight
    o["gating"] = settings.power_gating
    o["noise"] = 2 if settings.durations else int(settings.noise_std > 0.0)
    o["sampling_us"] = _DS3GYM_SAMPLING_US if settings.compat == "ds3gym" else settings.sampling_us
    o["thermal_us"] = settings.thermal_us if is_clean else _DS3_THERMAL_US
    o["base_w"] = MEMORY_W + GPU_W
    for name in _SAME_NAME:
        o[name] = getattr(settings, name)
    return options


def _edges(graphs: Sequence[TaskGraph]) -> dict[str, npt.NDArray[np.int64]]:
    """Return where the tasks of each graph and the edges of each task begin, and the edges' ends.

    Edges are numbered by their target, and an edge that leaves a task is listed by that, too.
    """
    first_task, first_in, first_out = [0], [0], [0]
    source: list[int] = []
    target: list[int] = []
    out_edge: list[int] = []
    for graph in graphs:
        start = len(source)
        for task in range(len(graph.tasks)):
            first_in.append(first_in[-1] + len(graph.predecessors(task)))
            leaving = [i for i, edge in enumerate(graph.edges) if edge.source == task]
            target += [graph.edges[i].target for i in leaving]
            out_edge += [start + i for i in leaving]
            first_out.append(len(target))
        source += [edge.source for edge in graph.edges]
        first_task.append(first_task[-1] + len(graph.tasks))
    lists = {
        "first_task": first_task,
        "first_in": first_in,
        "source": source,
        "first_out": first_out,
        "target": target,
        "out_edge": out_edge,
    }
    return {name: np.array(values, np.int64) for name, values in lists.items()}


def _communication(
    platform: Platform, graphs: Sequence[TaskGraph], *, is_clean: bool
) -> npt.NDArray[np.float64]:
    """Return how long each edge takes from PE to PE, (E, P + 1, P + 1); whole us in DS3."""
    volume = np.array([edge.volume for graph in graphs for edge in graph.edges])
    with np.errstate(divide="ignore", invalid="ignore"):
        times = volume[:, np.newaxis, np.newaxis] / platform.bandwidth_matrix()[np.newaxis]
    times[np.isnan(times)] = 0.0  # nothing over no link
    return times if is_clean else np.floor(times)


def _clusters(platform: Platform, settings: Settings) -> dict[str, npt.NDArray[Any]]:
    """Return what the kernel knows of the clusters."""
    clusters = platform.clusters
    n, is_clean = len(clusters), settings.compat == "none"
    points = max(len(cluster.opps) for cluster in clusters)
    lines = max(1, *(len(cluster.power_w) for cluster in clusters))
    listed = [max(map(len, cluster.power_w.values()), default=0) for cluster in clusters]
    mhz, volt = np.zeros((n, points)), np.zeros((n, points))
    profile_mhz, profile_volt = np.zeros((n, lines)), np.ones((n, lines))
    profile_w = np.zeros((n, lines, max(listed)))
    trip_mhz = np.full((n, len(settings.trip_celsius)), -1.0)
    for c, cluster in enumerate(clusters):
        mhz[c, : len(cluster.opps)] = [point.mhz for point in cluster.opps]
        volt[c, : len(cluster.opps)] = [point.mv / 1000.0 for point in cluster.opps]
        for line, (key, watts) in enumerate(sorted(cluster.power_w.items())):
            profile_mhz[c, line], profile_w[c, line, : len(watts)] = key, watts
            profile_volt[c, line] = _voltage(cluster, key)
        for i, limit in enumerate(cluster.trip_mhz[: trip_mhz.shape[1]]):
            trip_mhz[c, i] = -1.0 if limit is None else limit
    governors = [_governor(cluster, settings.governor, clusters) for cluster in clusters]
    return {
        "cluster": np.array(platform.pe_cluster, np.int64),
        "first_pe": np.cumsum([0, *(cluster.pes for cluster in clusters)], dtype=np.int64),
        "n_points": np.array([len(cluster.opps) for cluster in clusters], np.int64),
        "mhz": mhz,
        "volt": volt,
        "n_profiles": np.array([len(cluster.power_w) for cluster in clusters], np.int64),
        "profile_mhz": profile_mhz,
        "profile_volt": profile_volt,
        "profile_n": np.array(listed, np.int64),
        "profile_w": profile_w,
        "leak": np.array([_leak(cluster, is_clean=is_clean) for cluster in clusters]),
        "governor": np.array([kind for kind, _ in governors], np.int64),
        "start_point": np.array([point for _, point in governors], np.int64),
        "trip_mhz": trip_mhz,
        "trip_celsius": np.array(settings.trip_celsius, np.float64),
    }


# What a scheduler does not ask for is not worked out: zeros stand in for it.


def _ranks(problems: Sequence[StaticProblem], settings: Settings) -> npt.NDArray[np.float64]:
    """Return upward ranks; DS3Gym ranks ready tasks alone, by their mean execution time."""
    if settings.scheduler not in {"heft_rt", "external"}:
        return np.zeros(sum(problem.n_tasks for problem in problems))
    rank = upward_ranks if settings.compat != "ds3gym" else _mean_work
    return np.concatenate([np.array(rank(problem)) for problem in problems])


def _mean_work(problem: StaticProblem) -> list[float]:
    return problem.mean_work


def _outlooks(problems: Sequence[StaticProblem], settings: Settings) -> npt.NDArray[np.float64]:
    """Return the tables of optimistic costs."""
    if settings.scheduler != "peft_rt":
        return np.zeros((sum(problem.n_tasks for problem in problems), problems[0].n_pes))
    return np.concatenate([np.array(optimistic_costs(problem)) for problem in problems])


def _plan(problems: Sequence[StaticProblem], settings: Settings) -> npt.NDArray[np.int64]:
    """Return the plans of all graphs."""
    if settings.scheduler not in PLANS:
        return np.zeros((sum(problem.n_tasks for problem in problems), 2), np.int64)
    return np.concatenate([make_plan(settings.scheduler, problem) for problem in problems])


def make_plan(scheduler: str, problem: StaticProblem) -> npt.NDArray[np.int64]:
    """Return where the tasks of a graph run in its static schedule.

    Args:
        scheduler: One of `PLANS`.
        problem: The graph on a platform.

    Returns:
        For each task its PE and the task before it on that PE, -1 for none, (tasks, 2).
    """
    schedule = static_schedule(scheduler, problem)
    plan = np.full((problem.n_tasks, 2), -1, np.int64)
    last: dict[int, int] = {}
    for task in sorted(
        range(problem.n_tasks), key=lambda i: (schedule.start[i], schedule.finish[i])
    ):
        pe = schedule.pe[task]
        plan[task] = pe, last.get(pe, -1)
        last[pe] = task
    return plan


def _critical_us(problem: StaticProblem) -> float:
    """Return the longest path of a graph if every task runs on its fastest PE, in us."""
    end = [0.0] * problem.n_tasks
    for task in problem.graph.topological_order:
        before = (end[source] for source in problem.graph.predecessors(task))
        end[task] = max(before, default=0.0) + float(problem.times[task].min())
    return max(end)


def _voltage(cluster: Cluster, mhz: float) -> float:
    """Return the voltage at the lowest operating point of at least a frequency, in V."""
    return next((p.mv for p in cluster.opps if p.mhz >= mhz), cluster.opps[-1].mv) / 1000.0


def _leak(cluster: Cluster, *, is_clean: bool) -> float:
    """Return the leakage of a core in units of the model's four; DS3's accelerators leak too."""
    if cluster.kind == "little":
        return 1.0 / 16.0
    return 0.0 if is_clean and cluster.kind == "accelerator" else 1.0 / 4.0


def _task_power(platform: Platform, graph: TaskGraph) -> npt.NDArray[np.float64]:
    """Return the power of each task on each PE in W, 0 where the platform has none."""
    by_cluster = [
        [cluster.task_power_w.get(task, 0.0) for cluster in platform.clusters]
        for task in graph.tasks
    ]
    return np.ascontiguousarray(np.array(by_cluster)[:, list(platform.pe_cluster)])


def _governor(
    cluster: Cluster, governor: str | Mapping[str, str], clusters: Sequence[Cluster]
) -> tuple[int, int]:
    """Return the kind of governor and the operating point at the start."""
    if isinstance(governor, str):
        name = governor
        if cluster.kind == "accelerator" and name.startswith("constant-"):
            name = "performance"
    else:
        names = [c.name for c in clusters]
        for given in governor:
            if given not in names:
                raise UnknownNameError(
                    f"a governor for the unknown cluster {given!r}.{did_you_mean(given, names)}"
                )
        name = governor.get(cluster.name, "performance")
        if not isinstance(name, str):
            raise ConfigError(f"the governor of cluster {cluster.name!r} is a name, got {name!r}.")
    if name == "ondemand":
        return GOVERNORS.index("ondemand"), len(cluster.opps) - 1
    if name in {"performance", "powersave"}:
        return 0, len(cluster.opps) - 1 if name == "performance" else 0
    if name.startswith("constant-"):
        for index, point in enumerate(cluster.opps):
            if f"{point.mhz:g}" == name.removeprefix("constant-"):
                return 0, index
        listed = ", ".join(f"{point.mhz:g}" for point in cluster.opps)
        raise ConfigError(
            f"governor {name!r}: cluster {cluster.name!r} has no such frequency; it has {listed}."
        )
    known = ("performance", "powersave", "ondemand", "constant-1000")
    raise UnknownNameError(f"unknown governor {name!r}.{did_you_mean(name, known)}")


def _thermal(
    clusters: Sequence[Cluster], step: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the matrices for a part of the period that the board's describe."""
    columns = [_HEATING["memory"], _HEATING["gpu"]]
    columns += [_HEATING.get(cluster.kind, (0.0,) * 5) for cluster in clusters]
    heating = np.ascontiguousarray(np.array(columns).T)
    if step == 1.0:
        return _COOLING.copy(), heating
    # x' = A x + B u sampled more finely: A^step, and the same steady state (I - A)^-1 B u.
    values, vectors = np.linalg.eig(_COOLING)
    cooling = np.real(vectors @ np.diag(values.astype(complex) ** step) @ np.linalg.inv(vectors))
    steady = np.linalg.solve(np.eye(5) - _COOLING, heating)
    return np.ascontiguousarray(cooling), np.ascontiguousarray((np.eye(5) - cooling) @ steady)
