"""Memory traces: what is asked of the memory, and when.

A trace file has a request per line: the clock cycle of the player, what to do, the address, and
optionally data, which is ignored.

    0:  read   0x00400140
    12: write  0x1f8c0

Lines that start with `#` and lines of at most one character are skipped. In an `.stl` file a cycle
counts from the start of the trace, in an `.rstl` file from the moment at which the request before
was accepted. Both may be gzipped (`.stl.gz`, `.rstl.gz`).
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from archgym_py.errors import TraceError

__all__ = ["MAX_STAMP", "Trace", "is_trace_file", "read_stl", "stl_text", "write_stl"]

MAX_STAMP = 10**12 - 1
"""Largest cycle of a trace: at any sensible clock its time in picoseconds has 63 bits."""

# Cycles of 12 digits and addresses of 64 bits, leading zeros aside.
_LINE = re.compile(
    rb"\s*0*([0-9]{1,12}):\s+(read|write)\s+0[xX]0*([0-9a-fA-F]{1,16})(?:\s+\S+)?\s*"
)
_ENDINGS = {".stl": False, ".stl.gz": False, ".rstl": True, ".rstl.gz": True}
"""File name endings, and whether their cycles are relative."""


@dataclass(frozen=True, eq=False)
class Trace:
    """Requests to a memory, in the order in which they are sent. Immutable.

    Traces are equal if their contents are; the name is not content.

    Attributes:
        stamps: Cycle of the player before which a request is not sent, int64, shape (requests,).
            It need not grow: a smaller one only means "as soon as possible".
        is_write: Whether a request writes, bool, shape (requests,).
        addresses: Byte address, uint64, shape (requests,).
        relative: Whether stamps count from the acceptance of the request before, not from 0.
        name: What the trace is called in messages.

    Raises:
        TraceError: If there is no request, the shapes differ or a stamp is not in 0..MAX_STAMP.

    Examples:
        >>> trace = Trace([0, 1], [False, True], [0x40, 0x80], name="two")
        >>> len(trace), trace.addresses.tolist()
        (2, [64, 128])
    """

    stamps: npt.NDArray[np.int64]
    is_write: npt.NDArray[np.bool_]
    addresses: npt.NDArray[np.uint64]
    relative: bool = False
    name: str = "trace"

    def __post_init__(self) -> None:
        for field, dtype in (
            ("stamps", np.int64),
            ("is_write", np.bool_),
            ("addresses", np.uint64),
        ):
            values = np.array(getattr(self, field), dtype=dtype)
            values.flags.writeable = False
            object.__setattr__(self, field, values)
        shape = self.stamps.shape
        if len(shape) != 1 or self.is_write.shape != shape or self.addresses.shape != shape:
            raise TraceError(
                f"trace {self.name}: stamps, is_write and addresses must be vectors of equal "
                f"length, got shapes {shape}, {self.is_write.shape}, {self.addresses.shape}."
            )
        if not self.stamps.size:
            raise TraceError(f"trace {self.name}: has no request. Give at least one.")
        first, last = self.stamps.min(), self.stamps.max()
        if self.relative:
            last = self.stamps.sum(dtype=np.float64)  # an integer sum could overflow
        if first < 0 or last > MAX_STAMP:
            raise TraceError(
                f"trace {self.name}: cycles must be in 0..{MAX_STAMP}, got {first}..{last:.0f}."
            )

    def __len__(self) -> int:
        return self.stamps.size

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content in hexadecimal digits."""
        content = hashlib.sha256(b"relative" if self.relative else b"absolute")
        for values in (self.stamps, self.is_write, self.addresses):
            content.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
        return content.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Trace) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


def is_trace_file(name: str) -> bool:
    """Return whether a name has the ending of a trace file."""
    return name.endswith(tuple(_ENDINGS))


