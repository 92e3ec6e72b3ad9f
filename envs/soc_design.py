"""Environments for the design of systems on a chip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archgym_py.environment import DesignVectorEnv, SequentialDesignEnv
from archgym_py.envs.arguments import refuse_unknown
from archgym_py.envs.budgeted import BudgetedEnv
from archgym_py.simulators.soc.arrivals import DS3_MIX, Arrivals
from archgym_py.simulators.soc.design import SoCDesignSimulator
from archgym_py.simulators.soc.design_space import SOC_DESIGN_SPACE
from archgym_py.simulators.stand_in import EMBEDDED, stand_in

__all__ = ["SoCDesignEnv", "SoCDesignSequentialEnv", "SoCDesignVectorEnv"]


class SoCDesignEnv(BudgetedEnv):
    """Design a heterogeneous SoC for a stream of jobs: `ArchGym/SoCDesign-v0`.

    Cores and accelerators, their links, frequencies and scheduler. Jobs are task graphs of signal
    processing that come at random times. The simulation is that of `ArchGym/SoCScheduler-v0`, whose
    platform, DS3's, is the default design but for its throttling. An evaluation takes some ten
    milliseconds.

    **Parameters**, 5.5e17 designs:

    | parameter               | values                                              | default     |
    |-------------------------|-----------------------------------------------------|-------------|
    | `little_cores`          | 0 to 8; more than four are two clusters             | 4           |
    | `big_cores`             | the same                                            | 4           |
    | `matrix_accelerators`   | 0 to 8                                              | 2           |
    | `fft_accelerators`      | 0 to 8                                              | 4           |
    | `viterbi_accelerators`  | 0 to 8                                              | 2           |
    | `governor`              | performance, ondemand, powersave                    | performance |
    | `little_max_mhz`        | 600, 800, 1000, 1200, 1400; not with powersave      | 1400        |
    | `big_max_mhz`           | 600, 800, ..., 2000; not with powersave             | 2000        |
    | `ondemand_high_load`    | 0.5, 0.65, 0.8, 0.95, 1.5, 2; with ondemand         | 0.8         |
    | `ondemand_low_load`     | 0.05, 0.1, 0.2, 0.3, 0.4; with ondemand             | 0.3         |
    | `sampling_us`           | 10, 20, 50, ..., 5000 us; with ondemand             | 10          |
    | `communication`         | pe_to_pe, shared_memory                             | pe_to_pe    |
    | `core_bandwidth`        | 1, 2, 5, 10, ..., 10000 per us; with pe_to_pe       | 1000        |
    | `accelerator_bandwidth` | the same                                            | 1000        |
    | `fft_bandwidth`         | the same, from FFTs to cores                        | 10          |
    | `memory_bandwidth`      | the same; with shared_memory                        | 1000        |
    | `scheduler`             | met, eft, etf, etf_lb, stf, max_min, sufferage, heft_rt, peft_rt, \
