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
        parser.add_argument(
            "--agents",
            metavar="A,B",
            type=names_of("agent", AGENTS.names()),
            default=AGENTS.names(),
            help="default: all",
        )
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
        if args.readme is not None:  # before the work, which may take hours
            insert_table(args.readme.read_text(encoding="utf-8"), TABLE, "")
        keys = [(agent, problem) for agent in args.agents for problem in _PROBLEMS]
        baselines = baselines_of(_PROBLEMS, _METRIC)  # before the work, too: may find errors
        study = study_of(run_seeds(keys, args), args, baselines=baselines, kept={"best": _METRIC})
        table = render(study)
        publish(study, table, TABLE, out=args.out, readme=args.readme, write=write)
        return 1 if study["failures"] else 0
