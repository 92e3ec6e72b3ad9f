"""Makes the kernel's arrays of a design, from tables that all designs of a workload share.

A search evaluates hundreds of designs in a second, too many to build and check a `Platform` for
each of them. `make_soc` builds one problem that has a PE of each kind; a design's problem takes
from it a column for each of its PEs and a row for each of its clusters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from archgym_py.errors import InfeasibleDesign
from archgym_py.simulators.soc.design_space import (
    KINDS,
    MAX_PES,
    TRIP_STEP_CELSIUS,
    base_platform,
)
from archgym_py.simulators.soc.graphs import TaskGraph
from archgym_py.simulators.soc.layout import GOVERNORS, POLICIES, Soc
from archgym_py.simulators.soc.platforms import Cluster
from archgym_py.simulators.soc.problem import make_plan, make_soc
from archgym_py.simulators.soc.settings import PLANS, Settings
from archgym_py.simulators.soc.static_problem import StaticProblem
from archgym_py.simulators.soc.static_schedule import (
    optimistic_costs,
    upward_ranks,
)
from archgym_py.space import Value

__all__ = ["Problems"]

THERMAL_US: Final = 1000.0
"""Period of the temperatures, in us."""

_TRIPS: Final = 3
_IS_CORE: Final = np.array([kind.max_mhz is not None for kind in KINDS])
_IS_FFT: Final = np.array([kind.label == "fft" for kind in KINDS])
_IS_MATRIX: Final = np.array([kind.label == "matrix" for kind in KINDS])

_Floats = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a design is made of: C clusters of P PEs.

    Attributes:
        cluster_kind: Kind of each cluster, (C,).
        cluster_pes: Number of its PEs, (C,).
        top: Number of its highest operating point, (C,).
    """

    cluster_kind: _Integers
    cluster_pes: _Integers
    top: _Integers

    @property
    def pe_cluster(self) -> _Integers:
        """Cluster of each PE, (P,)."""
        return np.repeat(np.arange(len(self.cluster_pes)), self.cluster_pes)

    @property
    def pe_kind(self) -> _Integers:
        """Kind of each PE, (P,)."""
        return np.repeat(self.cluster_kind, self.cluster_pes)


