"""The scheduler's environment: what it shows, what it pays, and that it is the simulator."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from archgym_py.envs.soc_scheduler import SoCSchedulerEnv, SoCSchedulerVectorEnv
from archgym_py.errors import ActionError, ConfigError, UnknownNameError
from archgym_py.simulators.soc.settings import Settings
from archgym_py.simulators.soc.simulation import Result, simulate
from archgym_py.testing import check_control_env

ENV_ID = "ArchGym/SoCScheduler-v0"
MIX = {"wifi_receiver": 0.3, "lag_detection": 0.4, "temporal_mitigation": 0.3}
GYM: dict[str, Any] = {
    "platform": "ds3gym",
    "mix": ["top_1", "top_2", "top_3", "top_4", "top_5"],
    "arrivals": "poisson:mean_us=25,whole_us=true",
}
DS3GYM: dict[str, Any] = {
    "compat": "ds3gym",
    "fill_first": True,
    "length_us": 5000.0,
    "max_jobs_in_flight": 3,
}

Policy = Callable[[SoCSchedulerEnv, Any], int]


def _env(**kwargs: Any) -> SoCSchedulerEnv:
    return SoCSchedulerEnv(**{"mix": MIX, "n_jobs": 20, **kwargs})


def _shown(env: SoCSchedulerEnv, observation: Any) -> tuple[Any, Any, Any]:
    """Return an observation as ready tasks (slots, 5 + 2 P), PEs (P, 4) and system (4,)."""
    pes = len(env.result().platform.pe_cluster)
    system = observation[-4:]
    rest = observation[: -4 - 4 * pes]
    return rest.reshape(-1, 5 + 2 * pes), observation[-4 - 4 * pes : -4].reshape(pes, 4), system


def _finishes(env: SoCSchedulerEnv, observation: Any) -> Any:
    """Return estimated times to the end of each ready task on each PE, inf where not legal."""
    slots, pes, _ = _shown(env, observation)
    finishes = slots[:, 5 + len(pes) :]
    return np.where(env.action_masks().reshape(finishes.shape), finishes, np.inf)


def _earliest(env: SoCSchedulerEnv, observation: Any) -> int:
    """Choose as ETF does, or as EFT where only the first task is shown."""
    return int(_finishes(env, observation).argmin())


def _random(seed: int = 0) -> Policy:
    rng = np.random.default_rng(seed)
    return lambda env, _: int(rng.choice(np.flatnonzero(env.action_masks())))


def _play(
    env: SoCSchedulerEnv, policy: Policy, seed: int = 3
) -> tuple[list[float], dict[str, Any], bool]:
    """Play an episode; return the rewards, the last info and whether it was truncated."""
    observation, _ = env.reset(seed=seed)
    rewards: list[float] = []
    while True:
        observation, reward, terminated, truncated, info = env.step(policy(env, observation))
        rewards.append(reward)
        if terminated or truncated:
            return rewards, info, truncated


def _builtin(scheduler: str, seed: int, kwargs: dict[str, Any]) -> Result:
    """Simulate the jobs of the first episode after `reset(seed)` by a built-in scheduler."""
    kwargs = {"n_jobs": 20, "mix": MIX, "arrivals": "poisson:mean_us=100", **kwargs}
    names = ("platform", "mix", "arrivals", "n_jobs")
    settings = Settings(**{k: v for k, v in kwargs.items() if k not in names})
    drawn = int(gym.utils.seeding.np_random(seed)[0].integers(2**31))
    return simulate(
        kwargs.get("platform", "multiple_bal"),
        kwargs["mix"],
        arrivals=kwargs["arrivals"],
        n_jobs=kwargs["n_jobs"],
        seed=drawn,
        scheduler=scheduler,
        settings=settings,
    )


# --- It is the simulator --------------------------------------------------------------------------


@pytest.mark.parametrize(("scheduler", "slots"), [("eft", 1), ("etf", 60)])
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"compat": "ds3"},
        {"arrivals": "deterministic:period_us=64"},
        {**GYM, "n_jobs": 60, "shared_memory": True, "power": False},
        {"contention": True, "switch_us": 1.5, "power_gating": True, "wake_us": 2.0},
        {"noise_std": 0.3, "arrivals": "poisson:mean_us=80"},
        {**GYM, "n_jobs": 60, "power": False},
        {**GYM, **DS3GYM, "n_jobs": 400},
        {**GYM, **DS3GYM, "n_jobs": 400, "noise_std": 0.2},
    ],
    ids=lambda kwargs: ",".join(str(v) for v in kwargs.values())[-40:] or "clean",
)
def test_policies_that_imitate_schedulers_get_their_schedules(
    scheduler: str, slots: int, kwargs: dict[str, Any]
) -> None:
    expected = _builtin(scheduler, 3, kwargs)
    env = _env(**kwargs, slots=slots, record=True)
    _, info, truncated = _play(env, _earliest)
    assert env.schedule() == expected.schedule
    assert info["metrics"]["latency_mean_us"] == expected.latency_mean_us > 0
    assert info["metrics"]["completed_jobs"] == expected.completed > 0
    assert info["metrics"]["energy_mj"] == pytest.approx(expected.energy_j * 1e3)
    assert truncated == ("length_us" in kwargs)


def test_the_order_by_rank_is_that_of_heft() -> None:
    env = _env(order="rank", slots=8, arrivals="poisson:mean_us=40")

    def first(env: SoCSchedulerEnv, observation: Any) -> int:
        slots, _, _ = _shown(env, observation)
        ranks = slots[slots[:, 0] == 1, 1]
        assert (np.diff(ranks) <= 0).all()
        several.append(len(ranks) > 1)
        return int(_finishes(env, observation)[0].argmin())

    several: list[bool] = []
    _play(env, first)
    assert any(several)


def test_a_later_ready_task_can_go_first() -> None:
    env = _env(slots=4, record=True, arrivals="poisson:mean_us=20")
    observation, _ = env.reset(seed=0)
    slots, pes, _ = _shown(env, observation)
    while slots[:, 0].sum() < 2:
        observation, *_ = env.step(_earliest(env, observation))
        slots, pes, _ = _shown(env, observation)
    first, second = slots[0].copy(), slots[1].copy()
    p = int(_finishes(env, observation)[1].argmin())
    observation, *_ = env.step(len(pes) + p)
    left, after, _ = _shown(env, observation)
    assert left[0][:5] == pytest.approx(first[:5])  # the first one is still there
    assert after[p, 1] > pes[p, 1]  # and that PE has more to do
    assert second[5 + p] < 1


# --- Observation ----------------------------------------------------------------------------------


def _squash(x: Any, scale: float) -> Any:
    return np.where(np.isfinite(x), x / (np.where(np.isfinite(x), x, 0) + scale), 1.0)


def test_the_array_says_what_its_page_says() -> None:
    env = _env(slots=3, deadline_factor=2.0, governor="ondemand", arrivals="poisson:mean_us=50")
    observation, info = env.reset(seed=5)
    policy = _random()
    seen: dict[str, Any] = {"second slot": 0, "late": 0, "waiting": 0, "slow": 0, "unable": 0}
    for _ in range(250):
        result = env.result()
        k, s, y = result.soc, result.sim, result.sim.system[0, 0]
        o, pes, most = k.options[0], len(k.cluster), s.tasks.shape[1] // s.jobs.shape[1]
        scale = float(k.work_us[np.isfinite(k.work_us)].mean())
        slots, shown_pes, system = _shown(env, observation)
        ready = s.queues[0, 0, y["head"] : y["n_ready"]]
        for slot in range(3):
            if slot >= len(ready):
                assert not slots[slot].any()
                continue
            n = int(ready[slot])
            job = s.jobs[0, n // most]
            first = int(k.first_task[job["graph"]])
            g = first + n % most
            tasks = s.tasks[0, n - n % most :]
            graph = result.graphs[job["graph"]]
            times = result.platform.times_us(graph)[n % most]
            age = y["now"] - job["injected"]
            slack = 2.0 * _critical_us(result, int(job["graph"])) - age
            finish = np.maximum(s.available_us[0] - y["now"], 0.0)
            for i in range(k.first_in[g], k.first_in[g + 1]):
                maker = tasks[k.source[i]]
                finish = np.maximum(
                    finish, maker["finish"] + k.comm_us[i, maker["pe"], :pes] - y["now"]
                )
            finish = finish + times
            sign = 1.0 if slack >= 0 else -1.0
            expected = [
                1.0,
                _squash(k.rank_us[g], scale),
                _squash(age, scale),
                0.5 + 0.5 * sign * float(_squash(abs(slack), scale)),
                sum(1 for b in range(len(graph.tasks)) if not tasks[b]["done"]) / most,
                *_squash(times, scale),
                *_squash(finish, scale),
            ]
            assert slots[slot] == pytest.approx(np.array(expected), abs=1e-6)
            seen["second slot"] += slot == 1
            seen["late"] += slack < 0
            seen["unable"] += not np.isfinite(times).all()
        executable = s.queues[0, 1, : y["n_executable"]]
        waiting = np.bincount(s.tasks[0, executable]["pe"], minlength=pes)
        highest = [k.mhz[c, k.n_points[c] - 1] for c in k.cluster]
        assert shown_pes[:, 0].tolist() == s.pes[0]["busy"].tolist()
        assert shown_pes[:, 1] == pytest.approx(
            _squash(np.maximum(s.available_us[0] - y["now"], 0), scale), abs=1e-6
        )
        assert shown_pes[:, 2] == pytest.approx(s.clusters[0]["mhz"][k.cluster] / highest)
        assert shown_pes[:, 3] == pytest.approx(waiting / (waiting + 1))
        heat = float(s.celsius[0].max()) - 42.0
        if y["head"] == 0:
            assert system[1] == pytest.approx(len(ready) / (len(ready) + 4))
        assert system[[0, 2, 3]] == pytest.approx(
            [
                info["jobs_in_flight"] / 12,
                len(executable) / (len(executable) + 4),
                heat / (heat + 40),
            ],
            abs=1e-6,
        )
        assert o["scale_us"] == pytest.approx(scale)
        seen["waiting"] += waiting.any()
        seen["slow"] += (shown_pes[:, 2] < 1).any()
        observation, _, terminated, _, info = env.step(policy(env, observation))
        if terminated:
            break
    assert all(seen.values()), seen


def _critical_us(result: Result, number: int) -> float:
    """Return the longest path of a graph by the least execution times, in us."""
    graph = result.graphs[number]
    times = result.platform.times_us(graph).min(axis=1)
    end = [0.0] * len(graph.tasks)
    for task in graph.topological_order:
        end[task] = max((end[u] for u in graph.predecessors(task)), default=0.0) + times[task]
    return max(end)


def test_masks_say_where_a_task_can_run() -> None:
    env = _env(slots=2)
    observation, info = env.reset(seed=0)
    masks = set()
    for _ in range(60):
        slots, _, _ = _shown(env, observation)
        able = (slots[:, 5:21] < 1) & (slots[:, :1] == 1)
        assert env.action_masks().tolist() == able.ravel().tolist()
        assert info["action_mask"].tolist() == able.ravel().astype(int).tolist()
        masks.add(tuple(able[0]))
        observation, _, _, _, info = env.step(_earliest(env, observation))
    assert len(masks) > 1


# --- Rewards --------------------------------------------------------------------------------------


def _total(reward: str, **kwargs: Any) -> tuple[float, Result, list[float], dict[str, Any]]:
    env = _env(reward=reward, arrivals="poisson:mean_us=60", **kwargs)
    rewards, info, _ = _play(env, _random())
    return sum(rewards), env.result(), rewards, info


def test_rewards_add_up_to_what_they_are_named_after() -> None:
    total, result, _, info = _total("jobs_in_system")
    latencies = result.latencies_us
    assert len(latencies) == 20
    assert total == pytest.approx(-latencies.sum() / 1e3)
    assert total == pytest.approx(-20 * info["metrics"]["latency_mean_us"] / 1e3)
    assert info["metrics"]["latency_p95_us"] == pytest.approx(np.quantile(latencies, 0.95))

    total, result, rewards, _ = _total("latency")
    assert total == pytest.approx(-result.latencies_us.sum() / 1e3)
    assert 0 < np.count_nonzero(rewards) <= 20

    total, result, _, info = _total("energy")
    assert total == pytest.approx(-result.energy_j * 1e3)
    assert total == pytest.approx(-info["metrics"]["energy_mj"])

    total, result, rewards, _ = _total("edp")
    assert total == rewards[-1] == pytest.approx(-result.energy_j * result.latency_mean_us)
    assert not any(rewards[:-1])

    total, result, _, info = _total("deadline", deadline_factor=2.0)
    limits = 2.0 * np.array([_critical_us(result, g) for g in range(3)])[result.sim.graphs[0]]
    late = int((result.latencies_us > limits).sum())
    assert 0 < late < 20
    assert -total == late == info["metrics"]["missed_jobs"]

    total, result, _, _ = _total("compbonus")
    assert total == pytest.approx(50 * 20 - 0.5 * result.end_us)


@pytest.mark.parametrize("reward", ["jobs_in_system", "latency", "energy", "edp", "compbonus"])
def test_the_warm_up_counts_nothing(reward: str) -> None:
    _, whole, _, _ = _total(reward)
    warmup_us = whole.end_us / 2
    env = _env(reward=reward, arrivals="poisson:mean_us=60", warmup_us=warmup_us)
    observation, _ = env.reset(seed=3)
    policy, total, done = _random(), 0.0, False
    while not done:
        observation, value, done, _, info = env.step(policy(env, observation))
        if info["now_us"] < warmup_us:
            assert value == 0
        total += value
    result = env.result()
    assert result.end_us == whole.end_us  # the schedule is the same
    counted = result.sim.latency_us[0][result.sim.done_us[0] >= warmup_us]
    assert 0 < len(counted) == result.completed < 20
    jobs_ms = sum(
        max(done_us - max(done_us - latency, warmup_us), 0.0)
        for latency, done_us in zip(whole.sim.latency_us[0], whole.sim.done_us[0], strict=True)
    )
    expected = {
        "jobs_in_system": -jobs_ms / 1e3,
        "latency": -counted.sum() / 1e3,
        "energy": -result.energy_j * 1e3,
        "edp": -result.energy_j * counted.mean(),
        "compbonus": 50 * len(counted) - 0.5 * (result.end_us - warmup_us),
    }
    assert total == pytest.approx(expected[reward])
    assert 0 < result.energy_j < whole.energy_j


# --- Episodes -------------------------------------------------------------------------------------


def test_an_episode_is_cut_at_its_length() -> None:
    env = _env(length_us=700.0)
    rewards, info, truncated = _play(env, _earliest)
    assert truncated
    assert info["now_us"] == info["metrics"]["end_us"] == 700.0
    assert 0 < info["metrics"]["completed_jobs"] < 20
    assert len(rewards) > 1
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)


def test_a_trace_with_fewer_jobs_ends_with_them() -> None:
    trace = {"kind": "trace", "times_us": [0.0, 10.0, 500.0]}
    env = _env(arrivals=trace, n_jobs=20)
    _, info, truncated = _play(env, _earliest)
    assert not truncated
    assert info["completed"] == 3


def test_one_seed_gives_many_episodes() -> None:
    env, other = _env(), _env()
    starts = []
    for _ in range(2):
        for seed in (7, None, None):
            first, second = env.reset(seed=seed), other.reset(seed=seed)
            assert first[0].tolist() == second[0].tolist()
            starts.append(env.result().sim.waits_us[0].tolist())
    assert starts[:3] == starts[3:]
    assert starts[0] != starts[1] != starts[2]


def test_noise_changes_times_and_nothing_else() -> None:
    still, noisy = _env(record=True), _env(record=True, noise_std=0.3)
    for env in (still, noisy):
        _play(env, _earliest)
    one, other = still.result().sim, noisy.result().sim
    assert one.waits_us.tolist() == other.waits_us.tolist()
    assert one.graphs.tolist() == other.graphs.tolist()
    lengths = {(row.job, row.task): row.finish - row.start for row in noisy.schedule()}
    assert len(lengths) == len(still.schedule())
    assert any(length != pytest.approx(round(length)) for length in lengths.values())


def test_what_disturbs_costs_latency() -> None:
    def latency(**kwargs: Any) -> float:
        env = _env(arrivals="poisson:mean_us=100", **kwargs)
        return float(_play(env, _earliest)[1]["metrics"]["latency_mean_us"])

    calm = latency()
    for kwargs in (
        {"contention": True},
        {"switch_us": 5.0},
        {"power_gating": True, "wake_us": 20.0},
    ):
        assert latency(**kwargs) > calm


def test_a_copy_goes_on_by_itself() -> None:
    env = _env(slots=2)
    observation, _ = env.reset(seed=1)
    for _ in range(30):
        observation, *_ = env.step(_earliest(env, observation))
    for twin in (copy.deepcopy(env), pickle.loads(pickle.dumps(env))):  # noqa: S301
        before = env.result().end_us
        seen = observation
        for _ in range(10):
            seen, *_, info = twin.step(_earliest(twin, seen))
        assert info["now_us"] > before == env.result().end_us
    again = observation
    for _ in range(10):
        again, *_ = env.step(_earliest(env, again))
    assert again.tolist() == seen.tolist()


def test_a_result_stays_what_it_was() -> None:
    env = _env()
    _play(env, _earliest)
    result = env.result()
    latencies = result.sim.latency_us.tolist()
    env.reset()
    assert result.sim.latency_us.tolist() == latencies
    assert result.completed == 20


def test_schedules_and_texts() -> None:
    env = _env(record=True, render_mode="ansi", n_jobs=2)
    _, info, _ = _play(env, _earliest)
    rows = env.schedule()
    assert {row.job for row in rows} == {0, 1}
    assert max(row.finish for row in rows) == info["now_us"]
    text = env.render()
    assert text is not None
    assert f"now_us           {info['now_us']}" in text.splitlines()
    with pytest.raises(ConfigError, match="record=True"):
        _env().schedule()
    with pytest.warns(UserWarning, match="render_mode='ansi'"):
        assert _env().render() is None


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"platfrom": "ds3gym"}, ConfigError, "unknown argument 'platfrom'"),
        ({"rewards": "edp"}, ConfigError, "unknown argument 'rewards'. Did you mean 'reward'?"),
        ({"scheduler": "etf"}, ConfigError, "unknown argument 'scheduler'"),
        ({"durations": True}, ConfigError, "unknown argument 'durations'"),
        ({"reward": "latencies"}, UnknownNameError, "Did you mean 'latency'"),
        ({"order": "ranks"}, UnknownNameError, "Did you mean 'rank'"),
        ({"observation": "arry"}, UnknownNameError, "Did you mean 'array'"),
        ({"platform": "multiple_ball"}, UnknownNameError, "multiple_bal"),
        ({"n_jobs": 0}, ConfigError, "n_jobs"),
        ({"slots": 0}, ConfigError, "slots"),
        ({"slots": True}, ConfigError, "slots"),
        ({"record": 1}, ConfigError, "record"),
        ({"render_mode": "human"}, ConfigError, "render_mode"),
        ({"reward": "energy", "power": False}, ConfigError, "always be 0"),
        ({**GYM, **DS3GYM, "reward": "edp"}, ConfigError, "always be 0"),
        ({"reward": "deadline"}, ConfigError, "deadline_factor"),
        ({"compat": "ds3", "contention": True}, ConfigError, "contention"),
    ],
)
def test_wrong_arguments(kwargs: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        _env(**kwargs)


def test_refusals_say_what_is_legal() -> None:
    env = _env()
    env.reset(seed=0)
    [illegal] = np.flatnonzero(~env.action_masks())[:1].tolist()
    legal = np.flatnonzero(env.action_masks()).tolist()
    with pytest.raises(ActionError, match=f"action {illegal} is not legal now") as caught:
        env.step(illegal)
    assert str(legal) in str(caught.value)
    with pytest.raises(ConfigError, match="no options, got 'jobs'"):
        env.reset(options={"jobs": 3})


# --- Vector form ----------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [2, 3])
def test_results_do_not_depend_on_threads(threads: int) -> None:
    def play(threads: int) -> list[Any]:
        envs = SoCSchedulerVectorEnv(num_envs=400, threads=threads, n_jobs=2, **GYM)
        observations, infos = envs.reset(seed=0)
        given = [observations.tolist()]
        for _ in range(45):
            observations, rewards, ends, _, infos = envs.step(infos["action_mask"].argmax(axis=1))
            given += [observations.tolist(), rewards.tolist(), ends.tolist()]
        envs.close()
        assert any(any(ends) for ends in given[3::3])
        return given

    assert play(threads) == play(1)


def test_a_batch_is_refused_as_a_whole() -> None:
    envs = SoCSchedulerVectorEnv(num_envs=3, n_jobs=3, mix=MIX)
    with pytest.raises(gym.error.ResetNeeded):
        envs.step(np.zeros(3, np.int64))
    _, infos = envs.reset(seed=[4, 5, 6])
    actions = infos["action_mask"].argmax(axis=1)
    bad = actions.copy()
    bad[2] = 16
    with pytest.raises(ActionError, match=r"action 2: .* 0\.\.15, got 16"):
        envs.step(bad)
    single = _env(n_jobs=3)
    single.reset(seed=6)
    observations, rewards, *_ = envs.step(actions)
    observation, reward, *_ = single.step(int(actions[2]))
    assert observations[2].tolist() == observation.tolist()
    assert rewards[2] == reward


def test_wrong_arguments_of_the_vector_form() -> None:
    with pytest.raises(ConfigError, match="array"):
        SoCSchedulerVectorEnv(num_envs=2, observation="graph")
    with pytest.raises(ConfigError, match="num_envs"):
        SoCSchedulerVectorEnv(num_envs=0)
    with pytest.raises(ConfigError, match="threads"):
        SoCSchedulerVectorEnv(num_envs=2, threads=0)
    envs = SoCSchedulerVectorEnv(num_envs=2, n_jobs=2)
    with pytest.raises(ConfigError, match="seed must be one number or 2, got 3"):
        envs.reset(seed=[1, 2, 3])
    with pytest.raises(ConfigError, match="no options"):
        envs.reset(options={"jobs": 3})


# --- Suites and agents ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kwargs",
    [
        {"slots": 3, "order": "rank", "deadline_factor": 1.5, "reward": "deadline"},
        {"observation": "graph", "contention": True, "shared_memory": True},
        {**GYM, **DS3GYM, "length_us": 800.0, "noise_std": 0.1, "reward": "compbonus"},
    ],
    ids=["slots", "graph", "ds3gym"],
)
def test_it_conforms_with_other_arguments(kwargs: dict[str, Any]) -> None:
    check_control_env(ENV_ID, **{"mix": MIX, "n_jobs": 8, **kwargs})


def test_maskable_ppo_trains_and_predicts() -> None:
    sb3_contrib = pytest.importorskip("sb3_contrib")
    from sb3_contrib.common.maskable.utils import get_action_masks

    env = gym.make(ENV_ID, mix=MIX, n_jobs=5)
    model = sb3_contrib.MaskablePPO("MlpPolicy", env, n_steps=128, batch_size=64, seed=0)
    model.learn(256)
    observation, _ = env.reset(seed=0)
    done, total = False, 0.0
    while not done:
        masks = get_action_masks(env)
        action, _ = model.predict(observation, action_masks=masks, deterministic=True)
        assert masks[action]
        observation, reward, terminated, truncated, info = env.step(action)
        done, total = terminated or truncated, total + float(reward)
    assert info["completed"] == 5
    assert math.isfinite(total)
