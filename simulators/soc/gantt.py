"""Schedules as tables and as Gantt charts.

>>> rows = [
...     ScheduleRow("fft", job=0, pe=1, start=0.0, finish=12.0),
...     ScheduleRow("viterbi", job=0, pe=0, start=12.5, finish=14.5),
... ]
>>> print(schedule_table(rows, pe_names=("VIT", "FFT")), end="")
task,job,pe,pe_name,start_us,finish_us
fft,0,1,FFT,0.0,12.0
viterbi,0,0,VIT,12.5,14.5
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final

from archgym_py.checks import integer, number
from archgym_py.errors import ConfigError, require

__all__ = ["ScheduleRow", "draw_gantt", "schedule_table"]

_IMAGES: Final = (".png", ".svg", ".pdf")
_MAX_LEGEND: Final = 12  # jobs that a legend can name
_LABEL_SHARE: Final = 0.012  # width of a character of a label, as a share of the axis

_COLOURS: Final = (
    *("#a0cbe8", "#ffbe7d", "#8cd17d", "#ff9d9a", "#86bcb6"),
    *("#f1ce63", "#d4a6c8", "#fabfd2", "#d7b5a6", "#d0d0d0"),
)
"""Fills of successive jobs on which black text can be read (the light ones of Tableau 20)."""


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """A task that ran.

    Attributes:
        task: Its label.
        job: Number of its job, which says its colour.
        pe: Index of its PE.
        start: Start in µs.
        finish: End in µs.

    Raises:
        ConfigError: If a value is not legal.
    """

    task: str
    job: int
    pe: int
    start: float
    finish: float

    def __post_init__(self) -> None:
        where = f"schedule row {self.task!r}"
        object.__setattr__(self, "job", integer(f"{where}: job", self.job, 0, 2**62))
        object.__setattr__(self, "pe", integer(f"{where}: pe", self.pe, 0, 2**31))
        start = number(f"{where}: start", self.start, 0.0, float("inf"))
        object.__setattr__(self, "start", start)
        finish = number(f"{where}: finish", self.finish, start, float("inf"))
        object.__setattr__(self, "finish", finish)


def schedule_table(rows: Sequence[ScheduleRow], *, pe_names: Sequence[str]) -> str:
    """Return a schedule as CSV text with a header.

    Args:
        rows: The tasks, in the order that the table gets.
        pe_names: Name of each PE.

    Returns:
        Lines of task, job, PE, name of the PE, start and end in µs.

    Raises:
        ConfigError: If a row names a PE that does not exist.
    """
    _check_pes(rows, pe_names)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("task", "job", "pe", "pe_name", "start_us", "finish_us"))
    for row in rows:
        task, job, pe, start, finish = astuple(row)
        writer.writerow((task, job, pe, pe_names[pe], repr(start), repr(finish)))
    return text.getvalue()


def draw_gantt(
    rows: Sequence[ScheduleRow],
    path: str | Path,
    *,
    pe_names: Sequence[str],
    title: str = "",
) -> None:
    """Draw a schedule: a line for each PE, a bar for each task, a colour for each job.

    Args:
        rows: The tasks.
        path: The image; its ending says the format (png, svg, pdf).
        pe_names: Name of each PE; the first one is on top.
        title: What to write above.

    Raises:
        ConfigError: If there is no row, a row names a PE that does not exist, matplotlib is not
            installed, or the path is not that of an image in a folder that exists.
        OSError: If the image cannot be written.
    """
    path = Path(path)
    if not rows:
        raise ConfigError("a Gantt chart must have one task or more, got none.")
    _check_pes(rows, pe_names)
    if path.suffix not in _IMAGES:
        raise ConfigError(f"{path}: no such image format. End the name in {', '.join(_IMAGES)}.")
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: the folder {path.parent} does not exist. Create it.")
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder. Name the image to write.")
    figure_class = require("matplotlib.figure", extra="report").Figure
    patch = require("matplotlib.patches", extra="report").Patch

    figure = figure_class(figsize=(10.0, 1.2 + 0.35 * len(pe_names)), layout="constrained")
    panel = figure.subplots()
    jobs = sorted({row.job for row in rows})
    colours = {job: _COLOURS[i % len(_COLOURS)] for i, job in enumerate(jobs)}
    end = max(row.finish for row in rows)
    for row in rows:
        length = row.finish - row.start
        panel.barh(
            *(row.pe, length),
            left=row.start,
            height=0.8,
            color=colours[row.job],
            edgecolor="black",
            linewidth=0.5,
        )
        if length > len(row.task) * _LABEL_SHARE * end:  # else it would cover the neighbours
            middle = row.start + length / 2
            panel.text(
                *(middle, row.pe, row.task),
                ha="center",
                va="center",
                fontsize=8,
                parse_math=False,
            )
    panel.set_yticks(range(len(pe_names)), labels=pe_names, parse_math=False)
    panel.set_ylim(len(pe_names) - 0.5, -0.5)
    panel.set_xlim(0.0, end * 1.01 or 1.0)
    panel.set_xlabel("time in µs")
    panel.grid(axis="x", linewidth=0.4, alpha=0.5)
    panel.set_axisbelow(True)
    if title:
        panel.set_title(title, parse_math=False)
    if 1 < len(jobs) <= _MAX_LEGEND:
        handles = [patch(color=colours[job], label=f"job {job}") for job in jobs]
        figure.legend(handles=handles, loc="outside right upper", fontsize=8)
    figure.savefig(path, dpi=150)


def _check_pes(rows: Sequence[ScheduleRow], pe_names: Sequence[str]) -> None:
    for row in rows:
        if row.pe >= len(pe_names):
            raise ConfigError(
                f"schedule row {row.task!r}: there is no PE {row.pe}; there are {len(pe_names)}."
            )
