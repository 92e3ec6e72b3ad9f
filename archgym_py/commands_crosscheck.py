"""`archgym crosscheck`: the same designs on two simulators, compared metric by metric."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from archgym_py.command_line import count
from archgym_py.config import parse_settings
from archgym_py.crosscheck import (
    Pair,
    agreement,
    common_metrics,
    differs,
    failures,
    table,
    worst_rows,
)
from archgym_py.environment import DesignEnv
from archgym_py.errors import ConfigError, did_you_mean
from archgym_py.evaluator import Evaluator
from archgym_py.files import atomic_path, write_text
from archgym_py.objective import parse_objective
from archgym_py.progress import progress_bar
from archgym_py.report import check_image
from archgym_py.runner import make_env, metrics_evaluator
from archgym_py.simulator import Metric, Simulator, Status
from archgym_py.simulators.proxy import PREFIX
from archgym_py.simulators.stand_in import EMBEDDED, stand_in
from archgym_py.space import Design
from archgym_py.summary import align

__all__ = ["Crosscheck", "add_options", "crosscheck", "feasible_designs", "layers_of", "plot"]

_MISSES: Final = 10_000  # draws in a row without a new feasible design, after which there are none
_BATCH: Final = 256

# Okabe and Ito's colours, which people with any kind of colour vision tell apart.
_COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")


@dataclass(frozen=True, slots=True)
class Crosscheck:
    """The same designs on two simulators.

    Attributes:
        names: What the simulators are called: "embedded", the name of a backend, or "proxy:PATH".
        metrics: The metrics that are compared.
        pairs: The designs with what both say of them.
    """

    names: tuple[str, str]
    metrics: tuple[Metric, ...]
    pairs: tuple[Pair, ...]

    def text(self) -> str:
        """Return tables of the agreement, the failures and the largest disagreements."""
        agreements = [agreement(metric, self.pairs) for metric in self.metrics]
        blocks = [
            f"{self.names[0]} and {self.names[1]}, {len(self.pairs)} designs",
            "\n".join(
                line
                for name, trials in zip(self.names, self._trials, strict=True)
                for line in failures(name, trials)
            ),
            _aligned(table(agreements)),
        ]
        for each in agreements:
            if each.worst:
                rows = worst_rows(each, self.pairs, self.names)
                blocks.append(f"largest disagreements in {each.metric}\n{_aligned(rows)}")
        return "\n\n".join(blocks)

    @property
    def equal(self) -> bool:
        """Whether the simulators agree on every status and every value, to the last bit.

        They do not where no design has been evaluated by both.
        """
        compared = any(pair.both for pair in self.pairs)
        return compared and not differs(self.pairs, self.metrics)

    @property
    def _trials(self) -> tuple[list[Any], list[Any]]:
        return [pair.first for pair in self.pairs], [pair.second for pair in self.pairs]

    def to_csv(self) -> str:
        """Return a table with a line for each design, and columns for both simulators."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        head = ["pair", "workload"]
        for name in self.names:
            head += [f"{what}.{name}" for what in ("status", "message")]
            head += [f"{metric.name}.{name}" for metric in self.metrics]
        parameters = list(dict.fromkeys(name for pair in self.pairs for name in pair.first.design))
        writer.writerow([*head, *(f"design.{name}" for name in parameters)])
        for number, pair in enumerate(self.pairs):
            row: list[Any] = [number, pair.workload]
            for trial in (pair.first, pair.second):
                row += [trial.status.value, trial.message]
                row += [repr(trial.metrics[m.name]) if trial.metrics else "" for m in self.metrics]
            # Spaces of different workloads may have different parameters.
            writer.writerow([*row, *(pair.first.design.get(name, "") for name in parameters)])
        return text.getvalue()


