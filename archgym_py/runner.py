"""The one way to run a search: an agent spends a budget on an environment, and all is logged."""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, load_env_creator

import archgym_py
from archgym_py.agent import Agent
from archgym_py.config import RunConfig, canonical_json
from archgym_py.dataset import LoggedRun, SampleDataset
from archgym_py.environment import DesignEnv
from archgym_py.errors import ArchGymError, ConfigError, UnknownNameError, did_you_mean
from archgym_py.evaluator import Evaluator, Trial
from archgym_py.files import locked, write_text
from archgym_py.log import DatasetError, DefaultResult, RunInfo, read_history, run_folder
from archgym_py.objective import Objective
from archgym_py.pareto import ParetoArchive
from archgym_py.recorder import ParquetRecorder
from archgym_py.registration import ENVS, register_all
from archgym_py.registry import AGENTS
from archgym_py.simulator import Evaluation, Status

__all__ = [
    "CONFIG_NAME",
    "STATE_NAME",
    "RunResult",
    "RunState",
    "default_result",
    "git_commit",
    "make_env",
    "metrics_evaluator",
    "read_state",
    "run",
]

CONFIG_NAME = "_run.yaml"
"""File beside the log that holds the configuration of its run. Readers of a folder of Parquet files
pass over names that begin with an underscore."""

STATE_NAME = "_state.json"
"""File beside the log that says how the run ended; missing while it runs, and if it was killed."""


