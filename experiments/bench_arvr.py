"""How fast the model of AR/VR systems on a chip is, on one core.

A section of `archgym_py.experiments.bench`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from archgym_py.experiments.timing import Effort, Section, figure_of, million_steps, repeat_pairs
from archgym_py.simulators.soc.arvr import ARVRSimulator
from archgym_py.space import Design

__all__ = ["measure_arvr"]

_TARGET_DESIGNS_PER_S = 1e4

_BATCH = 4_000  # designs of a call
_SINGLE = 400  # designs of a repeat without batches


def measure_arvr(effort: Effort) -> Section:
    """Time designs of each legal space, in batches and one by one.

    Args:
        effort: How much is measured.

    Returns:
        Designs per second, on one core.
    """
    figures = []
    for workload, space, batched in (
        ("edge_detection", "limited", True),
        ("edge_detection", "comprehensive", True),
        ("audio_decoder", "comprehensive", True),
        ("edge_detection", "limited", False),
    ):
        count = _BATCH if batched else _SINGLE
        job = _job(ARVRSimulator(workload, space=space), count, batched=batched)
        job_s, steps_s = repeat_pairs(job, million_steps, effort)
        rates = [count / seconds for seconds in job_s]
        figures.append(
            figure_of(
                f"{workload}, {space}, {'batched' if batched else 'one by one'}",
                rates,
                [rate * steps for rate, steps in zip(rates, steps_s, strict=True)],
                target=_TARGET_DESIGNS_PER_S if batched else None,
                also=float(count),
            )
        )
    return Section(
        title="designs of AR/VR systems on a chip, one core",
        unit="per second",
        ratio_to="per 1e6 calibration steps",
        also="in a call",
        figures=tuple(figures),
        note="Designs are random ones, all of which work; no cache has seen them.",
    )


def _job(simulator: ARVRSimulator, count: int, *, batched: bool) -> Callable[[], object]:
    """Return a call that evaluates random designs."""
    rng = np.random.default_rng(0)
    designs = [simulator.space.canonical(simulator.space.sample(rng)) for _ in range(count)]
    if batched:
        seeds = [0] * count
        return lambda: simulator.evaluate_batch(designs, seeds=seeds)
    return lambda: _one_by_one(simulator, designs)


def _one_by_one(simulator: ARVRSimulator, designs: list[Design]) -> None:
    for design in designs:
        simulator.evaluate(design, seed=0)
