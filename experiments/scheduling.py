"""How fast, and with how much energy, each scheduler completes the jobs of a SoC.

    $ archgym experiment scheduling --train 1200 --readme README.md

Jobs come at several rates, and every scheduler places the same ones: streams with the same seed are
equal, whoever schedules them. Beside the schedulers of the simulator stands a policy that
MaskablePPO learned (`archgym_py.experiments.scheduling_policy`), trained at one rate on streams of
its own, chosen on a validation stream, and measured here on streams that it has not seen.

There are three problems: the five profiles of DS3Gym on their three CPUs, in the clean mode and as
DS3Gym itself runs them, and DS3's six applications on a chip with two kinds of cores and
accelerators. The figures are drawn as the published ones: latency and completed jobs for each
scheduler (SoCRATES, figure 6), and latency against the rate of jobs (DS3).

The result is data, `configs/results/scheduling.json`, and the tables in the README are made of it:
a test holds the two together.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib.util
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, ClassVar, Final

import gymnasium as gym
import numpy as np

import archgym_py
from archgym_py.command_line import count
from archgym_py.envs.soc_scheduler import SoCSchedulerEnv
from archgym_py.errors import ArchGymError, ConfigError, require
from archgym_py.experiments.problems import names_of
from archgym_py.experiments.tables import (
    add_readme_option,
    failure_lines,
    publish,
    require_place,
)
from archgym_py.files import atomic_path
from archgym_py.simulators.soc.arrivals import DS3_MIX, as_arrivals, as_mix
from archgym_py.simulators.soc.platforms import as_platform
from archgym_py.simulators.soc.problem import make_soc
from archgym_py.simulators.soc.settings import Settings
from archgym_py.simulators.soc.simulation import SCHEDULERS, Result, draw_jobs, play
from archgym_py.simulators.soc.state import make_sims
from archgym_py.summary import markdown

if TYPE_CHECKING:
    from archgym_py.experiments.scheduling_policy import LearnedPolicy

__all__ = [
    "LEARNED",
    "PROBLEMS",
    "TABLE",
    "SchedulingExperiment",
    "SchedulingProblem",
    "excess",
    "half_width",
    "job_seed",
    "measure",
    "measure_policy",
    "render",
]

TABLE: Final = "scheduling"
"""Name of the tables in the README."""

LEARNED: Final = "maskable_ppo"
"""Name of the learned policy among the schedulers."""

_BASELINE: Final = "etf"
_METRICS: Final = ("latency_us", "p95_us", "completed", "energy_mj")
_CONFIDENCE: Final = 0.95
_FORMATS: Final = ("png", "svg")
_MODELS: Final = (
    "arrivals",
    "kernel",
    "layout",
    "optimum",
    "problem",
    "settings",
    "simulation",
    "state",
    "static_problem",
    "static_schedule",
)

# SoCRATES, figure 6: mean latency in us and completed jobs, read off the plot (middle of a range).
_PUBLISHED: Final[Mapping[str, tuple[float, float]]] = {
    "SoCRATES": (117.0, 100.0),
    "MET": (125.0, 93.0),
    "DeepSoCS": (133.0, 89.0),
    "HEFT": (136.0, 86.0),
    "SCARL": (177.5, 70.0),
    "random": (180.0, 70.0),
}


@dataclass(frozen=True, slots=True)
class SchedulingProblem:
    """A chip, its applications, and how long they are watched.

    Attributes:
        name: The name, for options and rows.
        title: The name, for tables and figures.
        platform: The chip, in a form of `as_platform`.
        mix: The applications, in a form of `as_mix`; JSON.
        settings: Attributes of `Settings` but the lengths.
        length_us: When a run ends, in us.
        warmup_us: When its statistics begin, in us.
        rates: Mean numbers of jobs per ms that want to enter; the default of `--rates`.
        nominal: The rate of the table, at which a policy is trained.
        learning: What the environment is given for training, beside the above.
    """

    name: str
    title: str
    platform: str
    mix: Any
    settings: Mapping[str, Any]
    length_us: float
    warmup_us: float
    rates: tuple[float, ...]
    nominal: float
    learning: Mapping[str, Any]

    def env_kwargs(self, rate: float) -> dict[str, Any]:
        """Return the arguments of `ArchGym/SoCScheduler-v0` for a run at a rate, in jobs per ms."""
        return {
            **self._load(rate),
            "n_jobs": self.n_jobs(rate),
            "length_us": self.length_us,
            "warmup_us": self.warmup_us,
        }

    def learning_kwargs(self) -> dict[str, Any]:
        """Return the arguments of the environment for training."""
        return {**self._load(self.nominal), "power": False, **self.learning}

    def n_jobs(self, rate: float) -> int:
        """Return more jobs than come in a run: by half, and 200."""
        return math.ceil(1.5 * self.length_us * rate / 1000.0) + 200

    def _load(self, rate: float) -> dict[str, Any]:
        return {
            "platform": self.platform,
            "mix": self.mix,
            "arrivals": _arrivals(rate),
            **self.settings,
        }

    @property
    def has_task_power(self) -> bool:
        """Whether the tasks of the platform have powers of their own, as those of DS3Gym."""
        return any(cluster.task_power_w for cluster in as_platform(self.platform).clusters)


# Three jobs at most and a mean wait of 25 us are SoCRATES's. Its chip has no power model; the
# powers of its tasks are counted instead.
_FIVE: Final = [f"top_{number}" for number in range(1, 6)]
_FIVE_RATES: Final = (5.0, 10.0, 15.0, 20.0, 40.0, 80.0)
PROBLEMS: Final[Mapping[str, SchedulingProblem]] = {
    problem.name: problem
    for problem in (
        SchedulingProblem(
            name="five_profiles",
            title="five profiles",
            platform="ds3gym",
            mix=_FIVE,
            settings={"max_jobs_in_flight": 3, "power": False},
            length_us=50_000.0,
            warmup_us=0.0,
            rates=_FIVE_RATES,
            nominal=40.0,
            learning={"n_jobs": 300},
        ),
        SchedulingProblem(
            name="five_profiles_ds3gym",
            title="five profiles as DS3Gym runs them",
            platform="ds3gym",
            mix=_FIVE,
            settings={
                "max_jobs_in_flight": 3,
                "power": False,
                "compat": "ds3gym",
                "fill_first": True,
            },
            length_us=5_000.0,
            warmup_us=0.0,
            rates=_FIVE_RATES,
            nominal=40.0,
            learning={"n_jobs": 500, "length_us": 5_000.0},
        ),
        SchedulingProblem(
            name="six_applications",
            title="six applications",
            platform="multiple_bal",
            mix=DS3_MIX,
            settings={"max_jobs_in_flight": 12},
            length_us=200_000.0,
            warmup_us=20_000.0,
            rates=(1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 25.0),
            nominal=20.0,
            learning={"n_jobs": 200},
        ),
    )
}
"""The problems by name."""


# --- Statistics ----------------------------------------------------------------------------------


def half_width(values: Sequence[float]) -> float:
    """Return half the width of the 95 % interval of a mean, by Student's t.

    Args:
        values: One for each seed.

    Returns:
        Infinity for a single value, about which nothing is known.

    Examples:
        >>> round(half_width([1.0, 2.0, 3.0]), 3)  # t = 4.303, s = 1, n = 3
        2.484
    """
    if len(values) < 2:
        return math.inf
    quantile = require("scipy.stats", extra="agents").t.ppf(0.5 + _CONFIDENCE / 2, len(values) - 1)
    return float(quantile) * stdev(values) / math.sqrt(len(values))


def excess(values: Sequence[float], base: Sequence[float]) -> list[float]:
    """Return by how many percent values lie above others, seed by seed.

    The streams of a seed are the same, so that what they have in common drops out.

    Examples:
        >>> excess([110.0, 95.0], [100.0, 100.0])
        [10.0, -5.0]
    """
    return [100.0 * (one - other) / other for one, other in zip(values, base, strict=True)]


# --- Tables --------------------------------------------------------------------------------------


def render(study: Mapping[str, Any]) -> str:
    """Make the tables of a study.

    Args:
        study: What `configs/results/scheduling.json` holds.

    Returns:
        Markdown: a table for each problem, the schedulers by their mean latency at its rate.
    """
    blocks = [
        (
            f"Mean latency of jobs in µs over {study['seeds']} streams that no policy was trained "
            "on, ± half of the 95 % interval. *Against ETF*: mean excess over ETF on the same "
            f"streams. `{LEARNED}` was trained at the rate of its table only."
        )
    ]
    for problem in study["problems"]:
        blocks += _problem_blocks(problem, study["runs"])
    for learned in study["policies"]:
        blocks.append(_training_line(learned))
    return "\n\n".join([*blocks, *failure_lines(study)])


def _problem_blocks(problem: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> list[str]:
    found: dict[str, dict[float, Mapping[str, Any]]] = {}
    for row in runs:
        if row["problem"] == problem["name"]:
            found.setdefault(row["scheduler"], {})[row["rate"]] = row
    table_rate = problem["table_rate"]
    others = [rate for rate in problem["rates"] if rate != table_rate]
    base = found.get(_BASELINE)

    def place(scheduler: str) -> tuple[float, str]:
        return fmean(found[scheduler][table_rate]["latency_us"]), scheduler

    rows = []
    for scheduler in sorted(found, key=place):
        row = found[scheduler][table_rate]
        against = "-"
        if base is not None and scheduler != _BASELINE:
            against = _percent(excess(row["latency_us"], base[table_rate]["latency_us"]))
        energy = [
            joule / jobs for joule, jobs in zip(row["energy_mj"], row["completed"], strict=True)
        ]
        rows.append(
            [
                f"`{scheduler}`",
                _mean(row["latency_us"]),
                against,
                _mean(row["completed"]),
                f"{fmean(energy):.3g}",
                *(f"{fmean(found[scheduler][rate]['latency_us']):.1f}" for rate in others),
            ]
        )
    header = [
        "scheduler",
        f"at {table_rate:g} jobs/ms",
        "against ETF",
        "completed jobs",
        "mJ per job",
        *(f"at {rate:g}" for rate in others),
    ]
    name = f"{problem['title'][0].upper()}{problem['title'][1:]}"  # other letters stay as they are
    title = (
        f"**{name}** (`{problem['platform']}`), at most "
        f"{problem['settings']['max_jobs_in_flight']} jobs in flight, "
        f"{problem['length_us'] / 1000:g} ms:"
    )
    return [title, markdown(header, rows)]


def _training_line(learned: Mapping[str, Any]) -> str:
    """Say how a policy was trained, and how far it came on its validation stream."""
    best = min(learned["curve"], key=lambda point: point["validation_us"])
    last = learned["curve"][-1]
    change = excess([best["validation_us"]], [best["etf_us"]])[0]
    return (
        f"The policy of *{learned['title']}* was trained for {last['seconds'] / 60:.1f} minutes "
        f"({last['steps']:,} decisions); the best on the validation stream is that after "
        f"{best['steps']:,}, {change:+.1f} % against ETF there."
    )


def _mean(values: Sequence[float]) -> str:
    half = half_width(values)
    return f"{fmean(values):.1f}" + ("" if math.isinf(half) else f" ± {half:.1f}")


def _percent(values: Sequence[float]) -> str:
    half = half_width(values)
    return f"{fmean(values):+.1f} %" + ("" if math.isinf(half) else f" ± {half:.1f}")


# --- Measurements --------------------------------------------------------------------------------


def job_seed(seed: int) -> int:
    """Return the seed of the first jobs of an environment that is reset with a seed.

    The environment draws it from its own generator. With `draw_jobs` it gives the schedulers of the
    simulator the jobs that a policy gets.
    """
    return int(gym.utils.seeding.np_random(seed)[0].integers(2**31))


def measure(
    problem: SchedulingProblem, scheduler: str, points: Sequence[tuple[float, int]]
) -> Iterator[dict[str, float]]:
    """Measure a scheduler of the simulator.

    Args:
        problem: The problem.
        scheduler: A name of `SCHEDULERS`.
        points: Rates in jobs per ms, each with a seed.

    Yields:
        The metrics of each point: mean latency and its 95th percentile in us, completed jobs and
        energy in mJ.

    Raises:
        ArchGymError: If the scheduler cannot be used, or a run is not what it was to be.
    """
    settings = Settings(
        scheduler=scheduler,
        length_us=problem.length_us,
        warmup_us=problem.warmup_us,
        **problem.settings,
    )
    platform, mix = as_platform(problem.platform), as_mix(problem.mix)
    soc = make_soc(platform, mix.graphs, settings)  # once: a static plan may take long
    most = max(len(graph.tasks) for graph in mix.graphs)
    for rate, seed in points:
        n_jobs = problem.n_jobs(rate)
        jobs = draw_jobs(mix, as_arrivals(_arrivals(rate)), n_jobs=n_jobs, seed=job_seed(seed))
        sim = make_sims(soc, [jobs], rows=n_jobs * most if problem.has_task_power else 0)
        play(soc, sim)
        yield _metrics(Result(platform, mix.graphs, soc, sim), problem)


def measure_policy(
    problem: SchedulingProblem, policy: LearnedPolicy, points: Sequence[tuple[float, int]]
) -> Iterator[dict[str, float]]:
    """Measure a learned policy on the jobs that `measure` gives to schedulers.

    Args:
        problem: The problem, with the spaces of that which the policy was trained for.
        policy: The policy.
        points: Rates in jobs per ms, each with a seed. They are played side by side.

    Yields:
        The metrics of each point, as `measure`.

    Raises:
        ArchGymError: If a run is not what it was to be.
    """
    envs = [
        SoCSchedulerEnv(
            slots=policy.slots, record=problem.has_task_power, **problem.env_kwargs(rate)
        )
        for rate, _ in points
    ]
    observations = np.stack(
        [env.reset(seed=seed)[0] for env, (_, seed) in zip(envs, points, strict=True)]
    )
    live = list(range(len(envs)))
    while live:
        masks = np.stack([envs[index].action_masks() for index in live])
        actions = policy.choose(observations[live], masks)
        ended = set()
        for index, action in zip(live, actions, strict=True):
            observations[index], _, terminated, truncated, _ = envs[index].step(action)
            if terminated or truncated:
                ended.add(index)
        live = [index for index in live if index not in ended]
    for env in envs:
        yield _metrics(env.result(), problem)


def _arrivals(rate: float) -> str:
    return f"poisson:mean_us={1000.0 / rate!r}"


def _metrics(result: Result, problem: SchedulingProblem) -> dict[str, float]:
    """Return the metrics of a run; refuse one that says less than it seems to."""
    n_jobs = result.sim.graphs.shape[1]
    if result.injected == n_jobs:
        raise ConfigError(
            f"all of {n_jobs} jobs entered before {problem.length_us:g} us: towards the end fewer "
            "came than were to. Give it more jobs."
        )
    if not result.completed:
        raise ConfigError(f"no job was completed in {problem.length_us:g} us. Let it run longer.")
    energy_mj = _task_energy_mj(result) if problem.has_task_power else result.energy_j * 1e3
    metrics = {
        "latency_us": result.latency_mean_us,
        "p95_us": result.latency_quantile_us(0.95),
        "completed": float(result.completed),
        "energy_mj": energy_mj,
    }
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise ArchGymError(f"{name} must be a finite number, got {value}.")
    return metrics


def _task_energy_mj(result: Result) -> float:
    """Return the energy of completed tasks in mJ: power in W times duration in us, as in DS3Gym."""
    platform = result.platform
    watts = [platform.clusters[cluster].task_power_w for cluster in platform.pe_cluster]
    micro_joules = (
        watts[row.pe].get(row.task, 0.0) * (row.finish - row.start) for row in result.schedule
    )
    return math.fsum(micro_joules) * 1e-3


class _Rows:
    """The rows that are finished, kept in a file so that none is made twice.

    A row is found by everything that it depends on: the problem with the contents of its platform
    and graphs, the code of the simulator, the scheduler or policy, the rate and the seed.

    Args:
        path: The file, a JSON object on each line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: dict[str, dict[str, float]] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    row = json.loads(line)
                except json.JSONDecodeError:
                    continue  # the line in which a process was killed
                self._rows[row["key"]] = row["metrics"]

    def get(self, key: str) -> dict[str, float] | None:
        """Return the metrics of a row, None if it is not finished."""
        return self._rows.get(key)

    def add(self, key: str, metrics: dict[str, float]) -> None:
        """Keep a row."""
        self._rows[key] = metrics
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "metrics": metrics}, allow_nan=False) + "\n")


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _content(problem: SchedulingProblem) -> str:
    """Return digits that change with what the rows of a problem depend on."""
    folder = importlib.util.find_spec("archgym_py.simulators.soc")
    assert folder is not None
    assert folder.submodule_search_locations is not None
    [place] = folder.submodule_search_locations
    code = [Path(place, f"{name}.py").read_bytes() for name in _MODELS]
    return _digest(
        code,
        as_platform(problem.platform),
        as_mix(problem.mix),
        sorted(problem.settings.items()),
        problem.length_us,
        problem.warmup_us,
    )


