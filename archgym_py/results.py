"""The table of a sweep: a row for each run, and what is known about each problem.

A folder of a sweep holds `results.parquet` with the rows and `sweep.json` with the problems, the
commands and the versions. A folder of plain logs gives the same: its rows are made of the logs.

==================== ======= =======================================================================
column               type    meaning
==================== ======= =======================================================================
`problem`            string  name of the environment with its arguments
`env_id`             string  Gymnasium id of the environment
`env_kwargs`         string  its arguments, as JSON
`workload`           string  name of the workload, "" where there is none
`objective`          string  name of the objective that the rewards come from
`agent`              string  name of the agent
`label`              string  which configuration of the agent: "default", "drawn 3", ...
`agent_config`       string  all its hyperparameters, as JSON
`seed`               int64   seed of the run
`budget`             int64   samples that the run was given
`run_id`             string  id of the run
`status`             string  finished or failed
`message`            string  why it failed
`samples`            int64   samples that it took
`feasible`           int64   how many of them have a feasible design
`reward`             float64 the best feasible reward, null where nothing is feasible
`sample`             int64   the sample that had it first, from 1 on
`design`             string  its design, as JSON
`metrics`            string  its metrics, as JSON; units are in `sweep.json`
`improved_at`        list    each sample that was better than all before it
`improved_to`        list    the rewards of these
`simulator`          string  name of the simulator
`simulator_version`  string  its version
`package_version`    string  version of this package
`git_commit`         string  its commit
`wall_s`             float64 seconds that the run took, null where it was interrupted
==================== ======= =======================================================================
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from archgym_py.config import RunConfig, canonical_json
from archgym_py.dataset import SampleDataset
from archgym_py.files import atomic_path, write_text
from archgym_py.log import DatasetError, DefaultResult
from archgym_py.outcome import Outcome, outcome_of_log
from archgym_py.registry import AGENTS
from archgym_py.runner import CONFIG_NAME, default_result, make_env
from archgym_py.simulator import Evaluation
from archgym_py.sweep_config import PlannedRun, problem_name

__all__ = [
    "ABOUT_NAME",
    "RESULTS_NAME",
    "Optimum",
    "Problem",
    "Results",
    "describe_problem",
    "read_about",
    "read_results",
    "read_rows",
    "row_of",
    "write_about",
    "write_rows",
]

RESULTS_NAME = "results.parquet"
"""File of a sweep with a row for each run."""

ABOUT_NAME = "sweep.json"
"""File of a sweep with its problems, commands and versions."""

_COLUMNS: dict[str, pa.DataType] = {
    "problem": pa.string(),
    "env_id": pa.string(),
    "env_kwargs": pa.string(),
    "workload": pa.string(),
    "objective": pa.string(),
    "agent": pa.string(),
    "label": pa.string(),
    "agent_config": pa.string(),
    "seed": pa.int64(),
    "budget": pa.int64(),
    "run_id": pa.string(),
    "status": pa.string(),
    "message": pa.string(),
    "samples": pa.int64(),
    "feasible": pa.int64(),
    "reward": pa.float64(),
    "sample": pa.int64(),
    "design": pa.string(),
    "metrics": pa.string(),
    "improved_at": pa.list_(pa.int64()),
    "improved_to": pa.list_(pa.float64()),
    "simulator": pa.string(),
    "simulator_version": pa.string(),
    "package_version": pa.string(),
    "git_commit": pa.string(),
    "wall_s": pa.float64(),
}
_SCHEMA = pa.schema(_COLUMNS)


@dataclass(frozen=True, slots=True)
class Optimum:
    """The best value that is possible, by enumeration of the space.

    Attributes:
        metric: Name of the metric that the objective minimises.
        value: Its least value.
        reward: The reward of a design that has it.
        source: The data file that it is from.
    """

    metric: str
    value: float
    reward: float
    source: str


@dataclass(frozen=True, slots=True)
class Problem:
    """An environment with its arguments, and what it is measured by.

    Attributes:
        name: Its name in the rows.
        env_id: Gymnasium id.
        env_kwargs: Its arguments.
        simulator: Name and version of the simulator.
        units: Unit of each metric.
        default: What the default design achieves, None where it is not feasible.
        optimum: The true optimum, None where nobody has enumerated the space.
    """

    name: str
    env_id: str
    env_kwargs: Mapping[str, Any]
    simulator: str
    units: Mapping[str, str]
    default: DefaultResult | None
    optimum: Optimum | None


@dataclass(frozen=True, slots=True)
class Results:
    """The rows of a sweep with what is known about its problems.

    Attributes:
        rows: The columns above, as Python values, run by run.
        problems: The problems by name.
        commands: The commands that made the rows.
        versions: Versions of the libraries.
    """

    rows: Sequence[Mapping[str, Any]]
    problems: Mapping[str, Problem]
    commands: Sequence[str]
    versions: Mapping[str, str]


def describe_problem(env_id: str, env_kwargs: Mapping[str, Any]) -> Problem:
    """Make an environment and say what its runs are measured by.

    Args:
        env_id: Gymnasium id.
        env_kwargs: Its arguments.

    Returns:
        The problem, with the optimum if `configs/optima` has that of this environment, with these
        arguments, this version of the simulator, and an objective that minimises its metric.

    Raises:
        UnknownNameError: If no environment has the id.
        ConfigError: If the environment does not take the arguments.
    """
    env = make_env(env_id, env_kwargs)
    try:
        optimum = None
        kind, _, metric = env.objective.name.partition(":")
        found = _enumerated(env_id, env_kwargs).get(metric) if kind == "minimize" else None
        if found is not None and found["version"] == env.simulator.version:
            reward = env.objective.reward(Evaluation({metric: found["optimum"]}))
            optimum = Optimum(metric, found["optimum"], reward, found["source"])
        return Problem(
            name=problem_name(env_id, env_kwargs),
            env_id=env_id,
            env_kwargs=dict(env_kwargs),
            simulator=f"{env.simulator.name} {env.simulator.version}",
            units={metric.name: metric.unit for metric in env.simulator.metrics},
            default=default_result(env),
            optimum=optimum,
        )
    finally:
        env.close()


def _enumerated(env_id: str, env_kwargs: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the optima of an environment, by metric that is minimised."""
    arguments = {name: value for name, value in env_kwargs.items() if name != "objective"}
    optima = {}
    for file in files("archgym_py.configs").joinpath("optima").iterdir():
        if not file.name.endswith(".json"):
            continue
        content = json.loads(file.read_text(encoding="utf-8"))
        if (content["env"], content["env_kwargs"]) == (env_id, arguments):
            for metric, found in content["metrics"].items():
                if found["goal"] == "minimize":
                    version = content["simulator_version"]
                    optima[metric] = {**found, "version": version, "source": file.name}
    return optima


