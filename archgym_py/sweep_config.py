"""What a sweep is: agents, their hyperparameters, environments and seeds, as frozen dataclasses.

A sweep is written down as YAML. What an entry does not say has a default, but for the names:

```yaml
budget: 300                 # samples of each run
seeds: 5                    # 0 to 4; or a list
envs:
  - env: ArchGym/DRAMController-v0
    kwargs: {technology: DDR3-1600}
    workloads: [cloud-saturating-1k, random-saturating-1k]
    objectives: ["minimize:energy_pj"]
agents:
  - {agent: random_search}                       # its default hyperparameters
  - {agent: genetic, draw: 30}                   # the default ones, and 30 drawn at random
  - agent: ant_colony
    default: false
    kwargs: {elites: 1}                          # the same in all but the default
    grid: {ants: [8, 16], evaporation: [0.1, 0.5]}
    budgets: [4, 8]                              # in place of the sweep's budget:
    budget_per: ants                             # 4 and 8 samples for each ant
```

Every agent meets every environment, workload and objective, with every configuration and every
seed. A hyperparameter that no entry names keeps its default.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib.resources import as_file, files
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from archgym_py.agent import Agent
from archgym_py.checks import check_keys, flag, integer, made, require_type
from archgym_py.config import RunConfig, canonical_json, dump_yaml, identity, load_yaml, plain
from archgym_py.errors import ArchGymError, ConfigError, did_you_mean
from archgym_py.registry import AGENTS
from archgym_py.space import ParameterSpace, Value

__all__ = [
    "SEED_STRIDE",
    "PlannedRun",
    "SweepAgent",
    "SweepConfig",
    "SweepEnv",
    "draw_configs",
    "entries_of",
    "load_preset",
    "problem_name",
    "read_campaign",
    "refuse_another",
]

SEED_STRIDE = 1_000_000
"""Configuration k of an agent, from 0 on, runs with the seeds k * SEED_STRIDE + seed. With equal
seeds many agents begin with equal designs, so that configurations would share their luck."""

_MAX_INTEGER = 2**63 - 1  # logs hold signed 64-bit integers

_T = TypeVar("_T")


def draw_configs(
    space: ParameterSpace,
    number: int,
    rng: np.random.Generator,
    fixed: Mapping[str, Any] = MappingProxyType({}),
) -> list[dict[str, Value]]:
    """Draw hyperparameters that satisfy their constraints.

    Args:
        space: The hyperparameters.
        number: How many configurations are wanted.
        rng: Source of randomness. More configurations begin with the same ones.
        fixed: Hyperparameters that are not drawn, with their values.

    Returns:
        Different configurations in their canonical form, none of them the default; fewer where no
        more are found in 1000 draws for each.

    Raises:
        DesignError: If a hyperparameter that is fixed is unknown, or its value is not legal.
    """
    known = {space.key(space.default())}
    configs: list[dict[str, Value]] = []
    for _ in range(1000 * number):
        if len(configs) == number:
            break
        # What is fixed decides which others are active, and what breaks a constraint.
        config, key, broken = space.resolve({**space.sample(rng), **fixed})
        if key not in known and not broken:
            known.add(key)
            configs.append(config)
    return configs


@dataclass(frozen=True, kw_only=True)
class SweepEnv:
    """An environment with its workloads and objectives.

    Attributes:
        env: Gymnasium id.
        kwargs: Arguments that are the same for all workloads and objectives.
        workloads: Values of the argument `workload`; none leaves it to the environment.
        objectives: Values of the argument `objective`; none leaves it to the environment.

    Raises:
        ConfigError: If a value has the wrong type or is null, or an argument is given twice.
    """

    env: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    workloads: tuple[Any, ...] = ()
    objectives: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        require_type("env", self.env, str)
        object.__setattr__(self, "kwargs", _mapping("kwargs", self.kwargs))
        for axis, argument in (("workloads", "workload"), ("objectives", "objective")):
            values = _distinct(axis, getattr(self, axis))
            if None in values:
                raise ConfigError(
                    f"{axis}: an entry is null. Leave {axis} out to leave them to the environment."
                )
            object.__setattr__(self, axis, values)
            if values and argument in self.kwargs:
                raise ConfigError(f"{argument!r} is in kwargs and in {axis}. Remove one of them.")

    def problems(self) -> Iterator[dict[str, Any]]:
        """Yield the arguments of the environment, for each workload and objective."""
        for workload in self.workloads or (None,):
            for objective in self.objectives or (None,):
                axes = {"workload": workload, "objective": objective}
                given = {name: value for name, value in axes.items() if value is not None}
                yield {**self.kwargs, **given}


@dataclass(frozen=True, kw_only=True)
class SweepAgent:
    """An agent with the configurations that are tried.

    Attributes:
        agent: Name of the agent.
        default: Whether the default hyperparameters are one of the configurations.
        draw: Number of configurations drawn at random, uniformly in the ranges of the
            hyperparameters (in their logarithms where these say so).
        configs: Configurations that are given one by one.
        grid: Values by hyperparameter, all combinations of which are configurations.
        kwargs: Hyperparameters that are the same in all configurations but the default one.
        budgets: Budgets in place of that of the sweep; none leaves it at that.
        budget_per: Hyperparameter by which `budgets` are multiplied; "" for none.
        seeds: Seeds in place of those of the sweep, or their number; None leaves it at those.

    Raises:
        ConfigError: If a value has the wrong type, or if a hyperparameter is unknown or given
            twice. Whether its values are legal is found out by `configurations`.
        UnknownNameError: If there is no such agent.
    """

    agent: str
    default: bool = True
    draw: int = 0
    configs: tuple[Mapping[str, Any], ...] = ()
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    budgets: tuple[int, ...] = ()
    budget_per: str = ""
    seeds: tuple[int, ...] | int | None = None

    def __post_init__(self) -> None:
        require_type("agent", self.agent, str)
        space: ParameterSpace = AGENTS.load(self.agent).hyperparameters
        known = (*space.names, *AGENTS.load(self.agent).options)
        values = {
            "default": flag("default", self.default),
            "draw": integer("draw", self.draw, 0, 1_000_000),
            "configs": tuple(
                _mapping(f"configs[{number}]", config)
                for number, config in enumerate(_list("configs", self.configs))
            ),
            "grid": {
                name: _distinct(f"grid: {name}", choices)
                for name, choices in _mapping("grid", self.grid).items()
            },
            "kwargs": _mapping("kwargs", self.kwargs),
            "budgets": tuple(
                integer("budgets", budget, 1, _MAX_INTEGER)
                for budget in _distinct("budgets", self.budgets)
            ),
            "seeds": None if self.seeds is None else _seeds(self.seeds),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        for name in itertools.chain(self.grid, self.kwargs, *self.configs):
            if name not in known:
                raise ConfigError(
                    f"agent {self.agent!r} has no hyperparameter {name!r}."
                    f"{did_you_mean(name, known)}"
                )
            if name in self.grid and not self.grid[name]:
                raise ConfigError(f"grid: {name} has no values. Give it some, or remove it.")
        for where, names in (("grid", self.grid), *(("configs", given) for given in self.configs)):
            for name in names:
                if name in self.kwargs:
                    raise ConfigError(f"{name!r} is in kwargs and in {where}. Remove one of them.")
        held = [name for name in self.kwargs if name in space.names]
        if held and not (self.configs or self.grid or self.draw):
            raise ConfigError(
                f"kwargs: {held[0]} holds in all configurations but the default one, and there is "
                "no other. Give it under configs, with default: false."
            )
        require_type("budget_per", self.budget_per, str)
        if self.budget_per:
            whole = [entry.name for entry in space.parameters if entry.value_type is int]
            if self.budget_per not in whole:
                raise ConfigError(
                    f"budget_per must be a hyperparameter of {self.agent!r} with whole numbers, "
                    f"got {self.budget_per!r}.{did_you_mean(self.budget_per, whole)}"
                )
            if not self.budgets:
                raise ConfigError(
                    f"budget_per: {self.budget_per} multiplies budgets, and there are none. Name "
                    "some."
                )

    def configurations(self, draw_seed: int) -> list[tuple[str, dict[str, Any]]]:
        """Return the configurations, each with its label: "default", "drawn 3", "grid 12".

        Args:
            draw_seed: Seed of those that are drawn.

        Returns:
            Labels with all hyperparameters and options, without repetition: an equal configuration
            of a later origin is left out.

        Raises:
            ConfigError: If a configuration is not legal, or if there is none.
        """
        made_for: type[Agent] = AGENTS.load(self.agent)
        space = made_for.hyperparameters
        held = {name: value for name, value in self.kwargs.items() if name in space.names}
        named: list[tuple[str, Mapping[str, Any]]] = []
        if self.default:
            # An agent cannot do without its options, which have no default.
            options = {name: value for name, value in self.kwargs.items() if name not in held}
            named.append(("default", options))
        given = ({**self.kwargs, **config} for config in self.configs)
        named += [(f"given {number}", config) for number, config in enumerate(given, 1)]
        if self.grid:
            combinations = itertools.product(*self.grid.values())
            named += [
                (f"grid {number}", {**self.kwargs, **dict(zip(self.grid, chosen, strict=True))})
                for number, chosen in enumerate(combinations, 1)
            ]
        if self.draw:
            # Independent of the other agents, so that adding one changes nothing.
            stream = np.random.SeedSequence(draw_seed, spawn_key=(zlib.crc32(self.agent.encode()),))
            try:
                drawn = draw_configs(space, self.draw, np.random.default_rng(stream), held)
            except ArchGymError as error:
                raise ConfigError(f"agent {self.agent!r}, kwargs: {error}") from None
            named += [
                (f"drawn {number}", {**self.kwargs, **config})
                for number, config in enumerate(drawn, 1)
            ]
        found: dict[str, tuple[str, dict[str, Any]]] = {}
        for label, config in named:
            own = {name: value for name, value in config.items() if name not in made_for.options}
            try:
                full = space.canonical(space.fill_defaults(own))
                broken = space.violations(full)
            except ArchGymError as error:
                raise ConfigError(f"agent {self.agent!r}, {label}: {error}") from None
            if broken:
                raise ConfigError(
                    f"agent {self.agent!r}, {label}: {'; '.join(broken)}, got {full}."
                )
            given_options = {k: v for k, v in config.items() if k in made_for.options}
            complete = {**made_for.example, **given_options, **full}
            found.setdefault(canonical_json(complete), (label, complete))
        if not found:
            raise ConfigError(
                f"agent {self.agent!r} has no configuration. Set default, draw, configs or grid."
            )
        return list(found.values())


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run of a sweep with what sets it apart.

    Attributes:
        problem: Name of the environment with its arguments.
        label: Which of the agent's configurations it is, such as "drawn 3".
        run: The run.
    """

    problem: str
    label: str
    run: RunConfig


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """Many runs: agents x configurations x environments x workloads x objectives x seeds.

    Attributes:
        envs: The environments.
        agents: The agents.
        budget: Samples of each run, but where an agent has budgets of its own.
        seeds: Seeds of the runs; a number N stands for 0 to N - 1. Each configuration of an agent
            has seeds of its own, see `SEED_STRIDE`.
        draw_seed: Seed of the configurations that are drawn.
        out: Folder of the results and logs. It is no part of the sweep's identity.

    Raises:
        ConfigError: If a value has the wrong type or is out of range. Whether hyperparameters are
            legal and all runs differ is found out by `runs`.

    Examples:
        >>> sweep = SweepConfig(
        ...     envs=(SweepEnv(env="ArchGym/Toy-v0"),),
        ...     agents=(SweepAgent(agent="genetic", draw=2),),
        ...     budget=50,
        ...     seeds=3,
        ... )
        >>> runs = sweep.runs()
        >>> len(runs), [run.label for run in runs[::3]]
        (9, ['default', 'drawn 1', 'drawn 2'])
    """

    envs: tuple[SweepEnv, ...]
    agents: tuple[SweepAgent, ...]
    budget: int
    seeds: tuple[int, ...] | int = (0,)
    draw_seed: int = 0
    out: Path = Path("runs/sweep")

    def __post_init__(self) -> None:
        values = {
            "envs": entries_of("envs", self.envs, SweepEnv),
            "agents": entries_of("agents", self.agents, SweepAgent),
            "budget": integer("budget", self.budget, 1, _MAX_INTEGER),
            "seeds": _seeds(self.seeds),
            "draw_seed": integer("draw_seed", self.draw_seed, 0, _MAX_INTEGER),
        }
        require_type("out", self.out, str, Path)
        for name, value in {**values, "out": Path(self.out)}.items():
            object.__setattr__(self, name, value)

    def runs(self) -> list[PlannedRun]:
        """Return all runs.

        Returns:
            The runs, problem by problem, then agent by agent, configuration by configuration,
            budget by budget and seed by seed.

        Raises:
            ConfigError: If a configuration is not legal, or two runs are the same.
        """
        planned: dict[str, PlannedRun] = {}
        seeds = _seeds(self.seeds)
        agents = self._configurations()
        for environment in self.envs:
            for env_kwargs in environment.problems():
                problem = problem_name(environment.env, env_kwargs)
                for entry, configurations in agents:
                    own_seeds = seeds if entry.seeds is None else _seeds(entry.seeds)
                    for number, label, config in configurations:
                        factor = int(config[entry.budget_per]) if entry.budget_per else 1
                        budgets = [budget * factor for budget in entry.budgets] or [self.budget]
                        for budget, seed in itertools.product(budgets, own_seeds):
                            run = RunConfig(
                                env=environment.env,
                                env_kwargs=env_kwargs,
                                agent=entry.agent,
                                agent_kwargs=config,
                                budget=budget,
                                seed=number * SEED_STRIDE + seed,
                                out=self.out / "runs",
                            )
                            if run.run_id in planned:
                                raise ConfigError(
                                    f"two runs are the same: {entry.agent} {label} on {problem}, "
                                    f"seed {seed}. Remove one of the two entries."
                                )
                            planned[run.run_id] = PlannedRun(problem, label, run)
        return list(planned.values())

    def _configurations(self) -> list[tuple[SweepAgent, list[tuple[int, str, dict[str, Any]]]]]:
        """Return the entries with their configurations, each with its number in its agent.

        A label stands for one configuration of an agent: where a later entry of the same agent has
        another one under it, it becomes such as "drawn 3 of entry 2".
        """
        taken: dict[tuple[str, str], dict[str, Any]] = {}
        numbers: dict[str, dict[str, int]] = {}
        entries = []
        for place, entry in enumerate(self.agents, 1):
            labelled = []
            known = numbers.setdefault(entry.agent, {})
            for label, config in entry.configurations(self.draw_seed):
                same = taken.setdefault((entry.agent, label), config) == config
                number = known.setdefault(canonical_json(config), len(known))
                labelled.append((number, label if same else f"{label} of entry {place}", config))
            entries.append((entry, labelled))
        return entries

    def to_mapping(self) -> dict[str, Any]:
        """Return the fields as plain data, ready for YAML or JSON."""
        values: dict[str, Any] = plain({**asdict(self), "out": str(self.out)}, "sweep")
        for entry in values["agents"]:
            if entry["seeds"] is None:
                del entry["seeds"]
        return values

    @property
    def sweep_id(self) -> str:
        """Twelve hexadecimal digits that stand for everything but `out`."""
        return identity(self.to_mapping(), without=("out",))

    @classmethod
    def from_yaml(cls, path: str | Path) -> SweepConfig:
        """Read a sweep from a file.

        Args:
            path: The file.

        Raises:
            ConfigError: If the file cannot be read, or a key is unknown, missing or has a wrong
                value; the message names the file and the entry.
            UnknownNameError: If there is no such agent.
        """
        return read_campaign(
            cls,
            path,
            required=("envs", "agents", "budget"),
            entries={"envs": (SweepEnv, ("env",)), "agents": (SweepAgent, ("agent",))},
        )

    def to_yaml(self, path: str | Path) -> None:
        """Write the sweep to a file from which `from_yaml` reads an equal one.

        Args:
            path: The file; its folder has to exist.

        Raises:
            OSError: If the file cannot be written.
        """
        dump_yaml(path, self.to_mapping())


