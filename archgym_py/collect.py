"""Collections: data of mixed quality, by many agents that share a stated budget of samples.

A model that is fitted on random designs alone knows little of good ones, and one that is fitted on
what a search found knows nothing else. So a collection has members of several qualities, as the
datasets of D4RL (Fu et al. 2020) have, and says for every sample whose it is. It is written down as
YAML; `seeds`, `out`, `hyperparameters` and all of an environment but its id may be left out:

```yaml
name: demo
budget: 1000                # samples on each problem in all
seeds: 2                    # runs that each member makes on a problem
envs:
  - env: ArchGym/DRAMController-v0
    kwargs: {technology: DDR3-1600}
    workloads: [cloud-saturating-1k, random-saturating-1k]    # two problems
members:                    # their shares of the budget add up to 1
  - {quality: random, agent: random_search, share: 0.5}
  - {quality: evolutionary, agent: genetic, share: 0.3}
  - {quality: tuned, agent: genetic, hyperparameters: {population_size: 12}, share: 0.2}
out: runs/demo
```

A quality is any word. Its samples have it in the column `quality` of the log, so that readers can
choose by it. What it claims is measured by a **score**, the normalised one of D4RL (Fu, Kumar,
Nachum, Tucker and Levine, "D4RL: Datasets for Deep Data-Driven Reinforcement Learning",
arXiv:2004.07219, 2020):

    score = 100 * (mean reward at the end - random reward) / (best reward known - random reward)

- The *mean reward at the end* is that of the last quarter of the samples of each run (rounded up),
  over all runs of the member on the problem: what the agent has come to propose.
- The *random reward*, D4RL's random policy, is the mean over all samples of `random_search`.
- The *best reward known* stands for D4RL's expert: the enumerated optimum where `configs/optima`
  has it, else the best reward of the collection.

Rewards are those of feasible samples: a failure has a reward far below all others, which says
nothing about how good a design is; the numbers of feasible samples are told beside. The score is 0
for random designs, 100 for a member that proposes the best design only, and negative for one that
does worse than random. It is missing where one of the three rewards is, or where nothing is better
than random.

>>> import tempfile
>>> config = CollectionConfig(
...     name="demo",
...     envs=(SweepEnv(env="ArchGym/Toy-v0"),),
...     members=(
...         CollectionMember(quality="random", agent="random_search", share=0.75),
...         CollectionMember(quality="evolutionary", agent="genetic", share=0.25),
...     ),
...     budget=400,
...     seeds=2,
...     out=tempfile.mkdtemp(),
... )
>>> [(run.run.quality, run.run.budget) for run in config.runs()]
[('random', 150), ('random', 150), ('evolutionary', 50), ('evolutionary', 50)]
>>> [problem] = collect(config, resume=True, jobs=1, progress=False).problems
>>> problem.samples, [member.samples for member in problem.members]
(400, [300, 100])
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from archgym_py.checks import integer, number, require_type
from archgym_py.command_line import add_campaign_options
from archgym_py.config import RunConfig, canonical_json, dump_yaml, identity, plain
from archgym_py.environment import problem_arguments
from archgym_py.errors import ConfigError, did_you_mean
from archgym_py.files import locked, write_text
from archgym_py.log import PART_PATTERN, RunInfo, read_parts, read_rows
from archgym_py.pool import run_all
from archgym_py.results import Problem, describe_problem
from archgym_py.runner import read_state
from archgym_py.simulator import Status
from archgym_py.summary import align
from archgym_py.sweep import sample_of
from archgym_py.sweep_config import (
    SEED_STRIDE,
    PlannedRun,
    SweepAgent,
    SweepEnv,
    entries_of,
    problem_name,
    read_campaign,
    refuse_another,
)

__all__ = [
    "CONFIG_NAME",
    "EXAMPLES",
    "PRESETS",
    "RESULT_NAME",
    "Collection",
    "CollectionConfig",
    "CollectionMember",
    "MemberSummary",
    "ProblemSummary",
    "add_arguments",
    "collect",
    "command",
    "divide",
    "load_collection",
    "score",
]

CONFIG_NAME = "collection.yaml"
"""File of a collection with its configuration."""

RESULT_NAME = "collection.json"
"""File of a collection with what its runs hold, written when all of them have ended."""

PRESETS = ("arvr", "dnn", "dram", "soc", "systolic", "toy")
"""Collections that come with the library, files of `configs/collections`."""

EXAMPLES = """\
  archgym dataset collect toy
  archgym dataset collect dram --out data/dram --jobs 8
  archgym dataset collect configs/collections/soc.yaml --resume