def row_of(planned: PlannedRun, outcome: Outcome) -> dict[str, Any]:
    """Return the row of a run.

    Args:
        planned: The run.
        outcome: What became of it.
    """
    run = planned.run
    return {
        "problem": planned.problem,
        "env_id": run.env,
        "env_kwargs": canonical_json(run.env_kwargs),
        "workload": outcome.workload,
        "objective": outcome.objective,
        "agent": run.agent,
        "label": planned.label,
        "agent_config": outcome.agent_config or canonical_json(run.agent_kwargs),
        "seed": run.seed,
        "budget": run.budget,
        "run_id": run.run_id,
        "status": "failed" if outcome.error else "finished",
        "message": outcome.error,
        "samples": outcome.trials,
        "feasible": outcome.feasible,
        "reward": outcome.reward,
        "sample": outcome.sample,
        "design": None if outcome.design is None else canonical_json(outcome.design),
        "metrics": None if outcome.metrics is None else canonical_json(outcome.metrics),
        "improved_at": [sample for sample, _ in outcome.improvements],
        "improved_to": [reward for _, reward in outcome.improvements],
        "simulator": outcome.simulator,
        "simulator_version": outcome.simulator_version,
        "package_version": outcome.package_version,
        "git_commit": outcome.git_commit,
        "wall_s": outcome.wall_s,
    }


