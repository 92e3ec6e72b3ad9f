"""Schedulers of whole task graphs.

`STATIC_SCHEDULERS` holds them by name. Those that look at the graph as a whole may put a task into
a gap between others (insertion); those that come from scheduling independent tasks look at the
ready ones, tasks whose predecessors all have a place, and put them behind what their PE does.

=============== ==================================================================================
heft            decreasing upward rank, on the PE where it ends first (Topcuoglu et al. 2002)
lookahead_heft  the same order, on the PE where its successors end first (Bittencourt et al. 2010)
cpop            tasks of the critical path on one PE, the others where they end first (Topcuoglu et
                al. 2002)
peft            by a table of optimistic costs of what follows (Arabnejad and Barbosa 2014)
min_min         of the ready tasks, the one that can end first (Ibarra and Kim 1977)
max_min         of the ready tasks, the one whose earliest end is last (Ibarra and Kim 1977)
sufferage       of the ready tasks, the one that loses most if it does not get its best PE
                (Maheswaran et al. 1999)
met             list order, on the PE that takes the shortest time
etf             of the ready tasks, the one that can start first (Hwang et al. 1989)
eft             list order, on the PE where it ends first
stf             of the ready tasks, the shortest, on the PE that takes the shortest time
optimum         proved by constraint programming; small graphs only
=============== ==================================================================================

List order is the order in which tasks become ready: the entries, then the successors of the first
task for which no other predecessor is open, and so on. Ties go to the lowest index, of tasks and of
PEs, where nothing else is said.

    >>> from archgym_py.simulators.soc.graphs import load_task_graph
    >>> from archgym_py.simulators.soc.platforms import load_platform
    >>> problem = StaticProblem.of(load_task_graph("canonical"), load_platform("top"))
    >>> [static_schedule(name, problem).makespan for name in ("heft", "cpop", "peft")]
    [80.0, 86.0, 85.0]
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import numpy as np

from archgym_py.errors import ConfigError, InfeasibleDesign, UnknownNameError, did_you_mean
from archgym_py.simulators.soc.static_problem import PartialSchedule, Schedule, StaticProblem

__all__ = [
    "STATIC_SCHEDULERS",
    "Schedule",
    "StaticProblem",
    "downward_ranks",
    "optimistic_costs",
    "static_schedule",
    "upward_ranks",
]


def static_schedule(name: str, problem: StaticProblem) -> Schedule:
    """Schedule a problem.

    Args:
        name: One of `STATIC_SCHEDULERS`.
        problem: The problem.

    Returns:
        The schedule.

    Raises:
        UnknownNameError: If there is no such scheduler.
        InfeasibleDesign: If the scheduler finds no PE for a task whose data has a way there.

    Examples:
        >>> import numpy as np
        >>> problem = StaticProblem(np.array([[2.0, 3.0], [4.0, 1.0]]), (), np.ones((2, 2)))
        >>> static_schedule("min_mim", problem)
        Traceback (most recent call last):
        archgym_py.errors.UnknownNameError: unknown static scheduler 'min_mim'. Did you mean
        'min_min'?
    """
    if name not in STATIC_SCHEDULERS:
        raise UnknownNameError(
            f"unknown static scheduler {name!r}.{did_you_mean(str(name), STATIC_SCHEDULERS)}"
        )
    return STATIC_SCHEDULERS[name](problem)


# --- Ranks ---------------------------------------------------------------------------------------


def upward_ranks(problem: StaticProblem) -> list[float]:
    """Return the length of the longest way from the start of each task to the end of the graph.

    Execution times and delays are means over the PEs (Topcuoglu et al. 2002, equation 8).

    Args:
        problem: The problem.

    Returns:
        The rank of each task in µs.
    """
    work = problem.mean_work
    onward = _outgoing(problem)
    ranks = [0.0] * problem.n_tasks
    for task in reversed(problem.graph.topological_order):
        ways = (delay + ranks[target] for target, delay in onward[task])
        ranks[task] = work[task] + max(ways, default=0.0)
    return ranks


def downward_ranks(problem: StaticProblem) -> list[float]:
    """Return the length of the longest way from the start of the graph to that of each task.

    Execution times and delays are means over the PEs (Topcuoglu et al. 2002, equation 10).

    Args:
        problem: The problem.

    Returns:
        The rank of each task in µs.
    """
    work = problem.mean_work
    onward = _outgoing(problem)
    ranks = [0.0] * problem.n_tasks
    for task in problem.graph.topological_order:
        for target, delay in onward[task]:
            ranks[target] = max(ranks[target], ranks[task] + work[task] + delay)
    return ranks


def optimistic_costs(problem: StaticProblem) -> list[list[float]]:
    """Return the table of optimistic costs: how long what follows a task takes at least.

    Each task that follows runs where that is best for it, as if the PE were free (Arabnejad and
    Barbosa, "List scheduling algorithm for heterogeneous systems by an optimistic cost table", IEEE
    TPDS 25(3), 2014, equation 8).

    Args:
        problem: The problem.

    Returns:
        The cost in µs by task and by the PE that the task runs on.
    """
    times = problem.times.tolist()
    onward = _outgoing(problem)
    costs = [[0.0] * problem.n_pes for _ in range(problem.n_tasks)]
    for task in reversed(problem.graph.topological_order):
        for target, delay in onward[task]:
            after = [cost + time for cost, time in zip(costs[target], times[target], strict=True)]
            elsewhere = min(after) + delay
            for pe, here in enumerate(after):
                costs[task][pe] = max(costs[task][pe], min(here, elsewhere))
    return costs


def _outgoing(problem: StaticProblem) -> list[list[tuple[int, float]]]:
    """Return the successors of each task, with the mean delay of the data to them in µs."""
    outgoing: list[list[tuple[int, float]]] = [[] for _ in range(problem.n_tasks)]
    for edge in problem.edges:
        outgoing[edge.source].append((edge.target, problem.mean_delay(edge.volume)))
    return outgoing


# --- Schedulers of the whole graph ---------------------------------------------------------------


def heft(problem: StaticProblem) -> Schedule:
    """Place the tasks by decreasing upward rank, each where it ends first, with insertion."""
    partial = PartialSchedule(problem)
    for task in _ready_by(problem, _negative(upward_ranks(problem))):
        partial.place(task, _first(partial.earliest_finishes(task, insert=True)), insert=True)
    return partial.done()


def lookahead_heft(problem: StaticProblem) -> Schedule:
    """Place the tasks by decreasing upward rank, each where its successors would end first.

    For each PE the successors are tried out by decreasing rank, each where it ends first with the
    data of those predecessors that have a place; the latest of their ends counts, and between equal
    ones the end of the task itself (Bittencourt, Sakellariou and Madeira, "DAG scheduling using a
    lookahead variant of the heterogeneous earliest finish time algorithm", PDP 2010).
    """
    partial = PartialSchedule(problem)
    order = list(_ready_by(problem, _negative(upward_ranks(problem))))
    place = {task: i for i, task in enumerate(order)}
    for task in order:
        targets = sorted(problem.graph.successors(task), key=place.__getitem__)
        ends = partial.earliest_finishes(task, insert=True)
        keys = [
            (_end_of_successors(partial, task, pe, targets), end)
            if math.isfinite(end)
            else (math.inf, math.inf)
            for pe, end in enumerate(ends)
        ]
        partial.place(task, min(range(problem.n_pes), key=keys.__getitem__), insert=True)
    return partial.done()


def _end_of_successors(
    partial: PartialSchedule, task: int, pe: int, targets: Iterable[int]
) -> float:
    """Return when the last of some tasks would end with a task on a PE; 0 if there are none."""
    partial.place(task, pe, insert=True)
    tried = [task]
    last = 0.0
    for target in targets:
        ends = partial.earliest_finishes(target, insert=True)
        last = max(last, min(ends))
        if math.isinf(last):
            break
        partial.place(target, _first(ends), insert=True)
        tried.append(target)
    for other in reversed(tried):
        partial.remove(other)
    return last


def cpop(problem: StaticProblem) -> Schedule:
    """Place the ready task of the longest way through it, with insertion.

    Tasks of the critical path go to the PE that takes the shortest time for all of them, the others
    where they end first (Topcuoglu et al. 2002, section 4.2). If no PE can run the whole critical
    path, its tasks are like the others.
    """
    ups, downs = upward_ranks(problem), downward_ranks(problem)
    priority = [up + down for up, down in zip(ups, downs, strict=True)]
    critical = _critical_path(problem, ups)
    sums = problem.times[critical].sum(axis=0)
    on_path = set(critical) if np.isfinite(sums).any() else set()
    path_pe = int(sums.argmin())
    partial = PartialSchedule(problem)
    for task in _ready_by(problem, _negative(priority)):
        if task in on_path and math.isfinite(partial.data_ready(task, path_pe)):
            partial.place(task, path_pe, insert=True)
        else:
            partial.place(task, _first(partial.earliest_finishes(task, insert=True)), insert=True)
    return partial.done()


def _critical_path(problem: StaticProblem, ups: list[float]) -> list[int]:
    """Return the longest way through the graph; of equally long ones that of the lowest indices."""
    onward = _outgoing(problem)
    task = max(problem.graph.entries, key=ups.__getitem__)
    path = [task]
    while onward[task]:
        ways = {target: delay + ups[target] for target, delay in onward[task]}
        longest = max(ways.values())
        # Equal ways differ by the rounding of their sums.
        task = min(target for target, way in ways.items() if math.isclose(way, longest))
        path.append(task)
    return path


def peft(problem: StaticProblem) -> Schedule:
    """Place the ready task of the largest mean optimistic cost, with insertion.

    It goes where its end and what follows at least are least together (Arabnejad and Barbosa 2014).
    """
    costs = optimistic_costs(problem)
    able = np.isfinite(problem.times)
    means = [float(np.array(row)[able[task]].mean()) for task, row in enumerate(costs)]
    partial = PartialSchedule(problem)
    for task in _ready_by(problem, _negative(means)):
        ends = partial.earliest_finishes(task, insert=True)
        totals = [end + cost for end, cost in zip(ends, costs[task], strict=True)]
        partial.place(task, _first(totals), insert=True)
    return partial.done()


# --- Schedulers of ready tasks -------------------------------------------------------------------


def min_min(problem: StaticProblem) -> Schedule:
    """Place the ready task that can end first, there."""
    return _dynamic(problem, min)


def max_min(problem: StaticProblem) -> Schedule:
    """Place the ready task whose earliest end is last, there."""
    return _dynamic(problem, lambda ends: -min(ends))


def sufferage(problem: StaticProblem) -> Schedule:
    """Place the ready task that would lose most on its second best PE where it ends first."""

    def loss(ends: list[float]) -> float:
        best, *others = sorted(ends)
        if math.isinf(best):
            return -math.inf  # no PE can run it, which `place` reports
        return best - others[0] if others else 0.0  # -infinity if no second PE can run it

    return _dynamic(problem, loss)


def _dynamic(problem: StaticProblem, key: Callable[[list[float]], float]) -> Schedule:
    """Place the ready task of the smallest key where it ends first, again and again."""
    partial = PartialSchedule(problem)
    ready, waiting = list(problem.graph.entries), _open_predecessors(problem)
    while ready:
        ends = {task: partial.earliest_finishes(task, insert=False) for task in sorted(ready)}
        task = min(ends, key=lambda task: key(ends[task]))
        partial.place(task, _first(ends[task]), insert=False)
        ready.remove(task)
        ready += _released(problem, task, waiting)
    return partial.done()


def etf(problem: StaticProblem) -> Schedule:
    """Place the ready task that can start first, there.

    Between equal starts the larger upward rank decides, then the earlier end (Hwang, Chow, Anger
    and Lee, "Scheduling precedence graphs in systems with interprocessor communication times", SIAM
    J. Comput. 18(2), 1989).
    """
    ranks = upward_ranks(problem)
    times = problem.times.tolist()
    partial = PartialSchedule(problem)
    ready, waiting = list(problem.graph.entries), _open_predecessors(problem)
    while ready:
        keys = {}
        for task in sorted(ready):
            for pe in range(problem.n_pes):
                start = partial.earliest_start(task, pe, insert=False)
                keys[task, pe] = (start, -ranks[task], start + times[task][pe])
        task, pe = min(keys, key=keys.__getitem__)
        partial.place(task, pe, insert=False)
        ready.remove(task)
        ready += _released(problem, task, waiting)
    return partial.done()


def eft(problem: StaticProblem) -> Schedule:
    """Place the tasks in list order, each where it ends first."""
    partial = PartialSchedule(problem)
    for task in _in_list_order(problem):
        partial.place(task, _first(partial.earliest_finishes(task, insert=False)), insert=False)
    return partial.done()


def met(problem: StaticProblem) -> Schedule:
    """Place the tasks in list order, each on the PE that takes the shortest time."""
    partial = PartialSchedule(problem)
    for task in _in_list_order(problem):
        partial.place(task, int(problem.times[task].argmin()), insert=False)
    return partial.done()


def stf(problem: StaticProblem) -> Schedule:
    """Place the shortest ready task on the PE that takes the shortest time."""
    partial = PartialSchedule(problem)
    for task in _ready_by(problem, problem.times.min(axis=1).tolist()):
        partial.place(task, int(problem.times[task].argmin()), insert=False)
    return partial.done()


# --- Helpers -------------------------------------------------------------------------------------


def _optimum(problem: StaticProblem) -> Schedule:
    """Return a schedule of the smallest makespan.

    Raises:
        ConfigError: If a minute is too short to prove it.
    """
    from archgym_py.simulators.soc.optimum import optimum

    try:
        hint = heft(problem)
    except InfeasibleDesign:  # where links are missing, a search may find what a heuristic does not
        hint = None
    found = optimum(problem, hint=hint)
    if not found.proven:
        raise ConfigError(
            f"a minute is too short to prove a smallest makespan of {problem.n_tasks} tasks on "
            f"{problem.n_pes} PEs; the best found is {found.schedule.makespan:g} us. Take 'heft', "
            f"or call optimum() with a longer time_limit_s."
        )
    return found.schedule


def _first(values: list[float]) -> int:
    """Return the index of the smallest value, the lowest one of several."""
    return min(range(len(values)), key=values.__getitem__)


def _negative(values: list[float]) -> list[float]:
    return [-value for value in values]


def _in_list_order(problem: StaticProblem) -> list[int]:
    """Return the tasks in the order in which they become ready, first come, first served."""
    waiting = _open_predecessors(problem)
    order = list(problem.graph.entries)
    for task in order:
        order += _released(problem, task, waiting)
    return order


def _ready_by(problem: StaticProblem, keys: list[float]) -> Iterable[int]:
    """Yield the tasks: always the one of the smallest key whose predecessors came before it."""
    waiting = _open_predecessors(problem)
    ready = [(keys[task], task) for task in problem.graph.entries]
    heapq.heapify(ready)
    while ready:
        _, task = heapq.heappop(ready)
        yield task
        for target in _released(problem, task, waiting):
            heapq.heappush(ready, (keys[target], target))


def _open_predecessors(problem: StaticProblem) -> list[int]:
    return [len(problem.graph.predecessors(task)) for task in range(problem.n_tasks)]


def _released(problem: StaticProblem, task: int, waiting: list[int]) -> list[int]:
    """Count a task as placed, and return the tasks that waited for it alone."""
    released = []
    for target in problem.graph.successors(task):
        waiting[target] -= 1
        if waiting[target] == 0:
            released.append(target)
    return released


STATIC_SCHEDULERS: Mapping[str, Callable[[StaticProblem], Schedule]] = MappingProxyType(
    {
        "heft": heft,
        "lookahead_heft": lookahead_heft,
        "cpop": cpop,
        "peft": peft,
        "min_min": min_min,
        "max_min": max_min,
        "sufferage": sufferage,
        "met": met,
        "etf": etf,
        "eft": eft,
        "stf": stf,
        "optimum": _optimum,
    }
)
"""The schedulers by name; each takes a problem and returns a valid schedule of it."""
