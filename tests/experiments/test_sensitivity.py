"""The experiment on which parameters matter: from every design, and from logs."""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from archgym_py.config import RunConfig
from archgym_py.dataset import SampleDataset
from archgym_py.environment import DesignEnv
from archgym_py.errors import ConfigError, InfeasibleDesign, UnknownNameError
from archgym_py.experiments import sensitivity
from archgym_py.experiments.sensitivity import (
    SensitivityExperiment,
    analyse_every_design,
    analyse_logs,
    draw,
    render,
)
from archgym_py.importance import exact_importance
from archgym_py.log import DatasetError
from archgym_py.runner import run
from archgym_py.simulator import Evaluation, Metric
from archgym_py.simulators.toy import TOY_SPACE, ToySimulator
from archgym_py.space import Choice, Design, Integer, ParameterSpace, Real

TOY = "ArchGym/Toy-v0"
PNG = b"\x89PNG"


class CacheSimulator:
    """What a cache misses: 2 x ways alone, ways and sets together, never a word about 'colour'."""

    name, version, deterministic = "cache", "1", True
    metrics = (Metric("misses", "1", 0.0, 1e6), Metric("one", "1", 0.5, 2.0))

    @staticmethod
    def misses(design: Design) -> float:
        ways, sets = int(design["ways"]), int(design["sets"])
        if ways == 4:
            raise InfeasibleDesign("four ways do not fit")
        return 2.0 * ways + ways * sets

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        return Evaluation({"misses": self.misses(design), "one": 1.0})

    def close(self) -> None:
        pass


class CacheEnv(DesignEnv):
    def __init__(self, *, space: str = "finite", objective: str = "minimize:one") -> None:
        colours: Any = (
            Choice("colour", ("red", "green")) if space == "finite" else Real("colour", 0.0, 1.0)
        )
        sets = Integer("sets", 0, 9 if space == "other" else 4)
        parameters = (Integer("ways", 1, 4), sets, colours)
        super().__init__(ParameterSpace(parameters), CacheSimulator(), objective, action="box")


@pytest.fixture
def cache() -> Iterator[str]:
    gym.register("Test/Cache-v0", entry_point=CacheEnv)  # type: ignore[arg-type]
    yield "Test/Cache-v0"
    del gym.registry["Test/Cache-v0"]


def search(out: Path, **changes: Any) -> Path:
    """Log a run."""
    config: dict[str, Any] = {"env": TOY, "agent": "random_search", "budget": 150, "out": out}
    return run(RunConfig(**{**config, **changes})).run_dir


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    search(folder, budget=400)
    search(folder, seed=1)
    search(folder, agent="genetic", env_kwargs={"objective": "minimize:delay_ns"})
    return folder


def every_design(
    env: str, *metrics: str, **options: Any
) -> tuple[list[dict[str, Any]], list[int | None], list[int]]:
    started: list[int | None] = []
    done: list[int] = []
    found = analyse_every_design(
        env, metrics, **options, start=started.append, progress=done.append
    )
    return found, started, done


def command(*arguments: str) -> tuple[int, list[str]]:
    """Run the experiment with arguments of its command line."""
    experiment = SensitivityExperiment()
    parser = argparse.ArgumentParser()
    experiment.add_arguments(parser)
    args = parser.parse_args(arguments)
    args.command_line = "archgym experiment sensitivity " + " ".join(arguments)
    lines: list[str] = []
    return experiment.run(args, lines.append), lines


def main_effects(analysis: dict[str, Any]) -> dict[str, float]:
    return {entry["parameter"]: entry["share"] for entry in analysis["main"]}


# --- Every design --------------------------------------------------------------------------------


