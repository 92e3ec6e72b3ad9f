"""What the rows of a sweep say, as pure functions: the hyperparameter lottery and its statistics.

**Score.** Rewards of different problems have different scales. The score of a run is
`(best - default) / (top - default)`: its best reward, between that of the default design, 0, and
the highest that is known, 1. That is the reward of the true optimum where the space was enumerated,
and that of the best run where it was not. Where nothing that is known beats the default design, its
place is taken by the worst run. A run that found nothing feasible scores as the worst of its
problem, and no more than 0.

**Configurations are the units.** The runs of one configuration with different seeds are not
independent draws from the lottery, so that intervals are bootstrapped over configurations, each
with all its seeds on all problems.

**Tuned.** The best of many configurations looks better than it is on the runs that it was chosen
by. What is given as tuned is measured on a seed that had no say: for each seed the configuration is
chosen by all other seeds, and the scores of those choices are averaged. With one seed there is
none.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from archgym_py.results import Problem, Results
from archgym_py.statistics import (
    bootstrap_interval,
    expected_best_curve,
    iqm,
    mean_ranks,
    performance_profile,
    probability_of_improvement,
    quartiles,
    step_at,
    value_range,
)
from archgym_py.sweep_config import SEED_STRIDE

__all__ = [
    "Run",
    "Shares",
    "analyse",
    "nothing_yet",
    "scored_runs",
    "transfer",
    "tuned_score",
    "variance_shares",
]

_Floats: TypeAlias = npt.NDArray[np.float64]

_SEED = 0  # of the bootstrap: equal rows give equal intervals
_THRESHOLDS = 101
_DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run of a sweep with its score.

    Attributes:
        row: Its row.
        score: As above.
        curve: Score of the best design so far: the samples that improved it, and the scores.
    """

    row: Mapping[str, Any]
    score: float
    curve: tuple[Sequence[int], Sequence[float]]


@dataclass(frozen=True, slots=True)
class Shares:
    """What the variance of the final scores is due to; the shares add up to 1.

    Attributes:
        agent: The algorithm, each at the mean of its configurations.
        configuration: The hyperparameters, within an algorithm.
        seed: Luck, within a configuration.
    """

    agent: float
    configuration: float
    seed: float


@dataclass(frozen=True, slots=True)
class _Scale:
    """Turns rewards of a problem into scores."""

    zero: float
    one: float
    lowest: float

    def score(self, reward: float | None) -> float:
        if reward is None:
            return self.lowest
        # Where all rewards are equal, every run is the best.
        return (reward - self.zero) / (self.one - self.zero) if self.one > self.zero else 1.0


def scored_runs(results: Results) -> dict[str, list[Run]]:
    """Return the finished runs of each problem, with their scores.

    Args:
        results: The sweep.

    Returns:
        Runs by name of the problem, in the order of the rows.
    """
    problems: dict[str, list[Mapping[str, Any]]] = {name: [] for name in results.problems}
    for row in results.rows:
        if row["status"] == "finished":
            problems[row["problem"]].append(row)
    scored = {}
    for name, rows in problems.items():
        scale = _scale(results.problems[name], [row["reward"] for row in rows])
        scored[name] = [
            Run(
                row,
                scale.score(row["reward"]),
                (row["improved_at"], [scale.score(reward) for reward in row["improved_to"]]),
            )
            for row in rows
        ]
    return scored


def nothing_yet(runs: Iterable[Run]) -> float:
    """Return the score of a run before it finds something feasible.

    Args:
        runs: All runs on the problem.

    Returns:
        The worst first find of any of them, or 0 where that is better than the default design.
    """
    return min([0.0, *(score for run in runs for score in (run.score, *run.curve[1][:1]))])


def _scale(problem: Problem, rewards: Sequence[float | None]) -> _Scale:
    found = [reward for reward in rewards if reward is not None]
    known = [*found, *([problem.optimum.reward] if problem.optimum else [])]
    one = max(known, default=1.0)
    zero = min(found, default=0.0)
    if problem.default is not None and problem.default.reward < one:
        zero = problem.default.reward
    scale = _Scale(zero, one, 0.0)
    return _Scale(zero, one, min([0.0, *(scale.score(reward) for reward in found)]))


