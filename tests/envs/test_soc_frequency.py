"""The environment of frequencies: what they cost, and what is shown of them."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from archgym_py.envs.soc_scheduler import SoCFrequencyEnv
from archgym_py.errors import ActionError, ConfigError, UnknownNameError
from archgym_py.simulators.soc.settings import Settings
from archgym_py.simulators.soc.simulation import simulate
from archgym_py.testing import check_control_env

MIX = {"wifi_receiver": 0.3, "lag_detection": 0.4, "temporal_mitigation": 0.3}


def _env(**kwargs: Any) -> SoCFrequencyEnv:
    return SoCFrequencyEnv(**{"mix": MIX, "n_jobs": 12, **kwargs})


def _play(env: SoCFrequencyEnv, action: Any, seed: int = 3) -> tuple[list[float], dict[str, Any]]:
    """Play an episode with the same action in every epoch."""
    env.reset(seed=seed)
    rewards: list[float] = []
    while True:
        _, reward, terminated, truncated, info = env.step(action)
        rewards.append(reward)
        if terminated or truncated:
            return rewards, info


def _highest(env: SoCFrequencyEnv) -> Any:
    assert isinstance(env.action_space, gym.spaces.MultiDiscrete)
    return env.action_space.nvec - 1


def test_lower_points_save_energy_and_cost_latency() -> None:
    env = _env(reward="energy")
    highest = _highest(env)
    # Far apart, so that the chip is not only slower but saves what it does not need.
    found = [_play(env, highest - steps)[1]["metrics"] for steps in (0, 2, 4)]
    latencies = [metrics["latency_mean_us"] for metrics in found]
    dynamic = [float(_of_clusters(steps)) for steps in (0, 2, 4)]
    assert latencies == sorted(latencies)
    assert latencies[0] < latencies[2]
    assert dynamic == sorted(dynamic, reverse=True)
    assert dynamic[2] < dynamic[0]


def _of_clusters(steps: int) -> float:
    """Return the energy of the clusters whose frequency can be set, in J."""
    env = _env(arrivals="deterministic:period_us=2000", n_jobs=5)
    env.reset(seed=0)
    done = False
    while not done:
        _, _, done, _, _ = env.step(_highest(env) - steps)
    free = env.result().soc.n_points > 1
    return float(env.result().cluster_energy_j[free].sum())


def test_the_highest_points_are_the_governor_performance() -> None:
    env = _env()
    rewards, info = _play(env, _highest(env))
    drawn = int(gym.utils.seeding.np_random(3)[0].integers(2**31))
    expected = simulate("multiple_bal", MIX, n_jobs=12, seed=drawn, settings=Settings())
    metrics = info["metrics"]
    assert metrics["latency_mean_us"] == pytest.approx(expected.latency_mean_us)
    assert metrics["energy_mj"] == pytest.approx(expected.energy_j * 1e3)
    assert metrics["completed_jobs"] == 12
    assert sum(rewards) == pytest.approx(-expected.energy_j * expected.latency_mean_us)
    assert info["now_us"] == pytest.approx(expected.end_us)


def test_rewards_add_up() -> None:
    rewards, info = _play(_env(reward="energy"), [2, 3])
    assert sum(rewards) == pytest.approx(-info["metrics"]["energy_mj"])
    rewards, info = _play(_env(reward="jobs_in_system"), [2, 3])
    assert sum(rewards) == pytest.approx(-12 * info["metrics"]["latency_mean_us"] / 1e3)


def test_a_step_is_an_epoch() -> None:
    env = _env(epoch_us=40.0)
    env.reset(seed=0)
    for number in range(1, 5):
        *_, info = env.step([0, 0])
        assert info["now_us"] == 40.0 * number


def test_it_observes_frequencies_and_work() -> None:
    env = _env()
    observation, _ = env.reset(seed=0)
    result = env.result()
    pes = len(result.soc.cluster)
    assert observation.shape == (5 * pes + 4,)
    before = np.zeros(pes)
    seen = False
    for action in ([0, 7], [4, 0], [2, 3]) * 5:
        observation, *_ = env.step(action)
        result = env.result()
        frequency = observation[: 4 * pes].reshape(pes, 4)[:, 2]
        free = np.flatnonzero(result.soc.n_points > 1)
        for cluster, point in zip(free, action, strict=True):
            table = result.soc.mhz[cluster, : result.soc.n_points[cluster]]
            [share] = set(frequency[result.soc.cluster == cluster].tolist())
            assert share == pytest.approx(table[point] / table[-1])
        worked = np.minimum((result.active_us - before) / 100.0, 1.0)
        assert observation[-pes:] == pytest.approx(worked, abs=1e-6)
        before, seen = result.active_us.copy(), seen or bool(worked.any())
    assert seen


def test_an_episode_is_cut_at_its_length() -> None:
    env = _env(length_us=450.0)
    rewards, info = _play(env, [0, 0])
    assert len(rewards) == 5
    assert info["now_us"] == 450.0
    assert info["completed"] < 12


@pytest.mark.parametrize(
    "action",
    [[0], [0, 0, 0], [5, 0], [0, 8], [-1, 0], [0.0, 1.0], [True, False], None, 1, [[0, 1]], "01"],
    ids=str,
)
def test_wrong_actions(action: Any) -> None:
    env = _env()
    env.reset(seed=0)
    with pytest.raises(ActionError):
        env.step(action)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"governor": "ondemand"}, ConfigError, "unknown argument 'governor'"),
        ({"compat": "ds3"}, ConfigError, "unknown argument 'compat'"),
        ({"epoch": 3}, ConfigError, "unknown argument 'epoch'"),
        ({"scheduler": "efts"}, UnknownNameError, "eft"),
        ({"epoch_us": 0.0}, ConfigError, "epoch_us"),
        ({"epoch_us": float("nan")}, ConfigError, "epoch_us"),
        ({"power": False}, ConfigError, "always be 0"),
        ({"platform": "top", "mix": "canonical"}, ConfigError, "nothing to set"),
        ({"render_mode": "human"}, ConfigError, "render_mode"),
    ],
)
def test_wrong_arguments(kwargs: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        _env(**kwargs)


def test_texts() -> None:
    env = _env(render_mode="ansi")
    env.reset(seed=0)
    env.step([0, 0])
    text = env.render()
    assert text is not None
    assert "now_us           100.0" in text.splitlines()
    with pytest.warns(UserWarning, match="render_mode='ansi'"):
        assert _env().render() is None
    with pytest.raises(ConfigError, match="no options"):
        env.reset(options={"jobs": 3})


def test_it_conforms_with_other_arguments() -> None:
    check_control_env(
        "ArchGym/SoCFrequency-v0",
        mix=MIX,
        n_jobs=6,
        scheduler="eft",
        reward="latency",
        epoch_us=30.0,
        throttling=True,
    )
