"""Configurations: strict to read, equal when read back."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import archgym_py.configs
from archgym_py.config import RunConfig, canonical_json, load_yaml, parse_settings, plain
from archgym_py.errors import ConfigError

RUNS = Path(archgym_py.configs.__file__).parent / "runs"

# Text that a YAML file can hold at all, and words that readers of YAML like to misread.
WORDS = st.sampled_from(
    ["", "1e5", "no", "on", "Yes", "010", "1:30", "0x1F", "null", "~", "2020-01-01", "1_000", "<<"]
) | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8)
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS,
    lambda items: st.lists(items, max_size=3) | st.dictionaries(WORDS, items, max_size=3),
    max_leaves=6,
)


def make(**changes: Any) -> RunConfig:
    return RunConfig(**{"env": "ArchGym/Toy-v0", "agent": "genetic", "budget": 10, **changes})


def write(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@given(
    env_kwargs=st.dictionaries(WORDS, PLAIN, max_size=3),
    seed=st.integers(0, 2**63 - 1),
    agent=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1),
)
def test_yaml_round_trip(env_kwargs: dict[str, Any], seed: int, agent: str) -> None:
    config = make(env_kwargs=env_kwargs, seed=seed, agent=agent, out="some where")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.yaml")
        config.to_yaml(path)
        again = RunConfig.from_yaml(path)
    assert again == config
    assert canonical_json(again.to_mapping()) == canonical_json(config.to_mapping())  # 1 is not 1.0
    assert again.run_id == config.run_id


@given(value=PLAIN)
def test_other_readers_of_yaml_agree(value: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.yaml")
        make(env_kwargs={"value": value}).to_yaml(path)
        assert yaml.safe_load(path.read_text(encoding="utf-8"))["env_kwargs"]["value"] == value


def test_only_three_keys_are_needed(tmp_path: Path) -> None:
    path = write(tmp_path, "env: ArchGym/Toy-v0\nagent: genetic\nbudget: 10\n")
    assert RunConfig.from_yaml(path) == make(seed=0, out="runs")


def test_yaml_traps_are_removed(tmp_path: Path) -> None:
    path = write(
        tmp_path, "[1e5, -1.5E-3, no, on, 010, 1:30, 0x1F, 1_000, 2020-01-01, true, ~, .5, 7, <<]"
    )
    assert load_yaml(path) == [
        *[1e5, -1.5e-3, "no", "on", "010", "1:30", "0x1F", "1_000", "2020-01-01", True, None, 0.5],
        *[7, "<<"],
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "env: a\nagent: b\nbudgt: 1\n",
            r"run.yaml, line 3: unknown key 'budgt'. Did you mean 'budget'?",
        ),
        (
            "env: a\nagent: b\nbudget: 1\nbudget: 2\n",
            "line 4: key 'budget' was given before, in line 3",
        ),
        ("env: a\nagent: b\n", "the key 'budget' is missing"),
        (
            "env: a\nagent: b\nbudget: ten\n",
            "line 3: budget must be an integer of at least 1, got 'ten'",
        ),
        ("env: a\nagent: b\nbudget: 1.0\n", "line 3: budget must be an integer"),
        ("env: a\nagent: b\nbudget: true\n", "line 3: budget must be an integer"),
        ("env: a\nagent: b\nbudget: 0\n", "at least 1, got 0"),
        (
            "env: a\nagent: b\nbudget: 1\nseed: -1\n",
            "line 4: seed must be an integer of at least 0",
        ),
        (
            "env: a\nagent: b\nbudget: 1\nseed: 9223372036854775808\n",
            "seed must be at most 2**63 - 1",
        ),
        ("env: 1\nagent: b\nbudget: 1\n", "line 1: env must be a name, got 1"),
        ("env: a\nagent: b\nbudget: 1\nenv_kwargs: [1]\n", "line 4: env_kwargs must be a mapping"),
        (
            "env: a\nagent: b\nbudget: 1\nenv_kwargs: {x: .nan}\n",
            "env_kwargs.x: nan is not a finite",
        ),
        ("env: a\nagent: b\nbudget: 1\nenv_kwargs: {1: x}\n", "key 1 is not a string"),
        (
            "env: a\nagent: b\nbudget: 1\nenv_kwargs: {x: {a: 1, a: 2}}\n",
            "key 'a' was given before",
        ),
        ("env: a\nagent: b\nbudget: 1\nout: 5\n", "line 4: out must be a folder, got 5"),
        ("env: [\n", "line 2: not valid YAML"),
        ("env: !!python/name:os.system\n", "not valid YAML"),
        ("env: \x07\n", "not valid YAML"),
        ("env: !!int x\n", "not valid YAML"),
        ("env: !!timestamp x\n", "not valid YAML"),
        ("env: " + "9" * 5000 + "\n", "not valid YAML"),
        ("- 1\n", "must be a mapping with the keys env, agent and budget"),
        ("", "must be a mapping"),
    ],
)
def test_refusals(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig.from_yaml(write(tmp_path, text))
    assert message in str(caught.value)
    assert "run.yaml" in str(caught.value)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.yaml: cannot be read: No such file"):
        RunConfig.from_yaml(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_bytes(b"env: \xff\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        RunConfig.from_yaml(tmp_path / "bad.yaml")


def test_the_id_stands_for_all_but_the_folder() -> None:
    config = make()
    assert dataclasses.replace(config, out=Path("elsewhere")).run_id == config.run_id
    others = [
        make(seed=1),
        make(budget=11),
        make(env_kwargs={"a": 1}),
        make(agent_kwargs={"a": 1}),
        make(agent="other"),
        make(env="other"),
    ]
    assert len({config.run_id, *(other.run_id for other in others)}) == 7
    assert make(env_kwargs={"a": 1, "b": 2}).run_id == make(env_kwargs={"b": 2, "a": 1}).run_id


def test_a_config_keeps_its_own_copy() -> None:
    kwargs: dict[str, Any] = {"targets": {"a": 1}}
    config = make(env_kwargs=kwargs)
    kwargs["targets"]["a"] = 2
    assert config.env_kwargs == {"targets": {"a": 1}}


def test_only_plain_data() -> None:
    with pytest.raises(ConfigError, match=r"env_kwargs.path\[0\]: .* is a PosixPath"):
        make(env_kwargs={"path": [Path("a.stl")]})
    assert plain([1, (2.5, None)], "x") == [1, [2.5, None]]


def test_settings() -> None:
    assert parse_settings(["a=1", "b=x=y", "c={d: [1, no]}", "e='5'"]) == {
        "a": 1,
        "b": "x=y",
        "c": {"d": [1, "no"]},
        "e": "5",
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["a"], "not of the form key=value"),
        (["a="], "not of the form key=value"),
        (["=1"], "not of the form key=value"),
        (["a=1", "a=2"], "given twice"),
        (["a=[1"], "not valid YAML"),
    ],
)
def test_wrong_settings(settings: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_settings(settings)


@pytest.mark.parametrize("path", sorted(RUNS.glob("*.yaml")), ids=str)
def test_shipped_runs_can_be_read(path: Path) -> None:
    assert RunConfig.from_yaml(path).budget > 0
