"""Synthetic memory traces, drawn from a seed.

A workload is a pattern of addresses at a rate. Its name says all of it: "cloud-saturating-1k" has
1000 requests of the cloud pattern, one in every clock cycle; "-w50" at the end makes half of them
writes, "-s7" draws with seed 7. The pattern alone is enough where the rest is as usual.

    >>> workload = parse_workload("cloud-medium-10k-s7")
    >>> workload == Workload("cloud", "medium", 10_000, seed=7)
    True
    >>> len(workload.generate())
    10000

Addresses are those of 64-byte lines in 1 GiB, which every technology of the library has. Addresses,
directions and arrival times are drawn independently: one seed gives the same addresses at every
rate. Equal workloads are equal traces on every machine, which a test pins by their digests.

Rates, in clock cycles of the player (the chase adds the 40 to 79 cycles it waits for each answer):

- saturating: one in every cycle; the memory is the bottleneck.
- medium: clusters of 1 to 8, one in every cycle, then a pause; 8 cycles apart on average.
- idle: 1 to 199 cycles apart, 100 on average; the memory has time to refresh and to power down.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from archgym_py.errors import ConfigError, UnknownNameError, did_you_mean
from archgym_py.simulators.dram.trace import Trace, is_trace_file, read_stl

__all__ = ["MAX_REQUESTS", "RATES", "WORKLOADS", "Rate", "Workload", "parse_workload"]

Rate: TypeAlias = Literal["saturating", "medium", "idle"]
RATES: tuple[Rate, ...] = get_args(Rate)

MAX_REQUESTS = 10_000_000
"""Largest workload; its arrays take some hundred megabytes."""

_LINE_BYTES = 64
_MEMORY_LINES = 2**24  # 1 GiB
_PAGE_LINES = 128  # 8 KiB, a row of a DDR3 module

_Integers: TypeAlias = npt.NDArray[np.int64]
_Writes: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Workload:
    """A recipe for a trace.

    Attributes:
        pattern: Which addresses follow each other, one of `WORKLOADS`.
        rate: How fast, one of `RATES`.
        requests: Number of requests.
        write_fraction: Share of writes, drawn for each request independently (for write_bursts:
            share of a round that is a write burst); None for what the pattern does by itself.
        seed: Seed of everything that is drawn.

    Raises:
        UnknownNameError: If the pattern or the rate does not exist.
        ConfigError: If a number is not legal.
    """

    pattern: str
    rate: Rate = "saturating"
    requests: int = 1000
    write_fraction: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _refuse_unknown("workload", self.pattern, WORKLOADS)
        _refuse_unknown("rate", self.rate, RATES)
        if type(self.requests) is not int or not 1 <= self.requests <= MAX_REQUESTS:
            raise ConfigError(
                f"workload: requests must be a whole number from 1 to {MAX_REQUESTS}, got "
                f"{self.requests!r}."
            )
        if type(self.seed) is not int or self.seed < 0:
            raise ConfigError(
                f"workload: seed must be a whole number, 0 or more, got {self.seed!r}."
            )
        share = self.write_fraction
        if share is not None and (type(share) not in (int, float) or not 0 <= share <= 1):
            raise ConfigError(
                f"workload: write_fraction must be a number from 0 to 1, or None for the pattern's "
                f"own, got {share!r}."
            )

    @property
    def name(self) -> str:
        """The workload in one word; `parse_workload` reads it back equal."""
        thousands, rest = divmod(self.requests, 1000)
        words = [self.pattern, self.rate, f"{self.requests}" if rest else f"{thousands}k"]
        if self.write_fraction is not None:
            percent = round(self.write_fraction * 100)
            exact = percent / 100 == self.write_fraction
            share = np.format_float_positional(self.write_fraction, trim="0")
            words.append(f"w{percent}" if exact else f"w{share}")
        if self.seed:
            words.append(f"s{self.seed}")
        return "-".join(words)

    def generate(self) -> Trace:
        """Draw the trace, named after the workload.

        Returns:
            The trace; equal workloads have equal traces.
        """
        # A stream for each aspect: the rate does not change which addresses are drawn.
        seeds = np.random.SeedSequence(self.seed).spawn(3)
        places, directions, arrivals = (np.random.Generator(np.random.PCG64(s)) for s in seeds)
        pattern, _ = _PATTERNS[self.pattern]
        lines, is_write = pattern(self.requests, self.write_fraction, places, directions)
        gaps = _gaps(self.rate, self.requests, arrivals)
        if self.pattern == "chase":  # each answer is awaited, for 40 to 79 cycles
            gaps += arrivals.integers(39, 79, size=self.requests)
        addresses = (lines * _LINE_BYTES).astype(np.uint64)
        return Trace(np.cumsum(gaps) - gaps[0], is_write, addresses, name=self.name)


def parse_workload(spec: str | os.PathLike[str] | Mapping[str, Any]) -> Trace | Workload:
    """Return the workload or the trace that a configuration asks for.

    Args:
        spec: Name of a workload ("cloud", "random-medium-10k-w50-s7"), a mapping with the fields
            of `Workload`, or the path of a trace file, which ends in .stl or .rstl and may be
            gzipped.

    Returns:
        The workload, or the trace read from the file.

    Raises:
        UnknownNameError: If a name is not known.
        ConfigError: If a field or a part of a name is not known or not legal.
        TraceError: If the trace file cannot be read.

    Examples:
        >>> parse_workload("stream").name
        'stream-saturating-1k'
        >>> parse_workload({"pattern": "random", "requests": 250, "write_fraction": 0.5}).name
        'random-saturating-250-w50'
        >>> parse_workload("strem-idle")
        Traceback (most recent call last):
        archgym_py.errors.UnknownNameError: unknown workload 'strem'. Did you mean 'stream'?
    """
    if isinstance(spec, Mapping):
        known = [field.name for field in fields(Workload)]
        for key in spec:
            if key not in known:
                raise ConfigError(
                    f"workload: unknown field {key!r}.{did_you_mean(str(key), known)}"
                )
        if "pattern" not in spec:
            raise ConfigError(
                f"workload: 'pattern' is missing. It is one of {', '.join(WORKLOADS)}."
            )
        return Workload(**spec)
    text = os.fspath(spec)
    if not isinstance(spec, str) or is_trace_file(text):
        return read_stl(text)
    return _parse_name(text)


def _parse_name(text: str) -> Workload:
    pattern, *words = text.split("-")
    _refuse_unknown("workload", pattern, WORKLOADS)
    given: dict[str, Any] = {}
    for word in words:
        key, value = _parse_word(word, text)
        if key in given:
            raise ConfigError(f"workload {text!r}: {key} is given twice.")
        given[key] = value
    return Workload(pattern, **given)


def _parse_word(word: str, text: str) -> tuple[str, Any]:
    """Return which field a word of a name sets, and to what."""
    if match := re.fullmatch(r"([0-9]+)(k?)", word, re.ASCII):
        return "requests", int(match[1]) * (1000 if match[2] else 1)
    if match := re.fullmatch(r"s([0-9]+)", word, re.ASCII):
        return "seed", int(match[1])
    if match := re.fullmatch(r"w([0-9]+)", word, re.ASCII):
        return "write_fraction", int(match[1]) / 100
    if match := re.fullmatch(r"w([0-9]+\.[0-9]+)", word, re.ASCII):
        return "write_fraction", float(match[1])
    if word in RATES:
        return "rate", word
    raise ConfigError(
        f"workload {text!r}: {word!r} is not a rate, a number of requests (1k), a share of writes "
        f"(w50 for 50 percent) or a seed (s7).{did_you_mean(word, RATES)}"
    )


def _refuse_unknown(kind: str, name: object, known: Iterable[str]) -> None:
    if name not in tuple(known):
        raise UnknownNameError(f"unknown {kind} {name!r}.{did_you_mean(str(name), known)}")


def _gaps(rate: Rate, count: int, arrivals: np.random.Generator) -> _Integers:
    """Return the cycles from each request's predecessor to it; the first has no meaning."""
    if rate == "idle":
        return arrivals.integers(1, 200, size=count)
    gaps = np.ones(count, dtype=np.int64)
    if rate == "medium":
        heads = np.cumsum(arrivals.integers(1, 9, size=count))
        heads = heads[heads < count]
        gaps[heads] = arrivals.integers(1, 65, size=heads.size)
    return gaps


