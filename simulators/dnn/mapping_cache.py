"""Keeps the mappings that were found, in memory and in a file that processes share."""

from __future__ import annotations

import json
import math
import os
import sqlite3
from collections import OrderedDict
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final, NoReturn

from archgym_py.checks import flag, integer, number, require_type
from archgym_py.errors import ConfigError
from archgym_py.simulators.dnn.layers import DIMS, MAX_BOUND, TENSORS
from archgym_py.simulators.dnn.model import LevelMapping, Mapping

__all__ = ["Found", "MappingCache"]

_IN_MEMORY: Final = 16_384
_WAIT_S: Final = 60.0  # for another process that is writing
_APPLICATION_ID: Final = 0x61676D63  # "agmc", in the header of our files
_VERSION: Final = 1  # of the table
_MAX_INTEGER: Final = 2**63 - 1

_INHERITED: list[sqlite3.Connection] = []
"""Connections that came over a fork; closing them would let go of the parent's file."""


@dataclass(frozen=True, slots=True)
class Found:
    """The best mapping that was found.

    Attributes:
        mapping: The mapping.
        cycles: Its cycles.
        energy_pj: Its energy, in pJ.
        optimal: Whether every legal mapping of the template was covered, so that none is better.
        evaluated: Mappings that were evaluated for it.
    """

    mapping: Mapping
    cycles: int
    energy_pj: float
    optimal: bool
    evaluated: int


