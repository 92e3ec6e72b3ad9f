"""Files that are either complete or absent, whatever kills the process that writes them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archgym_py.errors import ConfigError

__all__ = ["TEMPORARY_SUFFIX", "LockedError", "atomic_path", "locked", "write_text"]

TEMPORARY_SUFFIX = ".tmp"
"""Ending of the name of a file that is still being written."""


class LockedError(ConfigError):
    """Another process is writing a folder."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Write a file under a temporary name, and give it its name once it is safe on disk.

    Args:
        path: The file to write; its folder has to exist. An older file is replaced.

    Yields:
        The temporary path to write to, in the same folder; its name ends in `TEMPORARY_SUFFIX`.

    Raises:
        OSError: If the file cannot be written. Nothing is left behind then, and an older file of
            that name is as it was.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with atomic_path(Path(folder, "note")) as temporary:
        ...         _ = temporary.write_text("done")
        ...     Path(folder, "note").read_text()
        'done'
    """
    # Readers of a folder of Parquet files pass over names that begin with a dot. The process id
    # keeps two processes that write the same file out of each other's way.
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    # The new name is an entry of the folder: without this it may not survive a power cut.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file that is either complete or absent.

    Args:
        path: The file; its folder has to exist.
        text: What to write.

    Raises:
        OSError: If the file cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Keep other processes from writing a folder; the system lifts the lock when a process dies.

    Args:
        folder: The folder; it has to exist.
        what: What is written there, for the message.

    Raises:
        LockedError: If another process is writing it.
    """
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockedError(
                f"{folder}: another process is writing {what}. Wait until it ends."
            ) from error
        yield