def _draw(count: int, share: float, directions: np.random.Generator) -> _Writes:
    return directions.random(count) < share


def _stream(
    count: int, share: float | None, places: np.random.Generator, directions: np.random.Generator
) -> tuple[_Integers, _Writes]:
    """a[i] = b[i] + s * c[i]. The arrays start 26 KiB apart, so that they do not share banks."""
    step, array = np.divmod(np.arange(count), 3)
    size = _MEMORY_LINES // 4
    lines = array * size + (places.integers(size) + array * 416 + step) % size
    return lines, array == 2 if share is None else _draw(count, share, directions)


def _random(
    count: int, share: float | None, places: np.random.Generator, directions: np.random.Generator
) -> tuple[_Integers, _Writes]:
    lines = places.integers(_MEMORY_LINES, size=count)
    return lines, _draw(count, 0.33 if share is None else share, directions)


def _strided(
    count: int, share: float | None, places: np.random.Generator, directions: np.random.Generator
) -> tuple[_Integers, _Writes]:
    """Walk down a column of a matrix whose rows are 4 KiB and a line of padding long."""
    step = np.arange(count)
    lines = (places.integers(_MEMORY_LINES) + 65 * step) % _MEMORY_LINES
    return lines, step % 4 == 3 if share is None else _draw(count, share, directions)