def variance_shares(agents: Mapping[str, Sequence[Sequence[float]]]) -> Shares | None:
    """Divide the variance of scores between algorithms, hyperparameters and luck.

    The model is nested: score = agent + configuration within agent + seed within configuration. The
    components are the estimates of a one-way analysis of variance on each level: the variance of
    means less what the level below adds to it (Searle, Casella and McCulloch, "Variance
    Components", 1992, chapter 3). Those of configurations and seeds are means over the agents, and
    0 where they are negative. Seeds must be independent, as those of a `SweepConfig` are.

    Args:
        agents: For each agent and each of its configurations the scores of its seeds.

    Returns:
        The shares; None where there are less than two agents, no agent has several configurations
        with several seeds, or all scores are equal.

    Examples:
        >>> variance_shares({"a": [[0.0, 2.0], [4.0, 6.0]], "b": [[0.0, 2.0], [4.0, 6.0]]})
        Shares(agent=0.0, configuration=0.777..., seed=0.222...)
    """
    within = [_within(configs) for configs in agents.values()]
    luck = [variance for variance in within if variance is not None]
    several = [
        (configs, variance)
        for configs, variance in zip(agents.values(), within, strict=True)
        if len(configs) > 1 and variance is not None
    ]
    if len(agents) < 2 or not several:
        return None
    seed = fmean(luck)
    # Not cut at 0 one by one, which would make something of nothing.
    configuration = max(
        0.0,
        fmean(
            _variance(_means(configs)) - variance * fmean(1 / len(seeds) for seeds in configs)
            for configs, variance in several
        ),
    )
    # How far the mean of an agent is off, as its configurations and seeds are a sample.
    off = [
        _variance(_means(configs)) / len(configs)
        if len(configs) > 1
        else (variance or 0.0) / len(configs[0])
        for configs, variance in zip(agents.values(), within, strict=True)
    ]
    between = _variance([fmean(_means(configs)) for configs in agents.values()])
    agent = max(0.0, between - fmean(off))
    whole = agent + configuration + seed
    if whole == 0.0:
        return None
    return Shares(agent / whole, configuration / whole, seed / whole)


def _within(configs: Sequence[Sequence[float]]) -> float | None:
    """Return the mean variance between the seeds of a configuration, None without repetition."""
    variances = [_variance(seeds) for seeds in configs if len(seeds) > 1]
    return fmean(variances) if variances else None


def _means(configs: Sequence[Sequence[float]]) -> list[float]:
    return [fmean(seeds) for seeds in configs]


def _variance(values: Sequence[float]) -> float:
    return float(np.var(values, ddof=1))


def tuned_score(
    configs: Sequence[Mapping[int, float]],
    elsewhere: Sequence[Mapping[int, float]] | None = None,
) -> float | None:
    """Return the score of the best configuration on seeds that did not choose it.

    Args:
        configs: For each configuration the scores by seed. A seed counts if all have it.
        elsewhere: For each of the same configurations the scores by which it is chosen, where that
            is another problem.

    Returns:
        The mean over the seeds; None where there are fewer than two seeds or configurations.

    Examples:
        >>> tuned_score([{0: 9.0, 1: 0.0}, {0: 4.0, 1: 5.0}])  # each seed chooses the other one
        2.0
    """
    choosing = configs if elsewhere is None else elsewhere
    if len(configs) < 2:
        return None
    seeds = sorted(set.intersection(*(set(scores) for scores in (*configs, *choosing))))
    if len(seeds) < 2:
        return None
    held_out = []
    for seed in seeds:
        others = [other for other in seeds if other != seed]
        means = [fmean(scores[other] for other in others) for scores in choosing]
        held_out.append(configs[means.index(max(means))][seed])
    return fmean(held_out)


def transfer(results: Results) -> list[dict[str, Any]]:
    """Return how well hyperparameters that were tuned on a problem do on another one.

    Args:
        results: The sweep.

    Returns:
        For each agent with several configurations, and each two problems of one environment and
        one objective: the mean scores on the target of the configurations that were tuned on the
        source ("transferred"), of those tuned on the target itself ("own"), both by seeds that
        are not among those of the score, and of the default one ("default", None where it was not
        run); and which configuration has the best mean on the source ("label").
    """
    return _transfer(results.problems, scored_runs(results))