The form of CONFIG, and the score that is printed, are described in archgym_py/collect.py."""
"""How `archgym dataset collect` is called."""

_RANDOM = "random_search"
_MAX_INTEGER = 2**63 - 1  # logs hold signed 64-bit integers
_SHARES_TOLERANCE = 1e-6  # three times 0.333333 is a whole

_Rewards = npt.NDArray[np.float64]


def divide(total: int, shares: Sequence[float]) -> list[int]:
    """Divide a number of samples by shares, without losing one.

    Each gets its share rounded down; what is left goes, one each, to those that lost most by it,
    the first of equals (the method of the largest remainder).

    Args:
        total: The number, not negative.
        shares: Positive numbers; what counts is their ratio.

    Returns:
        Whole numbers that add up to `total`, each less than 1 away from its share.

    Examples:
        >>> divide(10, [0.5, 0.25, 0.25])
        [5, 3, 2]
    """
    exact = [Fraction(share) for share in shares]
    quotas = [total * share / sum(exact) for share in exact]
    parts = [math.floor(quota) for quota in quotas]
    most_lost = sorted(range(len(parts)), key=lambda place: parts[place] - quotas[place])
    for place in most_lost[: total - sum(parts)]:
        parts[place] += 1
    return parts


def score(final: float | None, random: float | None, best: float | None) -> float | None:
    """Return the normalised score of D4RL, see the top of this module.

    Args:
        final: Mean reward at the end, None where no sample is feasible.
        random: Mean reward of random designs, None where it is not known.
        best: The best reward known, None where there is none.

    Returns:
        The score; None where a reward is missing, or the best is not better than random.

    Examples:
        >>> score(0.5, -1.0, 1.0), score(-2.0, -1.0, 1.0), score(0.5, None, 1.0)
        (75.0, -50.0, None)
    """
    if final is None or random is None or best is None or best <= random:
        return None
    return 100.0 * (final - random) / (best - random)


@dataclass(frozen=True, kw_only=True)
class CollectionMember:
    """An agent that collects a share of the data.

    Attributes:
        quality: A word for how good the agent is, such as "random" or "tuned".
        agent: Name of the agent.
        share: Its share of the samples on each problem, above 0 and at most 1.
        hyperparameters: Of the agent; what is left out takes its default.

    Raises:
        ConfigError: If a value has the wrong type or is out of range, or a hyperparameter is
            unknown or not legal.
        UnknownNameError: If there is no such agent.
    """

    quality: str
    agent: str
    share: float
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("quality", "agent"):
            require_type(name, getattr(self, name), str)
        if not self.quality.strip():
            raise ConfigError("quality is empty. Give a word by which the samples can be chosen.")
        share = number("share", self.share, 0.0, 1.0)
        if share == 0.0:
            raise ConfigError("share must be above 0, got 0. Leave out a member without samples.")
        require_type("hyperparameters", self.hyperparameters, Mapping)
        object.__setattr__(self, "share", share)
        object.__setattr__(self, "hyperparameters", plain(self.hyperparameters, "hyperparameters"))
        self.complete()

    def complete(self) -> dict[str, Any]:
        """Return all hyperparameters, the defaults included."""
        entry = SweepAgent(agent=self.agent, default=False, configs=(self.hyperparameters,))
        [(_, hyperparameters)] = entry.configurations(draw_seed=0)
        return hyperparameters


@dataclass(frozen=True, kw_only=True)
class CollectionConfig:
    """Who collects how many samples on which problems.

    A problem is an environment with its arguments. Each member makes `seeds` runs on each problem,
    which divide its share of the budget; all samples together are the budget, exactly.

    Attributes:
        name: Name of the collection.
        envs: The environments, with their workloads and objectives.
        members: The agents.
        budget: Samples on each problem in all.
        seeds: Runs that each member makes on a problem. Every run has a seed of its own, so that no
            two begin with the same designs.
        out: Folder of the logs. It is no part of the collection's identity.

    Raises:
        ConfigError: If a value has the wrong type or is out of range, if two problems or two
            members are the same, if the shares do not add up to 1, or if the budget is so small
            that a run has no sample.
    """

    name: str
    envs: tuple[SweepEnv, ...]
    members: tuple[CollectionMember, ...]
    budget: int
    seeds: int = 1
    out: Path = Path("runs/collection")

    def __post_init__(self) -> None:
        require_type("name", self.name, str)
        require_type("out", self.out, str, Path)
        if not self.name.strip() or not str(self.out):
            raise ConfigError("name and out must not be empty.")
        values = {
            "envs": entries_of("envs", self.envs, SweepEnv),
            "members": entries_of("members", self.members, CollectionMember),
            "budget": integer("budget", self.budget, 1, _MAX_INTEGER),
            "seeds": integer("seeds", self.seeds, 1, SEED_STRIDE),
            "out": Path(self.out),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        _refuse_twice("envs", [(env, canonical_json(kwargs)) for env, kwargs in self.problems()])
        _refuse_twice(
            "members", [(entry.agent, canonical_json(entry.complete())) for entry in self.members]
        )
        total = math.fsum(member.share for member in self.members)
        if abs(total - 1.0) > _SHARES_TOLERANCE:
            raise ConfigError(f"members: their shares must add up to 1, got {total:.6g}.")
        for place, budgets in enumerate(self.budgets(), 1):
            if not budgets[-1]:
                raise ConfigError(
                    f"members, entry {place}: its {sum(budgets)} of {self.budget} samples are too "
                    f"few for {self.seeds} runs. Raise budget or share, or lower seeds."
                )

    def problems(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the problems: ids of environments with their arguments."""
        return [(entry.env, kwargs) for entry in self.envs for kwargs in entry.problems()]

    def budgets(self) -> list[list[int]]:
        """Return the samples of the runs on a problem, seed by seed for each member."""
        parts = divide(self.budget, [member.share for member in self.members])
        return [divide(part, [1.0] * self.seeds) for part in parts]

    def runs(self) -> list[PlannedRun]:
        """Return all runs, problem by problem, member by member and seed by seed."""
        planned = []
        complete = [member.complete() for member in self.members]
        budgets = self.budgets()
        for place, (env, env_kwargs) in enumerate(self.problems()):
            for who, member in enumerate(self.members):
                first_seed = (place * len(self.members) + who) * SEED_STRIDE
                for seed, budget in enumerate(budgets[who]):
                    run = RunConfig(
                        env=env,
                        env_kwargs=env_kwargs,
                        agent=member.agent,
                        agent_kwargs=complete[who],
                        budget=budget,
                        seed=first_seed + seed,
                        quality=member.quality,
                        out=self.out,
                    )
                    planned.append(PlannedRun(problem_name(env, env_kwargs), member.quality, run))
        return planned

    def to_mapping(self) -> dict[str, Any]:
        """Return the fields as plain data, ready for YAML or JSON."""
        values: dict[str, Any] = plain({**asdict(self), "out": str(self.out)}, "collection")
        return values

    @property
    def collection_id(self) -> str:
        """Twelve hexadecimal digits that stand for everything but `out`."""
        return identity(self.to_mapping(), without=("out",))

    @classmethod
    def from_yaml(cls, path: str | Path) -> CollectionConfig:
        """Read a collection from a file.

        Args:
            path: The file.

        Raises:
            ConfigError: If the file cannot be read, or a key is unknown, missing or has a wrong
                value; the message names the file and the entry, or the line.
            UnknownNameError: If there is no such agent.
        """
        return read_campaign(
            cls,
            path,
            required=("name", "envs", "members", "budget"),
            entries={
                "envs": (SweepEnv, ("env",)),
                "members": (CollectionMember, ("quality", "agent", "share")),
            },
        )

    def to_yaml(self, path: str | Path) -> None:
        """Write the collection to a file from which `from_yaml` reads an equal one.

        Args:
            path: The file; its folder has to exist.

        Raises:
            OSError: If the file cannot be written.
        """
        dump_yaml(path, self.to_mapping())


