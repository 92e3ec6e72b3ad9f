import pytest

from archgym_py.simulators.toy import MAX_REGISTERS, TOY_SPACE, ToySimulator
from archgym_py.space import Design


def evaluate(**changes: str | int | float) -> dict[str, float]:
    design: Design = {**ToySimulator.optimum, **changes}
    return dict(ToySimulator().evaluate(design, seed=0).metrics)


def test_the_documented_optimum_is_the_only_one() -> None:
    toy = ToySimulator()
    values = {}
    for design in TOY_SPACE.iter_canonical():
        metrics = toy.evaluate(design, seed=0).metrics
        values[TOY_SPACE.key(design)] = metrics["cost_usd"] * metrics["delay_ns"]
        for metric in toy.metrics:
            assert metric.low <= metrics[metric.name] <= metric.high
    assert len(values) == 17_550
    best, second = sorted(values, key=values.__getitem__)[:2]
    assert best == TOY_SPACE.key(toy.optimum)
    assert values[second] > 1.005 * values[best]


def test_the_space_has_what_agents_find_difficult() -> None:
    assert TOY_SPACE.size == 34_992
    assert {type(p).__name__ for p in TOY_SPACE.parameters} == {
        "Choice",
        "Ordinal",
        "Integer",
        "Real",
    }
    too_many: Design = {**ToySimulator.optimum, "stages": 5}
    assert TOY_SPACE.violations(too_many) == (
        f"registers: lanes * stages must not exceed {MAX_REGISTERS}",
    )
    inert: Design = {**ToySimulator.optimum, "buffer": "none"}
    assert TOY_SPACE.key(inert) == TOY_SPACE.key({**inert, "buffer_kib": 4})


def test_without_a_buffer_its_size_does_nothing() -> None:
    assert evaluate(buffer="none", buffer_kib=4) == evaluate(buffer="none", buffer_kib=128)


def test_trade_offs_have_the_expected_direction() -> None:
    best = evaluate()
    assert evaluate(voltage_v=1.25)["delay_ns"] < best["delay_ns"]
    assert evaluate(voltage_v=1.25)["cost_usd"] > best["cost_usd"]
    assert evaluate(lanes=8)["delay_ns"] > best["delay_ns"]
    assert evaluate(lanes=8)["cost_usd"] < best["cost_usd"]
    assert evaluate(buffer="single")["delay_ns"] > best["delay_ns"]


def test_values_by_hand() -> None:
    # scalar, 1 lane, 1 stage at 1.25 V without a buffer: period (6 + 0.3) * 0.65 / 0.9 = 4.55 ns,
    # 1 + 4096 * 1.03 cycles, 4096 ns of memory time, 0.4 + 0.05 * 1.08 = 0.454 mm2.
    metrics = evaluate(unit="scalar", lanes=1, stages=1, voltage_v=1.25, buffer="none")
    assert metrics["delay_ns"] == pytest.approx(4.55 * (1 + 4096 * 1.03) + 4096)
    assert metrics["cost_usd"] == pytest.approx(6 + 3 * 0.454 + 0.8 * 0.454 * 1.25**2 / 4.55)
