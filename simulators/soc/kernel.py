"""Jobs on a heterogeneous SoC, event driven, compiled by numba.

`advance` plays a simulation on until it ends, until a time, or until a scheduler outside has to
place a task. All functions work on `k`, what does not change (`layout.Soc`), and on `s`, what does
(`layout.Sim`); `t` is a time in microseconds, `p` a processing element (PE), `c` a cluster, `j` a
slot for a job in flight, `n` a task in flight: `j * tasks + b` where `b` is its place in its graph,
and `g` its number among the tasks of all graphs.

How a simulation runs:

* `_attempt`: the generator lets a job in, whose first tasks become ready.
* `_tick`: the scheduler gives ready tasks a PE (`_schedule`); tasks whose inputs have come and
  whose PE is free are dispatched (`_dispatch`).
* `_start`, `_run_slice`: a task occupies its PE. `_complete`: it ends, successors become ready.

There are two ways to keep time and energy. In the clean one everything happens when it happens,
and energy is charged whenever the power of a cluster changes. `compat` keeps the ways of DS3: a
manager wakes up once in a microsecond, so that decisions are made at whole ones (`_phase` says
which events a wake-up sees); tasks run in slices that end at sampling instants, and a slice is
charged with the power at its start.

Every compiled function lies in this one file on purpose: numba's cache on disk watches only the
file of the function that is called.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numba.typed import List

from archgym_py.simulators.soc.layout import (
    AMBIENT_CELSIUS,
    GOVERNORS,
    GPU_W,
    MEMORY_W,
    ORDERS,
    POLICIES,
    QUEUES,
    REWARDS,
    Sim,
)

__all__ = [
    "ENDED",
    "GO_ON",
    "PAUSED",
    "STAY",
    "WAITING",
    "advance",
    "bind",
    "estimate",
    "set_points",
]

ENDED, WAITING, PAUSED = range(3)  # what `advance` says of a simulation
GO_ON, STAY = -1, -2  # actions that are no decisions

EARLY, LATE = 0, 2  # phases of an event: before and after the tick of its microsecond
STARTS, SLICED, DONE = range(3)  # events of a PE
READY, EXECUTABLE, INBOUND, UNPLACED = range(len(QUEUES))
DS3, DS3GYM = 1, 2  # OPTIONS.compat
RELATIVE, ABSOLUTE = 1, 2  # OPTIONS.noise
BY_RANK = ORDERS.index("rank")
JOBS_IN_SYSTEM, LATENCY, ENERGY, EDP, DEADLINE, COMPBONUS = range(len(REWARDS))
ONDEMAND = GOVERNORS.index("ondemand")
(
    EXTERNAL,
    MET,
    EFT,
    ETF,
    ETF_LB,
    STF,
    MIN_MIN,
    MAX_MIN,
    SUFFERAGE,
    HEFT_RT,
    PEFT_RT,
    ROUND_ROBIN,
    RANDOM,
    PLAN,
) = range(len(POLICIES))

# Leakage of DS3's cores: V * C1 * T^2 * exp(-C2 / T) + IG * V in W, T in kelvin.
LEAK_C1, LEAK_C2, LEAK_IG = 0.002488, 2660.0, 0.000519
HYSTERESIS = 3.0  # of throttling, in degrees
PRUNED_AFTER = 15  # DS3 forgets tasks of jobs that are older than the newest by more

BY_GOVERNOR, BY_THROTTLING = range(2)  # causes of a change of frequency
GENERATOR, STOP, NOTHING = -1, -2, -3  # sources of events that are not PEs

_options: Any = {"nogil": True, "cache": True, "error_model": "numpy"}
# The functions below allocate nothing; without reference counts (an atomic instruction for every
# array of a tuple at every call) the kernel is several times as fast.
_uncounted: Any = {**_options, "_nrt": False}
_compile: Any = njit(**_uncounted)
_inline: Any = njit(**{**_uncounted, "forceinline": True})


# ---- order of events ---------------------------------------------------------------------------


@_inline
def _phase(k: Any, now: float, phase: int, at: float) -> int:
    """Return whether an event for `at`, made at `now`, comes before the tick of its microsecond.

    DS3's manager re-arms itself once in a microsecond, so what is made less than one before, or
    after the tick of the microsecond before, comes after it.
    """
    if k.options[0].compat == 0 or at - now > 1.0 or (at - now == 1.0 and phase == EARLY):
        return EARLY
    return LATE


@_inline
def _request_tick(k: Any, s: Any, t: float, phase: int) -> None:
    """Let the scheduler look at the next occasion."""
    y = s.system[0]
    at = t
    if k.options[0].compat != 0 and (phase == LATE or t != math.floor(t)):
        at = math.floor(t) + 1.0
    y.tick_at = min(y.tick_at, at)


@_inline
def _sequence(s: Any) -> int:
    """Return the number of the next event: those of one instant and phase keep their order."""
    y = s.system[0]
    y.seq += 1
    return int(y.seq)


@_inline
def _set_event(s: Any, p: int, at: float, phase: int) -> None:
    s.event_us[p], s.event_phase[p], s.event_seq[p] = at, phase, _sequence(s)


@_inline
def _next_event(s: Any) -> int:
    """Return the PE whose event comes next, or GENERATOR, STOP or NOTHING."""
    y = s.system[0]
    who, at, phase, seq = NOTHING, np.inf, LATE, 0
    if y.inject_at < np.inf:
        who, at, phase, seq = GENERATOR, y.inject_at, y.inject_phase, y.inject_seq
    if y.stop_at < np.inf:
        earlier = y.stop_phase < phase or (y.stop_phase == phase and y.stop_seq < seq)
        if y.stop_at < at or (y.stop_at == at and earlier):
            who, at, phase, seq = STOP, y.stop_at, y.stop_phase, y.stop_seq
    for p in range(s.event_us.size):
        if s.event_us[p] < at:
            who, at, phase, seq = p, s.event_us[p], s.event_phase[p], s.event_seq[p]
        elif s.event_us[p] == at and at < np.inf:
            rival, earlier = s.event_phase[p], s.event_seq[p] < seq
            if rival < phase or (rival == phase and earlier):
                who, phase, seq = p, rival, s.event_seq[p]
    return who


@_inline
def _advance(k: Any, s: Any, until: float) -> int:
    o, y = k.options[0], s.system[0]
    if y.waiting and y.head < y.n_ready:
        return WAITING
    if y.seq == 0 and o.compat == 0:
        _set_powers(k, s)  # before anything has happened
    while True:
        if y.waiting:
            y.waiting = 0
            _finish_tick(k, s, y.now)
        who = _next_event(s)
        at, phase = np.inf, LATE
        if who >= 0:
            at, phase = s.event_us[who], s.event_phase[who]
        elif who == GENERATOR:
            at, phase = y.inject_at, y.inject_phase
        elif who == STOP:
            at, phase = y.stop_at, y.stop_phase
        tick_at = min(y.tick_at, y.stamp_at)
        if min(at, tick_at) == np.inf and o.length_us == np.inf:
            _settle(k, s, y.now)  # what is left waits for ever
            return ENDED
        tick_at = min(tick_at, y.sample_at, y.thermal_at)
        is_tick = tick_at < at or (tick_at == at and phase == LATE)
        t = tick_at if is_tick else at
        if t >= o.length_us:
            _settle(k, s, o.length_us if o.length_us < np.inf else y.now)
            return ENDED
        if t >= until:
            y.now = until
            return PAUSED
        y.now = t
        if is_tick:
            _tick(k, s, t)
            if y.waiting and y.head < y.n_ready:
                return WAITING
        elif who == GENERATOR:
            _attempt(k, s, t, phase)
        elif who == STOP:
            _settle(k, s, t)
            return ENDED
        elif s.pes[who].kind == STARTS:
            _start_now(k, s, who, t, phase)
        elif s.pes[who].kind == SLICED:
            _end_slice(k, s, who, t, phase)
        else:
            _complete(k, s, who, t, phase)


# ---- jobs --------------------------------------------------------------------------------------


@_inline
def _attempt(k: Any, s: Any, t: float, phase: int) -> None:
    """Let a job in if there is a free slot, and say when to try again."""
    o, y = k.options[0], s.system[0]
    pause = 0.0
    if y.resting:
        y.resting = 0
    elif y.jobs < o.capacity:
        _inject(k, s, t, phase)
        while y.filling and y.jobs < o.capacity and y.injected < s.graphs.size:
            _inject(k, s, t, phase)
        y.filling = 0
    elif o.compat == DS3GYM:  # looks again after a microsecond and a sleep
        y.resting, pause = 1, 1.0
    else:
        # DS3 looks again every microsecond; `_unblock` knows which look will succeed.
        y.blocked, y.blocked_at, y.inject_seq = 1, t, _sequence(s)
        y.inject_phase = _phase(k, t, phase, t + 1.0)
        y.inject_at = np.inf
        return
    if y.injected >= s.graphs.size:
        y.inject_at = np.inf
        return
    if pause == 0.0:
        pause = s.waits_us[y.attempts % s.waits_us.size]
        y.attempts += 1
    y.inject_at = t + pause
    y.inject_phase, y.inject_seq = _phase(k, t, phase, y.inject_at), _sequence(s)


@_inline
def _unblock(k: Any, s: Any, t: float, phase: int, seq: int) -> None:
    """A job ended with the event number `seq`: wake the generator if it waits for that."""
    o, y = k.options[0], s.system[0]
    active = y.blocked or y.inject_at < np.inf
    if o.asap and active:
        y.inject_at, y.inject_phase, y.inject_seq = t, phase, -1
    elif y.blocked and o.compat == 0:
        y.inject_at, y.inject_phase, y.inject_seq = t, EARLY, _sequence(s)
    elif y.blocked:
        # The looks have the phase of the first one. Those of an instant come after all other early
        # events, which were made longer ago, and before all other late ones, which ticks make just
        # then; only the second look may have been made by the same instant as its rivals.
        first, since = y.inject_phase, y.blocked_at
        is_seen = False
        if t == math.floor(t) and t > since:
            if phase != first:
                is_seen = phase == EARLY
            elif t == since + 1.0:
                is_seen = seq < y.inject_seq
            else:
                is_seen = first == EARLY
        y.inject_at = t if is_seen else math.floor(t) + 1.0
        if y.inject_at > since + 1.0:
            y.inject_seq = _sequence(s) if first == EARLY else -1
    y.blocked = 0


@_inline
def _inject(k: Any, s: Any, t: float, phase: int) -> None:
    y = s.system[0]
    j = 0
    while s.jobs[j].id >= 0:
        j += 1
    job = s.jobs[j]
    job.id, job.graph, job.injected = y.injected, s.graphs[y.injected], t
    first = k.first_task[job.graph]
    job.left = k.first_task[job.graph + 1] - first
    job.listed = 0
    most = s.tasks.size // s.jobs.size
    for b in range(job.left):
        n = j * most + b
        task = s.tasks[n]
        task.pe, task.done, task.pruned, task.after = -1, 0, 0, -1
        task.left = k.first_in[first + b + 1] - k.first_in[first + b]
        if task.left == 0:
            s.queues[READY, y.n_ready] = n
            y.n_ready += 1
    _count_jobs(k, s, t)
    y.jobs += 1
    y.injected += 1
    y.jobs_sum += y.jobs
    _request_tick(k, s, t, phase)


@_inline
def _count_jobs(k: Any, s: Any, t: float) -> None:
    """Integrate the jobs in flight up to now."""
    y = s.system[0]
    since = max(y.area_at, k.options[0].warmup_us)
    if t > since:
        y.area_us += y.jobs * (t - since)
    y.area_at = t


@_inline
def _end_job(k: Any, s: Any, j: int, t: float, phase: int, seq: int) -> None:
    o, y, job = k.options[0], s.system[0], s.jobs[j]
    _count_jobs(k, s, t)
    y.jobs -= 1
    y.completed += 1
    y.last_us = t
    latency = t - job.injected
    s.latency_us[job.id], s.done_us[job.id] = latency, t
    forgotten = False
    if o.compat == DS3:
        _prune(s)
        forgotten = s.tasks[j * (s.tasks.size // s.jobs.size)].pruned == 1
    if t >= o.warmup_us:
        y.counted += 1
        if not forgotten:
            y.latency_us += latency
        if latency > k.deadline_us[job.graph]:
            y.missed += 1
    job.id = -1
    _unblock(k, s, t, phase, seq)


@_compile
def _prune(s: Any) -> None:
    """Forget every second task of the oldest job that DS3's list of completed tasks still has.

    DS3 deletes entries of a list while it walks over it.
    """
    y = s.system[0]
    if y.newest - y.oldest <= PRUNED_AFTER:
        return
    most = s.tasks.size // s.jobs.size
    for j in range(s.jobs.size):
        if s.jobs[j].id == y.oldest:
            for position in range(0, s.listed[y.oldest], 2):
                s.tasks[j * most + s.order[j, position]].pruned = 1
            for position in range(1, s.listed[y.oldest], 2):
                s.order[j, position // 2] = s.order[j, position]
    s.listed[y.oldest] //= 2
    while y.oldest < y.newest and s.listed[y.oldest] == 0:
        y.oldest += 1


# ---- ticks -------------------------------------------------------------------------------------


@_inline
def _tick(k: Any, s: Any, t: float) -> None:
    """Account and govern if it is time, then let the scheduler place what is ready."""
    o, y = k.options[0], s.system[0]
    if t >= y.tick_at:
        y.tick_at = np.inf
    if t >= y.sample_at:
        y.sample_at = t + o.sampling_us
        if o.compat == DS3:
            _account_idle(k, s, t)
        else:
            _govern(k, s, t)
    if t >= y.thermal_at:
        y.thermal_at = t + o.thermal_us
        _warm_up(k, s, t)
    if y.n_inbound:
        _admit(s, t)
    y.waiting, y.head = 1, 0
    if o.policy == EXTERNAL:
        if o.order == BY_RANK:
            _sort_ready(k, s)
    elif y.n_ready:
        _schedule(k, s, t)
        y.head = y.n_ready


@_compile
def _admit(s: Any, t: float) -> None:
    """Move tasks whose inputs have reached the memory to the ready ones."""
    y = s.system[0]
    kept = 0
    for i in range(y.n_inbound):
        n = s.queues[INBOUND, i]
        if s.tasks[n].stamp <= t:
            s.queues[READY, y.n_ready] = n
            y.n_ready += 1
        else:
            s.queues[INBOUND, kept] = n
            kept += 1
    y.n_inbound = kept


@_inline
def _finish_tick(k: Any, s: Any, t: float) -> None:
    y = s.system[0]
    for i in range(y.n_ready):
        _make_executable(k, s, s.queues[READY, i], t)
    y.n_ready = 0
    _dispatch(k, s, t)
    y.ticked = t


@_inline
def _make_executable(k: Any, s: Any, n: int, t: float) -> None:
    """Queue a task behind those of the same and of earlier jobs; DS3Gym queues it at the end."""
    y = s.system[0]
    s.tasks[n].stamp = _arrival(k, s, n, s.tasks[n].pe, t)
    most = s.tasks.size // s.jobs.size
    place = y.n_executable
    if k.options[0].compat != DS3GYM:
        job = s.jobs[n // most].id
        while place > 0 and s.jobs[s.queues[EXECUTABLE, place - 1] // most].id > job:
            s.queues[EXECUTABLE, place] = s.queues[EXECUTABLE, place - 1]
            place -= 1
    s.queues[EXECUTABLE, place] = n
    y.n_executable += 1


@_inline
def _dispatch(k: Any, s: Any, t: float) -> None:
    """Start tasks whose inputs are there and whose PE is free, in the order of the queue."""
    o, y = k.options[0], s.system[0]
    compat = o.compat != 0
    _count_blocked(k, s, t)
    y.stamp_at = np.inf
    kept = 0
    for i in range(y.n_executable):
        n = s.queues[EXECUTABLE, i]
        task = s.tasks[n]
        e = s.pes[task.pe]
        if task.stamp > t:
            y.stamp_at = min(y.stamp_at, math.ceil(task.stamp) if compat else task.stamp)
        elif e.task < 0 and task.after < 0:
            e.task, e.kind = n, STARTS
            delay = 0.0 if compat else _delay(k, s, n, t)
            if compat or delay > 0.0:
                _set_event(s, task.pe, t + delay, _phase(k, t, LATE, t))
            else:
                _start(k, s, task.pe, t, EARLY)
            continue
        elif e.task >= 0:
            if e.blocked == 0 and compat and e.kind != STARTS and t >= o.warmup_us:
                e.blocking_us += 1.0
            e.blocked = 1
        s.queues[EXECUTABLE, kept] = n
        kept += 1
    y.n_executable = kept
    for i in range(y.n_inbound):
        stamp = s.tasks[s.queues[INBOUND, i]].stamp
        y.stamp_at = min(y.stamp_at, math.ceil(stamp) if compat else stamp)


@_inline
def _count_blocked(k: Any, s: Any, t: float) -> None:
    """Count the time since the last tick for PEs that were busy while a task waited for them."""
    o, y = k.options[0], s.system[0]
    # DS3 counts the ticks before this one, in which nothing changed.
    passed = t - y.ticked - 1.0 if o.compat != 0 else t - y.ticked
    passed = min(passed, t - o.warmup_us)
    for p in range(s.pes.size):
        if s.pes[p].blocked and passed > 0.0:
            s.pes[p].blocking_us += passed
        s.pes[p].blocked = 0


@_inline
def _delay(k: Any, s: Any, n: int, t: float) -> float:
    """Occupy a PE with a task, and return how long it prepares before it runs it."""
    o = k.options[0]
    p = s.tasks[n].pe
    delay = 0.0
    if o.switch_us > 0.0:
        g = _global(k, s, n)
        if s.pes[p].last >= 0 and s.pes[p].last != g:
            delay += o.switch_us
        s.pes[p].last = g
    a = s.clusters[k.cluster[p]]
    if o.gating:
        if a.occupied == 0:
            a.awake = t + o.wake_us
        delay = max(delay, a.awake - t)
    a.occupied += 1
    return delay


# ---- tasks -------------------------------------------------------------------------------------


@_inline
def _global(k: Any, s: Any, n: int) -> int:
    """Return the number of a task in flight among the tasks of all graphs."""
    most = s.tasks.size // s.jobs.size
    return int(k.first_task[s.jobs[n // most].graph] + n % most)


@_inline
def _duration(k: Any, s: Any, n: int) -> float:
    """Return how long a task runs on its PE at the highest frequency, in microseconds."""
    o = k.options[0]
    most = s.tasks.size // s.jobs.size
    work = k.work_us[_global(k, s, n), s.tasks[n].pe]
    if o.noise == 0:
        return float(work)
    noise = s.noise[s.jobs[n // most].id, n % most]
    if o.noise == ABSOLUTE:
        return float(noise)
    noise *= o.noise_std
    if o.compat != 0:
        return max(np.rint(work * (1.0 + noise)), 1.0) if work > 0.0 else 0.0
    return max(work * (1.0 + noise), 0.0)


@_inline
def _start(k: Any, s: Any, p: int, t: float, phase: int) -> None:
    o, y, e = k.options[0], s.system[0], s.pes[p]
    n, c = e.task, k.cluster[p]
    task = s.tasks[n]
    if o.compat == 0:
        _charge(k, s, c, t)
    e.busy = 1
    s.clusters[c].busy += 1
    task.start = t
    g = _global(k, s, n)
    if t >= o.warmup_us and k.first_in[g] == k.first_in[g + 1]:
        y.heads += 1
    e.work, e.done, e.since = _duration(k, s, n), 0.0, t
    if o.compat == 0:
        _set_power(k, s, c)
        e.kind = DONE
        _set_event(s, p, t + e.work * s.clusters[c].slowdown, EARLY)
    else:
        _run_slice(k, s, p, t, phase)


@_compile
def _start_now(k: Any, s: Any, p: int, t: float, phase: int) -> None:
    """`_start`, compiled by itself."""
    _start(k, s, p, t, phase)


@_compile
def _run_slice(k: Any, s: Any, p: int, t: float, phase: int) -> None:
    """Run a task until it ends or until the next sampling instant, and charge it for that."""
    o, e = k.options[0], s.pes[p]
    a = s.clusters[k.cluster[p]]
    needed = (e.work - e.done) * a.slowdown
    window = o.sampling_us - t % o.sampling_us
    if needed > window:
        duration, e.kind = window, SLICED
        e.done += window / a.slowdown
    else:
        duration, e.kind = needed, DONE
    if o.compat == DS3:
        c = k.cluster[p]
        a.leakage_w = _leakage(k, s, c)
        dynamic = _dynamic_w(k, s, c)
        a.watt = dynamic * a.busy + a.leakage_w * _cores(k, c)
        joule = (dynamic + a.leakage_w) * duration * 1e-6
        e.task_j += joule
        _spend(k, s, p, joule, t)
    e.since = t
    _set_event(s, p, t + duration, _phase(k, t, phase, t + duration))


@_compile
def _end_slice(k: Any, s: Any, p: int, t: float, phase: int) -> None:
    e = s.pes[p]
    e.in_window += t - e.since
    if k.options[0].compat == DS3:
        _evaluate(k, s, p, t)
    _run_slice(k, s, p, t, phase)


@_inline
def _complete(k: Any, s: Any, p: int, t: float, phase: int) -> None:
    o, y, e = k.options[0], s.system[0], s.pes[p]
    n, c = e.task, k.cluster[p]
    most = s.tasks.size // s.jobs.size
    j, b = n // most, n % most
    job, task = s.jobs[j], s.tasks[n]
    g = k.first_task[job.graph] + b
    identity = job.id
    if o.compat == 0:
        _charge(k, s, c, t)
    e.busy = 0
    s.clusters[c].busy -= 1
    s.clusters[c].occupied -= 1
    task.finish = math.floor(t) if o.compat != 0 else t
    e.in_window += task.finish - max(e.since, 0.0)
    e.active_us += max(task.finish - max(task.start, o.warmup_us), 0.0)
    if o.compat == DS3GYM:
        y.task_energy += k.energy[g, p] * (task.finish - task.start)
    y.energy_j += e.task_j
    e.task_j = 0.0
    y.tasks_done += 1
    if y.n_rows < s.rows.shape[0]:
        row = s.rows[y.n_rows]
        row[0], row[1], row[2] = identity, b, p
        row[3], row[4], row[5], row[6] = task.start, t, task.decided, task.stamp
        y.n_rows += 1
    task.done = 1
    job.left -= 1
    if job.left == 0:
        _end_job(k, s, j, t, phase, s.event_seq[p])
    if o.compat == DS3:
        if job.left:
            s.order[j, s.listed[identity]] = b
        s.listed[identity] += 1
        y.oldest = min(y.oldest, identity)
        y.newest = max(y.newest, identity)
    e.task, s.event_us[p] = -1, np.inf
    if o.policy == HEFT_RT or o.policy == PLAN:
        _release_followers(s, n)
    for i in range(k.first_out[g], k.first_out[g + 1]):
        _feed(k, s, j * most + k.target[i], k.out_edge[i], p, t)
    _request_tick(k, s, t, phase)
    if o.compat == 0:
        _set_power(k, s, c)
    elif o.compat == DS3 and t % o.sampling_us == 0.0:
        _evaluate(k, s, p, t)
    if o.length_us == np.inf and y.completed == s.graphs.size and y.stop_at == np.inf:
        y.stop_at, y.stop_phase, y.stop_seq = t, LATE, _sequence(s)


@_inline
def _feed(k: Any, s: Any, n: int, edge: int, p: int, t: float) -> None:
    """Tell a task that one of its inputs was made on PE `p`; after the last one it is ready."""
    o, y = k.options[0], s.system[0]
    task = s.tasks[n]
    memory = s.pes.size
    if o.shared_memory:
        # `stamp` is when the inputs made so far are in the memory.
        stamp = t + k.comm_us[edge, p, memory]
        if o.contention:
            stamp = _transfer(s, k.cluster[p], -1, k.comm_us[edge, p, memory], t)
        g = _global(k, s, n)
        is_first = task.left == k.first_in[g + 1] - k.first_in[g]
        task.stamp = stamp if is_first else max(task.stamp, stamp)
    task.left -= 1
    if task.left == 0:
        queue = INBOUND if o.shared_memory else READY
        if o.shared_memory:
            s.queues[queue, y.n_inbound] = n
            y.n_inbound += 1
        else:
            s.queues[queue, y.n_ready] = n
            y.n_ready += 1


@_compile
def _release_followers(s: Any, n: int) -> None:
    """Let go what waits for a task to leave its PE."""
    for i in range(s.system[0].n_executable):
        task = s.tasks[s.queues[EXECUTABLE, i]]
        if task.after == n:
            task.after = -1


# ---- communication -----------------------------------------------------------------------------


@_inline
def _source(k: Any, s: Any, n: int, edge: int) -> tuple[int, float]:
    """Return the PE and the time at which an input of a task was made."""
    most = s.tasks.size // s.jobs.size
    maker = s.tasks[n - n % most + k.source[edge]]
    if maker.pruned:
        s.system[0].lost_inputs += 1
        return s.pes.size, -1.0
    return maker.pe, maker.finish


@_inline
def _arrival(k: Any, s: Any, n: int, p: int, t: float) -> float:
    """Return when the inputs of a task will be at its PE; first tasks have none."""
    o = k.options[0]
    g = _global(k, s, n)
    first, last = k.first_in[g], k.first_in[g + 1]
    if first == last:
        return t
    memory = s.pes.size
    arrival = -np.inf
    for edge in range(first, last):
        if o.shared_memory:
            needed = k.comm_us[edge, memory, p]
            at = _transfer(s, -1, k.cluster[p], needed, t) if o.contention else t + needed
        else:
            q, finish = _source(k, s, n, edge)
            needed = k.comm_us[edge, q, p]
            if o.contention and q != p:
                at = _transfer(s, k.cluster[q], k.cluster[p], needed, t)
            else:
                at = finish + needed
        arrival = max(arrival, at)
    return arrival


@_inline
def _transfer(s: Any, a: int, b: int, needed: float, t: float) -> float:
    """Return when a transfer ends that takes the link from `a` to `b` after those before it.

    -1, the last row, is the memory. It serves one transfer at a time, whichever link brings it.
    """
    if needed == 0.0:
        return t
    begin = max(t, s.link_us[a, b])
    if a == -1 or b == -1:
        begin = max(begin, s.link_us[-1, -1])
        s.link_us[-1, -1] = begin + needed
    s.link_us[a, b] = begin + needed
    return begin + needed


@_inline
def _fill_waits(k: Any, s: Any, n: int, t: float) -> None:
    """Estimate how long a task would wait for inputs or PE, for each PE, into `s.costs`.

    Transfers count as undisturbed.
    """
    o = k.options[0]
    g = _global(k, s, n)
    memory = s.pes.size
    for p in range(memory):
        s.costs[p] = max(s.available_us[p] - t, 0.0)
    for edge in range(k.first_in[g], k.first_in[g + 1]):
        if o.shared_memory:
            for p in range(memory):
                s.costs[p] = max(s.costs[p], k.comm_us[edge, memory, p])
        else:
            q, finish = _source(k, s, n, edge)
            ago = finish - t
            for p in range(memory):
                s.costs[p] = max(s.costs[p], ago + k.comm_us[edge, q, p])


@_inline
def _fill_costs(k: Any, s: Any, n: int, t: float) -> None:
    """Estimate when a task would finish on each PE, in microseconds from now, into `s.costs`."""
    _fill_waits(k, s, n, t)
    g = _global(k, s, n)
    for p in range(s.pes.size):
        s.costs[p] += k.work_us[g, p]


# ---- schedulers --------------------------------------------------------------------------------


@_inline
def _place(k: Any, s: Any, slot: int, p: int) -> None:
    """Give a ready task without a PE, `slot` places behind the first, a PE that can run it."""
    y = s.system[0]
    n = s.queues[READY, y.head + slot]
    for i in range(y.head + slot, y.head, -1):
        s.queues[READY, i] = s.queues[READY, i - 1]
    s.queues[READY, y.head] = n
    _fill_costs(k, s, n, y.now)
    s.available_us[p] = y.now + s.costs[p]
    _assign(s, n, p, y.now)
    y.head += 1


@_inline
def _assign(s: Any, n: int, p: int, t: float) -> None:
    task = s.tasks[n]
    task.pe, task.decided = p, t
    s.system[0].decisions += 1


@_inline
def _schedule(k: Any, s: Any, t: float) -> None:
    """Give every ready task a PE."""
    o, y = k.options[0], s.system[0]
    policy = o.policy
    if policy in (ETF, MIN_MIN, MAX_MIN, SUFFERAGE):
        _schedule_greedily(k, s, t)
        return
    if policy == ETF_LB:
        _schedule_etf_lb(k, s, t)
        return
    if policy == HEFT_RT or (policy == STF and o.compat == 0):
        _sort_ready(k, s)
    earliest = _earliest(k, s, t) if policy == HEFT_RT and o.compat == DS3GYM else t
    if policy == MET:
        for p in range(s.pes.size):
            s.pes[p].counter = 0
    for i in range(y.n_ready):
        n = s.queues[READY, i]
        g = _global(k, s, n)
        if policy == MET:
            p = _met(k, s, g)
        elif policy == STF and o.compat != 0:
            p = _fastest(k, s, g)
        elif policy == HEFT_RT:
            p = _insert(k, s, n, t, earliest)
        elif policy == PLAN:
            p = k.plan[g, 0]
            before = n - n % (s.tasks.size // s.jobs.size) + k.plan[g, 1]
            if k.plan[g, 1] >= 0 and s.tasks[before].done == 0:
                s.tasks[n].after = before
        elif policy == RANDOM:
            p = _any_pe(k, s, g)
        elif policy == ROUND_ROBIN:
            p = _next_pe(k, s, g)
        else:
            _fill_costs(k, s, n, t)
            if policy == PEFT_RT:
                for q in range(s.pes.size):
                    s.costs[q] += k.outlook_us[g, q]
            p = _cheapest(k, s, n)
            finish = s.costs[p] - k.outlook_us[g, p] if policy == PEFT_RT else s.costs[p]
            s.available_us[p] = t + finish
        _assign(s, n, p, t)
        if policy == HEFT_RT:  # the next ones plan around it
            _make_executable(k, s, n, t)
    if policy == HEFT_RT:
        y.n_ready = 0


@_inline
def _schedule_greedily(k: Any, s: Any, t: float) -> None:
    """Place one task after another, each time the one that the policy prefers.

    A task's best PE changes only if the PE was given work, so no other estimate is made anew.
    """
    o, y = k.options[0], s.system[0]
    taken = -1
    for i in range(y.n_ready):
        s.queues[UNPLACED, i] = s.queues[READY, i]
        s.best_pe[s.queues[READY, i]] = taken
    for i in range(y.n_ready):
        chosen, preferred = 0, -np.inf
        for other in range(y.n_ready - i):
            n = s.queues[UNPLACED, other]
            if s.best_pe[n] == taken:
                _find_best(k, s, n, t)
            if o.policy == SUFFERAGE:
                preference = _regret(k, s, n, t)
            elif o.policy == MAX_MIN:
                preference = s.best_us[n]
            else:
                preference = -s.best_us[n]
            if preference > preferred:
                chosen, preferred = other, preference
        n = _pick(s, chosen, i)
        taken = s.best_pe[n]
        s.available_us[taken] = t + s.best_us[n]
        _assign(s, n, taken, t)


@_inline
def _pick(s: Any, chosen: int, i: int) -> int:
    """Take an unplaced task out, and swap it to place `i` of the ready ones."""
    n = s.queues[UNPLACED, chosen]
    for other in range(chosen, s.system[0].n_ready - i - 1):
        s.queues[UNPLACED, other] = s.queues[UNPLACED, other + 1]
    place = i
    while s.queues[READY, place] != n:
        place += 1
    s.queues[READY, place] = s.queues[READY, i]
    s.queues[READY, i] = n
    return int(n)


@_inline
def _cheapest(k: Any, s: Any, n: int) -> int:
    """Return the first PE of the least of the costs, or one that can run it if all are infinite."""
    p, least = -1, np.inf
    for q in range(s.pes.size):
        if s.costs[q] < least:
            p, least = q, s.costs[q]
    return p if p >= 0 else _fastest(k, s, _global(k, s, n))


@_inline
def _find_best(k: Any, s: Any, n: int, t: float) -> None:
    _fill_costs(k, s, n, t)
    p = _cheapest(k, s, n)
    s.best_us[n], s.best_pe[n] = s.costs[p], p


@_compile
def _regret(k: Any, s: Any, n: int, t: float) -> float:
    """Return what a task loses if its best PE is taken; without an alternative, infinity."""
    _fill_costs(k, s, n, t)
    best, second = np.inf, np.inf
    for p in range(s.pes.size):
        if s.costs[p] < best:
            best, second = s.costs[p], best
        elif s.costs[p] < second:
            second = s.costs[p]
    return second - best


@_compile
def _schedule_etf_lb(k: Any, s: Any, t: float) -> None:
    """As ETF, at the present frequencies; among equal PEs the one that was chosen least often.

    DS3 counts a PE for each task that is the best one yet in a round; the clean mode counts only
    what is placed.
    """
    o, y = k.options[0], s.system[0]
    for i in range(y.n_ready):
        s.queues[UNPLACED, i] = s.queues[READY, i]
    for i in range(y.n_ready):
        chosen, chosen_pe, least = 0, 0, np.inf
        for other in range(y.n_ready - i):
            n = s.queues[UNPLACED, other]
            g = _global(k, s, n)
            _fill_waits(k, s, n, t)
            p = 0
            for q in range(s.pes.size):
                s.costs[q] += k.work_us[g, q] * s.clusters[k.cluster[q]].slowdown
                if s.costs[q] < s.costs[p] or (
                    s.costs[q] == s.costs[p] and s.pes[q].counter < s.pes[p].counter
                ):
                    p = q
            if s.costs[p] < least:
                chosen, chosen_pe, least = other, p, s.costs[p]
                if o.compat != 0:
                    s.pes[p].counter += 1
        if o.compat == 0:
            s.pes[chosen_pe].counter += 1
        if least == np.inf:  # no input can reach it anywhere
            chosen_pe = _fastest(k, s, _global(k, s, s.queues[UNPLACED, chosen]))
        n = _pick(s, chosen, i)
        s.available_us[chosen_pe] = t + least
        _assign(s, n, chosen_pe, t)


@_compile
def _fastest(k: Any, s: Any, g: int) -> int:
    p = 0
    for q in range(1, s.pes.size):
        if k.work_us[g, q] < k.work_us[g, p]:
            p = q
    return p


@_compile
def _met(k: Any, s: Any, g: int) -> int:
    """Return a PE with the least execution time: an idle one if there is, then the least used.

    DS3 drops as many PEs as are busy, but consecutive ones from the first busy one on.
    """
    compat = k.options[0].compat != 0
    work = k.work_us[g, _fastest(k, s, g)]
    ties, busy, first_busy = 0, 0, -1
    for p in range(s.pes.size):
        if k.work_us[g, p] == work:
            if s.pes[p].busy:
                busy += 1
                if first_busy < 0:
                    first_busy = ties
            ties += 1
    drop = 0 < busy < ties
    chosen, position = -1, 0
    for p in range(s.pes.size):
        if k.work_us[g, p] == work:
            if not drop:
                is_kept = True
            elif compat:
                is_kept = not first_busy <= position < first_busy + busy
            else:
                is_kept = s.pes[p].busy == 0
            if is_kept and (chosen < 0 or s.pes[p].counter < s.pes[chosen].counter):
                chosen = p
            position += 1
    if k.options[0].compat != DS3GYM:
        s.pes[chosen].counter += 1
    return chosen


@_compile
def _sort_ready(k: Any, s: Any) -> None:
    """Order the ready tasks: STF by the least execution time, others by falling upward rank.

    Among tasks of equal rank DS3Gym puts the one that was ready first last.
    """
    o, y = k.options[0], s.system[0]
    if o.compat == DS3GYM and o.policy == HEFT_RT:
        first = s.queues[READY, 0]
        for i in range(1, y.n_ready):
            s.queues[READY, i - 1] = s.queues[READY, i]
        s.queues[READY, y.n_ready - 1] = first
    for i in range(1, y.n_ready):
        n = s.queues[READY, i]
        key = _urgency(k, s, n)
        place = i
        while place > 0 and _urgency(k, s, s.queues[READY, place - 1]) > key:
            s.queues[READY, place] = s.queues[READY, place - 1]
            place -= 1
        s.queues[READY, place] = n


@_inline
def _urgency(k: Any, s: Any, n: int) -> float:
    g = _global(k, s, n)
    if k.options[0].policy in (HEFT_RT, EXTERNAL):
        return float(-k.rank_us[g])
    return float(k.work_us[g, _fastest(k, s, g)])


@_compile
def _insert(k: Any, s: Any, n: int, t: float, earliest: float) -> int:
    """Plan a task on the PE on which it finishes first, if need be between two planned tasks.

    The plan of a PE is a chain: the running task and those that wait for the one before them, each
    after its inputs. DS3Gym leaves communication out of its plans, and there nothing that is ready
    now begins before `earliest`.
    """
    knows_inputs = k.options[0].compat != DS3GYM
    g = _global(k, s, n)
    chosen, chosen_after, chosen_before, least = _fastest(k, s, g), -1, -1, np.inf
    for p in range(s.pes.size):
        work = k.work_us[g, p]
        if work == np.inf:
            continue
        ready = _undisturbed(k, s, n, p, t) if knows_inputs else earliest
        after, free = s.pes[p].task, _free_again(k, s, p, t)
        before = _follower(s, p, after)
        while before >= 0:
            begin = free
            if knows_inputs:
                begin = max(free, s.tasks[before].stamp)
            elif s.tasks[before].decided == t:
                begin = max(free, earliest)
            if max(free, ready) + work <= begin:
                break
            free = begin + k.work_us[_global(k, s, before), p]
            after = before
            before = _follower(s, p, after)
        finish = max(free, ready) + work
        if finish < least:
            chosen, chosen_after, chosen_before, least = p, after, before, finish
    s.tasks[n].after = chosen_after
    if chosen_before >= 0:
        s.tasks[chosen_before].after = n
    return chosen


@_inline
def _free_again(k: Any, s: Any, p: int, t: float) -> float:
    """Return when a PE will have done the task that it runs."""
    n = s.pes[p].task
    if n < 0:
        return t
    begun = s.tasks[n].start if s.pes[p].busy else t
    return float(max(t, begun + k.work_us[_global(k, s, n), p]))


@_compile
def _earliest(k: Any, s: Any, t: float) -> float:
    """Return when DS3Gym's plans let the tasks that are ready now begin.

    A plan has a node before all of them, whose number is the one after theirs. If that is the
    number of a task that runs or waits for its PE, the end of this task is taken for the node's.
    """
    y = s.system[0]
    most = s.tasks.size // s.jobs.size
    job, b = -1, -1
    for i in range(y.n_ready):
        n = s.queues[READY, i]
        identity = s.jobs[n // most].id
        if identity > job or (identity == job and n % most > b):
            job, b = identity, n % most
    for j in range(s.jobs.size):
        graph = s.jobs[j].graph
        if s.jobs[j].id == job and b + 1 < k.first_task[graph + 1] - k.first_task[graph]:
            return _planned_end(k, s, j * most + b + 1, t)
    for j in range(s.jobs.size):
        if s.jobs[j].id == job + 1:
            return _planned_end(k, s, j * most, t)
    return t


@_compile
def _planned_end(k: Any, s: Any, n: int, t: float) -> float:
    """Return the end of a task in DS3Gym's plan of its PE; now if it is in no plan."""
    p = s.tasks[n].pe
    if p < 0:
        return t
    other, end = s.pes[p].task, _free_again(k, s, p, t)
    while other != n:
        other = _follower(s, p, other)
        if other < 0:
            return t
        end += k.work_us[_global(k, s, other), p]
    return float(end)


