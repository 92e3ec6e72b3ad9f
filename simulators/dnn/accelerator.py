"""A DNN accelerator as a simulator: designs in, metrics of a network with its best mappings out.

A design is turned into a `Machine`: storage levels with their prices, a dataflow and a clock. Every
distinct layer of the network is mapped once, by `Mapper`; layers follow one another, and what a
layer costs counts as often as the network has it.

A `Platform` is a space of such designs. There are two: `platforms.eyeriss_platform`, the published
template with its 26 parameters, and `extended.EXTENDED`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import cached_property, partial
from typing import Any, ClassVar

from archgym_py.checks import integer
from archgym_py.cores import cores
from archgym_py.design import Design
from archgym_py.errors import InfeasibleDesign
from archgym_py.explanation import Explanation
from archgym_py.simulator import Evaluation, Metric, Status
from archgym_py.simulators.dnn.budgets import Budgets
from archgym_py.simulators.dnn.descriptors import (
    describe_budgets,
    describe_network,
    plain_budgets,
)
from archgym_py.simulators.dnn.explain import explain_layers
from archgym_py.simulators.dnn.layers import Layer
from archgym_py.simulators.dnn.mapped import MappedLayer
from archgym_py.simulators.dnn.mapper import GOALS, Mapper, check_settings
from archgym_py.simulators.dnn.mapping_cache import MappingCache
from archgym_py.simulators.dnn.mapspace import Template
from archgym_py.simulators.dnn.model import evaluate
from archgym_py.simulators.dnn.networks import as_network
from archgym_py.simulators.dnn.performance import describe_metrics, measure
from archgym_py.simulators.dnn.platforms import Machine, Platform, eyeriss_platform

__all__ = ["AcceleratorSimulator"]

_MODEL_VERSION = "1"  # raise it when the same design gets other metrics

_MAX_THREADS = 1024


class AcceleratorSimulator:
    """A space of DNN accelerators running one network.

    Metrics are those of `performance.describe_metrics` (cycles, latency, energy with its parts,
    energy-delay product, mean power, area, utilisation and DRAM traffic) and `optimal_share`.

    Args:
        workload: The network: a name, the path of a file, one of its layers ("alexnet/conv2") or a
            mapping; see `networks.as_network`.
        platform: The space; that of `eyeriss_platform` if None.
        goal: What the mapper minimises first: "delay", "energy" or "edp".
        effort: Mappings that it evaluates for a layer where not all can be looked at.
        mapper_seed: Seed of its search.
        area_budget_mm2: Largest area, in mm2; None for no limit.
        power_budget_mw: Largest mean power, in mW; None for no limit.
        mapping_cache: File that keeps mappings for other processes; None for memory only.
        threads: Threads for layers and batches; as many as there are cores if None.

    Attributes:
        network: The network.
        platform: The space.
        metrics: Names, units and bounds of what is reported.
        problem: All that the metrics of a design depend on, as plain data. The platform is there
            by its name and limits.

    Raises:
        ConfigError: If an argument is not legal, or no design can keep a budget.
        UnknownNameError: If there is no such network or layer.

    Examples:
        >>> simulator = AcceleratorSimulator("archgym_alexnet")
        >>> design = simulator.platform.space.default()
        >>> metrics = simulator.evaluate(design, seed=0).metrics
        >>> metrics["cycles"], round(metrics["utilization"], 3)
        (7885704.0, 0.813)
    """

    name: ClassVar[str] = "dnn"
    deterministic: ClassVar[bool] = True

    def __init__(
        self,
        workload: str | os.PathLike[str] | Mapping[str, Any],
        *,
        platform: Platform | None = None,
        goal: str = "delay",
        effort: int = 10_000,
        mapper_seed: int = 0,
        area_budget_mm2: float | None = None,
        power_budget_mw: float | None = None,
        mapping_cache: str | os.PathLike[str] | None = None,
        threads: int | None = None,
    ) -> None:
        self.network = as_network(workload)
        self.version = f"{_MODEL_VERSION}+{self.network.fingerprint}"
        self.platform = eyeriss_platform() if platform is None else platform
        self.metrics = (
            *describe_metrics(self.network.layers, self.platform.limits),
            Metric(
                "optimal_share",
                "1",
                0.0,
                1.0,
                "share of the distinct layers whose mapping is proved to be the dataflow's best",
            ),
        )
        self._budgets = Budgets(
            self.metrics, area_budget_mm2=area_budget_mm2, power_budget_mw=power_budget_mw
        )
        self._cache = MappingCache(mapping_cache)
        goal, effort, mapper_seed = check_settings(goal, effort, mapper_seed)
        self._make_mapper = partial(
            Mapper, goal=goal, effort=effort, seed=mapper_seed, cache=self._cache
        )
        # Prices are no field of a platform, but they show in its limits.
        self.problem: Mapping[str, Any] = {
            "network": self.network.fingerprint,
            "platform": {"name": self.platform.name, **asdict(self.platform.limits)},
            "goal": goal,
            "effort": effort,
            "mapper_seed": mapper_seed,
            "budgets": plain_budgets(
                area_budget_mm2=area_budget_mm2, power_budget_mw=power_budget_mw
            ),
        }
        self._mappers: dict[Template, Mapper] = {}
        distinct: dict[tuple[int, ...], Layer] = {}
        for layer in self.network.layers:
            distinct.setdefault(layer.shape_key, layer)  # errors name the first of equal ones
        self._distinct = tuple(distinct.values())
        self._threads = cores() if threads is None else integer("threads", threads, 1, _MAX_THREADS)
        self._pool: ThreadPoolExecutor | None = None

    @cached_property
    def descriptors(self) -> Mapping[str, float]:
        """Numbers of the network, the platform, the mapper and the budgets; see `Described`."""
        limits = self.platform.limits
        return {
            **describe_network(self.network),
            "log_most_units": math.log(limits.units),
            "log_highest_access_pj": math.log(limits.access_pj),
            "log_largest_area_mm2": math.log(limits.area_mm2[1]),
            **{f"goal_{goal}": float(self.problem["goal"] == goal) for goal in GOALS},
            "log_effort": math.log(self.problem["effort"]),
            **describe_budgets(self.problem["budgets"]),
        }

    def __getstate__(self) -> dict[str, Any]:
        """Leave the threads out, which cannot be copied; a copy starts its own."""
        return {**self.__dict__, "_pool": None}

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        """Map the network on one design; see `Simulator.evaluate`."""
        return self._evaluate(design, self._over_threads)

    def evaluate_unbudgeted(self, design: Design) -> Evaluation:
        """Map the network on one design, whatever the budgets."""
        return self._evaluate(design, self._over_threads, judge=Evaluation)

    def evaluate_batch(
        self, designs: Sequence[Design], *, seeds: Sequence[int]
    ) -> list[Evaluation]:
        """Map the network on designs, several at a time.

        Args:
            designs: Complete designs of the platform's space.
            seeds: Not used: the evaluation is deterministic.

        Returns:
            One evaluation for each design, in order.
        """
        if len(designs) < 2:
            return [self._evaluate(design, self._over_threads) for design in designs]
        return self._over_threads(lambda design: self._evaluate(design, _one_by_one), designs)

    def explain(self, design: Design) -> Explanation:
        """Explain the metrics of a design layer by layer; see `Explainable.explain`."""
        machine, layers = self.map_network(design)
        title = (
            f"{self.network.name} on {machine.architecture.name}, {machine.dataflow.name}, "
            f"{machine.architecture.compute.instances} multipliers at {machine.clock_mhz:g} MHz"
        )
        return explain_layers(title, machine.architecture, layers)

    def map_network(self, design: Design) -> tuple[Machine, list[MappedLayer]]:
        """Return the accelerator of a design and, for every layer, its mapping and what it costs.

        Args:
            design: A complete design.

        Raises:
            InfeasibleDesign: If it cannot be built, or a layer has no legal mapping.
        """
        machine = self.check(design)
        by_shape = self._map_all(machine, self._over_threads)
        return machine, [
            replace(by_shape[layer.shape_key], layer=layer) for layer in self.network.layers
        ]

    def check(self, design: Design) -> Machine:
        """Return the accelerator of a design on which every layer has a mapping; no search.

        Args:
            design: A complete design.

        Raises:
            InfeasibleDesign: If it cannot be built, or a layer has no legal mapping.
        """
        machine = self.platform.build(design)
        mapper = self._mapper(machine.dataflow)
        for layer in self._distinct:
            mapper.check_feasible(layer, machine.architecture)
        return machine

    def close(self) -> None:
        """End the threads and close the cache; the simulator can still be used."""
        self._cache.close()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _evaluate(
        self,
        design: Design,
        run: _Run,
        judge: Callable[[dict[str, float]], Evaluation] | None = None,
    ) -> Evaluation:
        try:
            machine = self.check(design)
            mapped = self._map_all(machine, run)
        except InfeasibleDesign as error:
            return Evaluation(status=Status.INFEASIBLE, message=str(error))
        costs = {shape: each.cost for shape, each in mapped.items()}
        metrics = measure(self.network.layers, costs, machine.architecture, machine.clock_mhz)
        proved = sum(bool(each.optimal) for each in mapped.values())
        metrics["optimal_share"] = proved / len(mapped)
        return (self._budgets.judge if judge is None else judge)(metrics)

    def _map_all(self, machine: Machine, run: _Run) -> dict[tuple[int, ...], MappedLayer]:
        """Map every distinct layer of a machine that `check` returned."""
        mapper = self._mapper(machine.dataflow)

        def map_one(layer: Layer) -> MappedLayer:
            found = mapper.map_feasible(layer, machine.architecture)
            cost = evaluate(layer, machine.architecture, found.mapping)
            return MappedLayer(layer, found.mapping, cost, found.optimal)

        mapped = run(map_one, self._distinct)
        return {each.layer.shape_key: each for each in mapped}

    def _mapper(self, dataflow: Template) -> Mapper:
        if dataflow not in self._mappers:
            self._mappers[dataflow] = self._make_mapper(dataflow)
        return self._mappers[dataflow]

    def _over_threads(self, work: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        if self._threads == 1 or len(items) < 2:
            return _one_by_one(work, items)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads)
        return list(self._pool.map(work, items))


_Run = Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]


def _one_by_one(work: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    return [work(item) for item in items]
