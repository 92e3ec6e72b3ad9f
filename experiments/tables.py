"""Tables that the README shows, and the data that they are made of."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from archgym_py.errors import ConfigError
from archgym_py.experiments.problems import Problem, run_seeds
from archgym_py.files import write_text
from archgym_py.outcome import Outcome
from archgym_py.registry import AGENTS
from archgym_py.runner import make_env
from archgym_py.versions import library_versions

__all__ = [
    "RESULTS",
    "add_readme_option",
    "failure_lines",
    "insert_table",
    "origin_of",
    "publish",
    "quantile",
    "require_place",
    "search_designs",
    "study_text",
]

RESULTS = Path("configs", "results")
"""Where the data of the README's tables are, from the folder of the README."""


def quantile(values: Sequence[float], share: float) -> float:
    """Return a quantile, between two values in proportion.

    Args:
        values: At least one; may be infinite.
        share: 0.5 for the median.

    Examples:
        >>> quantile([4.0, 1.0, 2.0], 0.5), quantile([1.0, 2.0], 0.25)
        (2.0, 1.25)
    """
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    # Equal values may be infinite, and have no difference then.
    return low if low == high else low + (place - math.floor(place)) * (high - low)


def insert_table(page: str, name: str, table: str) -> str:
    r"""Replace what stands between the markers of a page.

    Args:
        page: The text of the page.
        name: Name of the table, as in the markers `<!-- name:begin -->` and `<!-- name:end -->`.
        table: What to put there.

    Raises:
        ConfigError: If the page does not have each marker once, in their order.

    Examples:
        >>> page = "a\n<!-- rows:begin -->\nold\n<!-- rows:end -->\nb"
        >>> print(insert_table(page, "rows", "new"))
        a
        <!-- rows:begin -->
        new
        <!-- rows:end -->
        b
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, *rest = page.split(begin)
    after = rest[0].split(end) if len(rest) == 1 else []
    if len(after) != 2 or end in before:
        raise ConfigError(f"the page needs the lines {begin} and {end} once each, in this order.")
    return f"{before}{begin}\n{table}\n{end}{after[1]}"


def study_text(study: Mapping[str, Any]) -> str:
    """Return a study as JSON, a line for each of its "runs".

    Args:
        study: Numbers, texts, lists and mappings; none of the numbers may be infinite.
    """
    head = json.dumps({**study, "runs": []}, indent=1, allow_nan=False)
    rows = ",\n".join(f"  {json.dumps(row, allow_nan=False)}" for row in study["runs"])
    return f"{head.removesuffix('[]' + chr(10) + '}')}[\n{rows}\n ]\n}}\n"


def add_readme_option(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the option `--readme`.

    Args:
        parser: Takes the option.
        name: Name of the table.
    """
    parser.add_argument(
        "--readme",
        metavar="FILE",
        type=Path,
        help=f"put the table between the markers of this page, and its data into "
        f"{RESULTS / name}.json beside the page",
    )


def publish(
    study: Mapping[str, Any],
    table: str,
    name: str,
    *,
    out: Path,
    readme: Path | None,
    write: Callable[[str], object],
) -> None:
    """Write a study and its table where they belong.

    Args:
        study: The data.
        table: The table that is made of it.
        name: Name of the table.
        out: Folder of the experiment, for the data.
        readme: Page for the table, with another copy of the data beside it; None for neither.
        write: Takes a line of the result.

    Raises:
        ConfigError: If the page has no place for the table.
        OSError: If a file cannot be read or written.
    """
    targets = [out / f"{name}.json"]
    if readme is not None:
        targets.append(readme.parent / RESULTS / f"{name}.json")
        write_text(readme, insert_table(readme.read_text(encoding="utf-8"), name, table))
    for path in targets:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, study_text(study))
    write(table)
    write(f"\ndata: {', '.join(map(str, targets))}")


