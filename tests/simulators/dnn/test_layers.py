from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archgym_py.errors import ConfigError
from archgym_py.simulators.dnn.layers import (
    DIMS,
    MAX_COUNT,
    OPERATIONS,
    TENSORS,
    WEIGHT_OPERANDS,
    Layer,
)

CONV: dict[str, Any] = {"name": "conv", "op": "conv", "M": 6, "C": 4, "P": 5, "Q": 7, "R": 3}


def test_names() -> None:
    assert "".join(DIMS) == "NGMCPQRS"
    assert TENSORS == ("Weights", "Inputs", "Outputs")
    assert OPERATIONS == ("conv", "depthwise", "gemm")
    assert WEIGHT_OPERANDS == ("static", "activation")


def test_sizes() -> None:
    layer = Layer(**CONV, S=2, N=2, G=3, stride_p=2, stride_q=3, dilation_r=4, dilation_s=5)
    assert layer.bounds == (2, 3, 6, 4, 5, 7, 3, 2)
    assert layer.macs == 2 * 3 * 6 * 4 * 5 * 7 * 3 * 2
    assert layer.input_columns == 4 * 2 + 2 * 4 + 1
    assert layer.input_rows == 6 * 3 + 1 * 5 + 1


def test_a_layer_of_ones_is_one_operation() -> None:
    layer = Layer(name="one", op="conv")
    assert (layer.macs, layer.input_columns, layer.input_rows, layer.count) == (1, 1, 1, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"M": 7},
        {"N": 2},
        {"stride_p": 2},
        {"stride_q": 2},
        {"dilation_r": 2},
        {"dilation_s": 2},
    ],
)
def test_the_shape_decides_the_key(change: dict[str, int]) -> None:
    assert Layer(**{**CONV, **change}).shape_key != Layer(**CONV).shape_key


@pytest.mark.parametrize(
    "change", [{"name": "other"}, {"count": 3}, {"weight_operand": "activation"}]
)
def test_name_count_and_operand_are_no_part_of_the_key(change: dict[str, Any]) -> None:
    assert Layer(**{**CONV, **change}).shape_key == Layer(**CONV).shape_key


def test_a_dict_makes_the_layer_again() -> None:
    layer = Layer(**CONV, count=2, weight_operand="activation")
    assert layer.to_dict() == {**CONV, "count": 2, "weight_operand": "activation"}
    assert Layer(**layer.to_dict()) == layer
    assert Layer(name="one", op="gemm", M=1).to_dict() == {"name": "one", "op": "gemm"}


def test_numbers_of_numpy_become_ints() -> None:
    layer = Layer(name="fc", op="gemm", M=np.int64(3))  # type: ignore[arg-type]
    assert type(layer.M) is int
    assert layer == Layer(name="fc", op="gemm", M=3)


@pytest.mark.parametrize(
    ("op", "dims"), [("conv", ""), ("depthwise", "MC"), ("gemm", "QRS")], ids=OPERATIONS
)
def test_what_an_operation_fixes(op: str, dims: str) -> None:
    for dim in DIMS:
        if dim in dims:
            with pytest.raises(ConfigError) as caught:
                Layer(name="it", op=op, **{dim: 2})  # type: ignore[arg-type]
            assert str(caught.value) == f"layer 'it': a {op} has {dim} = 1, got {dim} = 2."
        else:
            assert getattr(Layer(name="it", op=op, **{dim: 2}), dim) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize("field", [*DIMS, "stride_p", "stride_q", "dilation_r", "dilation_s"])
@pytest.mark.parametrize("value", [0, -3, 1.5, 2.0, "2", None, True, 2**31, float("nan"), [2]])
def test_what_is_no_size(field: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        Layer(name="bad", op="conv", **{field: value})  # type: ignore[arg-type]
    message = f"layer 'bad': {field} must be a whole number from 1 to 2147483647, got {value!r}."
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "the name of a layer must be a text, got ''."),
        ({"name": None}, "the name of a layer must be a text, got None."),
        ({"name": 7}, "the name of a layer must be a text, got 7."),
        ({"op": "dense"}, "layer 'conv': op must be one of conv, depthwise, gemm, got 'dense'."),
        ({"op": "depthwize"}, "got 'depthwize'. Did you mean 'depthwise'?"),
        ({"op": np.array(["conv", "gemm"])}, "op must be one of conv, depthwise, gemm, got array"),
        ({"op": None}, "op must be one of conv, depthwise, gemm, got None."),
        (
            {"weight_operand": "activations"},
            "must be one of static, activation, got 'activations'. Did you mean 'activation'?",
        ),
        ({"count": 0}, "layer 'conv': count must be a whole number from 1 to"),
    ],
)
def test_wrong_fields(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Layer(**{**CONV, **changes})
    assert message in str(caught.value)


def test_more_operations_than_can_be_counted() -> None:
    assert Layer(name="most", op="gemm", M=2**26, C=2**26).macs == 2**52
    with pytest.raises(ConfigError, match=r"layer 'big': 9007199254740992 multiply-accumulates"):
        Layer(name="big", op="gemm", M=2**26, C=2**27)


def test_more_inputs_than_can_be_counted() -> None:
    far = 2**31 - 1
    with pytest.raises(ConfigError, match="layer 'wide': "):
        Layer(name="wide", op="conv", P=2, Q=2, C=4, stride_p=far, stride_q=far)
    with pytest.raises(ConfigError, match=r"layer 'wide': \d+ multiply-accumulates times strides"):
        Layer(name="wide", op="conv", P=2**20, Q=2**20, stride_p=2**20, stride_q=2**20)
    with pytest.raises(ConfigError, match=r"times strides and dilations of 1048576, .* Split the"):
        Layer(name="wide", op="gemm", M=2**33 // 8, C=8, dilation_s=2**20)


@pytest.mark.parametrize(("step", "size"), [("stride_p", "P"), ("dilation_r", "R")])
def test_operations_count_with_their_steps(step: str, size: str) -> None:
    far: dict[str, Any] = {step: 2**26, size: 2**26}
    assert Layer(name="far", op="conv", **far).macs == 2**26
    with pytest.raises(ConfigError, match="Split the layer, or take smaller strides"):
        Layer(name="far", op="conv", N=2, **far)


@given(
    st.tuples(*[st.integers(1, 2**8)] * 4),
    st.tuples(*[st.integers(1, 2**8)] * 4),
)
def test_inputs_of_a_legal_layer_can_be_counted(
    sizes: tuple[int, ...], steps: tuple[int, ...]
) -> None:
    geometry = dict(zip(("stride_p", "stride_q", "dilation_r", "dilation_s"), steps, strict=True))
    fields: dict[str, Any] = {**dict(zip("PQRS", sizes, strict=True)), **geometry}
    try:
        layer = Layer(name="it", op="conv", **fields)
    except ConfigError:
        return
    assert layer.input_columns * layer.input_rows <= MAX_COUNT
