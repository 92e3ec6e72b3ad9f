"""What is optimised: an objective turns an evaluation into a reward, which is always maximised.

================================================= ===============================================
specification                                     reward
================================================= ===============================================
`minimize:total_time_ns`                          log(baseline / value)
`product:total_time_ns^2*energy_pj`               log(baseline product / product)
`target:total_time_ns=1e5,energy_pj=2e8@3`        0 if both limits hold, else minus the weighted
                                                  relative excess (weight 3 for the energy)
`pareto:total_time_ns,energy_pj`                  a vector of log(baseline / value), whose mean is
                                                  the scalar reward
`pareto:total_time_ns=1e5,energy_pj=2e8`          the same with a reference point of your own
`archgym:average_power_mw=1000`                   the published target / abs(value - target)
================================================= ===============================================

Every metric counts as better when it is smaller. The baseline is the evaluation of the default
design: 0 means as good as the default, 1 means better by a factor of e.

A reward is finite, and the reward of a failed evaluation is below that of every feasible design.
Both follow from the physical bounds of the metrics, so no search can prefer a crash.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from archgym_py.errors import ConfigError, did_you_mean
from archgym_py.simulator import Evaluation, Metric

__all__ = [
    "ArchGymTarget",
    "Minimize",
    "Objective",
    "Pareto",
    "Product",
    "Target",
    "parse_objective",
]

_FAILURE_MARGIN = 1.0
"""How far a failure lies below the worst feasible reward, at least."""

_REFERENCE_FACTOR = 2.0
"""The reference point, in terms of the default design's metrics. Like every choice of it this is a
convention: far enough that designs which give up much of one goal for another still count."""


class Objective(ABC):
    """Maps evaluations to rewards.

    Args:
        name: The specification, from which `parse_objective` makes an equal objective.
        metrics: Names of the metrics that the reward depends on.
        bounds: Lowest and highest feasible value of each entry of the reward vector.

    Attributes:
        name: As above.
        metrics: As above.
        reward_low: A lower bound of the reward of every feasible design.
        reward_high: An upper bound of it.
        failure_reward: Reward of an evaluation without metrics, below `reward_low`.
        failure_vector: The same for each entry of the reward vector.
        reference: The reward vector against which hypervolumes are measured; None where there is
            one goal, and best means best.
    """

    reference: tuple[float, ...] | None = None

    def __init__(
        self, name: str, metrics: Iterable[str], bounds: Sequence[tuple[float, float]]
    ) -> None:
        self.name = name
        self.metrics = tuple(metrics)
        self.reward_low = sum(low for low, _ in bounds) / len(bounds)
        self.reward_high = sum(high for _, high in bounds) / len(bounds)
        # The relative part keeps the margin above the rounding of huge rewards.
        self.failure_vector = tuple(
            low - max(_FAILURE_MARGIN, 1e-6 * abs(low), 1e-6 * abs(high)) for low, high in bounds
        )
        self.failure_reward = sum(self.failure_vector) / len(bounds)
        if not all(map(math.isfinite, (self.failure_reward, self.reward_high))):
            raise ConfigError(
                f"objective {name!r}: its rewards exceed the range of floats. Use milder targets, "
                f"weights or exponents."
            )

    @abstractmethod
    def reward(self, evaluation: Evaluation) -> float:
        """Return the reward of an evaluation whose status is OK; larger is better."""

    def vector(self, evaluation: Evaluation) -> tuple[float, ...]:
        """Return one reward for each goal, of which `reward` is the mean."""
        return (self.reward(evaluation),)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


class Product(Objective):
    """Minimise a product of powers of metrics, such as the energy-delay product.

    Args:
        exponents: The power of each metric, positive.
        metrics: The metrics of the simulator.
        baseline: Metrics of the default design.

    Raises:
        ConfigError: If a metric does not exist or can be zero, or an exponent is not positive.

    Examples:
        >>> metrics = (Metric("time_ns", "ns", 1, 1e6), Metric("energy_pj", "pJ", 1, 1e6))
        >>> baseline = {"time_ns": 400.0, "energy_pj": 50.0}
        >>> edp = Product({"time_ns": 1, "energy_pj": 1}, metrics=metrics, baseline=baseline)
        >>> edp.name
        'product:time_ns*energy_pj'
        >>> round(edp.reward(Evaluation({"time_ns": 200.0, "energy_pj": 25.0})), 3)
        1.386
    """

    def __init__(
        self,
        exponents: Mapping[str, float],
        *,
        metrics: Sequence[Metric],
        baseline: Mapping[str, float],
    ) -> None:
        powers = _positive_numbers("product", exponents)
        factors = "*".join(m if p == 1 else f"{m}^{p!r}" for m, p in powers.items())
        name = f"product:{factors}"
        ratios = [_LogRatio(name, metric, metrics, baseline) for metric in powers]
        self._terms = list(zip(powers.values(), ratios, strict=True))
        low = sum(power * ratio.low for power, ratio in self._terms)
        high = sum(power * ratio.high for power, ratio in self._terms)
        super().__init__(name, powers, [(low, high)])

    def reward(self, evaluation: Evaluation) -> float:
        """Return the log of the baseline's product over this one."""
        return sum(power * ratio(evaluation.metrics) for power, ratio in self._terms)


