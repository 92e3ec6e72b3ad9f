import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from archgym_py.errors import ConfigError
from archgym_py.simulators.dnn.networks import as_network, load_network
from archgym_py.simulators.dnn.onnx_import import read_onnx

Shape = Sequence[int | str]

node = helper.make_node


def _model(
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, Shape],
    weights: dict[str, Sequence[int]] | None = None,
    *,
    functions: Sequence[onnx.FunctionProto] = (),
    external: bool = False,
) -> onnx.ModelProto:
    """Build a model whose last value is `y`; its shapes are left to inference."""
    initializers = []
    for name, shape in (weights or {}).items():
        data = b"" if external else bytes(4 * math.prod(shape))
        tensor = helper.make_tensor(
            name, TensorProto.FLOAT, shape, bytes(4 * math.prod(shape)), True
        )
        if external:
            onnx.external_data_helper.set_external_data(tensor, location="elsewhere.bin")
            tensor.raw_data = data
        initializers.append(tensor)
    graph = helper.make_graph(
        [*nodes, node("Size", ["y"], ["size"])],
        "graph",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in inputs.items()
        ],
        [helper.make_tensor_value_info("size", TensorProto.INT64, [])],
        initializers,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=functions)


def _read(folder: Path, *arguments: Any, **options: Any) -> list[dict[str, Any]]:
    path = folder / "model.onnx"
    path.write_bytes(_model(*arguments, **options).SerializeToString())
    return [layer.to_dict() for layer in read_onnx(path).layers]


def _refused(folder: Path, message: str, *arguments: Any, **options: Any) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        _read(folder, *arguments, **options)
    assert str(folder / "model.onnx") in str(caught.value)


def test_convolutions_and_a_classifier(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["x", "w1"], ["a"], "conv1", strides=[2, 1], pads=[1, 1, 1, 1]),
        node("Relu", ["a"], ["b"]),
        node("Conv", ["b", "w2"], ["c"], "depthwise", group=8, dilations=[1, 2]),
        node("Conv", ["c", "w3"], ["d"], "grouped", group=4),
        node("GlobalAveragePool", ["d"], ["e"]),
        node("Flatten", ["e"], ["f"]),
        node("Gemm", ["f", "w4", "bias"], ["y"], "fc", transB=1),
    ]
    weights = {
        "w1": (8, 3, 3, 3),
        "w2": (8, 1, 3, 5),
        "w3": (16, 2, 1, 1),
        "w4": (10, 16),
        "bias": (10,),
    }
    layers = _read(tmp_path, nodes, {"x": (2, 3, 32, 24)}, weights)
    conv1 = {"name": "conv1", "op": "conv", "N": 2, "M": 8, "C": 3, "P": 24, "Q": 16}
    assert layers == [
        {**conv1, "R": 3, "S": 3, "stride_q": 2},
        {"name": "depthwise", "op": "depthwise", "N": 2, "G": 8, "P": 16, "Q": 14, "R": 5, "S": 3}
        | {"dilation_r": 2},
        {"name": "grouped", "op": "conv", "N": 2, "G": 4, "M": 4, "C": 2, "P": 16, "Q": 14},
        {"name": "fc", "op": "gemm", "M": 10, "C": 16, "P": 2},
    ]


def test_resnet_stem_has_the_macs_of_the_shipped_network(tmp_path: Path) -> None:
    stem = node("Conv", ["x", "w"], ["y"], "conv1", strides=[2, 2], pads=[3, 3, 3, 3])
    layers = _read(tmp_path, [stem], {"x": (1, 3, 224, 224)}, {"w": (64, 3, 7, 7)})
    assert layers == [load_network("resnet50").layers[0].to_dict()]


def test_depthwise_with_a_multiplier_is_grouped(tmp_path: Path) -> None:
    wide = node("Conv", ["x", "w"], ["y"], "wide", group=4)
    layers = _read(tmp_path, [wide], {"x": (1, 4, 8, 8)}, {"w": (8, 1, 1, 1)})
    assert layers == [{"name": "wide", "op": "conv", "G": 4, "M": 2, "P": 8, "Q": 8}]


