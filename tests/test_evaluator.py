import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archgym_py.design import Design
from archgym_py.errors import (
    BudgetExhausted,
    ConfigError,
    DesignError,
    InfeasibleDesign,
    ReplayMismatch,
    SimulatorError,
    SimulatorTimeout,
)
from archgym_py.evaluator import Evaluator, MemoryRecorder, Trial
from archgym_py.objective import parse_objective
from archgym_py.simulator import Evaluation, Metric, Simulator, Status
from archgym_py.space import Choice, Constraint, Integer, ParameterSpace, Value


def small(design: Mapping[str, Value]) -> bool:
    return int(design["size"]) < 9


SPACE = ParameterSpace(
    (
        Choice("mode", ("off", "on")),
        Integer("boost", 0, 9, active_when={"mode": ("on",)}),
        Integer("size", 0, 9),
    ),
    (Constraint("small", "size must be below 9", small),),
)
METRICS = (Metric("delay_ns", "ns", 1.0, 1e3, "delay"), Metric("area_mm2", "mm^2", 1.0, 1e3))
BASELINE = {"delay_ns": 100.0, "area_mm2": 10.0}

Behaviour = Callable[[Design, int], Any]


def sound(design: Design, _seed: int) -> Evaluation:
    return Evaluation(
        {"delay_ns": 100.0 - 10.0 * int(design["size"]), "area_mm2": 10.0 + int(design["boost"])}
    )


class Spy:
    """A simulator that does as it is told and remembers what it was asked."""

    name = "spy"
    version = "1"
    metrics = METRICS

    def __init__(self, behaviour: Behaviour = sound, *, deterministic: bool = True) -> None:
        self.deterministic = deterministic
        self.behaviour = behaviour
        self.calls: list[tuple[Design, int]] = []

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        self.calls.append((dict(design), seed))
        evaluation: Evaluation = self.behaviour(design, seed)
        return evaluation

    def close(self) -> None:
        pass


class BatchSpy(Spy):
    """The same with batches; `sizes` are their sizes."""

    def __init__(self, behaviour: Behaviour = sound, *, deterministic: bool = True) -> None:
        super().__init__(behaviour, deterministic=deterministic)
        self.sizes: list[int] = []

    def evaluate_batch(
        self, designs: Sequence[Design], *, seeds: Sequence[int]
    ) -> list[Evaluation]:
        self.sizes.append(len(designs))
        return [self.evaluate(d, seed=s) for d, s in zip(designs, seeds, strict=True)]


def make(simulator: Simulator, spec: str = "minimize:delay_ns", **arguments: Any) -> Evaluator:
    objective = parse_objective(spec, metrics=METRICS, baseline=BASELINE)
    return Evaluator(SPACE, simulator, objective, **arguments)


def design(size: int = 0, boost: int = 0, mode: str = "on") -> Design:
    return {"mode": mode, "boost": boost, "size": size}


def timeless(trials: Sequence[Trial]) -> list[Trial]:
    return [replace(trial, wall_s=0.0) for trial in trials]


# ---- a trial -----------------------------------------------------------------------------------


def test_a_trial_tells_all_about_an_evaluation() -> None:
    spy = Spy()
    trial = make(spy).evaluate({"size": np.int64(5), "boost": 3.0, "mode": "on"})
    assert trial == Trial(
        index=0,
        design={"mode": "on", "boost": 3, "size": 5},
        key=SPACE.key(design(size=5, boost=3)),
        status=Status.OK,
        message="",
        metrics={"delay_ns": 50.0, "area_mm2": 13.0},
        reward=math.log(2),
        rewards=(math.log(2),),
        cached=False,
        wall_s=trial.wall_s,
        seed=0,
    )
    assert 0 < trial.wall_s < 1
    assert spy.calls == [({"mode": "on", "boost": 3, "size": 5}, 0)]


