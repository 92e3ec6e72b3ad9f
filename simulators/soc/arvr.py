"""Systems on a chip for augmented and virtual reality as a simulator: designs in, metrics out.

`archgym_py.simulators.soc.arvr_model` says what is modelled, and `arvr_space` what designs are.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from archgym_py.errors import ConfigError, InfeasibleDesign
from archgym_py.explanation import Cell, Column, Explanation, Row
from archgym_py.simulator import Evaluation, Metric, Status
from archgym_py.simulators.soc.arvr_bounds import bounds_of
from archgym_py.simulators.soc.arvr_design import SoC, soc_of
from archgym_py.simulators.soc.arvr_kernel import OK, Designs
from archgym_py.simulators.soc.arvr_model import MET, MET_DISTANCE, Result, SoCModel
from archgym_py.simulators.soc.arvr_space import encoding_of
from archgym_py.simulators.soc.arvr_workloads import Budgets, Workload, as_workload
from archgym_py.simulators.soc.descriptors import describe_workload
from archgym_py.space import Design, ParameterSpace

__all__ = ["ARVRSimulator"]

_MODEL_VERSION = "1"  # raise it when the same design gets other metrics

_PARTS: Final = ("latency", "power", "area", "dram_area")

_METRICS: Final = {
    "latency_ms": ("ms", "time of one run of the workload"),
    "power_mw": ("mW", "largest mean power of a window of 10 ms"),
    "area_mm2": ("mm2", "area of all blocks"),
    "area_non_dram_mm2": ("mm2", "area of the blocks that are no DRAM"),
    "area_dram_mm2": ("mm2", "area of the DRAMs"),
    "energy_uj": ("uJ", "energy of one run, the sum of the next two"),
    "energy_processor_uj": ("uJ", "energy of cores and accelerators"),
    "energy_memory_uj": ("uJ", "energy of reads and writes of memories"),
    "development_cost": ("1", "effort, in units of programming the smallest task"),
    "processors": ("1", "cores and accelerators that have work"),
    "memories": ("1", "memories that hold something"),
    "buses": ("1", "buses that are left when those that pass on only are removed"),
    "distance": ("1", "distance to the budgets, the sum of the next four"),
    **{
        f"distance_{part}": ("1", f"relative excess of {part}, {MET_DISTANCE} within its budget")
        for part in _PARTS
    },
    **{f"excess_{part}": ("1", f"{part} / budget - 1, negative within it") for part in _PARTS},
    "budgets_met": ("1", "how many of the four are kept"),
}
_EXPLAINED: Final = (
    Column("latency_ms", "ms", "time of the phase", total="sum"),
    Column("power_mw", "mW", "mean power of the phase", total="mean"),
    Column("tasks", "1", "tasks under way", total="mean"),
    Column("bound", "", "what sets the pace of each task"),
)

_NAMES: Final = tuple(_METRICS)
_SCALES: Final = (1e3, 1e3, 1e6, 1e6, 1e6, 1e6, 1e6, 1e6, 1.0, 1.0, 1.0, 1.0)
"""From the model's columns, in SI units, to the first metrics, which are in the same order."""
_JUDGED: Final = [
    _NAMES.index(name) for name in ("latency_ms", "power_mw", "area_non_dram_mm2", "area_dram_mm2")
]
"""The metrics with budgets, in the order of `_PARTS`."""