# --- The experiment ------------------------------------------------------------------------------


class SchedulingExperiment:
    """`archgym experiment scheduling`."""

    doc: ClassVar[str] = "latency and energy of every scheduler and of a learned policy on a SoC"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.epilog = (
            "examples:\n"
            "  archgym experiment scheduling --schedulers etf,heft_rt,met --seeds 10\n"
            "  archgym experiment scheduling --problems five_profiles --train 1200\n"
            "  archgym experiment scheduling --policy runs/scheduling/policy-five_profiles.zip"
        )
        parser.add_argument(
            "--problems",
            metavar="A,B",
            type=names_of("problem", PROBLEMS),
            default=tuple(PROBLEMS),
            help=f"default: {','.join(PROBLEMS)}",
        )
        parser.add_argument(
            "--schedulers",
            metavar="A,B",
            type=names_of("scheduler", SCHEDULERS),
            default=SCHEDULERS,
            help="default: all",
        )
        parser.add_argument(
            "--rates",
            metavar="A,B",
            type=_rates,
            help="jobs per ms that want to enter (default: those of each problem)",
        )
        parser.add_argument(
            "--seeds",
            metavar="N",
            type=count,
            default=10,
            help="streams of jobs, with seeds 0 to N - 1 (default: %(default)s)",
        )
        parser.add_argument(
            "--policy",
            metavar="FILE",
            type=Path,
            action="append",
            default=[],
            help="a trained policy for the problem that it was trained for; may be repeated",
        )
        parser.add_argument(
            "--train",
            metavar="SECONDS",
            type=_seconds,
            help="train a policy for each problem that --policy has none for, for this long",
        )
        parser.add_argument(
            "--train-steps",
            metavar="N",
            type=count,
            help="end a training after so many decisions, if they are made before",
        )
        parser.add_argument(
            "--train-seed",
            metavar="N",
            type=int,
            default=0,
            help="seed of a training (default: %(default)s)",
        )
        parser.add_argument(
            "--out",
            metavar="DIR",
            type=Path,
            default=Path("runs/scheduling"),
            help="folder of the results; its rows are not repeated (default: %(default)s)",
        )
        parser.add_argument("--no-plots", action="store_true", help="draw no figures")
        add_readme_option(parser, TABLE)

    def run(self, args: argparse.Namespace, write: Callable[[str], object]) -> int:
        """Train, measure all schedulers, and write tables and figures.

        Args:
            args: The options.
            write: Takes a line of the result.

        Returns:
            0, or 1 if a scheduler failed.

        Raises:
            ConfigError: If the page has no place for the tables, a policy cannot be used, or a
                library is missing.
            OSError: If a file cannot be read or written.
        """
        require_place(args.readme, TABLE)
        if not args.no_plots:
            require("matplotlib", extra="report")
        require("scipy.stats", extra="agents")
        args.out.mkdir(parents=True, exist_ok=True)
        problems = [PROBLEMS[name] for name in args.problems]
        policies = _policies(problems, args)
        runs, failures = _measure_all(problems, policies, args)
        study = _study(problems, policies, runs, failures, args)
        _write_csv(study, args.out / f"{TABLE}.csv")
        publish(study, render(study), TABLE, out=args.out, readme=args.readme, write=write)
        if not args.no_plots:
            write(f"figures: {', '.join(map(str, _draw(study, args.out)))}")
        return 1 if failures else 0


