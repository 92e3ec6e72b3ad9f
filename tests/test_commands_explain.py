"""`archgym explain`: numbers are those of the evaluation, in a table, as JSON and as a picture."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from archgym_py.cli import main
from archgym_py.commands_explain import (
    best_design,
    draw,
    energy_bars,
    explain_design,
    plot,
    read_design,
)
from archgym_py.config import RunConfig
from archgym_py.errors import ConfigError, InfeasibleDesign
from archgym_py.explanation import Column, Explanation, Row
from archgym_py.log import DatasetError
from archgym_py.runner import make_env, run

DNN = "ArchGym/DNNAccelerator-v0"
SYSTOLIC = "ArchGym/SystolicArray-v0"
TOY = "ArchGym/Toy-v0"
SPOTTING = ("--set", "workload=keyword_spotting")
LAYERS = [f"layer{number}" for number in range(1, 6)]  # of the default network of DNN


def explained(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["explain", *arguments, "--format", "json"]) == 0
    content: dict[str, Any] = json.loads(capsys.readouterr().out)
    return content


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["explain", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("archgym: error: ")
    assert captured.err.count("\n") == 1
    return captured.err


# ---- output ------------------------------------------------------------------------------------


def test_json_is_the_evaluation(capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(capsys, DNN)
    env = make_env(DNN)
    design = env.space.default()
    metrics = env.simulator.evaluate(design, seed=0).metrics
    assert found["env"] == DNN
    assert found["env_kwargs"] == {}
    assert found["design"] == design
    assert found["metrics"] == metrics
    assert found["metric_units"]["energy_uj"] == "uJ"
    rows, total = found["explanation"]["rows"], found["explanation"]["total"]
    assert [row["name"] for row in rows] == LAYERS
    assert sum(row["count"] * row["cycles"] for row in rows) == metrics["cycles"] == total["cycles"]
    energy = sum(row["count"] * row["energy_pj"] for row in rows)
    assert energy == pytest.approx(1e6 * metrics["energy_uj"], rel=1e-12)
    assert total["energy_pj"] == pytest.approx(1e6 * metrics["energy_uj"], rel=1e-12)
    assert "text" not in rows[0]


def test_the_table_has_the_numbers_of_the_json(capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(capsys, DNN)
    assert main(["explain", DNN]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == found["explanation"]["title"]
    names = lines[1].split()
    assert names[:8] == ["layer", "count", *found["explanation"]["units"], "energy"]
    for line, row in zip(lines[3:8], found["explanation"]["rows"], strict=True):
        shown = dict(zip(names, line.split(), strict=True))
        assert shown["layer"] == row["name"]
        assert int(shown["cycles"]) == row["cycles"]
        assert shown["bound"] == row["bound"]
        assert shown["optimal"] == ("yes" if row["optimal"] else "no")
        assert shown["energy"] == f"{row['energy_pj'] / 1e6:.6g}"
        assert shown["DRAM"] == f"{row['energy_by_component_pj']['DRAM'] / 1e6:.6g}"
    assert lines[8].split()[0] == "total"
    assert lines[9:11] == ["", "metrics of the design"]
    shown = dict(line.split()[:2] for line in lines[11:])
    assert shown == {name: f"{value:.6g}" for name, value in found["metrics"].items()}


def test_layers_and_nests(capsys: pytest.CaptureFixture[str]) -> None:
    some = ("--layer", "layer2", "--layer", "layer1")
    found = explained(capsys, DNN, *some, "--nest")
    rows = found["explanation"]["rows"]
    assert [row["name"] for row in rows] == LAYERS[:2]
    assert found["explanation"]["total"]["count"] == 2
    assert main(["explain", DNN, *some, "--nest"]) == 0
    shown = capsys.readouterr().out
    assert shown.endswith(f"\n\n{rows[0]['text']}\n\n{rows[1]['text']}\n")
    assert rows[0]["text"].startswith("layer1: conv M=96")


def test_systolic_array(capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(capsys, SYSTOLIC, *SPOTTING)
    assert found["explanation"]["total"]["cycles"] == found["metrics"]["cycles"]
    assert "has no loop nests to show. Leave --nest out." in refused(
        capsys, SYSTOLIC, *SPOTTING, "--nest"
    )


# ---- designs -----------------------------------------------------------------------------------


def test_designs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    default = explained(capsys, SYSTOLIC, *SPOTTING)
    text = json.dumps({**default["design"], "rows": 64})
    file = tmp_path / "design.json"
    file.write_text(text, encoding="utf-8-sig")
    given = explained(capsys, SYSTOLIC, *SPOTTING, "--design", text)
    assert given["design"]["rows"] == 64
    assert given["explanation"] != default["explanation"]
    assert explained(capsys, SYSTOLIC, *SPOTTING, "--design", str(file)) == given
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert explained(capsys, SYSTOLIC, *SPOTTING, "--design", "-") == given
    part = ("--design", '{"rows": 64}')
    assert explained(capsys, SYSTOLIC, *SPOTTING, *part, "--defaults") == given
    assert "the design lacks 'columns'" in refused(capsys, SYSTOLIC, *SPOTTING, *part)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        settings: dict[str, Any] = {"env": SYSTOLIC, "env_kwargs": {"workload": "keyword_spotting"}}
        run(RunConfig(**settings, agent="random_search", budget=20, seed=seed, out=folder))
    return folder


def test_best_design_of_a_run(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = sorted({part.parent for part in out.rglob("*.parquet")})
    logged = best_design(first)
    assert (logged.env_id, logged.env_kwargs) == (SYSTOLIC, {"workload": "keyword_spotting"})
    found = explained(capsys, "--run", str(first))
    assert found["env_kwargs"] == {"workload": "keyword_spotting"}
    assert found["design"] == logged.design
    assert found["design"] != explained(capsys, "--run", str(second))["design"]
    assert explained(capsys, SYSTOLIC, "--run", str(first)) == found
    other = explained(capsys, "--run", str(first), "--set", "workload=alexnet/conv3")
    assert other["design"] == logged.design
    assert [row["name"] for row in other["explanation"]["rows"]] == ["conv3"]
    sequential = "ArchGym/SystolicArraySequential-v0"  # has a workload of its own
    elsewhere = explained(capsys, sequential, "--run", str(first))
    assert elsewhere["env_kwargs"] == {}
    assert elsewhere["design"] == logged.design


def test_runs_that_have_no_best_design(out: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds 2 runs. Name the folder of one of them: "):
        best_design(out)
    with pytest.raises(DatasetError, match="holds no logged run"):
        best_design(tmp_path)
    kwargs = {"area_budget_mm2": 0.5, "baseline": {"edp_uj_ms": 1.0}}
    config = RunConfig(env=DNN, agent="grid", budget=1, out=tmp_path, env_kwargs=kwargs)
    assert run(config).best is None
    with pytest.raises(DatasetError, match=r"no sample is feasible\. Name a run that found"):
        best_design(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", r"--design: a design is a JSON object of parameters, got \[1\]"),
        ("{", "--design: not valid JSON: Expecting property name"),
        ('{"rows": 1, "rows": 2}', "--design: key 'rows' occurs more than once"),
        ("[" * 100_000, "--design: not valid JSON"),
    ],
)
def test_designs_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_design(text, "--design")


# ---- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "ENV is missing"),
        (["ArchGym/Toy"], "Did you mean 'ArchGym/Toy-v0'?"),
        ([DNN, "--set", "workloads=x"], "workload"),
        ([DNN, "--layer", "layer_2"], "no layer 'layer_2'. Did you mean 'layer2'?"),
        ([DNN, "--design", '{"n_pe": 14}'], "no parameter 'n_pe'. Did you mean 'n_pes'?"),
        ([DNN, "--design", "none.json"], "none.json: No such file or directory"),
        ([DNN, "--plot", "a.bmp"], "End the name in .png"),
    ],
)
def test_mistakes(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, *arguments)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "design.json"
    file.write_bytes(b"\xff\xfe\xfd")
    assert f"{file}: is not UTF-8 text" in refused(capsys, SYSTOLIC, "--design", str(file))


def test_infeasible_designs(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, DNN, "--design", '{"ifmap_depth": 2}', "--defaults")
    assert (
        "the design is infeasible and has no metrics: layer 'layer1': level 'ifmap_spad'" in message
    )
    with pytest.raises(InfeasibleDesign, match="area_mm2"):
        explain_design(DNN, kwargs={"area_budget_mm2": 1.0})


def test_environments_that_do_not_explain(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, TOY)
    assert f"{TOY}: its simulator 'toy' does not explain designs. Take an environment" in message
    assert "of one that does: 'arvr_soc', 'dnn', 'dnn_mapping', 'systolic'." in message


def test_a_design_or_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["explain", DNN, "--design", "{}", "--run", "runs"])
    assert caught.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["explain", "--help"])
    assert caught.value.code == 0
    assert "archgym explain" in capsys.readouterr().out.split("examples:")[1]


# ---- the picture -------------------------------------------------------------------------------


def test_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "layers.png"
    assert main(["explain", DNN, "--plot", str(file), "--format", "json"]) == 0
    captured = capsys.readouterr()
    json.loads(captured.out)
    assert captured.err == f"archgym: energy and time by layer: {file}\n"
    assert file.read_bytes().startswith(b"\x89PNG")


def test_bars_sum_to_the_energy() -> None:
    found = explain_design(DNN, kwargs={"workload": "resnet18/layer1"})
    [row] = found.explanation.rows
    assert row.count > 1
    bars = energy_bars(found.explanation)
    assert list(bars) == [name for name, energy in row.energy_pj.items() if energy]
    energy_uj = found.metrics["energy_uj"]
    assert sum(map(sum, bars.values())) == pytest.approx(energy_uj, rel=1e-12)
    energy, time = draw(found.explanation).axes
    drawn = [bar.get_height() for bar in energy.patches]  # type: ignore[attr-defined]
    assert sum(drawn) == pytest.approx(energy_uj, rel=1e-12)
    [cycles] = [bar.get_height() for bar in time.patches]  # type: ignore[attr-defined]
    assert cycles == found.metrics["cycles"]
    assert energy.get_ylabel() == "energy (uJ)"
    assert time.get_ylabel() == "cycles"
    assert [label.get_text() for label in time.get_xticklabels()] == [f"{row.count} x layer1"]


def test_bars_stack_and_many_components_differ(tmp_path: Path) -> None:
    parts = {f"part{number}": 1e6 * (number + 1) for number in range(10)}
    column = Column("time_ns", "ns", total="sum")
    rows = tuple(Row(name, 2, {"time_ns": 4.0}, parts) for name in "ab")
    explanation = Explanation(
        title="many", part="step", time="time_ns", columns=(column,), rows=rows
    )
    figure = draw(explanation)
    energy, time = figure.axes
    looks = set()
    for component in energy.containers:
        bar = component[0]
        looks.add((bar.get_facecolor(), bar.get_hatch()))
    assert len(looks) == 10
    tops = [bar.get_y() + bar.get_height() for bar in energy.patches]  # type: ignore[attr-defined]
    assert max(tops) == pytest.approx(2 * 55)
    assert time.get_ylabel() == "time_ns (ns)"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(parts)[::-1]
    plot(explanation, tmp_path / "many.svg")
    assert b"<svg" in (tmp_path / "many.svg").read_bytes()