def test_one_dimensional_convolution(tmp_path: Path) -> None:
    conv = node("Conv", ["x", "w"], ["y"], "conv", strides=[3], dilations=[2], auto_pad="VALID")
    layers = _read(tmp_path, [conv], {"x": (1, 4, 20)}, {"w": (6, 4, 5)})
    sizes = {"M": 6, "C": 4, "P": 4, "R": 5, "stride_p": 3, "dilation_r": 2}
    assert layers == [{"name": "conv", "op": "conv", **sizes}]


def test_filters_that_are_computed(tmp_path: Path) -> None:
    conv = node("Conv", ["x", "w"], ["y"], "conv")
    layers = _read(tmp_path, [conv], {"x": (1, 4, 8, 8), "w": (6, 4, 8, 8)})
    assert layers[0]["weight_operand"] == "activation"


@pytest.mark.parametrize(
    ("first", "second", "static", "expected"),
    [
        ((3, 4), (4, 5), "b", {"M": 5, "C": 4, "P": 3}),
        ((2, 3, 4), (4, 5), "b", {"M": 5, "C": 4, "P": 6}),
        ((7, 2, 3, 4), (1, 1, 4, 5), "b", {"M": 5, "C": 4, "P": 42}),
        ((3, 4), (4, 5), "a", {"M": 3, "C": 4, "P": 5}),
        ((3, 4), (2, 4, 5), "a", {"M": 3, "C": 4, "P": 10}),
        ((2, 3, 4), (2, 4, 5), "b", {"G": 2, "M": 5, "C": 4, "P": 3}),
        ((2, 3, 4), (2, 4, 5), "a", {"G": 2, "M": 3, "C": 4, "P": 5}),
        ((8, 12, 3, 4), (8, 12, 4, 5), "", {"G": 96, "M": 5, "C": 4, "P": 3}),
        ((8, 12, 3, 4), (8, 1, 4, 5), "", {"G": 8, "M": 5, "C": 4, "P": 36}),
        ((8, 1, 3, 4), (12, 4, 5), "", {"M": 60, "C": 4, "P": 24}),
        ((3, 4), (2, 4, 5), "", {"M": 10, "C": 4, "P": 3}),
        ((4,), (4, 5), "b", {"M": 5, "C": 4}),
        ((3, 4), (4,), "b", {"C": 4, "P": 3}),
        ((4,), (4,), "", {"C": 4}),
    ],
)
def test_products(
    tmp_path: Path, first: Shape, second: Shape, static: str, expected: dict[str, int]
) -> None:
    shapes = {"a": first, "b": second}
    inputs = {name: shape for name, shape in shapes.items() if name != static}
    weights = {name: shape for name, shape in shapes.items() if name == static}
    layers = _read(tmp_path, [node("MatMul", ["a", "b"], ["y"], "m")], inputs, weights)
    operand = {} if static else {"weight_operand": "activation"}
    assert layers == [{"name": "m", "op": "gemm", **expected, **operand}]


@pytest.mark.parametrize("flip_a", [0, 1])
@pytest.mark.parametrize("flip_b", [0, 1])
def test_transposed_operands(tmp_path: Path, flip_a: int, flip_b: int) -> None:
    gemm = node("Gemm", ["a", "b"], ["y"], "m", transA=flip_a, transB=flip_b, alpha=2.0)
    first, second = ((3, 4), (4, 3))[flip_a], ((4, 5), (5, 4))[flip_b]
    layers = _read(tmp_path, [gemm], {"a": first}, {"b": second})
    assert layers == [{"name": "m", "op": "gemm", "M": 5, "C": 4, "P": 3}]


def test_weights_stay_static_through_what_is_done_to_them(tmp_path: Path) -> None:
    nodes = [
        node("Constant", [], ["scale"], value_float=0.5),
        node("Transpose", ["w"], ["t"], perm=[1, 0]),
        node("Mul", ["t", "scale"], ["s"]),
        node("MatMul", ["x", "s"], ["a"], "static"),
        node("Mul", ["a", "s"], ["b"]),
        node("MatMul", ["x", "b"], ["c"], "activation"),
        node("RandomNormal", [], ["noise"], shape=[4, 4]),
        node("MatMul", ["c", "noise"], ["y"], "drawn"),
    ]
    layers = _read(tmp_path, nodes, {"x": (4, 4)}, {"w": (4, 4)})
    operands = {layer["name"]: layer.get("weight_operand", "static") for layer in layers}
    assert operands == {"static": "static", "activation": "activation", "drawn": "activation"}