def test_what_is_simulated_and_reported_is_canonical() -> None:
    spy = Spy()
    trial = make(spy).evaluate(design(size=1, boost=7, mode="off"))
    assert trial.design == design(size=1, boost=0, mode="off") == spy.calls[0][0]


def test_vector_objectives_fill_the_reward_vector() -> None:
    evaluator = make(Spy(), "pareto:delay_ns,area_mm2")
    trial = evaluator.evaluate(design(size=5, boost=0))
    assert trial.rewards == pytest.approx((math.log(2), 0.0))
    assert trial.reward == pytest.approx(math.log(2) / 2)
    failed = evaluator.evaluate(design(size=9))
    assert failed.rewards == evaluator.objective.failure_vector
    assert failed.reward == evaluator.objective.failure_reward


def test_the_simulators_own_clock_counts() -> None:
    timed = Spy(lambda d, s: replace(sound(d, s), wall_s=12.5))
    evaluator = make(timed)
    assert evaluator.evaluate(design()).wall_s == 12.5
    assert evaluator.evaluate(design()).wall_s == 0.0  # cached
    unsound = make(Spy(lambda d, s: replace(sound(d, s), wall_s=math.nan)))
    assert 0 < unsound.evaluate(design()).wall_s < 1


def test_a_simulator_cannot_change_what_is_recorded() -> None:
    def vandal(design: Design, seed: int) -> Evaluation:
        evaluation = sound(design, seed)
        design["size"] = 99
        return evaluation

    reported = {"delay_ns": 5.0, "area_mm2": 5.0}
    assert make(Spy(vandal)).evaluate(design(size=1)).design["size"] == 1
    evaluator = make(Spy(returning(Evaluation(reported))))
    trial = evaluator.evaluate(design())
    reported["delay_ns"] = 7.0
    assert trial.metrics["delay_ns"] == evaluator.evaluate(design()).metrics["delay_ns"] == 5.0


# ---- budget ------------------------------------------------------------------------------------


def test_the_budget_is_exact() -> None:
    spy = Spy()
    evaluator = make(spy, budget=3)
    for spent in range(3):
        assert (evaluator.spent, evaluator.remaining) == (spent, 3 - spent)
        evaluator.evaluate(design(size=spent))
    with pytest.raises(BudgetExhausted, match="3 of 3 are spent"):
        evaluator.evaluate(design(size=4))
    assert (evaluator.spent, evaluator.remaining, len(spy.calls)) == (3, 0, 3)
    assert evaluator.evaluate_batch([]) == []


def test_every_proposal_counts() -> None:
    def fail(design: Design, _seed: int) -> Evaluation:
        raise SimulatorTimeout("slow") if design["size"] else InfeasibleDesign("no")

    evaluator = make(Spy(fail), budget=4)
    for proposal in (design(), design(), design(size=9), design(size=3)):  # cached, constrained
        evaluator.evaluate(proposal)
    assert evaluator.remaining == 0


def test_a_batch_over_budget_simulates_nothing() -> None:
    for spy in (Spy(), BatchSpy()):
        recorder = MemoryRecorder()
        evaluator = make(spy, budget=3, recorder=recorder)
        evaluator.evaluate(design())
        with pytest.raises(BudgetExhausted, match=r"3 more trial\(s\).*1 of 3 are spent"):
            evaluator.evaluate_batch([design(size=s) for s in (1, 2, 3)])
        assert (evaluator.spent, len(spy.calls), len(recorder.trials)) == (1, 1, 1)
        assert len(evaluator.evaluate_batch([design(size=s) for s in (1, 2)])) == 2


def test_without_a_budget_there_is_no_limit() -> None:
    evaluator = make(Spy())
    for _ in range(50):
        evaluator.evaluate(design())
    assert (evaluator.spent, evaluator.remaining) == (50, None)


