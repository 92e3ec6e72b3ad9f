import math
from importlib.resources import files
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from archgym_py.config import load_yaml
from archgym_py.errors import ConfigError, UnknownNameError
from archgym_py.simulators.soc.graphs import (
    Edge,
    TaskGraph,
    as_task_graph,
    load_task_graph,
    parse_task_graph,
    task_graph_names,
)

# Tasks, edges and sum of the volumes, as the published tables have them.
PUBLISHED = {
    "wifi_transmitter": (27, 30, 40453),
    "wifi_receiver": (34, 37, 81550),
    "lag_detection": (7, 7, 454),
    "single_carrier_transmitter": (8, 7, 0),
    "single_carrier_receiver": (8, 7, 0),
    "temporal_mitigation": (10, 12, 12),
    "canonical": (10, 15, 241),
    "top_1": (10, 15, 241),
    "top_2": (10, 14, 224),
    "top_3": (10, 12, 200),
    "top_4": (10, 13, 217),
    "top_5": (10, 14, 228),
    "top_6": (10, 15, 280),
    "top_7": (10, 14, 231),
    "top_8": (10, 14, 228),
    "top_9": (10, 14, 228),
    "top_10": (10, 15, 241),
}

CHAIN: dict[str, Any] = {
    "name": "chain",
    "tasks": [{"name": "a"}, {"name": "b", "after": {"a": 2}}, {"name": "c", "after": {"b": 0.5}}],
}


