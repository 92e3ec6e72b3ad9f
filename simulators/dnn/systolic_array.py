"""A systolic array with its memories as a simulator: designs in, metrics out.

The array is that of `archgym_py.simulators.dnn.systolic`; this module adds what it costs. A chip
has the array, an SRAM each for inputs (ifmap), weights (filter) and outputs (ofmap), and a DRAM.

* Layers follow one another. A layer takes as long as the longer of its computation and its DRAM
  traffic, which double buffering overlaps; the first fill and the last drain count as overlapped.
  A fold streams a whole matrix, so with ws and is the sums of large layers spill to the DRAM.
* Half of an SRAM is made of equal macros with a word of 64 bits, as many as serve all lanes of the
  array that it is wired to in every cycle. The macros of the ofmap have two ports, to read a sum
  and to write it. Accesses are counted in bits that move, without rounding to whole words.
* Inputs and weights have the design's precision, partial sums have 32 bits. Outputs get the
  precision on their way to the DRAM; sums that return from there have 32 bits.
* The registers of the cells are written as words pass: for each multiplication two operands and a
  sum (os) or one and a sum (ws, is). Words that are loaded into the array (ws, is) or drained from
  it (os) pass half of the rows.
* A shorter clock period takes larger multipliers and more energy for each multiplication: by the
  ratios of Aladdin's 32-bit multiplier (Shao et al., ISCA 2014), interpolated in the period.
* Prices are those of `archgym_py.simulators.dnn.components` and `sram` at 45 nm. Leakage, control,
  wires between the parts and the interface to the DRAM are not included.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from typing import Any, ClassVar, Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from archgym_py.errors import ConfigError, InfeasibleDesign
from archgym_py.explanation import Column, Explanation, Row
from archgym_py.simulator import Evaluation, Metric, Status
from archgym_py.simulators.dnn.budgets import Budgets
from archgym_py.simulators.dnn.components import (
    DRAMS,
    PARTIAL_SUM_BITS,
    dram,
    mac,
    register_file,
)
from archgym_py.simulators.dnn.descriptors import (
    describe_budgets,
    describe_network,
    plain_budgets,
)
from archgym_py.simulators.dnn.explain import MACS
from archgym_py.simulators.dnn.networks import as_network
from archgym_py.simulators.dnn.sram import MIN_BANK_WORDS, sram
from archgym_py.simulators.dnn.systolic import DATAFLOWS, dram_traffic, gemm_of, systolic_counts
from archgym_py.space import Choice, Constraint, Design, Ordinal, ParameterSpace, Value

__all__ = ["SYSTOLIC_SPACE", "SystolicSimulator"]

_MODEL_VERSION = "2"  # raise it when the same design gets other metrics

_SIDES = (4, 8, 12, 14, 16, 24, 28, 32, 48, 56, 64, 96, 112, 128, 192, 256)
_KIB = (16, 32, 64, 128, 256, 512, 1024, 2048)
_CHANNELS = (1, 2, 4, 8)
_PRECISIONS = ("int8", "int16", "bf16", "fp16")
_CLOCKS_MHZ = (200, 300, 400, 500, 600, 700, 800, 900, 1000)

_MACRO_BITS = 64  # of a word
_OFMAP = 2  # number of that memory, after ifmap and filter

_REGISTER_BIT = register_file(1, 1)

_MAX_MACS = 2**48  # of a workload, so that sums of bits stay within 64-bit integers
_CHUNK = 2**16  # designs times layers that are worked on at once
_SLACK = 1e-9  # of the bounds, for roundings in another order

_Integers = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


# ---- prices ------------------------------------------------------------------------------------


class _Memory(NamedTuple):
    """An SRAM: energies in pJ per bit, area in um2."""

    read_pj: float
    write_pj: float
    area_um2: float


def _lanes(design: Mapping[str, Value]) -> tuple[int, int, int]:
    """Return how many inputs, weights and sums the array moves in a cycle.

    What stays in the array is loaded along the columns, what streams enters along the rows, and
    outputs leave along the columns. With os weights enter along the columns.
    """
    rows, columns = cast(int, design["rows"]), cast(int, design["columns"])
    return (columns, rows, columns) if design["dataflow"] == "is" else (rows, columns, columns)


def _depth(kib: int, lanes: int, bits: int) -> int:
    """Return the words of each macro of an SRAM."""
    return kib * 1024 * 8 // _MACRO_BITS // (2 * _macros(lanes, bits))


def _macros(lanes: int, bits: int) -> int:
    """Return the macros of each half of an SRAM."""
    return math.ceil(lanes * bits / _MACRO_BITS)


def _parts(design: Mapping[str, Value]) -> list[tuple[int, int, int]]:
    """Return size in KiB, lanes and bits of a word of the SRAMs for ifmap, filter and ofmap."""
    bits = mac(cast(str, design["precision"])).bits
    kib = [cast(int, design[name]) for name in ("ifmap_kib", "filter_kib", "ofmap_kib")]
    return list(zip(kib, _lanes(design), (bits, bits, PARTIAL_SUM_BITS), strict=True))


def _macros_are_deep_enough(design: Mapping[str, Value]) -> bool:
    return all(_depth(*part) >= MIN_BANK_WORDS for part in _parts(design))


def _ports(part: int) -> int:
    return 2 if part == _OFMAP else 1


@lru_cache(maxsize=4096)
def _memory(kib: int, lanes: int, bits: int, ports: int) -> _Memory:
    macro = sram(_depth(kib, lanes, bits), _MACRO_BITS, ports=ports)
    return _Memory(
        macro.read_pj / _MACRO_BITS,
        macro.write_pj / _MACRO_BITS,
        macro.area_um2 * 2 * _macros(lanes, bits),
    )


@lru_cache(maxsize=256)
def _cell(precision: str, clock_mhz: int) -> tuple[float, float]:
    """Return the energy of a multiply-accumulate in pJ and the area of a cell in um2."""
    unit = mac(precision, period_ns=1000.0 / clock_mhz)
    registers = 2 * unit.bits + PARTIAL_SUM_BITS
    return unit.energy_pj, unit.area_um2 + registers * _REGISTER_BIT.area_um2


@lru_cache(maxsize=1024)
def _dram_bits(name: str, channels: int, clock_mhz: int) -> float:
    """Return the bits that a memory moves in a cycle."""
    return dram(name).words_per_cycle(clock_mhz, channels, word_bits=1)


# ---- designs -----------------------------------------------------------------------------------

SYSTOLIC_SPACE = ParameterSpace(
    (
        Ordinal("rows", _SIDES, default=32, doc="rows of the array"),
        Ordinal("columns", _SIDES, default=32, doc="columns of the array"),
        Choice("dataflow", DATAFLOWS, default="os", doc="stationary: outputs, weights or inputs"),
        Ordinal("ifmap_kib", _KIB, default=128, doc="SRAM of the inputs", unit="KiB"),
        Ordinal("filter_kib", _KIB, default=128, doc="SRAM of the weights", unit="KiB"),
        Ordinal("ofmap_kib", _KIB, default=128, doc="SRAM of the outputs", unit="KiB"),
        Choice("dram", tuple(DRAMS), default="LPDDR4", doc="memory off the chip"),
        Ordinal("dram_channels", _CHANNELS, default=1, doc="channels or stacks of the memory"),
        Choice("precision", _PRECISIONS, default="int16", doc="format of inputs and weights"),
        Ordinal("clock_mhz", _CLOCKS_MHZ, default=500, doc="clock of the chip", unit="MHz"),
    ),
    (
        Constraint(
            "macro_depth",
            f"each half of an SRAM has a macro for every {_MACRO_BITS} bits that the array moves "
            f"in a cycle, and a macro has at least {MIN_BANK_WORDS} words of {_MACRO_BITS} bits; "
            f"take a larger SRAM or a smaller array",
            _macros_are_deep_enough,
        ),
    ),
)
"""All systolic arrays: 283,115,520 designs."""

_METRICS: Final = {
    "cycles": ("cycles", "clock cycles of one inference"),
    "compute_cycles": ("cycles", "cycles in which the array does not wait: those of SCALE-Sim"),
    "stall_cycles": ("cycles", "cycles in which the array waits for the DRAM"),
    "latency_ms": ("ms", "time of one inference"),
    "utilization": ("1", "multiplications over multipliers and cycles"),
    "dram_mb": ("MB", "1e6 bytes that go to or come from the DRAM"),
    "energy_uj": ("uJ", "energy of one inference, the sum of the next four"),
    "energy_mac_uj": ("uJ", "energy of the multiply-accumulate units"),
    "energy_register_uj": ("uJ", "energy of the registers in the array"),
    "energy_sram_uj": ("uJ", "energy of the three SRAMs"),
    "energy_dram_uj": ("uJ", "energy of the DRAM"),
    "power_mw": ("mW", "energy over latency"),
    "area_mm2": ("mm2", "area of array and SRAMs"),
    "edp_uj_ms": ("uJ*ms", "energy times latency"),
}

_ENERGY_PARTS: Final = ("mac", "register", "sram", "dram")
_EXPLAINED: Final = (
    MACS,
    Column("cycles", "1", _METRICS["cycles"][1], total="sum"),
    Column("stall_cycles", "1", _METRICS["stall_cycles"][1], total="sum"),
    Column("bound", "", "what takes the cycles: compute, or the bandwidth of the dram"),
    Column("utilization", "1", _METRICS["utilization"][1], total="mean"),
)


class SystolicSimulator:
    """A systolic array with its memories, running a network layer by layer.

    `archgym_py.simulators.dnn.systolic_array` says what is modelled and what is not. The precision
    changes costs only: whether a network keeps its accuracy is not known here.

    Args:
        workload: The network; see `archgym_py.simulators.dnn.networks.as_network`.
        area_budget_mm2: Largest area of array and SRAMs, in mm2; None for no limit.
        power_budget_mw: Largest mean power of chip and DRAM, in mW; None for no limit.

    Attributes:
        network: The network.
        metrics: Names, units and bounds of what is reported.
        problem: All that the metrics of a design depend on, as plain data.

    Raises:
        ConfigError: If the network is not valid or too large, or a budget is no positive number or
            one that no design can keep.
        UnknownNameError: If there is no such network or layer.

    Examples:
        >>> simulator = SystolicSimulator("alexnet/conv1")
        >>> metrics = simulator.evaluate(SYSTOLIC_SPACE.default(), seed=0).metrics
        >>> metrics["cycles"], round(metrics["latency_ms"], 3)
        (121125.0, 0.242)
    """

    name: ClassVar[str] = "systolic"
    deterministic: ClassVar[bool] = True

    def __init__(
        self,
        workload: str | os.PathLike[str] | Mapping[str, Any] = "alexnet",
        *,
        area_budget_mm2: float | None = None,
        power_budget_mw: float | None = None,
    ) -> None:
        self.network = as_network(workload)
        self.version = f"{_MODEL_VERSION}+{self.network.fingerprint}"
        if self.network.macs > _MAX_MACS:
            raise ConfigError(
                f"network {self.network.name!r} has {self.network.macs} multiplications, more than "
                f"the {_MAX_MACS} that are counted exactly. Take some of its layers."
            )
        products: dict[tuple[int, ...], int] = {}  # equal products cost the same
        for layer in self.network.layers:
            gemm = gemm_of(layer)
            shape = (gemm.m, gemm.n, gemm.k, gemm.inputs)
            products[shape] = products.get(shape, 0) + gemm.copies * layer.count
        self._products = _Products(
            np.array(list(products), np.int64).T, np.array(list(products.values()), np.int64)
        )
        bounds = _bounds(self._products)
        self.metrics = tuple(
            Metric(name, unit, *bounds[name], doc) for name, (unit, doc) in _METRICS.items()
        )
        self._budgets = Budgets(
            self.metrics, area_budget_mm2=area_budget_mm2, power_budget_mw=power_budget_mw
        )
        self.problem: Mapping[str, Any] = {
            "network": self.network.fingerprint,
            "budgets": plain_budgets(
                area_budget_mm2=area_budget_mm2, power_budget_mw=power_budget_mw
            ),
        }

    @cached_property
    def descriptors(self) -> Mapping[str, float]:
        """Numbers of the network and the budgets; see `Described`."""
        return {**describe_network(self.network), **describe_budgets(self.problem["budgets"])}

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        """Evaluate one design of `SYSTOLIC_SPACE`; see `Simulator.evaluate`."""
        return self.evaluate_batch([design], seeds=[seed])[0]

    def evaluate_unbudgeted(self, design: Design) -> Evaluation:
        """Evaluate one design of `SYSTOLIC_SPACE`, whatever the budgets."""
        return self._evaluate([design], Evaluation)[0]

    def evaluate_batch(
        self, designs: Sequence[Design], *, seeds: Sequence[int]
    ) -> list[Evaluation]:
        """Evaluate designs together.

        Args:
            designs: Designs of `SYSTOLIC_SPACE`.
            seeds: Not used: equal designs always have equal metrics.

        Returns:
            One evaluation for each design, in order; infeasible for one that breaks a constraint
            of the space or exceeds a budget.
        """
        return self._evaluate(designs, self._budgets.judge)

    def _evaluate(
        self, designs: Sequence[Design], judge: Callable[[dict[str, float]], Evaluation]
    ) -> list[Evaluation]:
        broken = [_broken(design) for design in designs]
        legal = [design for design, rules in zip(designs, broken, strict=True) if not rules]
        size = max(1, _CHUNK // len(self._products.copies))
        rows: list[dict[str, float]] = []
        for start in range(0, len(legal), size):
            table = _evaluate(legal[start : start + size], self._products)
            columns = (table[name].tolist() for name in _METRICS)
            rows += (dict(zip(_METRICS, row, strict=True)) for row in zip(*columns, strict=True))
        remaining = iter(rows)
        return [
            Evaluation(status=Status.INFEASIBLE, message=rules) if rules else judge(next(remaining))
            for rules in broken
        ]

    def explain(self, design: Design) -> Explanation:
        """Explain the metrics of a design layer by layer; see `Explainable.explain`."""
        if rules := _broken(design):
            raise InfeasibleDesign(rules)
        rows = []
        for layer in self.network.layers:
            gemm = gemm_of(layer)
            shape = np.array([[gemm.m], [gemm.n], [gemm.k], [gemm.inputs]], np.int64)
            alone = _evaluate([design], _Products(shape, np.array([gemm.copies], np.int64)))
            cost = {name: values.item() for name, values in alone.items()}
            values = {
                "macs": layer.macs,
                "cycles": int(cost["cycles"]),
                "stall_cycles": int(cost["stall_cycles"]),
                "bound": "dram" if cost["stall_cycles"] else "compute",
                "utilization": cost["utilization"],
            }
            energy_pj = {part: 1e6 * cost[f"energy_{part}_uj"] for part in _ENERGY_PARTS}
            rows.append(Row(layer.name, layer.count, values, energy_pj))
        return Explanation(
            title=(
                f"{self.network.name} on an array of {design['rows']} x {design['columns']}, "
                f"{design['dataflow']}, at {design['clock_mhz']} MHz"
            ),
            part="layer",
            time="cycles",
            columns=_EXPLAINED,
            rows=tuple(rows),
        )

    def close(self) -> None:
        """Do nothing: the simulator holds no resources."""


def _broken(design: Mapping[str, Value]) -> str:
    """Return the constraints that a design breaks, as text."""
    return "; ".join(
        f"{c.name}: {c.doc}" for c in SYSTOLIC_SPACE.constraints if not c.check(design)
    )


# ---- the model ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Products:
    """The matrix products of a network.

    Attributes:
        shapes: M, N, K and distinct inputs of each, as int64[4, products].
        copies: How often each is computed, int64[products].
    """

    shapes: _Integers
    copies: _Integers

    @property
    def macs(self) -> int:
        """Multiplications of one inference."""
        m, n, k, _ = self.shapes
        return int((m * n * k * self.copies).sum())


@dataclass(frozen=True, slots=True)
class _Work:
    """What designs do in one inference, whatever it costs.

    Attributes:
        compute: Cycles of one product without waiting, int64[designs, products].
        dram_bits: Bits of one product from and to the DRAM, int64[designs, products].
        total_compute: Cycles of all products without waiting, int64[designs].
        total_dram_bits: Bits of all products from and to the DRAM, int64[designs].
        sram_bits: Bits read from and written to each SRAM, int64[designs, 3, 2].
        register_bits: Bits written to registers, float64[designs].
    """

    compute: _Integers
    dram_bits: _Integers
    total_compute: _Integers
    total_dram_bits: _Integers
    sram_bits: _Integers
    register_bits: _Floats


def _work(
    products: _Products,
    rows: _Integers,
    columns: _Integers,
    dataflow: _Integers,
    kib: _Integers,
    bits: _Integers,
) -> _Work:
    """Count cycles and bits; all arguments are int64[designs], `kib` int64[3, designs]."""
    m, n, k, inputs = products.shapes
    array = (rows[:, np.newaxis], columns[:, np.newaxis], dataflow[:, np.newaxis])
    words = kib * (1024 * 8) // np.array([bits, bits, np.full_like(bits, PARTIAL_SUM_BITS)])
    counts = systolic_counts(*array, m, n, k)
    traffic = dram_traffic(
        *array,
        m,
        n,
        k,
        inputs=inputs,
        ifmap_words=words[0, :, np.newaxis],
        filter_words=words[1, :, np.newaxis],
        ofmap_words=words[2, :, np.newaxis],
    )

    def total(per_product: _Integers) -> _Integers:
        sums: _Integers = (per_product * products.copies).sum(axis=1)
        return sums

    spilled = traffic.ofmap_reads  # as many sums go out as come back
    final = traffic.ofmap_writes - spilled
    dram_bits = (traffic.ifmap_reads + traffic.filter_reads + final) * bits[:, np.newaxis]
    dram_bits += 2 * PARTIAL_SUM_BITS * spilled

    written, read = total(counts.ofmap_writes), total(counts.ofmap_reads)
    drained, back = total(traffic.ofmap_writes), total(traffic.ofmap_reads)
    ifmap, weights = total(counts.ifmap_reads), total(counts.filter_reads)
    sram_bits = np.array(
        [
            [ifmap * bits, total(traffic.ifmap_reads) * bits],
            [weights * bits, total(traffic.filter_reads) * bits],
            [(read + drained) * PARTIAL_SUM_BITS, (written + back) * PARTIAL_SUM_BITS],
        ]
    ).transpose(2, 0, 1)

    is_os = dataflow == DATAFLOWS.index("os")
    per_mac = np.where(is_os, 2, 1) * bits + PARTIAL_SUM_BITS
    loaded = np.where(dataflow == DATAFLOWS.index("is"), ifmap, weights) * bits
    shifted = np.where(is_os, written * PARTIAL_SUM_BITS, loaded)
    register_bits = per_mac * float(products.macs) + shifted * ((rows + 1) / 2)
    return _Work(
        compute=counts.cycles,
        dram_bits=dram_bits,
        total_compute=total(counts.cycles),
        total_dram_bits=total(dram_bits),
        sram_bits=sram_bits,
        register_bits=register_bits,
    )


def _cycles(work: _Work, products: _Products, bits_per_cycle: _Floats) -> _Floats:
    """Return the cycles of an inference with memories of some bandwidth; all float64[designs]."""
    waiting = np.ceil(work.dram_bits / bits_per_cycle[:, np.newaxis]).astype(np.int64)
    cycles: _Integers = (np.maximum(work.compute, waiting) * products.copies).sum(axis=1)
    return cycles.astype(np.float64)


def _evaluate(designs: Sequence[Design], products: _Products) -> dict[str, _Floats]:
    """Return the metrics of designs, an entry of each array per design."""

    def column(name: str) -> _Integers:
        return np.array([design[name] for design in designs], np.int64)

    precisions = [cast(str, design["precision"]) for design in designs]
    clock_mhz, rows, columns = column("clock_mhz"), column("rows"), column("columns")
    cells = [_cell(p, clock) for p, clock in zip(precisions, clock_mhz.tolist(), strict=True)]
    mac_pj, cell_um2 = np.array(cells).T
    drams = [cast(str, design["dram"]) for design in designs]
    channels = column("dram_channels")
    dram_bits = map(_dram_bits, drams, channels.tolist(), clock_mhz.tolist())
    srams = np.array(
        [[_memory(*part, _ports(i)) for i, part in enumerate(_parts(design))] for design in designs]
    )  # float64[designs, 3, 3]
    work = _work(
        products,
        rows,
        columns,
        np.array([DATAFLOWS.index(cast(str, design["dataflow"])) for design in designs]),
        np.array([column("ifmap_kib"), column("filter_kib"), column("ofmap_kib")]),
        np.array([mac(precision).bits for precision in precisions]),
    )
    cycles = _cycles(work, products, np.array(list(dram_bits)))
    latency_ms = cycles / (1000.0 * clock_mhz)
    energies = {
        "energy_mac_uj": 1e-6 * products.macs * mac_pj,
        "energy_register_uj": 1e-6 * work.register_bits * _REGISTER_BIT.write_pj,
        "energy_sram_uj": 1e-6 * (work.sram_bits * srams[:, :, :2]).reshape(-1, 6).sum(axis=1),
        "energy_dram_uj": 1e-6
        * work.total_dram_bits
        * np.array([dram(name).pj_per_bit for name in drams]),
    }
    energy_uj = sum(energies.values(), np.zeros(len(designs)))
    return {
        "cycles": cycles,
        "compute_cycles": work.total_compute,
        "stall_cycles": cycles - work.total_compute,
        "latency_ms": latency_ms,
        "utilization": products.macs / (rows * columns * cycles),
        "dram_mb": work.total_dram_bits / 8e6,
        "energy_uj": energy_uj,
        **energies,
        "power_mw": energy_uj / latency_ms,
        "area_mm2": 1e-6 * (rows * columns * cell_um2 + srams[:, :, 2].sum(axis=1)),
        "edp_uj_ms": energy_uj * latency_ms,
    }


# ---- bounds ------------------------------------------------------------------------------------


def _bounds(products: _Products) -> dict[str, tuple[float, float]]:
    """Return bounds of the metrics that hold for every design.

    Every array is worked through twice, with the largest memories and the narrowest words and the
    other way round; prices, clocks and bandwidths then take their extremes for each array.
    """
    arrays = np.array(list(product(_SIDES, _SIDES, range(len(DATAFLOWS))))).T
    widths = [mac(precision).bits for precision in _PRECISIONS]
    by_speed = sorted(DRAMS, key=lambda name: DRAMS[name].bandwidth_gb_s)
    least = _ends(
        _uniform(products, arrays, max(_KIB), min(widths)),
        products,
        arrays,
        memory=by_speed[-1],
        channels=max(_CHANNELS),
        best=min,
    )
    most = _ends(
        _uniform(products, arrays, min(_KIB), max(widths)),
        products,
        arrays,
        memory=by_speed[0],
        channels=min(_CHANNELS),
        best=max,
    )
    ratios = {
        "utilization": ("macs", "cells_cycles"),
        "power_mw": ("energy_uj", "latency_ms"),
    }
    bounds = {
        name: (float(least[name].min()), float(most[name].max()))
        for name in _METRICS
        if name not in ratios
    }
    for name, (above, below) in ratios.items():
        bounds[name] = (
            float((least[above] / most[below]).min()),
            float((most[above] / least[below]).max()),
        )
    bounds["stall_cycles"] = (0.0, max(1.0, bounds["stall_cycles"][1]))
    return {
        name: (low * (1.0 - _SLACK), high * (1.0 + _SLACK)) for name, (low, high) in bounds.items()
    }


def _uniform(products: _Products, arrays: _Integers, kib: int, bits: int) -> _Work:
    """Return the work of many arrays, int64[3, arrays], with equal memories and precisions."""
    rows, columns, dataflow = arrays
    count = len(rows)
    return _work(products, rows, columns, dataflow, np.full((3, count), kib), np.full(count, bits))


def _ends(
    work: _Work,
    products: _Products,
    arrays: _Integers,
    *,
    memory: str,
    channels: int,
    best: Callable[[Iterable[float]], float],
) -> dict[str, _Floats]:
    """Return an end of each metric's range for each array; `best` is min or max."""
    pick = np.min if best is min else np.max
    clocks = np.array(_CLOCKS_MHZ)[:, np.newaxis]
    every = np.ones(arrays.shape[1])
    cycles = np.array(
        [
            _cycles(work, products, _dram_bits(memory, channels, clock) * every)
            for clock in _CLOCKS_MHZ
        ]
    )
    cells = np.array([_cell(p, clock) for p, clock in product(_PRECISIONS, _CLOCKS_MHZ)])
    srams = np.array([_sram_end(part, best) for part in range(3)])
    multipliers = arrays[0] * arrays[1]
    energies = {
        "energy_mac_uj": 1e-6 * products.macs * best(cells[:, 0]) * every,
        "energy_register_uj": 1e-6 * work.register_bits * _REGISTER_BIT.write_pj,
        "energy_sram_uj": 1e-6 * (work.sram_bits * srams[:, :2]).reshape(-1, 6).sum(axis=1),
        "energy_dram_uj": 1e-6
        * work.total_dram_bits
        * best(each.pj_per_bit for each in DRAMS.values()),
    }
    energy_uj = sum(energies.values(), 0.0 * every)
    latency_ms = pick(cycles / (1000.0 * clocks), axis=0)
    return {
        "macs": float(products.macs) * every,
        "cells_cycles": multipliers * pick(cycles, axis=0),
        "cycles": pick(cycles, axis=0),
        "compute_cycles": work.total_compute * every,
        "stall_cycles": pick(cycles - work.total_compute, axis=0),
        "latency_ms": latency_ms,
        "dram_mb": work.total_dram_bits / 8e6,
        "energy_uj": energy_uj,
        **energies,
        "area_mm2": 1e-6 * (multipliers * best(cells[:, 1]) + srams[:, 2].sum()),
        "edp_uj_ms": energy_uj * latency_ms,
    }


def _sram_end(part: int, best: Callable[[Iterable[float]], float]) -> list[float]:
    """Return the extreme energies per bit and area of one of the SRAMs, over all designs."""
    widths = {PARTIAL_SUM_BITS} if part == _OFMAP else {mac(p).bits for p in _PRECISIONS}
    memories = [
        _memory(kib, lanes, bits, _ports(part))
        for kib, lanes, bits in product(_KIB, _SIDES, widths)
        if _depth(kib, lanes, bits) >= MIN_BANK_WORDS
    ]
    return [best(figures) for figures in zip(*memories, strict=True)]
