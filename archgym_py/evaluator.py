"""The one place where simulators are called: it counts, caches, judges and records.

A sample is a proposal. Every design that an agent proposes counts once against the budget, whether
it is simulated, answered from the cache, infeasible or crashes the simulator: two agents that spent
the same budget made the same number of proposals.

Failures are data. Whatever happens inside a simulator becomes a trial with a status, a message and
a finite reward below that of every feasible design.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from archgym_py.errors import (
    BudgetExhausted,
    ConfigError,
    InfeasibleDesign,
    ReplayMismatch,
    SimulatorError,
    SimulatorTimeout,
)
from archgym_py.objective import Objective
from archgym_py.simulator import SIMULATED, BatchSimulator, Evaluation, Simulator, Status
from archgym_py.space import Design, ParameterSpace, Resolved, Value

__all__ = ["Evaluator", "MemoryRecorder", "Recorder", "Trial"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One evaluated proposal, one row of the log.

    Attributes:
        index: Number of the trial in its run, counted from 0.
        design: The canonical form of the proposed design, which is what was simulated.
        key: Identity of the design, `ParameterSpace.key`.
        status: How the evaluation ended.
        message: Why, where `status` is not OK.
        metrics: Value of every metric, in the order of the simulator; empty unless `status` is OK.
        reward: The scalar reward, always finite.
        rewards: The reward vector; (`reward`,) for objectives with one goal.
        cached: Whether the answer came from the cache.
        wall_s: Time spent in the simulator, in seconds; 0 if it was not called.
        seed: Seed given to the simulator; 0 for deterministic ones.
        fidelity: Where the metrics come from: "simulator" or "proxy".
    """

    index: int
    design: Mapping[str, Value]
    key: str
    status: Status
    message: str
    metrics: Mapping[str, float]
    reward: float
    rewards: tuple[float, ...]
    cached: bool
    wall_s: float
    seed: int
    fidelity: str = SIMULATED


class Recorder(Protocol):
    """Keeps the trials of a run."""

    def append(self, trial: Trial) -> None:
        """Take the next trial; called once for each, in order."""
        ...

    def close(self) -> None:
        """Write what is not written yet; calling it again does nothing."""
        ...


class MemoryRecorder:
    """Keeps the trials of a run in a list, for those who want no log.

    Attributes:
        trials: The trials so far, in order.
    """

    def __init__(self) -> None:
        self.trials: list[Trial] = []

    def append(self, trial: Trial) -> None:
        """Take the next trial."""
        self.trials.append(trial)

    def close(self) -> None:
        """Do nothing."""


