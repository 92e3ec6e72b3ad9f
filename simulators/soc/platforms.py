"""Platforms: the clusters of processing elements (PEs) of an SoC, and the links between them.

A platform file is YAML. A cluster is a group of equal PEs that share an operating point; the table
`times_us` says how long one PE of each cluster takes for a task at the cluster's highest frequency:

    name: tiny
    description: Two cores and an accelerator
    source: what the figures are from
    clusters:
      - name: A7
        kind: little
        pes: 2
        opps: [[600, 1000], [1000, 1150]]                   # MHz, mV
        power_w: [{up_to_mhz: 1000, watts: [0.19, 0.29]}]   # 1, 2, ... PEs at work
        trip_mhz: [null, 1000, 600]
      - {name: FFT, kind: accelerator, pes: 1, opps: [[1000, 900]]}
    bandwidth:
      same_pe: 10000
      default: 1
      between:
        - [A7, A7, 1000]
        - [A7, FFT, 10]
        - [A7, memory, 1000]
    times_us:
      LFM: {A7: 90}
      xcorr_fft0: {A7: 150, FFT: 30}

A file that ends in .txt is one of DS3; see `archgym_py.simulators.soc.ds3_import`.

`as_platform` takes a platform in every form in which a configuration can hold one:

    >>> platform = as_platform("multiple_bal")
    >>> platform.n_pes, platform.pe_names[:5]
    (16, ('A7-0', 'A7-1', 'A7-2', 'A7-3', 'A15-0'))
    >>> platform.with_pes({"A7": 1, "FFT": 0}).n_pes
    9
"""

from __future__ import annotations

import hashlib
import itertools
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from archgym_py.checks import check_keys, integer, number
from archgym_py.errors import ConfigError, UnknownNameError, did_you_mean
from archgym_py.simulators.soc.graphs import TaskGraph, read_times
from archgym_py.simulators.soc.shelf import Shelf

__all__ = [
    "KINDS",
    "MAX_PES",
    "MEMORY",
    "Cluster",
    "Kind",
    "OperatingPoint",
    "Platform",
    "as_platform",
    "load_platform",
    "parse_platform",
    "platform_names",
]