@_compile
def _follower(s: Any, p: int, n: int) -> int:
    """Return the task that is planned on a PE after task `n` (-1: first), or -1."""
    for i in range(s.system[0].n_executable):
        other = s.queues[EXECUTABLE, i]
        if s.tasks[other].pe == p and s.tasks[other].after == n:
            return int(other)
    return -1


@_compile
def _undisturbed(k: Any, s: Any, n: int, p: int, t: float) -> float:
    """Return when the inputs of a task would be at a PE if no transfer waits for another."""
    g = _global(k, s, n)
    arrival = t
    for edge in range(k.first_in[g], k.first_in[g + 1]):
        if k.options[0].shared_memory:
            arrival = max(arrival, t + k.comm_us[edge, s.pes.size, p])
        else:
            q, finish = _source(k, s, n, edge)
            arrival = max(arrival, finish + k.comm_us[edge, q, p])
    return arrival


@_compile
def _any_pe(k: Any, s: Any, g: int) -> int:
    """Return one of the PEs that can run a task, by a hash of the seed and of the decision."""
    able = 0
    for p in range(s.pes.size):
        if k.work_us[g, p] < np.inf:
            able += 1
    # SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
    x = np.uint64(k.options[0].seed) * np.uint64(0xD1342543DE82EF95)
    x += np.uint64(s.system[0].decisions + 1) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    left = np.int64(x % np.uint64(able))
    for p in range(s.pes.size):
        if k.work_us[g, p] < np.inf:
            if left == 0:
                return p
            left -= 1
    return 0


