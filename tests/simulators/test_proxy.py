"""A proxy in the simulator's place, in every design environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from archgym_py.config import RunConfig
from archgym_py.dataset import SampleDataset
from archgym_py.environment import DesignEnv, SequentialDesignEnv
from archgym_py.errors import ConfigError, DesignError, ProxyFileError
from archgym_py.log import DatasetError
from archgym_py.proxy import fit_proxy, load_proxy, save_proxy
from archgym_py.registration import ENVS
from archgym_py.runner import make_env, run
from archgym_py.simulator import PROXY, SIMULATED, BatchSimulator
from archgym_py.simulators.proxy import ProxySimulator
from archgym_py.testing import check_env
from archgym_py.training import training_set

DESIGN_ENVS = [
    entry for entry in ENVS if entry.is_design and not entry.id.endswith("Sequential-v0")
]
QUICK: Mapping[str, Mapping[str, Any]] = {
    "ArchGym/DRAMController-v0": {"workload": "stream-saturating-100"},
    "ArchGym/DNNAccelerator-v0": {"workload": "alexnet/conv3"},
    "ArchGym/SoCDesign-v0": {"n_jobs": 10, "seeds": 1},
}
"""Arguments with which an environment is quick to simulate."""


def fit(folder: Path, env_id: str, kwargs: Mapping[str, Any], samples: int = 60) -> str:
    """Fit a small proxy on random samples; return the argument `simulator` that names it."""
    run(
        RunConfig(
            env=env_id,
            agent="random_search",
            budget=samples,
            out=folder / "runs",
            env_kwargs=kwargs,
        )
    )
    proxy = fit_proxy(training_set(SampleDataset(folder / "runs")), hyperparameters={"trees": 4})
    save_proxy(proxy, folder / "p.safetensors")
    return f"proxy:{folder / 'p.safetensors'}"


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    return fit(tmp_path_factory.mktemp("toy"), "ArchGym/Toy-v0", {}, samples=300)


@pytest.mark.parametrize("entry", DESIGN_ENVS, ids=lambda entry: entry.id)
def test_every_design_environment_takes_a_proxy(entry: Any, tmp_path: Path) -> None:
    kwargs = dict(QUICK.get(entry.id, {}))
    name = fit(tmp_path, entry.id, kwargs)
    env = make_env(entry.id, {**kwargs, "simulator": name})
    native = make_env(entry.id, kwargs)
    try:
        assert env.space == native.space
        assert env.simulator.metrics == native.simulator.metrics
        assert env.baseline == native.baseline  # rewards have one origin
        trials = [trial for trial in SampleDataset(tmp_path / "runs").trials() if trial.metrics]
        evaluator = env.new_evaluator(budget=len(trials))
        again = evaluator.evaluate_batch([trial.design for trial in trials])
        assert {trial.fidelity for trial in again} == {PROXY}
        # A forest remembers what it was fitted on.
        assert {trial.status for trial in again} == {"ok"}
        true, found = (
            np.array([list(trial.metrics.values()) for trial in each]) for each in (trials, again)
        )
        assert (np.abs(found - true) <= 1e-3 * (np.ptp(true, axis=0) + np.abs(true))).all()
        sequential = make_env(
            entry.id.replace("-v0", "Sequential-v0"), {**kwargs, "simulator": name}
        )
        assert isinstance(sequential, SequentialDesignEnv)
        sequential.close()
    finally:
        env.close()
        native.close()


def test_the_environment_with_a_proxy_conforms(toy: str) -> None:
    check_env("ArchGym/Toy-v0", simulator=toy)


def test_a_batch_and_single_designs_agree(toy: str) -> None:
    env = make_env("ArchGym/Toy-v0", {"simulator": toy})
    simulator = env.simulator
    assert isinstance(simulator, BatchSimulator)
    designs = env.space.batch(np.random.default_rng(0).random((40, 6))).designs
    together = simulator.evaluate_batch(designs, seeds=[0] * 40)
    assert together == [simulator.evaluate(design, seed=0) for design in designs]


def test_the_log_says_what_a_proxy_predicted(toy: str, tmp_path: Path) -> None:
    config = RunConfig(
        env="ArchGym/Toy-v0",
        agent="genetic",
        budget=100,
        out=tmp_path,
        env_kwargs={"simulator": toy},
    )
    result = run(config)
    dataset = SampleDataset(tmp_path)
    assert set(dataset.table(["fidelity"])["fidelity"].to_pylist()) == {PROXY}
    assert result.log.info.simulator == "proxy:toy"
    digest = load_proxy(toy.removeprefix("proxy:"), make_env(config.env).space).header.digest
    assert result.log.info.simulator_version == f"1/{digest[:12]}"
    assert run(config, resume=True).best == result.best


def test_another_proxy_does_not_continue_a_run(toy: str, tmp_path: Path) -> None:
    def config(budget: int) -> RunConfig:
        return RunConfig(
            env="ArchGym/Toy-v0",
            agent="random_search",
            budget=budget,
            out=tmp_path / "runs",
            env_kwargs={"simulator": f"proxy:{tmp_path / 'p.safetensors'}"},
        )

    place = tmp_path / "p.safetensors"
    place.write_bytes(Path(toy.removeprefix("proxy:")).read_bytes())
    run(config(20))
    fit(tmp_path / "other", "ArchGym/Toy-v0", {}, samples=50)
    place.write_bytes((tmp_path / "other" / "p.safetensors").read_bytes())
    with pytest.raises(DatasetError, match="was begun with simulator_version"):
        run(config(20), resume=True)


def test_where_the_proxy_is_unsure_the_simulator_is_asked(toy: str) -> None:
    path = toy.removeprefix("proxy:")
    native = make_env("ArchGym/Toy-v0").evaluator
    space = native.space
    designs = space.batch(np.random.default_rng(1).random((200, 6))).designs
    spread = load_proxy(path, space).predict(designs, {}).relative_std.max(axis=1)
    counts = []
    for fallback in (1e-9, float(np.median(spread)), 1e9):
        env = make_env("ArchGym/Toy-v0", {"simulator": {"proxy": path, "fallback": fallback}})
        trials = env.evaluator.evaluate_batch(designs)
        simulated = [trial for trial in trials if trial.fidelity == SIMULATED and trial.metrics]
        for trial in simulated:
            assert trial.metrics == native.evaluate(trial.design).metrics
        counts.append(len(simulated))
        assert f"fallback={fallback:g}" in env.simulator.version
    assert counts[0] > counts[1] > counts[2] == 0


def test_a_likely_failure_is_infeasible(tmp_path: Path) -> None:
    kwargs = {"power_budget_mw": 3000.0}
    name = fit(tmp_path, "ArchGym/SystolicArray-v0", kwargs, samples=300)
    trials = list(SampleDataset(tmp_path / "runs").trials())
    failed = [trial for trial in trials if trial.status == "infeasible"]
    assert 30 < len(failed) < 270
    env = make_env("ArchGym/SystolicArray-v0", {**kwargs, "simulator": name})
    again = env.evaluator.evaluate_batch([trial.design for trial in failed])
    assert {trial.status for trial in again} == {"infeasible"}
    assert all(trial.reward == env.objective.failure_reward for trial in again)
    assert "a chance of 0% to be feasible" in again[0].message


def test_designs_outside_of_the_space_are_errors(toy: str) -> None:
    env = make_env("ArchGym/Toy-v0", {"simulator": toy})
    wrong = {**env.space.default(), "lanes": 3}
    with pytest.raises(DesignError, match="parameter 'lanes' takes"):
        env.evaluator.evaluate(wrong)
    with pytest.raises(DesignError, match="parameter 'lanes' takes"):
        env.simulator.evaluate(wrong, seed=0)


def test_an_unknown_workload_is_an_error(tmp_path: Path) -> None:
    kwargs = {"workload": "stream-saturating-100"}
    name = fit(tmp_path, "ArchGym/DRAMController-v0", kwargs)
    for other in ({"workload": "random-saturating-100"}, {**kwargs, "player_clock_mhz": 400}):
        with pytest.raises(ConfigError, match="has not seen this workload with these settings"):
            gym.make("ArchGym/DRAMController-v0", simulator=name, **other)


def test_an_unknown_simulator_is_an_error(toy: str) -> None:
    for spec, message in (
        ("embeded", "unknown simulator 'embeded'. Did you mean 'embedded'"),
        ("proxy:", "must name a file"),
        ({"fallback": 0.1}, "the key 'proxy' is missing"),
        ({"proxy": toy, "falback": 0.1}, "unknown key 'falback'. Did you mean 'fallback'"),
        ({"proxy": toy.removeprefix("proxy:"), "fallback": 0}, "fallback must"),
        (3, "unknown simulator 3"),
    ):
        with pytest.raises(ConfigError, match=message):
            gym.make("ArchGym/Toy-v0", simulator=spec)


def test_a_proxy_of_another_simulator_is_refused(toy: str) -> None:
    env = make_env("ArchGym/Toy-v0")

    class Renamed(type(env.simulator)):  # type: ignore[misc]
        name = "other"

    proxy = load_proxy(toy.removeprefix("proxy:"), env.space)
    with pytest.raises(ProxyFileError, match="was fitted on version 1 of the simulator 'toy'"):
        ProxySimulator(Renamed(), proxy)


def test_only_the_chosen_metrics_are_there(tmp_path: Path) -> None:
    run(RunConfig(env="ArchGym/Toy-v0", agent="random_search", budget=50, out=tmp_path))
    training = training_set(SampleDataset(tmp_path)).only(["delay_ns"])
    save_proxy(fit_proxy(training, hyperparameters={"trees": 3}), tmp_path / "p.safetensors")
    simulator = f"proxy:{tmp_path / 'p.safetensors'}"
    env = gym.make("ArchGym/Toy-v0", simulator=simulator, objective="minimize:delay_ns").unwrapped
    assert isinstance(env, DesignEnv)
    env.reset(seed=0)
    info = env.step(env.space.encode(env.space.default()))[4]
    assert list(info["metrics"]) == ["delay_ns"]
    with pytest.raises(ConfigError, match="cost_usd"):
        gym.make("ArchGym/Toy-v0", simulator=simulator)
