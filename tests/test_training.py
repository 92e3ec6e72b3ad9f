"""Training sets: what is taken from logs, once, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from archgym_py.config import RunConfig
from archgym_py.dataset import SampleDataset
from archgym_py.errors import ConfigError
from archgym_py.log import DatasetError
from archgym_py.proxy import fit_proxy, save_proxy
from archgym_py.runner import run
from archgym_py.simulator import Evaluation
from archgym_py.simulators.toy import TOY_SPACE, ToySimulator
from archgym_py.space import Design
from archgym_py.training import training_set


def toy(out: Path, budget: int, seed: int = 0, **env_kwargs: str) -> None:
    run(
        RunConfig(
            env="ArchGym/Toy-v0",
            agent="random_search",
            budget=budget,
            seed=seed,
            out=out,
            env_kwargs=env_kwargs,
        )
    )


def test_of_equal_designs_the_first_is_taken(tmp_path: Path) -> None:
    for seed in (0, 1):
        run(RunConfig(env="ArchGym/Toy-v0", agent="genetic", budget=300, seed=seed, out=tmp_path))
    dataset = SampleDataset(tmp_path)
    feasible = [trial for trial in dataset.trials() if trial.status == "ok"]
    distinct = {trial.key: trial for trial in reversed(feasible)}
    assert len(distinct) < len(feasible)  # or there is nothing to test
    training = training_set(dataset)
    assert len(training) == len(distinct)
    assert {f"{key:016x}" for key in training.keys.tolist()} == {key[:16] for key in distinct}
    by_key = {
        f"{key:016x}": row for key, row in zip(training.keys.tolist(), training.values, strict=True)
    }
    for trial in distinct.values():
        assert by_key[trial.key[:16]].tolist() == list(trial.metrics.values())


def test_designs_that_break_a_constraint_teach_nothing(tmp_path: Path) -> None:
    toy(tmp_path, 10)
    run(RunConfig(env="ArchGym/Toy-v0", agent="sac", budget=60, out=tmp_path))
    dataset = SampleDataset(tmp_path)
    assert any(trial.status == "infeasible" for trial in dataset.trials())
    training = training_set(dataset)
    assert training.ok.all()
    assert np.isfinite(training.values).all()


def test_the_objective_is_no_part_of_the_problem(tmp_path: Path) -> None:
    for objective in ("minimize:delay_ns", "minimize:cost_usd"):
        toy(tmp_path, 20, objective=objective)
    training = training_set(SampleDataset(tmp_path))
    assert len(training.problems) == 1
    assert len(training) == 20  # both runs drew the same designs
    assert [source["rows"] for source in training.sources] == [20, 20]
    digests = [source["sha256"] for source in training.sources]
    assert digests[0] == digests[1]


def test_predictions_are_no_samples(tmp_path: Path) -> None:
    toy(tmp_path / "real", 60)
    real = training_set(SampleDataset(tmp_path / "real"))
    proxy = fit_proxy(real, hyperparameters={"trees": 3})
    save_proxy(proxy, tmp_path / "p.safetensors")
    toy(tmp_path / "proxy", 60, seed=1, simulator=f"proxy:{tmp_path / 'p.safetensors'}")
    with pytest.raises(DatasetError, match="no sample of a simulator is left"):
        training_set(SampleDataset(tmp_path / "proxy"))
    both = training_set(SampleDataset(tmp_path))
    assert set(both.keys.tolist()) == set(real.keys.tolist())


def test_runs_of_two_simulators_are_refused(tmp_path: Path) -> None:
    toy(tmp_path, 5)
    run(
        RunConfig(
            env="ArchGym/SystolicArray-v0", agent="random_search", budget=5, out=tmp_path / "other"
        )
    )
    with pytest.raises(DatasetError, match=r"differ in their simulator\. A proxy is fitted on"):
        training_set(SampleDataset(tmp_path))


def test_another_version_of_the_simulator_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy(tmp_path, 5)
    monkeypatch.setattr(ToySimulator, "version", "2")
    with pytest.raises(DatasetError, match="logged with version 1 of the simulator 'toy'"):
        training_set(SampleDataset(tmp_path))


def test_contradictions_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy(tmp_path, 5)
    evaluate: Callable[..., Evaluation] = ToySimulator.evaluate

    def other(simulator: ToySimulator, design: Design, *, seed: int) -> Evaluation:
        metrics = dict(evaluate(simulator, design, seed=seed).metrics)
        return Evaluation({**metrics, "delay_ns": metrics["delay_ns"] * 1.5})

    monkeypatch.setattr(ToySimulator, "evaluate", other)
    toy(tmp_path, 5, objective="minimize:cost_usd")
    with pytest.raises(DatasetError, match="of one design and one problem but have different"):
        training_set(SampleDataset(tmp_path))


def test_workloads_are_told_apart_by_their_descriptors(tmp_path: Path) -> None:
    workloads = ("stream-saturating-100", "random-saturating-100", "stream-saturating-100")
    for number, workload in enumerate(workloads):
        run(
            RunConfig(
                env="ArchGym/DRAMController-v0",
                agent="random_search",
                budget=40,
                seed=number,
                out=tmp_path,
                env_kwargs={"workload": workload},
            )
        )
    training = training_set(SampleDataset(tmp_path))
    assert sorted(problem.name for problem in training.problems) == sorted(workloads[:2])
    assert training.problems[0].descriptors != training.problems[1].descriptors
    assert len(training.descriptors) == len(training.problems[0].descriptors) > 0
    width = len(training.descriptors)
    for number, problem in enumerate(training.problems):
        rows = training.features[training.problem == number, -width:]
        np.testing.assert_allclose(rows, np.tile(problem.descriptors, (len(rows), 1)), rtol=1e-6)
    proxy = fit_proxy(training, hyperparameters={"trees": 4})
    with pytest.raises(ConfigError, match="has not seen this workload"):
        proxy.predict([TOY_SPACE.default()], {"trace": "?"})
