"""The SoC simulators against recorded runs of DS3 and DS3Gym in tests/golden/soc."""

from __future__ import annotations

import copy
import gzip
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.golden.replay import main
from tests.golden.replay_soc import (
    SAMPLE_RUNS,
    choose_sample,
    describe,
    describe_inexact,
    describe_verdict,
    read,
    replay,
)

FOLDER = Path(__file__).parents[2] / "golden" / "soc"
FILES = [FOLDER / f"{stem}.json.gz" for stem in ("soc", "farsi", "static_dag")]

Row = dict[str, Any]
Recorded = dict[str, list[Row]]


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return read(FILES)


def _run(recorded: Recorded, section: str, **wanted: Any) -> Row:
    """Return a copy of the first run of a list with what is wanted in its `spec`."""
    for row in recorded[section]:
        if all(row["spec"].get(key) == value for key, value in wanted.items()):
            return copy.deepcopy(row)
    raise AssertionError(f"no run of {section} has {wanted}")


def _failed(section: str, row: Row) -> set[str]:
    return {finding.quantity for finding in replay({section: [row]}).findings if not finding.passed}


# --- The sample -----------------------------------------------------------------------------------


@pytest.mark.parametrize("section", ["ds3", "ds3_small"])
def test_runs_of_ds3_are_reproduced(recorded: Recorded, section: str) -> None:
    comparison = replay({section: recorded[section]})
    assert len({finding.run for finding in comparison.findings}) == SAMPLE_RUNS[section]
    assert comparison.passed, describe_inexact(comparison)
    for line in comparison.lines:
        assert line.exact == line.runs, describe(comparison)
    quantities = {line.quantity: line.runs for line in comparison.lines}
    assert quantities["counts"] == SAMPLE_RUNS[section]
    assert quantities["schedule"] == sum("tasks" in row for row in recorded[section])
    assert quantities["schedule"] >= 40


def test_runs_of_ds3gym_are_reproduced_but_for_heft(recorded: Recorded) -> None:
    comparison = replay({"ds3gym": recorded["ds3gym"]})
    assert comparison.passed, describe_inexact(comparison)
    schedulers = {finding.group.split()[1] for finding in comparison.findings if finding.binding}
    assert schedulers == {"MET", "EFT", "ETF", "stf", "random"}
    assert {finding.group.split()[1] for finding in comparison.findings} == schedulers | {"heftrt"}
    for line in comparison.lines:
        assert line.binding == (line.section == "ds3gym")
        assert line.exact == line.runs or not line.binding, describe(comparison)


def test_every_group_and_scheduler_is_in_the_sample(recorded: Recorded) -> None:
    groups = {row["group"] for row in recorded["ds3"]}
    assert groups >= {"A_sched", "B_gov", "C_soc", "C_balonly", "D_single", "E_shmem", "F_case"}
    assert groups >= {"F_trace", "G_par", "G_therm", "G_asap"}
    schedulers = {"MET", "EFT", "ETF", "ETF_LB", "STF"}
    for section in ("ds3", "ds3_small"):
        assert {row["spec"]["scheduler"] for row in recorded[section]} == schedulers
    assert any("table" in row["spec"] for row in recorded["ds3_small"])
    assert any(row["freq_changes"] for row in recorded["ds3"] if "freq_changes" in row)


# --- A changed number is found --------------------------------------------------------------------


def test_schedules_count(recorded: Recorded) -> None:
    row = _run(recorded, "ds3", scheduler="ETF")
    assert _failed("ds3", row) == set()
    for column in range(1, 8):
        changed = copy.deepcopy(row)
        changed["tasks"][7][column] += 1
        assert _failed("ds3", changed) == {"schedule"}
    fewer = {**row, "tasks": row["tasks"][:-1]}
    (finding,) = [f for f in replay({"ds3": [fewer]}).findings if not f.passed]
    assert finding.error == math.inf
    assert re.match(r"task \d+ is \[.*\], recorded None", finding.difference)