def test_designs_outside_the_space_are_not_counted() -> None:
    for spy in (Spy(), BatchSpy()):
        evaluator = make(spy, budget=5)
        with pytest.raises(DesignError, match="Did you mean 'on'"):
            evaluator.evaluate(design(mode="onn"))
        with pytest.raises(DesignError, match=r"integer 0\.\.9, got 10"):
            evaluator.evaluate_batch([design(), design(size=10)])
        assert (evaluator.spent, spy.calls) == (0, [])


# ---- cache -------------------------------------------------------------------------------------


def test_equal_designs_are_simulated_once() -> None:
    spy = Spy()
    evaluator = make(spy)
    first = evaluator.evaluate(design(size=4, boost=1, mode="off"))
    second = evaluator.evaluate(design(size=4, boost=2, mode="off"))  # "boost" is inactive
    assert len(spy.calls) == 1
    assert second == replace(first, index=1, cached=True, wall_s=0.0)


def test_failures_are_remembered_too() -> None:
    def fail(_design: Design, _seed: int) -> Evaluation:
        raise ValueError("broken")

    spy = Spy(fail)
    evaluator = make(spy)
    first, second = evaluator.evaluate(design()), evaluator.evaluate(design())
    assert len(spy.calls) == 1
    assert second == replace(first, index=1, cached=True, wall_s=0.0)


def test_stochastic_simulators_are_not_cached() -> None:
    spy = Spy(deterministic=False)
    evaluator = make(spy)
    trials = [evaluator.evaluate(design()) for _ in range(3)]
    assert len(spy.calls) == 3
    assert not any(trial.cached for trial in trials)


def test_the_cache_forgets_what_was_not_used_for_longest() -> None:
    spy = Spy()
    evaluator = make(spy, cache_size=2)
    cached = [evaluator.evaluate(design(size=size)).cached for size in (1, 2, 1, 3, 1, 2)]
    assert cached == [False, False, True, False, True, False]
    assert not make(spy, cache_size=0).evaluate(design()).cached


# ---- failures ----------------------------------------------------------------------------------


def test_broken_constraints_are_infeasible_and_not_simulated() -> None:
    for spy in (Spy(), BatchSpy()):
        evaluator = make(spy)
        trials = [evaluator.evaluate(design(size=9)), *evaluator.evaluate_batch([design(size=9)])]
        assert spy.calls == []
        for trial in trials:
            assert trial.status is Status.INFEASIBLE
            assert trial.message == "small: size must be below 9"
            assert trial.metrics == {}
            assert not trial.cached
            assert trial.wall_s == 0.0


def raising(error: Exception) -> Behaviour:
    def fail(_design: Design, _seed: int) -> Evaluation:
        raise error

    return fail


def returning(value: Any) -> Behaviour:
    return lambda _design, _seed: value


def reporting(**metrics: Any) -> Behaviour:
    return returning(Evaluation({"delay_ns": 10.0, "area_mm2": 10.0, **metrics}))


FAILURES = {
    "infeasible": (raising(InfeasibleDesign("too hot")), Status.INFEASIBLE, "too hot"),
    "timeout": (raising(SimulatorTimeout("after 3 s")), Status.TIMEOUT, "after 3 s"),
    "crash": (raising(SimulatorError("exit code 1")), Status.CRASHED, "exit code 1"),
    "no reason": (raising(SimulatorTimeout()), Status.TIMEOUT, "SimulatorTimeout"),
    "foreign": (
        raising(ZeroDivisionError("by zero")),
        Status.CRASHED,
        "ZeroDivisionError: by zero",
    ),
    "returned": (
        returning(Evaluation(status=Status.INFEASIBLE, message="pins")),
        Status.INFEASIBLE,
        "pins",
    ),
    "returned timeout": (
        returning(Evaluation(status=Status.TIMEOUT)),
        Status.TIMEOUT,
        "no reason given",
    ),
    "nothing": (returning(None), Status.CRASHED, "returned NoneType instead of Evaluation"),
    "missing": (
        returning(Evaluation({"delay_ns": 10.0})),
        Status.CRASHED,
        "metric 'area_mm2' is missing or no number: None",
    ),
    "NaN": (
        reporting(delay_ns=math.nan),
        Status.CRASHED,
        "metric 'delay_ns' is nan, outside its bounds 1.0..1000.0",
    ),
    "infinite": (
        reporting(area_mm2=math.inf),
        Status.CRASHED,
        "metric 'area_mm2' is inf, outside its bounds 1.0..1000.0",
    ),
    "low": (
        reporting(delay_ns=0.5),
        Status.CRASHED,
        "metric 'delay_ns' is 0.5, outside its bounds 1.0..1000.0",
    ),
    "high": (
        reporting(delay_ns=2000),
        Status.CRASHED,
        "metric 'delay_ns' is 2000.0, outside its bounds 1.0..1000.0",
    ),
    "words": (
        reporting(delay_ns="fast"),
        Status.CRASHED,
        "metric 'delay_ns' is missing or no number: 'fast'",
    ),
    "undeclared": (reporting(power_mw=1.0), Status.CRASHED, "metric 'power_mw' is not declared"),
}


