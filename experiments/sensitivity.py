"""Which parameters of a design matter, alone and in pairs.

    $ archgym experiment sensitivity --env ArchGym/Toy-v0 --metric cost_usd --metric delay_ns
    $ archgym experiment sensitivity --logs runs --metric energy_pj --out analysis

With `--env` every design is evaluated, and the shares of the variance are exact. With `--logs` a
random forest is fitted to the feasible samples of runs, one forest for each problem: an environment
with its arguments, an objective and a version of the simulator. `archgym_py.importance` says what
the shares are and what constraints do to them.

Samples of agents that search are not spread evenly over the space: they crowd where the agent found
good designs, and the forest guesses elsewhere, though every design counts alike in its shares. Take
the samples of `random_search` or `quasi_random` where you can, and look at the out-of-bag R² in any
case. It is that of designs like the sampled ones.

Metrics span decades, so that their logarithm is analysed: a share then tells of ratios. Rewards are
logarithms by themselves.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from archgym_py.checks import integer
from archgym_py.command_line import count
from archgym_py.config import parse_settings, plain
from archgym_py.dataset import LoggedRun, SampleDataset
from archgym_py.environment import DesignEnv
from archgym_py.errors import (
    ArchGymError,
    ConfigError,
    DesignError,
    SpaceError,
    did_you_mean,
    require,
)
from archgym_py.files import atomic_path, write_text
from archgym_py.importance import (
    MAX_VALUES,
    ForestImportance,
    Importance,
    exact_importance,
    forest_importance,
)
from archgym_py.log import DatasetError
from archgym_py.runner import make_env, metrics_evaluator
from archgym_py.simulator import Status
from archgym_py.space import ParameterSpace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
from archgym_py.progress import progress_bar
from archgym_py.summary import align
from archgym_py.versions import library_versions

__all__ = [
    "SensitivityExperiment",
    "Skipped",
    "analyse_every_design",
    "analyse_logs",
    "draw",
    "render",
]

REWARD = "reward"
"""The column of logs that is analysed by default."""

MAX_DESIGNS = 2_000_000
"""Most designs that are evaluated one by one: some minutes for a simulator of 0.1 ms."""

MAX_ROWS = 10_000
"""Most samples that a forest is fitted to by default, which takes seconds, and a minute where ten
parameters are continuous."""

_ROWS_PER_PARAMETER = 10
"""Samples that a model needs for each input, by the rule of Loeppky, Sacks, Welch (Technometrics
51, 2009)."""

_GOOD_R2 = 0.7
"""Below this the forest leaves so much unexplained that its shares need a warning."""

_DATA, _IMAGE = "sensitivity.json", "sensitivity.png"
_OTHER_SPACE = "the environment has another space now than when the runs were logged."
_BATCH = 4096
_LISTED = 10  # interactions in the table; the file has all
_DRAWN = 12  # parameters in the image; more would be too small to read
_EVEN = ("quasi_random", "random_search")
"""Agents whose samples are spread evenly."""


# --- Analysis ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Skipped:
    """A problem of which the logs do not tell enough.

    Attributes:
        problem: The environment with its arguments, and the objective.
        metric: What was asked for.
        reason: What is missing, and what to do about it.
    """

    problem: str
    metric: str
    reason: str


def analyse_every_design(
    env_id: str,
    metrics: Sequence[str],
    *,
    kwargs: Mapping[str, Any] | None = None,
    linear: bool = False,
    start: Callable[[int | None], None],
    progress: Callable[[int], object],
) -> list[dict[str, Any]]:
    """Evaluate every design of an environment, and analyse metrics exactly.

    Args:
        env_id: Gymnasium id of the environment.
        metrics: Names of the metrics.
        kwargs: Arguments of the environment.
        linear: Whether to analyse the metrics themselves, not their logarithms.
        start: Called once with the number of designs.
        progress: Called with the number of designs that were done since the last call.

    Returns:
        An analysis of each metric: plain data.

    Raises:
        ConfigError: If a metric does not exist, is named twice, none is named, has no logarithm or
            is the same for all designs; or if the designs are too many.
    """
    _check_metrics(metrics)
    arguments = plain(dict(kwargs or {}), "env_kwargs")
    env = make_env(env_id, arguments)
    try:
        units = {metric.name: metric.unit for metric in env.simulator.metrics}
        for name in metrics:
            if name not in units:
                raise ConfigError(f"{env_id} has no metric {name!r}.{did_you_mean(name, units)}")
        _check_size(env_id, env.space)
        start(env.space.count_canonical())
        numbers, values, statuses = _evaluate_all(env, metrics, linear, progress)
        if not len(numbers):
            raise ConfigError(f"{env_id}: none of its {statuses.total():,} designs is feasible.")
        counts = [cast(int, parameter.cardinality) for parameter in env.space.parameters]
        active = env.space.batch((numbers + 0.5) / np.array(counts)).active
        analyses = []
        for name, column in zip(metrics, values.T, strict=True):
            try:
                shares = exact_importance(numbers, active, counts, column)
            except ConfigError as error:
                raise ConfigError(f"{env_id}, {name}: {error}") from error
            analyses.append(
                {
                    "source": "every design",
                    "env": env_id,
                    "env_kwargs": arguments,
                    "simulator": env.simulator.name,
                    "simulator_version": env.simulator.version,
                    "metric": name,
                    "unit": units[name],
                    "scale": _scale(name, linear),
                    "designs": len(numbers),
                    "statuses": dict(sorted(statuses.items())),
                    **_shares(env.space.names, shares),
                }
            )
        return analyses
    finally:
        env.close()


def analyse_logs(
    path: str | Path,
    metrics: Sequence[str] = (REWARD,),
    *,
    linear: bool = False,
    seed: int = 0,
    max_rows: int = MAX_ROWS,
) -> tuple[list[dict[str, Any]], list[Skipped]]:
    """Analyse the feasible samples of runs, problem by problem.

    A design counts once, however often it was sampled: of a stochastic simulator its first sample
    counts.

    Args:
        path: A folder of runs, the folder of a run, or one part of it.
        metrics: Names of metrics, or "reward".
        linear: Whether to analyse metrics themselves, not their logarithms.
        seed: Seed of the forests, and of the choice among too many samples.
        max_rows: Most designs that a forest is fitted to; of more, so many are drawn at random.

    Returns:
        An analysis of each metric of each problem, plain data; and what could not be analysed.

    Raises:
        ConfigError: If a metric is named twice or none is, the reward is to be linear, or
            scikit-learn is not installed.
        DatasetError: If there is no log, or a file cannot be read.
    """
    _check_metrics(metrics)
    if linear and REWARD in metrics:
        raise ConfigError(
            "the reward is analysed as it is logged, so that --linear changes nothing. Leave it "
            "out, or name metrics with --metric."
        )
    require("sklearn", extra="proxy")  # once, not for each problem
    dataset = SampleDataset(path)
    problems: dict[tuple[str, str, str, str], list[LoggedRun]] = {}
    for log in dataset.runs():
        info = log.info
        key = (info.env_id, info.env_kwargs, info.objective, info.simulator_version)
        problems.setdefault(key, []).append(log)
    analyses, skipped = [], []
    for key in sorted(problems):
        logs = problems[key]
        for name in metrics:
            try:
                analyses.append(_analyse_problem(dataset, logs, name, linear, seed, max_rows))
            except ArchGymError as error:
                problem = _problem(key[0], json.loads(key[1]), key[2])
                skipped.append(Skipped(problem, name, str(error)))
    return analyses, skipped


def _analyse_problem(
    dataset: SampleDataset,
    logs: Sequence[LoggedRun],
    metric: str,
    linear: bool,
    seed: int,
    max_rows: int,
) -> dict[str, Any]:
    """Fit a forest to the samples of runs on one problem, and analyse it."""
    info = logs[0].info
    units = {name: unit for log in logs for name, unit in log.units.items()}
    if metric not in (REWARD, *units):
        raise ConfigError(
            f"the runs have no metric {metric!r}.{did_you_mean(metric, [*units, REWARD])}"
        )
    column = REWARD if metric == REWARD else f"metric.{metric}"
    env = make_env(info.env_id, json.loads(info.env_kwargs))
    space = env.space
    env.close()
    parameters = [f"design.{name}" for name in space.names]
    here = pc.scalar(True)
    for name in ("env_id", "env_kwargs", "objective", "simulator_version"):
        here &= pc.field(name) == getattr(info, name)
    statuses = Counter(dataset.table(["status"], where=here).column("status").to_pylist())
    feasible = (pc.field("status") == Status.OK.value) & pc.field(column).is_valid()
    try:
        rows = dataset.table(["key", column, *parameters], where=here & feasible)
    except DatasetError as error:  # there is a parameter of which the logs know nothing
        raise ConfigError(f"{_OTHER_SPACE} {error}") from error
    firsts: dict[str, int] = {}
    for row, key in enumerate(cast("list[str]", rows.column("key").to_pylist())):
        firsts.setdefault(key, row)
    needed = _ROWS_PER_PARAMETER * len(parameters)
    if len(firsts) < needed:
        raise ConfigError(
            f"{len(firsts)} different feasible designs in {statuses.total():,} samples are too few "
            f"for a forest: it needs {needed}, {_ROWS_PER_PARAMETER} for each parameter. Log more, "
            "say with the agent random_search."
        )
    chosen = np.array(list(firsts.values()))
    if len(chosen) > max_rows:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, max_rows, replace=False))
    rows = rows.take(chosen)
    designs = rows.select(parameters).rename_columns(list(space.names)).to_pylist()
    try:
        positions = np.stack([space.to_unit(design) for design in designs])
    except DesignError as error:
        raise ConfigError(f"{_OTHER_SPACE} {error}") from error
    logged = cast("list[float]", rows.column(column).to_pylist())
    values = [_scaled(metric, value, linear) for value in logged]
    found = forest_importance(
        positions,
        space.batch(positions).active,
        [parameter.cardinality for parameter in space.parameters],
        values,
        seed=seed,
    )
    agents: Counter[str] = Counter()
    for log in logs:
        agents[log.info.agent] += log.rows
    return {
        "source": "logged samples",
        "env": info.env_id,
        "env_kwargs": json.loads(info.env_kwargs),
        "objective": info.objective,
        "simulator": info.simulator,
        "simulator_version": info.simulator_version,
        "metric": metric,
        "unit": "" if metric == REWARD else units[metric],
        "scale": _scale(metric, linear),
        "samples": statuses.total(),
        "statuses": dict(sorted(statuses.items())),
        "constraints": [constraint.name for constraint in space.constraints],
        "agents": dict(sorted(agents.items())),
        "feasible_designs": len(firsts),
        "designs": len(chosen),
        "trees": found.trees,
        "seed": seed,
        "r2": found.r2,
        **_shares(space.names, found.shares, found),
    }


def _evaluate_all(
    env: DesignEnv, metrics: Sequence[str], linear: bool, progress: Callable[[int], object]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], Counter[str]]:
    """Evaluate every design of an environment.

    Returns:
        The numbers of the values of the feasible designs, shape (m, n); what is analysed of their
        metrics, shape (m, metrics); and the number of designs by status.
    """
    statuses: Counter[str] = Counter()
    numbers = [np.empty((0, len(env.space.names)), np.int64)]
    values = [np.empty((0, len(metrics)))]
    evaluator = metrics_evaluator(env)
    designs = env.space.iter_canonical()
    while batch := list(islice(designs, _BATCH)):
        trials = evaluator.evaluate_batch(batch)
        statuses.update(trial.status.value for trial in trials)
        feasible = [trial for trial in trials if trial.status is Status.OK]
        if feasible:
            numbers.append(np.stack([env.space.encode(trial.design) for trial in feasible]))
            table = [[_scaled(m, trial.metrics[m], linear) for m in metrics] for trial in feasible]
            values.append(np.array(table))
        progress(len(batch))
    return np.concatenate(numbers), np.concatenate(values), statuses


def _check_metrics(metrics: Sequence[str]) -> None:
    if not metrics or len(set(metrics)) < len(metrics):
        raise ConfigError(f"name one or more different metrics, got {list(metrics)}.")


def _check_size(env_id: str, space: ParameterSpace) -> None:
    """Refuse a space whose designs cannot all be evaluated, or not all be put into tables."""
    remedy = (
        f"Analyse samples of it: archgym run --env {env_id} --agent random_search --budget 2000 "
        "--out DIR, then this command with --logs DIR."
    )
    try:
        # Without its constraints, because counting those that satisfy them is enumerating.
        designs = ParameterSpace(space.parameters).count_canonical()
    except SpaceError as error:
        raise ConfigError(f"{env_id}: {error} Or: {remedy}") from error
    if designs > MAX_DESIGNS:
        raise ConfigError(
            f"{env_id} has {designs:,} designs, and no more than {MAX_DESIGNS:,} are evaluated one "
            f"by one. {remedy}"
        )
    for parameter in space.parameters:
        if cast(int, parameter.cardinality) > MAX_VALUES:
            raise ConfigError(
                f"{env_id}: parameter {parameter.name!r} has {parameter.cardinality:,} values, and "
                f"tables for pairs of parameters have room for {MAX_VALUES:,}. {remedy}"
            )


def _scaled(metric: str, value: float, linear: bool) -> float:
    """Return what is analysed of a value of a metric."""
    if linear or metric == REWARD:
        return value
    if value <= 0.0:
        raise ConfigError(
            f"{metric} is {value} for some design, which has no logarithm. Analyse the metric "
            "itself with --linear."
        )
    return math.log(value)


def _scale(metric: str, linear: bool) -> str:
    return "linear" if linear or metric == REWARD else "log"


def _shares(
    names: Sequence[str], shares: Importance, forest: ForestImportance | None = None
) -> dict[str, Any]:
    """Return shares as plain data, the largest first."""
    main: list[dict[str, Any]] = []
    for i in np.argsort(-(shares.main + shares.in_pairs), kind="stable").tolist():
        entry: dict[str, Any] = {
            "parameter": names[i],
            "share": float(shares.main[i]),
            "in_pairs": float(shares.in_pairs[i]),
        }
        if forest is not None:
            entry["spread"] = float(forest.main_spread[i])
        main.append(entry)
    interactions: list[dict[str, Any]] = []
    for i, j in combinations(range(len(names)), 2):
        entry = {"parameters": [names[i], names[j]], "share": float(shares.interactions[i, j])}
        if forest is not None:
            entry["spread"] = float(forest.interaction_spread[i, j])
        interactions.append(entry)
    return {
        "deviation": shares.deviation,
        "main": main,
        "interactions": sorted(interactions, key=lambda entry: -entry["share"]),
        "higher_order": shares.higher_order,
    }


# --- Tables and images ---------------------------------------------------------------------------


def render(analysis: Mapping[str, Any]) -> str:
    """Make the tables of an analysis.

    Args:
        analysis: One of what `analyse_every_design` and `analyse_logs` return.

    Returns:
        Lines of text: where the shares are from, the parameters by their importance, which is what
        they do alone and in all their pairs, and the largest interactions.
    """
    rows = [["parameter", "alone", "in pairs"]]
    rows += [
        [entry["parameter"], _percent(entry), f"{entry['in_pairs']:.1%}"]
        for entry in analysis["main"]
    ]
    if analysis["higher_order"] is not None:  # which rounding may bring below 0
        rows.append(["three and more together", f"{abs(analysis['higher_order']):.1%}", ""])
    pairs = [
        [" × ".join(entry["parameters"]), _percent(entry)]
        for entry in analysis["interactions"][:_LISTED]
    ]
    blocks = [_title(analysis), *_origin(analysis), "", align(rows)]
    if pairs:  # a space may have a single parameter
        blocks += ["", align([["largest interactions", "share"], *pairs])]
    return "\n".join(blocks)


def _title(analysis: Mapping[str, Any]) -> str:
    problem = _problem(analysis["env"], analysis["env_kwargs"], analysis.get("objective"))
    scale = "log of " if analysis["scale"] == "log" else ""
    return f"{scale}{analysis['metric']}: {problem}"


def _problem(env: str, kwargs: Mapping[str, Any], objective: str | None) -> str:
    arguments = [f"{name}={value}" for name, value in kwargs.items() if name != "objective"]
    return " ".join([env, *arguments]) + ("" if objective is None else f", {objective}")


def _origin(analysis: Mapping[str, Any]) -> list[str]:
    """Say what the shares are made of, and how far to trust them."""
    designs, deviation = f"{analysis['designs']:,}", analysis["deviation"]
    unit = "" if analysis["unit"] == "1" else analysis["unit"]
    lines = [
        f"standard deviation: {deviation:.4g} {unit}".rstrip()
        if analysis["scale"] == "linear"
        else f"standard deviation: a factor of {math.exp(deviation):.4g}"
    ]
    if "r2" in analysis:
        agents = ", ".join(f"{name} {rows:,}" for name, rows in analysis["agents"].items())
        used = (
            f"{designs} drawn from {analysis['feasible_designs']:,} different feasible designs"
            if analysis["designs"] < analysis["feasible_designs"]
            else f"{designs} different feasible designs"
        )
        lines.append(f"{used} of {analysis['samples']:,} samples ({agents})")
        lines.append(
            f"shares of a random forest: mean ± standard deviation of {analysis['trees']} trees, "
            f"out-of-bag R² {analysis['r2']:.3f}"
        )
        failed = analysis["samples"] - analysis["statuses"].get(Status.OK.value, 0)
        if failed or analysis["constraints"]:
            names = f" (constraints: {', '.join(analysis['constraints'])})"
            lines.append(
                "the forest guesses a metric for designs too that cannot be built"
                + (names if analysis["constraints"] else "")
            )
        if analysis["r2"] < _GOOD_R2:
            lines.append(
                f"do not trust them: an R² below {_GOOD_R2} is a poor fit. Log more samples"
            )
        if not set(analysis["agents"]) <= set(_EVEN):
            lines.append(
                "samples of agents that search crowd where they searched; elsewhere the forest "
                "guesses"
            )
    else:
        statuses = ", ".join(f"{rows:,} {name}" for name, rows in analysis["statuses"].items())
        lines.append(f"every design evaluated ({statuses})")
    if analysis["higher_order"] is None:
        lines.append(
            "designs that are left out tie parameters to each other: shares overlap, and need not "
            "add up to 100%"
        )
    return lines


def _percent(entry: Mapping[str, Any]) -> str:
    spread = f" ± {entry['spread']:.1%}" if "spread" in entry else ""
    return f"{entry['share']:.1%}{spread}"


def draw(analyses: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw analyses: bars of main effects beside a map of the interactions, a row for each.

    The most important parameters are drawn, as many as can be read.

    Args:
        analyses: What `analyse_every_design` and `analyse_logs` return.
        path: The image, a PNG file.

    Raises:
        OSError: If the image cannot be written.
    """
    from matplotlib.figure import Figure

    drawn = [analysis["main"][:_DRAWN] for analysis in analyses]
    heights = [1.8 + 0.32 * max(len(entries), 6) for entries in drawn]
    figure = Figure(figsize=(13.0, sum(heights)), layout="constrained")
    rows = figure.subfigures(len(analyses), height_ratios=heights, squeeze=False)[:, 0]
    for row, analysis, entries in zip(rows, analyses, drawn, strict=True):
        some = f" ({_DRAWN} of {len(analysis['main'])} parameters)"
        title = _title(analysis) + (some if len(analysis["main"]) > _DRAWN else "")
        row.suptitle(title, fontsize="medium", wrap=True)
        bars, heat = row.subplots(1, 2)
        _draw_main(bars, entries, analysis.get("r2"))
        _draw_interactions(
            heat, [entry["parameter"] for entry in entries], analysis["interactions"]
        )
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _draw_main(panel: Axes, entries: Sequence[Mapping[str, Any]], r2: float | None) -> None:
    places = np.arange(len(entries))
    shares, in_pairs = (
        [100.0 * entry[part] for entry in entries] for part in ("share", "in_pairs")
    )
    panel.set_axisbelow(True)
    panel.barh(places, shares, label="alone (main effect)")
    panel.barh(places, in_pairs, left=shares, alpha=0.35, color="C0", label="in pairs")
    if r2 is not None:
        spreads = [100.0 * entry["spread"] for entry in entries]
        panel.errorbar(shares, places, xerr=spreads, fmt="none", ecolor="black", capsize=2)
    panel.set_yticks(places, [entry["parameter"] for entry in entries])
    panel.invert_yaxis()
    panel.set_xlim(left=0.0)
    panel.set_xlabel("% of the variance" + ("" if r2 is None else f" (out-of-bag R² {r2:.3f})"))
    panel.grid(axis="x", alpha=0.3)
    panel.legend(loc="lower right")


