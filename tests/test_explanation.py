"""Explanations: totals count every row as often as it occurs, and mistakes are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from archgym_py.errors import ConfigError
from archgym_py.explanation import Column, Explanation, Row
from archgym_py.simulator import Explainable
from archgym_py.simulators.dnn.accelerator import AcceleratorSimulator
from archgym_py.simulators.dnn.systolic_array import SystolicSimulator
from archgym_py.simulators.toy import ToySimulator

COLUMNS = (
    Column("time_ns", "ns", total="sum"),
    Column("busy", "1", total="mean"),
    Column("limit", ""),
    Column("sure", ""),
)


def row(name: str, count: int = 1, time_ns: float = 2, **changes: Any) -> Row:
    values = {"time_ns": time_ns, "busy": 0.25, "limit": "bus", "sure": True, **changes}
    return Row(name, count, values, {"bus": 3e6, "core": 0.5e6, "idle": 0.0}, f"more on {name}")


def explained(*rows: Row, **changes: Any) -> Explanation:
    fields = {"title": "it", "part": "step", "time": "time_ns", "columns": COLUMNS, "rows": rows}
    return Explanation(**{**fields, **changes})


def test_totals() -> None:
    explanation = explained(row("a", 3), row("b", 1, 14, busy=1.0))
    assert explanation.totals == {"count": 4, "time_ns": 20, "busy": (6 * 0.25 + 14 * 1.0) / 20}
    assert explanation.energy_pj == {"bus": 12e6, "core": 2e6, "idle": 0.0}
    assert explanation.total_energy_pj == 14e6
    assert explanation.rows[0].total_energy_pj == 3.5e6


def test_whole_numbers_stay_exact() -> None:
    totals = explained(row("a", 1, 2**60 + 1), row("b", 1, 2)).totals
    assert totals["time_ns"] == 2**60 + 3


def test_table() -> None:
    lines = explained(row("a", 3, sure=False), row("long", 1, 14)).table().splitlines()
    assert lines[0] == "it"
    assert [" ".join(line.split()) for line in lines[1:]] == [
        "step count time_ns busy limit sure energy bus core",
        "ns uJ uJ uJ",
        "a 3 2 0.25 bus no 3.5 3 0.5",
        "long 1 14 0.25 bus yes 3.5 3 0.5",
        "total 4 20 0.25 14 12 2",
    ]
    assert len(lines[3]) == len(lines[4]) == len(lines[5])  # aligned on the right


def test_mapping_is_plain_data() -> None:
    explanation = explained(row("a", 3), row("b"))
    content = explanation.to_mapping()
    assert json.loads(json.dumps(content)) == content
    assert content["units"] == {"time_ns": "ns", "busy": "1", "limit": "", "sure": ""}
    assert content["rows"][0] == {
        "name": "a",
        "count": 3,
        "time_ns": 2,
        "busy": 0.25,
        "limit": "bus",
        "sure": True,
        "energy_pj": 3.5e6,
        "energy_by_component_pj": {"bus": 3e6, "core": 0.5e6, "idle": 0.0},
    }
    assert content["total"]["energy_pj"] == 14e6
    assert [each["text"] for each in explanation.to_mapping(text=True)["rows"]] == [
        "more on a",
        "more on b",
    ]


def test_only_some_rows() -> None:
    explanation = explained(row("a"), row("b", 2), row("c"))
    some = explanation.only(["c", "b"])
    assert [each.name for each in some.rows] == ["b", "c"]
    assert some.totals["count"] == 3
    with pytest.raises(ConfigError, match=r"it: no step 'd'\. Known: a, b, c"):
        explanation.only(["a", "d"])


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        ([], {}, "needs at least one step"),
        ([row("a")], {"time": "time"}, "no column 'time'. Did you mean 'time_ns'?"),
        ([row("a"), row("a")], {}, "two steps are called 'a'"),
        ([row("a")], {"columns": (*COLUMNS, COLUMNS[0])}, "two columns are called 'time_ns'"),
        ([row("a")], {"part": "busy"}, "two columns are called 'busy'"),
        ([row("a", more=1)], {}, "step 'a' needs the values"),
        ([row("a"), Row("b", 1, row("b").values, {"bus": 1.0})], {}, "0 where one is idle"),
        ([row("a", 1, 0)], {}, "time_ns must be a positive number, got 0"),
    ],
)
def test_mistakes(rows: list[Row], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        explained(*rows, **changes)
    assert message in str(caught.value)


def test_a_word_has_no_total() -> None:
    explanation = explained(row("a", busy="very"))
    with pytest.raises(ConfigError, match="'a': busy has a total"):
        _ = explanation.totals


def test_who_explains() -> None:
    assert isinstance(AcceleratorSimulator("alexnet/conv3"), Explainable)
    assert isinstance(SystolicSimulator("alexnet/conv3"), Explainable)
    assert not isinstance(ToySimulator(), Explainable)
