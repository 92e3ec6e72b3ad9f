"""How fast a sweep is: the same short runs on Ray Tune and in a bare loop.

    $ python -m archgym_py.experiments.bench_sweep

The runs are random searches of 100 samples on a memory controller with 1,000 requests, so short
that a process for each of them would take longer than the run. Both ways make the same logs. The
time of the sweep has the start and the end of Ray in it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from archgym_py.cores import cores
from archgym_py.experiments.problems import count
from archgym_py.runner import run
from archgym_py.sweep import sweep
from archgym_py.sweep_config import SweepAgent, SweepConfig, SweepEnv

__all__ = ["main"]

_TARGET_RATIO = 1.5


def main(arguments: Sequence[str] | None = None) -> int:
    """Time both ways and print the rates.

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
        loop = replace(config, out=Path(folder, "loop"))
        # The kernel is compiled, and loaded, before either is timed.
        run(replace(loop.runs()[0].run, out=Path(folder, "warm")))
        loop_s = _seconds(lambda: [run(planned.run) for planned in loop.runs()])
        sweep_s = _seconds(lambda: sweep(config, progress=False))
    rates = {
        "loop, one process": args.runs / loop_s,
        f"sweep, {cores()} cores": args.runs / sweep_s,
    }
    for name, rate in rates.items():
        sys.stdout.write(f"{name:<20} {rate:8.1f} runs/s\n")
    ratio = loop_s / sweep_s
    sys.stdout.write(f"{'sweep over loop':<20} {ratio:8.2f} (target {_TARGET_RATIO})\n")
    return 0


def _seconds(job: Callable[[], object]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