def _transfer(
    problems: Mapping[str, Problem], scored: Mapping[str, Sequence[Run]]
) -> list[dict[str, Any]]:
    groups = {name: _by_agent(runs) for name, runs in scored.items()}
    found = []
    for source, target in itertools.permutations(groups, 2):
        one, other = problems[source], problems[target]
        if (one.env_id, _objective(one)) != (other.env_id, _objective(other)):
            continue
        for agent, configs in groups[source].items():
            there = groups[target].get(agent, {})
            shared = [label for label in configs if label in there]
            if len(shared) < 2:
                continue
            best = max(shared, key=lambda label: _mean(configs[label]))
            default = there.get(_DEFAULT)
            found.append(
                {
                    "agent": agent,
                    "source": source,
                    "target": target,
                    "label": best,
                    "transferred": tuned_score(
                        [_by_seed(there[label]) for label in shared],
                        [_by_seed(configs[label]) for label in shared],
                    ),
                    "own": tuned_score([_by_seed(there[label]) for label in shared]),
                    "default": None if default is None else _mean(default),
                }
            )
    return found


def analyse(results: Results) -> dict[str, Any]:
    """Put together all that a report shows.

    Args:
        results: The sweep.

    Returns:
        Plain data for JSON, without infinite numbers: the commands and versions; for each problem
        the best design and, agent by agent, the distribution of the scores, what tuning brings, the
        regret where the optimum is known, and the progress; the same over all problems; and how
        hyperparameters transfer.
    """
    scored = scored_runs(results)
    failed = [row for row in results.rows if row["status"] == "failed"]
    messages = Counter((row["agent"], row["message"]) for row in failed)
    return {
        "commands": list(results.commands),
        "versions": dict(results.versions),
        "git_commits": sorted({row["git_commit"] for row in results.rows if row["git_commit"]}),
        "runs": len(results.rows),
        "failed": len(failed),
        "failures": [
            {"agent": agent, "message": message, "runs": runs}
            for (agent, message), runs in messages.most_common()
        ],
        "problems": [
            _problem(results.problems[name], runs, failed) for name, runs in scored.items() if runs
        ],
        "overall": _overall(scored),
        "transfer": _transfer(results.problems, scored),
    }


# --- One problem ---------------------------------------------------------------------------------


