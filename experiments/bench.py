"""How fast the simulator, the environment, the agents, their libraries and the recorder are.

`make bench` runs it, `--quick` is a smoke test whose figures mean nothing. Every figure is the
median of several repeats, with the extreme repeats beside it and as a ratio to a baseline that was
measured in between, in the same run. One baseline is a fixed compiled loop, the *calibration loop*:
requests per million of its steps can be compared between machines, requests per second cannot.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, cast

import numba
import numpy as np

import archgym_py
from archgym_py.agent import Agent, AskTellAgent, sample_feasible
from archgym_py.environment import DesignEnv
from archgym_py.envs.dram import DRAMControllerEnv
from archgym_py.errors import ArchGymError, ConfigError
from archgym_py.evaluator import Trial
from archgym_py.experiments.campaign import cores
from archgym_py.files import write_text
from archgym_py.log import RunInfo
from archgym_py.recorder import ParquetRecorder
from archgym_py.registry import AGENTS
from archgym_py.simulator import Evaluation, Metric, Status
from archgym_py.simulators.dram.address import load_address_map
from archgym_py.simulators.dram.model import DRAMSimulator
from archgym_py.simulators.dram.space import CMD_MUX, POWER_DOWN_POLICY, dram_space
from archgym_py.simulators.dram.technology import load_technology
from archgym_py.simulators.dram.trace import Trace, read_stl
from archgym_py.simulators.dram.workloads import Workload
from archgym_py.space import Choice, Design, Parameter, ParameterSpace, Value

if TYPE_CHECKING:
    import optuna

    from archgym_py.agents.bayesian import Bayesian

__all__ = [
    "BASE_DESIGN",
    "FULL",
    "QUICK",
    "Effort",
    "Figure",
    "Section",
    "calibration_loop",
    "main",
    "measure_adapters",
    "measure_agents",
    "measure_env_step",
    "measure_recorder",
    "measure_runs",
    "measure_simulations",
    "measure_start",
    "measure_threads",
]

_Searches: TypeAlias = Callable[[int, int], tuple[Callable[[], object], Callable[[], object]]]
"""Takes samples and a seed; returns a search by an agent, and one by its library alone."""

_TECHNOLOGY = "DDR3-1600"

BASE_DESIGN: Design = {
    "page_policy": "Open",
    "scheduler": "FrFcfs",
    "scheduler_buffer": "Shared",
    "request_buffer_size": 32,
    "resp_queue": "Fifo",
    "refresh_policy": "AllBank",
    "refresh_max_postponed": 8,
    "refresh_max_pulledin": 8,
    "arbiter": "Fifo",
    "max_active_transactions": 64,
}
"""The design whose simulation is timed: base B of the reference data."""

_TARGET_REQUESTS = 10_000
_TARGETS_PER_S = {"stream": 10e6, "random": 3e6, "cloud": 5e6}
_TARGET_STEP_US = 60.0
_TARGET_SPEEDUP = 1.7
_TARGET_FIRST_S = 60.0
_TARGET_LATER_S = 3.0
_TARGET_IMPORT_S = 0.5

_TARGET_SAMPLES_PER_S = {"random_search": 50_000.0, "genetic": 50_000.0, "ant_colony": 20_000.0}
_TARGET_TPE = 1.10
_TARGET_PPO = 1.15

_BATCH = 64
_OF_BATCH: dict[str, dict[str, Value]] = {
    "ant_colony": {"ants": _BATCH},
    "cma_es": {"population_size": _BATCH},
    "genetic": {"population_size": _BATCH + 8, "elites": 8},  # the elites are not new
    "grid": {"batch_size": _BATCH},
    "local_search": {"batch_size": _BATCH, "starts": _BATCH},
    "nsga2": {"population_size": _BATCH},
    "policy_gradient": {"batch_size": _BATCH},
    "quasi_random": {"batch_size": _BATCH},
    "random_search": {"batch_size": _BATCH},
    "simulated_annealing": {"chains": _BATCH},
}
"""Hyperparameters with which an agent proposes so many new designs at a time. The others cannot."""

_MILLION = 1_000_000
_SOME = 20
_START_TIMEOUT_S = 600.0

_FIRST_STEP = """
import sys
import gymnasium

