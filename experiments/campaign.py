"""Many runs on all cores: what the experiments have in common.

Each run goes through `runner.run`, so that it is logged like any other and is finished by a second
call where the first one was interrupted. Runs share worker processes, because loading the libraries
takes longer than a short run.

    >>> import tempfile
    >>> out = tempfile.mkdtemp()
    >>> config = RunConfig(env="ArchGym/Toy-v0", agent="random_search", budget=20, out=out)
    >>> [outcome] = run_all([config], jobs=1, progress=False)
    >>> outcome.trials, outcome.error
    (20, '')
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from archgym_py.config import RunConfig
from archgym_py.errors import ArchGymError, ConfigError
from archgym_py.files import write_text
from archgym_py.runner import run

__all__ = ["Outcome", "run_all"]

_WALL_FILE = "_wall_s.json"
"""File beside a log with the seconds of a run that nothing interrupted. Readers of Parquet folders
pass over names that begin with an underscore."""

_THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that keep the libraries of a worker to one thread: other workers need the cores."""

_PATIENCE_S = 5.0
"""Time that a worker has to write down what it sampled, once it was interrupted."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run.

    Attributes:
        config: The run.
        error: Why it failed, "" where it did not; the rest means nothing if it did.
        trials: Number of samples.
        reward: The highest reward of a feasible sample, None where no sample is feasible.
        metrics: The metrics of that sample.
        sample: Its number in the run, from 1 on; the first one where several are as good.
        simulator_version: Version of the simulator.
        package_version: Version of the package that began the run.
        git_commit: Its commit, "" where it was no checkout.
        folder: The folder of its log.
        wall_s: Seconds that the run took, None where it was interrupted.
    """

    config: RunConfig
    error: str = ""
    trials: int = 0
    reward: float | None = None
    metrics: Mapping[str, float] | None = None
    sample: int | None = None
    simulator_version: str = ""
    package_version: str = ""
    git_commit: str = ""
    folder: Path | None = None
    wall_s: float | None = None


def run_all(configs: Sequence[RunConfig], *, jobs: int, progress: bool = True) -> list[Outcome]:
    """Run searches in worker processes, those that take longest first.

    A run that is logged already is not repeated. A run that fails, or that takes its process down,
    has an outcome that says so. When this is interrupted, what was sampled is logged, and the same
    call goes on from there.

    Args:
        configs: The runs, each of them once.
        jobs: Number of processes.
        progress: Whether to show a progress bar on stderr.

    Returns:
        The outcomes, in the order of the runs.

    Raises:
        ConfigError: If two runs are the same.
    """
    if len({(config.run_id, config.out) for config in configs}) < len(configs):
        raise ConfigError("two of the runs are the same and would be logged in the same place.")
    jobs = min(jobs, len(configs))
    outcomes: dict[int, Outcome] = {}
    queue = _Queue(configs)
    with _bar(len(configs), shown=progress) as advance, _workers() as workers:
        while len(outcomes) < len(configs):
            while queue and len(workers) < jobs:
                workers.append(_Worker())
            for worker in workers:
                if worker.number is None and queue:
                    worker.start(*queue.take())
            for worker in _ready(workers):
                number, outcome = worker.finish()
                outcomes[number] = outcome
                queue.learn(configs[number].agent, worker.seconds)
                if not worker.alive:
                    workers.remove(worker)
                failed = sum(bool(outcome.error) for outcome in outcomes.values())
                advance(failed, queue.seconds_left / jobs)
    return [outcomes[number] for number in range(len(configs))]


class _Queue:
    """Runs that nobody has begun, handed out so that no long one is left for the end.

    How long an agent's runs take is learnt from the runs: first one of each agent is handed out,
    then those of the slowest agent so far.
    """

    def __init__(self, configs: Sequence[RunConfig]) -> None:
        self._configs = configs
        self._waiting: dict[str, deque[int]] = {}
        for number, config in enumerate(configs):
            self._waiting.setdefault(config.agent, deque()).append(number)
        self._seconds: dict[str, float] = {}
        self._tried: set[str] = set()

    def __bool__(self) -> bool:
        return any(self._waiting.values())

    def take(self) -> tuple[int, RunConfig]:
        """Return the next run with its number."""
        agent = max(
            (agent for agent, waiting in self._waiting.items() if waiting),
            key=lambda agent: (agent not in self._tried, self._seconds.get(agent, 0.0)),
        )
        self._tried.add(agent)
        number = self._waiting[agent].popleft()
        return number, self._configs[number]

    def learn(self, agent: str, seconds: float) -> None:
        """Take note of how long a run took; later runs count more than earlier ones."""
        # A first run loads libraries and a finished one takes no time: neither must weigh forever.
        before = self._seconds.get(agent, seconds)
        self._seconds[agent] = (before + seconds) / 2

    @property
    def seconds_left(self) -> float:
        """Seconds that the waiting runs will take on one core, as far as is known."""
        return sum(
            len(waiting) * self._seconds.get(agent, 0.0) for agent, waiting in self._waiting.items()
        )


