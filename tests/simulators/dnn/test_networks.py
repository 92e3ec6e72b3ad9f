import json
import math
from importlib.resources import files
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from archgym_py.config import load_yaml
from archgym_py.errors import ConfigError, UnknownNameError
from archgym_py.simulators.dnn.layers import Layer
from archgym_py.simulators.dnn.networks import (
    Network,
    as_network,
    load_network,
    network_names,
    parse_network,
)

FC: dict[str, Any] = {"name": "fc", "op": "gemm", "M": 10, "C": 64}
TINY: dict[str, Any] = {"name": "tiny", "layers": [FC]}

# Multiply-accumulates of one inference as the literature and common tools state them.
GMACS = {
    "alexnet": "1.135",
    "vgg16": "15.47",
    "resnet18": "1.814",
    "resnet50": "4.089",
    "mobilenet_v2": "0.301",
    "efficientnet_b0": "0.39",
    "bert_base_128": "11.17",
    "bert_base_512": "48.3",
    "vit_b16": "17.56",
    "gpt2_prefill_1024": "145.8",
    "gpt2_decode_1024": "0.142",
    "llama2_7b_prefill_2048": "14362.5",
    "llama2_7b_decode_2048": "7.14",
}

# Layers of the published files, and the sums of the products of their dimensions.
PUBLISHED = {
    "keyword_spotting": (3, 95973376),
    "archgym_alexnet": (5, 1076634144),
    "archgym_cognitive_no_fc": (4, 16872374272),
    "archgym_cognitive_orig_10s": (5, 33794295808),
    "archgym_cognitive_orig_5s": (5, 16872376320),
    "archgym_cognitive_small_v1": (3, 2421687296),
    "archgym_cognitive_small_v2": (3, 306643200),
    "archgym_cognitive_small_v3": (3, 77971584),
    "archgym_efficientnet": (82, 392108800),
    "archgym_mobilenet_v2": (53, 5549139968),
    "archgym_resnet50": (54, 4089184256),
    "archgym_vgg01": (8, 7485456384),
    "archgym_vgg02": (13, 11629428736),
}


def _write(folder: Path, text: str | bytes, name: str = "net.yaml") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_every_network_has_a_reference() -> None:
    assert set(network_names()) == set(GMACS) | set(PUBLISHED)
    assert list(network_names()) == sorted(network_names())


@pytest.mark.parametrize("name", sorted(GMACS))
def test_macs_are_those_of_the_literature(name: str) -> None:
    digits = len(GMACS[name].replace(".", "").lstrip("0"))
    assert f"{load_network(name).macs / 1e9:.{digits}g}" == GMACS[name]


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_published_networks_are_as_published(name: str) -> None:
    network = load_network(name)
    assert (len(network.layers), network.macs) == PUBLISHED[name]


@pytest.mark.parametrize("name", network_names())
def test_shipped_file(name: str) -> None:
    network = load_network(name)
    assert network.name == name
    assert network.description
    assert network.source
    file = files("archgym_py.configs") / "dnn" / "networks" / f"{name}.yaml"
    content = load_yaml(str(file))
    assert network.to_dict() == content  # nothing is stated that is a default
    assert load_network(name) is network


def test_published_alexnet() -> None:
    layers = load_network("archgym_alexnet").layers
    shapes = [(layer.M, layer.C, layer.P, layer.R, layer.stride_p) for layer in layers]
    assert shapes == [
        (96, 3, 55, 11, 4),
        (256, 96, 27, 5, 1),
        (384, 256, 13, 3, 1),
        (384, 384, 13, 3, 1),
        (256, 384, 13, 3, 1),
    ]
    assert layers == tuple(
        Layer(**{**layer.to_dict(), "name": f"layer{number}"})
        for number, layer in enumerate(load_network("alexnet").layers[:5], start=1)
    )