def _chase(
    count: int, share: float | None, places: np.random.Generator, directions: np.random.Generator
) -> tuple[_Integers, _Writes]:
    """Follow a linked list through 65,536 nodes in random places, again and again."""
    nodes = places.integers(_MEMORY_LINES, size=65_536)
    lines = nodes[np.arange(count) % nodes.size]
    return lines, _draw(count, 0.0 if share is None else share, directions)


def _cloud(
    count: int, share: float | None, places: np.random.Generator, directions: np.random.Generator
) -> tuple[_Integers, _Writes]:
    """Bursts of 1 to 12 lines in a page of one of four tenants; the k-th page is 1/k as hot."""
    lengths = places.integers(1, 13, size=count)
    ends = np.cumsum(lengths)
    bursts = int(np.searchsorted(ends, count)) + 1
    burst = np.repeat(np.arange(bursts), lengths[:bursts])[:count]
    tenant = places.integers(len(_TENANT_WRITES), size=bursts)
    heat = np.cumsum(1.0 / np.arange(1, _HOT_PAGES + 1))
    rank = np.searchsorted(heat, places.random(bursts) * heat[-1])
    tenant_pages = _MEMORY_LINES // _PAGE_LINES // len(_TENANT_WRITES)
    pages = np.array([places.permutation(tenant_pages)[:_HOT_PAGES] for _ in _TENANT_WRITES])
    page = tenant * tenant_pages + pages[tenant, rank]
    start = places.integers(_PAGE_LINES, size=bursts)
    line = start[burst] + np.arange(count) - (ends - lengths)[burst]
    lines = page[burst] * _PAGE_LINES + line % _PAGE_LINES
    shares = np.array(_TENANT_WRITES if share is None else [share] * len(_TENANT_WRITES))
    return lines, directions.random(count) < shares[tenant][burst]


def _conflict(
    count: int, share: float | None, places: np.random.Generator, directions: np.random.Generator
) -> tuple[_Integers, _Writes]:
    """Eight rows in each of two banks.

    The bits are chosen so that this holds under the default map of every technology: bits 6 to 9
    select a column (with two channels bit 6 selects the channel), bits 13 and 14 together one of
    two banks, and bits 17 to 19 a row.
    """
    bank = places.integers(2, size=count) * (0b11 << 7)
    row = places.integers(8, size=count) << 11
    column = places.integers(16, size=count)
    block = places.integers(_MEMORY_LINES >> 14) << 14
    lines = block + row + bank + column
    return lines, _draw(count, 0.3 if share is None else share, directions)


def _write_bursts(
    count: int, share: float | None, places: np.random.Generator, _: np.random.Generator
) -> tuple[_Integers, _Writes]:
    """Rounds of 64 to 192 requests: reads of four neighbouring lines each, then a write burst."""
    lengths = places.integers(64, 193, size=count // 64 + 1)
    starts = np.cumsum(lengths) - lengths
    reads = np.rint(lengths * (1 - (0.5 if share is None else share))).astype(np.int64)
    rounds = np.repeat(np.arange(lengths.size), lengths)[:count]
    is_write = np.arange(count) - starts[rounds] >= reads[rounds]
    size = _MEMORY_LINES // 4
    written = (places.integers(size) + np.cumsum(is_write)) % size  # one log, written in order
    group, line = np.divmod(np.cumsum(~is_write), 4)
    blocks = places.integers(size, _MEMORY_LINES // 4 * 4, size=count // 4 + 1) // 4 * 4
    return np.where(is_write, written, blocks[group] + line), is_write


_TENANT_WRITES = (0.05, 0.15, 0.3, 0.5)
_HOT_PAGES = 256

_Pattern: TypeAlias = Callable[
    [int, float | None, np.random.Generator, np.random.Generator], tuple[_Integers, _Writes]
]
_PATTERNS: Mapping[str, tuple[_Pattern, str]] = {
    "stream": (
        _stream,
        "triad: two arrays are read and a third is written, line by line; rows stay open",
    ),
    "random": (_random, "lines all over the memory, 33 % writes; hardly a row is hit twice"),
    "strided": (
        _strided,
        "every 4160 bytes, each fourth a write; two hits in a row of DDR3, then the next row",
    ),
    "chase": (_chase, "reads of a linked list, each 40 cycles or more after the last; no row hits"),
    "cloud": (
        _cloud,
        "four tenants, short sequential bursts in pages of Zipf popularity, 25 % writes",
    ),
    "conflict": (_conflict, "eight rows in each of two banks in turn, 30 % writes; rows conflict"),
    "write_bursts": (
        _write_bursts,
        "a log written in bursts of about 64 lines between scattered reads, 50 % writes",
    ),
}

WORKLOADS: Mapping[str, str] = {name: doc for name, (_, doc) in _PATTERNS.items()}
"""The patterns, and what each does to the memory."""
