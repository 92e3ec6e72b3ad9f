import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from archgym_py.environment import DesignVectorEnv
from archgym_py.envs.dram import (
    DRAMControllerEnv,
    DRAMControllerSequentialEnv,
    DRAMControllerVectorEnv,
)
from archgym_py.errors import ActionError, ArchGymError, ConfigError, TraceError, UnknownNameError
from archgym_py.evaluator import Trial
from archgym_py.simulators.dram.technology import technology_names
from archgym_py.simulators.dram.trace import write_stl
from archgym_py.simulators.dram.workloads import Workload
from archgym_py.space import Design

DELAYS = (
    "arbitration_delay_fw_ns",
    "arbitration_delay_bw_ns",
    "think_delay_fw_ns",
    "think_delay_bw_ns",
    "phy_delay_fw_ns",
    "phy_delay_bw_ns",
)


def _evaluate(changes: Design | None = None, **arguments: Any) -> Trial:
    env = DRAMControllerEnv(**arguments)
    return env.evaluator.evaluate(env.space.default() | (changes or {}))


def _total_time(**arguments: Any) -> float:
    trial = _evaluate(**arguments)
    assert trial.status == "ok", trial.message
    return trial.metrics["total_time_ns"]


@pytest.mark.parametrize("technology", technology_names())
@pytest.mark.parametrize("space", ["archgym", "integer", "extended"])
def test_the_default_design_is_the_baseline(technology: str, space: Any) -> None:
    trial = _evaluate(technology=technology, space=space)
    assert (trial.status, trial.reward) == ("ok", 0.0)


@pytest.mark.parametrize(
    ("env_id", "action", "space"),
    [
        (
            "ArchGym/DRAMController-v0",
            None,
            gym.spaces.MultiDiscrete([4, 3, 3, 8, 2, 2, 4, 4, 3, 8]),
        ),
        ("ArchGym/DRAMController-v0", "box", gym.spaces.Box(-1, 1, (10,), np.float32)),
        ("ArchGym/DRAMControllerSequential-v0", None, gym.spaces.Discrete(8)),
        ("ArchGym/DRAMControllerSequential-v0", "box", gym.spaces.Box(-1, 1, (1,), np.float32)),
    ],
)
def test_action_spaces(env_id: str, action: str | None, space: "gym.Space[object]") -> None:
    assert gym.make(env_id, action=action).action_space == space


def test_the_vector_form_gives_the_rewards_of_the_single_one() -> None:
    envs = gym.make_vec("ArchGym/DRAMController-v0", num_envs=6, workload="random")
    assert isinstance(envs.unwrapped, DesignVectorEnv)
    envs.action_space.seed(1)
    actions = envs.action_space.sample()
    envs.reset()
    _, rewards, *_, infos = envs.step(actions)
    env = DRAMControllerEnv(workload="random")
    for index, action in enumerate(actions):
        _, reward, _, _, info = env.step(action)
        assert infos["final_info"]["status"][index] == info["status"]
        assert rewards[index] == reward


def test_one_step_and_sequential_forms_agree() -> None:
    env, sequential = DRAMControllerEnv(), DRAMControllerSequentialEnv(action="box")
    design = env.space.default() | {"arbiter": "Fifo", "request_buffer_size": 64}
    sequential.reset()
    for position in env.space.to_unit(design):
        *_, terminated, _, info = sequential.step(np.array([2 * position - 1], np.float32))
    assert terminated
    assert info["design"] == design
    assert info["metrics"] == env.evaluator.evaluate(design).metrics


def test_no_refresh_is_infeasible_unless_allowed() -> None:
    lossy: Design = {"refresh_policy": "NoRefresh"}
    refused = _evaluate(lossy, workload="stream-idle-1k")
    assert refused.status == "infeasible"
    assert "allow_no_refresh=True" in refused.message
    allowed = _evaluate(lossy, workload="stream-idle-1k", allow_no_refresh=True)
    assert allowed.status == "ok"
    assert allowed.metrics["n_refa"] == 0


def test_workloads_can_be_named_described_or_read(tmp_path: Path) -> None:
    workload = Workload("random", "medium", 500, seed=2)
    path = tmp_path / "random.stl.gz"
    write_stl(workload.generate(), path)
    described = {"pattern": "random", "rate": "medium", "requests": 500, "seed": 2}
    times = {_total_time(workload=w) for w in (workload.name, described, str(path), path)}
    assert len(times) == 1


@pytest.mark.parametrize("name", DELAYS)
def test_delays_take_time(name: str) -> None:
    assert _total_time(**{name: 10.0}) > _total_time()


def test_a_slow_player_takes_longer() -> None:
    assert _total_time(player_clock_mhz=800) == _total_time()
    assert _total_time(player_clock_mhz=np.int64(800)) == _total_time()
    assert _total_time(player_clock_mhz=100) > 1.3 * _total_time()


def test_the_address_map_matters() -> None:
    default = _total_time(workload="conflict")
    assert _total_time(workload="conflict", address_map="kit_ddr3_xor") < 0.8 * default
    extended = _evaluate({"address_map": "kit_ddr3_xor"}, workload="conflict", space="extended")
    assert extended.metrics["total_time_ns"] < 0.8 * default


