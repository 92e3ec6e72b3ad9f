import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archgym_py.errors import ConfigError
from archgym_py.objective import ArchGymTarget, Minimize, Pareto, Product, Target, parse_objective
from archgym_py.simulator import Evaluation, Metric

METRICS = (
    Metric("time_ns", "ns", 1.0, 1e9),
    Metric("energy_pj", "pJ", 10.0, 1e12),
    Metric("row_hit_rate", "1", 0.0, 1.0),
)
BASELINE = {"time_ns": 1000.0, "energy_pj": 500.0, "row_hit_rate": 0.5}


def reward(spec: str | Mapping[str, Any], **values: float) -> float:
    objective = parse_objective(spec, metrics=METRICS, baseline=BASELINE)
    return objective.reward(Evaluation({**BASELINE, **values}))


# ---- any objective -----------------------------------------------------------------------------


@st.composite
def specifications(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from(["minimize", "product", "pareto", "target", "archgym"]))
    names = draw(st.sampled_from([["time_ns"], ["energy_pj", "time_ns"], ["time_ns", "energy_pj"]]))
    numbers = st.floats(1e-6, 1e12)
    match kind:
        case "minimize":
            return f"minimize:{names[0]}"
        case "product":
            return "product:" + "*".join(f"{name}^{draw(st.floats(1e-3, 9))!r}" for name in names)
        case "pareto":
            if draw(st.booleans()):
                return "pareto:" + ",".join(names)
            return "pareto:" + ",".join(f"{name}={draw(numbers)!r}" for name in names)
        case "target":
            return "target:" + ",".join(f"{name}={draw(numbers)}@{draw(numbers)}" for name in names)
        case _:
            targets = ",".join(f"{name}={draw(numbers)}" for name in names)
            return f"archgym:{targets};cap={draw(st.floats(1, 1e9))}"


@given(st.data(), specifications())
def test_failures_are_below_every_feasible_design(data: st.DataObject, spec: str) -> None:
    metrics = []
    for name in ("time_ns", "energy_pj"):
        low = data.draw(st.floats(1e-9, 1e9))
        metrics.append(Metric(name, "1", low, low * data.draw(st.floats(1.01, 1e12))))
    values = {m.name: data.draw(st.floats(m.low, m.high)) for m in metrics}
    baseline = {m.name: data.draw(st.floats(m.low, m.high)) for m in metrics}
    objective = parse_objective(spec, metrics=metrics, baseline=baseline)
    evaluation = Evaluation(values)
    value, vector = objective.reward(evaluation), objective.vector(evaluation)
    assert math.isfinite(objective.failure_reward)
    assert objective.failure_reward < value
    slack = 1e-9 * max(1.0, abs(value))
    assert objective.reward_low - slack <= value <= objective.reward_high + slack
    assert value == pytest.approx(sum(vector) / len(vector))
    assert len(objective.failure_vector) == len(vector)
    assert all(map(float.__lt__, objective.failure_vector, vector))


@given(specifications(), st.floats(1, 1e9), st.floats(10, 1e12))
def test_names_are_specifications(spec: str, time: float, energy: float) -> None:
    objective = parse_objective(spec, metrics=METRICS, baseline=BASELINE)
    again = parse_objective(objective.name, metrics=METRICS, baseline=BASELINE)
    evaluation = Evaluation({"time_ns": time, "energy_pj": energy})
    assert again.name == objective.name
    assert again.metrics == objective.metrics
    assert again.vector(evaluation) == objective.vector(evaluation)
    assert again.failure_vector == objective.failure_vector
    assert again.reference == objective.reference
    assert repr(again) == f"<{type(objective).__name__} {objective.name!r}>"


@given(specifications(), st.floats(1, 1e9), st.floats(1, 1e9))
def test_smaller_is_never_worse(spec: str, one: float, other: float) -> None:
    if spec.startswith("archgym"):
        return  # the published formula lacks this property, see below
    worse, better = max(one, other), min(one, other)
    values = {"energy_pj": 500.0}
    assert reward(spec, **values, time_ns=better) >= reward(spec, **values, time_ns=worse)


# ---- each objective ----------------------------------------------------------------------------


def test_minimize_is_the_log_of_the_improvement() -> None:
    assert reward("minimize:time_ns") == 0.0
    assert reward("minimize:time_ns", time_ns=500.0) == pytest.approx(math.log(2))
    assert reward("minimize:time_ns", time_ns=4000.0) == pytest.approx(-math.log(4))
    objective = Minimize("time_ns", metrics=METRICS, baseline=BASELINE)
    assert objective.reward_high == pytest.approx(math.log(1000))
    assert objective.reward_low == pytest.approx(-math.log(1e6))


