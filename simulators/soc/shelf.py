"""Data that come with the library by name, or from a user's file or mapping."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from archgym_py.config import load_yaml
from archgym_py.errors import ConfigError, UnknownNameError, did_you_mean

__all__ = ["Shelf"]

_SUFFIXES: Final = (".yaml", ".yml")
_T = TypeVar("_T")


class Shelf(Generic[_T]):
    """Things of one kind, each described by a YAML file.

    Args:
        kind: What they are, for messages ("task graph").
        folder: Where those of the library lie below `archgym_py/configs`.
        parse: Makes one from the content of a file and from what to call that in messages.
        foreign: Readers of files in the formats of other tools, by the ending of their names; a
            reader takes the path of a file that exists.
    """

    def __init__(
        self,
        kind: str,
        folder: Sequence[str],
        parse: Callable[[Mapping[str, Any], str], _T],
        foreign: Mapping[str, Callable[[str], _T]] | None = None,
    ) -> None:
        self._kind = kind
        self._folder = files("archgym_py.configs").joinpath(*folder)
        self._parse = parse
        self._foreign = dict(foreign or {})
        self._loaded: dict[str, _T] = {}
        *others, last = (*_SUFFIXES, *self._foreign)
        self._endings = f"{', '.join(others)} or {last}"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of those that come with the library, sorted."""
        return tuple(sorted(e.name.removesuffix(".yaml") for e in self._folder.iterdir()))

    def load(self, name_or_path: str | os.PathLike[str]) -> _T:
        """Return one that comes with the library, or that of a file.

        Args:
            name_or_path: One of `names`, or the path of a file that ends in .yaml, .yml or the
                ending of a format of another tool.

        Returns:
            The thing; for a name the same object in every call.

        Raises:
            UnknownNameError: If there is none of that name.
            ConfigError: If the file cannot be read or is not valid.
        """
        text: object = name_or_path
        if isinstance(text, os.PathLike):
            text = os.fspath(text)
        if not isinstance(text, str):
            raise ConfigError(
                f"a {self._kind} must be its name or the path of its file, as text, got "
                f"{name_or_path!r}."
            )
        if text.lower().endswith((*_SUFFIXES, *self._foreign)):
            return self._read(text)
        if not isinstance(name_or_path, str):
            raise ConfigError(f"{text}: the name of a {self._kind}'s file ends in {self._endings}.")
        if text not in self.names:
            raise UnknownNameError(
                f"unknown {self._kind} {text!r}.{did_you_mean(text, self.names)} The name of a "
                f"file ends in {self._endings}."
            )
        if text not in self._loaded:
            with as_file(self._folder / f"{text}.yaml") as path:
                where = f"{self._kind} file {text}.yaml"
                self._loaded[text] = self._parse(load_yaml(path), where)
        return self._loaded[text]

    def get(self, spec: object, kind: type[_T]) -> _T:
        """Return what a configuration asks for.

        Args:
            spec: One of the kind, what `load` takes, or the content of a file as a mapping.
            kind: Its class.

        Raises:
            UnknownNameError: If there is none of that name.
            ConfigError: If the mapping or the file is not valid, or the type is another one.
        """
        if isinstance(spec, kind):
            return spec
        if isinstance(spec, Mapping):
            return self._parse(spec, self._kind)
        if not isinstance(spec, str | os.PathLike):
            raise ConfigError(
                f"a {self._kind} must be its name, the path of its file, a mapping or a "
                f"{kind.__name__}, got {spec!r}."
            )
        return self.load(spec)

    def _read(self, path: str) -> _T:
        where = f"{self._kind} file {path}"
        if "\0" in path or not Path(path).exists():
            hint = did_you_mean(Path(path).stem, self.names)
            raise ConfigError(
                f"{where}: does not exist. Check the path; {self._kind}s that come with the "
                f"library have names without an ending.{hint}"
            )
        for ending, read in self._foreign.items():
            if path.lower().endswith(ending):
                return read(path)
        try:
            content = load_yaml(path)
        except ConfigError as error:
            raise ConfigError(f"{error} A {self._kind} file is a YAML file in UTF-8.") from error
        return self._parse(content, where)