def read_stl(path: str | os.PathLike[str]) -> Trace:
    """Read a trace file.

    Args:
        path: File that ends in .stl, .rstl, .stl.gz or .rstl.gz.

    Returns:
        The trace, named after the file.

    Raises:
        TraceError: If the file cannot be read, has no request, or has a line that is not one. The
            message names the file and the line.
    """
    path = Path(path)
    relative = _is_relative(path)
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, ValueError, zlib.error) as error:  # ValueError: a path with a NUL
        reason = getattr(error, "strerror", None) or error
        raise TraceError(f"{path}: cannot be read: {reason}.") from None
    stamps: list[int] = []
    is_write: list[bool] = []
    addresses: list[int] = []
    match = _LINE.fullmatch
    for number, line in enumerate(content.split(b"\n"), start=1):
        if len(line) <= 1 or line.startswith(b"#"):
            continue
        request = match(line)
        if request is None:
            if line.isspace():
                continue
            raise TraceError(f"{path}, line {number}: {_complaint(line)}")
        stamp, command, address = request.groups()
        stamps.append(int(stamp))
        is_write.append(command == b"write")
        addresses.append(int(address, 16))
    if not stamps:
        raise TraceError(f"{path}: has no request. A line is, for example, '0: read 0x40'.")
    return Trace(
        np.array(stamps, dtype=np.int64),
        np.array(is_write, dtype=np.bool_),
        np.array(addresses, dtype=np.uint64),
        relative,
        str(path),
    )


def write_stl(trace: Trace, path: str | os.PathLike[str]) -> None:
    """Write a trace file that `read_stl` reads back equal.

    Args:
        trace: The trace.
        path: File to write; its ending must agree with `trace.relative`, and .gz compresses.

    Raises:
        TraceError: If the ending is another one.
        OSError: If the file cannot be written.
    """
    path = Path(path)
    if _is_relative(path) != trace.relative:
        right = ".rstl" if trace.relative else ".stl"
        kind = "relative" if trace.relative else "absolute"
        raise TraceError(f"{path}: a trace with {kind} cycles needs the ending {right}.")
    content = stl_text(trace).encode("ascii")
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def stl_text(trace: Trace) -> str:
    """Return the text of the file that `write_stl` writes.

    Args:
        trace: The trace.
    """
    requests = zip(
        trace.stamps.tolist(), trace.is_write.tolist(), trace.addresses.tolist(), strict=True
    )
    return "".join(
        f"{stamp}:\t{'write' if write else 'read'}\t0x{address:x}\n"
        for stamp, write, address in requests
    )


def _is_relative(path: Path) -> bool:
    for ending, relative in _ENDINGS.items():
        if path.name.endswith(ending):
            return relative
    raise TraceError(f"{path}: a trace file ends in {', '.join(_ENDINGS)}.")


def _complaint(line: bytes) -> str:
    """Return what is wrong with a line that is not a request, and how to write one."""
    text = line.decode("utf-8", errors="replace").rstrip()
    words = text.split()
    if not re.fullmatch(r"[0-9]+:", words[0], re.ASCII):
        wrong = f"{words[0]!r} is not a cycle followed by a colon"
    elif len(words) == 1:
        wrong = "'read' or 'write' is missing"
    elif words[1] not in ("read", "write"):
        wrong = f"{words[1]!r} is neither 'read' nor 'write'"
    elif len(words) == 2:
        wrong = "the address is missing"
    elif not re.fullmatch(r"0[xX][0-9a-fA-F]+", words[2]):
        wrong = f"{words[2]!r} is not a hexadecimal address with 0x before it"
    elif len(words) > 4:
        wrong = f"{len(words)} words, but a request has 3, or 4 with data"
    elif len(words[0].lstrip("0")) > 13:
        wrong = f"the cycle is above {MAX_STAMP}"
    else:
        wrong = "the address has more than 64 bits"
    return f"{wrong}: {text[:80]!r}. Write '<cycle>: read|write 0x<address> [data]'."