class ARVRSimulator:
    """A system on a chip for a workload of augmented or virtual reality.

    Args:
        workload: "edge_detection", "hpvm_cava" or "audio_decoder", the path of a workload file or
            its content as a mapping; see `archgym_py.simulators.soc.arvr_workloads`.
        space: "limited", "comprehensive", "published_limited" or "published_comprehensive"; see
            `archgym_py.simulators.soc.arvr_space`.
        compat: "farsi" for what the original does, None for what is right; see
            `archgym_py.simulators.soc.arvr_model`.
        latency_budget_ms: Budget of `latency_ms`; None for the workload's.
        power_budget_mw: Budget of `power_mw`; None for the workload's.
        area_budget_mm2: Budget of both areas, each against all of it; None for the workload's.

    Attributes:
        space: The designs.
        workload: The workload.
        budgets: The budgets.
        model: The model.
        metrics: Names, units and bounds of what is reported.
        problem: All that the metrics of a design depend on, as plain data.

    Raises:
        ConfigError: If an argument is not legal, or a budget is given neither here nor by the
            workload.
        UnknownNameError: If there is no such workload.

    Examples:
        >>> simulator = ARVRSimulator("edge_detection")
        >>> metrics = simulator.evaluate(simulator.space.default(), seed=0).metrics
        >>> round(metrics["latency_ms"]), metrics["budgets_met"], round(metrics["distance"], 2)
        (3296, 2.0, 99.89)
    """

    name: ClassVar[str] = "arvr_soc"
    deterministic: ClassVar[bool] = True

    def __init__(
        self,
        workload: str | os.PathLike[str] | Mapping[str, Any] = "edge_detection",
        *,
        space: str = "limited",
        compat: str | None = None,
        latency_budget_ms: float | None = None,
        power_budget_mw: float | None = None,
        area_budget_mm2: float | None = None,
    ) -> None:
        self.workload = as_workload(workload)
        self.model = SoCModel(self.workload, compat=compat)
        self._encoding = encoding_of(space, self.workload, self.model.blocks)
        self.space: ParameterSpace = self._encoding.space
        self.budgets = _budgets(
            self.workload,
            latency_ms=latency_budget_ms,
            power_mw=power_budget_mw,
            area_mm2=area_budget_mm2,
        )
        self.version = f"{_MODEL_VERSION}+{self.workload.fingerprint}"
        bounds = _bounds(self.model, self._encoding.slots, self.budgets)
        self.metrics = tuple(
            Metric(name, unit, *bounds[name], doc) for name, (unit, doc) in _METRICS.items()
        )
        self._memories = [f"memory_{m}" for m in range(self._encoding.slots[1])]
        self.problem: Mapping[str, Any] = {
            "workload": self.workload.fingerprint,
            "space": space,
            "compat": compat,
            "budgets": asdict(self.budgets),
        }

    @cached_property
    def descriptors(self) -> Mapping[str, float]:
        """Numbers of the workload, the budgets and the model; see `Described`."""
        return {
            **describe_workload(self.workload),
            **{f"log_budget_{name}": math.log(x) for name, x in asdict(self.budgets).items()},
            "compat_farsi": float(self.problem["compat"] == "farsi"),
        }

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        """Evaluate one design of `space`; see `Simulator.evaluate`."""
        return self.evaluate_batch([design], seeds=[seed])[0]

    def evaluate_batch(
        self, designs: Sequence[Design], *, seeds: Sequence[int]
    ) -> list[Evaluation]:
        """Evaluate designs together.

        Args:
            designs: Designs of `space`.
            seeds: Not used: equal designs always have equal metrics.

        Returns:
            One evaluation for each design, in order; infeasible for one that is not legal, with the
            slot or task that is wrong.

        Raises:
            DesignError: If a design is not in the space.
        """
        arrays, reasons = self._encoding.designs(designs)
        legal = [row for row, reason in enumerate(reasons) if not reason]
        if len(legal) < len(designs):
            arrays = Designs(**{name: array[legal] for name, array in arrays._asdict().items()})
        table, verdicts = self.model.evaluate_arrays(arrays)
        values = _table(table, self.budgets).tolist()
        kinds = verdicts[:, 0].tolist()
        evaluations = [
            Evaluation(status=Status.INFEASIBLE, message=reason) if reason else None
            for reason in reasons
        ]
        for place, row in enumerate(legal):
            if kinds[place] == OK:
                metrics = dict(zip(_NAMES, values[place], strict=True))
                evaluations[row] = Evaluation(metrics)
            else:
                reason = self.model.reason(verdicts[place], self._memories)
                evaluations[row] = Evaluation(status=Status.INFEASIBLE, message=reason)
        return [evaluation for evaluation in evaluations if evaluation is not None]

    def soc(self, design: Design) -> SoC:
        """Return the system that a design stands for, with all of its slots.

        Raises:
            DesignError: If the design is not in the space.
            InfeasibleDesign: If it is not legal.

        Examples:
            >>> simulator = ARVRSimulator("edge_detection")
            >>> simulator.soc(simulator.space.default()).tasks["siink"]
            Placement(processor='processor_0', memory='memory_0')
        """
        arrays, [reason] = self._encoding.designs([design])
        if reason:
            raise InfeasibleDesign(reason)
        return soc_of(arrays, 0, self.workload, self.model.blocks)

    def result(self, design: Design) -> Result:
        """Return all that is known of a design: kernels, phases, blocks.

        Raises:
            DesignError: If the design is not in the space.
            InfeasibleDesign: If it cannot work.
        """
        return self.model.evaluate(self.soc(design))

    def explain(self, design: Design) -> Explanation:
        """Explain the metrics of a design phase by phase; see `Explainable.explain`.

        A phase lasts until the first of its tasks is complete. For each task it is said what sets
        its pace: its processor, a bus or a memory.

        Examples:
            >>> simulator = ARVRSimulator("edge_detection")
            >>> print(simulator.explain(simulator.space.default()).rows[1].values["bound"])
            laplacianEstimate by processor_0
        """
        result = self.result(design)
        rows: list[Row] = []
        for number, seconds in enumerate(result.phases):
            if seconds == 0.0:
                continue
            processor = result.phase_processor_energy[number]
            limits = result.limits[number]
            values: dict[str, Cell] = {
                "latency_ms": 1e3 * seconds,
                "power_mw": 1e3 * result.phase_energy[number] / seconds,
                "tasks": len(limits),
                "bound": ", ".join(f"{task} by {block}" for task, block in limits.items()),
            }
            energy_pj = {
                "processor": 1e12 * processor,
                "memory": 1e12 * (result.phase_energy[number] - processor),
            }
            rows.append(Row(f"{len(rows) + 1}", 1, values, energy_pj))
        blocks = result.block_area
        return Explanation(
            title=f"{self.workload.name} on {len(blocks)} blocks: {', '.join(blocks)}",
            part="phase",
            time="latency_ms",
            columns=_EXPLAINED,
            rows=tuple(rows),
        )

    def close(self) -> None:
        """Do nothing: the simulator holds no resources."""


