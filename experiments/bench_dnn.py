"""How fast the models of DNN accelerators are, on one core.

A section of `archgym_py.experiments.bench`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from archgym_py.errors import InfeasibleDesign
from archgym_py.experiments.timing import (
    Effort,
    Section,
    calls_that_take,
    figure_of,
    million_steps,
    repeat_pairs,
    seconds_of,
)
from archgym_py.simulators.dnn.accelerator import AcceleratorSimulator
from archgym_py.simulators.dnn.hardware import Architecture, Compute, Level
from archgym_py.simulators.dnn.layers import DIMS, TENSORS
from archgym_py.simulators.dnn.mapspace import LevelRule, Template, choices_of, combinations
from archgym_py.simulators.dnn.model import MappingArrays, evaluate_batch
from archgym_py.simulators.dnn.networks import load_network
from archgym_py.simulators.dnn.systolic import DATAFLOWS, gemm_of, systolic_counts
from archgym_py.space import Design

__all__ = ["measure_accelerators"]

_TARGET_MAPPINGS_PER_S = 1e6
_TARGET_DESIGNS_PER_S = 40.0
_TARGET_LAYERS_PER_S = 1e6

_BATCH = 20_000  # mappings or arrays of a call
_LAYER = "layer2.conv"

_PES = Architecture(
    name="three levels",
    levels=(
        Level(name="RF", mesh_x=14, mesh_y=12, capacity_words=512, read_pj=1.0, write_pj=1.0),
        Level(
            name="GLB",
            capacity_words=65_536,
            block_size=4,
            read_bandwidth=16,
            write_bandwidth=16,
            read_pj=74.0,
            write_pj=75.0,
        ),
        Level(name="DRAM", block_size=4, read_pj=512.0, write_pj=512.0),
    ),
    compute=Compute(mesh_x=14, mesh_y=12, mac_pj=2.2),
)
_ALL = "".join(DIMS)
_ANY = Template(
    "any",
    (
        LevelRule(temporal=_ALL),
        LevelRule(temporal=_ALL, spatial_x="MP", spatial_y="CQ"),
        LevelRule(temporal=_ALL),
    ),
)


def measure_accelerators(effort: Effort) -> Section:
    """Time the loop-nest model, the mapper and the systolic model.

    Args:
        effort: How much is measured.

    Returns:
        Mappings, designs and layers per second, on one core.
    """
    mappings = _mappings_job()
    arrays = _arrays_job()
    figures = []
    for name, job, target in (
        ("mappings of a ResNet-18 layer, three levels", mappings, _TARGET_MAPPINGS_PER_S),
        ("layers on systolic arrays, batched", arrays, _TARGET_LAYERS_PER_S),
    ):
        job_s, steps_s = repeat_pairs(job, million_steps, effort)
        rates = [_BATCH / seconds for seconds in job_s]
        ratios = [rate * steps for rate, steps in zip(rates, steps_s, strict=True)]
        figures.append(figure_of(name, rates, ratios, target=target, also=float(_BATCH)))
    rates, ratios = _design_rates(effort)
    figures.append(
        figure_of(
            "new designs of the published space, AlexNet, best mappings",
            rates,
            ratios,
            target=_TARGET_DESIGNS_PER_S,
            also=float(_designs_of(effort)),
        )
    )
    return Section(
        title="DNN accelerators, one core",
        unit="per second",
        ratio_to="per 1e6 calibration steps",
        also="in a call",
        figures=tuple(figures),
        note="Mappings are random legal ones. Designs are random feasible ones that no cache has "
        "seen, with all five convolutions mapped and every mapping proved to be the best.",
    )


def _mappings_job() -> Callable[[], object]:
    """Return a call that evaluates random legal mappings of a layer."""
    [layer] = load_network("resnet18").select(_LAYER).layers
    fans = tuple(n for fan in zip(_PES.fanout_x, _PES.fanout_y, strict=True) for n in fan)
    choices = choices_of(_ANY, layer.bounds)
    combos = combinations(_ANY, layer.bounds, fans)
    rng = np.random.default_rng(0)
    levels, dims = len(_PES.levels), len(DIMS)
    legal: list[MappingArrays] = []
    found = 0
    while found < _BATCH:
        ways = combos.options[rng.integers(len(combos.options), size=_BATCH)]
        first, last = choices.first_row[ways], choices.last_row[ways]
        rows = first + (rng.random(ways.shape) * (last - first)).astype(np.int64)
        batch = MappingArrays(
            choices.options[ways].transpose(0, 2, 1).reshape(_BATCH, levels, 2, dims),
            np.ascontiguousarray(choices.rows[rows].transpose(0, 2, 1)),
            np.argsort(rng.random((_BATCH, levels, dims)), axis=2),
            np.ones((_BATCH, levels, len(TENSORS)), np.bool_),
        )
        verdicts, _ = evaluate_batch(layer, [_PES], batch)
        ok = np.flatnonzero(verdicts[:, 0] == 0)
        legal.append(MappingArrays(*(part[ok] for part in _parts(batch))))
        found += len(ok)
    joined = [
        np.concatenate(columns)[:_BATCH]
        for columns in zip(*(_parts(part) for part in legal), strict=True)
    ]
    mappings = MappingArrays(*joined)
    mappings.check(layer, _PES)
    return lambda: evaluate_batch(layer, [_PES], mappings)


def _parts(arrays: MappingArrays) -> tuple[npt.NDArray[Any], ...]:
    return arrays.spatial, arrays.temporal, arrays.order, arrays.keep


def _arrays_job() -> Callable[[], object]:
    """Return a call that evaluates layers of ResNet-18 on random systolic arrays."""
    rng = np.random.default_rng(0)
    gemms = [gemm_of(layer) for layer in load_network("resnet18").layers]
    m, n, k = np.array([(gemm.m, gemm.n, gemm.k) for gemm in gemms]).T
    which = rng.integers(len(gemms), size=_BATCH)
    rows, columns = rng.integers(4, 257, size=(2, _BATCH))
    dataflow = np.array(DATAFLOWS)[rng.integers(len(DATAFLOWS), size=_BATCH)]
    return lambda: systolic_counts(rows, columns, dataflow, m[which], n[which], k[which])


def _designs_of(effort: Effort) -> int:
    return max(2, effort.designs // effort.repeats)


def _design_rates(effort: Effort) -> tuple[list[float], list[float]]:
    """Return new designs per second, and per million calibration steps, by repeat."""
    rng = np.random.default_rng(0)
    warm = AcceleratorSimulator("archgym_alexnet", threads=1)
    warm.evaluate(warm.platform.space.default(), seed=0)
    steps = calls_that_take(million_steps, effort.repeat_s / 4)
    rates, ratios = [], []
    for _ in range(effort.repeats):
        designs = _feasible(warm, rng, _designs_of(effort))
        fresh = AcceleratorSimulator("archgym_alexnet", threads=1)
        seconds = seconds_of(partial(_evaluate, fresh, designs))
        rates.append(len(designs) / seconds)
        ratios.append(rates[-1] * seconds_of(million_steps, steps))
    return rates, ratios


def _evaluate(simulator: AcceleratorSimulator, designs: list[Design]) -> None:
    for design in designs:
        simulator.evaluate(design, seed=0)


def _feasible(
    simulator: AcceleratorSimulator, rng: np.random.Generator, count: int
) -> list[Design]:
    """Return random designs on which every layer has a mapping."""
    designs: list[Design] = []
    while len(designs) < count:
        design = simulator.platform.space.sample(rng)
        try:
            simulator.check(design)
        except InfeasibleDesign:
            continue
        designs.append(design)
    return designs
