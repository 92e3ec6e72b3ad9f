"""How good the default hyperparameters of an agent are: they against others, drawn at random.

    $ archgym experiment defaults --agents genetic --configs 20

A configuration is judged by what it finds within the budget, on problems that are not those of the
table of agents, so that the table remains a test. On each problem its *score* is 0 if it finds as
much as random search does in the median, and 1 if all its runs find the best design that any run
has found; the score of a configuration is the mean over the problems.
"""

from __future__ import annotations

import argparse
import json
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import mean, median, stdev
from typing import ClassVar

import numpy as np

import archgym_py
from archgym_py.agent import Agent
from archgym_py.command_line import count
from archgym_py.config import RunConfig, parse_settings
from archgym_py.errors import ConfigError
from archgym_py.experiments.problems import Problem, add_agents_option, add_run_options, names_of
from archgym_py.files import write_text
from archgym_py.outcome import Outcome
from archgym_py.pool import run_all
from archgym_py.registry import AGENTS
from archgym_py.space import ParameterSpace, Value
from archgym_py.sweep_config import draw_configs

__all__ = ["PROBLEMS", "Candidate", "DefaultsExperiment", "Scale", "rank"]

_DRAM = "ArchGym/DRAMController-v0"

PROBLEMS: tuple[Problem, ...] = (
    Problem(
        "ddr4",
        _DRAM,
        {
            "technology": "DDR4-2400",
            "workload": "cloud-saturating-1k-w40",
            "objective": "product:latency_mean_ns*total_time_ns*energy_pj",
        },
    ),
    Problem(
        "lpddr4-tail",
        _DRAM,
        {
            "technology": "LPDDR4-3200",
            "space": "integer",
            "workload": "cloud-medium-1k",
            "objective": "minimize:latency_p99_ns",
        },
    ),
    Problem(
        "lpddr4-time",
        _DRAM,
        {
            "technology": "LPDDR4-3200",
            "space": "integer",
            "workload": "cloud-medium-1k",
            "objective": "minimize:total_time_ns",
        },
    ),
    Problem(
        "ddr3-2rank",
        _DRAM,
        {
            "technology": "DDR3-1600-2rank",
            "space": "extended",
            "workload": "cloud-medium-1k",
            "objective": "product:latency_mean_ns*energy_pj",
        },
    ),
    Problem("toy", "ArchGym/Toy-v0", {}),
)
"""Problems on which random search finds designs much worse than the best; on most others of the
suite it comes so close within 500 samples that nothing is left to tell agents apart."""

_REFERENCE = "random_search"
_REFERENCE_SEEDS = 20