def test_attention_with_computed_shapes(tmp_path: Path) -> None:
    """Heads are split by shapes that the model computes, as exporters write them."""
    integers = {"zero": [0], "heads": [4, 16], "axis": [0], "one": [1], "two": [2]}
    constants = [
        node(
            "Constant",
            [],
            [name],
            value=helper.make_tensor(name, TensorProto.INT64, [len(values)], values),
        )
        for name, values in integers.items()
    ]
    nodes = [
        *constants,
        node("Shape", ["x"], ["shape"]),
        node("Slice", ["shape", "zero", "two", "axis"], ["rows"]),
        node("Concat", ["rows", "heads"], ["split"], axis=0),
        node("MatMul", ["x", "w"], ["q"], "q_proj"),
        node("Reshape", ["q", "split"], ["q4"]),
        node("Transpose", ["q4"], ["qt"], perm=[0, 2, 1, 3]),
        node("Transpose", ["q4"], ["kt"], perm=[0, 2, 3, 1]),
        node("MatMul", ["qt", "kt"], ["scores"], "qk"),
        node("Softmax", ["scores"], ["p"], axis=-1),
        node("MatMul", ["p", "qt"], ["y"], "av"),
    ]
    layers = _read(tmp_path, nodes, {"x": (2, 10, 64)}, {"w": (64, 64)})
    active = {"weight_operand": "activation"}
    assert layers == [
        {"name": "q_proj", "op": "gemm", "M": 64, "C": 64, "P": 20},
        {"name": "qk", "op": "gemm", "G": 8, "M": 10, "C": 16, "P": 10, **active},
        {"name": "av", "op": "gemm", "G": 8, "M": 16, "C": 10, "P": 10, **active},
    ]


def test_names_are_unique(tmp_path: Path) -> None:
    nodes = [
        node("MatMul", ["x", "w"], ["a"], "same"),
        node("MatMul", ["a", "w"], ["b"], "same"),
        node("MatMul", ["b", "w"], ["same#2"]),
        node("MatMul", ["same#2", "w"], ["y"]),
    ]
    layers = _read(tmp_path, nodes, {"x": (4, 4)}, {"w": (4, 4)})
    assert [layer["name"] for layer in layers] == ["same", "same#2", "same#2#2", "y"]


def test_weights_in_another_file_are_not_needed(tmp_path: Path) -> None:
    nodes = [node("MatMul", ["x", "w"], ["y"], "fc")]
    layers = _read(tmp_path, nodes, {"x": (4, 4)}, {"w": (4, 6)}, external=True)
    assert layers == [{"name": "fc", "op": "gemm", "M": 6, "C": 4, "P": 4}]
    layers = _read(tmp_path, nodes, {"x": (4, 4), "w": (4, 6)}, {"w": (4, 6)}, external=True)
    assert "weight_operand" not in layers[0]


def test_sparse_weights_are_refused(tmp_path: Path) -> None:
    model = _model([node("MatMul", ["x", "w"], ["y"], "fc")], {"x": (4, 4)})
    values = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
    places = helper.make_tensor("places", TensorProto.INT64, [2], [1, 7])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [4, 6]))
    path = tmp_path / "sparse.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ConfigError, match=r"sparse.onnx: the weights 'w' are sparse"):
        read_onnx(path)


def test_functions_of_the_model_are_opened(tmp_path: Path) -> None:
    body = [node("MatMul", ["v", "m"], ["u"], "inner")]
    opsets = [helper.make_opsetid("", 17)]
    twice = helper.make_function("local", "Dense", ["v", "m"], ["u"], body, opsets)
    calls = [
        node("Dense", ["x", "w"], ["a"], "first", domain="local"),
        node("Dense", ["a", "w"], ["y"], "second", domain="local"),
    ]
    layers = _read(tmp_path, calls, {"x": (4, 4)}, {"w": (4, 4)}, functions=[twice])
    assert [layer["C"] for layer in layers] == [4, 4]
    assert len({layer["name"] for layer in layers}) == 2


