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

from archgym_py.experiments.problems import (
    Problem,
    add_agents_option,
    add_run_options,
    names_of,
)
from archgym_py.experiments.tables import (
    add_readme_option,
    failure_lines,
    quantile,
    search_designs,
)
from archgym_py.summary import markdown

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
        add_agents_option(parser)
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
        problems = [
            Problem(space, _ENV, {"workload": "edge_detection", "space": space})
            for space in args.spaces
        ]
        kept = {"best": _METRIC, "budgets_met": "budgets_met"}
        return search_designs(args, write, name=TABLE, problems=problems, kept=kept, render=render)
