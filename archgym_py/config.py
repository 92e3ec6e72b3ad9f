"""What a run is, as a frozen dataclass saved with its result; and the strict YAML behind it.

The YAML is that of version 1.2 with the traps removed: `1e5` is a number, `no` and `on` are words,
`1:30` is a word, `010` is a word, a key that occurs twice is an error, and nothing but plain data
can be written down.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from archgym_py.errors import ConfigError, did_you_mean
from archgym_py.files import write_text

__all__ = [
    "RunConfig",
    "canonical_json",
    "dump_yaml",
    "load_yaml",
    "parse_settings",
    "plain",
    "unique_object",
]

_MAX_INTEGER = 2**63 - 1  # logs hold signed 64-bit integers


class _Loader(yaml.SafeLoader):
    """SafeLoader that knows YAML 1.2 scalars only and refuses a key that occurs twice."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a dict of a mapping node whose keys are distinct strings."""
        lines: dict[str, int] = {}
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, str):
                raise ConfigError(f"line {line}: key {key!r} is not a string. Quote it.")
            if key in lines:
                raise ConfigError(
                    f"line {line}: key {key!r} was given before, in line {lines[key]}. "
                    "Remove one of the two."
                )
            lines[key] = line
        return super().construct_mapping(node, deep=deep)


class _Dumper(yaml.SafeDumper):
    """SafeDumper that quotes every string that a reader of YAML 1.1 or 1.2 would misread."""


_FLOAT = r"(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?"
_SCALARS = {  # pattern and possible first characters, by type
    "null": ("null|Null|NULL|~|", ["n", "N", "~", ""]),
    "bool": ("true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": ("[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    "float": (rf"[-+]?(?:{_FLOAT}|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)", list("-+.0123456789")),
}
for _class in (_Loader, _Dumper):
    for _type, (_pattern, _first) in _SCALARS.items():
        _tag = f"tag:yaml.org,2002:{_type}"
        _class.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), _first)


def _parse(text: str, source: str) -> tuple[Any, dict[str, int]]:
    """Parse YAML; return the value and, for a mapping, the line of each of its keys."""
    try:
        loader = _Loader(text)  # refuses control characters
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not valid YAML: {' '.join(str(error).split())}.") from error
    try:
        node = loader.get_single_node()
        if node is None:
            return None, {}
        lines = {}
        if isinstance(node, yaml.MappingNode):
            lines = {key.value: key.start_mark.line + 1 for key, _ in node.value}
        value: Any = loader.construct_document(node)
        return value, lines
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{source}, line {line}: not valid YAML: {error.problem}.") from error
    except (ConfigError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{source}: {error}") from error
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        # PyYAML lets out what its constructors raise, such as for `!!int x`.
        raise ConfigError(f"{source}: not valid YAML: {error}.") from error
    finally:
        loader.dispose()


def unique_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict of a JSON object's pairs; an `object_pairs_hook` of `json.loads`.

    Args:
        pairs: Keys with their values.

    Raises:
        ConfigError: If a key occurs twice.
    """
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ConfigError(f"key {twice!r} occurs more than once in an object.")
    return values


def _read(path: str | Path) -> tuple[Any, dict[str, int]]:
    """Read and parse a YAML file."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text: {error.reason}.") from error
    return _parse(text, str(path))


def load_yaml(path: str | Path) -> Any:
    """Read a YAML file strictly.

    Args:
        path: The file.

    Returns:
        Plain data: dicts with string keys, lists, strings, numbers, booleans and None.

    Raises:
        ConfigError: If the file cannot be read, is not valid YAML, or has a key twice; the message
            names the file and the line.
    """
    return _read(path)[0]


