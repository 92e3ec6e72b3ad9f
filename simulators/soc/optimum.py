"""The smallest makespan of a task graph, proved by constraint programming.

Each task has an optional interval on every PE that can run it, of which one is present; the
intervals of a PE do not overlap; a task starts when the data of its predecessors has come from the
PEs that they are on. OR-Tools' CP-SAT minimises the end of the last task. Graphs of twenty tasks
take well under a second, the WiFi receiver with 34 tasks on 16 PEs about three; what is much larger
ends at the time limit without a proof.

    >>> from archgym_py.simulators.soc.graphs import load_task_graph
    >>> from archgym_py.simulators.soc.platforms import load_platform
    >>> graph = load_task_graph("wifi_transmitter")
    >>> best = optimum(StaticProblem.of(graph, load_platform("multiple_bal")))
    >>> best.schedule.makespan, best.lower_bound, best.proven
    (69.0, 69.0, True)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from archgym_py.checks import integer, number
from archgym_py.errors import InfeasibleDesign, SimulatorTimeout, require
from archgym_py.simulators.soc.static_problem import Schedule, StaticProblem

__all__ = ["Optimum", "optimum"]

_MAX_DENOMINATOR: Final = 10_000
"""Times that are multiples of 1/10000 µs are exact; others are rounded."""

_HORIZON_TICKS: Final = 2**40
"""Largest horizon in ticks: the solver computes with integers of 64 bits and sums of them."""


@dataclass(frozen=True, slots=True)
class Optimum:
    """What the solver found.

    Attributes:
        schedule: The best schedule.
        lower_bound: No schedule has a smaller makespan in µs.
        proven: Whether the schedule is an optimum. Where times had to be rounded to the solver's
            ticks it is one up to that rounding, and `lower_bound` is as much lower.
    """

    schedule: Schedule
    lower_bound: float
    proven: bool


def optimum(
    problem: StaticProblem,
    *,
    time_limit_s: float = 60.0,
    seed: int = 0,
    hint: Schedule | None = None,
) -> Optimum:
    """Find a schedule of the smallest makespan.

    One thread searches, so that the same problem and seed give the same schedule if the time limit
    is not what ends the search.

    Args:
        problem: The problem.
        time_limit_s: After how many seconds the best schedule so far is returned.
        seed: Seed of the search.
        hint: A valid schedule to start from, such as a heuristic's. The result is no worse.

    Returns:
        The schedule, a lower bound and whether they meet.

    Raises:
        ConfigError: If OR-Tools is not installed, an argument is not legal, or the hint is not
            valid.
        InfeasibleDesign: If there is no schedule, as data finds no way.
        SimulatorTimeout: If the time limit ends the search before any schedule is found.
    """
    time_limit_s = number("time_limit_s", time_limit_s, 1e-3, math.inf)
    seed = integer("seed", seed, 0, 2**31 - 1)
    if hint is not None:
        hint.validate(problem)
    cp_model = require("ortools.sat.python.cp_model", extra="optimum")
    ticks = _Ticks(problem, hint)
    model, starts, runs = _model(cp_model, problem, ticks, hint)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = time_limit_s
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = seed
    # This inference of OR-Tools 9.15 is not sound either.
    solver.parameters.auto_detect_greater_than_at_least_one_of = False
    status = solver.solve(model)
    if status == cp_model.INFEASIBLE:
        raise InfeasibleDesign(
            "there is no schedule: some data has no link to any PE that could take it."
        )
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        if hint is None:
            raise SimulatorTimeout(f"no schedule was found in {time_limit_s:g} s.")
        return Optimum(hint, ticks.lower_bound(solver.best_objective_bound), proven=False)
    pes = [next(pe for pe, run in row.items() if solver.boolean_value(run)) for row in runs]
    schedule = _left_shifted(problem, pes, ticks, [solver.value(start) for start in starts])
    if hint is not None and hint.makespan < schedule.makespan:
        schedule = hint
    proven = status == cp_model.OPTIMAL
    bound = ticks.lower_bound(solver.best_objective_bound)
    return Optimum(schedule, min(bound, schedule.makespan), proven)


class _Ticks:
    """The solver's unit of time: exact where the times have a common fraction, fine where not.

    Args:
        problem: The problem.
        hint: A valid schedule, whose makespan the optimum does not exceed.
    """

    def __init__(self, problem: StaticProblem, hint: Schedule | None) -> None:
        self.times = [
            {pe: time for pe, time in enumerate(row) if math.isfinite(time)}
            for row in problem.times.tolist()
        ]
        self.delays = [problem.delays(edge.volume) for edge in problem.edges]
        values = {time for row in self.times for time in row.values()}
        finite = [
            max((delay for row in table for delay in row if math.isfinite(delay)), default=0.0)
            for table in self.delays
        ]
        values |= {d for table in self.delays for row in table for d in row if math.isfinite(d)}
        # All tasks and transfers one after another are a schedule, if there is one at all.
        serial = sum(max(row.values()) for row in self.times) + sum(finite)
        horizon = serial if hint is None else hint.makespan
        denominators = {_denominator(value) for value in values}
        scale = min(math.lcm(*denominators), _HORIZON_TICKS)  # a float can hold it
        if scale * serial <= _HORIZON_TICKS and all(_is_whole(scale * value) for value in values):
            self._unit_us, self._per_unit, self._rounding = 1.0, scale, 0
        else:  # rounding lengthens every task and transfer by up to half a tick
            self._unit_us, self._per_unit = serial, _HORIZON_TICKS
            self._rounding = problem.n_tasks + len(problem.edges)
        self.horizon = math.ceil(horizon / self._unit_us * self._per_unit + self._rounding)

    def of(self, us: float) -> int:
        """Return a time in ticks."""
        # In this order: a tick of the shortest times is too short for a float.
        return round(us / self._unit_us * self._per_unit)

    def lower_bound(self, ticks: float) -> float:
        """Return a bound of the solver's in µs, lower by what rounding may have added."""
        whole = max(0.0, math.ceil(ticks - 1e-6) - self._rounding)
        return whole / self._per_unit * self._unit_us


