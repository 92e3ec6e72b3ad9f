"""Exports: the best design of the right run, written whole, and never over something else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from archgym_py import commands_export, registry
from archgym_py.cli import main
from archgym_py.commands_export import best_of, design_files, export, write_files
from archgym_py.config import RunConfig
from archgym_py.dataset import SampleDataset
from archgym_py.errors import ConfigError, InfeasibleDesign, UnknownNameError
from archgym_py.log import DatasetError
from archgym_py.registry import Registry
from archgym_py.runner import make_env, run
from archgym_py.simulator import Evaluation, Simulator
from archgym_py.simulators import stand_in
from archgym_py.simulators.backend import Backend
from archgym_py.space import Design, ParameterSpace

TOY = "ArchGym/Toy-v0"


class ToyTool(Backend):
    """A tool whose configuration is two files."""

    name = "toytool"
    simulates: ClassVar[tuple[str, ...]] = ("toy",)
    reports: ClassVar[tuple[str, ...]] = ("delay_ns",)

    def __init__(
        self, embedded: Simulator, space: ParameterSpace, *, flavour: str = "plain", limit: int = 99
    ) -> None:
        super().__init__(embedded, space)
        self.flavour, self.limit = flavour, limit

    @property
    def version(self) -> str:
        raise AssertionError("this asks the tool, which is not there")

    def configuration(self, design: Design) -> Mapping[str, str]:
        if int(str(design["lanes"])) > self.limit:
            raise InfeasibleDesign(f"ToyTool has at most {self.limit} lanes.")
        return {"README.txt": f"{self.flavour}\n", "conf/design.cfg": f"{sorted(design.items())}\n"}

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        raise AssertionError("an export evaluates nothing")


class OtherTool(ToyTool):
    """A tool for designs of another environment."""

    name = "othertool"
    simulates: ClassVar[tuple[str, ...]] = ("dram", "systolic")


REAL = registry.BACKENDS
CLASSES = {"toytool": ToyTool, "othertool": OtherTool}


class Tools(Registry):
    """The backends that come with the library, and two more."""

    def load(self, name: str) -> Any:
        return CLASSES[name] if name in CLASSES else REAL.load(name)


@pytest.fixture(autouse=True)
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    backends = Tools("backend", {name: f"some:{name}" for name in (*REAL.names(), *CLASSES)})
    for module in (registry, stand_in, commands_export):
        monkeypatch.setattr(module, "BACKENDS", backends)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs on one problem."""
    out = tmp_path_factory.mktemp("runs")
    for agent, seed in (("random_search", 0), ("genetic", 1), ("random_search", 1)):
        run(RunConfig(env=TOY, agent=agent, budget=60, seed=seed, out=out))
    return out


