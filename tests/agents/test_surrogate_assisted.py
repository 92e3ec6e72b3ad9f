import statistics
import sys
from itertools import pairwise
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

from archgym_py.agents.genetic import Genetic
from archgym_py.agents.random_search import RandomSearch
from archgym_py.agents.surrogate_assisted import SurrogateAssisted, _Breeder
from archgym_py.errors import ConfigError
from archgym_py.evaluator import Trial
from archgym_py.pareto import ParetoArchive
from archgym_py.simulator import Status
from archgym_py.space import Choice, Constraint, Design, Integer, ParameterSpace, Real
from archgym_py.surrogate import Prediction

SPACE = ParameterSpace(
    (
        *(Integer(f"x{index}", 0, 15) for index in range(4)),
        Choice("kind", ("a", "b", "c")),
        Integer("inert", 0, 15),
    )
)
SIX = ParameterSpace(tuple(Integer(f"x{index}", 0, 15) for index in range(6)))


def cost(design: Design) -> float:
    """Has its minimum of 1 at x = 10 and kind "b"; parameters depend on one another."""
    x = [cast(int, design[f"x{index}"]) for index in range(4)]
    apart = sum(abs(one - other) for one, other in pairwise(x))
    return 1.0 + abs(x[0] - 10) + apart + 5.0 * (design["kind"] != "b")


def two_goals(design: Design) -> tuple[float, float]:
    # The front: x0 anything, all others 0.
    first, *others = (cast(int, value) / 15 for value in design.values())
    waste = 1.0 + sum(others)
    return waste * (0.1 + first), waste * (1.1 - first)


def archive_of(trials: list[Trial]) -> ParetoArchive:
    archive = ParetoArchive((-3.0, -3.0))
    for trial in trials:
        archive.add(trial)
    return archive


# ---- rounds ------------------------------------------------------------------------------------


def test_a_batch_is_asked_for_each_model(tell: Any) -> None:
    agent = SurrogateAssisted(SPACE, seed=0, initial=20, batch_size=7)
    sizes = [len(tell(agent, lambda design: -cost(design))) for _ in range(4)]
    assert sizes == [20, 7, 7, 7]


def test_the_initial_designs_are_random_ones(search: Any) -> None:
    trials = search(SurrogateAssisted(SPACE, seed=0, initial=256), cost, 256)
    kinds = [trial.design["kind"] for trial in trials]
    assert min(kinds.count(kind) for kind in "abc") > 256 / 3 * 0.7
    inert = [cast(int, trial.design["inert"]) for trial in trials]
    assert abs(statistics.mean(inert) - 7.5) < 1.0


def test_no_design_is_evaluated_twice(search: Any) -> None:
    trials = search(SurrogateAssisted(SPACE, seed=0), cost, 160)
    assert len({trial.key for trial in trials}) == 160


def test_designs_that_break_a_constraint_cost_no_sample(search: Any) -> None:
    def is_low(design: Any) -> bool:
        return cast(int, design["x0"]) <= 8

    space = ParameterSpace(SPACE.parameters, (Constraint("low", "x0 at most 8", is_low),))
    trials = search(SurrogateAssisted(space, seed=0), cost, 120)
    assert all(trial.status is Status.OK for trial in trials)


def test_an_exhausted_space_is_proposed_again(search: Any) -> None:
    space = ParameterSpace((Integer("x", 0, 9), Choice("y", ("a", "b"))))
    agent = SurrogateAssisted(space, seed=0, initial=8, batch_size=4)
    trials = search(agent, lambda design: 1.0 + cast(int, design["x"]), 40)
    assert len({trial.key for trial in trials[:20]}) == 20  # all there are
    assert len(trials) == 40


# ---- the model ---------------------------------------------------------------------------------


def test_the_model_leads_to_better_designs(search: Any) -> None:
    trials = search(SurrogateAssisted(SPACE, seed=1), cost, 128)
    costs = [trial.metrics["a"] for trial in trials]
    assert statistics.median(costs[32:48]) < statistics.median(costs[:32])
    assert statistics.median(costs[-32:]) < statistics.median(costs[32:48])


def test_it_beats_its_base_agent_and_random_search(search: Any) -> None:
    def found(agent: type[Any]) -> list[float]:
        runs = [search(agent(SPACE, seed=seed), cost, 112) for seed in range(5)]
        return [min(trial.metrics["a"] for trial in trials) for trials in runs]

    ours = found(SurrogateAssisted)
    assert statistics.mean(ours) < statistics.mean(found(Genetic))
    assert statistics.mean(ours) < min(found(RandomSearch))


def test_continuous_parameters_converge(search: Any) -> None:
    space = ParameterSpace((Real("x", -1.0, 1.0), Real("y", 1e-3, 1e3, log=True)))

    def bowl(design: Design) -> float:
        x, y = cast(float, design["x"]), np.log10(cast(float, design["y"]))
        return 0.01 + (x - 0.3) ** 2 + (float(y) / 3 + 0.5) ** 2

    trials = search(SurrogateAssisted(space, seed=0), bowl, 160)
    assert min(trial.metrics["a"] for trial in trials) < 0.012


