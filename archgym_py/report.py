"""What logged runs found: tables of the best designs, and curves of progress against samples."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from archgym_py.dataset import LoggedRun, SampleDataset
from archgym_py.errors import ConfigError
from archgym_py.evaluator import Trial
from archgym_py.files import atomic_path
from archgym_py.log import RunInfo
from archgym_py.pareto import ParetoArchive, goals_of, reference_of
from archgym_py.simulator import Status

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "Curve",
    "Finding",
    "best_of_runs",
    "best_so_far",
    "check_image",
    "comparison",
    "curves",
    "hypervolume_so_far",
    "plot_best_so_far",
    "trade_offs",
]

_REWARD = "best reward so far"
_HYPERVOLUME = "hypervolume so far"
_IMAGES = (".png", ".pdf", ".svg")
_TABLE_RUNS = 4  # columns of runs that fit beside the default design on a wide terminal
_FRONT_ROWS = 20  # designs of a front that are worth reading on a terminal

FloatArray: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Finding:
    """The best design of a run.

    Attributes:
        log: The run.
        best: Its feasible sample with the highest reward; None where no sample is feasible.
        pareto: Its best trade-offs where the objective has several goals and a sample is feasible,
            else None.
    """

    log: LoggedRun
    best: Trial | None
    pareto: ParetoArchive | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """How what was found grows with the samples, over runs that differ in their seed.

    That is the best reward so far, and with several goals the hypervolume so far.

    Attributes:
        label: The agent, with those hyperparameters in which it differs from other curves.
        measure: What is drawn.
        runs: Number of runs.
        median: Median over the runs after 1, 2, ... samples, shape (longest run,). NaN as long as
            no run has found a feasible design.
        low: The smallest of the runs, of the same shape.
        high: The largest of the runs, of the same shape.
    """

    label: str
    measure: str
    runs: int
    median: FloatArray
    low: FloatArray
    high: FloatArray


def best_of_runs(path: str | Path) -> list[Finding]:
    """Find the best design of every run.

    Args:
        path: A folder of runs, or the folder of a run.

    Returns:
        One finding for each run, by problem, agent and seed.

    Raises:
        DatasetError: If there is no log, or a file cannot be read.
    """
    findings = []
    for log in _sorted(SampleDataset(path).runs()):
        samples = SampleDataset(log.folder)
        best = samples.best()
        reference = None if best is None else reference_of(log.info.objective, best)
        archive = None if reference is None else ParetoArchive(reference)
        if archive is not None:
            for trial in samples.trials():
                archive.add(trial)
        findings.append(Finding(log, best, archive))
    return findings


def comparison(findings: Iterable[Finding]) -> str:
    """Set the best designs beside the default design, with metrics and units.

    Args:
        findings: Runs on any number of environments.

    Returns:
        Tables as text, one for each environment, a column for each run.
    """
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(_problem(finding.log.info), []).append(finding)
    tables = []
    for problem, group in groups.items():
        tables.append(problem)
        tables += [
            _table(group[start : start + _TABLE_RUNS])
            for start in range(0, len(group), _TABLE_RUNS)
        ]
    return "\n\n".join(tables) + "\n"


def trade_offs(findings: Iterable[Finding]) -> str:
    """List the designs among which several goals leave the choice, with their hypervolume.

    Args:
        findings: Runs on any number of environments; those with one goal are left out.

    Returns:
        Tables as text, one for each run, the best in the first goal first; "" where there is none.
    """
    return "".join(
        f"\n{_front(finding.log, finding.pareto)}\n"
        for finding in findings
        if finding.pareto is not None
    )


def best_so_far(rewards: npt.ArrayLike, feasible: npt.ArrayLike) -> FloatArray:
    """Return the highest feasible reward of each prefix of a run.

    Args:
        rewards: Rewards in the order of the samples, shape (samples,).
        feasible: Whether each sample is feasible, of the same shape.

    Returns:
        Shape (samples,); NaN before the first feasible sample.

    Examples:
        >>> best_so_far([9.0, 1.0, 0.5, 2.0], [False, True, True, True]).tolist()
        [nan, 1.0, 1.0, 2.0]
    """
    best = np.maximum.accumulate(np.where(feasible, np.asarray(rewards, np.float64), -np.inf))
    return np.where(np.isneginf(best), np.nan, best)


def hypervolume_so_far(trials: Iterable[Trial], reference: Sequence[float]) -> FloatArray:
    """Return the hypervolume of each prefix of a run.

    Args:
        trials: The samples of the run in their order.
        reference: The reference point, see `archgym_py.pareto`.

    Returns:
        Shape (samples,).

    Raises:
        ConfigError: If moocore is not installed.
    """
    archive = ParetoArchive(reference)
    volumes: list[float] = []
    for trial in trials:
        if archive.add(trial) or not volumes:
            volumes.append(archive.hypervolume())
        else:
            volumes.append(volumes[-1])
    return np.array(volumes)


def curves(dataset: SampleDataset) -> dict[str, list[Curve]]:
    """Summarise runs as curves, one for each agent and problem.

    Args:
        dataset: The runs.

    Returns:
        The curves by problem: an environment with its arguments and an objective.

    Raises:
        DatasetError: If a file cannot be read.
    """
    problems: dict[str, dict[tuple[str, str], list[FloatArray]]] = {}
    measures: dict[str, str] = {}
    for log in _sorted(dataset.runs()):
        problem = _problem(log.info)
        measures[problem] = _HYPERVOLUME if goals_of(log.info.objective) else _REWARD
        agents = problems.setdefault(problem, {})
        agents.setdefault((log.info.agent, log.info.agent_config), []).append(_progress(log))
    return {
        problem: [
            _curve(label, measures[problem], runs)
            for label, runs in zip(_labels(list(agents)), agents.values(), strict=True)
        ]
        for problem, agents in problems.items()
    }


def check_image(path: str | Path) -> None:
    """Check that an image can be drawn, before the work that goes before it.

    Args:
        path: The image.

    Raises:
        ConfigError: If matplotlib is not installed, the folder does not exist, or the name is that
            of a folder or does not end in a format that is known.
    """
    path = Path(path)
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError(
            "drawing needs matplotlib. Install it with: pip install 'archgym_py[report]'"
        )
    if path.suffix not in _IMAGES:
        raise ConfigError(f"{path}: no such image format. End the name in {', '.join(_IMAGES)}.")
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: the folder {path.parent} does not exist. Create it.")
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder. Name the image to write.")


def plot_best_so_far(dataset: SampleDataset, path: str | Path) -> None:
    """Draw the best reward so far, or with several goals the hypervolume, against the samples.

    A line for each agent, the median of its runs; a band from the worst to the best of them; a
    dashed line for the default design; a panel for each problem. A problem with two goals has a
    second panel with the front of each run.

    Args:
        dataset: The runs.
        path: The image; its ending says the format (png, pdf, svg).

    Raises:
        ConfigError: As `check_image`.
        DatasetError: If a file cannot be read.
        OSError: If the image cannot be written.
    """
    path = Path(path)
    check_image(path)
    from matplotlib.figure import Figure

    problems = curves(dataset)
    fronts = _fronts_of_two(dataset)
    rows = len(problems) + len(fronts)
    figure = Figure(figsize=(7.0, 4.0 * rows), layout="constrained")
    defaults = {_problem(log.info): log.default.reward for log in dataset.runs() if log.default}
    panels = iter(figure.subplots(rows, squeeze=False)[:, 0])
    for problem, lines in problems.items():
        panel = next(panels)
        measure = lines[0].measure
        for line in lines:
            samples = np.arange(1, len(line.median) + 1)
            runs = f" ({line.runs} runs)" if line.runs > 1 else ""
            [drawn] = panel.step(samples, line.median, where="post", label=line.label + runs)
            if line.runs > 1:
                panel.fill_between(
                    samples,
                    line.low,
                    line.high,
                    step="post",
                    color=drawn.get_color(),
                    alpha=0.2,
                    linewidth=0,
                )
        if problem in defaults and measure == _REWARD:
            panel.axhline(defaults[problem], color="black", ls="--", lw=1, label="default design")
        panel.set_title(problem, fontsize="small", wrap=True)
        panel.set_xscale("log")  # most of what is gained is gained early
        panel.set_xlabel("samples")
        panel.set_ylabel(measure)
        panel.legend(loc="lower right")
        panel.grid(alpha=0.3)
        if problem in fronts:
            _draw_fronts(next(panels), problem, fronts[problem])
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix.removeprefix("."), dpi=150)


def _problem(info: RunInfo) -> str:
    """Name what runs have to have in common to be compared."""
    arguments = [f"{name}={value}" for name, value in json.loads(info.env_kwargs).items()]
    return f"{' '.join([info.env_id, *arguments])}, {info.objective}"


def _sorted(logs: Iterable[LoggedRun]) -> list[LoggedRun]:
    """Put runs into an order that people expect: the folders' names end in hashes."""
    return sorted(
        logs,
        key=lambda log: (
            _problem(log.info),
            log.info.agent,
            log.info.agent_config,
            log.info.seed,
            log.rows,
        ),
    )


