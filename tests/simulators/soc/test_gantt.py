import csv
import io
import math
from pathlib import Path
from typing import Any

import pytest

from archgym_py.errors import ConfigError
from archgym_py.simulators.soc.gantt import ScheduleRow, draw_gantt, schedule_table

ROWS = (
    ScheduleRow("fft", 0, 1, 0.0, 12.0),
    ScheduleRow("cost $x_1$, or so", 3, 0, 12.5, 14.5),
    ScheduleRow("start", 3, 0, 0.0, 0.0),
)
NAMES = ("VIT", "FFT $0")

MAGIC = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.mark.parametrize("suffix", sorted(MAGIC))
def test_image(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"g{suffix}"
    draw_gantt(ROWS, path, pe_names=NAMES, title="a $ sign")
    assert path.read_bytes().startswith(MAGIC[suffix])
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_image_shows_names_labels_and_jobs(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none"}):  # text as text
        draw_gantt(ROWS, tmp_path / "g.svg", pe_names=NAMES, title="a $ sign")
    text = (tmp_path / "g.svg").read_text(encoding="utf-8")
    for word in ("VIT", "FFT $0", "fft", "job 0", "job 3", "a $ sign", "time in µs"):
        assert f">{word}<" in text
    assert "cost $x_1$" not in text  # too long for its bar
    assert "#a0cbe8" in text
    assert "#ffbe7d" in text


def test_schedule_of_no_length(tmp_path: Path) -> None:
    draw_gantt(ROWS[2:], tmp_path / "g.png", pe_names=NAMES)
    assert (tmp_path / "g.png").stat().st_size > 0


def test_table() -> None:
    text = schedule_table(ROWS, pe_names=NAMES)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == ["task", "job", "pe", "pe_name", "start_us", "finish_us"]
    assert [row["task"] for row in rows] == [row.task for row in ROWS]
    assert [row["pe_name"] for row in rows] == ["FFT $0", "VIT", "VIT"]
    assert [float(row["finish_us"]) for row in rows] == [12.0, 14.5, 0.0]
    assert schedule_table((), pe_names=()) == text.splitlines()[0] + "\n"


def test_numbers_survive_the_table() -> None:
    row = ScheduleRow("a", 0, 0, 1 / 3, math.pi)
    [read] = csv.DictReader(io.StringIO(schedule_table([row], pe_names=["P"])))
    assert (float(read["start_us"]), float(read["finish_us"])) == (1 / 3, math.pi)


@pytest.mark.parametrize(
    ("rows", "name", "message"),
    [
        ((), "g.png", "a Gantt chart must have one task or more, got none"),
        (ROWS, "g.jpg", r"g.jpg: no such image format. End the name in .png, .svg, .pdf"),
        (ROWS, "none/g.png", r"the folder .*none does not exist"),
        (ROWS, "folder.png", r"folder.png: is a folder"),
        ((ScheduleRow("a", 0, 2, 0, 1),), "g.png", "row 'a': there is no PE 2; there are 2"),
    ],
)
def test_illegal_chart(tmp_path: Path, rows: Any, name: str, message: str) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ConfigError, match=message):
        draw_gantt(rows, tmp_path / name, pe_names=NAMES)


def test_illegal_rows() -> None:
    with pytest.raises(
        ConfigError, match="row 'a': finish must be a finite number from 3 on, got 1"
    ):
        ScheduleRow("a", 0, 0, 3.0, 1.0)
    with pytest.raises(ConfigError, match="row 'a': pe must be a whole number from 0"):
        ScheduleRow("a", 0, -1, 0.0, 1.0)
    with pytest.raises(ConfigError, match="there is no PE 2; there are 2"):
        schedule_table([ScheduleRow("a", 0, 2, 0.0, 1.0)], pe_names=NAMES)
