"""Networks as lists of layers: those that come with the library, and those of a user's files.

A network file is YAML. `op` and the dimensions of a layer are those of
`archgym_py.simulators.dnn.layers`, and a field that is left out is 1:

    name: tiny
    description: A convolution, and a classifier that is there twice
    source: what the figures are from
    layers:
      - {name: conv, op: conv, M: 8, C: 3, P: 30, Q: 30, R: 3, S: 3}
      - {name: fc, op: gemm, M: 10, C: 7200, count: 2}

`as_network` takes a network in every form in which a configuration can hold one:

    >>> as_network("resnet50").macs
    4089184256
    >>> as_network("alexnet/conv2").layers[0].bounds
    (1, 1, 256, 96, 27, 27, 5, 5)
    >>> as_network({"name": "one", "layers": [{"name": "fc", "op": "gemm", "M": 10, "C": 64}]}).macs
    640

Networks with attention count the whole matrix of scores: a causal mask saves nothing. Elementwise
operations, normalisations, pooling and look-ups of embeddings are no layers.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

from archgym_py.checks import check_keys, made
from archgym_py.config import load_yaml
from archgym_py.errors import ConfigError, UnknownNameError, did_you_mean
from archgym_py.simulators.dnn.layers import Layer

__all__ = ["Network", "as_network", "load_network", "network_names", "parse_network"]

_SUFFIXES: Final = (".yaml", ".yml", ".onnx")
_LAYER_OF_FILE = re.compile(r"(.+\.(?:yaml|yml|onnx))/(.+)", re.IGNORECASE | re.DOTALL)
_LAYER_FIELDS = tuple(field.name for field in fields(Layer))
_LAYER_REQUIRED = tuple(field.name for field in fields(Layer) if field.default is MISSING)


@dataclass(frozen=True, slots=True)
class Network:
    """A network: the layers that one inference runs.

    Attributes:
        name: Name of the network.
        layers: Its layers, in order; their names are unique.
        description: One line that says what is counted.
        source: Where the figures are from.

    Raises:
        ConfigError: If there is no layer, two layers have the same name, or a field has the wrong
            type.
    """

    name: str
    layers: tuple[Layer, ...]
    description: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        name: object = self.name
        if not (isinstance(name, str) and name.strip()):
            raise ConfigError(f"the name of a network must be a text, got {name!r}.")
        for field in ("description", "source"):
            text = getattr(self, field)
            if not isinstance(text, str):
                raise ConfigError(f"network {self.name!r}: {field} must be a text, got {text!r}.")
        layers: object = self.layers
        if not (isinstance(layers, tuple) and all(isinstance(layer, Layer) for layer in layers)):
            raise ConfigError(f"network {self.name!r}: layers must be a tuple of Layer objects.")
        if not layers:
            raise ConfigError(f"network {self.name!r}: there must be at least one layer.")
        seen: set[str] = set()
        for layer in self.layers:
            if layer.name in seen:
                raise ConfigError(
                    f"network {self.name!r}: two layers have the name {layer.name!r}. Rename one, "
                    f"or, if they are equal, state the layer once with a count."
                )
            seen.add(layer.name)

    @property
    def macs(self) -> int:
        """Multiply-accumulate operations of one inference; a layer counts `count` times."""
        return sum(layer.count * layer.macs for layer in self.layers)

    @property
    def fingerprint(self) -> str:
        """Eight digits that change with what is computed: a file may change under its name."""
        content = [(layer.shape_key, layer.count) for layer in self.layers]
        return hashlib.sha256(repr(content).encode()).hexdigest()[:8]

    def select(self, *names: str) -> Network:
        """Return a network of some of the layers, each with its `count`.

        Args:
            names: Names of the layers, in the order in which the new network has them.

        Returns:
            The network, named "network/layer" after all of its layers.

        Raises:
            UnknownNameError: If there is no layer of a name.
            ConfigError: If no name is given, or a name twice.

        Examples:
            >>> load_network("resnet18").select("conv1", "fc").name
            'resnet18/conv1,fc'
            >>> load_network("resnet18").select("conv2")
            Traceback (most recent call last):
            archgym_py.errors.UnknownNameError: network 'resnet18' has no layer 'conv2'. Did you \
mean 'conv1'?
        """
        layers = {layer.name: layer for layer in self.layers}
        for name in names:
            if name not in layers:
                raise UnknownNameError(
                    f"network {self.name!r} has no layer {name!r}.{did_you_mean(name, layers)}"
                )
        return Network(
            name=f"{self.name}/{','.join(names)}",
            layers=tuple(layers[name] for name in names),
            description=self.description,
            source=self.source,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the network as plain data, from which `parse_network` makes an equal one."""
        texts = {"name": self.name, "description": self.description, "source": self.source}
        return {
            **{key: text for key, text in texts.items() if text},
            "layers": [layer.to_dict() for layer in self.layers],
        }


def network_names() -> tuple[str, ...]:
    """Return the names of the networks that come with the library, sorted."""
    folder = files("archgym_py.configs") / "dnn" / "networks"
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir()))


