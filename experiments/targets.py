"""Which agents meet the published targets, after how many samples and with which design.

    $ archgym experiment targets --targets dram-low-power,dram-both --seeds 3

A file of `configs/targets` is a table of targets: the limits of some metrics for some workloads.
Every agent looks for a design within the limits of each workload with its default hyperparameters.
Its reward is minus the sum of the relative excesses over the limits, and a run *meets* the target
with the first sample whose reward is 0. Where no run does, the closest design is shown, and the
default design stands beside the one that is shown: a target that nothing meets, or that the default
meets already, is a finding about the target. The keys of a file are

============= ====================================================================================
name          under which the table is known, that of the file
description   one line, what is wanted
notes         in what the problem differs from the published one
env           Gymnasium id of the environment
env_kwargs    its arguments other than `workload` and `objective`
workloads     name in the results: workload of the environment
targets       metric: its `unit`, its `source` and its `value`, which is the largest one that is
              wanted: one number, or a number for each of the workloads
also_shown    metrics that are shown beside those with a target
============= ====================================================================================
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from archgym_py.checks import check_keys, made, number, require_type
from archgym_py.config import plain
from archgym_py.errors import ConfigError, UnknownNameError, did_you_mean
from archgym_py.experiments.problems import (
    Problem,
    add_agents_option,
    add_run_options,
    run_seeds,
)
from archgym_py.experiments.tables import failure_lines, origin_of, publish, quantile
from archgym_py.objective import Target
from archgym_py.outcome import Outcome
from archgym_py.runner import make_env
from archgym_py.simulator import Evaluation, Metric, Status
from archgym_py.simulators.soc.shelf import Shelf
from archgym_py.summary import markdown

__all__ = ["TARGETS", "Limit", "Summary", "TargetTable", "TargetsExperiment", "render", "summarize"]

_NAME = "targets"
"""Name of the file with the result."""

_KEYS: Final = (
    *("name", "description", "notes", "env", "env_kwargs"),
    *("workloads", "targets", "also_shown"),
)
_LIMIT_KEYS: Final = ("unit", "value", "source")
_OURS: Final = ("workload", "objective")
"""Arguments of the environment that come from the rest of the table."""


# --- Tables of targets ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Limit:
    """The largest value of a metric that is wanted.

    Attributes:
        metric: Name of the metric.
        unit: Its unit, which the simulator must agree with.
        values: The limit in that unit, positive, by workload.
        source: Where the limit comes from.
    """

    metric: str
    unit: str
    values: Mapping[str, float]
    source: str


@dataclass(frozen=True, slots=True)
class TargetTable:
    """What designs of an environment should keep to, for some workloads.

    Attributes:
        name: The name.
        description: One line, what is wanted.
        notes: In what the problem differs from the published one.
        env: Gymnasium id of the environment.
        env_kwargs: Its arguments but for the workload and the objective.
        workloads: Workload of the environment by its name in the results.
        limits: The targets.
        also_shown: Metrics that are shown beside those with a target.
    """

    name: str
    description: str
    notes: str
    env: str
    env_kwargs: Mapping[str, Any]
    workloads: Mapping[str, str]
    limits: tuple[Limit, ...]
    also_shown: tuple[str, ...]

    @classmethod
    def parse(cls, content: object, where: str) -> TargetTable:
        """Make a table of the content of a file.

        Args:
            content: Plain data with the keys that this module lists, all of them.
            where: What to call the file in messages.

        Raises:
            ConfigError: If a key is unknown or missing, or a value is not legal.

        Examples:
            >>> limit = {"unit": "ns", "value": 3, "source": "the data sheet"}
            >>> table = TargetTable.parse({
            ...     "name": "quick", "description": "a quick unit", "notes": "none",
            ...     "env": "ArchGym/Toy-v0", "env_kwargs": {}, "workloads": {"any": "any"},
            ...     "targets": {"delay_ns": limit}, "also_shown": [],
            ... }, "quick.yaml")
            >>> table.limits[0].values
            {'any': 3.0}
        """
        check_keys(content, _KEYS, _KEYS, where)
        assert isinstance(content, Mapping)
        texts = {key: _text(f"{where}: {key}", content[key]) for key in _KEYS[:4]}
        for key in ("env_kwargs", "workloads", "targets"):
            require_type(f"{where}: {key}", content[key], Mapping)
        env_kwargs = plain(content["env_kwargs"], f"{where}: env_kwargs")
        for key in _OURS:
            if key in env_kwargs:
                raise ConfigError(
                    f"{where}: env_kwargs must not have {key!r}, which follows from the workloads "
                    "and the targets. Remove it."
                )
        for key in ("workloads", "targets"):
            if not content[key]:
                raise ConfigError(f"{where}: {key} must not be empty.")
        workloads = {
            name: _text(f"{where}: workloads: {name}", workload)
            for name, workload in content["workloads"].items()
        }
        limits = tuple(
            _limit(metric, limit, workloads, f"{where}: targets: {metric}")
            for metric, limit in content["targets"].items()
        )
        shown = content["also_shown"]
        if not isinstance(shown, list):
            raise ConfigError(f"{where}: also_shown must be a list of metrics, got {shown!r}.")
        also_shown = tuple(_text(f"{where}: also_shown", metric) for metric in shown)
        return cls(
            **texts,
            env_kwargs=env_kwargs,
            workloads=workloads,
            limits=limits,
            also_shown=also_shown,
        )

    def problem(self, workload: str) -> TargetProblem:
        """Return the search for a design that meets the target.

        Args:
            workload: Name of one of `workloads`.
        """
        limits = {limit.metric: limit.values[workload] for limit in self.limits}
        objective = f"target:{','.join(f'{metric}={limit!r}' for metric, limit in limits.items())}"
        return TargetProblem(
            name=f"{self.name} on {workload}",
            env=self.env,
            env_kwargs={
                **self.env_kwargs,
                "workload": self.workloads[workload],
                "objective": objective,
            },
            table=self,
            workload=workload,
            limits=limits,
        )

    def check(self, metrics: Sequence[Metric]) -> None:
        """Raise if the table does not suit a simulator.

        Args:
            metrics: The metrics of the simulator.

        Raises:
            ConfigError: If it does not have a metric of the table, or has another unit for it.
        """
        units = {metric.name: metric.unit for metric in metrics}
        for name in (*(limit.metric for limit in self.limits), *self.also_shown):
            if name not in units:
                raise ConfigError(f"{self.env} has no metric {name!r}.{did_you_mean(name, units)}")
        for limit in self.limits:
            if limit.unit != units[limit.metric]:
                raise ConfigError(
                    f"the target of {limit.metric!r} is given in {limit.unit!r}, the simulator "
                    f"reports {units[limit.metric]!r}. Convert the value, and name that unit."
                )


@dataclass(frozen=True, slots=True)
class TargetProblem(Problem):
    """The search for a design that meets the target of a workload.

    Attributes:
        table: What is wanted.
        workload: Name of the workload in the table.
        limits: Its limits by metric, in the units of the table.
    """

    table: TargetTable
    workload: str
    limits: Mapping[str, float]

    def default(self) -> _Default:
        """Evaluate the default design of the environment.

        Raises:
            ConfigError: If the environment does not take the arguments of the table, its simulator
                does not have the metrics in the units of the table, or it has no baseline.
            UnknownNameError: If there is no such environment or workload.
        """
        arguments = {key: value for key, value in self.env_kwargs.items() if key != "objective"}
        env = made(self.name, make_env, env_id=self.env, kwargs=arguments)
        try:
            made(self.name, self.table.check, metrics=env.simulator.metrics)
            target = made(self.name, Target, targets=self.limits, metrics=env.simulator.metrics)
            trial = made(self.name, env.new_evaluator).evaluate(env.space.default())
            is_feasible = trial.status is Status.OK
            return _Default(
                units={metric.name: metric.unit for metric in env.simulator.metrics},
                found={
                    "design": dict(trial.design),
                    "metrics": dict(trial.metrics) if is_feasible else None,
                    "excess": (
                        0.0 - target.reward(Evaluation(trial.metrics)) if is_feasible else None
                    ),
                },
            )
        finally:
            env.close()


@dataclass(frozen=True, slots=True)
class _Default:
    """The default design of an environment.

    Attributes:
        units: Unit of each metric of the simulator.
        found: The design, its metrics and its excess over the limits, as they are published.
    """

    units: Mapping[str, str]
    found: Mapping[str, Any]


def _text(where: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{where} must be a text, got {value!r}.")
    return value.strip()


def _limit(metric: str, content: object, workloads: Mapping[str, str], where: str) -> Limit:
    """Make a limit of the mapping below the name of its metric."""
    check_keys(content, _LIMIT_KEYS, _LIMIT_KEYS, where)
    assert isinstance(content, Mapping)
    value = content["value"]
    if isinstance(value, Mapping):
        names = tuple(workloads)
        check_keys(value, names, names, f"{where}: value")
    else:
        value = dict.fromkeys(workloads, value)
    values = {}
    for workload, limit in value.items():
        values[workload] = number(f"{where}: value", limit, 0.0, math.inf)
        if values[workload] == 0.0:
            raise ConfigError(f"{where}: value must be positive, as excesses are relative to it.")
    return Limit(
        metric=metric,
        unit=_text(f"{where}: unit", content["unit"]),
        values=values,
        source=_text(f"{where}: source", content["source"]),
    )


TARGETS: Final = Shelf("target", ("targets",), TargetTable.parse)
"""The published tables by name."""


# --- Analysis ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Summary:
    """How well an agent meets a target, over its seeds.

    Attributes:
        met: Number of runs that met it.
        samples: Quartiles of the samples until they did; None where none did.
        excess: Quartiles of the excess of the best designs of the other runs, infinite for runs
            without a feasible design; None where there are no others.
    """

    met: int
    samples: tuple[float, float, float] | None
    excess: tuple[float, float, float] | None


def summarize(samples: Sequence[int | None], excess: Sequence[float | None]) -> Summary:
    """Sum up the runs of an agent on a problem.

    Args:
        samples: The number of the sample, from 1 on, at which each run met the target; None for
            those that did not.
        excess: The excess of the best design of each run; None where no design is feasible.

    Examples:
        >>> summary = summarize([10, None, 20, None], [0.0, 0.5, 0.0, None])
        >>> summary.met, summary.samples, summary.excess
        (2, (12.5, 15.0, 17.5), (inf, inf, inf))
        >>> summarize([None], [0.5]).excess
        (0.5, 0.5, 0.5)
    """
    took = [sample for sample in samples if sample is not None]
    left = [
        math.inf if over is None else over
        for sample, over in zip(samples, excess, strict=True)
        if sample is None
    ]
    return Summary(met=len(took), samples=_quartiles(took), excess=_quartiles(left))


def _quartiles(values: Sequence[float]) -> tuple[float, float, float] | None:
    if not values:
        return None
    return quantile(values, 0.25), quantile(values, 0.5), quantile(values, 0.75)


# --- Text ----------------------------------------------------------------------------------------


def render(study: Mapping[str, Any]) -> str:
    """Make the tables of a study.

    Args:
        study: What `targets.json` holds.

    Returns:
        Markdown: for each target and workload the agents, those that meet it most often and soonest
        first, and below them a design beside the default one.
    """
    blocks = [
        (
            f"Runs of {study['budget']:,} samples that met the target, of those that did not fail, "
            f"with {study['seeds']} seeds; samples until they met it, median (first to third "
            "quartile); and excess of the best design of the other runs, the sum over the metrics "
            "of value / limit - 1 where that is positive."
        )
    ]
    last = None
    for problem in study["problems"]:
        if problem["target"] != last:
            last = problem["target"]
            blocks += [f"## {last}: {problem['description']}", problem["notes"]]
        blocks += _problem_blocks(study, problem)
    return "\n\n".join([*blocks, *failure_lines(study)])


def _problem_blocks(study: Mapping[str, Any], problem: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is said of one problem."""
    yield f"### {problem['target']} on {problem['workload']}"
    yield (
        "Wanted: "
        + "; ".join(
            f"{limit['metric']} of at most {_amount(limit['value'])} {limit['unit']}"
            for limit in problem["limits"]
        )
        + "."
    )
    own = [
        row
        for row in study["runs"]
        if (row["target"], row["workload"]) == (problem["target"], problem["workload"])
    ]
    found = {row["agent"]: summarize(row["samples_until_met"], row["excess"]) for row in own}
    finished = {row["agent"]: len(row["samples_until_met"]) for row in own}

    def place(agent: str) -> tuple[int, float, float, str]:
        summary = found[agent]
        return (
            -summary.met,
            summary.samples[1] if summary.samples else 0.0,
            summary.excess[1] if summary.excess else 0.0,
            agent,
        )

    default = problem["default"]
    is_met, excess = (
        ("yes", "-") if default["excess"] == 0.0 else ("no", _excess(default["excess"]))
    )
    rows = [["default design", is_met, "-", excess]]
    rows += [
        [
            f"`{agent}`",
            f"{found[agent].met} of {finished[agent]}",
            _spread(found[agent].samples, lambda value: f"{value:.0f}"),
            _spread(found[agent].excess, _excess),
        ]
        for agent in sorted(found, key=place)
    ]
    yield markdown(["agent", "met", "samples until met", "excess otherwise"], rows)
    best = problem["best"]
    if best is None:
        yield "No run found a feasible design."
        return
    run = f"`{best['agent']}` with seed {best['seed']}, sample {best['sample']:,}"
    if best["excess"] == 0.0:
        yield f"Met with the fewest samples by {run}:"
    else:
        yield (
            f"No run met it. The closest design, with an excess of {_excess(best['excess'])}, is "
            f"that of {run}:"
        )
    yield _comparison(problem)


