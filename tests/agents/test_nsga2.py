import statistics
from typing import Any, cast

from archgym_py.agents.nsga2 import NSGA2
from archgym_py.agents.random_search import RandomSearch
from archgym_py.evaluator import Trial
from archgym_py.pareto import ParetoArchive
from archgym_py.simulator import Status
from archgym_py.space import Design, Integer, ParameterSpace

SPACE = ParameterSpace(tuple(Integer(f"x{index}", 0, 15) for index in range(6)))


def two_goals(design: Design) -> tuple[float, float]:
    # The front: x0 anything, all others 0.
    first, *others = (cast(int, value) / 15 for value in design.values())
    waste = 1.0 + sum(others)
    return waste * (0.1 + first), waste * (1.1 - first)


def hypervolume(trials: list[Trial]) -> float:
    archive = ParetoArchive((-3.0, -3.0))
    for trial in trials:
        archive.add(trial)
    return archive.hypervolume()


def test_it_approaches_the_front_of_two_goals(search: Any) -> None:
    ours = [hypervolume(search(NSGA2(SPACE, seed=s), two_goals, 400)) for s in range(3)]
    random = [hypervolume(search(RandomSearch(SPACE, seed=s), two_goals, 400)) for s in range(3)]
    assert min(ours) > max(random)


def test_it_spreads_along_the_front(search: Any) -> None:
    trials = search(NSGA2(SPACE, seed=0), two_goals, 600)
    archive = ParetoArchive((-3.0, -3.0))
    for trial in trials:
        archive.add(trial)
    assert len({trial.design["x0"] for trial in archive.front}) >= 8


def test_infeasible_designs_do_not_breed(search: Any) -> None:
    def bounded(design: Design) -> tuple[float, float]:
        # Without the limit, the best designs would have x1 = 0.
        return (float("inf"),) * 2 if cast(int, design["x1"]) < 6 else two_goals(design)

    trials = search(NSGA2(SPACE, seed=0), bounded, 480)
    failed = [trial.status is not Status.OK for trial in trials]
    assert sum(failed[:96]) > 1.5 * sum(failed[-96:])


def test_one_goal_is_an_elitist_genetic_search(search: Any) -> None:
    def cost(design: Design) -> float:
        return 1.0 + sum(cast(int, value) for value in design.values())

    ours = [min(t.metrics["a"] for t in search(NSGA2(SPACE, seed=s), cost, 400)) for s in range(3)]
    random = [
        min(t.metrics["a"] for t in search(RandomSearch(SPACE, seed=s), cost, 400))
        for s in range(3)
    ]
    assert max(ours) < min(random)


def test_children_mix_genes_of_parents_as_often_as_configured(tell: Any) -> None:
    space = ParameterSpace(tuple(Integer(f"x{index}", 0, 15) for index in range(12)))

    def novelty(crossover_rate: float, swap_rate: float, mutation_rate: float = 0.02) -> float:
        # Genes in which a child differs from the parent that it is most like, on average.
        agent = NSGA2(
            space,
            seed=0,
            population_size=32,
            crossover_rate=crossover_rate,
            swap_rate=swap_rate,
            mutation_rate=mutation_rate,
        )
        parents = tell(agent, lambda design: float(cast(int, design["x0"])))
        children = tell(agent, lambda _: 0.0)
        distances = [
            min(sum(child[name] != parent[name] for name in child) for parent in parents)
            for child in children
        ]
        return float(statistics.mean(distances))

    clones = novelty(0.0, 0.5)
    assert clones < 2.5  # of 12; clones that are known already are replaced by random designs
    assert novelty(1.0, 0.0) < 2.5
    assert novelty(1.0, 0.5) > clones + 2.0
    assert novelty(0.0, 0.5, mutation_rate=0.5) > clones + 2.0
