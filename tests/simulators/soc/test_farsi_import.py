"""FARSI's database: what is written in its format is read again, and nothing else is."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archgym_py.errors import ConfigError
from archgym_py.simulators.soc.arvr import ARVRSimulator
from archgym_py.simulators.soc.arvr_database import BlockLibrary, load_hardware
from archgym_py.simulators.soc.arvr_workloads import (
    Blocks,
    Workload,
    as_workload,
    load_workload,
    workload_names,
)
from archgym_py.simulators.soc.farsi_import import read_farsi

PERFORMANCE = "Task PE Performance"
BUDGETS = "Workload,latency,power,area,cost\nother,1,1,1,\nmine, .034,0.008737,0.000017475,\n"


def shown(value: float | None) -> str:
    return "" if value is None else repr(value)


def write_farsi(folder: Path, workload: Workload) -> str:
    """Write a workload as FARSI does; return the path of its task graph."""
    names = workload.names
    moved = {(edge.parent, edge.child): edge.bytes for edge in workload.edges}
    ordered = [task.name for task in workload.with_accelerators]
    rows = {
        "Task Data Movement": [
            ["Task Name", *names],
            *(
                [name, *(shown(moved.get((parent, child))) for child in range(len(names)))]
                for parent, name in enumerate(names)
            ),
        ]
    }
    # The order of the accelerators is that of the rows.
    tasks = sorted(
        workload.tasks, key=lambda task: ordered.index(task.name) if task.name in ordered else -1
    )
    for what, core, accelerator in (
        ("Task PE Performance", "a53_cycles", "ip_cycles"),
        ("Task PE Energy", None, "ip_energy"),
        ("Task PE Area", None, "ip_area"),
    ):
        rows[what] = [["Task Name", "A53", "IP0"]] + [
            [
                task.name,
                shown(getattr(task, core)) if core else "",
                shown(getattr(task, accelerator)),
            ]
            for task in tasks
        ]
    rows["Task Itr Count"] = [["Task Name", "number of iterations"]] + [
        [task.name, str(task.loop_iterations or 1)] for task in tasks
    ]
    for what, table in rows.items():
        text = "\n".join(",".join(row) for row in table)
        (folder / f"{workload.name}_database - {what}.csv").write_text(text, encoding="utf-8")
    return str(folder / f"{workload.name}_database - Task Data Movement.csv")


def block_rows(**changes: str) -> str:
    """Write the blocks of the library as FARSI does, some cells of a row changed."""
    rows = ["Name,dhrystone_IPC,Freq,Type,Subtype,Inst_per_joul,Gpp_area,BitWidth,hop_latency"]
    rows += ["A53,2,1000000000,pe,gpp,47019607843,6.5E-07,NA,1"]
    rows += ["IP,NA,100000000,pe,ip,,NA,NA,1"]
    for kind, types in (("LMEM", "mem,sram"), ("GMEM", "mem,dram"), ("LMEM_ic", "ic,ic")):
        rows += [f"{kind}_{k},NA,100000000,{types},,NA,{4 << k},1" for k in range(6)]
    text = "\n".join(rows)
    for old, new in changes.items():
        assert re.search(f"^{old},", text, re.MULTILINE)
        text = re.sub(f"^{old},.*$", new, text, flags=re.MULTILINE)
    return text


@pytest.fixture
def mine(tmp_path: Path) -> str:
    """A workload of a user, with budgets, a last task and the library's blocks."""
    tasks = [
        {"name": "in"},
        {"name": "work", "a53_cycles": 1e6, "ip_cycles": 5e4, "ip_energy": 9.5, "ip_area": 12}
        | {"loop_iterations": 4},
        {"name": "late", "a53_cycles": 5000},
        {"name": "out"},
    ]
    edges = [
        {"from": "in", "to": "work", "bytes": 4096},
        {"from": "work", "to": "late", "bytes": 8192},
        {"from": "late", "to": "out", "bytes": 8},
    ]
    path = write_farsi(tmp_path, as_workload({"name": "mine", "tasks": tasks, "edges": edges}))
    (tmp_path / "misc_database - Budget.csv").write_text(BUDGETS)
    (tmp_path / "misc_database - Last Tasks.csv").write_text("workload,last_task\nmine,late\n")
    (tmp_path / "misc_database - Block Characteristics.csv").write_text(block_rows())
    return path


def edit(path: str, what: str, change: Callable[[str], str]) -> str:
    """Change a file of the workload or of all workloads; return its path."""
    owner = "misc" if what in ("Budget", "Last Tasks", "Block Characteristics") else "mine"
    file = Path(path).with_name(f"{owner}_database - {what}.csv")
    before = file.read_text()
    after = change(before)
    assert after != before
    file.write_text(after)
    return str(file)


