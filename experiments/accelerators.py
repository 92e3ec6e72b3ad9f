"""The best energy-delay product that each agent finds for a DNN accelerator.

    $ archgym experiment accelerators --readme README.md

Every agent designs accelerators for AlexNet's convolutions with its default hyperparameters: in the
published space of Eyeriss-like accelerators, and systolic arrays. The true optimum of these spaces
is not known, so the measure is the energy-delay product itself, beside that of the published
Eyeriss design with its best mappings.

The result is data, `configs/results/accelerators.json`, and the table in the README is made of it:
a test holds the two together.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, median
from typing import Any, ClassVar

from archgym_py.experiments.problems import (
    Problem,
    add_agents_option,
    add_run_options,
)
from archgym_py.experiments.tables import (
    add_readme_option,
    failure_lines,
    quantile,
    search_designs,
)
from archgym_py.summary import markdown

__all__ = ["TABLE", "AcceleratorsExperiment", "render"]

TABLE = "accelerators"
"""Name of the table in the README."""

_METRIC = "edp_uj_ms"
_WORKLOAD = {"workload": "archgym_alexnet", "objective": f"minimize:{_METRIC}"}
_PROBLEMS = (
    Problem("published space", "ArchGym/DNNAccelerator-v0", _WORKLOAD),
    Problem("systolic array", "ArchGym/SystolicArray-v0", _WORKLOAD),
)


def render(study: Mapping[str, Any]) -> str:
    """Make the table of a study.

    Args:
        study: What `configs/results/accelerators.json` holds.

    Returns:
        Markdown: the baseline, then the agents by the mean logarithm of their medians.
    """
    names = [problem["name"] for problem in study["problems"]]
    found: dict[str, dict[str, list[float]]] = {}
    for row in study["runs"]:
        values = [math.inf if value is None else value for value in row["best"]]
        found.setdefault(row["agent"], {})[row["problem"]] = values

    def place(agent: str) -> tuple[float, str]:
        return fmean(math.log(median(found[agent][name])) for name in names), agent

    rows = [
        [
            "baseline design",
            *(_amount(problem["baseline"]) for problem in study["problems"]),
        ]
    ]
    rows += [
        [f"`{agent}`", *(_spread(found[agent][name]) for name in names)]
        for agent in sorted(found, key=place)
    ]
    blocks = [
        (
            "Energy-delay product in uJ*s on AlexNet's five convolutions, of the best design "
            f"within {study['budget']:,} samples: "
            f"median (first to third quartile) of {study['seeds']} runs. The baseline of the "
            "published space is the published Eyeriss design with its best mappings."
        ),
        markdown(["agent", *names], rows),
        *failure_lines(study),
    ]
    return "\n\n".join(blocks)


def _spread(values: Sequence[float]) -> str:
    low, middle, high = (quantile(values, share) for share in (0.25, 0.5, 0.75))
    return f"{_amount(middle)} ({_amount(low)}–{_amount(high)})"


def _amount(value: float) -> str:
    """Write uJ*ms as uJ*s, with three digits."""
    return "none" if math.isinf(value) else f"{value / 1e3:.3g}"


class AcceleratorsExperiment:
    """`archgym experiment accelerators`."""

    doc: ClassVar[str] = "the best energy-delay product that every agent finds for AlexNet"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.epilog = (
            "examples:\n"
            "  archgym experiment accelerators --agents genetic,ant_colony --seeds 3\n"
            "  archgym experiment accelerators --readme README.md"
        )
        add_agents_option(parser)
        add_run_options(parser, budget=500, seeds=5, out="runs/accelerators")
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
        return search_designs(
            args, write, name=TABLE, problems=_PROBLEMS, kept={"best": _METRIC}, render=render
        )