def _rates(text: str) -> tuple[float, ...]:
    """Parse rates separated by commas, for argparse.

    Examples:
        >>> _rates("20,2.5")
        (2.5, 20.0)
    """
    try:
        rates = sorted({float(word) for word in text.split(",")})
    except ValueError:
        rates = []
    if not rates or not all(1e-3 <= rate <= 1000.0 for rate in rates):
        raise argparse.ArgumentTypeError(
            f"must be numbers of jobs per ms from 0.001 to 1000 such as 5,10,20, got {text!r}"
        )
    return tuple(rates)


def _seconds(text: str) -> float:
    """Parse a positive number of seconds, for argparse."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.0 < seconds <= 1e6:
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0, got {text!r}")
    return seconds


@dataclass(frozen=True, slots=True)
class _Entrant:
    """A learned policy with the file that it is from."""

    policy: LearnedPolicy
    digest: str


def _policies(
    problems: Sequence[SchedulingProblem], args: argparse.Namespace
) -> dict[str, _Entrant]:
    """Load the policies that are given, train those that are asked for; by problem."""
    if args.train is None and args.train_steps is not None:
        raise ConfigError("--train-steps limits a training; ask for one with --train SECONDS, too.")
    if not args.policy and args.train is None:
        return {}
    require("sb3_contrib", extra="agents")
    from archgym_py.experiments.scheduling_policy import Training, load_policy, train

    found: dict[str, _Entrant] = {}
    names = [problem.name for problem in problems]
    for path in args.policy:
        policy = load_policy(path)
        name = policy.origin["problem"]
        if name not in names or name in found:
            what = "another policy is given for it" if name in found else "it is not measured"
            raise ConfigError(
                f"{path}: is a policy for the problem {name!r}, and {what}. Give one policy for "
                f"each of {', '.join(names)} at most."
            )
        found[name] = _Entrant(policy, hashlib.sha256(path.read_bytes()).hexdigest())
    for problem in problems if args.train is not None else ():
        if problem.name in found:
            continue
        training = Training(seconds=args.train, steps=args.train_steps, seed=args.train_seed)
        path = args.out / f"policy-{problem.name}.zip"
        done = path.with_suffix(".json")  # written when a training has ended
        asked = _digest(problem.learning_kwargs(), training, _content(problem))
        if not (path.exists() and done.exists() and done.read_text() == json.dumps(asked)):
            done.unlink(missing_ok=True)
            with _bar(100, f"training, {problem.title}", "%") as bar:

                def advance(share: float, latency_us: float, bar: Any = bar) -> None:
                    bar.set_postfix_str(f"{latency_us:.1f} us", refresh=False)
                    bar.update(round(100 * share) - bar.n)

                train(problem.name, problem.learning_kwargs(), path, training, progress=advance)
            done.write_text(json.dumps(asked))
        found[problem.name] = _Entrant(
            load_policy(path), hashlib.sha256(path.read_bytes()).hexdigest()
        )
    return found


def _bar(total: int, what: str, unit: str) -> Any:
    from tqdm import tqdm

    return tqdm(
        total=total,
        desc=what,
        unit=unit,
        file=sys.stderr,
        mininterval=0.1 if sys.stderr.isatty() else 10.0,
        dynamic_ncols=True,
    )


def _measure_all(
    problems: Sequence[SchedulingProblem],
    policies: Mapping[str, _Entrant],
    args: argparse.Namespace,
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Measure what is not measured yet.

    Returns:
        A row for each problem, scheduler and rate with the metrics by seed, and what failed.
    """
    rows = _Rows(args.out / "rows.jsonl")
    runs: list[dict[str, Any]] = []
    failures: dict[str, dict[str, Any]] = {}
    work = [
        (problem, scheduler)
        for problem in problems
        for scheduler in (*args.schedulers, *([LEARNED] if problem.name in policies else []))
    ]
    total = sum(len(_rates_of(problem, args)) for problem, _ in work) * args.seeds
    with _bar(total, "measuring", "run") as bar:
        for problem, scheduler in work:
            points = [
                (rate, seed) for rate in _rates_of(problem, args) for seed in range(args.seeds)
            ]
            entrant = policies.get(problem.name)
            by = _digest(entrant.digest) if scheduler == LEARNED and entrant else scheduler
            content = _content(problem)
            keys = {point: _digest(content, by, *point) for point in points}
            missing = [point for point in points if rows.get(keys[point]) is None]
            bar.update(len(points) - len(missing))
            try:
                measured: Iterator[dict[str, float]] = iter(())
                if missing and scheduler == LEARNED and entrant:
                    measured = measure_policy(problem, entrant.policy, missing)
                elif missing:
                    measured = measure(problem, scheduler, missing)
                for point, metrics in zip(missing, measured, strict=True):
                    rows.add(keys[point], metrics)
                    bar.update()
            except ArchGymError as error:
                failed = failures.setdefault(scheduler, {"runs": 0, "messages": []})
                left = [point for point in missing if rows.get(keys[point]) is None]
                failed["runs"] += len(left)
                failed["messages"].append(f"{problem.title}: {error}")
                bar.update(len(left))
                continue
            for rate in _rates_of(problem, args):
                values = [rows.get(keys[rate, seed]) or {} for seed in range(args.seeds)]
                runs.append(
                    {
                        "problem": problem.name,
                        "scheduler": scheduler,
                        "rate": rate,
                        **{
                            metric: [float(f"{value[metric]:.8g}") for value in values]
                            for metric in _METRICS
                        },
                    }
                )
    return runs, failures


