"""The design of an SoC as a simulator: designs in, metrics out.

A design of `archgym_py.simulators.soc.design_space` runs a stream of jobs in the clean mode of
`archgym_py.simulators.soc.simulation`, once for each of several seeds. All designs get the same
streams, so that a difference between two of them comes from the designs.

* A run begins with an idle SoC at 42 degrees and ends with its last job. Jobs, energies and times
  of all runs are added up before a ratio or a quantile is formed: `power_mw` is `energy_per_job_uj`
  times `throughput_jobs_per_s`. Peaks are those of the worst run.
* The latency of a job counts from when it is let into the system. A design that lets in fewer than
  come, because too many are in flight, is slow to serve the load: it is infeasible if it needs more
  than `patience` times the time in which the jobs come.
* Temperatures follow the power `thermal_speedup` times as fast as on the board, whose time constant
  is half a minute. A run of a tenth of a second thus reaches the temperatures of minutes under the
  same load, and throttling has something to do; short bursts heat too much. A design that gets
  hotter than the limit is infeasible: nobody measured the leakage of chips that hot.
* The power is that of clusters, memory and GPU. Links, caches and the uncore have an area, and no
  energy of their own.
* Five to eight cores of a kind are two clusters, each with its own operating point.

What areas are derived from is said in `archgym_py.simulators.soc.design_area`. For WiFi jobs DS3's
authors published latency and energy per job of six SoCs that differ in their accelerators. They did
not publish how often jobs come; with one every 100 us and `contention=False` all six latencies come
out within 3 % and all energies within 5 %.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from archgym_py.checks import flag, integer, number
from archgym_py.cores import cores
from archgym_py.errors import InfeasibleDesign
from archgym_py.simulator import Evaluation, Metric, Status
from archgym_py.simulators.dnn.budgets import Budgets
from archgym_py.simulators.dnn.descriptors import describe_budgets, plain_budgets
from archgym_py.simulators.soc import kernel
from archgym_py.simulators.soc.arrivals import DS3_MIX, Arrivals, as_arrivals, as_mix
from archgym_py.simulators.soc.descriptors import describe_jobs, jobs_digest
from archgym_py.simulators.soc.design_area import area_mm2
from archgym_py.simulators.soc.design_bounds import Load, metric_bounds
from archgym_py.simulators.soc.design_problem import Problems
from archgym_py.simulators.soc.design_space import KINDS, SOC_DESIGN_SPACE, base_platform
from archgym_py.simulators.soc.layout import Sim, Soc, View
from archgym_py.simulators.soc.simulation import draw_jobs
from archgym_py.simulators.soc.state import make_sims
from archgym_py.space import Design

__all__ = ["WINDOW_US", "SoCDesignSimulator"]

_MODEL_VERSION: Final = "1"  # raise it when the same design gets other metrics


WINDOW_US: Final = 10_000.0
"""Windows of the peak power, in us; they follow one another from the start of a run."""

_MAX_JOBS: Final = 1_000_000
_MAX_SEEDS: Final = 1000
_MAX_THREADS: Final = 256

_METRICS: Final = {
    "latency_mean_us": ("us", "mean time of a job from its entry to its end"),
    "latency_p95_us": ("us", "time that 95 % of the jobs do not exceed"),
    "latency_p99_us": ("us", "time that 99 % of the jobs do not exceed"),
    "throughput_jobs_per_s": ("1/s", "jobs over the time to the end of the last one"),
    "deadline_miss_rate": ("1", "share of the jobs that take longer than their deadline"),
    "jobs_in_flight": ("1", "mean number of jobs in the system"),
    "energy_per_job_uj": ("uJ", "energy of all clusters, memory and GPU over the jobs"),
    "edp_uj_ms": ("uJ*ms", "energy per job times mean latency"),
    "ed2p_uj_ms2": ("uJ*ms2", "energy per job times the square of the mean latency"),
    "power_mw": ("mW", "energy over time"),
    "peak_power_mw": ("mW", "largest mean power in a window of 10 ms"),
    "peak_celsius": ("degC", "highest temperature"),
    "area_mm2": ("mm2", "area of cores, accelerators, caches and memory controllers"),
    **{
        f"utilization_{kind.label}": ("1", f"share of time that PEs of the kind {kind.label} work")
        for kind in KINDS
    },
    **{
        f"blocking_{kind.label}": (
            "1",
            f"share of time that PEs of the kind {kind.label} are taken while tasks wait for them",
        )
        for kind in KINDS
    },
}


class SoCDesignSimulator:
    """SoCs that serve a stream of jobs.

    `archgym_py.simulators.soc.design` says what is modelled and what is not.

    Args:
        workload: The applications and how likely each is, in a form of `as_mix`.
        arrivals: When jobs come, in a form of `as_arrivals`.
        n_jobs: Jobs of a run; a trace may have fewer.
        seeds: Number of runs, each with jobs of its own.
        first_seed: Seed of the first run; the others have the numbers after it.
        deadline_factor: A job is late if it takes longer than this times the sum of the shortest
            execution times on its critical path, on any kind of PE at its highest frequency.
        patience: How many times the time in which the jobs come a design may take for them.
        contention: Whether a link carries one transfer at a time, and so does the memory.
        wake_us: Time to wake a cluster that was switched off, in us.
        thermal_speedup: How many times as fast as on the board temperatures follow the power.
        temperature_limit_celsius: Highest temperature of a feasible design, 50 to 125.
        area_budget_mm2: Largest area in mm2; None for no limit.
        power_budget_mw: Largest mean power in mW; None for no limit.
        threads: Threads for a batch; as many as there are cores if None.

    Attributes:
        metrics: Names, units and bounds of what is reported.
        problem: All that the metrics of a design depend on, as plain data. Arrivals are there by
            the jobs that come.

    Raises:
        ConfigError: If an argument is not legal, no PE can run a task, jobs take no time at all, or
            no design can keep a budget.
        UnknownNameError: If there is no such application or kind of arrivals.

    Examples:
        >>> from archgym_py.simulators.soc.design_space import SOC_DESIGN_SPACE
        >>> simulator = SoCDesignSimulator("wifi_receiver", n_jobs=50)
        >>> metrics = simulator.evaluate(SOC_DESIGN_SPACE.default(), seed=0).metrics
        >>> 300 < metrics["latency_mean_us"] < 400
        True
    """

    name: ClassVar[str] = "soc"
    deterministic: ClassVar[bool] = True

    def __init__(
        self,
        workload: object = DS3_MIX,
        *,
        arrivals: str | Mapping[str, Any] | Arrivals = "poisson:mean_us=500",
        n_jobs: int = 200,
        seeds: int = 3,
        first_seed: int = 0,
        deadline_factor: float = 3.0,
        patience: float = 1.5,
        contention: bool = True,
        wake_us: float = 20.0,
        thermal_speedup: float = 1000.0,
        temperature_limit_celsius: float = 105.0,
        area_budget_mm2: float | None = None,
        power_budget_mw: float | None = None,
        threads: int | None = None,
    ) -> None:
        mix = as_mix(workload)
        process = as_arrivals(arrivals)
        n_jobs = integer("n_jobs", n_jobs, 1, _MAX_JOBS)
        first_seed = integer("first_seed", first_seed, 0, 2**62)
        runs = range(first_seed, first_seed + integer("seeds", seeds, 1, _MAX_SEEDS))
        self._jobs = [draw_jobs(mix, process, n_jobs=n_jobs, seed=run) for run in runs]
        self._limit = number("temperature_limit_celsius", temperature_limit_celsius, 50.0, 125.0)
        deadline_factor = number("deadline_factor", deadline_factor, 1e-3, 1e6)
        contention = flag("contention", contention)
        wake_us = number("wake_us", wake_us, 0.0, 1e6)
        thermal_speedup = number("thermal_speedup", thermal_speedup, 1.0, 1e6)
        self._graphs = mix.graphs
        self._problems = Problems(
            mix.graphs,
            deadline_factor=deadline_factor,
            contention=contention,
            wake_us=wake_us,
            thermal_speedup=thermal_speedup,
        )
        load = Load.of(
            self._jobs,
            critical_us=self._problems.whole.deadline_us / deadline_factor,
            serial_us=self._problems.serial_us,
        )
        self._patience = number("patience", patience, 1.0, 1e6)
        self._length_us = self._patience * load.length_us
        bounds = metric_bounds(
            load, self._problems.whole, length_us=self._length_us, limit_celsius=self._limit
        )
        self.metrics = tuple(
            Metric(name, unit, *bounds[name], doc) for name, (unit, doc) in _METRICS.items()
        )
        self._budgets = Budgets(
            self.metrics, area_budget_mm2=area_budget_mm2, power_budget_mw=power_budget_mw
        )
        content = "".join(graph.fingerprint for graph in mix.graphs)
        digits = hashlib.sha256((base_platform().fingerprint + content).encode()).hexdigest()[:8]
        self.version = f"{_MODEL_VERSION}+{digits}"
        self.problem: Mapping[str, Any] = {
            "platform": base_platform().fingerprint,
            "graphs": [graph.fingerprint for graph in mix.graphs],
            "jobs": jobs_digest(self._jobs),
            "deadline_factor": deadline_factor,
            "patience": self._patience,
            "contention": contention,
            "wake_us": wake_us,
            "thermal_speedup": thermal_speedup,
            "temperature_limit_celsius": self._limit,
            "budgets": plain_budgets(
                area_budget_mm2=area_budget_mm2, power_budget_mw=power_budget_mw
            ),
        }
        self._threads = cores() if threads is None else integer("threads", threads, 1, _MAX_THREADS)
        self._pool: ThreadPoolExecutor | None = None

    @cached_property
    def descriptors(self) -> Mapping[str, float]:
        """Numbers of the jobs, of what is fixed and of the budgets; see `Described`."""
        problem, whole = self.problem, self._problems.whole
        return {
            **describe_jobs(
                self._jobs,
                self._graphs,
                work_us=whole.work_us,
                critical_us=whole.deadline_us / problem["deadline_factor"],
            ),
            "log_deadline_factor": math.log(problem["deadline_factor"]),
            "log_patience": math.log(problem["patience"]),
            "contention": float(problem["contention"]),
            "log_wake_us": math.log1p(problem["wake_us"]),
            "log_thermal_speedup": math.log(problem["thermal_speedup"]),
            "temperature_limit_celsius": problem["temperature_limit_celsius"],
            **describe_budgets(problem["budgets"]),
        }

    def __getstate__(self) -> dict[str, Any]:
        """Leave the threads out, which cannot be copied; a copy starts its own."""
        return {**self.__dict__, "_pool": None}

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        """Evaluate one design of `SOC_DESIGN_SPACE`; see `Simulator.evaluate`."""
        return self._evaluate(design, self._budgets.judge)

    def evaluate_unbudgeted(self, design: Design) -> Evaluation:
        """Evaluate one design of `SOC_DESIGN_SPACE`, whatever the budgets."""
        return self._evaluate(design, Evaluation)

    def evaluate_batch(
        self, designs: Sequence[Design], *, seeds: Sequence[int]
    ) -> list[Evaluation]:
        """Evaluate designs, several at a time.

        Args:
            designs: Designs of `SOC_DESIGN_SPACE`.
            seeds: Not used: equal designs always have equal metrics.

        Returns:
            One evaluation for each design, in order.
        """
        if self._threads == 1 or len(designs) < 2:
            return [self._evaluate(design, self._budgets.judge) for design in designs]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads)
        return list(
            self._pool.map(lambda design: self._evaluate(design, self._budgets.judge), designs)
        )

    def close(self) -> None:
        """End the threads; the simulator can still be used."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _evaluate(
        self, design: Design, judge: Callable[[dict[str, float]], Evaluation]
    ) -> Evaluation:
        try:
            return judge(self._measure(design))
        except InfeasibleDesign as error:
            return Evaluation(status=Status.INFEASIBLE, message=str(error))

    def _measure(self, design: Design) -> dict[str, float]:
        """Return the metrics of a design.

        Raises:
            DesignError: If it is not in the space.
            InfeasibleDesign: If it cannot run the jobs, gets too hot, or is too slow.
        """
        design = SOC_DESIGN_SPACE.canonical(design)
        soc = self._problems.build(design)
        sim = make_sims(soc, self._jobs)
        peak_mw = _play(soc, sim, self._length_us)
        system = sim.system[:, 0]
        peak_celsius = float(max(system["hottest"].max(), sim.celsius.max()))
        if not peak_celsius <= self._limit:  # also where it has left the range of floats
            raise InfeasibleDesign(
                f"the SoC gets hotter than {self._limit:g} degC ({peak_celsius:.4g} degC). Lower "
                f"its frequencies, switch throttling on, or take accelerators instead of cores."
            )
        in_time = (sim.latency_us >= 0.0) & (sim.done_us <= self._length_us)
        jobs, completed = in_time.size, int(in_time.sum())
        if completed < jobs:
            raise InfeasibleDesign(
                f"the load is not served: {completed} of {jobs} jobs are complete after "
                f"{self._patience:g} times the time in which they come. Take more or faster PEs, "
                f"wider links, or another scheduler, or let more jobs in."
            )
        time_us = float(system["now"].sum())
        energy_uj = 1e6 * float(sim.clusters["energy_j"].sum())
        energy_uj += float(soc.options[0]["base_w"]) * time_us
        latency_us = float(sim.latency_us.mean())
        p95, p99 = np.quantile(sim.latency_us, (0.95, 0.99)).tolist()
        per_job_uj = energy_uj / jobs
        return {
            "latency_mean_us": latency_us,
            "latency_p95_us": p95,
            "latency_p99_us": p99,
            "throughput_jobs_per_s": 1e6 * jobs / time_us,
            "deadline_miss_rate": float(system["missed"].sum()) / jobs,
            "jobs_in_flight": float(system["area_us"].sum()) / time_us,
            "energy_per_job_uj": per_job_uj,
            "edp_uj_ms": 1e-3 * per_job_uj * latency_us,
            "ed2p_uj_ms2": 1e-6 * per_job_uj * latency_us**2,
            "power_mw": 1e3 * energy_uj / time_us,
            "peak_power_mw": peak_mw,
            "peak_celsius": peak_celsius,
            "area_mm2": area_mm2(design),
            **self._shares("utilization", design, sim.pes["active_us"], time_us),
            **self._shares("blocking", design, sim.pes["blocking_us"], time_us),
        }

    def _shares(
        self, name: str, design: Design, spent_us: npt.NDArray[np.float64], time_us: float
    ) -> dict[str, float]:
        """Return the mean share of time that PEs of each kind spent with something; 0 for none."""
        of_pe = self._problems.pe_kinds(design)
        by_kind = np.bincount(of_pe, weights=spent_us.sum(axis=0), minlength=len(KINDS))
        counts = np.bincount(of_pe, minlength=len(KINDS))
        shares = by_kind / (np.maximum(counts, 1) * time_us)
        return {
            f"{name}_{kind.label}": share
            for kind, share in zip(KINDS, shares.tolist(), strict=True)
        }


def _play(soc: Soc, sim: Sim, length_us: float) -> float:
    """Run simulations to their ends, but no longer than a time.

    Returns:
        The peak power in mW.
    """
    count = len(sim.system)
    # The kernel's reward is "energy": minus the mJ since it was last asked for.
    view = View(np.zeros((0, 1), np.float32), np.zeros((0, 1), np.int8), np.zeros(count))
    codes, actions = np.full(count, kernel.PAUSED), np.full(count, kernel.GO_ON)
    bound = kernel.bind(soc, sim, view)
    until, peak_mw = 0.0, 0.0
    while until < length_us and (codes == kernel.PAUSED).any():
        until += WINDOW_US
        kernel.advance(bound, actions, until, codes)
        window_us = np.full(count, WINDOW_US)
        if until == WINDOW_US:  # a run may be shorter than a window
            window_us = np.minimum(window_us, sim.system[:, 0]["now"])
        peak_mw = max(peak_mw, float((-1e6 * view.reward / window_us).max()))
    return peak_mw
