"""Environments for systolic arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from archgym_py.checks import require_type
from archgym_py.environment import DesignVectorEnv, SequentialDesignEnv
from archgym_py.envs.arguments import refuse_unknown
from archgym_py.envs.budgeted import BudgetedEnv
from archgym_py.simulators.dnn.systolic_array import SYSTOLIC_SPACE, SystolicSimulator
from archgym_py.simulators.stand_in import EMBEDDED, stand_in

__all__ = ["SystolicArrayEnv", "SystolicArraySequentialEnv", "SystolicArrayVectorEnv"]


class SystolicArrayEnv(BudgetedEnv):
    """Design a systolic array for a neural network: `ArchGym/SystolicArray-v0`.

    A grid of multipliers through which operands flow, as in a TPU, with an SRAM each for inputs,
    weights and outputs, and a DRAM. It runs a network layer by layer. Cycles and SRAM accesses are
    those of SCALE-Sim 3; an evaluation takes well below a millisecond.

    **Parameters**, 283,115,520 designs:

    | parameter       | values                                                   | default |
    |-----------------|----------------------------------------------------------|---------|
    | `rows`          | 4, 8, 12, 14, 16, 24, 28, 32, 48, 56, 64, 96, 112, 128, 192, 256 | 32 |
    | `columns`       | the same                                                 | 32      |
    | `dataflow`      | os, ws, is: outputs, weights or inputs stay in the array | os      |
    | `ifmap_kib`     | 16, 32, 64, ..., 2048 KiB for inputs                     | 128     |
    | `filter_kib`    | the same for weights                                     | 128     |
    | `ofmap_kib`     | the same for outputs                                     | 128     |
    | `dram`          | LPDDR4, DDR3, GDDR6, HBM2, HBM3                          | LPDDR4  |
    | `dram_channels` | 1, 2, 4, 8 channels or stacks                            | 1       |
    | `precision`     | int8, int16, bf16, fp16                                  | int16   |
    | `clock_mhz`     | 200, 300, ..., 1000 MHz                                  | 500     |

    A design is infeasible if an SRAM is too small to be cut into as many macros as the array needs
    to be served in every cycle (7 percent of all), or if it exceeds a budget.

    **Metrics**, each with its unit in its name: `cycles`, the sum of `compute_cycles` and of
    `stall_cycles`, which wait for the DRAM; `latency_ms`; `utilization` of the multipliers;
    `dram_mb` moved; `energy_uj` with its parts `energy_mac_uj`, `energy_register_uj`,
    `energy_sram_uj` and `energy_dram_uj`; `power_mw`; `area_mm2`; and `edp_uj_ms`, energy times
    latency. What they include is said in
    `archgym_py.simulators.dnn.systolic_array`. The accuracy of the network is no metric, so that
    nothing speaks against int8, and the memory has no price: with a budget and a scarcer
    objective than the default's there is more to weigh.

    **Actions, observations, infos** are those of `DesignEnv`: an action is a whole design, as
    MultiDiscrete value numbers or as a point of a Box; an observation has the position of each
    metric between its bounds and a flag for a feasible design.

    **Reward.** `objective`, always maximised. By default the logarithm of the default design's
    energy-delay product over this design's.

    Args:
        workload: The network: a name ("resnet50"), the path of a network file, one of their layers
            ("resnet50/conv1"), or a mapping; see `archgym_py.simulators.dnn.networks`.
        area_budget_mm2: Largest area of array and SRAMs, in mm2; None for no limit.
        power_budget_mw: Largest mean power of chip and DRAM, in mW; None for no limit.
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
        UnknownNameError: If there is no such network or layer.

    Examples:
        >>> import gymnasium as gym
        >>> env = gym.make("ArchGym/SystolicArray-v0", power_budget_mw=5000)
        >>> env.action_space
        MultiDiscrete([16 16  3  8  8  8  5  4  4  9])
        >>> observation, info = env.reset(seed=0)
        >>> action = [7, 10, 0, 4, 4, 3, 3, 0, 0, 5]
        >>> observation, reward, terminated, truncated, info = env.step(action)
        >>> info["design"]["columns"], info["design"]["dram"], info["status"]
        (64, 'HBM2', 'ok')
        >>> reward > 0, terminated
        (True, True)
    """

    def __init__(
        self,
        *,
        workload: str | os.PathLike[str] | Mapping[str, Any] = "alexnet",
        area_budget_mm2: float | None = None,
        power_budget_mw: float | None = None,
        simulator: str | Mapping[str, Any] = EMBEDDED,
        objective: str | Mapping[str, Any] = "minimize:edp_uj_ms",
        action: str | None = None,
        render_mode: str | None = None,
        baseline: Mapping[str, float] | None = None,
        **unknown: Any,
    ) -> None:
        refuse_unknown(SystolicArrayEnv, "the systolic array", unknown)
        require_type("workload", workload, str, os.PathLike, Mapping)
        model = SystolicSimulator(
            workload, area_budget_mm2=area_budget_mm2, power_budget_mw=power_budget_mw
        )
        super().__init__(
            SYSTOLIC_SPACE,
            stand_in(simulator, model, SYSTOLIC_SPACE),
            objective,
            reference=SYSTOLIC_SPACE.default(),
            action=action,
            render_mode=render_mode,
            baseline=baseline,
        )


class SystolicArrayVectorEnv(DesignVectorEnv):
    """A batch of arrays in each step: the vector form of `ArchGym/SystolicArray-v0`.

    Args:
        num_envs: Designs in a step.
        **kwargs: Arguments of `SystolicArrayEnv`.

    Examples:
        >>> import gymnasium as gym
        >>> envs = gym.make_vec(
        ...     "ArchGym/SystolicArray-v0", num_envs=3, workload="resnet18/conv1"
        ... )
        >>> observations, infos = envs.reset(seed=0)
        >>> _ = envs.action_space.seed(0)
        >>> observations, rewards, terminations, truncations, infos = envs.step(
        ...     envs.action_space.sample()
        ... )
        >>> rewards.shape, infos["final_info"]["metrics"]["cycles"].shape
        ((3,), (3,))
    """

    def __init__(self, *, num_envs: int = 1, **kwargs: Any) -> None:
        super().__init__(SystolicArrayEnv(**kwargs), num_envs)


class SystolicArraySequentialEnv(SystolicArrayEnv, SequentialDesignEnv):
    """Design the array one parameter at a time: `ArchGym/SystolicArraySequential-v0`.

    Parameters, metrics, reward and arguments are those of `SystolicArrayEnv`, except that `action`
    is "discrete" (the default) or "box"; actions and observations are those of
    `SequentialDesignEnv`.

    Examples:
        >>> import gymnasium as gym
        >>> env = gym.make("ArchGym/SystolicArraySequential-v0", workload="mobilenet_v2")
        >>> env.action_space
        Discrete(16)
        >>> observation, info = env.reset(seed=0)
        >>> steps = [env.step(action) for action in (7, 10, 0, 8, 8, 8, 10, 0, 0, 9)]
        >>> [terminated for _, _, terminated, _, _ in steps].index(True)
        9
        >>> steps[-1][4]["design"]["ifmap_kib"], steps[-1][1] > 0
        (256, True)
    """
