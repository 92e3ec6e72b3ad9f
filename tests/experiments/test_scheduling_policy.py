"""Training of a scheduling policy: adapter, warm start, seeds, saving and loading."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported

from archgym_py.envs.soc_scheduler import SoCSchedulerVectorEnv
from archgym_py.errors import ConfigError
from archgym_py.experiments.scheduling_policy import (
    Training,
    choose_earliest_finish,
    load_policy,
    mean_latency_us,
    train,
)
from archgym_py.experiments.vec_adapter import SchedulerVecEnv

ENV: dict[str, Any] = {
    "platform": "ds3gym",
    "mix": ["top_1", "top_2"],
    "arrivals": "poisson:mean_us=25",
    "max_jobs_in_flight": 3,
    "power": False,
    "n_jobs": 10,
}
SMALL = Training(steps=200, seconds=None, envs=4, update_steps=16, width=8, validations=2)


def _envs(count: int, **kwargs: Any) -> SoCSchedulerVectorEnv:
    envs = gym.make_vec("ArchGym/SoCScheduler-v0", num_envs=count, **{**ENV, **kwargs})
    assert isinstance(envs, SoCSchedulerVectorEnv)
    return envs


def test_the_adapter_passes_episodes_through() -> None:
    plain, adapted = _envs(3, slots=2), SchedulerVecEnv(_envs(3, slots=2), seed=5, reward_scale=8.0)
    observations, _ = plain.reset(seed=5)
    np.testing.assert_array_equal(adapted.reset(), observations)
    assert is_masking_supported(adapted)
    ends = 0
    for _ in range(250):
        masks = get_action_masks(adapted)
        np.testing.assert_array_equal(masks, plain.action_masks())
        actions = masks.argmax(axis=1)
        observations, rewards, terminated, truncated, infos = plain.step(actions)
        seen, scaled, dones, each = adapted.step(actions)
        np.testing.assert_array_equal(seen, observations)
        np.testing.assert_allclose(scaled, rewards * 8.0, rtol=1e-6)
        np.testing.assert_array_equal(dones, terminated | truncated)
        for index in np.flatnonzero(dones):
            ends += 1
            assert each[index]["TimeLimit.truncated"] is bool(truncated[index])
            last = infos["final_obs"][index]
            np.testing.assert_array_equal(each[index]["terminal_observation"], last)
    assert ends >= 6
    adapted.close()


def test_the_adapter_tells_where_an_episode_was_cut() -> None:
    adapted = SchedulerVecEnv(_envs(1, length_us=50.0), seed=0)
    adapted.reset()
    infos: list[dict[str, Any]] = [{}]
    while not infos[0]:
        _, _, _, infos = adapted.step(get_action_masks(adapted).argmax(axis=1))
    assert infos[0]["TimeLimit.truncated"] is True


def test_the_adapter_has_one_method() -> None:
    adapted = SchedulerVecEnv(_envs(2), seed=0)
    adapted.reset()
    assert len(adapted.env_method("action_masks", indices=1)) == 1
    assert adapted.get_attr("num_envs") == [2, 2]
    assert adapted.env_is_wrapped(gym.Wrapper) == [False, False]
    with pytest.raises(ConfigError, match="'action_masks', got 'action_mask'"):
        adapted.env_method("action_mask")
    with pytest.raises(ConfigError, match="cannot be set"):
        adapted.set_attr("num_envs", 3)


def test_training_begins_at_etf_and_is_repeated_by_its_seed(tmp_path: Path) -> None:
    told: list[float] = []
    policy = train(
        "toy", ENV, tmp_path / "a.zip", SMALL, progress=lambda share, _: told.append(share)
    )
    curve = policy.origin["curve"]
    # Before the first update the most probable action is that of ETF, but for a small network.
    assert curve[0]["steps"] == 0
    assert curve[0]["validation_us"] == pytest.approx(curve[0]["etf_us"], rel=0.02)
    assert told[0] == 0.0
    assert told[-1] == 1.0
    again = train("toy", ENV, tmp_path / "b.zip", SMALL)
    other = train("toy", ENV, tmp_path / "c.zip", Training(**{**_values(SMALL), "seed": 1}))
    weights = [p.network.state_dict() for p in (policy, again, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert any(not torch.equal(weights[0][name], weights[2][name]) for name in weights[0])
    # The file has the best policy of the curve, and plays as it did.
    best = min(point["validation_us"] for point in curve)
    kwargs = {**ENV, "slots": SMALL.slots}
    assert mean_latency_us(policy.choose, kwargs, seed=1_000_000, episodes=16) == best


def _values(training: Training) -> dict[str, Any]:
    return {name: getattr(training, name) for name in Training.__dataclass_fields__}


def test_training_changes_the_weights(tmp_path: Path) -> None:
    quick = Training(**{**_values(SMALL), "learning_rate": 0.05, "etf_weight": 0.0})
    policy = train("toy", ENV, tmp_path / "a.zip", quick)
    steps = [point["steps"] for point in policy.origin["curve"]]
    assert steps == sorted(steps)
    assert steps[-1] >= 200
    first, last = policy.origin["curve"][0], policy.origin["curve"][-1]
    assert first["entropy"] == 0.0  # there was no update yet
    assert last["entropy"] > 0.0
    assert last["validation_us"] != first["validation_us"]


def test_the_policy_is_a_file_of_stable_baselines(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    policy = train("toy", ENV, path, SMALL)
    model = MaskablePPO.load(path, device="cpu")
    loaded = model.policy.state_dict()
    for name, value in policy.network.state_dict().items():
        assert torch.equal(value, loaded[name])


def test_earliest_finish_takes_the_first_of_equals() -> None:
    # Two slots on two PEs: 5 numbers, 2 execution times and 2 finish times for each.
    observation = np.zeros((1, 18 + 12), np.float32)
    observation[0, [7, 8, 16, 17]] = [0.5, 0.3, 0.3, 0.1]
    masks = np.ones((1, 4), np.bool_)
    assert choose_earliest_finish(observation, masks, slots=2).tolist() == [3]
    masks[0, 3] = False
    assert choose_earliest_finish(observation, masks, slots=2).tolist() == [1]


def test_a_file_that_is_no_policy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is no saved policy. Train one"):
        load_policy(tmp_path / "none.zip")
    path = tmp_path / "other.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archgym_scheduling.json", json.dumps({"training": {}}))
    with pytest.raises(ConfigError, match="holds no scheduling policy"):
        load_policy(path)


def test_pickles_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    train("toy", ENV, path, SMALL)
    changed = tmp_path / "b.zip"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            # Where the library keeps its pickles; nonsense would stop whoever reads it.
            new.writestr(name, b"no JSON" if name == "data" else old.read(name))
    assert load_policy(changed).slots == SMALL.slots


@pytest.mark.parametrize(
    ("name", "value"),
    [("gamma", 1.5), ("slots", 0), ("seconds", 0.0), ("seconds", None), ("steps", 2.5)],
)
def test_values_that_are_not_legal(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=name):
        Training(**{name: value})
