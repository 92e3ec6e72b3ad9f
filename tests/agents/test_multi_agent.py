"""Multi-agent learning: a learner for every parameter, one reward, designs drawn once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pytest
import torch

from archgym_py.agent import Agent, rank_scores
from archgym_py.agents import multi_agent
from archgym_py.agents.multi_agent import MultiAgent, _Learner
from archgym_py.errors import SpaceError
from archgym_py.evaluator import Trial
from archgym_py.simulator import Status
from archgym_py.space import Choice, Constraint, Design, Integer, Ordinal, ParameterSpace, Real

SPACE = ParameterSpace(
    (Choice("c", ("a", "b", "c")), Ordinal("o", (1, 2, 4, 8, 16)), Integer("i", 0, 19))
)


class Search(Protocol):
    def __call__(
        self, agent: Agent, cost: Callable[[Design], float], budget: int
    ) -> list[Trial]: ...


class Watched(_Learner):
    """A learner that keeps what it did and learned."""

    made: list[Watched]

    def __init__(self, count: int, config: Design, *, seed: int) -> None:
        super().__init__(count, config, seed=seed)
        self.count, self.seed = count, seed
        self.acts = 0
        self.learned: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]] = []
        self.before = self.probabilities()
        self.made.append(self)

    def act(self) -> npt.NDArray[np.int64]:
        self.acts += 1
        return super().act()

    def learn(self, actions: npt.NDArray[np.int64], rewards: npt.NDArray[np.float64]) -> None:
        self.learned.append((actions.copy(), rewards.copy()))
        super().learn(actions, rewards)

    def probabilities(self) -> npt.NDArray[np.float64]:
        """Return the probability of each value."""
        values = torch.arange(self.count)
        observations = torch.ones((self.count, 1))
        with torch.no_grad():
            _, logs, _ = self._model.policy.evaluate_actions(observations, values)
        found: npt.NDArray[np.float64] = logs.exp().numpy().astype(np.float64)
        assert found.sum() == pytest.approx(1.0, abs=1e-5)
        return found


@pytest.fixture
def learners(monkeypatch: pytest.MonkeyPatch) -> list[Watched]:
    """Watch the learners of the searches to come."""
    made: list[Watched] = []
    monkeypatch.setattr(Watched, "made", made, raising=False)
    monkeypatch.setattr(multi_agent, "_Learner", Watched)
    return made


def cost(design: Design) -> float:
    """Best at c = "b", o = 16 and i = 0; c matters most."""
    return (
        1.0
        + 4.0 * "bac".find(str(design["c"]))
        + 2.0 / float(design["o"])
        + 0.05 * float(design["i"])
    )


def test_one_learner_for_each_parameter(learners: list[Watched], search: Search) -> None:
    search(MultiAgent(SPACE, seed=0, n_designs=8), cost, 20)
    assert [learner.count for learner in learners] == [3, 5, 20]
    assert len({learner.seed for learner in learners}) == 3
    for learner in learners:
        assert learner.before == pytest.approx(1.0 / learner.count, rel=0.1)  # no value preferred


def test_all_learn_from_the_same_reward(learners: list[Watched], search: Search) -> None:
    trials = search(MultiAgent(SPACE, seed=0, n_designs=8), cost, 27)
    for learner in learners:
        assert len(learner.learned) == 3  # the last three samples are no batch
    for batch in range(3):
        done = trials[8 * batch : 8 * batch + 8]
        expected = rank_scores([(trial.status is Status.OK, trial.reward) for trial in done])
        for parameter, learner in zip(SPACE.parameters, learners, strict=True):
            actions, rewards = learner.learned[batch]
            assert rewards == pytest.approx(expected)
            values = [parameter.value_at(int(action)) for action in actions]
            assert values == [trial.design[parameter.name] for trial in done]


def test_better_values_become_more_likely(learners: list[Watched], search: Search) -> None:
    trials = search(MultiAgent(SPACE, seed=0, learning_rate=0.02), cost, 160)
    choice, ordinal, _ = learners
    after = choice.probabilities()
    assert after[1] > 0.6
    assert after[1] > choice.before[1]
    assert after[2] < choice.before[2]
    assert ordinal.probabilities()[4] > ordinal.probabilities()[0]
    means = [np.mean([trial.reward for trial in part]) for part in (trials[:48], trials[-48:])]
    assert means[1] > means[0]


def test_failures_become_less_likely(learners: list[Watched], search: Search) -> None:
    def fails(design: Design) -> float:
        return float("inf") if design["c"] != "a" else 1.0

    trials = search(MultiAgent(SPACE, seed=0, learning_rate=0.02), fails, 160)
    assert learners[0].probabilities()[0] > 0.6
    failed = [trial.status is not Status.OK for trial in trials]
    assert sum(failed[:48]) > sum(failed[-48:])


@pytest.mark.parametrize(
    "other",
    [
        lambda design: cost(design) * 100.0,  # the reward is a logarithm: another offset
        lambda design: cost(design) ** 2.0,  # another scale
        lambda design: cost(design) ** 0.01,
    ],
)
def test_scale_and_offset_of_the_reward_play_no_part(
    search: Search, other: Callable[[Design], float]
) -> None:
    def keys(of: Callable[[Design], float]) -> list[str]:
        return [trial.key for trial in search(MultiAgent(SPACE, seed=1, n_designs=8), of, 60)]

    assert keys(cost) == keys(other)


# ---- redraws -----------------------------------------------------------------------------------


def test_known_designs_are_drawn_again(learners: list[Watched], search: Search) -> None:
    trials = search(MultiAgent(SPACE, seed=0), lambda _: 1.0, 128)
    assert len({trial.key for trial in trials}) == 128  # of 300; by chance there would be 104
    assert learners[0].acts > 8  # for 8 batches


def test_designs_that_differ_in_nothing_are_one(search: Search) -> None:
    space = ParameterSpace(
        (
            Choice("mode", ("off", "on")),
            Integer("level", 0, 30, active_when={"mode": ("on",)}),
            Integer("x", 0, 9),
        )
    )
    trials = search(MultiAgent(space, seed=0), lambda _: 1.0, 64)
    # Half of all draws are one of the ten with mode off: otherwise there would be about 40.
    assert len({trial.key for trial in trials}) >= 62
    assert sum(trial.design["mode"] == "off" for trial in trials) <= 12


def test_designs_that_break_a_constraint_are_drawn_again(search: Search) -> None:
    space = ParameterSpace(
        (Choice("c", ("a", "b", "c")), Integer("i", 0, 999)),
        (Constraint("low", "i must be below 500", lambda design: int(design["i"]) < 500),),
    )
    trials = search(MultiAgent(space, seed=0), lambda _: 1.0, 96)
    assert sum(trial.status is not Status.OK for trial in trials) <= 1  # 1 of 2048 is expected


def test_an_exhausted_space_is_proposed_again(learners: list[Watched], search: Search) -> None:
    space = ParameterSpace((Choice("c", ("a", "b", "c")), Ordinal("o", (1, 2))))
    trials = search(MultiAgent(space, seed=0, n_designs=8), lambda _: 1.0, 40)
    assert len({trial.key for trial in trials[:16]}) == 6
    assert len(learners[0].learned) == 5
    assert learners[0].acts <= 5 * 11


def test_a_design_is_proposed_once_within_a_batch(search: Search) -> None:
    trials = search(MultiAgent(SPACE, seed=3, n_designs=64), cost, 64)
    assert len({trial.key for trial in trials}) == 64


# ---- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        (Real("wide", 0.0, 1.0), "agent 'multi_agent'.*'wide' is continuous. Give it levels=N"),
        (Integer("wide", 0, 10_000), "agent 'multi_agent'.*'wide' has 10001 values"),
    ],
)
def test_spaces_that_it_cannot_search(parameter: Any, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        MultiAgent(ParameterSpace((Choice("c", ("a", "b")), parameter)), seed=0)