class Minimize(Objective):
    """Minimise one metric.

    Args:
        metric: Name of the metric.
        metrics: The metrics of the simulator.
        baseline: Metrics of the default design.

    Raises:
        ConfigError: If the metric does not exist or can be zero.

    Examples:
        >>> metrics = (Metric("time_ns", "ns", 1, 1e6),)
        >>> objective = Minimize("time_ns", metrics=metrics, baseline={"time_ns": 400.0})
        >>> objective.reward(Evaluation({"time_ns": 400.0}))
        0.0
        >>> round(objective.reward(Evaluation({"time_ns": 200.0})), 3)
        0.693
    """

    def __init__(
        self, metric: str, *, metrics: Sequence[Metric], baseline: Mapping[str, float]
    ) -> None:
        name = f"minimize:{metric}"
        self._ratio = _LogRatio(name, metric, metrics, baseline)
        super().__init__(name, (metric,), [(self._ratio.low, self._ratio.high)])

    def reward(self, evaluation: Evaluation) -> float:
        """Return the log of the baseline over the value."""
        return self._ratio(evaluation.metrics)


class Pareto(Objective):
    """Minimise several metrics at once, for searches that look for the best trade-offs.

    Args:
        goals: Names of the metrics, one for each entry of the reward vector.
        reference: The value of each of them, in its unit, at the reference point of the
            hypervolume (see `pareto`); twice the default design's where left out.
        metrics: The metrics of the simulator.
        baseline: Metrics of the default design.

    Raises:
        ConfigError: If a metric does not exist, can be zero or is named twice, or the reference
            point is not of these metrics.

    Examples:
        >>> metrics = (Metric("time_ns", "ns", 1, 1e6), Metric("energy_pj", "pJ", 1, 1e6))
        >>> baseline = {"time_ns": 400.0, "energy_pj": 50.0}
        >>> limits = {"time_ns": 400, "energy_pj": 100}
        >>> both = Pareto(["time_ns", "energy_pj"], limits, metrics=metrics, baseline=baseline)
        >>> both.name
        'pareto:time_ns=400.0,energy_pj=100.0'
        >>> [round(reward, 3) for reward in both.reference]
        [0.0, -0.693]
    """

    reference: tuple[float, ...]

    def __init__(
        self,
        goals: Sequence[str],
        reference: Mapping[str, float] | None = None,
        *,
        metrics: Sequence[Metric],
        baseline: Mapping[str, float],
    ) -> None:
        if isinstance(goals, str) or not goals or len(set(goals)) < len(goals):
            raise ConfigError(
                f"objective 'pareto' needs a list of different metrics, got {goals!r}."
            )
        limits = _positive_numbers("pareto", reference) if reference else {}
        if limits and set(limits) != set(goals):
            raise ConfigError(
                f"objective 'pareto': the reference point has {', '.join(limits)}, the goals are "
                f"{', '.join(goals)}. Give the value of every goal, or of none."
            )
        name = "pareto:" + ",".join(f"{m}={limits[m]!r}" if limits else str(m) for m in goals)
        self._ratios = [_LogRatio(name, metric, metrics, baseline) for metric in goals]
        super().__init__(name, goals, [(ratio.low, ratio.high) for ratio in self._ratios])
        self.reference = tuple(
            ratio(limits) if limits else -math.log(_REFERENCE_FACTOR) for ratio in self._ratios
        )

    def reward(self, evaluation: Evaluation) -> float:
        """Return the mean of the reward vector."""
        return sum(self.vector(evaluation)) / len(self._ratios)

    def vector(self, evaluation: Evaluation) -> tuple[float, ...]:
        """Return the log of the baseline over the value for each metric."""
        return tuple([ratio(evaluation.metrics) for ratio in self._ratios])