def _write(folder: Path, text: str, name: str = "g.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_all_graphs_are_as_published() -> None:
    assert set(task_graph_names()) == set(PUBLISHED)
    for name, (tasks, edges, volume) in PUBLISHED.items():
        graph = load_task_graph(name)
        assert (len(graph.tasks), len(graph.edges)) == (tasks, edges), name
        assert sum(edge.volume for edge in graph.edges) == volume, name
        assert (len(graph.entries), len(graph.exits)) == (1, 1), name


@pytest.mark.parametrize("name", task_graph_names())
def test_shipped_file(name: str) -> None:
    graph = load_task_graph(name)
    assert graph.name == name
    assert graph.description
    assert graph.source
    file = files("archgym_py.configs") / "soc" / "graphs" / f"{name}.yaml"
    assert graph.to_dict() == load_yaml(str(file))
    assert load_task_graph(name) is graph


def test_canonical_graph_is_that_of_the_first_profile() -> None:
    canonical, profile = load_task_graph("canonical"), load_task_graph("top_1")
    assert canonical.edges == profile.edges
    assert canonical.fingerprint == profile.fingerprint  # which a name does not change


def test_edges_of_a_task_keep_their_order() -> None:
    graph = load_task_graph("lag_detection")
    assert graph.predecessors(4) == (3, 2)
    assert graph.successors(0) == (1, 3)
    assert graph.topological_order == tuple(range(7))


def test_file_may_name_a_task_before_it_is_there(tmp_path: Path) -> None:
    path = _write(
        tmp_path,
        "name: back\ntasks:\n  - {name: b, after: {a: 1}}\n  - {name: a, times_us: {A7: 2}}\n",
    )
    graph = as_task_graph(path)
    assert graph == as_task_graph(str(path))
    assert graph.topological_order == (1, 0)
    assert graph.entries == (1,)
    assert graph.exits == (0,)
    assert graph.times_us == {"a": {"A7": 2.0}}


def test_fingerprint_follows_the_content() -> None:
    base = parse_task_graph(CHAIN, where="x")
    renamed = parse_task_graph({**CHAIN, "name": "other"}, where="x")
    volume = TaskGraph("chain", base.tasks, (Edge(0, 1, 2.0), Edge(1, 2, 0.6)))
    times = TaskGraph("chain", base.tasks, base.edges, {"a": {"A7": 1.0}})
    assert renamed.fingerprint == base.fingerprint
    assert len({base.fingerprint, volume.fingerprint, times.fingerprint}) == 3
    assert len(base.fingerprint) == 8


@st.composite
def graphs(draw: st.DrawFn) -> TaskGraph:
    n = draw(st.integers(1, 8))
    order = draw(st.permutations(range(n)))  # edges need not go up
    pairs = [(order[i], order[j]) for i in range(n) for j in range(i + 1, n)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    volumes = st.floats(0, 1e6)
    tasks = tuple(f"t{i}" for i in range(n))
    times = st.dictionaries(st.sampled_from(("A7", "A15")), st.floats(0, 1e6), min_size=1)
    return TaskGraph(
        draw(st.sampled_from(("one", "two"))),
        tasks,
        tuple(Edge(source, target, draw(volumes)) for source, target in chosen),
        draw(st.dictionaries(st.sampled_from(tasks), times)),
        description=draw(st.sampled_from(("", "text"))),
    )


@settings(deadline=None)
@given(graphs())
def test_round_trip(graph: TaskGraph) -> None:
    again = parse_task_graph(graph.to_dict(), where="x")
    assert again == graph
    assert again.fingerprint == graph.fingerprint


@settings(deadline=None)
@given(graphs())
def test_order_puts_predecessors_first(graph: TaskGraph) -> None:
    place = {task: i for i, task in enumerate(graph.topological_order)}
    assert sorted(place) == list(range(len(graph.tasks)))
    for task, own in place.items():
        assert all(place[source] < own for source in graph.predecessors(task))
        assert all(task in graph.predecessors(target) for target in graph.successors(task))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": []}, r"g: task graph 'chain': there must be 1 to 10000 tasks, got 0"),
        ({"tasks": "a"}, r"g: tasks must be a list of mappings, got 'a'"),
        ({"tasks": ["a"]}, r"g: task 1: must be a mapping with the keys name, got 'a'"),
        ({"tasks": [{"nam": "a"}]}, r"g: task 1: unknown key 'nam'. Did you mean 'name'\?"),
        ({"tasks": [{"after": {}}]}, r"g: task 1: the key 'name' is missing"),
        ({"tasks": [{"name": 3}]}, r"g: task 1 \(3\): name must be a text, got 3"),
        ({"tasks": [{"name": "a"}] * 2}, r"g: task graph 'chain': two tasks have the name 'a'"),
        (
            {"tasks": [{"name": "LFM"}, {"name": "b", "after": {"LMF": 1}}]},
            r"g: task 2 \('b'\): after: there is no task 'LMF'. Did you mean 'LFM'\?",
        ),
        (
            {"tasks": [{"name": "a", "after": {"a": 1}}]},
            r"g: task graph 'chain': task 'a' must not be its own predecessor",
        ),
        (
            {"tasks": [{"name": "a", "after": ["b"]}]},
            r"g: task 1 \('a'\): after must be a mapping of predecessors to volumes",
        ),
        (
            {"tasks": [{"name": "a"}, {"name": "b", "after": {"a": -1}}]},
            r"g: task 2 \('b'\): after: volume of 'a' must be a finite number from 0 on, got -1",
        ),
        (
            {"tasks": [{"name": "a"}, {"name": "b", "after": {"a": math.nan}}]},
            r"volume of 'a' must be a finite number from 0 on, got nan",
        ),
        (
            {
                "tasks": [
                    {"name": "start"},
                    {"name": "a", "after": {"start": 1, "c": 1}},
                    {"name": "b", "after": {"a": 1}},
                    {"name": "c", "after": {"b": 1}},
                    {"name": "end", "after": {"c": 1}},
                ]
            },
            r"the tasks 'a' -> 'b' -> 'c' -> 'a' form a cycle, and none of them could ever start",
        ),
        (
            {"tasks": [{"name": "a", "times_us": {"A7": -2}}]},
            r"g: task 1 \('a'\): times_us: task 'a' on cluster 'A7' must be a finite number",
        ),
        (
            {"tasks": [{"name": "a", "times_us": {}}]},
            r"g: task 1 \('a'\): times_us: the row of task 'a' must be a mapping of one or more",
        ),
        ({"name": " "}, r"g: the name of a task graph must be a text, got ' '"),
        ({"sorce": "x"}, r"g: unknown key 'sorce'. Did you mean 'source'\?"),
        ({"source": 3}, r"g: task graph 'chain': source must be a text, got 3"),
    ],
)
def test_malformed_graph(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_task_graph({**CHAIN, **change}, where="g")


def test_constructor_refuses_what_no_file_can_say() -> None:
    with pytest.raises(
        ConfigError, match=r"from task 0 to 2 ends at no task. The indices .* 0 to 1"
    ):
        TaskGraph("g", ("a", "b"), (Edge(0, 2, 1.0),))
    with pytest.raises(ConfigError, match=r"there are two edges from 'a' to 'b'"):
        TaskGraph("g", ("a", "b"), (Edge(0, 1, 1.0), Edge(0, 1, 2.0)))
    with pytest.raises(
        ConfigError, match=r"times_us: there is no task 'fft_1'. Did you mean 'fft'"
    ):
        TaskGraph("g", ("fft",), (), {"fft_1": {"A7": 1.0}})
    with pytest.raises(ConfigError, match=r"source of an edge must be a whole number from 0"):
        Edge(-1, 2, 1.0)
    with pytest.raises(ConfigError, match=r"volume of the edge from task 0 to 2 must be a finite"):
        Edge(0, 2, math.inf)


def test_missing_files_and_names(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown task graph 'canonicl'. Did you mean"):
        as_task_graph("canonicl")
    with pytest.raises(ConfigError, match=r"canonical.yaml: does not exist.*Did you mean 'canon"):
        as_task_graph(tmp_path / "canonical.yaml")
    with pytest.raises(ConfigError, match=r"g.csv: the name of a task graph's file ends in .yaml"):
        as_task_graph(tmp_path / "g.csv")
    with pytest.raises(ConfigError, match=r"must be its name, the path of its file, a mapping"):
        as_task_graph(3)  # type: ignore[arg-type]


def test_error_in_a_file_names_it(tmp_path: Path) -> None:
    path = _write(tmp_path, "name: g\ntasks:\n  - {name: a, after: {b: 1}}\n")
    with pytest.raises(ConfigError, match=r"task graph file .*g.yaml: task 1 \('a'\): after"):
        as_task_graph(path)
    path = _write(tmp_path, "name: g\nname: h\n")
    with pytest.raises(ConfigError, match=r"g.yaml.*'name' was given before.*YAML file in UTF-8"):
        as_task_graph(path)


def test_graph_passes_through() -> None:
    graph = parse_task_graph(CHAIN, where="x")
    assert as_task_graph(graph) is graph
    assert as_task_graph(CHAIN) == graph