def _problem(
    problem: Problem, runs: Sequence[Run], failed: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    groups = _by_agent(runs)
    agents = {agent: _flat(configs) for agent, configs in groups.items()}
    before = nothing_yet(runs)
    thresholds = _thresholds([run.score for run in runs])
    failures = Counter(row["agent"] for row in failed if row["problem"] == problem.name)
    default = problem.default
    return {
        "name": problem.name,
        "env": problem.env_id,
        "workload": next((run.row["workload"] for run in runs), ""),
        "objective": next((run.row["objective"] for run in runs), ""),
        "env_kwargs": dict(problem.env_kwargs),
        "budgets": sorted({run.row["budget"] for run in runs}),
        "units": dict(problem.units),
        "default": default
        and {
            "design": dict(default.design),
            "metrics": dict(default.metrics),
            "reward": default.reward,
        },
        "optimum": problem.optimum
        and {
            "metric": problem.optimum.metric,
            "value": problem.optimum.value,
            "reward": problem.optimum.reward,
            "source": problem.optimum.source,
        },
        "best": _best(problem, runs),
        "variance": _shares(groups),
        "agents": [
            _agent(problem, agent, own, failed=failures[agent], before=before)
            for agent, own in agents.items()
        ],
        "thresholds": thresholds,
        "profiles": {
            agent: _list(performance_profile([run.score for run in own], thresholds))
            for agent, own in agents.items()
        },
        "improvement": _improvement({agent: [own] for agent, own in agents.items()}),
    }


def _best(problem: Problem, runs: Sequence[Run]) -> dict[str, Any] | None:
    found = [run.row for run in runs if run.row["reward"] is not None]
    if not found:
        return None
    # Of equals the one that was found first.
    row = max(found, key=lambda row: (row["reward"], -row["sample"]))
    return {
        **{name: row[name] for name in ("agent", "label", "seed", "sample", "reward")},
        "design": json.loads(row["design"]),
        "metrics": json.loads(row["metrics"]),
        "regret_percent": _regret(problem, row),
    }


def _agent(
    problem: Problem, agent: str, runs: Sequence[Run], *, failed: int, before: float
) -> dict[str, Any]:
    configs = _by_agent(runs)[agent]
    scores = [run.score for run in runs]
    means = {label: _mean(own) for label, own in configs.items()}
    best = max(means, key=lambda label: means[label])
    drawn = [mean for label, mean in means.items() if not label.startswith(_DEFAULT)]
    regrets = [_regret(problem, run.row) for run in runs if run.row["reward"] is not None]
    known = [regret for regret in regrets if regret is not None]
    return {
        "agent": agent,
        "runs": len(runs),
        "failed": failed,
        "configs": len(configs),
        "scores": scores,
        "labels": [run.row["label"] for run in runs],
        "seeds": [run.row["seed"] for run in runs],
        "samples": [run.row["sample"] for run in runs],
        "iqm": _iqm_interval([configs]),
        "quartiles": list(quartiles(scores)),
        "range": value_range(scores),
        "default_score": means.get(_DEFAULT),
        "tuned_score": tuned_score([_by_seed(own) for own in configs.values()]),
        "tuned": {
            "label": best,
            "config": json.loads(configs[best][0].row["agent_config"]),
            "score": means[best],
        },
        "best_of": _list(expected_best_curve(drawn or list(means.values()))),
        "regret": {
            "quartiles": list(quartiles(known)),
            "optimal_runs": sum(regret == 0.0 for regret in known),
        }
        if known
        else None,
        "curve": _curve(runs, before),
    }


def _regret(problem: Problem, row: Mapping[str, Any]) -> float | None:
    """Return the excess of a run's best design over the optimum in percent, where that is known."""
    if problem.optimum is None or row["metrics"] is None:
        return None
    value = float(json.loads(row["metrics"])[problem.optimum.metric])
    return 100.0 * (value - problem.optimum.value) / problem.optimum.value


def _curve(runs: Sequence[Run], before: float) -> dict[str, Any]:
    """Return the quartiles of the best score so far, at samples that grow by powers."""
    budget = max(run.row["budget"] for run in runs)
    at = np.unique(np.geomspace(1, budget, num=60).round().astype(np.int64))
    values = np.array([step_at(*run.curve, at, before=before) for run in runs])
    q1, median, q3 = np.quantile(values, (0.25, 0.5, 0.75), axis=0)
    return {"samples": at.tolist(), "median": _list(median), "q1": _list(q1), "q3": _list(q3)}


# --- All problems --------------------------------------------------------------------------------


def _overall(scored: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """Compare the agents that met all problems."""
    problems = {name: _by_agent(runs) for name, runs in scored.items() if runs}
    agents = [
        agent
        for agent in dict.fromkeys(agent for groups in problems.values() for agent in groups)
        if all(agent in groups for groups in problems.values())
    ]
    strata = {agent: [_flat(groups[agent]) for groups in problems.values()] for agent in agents}
    pooled = {agent: [run.score for runs in own for run in runs] for agent, own in strata.items()}
    thresholds = _thresholds([score for scores in pooled.values() for score in scores])
    iqms = {
        agent: _iqm_interval([groups[agent] for groups in problems.values()]) for agent in agents
    }
    ranks: Sequence[float] = ()
    if agents:
        table = [[iqm([run.score for run in runs]) for runs in strata[agent]] for agent in agents]
        ranks = _list(mean_ranks(np.array(table)))
    rows = []
    for agent, rank in zip(agents, ranks, strict=True):
        configs = [groups[agent] for groups in problems.values()]
        tuned = [tuned_score([_by_seed(own) for own in group.values()]) for group in configs]
        default = [group.get(_DEFAULT) for group in configs]
        rows.append(
            {
                "agent": agent,
                "iqm": iqms[agent],
                "mean_rank": rank,
                "mean": fmean(pooled[agent]),
                "quartiles": list(quartiles(pooled[agent])),
                "default_score": _mean_of_all(
                    [None if runs is None else _mean(runs) for runs in default]
                ),
                "tuned_score": _mean_of_all(tuned),
            }
        )
    shares = [share for groups in problems.values() if (share := _shares(groups))]
    return {
        "agents": rows,
        "variance": {
            part: fmean(share[part] for share in shares)
            for part in ("agent", "configuration", "seed")
        }
        if shares
        else None,
        "thresholds": thresholds if agents else [],
        "profiles": {
            agent: _list(performance_profile(scores, thresholds))
            for agent, scores in pooled.items()
        },
        "improvement": _improvement(strata),
    }


def _mean(runs: Sequence[Run]) -> float:
    return fmean(run.score for run in runs)


def _mean_of_all(values: Sequence[float | None]) -> float | None:
    """Return the mean, None where a value is missing."""
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None


# --- Parts ---------------------------------------------------------------------------------------


def _by_agent(runs: Sequence[Run]) -> dict[str, dict[str, list[Run]]]:
    """Group runs by agent and configuration; budgets of their own make other configurations."""
    budgets = {agent: set[int]() for agent in dict.fromkeys(run.row["agent"] for run in runs)}
    for run in runs:
        budgets[run.row["agent"]].add(run.row["budget"])
    groups: dict[str, dict[str, list[Run]]] = {agent: {} for agent in budgets}
    for run in runs:
        agent, label = run.row["agent"], run.row["label"]
        if len(budgets[agent]) > 1:
            label = f"{label}, {run.row['budget']} samples"
        groups[agent].setdefault(label, []).append(run)
    return groups


def _flat(configs: Mapping[str, Sequence[Run]]) -> list[Run]:
    return [run for runs in configs.values() for run in runs]


def _by_seed(runs: Sequence[Run]) -> dict[int, float]:
    """Return the scores of a configuration by the seed that the sweep names."""
    return {run.row["seed"] % SEED_STRIDE: run.score for run in runs}


def _objective(problem: Problem) -> str:
    return json.dumps(problem.env_kwargs.get("objective"))


def _shares(groups: Mapping[str, Mapping[str, Sequence[Run]]]) -> dict[str, float] | None:
    shares = variance_shares(
        {
            agent: [[run.score for run in runs] for runs in configs.values()]
            for agent, configs in groups.items()
        }
    )
    if shares is None:
        return None
    return {"agent": shares.agent, "configuration": shares.configuration, "seed": shares.seed}


def _iqm_interval(problems: Sequence[Mapping[str, Sequence[Run]]]) -> list[float]:
    """Return the interquartile mean of an agent's scores on some problems, with its interval.

    What is drawn anew is a configuration with all its runs on all problems, where it may do well or
    badly together. Where there is one configuration, it is a seed; and where runs are missing, as
    they failed, it is a run, problem by problem.
    """
    cells = [[_by_seed(runs) for runs in configs.values()] for configs in problems]
    seeds = {tuple(sorted(scores)) for configs in cells for scores in configs}
    labels = {tuple(configs) for configs in problems}
    if len(seeds) == len(labels) == 1:
        [order] = seeds
        table = np.array(
            [[[scores[seed] for seed in order] for scores in configs] for configs in cells]
        )
        _, config, seed = table.shape
        units = table.transpose(1, 0, 2) if config > 1 else table.transpose(2, 0, 1)
        scores = units.reshape(config if config > 1 else seed, -1)
        strata = [np.arange(len(scores))]
    else:
        flat = [[run.score for run in _flat(configs)] for configs in problems]
        scores = np.concatenate(flat)[:, None]
        strata = np.split(np.arange(len(scores)), np.cumsum([len(runs) for runs in flat])[:-1])

    def of_units(drawn: npt.NDArray[Any], axis: int) -> _Floats:
        runs = scores[drawn.astype(np.int64)]
        return iqm(runs.reshape(*drawn.shape[:-1], -1), axis=axis)

    interval = bootstrap_interval(strata, of_units, rng_seed=_SEED)
    return [interval.estimate, interval.low, interval.high]


def _improvement(strata: Mapping[str, Sequence[Sequence[Run]]]) -> dict[str, Any]:
    """Return for each two agents how likely a run of the first beats one of the second."""
    scores = {
        agent: [np.array([run.score for run in runs]) for runs in own]
        for agent, own in strata.items()
    }
    return {
        "agents": list(scores),
        "matrix": [
            [probability_of_improvement(one, other) for other in scores.values()]
            for one in scores.values()
        ],
    }


def _thresholds(scores: Sequence[float]) -> list[float]:
    """Return places for a profile, from the first percentile of the scores to the top."""
    if not scores:
        return []
    low = min(0.0, float(np.quantile(scores, 0.01)))
    return _list(np.linspace(low, max(1.0, *scores), _THRESHOLDS))


def _list(values: npt.ArrayLike) -> list[float]:
    return [float(value) for value in np.asarray(values).tolist()]
