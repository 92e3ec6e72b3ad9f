"""DRAMSys, the simulator of memory controllers and DRAMs, behind the memory controller's designs.

The program is looked up as ``DRAMSys``. Any number of evaluations can run at a time: each call has
all of its files in a folder of its own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from archgym_py.design import Design
from archgym_py.errors import ConfigError, SimulatorError, did_you_mean
from archgym_py.simulator import Evaluation, Simulator
from archgym_py.simulators.backend import ProgramBackend
from archgym_py.simulators.dram.dramsys_config import POWER, check, files_4, files_5
from archgym_py.simulators.dram.model import DRAMSimulator
from archgym_py.simulators.process import last_lines, quantity
from archgym_py.space import ParameterSpace

__all__ = ["DRAMSys", "parse_output"]

_ADAPTER_VERSION = "1"  # raise it when the same design gets other files, or is read otherwise

_REMEDY = (
    "DRAMSys is to be had from github.com/tukl-msd/DRAMSys; give version='4' or version='5' "
    "with it."
)
_ENERGY = ("energy_pj", "average_power_mw")
_UNITS = {
    "total_time_ns": "ns",
    "energy_pj": "pJ",
    "average_power_mw": "mW",
    "bandwidth_gbit_s": "Gb/s",
    "bandwidth_busy_gbit_s": "Gb/s",
}
_LABELS = {
    ("controller", "Total Time"): "total_time_ns",
    ("controller", "AVG BW"): "bandwidth_gbit_s",
    ("controller", "AVG BW\\IDLE"): "bandwidth_busy_gbit_s",
    ("dram", "Total Energy"): "energy_pj",
    ("dram", "Average Power"): "average_power_mw",
}
_LABEL_OF = {name: f"{module}<channel>  {label}" for (module, label), name in _LABELS.items()}
_LINE = re.compile(
    r"\s*DRAMSys\.(controller|dram)([0-9]+)\s+"
    r"(Total Time|AVG BW\\IDLE|AVG BW|Total Energy|Average Power):\s*([^(|]*?)\s*(?:[(|].*)?"
)
_NOTHING, _NAN = re.compile(r"0\.00\s+Gb/s"), re.compile(r"-?nan\s+Gb/s")


class DRAMSys(ProgramBackend):
    r"""DRAMSys 4 (of May 2021) or 5 (5.1 to 5.5).

    Version 4 is the simulator that the embedded one models; version 5 is a later one of the same
    authors, whose controller differs in the timing of its front end. Metrics:

    * ``total_time_ns``: instant of the last answer; of version 5, instant at which all is idle. The
      largest of all channels.
    * ``bandwidth_gbit_s`` and ``bandwidth_busy_gbit_s`` (``AVG BW`` and ``AVG BW\IDLE``): over all
      channels, with two decimals. With arbiter Simple version 4 stops before it counts the last
      request, so that both are smaller than the embedded simulator's by that request.
    * ``energy_pj`` and ``average_power_mw``: over all channels, where the version has a power model
      for the standard: version 4 for DDR3 and DDR4, version 5 for DDR4 and LPDDR4. Version 4 counts
      the standby of each of several ranks once for every rank, as the embedded simulator does with
      ``reference_energy``. Version 5 prints three to six digits.

    Args:
        embedded: The memory controller that comes with the library.
        space: The space of the designs.
        program: Path of the program; by default that of the environment variable ARCHGYM_DRAMSYS,
            or `DRAMSys` in PATH.
        version: "4" or "5", which of the two the program is.
        timeout_s: Time that one evaluation may take, in seconds.

    Raises:
        ConfigError: If there is no such version, or DRAMSys cannot express the memory, a clock or a
            delay.

    Examples:
        >>> import gymnasium as gym
        >>> env = gym.make("ArchGym/DRAMController-v0").unwrapped
        >>> dramsys = DRAMSys(env.simulator, env.space, version="4")
        >>> sorted(dramsys.configuration(env.space.default()))[-2:]
        ['simulation.json', 'traces/trace.stl']
        >>> gym.make("ArchGym/DRAMController-v0", simulator={"backend": "dramsys", "program": "/x"})
        Traceback (most recent call last):
        archgym_py.errors.ConfigError: program: '/x' is no program that can be executed. ...
    """

    name = "dramsys"
    simulates = ("dram",)
    reports = tuple(_UNITS)
    executable = "DRAMSys"
    variable = "ARCHGYM_DRAMSYS"
    remedy = _REMEDY

    def __init__(
        self,
        embedded: Simulator,
        space: ParameterSpace,
        *,
        program: str | os.PathLike[str] | None = None,
        version: str = "4",
        timeout_s: float = 60.0,
    ) -> None:
        super().__init__(embedded, space, program=program, timeout_s=timeout_s)
        if not isinstance(embedded, DRAMSimulator):
            raise ConfigError(f"DRAMSys needs a DRAMSimulator, got {type(embedded).__name__}.")
        self._model = embedded
        self._release = str(version)
        if self._release not in POWER:
            raise ConfigError(
                f"unknown version {version!r} of DRAMSys.{did_you_mean(self._release, POWER)}"
            )
        check(embedded, self._release)
        powered = embedded.technology.standard in POWER[self._release]
        self.metrics = tuple(
            # With two decimals, and perhaps without the last request, little becomes nothing.
            replace(metric, low=0.0) if metric.unit == "Gbit/s" else metric
            for metric in self.metrics
            if powered or metric.name not in _ENERGY
        )

    @property
    def version(self) -> str:
        """Versions of adapter and DRAMSys, digests of the program and of the trace."""
        return (
            f"{_ADAPTER_VERSION}/{self._release}-{self._program.digest[:12]}"
            f"+{self._model.trace.digest[:12]}"
        )

    @property
    def problem(self) -> Mapping[str, Any]:
        """The problem, and by which DRAMSys it is solved; see `Described`."""
        return {**super().problem, "dramsys": self._release}

    def configuration(self, design: Design) -> Mapping[str, str]:
        """Return a design as files; see `Backend.configuration`."""
        call = " ".join(["DRAMSys", *self._arguments])
        metrics = "".join(f"- {_LABEL_OF[m.name]} gives {m.name}\n" for m in self.metrics)
        readme = (
            f"A memory controller for DRAMSys {self._release}. In this folder, call\n\n    {call}"
            f"\n\nIt prints a block of lines for each channel:\n\n{metrics}"
        )
        return {"README.txt": readme, **self._files(design)}

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        """Let DRAMSys simulate a design; see `Simulator.evaluate`."""
        answer = self._program.call(self._arguments, files=self._files(design))
        metrics = parse_output(
            answer.stdout,
            channels=self._model.technology.channels,
            names=[metric.name for metric in self.metrics],
        )
        return Evaluation(metrics, wall_s=answer.wall_s)

    @property
    def _arguments(self) -> list[str]:
        # Version 4 puts names of files right behind the folder, which so has to end in a slash.
        return ["simulation.json", "./"] if self._release == "4" else ["simulation.json"]

    def _files(self, design: Design) -> dict[str, str]:
        files = files_4 if self._release == "4" else files_5
        return files(self._model, design)


def parse_output(text: str, *, channels: int, names: list[str]) -> dict[str, float]:
    """Read what DRAMSys prints at its end.

    Args:
        text: Its standard output.
        channels: Number of channels; each prints a block.
        names: Metrics that are wanted, of `DRAMSys.reports`.

    Returns:
        The metrics: the largest total time, and the sums of the others.

    Raises:
        SimulatorError: If a line is missing, doubled, of another channel or not a number with a
            unit of the right dimension. The message shows the line.

    Examples:
        >>> parse_output("DRAMSys.controller0  Total Time:     9002500 ps", channels=1,
        ...     names=["total_time_ns"])
        {'total_time_ns': 9002.5}
    """
    found: dict[tuple[str, int], tuple[str, str]] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        module, index, label, value = match.groups()
        name = _LABELS.get((module, label))
        key = (str(name), int(index))
        if name is None or key[1] >= channels:
            raise SimulatorError(
                f"DRAMSys says {line.strip()!r}, but the memory has {channels} channels, each with "
                f"a controller and a dram."
            )
        if key in found:
            raise SimulatorError(f"DRAMSys says it twice: {line.strip()!r}.")
        found[key] = (value, line.strip())
    metrics = {}
    for name in names:
        values = []
        for channel in range(channels):
            if (name, channel) not in found:
                label = _LABEL_OF[name].replace("<channel>", str(channel))
                raise SimulatorError(
                    f"DRAMSys did not print the line {label!r}. Check the program and its version "
                    f"(version='4' or '5').{last_lines(text)}"
                )
            values.append(_value(name, channel, found))
        metrics[name] = max(values) if name == "total_time_ns" else sum(values)
    return metrics


def _value(name: str, channel: int, found: Mapping[tuple[str, int], tuple[str, str]]) -> float:
    text, line = found[name, channel]
    moved = found.get(("bandwidth_gbit_s", channel), ("", ""))[0]
    if name == "bandwidth_busy_gbit_s" and _NOTHING.fullmatch(moved) and _NAN.fullmatch(text):
        return 0.0  # a channel without requests is never busy: DRAMSys divides nothing by nothing
    try:
        return quantity(text, _UNITS[name])
    except SimulatorError as error:
        raise SimulatorError(f"DRAMSys says {line!r}: {error}") from None
