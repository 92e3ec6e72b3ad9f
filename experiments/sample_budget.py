"""How good the best design so far is after 10 samples and after 10,000, and who leads when.

    $ archgym experiment sample_budget --readme README.md

Every agent searches some problems with its default hyperparameters. One run of 10,000 samples tells
what the agent has found by every smaller budget, too, because agents propose the same designs
whatever the budget is. There are exceptions, whose curves are those of runs of the whole budget:
`dqn` explores over a share of the budget, and settles earlier in a shorter run; the replay buffers
of `dqn`, `sac` and `td3` have room for the steps of as many designs as the budget has, so that a
shorter run begins to forget earlier where known designs are proposed again, which costs no sample.

**Score.** That of `archgym_py.analysis`: 0 is the default design, 1 the true optimum, or the best
design of all runs where nobody has enumerated the space. Until a run has found something feasible
it scores as the worst first find of any run on the problem, or 0 where that is better than the
default design.

**At a budget** stand the interquartile mean of the scores, pooled over problems, with a 95 %
bootstrap interval that is stratified by problem, and the rank: problem by problem that of the
interquartile mean among those of all agents, then averaged over the problems.

**Area.** The mean height of the curve from the first to the last budget on the logarithmic axis.
It is the score to expect from a budget of an unknown order of magnitude.

Agents are compared over all problems if they have a run on each that did not fail; of the others
the rows by problem are kept, and what failed is told.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from archgym_py.analysis import Run, nothing_yet, scored_runs
from archgym_py.errors import ConfigError
from archgym_py.experiments.problems import add_agents_option, add_run_options
from archgym_py.experiments.tables import (
    add_readme_option,
    failure_lines,
    publish,
    require_place,
)
from archgym_py.files import atomic_path
from archgym_py.results import Results
from archgym_py.statistics import (
    area_under_curve,
    bootstrap_interval,
    iqm,
    mean_ranks,
    step_at,
)
from archgym_py.summary import markdown
from archgym_py.sweep import sweep
from archgym_py.sweep_config import SweepAgent, load_preset

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "FIRST_BUDGET",
    "TABLE",
    "Curve",
    "SampleBudgetExperiment",
    "budgets_up_to",
    "compare",
    "curves",
    "draw",
    "render",
    "study_of",
]

TABLE = "sample_budget"
"""Name of the table in the README, and of the data and the image."""

FIRST_BUDGET = 10
"""The smallest budget that is looked at, in samples."""

_KNOW_THE_BUDGET = ("dqn", "sac", "td3")
"""Agents that propose other designs where the budget is another one."""

_SEED = 0  # of the bootstrap: equal rows give equal intervals
_DIGITS = 12
"""Scores that agree up to here share a rank: a mean of equal numbers may be off by a rounding."""

_Floats: TypeAlias = npt.NDArray[np.float64]


def budgets_up_to(budget: int) -> tuple[int, ...]:
    """Return the budgets to look at: 10, 20, 50, 100, 200, ... and the last one.

    Args:
        budget: Samples of a run.

    Raises:
        ConfigError: If that is no more than the first budget.

    Examples:
        >>> budgets_up_to(120)
        (10, 20, 50, 100, 120)
    """
    if budget <= FIRST_BUDGET:
        raise ConfigError(
            f"the budget must be above {FIRST_BUDGET} samples, where the curves begin, got "
            f"{budget}. Take a larger one."
        )
    steps = (factor * 10**power for power in range(1, len(str(budget))) for factor in (1, 2, 5))
    return (*(step for step in steps if step < budget), budget)


# --- Analysis ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single answer to `==`
class Curve:
    """How far the runs of an agent on a problem had come by each budget.

    Attributes:
        agent: Name of the agent.
        problem: Name of the problem.
        seeds: Seeds of the runs.
        scores: Score of the best design so far, shape (runs, budgets).
        areas: Area under each run's curve, shape (runs,).
        wall_s: Seconds that each run took, None where it was interrupted.
    """

    agent: str
    problem: str
    seeds: tuple[int, ...]
    scores: _Floats
    areas: _Floats
    wall_s: tuple[float | None, ...]


def curves(results: Results, budgets: Sequence[int]) -> list[Curve]:
    """Return how far the finished runs had come by each budget.

    Args:
        results: A sweep whose runs have as many samples as the last budget, or more.
        budgets: Numbers of samples, ascending, two or more.

    Returns:
        A curve for each problem and agent, in the order of the rows; none where all runs failed.

    Raises:
        ConfigError: If the budgets do not ascend from 1 on, or a run has fewer samples.
    """
    ascend = all(one < other for one, other in itertools.pairwise(budgets))
    if len(budgets) < 2 or budgets[0] < 1 or not ascend:
        raise ConfigError(
            f"budgets must be two or more numbers of samples that ascend from 1 on, got "
            f"{list(budgets)}."
        )
    found = []
    for problem, runs in scored_runs(results).items():
        before = nothing_yet(runs)
        for agent in dict.fromkeys(run.row["agent"] for run in runs):
            own = [run for run in runs if run.row["agent"] == agent]
            for run in own:
                if run.row["samples"] < budgets[-1]:
                    raise ConfigError(
                        f"a run of {agent!r} on {problem} has {run.row['samples']} samples, which "
                        f"says nothing about {budgets[-1]}. Leave out the larger budgets."
                    )
            found.append(
                Curve(
                    agent=agent,
                    problem=problem,
                    seeds=tuple(run.row["seed"] for run in own),
                    scores=np.array([step_at(*run.curve, budgets, before=before) for run in own]),
                    areas=np.array([_area(run, budgets, before) for run in own]),
                    wall_s=tuple(run.row["wall_s"] for run in own),
                )
            )
    return found


def _area(run: Run, budgets: Sequence[int], before: float) -> float:
    """Return the mean height of a curve from the first to the last budget, on the log axis."""
    first, last = budgets[0], budgets[-1]
    [start] = step_at(*run.curve, [first], before=before).tolist()
    later = [point for point in zip(*run.curve, strict=True) if point[0] > first]
    samples, scores = [at for at, _ in later], [score for _, score in later]
    # From sample 1 on, with the height at the first budget before it: what is above that height
    # lies between the two budgets, and is to be divided by their distance only.
    whole = area_under_curve(samples, scores, budget=last, before=start)
    return float(start + (whole - start) * math.log(last) / math.log(last / first))


def compare(found: Sequence[Curve]) -> list[dict[str, Any]]:
    """Compare agents over all problems.

    Args:
        found: What `curves` returns, or some of it: those of one problem compare agents on it.

    Returns:
        For each agent that has runs on all problems, as plain data: its name ("agent"), and at each
        budget the interquartile mean of the scores with the ends of its 95 % interval ("iqm") and
        the mean rank ("rank", 1 is the best); the same for the area ("area", "area_rank"). The ends
        are None where a problem has a single run, which says nothing about the spread.
    """
    by_agent: dict[str, dict[str, Curve]] = {}
    for curve in found:
        by_agent.setdefault(curve.agent, {})[curve.problem] = curve
    problems = list(dict.fromkeys(curve.problem for curve in found))
    agents = [agent for agent, own in by_agent.items() if len(own) == len(problems)]
    if not agents:
        return []
    tables = [[by_agent[agent][problem] for problem in problems] for agent in agents]
    middles = np.array([[iqm(curve.scores, axis=0) for curve in own] for own in tables])
    ranks = np.array([mean_ranks(at.round(_DIGITS)) for at in np.moveaxis(middles, -1, 0)])
    areas = np.array([[iqm(curve.areas) for curve in own] for own in tables])
    area_ranks = mean_ranks(areas.round(_DIGITS))
    return [
        {
            "agent": agent,
            "iqm": [
                _interval([curve.scores[:, number] for curve in own])
                for number in range(len(ranks))
            ],
            "rank": ranks[:, place].tolist(),
            "area": _interval([curve.areas for curve in own]),
            "area_rank": float(area_ranks[place]),
        }
        for place, (agent, own) in enumerate(zip(agents, tables, strict=True))
    ]


def _interval(strata: Sequence[_Floats]) -> list[float | None]:
    """Return the interquartile mean of pooled scores and the ends of its interval."""
    interval = bootstrap_interval(strata, iqm, rng_seed=_SEED)
    if any(len(scores) == 1 for scores in strata):
        return [interval.estimate, None, None]
    return [interval.estimate, interval.low, interval.high]


def study_of(results: Results, budgets: Sequence[int], command: str) -> dict[str, Any]:
    """Put together what is published of a sweep.

    Args:
        results: The sweep.
        budgets: As for `curves`.
        command: The command that made the study.

    Returns:
        Plain data for JSON, without infinite numbers: where the rows come from, which runs failed,
        the problems, the comparison over all of them ("overall"), and for each agent and problem
        the same with the scores of every run at every budget ("runs").

    Raises:
        ConfigError: As `curves`.
    """
    found = curves(results, budgets)
    rows = results.rows
    on_problems = {
        problem: {
            entry["agent"]: entry
            for entry in compare([curve for curve in found if curve.problem == problem])
        }
        for problem in results.problems
    }
    return {
        "command": command,
        "commands": list(results.commands),
        "budget": budgets[-1],
        "budgets": list(budgets),
        "seeds": len({row["seed"] for row in rows}),
        **{
            f"{name}s": sorted({row[name] for row in rows if row["status"] == "finished"})
            for name in ("package_version", "git_commit", "simulator_version")
        },
        "libraries": dict(results.versions),
        "agents": {row["agent"]: json.loads(row["agent_config"]) for row in rows},
        "failures": _failures(rows),
        "problems": [
            {
                "name": name,
                "env": problem.env_id,
                "env_kwargs": dict(problem.env_kwargs),
                "default_reward": None if problem.default is None else problem.default.reward,
                "optimum_reward": None if problem.optimum is None else problem.optimum.reward,
            }
            for name, problem in results.problems.items()
        ],
        "overall": compare(found),
        "runs": [
            {
                "problem": curve.problem,
                **on_problems[curve.problem][curve.agent],
                "seeds": list(curve.seeds),
                "scores": curve.scores.tolist(),
                "areas": curve.areas.tolist(),
                "wall_s": list(curve.wall_s),
            }
            for curve in found
        ],
    }


def _failures(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return which agents failed: the number of runs, and the messages without repetition."""
    failures: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["status"] == "failed":
            failed = failures.setdefault(row["agent"], {"runs": 0, "messages": []})
            failed["runs"] += 1
            failed["messages"] = sorted({*failed["messages"], row["message"]})
    return failures


