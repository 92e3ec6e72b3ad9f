import re
from pathlib import Path

import pytest

from archgym_py.errors import ConfigError, UnknownNameError
from archgym_py.registry import AGENTS, EXPERIMENTS, SIMULATORS, Registry


def test_names_are_sorted_and_loaded_on_demand() -> None:
    registry = Registry("thing", {"b": "json:dumps", "a": "no_such_module:Thing"})
    assert registry.names() == ("a", "b")
    assert "a" in registry
    assert "c" not in registry
    assert registry.load("b")([1]) == "[1]"
    with pytest.raises(ImportError, match="no_such_module"):
        registry.load("a")


def test_unknown_names_are_refused_with_a_remedy() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown agent 'genetc'. Did you mean 'genetic'\?"):
        AGENTS.load("genetc")
    known = ", ".join(SIMULATORS.names())
    with pytest.raises(UnknownNameError, match=f"unknown simulator 'x'. Known: {known}"):
        SIMULATORS.load("x")


@pytest.mark.parametrize("target", ["json", "json:", ":dumps", ""])
def test_entries_name_a_module_and_an_attribute(target: str) -> None:
    with pytest.raises(ConfigError, match="'module:Attribute'"):
        Registry("thing", {"x": target})


@pytest.mark.parametrize(
    "registry", [AGENTS, EXPERIMENTS, SIMULATORS], ids=lambda registry: registry.kind
)
def test_every_entry_can_be_loaded(registry: Registry) -> None:
    for name in registry.names():
        assert callable(registry.load(name))


def test_the_readme_names_every_agent() -> None:
    page = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    _, _, rest = page.partition("| family | agents |")
    table, _, _ = rest.partition("\n\n")
    assert sorted(re.findall(r"`(\w+)`", table)) == sorted(AGENTS.names())
