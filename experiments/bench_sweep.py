"""How fast a sweep is: the same short runs on Ray Tune and in a bare loop.

    $ python -m archgym_py.experiments.bench_sweep

The runs are random searches of 100 samples on a memory controller with 1,000 requests, so short
that a process for each of them would take longer than the run. All ways make the same logs. The
time of the sweep has the start and the end of Ray in it. The loop runs in one process, once with
the simulator's threads on all cores, which is how it simulates a batch, and once on one core.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from archgym_py.command_line import count
from archgym_py.cores import CORES_VARIABLE, cores
from archgym_py.runner import run
from archgym_py.sweep import sweep
from archgym_py.sweep_config import SweepAgent, SweepConfig, SweepEnv

__all__ = ["main"]

_TARGET_RATIO = 1.5


def main(arguments: Sequence[str] | None = None) -> int:
    """Time all ways and print the rates.

    Args:
        arguments: Options; those of the process where left out.

    Returns:
        0.
    """
    parser = argparse.ArgumentParser(
        prog="python -m archgym_py.experiments.bench_sweep",
        description="Time a sweep of short runs beside a loop in one process.",
    )
    parser.add_argument(
        "--runs", metavar="N", type=count, default=2000, help="default: %(default)s"
    )
    parser.add_argument(
        "--samples", metavar="N", type=count, default=100, help="of a run (default: %(default)s)"
    )
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="archgym-bench-") as folder:
        config = SweepConfig(
            envs=(
                SweepEnv(
                    env="ArchGym/DRAMController-v0",
                    workloads=("cloud-saturating-1k",),
                    objectives=("minimize:energy_pj",),
                ),
            ),
            agents=(SweepAgent(agent="random_search"),),
            budget=args.samples,
            seeds=args.runs,
            out=Path(folder, "sweep"),
        )
        # The kernel is compiled, and loaded, before anything is timed.
        run(replace(config.runs()[0].run, out=Path(folder, "warm")))
        seconds = {f"sweep, {cores()} cores": _sweep_s(config)}
        for name, threads in (("loop, all cores", cores()), ("loop, one core", 1)):
            seconds[name] = _loop_s(replace(config, out=Path(folder, name)), threads)
    sweep_s = next(iter(seconds.values()))
    for name, taken in seconds.items():
        sys.stdout.write(
            f"{name:<16} {args.runs / taken:8.1f} runs/s, sweep is {taken / sweep_s:.2f} times as "
            f"fast\n"
        )
    sys.stdout.write(f"target: {_TARGET_RATIO} times as fast as the loop\n")
    return 0


def _sweep_s(config: SweepConfig) -> float:
    start = time.perf_counter()
    sweep(config, progress=False)
    return time.perf_counter() - start


def _loop_s(config: SweepConfig, threads: int) -> float:
    before = dict(os.environ)
    os.environ[CORES_VARIABLE] = str(threads)
    start = time.perf_counter()
    for planned in config.runs():
        run(planned.run)
    seconds = time.perf_counter() - start
    os.environ.clear()
    os.environ.update(before)
    return seconds


if __name__ == "__main__":
    sys.exit(main())
