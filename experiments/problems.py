"""What experiments search: problems by name, and the options that all experiments have."""

from __future__ import annotations

import argparse
import ast
import functools
import hashlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from archgym_py.agent import Agent
from archgym_py.command_line import count
from archgym_py.config import RunConfig
from archgym_py.cores import cores
from archgym_py.errors import did_you_mean
from archgym_py.outcome import Outcome
from archgym_py.pool import run_all
from archgym_py.registry import AGENTS

__all__ = [
    "Problem",
    "add_agents_option",
    "add_run_options",
    "code_of",
    "names_of",
    "run_seeds",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """An environment with its arguments, under a name.

    Attributes:
        name: The name, for tables.
        env: Gymnasium id of the environment.
        env_kwargs: Its arguments; what is left out takes its default.
    """

    name: str
    env: str
    env_kwargs: Mapping[str, Any]

    def run(
        self, agent: str, agent_kwargs: Mapping[str, Any], *, budget: int, seed: int, out: Path
    ) -> RunConfig:
        """Return a run on the problem.

        Args:
            agent: Name of the agent.
            agent_kwargs: Hyperparameters of the agent; what is left out takes its default.
            budget: Number of samples.
            seed: Seed of the run.
            out: Folder of the experiment.

        Returns:
            A run that is logged apart from those of another code, and has another id than those
            with another default: neither passes for this one.
        """
        made: type[Agent] = AGENTS.load(agent)
        defaults = made.hyperparameters.default()
        return RunConfig(
            env=self.env,
            env_kwargs=self.env_kwargs,
            agent=agent,
            agent_kwargs={**made.example, **defaults, **agent_kwargs},
            budget=budget,
            seed=seed,
            out=out / f"code-{code_of(agent)}",
        )


P = TypeVar("P", bound=Problem)


@functools.cache
def code_of(agent: str) -> str:
    """Return eight digits that change with the code of an agent.

    Args:
        agent: Name of the agent.

    Returns:
        Hexadecimal digits that stand for its module, the modules of agents that this one imports,
        and those of its base classes. Comments, docstrings and layout play no part.
    """
    bases = [base.__module__ for base in AGENTS.load(agent).__mro__]
    waiting = {name for name in bases if name.startswith("archgym_py.")}
    trees: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        tree = _without_docstrings(name)
        trees[name] = ast.dump(tree)
        waiting |= set(_agents_imported_by(tree)) - set(trees)
    return hashlib.sha256(repr(sorted(trees.items())).encode()).hexdigest()[:8]


def _without_docstrings(module: str) -> ast.Module:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:]
    return tree


def _agents_imported_by(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "archgym_py.agents."
        ):
            yield str(node.module)


def names_of(kind: str, known: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    """Return a parser of names separated by commas, for argparse.

    Args:
        kind: What the names stand for.
        known: The names there are.

    Examples:
        >>> names_of("agent", ["genetic", "grid"])("grid,genetic")
        ('grid', 'genetic')
    """
    allowed = tuple(known)

    def parse(text: str) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(text.split(",")))
        for name in names:
            if name not in allowed:
                raise argparse.ArgumentTypeError(
                    f"unknown {kind} {name!r}.{did_you_mean(name, allowed)}"
                )
        return names

    return parse


def add_agents_option(
    parser: argparse.ArgumentParser,
    *,
    default: tuple[str, ...] | None = AGENTS.names(),
    help: str = "default: all",  # noqa: A002  # argparse's word
) -> None:
    """Declare the option that names agents.

    Args:
        parser: The parser of the experiment.
        default: Names if the option is not given.
        help: What the default is.
    """
    parser.add_argument(
        "--agents",
        metavar="A,B",
        type=names_of("agent", AGENTS.names()),
        default=default,
        help=help,
    )


def add_run_options(parser: argparse.ArgumentParser, *, budget: int, seeds: int, out: str) -> None:
    """Declare the options of an experiment that makes many runs.

    Args:
        parser: The parser of the experiment.
        budget: Samples of a run by default.
        seeds: Seeds by default.
        out: Folder of the logs by default.
    """
    parser.add_argument(
        "--budget",
        metavar="N",
        type=count,
        default=budget,
        help="samples of a run (default: %(default)s)",
    )
    parser.add_argument(
        "--seeds",
        metavar="N",
        type=count,
        default=seeds,
        help="runs with different seeds, 0 to N - 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=Path(out),
        help="folder of the logs; runs that it holds are not repeated (default: %(default)s)",
    )
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=count,
        default=cores(),
        help="processes (default: as many as there are cores)",
    )


def run_seeds(
    keys: Sequence[tuple[str, P]], args: argparse.Namespace
) -> list[tuple[str, P, list[Outcome]]]:
    """Run agents with their default hyperparameters on problems, once for each seed.

    Args:
        keys: Pairs of an agent's name and a problem.
        args: The options of `add_run_options`.

    Returns:
        The pairs, each with the outcomes by seed.
    """
    configs = [
        problem.run(agent, {}, budget=args.budget, seed=seed, out=args.out)
        for agent, problem in keys
        for seed in range(args.seeds)
    ]
    outcomes = iter(run_all(configs, jobs=args.jobs))
    return [(*key, [next(outcomes) for _ in range(args.seeds)]) for key in keys]
