"""Numbers that describe a network and its platform to a model that predicts metrics.

>>> from archgym_py.simulators.dnn.networks import load_network
>>> described = describe_network(load_network("mobilenet_v2"))
>>> 0.0 < described["depthwise_share"] < 0.1 < described["pointwise_share"]
True
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from archgym_py.simulators.dnn.layers import Layer
from archgym_py.simulators.dnn.networks import Network

__all__ = ["describe_budgets", "describe_network", "plain_budgets"]


def describe_network(network: Network) -> dict[str, float]:
    """Return what of a network decides how it runs on any accelerator.

    Sums count a layer `count` times. Shares and means of logarithms are weighted with the
    multiply-accumulates of the layers, as these take the time. The intensity is how often a word
    that has to be moved once at least is used, over all layers together.

    Args:
        network: The network.

    Returns:
        Logarithms of the multiply-accumulates, weights, inputs, outputs and layers, and of the
        layers of different shapes; the logarithm of the intensity; shares of the
        multiply-accumulates in depthwise convolutions, matrix products, convolutions with filters
        of one element and of more than nine, and layers with strides; and the mean logarithms of
        the sizes of a layer: groups, output channels, input channels, outputs of a channel, and
        elements of a filter.
    """
    layers = network.layers
    macs = network.macs

    def total(words: Iterable[int]) -> int:
        return sum(layer.count * each for layer, each in zip(layers, words, strict=True))

    def share(holds: Iterable[bool]) -> float:
        return (
            total(layer.macs if each else 0 for layer, each in zip(layers, holds, strict=True))
            / macs
        )

    def mean_log(sizes: Iterable[int]) -> float:
        terms = zip(layers, sizes, strict=True)
        return math.fsum(layer.count * layer.macs / macs * math.log(size) for layer, size in terms)

    weights, inputs, outputs = (
        total(words(layer) for layer in layers) for words in (_weights, _inputs, _outputs)
    )
    return {
        "log_macs": math.log(macs),
        "log_weights": math.log(weights),
        "log_inputs": math.log(inputs),
        "log_outputs": math.log(outputs),
        "log_layers": math.log(sum(layer.count for layer in layers)),
        "log_shapes": math.log(len({layer.shape_key for layer in layers})),
        "log_intensity": math.log(macs / (weights + inputs + outputs)),
        "depthwise_share": share(layer.op == "depthwise" for layer in layers),
        "product_share": share(layer.op == "gemm" for layer in layers),
        "pointwise_share": share(layer.op == "conv" and _filter(layer) == 1 for layer in layers),
        "large_filter_share": share(_filter(layer) > 9 for layer in layers),
        "strided_share": share(layer.stride_p * layer.stride_q > 1 for layer in layers),
        "mean_log_groups": mean_log(layer.G for layer in layers),
        "mean_log_output_channels": mean_log(layer.M for layer in layers),
        "mean_log_input_channels": mean_log(layer.C for layer in layers),
        "mean_log_positions": mean_log(layer.N * layer.P * layer.Q for layer in layers),
        "mean_log_filter": mean_log(_filter(layer) for layer in layers),
    }


def plain_budgets(**limits: float | None) -> dict[str, float | None]:
    """Return limits that were checked as plain data: a numpy number becomes a float.

    Args:
        **limits: Limits by name; None for none.
    """
    return {name: None if limit is None else float(limit) for name, limit in limits.items()}


def describe_budgets(budgets: Mapping[str, float | None]) -> dict[str, float]:
    """Return for each budget whether there is one, and its logarithm (0 without one).

    Args:
        budgets: Limits above 0 by name; None for none.

    Examples:
        >>> describe_budgets({"area_budget_mm2": None})
        {'has_area_budget_mm2': 0.0, 'log_area_budget_mm2': 0.0}
    """
    described = {}
    for name, limit in budgets.items():
        described[f"has_{name}"] = float(limit is not None)
        described[f"log_{name}"] = 0.0 if limit is None else math.log(limit)
    return described


def _weights(layer: Layer) -> int:
    return layer.G * layer.M * layer.C * layer.R * layer.S


def _inputs(layer: Layer) -> int:
    return layer.N * layer.G * layer.C * layer.input_columns * layer.input_rows


def _outputs(layer: Layer) -> int:
    return layer.N * layer.G * layer.M * layer.P * layer.Q


def _filter(layer: Layer) -> int:
    return layer.R * layer.S
