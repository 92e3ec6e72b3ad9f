"""How good proxies are, what data they need, and what a search on one is worth.

    $ archgym experiment proxy_study --readme README.md
    $ archgym experiment proxy_study --problem systolic --models random_forest,linear
    $ archgym experiment proxy_study --problem toy --quick

A proxy is a model of a simulator's metrics, fitted on logged samples (`archgym_py.proxy`). The
study takes one environment with its workloads and asks five questions. All samples are logged by
runs of agents; a design that a model is judged on is never one that it was fitted on, whatever the
agent that proposed it.

**Models.** Each model is fitted on random designs of all workloads, and judged on other random
designs, on each workload after a fit without it and after one with few samples of it, and on a
corner of the space after a fit without that (`archgym_py.proxy_evaluation`). The figures are those
of `archgym_py.proxy_quality`.

**Size.** The error on random designs against the number of samples that a model is fitted on. The
seed draws the samples and seeds the model.

**Diversity.** The same model on equally many samples of one agent's searches, of another's, and of
all agents' mixed in equal parts. It is judged on random designs, and on the tenth of them with the
best rewards. Searches repeat designs; one sample of each counts.

**Gap.** Agents search on the proxy, and the best design that a search found is evaluated by the
simulator. What the proxy promised beyond that is the gap. Beside it stands what the same agent
finds with as many samples of the simulator. A search looks for the errors of its proxy, so the gap
says more than the error on random designs.

**Speed.** Designs per second of the proxies and of the simulator, on one thread, by
`archgym_py.experiments.bench_proxy`.

Some metrics of the environment are modelled. Logs, proxies and the figures of each fit stay in the
folder of the study, so that the same command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from archgym_py.collect import divide
from archgym_py.command_line import count
from archgym_py.config import RunConfig, canonical_json
from archgym_py.cores import cores
from archgym_py.dataset import SampleDataset
from archgym_py.errors import ConfigError, PoolError
from archgym_py.experiments.bench_proxy import measure_speed
from archgym_py.experiments.problems import Problem, names_of
from archgym_py.experiments.tables import (
    add_readme_option,
    failure_lines,
    publish,
    require_place,
)
from archgym_py.files import atomic_path, write_text
from archgym_py.outcome import Outcome
from archgym_py.pool import run_all
from archgym_py.progress import progress_bar
from archgym_py.proxy import Proxy, TrainingSet, fit_proxy, load_proxy, save_proxy
from archgym_py.proxy_evaluation import evaluate_proxy
from archgym_py.proxy_quality import Quality, judge
from archgym_py.registry import AGENTS, PROXIES
from archgym_py.report import check_image
from archgym_py.runner import make_env
from archgym_py.simulator import Evaluation, Status
from archgym_py.summary import markdown
from archgym_py.training import training_set
from archgym_py.versions import library_versions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PRESETS", "TABLE", "Preset", "ProxyStudyExperiment", "Scale", "draw", "render"]

TABLE = "proxy_study"
"""Name of the table in the README, and of its data."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """An environment to study.

    Attributes:
        env: Gymnasium id.
        objective: What searches look for, made of some of the metrics.
        metrics: The metrics that are modelled.
        workloads: Its workloads; empty where the environment has one only.
        kwargs: Other arguments of the environment.
        samples: Random designs that are simulated on each workload.
    """

    env: str
    objective: str
    metrics: tuple[str, ...]
    workloads: tuple[str, ...]
    kwargs: Mapping[str, Any]
    samples: int

    def problems(self, name: str) -> list[Problem]:
        """Return a problem for each workload.

        Args:
            name: Name of the problem of an environment without workloads.
        """
        common = {**self.kwargs, "objective": self.objective}
        if not self.workloads:
            return [Problem(name, self.env, common)]
        return [
            Problem(workload, self.env, {**common, "workload": workload})
            for workload in self.workloads
        ]


PRESETS: Mapping[str, Preset] = {
    "dram": Preset(
        env="ArchGym/DRAMController-v0",
        objective="product:total_time_ns*energy_pj",
        metrics=("total_time_ns", "energy_pj", "average_power_mw"),
        workloads=(
            "stream-saturating-10k-w0",
            "random-saturating-10k-w0",
            "cloud-saturating-10k-w0-s1",
            "cloud-saturating-10k-w0-s2",
        ),
        kwargs={},
        samples=40_000,
    ),
    "systolic": Preset(
        env="ArchGym/SystolicArray-v0",
        objective="product:latency_ms*energy_uj",
        metrics=("latency_ms", "energy_uj", "area_mm2"),
        workloads=("alexnet", "resnet18", "mobilenet_v2", "vgg16"),
        kwargs={},
        samples=40_000,
    ),
    "dnn": Preset(
        env="ArchGym/DNNAccelerator-v0",
        objective="product:latency_ms*energy_uj",
        metrics=("latency_ms", "energy_uj", "area_mm2"),
        workloads=("archgym_alexnet", "archgym_vgg01"),  # those that are mapped quickly
        kwargs={"space": "archgym"},
        samples=10_000,
    ),
    "soc": Preset(
        env="ArchGym/SoCDesign-v0",
        objective="product:latency_mean_us*energy_per_job_uj",
        metrics=("latency_mean_us", "energy_per_job_uj", "power_mw"),
        workloads=(
            "wifi_transmitter",
            "lag_detection",
            "temporal_mitigation",
            "single_carrier_receiver",
        ),
        kwargs={},
        samples=10_000,
    ),
    "arvr": Preset(
        env="ArchGym/ARVRSoC-v0",
        objective="product:latency_ms*energy_uj*area_mm2",
        metrics=("latency_ms", "energy_uj", "area_mm2"),
        workloads=("audio_decoder",),  # each workload has a space of its own
        kwargs={"space": "limited"},
        samples=100_000,
    ),
    "toy": Preset(
        env="ArchGym/Toy-v0",
        objective="product:cost_usd*delay_ns",
        metrics=("cost_usd", "delay_ns"),
        workloads=(),
        kwargs={},
        samples=40_000,
    ),
}
"""The environments that can be studied, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is done.

    Attributes:
        samples: Random designs on each workload; None for the preset's number.
        training: Most samples that the models of the first table are fitted on.
        shots: Few samples of a workload, of which those of the second table see as many or none.
        sizes: Numbers of samples of the second question, ascending.
        diversity: Most samples of a fit of the third question.
        budget: Samples of a search.
        seeds: Searches of each agent on each workload, and fits with different seeds.
        judged: Most samples that a model of the second and third question is judged on.
        designs: Most designs of a batch that is timed.
        repeats: Repeats of the timing.
    """

    samples: int | None
    training: int
    shots: int
    sizes: tuple[int, ...]
    diversity: int
    budget: int
    seeds: int
    judged: int
    designs: int
    repeats: int


FULL = Scale(
    samples=None,
    training=20_000,
    shots=512,
    sizes=(100, 316, 1000, 3162, 10_000, 31_623, 100_000),
    diversity=5000,
    budget=2000,
    seeds=3,
    judged=20_000,
    designs=1000,
    repeats=5,
)
QUICK = Scale(
    samples=400,
    training=200,
    shots=20,
    sizes=(50, 100, 200),
    diversity=40,
    budget=80,
    seeds=2,
    judged=100,
    designs=32,
    repeats=2,
)

_COLLECTORS = (
    "random_search",
    "genetic",
    "local_search",
    "simulated_annealing",
    "ant_colony",
)
"""Agents whose samples a model learns from, alone and mixed."""

_SEARCHERS = ("genetic", "local_search", "random_search")
"""Agents that search on a proxy."""

_MIXED = "mixed"
_RANDOM = "random_search"
_DEFAULT_MODEL = "random_forest"
_SLOW = ("mlp_ensemble",)
"""Models whose fit takes minutes, on few samples as on many: of the numbers of samples they have
every second one, with a single seed."""

_SEED = 0  # of the division into designs to learn from and designs to judge by
_HELD_OUT = 0.2
_BEST_SHARE = 0.1
_RUN = 10_000  # samples of a run of random designs; several can be made at a time
_STRIDE = 1000
"""Seeds of searches on a problem. The next problem has others, as a search at random would propose
the same designs to all workloads."""

_UNIFORM_SEED = 1_000_000
"""Seed of the first run of random designs; searches have smaller ones."""


# --- Samples -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Data:
    """The samples of a study.

    Attributes:
        problems: The problems.
        uniform: Logs of random designs.
        seen: Random designs to learn from, with all metrics.
        unseen: Random designs to judge by, with the metrics that are modelled.
        searches: What became of the searches on the simulator, by agent, problem and seed.
        best_known: The best reward of any sample, by problem.
        versions: What the runs were made with.
    """

    problems: Sequence[Problem]
    uniform: SampleDataset
    seen: TrainingSet
    unseen: TrainingSet
    searches: Mapping[tuple[str, str, int], Outcome]
    best_known: dict[str, float | None]
    versions: Mapping[str, Sequence[str]]


def _collect(
    problems: Sequence[Problem],
    preset: Preset,
    scale: Scale,
    agents: Sequence[str],
    out: Path,
    jobs: int,
) -> _Data:
    """Log random designs and searches on the simulator, and read the random designs."""
    samples = preset.samples if scale.samples is None else scale.samples
    parts = divide(samples, [1.0] * math.ceil(samples / _RUN))
    uniform = [
        # Every run has designs of its own: the workloads share none on purpose.
        problem.run(
            _RANDOM,
            {},
            budget=budget,
            seed=_UNIFORM_SEED + place * len(parts) + number,
            out=out / "uniform",
        )
        for place, problem in enumerate(problems)
        for number, budget in enumerate(parts)
    ]
    keys = [
        (agent, problem, seed)
        for agent in agents
        for problem in problems
        for seed in range(scale.seeds)
    ]
    searches = [
        problem.run(
            agent,
            {},
            budget=scale.budget,
            seed=_STRIDE * problems.index(problem) + seed,
            out=out / "searches",
        )
        for agent, problem, seed in keys
    ]
    outcomes = _run(uniform + searches, jobs)
    logs = SampleDataset(*_folders(outcomes[: len(uniform)]))
    seen, unseen = logs.split([1.0 - _HELD_OUT, _HELD_OUT], seed=_SEED)
    names = [problem.name for problem in problems for _ in parts]
    names += [problem.name for _, problem, _ in keys]
    return _Data(
        problems=problems,
        uniform=logs,
        seen=training_set(seen),
        unseen=training_set(unseen).only(preset.metrics).draw(scale.judged, seed=_SEED),
        searches={
            (agent, problem.name, seed): outcome
            for (agent, problem, seed), outcome in zip(keys, outcomes[len(uniform) :], strict=True)
        },
        best_known={
            problem.name: _largest(
                outcome.reward
                for name, outcome in zip(names, outcomes, strict=True)
                if name == problem.name
            )
            for problem in problems
        },
        versions={
            f"{name}s": sorted({getattr(outcome, name) for outcome in outcomes})
            for name in ("package_version", "git_commit", "simulator_version")
        },
    )


def _run(configs: Sequence[RunConfig], jobs: int) -> list[Outcome]:
    """Make runs that the rest cannot do without."""
    outcomes = run_all(configs, jobs=jobs)
    for outcome in outcomes:
        if outcome.error:
            raise PoolError(
                f"a run of {outcome.config.agent!r} that takes samples for the study failed: "
                f"{outcome.error}"
            )
    return outcomes


def _folders(outcomes: Iterable[Outcome]) -> list[Path]:
    folders = [outcome.folder for outcome in outcomes]
    return [folder for folder in folders if folder is not None]


def _largest(rewards: Iterable[float | None]) -> float | None:
    return max((reward for reward in rewards if reward is not None), default=None)


# --- What is kept of each fit --------------------------------------------------------------------


@functools.cache
def _code() -> str:
    """Return a digest of the code on which figures of fits depend."""
    modules = ("features", "proxy", "proxy_evaluation", "proxy_quality", "surrogate", "training")
    sources = [files("archgym_py") / f"{name}.py" for name in modules]
    sources.append(files("archgym_py.experiments") / "proxy_study.py")
    models = files("archgym_py.simulators.proxies").iterdir()
    sources += sorted((file for file in models if file.name.endswith(".py")), key=_name)
    content = hashlib.sha256()
    for source in sources:
        content.update(source.read_bytes())
    return content.hexdigest()


def _name(file: Traversable) -> str:
    return file.name


def _digest_of(samples: TrainingSet) -> str:
    """Return a digest of all that a model learns from samples."""
    content = hashlib.sha256(canonical_json([list(metric) for metric in samples.metrics]).encode())
    for array in (samples.features, samples.problem, samples.keys, samples.ok, samples.values):
        content.update(np.ascontiguousarray(array).tobytes())
    return content.hexdigest()


class _Shelf:
    """Figures of fits that were made before, by what they depend on.

    Args:
        folder: Where they are kept.
        advance: Called when figures are there.
    """

    def __init__(self, folder: Path, advance: Callable[[], object]) -> None:
        self.folder = folder
        self._advance = advance
        folder.mkdir(parents=True, exist_ok=True)

    def name_of(self, what: Mapping[str, Any]) -> str:
        """Return a name that stands for what figures depend on, and for the code.

        Args:
            what: Plain data.
        """
        return hashlib.sha256(canonical_json([dict(what), _code()]).encode()).hexdigest()[:16]

    def rows(self, what: Mapping[str, Any], make: Callable[[], list[Row]]) -> list[Row]:
        """Return figures, which are made unless they are there.

        Args:
            what: All that they depend on, as plain data.
            make: Makes them.
        """
        path = self.folder / f"{self.name_of(what)}.json"
        if path.exists():
            rows: list[Row] = json.loads(path.read_text(encoding="utf-8"))
        else:
            rows = make()
            write_text(path, json.dumps(rows, allow_nan=False) + "\n")
        self._advance()
        return rows


def _fit(
    samples: TrainingSet, model: str, seed: int, notes: Mapping[str, Any] | None = None
) -> tuple[Proxy, float]:
    """Fit a proxy; return it and the seconds that it took."""
    start = time.perf_counter()
    proxy = fit_proxy(samples, model=model, seed=seed, notes=notes)
    return proxy, time.perf_counter() - start


def _figures(qualities: Iterable[Quality]) -> Row:
    """Return what is kept of the figures of each metric."""
    names = ("rmse_percent", "kendall_tau", "regret_1", "coverage_90")
    return {
        quality.metric: {name: getattr(quality, name) for name in names} for quality in qualities
    }


# --- The questions -------------------------------------------------------------------------------


def _judge_models(
    data: _Data, preset: Preset, models: Sequence[str], scale: Scale, shelf: _Shelf, out: Path
) -> tuple[list[Row], dict[str, Path]]:
    """Fit each model on random designs and judge it on all that was held out.

    Returns:
        The figures, and the file of each model's proxy.
    """
    samples = data.seen.only(preset.metrics).draw(scale.training, seed=_SEED)
    digest = _digest_of(data.seen) + _digest_of(samples)
    rows: list[Row] = []
    paths = {}
    for model in models:
        what = {"part": "models", "model": model, "data": digest, "shots": scale.shots}
        path = out / "proxies" / f"{model}-{shelf.name_of(what)}.safetensors"

        def make(model: str = model, path: Path = path) -> list[Row]:
            proxy, seconds = _fit(samples, model, _SEED, {"holdout": _HELD_OUT})
            save_proxy(proxy, path)
            return [
                {
                    "part": "models",
                    "model": model,
                    "kind": held_out.kind,
                    "what": held_out.what,
                    "samples": held_out.training_samples,
                    "judged": held_out.qualities[0].samples,
                    "fit_s": round(seconds, 3) if held_out.kind == "designs" else None,
                    "figures": _figures(held_out.qualities),
                }
                for held_out in evaluate_proxy(path, data.uniform, shots=scale.shots)
            ]

        rows += shelf.rows(what, make)
        if not path.exists():  # somebody has tidied up: equal samples make an equal proxy
            save_proxy(_fit(samples, model, _SEED, {"holdout": _HELD_OUT})[0], path)
        paths[model] = path
    return rows, paths


def _vary_size(
    data: _Data, preset: Preset, models: Sequence[str], scale: Scale, shelf: _Shelf
) -> list[Row]:
    """Fit each model on more and more random designs."""
    samples = data.seen.only(preset.metrics)
    digest = _digest_of(samples) + _digest_of(data.unseen)
    rows = []
    for model in models:
        for size, seed in _fits(model, scale, len(samples)):

            def make(model: str = model, size: int = size, seed: int = seed) -> list[Row]:
                proxy, seconds = _fit(samples.draw(size, seed=seed), model, seed)
                return [
                    {
                        "part": "size",
                        "model": model,
                        "samples": size,
                        "seed": seed,
                        "fit_s": round(seconds, 3),
                        "figures": _figures(judge(proxy, data.unseen)),
                    }
                ]

            what = {"part": "size", "model": model, "size": size, "seed": seed, "data": digest}
            rows += shelf.rows(what, make)
    return rows


def _fits(model: str, scale: Scale, most: int) -> list[tuple[int, int]]:
    """Return numbers of samples and seeds with which a model is fitted.

    Args:
        model: The model.
        scale: How much is done.
        most: Number of samples that there are.
    """
    sizes = [size for size in scale.sizes if size <= most]
    if model in _SLOW:
        return [(size, 0) for size in sizes[::2]]
    return [(size, seed) for size in sizes for seed in range(scale.seeds)]


def _vary_agents(
    data: _Data, preset: Preset, model: str, agents: Sequence[str], scale: Scale, shelf: _Shelf
) -> list[Row]:
    """Fit a model on equally many samples of one agent, and of all of them."""
    by_agent = {agent: _samples_of(data, preset, agent) for agent in agents}
    size = min(scale.diversity, *map(len, by_agent.values()))
    best = data.unseen.take(_best_rows(data.unseen, data.problems))
    digest = "".join(map(_digest_of, (*by_agent.values(), data.unseen)))
    rows = []
    for source in (*agents, _MIXED):
        for seed in range(scale.seeds):

            def make(source: str = source, seed: int = seed) -> list[Row]:
                drawn = _mix(list(by_agent.values()), size, seed)
                if source in by_agent:
                    drawn = by_agent[source].draw(size, seed=seed)
                proxy, _ = _fit(drawn, model, seed)
                return [
                    {
                        "part": "diversity",
                        "model": model,
                        "source": source,
                        "samples": size,
                        "seed": seed,
                        "on": name,
                        "figures": _figures(judge(proxy, judged)),
                    }
                    for name, judged in (("random", data.unseen), ("best", best))
                ]

            what = {"part": "diversity", "model": model, "source": source, "size": size}
            rows += shelf.rows({**what, "seed": seed, "agents": agents, "data": digest}, make)
    return rows


def _samples_of(data: _Data, preset: Preset, agent: str) -> TrainingSet:
    """Return what an agent has proposed and may be learned from."""
    logs = SampleDataset(
        *_folders(outcome for (name, _, _), outcome in data.searches.items() if name == agent)
    )
    seen, _ = logs.split([1.0 - _HELD_OUT, _HELD_OUT], seed=_SEED)
    return training_set(seen).only(preset.metrics)


def _mix(sets: Sequence[TrainingSet], size: int, seed: int) -> TrainingSet:
    """Draw samples of several sets in turn, no design of a problem twice.

    Args:
        sets: Samples of the same problems, in the same order.
        size: Number of samples.
        seed: Seed of the draw.
    """
    rng = np.random.default_rng(seed)
    drawn = [samples.take(rng.permutation(len(samples))) for samples in sets]
    turn = np.concatenate([np.arange(len(samples)) for samples in drawn])
    whole = TrainingSet.joined(drawn).take(np.argsort(turn, kind="stable"))
    pairs = np.stack([whole.keys, whole.problem.astype(np.uint64)], axis=1)
    _, first = np.unique(pairs, axis=0, return_index=True)
    return whole.take(np.sort(first)[:size])


def _best_rows(samples: TrainingSet, problems: Sequence[Problem]) -> npt.NDArray[np.int64]:
    """Return the samples with the best rewards of each problem."""
    chosen = []
    names = [name for name, _ in samples.metrics]
    for number, problem in enumerate(problems):
        rows = np.flatnonzero((samples.problem == number) & samples.ok)
        env = make_env(problem.env, problem.env_kwargs)
        rewards = [
            env.objective.reward(Evaluation(dict(zip(names, values, strict=True))))
            for values in samples.values[rows].tolist()
        ]
        env.close()
        best = np.argsort(rewards, kind="stable")[::-1][: math.ceil(_BEST_SHARE * len(rows))]
        chosen.append(rows[best])
    return np.sort(np.concatenate(chosen))


def _search_on_proxies(
    data: _Data,
    paths: Mapping[str, Path],
    agents: Sequence[str],
    scale: Scale,
    out: Path,
    jobs: int,
) -> tuple[list[Row], dict[str, Row]]:
    """Search on the proxies, and ask the simulator about what was found.

    Returns:
        A row for each search, and the runs that failed by agent. The best known rewards of the
        data are raised where a search has found something better.
    """
    keys = [
        (model, agent, problem, seed)
        for model in paths
        for agent in agents
        for problem in data.problems
        for seed in range(scale.seeds)
    ]
    configs = []
    for model, agent, problem, seed in keys:
        on_proxy = replace(
            problem, env_kwargs={**problem.env_kwargs, "simulator": f"proxy:{paths[model]}"}
        )
        own_seed = _STRIDE * data.problems.index(problem) + seed
        place = out / "on_proxy"
        configs.append(on_proxy.run(agent, {}, budget=scale.budget, seed=own_seed, out=place))
    outcomes = run_all(configs, jobs=jobs)
    rows: list[Row] = []
    failures: dict[str, Row] = {}
    envs = {problem.name: make_env(problem.env, problem.env_kwargs) for problem in data.problems}
    for (model, agent, problem, seed), outcome in zip(keys, outcomes, strict=True):
        if outcome.error:
            failed = failures.setdefault(agent, {"runs": 0, "messages": []})
            failed["runs"] += 1
            failed["messages"] = sorted({*failed["messages"], outcome.error})
            continue
        true = None
        if outcome.design is not None:
            trial = envs[problem.name].evaluator.evaluate(dict(outcome.design))
            true = trial.reward if trial.status is Status.OK else None
        rows.append(
            {
                "part": "gap",
                "model": model,
                "agent": agent,
                "problem": problem.name,
                "seed": seed,
                "predicted": outcome.reward,
                "true": true,
                "on_simulator": data.searches[agent, problem.name, seed].reward,
            }
        )
        data.best_known[problem.name] = _largest((data.best_known[problem.name], true))
    for env in envs.values():
        env.close()
    return rows, failures


def _time(
    data: _Data, preset: Preset, paths: Mapping[str, Path], training: int, scale: Scale
) -> list[Row]:
    """Time the proxies beside the simulator, and one with all metrics too."""
    proxies = {model: load_proxy(path, data.seen.space) for model, path in paths.items()}
    if _DEFAULT_MODEL in paths and len(data.seen.metrics) > len(preset.metrics):
        everything = fit_proxy(data.seen.draw(training, seed=_SEED), seed=_SEED)
        proxies[f"{_DEFAULT_MODEL}, all metrics"] = everything
    speeds = measure_speed(data.problems, proxies, designs=scale.designs, repeats=scale.repeats)
    return [{"part": "speed", **asdict(speed)} for speed in speeds]


# --- Text ----------------------------------------------------------------------------------------


def render(study: Mapping[str, Any]) -> str:
    """Make the tables of a study.

    Args:
        study: What `proxy_study.json` holds.

    Returns:
        Markdown: a table or more for each question.
    """
    blocks = [
        (
            f"Proxies of `{study['env']}`: workloads "
            f"{', '.join(problem['name'] for problem in study['problems'])}; metrics "
            f"{', '.join(study['metrics'])}. Errors are root mean squares in percent of the mean."
        ),
        *_models_text(study),
        *_size_text(study),
        *_diversity_text(study),
        *_gap_text(study),
        *_speed_text(study),
        *failure_lines(study),
    ]
    return "\n\n".join(blocks)


def _rows(study: Mapping[str, Any], part: str) -> list[Row]:
    return [row for row in study["runs"] if row["part"] == part]


def _values(rows: Iterable[Mapping[str, Any]], metric: str, figure: str) -> list[float]:
    """Return a figure of a metric; rows where it does not exist are left out."""
    values = [row["figures"][metric][figure] for row in rows]
    return [value for value in values if value is not None]


def _mean(row: Mapping[str, Any], figure: str) -> float | None:
    """Return the mean of a figure over the metrics."""
    values = [value for metric in row["figures"] for value in _values([row], metric, figure)]
    return fmean(values) if values else None


def _number(value: float | None, form: str = ".3g") -> str:
    return "-" if value is None else format(value, form)


def _spread(values: Sequence[float], form: str = ".3g") -> str:
    """Return the median of values and their range."""
    if not values:
        return "-"
    middle = format(median(values), form)
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):{form}}–{max(values):{form}})"


def _models_text(study: Mapping[str, Any]) -> Iterator[str]:
    rows = _rows(study, "models")
    metrics = study["metrics"]
    first = [row for row in rows if row["kind"] == "designs"]
    yield (
        f"**Models**, each fitted on {first[0]['samples']:,} random designs over all workloads and "
        f"judged on {first[0]['judged']:,} others: error of each metric, then means over the "
        "metrics of the rank correlation, of the regret of the design that is predicted to be the "
        "best (0 is the best design, 1 a random one) and of the share of true values in the "
        "interval that should hold 90 %; and the time of the fit."
    )
    yield markdown(
        ["model", *metrics, "tau", "regret@1", "in 90 %", "fit"],
        [
            [
                f"`{row['model']}`",
                *(_number(row["figures"][metric]["rmse_percent"]) for metric in metrics),
                _number(_mean(row, "kendall_tau"), ".4f"),
                _number(_mean(row, "regret_1"), ".4f"),
                _number(_mean(row, "coverage_90"), ".1%"),
                f"{row['fit_s']:.1f} s",
            ]
            for row in first
        ],
    )
    models = [row["model"] for row in first]
    elsewhere = {(row["kind"], row["what"]): row for row in rows if row["kind"] != "designs"}
    yield (
        f"The same models fitted without what they are judged on: errors of {', '.join(metrics)}."
    )
    yield markdown(
        ["held out", *(f"`{model}`" for model in models)],
        [
            [
                f"{kind} {what}",
                *(
                    " / ".join(
                        _number(row["figures"][metric]["rmse_percent"]) for metric in metrics
                    )
                    for model in models
                    for row in rows
                    if (row["model"], row["kind"], row["what"]) == (model, kind, what)
                ),
            ]
            for kind, what in elsewhere
        ],
    )


def _size_text(study: Mapping[str, Any]) -> Iterator[str]:
    rows = _rows(study, "size")
    if not rows:
        return
    models = list(dict.fromkeys(row["model"] for row in rows))
    sizes = sorted({row["samples"] for row in rows})
    yield (
        f"**Size**: error after a fit on so many random designs, median (range) of "
        f"{study['seeds']} draws, where a fit takes minutes of a single one."
    )
    for metric in study["metrics"]:
        yield markdown(
            [metric, *(f"`{model}`" for model in models)],
            [
                [
                    f"{size:,}",
                    *(
                        _spread(
                            _values(
                                [r for r in rows if (r["model"], r["samples"]) == (model, size)],
                                metric,
                                "rmse_percent",
                            )
                        )
                        for model in models
                    ),
                ]
                for size in sizes
            ],
        )


def _diversity_text(study: Mapping[str, Any]) -> Iterator[str]:
    rows = _rows(study, "diversity")
    metrics = study["metrics"]
    yield (
        f"**Diversity**: error of `{rows[0]['model']}` after a fit on {rows[0]['samples']:,} "
        f"different designs that one agent, or all of them in equal parts, proposed in searches "
        f"of {study['budget']:,} samples; median (range) of {study['seeds']} draws, on random "
        f"designs and on the best tenth of them."
    )
    sources = list(dict.fromkeys(row["source"] for row in rows))
    yield markdown(
        [
            "samples of",
            *(f"{metric}, random" for metric in metrics),
            *(f"{metric}, best" for metric in metrics),
        ],
        [
            [
                source if source == _MIXED else f"`{source}`",
                *(
                    _spread(
                        _values(
                            [r for r in rows if (r["source"], r["on"]) == (source, on)],
                            metric,
                            "rmse_percent",
                        )
                    )
                    for on in ("random", "best")
                    for metric in metrics
                ),
            ]
            for source in sources
        ],
    )


def _gap_text(study: Mapping[str, Any]) -> Iterator[str]:
    rows = _rows(study, "gap")
    if not rows:
        return
    known = {problem["name"]: problem["best_known"] for problem in study["problems"]}
    yield (
        f"**Gap**: rewards of `{study['objective']}` (0 is the default design, 0.1 about 10 % "
        f"better) of the best design of searches of {study['budget']:,} samples on a proxy: what "
        f"the proxy predicts, what the simulator says, and the difference (range); what the same "
        f"agent finds with as many samples of the simulator; and the best design that is known. "
        f"Means over workloads and {study['seeds']} seeds."
    )
    table = []
    for model in dict.fromkeys(row["model"] for row in rows):
        for agent in dict.fromkeys(row["agent"] for row in rows):
            own = [row for row in rows if (row["model"], row["agent"]) == (model, agent)]
            good = [row for row in own if row["true"] is not None]
            gaps = [row["predicted"] - row["true"] for row in good]
            table.append(
                [
                    f"`{model}`",
                    f"`{agent}`",
                    _mean_of(row["predicted"] for row in good),
                    _mean_of(row["true"] for row in good),
                    f"{fmean(gaps):z.4f} ({min(gaps):z.4f}–{max(gaps):z.4f})" if gaps else "-",
                    _mean_of(row["on_simulator"] for row in own),
                    _mean_of(known[row["problem"]] for row in own),
                    f"{len(own) - len(good)} of {len(own)}",
                ]
            )
    yield markdown(
        ["model", "agent", "predicted", "true", "gap", "on the simulator", "best", "infeasible"],
        table,
    )


def _mean_of(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{fmean(known):z.4f}" if known else "-"


def _speed_text(study: Mapping[str, Any]) -> Iterator[str]:
    rows = _rows(study, "speed")
    yield (
        f"**Speed**: designs per second on one core in batches of {rows[0]['designs']:,}, of the "
        f"simulator ({rows[0]['native']:,.0f}), of a proxy in its place, and of a proxy alone, "
        "which returns arrays."
    )
    yield markdown(
        ["model", "metrics", "in its place", "ratio (range)", "alone", "ratio"],
        [
            [
                row["model"],
                str(row["metrics"]),
                f"{row['proxy']:,.0f}",
                f"{row['ratio']:,.3g} ({row['low']:,.3g}–{row['high']:,.3g})",
                f"{row['predict']:,.0f}",
                f"{row['predict_ratio']:,.3g}",
            ]
            for row in rows
        ],
    )


# --- Image ---------------------------------------------------------------------------------------


def draw(study: Mapping[str, Any], path: Path) -> None:
    """Draw the error of each model against the number of samples, a panel for each metric.

    Args:
        study: What `proxy_study.json` holds.
        path: The image: png, pdf or svg.

    Raises:
        OSError: If the image cannot be written.
    """
    from matplotlib.figure import Figure

    rows = _rows(study, "size")
    metrics = study["metrics"]
    figure = Figure(figsize=(5.0 * len(metrics), 4.2), layout="constrained")
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    for metric, panel in zip(metrics, panels, strict=True):
        _draw_metric(panel, rows, metric)
    panels[0].set_ylabel("RMSE, % of the mean")
    panels[-1].legend(fontsize="small")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix.removeprefix("."), dpi=120)


def _draw_metric(panel: Axes, rows: Sequence[Row], metric: str) -> None:
    for number, model in enumerate(dict.fromkeys(row["model"] for row in rows)):
        own = [row for row in rows if row["model"] == model]
        sizes = sorted({row["samples"] for row in own})
        errors = [
            _values([row for row in own if row["samples"] == size], metric, "rmse_percent")
            for size in sizes
        ]
        colour = f"C{number}"
        panel.plot(sizes, [median(each) for each in errors], "o-", color=colour, label=model)
        lows, highs = [min(each) for each in errors], [max(each) for each in errors]
        panel.fill_between(sizes, lows, highs, color=colour, alpha=0.15, linewidth=0)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.yaxis.set_major_formatter("{x:g}")
    panel.set_xlabel("samples")
    panel.set_title(metric, fontsize="medium")
    panel.grid(alpha=0.3)


# --- The experiment ------------------------------------------------------------------------------


class ProxyStudyExperiment:
    """`archgym experiment proxy_study`."""

    doc: ClassVar[str] = "how good proxies are, what data they need, what a search on one finds"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.epilog = (
            "examples:\n"
            "  archgym experiment proxy_study --plot error.png\n"
            "  archgym experiment proxy_study --problem systolic --models linear,random_forest\n"
            "  archgym experiment proxy_study --problem toy --quick"
        )
        parser.add_argument(
            "--problem",
            choices=tuple(PRESETS),
            default="dram",
            help="environment to study (default: %(default)s)",
        )
        parser.add_argument(
            "--models",
            metavar="A,B",
            type=names_of("model", PROXIES.names()),
            default=PROXIES.names(),
            help="default: all",
        )
        for option, default, text in (
            ("--collectors", _COLLECTORS, "agents whose samples a model learns from"),
            ("--agents", _SEARCHERS, "agents that search on a proxy"),
        ):
            parser.add_argument(
                option,
                metavar="A,B",
                type=names_of("agent", AGENTS.names()),
                default=default,
                help=f"{text} (default: {','.join(default)})",
            )
        parser.add_argument(
            "--quick", action="store_true", help="a hundredth of everything, to try it"
        )
        for option, text, default_text in (
            ("--samples", "random designs on each workload", "the problem's"),
            ("--training", "most samples of a fit that is judged", f"{FULL.training}"),
            ("--shots", "few samples of a workload that a fit may see", f"{FULL.shots}"),
            ("--budget", "samples of a search", f"{FULL.budget}"),
            ("--seeds", "seeds of searches and fits", f"{FULL.seeds}"),
        ):
            parser.add_argument(
                option,
                metavar="N",
                type=count,
                help=f"{text} (default: {default_text}, less with --quick)",
            )
        parser.add_argument(
            "--out",
            metavar="DIR",
            type=Path,
            help="folder of the study; what it holds is not made again (default: "
            "runs/proxy_study/PROBLEM)",
        )
        parser.add_argument(
            "--jobs",
            metavar="N",
            type=count,
            default=cores(),
            help="processes of the searches (default: as many as there are cores)",
        )
        parser.add_argument(
            "--plot", metavar="FILE", type=Path, help="draw the error against the samples"
        )
        add_readme_option(parser, TABLE)

    def run(self, args: argparse.Namespace, write: Callable[[str], object]) -> int:
        """Take samples, fit and judge, and write tables, data and image.

        Args:
            args: The options.
            write: Takes a line of the result.

        Returns:
            0, or 1 if a search on a proxy failed.

        Raises:
            ConfigError: If the page has no place for the tables, an image cannot be drawn, or too
                few samples are asked for.
            PoolError: If samples cannot be taken.
            OSError: If a file cannot be read or written.
        """
        require_place(args.readme, TABLE)
        if args.plot is not None:
            check_image(args.plot)
        preset, scale = PRESETS[args.problem], _scale(args)
        out = Path("runs", TABLE, args.problem) if args.out is None else args.out
        study = _study(args, preset, scale, out)
        publish(study, render(study), TABLE, out=out, readme=args.readme, write=write)
        if args.plot is not None:
            draw(study, args.plot)
            write(f"image: {args.plot}")
        return 1 if study["failures"] else 0


def _scale(args: argparse.Namespace) -> Scale:
    """Return how much is done, as the options say."""
    names = ("samples", "training", "shots", "budget", "seeds")
    given = {name: getattr(args, name) for name in names}
    scale = replace(
        QUICK if args.quick else FULL,
        **{name: value for name, value in given.items() if value is not None},
    )
    if scale.samples is not None and scale.samples < 2 * scale.sizes[0]:
        raise ConfigError(
            f"--samples: a model is fitted on {scale.sizes[0]} samples at least, and others are to "
            f"judge it by. Take {2 * scale.sizes[0]} or more, got {scale.samples}."
        )
    return scale


def _study(args: argparse.Namespace, preset: Preset, scale: Scale, out: Path) -> Row:
    """Answer the questions."""
    problems = preset.problems(args.problem)
    everybody = tuple(dict.fromkeys((*args.collectors, *args.agents)))
    data = _collect(problems, preset, scale, everybody, out, args.jobs)
    model = _DEFAULT_MODEL if _DEFAULT_MODEL in args.models else args.models[0]
    fits = sum(1 + len(_fits(name, scale, len(data.seen))) for name in args.models)
    fits += (len(args.collectors) + 1) * scale.seeds
    with progress_bar(fits, "fit") as bar:
        shelf = _Shelf(out / "figures", bar.update)
        rows, paths = _judge_models(data, preset, args.models, scale, shelf, out)
        rows += _vary_size(data, preset, args.models, scale, shelf)
        rows += _vary_agents(data, preset, model, args.collectors, scale, shelf)
    gaps, failures = _search_on_proxies(data, paths, args.agents, scale, out, args.jobs)
    rows += gaps
    rows += _time(data, preset, paths, scale.training, scale)
    return {
        "command": args.command_line,
        "problem": args.problem,
        "env": preset.env,
        "env_kwargs": dict(preset.kwargs),
        "objective": preset.objective,
        "metrics": list(preset.metrics),
        "problems": [
            {"name": problem.name, "best_known": data.best_known[problem.name]}
            for problem in problems
        ],
        **asdict(scale),
        "uniform_samples": len(data.uniform),
        "different_designs_to_learn_from": len(data.seen),
        **data.versions,
        "libraries": library_versions(),
        "agents": {agent: AGENTS.load(agent).hyperparameters.default() for agent in everybody},
        "models": {name: PROXIES.load(name).hyperparameters.default() for name in args.models},
        "failures": failures,
        "runs": rows,
    }