def _budgets(workload: Workload, **given: float | None) -> Budgets:
    """Return the budgets of a workload with those that are given in their place."""
    limits = {name: value for name, value in given.items() if value is not None}
    if workload.budgets is not None:
        return replace(workload.budgets, **limits)
    if missing := [name for name in given if name not in limits]:
        name, _, unit = missing[0].partition("_")
        raise ConfigError(
            f"workload {workload.name!r} says nothing of a budget of {missing[0]}. Give "
            f"{name}_budget_{unit}, or add budgets to the workload."
        )
    return Budgets(**limits)


def _table(table: npt.NDArray[np.float64], budgets: Budgets) -> npt.NDArray[np.float64]:
    """Return the metrics in the order of `_METRICS`, shape (designs, metrics)."""
    given = table * np.array(_SCALES)
    limits = (budgets.latency_ms, budgets.power_mw, budgets.area_mm2, budgets.area_mm2)
    excess = given[:, _JUDGED] / np.array(limits) - 1.0
    met = excess < MET
    parts = np.where(met, MET_DISTANCE, excess)
    total = parts.sum(axis=1, keepdims=True)
    return np.concatenate([given, total, parts, excess, met.sum(axis=1, keepdims=True)], axis=1)


def _bounds(
    model: SoCModel, slots: tuple[int, int, int], budgets: Budgets
) -> dict[str, tuple[float, float]]:
    """Return the bounds of all metrics."""
    columns = bounds_of(model, slots)
    bounds = {
        name: (scale * low, scale * high)
        for name, scale, (low, high) in zip(_NAMES, _SCALES, columns.values(), strict=False)
    }
    limits = (budgets.latency_ms, budgets.power_mw, budgets.area_mm2, budgets.area_mm2)
    for part, place, budget in zip(_PARTS, _JUDGED, limits, strict=True):
        low, high = bounds[_NAMES[place]]
        bounds[f"excess_{part}"] = (low / budget - 1.0, high / budget - 1.0)
        bounds[f"distance_{part}"] = (MET_DISTANCE, max(2 * MET, high / budget - 1.0))
    bounds["distance"] = (
        len(_PARTS) * MET_DISTANCE * (1.0 - 1e-9),  # the sum is rounded
        sum(bounds[f"distance_{part}"][1] for part in _PARTS),
    )
    bounds["budgets_met"] = (0.0, float(len(_PARTS)))
    return bounds