def _rates_of(problem: SchedulingProblem, args: argparse.Namespace) -> tuple[float, ...]:
    return problem.rates if args.rates is None else args.rates


def _study(
    problems: Sequence[SchedulingProblem],
    policies: Mapping[str, _Entrant],
    runs: Sequence[Mapping[str, Any]],
    failures: Mapping[str, Any],
    args: argparse.Namespace,
) -> dict[str, Any]:
    """Put together what is kept of the measurements."""
    return {
        "command": args.command_line,
        "seeds": args.seeds,
        "package_version": archgym_py.__version__,
        "problems": [
            {
                "name": problem.name,
                "title": problem.title,
                "platform": problem.platform,
                "mix": problem.mix,
                "settings": dict(problem.settings),
                "length_us": problem.length_us,
                "warmup_us": problem.warmup_us,
                "rates": list(_rates_of(problem, args)),
                "table_rate": min(
                    _rates_of(problem, args), key=lambda rate: abs(rate - problem.nominal)
                ),
            }
            for problem in problems
        ],
        "policies": [
            {
                "problem": problem.name,
                "title": problem.title,
                "sha256": policies[problem.name].digest,
                "env_kwargs": policies[problem.name].policy.origin["env_kwargs"],
                "training": policies[problem.name].policy.origin["training"],
                "curve": policies[problem.name].policy.origin["curve"],
            }
            for problem in problems
            if problem.name in policies
        ],
        "failures": dict(failures),
        "runs": list(runs),
    }