@_compile
def _next_pe(k: Any, s: Any, g: int) -> int:
    """Return the next PE in turn that can run a task."""
    y = s.system[0]
    p = y.turn
    while k.work_us[g, p] == np.inf:
        p = (p + 1) % s.pes.size
    y.turn = (p + 1) % s.pes.size
    return p


# ---- power, frequency, temperature -------------------------------------------------------------


@_inline
def _cores(k: Any, c: int) -> int:
    return int(k.first_pe[c + 1] - k.first_pe[c])


@_inline
def _hottest(s: Any) -> float:
    """Return the temperature of the hottest spot in degrees Celsius."""
    hottest = s.celsius[0]
    for i in range(1, s.celsius.size):
        hottest = max(hottest, s.celsius[i])
    return float(hottest)


@_compile
def _leakage(k: Any, s: Any, c: int) -> float:
    """Return the leakage of a core of a cluster in W."""
    kelvin = 273.0 + _hottest(s)
    volt = s.clusters[c].volt
    leakage = volt * LEAK_C1 * kelvin * kelvin * math.exp(-LEAK_C2 / kelvin) + LEAK_IG * volt
    return float(leakage * k.leak[c])


@_inline
def _dynamic_w(k: Any, s: Any, c: int) -> float:
    """Return the dynamic power of each busy core of a cluster in W.

    The profile gives the whole power of n busy cores at a frequency; what is left without the
    leakage goes with frequency and the square of the voltage. Without a profile there is none.
    """
    if k.n_profiles[c] == 0:
        return 0.0
    a = s.clusters[c]
    line = 0
    while line < k.n_profiles[c] - 1 and k.profile_mhz[c, line] < a.mhz:
        line += 1
    listed = k.profile_n[c]
    total = k.profile_w[c, line, min(a.busy, listed) - 1]
    dynamic = (total - a.leakage_w * listed) / a.busy
    volt = k.profile_volt[c, line]
    capacitance = dynamic / (k.profile_mhz[c, line] * 1e6 * volt * volt)
    return float(capacitance * a.mhz * 1e6 * a.volt * a.volt)


