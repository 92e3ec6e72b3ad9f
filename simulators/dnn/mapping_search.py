"""Mappings as designs: the hardware stays, and how a layer runs on it is what is searched.

The task is that of GAMMA (Kao and Krishna, ICCAD 2020) and of ArchGym's MaestroGym, with the model
of `archgym_py.simulators.dnn.model`. The hardware has three levels: a DRAM, a buffer that all share
(L2), and an array of processing elements (PEs), each with a memory of its own (L1) and one
multiply-accumulate unit (`mapping_hardware`). All levels hold all tensors. `mapping_space` says
what the parameters of a mapping are.

For the default layer (64 channels to 64, 56 x 56 outputs, a filter of 3 x 3) and array (32 x 32):

    >>> simulator = MappingSimulator()
    >>> space = simulator.space
    >>> print(f"{space.count_canonical():.2e}")
    9.12e+13

against 1.2e24 of the published space, which has the same 720 * 720 orders, but lists all tile sizes
below the bounds, of which few divide them, and a number of PEs that its hardware does not get.

One parallel dimension along each side of the array is GAMMA's rule too. It keeps the fan-out legal
whatever an agent draws. Half of all random designs fit the memories; with factors in X and Y for
every dimension, and products that may exceed the array, it would be a fifth.

    >>> drawn = space.batch(np.random.default_rng(0).random((10000, len(space.names)))).designs
    >>> results = simulator.evaluate_batch(drawn, seeds=[0] * len(drawn))
    >>> sum(result.status is Status.OK for result in results)
    5148

A network is feasible if every layer is, which is rare at random where there are many of them. As
the costs of its layers add up, each can be searched alone.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from archgym_py.errors import InfeasibleDesign
from archgym_py.explanation import Explanation
from archgym_py.simulator import Evaluation, Status
from archgym_py.simulators.dnn import kernel
from archgym_py.simulators.dnn.descriptors import describe_network
from archgym_py.simulators.dnn.explain import explain_layers
from archgym_py.simulators.dnn.hardware import Architecture
from archgym_py.simulators.dnn.layers import Layer
from archgym_py.simulators.dnn.mapped import MappedLayer
from archgym_py.simulators.dnn.mapping_hardware import DRAM, L1, L2, array_architecture
from archgym_py.simulators.dnn.mapping_space import layer_mappings, mapping_space
from archgym_py.simulators.dnn.model import (
    MappingArrays,
    check_legal,
    count_batch,
    evaluate,
    tensor_energies,
)
from archgym_py.simulators.dnn.networks import as_network
from archgym_py.simulators.dnn.performance import Limits, combine, describe_metrics
from archgym_py.space import Design

__all__ = ["MappingSimulator"]

_MODEL_VERSION = "1"  # raise it when the same design gets other metrics

_CHUNK: Final = 4096
"""Designs that are worked on at once."""

_Integers = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


class MappingSimulator:
    """Mappings of a layer, or of all layers of a network, on one piece of hardware.

    Layers follow one another, and what a layer costs counts as often as the network has it. A
    design is infeasible if a tile does not fit L1 or L2 in some layer. For the default layer this
    holds for half of the designs that are drawn at random.

    Metrics are those of `performance.describe_metrics`. L1 is the local storage, L2 the shared one,
    whatever the size of the array.

    Args:
        workload: The network: a name, the path of a file, one of its layers ("resnet18/layer1") or
            a mapping; see `networks.as_network`.
        clock_mhz: Clock, in MHz.
        **hardware: Other arguments of `array_architecture`.

    Attributes:
        network: The network.
        architecture: The hardware.
        space: The designs.
        metrics: Names, units and bounds of what is reported.
        problem: All that the metrics of a design depend on, as plain data.

    Raises:
        ConfigError: If an argument is not legal.
        UnknownNameError: If there is no such network, layer, DRAM or number format.

    Examples:
        >>> simulator = MappingSimulator("alexnet/conv3")
        >>> metrics = simulator.evaluate(simulator.space.default(), seed=0).metrics
        >>> metrics["cycles"], round(metrics["utilization"], 3)
        (146016.0, 1.0)
    """

    name: ClassVar[str] = "dnn_mapping"
    deterministic: ClassVar[bool] = True

    def __init__(
        self,
        workload: str | os.PathLike[str] | Mapping[str, Any] = "resnet18/layer1",
        *,
        clock_mhz: float = 200.0,
        **hardware: Any,
    ) -> None:
        self.network = as_network(workload)
        self.version = f"{_MODEL_VERSION}+{self.network.fingerprint}"
        self.architecture = array_architecture(clock_mhz=clock_mhz, **hardware)
        self._clock_mhz = float(clock_mhz)
        layers = layer_mappings(self.network.layers, self.architecture)
        self.space = mapping_space(layers)
        self._mappings = {each.layer.shape_key: each for each in layers}
        self._counts = dict.fromkeys(self._mappings, 0)
        for layer in self.network.layers:
            self._counts[layer.shape_key] += layer.count
        self.metrics = describe_metrics(self.network.layers, self._limits())
        self.problem: Mapping[str, Any] = {
            "network": self.network.fingerprint,
            "hardware": asdict(self.architecture),
            "clock_mhz": self._clock_mhz,
        }

    @cached_property
    def descriptors(self) -> Mapping[str, float]:
        """Numbers of the network and the hardware; see `Described`.

        Energies are those of a word, in pJ, and bandwidths those of an instance, in words a cycle.
        """
        compute, levels = self.architecture.compute, self.architecture.levels
        numbers = {
            "array_x": compute.mesh_x,
            "array_y": compute.mesh_y,
            "clock_mhz": self._clock_mhz,
            "word_bits": levels[DRAM].word_bits,
            "mac_pj": compute.mac_pj,
            "area_mm2": self.architecture.area_um2 / 1e6,
            "dram_bandwidth": levels[DRAM].shared_bandwidth,
            "dram_pj": levels[DRAM].read_pj / levels[DRAM].block_size,
        }
        for name, level in (("l1", levels[L1]), ("l2", levels[L2])):
            numbers[f"{name}_words"] = level.capacity_words
            numbers[f"{name}_bandwidth"] = level.read_bandwidth
            numbers[f"{name}_read_pj"] = level.read_pj / level.block_size
            numbers[f"{name}_write_pj"] = level.write_pj / level.block_size
        described = describe_network(self.network)
        for name, value in numbers.items():
            assert value is not None  # this hardware states all of them
            described[f"log_{name}"] = math.log(value)
        return described

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        """Evaluate one mapping; see `Simulator.evaluate`."""
        return self.evaluate_batch([design], seeds=[seed])[0]

    def evaluate_batch(
        self, designs: Sequence[Design], *, seeds: Sequence[int]
    ) -> list[Evaluation]:
        """Evaluate mappings together.

        Args:
            designs: Designs of `space`.
            seeds: Not used: equal designs always have equal metrics.

        Returns:
            One evaluation for each design, in order; infeasible with the layer, the level and its
            tiles where they do not fit.
        """
        return [
            evaluation
            for start in range(0, len(designs), _CHUNK)
            for evaluation in self._evaluate(designs[start : start + _CHUNK])
        ]

    def explain(self, design: Design) -> Explanation:
        """Explain the metrics of a design layer by layer; see `Explainable.explain`."""
        title = (
            f"{self.network.name} on {self.architecture.compute.instances} multipliers at "
            f"{self._clock_mhz:g} MHz"
        )
        return explain_layers(title, self.architecture, self.map_network(design))

    def map_network(self, design: Design) -> list[MappedLayer]:
        """Return the mapping of every layer, and what each level does with each tensor.

        Args:
            design: A design of `space`.

        Raises:
            InfeasibleDesign: If a tile does not fit.
        """
        mapped = {}
        for shape, mappings in self._mappings.items():
            mapping = mappings.decode([design]).mapping(0)
            mapped[shape] = mapping, evaluate(mappings.layer, self.architecture, mapping)
        return [MappedLayer(layer, *mapped[layer.shape_key]) for layer in self.network.layers]

    def close(self) -> None:
        """Do nothing: the simulator holds no resources."""

    def _evaluate(self, designs: Sequence[Design]) -> list[Evaluation]:
        batch = len(designs)
        messages = [""] * batch
        cycles = np.zeros(batch, np.int64)
        energies_pj = np.zeros((len(self.architecture.levels), batch))
        dram_words = np.zeros(batch, np.int64)
        for shape, mappings in self._mappings.items():
            count = self._counts[shape]
            arrays = mappings.decode(designs)
            work = _work(mappings.layer, self.architecture, arrays)
            for b in np.flatnonzero(work.verdicts[:, 0] != kernel.OK).tolist():
                messages[b] = messages[b] or self._complaint(mappings.layer, arrays, b)
            cycles += count * work.cycles
            energies_pj += count * work.energies_pj
            dram_words += count * work.dram_words
        feasible = np.array([not message for message in messages], np.bool_)
        compute = self.architecture.compute
        columns = combine(
            cycles=cycles[feasible].astype(np.float64),
            mac_pj=np.full(int(feasible.sum()), self.network.macs * compute.mac_pj),
            local_pj=energies_pj[L1, feasible],
            shared_pj=energies_pj[L2, feasible],
            dram_pj=energies_pj[DRAM, feasible],
            dram_bits=dram_words[feasible] * self.architecture.levels[DRAM].word_bits,
            macs=self.network.macs,
            units=compute.instances,
            area_mm2=np.full(int(feasible.sum()), self.architecture.area_um2 / 1e6),
            clock_mhz=self._clock_mhz,
        )
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        return [
            Evaluation(status=Status.INFEASIBLE, message=message)
            if message
            else Evaluation(dict(zip(columns, next(rows), strict=True)))
            for message in messages
        ]

    def _complaint(self, layer: Layer, arrays: MappingArrays, b: int) -> str:
        try:
            check_legal(
                layer, self.architecture, arrays.spatial[b], arrays.temporal[b], arrays.keep[b]
            )
        except InfeasibleDesign as error:
            return str(error)
        raise AssertionError("the kernel refuses a mapping that is legal")  # pragma: no cover

    def _limits(self) -> Limits:
        levels, compute = self.architecture.levels, self.architecture.compute
        l1, l2, dram = levels
        area = self.architecture.area_um2 / 1e6
        bandwidths = (
            bandwidth
            for level in levels
            for bandwidth in (level.read_bandwidth, level.write_bandwidth, level.shared_bandwidth)
            if bandwidth is not None
        )
        word_bytes = dram.word_bits / 8
        return Limits(
            units=compute.instances,
            clock_mhz=(self._clock_mhz, self._clock_mhz),
            mac_pj=(compute.mac_pj, compute.mac_pj),
            access_pj=sum(max(level.read_pj, level.write_pj) for level in levels),
            # Two operands are read and a sum is written for each operation.
            local_pj=(2 * l1.read_pj + l1.write_pj) / l1.block_size,
            shared_pj=min(l2.read_pj, l2.write_pj) / l2.block_size,
            dram_pj=min(dram.read_pj, dram.write_pj) / dram.block_size,
            bandwidth=min(bandwidths),
            area_mm2=(area, area),
            word_bytes=(word_bytes, word_bytes),
        )


class _Work(NamedTuple):
    """What a layer costs once under each mapping of a batch.

    Attributes:
        verdicts: As `kernel.evaluate` has them, int64[B, 2].
        cycles: Cycles, int64[B]; 0 for illegal mappings, as all that follows.
        energies_pj: Energy of each level, float64[3, B].
        dram_words: Words that the DRAM reads and writes, int64[B].
    """

    verdicts: _Integers
    cycles: _Integers
    energies_pj: _Floats
    dram_words: _Integers


def _work(layer: Layer, architecture: Architecture, arrays: MappingArrays) -> _Work:
    """Evaluate mappings, with the energy of each level."""
    counts = count_batch(layer, [architecture], arrays)
    return _Work(
        counts.verdicts,
        counts.results[:, 0].astype(np.int64),
        tensor_energies(architecture, counts).sum(axis=2).T,
        counts.words[:, DRAM].sum(axis=(1, 2)),
    )