def dump_yaml(path: str | Path, value: Any) -> None:
    """Write plain data to a file from which `load_yaml` reads it equal.

    Args:
        path: The file; its folder has to exist.
        value: What [`plain`][] returns.

    Raises:
        OSError: If the file cannot be written.
    """
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    write_text(Path(path), text)


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Parse "key=value" words of a command line; the values are YAML.

    Args:
        settings: The words.

    Returns:
        Values by key, in the order given.

    Raises:
        ConfigError: If a word is not of the form "key=value", a value is not valid YAML, or a key
            occurs twice.

    Examples:
        >>> parse_settings(["workload=cloud", "player_clock_mhz=8e2", "objective={kind: pareto}"])
        {'workload': 'cloud', 'player_clock_mhz': 800.0, 'objective': {'kind': 'pareto'}}
    """
    values: dict[str, Any] = {}
    for setting in settings:
        key, separator, text = setting.partition("=")
        if not (key.strip() and separator and text.strip()):
            raise ConfigError(f"{setting!r} is not of the form key=value, like workload=cloud.")
        if key in values:
            raise ConfigError(f"{key!r} is given twice. Remove one of the two.")
        values[key] = _parse(text, setting)[0]
    return values


def plain(value: Any, where: str) -> Any:
    """Copy plain data, and refuse everything that YAML and JSON cannot hold.

    Args:
        value: None, a boolean, a string, a finite number, or a list or a mapping of such.
        where: What the value is, for the message.

    Returns:
        A deep copy made of the builtin types.

    Raises:
        ConfigError: If the value holds something else.

    Examples:
        >>> plain({"targets": (1, 2.5)}, "objective")
        {'targets': [1, 2.5]}
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ConfigError(f"{where}: {value!r} is not a finite number.")
        return float(value)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ConfigError(f"{where}: key {key!r} is not a string.")
        return {key: plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    raise ConfigError(
        f"{where}: {value!r} is a {type(value).__name__}. Use strings, numbers, booleans, lists "
        "and mappings, which a file can hold."
    )


def canonical_json(value: Any) -> str:
    """Write plain data as JSON in one way only: equal values give equal texts.

    Args:
        value: What [`plain`][] returns.

    Returns:
        JSON without spaces, with sorted keys.

    Examples:
        >>> canonical_json({"b": 1, "a": [True, None]})
        '{"a":[true,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def identity(values: Mapping[str, Any], *, without: Sequence[str]) -> str:
    """Return twelve hexadecimal digits that stand for a configuration.

    Args:
        values: The configuration, as plain data.
        without: Keys that are no part of its identity.

    Returns:
        The beginning of a SHA-256.
    """
    kept = {name: value for name, value in values.items() if name not in without}
    return hashlib.sha256(canonical_json(kept).encode()).hexdigest()[:12]


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name} must be a name, got {value!r}.")
    return value


def _count(name: str, value: Any, low: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ConfigError(f"{name} must be an integer of at least {low}, got {value!r}.")
    if value > _MAX_INTEGER:
        raise ConfigError(f"{name} must be at most 2**63 - 1, got {value!r}.")
    return int(value)


def _mapping(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} must be a mapping of arguments to values, got {value!r}.")
    copy: dict[str, Any] = plain(value, name)
    return copy


def _checked(name: str, value: Any) -> Any:
    """Check one field of a RunConfig and return it as its own type."""
    match name:
        case "env" | "agent":
            return _text(name, value)
        case "env_kwargs" | "agent_kwargs":
            return _mapping(name, value)
        case "quality":
            if not isinstance(value, str):
                raise ConfigError(f"quality must be a word such as 'tuned', got {value!r}.")
            return value
        case "budget":
            return _count(name, value, 1)
        case "seed":
            return _count(name, value, 0)
        case _:
            if not isinstance(value, str | Path) or not str(value):
                raise ConfigError(f"{name} must be a folder, got {value!r}.")
            return Path(value)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One search: an agent spends a budget of samples on an environment.

    Attributes:
        env: Gymnasium id of the environment.
        agent: Name of the agent.
        budget: Number of samples, at least 1.
        seed: Seed of the agent, and of the simulator where that is random; at least 0.
        env_kwargs: Arguments of the environment; what is left out takes its default.
        agent_kwargs: Hyperparameters of the agent; what is left out takes its default.
        quality: How good the agent is, in words that readers of the log can filter by, such as
            "random" or "tuned". It is no part of the run's identity.
        out: Folder under which the samples are logged. It is no part of the run's identity.

    Raises:
        ConfigError: If a value has the wrong type or is out of range.

    Examples:
        >>> config = RunConfig(env="ArchGym/Toy-v0", agent="random_search", budget=100)
        >>> config.run_id
        'd907574c553f'
        >>> RunConfig(env="ArchGym/Toy-v0", agent="random_search", budget=0)
        Traceback (most recent call last):
        archgym_py.errors.ConfigError: budget must be an integer of at least 1, got 0.
    """

    env: str
    agent: str
    budget: int
    seed: int = 0
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    agent_kwargs: Mapping[str, Any] = field(default_factory=dict)
    quality: str = ""
    out: Path = Path("runs")

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = _checked(entry.name, getattr(self, entry.name))
            object.__setattr__(self, entry.name, value)

    @property
    def run_id(self) -> str:
        """Twelve hexadecimal digits that stand for everything but `quality` and `out`."""
        return identity(self.to_mapping(), without=("out", "quality"))

    def to_mapping(self) -> dict[str, Any]:
        """Return the fields as plain data, ready for YAML or JSON."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {**values, "out": str(self.out)}

    @classmethod
    def from_yaml(cls, path: str | Path) -> RunConfig:
        """Read a run from a file; only `env`, `agent` and `budget` have to be there.

        Args:
            path: The file.

        Returns:
            The run.

        Raises:
            ConfigError: If the file cannot be read, or a key is unknown, missing or has a wrong
                value; the message names the file and, where there is one, the line.
        """
        values, lines = _read(path)
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: must be a mapping with the keys env, agent and budget.")
        known = [entry.name for entry in fields(cls)]
        for name, value in values.items():
            where = f"{path}, line {lines[name]}"
            if name not in known:
                raise ConfigError(f"{where}: unknown key {name!r}.{did_you_mean(name, known)}")
            try:
                _checked(name, value)
            except ConfigError as error:
                raise ConfigError(f"{where}: {error}") from error
        if missing := [name for name in ("env", "agent", "budget") if name not in values]:
            raise ConfigError(f"{path}: the key {missing[0]!r} is missing.")
        return cls(**values)

    def to_yaml(self, path: str | Path) -> None:
        """Write the run to a file from which `from_yaml` reads an equal one.

        Args:
            path: The file; its folder has to exist.

        Raises:
            OSError: If the file cannot be written.
        """
        dump_yaml(path, self.to_mapping())
