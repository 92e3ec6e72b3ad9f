"""What the benchmarks have in common: how much they measure, clocks, and what they report."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numba
import numpy as np

__all__ = [
    "FULL",
    "QUICK",
    "Effort",
    "Figure",
    "Section",
    "alternated",
    "calibration_loop",
    "calls_that_take",
    "figure_of",
    "many_million_steps",
    "million_steps",
    "repeat_pairs",
    "seconds_of",
]

_MILLION = 1_000_000


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


def million_steps() -> object:
    """Take a million calibration steps."""
    return many_million_steps(1)


def many_million_steps(millions: int) -> object:
    """Take so many million calibration steps."""
    constants = (np.uint64(1), np.uint64(6364136223846793005), np.uint64(1442695040888963407))
    return calibration_loop(millions * _MILLION, *constants)


def seconds_of(job: Callable[[], object], calls: int = 1) -> float:
    """Return the duration of a call, in seconds, as the mean of several in a row."""
    start = time.perf_counter()
    for _ in range(calls):
        job()
    return (time.perf_counter() - start) / calls


def calls_that_take(job: Callable[[], object], seconds: float) -> int:
    """Warm up, and return how many calls take about so long."""
    job()
    calls = 1
    while (took := calls * seconds_of(job, calls)) < seconds / 8:
        calls *= 2
    return max(1, math.ceil(calls * seconds / took))


def repeat_pairs(
    job: Callable[[], object], baseline: Callable[[], object], effort: Effort
) -> tuple[list[float], list[float]]:
    """Time a job and its baseline in turn; return the seconds of a call of each, by repeat."""
    calls = calls_that_take(job, effort.repeat_s)
    baseline_calls = calls_that_take(baseline, effort.repeat_s / 4)
    job_s, baseline_s = [], []
    for _ in range(effort.repeats):
        before = seconds_of(baseline, baseline_calls)
        job_s.append(seconds_of(job, calls))
        baseline_s.append((before + seconds_of(baseline, baseline_calls)) / 2)
    return job_s, baseline_s


def alternated(jobs: Sequence[Callable[[], object]], number: int) -> tuple[float, float]:
    """Time two jobs, the second one first when the number is odd: the order may favour one."""
    first, second = jobs
    if number % 2:
        second_s = seconds_of(second)
        return seconds_of(first), second_s
    return seconds_of(first), seconds_of(second)


def figure_of(
    name: str,
    values: Sequence[float],
    ratios: Sequence[float],
    *,
    target: float | None = None,
    at_most: bool = False,
    also: float | None = None,
) -> Figure:
    """Sum up the repeats of a measurement; the arguments are those of `Figure`."""
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
