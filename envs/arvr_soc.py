"""Environments for systems on a chip for augmented and virtual reality."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from archgym_py.checks import require_type
from archgym_py.environment import DesignEnv, DesignVectorEnv, SequentialDesignEnv
from archgym_py.envs.arguments import refuse_unknown
from archgym_py.simulators.soc.arvr import ARVRSimulator
from archgym_py.simulators.stand_in import EMBEDDED, stand_in

__all__ = ["ARVRSoCEnv", "ARVRSoCSequentialEnv", "ARVRSoCVectorEnv"]


class ARVRSoCEnv(DesignEnv):
    """Design a system on a chip for augmented reality: `ArchGym/ARVRSoC-v0`.

    Cores, accelerators, memories and buses, how they are connected, and where each task of a
    workload runs and writes. The model is that of FARSI, in which the bottleneck of each phase sets
    the pace; its published designs are reproduced with `compat="farsi"`. An evaluation takes some
    ten microseconds in a batch.

    **Parameters**. Every design of the first two spaces is a system that works; blocks that have
    nothing to do are not built, and the metrics say how many are left.

    | space                     | edge_detection | hpvm_cava    | audio_decoder |
    |---------------------------|----------------|--------------|---------------|
    | `limited`                 | 34: 2.1e14     | 37: 2.6e15   | 62: 3.3e24    |
    | `comprehensive`           | 99: 2.1e72     | 113: 2.1e83  | 224: 8.4e192  |
    | `published_limited`       | 34: 1.6e17     | 36: 1.4e18   | 54: 5.4e26    |
    | `published_comprehensive` | 64: 1.8e82     | 72: 1.6e93   | 144: 1.1e214  |

    (parameters: designs). `limited` has three slots each for processors, memories and buses, with
    few types; in `comprehensive` each task may have an accelerator of its own, and there are as
    many cores, memories and buses as tasks. The published spaces are the action vectors of
    ArchGym's environment, of whose designs below 1 % are legal; the others are infeasible here,
    with the reason. `archgym_py.simulators.soc.arvr_space` describes all of them.

    **Metrics**, each with its unit in its name: `latency_ms` of one run; `power_mw`, the largest
    mean of a window of 10 ms; `area_mm2` with its parts `area_non_dram_mm2` and `area_dram_mm2`;
    `energy_uj` with its parts `energy_processor_uj` and `energy_memory_uj`; `development_cost`; the
    blocks that are built, `processors`, `memories` and `buses`; `excess_latency`, `excess_power`,
    `excess_area` and `excess_dram_area`, the relative distances to the budgets, negative within
    them; `distance_latency` and so on, the same but 1e-9 within the budget; `distance`, their sum,
    which is the reward of ArchGym's environment; and `budgets_met`, 0 to 4. The two areas are those
    without and of the DRAM, each against the whole budget.

    **Actions, observations, infos** are those of `DesignEnv`: an action is a whole design, as
    MultiDiscrete value numbers or as a point of a Box; an observation has the position of each
    metric between its bounds and a flag for a feasible design.

    **Reward.** `objective`, always maximised. By default the logarithm of the default design's
    distance over this design's. The default design has everything on one core, memory and bus. A
    design that keeps all budgets has the distance 4e-9, and no better one can be told from it: to
    go on takes another objective or smaller budgets. No design of `limited` keeps the budgets of
    latency and power of edge_detection and hpvm_cava, which take accelerators. The published reward
    is the distance itself, which agents that maximise have to invert, and -10,000 for a design that
    cannot be built, which is the best of all for those that minimise.

    Args:
        workload: "edge_detection", "hpvm_cava", "audio_decoder", the path of a workload file or its
            content as a mapping; see `archgym_py.simulators.soc.arvr_workloads`. The file may be a
            task graph of FARSI's database; see `archgym_py.simulators.soc.farsi_import`.
        space: "limited", "comprehensive", "published_limited" or "published_comprehensive".
        compat: "farsi" for what the original model does, None for what is right; see
            `archgym_py.simulators.soc.arvr_model`.
        latency_budget_ms: Budget of the latency; None for the workload's, as with the next two.
        power_budget_mw: Budget of the power.
        area_budget_mm2: Budget of each of the two areas.
        simulator: "embedded", the model that comes with the library; "proxy:PATH" for a fitted
            proxy in its place; the name of a real tool, or a mapping: see
            `archgym_py.simulators.stand_in.stand_in`.
        objective: What is rewarded; see `archgym_py.objective.parse_objective`.
        action: "multidiscrete" (the default) or "box".
        render_mode: None or "ansi".
        baseline: Metrics of the design to improve on; by default those of the default design.

    Raises:
        ConfigError: If an argument is not legal, or a budget is given neither here nor by the
            workload.
        UnknownNameError: If there is no such workload.

    Examples:
        >>> env = ARVRSoCEnv(workload="audio_decoder", space="comprehensive")
        >>> observation, info = env.reset(seed=0)
        >>> observation, reward, terminated, truncated, info = env.step(env.space.encode({
        ...     **env.space.default(), "psychoFilter_fxp_cloned_runs_on": "accelerator",
        ... }))
        >>> info["metrics"]["processors"], round(info["metrics"]["latency_ms"], 2)
        (2.0, 10.4)
        >>> reward > 0, terminated
        (True, True)
    """

    def __init__(
        self,
        *,
        workload: str | os.PathLike[str] | Mapping[str, Any] = "edge_detection",
        space: str = "limited",
        compat: str | None = None,
        latency_budget_ms: float | None = None,
        power_budget_mw: float | None = None,
        area_budget_mm2: float | None = None,
        simulator: str | Mapping[str, Any] = EMBEDDED,
        objective: str | Mapping[str, Any] = "minimize:distance",
        action: str | None = None,
        render_mode: str | None = None,
        baseline: Mapping[str, float] | None = None,
        **unknown: Any,
    ) -> None:
        refuse_unknown(ARVRSoCEnv, "the AR/VR system on a chip", unknown)
        require_type("workload", workload, str, os.PathLike, Mapping)
        model = ARVRSimulator(
            workload,
            space=space,
            compat=compat,
            latency_budget_ms=latency_budget_ms,
            power_budget_mw=power_budget_mw,
            area_budget_mm2=area_budget_mm2,
        )
        super().__init__(
            model.space,
            stand_in(simulator, model, model.space),
            objective,
            action=action,
            render_mode=render_mode,
            baseline=baseline,
        )


class ARVRSoCVectorEnv(DesignVectorEnv):
    """A batch of systems in each step: the vector form of `ArchGym/ARVRSoC-v0`.

    Args:
        num_envs: Designs in a step.
        **kwargs: Arguments of `ARVRSoCEnv`.

    Examples:
        >>> envs = ARVRSoCVectorEnv(num_envs=3)
        >>> observations, infos = envs.reset(seed=0)
        >>> _ = envs.action_space.seed(0)
        >>> observations, rewards, terminations, truncations, infos = envs.step(
        ...     envs.action_space.sample()
        ... )
        >>> rewards.shape, infos["final_info"]["metrics"]["latency_ms"].shape
        ((3,), (3,))
    """

    def __init__(self, *, num_envs: int = 1, **kwargs: Any) -> None:
        super().__init__(ARVRSoCEnv(**kwargs), num_envs)


class ARVRSoCSequentialEnv(ARVRSoCEnv, SequentialDesignEnv):
    """Design a system one parameter at a time: `ArchGym/ARVRSoCSequential-v0`.

    Parameters, metrics, reward and arguments are those of `ARVRSoCEnv`, except that `action` is
    "discrete" (the default) or "box"; actions and observations are those of `SequentialDesignEnv`.

    Examples:
        >>> env = ARVRSoCSequentialEnv()
        >>> env.action_space
        Discrete(4)
        >>> observation, info = env.reset(seed=0)
        >>> steps = [env.step(0) for _ in env.space.names]
        >>> steps[-1][2], steps[-1][1]
        (True, 0.0)
    """