@pytest.mark.parametrize("name", ["mobilenet_v2", "efficientnet_b0"])
def test_channels_follow_each_other(name: str) -> None:
    channels, size = 3, 224
    excite = 0
    for layer in load_network(name).layers:
        if layer.op == "gemm":  # squeeze and excitation, which comes in pairs, or the classifier
            assert (excite or channels) == layer.C
            excite = 0 if excite else layer.M
            continue
        assert (layer.P, layer.R, layer.stride_p) == (layer.Q, layer.S, layer.stride_q)
        assert math.ceil(size / layer.stride_p) == layer.P
        assert channels == (layer.G if layer.op == "depthwise" else layer.C)
        channels, size = layer.G * layer.M, layer.P
    assert (channels, size) == (1280, 7)


def test_depthwise_layers_are_depthwise() -> None:
    def channels(name: str) -> list[int]:
        return [layer.G for layer in load_network(name).layers if layer.op == "depthwise"]

    assert len(channels("mobilenet_v2")) == 17
    assert len(channels("efficientnet_b0")) == 16
    # ArchGym's EfficientNet is the same network on another input.
    assert channels("efficientnet_b0") == channels("archgym_efficientnet")
    assert channels("archgym_mobilenet_v2") == []  # published as dense convolutions


@pytest.mark.parametrize(
    "name", [name for name in GMACS if name.startswith(("bert", "vit", "gpt2", "llama2"))]
)
def test_attention_multiplies_activations(name: str) -> None:
    layers = load_network(name).layers
    assert {layer.name for layer in layers if layer.weight_operand == "activation"} == {"qk", "av"}
    assert all(layer.G > 1 for layer in layers if layer.name in ("qk", "av"))


def test_decoding_is_one_row() -> None:
    for name in ("gpt2_decode_1024", "llama2_7b_decode_2048"):
        assert {layer.P for layer in load_network(name).layers} == {1}


_NAMES = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8)
_SIZES = st.integers(1, 9)


@st.composite
def _layers(draw: st.DrawFn) -> Layer:
    op = draw(st.sampled_from(("conv", "depthwise", "gemm")))
    free = {"conv": "NGMCPQRS", "depthwise": "NGPQRS", "gemm": "NGMCP"}[op]
    counts = (*free, "stride_p", "stride_q", "dilation_r", "dilation_s", "count")
    sizes = {key: draw(_SIZES) for key in counts}
    operand = draw(st.sampled_from(("static", "activation")))
    return Layer(name=draw(_NAMES), op=op, weight_operand=operand, **sizes)


_NETWORKS = st.builds(
    Network,
    name=_NAMES,
    layers=st.lists(_layers(), min_size=1, max_size=4, unique_by=lambda layer: layer.name).map(
        tuple
    ),
    description=st.one_of(st.just(""), _NAMES),
    source=st.one_of(st.just(""), _NAMES),
)