def test_every_design_of_the_toy() -> None:
    [cost, delay], started, done = every_design(TOY, "cost_usd", "delay_ns")
    designs = list(TOY_SPACE.iter_canonical())
    numbers = np.array([TOY_SPACE.encode(design) for design in designs])
    counts = [p.cardinality or 0 for p in TOY_SPACE.parameters]
    active = np.array(
        [[n != "buffer_kib" or d["buffer"] != "none" for n in TOY_SPACE.names] for d in designs]
    )
    toy = ToySimulator()
    values = [math.log(toy.evaluate(design, seed=0).metrics["cost_usd"]) for design in designs]
    shares = exact_importance(numbers, active, counts, values)
    for i, name in enumerate(TOY_SPACE.names):
        assert main_effects(cost)[name] == pytest.approx(shares.main[i])
    pairs = {frozenset(entry["parameters"]): entry["share"] for entry in cost["interactions"]}
    assert len(pairs) == 15
    assert pairs[frozenset({"buffer", "buffer_kib"})] == pytest.approx(shares.interactions[4, 5])
    assert cost["deviation"] == pytest.approx(shares.deviation)
    assert cost["higher_order"] is None  # the constraint ties lanes to stages
    assert started == [len(designs)]
    assert sum(done) == cost["designs"] == len(designs)
    assert cost["statuses"] == {"ok": len(designs)}
    assert (cost["metric"], cost["unit"], cost["scale"]) == ("cost_usd", "USD", "log")
    assert (cost["simulator"], cost["simulator_version"], cost["env"]) == ("toy", "1", TOY)
    assert delay["metric"] == "delay_ns"
    assert main_effects(delay) != main_effects(cost)


