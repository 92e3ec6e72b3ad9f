"""DS3's own files: SoCs (`SoC.*.txt`) and jobs (`job_*.txt`) become platforms and task graphs.

`as_platform` and `as_task_graph` call these readers for a path that ends in .txt, so that an
environment takes such a path where it takes a name:

    gym.make("ArchGym/SoCScheduler-v0", platform="SoC.mine.txt", mix=["job_mine.txt"])

A line that is empty or starts with "#" says nothing. An SoC is a list of resources, the memory
last, and bandwidths between the resources by their numbers:

    add_new_resource resource_type LTL resource_name A7 resource_ID 0 capacity 4
        num_supported_functionalities 2 DVFS_mode performance          (all of it on one line)
    opp 600 1000                             MHz, mV
    trip_freq -1                             MHz for each trip temperature; -1 leaves it alone
    power_profile 600 0.19 0.29 0.35 0.40    MHz, then W of 1, 2, ... PEs at work
    fft 150                                  a task and its time in us; of two the first counts
    lfm 90
    comm_band_self 10000                     volume per us on one PE
    comm_band 0 1 1000                       volume per us between two resources, in both directions

A job is a list of tasks with their predecessors, and the volumes that they send:

    job_name lag_detection
    add_new_tasks 2
    ST 0                                     name, number, numbers of the predecessors
    ST HEAD
    ST earliest_start 0 deadline 100 input_vol 0 output_vol 0
    LFM 1 0
    LFM TAIL
    comm_vol 0 1 150                         from, to, volume; 0 where there is no line

What the simulation has no use for is checked and left out: `DTPM_trip_freq`, `PG_profile`, the
bandwidth of the memory to itself, and the start, deadline and bits of a task. A file that says what
a platform cannot hold is refused: caches and `mesh_information` (of DS3's network on chip), a
`DVFS_mode` other than performance (which is the argument `governor` of an environment), and the
resource type ACC, which alone does not leak in DS3.

The format is that of the public files of DS3 (Arda et al., IEEE TC 2020).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from archgym_py.checks import integer, number
from archgym_py.errors import ConfigError, did_you_mean
from archgym_py.simulators.soc.graphs import MAX_TASKS, Edge, TaskGraph
from archgym_py.simulators.soc.platforms import (
    MAX_PES,
    MEMORY,
    Cluster,
    Kind,
    OperatingPoint,
    Platform,
)

__all__ = ["read_ds3_job", "read_ds3_soc"]

_FIELDS: Final = (
    "resource_type",
    "resource_name",
    "resource_ID",
    "capacity",
    "num_supported_functionalities",
    "DVFS_mode",
)
_MISSPELT: Final = {"resoruce_type": "resource_type"}  # as in the public SoC.Top.txt
_RESOURCE: Final = f"add_new_resource {' '.join(f'{name} ...' for name in _FIELDS)}"
_KINDS: Final[Mapping[str, Kind]] = {"BIG": "big", "LTL": "little"}
_NUMBERED: Final[Mapping[str, Kind]] = {"CPU": "cpu", "ACC": "accelerator"}
_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_REAL: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Line:
    """A line that says something, and where it is from.

    Attributes:
        where: File and number, for messages.
        words: Its words.
    """

    where: str
    words: tuple[str, ...]

    def error(self, text: str) -> ConfigError:
        return ConfigError(f"{self.where}: {text}")

    def made(self, make: Callable[..., _T], /, *arguments: Any, **named: Any) -> _T:
        """Call something that checks its arguments, with the place in front of its error."""
        try:
            return make(*arguments, **named)
        except ConfigError as error:
            raise self.error(str(error)) from error

    def form(self, form: str, least: int, most: float) -> None:
        """Refuse a line that does not have so many words."""
        if not least <= len(self.words) <= most:
            raise self.error(f"must be of the form {form!r}, got {' '.join(self.words)!r}.")

    def integer(self, what: str, place: int, low: int, high: int) -> int:
        word = self.words[place]
        # A word of thousands of digits is no number that Python reads.
        value = int(word) if _INTEGER.fullmatch(word) and len(word) < 20 else word
        return self.made(integer, what, value, low, high)

    def number(self, what: str, place: int, low: float = 0.0) -> float:
        word = self.words[place]
        value = float(word) if _REAL.fullmatch(word) else word
        return self.made(number, what, value, low, math.inf)


def _lines(path: str) -> list[_Line]:
    """Return the lines of a file that say something."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text: {error.reason}.") from error
    lines = [
        _Line(f"{path}, line {place}", tuple(line.split()))
        for place, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not lines:
        raise ConfigError(f"{path}: says nothing. Name an SoC or a job file of DS3.")
    return lines


# ---- platforms ---------------------------------------------------------------------------------


@dataclass(slots=True)
class _Resource:
    """A resource while its lines are read."""

    line: _Line
    type: str
    name: str
    capacity: int
    tasks: int
    opps: list[OperatingPoint] = field(default_factory=list)
    power_w: dict[int, tuple[float, ...]] = field(default_factory=dict)
    trips: tuple[float | None, ...] | None = None
    times_us: dict[str, float] = field(default_factory=dict)
    listed: int = 0


def read_ds3_soc(path: str) -> Platform:
    """Read an SoC of DS3.

    Args:
        path: The file, such as `SoC.mine.txt`.

    Returns:
        The platform. Its name is that of the file without `SoC.` and `.txt`.

    Raises:
        ConfigError: If the file cannot be read, a line is none of the format, or it says what a
            platform cannot hold. The message names the file and the line.
    """
    resources: list[_Resource] = []
    bandwidths: dict[tuple[int, int], float] = {}
    same_pe: float | None = None
    for line in _lines(path):
        keyword = line.words[0]
        if keyword == "add_new_resource":
            if same_pe is not None or bandwidths:
                raise line.error("resources come before the bandwidths. Move it up.")
            if resources:
                _complete(resources[-1])
            resources.append(_resource(line, resources))
        elif keyword == "comm_band_self":
            line.form("comm_band_self VOLUME_PER_US", 2, 2)
            if same_pe is not None:
                raise line.error("comm_band_self is there twice. Remove one.")
            same_pe = line.number("comm_band_self", 1)
        elif keyword == "comm_band":
            _bandwidth(line, resources, bandwidths)
        elif not resources:
            raise line.error(
                f"{keyword!r} comes before the first add_new_resource."
                f"{did_you_mean(keyword, ('add_new_resource',))}"
            )
        elif same_pe is not None or bandwidths:
            raise line.error(
                f"only bandwidths may follow a bandwidth, got {keyword!r}."
                f"{did_you_mean(keyword, ('comm_band', 'comm_band_self'))}"
            )
        else:
            _attribute(line, resources[-1])
    if not resources or resources[-1].type != "MEM":
        raise ConfigError(
            f"{path}: the last resource must be the memory. Add one of resource_type MEM at the "
            f"end of the resources."
        )
    _complete(resources[-1])
    if same_pe is None:
        raise ConfigError(
            f"{path}: comm_band_self is missing. State the bandwidth on one PE; nothing is assumed."
        )
    for place, resource in enumerate(resources[:-1]):
        if (place, place) not in bandwidths:
            raise ConfigError(
                f"{path}: comm_band {place} {place} is missing. DS3 would take 1 for tasks that "
                f"stay on a PE of {resource.name!r}, in place of comm_band_self. Add the line."
            )
    return _platform(path, resources, bandwidths, same_pe)


def _platform(
    path: str,
    resources: list[_Resource],
    bandwidths: Mapping[tuple[int, int], float],
    same_pe: float,
) -> Platform:
    names = [*(resource.name for resource in resources[:-1]), MEMORY]
    memory = len(names) - 1
    try:
        return Platform(
            name=Path(path).stem.removeprefix("SoC.").strip() or "ds3",
            clusters=tuple(map(_cluster, resources[:-1])),
            same_pe_bandwidth=same_pe,
            default_bandwidth=1.0,  # of pairs that are not listed
            bandwidths={
                (names[one], names[other]): value
                for (one, other), value in bandwidths.items()
                if (one, other) != (memory, memory)  # nothing runs there
            },
            source=f"{Path(path).name}, a file of DS3",
        )
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _resource(line: _Line, before: list[_Resource]) -> _Resource:
    """Read the first line of a resource."""
    if before and before[-1].type == "MEM":
        raise line.error(
            "the memory must be the last resource. Caches, which only DS3's network on chip has, "
            "are not simulated; use an SoC file without them."
        )
    line.form(_RESOURCE, 13, 13)
    keys = [_MISSPELT.get(word, word) for word in line.words[1::2]]
    for key, expected in zip(keys, _FIELDS, strict=True):
        if key != expected:
            raise line.error(
                f"must be of the form {_RESOURCE!r}: {expected!r} is expected, got {key!r}."
            )
    kind, name, mode = line.words[2], line.words[4], line.words[12]
    if kind != "MEM":
        _kind(line, kind)
        if mode != "performance":
            raise line.error(
                f"DVFS_mode is {mode!r}. A platform says nothing of governors: write performance, "
                f"and give the environment's argument governor."
            )
        if name in [resource.name for resource in before]:
            raise line.error(f"two resources have the name {name!r}. Rename one.")
    number = line.integer("resource_ID", 6, 0, MAX_PES)
    if number != len(before):
        raise line.error(
            f"resource_ID is {number}, and the resources are numbered 0, 1, ... in the order of "
            f"the file. Write {len(before)}."
        )
    return _Resource(
        line,
        kind,
        name,
        line.integer("capacity", 8, 1, MAX_PES),
        line.integer("num_supported_functionalities", 10, 0, MAX_TASKS),
    )


def _kind(line: _Line, kind: str) -> Kind:
    """Return what the PEs of a resource type are."""
    if kind == "ACC":
        raise line.error(
            "resource_type ACC: DS3 counts no leakage for it, but does for ACC_1 and the like, and "
            "a platform cannot tell them apart. Write ACC_1; without compat='ds3' no accelerator "
            "leaks."
        )
    if kind in _KINDS:
        return _KINDS[kind]
    for start, meaning in _NUMBERED.items():
        if kind.startswith(start):
            return meaning
    known = (*_KINDS, "CPU", "ACC_1", "MEM")
    raise line.error(f"unknown resource_type {kind!r}.{did_you_mean(kind, known)}")


def _attribute(line: _Line, resource: _Resource) -> None:
    """Read a line about a resource."""
    keyword, count = line.words[0], len(line.words)
    if keyword == "opp":
        line.form("opp MHZ MV", 3, 3)
        mhz, mv = line.number("MHz", 1), line.number("mV", 2)
        resource.opps.append(line.made(OperatingPoint, mhz, mv))
    elif keyword in {"trip_freq", "DTPM_trip_freq"}:
        line.form(f"{keyword} MHZ ...", 2, math.inf)
        trips = [line.number(keyword, place, -1.0) for place in range(1, count)]
        if keyword == "trip_freq":
            if resource.trips is not None:
                raise line.error("trip_freq is there twice. Remove one.")
            resource.trips = tuple(None if trip == -1.0 else trip for trip in trips)
    elif keyword in {"power_profile", "PG_profile"}:
        line.form(f"{keyword} MHZ W ...", 3, math.inf)
        mhz_key = line.integer(f"{keyword}: MHz", 1, 1, 100_000)
        watts = tuple(line.number(f"{keyword}: W", place) for place in range(2, count))
        if len(watts) < resource.capacity:
            raise line.error(
                f"{keyword} must have a power for 1 to {resource.capacity} PEs, got {len(watts)}."
            )
        if keyword == "power_profile":
            if mhz_key in resource.power_w:
                raise line.error(f"two power profiles are for {mhz_key} MHz. Remove one.")
            resource.power_w[mhz_key] = watts
    elif keyword == "mesh_information":
        raise line.error(
            "mesh_information is of DS3's network on chip, which is not simulated. Use an SoC file "
            "without it."
        )
    else:
        _time(line, resource)


def _time(line: _Line, resource: _Resource) -> None:
    """Read the time of a task."""
    task = line.words[0]
    line.form("TASK TIME_US", 2, math.inf)
    times = [line.number(f"time of task {task!r} in us", k) for k in range(1, len(line.words))]
    if len(set(times)) > 1:
        raise line.error(
            f"task {task!r} has several times, {', '.join(f'{time:g}' for time in times)}. DS3 "
            f"takes the first one; remove the others."
        )
    resource.listed += 1
    resource.times_us.setdefault(task, times[0])  # of a task that is listed twice, as in DS3


def _bandwidth(
    line: _Line, resources: list[_Resource], bandwidths: dict[tuple[int, int], float]
) -> None:
    line.form("comm_band ID ID VOLUME_PER_US", 4, 4)
    if not resources:
        raise line.error("bandwidths come after the resources. Move it down.")
    one, other = (
        line.integer("the number of a resource", k, 0, len(resources) - 1) for k in (1, 2)
    )
    if (one, other) in bandwidths or (other, one) in bandwidths:
        raise line.error(
            f"the bandwidth between {one} and {other} is there twice. It holds in both directions; "
            f"remove one."
        )
    bandwidths[one, other] = line.number("bandwidth", 3)


def _complete(resource: _Resource) -> None:
    """Check a resource once all of its lines are read."""
    if resource.listed != resource.tasks:
        raise resource.line.error(
            f"resource {resource.name!r} has {resource.listed} tasks, not {resource.tasks} as "
            f"num_supported_functionalities says. Correct one of the two."
        )
    if resource.type == "MEM":
        if set(resource.times_us) - {"None"} or resource.opps or resource.power_w:
            raise resource.line.error(
                f"the memory {resource.name!r} runs no task. Leave it the line 'None 0' only."
            )
        return
    _cluster(resource)


def _cluster(resource: _Resource) -> Cluster:
    if not resource.opps:
        raise resource.line.error(f"resource {resource.name!r} has no opp. Add one at least.")
    return resource.line.made(
        Cluster,
        name=resource.name,
        kind=_kind(resource.line, resource.type),
        pes=resource.capacity,
        opps=tuple(resource.opps),
        power_w=resource.power_w,
        trip_mhz=resource.trips or (),
        times_us=resource.times_us,
    )


# ---- task graphs -------------------------------------------------------------------------------


@dataclass(slots=True)
class _Job:
    """A job while its lines are read."""

    name: str | None = None
    count: int | None = None
    tasks: list[str] = field(default_factory=list)
    lines: list[_Line] = field(default_factory=list)
    predecessors: list[tuple[int, ...]] = field(default_factory=list)
    ends: dict[str, set[str]] = field(default_factory=lambda: {"HEAD": set(), "TAIL": set()})
    volumes: dict[tuple[int, int], float] = field(default_factory=dict)
    volume_lines: list[tuple[_Line, int, int]] = field(default_factory=list)


def read_ds3_job(path: str) -> TaskGraph:
    """Read a job of DS3.

    Args:
        path: The file, such as `job_mine.txt`.

    Returns:
        The task graph, without times: these are the platform's.

    Raises:
        ConfigError: If the file cannot be read, a line is none of the format, a task without
            predecessors is no HEAD or the reverse, or the TAIL is not the one task that ends the
            job. The message names the file and the line.
    """
    job = _Job()
    for line in _lines(path):
        keyword = line.words[0]
        if keyword == "job_name":
            line.form("job_name NAME", 2, 2)
            if job.name is not None:
                raise line.error("job_name is there twice. Give each job a file of its own.")
            job.name = line.words[1]
        elif keyword == "add_new_tasks":
            line.form("add_new_tasks NUMBER", 2, 2)
            if job.count is not None:
                raise line.error("add_new_tasks is there twice. Give each job a file of its own.")
            job.count = line.integer("add_new_tasks", 1, 1, MAX_TASKS)
        elif job.name is None or job.count is None:
            raise line.error(
                f"job_name and add_new_tasks come first, got {keyword!r}."
                f"{did_you_mean(keyword, ('job_name', 'add_new_tasks'))}"
            )
        elif keyword == "comm_vol":
            _volume(line, job)
        else:
            _task(line, job)
    if job.name is None or job.count is None:
        raise ConfigError(f"{path}: job_name and add_new_tasks are missing. Name a job of DS3.")
    if len(job.tasks) != job.count:
        raise ConfigError(
            f"{path}: add_new_tasks says {job.count} tasks, and there are {len(job.tasks)}. "
            f"Correct one of the two."
        )
    return _graph(path, job)


def _task(line: _Line, job: _Job) -> None:
    """Read a line about a task."""
    line.form("TASK NUMBER PREDECESSORS, TASK HEAD or TASK earliest_start ...", 2, math.inf)
    name, second = line.words[:2]
    assert job.count is not None
    if _INTEGER.fullmatch(second):
        number = line.integer(f"number of task {name!r}", 1, 0, MAX_TASKS)
        if number != len(job.tasks):
            raise line.error(
                f"the number of task {name!r} is {number}, and tasks are numbered 0, 1, ... in the "
                f"order of the file. Write {len(job.tasks)}."
            )
        if name in job.tasks:
            raise line.error(f"two tasks have the name {name!r}. Rename one.")
        before = tuple(
            line.integer(f"a predecessor of task {name!r}", place, 0, job.count - 1)
            for place in range(2, len(line.words))
        )
        if len(set(before)) < len(before) or number in before:
            raise line.error(
                f"task {name!r} has a predecessor twice, or itself. Name each other task once."
            )
        job.tasks.append(name)
        job.lines.append(line)
        job.predecessors.append(before)
        return
    if name not in job.tasks:
        raise line.error(
            f"there is no task {name!r} before this line.{did_you_mean(name, job.tasks)}"
        )
    if second in job.ends:
        line.form(f"TASK {second}", 2, 2)
        job.ends[second].add(name)
    elif second == "earliest_start":
        _unused(line)
    else:
        raise line.error(
            f"task {name!r}: a number, HEAD, TAIL or earliest_start is expected, got {second!r}."
        )


def _unused(line: _Line) -> None:
    """Check what the simulation has no use for: names and numbers in turn."""
    keys = ("earliest_start", "deadline", "input_vol", "output_vol")
    line.form("TASK earliest_start N deadline N input_vol N output_vol N", 5, 9)
    if line.words[1::2] != keys[: len(line.words[1::2])] or len(line.words) % 2 == 0:
        raise line.error(
            f"must name {', '.join(keys)} in this order, each with a number, got "
            f"{' '.join(line.words)!r}."
        )
    for place in range(2, len(line.words), 2):
        line.number(line.words[place - 1], place)


def _volume(line: _Line, job: _Job) -> None:
    assert job.count is not None
    line.form("comm_vol FROM TO VOLUME", 4, 4)
    source, target = (line.integer("the number of a task", k, 0, job.count - 1) for k in (1, 2))
    if (source, target) in job.volumes:
        raise line.error(f"the volume from {source} to {target} is there twice. Remove one.")
    job.volumes[source, target] = line.number("volume", 3)
    job.volume_lines.append((line, source, target))


def _graph(path: str, job: _Job) -> TaskGraph:
    for line, source, target in job.volume_lines:
        if source not in job.predecessors[target]:
            raise line.error(
                f"task {source} ({job.tasks[source]!r}) is no predecessor of task {target} "
                f"({job.tasks[target]!r}). Add it there, or remove the line."
            )
    sending = {source for before in job.predecessors for source in before}
    last = [task for number, task in enumerate(job.tasks) if number not in sending]
    for task, line, before in zip(job.tasks, job.lines, job.predecessors, strict=True):
        if (task in job.ends["HEAD"]) == bool(before):
            raise line.error(
                f"task {task!r} must be HEAD if and only if it has no predecessor. Correct one of "
                f"the two."
            )
    if len(last) != 1 or job.ends["TAIL"] != set(last):
        raise ConfigError(
            f"{path}: one task must be the only one without a successor, and be TAIL; without a "
            f"successor: {', '.join(last) or 'none'}; TAIL: "
            f"{', '.join(sorted(job.ends['TAIL'])) or 'none'}. Add a last task that waits for all."
        )
    try:
        return TaskGraph(
            name=str(job.name),
            tasks=tuple(job.tasks),
            edges=tuple(
                Edge(source, target, job.volumes.get((source, target), 0.0))
                for target, before in enumerate(job.predecessors)
                for source in before
            ),
            source=f"{Path(path).name}, a file of DS3",
        )
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