def _comparison(problem: Mapping[str, Any]) -> str:
    """Return a table of the best design beside the default one: metrics, then parameters."""
    best, default = problem["best"], problem["default"]
    limits = {limit["metric"]: limit["value"] for limit in problem["limits"]}
    rows = []
    for metric in problem["shown"]:
        limit = f", at most {_amount(limits[metric])}" if metric in limits else ""
        of_default = default["metrics"]
        rows.append(
            [
                f"{metric} ({problem['units'][metric]}{limit})",
                _amount(best["metrics"][metric]),
                "infeasible" if of_default is None else _amount(of_default[metric]),
            ]
        )
    rows += [
        [f"`{name}`", str(value), str(default["design"][name])]
        for name, value in best["design"].items()
    ]
    return markdown(["", "this design", "default design"], rows)


def _spread(values: tuple[float, float, float] | None, shown: Callable[[float], str]) -> str:
    if values is None:
        return "-"
    low, middle, high = map(shown, values)
    return f"{middle} ({low}–{high})"


def _excess(value: float | None) -> str:
    if value is None or math.isinf(value):
        return "nothing feasible"
    return f"{value:.4g}"


def _amount(value: float) -> str:
    return f"{value:,.6g}" if abs(value) < 1e5 else f"{value:,.0f}"