def origin_of(
    runs: Sequence[tuple[str, Problem, Sequence[Outcome]]], args: argparse.Namespace
) -> dict[str, Any]:
    """Return what a study says about where its rows come from.

    Args:
        runs: Agents, problems and their outcomes, as `problems.run_seeds` returns them.
        args: The options of `problems.add_run_options`, and the `command_line`.

    Returns:
        The command, budget and seeds; versions of this library, of its commit, of the simulators
        and of the libraries below; the agents with their hyperparameters; and which of them failed.
    """
    every = [outcome for _, _, outcomes in runs for outcome in outcomes if not outcome.error]
    return {
        "command": args.command_line,
        "budget": args.budget,
        "seeds": args.seeds,
        "package_versions": sorted({outcome.package_version for outcome in every}),
        "git_commits": sorted({outcome.git_commit for outcome in every}),
        "simulator_versions": sorted({outcome.simulator_version for outcome in every}),
        "libraries": library_versions(),
        "agents": {
            agent: AGENTS.load(agent).hyperparameters.default()
            for agent in dict.fromkeys(agent for agent, _, _ in runs)
        },
        "failures": _failures(runs),
    }


def require_place(readme: Path | None, name: str) -> None:
    """Raise before the work, which may take hours, if a page has no place for a table.

    Args:
        readme: The page, None if there is none.
        name: Name of the table.

    Raises:
        ConfigError: If there is no place.
        OSError: If the page cannot be read.
    """
    if readme is not None:
        insert_table(readme.read_text(encoding="utf-8"), name, "")


def search_designs(
    args: argparse.Namespace,
    write: Callable[[str], object],
    *,
    name: str,
    problems: Sequence[Problem],
    kept: Mapping[str, str],
    render: Callable[[Mapping[str, Any]], str],
) -> int:
    """Let agents look for good designs, and publish what they found.

    Args:
        args: The options of the experiment.
        write: Takes a line of the result.
        name: Name of the table.
        problems: What is designed.
        kept: What is kept of the best design of a run: name in the study to name of the metric,
            first the one that was minimised.
        render: Makes the table of a study.

    Returns:
        0, or 1 if a run failed.

    Raises:
        ConfigError: If the page has no place for the table.
        OSError: If a file cannot be read or written.
    """
    require_place(args.readme, name)
    # Before the work, too: this finds out what is wrong with an environment.
    baselines = _baselines(problems, next(iter(kept.values())))
    runs = run_seeds([(agent, problem) for agent in args.agents for problem in problems], args)
    study = _study(runs, args, baselines, kept)
    publish(study, render(study), name, out=args.out, readme=args.readme, write=write)
    return 1 if study["failures"] else 0


def _baselines(problems: Sequence[Problem], metric: str) -> list[tuple[Problem, float]]:
    """Return the problems, each with the metric of its baseline design."""
    baselines = []
    for problem in problems:
        env = make_env(problem.env, problem.env_kwargs)
        baselines.append((problem, env.baseline[metric]))
        env.close()
    return baselines


def _study(
    runs: Sequence[tuple[str, Problem, Sequence[Outcome]]],
    args: argparse.Namespace,
    baselines: Sequence[tuple[Problem, float]],
    kept: Mapping[str, str],
) -> dict[str, Any]:
    """Put together what is kept of the runs."""
    metric = next(iter(kept.values()))
    return {
        **origin_of(runs, args),
        "problems": [
            {
                "name": problem.name,
                "env": problem.env,
                "env_kwargs": dict(problem.env_kwargs),
                "metric": metric,
                "baseline": baseline,
            }
            for problem, baseline in baselines
        ],
        "runs": [
            {
                "agent": agent,
                "problem": problem.name,
                **{
                    name: [None if o.metrics is None else o.metrics[of] for o in outcomes]
                    for name, of in kept.items()
                },
                "samples": [outcome.sample for outcome in outcomes],
                "wall_s": [outcome.wall_s for outcome in outcomes],
            }
            for agent, problem, outcomes in runs
        ],
    }


def _failures(
    runs: Sequence[tuple[str, Problem, Sequence[Outcome]]],
) -> dict[str, dict[str, Any]]:
    """Return which agents failed: the number of runs, and the messages without repetition."""
    failures: dict[str, dict[str, Any]] = {}
    for agent, _, outcomes in runs:
        errors = [outcome.error for outcome in outcomes if outcome.error]
        if errors:
            failed = failures.setdefault(agent, {"runs": 0, "messages": []})
            failed["runs"] += len(errors)
            failed["messages"] = sorted({*failed["messages"], *errors})
    return failures


def failure_lines(study: Mapping[str, Any]) -> list[str]:
    """Return a line for each agent that failed in a study."""
    return [
        f"Failed: {failed['runs']} runs of `{agent}` ({'; '.join(failed['messages'])})."
        for agent, failed in study["failures"].items()
    ]
