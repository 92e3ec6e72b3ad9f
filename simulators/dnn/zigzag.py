"""ZigZag behind the DNN accelerators: another cost model and another mapper for the same designs.

A design is written as ZigZag's accelerator (Mei et al., IEEE TC 2021): the array of multipliers,
the memories that its dataflow uses with our energies, and for each layer the spatial mapping that
our mapper found. ZigZag orders the loops in time, gives them to the memories (LOMA, Symons et al.,
AICAS 2021) and prices the result. It runs in this process; a layer takes up to six seconds.

Only ZigZag's stages are called, not `zigzag.api`, which sets up logging for the whole process,
draws figures and writes files for every layer.

Where the figures differ from those of the embedded model, it is for these reasons:

* ZigZag's latency has the first fill and the last drain of every level, which the embedded model
  takes to be hidden. A memory that is more than half full is not double buffered and makes the
  array wait.
* Outputs that leave a memory are read from it; the embedded model counts their way up as a write of
  the level above only. Partial sums keep their full width on that way.
* An access of a block that is used in part counts for every transfer of a tile, and not for the
  whole of a tensor.
* A tensor's loops may end at another level than those of the next tensor ("uneven" mapping), and
  any loop order is tried, where a template of ours restricts both.
"""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar, Final, cast

from archgym_py.checks import integer, require_type
from archgym_py.design import Design
from archgym_py.errors import ConfigError, InfeasibleDesign, SimulatorError, did_you_mean, require
from archgym_py.simulator import Evaluation, Simulator
from archgym_py.simulators.backend import Backend
from archgym_py.simulators.dnn.accelerator import AcceleratorSimulator
from archgym_py.simulators.dnn.budgets import Budgets
from archgym_py.simulators.dnn.hardware import Architecture, Level
from archgym_py.simulators.dnn.mapped import MappedLayer
from archgym_py.simulators.dnn.performance import combine
from archgym_py.simulators.dnn.zigzag_files import (
    accelerator_text,
    spatial_mapping_text,
    workload,
    workload_text,
)
from archgym_py.space import ParameterSpace

__all__ = ["Found", "Moves", "ZigZag"]

_ADAPTER_VERSION: Final = "1"  # raise it when the same design gets other metrics

_STAGES: Final = {"latency": "Latency", "energy": "Energy", "EDP": "EDP"}
"""What can be minimised, as `zigzag.api` has it, and what the stages for it are called."""

_OPT_OF_GOAL: Final = {"delay": "latency", "energy": "energy", "edp": "EDP"}

_SLACK: Final = 1e-9
"""Relative slack of the bounds, for sums in another order."""

_ROUNDING: Final = 1e-6
"""Relative difference of sums that count as equal."""

_READS: Final = ("rd_out_to_low", "rd_out_to_high")

_README: Final = """\
An accelerator for ZigZag (zigzag-dse 3.9.1): accelerator.yaml, and for each distinct layer LAYER
the files LAYER.workload.yaml and LAYER.mapping.yaml. In Python:

    from zigzag.api import get_hardware_performance_zigzag
    get_hardware_performance_zigzag(
        "LAYER.workload.yaml", "accelerator.yaml", "LAYER.mapping.yaml",
        opt="{opt}", lpf_limit={lpf_limit}, dump_folder="out", loma_show_progress_bar=False,
    )

That function takes a word which is read again in the next cycle to stay at the memory's outputs at
no cost; the library calls the same stages with access_same_data_considered_as_no_access=False, as
its energies are those of every read. How often the network has each layer:

"""


@dataclass(frozen=True, slots=True)
class Moves:
    """What ZigZag says about an operand in a memory.

    Attributes:
        memory: Name of the memory.
        reported_pj: Energy that ZigZag reports, in pJ. It rounds the accesses of each of four
            directions down to whole ones of the memory's widest.
        energy_pj: Energy of the accesses that it counts, not rounded, in pJ.
        rounding_pj: Energy of an access in each direction, in pJ.
        bits: Bits that are read and written.
    """

    memory: str
    reported_pj: float
    energy_pj: float
    rounding_pj: float
    bits: float


