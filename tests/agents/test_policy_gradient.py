from typing import Any, cast

import numpy as np
import pytest
import torch

from archgym_py.agent import rank_scores
from archgym_py.agents.policy_gradient import PolicyGradient
from archgym_py.space import Choice, Constraint, Design, Integer, ParameterSpace

SPACE = ParameterSpace((Choice("c", ("a", "b", "z")), Integer("i", 0, 1)))


def policy(agent: PolicyGradient) -> dict[str, list[float]]:
    rows = agent._log_policy().exp().detach().numpy()
    return {
        p.name: row[: p.cardinality].tolist()
        for p, row in zip(agent.space.parameters, rows, strict=True)
    }


def test_the_policy_starts_even() -> None:
    assert policy(PolicyGradient(SPACE, seed=0)) == {
        "c": pytest.approx([1 / 3] * 3),
        "i": pytest.approx([0.5] * 2),
    }


def test_the_first_step_follows_the_gradient_by_hand(tell: Any) -> None:
    agent = PolicyGradient(SPACE, seed=0, batch_size=4, epochs=1, entropy=1e-4, learning_rate=0.1)
    rewards = iter([3.0, -1.0, 7.0, 5.0])
    designs = tell(agent, lambda _: next(rewards))
    # Ranks 1, 0, 3, 2 of 4, scaled to [-1, 1]; the gradient of the log of a softmax with respect
    # to its logits is one for the chosen value, less the probabilities.
    advantages = [-1 / 3, -1.0, 1.0, 1 / 3]
    gradient = {"c": np.zeros(3), "i": np.zeros(2)}
    for design, advantage in zip(designs, advantages, strict=True):
        for name, count in (("c", 3), ("i", 2)):
            chosen = SPACE[name].index_of(design[name])
            gradient[name] += advantage * (np.eye(count)[chosen] - 1 / count) / 4
    found = agent._logits.grad
    assert found is not None
    for row, name in zip(found.numpy(), ("c", "i"), strict=True):
        # Adam minimises; an even policy has no gradient of its entropy.
        assert row[: len(gradient[name])] == pytest.approx(-gradient[name], abs=1e-9)
        assert not row[len(gradient[name]) :].any()
    logits = agent._logits.detach().numpy()
    for row, name in zip(logits, ("c", "i"), strict=True):
        # The first step of Adam is the learning rate in the direction of the gradient's sign.
        expected = 0.1 * np.sign(gradient[name]) * (abs(gradient[name]) > 1e-9)
        assert row[: len(expected)] == pytest.approx(expected, abs=2e-3)


def test_further_epochs_stop_where_the_ratio_is_clipped(tell: Any) -> None:
    def change(clip: float) -> float:
        agent = PolicyGradient(
            SPACE, seed=0, batch_size=16, epochs=8, clip=clip, learning_rate=0.5, entropy=1e-4
        )
        tell(agent, lambda design: float(design["c"] == "b"))
        return policy(agent)["c"][1]

    assert 1 / 3 < change(0.05) < change(0.5)


def test_better_values_become_likely_whatever_the_scale_of_the_reward(search: Any) -> None:
    space = ParameterSpace(tuple(Integer(f"x{k}", 0, 9) for k in range(5)))

    def cost(design: Design) -> float:
        return 2.0 + sum(abs(cast(int, value) - 7) for value in design.values())

    agent = PolicyGradient(space, seed=0)
    trials = search(agent, cost, 600)
    assert all(int(np.argmax(values)) == 7 for values in policy(agent).values())
    again = search(PolicyGradient(space, seed=0), lambda design: 1e3 * cost(design), 600)
    assert [trial.key for trial in again] == [trial.key for trial in trials]


def test_inactive_parameters_are_not_credited(tell: Any) -> None:
    space = ParameterSpace(
        (Choice("mode", ("off", "on")), Integer("depth", 0, 3, active_when={"mode": ("on",)}))
    )
    agent = PolicyGradient(space, seed=0, batch_size=5, epochs=1, entropy=1e-4)
    rewards: dict[str, float] = {"off": 1.0, "on": 0.0}
    designs = tell(agent, lambda design: rewards[cast(str, design["mode"])])
    modes = [design["mode"] for design in designs]
    assert set(modes) == {"off", "on"}
    advantages = rank_scores([(True, rewards[cast(str, mode)]) for mode in modes])
    gradient = np.zeros(4)
    for design, advantage in zip(designs, advantages, strict=True):
        if design["mode"] == "on":
            gradient += advantage * (np.eye(4)[cast(int, design["depth"])] - 1 / 4) / 5
    found = agent._logits.grad
    assert found is not None
    assert found.numpy()[1] == pytest.approx(-gradient, abs=1e-9)
    assert policy(agent)["mode"][0] > 0.5


def test_known_designs_and_broken_constraints_are_drawn_again(search: Any) -> None:
    space = ParameterSpace(
        (Integer("x", 0, 29), Integer("y", 0, 29)),
        (Constraint("sum", "x + y < 30", lambda d: cast(int, d["x"]) + cast(int, d["y"]) < 30),),
    )
    trials = search(PolicyGradient(space, seed=0), lambda d: 1.0 + cast(int, d["x"]), 60)
    assert all(trial.status == "ok" for trial in trials)
    assert len({trial.key for trial in trials}) == 60


def test_torch_is_left_as_it_was(search: Any) -> None:
    torch.manual_seed(3)
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    search(PolicyGradient(SPACE, seed=0), lambda _: 1.0, 32)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_the_entropy_bonus_evens_out_a_policy_that_learns_nothing(tell: Any) -> None:
    agent = PolicyGradient(SPACE, seed=0, entropy=0.3)
    with torch.no_grad():
        agent._logits[0, 0] = 2.0
    before = policy(agent)["c"][0]
    for _ in range(3):
        tell(agent, lambda _: 1.0)  # equal rewards are no advantage
    assert 1 / 3 < policy(agent)["c"][0] < before - 0.05


def test_failures_rank_below_everything(tell: Any) -> None:
    agent = PolicyGradient(SPACE, seed=0, batch_size=16)
    for _ in range(5):
        tell(agent, lambda design: -1e12 if design["c"] == "b" else None)
    assert policy(agent)["c"][1] > 0.5


def test_it_learns_with_one_thread(monkeypatch: pytest.MonkeyPatch, tell: Any) -> None:
    agent = PolicyGradient(SPACE, seed=0)
    threads = []
    log_policy = agent._log_policy

    def spy() -> torch.Tensor:
        threads.append(torch.get_num_threads())
        return log_policy()

    monkeypatch.setattr(agent, "_log_policy", spy)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        tell(agent, lambda _: 1.0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(threads) == {1}