class Target(Objective):
    """Keep metrics at or below limits.

    The reward is 0 if every limit holds, else minus the weighted sum of the relative excesses
    max(0, value / target - 1). Smaller values never have a smaller reward, and being better than
    a limit earns nothing.

    Args:
        targets: The limit of each metric, in its unit, positive.
        weights: Weights of the metrics, positive; 1 for those that are not listed.
        metrics: The metrics of the simulator.

    Raises:
        ConfigError: If a metric does not exist or a number is not positive.

    Examples:
        >>> metrics = (Metric("time_ns", "ns", 1, 1e6), Metric("energy_pj", "pJ", 1, 1e6))
        >>> limits = Target({"time_ns": 100, "energy_pj": 50}, {"time_ns": 2}, metrics=metrics)
        >>> limits.name
        'target:time_ns=100.0@2.0,energy_pj=50.0'
        >>> limits.reward(Evaluation({"time_ns": 150.0, "energy_pj": 40.0}))
        -1.0
    """

    def __init__(
        self,
        targets: Mapping[str, float],
        weights: Mapping[str, float] | None = None,
        *,
        metrics: Sequence[Metric],
    ) -> None:
        limits = _positive_numbers("target", targets)
        given = _positive_numbers("target", weights) if weights else {}
        for metric in given:
            if metric not in limits:
                raise ConfigError(
                    f"objective 'target': {metric!r} has a weight but no target."
                    f"{did_you_mean(metric, limits)}"
                )
        self._terms = [(m, limit, given.get(m, 1.0)) for m, limit in limits.items()]
        name = "target:" + ",".join(
            f"{m}={limit!r}" + ("" if weight == 1 else f"@{weight!r}")
            for m, limit, weight in self._terms
        )
        known = {m: _find_metric(name, m, metrics) for m in limits}
        low = self._reward({m: metric.high for m, metric in known.items()})
        high = self._reward({m: metric.low for m, metric in known.items()})
        super().__init__(name, limits, [(low, high)])

    def reward(self, evaluation: Evaluation) -> float:
        """Return 0 if every limit holds, else minus the weighted relative excess."""
        return self._reward(evaluation.metrics)

    def _reward(self, values: Mapping[str, float]) -> float:
        excess = 0.0
        for metric, limit, weight in self._terms:
            value = values[metric]
            if value > limit:
                excess += weight * (value / limit - 1.0)
        return 0.0 - excess  # not -excess, which would be -0.0


class ArchGymTarget(Objective):
    """The published ArchGym reward: the product of target / abs(value - target).

    For comparison with published results only. It has a pole at the target, which is capped here,
    and pulls a metric towards its target from both sides: a design that is better than the target
    is punished like one that is worse. Use `Target` for anything else.

    Args:
        targets: The target of each metric, in its unit, positive.
        cap: Largest factor that one metric contributes, reached within target / cap of it.
        metrics: The metrics of the simulator.

    Raises:
        ConfigError: If a metric does not exist or a number is not positive.

    Examples:
        >>> metrics = (Metric("power_mw", "mW", 1, 1e6),)
        >>> published = ArchGymTarget({"power_mw": 1000}, metrics=metrics)
        >>> published.reward(Evaluation({"power_mw": 1250.0}))
        4.0
        >>> published.reward(Evaluation({"power_mw": 1000.0}))
        1000.0
    """

    def __init__(
        self,
        targets: Mapping[str, float],
        cap: float = 1e3,
        *,
        metrics: Sequence[Metric],
    ) -> None:
        self._targets = _positive_numbers("archgym", targets)
        self._cap = _positive_numbers("archgym", {"cap": cap})["cap"]
        name = "archgym:" + ",".join(f"{m}={target!r}" for m, target in self._targets.items())
        if self._cap != 1e3:
            name += f";cap={self._cap!r}"
        low = high = 1.0
        for metric, target in self._targets.items():
            known = _find_metric(name, metric, metrics)
            nearest = min(max(target, known.low), known.high)
            low *= min(self._factor(known.low, target), self._factor(known.high, target))
            high *= self._factor(nearest, target)
        super().__init__(name, self._targets, [(low, high)])

    def reward(self, evaluation: Evaluation) -> float:
        """Return the product of target / abs(value - target), each factor capped."""
        values = evaluation.metrics
        return math.prod(self._factor(values[m], target) for m, target in self._targets.items())

    def _factor(self, value: float, target: float) -> float:
        distance = abs(value - target)
        return target / distance if target < self._cap * distance else self._cap


