"""Each kind of input, wrong in each way: traces, designs, configurations and actions."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archgym_py.envs.dram import (
    DRAMControllerEnv,
    DRAMControllerSequentialEnv,
    DRAMControllerVectorEnv,
)
from archgym_py.errors import (
    ActionError,
    ArchGymError,
    ConfigError,
    DesignError,
    TraceError,
    UnknownNameError,
)
from archgym_py.runner import make_env

SIZES = "parameter 'request_buffer_size' takes one of 1, 2, 4, 8, 16, 32, 64, 128"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("0: read 0x0 0xff 7 8\n", "line 1: 6 words, but a request has 3, or 4 with data"),  # shape
        ("0: read\n", "line 1: the address is missing"),
        ("", "has no request. A line is, for example, '0: read 0x40'."),
        ("0: read 0x0\nnan: read 0x40\n", "line 2: 'nan:' is not a cycle followed by a colon"),
        ("0: read nan\n", "line 1: 'nan' is not a hexadecimal address with 0x before it"),
        ("-1: read 0x0\n", "line 1: '-1:' is not a cycle"),  # range
        ("1000000000000: read 0x0\n", "line 1: the cycle is above 999999999999"),
        ("0: read 0x10000000000000000\n", "line 1: the address has more than 64 bits"),
        ("0: raed 0x0\n", "line 1: 'raed' is neither 'read' nor 'write'"),  # misspelt
    ],
)
def test_wrong_traces(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "wrong.stl"
    path.write_text(content)
    with pytest.raises(TraceError) as caught:
        DRAMControllerEnv(workload=path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_addresses_beyond_the_memory_lose_their_upper_bits_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "large.stl"
    path.write_text("0: read 0x40\n1: read 0x140000040\n")
    with pytest.warns(UserWarning, match=r"1 of 2 addresses lie beyond the memory of 30 address"):
        env = DRAMControllerEnv(workload=path)
    assert env.simulator.evaluate(env.space.default(), seed=0).metrics["n_act"] == 1


@pytest.mark.parametrize(
    ("space", "changes", "message"),
    [
        ("archgym", {"arbitr": "Simple"}, "has no parameter 'arbitr'. Did you mean 'arbiter'?"),
        ("archgym", {"request_buffer_size": math.nan}, f"{SIZES}, got nan."),
        ("archgym", {"request_buffer_size": 256}, f"{SIZES}, got 256. The nearest is 128."),
        ("archgym", {"request_buffer_size": [8]}, f"{SIZES}, got [8]."),
        ("archgym", {"request_buffer_size": "8"}, f"{SIZES}, got '8'."),
        ("archgym", {"scheduler": "FRFCFS"}, "got 'FRFCFS'. Did you mean 'FrFcfs'?"),
        ("archgym", {"cmd_mux": "Oldest"}, "the space has no parameter 'cmd_mux'."),
        ("integer", {"request_buffer_size": 129}, "takes integer 1..128, got 129. The nearest"),
        ("integer", {"refresh_max_pulledin": 9}, "takes integer 0..8, got 9. The nearest is 8."),
        ("integer", {"request_buffer_size": 7.5}, "takes integer 1..128, got 7.5. Write a whole"),
        ("integer", {"refresh_policy": "PerBank"}, "one of NoRefresh, AllBank, got 'PerBank'."),
        ("extended", {"address_map": "kit_ddr4_rbc"}, "parameter 'address_map' takes one of am_"),
    ],
)
def test_wrong_designs(space: Any, changes: Any, message: str) -> None:
    env = DRAMControllerEnv(space=space)
    with pytest.raises(DesignError) as caught:
        env.evaluator.evaluate(env.space.default() | changes)
    assert message in str(caught.value)
    assert env.evaluator.spent == 0


def test_incomplete_designs() -> None:
    env = DRAMControllerEnv()
    design = env.space.default()
    del design["arbiter"]
    with pytest.raises(DesignError, match=r"the design lacks 'arbiter'\. Give every parameter"):
        env.evaluator.evaluate(design)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"worklod": "cloud"}, ConfigError, "no argument 'worklod'. Did you mean 'workload'?"),
        (
            {"technology": ["DDR3-1600"]},
            ConfigError,
            "technology must be a name, got ['DDR3-1600']",
        ),
        ({"technology": None}, ConfigError, "technology must be a name, got None."),
        ({"workload": 5}, ConfigError, "workload must be a name or a path or a mapping, got 5."),
        ({"address_map": 3}, ConfigError, "address_map must be a name or a path, got 3."),
        ({"technology": "DDR3-1601"}, UnknownNameError, "Did you mean 'DDR3-1600'?"),
        ({"player_clock_mhz": math.nan}, ConfigError, "from 1 to 100000, got nan."),
        ({"player_clock_mhz": 1e6}, ConfigError, "from 1 to 100000, got 1000000.0."),
        ({"player_clock_mhz": [800]}, ConfigError, "from 1 to 100000, got [800]."),
        ({"phy_delay_fw_ns": -0.1}, ConfigError, "phy_delay_fw_ns must be a number from 0 to"),
        (
            {"workload": {"pattern": "cloud", "requests": 0}},
            ConfigError,
            "workload: requests must be a whole number from 1 to 10000000, got 0.",
        ),
        (
            {"workload": {"pattern": "cloud", "write_fraction": math.nan}},
            ConfigError,
            "workload: write_fraction must be a number from 0 to 1, or None for the pattern's own",
        ),
        (
            {"workload": {"pattern": "cloud", "request": 10}},
            ConfigError,
            "workload: unknown field 'request'. Did you mean 'requests'?",
        ),
        (
            {"objective": "minimise:total_time_ns"},
            ConfigError,
            "Did you mean 'minimize'?",
        ),
        (
            {"baseline": {"total_time_ns": math.nan}},
            ConfigError,
            "'total_time_ns' needs a positive finite number, got nan.",
        ),
    ],
)
def test_wrong_configurations(
    arguments: dict[str, Any], error: type[ArchGymError], message: str
) -> None:
    with pytest.raises(error) as caught:
        make_env("ArchGym/DRAMController-v0", arguments).evaluator  # noqa: B018 - checks lazily
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "action", "message"),
    [
        ("multidiscrete", np.zeros(9, int), "10 integers, one for each parameter, got dtype int64"),
        ("multidiscrete", np.zeros((1, 10), int), "shape (1, 10)"),
        ("multidiscrete", np.full(10, math.nan), "got dtype float64"),
        ("multidiscrete", np.full(10, 8), "'page_policy' have the numbers 0..3, got 8."),
        ("multidiscrete", np.full(10, -1), "'page_policy' have the numbers 0..3, got -1."),
        ("multidiscrete", {"page_policy": "Open"}, "got dtype object and shape ()"),
        ("box", np.zeros(9), "10 numbers, one for each parameter, got dtype float64"),
        ("box", np.full(10, math.nan), "'page_policy' must lie in [-1, 1], got nan."),
        ("box", np.full(10, 1.5), "'page_policy' must lie in [-1, 1], got 1.5."),
    ],
)
def test_wrong_actions(kind: str, action: Any, message: str) -> None:
    env = DRAMControllerEnv(action=kind)
    with pytest.raises(ActionError) as caught:
        env.step(action)
    assert message in str(caught.value)
    assert env.evaluator.spent == 0


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (8, "an action must lie in 0..7, got 8."),
        (-1, "an action must lie in 0..7, got -1."),
        (math.nan, "an action is one integer, got dtype float64"),
        ([0, 1], "an action is one integer, got dtype int64 and shape (2,)"),
        ("Open", "an action is one integer, got dtype <U4"),
    ],
)
def test_wrong_sequential_actions(action: Any, message: str) -> None:
    env = DRAMControllerSequentialEnv()
    env.reset()
    with pytest.raises(ActionError) as caught:
        env.step(action)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.zeros((3, 10), int), "2 actions, one for each sub-environment, got an array of shape"),
        (np.array([[0] * 10, [9] * 10]), "action 1: the values of parameter 'page_policy'"),
        (np.full((2, 10), math.nan), "action 0: a design is 10 integers"),
    ],
)
def test_wrong_vector_actions(actions: Any, message: str) -> None:
    envs = DRAMControllerVectorEnv(num_envs=2)
    envs.reset()
    with pytest.raises(ActionError) as caught:
        envs.step(actions)
    assert message in str(caught.value)