def load_preset(name: str) -> SweepConfig:
    """Read a sweep that comes with the library.

    Args:
        name: Name of a file of `configs/sweeps`, without its ending.

    Raises:
        ConfigError: If there is none.
    """
    with as_file(files("archgym_py.configs").joinpath("sweeps", f"{name}.yaml")) as path:
        return SweepConfig.from_yaml(path)


def read_campaign(
    kind: type[_T],
    path: str | Path,
    *,
    required: Sequence[str],
    entries: Mapping[str, tuple[type, Sequence[str]]],
) -> _T:
    """Read from a file what many runs have in common.

    Args:
        kind: The dataclass to make of it.
        path: YAML file with the fields of `kind`.
        required: Fields that have to be there.
        entries: The required fields that are lists: the dataclass of an entry, and which of its
            fields have to be there.

    Raises:
        ConfigError: If the file cannot be read, or a key is unknown, missing or has a wrong value;
            the message names the file and the entry.
        UnknownNameError: If there is no such agent.
    """
    content = load_yaml(path)
    check_keys(content, _names(kind), required, str(path))
    values = dict(content)
    for name, (of, needed) in entries.items():
        made_of = []
        for number, entry in enumerate(_list(f"{path}: {name}", values[name]), 1):
            where = f"{path}: {name}, entry {number}"
            check_keys(entry, _names(of), needed, where)
            made_of.append(made(where, of, **entry))
        values[name] = tuple(made_of)
    return made(str(path), kind, **values)