def write_rows(folder: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the rows of a sweep; the file is either complete or as it was.

    Args:
        folder: The folder of the sweep.
        rows: Its rows.

    Raises:
        OSError: If the file cannot be written.
    """
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=_SCHEMA)
    with atomic_path(folder / RESULTS_NAME) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """Read the rows of a sweep; there are none before its first run has ended.

    Args:
        folder: The folder of the sweep.

    Raises:
        DatasetError: If the file is damaged, or has other columns.
    """
    path = folder / RESULTS_NAME
    if not path.exists():
        return []
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(
            f"{path}: cannot be read: {error}. Delete it and continue the sweep with --resume: "
            "its rows are made of the logs again."
        ) from error
    if table.schema.names != _SCHEMA.names:
        raise DatasetError(f"{path}: has other columns than this version of the package writes.")
    return table.to_pylist()


def write_about(
    folder: Path, problems: Iterable[Problem], commands: Sequence[str], versions: Mapping[str, str]
) -> None:
    """Write down what the rows of a sweep are about.

    Args:
        folder: The folder of the sweep.
        problems: Its problems.
        commands: The commands that made the rows.
        versions: Versions of the libraries.

    Raises:
        OSError: If the file cannot be written.
    """
    about = {
        "commands": list(commands),
        "versions": dict(versions),
        "problems": [asdict(problem) for problem in problems],
    }
    write_text(folder / ABOUT_NAME, json.dumps(about, indent=1, allow_nan=False) + "\n")


def read_about(folder: Path) -> Results:
    """Read what the rows of a sweep are about, without the rows.

    Args:
        folder: The folder of the sweep.

    Raises:
        DatasetError: If the file is missing or damaged.
    """
    path = folder / ABOUT_NAME
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        problems = [_problem(problem) for problem in about["problems"]]
        by_name = {problem.name: problem for problem in problems}
        return Results((), by_name, about["commands"], about["versions"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{path}: cannot be read: {error}. Delete it and repeat the sweep's command with "
            "--resume."
        ) from error


def read_results(folder: str | Path) -> Results:
    """Read a sweep, or make its table of plain logs.

    Args:
        folder: The folder of a sweep, or any folder of runs.

    Returns:
        The results.

    Raises:
        DatasetError: If there is no run, or a file cannot be read.
        ConfigError: If the environment of a plain log does not take its arguments any more.
    """
    folder = Path(folder)
    if not (folder / ABOUT_NAME).exists():
        return _results_of_logs(folder)
    rows = read_rows(folder)
    if not rows:
        raise DatasetError(f"{folder}: no run of this sweep has ended yet.")
    return replace(read_about(folder), rows=rows)


def _problem(content: Mapping[str, Any]) -> Problem:
    default, optimum = content["default"], content["optimum"]
    return Problem(
        **{
            **content,
            "default": None if default is None else DefaultResult(**default),
            "optimum": None if optimum is None else Optimum(**optimum),
        }
    )


def _results_of_logs(folder: Path) -> Results:
    rows = []
    problems: dict[str, Problem] = {}
    labels: dict[str, dict[str, str]] = {}
    for log in SampleDataset(folder).runs():
        config = RunConfig.from_yaml(log.folder / CONFIG_NAME)
        name = problem_name(config.env, config.env_kwargs)
        if name not in problems:
            problems[name] = describe_problem(config.env, config.env_kwargs)
        known = labels.setdefault(
            log.info.agent,
            {canonical_json(AGENTS.load(log.info.agent).hyperparameters.default()): "default"},
        )
        label = known.setdefault(log.info.agent_config, f"given {len(known)}")
        rows.append(row_of(PlannedRun(name, label, config), outcome_of_log(log, config)))
    return Results(rows, problems, [], {})
