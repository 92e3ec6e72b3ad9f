import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from archgym_py.errors import ConfigError, InfeasibleDesign, UnknownNameError
from archgym_py.simulators.soc.generator import generate_task_graph
from archgym_py.simulators.soc.graphs import Edge, load_task_graph, task_graph_names
from archgym_py.simulators.soc.platforms import load_platform
from archgym_py.simulators.soc.static_problem import PartialSchedule, Schedule, StaticProblem
from archgym_py.simulators.soc.static_schedule import (
    STATIC_SCHEDULERS,
    downward_ranks,
    optimistic_costs,
    static_schedule,
    upward_ranks,
)
from tests.golden.replay_static import (
    StaticFinding,
    problem_of,
    read_static,
    replay_static,
    summarise_static,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "soc" / "static_dag.json.gz"
HEURISTICS = tuple(name for name in STATIC_SCHEDULERS if name != "optimum")


@pytest.fixture(scope="module")
def cases() -> list[dict[str, Any]]:
    return read_static(GOLDEN)


def _problem(name: str = "canonical") -> StaticProblem:
    return StaticProblem.of(load_task_graph(name), load_platform("top"))


@st.composite
def problems(draw: st.DrawFn, *, max_tasks: int = 9) -> StaticProblem:
    """Any graph on any PEs, some of which cannot run some tasks; all PEs have links."""
    n, n_pes = draw(st.integers(1, max_tasks)), draw(st.integers(1, 4))
    order = draw(st.permutations(range(n)))
    pairs = [(order[i], order[j]) for i in range(n) for j in range(i + 1, n)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    numbers = st.one_of(st.integers(0, 20).map(float), st.floats(0, 20))
    times = np.array([[draw(numbers) for _ in range(n_pes)] for _ in range(n)])
    for task in range(n):
        keep = draw(st.integers(0, n_pes - 1))
        for pe in range(n_pes):
            if pe != keep and draw(st.booleans()):
                times[task, pe] = math.inf
    bandwidth = np.array(
        [
            [draw(st.sampled_from((0.5, 1.0, 3.0, 1000.0))) for _ in range(n_pes)]
            for _ in range(n_pes)
        ]
    )
    edges = tuple(Edge(source, target, draw(numbers)) for source, target in chosen)
    return StaticProblem(times, edges, bandwidth)


# --- Reference -----------------------------------------------------------------------------------


def test_golden_schedules(cases: list[dict[str, Any]]) -> None:
    findings = replay_static(cases)
    inexact = [finding for finding in findings if not finding.exact]
    assert inexact == []
    counts = {(s.algorithm, s.quantity): s.total for s in summarise_static(findings)}
    assert counts == {
        **{
            (algorithm, quantity): 26
            for algorithm in (
                *("heft", "heft_reference_code", "cpop", "peft"),
                *("minmin", "maxmin", "met", "etf"),
            )
            for quantity in ("schedule", "makespan")
        },
        ("heft_reference_code", "rank_u"): 26,
        ("peft", "oct"): 26,
        ("cpsat", "makespan"): 21,
        ("cpsat", "lower_bound"): 21,
    }


def test_published_makespans(cases: list[dict[str, Any]]) -> None:
    """Topcuoglu et al. 2002 print 80 and 86 for their graph, Arabnejad and Barbosa 133 and 122."""
    canonical = _problem()
    found = [static_schedule(name, canonical).makespan for name in ("heft", "cpop", "peft")]
    assert found == [80, 86, 85]
    [case] = [case for case in cases if case["name"] == "arabnejad2014_sample"]
    found = [static_schedule(name, problem_of(case)).makespan for name in ("heft", "peft")]
    assert found == [133, 122]


def test_published_ranks() -> None:
    """Table 3 of Topcuoglu et al. 2002, which prints three decimals."""
    ups = [108, 77, 80, 80, 69, 63.333, 42.667, 35.667, 44.333, 14.667]
    downs = [0, 31, 25, 22, 24, 27, 62.333, 66.667, 63.667, 93.333]
    np.testing.assert_allclose(upward_ranks(_problem()), ups, atol=5e-4)
    np.testing.assert_allclose(downward_ranks(_problem()), downs, atol=5e-4)


def test_a_difference_is_found(cases: list[dict[str, Any]]) -> None:
    case = {**cases[0], "results": {"heft": dict(cases[0]["results"]["heft"])}}
    case["results"]["heft"]["makespan"] = 81.0
    case["results"]["heft"]["schedule"] = [
        [0, *row[1:]] for row in case["results"]["heft"]["schedule"]
    ]
    findings = replay_static([case])
    assert findings == [
        StaticFinding(case["name"], "heft", "schedule", math.inf),
        StaticFinding(case["name"], "heft", "makespan", 1 / 81),
    ]
    [schedule, makespan] = summarise_static(findings)
    assert (schedule.exact, schedule.total, schedule.worst_graph) == (0, 1, case["name"])
    assert makespan.worst_error == 1 / 81
    with pytest.raises(ConfigError, match=r"unknown algorithm 'heftt'. Did you mean 'heft'"):
        replay_static([{**case, "results": {"heftt": {}}}])


def test_unproved_reference_only_has_to_be_reached(cases: list[dict[str, Any]]) -> None:
    result = {"makespan": 74.0, "lower_bound": 60.0, "proven": False, "schedule": []}
    case = {**cases[0], "results": {"cpsat": result}}
    [finding] = replay_static([case])
    assert finding.exact
    [finding] = replay_static([{**case, "results": {"cpsat": {**result, "makespan": 72.0}}}])
    assert finding.error == pytest.approx(1 / 72)


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"a.json: has no list 'static_dag'"):
        read_static(path)
    path.write_text(json.dumps({"static_dag": []}), encoding="utf-8")
    assert read_static(path) == []
    with pytest.raises(ConfigError, match=r"b.json.gz: cannot be read"):
        read_static(tmp_path / "b.json.gz")


# --- All schedulers ------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(problems())
def test_every_schedule_can_be_carried_out(problem: StaticProblem) -> None:
    for name in HEURISTICS:
        schedule = static_schedule(name, problem)
        schedule.validate(problem)
        assert schedule == static_schedule(name, problem)


@pytest.mark.parametrize("name", task_graph_names())
def test_every_shipped_graph(name: str) -> None:
    graph = load_task_graph(name)
    platform = load_platform("top" if graph.tasks[0] == "task_1" else "multiple_bal")
    problem = StaticProblem.of(graph, platform)
    for scheduler in HEURISTICS:
        static_schedule(scheduler, problem).validate(problem)


def test_insertion_pays_on_random_graphs() -> None:
    """What the papers find: HEFT and PEFT beat the schedulers of independent tasks on average."""
    sums = dict.fromkeys(HEURISTICS, 0.0)
    for seed in range(30):
        graph = generate_task_graph(40, clusters=4, seed=seed, heterogeneity=1.0)
        times = np.array([list(graph.times_us[task].values()) for task in graph.tasks])
        problem = StaticProblem(times, graph.edges, np.ones((4, 4)), graph.tasks)
        makespans = {name: static_schedule(name, problem).makespan for name in HEURISTICS}
        for name in HEURISTICS:
            sums[name] += makespans[name] / makespans["heft"]
    assert max(sums["heft"], sums["lookahead_heft"]) < min(
        sums["max_min"], sums["met"], sums["stf"]
    )
    assert sums["peft"] < min(sums["max_min"], sums["met"], sums["stf"])


def test_one_pe_runs_the_tasks_one_after_another() -> None:
    problem = StaticProblem(np.array([[3.0], [4.0], [5.0]]), (Edge(2, 0, 9.0),), np.ones((1, 1)))
    for name in HEURISTICS:
        assert static_schedule(name, problem).makespan == 12.0


# --- Single schedulers ---------------------------------------------------------------------------


def _free(times: list[list[float]]) -> StaticProblem:
    """Return a problem of independent tasks."""
    return StaticProblem(np.array(times), (), np.ones((len(times[0]),) * 2))


def test_min_min_and_max_min() -> None:
    problem = _free([[2.0, 4.0], [3.0, 6.0], [10.0, 12.0]])
    assert static_schedule("min_min", problem).start == (0.0, 2.0, 0.0)
    assert static_schedule("max_min", problem) == Schedule(
        (1, 1, 0), (6.0, 0.0, 0.0), (10.0, 6.0, 10.0)
    )


def test_sufferage_gives_the_pe_to_the_task_that_needs_it() -> None:
    problem = _free([[4.0, 5.0], [5.0, 50.0]])
    assert static_schedule("sufferage", problem) == Schedule((1, 0), (0.0, 0.0), (5.0, 5.0))
    assert static_schedule("min_min", problem).makespan == 9.0


def test_sufferage_of_a_task_with_one_pe_is_largest() -> None:
    problem = _free([[4.0, 50.0], [5.0, math.inf]])
    schedule = static_schedule("sufferage", problem)
    assert schedule.start[1] == 0.0


def test_met_ignores_that_its_pe_is_busy() -> None:
    problem = _free([[4.0, 5.0]] * 3)
    assert static_schedule("met", problem).pe == (0, 0, 0)
    assert static_schedule("eft", problem).pe == (0, 1, 0)


def test_stf_starts_with_the_shortest() -> None:
    assert static_schedule("stf", _free([[4.0, 9.0], [2.0, 9.0], [3.0, 9.0]])).start == (
        5.0,
        0.0,
        2.0,
    )


def test_etf_takes_the_earliest_start() -> None:
    assert static_schedule("etf", _free([[4.0, 40.0], [4.0, 40.0]])).pe == (0, 1)


def test_lookahead_sees_what_heft_does_not() -> None:
    """The first task is a little faster on PE 0, but only PE 1 runs the second one quickly."""
    times = np.array([[4.0, 5.0], [90.0, 5.0]])
    problem = StaticProblem(times, (Edge(0, 1, 30.0),), np.ones((2, 2)))
    assert static_schedule("heft", problem).makespan == 39.0
    for name in ("lookahead_heft", "peft"):
        assert static_schedule(name, problem).makespan == 10.0
    assert optimistic_costs(problem) == [[35.0, 5.0], [0.0, 0.0]]


def test_cpop_keeps_the_critical_path_on_one_pe() -> None:
    schedule = static_schedule("cpop", _problem())
    assert {schedule.pe[task] for task in (0, 1, 8, 9)} == {1}


def test_cpop_without_a_pe_for_the_whole_path() -> None:
    times = np.array([[1.0, math.inf], [math.inf, 1.0]])
    problem = StaticProblem(times, (Edge(0, 1, 3.0),), np.ones((2, 2)))
    assert static_schedule("cpop", problem) == Schedule((0, 1), (0.0, 4.0), (1.0, 5.0))


def test_tasks_of_no_length_keep_their_order() -> None:
    """Their upward ranks are equal, and their indices do not follow the edges."""
    problem = StaticProblem(np.zeros((3, 2)), (Edge(2, 1, 0.0), Edge(1, 0, 0.0)), np.ones((2, 2)))
    for name in HEURISTICS:
        static_schedule(name, problem).validate(problem)


def test_insertion_fills_a_gap() -> None:
    partial = PartialSchedule(
        StaticProblem(
            np.array([[2.0, 9.0], [9.0, 2.0], [4.0, 4.0]]), (Edge(1, 0, 8.0),), np.ones((2, 2))
        )
    )
    partial.place(1, 1, insert=True)
    partial.place(0, 0, insert=True)
    assert partial.start[0] == 10.0
    assert partial.earliest_start(2, 0, insert=True) == 0.0
    assert partial.earliest_start(2, 0, insert=False) == 12.0


def test_unknown_scheduler() -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown static scheduler 'hef'. Did you mean 'heft'"
    ):
        static_schedule("hef", _problem())


