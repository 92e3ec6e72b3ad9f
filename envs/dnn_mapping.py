"""Environments for the mapping of a neural network onto fixed hardware."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from archgym_py.environment import DesignEnv, DesignVectorEnv, SequentialDesignEnv
from archgym_py.envs.arguments import refuse_unknown
from archgym_py.simulators.dnn.mapping_search import MappingSimulator
from archgym_py.simulators.stand_in import EMBEDDED, stand_in

__all__ = ["DNNMappingEnv", "DNNMappingSequentialEnv", "DNNMappingVectorEnv"]


class DNNMappingEnv(DesignEnv):
    """Map a layer of a neural network onto an accelerator: `ArchGym/DNNMapping-v0`.

    The accelerator is given: processing elements (PEs) with a memory each (L1), a memory that they
    share (L2), and a DRAM. A design says how a layer runs on it: what is spread over the array, how
    the loops are cut into tiles for each memory, and in which order the tiles follow each other.
    Cycles and energy are those of Timeloop's model. It is the task of GAMMA and of the published
    MaestroGym, but deterministic and with memories of limited size. Of the parameters that depend
    on `parallel` those that it leaves out have no effect; designs that differ in nothing else share
    a key.

    **Parameters** for the default layer, a convolution of 64 channels to 64 with 56 x 56 outputs
    and a filter of 3 x 3, on 32 x 32 PEs; 9.1e13 different designs:

    | parameter         | values                                                   | default    |
    |-------------------|----------------------------------------------------------|------------|
    | `parallel`        | none, M, C, P, Q, MxC, MxP, MxQ, CxP, CxQ, PxQ           | `MxC`      |
    | `factors_M`       | of M where it is not spread: `1*1*1*64`, `1*1*2*32`, ... | `1*1*1*64` |
    | `factors_M_array` | of M where it is spread alone                            | `1*2*1*32` |
    | `factors_M_side`  | of M where it is one of two                              | `1*32*1*2` |
    | `factors_C`, ...  | the same for C, P and Q                                  |            |
    | `factors_R`       | of R, which is never spread                              | `3*1*1*1`  |
    | `factors_S`       | of S, the same                                           | `3*1*1*1`  |
    | `order_l2`        | `PQMCRS`, ...: permutations, the innermost loop first    | `PQMCRS`   |
    | `order_dram`      | the same                                                 | `PQMCRS`   |

    M are output channels, C input channels, P and Q columns and rows of the output, R and S those
    of the filter, G groups and N images. Factors are those in L1, in space, in L2 and in DRAM; they
    multiply to the bound exactly. `archgym_py.simulators.dnn.mapping_space` says more.

    For a network each layer of a shape of its own has these parameters, with its name in front:
    `conv1_parallel`, `layer2_0_conv1_factors_M`. What a layer costs counts as often as the network
    has it, also where it is searched alone: ResNet-18 has the default layer four times, so cycles,
    energies and traffic are four times those of one pass through it, and `edp_uj_ms` is 16 times.

    A design is infeasible if the tiles of a layer do not fit a memory: half of all for the default
    layer. A network is feasible if every layer is, so that a random design of many layers hardly
    ever is; the default always is. It keeps weights in place: as many PEs as possible, as much of
    a filter in L1 as fits, as many outputs in L2.

    **Metrics**, each with its unit in its name: `cycles`, `latency_ms`, `utilization` of the PEs;
    `energy_uj` with its parts `energy_mac_uj`, `energy_local_uj` (L1, also that of a single PE),
    `energy_shared_uj` (L2) and `energy_dram_uj`; `edp_uj_ms`, energy times latency; `power_mw`;
    `dram_mb` moved; and `area_mm2`, which is the same for all designs.

    **Actions, observations, infos** are those of `DesignEnv`: an action is a whole design, as
    MultiDiscrete value numbers or as a point of a Box; an observation has the position of each
    metric between its bounds and a flag for a feasible design.

    **Reward.** `objective`, always maximised. By default the logarithm of the default design's
    energy-delay product over this design's.

    Args:
        workload: The layer ("resnet18/layer1") or network ("resnet18"), the path of a network file,
            or a mapping; see `archgym_py.simulators.dnn.networks`.
        array_x: PEs in X, up to 1024.
        array_y: PEs in Y, up to 1024.
        l1_words: Words that the memory of a PE holds.
        l2_words: Words that the shared memory holds.
        l1_bandwidth: Words per cycle that an L1 reads, and as many that it writes.
        l2_bandwidth: Words per cycle that L2 reads, and as many that it writes.
        dram: Kind of DRAM: "LPDDR4", "DDR3", "GDDR6", "HBM2" or "HBM3".
        dram_channels: Channels or stacks of it.
        precision: Number format: "int8", "int16", "int32", "bf16", "fp16" or "fp32".
        clock_mhz: Clock, in MHz.
        simulator: "embedded", the model that comes with the library; "proxy:PATH" for a fitted
            proxy in its place; the name of a real tool, or a mapping: see
            `archgym_py.simulators.stand_in.stand_in`.
        objective: What is rewarded; see `archgym_py.objective.parse_objective`.
        action: "multidiscrete" (the default) or "box".
        render_mode: None or "ansi".
        baseline: Metrics of the design to improve on; by default those of the default design.

    Raises:
        ConfigError: If an argument is not known or not legal.
        UnknownNameError: If there is no such network, layer, DRAM or number format.

    Examples:
        >>> import gymnasium as gym
        >>> env = gym.make("ArchGym/DNNMapping-v0").unwrapped
        >>> env.action_space
        MultiDiscrete([ 11  28  56  55  28  56  55  30  50  49  30  50  49   3   3 720 720])
        >>> observation, info = env.reset(seed=0)
        >>> fewer_rows = {"factors_Q": "1*1*1*56"}
        >>> weights_in_l1 = {"factors_M_side": "2*32*1*1", "factors_C_side": "2*32*1*1"}
        >>> action = env.space.encode(env.space.fill_defaults(fewer_rows | weights_in_l1))
        >>> observation, reward, terminated, truncated, info = env.step(action)
        >>> info["status"], reward > 0, terminated
        ('ok', True, True)
        >>> _, _, _, _, info = env.step([5, 0, 0, 54, 0, 0, 0, 29, 0, 0, 29, 0, 0, 0, 0, 0, 0])
        >>> info["message"]
        "layer 'layer1': level 'L1' ..."
    """

    def __init__(
        self,
        *,
        workload: str | os.PathLike[str] | Mapping[str, Any] = "resnet18/layer1",
        array_x: int = 32,
        array_y: int = 32,
        l1_words: int = 256,
        l2_words: int = 65536,
        l1_bandwidth: float = 4.0,
        l2_bandwidth: float = 64.0,
        dram: str = "LPDDR4",
        dram_channels: int = 1,
        precision: str = "int16",
        clock_mhz: float = 200.0,
        simulator: str | Mapping[str, Any] = EMBEDDED,
        objective: str | Mapping[str, Any] = "minimize:edp_uj_ms",
        action: str | None = None,
        render_mode: str | None = None,
        baseline: Mapping[str, float] | None = None,
        **unknown: Any,
    ) -> None:
        refuse_unknown(DNNMappingEnv, "the mapping", unknown)
        model = MappingSimulator(
            workload,
            array_x=array_x,
            array_y=array_y,
            l1_words=l1_words,
            l2_words=l2_words,
            l1_bandwidth=l1_bandwidth,
            l2_bandwidth=l2_bandwidth,
            dram=dram,
            dram_channels=dram_channels,
            precision=precision,
            clock_mhz=clock_mhz,
        )
        super().__init__(
            model.space,
            stand_in(simulator, model, model.space),
            objective,
            action=action,
            render_mode=render_mode,
            baseline=baseline,
        )


class DNNMappingVectorEnv(DesignVectorEnv):
    """A batch of mappings in each step: the vector form of `ArchGym/DNNMapping-v0`.

    The designs of a step are evaluated together.

    Args:
        num_envs: Designs in a step.
        **kwargs: Arguments of `DNNMappingEnv`.

    Examples:
        >>> import gymnasium as gym
        >>> envs = gym.make_vec("ArchGym/DNNMapping-v0", num_envs=3, workload="resnet18/fc")
        >>> observations, infos = envs.reset(seed=0)
        >>> _ = envs.action_space.seed(0)
        >>> observations, rewards, terminations, truncations, infos = envs.step(
        ...     envs.action_space.sample()
        ... )
        >>> rewards.shape, infos["final_info"]["status"].shape
        ((3,), (3,))
    """

    def __init__(self, *, num_envs: int = 1, **kwargs: Any) -> None:
        super().__init__(DNNMappingEnv(**kwargs), num_envs)


class DNNMappingSequentialEnv(DNNMappingEnv, SequentialDesignEnv):
    """Choose the mapping one parameter at a time: `ArchGym/DNNMappingSequential-v0`.

    Parameters, metrics, reward and arguments are those of `DNNMappingEnv`, except that `action` is
    "discrete" (the default) or "box"; actions and observations are those of `SequentialDesignEnv`.

    Examples:
        >>> import gymnasium as gym
        >>> env = gym.make("ArchGym/DNNMappingSequential-v0")
        >>> env.action_space
        Discrete(720)
        >>> observation, info = env.reset(seed=0)
        >>> steps = [env.step(action) for action in [720 * 5 // 11 + 1] + [0] * 16]
        >>> [terminated for _, _, terminated, _, _ in steps].index(True)
        16
        >>> steps[-1][4]["design"]["parallel"], steps[-1][4]["status"]
        ('MxC', 'ok')
    """
