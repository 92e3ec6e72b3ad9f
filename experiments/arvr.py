"""How close to its budgets each agent brings a system on a chip for augmented reality.

    $ archgym experiment arvr --readme README.md

Every agent designs systems for edge detection with its default hyperparameters, in two spaces. In
the limited one no design keeps the budgets of latency and power; in the comprehensive one some do.
The measure is the distance to the budgets of FARSI and of ArchGym's environment: the sum of the
relative excesses of latency, power, area without DRAM and area of the DRAM.

The result is data, `configs/results/arvr.json`, and the table in the README is made of it: a test
holds the two together.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from archgym_py.experiments.problems import Problem, add_run_options, names_of, run_seeds
from archgym_py.experiments.tables import (
    add_readme_option,
    baselines_of,
    failure_lines,
    insert_table,
    markdown,
    publish,
    quantile,
    study_of,
)
from archgym_py.registry import AGENTS

__all__ = ["TABLE", "ARVRExperiment", "render"]

TABLE = "arvr"
"""Name of the table in the README."""

_SPACES = ("limited", "comprehensive")
_METRIC = "distance"
_BUDGETS = 4
_ENV = "ArchGym/ARVRSoC-v0"


def render(study: Mapping[str, Any]) -> str:
    """Make the table of a study.

    Args:
        study: What `configs/results/arvr.json` holds.

    Returns:
        Markdown: the baseline, then the agents by their medians, in the last space first.
    """
    names = [problem["name"] for problem in study["problems"]]
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in study["runs"]:
        found.setdefault(row["agent"], {})[row["problem"]] = row

    def place(agent: str) -> tuple[tuple[float, ...], str]:
        medians = (quantile(_best(found[agent][name]), 0.5) for name in reversed(names))
        return tuple(medians), agent

    header = ["agent"]
    rows = [["default design"]]
    for problem in study["problems"]:
        header += [problem["name"], "budgets met"]
        rows[0] += [_amount(problem["baseline"]), ""]
    for agent in sorted(found, key=place):
        cells = [f"`{agent}`"]
        for name in names:
            row = found[agent][name]
            kept = sum(met == _BUDGETS for met in row["budgets_met"])
            cells += [_spread(_best(row)), f"{kept} of {len(row['budgets_met'])}"]
        rows.append(cells)
    blocks = [
        (
            "Distance to the budgets for edge detection, of the best design within "
            f"{study['budget']:,} samples: median (first to third quartile) of {study['seeds']} "
            "runs, and how many of them found a design that keeps all budgets."
        ),
        markdown(header, rows),
        *failure_lines(study),
    ]
    return "\n\n".join(blocks)


def _best(row: Mapping[str, Any]) -> list[float]:
    return [math.inf if value is None else value for value in row["best"]]


def _spread(values: Sequence[float]) -> str:
    low, middle, high = (quantile(values, share) for share in (0.25, 0.5, 0.75))
    return f"{_amount(middle)} ({_amount(low)}–{_amount(high)})"


def _amount(value: float) -> str:
    """Write a distance with five digits; it is 0 if all budgets are met."""
    if math.isinf(value):
        return "none"
    return "0" if value < 1e-6 else f"{value:.5g}"


class ARVRExperiment:
    """`archgym experiment arvr`."""

    doc: ClassVar[str] = "how close to its budgets every agent brings an AR/VR system on a chip"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.epilog = (
            "examples:\n"
            "  archgym experiment arvr --agents genetic,ant_colony --seeds 3\n"
            "  archgym experiment arvr --spaces limited --readme README.md"
        )
        parser.add_argument(
            "--agents",
            metavar="A,B",
            type=names_of("agent", AGENTS.names()),
            default=AGENTS.names(),
            help="default: all",
        )
        parser.add_argument(
            "--spaces",
            metavar="A,B",
            type=names_of("space", _SPACES),
            default=_SPACES,
            help=f"default: {','.join(_SPACES)}",
        )
        add_run_options(parser, budget=1000, seeds=5, out="runs/arvr")
        add_readme_option(parser, TABLE)

    def run(self, args: argparse.Namespace, write: Callable[[str], object]) -> int:
        """Run all agents, and write the table.

        Args:
            args: The options.
            write: Takes a line of the result.

        Returns:
            0, or 1 if a run failed.

        Raises:
            ConfigError: If the page has no place for the table.
            OSError: If a file cannot be read or written.
        """
        if args.readme is not None:  # before the work, which may take hours
            insert_table(args.readme.read_text(encoding="utf-8"), TABLE, "")
        problems = [
            Problem(space, _ENV, {"workload": "edge_detection", "space": space})
            for space in args.spaces
        ]
        baselines = baselines_of(problems, _METRIC)  # before the work, too: may find errors
        keys = [(agent, problem) for agent in args.agents for problem in problems]
        study = study_of(
            run_seeds(keys, args),
            args,
            baselines=baselines,
            kept={"best": _METRIC, "budgets_met": "budgets_met"},
        )
        table = render(study)
        publish(study, table, TABLE, out=args.out, readme=args.readme, write=write)
        return 1 if study["failures"] else 0