env = gymnasium.make("archgym_py:" + sys.argv[1]).unwrapped
env.reset(seed=0)
info = env.step(env.space.encode(env.space.default()))[-1]
assert info["status"] == "ok", info
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is measured.

    Attributes:
        repeats: Repeats of each measurement.
        repeat_s: About the shortest duration of a repeat that can have many calls, in seconds.
        sizes: Requests of the simulated workloads.
        designs: Designs whose step is timed.
        batch: Designs of a batch for two threads.
        samples: Samples of an agent that makes so many in a second.
        few_samples: Samples of an agent that does not.
        trials: Samples that the Parzen estimators propose.
        steps: Samples that proximal policy optimisation learns from.
        rows: Rows that the recorder takes.
        start_env: Id of the environment whose start is timed.
    """

    repeats: int
    repeat_s: float
    sizes: tuple[int, ...]
    designs: int
    batch: int
    samples: int
    few_samples: int
    trials: int
    steps: int
    rows: int
    start_env: str


FULL = Effort(
    repeats=7,
    repeat_s=0.5,
    sizes=(1000, 10_000, 100_000),
    designs=500,
    batch=96,
    samples=4000,
    few_samples=256,
    trials=300,
    steps=1024,
    rows=20_000,
    start_env="ArchGym/DRAMController-v0",
)
QUICK = Effort(
    repeats=2,
    repeat_s=0.01,
    sizes=(1000, 10_000, 100_000),
    designs=20,
    batch=8,
    samples=100,
    few_samples=40,
    trials=20,
    steps=32,
    rows=200,
    start_env="ArchGym/Toy-v0",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured quantity; `Section` says what its numbers are.

    Attributes:
        name: What was measured.
        value: Median of the repeats.
        low: The smallest repeat.
        high: The largest repeat.
        ratio: Median of the repeats' ratios to the baseline.
        target: What is wanted of the value; None where nothing is.
        at_most: Whether the target is an upper limit rather than a lower one.
        also: A second quantity, None where there is none.
    """

    name: str
    value: float
    low: float
    high: float
    ratio: float
    target: float | None = None
    at_most: bool = False
    also: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a target."""
        if self.target is None:
            return None
        return self.value <= self.target if self.at_most else self.value >= self.target


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Figures that belong together.

    Attributes:
        title: What they have in common.
        unit: Unit of the values and of their targets.
        ratio_to: What the ratios are.
        also: What the second quantities are, "" where there are none.
        figures: The figures.
        note: How to read them.
    """

    title: str
    unit: str
    ratio_to: str
    also: str = ""
    figures: tuple[Figure, ...]
    note: str


# --- Measurements --------------------------------------------------------------------------------


@numba.njit(nogil=True)
def calibration_loop(
    steps: int, state: np.uint64, multiplier: np.uint64, increment: np.uint64
) -> np.uint64:
    """Step a linear congruential generator modulo 2^64: one multiplication after the other.

    Args:
        steps: Number of steps.
        state: Where it starts.
        multiplier: A factor; an argument, so that the compiler cannot merge steps.
        increment: A summand; as above.

    Returns:
        The state after the last step.

    Examples:
        >>> state, multiplier, increment = np.array([1, 5, 3], np.uint64)
        >>> int(calibration_loop(2, state, multiplier, increment))
        43
    """
    for _ in range(steps):
        state = state * multiplier + increment
    return state


def measure_simulations(effort: Effort, traces: Iterable[Trace] = ()) -> Section:
    """Time single simulations on one core.

    Args:
        effort: How much is measured.
        traces: Traces to time besides the generators' own.

    Returns:
        Requests and simulations per second for each trace.

    Raises:
        ArchGymError: If a simulation fails.
    """
    cases: list[tuple[Trace, float | None]] = []
    for pattern, target in _TARGETS_PER_S.items():
        for requests in effort.sizes:
            trace = Workload(pattern, requests=requests).generate()
            cases.append((trace, target if requests == _TARGET_REQUESTS else None))
    cases += [(trace, None) for trace in traces]
    figures = []
    for trace, wanted in cases:
        requests = len(trace)
        simulator = _simulator(trace)
        evaluation = simulator.evaluate(BASE_DESIGN, seed=0)
        if evaluation.status is not Status.OK:
            raise ArchGymError(f"{trace.name}: there is nothing to time: {evaluation.message}")
        simulation_s, steps_s = _repeat_pairs(
            partial(simulator.evaluate, BASE_DESIGN, seed=0), _million_steps, effort
        )
        rates = [requests / seconds for seconds in simulation_s]
        figures.append(
            _figure(
                trace.name,
                rates,
                [rate * seconds for rate, seconds in zip(rates, steps_s, strict=True)],
                target=wanted,
                also=median(rates) / requests,
            )
        )
    return Section(
        title=f"one simulation at a time on one core: {_TECHNOLOGY}, base B (open page, FR-FCFS), "
        "all metrics",
        unit="requests/s",
        ratio_to="per 1e6 calibration steps",
        also="simulations/s",
        figures=tuple(figures),
        note="For comparison, stated and not measured here: the C++ simulators of the field are "
        "published at 0.25 to 0.7 million requests/s.",
    )


