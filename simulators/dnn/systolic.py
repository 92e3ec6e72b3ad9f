"""Systolic arrays: cycles, memory accesses and DRAM traffic of matrix products, in closed form.

An array of `rows` x `columns` multipliers computes an M x K by K x N product. A convolution is one
too (`gemm_of`): M output pixels, N filters, K weights of a filter. The *dataflow* says which matrix
stays in the array; its two dimensions are cut into *folds* of the size of the array, and the third
one streams through:

| dataflow | stays in the array | rows hold | columns hold | streams | cycles of a fold     |
|----------|--------------------|-----------|--------------|---------|----------------------|
| os       | outputs            | M         | N            | K       | K + rows + cols - 2  |
| ws       | weights (filter)   | K         | N            | M       | M + 2 rows + cols - 2|
| is       | inputs (ifmap)     | K         | M            | N       | N + 2 rows + cols - 2|

A partly filled fold takes as long as a full one. These are the rules of SCALE-Sim 3 (Raj et al.,
ISPASS 2025; Samajdar et al., ISPASS 2020), whose results are reproduced exactly, also where it
deviates from them (`compat=True`). With Fr folds along the rows and Fc along the columns the array
moves, in words:

| dataflow | ifmap reads | filter reads | ofmap writes | ofmap reads (to accumulate) |
|----------|-------------|--------------|--------------|-----------------------------|
| os       | M K Fc      | K N Fr       | M N          | 0                           |
| ws       | M K Fc      | K N          | M N Fr       | M N (Fr - 1)                |
| is       | M K         | K N Fc       | M N Fr       | M N (Fr - 1)                |

What passes between the three SRAMs and the DRAM is a model of ours, see `dram_traffic`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import njit

from archgym_py.checks import flag
from archgym_py.errors import ConfigError, did_you_mean
from archgym_py.simulators.dnn.layers import MAX_BOUND, MAX_COUNT, Layer

__all__ = [
    "DATAFLOWS",
    "MAX_SIDE",
    "Gemm",
    "SystolicCounts",
    "Traffic",
    "dram_traffic",
    "gemm_of",
    "systolic_counts",
]

DATAFLOWS: Final = ("os", "ws", "is")
"""The dataflows, in the order of their numbers: output, weight and input stationary."""

MAX_SIDE: Final = 2**16
"""Most rows and columns of an array."""

_OS, _WS = range(2)

_Integers = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Gemm:
    """Equal, independent products of an M x K and a K x N matrix.

    Attributes:
        m: Rows of the inputs and outputs.
        n: Columns of the weights and outputs.
        k: Length of the sums.
        copies: How many such products there are, one after the other.
        inputs: Distinct input words of one product. In a convolution neighbouring windows share
            inputs, so they are fewer than M K.

    Examples:
        >>> Gemm(m=4, n=3, k=2, copies=1, inputs=8).macs
        24
    """

    m: int
    n: int
    k: int
    copies: int
    inputs: int

    @property
    def macs(self) -> int:
        """Multiply-accumulate operations of all copies."""
        return self.m * self.n * self.k * self.copies


def gemm_of(layer: Layer) -> Gemm:
    """Return the matrix products that a layer amounts to.

    A group, a channel of a depthwise convolution and a head of an attention are each a product of
    their own.

    Args:
        layer: The layer.

    Returns:
        M = N P Q output pixels, N = M filters, K = C R S weights of a filter, G copies.

    Examples:
        >>> conv = Layer(name="conv", op="conv", M=96, C=3, P=55, Q=55, R=11, S=11,
        ...              stride_p=4, stride_q=4)
        >>> gemm_of(conv)
        Gemm(m=3025, n=96, k=363, copies=1, inputs=154587)
    """
    columns = _distinct(layer.P, layer.stride_p, layer.R, layer.dilation_r)
    rows = _distinct(layer.Q, layer.stride_q, layer.S, layer.dilation_s)
    return Gemm(
        m=layer.N * layer.P * layer.Q,
        n=layer.M,
        k=layer.C * layer.R * layer.S,
        copies=layer.G,
        inputs=layer.N * layer.C * columns * rows,
    )


def _distinct(outputs: int, stride: int, taps: int, dilation: int) -> int:
    """Count the input positions p * stride + r * dilation.

    With both steps divided by their common factor, (p, r) and (p - dilation, r + stride) are the
    same position and no other pairs are; every pair that has such a partner is counted once less.
    """
    factor = math.gcd(stride, dilation)
    shared = max(0, outputs - dilation // factor) * max(0, taps - stride // factor)
    return outputs * taps - shared


@dataclass(frozen=True, slots=True)
class SystolicCounts:
    """What an array does for one product; arrays of the shape of the arguments.

    Attributes:
        cycles: Clock cycles, as int64. With `compat` the number of the last cycle, counted from 0.
        ifmap_reads: Words that the array reads from the ifmap SRAM.
        filter_reads: Words that the array reads from the filter SRAM.
        ofmap_writes: Words that the array writes to the ofmap SRAM.
        ofmap_reads: Partial sums that are read back from there to be added to. SCALE-Sim does not
            count them.
        mapping_efficiency: Share of the multipliers that hold an operand, mean over the folds.
        compute_utilization: Multiplications over cycles and multipliers.
    """

    cycles: _Integers
    ifmap_reads: _Integers
    filter_reads: _Integers
    ofmap_writes: _Integers
    ofmap_reads: _Integers
    mapping_efficiency: _Floats
    compute_utilization: _Floats


@dataclass(frozen=True, slots=True)
class Traffic:
    """Words between the SRAMs and the DRAM for one product, as int64 arrays.

    Attributes:
        ifmap_reads: Input words read.
        filter_reads: Weight words read.
        ofmap_writes: Output words written, M N of them final and the others partial sums.
        ofmap_reads: Partial sums read back.
    """

    ifmap_reads: _Integers
    filter_reads: _Integers
    ofmap_writes: _Integers
    ofmap_reads: _Integers


def systolic_counts(
    rows: npt.ArrayLike,
    columns: npt.ArrayLike,
    dataflow: str | Sequence[str] | npt.ArrayLike,
    m: npt.ArrayLike,
    n: npt.ArrayLike,
    k: npt.ArrayLike,
    *,
    compat: bool = False,
) -> SystolicCounts:
    """Count the cycles and SRAM accesses of matrix products on arrays.

    All arguments broadcast against each other as in numpy.

    Args:
        rows: Rows of the array, 1 to `MAX_SIDE`.
        columns: Columns of the array, 1 to `MAX_SIDE`.
        dataflow: A name of `DATAFLOWS`, or an array of names or of their positions there.
        m: M, from 1 on.
        n: N, from 1 on.
        k: K, from 1 on.
        compat: Whether to give what SCALE-Sim 3.0.0 prints: cycles less 1, as it prints the number
            of the last one; rows + columns too many ofmap writes in each fold of os; and a
            utilization of ws and is over 2 rows + 2 columns + streamed length - 3 cycles a fold.

    Returns:
        The counts, in words.

    Raises:
        ConfigError: If a number is out of range, a dataflow is unknown, the shapes do not fit
            together, or a product has more multiplications than are counted exactly.

    Examples:
        >>> counts = systolic_counts(8, 8, ["os", "ws"], 32, 32, 32)
        >>> counts.cycles.tolist(), counts.filter_reads.tolist()
        ([736, 864], [4096, 1024])
        >>> systolic_counts(8, 8, "os", 32, 32, 32, compat=True).cycles.item()
        735
    """
    shape, flat = _broadcast(
        rows=rows, columns=columns, dataflow=_numbers_of(dataflow), m=m, n=n, k=k
    )
    counts = np.empty((5, flat.shape[1]), np.int64)
    shares = np.empty((2, flat.shape[1]), np.float64)
    _count(flat, flag("compat", compat), counts, shares)
    cycles, ifmap, weights, outputs, back = (column.reshape(shape) for column in counts)
    mapped, busy = (column.reshape(shape) for column in shares)
    return SystolicCounts(cycles, ifmap, weights, outputs, back, mapped, busy)


def dram_traffic(
    rows: npt.ArrayLike,
    columns: npt.ArrayLike,
    dataflow: str | Sequence[str] | npt.ArrayLike,
    m: npt.ArrayLike,
    n: npt.ArrayLike,
    k: npt.ArrayLike,
    *,
    inputs: npt.ArrayLike,
    ifmap_words: npt.ArrayLike,
    filter_words: npt.ArrayLike,
    ofmap_words: npt.ArrayLike,
    compat: bool = False,
) -> Traffic:
    """Count the words between three double-buffered SRAMs and the DRAM.

    One half of each SRAM serves the array while the other is filled or drained, so a half is what
    can be kept. The folds along the rows are the inner loop and those along the columns the outer
    one, as in SCALE-Sim. With w = min(columns, size of what the columns hold):

    | tensor | dataflow | what a half must keep       | words if it does | words otherwise         |
    |--------|----------|-----------------------------|------------------|-------------------------|
    | ifmap  | os, ws   | all inputs                  | inputs           | inputs Fc               |
    | ifmap  | is       | nothing: each is used once  | inputs           |                         |
    | filter | os       | weights of a column, K w    | K N              | K N Fr                  |
    | filter | ws       | nothing: each is used once  | K N              |                         |
    | filter | is       | all weights                 | K N              | K N Fc                  |
    | ofmap  | os       | nothing: the array does     | M N              |                         |
    | ofmap  | ws, is   | sums of a column, M w (ws)  | M N              | M N Fr written,         |
    |        |          | or N w (is)                 |                  | M N (Fr - 1) read       |

    Overlapping windows of a convolution fetch an input once in each pass over the inputs: the
    SRAM is taken to keep the few rows that neighbouring windows share.

    Args:
        rows: Rows of the array.
        columns: Columns of the array.
        dataflow: As in `systolic_counts`.
        m: M.
        n: N.
        k: K.
        inputs: Distinct input words of a product, `Gemm.inputs`.
        ifmap_words: Capacity of the ifmap SRAM, both halves, in words.
        filter_words: Capacity of the filter SRAM, both halves, in words.
        ofmap_words: Capacity of the ofmap SRAM, both halves, in partial sums.
        compat: Whether the partial sums of every fold are written to the DRAM and none is read
            back, as SCALE-Sim 3.0.0 counts.

    Returns:
        The words of each product.

    Raises:
        ConfigError: As `systolic_counts` does.

    Examples:
        >>> sizes = dict(inputs=4096, filter_words=2**17, ofmap_words=2**17)
        >>> dram_traffic(8, 8, "os", 64, 64, 64, ifmap_words=8192, **sizes).ifmap_reads.item()
        4096
        >>> dram_traffic(8, 8, "os", 64, 64, 64, ifmap_words=8190, **sizes).ifmap_reads.item()
        32768
    """
    shape, flat = _broadcast(
        rows=rows,
        columns=columns,
        dataflow=_numbers_of(dataflow),
        m=m,
        n=n,
        k=k,
        inputs=inputs,
        ifmap_words=ifmap_words,
        filter_words=filter_words,
        ofmap_words=ofmap_words,
    )
    words = np.empty((4, flat.shape[1]), np.int64)
    _move(flat, flag("compat", compat), words)
    return Traffic(*(column.reshape(shape) for column in words))


# ---- kernels -----------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def _count(flat: Any, compat: bool, counts: Any, shares: Any) -> None:
    """Fill int64[5, n] and float64[2, n] from int64[6, n], in the order of `SystolicCounts`."""
    for i in range(flat.shape[1]):
        rows, columns, dataflow, m, n, k = (
            flat[0, i],
            flat[1, i],
            flat[2, i],
            flat[3, i],
            flat[4, i],
            flat[5, i],
        )
        along_rows = m if dataflow == _OS else k
        along_columns = m if dataflow > _WS else n
        fr = (along_rows + rows - 1) // rows
        fc = (along_columns + columns - 1) // columns
        folds = fr * fc
        ifmap, weights, outputs, back = m * k, k * n, m * n, 0
        if dataflow == _OS:
            cycles = folds * (k + rows + columns - 2)
            busy = cycles
            ifmap *= fc
            weights *= fr
            if compat:
                outputs += folds * (rows + columns)
        else:
            streamed = m if dataflow == _WS else n
            cycles = folds * (streamed + 2 * rows + columns - 2)
            busy = folds * (streamed + 2 * rows + 2 * columns - 3) if compat else cycles
            if dataflow == _WS:
                ifmap *= fc
            else:
                weights *= fc
            back = outputs * (fr - 1)
            outputs *= fr
        counts[0, i] = cycles - 1 if compat else cycles
        counts[1, i] = ifmap
        counts[2, i] = weights
        counts[3, i] = outputs
        counts[4, i] = back
        cells = float(rows * columns)
        shares[0, i] = float(along_rows) * float(along_columns) / (float(folds) * cells)
        shares[1, i] = float(m * n * k) / (cells * float(busy))


@njit(cache=True, nogil=True)
def _move(flat: Any, compat: bool, words: Any) -> None:
    """Fill int64[4, n] from int64[10, n], in the order of `Traffic`."""
    for i in range(flat.shape[1]):
        rows, columns, dataflow, m, n, k = (
            flat[0, i],
            flat[1, i],
            flat[2, i],
            flat[3, i],
            flat[4, i],
            flat[5, i],
        )
        ifmap, weights, outputs, back = flat[6, i], k * n, m * n, 0
        along_columns = m if dataflow > _WS else n
        fr = ((m if dataflow == _OS else k) + rows - 1) // rows
        fc = (along_columns + columns - 1) // columns
        wide = min(columns, along_columns)
        if dataflow <= _WS and 2 * ifmap > flat[7, i]:
            ifmap *= fc
        if dataflow == _OS:
            if 2 * k * wide > flat[8, i]:
                weights *= fr
        else:
            if dataflow > _WS and 2 * weights > flat[8, i]:
                weights *= fc
            sums = (m if dataflow == _WS else n) * wide
            if compat:
                outputs *= fr
            elif 2 * sums > flat[9, i]:
                back = outputs * (fr - 1)
                outputs *= fr
        words[0, i] = ifmap
        words[1, i] = weights
        words[2, i] = outputs
        words[3, i] = back


# ---- arguments ---------------------------------------------------------------------------------


def _numbers_of(dataflow: str | Sequence[str] | npt.ArrayLike) -> npt.ArrayLike:
    """Return the positions of dataflows in `DATAFLOWS`."""
    given = _array("dataflow", dataflow)
    if given.dtype.kind != "U":
        return given
    names, places = np.unique(given, return_inverse=True)
    for name in names.tolist():
        if name not in DATAFLOWS:
            raise ConfigError(f"unknown dataflow {name!r}.{did_you_mean(name, DATAFLOWS)}")
    numbers = np.array([DATAFLOWS.index(name) for name in names.tolist()], np.int64)
    return numbers[places].reshape(given.shape)


def _array(name: str, argument: npt.ArrayLike) -> npt.NDArray[Any]:
    try:
        return np.asarray(argument)
    except (TypeError, ValueError):  # rows of different lengths, for one
        raise ConfigError(f"{name} must be a number or an array, got {argument!r}.") from None


def _broadcast(**arguments: npt.ArrayLike) -> tuple[tuple[int, ...], _Integers]:
    """Return the common shape of the arguments and their values as int64[arguments, size]."""
    arrays = []
    for name, argument in arguments.items():
        array = _array(name, argument)
        low, high = _RANGES.get(name, (1, MAX_BOUND))
        if array.dtype.kind not in "iu":
            raise ConfigError(f"{name} must be whole numbers, got the type {array.dtype}.")
        if array.size and not (array.min() >= low and array.max() <= high):
            wrong = array.min() if array.min() < low else array.max()
            raise ConfigError(f"{name} must be from {low} to {high}, got {wrong}.")
        arrays.append(array)
    try:
        shape = np.broadcast_shapes(*(array.shape for array in arrays))
    except ValueError:
        shapes = ", ".join(
            f"{name} {array.shape}" for name, array in zip(arguments, arrays, strict=True)
        )
        raise ConfigError(f"the arguments must broadcast to one shape, got {shapes}.") from None
    flat = np.empty((len(arrays), math.prod(shape)), np.int64)
    for row, array in zip(flat, arrays, strict=True):
        row.reshape(shape)[...] = array
    _, _, _, m, n, k, *rest = flat
    macs = m.astype(np.float64) * n * k
    if macs.size and macs.max() > MAX_COUNT:
        raise ConfigError(
            f"a product has {macs.max():.4g} multiplications, more than the {MAX_COUNT} that are "
            f"counted exactly. Split it."
        )
    if rest and (rest[0] > m * k).any():
        worst = int(np.argmax(rest[0] - m * k))
        raise ConfigError(
            f"inputs must be at most M K = {m[worst] * k[worst]}, got {rest[0][worst]}."
        )
    return shape, flat


_CAPACITY = (0, 2**62)
_RANGES: dict[str, tuple[int, int]] = {
    "rows": (1, MAX_SIDE),
    "columns": (1, MAX_SIDE),
    "dataflow": (0, len(DATAFLOWS) - 1),
    "inputs": (1, MAX_COUNT),
    "ifmap_words": _CAPACITY,
    "filter_words": _CAPACITY,
    "ofmap_words": _CAPACITY,
}
