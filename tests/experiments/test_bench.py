"""The benchmark measures what it says; how fast that is, no test asks."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from archgym_py.agent import AskTellAgent
from archgym_py.agents.bayesian import Bayesian
from archgym_py.experiments import bench, bench_agents
from archgym_py.experiments.bench import (
    BASE_DESIGN,
    main,
    measure_simulations,
    measure_start,
    measure_threads,
)
from archgym_py.experiments.timing import FULL, QUICK, Effort, Figure, calibration_loop
from archgym_py.registry import AGENTS
from archgym_py.simulators.dram.space import dram_space
from archgym_py.simulators.dram.technology import load_technology
from archgym_py.simulators.dram.trace import write_stl
from archgym_py.simulators.dram.workloads import Workload
from archgym_py.simulators.soc.settings import SCHEDULERS

TINY = Effort(
    repeats=2,
    repeat_s=0.001,
    sizes=(100, 10_000),
    designs=3,
    batch=8,
    samples=30,
    few_samples=10,
    trials=20,
    steps=16,
    rows=20,
    start_env="ArchGym/Toy-v0",
)

ASK_TELL = [name for name in AGENTS.names() if issubclass(AGENTS.load(name), AskTellAgent)]
FIGURES = [
    "stream-saturating-100",
    "stream-saturating-10k",
    "random-saturating-100",
    "random-saturating-10k",
    "cloud-saturating-100",
    "cloud-saturating-10k",
    "TRACE",
    "beyond the simulator",
    "speed-up",
    "first process, compiles",
    "later process",
    "import archgym_py",
    "mappings of a ResNet-18 layer, three levels",
    "layers on systolic arrays, batched",
    "new designs of the published space, AlexNet, best mappings",
    "etf, scheduling only",
    "etf, power and temperature",
    "etf, compat='ds3'",
    *(f"{name}, scheduling only" for name in SCHEDULERS if name not in {"etf", "optimum"}),
    "ds3gym, single",
    "ds3gym, batched, one thread",
    "ds3gym, batched, all cores",
    "multiple_bal, single",
    "multiple_bal, batched, one thread",
    "multiple_bal, batched, all cores",
    "edge_detection, limited, batched",
    "edge_detection, comprehensive, batched",
    "audio_decoder, comprehensive, batched",
    "edge_detection, limited, one by one",
    *ASK_TELL,
    *AGENTS.names(),
    "bayesian (tpe) / optuna, same search, 20 samples",
    "bayesian (tpe) / optuna, plain search, 20 samples",
    "ppo / stable-baselines3, 16 samples",
    "append and close",
]
TARGETS = {
    "stream-saturating-10k": (10e6, False),
    "random-saturating-10k": (3e6, False),
    "cloud-saturating-10k": (5e6, False),
    "beyond the simulator": (60.0, True),
    "speed-up": (1.7, False),
    "first process, compiles": (60.0, True),
    "later process": (3.0, True),
    "import archgym_py": (0.5, True),
    "mappings of a ResNet-18 layer, three levels": (1e6, False),
    "layers on systolic arrays, batched": (1e6, False),
    "new designs of the published space, AlexNet, best mappings": (40.0, False),
    "etf, scheduling only": (3e6, False),
    "etf, power and temperature": (1.5e6, False),
    "ds3gym, single": (1e5, False),
    "ds3gym, batched, one thread": (1e6, False),
    "multiple_bal, single": (1e5, False),
    "multiple_bal, batched, one thread": (1e6, False),
    "edge_detection, limited, batched": (1e4, False),
    "edge_detection, comprehensive, batched": (1e4, False),
    "audio_decoder, comprehensive, batched": (1e4, False),
    "bayesian (tpe) / optuna, same search, 20 samples": (1.1, True),
    "ppo / stable-baselines3, 16 samples": (1.15, True),
}
OF_ASK_AND_TELL = {"random_search": 50_000.0, "genetic": 50_000.0, "ant_colony": 20_000.0}
DIFFERENCES = ("beyond the simulator", "import archgym_py")  # noise can make them negative


def test_everything_is_measured_shown_and_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "QUICK", TINY)
    monkeypatch.setattr(bench, "cores", lambda: 2)
    path, saved = tmp_path / "own.stl", tmp_path / "figures.json"
    write_stl(Workload("chase", requests=50).generate(), path)
    assert main(["--quick", "--trace", str(path), "--json", str(saved)]) == 0

    report: dict[str, Any] = json.loads(saved.read_text())
    assert report["machine"]["cores"] == 2
    assert report["machine"]["calibration_steps_per_s"] > 0
    assert report["effort"]["samples"] == 30
    figures = [figure for section in report["sections"] for figure in section["figures"]]
    names = [figure["name"] for figure in figures]
    assert names == [str(path) if name == "TRACE" else name for name in FIGURES]
    of_ask_and_tell = range(names.index(ASK_TELL[0]), names.index(ASK_TELL[0]) + len(ASK_TELL))
    for number, (name, figure) in enumerate(zip(names, figures, strict=True)):
        assert math.isfinite(figure["value"])
        assert figure["low"] <= figure["value"] <= figure["high"]
        assert figure["value"] > 0 or name in DIFFERENCES
        assert figure["ratio"] > 0
        assert figure["also"] is None or figure["also"] > 0
        target, at_most = TARGETS.get(name, (None, figure["at_most"]))
        if number in of_ask_and_tell:
            target, at_most = OF_ASK_AND_TELL.get(name), False
        assert (figure["target"], figure["at_most"]) == (target, at_most)
        assert (figure["met"] is None) == (target is None)

    out = capsys.readouterr().out
    assert "smoke test" in out
    assert "0.25 to 0.7 million requests/s" in out
    lines = out.splitlines()
    for section in report["sections"]:
        start = lines.index(section["title"])
        assert section["unit"] in lines[start + 1]
        assert section["ratio_to"] in lines[start + 1]
        for number, figure in enumerate(section["figures"], start + 2):
            assert lines[number].startswith(f"  {figure['name']}  ")
            verdict = {True: " met", False: " MISSED", None: ""}[figure["met"]]
            assert verdict in lines[number]
        assert section["note"] in lines[start + 2 + len(section["figures"])]


def test_efforts_measure_what_has_a_target() -> None:
    assert all(10_000 in effort.sizes for effort in (FULL, QUICK))
    assert FULL.start_env == "ArchGym/DRAMController-v0"
    assert FULL.repeat_s >= 0.5


def test_optuna_alone_makes_the_search_of_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    made, make_study = [], bench_agents._tpe_study

    def study_of(agent: Bayesian) -> optuna.Study:
        made.append((agent, make_study(agent)))
        return made[0][1]

    monkeypatch.setattr(bench_agents, "_tpe_study", study_of)
    for search in bench_agents._tpe(40, 0):
        search()
    [(agent, alone)] = made
    assert agent._study is not None
    designs = [trial.params for trial in alone.trials]
    assert len(designs) > 40  # designs that break the constraint are no samples
    assert designs == [trial.params for trial in agent._study.trials]


def test_the_base_design_is_feasible() -> None:
    space = dram_space("archgym", load_technology("DDR3-1600"))
    assert space.validate(BASE_DESIGN) == BASE_DESIGN
    assert space.violations(BASE_DESIGN) == ()


def test_simulations_per_second_follow_from_requests_per_second() -> None:
    trace = Workload("random", requests=25).generate()
    effort = replace(TINY, sizes=(50,))
    figures = measure_simulations(effort, [trace]).figures
    assert [figure.name for figure in figures[-2:]] == ["cloud-saturating-50", trace.name]
    for figure, requests in zip(figures[-2:], (50, 25), strict=True):
        assert figure.also == pytest.approx(figure.value / requests)


def test_the_start_is_measured_with_an_empty_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[str, bool]] = []

    def process_s(arguments: Sequence[str], environ: dict[str, str]) -> float:
        """Pretend: 0.1 s for nothing, 0.4 s for an import, 30 s for a step, 2 s when cached."""
        cache = Path(environ["NUMBA_CACHE_DIR"])
        _, code, *env = arguments
        kind = "step" if env == [TINY.start_env] else code
        started.append((kind, any(cache.iterdir())))
        if kind != "step":
            return {"pass": 0.1, "import archgym_py": 0.4}[kind]
        compiled = cache / "compiled"
        took = 2.0 if compiled.exists() else 30.0
        compiled.touch()
        return took

    monkeypatch.setattr(bench, "_process_s", process_s)
    figures = {figure.name: figure for figure in measure_start(TINY).figures}
    first, later, imported = figures.values()
    assert [cached for kind, cached in started if kind == "step"] == [False, True, True]
    assert (first.value, later.low, later.high) == (30.0, 2.0, 2.0)
    assert imported.value == pytest.approx(0.3)
    assert [f.ratio for f in figures.values()] == pytest.approx([300.0, 20.0, 4.0])


def test_one_core_has_no_speed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "cores", lambda: 1)
    section = measure_threads(TINY)
    assert section.figures == ()
    assert "one core" in section.note


@pytest.mark.parametrize(
    ("value", "target", "at_most", "met"),
    [
        (2.0, 1.7, False, True),
        (1.7, 1.7, False, True),
        (1.6, 1.7, False, False),
        (59.0, 60.0, True, True),
        (61.0, 60.0, True, False),
        (61.0, None, True, None),
    ],
)
def test_targets(value: float, target: float | None, at_most: bool, met: bool | None) -> None:
    figure = Figure(
        name="x", value=value, low=value, high=value, ratio=1.0, target=target, at_most=at_most
    )
    assert figure.met is met


def test_the_calibration_loop_is_a_congruential_generator() -> None:
    multiplier, increment = 6364136223846793005, 1442695040888963407
    state = 1
    for _ in range(1000):
        state = (state * multiplier + increment) % 2**64
    constants = (np.uint64(1), np.uint64(multiplier), np.uint64(increment))
    assert int(calibration_loop(1000, *constants)) == state


def test_a_bad_trace_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.stl").write_text("0: raed 0x40\n")
    assert main(["--quick", "--trace", str(tmp_path / "bad.stl")]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert "bad.stl" in output.err
    assert "line 1" in output.err


def test_a_missing_folder_is_noticed_before_measuring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--json", str(tmp_path / "none" / "figures.json")])
    assert caught.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert "there is no folder" in output.err
