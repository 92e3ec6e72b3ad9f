"""How fast the agents are: their own work, whole runs, and beside the libraries they are built on.

Sections of `archgym_py.experiments.bench`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, ClassVar, TypeAlias, cast

from archgym_py.agent import Agent, AskTellAgent
from archgym_py.environment import DesignEnv
from archgym_py.errors import ConfigError
from archgym_py.evaluator import Trial
from archgym_py.experiments.timing import (
    Effort,
    Figure,
    Section,
    alternated,
    figure_of,
    many_million_steps,
    seconds_of,
)
from archgym_py.registry import AGENTS
from archgym_py.simulator import Evaluation, Metric, Status
from archgym_py.simulators.dram.space import dram_space
from archgym_py.simulators.dram.technology import load_technology
from archgym_py.space import Choice, Design, Parameter, Value

if TYPE_CHECKING:
    import optuna

    from archgym_py.agents.bayesian import Bayesian

__all__ = ["measure_adapters", "measure_agents", "measure_runs"]

_SPACE = dram_space("archgym", load_technology("DDR3-1600"))

_Searches: TypeAlias = Callable[[int, int], tuple[Callable[[], object], Callable[[], object]]]
"""Takes samples and a seed; returns a search by an agent, and one by its library alone."""

_TARGET_SAMPLES_PER_S = {"random_search": 50_000.0, "genetic": 50_000.0, "ant_colony": 20_000.0}
_TARGET_TPE = 1.10
_TARGET_PPO = 1.15

_BATCH = 64
_OF_BATCH: dict[str, dict[str, Value]] = {
    "ant_colony": {"ants": _BATCH},
    "cma_es": {"population_size": _BATCH},
    "genetic": {"population_size": _BATCH + 8, "elites": 8},  # the elites are not new
    "grid": {"batch_size": _BATCH},
    "local_search": {"batch_size": _BATCH, "starts": _BATCH},
    "nsga2": {"population_size": _BATCH},
    "policy_gradient": {"batch_size": _BATCH},
    "quasi_random": {"batch_size": _BATCH},
    "random_search": {"batch_size": _BATCH},
    "simulated_annealing": {"chains": _BATCH},
}
"""Hyperparameters with which an agent proposes so many new designs at a time. The others cannot."""

_SOME = 20
"""Million calibration steps that are taken around a repeat."""


def measure_agents(effort: Effort) -> Section:
    """Time the asking and telling of agents on the memory controller's space.

    Args:
        effort: How much is measured.

    Returns:
        Samples per second of each agent's own work.
    """
    names = [name for name in AGENTS.names() if issubclass(AGENTS.load(name), AskTellAgent)]
    figures, note = _agent_figures(names, _ask_and_tell, effort, _TARGET_SAMPLES_PER_S)
    smaller = ", ".join(name for name in names if name not in _OF_BATCH)
    return Section(
        title=f"agents: ask and tell alone, ten parameters, batches of {_BATCH}",
        unit="samples/s",
        ratio_to="per 1e6 calibration steps",
        also="samples",
        figures=figures,
        note=f"The trials that are told are made up between the two. {smaller} cannot propose so "
        f"many at a time.{note}",
    )


def measure_runs(effort: Effort) -> Section:
    """Time whole runs of agents with a simulator that does nothing.

    Args:
        effort: How much is measured.

    Returns:
        Samples per second of each agent with its default hyperparameters.
    """
    figures, note = _agent_figures(AGENTS.names(), _whole_run, effort, {})
    return Section(
        title="agents: whole runs, ten parameters, a simulator that costs nothing",
        unit="samples/s",
        ratio_to="per 1e6 calibration steps",
        also="samples",
        figures=figures,
        note="With the evaluator, which validates, caches, rewards and counts. Default "
        f"hyperparameters.{note}",
    )


def measure_adapters(effort: Effort) -> Section:
    """Time agents and, for the same search, the libraries that they are built on.

    Args:
        effort: How much is measured.

    Returns:
        The time of an agent's run over that of the library alone.
    """
    measured: list[tuple[str, _Searches, int, float | None]] = [
        ("bayesian (tpe) / optuna, same search", _tpe, effort.trials, _TARGET_TPE),
        ("bayesian (tpe) / optuna, plain search", _tpe_plain, effort.trials, None),
        ("ppo / stable-baselines3", _ppo, effort.steps, _TARGET_PPO),
    ]
    figures, missing = [], []
    for title, make, samples, target in measured:
        name = f"{title}, {samples} samples"
        try:
            for job in make(samples, 0):
                job()
            times, busy, rates = [], [], []
            for seed in range(effort.repeats):
                ours, bare = (_Timed(job) for job in make(samples, seed))
                ours_s, bare_s = alternated((ours, bare), seed)
                times.append(ours_s / bare_s)
                busy.append(ours.busy_s / bare.busy_s)
                rates.append(samples / ours_s)
        except ConfigError as error:
            missing.append(f" {name}: {error}")
            continue
        figures.append(
            figure_of(name, times, busy, target=target, at_most=True, also=median(rates))
        )
    return Section(
        title="adapters: an agent's whole run over its library alone",
        unit="times the library",
        ratio_to="in processor time",
        also="samples/s",
        figures=tuple(figures),
        note="Both have the same settings and space, a simulator that costs nothing, and one "
        "thread, and take turns. The same search proposes the same designs: conditions and "
        "constraints are told to optuna, known designs are not samples. The plain search takes "
        "what optuna proposes among all combinations of values, known, inactive and forbidden ones "
        "too. PPO learns from ranks and takes the steps that repeat a design besides its samples, "
        "stable-baselines3 alone learns from rewards and counts them." + "".join(missing),
    )


class _FreeSimulator:
    """Answers at once; smaller request buffers are better, so that agents have a direction."""

    name: ClassVar[str] = "free"
    version: ClassVar[str] = "1"
    deterministic: ClassVar[bool] = True
    metrics: ClassVar[tuple[Metric, ...]] = (Metric("cost", "1", 1.0, 128.0),)

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        return Evaluation({"cost": float(design["request_buffer_size"])})

    def close(self) -> None:
        pass


class _Timed:
    """Takes the processor time of a job."""

    def __init__(self, job: Callable[[], object]) -> None:
        self._job = job
        self.busy_s = 0.0

    def __call__(self) -> None:
        start = time.process_time()
        self._job()
        self.busy_s = time.process_time() - start


def _agent_figures(
    names: Iterable[str],
    seconds: Callable[[str, int, int], float],
    effort: Effort,
    targets: Mapping[str, float],
) -> tuple[tuple[Figure, ...], str]:
    """Time agents; return the figures, and what to say about those that have none.

    Args:
        names: The agents.
        seconds: Takes an agent, a number of samples and a seed; returns the seconds that it took.
        effort: How much is measured.
        targets: Samples per second that are wanted, by agent.
    """
    figures, missing = [], []
    some_steps = partial(many_million_steps, _SOME)
    for name in names:
        try:
            seconds(name, effort.few_samples, 0)  # loads libraries
            few_s = seconds(name, effort.few_samples, 0)
        except ConfigError as error:
            missing.append(f" {name}: {error}")
            continue
        is_fast = few_s * effort.samples <= effort.few_samples
        samples = effort.samples if is_fast else effort.few_samples
        rates, ratios = [], []
        for seed in range(effort.repeats):
            before = seconds_of(some_steps)
            rates.append(samples / seconds(name, samples, seed))
            steps_s = (before + seconds_of(some_steps)) / 2 / _SOME
            ratios.append(rates[-1] * steps_s)
        figures.append(
            figure_of(name, rates, ratios, target=targets.get(name), also=float(samples))
        )
    return tuple(figures), "".join(missing)


def _ask_and_tell(name: str, samples: int, seed: int) -> float:
    """Return the seconds that an agent takes for its own part of a run."""
    agent_class: type[AskTellAgent] = AGENTS.load(name)
    agent = agent_class(_SPACE, seed=seed, **_OF_BATCH.get(name, {}))
    agent_s, count = 0.0, 0
    while count < samples:
        start = time.perf_counter()
        designs = agent.ask(min(_BATCH, samples - count))
        agent_s += time.perf_counter() - start
        trials = [_made_up(count + index, design) for index, design in enumerate(designs)]
        start = time.perf_counter()
        agent.tell(trials)
        agent_s += time.perf_counter() - start
        count += len(designs)
    return agent_s


def _made_up(index: int, design: Design) -> Trial:
    reward = -float(design["request_buffer_size"])
    return Trial(index, design, "", Status.OK, "", {}, reward, (reward,), False, 0.0, 0)


def _whole_run(name: str, samples: int, seed: int) -> float:
    """Return the seconds of a run with default hyperparameters."""
    agent_class: type[Agent] = AGENTS.load(name)
    env = _free_env(samples)
    agent = agent_class(env.space, seed=seed, **agent_class.example)
    return seconds_of(partial(agent.run, env))


def _free_env(budget: int | None = None) -> DesignEnv:
    env = DesignEnv(_SPACE, _FreeSimulator(), "minimize:cost")
    env.new_evaluator(budget=budget)
    return env


def _tpe(samples: int, seed: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return the same search with Parzen estimators twice: by the agent, and by optuna alone."""
    from archgym_py.agents.bayesian import Bayesian

    env = _free_env(samples)
    agent = Bayesian(env.space, seed=seed, sampler="tpe", batch_size=1)
    alone = _free_env()

    def bare() -> None:
        import optuna

        study = _tpe_study(agent)
        tried: set[str] = set()
        while len(tried) < samples:
            trial = study.ask()
            design: Design = {}
            for p in alone.space.parameters:
                # No condition of this space names a parameter that has conditions itself.
                active = all(design[parent] in values for parent, values in p.conditions)
                design[p.name] = _suggested(trial, p) if active else p.default
            result = alone.evaluator.evaluate(design)
            if result.key in tried:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                continue
            feasible = result.status is Status.OK
            trial.set_constraint("feasible", -1.0 if feasible else 1.0)
            study.tell(trial, result.reward)
            if feasible:
                tried.add(result.key)

    return partial(agent.run, env), bare


