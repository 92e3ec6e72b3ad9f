import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from archgym_py.agent import Agent
from archgym_py.agents.genetic import Genetic, _Individual
from archgym_py.agents.random_search import RandomSearch
from archgym_py.environment import DesignEnv
from archgym_py.errors import ArchGymError, ConfigError
from archgym_py.evaluator import Evaluator, Trial
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
    class Memory:
        def append(self, trial: Trial) -> None:
            trials.append(trial)

        def close(self) -> None:
            pass

    trials: list[Trial] = []
    env = DesignEnv(agent.space, Cost(cost), "minimize:cost", action="box")
    env.new_evaluator(budget=budget, recorder=Memory())
    agent.run(env)
    return trials


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
    index = MIXED.names.index(name)
    parameter = MIXED[name]
    agent = Genetic(MIXED, seed=1)
    gene = parameter.to_unit(parameter.from_unit(start))
    designs = []
    for step in range(40_000):
        gene = agent._mutate_gene(index, gene)
        assert 0.0 <= gene <= 1.0
        if step % 10 == 0:  # far enough apart to count as independent
            designs.append({name: parameter.from_unit(gene)})
    counts = bins(MIXED, designs, name)
    expected = len(designs) / len(counts)
    chi2 = sum((count - expected) ** 2 / expected for count in counts)
    assert chi2 < chi2_limit(len(counts) - 1), counts


def test_a_mutation_is_as_likely_as_its_reverse() -> None:
    space = ParameterSpace((Integer("x", 0, 6),))
    agent = Genetic(space, seed=0)
    moves = np.zeros((7, 7))
    for start in range(7):
        for _ in range(6000):
            moves[start, int(agent._mutate_gene(0, (start + 0.5) / 7) * 7)] += 1
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


FIRST, SECOND = [0.25] * 8, [0.75] * 8


def second_parent(agent: Genetic) -> None:
    """Make SECOND the parent that the agent draws next."""
    agent._population = [_Individual(SECOND, (True, 0.0))]


EIGHT = ParameterSpace(tuple(Integer(f"x{i}", 0, 99) for i in range(8)))


def test_uniform_crossover_takes_each_gene_from_either_parent() -> None:
    agent = Genetic(EIGHT, seed=0, crossover="uniform", crossover_rate=1.0)
    second_parent(agent)
    children = np.array([agent._cross(FIRST) for _ in range(4000)])
    assert set(np.unique(children)) == {0.25, 0.75}
    assert np.abs((children == 0.75).mean(axis=0) - 0.5).max() < 0.04
    assert np.abs(np.corrcoef(children.T) - np.eye(8)).max() < 0.08


def test_two_point_crossover_takes_one_run_from_the_second_parent() -> None:
    agent = Genetic(EIGHT, seed=0, crossover="two_point", crossover_rate=1.0)
    second_parent(agent)
    lengths = []
    for _ in range(4000):
        taken = "".join("1" if gene == 0.75 else "0" for gene in agent._cross(FIRST))
        assert len(taken) == 8
        assert len([run for run in taken.split("0") if run]) == 1
        lengths.append(taken.count("1"))
    assert set(lengths) == set(range(1, 9))


def test_without_crossover_a_child_is_a_copy_of_its_first_parent() -> None:
    agent = Genetic(EIGHT, seed=0, crossover_rate=0.0)
    child = agent._cross(FIRST)
    assert child == FIRST
    assert child is not FIRST


def test_larger_tournaments_select_better_parents() -> None:
    def mean_rank(size: int) -> float:
        agent = Genetic(EIGHT, seed=0, tournament_size=size, population_size=32)
        run(agent, cost=lambda design: 1.0 + float(design["x0"]), budget=32)
        order = sorted(agent._population, key=lambda one: one.rank)
        return statistics.fmean(order.index(agent._parent()) for _ in range(2000))

    one, two, eight = mean_rank(1), mean_rank(2), mean_rank(8)
    assert abs(one - 15.5) < 1.0
    assert abs(two - 20.8) < 1.0
    assert abs(eight - 28.0) < 1.0


def test_mutation_rate_is_the_share_of_genes_that_change() -> None:
    agent = Genetic(EIGHT, seed=0, mutation_rate=0.25)
    genes = [0.505] * 8
    changed = np.array([agent._mutate(genes) for _ in range(4000)]) != 0.505
    assert np.abs(changed.mean(axis=0) - 0.25).max() < 0.03
    assert Genetic(EIGHT, seed=0, mutation_rate=0.0)._mutate(genes) == genes


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
        kept = sorted((one.rank[1] for one in fresh._population), reverse=True)[:3]
        before = trials[: end - 7] if end > 10 else trials[:end]
        best = sorted((trial.reward for trial in before), reverse=True)[:3]
        assert len(fresh._population) == 10
        assert kept[0] >= best[0]
        assert sum(kept) >= sum(best)


def test_ask_stops_at_the_end_of_a_generation() -> None:
    agent = Genetic(TOY_SPACE, seed=0, population_size=10, elites=4)
    evaluator = Evaluator(TOY_SPACE, ToySimulator(), toy_env().objective)
    assert agent.batch_size == 10
    assert [len(agent.ask(n)) for n in (4, 100)] == [4, 6]
    with pytest.raises(ArchGymError, match=r"10 designs that were asked.*tell\(\)"):
        agent.ask(1)
    agent = Genetic(TOY_SPACE, seed=0, population_size=10, elites=4)
    agent.tell(evaluator.evaluate_batch(agent.ask(100)))
    assert len(agent.ask(100)) == 6


def test_tell_refuses_trials_of_other_designs() -> None:
    agent = Genetic(TOY_SPACE, seed=0)
    evaluator = Evaluator(TOY_SPACE, ToySimulator(), toy_env().objective)
    trials = evaluator.evaluate_batch(agent.ask(3))
    with pytest.raises(ArchGymError, match="trial 1 is not of the design"):
        agent.tell([trials[1]])
    agent.tell(trials[:2])
    agent.tell(trials[2:])
    with pytest.raises(ArchGymError, match="trial 2 is not of the design"):
        agent.tell(trials[2:])


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