@dataclass(frozen=True, slots=True)
class Found:
    """What ZigZag says about a layer with its best order of loops.

    Attributes:
        cycles: Cycles, first fill and last drain included.
        ideal_cycles: Cycles of the multiplications with the spatial mapping that was used.
        mac_pj: Energy of the multiply-accumulates, in pJ.
        total_pj: Energy, in pJ.
        moves: Each operand in each memory.
    """

    cycles: float
    ideal_cycles: float
    mac_pj: float
    total_pj: float
    moves: tuple[Moves, ...]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a layer costs: cycles, energies by place in pJ, bits from and to the DRAM."""

    cycles: float
    energies_pj: Mapping[str, float]
    dram_bits: float


class ZigZag(Backend):
    """Latency and energy of DNN accelerators, from ZigZag.

    The spatial mapping of a layer is the embedded mapper's best one. A design is infeasible if it
    is so for the embedded model, if ZigZag finds no loop order that fits its memories, or if the
    elements have no memories and the shared one cannot serve all multipliers in every cycle: ZigZag
    would then use fewer of them, while the embedded model lets them wait. Bandwidths are rounded
    down to whole bits per cycle.

    `cycles`, `latency_ms`, the energies, `edp_uj_ms`, `power_mw`, `utilization` and `dram_mb` mean
    what they mean for the embedded model; the module says why their values differ. ZigZag has no
    area of a chip, and nothing proves its mappings to be the best.

    Args:
        embedded: The embedded model, for the network, the hardware and the spatial mappings.
        space: The designs.
        opt: What the order of loops minimises, "latency", "energy" or "EDP"; by default the goal of
            the embedded mapper. For latency alone ZigZag spends any energy on the last cycle.
        lpf_limit: Factors into which the loops of a layer are cut, whose orders are all tried: 6
            is ZigZag's own default, and each one less makes it several times faster.

    Raises:
        ConfigError: If there is an area budget, or an option is not legal.
    """

    name: ClassVar[str] = "zigzag"
    simulates: ClassVar[tuple[str, ...]] = ("dnn",)
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

    def __init__(
        self,
        embedded: Simulator,
        space: ParameterSpace,
        *,
        opt: str | None = None,
        lpf_limit: int = 6,
    ) -> None:
        super().__init__(embedded, space)
        self._model = cast(AcceleratorSimulator, embedded)
        self.metrics = tuple(
            replace(metric, low=metric.low * (1 - _SLACK), high=metric.high * (1 + _SLACK))
            for metric in self.metrics
        )
        self._opt = _OPT_OF_GOAL[self._model.problem["goal"]] if opt is None else opt
        require_type("opt", self._opt, str)
        if self._opt not in _STAGES:
            raise ConfigError(f"unknown opt {opt!r}.{did_you_mean(self._opt, _STAGES)}")
        self._lpf_limit = integer("lpf_limit", lpf_limit, 1, 12)
        budgets = self._model.problem["budgets"]
        if budgets["area_budget_mm2"] is not None:
            raise ConfigError(
                "zigzag has no area of a chip, so it cannot keep a budget of it. Leave out "
                "area_budget_mm2."
            )
        self._budgets = Budgets(self.metrics, **budgets)
        self._answers: dict[tuple[Any, ...], _Answer] = {}

    @property
    def version(self) -> str:
        """Versions of the adapter, the embedded model and the tool, and a digest of the network.

        Raises:
            ConfigError: If the tool is not installed.
        """
        model, _, digest = self._model.version.partition("+")
        return f"{_ADAPTER_VERSION}.{model}-zigzag-{self._tool_version}+{digest}"

    @property
    def problem(self) -> Mapping[str, Any]:
        """The problem, with what ZigZag minimises and how hard it tries; see `Described`."""
        return {**super().problem, "opt": self._opt, "lpf_limit": self._lpf_limit}

    def configuration(self, design: Design) -> Mapping[str, str]:
        """Return accelerator, layers and spatial mappings; see `Backend.configuration`."""
        machine, layers = self._model.map_network(design)
        readme = _README.format(opt=self._opt, lpf_limit=self._lpf_limit)
        files = {"accelerator.yaml": accelerator_text(machine.architecture, machine.dataflow)}
        counts: dict[tuple[int, ...], tuple[str, int]] = {}
        for each in layers:
            shape = each.layer.shape_key
            if shape not in counts:
                name = f"layer{len(counts)}"
                counts[shape] = name, 0
                files[f"{name}.workload.yaml"] = workload_text(each.layer, machine.architecture)
                files[f"{name}.mapping.yaml"] = spatial_mapping_text(each)
            name, count = counts[shape]
            counts[shape] = name, count + each.layer.count
        readme += "".join(f"{name}: {count} times\n" for name, count in counts.values())
        return {"README.txt": readme, **files}

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        """Let ZigZag evaluate one design; see `Simulator.evaluate`.

        Raises:
            InfeasibleDesign: If it cannot be built, mapped or expressed.
            SimulatorError: If ZigZag fails.
        """
        return self._budgets.judge(self._measure(design))

    def evaluate_unbudgeted(self, design: Design) -> Evaluation:
        """Evaluate one design, whatever the budgets."""
        return Evaluation(self._measure(design))

    def __getstate__(self) -> dict[str, Any]:
        """Leave the imported tool out; a copy imports it itself."""
        state = dict(self.__dict__)
        state.pop("_tool", None)
        return state

    def _measure(self, design: Design) -> dict[str, float]:
        machine, layers = self._model.map_network(design)
        architecture = machine.architecture
        accelerator = accelerator_text(architecture, machine.dataflow)
        places = {level.name: _place(level, architecture) for level in architecture.levels}
        cycles = dram_bits = 0.0
        energies = dict.fromkeys(("mac", "local", "shared", "dram"), 0.0)
        for each in layers:
            answer = self._ask(accelerator, each, architecture, places)
            cycles += each.layer.count * answer.cycles
            dram_bits += each.layer.count * answer.dram_bits
            for place in energies:
                energies[place] += each.layer.count * answer.energies_pj[place]
        metrics = combine(
            cycles=cycles,
            dram_bits=dram_bits,
            macs=self._model.network.macs,
            units=architecture.compute.instances,
            area_mm2=0.0,
            clock_mhz=machine.clock_mhz,
            **{f"{place}_pj": energy for place, energy in energies.items()},
        )
        return {name: metrics[name] for name in self.reports}

    def _ask(
        self,
        accelerator: str,
        mapped: MappedLayer,
        architecture: Architecture,
        places: Mapping[str, str],
    ) -> _Answer:
        """Return what a layer costs once; equal questions are asked once."""
        spatial = spatial_mapping_text(mapped)
        key = (accelerator, spatial, mapped.layer.shape_key)
        if key not in self._answers:
            found = self._tool.run(
                accelerator, workload(mapped.layer, architecture), spatial, mapped.layer.name
            )
            used = mapped.layer.macs / found.ideal_cycles
            wanted = _parallel(mapped)
            if abs(used - wanted) > 1e-6 * wanted:
                raise InfeasibleDesign(
                    f"layer {mapped.layer.name!r}: ZigZag would use {used:g} of the {wanted} "
                    f"multipliers that it is mapped to, since the memory that feeds them cannot "
                    f"serve more in a cycle. Give the elements memories of their own, or that "
                    f"memory more bandwidth."
                )
            self._answers[key] = _answer(found, places)
        return self._answers[key]

    @cached_property
    def _tool(self) -> _Tool:
        return _Tool(self._opt, self._lpf_limit)

    @cached_property
    def _tool_version(self) -> str:
        try:
            require("zigzag.stages.parser.workload_parser", extra="zigzag")
        except ImportError as error:  # of something that it needs itself
            raise ConfigError(
                f"zigzag cannot be imported: {error}. Install it with: pip install "
                f"'archgym_py[zigzag]'"
            ) from error
        try:
            return version("zigzag-dse")
        except PackageNotFoundError:
            raise ConfigError(
                "zigzag is installed without its distribution zigzag-dse, so that its version is "
                "unknown. Install it with: pip install 'archgym_py[zigzag]'"
            ) from None


class _Tool:
    """ZigZag's stages.

    Args:
        opt: What is minimised, a key of `_STAGES`.
        lpf_limit: Factors into which loops are cut.

    Raises:
        ConfigError: If ZigZag is not installed.
    """

    def __init__(self, opt: str, lpf_limit: int) -> None:
        def stage(module: str, name: str) -> Any:
            return getattr(require(f"zigzag.{module}", extra="zigzag"), name)

        # Without a handler, Python prints the warnings of a library that nobody listens to.
        logging.getLogger("zigzag").addHandler(logging.NullHandler())
        self._main = stage("stages.main", "MainStage")
        self._no_order = stage("opt.loma.engine", "NoValidLoopOrderingFoundException")
        self._stages = [
            stage("stages.parser.workload_parser", "WorkloadParserStage"),
            stage("stages.parser.accelerator_parser", "AcceleratorParserStage"),
            stage("stages.workload_iterator", "WorkloadStage"),
            stage("stages.results.reduce_stages", f"Minimal{_STAGES[opt]}Stage"),
            stage("stages.mapping.spatial_mapping_generation", "SpatialMappingGeneratorStage"),
            stage(
                "stages.mapping.temporal_mapping_generator_stage", "TemporalMappingGeneratorStage"
            ),
            stage("stages.evaluation.cost_model_evaluation", "CostModelStage"),
        ]
        types = require("zigzag.mapping.temporal_mapping", extra="zigzag").TemporalMappingType
        self._options = {
            "loma_lpf_limit": lpf_limit,
            "loma_show_progress_bar": False,
            "temporal_mapping_type": types("uneven"),
            "access_same_data_considered_as_no_access": False,
        }

    def run(
        self, accelerator: str, workload: list[dict[str, Any]], mapping: str, layer: str
    ) -> Found:
        """Return what ZigZag says about its best order of loops.

        Args:
            accelerator: The accelerator as YAML.
            workload: The layer as ZigZag has it.
            mapping: The spatial mapping as YAML.
            layer: Name of the layer, for messages.

        Raises:
            InfeasibleDesign: If no loop order fits the memories.
            SimulatorError: If ZigZag fails.
        """
        with tempfile.TemporaryDirectory(prefix="archgym-") as folder:
            hardware, rules = Path(folder, "accelerator.yaml"), Path(folder, "mapping.yaml")
            hardware.write_text(accelerator, encoding="utf-8")
            rules.write_text(mapping, encoding="utf-8")
            try:
                answers = self._main(
                    list(self._stages),
                    workload=workload,
                    accelerator=str(hardware),
                    mapping=str(rules),
                    **self._options,
                ).run()
            except self._no_order:
                raise InfeasibleDesign(
                    f"layer {layer!r}: ZigZag finds no order of the loops that fits the memories."
                ) from None
            except Exception as error:  # whatever foreign code raises
                raise SimulatorError(
                    f"ZigZag failed on layer {layer!r}: {type(error).__name__}: {error}"
                ) from error
        if len(answers) != 1:
            raise SimulatorError(f"ZigZag has {len(answers)} answers for layer {layer!r}, not one.")
        try:
            return _plain(answers[0][0])
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise SimulatorError(
                f"ZigZag's evaluation of layer {layer!r} is not as expected: "
                f"{type(error).__name__}: {error}"
            ) from error


def _answer(found: Found, places: Mapping[str, str]) -> _Answer:
    """Return what a layer costs.

    Args:
        found: What ZigZag says.
        places: "local", "shared" or "dram" by the name of a memory.

    Raises:
        SimulatorError: If the energies do not add up, or a memory is not known.
    """
    energies = {"mac": found.mac_pj, "local": 0.0, "shared": 0.0, "dram": 0.0}
    dram_bits = 0.0
    for moves in found.moves:
        missing = moves.energy_pj - moves.reported_pj
        slack = _ROUNDING * moves.energy_pj
        if moves.memory not in places or not -slack <= missing <= moves.rounding_pj + slack:
            raise SimulatorError(
                f"ZigZag reports {moves.reported_pj!r} pJ for an operand in {moves.memory!r}, but "
                f"what it moves there takes {moves.energy_pj!r} pJ."
            )
        place = places[moves.memory]
        energies[place] += moves.energy_pj
        dram_bits += moves.bits if place == "dram" else 0.0
    total = found.mac_pj + sum(moves.reported_pj for moves in found.moves)
    if abs(total - found.total_pj) > _ROUNDING * total:
        raise SimulatorError(
            f"ZigZag's energies add up to {total!r} pJ, not to its total {found.total_pj!r} pJ."
        )
    return _Answer(found.cycles, energies, dram_bits)


def _plain(found: Any) -> Found:
    """Return the numbers of ZigZag's CostModelEvaluation."""
    moves = []
    for operand, reported in found.mem_energy_breakdown.items():
        link = found.memory_operand_links.layer_to_mem_op(operand)
        memories = found.accelerator.memory_hierarchy.get_memory_levels(mem_op=link)
        for level, (memory, reported_pj) in enumerate(zip(memories, reported, strict=True)):
            pattern = found.mapping.unit_mem_data_movement[operand][level]
            amounts, widths, periods = (
                pattern.get_attribute(name).data
                for name in (
                    "data_trans_amount_per_period",
                    "data_precision",
                    "data_trans_period_count",
                )
            )
            units = found.mapping.spatial_mapping.unit_count[operand][level + 1]
            energy_pj = rounding_pj = bits = 0.0
            for way, amount in amounts.items():
                if not amount or not widths[way]:
                    continue
                access_pj = memory.read_energy if way in _READS else memory.write_energy
                narrow = memory.get_min_bandwidth(link, way)
                wide = memory.get_max_bandwidth(link, way)
                times = periods[way] * units
                energy_pj += (
                    math.ceil(amount * widths[way] / narrow) * narrow / wide * times * access_pj
                )
                rounding_pj += access_pj
                bits += amount * widths[way] * times
            moves.append(Moves(memory.name, float(reported_pj), energy_pj, rounding_pj, bits))
    return Found(
        cycles=float(found.latency_total2),
        ideal_cycles=float(found.ideal_temporal_cycle),
        mac_pj=float(found.mac_energy),
        total_pj=float(found.energy_total),
        moves=tuple(moves),
    )


def _place(level: Level, architecture: Architecture) -> str:
    """Return to whom a level belongs, as `performance.measure` has it."""
    if level is architecture.levels[-1]:
        return "dram"
    return "shared" if level.instances == 1 else "local"


def _parallel(mapped: MappedLayer) -> int:
    """Return the multipliers that a mapping uses."""
    product = 1
    for level in mapped.mapping.levels:
        for _, factor in (*level.spatial_x, *level.spatial_y):
            product *= factor
    return product
