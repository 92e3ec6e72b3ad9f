"""`archgym explain`: where the metrics of a design come from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archgym_py.config import plain, unique_object
from archgym_py.dataset import SampleDataset
from archgym_py.errors import ConfigError, InfeasibleDesign, SimulatorError
from archgym_py.explanation import Explanation
from archgym_py.files import atomic_path
from archgym_py.log import DatasetError
from archgym_py.registry import SIMULATORS
from archgym_py.report import check_image
from archgym_py.runner import make_env, metrics_evaluator
from archgym_py.simulator import Explainable, Status
from archgym_py.space import Design

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Explained",
    "LoggedDesign",
    "best_design",
    "draw",
    "energy_bars",
    "explain_design",
    "plot",
    "read_design",
]

_PJ_PER_UJ = 1e6
_NAMED_RUNS = 4  # folders that a message lists

# Okabe and Ito's colours, which people with any kind of colour vision tell apart.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#F0E442", "#56B4E9", "#CC79A7", "#D55E00", "#999999")
_HATCHES = ("", "//", "..", "xx")


@dataclass(frozen=True, slots=True)
class LoggedDesign:
    """A design of a run, with its environment.

    Attributes:
        env_id: Gymnasium id of the environment.
        env_kwargs: The arguments that it was given.
        design: The design.
    """

    env_id: str
    env_kwargs: Mapping[str, Any]
    design: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Explained:
    """A design with its metrics and where they come from.

    Attributes:
        env_id: Gymnasium id of the environment.
        env_kwargs: Its arguments.
        design: The design.
        metrics: Its metrics.
        units: The unit of each metric.
        explanation: The parts that the metrics are made of.
    """

    env_id: str
    env_kwargs: Mapping[str, Any]
    design: Design
    metrics: Mapping[str, float]
    units: Mapping[str, str]
    explanation: Explanation

    def text(self, *, nests: bool = False) -> str:
        """Return tables of the parts and of the metrics.

        Args:
            nests: Whether the texts of the parts follow.

        Raises:
            ConfigError: If they are wanted and there are none.
        """
        width = max(map(len, self.metrics))
        lines = [self.explanation.table(), "", "metrics of the design"]
        for name, value in self.metrics.items():
            unit = "" if self.units[name] == "1" else f" {self.units[name]}"
            lines.append(f"{name:<{width}}  {value:.6g}{unit}")
        if nests:
            self.check_nests()
            for row in self.explanation.rows:
                lines += ["", row.text]
        return "\n".join(lines)

    def to_mapping(self, *, nests: bool = False) -> dict[str, Any]:
        """Return everything as plain data, ready for JSON.

        Args:
            nests: Whether the parts have their texts.

        Raises:
            ConfigError: If they are wanted and there are none.
        """
        if nests:
            self.check_nests()
        return {
            "env": self.env_id,
            "env_kwargs": dict(self.env_kwargs),
            "design": dict(self.design),
            "metrics": dict(self.metrics),
            "metric_units": dict(self.units),
            "explanation": self.explanation.to_mapping(text=nests),
        }

    def check_nests(self) -> None:
        """Refuse to write texts that the simulator does not give.

        Raises:
            ConfigError: If a part has none.
        """
        if not all(row.text for row in self.explanation.rows):
            raise ConfigError(f"{self.env_id} has no loop nests to show. Leave --nest out.")


def explain_design(
    env_id: str,
    *,
    kwargs: Mapping[str, Any] | None = None,
    design: Mapping[str, Any] | None = None,
    use_defaults: bool = False,
) -> Explained:
    """Evaluate a design and explain its metrics.

    Args:
        env_id: Gymnasium id of the environment.
        kwargs: Arguments of the environment.
        design: The design; the default design of the environment if None.
        use_defaults: Whether parameters that the design does not have take their default. Otherwise
            every parameter has to be there.

    Returns:
        The metrics and the explanation.

    Raises:
        UnknownNameError: If no environment has the id.
        ConfigError: If the environment does not take the arguments, or cannot explain its designs.
        DesignError: If the design is not in the space.
        InfeasibleDesign: If the design is infeasible.
        SimulatorError: If it cannot be evaluated for another reason.

    Examples:
        >>> found = explain_design("ArchGym/SystolicArray-v0", kwargs={"workload": "alexnet"})
        >>> [row.name for row in found.explanation.rows][:3]
        ['conv1', 'conv2', 'conv3']
        >>> found.explanation.totals["cycles"] == found.metrics["cycles"]
        True
    """
    arguments = plain(dict(kwargs or {}), "env_kwargs")
    env = make_env(env_id, arguments)
    try:
        simulator = env.simulator
        if not isinstance(simulator, Explainable):
            raise ConfigError(
                f"{env_id}: its simulator {simulator.name!r} does not explain designs. Take an "
                f"environment of one that does: {_explaining()}."
            )
        if design is None:
            design = env.space.default()
        elif use_defaults:
            design = env.space.fill_defaults(design)
        trial = metrics_evaluator(env).evaluate(design)
        if trial.status is not Status.OK:
            failure = InfeasibleDesign if trial.status is Status.INFEASIBLE else SimulatorError
            raise failure(f"the design is {trial.status} and has no metrics: {trial.message}")
        return Explained(
            env_id,
            arguments,
            dict(trial.design),
            trial.metrics,
            {metric.name: metric.unit for metric in simulator.metrics},
            simulator.explain(dict(trial.design)),
        )
    finally:
        env.close()


def _explaining() -> str:
    """Name the simulators that explain designs."""
    return ", ".join(
        repr(name) for name in SIMULATORS.names() if hasattr(SIMULATORS.load(name), "explain")
    )


def best_design(path: str | Path) -> LoggedDesign:
    """Read the best design of a run.

    Args:
        path: The folder of the run, or one that holds no other run.

    Raises:
        DatasetError: If there is no run or there are several, a file cannot be read, or no sample
            is feasible.
    """
    samples = SampleDataset(path)
    logs = samples.runs()
    if len(logs) > 1:
        names = ", ".join(str(log.folder) for log in logs[:_NAMED_RUNS])
        more = ", ..." if len(logs) > _NAMED_RUNS else ""
        raise DatasetError(
            f"{path}: holds {len(logs)} runs. Name the folder of one of them: {names}{more}."
        )
    best = samples.best()
    if best is None:
        raise DatasetError(f"{path}: no sample is feasible. Name a run that found a design.")
    info = logs[0].info
    return LoggedDesign(info.env_id, json.loads(info.env_kwargs), best.design)


def read_design(text: str, where: str) -> dict[str, Any]:
    """Read a design from JSON.

    Args:
        text: An object with a value for each parameter.
        where: Where it is from, for the message.

    Raises:
        ConfigError: If it is not valid JSON, no object, or has a key twice.

    Examples:
        >>> read_design('{"lanes": 8}', "--design")
        {'lanes': 8}
    """
    try:
        design = json.loads(text, object_pairs_hook=unique_object)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not valid JSON: {error}.") from None
    if not isinstance(design, dict):
        raise ConfigError(f"{where}: a design is a JSON object of parameters, got {design!r}.")
    return design


def energy_bars(explanation: Explanation) -> dict[str, list[float]]:
    """Return what the plot stacks.

    Args:
        explanation: The explanation.

    Returns:
        For each component that takes energy, that of all occurrences of each row, in uJ.
    """
    return {
        component: [row.count * row.energy_pj[component] / _PJ_PER_UJ for row in explanation.rows]
        for component, energy in explanation.energy_pj.items()
        if energy > 0.0
    }


def draw(explanation: Explanation) -> Figure:
    """Draw the energy of each row by component, and below it its time.

    Args:
        explanation: The explanation. A row counts as often as it occurs.

    Returns:
        The figure, with a panel for the energy and one for the time.
    """
    from matplotlib.figure import Figure

    rows = explanation.rows
    places = range(len(rows))
    figure = Figure(figsize=(max(7.0, min(40.0, 3.0 + 0.3 * len(rows))), 6.5), layout="constrained")
    energy, time = figure.subplots(2, sharex=True, height_ratios=(2, 1))
    below = [0.0] * len(rows)
    bars = energy_bars(explanation)
    colours = cycle(_COLOURS)
    for number, (component, heights) in enumerate(bars.items()):
        energy.bar(
            places,
            heights,
            bottom=below,
            label=component,
            color=next(colours),
            hatch=_HATCHES[number // len(_COLOURS) % len(_HATCHES)],
            edgecolor="white",
            linewidth=0.5,
        )
        below = [low + height for low, height in zip(below, heights, strict=True)]
    # Components are stacked upwards, so the legend is read downwards.
    figure.legend(reverse=True, loc="outside right center")
    figure.suptitle(explanation.title, fontsize="small", wrap=True)
    energy.set_ylabel("energy (uJ)")
    column = next(column for column in explanation.columns if column.name == explanation.time)
    time.bar(places, [row.count * float(row.values[column.name]) for row in rows], color="#444444")
    time.set_ylabel(column.name if column.unit == "1" else f"{column.name} ({column.unit})")
    names = [row.name if row.count == 1 else f"{row.count} x {row.name}" for row in rows]
    time.set_xticks(places, names, rotation=90)
    time.set_xlabel(explanation.part)
    time.set_xlim(-0.6, len(rows) - 0.4)
    for panel in (energy, time):
        panel.grid(axis="y", alpha=0.3)
        panel.set_axisbelow(True)
    return figure


def plot(explanation: Explanation, path: str | Path) -> None:
    """Write the picture of `draw` to a file.

    Args:
        explanation: The explanation.
        path: The image; its ending says the format (png, pdf, svg).

    Raises:
        ConfigError: As `archgym_py.report.check_image`.
        OSError: If the image cannot be written.
    """
    path = Path(path)
    check_image(path)
    with atomic_path(path) as temporary:
        draw(explanation).savefig(temporary, format=path.suffix.removeprefix("."), dpi=150)
