"""Systems as mappings, and what is wrong with them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from archgym_py.errors import ConfigError, InfeasibleDesign, UnknownNameError
from archgym_py.simulators.soc.arvr_database import BlockLibrary
from archgym_py.simulators.soc.arvr_design import SoC, designs_of, parse_soc, soc_of
from archgym_py.simulators.soc.arvr_workloads import as_workload

IP = {"ip_cycles": 500, "ip_energy": 9.5, "ip_area": 12, "loop_iterations": 4}
WORKLOAD = as_workload(
    {
        "name": "pair",
        "tasks": [{"name": "a", "a53_cycles": 1e6, **IP}, {"name": "b", "a53_cycles": 2e6}],
        "edges": [{"from": "a", "to": "b", "bytes": 65_536}],
    }
)
BLOCKS = BlockLibrary(WORKLOAD)
CONTENT: dict[str, Any] = {
    "processors": {
        "cpu": {"type": "A53", "bus": "main"},
        "own": {"type": "a_IP0_2_4", "bus": "side"},
    },
    "memories": {"ddr": {"type": "GMEM_0_4", "bus": "main"}, "loose": {"type": "LMEM_1_1"}},
    "buses": {"main": {"type": "LMEM_ic_0_4"}, "side": {"type": "LMEM_ic_1_4"}},
    "tasks": {"a": {"processor": "own", "memory": "ddr"}, "b": {"processor": "cpu"}},
    "links": [["main", "side"]],
}


def changed(part: str, name: str, entry: Any) -> dict[str, Any]:
    content = copy.deepcopy(CONTENT)
    content[part] = {**content[part], name: entry}
    return content


def test_arrays() -> None:
    designs = designs_of([parse_soc(CONTENT)], WORKLOAD, BLOCKS)
    assert [BLOCKS.processors[k].name for k in designs.processor[0]] == ["A53", "a_IP0_2_4"]
    assert designs.processor_bus.tolist() == [[0, 1]]
    assert [BLOCKS.memories[k].name for k in designs.memory[0]] == ["GMEM_0_4", "LMEM_1_1"]
    assert designs.memory_bus.tolist() == [[0, -1]]
    assert designs.link[0].tolist() == [[0, 1], [1, 0]]
    assert designs.task_processor.tolist() == [[1, 0]]
    assert designs.task_memory.tolist() == [[0, 0]]


def test_arrays_are_systems_again() -> None:
    designs = designs_of([parse_soc(CONTENT)], WORKLOAD, BLOCKS)
    soc = soc_of(designs, 0, WORKLOAD, BLOCKS)
    again = designs_of([soc], WORKLOAD, BLOCKS)
    for one, other in zip(designs, again, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"processors": {}}, "the key 'memories' is missing"),
        ({**CONTENT, "linsk": []}, "unknown key 'linsk'. Did you mean 'links'"),
        ({**CONTENT, "tasks": []}, "tasks must be a mapping of names"),
        ({**CONTENT, "links": [["main"]]}, "a link is a pair of buses"),
        ({**CONTENT, "links": [["main", "main"]]}, "bus 'main' is linked to itself"),
        ({**CONTENT, "processors": {}}, "kind 'processor' must be 1 to 126, got 0"),
        (changed("processors", "cpu", {"type": "A53"}), "'cpu': the key 'bus' is missing"),
        (changed("processors", "cpu", {"type": 5, "bus": "main"}), "'cpu': type must be a name"),
        (changed("memories", "ddr", {"typ": "x"}), "'ddr': unknown key 'typ'"),
    ],
)
def test_malformed_systems(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_soc(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed("processors", "cpu", {"type": "A53", "bus": "mian"}), "processor 'cpu': .*'mian'"),
        (changed("memories", "ddr", {"type": "GMEM_0_4", "bus": "x"}), "memory 'ddr': .*bus 'x'"),
        (changed("tasks", "a", {"processor": "gpu"}), "task 'a': there is no processor 'gpu'"),
        (
            changed("tasks", "a", {"processor": "own", "memory": "drd"}),
            "task 'a': there is no memory 'drd'. Did you mean 'ddr'",
        ),
        ({**CONTENT, "links": [["main", "x"]]}, "link 'main' - 'x': there is no bus 'x'"),
    ],
)
def test_blocks_that_do_not_exist(content: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        parse_soc(content)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (
            changed("processors", "cpu", {"type": "A54", "bus": "main"}),
            UnknownNameError,
            "no processor 'A54'",
        ),
        (changed("buses", "main", {"type": "bus"}), UnknownNameError, "no bus 'bus'"),
        (changed("memories", "ddr", {"type": "GMEM"}), UnknownNameError, "no memory 'GMEM'"),
        (changed("tasks", "c", {"processor": "cpu"}), UnknownNameError, "no task 'c'"),
        (
            changed("tasks", "b", {"processor": "own"}),
            InfeasibleDesign,
            "task 'b' is mapped to 'own', a a_IP0_2_4, which cannot run it",
        ),
        (
            changed("tasks", "a", {"processor": "own"}),
            ConfigError,
            "task 'a' has outputs but no memory",
        ),
        (
            {**CONTENT, "tasks": {"a": CONTENT["tasks"]["a"]}},
            ConfigError,
            "task 'b' is mapped to no processor",
        ),
    ],
)
def test_systems_that_do_not_fit_the_workload(
    content: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        designs_of([parse_soc(content)], WORKLOAD, BLOCKS)


def test_a_processor_is_on_a_bus() -> None:
    soc = parse_soc(CONTENT)
    from archgym_py.simulators.soc.arvr_design import Block

    with pytest.raises(ConfigError, match="processor 'cpu' is on no bus"):
        SoC({"cpu": Block("A53")}, soc.memories, soc.buses, {})
