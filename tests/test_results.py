"""The table of a sweep: what is written is read, and plain logs give the same."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import archgym_py
import archgym_py.results
from archgym_py.config import RunConfig, canonical_json
from archgym_py.errors import ConfigError, InfeasibleDesign, UnknownNameError
from archgym_py.files import write_text
from archgym_py.log import DatasetError, DefaultResult
from archgym_py.outcome import Outcome, run_outcome
from archgym_py.registry import AGENTS
from archgym_py.results import (
    ABOUT_NAME,
    RESULTS_NAME,
    Optimum,
    Problem,
    describe_problem,
    read_about,
    read_results,
    read_rows,
    row_of,
    write_about,
    write_rows,
)
from archgym_py.runner import CONFIG_NAME, make_env, run
from archgym_py.simulators.toy import ToySimulator
from archgym_py.sweep_config import PlannedRun
from archgym_py.versions import library_versions

TOY = "ArchGym/Toy-v0"
DRAM = "ArchGym/DRAMController-v0"
DELAY = {"objective": "minimize:delay_ns"}


def toy(out: Path, agent: str = "random_search", **changes: Any) -> RunConfig:
    return RunConfig(**{"env": TOY, "agent": agent, "budget": 20, "out": out, **changes})


def finished(out: Path, label: str = "default", **changes: Any) -> dict[str, Any]:
    config = toy(out, **changes)
    return row_of(PlannedRun("Toy", label, config), run_outcome(config))


def problem(name: str = "Toy", **changes: Any) -> Problem:
    values = {
        "name": name,
        "env_id": TOY,
        "env_kwargs": {},
        "simulator": "toy 1",
        "units": {"cost_usd": "USD", "delay_ns": "ns"},
        "default": DefaultResult({"lanes": 4}, {"cost_usd": 9.5, "delay_ns": 1.0}, 0.0),
        "optimum": Optimum("delay_ns", 0.1, 2.3, "toy.json"),
    }
    return Problem(**{**values, **changes})


# --- Rows ----------------------------------------------------------------------------------------


def test_the_row_of_a_run(tmp_path: Path) -> None:
    config = toy(tmp_path, "genetic", env_kwargs=DELAY, agent_kwargs={"elites": 2}, seed=4)
    outcome = run_outcome(config)
    row = row_of(PlannedRun("a name", "drawn 3", config), outcome)
    assert (row["problem"], row["label"]) == ("a name", "drawn 3")
    assert (row["env_id"], row["agent"], row["seed"], row["budget"]) == (TOY, "genetic", 4, 20)
    assert row["env_kwargs"] == '{"objective":"minimize:delay_ns"}'
    assert (row["workload"], row["objective"]) == ("", "minimize:delay_ns")
    # All hyperparameters, not only those that were given.
    default = AGENTS.load("genetic").hyperparameters.default()
    assert json.loads(row["agent_config"]) == {**default, "elites": 2}
    assert (row["run_id"], row["status"], row["message"]) == (config.run_id, "finished", "")
    assert row["samples"] == 20
    assert row["sample"] == row["improved_at"][-1]
    assert row["reward"] == row["improved_to"][-1] == outcome.reward
    assert row["improved_to"] == sorted(set(row["improved_to"]))
    env = make_env(TOY, DELAY)
    evaluation = env.simulator.evaluate(json.loads(row["design"]), seed=0)
    assert json.loads(row["metrics"]) == evaluation.metrics
    assert row["reward"] == env.objective.reward(evaluation)
    assert (row["simulator"], row["simulator_version"]) == ("toy", "1")
    assert row["package_version"] == archgym_py.__version__
    assert row["wall_s"] > 0.0


def test_the_row_of_a_run_that_failed(tmp_path: Path) -> None:
    config = toy(tmp_path, agent_kwargs={"x": 1})
    row = row_of(PlannedRun("Toy", "default", config), Outcome(config, error="no such thing"))
    assert (row["status"], row["message"], row["samples"]) == ("failed", "no such thing", 0)
    assert row["agent_config"] == '{"x":1}'  # what was asked for; nobody knows the rest
    for name in ("reward", "sample", "design", "metrics", "wall_s"):
        assert row[name] is None
    assert row["improved_at"] == row["improved_to"] == []


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    config = toy(tmp_path)
    unlucky = Outcome(config, trials=20, agent_config="{}", objective="é")  # nothing was feasible
    rows = [
        finished(tmp_path),
        row_of(PlannedRun("Toy", "default", toy(tmp_path, seed=1)), Outcome(config, error="why")),
        row_of(PlannedRun("Toy", "given 1", config), unlucky),
        finished(tmp_path, agent="genetic", seed=2**63 - 1),
    ]
    write_rows(tmp_path, rows)
    again = read_rows(tmp_path)
    assert again == rows
    assert [list(row) for row in again] == [list(row) for row in rows]
    assert {type(value) for row in again for value in row.values()} == {
        *(str, int, float, list, type(None))
    }
    # Columns without a single value keep their types, so that tables can be put together.
    assert pq.read_schema(tmp_path / RESULTS_NAME).field("reward").type == pa.float64()
    write_rows(tmp_path, rows[1:2])
    assert read_rows(tmp_path) == rows[1:2]
    schema = pq.read_schema(tmp_path / RESULTS_NAME)
    assert schema.field("reward").type == pa.float64()
    assert schema.field("improved_at").type == pa.list_(pa.int64())
    assert not list(tmp_path.glob("*.tmp"))


def test_there_are_no_rows_before_the_first_run_has_ended(tmp_path: Path) -> None:
    assert read_rows(tmp_path) == []
    write_rows(tmp_path, [])
    assert read_rows(tmp_path) == []


def test_a_damaged_table_is_refused_by_name(tmp_path: Path) -> None:
    write_rows(tmp_path, [finished(tmp_path)])
    path = tmp_path / RESULTS_NAME
    whole = path.read_bytes()
    for damaged in (b"", b"PAR1", whole[: len(whole) // 2], b"x" + whole[:-1] + b"y"):
        path.write_bytes(damaged)
        with pytest.raises(DatasetError, match=f"{re.escape(str(path))}: cannot be read: .*resume"):
            read_rows(tmp_path)


def test_a_foreign_table_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / RESULTS_NAME
    pq.write_table(pa.table({"reward": [1.0]}), path)
    with pytest.raises(DatasetError, match=f"{re.escape(str(path))}: has other columns than this"):
        read_rows(tmp_path)


# --- What the rows are about ---------------------------------------------------------------------


def test_what_rows_are_about_is_read_as_it_was_written(tmp_path: Path) -> None:
    problems = [
        problem(),
        problem("unknown", default=None, optimum=None, env_kwargs={"objective": {"kind": "x"}}),
    ]
    write_about(tmp_path, problems, ["archgym sweep é.yaml"], {"numpy": "2"})
    about = read_about(tmp_path)
    assert about.problems == {"Toy": problems[0], "unknown": problems[1]}
    assert list(about.commands) == ["archgym sweep é.yaml"]
    assert about.versions == {"numpy": "2"}
    assert list(about.rows) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"problems": [], "versions": {}}',
        '{"problems": [{"name": "Toy"}]}',
        "\udcff",
    ],
)
def test_a_damaged_description_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / ABOUT_NAME
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DatasetError, match=f"{re.escape(str(path))}: cannot be read: .*--resume"):
        read_about(tmp_path)


def test_a_missing_description_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=rf"{ABOUT_NAME}: cannot be read: "):
        read_about(tmp_path)


def test_results_of_a_sweep(tmp_path: Path) -> None:
    rows = [finished(tmp_path / "runs", seed=seed) for seed in range(2)]
    write_about(tmp_path, [problem()], ["command"], {"numpy": "2"})
    with pytest.raises(DatasetError, match="no run of this sweep has ended yet"):
        read_results(tmp_path)
    write_rows(tmp_path, rows)
    results = read_results(str(tmp_path))
    assert results.rows == rows
    assert results.problems == {"Toy": problem()}
    assert (list(results.commands), results.versions) == (["command"], {"numpy": "2"})


def test_versions() -> None:
    versions = library_versions()
    assert versions["archgym_py"] == archgym_py.__version__
    assert versions["numpy"] == metadata.version("numpy")
    assert versions["python"].count(".") == 2


def test_versions_of_libraries_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "torch":
            raise metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(metadata, "version", version)
    assert library_versions()["torch"] == "not installed"
    assert library_versions()["numpy"] == "1"


# --- Plain logs ----------------------------------------------------------------------------------


def test_results_of_plain_logs(tmp_path: Path) -> None:
    configs = [
        toy(tmp_path, "genetic"),
        toy(tmp_path, "genetic", seed=1),
        toy(tmp_path, "genetic", agent_kwargs={"elites": 2}),
        toy(tmp_path, "genetic", agent_kwargs={"elites": 2}, seed=1, env_kwargs=DELAY),
        toy(tmp_path, "genetic", agent_kwargs={"elites": 3}, budget=30),
        toy(tmp_path, env_kwargs=DELAY),
    ]
    for config in configs:
        run(config)
    results = read_results(tmp_path)
    assert list(results.commands) == []
    by_id = {row["run_id"]: row for row in results.rows}
    assert list(by_id) != []
    for config in configs:
        row = by_id.pop(config.run_id)
        name = "Toy minimize:delay_ns" if config.env_kwargs else "Toy"
        # A label stands for one configuration of an agent, whatever the problem.
        label = row["label"]
        assert row == row_of(PlannedRun(name, label, config), run_outcome(config))
        assert (label == "default") is (not config.agent_kwargs)
    assert not by_id
    labels = {(row["agent"], row["agent_config"]): row["label"] for row in results.rows}
    assert sorted(labels.values()) == ["default", "default", "given 1", "given 2"]
    assert results.problems == {
        "Toy": describe_problem(TOY, {}),
        "Toy minimize:delay_ns": describe_problem(TOY, DELAY),
    }


def test_an_unfinished_log_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    config = toy(tmp_path)

    def stop(trial: Any) -> None:
        if trial.index == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, progress=stop)
    [row] = read_results(tmp_path).rows
    assert (row["samples"], row["budget"], row["wall_s"]) == (7, 20, None)
    assert row["reward"] == row["improved_to"][-1]
    assert row["improved_at"][-1] <= 7


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DatasetError, match=f"{re.escape(str(folder))}: holds no logged run"):
            read_results(folder)


def test_a_log_whose_configuration_is_missing_is_named(tmp_path: Path) -> None:
    folder = run(toy(tmp_path)).run_dir
    (folder / CONFIG_NAME).unlink()
    with pytest.raises(
        ConfigError, match=f"{re.escape(str(folder / CONFIG_NAME))}: cannot be read"
    ):
        read_results(tmp_path)


# --- Problems ------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["energy_pj", "total_time_ns", "latency_mean_ns"])
def test_a_problem_whose_space_was_enumerated(metric: str) -> None:
    kwargs = {"workload": "cloud-saturating-1k", "objective": f"minimize:{metric}"}
    described = describe_problem(DRAM, kwargs)
    folder = Path(archgym_py.__file__).parent / "configs" / "optima"
    stored = json.loads((folder / "dram_cloud_saturating_1k.json").read_text(encoding="utf-8"))
    found = stored["metrics"][metric]
    assert described.default is not None
    assert described.optimum is not None
    assert described.optimum.metric == metric
    assert described.optimum.value == found["optimum"]
    assert described.optimum.source == "dram_cloud_saturating_1k.json"
    # The reward of `minimize` is the logarithm of the gain over the default design.
    ratio = described.default.metrics[metric] / found["optimum"]
    assert described.optimum.reward == pytest.approx(math.log(ratio), rel=1e-12)
    assert described.default.reward == 0.0
    # It is what a design has that the file says is optimal.
    env = make_env(DRAM, kwargs)
    evaluation = env.simulator.evaluate(env.space.validate(found["designs"][0]), seed=0)
    assert evaluation.metrics[metric] == described.optimum.value
    assert env.objective.reward(evaluation) == described.optimum.reward
    assert described.units[metric] == found["unit"]
    assert described.env_kwargs == kwargs


@pytest.mark.parametrize(
    "kwargs",
    [
        {"workload": "cloud-saturating-1k", "objective": "minimize:average_power_mw"},
        {"workload": "cloud-saturating-1k", "objective": "product:energy_pj*total_time_ns"},
        {"workload": "stream", "objective": "minimize:energy_pj"},
        {  # other arguments than those of the enumeration
            "workload": "cloud-saturating-1k",
            "objective": "minimize:energy_pj",
            "technology": "DDR3-1600",
        },
    ],
)
def test_no_optimum_where_nobody_has_enumerated(kwargs: Mapping[str, Any]) -> None:
    described = describe_problem(DRAM, kwargs)
    assert described.optimum is None
    assert described.default is not None


def test_no_optimum_of_another_version_of_the_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    kwargs = {"workload": "cloud-saturating-1k", "objective": "minimize:energy_pj"}
    assert describe_problem(DRAM, kwargs).optimum is not None
    monkeypatch.setattr("archgym_py.simulators.dram.model._MODEL_VERSION", "next")
    assert describe_problem(DRAM, kwargs).optimum is None


def test_optima_are_those_of_the_goal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = {
        "env": TOY,
        "env_kwargs": {"action": "box"},
        "simulator_version": "1",
        "metrics": {
            "delay_ns": {"goal": "minimize", "optimum": 123.0},
            "cost_usd": {"goal": "maximize", "optimum": 99.0},
        },
    }
    (tmp_path / "optima").mkdir()
    (tmp_path / "optima" / "toy.json").write_text(json.dumps(content), encoding="utf-8")
    (tmp_path / "optima" / "README.md").write_text("no data", encoding="utf-8")
    monkeypatch.setattr(archgym_py.results, "files", lambda _: tmp_path)

    def optimum(**kwargs: Any) -> Optimum | None:
        return describe_problem(TOY, kwargs).optimum

    found = optimum(action="box", objective="minimize:delay_ns")
    assert found is not None
    assert (found.metric, found.value, found.source) == ("delay_ns", 123.0, "toy.json")
    assert optimum(action="box", objective="minimize:cost_usd") is None
    assert optimum(action="box", objective="target:delay_ns=500") is None
    assert optimum(objective="minimize:delay_ns") is None


def test_a_problem_without_an_optimum() -> None:
    described = describe_problem(TOY, DELAY)
    assert described.name == "Toy minimize:delay_ns"
    assert described.optimum is None
    assert described.units == {"cost_usd": "USD", "delay_ns": "ns"}
    env = make_env(TOY, DELAY)
    assert described.default is not None
    assert described.default.design == env.space.default()
    assert described.default.reward == 0.0


def test_a_problem_whose_default_design_is_not_feasible(monkeypatch: pytest.MonkeyPatch) -> None:
    rejected = Mock(side_effect=InfeasibleDesign("does not fit"))
    monkeypatch.setattr(ToySimulator, "evaluate", rejected)
    kwargs = {"baseline": {"cost_usd": 30.0, "delay_ns": 900.0}}
    assert describe_problem(TOY, kwargs).default is None


def test_wrong_arguments_of_a_problem() -> None:
    with pytest.raises(UnknownNameError, match="unknown environment 'ArchGym/Tow-v0'"):
        describe_problem("ArchGym/Tow-v0", {})
    with pytest.raises(ConfigError, match=r"has no argument 'objctive'. Did you mean 'objective'"):
        describe_problem(TOY, {"objctive": "minimize:delay_ns"})


def test_a_sweep_is_described_by_its_file_and_not_by_its_logs(tmp_path: Path) -> None:
    # What lies beside a table need not fit it: the table is what counts.
    write_rows(tmp_path, [finished(tmp_path / "runs", label="drawn 1")])
    write_about(tmp_path, [problem()], [], {})
    write_text(tmp_path / "notes.txt", "mine")
    [row] = read_results(tmp_path).rows
    assert row["label"] == "drawn 1"
    assert canonical_json(json.loads(row["design"])) == row["design"]