@dataclass(frozen=True, slots=True)
class MemberSummary:
    """What a member has collected on a problem.

    Attributes:
        quality: The word for how good it is.
        agent: Its agent.
        hyperparameters: All hyperparameters of the agent.
        runs: Number of runs that hold samples.
        samples: Number of samples.
        feasible: How many of them have a feasible design.
        unique: Number of different designs among the samples.
        best_reward: The best reward, None where no sample is feasible, as with those below.
        mean_reward: The mean reward of all samples.
        final_reward: The mean reward of the last quarter of each run.
        score: The normalised score, 0 for random and 100 for the best; None where it is undefined.
    """

    quality: str
    agent: str
    hyperparameters: Mapping[str, Any]
    runs: int
    samples: int
    feasible: int
    unique: int
    best_reward: float | None
    mean_reward: float | None
    final_reward: float | None
    score: float | None


@dataclass(frozen=True, slots=True)
class ProblemSummary:
    """What was collected on a problem.

    Attributes:
        name: Name of the environment with its arguments.
        env_id: Gymnasium id of the environment.
        env_kwargs: Its arguments.
        simulator: Name and version of its simulator.
        samples: Number of samples.
        feasible: How many of them have a feasible design.
        unique: Number of different designs among the samples.
        random_reward: Mean reward of random designs; None where there are none.
        best_reward: The best reward known; None where no design is feasible.
        best_source: Where that is from: the name of a file of `configs/optima`, or "collection".
        members: The members, in the order of the configuration.
    """

    name: str
    env_id: str
    env_kwargs: Mapping[str, Any]
    simulator: str
    samples: int
    feasible: int
    unique: int
    random_reward: float | None
    best_reward: float | None
    best_source: str
    members: tuple[MemberSummary, ...]


