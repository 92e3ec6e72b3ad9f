"""Environments for the DRAM memory controller."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from archgym_py.checks import flag, number, require_type
from archgym_py.environment import DesignEnv, DesignVectorEnv, SequentialDesignEnv
from archgym_py.envs.arguments import refuse_unknown
from archgym_py.errors import ConfigError, DesignError
from archgym_py.simulators.dram.address import load_address_map
from archgym_py.simulators.dram.model import DRAMSimulator
from archgym_py.simulators.dram.space import CMD_MUX, POWER_DOWN_POLICY, SpaceVariant, dram_space
from archgym_py.simulators.dram.technology import load_technology
from archgym_py.simulators.dram.trace import Trace
from archgym_py.simulators.dram.workloads import parse_workload
from archgym_py.simulators.stand_in import EMBEDDED, stand_in
from archgym_py.space import Choice, Value

__all__ = ["DRAMControllerEnv", "DRAMControllerSequentialEnv", "DRAMControllerVectorEnv"]

_PLAYER_CLOCKS_MHZ = (1.0, 100_000.0)  # periods of 10 ps to 1 us
_MAX_DELAY_NS = 1_000_000.0


class DRAMControllerEnv(DesignEnv):
    """Design a DRAM memory controller: `ArchGym/DRAMController-v0`.

    A controller stands between a processor and a memory. It decides which of the waiting requests
    is served next, when rows are opened and closed, when the memory is refreshed and in what order
    the answers leave. A design is one such controller; it is evaluated on a memory trace by a
    cycle-accurate model of the controller and of the memory behind it.

    **Parameters** of the published space, `space="archgym"`, 442,368 designs:

    | parameter                 | values                                      | default    |
    |---------------------------|---------------------------------------------|------------|
    | `page_policy`             | Open, OpenAdaptive, Closed, ClosedAdaptive  | Open       |
    | `scheduler`               | Fifo, FrFcfsGrp, FrFcfs                     | FrFcfs     |
    | `scheduler_buffer`        | Bankwise, ReadWrite, Shared                 | Bankwise   |
    | `request_buffer_size`     | 1, 2, 4, ..., 128 requests                  | 8          |
    | `resp_queue`              | Fifo, Reorder                               | Fifo       |
    | `refresh_policy`          | NoRefresh (infeasible), AllBank             | AllBank    |
    | `refresh_max_postponed`   | 1, 2, 4, 8 refreshes                        | 8          |
    | `refresh_max_pulledin`    | 1, 2, 4, 8 refreshes                        | 8          |
    | `arbiter`                 | Simple, Fifo, Reorder                       | Simple     |
    | `max_active_transactions` | 1, 2, 4, ..., 128 requests                  | 128        |

    `space="integer"` has every whole number between (1 to 128, refresh limits 0 to 8) and every
    refresh policy of the technology (PerBank for LPDDR4 and HBM2). `space="extended"` has also:

    | parameter                 | values                                      | default        |
    |---------------------------|---------------------------------------------|----------------|
    | `address_map`             | the maps that fit the technology            | its own        |
    | `cmd_mux`                 | Oldest, Strict (feasible with Fifo only)    | Oldest         |
    | `power_down_policy`       | NoPowerDown, Staggered                      | NoPowerDown    |

    `max_active_transactions` has no effect with the arbiter Simple, the refresh limits have none
    with NoRefresh; designs that differ in nothing else share a key.

    **Metrics**, each with its unit in its name: `total_time_ns`; `latency_mean_ns`,
    `latency_p50_ns`, `latency_p99_ns`, `latency_max_ns`, from sending a request to its answer;
    `bandwidth_gbit_s` and `bandwidth_busy_gbit_s` (idle time left out); `row_hit_rate`; `energy_pj`
    with its components and `average_power_mw`, where the currents of the memory are public (not for
    HBM2); and the number of commands of each kind, `n_act`, `n_rd` and so on.

    **Actions, observations, infos** are those of `DesignEnv`: an action is a whole design, as
    MultiDiscrete value numbers or as a point of a Box; an observation has the position of each
    metric between its bounds and a flag for a feasible design.

    **Reward.** `objective`, always maximised. By default the logarithm of the default design's
    total time over this design's: 0 is as fast as the default, 0.1 about 10 percent faster.

    Args:
        workload: What the memory is asked: a generator's name ("cloud-saturating-1k"), a mapping
            of `Workload` fields, or the path of an .stl or .rstl trace, gzipped or not.
        technology: "DDR3-1600", "DDR3-1600-2rank", "DDR3-1600-2ch", "DDR4-2400", "LPDDR4-3200" or
            "HBM2".
        simulator: "embedded", the model that comes with the library; "proxy:PATH" for a fitted
            proxy in its place; the name of a real tool, or a mapping: see
            `archgym_py.simulators.stand_in.stand_in`.
        objective: What is rewarded; see `archgym_py.objective.parse_objective`.
        space: "archgym", "integer" or "extended".
        address_map: Name of an address map, or path of a ConGen JSON file; None for the
            technology's own. Not with the extended space.
        player_clock_mhz: Clock in whose cycles the trace counts, in MHz; None for the memory's.
        arbitration_delay_fw_ns: Delay of requests in the arbiter, in ns. Only the Simple arbiter
            has one.
        arbitration_delay_bw_ns: Delay of responses in the arbiter, in ns; as above.
        think_delay_fw_ns: Delay of requests in the controller, in ns.
        think_delay_bw_ns: Delay of responses in the controller, in ns.
        phy_delay_fw_ns: Delay of commands and data on their way to the memory, in ns.
        phy_delay_bw_ns: Delay of data on their way back, in ns.
        cmd_mux: "Oldest" (the default) or "Strict". Not with the extended space.
        power_down_policy: "NoPowerDown" (the default) or "Staggered". Not with the extended space.
        allow_no_refresh: Whether NoRefresh is feasible; a real memory would lose its data.
        reference_energy: Whether the standby energy of several ranks is counted as DRAMPower does
            for DRAMSys, once for every rank too often; for comparisons with it only.
        action: "multidiscrete" (the default) or "box".
        render_mode: None or "ansi".
        baseline: Metrics of the design to improve on; by default those of the default design.

    Raises:
        ConfigError: If an argument is not known or not legal, or names a parameter of the space.
        UnknownNameError: If there is no such workload, technology or address map.
        TraceError: If the trace cannot be read.

    Examples:
        >>> import gymnasium as gym
        >>> env = gym.make("ArchGym/DRAMController-v0", workload="random-saturating-1k")
        >>> env.action_space
        MultiDiscrete([4 3 3 8 2 2 4 4 3 8])
        >>> observation, info = env.reset(seed=0)
        >>> action = [0, 2, 2, 5, 0, 1, 3, 3, 1, 6]
        >>> observation, reward, terminated, truncated, info = env.step(action)
        >>> info["design"]["scheduler_buffer"], info["design"]["request_buffer_size"]
        ('Shared', 32)
        >>> info["status"], reward > 0, terminated
        ('ok', True, True)
    """

    def __init__(
        self,
        *,
        workload: str | os.PathLike[str] | Mapping[str, Any] = "cloud-saturating-1k",
        technology: str = "DDR3-1600",
        simulator: str | Mapping[str, Any] = EMBEDDED,
        objective: str | Mapping[str, Any] = "minimize:total_time_ns",
        space: SpaceVariant = "archgym",
        address_map: str | os.PathLike[str] | None = None,
        player_clock_mhz: float | None = None,
        arbitration_delay_fw_ns: float = 0.0,
        arbitration_delay_bw_ns: float = 0.0,
        think_delay_fw_ns: float = 0.0,
        think_delay_bw_ns: float = 0.0,
        phy_delay_fw_ns: float = 0.0,
        phy_delay_bw_ns: float = 0.0,
        cmd_mux: str | None = None,
        power_down_policy: str | None = None,
        allow_no_refresh: bool = False,
        reference_energy: bool = False,
        action: str | None = None,
        render_mode: str | None = None,
        baseline: Mapping[str, float] | None = None,
        **unknown: Any,
    ) -> None:
        refuse_unknown(DRAMControllerEnv, "the memory controller", unknown)
        require_type("workload", workload, str, os.PathLike, Mapping)
        require_type("technology", technology, str)
        if address_map is not None:
            require_type("address_map", address_map, str, os.PathLike)
        memory = load_technology(technology)
        mux = _checked(CMD_MUX, cmd_mux)
        designs = dram_space(
            space,
            memory,
            cmd_mux=str(mux),
            allow_no_refresh=flag("allow_no_refresh", allow_no_refresh),
        )
        arguments = {
            "address_map": address_map,
            "cmd_mux": cmd_mux,
            "power_down_policy": power_down_policy,
        }
        for name, value in arguments.items():
            if value is not None and name in designs.names:
                raise ConfigError(
                    f"{name} is a parameter of the space {space!r} and cannot be fixed to "
                    f"{value!r} too. Leave the argument out, or choose space='integer'."
                )
        wiring = load_address_map(
            memory.default_address_map if address_map is None else address_map
        )
        wiring.check(memory)
        fixed = {
            "address_map": wiring.name,
            "cmd_mux": mux,
            "power_down_policy": _checked(POWER_DOWN_POLICY, power_down_policy),
        }
        clock = memory.clock_mhz if player_clock_mhz is None else player_clock_mhz
        requests = parse_workload(workload)
        model = DRAMSimulator(
            trace=requests if isinstance(requests, Trace) else requests.generate(),
            technology=memory,
            address_map=wiring,
            fixed={name: value for name, value in fixed.items() if name not in designs.names},
            player_clock_mhz=number("player_clock_mhz", clock, *_PLAYER_CLOCKS_MHZ),
            reference_energy=flag("reference_energy", reference_energy),
            arbitration_delay_fw_ns=_delay("arbitration_delay_fw_ns", arbitration_delay_fw_ns),
            arbitration_delay_bw_ns=_delay("arbitration_delay_bw_ns", arbitration_delay_bw_ns),
            think_delay_fw_ns=_delay("think_delay_fw_ns", think_delay_fw_ns),
            think_delay_bw_ns=_delay("think_delay_bw_ns", think_delay_bw_ns),
            phy_delay_fw_ns=_delay("phy_delay_fw_ns", phy_delay_fw_ns),
            phy_delay_bw_ns=_delay("phy_delay_bw_ns", phy_delay_bw_ns),
        )
        super().__init__(
            designs,
            stand_in(simulator, model, designs),
            objective,
            action=self.actions[0] if action is None else action,
            render_mode=render_mode,
            baseline=baseline,
        )


class DRAMControllerSequentialEnv(DRAMControllerEnv, SequentialDesignEnv):
    """Design the controller one parameter at a time: `ArchGym/DRAMControllerSequential-v0`.

    Parameters, metrics, reward and arguments are those of `DRAMControllerEnv`, except that `action`
    is "discrete" (the default) or "box"; actions and observations are those of
    `SequentialDesignEnv`.

    Examples:
        >>> import gymnasium as gym
        >>> env = gym.make("ArchGym/DRAMControllerSequential-v0")
        >>> env.action_space
        Discrete(8)
        >>> observation, info = env.reset(seed=0)
        >>> steps = [env.step(action) for action in (0, 7, 7, 5, 0, 7, 7, 7, 0, 7)]
        >>> [terminated for _, _, terminated, _, _ in steps].index(True)
        9
        >>> steps[-1][4]["design"]["scheduler"]
        'FrFcfs'
    """


class DRAMControllerVectorEnv(DesignVectorEnv):
    """A batch of controllers in each step: the vector form of `ArchGym/DRAMController-v0`.

    The designs of a step are simulated together, on several threads.

    Args:
        num_envs: Designs in a step.
        **kwargs: Arguments of `DRAMControllerEnv`.

    Examples:
        >>> import gymnasium as gym
        >>> envs = gym.make_vec("ArchGym/DRAMController-v0", num_envs=4)
        >>> observations, infos = envs.reset(seed=0)
        >>> _ = envs.action_space.seed(0)
        >>> observations, rewards, terminations, truncations, infos = envs.step(
        ...     envs.action_space.sample()
        ... )
        >>> rewards.shape, infos["final_info"]["metrics"]["total_time_ns"].shape
        ((4,), (4,))
    """

    def __init__(self, *, num_envs: int = 1, **kwargs: Any) -> None:
        super().__init__(DRAMControllerEnv(**kwargs), num_envs)


def _checked(parameter: Choice, value: str | None) -> Value:
    """Return the value of a parameter that is fixed, its default where none is given."""
    try:
        return parameter.default if value is None else parameter.check(value)
    except DesignError as error:
        raise ConfigError(str(error)) from None


def _delay(name: str, value: object) -> float:
    return number(name, value, 0.0, _MAX_DELAY_NS)
