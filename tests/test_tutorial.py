"""The README's simulator of one's own: the files and the commands as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import pytest

from archgym_py.config import RunConfig
from archgym_py.dataset import SampleDataset
from archgym_py.registry import AGENTS
from archgym_py.runner import run
from archgym_py.simulator import Status

README = Path(__file__).parents[1] / "README.md"
PATIENCE_S = 300


def blocks() -> list[tuple[str, str]]:
    """Return the language and the text of each code block of the tutorial."""
    page = README.read_text(encoding="utf-8")
    _, _, rest = page.partition("## A simulator of your own\n")
    section, _, _ = rest.partition("\n## ")
    return re.findall(r"^```(\w+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the three files."""
    names = ("my_cache.py", "cache.yaml", "test_my_cache.py")
    for name, (language, text) in zip(names, blocks(), strict=False):
        assert language == ("yaml" if name.endswith(".yaml") else "python")
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_it_is_short() -> None:
    lines = [line for line in blocks()[0][1].splitlines() if line]
    assert len(lines) == 40


def test_the_commands_work_as_written(folder: Path) -> None:
    language, text = blocks()[-1]
    assert language == "console"
    commands = [line.removeprefix("$ ") for line in text.splitlines()]
    assert len(commands) >= 6
    ours = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e"],
        input="\n".join(commands),
        cwd=folder,
        env={**os.environ, "PATH": ours},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "access_ns" in done.stdout  # the table of the best design
    assert "1 passed" in done.stdout  # the conformance suite
    assert len(SampleDataset(folder / "runs" / "cache")) == 60
    assert (folder / "runs" / "cache_sweep" / "report.html").stat().st_size > 1000


@pytest.fixture
def importable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make the simulator a module, and forget it afterwards."""
    monkeypatch.syspath_prepend(folder)
    yield folder
    sys.modules.pop("my_cache", None)
    gym.registry.pop("Cache-v0", None)


def test_every_agent_searches_it(importable: Path) -> None:
    for agent in AGENTS.names():
        if agent == "external":
            continue  # it is any program
        out = importable / agent
        result = run(RunConfig(env="my_cache:Cache-v0", agent=agent, budget=20, out=out))
        samples = SampleDataset(out)
        assert len(samples) == 20, agent
        assert {trial.status for trial in samples.trials()} == {Status.OK}, agent
        assert result.best is not None, agent