@_inline
def _spend(k: Any, s: Any, p: int, joule: float, t: float) -> None:
    """Charge energy to a PE; DS3 counts it from the warm-up on."""
    if t >= k.options[0].warmup_us:
        s.pes[p].energy_j += joule


@_compile
def _account_idle(k: Any, s: Any, t: float) -> None:
    """DS3's account at sampling instants: base power for all PEs, leakage for idle ones."""
    o = k.options[0]
    memory = s.pes.size
    for p in range(memory):
        e, c = s.pes[p], k.cluster[p]
        a = s.clusters[c]
        joule = o.base_w * o.sampling_us * 1e-6 / memory
        if e.task < 0:
            _evaluate(k, s, p, t)
            a.leakage_w = _leakage(k, s, c)
            if a.busy == 0:
                a.watt = a.leakage_w * _cores(k, c) + o.base_w
            joule += a.leakage_w * o.sampling_us * 1e-6
        s.system[0].energy_j += joule
        _spend(k, s, p, joule, t)


@_compile
def _evaluate(k: Any, s: Any, p: int, t: float) -> None:
    """DS3's look at a PE at a sampling instant; the first PE of a cluster updates the cluster."""
    o, y, e = k.options[0], s.system[0], s.pes[p]
    if t == 0.0 or e.evaluated == t:
        return
    e.evaluated = t
    e.utilization = e.in_window / o.sampling_us
    e.in_window = 0.0
    c = k.cluster[p]
    if s.clusters[c].charged == t:
        return
    s.clusters[c].charged = t  # DS3: the instant of its last update
    if y.sampled != t:
        y.sampled, y.n_sampled = t, 0
    y.n_sampled += 1
    if k.governor[c] == ONDEMAND:
        load = 0.0
        for q in range(k.first_pe[c], k.first_pe[c + 1]):
            load += s.pes[q].utilization
        _step_ondemand(k, s, c, load, t)
    if t % o.thermal_us == 0.0 and y.n_sampled == s.clusters.size:
        for i in range(s.clusters.size):
            s.clusters[i].window_j = s.clusters[i].watt * o.thermal_us * 1e-6
        _heat(k, s, t)


