"""Crosschecks: figures are those of their definitions, and designs are the same for both."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from archgym_py import commands_crosscheck, registry
from archgym_py.cli import main
from archgym_py.commands_crosscheck import Crosscheck, crosscheck, feasible_designs, layers_of, plot
from archgym_py.crosscheck import (
    Pair,
    agreement,
    common_metrics,
    differs,
    failures,
    relative_difference,
    table,
    worst_rows,
)
from archgym_py.environment import DesignEnv
from archgym_py.errors import ConfigError, InfeasibleDesign, SimulatorError, UnknownNameError
from archgym_py.evaluator import Trial
from archgym_py.registry import Registry
from archgym_py.runner import make_env
from archgym_py.simulator import Evaluation, Metric, Simulator, Status
from archgym_py.simulators import stand_in
from archgym_py.simulators.backend import Backend
from archgym_py.space import Design, Integer, ParameterSpace

TOY = "ArchGym/Toy-v0"
SYSTOLIC = "ArchGym/SystolicArray-v0"
DELAY, COST = Metric("delay_ns", "ns", 0.0, 1e9), Metric("cost", "1", -1e9, 1e9)


class Scaled(Backend):
    """The embedded simulator, but `factor` slower with more than `above` lanes."""

    name = "scaled"
    simulates: ClassVar[tuple[str, ...]] = ("toy", "systolic")
    reports: ClassVar[tuple[str, ...]] = ("delay_ns", "cycles")
    asked: ClassVar[list[Design]] = []

    def __init__(
        self,
        embedded: Simulator,
        space: ParameterSpace,
        *,
        factor: float = 1.0,
        above: int = 0,
        fails: str = "",
    ) -> None:
        super().__init__(embedded, space)
        self.factor, self.above, self.fails = factor, above, fails

    @property
    def version(self) -> str:
        return "1"

    def configuration(self, design: Design) -> Mapping[str, str]:
        return {}

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        self.asked.append(design)
        if self.fails and design.get("unit") == self.fails:
            raise SimulatorError("the tool\nfell over.")
        metrics = self.embedded.evaluate(design, seed=seed).metrics
        slower = self.factor if int(str(design.get("lanes", 1))) > self.above else 1.0
        return Evaluation({name: slower * metrics[name] for name in (m.name for m in self.metrics)})


@pytest.fixture(autouse=True)
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tools(Registry):
        def load(self, name: str) -> Any:
            return Scaled if name == "scaled" else super().load(name)

    backends = Tools("backend", {"scaled": "nowhere:Scaled"})
    for module in (registry, stand_in):
        monkeypatch.setattr(module, "BACKENDS", backends)
    monkeypatch.setattr(Scaled, "asked", [])


def trial(value: float | None, cost: float = 1.0, **design: Any) -> Trial:
    metrics = {} if value is None else {"delay_ns": value, "cost": cost}
    status = Status.CRASHED if value is None else Status.OK
    return Trial(0, design, "", status, "why", metrics, 0.0, (0.0,), False, 0.0, 0)


def pairs_of(*values: tuple[float | None, float | None]) -> list[Pair]:
    return [Pair("", trial(a), trial(b), {}) for a, b in values]


# ---- figures -----------------------------------------------------------------------------------


def test_agreement_by_hand() -> None:
    pairs = pairs_of((1.0, 1.0), (2.0, 4.0), (None, 3.0), (3.0, None), (8.0, 6.0), (0.0, 0.0))
    found = agreement(DELAY, pairs)
    assert (found.metric, found.unit, found.compared, found.equal) == ("delay_ns", "ns", 4, 2)
    assert found.largest == 0.5
    assert found.mean == pytest.approx((0.5 + 0.25) / 4)
    a, b = [1.0, 2.0, 8.0, 0.0], [1.0, 4.0, 6.0, 0.0]
    assert found.pearson == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert found.kendall == pytest.approx(1.0)
    assert found.worst == (1, 4)  # numbers of all pairs; those that are equal are left out
    assert agreement(DELAY, pairs, worst=1).worst == (1,)


def test_figures_that_do_not_exist() -> None:
    nothing = agreement(DELAY, pairs_of((None, 1.0)))
    assert (nothing.compared, nothing.equal, nothing.largest, nothing.mean) == (0, 0, None, None)
    constant = agreement(DELAY, pairs_of((1.0, 1.0), (1.0, 2.0)))
    assert (constant.pearson, constant.kendall) == (None, None)
    rows = table([nothing, constant])
    assert rows[1][3:] == ("0", "-", "-", "-", "-")
    assert len({len(row) for row in rows}) == 1


FINITE = st.floats(-1e300, 1e300, allow_nan=False)


@settings(deadline=None)
@given(st.lists(st.tuples(FINITE, FINITE), min_size=2, max_size=30))
def test_figures_of_anything(values: list[tuple[float, float]]) -> None:
    found = agreement(DELAY, pairs_of(*values))
    swapped = agreement(DELAY, pairs_of(*((b, a) for a, b in values)))
    assert found.compared == len(values)
    assert found.equal == sum(a == b for a, b in values)
    assert found.largest is not None
    assert found.mean is not None
    assert 0.0 <= found.mean <= found.largest + 1e-12 <= 2.0 + 1e-12
    assert found.largest == pytest.approx(swapped.largest)
    for value, other in ((found.pearson, swapped.pearson), (found.kendall, swapped.kendall)):
        assert (value is None) == (other is None)
        if value is not None and other is not None:
            assert -1.0 - 1e-9 <= value <= 1.0 + 1e-9
            assert value == pytest.approx(other, abs=1e-9)
    assert (found.largest == 0.0) == (not found.worst)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=40))
def test_tau_is_that_of_scipy(values: list[tuple[int, int]]) -> None:
    stats = pytest.importorskip("scipy.stats")
    found = agreement(DELAY, pairs_of(*((float(a), float(b)) for a, b in values)))
    if found.kendall is not None:
        first, second = zip(*values, strict=True)
        assert found.kendall == pytest.approx(stats.kendalltau(first, second).statistic)
    else:
        assert any(len(set(column)) == 1 for column in zip(*values, strict=True))


def test_relative_differences() -> None:
    assert relative_difference(3.0, 3.0) == 0.0
    assert relative_difference(-2.0, 2.0) == 2.0
    assert relative_difference(1e308, -1e308) == 2.0  # no overflow


def test_metrics_of_both() -> None:
    assert common_metrics((DELAY, COST), (COST, DELAY)) == (DELAY, COST)
    assert common_metrics((DELAY, COST), (COST, DELAY), ["cost"]) == (COST,)
    with pytest.raises(ConfigError, match="report no metric both: one has delay_ns, the other co"):
        common_metrics((DELAY,), (COST,))
    with pytest.raises(UnknownNameError, match=r"'delay' is not reported by both. Did you mean"):
        common_metrics((DELAY, COST), (DELAY,), ["delay"])


def test_what_differs() -> None:
    assert not differs(pairs_of((1.0, 1.0), (None, None)), [DELAY])
    assert differs(pairs_of((1.0, None)), [DELAY])
    assert differs(pairs_of((1.0, 1.0 + 1e-15)), [DELAY])
    other = [Pair("", trial(1.0, cost=1.0), trial(1.0, cost=2.0), {})]
    assert not differs(other, [DELAY])
    assert differs(other, [DELAY, COST])


def test_failures_are_told() -> None:
    trials = [trial(1.0), trial(None), trial(None)]
    assert failures("tool", trials) == ["tool: 2 of 3 designs failed", "  2 x crashed: why"]
    assert failures("tool", trials[:1]) == ["tool: 0 of 1 designs failed"]


def test_worst_rows() -> None:
    default = {"x": 1, "y": "a"}
    pairs = [
        Pair("net", trial(2.0, x=1, y="a"), trial(1.0, x=1, y="a"), default),
        Pair("net", trial(4.0, x=3, y="a"), trial(3.0, x=3, y="a"), default),
    ]
    rows = worst_rows(agreement(DELAY, pairs), pairs, ("a", "b"))
    assert rows[1] == ("0", "2", "1", "5.000e-01", "net default design")
    assert rows[2] == ("1", "4", "3", "2.500e-01", "net x=3")


def test_what_nobody_has_evaluated_is_not_equal() -> None:
    def equal(*values: tuple[float | None, float | None]) -> bool:
        return Crosscheck(("a", "b"), (DELAY,), tuple(pairs_of(*values))).equal

    assert equal((1.0, 1.0), (None, None))
    assert not equal((1.0, 2.0))
    assert not equal((None, None))


# ---- designs -----------------------------------------------------------------------------------


def test_designs_are_feasible_and_repeat() -> None:
    env = make_env(TOY)
    designs = feasible_designs(env, 40, seed=3)
    assert designs[0] == env.space.default()
    assert len({env.space.key(design) for design in designs}) == 40
    assert all(env.evaluator.evaluate(design).status is Status.OK for design in designs)
    assert feasible_designs(env, 40, seed=3) == designs
    assert feasible_designs(env, 7, seed=3)[1:] != feasible_designs(env, 7, seed=4)[1:]
    env.close()


class Ways:
    """A simulator of a space of nine designs, of which those with an odd number work."""

    name, version, deterministic = "ways", "1", True
    metrics = (Metric("delay_ns", "ns", 0.5, 10.0),)

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        if int(str(design["ways"])) % 2 == 0:
            raise InfeasibleDesign("an even number.")
        return Evaluation({"delay_ns": float(str(design["ways"]))})

    def close(self) -> None:
        pass


def test_too_few_designs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands_crosscheck, "_MISSES", 200)
    space = ParameterSpace((Integer("ways", 1, 9, default=2),))
    env = DesignEnv(space, Ways(), "minimize:delay_ns", baseline={"delay_ns": 1.0})
    designs = feasible_designs(env, 5, seed=0)
    assert sorted(int(str(design["ways"])) for design in designs) == [1, 3, 5, 7, 9]
    with pytest.raises(ConfigError, match=r"are 5 different feasible designs, and 6 are wanted"):
        feasible_designs(env, 6, seed=0)


def test_layers() -> None:
    names = layers_of(SYSTOLIC, {"workload": "resnet18"}, 5)
    assert len(set(names)) == 5
    assert all(name.startswith("resnet18/") for name in names)
    with pytest.raises(ConfigError, match="layers of different shapes, and 999 are wanted"):
        layers_of(SYSTOLIC, {"workload": "resnet18"}, 999)
    with pytest.raises(ConfigError, match=r"needs the name of a network, got None"):
        layers_of(SYSTOLIC, {}, 1)
    with pytest.raises(ConfigError, match=r"have no layers. Leave --layers out"):
        layers_of("ArchGym/DRAMController-v0", {"workload": "cloud-saturating-1k"}, 1)


# ---- the command -------------------------------------------------------------------------------

BOTH = ("--backend", "embedded", "--backend", "scaled")


def crosschecked(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(["crosscheck", *arguments]) == code
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["crosscheck", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.replace("\r", "\n").splitlines()[-1]


def test_equal_simulators(capsys: pytest.CaptureFixture[str]) -> None:
    out = crosschecked(capsys, TOY, *BOTH, "--designs", "12", "--exact")
    lines = out.splitlines()
    assert lines[0] == "embedded and scaled, 12 designs"
    assert lines[2:4] == [
        "embedded: 0 of 12 designs failed",
        "scaled: 0 of 12 designs failed",
    ]
    row = dict(
        zip(
            lines[5].replace("largest rel. diff.", "largest").split(), lines[6].split(), strict=True
        )
    )
    assert row["metric"] == "delay_ns"
    assert (row["compared"], row["equal"], float(row["largest"])) == ("12", "12", 0.0)
    assert float(row["tau-b"]) == 1.0
    assert len(lines) == 7  # cost_usd is not reported by both, and nothing disagrees
    assert len(Scaled.asked) == 12


def test_a_difference(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    options = ("--option", "scaled.factor=1.25", "--option", "scaled.above=4")
    arguments = (TOY, *BOTH, "--designs", "30", *options, "--csv", str(file), "--seed", "2")
    out = crosschecked(capsys, *arguments)
    assert crosschecked(capsys, *arguments, "--exact", code=1) == out
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert len(rows) == 30
    slow = [row for row in rows if int(row["design.lanes"]) > 4]
    assert 0 < len(slow) < 30
    for row in rows:
        ratio = float(row["delay_ns.scaled"]) / float(row["delay_ns.embedded"])
        assert ratio == pytest.approx(1.25 if row in slow else 1.0)
        assert (row["status.embedded"], row["status.scaled"]) == ("ok", "ok")
    # Columns hold every digit: the values are those of the simulator.
    env = make_env(TOY)
    design = {
        name: next(v for v in _values(env.space, name) if str(v) == rows[-1][f"design.{name}"])
        for name in env.space.names
    }
    assert (
        float(rows[-1]["delay_ns.embedded"])
        == (env.simulator.evaluate(design, seed=0).metrics["delay_ns"])
    )
    table_row = next(line for line in out.splitlines() if line.startswith("delay_ns")).split()
    assert table_row[2:5] == ["30", str(30 - len(slow)), "2.000e-01"]
    worst = out[out.index("largest disagreements in delay_ns") :].splitlines()
    assert len(worst) >= 5
    for line in worst[2:5]:
        number, a, b, difference = line.split()[:4]
        assert rows[int(number)] in slow
        assert float(difference) == 0.2
        assert float(b) == pytest.approx(1.25 * float(a), rel=1e-4)
        assert "lanes=" in line


def _values(space: ParameterSpace, name: str) -> list[Any]:
    parameter = space[name]
    return [parameter.value_at(k) for k in range(parameter.cardinality or 0)]


def test_failures_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--option", "scaled.fails=scalar")
    out = crosschecked(capsys, TOY, *BOTH, "--designs", "20", *options)
    line = next(line for line in out.splitlines() if line.startswith("scaled: "))
    failed = int(line.split()[1])
    assert 0 < failed < 20
    assert f"  {failed} x crashed: the tool fell over." in out
    assert f"  {20 - failed}  " in next(x for x in out.splitlines() if x.startswith("delay_ns"))
    crosschecked(capsys, TOY, *BOTH, "--designs", "20", *options, "--exact", code=1)


def test_several_workloads(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file, image = tmp_path / "pairs.csv", tmp_path / "scatter.png"
    out = crosschecked(
        *(capsys, SYSTOLIC, *BOTH, "--workload", "alexnet", "--workload", "resnet18"),
        *("--layers", "2", "--designs", "3", "--metric", "cycles", "--exact"),
        *("--csv", str(file), "--out", str(image)),
    )
    assert out.splitlines()[0] == "embedded and scaled, 12 designs"
    rows = list(csv.DictReader(file.read_text().splitlines()))
    workloads = [row["workload"] for row in rows]
    assert len(rows) == 12
    assert len(set(workloads)) == 4
    assert workloads == sorted(workloads, key=workloads.index)
    env = make_env(SYSTOLIC, {"workload": workloads[0]})
    first = env.simulator.evaluate(env.space.default(), seed=0).metrics["cycles"]
    assert float(rows[0]["cycles.embedded"]) == float(rows[0]["cycles.scaled"]) == first
    assert image.read_bytes().startswith(b"\x89PNG")


def test_the_picture(tmp_path: Path) -> None:
    found = crosscheck(TOY, ["embedded", "scaled"], designs=5, options={"scaled": {"factor": 2.0}})
    plot(found, tmp_path / "x.svg")
    text = (tmp_path / "x.svg").read_text()
    assert text.startswith("<?xml")
    assert not found.equal
    broken = crosscheck(
        TOY, ["scaled", "embedded"], designs=1, options={"scaled": {"fails": "scalar"}}
    )
    assert broken.names == ("scaled", "embedded")
    with pytest.raises(ConfigError, match="nothing to draw"):
        plot(broken, tmp_path / "y.svg")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--backend", "scaled"), "two different simulators are compared, got scaled"),
        (("--backend", "scaled", "--backend", "scaled"), "two different simulators"),
        (("--backend", "embedded", "--backend", "scalde"), "Did you mean 'scaled'"),
        ((*BOTH, "--metric", "delay"), "not reported by both. Did you mean 'delay_ns'"),
        ((*BOTH, "--option", "factor=2"), "must begin with the name of a tool and a dot"),
        ((*BOTH, "--option", "dramsys.a=2"), "'dramsys' is no tool that is compared"),
        ((*BOTH, "--option", "scaled.facto=2"), "has no option 'facto'. Did you mean 'factor'"),
        ((*BOTH, "--set", "simulator=x"), "Leave simulator out of --set"),
        ((*BOTH, "--set", "objectiv=x"), "Did you mean 'objective'"),
        ((*BOTH, "--workload", "a", "--set", "workload=b"), "the workload is given twice"),
        ((*BOTH, "--workload", "a", "--layers", "1"), "no argument 'workload'"),
        ((*BOTH, "--seed", "-1"), "--seed must not be negative"),
        ((*BOTH, "--out", "x.gif"), "no such image format"),
        ((*BOTH, "--csv", "no/where.csv"), "must be a file in a folder that exists"),
    ],
)
def test_what_is_refused(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(capsys, TOY, *arguments)
    assert not Scaled.asked


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("crosscheck", "export"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        out = capsys.readouterr().out
        assert f"examples:\n  archgym {command} " in out
