import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from archgym_py.agent import Agent
from archgym_py.agents.genetic import Genetic, _Mutation
from archgym_py.agents.random_search import RandomSearch
from archgym_py.environment import DesignEnv
from archgym_py.errors import ConfigError
from archgym_py.evaluator import Evaluator, MemoryRecorder, Trial
from archgym_py.simulator import Evaluation, Metric
from archgym_py.simulators.toy import TOY_SPACE, ToySimulator
from archgym_py.space import Choice, Constraint, Design, Integer, Ordinal, ParameterSpace, Real

MIXED = ParameterSpace(
    (
        Choice("choice", ("a", "b", "c")),
        Ordinal("ordinal", (1, 2, 4, 8)),
        Integer("integer", 1, 64),
        Real("grid", 0.0, 1.0, levels=6),
        Real("real", 1.0, 100.0, log=True),
        Integer("single", 5, 5),
    )
)


def flat(_: Design) -> float:
    return 1.0


class Cost:
    """A simulator whose only metric is a function of the design."""

    name = "cost"
    version = "1"
    deterministic = True
    metrics = (Metric("cost", "1", 1e-3, 1e3),)

    def __init__(self, cost: Callable[[Design], float]) -> None:
        self._cost = cost

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        return Evaluation({"cost": self._cost(design)})

    def close(self) -> None:
        pass


def run(agent: Agent, cost: Callable[[Design], float] = flat, budget: int = 500) -> list[Trial]:
    env = DesignEnv(agent.space, Cost(cost), "minimize:cost", action="box")
    memory = MemoryRecorder()
    env.new_evaluator(budget=budget, recorder=memory)
    agent.run(env)
    return memory.trials


def toy_env() -> DesignEnv:
    env = gym.make("ArchGym/Toy-v0").unwrapped
    assert isinstance(env, DesignEnv)
    return env


# ---- no bias toward a bound --------------------------------------------------------------------


def bins(space: ParameterSpace, designs: Sequence[Design], name: str) -> list[int]:
    """Return how many designs have each value; a continuum is cut into ten bins."""
    parameter = space[name]
    count = parameter.cardinality or 10
    numbers = [min(int(parameter.to_unit(design[name]) * count), count - 1) for design in designs]
    return [numbers.count(number) for number in range(count)]


def chi2_limit(degrees: int) -> float:
    """99.99 % of the chi-squared distribution, by the Wilson-Hilferty formula."""
    return degrees * (1 - 2 / (9 * degrees) + 3.72 * math.sqrt(2 / (9 * degrees))) ** 3


@pytest.mark.parametrize("name", [name for name in MIXED.names if name != "single"])
@pytest.mark.parametrize("start", [0.0, 1.0])
def test_a_chain_of_mutations_visits_all_values_equally(name: str, start: float) -> None:
    column = np.full(1000, MIXED.names.index(name))
    parameter = MIXED[name]
    mutation = _Mutation(MIXED, 0.15, np.random.default_rng(1))
    genes = np.full(1000, parameter.to_unit(parameter.from_unit(start)))
    for _ in range(60):  # a thousand chains, long enough to forget where they began
        genes = mutation._move(genes, column)
        assert ((genes >= 0.0) & (genes <= 1.0)).all()
    designs = [{name: parameter.from_unit(gene)} for gene in genes]
    counts = bins(MIXED, designs, name)
    expected = len(designs) / len(counts)
    chi2 = sum((count - expected) ** 2 / expected for count in counts)
    assert chi2 < chi2_limit(len(counts) - 1), counts


def test_a_mutation_is_as_likely_as_its_reverse() -> None:
    space = ParameterSpace((Integer("x", 0, 6),))
    mutation = _Mutation(space, 0.15, np.random.default_rng(0))
    starts = np.repeat(np.arange(7), 6000)
    ends = (mutation._move((starts + 0.5) / 7, np.zeros_like(starts)) * 7).astype(int)
    moves = np.zeros((7, 7))
    np.add.at(moves, (starts, ends), 1)
    assert moves[0, 1] > moves[0, 4] > 0  # near values more often, far ones too
    spread = np.sqrt(moves + moves.T + 1)
    assert (np.abs(moves - moves.T) / spread).max() < 4.5