def _write_csv(study: Mapping[str, Any], path: Path) -> None:
    """Write means and half widths of all metrics, a line for each problem, scheduler and rate."""
    header = ["problem", "scheduler", "jobs_per_ms", "seeds"]
    for metric in _METRICS:
        header += [metric, f"{metric}_half_width"]
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for row in study["runs"]:
            cells = [row["problem"], row["scheduler"], row["rate"], study["seeds"]]
            for metric in _METRICS:
                half = half_width(row[metric])
                cells += [fmean(row[metric]), "" if math.isinf(half) else half]
            writer.writerow(cells)


# --- Figures -------------------------------------------------------------------------------------


def _draw(study: Mapping[str, Any], out: Path) -> list[Path]:
    """Draw the figures, each in all formats."""
    from matplotlib.figure import Figure

    figures = {"rates": _draw_rates, "bars": _draw_bars}
    if study["policies"]:
        figures["learning"] = _draw_learning
    paths = []
    for name, draw in figures.items():
        figure = Figure(layout="constrained")
        draw(study, figure)
        for ending in _FORMATS:
            path = out / f"{TABLE}_{name}.{ending}"
            with atomic_path(path) as temporary:
                figure.savefig(temporary, format=ending, dpi=150)
            paths.append(path)
    return paths