@_compile
def _step_ondemand(k: Any, s: Any, c: int, load: float, t: float) -> None:
    """Take the highest frequency under high load, step down under low load."""
    o, a = k.options[0], s.clusters[c]
    point = a.point
    if load > o.high_load:
        if s.system[0].trip == 0:
            point = k.n_points[c] - 1
    elif load < o.low_load and point > 0:
        point -= 1
    a.policy_mhz = k.mhz[c, point]
    if point != a.point:
        _set_point(k, s, c, point, t, BY_GOVERNOR)


@_compile
def _set_point(k: Any, s: Any, c: int, point: int, t: float, cause: int) -> None:
    """Change the operating point of a cluster; running tasks keep what they have done."""
    o, y, a = k.options[0], s.system[0], s.clusters[c]
    before = a.slowdown
    a.point = point
    a.mhz, a.volt = k.mhz[c, point], k.volt[c, point]
    a.slowdown = k.mhz[c, k.n_points[c] - 1] / a.mhz
    if o.compat == 0:
        for p in range(k.first_pe[c], k.first_pe[c + 1]):
            e = s.pes[p]
            if e.busy:
                e.done = min(e.done + (t - e.since) / before, e.work)
                e.since = t
                s.event_us[p] = t + (e.work - e.done) * a.slowdown
    if y.n_changes < s.changes.shape[0]:
        change = s.changes[y.n_changes]
        change[0], change[1], change[2], change[3] = t, c, a.mhz, cause
        y.n_changes += 1


