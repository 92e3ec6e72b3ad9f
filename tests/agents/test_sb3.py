"""What the agents on stable-baselines3 share: budget, forms, rewards, policies, isolation."""

from __future__ import annotations

import io
import math
import os
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
import torch

from archgym_py.agent import Agent
from archgym_py.agents.a2c import A2C
from archgym_py.agents.dqn import DQN
from archgym_py.agents.ppo import PPO
from archgym_py.agents.sac import SAC
from archgym_py.agents.sb3 import POLICY_NAME, StableBaselinesAgent, _Training
from archgym_py.agents.td3 import TD3
from archgym_py.environment import DesignEnv
from archgym_py.errors import ArchGymError, ConfigError, SpaceError
from archgym_py.evaluator import MemoryRecorder, Trial
from archgym_py.runner import make_env
from archgym_py.simulator import Evaluation, Metric
from archgym_py.simulators.toy import TOY_SPACE, ToySimulator
from archgym_py.space import Choice, Design, Integer, Ordinal, ParameterSpace, Real

AGENTS: list[type[StableBaselinesAgent]] = [PPO, A2C, SAC, TD3, DQN]
ONE_STEP, SEQUENTIAL = "ArchGym/Toy-v0", "ArchGym/ToySequential-v0"
FAST: dict[type[StableBaselinesAgent], dict[str, Any]] = {
    PPO: {"n_designs": 8},
    A2C: {"n_designs": 4},
    SAC: {"startup": 8},
    TD3: {"startup": 8},
    DQN: {"startup": 8},
}
"""Hyperparameters with which the learners learn from few samples."""

each_agent = pytest.mark.parametrize("cls", AGENTS, ids=lambda cls: cls.name)
each_form = pytest.mark.parametrize("form", [ONE_STEP, SEQUENTIAL], ids=["designs", "sequential"])


class Search(Protocol):
    def __call__(
        self, agent: Agent, cost: Callable[[Design], float], budget: int
    ) -> list[Trial]: ...


def make(cls: type[StableBaselinesAgent], *, seed: int = 0, **changes: Any) -> StableBaselinesAgent:
    return cls(TOY_SPACE, seed=seed, **{**FAST[cls], **changes})


def toy(budget: int, form: str = ONE_STEP) -> tuple[DesignEnv, MemoryRecorder]:
    env, memory = make_env(form), MemoryRecorder()
    env.new_evaluator(budget=budget, recorder=memory)
    return env, memory


def trained(cls: type[StableBaselinesAgent], form: str, budget: int = 20) -> StableBaselinesAgent:
    agent = make(cls)
    agent.run(toy(budget, form)[0])
    return agent


def updates(agent: StableBaselinesAgent) -> int:
    assert agent.model is not None
    count = agent.model._n_updates
    assert isinstance(count, int)
    return count


# ---- budget --------------------------------------------------------------------------------------


