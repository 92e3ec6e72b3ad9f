"""External programs: found once, called in a folder of their own, stopped with all their children.

Every call has a private temporary folder, which is the working directory of the program, holds the
files that it is given and is removed afterwards. Nothing is shared between calls, so that any
number of them can be made at a time, by threads and by processes. There is no shell: a program gets
the arguments as they are.

    >>> import sys
    >>> program = Program([sys.executable, "-c", "print(open('a.txt').read(), end='')"])
    >>> program.call([], files={"a.txt": "12 ns"}).stdout
    '12 ns'
    >>> quantity("12 ns", "ps")
    12000.0
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO

from archgym_py.checks import number, require_type
from archgym_py.errors import ConfigError, SimulatorError, SimulatorTimeout, did_you_mean

__all__ = ["MAX_TIMEOUT_S", "Answer", "Program", "find_program", "last_lines", "quantity"]

MAX_TIMEOUT_S = 7 * 24 * 3600.0
"""Longest time that a call may be given, in seconds."""

_LAST_LINES = 10
"""Lines of a program's messages that an error shows."""

_MAX_OUTPUT = 2**28
"""Most bytes of a file or a stream that are read."""

_TAIL = 2**16
"""Bytes of a stream in which its last lines are looked for."""

_SHORTEST_POLL_S, _LONGEST_POLL_S = 0.0005, 0.02

_POWERS = {
    "time": {"s": 0, "ms": -3, "us": -6, "µs": -6, "ns": -9, "ps": -12, "fs": -15},
    "energy": {"J": 0, "mJ": -3, "uJ": -6, "µJ": -6, "nJ": -9, "pJ": -12, "fJ": -15},
    "power": {"kW": 3, "W": 0, "mW": -3, "uW": -6, "µW": -6, "nW": -9},
    "rate": {"Tb/s": 12, "Gb/s": 9, "Mb/s": 6, "kb/s": 3, "b/s": 0},
    "frequency": {"GHz": 9, "MHz": 6, "kHz": 3, "Hz": 0},
}
"""Power of ten of each unit, by what it measures."""