@_compile
def _heat(k: Any, s: Any, t: float) -> None:
    """Step the temperatures on by the mean power of each cluster since the last step."""
    o, y = k.options[0], s.system[0]
    old = s.heat_scratch
    for i in range(s.celsius.size):
        old[i] = s.celsius[i] - AMBIENT_CELSIUS
    for i in range(s.celsius.size):
        value = k.heating[i, 0] * MEMORY_W + k.heating[i, 1] * GPU_W
        for m in range(s.celsius.size):
            value += k.cooling[i, m] * old[m]
        for c in range(s.clusters.size):
            value += k.heating[i, c + 2] * (s.clusters[c].window_j / o.thermal_us * 1e6)
        s.celsius[i] = value + AMBIENT_CELSIUS
    for c in range(s.clusters.size):
        s.clusters[c].window_j = 0.0
    y.thermal_n += 1
    y.hottest = max(y.hottest, _hottest(s))
    if o.throttling:
        _throttle(k, s, t)


@_compile
def _held(k: Any, s: Any, c: int) -> int:
    """Return the operating point that the policy asks for, held at or below the trip level's."""
    trip = s.system[0].trip
    mhz = s.clusters[c].policy_mhz
    limit = k.trip_mhz[c, trip - 1] if trip > 0 else -1.0
    if 0.0 <= limit < mhz:
        mhz = limit
    point = 0
    while k.mhz[c, point] < mhz and point < k.n_points[c] - 1:
        point += 1
    return point