@pytest.mark.parametrize("hyperparameters", [{"crossover_rate": 0.0, "elites": 0}, {}])
def test_flat_fitness_leaves_every_gene_uniform(hyperparameters: dict[str, Any]) -> None:
    runs = [
        [dict(t.design) for t in run(Genetic(MIXED, seed=seed, **hyperparameters), budget=200)]
        for seed in range(60)
    ]
    for name in MIXED.names[:-1]:
        # Designs of one run are relatives, but the runs are independent.
        counts = np.array([bins(MIXED, designs, name) for designs in runs])
        if counts.shape[1] > 10:  # rare values have skewed counts: neighbours are taken together
            counts = counts.reshape(len(runs), 8, -1).sum(axis=2)
        error = counts.std(axis=0, ddof=1) / len(runs) ** 0.5
        deviation = (counts.mean(axis=0) - 200 / counts.shape[1]) / error
        assert np.abs(deviation).max() < 4.0, (name, deviation)


# ---- operators ---------------------------------------------------------------------------------


EIGHT = ParameterSpace(tuple(Integer(f"x{i}", 0, 99) for i in range(8)))


def children(count: int, **hyperparameters: Any) -> Any:
    """Return genes of unmutated children of a parent of 0.005 and one of 0.995, and the firsts'."""
    agent = Genetic(EIGHT, seed=0, mutation_rate=0.0, **hyperparameters)
    agent._genes = np.array([[0.005] * 8, [0.995] * 8])
    agent._ranks = np.zeros(2, dtype=np.intp)
    genes, parents = agent._breed(count)
    return genes, parents


def test_uniform_crossover_takes_each_gene_from_either_parent() -> None:
    genes, _ = children(4000, crossover="uniform", crossover_rate=1.0)
    assert set(np.unique(genes)) == {0.005, 0.995}
    assert np.abs((genes == 0.995).mean(axis=0) - 0.5).max() < 0.04
    mixed = genes[genes.std(axis=1) > 0]
    assert 0.45 < len(mixed) / 4000 < 0.55  # the other half has one parent twice


def test_two_point_crossover_takes_one_run_from_the_second_parent() -> None:
    genes, parents = children(8000, crossover="two_point", crossover_rate=1.0)
    lengths = []
    for child, parent in zip(genes, parents, strict=True):
        taken = "".join("1" if gene else "0" for gene in child != parent)
        assert len([run for run in taken.split("0") if run]) <= 1
        lengths.append(taken.count("1"))
    assert set(lengths) == set(range(9))  # 0 where both parents are the same


def test_without_crossover_a_child_is_a_copy_of_its_first_parent() -> None:
    genes, parents = children(100, crossover_rate=0.0)
    assert (genes == parents).all()
    assert genes is not parents


def test_larger_tournaments_select_better_parents() -> None:
    def mean_rank(size: int) -> float:
        agent = Genetic(EIGHT, seed=0, tournament_size=size, population_size=32)
        run(agent, cost=lambda design: 1.0 + float(design["x0"]), budget=32)
        order = np.argsort(np.argsort(agent._ranks, kind="stable"))
        return float(order[agent._parents(4000)].mean())

    one, two, eight = mean_rank(1), mean_rank(2), mean_rank(8)
    assert abs(one - 15.5) < 1.0
    assert abs(two - 20.8) < 1.0
    assert abs(eight - 28.0) < 1.0


def test_mutation_rate_is_the_share_of_genes_that_change() -> None:
    genes = np.full((4000, 8), 0.505)
    changed = _Mutation(EIGHT, 0.25, np.random.default_rng(0)).apply(genes) != genes
    assert np.abs(changed.mean(axis=0) - 0.25).max() < 0.03
    assert (_Mutation(EIGHT, 0.0, np.random.default_rng(0)).apply(genes) == genes).all()


def test_a_gene_that_has_to_mutate_does() -> None:
    genes = np.full((1000, 8), 0.505)
    which = np.arange(1000) % 8
    mutation = _Mutation(EIGHT, 0.0, np.random.default_rng(0))
    changed = mutation.apply(genes, at_least=which) != genes
    assert (changed.sum(axis=1) == 1).all()
    assert changed[np.arange(1000), which].all()


# ---- generations -------------------------------------------------------------------------------


