"""Timeloop behind the DNN accelerators and mappings: the model that ours follows, itself.

A design is written as Timeloop's files (`archgym_py.simulators.dnn.timeloop_files`), with our
energies, and `timeloop-model` evaluates the mapping of each distinct layer: the one that a design
of ArchGym/DNNMapping-v0 is, or the best one that the mapper finds for an accelerator. The rules of
`archgym_py.simulators.dnn.model` are Timeloop's (Parashar et al., ISPASS 2019; checked against
revision 4cf6d4c), so the two should agree up to the two decimals that Timeloop prints.

The program is called from a command line of its own, with neighbour forwarding off and without
Accelergy and the Python front end.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from archgym_py.design import Design
from archgym_py.errors import ConfigError, InfeasibleDesign, SimulatorError
from archgym_py.simulator import Evaluation, Simulator
from archgym_py.simulators.backend import ProgramBackend
from archgym_py.simulators.dnn.accelerator import AcceleratorSimulator
from archgym_py.simulators.dnn.budgets import Budgets
from archgym_py.simulators.dnn.hardware import Architecture
from archgym_py.simulators.dnn.mapped import MappedLayer
from archgym_py.simulators.dnn.mapping_hardware import DRAM, L1, L2
from archgym_py.simulators.dnn.mapping_search import MappingSimulator
from archgym_py.simulators.dnn.performance import combine
from archgym_py.simulators.dnn.timeloop_files import (
    ARCHITECTURE_FILES,
    MAPPING_FILE,
    PROBLEM_FILE,
    architecture_files,
    mapping_file,
    problem_file,
)
from archgym_py.simulators.process import Program
from archgym_py.space import ParameterSpace

__all__ = ["Timeloop"]

_ADAPTER_VERSION: Final = "1"  # raise it when the same answers of the tool give other metrics

_REMEDY: Final = (
    "timeloop-model is built from https://github.com/NVlabs/timeloop, or taken from the image "
    "timeloopaccelergy/timeloop-accelergy-pytorch."
)
_SLACK: Final = 1e-3
"""Relative slack of the bounds: Timeloop prints two decimals of each energy, in pJ."""

_STATS: Final = "timeloop-model.stats.txt"
_ARGUMENTS: Final = (*ARCHITECTURE_FILES, PROBLEM_FILE, MAPPING_FILE)
_ENVIRONMENT: Final = {
    "TIMELOOP_DISABLE_LINK_TRANSFERS": "1",
    "TIMELOOP_ENABLE_FIRST_READ_ELISION": "1",  # a partial sum that was never written is not read
    "TIMELOOP_HIDE_INCONSEQUENTIAL_STATS": "0",  # levels that do nothing are printed as well
}

_README: Final = """\
An accelerator for timeloop-model (revision 4cf6d4c or near). For each distinct layer there is a
folder LAYER:

    {environment} timeloop-model \\
        arch.yaml ERT.yaml ART.yaml LAYER/problem.yaml LAYER/mapping.yaml

{stats} then has cycles and energies. How often the network has each layer:

