"""When jobs arrive, and which application each of them is.

======================================================= ===========================================
specification                                           waits between one job and the next
======================================================= ===========================================
`poisson:mean_us=100`                                   exponential
`poisson:mean_us=100,whole_us=true`                     the same rounded down to whole µs, as DS3
                                                        draws them
`deterministic:period_us=100`                           always the same
`bursty:calm_us=400,burst_us=20,calm_for_us=1e5,        exponential around one of two means; how
burst_for_us=1e4`                                       long each holds is exponential, too
`trace:arrivals.csv`                                    those of a file with the time of each job
======================================================= ===========================================

The first job arrives when the simulation starts, so that wait k lies between job k and job k + 1.

    >>> import numpy as np
    >>> as_arrivals("deterministic:period_us=50").draw(np.random.default_rng(1), 3)
    array([50., 50., 50.])
    >>> as_arrivals({"kind": "trace", "times_us": [10, 15, 40]}).draw(np.random.default_rng(1), 3)
    array([ 5., 25., inf])
    >>> mix = as_mix({"wifi_transmitter": 0.25, "lag_detection": 0.75})
    >>> mix.draw(np.random.default_rng(1), 6)
    array([1, 1, 0, 1, 1, 1])
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from archgym_py.checks import flag, integer, number
from archgym_py.errors import ConfigError, UnknownNameError, did_you_mean
from archgym_py.simulators.soc.graphs import TaskGraph, as_task_graph

__all__ = [
    "ARRIVALS",
    "DS3_MIX",
    "Arrivals",
    "Bursty",
    "Deterministic",
    "Mix",
    "Poisson",
    "Trace",
    "as_arrivals",
    "as_mix",
]

DS3_MIX: Final[Mapping[str, float]] = {
    "wifi_transmitter": 0.2,
    "wifi_receiver": 0.2,
    "lag_detection": 0.2,
    "single_carrier_transmitter": 0.1,
    "single_carrier_receiver": 0.1,
    "temporal_mitigation": 0.2,
}
"""The applications of DS3 and how likely a job is one of them."""

_SHORTEST_US = 1e-3
_LONGEST_US = 1e12
_MAX_WAITS = 100_000_000

Waits: TypeAlias = npt.NDArray[np.float64]


class Arrivals(Protocol):
    """A process of arrivals."""

    @property
    def name(self) -> str:
        """A specification from which `as_arrivals` makes an equal process."""

    @property
    def mean_us(self) -> float:
        """Mean wait in µs."""

    @property
    def n_jobs(self) -> int | None:
        """How many jobs there are at all; None for any number."""

    def draw(self, rng: np.random.Generator, n: int) -> Waits:
        """Draw waits.

        Args:
            rng: Where randomness comes from.
            n: How many.

        Returns:
            Waits of (n,) in µs, 0 or more; infinite where no other job follows.
        """


@dataclass(frozen=True, slots=True)
class Poisson:
    """Jobs that know nothing of each other.

    Attributes:
        mean_us: Mean of the exponential distribution in µs, from 0.001 to 1e12.
        whole_us: Whether a wait is rounded down to whole µs. That makes it about half a µs shorter
            on average, and short waits 0.

    Raises:
        ConfigError: If a value is not legal.
    """

    mean_us: float
    whole_us: bool = False

    def __post_init__(self) -> None:
        _set_number(self, "mean_us")
        object.__setattr__(self, "whole_us", flag("poisson: whole_us", self.whole_us))

    @property
    def name(self) -> str:
        """The process in one word; `as_arrivals` reads it back equal."""
        return f"poisson:mean_us={self.mean_us!r}" + (",whole_us=true" if self.whole_us else "")

    @property
    def n_jobs(self) -> None:
        """Any number."""
        return None

    def draw(self, rng: np.random.Generator, n: int) -> Waits:
        """Draw n waits in µs."""
        waits = rng.exponential(self.mean_us, _count(n))
        return np.floor(waits) if self.whole_us else waits


@dataclass(frozen=True, slots=True)
class Deterministic:
    """Jobs at a fixed rate.

    Attributes:
        period_us: The wait in µs, from 0.001 to 1e12.

    Raises:
        ConfigError: If it is not legal.
    """

    period_us: float

    def __post_init__(self) -> None:
        _set_number(self, "period_us")

    @property
    def name(self) -> str:
        """The process in one word; `as_arrivals` reads it back equal."""
        return f"deterministic:period_us={self.period_us!r}"

    @property
    def mean_us(self) -> float:
        """The wait in µs."""
        return self.period_us

    @property
    def n_jobs(self) -> None:
        """Any number."""
        return None

    def draw(self, rng: np.random.Generator, n: int) -> Waits:
        """Return n equal waits in µs; nothing is drawn."""
        return np.full(_count(n), self.period_us)


@dataclass(frozen=True, slots=True)
class Bursty:
    """Jobs at one of two rates: a Markov-modulated Poisson process with two states.

    Fischer and Meier-Hellstern, "The Markov-modulated Poisson process (MMPP) cookbook", Performance
    Evaluation 18(2), 1993. Each draw starts in a state drawn as an observer at any time finds it.

    Attributes:
        calm_us: Mean wait in µs while it is calm.
        burst_us: Mean wait in µs during a burst, at most `calm_us`.
        calm_for_us: Mean time in µs from a burst to the next.
        burst_for_us: Mean length of a burst in µs, at least `burst_us`.

    Raises:
        ConfigError: If a value is not from 0.001 to 1e12, or the states are not as said.

    Examples:
        >>> process = Bursty(calm_us=400, burst_us=20, calm_for_us=9e4, burst_for_us=1e4)
        >>> round(process.mean_us, 3)
        137.931
    """

    calm_us: float
    burst_us: float
    calm_for_us: float
    burst_for_us: float

    def __post_init__(self) -> None:
        for key in ("calm_us", "burst_us", "calm_for_us", "burst_for_us"):
            _set_number(self, key)
        if self.burst_us > self.calm_us:
            raise ConfigError(
                f"bursty: burst_us must be at most calm_us, got {self.burst_us:g} and "
                f"{self.calm_us:g}. Exchange the two states."
            )
        if self.burst_for_us < self.burst_us:
            raise ConfigError(
                f"bursty: burst_for_us must be at least burst_us, got {self.burst_for_us:g} and "
                f"{self.burst_us:g}: a burst of less than one job on average is none."
            )

    @property
    def name(self) -> str:
        """The process in one word; `as_arrivals` reads it back equal."""
        return "bursty:" + ",".join(
            f"{field.name}={getattr(self, field.name)!r}" for field in fields(self)
        )

    @property
    def mean_us(self) -> float:
        """Mean wait in µs: the time in both states over the jobs in it."""
        jobs = self.calm_for_us / self.calm_us + self.burst_for_us / self.burst_us
        return (self.calm_for_us + self.burst_for_us) / jobs

    @property
    def n_jobs(self) -> None:
        """Any number."""
        return None

    def draw(self, rng: np.random.Generator, n: int) -> Waits:
        """Draw n waits in µs.

        Jobs come at rate 1 on a clock that counts expected jobs; the states say how fast that clock
        runs, so that the times follow from where it shows the draws.
        """
        expected = np.cumsum(rng.exponential(1.0, _count(n)))
        share = self.burst_for_us / (self.calm_for_us + self.burst_for_us)
        burst_first = bool(rng.random() < share)
        cycle_jobs = self.calm_for_us / self.calm_us + self.burst_for_us / self.burst_us
        times, jobs = [np.zeros(1)], [np.zeros(1)]
        while n and jobs[-1][-1] < expected[-1]:
            missing = expected[-1] - jobs[-1][-1]
            cycles = int(missing / cycle_jobs * 1.1) + 8
            lengths = rng.exponential((self.calm_for_us, self.burst_for_us), (cycles, 2))
            counts = lengths / (self.calm_us, self.burst_us)
            if burst_first:
                lengths, counts = lengths[:, ::-1], counts[:, ::-1]
            times.append(times[-1][-1] + np.cumsum(lengths))
            jobs.append(jobs[-1][-1] + np.cumsum(counts))
        arrivals = np.interp(expected, np.concatenate(jobs), np.concatenate(times))
        # Sums of long times round; a wait is never less than 0.
        return np.maximum(np.diff(arrivals, prepend=0.0), 0.0)


@dataclass(frozen=True, slots=True)
class Trace:
    """Jobs at given times.

    Attributes:
        times_us: When each job arrives in µs, in order. The simulation starts with the first one:
            only differences count.
        path: File that the times are from; empty if from none.

    Raises:
        ConfigError: If there is no time, one is no finite number from 0 on, or one is earlier than
            the one before it.
    """

    times_us: tuple[float, ...]
    path: str = ""

    def __post_init__(self) -> None:
        where = f"trace {self.path}" if self.path else "trace"
        times: object = self.times_us
        if not isinstance(times, Sequence) or isinstance(times, str | bytes) or not times:
            raise ConfigError(f"{where}: times_us must be a list of one or more times in us.")
        checked: list[float] = []
        for position, time in enumerate(times, start=1):
            value = number(f"{where}: time {position}", time, 0.0, math.inf)
            if checked and value < checked[-1]:
                raise ConfigError(
                    f"{where}: time {position} is {value:g}, before the {checked[-1]:g} of the job "
                    f"in front of it. Sort the times."
                )
            checked.append(value)
        object.__setattr__(self, "times_us", tuple(checked))

    @property
    def name(self) -> str:
        """The process in one word; `as_arrivals` reads it back equal if it is from a file."""
        return f"trace:{self.path}" if self.path else f"trace of {len(self.times_us)} jobs"

    @property
    def mean_us(self) -> float:
        """Mean wait in µs; infinite for one job."""
        waits = len(self.times_us) - 1
        return (self.times_us[-1] - self.times_us[0]) / waits if waits else math.inf

    @property
    def n_jobs(self) -> int:
        """Number of times."""
        return len(self.times_us)

    def draw(self, rng: np.random.Generator, n: int) -> Waits:
        """Return the first n waits in µs, infinite after the last job; nothing is drawn."""
        waits = np.full(_count(n), math.inf)
        known = np.diff(self.times_us)[:n]
        waits[: len(known)] = known
        return waits


@dataclass(frozen=True, slots=True)
class Mix:
    """Which application a job is.

    Attributes:
        graphs: The applications; their names are unique.
        probabilities: How likely each of them is. They sum to 1.

    Raises:
        ConfigError: If there is no graph, two have the same name, or the probabilities are not as
            many, are not from 0 to 1 or do not sum to 1.
    """

    graphs: tuple[TaskGraph, ...]
    probabilities: tuple[float, ...]

    def __post_init__(self) -> None:
        names = [graph.name for graph in self.graphs]
        if not names:
            raise ConfigError("a mix must have one application or more.")
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"mix: two applications have the name {name!r}. Rename one.")
        if len(self.probabilities) != len(names):
            raise ConfigError(
                f"mix: there must be a probability for each of {len(names)} applications, got "
                f"{len(self.probabilities)}."
            )
        values = tuple(
            number(f"mix: probability of {name!r}", value, 0.0, 1.0)
            for name, value in zip(names, self.probabilities, strict=True)
        )
        if not math.isclose(math.fsum(values), 1.0, rel_tol=1e-9):
            raise ConfigError(
                f"mix: the probabilities must sum to 1, got {math.fsum(values)!r}. Divide them by "
                f"their sum."
            )
        object.__setattr__(self, "probabilities", values)

    @property
    def name(self) -> str:
        """The applications with their probabilities."""
        pairs = zip(self.graphs, self.probabilities, strict=True)
        return ",".join(f"{graph.name}={value:g}" for graph, value in pairs)

    def draw(self, rng: np.random.Generator, n: int) -> npt.NDArray[np.int64]:
        """Draw applications.

        Args:
            rng: Where randomness comes from.
            n: How many.

        Returns:
            Indices of (n,) into `graphs`.
        """
        weights = np.array(self.probabilities)
        return rng.choice(len(weights), size=_count(n), p=weights / weights.sum())


def as_arrivals(spec: str | Mapping[str, Any] | Arrivals) -> Arrivals:
    """Return the arrivals that a configuration asks for.

    Args:
        spec: A string as in the table of this module; a mapping with the `kind` and the fields of
            its class; or a process.

    Returns:
        The process.

    Raises:
        UnknownNameError: If there is no such kind.
        ConfigError: If a field is missing, unknown or not legal, or a file cannot be read.

    Examples:
        >>> as_arrivals("poisson:mean_us=2e3").name
        'poisson:mean_us=2000.0'
        >>> as_arrivals({"kind": "poisson", "mean": 2000})
        Traceback (most recent call last):
        archgym_py.errors.ConfigError: arrivals 'poisson': unknown field 'mean'. Did you mean
        'mean_us'?
    """
    if isinstance(spec, Poisson | Deterministic | Bursty | Trace):
        return spec
    if isinstance(spec, str):
        kind, _, text = spec.partition(":")
        if kind == "trace":
            return _read_trace(text)
        values = _parse_values(kind, text)
    elif isinstance(spec, Mapping):
        values = dict(spec)
        kind = values.pop("kind", None)
        if kind == "trace" and isinstance(values.get("path"), str) and len(values) == 1:
            return _read_trace(values["path"])
    else:
        raise ConfigError(
            f"arrivals are a text such as 'poisson:mean_us=100' or a mapping with a 'kind', got "
            f"{spec!r}."
        )
    if kind not in tuple(ARRIVALS):  # not in the table itself, as a kind may be unhashable
        raise UnknownNameError(
            f"unknown kind of arrivals {kind!r}.{did_you_mean(str(kind), ARRIVALS)}"
        )
    make = ARRIVALS[kind]
    known = {field.name: field.default is MISSING for field in fields(make)}
    for key in values:
        if key not in known:
            raise ConfigError(
                f"arrivals {kind!r}: unknown field {key!r}.{did_you_mean(str(key), known)}"
            )
    for key, required in known.items():
        if required and key not in values:
            raise ConfigError(f"arrivals {kind!r}: {key!r} is missing. Nothing is assumed for it.")
    arrivals: Arrivals = make(**values)
    return arrivals


def as_mix(spec: object) -> Mix:
    """Return the mix of applications that a configuration asks for.

    Args:
        spec: A mix; a task graph in one of the forms of `as_task_graph`; several in a list, which
            are equally likely; or a mapping of names or paths of graphs to their probabilities.

    Returns:
        The mix.

    Raises:
        UnknownNameError: If there is no such graph.
        ConfigError: If a graph or a probability is not legal.

    Examples:
        >>> as_mix(["top_1", "top_2"]).probabilities
        (0.5, 0.5)
    """
    if isinstance(spec, Mix):
        return spec
    if isinstance(spec, Mapping) and "tasks" not in spec:
        graphs = tuple(as_task_graph(name) for name in spec)
        return Mix(graphs, tuple(spec.values()))
    if isinstance(spec, Sequence) and not isinstance(spec, str):
        graphs = tuple(as_task_graph(graph) for graph in spec)
        return Mix(graphs, (1.0 / max(1, len(graphs)),) * len(graphs))
    if isinstance(spec, str | os.PathLike | Mapping | TaskGraph):
        return Mix((as_task_graph(spec),), (1.0,))
    raise ConfigError(
        f"a mix of applications is the name of a task graph, a list of names or a mapping of names "
        f"to probabilities, got {spec!r}."
    )


def _parse_values(kind: str, text: str) -> dict[str, Any]:
    """Return the fields that the text after "kind:" states."""
    values: dict[str, Any] = {}
    for word in text.split(",") if text.strip() else ():
        key, separator, value = (part.strip() for part in word.partition("="))
        if not (key and separator and value):
            raise ConfigError(
                f"arrivals '{kind}:{text}': {word!r} is not of the form field=value, like "
                f"mean_us=100."
            )
        if key in values:
            raise ConfigError(f"arrivals '{kind}:{text}': {key!r} is given twice. Remove one.")
        values[key] = _parse_value(value)
    return values


def _parse_value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text)
    except ValueError:
        return text  # no field is a text: the class says what it wants instead


def _read_trace(path: str) -> Trace:
    """Read a file with the time of a job in µs on each line; empty lines and "#" lines are none."""
    where = f"trace {path}"
    if not path.strip() or "\0" in path:
        raise ConfigError("trace: the name of its file is missing. Write for example trace:a.csv.")
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"{where}: cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: is not UTF-8 text: {error.reason}.") from error
    times: list[float] = []
    for place, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            value = float(line)
        except ValueError:
            raise ConfigError(
                f"{where}, line {place}: must be the time of a job in us, got {line!r}."
            ) from None
        times.append(number(f"{where}, line {place}: time", value, 0.0, math.inf))
        if len(times) > 1 and times[-1] < times[-2]:
            raise ConfigError(
                f"{where}, line {place}: {times[-1]:g} is before the {times[-2]:g} of the job in "
                f"front of it. Sort the times."
            )
    if not times:
        raise ConfigError(f"{where}: has no time. Write that of a job in us on each line.")
    return Trace(tuple(times), path)


def _set_number(process: Poisson | Deterministic | Bursty, key: str) -> None:
    """Replace a field of a process by the float that it is, if it is a legal wait."""
    kind = type(process).__name__.lower()
    value = number(f"{kind}: {key}", getattr(process, key), _SHORTEST_US, _LONGEST_US)
    object.__setattr__(process, key, value)


def _count(n: int) -> int:
    return integer("number of draws", n, 0, _MAX_WAITS)


ARRIVALS: Mapping[str, type[Poisson] | type[Deterministic] | type[Bursty] | type[Trace]] = {
    "poisson": Poisson,
    "deterministic": Deterministic,
    "bursty": Bursty,
    "trace": Trace,
}
"""The kinds of arrivals by name."""