@each_form
@each_agent
def test_every_sample_trains_and_none_more(
    cls: type[StableBaselinesAgent], form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated: list[str] = []
    evaluate = ToySimulator.evaluate

    def counted(simulator: ToySimulator, design: Design, *, seed: int) -> Evaluation:
        simulated.append(TOY_SPACE.key(design))
        return evaluate(simulator, design, seed=seed)

    env, memory = toy(21, form)  # two rollouts of eight designs, and five of another
    monkeypatch.setattr(ToySimulator, "evaluate", counted)
    agent = make(cls)
    agent.run(env)
    # No episode evaluates the policy: whatever was simulated was proposed, in that order.
    ran = [t.key for t in memory.trials if t.status == "ok" and not t.cached]
    assert simulated == ran
    assert len(memory.trials) == env.evaluator.spent == 21
    assert updates(agent) > 0
    assert agent.model is not None
    steps = 6 if form == SEQUENTIAL or cls is DQN else 1
    assert 21 * steps <= agent.model.num_timesteps < 21 * steps * 11
    assert agent.model.num_timesteps % steps == 0


@pytest.mark.parametrize("cls", [PPO, A2C], ids=lambda cls: cls.name)
@each_form
def test_an_update_takes_whole_designs(cls: type[StableBaselinesAgent], form: str) -> None:
    few, many = make(cls, n_designs=8), make(cls, n_designs=8)
    few.run(toy(7, form)[0])
    many.run(toy(16, form)[0])
    assert updates(few) == 0
    # At least one; repeats cost no sample and fill rollouts as well.
    assert updates(many) >= (10 if cls is PPO else 1)


@each_agent
def test_a_spent_budget_trains_nothing(cls: type[StableBaselinesAgent], tmp_path: Path) -> None:
    agent = make(cls)
    agent.run(toy(0)[0])
    assert agent.model is None
    assert agent.save(tmp_path) is None
    assert not list(tmp_path.iterdir())


@each_form
@each_agent
def test_forms_of_action_are_the_algorithms(cls: type[StableBaselinesAgent], form: str) -> None:
    agent = trained(cls, form, budget=1)
    assert agent.model is not None
    kind = type(agent.model.action_space).__name__
    expected = {PPO: "MultiDiscrete", A2C: "MultiDiscrete", DQN: "Discrete"}.get(cls, "Box")
    assert kind == ("Discrete" if form == SEQUENTIAL and expected != "Box" else expected)


@pytest.mark.parametrize("cls", [SAC, TD3], ids=lambda cls: cls.name)
def test_values_that_floats_cannot_tell_apart_are_refused(cls: type[StableBaselinesAgent]) -> None:
    space = ParameterSpace((Choice("c", ("a", "b")), Integer("fine", 0, 2**30)))
    with pytest.raises(SpaceError, match="'fine'"):
        cls(space, seed=0)


def test_dqn_refuses_what_it_cannot_count() -> None:
    space = ParameterSpace((Choice("c", ("a", "b")), Real("real", 0.0, 1.0)))
    with pytest.raises(SpaceError, match=r"agent 'dqn'.*'real' is continuous. Give it levels=N"):
        DQN(space, seed=0)


# ---- rewards -------------------------------------------------------------------------------------

NUMBERS = ParameterSpace((Integer("x", 0, 9), Integer("y", 0, 99)))


class Given:
    """A simulator whose cost is 10 ** -x, or a failure for y = 99."""

    name = "given"
    version = "1"
    deterministic = True
    metrics = (Metric("cost", "1", 1e-20, 1e20),)

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        if design["y"] == 99:
            raise RuntimeError("no")
        return Evaluation({"cost": 10.0 ** -int(design["x"])})

    def close(self) -> None:
        pass


def training(*, sequential: bool = False) -> tuple[_Training, DesignEnv]:
    env = DesignEnv(NUMBERS, Given(), "minimize:cost", baseline={"cost": 1.0})
    view = env.view(sequential=sequential, action="discrete" if sequential else "multidiscrete")
    return _Training(view), view


def rewards_of(*designs: tuple[int, int]) -> list[float]:
    env, _ = training()
    rewards = []
    for design in designs:
        env.reset()
        _, reward, terminated, truncated, info = env.step(np.array(design))
        assert (terminated, truncated, info) == (True, False, {})
        rewards.append(reward)
    return rewards


def test_rewards_are_ranks_of_variance_1() -> None:
    unit = math.sqrt(3.0)
    assert rewards_of((5, 0)) == [0.0]  # the first is compared with nothing
    given = rewards_of((5, 0), (9, 0), (0, 0), (7, 0), (5, 1))
    assert given == pytest.approx([0.0, unit, -unit, unit / 3, unit * (2 / 4 - 1 + 1 / 4)])


def test_ranks_of_spread_rewards_have_mean_0_and_variance_1() -> None:
    order = np.random.default_rng(0).permutation(990)
    space = ParameterSpace((Integer("x", 0, 989),))

    class Linear(Given):
        def evaluate(self, design: Design, *, seed: int) -> Evaluation:
            return Evaluation({"cost": 1.0 + int(design["x"])})

    env = _Training(DesignEnv(space, Linear(), "minimize:cost", baseline={"cost": 1.0}))
    rewards = [env.step(np.array([number]))[1] for number in order]
    assert abs(np.mean(rewards)) < 0.1
    assert abs(np.var(rewards) - 1.0) < 0.1
    assert max(map(abs, rewards)) <= math.sqrt(3.0)


def test_failures_rank_last() -> None:
    unit = math.sqrt(3.0)
    given = rewards_of((0, 0), (9, 99), (1, 99), (0, 1))
    # The second failure is as bad as the first, and better than nothing.
    assert given == pytest.approx([0.0, -unit, -unit / 2, unit * 2 / 3])


def test_repeats_earn_little_and_cost_every_eleventh_time_only() -> None:
    env, view = training()
    evaluator = view.evaluator
    env.step(np.array([5, 0]))
    for round_ in range(1, 4):
        for _ in range(10):
            assert env.step(np.array([5, 0]))[1] == -1.0
            assert evaluator.spent == round_
        assert env.step(np.array([5, 0]))[1] == -1.0
        assert evaluator.spent == round_ + 1
    # A new design in between starts the count again, and ranks are not those of repeats.
    for _ in range(9):
        env.step(np.array([5, 0]))
    assert env.step(np.array([6, 0]))[1] == pytest.approx(math.sqrt(3.0))
    spent = evaluator.spent
    for _ in range(10):
        env.step(np.array([6, 0]))
    assert evaluator.spent == spent


def test_sequential_steps_earn_with_the_last() -> None:
    env, view = training(sequential=True)
    plain = DesignEnv(NUMBERS, Given(), "minimize:cost", baseline={"cost": 1.0}).view(
        sequential=True, action="discrete"
    )
    for repeat in (False, True):
        seen, _ = env.reset()
        expected, _ = plain.reset()
        assert (seen == expected).all()
        for step, action in enumerate((50, 7)):
            seen, reward, terminated, _, _ = env.step(action)
            expected, _, last, _, _ = plain.step(action)
            assert (seen == expected).all()
            assert view.observation_space.contains(seen)
            assert terminated is last is (step == 1)
            assert reward == (-1.0 if repeat and last else 0.0)
    assert view.evaluator.spent == 1
    assert view.evaluator.best is not None
    assert view.evaluator.best.design == {"x": 5, "y": 7}


SPACE = ParameterSpace(
    (Choice("c", ("a", "b", "c")), Ordinal("o", (1, 2, 4, 8, 16)), Integer("i", 0, 19))
)


def cost(design: Design) -> float:
    if design["i"] == 19:
        return float("inf")  # infeasible
    return 1.0 + 4.0 * "bac".find(str(design["c"])) + 2.0 / float(design["o"])


@each_agent
def test_scale_and_offset_of_the_reward_play_no_part(
    cls: type[StableBaselinesAgent], search: Search
) -> None:
    def keys(of: Callable[[Design], float]) -> list[str]:
        return [trial.key for trial in search(cls(SPACE, seed=1, **FAST[cls]), of, 40)]

    first = keys(cost)
    assert keys(lambda design: 100.0 * cost(design)) == first  # the logarithm's offset
    assert keys(lambda design: cost(design) ** 0.01) == first  # its scale
    assert keys(lambda design: 1.0 / cost(design)) != first  # what was learned matters


class Sum:
    """A simulator whose cost is the sum of the design."""

    name = "sum"
    version = "1"
    deterministic = True
    metrics = (Metric("cost", "1", 1e-3, 1e3),)

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        return Evaluation({"cost": 1.0 + sum(map(float, design.values()))})

    def close(self) -> None:
        pass


@pytest.mark.parametrize("sequential", [False, True], ids=["designs", "sequential"])
@each_agent
def test_learning_improves_the_samples(cls: type[StableBaselinesAgent], sequential: bool) -> None:
    space = ParameterSpace(tuple(Integer(name, 0, 15) for name in "xyz"))
    action = "discrete" if sequential else "multidiscrete"
    env = DesignEnv(space, Sum(), "minimize:cost").view(sequential=sequential, action=action)
    memory = MemoryRecorder()
    env.new_evaluator(budget=120, recorder=memory)
    cls(space, seed=0, **({} if cls in (PPO, A2C) else {"startup": 16})).run(env)
    sums = [trial.metrics["cost"] - 1.0 for trial in memory.trials]
    assert np.mean(sums[:30]) > 14.0  # by chance 22.5
    assert np.mean(sums[-40:]) < np.mean(sums[:30]) - 3.0


# ---- policies ------------------------------------------------------------------------------------


@each_form
@each_agent
def test_a_saved_policy_thinks_the_same(
    cls: type[StableBaselinesAgent], form: str, tmp_path: Path
) -> None:
    agent = trained(cls, form)
    path = agent.save(tmp_path)
    assert path == tmp_path / "_policy.zip" == tmp_path / POLICY_NAME
    env, _ = toy(1, form)
    design = agent.design(env)
    assert env.evaluator.spent == 0  # it only thinks
    assert design == TOY_SPACE.validate(design) == agent.design(env)

    fresh, other = make(cls, seed=9), make(cls, seed=9)
    fresh.load(path)
    for made in (fresh, other):
        made.run(toy(1, form)[0])  # one sample is too little to learn from
    assert fresh.model is not None
    assert other.model is not None
    assert agent.model is not None
    before, after = (a.model.policy.state_dict() for a in (agent, fresh))  # type: ignore[union-attr]
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert fresh.design(env) == design
    weights = other.model.policy.state_dict()
    assert not all(torch.equal(before[name], weights[name]) for name in before)


@each_agent
def test_training_goes_on_from_a_policy(cls: type[StableBaselinesAgent], tmp_path: Path) -> None:
    path = trained(cls, ONE_STEP).save(tmp_path)
    assert path is not None

    def keys(*, loaded: bool) -> list[str]:
        agent = make(cls, seed=9)
        if loaded:
            agent.load(path)
        env, memory = toy(24)
        agent.run(env)
        assert updates(agent) > 0
        return [trial.key for trial in memory.trials]

    assert keys(loaded=True) == keys(loaded=True) != keys(loaded=False)


@each_agent
def test_there_is_no_policy_before_a_run(cls: type[StableBaselinesAgent], tmp_path: Path) -> None:
    agent = make(cls)
    with pytest.raises(ArchGymError, match=r"has no policy yet. Call run\(\) before"):
        agent.design(toy(1)[0])
    assert agent.save(tmp_path) is None


def archive(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as zipped:
        for name, content in files.items():
            zipped.writestr(name.replace("__", "."), content)
    return path


def saved(thing: object) -> bytes:
    file = io.BytesIO()
    torch.save(thing, file)
    return file.getvalue()


class Planted:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, int]]:
        return os.open, (str(self._path), os.O_CREAT | os.O_WRONLY)


