"""How close each agent comes to an optimum that is known.

    $ archgym experiment agents --readme README.md

Every agent searches a memory controller with its default hyperparameters, on four problems whose
true optimum `configs/optima` holds. The *regret* of a run is the excess of the best design that it
found over the optimum, in percent. Many agents find the optimum itself within the budget, random
search too, so that two more measures tell them apart: the regret after the first 100 samples, and
the number of samples until the optimum is found.

The result is data, `configs/results/agents.json`, and the table in the README is made of it: a test
holds the two together.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from statistics import fmean, median
from typing import Any, ClassVar, cast

import pyarrow.compute as pc

from archgym_py.dataset import SampleDataset
from archgym_py.errors import ConfigError
from archgym_py.experiments.problems import (
    Problem,
    add_agents_option,
    add_run_options,
    run_seeds,
)
from archgym_py.experiments.tables import (
    add_readme_option,
    failure_lines,
    origin_of,
    publish,
    quantile,
    require_place,
)
from archgym_py.outcome import Outcome
from archgym_py.simulator import Status
from archgym_py.summary import markdown

__all__ = [
    "TABLE",
    "AgentsExperiment",
    "Summary",
    "regret",
    "render",
    "summarize",
]

TABLE = "agents"
"""Name of the table in the README."""

_BASELINE = "random_search"
_WORKLOADS = ("cloud", "random")
_METRICS = {"total_time_ns": "time", "energy_pj": "energy"}
_EARLY = 100
"""Samples after which the regret is taken for the first time."""


# --- Analysis ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Summary:
    """The regrets of an agent on a problem, over its seeds.

    Attributes:
        median: Their median, in percent; infinite where half of the runs found nothing.
        low: Their first quartile.
        high: Their third quartile.
        hits: Number of runs that found the optimum.
        early: Median of the regrets after the first samples.
        samples: Median of the samples that a run took until it found the optimum; infinite unless
            more than half of the runs found it.
    """

    median: float
    low: float
    high: float
    hits: int
    early: float
    samples: float


def regret(best: float | None, optimum: float) -> float:
    """Return the excess of a value over the smallest one that is possible, in percent.

    Args:
        best: The value, None where no design is feasible.
        optimum: The smallest value, positive.

    Raises:
        ConfigError: If the value lies below the optimum.

    Examples:
        >>> regret(110.0, 100.0)
        10.0
        >>> regret(None, 100.0)
        inf
    """
    if best is None:
        return math.inf
    if best < optimum:
        raise ConfigError(
            f"a run found {best}, below the enumerated optimum {optimum}, which is that of another "
            "simulator or space. Enumerate it anew, see archgym enumerate --help."
        )
    return 100.0 * (best - optimum) / optimum


def summarize(
    best: Sequence[float | None],
    samples: Sequence[int | None],
    early: Sequence[float | None],
    optimum: float,
) -> Summary:
    """Sum up the runs of an agent on a problem.

    Args:
        best: The smallest value that each run found, None where it found nothing.
        samples: The number of the sample at which it found that.
        early: The smallest value among the first samples of each run.
        optimum: The smallest value that is possible.

    Raises:
        ConfigError: If a value lies below the optimum.

    Examples:
        >>> summary = summarize([100.0, 105.0, None], [70, 30, None], [110.0, 105.0, None], 100.0)
        >>> summary.median, summary.hits, summary.early, summary.samples
        (5.0, 1, 10.0, inf)
    """
    regrets = [regret(value, optimum) for value in best]
    low, middle, high = (quantile(regrets, share) for share in (0.25, 0.5, 0.75))
    waits = [
        float(sample) if value == optimum and sample is not None else math.inf
        for value, sample in zip(best, samples, strict=True)
    ]
    sooner = quantile([regret(value, optimum) for value in early], 0.5)
    return Summary(middle, low, high, regrets.count(0.0), sooner, quantile(waits, 0.5))


def render(study: Mapping[str, Any]) -> str:
    """Make the tables of a study.

    Args:
        study: What `configs/results/agents.json` holds.

    Returns:
        Markdown: the agents by the mean of their median regrets, equals by that of their early
        ones.
    """
    problems = {problem["name"]: problem["optimum"] for problem in study["problems"]}
    summaries: dict[str, dict[str, Summary]] = {}
    walls: dict[str, list[float]] = {}
    for row in study["runs"]:
        optimum = problems[row["problem"]]
        summary = summarize(row["best"], row["samples"], row["early"], optimum)
        summaries.setdefault(row["agent"], {})[row["problem"]] = summary
        known = [seconds for seconds in row["wall_s"] if seconds is not None]
        walls.setdefault(row["agent"], []).extend(known)
    baseline = summaries[_BASELINE]

    def place(agent: str) -> tuple[float, float, str]:
        own = summaries[agent].values()
        return fmean(s.median for s in own), fmean(s.early for s in own), agent

    def beaten(agent: str, measure: str) -> str:
        """Say on how many problems an agent is below the baseline, and on how many equal."""
        if agent == _BASELINE:
            return ""
        pairs = [
            (getattr(summaries[agent][n], measure), getattr(baseline[n], measure)) for n in problems
        ]
        below = sum(own < other for own, other in pairs)
        ties = sum(own == other for own, other in pairs)
        return f"{below}" + (f" ({ties} {'tie' if ties == 1 else 'ties'})" if ties else "")

    late, soon = [], []
    for agent in sorted(summaries, key=place):
        own = [summaries[agent][name] for name in problems]
        late.append(
            [
                f"`{agent}`",
                *(
                    f"{_percent(s.median)} ({_percent(s.low)}–{_percent(s.high)}), {s.hits}"
                    for s in own
                ),
                beaten(agent, "median"),
                f"{median(walls[agent]):.1f}" if walls[agent] else "-",
            ]
        )
        soon.append(
            [
                f"`{agent}`",
                *(f"{_percent(s.early)} / {_samples(s.samples)}" for s in own),
                f"{beaten(agent, 'early')} / {beaten(agent, 'samples')}".strip(" /"),
            ]
        )
    blocks = [
        (
            f"Regret in percent after {study['budget']:,} samples: median (first to third "
            f"quartile), and how many of {study['seeds']} runs found the optimum itself."
        ),
        markdown(["agent", *problems, "beats random", "s per run"], late),
        (
            f"How soon: median regret in percent after the first {study['early']} samples / median "
            "of the samples until the optimum was found, - unless more than half of the runs found "
            "it."
        ),
        markdown(["agent", *problems, "beats random"], soon),
        (
            "*Beats random*: on how many of the problems the median is strictly below that of "
            "random search; ties are problems on which it is equal. Sorted by the mean over the "
            "problems of the regret in the first table, equals by that in the second."
        ),
        *failure_lines(study),
    ]
    return "\n\n".join(blocks)


def _percent(value: float) -> str:
    if math.isinf(value):
        return "none"
    if value == 0.0:
        return "0"  # the optimum itself
    return "<0.01" if value < 0.005 else f"{value:.2f}"


def _samples(value: float) -> str:
    return "-" if math.isinf(value) else f"{value:.0f}"


# --- The experiment ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _KnownProblem(Problem):
    """A problem with its enumerated optimum."""

    metric: str
    optimum: float
    simulator_version: str


class AgentsExperiment:
    """`archgym experiment agents`."""

    doc: ClassVar[str] = "the regret of every agent on problems whose optimum is known"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.epilog = (
            "examples:\n"
            "  archgym experiment agents --agents genetic,ant_colony --seeds 5\n"
            "  archgym experiment agents --readme README.md"
        )
        add_agents_option(parser, help=f"default: all; {_BASELINE} is always there")
        add_run_options(parser, budget=1000, seeds=20, out="runs/agents")
        add_readme_option(parser, TABLE)

    def run(self, args: argparse.Namespace, write: Callable[[str], object]) -> int:
        """Run all agents, and write the table.

        Args:
            args: The options.
            write: Takes a line of the result.

        Returns:
            0, or 1 if a run failed.

        Raises:
            ConfigError: If the page has no place for the table, or the optima are not those of
                the simulator.
            OSError: If a file cannot be read or written.
        """
        require_place(args.readme, TABLE)
        problems = _problems()
        agents = list(dict.fromkeys([_BASELINE, *args.agents]))
        keys = [(agent, problem) for agent in agents for problem in problems]
        runs = run_seeds(keys, args)
        study = _study(runs, args)
        table = render(study)
        publish(study, table, TABLE, out=args.out, readme=args.readme, write=write)
        return 1 if study["failures"] else 0


def _problems() -> list[_KnownProblem]:
    """Return the problems whose optima are enumerated."""
    problems = []
    for pattern in _WORKLOADS:
        path = files("archgym_py.configs") / "optima" / f"dram_{pattern}_saturating_1k.json"
        optima = json.loads(path.read_text(encoding="utf-8"))
        for metric, word in _METRICS.items():
            problems.append(
                _KnownProblem(
                    f"{pattern}, {word}",
                    optima["env"],
                    {**optima["env_kwargs"], "objective": f"minimize:{metric}"},
                    metric,
                    optima["metrics"][metric]["optimum"],
                    optima["simulator_version"],
                )
            )
    return problems


def _study(
    runs: Sequence[tuple[str, _KnownProblem, Sequence[Outcome]]], args: argparse.Namespace
) -> dict[str, Any]:
    """Put together what is kept of the runs."""
    rows: list[dict[str, Any]] = []
    for agent, problem, outcomes in runs:
        for outcome in outcomes:
            if not outcome.error and outcome.simulator_version != problem.simulator_version:
                raise ConfigError(
                    f"the optimum of {problem.name!r} is of version {problem.simulator_version} "
                    f"of the simulator, the run {outcome.config.run_id} of agent {agent!r} of "
                    f"version {outcome.simulator_version}. Enumerate the optimum anew, or choose "
                    "another --out."
                )
        rows.append(
            {
                "agent": agent,
                "problem": problem.name,
                "best": [
                    None if outcome.metrics is None else outcome.metrics[problem.metric]
                    for outcome in outcomes
                ],
                "samples": [outcome.sample for outcome in outcomes],
                "early": [_early(outcome, problem.metric) for outcome in outcomes],
                "wall_s": [outcome.wall_s for outcome in outcomes],
            }
        )
    problems = {problem.name: problem for _, problem, _ in runs}
    return {
        **origin_of(runs, args),
        "early": min(_EARLY, args.budget),
        "problems": [
            {
                "name": problem.name,
                "env": problem.env,
                "env_kwargs": dict(problem.env_kwargs),
                "metric": problem.metric,
                "optimum": problem.optimum,
            }
            for problem in problems.values()
        ],
        "runs": rows,
    }


def _early(outcome: Outcome, metric: str) -> float | None:
    """Return the smallest value of a metric among the first samples of a run."""
    if outcome.folder is None:
        return None
    column = f"metric.{metric}"
    first = (pc.field("index") < _EARLY) & (pc.field("status") == Status.OK.value)
    found = SampleDataset(outcome.folder).table([column], where=first).column(column)
    return min(cast(list[float], found.to_pylist()), default=None)