@pytest.mark.parametrize("name", workload_names())
def test_workloads_come_back(name: str, tmp_path: Path) -> None:
    workload = load_workload(name)
    found = as_workload(write_farsi(tmp_path, workload))
    assert found.name == name
    assert found.tasks == workload.tasks
    assert found.with_accelerators == workload.with_accelerators
    assert found.budgets is None
    assert found.edges == workload.edges
    assert found.fingerprint == workload.fingerprint


def test_a_folder(mine: str) -> None:
    workload = read_farsi(mine)
    assert workload.names == ("in", "work", "late", "out")
    assert workload.budgets is not None
    budgets = workload.budgets.latency_ms, workload.budgets.power_mw, workload.budgets.area_mm2
    assert budgets == (34.0, 8.737, 17.475)  # exactly: decimals times powers of ten
    assert workload.blocks is None  # they are the library's
    assert workload.tasks[1].loop_iterations == 4


def test_files_for_all_workloads_may_be_missing(mine: str) -> None:
    for what in ("Budget", "Last Tasks", "Block Characteristics"):
        Path(mine).with_name(f"misc_database - {what}.csv").unlink()
    assert read_farsi(mine).budgets is None
    with pytest.raises(ConfigError, match="says nothing of a budget of latency_ms"):
        ARVRSimulator(mine)


def test_bytes_to_itself_are_left_out(mine: str) -> None:
    edit(mine, "Task Data Movement", lambda text: text.replace("work,,,", "work,,77,"))
    assert len(read_farsi(mine).edges) == 3


def test_more_accelerators_without_cycles_are_left_out(mine: str) -> None:
    def wider(text: str) -> str:
        head, *rows = text.splitlines()
        return "\n".join([f"{head},IP1", *(f"{row},77" for row in rows)])

    before = read_farsi(mine).tasks
    edit(mine, "Task PE Energy", wider)
    assert read_farsi(mine).tasks == before
    edit(mine, "Task PE Performance", wider)
    with pytest.raises(ConfigError, match=r"Performance.csv, line 1: column 'IP1': a task runs"):
        read_farsi(mine)


# ---- what is wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "old", "new", "line", "message"),
    [
        ("Task Data Movement", "Task Name", "Tasks", 1, "the first column must be 'Task Name'"),
        ("Task Data Movement", "late,out", "late,late", 1, "column 5 is called 'late'"),
        ("Task Data Movement", "late,out", "late,end", 1, "there is no row of task 'end'"),
        ("Task Data Movement", "4096.0", "-1", 2, "column 'work' must be a finite number from 1"),
        ("Task Data Movement", "4096.0", "0", 2, "column 'work' must be a finite number from 1"),
        ("Task Data Movement", "4096.0", "4 kB", 2, "got '4 kB'"),
        ("Task Data Movement", "4096.0", "nan", 2, "got 'nan'"),
        ("Task Data Movement", "8192.0,", "8192.0", 3, "has 4 cells, and the head has 5"),
        ("Task Data Movement", "\nlate", "\nwork", 4, "there is a row of 'work' before"),
        ("Task PE Performance", "A53", "A72", 1, "there is no column 'A53'"),
        ("Task PE Performance", "late,5000.0", "late,", 3, "column 'A53' must be a finite number"),
        ("Task PE Performance", "late,5000.0", "late,0.5", 3, "must be 0 or at least 1"),
        ("Task PE Performance", "late,", "lat,", 3, "no task 'lat'. Did you mean 'late'"),
        ("Task PE Energy", "work,,", "work,3,", 5, "energy and area of the core are those of the"),
        ("Task PE Energy", "9.5", "", 5, "column 'IP0': is empty, and task 'work' has"),
        ("Task PE Energy", "9.5", "9,5", 5, "has 4 cells, and the head has 3"),
        ("Task PE Area", "12.0", "1e400", 5, "column 'IP0' must be a finite number from 0 on"),
        ("Task PE Area", "12.0", '"12', 5, "is not valid CSV"),
        ("Task Itr Count", "work,4", "work,4.5", 5, "'number of iterations' must be a whole"),
        ("Task Itr Count", "work,4", "work,0", 5, "'number of iterations' must be a whole"),
        ("Task Itr Count", "in,1", "inn,1", 2, "there is no task 'inn'. Did you mean 'in'"),
        ("Budget", "0.008737", "", 3, "column 'power' must be a finite number from 1e-30"),
        ("Budget", " .034", "0", 3, "column 'latency' must be a finite number"),
        ("Last Tasks", "mine,late", "mine,lat", 2, "there is no task 'lat'. Did you mean 'late'"),
        ("Last Tasks", "mine,late", "mine,work", 2, "'work' does not wait for task 'late'"),
        ("Block Characteristics", "A53,2", "A53,1", 2, "'dhrystone_IPC': must be 2"),
        ("Block Characteristics", "A53,2,1", "A53,2,x", 2, "'Freq' must be a finite number"),
        ("Block Characteristics", "LMEM_0", "LMEM_7", 4, "must be called 'LMEM_0', got 'LMEM_7'"),
        ("Block Characteristics", "LMEM_0,NA,1", "LMEM_0,NA,5", 4, "buses must have one clock"),
        (
            "Block Characteristics",
            "mem,sram,,NA,4",
            "mem,mram,,NA,4",
            4,
            "is of type 'mem', 'mram'",
        ),
    ],
)
def test_a_wrong_cell(what: str, old: str, new: str, line: int, message: str, mine: str) -> None:
    edited = edit(mine, what, lambda text: text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=message) as caught:
        read_farsi(mine)
    assert str(caught.value).startswith(f"{edited}, line {line}: ")


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("in,0.0,", "in,0.0,7", 2, "is empty, and task 'in' has an accelerator"),
        ("50000.0", "", 5, "task 'work' has no cycles on an accelerator"),
    ],
)
def test_files_that_do_not_fit(old: str, new: str, line: int, message: str, mine: str) -> None:
    edited = edit(mine, PERFORMANCE, lambda text: text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=message) as caught:
        read_farsi(mine)
    energy = edited.replace("Performance", "Energy")
    assert str(caught.value).startswith(f"{energy}, line {line}: ")