@pytest.mark.parametrize("name", ["missing", "folder", "text"])
def test_what_is_no_policy_is_refused_at_once(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("hello")
    agent = make(A2C)
    with pytest.raises(ConfigError, match=rf"{name}: is no saved policy. Give the _policy.zip of"):
        agent.load(tmp_path / name)
    agent.run(toy(5)[0])


def refuse(cls: type[StableBaselinesAgent], path: Path, form: str = ONE_STEP) -> None:
    """Check that a policy is refused before anything is sampled."""
    agent = make(cls)
    env, memory = toy(20, form)
    agent.load(path)
    with pytest.raises(ConfigError, match=rf"{path.name}: does not fit the agent '{cls.name}'"):
        agent.run(env)
    assert not memory.trials


@pytest.mark.parametrize(
    "name",
    [
        "nothing",
        "other",
        "incomplete",
        "half",
        "damaged",
        "zeros",
        "empty",
        "number",
        "planted",
    ],
)
def test_archives_that_hold_no_policy(name: str, tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    files = {
        "nothing": {},
        "other": {"readme__txt": b"hello"},
        "incomplete": {"policy__pth": saved({})},
        "zeros": {"policy__pth": bytes(100)},
        "empty": {"policy__pth": b""},
        "number": {"policy__pth": saved(3)},
        "planted": {"policy__pth": saved(Planted(planted))},
    }
    path = tmp_path / "x.zip"
    if name in files:
        archive(path, **files[name])
    else:
        good = trained(PPO, ONE_STEP, budget=1).save(tmp_path)
        assert good is not None
        content = good.read_bytes()
        half = len(content) // 2
        lost = {
            "half": content[:half],
            "damaged": content[:half] + bytes(64) + content[half + 64 :],
        }
        path.write_bytes(lost[name])
    try:
        refuse(PPO, path)
    finally:
        assert not planted.exists()  # nothing in an archive is ever executed


@each_agent
def test_policies_of_another_network_form_or_agent_do_not_fit(
    cls: type[StableBaselinesAgent], tmp_path: Path
) -> None:
    def path_of(agent: StableBaselinesAgent, name: str, form: str = ONE_STEP) -> Path:
        agent.run(toy(1, form)[0])
        folder = tmp_path / name
        folder.mkdir()
        path = agent.save(folder)
        assert path is not None
        return path.rename(tmp_path / f"{name}.zip")

    refuse(cls, path_of(make(cls, width=16), "narrow"))
    if cls is not DQN:  # which is sequential everywhere
        refuse(cls, path_of(make(cls), "form"), SEQUENTIAL)
    refuse(cls, path_of(make(SAC if cls is not SAC else TD3), "agent"))


@pytest.mark.parametrize(("cls", "other"), [(PPO, A2C), (A2C, PPO)])
def test_policies_of_the_same_network_and_another_agent(
    cls: type[StableBaselinesAgent], other: type[StableBaselinesAgent], tmp_path: Path
) -> None:
    path = trained(other, ONE_STEP).save(tmp_path)
    assert path is not None
    refuse(cls, path)


# ---- what surrounds a run ------------------------------------------------------------------------


@each_agent
def test_tensorboard_logs(cls: type[StableBaselinesAgent], tmp_path: Path) -> None:
    agent = make(cls)
    agent.log_to_tensorboard(tmp_path / "board")
    env, memory = toy(30)
    agent.run(env)
    agent.run(toy(5)[0])
    files = sorted((tmp_path / "board").glob("*/events.out.tfevents*"))
    assert [file.parent.name for file in files] == [f"{cls.algorithm}_1", f"{cls.algorithm}_2"]
    assert b"rollout/ep_rew_mean" in files[0].read_bytes()
    plain, quiet = toy(30)
    make(cls).run(plain)
    assert [t.key for t in memory.trials] == [t.key for t in quiet.trials]


@each_agent
def test_without_it_nothing_is_written(
    cls: type[StableBaselinesAgent],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    trained(cls, ONE_STEP)
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def two_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def states() -> list[bytes]:
    return [
        repr(random.getstate()).encode(),
        repr(np.random.get_state()).encode(),  # noqa: NPY002  # libraries draw from it
        torch.get_rng_state().numpy().tobytes(),
    ]


@pytest.mark.usefixtures("two_threads")
@each_agent
def test_the_process_is_left_as_it_was(
    cls: type[StableBaselinesAgent], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []
    evaluate = ToySimulator.evaluate

    def watched(simulator: ToySimulator, design: Design, *, seed: int) -> Evaluation:
        threads.append(torch.get_num_threads())
        return evaluate(simulator, design, seed=seed)

    env, _ = toy(12)
    monkeypatch.setattr(ToySimulator, "evaluate", watched)
    before = states()
    make(cls).run(env)
    assert states() == before
    assert set(threads) == {1}
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
@each_agent
def test_also_after_an_error(cls: type[StableBaselinesAgent]) -> None:
    class Full(MemoryRecorder):
        def append(self, trial: Trial) -> None:
            if trial.index == 10:
                raise OSError(28, "No space left on device")

    env = make_env(ONE_STEP)
    env.new_evaluator(budget=20, recorder=Full())
    before = states()
    with pytest.raises(OSError, match="No space left"):
        make(cls).run(env)
    assert states() == before
    assert torch.get_num_threads() == 2