def test_shares_by_hand(cache: str) -> None:
    [found], _, _ = every_design(cache, "misses", linear=True)
    # ways x (2 + sets) over ways of 1, 2, 3 and sets of 0 to 4; four ways are never feasible.
    # E[ways] = 2 with variance 2/3, E[2 + sets] = 4 with variance 2.
    ways, sets, both = 16 * 2 / 3, 4 * 2.0, 2 / 3 * 2
    total = ways + sets + both
    assert main_effects(found) == pytest.approx(
        {"ways": ways / total, "sets": sets / total, "colour": 0.0}, abs=1e-12
    )
    assert found["interactions"][0]["parameters"] == ["ways", "sets"]
    assert found["interactions"][0]["share"] == pytest.approx(both / total)
    assert found["higher_order"] == pytest.approx(0.0, abs=1e-12)
    assert found["deviation"] == pytest.approx(math.sqrt(total))
    assert found["statuses"] == {"infeasible": 10, "ok": 30}
    assert found["designs"] == 30
    assert [entry["parameter"] for entry in found["main"]] == ["ways", "sets", "colour"]
    text = render(found)
    assert text.startswith("misses: Test/Cache-v0\n")
    assert "standard deviation: 4.472\n" in text
    assert "10 infeasible, 30 ok" in text
    assert f"{ways / total:.1%}" in text


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ((), "name one or more different metrics"),
        (("misses", "misses"), "different metrics"),
        (("mises",), "no metric 'mises'. Did you mean 'misses'?"),
        (("reward",), "no metric 'reward'"),
        (("one",), "Test/Cache-v0, one: the metric is the same for all 30 designs"),
    ],
)
def test_wrong_metrics(cache: str, metrics: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        every_design(cache, *metrics)
    assert message in str(caught.value)


def test_a_metric_without_logarithm(cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shifted = staticmethod(lambda design: float(design["ways"]) - 1.0)
    monkeypatch.setattr(CacheSimulator, "misses", shifted)
    with pytest.raises(ConfigError, match=r"misses is 0\.0 for some design.*with --linear"):
        every_design(cache, "misses")
    [found], _, _ = every_design(cache, "misses", linear=True)
    assert main_effects(found)["ways"] == pytest.approx(1.0)


def test_no_feasible_design(cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_: Design) -> float:
        raise InfeasibleDesign("no")

    monkeypatch.setattr(CacheSimulator, "misses", staticmethod(never))
    with pytest.raises(ConfigError, match="none of its 40 designs is feasible"):
        every_design(cache, "misses")


def test_spaces_that_are_too_large(cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    remedy = "--agent random_search --budget 2000 --out DIR, then this command with --logs DIR"
    with pytest.raises(ConfigError, match=f"SystolicArray-v0 has 283,115,520 designs.*{remedy}"):
        every_design("ArchGym/SystolicArray-v0", "cycles")
    with pytest.raises(ConfigError, match=f"'colour' is continuous.*{remedy}"):
        every_design(cache, "misses", kwargs={"space": "continuous"})
    monkeypatch.setattr(sensitivity, "MAX_VALUES", 4)
    with pytest.raises(ConfigError, match=f"'sets' has 5 values.*{remedy}"):
        every_design(cache, "misses")


# --- Logs ----------------------------------------------------------------------------------------


def test_problems_of_logs(logs: Path) -> None:
    [searched, even], skipped = analyse_logs(logs, seed=3)
    assert skipped == []
    assert (searched["objective"], searched["agents"]) == ("minimize:delay_ns", {"genetic": 150})
    assert even["objective"] == "product:cost_usd*delay_ns"
    assert even["agents"] == {"random_search": 550}
    assert even["samples"] == 550
    assert even["statuses"] == {"ok": 550}
    keys = [
        key
        for log in SampleDataset(logs).runs()
        if log.info.agent == "random_search"
        for key in SampleDataset(log.folder).table(["key"]).column("key").to_pylist()
    ]
    assert even["designs"] == even["feasible_designs"] == len(set(keys)) < len(keys)
    assert (even["metric"], even["unit"], even["scale"]) == ("reward", "", "linear")
    assert even["constraints"] == ["registers"]
    assert (even["trees"], even["seed"]) == (64, 3)
    assert 0.8 < even["r2"] < 1.0
    assert sum(main_effects(even).values()) < 1.0
    assert "crowd where they searched" in render(searched)
    assert "crowd where they searched" not in render(even)
    text = render(even)
    assert f"out-of-bag R² {even['r2']:.3f}" in text
    assert "guesses a metric for designs too that cannot be built (constraints: registers)" in text
    assert " ± " in text


def test_shares_of_a_metric_from_logs_are_those_of_every_design(cache: str, tmp_path: Path) -> None:
    search(tmp_path, env=cache, budget=200)
    [logged], _ = analyse_logs(tmp_path, ["misses"], linear=True)
    [exact], _, _ = every_design(cache, "misses", linear=True)
    assert logged["feasible_designs"] == 30
    assert logged["statuses"]["infeasible"] > 0
    # The forest has four ways too, which it takes for three, so that they do not agree closely.
    assert main_effects(logged) == pytest.approx(main_effects(exact), abs=0.15)
    assert [e["parameter"] for e in logged["main"]] == [e["parameter"] for e in exact["main"]]
    assert "cannot be built" in render(logged)


def test_a_continuum_is_analysed_from_logs(cache: str, tmp_path: Path) -> None:
    search(tmp_path, env=cache, env_kwargs={"space": "continuous"})
    [found], _ = analyse_logs(tmp_path, ["misses"])
    assert main_effects(found)["colour"] < 0.05 < main_effects(found)["sets"]
    assert found["env_kwargs"] == {"space": "continuous"}


def test_the_same_seed_gives_the_same_analysis(logs: Path) -> None:
    one, again, other = (
        analyse_logs(logs, ["cost_usd"], seed=seed, max_rows=120)[0] for seed in (1, 1, 2)
    )
    assert one == again
    assert main_effects(one[0]) != main_effects(other[0])
    rows = {found["designs"] for found in one}
    assert max(rows) == 120
    drawn = next(found for found in one if found["feasible_designs"] > 120)
    assert f"120 drawn from {drawn['feasible_designs']} different" in render(drawn)


def test_a_poor_fit_is_told(cache: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0)
    noisy = staticmethod(lambda _: 1.0 + noise.random())
    monkeypatch.setattr(CacheSimulator, "misses", noisy)
    search(tmp_path, env=cache)
    [found], _ = analyse_logs(tmp_path, ["misses"])
    assert found["r2"] < 0.3
    assert "do not trust them" in render(found)


def test_what_cannot_be_analysed_is_skipped(logs: Path, tmp_path: Path) -> None:
    search(tmp_path, budget=20)
    search(tmp_path, env_kwargs={"objective": "minimize:delay_ns"})
    found, [few] = analyse_logs(tmp_path)
    assert [analysis["objective"] for analysis in found] == ["minimize:delay_ns"]
    assert few.problem == f"{TOY}, product:cost_usd*delay_ns"
    assert "it needs 60, 10 for each parameter" in few.reason
    found, skipped = analyse_logs(logs, ["cost_usd", "cost"])
    assert [analysis["metric"] for analysis in found] == ["cost_usd", "cost_usd"]
    assert [(s.metric, "Did you mean 'cost_usd'?" in s.reason) for s in skipped] == [
        ("cost", True),
        ("cost", True),
    ]


def test_versions_of_a_simulator_are_problems_of_their_own(
    cache: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(tmp_path, env=cache, budget=300)
    monkeypatch.setattr(CacheSimulator, "version", "2")
    search(tmp_path, env=cache, budget=301)
    found, _ = analyse_logs(tmp_path, ["misses"])
    assert [(one["simulator_version"], one["samples"]) for one in found] == [("1", 300), ("2", 301)]


def test_logs_of_another_space(cache: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search(tmp_path, env=cache, env_kwargs={"space": "other"})

    def smaller(env: CacheEnv, **_: Any) -> None:
        space = ParameterSpace((Integer("ways", 1, 4), Integer("sets", 0, 1), Real("colour", 0, 1)))
        DesignEnv.__init__(env, space, CacheSimulator(), "minimize:one", action="box")

    monkeypatch.setattr(CacheEnv, "__init__", smaller)
    _, [skipped] = analyse_logs(tmp_path, ["misses"])
    assert "another space now than when the runs were logged" in skipped.reason
    assert "parameter 'sets' takes integer 0..1" in skipped.reason

    def renamed(env: CacheEnv, **_: Any) -> None:
        space = ParameterSpace((Integer("banks", 1, 4),))
        DesignEnv.__init__(
            env, space, ToySimulator(), "minimize:cost_usd", baseline={"cost_usd": 9}
        )

    monkeypatch.setattr(CacheEnv, "__init__", renamed)
    _, [skipped] = analyse_logs(tmp_path, ["misses"])
    assert "no column 'design.banks'" in skipped.reason


def test_an_environment_that_is_gone(tmp_path: Path) -> None:
    gym.register("Test/Gone-v0", entry_point=CacheEnv)  # type: ignore[arg-type]
    search(tmp_path, env="Test/Gone-v0")
    del gym.registry["Test/Gone-v0"]
    found, [skipped] = analyse_logs(tmp_path, ["misses"])
    assert found == []
    assert "unknown environment 'Test/Gone-v0'" in skipped.reason


# --- The command ---------------------------------------------------------------------------------


def test_the_command_on_an_environment(
    cache: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "out"
    arguments = ["--env", cache, "--set", "space=finite", "--metric", "misses", "--out", str(out)]
    code, lines = command(*arguments)
    assert code == 0
    study = json.loads((out / "sensitivity.json").read_text(encoding="utf-8"))
    [analysis] = study["analyses"]
    assert lines[0] == render(analysis) + "\n"
    assert study["command"] == "archgym experiment sensitivity " + " ".join(arguments)
    assert study["versions"]["archgym_py"]
    assert study["versions"]["scikit-learn"]
    assert study["skipped"] == []
    assert analysis["env_kwargs"] == {"space": "finite"}
    assert (out / "sensitivity.png").read_bytes().startswith(PNG)
    assert lines[1:] == [f"data: {out / 'sensitivity.json'}", f"image: {out / 'sensitivity.png'}"]
    assert "40/40" in capsys.readouterr().err


def test_the_command_on_logs(logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find(name)
    )
    code, lines = command("--logs", str(logs), "--metric", "cost_usd", "--out", str(tmp_path))
    assert code == 0
    study = json.loads((tmp_path / "sensitivity.json").read_text(encoding="utf-8"))
    assert [one["metric"] for one in study["analyses"]] == ["cost_usd", "cost_usd"]
    assert lines[-1].startswith("no image: drawing needs matplotlib")
    assert not (tmp_path / "sensitivity.png").exists()


def test_the_command_writes_nothing_unless_asked(logs: Path) -> None:
    before = sorted(logs.rglob("*"))
    code, lines = command("--logs", str(logs), "--seed", "7", "--max-rows", "100")
    assert code == 0
    assert len(lines) == 2
    assert sorted(logs.rglob("*")) == before


def test_what_is_skipped_is_told(logs: Path, tmp_path: Path) -> None:
    code, lines = command(
        "--logs", str(logs), "--metric", "cost_usd", "--metric", "cost", "--out", str(tmp_path)
    )
    assert code == 1
    assert [line.startswith("not analysed: cost of ArchGym/Toy-v0") for line in lines].count(
        True
    ) == 2
    study = json.loads((tmp_path / "sensitivity.json").read_text(encoding="utf-8"))
    assert [skipped["metric"] for skipped in study["skipped"]] == ["cost", "cost"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--env", TOY], "--metric is missing"),
        (["--env", TOY, "--metric", "cost_usd", "--seed", "1"], "--seed is an option of --logs"),
        (["--env", TOY, "--metric", "cost_usd", "--max-rows", "9"], "--max-rows is an option of"),
        (["--env", TOY, "--metric", "cost"], "Did you mean 'cost_usd'?"),
        (["--logs", "LOGS", "--set", "workload=a"], "--set is an option of --env"),
        (["--logs", "LOGS", "--linear"], "--linear changes nothing"),
        (["--logs", "LOGS", "--metric", "reward", "--linear"], "--linear changes nothing"),
        (["--logs", "LOGS", "--metric", "cost"], "cost of ArchGym/Toy-v0, minimize:delay_ns: the"),
        (["--logs", "LOGS", "--seed", "-1"], "--seed must be a whole number"),
        (["--logs", "LOGS", "--metric", "reward", "--metric", "reward"], "different metrics"),
    ],
)
def test_wrong_options(logs: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        command(*[str(logs) if word == "LOGS" else word for word in arguments])
    assert message in str(caught.value)


def test_wrong_sources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'ArchGym/Toy-v0'"):
        command("--env", "ArchGym/Toi-v0", "--metric", "cost_usd")
    with pytest.raises(DatasetError, match="holds no logged run"):
        command("--logs", str(tmp_path))
    for arguments in ([], ["--env", TOY, "--logs", "runs"]):
        with pytest.raises(SystemExit):
            command(*arguments)
    assert "--logs --env" in capsys.readouterr().err.replace("DIR", "").replace("  ", " ")


def test_a_space_of_one_parameter(tmp_path: Path) -> None:
    analysis = {
        "env": "Test/One-v0",
        "env_kwargs": {},
        "metric": "misses",
        "unit": "1",
        "scale": "log",
        "designs": 4,
        "statuses": {"ok": 4},
        "deviation": 0.5,
        "main": [{"parameter": "ways", "share": 1.0, "in_pairs": 0.0}],
        "interactions": [],
        "higher_order": 0.0,
    }
    text = render(analysis)
    assert "100.0%" in text
    assert "a factor of 1.649" in text
    assert "interactions" not in text
    draw([analysis], tmp_path / "one.png")
    assert (tmp_path / "one.png").read_bytes().startswith(PNG)


def test_an_image_shows_what_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[list[str]] = []
    bars = sensitivity._draw_main

    def spy(panel: Any, entries: Any, r2: float | None) -> None:
        drawn.append([entry["parameter"] for entry in entries])
        bars(panel, entries, r2)

    monkeypatch.setattr(sensitivity, "_draw_main", spy)
    monkeypatch.setattr(sensitivity, "_DRAWN", 4)
    [cost], _, _ = every_design(TOY, "cost_usd")
    draw([cost], tmp_path / "toy.png")
    assert drawn == [[entry["parameter"] for entry in cost["main"][:4]]]
