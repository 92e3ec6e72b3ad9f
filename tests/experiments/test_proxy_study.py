"""The study of proxies: what it fits on, what it judges by, and what it tells."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archgym_py.cli import main
from archgym_py.config import RunConfig, canonical_json
from archgym_py.dataset import SampleDataset
from archgym_py.experiments import proxy_study
from archgym_py.experiments.problems import Problem
from archgym_py.experiments.proxy_study import (
    FULL,
    PRESETS,
    QUICK,
    TABLE,
    ProxyStudyExperiment,
    Scale,
    draw,
    render,
)
from archgym_py.experiments.tables import RESULTS, insert_table
from archgym_py.outcome import Outcome, run_outcome
from archgym_py.proxy import TrainingSet, space_signature
from archgym_py.registry import AGENTS, PROXIES
from archgym_py.runner import make_env
from archgym_py.simulator import Described
from archgym_py.simulators.toy import ToySimulator
from archgym_py.training import training_set

ROOT = Path(__file__).resolve().parents[2]

MODEL = "random_forest"
COMMAND = ["experiment", "proxy_study", "--problem", "toy", "--quick", "--models", MODEL]
COLLECTORS = ("random_search", "genetic", "local_search", "simulated_annealing", "ant_colony")


def one_by_one(configs: Sequence[RunConfig], *, jobs: int) -> list[Outcome]:
    """Make runs without Ray, which takes longer to start than they take."""
    assert jobs > 0
    return [run_outcome(config) for config in configs]


@dataclass(frozen=True)
class Done:
    """A study that was made."""

    folder: Path
    text: str
    study: dict[str, Any]

    def rows(self, part: str) -> list[dict[str, Any]]:
        return [row for row in self.study["runs"] if row["part"] == part]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("study")
    readme = folder / "README.md"
    readme.write_text(f"# Page\n<!-- {TABLE}:begin -->\n<!-- {TABLE}:end -->\n", encoding="utf-8")
    options = ["--out", str(folder / "out"), "--readme", str(readme)]
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proxy_study, "run_all", one_by_one)
        patch.setattr("archgym_py.cli._write", lines.append)
        code = main([*COMMAND, *options, "--plot", str(folder / "errors.svg")])
    assert code == 0
    study = json.loads((folder / "out" / f"{TABLE}.json").read_text(encoding="utf-8"))
    return Done(folder, "\n".join(lines), study)


# --- The whole -----------------------------------------------------------------------------------


def test_every_question_has_its_rows(done: Done) -> None:
    assert [row["kind"] for row in done.rows("models")] == ["designs", "region"]
    assert [(row["samples"], row["seed"]) for row in done.rows("size")] == [
        (size, seed) for size in QUICK.sizes for seed in range(QUICK.seeds)
    ]
    sources = (*COLLECTORS, "mixed")
    assert [(row["source"], row["seed"], row["on"]) for row in done.rows("diversity")] == [
        (source, seed, on)
        for source in sources
        for seed in range(QUICK.seeds)
        for on in ("random", "best")
    ]
    assert [(row["agent"], row["seed"]) for row in done.rows("gap")] == [
        (agent, seed)
        for agent in ("genetic", "local_search", "random_search")
        for seed in range(QUICK.seeds)
    ]
    assert [row["model"] for row in done.rows("speed")] == [MODEL]
    assert done.study["failures"] == {}
    assert set(done.study["agents"]) == set(COLLECTORS)


def test_what_is_written_is_what_was_found(done: Done) -> None:
    table = render(done.study)
    assert done.text.startswith(table)
    page = (done.folder / "README.md").read_text(encoding="utf-8")
    assert page == insert_table(page, TABLE, table)
    beside = done.folder / RESULTS / f"{TABLE}.json"
    assert json.loads(beside.read_text(encoding="utf-8")) == done.study
    image = (done.folder / "errors.svg").read_text(encoding="utf-8")
    assert "</svg>" in image
    for title in ("Models", "Size", "Diversity", "Gap", "Speed"):
        assert f"**{title}**" in table


def test_errors_fall_with_the_samples(done: Done) -> None:
    errors = {
        size: np.mean(
            [
                row["figures"]["delay_ns"]["rmse_percent"]
                for row in done.rows("size")
                if row["samples"] == size
            ]
        )
        for size in QUICK.sizes
    }
    assert errors[QUICK.sizes[-1]] < errors[QUICK.sizes[0]]


def test_the_gap_is_between_the_proxy_and_the_simulator(done: Done) -> None:
    env = make_env("ArchGym/Toy-v0", {"objective": PRESETS["toy"].objective})
    optimum = env.evaluator.evaluate(dict(ToySimulator.optimum)).reward
    [problem] = done.study["problems"]
    assert problem["best_known"] <= optimum
    logs = {
        (run.info.agent, run.info.seed): run
        for run in SampleDataset(done.folder / "out" / "on_proxy").runs()
    }
    for row in done.rows("gap"):
        run = logs[row["agent"], row["seed"]]
        assert run.rows == QUICK.budget
        best = SampleDataset(run.folder).best()
        assert best is not None
        assert best.fidelity == "proxy"
        assert row["predicted"] == best.reward
        assert row["true"] == env.evaluator.evaluate(dict(best.design)).reward
        assert max(row["true"], row["on_simulator"]) <= problem["best_known"]


def test_what_was_made_is_not_made_again(done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    fits: list[str] = []

    def no_fit(*_: object, **__: object) -> None:
        fits.append("fit")

    monkeypatch.setattr(proxy_study, "run_all", one_by_one)
    monkeypatch.setattr(proxy_study, "fit_proxy", no_fit)
    monkeypatch.setattr(proxy_study, "evaluate_proxy", no_fit)
    out = done.folder / "again"
    shutil.copytree(done.folder / "out" / "figures", out / "figures")
    for folder in ("uniform", "searches", "proxies"):
        shutil.copytree(done.folder / "out" / folder, out / folder)
    assert main([*COMMAND, "--out", str(out), "--agents", "genetic"]) == 0
    assert not fits
    again = json.loads((out / f"{TABLE}.json").read_text(encoding="utf-8"))
    timed = {"speed", "gap"}
    assert [row for row in again["runs"] if row["part"] not in timed] == [
        row for row in done.study["runs"] if row["part"] not in timed
    ]
    searches = [row for row in done.rows("gap") if row["agent"] == "genetic"]
    assert [row for row in again["runs"] if row["part"] == "gap"] == searches


# --- Samples -------------------------------------------------------------------------------------


def designs_of(samples: TrainingSet) -> set[tuple[int, int]]:
    return set(zip(samples.keys.tolist(), samples.problem.tolist(), strict=True))


@pytest.fixture(scope="module")
def data(done: Done) -> Iterator[proxy_study._Data]:
    preset = PRESETS["toy"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proxy_study, "run_all", one_by_one)
        out = done.folder / "out"
        yield proxy_study._collect(preset.problems("toy"), preset, QUICK, COLLECTORS, out, 1)


@pytest.mark.parametrize("agent", COLLECTORS)
def test_no_model_is_judged_on_a_design_that_it_was_fitted_on(
    data: proxy_study._Data, agent: str
) -> None:
    unseen = designs_of(data.unseen)
    searched = proxy_study._samples_of(data, PRESETS["toy"], agent)
    assert unseen
    assert not unseen & designs_of(data.seen)
    assert not unseen & designs_of(searched)


def test_random_designs_are_as_many_as_wanted_and_of_runs_of_their_own(
    data: proxy_study._Data,
) -> None:
    runs = data.uniform.runs()
    assert sum(run.rows for run in runs) == QUICK.samples
    assert {run.info.agent for run in runs} == {"random_search"}
    assert all(run.info.seed >= 1_000_000 for run in runs)


def test_many_random_designs_are_drawn_by_several_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[RunConfig] = []

    def nothing(configs: Sequence[RunConfig], *, jobs: int) -> list[Outcome]:
        asked.extend(configs)
        return [Outcome(config, error=f"no luck with {jobs}") for config in configs]

    monkeypatch.setattr(proxy_study, "run_all", nothing)
    assert main(["experiment", "proxy_study", "--out", str(tmp_path), "--jobs", "3"]) == 2
    uniform = [config for config in asked if config.out.parent.name == "uniform"]
    searches = [config for config in asked if config.out.parent.name == "searches"]
    assert len({config.seed for config in uniform}) == len(uniform) == 4 * 4
    for workload in PRESETS["dram"].workloads:
        own = [config for config in uniform if config.env_kwargs["workload"] == workload]
        assert sum(config.budget for config in own) == 40_000
    assert len(searches) == len(COLLECTORS) * 4 * FULL.seeds
    of_genetic = [config.seed for config in searches if config.agent == "genetic"]
    assert len(set(of_genetic)) == len(of_genetic)  # workloads are not asked about equal designs


@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    size=st.integers(1, 40),
    seed=st.integers(0, 9),
)
@settings(max_examples=50, deadline=None)
def test_a_mixture_has_equal_parts_and_nothing_twice(
    sizes: list[int], size: int, seed: int
) -> None:
    blank = blank_samples(0)
    sets = [
        replace(
            blank,
            # Neighbours share designs.
            keys=np.arange(number * 20, number * 20 + count, dtype=np.uint64),
            problem=np.zeros(count, np.int64),
            ok=np.ones(count, np.bool_),
            features=np.full((count, 1), number, np.float32),
            values=np.zeros((count, 1)),
        )
        for number, count in enumerate(sizes)
    ]
    mixed = proxy_study._mix(sets, size, seed)
    different = set().union(*(set(samples.keys.tolist()) for samples in sets))
    assert len(mixed) == min(size, len(different)) == len(set(mixed.keys.tolist()))
    assert set(mixed.keys.tolist()) <= different
    if max(sizes) <= 20:  # none is shared
        counts = np.bincount(mixed.features[:, 0].astype(int), minlength=len(sizes))
        for number, available in enumerate(sizes):
            assert counts[number] >= min(available, counts.max() - 1)


def blank_samples(count: int) -> TrainingSet:
    """Return samples of one problem with a number for a feature."""
    return TrainingSet(
        env_id="ArchGym/Toy-v0",
        simulator="toy",
        version="1",
        space=make_env("ArchGym/Toy-v0").space,
        metrics=(("cost_usd", "USD"), ("delay_ns", "ns")),
        descriptors=(),
        problems=(),
        features=np.zeros((count, 1), np.float32),
        problem=np.zeros(count, np.int64),
        keys=np.arange(count, dtype=np.uint64),
        ok=np.ones(count, np.bool_),
        values=np.zeros((count, 2)),
        sources=(),
    )


def test_the_best_designs_are_the_best_tenth_of_each_problem() -> None:
    rng = np.random.default_rng(0)
    problem = np.repeat([0, 1], [50, 31])
    ok = np.ones(81, np.bool_)
    ok[[3, 60]] = False
    values = rng.uniform(10.0, 50.0, (81, 2))
    values[~ok] = np.nan
    samples = replace(blank_samples(81), problem=problem, ok=ok, values=values)
    delay = Problem("delay", "ArchGym/Toy-v0", {"objective": "minimize:delay_ns"})
    both = Problem("both", "ArchGym/Toy-v0", {"objective": "product:cost_usd*delay_ns"})
    rows = proxy_study._best_rows(samples, [delay, both])
    products = np.where(problem == 0, values[:, 1], values.prod(axis=1))
    for number, count in ((0, 5), (1, 3)):
        own = np.flatnonzero((problem == number) & ok)
        wanted = own[np.argsort(products[own])[:count]]
        assert sorted(rows[problem[rows] == number]) == sorted(wanted)


# --- Failures and refusals -----------------------------------------------------------------------


def test_searches_that_fail_are_told(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_all(configs: Sequence[RunConfig], *, jobs: int) -> list[Outcome]:
        if "simulator" in configs[0].env_kwargs:
            return [Outcome(config, error="no luck") for config in configs]
        return one_by_one(configs, jobs=jobs)

    monkeypatch.setattr(proxy_study, "run_all", run_all)
    shutil.copytree(done.folder / "out", tmp_path, dirs_exist_ok=True)
    assert main([*COMMAND, "--out", str(tmp_path), "--agents", "genetic"]) == 1
    text = capsys.readouterr().out
    assert "Failed: 2 runs of `genetic` (no luck)." in text
    assert "**Gap**" not in text  # there is nothing to tell


def test_samples_that_cannot_be_taken_end_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_all(configs: Sequence[RunConfig], *, jobs: int) -> list[Outcome]:
        outcomes = one_by_one(configs[:-1], jobs=jobs)
        return [*outcomes, Outcome(configs[-1], error="the disk is full")]

    monkeypatch.setattr(proxy_study, "run_all", run_all)
    assert main([*COMMAND, "--budget", "5", "--out", str(tmp_path)]) == 2
    assert "a run of 'ant_colony' that takes samples" in (error := capsys.readouterr().err)
    assert "the disk is full" in error


def test_what_cannot_end_well_is_refused_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# Page\n", encoding="utf-8")
    for options, message in (
        (["--readme", str(readme)], f"<!-- {TABLE}:begin -->"),
        (["--plot", str(tmp_path / "errors.txt")], "no such image format"),
        (["--samples", "99"], "Take 100 or more, got 99"),
    ):
        assert main([*COMMAND, "--out", str(tmp_path / "out"), *options]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--problem", "tpu", "invalid choice: 'tpu'"),
        ("--models", "random_forrest", "Did you mean 'random_forest'?"),
        ("--agents", "genetics", "Did you mean 'genetic'?"),
        ("--collectors", "grids", "Did you mean 'grid'?"),
        ("--seeds", "0", "at least 1"),
    ],
)
def test_options_are_checked(
    option: str, value: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*COMMAND, option, value])
    assert message in capsys.readouterr().err


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    ProxyStudyExperiment().add_arguments(parser)
    return parser.parse_args(arguments)


def test_the_scale_is_full_unless_it_is_said_otherwise() -> None:
    assert proxy_study._scale(options()) == FULL
    assert proxy_study._scale(options("--quick")) == QUICK
    given = options("--quick", "--samples", "900", "--training", "70", "--budget", "8")
    changed = proxy_study._scale(given)
    assert changed == replace(QUICK, samples=900, training=70, budget=8)
    assert options().models == PROXIES.names()
    assert options().problem == "dram"


def test_there_are_no_more_sizes_than_samples() -> None:
    scale: Scale = replace(FULL, sizes=(100, 316, 1000), seeds=2)
    few = [(100, 0), (100, 1), (316, 0), (316, 1)]
    assert proxy_study._fits("linear", scale, 999) == few
    assert proxy_study._fits("linear", scale, 1000) == [*few, (1000, 0), (1000, 1)]
    assert proxy_study._fits("mlp_ensemble", scale, 1000) == [(100, 0), (1000, 0)]


# --- Problems ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_a_proxy_can_be_fitted_for_the_workloads_of_a_preset(name: str) -> None:
    preset = PRESETS[name]
    signatures, seen, problems = set(), set(), preset.problems(name)
    assert len({problem.name for problem in problems}) == len(problems)
    for problem in problems:
        env = make_env(problem.env, problem.env_kwargs)
        metrics = {metric.name for metric in env.simulator.metrics}
        assert set(preset.metrics) <= metrics
        assert set(env._any_objective.metrics) <= set(preset.metrics)
        signatures.add(canonical_json(space_signature(env.space)))
        if isinstance(env.simulator, Described):
            seen.add(tuple(env.simulator.descriptors.values()))
        env.close()
    assert len(signatures) == 1
    assert len(seen) == len(problems) or len(problems) == 1


def test_agents_of_the_study_exist() -> None:
    assert set(COLLECTORS) == set(proxy_study._COLLECTORS)
    assert {*proxy_study._COLLECTORS, *proxy_study._SEARCHERS} <= set(AGENTS.names())


def test_what_random_designs_hold_can_be_learned_from(data: proxy_study._Data) -> None:
    assert len(training_set(data.uniform)) == len(data.seen) + len(data.unseen)
    assert [name for name, _ in data.unseen.metrics] == list(PRESETS["toy"].metrics)


# --- Text ----------------------------------------------------------------------------------------


def figures(error: float) -> dict[str, Any]:
    """Return figures of two metrics, one of which never changes."""
    return {
        "time": {
            "rmse_percent": error,
            "kendall_tau": 0.9,
            "regret_1": 0.1,
            "coverage_90": 0.8,
        },
        "area": {
            "rmse_percent": 2 * error,
            "kendall_tau": None,
            "regret_1": None,
            "coverage_90": 1.0,
        },
    }


def made_up() -> dict[str, Any]:
    """Return a study of two models."""
    held_out = [("designs", "20% of the designs"), ("workload", "w1"), ("region", "a in {1}")]
    rows: list[dict[str, Any]] = [
        {
            "part": "models",
            "model": model,
            "kind": kind,
            "what": what,
            "samples": 2000,
            "judged": 500,
            "fit_s": 1.25 if kind == "designs" else None,
            "figures": figures(error + number),
        }
        for model, error in (("linear", 10.0), ("random_forest", 0.5))
        for number, (kind, what) in enumerate(held_out)
    ]
    rows += [
        {
            "part": "size",
            "model": model,
            "samples": size,
            "seed": seed,
            "fit_s": 1.0,
            "figures": figures(1000 / size + seed),
        }
        for model in ("linear", "random_forest")
        for size in (100, 1000)
        for seed in (0, 1, 2)
    ]
    rows += [
        {
            "part": "diversity",
            "model": "random_forest",
            "source": source,
            "samples": 300,
            "seed": 0,
            "on": on,
            "figures": figures(error),
        }
        for source in ("genetic", "mixed")
        for on, error in (("random", 4.0), ("best", 1.0))
    ]
    rows += [
        {
            "part": "gap",
            "model": "linear",
            "agent": "genetic",
            "problem": problem,
            "seed": 0,
            "predicted": 1.0,
            "true": true,
            "on_simulator": 0.75,
        }
        for problem, true in (("w1", 0.5), ("w2", None))
    ]
    rows.append(
        {
            "part": "speed",
            "model": "linear",
            "metrics": 2,
            "designs": 64,
            "native": 100.0,
            "proxy": 5000.0,
            "predict": 9000.0,
            "ratio": 50.0,
            "low": 40.0,
            "high": 60.0,
            "predict_ratio": 90.0,
        }
    )
    return {
        "env": "ArchGym/Toy-v0",
        "objective": "product:time*area",
        "metrics": ["time", "area"],
        "problems": [{"name": "w1", "best_known": 0.8}, {"name": "w2", "best_known": 1.0}],
        "budget": 2000,
        "seeds": 3,
        "failures": {},
        "runs": rows,
    }


def test_the_tables() -> None:
    lines = render(made_up()).splitlines()
    assert "| `linear` | 10 | 20 | 0.9000 | 0.1000 | 90.0% | 1.2 s |" in lines
    assert "| workload w1 | 11 / 22 | 1.5 / 3 |" in lines
    assert "| region a in {1} | 12 / 24 | 2.5 / 5 |" in lines
    assert "| 100 | 11 (10–12) | 11 (10–12) |" in lines  # of the first metric
    assert "| 1,000 | 4 (2–6) | 4 (2–6) |" in lines  # of the second one
    assert "| `genetic` | 4 | 8 | 1 | 2 |" in lines
    assert "| mixed | 4 | 8 | 1 | 2 |" in lines
    # The infeasible design counts for itself.
    gap = "| `linear` | `genetic` | 1.0000 | 0.5000 | 0.5000 (0.5000–0.5000) | 0.7500 | 0.9000 |"
    assert f"{gap} 1 of 2 |" in lines
    assert "| linear | 2 | 5,000 | 50 (40–60) | 9,000 | 90 |" in lines


def test_a_figure_that_does_not_exist_is_left_open() -> None:
    study = made_up()
    for row in study["runs"]:
        if row["part"] == "size":
            row["figures"]["area"]["rmse_percent"] = None
        if row["part"] == "gap":
            row["true"] = row["predicted"] = row["on_simulator"] = None
    lines = render(study).splitlines()
    assert "| 100 | - | - |" in lines
    assert "| `linear` | `genetic` | - | - | - | - | 0.9000 | 2 of 2 |" in lines


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_the_image_is_of_the_format_of_its_name(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"errors.{ending}"
    draw(made_up(), path)
    start = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}[ending]
    assert path.read_bytes().startswith(start)


# --- The results of the README -------------------------------------------------------------------


def test_the_readme_has_the_tables_of_the_results() -> None:
    study = json.loads((ROOT / RESULTS / "proxy_study.json").read_text(encoding="utf-8"))
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert page == insert_table(page, TABLE, render(study))
    models = {row["model"] for row in study["runs"] if row["part"] == "models"}
    assert models == set(PROXIES.names())
    assert (study["env"], study["training"]) == (PRESETS["dram"].env, FULL.training)
