"""What the kernel reads and writes: records and arrays, and the numbers of its choices.

`Soc` is a problem and does not change, `Sim` is a simulation of it. Times are in microseconds,
frequencies in MHz, voltages in V, powers in W, energies in J, temperatures in degrees Celsius.
A queue holds tasks as numbers: slot of the job times tasks of the largest graph plus place in the
graph.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "AMBIENT_CELSIUS",
    "CLUSTER",
    "GOVERNORS",
    "GPU_W",
    "JOB",
    "MEMORY_W",
    "OPTIONS",
    "ORDERS",
    "PE",
    "POLICIES",
    "QUEUES",
    "REWARDS",
    "ROW",
    "SYSTEM",
    "TASK",
    "Sim",
    "Soc",
    "View",
]

_Array: TypeAlias = npt.NDArray[Any]

POLICIES: Final = (
    "external",
    "met",
    "eft",
    "etf",
    "etf_lb",
    "stf",
    "min_min",
    "max_min",
    "sufferage",
    "heft_rt",
    "peft_rt",
    "round_robin",
    "random",
    "plan",
)
"""Schedulers that the kernel has; "external" leaves every decision to the caller."""

ORDERS: Final = ("fifo", "rank")
"""How ready tasks are put to a scheduler outside: as they came, or by falling upward rank."""

REWARDS: Final = ("jobs_in_system", "latency", "energy", "edp", "deadline", "compbonus")
"""What `View.reward` counts; see `kernel._reward`."""

GOVERNORS: Final = ("static", "ondemand")
"""How a cluster chooses its operating point: once and for all, or by its utilisation."""

QUEUES: Final = ("ready", "executable", "inbound", "unplaced")
"""Tasks that wait for a PE to be chosen, for their PE, and for their inputs to reach the memory;
and scratch of the schedulers."""

AMBIENT_CELSIUS: Final = 42.0
"""Temperature above which DS3's model of an Odroid-XU3 counts."""

MEMORY_W: Final = 0.0473
GPU_W: Final = 0.1201
"""What memory and GPU of that board take, which always counts."""

OPTIONS: Final = np.dtype(
    [
        ("compat", "i8"),  # 0: clean, 1: DS3, 2: DS3Gym
        ("policy", "i8"),  # number in POLICIES
        ("order", "i8"),  # number in ORDERS
        ("reward", "i8"),  # number in REWARDS
        ("capacity", "i8"),  # jobs in flight
        ("shared_memory", "i8"),
        ("asap", "i8"),  # a job that ends lets the next one in at once
        ("fill_first", "i8"),  # DS3Gym: jobs enter at time 0 until the capacity is reached
        ("power", "i8"),  # keep account of energy and temperature
        ("noise", "i8"),  # 0: none, 1: `Sim.noise` is relative, 2: it is the time itself
        ("contention", "i8"),  # links carry one transfer at a time
        ("gating", "i8"),  # clusters without a running task are switched off
        ("throttling", "i8"),
        ("seed", "i8"),  # of the policy "random"
        ("length_us", "f8"),  # the run ends just before this time; infinite: with its jobs
        ("warmup_us", "f8"),  # statistics begin
        ("sampling_us", "f8"),  # of the governors
        ("thermal_us", "f8"),  # of the temperatures
        ("switch_us", "f8"),  # a PE that turns to another kind of task
        ("wake_us", "f8"),  # a cluster that was switched off
        ("noise_std", "f8"),
        ("high_load", "f8"),  # utilisation above which "ondemand" takes the highest frequency
        ("low_load", "f8"),  # and below which it steps down
        ("base_w", "f8"),  # memory and GPU
        ("scale_us", "f8"),  # of times in observations
    ]
)