@dataclass(frozen=True, slots=True)
class RunState:
    """How the last attempt at a run ended.

    Attributes:
        state: "finished", "interrupted" by the user, or "failed".
        samples: Number of samples taken.
        budget: Number of samples wanted.
        message: Why it failed, "" where it did not.
        wall_s: Seconds that a finished run took from its first sample to its last, None where it
            was interrupted on the way: nobody knows how long it would have taken in one go.
    """

    state: str
    samples: int
    budget: int
    message: str
    wall_s: float | None = None


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run achieved.

    Attributes:
        config: The run.
        log: The run as its log describes it, with its folder and the default design's result.
        trials: Number of samples taken, those of earlier attempts included.
        counts: Number of samples by status; a status that did not occur is left out.
        best: The feasible sample with the highest reward, the first of equals; None where no
            sample is feasible.
        pareto: The best trade-offs where the objective has several goals, else None.
        improvements: Each sample that was better than all before it: its number, from 1 on, and its
            reward.
        wall_s: Seconds that this call took; earlier attempts not included.
    """

    config: RunConfig
    log: LoggedRun
    trials: int
    counts: Mapping[Status, int]
    best: Trial | None
    pareto: ParetoArchive | None
    improvements: tuple[tuple[int, float], ...]
    wall_s: float

    @property
    def run_dir(self) -> Path:
        """The folder of the run."""
        return self.log.folder


def make_env(env_id: str, kwargs: Mapping[str, Any] | None = None) -> DesignEnv:
    """Make an environment whose steps are designs.

    Args:
        env_id: Gymnasium id; "module:id" imports the module first, as in Gymnasium.
        kwargs: Arguments of the environment; what is left out takes its default.

    Returns:
        The environment without Gymnasium's wrappers.

    Raises:
        UnknownNameError: If no environment has the id.
        ConfigError: If the environment has no such argument, or its steps are not designs.

    Examples:
        >>> make_env("ArchGym/Toy-v0").space.names[:3]
        ('unit', 'lanes', 'stages')
        >>> make_env("ArchGym/Toy-v1")
        Traceback (most recent call last):
        archgym_py.errors.UnknownNameError: unknown environment 'ArchGym/Toy-v1'. Did you mean ...
    """
    arguments = dict(kwargs or {})
    spec = _find_spec(env_id)
    if any(entry.id == spec.id and not entry.is_design for entry in ENVS):
        raise ConfigError(
            f"{env_id} is no design environment: its steps are decisions while time passes, so "
            f"that design agents cannot search in it. Train a policy on "
            f"gymnasium.make({env_id!r}); `archgym experiment scheduling` does so."
        )
    known = _parameters(spec)
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        for name in arguments:
            if name not in known:
                raise ConfigError(f"{env_id} has no argument {name!r}.{did_you_mean(name, known)}")
    try:
        # Not by gym.make: its wrappers are not wanted, and it has arguments of its own.
        env = _creator(spec)(**{**spec.kwargs, **arguments}).unwrapped
    except ArchGymError:
        raise
    except (OSError, TypeError, ValueError) as error:  # what wrong arguments lead to elsewhere
        raise ConfigError(f"{env_id} does not take these arguments: {error}") from error
    if not isinstance(env, DesignEnv):
        env.close()
        raise ConfigError(
            f"{env_id}: its steps are not designs, so that nobody counts its samples. Choose an "
            "environment that derives from DesignEnv; `archgym list envs` names some."
        )
    return env


def metrics_evaluator(env: DesignEnv) -> Evaluator:
    """Make an evaluator for those who want metrics only.

    Args:
        env: The environment whose simulator it calls.

    Returns:
        An evaluator without a budget, a log and a cache. Its rewards mean nothing, so that it needs
        no baseline and works where the default design cannot be evaluated.
    """
    return Evaluator(env.space, env.simulator, _Unscored(), cache_size=0)


def run(
    config: RunConfig,
    *,
    resume: bool = False,
    env: DesignEnv | None = None,
    progress: Callable[[Trial], None] | None = None,
    tensorboard: str | Path | None = None,
    flush_rows: int = 1000,
    flush_s: float = 5.0,
) -> RunResult:
    """Run a search and log every sample.

    The run's configuration is saved as `_run.yaml` beside its log, how it ended as `_state.json`,
    and the policy of an agent that learned one beside them. A run that was interrupted or
    killed has lost at most the samples that were not written yet; it goes on with `resume` to the
    same samples as if nothing had happened.

    Args:
        config: The run.
        resume: Whether to continue a run that is logged already; one that is finished returns its
            result at once, one that is not logged starts.
        env: What `make_env` returned for the run's environment and arguments, where it is there
            already; it is left open. None makes one and closes it.
        progress: Called with every new sample, after it was handed to the log.
        tensorboard: Folder for TensorBoard logs of the agent's learning; None for none.
        flush_rows: Samples after which a part of the log is written.
        flush_s: Seconds after which the next sample causes a part to be written.

    Returns:
        The result.

    Raises:
        ConfigError: If the run is logged already and `resume` is false, or if the environment or
            the agent does not take its arguments.
        LockedError: If another process is writing the run.
        UnknownNameError: If there is no such environment or agent.
        DatasetError: If the log cannot be read or cannot be continued.
        ReplayMismatch: If the agent does not repeat the samples that are logged.
        AgentError: If the agent cannot go on. What was sampled is logged.
        OSError: If the log cannot be written.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as out:
        ...     config = RunConfig(env="ArchGym/Toy-v0", agent="random_search", budget=20, out=out)
        ...     run(config).trials
        20
    """
    start = time.perf_counter()
    for name in ("seed", "space"):
        if name in config.agent_kwargs:
            raise ConfigError(f"{name!r} is no hyperparameter: the run gives it to its agent.")
    agent_class: type[Agent] = AGENTS.load(config.agent)
    made_here = env is None
    env = make_env(config.env, config.env_kwargs) if env is None else env
    try:
        agent = agent_class(env.space, seed=config.seed, **config.agent_kwargs)
        if tensorboard is not None:
            agent.log_to_tensorboard(Path(tensorboard))
        info = _describe(config, env, agent)
        run_dir = run_folder(config.out, info)
        saved = run_dir / CONFIG_NAME
        if not resume and (saved.exists() or any(run_dir.glob("part-*.parquet"))):
            raise ConfigError(
                f"{run_dir}: this run is logged already. Continue or read it with --resume, or "
                "choose another seed or folder."
            )
        run_dir.mkdir(parents=True, exist_ok=True)
        with locked(run_dir, "this run"):
            history = read_history(run_dir, env.space)
            if history:
                _check_same(SampleDataset(run_dir).runs()[0].info, info, run_dir)
            config.to_yaml(saved)
            log = _Log(
                ParquetRecorder(
                    config.out,
                    info,
                    env.space,
                    env.simulator.metrics,
                    default=default_result(env),
                    flush_rows=flush_rows,
                    flush_s=flush_s,
                ),
                history,
                progress,
                env.objective.reference,
            )
            with _state(run_dir, log, config.budget):
                try:
                    if len(history) < config.budget:
                        env.new_evaluator(
                            budget=config.budget, seed=config.seed, recorder=log, history=history
                        )
                        agent.run(env)
                        agent.save(run_dir)
                finally:
                    log.close()
                log.recorder.merge()
    finally:
        if made_here:
            env.close()
    return RunResult(
        config=config,
        log=SampleDataset(run_dir).runs()[0],
        trials=log.counts.total(),
        counts=dict(log.counts),
        best=log.best,
        pareto=log.pareto,
        improvements=tuple(log.improvements),
        wall_s=time.perf_counter() - start,
    )


def read_state(run_dir: Path) -> RunState | None:
    """Read how the last attempt at a run ended.

    Args:
        run_dir: The folder of the run.

    Returns:
        None if the run is under way or was killed.
    """
    try:
        return RunState(**json.loads((run_dir / STATE_NAME).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (TypeError, ValueError) as error:
        raise DatasetError(
            f"{run_dir / STATE_NAME}: is damaged. Delete it; continue the run with --resume if it "
            f"is not complete."
        ) from error


class _Unscored(Objective):
    """Rewards nothing."""

    def __init__(self) -> None:
        super().__init__("unscored", (), [(0.0, 0.0)])

    def reward(self, evaluation: Evaluation) -> float:
        return 0.0


class _Log:
    """Passes trials on to the recorder and keeps count of them, history included."""

    def __init__(
        self,
        recorder: ParquetRecorder,
        history: Iterable[Trial],
        progress: Callable[[Trial], None] | None,
        reference: tuple[float, ...] | None,
    ) -> None:
        self.recorder = recorder
        self.counts: Counter[Status] = Counter()
        self.best: Trial | None = None
        self.improvements: list[tuple[int, float]] = []
        self.pareto = None if reference is None else ParetoArchive(reference)
        self._progress = progress
        for trial in history:
            self._count(trial)

    def append(self, trial: Trial) -> None:
        self.recorder.append(trial)
        self._count(trial)
        if self._progress is not None:
            self._progress(trial)

    def close(self) -> None:
        self.recorder.close()

    def _count(self, trial: Trial) -> None:
        self.counts[trial.status] += 1
        if trial.status is Status.OK and (self.best is None or trial.reward > self.best.reward):
            self.best = trial
            self.improvements.append((trial.index + 1, trial.reward))
        if self.pareto is not None:
            self.pareto.add(trial)


@contextmanager
def _state(run_dir: Path, log: _Log, budget: int) -> Iterator[None]:
    """Write down how a run ended."""
    path = run_dir / STATE_NAME

    before = read_state(run_dir)
    began, already = time.perf_counter(), log.counts.total()

    def save(state: str, message: str = "", wall_s: float | None = None) -> None:
        ended = RunState(state, log.counts.total(), budget, message, wall_s)
        write_text(path, json.dumps(asdict(ended), indent=2) + "\n")

    if already == budget and before is not None and before.state == "finished":
        yield  # nothing is new
        return
    if before is not None:
        path.unlink()
    try:
        yield
    except BaseException as error:
        with suppress(OSError):  # a full disk, say, is the error already, and is what to show
            if isinstance(error, KeyboardInterrupt):
                save("interrupted")
            else:
                save("failed", str(error) or type(error).__name__)
        raise
    save("finished", wall_s=None if already else round(time.perf_counter() - began, 4))


def _find_spec(env_id: str) -> EnvSpec:
    """Return Gymnasium's entry for an id."""
    register_all()
    module, _, name = env_id.rpartition(":")
    if module:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise UnknownNameError(f"unknown environment {env_id!r}: {error}.") from error
    if name not in gym.registry:
        # Gymnasium's own environments are of no use here, so that nobody means one of them.
        ours = [entry.id for entry in ENVS]
        raise UnknownNameError(f"unknown environment {env_id!r}.{did_you_mean(name, ours)}")
    return gym.spec(name)


