"""Environments in which a policy schedules the tasks of a SoC, or sets its frequencies."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from itertools import pairwise
from typing import Any, Final, TypeAlias

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from archgym_py.checks import flag, integer, number
from archgym_py.cores import cores
from archgym_py.environment import refuse_options
from archgym_py.errors import ActionError, ConfigError, UnknownNameError, did_you_mean
from archgym_py.simulators.soc import kernel
from archgym_py.simulators.soc.arrivals import DS3_MIX, Arrivals, as_arrivals, as_mix
from archgym_py.simulators.soc.gantt import ScheduleRow
from archgym_py.simulators.soc.layout import Sim, View
from archgym_py.simulators.soc.platforms import Platform, as_platform
from archgym_py.simulators.soc.problem import make_soc
from archgym_py.simulators.soc.settings import Settings
from archgym_py.simulators.soc.simulation import Result, attempts_of, draw_jobs
from archgym_py.simulators.soc.state import Jobs, make_sims, make_view
from archgym_py.simulators.soc.task_view import graph_of, graph_space

__all__ = ["SoCFrequencyEnv", "SoCSchedulerEnv", "SoCSchedulerVectorEnv"]

_OBSERVATIONS: Final = ("array", "graph")
_MAX_JOBS: Final = 1_000_000
_MAX_US: Final = 1e12
_MAX_THREADS: Final = 1024
_PER_THREAD: Final = 128  # simulations that are worth the start of another thread
_INTEGERS: Final = (int, np.integer)

_Floats: TypeAlias = npt.NDArray[np.float32]
_Ints: TypeAlias = npt.NDArray[np.int64]


class _Episodes:
    """The episodes of an environment: a problem, its simulations and their jobs.

    Args:
        count: Number of simulations.
        slots: Ready tasks that an observation describes.
        platform: The SoC, in a form of `as_platform`.
        mix: The applications, in a form of `as_mix`.
        arrivals: When jobs come, in a form of `as_arrivals`.
        n_jobs: Jobs of an episode.
        settings: How they run.
        record: Whether the schedule is kept.
        threads: Threads that play them on, each a part of them.
    """

    def __init__(
        self,
        count: int,
        *,
        slots: int,
        platform: str | os.PathLike[str] | Mapping[str, Any] | Platform,
        mix: object,
        arrivals: str | Mapping[str, Any] | Arrivals,
        n_jobs: int,
        settings: Settings,
        record: bool,
        threads: int = 1,
    ) -> None:
        self.platform = as_platform(platform)
        self.mix = as_mix(mix)
        self.arrivals = as_arrivals(arrivals)
        n_jobs = integer("n_jobs", n_jobs, 1, _MAX_JOBS)
        # A trace may have fewer.
        self.n_jobs = min(n_jobs, self.arrivals.n_jobs or n_jobs)
        self.settings = settings
        self.soc = make_soc(self.platform, self.mix.graphs, settings)
        most = int(np.diff(self.soc.first_task).max())
        self.rows = self.n_jobs * most if flag("record", record) else 0
        self.view = make_view(self.soc, count, slots=slots)
        self.sims = make_sims(self.soc, [self.draw(0)] * count, rows=self.rows)
        self.fresh = Sim(*(array[:1].copy() for array in self.sims))
        self.codes = np.full(count, kernel.ENDED)
        self.actions = np.full(count, kernel.GO_ON)
        self._threads = min(threads, max(count // _PER_THREAD, 1))
        self._pool: ThreadPoolExecutor | None = None
        self._look()

    def _look(self) -> None:
        """Make views of the arrays: what `now` reads, and a part for each thread."""
        self.now_us, self.jobs, self.completed = (
            self.sims.system[name][:, 0] for name in ("now", "jobs", "completed")
        )
        ends = np.linspace(0, len(self.codes), self._threads + 1).astype(int).tolist()
        self._parts = [self._part(*limits) for limits in pairwise(ends)]

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what a copy makes anew: the threads, and views of the original's arrays."""
        left_out = ("_pool", "_parts", "now_us", "jobs", "completed")
        return {name: value for name, value in self.__dict__.items() if name not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._pool = None
        self._look()

    def _part(self, start: int, end: int) -> tuple[Any, _Ints, _Ints]:
        """Return some of the simulations as the kernel takes them, their actions and codes."""
        part = slice(start, end)
        sims = Sim(*(array[part] for array in self.sims))
        view = View(*(array[part] for array in self.view))
        return kernel.bind(self.soc, sims, view), self.actions[part], self.codes[part]

    def play(self, until: float = math.inf) -> None:
        """Carry `actions` out, and play all episodes on to their next decisions."""
        if len(self._parts) > 1 and self._pool is None:
            self._pool = ThreadPoolExecutor(len(self._parts) - 1)
        (bound, actions, codes), *others = self._parts
        tasks = [
            self._pool.submit(kernel.advance, bound, actions, until, codes)
            for bound, actions, codes in others
            if self._pool is not None
        ]
        kernel.advance(bound, actions, until, codes)
        for task in tasks:
            task.result()

    def set_points(self, points: _Ints) -> None:
        """Set the operating point of each cluster, int64 (C,), in the only episode."""
        [(bound, _, _)] = self._parts
        kernel.set_points(bound, points)

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def draw(self, seed: int) -> Jobs:
        """Return the jobs of an episode."""
        return draw_jobs(
            self.mix,
            self.arrivals,
            n_jobs=self.n_jobs,
            seed=seed,
            noise=self.settings.noise_std > 0.0,
            attempts=attempts_of(self.settings),
        )

    def begin(self, rngs: Mapping[int, np.random.Generator], until: float = math.inf) -> None:
        """Begin some episodes with jobs from their generators, and play to the first decisions."""
        self.actions[:] = kernel.STAY
        for index, rng in rngs.items():
            jobs = self.draw(int(rng.integers(2**31)))
            for array, start in zip(self.sims, self.fresh, strict=True):
                array[index] = start[0]
            self.sims.waits_us[index], self.sims.graphs[index] = jobs.waits_us, jobs.graphs
            if jobs.noise is not None:
                self.sims.noise[index] = jobs.noise
            self.actions[index] = kernel.GO_ON
        self.play(until)

    def one(self, index: int) -> Sim:
        """Return one simulation, every array with a first axis of one."""
        return Sim(*(array[index : index + 1] for array in self.sims))

    def result(self, index: int) -> Result:
        """Return what came of an episode so far; it does not change when the episode goes on."""
        sim = Sim(*(array.copy() for array in self.one(index)))
        return Result(self.platform, self.mix.graphs, self.soc, sim)

    def metrics(self, index: int) -> dict[str, float]:
        """Return what the info of the last step says about an episode."""
        result = Result(self.platform, self.mix.graphs, self.soc, self.one(index))
        return {
            "latency_mean_us": result.latency_mean_us,
            "latency_p95_us": result.latency_quantile_us(0.95),
            "completed_jobs": float(result.completed),
            "missed_jobs": float(result.missed),
            "energy_mj": result.energy_j * 1e3,
            "peak_celsius": result.peak_celsius,
            "end_us": result.end_us,
        }

    def now(self, index: int) -> dict[str, Any]:
        """Return the info of a decision: time, jobs in flight and completed jobs."""
        return {
            "now_us": self.now_us.item(index),
            "jobs_in_flight": self.jobs.item(index),
            "completed": self.completed.item(index),
        }


def _settings(given: Mapping[str, Any], **fixed: Any) -> Settings:
    """Return settings from arguments of an environment."""
    # Jobs of an environment are drawn, so that nobody can give their durations.
    known = [f.name for f in fields(Settings) if f.name not in fixed and f.name != "durations"]
    for name in given:
        if name not in known:
            raise ConfigError(f"unknown argument {name!r}.{did_you_mean(name, known)}")
    settings = Settings(**given, **fixed)
    counts_energy = settings.power and settings.compat != "ds3gym"
    if settings.reward in {"energy", "edp"} and not counts_energy:
        raise ConfigError(
            f"reward={settings.reward!r} would always be 0: power=False and compat='ds3gym' keep "
            f"no account of energy. Leave that out, or choose another reward."
        )
    if settings.reward == "deadline" and settings.deadline_factor == math.inf:
        raise ConfigError("reward='deadline' would always be 0: give deadlines by deadline_factor.")
    return settings


class SoCSchedulerEnv(gym.Env[Any, np.int64]):
    """Schedule the tasks of a SoC as they become ready: `ArchGym/SoCScheduler-v0`.

    Jobs, each a graph of tasks, arrive at a chip with different processing elements (PEs). Whenever
    tasks are ready the policy places one of them on a PE; a step is one such decision and nothing
    else, however much time passes until the next. An episode is `n_jobs` jobs.

    **Action.** `Discrete(slots * P)`: place of the task among the first `slots` ready ones, times
    P, plus the number of the PE. With one slot it is the number of the PE for the first ready task.
    `info["action_mask"]` (int8) says which are legal, and so does `action_masks()` (bool), which
    MaskablePPO of sb3-contrib asks for. An illegal one is an error.

    **Observation**, `observation="array"`: numbers from 0 to 1, where x / (x + s) stands for a time
    x and s is the mean execution time of the applications:

    | numbers            | what                                                                 |
    |--------------------|----------------------------------------------------------------------|
    | `slots` (5 + 2 P)  | for each ready task, zeros if there is none: 1, upward rank, age of   |
    |                    | its job, slack to the deadline (0.5: none left), open tasks of its job|
    |                    | as a share, execution time on each PE (1: it cannot run there), time  |
    |                    | until it would end on each PE                                         |
    | 4 P                | for each PE: busy, time until it has done what it was given,          |
    |                    | frequency over the highest, waiting tasks n / (n + 1)                 |
    | 4                  | jobs in flight over the most, ready and waiting tasks n / (n + 4),    |
    |                    | temperature above 42 degrees; tasks that were placed at this instant  |
    |                    | count as ready until all of its tasks are                             |

    `observation="graph"`: a `GraphInstance` of the tasks in flight and the PEs, described in
    `archgym_py.simulators.soc.task_view`.

    **Reward.** `reward`:

    | name             | reward of a step                                                        |
    |------------------|-------------------------------------------------------------------------|
    | `jobs_in_system` | minus jobs in flight times ms; adds up to minus the sum of all latencies |
    | `latency`        | minus the latencies in ms of the jobs that were completed                |
    | `energy`         | minus the energy in mJ                                                  |
    | `edp`            | at the end minus energy in mJ times mean latency in ms                   |
    | `deadline`       | minus the completed jobs that were late                                 |
    | `compbonus`      | DS3Gym's: 50 for each completed job, minus 0.5 for each us               |

    Nothing counts before `warmup_us`.

    **End.** `terminated` when all jobs are complete. With `length_us` an episode ends at that time
    and is `truncated` unless all jobs are complete then. The
    info of that step has `metrics`: mean and 95th percentile of the latencies in us, completed and
    late jobs, energy in mJ, highest temperature in degrees Celsius, and the time in us.

    Args:
        platform: The SoC: a name (`multiple_bal`, `ds3gym`, ...), a YAML file, an SoC file of DS3
            (`SoC.mine.txt`) or a mapping; see `archgym_py.simulators.soc.platforms`.
        mix: The applications: a name, a list, names with probabilities, or a file of yours, which
            may be a job of DS3 (`job_mine.txt`); see `archgym_py.simulators.soc.graphs`. None:
            DS3's six.
        arrivals: "poisson:mean_us=100", "deterministic:period_us=100", "bursty:..." or
            "trace:FILE"; see `archgym_py.simulators.soc.arrivals`.
        n_jobs: Jobs of an episode.
        slots: Ready tasks among which the policy chooses.
        observation: "array" or "graph".
        record: Whether `schedule()` works.
        render_mode: None or "ansi".
        **settings: Attributes of `archgym_py.simulators.soc.settings.Settings` but `scheduler`:
            `reward`, `order` ("rank" puts the ready tasks by falling upward rank), `compat`,
            `max_jobs_in_flight`, `length_us`, `warmup_us`, `governor`, `noise_std`, `contention`,
            `shared_memory`, `switch_us`, `deadline_factor`, `power_gating` and others.

    Raises:
        ConfigError: If an argument is not known or not legal.
        UnknownNameError: If a name is not known.

    Examples:
        >>> env = gym.make("ArchGym/SoCScheduler-v0", platform="ds3gym", mix="top_1", n_jobs=2)
        >>> observation, info = env.reset(seed=1)
        >>> info["action_mask"]
        array([1, 1, 1], dtype=int8)
        >>> observation, reward, terminated, truncated, info = env.step(2)
        >>> info["now_us"] > 0, reward < 0, terminated
        (True, True, False)
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012

    def __init__(
        self,
        *,
        platform: str | os.PathLike[str] | Mapping[str, Any] | Platform = "multiple_bal",
        mix: object = None,
        arrivals: str | Mapping[str, Any] | Arrivals = "poisson:mean_us=100",
        n_jobs: int = 100,
        slots: int = 1,
        observation: str = "array",
        record: bool = False,
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        if observation not in _OBSERVATIONS:
            raise UnknownNameError(
                f"unknown observation {observation!r}.{did_you_mean(observation, _OBSERVATIONS)}"
            )
        if render_mode not in (None, "ansi"):
            raise ConfigError(f"render_mode must be None or 'ansi', got {render_mode!r}.")
        self.render_mode = render_mode
        self._is_graph = observation == "graph"
        self._work = _Episodes(
            1,
            slots=integer("slots", slots, 1, 1000),
            platform=platform,
            mix=DS3_MIX if mix is None else mix,
            arrivals=arrivals,
            n_jobs=n_jobs,
            settings=_settings(settings, scheduler="external"),
            record=record,
        )
        self._look()
        self.action_space = gym.spaces.Discrete(len(self._mask))
        self.observation_space: gym.Space[Any] = (
            graph_space(self._work.soc)
            if self._is_graph
            else gym.spaces.Box(0.0, 1.0, self._features.shape, np.float32)
        )

    def _look(self) -> None:
        """Make views of what a step reads, so that it need not look for it."""
        view = self._work.view
        self._features, self._mask, self._reward = view.features[0], view.mask[0], view.reward
        self._codes, self._actions = self._work.codes, self._work.actions

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make a copy see its own episode, not the original's."""
        self.__dict__.update(state)
        self._look()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode with new jobs.

        Args:
            seed: Seed of the jobs of this episode and of those that follow.
            options: None or empty: there are no options.

        Returns:
            Observation and info with `action_mask`, `now_us`, `jobs_in_flight` and `completed`.

        Raises:
            ConfigError: If an option is given.
        """
        super().reset(seed=seed)
        refuse_options(options)
        self._work.begin({0: self.np_random})
        return self._observe(), self._info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Place a task, and play on to the next decision.

        Args:
            action: A legal member of `action_space`.

        Returns:
            Observation, reward, terminated, truncated and info.

        Raises:
            ActionError: If the action has the wrong type or is not legal.
            ResetNeeded: If the episode has ended, or none has begun.
        """
        if self._codes.item() != kernel.WAITING:
            raise gym.error.ResetNeeded("the episode is over: call reset() to begin another.")
        self._actions[0] = _legal(action, self._mask)
        self._work.play()
        info = self._info()
        terminated = truncated = False
        if self._codes.item() != kernel.WAITING:
            terminated = info["completed"] == self._work.n_jobs
            truncated = not terminated
            info["metrics"] = self._work.metrics(0)
        return self._observe(), self._reward.item(), terminated, truncated, info

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """Return which actions are legal, (slots * P,)."""
        return np.asarray(self._mask, np.bool_)

    def result(self) -> Result:
        """Return what came of the episode so far; it does not change when the episode goes on."""
        return self._work.result(0)

    def schedule(self) -> list[ScheduleRow]:
        """Return the completed tasks of the episode.

        Raises:
            ConfigError: If the environment was made without `record=True`.
        """
        if not self._work.rows:
            raise ConfigError("the schedule is kept with record=True only.")
        return self._work.result(0).schedule

    def render(self) -> str | None:
        """Return a text about the present decision, or None without a render mode."""
        if self.render_mode is None:
            gym.logger.warn("render() does nothing without render_mode='ansi'.")
            return None
        return "\n".join(f"{name:<16} {value}" for name, value in self._info().items())

    def _observe(self) -> Any:
        if self._is_graph:
            return graph_of(self._work.soc, self._work.one(0))
        return self._features.copy()

    def _info(self) -> dict[str, Any]:
        return {"action_mask": self._mask.copy(), **self._work.now(0)}


def _as_array(action: Any) -> npt.NDArray[Any]:
    try:
        return np.asarray(action)
    except ValueError as error:  # lists of different lengths
        raise ActionError(f"an action must be an array or a number: {error}") from error


def _legal(action: Any, mask: npt.NDArray[np.int8]) -> int:
    """Return an action as a number; refuse it if the mask does."""
    if not isinstance(action, _INTEGERS) or isinstance(action, bool):
        array = _as_array(action)
        if array.dtype.kind not in "iu" or array.shape != ():
            raise ActionError(
                f"an action is one integer, got dtype {array.dtype} and shape {array.shape}."
            )
    choice = int(action)
    if not 0 <= choice < len(mask):
        raise ActionError(f"an action must lie in 0..{len(mask) - 1}, got {choice}.")
    if not mask[choice]:
        raise ActionError(
            f"the action {choice} is not legal now: its PE cannot run the task, or there is no "
            f"such task. Legal are {np.flatnonzero(mask).tolist()}; see info['action_mask']."
        )
    return choice


class SoCSchedulerVectorEnv(VectorEnv[_Floats, npt.NDArray[np.int64], npt.NDArray[Any]]):
    """Many schedulers' episodes at once: the vector form of `ArchGym/SoCScheduler-v0`.

    One compiled call plays all sub-environments on to their next decisions. It behaves like
    `num_envs` copies of `SoCSchedulerEnv` in a `SyncVectorEnv` with the autoreset mode SAME_STEP:
    where an episode ends, the observation is the first of the next one, and `infos["final_obs"]`
    and `infos["final_info"]` have what the last step gave.

    Args:
        num_envs: Number of episodes.
        threads: Threads that play them on, as many as there are cores if None. Results do not
            depend on it, and small batches need one only.
        **kwargs: Arguments of `SoCSchedulerEnv`; the observation is the array.

    Examples:
        >>> envs = gym.make_vec("ArchGym/SoCScheduler-v0", num_envs=3, n_jobs=2)
        >>> observations, infos = envs.reset(seed=0)
        >>> infos["action_mask"].shape
        (3, 16)
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  # Gymnasium's type
        **SoCSchedulerEnv.metadata,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self, *, num_envs: int = 1, slots: int = 1, threads: int | None = None, **kwargs: Any
    ) -> None:
        if kwargs.get("observation") == "graph":
            raise ConfigError("a batch of graphs is no array: the vector form observes arrays.")
        single = SoCSchedulerEnv(slots=slots, **kwargs)
        self.num_envs = integer("num_envs", num_envs, 1, 100_000)
        self.render_mode = single.render_mode
        self.single_action_space = single.action_space
        self.single_observation_space = single.observation_space
        self.action_space = batch_space(single.action_space, num_envs)
        self.observation_space = batch_space(single.observation_space, num_envs)
        one = single._work
        self._work = _Episodes(
            num_envs,
            slots=slots,
            platform=one.platform,
            mix=one.mix,
            arrivals=one.arrivals,
            n_jobs=one.n_jobs,
            settings=one.settings,
            record=one.rows > 0,
            threads=cores() if threads is None else integer("threads", threads, 1, _MAX_THREADS),
        )
        self._rngs: list[np.random.Generator] = []

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[_Floats, dict[str, Any]]:
        """Begin all episodes with new jobs.

        Args:
            seed: Seed of the first sub-environment, those of the others follow; or one for each.
            options: None or empty: there are no options.

        Returns:
            Observations (num_envs, F), and infos with `action_mask` (num_envs, slots * P),
            `now_us`, `jobs_in_flight` and `completed`.

        Raises:
            ConfigError: If an option is given, or the number of seeds is wrong.
        """
        refuse_options(options)
        if seed is None:
            seed = [None] * self.num_envs
        elif isinstance(seed, _INTEGERS):
            seed = list(range(seed, seed + self.num_envs))
        if len(seed) != self.num_envs:
            raise ConfigError(f"seed must be one number or {self.num_envs}, got {len(seed)}.")
        self._rngs = [
            self._rngs[index] if self._rngs and one is None else gym.utils.seeding.np_random(one)[0]
            for index, one in enumerate(seed)
        ]
        self._work.begin(dict(enumerate(self._rngs)))
        return self._work.view.features.copy(), self._infos()

    def step(
        self, actions: npt.NDArray[np.int64]
    ) -> tuple[
        _Floats,
        npt.NDArray[np.float64],
        npt.NDArray[np.bool_],
        npt.NDArray[np.bool_],
        dict[str, Any],
    ]:
        """Place a task in each episode, and play all on.

        Args:
            actions: Legal actions, int (num_envs,).

        Returns:
            Observations, rewards, terminations, truncations and infos.

        Raises:
            ActionError: If an action has the wrong type or is not legal; the message gives its
                place. No task is placed then.
        """
        work = self._work
        work.actions[:] = self._legal(actions)
        work.play()
        ended = work.codes != kernel.WAITING
        rewards = work.view.reward.copy()
        terminated = ended & (work.completed == work.n_jobs)
        final: dict[str, Any] = {}
        if ended.any():
            final = self._finish(ended)
        return (
            work.view.features.copy(),
            rewards,
            terminated,
            ended & ~terminated,
            {**self._infos(), **final},
        )

    def close_extras(self, **kwargs: Any) -> None:
        """End the threads; Gymnasium's `close` calls it."""
        self._work.close()

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """Return which actions are legal, (num_envs, slots * P)."""
        return np.asarray(self._work.view.mask, np.bool_)

    def _legal(self, actions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        if not self._rngs:
            raise gym.error.ResetNeeded("no episode has begun: call reset().")
        array = _as_array(actions)
        if array.dtype.kind not in "iu" or array.shape != (self.num_envs,):
            raise ActionError(
                f"a step takes {self.num_envs} integers, one for each sub-environment, got dtype "
                f"{array.dtype} and shape {array.shape}."
            )
        mask = self._work.view.mask
        inside = (array >= 0) & (array < mask.shape[1])
        if not (inside.all() and mask[np.arange(self.num_envs), array].all()):
            for index, action in enumerate(array):
                try:
                    _legal(action, mask[index])
                except ActionError as error:
                    raise ActionError(f"action {index}: {error}") from None
        return array

    def _finish(self, ended: npt.NDArray[np.bool_]) -> dict[str, Any]:
        """Return what the last steps of episodes gave, and begin the next ones."""
        work = self._work
        observations = np.full(self.num_envs, None, object)
        infos: dict[str, Any] = {}
        for index in np.flatnonzero(ended).tolist():
            observations[index] = work.view.features[index].copy()
            info = {
                "action_mask": work.view.mask[index].copy(),
                **work.now(index),
                "metrics": work.metrics(index),
            }
            infos = self._add_info(infos, info, index)
        work.begin({index: self._rngs[index] for index in np.flatnonzero(ended).tolist()})
        return {
            "final_obs": observations,
            "_final_obs": ended.copy(),
            "final_info": infos,
            "_final_info": ended.copy(),
        }

    def _infos(self) -> dict[str, Any]:
        work = self._work
        infos = {
            "action_mask": work.view.mask.copy(),
            "now_us": work.now_us.copy(),
            "jobs_in_flight": work.jobs.copy(),
            "completed": work.completed.copy(),
        }
        everywhere = np.ones(self.num_envs, np.bool_)
        return infos | {f"_{name}": everywhere.copy() for name in infos}


class SoCFrequencyEnv(gym.Env[_Floats, npt.NDArray[np.int64]]):
    """Set the frequencies of a SoC while jobs run: `ArchGym/SoCFrequency-v0`.

    The variant of `SoCSchedulerEnv` in which a built-in scheduler places the tasks and the policy
    is the governor. A step is a period of `epoch_us`.

    **Action.** `MultiDiscrete`: the operating point of each cluster that has several, from the
    lowest frequency up.

    **Observation.** Numbers from 0 to 1: the last 4 P + 4 of `SoCSchedulerEnv`, and the share of
    the last epoch in which each PE was at work.

    **Reward, end, info.** As those of `SoCSchedulerEnv`, without masks; by default `edp`.

    Args:
        platform: As for `SoCSchedulerEnv`.
        mix: As for `SoCSchedulerEnv`.
        arrivals: As for `SoCSchedulerEnv`.
        n_jobs: Jobs of an episode.
        epoch_us: Length of a step in us.
        scheduler: A name of `archgym_py.simulators.soc.settings.SCHEDULERS`.
        reward: As for `SoCSchedulerEnv`.
        render_mode: None or "ansi".
        **settings: As for `SoCSchedulerEnv`, but `compat`, `governor` and `order`.

    Raises:
        ConfigError: If an argument is not known or not legal, or no cluster has a choice.
        UnknownNameError: If a name is not known.

    Examples:
        >>> env = gym.make("ArchGym/SoCFrequency-v0", n_jobs=5, reward="energy")
        >>> env.action_space
        MultiDiscrete([5 8])
        >>> observation, info = env.reset(seed=1)
        >>> observation, reward, terminated, truncated, info = env.step([0, 7])
        >>> info["now_us"], reward < 0
        (100.0, True)
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012

    def __init__(
        self,
        *,
        platform: str | os.PathLike[str] | Mapping[str, Any] | Platform = "multiple_bal",
        mix: object = None,
        arrivals: str | Mapping[str, Any] | Arrivals = "poisson:mean_us=100",
        n_jobs: int = 100,
        epoch_us: float = 100.0,
        scheduler: str = "etf",
        reward: str = "edp",
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        if render_mode not in (None, "ansi"):
            raise ConfigError(f"render_mode must be None or 'ansi', got {render_mode!r}.")
        self.render_mode = render_mode
        self._epoch_us = number("epoch_us", epoch_us, 1e-3, _MAX_US)
        fixed = {"compat": "none", "governor": "performance", "order": "fifo", "reward": reward}
        self._work = _Episodes(
            1,
            slots=0,
            platform=platform,
            mix=DS3_MIX if mix is None else mix,
            arrivals=arrivals,
            n_jobs=n_jobs,
            settings=_settings(settings, scheduler=scheduler, **fixed),
            record=False,
        )
        soc = self._work.soc
        self._free = np.flatnonzero(soc.n_points > 1)
        if not len(self._free):
            raise ConfigError(
                f"no cluster of platform {self._work.platform.name!r} has more than one operating "
                f"point: there is nothing to set."
            )
        self._points = soc.start_point.copy()
        self._active_us = np.zeros(len(soc.cluster))
        self.action_space = gym.spaces.MultiDiscrete(soc.n_points[self._free])
        size = self._work.view.features.shape[1] + len(soc.cluster)
        self.observation_space = gym.spaces.Box(0.0, 1.0, (size,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[_Floats, dict[str, Any]]:
        """Begin an episode with new jobs, at the highest frequencies.

        Args:
            seed: Seed of the jobs of this episode and of those that follow.
            options: None or empty: there are no options.

        Returns:
            Observation and info with `now_us`, `jobs_in_flight` and `completed`.

        Raises:
            ConfigError: If an option is given.
        """
        super().reset(seed=seed)
        refuse_options(options)
        self._work.begin({0: self.np_random}, 0.0)
        self._points = self._work.soc.start_point.copy()
        self._active_us = np.zeros_like(self._active_us)
        return self._observe(), self._work.now(0)

    def step(self, action: Any) -> tuple[_Floats, float, bool, bool, dict[str, Any]]:
        """Set the operating points, and play an epoch on.

        Args:
            action: A member of `action_space`.

        Returns:
            Observation, reward, terminated, truncated and info.

        Raises:
            ActionError: If the action is not a member of `action_space`.
            ResetNeeded: If the episode has ended, or none has begun.
        """
        work = self._work
        if work.codes[0] != kernel.PAUSED:
            raise gym.error.ResetNeeded("the episode is over: call reset() to begin another.")
        array = _as_array(action)
        highest = work.soc.n_points[self._free] - 1
        if array.dtype.kind not in "iu" or array.shape != self._free.shape:
            raise ActionError(
                f"an action is a vector of {len(self._free)} integers, got dtype {array.dtype} and "
                f"shape {array.shape}."
            )
        if (array < 0).any() or (array > highest).any():
            raise ActionError(f"an action must lie in 0..{highest.tolist()}, got {array.tolist()}.")
        self._points[self._free] = array
        work.set_points(self._points)
        work.play(work.now_us.item() + self._epoch_us)
        info = work.now(0)
        terminated = truncated = False
        if work.codes.item() == kernel.ENDED:
            terminated = info["completed"] == work.n_jobs
            truncated = not terminated
            info["metrics"] = work.metrics(0)
        return self._observe(), work.view.reward.item(), terminated, truncated, info

    def result(self) -> Result:
        """Return what came of the episode so far; it does not change when the episode goes on."""
        return self._work.result(0)

    def render(self) -> str | None:
        """Return a text about the last epoch, or None without a render mode."""
        if self.render_mode is None:
            gym.logger.warn("render() does nothing without render_mode='ansi'.")
            return None
        return "\n".join(f"{name:<16} {value}" for name, value in self._work.now(0).items())

    def _observe(self) -> _Floats:
        active = self._work.sims.pes[0]["active_us"].copy()
        # A task counts when it ends, so that a long one can fill more than the last epoch.
        share = np.minimum((active - self._active_us) / self._epoch_us, 1.0)
        self._active_us = active
        return np.concatenate([self._work.view.features[0], share]).astype(np.float32)