def measure_env_step(effort: Effort) -> Section:
    """Time steps of the environment and, for the same designs, the simulator alone.

    Args:
        effort: How much is measured.

    Returns:
        The time that a step takes beyond the simulator.
    """
    env = DRAMControllerEnv(workload="cloud-saturating-1k", technology=_TECHNOLOGY)
    designs = _distinct_designs(env.space, effort.designs)
    actions = [env.space.encode(design) for design in designs]
    env.step(env.space.encode(env.space.default()))
    beyond_us, ratios = [], []
    for _ in range(effort.repeats):
        env.new_evaluator()  # an empty cache: every design is simulated
        pairs = []
        for number, (design, action) in enumerate(zip(designs, actions, strict=True)):
            alone = partial(env.simulator.evaluate, design, seed=0)
            alone()  # so that each of the two that are timed follows the same simulation
            pairs.append(_alternated((partial(env.step, action), alone), number))
        beyond_us.append(median(1e6 * (step_s - alone_s) for step_s, alone_s in pairs))
        ratios.append(median(step_s / alone_s for step_s, alone_s in pairs))
    env.close()
    return Section(
        title="one step of the environment, a new design each, cloud 1k",
        unit="us",
        ratio_to="step / simulator",
        figures=(
            _figure(
                "beyond the simulator", beyond_us, ratios, target=_TARGET_STEP_US, at_most=True
            ),
        ),
        note="Median over the designs of the step's time less that of the simulator for the same "
        "design.",
    )