round_robin, random; planned: heft, cpop, peft, lookahead_heft | etf |
    | `max_jobs_in_flight`    | 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64            | 12          |
    | `power_gating`          | False, True                                         | False       |
    | `throttling`            | False, True                                         | True        |
    | `first_trip_celsius`    | 60, 65, 70, 75, 80, 85, 90; with throttling         | 85          |

    A design is infeasible, and says so, if no PE can run a task, it gets hotter than the limit, the
    load is not served in time, or it exceeds a budget. With the default load about half of all
    designs are feasible: most others are too slow for it.

    **Metrics**, each with its unit in its name: `latency_mean_us`, `latency_p95_us`,
    `latency_p99_us` of jobs from their entry; `throughput_jobs_per_s`; `deadline_miss_rate`;
    `jobs_in_flight`; `energy_per_job_uj`; `edp_uj_ms` and `ed2p_uj_ms2`, energy per job times
    latency and its square; `power_mw`; `peak_power_mw` in windows of 10 ms; `peak_celsius`;
    `area_mm2`; and for each kind of PE (little, big, matrix, fft, viterbi) `utilization_<kind>` and
    `blocking_<kind>`, the shares of time in which it works, and in which it is taken while a task
    waits for it. What they include and assume is said in `archgym_py.simulators.soc.design` and
    `archgym_py.simulators.soc.design_area`. All designs are measured on the same jobs, so that the
    metrics of a design do not change; `first_seed` gives other jobs to test what was found.

    **Actions, observations, infos** are those of `DesignEnv`: an action is a whole design, as
    MultiDiscrete value numbers or as a point of a Box; an observation has the position of each
    metric between its bounds and a flag for a feasible design.

    **Reward.** `objective`, always maximised. By default the logarithm of the default design's
    energy-delay product over this design's. The area is no part of it: it takes a budget, or an
    objective such as "product:edp_uj_ms*area_mm2".

    Args:
        workload: The applications: the name of a task graph or the path of its file, which may be a
            job of DS3 (`job_mine.txt`), a list of them, or a mapping to probabilities; see
            `archgym_py.simulators.soc.arrivals.as_mix`. By default DS3's six.
        arrivals: When jobs come, such as "poisson:mean_us=500"; see
            `archgym_py.simulators.soc.arrivals`.
        n_jobs: Jobs of a run.
        seeds: Number of runs, each with jobs of its own.
        first_seed: Seed of the first run; the others have the numbers after it.
        deadline_factor: A job is late if it takes longer than this times the sum of the shortest
            execution times on its critical path.
        patience: How many times the time in which the jobs come a design may take for them.
        contention: Whether a link carries one transfer at a time, and so does the memory.
        wake_us: Time to wake a cluster that was switched off, in us.
        thermal_speedup: How many times as fast as on the board temperatures follow the power.
        temperature_limit_celsius: Highest temperature of a feasible design, 50 to 125.
        area_budget_mm2: Largest area in mm2; None for no limit.
        power_budget_mw: Largest mean power in mW; None for no limit.
        simulator: "embedded", the model that comes with the library; "proxy:PATH" for a fitted
            proxy in its place; the name of a real tool, or a mapping: see
            `archgym_py.simulators.stand_in.stand_in`.
        objective: What is rewarded; see `archgym_py.objective.parse_objective`.
        action: "multidiscrete" (the default) or "box".
        render_mode: None or "ansi".
        baseline: Metrics of the design to improve on; by default those of the default design, which
            need not keep the budgets.

    Raises:
        ConfigError: If an argument is not legal, or no design can keep a budget.
        UnknownNameError: If there is no such application or kind of arrivals.

    Examples:
        >>> env = SoCDesignEnv(workload="wifi_receiver", n_jobs=50, area_budget_mm2=18)
        >>> env.action_space
        MultiDiscrete([ 9  9  9  9  9  3  5  8  6  5  9  2 13 13 13 13 15 12  2  2  7])
        >>> observation, info = env.reset(seed=0)
        >>> smaller = {"matrix_accelerators": 0, "big_max_mhz": 1000}
        >>> action = env.space.encode(env.space.fill_defaults(smaller))
        >>> observation, reward, terminated, truncated, info = env.step(action)
        >>> info["status"], round(info["metrics"]["area_mm2"], 2)
        ('ok', 16.83)
        >>> reward > 0, terminated
        (True, True)
    """

    def __init__(
        self,
        *,
        workload: object = DS3_MIX,
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
        simulator: str | Mapping[str, Any] = EMBEDDED,
        objective: str | Mapping[str, Any] = "minimize:edp_uj_ms",
        action: str | None = None,
        render_mode: str | None = None,
        baseline: Mapping[str, float] | None = None,
        **unknown: Any,
    ) -> None:
        refuse_unknown(SoCDesignEnv, "the design of an SoC", unknown)
        model = SoCDesignSimulator(
            workload,
            arrivals=arrivals,
            n_jobs=n_jobs,
            seeds=seeds,
            first_seed=first_seed,
            deadline_factor=deadline_factor,
            patience=patience,
            contention=contention,
            wake_us=wake_us,
            thermal_speedup=thermal_speedup,
            temperature_limit_celsius=temperature_limit_celsius,
            area_budget_mm2=area_budget_mm2,
            power_budget_mw=power_budget_mw,
        )
        super().__init__(
            SOC_DESIGN_SPACE,
            stand_in(simulator, model, SOC_DESIGN_SPACE),
            objective,
            reference=SOC_DESIGN_SPACE.default(),
            action=action,
            render_mode=render_mode,
            baseline=baseline,
        )


class SoCDesignVectorEnv(DesignVectorEnv):
    """A batch of SoCs in each step: the vector form of `ArchGym/SoCDesign-v0`.

    Args:
        num_envs: Designs in a step.
        **kwargs: Arguments of `SoCDesignEnv`.

    Examples:
        >>> envs = SoCDesignVectorEnv(num_envs=3, n_jobs=50)
        >>> observations, infos = envs.reset(seed=0)
        >>> _ = envs.action_space.seed(0)
        >>> observations, rewards, terminations, truncations, infos = envs.step(
        ...     envs.action_space.sample()
        ... )
        >>> rewards.shape, infos["final_info"]["metrics"]["power_mw"].shape
        ((3,), (3,))
    """

    def __init__(self, *, num_envs: int = 1, **kwargs: Any) -> None:
        super().__init__(SoCDesignEnv(**kwargs), num_envs)


class SoCDesignSequentialEnv(SoCDesignEnv, SequentialDesignEnv):
    """Design an SoC one parameter at a time: `ArchGym/SoCDesignSequential-v0`.

    Parameters, metrics, reward and arguments are those of `SoCDesignEnv`, except that `action` is
    "discrete" (the default) or "box"; actions and observations are those of `SequentialDesignEnv`.

    Examples:
        >>> env = SoCDesignSequentialEnv(n_jobs=50)
        >>> env.action_space
        Discrete(15)
        >>> observation, info = env.reset(seed=0)
        >>> steps = [env.step(7) for _ in env.space.names]
        >>> steps[-1][2], steps[-1][4]["status"], steps[-1][4]["design"]["governor"]
        (True, 'ok', 'ondemand')
    """