def test_what_the_space_lacks_is_set_by_an_argument() -> None:
    in_order: Design = {"scheduler": "Fifo"}
    argument = _evaluate(in_order, cmd_mux="Strict")
    parameter = _evaluate(in_order | {"cmd_mux": "Strict"}, space="extended")
    assert argument.metrics == parameter.metrics
    staggered = _evaluate(power_down_policy="Staggered", workload="stream-idle-1k")
    assert staggered.metrics["n_pdea"] + staggered.metrics["n_pdep"] > 0
    same = _evaluate(
        {"power_down_policy": "Staggered"}, space="extended", workload="stream-idle-1k"
    )
    assert same.metrics == staggered.metrics


def test_a_strict_command_mux_has_a_feasible_default() -> None:
    env = DRAMControllerEnv(cmd_mux="Strict")
    assert env.space.default()["scheduler"] == "Fifo"
    blocked = env.evaluator.evaluate(env.space.default() | {"scheduler": "FrFcfs"})
    assert (blocked.status, blocked.metrics) == ("infeasible", {})


def test_energy_is_absent_where_no_currents_are_public() -> None:
    assert "energy_pj" not in {
        m.name for m in DRAMControllerEnv(technology="HBM2").simulator.metrics
    }
    with pytest.raises(ConfigError, match="energy_pj"):
        DRAMControllerEnv(technology="HBM2", objective="minimize:energy_pj")


def test_equal_envs_agree() -> None:
    assert (
        _evaluate(workload="cloud-medium-1k").metrics
        == _evaluate(workload="cloud-medium-1k").metrics
    )


def test_render() -> None:
    env = DRAMControllerEnv(render_mode="ansi")
    env.step(env.space.encode(env.space.default()))
    text = env.render()
    assert text is not None
    assert text.startswith("ok, reward 0")
    assert "page_policy" in text
    assert "total_time_ns" in text


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"worklod": "cloud"}, ConfigError, "no argument 'worklod'. Did you mean 'workload'?"),
        ({"workload": "clod"}, UnknownNameError, "unknown workload 'clod'. Did you mean 'cloud'?"),
        ({"workload": "none.stl"}, TraceError, "none.stl: cannot be read"),
        ({"technology": "DDR5"}, UnknownNameError, "unknown technology 'DDR5'. "),
        ({"objective": "minimize:totaltime"}, ConfigError, "totaltime"),
        ({"space": "extendd"}, ConfigError, "unknown space 'extendd'. Did you mean 'extended'?"),
        ({"address_map": "kit_ddr3"}, UnknownNameError, "unknown address map 'kit_ddr3'"),
        ({"address_map": ""}, UnknownNameError, "unknown address map ''"),
        ({"address_map": "kit_ddr4_rbc"}, ConfigError, "does not fit DDR3-1600"),
        ({"player_clock_mhz": 0}, ConfigError, "must be a number from 1 to 100000, got 0"),
        ({"player_clock_mhz": True}, ConfigError, "player_clock_mhz must be a number"),
        ({"think_delay_fw_ns": -1}, ConfigError, "think_delay_fw_ns must be a number from 0 to"),
        ({"phy_delay_bw_ns": float("nan")}, ConfigError, "phy_delay_bw_ns must be a number"),
        ({"phy_delay_bw_ns": "1"}, ConfigError, "phy_delay_bw_ns must be a number"),
        ({"cmd_mux": "Oldst"}, ConfigError, "takes one of Oldest, Strict, got 'Oldst'. Did you"),
        ({"power_down_policy": "Off"}, ConfigError, "takes one of NoPowerDown, Staggered"),
        ({"allow_no_refresh": "yes"}, ConfigError, "allow_no_refresh must be True or False"),
        ({"action": "discrete"}, ConfigError, "unknown action 'discrete'"),
        ({"render_mode": "human"}, ConfigError, "unknown render_mode 'human'"),
        ({"space": "extended", "cmd_mux": "Oldest"}, ConfigError, "cmd_mux is a parameter of the"),
        (
            {"space": "extended", "address_map": "kit_ddr3_xor"},
            ConfigError,
            "address_map is a parameter of the space 'extended'",
        ),
    ],
)
def test_mistakes_are_named(
    arguments: dict[str, Any], error: type[ArchGymError], message: str
) -> None:
    for make in (DRAMControllerEnv, DRAMControllerVectorEnv):
        with pytest.raises(error, match=re.escape(message)):
            make(**arguments)


@pytest.mark.parametrize(
    "action",
    [
        np.zeros(9, np.int64),
        np.full(10, 8),
        np.full(10, -1),
        np.full(10, 0.5),
        np.full(10, np.nan),
        "Open",
        None,
    ],
)
def test_wrong_actions_are_refused(action: Any) -> None:
    env = DRAMControllerEnv()
    with pytest.raises(ActionError):
        env.step(action)
    assert env.evaluator.spent == 0
