"""Problems, the folders of their runs, and the options of experiments."""

from __future__ import annotations

import argparse
import ast
import inspect
from pathlib import Path

import pytest

from archgym_py.agents.random_search import RandomSearch
from archgym_py.command_line import count
from archgym_py.experiments import problems
from archgym_py.experiments.problems import Problem, add_run_options, code_of, names_of
from archgym_py.registry import AGENTS

TOY = Problem("toy", "ArchGym/Toy-v0", {"objective": "minimize:delay_ns"})


def test_a_run_names_all_hyperparameters(tmp_path: Path) -> None:
    config = TOY.run("genetic", {"elites": 3}, budget=7, seed=5, out=tmp_path)
    space = AGENTS.load("genetic").hyperparameters
    assert config.agent_kwargs == {**space.default(), "elites": 3}
    assert (config.env, config.env_kwargs) == (TOY.env, TOY.env_kwargs)
    assert (config.agent, config.budget, config.seed) == ("genetic", 7, 5)
    assert config.out == tmp_path / f"code-{code_of('genetic')}"
    # Naming a default is the same run, another value is another one.
    named = TOY.run(
        "genetic", {"elites": space.default()["elites"]}, budget=7, seed=5, out=tmp_path
    )
    assert named.run_id == TOY.run("genetic", {}, budget=7, seed=5, out=tmp_path).run_id
    assert named.run_id != config.run_id


def test_an_agent_with_options_gets_its_example(tmp_path: Path) -> None:
    config = TOY.run("external", {}, budget=7, seed=0, out=tmp_path)
    assert config.agent_kwargs["command"] == AGENTS.load("external").example["command"]


def test_agents_have_different_codes() -> None:
    codes = {code_of(name) for name in AGENTS.names()}
    assert len(codes) == len(AGENTS.names())


@pytest.mark.parametrize(
    ("old", "new", "is_same"),
    [
        ('"""Uniform random search, ', '"""Random search, ', True),
        ("class RandomSearch", "# A comment.\nclass RandomSearch", True),
        ('        """Return `batch_size` designs."""\n', "", True),
        ("default=64", "default=65", False),
        ("self.rng, count", "self.rng, count + 1", False),
    ],
)
def test_the_code_of_an_agent_is_what_it_does(
    old: str, new: str, is_same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = inspect.getsource(inspect.getmodule(RandomSearch))  # type: ignore[arg-type]
    assert source.count(old) == 1
    before = code_of.__wrapped__("random_search")
    read = Path.read_bytes

    def edited(path: Path) -> bytes:
        text = read(path)
        return text.replace(old.encode(), new.encode()) if path.stem == "random_search" else text

    monkeypatch.setattr(Path, "read_bytes", edited)
    assert (code_of.__wrapped__("random_search") == before) is is_same


def test_the_code_of_an_agent_includes_what_it_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: code_of.__wrapped__(name) for name in ("ppo", "genetic", "nsga2")}
    parse = problems._without_docstrings
    changed = ""

    def parsed(module: str) -> ast.Module:
        tree = parse(module)
        if module == changed:
            tree.body.append(ast.Pass())
        return tree

    def different() -> set[str]:
        return {name for name, code in before.items() if code_of.__wrapped__(name) != code}

    monkeypatch.setattr(problems, "_without_docstrings", parsed)
    assert different() == set()
    changed = "archgym_py.agents.sb3"  # of a base class
    assert different() == {"ppo"}
    changed = "archgym_py.agents.isolation"  # imported by that
    assert different() >= {"ppo", "nsga2"}
    assert "genetic" not in different()
    changed = "archgym_py.agent"
    assert different() == set(before)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "1e3", "many", ""])
def test_a_number_of_things_is_a_whole_one(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="whole number of at least 1"):
        count(text)


def test_names() -> None:
    parse = names_of("agent", ("genetic", "grid"))
    assert parse("grid,genetic,grid") == ("grid", "genetic")
    with pytest.raises(argparse.ArgumentTypeError, match=r"'gird'\. Did you mean 'grid'"):
        parse("genetic,gird")
    with pytest.raises(argparse.ArgumentTypeError, match="unknown agent ''"):
        parse("")


def test_options_of_runs() -> None:
    parser = argparse.ArgumentParser()
    add_run_options(parser, budget=9, seeds=3, out="there")
    args = parser.parse_args([])
    assert (args.budget, args.seeds, args.out) == (9, 3, Path("there"))
    assert args.jobs >= 1
    args = parser.parse_args(["--budget", "4", "--seeds", "2", "--out", "x", "--jobs", "1"])
    assert (args.budget, args.seeds, args.out, args.jobs) == (4, 2, Path("x"), 1)