def _rows_of(study: Mapping[str, Any], problem: str) -> dict[str, list[Mapping[str, Any]]]:
    """Return the rows of a problem by scheduler."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in study["runs"]:
        if row["problem"] == problem:
            found.setdefault(row["scheduler"], []).append(row)
    return found


def _draw_rates(study: Mapping[str, Any], figure: Any) -> None:
    """Draw latency, completed jobs and energy per job against the rate; bars are intervals."""
    problems = study["problems"]
    figure.set_size_inches(15.0, 4.5 * len(problems))
    for panels, problem in zip(
        figure.subplots(len(problems), 3, squeeze=False), problems, strict=True
    ):
        for number, (scheduler, rows) in enumerate(_rows_of(study, problem["name"]).items()):
            rates = [row["rate"] for row in rows]
            energy = [
                [
                    joule / jobs
                    for joule, jobs in zip(row["energy_mj"], row["completed"], strict=True)
                ]
                for row in rows
            ]
            columns = (
                [row["latency_us"] for row in rows],
                [row["completed"] for row in rows],
                energy,
            )
            for panel, values in zip(panels, columns, strict=True):
                panel.errorbar(
                    rates,
                    [fmean(one) for one in values],
                    yerr=_bars([half_width(one) for one in values]),
                    color="black" if scheduler == LEARNED else f"C{number % 10}",
                    linestyle=("-", "--", ":")[number // 10 % 3],
                    linewidth=2.0 if scheduler in (LEARNED, _BASELINE) else 1.0,
                    capsize=2,
                    label=scheduler,
                )
        for panel, label in zip(
            panels, ("mean latency (us)", "completed jobs", "energy per job (mJ)"), strict=True
        ):
            panel.set_xlabel("injection rate (jobs/ms)")
            panel.set_ylabel(label)
            panel.grid(alpha=0.3)
        panels[0].set_yscale("log")
        panels[1].set_title(problem["title"])
        panels[2].legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1.0, 0.5))


def _draw_bars(study: Mapping[str, Any], figure: Any) -> None:
    """Draw latency and completed jobs of each scheduler at the rate of the table."""
    problems = study["problems"]
    figure.set_size_inches(14.0, 4.5 * len(problems))
    for panels, problem in zip(
        figure.subplots(len(problems), 2, squeeze=False), problems, strict=True
    ):
        rows = [
            row
            for found in _rows_of(study, problem["name"]).values()
            for row in found
            if row["rate"] == problem["table_rate"]
        ]
        rows.sort(key=lambda row: fmean(row["latency_us"]))
        names = [row["scheduler"] for row in rows]
        colours = ["black" if name == LEARNED else "C0" for name in names]
        for place, metric in enumerate(("latency_us", "completed")):
            panel = panels[place]
            panel.bar(
                names,
                [fmean(row[metric]) for row in rows],
                yerr=_bars([half_width(row[metric]) for row in rows]),
                color=colours,
                capsize=2,
            )
            if problem["name"] == "five_profiles_ds3gym":
                panel.bar(
                    [f"{name} (published)" for name in _PUBLISHED],
                    [pair[place] for pair in _PUBLISHED.values()],
                    facecolor="none",
                    edgecolor="C1",
                )
            panel.set_ylabel(("mean latency (us)", "completed jobs")[place])
            panel.tick_params(axis="x", rotation=90, labelsize="small")
            panel.set_title(f"{problem['title']}, {problem['table_rate']:g} jobs/ms")
            panel.grid(axis="y", alpha=0.3)


def _draw_learning(study: Mapping[str, Any], figure: Any) -> None:
    """Draw the mean latency on the validation stream against the time of training."""
    policies = study["policies"]
    figure.set_size_inches(7.0, 3.5 * len(policies))
    for panel, learned in zip(
        figure.subplots(len(policies), 1, squeeze=False)[:, 0], policies, strict=True
    ):
        minutes = [point["seconds"] / 60.0 for point in learned["curve"]]
        panel.plot(minutes, [point["validation_us"] for point in learned["curve"]], label=LEARNED)
        panel.axhline(learned["curve"][0]["etf_us"], color="black", ls="--", lw=1, label="ETF")
        panel.set_title(learned["title"])
        panel.set_xlabel("minutes of training")
        panel.set_ylabel("mean latency, validation (us)")
        panel.legend()
        panel.grid(alpha=0.3)


def _bars(halves: Sequence[float]) -> list[float]:
    """Return half widths for a figure, 0 where a single seed gives none."""
    return [0.0 if math.isinf(half) else half for half in halves]