def measure_threads(effort: Effort) -> Section:
    """Time batches on one thread and on two.

    Args:
        effort: How much is measured.

    Returns:
        The speed-up; no figures on a machine with one core.
    """
    section = Section(
        title=f"a batch of {effort.batch} different designs on two threads, cloud 10k",
        unit="times one thread",
        ratio_to="/ calibration loop",
        also="calibration loop",
        figures=(),
        note="The calibration loop shows what the machine's two cores allow just now.",
    )
    if cores() < 2:
        return replace(section, note="Not measured: this process may use one core only.")
    trace = Workload("cloud", requests=_TARGET_REQUESTS).generate()
    simulators = [_simulator(trace, threads) for threads in (1, 2)]
    designs = _distinct_designs(_space(), effort.batch)
    seeds = [0] * len(designs)
    batches: list[Callable[[], object]] = [
        partial(one.evaluate_batch, designs, seeds=seeds) for one in simulators
    ]
    loops = 2 * max(1, _calls_that_take(_million_steps, effort.repeat_s) // 2)
    with ThreadPoolExecutor(2) as pool:
        calibrations: list[Callable[[], object]] = [
            lambda: _many_million_steps(loops),
            lambda: list(pool.map(_many_million_steps, [loops // 2] * 2)),
        ]
        for job in calibrations + batches:
            job()
        speedups, ceilings = [], []
        for number in range(effort.repeats):
            one_s, two_s = _alternated(batches, number)
            speedups.append(one_s / two_s)
            one_s, two_s = _alternated(calibrations, number)
            ceilings.append(one_s / two_s)
    for simulator in simulators:
        simulator.close()
    figure = _figure(
        "speed-up",
        speedups,
        [speedup / ceiling for speedup, ceiling in zip(speedups, ceilings, strict=True)],
        target=_TARGET_SPEEDUP,
        also=median(ceilings),
    )
    return replace(section, figures=(figure,))


def measure_start(effort: Effort) -> Section:
    """Time processes that make an environment and take a step, from their start to their end.

    Args:
        effort: How much is measured.

    Returns:
        Duration of the first process after an install, of later ones, and of the import alone.

    Raises:
        subprocess.CalledProcessError: If such a process fails.
    """
    with tempfile.TemporaryDirectory() as cache:
        environ = {**os.environ, "NUMBA_CACHE_DIR": cache}
        step = ["-c", _FIRST_STEP, effort.start_env]
        _process_s(["-c", "pass"], environ)
        bare = _process_s(["-c", "pass"], environ)
        first_s = [_process_s(step, environ)]
        first_ratios = [first_s[0] / bare]
        later_s, later_ratios, import_s, import_ratios = [], [], [], []
        for _ in range(effort.repeats):
            bare = _process_s(["-c", "pass"], environ)
            imported = _process_s(["-c", "import archgym_py"], environ)
            later = _process_s(step, environ)
            later_s.append(later)
            later_ratios.append(later / bare)
            import_s.append(imported - bare)
            import_ratios.append(imported / bare)
    measured = {
        "first process, compiles": (first_s, first_ratios, _TARGET_FIRST_S),
        "later process": (later_s, later_ratios, _TARGET_LATER_S),
        "import archgym_py": (import_s, import_ratios, _TARGET_IMPORT_S),
    }
    return Section(
        title=f"start: a new process makes {effort.start_env} and takes a step",
        unit="s",
        ratio_to="/ bare python",
        figures=tuple(
            _figure(name, values, ratios, target=target, at_most=True)
            for name, (values, ratios, target) in measured.items()
        ),
        note="The first process has an empty cache of compiled code and runs once. The import is "
        "what it takes beyond a bare interpreter.",
    )


def measure_agents(effort: Effort) -> Section:
    """Time the asking and telling of agents on the memory controller's space.

    Args:
        effort: How much is measured.

    Returns:
        Samples per second of each agent's own work.
    """
    names = [name for name in AGENTS.names() if issubclass(AGENTS.load(name), AskTellAgent)]
    figures, note = _agent_figures(names, _ask_and_tell, effort, _TARGET_SAMPLES_PER_S)
    smaller = ", ".join(name for name in names if name not in _OF_BATCH)
    return Section(
        title=f"agents: ask and tell alone, ten parameters, batches of {_BATCH}",
        unit="samples/s",
        ratio_to="per 1e6 calibration steps",
        also="samples",
        figures=figures,
        note=f"The trials that are told are made up between the two. {smaller} cannot propose so "
        f"many at a time.{note}",
    )


def measure_runs(effort: Effort) -> Section:
    """Time whole runs of agents with a simulator that does nothing.

    Args:
        effort: How much is measured.

    Returns:
        Samples per second of each agent with its default hyperparameters.
    """
    figures, note = _agent_figures(AGENTS.names(), _whole_run, effort, {})
    return Section(
        title="agents: whole runs, ten parameters, a simulator that costs nothing",
        unit="samples/s",
        ratio_to="per 1e6 calibration steps",
        also="samples",
        figures=figures,
        note="With the evaluator, which validates, caches, rewards and counts. Default "
        f"hyperparameters.{note}",
    )


def measure_adapters(effort: Effort) -> Section:
    """Time agents and, for the same search, the libraries that they are built on.

    Args:
        effort: How much is measured.

    Returns:
        The time of an agent's run over that of the library alone.
    """
    measured: list[tuple[str, _Searches, int, float | None]] = [
        ("bayesian (tpe) / optuna, same search", _tpe, effort.trials, _TARGET_TPE),
        ("bayesian (tpe) / optuna, plain search", _tpe_plain, effort.trials, None),
        ("ppo / stable-baselines3", _ppo, effort.steps, _TARGET_PPO),
    ]
    figures, missing = [], []
    for title, make, samples, target in measured:
        name = f"{title}, {samples} samples"
        try:
            for job in make(samples, 0):
                job()
            times, busy, rates = [], [], []
            for seed in range(effort.repeats):
                ours, bare = (_Timed(job) for job in make(samples, seed))
                ours_s, bare_s = _alternated((ours, bare), seed)
                times.append(ours_s / bare_s)
                busy.append(ours.busy_s / bare.busy_s)
                rates.append(samples / ours_s)
        except ConfigError as error:
            missing.append(f" {name}: {error}")
            continue
        figures.append(_figure(name, times, busy, target=target, at_most=True, also=median(rates)))
    return Section(
        title="adapters: an agent's whole run over its library alone",
        unit="times the library",
        ratio_to="in processor time",
        also="samples/s",
        figures=tuple(figures),
        note="Both have the same settings and space, a simulator that costs nothing, and one "
        "thread, and take turns. The same search proposes the same designs: conditions and "
        "constraints are told to optuna, known designs are not samples. The plain search takes "
        "what optuna proposes among all combinations of values, known, inactive and forbidden ones "
        "too. PPO learns from ranks and takes the steps that repeat a design besides its samples, "
        "stable-baselines3 alone learns from rewards and counts them." + "".join(missing),
    )


def measure_recorder(effort: Effort) -> Section:
    """Time the recorder and, on the same rows, a plain writer of JSON lines.

    Args:
        effort: How much is measured.

    Returns:
        Rows per second, with all that it takes to have them safe on disk.
    """
    env = DRAMControllerEnv(workload="cloud-saturating-1k", technology=_TECHNOLOGY)
    made = env.evaluator.evaluate_batch(_distinct_designs(env.space, min(effort.rows, 500)))
    trials = [replace(made[index % len(made)], index=index) for index in range(effort.rows)]
    rates, ratios = [], []
    for number in range(-1, effort.repeats):
        with tempfile.TemporaryDirectory() as folder:
            recorder_s, lines_s = _alternated(
                (
                    partial(_record, Path(folder), env, trials),
                    partial(_write_json_lines, Path(folder, "rows.jsonl"), trials),
                ),
                number,
            )
        if number >= 0:  # the one before is the warm-up
            rates.append(effort.rows / recorder_s)
            ratios.append(lines_s / recorder_s)
    env.close()
    return Section(
        title=f"the Parquet recorder: {effort.rows} rows with the memory controller's columns",
        unit="rows/s",
        ratio_to="/ plain JSON lines",
        figures=(_figure("append and close", rates, ratios),),
        note="The JSON lines are written to the disk as often, every 1000 rows.",
    )


# --- What is timed -------------------------------------------------------------------------------


class _FreeSimulator:
    """Answers at once; smaller request buffers are better, so that agents have a direction."""

    name: ClassVar[str] = "free"
    version: ClassVar[str] = "1"
    deterministic: ClassVar[bool] = True
    metrics: ClassVar[tuple[Metric, ...]] = (Metric("cost", "1", 1.0, 128.0),)

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        return Evaluation({"cost": float(design["request_buffer_size"])})

    def close(self) -> None:
        pass


class _Timed:
    """Takes the processor time of a job."""

    def __init__(self, job: Callable[[], object]) -> None:
        self._job = job
        self.busy_s = 0.0

    def __call__(self) -> None:
        start = time.process_time()
        self._job()
        self.busy_s = time.process_time() - start


def _agent_figures(
    names: Iterable[str],
    seconds: Callable[[str, int, int], float],
    effort: Effort,
    targets: Mapping[str, float],
) -> tuple[tuple[Figure, ...], str]:
    """Time agents; return the figures, and what to say about those that have none.

    Args:
        names: The agents.
        seconds: Takes an agent, a number of samples and a seed; returns the seconds that it took.
        effort: How much is measured.
        targets: Samples per second that are wanted, by agent.
    """
    figures, missing = [], []
    for name in names:
        try:
            seconds(name, effort.few_samples, 0)  # loads libraries
            few_s = seconds(name, effort.few_samples, 0)
        except ConfigError as error:
            missing.append(f" {name}: {error}")
            continue
        is_fast = few_s * effort.samples <= effort.few_samples
        samples = effort.samples if is_fast else effort.few_samples
        rates, ratios = [], []
        for seed in range(effort.repeats):
            before = _seconds(_some_million_steps)
            rates.append(samples / seconds(name, samples, seed))
            steps_s = (before + _seconds(_some_million_steps)) / 2 / _SOME
            ratios.append(rates[-1] * steps_s)
        figures.append(_figure(name, rates, ratios, target=targets.get(name), also=float(samples)))
    return tuple(figures), "".join(missing)


def _ask_and_tell(name: str, samples: int, seed: int) -> float:
    """Return the seconds that an agent takes for its own part of a run."""
    agent_class: type[AskTellAgent] = AGENTS.load(name)
    agent = agent_class(_space(), seed=seed, **_OF_BATCH.get(name, {}))
    agent_s, count = 0.0, 0
    while count < samples:
        start = time.perf_counter()
        designs = agent.ask(min(_BATCH, samples - count))
        agent_s += time.perf_counter() - start
        trials = [_made_up(count + index, design) for index, design in enumerate(designs)]
        start = time.perf_counter()
        agent.tell(trials)
        agent_s += time.perf_counter() - start
        count += len(designs)
    return agent_s


def _made_up(index: int, design: Design) -> Trial:
    reward = -float(design["request_buffer_size"])
    return Trial(index, design, "", Status.OK, "", {}, reward, (reward,), False, 0.0, 0)


def _whole_run(name: str, samples: int, seed: int) -> float:
    """Return the seconds of a run with default hyperparameters."""
    agent_class: type[Agent] = AGENTS.load(name)
    env = _free_env(samples)
    agent = agent_class(env.space, seed=seed, **agent_class.example)
    return _seconds(partial(agent.run, env))


def _free_env(budget: int | None = None) -> DesignEnv:
    env = DesignEnv(_space(), _FreeSimulator(), "minimize:cost")
    env.new_evaluator(budget=budget)
    return env


def _tpe(samples: int, seed: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return the same search with Parzen estimators twice: by the agent, and by optuna alone."""
    from archgym_py.agents.bayesian import Bayesian

    env = _free_env(samples)
    agent = Bayesian(env.space, seed=seed, sampler="tpe", batch_size=1)
    alone = _free_env()

    def bare() -> None:
        study = _tpe_study(agent)
        tried: set[str] = set()
        while len(tried) < samples:
            trial = study.ask()
            design: Design = {}
            for p in alone.space.parameters:
                # No condition of this space names a parameter that has conditions itself.
                active = all(design[parent] in values for parent, values in p.conditions)
                design[p.name] = _suggested(trial, p) if active else p.default
            result = alone.evaluator.evaluate(design)
            feasible = result.status is Status.OK
            trial.set_constraint("feasible", -1.0 if feasible else 1.0)
            study.tell(trial, result.reward)
            if feasible:
                tried.add(result.key)

    return partial(agent.run, env), bare


def _tpe_plain(samples: int, seed: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return a search by the agent, and one by optuna that knows values of parameters only."""
    from archgym_py.agents.bayesian import Bayesian

    env = _free_env(samples)
    agent = Bayesian(env.space, seed=seed, sampler="tpe", batch_size=1)
    alone = _free_env()

    def bare() -> None:
        study = _tpe_study(agent)
        for _ in range(samples):
            trial = study.ask()
            design = {p.name: _suggested(trial, p) for p in alone.space.parameters}
            study.tell(trial, alone.evaluator.evaluate(design).reward)

    return partial(agent.run, env), bare


def _tpe_study(agent: Bayesian) -> optuna.Study:
    """Make a study with the sampler of an agent."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction="maximize", sampler=agent._sampler(optuna, agent._seed))


def _suggested(trial: optuna.Trial, parameter: Parameter) -> Value:
    """Return the value that optuna suggests for a parameter of the memory controller."""
    if isinstance(parameter, Choice):
        return cast(Value, trial.suggest_categorical(parameter.name, parameter.values))
    count = cast(int, parameter.cardinality)
    return parameter.value_at(trial.suggest_int(parameter.name, 0, count - 1))


def _ppo(samples: int, seed: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return two searches with proximal policy optimisation: by the agent, and by SB3 alone."""
    from archgym_py.agents.ppo import PPO

    # The last of the samples ends the agent's run before the update that it would be part of.
    env = _free_env(samples + 1)
    agent = PPO(env.space, seed=seed)
    alone = _free_env()

    def bare() -> None:
        import stable_baselines3
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        width = agent.config["width"]
        model = stable_baselines3.PPO(
            "MlpPolicy",
            alone.view(sequential=False, action="multidiscrete"),
            learning_rate=cast(float, agent.config["learning_rate"]),
            policy_kwargs={"net_arch": [width, width]},
            gamma=1.0,
            seed=agent._seed,
            device="cpu",
            **agent._arguments(samples, 1),
        )
        model.learn(samples)
        torch.set_num_threads(threads)

    return partial(agent.run, env), bare


def _space() -> ParameterSpace:
    return dram_space("archgym", load_technology(_TECHNOLOGY))


def _simulator(trace: Trace, threads: int = 1) -> DRAMSimulator:
    """Make the simulator of the default environment with a fixed number of threads."""
    technology = load_technology(_TECHNOLOGY)
    address_map = load_address_map(technology.default_address_map)
    return DRAMSimulator(
        trace=trace,
        technology=technology,
        address_map=address_map,
        fixed={
            "address_map": address_map.name,
            "cmd_mux": CMD_MUX.default,
            "power_down_policy": POWER_DOWN_POLICY.default,
        },
        player_clock_mhz=technology.clock_mhz,
        threads=threads,
    )


def _distinct_designs(space: ParameterSpace, count: int) -> list[Design]:
    """Draw feasible designs that all behave differently."""
    rng = np.random.default_rng(0)
    designs: dict[str, Design] = {}
    while len(designs) < count:
        for design in sample_feasible(space, rng, count - len(designs)).designs:
            designs[space.key(design)] = design
    return list(designs.values())


def _record(folder: Path, env: DesignEnv, trials: Sequence[Trial]) -> None:
    info = RunInfo(
        run_id="bench",
        agent="random_search",
        agent_config="{}",
        env_id="ArchGym/DRAMController-v0",
        env_kwargs="{}",
        workload="cloud-saturating-1k",
        objective=env.objective.name,
        simulator=env.simulator.name,
        simulator_version=env.simulator.version,
        package_version=archgym_py.__version__,
        git_commit="",
        seed=0,
    )
    recorder = ParquetRecorder(folder, info, env.space, env.simulator.metrics)
    for trial in trials:
        recorder.append(trial)
    recorder.close()


def _write_json_lines(path: Path, trials: Sequence[Trial]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for number, trial in enumerate(trials, 1):
            row = {
                "index": trial.index,
                "key": trial.key,
                "status": trial.status.value,
                "message": trial.message,
                "reward": trial.reward,
                "rewards": trial.rewards,
                "cached": trial.cached,
                "wall_s": trial.wall_s,
                "seed": trial.seed,
                "design": dict(trial.design),
                "metrics": dict(trial.metrics),
            }
            file.write(json.dumps(row) + "\n")
            if number % 1000 == 0 or number == len(trials):
                file.flush()
                os.fsync(file.fileno())


def _million_steps() -> object:
    return _many_million_steps(1)


def _some_million_steps() -> object:
    return _many_million_steps(_SOME)


def _many_million_steps(millions: int) -> object:
    constants = (np.uint64(1), np.uint64(6364136223846793005), np.uint64(1442695040888963407))
    return calibration_loop(millions * _MILLION, *constants)


# --- Timing --------------------------------------------------------------------------------------


def _seconds(job: Callable[[], object], calls: int = 1) -> float:
    """Return the duration of a call, in seconds, as the mean of several in a row."""
    start = time.perf_counter()
    for _ in range(calls):
        job()
    return (time.perf_counter() - start) / calls


def _calls_that_take(job: Callable[[], object], seconds: float) -> int:
    """Warm up, and return how many calls take about so long."""
    job()
    calls = 1
    while (took := calls * _seconds(job, calls)) < seconds / 8:
        calls *= 2
    return max(1, math.ceil(calls * seconds / took))


def _repeat_pairs(
    job: Callable[[], object], baseline: Callable[[], object], effort: Effort
) -> tuple[list[float], list[float]]:
    """Time a job and its baseline in turn; return the seconds of a call of each, by repeat."""
    calls = _calls_that_take(job, effort.repeat_s)
    baseline_calls = _calls_that_take(baseline, effort.repeat_s / 4)
    job_s, baseline_s = [], []
    for _ in range(effort.repeats):
        before = _seconds(baseline, baseline_calls)
        job_s.append(_seconds(job, calls))
        baseline_s.append((before + _seconds(baseline, baseline_calls)) / 2)
    return job_s, baseline_s


def _alternated(jobs: Sequence[Callable[[], object]], number: int) -> tuple[float, float]:
    """Time two jobs, the second one first when the number is odd: the order may favour one."""
    first, second = jobs
    if number % 2:
        second_s = _seconds(second)
        return _seconds(first), second_s
    return _seconds(first), _seconds(second)


def _process_s(arguments: Sequence[str], environ: dict[str, str]) -> float:
    """Return the duration of a Python process, in seconds."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments],
        env=environ,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=_START_TIMEOUT_S,
    )
    return time.perf_counter() - start


def _figure(
    name: str,
    values: Sequence[float],
    ratios: Sequence[float],
    *,
    target: float | None = None,
    at_most: bool = False,
    also: float | None = None,
) -> Figure:
    return Figure(
        name=name,
        value=median(values),
        low=min(values),
        high=max(values),
        ratio=median(ratios),
        target=target,
        at_most=at_most,
        also=also,
    )


# --- The command ---------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write a table to stdout.

    Args:
        arguments: What follows the command's name; those of the process where left out.

    Returns:
        The exit code: 0, or 2 where something could not be measured. A missed target is a figure,
        not an error.

    Raises:
        SystemExit: If the arguments cannot be parsed (code 2) or ask for help (code 0).
    """
    parser = argparse.ArgumentParser(
        prog="python -m archgym_py.experiments.bench", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="a smoke test of half a minute")
    parser.add_argument(
        "--trace", action="append", default=[], metavar="FILE", help="time this trace too"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="save the figures")
    args = parser.parse_args(arguments)
    if args.json is not None and not args.json.parent.is_dir():
        parser.error(f"--json: there is no folder {args.json.parent}. Create it first.")
    try:
        traces = [read_stl(path) for path in args.trace]
        report = _report(QUICK if args.quick else FULL, traces)
        if args.json is not None:
            write_text(args.json, json.dumps(report, indent=2, allow_nan=False) + "\n")
    except (ArchGymError, OSError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"bench: error: {error}\n")
        return 2
    return 0


def _report(effort: Effort, traces: Sequence[Trace]) -> dict[str, Any]:
    """Measure everything; write each section as soon as it is complete."""
    steps_s = _seconds(_million_steps, _calls_that_take(_million_steps, effort.repeat_s))
    machine = {
        "cores": cores(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "numba": numba.__version__,
        "numpy": np.__version__,
        "archgym_py": archgym_py.__version__,
        "load_average": os.getloadavg()[0],
        "calibration_steps_per_s": _MILLION / steps_s,
    }
    _write(
        "{cores} cores, {architecture}, Python {python}, numba {numba}, numpy {numpy}, archgym_py "
        "{archgym_py}, load average {load_average:.2f}".format_map(machine)
    )
    _write(f"calibration loop: {_short(1 / steps_s)} million steps/s")
    _write(
        f"Each line: median of {effort.repeats} repeats, the smallest and the largest, the target, "
        "a ratio to a baseline of the same run."
    )
    if effort is QUICK:
        _write("This is a smoke test: everything runs, no figure means anything.")
    sections = []
    for section in _sections(effort, traces):
        sections.append(section)
        _write("\n" + _table(section))
    return {
        "machine": machine,
        "effort": asdict(effort),
        "sections": [_plain(section) for section in sections],
    }


def _sections(effort: Effort, traces: Sequence[Trace]) -> Iterator[Section]:
    yield measure_simulations(effort, traces)
    yield measure_env_step(effort)
    yield measure_threads(effort)
    yield measure_start(effort)
    yield measure_agents(effort)
    yield measure_runs(effort)
    yield measure_adapters(effort)
    yield measure_recorder(effort)


def _plain(section: Section) -> dict[str, Any]:
    figures = [asdict(figure) | {"met": figure.met} for figure in section.figures]
    return asdict(section) | {"figures": figures}


def _table(section: Section) -> str:
    lines = [section.title]
    if section.figures:
        head = ("", section.unit, "repeats", "target", section.ratio_to, section.also)
        rows = [head, *map(_cells, section.figures)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for name, *cells in rows:
            aligned = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
            lines.append("  ".join(["", name.ljust(widths[0]), *aligned]).rstrip())
    return "\n".join([*lines, f"  {section.note}"])


def _cells(figure: Figure) -> tuple[str, str, str, str, str, str]:
    target = ""
    if figure.target is not None:
        sign = "<=" if figure.at_most else ">="
        target = f"{sign} {_short(figure.target)} {'met' if figure.met else 'MISSED'}"
    return (
        figure.name,
        _short(figure.value),
        f"{_short(figure.low)} to {_short(figure.high)}",
        target,
        _short(figure.ratio),
        "" if figure.also is None else _short(figure.also),
    )


def _short(number: float) -> str:
    """Write a number with three digits, or all those before the point."""
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
