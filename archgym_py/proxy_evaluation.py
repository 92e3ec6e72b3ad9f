"""Evaluations of a proxy on what it has not seen: designs, workloads and a region of the space.

Held-out designs are judged with the proxy itself. For a held-out workload and a held-out region the
same model is fitted again without them, on as many samples as the proxy was. A workload of a kind
that the others do not show cannot be predicted from them; how far a few samples of it lead is
judged too where it is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from archgym_py.checks import integer
from archgym_py.dataset import SampleDataset
from archgym_py.errors import ConfigError, ProxyFileError
from archgym_py.files import write_text
from archgym_py.log import DatasetError
from archgym_py.proxy import Progress, Proxy, ProxyHeader, TrainingSet, fit_proxy, load_proxy
from archgym_py.proxy_quality import Quality, judge
from archgym_py.space import Value
from archgym_py.training import training_set

__all__ = [
    "HeldOut",
    "evaluate_proxy",
    "evaluation_path",
    "fit_and_judge",
    "read_evaluation",
    "write_evaluation",
]

_MOST_JUDGED = 50_000  # samples; more would not change the digits that are shown


@dataclass(frozen=True, slots=True)
class HeldOut:
    """How good a proxy is on one kind of what it has not seen.

    Attributes:
        kind: "designs", "workload" or "region".
        what: What was held out, in words.
        training_samples: Number of samples that the judged model was fitted on.
        qualities: The figures of each metric.
    """

    kind: str
    what: str
    training_samples: int
    qualities: tuple[Quality, ...]

    def to_mapping(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        return {
            "kind": self.kind,
            "what": self.what,
            "training_samples": self.training_samples,
            "qualities": [quality.to_mapping() for quality in self.qualities],
        }


def fit_and_judge(
    dataset: SampleDataset,
    *,
    model: str = "random_forest",
    hyperparameters: Mapping[str, Value] | None = None,
    metrics: tuple[str, ...] = (),
    samples: int | None = None,
    holdout: float = 0.2,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Proxy, HeldOut]:
    """Fit a proxy on a part of the designs and judge it on the others.

    Args:
        dataset: Runs of one space and simulator.
        model: Name in the registry of proxies.
        hyperparameters: Of the model.
        metrics: The metrics to predict; all where empty.
        samples: Largest number of training samples; None for all that there are.
        holdout: Share of the designs that are held out, above 0 and below 1.
        seed: Seed of the division, of the drawing of samples and of the fit.
        progress: Called while the models are fitted.

    Returns:
        The proxy, whose header says how the designs were divided, and its figures.

    Raises:
        ConfigError: If `holdout` is out of range, or too few samples are there.
        DatasetError: If the samples cannot be learned from; see `training_set`.
        UnknownNameError: If there is no such model or metric.
    """
    if not 0.0 < holdout < 1.0:
        raise ConfigError(
            f"holdout is the share of designs that a proxy is judged by, above 0 and below 1, got "
            f"{holdout}. Try 0.2."
        )
    if samples is not None:
        integer("samples", samples, 1, 2**63 - 1)
    seen, unseen = dataset.split([1.0 - holdout, holdout], seed=seed)
    training = training_set(seen)
    training = training.only(metrics) if metrics else training
    training = training if samples is None else training.draw(samples, seed=seed)
    proxy = fit_proxy(
        training,
        model=model,
        hyperparameters=hyperparameters,
        seed=seed,
        notes={"holdout": holdout},
        progress=progress,
    )
    judged = _judged(training_set(unseen), seed)
    return proxy, HeldOut(
        "designs", f"{holdout:.0%} of the designs", len(training), judge(proxy, judged)
    )


def evaluate_proxy(
    path: str | Path,
    dataset: SampleDataset,
    *,
    shots: int = 0,
    progress: Progress | None = None,
) -> list[HeldOut]:
    """Judge a saved proxy on held-out designs, workloads and a region.

    Args:
        path: File of the proxy.
        dataset: Runs of its space and simulator, such as those that it was fitted on.
        shots: Judge on each held-out workload a second time, after a fit on as many samples of
            which this many are the workload's; 0 for no second time.
        progress: Called while models are fitted.

    Returns:
        The figures: designs first, then each workload if there are several, then the corner of
        the space that `SampleDataset.corner` chooses.

    Raises:
        ConfigError: If `shots` is negative or leaves no sample of a workload to judge by.
        ProxyFileError: If the file cannot be read or is for another space.
        DatasetError: If the samples cannot be learned from, or none is held out.
    """
    integer("shots", shots, 0, 2**63 - 1)
    everything = training_set(dataset)
    proxy = load_proxy(path, everything.space)
    header = proxy.header
    _check_same(header, everything, Path(path))
    metrics = [target.name for target in header.targets]
    everything = everything.only(metrics)
    notes = header.training
    seed, holdout, rows = notes["seed"], notes["holdout"], notes["rows"]
    found = []

    unseen = dataset.split([1.0 - holdout, holdout], seed=seed)[1]
    judged = _judged(training_set(unseen), seed)
    what = f"{holdout:.0%} of the designs"
    found.append(HeldOut("designs", what, rows, judge(proxy, judged)))

    def again(training: TrainingSet, what: str) -> Proxy:
        return fit_proxy(
            training,
            model=header.model,
            hyperparameters=notes["hyperparameters"],
            seed=seed,
            progress=lambda step, i, n: progress and progress(f"{step} without {what}", i, n),
        )

    for number, problem in enumerate(everything.problems if len(everything.problems) > 1 else ()):
        mine = everything.problem == number
        others, theirs = everything.take(~mine), everything.take(mine)
        training = others.draw(rows, seed=seed)
        qualities = judge(again(training, problem.name), _judged(theirs, seed))
        found.append(HeldOut("workload", problem.name, len(training), qualities))
        if shots:
            few = theirs.draw(shots, seed=seed)
            rest = theirs.take(~np.isin(theirs.keys, few.keys))
            if not len(rest):
                raise ConfigError(
                    f"shots must leave samples of {problem.name} to judge by; there are "
                    f"{len(theirs)}, got {shots}. Choose fewer."
                )
            most = max(rows - len(few), 0)
            training = TrainingSet.joined([others.draw(most, seed=seed), few])
            what = f"{problem.name} but for {len(few)} samples"
            qualities = judge(again(training, what), _judged(rest, seed))
            found.append(HeldOut("workload", what, len(training), qualities))

    region = dataset.corner()
    outside, inside = dataset.split_region(region)
    what = ", ".join(f"{name} in {_listed(values)}" for name, values in region.items())
    training = training_set(outside).only(metrics).draw(rows, seed=seed)
    qualities = judge(again(training, what), _judged(training_set(inside), seed))
    found.append(HeldOut("region", what, len(training), qualities))
    return found


def evaluation_path(path: str | Path) -> Path:
    """Return the file beside a proxy's that holds its evaluation."""
    path = Path(path)
    return path.with_name(f"{path.name}.evaluation.json")