def _labels(agents: Sequence[tuple[str, str]]) -> list[str]:
    """Name agents by what sets them apart: their name and the hyperparameters that differ."""
    labels = []
    for agent, config in agents:
        own: dict[str, Any] = json.loads(config)
        others = [json.loads(other) for name, other in agents if name == agent]
        differing = [name for name in own if any(o.get(name) != own[name] for o in others)]
        settings = ", ".join(f"{name}={own[name]}" for name in differing)
        labels.append(f"{agent} ({settings})" if settings else agent)
    return labels


def _curve(label: str, measure: str, runs: Sequence[FloatArray]) -> Curve:
    """Summarise runs, each over the samples that it has."""
    values = np.full((len(runs), max(map(len, runs))), np.nan)
    for row, run in zip(values, runs, strict=True):
        row[: len(run)] = run
    median, low, high = np.full((3, values.shape[1]), np.nan)
    known = ~np.isnan(values).all(axis=0)
    median[known] = np.nanmedian(values[:, known], axis=0)
    low[known] = np.nanmin(values[:, known], axis=0)
    high[known] = np.nanmax(values[:, known], axis=0)
    return Curve(label, measure, len(runs), median, low, high)


def _progress(log: LoggedRun) -> FloatArray:
    """Return the hypervolume of each prefix of a run, or where it has one goal its best reward."""
    samples = SampleDataset(log.folder)
    best = samples.best()
    reference = None if best is None else reference_of(log.info.objective, best)
    if reference is not None:
        return hypervolume_so_far(samples.trials(), reference)
    table = samples.table(["reward", "status"])
    feasible = np.array(table.column("status").to_pylist()) == Status.OK.value
    return best_so_far(table.column("reward").to_numpy(), feasible)


