"""Enumeration: the optima are optima of all designs."""

from __future__ import annotations

from typing import Any

import pytest

from archgym_py import commands_enumerate
from archgym_py.commands_enumerate import enumerate_designs
from archgym_py.errors import ConfigError
from archgym_py.simulators.toy import TOY_SPACE, ToySimulator

TOY = "ArchGym/Toy-v0"


def enumerated(**options: Any) -> tuple[dict[str, Any], list[int | None], list[int]]:
    started: list[int | None] = []
    done: list[int] = []
    found = enumerate_designs(TOY, **options, start=started.append, progress=done.append)
    return found, started, done


def test_optima_of_all_designs() -> None:
    found, started, done = enumerated(minimize=["delay_ns"], maximize=["cost_usd"], command="x")
    toy = ToySimulator()
    designs = list(TOY_SPACE.iter_canonical())
    metrics = [toy.evaluate(design, seed=0).metrics for design in designs]
    fastest = min(values["delay_ns"] for values in metrics)
    dearest = max(values["cost_usd"] for values in metrics)
    assert found["metrics"]["delay_ns"] == {
        "goal": "minimize",
        "optimum": fastest,
        "unit": "ns",
        "ties": sum(values["delay_ns"] == fastest for values in metrics),
        "designs": [
            design
            for design, values in zip(designs, metrics, strict=True)
            if values["delay_ns"] == fastest
        ],
    }
    assert found["metrics"]["cost_usd"]["optimum"] == dearest
    assert found["metrics"]["cost_usd"]["goal"] == "maximize"
    assert found["designs"] == len(designs) == sum(done)
    assert found["statuses"] == {"ok": len(designs)}
    assert started == [len(designs)]
    assert max(done) <= 4096
    assert found["env"] == TOY
    assert found["env_kwargs"] == {}
    assert found["simulator"] == "toy"
    assert found["command"] == "x"
    assert found["wall_s"] > 0.0


def test_ties_are_counted_and_the_first_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands_enumerate, "_LISTED", 3)
    evaluate = ToySimulator.evaluate

    def coarse(simulator: ToySimulator, design: Any, *, seed: int) -> Any:
        evaluation = evaluate(simulator, design, seed=seed)
        return type(evaluation)({name: round(v, -1) for name, v in evaluation.metrics.items()})

    monkeypatch.setattr(ToySimulator, "evaluate", coarse)
    found, _, _ = enumerated(minimize=["cost_usd"])
    assert found["metrics"]["cost_usd"]["ties"] > 100
    assert len(found["metrics"]["cost_usd"]["designs"]) == 3
    assert found["metrics"]["cost_usd"]["optimum"] == 10.0


def test_too_many_to_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands_enumerate, "_COUNTABLE", 10)
    assert enumerated(minimize=["cost_usd"])[1] == [None]


@pytest.mark.parametrize(
    ("goals", "message"),
    [
        ({}, "name one or more different metrics"),
        ({"minimize": ["cost_usd"], "maximize": ["cost_usd"]}, "different metrics"),
        ({"minimize": ["cost"]}, "no metric 'cost'. Did you mean 'cost_usd'?"),
    ],
)
def test_wrong_metrics(goals: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        enumerated(**goals)
    assert message in str(caught.value)