"""


class Timeloop(ProgramBackend):
    """Cycles and energy of mappings and accelerators, from Timeloop.

    `cycles`, `latency_ms`, `energy_uj` with its parts, `edp_uj_ms`, `power_mw`, `utilization` and
    `dram_mb` mean what they mean for the embedded model. Area is left out, since all of it would be
    ours. A design is infeasible if it is so for the embedded model, which also maps the layers of
    an accelerator, or if Timeloop cannot map a level.

    Args:
        embedded: The embedded model, for the network, the hardware and the mappings.
        space: The designs.
        program: Path of timeloop-model; by default that of the environment variable
            ARCHGYM_TIMELOOP_MODEL, or the one in PATH.
        timeout_s: Time that a layer may take, in seconds.

    Raises:
        ConfigError: If there is an area budget.
    """

    name: ClassVar[str] = "timeloop"
    simulates: ClassVar[tuple[str, ...]] = ("dnn", "dnn_mapping")
    reports: ClassVar[tuple[str, ...]] = (
        "cycles",
        "latency_ms",
        "energy_uj",
        "energy_mac_uj",
        "energy_local_uj",
        "energy_shared_uj",
        "energy_dram_uj",
        "edp_uj_ms",
        "power_mw",
        "utilization",
        "dram_mb",
    )
    executable = "timeloop-model"
    variable = "ARCHGYM_TIMELOOP_MODEL"
    remedy = _REMEDY
    environment = _ENVIRONMENT

    def __init__(
        self,
        embedded: Simulator,
        space: ParameterSpace,
        *,
        program: str | os.PathLike[str] | None = None,
        timeout_s: float = 60.0,
    ) -> None:
        super().__init__(embedded, space, program=program, timeout_s=timeout_s)
        assert isinstance(embedded, AcceleratorSimulator | MappingSimulator)
        self.metrics = tuple(
            replace(metric, low=metric.low * (1 - _SLACK), high=metric.high * (1 + _SLACK))
            for metric in self.metrics
        )
        self._model = embedded
        budgets = embedded.problem.get(
            "budgets", {"area_budget_mm2": None, "power_budget_mw": None}
        )
        if budgets["area_budget_mm2"] is not None:
            raise ConfigError(
                "the backend timeloop reports no area, so it cannot keep a budget of it. Leave out "
                "area_budget_mm2."
            )
        self._budgets = Budgets(self.metrics, **budgets)

    @property
    def version(self) -> str:
        """Versions of the adapter and the embedded model, digests of the program and the network.

        Raises:
            ConfigError: If there is no such program.
        """
        model, _, network = self._model.version.partition("+")
        return f"{_ADAPTER_VERSION}.{model}-timeloop-{self._program.digest[:12]}+{network}"

    def configuration(self, design: Design) -> Mapping[str, str]:
        """Return hardware, prices, layers and mappings; see `Backend.configuration`."""
        run = self._run_of(design)
        files = architecture_files(run.architecture)
        counts = []
        for place, (each, count) in enumerate(_distinct(run.layers)):
            folder = f"layer{place}"
            layer_files = _layer_files(run.architecture, each)
            files |= {f"{folder}/{name}": text for name, text in layer_files.items()}
            counts.append(f"{folder}: {count} times\n")
        environment = " ".join(f"{name}={value}" for name, value in _ENVIRONMENT.items())
        readme = _README.format(environment=environment, stats=_STATS)
        return {"README.txt": readme + "".join(counts), **files}

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        """Let Timeloop evaluate one design; see `Simulator.evaluate`.

        Raises:
            ConfigError: If there is no such program.
            InfeasibleDesign: If the design cannot be built or mapped.
            SimulatorError: If the program fails or its answer is not as it should be.
            SimulatorTimeout: If it takes too long.
        """
        return self._budgets.judge(self._measure(design))

    def evaluate_unbudgeted(self, design: Design) -> Evaluation:
        """Evaluate one design, whatever the budgets."""
        return Evaluation(self._measure(design))

    def _measure(self, design: Design) -> dict[str, float]:
        program = self._program
        run = self._run_of(design)
        hardware = architecture_files(run.architecture)
        cycles, dram_words = 0, 0
        energies = dict.fromkeys(("mac", "local", "shared", "dram"), 0.0)
        for each, count in _distinct(run.layers):
            stats = _call(program, hardware | _layer_files(run.architecture, each), each)
            answer = read_stats(stats, run.architecture, each)
            cycles += count * answer.cycles
            dram_words += count * answer.dram_words
            energies["mac"] += count * answer.mac_pj
            for place, energy in zip(run.places, answer.levels_pj, strict=True):
                energies[place] += count * energy
        metrics = combine(
            cycles=float(cycles),
            dram_bits=float(dram_words * run.architecture.levels[-1].word_bits),
            macs=self._model.network.macs,
            units=run.architecture.compute.instances,
            area_mm2=0.0,
            clock_mhz=run.clock_mhz,
            **{f"{place}_pj": energy for place, energy in energies.items()},
        )
        return {name: metrics[name] for name in self.reports}

    def _run_of(self, design: Design) -> _Run:
        if isinstance(self._model, MappingSimulator):
            places = {L1: "local", L2: "shared", DRAM: "dram"}
            return _Run(
                self._model.architecture,
                self._model.map_network(design),
                self._model.problem["clock_mhz"],
                tuple(places[level] for level in sorted(places)),
            )
        machine, layers = self._model.map_network(design)
        *inner, _ = machine.architecture.levels
        shared = tuple("shared" if level.instances == 1 else "local" for level in inner)
        return _Run(machine.architecture, layers, machine.clock_mhz, (*shared, "dram"))


@dataclass(frozen=True, slots=True)
class _Run:
    """A network on an accelerator: what belongs to whom is said for each level."""

    architecture: Architecture
    layers: Sequence[MappedLayer]
    clock_mhz: float
    places: tuple[str, ...]


def _distinct(layers: Sequence[MappedLayer]) -> list[tuple[MappedLayer, int]]:
    """Return a layer of each shape, and how often the network has such a layer."""
    found: dict[tuple[int, ...], tuple[MappedLayer, int]] = {}
    for each in layers:
        first, count = found.get(each.layer.shape_key, (each, 0))
        found[each.layer.shape_key] = first, count + each.layer.count
    return list(found.values())


def _layer_files(architecture: Architecture, each: MappedLayer) -> dict[str, str]:
    return {
        PROBLEM_FILE: problem_file(each.layer),
        MAPPING_FILE: mapping_file(architecture, each.mapping),
    }


def _call(program: Program, files: Mapping[str, str], each: MappedLayer) -> str:
    try:
        return program.call(_ARGUMENTS, files=files, read=[_STATS]).files[_STATS]
    except SimulatorError as error:
        if "couldn't map level" in str(error):
            raise InfeasibleDesign(f"layer {each.layer.name!r}: {error}") from None
        raise


# ---- the answer --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stats:
    """What Timeloop says of a layer.

    Attributes:
        cycles: Cycles, the most of all levels.
        mac_pj: Energy of the multiply-accumulates, in pJ.
        levels_pj: Energy of each level, the innermost first, in pJ.
        dram_words: Words that the outermost level reads and writes.
    """

    cycles: int
    mac_pj: float
    levels_pj: tuple[float, ...]
    dram_words: int


_END: Final = "Operational Intensity Stats"
_HEADER: Final = re.compile(r"=== (.+) ===")
_TENSOR: Final = re.compile(r"    (\w+):")
_FIELD: Final = re.compile(r"\s+([A-Z][^:]*?)\s*: (.+)")
_COUNT: Final = re.compile(r"[0-9]{1,18}")
_ENERGY: Final = re.compile(r"([0-9]+\.[0-9]+) pJ")
_SUMMARY_ENERGY: Final = re.compile(r"^Energy: ([0-9]+\.[0-9]+) uJ$", re.MULTILINE)
_SUMMARY_CYCLES: Final = re.compile(r"^Cycles: ([0-9]{1,18})$", re.MULTILINE)

_Block = dict[str, dict[str, str]]
"""Fields of a level, by tensor; those of the level itself under ""."""


def read_stats(text: str, architecture: Architecture, mapped: MappedLayer) -> Stats:
    """Read the statistics of a layer.

    Levels are read up to the section of operational intensities, where their names occur again. The
    summary at the end has to agree with them.

    Args:
        text: Content of timeloop-model.stats.txt.
        architecture: The accelerator.
        mapped: The layer and its mapping.

    Raises:
        SimulatorError: If a level, a tensor that it keeps or a number is missing, a number has
            another unit or form, or the summary disagrees.
    """
    before, found, summary = text.partition(f"\n{_END}\n")
    if not found:
        raise SimulatorError(f"{_STATS} has no section {_END!r}: it is not complete.")
    blocks = _blocks(before)
    compute = architecture.compute
    expected = [compute.name, *(level.name for level in architecture.levels)]
    if list(blocks) != expected:
        raise SimulatorError(
            f"{_STATS} has the levels {', '.join(blocks) or 'none'}, not {', '.join(expected)}."
        )
    macs = _count(blocks, compute.name, "", "Computes (total)")
    if macs != mapped.layer.macs:
        raise SimulatorError(
            f"{_STATS}: {macs} computes in a layer of {mapped.layer.macs} multiplications."
        )
    cycles = _count(blocks, compute.name, "", "Cycles")
    mac_pj = _energy(blocks, compute.name, "")
    levels_pj = []
    for level, at in zip(architecture.levels, mapped.mapping.levels, strict=True):
        if at.keep:
            cycles = max(cycles, _count(blocks, level.name, "", "Cycles"))
        levels_pj.append(sum(_energy(blocks, level.name, tensor) for tensor in at.keep))
    outermost = architecture.levels[-1].name
    dram_words = sum(
        _count(blocks, outermost, tensor, f"Scalar {way} (per-instance)")
        for tensor in mapped.mapping.levels[-1].keep
        for way in ("reads", "fills", "updates")
    )
    answer = Stats(cycles, mac_pj, tuple(levels_pj), dram_words)
    _check_summary(summary, answer)
    return answer


def _blocks(text: str) -> dict[str, _Block]:
    """Return the fields of all levels, by name."""
    blocks: dict[str, _Block] = {}
    fields: dict[str, str] = {}
    block: _Block = {"": fields}
    for line in text.splitlines():
        if match := _HEADER.fullmatch(line):
            if match[1] in blocks:
                raise SimulatorError(f"{_STATS} has the level {match[1]!r} twice.")
            fields = {}
            block = blocks[match[1]] = {"": fields}
        elif line == "Networks":
            break
        elif match := _TENSOR.fullmatch(line):
            if match[1] in block:
                raise SimulatorError(f"{_STATS} has a tensor twice in a level: {line.strip()!r}.")
            fields = block[match[1]] = {}
        elif match := _FIELD.fullmatch(line):
            if match[1] in fields:
                raise SimulatorError(f"{_STATS} has a field twice: {line.strip()!r}.")
            fields[match[1]] = match[2]
    return blocks


def _field(blocks: Mapping[str, _Block], level: str, tensor: str, name: str) -> str:
    try:
        return blocks[level][tensor][name]
    except KeyError:
        of = f"{tensor} of " if tensor else ""
        raise SimulatorError(f"{_STATS} has no {name!r} for {of}level {level!r}.") from None


def _count(blocks: Mapping[str, _Block], level: str, tensor: str, name: str) -> int:
    value = _field(blocks, level, tensor, name)
    if not _COUNT.fullmatch(value):
        raise SimulatorError(f"{_STATS}: {name} of {level!r} is no whole number: {value[:40]!r}.")
    return int(value)


def _energy(blocks: Mapping[str, _Block], level: str, tensor: str) -> float:
    name = "Energy (total)"
    value = _field(blocks, level, tensor, name)
    match = _ENERGY.fullmatch(value)
    if match is None:  # also one with an exponent, whose two decimals would be too few
        raise SimulatorError(
            f"{_STATS}: {name} of {level!r} is no decimal number in pJ: {value[:40]!r}. If it has "
            f"an exponent, unset TIMELOOP_OUTPUT_STAT_SCIENTIFIC."
        )
    return float(match[1])


def _check_summary(text: str, answer: Stats) -> None:
    """Raise if the summary does not fit; the networks may have taken an energy, for one."""
    cycles, energies = _SUMMARY_CYCLES.findall(text), _SUMMARY_ENERGY.findall(text)
    if len(cycles) != 1 or len(energies) != 1:
        raise SimulatorError(f"{_STATS} has no summary with cycles and an energy in uJ.")
    if int(cycles[0]) != answer.cycles:
        raise SimulatorError(
            f"{_STATS} has {cycles[0]} cycles in its summary, but {answer.cycles} in its levels."
        )
    total_uj = (answer.mac_pj + sum(answer.levels_pj)) / 1e6
    if abs(float(energies[0]) - total_uj) > 0.0051 + 1e-6 * total_uj:
        raise SimulatorError(
            f"{_STATS} has an energy of {energies[0]} uJ in its summary, but {total_uj:.4f} uJ in "
            f"its levels."
        )