@pytest.mark.parametrize("simulator", [Spy, BatchSpy])
@pytest.mark.parametrize("name", FAILURES)
def test_failures_are_data(name: str, simulator: type[Spy]) -> None:
    behaviour, status, message = FAILURES[name]
    evaluator = make(simulator(behaviour))
    trial = evaluator.evaluate(design())
    assert (trial.status, trial.message, trial.metrics) == (status, message, {})
    assert trial.reward == evaluator.objective.failure_reward
    assert trial.rewards == evaluator.objective.failure_vector
    assert evaluator.spent == 1
    assert evaluator.best is None


def test_an_interrupt_is_not_a_failure() -> None:
    def interrupt(_design: Design, _seed: int) -> Evaluation:
        raise KeyboardInterrupt

    evaluator = make(Spy(interrupt))
    with pytest.raises(KeyboardInterrupt):
        evaluator.evaluate(design())
    assert evaluator.spent == 0


def test_metrics_become_plain_floats() -> None:
    metrics = (
        make(Spy(reporting(area_mm2=np.float32(2.5), delay_ns=np.int64(7))))
        .evaluate(design())
        .metrics
    )
    assert list(metrics.items()) == [("delay_ns", 7.0), ("area_mm2", 2.5)]
    assert all(type(value) is float for value in metrics.values())


SPECIFICATIONS = (
    "minimize:delay_ns",
    "product:delay_ns^3*area_mm2",
    "target:delay_ns=1e-3,area_mm2=20@1e3",
    "pareto:delay_ns,area_mm2",
    "archgym:delay_ns=50,area_mm2=20",
)


@given(st.sampled_from(SPECIFICATIONS), st.floats(1, 1e3), st.floats(1, 1e3))
def test_a_failure_is_worse_than_any_design(spec: str, delay: float, area: float) -> None:
    def behave(design: Design, _seed: int) -> Evaluation:
        if design["size"]:
            raise SimulatorError("crash")
        return Evaluation({"delay_ns": delay, "area_mm2": area})

    evaluator = make(Spy(behave), spec)
    feasible, failed = evaluator.evaluate_batch([design(), design(size=1)])
    assert failed.reward < feasible.reward
    assert all(map(float.__lt__, failed.rewards, feasible.rewards))
    assert evaluator.best == feasible


# ---- best --------------------------------------------------------------------------------------


def test_the_best_is_the_first_with_the_highest_reward() -> None:
    evaluator = make(Spy())
    best = [evaluator.best]
    for proposal in (design(9), design(2), design(5, boost=1), design(5), design(3)):
        evaluator.evaluate(proposal)
        best.append(evaluator.best)
    assert [trial and trial.index for trial in best] == [None, None, 1, 2, 2, 2]


# ---- batches -----------------------------------------------------------------------------------

PROPOSALS = st.lists(
    st.builds(design, st.integers(0, 9), st.integers(0, 2), st.sampled_from(["on", "off"])),
    max_size=25,
)