@dataclass(frozen=True, slots=True)
class Scale:
    """What the rewards of a problem are measured by.

    Attributes:
        zero: Median of the best rewards of random search: score 0.
        one: The best reward that any run has found: score 1.
        lowest: The lowest best reward of a run; stands in where a run has found nothing feasible.
    """

    zero: float
    one: float
    lowest: float

    @classmethod
    def of(cls, reference: Sequence[float | None], all_of_them: Sequence[float | None]) -> Scale:
        """Make the scale of a problem.

        Args:
            reference: The best reward of each run of random search.
            all_of_them: The best reward of every run.

        Raises:
            ConfigError: If no run has found anything.
        """
        found = [reward for reward in all_of_them if reward is not None]
        if not found:
            raise ConfigError("no run has found a feasible design. Raise --budget.")
        lowest = min(found)
        zero = median(lowest if reward is None else reward for reward in reference)
        return cls(zero, max(found), lowest)

    def score(self, reward: float | None) -> float:
        """Return the score of a run.

        Args:
            reward: Its best reward, None where it has found nothing feasible.

        Examples:
            >>> Scale(2.0, 4.0, 1.0).score(3.0)
            0.5
            >>> Scale(2.0, 4.0, 1.0).score(None)
            -0.5
        """
        above = (self.lowest if reward is None else reward) - self.zero
        # Where random search finds the best in the median, better is impossible.
        return above / (self.one - self.zero) if self.one > self.zero else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A configuration of an agent and what it achieved.

    Attributes:
        agent: Name of the agent.
        config: All its hyperparameters.
        origin: Where it comes from: "default", "drawn" or "given".
        rewards: Best reward of each run by problem; None where a run found nothing feasible.
        scores: Mean score by problem.
        score: Mean of these.
        error: Standard error of that mean, from the differences between seeds; None with one seed.
        wall_s: Median seconds of a run, None where all were interrupted.
        failures: Messages of runs that failed; a candidate with any has no scores.
        rank: Place among the candidates of the agent, from 1 on; None for one that failed.
    """

    agent: str
    config: Mapping[str, Value]
    origin: str
    rewards: Mapping[str, Sequence[float | None]]
    scores: Mapping[str, float]
    score: float | None
    error: float | None
    wall_s: float | None
    failures: Sequence[str]
    rank: int | None


def rank(
    agent: str,
    configs: Sequence[tuple[str, Mapping[str, Value]]],
    outcomes: Sequence[Mapping[str, Sequence[Outcome]]],
    scales: Mapping[str, Scale],
) -> list[Candidate]:
    """Score configurations and put the best first.

    Args:
        agent: Name of the agent.
        configs: Origin and hyperparameters of each.
        outcomes: The runs of each, by problem.
        scales: The scale of each problem.

    Returns:
        The candidates, those that failed last.
    """
    candidates = []
    for (origin, config), runs in zip(configs, outcomes, strict=True):
        every = [outcome for group in runs.values() for outcome in group]
        failures = sorted({outcome.error for outcome in every if outcome.error})
        rewards = {name: [outcome.reward for outcome in group] for name, group in runs.items()}
        scored = {
            name: [scales[name].score(reward) for reward in group]
            for name, group in rewards.items()
            if not failures
        }
        walls = [outcome.wall_s for outcome in every if outcome.wall_s is not None]
        candidates.append(
            Candidate(
                agent=agent,
                config=config,
                origin=origin,
                rewards=rewards,
                scores={name: mean(group) for name, group in scored.items()},
                score=mean(mean(group) for group in scored.values()) if scored else None,
                error=_standard_error(list(scored.values())),
                wall_s=median(walls) if walls else None,
                failures=failures,
                rank=None,
            )
        )
    candidates.sort(key=lambda c: -math.inf if c.score is None else c.score, reverse=True)
    return [
        replace(candidate, rank=None if candidate.score is None else place)
        for place, candidate in enumerate(candidates, 1)
    ]


def _standard_error(groups: Sequence[Sequence[float]]) -> float | None:
    """Return the standard error of the mean of the groups' means."""
    if not groups or len(groups[0]) < 2:
        return None
    return math.sqrt(sum(stdev(group) ** 2 / len(group) for group in groups)) / len(groups)


class DefaultsExperiment:
    """`archgym experiment defaults`."""

    doc: ClassVar[str] = "the default hyperparameters of agents against others, drawn at random"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.epilog = (
            "examples:\n"
            "  archgym experiment defaults --agents genetic,ant_colony --configs 20\n"
            "  archgym experiment defaults --agents genetic --configs 1 "
            "--try population_size=40,elites=4"
        )
        add_agents_option(
            parser, default=None, help="default: all that have hyperparameters of influence"
        )
        parser.add_argument(
            "--problems",
            metavar="P,Q",
            type=names_of("problem", [problem.name for problem in PROBLEMS]),
            default=tuple(problem.name for problem in PROBLEMS),
            help=f"default: all of {', '.join(problem.name for problem in PROBLEMS)}",
        )
        parser.add_argument(
            "--configs",
            metavar="N",
            type=count,
            default=10,
            help="configurations drawn for each agent (default: %(default)s)",
        )
        parser.add_argument(
            "--draw",
            metavar="SEED",
            type=int,
            default=0,
            help="another seed draws other configurations (default: %(default)s)",
        )
        parser.add_argument(
            "--try",
            dest="tries",
            metavar="KEY=VALUE,...",
            action="append",
            default=[],
            help="also a configuration of your own, for one agent; may be repeated",
        )
        add_run_options(parser, budget=500, seeds=5, out="runs/defaults")

    def run(self, args: argparse.Namespace, write: Callable[[str], object]) -> int:
        """Draw, run, rank.

        Args:
            args: The options.
            write: Takes a line of the result.

        Returns:
            0, or 1 if a run failed.

        Raises:
            ConfigError: If `--draw` is negative, if `--try` is given for several agents or is not
                legal.
        """
        if args.draw < 0:
            raise ConfigError(f"--draw must be at least 0, got {args.draw}.")
        problems = [problem for problem in PROBLEMS if problem.name in args.problems]
        names = args.agents or tuple(name for name in AGENTS.names() if _is_tunable(name))
        if args.tries and len(names) != 1:
            raise ConfigError("--try is for one agent: name it with --agents.")
        configs = {name: _configs(name, args.configs, args.draw, args.tries) for name in names}

        wanted: dict[tuple[str, str, int, int], RunConfig] = {}
        for problem in problems:
            for seed in range(_REFERENCE_SEEDS):
                wanted[problem.name, "", 0, seed] = problem.run(
                    _REFERENCE, {}, budget=args.budget, seed=seed, out=args.out
                )
            for name in names:
                for number, (_, config) in enumerate(configs[name]):
                    for seed in range(args.seeds):
                        wanted[problem.name, name, number, seed] = problem.run(
                            name, config, budget=args.budget, seed=seed, out=args.out
                        )
        # The reference may be among the agents too, and is run once.
        distinct = {config.run_id: config for config in wanted.values()}
        done = dict(zip(distinct, run_all(list(distinct.values()), jobs=args.jobs), strict=True))
        outcomes = {key: done[config.run_id] for key, config in wanted.items()}

        scales = {}
        for problem in problems:
            runs = {key: run for key, run in outcomes.items() if key[0] == problem.name}
            random = [run.reward for key, run in runs.items() if key[1] == ""]
            scales[problem.name] = Scale.of(random, [run.reward for run in runs.values()])
        ranking: list[Candidate] = []
        for name in names:
            grouped = [
                {
                    problem.name: [
                        outcomes[problem.name, name, number, seed] for seed in range(args.seeds)
                    ]
                    for problem in problems
                }
                for number in range(len(configs[name]))
            ]
            candidates = rank(name, configs[name], grouped, scales)
            write(_table(candidates, problems, args))
            ranking += candidates
        args.out.mkdir(parents=True, exist_ok=True)
        path = args.out / "defaults.json"
        write_text(path, _json(ranking, problems, scales, args) + "\n")
        write(f"all rows with exact values: {path}")
        failures = sorted({failure for candidate in ranking for failure in candidate.failures})
        for failure in failures:
            write(f"failed: {failure}")
        return 1 if failures else 0