def _draw_interactions(
    panel: Axes, names: Sequence[str], interactions: Sequence[Mapping[str, Any]]
) -> None:
    """Draw the lower triangle of the table of interactions."""
    table = np.full((len(names), len(names)), np.nan)
    for entry in interactions:
        if set(entry["parameters"]) <= set(names):
            one, other = sorted(names.index(name) for name in entry["parameters"])
            table[other, one] = 100.0 * entry["share"]
    drawn = panel.imshow(np.ma.masked_invalid(table), cmap="Blues", vmin=0.0, aspect="auto")
    panel.set_yticks(range(len(names)), names)
    panel.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    panel.set_title("interaction, % of the variance", fontsize="small")
    panel.figure.colorbar(drawn, ax=panel)
    strongest = np.nanmax(table, initial=0.0)
    for (row, column), share in np.ndenumerate(table):
        if share >= 0.5:  # smaller ones would be noise to read
            colour = "white" if share > 0.6 * strongest else "black"
            text = f"{share:.1f}"
            panel.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)


# --- The experiment ------------------------------------------------------------------------------


class SensitivityExperiment:
    """`archgym experiment sensitivity`."""

    doc: ClassVar[str] = "which parameters of a design matter, alone and in pairs"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.epilog = (
            "examples:\n"
            "  archgym experiment sensitivity --env ArchGym/Toy-v0 --metric cost_usd\n"
            "  archgym experiment sensitivity --logs runs --metric energy_pj --out analysis"
        )
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument(
            "--logs", metavar="DIR", type=Path, help="fit forests to the samples of these runs"
        )
        source.add_argument(
            "--env", metavar="ENV", help="evaluate every design of this environment"
        )
        parser.add_argument(
            "--set",
            metavar="KEY=VALUE",
            action="append",
            default=[],
            help="argument of the environment of --env; the value is YAML; may be repeated",
        )
        parser.add_argument(
            "--metric",
            metavar="NAME",
            action="append",
            default=[],
            help="metric to analyse; may be repeated (default for logs: the reward)",
        )
        parser.add_argument(
            "--linear", action="store_true", help="analyse metrics themselves, not their logarithms"
        )
        parser.add_argument(
            "--seed", metavar="S", type=int, help="seed of the forests of --logs (default: 0)"
        )
        parser.add_argument(
            "--max-rows",
            metavar="N",
            type=count,
            help=f"most designs of --logs that a forest is fitted to (default: {MAX_ROWS})",
        )
        parser.add_argument(
            "--out", metavar="DIR", type=Path, help=f"write {_DATA} and {_IMAGE} here"
        )

    def run(self, args: argparse.Namespace, write: Callable[[str], object]) -> int:
        """Analyse, and write the tables.

        Args:
            args: The options.
            write: Takes a line of the result.

        Returns:
            0, or 1 if a metric of a problem could not be analysed.

        Raises:
            ConfigError: If the options do not fit together, or nothing could be analysed.
            DatasetError: If a log cannot be read.
            OSError: If a file cannot be written.
        """
        if args.out is not None:
            args.out.mkdir(parents=True, exist_ok=True)  # before the work
        skipped: list[Skipped] = []
        if args.env is not None:
            analyses = _analyse_env(args)
        else:
            analyses, skipped = _analyse_dir(args)
        if not analyses:
            raise ConfigError("\n".join(map(_told, skipped)))
        for analysis in analyses:
            write(f"{render(analysis)}\n")
        for problem in skipped:
            write(f"not analysed: {_told(problem)}")
        if args.out is not None:
            _publish(args, analyses, skipped, write)
        return 1 if skipped else 0


