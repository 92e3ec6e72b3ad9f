"""Designs as lines of JSON: every good line is answered, every bad one is explained."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archgym_py import commands_evaluate
from archgym_py.commands_evaluate import BadLine, answers
from archgym_py.environment import DesignEnv
from archgym_py.errors import ConfigError, InfeasibleDesign, UnknownNameError
from archgym_py.simulator import Evaluation
from archgym_py.simulators.toy import TOY_SPACE, ToySimulator
from archgym_py.space import Design

TOY = "ArchGym/Toy-v0"
DEFAULT = TOY_SPACE.default()


def line(**fields: Any) -> bytes:
    return json.dumps({"id": 1, "design": DEFAULT, **fields}).encode()


def test_answers_are_those_of_the_simulator() -> None:
    designs = [{**DEFAULT, "lanes": lanes} for lanes in (1, 2, 4, 8)]
    found = list(
        answers([line(id=f"d{i}", design=design) for i, design in enumerate(designs)], TOY)
    )
    expected = [ToySimulator().evaluate(design, seed=0).metrics for design in designs]
    assert found == [
        {"id": f"d{i}", "status": "ok", "metrics": metrics} for i, metrics in enumerate(expected)
    ]


def test_failures_are_answers() -> None:
    design = {**DEFAULT, "lanes": 32, "stages": 12}
    [found] = answers([line(design=design)], TOY)
    assert found == {
        "id": 1,
        "status": "infeasible",
        "metrics": {},
        "message": "registers: lanes * stages must not exceed 64",
    }


def test_defaults_only_if_asked_for() -> None:
    lines = [line(design={"lanes": 4}), line(design={})]
    assert all(isinstance(answer, BadLine) for answer in answers(lines, TOY))
    first, second = answers(lines, TOY, use_defaults=True)
    [full] = answers([line(design={**DEFAULT, "lanes": 4})], TOY)
    assert first == full
    assert second == next(answers([line()], TOY))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"7", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'{"id": 1, "id": 2, "design": {}}', "key 'id' occurs more than once"),
        (b'{"id": 1, "design": {"lanes": 1, "lanes": 2}}', "key 'lanes' occurs more than once"),
        (b'{"id": NaN, "design": {}}', "NaN is not a number that JSON knows"),
        (b'{"id": 1, "design": {"voltage_v": -Infinity}}', "-Infinity is not a number"),
        (b'{"id": 1, "design": {"voltage_v": 1e999}}', "1e999 is too large"),
        (b'{"id": ' + b"9" * 5000 + b', "design": {}}', "not valid JSON"),
        (b'{"design": {}}', "the key 'id' is missing"),
        (b'{"id": 1}', "the key 'design' is missing"),
        (b'{"id": 1, "design": []}', "'design' must be an object, got []"),
        (b'{"id": 1, "design": {}, "kwargs": null}', "'kwargs' must be an object, got None"),
        (b'{"id": 1, "desing": {}}', "unknown key 'desing'. Did you mean 'design'?"),
        (line(design={**DEFAULT, "lane": 4}), "Did you mean 'lanes'?"),
        (line(design={**DEFAULT, "lanes": 5}), "lanes"),
        (line(design={**DEFAULT, "lanes": "4"}), "lanes"),
        (line(design={**DEFAULT, "lanes": True}), "lanes"),
        (line(design={**DEFAULT, "lanes": None}), "lanes"),
        (line(design={**DEFAULT, "unit": []}), "unit"),
        (line(design={**DEFAULT, "unit": {}}), "unit"),
        (line(kwargs={"objectiv": "x"}), "Did you mean 'objective'?"),
        (line(kwargs={"objective": "maximise:x"}), "maximise"),
        (line(kwargs={"baseline": 3}), "baseline must be a mapping"),
        (line(kwargs={"render_mode": ["ansi"]}), "unknown render_mode ['ansi']"),
        (line(kwargs={"disable_env_checker": True}), "no argument 'disable_env_checker'"),
        (line(kwargs={"max_episode_steps": 3}), "no argument 'max_episode_steps'"),
    ],
)
@pytest.mark.parametrize("use_defaults", [False, True])
def test_bad_lines_are_explained_and_the_others_answered(
    bad: bytes, reason: str, use_defaults: bool
) -> None:
    good = line(id="good")
    found = list(answers([good, b"\n", bad + b"\n", good], TOY, use_defaults=use_defaults))
    assert len(found) == 3
    assert isinstance(found[1], BadLine)
    assert found[1].number == 3
    assert reason in found[1].reason
    assert "\n" not in found[1].reason
    assert found[0] == found[2]
    assert isinstance(found[0], dict)


def test_arguments_that_lead_to_a_foreign_error() -> None:
    bad = line(kwargs={"address_map": "x" * 5000})  # a longer name than files can have
    lines = [bad, line(design={})]
    first, second = answers(lines, "ArchGym/DRAMController-v0", use_defaults=True)
    assert isinstance(first, BadLine)
    assert "ArchGym/DRAMController-v0 does not take these arguments: " in first.reason
    assert isinstance(second, dict)


def test_a_reason_does_not_repeat_a_huge_value() -> None:
    [found] = answers([line(design={**DEFAULT, "unit": "x" * 100_000})], TOY)
    assert isinstance(found, BadLine)
    assert found.reason.startswith("parameter 'unit' takes one of")
    assert len(found.reason) < 1100


@given(st.lists(st.binary(max_size=30) | st.from_regex(rb'\A\{"(id|design)": .*\}\Z'), max_size=5))
def test_no_input_stops_the_stream(lines: list[bytes]) -> None:
    *_, last = answers([*lines, line(id="last")], TOY)
    assert isinstance(last, dict)
    assert last["id"] == "last"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda items: st.lists(items) | st.dictionaries(st.text(), items),
        max_leaves=5,
    )
)
def test_any_id_comes_back(request_id: Any) -> None:
    [found] = answers([line(id=request_id)], TOY)
    assert isinstance(found, dict)
    assert json.loads(json.dumps(found))["id"] == request_id


def test_lines_are_read_one_at_a_time() -> None:
    read: list[int] = []

    def lines() -> Iterator[bytes]:
        for number in range(3):
            read.append(number)
            yield line(id=number)

    for number, answer in enumerate(answers(lines(), TOY)):
        assert isinstance(answer, dict)
        assert answer["id"] == number
        assert read[-1] == number


def test_what_is_wrong_for_all_lines_is_an_error() -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean 'ArchGym/Toy-v0'"):
        next(answers([line()], "ArchGym/Toi-v0"))
    with pytest.raises(ConfigError, match=r"Did you mean 'objective'"):
        next(answers([line()], TOY, kwargs={"objectiv": "x"}))


class Counting(ToySimulator):
    """A toy that counts what is made and closed, and what it evaluates."""

    made: ClassVar[list[str]] = []
    closed: ClassVar[list[str]] = []

    def __init__(self, workload: str) -> None:
        self.workload = workload
        self.made.append(workload)

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        if self.workload == "impossible":
            raise InfeasibleDesign("cannot be built")
        return super().evaluate(design, seed=seed)

    def close(self) -> None:
        self.closed.append(self.workload)


class CountingEnv(DesignEnv):
    """An environment around it."""

    def __init__(self, workload: str = "usual", options: Mapping[str, Any] | None = None) -> None:
        super().__init__(TOY_SPACE, Counting(workload), "minimize:delay_ns")


@pytest.fixture
def counting() -> Iterator[str]:
    Counting.made.clear()
    Counting.closed.clear()
    gym.register("Test/Counting-v0", entry_point=CountingEnv)  # type: ignore[arg-type]
    yield "Test/Counting-v0"
    del gym.registry["Test/Counting-v0"]


def test_environments_are_used_again(counting: str) -> None:
    lines = [
        line(),
        line(kwargs={"workload": "b", "options": {"x": 1, "y": 2}}),
        line(kwargs={}),
        line(kwargs={"options": {"y": 2, "x": 1}, "workload": "b"}),
        line(kwargs={"workload": "impossible"}),
        line(kwargs={"workload": "c"}),
    ]
    found = list(answers(lines, counting, kwargs={"workload": "a"}))
    assert [answer["status"] for answer in found if isinstance(answer, dict)] == [
        *["ok"] * 4,
        "infeasible",  # which as a default design would leave nothing to compare with
        "ok",
    ]
    assert Counting.made == ["a", "b", "impossible", "c"]
    assert sorted(Counting.closed) == sorted(Counting.made)


def test_environments_are_not_kept_for_ever(counting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands_evaluate, "_MAX_ENVS", 2)
    names = ["a", "b", "a", "c", "a", "b"]
    list(answers([line(kwargs={"workload": name}) for name in names], counting))
    assert Counting.made == ["usual", "a", "b", "c", "b"]
    assert sorted(Counting.closed) == sorted(Counting.made)


def test_memory_controllers_on_traces(tmp_path: Path) -> None:
    trace = tmp_path / "a.stl"
    trace.write_text("".join(f"{i}: read 0x{i * 64:x}\n" for i in range(20)))
    broken = tmp_path / "b.stl"
    broken.write_text("0: read 0x0\n1: reed 0x40\n")
    design = {"page_policy": "Closed", "request_buffer_size": 4}
    lines = [
        line(id=1, design=design, kwargs={"workload": str(trace)}),
        line(id=2, design=design, kwargs={"workload": "stream-saturating-20"}),
        line(id=3, design=design, kwargs={"workload": str(broken)}),
        line(id=4, design=design, kwargs={"workload": str(tmp_path / "none.stl")}),
        line(id=5, design={**design, "refresh_policy": "NoRefresh"}),
        line(id=6, design=design, kwargs={"workload": str(trace)}),
    ]
    found = list(answers(lines, "ArchGym/DRAMController-v0", use_defaults=True))
    bad = [answer for answer in found if isinstance(answer, BadLine)]
    good = [answer for answer in found if not isinstance(answer, BadLine)]
    assert [answer["id"] for answer in good] == [1, 2, 5, 6]
    assert [answer["status"] for answer in good] == ["ok", "ok", "infeasible", "ok"]
    assert good[0]["metrics"] == good[3]["metrics"] != good[1]["metrics"]
    assert good[0]["metrics"]["n_rda"] + good[0]["metrics"]["n_rd"] == 20
    assert [answer.number for answer in bad] == [3, 4]
    assert "b.stl" in bad[0].reason
    assert "2" in bad[0].reason
    assert "none.stl" in bad[1].reason