def crosscheck(
    env_id: str,
    backends: Sequence[str],
    *,
    designs: int,
    kwargs: Mapping[str, Any] | None = None,
    workloads: Sequence[Any] = (),
    layers: int | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    metrics: Sequence[str] = (),
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
    start: Callable[[int], object] | None = None,
) -> Crosscheck:
    """Evaluate the same designs on two simulators.

    Args:
        env_id: Gymnasium id of the environment.
        backends: Two of "embedded", names of backends and "proxy:PATH".
        designs: Number of designs for each workload; see `feasible_designs`.
        kwargs: Arguments of the environment, without `simulator`.
        workloads: Its argument `workload`, one after another; by default the one of `kwargs`.
        layers: Number of layers of each workload that are workloads of their own, those of
            different shapes in their order; None for whole workloads.
        options: Arguments of the backends by their names.
        metrics: Names of metrics that are compared; all by default that both report.
        seed: Seed of the designs, and of simulators that are not deterministic.
        progress: Called with a number of evaluations that were made.
        start: Called with the number of all evaluations, before the first one.

    Returns:
        The designs with what both say.

    Raises:
        ConfigError: If an argument is not legal, or there are not enough feasible designs.
        UnknownNameError: If a name is not known.
    """
    arguments = dict(kwargs or {})
    first, second = _checked_names(backends, arguments, options or {})
    if workloads and "workload" in arguments:
        raise ConfigError("the workload is given twice: by --workload and by --set. Leave one out.")
    problems = [{**arguments, "workload": workload} for workload in workloads] or [arguments]
    if layers is not None:
        problems = [
            {**problem, "workload": layer}
            for problem in problems
            for layer in layers_of(env_id, problem, layers)
        ]
    if start is not None:
        start(2 * designs * len(problems))
    pairs: list[Pair] = []
    common: tuple[Metric, ...] | None = None
    for problem in problems:
        with ExitStack() as stack:
            env = make_env(env_id, {**problem, "simulator": EMBEDDED})
            stack.callback(env.close)
            evaluators = []
            for name in (first, second):
                spec = {"backend": name, **options[name]} if options and name in options else name
                simulator = stand_in(spec, env.simulator, env.space)
                stack.callback(simulator.close)
                evaluators.append(_evaluator(env, simulator, seed))
            shared = common_metrics(
                evaluators[0].simulator.metrics, evaluators[1].simulator.metrics, metrics
            )
            # A tool may report less for some workloads.
            kept = {metric.name for metric in shared}
            common = shared if common is None else tuple(m for m in common if m.name in kept)
            label = str(problem.get("workload", ""))
            for design in feasible_designs(env, designs, seed=seed):
                trials = []
                for evaluator in evaluators:
                    trials.append(evaluator.evaluate(design))
                    if progress is not None:
                        progress(1)
                one, other = trials
                pairs.append(Pair(label, one, other, env.space.default()))
    if not common:
        raise ConfigError(
            "no metric is reported by both for all workloads. Compare the workloads one by one."
        )
    return Crosscheck((first, second), common, tuple(pairs))