@pytest.mark.parametrize(
    ("quantity", "change"),
    [
        ("counts", lambda r: r.update(injected_jobs=r["injected_jobs"] + 1)),
        ("counts", lambda r: r.update(completed_jobs=r["completed_jobs"] - 1)),
        ("counts", lambda r: r.update(tasks_completed=r["tasks_completed"] + 1)),
        ("counts", lambda r: r.update(pruned_predecessor_lookups=1)),
        ("counts", lambda r: r["temperature"].update(n=r["temperature"]["n"] + 1)),
        ("times", lambda r: r.update(sim_end=r["sim_end"] + 1)),
        ("times", lambda r: r.update(execution_time=r["execution_time"] + 1)),
        ("latency", lambda r: r.update(cumulative_exe_time=r["cumulative_exe_time"] + 1)),
        ("latency", lambda r: r.update(avg_latency=r["avg_latency"] * (1 + 1e-11))),
        ("mean jobs", lambda r: r.update(average_job_number=r["average_job_number"] + 0.01)),
        ("energy", lambda r: r.update(energy_J=r["energy_J"] * (1 + 1e-8))),
        ("energy", lambda r: r.update(energy_all_J=r["energy_all_J"] * (1 + 1e-8))),
        ("energy", lambda r: r.update(EDP=r["EDP"] * (1 + 1e-8))),
        ("energy of PEs", lambda r: r["PE"][9].update(energy_J=r["PE"][9]["energy_J"] * 1.00001)),
        ("blocking", lambda r: r["PE"][4].update(blocking=r["PE"][4]["blocking"] + 1)),
        ("active", lambda r: r["PE"][4].update(active=r["PE"][4]["active"] + 1)),
        ("temperature", lambda r: r["temperature"].update(max=r["temperature"]["max"] + 1e-6)),
        ("temperature", lambda r: r["temperature"]["last"].reverse()),
        ("final frequencies", lambda r: r["final_freq"].reverse()),
    ],
)
def test_results_count(recorded: Recorded, quantity: str, change: Callable[[Row], None]) -> None:
    row = _run(recorded, "ds3", scheduler="MET")
    change(row["results"])
    assert _failed("ds3", row) == {quantity}


def test_arrivals_and_changes_of_frequency_count(recorded: Recorded) -> None:
    row = next(copy.deepcopy(row) for row in recorded["ds3"] if row.get("freq_changes"))
    assert _failed("ds3", row) == set()
    row["freq_changes"][0][2] += 200
    row["arrivals"][3][1] += 1
    assert _failed("ds3", row) == {"frequency changes", "arrivals"}
    row["freq_changes"].pop()
    assert _failed("ds3", row) == {"frequency changes", "arrivals"}


def test_waits_and_applications_are_drawn_as_they_were_recorded(recorded: Recorded) -> None:
    row = _run(recorded, "ds3", scheduler="EFT", scale=300)
    recorded_waits, names = row.pop("wait_draws"), [name for name, _ in row["arrivals"]]
    assert _failed("ds3", row) == set()
    del row["arrivals"]
    assert len(recorded_waits) >= len(names) == row["spec"]["max_jobs"]
    assert _failed("ds3", row) == set()


def test_the_number_of_jobs_leaves_out_the_warm_up(recorded: Recorded) -> None:
    row = _run(recorded, "ds3", group="A_sched", scheduler="ETF")
    injected = [time for _, time in row["arrivals"]]
    for key in ("arrivals", "wait_draws", "tasks"):
        del row[key]
    # The same jobs, of which those before a time in the middle are not counted.
    row["spec"]["warmup"] = injected[30]
    row["spec"]["max_jobs"] = sum(time >= injected[30] for time in injected)
    assert "times" in _failed("ds3", row)  # execution_time counts from the warm-up
    row["results"]["execution_time"] -= injected[30]
    assert _failed("ds3", row) & {"times", "mean jobs", "temperature"} == set()


def test_ds3gym_counts(recorded: Recorded) -> None:
    for scheduler in ("MET", "random"):
        row = _run(recorded, "ds3gym", scheduler=scheduler)
        assert _failed("ds3gym", row) == set()
        row["results"]["energy"] += 1
        row["results"]["busy"][0] += 1
        assert _failed("ds3gym", row) == {"energy", "active"}
        row["tasks"][40][4] += 1
        assert "schedule" in _failed("ds3gym", row)


def test_sections_of_other_tools_count(recorded: Recorded) -> None:
    graph, design = copy.deepcopy(recorded["static_dag"][0]), copy.deepcopy(recorded["farsi"][0])
    kept = replay({"static_dag": [graph], "farsi": [design]})
    assert kept.passed
    assert {line.section for line in kept.lines} == {"static_dag", "farsi"}
    assert all(line.runs for line in kept.lines)
    graph["results"]["heft"]["makespan"] += 1
    design["power"] *= 1.1
    missed = replay({"static_dag": [graph], "farsi": [design]})
    assert not missed.passed
    assert [line.quantity for line in missed.lines if not line.passed] == [
        "heft, makespan",
        "power",
    ]
    verdict = describe_verdict(missed)
    assert "FAIL  static_dag: " in verdict
    assert f"power: 0.0909 in {design['id']}, at most 1e-06" in verdict


