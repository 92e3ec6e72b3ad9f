"""`archgym enumerate`: evaluate every design of a space and keep the best."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import archgym_py
from archgym_py.config import plain
from archgym_py.errors import ConfigError, did_you_mean
from archgym_py.evaluator import Trial
from archgym_py.runner import make_env, metrics_evaluator
from archgym_py.simulator import Metric, Status

__all__ = ["enumerate_designs"]

_BATCH = 4096
_LISTED = 10  # designs that share an optimum and are listed
_COUNTABLE = 10_000_000  # larger spaces take longer to count than anyone waits for a progress bar


class _Optimum:
    """The best value of a metric so far, with the designs that have it."""

    def __init__(self, metric: Metric, *, largest: bool) -> None:
        self._metric = metric
        self._sign = -1.0 if largest else 1.0
        self._best: float | None = None
        self._ties = 0
        self._designs: list[dict[str, Any]] = []

    def add(self, trial: Trial) -> None:
        value = trial.metrics[self._metric.name]
        if self._best is None or self._sign * value < self._sign * self._best:
            self._best, self._ties, self._designs = value, 0, []
        if value == self._best:
            self._ties += 1
            if self._ties <= _LISTED:
                self._designs.append(dict(trial.design))

    def to_mapping(self) -> dict[str, Any]:
        return {
            "goal": "maximize" if self._sign < 0 else "minimize",
            "optimum": self._best,
            "unit": self._metric.unit,
            "ties": self._ties,
            "designs": self._designs,
        }


def enumerate_designs(
    env_id: str,
    *,
    kwargs: Mapping[str, Any] | None = None,
    minimize: Sequence[str] = (),
    maximize: Sequence[str] = (),
    command: str = "",
    start: Callable[[int | None], None],
    progress: Callable[[int], object],
) -> dict[str, Any]:
    """Evaluate every design of an environment and find the optima of metrics.

    A design is evaluated once: those that mean the same, because an inert parameter differs, count
    as one, and those that break a constraint are left out.

    Args:
        env_id: Gymnasium id of the environment.
        kwargs: Arguments of the environment.
        minimize: Metrics whose smallest value is wanted.
        maximize: Metrics whose largest value is wanted.
        command: What to put down as the command that did it.
        start: Called once with the number of designs, None where there are too many to count.
        progress: Called with the number of designs that were done since the last call.

    Returns:
        Plain data: for each metric the optimum with its unit, how many designs share it and the
        first of them; the number of designs by status; and where all of it comes from.

    Raises:
        ConfigError: If a metric does not exist, is named twice, or none is named.
        SpaceError: If the space is continuous.
    """
    began = time.perf_counter()
    arguments = plain(dict(kwargs or {}), "env_kwargs")
    env = make_env(env_id, arguments)
    try:
        known = {metric.name: metric for metric in env.simulator.metrics}
        wanted = [*minimize, *maximize]
        for name in wanted:
            if name not in known:
                raise ConfigError(f"{env_id} has no metric {name!r}.{did_you_mean(name, known)}")
        if not wanted or len(set(wanted)) < len(wanted):
            raise ConfigError(f"name one or more different metrics, got {wanted}.")
        optima = {name: _Optimum(known[name], largest=name in maximize) for name in wanted}
        evaluator = metrics_evaluator(env)
        start(env.space.count_canonical() if env.space.size <= _COUNTABLE else None)
        statuses: Counter[str] = Counter()
        designs = env.space.iter_canonical()
        while batch := list(islice(designs, _BATCH)):
            for trial in evaluator.evaluate_batch(batch):
                statuses[trial.status.value] += 1
                if trial.status is Status.OK:
                    for optimum in optima.values():
                        optimum.add(trial)
            progress(len(batch))
        return {
            "env": env_id,
            "env_kwargs": arguments,
            "metrics": {name: optimum.to_mapping() for name, optimum in optima.items()},
            "designs": statuses.total(),
            "statuses": dict(sorted(statuses.items())),
            "simulator": env.simulator.name,
            "simulator_version": env.simulator.version,
            "package_version": archgym_py.__version__,
            "command": command,
            "wall_s": round(time.perf_counter() - began, 3),
        }
    finally:
        env.close()
