"""Many runs on all cores of a machine or of a cluster, by Ray Tune.

Each run goes through `runner.run`, so that it is logged like any other and is finished by a second
call where the first one was interrupted.

    >>> import tempfile
    >>> from archgym_py.config import RunConfig
    >>> out = tempfile.mkdtemp()
    >>> config = RunConfig(env="ArchGym/Toy-v0", agent="random_search", budget=20, out=out)
    >>> [outcome] = run_all([config], jobs=1, progress=False)
    >>> outcome.trials, outcome.error
    (20, '')
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from archgym_py.checks import integer
from archgym_py.config import RunConfig
from archgym_py.cores import CORES_VARIABLE, cores
from archgym_py.errors import ConfigError, PoolError, require
from archgym_py.outcome import Outcome
from archgym_py.progress import progress_bar

if TYPE_CHECKING:
    from archgym_py.ray_workers import News

__all__ = ["run_all"]

_ONE_THREAD = dict.fromkeys(
    (CORES_VARIABLE, "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
"""Variables that keep a worker to one thread: other workers need the cores."""

_QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",  # the older output is silent where it is told to be
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths mean the same to a worker as to us
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
}
"""Variables that keep Ray Tune to its work."""

_POLL_S = 0.5
"""Seconds between two looks at the ledger."""

_RESTARTS = 100
"""How often a worker whose process died is started again. A run that kills takes up to three."""

_CONNECTIONS = 3
"""How often a client tries to connect to a cluster whose server for it dies."""

_PATIENCE_S = 10.0
"""Time that workers have to write down what they sampled, once they were told to stop."""


def run_all(
    configs: Sequence[RunConfig],
    *,
    jobs: int | None,
    address: str | None = None,
    max_failures: int | None = None,
    progress: bool = True,
    on_outcome: Callable[[int, Outcome], object] | None = None,
) -> list[Outcome]:
    """Run searches side by side, those that take longest first.

    A run that is logged already is not repeated. A run that fails, or that takes its process down,
    has an outcome that says so. When this is interrupted, what was sampled is logged, and the same
    call goes on from there.

    Args:
        configs: The runs, each of them once.
        jobs: Number of worker processes; None for a worker on every core of the cluster.
        address: A running Ray cluster, as `ray.init` takes it; None starts Ray on this machine, or
            uses the one that the process has started already. The folders of the runs have to be
            shared by the machines of a cluster.
        max_failures: Failed runs that are tolerated; None for any number. When more have failed, no
            run is begun any more, and those that are under way are given up.
        progress: Whether to show a progress bar on stderr.
        on_outcome: Called with the number of a run and its outcome, as soon as it has ended.

    Returns:
        The outcomes, in the order of the runs.

    Raises:
        ConfigError: If two runs are the same, or Ray is not installed.
        PoolError: If more than `max_failures` runs failed, or if Ray does not work.
    """
    if len({(config.run_id, config.out) for config in configs}) < len(configs):
        raise ConfigError("two of the runs are the same and would be logged in the same place.")
    if max_failures is not None:
        integer("max_failures", max_failures, 0, 10**9)
    if not configs:
        return []
    if jobs is None and address is None:
        jobs = cores()
    outcomes: dict[int, Outcome] = {}
    failures: list[str] = []
    with _ray(jobs, address) as ray, _bar(len(configs), shown=progress) as advance:
        from archgym_py.ray_workers import Ledger

        workers = min(jobs or _cores(ray), len(configs))
        # Workers of other machines have other working folders.
        absolute = [replace(config, out=config.out.absolute()) for config in configs]
        ledger = ray.remote(num_cpus=0)(Ledger).remote(absolute, max_failures)

        def take_in(news: News) -> None:
            for number, outcome in news.ended:
                outcome = replace(outcome, config=configs[number])
                outcomes[number] = outcome
                if outcome.error:
                    failures.append(outcome.error)
                if on_outcome is not None:
                    on_outcome(number, outcome)
                advance(len(failures), news.seconds_left / workers)

        tuning = _Tuning(ledger, workers)
        tuning.start()
        try:
            while not tuning.ended.wait(_POLL_S):
                take_in(ray.get(ledger.news.remote()))
            take_in(ray.get(ledger.news.remote()))
        except ray.exceptions.RayError as error:
            raise PoolError(f"Ray has stopped working: {error}") from error
        except BaseException:  # Ctrl-C, or what `on_outcome` raises where a disk is full
            with suppress(ray.exceptions.RayError):
                ray.get(ledger.stop.remote(), timeout=_PATIENCE_S)
                tuning.ended.wait(_PATIENCE_S)
            raise
    if max_failures is not None and len(failures) > max_failures:
        raise PoolError(
            f"{len(failures)} runs have failed, more than the {max_failures} that --max-failures "
            f"tolerates. The last one: {failures[-1]}"
        )
    if len(outcomes) < len(configs):
        raise PoolError(
            f"{len(configs) - len(outcomes)} runs were not made: a worker was started "
            f"{_RESTARTS + 1} times and died each time. {tuning.error or 'Ray does not say why.'}"
        )
    return [outcomes[number] for number in range(len(configs))]


class _Tuning(threading.Thread):
    """Ray Tune at work, in a thread: the main thread shows progress and listens for Ctrl-C."""

    def __init__(self, ledger: Any, workers: int) -> None:
        super().__init__(name="ray-tune", daemon=True)
        self.error = ""
        # Not `join`, which Ctrl-C makes believe that a running thread has ended.
        self.ended = threading.Event()
        self._ledger = ledger
        self._workers = workers

    def run(self) -> None:
        """Start a trial for each worker, and those whose process died again."""
        try:
            from ray import tune

            from archgym_py.ray_workers import Worker

            with tempfile.TemporaryDirectory(prefix="archgym-tune-") as storage:
                trainable = tune.with_parameters(Worker, ledger=self._ledger)
                tuner = tune.Tuner(
                    tune.with_resources(trainable, {"cpu": 1}),
                    param_space={"worker": tune.grid_search(list(range(self._workers)))},
                    run_config=tune.RunConfig(
                        storage_path=storage,
                        verbose=0,
                        failure_config=tune.FailureConfig(max_failures=_RESTARTS),
                    ),
                )
                errors = [str(error) for error in tuner.fit().errors]
        except Exception as error:  # noqa: BLE001  # of Ray's many kinds; `run_all` reports it
            errors = [f"{type(error).__name__}: {error}"]
        self.error = errors[0].strip().splitlines()[-1] if errors else ""
        self.ended.set()


@contextmanager
def _ray(jobs: int | None, address: str | None) -> Iterator[Any]:
    """Connect to Ray, or start it; what was started here is ended again."""
    with _kept_apart({**_QUIET, **_ONE_THREAD}):
        ray = require("ray", extra="tune")
        require("ray.tune", extra="tune")
        if ray.is_initialized():
            yield ray
            return
        options: dict[str, Any]
        if address is None:
            # Its own, also where another one runs. Workers inherit our environment, which is quick.
            options = {"address": "local", "num_cpus": jobs, "include_dashboard": False}
        else:
            _check_reachable(address)
            options = {"address": address, "runtime_env": {"env_vars": _ONE_THREAD}}
        _connect(ray, options)
        try:
            yield ray
        finally:
            ray.shutdown()


def _connect(ray: Any, options: Mapping[str, Any]) -> None:
    """Call `ray.init`, again for a client whose server died while it was started.

    The head of a cluster forks a server for each client, which dies now and then before it serves
    (https://github.com/ray-project/ray/issues/63202). Nothing was done by then.
    """
    address = options["address"]
    for left in reversed(range(_CONNECTIONS)):
        try:
            ray.init(log_to_driver=False, logging_level="ERROR", **options)
            return
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            died = address.startswith("ray://") and isinstance(error, ConnectionAbortedError)
            if not (died and left):
                where = "on this machine" if address == "local" else f"at {address}"
                raise PoolError(f"Ray cannot be used {where}: {error}") from error


def _check_reachable(address: str) -> None:
    """Raise if nothing listens at an address: Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdecimal()):
        return  # "auto" and the like, which Ray understands
    try:
        socket.create_connection((host, int(port)), timeout=_PATIENCE_S).close()
    except (OSError, OverflowError) as error:
        raise PoolError(
            f"Ray cannot be used at {address}: {error}. Start a cluster with `ray start --head`, "
            "which prints its address, or leave --address out."
        ) from error


def _cores(ray: Any) -> int:
    """Return the number of cores of the cluster."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


@contextmanager
def _kept_apart(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, and keep Ray's ways to itself for as long as something takes.

    Ray sets variables of its own, its threads write to stdout, which is for results, and Tune's log
    shows a traceback for each worker that dies, which our outcomes report in a line.
    """
    before = dict(os.environ)
    log = logging.getLogger("ray.tune")
    level = log.level
    os.environ.update(values)
    log.setLevel(logging.CRITICAL)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        log.setLevel(level)
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _bar(total: int, *, shown: bool) -> Iterator[Callable[[int, float], Any]]:
    """Show a progress bar; yield what is called when a run has ended.

    It takes the number of failed runs and the seconds that are left.
    """
    from tqdm import tqdm

    # Not tqdm's own estimate: the slow runs come first, so that it would be much too high.
    layout = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}, {rate_fmt}{postfix}]"
    with progress_bar(total, "run", disable=not shown, bar_format=layout) as bar:

        def advance(failed: int, seconds_left: float) -> None:
            left = tqdm.format_interval(seconds_left)
            bar.set_postfix_str(f"{failed} failed, {left} left", refresh=False)
            bar.update()

        yield advance