@_compile
def _throttle(k: Any, s: Any, t: float) -> None:
    """Move between trip levels, and hold every cluster at or below the frequency of the level."""
    y = s.system[0]
    hottest = _hottest(s)
    levels = k.trip_celsius.size
    before = y.trip
    for i in range(levels):
        if hottest > k.trip_celsius[i] and y.trip <= i:
            y.trip = i + 1
        elif hottest < k.trip_celsius[i] - HYSTERESIS and y.trip == i + 1:
            y.trip = i
    if y.trip == before:
        return
    for c in range(s.clusters.size):
        point = _held(k, s, c)
        if point != s.clusters[c].point:
            if k.options[0].compat == 0:
                _charge(k, s, c, t)
            _set_point(k, s, c, point, t, BY_THROTTLING)
            if k.options[0].compat == 0:
                _set_power(k, s, c)


@_inline
def _charge(k: Any, s: Any, c: int, t: float) -> None:
    """Clean mode: account for a cluster up to now, before its power changes."""
    o, a = k.options[0], s.clusters[c]
    passed = t - a.charged
    if passed > 0.0:
        a.busy_us += a.busy * passed
        a.window_j += a.watt * passed * 1e-6
        counted = t - max(a.charged, o.warmup_us)
        if counted > 0.0:
            a.energy_j += a.watt * counted * 1e-6
        a.charged = t


@_inline
def _set_power(k: Any, s: Any, c: int) -> None:
    """Clean mode: set the power of a cluster from what it runs, its frequency and temperature."""
    o, a = k.options[0], s.clusters[c]
    if o.power == 0:
        return
    if a.busy == 0:
        a.watt = 0.0 if o.gating else a.leakage_w * _cores(k, c)
    else:
        a.watt = _dynamic_w(k, s, c) * a.busy + a.leakage_w * _cores(k, c)


@_compile
def _govern(k: Any, s: Any, t: float) -> None:
    """Clean mode: let the governors of all clusters look at the last sampling period."""
    o = k.options[0]
    for c in range(s.clusters.size):
        if k.governor[c] == ONDEMAND:
            _charge(k, s, c, t)
            a = s.clusters[c]
            _step_ondemand(k, s, c, a.busy_us / o.sampling_us, t)
            a.busy_us = 0.0
            a.leakage_w = _leakage(k, s, c)
            _set_power(k, s, c)


@_compile
def _warm_up(k: Any, s: Any, t: float) -> None:
    """Clean mode: update the temperatures, and the leakage that depends on them."""
    for c in range(s.clusters.size):
        _charge(k, s, c, t)
    _heat(k, s, t)
    _set_powers(k, s)


@_compile
def _set_powers(k: Any, s: Any) -> None:
    """Clean mode: set the leakage at the present temperatures, and the power of all clusters."""
    for c in range(s.clusters.size):
        s.clusters[c].leakage_w = _leakage(k, s, c)
        _set_power(k, s, c)


@_compile
def _settle(k: Any, s: Any, t: float) -> None:
    """Account for everything up to the end of the run."""
    y = s.system[0]
    y.now = t
    _count_jobs(k, s, t)
    _count_blocked(k, s, t)
    if k.options[0].compat == 0:
        for c in range(s.clusters.size):
            _charge(k, s, c, t)


# ---- from outside ------------------------------------------------------------------------------


@_compile
def _energy(k: Any, s: Any) -> float:
    """Return the energy up to now, from the warm-up on, in J."""
    o, y = k.options[0], s.system[0]
    joule = 0.0
    if o.compat != 0:
        for p in range(s.pes.size):
            joule += s.pes[p].energy_j
        return joule
    if o.power:
        joule = o.base_w * max(y.now - o.warmup_us, 0.0) * 1e-6
    for c in range(s.clusters.size):
        a = s.clusters[c]
        joule += a.energy_j
        joule += a.watt * max(y.now - max(a.charged, o.warmup_us), 0.0) * 1e-6
    return joule