def test_data_without_a_way() -> None:
    times = np.array([[1.0, math.inf], [math.inf, 1.0]])
    problem = StaticProblem(times, (Edge(0, 1, 3.0),), np.zeros((2, 2)))
    for name in HEURISTICS:
        with pytest.raises(InfeasibleDesign, match="'task 1' cannot run on PE"):
            static_schedule(name, problem)
    nothing_to_send = StaticProblem(times, (Edge(0, 1, 0.0),), np.zeros((2, 2)))
    for name in HEURISTICS:
        assert static_schedule(name, nothing_to_send).makespan == 2.0


# --- Problems and schedules ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "edges", "bandwidth", "message"),
    [
        ([1.0], (), [[1.0]], r"a row for each task and a column for each PE, got the shape \(1,\)"),
        ([[1.0]], (), [[1.0, 1.0]], r"bandwidth must be of shape \(1, 1\)"),
        ([[-1.0]], (), [[1.0]], "times must be numbers from 0 on, got -1.0"),
        ([[math.nan]], (), [[1.0]], "times must be numbers from 0 on, got nan"),
        ([[1.0]], (), [[-1.0]], "bandwidth must be numbers from 0 on, got -1.0"),
        ([[math.inf]], (), [[1.0]], "'task 0' has no finite time: no PE can run it"),
        ([[1.0]], (Edge(0, 1, 1.0),), [[1.0]], "from task 0 to 1 ends at no task"),
        (
            [[1.0], [1.0]],
            (Edge(0, 1, 1.0), Edge(1, 0, 1.0)),
            [[1.0]],
            "'task 0' -> 'task 1' -> 'task 0' form a cycle",
        ),
    ],
)
def test_malformed_problem(times: Any, edges: Any, bandwidth: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        StaticProblem(np.array(times), edges, np.array(bandwidth))


def test_names_of_a_problem() -> None:
    with pytest.raises(ConfigError, match="there are 2 names of tasks, and 1 rows"):
        StaticProblem(np.ones((1, 1)), (), np.ones((1, 1)), ("a", "b"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pe": (0,)}, "the schedule must have 10 tasks, got 1 PEs"),
        ({"pe": (3, 0, 2, 1, 2, 1, 2, 0, 1, 1)}, "'task_1': there is no PE 3; there are 3"),
        ({"pe": (1, 0, 2, 1, 2, 1, 2, 0, 1, 1)}, "'task_1' takes 16.0 us on PE 1, but runs"),
        ({"shift": (0, -1.0)}, "'task_1' must run at a time from 0 on, got -1.0 to 8.0"),
        (
            {"shift": (9, -0.5)},
            "'task_10' starts at 72.5, before the data of 'task_8' arrives at 73",
        ),
        ({"shift": (2, 5.0)}, "'task_3' and 'task_5' run on PE 2 at the same time"),
        ({"shift": (9, math.nan)}, "'task_10' must run at a time from 0 on, got nan"),
    ],
)
def test_invalid_schedule(change: dict[str, Any], message: str) -> None:
    problem = _problem()
    schedule = static_schedule("heft", problem)
    schedule.validate(problem)
    if "shift" in change:
        task, by = change["shift"]
        start, finish = list(schedule.start), list(schedule.finish)
        start[task] += by
        finish[task] += by
        change = {"start": tuple(start), "finish": tuple(finish)}
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(schedule, **change).validate(problem)


def test_pe_that_cannot_run_a_task() -> None:
    problem = _free([[1.0, math.inf]])
    with pytest.raises(ConfigError, match="'task 0' cannot run on PE 1"):
        Schedule((1,), (0.0,), (1.0,)).validate(problem)