_DIMENSION = {unit: (what, power) for what, all_ in _POWERS.items() for unit, power in all_.items()}
_QUANTITY = re.compile(
    r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*([^\W\d_]\S*)\s*"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program has left.

    Attributes:
        stdout: Its standard output.
        stderr: Its standard error.
        files: Text of each result file that was asked for.
        wall_s: Time of the call, in seconds.
    """

    stdout: str
    stderr: str
    files: Mapping[str, str] = field(default_factory=dict)
    wall_s: float = 0.0


class Program:
    """An external program.

    Args:
        command: The program and the arguments that come first in every call. A first word with a
            folder is the path of the program; another one is looked up in PATH.
        timeout_s: Time that a call may take, in seconds.
        environment: Variables that the program gets beside those of this process.

    Attributes:
        command: The command, its program as an absolute path.
        timeout_s: As above.

    Raises:
        ConfigError: If there is no such program, it cannot be executed, or the time is not
            positive.
    """

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        timeout_s: float = 60.0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        if isinstance(command, str) or not command:
            raise ConfigError(
                f"a command is a list of a program and its arguments, got {command!r}."
            )
        words = [os.fspath(word) for word in command]
        found = shutil.which(words[0])
        if found is None:
            raise ConfigError(
                f"{words[0]!r} is no program that can be executed. Give the path of one, or add "
                f"its folder to PATH."
            )
        # Calls are made elsewhere. A link stays one: Python finds its environment by it.
        self.command = (str(Path(found).absolute()), *words[1:])
        self.timeout_s = number("timeout_s", timeout_s, 1e-3, MAX_TIMEOUT_S)
        self._environment = dict(environment or {})

    @property
    def _name(self) -> str:
        return Path(self.command[0]).name

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the program's file in hexadecimal digits."""
        with Path(self.command[0]).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def call(
        self,
        arguments: Sequence[str],
        *,
        files: Mapping[str, str | bytes] | None = None,
        read: Sequence[str] = (),
    ) -> Answer:
        """Run the program to its end.

        Args:
            arguments: Arguments behind those of the command.
            files: Content of files that the program finds in its working directory, by a relative
                path with "/" between folders, which are made.
            read: Files that the program has to leave there.

        Returns:
            What it has left.

        Raises:
            ConfigError: If a path leads out of the working directory.
            SimulatorError: If the program cannot be started, does not exit with 0 or does not leave
                a file; the message ends with its last lines.
            SimulatorTimeout: If it takes too long; its process group was killed then.
        """
        for path in (*(files or {}), *read):
            pure = PurePosixPath(path)
            if pure.is_absolute() or ".." in pure.parts or not pure.parts:
                raise ConfigError(f"{path!r} is no path below a program's working directory.")
        # A folder for the program, and one for what it says, of which it knows nothing.
        with tempfile.TemporaryDirectory(prefix="archgym-", ignore_cleanup_errors=True) as private:
            folder, streams = Path(private, "work"), Path(private, "streams")
            folder.mkdir()
            streams.mkdir()
            for path, content in (files or {}).items():
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                data = content.encode() if isinstance(content, str) else content
                target.write_bytes(data)
            begun = time.perf_counter()
            with (streams / "out").open("wb+") as out, (streams / "err").open("wb+") as err:
                status = self._run(arguments, folder, out, err)
                wall_s = time.perf_counter() - begun
                name = self._name
                said = last_lines(_tail(err)) or last_lines(_tail(out))
                if status is None:
                    raise SimulatorTimeout(
                        f"{name} did not finish within {self.timeout_s:g} s and was killed.{said} "
                        f"Give it more time (timeout_s) or a smaller problem."
                    )
                if status != 0:
                    raise SimulatorError(f"{name} {_ending(status)}.{said}")
                stdout, stderr = self._text(out, "output"), self._text(err, "messages")
            found = {}
            for path in read:
                try:
                    with (folder / path).open("rb") as file:
                        found[path] = self._text(file, path)
                except OSError as error:
                    raise SimulatorError(
                        f"{name} did not leave the file {path}: {error.strerror}.{said}"
                    ) from None
        return Answer(stdout, stderr, found, wall_s)

    def _run(
        self, arguments: Sequence[str], folder: Path, out: IO[bytes], err: IO[bytes]
    ) -> int | None:
        """Return how the program ended, None if it had to be killed."""
        try:
            process = subprocess.Popen(
                [*self.command, *arguments],
                cwd=folder,
                env={**os.environ, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,  # a process group of its own, children included
            )
        except OSError as error:
            raise SimulatorError(
                f"{self.command[0]} cannot be started: {error.strerror}. Check that it was made "
                f"for this machine."
            ) from None
        self._limit(process.pid)
        # Popen.wait() would reap the program. As long as nobody does, its number stays that of its
        # group, and killing the group can hit no other one.
        deadline = time.monotonic() + self.timeout_s
        pause = _SHORTEST_POLL_S
        ended = False
        try:
            while True:
                options = os.WEXITED | os.WNOHANG | os.WNOWAIT
                ended = os.waitid(os.P_PID, process.pid, options) is not None
                if ended or time.monotonic() >= deadline:
                    break
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_POLL_S)
        finally:
            with suppress(ProcessLookupError, PermissionError):  # macOS refuses groups of zombies
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return process.returncode if ended else None

    def _limit(self, pid: int) -> None:
        """Limit what a program can do where nobody is left to watch it, if the system can.

        Its files do not fill the disk, and what computes does not go on for ever.
        """
        if not hasattr(resource, "prlimit"):
            return  # only Linux sets the limits of another process
        seconds = math.ceil(self.timeout_s * (os.cpu_count() or 1)) + 1
        limits = {resource.RLIMIT_CPU: seconds, resource.RLIMIT_FSIZE: 2 * _MAX_OUTPUT}
        for what, limit in limits.items():
            with suppress(ProcessLookupError, ValueError, PermissionError):
                hard = resource.getrlimit(what)[1]
                most = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
                resource.prlimit(pid, what, (most, most))

    def _text(self, file: IO[bytes], what: str) -> str:
        file.seek(0)
        data = file.read(_MAX_OUTPUT + 1)
        if len(data) > _MAX_OUTPUT:
            raise SimulatorError(
                f"the {what} of {self._name} has more than {_MAX_OUTPUT} bytes. Make it say less."
            )
        return data.decode("utf-8", errors="replace")


def find_program(
    name: str, *, given: str | os.PathLike[str] | None, variable: str, remedy: str
) -> str:
    """Return the path of a tool's program.

    Args:
        name: Name of its file, as it is looked up in PATH.
        given: What the user named; None if nothing.
        variable: Environment variable that may hold the path.
        remedy: Where the tool is to be had, a sentence.

    Returns:
        The first of `given`, the variable and the one in PATH.

    Raises:
        ConfigError: If what was named is no program, or nothing was named and none is in PATH.
    """
    if given is not None:
        require_type("program", given, str, os.PathLike)
    for where, path in (("program", given), (variable, os.environ.get(variable))):
        if path is not None and os.fspath(path):
            found = shutil.which(path)
            if found is None:
                raise ConfigError(
                    f"{where}: {os.fspath(path)!r} is no program that can be executed. {remedy}"
                )
            return str(Path(found).absolute())
    found = shutil.which(name)
    if found is None:
        raise ConfigError(
            f"{name!r} was not found. Give its path as program=..., in the environment variable "
            f"{variable}, or add its folder to PATH. {remedy}"
        )
    return str(Path(found).absolute())


def quantity(text: str, unit: str) -> float:
    """Read a number with its unit, strictly.

    Args:
        text: The number and the unit ("50468750 ps").
        unit: The unit that is wanted, of the same dimension.

    Returns:
        The number in that unit, rounded once.

    Raises:
        SimulatorError: If the text is anything else, or the unit unknown or of another dimension.

    Examples:
        >>> quantity("50468750 ps", "ns")
        50468.75
        >>> quantity("3 pJ", "ns")
        Traceback (most recent call last):
        archgym_py.errors.SimulatorError: '3 pJ' is no time: 'pJ' is a unit of energy.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise SimulatorError(f"{text[:80]!r} is not a number with a unit.")
    dimension, power = _DIMENSION[unit]
    value, found = match.groups()
    if found not in _DIMENSION:
        raise SimulatorError(
            f"unknown unit {found!r} in {text[:80]!r}.{did_you_mean(found, _POWERS[dimension])}"
        )
    other, own = _DIMENSION[found]
    if other != dimension:
        raise SimulatorError(f"{text[:80]!r} is no {dimension}: {found!r} is a unit of {other}.")
    try:
        result = float(Decimal(value).scaleb(own - power))
    except ArithmeticError:
        result = math.inf
    if math.isinf(result):
        raise SimulatorError(f"{text[:80]!r} is too large a number.")
    return result


def last_lines(text: str) -> str:
    """Return the last lines that are not empty, as the end of an error message.

    Args:
        text: What a program said.

    Returns:
        " Its last lines: ..." or "" where it said nothing.
    """
    lines = [line.rstrip()[:500] for line in text.splitlines() if line.strip()]
    if not lines:
        return ""
    return "\n  ".join([" Its last lines:", *lines[-_LAST_LINES:]]) + "\n"


def _tail(file: IO[bytes]) -> str:
    """Return the end of a file."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL))
    return file.read().decode("utf-8", errors="replace")


def _ending(status: int) -> str:
    if status > 0:
        return f"exited with {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