@settings(max_examples=50, deadline=None)
@given(network=_NETWORKS)
def test_network_survives_its_file(
    network: Network, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # JSON is YAML, and quotes every text.
    text = json.dumps(network.to_dict(), ensure_ascii=False)
    path = _write(tmp_path_factory.getbasetemp(), text, "round_trip.yaml")
    assert load_network(path) == network
    assert as_network(network.to_dict()) == network


def test_macs_count_repetitions() -> None:
    once = parse_network(TINY, source="test")
    thrice = parse_network({**TINY, "layers": [{**FC, "count": 3}]}, source="test")
    assert (once.macs, thrice.macs) == (640, 1920)


def test_select_keeps_order_and_counts() -> None:
    network = load_network("resnet18")
    some = network.select("fc", "layer1")
    assert some.name == "resnet18/fc,layer1"
    assert [(layer.name, layer.count) for layer in some.layers] == [("fc", 1), ("layer1", 4)]
    assert some.source == network.source
    assert network.select(*(layer.name for layer in network.layers)).layers == network.layers


def test_select_refuses() -> None:
    network = load_network("alexnet")
    with pytest.raises(UnknownNameError, match=r"'alexnet' has no layer 'cnv2'. Did you mean 'c"):
        network.select("cnv2")
    with pytest.raises(ConfigError, match="two layers have the name 'conv1'"):
        network.select("conv1", "conv1")
    with pytest.raises(ConfigError, match="at least one layer"):
        network.select()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": ""}, "name of a network must be a text, got ''"),
        ({"name": 3}, "name of a network must be a text, got 3"),
        ({"description": 1}, "network 'n': description must be a text, got 1"),
        ({"source": None}, "network 'n': source must be a text, got None"),
        ({"layers": ()}, "network 'n': there must be at least one layer"),
        ({"layers": [Layer(**FC)]}, "layers must be a tuple of Layer"),
        ({"layers": (FC,)}, "layers must be a tuple of Layer"),
        ({"layers": (Layer(**FC), Layer(**FC))}, "two layers have the name 'fc'. Rename one"),
    ],
)
def test_network_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Network(**{"name": "n", "layers": (Layer(**FC),), **arguments})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([FC], r"f.yaml: must be a mapping with the keys name, layers, got \["),
        ({**TINY, "layer": []}, "f.yaml: unknown key 'layer'. Did you mean 'layers'"),
        ({7: [], "name": "n"}, "f.yaml: unknown key 7"),
        ({"layers": [FC]}, "f.yaml: the key 'name' is missing"),
        ({"name": "n"}, "f.yaml: the key 'layers' is missing"),
        ({"name": "n", "layers": FC}, "f.yaml: layers must be a list of mappings"),
        ({"name": "n", "layers": "fc"}, "f.yaml: layers must be a list of mappings, got 'fc'"),
        ({"name": "n", "layers": []}, "f.yaml: network 'n': there must be at least one layer"),
        ({"name": "n", "layers": [FC, "fc"]}, "f.yaml: layer 2: must be a mapping"),
        ({"name": "n", "layers": [FC, FC]}, "f.yaml: network 'n': two layers have the name 'fc'"),
        ({"name": 1, "layers": [FC]}, "f.yaml: the name of a network must be a text, got 1"),
        (
            {"name": "n", "layers": [{**FC, "strid_p": 2}]},
            r"f.yaml: layer 1 \('fc'\): unknown key 'strid_p'. Did you mean 'stride_p'",
        ),
        ({"name": "n", "layers": [{"name": "fc"}]}, r"layer 1 \('fc'\): the key 'op' is missing"),
        ({"name": "n", "layers": [{"op": "gemm"}]}, "f.yaml: layer 1: the key 'name' is missing"),
        ({"name": "n", "layers": [{**FC, "M": "10"}]}, "f.yaml: layer 'fc': M must be a whole"),
        ({"name": "n", "layers": [{**FC, "M": 10.0}]}, "f.yaml: layer 'fc': M must be a whole"),
        ({"name": "n", "layers": [{**FC, "M": True}]}, "f.yaml: layer 'fc': M must be a whole"),
        ({"name": "n", "layers": [{**FC, "M": None}]}, "f.yaml: layer 'fc': M must be a whole"),
        ({"name": "n", "layers": [{**FC, "M": 0}]}, "f.yaml: layer 'fc': M must be a whole"),
        ({"name": "n", "layers": [{**FC, "R": 3}]}, "f.yaml: layer 'fc': a gemm has R = 1"),
        ({"name": "n", "layers": [{**FC, "op": ["gemm"]}]}, "f.yaml: layer 'fc': op must be one"),
        ({"name": "n", "layers": [{**FC, "name": 5}]}, "f.yaml: the name of a layer must be"),
    ],
)
def test_parse_refuses(content: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_network(content, source="f.yaml")


@pytest.mark.parametrize("name", ["net.yaml", "net.yml", "NET.YAML"])
def test_files_load(tmp_path: Path, name: str) -> None:
    path = _write(tmp_path, json.dumps(TINY), name)
    assert load_network(path).macs == load_network(str(path)).macs == 640


def test_files_are_read_anew(tmp_path: Path) -> None:
    path = _write(tmp_path, json.dumps(TINY))
    assert load_network(path).layers[0].M == 10
    _write(tmp_path, json.dumps({**TINY, "layers": [{**FC, "M": 20}]}))
    assert load_network(path).layers[0].M == 20


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe", "is not UTF-8 text.*A network file is a YAML file in UTF-8"),
        (b"name: [", "line 1: not valid YAML.*A network file is a YAML file in UTF-8"),
        (b"name: a\nname: b", "line 2: key 'name' was given before.*YAML file in UTF-8"),
        (b"name: \0", "not valid YAML.*A network file is a YAML file in UTF-8"),
        (b"name: !!int a", "not valid YAML.*A network file is a YAML file in UTF-8"),
        (b"name: !!bool a", "not valid YAML.*A network file is a YAML file in UTF-8"),
        (b"name: !!timestamp a", "not valid YAML.*A network file is a YAML file in UTF-8"),
        (b"? [a]\n: 1", "not valid YAML.*A network file is a YAML file in UTF-8"),
        (b"name: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        (b"", "must be a mapping with the keys name, layers, got None"),
        (b"- 1", "must be a mapping with the keys name, layers"),
        (b"just text", "must be a mapping with the keys name, layers"),
        (b"name: n\nlayers: [{name: a, op: conf}]", "layer 'a': op must be one of"),
    ],
)
def test_bad_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = _write(tmp_path, content)
    with pytest.raises(ConfigError, match=message) as caught:
        load_network(path)
    assert str(path) in str(caught.value)


