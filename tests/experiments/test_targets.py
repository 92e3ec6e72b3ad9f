"""The published targets, and the experiment that says who meets them."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from archgym_py.config import RunConfig
from archgym_py.errors import ArchGymError, ConfigError, UnknownNameError
from archgym_py.experiments import problems
from archgym_py.experiments.targets import (
    TARGETS,
    TargetsExperiment,
    TargetTable,
    render,
    summarize,
)
from archgym_py.outcome import Outcome, run_outcome
from archgym_py.runner import make_env

TOY: dict[str, Any] = {
    "name": "toy",
    "description": "a small unit",
    "notes": "nothing is published",
    "env": "ArchGym/DRAMController-v0",
    "env_kwargs": {"space": "archgym"},
    "workloads": {"short": "cloud-saturating-100", "other": "random-saturating-100"},
    "targets": {
        "total_time_ns": {"unit": "ns", "value": {"short": 1e9, "other": 1}, "source": "made up"},
        "average_power_mw": {"unit": "mW", "value": 1e6, "source": "made up"},
    },
    "also_shown": ["energy_pj"],
}
"""A target that every design meets with one workload and none with the other."""


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the table with another value, or none, at "targets/total_time_ns/unit" or so."""
    table: dict[str, Any] = json.loads(json.dumps(TOY))
    *parents, last = path.split("/")
    place = table
    for parent in parents:
        place = place[parent]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return table


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the runs in this process: starting workers takes longer than they do."""

    def run_all(configs: list[RunConfig], *, jobs: int) -> list[Outcome]:
        assert jobs == 1
        return [run_outcome(config) for config in configs]

    monkeypatch.setattr(problems, "run_all", run_all)


def run(out: Path, *options: str, written: list[str] | None = None) -> int:
    """Run the experiment as the command does."""
    experiment = TargetsExperiment()
    parser = argparse.ArgumentParser()
    experiment.add_arguments(parser)
    args = parser.parse_args([*options, "--out", str(out)])
    args.command_line = "archgym experiment targets"
    return experiment.run(args, (written if written is not None else []).append)


def study_of(out: Path) -> dict[str, Any]:
    study: dict[str, Any] = json.loads((out / "targets.json").read_text(encoding="utf-8"))
    return study


def write_table(folder: Path, table: dict[str, Any]) -> str:
    path = folder / "table.yaml"
    path.write_text(yaml.safe_dump(table, sort_keys=False), encoding="utf-8")
    return str(path)


# --- The tables ----------------------------------------------------------------------------------


def test_the_shipped_tables_are_known() -> None:
    assert TARGETS.names == (
        *("dnn-eyeriss", "dram-both", "dram-low-latency", "dram-low-power"),
        *("soc-comprehensive", "soc-limited"),
    )


@pytest.mark.parametrize("name", TARGETS.names)
def test_a_shipped_table_suits_its_environment(name: str) -> None:
    table = TARGETS.load(name)
    assert table.name == name
    for workload in table.workloads:
        problem = table.problem(workload)
        default = problem.default()
        assert set(default.found["metrics"]) == set(default.units)
        over = [default.found["metrics"][m] / limit - 1.0 for m, limit in problem.limits.items()]
        assert default.found["excess"] == pytest.approx(sum(max(0.0, o) for o in over))


def test_the_targets_of_the_memory_controller() -> None:
    power, latency, both = (
        TARGETS.load(f"dram-{name}") for name in ("low-power", "low-latency", "both")
    )
    expected = {"average_power_mw": ("mW", 1000.0), "total_time_ns": ("ns", 1e5)}
    for table, metrics in (
        (power, ["average_power_mw"]),
        (latency, ["total_time_ns"]),
        (both, ["average_power_mw", "total_time_ns"]),
    ):
        assert [limit.metric for limit in table.limits] == metrics
        assert list(table.workloads) == ["stream", "random", "cloud-1", "cloud-2"]
        for limit in table.limits:
            unit, value = expected[limit.metric]
            assert limit.unit == unit
            assert set(limit.values.values()) == {value}
    # The mean power is the energy over the time: pJ / mW = ns.
    metrics = both.problem("random").default().found["metrics"]
    assert metrics["energy_pj"] / metrics["average_power_mw"] == pytest.approx(
        metrics["total_time_ns"], rel=1e-3
    )


def test_the_workloads_are_10000_reads_in_as_many_cycles() -> None:
    for workload in TARGETS.load("dram-both").workloads:
        problem = TARGETS.load("dram-both").problem(workload)
        env = make_env(problem.env, problem.env_kwargs)
        trial = env.new_evaluator().evaluate(env.space.default())
        env.close()
        assert trial.metrics["n_rd"] + trial.metrics["n_rda"] == 10_000
        assert trial.metrics["n_wr"] + trial.metrics["n_wra"] == 0
        assert trial.metrics["total_time_ns"] >= 10_000 * 1.25


def test_the_targets_of_the_accelerator_are_below_the_published_baselines() -> None:
    published = {  # uJ, mm2, cycles
        "alexnet": (29_206, 2.03, 7_885_704),
        "resnet50": (71_230, 2.03, 32_728_064),
        "mobilenet_v2": (76_395, 2.03, 33_515_584),
    }
    table = TARGETS.load("dnn-eyeriss")
    assert list(table.workloads) == list(published)
    for workload, (energy_uj, area_mm2, cycles) in published.items():
        assert table.problem(workload).limits == pytest.approx(
            {"energy_uj": 0.7 * energy_uj, "area_mm2": 0.85 * area_mm2, "cycles": 0.8 * cycles}
        )


@pytest.mark.parametrize("space", ["limited", "comprehensive"])
def test_the_targets_of_the_system_are_its_budgets(space: str) -> None:
    table = TARGETS.load(f"soc-{space}")
    parts = {
        "latency_ms": "latency",
        "power_mw": "power",
        "area_non_dram_mm2": "area",
        "area_dram_mm2": "dram_area",
    }
    for workload in table.workloads:
        problem = table.problem(workload)
        metrics = problem.default().found["metrics"]
        assert list(problem.limits) == list(parts)
        for metric, part in parts.items():
            excess = metrics[metric] / problem.limits[metric] - 1.0
            assert metrics[f"excess_{part}"] == pytest.approx(excess, abs=1e-9)


def test_the_objective_has_the_limits_of_the_workload() -> None:
    problem = TargetTable.parse(TOY, "file").problem("other")
    assert problem.env_kwargs == {
        "space": "archgym",
        "workload": "random-saturating-100",
        "objective": "target:total_time_ns=1.0,average_power_mw=1000000.0",
    }


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("targts", {}, r"file: unknown key 'targts'\. Did you mean 'targets'\?"),
        ("notes", None, r"file: the key 'notes' is missing"),
        ("name", 3, r"file: name must be a text, got 3"),
        ("description", " ", r"file: description must be a text"),
        ("env", ["a"], r"file: env must be a text"),
        ("env_kwargs", [], r"file: env_kwargs must be a mapping"),
        ("env_kwargs", {"workload": "cloud"}, r"env_kwargs must not have 'workload'"),
        ("env_kwargs", {"objective": "minimize:x"}, r"env_kwargs must not have 'objective'"),
        ("workloads", {}, r"file: workloads must not be empty"),
        ("workloads", ["cloud"], r"file: workloads must be a mapping"),
        ("workloads/short", 7, r"workloads: short must be a text, got 7"),
        ("targets", {}, r"file: targets must not be empty"),
        ("targets/average_power_mw", 1000, r"average_power_mw: must be a mapping with the keys"),
        ("targets/average_power_mw/unt", "W", r"unknown key 'unt'\. Did you mean 'unit'\?"),
        ("targets/average_power_mw/unit", None, r"average_power_mw: the key 'unit' is missing"),
        ("targets/average_power_mw/source", None, r"average_power_mw: the key 'source' is missing"),
        ("targets/average_power_mw/value", 0, r"average_power_mw: value must be positive"),
        ("targets/average_power_mw/value", -1.0, r"value must be a finite number from 0 on"),
        ("targets/average_power_mw/value", math.nan, r"value must be a finite number"),
        ("targets/average_power_mw/value", math.inf, r"value must be a finite number"),
        ("targets/average_power_mw/value", True, r"value must be a finite number"),
        ("targets/average_power_mw/value", "1 W", r"value must be a finite number"),
        (
            "targets/total_time_ns/value/shrt",
            1,
            r"value: unknown key 'shrt'\. Did you mean 'short'",
        ),
        ("targets/total_time_ns/value/other", None, r"value: the key 'other' is missing"),
        ("also_shown", "energy_pj", r"also_shown must be a list of metrics, got 'energy_pj'"),
        ("also_shown", [4], r"also_shown must be a text, got 4"),
    ],
)
def test_what_no_table_is(path: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TargetTable.parse(changed(path, value), "file")


def test_something_else_is_no_table() -> None:
    with pytest.raises(ConfigError, match="file: must be a mapping with the keys name"):
        TargetTable.parse(["dram"], "file")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "targets/energi_pj",
            {"unit": "pJ", "value": 1, "source": "x"},
            r"toy on short: .* has no metric 'energi_pj'\. Did you mean 'energy_pj'\?",
        ),
        (
            "targets/average_power_mw/unit",
            "W",
            r"toy on short: .* 'average_power_mw' is given in 'W', .* 'mW'\. Convert",
        ),
        ("also_shown", ["power"], r"toy on short: .* has no metric 'power'"),
        ("env_kwargs", {"spac": "archgym"}, r"'spac'.* Did you mean 'space'\?"),
        ("env", "ArchGym/DRAMControler-v0", r"Did you mean 'ArchGym/DRAMController-v0'\?"),
        ("env", "ArchGym/SoCScheduler-v0", r"toy on short: .* no design environment"),
        ("workloads/other", "clod-saturating-100", r"'clod'\. Did you mean 'cloud'\?"),
    ],
)
def test_a_table_that_does_not_suit_is_refused_before_any_run(
    path: str, value: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_all(configs: list[RunConfig], *, jobs: int) -> list[Outcome]:
        raise AssertionError(f"{len(configs)} runs with {jobs} jobs")

    monkeypatch.setattr(problems, "run_all", run_all)
    table = write_table(tmp_path, changed(path, value))
    with pytest.raises(ArchGymError, match=message):
        run(tmp_path, "--targets", table, "--agents", "grid")


def test_a_default_design_may_be_infeasible() -> None:
    table = {
        **TOY,
        "env": "ArchGym/DNNAccelerator-v0",
        "env_kwargs": {"space": "extended", "area_budget_mm2": 1.0},
        "workloads": {"layer": "alexnet/conv3"},
        "targets": {"cycles": {"unit": "cycles", "value": 1e6, "source": "made up"}},
        "also_shown": [],
    }
    found = TargetTable.parse(table, "file").problem("layer").default().found
    assert found["metrics"] is None
    assert found["excess"] is None
    assert "array_x" in found["design"]


# --- The analysis --------------------------------------------------------------------------------


def test_a_summary() -> None:
    summary = summarize([3, 1, None, 2, None], [0.0, 0.0, 0.5, 0.0, 1.5])
    assert summary.met == 3
    assert summary.samples == (1.5, 2.0, 2.5)
    assert summary.excess == (0.75, 1.0, 1.25)
    assert summarize([5], [0.0]).excess is None
    assert summarize([None, None], [0.25, None]).samples is None
    assert summarize([None, None], [0.25, None]).excess == (math.inf, math.inf, math.inf)
    assert summarize([None, None, None], [0.25, 0.5, None]).excess == (0.375, 0.5, math.inf)


def problem_of(**changes: Any) -> dict[str, Any]:
    return {
        "target": "toy",
        "workload": "short",
        "description": "a small unit",
        "notes": "none",
        "limits": [{"metric": "delay_ns", "unit": "ns", "value": 12_500.0, "source": "x"}],
        "shown": ["delay_ns", "share"],
        "units": {"delay_ns": "ns", "share": "1"},
        "default": {
            "design": {"lanes": 1, "policy": "fifo"},
            "metrics": {"delay_ns": 25_000.0, "share": 0.25},
            "excess": 1.0,
        },
        "best": {
            "agent": "grid",
            "seed": 1,
            "sample": 1_234,
            "excess": 0.0,
            "design": {"lanes": 8, "policy": "lru"},
            "metrics": {"delay_ns": 12_000.0, "share": 0.5},
        },
        **changes,
    }


def row_of(agent: str, samples: list[int | None], excess: list[float | None]) -> dict[str, Any]:
    return {
        "agent": agent,
        "target": "toy",
        "workload": "short",
        "samples_until_met": samples,
        "excess": excess,
    }


def text_of(problem: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    return render({"budget": 2000, "seeds": 3, "problems": [problem], "runs": rows, "failures": {}})


def cells_of(text: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]


def test_the_text() -> None:
    rows = [
        row_of("genetic", [None, None, None], [0.5, 0.75, None]),
        row_of("grid", [9, 1_234, None], [0.0, 0.0, 0.125]),
        row_of("ppo", [None, None, None], [0.25, 0.5, 0.75]),
        row_of("local_search", [700, 800, None], [0.0, 0.0, 0.5]),
    ]
    text = text_of(problem_of(), rows)
    assert "2,000 samples" in text
    assert "## toy: a small unit" in text
    assert "### toy on short" in text
    assert "delay_ns of at most 12,500 ns." in text
    cells = cells_of(text)
    # Most runs first, then the fewest samples, then the smallest excess.
    assert [row[0] for row in cells[2:7]] == [
        *("default design", "`grid`", "`local_search`", "`ppo`", "`genetic`")
    ]
    assert cells[2] == ["default design", "no", "-", "1"]
    assert cells[3] == ["`grid`", "2 of 3", "622 (315–928)", "0.125 (0.125–0.125)"]
    assert cells[5] == ["`ppo`", "0 of 3", "-", "0.5 (0.375–0.625)"]
    assert cells[6] == ["`genetic`", "0 of 3", "-", "0.75 (0.625–nothing feasible)"]
    assert "Met with the fewest samples by `grid` with seed 1, sample 1,234:" in text
    assert cells[9:] == [
        ["delay_ns (ns, at most 12,500)", "12,000", "25,000"],
        ["share (1)", "0.5", "0.25"],
        ["`lanes`", "8", "1"],
        ["`policy`", "lru", "fifo"],
    ]


def test_the_text_where_nothing_meets_the_target() -> None:
    rows = [row_of("grid", [None] * 3, [0.5] * 3)]
    best = {**problem_of()["best"], "excess": 0.0625}
    default = {"design": {"lanes": 1, "policy": "fifo"}, "metrics": None, "excess": None}
    text = text_of(problem_of(best=best, default=default), rows)
    assert "No run met it. The closest design, with an excess of 0.0625, is that of `grid`" in text
    assert ["default design", "no", "-", "nothing feasible"] in cells_of(text)
    assert ["share (1)", "0.5", "infeasible"] in cells_of(text)
    good = {**problem_of()["default"], "excess": 0.0}
    assert ["default design", "yes", "-", "-"] in cells_of(text_of(problem_of(default=good), rows))
    text = text_of(problem_of(best=None), [row_of("grid", [None] * 3, [None] * 3)])
    assert text.endswith("No run found a feasible design.")


# --- The experiment ------------------------------------------------------------------------------


@pytest.mark.usefixtures("in_process")
def test_the_experiment(tmp_path: Path) -> None:
    table = write_table(tmp_path, TOY)
    written: list[str] = []
    options = ["--agents", "genetic,random_search", "--budget", "12", "--seeds", "2"]
    assert run(tmp_path, "--targets", table, *options, "--jobs", "1", written=written) == 0
    study = study_of(tmp_path)
    assert written[0] == render(study)
    assert [problem["workload"] for problem in study["problems"]] == ["short", "other"]
    assert len(study["runs"]) == 4
    met, missed = study["problems"]
    for row in study["runs"]:
        if row["workload"] == "short":  # the first feasible sample meets it
            assert row["excess"] == [0.0, 0.0]
            assert all(sample in range(1, 13) for sample in row["samples_until_met"])
        else:
            assert row["samples_until_met"] == [None, None]
            assert all(excess > 1.0 for excess in row["excess"])
    first = min(min(row["samples_until_met"]) for row in study["runs"][:2])
    assert (met["best"]["sample"], met["best"]["excess"]) == (first, 0.0)
    assert met["default"]["excess"] == 0.0
    closest = min(min(row["excess"]) for row in study["runs"][2:])
    assert missed["best"]["excess"] == closest
    assert "No run met it. The closest design" in written[0]

    # The design that is named has the metrics that are named, in another environment too.
    env = make_env(missed["env"], missed["env_kwargs"])
    trial = env.new_evaluator().evaluate(missed["best"]["design"])
    assert dict(trial.metrics) == missed["best"]["metrics"]
    assert trial.reward == -closest
    assert missed["default"]["design"] == env.space.default()
    env.close()

    # What is logged is not run again, and the result is the same.
    assert run(tmp_path, "--targets", table, *options, "--jobs", "1") == 0
    assert study_of(tmp_path) == study


@pytest.mark.usefixtures("in_process")
def test_a_workload_can_be_chosen(tmp_path: Path) -> None:
    table = write_table(tmp_path, TOY)
    options = ["--workloads", "other", "--agents", "grid", "--budget", "2", "--seeds", "1"]
    assert run(tmp_path, "--targets", f"soc-limited,{table}", *options, "--jobs", "1") == 0
    [problem] = study_of(tmp_path)["problems"]
    assert (problem["target"], problem["workload"]) == ("toy", "other")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--targets", "dram-low-pwer"], r"'dram-low-pwer'\. Did you mean 'dram-low-power'\?"),
        (["--targets", ""], "unknown target ''"),
        (
            ["--targets", "dram-both", "--workloads", "straem"],
            r"unknown workload 'straem' of the targets dram-both\. Did you mean 'stream'\?",
        ),
        (["--targets", "dram-both", "--workloads", "alexnet"], "unknown workload 'alexnet'"),
    ],
)
def test_names_that_do_not_exist(options: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=message):
        run(tmp_path, *options)


def test_two_tables_of_a_name_are_refused(tmp_path: Path) -> None:
    table = write_table(tmp_path, changed("name", "dram-both"))
    with pytest.raises(ConfigError, match="two tables of targets are called 'dram-both'"):
        run(tmp_path, "--targets", f"dram-both,{table}")


def test_failed_runs_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_all(configs: list[RunConfig], *, jobs: int) -> list[Outcome]:
        assert jobs > 0
        assert [config.seed for config in configs] == [0, 1, 2, 3, 4]
        assert {config.budget for config in configs} == {1000}
        return [Outcome(config, error="no luck") for config in configs]

    monkeypatch.setattr(problems, "run_all", run_all)
    written: list[str] = []
    options = ["--targets", "dram-both", "--workloads", "stream", "--agents", "grid"]
    assert run(tmp_path, *options, written=written) == 1
    study = study_of(tmp_path)
    assert study["failures"] == {"grid": {"runs": 5, "messages": ["no luck"]}}
    assert study["problems"][0]["best"] is None
    assert (study["runs"][0]["excess"], study["runs"][0]["failed"]) == ([], 5)
    assert "Failed: 5 runs of `grid` (no luck)." in written[0]
