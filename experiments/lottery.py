"""The hyperparameter lottery: is an algorithm better, or was it better tuned?

    $ archgym experiment lottery
    $ archgym experiment lottery --preset lottery_full --share 0.01 --out runs/try

Every agent searches with its default hyperparameters and with many that are drawn at random, each
with several seeds, on equal spaces and equal budgets. What a random configuration achieves is the
lottery; what the best one achieves, on seeds that had no part in choosing it, is what tuning buys.
The statistics are those of `archgym_py.analysis`.

The presets are files of `configs/sweeps`: `lottery` takes some minutes, `lottery_full` has as many
runs as the published study, `lottery_published` and `lottery_published_dnn` have its grids and its
budgets, which differ from agent to agent. The result in the README is data,
`configs/results/lottery.json`, and the table is made of it: a test holds the two together.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from archgym_py.analysis import analyse
from archgym_py.command_line import count
from archgym_py.errors import ConfigError
from archgym_py.experiments.problems import add_agents_option
from archgym_py.experiments.tables import add_readme_option, publish, require_place
from archgym_py.report_page import check_page, write_page
from archgym_py.summary import markdown, summary, variance_text
from archgym_py.sweep import sweep
from archgym_py.sweep_config import SweepConfig, load_preset

__all__ = ["PRESETS", "TABLE", "LotteryExperiment", "render", "study_of"]

TABLE = "lottery"
"""Name of the table in the README."""

PRESETS = ("lottery", "lottery_full", "lottery_published", "lottery_published_dnn")
"""Sweeps of `configs/sweeps`."""


def study_of(data: Mapping[str, Any], config: SweepConfig, command: str) -> dict[str, Any]:
    """Keep of a lottery what the README shows.

    Args:
        data: What `analysis.analyse` returns.
        config: The sweep.
        command: The command that made it.
    """
    problems = data["problems"]
    agents = []
    for row in data["overall"]["agents"]:
        own = [
            entry
            for problem in problems
            for entry in problem["agents"]
            if entry["agent"] == row["agent"]
        ]
        agents.append(
            {
                "agent": row["agent"],
                "configs": max(entry["configs"] for entry in own),
                "runs": sum(entry["runs"] for entry in own),
                "failed": sum(entry["failed"] for entry in own),
                "iqm": row["iqm"],
                "quartiles": row["quartiles"],
                "mean": row["mean"],
                "default_score": row["default_score"],
                "tuned_score": row["tuned_score"],
                "optimal_runs": sum(
                    entry["regret"]["optimal_runs"] for entry in own if entry["regret"]
                ),
                "runs_with_optimum": sum(entry["runs"] for entry in own if entry["regret"]),
            }
        )
    return {
        "command": command,
        "versions": data["versions"],
        "git_commits": data["git_commits"],
        "budget": config.budget,
        "seeds": config.seeds,
        "problems": [problem["name"] for problem in problems],
        "variance": data["overall"]["variance"],
        "improvement": data["overall"]["improvement"],
        "failures": data["failures"],
        "runs": agents,
    }


def render(study: Mapping[str, Any]) -> str:
    """Make the table of a study.

    Args:
        study: What `configs/results/lottery.json` holds.

    Returns:
        Markdown: the agents by their interquartile means, and what the variance is due to.
    """
    header = [
        "agent",
        "configurations",
        "IQM (95 %)",
        "quartiles",
        "mean",
        "mean of the default",
        "mean of the tuned",
        "optimum found",
    ]
    rows = []
    for row in sorted(study["runs"], key=lambda row: -row["iqm"][0]):
        estimate, low, high = row["iqm"]
        q1, _, q3 = row["quartiles"]
        rows.append(
            [
                f"`{row['agent']}`",
                str(row["configs"]),
                f"{estimate:.3f} ({low:.3f}–{high:.3f})",
                f"{q1:.3f}–{q3:.3f}",
                _number(row["mean"]),
                _number(row["default_score"]),
                _number(row["tuned_score"]),
                f"{row['optimal_runs']} of {row['runs_with_optimum']}",
            ]
        )
    total = sum(row["runs"] for row in study["runs"])
    problems = ", ".join(f"`{problem}`" for problem in study["problems"])
    note = (
        f"Scores of {total:,} runs on {problems}: 0 is the default design, 1 the optimum (or the "
        "best design that is known). IQM: interquartile mean over configurations, the default and "
        "random ones, and their seeds, with its 95 % interval. *Tuned*: the best configuration, on "
        "seeds that did not choose it."
    )
    blocks = [note, markdown(header, rows)]
    if study["variance"]:
        blocks.append(f"Variance of the scores: {variance_text(study['variance'])}.")
    return "\n\n".join(blocks)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


class LotteryExperiment:
    """`archgym experiment lottery`."""

    doc: ClassVar[str] = "agents with hyperparameters drawn at random, on equal budgets"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.epilog = (
            "examples:\n"
            "  archgym experiment lottery\n"
            "  archgym experiment lottery --agents genetic,ant_colony --configs 10 --seeds 3\n"
            "  archgym experiment lottery --preset lottery_published --share 0.01"
        )
        parser.add_argument(
            "--preset", choices=PRESETS, default="lottery", help="default: %(default)s"
        )
        add_agents_option(parser, default=None, help="those of the preset to run (default: all)")
        parser.add_argument(
            "--configs",
            metavar="N",
            type=count,
            help="configurations drawn for each agent, in place of the preset's",
        )
        parser.add_argument(
            "--seeds",
            metavar="N",
            type=count,
            help="seeds of each configuration, in place of the preset's",
        )
        parser.add_argument(
            "--budget", metavar="N", type=count, help="samples of a run, in place of the preset's"
        )
        parser.add_argument(
            "--share",
            metavar="P",
            type=float,
            default=1.0,
            help="make this part of the runs only, such as 0.01",
        )
        parser.add_argument(
            "--out",
            metavar="DIR",
            type=Path,
            help="folder of the sweep; runs that it holds are not repeated (default: the preset's)",
        )
        parser.add_argument(
            "--jobs", metavar="N", type=count, help="processes (default: as many as cores)"
        )
        add_readme_option(parser, TABLE)

    def run(self, args: argparse.Namespace, write: Callable[[str], object]) -> int:
        """Run the sweep, print its statistics and write its page.

        Args:
            args: The options.
            write: Takes a line of the result.

        Returns:
            0, or 1 if a run failed.

        Raises:
            ConfigError: If the preset does not have an agent, or the page has no place for the
                table.
            OSError: If a file cannot be read or written.
        """
        require_place(args.readme, TABLE)
        config = _adapted(load_preset(args.preset), args)
        page = config.out / "report.html"
        config.out.mkdir(parents=True, exist_ok=True)
        check_page(page)  # before the work
        results = sweep(
            config, resume=True, share=args.share, jobs=args.jobs, command=args.command_line
        )
        data = analyse(results)
        write(summary(data))
        write_page(data, page)
        study = study_of(data, config, args.command_line)
        publish(study, render(study), TABLE, out=config.out, readme=args.readme, write=write)
        write(f"page: {page}")
        return 1 if data["failed"] else 0


def _adapted(config: SweepConfig, args: argparse.Namespace) -> SweepConfig:
    """Change a preset as the options say."""
    agents = config.agents
    if args.agents is not None:
        known = [entry.agent for entry in agents]
        for name in args.agents:
            if name not in known:
                raise ConfigError(
                    f"the preset {args.preset!r} has no agent {name!r}, only {', '.join(known)}."
                )
        agents = tuple(entry for entry in agents if entry.agent in args.agents)
    if args.configs is not None and not any(entry.draw for entry in agents):
        raise ConfigError(f"--configs: the preset {args.preset!r} draws no configurations.")
    if args.budget is not None and any(entry.budgets for entry in agents):
        raise ConfigError(f"--budget: agents of the preset {args.preset!r} have their own.")
    if args.configs is not None:
        agents = tuple(
            dataclasses.replace(entry, draw=args.configs) if entry.draw else entry
            for entry in agents
        )
    if args.seeds is not None:
        agents = tuple(dataclasses.replace(entry, seeds=None) for entry in agents)
    given = {"budget": args.budget, "seeds": args.seeds, "out": args.out}
    return dataclasses.replace(
        config, agents=agents, **{name: value for name, value in given.items() if value is not None}
    )