def test_missing_files(tmp_path: Path) -> None:
    for name in ("alexnet.yaml", "alexnet.onnx", "a\0.yaml"):
        with pytest.raises(ConfigError, match=r"does not exist. Check the path"):
            load_network(tmp_path / name)
    with pytest.raises(ConfigError, match="Did you mean 'alexnet'"):
        load_network("alexnet.yaml")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(ConfigError, match=r"folder.yaml: cannot be read: Is a directory"):
        load_network(tmp_path / "folder.yaml")
    with pytest.raises(ConfigError, match=r"net.txt: the name of a network's file ends in .yaml"):
        load_network(tmp_path / "net.txt")


@pytest.mark.parametrize("value", [7, None, b"alexnet", TINY])
def test_load_refuses_other_types(value: Any) -> None:
    with pytest.raises(ConfigError, match="a network must be its name or the path of its file"):
        load_network(value)


def test_unknown_names() -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown network 'alexnte'. Did you mean 'alexnet'"
    ):
        load_network("alexnte")
    with pytest.raises(
        UnknownNameError, match=r"unknown network 'alexnte'. Did you mean 'alexnet'"
    ):
        as_network("alexnte/conv1")
    with pytest.raises(UnknownNameError, match=r"no layer 'conv9'. Did you mean 'conv"):
        as_network("alexnet/conv9")
    for name in ("", "alexnet/", "/conv1", "../alexnet"):
        with pytest.raises(UnknownNameError, match=r"The name of a file ends in .yaml"):
            as_network(name)


def test_every_form_of_a_workload(tmp_path: Path) -> None:
    path = _write(tmp_path, json.dumps({**TINY, "layers": [FC, {**FC, "name": "a/b"}]}))
    assert as_network("alexnet") is load_network("alexnet")
    assert as_network("resnet18/layer1").macs == 4 * 115605504
    assert as_network(path) == as_network(str(path)) == load_network(path)
    assert as_network(f"{path}/fc").layers == (Layer(**FC),)
    assert as_network(f"{path}/a/b").name == "tiny/a/b"
    assert as_network(TINY).layers == (Layer(**FC),)


def test_workload_refuses() -> None:
    with pytest.raises(ConfigError, match=r"workload: unknown key 'layrs'. Did you mean 'layers'"):
        as_network({"name": "n", "layrs": []})
    for value in (7, None, b"alexnet", [FC]):
        with pytest.raises(ConfigError, match="workload must be the name of a network"):
            as_network(value)  # type: ignore[arg-type]