def moody(design: Design, seed: int) -> Evaluation:
    """Be fine, fail in each way, and depend on the seed."""
    match design["size"]:
        case 1:
            raise InfeasibleDesign("one")
        case 2:
            return Evaluation(status=Status.TIMEOUT, message="two")
        case 3:
            return Evaluation({"delay_ns": math.nan, "area_mm2": 1.0})
    return Evaluation({"delay_ns": 1.0 + seed % 997, "area_mm2": 1.0 + int(design["boost"])})


def moody_batch(self: BatchSpy, designs: list[Design], *, seeds: list[int]) -> list[Evaluation]:
    self.sizes.append(len(designs))
    evaluations = []
    for one, seed in zip(designs, seeds, strict=True):
        self.calls.append((one, seed))
        try:
            evaluations.append(moody(one, seed))
        except InfeasibleDesign as error:
            evaluations.append(Evaluation(status=Status.INFEASIBLE, message=str(error)))
    return evaluations


class MoodyBatch(BatchSpy):
    evaluate_batch = moody_batch  # type: ignore[assignment]


@given(PROPOSALS, st.integers(1, 7), st.booleans(), st.integers(0, 5))
def test_batches_equal_single_evaluations(
    proposals: list[Design], batch: int, deterministic: bool, cache_size: int
) -> None:
    arguments: dict[str, Any] = {"seed": 5, "cache_size": cache_size}
    single = make(Spy(moody, deterministic=deterministic), **arguments)
    expected = [single.evaluate(proposal) for proposal in proposals]
    for simulator in (Spy, MoodyBatch):
        recorder = MemoryRecorder()
        evaluator = make(
            simulator(moody, deterministic=deterministic), recorder=recorder, **arguments
        )
        trials: list[Trial] = []
        for start in range(0, len(proposals), batch):
            trials += evaluator.evaluate_batch(proposals[start : start + batch])
        assert timeless(trials) == timeless(expected)
        assert recorder.trials == trials
        assert evaluator.spent == len(proposals)


def test_a_batch_simulates_new_designs_once_and_in_one_call() -> None:
    spy = BatchSpy()
    evaluator = make(spy)
    evaluator.evaluate(design(size=1))
    batch = [design(size=s) for s in (1, 2, 9, 2, 3)]  # known, new, constrained, again, new
    trials = evaluator.evaluate_batch(batch)
    assert [trial.cached for trial in trials] == [True, False, False, True, False]
    assert spy.sizes == [2]
    assert [call[0]["size"] for call in spy.calls] == [1, 2, 3]
    evaluator.evaluate_batch(batch)
    assert spy.sizes == [2]


def test_a_batch_that_fails_as_a_whole_is_evaluated_one_by_one() -> None:
    class Fragile(BatchSpy):
        def evaluate_batch(
            self, designs: Sequence[Design], *, seeds: Sequence[int]
        ) -> list[Evaluation]:
            if any(design["size"] == 2 for design in designs):
                raise MemoryError("too much")
            return super().evaluate_batch(designs, seeds=seeds)[:2]

    evaluator = make(Fragile())
    with pytest.warns(RuntimeWarning, match=r"spy: evaluate_batch failed \(MemoryError: too much"):
        trials = evaluator.evaluate_batch([design(size=s) for s in (1, 2)])
    assert [trial.metrics["delay_ns"] for trial in trials] == [90.0, 80.0]
    with pytest.warns(RuntimeWarning, match="2 evaluations for 3 designs"):
        trials = evaluator.evaluate_batch([design(size=s) for s in (3, 4, 5)])
    assert [trial.metrics["delay_ns"] for trial in trials] == [70.0, 60.0, 50.0]


# ---- seeds -------------------------------------------------------------------------------------


