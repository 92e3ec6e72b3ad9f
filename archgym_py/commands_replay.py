"""`archgym replay`: simulate logged designs again and compare."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from archgym_py.dataset import LoggedRun, SampleDataset
from archgym_py.dataset_validation import Mismatch, differences
from archgym_py.runner import make_env
from archgym_py.simulator import Status

__all__ = ["Mismatch", "Replay", "replay"]

_BATCH = 1024


@dataclass(slots=True)
class Replay:
    """How the replay of a run went.

    Attributes:
        compared: Samples that were simulated and compared.
        skipped: Samples that were not, because they timed out, which may be due to the machine.
        mismatches: Values that differ.
        note: Why nothing was compared, or what may be behind a difference; "" where there is
            nothing to say.
    """

    compared: int = 0
    skipped: int = 0
    mismatches: int = 0
    note: str = ""


def replay(
    log: LoggedRun,
    *,
    limit: int | None = None,
    report: Callable[[Mismatch], None],
    progress: Callable[[int], object],
) -> Replay:
    """Simulate the logged samples of a run again.

    Args:
        log: The run.
        limit: Most samples to compare; None for all.
        report: Called with every difference. Equal means equal to the last bit.
        progress: Called with the number of samples that were done since the last call.

    Returns:
        The counts. A simulator that is not deterministic is not called.

    Raises:
        ArchGymError: If the environment cannot be made, or a design is not in its space any more.
    """
    result = Replay()
    env = make_env(log.info.env_id, json.loads(log.info.env_kwargs))
    try:
        simulator = env.simulator
        if not simulator.deterministic:
            result.note = f"simulator {simulator.name} is not deterministic: nothing to compare"
            return result
        if simulator.version != log.info.simulator_version:
            result.note = (
                f"logged with version {log.info.simulator_version} of simulator {simulator.name}, "
                f"replayed with version {simulator.version}"
            )
        evaluator = env.new_evaluator()
        rows = islice(SampleDataset(log.folder).trials(), limit)
        while batch := list(islice(rows, _BATCH)):
            kept = [trial for trial in batch if trial.status is not Status.TIMEOUT]
            for logged, now in zip(
                kept, evaluator.evaluate_batch([trial.design for trial in kept]), strict=True
            ):
                for mismatch in differences(logged, now):
                    result.mismatches += 1
                    report(mismatch)
            result.compared += len(kept)
            result.skipped += len(batch) - len(kept)
            progress(len(batch))
    finally:
        env.close()
    return result