@_compile
def _reward(k: Any, s: Any, ended: bool) -> float:
    """Return the reward since the last one, and remember when that was.

    JOBS_IN_SYSTEM: minus jobs in flight times ms, which adds up to minus the latencies; LATENCY:
    minus the latencies of jobs that were completed, in ms; ENERGY: minus energy in mJ; EDP: at the
    end minus energy in mJ times mean latency in ms; DEADLINE: minus jobs that were late; COMPBONUS:
    DS3Gym's 50 for each completed job minus 0.5 for each us.
    """
    o, y = k.options[0], s.system[0]
    _count_jobs(k, s, y.now)
    reward = 0.0
    if o.reward == JOBS_IN_SYSTEM:
        reward = -(y.area_us - y.marked_area_us) * 1e-3
    elif o.reward == LATENCY:
        reward = -(y.latency_us - y.marked_latency_us) * 1e-3
    elif o.reward == ENERGY:
        joule = _energy(k, s)
        reward = -(joule - y.marked_j) * 1e3
        y.marked_j = joule
    elif o.reward == EDP:
        if ended:
            reward = -_energy(k, s) * 1e3 * y.latency_us / max(y.counted, 1) * 1e-3
    elif o.reward == DEADLINE:
        reward = -float(y.missed - y.marked_missed)
    else:
        since = max(y.marked_us, o.warmup_us)
        reward = 50.0 * (y.counted - y.marked_counted) - 0.5 * max(y.now - since, 0.0)
    y.marked_us, y.marked_area_us, y.marked_latency_us = y.now, y.area_us, y.latency_us
    y.marked_counted, y.marked_missed = y.counted, y.missed
    return reward


@_inline
def _squash(x: float, scale: float) -> float:
    """Map a time from 0 to infinity to a number from 0 to 1."""
    return x / (x + scale) if x < np.inf else 1.0


@_compile
def _observe(k: Any, s: Any, features: Any, mask: Any) -> None:
    """Describe the ready tasks, the PEs and the system: see `SoCSchedulerEnv`."""
    o, y = k.options[0], s.system[0]
    most = s.tasks.size // s.jobs.size
    pes = s.pes.size
    at = 0
    for slot in range(mask.size // pes):
        if y.waiting == 0 or y.head + slot >= y.n_ready:
            features[at : at + 5 + 2 * pes] = 0.0
            mask[slot * pes : (slot + 1) * pes] = 0
            at += 5 + 2 * pes
            continue
        n = s.queues[READY, y.head + slot]
        job = s.jobs[n // most]
        g = _global(k, s, n)
        age = y.now - job.injected
        slack = k.deadline_us[job.graph] - age
        features[at] = 1.0
        features[at + 1] = _squash(k.rank_us[g], o.scale_us)
        features[at + 2] = _squash(age, o.scale_us)
        features[at + 3] = 0.5 + 0.5 * (
            _squash(slack, o.scale_us) if slack >= 0.0 else -_squash(-slack, o.scale_us)
        )
        features[at + 4] = job.left / most
        at += 5
        _fill_costs(k, s, n, y.now)
        for p in range(pes):
            features[at + p] = _squash(k.work_us[g, p], o.scale_us)
            features[at + pes + p] = _squash(s.costs[p], o.scale_us)
            mask[slot * pes + p] = k.work_us[g, p] < np.inf
        at += 2 * pes
    for p in range(pes):
        s.costs[p] = 0.0
    for i in range(y.n_executable):
        s.costs[s.tasks[s.queues[EXECUTABLE, i]].pe] += 1.0
    for p in range(pes):
        features[at] = s.pes[p].busy
        features[at + 1] = _squash(max(s.available_us[p] - y.now, 0.0), o.scale_us)
        features[at + 2] = 1.0 / s.clusters[k.cluster[p]].slowdown
        features[at + 3] = s.costs[p] / (s.costs[p] + 1.0)
        at += 4
    features[at] = y.jobs / o.capacity
    features[at + 1] = y.n_ready / (y.n_ready + 4.0)
    features[at + 2] = y.n_executable / (y.n_executable + 4.0)
    features[at + 3] = _squash(max(_hottest(s) - AMBIENT_CELSIUS, 0.0), 40.0)


@njit(**_options)
def bind(k: Any, sims: Any, view: Any) -> Any:
    """Return a problem, its simulations and a view as one argument of the functions below.

    To take some fifty arrays out of their Python objects takes longer than a decision does; this
    does it once. The arrays stay the same: what is written into them is seen by all.

    Args:
        k: The problem, `layout.Soc`.
        sims: `layout.Sim` whose arrays have the number of the simulation as first axis.
        view: `layout.View`, written where it has rows.
    """
    bound = List()
    bound.append((k, sims, view))
    return bound


@njit(**_options)
def advance(bound: Any, actions: Any, until: float, codes: Any) -> None:
    """Play simulations of a problem on.

    Args:
        bound: What `bind` returned.
        actions: int64, for each simulation that waits the decision about a ready task: its place
            behind the first one times P plus the number of a PE that can run it. GO_ON where there
            is no decision, STAY to leave a simulation alone.
        until: Time in us before which to return.
        codes: int64, one for each simulation, written: ENDED, WAITING (for a decision) or PAUSED
            (at `until`).
    """
    k, sims, view = bound[0]
    for i in range(codes.size):
        if actions[i] == STAY:
            continue
        s = _one(sims, i)
        if actions[i] >= 0:
            _place(k, s, actions[i] // s.pes.size, actions[i] % s.pes.size)
        codes[i] = _advance(k, s, until)
        if i < view.reward.size:
            view.reward[i] = _reward(k, s, codes[i] == ENDED)
        if i < view.features.shape[0]:
            _observe(k, s, view.features[i], view.mask[i])


@njit(**_options)
def estimate(bound: Any) -> None:
    """Write into `costs` when the first ready task would finish on each PE, in us from now.

    Args:
        bound: What `bind` returned, of one simulation that waits.
    """
    k, sims, _ = bound[0]
    s = _one(sims, 0)
    y = s.system[0]
    _fill_costs(k, s, s.queues[READY, y.head], y.now)


@njit(**_options)
def set_points(bound: Any, points: Any) -> None:
    """Set the operating points of all clusters.

    Args:
        bound: What `bind` returned, of one simulation in the clean mode.
        points: int64 (C,): numbers of operating points.
    """
    k, sims, _ = bound[0]
    s = _one(sims, 0)
    t = s.system[0].now
    for c in range(points.size):
        _charge(k, s, c, t)
        s.clusters[c].policy_mhz = k.mhz[c, points[c]]
        point = _held(k, s, c)
        if point != s.clusters[c].point:
            _set_point(k, s, c, point, t, BY_GOVERNOR)
        s.clusters[c].leakage_w = _leakage(k, s, c)
        _set_power(k, s, c)


@njit(**_options)  # it makes views, which are counted
def _one(sims: Any, i: int) -> Any:
    """Return one of several simulations."""
    return Sim(
        sims.system[i],
        sims.jobs[i],
        sims.tasks[i],
        sims.queues[i],
        sims.pes[i],
        sims.event_us[i],
        sims.event_phase[i],
        sims.event_seq[i],
        sims.available_us[i],
        sims.clusters[i],
        sims.celsius[i],
        sims.link_us[i],
        sims.listed[i],
        sims.order[i],
        sims.latency_us[i],
        sims.done_us[i],
        sims.heat_scratch[i],
        sims.costs[i],
        sims.best_us[i],
        sims.best_pe[i],
        sims.waits_us[i],
        sims.graphs[i],
        sims.noise[i],
        sims.rows[i],
        sims.changes[i],
    )