@pytest.mark.parametrize(
    ("what", "old", "new", "message"),
    [
        ("Task Data Movement", ",out\n", "\n", "cells, and the head has 4"),
        ("Task Itr Count", "work,4", "", "there is no row of task 'work', which has an acceler"),
        ("Task PE Area", "late,,\n", "", "there is no row of task 'late'"),
        ("Block Characteristics", "ic,ic,,NA,4,", "ic,ic,,NA,2,", "must have the same widths"),
        ("Block Characteristics", "IP,NA,100000000,pe,ip,,NA,NA,1\n", "", "no block 'IP'"),
    ],
)
def test_a_wrong_file(what: str, old: str, new: str, message: str, mine: str) -> None:
    edited = edit(mine, what, lambda text: text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=message) as caught:
        read_farsi(mine)
    assert str(caught.value).startswith(edited)


def test_a_cycle_is_named(mine: str) -> None:
    edit(mine, "Task Data Movement", lambda text: text.replace("late,,,", "late,,9,"))
    with pytest.raises(ConfigError, match=r"the edges make a cycle, (work|late) -> ") as caught:
        read_farsi(mine)
    assert str(caught.value).startswith(mine)


@pytest.mark.parametrize("what", ["Performance", "Energy", "Area"])
def test_a_missing_file(what: str, mine: str) -> None:
    file = Path(mine).with_name(f"mine_database - Task PE {what}.csv")
    file.unlink()
    with pytest.raises(ConfigError, match=r"cannot be read: No such file.* beside its task graph"):
        read_farsi(mine)


def test_paths_that_are_no_task_graph(mine: str) -> None:
    other = str(Path(mine).with_name("mine_database - Task PE Area.csv"))
    for path in (other, str(Path(mine).with_name("_database - Task Data Movement.csv"))):
        with pytest.raises(ConfigError, match=r"(is no task graph of FARSI\. Name the file|exist)"):
            as_workload(path)
    with pytest.raises(ConfigError, match="does not exist"):
        as_workload(mine.replace("mine", "yours"))
    Path(mine).write_bytes(b"Task Name,\xff")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        as_workload(mine)
    Path(mine).write_text("Task Name,in\n")
    with pytest.raises(ConfigError, match="has no row"):
        as_workload(mine)


# ---- blocks ------------------------------------------------------------------------------------


