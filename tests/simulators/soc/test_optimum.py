import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings

from archgym_py.errors import ConfigError, InfeasibleDesign, SimulatorTimeout
from archgym_py.simulators.soc.generator import generate_task_graph
from archgym_py.simulators.soc.graphs import Edge, load_task_graph
from archgym_py.simulators.soc.optimum import optimum
from archgym_py.simulators.soc.platforms import load_platform
from archgym_py.simulators.soc.static_problem import PartialSchedule, Schedule, StaticProblem
from archgym_py.simulators.soc.static_schedule import STATIC_SCHEDULERS, static_schedule
from tests.simulators.soc.test_static_schedule import HEURISTICS, problems


def _makespan_by_trying_all(problem: StaticProblem) -> float:
    """Return the smallest makespan: of every order of the tasks, on every choice of PEs."""
    n = problem.n_tasks

    def respects_edges(order: Sequence[int]) -> bool:
        return all(order.index(edge.source) < order.index(edge.target) for edge in problem.edges)

    orders = [order for order in itertools.permutations(range(n)) if respects_edges(order)]
    best = math.inf
    for pes in itertools.product(range(problem.n_pes), repeat=n):
        if not np.isfinite(problem.times[range(n), pes]).all():
            continue
        for order in orders:
            partial = PartialSchedule(problem)
            for task in order:
                partial.place(task, pes[task], insert=False)
            best = min(best, max(partial.finish))
    return best


def test_canonical_graph() -> None:
    problem = StaticProblem.of(load_task_graph("canonical"), load_platform("top"))
    best = optimum(problem)
    best.schedule.validate(problem)
    assert (best.schedule.makespan, best.lower_bound, best.proven) == (73.0, 73.0, True)
    assert static_schedule("optimum", problem).makespan == 73.0


def test_wifi_receiver_reaches_the_published_optimum() -> None:
    """The paper on DS3 prints 288 us for its constraint program, and 69 for the transmitter."""
    platform = load_platform("multiple_bal")
    for name, makespan in (("wifi_transmitter", 69.0), ("wifi_receiver", 288.0)):
        problem = StaticProblem.of(load_task_graph(name), platform)
        best = optimum(problem, hint=static_schedule("heft", problem))
        best.schedule.validate(problem)
        assert (best.schedule.makespan, best.lower_bound, best.proven) == (makespan, makespan, True)


def _rounding(problem: StaticProblem) -> float:
    """Return how far the solver's rounding may lead, in µs.

    A tick is 2 ** -40 of the time that all tasks and transfers take one after another, which may be
    much longer than the makespan; rounding moves each of them by half a tick, and the lower bound
    is lower by as much as rounding may have added.
    """
    delays = [problem.delays(edge.volume) for edge in problem.edges]
    serial = sum(max(time for time in row if math.isfinite(time)) for row in problem.times.tolist())
    serial += sum(
        max((delay for row in table for delay in row if math.isfinite(delay)), default=0.0)
        for table in delays
    )
    ticks = 2 * (problem.n_tasks + len(problem.edges)) + 1
    return float(ticks * serial / 2**40)


@settings(max_examples=40, deadline=None)
@given(problems(max_tasks=4))
# Its makespan is a thousandth of the time that its tasks and its transfer may take.
@example(
    StaticProblem(
        np.array([[1.0, 0.0], [0.0, 1.0]]),
        (Edge(0, 1, 1.0625),),
        np.array([[0.5, 0.5], [1000.0, 0.5]]),
    )
)
# The shortest times that there are.
@example(StaticProblem(np.array([[2.0e-311]]), (), np.array([[0.5]])))
@example(StaticProblem(np.array([[1e-10], [3e-11]]), (Edge(0, 1, 1e-9),), np.array([[0.5]])))
def test_no_schedule_is_better(problem: StaticProblem) -> None:
    best = optimum(problem)
    best.schedule.validate(problem)
    assert best.proven
    off = _rounding(problem)
    expected = _makespan_by_trying_all(problem)
    assert best.schedule.makespan == pytest.approx(expected, rel=1e-9, abs=off)
    assert best.lower_bound <= best.schedule.makespan
    assert best.lower_bound == pytest.approx(best.schedule.makespan, rel=1e-9, abs=off)