def test_name_source_and_layers_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "Mine.ONNX"
    nodes = [node("MatMul", ["x", "w"], ["y"], "/block/fc")]
    path.write_bytes(_model(nodes, {"x": (4, 4)}, {"w": (4, 4)}).SerializeToString())
    network = load_network(path)
    assert (network.name, network.source, network.macs) == ("Mine", "Mine.ONNX", 64)
    assert as_network(str(path)) == network
    assert as_network(f"{path}//block/fc").layers == network.layers


@pytest.mark.parametrize(
    ("refused", "inputs", "weights"),
    [
        (node("ConvTranspose", ["x", "w"], ["y"], "bad"), {"x": (1, 4, 8, 8)}, {"w": (4, 4, 3, 3)}),
        (node("Einsum", ["x", "w"], ["y"], "bad", equation="ij,jk->ik"), {"x": (4, 4)}, None),
        (node("LSTM", ["x", "w", "r"], ["y"], "bad", hidden_size=4), {"x": (4, 1, 4)}, None),
        (node("GRU", ["x", "w", "r"], ["y"], "bad", hidden_size=4), {"x": (4, 1, 4)}, None),
        (node("RNN", ["x", "w", "r"], ["y"], "bad", hidden_size=4), {"x": (4, 1, 4)}, None),
        (node("ConvInteger", ["x", "w"], ["y"], "bad"), {"x": (1, 4, 8, 8)}, None),
        (node("MatMulInteger", ["x", "w"], ["y"], "bad"), {"x": (4, 4)}, None),
        (node("Attention", ["x", "x", "x"], ["y"], "bad"), {"x": (1, 4, 4)}, None),
    ],
    ids=lambda value: value.op_type if isinstance(value, onnx.NodeProto) else "",
)
def test_other_multiplying_nodes_are_refused(
    tmp_path: Path,
    refused: onnx.NodeProto,
    inputs: dict[str, Shape],
    weights: dict[str, Sequence[int]] | None,
) -> None:
    message = f"node 'bad': {refused.op_type} multiplies and accumulates"
    _refused(tmp_path, message, [refused], inputs, weights)


def test_operators_of_a_runtime_are_refused(tmp_path: Path) -> None:
    fused = node("FusedMatMul", ["x", "x"], ["y"], "bad", domain="com.microsoft")
    message = "node 'bad': FusedMatMul is an operator of 'com.microsoft'"
    _refused(tmp_path, message, [fused], {"x": (4, 4)})


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        ("MatMul", "node 'choice': If runs MatMul a number of times"),
        ("MatMulInteger", "node 'choice': MatMulInteger multiplies"),
    ],
)
def test_products_in_subgraphs_are_refused(tmp_path: Path, operator: str, message: str) -> None:
    info = helper.make_tensor_value_info("z", TensorProto.FLOAT, [4, 4])
    branch = helper.make_graph([node(operator, ["x", "x"], ["z"])], "branch", [], [info])
    nodes = [
        node("ReduceSum", ["x"], ["total"], keepdims=0),
        node("Cast", ["total"], ["flag"], to=TensorProto.BOOL),
        node("If", ["flag"], ["y"], "choice", then_branch=branch, else_branch=branch),
    ]
    _refused(tmp_path, message, nodes, {"x": (4, 4)})


def test_subgraphs_without_products_are_passed_over(tmp_path: Path) -> None:
    info = helper.make_tensor_value_info("z", TensorProto.FLOAT, [4, 4])
    branch = helper.make_graph([node("Relu", ["w"], ["z"])], "branch", [], [info])
    nodes = [
        node("Constant", [], ["one"], value_float=1.0),
        node("Cast", ["one"], ["flag"], to=TensorProto.BOOL),
        node("If", ["flag"], ["chosen"], "choice", then_branch=branch, else_branch=branch),
        node("MatMul", ["x", "chosen"], ["y"], "m"),
    ]
    layers = _read(tmp_path, nodes, {"x": (4, 4)}, {"w": (4, 4)})
    active = {"weight_operand": "activation"}
    assert layers == [{"name": "m", "op": "gemm", "M": 4, "C": 4, "P": 4, **active}]


_CONV = node("Conv", ["x", "w"], ["y"], "bad")