Kind: TypeAlias = Literal["big", "little", "cpu", "accelerator"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

MAX_PES: Final = 1024
"""Most PEs of a cluster."""

MEMORY: Final = "memory"
"""Name of the shared memory among the ends of links; no cluster may have it."""

_PLATFORM_KEYS: Final = (
    *("name", "description", "source", "clusters", "bandwidth", "times_us", "task_power_w"),
)
_CLUSTER_KEYS: Final = ("name", "kind", "pes", "opps", "power_w", "trip_mhz")
_BANDWIDTH_KEYS: Final = ("same_pe", "default", "between")


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A frequency, and the voltage that it needs.

    Attributes:
        mhz: Clock in MHz, positive.
        mv: Supply in mV, positive.

    Raises:
        ConfigError: If a number is not from 1 to 100000.
    """

    mhz: float
    mv: float

    def __post_init__(self) -> None:
        for key in ("mhz", "mv"):
            value = number(f"{key} of an operating point", getattr(self, key), 1.0, 1e5)
            object.__setattr__(self, key, value)


@dataclass(frozen=True, slots=True)
class Cluster:
    """Equal PEs that share an operating point; each of them runs one task at a time.

    Attributes:
        name: Name of the cluster.
        kind: What its PEs are; big and little cores differ in leakage and in how they heat the SoC.
        pes: Number of PEs.
        opps: Operating points; they are kept in order of their frequencies.
        power_w: Power in W by the highest frequency in MHz for which it holds: an entry for 1, 2,
            ... PEs at work. Empty if the power is not known from the frequency.
        trip_mhz: Frequency in MHz that is not exceeded from the first, second, ... trip temperature
            on; None where the trip leaves the cluster alone.
        times_us: Execution time in µs of a task at the highest frequency; the PEs cannot run tasks
            that are not here.
        task_power_w: Power in W of a PE that runs a task, for platforms that know it by task.

    Raises:
        ConfigError: If a value is not legal. The message names the cluster.

    Examples:
        >>> Cluster("A7", "litle", 4, (OperatingPoint(600, 1000),))
        Traceback (most recent call last):
        archgym_py.errors.ConfigError: cluster 'A7': unknown kind 'litle'. Did you mean 'little'?
    """

    name: str
    kind: Kind
    pes: int
    opps: tuple[OperatingPoint, ...]
    power_w: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    trip_mhz: tuple[float | None, ...] = ()
    times_us: Mapping[str, float] = field(default_factory=dict)
    task_power_w: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        name: object = self.name
        if not (isinstance(name, str) and name.strip()) or name == MEMORY:
            raise ConfigError(
                f"the name of a cluster must be a text other than {MEMORY!r}, got {name!r}."
            )
        where = f"cluster {self.name!r}"
        if self.kind not in KINDS:
            raise ConfigError(
                f"{where}: unknown kind {self.kind!r}.{did_you_mean(str(self.kind), KINDS)}"
            )
        object.__setattr__(self, "pes", integer(f"{where}: pes", self.pes, 1, MAX_PES))
        self._check_opps(where)
        self._check_power(where)
        self._check_trips(where)
        for key in ("times_us", "task_power_w"):
            table = getattr(self, key)
            if not isinstance(table, Mapping):
                raise ConfigError(f"{where}: {key} must be a mapping of tasks, got {table!r}.")
            checked = {
                task: number(f"{where}: {key}: task {task!r}", value, 0.0, math.inf)
                for task, value in table.items()
            }
            object.__setattr__(self, key, checked)
        for task in self.task_power_w:
            if task not in self.times_us:
                raise ConfigError(
                    f"{where}: task_power_w: the cluster cannot run task {task!r}."
                    f"{did_you_mean(str(task), self.times_us)}"
                )

    def _check_opps(self, where: str) -> None:
        opps: object = self.opps
        if not (
            isinstance(opps, tuple)
            and opps
            and all(isinstance(opp, OperatingPoint) for opp in opps)
        ):
            raise ConfigError(
                f"{where}: opps must be a tuple of OperatingPoint objects, one at least, "
                f"got {opps!r}."
            )
        ordered = tuple(sorted(self.opps, key=lambda opp: opp.mhz))
        for low, high in itertools.pairwise(ordered):
            if low.mhz == high.mhz:
                raise ConfigError(
                    f"{where}: opps: {low.mhz:g} MHz is given twice. A frequency has one voltage."
                )
        object.__setattr__(self, "opps", ordered)

    def _check_power(self, where: str) -> None:
        table: object = self.power_w
        if not isinstance(table, Mapping):
            raise ConfigError(f"{where}: power_w must be a mapping of MHz to W, got {table!r}.")
        checked: dict[int, tuple[float, ...]] = {}
        for key, watts in table.items():
            mhz = integer(f"{where}: power_w: highest frequency in MHz", key, 1, 100_000)
            place = f"{where}: power_w: {mhz} MHz"
            if not isinstance(watts, Sequence) or isinstance(watts, str) or not watts:
                raise ConfigError(
                    f"{place}: must be a list of the power of 1, 2, ... PEs, got {watts!r}."
                )
            checked[mhz] = tuple(number(f"{place}: power", watt, 0.0, 1e6) for watt in watts)
        if checked and max(checked) < self.opps[-1].mhz:
            raise ConfigError(
                f"{where}: power_w ends at {max(checked)} MHz, below the highest operating "
                f"point of {self.opps[-1].mhz:g} MHz. Add a row up to there."
            )
        object.__setattr__(self, "power_w", dict(sorted(checked.items())))

    def _check_trips(self, where: str) -> None:
        trips: object = self.trip_mhz
        if not isinstance(trips, tuple):
            raise ConfigError(f"{where}: trip_mhz must be a tuple, got {trips!r}.")
        frequencies = [opp.mhz for opp in self.opps]
        for trip in trips:
            if trip is not None and (isinstance(trip, bool) or trip not in frequencies):
                known = ", ".join(f"{mhz:g}" for mhz in frequencies)
                raise ConfigError(
                    f"{where}: trip_mhz: {trip!r} is the frequency of no operating point. They "
                    f"are: {known}; null leaves the cluster alone."
                )
        checked = tuple(None if trip is None else float(trip) for trip in trips)
        object.__setattr__(self, "trip_mhz", checked)


@dataclass(frozen=True, slots=True)
class Platform:
    """An SoC: clusters, and the bandwidth between PEs.

    PEs have indices that run through the clusters in order.

    Attributes:
        name: Name of the platform.
        clusters: Its clusters; their names are unique.
        same_pe_bandwidth: Bandwidth between tasks that run on the same PE.
        default_bandwidth: Bandwidth between PEs for which nothing is stated.
        bandwidths: Bandwidth between the PEs of two clusters, or of a cluster and the shared memory
            (`MEMORY`). A pair holds in both directions and is there once; a cluster with itself
            means two of its PEs. A bandwidth of 0 is no link.
        description: One line that says what the platform is.
        source: Where the figures are from.

    Raises:
        ConfigError: If there is no cluster, two have the same name, a pair names no cluster or is
            there twice, or a value is not legal.
    """

    name: str
    clusters: tuple[Cluster, ...]
    same_pe_bandwidth: float
    default_bandwidth: float
    bandwidths: Mapping[tuple[str, str], float] = field(default_factory=dict)
    description: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        name: object = self.name
        if not (isinstance(name, str) and name.strip()):
            raise ConfigError(f"the name of a platform must be a text, got {name!r}.")
        where = f"platform {self.name!r}"
        for key in ("description", "source"):
            text = getattr(self, key)
            if not isinstance(text, str):
                raise ConfigError(f"{where}: {key} must be a text, got {text!r}.")
        clusters: object = self.clusters
        if not (isinstance(clusters, tuple) and all(isinstance(c, Cluster) for c in clusters)):
            raise ConfigError(f"{where}: clusters must be a tuple of Cluster objects.")
        if not clusters:
            raise ConfigError(f"{where}: there must be at least one cluster with a PE.")
        names = self.cluster_names
        for cluster in self.clusters:
            if names.count(cluster.name) > 1:
                raise ConfigError(f"{where}: two clusters have the name {cluster.name!r}.")
        trips = {len(cluster.trip_mhz) for cluster in self.clusters if cluster.trip_mhz}
        if len(trips) > 1:
            raise ConfigError(
                f"{where}: trip_mhz must have an entry for every trip temperature in each cluster "
                f"that has any; there are {' and '.join(map(str, sorted(trips)))} entries."
            )
        for key in ("same_pe_bandwidth", "default_bandwidth"):
            value = number(f"{where}: {key}", getattr(self, key), 0.0, math.inf)
            object.__setattr__(self, key, value)
        self._check_bandwidths(where)

    def _check_bandwidths(self, where: str) -> None:
        table: object = self.bandwidths
        if not isinstance(table, Mapping):
            raise ConfigError(f"{where}: bandwidths must be a mapping of pairs, got {table!r}.")
        ends = (*self.cluster_names, MEMORY)
        checked: dict[tuple[str, str], float] = {}
        for pair, value in table.items():
            if not (isinstance(pair, tuple) and len(pair) == 2):
                raise ConfigError(f"{where}: bandwidths: {pair!r} is no pair of clusters.")
            for end in pair:
                if end not in ends:
                    raise ConfigError(
                        f"{where}: bandwidths: there is no cluster {end!r}."
                        f"{did_you_mean(str(end), ends)}"
                    )
            if pair[::-1] in checked:
                raise ConfigError(
                    f"{where}: bandwidths: the pair of {pair[0]!r} and {pair[1]!r} is there twice. "
                    f"It holds in both directions; remove one."
                )
            checked[pair] = number(
                f"{where}: bandwidth between {pair[0]!r} and {pair[1]!r}", value, 0.0, math.inf
            )
        object.__setattr__(self, "bandwidths", checked)

    @property
    def cluster_names(self) -> tuple[str, ...]:
        """Names of the clusters, in order."""
        return tuple(cluster.name for cluster in self.clusters)

    @property
    def n_pes(self) -> int:
        """Number of PEs of all clusters, the memory not counted."""
        return sum(cluster.pes for cluster in self.clusters)

    @property
    def pe_cluster(self) -> tuple[int, ...]:
        """Index of the cluster of each PE."""
        return tuple(i for i, cluster in enumerate(self.clusters) for _ in range(cluster.pes))

    @property
    def pe_names(self) -> tuple[str, ...]:
        """A name for each PE: that of its cluster, numbered if the cluster has several."""
        return tuple(
            f"{cluster.name}-{i}" if cluster.pes > 1 else cluster.name
            for cluster in self.clusters
            for i in range(cluster.pes)
        )

    @property
    def fingerprint(self) -> str:
        """Eight digits that change with the content: a file may change under its name."""
        clusters = [
            (
                *(cluster.name, cluster.kind, cluster.pes, cluster.trip_mhz),
                [(opp.mhz, opp.mv) for opp in cluster.opps],
                sorted(cluster.power_w.items()),
                sorted(cluster.times_us.items()),
                sorted(cluster.task_power_w.items()),
            )
            for cluster in self.clusters
        ]
        links = sorted((*sorted(pair), value) for pair, value in self.bandwidths.items())
        content = repr((clusters, self.same_pe_bandwidth, self.default_bandwidth, links))
        return hashlib.sha256(content.encode()).hexdigest()[:8]

    def bandwidth_matrix(self) -> npt.NDArray[np.float64]:
        """Return the bandwidth between each two PEs.

        Returns:
            A symmetric matrix of (P+1, P+1), in volume per µs. The last row and column are those of
            the shared memory; the diagonal is that of a PE with itself.
        """
        index = {name: i for i, name in enumerate((*self.cluster_names, MEMORY))}
        between = np.full((len(index), len(index)), self.default_bandwidth)
        for (one, other), value in self.bandwidths.items():
            between[index[one], index[other]] = between[index[other], index[one]] = value
        of_pe = np.array([*self.pe_cluster, index[MEMORY]])
        matrix: npt.NDArray[np.float64] = between[np.ix_(of_pe, of_pe)]
        np.fill_diagonal(matrix, self.same_pe_bandwidth)
        return matrix

    def times_us(self, graph: TaskGraph) -> npt.NDArray[np.float64]:
        """Return how long each PE takes for each task of a graph at its highest frequency.

        Args:
            graph: The graph; its own times go before those of the platform.

        Returns:
            Times of (tasks, P) in µs, infinite where the PE cannot run the task.

        Raises:
            ConfigError: If no PE can run a task; the message names it and the graph.

        Examples:
            >>> graph = TaskGraph("g", ("LFM", "fft_1"), ())
            >>> platform = load_platform("multiple_bal").with_pes({"A7": 1, "A15": 1, "MM": 0})
            >>> platform.times_us(graph)
            array([[ 90.,  60.,  inf,  inf,  inf,  inf,  inf,  inf],
                   [289., 114.,  12.,  12.,  12.,  12.,  inf,  inf]])
        """
        by_cluster = np.full((len(graph.tasks), len(self.clusters)), math.inf)
        for row, task in enumerate(graph.tasks):
            own = graph.times_us.get(task)
            for column, cluster in enumerate(self.clusters):
                known = cluster.times_us.get(task) if own is None else own.get(cluster.name)
                if known is not None:
                    by_cluster[row, column] = known
            if not np.isfinite(by_cluster[row]).any():
                raise ConfigError(self._cannot_run(task, graph))
        return by_cluster[:, np.array(self.pe_cluster)]

    def _cannot_run(self, task: str, graph: TaskGraph) -> str:
        text = f"task {task!r} of graph {graph.name!r} runs on no PE of platform {self.name!r}"
        if own := graph.times_us.get(task):
            return (
                f"{text}: its times_us are for {', '.join(own)}, and the clusters are "
                f"{', '.join(self.cluster_names)}."
            )
        tasks = dict.fromkeys(task for cluster in self.clusters for task in cluster.times_us)
        hint = did_you_mean(task, tasks) if len(tasks) <= 20 or _close(task, tasks) else ""
        return f"{text}: no cluster has a time for it. Add times_us for it to one of the two.{hint}"

    def with_pes(self, pes: Mapping[str, int]) -> Platform:
        """Return the platform with other numbers of PEs.

        Args:
            pes: Number of PEs by name of the cluster, 0 to take the cluster out; the other clusters
                keep theirs.

        Raises:
            UnknownNameError: If there is no cluster of a name.
            ConfigError: If a number is not legal, or no PE is left.
        """
        where = f"platform {self.name!r}"
        for name in pes:
            if name not in self.cluster_names:
                raise UnknownNameError(
                    f"{where} has no cluster {name!r}.{did_you_mean(str(name), self.cluster_names)}"
                )
        counts = {
            cluster.name: integer(
                f"{where}: PEs of {cluster.name!r}", pes.get(cluster.name, cluster.pes), 0, MAX_PES
            )
            for cluster in self.clusters
        }
        kept = tuple(replace(c, pes=counts[c.name]) for c in self.clusters if counts[c.name])
        ends = {MEMORY, *(cluster.name for cluster in kept)}
        links = {pair: value for pair, value in self.bandwidths.items() if ends.issuperset(pair)}
        return replace(self, clusters=kept, bandwidths=links)

    def to_dict(self) -> dict[str, Any]:
        """Return the platform as plain data, from which `parse_platform` makes an equal one."""
        texts = {"name": self.name, "description": self.description, "source": self.source}
        content: dict[str, Any] = {key: text for key, text in texts.items() if text}
        content["clusters"] = [_cluster_to_dict(cluster) for cluster in self.clusters]
        content["bandwidth"] = {
            "same_pe": self.same_pe_bandwidth,
            "default": self.default_bandwidth,
            "between": [[*pair, value] for pair, value in self.bandwidths.items()],
        }
        for key in ("times_us", "task_power_w"):
            table: dict[str, dict[str, float]] = {}
            for cluster in self.clusters:
                for task, value in getattr(cluster, key).items():
                    table.setdefault(task, {})[cluster.name] = value
            if table:
                content[key] = table
        return content


def platform_names() -> tuple[str, ...]:
    """Return the names of the platforms that come with the library, sorted."""
    return _SHELF.names


def load_platform(name_or_path: str | os.PathLike[str]) -> Platform:
    """Return a platform that comes with the library, or that of a file.

    Args:
        name_or_path: One of `platform_names()`, or the path of a file that ends in .yaml, .yml or,
            in DS3's format, .txt.

    Returns:
        The platform; for a name the same object in every call.

    Raises:
        UnknownNameError: If there is no such platform.
        ConfigError: If the file cannot be read or is not valid.

    Examples:
        >>> [cluster.name for cluster in load_platform("bal_only").clusters]
        ['A7', 'A15']
        >>> load_platform("multiple_ball")
        Traceback (most recent call last):
        archgym_py.errors.UnknownNameError: unknown platform 'multiple_ball'. Did you mean
        'multiple_bal'? The name of a file ends in .yaml, .yml or .txt.
    """
    return _SHELF.load(name_or_path)


def as_platform(spec: str | os.PathLike[str] | Mapping[str, Any] | Platform) -> Platform:
    """Return the platform that a configuration asks for.

    Args:
        spec: A platform; what `load_platform` takes; or the content of a platform file as a
            mapping.

    Returns:
        The platform.

    Raises:
        UnknownNameError: If there is no such platform.
        ConfigError: If the mapping or the file is not valid, or the type is another one.
    """
    return _SHELF.get(spec, Platform)


def parse_platform(content: Mapping[str, Any], *, where: str) -> Platform:
    """Return the platform that a mapping describes.

    Args:
        content: The mapping, as a platform file has it: `name`, `clusters`, `bandwidth`, `times_us`
            and, if wanted, `task_power_w` (W by task and cluster), `description` and `source`.
        where: What to call the mapping in messages.

    Returns:
        The platform.

    Raises:
        ConfigError: If a key is missing or unknown, or a value is not legal. The message says where
            and, if there is one, which cluster and task.

    Examples:
        >>> content = load_platform("top").to_dict()
        >>> content["bandwidth"]["between"].append(["P1", "memroy", 3])
        >>> parse_platform(content, where="top.yaml")
        Traceback (most recent call last):
        archgym_py.errors.ConfigError: top.yaml: platform 'top': bandwidths: there is no cluster
        'memroy'. Did you mean 'memory'?
    """
    check_keys(content, _PLATFORM_KEYS, ("name", "clusters", "bandwidth"), where)
    entries = content["clusters"]
    if not isinstance(entries, Sequence) or isinstance(entries, str | bytes) or not entries:
        raise ConfigError(
            f"{where}: clusters must be a list of one or more mappings, got {entries!r}."
        )
    clusters = [_parse_cluster(entry, place, where) for place, entry in enumerate(entries, 1)]
    names = [cluster.name for cluster in clusters]
    times = read_times(content.get("times_us", {}), f"{where}: times_us", "us", clusters=names)
    watts = read_times(
        content.get("task_power_w", {}), f"{where}: task_power_w", "W", clusters=names
    )
    same, default, between = _parse_bandwidth(content["bandwidth"], f"{where}: bandwidth")
    try:
        return Platform(
            name=content["name"],
            clusters=tuple(
                replace(
                    cluster,
                    times_us=_column(times, cluster.name),
                    task_power_w=_column(watts, cluster.name),
                )
                for cluster in clusters
            ),
            same_pe_bandwidth=same,
            default_bandwidth=default,
            bandwidths=between,
            description=content.get("description", ""),
            source=content.get("source", ""),
        )
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _column(table: Mapping[str, Mapping[str, float]], cluster: str) -> dict[str, float]:
    """Return what a table says of one cluster, by task."""
    return {task: row[cluster] for task, row in table.items() if cluster in row}


def _parse_cluster(entry: object, position: int, where: str) -> Cluster:
    given = entry.get("name") if isinstance(entry, Mapping) else None
    place = f"{where}: cluster {position}" + (f" ({given!r})" if given is not None else "")
    check_keys(entry, _CLUSTER_KEYS, ("name", "kind", "pes", "opps"), place)
    assert isinstance(entry, Mapping)
    opps = _rows(entry["opps"], 2, f"{place}: opps", "[MHz, mV]")
    power: dict[int, Any] = {}
    profile = entry.get("power_w", [])
    if not isinstance(profile, Sequence) or isinstance(profile, str):
        raise ConfigError(
            f"{place}: power_w must be a list of rows such as "
            f"{{up_to_mhz: 1000, watts: [0.2, 0.3]}}, got {profile!r}."
        )
    for row in profile:
        check_keys(row, ("up_to_mhz", "watts"), ("up_to_mhz", "watts"), f"{place}: power_w")
        mhz = integer(f"{place}: power_w: up_to_mhz", row["up_to_mhz"], 1, 100_000)
        if mhz in power:
            raise ConfigError(f"{place}: power_w: two rows end at {mhz} MHz. Remove one.")
        power[mhz] = row["watts"]
    trips = entry.get("trip_mhz", [])
    if not isinstance(trips, Sequence) or isinstance(trips, str):
        raise ConfigError(f"{place}: trip_mhz must be a list of frequencies, got {trips!r}.")
    try:
        return Cluster(
            name=entry["name"],
            kind=entry["kind"],
            pes=entry["pes"],
            opps=tuple(OperatingPoint(mhz, mv) for mhz, mv in opps),
            power_w=power,
            trip_mhz=tuple(trips),
        )
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _parse_bandwidth(content: Any, where: str) -> tuple[float, float, dict[tuple[str, str], float]]:
    """Return the bandwidth on one PE, that where nothing is stated, and those of pairs."""
    check_keys(content, _BANDWIDTH_KEYS, ("same_pe", "default"), where)
    between: dict[tuple[str, str], float] = {}
    rows = _rows(content.get("between", []), 3, f"{where}: between", "[cluster, cluster, value]")
    for one, other, value in rows:
        if not (isinstance(one, str) and isinstance(other, str)):
            raise ConfigError(
                f"{where}: between: {[one, other, value]!r} starts with no two names."
            )
        if (one, other) in between:
            raise ConfigError(
                f"{where}: between: the pair of {one!r} and {other!r} is there twice. Remove one."
            )
        between[one, other] = value
    return content["same_pe"], content["default"], between


def _rows(value: object, length: int, where: str, form: str) -> list[Sequence[Any]]:
    """Refuse anything but a list of lists of a length."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ConfigError(f"{where} must be a list of rows {form}, got {value!r}.")
    for row in value:
        if not isinstance(row, Sequence) or isinstance(row, str) or len(row) != length:
            raise ConfigError(f"{where}: a row must be {form}, got {row!r}.")
    return list(value)


def _cluster_to_dict(cluster: Cluster) -> dict[str, Any]:
    content: dict[str, Any] = {
        "name": cluster.name,
        "kind": cluster.kind,
        "pes": cluster.pes,
        "opps": [[opp.mhz, opp.mv] for opp in cluster.opps],
    }
    if cluster.power_w:
        content["power_w"] = [
            {"up_to_mhz": mhz, "watts": list(watts)} for mhz, watts in cluster.power_w.items()
        ]
    if cluster.trip_mhz:
        content["trip_mhz"] = list(cluster.trip_mhz)
    return content


def _close(name: str, known: Mapping[str, object]) -> bool:
    return "Did you mean" in did_you_mean(name, known)


def _parse(content: Mapping[str, Any], where: str) -> Platform:
    return parse_platform(content, where=where)


def _read_ds3(path: str) -> Platform:
    from archgym_py.simulators.soc.ds3_import import read_ds3_soc  # which needs this module

    return read_ds3_soc(path)


_SHELF: Final = Shelf("platform", ("soc", "platforms"), _parse, {".txt": _read_ds3})
