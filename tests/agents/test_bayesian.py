from statistics import median
from typing import Any, cast

import optuna
import pytest

from archgym_py.agents.bayesian import Bayesian
from archgym_py.simulator import Status
from archgym_py.space import Choice, Constraint, Design, Integer, ParameterSpace, Real

SPACE = ParameterSpace(
    (
        Choice("kind", ("plain", "fast")),
        Integer("ports", 1, 20),
        Real("share", 0.01, 1.0, log=True),
        Integer("depth", 1, 9, active_when={"kind": ("fast",)}),
    ),
    (Constraint("ports", "at most 15 ports", lambda design: cast(int, design["ports"]) <= 15),),
)


def cost(design: Design) -> float:
    ports, share = cast(int, design["ports"]), cast(float, design["share"])
    return 1.0 + (ports - 12) ** 2 + 10 * abs(share - 0.1) + (design["kind"] == "fast")


def mostly_broken(design: Design) -> float:
    return float("inf") if cast(int, design["ports"]) % 2 else cost(design)


def study_of(agent: Bayesian) -> optuna.Study:
    study = agent._study
    assert study is not None
    return study


@pytest.mark.parametrize(("sampler", "budget"), [("tpe", 60), ("gp", 36)])
def test_the_model_finds_the_region_of_the_best_designs(
    search: Any, sampler: str, budget: int
) -> None:
    trials = search(Bayesian(SPACE, seed=1, sampler=sampler), cost, budget)
    costs = [trial.metrics["a"] for trial in trials]
    random, modelled = costs[:16], costs[16:]
    assert median(modelled) < median(random)
    assert min(modelled) < min(random)
    assert min(modelled) < 3.0


def test_a_sample_is_told_once(search: Any) -> None:
    agent = Bayesian(SPACE, seed=1)
    trials = search(agent, cost, 40)
    told = [frozen.value for frozen in study_of(agent).trials]
    assert all(trial.reward in told for trial in trials)
    # What is told beyond the samples are designs that break a constraint, which cost none.
    assert len(trials) <= len(told) < 3 * len(trials)
    assert len({trial.key for trial in trials}) == len(trials)


def test_a_batch_is_proposed_before_any_of_it_is_told() -> None:
    agent = Bayesian(SPACE, seed=1, batch_size=5)
    designs = agent.ask(100)
    assert len(designs) == 5
    running = [t for t in study_of(agent).trials if t.state == optuna.trial.TrialState.RUNNING]
    assert len(running) == 5


def test_constraints_are_told_as_constraints_and_failures_as_finite_penalties(search: Any) -> None:
    agent = Bayesian(SPACE, seed=3)
    trials = search(agent, mostly_broken, 60)
    assert any(trial.status is Status.INFEASIBLE for trial in trials)
    rewards = [trial.reward for trial in trials if trial.status is Status.OK]
    worst = min(rewards)
    told = study_of(agent).trials
    by_ports: dict[bool, list[optuna.trial.FrozenTrial]] = {True: [], False: []}
    for frozen in told:
        assert frozen.state == optuna.trial.TrialState.COMPLETE
        assert frozen.value is not None
        assert frozen.distributions["share"].log  # type: ignore[attr-defined]  # of floats only
        broken = (frozen.params["ports"] + 1) % 2 == 1 or frozen.params["ports"] + 1 > 15
        by_ports[broken].append(frozen)
        violated = any(value > 0 for value in frozen.constraints.values())
        assert violated == broken
    assert by_ports[True]
    assert by_ports[False]
    spread = max(rewards) - worst
    for frozen in by_ports[True]:
        # Of the same size as the rewards, and not the huge one of a failed trial.
        assert abs(cast(float, frozen.value)) < 10 * (spread + abs(worst) + 1)
    # What breaks a constraint of the space costs no sample as long as there is anything else.
    assert all(cast(int, trial.design["ports"]) <= 15 for trial in trials)


def test_inactive_parameters_are_not_part_of_the_model() -> None:
    agent = Bayesian(SPACE, seed=0, batch_size=32)
    designs = agent.ask(32)
    for frozen, design in zip(study_of(agent).trials, designs, strict=False):
        assert ("depth" in frozen.params) == (frozen.params["kind"] == "fast")
        if frozen.params["kind"] == "plain" and design["kind"] == "plain":
            assert design["depth"] == 1


def test_gp_is_a_gaussian_process() -> None:
    for name, kind in (("gp", optuna.samplers.GPSampler), ("tpe", optuna.samplers.TPESampler)):
        agent = Bayesian(SPACE, seed=0, sampler=name)
        agent.ask(1)
        assert isinstance(study_of(agent).sampler, kind)


def test_a_crash_is_a_finite_score_and_no_broken_constraint(tell: Any) -> None:
    space = ParameterSpace((Choice("kind", ("plain", "fast")), Integer("ports", 1, 20)))
    agent = Bayesian(space, seed=0, batch_size=32)
    tell(
        agent,
        lambda design: None if design["kind"] == "fast" else 30.0 + cast(int, design["ports"]),
    )
    complete = optuna.trial.TrialState.COMPLETE
    told = [frozen for frozen in study_of(agent).trials if frozen.state == complete]
    crashed = [frozen for frozen in told if frozen.params["kind"] == "fast"]
    works = [cast(float, frozen.value) for frozen in told if frozen.params["kind"] == "plain"]
    assert min(len(crashed), len(works)) > 5
    for frozen in crashed:
        # Below the worst by no more than the best is above it, not by a thousand million.
        assert min(works) - 20.0 < cast(float, frozen.value) < 50.0
        assert not any(value > 0 for value in frozen.constraints.values())
    assert cast(float, crashed[-1].value) < min(works)


def test_known_designs_cost_no_sample_and_are_told_once(search: Any) -> None:
    space = ParameterSpace((Integer("x", 0, 7), Integer("y", 0, 7)))
    agent = Bayesian(space, seed=0, batch_size=1)
    trials = search(agent, lambda d: 1.0 + cast(int, d["x"]) + cast(int, d["y"]), 30)
    assert len({trial.key for trial in trials}) == 30
    told = [t for t in study_of(agent).trials if t.state == optuna.trial.TrialState.COMPLETE]
    repeats = [t for t in study_of(agent).trials if t.state == optuna.trial.TrialState.FAIL]
    assert len(told) == 30
    assert repeats
    designs = [(frozen.params["x"], frozen.params["y"]) for frozen in told]
    assert len(set(designs)) == 30
    assert {(frozen.params["x"], frozen.params["y"]) for frozen in repeats} <= set(designs)


def test_where_the_model_has_nothing_new_the_next_design_is_random(search: Any) -> None:
    space = ParameterSpace((Integer("x", 0, 15), Choice("c", tuple("abcd"))))
    agent = Bayesian(space, seed=0, batch_size=1)
    trials = search(agent, lambda d: 1.0 + cast(int, d["x"]), 60)
    assert len({trial.key for trial in trials}) == 60  # of 64
    # Never more than two in vain for a sample, and then one that was set.
    assert len(study_of(agent).trials) <= 3 * 60
    assert any("fixed_params" in frozen.system_attrs for frozen in study_of(agent).trials)
