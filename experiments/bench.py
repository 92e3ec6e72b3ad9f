"""How fast the simulators, the environment, the agents, their libraries and the recorder are.

`make bench` runs it, `--quick` is a smoke test whose figures mean nothing. Every figure is the
median of several repeats, with the extreme repeats beside it and as a ratio to a baseline that was
measured in between, in the same run. One baseline is a fixed compiled loop, the *calibration loop*:
requests per million of its steps can be compared between machines, requests per second cannot.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numba
import numpy as np

import archgym_py
from archgym_py.agent import sample_feasible
from archgym_py.cores import cores
from archgym_py.environment import DesignEnv
from archgym_py.envs.dram import DRAMControllerEnv
from archgym_py.errors import ArchGymError
from archgym_py.evaluator import Trial
from archgym_py.experiments.bench_agents import measure_adapters, measure_agents, measure_runs
from archgym_py.experiments.bench_arvr import measure_arvr
from archgym_py.experiments.bench_dnn import measure_accelerators
from archgym_py.experiments.bench_soc import measure_decisions, measure_schedules
from archgym_py.experiments.timing import (
    FULL,
    QUICK,
    Effort,
    Figure,
    Section,
    alternated,
    calls_that_take,
    figure_of,
    many_million_steps,
    million_steps,
    repeat_pairs,
    seconds_of,
)
from archgym_py.files import write_text
from archgym_py.log import RunInfo
from archgym_py.recorder import ParquetRecorder
from archgym_py.simulator import Status
from archgym_py.simulators.dram.address import load_address_map
from archgym_py.simulators.dram.model import DRAMSimulator
from archgym_py.simulators.dram.space import CMD_MUX, POWER_DOWN_POLICY, dram_space
from archgym_py.simulators.dram.technology import load_technology
from archgym_py.simulators.dram.trace import Trace, read_stl
from archgym_py.simulators.dram.workloads import Workload
from archgym_py.space import Design, ParameterSpace

__all__ = [
    "BASE_DESIGN",
    "main",
    "measure_env_step",
    "measure_recorder",
    "measure_simulations",
    "measure_start",
    "measure_threads",
]

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

_START_TIMEOUT_S = 600.0

_FIRST_STEP = """
import sys
import gymnasium

env = gymnasium.make("archgym_py:" + sys.argv[1]).unwrapped
env.reset(seed=0)
info = env.step(env.space.encode(env.space.default()))[-1]
assert info["status"] == "ok", info
"""


# --- Measurements --------------------------------------------------------------------------------


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
        simulation_s, steps_s = repeat_pairs(
            partial(simulator.evaluate, BASE_DESIGN, seed=0), million_steps, effort
        )
        rates = [requests / seconds for seconds in simulation_s]
        figures.append(
            figure_of(
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
            pairs.append(alternated((partial(env.step, action), alone), number))
        beyond_us.append(median(1e6 * (step_s - alone_s) for step_s, alone_s in pairs))
        ratios.append(median(step_s / alone_s for step_s, alone_s in pairs))
    env.close()
    return Section(
        title="one step of the environment, a new design each, cloud 1k",
        unit="us",
        ratio_to="step / simulator",
        figures=(
            figure_of(
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
    loops = 2 * max(1, calls_that_take(million_steps, effort.repeat_s) // 2)
    with ThreadPoolExecutor(2) as pool:
        calibrations: list[Callable[[], object]] = [
            lambda: many_million_steps(loops),
            lambda: list(pool.map(many_million_steps, [loops // 2] * 2)),
        ]
        for job in calibrations + batches:
            job()
        speedups, ceilings = [], []
        for number in range(effort.repeats):
            one_s, two_s = alternated(batches, number)
            speedups.append(one_s / two_s)
            one_s, two_s = alternated(calibrations, number)
            ceilings.append(one_s / two_s)
    for simulator in simulators:
        simulator.close()
    figure = figure_of(
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
            figure_of(name, values, ratios, target=target, at_most=True)
            for name, (values, ratios, target) in measured.items()
        ),
        note="The first process has an empty cache of compiled code and runs once. The import is "
        "what it takes beyond a bare interpreter.",
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
            recorder_s, lines_s = alternated(
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
        figures=(figure_of("append and close", rates, ratios),),
        note="The JSON lines are written to the disk as often, every 1000 rows.",
    )


# --- What is timed -------------------------------------------------------------------------------


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
    steps_s = seconds_of(million_steps, calls_that_take(million_steps, effort.repeat_s))
    machine = {
        "cores": cores(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "numba": numba.__version__,
        "numpy": np.__version__,
        "archgym_py": archgym_py.__version__,
        "load_average": os.getloadavg()[0],
        "calibration_steps_per_s": 1e6 / steps_s,
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
    yield measure_accelerators(effort)
    yield measure_schedules(effort)
    yield measure_decisions(effort)
    yield measure_arvr(effort)
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