def load_network(name_or_path: str | os.PathLike[str]) -> Network:
    """Return a network that comes with the library, or that of a file.

    Args:
        name_or_path: One of `network_names()`, or the path of a file that ends in .yaml, .yml or
            .onnx. ONNX models need the extra `onnx`.

    Returns:
        The network; for a name the same object in every call.

    Raises:
        UnknownNameError: If there is no such network.
        ConfigError: If the file cannot be read or is not valid.

    Examples:
        >>> len(load_network("resnet50").layers)
        26
        >>> load_network("resnet52")
        Traceback (most recent call last):
        archgym_py.errors.UnknownNameError: unknown network 'resnet52'. Did you mean 'resnet50'? \
The name of a file ends in .yaml, .yml or .onnx.
    """
    text: object = name_or_path
    if isinstance(text, os.PathLike):
        text = os.fspath(text)
    if not isinstance(text, str):
        raise ConfigError(
            f"a network must be its name or the path of its file, as text, got {name_or_path!r}."
        )
    if text.lower().endswith(_SUFFIXES):
        return _read_file(text)
    if not isinstance(name_or_path, str):
        raise ConfigError(f"{text}: the name of a network's file ends in .yaml, .yml or .onnx.")
    if text not in network_names():
        raise UnknownNameError(
            f"unknown network {text!r}.{did_you_mean(text, network_names())} The name of a file "
            f"ends in .yaml, .yml or .onnx."
        )
    return _load_shipped(text)


def as_network(workload: str | os.PathLike[str] | Mapping[str, Any]) -> Network:
    """Return the network that a configuration asks for.

    Args:
        workload: What `load_network` takes; the same with "/" and the name of one of its layers
            ("alexnet/conv2", "mine.yaml/fc"), for that layer alone with its `count`; or the content
            of a network file as a mapping.

    Returns:
        The network.

    Raises:
        UnknownNameError: If there is no such network or layer.
        ConfigError: If the mapping or the file is not valid, or the type is another one.
    """
    if isinstance(workload, Mapping):
        return parse_network(workload, source="workload")
    anything: object = workload
    if not isinstance(anything, str | os.PathLike):
        raise ConfigError(
            f"workload must be the name of a network, the path of its file or a mapping, got "
            f"{workload!r}."
        )
    if not isinstance(workload, str) or workload.lower().endswith(_SUFFIXES):
        return load_network(workload)
    if match := _LAYER_OF_FILE.fullmatch(workload):
        return load_network(match[1]).select(match[2])
    network, _, layer = workload.partition("/")
    if network and layer:
        return load_network(network).select(layer)
    return load_network(workload)


def parse_network(content: Mapping[str, Any], *, source: str) -> Network:
    """Return the network that a mapping describes.

    Args:
        content: The mapping, as a network file has it: `name`, `layers` and, if wanted,
            `description` and `source`.
        source: What to call the mapping in messages.

    Returns:
        The network.

    Raises:
        ConfigError: If a key is missing or unknown, or a value is not legal. The message names the
            source and, where there is one, the layer.

    Examples:
        >>> layer = {"name": "fc", "op": "gemm", "M": 10, "wieght_operand": "activation"}
        >>> parse_network({"name": "n", "layers": [layer]}, source="n.yaml")
        Traceback (most recent call last):
        archgym_py.errors.ConfigError: n.yaml: layer 1 ('fc'): unknown key 'wieght_operand'. Did \
you mean 'weight_operand'?
    """
    known = tuple(field.name for field in fields(Network))
    check_keys(content, known, ("name", "layers"), source)
    entries = content["layers"]
    if not isinstance(entries, Sequence) or isinstance(entries, str | bytes):
        raise ConfigError(f"{source}: layers must be a list of mappings, got {entries!r}.")
    layers: list[Layer] = []
    for number, entry in enumerate(entries, start=1):
        given = entry.get("name") if isinstance(entry, Mapping) else None
        where = f"{source}: layer {number}" + (f" ({given!r})" if given is not None else "")
        check_keys(entry, _LAYER_FIELDS, _LAYER_REQUIRED, where)
        layers.append(made(source, Layer, **entry))
    network: Network = made(source, Network, **{**content, "layers": tuple(layers)})
    return network


@cache
def _load_shipped(name: str) -> Network:
    with as_file(files("archgym_py.configs") / "dnn" / "networks" / f"{name}.yaml") as path:
        return parse_network(load_yaml(path), source=f"network file {name}.yaml")


def _read_file(path: str) -> Network:
    source = f"network file {path}"
    if "\0" in path or not Path(path).exists():
        hint = did_you_mean(Path(path).stem, network_names())
        raise ConfigError(
            f"{source}: does not exist. Check the path; networks that come with the library have "
            f"names without an ending.{hint}"
        )
    if path.lower().endswith(".onnx"):
        from archgym_py.simulators.dnn.onnx_import import read_onnx

        return read_onnx(path)
    try:
        content = load_yaml(path)
    except ConfigError as error:
        raise ConfigError(f"{error} A network file is a YAML file in UTF-8.") from error
    return parse_network(content, source=source)