def _denominator(value: float) -> int:
    return Fraction(value).limit_denominator(_MAX_DENOMINATOR).denominator


def _is_whole(value: float) -> bool:
    return math.isclose(value, round(value), rel_tol=1e-12)  # a tiny one is not 0


def _model(
    cp_model: Any, problem: StaticProblem, ticks: _Ticks, hint: Schedule | None
) -> tuple[Any, list[Any], list[dict[int, Any]]]:
    """Return the model, the start of each task, and for each task its presence by PE."""
    model = cp_model.CpModel()
    starts, ends, runs = [], [], []
    on_pe: list[list[Any]] = [[] for _ in range(problem.n_pes)]
    for task, times in enumerate(ticks.times):
        start = model.new_int_var(0, ticks.horizon, f"start {task}")
        presence = {pe: model.new_bool_var(f"{task} on {pe}") for pe in times}
        model.add_exactly_one(presence.values())
        end = start + sum(ticks.of(time) * presence[pe] for pe, time in times.items())
        for pe, time in times.items():
            begin = start
            if ticks.of(time) == 0:
                # OR-Tools 9.15 proves optima that are none where an interval without a length
                # shares its variables with others.
                begin = model.new_int_var(0, ticks.horizon, f"start {task} on {pe}")
                model.add(begin == start).only_enforce_if(presence[pe])
            on_pe[pe].append(
                model.new_optional_fixed_size_interval_var(
                    begin, ticks.of(time), presence[pe], f"{task} runs on {pe}"
                )
            )
        starts.append(start)
        ends.append(end)
        runs.append(presence)
    for intervals in on_pe:
        model.add_no_overlap(intervals)
    for edge, delays in zip(problem.edges, ticks.delays, strict=True):
        begin, end = starts[edge.target], ends[edge.source]
        model.add(begin >= end)
        for p, sends in runs[edge.source].items():
            for q, takes in runs[edge.target].items():
                if math.isinf(delays[p][q]):
                    model.add_bool_or(sends.negated(), takes.negated())
                elif delays[p][q] > 0.0:
                    delay = ticks.of(delays[p][q])
                    model.add(begin >= end + delay).only_enforce_if(sends, takes)
    makespan = model.new_int_var(0, ticks.horizon, "makespan")
    model.add_max_equality(makespan, ends)
    model.minimize(makespan)
    if hint is not None:
        for task, (start, presence) in enumerate(zip(starts, runs, strict=True)):
            model.add_hint(start, ticks.of(hint.start[task]))
            for pe, run in presence.items():
                model.add_hint(run, pe == hint.pe[task])
    return model, starts, runs


def _left_shifted(
    problem: StaticProblem, pes: list[int], ticks: _Ticks, starts: list[int]
) -> Schedule:
    """Return the schedule with the solver's PEs and order, each task as early as it can be.

    It has no gap that the order does not force, and its times are free of the solver's rounding.
    """
    place = {task: i for i, task in enumerate(problem.graph.topological_order)}
    n = problem.n_tasks
    incoming: list[list[tuple[int, float]]] = [[] for _ in range(n)]
    for edge in problem.edges:
        delay = problem.delays(edge.volume)[pes[edge.source]][pes[edge.target]]
        incoming[edge.target].append((edge.source, delay))
    start, finish, free = [0.0] * n, [0.0] * n, [0.0] * problem.n_pes
    # Tasks of no length may start together with one that has a length, and come before it.
    ends = [starts[task] + ticks.of(ticks.times[task][pes[task]]) for task in range(n)]
    for task in sorted(range(n), key=lambda t: (starts[t], ends[t], place[t])):
        arrivals = (finish[source] + delay for source, delay in incoming[task])
        start[task] = max([free[pes[task]], *arrivals])
        finish[task] = free[pes[task]] = start[task] + float(problem.times[task, pes[task]])
    return Schedule(tuple(pes), tuple(start), tuple(finish))
