"""Finds the best mapping of a layer on an architecture.

    >>> from archgym_py.simulators.dnn.hardware import Architecture, Compute, Level
    >>> from archgym_py.simulators.dnn.mapspace import LevelRule, Template
    >>> pes = Architecture(
    ...     name="small",
    ...     levels=(Level(name="RF", mesh_x=4, mesh_y=4, capacity_words=64, read_pj=0.1),
    ...             Level(name="DRAM", read_pj=100.0, write_pj=100.0)),
    ...     compute=Compute(mesh_x=4, mesh_y=4, mac_pj=1.0))
    >>> rule = LevelRule(temporal="NGMCPQRS")
    >>> any_dataflow = Template("any", (rule, LevelRule(temporal="NGMCPQRS", spatial_x="MC",
    ...                                                 spatial_y="P")))
    >>> gemm = Layer(name="gemm", op="gemm", M=16, C=16, P=16)
    >>> found = Mapper(any_dataflow).map(gemm, pes)
    >>> found.cycles, found.optimal
    (256, True)

**How.** The ways to spread a layer over the array (`mapspace.combinations`) are sorted by the
cycles that they compute for. If the legal mappings are few enough they are all looked at, with a
choice left out as soon as its tiles do not fit and, where cycles come first, with a stop as soon as
the next way computes for longer than the best mapping takes: the result is then proved to be the
best of the template. Otherwise hill climbing from many random starts looks for a good one, until
`effort` mappings are evaluated.

**Same answer every time.** The search is a function of the layer's shape, the architecture, the
template, the goal, the effort and the seed. Results are kept in a `MappingCache`, in memory or also
in a file that processes share.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from archgym_py.checks import integer, require_type
from archgym_py.errors import ConfigError, InfeasibleDesign, did_you_mean
from archgym_py.simulators.dnn import kernel
from archgym_py.simulators.dnn.hardware import Architecture
from archgym_py.simulators.dnn.layers import DIMS, Layer
from archgym_py.simulators.dnn.mapping_cache import Found, MappingCache
from archgym_py.simulators.dnn.mapspace import (
    Choices,
    Combinations,
    Orders,
    Template,
    choices_of,
    combinations,
    minimal_mapping,
    orders_of,
)
from archgym_py.simulators.dnn.model import (
    MappingArrays,
    check_legal,
    evaluate_batch,
    hardware_table,
    steps_on_axes,
)

__all__ = ["GOALS", "Mapper", "check_settings"]

GOALS: Final = {"delay": kernel.DELAY, "energy": kernel.ENERGY, "edp": kernel.EDP}
"""What is minimised first: cycles (then energy), energy (then cycles), or their product."""

MAX_CANDIDATES: Final = 100_000
"""Mappings, legal or not, up to which all of them are looked at. Where cycles come first only those
count that use most of the array: the others are rarely reached."""

MAX_NODES: Final = 250_000
"""Choices after which looking at all mappings is given up: some hundredths of a second."""

MAX_EFFORT: Final = 10**9

MAX_SEED: Final = 2**63 - 1

VERSION: Final = 2
"""Part of the key of kept results; raise it when the model or the search gives others."""


def check_settings(goal: str, effort: int, seed: int) -> tuple[str, int, int]:
    """Check the settings of a mapper, and return them as Python's types.

    Raises:
        ConfigError: If the goal is unknown or the effort or seed is out of range.
    """
    require_type("goal", goal, str)
    if goal not in GOALS:
        raise ConfigError(f"unknown goal {goal!r} of the mapper.{did_you_mean(goal, GOALS)}")
    return goal, integer("effort", effort, 1, MAX_EFFORT), integer("seed", seed, 0, MAX_SEED)


class Mapper:
    """Finds mappings of one template.

    Args:
        template: The dataflow.
        goal: What is minimised first: "delay", "energy" or "edp".
        effort: Mappings that a search evaluates where not all can be looked at.
        seed: Seed of that search.
        fills_of_first_sums: See `model.evaluate_batch`.
        cache: Where results are kept; a new one in memory if None.

    Raises:
        ConfigError: If the goal is unknown or the effort or seed is out of range.
    """

    def __init__(
        self,
        template: Template,
        *,
        goal: str = "delay",
        effort: int = 10_000,
        seed: int = 0,
        fills_of_first_sums: bool = False,
        cache: MappingCache | None = None,
    ) -> None:
        self.template = template
        self.goal, self.effort, self.seed = check_settings(goal, effort, seed)
        self.fills_of_first_sums = fills_of_first_sums
        self._cache = MappingCache() if cache is None else cache
        settings = (VERSION, template, goal, self.effort, self.seed, fills_of_first_sums)
        self._settings = repr(settings).encode()

    def map(self, layer: Layer, architecture: Architecture) -> Found:
        """Find the best mapping of a layer.

        Args:
            layer: The layer.
            architecture: The accelerator, with a level for each rule of the template.

        Returns:
            The mapping and what it costs.

        Raises:
            InfeasibleDesign: If there is no legal mapping. The message names the layer, the level
                and the tensors.
            ConfigError: If the architecture does not have the levels of the template.
        """
        self.check_feasible(layer, architecture)
        return self.map_feasible(layer, architecture)

    def map_feasible(self, layer: Layer, architecture: Architecture) -> Found:
        """Find the best mapping of a layer that `check_feasible` has accepted; see `map`."""
        hardware = hardware_table(architecture)
        prices = np.array([architecture.compute.mac_pj])
        shape = repr(layer.shape_key).encode()
        content = (self._settings, shape, hardware.tobytes(), prices.tobytes())
        key = hashlib.sha256(b"\0".join(content)).hexdigest()
        found = self._cache.get(key)
        if found is None:
            found = self._search(layer, architecture)
            self._cache.put(key, found)
        return found

    def _candidates(
        self, bounds: tuple[int, ...], choices: Choices, combos: Combinations, orders: Orders
    ) -> float:
        """Return how many mappings there are at most; see `MAX_CANDIDATES`."""
        options = combos.options[combos.used == combos.used[0]]
        rows = (choices.last_row - choices.first_row).astype(np.float64)
        factors = rows[options if self.goal == "delay" else combos.options].prod(axis=1).sum()
        loops = _may_loop(self.template) & (np.array(bounds) > 1)
        masks = (loops << np.arange(len(DIMS))).sum(axis=1)
        in_order = orders.n_distinct[np.arange(len(masks)), masks].astype(np.float64)
        return float(factors * in_order.prod())

    def check_feasible(self, layer: Layer, architecture: Architecture) -> None:
        """Raise if a layer has no legal mapping; takes no search.

        Raises:
            InfeasibleDesign: As for `map`.
            ConfigError: As for `map`.
        """
        if len(architecture.levels) != len(self.template.rules):
            raise ConfigError(
                f"template {self.template.name!r} has {len(self.template.rules)} levels, "
                f"architecture {architecture.name!r} {len(architecture.levels)}."
            )
        for rule, level, x, y in zip(
            self.template.rules,
            architecture.levels,
            architecture.fanout_x,
            architecture.fanout_y,
            strict=True,
        ):
            if rule.spread and x * y == 1:
                raise InfeasibleDesign(
                    f"level {level.name!r} of dataflow {self.template.name!r} spreads over its "
                    f"children, but has only one. Use more processing elements."
                )
        spatial, temporal = minimal_mapping(self.template, layer)
        check_legal(layer, architecture, spatial, temporal, _keep(self.template))

    def _search(self, layer: Layer, architecture: Architecture) -> Found:
        bounds = layer.bounds
        fans = zip(architecture.fanout_x, architecture.fanout_y, strict=True)
        choices = choices_of(self.template, bounds)
        combos = combinations(self.template, bounds, tuple(n for fan in fans for n in fan))
        orders = orders_of(self.template)
        keep = _keep(self.template)
        # Where a search finds no start, the mapping with the smallest tiles is there.
        spatial, temporal = minimal_mapping(self.template, layer)
        order = orders.orders[orders.distinct[:, -1, 0]]
        arrays = MappingArrays(
            spatial[np.newaxis], temporal[np.newaxis], order[np.newaxis], keep[np.newaxis]
        )
        _, results = evaluate_batch(
            layer, [architecture], arrays, fills_of_first_sums=self.fills_of_first_sums
        )
        best = results[0]
        stats = np.zeros(2, np.int64)
        problem = (
            (steps_on_axes(layer), layer.macs, GOALS[self.goal], keep),
            (choices.options, choices.first_row, choices.last_row, choices.rows),
            (combos.options, combos.used, hardware_table(architecture)),
            (architecture.compute.mac_pj, not self.fills_of_first_sums),
        )
        goal, distributions, ways, prices = problem
        answer = (best, spatial, temporal, order, stats)
        if self._candidates(bounds, choices, combos, orders) <= MAX_CANDIDATES:
            kernel.search_all(*goal, *orders, *distributions, *ways, *prices, MAX_NODES, *answer)
        evaluated = int(stats[kernel.EVALUATED])
        optimal = bool(stats[kernel.COMPLETE])
        if not optimal:
            may_loop = _may_loop(self.template)
            kernel.search_near(
                *goal, *orders, may_loop, *distributions, *ways, *prices, self.effort, self.seed,
                *answer,
            )  # fmt: skip
            evaluated += int(stats[kernel.EVALUATED])
        return Found(arrays.mapping(0), int(best[0]), float(best[1]), optimal, evaluated)


@lru_cache(maxsize=256)
def _keep(template: Template) -> npt.NDArray[np.bool_]:
    return template.keep


@lru_cache(maxsize=256)
def _may_loop(template: Template) -> npt.NDArray[np.bool_]:
    return np.array([[dim in rule.temporal for dim in DIMS] for rule in template.rules])
