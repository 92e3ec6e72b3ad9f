"""Workload files and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from archgym_py.errors import ConfigError, UnknownNameError
from archgym_py.simulators.soc.arvr_model import burst_parts
from archgym_py.simulators.soc.arvr_workloads import (
    MAX_TASKS,
    Budgets,
    Task,
    Workload,
    as_workload,
    load_workload,
    parse_workload,
    workload_names,
)

IP = {"ip_cycles": 500, "ip_energy": 9.5, "ip_area": 12, "loop_iterations": 4}
CONTENT: dict[str, Any] = {
    "name": "tiny",
    "budgets": {"latency_ms": 1, "power_mw": 2, "area_mm2": 3},
    "tasks": [{"name": "in"}, {"name": "work", "a53_cycles": 1000, **IP}, {"name": "out"}],
    "edges": [
        {"from": "in", "to": "work", "bytes": 4096},
        {"from": "work", "to": "out", "bytes": 8},
    ],
}


def changed(**changes: Any) -> dict[str, Any]:
    return {**CONTENT, **changes}


@pytest.mark.parametrize(
    ("name", "tasks", "edges", "latency_ms"),
    [("edge_detection", 8, 8, 34), ("hpvm_cava", 9, 8, 34), ("audio_decoder", 18, 23, 21)],
)
def test_shipped_workloads(name: str, tasks: int, edges: int, latency_ms: float) -> None:
    workload = load_workload(name)
    assert (len(workload.tasks), len(workload.edges)) == (tasks, edges)
    assert workload.budgets == Budgets(latency_ms, 8.737, 17.475)
    assert name in workload_names()
    assert load_workload(name) is workload
    ends = {edge.child for edge in workload.edges} - {edge.parent for edge in workload.edges}
    assert [workload.names[end] for end in ends] == ["siink"]


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(CONTENT), encoding="utf-8")
    workload = as_workload(path)
    assert workload == as_workload(str(path)) == as_workload(CONTENT)
    assert workload.work == (0.0, 2000.0, 0.0)
    assert workload.tasks[1].ip_area == 12.0
    assert workload.parents == ((), (0,), (1,))
    assert workload.children == ((0,), (1,), ())


def test_the_fingerprint_changes_with_the_content_only() -> None:
    workload = as_workload(CONTENT)
    assert as_workload(changed(description="other")).fingerprint == workload.fingerprint
    edges = [{"from": "in", "to": "work", "bytes": 4097}, CONTENT["edges"][1]]
    assert as_workload(changed(edges=edges)).fingerprint != workload.fingerprint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed(taks=[]), "unknown key 'taks'. Did you mean 'tasks'"),
        (changed(tasks="work"), "tasks must be a list, got"),
        (changed(tasks=[{"nam": "a"}]), "task 1: unknown key 'nam'. Did you mean 'name'"),
        (
            changed(tasks=[{"name": "a", "a53_cycles": -1}], edges=[]),
            "task 'a': a53_cycles must be",
        ),
        (changed(tasks=[{"name": "a", "a53_cycles": 0.5}], edges=[]), "0 or at least 1, got 0.5"),
        (
            changed(tasks=[{"name": " ", "a53_cycles": 1}], edges=[]),
            "name of a task must be a text",
        ),
        (changed(tasks=[{"name": "a"}], edges=[]), "no task has a53_cycles"),
        (changed(tasks=[{"name": "a", "a53_cycles": 5}] * 2, edges=[]), "two tasks have the name"),
        (
            changed(tasks=[{"name": "a", "a53_cycles": 5, "ip_cycles": 4}], edges=[]),
            "task 'a': an accelerator needs",
        ),
        (changed(tasks=[{"name": "a", **IP}], edges=[]), "task 'a': a dummy without a53_cycles"),
        (changed(edges=[{"from": "in", "to": "work"}]), "edge 1: the key 'bytes' is missing"),
        (
            changed(edges=[{"from": "in", "to": "work", "bytes": 0}]),
            "edge 1: bytes must be a number from 1",
        ),
        (
            changed(edges=[{"from": "work", "to": "work", "bytes": 4}]),
            "work -> work leads from a task to itself",
        ),
        (changed(edges=CONTENT["edges"] * 2), "the edge in -> work is there twice"),
        (
            changed(edges=[*CONTENT["edges"], {"from": "out", "to": "work", "bytes": 1}]),
            "make a cycle, (work -> out -> work|out -> work -> out)",
        ),
        (changed(budgets={"latency_ms": 1}), "budgets: the key 'power_mw' is missing"),
        (
            changed(budgets={"latency_ms": -1, "power_mw": 2, "area_mm2": 3}),
            "budget latency_ms must be",
        ),
        (changed(description=3), "description must be a text"),
        (changed(accelerator_order="work"), "accelerator_order must be a list"),
        (
            changed(accelerator_order=["in"]),
            "accelerator_order must name every task .* wrong or missing: in, work",
        ),
        (changed(accelerator_order=["work"] * 2), "every task with an accelerator once"),
        (changed(name=""), "the name of a workload must be a text"),
        ([], "must be a mapping"),
    ],
)
def test_what_is_wrong_is_named(content: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse_workload(content, source="tiny.yaml")
    assert str(caught.value).startswith("tiny.yaml")


def test_unknown_names() -> None:
    with pytest.raises(
        UnknownNameError, match=r"edge 1: there is no task 'wrok'. Did you mean 'work'"
    ):
        as_workload(changed(edges=[{"from": "wrok", "to": "out", "bytes": 1}]))
    with pytest.raises(UnknownNameError, match="accelerator_order: there is no task 'wrok'"):
        as_workload(changed(accelerator_order=["wrok"]))
    with pytest.raises(UnknownNameError, match="Did you mean 'hpvm_cava'"):
        as_workload("hpvm_cav")
    with pytest.raises(UnknownNameError, match="has no task 'wrok'"):
        as_workload(CONTENT).index("wrok")
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: does not exist"):
        as_workload("nowhere.yaml")
    with pytest.raises(ConfigError, match="must be its name, the path of its file"):
        as_workload(3)  # type: ignore[arg-type]


def test_a_longer_cycle_is_named() -> None:
    tasks = [{"name": name, "a53_cycles": 5} for name in "abcd"]
    edges = [{"from": u, "to": v, "bytes": 1} for u, v in ("ab", "bc", "cd", "db")]
    with pytest.raises(ConfigError, match="make a cycle") as caught:
        as_workload({"name": "w", "tasks": tasks, "edges": edges})
    assert "a ->" not in str(caught.value)


def test_too_many_tasks() -> None:
    tasks = tuple(Task(name=f"t{n}", a53_cycles=5) for n in range(MAX_TASKS + 1))
    with pytest.raises(ConfigError, match="more than the 63"):
        Workload("many", tasks)


def test_topological_order() -> None:
    tasks = [{"name": name, "a53_cycles": 5} for name in "abc"]
    edges = [{"from": u, "to": v, "bytes": 1} for u, v in ("cb", "ba")]
    assert as_workload({"name": "w", "tasks": tasks, "edges": edges}).topological == (2, 1, 0)


@pytest.mark.parametrize(
    ("cycles", "bytes_in", "bytes_out", "parts"),
    [
        (1000, 10_240, 4096, 10),
        (1000, 10_240, 9, 1),  # an output would have bursts of nothing
        (1000, 1023, 4096, 1),
        (1, 10_240, 4096, 1),  # there would be no work between two bursts
        (0, 10_240, 4096, 1),
    ],
)
def test_bursts(cycles: float, bytes_in: float, bytes_out: float, parts: int) -> None:
    workload = as_workload(
        {
            "name": "w",
            "tasks": [
                {"name": "a", "a53_cycles": 9},
                {"name": "b", "a53_cycles": cycles},
                {"name": "c"},
            ],
            "edges": [
                {"from": "a", "to": "b", "bytes": bytes_in},
                {"from": "b", "to": "c", "bytes": bytes_out},
            ],
        }
    )
    assert burst_parts(workload, 1, 1024) == parts
    assert burst_parts(workload, 0, 1024) == 1