@pytest.mark.parametrize(
    ("bad", "inputs", "filters", "message"),
    [
        (_CONV, (1, 4, 8, 8, 8), (4, 4, 3, 3, 3), "is a 3-dimensional convolution"),
        (_CONV, (1, 3, 8, 8), (4, 2, 3, 3), "4 filters of 2 channels in 1 groups do not fit"),
        (
            node("Conv", ["x", "w"], ["y"], "bad", group=2),
            (1, 4, 8, 8),
            (5, 2, 3, 3),
            "5 filters of 2 channels in 2 groups do not fit an input of 4 channels",
        ),
        (
            node("Conv", ["x", "w"], ["y"], "bad", kernel_shape=[1, 1]),
            (1, 3, 8, 8),
            (4, 3, 3, 3),
            r"kernel_shape is \[1, 1\], but the filters are \[3, 3\]",
        ),
        (_CONV, (1, 3, 2, 2), (4, 3, 3, 3), "dimension 2 of 'y' is 0"),
        (_CONV, ("batch", 3, 8, 8), (4, 3, 3, 3), "dimension 0 of 'x' is 'batch'.*Fix the batch"),
    ],
)
def test_bad_convolutions(
    tmp_path: Path, bad: onnx.NodeProto, inputs: Shape, filters: Sequence[int], message: str
) -> None:
    _refused(tmp_path, rf"node 'bad' \(Conv\): {message}", [bad], {"x": inputs}, {"w": filters})


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (node("MatMul", ["x", "w"], ["y"], "m"), "is no valid ONNX model.*Incompatible dimensions"),
        (node("Gemm", ["x", "w"], ["y"], "m"), "is no valid ONNX model.*Dimension mismatch"),
        (node("Mystery", ["x", "w"], ["y"], "m"), "is no valid ONNX model: No Op registered"),
        (node("MatMul", ["x", "v"], ["y"], "m"), "is no valid ONNX model: Nodes in a graph must"),
    ],
)
def test_invalid_models(tmp_path: Path, bad: onnx.NodeProto, message: str) -> None:
    _refused(tmp_path, message, [bad], {"x": (2, 3)}, {"w": (4, 5)})


def test_shapes_that_depend_on_data(tmp_path: Path) -> None:
    nodes = [
        node("NonZero", ["x"], ["found"]),
        node("Cast", ["found"], ["z"], to=TensorProto.FLOAT),
        node("MatMul", ["w", "z"], ["y"], "m"),
    ]
    message = r"node 'm' \(MatMul\): dimension 1 of 'z' is '.+', which is no number"
    _refused(tmp_path, message, nodes, {"x": (4, 5)}, {"w": (7, 2)})


def test_unknown_rank(tmp_path: Path) -> None:
    nodes = [
        node("Cast", ["s"], ["t"], to=TensorProto.INT64),
        node("Reshape", ["x", "t"], ["z"]),
        node("MatMul", ["w", "z"], ["y"], "m"),
    ]
    message = r"node 'm' \(MatMul\): the shape of 'z' cannot be inferred. Export the model with"
    _refused(tmp_path, message, nodes, {"x": (4, 5), "s": ("n",)}, {"w": (7, 2)})


def test_layers_that_are_too_large(tmp_path: Path) -> None:
    huge = {"x": (2**20, 2**20), "w": (2**20, 2**20)}
    message = "layer 'm': .* multiply-accumulates are more than"
    _refused(tmp_path, message, [node("MatMul", ["x", "w"], ["y"], "m")], huge)


def test_nothing_to_evaluate(tmp_path: Path) -> None:
    _refused(tmp_path, "has no Conv, Gemm or MatMul", [node("Relu", ["x"], ["y"])], {"x": (4,)})


@pytest.mark.parametrize("content", [b"\xff" * 100, b"text", b"name: alexnet\n"])
def test_files_that_are_no_models(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "text.onnx"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"text.onnx: is no (valid )?ONNX model.*Export"):
        load_network(path)


def test_empty_and_unreadable_files(tmp_path: Path) -> None:
    path = tmp_path / "empty.onnx"
    path.touch()
    with pytest.raises(ConfigError, match=r"empty.onnx: is no valid ONNX model: .*ir_version"):
        read_onnx(path)
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory. Check the path"):
        read_onnx(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        read_onnx(tmp_path / "missing.onnx")


def test_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.onnx"
    path.touch()
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConfigError, match=r"pip install 'archgym_py\[onnx\]'"):
        load_network(path)