# --- Text and image ------------------------------------------------------------------------------


def render(study: Mapping[str, Any]) -> str:
    """Make the tables of a study.

    Args:
        study: What `study_of` returns.

    Returns:
        Markdown: the scores at each budget with the areas, then the ranks; the largest area first.
    """
    budgets = [f"{budget:,}" for budget in study["budgets"]]
    ordered = sorted(study["overall"], key=lambda entry: (-entry["area"][0], entry["agent"]))
    compared = {entry["agent"] for entry in ordered}
    missing = [agent for agent in study["agents"] if agent not in compared]
    scores = [
        [
            f"`{entry['agent']}`",
            *(f"{estimate:z.3f}" for estimate, _, _ in entry["iqm"]),
            _ends(entry["iqm"][-1]),
            f"{entry['area'][0]:z.3f}",
            _ends(entry["area"]),
        ]
        for entry in ordered
    ]
    ranks = [
        [
            f"`{entry['agent']}`",
            *(f"{rank:.1f}" for rank in entry["rank"]),
            f"{entry['area_rank']:.1f}",
        ]
        for entry in ordered
    ]
    for table in (scores, ranks):
        columns = len(budgets) + (4 if table is scores else 2)
        table += [[f"`{agent}`", *["-"] * (columns - 1)] for agent in missing]
    known = all(problem["optimum_reward"] is not None for problem in study["problems"])
    top = "the optimum" if known else "the optimum, or the best design of all runs"
    blocks = [
        (
            f"Score of the best design after a number of samples: 0 is the default design, 1 "
            f"{top}. Interquartile mean over all runs (problems: {len(study['problems'])}, runs of "
            f"an agent on each: {study['seeds']}), at the last budget and for the area with 95 % "
            f"intervals. The area is the mean from {budgets[0]} to {budgets[-1]} samples on a "
            f"logarithmic axis."
        ),
        markdown(["samples", *budgets, "95 %", "area", "95 %"], scores),
        "Rank by that score among the agents, 1 is the best: mean over the problems.",
        markdown(["samples", *budgets, "area"], ranks),
        *_notes(study),
        *failure_lines(study),
    ]
    return "\n\n".join(blocks)