def write_evaluation(path: str | Path, digest: str, found: list[HeldOut]) -> Path:
    """Write an evaluation beside the file of its proxy.

    Args:
        path: File of the proxy.
        digest: The digest in its header.
        found: The figures.

    Returns:
        The file that was written.
    """
    content = {"proxy": digest, "held_out": [each.to_mapping() for each in found]}
    target = evaluation_path(path)
    write_text(target, json.dumps(content, indent=2, allow_nan=False) + "\n")
    return target


def read_evaluation(path: str | Path, digest: str) -> list[HeldOut]:
    """Read the evaluation beside the file of a proxy.

    Args:
        path: File of the proxy.
        digest: The digest in its header.

    Returns:
        The figures; empty where there is no evaluation.

    Raises:
        ProxyFileError: If the file is damaged, or about another proxy.
    """
    source = evaluation_path(path)
    if not source.exists():
        return []
    try:
        content = json.loads(source.read_text(encoding="utf-8"))
        found = [
            HeldOut(
                each["kind"],
                each["what"],
                each["training_samples"],
                tuple(Quality(**quality) for quality in each["qualities"]),
            )
            for each in content["held_out"]
        ]
        about = content["proxy"]
    except (KeyError, TypeError, ValueError) as error:
        raise ProxyFileError(
            f"{source}: is damaged. Delete it and run `archgym proxy evaluate` again."
        ) from error
    if about != digest:
        raise ProxyFileError(
            f"{source}: is the evaluation of another proxy than {path}. Run `archgym proxy "
            f"evaluate` again."
        )
    return found


def _judged(samples: TrainingSet, seed: int) -> TrainingSet:
    return samples.draw(_MOST_JUDGED, seed=seed)


def _check_same(header: ProxyHeader, samples: TrainingSet, path: Path) -> None:
    for what in ("simulator", "version", "descriptors"):
        before, now = getattr(header, what), getattr(samples, what)
        if before != now:
            raise DatasetError(
                f"{path}: was fitted on samples with {what} {before!r}, these have {now!r}. "
                f"Choose samples of the same simulator."
            )


def _listed(values: object) -> str:
    return "{" + ", ".join(map(str, np.asarray(values).tolist())) + "}"
