"""What runs inside Ray: the ledger that hands out runs, and the workers that take them.

Ray Tune starts a process for each of its trials, which takes longer than a short run. So a trial
is not a run but a worker: it takes one run after the other from the ledger until none is left. A
worker whose process dies is started again by Tune, and the run that it was in has failed.

Importing this module needs Ray (`pip install 'archgym_py[tune]'`); `archgym_py.pool` does it.
"""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray import tune

from archgym_py.config import RunConfig, canonical_json
from archgym_py.environment import DesignEnv
from archgym_py.evaluator import Trial
from archgym_py.outcome import Outcome, run_outcome
from archgym_py.runner import make_env

__all__ = ["Ledger", "News", "Queue", "Worker"]

_SLICE_S = 5.0
"""Seconds after which a worker reports to Tune, once its run has ended."""

_SHARE_S = 0.5
"""Seconds that a worker's share of short runs is to take."""

_ENVS = 16
"""Environments that a worker keeps."""

_HEARTBEAT_S = 1.0
"""Seconds after which a worker asks, between two samples, whether it is to go on."""


@dataclass(frozen=True, slots=True)
class News:
    """What happened since the ledger was last asked.

    Attributes:
        ended: Numbers of runs that ended, with their outcomes.
        seconds_left: Seconds that the waiting runs will take on one core, as far as is known.
    """

    ended: tuple[tuple[int, Outcome], ...]
    seconds_left: float


class Queue:
    """Runs that nobody has begun, handed out so that no long one is left for the end.

    How long an agent's runs take on an environment is learnt from the runs: first one of each kind
    is handed out, then those of the slowest kind so far.

    Args:
        configs: The runs.
    """

    def __init__(self, configs: Sequence[RunConfig]) -> None:
        self._configs = configs
        self._waiting: dict[tuple[str, str], deque[int]] = {}
        for number, config in enumerate(configs):
            self._waiting.setdefault((config.agent, config.env), deque()).append(number)
        self._seconds: dict[tuple[str, str], float] = {}
        self._tried: set[tuple[str, str]] = set()

    def __len__(self) -> int:
        """Return how many runs are left."""
        return sum(map(len, self._waiting.values()))

    def take(self, most: int) -> list[int]:
        """Return the numbers of the next runs: one, or more of those that are short.

        Args:
            most: How many there may be.
        """
        kind = max(
            (kind for kind, waiting in self._waiting.items() if waiting),
            key=lambda kind: (kind not in self._tried, self._seconds.get(kind, 0.0)),
        )
        self._tried.add(kind)
        waiting = self._waiting[kind]
        fitting = int(_SHARE_S / max(self._seconds.get(kind, _SHARE_S), 1e-3))
        return [waiting.popleft() for _ in range(max(1, min(most, fitting, len(waiting))))]

    def put_back(self, number: int) -> None:
        """Take a run back that was not finished."""
        config = self._configs[number]
        self._waiting[config.agent, config.env].appendleft(number)

    def learn(self, number: int, seconds: float) -> None:
        """Take note of how long a run took; later runs count more than earlier ones."""
        # A first run loads libraries and a finished one takes no time: neither must weigh forever.
        kind = (self._configs[number].agent, self._configs[number].env)
        before = self._seconds.get(kind, seconds)
        self._seconds[kind] = (before + seconds) / 2

    @property
    def seconds_left(self) -> float:
        """Seconds that the waiting runs will take on one core, as far as is known."""
        return sum(
            len(waiting) * self._seconds.get(kind, 0.0) for kind, waiting in self._waiting.items()
        )