def refuse_another(what: str, *, same: bool, resume: bool, file: Path) -> None:
    """Refuse a folder of other runs, or of these where nobody asked to continue.

    Args:
        what: What the runs make, such as "sweep".
        same: Whether the folder holds these runs.
        resume: Whether to continue them.
        file: What describes the runs of the folder.

    Raises:
        ConfigError: If they are others, or are not to be continued.
    """
    if not same:
        raise ConfigError(
            f"{file.parent}: holds another {what}, or this one before it was changed. Choose "
            f"another folder; the {what} that is there is described in {file.name}."
        )
    if not resume:
        raise ConfigError(
            f"{file.parent}: this {what} was begun already. Continue or read it with --resume, or "
            "choose another folder."
        )


def entries_of(name: str, values: Any, kind: type) -> tuple[Any, ...]:
    """Return the entries of a list that must not be empty.

    Raises:
        ConfigError: If it is empty, no list, or has something else in it.
    """
    entries = _list(name, values)
    if not entries or not all(isinstance(entry, kind) for entry in entries):
        raise ConfigError(f"{name} must be one or more of {kind.__name__}, got {values!r}.")
    return tuple(entries)


def problem_name(env: str, env_kwargs: Mapping[str, Any]) -> str:
    """Name an environment with its arguments, for tables.

    Args:
        env: Gymnasium id.
        env_kwargs: Its arguments.

    Examples:
        >>> problem_name("ArchGym/Toy-v0", {"objective": "minimize:delay_ns", "fail": 1})
        'Toy minimize:delay_ns fail=1'
    """
    rest = dict(env_kwargs)
    name = env.rpartition("/")[2].removesuffix("-v0")
    words = [str(rest.pop(axis)) for axis in ("workload", "objective") if axis in rest]
    return " ".join([name, *words, *(f"{key}={value}" for key, value in rest.items())])


def _names(kind: type) -> list[str]:
    return [entry.name for entry in fields(kind)]


def _list(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{name} must be a list, got {value!r}.")
    return list(value)


def _mapping(name: str, value: Any) -> dict[str, Any]:
    require_type(name, value, Mapping)
    copy: dict[str, Any] = plain(value, name)
    return copy


def _distinct(name: str, values: Any) -> tuple[Any, ...]:
    """Return the values of a list, none of which may occur twice."""
    copy: list[Any] = plain(_list(name, values), name)
    texts = [canonical_json(value) for value in copy]
    for text in texts:
        if texts.count(text) > 1:
            raise ConfigError(f"{name}: {text} occurs twice. Remove one of the two.")
    return tuple(copy)


def _seeds(seeds: Any) -> tuple[int, ...]:
    if isinstance(seeds, list | tuple):
        numbers = tuple(
            integer("seeds", seed, 0, SEED_STRIDE - 1) for seed in _distinct("seeds", seeds)
        )
        if not numbers:
            raise ConfigError("seeds: there is none. Name at least one.")
        return numbers
    return tuple(range(integer("seeds", seeds, 1, SEED_STRIDE)))