class Problems:
    """The problems of the designs of `SOC_DESIGN_SPACE` for some applications.

    Args:
        graphs: The applications.
        deadline_factor: See `Settings`; critical paths are those of an SoC with every kind of PE at
            its highest frequency, so that designs have equal deadlines.
        contention: See `Settings`.
        wake_us: See `Settings`.
        thermal_speedup: How many times as fast as on the board temperatures follow the power.

    Attributes:
        whole: The problem of an SoC with one PE of each kind.

    Raises:
        ConfigError: If no kind of PE can run a task.
    """

    def __init__(
        self,
        graphs: Sequence[TaskGraph],
        *,
        deadline_factor: float,
        contention: bool,
        wake_us: float,
        thermal_speedup: float,
    ) -> None:
        self._graphs = tuple(graphs)
        platform = base_platform()
        clusters = tuple(_listed_for_all(cluster) for cluster in platform.clusters)
        platform = replace(platform, clusters=clusters)
        self._same_pe_bandwidth = platform.same_pe_bandwidth
        self.whole = make_soc(
            platform.with_pes({cluster.name: 1 for cluster in clusters}),
            self._graphs,
            Settings(
                deadline_factor=deadline_factor,
                contention=contention,
                wake_us=wake_us,
                thermal_us=THERMAL_US * thermal_speedup,
                trip_celsius=tuple(
                    float(level) for level in range(_TRIPS)
                ),  # stands for a design's
                reward="energy",
            ),
        )
        # The matrices above are those of a period of the board's time; here it passes sooner.
        self.whole.options[0]["thermal_us"] = THERMAL_US
        edges = [edge for graph in self._graphs for edge in graph.edges]
        self._volumes = np.array([edge.volume for edge in edges])[:, np.newaxis, np.newaxis]

    def build(self, design: Mapping[str, Value]) -> Soc:
        """Return the problem of a design.

        Args:
            design: A canonical design of `SOC_DESIGN_SPACE`.

        Raises:
            InfeasibleDesign: If no PE can run a task; the message names it.
        """
        whole = self.whole
        parts = self._parts(design)
        kinds, of_pe = parts.cluster_kind, parts.pe_kind
        if not len(of_pe):
            raise InfeasibleDesign("the SoC has no PE. Give it a core.")
        work_us = self._work_us(parts)
        self._check_tasks(work_us)
        bandwidth = self._bandwidth(design, of_pe)
        rank_us, outlook_us, plan = self._tables(str(design["scheduler"]), work_us, bandwidth)
        is_ondemand = design["governor"] == "ondemand"
        trips = float(design["first_trip_celsius"]) + TRIP_STEP_CELSIUS * np.arange(_TRIPS)
        count = len(kinds)
        return whole._replace(
            options=self._options(design),
            work_us=work_us,
            energy=np.zeros_like(work_us),
            comm_us=self._volumes / bandwidth,
            rank_us=rank_us,
            outlook_us=outlook_us,
            plan=plan,
            cluster=parts.pe_cluster,
            first_pe=np.concatenate(([0], np.cumsum(parts.cluster_pes))),
            n_points=parts.top + 1,
            mhz=whole.mhz[kinds],
            volt=whole.volt[kinds],
            n_profiles=whole.n_profiles[kinds],
            profile_mhz=whole.profile_mhz[kinds],
            profile_n=whole.profile_n[kinds],
            profile_w=whole.profile_w[kinds],
            profile_volt=whole.profile_volt[kinds],
            leak=whole.leak[kinds],
            governor=np.full(count, GOVERNORS.index("ondemand" if is_ondemand else "static")),
            start_point=np.where(design["governor"] == "powersave", 0, parts.top),
            trip_mhz=whole.trip_mhz[kinds],
            trip_celsius=trips,
            heating=np.ascontiguousarray(whole.heating[:, np.concatenate(([0, 1], kinds + 2))]),
        )

    @property
    def serial_us(self) -> _Floats:
        """Time of each graph if its tasks run one after another on their slowest PEs, in us."""
        slowest = np.where(np.isfinite(self.whole.work_us), self.whole.work_us, 0.0).max(axis=1)
        sums: _Floats = np.add.reduceat(slowest, self.whole.first_task[:-1])
        return sums

    def pe_kinds(self, design: Mapping[str, Value]) -> _Integers:
        """Return the kind of each PE of a design as a place in `KINDS`, (P,)."""
        return self._parts(design).pe_kind

    def _parts(self, design: Mapping[str, Value]) -> _Parts:
        kinds, pes, tops = [], [], []
        for number, kind in enumerate(KINDS):
            top = int(self.whole.n_points[number]) - 1
            if kind.max_mhz is not None:
                top = int(np.searchsorted(self.whole.mhz[number, : top + 1], design[kind.max_mhz]))
            left = int(design[kind.count])
            while left:
                size = min(left, kind.most_per_cluster)
                kinds.append(number)
                pes.append(size)
                tops.append(top)
                left -= size
        return _Parts(np.array(kinds, np.int64), np.array(pes, np.int64), np.array(tops, np.int64))

    def _work_us(self, parts: _Parts) -> _Floats:
        """Return execution times at the highest frequencies of the design, (T, P)."""
        kinds = parts.cluster_kind
        highest = self.whole.mhz[kinds, self.whole.n_points[kinds] - 1]
        slowdown = highest / self.whole.mhz[kinds, parts.top]
        return np.ascontiguousarray(
            self.whole.work_us[:, parts.pe_kind] * slowdown[parts.pe_cluster]
        )

    def _check_tasks(self, work_us: _Floats) -> None:
        cannot = np.flatnonzero(np.isinf(work_us.min(axis=1)))
        if len(cannot):
            graph = int(np.searchsorted(self.whole.first_task, cannot[0], side="right")) - 1
            task = self._graphs[graph].tasks[cannot[0] - self.whole.first_task[graph]]
            able = np.isfinite(self.whole.work_us[cannot[0]])
            counts = [kind.count for kind, is_able in zip(KINDS, able, strict=True) if is_able]
            raise InfeasibleDesign(
                f"no PE can run task {task!r} of {self._graphs[graph].name!r}. It needs one of: "
                f"{', '.join(counts)}."
            )

    def _options(self, design: Mapping[str, Value]) -> npt.NDArray[Any]:
        options = self.whole.options.copy()
        o = options[0]
        scheduler = str(design["scheduler"])
        o["policy"] = POLICIES.index("plan" if scheduler in PLANS else scheduler)
        o["capacity"] = design["max_jobs_in_flight"]
        o["shared_memory"] = design["communication"] == "shared_memory"
        o["gating"] = design["power_gating"]
        o["throttling"] = design["throttling"]
        o["high_load"] = design["ondemand_high_load"]
        o["low_load"] = design["ondemand_low_load"]
        o["sampling_us"] = design["sampling_us"]
        return options

    def _bandwidth(self, design: Mapping[str, Value], of_pe: _Integers) -> _Floats:
        """Return the bandwidth between each two PEs, and the memory as the last one."""
        memory = float(design["memory_bandwidth"])
        size = len(of_pe)
        bandwidth = np.full((size + 1, size + 1), memory)
        if design["communication"] == "pe_to_pe":
            core, fft = _IS_CORE[of_pe], _IS_FFT[of_pe]
            far = core | _IS_MATRIX[of_pe]  # from FFTs
            links = np.full((size, size), float(design["accelerator_bandwidth"]))
            links[np.ix_(core, core)] = float(design["core_bandwidth"])
            links[np.ix_(fft, far)] = links[np.ix_(far, fft)] = float(design["fft_bandwidth"])
            bandwidth[:size, :size] = links
        else:
            # Two transfers, which only those who plan ahead take for one.
            bandwidth[:size, :size] = memory / 2.0
        np.fill_diagonal(bandwidth, self._same_pe_bandwidth)
        return bandwidth

    def _tables(
        self, scheduler: str, work_us: _Floats, bandwidth: _Floats
    ) -> tuple[_Floats, _Floats, _Integers]:
        """Return ranks, optimistic costs and plans; zeros where the scheduler does not ask."""
        tasks, pes = work_us.shape
        rank_us, outlook_us = np.zeros(tasks), np.zeros((tasks, pes))
        plan = np.zeros((tasks, 2), np.int64)
        if scheduler in {"heft_rt", "peft_rt", *PLANS}:
            first = self.whole.first_task
            for number, graph in enumerate(self._graphs):
                own = slice(int(first[number]), int(first[number + 1]))
                problem = StaticProblem(
                    work_us[own], graph.edges, bandwidth[:pes, :pes], graph.tasks
                )
                if scheduler == "heft_rt":
                    rank_us[own] = upward_ranks(problem)
                elif scheduler == "peft_rt":
                    outlook_us[own] = optimistic_costs(problem)
                else:
                    plan[own] = make_plan(scheduler, problem)
        return rank_us, outlook_us, plan


def _listed_for_all(cluster: Cluster) -> Cluster:
    """Return a cluster of accelerators with the power of up to `MAX_PES` of them at work.

    The platform's power is proportional to the number at work: they share nothing.
    """
    if cluster.kind != "accelerator":
        return cluster
    power_w = {
        mhz: tuple(watts[0] * n for n in range(1, MAX_PES + 1))
        for mhz, watts in cluster.power_w.items()
    }
    return replace(cluster, power_w=power_w)
