"""Replay recorded runs of FARSI and compare what the library says about the same designs.

A row is a design in the published encoding with what FARSI said of it: times of all kernels,
phases, energies, areas and distances. `replay` takes the list `farsi` of the parsed file.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archgym_py.errors import ArchGymError, ConfigError, InfeasibleDesign
from archgym_py.simulators.soc.arvr_design import Block, Placement, SoC
from archgym_py.simulators.soc.arvr_model import Result, SoCModel, distances
from archgym_py.simulators.soc.arvr_workloads import load_workload

EXACT = 1e-12
"""Numbers are equal if they differ by no more, relative to the reference: sums have roundings."""

TOLERANCES: Mapping[str, float] = {
    "links": 0.0,
    "launch": EXACT,
    "completion": EXACT,
    "phase": EXACT,
    "phase energy": EXACT,
    "peak bytes": 0.0,
    "latency": 1e-4,
    **dict.fromkeys(("energy", "power", "area", "block area", "cost"), 1e-6),
    **dict.fromkeys(("distance, simple", "distance, eliminate", "reward"), 1e-6),
}
"""Largest relative error of each quantity."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Quantity:
    """How one quantity compares over all rows.

    Attributes:
        name: What it is.
        rows: Number of rows.
        exact: Rows in which all of its numbers are equal.
        worst: The largest relative error, infinite where there is another number of values.
        worst_row: The row that has it, "" if there is no error.
        tolerance: What is allowed.
    """

    name: str
    rows: int
    exact: int
    worst: float
    worst_row: str
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the tolerance is kept."""
        return self.worst <= self.tolerance


def replay(rows: Sequence[Row]) -> list[Quantity]:
    """Evaluate the designs of recorded runs and compare.

    Args:
        rows: The list `farsi` of a file of recorded runs.

    Returns:
        A quantity for each of `TOLERANCES`.

    Raises:
        ConfigError: If a row lacks something or names what does not exist.
    """
    models: dict[str, SoCModel] = {}
    errors: dict[str, list[tuple[float, str]]] = {name: [] for name in TOLERANCES}
    for number, row in enumerate(rows):
        name = str(row.get("id", f"row {number}"))
        try:
            found = dict(_compare(row, models))
        except KeyError as error:
            raise ConfigError(f"farsi: {name}: the key {error} is missing.") from None
        except InfeasibleDesign:  # FARSI evaluated it, so that nothing of ours is right
            found = dict.fromkeys(TOLERANCES, math.inf)
        except ArchGymError as error:
            raise ConfigError(f"farsi: {name}: {error}") from error
        for quantity, error_of_row in found.items():
            errors[quantity].append((error_of_row, name))
    return [
        Quantity(
            quantity,
            len(found),
            sum(error <= EXACT for error, _ in found),
            *_worst(found),
            TOLERANCES[quantity],
        )
        for quantity, found in errors.items()
    ]


def report(quantities: Iterable[Quantity]) -> Iterator[str]:
    """Return lines about quantities, for a terminal."""
    yield f"{'quantity':<22}{'rows':>6}{'exact':>7}{'worst':>11}{'limit':>9}  worst row"
    for quantity in quantities:
        mark = "" if quantity.passed else "  FAILED"
        yield (
            f"{quantity.name:<22}{quantity.rows:>6}{quantity.exact:>7}{quantity.worst:>11.2e}"
            f"{quantity.tolerance:>9.0e}  {quantity.worst_row}{mark}"
        )


def choose_sample(rows: Sequence[Row], count: int = 60, seed: int = 0) -> list[Row]:
    """Choose some runs of each workload, by a seed and without a look at any result.

    Args:
        rows: The runs.
        count: How many, the same number of each workload.
        seed: Seed of the choice.

    Returns:
        The runs in the order of `rows`, without the time that FARSI took.
    """
    groups: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault(row["workload"], []).append(place)
    rng = random.Random(seed)
    each = count // len(groups)
    chosen = sorted(
        place for group in groups.values() for place in rng.sample(group, min(each, len(group)))
    )
    return [{key: value for key, value in rows[i].items() if key != "cpu"} for i in chosen]


def _worst(found: Sequence[tuple[float, str]]) -> tuple[float, str]:
    error, name = max(found, default=(0.0, ""), key=lambda pair: pair[0])
    return error, name if error else ""


def _compare(row: Row, models: dict[str, SoCModel]) -> Iterator[tuple[str, float]]:
    """Return the error of each quantity of a row."""
    workload = row["workload"]
    if workload not in models:
        models[workload] = SoCModel(load_workload(workload), compat="farsi")
    model = models[workload]
    soc = _soc(row)
    result = model.evaluate(soc, kernel_order=row["kernel_order"])
    times, recorded = result.kernels, row["kernels"]
    if set(times) != set(recorded):
        raise ConfigError(f"kernels must be the tasks of {workload!r}.")
    yield "links", float(_links(soc, result) != _sorted_links(row["final_links"]))
    yield "launch", _error([times[k][0] for k in recorded], [v[0] for v in recorded.values()])
    yield "completion", _error([times[k][2] for k in recorded], [v[1] for v in recorded.values()])
    yield "phase", _error(result.phases, row["phases"])
    yield "phase energy", _error(result.phase_energy, row["phase_energy"])
    ours, theirs = _blocks(soc, result), sorted(row["block_area"])
    same = [block[:2] for block in ours] == [block[:2] for block in theirs]
    yield (
        "block area",
        _error([b[2] for b in ours], [b[2] for b in theirs]) if same else math.inf,
    )
    yield "peak bytes", _error([b[3] for b in ours], [b[3] for b in theirs]) if same else math.inf
    yield "latency", _error([result.latency_s], [row["latency"]])
    yield "power", _error([result.power_w], [row["power"]])
    yield "area", _error([result.area_m2], [row["area"]])
    yield "energy", _error([result.energy_j], [row["energy"]])
    yield "cost", _error([result.development_cost], [row["cost"]])
    budgets = model.workload.budgets
    assert budgets is not None
    sums = {
        "latency_s": result.latency_s,
        "power_w": result.power_w,
        "area_m2": result.area_m2,
        "dram_area_m2": result.dram_area_m2,
    }
    simple = sum(distances(sums, budgets, "simple").values())
    eliminate = sum(distances(sums, budgets, "eliminate").values())
    yield "distance, simple", _error([simple], [row["dist_simple"]])
    yield "distance, eliminate", _error([eliminate], [row["dist_eliminate"]])
    yield "reward", _error([eliminate], [row["reward"]])


def _soc(row: Row) -> SoC:
    """Return the system of a row; its blocks are named by kind and slot."""
    action, names = row["action"], row["names"]
    bus_of = {m: f"bus {b}" for b, m in enumerate(action["bus_to_mem_connection"]) if m >= 0}
    placed = zip(
        row["tasks_order"],
        action["task_to_pe_mapping"],
        action["task_to_mem_mapping"],
        strict=True,
    )
    return SoC(
        processors={
            f"pe {p}": Block(_type(name), f"bus {action['pe_to_bus_connection'][p]}")
            for p, name in enumerate(names["pe"])
        },
        memories={
            f"mem {m}": Block(_type(name), bus_of.get(m)) for m, name in enumerate(names["mem"])
        },
        buses={f"bus {b}": Block(_type(name)) for b, name in enumerate(names["ic"])},
        tasks={task: Placement(f"pe {p}", f"mem {m}") for task, p, m in placed},
        links=[
            (f"bus {b}", f"bus {other}")
            for b, other in enumerate(action["bus_to_bus_connection"])
            if other >= 0 and other != b
        ],
    )


def _type(name: str) -> str:
    """Return the type of a block: its name without the kind at its end."""
    return name.rpartition("_")[0]


def _blocks(soc: SoC, result: Result) -> list[list[Any]]:
    """Return name, kind, area in m2 and most bytes of the blocks that are built, sorted."""
    kinds = (("pe", soc.processors), ("mem", soc.memories), ("ic", soc.buses))
    return sorted(
        [
            f"{block.type}_{kind}",
            kind,
            result.block_area[name],
            result.peak_bytes.get(name, 0),
        ]
        for kind, blocks in kinds
        for name, block in blocks.items()
        if name in result.block_area
    )


def _links(soc: SoC, result: Result) -> list[list[Any]]:
    """Return the blocks and their neighbours as the file has them, sorted."""
    shown = {
        name: f"{block.type}_{kind}"
        for kind, blocks in (("pe", soc.processors), ("mem", soc.memories), ("ic", soc.buses))
        for name, block in blocks.items()
    }
    neighbours: dict[str, list[str]] = {}
    for one, other in (*result.buses.items(), *result.links):
        neighbours.setdefault(one, []).append(shown[other])
        neighbours.setdefault(other, []).append(shown[one])
    return _sorted_links([[shown[name], near] for name, near in neighbours.items()])


def _sorted_links(links: Iterable[Any]) -> list[list[Any]]:
    return sorted([name, sorted(near)] for name, near in links)


def _error(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the largest error relative to theirs."""
    if len(ours) != len(theirs):
        return math.inf
    return max(
        (
            abs(a - b) / abs(b) if b else math.inf
            for a, b in zip(ours, theirs, strict=True)
            if a != b
        ),
        default=0.0,
    )
