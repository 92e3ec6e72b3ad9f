"""What became of a run: what tables, sweeps and experiments keep of it.

>>> import tempfile
>>> from archgym_py.config import RunConfig
>>> out = tempfile.mkdtemp()
>>> config = RunConfig(env="ArchGym/Toy-v0", agent="random_search", budget=20, out=out)
>>> outcome = run_outcome(config)
>>> outcome.trials, outcome.error, outcome.improvements[-1] == (outcome.sample, outcome.reward)
(20, '', True)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from archgym_py.config import RunConfig
from archgym_py.dataset import LoggedRun, SampleDataset
from archgym_py.environment import DesignEnv
from archgym_py.errors import ArchGymError
from archgym_py.evaluator import Trial
from archgym_py.files import LockedError
from archgym_py.runner import read_state, run
from archgym_py.simulator import Status
from archgym_py.space import Value

__all__ = ["Outcome", "outcome_of_log", "run_outcome"]

_PATIENCE_S = 60.0
"""How long to wait for another process to let go of a run: the workers of a sweep that was killed
take a moment to notice."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run.

    Attributes:
        config: The run.
        error: Why it failed, "" where it did not; the rest means nothing if it did.
        trials: Number of samples.
        feasible: How many of them have a feasible design.
        reward: The highest reward of a feasible sample, None where no sample is feasible.
        design: The design of that sample.
        metrics: The metrics of that sample.
        sample: Its number in the run, from 1 on; the first one where several are as good.
        improvements: Each sample that was better than all before it: its number and its reward.
        agent_config: All hyperparameters of the agent, as JSON.
        workload: Name of the workload, "" where the environment has none.
        objective: Name of the objective.
        simulator: Name of the simulator.
        simulator_version: Version of the simulator.
        package_version: Version of the package that began the run.
        git_commit: Its commit, "" where it was no checkout.
        folder: The folder of its log.
        wall_s: Seconds that its samples took, None where it was interrupted.
    """

    config: RunConfig
    error: str = ""
    trials: int = 0
    feasible: int = 0
    reward: float | None = None
    design: Mapping[str, Value] | None = None
    metrics: Mapping[str, float] | None = None
    sample: int | None = None
    improvements: tuple[tuple[int, float], ...] = ()
    agent_config: str = ""
    workload: str = ""
    objective: str = ""
    simulator: str = ""
    simulator_version: str = ""
    package_version: str = ""
    git_commit: str = ""
    folder: Path | None = None
    wall_s: float | None = None


def run_outcome(
    config: RunConfig,
    *,
    env: Callable[[RunConfig], DesignEnv] | None = None,
    progress: Callable[[Trial], None] | None = None,
) -> Outcome:
    """Run a search, go on with it, or read what it found if it is finished already.

    Args:
        config: The run.
        env: Returns the run's environment, which is left open; None makes one for the run.
        progress: Called with every new sample.

    Returns:
        The outcome. Whatever an agent or an environment raises is an outcome, too.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            ready = None if env is None else env(config)
            result = run(config, resume=True, env=ready, progress=progress)
            break
        except LockedError as error:
            if time.monotonic() > deadline:
                return Outcome(config, error=str(error))
            time.sleep(0.2)
        except Exception as error:  # noqa: BLE001  # whatever an agent raises is a row of the result
            name = "" if isinstance(error, ArchGymError) else f"{type(error).__name__}: "
            return Outcome(config, error=f"{name}{error}" or type(error).__name__)
    return _outcome(
        config,
        result.log,
        feasible=result.counts.get(Status.OK, 0),
        best=result.best,
        improvements=result.improvements,
    )


def outcome_of_log(log: LoggedRun, config: RunConfig) -> Outcome:
    """Return what became of a run whose log is all there is.

    Args:
        log: The run; one that was not finished has failed.
        config: Its configuration.

    Raises:
        DatasetError: If the log cannot be read.
    """
    feasible = 0
    best: Trial | None = None
    improvements = []
    for trial in SampleDataset(log.folder).trials():
        if trial.status is Status.OK:
            feasible += 1
            if best is None or trial.reward > best.reward:
                best = trial
                improvements.append((trial.index + 1, trial.reward))
    outcome = _outcome(config, log, feasible=feasible, best=best, improvements=tuple(improvements))
    if log.rows < config.budget:
        ended = read_state(log.folder)
        why = (
            ""
            if ended is None
            else f": {ended.state}{': ' if ended.message else ''}{ended.message}"
        )
        return replace(outcome, error=f"has {log.rows} of {config.budget} samples{why}")
    return outcome


def _outcome(
    config: RunConfig,
    log: LoggedRun,
    *,
    feasible: int,
    best: Trial | None,
    improvements: tuple[tuple[int, float], ...],
) -> Outcome:
    info, state = log.info, read_state(log.folder)
    return Outcome(
        config,
        trials=log.rows,
        feasible=feasible,
        reward=None if best is None else best.reward,
        design=None if best is None else dict(best.design),
        metrics=None if best is None else dict(best.metrics),
        sample=None if best is None else best.index + 1,
        improvements=improvements,
        agent_config=info.agent_config,
        workload=info.workload,
        objective=info.objective,
        simulator=info.simulator,
        simulator_version=info.simulator_version,
        package_version=info.package_version,
        git_commit=info.git_commit,
        folder=log.folder,
        wall_s=None if state is None else state.wall_s,
    )