def feasible_designs(env: DesignEnv, number: int, *, seed: int) -> list[Design]:
    """Draw different designs that the environment's own simulator can evaluate.

    Args:
        env: The environment, with its own simulator.
        number: How many.
        seed: Seed of the draws.

    Returns:
        The designs, the default design first if it is feasible.

    Raises:
        ConfigError: If there seem to be fewer such designs.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    evaluator = metrics_evaluator(env)
    found: dict[str, Design] = {}
    seen: set[str] = set()
    drawn, misses = 0, 0
    candidates = [env.space.default()]
    while len(found) < number and misses < _MISSES:
        before = len(found)
        drawn += len(candidates)
        fresh = {env.space.key(design): design for design in candidates}
        fresh = {key: design for key, design in fresh.items() if key not in seen}
        seen.update(fresh)
        for trial in evaluator.evaluate_batch(list(fresh.values())):
            if trial.status is Status.OK and len(found) < number:
                found[trial.key] = dict(trial.design)
        misses = misses + len(candidates) if len(found) == before else 0
        wanted = max(number - len(found), 8)
        candidates = [env.space.sample(rng) for _ in range(min(2 * wanted, _BATCH))]
    if len(found) < number:
        raise ConfigError(
            f"among {drawn} draws are {len(found)} different feasible designs, and {number} are "
            f"wanted. Ask for fewer with --designs, or choose another space or workload."
        )
    return list(found.values())


def layers_of(env_id: str, kwargs: Mapping[str, Any], number: int) -> list[str]:
    """Return the first layers of a workload that have different shapes, as workloads.

    Args:
        env_id: Gymnasium id of the environment.
        kwargs: Its arguments.
        number: How many.

    Returns:
        Names such as "alexnet/conv1".

    Raises:
        ConfigError: If the workload has no name, has no layers, or has fewer.
    """
    from archgym_py.simulators.dnn.networks import Network, as_network

    workload = kwargs.get("workload")
    if not isinstance(workload, str):
        raise ConfigError(
            f"--layers needs the name of a network, got {workload!r}. Give it with --workload."
        )
    env = make_env(env_id, {**kwargs, "simulator": EMBEDDED})
    try:
        if not isinstance(getattr(env.simulator, "network", None), Network):
            raise ConfigError(f"the workloads of {env_id} have no layers. Leave --layers out.")
    finally:
        env.close()
    first: dict[object, str] = {}
    for layer in as_network(workload).layers:
        first.setdefault(layer.shape_key, layer.name)
    names = list(first.values())
    if len(names) < number:
        raise ConfigError(
            f"{workload} has {len(names)} layers of different shapes, and {number} are wanted. Ask "
            f"for fewer with --layers."
        )
    return [f"{workload}/{name}" for name in names[:number]]


def plot(found: Crosscheck, path: Path) -> None:
    """Draw what one simulator says against what the other one says, a panel for each metric.

    Args:
        found: The designs.
        path: The image; its ending says the format (png, pdf, svg).

    Raises:
        ConfigError: As `check_image`, or if there is no design that both evaluated.
        OSError: If the image cannot be written.
    """
    check_image(path)
    from matplotlib.figure import Figure

    pairs = [pair for pair in found.pairs if pair.both]
    if not pairs:
        raise ConfigError(f"{path}: there is nothing to draw, as no design has both metrics.")
    workloads = list(dict.fromkeys(pair.workload for pair in pairs))
    columns = min(len(found.metrics), 3)
    rows = -(-len(found.metrics) // columns)
    figure = Figure(figsize=(4.2 * columns, 4.0 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels[len(found.metrics) :]:
        panel.remove()
    for metric, panel in zip(found.metrics, panels, strict=False):
        low, high = float("inf"), float("-inf")
        for place, workload in enumerate(workloads):
            own = [pair for pair in pairs if pair.workload == workload]
            a = [pair.first.metrics[metric.name] for pair in own]
            b = [pair.second.metrics[metric.name] for pair in own]
            panel.scatter(
                *(a, b),
                s=14,
                color=_COLOURS[place % len(_COLOURS)],
                alpha=0.7,
                label=workload,
            )
            low, high = min(low, *a, *b), max(high, *a, *b)
        if low > 0 and high > 20 * low:
            panel.set_xscale("log")
            panel.set_yscale("log")
        panel.plot((low, high), (low, high), color="black", linewidth=0.8, zorder=0)
        unit = "" if metric.unit in ("1", metric.name) else f" ({metric.unit})"
        panel.set_title(f"{metric.name}{unit}", fontsize="medium")
        panel.set_xlabel(found.names[0])
        panel.set_ylabel(found.names[1])
        panel.grid(alpha=0.3)
        if 1 < len(workloads) <= len(_COLOURS):
            panel.legend(fontsize="small")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix.removeprefix("."), dpi=150)


def add_options(command: argparse.ArgumentParser) -> None:
    """Declare the options; `action` is a function of them and a writer of lines.

    Args:
        command: The parser of `archgym crosscheck`.
    """

    def repeated(flag: str, metavar: str, what: str, often: str = "may be repeated") -> None:
        command.add_argument(
            flag, metavar=metavar, action="append", default=[], help=f"{what}; {often}"
        )

    command.add_argument("env", metavar="ENV", help="environment; see archgym list envs")
    repeated("--backend", "NAME", f"{EMBEDDED}, a real tool or {PREFIX}PATH", "is given twice")
    command.add_argument(
        "--designs",
        metavar="N",
        type=count,
        default=20,
        help="designs for each workload (default: %(default)s)",
    )
    repeated("--set", "KEY=VALUE", "argument of the environment; the value is YAML")
    repeated("--option", "NAME.KEY=VALUE", "argument of a tool, such as dramsys.program=PATH")
    repeated("--workload", "W", "workload of the environment")
    command.add_argument(
        "--layers",
        metavar="N",
        type=count,
        help="take the first N layers of different shapes of each workload one by one",
    )
    repeated("--metric", "METRIC", "metric to compare (default: all that both report)")
    command.add_argument(
        "--seed", metavar="S", type=int, default=0, help="seed of the designs (default: 0)"
    )
    command.add_argument(
        "--out", metavar="FILE", type=Path, help="scatter plot to draw: png, pdf or svg"
    )
    command.add_argument("--csv", metavar="FILE", type=Path, help="table of all designs to write")
    command.add_argument(
        "--exact",
        action="store_true",
        help="exit code 1 if any status or value differs, or nothing was compared",
    )
    command.set_defaults(action=_crosscheck)


def _crosscheck(args: argparse.Namespace, write: Callable[[str], object]) -> int:
    if args.seed < 0:
        raise ConfigError(f"--seed must not be negative, got {args.seed}.")
    if args.out is not None:
        check_image(args.out)  # before the work
    if args.csv is not None and (args.csv.is_dir() or not args.csv.parent.is_dir()):
        raise ConfigError(f"{args.csv}: must be a file in a folder that exists.")
    with progress_bar(None, "evaluation") as bar:
        found = crosscheck(
            args.env,
            args.backend,
            designs=args.designs,
            kwargs=parse_settings(args.set),
            workloads=args.workload,
            layers=args.layers,
            options=_by_name(parse_settings(args.option)),
            metrics=args.metric,
            seed=args.seed,
            progress=bar.update,
            start=bar.reset,
        )
    write(found.text())
    if args.csv is not None:
        write_text(args.csv, found.to_csv())
        write(f"\ndesigns: {args.csv}")
    if args.out is not None:
        plot(found, args.out)
        write(f"\nscatter plot: {args.out}")
    if args.exact and not found.equal:
        return 1
    return 0


def _by_name(options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return options by the name of the tool, of keys such as "dramsys.program"."""
    sorted_: dict[str, dict[str, Any]] = {}
    for key, value in options.items():
        name, dot, option = key.partition(".")
        if not (name and dot and option):
            raise ConfigError(
                f"--option {key}: must begin with the name of a tool and a dot, such as "
                f"dramsys.program=PATH."
            )
        sorted_.setdefault(name, {})[option] = value
    return sorted_


