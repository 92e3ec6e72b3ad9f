"""The number of cores: what the system says, or what a process is told."""

from __future__ import annotations

import os

import pytest

from archgym_py.cores import CORES_VARIABLE, cores
from archgym_py.errors import ConfigError


def test_the_variable_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CORES_VARIABLE, "7")
    assert cores() == 7
    assert CORES_VARIABLE == "ARCHGYM_CORES"  # users and workers set it by this name


@pytest.mark.parametrize("told", ["0", "-1", "1.5", "two", "", " 2"])
def test_the_variable_must_be_a_number_of_cores(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    monkeypatch.setenv(CORES_VARIABLE, told)
    with pytest.raises(ConfigError) as caught:
        cores()
    rule = f"ARCHGYM_CORES must be a whole number of at least 1, got {told!r}."
    assert str(caught.value) == rule


def test_without_it_the_system_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CORES_VARIABLE, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2, 5}, raising=False)
    assert cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)  # where nobody knows
    assert cores() == 1
