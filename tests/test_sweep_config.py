"""Sweeps as written down: every run once, strict to read, equal when read back."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from statistics import correlation
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archgym_py.config import canonical_json
from archgym_py.errors import ConfigError, UnknownNameError
from archgym_py.registry import AGENTS
from archgym_py.space import Choice, Constraint, Integer, ParameterSpace
from archgym_py.sweep_config import (
    SEED_STRIDE,
    SweepAgent,
    SweepConfig,
    SweepEnv,
    draw_configs,
    problem_name,
)

TOY = "ArchGym/Toy-v0"
GENETIC = AGENTS.load("genetic").hyperparameters


def sweep(*agents: SweepAgent, **changes: Any) -> SweepConfig:
    values = {"envs": (SweepEnv(env=TOY),), "agents": agents, "budget": 10, **changes}
    return SweepConfig(**values)


def labelled(agent: str, draw_seed: int = 0, **given: Any) -> dict[str, dict[str, Any]]:
    return dict(SweepAgent(agent=agent, **given).configurations(draw_seed))


def write(folder: Path, text: str) -> Path:
    path = folder / "sweep.yaml"
    path.write_text(text, encoding="utf-8")
    return path


# --- Files ---------------------------------------------------------------------------------------

# Words that readers of YAML like to misread, among others.
WORDS = st.sampled_from(["", "1e5", "no", "on", "010", "1:30", "null", "~", "<<"]) | st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=6
)
PLAIN = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda items: st.lists(items, max_size=3) | st.dictionaries(WORDS, items, max_size=3),
    max_leaves=4,
)
ENVS = st.builds(
    SweepEnv,
    env=WORDS,
    kwargs=st.dictionaries(WORDS.filter(lambda word: word != "workload"), PLAIN, max_size=2),
    workloads=st.lists(WORDS, max_size=3, unique=True),
)
SEEDS = st.lists(st.integers(0, SEED_STRIDE - 1), min_size=1, max_size=3, unique=True)
SWEEPS = st.builds(
    SweepConfig,
    envs=st.lists(ENVS, min_size=1, max_size=2),
    agents=st.lists(
        st.builds(
            SweepAgent,
            agent=st.just("genetic"),
            default=st.booleans(),
            draw=st.integers(1, 5),
            configs=st.lists(st.fixed_dictionaries({"elites": st.integers(0, 9)}), max_size=2),
            grid=st.fixed_dictionaries(
                {}, optional={"mutation_rate": st.lists(st.floats(0, 1), min_size=1, unique=True)}
            ),
            kwargs=st.fixed_dictionaries({}, optional={"crossover": st.just("two_point")}),
            budgets=st.lists(st.integers(1, 2**40), min_size=1, max_size=3, unique=True),
            budget_per=st.sampled_from(["", "population_size"]),
            seeds=st.none() | st.integers(1, 5) | SEEDS,
        ),
        min_size=1,
        max_size=2,
    ),
    budget=st.integers(1, 2**63 - 1),
    seeds=st.integers(1, 5) | SEEDS,
    draw_seed=st.integers(0, 2**63 - 1),
    out=st.just("some where"),
)


@given(config=SWEEPS)
def test_yaml_round_trip(config: SweepConfig) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sweep.yaml")
        config.to_yaml(path)
        again = SweepConfig.from_yaml(path)
    assert again == config
    assert canonical_json(again.to_mapping()) == canonical_json(config.to_mapping())  # 1 is not 1.0
    assert again.sweep_id == config.sweep_id


def test_only_three_keys_are_needed(tmp_path: Path) -> None:
    path = write(tmp_path, f"budget: 10\nenvs: [{{env: {TOY}}}]\nagents: [{{agent: genetic}}]\n")
    config = SweepConfig.from_yaml(path)
    assert config == sweep(SweepAgent(agent="genetic"), seeds=(0,), out="runs/sweep")
    [run] = config.runs()
    assert (run.problem, run.label) == ("Toy", "default")
    assert run.run.agent_kwargs == GENETIC.default()
    assert (run.run.budget, run.run.seed, run.run.out) == (10, 0, Path("runs/sweep/runs"))


HEAD = f"budget: 10\nenvs: [{{env: {TOY}}}]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "budgt: 10\nenvs: []\nagents: []\n",
            "unknown key 'budgt'. Did you mean 'budget'?",
        ),
        (
            f"{HEAD}budget: 11\nagents: [{{agent: genetic}}]\n",
            "line 3: key 'budget' was given before, in line 1",
        ),
        (f"{HEAD}agents: [{{agent: genetic, draw: 1, draw: 2}}]\n", "key 'draw' was given before"),
        (HEAD, "the key 'agents' is missing"),
        ("7", "must be a mapping with the keys envs, agents, budget, got 7"),
        (f"{HEAD}agents: genetic\n", "agents must be a list, got 'genetic'"),
        (f"{HEAD}agents: []\n", r"agents must be one or more of SweepAgent, got ()"),
        (f"{HEAD}agents: [genetic]\n", "agents, entry 1: must be a mapping with the keys agent"),
        (
            f"{HEAD}agents: [{{agent: grid}}, {{draw: 3}}]\n",
            "agents, entry 2: the key 'agent' is missing",
        ),
        (
            f"{HEAD}agents: [{{agent: genetic, drawn: 3}}]\n",
            "agents, entry 1: unknown key 'drawn'. Did you mean 'draw'?",
        ),
        (
            f"{HEAD}agents: [{{agent: grid}}, {{agent: genetic, draw: -1}}]\n",
            "agents, entry 2: draw must be a whole number from 0 to 1000000, got -1",
        ),
        (
            "budget: 10\nagents: [{agent: grid}]\nenvs: [{env: a, workload: b}]\n",
            "envs, entry 1: unknown key 'workload'. Did you mean 'workloads'?",
        ),
        (
            "budget: 10\nagents: [{agent: grid}]\nenvs: [{env: a}, {env: 7}]\n",
            "envs, entry 2: env must be a name, got 7",
        ),
        (
            f"{HEAD}agents: [{{agent: genetic}}]\nseeds: 0\n",
            "seeds must be a whole number from 1 to 1000000, got 0",
        ),
    ],
)
def test_files_are_read_strictly(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        SweepConfig.from_yaml(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        SweepConfig.from_yaml(tmp_path / "none.yaml")


# --- Entries -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"env": 7}, "env must be a name, got 7"),
        ({"kwargs": [1]}, r"kwargs must be a mapping, got \[1\]"),
        ({"kwargs": {"x": float("nan")}}, "kwargs.x: nan is not a finite number"),
        ({"workloads": "cloud"}, "workloads must be a list, got 'cloud'"),
        ({"workloads": ["a", "b", "a"]}, 'workloads: "a" occurs twice'),
        ({"workloads": ["a", None]}, "workloads: an entry is null. Leave workloads out"),
        ({"objectives": [None]}, "objectives: an entry is null"),
        ({"workloads": ["a"], "kwargs": {"workload": "b"}}, "'workload' is in kwargs and in work"),
        (
            {"objectives": ["a"], "kwargs": {"objective": "b"}},
            "'objective' is in kwargs and in objectives. Remove one",
        ),
    ],
)
def test_an_environment_is_checked(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SweepEnv(**{"env": TOY, **given})


def test_objectives_may_be_mappings() -> None:
    goals = {"kind": "pareto", "metrics": ["a", "b"]}
    entry = SweepEnv(
        env="E", kwargs={"x": 1}, workloads=("w", "v"), objectives=("minimize:a", goals)
    )
    assert list(entry.problems()) == [
        {"x": 1, "workload": "w", "objective": "minimize:a"},
        {"x": 1, "workload": "w", "objective": goals},
        {"x": 1, "workload": "v", "objective": "minimize:a"},
        {"x": 1, "workload": "v", "objective": goals},
    ]
    assert list(SweepEnv(env="E", kwargs={"x": 1}).problems()) == [{"x": 1}]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"agent": 3}, "agent must be a name, got 3"),
        ({"default": 1}, "default must be True or False, got 1"),
        ({"draw": 2.0}, "draw must be a whole number"),
        ({"configs": {"elites": 1}}, "configs must be a list"),
        ({"configs": [3]}, r"configs\[0\] must be a mapping, got 3"),
        ({"configs": [{"elits": 1}]}, "no hyperparameter 'elits'. Did you mean 'elites'"),
        ({"grid": {"elites": 4}}, "grid: elites must be a list, got 4"),
        ({"grid": {"elites": []}}, "grid: elites has no values. Give it some, or remove it"),
        ({"grid": {"elites": [1, 2, 1]}}, "grid: elites: 1 occurs twice"),
        (
            {"grid": {"elits": [1]}},
            "'genetic' has no hyperparameter 'elits'. Did you mean 'elites'",
        ),
        ({"kwargs": {"seed": 1}}, "'genetic' has no hyperparameter 'seed'"),
        (
            {"kwargs": {"elites": 1}, "grid": {"elites": [2]}},
            "'elites' is in kwargs and in grid. Remove one of them",
        ),
        (
            {"kwargs": {"elites": 1}, "configs": [{"elites": 2}]},
            "'elites' is in kwargs and in configs. Remove one of them",
        ),
        ({"kwargs": {"elites": 1}}, "elites holds in all configurations but the default one, and"),
        ({"budgets": [0]}, "budgets must be a whole number from 1"),
        ({"budgets": [5, 5]}, "budgets: 5 occurs twice"),
        (
            {"budget_per": "populaton_size", "budgets": [1]},
            "got 'populaton_size'. Did you mean 'population_size'",
        ),
        (
            {"budget_per": "mutation_rate", "budgets": [1]},  # half a sample is none
            "budget_per must be a hyperparameter of 'genetic' with whole numbers",
        ),
        ({"budget_per": "elites"}, "budget_per: elites multiplies budgets, and there are none"),
        ({"seeds": []}, "seeds: there is none. Name at least one"),
        ({"seeds": [1, 1]}, "seeds: 1 occurs twice"),
        ({"seeds": [-1]}, "seeds must be a whole number from 0"),
        ({"seeds": True}, "seeds must be a whole number from 1"),
    ],
)
def test_an_agent_is_checked(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SweepAgent(**{"agent": "genetic", **given})


def test_an_unknown_agent_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match=r"'genetics'. Did you mean 'genetic'"):
        SweepAgent(agent="genetics")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"envs": ()}, "envs must be one or more of SweepEnv"),
        ({"envs": (TOY,)}, "envs must be one or more of SweepEnv"),
        ({"agents": (SweepEnv(env=TOY),)}, "agents must be one or more of SweepAgent"),
        ({"budget": 0}, "budget must be a whole number from 1"),
        ({"seeds": ()}, "seeds: there is none"),
        ({"seeds": "3"}, "seeds must be a whole number"),
        ({"draw_seed": -1}, "draw_seed must be a whole number from 0"),
        ({"out": 3}, "out must be"),
    ],
)
def test_a_sweep_is_checked(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sweep(SweepAgent(agent="genetic"), **given)


def test_entries_do_not_share_what_they_were_made_of() -> None:
    kwargs: dict[str, Any] = {"baseline": {"delay_ns": 1.0}}
    entry = SweepEnv(env=TOY, kwargs=kwargs)
    kwargs["baseline"]["delay_ns"] = 2.0
    assert entry.kwargs == {"baseline": {"delay_ns": 1.0}}
    with pytest.raises(dataclasses.FrozenInstanceError):
        entry.env = "other"  # type: ignore[misc]


# --- Configurations ------------------------------------------------------------------------------


def test_configurations_of_every_origin_with_their_labels() -> None:
    found = labelled(
        "genetic",
        draw=2,
        configs=[{"population_size": 50}],
        grid={"elites": [0, 1], "tournament_size": [2, 3]},
        kwargs={"crossover": "two_point"},
    )
    assert list(found) == [
        *["default", "given 1", "grid 1", "grid 2", "grid 3", "grid 4", "drawn 1", "drawn 2"]
    ]
    # kwargs hold in all but the default one.
    assert found.pop("default") == GENETIC.default()
    assert {config["crossover"] for config in found.values()} == {"two_point"}
    default = {**GENETIC.default(), "crossover": "two_point"}
    assert found["given 1"] == {**default, "population_size": 50}
    assert [
        (found[f"grid {n}"]["elites"], found[f"grid {n}"]["tournament_size"]) for n in range(1, 5)
    ] == [*[(0, 2), (0, 3), (1, 2), (1, 3)]]
    assert found["grid 4"] == {**default, "elites": 1, "tournament_size": 3}


def test_an_equal_configuration_of_a_later_origin_is_left_out() -> None:
    default = GENETIC.default()
    grid = {"elites": [0, default["elites"]], "mutation_rate": [0.5]}
    found = labelled("genetic", configs=[{}, {"elites": 0, "mutation_rate": 0.5}], grid=grid)
    assert list(found) == ["default", "given 2", "grid 2"]


def test_configurations_that_differ_in_what_plays_no_part_are_equal() -> None:
    # `candidates` is a hyperparameter of the other sampler only.
    found = labelled(
        "bayesian", default=False, configs=[{"sampler": "gp"}, {"sampler": "gp", "candidates": 9}]
    )
    assert list(found) == ["given 1"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"configs": [{}, {"mutation_rate": 2.0}]},
            r"agent 'genetic', given 2: .*mutation_rate.*2\.0",
        ),
        ({"grid": {"elites": [1, 999]}}, "agent 'genetic', grid 2: .*elites.*999"),
        (
            {"configs": [{"elites": 9, "population_size": 9}]},
            "'genetic', given 1: elites: elites must be below population_size, got .*'elites': 9",
        ),
        ({"kwargs": {"crossover": "tow_point"}, "draw": 1}, "'genetic', kwargs: .*'tow_point'"),
        ({"default": False}, "'genetic' has no configuration. Set default, draw, configs or grid"),
    ],
)
def test_illegal_configurations_are_named(given: dict[str, Any], message: str) -> None:
    entry = SweepAgent(agent="genetic", **given)
    with pytest.raises(ConfigError, match=message):
        entry.configurations(0)
    with pytest.raises(ConfigError, match=message):
        sweep(entry).runs()


def test_options_of_an_agent_are_part_of_its_configurations() -> None:
    example = AGENTS.load("external").example["command"]
    assert labelled("external")["default"] == {"command": example, "timeout_s": 60.0}
    # An agent cannot do without it, so that it holds in the default configuration, too.
    assert labelled("external", kwargs={"command": "mine"})["default"]["command"] == "mine"
    given = [{"command": "a"}, {"command": "b"}, {"command": "b", "timeout_s": 60.0}]
    found = labelled("external", default=False, configs=given)
    assert [config["command"] for config in found.values()] == ["a", "b"]
    found = labelled("external", default=False, grid={"command": ["a", "b"]})
    assert [config["command"] for config in found.values()] == ["a", "b"]


# --- Drawing -------------------------------------------------------------------------------------


def test_more_draws_begin_with_the_same_configurations() -> None:
    few = SweepAgent(agent="genetic", draw=30).configurations(7)
    many = SweepAgent(agent="genetic", draw=90).configurations(7)
    assert many[:31] == few
    assert [label for label, _ in many] == ["default", *(f"drawn {n}" for n in range(1, 91))]
    assert len({canonical_json(config) for _, config in many}) == 91
    assert not any(GENETIC.violations(config) for _, config in many)
    assert SweepAgent(agent="genetic", draw=30).configurations(8)[1:] != few[1:]


def test_draws_do_not_depend_on_other_agents() -> None:
    alone = sweep(SweepAgent(agent="genetic", draw=5)).runs()
    among = sweep(
        SweepAgent(agent="ant_colony", draw=3),
        SweepAgent(agent="genetic", draw=5),
        SweepAgent(agent="simulated_annealing", draw=2),
    ).runs()
    assert [run for run in among if run.run.agent == "genetic"] == alone


def test_agents_do_not_share_what_is_drawn() -> None:
    def first(agent: str, draw_seed: int) -> float:
        config = labelled(agent, draw_seed, default=False, draw=1)["drawn 1"]
        return float(AGENTS.load(agent).hyperparameters.to_unit(config)[0])

    ants, other = ([first(agent, n) for n in range(80)] for agent in ("ant_colony", "cma_es"))
    # Of independent numbers, r has a standard deviation of 0.11.
    assert abs(correlation(ants, other)) < 0.4


def test_draws_cover_the_ranges() -> None:
    configs = [config for _, config in SweepAgent(agent="genetic", draw=400).configurations(0)]
    rates = np.array([config["mutation_rate"] for config in configs])
    # The mean of 400 uniform numbers is 0.5 with a standard error of 0.0144.
    assert abs(rates.mean() - 0.5) < 0.06
    assert {config["tournament_size"] for config in configs} == set(range(1, 17))
    floors = [config["floor"] for config in labelled("ant_colony", draw=400).values()]
    # Uniform in the logarithm: the median is the geometric mean of the bounds, 0.0173.
    assert 0.012 < float(np.median(floors)) < 0.025


def test_what_is_fixed_is_not_drawn() -> None:
    # A fixed value decides what else matters: all of the others have to be drawn with it.
    found = labelled("bayesian", default=False, draw=40, kwargs={"sampler": "tpe"})
    assert len(found) == 40
    assert {config["sampler"] for config in found.values()} == {"tpe"}
    candidates = [config["candidates"] for config in found.values()]
    assert len(set(candidates)) > 25  # of 121 legal values
    assert candidates.count(24) <= 3  # the default, which is one of them
    # And what breaks a constraint with it is drawn again.
    found = labelled("genetic", default=False, draw=40, kwargs={"population_size": 4})
    assert len(found) == 40
    assert {config["elites"] for config in found.values()} == {0, 1, 2, 3}


def test_no_more_configurations_than_there_are() -> None:
    space = ParameterSpace(
        (Integer("a", 1, 3), Choice("b", ("x", "y"))),
        (Constraint("odd", "a must not be 2 with y", lambda c: c["a"] != 2 or c["b"] == "x"),),
    )
    found = draw_configs(space, 10, np.random.default_rng(0))
    assert sorted(canonical_json(config) for config in found) == [
        *['{"a":1,"b":"y"}', '{"a":2,"b":"x"}', '{"a":3,"b":"x"}', '{"a":3,"b":"y"}']
    ]
    assert draw_configs(space, 2, np.random.default_rng(0)) == found[:2]
    assert draw_configs(space, 10, np.random.default_rng(0), {"a": 2}) == [{"a": 2, "b": "x"}]


# --- Runs ----------------------------------------------------------------------------------------


def test_every_agent_meets_every_problem_with_every_configuration_and_seed() -> None:
    config = sweep(
        SweepAgent(agent="genetic", draw=2),
        SweepAgent(agent="random_search", seeds=(9,)),
        envs=(
            SweepEnv(env=TOY, objectives=("minimize:delay_ns", "minimize:cost_usd")),
            SweepEnv(env="ArchGym/ToySequential-v0"),
        ),
        budget=25,
        seeds=2,
        out="somewhere",
    )
    runs = config.runs()
    # Each configuration has seeds of its own.
    genetic = [("default", 0), ("default", 1), ("drawn 1", 1_000_000), ("drawn 1", 1_000_001)]
    genetic += [("drawn 2", 2_000_000), ("drawn 2", 2_000_001)]
    for_each = [("genetic", *run) for run in genetic] + [("random_search", "default", 9)]
    names = ["Toy minimize:delay_ns", "Toy minimize:cost_usd", "ToySequential"]
    assert [(run.problem, run.run.agent, run.label, run.run.seed) for run in runs] == [
        (name, *run) for name in names for run in for_each
    ]
    assert {run.run.budget for run in runs} == {25}
    assert {run.run.out for run in runs} == {Path("somewhere/runs")}
    assert len({run.run.run_id for run in runs}) == len(runs) == 21


def test_an_equal_configuration_of_another_entry_has_the_same_seeds() -> None:
    config = sweep(
        SweepAgent(agent="genetic", draw=1, seeds=(3,)),
        SweepAgent(agent="genetic", draw=1, seeds=(4,)),
        SweepAgent(agent="genetic", default=False, grid={"elites": [1]}, seeds=(3,)),
    )
    assert [run.run.seed for run in config.runs()] == [3, 1_000_003, 4, 1_000_004, 2_000_003]


def test_budgets_of_an_agent() -> None:
    agents = [
        SweepAgent(
            agent="ant_colony",
            default=False,
            grid={"ants": [8, 16]},
            budgets=(4, 10),
            budget_per="ants",
        ),
        SweepAgent(agent="genetic", budgets=(7, 8)),
        SweepAgent(agent="grid"),
    ]
    budgets = [(run.run.agent, run.label, run.run.budget) for run in sweep(*agents).runs()]
    assert budgets == [
        ("ant_colony", "grid 1", 32),
        ("ant_colony", "grid 1", 80),
        ("ant_colony", "grid 2", 64),
        ("ant_colony", "grid 2", 160),
        ("genetic", "default", 7),
        ("genetic", "default", 8),
        ("grid", "default", 10),
    ]


def test_equal_runs_are_refused() -> None:
    twice = sweep(SweepAgent(agent="genetic"), SweepAgent(agent="genetic", draw=1))
    message = "two runs are the same: genetic default on Toy, seed 0. Remove one of the two"
    with pytest.raises(ConfigError, match=message):
        twice.runs()
    with pytest.raises(ConfigError, match=message):
        sweep(SweepAgent(agent="genetic"), envs=(SweepEnv(env=TOY), SweepEnv(env=TOY))).runs()


def test_a_label_stands_for_one_configuration_of_an_agent() -> None:
    runs = sweep(
        SweepAgent(agent="genetic", default=False, grid={"elites": [0, 1]}),
        SweepAgent(agent="genetic", default=False, grid={"elites": [2]}),
        SweepAgent(agent="genetic", default=False, grid={"elites": [0]}, budgets=(99,)),
    ).runs()
    assert [(run.label, run.run.agent_kwargs["elites"], run.run.budget) for run in runs] == [
        ("grid 1", 0, 10),
        ("grid 2", 1, 10),
        ("grid 1 of entry 2", 2, 10),
        ("grid 1", 0, 99),
    ]


def test_the_id_stands_for_everything_but_the_folder() -> None:
    config = sweep(SweepAgent(agent="genetic", draw=2))
    assert len(config.sweep_id) == 12
    int(config.sweep_id, 16)
    assert dataclasses.replace(config, out=Path("elsewhere")).sweep_id == config.sweep_id
    others = [
        dataclasses.replace(config, budget=11),
        dataclasses.replace(config, seeds=2),
        dataclasses.replace(config, draw_seed=1),
        dataclasses.replace(config, envs=(SweepEnv(env=TOY, kwargs={"action": "box"}),)),
        dataclasses.replace(config, agents=(SweepAgent(agent="genetic", draw=3),)),
    ]
    assert len({config.sweep_id, *(other.sweep_id for other in others)}) == 6
    # A number of seeds is short for a list of them.
    assert (
        dataclasses.replace(config, seeds=2).sweep_id
        == dataclasses.replace(config, seeds=(0, 1)).sweep_id
    )


def test_the_mapping_is_plain_data() -> None:
    config = sweep(SweepAgent(agent="genetic"), SweepAgent(agent="grid", seeds=2))
    mapping = config.to_mapping()
    assert json.loads(json.dumps(mapping, allow_nan=False)) == mapping
    assert "seeds" not in mapping["agents"][0]  # which means those of the sweep
    assert mapping["agents"][1]["seeds"] == [0, 1]


def test_names_of_problems() -> None:
    kwargs = {"technology": "DDR4-2400", "objective": "minimize:energy_pj", "workload": "cloud"}
    name = problem_name("ArchGym/DRAMController-v0", kwargs)
    assert name == "DRAMController cloud minimize:energy_pj technology=DDR4-2400"
    assert problem_name("mine:Lab/Cache-v2", {}) == "Cache-v2"


# --- Draws ----------------------------------------------------------------------------------------

TUNABLE = [name for name in AGENTS.names() if AGENTS.load(name).hyperparameters.parameters]


def _is_even_sum(config: Any) -> bool:
    return bool((config["a"] + config["b"]) % 2 == 0)


SMALL_SPACE = ParameterSpace(
    (
        Integer("a", 1, 4, default=1),
        Integer("b", 1, 3, default=1),
        Choice("mode", ("plain", "odd")),
        Integer("c", 1, 2, default=1, active_when={"mode": ("odd",)}),
    ),
    (Constraint("even", "a + b must be even", _is_even_sum),),
)


def test_configs_are_legal_different_and_not_the_default() -> None:
    configs = draw_configs(SMALL_SPACE, 10, np.random.default_rng(0))
    keys = {SMALL_SPACE.key(config) for config in configs}
    assert len(configs) == len(keys) == 10
    assert SMALL_SPACE.key(SMALL_SPACE.default()) not in keys
    for config in configs:
        assert SMALL_SPACE.validate(config) == SMALL_SPACE.canonical(config) == config
        assert SMALL_SPACE.violations(config) == ()
    assert draw_configs(SMALL_SPACE, 4, np.random.default_rng(0)) == configs[:4]


def test_a_small_space_has_no_more_configs() -> None:
    configs = draw_configs(SMALL_SPACE, 30, np.random.default_rng(0))
    assert len(configs) == SMALL_SPACE.count_canonical() - 1 == 17
    assert draw_configs(ParameterSpace((Integer("a", 1, 1),)), 3, np.random.default_rng(0)) == []


@pytest.mark.parametrize("name", TUNABLE)
def test_configs_of_agents(name: str) -> None:
    space: ParameterSpace = AGENTS.load(name).hyperparameters
    for config in draw_configs(space, 5, np.random.default_rng(1)):
        assert space.validate(config) == config
        assert space.violations(config) == ()