def _notes(study: Mapping[str, Any]) -> list[str]:
    """Say which agents' curves depend on the budget."""
    knowing = [f"`{agent}`" for agent in _KNOW_THE_BUDGET if agent in study["agents"]]
    if not knowing:
        return []
    note = (
        f"A run of {study['budget']:,} samples stands for shorter ones, too. Not quite so for "
        f"{', '.join(knowing)}: the replay buffer is as large as the budget"
    )
    if "dqn" in study["agents"]:
        note += (
            ", and `dqn` explores over a share of it, so that a shorter run would settle earlier"
        )
    return [f"{note}."]


def _ends(interval: Sequence[float | None]) -> str:
    _, low, high = interval
    return "-" if low is None or high is None else f"{low:z.3f} to {high:z.3f}"


def draw(study: Mapping[str, Any], path: Path) -> None:
    """Draw a study: scores and ranks against budgets, over all problems and for each of them.

    Args:
        study: What `study_of` returns, with an agent to compare.
        path: The image, a PNG file.

    Raises:
        OSError: If the image cannot be written.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    parts = [("all problems", study["overall"])] if study["overall"] else []
    for problem in study["problems"]:
        own = [row for row in study["runs"] if row["problem"] == problem["name"]]
        if own and len(study["problems"]) > 1:
            parts.append((problem["name"], own))
    palette = colormaps["tab10"].colors  # type: ignore[attr-defined]
    looks = (("-", "o"), ("--", "s"), (":", "^"))
    styles = {}
    for number, agent in enumerate(sorted(study["agents"])):  # alike in all panels
        line, marker = looks[number // len(palette) % len(looks)]
        color = palette[number % len(palette)]
        styles[agent] = {"color": color, "linestyle": line, "marker": marker, "markersize": 4}
    figure = Figure(figsize=(14.0, 5.5 * len(parts)), layout="constrained")
    panels = figure.subplots(len(parts), 2, squeeze=False)
    for (title, entries), (scores, ranks) in zip(parts, panels, strict=True):
        _draw_scores(scores, study["budgets"], entries, styles)
        _draw_ranks(ranks, study["budgets"], entries, styles)
        scores.set_title(title, fontsize="medium")
        ranks.set_title(title, fontsize="medium")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


_Styles: TypeAlias = Mapping[str, Mapping[str, Any]]


def _draw_scores(
    panel: Axes,
    budgets: Sequence[int],
    entries: Sequence[Mapping[str, Any]],
    styles: _Styles,
) -> None:
    for entry in entries:
        estimates, lows, highs = zip(*entry["iqm"], strict=True)
        style = styles[entry["agent"]]
        panel.plot(budgets, estimates, label=entry["agent"], **style)
        if None not in lows:
            panel.fill_between(budgets, lows, highs, color=style["color"], alpha=0.08, linewidth=0)
    starts = [entry["iqm"][0][0] for entry in entries]
    # First designs may be far worse than the default one, where nobody needs details.
    panel.set_ylim(bottom=max(-1.0, min(starts)) - 0.05, top=1.03)
    panel.axhline(0.0, color="black", linewidth=0.8)
    panel.axhline(1.0, color="black", linewidth=0.8)
    panel.set_xscale("log")
    panel.set_xlabel("samples")
    panel.set_ylabel("score of the best design (0 default, 1 optimum)")
    panel.grid(alpha=0.3)


def _draw_ranks(
    panel: Axes,
    budgets: Sequence[int],
    entries: Sequence[Mapping[str, Any]],
    styles: _Styles,
) -> None:
    for entry in entries:
        panel.plot(budgets, entry["rank"], label=entry["agent"], **styles[entry["agent"]])
    panel.invert_yaxis()
    panel.set_xscale("log")
    panel.set_xlabel("samples")
    panel.set_ylabel("rank, 1 is the best")
    panel.grid(alpha=0.3)
    # The order at the end is that of the lines' ends.
    handles, labels = panel.get_legend_handles_labels()
    last = np.argsort([entry["rank"][-1] for entry in entries], kind="stable")
    panel.legend(
        [handles[place] for place in last],
        [labels[place] for place in last],
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        fontsize="small",
    )


# --- The experiment ------------------------------------------------------------------------------


class SampleBudgetExperiment:
    """`archgym experiment sample_budget`."""

    doc: ClassVar[str] = "how good every agent's best design is after 10 to 10,000 samples"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.epilog = (
            "examples:\n"
            "  archgym experiment sample_budget --agents genetic,ppo --budget 2000\n"
            "  archgym experiment sample_budget --seeds 3 --readme README.md\n\n"
            "By default there are 340 runs, which take one core about a day. Most of it are\n"
            "bayesian and nsga2: their time grows with the square of the samples or faster, to\n"
            "about half an hour a run. The others take 4 hours in all: a run of a learning agent\n"
            "takes 1 to 2 minutes, of cma_es half a minute, and of the rest some seconds."
        )
        default = load_preset(TABLE)
        add_agents_option(
            parser,
            default=tuple(entry.agent for entry in default.agents),
            help="default: all but external",
        )
        seeds = len({planned.run.seed for planned in default.runs()})
        add_run_options(parser, budget=default.budget, seeds=seeds, out=str(default.out))
        add_readme_option(parser, TABLE)

    def run(self, args: argparse.Namespace, write: Callable[[str], object]) -> int:
        """Run all agents, and write tables, data and image.

        Args:
            args: The options.
            write: Takes a line of the result.

        Returns:
            0, or 1 if a run failed.

        Raises:
            ConfigError: If the budget is too small, the page has no place for the table, or the
                folder holds a sweep with other options.
            PoolError: If Ray does not work.
            OSError: If a file cannot be read or written.
        """
        budgets = budgets_up_to(args.budget)
        require_place(args.readme, TABLE)
        default = load_preset(TABLE)
        entries = {entry.agent: entry for entry in default.agents}
        config = replace(
            default,
            agents=tuple(entries.get(agent) or SweepAgent(agent=agent) for agent in args.agents),
            budget=args.budget,
            seeds=args.seeds,
            out=args.out,
        )
        results = sweep(config, resume=True, jobs=args.jobs, command=args.command_line)
        study = study_of(results, budgets, args.command_line)
        publish(study, render(study), TABLE, out=args.out, readme=args.readme, write=write)
        _publish_image(study, args.out / f"{TABLE}.png", write)
        return 1 if study["failures"] else 0


def _publish_image(study: Mapping[str, Any], path: Path, write: Callable[[str], object]) -> None:
    """Write the image, or say why there is none."""
    if not study["runs"]:
        write("no image: all runs failed")
    elif importlib.util.find_spec("matplotlib") is None:
        write("no image: drawing needs matplotlib, pip install 'archgym_py[report]'")
    else:
        draw(study, path)
        write(f"image: {path}")