@settings(max_examples=40, deadline=None)
@given(problems(max_tasks=8))
# OR-Tools 9.15 proves 19 where 14 is possible, unless one of its inferences is switched off.
@example(
    StaticProblem(
        np.array(
            [
                *([0.0] * 4, [0.0] * 4, [14.0, np.inf, np.inf, 9.0], [0.0] * 4),
                *([0.0, np.inf, 0.0, 0.0], [4.0, np.inf, 10.0, 10.0], [0.0] * 4),
                [1.0, 1.0, np.inf, np.inf],
            ]
        ),
        (Edge(5, 2, 0.0), Edge(7, 2, 0.0), Edge(7, 4, 9.0)),
        np.full((4, 4), 0.5),
    )
)
def test_no_heuristic_is_better(problem: StaticProblem) -> None:
    best = optimum(problem)
    best.schedule.validate(problem)
    assert best.proven
    for name in HEURISTICS:
        makespan = static_schedule(name, problem).makespan
        assert makespan >= best.lower_bound * (1 - 1e-9)
        assert makespan >= best.schedule.makespan * (1 - 1e-9) - _rounding(problem)


def test_same_seed_same_schedule() -> None:
    platform = load_platform("top")
    problem = StaticProblem.of(generate_task_graph(12, clusters=platform, seed=3), platform)
    assert optimum(problem, seed=5) == optimum(problem, seed=5)


def test_hint_is_never_lost() -> None:
    """A time limit may end the search before it starts: then the hint is the result."""
    graph = generate_task_graph(100, clusters=3, seed=3)
    times = np.array([list(graph.times_us[task].values()) for task in graph.tasks])
    problem = StaticProblem(times, graph.edges, np.ones((3, 3)))
    hint = STATIC_SCHEDULERS["heft"](problem)
    best = optimum(problem, time_limit_s=0.001, hint=hint)
    assert best.schedule.makespan <= hint.makespan
    assert not best.proven
    assert 0.0 <= best.lower_bound < best.schedule.makespan
    with pytest.raises(SimulatorTimeout, match=r"no schedule was found in 0.001 s"):
        optimum(problem, time_limit_s=0.001)


def test_times_that_have_no_common_fraction() -> None:
    times = np.array([[math.pi, 10.0], [10.0, math.e], [math.sqrt(2), 10.0]])
    problem = StaticProblem(times, (Edge(0, 1, 1 / 3),), np.ones((2, 2)))
    best = optimum(problem)
    expected = math.pi + 1 / 3 + math.e
    assert best.proven
    assert best.schedule.makespan == expected
    assert expected * (1 - 1e-9) <= best.lower_bound <= expected


def test_tasks_of_no_length() -> None:
    """One that starts with a long task of its PE comes before it."""
    times = np.array([[5.0], [0.0], [0.0], [7.0]])
    problem = StaticProblem(times, (Edge(1, 2, 3.0), Edge(2, 3, 1.0)), np.ones((1, 1)))
    best = optimum(problem)
    best.schedule.validate(problem)
    assert (best.schedule.makespan, best.proven) == (12.0, True)
    assert optimum(StaticProblem(np.zeros((2, 2)), (), np.ones((2, 2)))).schedule.makespan == 0.0


def test_data_without_a_way() -> None:
    times = np.array([[1.0, math.inf], [math.inf, 1.0]])
    problem = StaticProblem(times, (Edge(0, 1, 3.0),), np.zeros((2, 2)))
    with pytest.raises(InfeasibleDesign, match="there is no schedule"):
        optimum(problem)


def test_missing_links_are_gone_around() -> None:
    """The heuristics look no further than the next task, and run into the dead end."""
    times = np.array([[1.0, 2.0], [math.inf, 1.0]])
    problem = StaticProblem(times, (Edge(0, 1, 3.0),), np.zeros((2, 2)))
    with pytest.raises(InfeasibleDesign, match="'task 1' cannot run on PE"):
        static_schedule("heft", problem)
    best = optimum(problem)
    assert best.schedule == Schedule((1, 1), (0.0, 2.0), (2.0, 3.0))
    assert static_schedule("optimum", problem) == best.schedule


def test_illegal_arguments() -> None:
    problem = StaticProblem(np.ones((2, 1)), (), np.ones((1, 1)))
    with pytest.raises(ConfigError, match=r"time_limit_s must be a finite number from 0.001 on"):
        optimum(problem, time_limit_s=0.0)
    with pytest.raises(ConfigError, match="seed must be a whole number from 0"):
        optimum(problem, seed=-1)
    with pytest.raises(ConfigError, match="'task 0' and 'task 1' run on PE 0 at the same time"):
        optimum(problem, hint=Schedule((0, 0), (0.0, 0.5), (1.0, 1.5)))