def _is_tunable(name: str) -> bool:
    """Return whether an agent has hyperparameters that matter and needs nothing else."""
    agent: type[Agent] = AGENTS.load(name)
    return name != _REFERENCE and not agent.options


def _configs(
    name: str, number: int, seed: int, tries: Sequence[str]
) -> list[tuple[str, dict[str, Value]]]:
    """Return the configurations of an agent, each with its origin; the default is the first."""
    space: ParameterSpace = AGENTS.load(name).hyperparameters
    stream = np.random.SeedSequence(seed, spawn_key=(zlib.crc32(name.encode()),))
    configs = [("default", space.default())]
    for text in tries:
        config = space.canonical(space.fill_defaults(parse_settings(text.split(","))))
        if broken := space.violations(config):
            raise ConfigError(f"--try {text}: {'; '.join(broken)}.")
        configs.append(("given", config))
    known = {space.key(config) for _, config in configs}
    if len(known) < len(configs):
        raise ConfigError("--try: a configuration is given twice, or is the default.")
    drawn = draw_configs(space, number, np.random.default_rng(stream))
    return configs + [("drawn", config) for config in drawn if space.key(config) not in known]


def _table(
    candidates: Sequence[Candidate], problems: Sequence[Problem], args: argparse.Namespace
) -> str:
    """Show the ranking of an agent's configurations."""
    names = [problem.name for problem in problems]
    rows = [["rank", "score", "+-", *names, "s/run", "configuration"]]
    for candidate in candidates:
        config = " ".join(f"{key}={_short(value)}" for key, value in candidate.config.items())
        label = "" if candidate.origin == "drawn" else f"{candidate.origin.upper()}: "
        rows.append(
            [
                "-" if candidate.rank is None else str(candidate.rank),
                _number(candidate.score),
                _number(candidate.error),
                *(_number(candidate.scores.get(name)) for name in names),
                _number(candidate.wall_s),
                label + (config or "no hyperparameters"),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.rjust(width) for cell, width in zip(row[:-1], widths, strict=False))
        + f"  {row[-1]}"
        for row in rows
    ]
    title = (
        f"{candidates[0].agent}: {len(candidates)} configurations, {args.seeds} seeds, "
        f"{args.budget} samples"
    )
    note = "score: 0 is the median of random search, 1 the best design that any of these runs found"
    return "\n".join([title, *lines, note, ""])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _short(value: Value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _json(
    ranking: Sequence[Candidate],
    problems: Sequence[Problem],
    scales: Mapping[str, Scale],
    args: argparse.Namespace,
) -> str:
    """Return everything that was found, as JSON."""
    found = {
        "command": args.command_line,
        "package_version": archgym_py.__version__,
        "budget": args.budget,
        "seeds": args.seeds,
        "problems": [
            {**asdict(problem), "scale": asdict(scales[problem.name])} for problem in problems
        ],
        "candidates": [asdict(candidate) for candidate in ranking],
    }
    return json.dumps(found, indent=1, allow_nan=False)