def test_product_multiplies_powers() -> None:
    halves = {"time_ns": 500.0, "energy_pj": 250.0}
    assert reward("product:time_ns*energy_pj", **halves) == pytest.approx(2 * math.log(2))
    assert reward("product: time_ns^2 * energy_pj", **halves) == pytest.approx(3 * math.log(2))
    trade = {"time_ns": 500.0, "energy_pj": 1000.0}
    assert reward("product:time_ns*energy_pj", **trade) == pytest.approx(0.0)
    objective = Product({"time_ns": 2, "energy_pj": 1}, metrics=METRICS, baseline=BASELINE)
    assert objective.name == "product:time_ns^2.0*energy_pj"


def test_target_is_minus_the_weighted_relative_excess() -> None:
    spec = "target:time_ns=1e3,energy_pj=100@3"
    assert reward(spec, time_ns=1000.0, energy_pj=100.0) == 0.0
    assert reward(spec, time_ns=1.0, energy_pj=10.0) == 0.0  # nothing for being better
    assert reward(spec, time_ns=1500.0, energy_pj=100.0) == -0.5
    assert reward(spec, time_ns=1500.0, energy_pj=200.0) == -3.5
    assert str(reward(spec, time_ns=1.0, energy_pj=10.0)) == "0.0"  # not -0.0
    assert reward("target:row_hit_rate=0.25", row_hit_rate=0.5) == -1.0  # 0 may be a bound here


def test_pareto_has_a_reward_for_each_goal() -> None:
    objective = Pareto(("time_ns", "energy_pj"), metrics=METRICS, baseline=BASELINE)
    evaluation = Evaluation({"time_ns": 500.0, "energy_pj": 2000.0})
    assert objective.vector(evaluation) == pytest.approx((math.log(2), -math.log(4)))
    assert objective.reward(evaluation) == pytest.approx(-math.log(2) / 2)
    assert objective.metrics == ("time_ns", "energy_pj")


def test_hypervolumes_are_measured_from_twice_the_default_design_or_from_what_is_stated() -> None:
    goals = ("time_ns", "energy_pj")
    twice = Pareto(goals, metrics=METRICS, baseline=BASELINE)
    assert twice.reference == pytest.approx((-math.log(2), -math.log(2)))
    stated = Pareto(goals, {"energy_pj": 1500, "time_ns": 500}, metrics=METRICS, baseline=BASELINE)
    assert stated.reference == pytest.approx((math.log(2), -math.log(3)))
    assert stated.name == "pareto:time_ns=500.0,energy_pj=1500.0"


def test_archgym_has_a_capped_pole_and_punishes_being_better() -> None:
    assert reward("archgym:time_ns=1000", time_ns=1250.0) == 4.0
    assert reward("archgym:time_ns=1000", time_ns=750.0) == 4.0
    assert reward("archgym:time_ns=1000", time_ns=1000.0) == 1000.0
    assert reward("archgym:time_ns=1000", time_ns=1000.5) == 1000.0
    assert reward("archgym:time_ns=1000;cap=10", time_ns=1000.0) == 10.0
    both = reward("archgym:time_ns=1000,energy_pj=100", time_ns=1250.0, energy_pj=150.0)
    assert both == 8.0
    objective = ArchGymTarget({"time_ns": 1000}, 10, metrics=METRICS)
    assert objective.name == "archgym:time_ns=1000.0;cap=10.0"


@pytest.mark.parametrize(
    ("mapping", "name"),
    [
        ({"kind": "minimize", "metric": "time_ns"}, "minimize:time_ns"),
        ({"kind": "product", "exponents": {"time_ns": 2}}, "product:time_ns^2.0"),
        ({"kind": "pareto", "goals": ["time_ns"]}, "pareto:time_ns"),
        (
            {"kind": "pareto", "goals": ["time_ns"], "reference": {"time_ns": "1e3"}},
            "pareto:time_ns=1000.0",
        ),
        ({"kind": "target", "targets": {"time_ns": 5}}, "target:time_ns=5.0"),
        # YAML reads 1e5 as a string.
        ({"kind": "target", "targets": {"time_ns": "1e5"}}, "target:time_ns=100000.0"),
        (
            {"kind": "target", "targets": {"time_ns": 5}, "weights": {"time_ns": 2}},
            "target:time_ns=5.0@2.0",
        ),
        ({"kind": "archgym", "targets": {"time_ns": 5}}, "archgym:time_ns=5.0"),
        ({"kind": "archgym", "targets": {"time_ns": 5}, "cap": 9}, "archgym:time_ns=5.0;cap=9.0"),
    ],
)
def test_mappings_name_the_arguments(mapping: dict[str, Any], name: str) -> None:
    before = dict(mapping)
    assert parse_objective(mapping, metrics=METRICS, baseline=BASELINE).name == name
    assert mapping == before