def test_elites_stay_without_being_evaluated_again() -> None:
    agent = Genetic(EIGHT, seed=0, population_size=10, elites=3)

    def cost(design: Design) -> float:
        return 1.0 + float(design["x0"])

    trials = run(agent, cost, budget=10 + 7 * 6)
    assert len({trial.key for trial in trials}) == len(trials)
    for end in range(10, len(trials) + 1, 7):
        fresh = Genetic(EIGHT, seed=0, population_size=10, elites=3)
        run(fresh, cost, budget=end)
        kept = sorted((reward for _, reward in fresh._scores), reverse=True)[:3]
        before = trials[: end - 7] if end > 10 else trials[:end]
        best = sorted((trial.reward for trial in before), reverse=True)[:3]
        assert len(fresh._genes) == 10
        assert kept[0] >= best[0]
        assert sum(kept) >= sum(best)


def test_a_batch_is_a_generation() -> None:
    agent = Genetic(TOY_SPACE, seed=0, population_size=10, elites=4)
    evaluator = Evaluator(TOY_SPACE, ToySimulator(), toy_env().objective)
    agent.tell(evaluator.evaluate_batch(agent.ask(100)))
    assert evaluator.spent == 10
    assert len(agent.ask(100)) == 6


def test_infeasible_designs_rank_below_all_feasible_ones() -> None:
    def cost(design: Design) -> float:
        if int(design["x0"]) % 10:
            raise RuntimeError("no")
        return 999.0

    agent = Genetic(EIGHT, seed=0, population_size=20, elites=2)
    trials = run(agent, cost, budget=400)
    assert sum(trial.status == "ok" for trial in trials[:20]) <= 6  # a tenth is feasible
    assert sum(trial.status == "ok" for trial in trials[-100:]) >= 60


def test_constraints_cost_almost_no_samples() -> None:
    space = ParameterSpace(
        EIGHT.parameters,
        (Constraint("first", "x0 < 20", lambda design: int(design["x0"]) < 20),),
    )
    trials = run(Genetic(space, seed=0), budget=500)
    assert sum(trial.status == "infeasible" for trial in trials) <= 5


def test_inert_genes_cost_no_samples() -> None:
    trials = run(Genetic(TOY_SPACE, seed=0), budget=1000)
    assert len({trial.key for trial in trials}) == 1000


def test_an_exhausted_space_is_proposed_again() -> None:
    space = ParameterSpace((Integer("x", 0, 3), Choice("y", ("a", "b"))))
    trials = run(Genetic(space, seed=0), budget=100)
    assert len(trials) == 100
    assert len({trial.key for trial in trials[:24]}) == 8


def test_continuous_genes_converge() -> None:
    space = ParameterSpace(tuple(Real(f"x{i}", -1.0, 1.0) for i in range(4)))

    def cost(design: Design) -> float:
        return 0.001 + sum((float(x) - 0.3) ** 2 for x in design.values())

    best = max(run(Genetic(space, seed=0), cost, budget=1500), key=lambda trial: trial.reward)
    assert best.metrics["cost"] < 0.01


def test_hyperparameters_are_checked() -> None:
    with pytest.raises(ConfigError, match="elites must be below population_size"):
        Genetic(TOY_SPACE, seed=0, population_size=8, elites=8)
    with pytest.raises(ConfigError, match="Did you mean 'two_point'"):
        Genetic(TOY_SPACE, seed=0, crossover="twopoint")


# ---- results -----------------------------------------------------------------------------------


def best_rewards(cls: type[Agent], budget: int, **hyperparameters: Any) -> list[float]:
    env = toy_env()
    rewards = []
    for seed in range(20):
        evaluator = env.new_evaluator(budget=budget)
        cls(env.space, seed=seed, **hyperparameters).run(env)
        assert evaluator.best is not None
        rewards.append(evaluator.best.reward)
    return rewards


@pytest.mark.parametrize("crossover", ["uniform", "two_point"])
def test_beats_random_search_and_finds_the_optimum(crossover: str) -> None:
    budget = 600
    random = best_rewards(RandomSearch, budget)
    genetic = best_rewards(Genetic, budget, crossover=crossover)
    assert statistics.median(genetic) > statistics.median(random)
    optimum = toy_env().evaluator.evaluate(ToySimulator.optimum).reward
    assert sum(reward == optimum for reward in genetic) >= 5
    assert sum(reward == optimum for reward in random) <= 2
