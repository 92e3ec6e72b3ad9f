"""The package map, the links, the light import and the pinned versions."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import archgym_py

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGE_DIRS: dict[str, str] = PYPROJECT["tool"]["setuptools"]["package-dir"]
LINKED = ("agents", "configs", "envs", "experiments", "simulators")

# What someone who only lists environments must not wait for, or need not even have installed.
HEAVY = ("matplotlib", "numba", "optuna", "pandas", "pyarrow", "ray", "scipy", "sklearn", "torch")


def pinned() -> dict[str, str]:
    """Return the exact version of each distribution in constraints.txt, by canonical name."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): release for name, release in pins}


def requirements() -> list[Requirement]:
    """Return every requirement of the project: core, extras and build."""
    project = PYPROJECT["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    found = [Requirement(text) for group in groups for text in group]
    return [requirement for requirement in found if requirement.name != project["name"]]


def test_every_package_is_listed_and_every_listed_package_exists() -> None:
    found = set()
    for package, folder in PACKAGE_DIRS.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            inner = init.parent.relative_to(ROOT / folder).parts
            found.add(".".join((package, *inner)))
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == found


def test_every_folder_of_code_is_mapped() -> None:
    folders = {init.parent.name for init in ROOT.glob("*/__init__.py")}
    assert set(PACKAGE_DIRS.values()) == folders


@pytest.mark.parametrize("name", LINKED)
def test_link_leads_to_the_folder_of_its_name(name: str) -> None:
    link = ROOT / "archgym_py" / name
    assert link.readlink() == Path("..") / name
    assert link.resolve() == ROOT / name


def test_every_data_file_of_a_package_is_shipped() -> None:
    patterns: dict[str, list[str]] = PYPROJECT["tool"]["setuptools"]["package-data"]
    left_out = []
    for package, folder in PACKAGE_DIRS.items():
        globs = [pattern.removeprefix("**/") for pattern in patterns.get(package, [])]
        for path in (ROOT / folder).rglob("*"):
            data = path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
            if data and not any(path.match(glob) for glob in globs):
                left_out.append(path.relative_to(ROOT).as_posix())
    assert left_out == []


def test_import_is_light() -> None:
    code = (
        "import sys, archgym_py; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert sorted(set(HEAVY) & set(done.stdout.split())) == []


def test_import_takes_less_than_half_a_second() -> None:
    def seconds(code: str) -> float:
        before = os.times()
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
        after = os.times()
        # Processor time, because what else runs on the machine stretches the time on the clock.
        return sum(after[2:4]) - sum(before[2:4])

    imported = min(seconds("import archgym_py") for _ in range(3))
    assert imported - seconds("pass") < 0.5


def test_version_has_one_source() -> None:
    assert version("archgym_py") == archgym_py.__version__


def test_command_is_installed() -> None:
    (command,) = entry_points(group="console_scripts", name="archgym")
    assert callable(command.load())


def test_every_requirement_is_pinned_at_a_version_that_it_admits() -> None:
    pins = pinned()
    missing = [str(r) for r in requirements() if canonicalize_name(r.name) not in pins]
    assert missing == []
    refused = [
        f"{requirement} admits no {pins[canonicalize_name(requirement.name)]}"
        for requirement in requirements()
        if pins[canonicalize_name(requirement.name)] not in requirement.specifier
    ]
    assert refused == []


def test_constraints_are_plain_pins_in_order() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert [line for line in pins if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line)] == []
    assert pins == sorted(set(pins))


def test_all_extra_gathers_the_others() -> None:
    extras: dict[str, list[str]] = PYPROJECT["project"]["optional-dependencies"]
    (everything,) = (Requirement(text) for text in extras["all"])
    assert everything.extras == set(extras) - {"all", "dev"}
