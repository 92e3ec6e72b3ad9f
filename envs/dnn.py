"""Environments for DNN accelerators."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from archgym_py.checks import require_type
from archgym_py.environment import DesignVectorEnv, SequentialDesignEnv
from archgym_py.envs.arguments import refuse_unknown
from archgym_py.envs.budgeted import BudgetedEnv
from archgym_py.errors import ConfigError, InfeasibleDesign, did_you_mean
from archgym_py.simulators.dnn.accelerator import AcceleratorSimulator
from archgym_py.simulators.dnn.extended import EXTENDED
from archgym_py.simulators.dnn.eyeriss import PUBLISHED_DESIGN, Pricing
from archgym_py.simulators.dnn.platforms import Platform, eyeriss_platform
from archgym_py.simulators.stand_in import EMBEDDED, stand_in
from archgym_py.space import Design

__all__ = ["DNNAcceleratorEnv", "DNNAcceleratorSequentialEnv", "DNNAcceleratorVectorEnv"]

_SPACES: Final = ("archgym", "extended")


class DNNAcceleratorEnv(BudgetedEnv):
    """Design an accelerator for a neural network: `ArchGym/DNNAccelerator-v0`.

    An array of processing elements with small memories of their own, a buffer that they share, and
    a DRAM. A design is one such accelerator; every layer of the network runs on it with the best
    mapping that a search finds, and its cycles and energy are those of Timeloop's model.

    **Parameters** of the published space, `space="archgym"`, 2.15e18 designs on an Eyeriss-like
    template at 45 nm and 200 MHz, row stationary:

    | parameter            | values                                          | default          |
    |----------------------|-------------------------------------------------|------------------|
    | `n_pes`              | 14, 28, ..., 336 processing elements            | 168              |
    | `mesh_x`             | 2, 7, 14 columns                                | 14               |
    | `*_class`            | regfile, smartbuffer_RF, smartbuffer_SRAM, SRAM | see below        |
    | `*_depth`            | 2, 4, 8, ..., 65536 blocks (`glb`: from 1024)   | see below        |
    | `*_block_size`       | 1, 2, 4 words of 16 bits                        | 1, of `glb` 4    |
    | `*_read_bandwidth`   | 2, 4, 8, 16 words per cycle                     | 2, of `glb` 16   |
    | `*_write_bandwidth`  | the same                                        | the same         |
    | `glb_banks`          | 16, 32, 64, 128                                 | 32               |

    where `*` is `ifmap` (inputs of an element; smartbuffer_RF, 16 blocks), `psum` (its partial
    sums; smartbuffer_RF, 16), `weights` (smartbuffer_SRAM, 256), `dummy` (a buffer that holds
    nothing and has no bandwidths; regfile, 16) or `glb` (the shared one; smartbuffer_SRAM, 16384).

    A third of its designs is feasible for AlexNet: memories may be too small for a row of the
    filter, the array too small for its rows (14 elements are always too few, as published), the
    banks too many for the buffer. `space="extended"`,
    4.4e10 designs of which nearly all are feasible:

    | parameter                | values                                           | default        |
    |--------------------------|--------------------------------------------------|----------------|
    | `dataflow`               | row_, weight_, output_, input_stationary         | row_stationary |
    | `array_x`, `array_y`     | 4, 8, 12, 14, 16, 24, 28, 32, 48, 64             | 14, 12         |
    | `weight_rf_words`        | 0 (no such memory), 4, 8, ..., 512               | 256            |
    | `input_rf_words`         | the same                                         | 16             |
    | `output_rf_words`        | the same                                         | 16             |
    | `glb_kib`                | 16, 32, ..., 2048 KiB                            | 128            |
    | `glb_block_size`         | 4, 8 words of an access                          | 4              |
    | `glb_bandwidth`          | 4, 8, 16, 32, 64 words per cycle                 | 16             |
    | `dram`, `dram_channels`  | LPDDR4, DDR3, GDDR6, HBM2, HBM3; 1, 2, 4         | LPDDR4, 1      |
    | `precision`              | int8, int16, bf16, fp16, fp32                    | int16          |
    | `node_nm`                | 7, 14, 22, 32, 45 nm                             | 45             |
    | `clock_mhz`              | 200, 400, 600, 800, 1000 MHz                     | 200            |

    Partial sums have 32 bits in the elements and the number format outside. A shorter clock period
    takes larger multipliers; memories count as pipelined. The accuracy of a network is no metric
    and a DRAM has no price, so nothing speaks against int8, 7 nm or many channels.

    **Metrics**, each with its unit in its name: `cycles`, `latency_ms`, `energy_uj` with its parts
    `energy_mac_uj`, `energy_local_uj` (memories of the elements), `energy_shared_uj` (the buffer)
    and `energy_dram_uj`, `edp_uj_ms`, `power_mw`, `area_mm2`, `utilization`, `dram_mb`; and
    `optimal_share`, the share of the distinct layers whose mapping is proved to be the best, since
    all were looked at. Leakage and wires are not included.

    **Actions, observations, infos** are those of `DesignEnv`: an action is a whole design, as
    MultiDiscrete value numbers or as a point of a Box; an observation has the position of each
    metric between its bounds and a flag for a feasible design. The message of an infeasible design
    names the layer, the level and the tensors.

    **Reward.** `objective`, always maximised. By default the logarithm of the baseline's
    energy-delay product over this design's. The baseline of the published space is the published
    default design, whose scratchpads of 12 and 192 words its own lists do not have, or one with
    the largest array and larger scratchpads if the network needs that; it need not keep a budget.
    The published
    targets are "target:energy_uj=20444.2,area_mm2=1.7255,cycles=6308563.2"; the published mapper
    found 29206 uJ, 2.03 mm2 and 7885704 cycles for the default on AlexNet's convolutions
    ("archgym_alexnet").

    Args:
        workload: The network: a name ("resnet50"), the path of a YAML or ONNX file, one of their
            layers ("resnet50/conv1"), or a mapping; see `archgym_py.simulators.dnn.networks`.
        space: "archgym" or "extended".
        pricing: Of the published space: "granted" prices a buffer by what the design gets,
            "published" reproduces what the published pipeline charges, however large a buffer is.
        goal: What the mapper minimises first: "delay" (then energy), "energy" or "edp".
        effort: Mappings that it evaluates for a layer where it cannot look at all of them.
        mapper_seed: Seed of that search.
        area_budget_mm2: Largest area, in mm2; None for no limit.
        power_budget_mw: Largest mean power, in mW; None for no limit.
        mapping_cache: File in which mappings are kept for other processes; None for memory only.
        simulator: "embedded", the model that comes with the library; "proxy:PATH" for a fitted
            proxy in its place; the name of a real tool, or a mapping: see
            `archgym_py.simulators.stand_in.stand_in`.
        objective: What is rewarded; see `archgym_py.objective.parse_objective`.
        action: "multidiscrete" (the default) or "box".
        render_mode: None or "ansi".
        baseline: Metrics of the design to improve on, by name.

    Raises:
        ConfigError: If an argument is not known or not legal, or no design can keep a budget.
        UnknownNameError: If there is no such network or layer.

    Examples:
        >>> import gymnasium as gym
        >>> env = gym.make("ArchGym/DNNAccelerator-v0", space="extended", workload="alexnet/conv3")
        >>> env.action_space
        MultiDiscrete([ 4 10 10  9  9  9  8  2  5  5  3  5  5  5])
        >>> observation, info = env.reset(seed=0)
        >>> action = [0, 3, 2, 7, 3, 3, 3, 0, 2, 3, 0, 1, 2, 2]
        >>> observation, reward, terminated, truncated, info = env.step(action)
        >>> info["design"]["dram"], info["design"]["node_nm"], info["status"]
        ('HBM2', 22, 'ok')
        >>> reward > 0, terminated
        (True, True)
    """

    def __init__(
        self,
        *,
        workload: str | os.PathLike[str] | Mapping[str, Any] = "archgym_alexnet",
        space: str = "archgym",
        pricing: Pricing | None = None,
        goal: str = "delay",
        effort: int = 10_000,
        mapper_seed: int = 0,
        area_budget_mm2: float | None = None,
        power_budget_mw: float | None = None,
        mapping_cache: str | os.PathLike[str] | None = None,
        simulator: str | Mapping[str, Any] = EMBEDDED,
        objective: str | Mapping[str, Any] = "minimize:edp_uj_ms",
        action: str | None = None,
        render_mode: str | None = None,
        baseline: Mapping[str, float] | None = None,
        **unknown: Any,
    ) -> None:
        refuse_unknown(DNNAcceleratorEnv, "the accelerator", unknown)
        platform = _platform(space, pricing)
        model = AcceleratorSimulator(
            workload,
            platform=platform,
            goal=goal,
            effort=effort,
            mapper_seed=mapper_seed,
            area_budget_mm2=area_budget_mm2,
            power_budget_mw=power_budget_mw,
            mapping_cache=mapping_cache,
        )
        super().__init__(
            platform.space,
            stand_in(simulator, model, platform.space),
            objective,
            reference=_reference_design(model),
            action=action,
            render_mode=render_mode,
            baseline=baseline,
        )


class DNNAcceleratorSequentialEnv(DNNAcceleratorEnv, SequentialDesignEnv):
    """Design the accelerator one parameter at a time: `ArchGym/DNNAcceleratorSequential-v0`.

    Parameters, metrics, reward and arguments are those of `DNNAcceleratorEnv`, except that `action`
    is "discrete" (the default) or "box"; actions and observations are those of
    `SequentialDesignEnv`.

    Examples:
        >>> import gymnasium as gym
        >>> env = gym.make("ArchGym/DNNAcceleratorSequential-v0", workload="alexnet/conv3")
        >>> env.action_space
        Discrete(24)
    """


class DNNAcceleratorVectorEnv(DesignVectorEnv):
    """A batch of accelerators in each step: the vector form of `ArchGym/DNNAccelerator-v0`.

    The designs of a step are evaluated on several threads.

    Args:
        num_envs: Designs in a step.
        **kwargs: Arguments of `DNNAcceleratorEnv`.

    Examples:
        >>> import gymnasium as gym
        >>> envs = gym.make_vec("ArchGym/DNNAccelerator-v0", num_envs=2, workload="alexnet/conv3")
        >>> observations, infos = envs.reset(seed=0)
        >>> observations.shape
        (2, 14)
    """

    def __init__(self, *, num_envs: int = 1, **kwargs: Any) -> None:
        super().__init__(DNNAcceleratorEnv(**kwargs), num_envs)


def _reference_design(simulator: AcceleratorSimulator) -> Design:
    """Return the first of some designs that can run the network.

    Raises:
        ConfigError: If none can, and then hardly any other.
    """
    platform = simulator.platform
    designs = [platform.space.default()]
    if platform.name == "archgym":
        largest = {"n_pes": 336, "ifmap_depth": 64, "weights_depth": 4096}
        designs = [dict(PUBLISHED_DESIGN), {**platform.space.default(), **largest}]
    for design in designs:
        try:
            simulator.check(design)
        except InfeasibleDesign as error:
            reason = str(error)
        else:
            return design
    raise ConfigError(
        f"network {simulator.network.name!r} does not run on the accelerators of the space "
        f"{platform.name!r}: {reason} Choose space='extended', or other layers."
    )


def _platform(space: str, pricing: Pricing | None) -> Platform:
    require_type("space", space, str)
    if space not in _SPACES:
        raise ConfigError(f"unknown space {space!r}.{did_you_mean(str(space), _SPACES)}")
    if space == "archgym":
        return eyeriss_platform("granted" if pricing is None else pricing)
    if pricing is not None:
        raise ConfigError(
            f"pricing={pricing!r} is an argument of space='archgym'; the extended space always "
            f"prices what it grants. Leave it out."
        )
    return EXTENDED