# ---- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("minimise:time_ns", r"kind of objective 'minimise'. Did you mean 'minimize'\?"),
        ("latency", "Known: minimize, product, target, pareto, archgym"),
        ("", "unknown kind of objective ''"),
        (3, "a string such as 'minimize:total_time_ns' or a mapping"),
        (None, "a string such as"),
        ({}, "unknown kind of objective None"),
        ({"kind": ["minimize"]}, r"unknown kind of objective \['minimize'\]"),
        ("minimize", "lacks its 'metric'. Write for example 'minimize:total_time_ns'"),
        ("target:", "lacks its 'targets'"),
        ({"kind": "pareto"}, "lacks its 'goals'"),
        (
            {"kind": "minimize", "metrics": "time_ns"},
            "no argument 'metrics'. Did you mean 'metric'",
        ),
        ({"kind": "minimize", "metric": "time_ns", "cap": 3}, "no argument 'cap'"),
        ("minimize:time", "reports no 'time'. Did you mean 'time_ns'"),
        ("minimize:tme_ns", "no 'tme_ns'.*'time_ns'.*Known: time_ns, energy_pj, row_hit_rate"),
        ("minimize:power", "reports no 'power'. Known: time_ns, energy_pj, row_hit_rate"),
        ("minimize:row_hit_rate", "can be as low as 0 1. Use 'target:row_hit_rate"),
        ({"kind": "minimize", "metric": ["time_ns"]}, r"reports no \['time_ns'\]"),
        ("product:time_ns*", "cannot read ''"),
        ("product:time_ns^", r"cannot read 'time_ns\^'"),
        ("product:time_ns^-1", "'time_ns' needs a positive finite number, got '-1'"),
        ("product:time_ns*time_ns", "'time_ns' is given twice"),
        ("product:time_ns^1e308", "exceed the range of floats"),
        ("pareto:time_ns,time_ns", "a list of different metrics"),
        ({"kind": "pareto", "goals": "time_ns"}, "a list of different metrics, got 'time_ns'"),
        ("pareto:time_ns=1e3,energy_pj", "cannot read 'energy_pj'"),
        ("pareto:time_ns=0", "'time_ns' needs a positive finite number, got '0'"),
        (
            {"kind": "pareto", "goals": ["time_ns", "energy_pj"], "reference": {"time_ns": 1}},
            "the reference point has time_ns, the goals are time_ns, energy_pj. Give the value of",
        ),
        ({"kind": "pareto", "goals": ["time_ns"], "ref": {}}, "no argument 'ref'"),
        ({"kind": "product", "exponents": ["time_ns"]}, "needs a table such as"),
        ("target:time_ns", "cannot read 'time_ns'. Write for example"),
        ("target:time_ns=", "cannot read 'time_ns='"),
        ("target:time_ns=fast", "'time_ns' needs a positive finite number, got 'fast'"),
        ("target:time_ns=0", "'time_ns' needs a positive finite number, got '0'"),
        ("target:time_ns=nan", "positive finite number, got 'nan'"),
        ("target:time_ns=1@", "positive finite number, got ''"),
        ("target:time_ns=1@inf", "positive finite number, got 'inf'"),
        ({"kind": "target", "targets": {"time_ns": True}}, "positive finite number, got True"),
        ({"kind": "target", "targets": {"time_ns": None}}, "positive finite number, got None"),
        ({"kind": "target", "targets": {"time_ns": 10**400}}, "needs a positive finite number"),
        (
            {"kind": "target", "targets": {"time_ns": 1}, "weights": {"time": 2}},
            "'time' has a weight but no target. Did you mean 'time_ns'",
        ),
        ("archgym:time_ns=1;cup=3", "no argument 'cup'. Did you mean 'cap'"),
        ("archgym:time_ns=1;cap=0", "'cap' needs a positive finite number"),
    ],
)
def test_refusals_teach(spec: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_objective(spec, metrics=METRICS, baseline=BASELINE)


def test_the_baseline_must_suit() -> None:
    with pytest.raises(ConfigError, match="the baseline has no 'time_ns'"):
        parse_objective("minimize:time_ns", metrics=METRICS, baseline={})
    with pytest.raises(ConfigError, match=r"'time_ns' needs a positive finite number, got 0\.0"):
        parse_objective("minimize:time_ns", metrics=METRICS, baseline={"time_ns": 0.0})
    Target({"time_ns": 1}, metrics=METRICS)  # needs none
