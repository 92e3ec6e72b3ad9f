"""A fitted proxy in the place of a simulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from archgym_py.checks import number
from archgym_py.design import Design
from archgym_py.errors import ProxyFileError
from archgym_py.proxy import Proxy, model_version
from archgym_py.simulator import (
    PROXY,
    BatchSimulator,
    Described,
    Evaluation,
    Metric,
    Simulator,
    Status,
)

__all__ = ["PREFIX", "ProxySimulator"]

PREFIX = "proxy:"
"""Marks the name of a simulator as that of its proxy."""


class ProxySimulator:
    """Answers with a proxy's predictions; each is marked with the fidelity "proxy".

    A prediction outside a metric's physical bounds is moved to the bound. A design that the proxy
    deems likely to fail is infeasible. With a fall-back the simulator itself evaluates the designs
    of which the proxy is unsure; their fidelity is "simulator".

    Args:
        reference: The simulator that the proxy stands in for.
        proxy: The proxy.
        fallback: Largest standard deviation of a metric, relative to its spread over the training
            samples, up to which the proxy is believed; None to believe it always.

    Attributes:
        reference: As above.
        proxy: As above.

    Raises:
        ProxyFileError: If the proxy was fitted for another simulator, version or metric.
        ConfigError: If it has not seen the problem, or `fallback` is not positive.
    """

    def __init__(
        self, reference: Simulator, proxy: Proxy, *, fallback: float | None = None
    ) -> None:
        header = proxy.header
        now = (reference.name, model_version(reference.version))
        if now != (header.simulator, header.version):
            raise ProxyFileError(
                f"the proxy was fitted on version {header.version} of the simulator "
                f"{header.simulator!r}, but this environment has version {now[1]} of {now[0]!r}. "
                f"Fit it on samples of that."
            )
        self.reference = reference
        self.proxy = proxy
        self._fallback = None if fallback is None else number("fallback", fallback, 1e-9, 1e9)
        self._problem = dict(reference.problem) if isinstance(reference, Described) else {}
        header.problem_number(self._problem)
        own = {metric.name: metric for metric in reference.metrics}
        for target in header.targets:
            if target.name not in own or own[target.name].unit != target.unit:
                raise ProxyFileError(
                    f"the proxy predicts {target.name!r} in {target.unit!r}, which the simulator "
                    f"{reference.name!r} does not report. Fit it again."
                )
        self.metrics: tuple[Metric, ...] = tuple(own[target.name] for target in header.targets)
        self._names = tuple(metric.name for metric in self.metrics)

    @property
    def name(self) -> str:
        """Name of the simulator, marked as its proxy."""
        return f"{PREFIX}{self.reference.name}"

    @property
    def version(self) -> str:
        """Version of the simulator and the beginning of the proxy's digest."""
        version = f"{self.reference.version}/{self.proxy.header.digest[:12]}"
        return version if self._fallback is None else f"{version}/fallback={self._fallback:g}"

    @property
    def deterministic(self) -> bool:
        """Whether equal designs have equal metrics: always without a fall-back."""
        return self._fallback is None or self.reference.deterministic

    @property
    def problem(self) -> Mapping[str, Any]:
        """The problem of the simulator; see `Described`."""
        return self._problem

    @property
    def descriptors(self) -> Mapping[str, float]:
        """The descriptors of the simulator; see `Described`."""
        return self.reference.descriptors if isinstance(self.reference, Described) else {}

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        """Predict the metrics of one design; see `Simulator.evaluate`."""
        return self.evaluate_batch([design], seeds=[seed])[0]

    def evaluate_batch(
        self, designs: Sequence[Design], *, seeds: Sequence[int]
    ) -> list[Evaluation]:
        """Predict the metrics of designs.

        Args:
            designs: Designs of the space.
            seeds: One for each design, for those that are simulated.

        Returns:
            One evaluation for each design, in order.

        Raises:
            DesignError: If a design is not in the space of the proxy.
        """
        forecast = self.proxy.predict(designs, self._problem)
        low, high = self._bounds
        means = np.minimum(np.maximum(forecast.mean, low), high).tolist()
        evaluations = [
            Evaluation(dict(zip(self._names, row, strict=True)), fidelity=PROXY)
            if feasible >= 0.5
            else Evaluation(
                status=Status.INFEASIBLE,
                message=f"the proxy gives this design a chance of {feasible:.0%} to be feasible",
                fidelity=PROXY,
            )
            for row, feasible in zip(means, forecast.feasible.tolist(), strict=True)
        ]
        if self._fallback is not None:
            # A forest's share of feasible leaves is unsure in the middle.
            unsure = forecast.relative_std.max(axis=1) > self._fallback
            unsure |= np.abs(forecast.feasible - 0.5) < 0.5 - 1e-9
            chosen = np.flatnonzero(unsure).tolist()
            real = self._simulate([designs[i] for i in chosen], [seeds[i] for i in chosen])
            for position, evaluation in zip(chosen, real, strict=True):
                evaluations[position] = evaluation
        return evaluations

    def close(self) -> None:
        """Close the simulator."""
        self.reference.close()

    @cached_property
    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        return (
            np.array([metric.low for metric in self.metrics]),
            np.array([metric.high for metric in self.metrics]),
        )

    def _simulate(self, designs: list[Design], seeds: list[int]) -> list[Evaluation]:
        """Ask the simulator, for the metrics that the proxy predicts too."""
        if not designs:
            return []
        if isinstance(self.reference, BatchSimulator):
            found = self.reference.evaluate_batch(designs, seeds=seeds)
        else:
            found = [
                self.reference.evaluate(design, seed=seed)
                for design, seed in zip(designs, seeds, strict=True)
            ]
        return [
            Evaluation(
                {name: each.metrics[name] for name in self._names},
                wall_s=each.wall_s,
            )
            if each.status is Status.OK
            else each
            for each in found
        ]