class Evaluator:
    """Evaluates designs within a budget.

    Args:
        space: The space of the designs.
        simulator: What evaluates them.
        objective: What gives the reward.
        budget: Largest number of trials; None for no limit.
        seed: Origin of the seeds of a stochastic simulator, not negative.
        recorder: Receives every new trial.
        history: The first trials of an earlier run with the same arguments. They are answered
            again in the same order, neither simulated nor recorded.
        cache_size: Most evaluations to remember; the one not used for longest goes first. Only
            evaluations of deterministic simulators are remembered.

    Attributes:
        space: As above.
        simulator: As above.
        objective: As above.
        budget: As above.

    Raises:
        ConfigError: If `budget`, `seed` or `cache_size` is negative.
        ReplayMismatch: If the trials of the history are not numbered 0, 1, 2, ..., or are more
            than the budget.
    """

    def __init__(
        self,
        space: ParameterSpace,
        simulator: Simulator,
        objective: Objective,
        *,
        budget: int | None = None,
        seed: int = 0,
        recorder: Recorder | None = None,
        history: Sequence[Trial] = (),
        cache_size: int = 100_000,
    ) -> None:
        for name, number in (("budget", budget), ("seed", seed), ("cache_size", cache_size)):
            if number is not None and number < 0:
                raise ConfigError(f"{name} must not be negative, got {number}.")
        if [trial.index for trial in history] != list(range(len(history))):
            raise ReplayMismatch(
                "the trials of the history are not numbered 0, 1, 2, ... without a gap. Resume "
                "from the complete log of one run."
            )
        if budget is not None and len(history) > budget:
            raise ReplayMismatch(
                f"the history has {len(history)} trials, more than the budget of {budget}. Resume "
                f"with the budget of the original run or a larger one."
            )
        self.space = space
        self.simulator = simulator
        self.objective = objective
        self.budget = budget
        self._seed = seed
        self._recorder = recorder
        self._history = tuple(history)
        self._batch_simulator = simulator if isinstance(simulator, BatchSimulator) else None
        self._cache: dict[str, Evaluation] = {}
        self._cache_size = cache_size if simulator.deterministic else 0
        self._bounds = tuple((m.name, m.low, m.high) for m in simulator.metrics)
        self._spent = 0
        self._best: Trial | None = None

    @property
    def spent(self) -> int:
        """Number of trials so far."""
        return self._spent

    @property
    def remaining(self) -> int | None:
        """Number of trials that the budget still allows; None if there is no limit."""
        return None if self.budget is None else self.budget - self._spent

    @property
    def best(self) -> Trial | None:
        """The first trial with the highest reward among those with status OK, if any."""
        return self._best

    def evaluate(self, design: Mapping[str, object]) -> Trial:
        """Evaluate one design.

        Args:
            design: A design of the space; inactive parameters are set to their default.

        Returns:
            The trial. A failed evaluation is a trial too, not an exception.

        Raises:
            BudgetExhausted: If the budget is spent. Nothing is simulated or counted.
            DesignError: If the design is not in the space. Nothing is simulated or counted.
            ReplayMismatch: If the history has another design at this place.
        """
        resolved = self.space.resolve(design)
        self._afford(1)
        return self._next_trial(resolved)

    def evaluate_batch(self, designs: Sequence[Mapping[str, object]]) -> list[Trial]:
        """Evaluate designs, at once if the simulator can do that.

        Args:
            designs: Designs of the space.

        Returns:
            The same trials, up to `wall_s`, as from `evaluate` on each design in turn.

        Raises:
            BudgetExhausted: If the budget does not allow all of them. Nothing is simulated or
                counted.
            DesignError: If a design is not in the space. Nothing is simulated or counted.
            ReplayMismatch: If the history has another design at its place.
        """
        batch = [self.space.resolve(design) for design in designs]
        self._afford(len(batch))
        ready = self._simulate_ahead(batch)
        return [self._next_trial(resolved, ready.get(i)) for i, resolved in enumerate(batch)]

    def _afford(self, count: int) -> None:
        if self.budget is not None and self._spent + count > self.budget:
            raise BudgetExhausted(
                f"{count} more trial(s) would exceed the budget: {self._spent} of {self.budget} "
                f"are spent. Check `remaining` before proposing."
            )

    def _next_trial(self, resolved: Resolved, ready: Evaluation | None = None) -> Trial:
        """Make, count and record the next trial; `ready` is its simulation if done already."""
        design, key, violations = resolved
        index = self._spent
        if index < len(self._history):
            trial = self._from_history(index, key)
            if not violations:
                self._remember(
                    key,
                    Evaluation(trial.metrics, trial.status, trial.message, fidelity=trial.fidelity),
                )
            self._count(trial)
            return trial
        seed = self._seed_of(index)
        cached = key in self._cache
        if violations:
            evaluation = _failure(Status.INFEASIBLE, "; ".join(violations))
        else:
            evaluation = self._cache[key] if cached else ready or self._simulate(design, seed)
            self._remember(key, evaluation)
        if evaluation.status is Status.OK:
            reward = self.objective.reward(evaluation)
            rewards = self.objective.vector(evaluation)
        else:
            reward = self.objective.failure_reward
            rewards = self.objective.failure_vector
        trial = Trial(
            index,
            design,
            key,
            evaluation.status,
            evaluation.message,
            evaluation.metrics,
            reward,
            rewards,
            cached,
            0.0 if cached else evaluation.wall_s,
            seed,
            evaluation.fidelity,
        )
        self._count(trial)
        if self._recorder is not None:
            self._recorder.append(trial)
        return trial

    def _from_history(self, index: int, key: str) -> Trial:
        trial = self._history[index]
        if trial.key != key:
            raise ReplayMismatch(
                f"trial {index} proposes the design {key[:12]} where the history has "
                f"{trial.key[:12]}. Resume with the configuration, seed and version that wrote it."
            )
        return trial

    def _count(self, trial: Trial) -> None:
        self._spent += 1
        best = self._best
        if trial.status is Status.OK and (best is None or trial.reward > best.reward):
            self._best = trial

    def _remember(self, key: str, evaluation: Evaluation) -> None:
        """Put an evaluation at the end of the cache, whose order is the order of last use."""
        if not self._cache_size:
            return
        self._cache.pop(key, None)
        self._cache[key] = evaluation
        if len(self._cache) > self._cache_size:
            del self._cache[next(iter(self._cache))]

    def _seed_of(self, index: int) -> int:
        if self.simulator.deterministic:
            return 0
        state = np.random.SeedSequence((self._seed, index)).generate_state(1, np.uint64)
        return int(state[0]) >> 1  # 63 bits: the log holds seeds as signed integers

    def _simulate(self, design: Design, seed: int) -> Evaluation:
        """Call the simulator and turn whatever happens into a sound evaluation."""
        started = time.perf_counter()
        try:
            evaluation = self.simulator.evaluate(dict(design), seed=seed)
        except InfeasibleDesign as error:
            evaluation = _failure(Status.INFEASIBLE, _text(error))
        except SimulatorTimeout as error:
            evaluation = _failure(Status.TIMEOUT, _text(error))
        except SimulatorError as error:
            evaluation = _failure(Status.CRASHED, _text(error))
        except Exception as error:  # noqa: BLE001  # a simulator is foreign code: one bad design
            # must not end a search of days, and the log says what happened.
            evaluation = _failure(Status.CRASHED, f"{type(error).__name__}: {error}")
        return self._checked(evaluation, time.perf_counter() - started)

    def _simulate_ahead(self, batch: list[Resolved]) -> dict[int, Evaluation]:
        """Simulate what a batch needs in one call; return the evaluations by position."""
        if self._batch_simulator is None:
            return {}
        wanted = []
        claimed: set[str] = set()  # a design that is proposed twice is simulated once
        for position, (_, key, violations) in enumerate(batch):
            if self._spent + position < len(self._history):
                self._from_history(self._spent + position, key)
            elif violations or (self._cache_size and (key in claimed or key in self._cache)):
                continue
            else:
                wanted.append(position)
            claimed.add(key)
        if not wanted:
            return {}
        started = time.perf_counter()
        try:
            evaluations = self._batch_simulator.evaluate_batch(
                [dict(batch[position].design) for position in wanted],
                seeds=[self._seed_of(self._spent + position) for position in wanted],
            )
            if len(evaluations) != len(wanted):
                raise SimulatorError(f"{len(evaluations)} evaluations for {len(wanted)} designs")
        except Exception as error:  # noqa: BLE001  # as in _simulate
            warnings.warn(
                f"{self.simulator.name}: evaluate_batch failed ({type(error).__name__}: {error}). "
                f"Its designs are evaluated one by one.",
                RuntimeWarning,
                stacklevel=3,
            )
            return {}
        share = (time.perf_counter() - started) / len(wanted)
        checked = [self._checked(evaluation, share) for evaluation in evaluations]
        return dict(zip(wanted, checked, strict=True))

    def _checked(self, evaluation: object, wall_s: float) -> Evaluation:
        """Return an evaluation with plain floats, or the failure that an unsound one amounts to."""
        if not isinstance(evaluation, Evaluation):
            kind = type(evaluation).__name__
            return _failure(Status.CRASHED, f"returned {kind} instead of Evaluation", wall_s)
        if 0 < evaluation.wall_s < math.inf:  # else it did not measure
            wall_s = evaluation.wall_s
        if evaluation.status is not Status.OK:
            message = evaluation.message or "no reason given"
            return Evaluation({}, evaluation.status, message, wall_s, evaluation.fidelity)
        metrics: dict[str, float] = {}
        reported = evaluation.metrics
        for name, low, high in self._bounds:
            try:
                value = reported[name]
                if type(value) is not float:
                    value = float(value)
            except (KeyError, TypeError, ValueError):
                problem = f"metric {name!r} is missing or no number: {reported.get(name)!r}"
                return _failure(Status.CRASHED, problem, wall_s)
            if not low <= value <= high:  # also refuses NaN
                problem = f"metric {name!r} is {value!r}, outside its bounds {low!r}..{high!r}"
                return _failure(Status.CRASHED, problem, wall_s)
            metrics[name] = value
        if len(reported) > len(metrics):
            extra = next(name for name in reported if name not in metrics)
            return _failure(Status.CRASHED, f"metric {extra!r} is not declared", wall_s)
        return Evaluation(metrics, Status.OK, evaluation.message, wall_s, evaluation.fidelity)


def _failure(status: Status, message: str, wall_s: float = 0.0) -> Evaluation:
    return Evaluation({}, status, message, wall_s)


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