# --- The experiment ------------------------------------------------------------------------------


class TargetsExperiment:
    """`archgym experiment targets`."""

    doc: ClassVar[str] = "which agents meet the published targets, how soon and with which design"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.epilog = (
            "examples:\n"
            "  archgym experiment targets --targets dram-low-power --agents genetic,grid\n"
            "  archgym experiment targets --targets dram-both,mine.yaml --workloads stream"
        )
        parser.add_argument(
            "--targets",
            metavar="A,B",
            type=_names,
            default=TARGETS.names,
            help=f"tables of targets, or YAML files of such (default: {','.join(TARGETS.names)})",
        )
        parser.add_argument(
            "--workloads",
            metavar="A,B",
            type=_names,
            help="workloads of these tables (default: all)",
        )
        add_agents_option(parser)
        add_run_options(parser, budget=1000, seeds=5, out="runs/targets")

    def run(self, args: argparse.Namespace, write: Callable[[str], object]) -> int:
        """Run all agents, and write the tables.

        Args:
            args: The options.
            write: Takes a line of the result.

        Returns:
            0, or 1 if a run failed.

        Raises:
            ConfigError: If a table of targets is not valid, or does not suit its environment.
            UnknownNameError: If there is no such table, environment or workload.
            OSError: If a file cannot be written.
        """
        problems = _problems([TARGETS.load(name) for name in args.targets], args.workloads)
        # Before the work, which may take hours: this finds out what is wrong with a table.
        defaults = [problem.default() for problem in problems]
        runs = run_seeds([(agent, problem) for problem in problems for agent in args.agents], args)
        study = _study(runs, args, list(zip(problems, defaults, strict=True)))
        publish(study, render(study), _NAME, out=args.out, readme=None, write=write)
        return 1 if study["failures"] else 0