def _analyse_env(args: argparse.Namespace) -> list[dict[str, Any]]:
    for option, value in (("--seed", args.seed), ("--max-rows", args.max_rows)):
        if value is not None:
            raise ConfigError(
                f"{option} is an option of --logs: without a forest nothing is drawn."
            )
    if not args.metric:
        raise ConfigError("--metric is missing. Name what to analyse of the designs of --env.")
    with progress_bar(None, "design") as bar:
        return analyse_every_design(
            args.env,
            args.metric,
            kwargs=parse_settings(args.set),
            linear=args.linear,
            start=bar.reset,
            progress=bar.update,
        )


def _analyse_dir(args: argparse.Namespace) -> tuple[list[dict[str, Any]], list[Skipped]]:
    if args.set:
        raise ConfigError("--set is an option of --env: logged runs have their own arguments.")
    return analyse_logs(
        args.logs,
        args.metric or (REWARD,),
        linear=args.linear,
        seed=0 if args.seed is None else integer("--seed", args.seed, 0, 2**63 - 1),
        max_rows=MAX_ROWS if args.max_rows is None else args.max_rows,
    )


def _told(skipped: Skipped) -> str:
    return f"{skipped.metric} of {skipped.problem}: {skipped.reason}"


def _publish(
    args: argparse.Namespace,
    analyses: Sequence[Mapping[str, Any]],
    skipped: Sequence[Skipped],
    write: Callable[[str], object],
) -> None:
    """Write the data, and where it can be drawn the image."""
    study = {
        "command": args.command_line,
        "versions": library_versions(),
        "analyses": analyses,
        "skipped": [asdict(problem) for problem in skipped],
    }
    write_text(args.out / _DATA, json.dumps(study, indent=1, allow_nan=False) + "\n")
    write(f"data: {args.out / _DATA}")
    if importlib.util.find_spec("matplotlib") is None:
        write("no image: drawing needs matplotlib, pip install 'archgym_py[report]'")
        return
    draw(analyses, args.out / _IMAGE)
    write(f"image: {args.out / _IMAGE}")