def parse_objective(
    spec: str | Mapping[str, Any], *, metrics: Sequence[Metric], baseline: Mapping[str, float]
) -> Objective:
    """Make an objective from its specification.

    Args:
        spec: A string as in the table of this module, or a mapping with the "kind" and the
            arguments of the class: "metric" for `minimize`, "exponents" for `product`, "targets"
            and perhaps "weights" for `target`, "goals" and perhaps "reference" for `pareto`,
            "targets" and perhaps "cap" for `archgym`. For example
            `{"kind": "target", "targets": {"latency_mean_ns": 100}}`.
        metrics: The metrics of the simulator.
        baseline: Metrics of the default design.

    Returns:
        The objective; its `name` is a specification of itself.

    Raises:
        ConfigError: If the specification is not understood or does not suit the metrics.

    Examples:
        >>> metrics = (Metric("time_ns", "ns", 1, 1e6), Metric("row_hit_rate", "1", 0, 1))
        >>> parse_objective("target:time_ns=2e3@5", metrics=metrics, baseline={}).name
        'target:time_ns=2000.0@5.0'
        >>> parse_objective("minimise:time_ns", metrics=metrics, baseline={})
        Traceback (most recent call last):
        archgym_py.errors.ConfigError: unknown kind of objective 'minimise'. Did you mean \
'minimize'?
    """
    if isinstance(spec, str):
        kind, _, text = spec.partition(":")
        arguments = _parse_arguments(kind, text)
    elif isinstance(spec, Mapping):
        arguments = dict(spec)
        kind = arguments.pop("kind", None)
    else:
        raise ConfigError(
            f"an objective is a string such as 'minimize:total_time_ns' or a mapping with a "
            f"'kind', got {spec!r}."
        )
    if kind not in tuple(_KINDS):  # not in the table itself, as a kind may be unhashable
        near = did_you_mean(str(kind), _KINDS)
        raise ConfigError(f"unknown kind of objective {kind!r}.{near}")
    make, known, example = _KINDS[kind]
    for argument in arguments:
        if argument not in known:
            near = did_you_mean(str(argument), known)
            raise ConfigError(f"objective {kind!r} has no argument {argument!r}.{near}")
    if not arguments.get(known[0]):
        raise ConfigError(
            f"objective {kind!r} lacks its {known[0]!r}. Write for example {example!r}."
        )
    if make in (Minimize, Product, Pareto):
        arguments["baseline"] = baseline
    return make(**arguments, metrics=metrics)


_KINDS: dict[str, tuple[Callable[..., Objective], tuple[str, ...], str]] = {
    "minimize": (Minimize, ("metric",), "minimize:total_time_ns"),
    "product": (Product, ("exponents",), "product:total_time_ns^2*energy_pj"),
    "target": (Target, ("targets", "weights"), "target:total_time_ns=1e5,energy_pj=2e8@3"),
    "pareto": (Pareto, ("goals", "reference"), "pareto:total_time_ns,energy_pj"),
    "archgym": (ArchGymTarget, ("targets", "cap"), "archgym:average_power_mw=1000"),
}
"""Class, arguments (the first one is required) and an example of each kind of objective."""