class _Worker:
    """A process that runs one search after the other."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_work, args=(theirs,), daemon=True)
        with _environment(dict.fromkeys(_THREAD_LIMITS, "1")):
            self.process.start()
        theirs.close()  # so that the end of the process is the end of the connection
        self.number: int | None = None
        self.seconds = 0.0
        self.alive = True
        self._config: RunConfig | None = None
        self._began = 0.0

    def start(self, number: int, config: RunConfig) -> None:
        """Begin a run; the worker must be idle."""
        self.number, self._config, self._began = number, config, time.monotonic()
        with suppress(BrokenPipeError):  # `finish` notices that the process has ended
            self.connection.send(config)

    def finish(self) -> tuple[int, Outcome]:
        """Return the number and the outcome of the run that has ended."""
        assert self.number is not None
        assert self._config is not None
        number, self.number = self.number, None
        try:
            outcome: Outcome = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.alive = False
            self.process.join()
            outcome = Outcome(
                self._config, error=f"its process ended with exit code {self.process.exitcode}"
            )
        self.seconds = time.monotonic() - self._began
        return number, outcome

    def end(self) -> None:
        """Tell the process to end; a run that it is in keeps what it has sampled."""
        self.connection.close()
        if self.number is not None:
            # Once only: a second signal would meet the code that saves what was sampled.
            self.process.terminate()

    def join(self) -> None:
        """Wait until the process has ended, and end it where it does not."""
        self.process.join(_PATIENCE_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _ready(workers: Sequence[_Worker]) -> list[_Worker]:
    """Wait for a run to end, and return the workers that have something to say."""
    busy = {worker.connection: worker for worker in workers if worker.number is not None}
    return [
        busy[connection] for connection in wait(list(busy)) if isinstance(connection, Connection)
    ]


@contextmanager
def _workers() -> Iterator[list[_Worker]]:
    """Make a list of workers, all of which are stopped in the end."""
    workers: list[_Worker] = []
    try:
        yield workers
    finally:
        for worker in workers:  # all at once, before any of them is waited for
            worker.end()
        for worker in workers:
            worker.join()


def _work(connection: Connection) -> None:
    """Run what comes through the connection, until it is closed; in a process of its own."""
    # Ctrl-C goes to all processes of a terminal. The parent decides what it means, and says so with
    # SIGTERM, which has to run the code that saves what was sampled.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        while True:
            connection.send(_run_one(connection.recv()))


def _run_one(config: RunConfig) -> Outcome:
    """Run a search, or read what it found if it is finished already."""
    new = 0

    def count(_: object) -> None:
        nonlocal new
        new += 1

    try:
        result = run(config, resume=True, progress=count)
        wall_file = result.run_dir / _WALL_FILE
        if new == result.trials:
            write_text(wall_file, json.dumps({"wall_s": round(result.wall_s, 4)}) + "\n")
        wall_s = json.loads(wall_file.read_text())["wall_s"] if wall_file.exists() else None
    except Exception as error:  # noqa: BLE001  # whatever an agent raises is a row of the result
        name = "" if isinstance(error, ArchGymError) else f"{type(error).__name__}: "
        return Outcome(config, error=f"{name}{error}" or type(error).__name__)
    best, info = result.best, result.log.info
    return Outcome(
        config,
        trials=result.trials,
        reward=None if best is None else best.reward,
        metrics=None if best is None else dict(best.metrics),
        sample=None if best is None else best.index + 1,
        simulator_version=info.simulator_version,
        package_version=info.package_version,
        git_commit=info.git_commit,
        folder=result.run_dir,
        wall_s=wall_s,
    )


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for processes that are started inside."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _bar(total: int, *, shown: bool) -> Iterator[Callable[[int, float], Any]]:
    """Show a progress bar; yield what is called when a run has ended.

    It takes the number of failed runs and the seconds that are left.
    """
    from tqdm import tqdm

    with tqdm(
        total=total,
        unit="run",
        file=sys.stderr,
        disable=not shown,
        mininterval=0.1 if sys.stderr.isatty() else 10.0,
        dynamic_ncols=True,
        # Not tqdm's own estimate: the slow runs come first, so that it would be much too high.
        bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}, {rate_fmt}{postfix}]",
    ) as bar:

        def advance(failed: int, seconds_left: float) -> None:
            left = tqdm.format_interval(seconds_left)
            bar.set_postfix_str(f"{failed} failed, {left} left", refresh=False)
            bar.update()

        yield advance