class MappingCache:
    """Found mappings by the hash of what they depend on.

    The newest are held in memory. With a path all are kept in an SQLite file too, which any number
    of threads and processes of one machine may use at the same time. While it is open two files
    lie beside it, which end in "-wal" and "-shm".

    A lost file costs time, not results, and so does a row that cannot be read: its mapping is
    searched again and replaces it. What was found last may be lost if the machine goes down. A
    file that is no cache, or that is damaged as a whole, is an error and is left as it is.

    Args:
        path: File to keep them in, made if it does not exist; None for memory only.

    Raises:
        ConfigError: If the path has the wrong type or the file cannot be used. The message names
            it.

    Examples:
        >>> cache = MappingCache()
        >>> cache.put("key", Found(Mapping((LevelMapping(temporal=(("M", 2),)),)), 2, 1.5, True, 1))
        >>> cache.get("key").mapping.levels[0].temporal, cache.get("other")
        ((('M', 2),), None)
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = None if path is None else _absolute(path)
        self._memory: OrderedDict[str, Found] = OrderedDict()
        self._lock = Lock()
        self._file: sqlite3.Connection | None = None
        self._process = -1
        if self.path is not None:
            with self._lock:
                self._open()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the lock and the connection out; a copy opens the file for itself."""
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the file again."""
        self.__init__(state["path"])  # type: ignore[misc]

    def get(self, key: str) -> Found | None:
        """Return what was kept under a key, or None if there is nothing that can be read.

        Args:
            key: Hash of everything that the result depends on.

        Raises:
            ConfigError: If the file cannot be read.
        """
        with self._lock:
            found = self._memory.get(key)
            if found is not None:
                self._memory.move_to_end(key)
                return found
            if self.path is None:
                return None
            try:
                query = "SELECT found FROM mappings WHERE key = ?"
                row = self._open().execute(query, (key,)).fetchone()
            except sqlite3.Error as error:
                raise self._unusable(error) from None
            found = None if row is None else _read(row[0])
            if found is not None:
                self._remember(key, found)
            return found

    def put(self, key: str, found: Found) -> None:
        """Keep a result, in place of what was kept under the key.

        Args:
            key: Hash of everything that the result depends on.
            found: The result.

        Raises:
            ConfigError: If the file cannot be written.
        """
        text = json.dumps(asdict(found), allow_nan=False)
        with self._lock:
            self._remember(key, found)
            if self.path is None:
                return
            try:
                query = "INSERT OR REPLACE INTO mappings VALUES (?, ?)"
                self._open().execute(query, (key, text))
            except sqlite3.Error as error:
                raise self._unusable(error) from None

    def close(self) -> None:
        """Close the file; using the cache again opens it again."""
        with self._lock:
            if self._file is not None and self._process == os.getpid():
                self._file.close()
            self._file = None

    def _remember(self, key: str, found: Found) -> None:
        self._memory[key] = found
        if len(self._memory) > _IN_MEMORY:
            self._memory.popitem(last=False)

    def _open(self) -> sqlite3.Connection:
        """Return the connection of this process; one must not be carried over a fork."""
        if self._file is not None and self._process == os.getpid():
            return self._file
        if self._file is not None:
            _INHERITED.append(self._file)
            self._file = None
        try:
            # Each statement is a transaction of its own. Texts may be damaged, so they are bytes.
            file = sqlite3.connect(
                str(self.path), timeout=_WAIT_S, check_same_thread=False, isolation_level=None
            )
            try:
                self._prepare(file)
            except BaseException:
                file.close()
                raise
        except (sqlite3.Error, ValueError) as error:  # a path with a NUL is a ValueError
            raise self._unusable(error) from None
        file.text_factory = bytes
        self._file, self._process = file, os.getpid()
        return file

    def _prepare(self, file: sqlite3.Connection) -> None:
        """Make the table in a new file, and refuse a file of somebody else."""
        if _mark(file) != (_APPLICATION_ID, _VERSION):
            file.execute("BEGIN IMMEDIATE")  # another process may be making it
            tables = file.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            mark = _mark(file)
            if mark == (0, 0) and not tables:
                file.execute("CREATE TABLE mappings (key TEXT PRIMARY KEY, found TEXT)")
                file.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                file.execute(f"PRAGMA user_version = {_VERSION}")
            elif mark != (_APPLICATION_ID, _VERSION):
                raise self._unusable("it is a database, but not one that this version made")
            file.execute("COMMIT")
        # Both spare a wait for the disk at every result. Only the first process of a file changes
        # its mode; where another one is in the way the file stays as it is, and is slower.
        with suppress(sqlite3.OperationalError):
            file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = NORMAL")

    def _unusable(self, problem: Exception | str) -> ConfigError:
        return ConfigError(
            f"the mapping cache {str(self.path)!r} cannot be used: {problem}. Delete the file if "
            f"it is a damaged or older cache, or choose a path in a folder that you may write to."
        )


def _absolute(path: object) -> Path:
    """Return a path that stays the same when the working directory changes."""
    require_type("mapping_cache", path, str, os.PathLike)
    text = os.fspath(path)  # type: ignore[call-overload]
    require_type("mapping_cache", text, str)
    if not text:
        raise ConfigError("mapping_cache must be the path of a file, got ''. None is for no file.")
    return Path(text).absolute()


def _mark(file: sqlite3.Connection) -> tuple[int, int]:
    """Return whose file it is, and of which version."""
    names = ("application_id", "user_version")
    mine, version = (file.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
    return mine, version


def _read(text: Any) -> Found | None:
    """Return a result from its JSON, or None if it is none."""
    try:
        content = json.loads(text.decode(), parse_constant=_refuse)
        levels = tuple(_level(level) for level in content["mapping"]["levels"])
        return Found(
            Mapping(levels),
            integer("cycles", content["cycles"], 1, _MAX_INTEGER),
            number("energy_pj", content["energy_pj"], 0.0, math.inf),
            flag("optimal", content["optimal"]),
            integer("evaluated", content["evaluated"], 0, _MAX_INTEGER),
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, ConfigError):
        return None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _level(content: dict[str, Any]) -> LevelMapping:
    keep = tuple(content["keep"])
    if not set(keep) <= set(TENSORS) or len(set(keep)) < len(keep):
        raise ValueError(f"these are no tensors: {keep}")
    return LevelMapping(
        keep=keep,
        temporal=_pairs(content["temporal"]),
        spatial_x=_pairs(content["spatial_x"]),
        spatial_y=_pairs(content["spatial_y"]),
    )


def _pairs(content: Any) -> tuple[tuple[str, int], ...]:
    pairs = tuple((dim, integer("a factor", factor, 1, MAX_BOUND)) for dim, factor in content)
    if not {dim for dim, _ in pairs} <= set(DIMS) or len(dict(pairs)) < len(pairs):
        raise ValueError(f"these are no dimensions: {pairs}")
    return pairs