def test_other_blocks(mine: str) -> None:
    before, slow = BlockLibrary(read_farsi(mine)), ARVRSimulator(mine)

    def faster(text: str) -> str:
        text = text.replace(",100000000,mem", ",50000000,mem").replace(
            "100000000,ic", "50000000,ic"
        )
        text = text.replace("A53,2,1000000000", "A53,2,2500000000").replace("6.5E-07", "7E-07")
        text = re.sub(r"^\S+_[345],.*\n?", "", text, flags=re.MULTILINE)
        return text.replace("IP,NA,100000000", "IP,NA,200000000")

    edit(mine, "Block Characteristics", faster)
    workload = read_farsi(mine)
    assert workload.blocks == Blocks(
        core_clock_mhz=2500,
        core_instructions_per_joule=47019607843,
        core_area_m2=7e-7,
        accelerator_clock_mhz=200,
        clock_mhz=50,
        widths_bytes=(4, 8, 16),
    )
    after = BlockLibrary(workload)
    assert after.processors[0].rate == 2.5 * before.processors[0].rate
    assert after.processors[0].area == 7e-7
    assert after.processors[1].rate == 2 * before.processors[1].rate
    assert [memory.bandwidth for memory in after.memories[:4]] == [
        0.5 * memory.bandwidth for memory in before.memories[:4]
    ]
    assert (len(after.memories), len(after.buses)) == (24, 12)
    assert after.hardware.table is load_hardware().table
    # Everything on one core: the model and its bounds know the blocks.
    fast = ARVRSimulator(mine)
    latency = [
        each.evaluate(each.space.default(), seed=0).metrics["latency_ms"] for each in (slow, fast)
    ]
    assert latency[1] < latency[0]
    assert slow.version != fast.version


def test_blocks_in_a_workload_file() -> None:
    figures = {
        "core_clock_mhz": 1000,
        "core_instructions_per_joule": 1e10,
        "core_area_m2": 1e-6,
        "accelerator_clock_mhz": 100,
        "clock_mhz": 100,
        "widths_bytes": [4, 8],
    }
    content = {"name": "w", "tasks": [{"name": "a", "a53_cycles": 5}]}
    found = as_workload({**content, "blocks": figures})
    assert found.blocks is not None
    assert found.blocks.widths_bytes == (4, 8)
    assert found.fingerprint != as_workload(content).fingerprint
    for name, value, message in (
        ("clock_mhz", 0.5, "clock_mhz must be a whole number"),
        ("widths_bytes", [8, 4], "ascending order"),
        ("widths_bytes", [], "must be 1 to 16 different widths"),
        ("widths_bytes", "4", "widths_bytes must be a list"),
        ("core_area_m2", -1, "core_area_m2 must be a number from"),
    ):
        with pytest.raises(ConfigError, match=message):
            as_workload({**content, "blocks": {**figures, name: value}})
    with pytest.raises(ConfigError, match="blocks: the key 'clock_mhz' is missing"):
        as_workload({**content, "blocks": {k: v for k, v in figures.items() if k != "clock_mhz"}})


# ---- environments and anything else ------------------------------------------------------------


def test_an_environment_takes_the_path(tmp_path: Path) -> None:
    path = write_farsi(tmp_path, load_workload("edge_detection"))
    budgets = "Workload,latency,power,area\nedge_detection,.034,0.008737,0.000017475"
    (tmp_path / "misc_database - Budget.csv").write_text(budgets)
    found = []
    for workload in (path, "edge_detection"):
        env = gym.make("ArchGym/ARVRSoC-v0", workload=workload)
        env.reset(seed=0)
        env.action_space.seed(1)
        observation, reward, _, _, info = env.step(env.action_space.sample())
        found.append((observation.tolist(), reward, info["metrics"]))
        env.close()
    assert found[0] == found[1]
    assert np.isfinite(float(found[0][1]))


CELLS = st.sampled_from(
    ["", "in", "work", "0", "1", "-1", "1e999", "nan", "٣", '"', "IP0", "9" * 500]
)


@settings(max_examples=100, deadline=None)
@given(
    what=st.sampled_from(["Task Data Movement", PERFORMANCE, "Task PE Area", "Task Itr Count"]),
    where=st.integers(0, 5),
    cells=st.lists(CELLS | st.text(max_size=4), max_size=6),
)
def test_a_row_of_anything_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, what: str, where: int, cells: list[str]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "any"
    folder.mkdir(exist_ok=True)
    tasks = [{"name": "in"}, {"name": "work", "a53_cycles": 9}, {"name": "out"}]
    path = write_farsi(folder, as_workload({"name": "mine", "tasks": tasks}))
    file = folder / f"mine_database - {what}.csv"
    lines = file.read_text().splitlines()
    lines.insert(where, ",".join(cells))
    file.write_text("\n".join(lines), encoding="utf-8", errors="replace")
    try:
        found = read_farsi(path)
    except ConfigError as error:
        message = str(error)
    else:
        message = f"{file}: {found.name}."
        assert {"in", "work", "out"} <= set(found.names)
    assert message.startswith(str(folder))
    assert re.search(r"[.!?]$", message)