def _names(text: str) -> tuple[str, ...]:
    """Parse names separated by commas, for argparse; `_problems` finds out whether they exist."""
    return tuple(dict.fromkeys(text.split(",")))


def _problems(
    tables: Sequence[TargetTable], workloads: Sequence[str] | None
) -> list[TargetProblem]:
    """Return the problems of tables, those of some workloads if any are named."""
    names = [table.name for table in tables]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two tables of targets are called {name!r}. Rename one of them.")
    known = tuple(dict.fromkeys(workload for table in tables for workload in table.workloads))
    for workload in workloads or ():
        if workload not in known:
            raise UnknownNameError(
                f"unknown workload {workload!r} of the targets {', '.join(names)}."
                f"{did_you_mean(workload, known)}"
            )
    return [
        table.problem(workload)
        for table in tables
        for workload in table.workloads
        if workloads is None or workload in workloads
    ]


def _study(
    runs: Sequence[tuple[str, TargetProblem, Sequence[Outcome]]],
    args: argparse.Namespace,
    defaults: Sequence[tuple[TargetProblem, _Default]],
) -> dict[str, Any]:
    """Put together what is kept of the runs."""
    return {
        **origin_of(runs, args),
        "problems": [
            {
                "target": problem.table.name,
                "workload": problem.workload,
                "description": problem.table.description,
                "notes": problem.table.notes,
                "env": problem.env,
                "env_kwargs": dict(problem.env_kwargs),
                "limits": [
                    {
                        "metric": limit.metric,
                        "unit": limit.unit,
                        "value": limit.values[problem.workload],
                        "source": limit.source,
                    }
                    for limit in problem.table.limits
                ],
                "shown": list(dict.fromkeys((*problem.limits, *problem.table.also_shown))),
                "units": dict(default.units),
                "default": dict(default.found),
                "best": _best([(agent, own) for agent, of, own in runs if of is problem]),
            }
            for problem, default in defaults
        ],
        "runs": [
            {
                "agent": agent,
                "target": problem.table.name,
                "workload": problem.workload,
                "samples_until_met": [o.sample if o.reward == 0.0 else None for o in finished],
                "excess": [None if o.reward is None else 0.0 - o.reward for o in finished],
                "wall_s": [outcome.wall_s for outcome in finished],
                "failed": len(outcomes) - len(finished),
            }
            for agent, problem, outcomes in runs
            for finished in [[outcome for outcome in outcomes if not outcome.error]]
        ],
    }


def _best(runs: Sequence[tuple[str, Sequence[Outcome]]]) -> dict[str, Any] | None:
    """Return the design that met the target with the fewest samples, else the closest one.

    Args:
        runs: Agents with their outcomes by seed, all of one problem.

    Returns:
        The design and where it comes from, the first of equals; None if none is feasible.
    """
    feasible = [
        (agent, outcome)
        for agent, outcomes in runs
        for outcome in outcomes
        if outcome.reward is not None
    ]
    if not feasible:
        return None
    agent, outcome = min(feasible, key=lambda entry: _place(entry[1]))
    assert outcome.reward is not None
    assert outcome.design is not None
    assert outcome.metrics is not None
    return {
        "agent": agent,
        "seed": outcome.config.seed,
        "sample": outcome.sample,
        "excess": 0.0 - outcome.reward,
        "design": dict(outcome.design),
        "metrics": dict(outcome.metrics),
    }


def _place(outcome: Outcome) -> tuple[float, int]:
    """Return what is smaller for a better run: the excess, then the samples it took."""
    assert outcome.reward is not None
    assert outcome.sample is not None
    return 0.0 - outcome.reward, outcome.sample
