"""How far two simulators agree on the same designs.

For each metric that both report, over the designs that both evaluated, with values a and b:

================ ==================================================================================
`equal`          designs with a = b, to the last bit
`largest`        the largest relative difference |a - b| / max(|a|, |b|), 0 where both are 0
`mean`           its mean
`pearson`        linear correlation of a and b (Pearson, Proc. R. Soc. London 1895)
`kendall`        rank correlation tau-b of a and b (Kendall, Biometrika 1945)
================ ==================================================================================

A correlation with something that never changes does not exist and is None.

    >>> relative_difference(100.0, 80.0)
    0.2
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from archgym_py.errors import ConfigError, UnknownNameError, did_you_mean
from archgym_py.evaluator import Trial
from archgym_py.simulator import Metric, Status

__all__ = [
    "Agreement",
    "Pair",
    "agreement",
    "common_metrics",
    "differs",
    "failures",
    "relative_difference",
    "table",
    "worst_rows",
]

_MESSAGES = 3  # of failures that are worth reading
_SHOWN = 200  # characters of one


@dataclass(frozen=True, slots=True)
class Pair:
    """A design on a workload, evaluated twice.

    Attributes:
        workload: Name of the workload, "" for the only one.
        first: What the first simulator says.
        second: What the second one says of the same design.
        default: The default design of the space, which may depend on the workload.
    """

    workload: str
    first: Trial
    second: Trial
    default: Mapping[str, object]

    @property
    def both(self) -> bool:
        """Whether both have metrics."""
        return self.first.status is Status.OK and self.second.status is Status.OK


@dataclass(frozen=True, slots=True)
class Agreement:
    """The figures of one metric; the module says what they mean.

    Attributes:
        metric: Name of the metric.
        unit: Its unit.
        compared: Number of designs that both evaluated.
        equal: See above, as all others; the figures are None where nothing was compared.
        worst: Numbers of the pairs that disagree most, the worst first; those that are equal are
            left out.
    """

    metric: str
    unit: str
    compared: int
    equal: int
    largest: float | None
    mean: float | None
    pearson: float | None
    kendall: float | None
    worst: tuple[int, ...]


def common_metrics(
    first: Sequence[Metric], second: Sequence[Metric], wanted: Sequence[str] = ()
) -> tuple[Metric, ...]:
    """Return the metrics that two simulators report both.

    Args:
        first: Those of the first one.
        second: Those of the second one.
        wanted: Names of those that are wanted; none for all.

    Returns:
        The metrics of the first one, in its order.

    Raises:
        ConfigError: If there is none.
        UnknownNameError: If one that is wanted is not among them.
    """
    names = {metric.name for metric in second}
    common = tuple(metric for metric in first if metric.name in names)
    if not common:
        raise ConfigError(
            f"the simulators report no metric both: one has "
            f"{', '.join(metric.name for metric in first)}, the other {', '.join(sorted(names))}."
        )
    known = [metric.name for metric in common]
    for name in wanted:
        if name not in known:
            raise UnknownNameError(
                f"metric {name!r} is not reported by both.{did_you_mean(name, known)}"
            )
    return tuple(metric for metric in common if not wanted or metric.name in wanted)


def relative_difference(a: float, b: float) -> float:
    """Return |a - b| / max(|a|, |b|), 0 where both are 0.

    Examples:
        >>> relative_difference(0.0, 0.0), relative_difference(0.0, 3.0), relative_difference(-1, 1)
        (0.0, 1.0, 2.0)
    """
    largest, gap = max(abs(a), abs(b)), abs(a - b)
    if math.isinf(gap):
        return abs(a / largest - b / largest)
    return gap / largest if largest else 0.0


def agreement(metric: Metric, pairs: Sequence[Pair], *, worst: int = 3) -> Agreement:
    """Compare the values of one metric.

    Args:
        metric: The metric.
        pairs: The designs; those that one of the two could not evaluate are left out.
        worst: Most pairs to name.
    """
    numbers = [number for number, pair in enumerate(pairs) if pair.both]
    if not numbers:
        return Agreement(metric.name, metric.unit, 0, 0, None, None, None, None, ())
    first = [pairs[number].first.metrics[metric.name] for number in numbers]
    second = [pairs[number].second.metrics[metric.name] for number in numbers]
    differences = np.array([relative_difference(*two) for two in zip(first, second, strict=True)])
    a, b = np.array(first), np.array(second)
    order = np.argsort(-differences, kind="stable")[:worst]
    return Agreement(
        metric=metric.name,
        unit=metric.unit,
        compared=len(numbers),
        equal=int((a == b).sum()),
        largest=float(differences.max()),
        mean=float(differences.mean()),
        pearson=_pearson(a, b),
        kendall=_kendall(a, b),
        worst=tuple(numbers[k] for k in order.tolist() if a[k] != b[k]),
    )


def differs(pairs: Sequence[Pair], metrics: Sequence[Metric]) -> bool:
    """Return whether the two simulators disagree on any status or value."""
    return any(
        pair.first.status is not pair.second.status
        or (
            pair.both
            and any(pair.first.metrics[m.name] != pair.second.metrics[m.name] for m in metrics)
        )
        for pair in pairs
    )


def table(agreements: Sequence[Agreement]) -> list[tuple[str, ...]]:
    """Return the figures as rows of text with a head.

    Args:
        agreements: The figures of some metrics.

    Returns:
        Rows of equal length, the first one with the names of the columns.
    """
    head = ("metric", "unit", "compared", "equal", "largest rel. diff.", "mean", "Pearson", "tau-b")
    return [
        head,
        *(
            (
                each.metric,
                each.unit,
                str(each.compared),
                str(each.equal),
                _shown(each.largest, ".3e"),
                _shown(each.mean, ".3e"),
                _shown(each.pearson, ".6f"),
                _shown(each.kendall, ".4f"),
            )
            for each in agreements
        ),
    ]


def worst_rows(
    each: Agreement, pairs: Sequence[Pair], names: tuple[str, str]
) -> list[tuple[str, ...]]:
    """Return the designs that disagree most as rows of text with a head.

    Args:
        each: The figures of a metric.
        pairs: The designs.
        names: Names of the two simulators.

    Returns:
        Rows of equal length, the first one with the names of the columns. Of a design those
        parameters are shown in which it differs from the default one.
    """
    rows: list[tuple[str, ...]] = [("pair", *names, "rel. diff.", "workload and design")]
    for number in each.worst:
        pair = pairs[number]
        a, b = pair.first.metrics[each.metric], pair.second.metrics[each.metric]
        design = pair.first.design
        changed = [
            f"{name}={value}" for name, value in design.items() if value != pair.default.get(name)
        ]
        what = " ".join([pair.workload, *(changed or ["default design"])]).strip()
        difference = relative_difference(a, b)
        rows.append((str(number), f"{a:.6g}", f"{b:.6g}", f"{difference:.3e}", what))
    return rows


def failures(name: str, trials: Sequence[Trial]) -> list[str]:
    """Say how many designs a simulator could not evaluate, and why.

    Args:
        name: Its name.
        trials: What it says of all designs.

    Returns:
        Lines of text, the first one with the count.
    """
    failed = [trial for trial in trials if trial.status is not Status.OK]
    counts = Counter(f"{trial.status.value}: {trial.message.strip()}" for trial in failed)
    lines = [f"{name}: {len(failed)} of {len(trials)} designs failed"]
    for reason, count in counts.most_common(_MESSAGES):
        text = " ".join(reason.split())
        cut = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        lines.append(f"  {count} x {cut}")
    if len(counts) > _MESSAGES:
        lines.append(f"  and {len(counts) - _MESSAGES} other reasons")
    return lines


def _pearson(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float | None:
    scaled = []
    for values in (a, b):
        largest = float(np.abs(values).max())  # so that squares of huge values stay finite
        centred = values / largest - (values / largest).mean() if largest else values
        norm = math.sqrt(float((centred**2).sum()))
        if len(np.unique(values)) < 2 or not norm:
            return None
        scaled.append(centred / norm)
    return float(np.clip((scaled[0] * scaled[1]).sum(), -1.0, 1.0))


def _kendall(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float | None:
    ranks = [np.unique(values, return_inverse=True)[1].astype(np.int64) for values in (a, b)]
    if any(not each.any() for each in ranks):  # all are equal
        return None
    score, untied = 0, [0, 0]
    for first in range(len(a) - 1):  # a row of the pairs at a time: they need no memory then
        one, other = (np.sign(each[first + 1 :] - each[first]) for each in ranks)
        score += int((one * other).sum())
        untied[0] += int((one != 0).sum())
        untied[1] += int((other != 0).sum())
    return score / math.sqrt(untied[0] * untied[1])


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