def exported(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(["export", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["export", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_the_best_of_all_runs(runs: Path) -> None:
    best = best_of(runs)
    everything = [
        (trial.reward, log.info.run_id, trial.design)
        for log in SampleDataset(runs).runs()
        for trial in SampleDataset(log.folder).trials()
        if trial.status.value == "ok"
    ]
    reward, run_id, design = max(everything, key=lambda row: row[0])  # the first of equals
    assert (best.trial.reward, best.log.info.run_id, best.trial.design) == (reward, run_id, design)
    one = SampleDataset(runs).runs()[0]
    assert best_of(one.folder).log.info.run_id == one.info.run_id


def test_json(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "mine"
    lines = exported(capsys, str(runs), "--format", "json", "--out", str(out))
    assert lines[-1] == str(out / "design.json")
    content = json.loads((out / "design.json").read_text())
    best = best_of(runs)
    assert content["env"] == TOY
    assert content["env_kwargs"] == {}
    assert content["objective"] == best.log.info.objective
    assert content["design"] == best.trial.design
    assert content["reward"] == best.trial.reward
    assert (content["simulator"], content["simulator_version"]) == ("toy", "1")
    assert (content["run_id"], content["sample"]) == (best.log.info.run_id, best.trial.index + 1)
    assert content["fidelity"] == "simulator"
    # What was written is what the simulator says of the design.
    env = make_env(content["env"], content["env_kwargs"])
    metrics = env.simulator.evaluate(content["design"], seed=0).metrics
    units = {metric.name: metric.unit for metric in env.simulator.metrics}
    assert content["metrics"] == {
        name: {"value": value, "unit": units[name]} for name, value in metrics.items()
    }


def test_a_tool_gets_the_best_design(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = exported(capsys, str(runs), "--format", "toytool", "--out", str(tmp_path / "x"))
    best = best_of(runs)
    assert str(best.log.folder) in lines[0]
    assert f"sample {best.trial.index + 1}" in lines[0]
    paths = [tmp_path / "x" / "README.txt", tmp_path / "x" / "conf" / "design.cfg"]
    assert lines[1:] == [str(path) for path in paths]
    assert paths[0].read_text() == "plain\n"
    assert paths[1].read_text() == f"{sorted(best.trial.design.items())}\n"
    assert sorted(p for p in (tmp_path / "x").rglob("*") if p.is_file()) == sorted(paths)


def test_options(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--format", "toytool", "--out", str(tmp_path))
    exported(capsys, str(runs), *where, "--option", "flavour=spicy", "--option", "limit=50")
    assert (tmp_path / "README.txt").read_text() == "spicy\n"
    more = ("--format", "toytool", "--out", str(tmp_path / "other"))
    error = refused(capsys, str(runs), *more, "--option", "flavor=x")
    assert "has no option 'flavor'. Did you mean 'flavour'?" in error
    assert "has at most 0 lanes" in refused(capsys, str(runs), *more, "--option", "limit=0")
    assert not (tmp_path / "other").exists()
    with pytest.raises(ConfigError, match="'json' has no options"):
        design_files(best_of(runs), "json", options={"a": 1})


def test_the_options_of_the_run_count(runs: Path) -> None:
    best = best_of(runs)

    def of(simulator: object, **options: Any) -> str:
        kwargs = json.dumps({"simulator": simulator})
        info = replace(best.log.info, env_kwargs=kwargs)
        used = replace(best, log=replace(best.log, info=info))
        return design_files(used, "toytool", options=options)["README.txt"]

    assert of({"backend": "toytool", "flavour": "sour"}) == "sour\n"
    assert of({"backend": "toytool", "flavour": "sour"}, flavour="sweet") == "sweet\n"
    assert of({"backend": "othertool", "flavour": "sour"}) == "plain\n"
    assert of("proxy:nowhere.safetensors") == "plain\n"  # the proxy need not be there


def test_nothing_is_overwritten(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "design.cfg").write_text("precious")
    where = (str(runs), "--format", "toytool", "--out", str(tmp_path))
    assert "design.cfg: is there already. Replace it with --force" in refused(capsys, *where)
    assert (tmp_path / "conf" / "design.cfg").read_text() == "precious"
    assert not (tmp_path / "README.txt").exists()
    exported(capsys, *where, "--force")
    assert (tmp_path / "conf" / "design.cfg").read_text().startswith("[(")


def test_the_default_folder(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    exported(capsys, str(runs), "--format", "toytool")
    assert (tmp_path / "Toy-v0-toytool" / "conf" / "design.cfg").is_file()


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", ""])
def test_files_stay_in_the_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no path below"):
        write_files(tmp_path / "out", {name: "x", "a": "y"})
    assert not (tmp_path / "out").exists()


def test_formats_that_do_not_fit(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refused(capsys, str(runs), "--format", "othertool", "--out", str(tmp_path / "x"))
    assert "is for designs of dram, systolic, and those of ArchGym/Toy-v0 are of toy." in error
    assert "Formats for them: toytool, json." in error
    error = refused(capsys, str(tmp_path / "no run"), "--format", "toytol")
    assert "unknown format 'toytol'. Did you mean 'toytool'?" in error
    with pytest.raises(UnknownNameError):
        design_files(best_of(runs), "toytol")


def test_runs_that_cannot_be_compared(tmp_path: Path) -> None:
    for objective in ("minimize:delay_ns", "minimize:cost_usd"):
        kwargs = {"objective": objective}
        run(RunConfig(env=TOY, agent="random_search", budget=3, out=tmp_path, env_kwargs=kwargs))
    with pytest.raises(ConfigError, match="holds runs on 2 problems, whose rewards cannot be"):
        export(tmp_path, "json", out=tmp_path / "x")
    with pytest.raises(DatasetError):
        export(tmp_path / "nowhere", "json", out=tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_no_feasible_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from archgym_py.simulators.toy import ToySimulator

    env = make_env(TOY, {"baseline": {"delay_ns": 1.0, "cost_usd": 1.0}})

    def broken(*_: object, **__: object) -> Evaluation:
        raise InfeasibleDesign("nothing works.")

    monkeypatch.setattr(ToySimulator, "evaluate", broken)
    config = RunConfig(
        env=TOY,
        agent="random_search",
        budget=3,
        out=tmp_path,
        env_kwargs={"baseline": {"delay_ns": 1.0, "cost_usd": 1.0}},
    )
    run(config, env=env)
    with pytest.raises(DatasetError, match="no sample is feasible"):
        best_of(tmp_path)


# ---- the tools that come with the library ------------------------------------------------------


@pytest.mark.parametrize(
    ("env_id", "format_", "kwargs"),
    [
        ("ArchGym/DRAMController-v0", "dramsys", {}),
        ("ArchGym/SystolicArray-v0", "scalesim", {"workload": "alexnet/conv3"}),
        ("ArchGym/DNNAccelerator-v0", "zigzag", {}),
        ("ArchGym/DNNAccelerator-v0", "timeloop", {}),
        ("ArchGym/DNNMapping-v0", "timeloop", {}),
    ],
)
def test_real_tools(env_id: str, format_: str, kwargs: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "runs"
    run(RunConfig(env=env_id, agent="random_search", budget=20, out=out, env_kwargs=kwargs))
    best, files = export(out, format_, out=tmp_path / "files")
    env = make_env(env_id, kwargs)
    backend = stand_in.backend_of(format_, env.simulator, env.space)
    expected = backend.configuration(dict(best.trial.design))
    env.close()
    assert {str(path.relative_to(tmp_path / "files")) for path in files} == set(expected)
    assert "README.txt" in expected
    for name, text in expected.items():
        assert (tmp_path / "files" / name).read_text(encoding="utf-8") == text


def test_a_design_that_the_tool_cannot_express(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    env_id = "ArchGym/DRAMController-v0"
    run(RunConfig(env=env_id, agent="random_search", budget=3, out=tmp_path / "runs"))
    where = ("--format", "ramulator2", "--out", str(tmp_path / "files"))
    assert "Ramulator 2 lacks " in refused(capsys, str(tmp_path / "runs"), *where)
    assert not (tmp_path / "files").exists()