def test_seeds_follow_from_the_run_and_the_trial() -> None:
    def seeds(seed: int, batch: int) -> list[int]:
        spy = BatchSpy(deterministic=False)
        evaluator = make(spy, seed=seed)
        trials = [
            trial
            for _ in range(12 // batch)
            for trial in evaluator.evaluate_batch([design()] * batch)
        ]
        assert [trial.seed for trial in trials] == [call[1] for call in spy.calls]
        return [trial.seed for trial in trials]

    assert seeds(1, 1) == seeds(1, 4) == seeds(1, 12)
    assert len(set(seeds(1, 1) + seeds(2, 1))) == 24
    assert all(0 <= seed < 2**63 for seed in seeds(1, 1))


def test_the_seed_of_a_deterministic_simulator_is_zero() -> None:
    spy = Spy()
    assert make(spy, seed=7).evaluate(design()).seed == 0
    assert spy.calls[0][1] == 0


# ---- recorder and history ----------------------------------------------------------------------


def test_every_trial_is_recorded_once_in_order() -> None:
    recorder = MemoryRecorder()
    evaluator = make(Spy(moody), recorder=recorder)
    trials = [evaluator.evaluate(design(size=s)) for s in (9, 1, 2, 3, 4, 4)]
    trials += evaluator.evaluate_batch([design(size=s) for s in (4, 5, 9)])
    assert recorder.trials == trials
    assert [trial.index for trial in trials] == list(range(9))


@given(PROPOSALS, st.integers(0, 25), st.integers(1, 7), st.booleans())
def test_a_resumed_run_equals_an_unbroken_one(
    proposals: list[Design], done: int, batch: int, deterministic: bool
) -> None:
    whole = make(MoodyBatch(moody, deterministic=deterministic), seed=3)
    expected = [whole.evaluate(proposal) for proposal in proposals]
    history = expected[:done]
    recorder = MemoryRecorder()
    spy = MoodyBatch(moody, deterministic=deterministic)
    resumed = make(spy, seed=3, recorder=recorder, history=history, budget=len(proposals))
    trials: list[Trial] = []
    for start in range(0, len(proposals), batch):
        trials += resumed.evaluate_batch(proposals[start : start + batch])
    assert timeless(trials) == timeless(expected)
    assert recorder.trials == trials[done:]
    assert resumed.remaining == 0
    if whole.best is None:
        assert resumed.best is None
    else:
        assert resumed.best is not None
        assert timeless([resumed.best]) == timeless([whole.best])
    simulated = [t for t in expected[done:] if not t.cached and t.design["size"] != 9]
    assert [call[0] for call in spy.calls] == [trial.design for trial in simulated]


@pytest.mark.parametrize("simulator", [Spy, BatchSpy])
def test_a_history_of_other_designs_is_refused(simulator: type[Spy]) -> None:
    history = [make(Spy()).evaluate(design(size=1))]
    for propose in (Evaluator.evaluate, lambda e, d: e.evaluate_batch([d, d])):
        spy = simulator()
        evaluator = make(spy, history=history)
        with pytest.raises(
            ReplayMismatch, match=r"trial 0 proposes the design .* where the history"
        ):
            propose(evaluator, design(size=2))
        assert (evaluator.spent, spy.calls) == (0, [])


def test_a_history_with_gaps_or_beyond_the_budget_is_refused() -> None:
    evaluator = make(Spy())
    trials = [evaluator.evaluate(design(size=size)) for size in range(3)]
    for history in (trials[1:], trials[::-1], [trials[0], trials[0]]):
        with pytest.raises(ReplayMismatch, match="not numbered 0, 1, 2"):
            make(Spy(), history=history)
    with pytest.raises(ReplayMismatch, match="3 trials, more than the budget of 2"):
        make(Spy(), history=trials, budget=2)
    assert make(Spy(), history=trials, budget=3).remaining == 3


@pytest.mark.parametrize("name", ["budget", "seed", "cache_size"])
def test_negative_arguments_are_refused(name: str) -> None:
    arguments: dict[str, Any] = {name: -1}
    with pytest.raises(ConfigError, match=f"{name} must not be negative, got -1"):
        make(Spy(), **arguments)