def _creator(spec: EnvSpec) -> Callable[..., Any]:
    """Return the function or class that makes an environment."""
    entry: Any = spec.entry_point
    return load_env_creator(entry) if isinstance(entry, str) else entry


def _parameters(spec: EnvSpec) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of the function or class that makes an environment."""
    return inspect.signature(_creator(spec)).parameters


def _workload(config: RunConfig) -> str:
    """Return the argument `workload` of an environment, its default included; "" without one."""
    spec = _find_spec(config.env)
    parameter = _parameters(spec).get("workload")
    default = "" if parameter is None else parameter.default
    workload = {"workload": default, **spec.kwargs, **config.env_kwargs}["workload"]
    return workload if isinstance(workload, str) else canonical_json(workload)


def _describe(config: RunConfig, env: DesignEnv, agent: Agent) -> RunInfo:
    """Say where the samples of a run come from."""
    return RunInfo(
        run_id=config.run_id,
        agent=config.agent,
        agent_config=canonical_json(agent.config),
        env_id=config.env,
        env_kwargs=canonical_json(config.env_kwargs),
        workload=_workload(config),
        objective=env.objective.name,
        simulator=env.simulator.name,
        simulator_version=env.simulator.version,
        package_version=archgym_py.__version__,
        git_commit=git_commit(),
        seed=config.seed,
        quality=config.quality,
    )


def default_result(env: DesignEnv) -> DefaultResult | None:
    """Evaluate the default design, outside of the budget and of the log.

    Args:
        env: The environment.

    Returns:
        The result, None where the default design is not feasible.
    """
    trial = Evaluator(env.space, env.simulator, env.objective).evaluate(env.space.default())
    if trial.status is not Status.OK:
        return None
    return DefaultResult(trial.design, trial.metrics, trial.reward)


def _check_same(logged: RunInfo, now: RunInfo, run_dir: Path) -> None:
    """Refuse to continue a log with a simulator or an agent that has changed."""
    for name in ("simulator", "simulator_version", "objective", "agent_config"):
        before, after = getattr(logged, name), getattr(now, name)
        if before != after:
            raise DatasetError(
                f"{run_dir}: was begun with {name} {before!r}, which is {after!r} now. Install the "
                "version that began the run, give it the workload as it was, or choose another "
                "folder."
            )


@functools.cache
def git_commit() -> str:
    """Return the commit of the checkout that this package is imported from, "" where none is."""
    folder = Path(archgym_py.__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
        return done.stdout.strip()

    try:
        # An installed package may lie inside someone else's checkout, which does not track it.
        git("ls-files", "--error-unmatch", "__init__.py")
        commit = git("rev-parse", "HEAD")
        return f"{commit}-dirty" if git("status", "--porcelain", "--untracked-files=no") else commit
    except (OSError, subprocess.SubprocessError):
        return ""
