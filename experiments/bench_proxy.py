"""How much faster a proxy answers than the simulator that it stands in for, on one core.

    $ python -m archgym_py.experiments.bench_proxy
    $ python -m archgym_py.experiments.bench_proxy --models random_forest,linear --repeats 9

Proxies of the memory controller are fitted on random designs of four workloads of 10,000 requests,
those of the other environments on random designs of their default workload. Then simulator and
proxy evaluate equal batches of new designs in turn, in one process and on one thread. Each repeat
has designs and a simulator of its own, so that no cache knows them. Time is what all threads of the
process spend on a processor: on one thread it is the time that passes on an idle core, and other
programs have little influence on it. Three things are timed:

- the simulator: `evaluate_batch` (or `evaluate` where it has none);
- the proxy in its place: `ProxySimulator.evaluate_batch`, which makes an `Evaluation` of each
  design with all metrics that the proxy predicts;
- the proxy alone: `Proxy.predict`, which returns arrays.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from archgym_py.agent import sample_feasible
from archgym_py.command_line import count
from archgym_py.config import RunConfig
from archgym_py.cores import CORES_VARIABLE
from archgym_py.dataset import SampleDataset
from archgym_py.errors import InfeasibleDesign, require
from archgym_py.experiments.problems import Problem, names_of
from archgym_py.experiments.timing import calls_that_take
from archgym_py.proxy import Proxy, TrainingSet, fit_proxy
from archgym_py.registration import ENVS
from archgym_py.registry import PROXIES
from archgym_py.runner import make_env, run
from archgym_py.simulator import BatchSimulator, Simulator
from archgym_py.simulators.proxy import ProxySimulator
from archgym_py.space import Design
from archgym_py.summary import align
from archgym_py.training import training_set

__all__ = ["PROBLEMS", "Speed", "main", "measure_speed", "one_thread", "speed_table"]

_DRAM_WORKLOADS = (
    "stream-saturating-10k-w0",
    "random-saturating-10k-w0",
    "cloud-saturating-10k-w0-s1",
    "cloud-saturating-10k-w0-s2",
)
_DRAM = "ArchGym/DRAMController-v0"

PROBLEMS: Mapping[str, tuple[Problem, ...]] = {
    "DRAMController": tuple(
        Problem(workload, _DRAM, {"workload": workload}) for workload in _DRAM_WORKLOADS
    ),
    **{
        name: (Problem(name, entry.id, {}),)
        for entry in ENVS
        for name in [entry.id.removeprefix("ArchGym/").removesuffix("-v0")]
        if entry.is_design and not name.endswith("Sequential") and entry.id != _DRAM
    },
}
"""What is timed: problems that one proxy serves, under a name."""

_TARGET_RATIO = 50.0
_SHORT_S = 0.2
"""About how long a proxy is timed in a repeat; one call would be too short to time well."""

_NATIVE_S = 1.5
"""About the longest time of the simulator in a repeat; a slower one has smaller batches."""

_LEAST_DESIGNS = 32
_COLLECT_S = 30.0
"""About the longest time in which samples are taken; a slower simulator has fewer."""

_FEW = 500
"""Fewest samples, however long they take."""


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a proxy and its simulator are; medians over the repeats.

    Attributes:
        model: The model.
        metrics: Number of metrics that the proxy predicts.
        designs: Designs of a batch.
        native: Designs per second of the simulator.
        proxy: Designs per second of the proxy in its place.
        predict: Designs per second of the proxy alone.
        ratio: `proxy` over `native`, repeat by repeat.
        low: The smallest ratio.
        high: The largest one.
        predict_ratio: `predict` over `native`, repeat by repeat.
    """

    model: str
    metrics: int
    designs: int
    native: float
    proxy: float
    predict: float
    ratio: float
    low: float
    high: float
    predict_ratio: float


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep to one thread: what is made here, and the libraries of linear algebra and of models.

    Yields:
        None.

    Raises:
        ConfigError: If threadpoolctl, which comes with scikit-learn, is not installed.
    """
    limits = require("threadpoolctl", extra="proxy").threadpool_limits
    torch: Any = sys.modules.get("torch")  # has threads only if something has imported it
    threads = None if torch is None else torch.get_num_threads()
    before = os.environ.get(CORES_VARIABLE)
    os.environ[CORES_VARIABLE] = "1"
    try:
        if torch is not None:
            torch.set_num_threads(1)
        with limits(limits=1):
            yield
    finally:
        if torch is not None:
            torch.set_num_threads(threads)
        if before is None:
            del os.environ[CORES_VARIABLE]
        else:
            os.environ[CORES_VARIABLE] = before


def measure_speed(
    problems: Sequence[Problem], proxies: Mapping[str, Proxy], *, designs: int, repeats: int
) -> list[Speed]:
    """Time proxies beside the simulator that they stand in for, on one thread.

    Args:
        problems: Problems of one environment; a batch goes to each of them in turn.
        proxies: Proxies that know the problems, by the name of their model.
        designs: Most designs of a batch; a slow simulator has fewer.
        repeats: Number of measurements, each with designs of its own.

    Returns:
        The speed of each proxy, in order.

    Raises:
        ConfigError: If a proxy does not know a problem.
        ProxyFileError: If a proxy is for another simulator.
    """
    rng = np.random.default_rng(0)
    with one_thread():
        number = min(designs, max(_LEAST_DESIGNS, round(_NATIVE_S * _rate(problems[0]))))
        # Compiled and loaded before anything is timed.
        _Repeat(problems, proxies, rng, 2).close()
        calls = {
            model: _calls(problems, {model: proxy}, rng, number) for model, proxy in proxies.items()
        }
        found: dict[str, list[tuple[float, float, float]]] = {model: [] for model in proxies}
        for turn in range(repeats):
            repeat = _Repeat(problems, proxies, rng, number)
            # The proxies go round the simulator, so that none is always far from it in time.
            models = list(proxies)
            models = models[turn % len(models) :] + models[: turn % len(models)]
            half = len(models) // 2
            seconds = {model: repeat.proxy_s(model, calls[model]) for model in models[:half]}
            native_s = _processor_s(repeat.native)
            seconds |= {model: repeat.proxy_s(model, calls[model]) for model in models[half:]}
            for model, (proxy_s, predict_s) in seconds.items():
                found[model].append((native_s, proxy_s, predict_s))
            repeat.close()
    every = number * len(problems)
    return [_speed(model, proxies[model], number, every, rows) for model, rows in found.items()]


def _speed(
    model: str, proxy: Proxy, number: int, every: int, rows: Sequence[tuple[float, float, float]]
) -> Speed:
    ratios = [native_s / proxy_s for native_s, proxy_s, _ in rows]
    return Speed(
        model=model,
        metrics=len(proxy.header.targets),
        designs=number,
        native=median(every / native_s for native_s, _, _ in rows),
        proxy=median(every / proxy_s for _, proxy_s, _ in rows),
        predict=median(every / predict_s for _, _, predict_s in rows),
        ratio=median(ratios),
        low=min(ratios),
        high=max(ratios),
        predict_ratio=median(native_s / predict_s for native_s, _, predict_s in rows),
    )


class _Repeat:
    """Fresh simulators, one for each problem, and designs that they have not seen."""

    def __init__(
        self,
        problems: Sequence[Problem],
        proxies: Mapping[str, Proxy],
        rng: np.random.Generator,
        number: int,
    ) -> None:
        self._envs = [make_env(problem.env, problem.env_kwargs) for problem in problems]
        self._designs = [sample_feasible(env.space, rng, number).designs for env in self._envs]
        # The space is the same for all problems of an environment, as its proxy is.
        self._stand_ins = {
            model: [ProxySimulator(env.simulator, proxy) for env in self._envs]
            for model, proxy in proxies.items()
        }
        # What a simulator makes once, such as the tables of a workload, is not timed.
        for env in self._envs:
            _evaluate(env.simulator, [env.space.default()])
        for model in proxies:
            self.proxy(model)
            self.predict(model)

    def native(self) -> None:
        """Let the simulators evaluate the designs."""
        for env, designs in zip(self._envs, self._designs, strict=True):
            _evaluate(env.simulator, designs)

    def proxy(self, model: str) -> None:
        """Let the proxy evaluate the designs in the place of the simulators."""
        for stand_in, designs in zip(self._stand_ins[model], self._designs, strict=True):
            _evaluate(stand_in, designs)

    def predict(self, model: str) -> None:
        """Let the proxy predict the metrics of the designs."""
        for stand_in, designs in zip(self._stand_ins[model], self._designs, strict=True):
            stand_in.proxy.predict(designs, stand_in.problem)

    def proxy_s(self, model: str, calls: int) -> tuple[float, float]:
        """Return the seconds of `proxy` and of `predict`."""
        in_place = _processor_s(lambda: self.proxy(model), calls)
        return in_place, _processor_s(lambda: self.predict(model), calls)

    def close(self) -> None:
        """Close the simulators."""
        for env in self._envs:
            env.close()


def _calls(
    problems: Sequence[Problem], proxies: Mapping[str, Proxy], rng: np.random.Generator, number: int
) -> int:
    """Return how many calls of a proxy take long enough to be timed."""
    [model] = proxies
    repeat = _Repeat(problems, proxies, rng, number)
    calls = calls_that_take(lambda: repeat.proxy(model), _SHORT_S)
    repeat.close()
    return calls


def _processor_s(job: Callable[[], object], calls: int = 1) -> float:
    """Return the processor time of a call in seconds, as the mean of several in a row."""
    start = time.process_time()
    for _ in range(calls):
        job()
    return (time.process_time() - start) / calls


def _evaluate(simulator: Simulator, designs: Sequence[Design]) -> None:
    if isinstance(simulator, BatchSimulator):
        simulator.evaluate_batch(designs, seeds=[0] * len(designs))
        return
    for design in designs:
        try:
            simulator.evaluate(design, seed=0)
        except InfeasibleDesign:
            continue  # an answer like any other


def _rate(problem: Problem) -> float:
    """Return about how many designs per second the simulator evaluates."""
    env = make_env(problem.env, problem.env_kwargs)
    designs = sample_feasible(env.space, np.random.default_rng(1), _LEAST_DESIGNS).designs
    _evaluate(env.simulator, designs[:2])
    seconds = _processor_s(lambda: _evaluate(env.simulator, designs))
    env.close()
    return _LEAST_DESIGNS / seconds


def speed_table(speeds: Sequence[Speed]) -> list[list[str]]:
    """Return speeds as rows of text with a head.

    Args:
        speeds: What `measure_speed` returns.

    Examples:
        >>> speed_table([Speed("linear", 3, 100, 50.0, 4e3, 1e4, 80.0, 75.0, 85.0, 200.0)])[1]
        ['linear', '3', '50', '4,000', '80 (75–85)', '10,000', '200']
    """
    head = ["model", "metrics", "simulator/s", "in its place/s", "ratio", "alone/s", "ratio"]
    return [
        head,
        *(
            [
                speed.model,
                str(speed.metrics),
                f"{speed.native:,.0f}",
                f"{speed.proxy:,.0f}",
                f"{speed.ratio:,.3g} ({speed.low:,.3g}–{speed.high:,.3g})",
                f"{speed.predict:,.0f}",
                f"{speed.predict_ratio:,.3g}",
            ]
            for speed in speeds
        ),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit proxies, time them beside their simulators and print the rates.

    Args:
        arguments: Options; those of the process where left out.

    Returns:
        0.
    """
    parser = argparse.ArgumentParser(
        prog="python -m archgym_py.experiments.bench_proxy",
        description="Time proxies beside the simulators that they stand in for, on one core.",
    )
    parser.add_argument(
        "--models",
        metavar="A,B",
        type=names_of("model", PROXIES.names()),
        default=("random_forest",),
        help="models that are fitted (default: random_forest)",
    )
    parser.add_argument(
        "--envs",
        metavar="A,B",
        type=names_of("environment", PROBLEMS),
        default=tuple(PROBLEMS),
        help=f"default: {','.join(PROBLEMS)}",
    )
    parser.add_argument(
        "--samples",
        metavar="N",
        type=count,
        default=20_000,
        help="samples that a proxy is fitted on; fewer where the simulator takes longer than half "
        "a minute for them (default: %(default)s)",
    )
    parser.add_argument(
        "--designs",
        metavar="N",
        type=count,
        default=1000,
        help="most designs of a batch; a slow simulator has fewer (default: %(default)s)",
    )
    parser.add_argument(
        "--repeats", metavar="N", type=count, default=5, help="default: %(default)s"
    )
    args = parser.parse_args(arguments)
    for name in args.envs:
        problems = PROBLEMS[name]
        with tempfile.TemporaryDirectory(prefix="archgym-bench-") as folder:
            samples = _samples(problems, args.samples, Path(folder))
        proxies = {model: fit_proxy(samples, model=model) for model in args.models}
        speeds = measure_speed(problems, proxies, designs=args.designs, repeats=args.repeats)
        sys.stdout.write(
            f"{name}: {', '.join(problem.name for problem in problems)}; fitted on "
            f"{len(samples):,} samples, batches of {speeds[0].designs:,} designs\n"
            f"{align(speed_table(speeds))}\n\n"
        )
        sys.stdout.flush()
    sys.stdout.write(f"target: {_TARGET_RATIO:.0f} times the DRAM simulator\n")
    return 0


def _samples(problems: Sequence[Problem], most: int, out: Path) -> TrainingSet:
    """Log random designs, and read them as training samples."""
    for place, problem in enumerate(problems):
        share = most // len(problems)
        slowest = round(_rate(problem) * _COLLECT_S / len(problems))
        run(
            RunConfig(
                env=problem.env,
                env_kwargs=problem.env_kwargs,
                agent="random_search",
                budget=max(1, min(share, max(_FEW, slowest))),
                seed=place,
                out=out,
            )
        )
    return training_set(SampleDataset(out))


if __name__ == "__main__":
    sys.exit(main())
