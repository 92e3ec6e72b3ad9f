"""Episodes of logged designs: Minari reads them back, and the environment would give them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archgym_py.config import RunConfig
from archgym_py.dataset import SampleDataset
from archgym_py.dataset_minari import export_minari
from archgym_py.environment import SequentialDesignEnv
from archgym_py.errors import ConfigError, InfeasibleDesign
from archgym_py.log import DatasetError
from archgym_py.runner import run
from archgym_py.simulator import Evaluation
from archgym_py.simulators.toy import ToySimulator
from archgym_py.space import Design

needs_minari = pytest.mark.skipif(
    importlib.util.find_spec("minari") is None, reason="minari is not installed"
)
NAME = "archgym/toy/random-v0"


def log(out: Path, budget: int, seed: int = 0, **changes: Any) -> SampleDataset:
    config = {"env": "ArchGym/Toy-v0", "agent": "random_search", "budget": budget, "seed": seed}
    run(RunConfig(**{**config, "out": out, **changes}))
    return SampleDataset(out)


@needs_minari
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 999), sequential=st.booleans())
def test_minari_reads_back_what_the_environment_gives(
    tmp_path_factory: pytest.TempPathFactory, seed: int, sequential: bool
) -> None:
    out = tmp_path_factory.mktemp("minari")
    samples = log(
        out / "runs",
        12,
        seed,
        env=f"ArchGym/Toy{'Sequential' if sequential else ''}-v0",
        env_kwargs={"objective": "minimize:delay_ns", "action": "box"},
        quality="random",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(out / "datasets"))
        calls = []
        patch.setattr(ToySimulator, "evaluate", lambda *_, **__: calls.append(1))
        done: list[int] = []
        assert export_minari(samples, out / "datasets", name=NAME, progress=done.append) == 12
        assert not calls  # nothing was simulated
        assert sum(done) == 12
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(out / "datasets"))
        minari = importlib.import_module("minari")
        dataset = minari.load_dataset(NAME)
        env = dataset.recover_environment().unwrapped
    assert isinstance(env, SequentialDesignEnv)
    assert env.objective.name == "minimize:delay_ns"
    assert (dataset.total_episodes, dataset.total_steps) == (12, 12 * len(env.space.names))
    assert dataset.spec.env_spec.id == "ArchGym/ToySequential-v0"
    assert "quality random" in dataset.storage.metadata["description"]
    for episode, trial in zip(dataset.iterate_episodes(), samples.trials(), strict=True):
        observation, _ = env.reset()
        observations, rewards = [observation], []
        for action in episode.actions:
            assert env.action_space.contains(action)
            observation, reward, terminated, truncated, info = env.step(action)
            observations.append(observation)
            rewards.append(reward)
        assert info["key"] == trial.key
        assert rewards == episode.rewards.tolist()
        assert episode.rewards[-1] == trial.reward
        np.testing.assert_array_equal(np.stack(observations), episode.observations)
        assert episode.observations.dtype == np.float32
        assert episode.terminations.tolist() == [False] * (len(rewards) - 1) + [terminated]
        assert not episode.truncations.any()
        assert not truncated
    env.close()


@needs_minari
def test_failures_are_episodes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate = ToySimulator.evaluate

    def picky(self: ToySimulator, design: Design, *, seed: int) -> Evaluation:
        if design["lanes"] == 8:
            raise InfeasibleDesign("eight is too many")
        return evaluate(self, design, seed=seed)

    with monkeypatch.context() as patch:
        patch.setattr(ToySimulator, "evaluate", picky)
        samples = log(tmp_path / "runs", 50)
    failed = samples.where(pc.field("status") == "infeasible")
    worst = min(trial.reward for trial in samples.trials())
    assert len(failed) > 1
    assert export_minari(failed, tmp_path / "datasets", name=NAME) == len(failed)
    minari = importlib.import_module("minari")
    dataset = minari.MinariDataset(str(tmp_path / "datasets" / NAME / "data"))
    assert {episode.rewards[-1] for episode in dataset.iterate_episodes()} == {worst}


@needs_minari
def test_the_registry_and_the_folder_are_left_as_they_were(tmp_path: Path) -> None:
    samples = log(tmp_path / "runs", 5, env_kwargs={"objective": "minimize:delay_ns"})
    export_minari(samples, tmp_path / "datasets", name=NAME)
    assert gym.spec("ArchGym/ToySequential-v0").kwargs == {}
    with pytest.raises(ConfigError, match="random-v0: exists already"):
        export_minari(samples, tmp_path / "datasets", name=NAME)
    assert [path.name for path in (tmp_path / "datasets" / NAME).parent.iterdir()] == ["random-v0"]


@needs_minari
def test_what_is_no_episode_of_one_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = log(tmp_path / "runs", 5)
    log(tmp_path / "runs", 5, 1, env_kwargs={"objective": "minimize:delay_ns"})
    with pytest.raises(DatasetError, match=r"of 2 problems or objectives, .* --where workload"):
        export_minari(SampleDataset(tmp_path / "runs"), tmp_path / "m", name=NAME)
    with pytest.raises(DatasetError, match="no sample is left"):
        export_minari(samples.where(pc.field("index") < 0), tmp_path / "m", name=NAME)
    with pytest.raises(ConfigError, match=r"'toy' is no id of a Minari dataset\. Try"):
        export_minari(samples, tmp_path / "m", name="toy")
    with pytest.raises(ConfigError, match="is no id of a Minari dataset"):
        export_minari(samples, tmp_path / "m", name="../toy-v0")
    entry = gym.registry["ArchGym/ToySequential-v0"]
    monkeypatch.delitem(gym.registry, entry.id)
    with pytest.raises(DatasetError, match="no environment ArchGym/ToySequential-v0 in which"):
        export_minari(samples, tmp_path / "m", name=NAME)
    assert not (tmp_path / "m").exists()


def test_minari_is_optional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = log(tmp_path / "runs", 2)
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(ConfigError, match=r"needs minari\. Install it .*archgym_py\[dataset\]"):
        export_minari(samples, tmp_path / "m", name=NAME)