class Ledger:
    """Knows which runs wait, which worker has which, and how they ended; an actor of Ray.

    Workers take shares of the runs: one run, or so many short ones that talking about them takes no
    time. Each worker has two shares, so that it need not wait for the next.

    Args:
        configs: The runs.
        max_failures: Failed runs after which no more are handed out; None for no limit.
    """

    def __init__(self, configs: Sequence[RunConfig], max_failures: int | None) -> None:
        self._configs = configs
        self._queue = Queue(configs)
        self._shares: dict[str, deque[list[int]]] = {}
        self._suspects: set[int] = set()
        self._ended: list[tuple[int, Outcome]] = []
        self._failures_left = len(configs) if max_failures is None else max_failures
        self._stopped = False

    def join(self, worker: str) -> None:
        """Take note that a worker has begun; if it had runs before, its process died in one.

        Nobody knows in which of its share, or whether that run was the cause. All are handed out
        again, one by one: those that were finished are read from their logs, and the one that a
        process dies in again has failed.
        """
        shares = self._shares.get(worker)
        if shares:
            first = shares.popleft()
            if len(first) == 1 and first[0] in self._suspects:
                config = self._configs[first[0]]
                self._end(first, [(Outcome(config, error="its process died"), 0.0)])
            else:
                self._suspects.update(first)
                shares.append(first)
            for number in (number for share in shares for number in share):
                self._queue.put_back(number)
        self._shares[worker] = deque()

    def exchange(
        self, worker: str, outcomes: Sequence[tuple[Outcome, float]] | None
    ) -> list[RunConfig]:
        """Take the outcomes of a worker's share, and return another one for it.

        Args:
            worker: The worker.
            outcomes: What became of the first of the shares that it has, and the seconds that each
                run took; None if none has ended.

        Returns:
            The runs, none where there are no more.
        """
        if outcomes is not None:
            self._end(self._shares[worker].popleft(), outcomes)
        if self._stopped or not self._queue:
            return []
        # So few that all workers end at the same time.
        share = self._queue.take(most=max(1, len(self._queue) // (4 * len(self._shares))))
        for number in share[1:] if self._suspects.intersection(share) else ():
            self._queue.put_back(number)
            share.remove(number)
        self._shares[worker].append(share)
        return [self._configs[number] for number in share]

    def leave(self, worker: str, outcomes: Sequence[tuple[Outcome, float]]) -> None:
        """Take the outcomes of a worker that has given up the rest of its runs."""
        if self._shares[worker]:
            self._end(self._shares[worker][0][: len(outcomes)], outcomes)
            self._shares[worker].clear()

    def stop(self) -> None:
        """Hand out no more runs, and have workers give up theirs at the next sample."""
        self._stopped = True

    def is_stopped(self) -> bool:
        """Return whether workers are to give up their runs."""
        return self._stopped

    def news(self) -> News:
        """Return what happened since the last call."""
        ended, self._ended = self._ended, []
        return News(tuple(ended), self._queue.seconds_left)

    def _end(self, share: Sequence[int], outcomes: Sequence[tuple[Outcome, float]]) -> None:
        for number, (outcome, seconds) in zip(share, outcomes, strict=True):
            self._queue.learn(number, seconds)
            self._ended.append((number, outcome))
            self._failures_left -= bool(outcome.error)
        self._stopped = self._stopped or self._failures_left < 0


class Worker(tune.Trainable):
    """A trial of Tune that runs searches until none is left."""

    def setup(self, config: dict[str, Any], ledger: Any = None) -> None:
        """Begin, for the first time or after the process has died."""
        self._ledger = ledger
        self._runs = 0
        self._envs: dict[tuple[str, str], DesignEnv] = {}
        ray.get(ledger.join.remote(self.trial_id))
        gc.freeze()  # the libraries stay: looking for garbage among them takes time in every run
        # Two, so that the next run is there when one ends.
        self._asked = deque(ledger.exchange.remote(self.trial_id, None) for _ in range(2))

    def step(self) -> dict[str, Any]:
        """Run searches for some seconds."""
        until = time.monotonic() + _SLICE_S
        while self._asked and time.monotonic() < until:
            share = ray.get(self._asked.popleft())
            outcomes: list[tuple[Outcome, float]] = []
            for config in share:
                began = time.monotonic()
                outcome = self._run(config)
                if outcome is None:
                    ray.get(self._ledger.leave.remote(self.trial_id, outcomes))
                    return {"runs": self._runs, "done": True}
                outcomes.append((outcome, time.monotonic() - began))
            if share:
                self._asked.append(self._ledger.exchange.remote(self.trial_id, outcomes))
            self._runs += len(share)
        return {"runs": self._runs, "done": not self._asked}

    def cleanup(self) -> None:
        """End the simulators."""
        while self._envs:
            self._envs.popitem()[1].close()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Save nothing: the logs of the runs are the state."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Load nothing."""

    def _run(self, config: RunConfig) -> Outcome | None:
        """Return the outcome of a run, None if it was given up."""
        asked = time.monotonic()

        def ask(_: Trial) -> None:
            nonlocal asked
            if time.monotonic() - asked > _HEARTBEAT_S:
                asked = time.monotonic()
                if ray.get(self._ledger.is_stopped.remote()):
                    # The way of Ctrl-C: the run writes down what it sampled, and that it was
                    # interrupted.
                    raise KeyboardInterrupt

        try:
            return run_outcome(config, env=self._env, progress=ask)
        except KeyboardInterrupt:
            return None

    def _env(self, config: RunConfig) -> DesignEnv:
        """Return the environment of a run, which many runs have in common."""
        key = (config.env, canonical_json(config.env_kwargs))
        if key not in self._envs:
            if len(self._envs) == _ENVS:
                self._envs.pop(next(iter(self._envs))).close()
            self._envs[key] = make_env(config.env, config.env_kwargs)
        return self._envs[key]