SYSTEM: Final = np.dtype(
    [
        ("now", "f8"),
        ("tick_at", "f8"),  # the scheduler is to look again
        ("stamp_at", "f8"),  # the next inputs arrive
        ("sample_at", "f8"),  # governors, or DS3's accounting
        ("thermal_at", "f8"),
        ("ticked", "f8"),  # time of the last tick
        ("inject_at", "f8"),  # next attempt to inject
        ("stop_at", "f8"),
        ("energy_j", "f8"),  # compat: of completed tasks and idle PEs, warm-up or not
        ("task_energy", "f8"),  # DS3Gym: W * us of completed tasks
        ("latency_us", "f8"),  # sum over completed jobs
        ("last_us", "f8"),  # completion of the last job
        ("hottest", "f8"),
        ("area_us", "f8"),  # integral of jobs in flight over time
        ("area_at", "f8"),
        ("inject_phase", "i8"),
        ("inject_seq", "i8"),
        ("stop_phase", "i8"),
        ("stop_seq", "i8"),
        ("blocked", "i8"),  # the generator waits for a free slot
        ("blocked_at", "f8"),
        ("resting", "i8"),  # DS3Gym: the generator will sleep once more before it looks again
        ("filling", "i8"),
        ("seq", "i8"),
        ("jobs", "i8"),  # in flight
        ("injected", "i8"),
        ("attempts", "i8"),
        ("completed", "i8"),
        ("counted", "i8"),  # of the completed ones, after the warm-up
        ("heads", "i8"),  # first tasks that started after the warm-up
        ("jobs_sum", "i8"),  # sum of jobs in flight just after injections
        ("tasks_done", "i8"),
        ("missed", "i8"),  # deadlines
        ("marked_us", "f8"),  # values of other fields when the last reward was counted
        ("marked_area_us", "f8"),
        ("marked_latency_us", "f8"),
        ("marked_j", "f8"),
        ("marked_counted", "i8"),
        ("marked_missed", "i8"),
        ("decisions", "i8"),
        ("lost_inputs", "i8"),  # DS3's look-ups of pruned predecessors
        ("n_ready", "i8"),
        ("n_executable", "i8"),
        ("n_inbound", "i8"),
        ("head", "i8"),  # first ready task without a PE while a scheduler outside decides
        ("waiting", "i8"),  # for that scheduler
        ("turn", "i8"),  # of "round_robin"
        ("thermal_n", "i8"),
        ("trip", "i8"),  # throttling state
        ("sampled", "f8"),  # DS3: instant of the last cluster update
        ("n_sampled", "i8"),  # clusters updated at that instant
        ("oldest", "i8"),  # DS3's list of completed tasks: first and last job in it
        ("newest", "i8"),
        ("n_rows", "i8"),
        ("n_changes", "i8"),
    ]
)

JOB: Final = np.dtype(
    [
        ("id", "i8"),  # -1: the slot is free
        ("graph", "i8"),
        ("left", "i8"),  # tasks that are not complete
        ("listed", "i8"),  # DS3: its entries in the list of completed tasks
        ("injected", "f8"),
    ]
)

TASK: Final = np.dtype(
    [
        ("pe", "i8"),
        ("left", "i8"),  # predecessors that are not complete
        ("done", "i8"),
        ("pruned", "i8"),  # DS3 has forgotten it
        ("after", "i8"),  # runs after that task of its PE, -1: after any
        ("finish", "f8"),
        ("start", "f8"),
        ("decided", "f8"),
        ("stamp", "f8"),  # inputs are there
    ]
)

PE: Final = np.dtype(
    [
        ("task", "i8"),  # -1: free
        ("kind", "i8"),  # of its next event
        ("busy", "i8"),
        ("last", "i8"),  # task in all graphs that ran last
        ("counter", "i8"),  # of the policies "etf_lb" and "met"
        ("blocked", "i8"),  # busy while a task waits for it
        ("work", "f8"),  # time that its task needs at the highest frequency
        ("done", "f8"),  # and what it has had of that
        ("task_j", "f8"),  # compat: energy of its task so far
        ("since", "f8"),  # start of the slice
        ("active_us", "f8"),
        ("blocking_us", "f8"),
        ("energy_j", "f8"),
        ("in_window", "f8"),  # busy since the last sampling instant
        ("utilization", "f8"),
        ("evaluated", "f8"),
    ]
)

CLUSTER: Final = np.dtype(
    [
        ("busy", "i8"),  # PEs that run a task
        ("occupied", "i8"),  # clean: PEs that have one
        ("awake", "f8"),  # clean: it was switched on
        ("point", "i8"),  # number of the operating point
        ("mhz", "f8"),
        ("policy_mhz", "f8"),  # before throttling
        ("volt", "f8"),
        ("slowdown", "f8"),
        ("leakage_w", "f8"),  # of a core
        ("watt", "f8"),
        ("charged", "f8"),  # clean: energy and busy PEs are integrated up to here
        ("energy_j", "f8"),
        ("busy_us", "f8"),  # clean: integral of busy PEs since the last sample
        ("window_j", "f8"),  # clean: energy since the last update of the temperatures
    ]
)