class _Opinion:
    """A model that expects more of a high x0, and knows less about a high x1."""

    def __init__(self, agent: SurrogateAssisted) -> None:
        self._columns = [agent._features.names.index(name) for name in ("x0", "x1")]

    def predict(self, features: npt.NDArray[np.float32]) -> Prediction:
        mean, std = (features[:, [column]].astype(np.float64) for column in self._columns)
        return Prediction(mean, std)


def test_exploration_goes_to_where_the_model_knows_least(
    tell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def verified(exploration: float) -> list[float]:
        agent = SurrogateAssisted(SPACE, seed=3, exploration=exploration)
        tell(agent, lambda design: -cost(design))
        monkeypatch.setattr(agent, "_fit", lambda _scores: _Opinion(agent))
        batch = tell(agent, lambda design: -cost(design))
        return [statistics.mean(cast(int, d[name]) for d in batch) for name in ("x0", "x1")]

    greedy, curious = verified(0.0), verified(8.0)
    assert greedy[0] > 14.0  # of 15: what looks best
    assert greedy[1] < 12.0
    assert curious[1] > 14.0


def test_failures_lead_away(search: Any) -> None:
    def bounded(design: Design) -> float:
        # Without the limit, the best designs would have x0 = 10.
        return float("inf") if cast(int, design["x0"]) > 7 else cost(design)

    trials = search(SurrogateAssisted(SPACE, seed=0), bounded, 128)
    failed = [trial.status is not Status.OK for trial in trials]
    assert sum(failed[:32]) > 2 * sum(failed[-32:])


def test_nothing_but_failures_is_survived(search: Any) -> None:
    def broken(design: Design) -> float:
        return 1.0 if design == SPACE.default() else float("inf")

    trials = search(SurrogateAssisted(SPACE, seed=0), broken, 80)
    assert len({trial.key for trial in trials}) == 80


def test_the_score_of_old_failures_follows_the_designs_that_work(tell: Any) -> None:
    agent = SurrogateAssisted(SPACE, seed=0, initial=16, batch_size=8)
    tell(agent, lambda _design: None)
    assert not agent._scalar_scores().any()  # nothing to tell apart
    fails = iter([True, False] * 4)
    tell(agent, lambda _design: None if next(fails) else -1000.0)
    scores = agent._scalar_scores()
    assert len(np.unique(scores)) == 2  # those of before are as bad as those of now
    assert (scores == scores.min()).sum() == 20


# ---- several goals -----------------------------------------------------------------------------


def test_it_approaches_the_front_of_two_goals(search: Any) -> None:
    ours, random = (
        [archive_of(search(agent(SIX, seed=s), two_goals, 160)).hypervolume() for s in range(3)]
        for agent in (SurrogateAssisted, RandomSearch)
    )
    assert min(ours) > max(random)


def test_it_spreads_along_the_front(search: Any) -> None:
    trials = search(SurrogateAssisted(SIX, seed=0), two_goals, 240)
    assert len({trial.design["x0"] for trial in archive_of(trials).front}) >= 6


def test_goals_count_alike_whatever_their_scale(search: Any) -> None:
    def scaled(design: Design) -> tuple[float, float]:
        one, other = two_goals(design)
        return one, 1.0 + 1e-4 * other

    trials = search(SurrogateAssisted(SIX, seed=0), scaled, 240)
    assert len({trial.design["x0"] for trial in archive_of(trials).front}) >= 6


# ---- parts -------------------------------------------------------------------------------------


def test_breeding_starts_at_the_given_designs() -> None:
    first = SPACE.batch(np.random.default_rng(0).random((40, 6)))
    breeder = _Breeder(SPACE, first.units, seed=0, mutation_rate=0.3)
    assert breeder.propose() == first.designs
    assert (breeder.genes == first.units).all()
    breeder.judge(first.designs, np.array([-cost(design) for design in first.designs]))
    offspring = breeder.propose()
    assert len(offspring) == 40 - 13  # a third are elites, which are kept
    before = statistics.mean(cost(design) for design in first.designs)
    assert statistics.mean(cost(design) for design in offspring) < before


def test_equal_trials_make_equal_proposals_on_any_number_of_cores(
    tell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposed = []
    for cores in ("1", "4"):
        monkeypatch.setenv("ARCHGYM_CORES", cores)
        agent = SurrogateAssisted(SPACE, seed=5)
        tell(agent, lambda design: -cost(design))
        proposed.append(tell(agent, lambda design: -cost(design)))
    assert proposed[0] == proposed[1]


def test_the_library_is_asked_for_before_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.tree", None)
    with pytest.raises(ConfigError, match=r"pip install 'archgym_py\[proxy\]'"):
        SurrogateAssisted(SPACE, seed=0)


def test_hyperparameters_are_checked() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'batch_size'"):
        SurrogateAssisted(SPACE, seed=0, batchsize=8)
    with pytest.raises(ConfigError, match="exploration"):
        SurrogateAssisted(SPACE, seed=0, exploration=-1.0)
