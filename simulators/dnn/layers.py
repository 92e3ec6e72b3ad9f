"""The layers of a network as loop nests: eight dimensions, three tensors.

Every layer is one einsum over the dimensions of `DIMS`:

| dim | convolution                      | matrix product            |
|-----|----------------------------------|---------------------------|
| N   | images of a batch                | batch                     |
| G   | groups, channels of a depthwise  | heads, independent copies |
| M   | output channels of a group       | output features           |
| C   | input channels of a group        | reduction                 |
| P   | output columns                   | rows (tokens)             |
| Q   | output rows                      | 1                         |
| R   | filter columns                   | 1                         |
| S   | filter rows                      | 1                         |

with the tensors Weights[G, M, C, R, S], Outputs[N, G, M, P, Q] and
Inputs[N, G, C, P*stride_p + R*dilation_r, Q*stride_q + S*dilation_s]. P and Q are sizes of the
output; padding is not modelled, so the inputs have (P-1)*stride_p + (R-1)*dilation_r + 1 columns.
These are the names and rules of Timeloop's problem shapes (Parashar et al., ISPASS 2019), with G
added for grouped and depthwise convolutions and for attention heads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Final

from archgym_py.checks import integer
from archgym_py.errors import ConfigError, did_you_mean

__all__ = [
    "DIMS",
    "MAX_BOUND",
    "MAX_COUNT",
    "OPERATIONS",
    "TENSORS",
    "WEIGHT_OPERANDS",
    "Layer",
]

DIMS: Final = ("N", "G", "M", "C", "P", "Q", "R", "S")
"""The dimensions of every layer, in the order of all arrays over dimensions."""

TENSORS: Final = ("Weights", "Inputs", "Outputs")
"""The tensors of every layer, in the order of all arrays over tensors."""

OPERATIONS: Final = ("conv", "depthwise", "gemm")
"""Kinds of layer. They differ in which dimensions may exceed 1."""

WEIGHT_OPERANDS: Final = ("static", "activation")
"""What the tensor Weights is: parameters of the network, or the result of another layer."""

MAX_BOUND: Final = 2**31 - 1
"""Largest size of a dimension, stride, dilation or count."""

MAX_COUNT: Final = 2**52
"""Most operations of a layer times its strides and dilations.

Counts up to here are exact as 64-bit floats, and the sums of several fit into 64-bit integers.
"""

_GEOMETRY = ("stride_p", "stride_q", "dilation_r", "dilation_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer of a network.

    Attributes:
        name: Name of the layer, used in errors and tables.
        op: "conv" (with groups if G > 1), "depthwise" (G channels, M = C = 1) or "gemm" (of G
            independent pairs of matrices, Q = R = S = 1).
        N: Images of a batch.
        G: Groups; channels of a depthwise convolution; heads of an attention.
        M: Output channels of a group.
        C: Input channels of a group.
        P: Output columns.
        Q: Output rows.
        R: Filter columns.
        S: Filter rows.
        stride_p: Input columns from one output column to the next.
        stride_q: Input rows from one output row to the next.
        dilation_r: Input columns from one filter column to the next.
        dilation_s: Input rows from one filter row to the next.
        count: How often the network has this layer.
        weight_operand: "static", or "activation" where the second operand is no parameter of the
            network (attention).

    Raises:
        ConfigError: If a field has the wrong type or is out of range, or does not suit `op`. The
            message names the layer.

    Examples:
        >>> conv1 = Layer(name="conv1", op="conv", M=96, C=3, P=55, Q=55, R=11, S=11,
        ...               stride_p=4, stride_q=4)
        >>> conv1.bounds, conv1.macs, conv1.input_columns
        ((1, 1, 96, 3, 55, 55, 11, 11), 105415200, 227)
        >>> Layer(name="fc", op="gemm", M=1000, C=4096, R=3)
        Traceback (most recent call last):
        archgym_py.errors.ConfigError: layer 'fc': a gemm has R = 1, got R = 3.
    """

    name: str
    op: str
    N: int = 1
    G: int = 1
    M: int = 1
    C: int = 1
    P: int = 1
    Q: int = 1
    R: int = 1
    S: int = 1
    stride_p: int = 1
    stride_q: int = 1
    dilation_r: int = 1
    dilation_s: int = 1
    count: int = 1
    weight_operand: str = "static"

    def __post_init__(self) -> None:
        name: object = self.name
        if not (isinstance(name, str) and name):
            raise ConfigError(f"the name of a layer must be a text, got {name!r}.")
        self._require_one_of("op", OPERATIONS)
        self._require_one_of("weight_operand", WEIGHT_OPERANDS)
        for field in (*DIMS, *_GEOMETRY, "count"):
            value = integer(f"layer {name!r}: {field}", getattr(self, field), 1, MAX_BOUND)
            object.__setattr__(self, field, value)
        fixed = {"conv": "", "depthwise": "MC", "gemm": "QRS"}[self.op]
        for dim in fixed:
            if getattr(self, dim) != 1:
                raise self._error(f"a {self.op} has {dim} = 1, got {dim} = {getattr(self, dim)}")
        self._check_counts()

    @property
    def bounds(self) -> tuple[int, ...]:
        """The size of each dimension, in the order of `DIMS`."""
        return tuple(getattr(self, dim) for dim in DIMS)

    @property
    def macs(self) -> int:
        """Multiply-accumulate operations of one such layer."""
        return math.prod(self.bounds)

    @property
    def input_columns(self) -> int:
        """Columns of the input that the filter touches."""
        return (self.P - 1) * self.stride_p + (self.R - 1) * self.dilation_r + 1

    @property
    def input_rows(self) -> int:
        """Rows of the input that the filter touches."""
        return (self.Q - 1) * self.stride_q + (self.S - 1) * self.dilation_s + 1

    @property
    def shape_key(self) -> tuple[int, ...]:
        """What decides how the layer runs; layers with equal keys cost the same."""
        return (*self.bounds, *(getattr(self, field) for field in _GEOMETRY))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults, as a network file has them."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }

    def _check_counts(self) -> None:
        """Refuse a layer whose counts could overflow.

        All that is counted is at most a few times the operations times the steps; so are the words
        of the inputs, as (P-1) stride + (R-1) dilation + 1 <= (P stride) (R dilation).
        """
        if self.macs > MAX_COUNT:
            raise self._error(
                f"{self.macs} multiply-accumulates are more than the {MAX_COUNT} that are counted "
                f"exactly. Split the layer"
            )
        steps = math.prod(getattr(self, field) for field in _GEOMETRY)
        if self.macs * steps > MAX_COUNT:
            raise self._error(
                f"{self.macs} multiply-accumulates times strides and dilations of {steps}, with "
                f"which the words of its inputs grow, are more than the {MAX_COUNT} that are "
                f"counted exactly. Split the layer, or take smaller strides or dilations"
            )

    def _require_one_of(self, field: str, legal: tuple[str, ...]) -> None:
        value = getattr(self, field)
        if not (isinstance(value, str) and value in legal):
            near = did_you_mean(str(value), legal)
            hint = near if near.startswith(" Did") else ""  # the message lists them already
            raise ConfigError(
                f"layer {self.name!r}: {field} must be one of {', '.join(legal)}, got {value!r}."
                f"{hint}"
            )

    def _error(self, problem: str) -> ConfigError:
        return ConfigError(f"layer {self.name!r}: {problem}.")