@dataclass(frozen=True, slots=True)
class Collection:
    """What a collection holds.

    Attributes:
        config: The collection.
        planned: Number of runs of the whole collection.
        finished: How many of them have all their samples.
        failures: What went wrong, a line for each run that failed in the last call.
        unique: Number of different designs. A design counts once for each set of arguments on which
            its metrics depend: those of two objectives are the same.
        problems: What was collected, problem by problem.
    """

    config: CollectionConfig
    planned: int
    finished: int
    failures: tuple[str, ...]
    unique: int
    problems: tuple[ProblemSummary, ...]

    @property
    def samples(self) -> int:
        """Number of samples."""
        return sum(problem.samples for problem in self.problems)

    def to_mapping(self) -> dict[str, Any]:
        """Return everything but the folder as plain data, ready for JSON."""
        config = self.config.to_mapping()
        del config["out"]  # the folder that holds the file, wherever that is moved
        return {
            "collection_id": self.config.collection_id,
            "config": config,
            "planned": self.planned,
            "finished": self.finished,
            "failures": list(self.failures),
            "samples": self.samples,
            "unique": self.unique,
            "problems": [asdict(problem) for problem in self.problems],
        }

    def text(self) -> str:
        """Return a table for each problem, and what there is in all."""
        blocks = [_table(problem) for problem in self.problems]
        failed = f", {len(self.failures):,} failed" if self.failures else ""
        blocks.append(
            f"{self.config.name}: {self.finished:,} of {self.planned:,} runs finished{failed}, "
            f"{self.samples:,} samples, {self.unique:,} different designs "
            f"({_percent(self.unique, self.samples)}).\nRewards are those of feasible samples; "
            "scores: 0 is random search, 100 the best design known."
        )
        blocks += [f"failed: {failure}" for failure in self.failures]
        return "\n\n".join(blocks)