def _checked_names(
    backends: Sequence[str],
    kwargs: Mapping[str, Any],
    options: Mapping[str, Mapping[str, Any]],
) -> tuple[str, str]:
    if len(backends) != 2 or backends[0] == backends[1]:
        raise ConfigError(
            f"two different simulators are compared, got {', '.join(backends) or 'none'}. Give "
            f"--backend twice, for example --backend {EMBEDDED} --backend dramsys."
        )
    if "simulator" in kwargs:
        raise ConfigError("the simulators are given by --backend. Leave simulator out of --set.")
    for name in options:
        if name not in backends or name == EMBEDDED:
            tools = [each for each in backends if each != EMBEDDED]
            raise ConfigError(
                f"--option {name}. ...: {name!r} is no tool that is compared."
                f"{did_you_mean(name, tools)}"
            )
    return backends[0], backends[1]


def _evaluator(env: DesignEnv, simulator: Simulator, seed: int) -> Evaluator:
    """Return what evaluates designs of an environment on a simulator."""
    # Rewards mean nothing here, and a tool may lack the metrics of the environment's objective.
    objective = parse_objective(
        f"target:{simulator.metrics[0].name}=1", metrics=simulator.metrics, baseline={}
    )
    return Evaluator(env.space, simulator, objective, seed=seed)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Put cells into columns, names to the left and numbers to the right."""
    *most, last = zip(*rows, strict=True)
    if rows[0][-1] != "workload and design":
        return align(rows)
    lines = align(list(zip(*most, strict=True))).splitlines()
    return "\n".join(f"{line}  {text}" for line, text in zip(lines, last, strict=True))