def _fronts_of_two(dataset: SampleDataset) -> dict[str, list[Finding]]:
    """Return the runs with two goals by problem."""
    fronts: dict[str, list[Finding]] = {}
    for finding in best_of_runs(dataset.path):
        if finding.pareto is not None and len(finding.pareto.reference) == 2:
            fronts.setdefault(_problem(finding.log.info), []).append(finding)
    return fronts


def _draw_fronts(panel: Axes, problem: str, findings: Sequence[Finding]) -> None:
    """Draw the front of each run, in the units of the two metrics."""
    agents = list(dict.fromkeys((f.log.info.agent, f.log.info.agent_config) for f in findings))
    labels = dict(zip(agents, _labels(agents), strict=True))
    shown: set[str] = set()
    for finding in findings:
        archive, info = cast(ParetoArchive, finding.pareto), finding.log.info
        one, other = goals_of(info.objective)
        front = archive.front
        label = labels[info.agent, info.agent_config]
        panel.step(
            [trial.metrics[one] for trial in front],
            [trial.metrics[other] for trial in front],
            where="post",
            marker=".",
            lw=1,
            color=f"C{agents.index((info.agent, info.agent_config)) % 10}",
            label=label if label not in shown else None,
        )
        shown.add(label)
        panel.set_xlabel(f"{one} ({finding.log.units[one]})")
        panel.set_ylabel(f"{other} ({finding.log.units[other]})")
    if default := findings[0].log.default:
        panel.plot(default.metrics[one], default.metrics[other], "k+", label="default design")
    panel.set_title(f"designs that no other dominates: {problem}", fontsize="small", wrap=True)
    panel.legend()
    panel.grid(alpha=0.3)


def _front(log: LoggedRun, archive: ParetoArchive) -> str:
    """Write the front of a run."""
    goals, front = goals_of(log.info.objective), archive.front
    # What a metric is at the reference point follows from any trial, as rewards are logarithms.
    limits = {
        goal: front[0].metrics[goal] * math.exp(reward - limit)
        for goal, reward, limit in zip(goals, front[0].rewards, archive.reference, strict=True)
    }
    point = ", ".join(f"{goal} {limits[goal]:.6g} {log.units[goal]}" for goal in goals)
    try:
        volume = f"{archive.hypervolume():.6g}"
    except ConfigError as error:
        volume = f"not known: {error}"
    rows = [["sample", *(f"{goal} ({log.units[goal]})" for goal in goals)]]
    rows += [
        [f"{trial.index + 1}", *(f"{trial.metrics[goal]:.6g}" for goal in goals)]
        for trial in front[:_FRONT_ROWS]
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        f"{log.info.agent} seed {log.info.seed}: {len(front)} designs that no other dominates",
        f"hypervolume {volume} (reference point: {point})",
        *(
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in rows
        ),
    ]
    if len(front) > _FRONT_ROWS:
        lines.append(f"and {len(front) - _FRONT_ROWS} more")
    return "\n".join(lines)


def _table(group: Sequence[Finding]) -> str:
    """Write the findings on one problem beside the default design."""
    default = next((finding.log.default for finding in group if finding.log.default), None)
    infos = [finding.log.info for finding in group]
    labels = _labels([(info.agent, info.agent_config) for info in infos])
    names = [f"{label} seed {info.seed}" for label, info in zip(labels, infos, strict=True)]
    if len(set(names)) < len(names):  # they differ in their budget only
        names = [f"{name} run {info.run_id}" for name, info in zip(names, infos, strict=True)]
    rows = [["", "default", *names, "unit"]]

    def add(name: str, default_value: Any, best_values: Iterable[Any], unit: str = "") -> None:
        rows.append([name, _cell(default_value), *map(_cell, best_values), unit])

    bests = [finding.best for finding in group]
    add("sample", None, [None if best is None else f"{best.index + 1}" for best in bests])
    add("reward", default and default.reward, [best and best.reward for best in bests])
    for metric, unit in group[0].log.units.items():
        add(
            metric,
            default and default.metrics.get(metric),
            [best and best.metrics.get(metric) for best in bests],
            "" if unit == "1" else unit,
        )
    designs = [default and default.design, *(best and best.design for best in bests)]
    for parameter in next((design for design in designs if design), {}):
        first, *others = [design and design.get(parameter) for design in designs]
        add(parameter, first, others)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if 0 < column < len(row) - 1 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)