def load_collection(name: str) -> CollectionConfig:
    """Read a collection from a file, or one that comes with the library.

    Args:
        name: Path of a YAML file, or one of `PRESETS`. A file goes before a preset.

    Raises:
        ConfigError: If there is neither, or the file cannot be read.

    Examples:
        >>> load_collection("dram").budget
        6000
        >>> load_collection("darm")
        Traceback (most recent call last):
        archgym_py.errors.ConfigError: 'darm' is neither a file nor a preset. Did you mean 'dram'?
    """
    if Path(name).is_file():
        return CollectionConfig.from_yaml(name)
    if name not in PRESETS:
        raise ConfigError(f"{name!r} is neither a file nor a preset.{did_you_mean(name, PRESETS)}")
    with as_file(files("archgym_py.configs").joinpath("collections", f"{name}.yaml")) as path:
        return CollectionConfig.from_yaml(path)


def collect(
    config: CollectionConfig,
    *,
    resume: bool = False,
    jobs: int | None = None,
    share: float = 1.0,
    max_failures: int | None = None,
    progress: bool = True,
) -> Collection:
    """Make all runs of a collection that are not finished yet.

    Every run is logged like any other, in the folder of the collection. When this is interrupted or
    killed, the same call with `resume` goes on to the samples of an unbroken one. A run that fails
    is told in the result, and tried again by the next call.

    Args:
        config: The collection.
        resume: Whether to continue a collection that was begun; one that was not starts.
        jobs: Number of worker processes; None for as many as there are cores.
        share: Part of the runs to make, chosen at random but always the same: a larger share
            holds all runs of a smaller one.
        max_failures: Failed runs that are tolerated; None for any number.
        progress: Whether to show a progress bar on stderr.

    Returns:
        What the folder holds now, which is written to `RESULT_NAME` there.

    Raises:
        ConfigError: If the folder holds this collection already and `resume` is false, or something
            else; if another process is at it; if an environment does not take its arguments; or if
            the share is out of range.
        UnknownNameError: If there is no such environment.
        PoolError: If more than `max_failures` runs failed, or if Ray does not work.
        DatasetError: If a log cannot be read.
        OSError: If a file cannot be written.
    """
    everything = config.runs()
    chosen = sample_of(everything, share)
    described = [describe_problem(*problem) for problem in config.problems()]
    folder = config.out
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, "this collection"):
        saved = folder / CONFIG_NAME
        if saved.exists():
            earlier = CollectionConfig.from_yaml(saved)
            refuse_another(
                "collection",
                same=earlier.collection_id == config.collection_id,
                resume=resume,
                file=saved,
            )
        logs = _logs(folder)
        _check_logs(logs, config, everything, described)
        config.to_yaml(saved)
        todo = [run.run for run in chosen if not _is_finished(run.run, logs)]
        result = folder / RESULT_NAME
        if todo:
            result.unlink(missing_ok=True)  # it would not be true any more
        outcomes = run_all(todo, jobs=jobs, max_failures=max_failures, progress=progress)
        failures = tuple(
            f"{run.agent} ({run.quality}) on {problem_name(run.env, run.env_kwargs)}, "
            f"seed {run.seed}: {outcome.error}"
            for run, outcome in zip(todo, outcomes, strict=True)
            if outcome.error
        )
        logs = _logs(folder)
        finished = sum(_is_finished(run.run, logs) for run in everything)
        # The runs are in order: as many for each problem, and of these as many for each member.
        size = len(config.members) * config.seeds
        problems = []
        keys: dict[str, frozenset[str]] = {}
        for place, problem in enumerate(described):
            own = everything[place * size : (place + 1) * size]
            found = _samples(config, own, logs)
            problems.append(_summarise(config, problem, found))
            same = canonical_json([problem.env_id, problem_arguments(problem.env_kwargs)])
            keys[same] = keys.get(same, frozenset()).union(*(samples.keys for samples in found))
        unique = sum(map(len, keys.values()))
        collection = Collection(
            config, len(everything), finished, failures, unique, tuple(problems)
        )
        write_text(result, json.dumps(collection.to_mapping(), indent=1, allow_nan=False) + "\n")
    return collection


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `archgym dataset collect`.

    Args:
        parser: The parser of the command.
    """
    parser.add_argument(
        "config",
        metavar="CONFIG",
        help=f"YAML file of the collection, or the name of a preset: {', '.join(PRESETS)}",
    )
    add_campaign_options(parser, "collection")


def command(args: argparse.Namespace, write: Callable[[str], object]) -> int:
    """Do what `archgym dataset collect` is asked for.

    Args:
        args: The arguments.
        write: Takes the lines of the result.

    Returns:
        The exit code: 1 if a run has failed.

    Raises:
        ArchGymError: As `collect` and `load_collection`.
        OSError: If a file cannot be written.
    """
    config = load_collection(args.config)
    if args.out is not None:
        config = replace(config, out=args.out)
    collection = collect(
        config,
        resume=args.resume,
        jobs=args.jobs,
        share=args.share,
        max_failures=args.max_failures,
    )
    write(f"{collection.text()}\n\nsamples: {config.out}; {config.out / RESULT_NAME} has the table")
    return 1 if collection.failures else 0


@dataclass(frozen=True, slots=True)
class _Log:
    """A run of the folder: what it is, how long it is and where it lies."""

    info: RunInfo
    rows: int
    folder: Path


def _logs(folder: Path) -> dict[str, _Log]:
    """Return the runs of a folder that hold samples, by their ids."""
    # Run by run: the columns of two environments need not fit each other.
    logs = {}
    for run_dir in sorted({path.parent for path in folder.rglob(PART_PATTERN)}):
        parts = read_parts(run_dir)
        info = parts[0].info
        logs[info.run_id] = _Log(info, sum(part.rows for part in parts), run_dir)
    return logs


def _is_finished(run: RunConfig, logs: Mapping[str, _Log]) -> bool:
    """Return whether a run has all its samples, and its log is in order."""
    log = logs.get(run.run_id)
    if log is None or log.rows < run.budget:
        return False
    state = read_state(log.folder)
    return state is not None and state.state == "finished"


def _check_logs(
    logs: Mapping[str, _Log],
    config: CollectionConfig,
    everything: Sequence[PlannedRun],
    described: Sequence[Problem],
) -> None:
    """Refuse to add to runs that are not of this collection, or of another simulator."""
    size = len(config.members) * config.seeds
    simulators = {
        run.run.run_id: described[place // size].simulator for place, run in enumerate(everything)
    }
    for run_id, log in logs.items():
        if run_id not in simulators:
            raise ConfigError(
                f"{log.folder}: is a run that this collection does not have. Choose a folder "
                f"other than {config.out}."
            )
        before, now = f"{log.info.simulator} {log.info.simulator_version}", simulators[run_id]
        if before != now:
            raise ConfigError(
                f"{log.folder}: was begun with the simulator {before!r}, which is {now!r} now. "
                "Install the version that began the collection, or choose another folder."
            )


@dataclass(frozen=True, slots=True)
class _Samples:
    """Samples of one run or of many on a problem."""

    runs: int
    rows: int
    keys: frozenset[str]
    rewards: _Rewards  # of the feasible ones
    final: _Rewards  # of those in the last quarter of their run

    @classmethod
    def read(cls, log: _Log) -> _Samples:
        keys: set[str] = set()
        rewards, final = [], []
        begins = log.rows - math.ceil(log.rows / 4)
        for part in read_parts(log.folder):
            table = read_rows(part).select(["index", "key", "status", "reward"])
            keys.update(map(str, table.column("key").to_pylist()))
            status = np.array(table.column("status").to_pylist())
            feasible = status == Status.OK.value
            reward = table.column("reward").to_numpy()
            late = table.column("index").to_numpy() >= begins
            rewards.append(reward[feasible])
            final.append(reward[feasible & late])
        return cls(1, log.rows, frozenset(keys), np.concatenate(rewards), np.concatenate(final))

    @classmethod
    def join(cls, several: Iterable[_Samples]) -> _Samples:
        whole = cls(0, 0, frozenset(), np.empty(0), np.empty(0))
        for samples in several:
            whole = cls(
                whole.runs + samples.runs,
                whole.rows + samples.rows,
                whole.keys | samples.keys,
                np.concatenate([whole.rewards, samples.rewards]),
                np.concatenate([whole.final, samples.final]),
            )
        return whole


def _samples(
    config: CollectionConfig, runs: Sequence[PlannedRun], logs: Mapping[str, _Log]
) -> list[_Samples]:
    """Read the samples of each member on a problem.

    Args:
        config: The collection.
        runs: The runs on the problem, member by member and seed by seed.
        logs: The runs that hold samples, by their ids.
    """
    ids = [run.run.run_id for run in runs]
    return [
        _Samples.join(
            _Samples.read(logs[run_id])
            for run_id in ids[place * config.seeds : (place + 1) * config.seeds]
            if run_id in logs
        )
        for place in range(len(config.members))
    ]


def _summarise(
    config: CollectionConfig, problem: Problem, by_member: Sequence[_Samples]
) -> ProblemSummary:
    """Summarise what the members have collected on a problem."""
    pairs = list(zip(config.members, by_member, strict=True))
    whole = _Samples.join(by_member)
    random = _mean(
        _Samples.join(samples for member, samples in pairs if member.agent == _RANDOM).rewards
    )
    best, source = _largest(whole.rewards), "collection"
    if problem.optimum is not None:
        best, source = problem.optimum.reward, problem.optimum.source
    members = []
    for member, samples in pairs:
        final = _mean(samples.final)
        members.append(
            MemberSummary(
                quality=member.quality,
                agent=member.agent,
                hyperparameters=member.complete(),
                runs=samples.runs,
                samples=samples.rows,
                feasible=samples.rewards.size,
                unique=len(samples.keys),
                best_reward=_largest(samples.rewards),
                mean_reward=_mean(samples.rewards),
                final_reward=final,
                score=score(final, random, best),
            )
        )
    return ProblemSummary(
        name=problem.name,
        env_id=problem.env_id,
        env_kwargs=problem.env_kwargs,
        simulator=problem.simulator,
        samples=whole.rows,
        feasible=whole.rewards.size,
        unique=len(whole.keys),
        random_reward=random,
        best_reward=best,
        best_source=source,
        members=tuple(members),
    )


def _mean(rewards: _Rewards) -> float | None:
    return float(rewards.mean()) if rewards.size else None


def _largest(rewards: _Rewards) -> float | None:
    return float(rewards.max()) if rewards.size else None


def _table(problem: ProblemSummary) -> str:
    header = ["quality", "agent", "runs", "samples", "feasible", "unique", "best", "mean", "end"]
    rows = [[*header, "score"]]
    for member in problem.members:
        rewards = (member.best_reward, member.mean_reward, member.final_reward)
        rows.append(
            [
                member.quality,
                member.agent,
                f"{member.runs:,}",
                f"{member.samples:,}",
                _percent(member.feasible, member.samples),
                _percent(member.unique, member.samples),
                *("-" if reward is None else f"{reward:.3f}" for reward in rewards),
                "-" if member.score is None else f"{member.score:.1f}",
            ]
        )
    title = (
        f"{problem.name}: {problem.samples:,} samples, "
        f"{_percent(problem.unique, problem.samples)} different designs"
    )
    return f"{title}\n{align(rows)}"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _refuse_twice(name: str, entries: Sequence[tuple[str, str]]) -> None:
    for place, entry in enumerate(entries):
        if entry in entries[:place]:
            raise ConfigError(
                f"{name}: {entry[0]} with {entry[1]} occurs twice. Remove one of the two."
            )
