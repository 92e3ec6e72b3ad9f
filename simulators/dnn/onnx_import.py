"""Networks from ONNX models: shapes only, weights are not read.

| node   | layer                                                                            |
|--------|----------------------------------------------------------------------------------|
| Conv   | "depthwise" if each channel is a group of its own, else "conv" with G groups     |
| Gemm   | "gemm"; P are the rows of the input, M the columns of the weights                |
| MatMul | the same; G are batch dimensions that both have, other ones join the rows or     |
|        | columns of their operand                                                         |

The second operand of a product is the tensor Weights; where the first operand alone comes from the
model's parameters, it is that one. `weight_operand` is "activation" where the tensor Weights
depends on the input of the model. Nodes that do no multiply-accumulates are left out. A node that
does some and is none of the above is an error: without it the network would look cheaper than it
is.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from archgym_py.errors import ConfigError, require
from archgym_py.simulators.dnn.layers import Layer
from archgym_py.simulators.dnn.networks import Network

if TYPE_CHECKING:
    import onnx

__all__ = ["read_onnx"]

_STANDARD_DOMAINS: Final = ("", "ai.onnx")
_REFUSED: Final = frozenset(
    {
        *("Attention", "CausalConvWithState", "ConvInteger", "ConvTranspose", "DFT", "DeformConv"),
        *("Einsum", "GRU", "LSTM", "LinearAttention", "MatMulInteger", "QLinearConv"),
        *("QLinearMatMul", "RNN", "STFT"),
    }
)
"""Standard operators that multiply and accumulate, and that no kind of layer stands for."""

_COUNTED: Final = frozenset({"Conv", "Gemm", "MatMul"})
_DRAWN: Final = frozenset(
    {
        *("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform"),
        "RandomUniformLike",
    }
)
"""Operators whose results change from run to run, so that they are no parameters."""


def read_onnx(path: str | os.PathLike[str]) -> Network:
    """Read the layers of an ONNX model.

    Args:
        path: The model. All dimensions of its inputs have to be numbers. Files beside it that hold
            its weights need not be there.

    Returns:
        The network, named after the file; its layers are named after the nodes, or after the first
        output of a node that has no name.

    Raises:
        ConfigError: If the library onnx is not installed, the file cannot be read or is no valid
            model, a shape is not known, or a node multiplies and accumulates in a way that no layer
            stands for. The message names the file and the node.
    """
    source = f"network file {os.fspath(path)}"
    require("onnx", extra="onnx")
    model = _load(path, source)
    for sparse in model.graph.sparse_initializer:
        raise ConfigError(
            f"{source}: the weights {sparse.values.name!r} are sparse, which no layer is. Store "
            f"them as dense ones."
        )
    labels = _labels(model.graph)
    for node, label in zip(model.graph.node, labels, strict=True):
        _refuse_unknown(node, f"{source}: node {label!r}")
    static = _static_values(model.graph)
    _forget_external_weights(model.graph)
    reader = _Reader(_infer_shapes(model, source).graph, static, source)
    layers = [
        reader.layer(node, label)
        for node, label in zip(model.graph.node, labels, strict=True)
        if node.op_type in _COUNTED
    ]
    if not layers:
        raise ConfigError(
            f"{source}: has no Conv, Gemm or MatMul node, so there is nothing to evaluate."
        )
    return Network(name=Path(path).stem, layers=tuple(layers), source=Path(path).name)


class _Reader:
    """Turns nodes into layers.

    Args:
        graph: The graph, with the shapes that were inferred.
        static: Names of the values that do not depend on the input of the model.
        source: What to call the file in messages.
    """

    def __init__(self, graph: onnx.GraphProto, static: set[str], source: str) -> None:
        self._static = static
        self._source = source
        self._shapes: dict[str, tuple[int | str, ...]] = {
            tensor.name: tuple(tensor.dims) for tensor in graph.initializer
        }
        for value in (*graph.input, *graph.value_info, *graph.output):
            kind = value.type.tensor_type
            if value.type.HasField("tensor_type") and kind.HasField("shape"):
                self._shapes[value.name] = tuple(
                    dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?"
                    for dim in kind.shape.dim
                )

    def layer(self, node: onnx.NodeProto, label: str) -> Layer:
        """Return the layer that a Conv, Gemm or MatMul node stands for."""
        where = f"{self._source}: node {label!r} ({node.op_type})"
        read = {"Conv": self._conv, "Gemm": self._gemm, "MatMul": self._matmul}[node.op_type]
        arguments = read(node, where)
        try:
            return Layer(name=label, **arguments)
        except ConfigError as error:
            raise ConfigError(f"{self._source}: {error}") from error

    def _conv(self, node: onnx.NodeProto, where: str) -> dict[str, Any]:
        import onnx

        inputs, weights, outputs = (
            self._shape(name, where) for name in (node.input[0], node.input[1], node.output[0])
        )
        axes = len(weights) - 2
        if axes not in (1, 2):
            raise ConfigError(
                f"{where}: is a {axes}-dimensional convolution. A layer has one or two dimensions; "
                f"use a model without it."
            )
        given = {
            attribute.name: onnx.helper.get_attribute_value(attribute)
            for attribute in node.attribute
        }
        groups = given.get("group", 1)
        filters, channels, *kernel = weights
        if groups < 1 or filters % groups or inputs[1] != channels * groups:
            raise ConfigError(
                f"{where}: {filters} filters of {channels} channels in {groups} groups do not fit "
                f"an input of {inputs[1]} channels. Repair the model."
            )
        if list(given.get("kernel_shape", kernel)) != kernel:
            raise ConfigError(
                f"{where}: kernel_shape is {given['kernel_shape']}, but the filters are {kernel}. "
                f"Repair the model."
            )
        # ONNX has rows before columns; a 1-D convolution has columns only.
        columns = {"P": outputs[-1], "R": kernel[-1]}
        rows = {"Q": outputs[-2], "S": kernel[-2]} if axes == 2 else {}
        steps: dict[str, int] = {}
        for attribute, of_columns, of_rows in (
            ("strides", "stride_p", "stride_q"),
            ("dilations", "dilation_r", "dilation_s"),
        ):
            values = given.get(attribute) or [1] * axes
            steps[of_columns] = values[-1]
            if axes == 2:
                steps[of_rows] = values[-2]
        depthwise = groups > 1 and channels == 1 and filters == groups
        return {
            "op": "depthwise" if depthwise else "conv",
            "N": outputs[0],
            "G": groups,
            "M": filters // groups,
            "C": channels,
            **columns,
            **rows,
            **steps,
            "weight_operand": self._operand(node.input[1]),
        }

    def _gemm(self, node: onnx.NodeProto, where: str) -> dict[str, Any]:
        flipped = {attribute.name for attribute in node.attribute if attribute.i}
        first = self._shape(node.input[0], where)
        second = self._shape(node.input[1], where)
        return self._product(
            node,
            first[::-1] if "transA" in flipped else first,
            second[::-1] if "transB" in flipped else second,
        )

    def _matmul(self, node: onnx.NodeProto, where: str) -> dict[str, Any]:
        first = self._shape(node.input[0], where)
        second = self._shape(node.input[1], where)
        # As in numpy, a vector is a row on the left and a column on the right.
        first = (1, *first) if len(first) == 1 else first
        second = (*second, 1) if len(second) == 1 else second
        return self._product(node, first, second)

    def _product(
        self, node: onnx.NodeProto, first: Sequence[int], second: Sequence[int]
    ) -> dict[str, Any]:
        *batch, rows, inner = first
        *other_batch, _, columns = second
        length = max(len(batch), len(other_batch))
        pairs = list(
            zip(
                [1] * (length - len(batch)) + batch,
                [1] * (length - len(other_batch)) + other_batch,
                strict=True,
            )
        )
        shared = math.prod(a for a, b in pairs if a > 1 and b > 1)
        of_first = math.prod(a for a, b in pairs if b == 1)
        of_second = math.prod(b for a, b in pairs if a == 1)
        weights, of_inputs, of_weights = node.input[1], of_first, of_second
        if self._operand(node.input[0]) == "static" != self._operand(node.input[1]):
            # (A B)^T = B^T A^T, so the parameters may be the tensor Weights on either side.
            weights, of_inputs, of_weights = node.input[0], of_second, of_first
            rows, columns = columns, rows
        # A batch of inputs meets the same weights, as more rows do; a batch of weights meets the
        # same inputs, as more columns do.
        return {
            "op": "gemm",
            "G": shared,
            "M": columns * of_weights,
            "C": inner,
            "P": rows * of_inputs,
            "weight_operand": self._operand(weights),
        }

    def _operand(self, name: str) -> str:
        return "static" if name in self._static else "activation"

    def _shape(self, name: str, where: str) -> tuple[int, ...]:
        if name not in self._shapes:
            raise ConfigError(
                f"{where}: the shape of {name!r} cannot be inferred. Export the model with fixed "
                f"shapes, or run a simplifier that folds its constants."
            )
        sizes = []
        for axis, size in enumerate(self._shapes[name]):
            if isinstance(size, str):
                raise ConfigError(
                    f"{where}: dimension {axis} of {name!r} is {size!r}, which is no number. Fix "
                    f"the batch size and all other dimensions of the model's inputs, for example "
                    f"by exporting it without dynamic axes."
                )
            if size < 1:
                raise ConfigError(
                    f"{where}: dimension {axis} of {name!r} is {size}, so there is nothing to "
                    f"compute. Export the model with inputs that are not empty."
                )
            sizes.append(size)
        return tuple(sizes)


def _load(path: str | os.PathLike[str], source: str) -> onnx.ModelProto:
    """Read a model, with the bodies of its functions in place of their calls."""
    import onnx
    import onnx.inliner

    decode_error = require("google.protobuf.message", extra="onnx").DecodeError
    try:
        model = onnx.load(os.fspath(path), format="protobuf", load_external_data=False)
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read: {error.strerror}. Check the path.") from error
    except decode_error as error:
        raise ConfigError(f"{source}: is no ONNX model. Export the model again.") from error
    return onnx.inliner.inline_local_functions(model) if model.functions else model


def _infer_shapes(model: onnx.ModelProto, source: str) -> onnx.ModelProto:
    """Check the model, and return it with the shapes of its values."""
    import onnx.checker
    import onnx.shape_inference

    try:
        onnx.checker.check_model(model)
        # data_prop follows shapes that the model computes, as those of attention heads often are.
        return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ConfigError(
            f"{source}: is no valid ONNX model: {reason}. Export the model again."
        ) from error


def _labels(graph: onnx.GraphProto) -> list[str]:
    """Return a name for each node: its own, or its first output's; unique in any case."""
    labels: list[str] = []
    taken: set[str] = set()
    for number, node in enumerate(graph.node):
        name = node.name or next((output for output in node.output if output), f"node{number}")
        label, repeat = name, 1
        while label in taken:
            repeat += 1
            label = f"{name}#{repeat}"
        taken.add(label)
        labels.append(label)
    return labels


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _refuse_unknown(node: onnx.NodeProto, where: str) -> None:
    """Refuse a node whose multiply-accumulates would be missing from the network."""
    if node.domain not in _STANDARD_DOMAINS:
        raise ConfigError(
            f"{where}: {node.op_type} is an operator of {node.domain!r}, whose work is not known. "
            f"Export the model with operators of the standard only, without optimisations for a "
            f"certain runtime."
        )
    if node.op_type in _REFUSED:
        raise ConfigError(
            f"{where}: {node.op_type} multiplies and accumulates, but is none of Conv, Gemm and "
            f"MatMul, which are the nodes that become layers. Express it with those, or write the "
            f"network as YAML."
        )
    for graph in _subgraphs(node):
        for inner in graph.node:
            _refuse_unknown(inner, where)
            if inner.op_type in _COUNTED:
                raise ConfigError(
                    f"{where}: {node.op_type} runs {inner.op_type} a number of times that the "
                    f"model does not state. Unroll it, or write the network as YAML."
                )


def _static_values(graph: onnx.GraphProto) -> set[str]:
    """Return the names of the values that do not depend on the input of the model."""
    static = {tensor.name for tensor in graph.initializer}
    for node in graph.node:  # in an order in which values exist before they are used
        inputs = [name for name in node.input if name]
        drawn = node.op_type in _DRAWN or any(True for _ in _subgraphs(node))
        if not drawn and all(name in static for name in inputs):
            static.update(name for name in node.output if name)
    return static


def _forget_external_weights(graph: onnx.GraphProto) -> None:
    """Make inputs of the weights in other files, for which the checker would look."""
    import onnx

    inputs = {value.name for value in graph.input}
    for index in reversed(range(len(graph.initializer))):
        tensor = graph.initializer[index]
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            if tensor.name not in inputs:
                graph.input.append(
                    onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
                )
            del graph.initializer[index]