ROW: Final = ("job", "task", "pe", "start", "finish", "decided", "ready")
"""Columns of `Sim.rows`."""


class Soc(NamedTuple):
    """A platform, the graphs of its jobs and how they run.

    P PEs, C clusters, G graphs with T tasks and E edges in all, at most M tasks in a graph.
    Row P of a matrix over PEs is the memory. Graph `a` has the tasks
    `first_task[a]:first_task[a + 1]`.
    """

    options: _Array  # OPTIONS, shape (1,)
    first_task: _Array  # int64 (G + 1,)
    first_in: _Array  # int64 (T + 1,): edges into a task
    source: _Array  # int64 (E,): place of the predecessor in its graph
    first_out: _Array  # int64 (T + 1,): places of successors, ascending
    target: _Array  # int64 (E,)
    out_edge: _Array  # int64 (E,): edge of that entry
    work_us: _Array  # float64 (T, P), inf: cannot run there
    energy: _Array  # float64 (T, P): DS3Gym's power of a task
    comm_us: _Array  # float64 (E, P + 1, P + 1)
    rank_us: _Array  # float64 (T,): upward rank
    outlook_us: _Array  # float64 (T, P): optimistic cost table
    plan: _Array  # int64 (T, 2): PE, and place of the task before it there (-1: none), of "plan"
    cluster: _Array  # int64 (P,)
    first_pe: _Array  # int64 (C + 1,)
    n_points: _Array  # int64 (C,)
    mhz: _Array  # float64 (C, points)
    volt: _Array  # float64 (C, points)
    n_profiles: _Array  # int64 (C,)
    profile_mhz: _Array  # float64 (C, profiles)
    profile_n: _Array  # int64 (C,): numbers of busy PEs that a profile lists
    profile_w: _Array  # float64 (C, profiles, numbers)
    profile_volt: _Array  # float64 (C, profiles)
    leak: _Array  # float64 (C,): leakage of a core in units of the model's
    governor: _Array  # int64 (C,)
    start_point: _Array  # int64 (C,): operating point at the start
    trip_mhz: _Array  # float64 (C, trips), -1: leave
    trip_celsius: _Array  # float64 (trips,)
    cooling: _Array  # float64 (5, 5)
    heating: _Array  # float64 (5, C + 2): memory, GPU, clusters
    deadline_us: _Array  # float64 (G,): after the injection


class Sim(NamedTuple):
    """A simulation of J jobs.

    S slots for jobs in flight; arrays of no length are not written.
    """

    system: _Array  # SYSTEM, shape (1,)
    jobs: _Array  # JOB, shape (S,)
    tasks: _Array  # TASK, shape (S * M,)
    queues: _Array  # int64 (4, S * M), in the order of QUEUES
    pes: _Array  # PE, shape (P,)
    event_us: _Array  # float64 (P,): time of the next event of each PE
    event_phase: _Array  # int64 (P,)
    event_seq: _Array  # int64 (P,)
    available_us: _Array  # float64 (P,): when the scheduler thinks that each PE is free
    clusters: _Array  # CLUSTER, shape (C,)
    celsius: _Array  # float64 (5,)
    link_us: _Array  # float64 (C + 1, C + 1): free again
    listed: _Array  # int64 (J,): DS3's list of completed tasks, entries of each job
    order: _Array  # int64 (S, M): the same list, tasks of the jobs in flight
    latency_us: _Array  # float64 (J,): of completed jobs, -1 before
    done_us: _Array  # float64 (J,): when they were completed
    heat_scratch: _Array  # float64 (5,): scratch
    costs: _Array  # float64 (P,): scratch of the schedulers
    best_us: _Array  # float64 (S * M,): likewise
    best_pe: _Array  # int64 (S * M,): likewise
    waits_us: _Array  # float64 (waits,): the generator's sleeps, used over again if they run out
    graphs: _Array  # int64 (J,): graph of each job
    noise: _Array  # float64 (J, M)
    rows: _Array  # float64 (rows, 7): ROW
    changes: _Array  # float64 (changes, 4): time, cluster, MHz, whether throttled


class View(NamedTuple):
    """What `kernel.advance` writes for those who decide outside; without rows: nothing.

    K slots for ready tasks, F features.
    """

    features: _Array  # float32 (simulations, F)
    mask: _Array  # int8 (simulations, K * P): which pairs of slot and PE are legal
    reward: _Array  # float64 (simulations,)