def _tpe_plain(samples: int, seed: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return a search by the agent, and one by optuna that knows values of parameters only."""
    from archgym_py.agents.bayesian import Bayesian

    env = _free_env(samples)
    agent = Bayesian(env.space, seed=seed, sampler="tpe", batch_size=1)
    alone = _free_env()

    def bare() -> None:
        study = _tpe_study(agent)
        for _ in range(samples):
            trial = study.ask()
            design = {p.name: _suggested(trial, p) for p in alone.space.parameters}
            study.tell(trial, alone.evaluator.evaluate(design).reward)

    return partial(agent.run, env), bare


def _tpe_study(agent: Bayesian) -> optuna.Study:
    """Make a study with the sampler of an agent."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction="maximize", sampler=agent._sampler(optuna, agent._seed))


def _suggested(trial: optuna.Trial, parameter: Parameter) -> Value:
    """Return the value that optuna suggests for a parameter of the memory controller."""
    if isinstance(parameter, Choice):
        return cast(Value, trial.suggest_categorical(parameter.name, parameter.values))
    count = cast(int, parameter.cardinality)
    return parameter.value_at(trial.suggest_int(parameter.name, 0, count - 1))


def _ppo(samples: int, seed: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return two searches with proximal policy optimisation: by the agent, and by SB3 alone."""
    from archgym_py.agents.ppo import PPO

    # The last of the samples ends the agent's run before the update that it would be part of.
    env = _free_env(samples + 1)
    agent = PPO(env.space, seed=seed)
    alone = _free_env()

    def bare() -> None:
        import stable_baselines3
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        width = agent.config["width"]
        model = stable_baselines3.PPO(
            "MlpPolicy",
            alone.view(sequential=False, action="multidiscrete"),
            learning_rate=cast(float, agent.config["learning_rate"]),
            policy_kwargs={"net_arch": [width, width]},
            gamma=1.0,
            seed=agent._seed,
            device="cpu",
            **agent._arguments(samples, 1),
        )
        model.learn(samples)
        torch.set_num_threads(threads)

    return partial(agent.run, env), bare