def _parse_arguments(kind: str, text: str) -> dict[str, Any]:
    """Return the arguments of an objective's class from the text after "kind:"."""
    if not text.strip():
        return {}
    match kind:
        case "minimize":
            return {"metric": text.strip()}
        case "product":
            return {"exponents": _parse_pairs(kind, text.split("*"), "^", default="1")}
        case "pareto":
            goals = [goal.strip() for goal in text.split(",")]
            if "=" not in text:
                return {"goals": goals}
            reference = _parse_pairs(kind, goals, "=")
            return {"goals": list(reference), "reference": reference}
        case "target":
            pairs = _parse_pairs(kind, text.split(","), "=")
            parts = {metric: value.partition("@") for metric, value in pairs.items()}
            return {
                "targets": {metric: target for metric, (target, _, _) in parts.items()},
                "weights": {metric: weight for metric, (_, at, weight) in parts.items() if at},
            }
        case "archgym":
            targets, semicolon, option = text.partition(";")
            return {
                "targets": _parse_pairs(kind, targets.split(","), "="),
                **(_parse_pairs(kind, [option], "=") if semicolon else {}),
            }
        case _:
            return {}


def _parse_pairs(
    kind: str, parts: list[str], sign: str, default: str | None = None
) -> dict[str, str]:
    """Return {"a": "1"} for the part "a=1", where "=" is the given sign."""
    pairs: dict[str, str] = {}
    for part in parts:
        name, found, value = (piece.strip() for piece in part.partition(sign))
        if not found and default is not None:
            value = default
        if not name or not value:
            raise ConfigError(
                f"objective {kind!r}: cannot read {part!r}. Write for example {_KINDS[kind][2]!r}."
            )
        if name in pairs:
            raise ConfigError(f"objective {kind!r}: {name!r} is given twice.")
        pairs[name] = value
    return pairs


class _LogRatio:
    """The log of the baseline over a metric: 0 at the baseline, larger when the value is smaller.

    Attributes:
        low: The ratio of the worst feasible value.
        high: The ratio of the best feasible value.
    """

    def __init__(
        self, objective: str, metric: str, metrics: Sequence[Metric], baseline: Mapping[str, float]
    ) -> None:
        known = _find_metric(objective, metric, metrics)
        if known.low <= 0:
            raise ConfigError(
                f"objective {objective!r} takes the logarithm of {metric!r}, which can be as low "
                f"as {known.low:g} {known.unit}. Use 'target:{metric}=...' for it."
            )
        if metric not in baseline:
            raise ConfigError(
                f"objective {objective!r}: the baseline has no {metric!r}. Evaluate the default "
                f"design with the same simulator."
            )
        self._metric = metric
        self._baseline = _positive_numbers(objective, {metric: baseline[metric]})[metric]
        self.low = math.log(self._baseline / known.high)
        self.high = math.log(self._baseline / known.low)

    def __call__(self, values: Mapping[str, float]) -> float:
        return math.log(self._baseline / values[self._metric])


def _find_metric(objective: str, name: str, metrics: Sequence[Metric]) -> Metric:
    """Return the metric with a name."""
    for metric in metrics:
        if metric.name == name:
            return metric
    known = [metric.name for metric in metrics]
    near = did_you_mean(str(name), known)
    every = "" if near.startswith(" Known") else f" Known: {', '.join(known)}."
    raise ConfigError(f"objective {objective!r}: the simulator reports no {name!r}.{near}{every}")


def _positive_numbers(what: str, numbers: object) -> dict[str, float]:
    """Check a table of positive, finite numbers; a number may be written as a string."""
    if not isinstance(numbers, Mapping) or not numbers:
        raise ConfigError(
            f"objective {what!r}: needs a table such as {{'time_ns': 1e5}}, got {numbers!r}."
        )
    checked = {}
    for name, number in numbers.items():
        try:
            value = math.nan if isinstance(number, bool) else float(number)
        except (OverflowError, TypeError, ValueError):
            value = math.nan
        if not 0 < value < math.inf:
            raise ConfigError(
                f"objective {what!r}: {name!r} needs a positive finite number, got {number!r}."
            )
        checked[name] = value
    return checked