# --- The command ----------------------------------------------------------------------------------


def _write(path: Path, content: object) -> str:
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_command_joins_files(
    recorded: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = [
        _write(tmp_path / f"{i}.json", {"ds3_small": [recorded["ds3_small"][i]]}) for i in (0, 1)
    ]
    assert main(["soc", *small, str(FILES[2])]) == 0
    out = capsys.readouterr().out
    assert re.search(r"ds3_small +runs +exact +worst +limit  worst run\n  schedule +2 +2 ", out)
    assert re.search(
        r"  ds3_small  S_small E\w+ +[12] runs, worst .*: all 12 quantities exact", out
    )
    assert "pass  static_dag: 20 of 20 limits are kept" in out


def test_the_command_exits_with_1_past_a_limit(
    recorded: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = copy.deepcopy(recorded["ds3_small"][0])
    row["results"]["cumulative_exe_time"] += 1
    path = _write(tmp_path / "a.json", {"ds3_small": [row], "ds4": [1]})
    assert main(["soc", path, "--verbose"]) == 1
    out = capsys.readouterr().out
    assert f"{row['id']}  S_small {row['spec']['scheduler']}  latency  off by 0.0" in out
    assert "exact are latency 0 of 1" in out
    assert "FAIL  ds3_small: 11 of 12 limits are kept" in out
    assert "ds4: not compared, no such list is known. Did you mean 'ds3'?" in out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row["spec"].pop("scheduler"), "the key 'scheduler' is missing"),
        (lambda row: row["spec"].update(scheduler="ETFF"), "unknown scheduler 'etff'"),
        (lambda row: row["spec"].update(soc="SoC.Topp.txt"), "Did you mean 'SoC.Top.txt'?"),
        (lambda row: row["spec"].update(jobs=["job_LAGG.txt"]), "Did you mean 'job_LAG.txt'?"),
        (lambda row: row["spec"].update(governor="perform"), "governor"),
        (lambda row: row["spec"].update(capacity={"A77": 1}), "A77"),
        (lambda row: row["results"].pop("energy_J"), "the key 'energy_J' is missing"),
        (lambda row: row["arrivals"][0].pop(), "not enough values"),
    ],
)
def test_a_run_that_cannot_be_understood_is_named(
    recorded: Recorded,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Row], object],
    message: str,
) -> None:
    row = _run(recorded, "ds3", group="D_single")
    change(row)
    assert main(["soc", _write(tmp_path / "a.json", {"ds3": [row]})]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: ds3: {row['id']}: ")
    assert message in captured.err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ([], "must be a JSON object of lists"),
        ({"ds3_smal": []}, "has none of the lists ds3, ds3_small, ds3gym, farsi, static_dag."),
        ({"ds3": 1}, "ds3 must be a list of objects"),
        ({"ds3": [1]}, "ds3 must be a list of objects"),
        ({"ds3": [], "task_columns": ["pe"]}, "task_columns must be ['task_id', "),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: object, message: str
) -> None:
    path = _write(tmp_path / "a.json", content)
    assert main(["soc", path]) == 2
    assert f"{path}: {message}" in capsys.readouterr().err
    assert main(["soc", str(tmp_path / "none.json.gz")]) == 2
    assert "none.json.gz: cannot be read" in capsys.readouterr().err


def test_a_sample_is_drawn_by_its_seed(
    recorded: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{**row, "wall": i} for i in range(2) for row in recorded["ds3"]]
    chosen = choose_sample("ds3", rows, 3)
    assert chosen == choose_sample("ds3", rows, 3) != choose_sample("ds3", rows, 4)
    assert len(chosen) == SAMPLE_RUNS["ds3"]
    assert not any("wall" in row for row in chosen)
    assert {row["group"] for row in chosen} == {row["group"] for row in rows}
    assert main(["sample", str(FILES[0]), str(tmp_path), "--kind", "soc", "--seed", "1"]) == 0
    count = sum(len(rows) for name, rows in recorded.items() if name.startswith("ds3"))
    assert f"{count} rows in {tmp_path}" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["soc.json.gz"]
    again = json.loads(gzip.decompress((tmp_path / "soc.json.gz").read_bytes()))
    assert again == json.loads(gzip.decompress(FILES[0].read_bytes()))
