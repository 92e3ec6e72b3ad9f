"""Collections: the stated samples, exactly, by who they are said to be by, also after a kill."""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archgym_py.cli import main
from archgym_py.collect import (
    CONFIG_NAME,
    PRESETS,
    RESULT_NAME,
    Collection,
    CollectionConfig,
    CollectionMember,
    add_arguments,
    collect,
    command,
    divide,
    load_collection,
    score,
)
from archgym_py.config import RunConfig, canonical_json
from archgym_py.dataset import SampleDataset
from archgym_py.errors import ConfigError, UnknownNameError
from archgym_py.evaluator import Trial
from archgym_py.files import LockedError, locked
from archgym_py.log import RunInfo
from archgym_py.recorder import ParquetRecorder
from archgym_py.registry import AGENTS
from archgym_py.runner import STATE_NAME, RunState, make_env, run
from archgym_py.simulator import Status
from archgym_py.sweep_config import SEED_STRIDE, SweepEnv

TOY = "ArchGym/Toy-v0"
PATIENCE_S = 120.0
TALKS_NONSENSE = shlex.join([sys.executable, "-c", "print('good morning')"])


def member(share: float, agent: str = "random_search", **more: Any) -> CollectionMember:
    return CollectionMember(**{"quality": agent, "agent": agent, "share": share, **more})


def config(*members: CollectionMember, **changes: Any) -> CollectionConfig:
    values = {
        "name": "test",
        "envs": (SweepEnv(env=TOY),),
        "members": members or (member(0.6), member(0.4, "genetic")),
        "budget": 50,
        **changes,
    }
    return CollectionConfig(**values)


def mixed(out: Path) -> CollectionConfig:
    """Return a collection of twelve runs on two problems."""
    tuned = {"population_size": 10, "elites": 2}
    return config(
        member(0.5, quality="random"),
        member(0.3, "genetic", quality="evolutionary"),
        member(0.2, "genetic", quality="tuned", hyperparameters=tuned),
        envs=(SweepEnv(env=TOY, objectives=("minimize:delay_ns", "minimize:cost_usd")),),
        budget=1201,
        seeds=2,
        out=out,
    )


@pytest.fixture(scope="module")
def jobs() -> Iterator[int]:
    """Start Ray once for all collections of this process; return its number of workers."""
    ray = pytest.importorskip("ray")
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield 2
    ray.shutdown()


@pytest.fixture(scope="module")
def unbroken(jobs: int, tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return collect(mixed(tmp_path_factory.mktemp("unbroken") / "own"), jobs=jobs, progress=False)


def rows(out: Path) -> list[dict[str, Any]]:
    """Return all samples without the times that they took."""
    table = SampleDataset(out).table()
    return sorted(
        table.drop_columns(["wall_s"]).to_pylist(), key=lambda row: (row["run_id"], row["index"])
    )


def files(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.name != ".lock"}


# --- Shares --------------------------------------------------------------------------------------


@given(
    total=st.integers(0, 2**63 - 1),
    shares=st.lists(st.floats(1e-300, 1.0), min_size=1, max_size=20),
)
def test_nothing_is_lost_in_a_division(total: int, shares: list[float]) -> None:
    parts = divide(total, shares)
    assert sum(parts) == total
    assert min(parts) >= 0
    assert divide(total, [1.0] * len(shares)) == sorted(
        divide(total, [1.0] * len(shares)), reverse=True
    )


@given(total=st.integers(0, 10_000), weights=st.lists(st.integers(1, 100), min_size=1, max_size=9))
def test_a_part_is_less_than_one_away_from_its_share(total: int, weights: list[int]) -> None:
    parts = divide(total, [float(weight) for weight in weights])
    whole = sum(weights)
    assert all(
        abs(part * whole - total * weight) < whole
        for part, weight in zip(parts, weights, strict=True)
    )


def test_the_rest_of_a_division_goes_to_who_lost_most() -> None:
    assert divide(10, [0.26, 0.26, 0.48]) == [3, 2, 5]  # 2.6, 2.6 and 4.8, of which 2 are left
    assert divide(11, [1.0, 1.0, 1.0]) == [4, 4, 3]


@settings(max_examples=50)
@given(
    budget=st.integers(60, 100_000),
    seeds=st.integers(1, 5),
    weights=st.lists(st.integers(1, 4), min_size=1, max_size=3),
)
def test_the_runs_on_a_problem_spend_the_budget(
    budget: int, seeds: int, weights: list[int]
) -> None:
    agents = ("random_search", "genetic", "cma_es")
    members = [
        member(weight / sum(weights), agent) for weight, agent in zip(weights, agents, strict=False)
    ]
    env = SweepEnv(env=TOY, workloads=("a", "b"))
    runs = config(*members, envs=(env,), budget=budget, seeds=seeds).runs()
    for workload in env.workloads:
        own = [run.run for run in runs if run.run.env_kwargs["workload"] == workload]
        assert len(own) == seeds * len(members)
        assert sum(run.budget for run in own) == budget
    assert len({run.run.seed for run in runs}) == len(runs)


# --- Configurations ------------------------------------------------------------------------------


def test_runs_are_complete_and_tagged() -> None:
    collection = mixed(Path("somewhere"))
    runs = collection.runs()
    assert [run.run.budget for run in runs[:6]] == [301, 300, 180, 180, 120, 120]
    assert [run.run.seed for run in runs[:3]] == [0, 1, SEED_STRIDE]
    assert [run.label for run in runs[:6:2]] == ["random", "evolutionary", "tuned"]
    assert [run.run.quality for run in runs] == [run.label for run in runs]
    default = AGENTS.load("genetic").hyperparameters.default()
    assert runs[2].run.agent_kwargs == default
    assert runs[4].run.agent_kwargs == {**default, "population_size": 10, "elites": 2}
    assert {run.problem for run in runs[6:]} == {"Toy minimize:cost_usd"}
    assert {run.run.out for run in runs} == {Path("somewhere")}


HEAD = f"name: a\nbudget: 10\nenvs: [{{env: {TOY}}}]\n"
RANDOM = "{quality: random, agent: random_search, share: 1}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nmae: a\n", "unknown key 'nmae'. Did you mean 'name'?"),
        (f"{HEAD}budget: 11\nmembers: []\n", "line 4: key 'budget' was given before, in line 2"),
        (HEAD, "the key 'members' is missing"),
        ("[]", "must be a mapping with the keys name, envs, members, budget, got []"),
        (f"{HEAD}members: random\n", "members must be a list, got 'random'"),
        (f"{HEAD}members: []\n", "members must be one or more of CollectionMember, got ()"),
        (f"{HEAD}members: [random]\n", "members, entry 1: must be a mapping with the keys quality"),
        (
            f"{HEAD}members: [{RANDOM}, {{quality: a, agent: genetic}}]\n",
            "members, entry 2: the key 'share' is missing",
        ),
        (
            f"{HEAD}members: [{{qualty: a}}]\n",
            "members, entry 1: unknown key 'qualty'. Did you mean 'quality'?",
        ),
        (
            f"{HEAD}members: [{{quality: a, agent: genetic, share: 2}}]\n",
            "members, entry 1: share must be a number from 0 to 1, got 2",
        ),
        (
            f"{HEAD}members: [{RANDOM[:-1]}, hyperparameters: {{batch_sise: 3}}}}]\n",
            "members, entry 1: agent 'random_search' has no hyperparameter 'batch_sise'. Did you",
        ),
        (
            f"name: a\nbudget: 10\nmembers: [{RANDOM}]\nenvs: [{{env: {TOY}, workload: b}}]\n",
            "envs, entry 1: unknown key 'workload'. Did you mean 'workloads'?",
        ),
        (f"{HEAD}members: [{RANDOM}]\nseeds: [0, 1]\n", "seeds must be a whole number from 1"),
    ],
)
def test_files_are_read_strictly(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        CollectionConfig.from_yaml(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"quality": 1}, "quality must be a name, got 1"),
        ({"quality": " "}, "quality is empty. Give a word"),
        ({"share": 0}, "share must be above 0, got 0. Leave out a member"),
        ({"share": float("nan")}, "share must be a number from 0 to 1, got nan"),
        ({"share": "half"}, "share must be a number from 0 to 1, got 'half'"),
        ({"hyperparameters": [1]}, r"hyperparameters must be a mapping, got \[1\]"),
        ({"hyperparameters": {"elites": -1}}, "elites.*-1"),
        ({"hyperparameters": {"elites": 30}}, "elites must be below population_size"),
    ],
)
def test_a_member_is_checked(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CollectionMember(**{"quality": "a", "agent": "genetic", "share": 1.0, **given})


def test_an_unknown_agent_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match=r"'genetics'\. Did you mean 'genetic'"):
        member(1.0, "genetics")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "name and out must not be empty"),
        ({"name": 3}, "name must be a name, got 3"),
        ({"out": 3}, "out must be"),
        ({"envs": (TOY,)}, "envs must be one or more of SweepEnv"),
        ({"members": (SweepEnv(env=TOY),)}, "members must be one or more of CollectionMember"),
        ({"budget": 0}, "budget must be a whole number from 1"),
        ({"seeds": 0}, "seeds must be a whole number from 1"),
        (
            {"envs": (SweepEnv(env=TOY, kwargs={"a": 1, "b": 2}),) * 2},
            r'envs: ArchGym/Toy-v0 with \{"a":1,"b":2\} occurs twice. Remove one',
        ),
        (
            # The default, written out.
            {
                "members": (
                    member(0.5, "random_search"),
                    member(0.5, quality="b", hyperparameters={"batch_size": 64}),
                )
            },
            r'members: random_search with \{"batch_size":64\} occurs twice',
        ),
        ({"members": (member(0.5), member(0.4, "grid"))}, "must add up to 1, got 0.9"),
        (
            {"members": (member(0.98), member(0.02, "grid")), "seeds": 2},
            "members, entry 2: its 1 of 50 samples are too few for 2 runs. Raise budget or share",
        ),
    ],
)
def test_a_collection_is_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(**changes)


@given(
    name=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Z"]), min_size=1),
    share=st.floats(0.1, 0.9),
    elites=st.integers(0, 20),
    budget=st.integers(1000, 2**63 - 1),
    seeds=st.integers(1, 9),
)
def test_yaml_round_trip(name: str, share: float, elites: int, budget: int, seeds: int) -> None:
    own = config(
        member(share, quality=name),
        member(1.0 - share, "genetic", hyperparameters={"elites": elites}),
        name=name,
        budget=budget,
        seeds=seeds,
        out=Path("some where"),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "own.yaml")
        own.to_yaml(path)
        again = CollectionConfig.from_yaml(path)
    assert again == own
    assert (
        again.collection_id
        == own.collection_id
        == replace(own, out=Path("elsewhere")).collection_id
    )
    assert replace(own, name="other").collection_id != own.collection_id


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_legal_and_mixed(name: str) -> None:
    preset = load_collection(name)
    assert (preset.name, preset.out) == (name, Path("runs/collections", name))
    shares: dict[str, float] = {}
    for entry in preset.members:
        shares[entry.quality] = shares.get(entry.quality, 0.0) + entry.share
    assert set(shares) == {"random", "evolutionary", "tuned", "annealed", "learned"}
    assert shares["random"] == 0.4
    assert min(shares.values()) >= 0.075


def test_a_file_goes_before_a_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config().to_yaml("toy")
    assert load_collection("toy") == config()
    with pytest.raises(ConfigError, match=r"neither a file nor a preset\. Did you mean 'dram'"):
        load_collection("drams")


# --- Scores, of logs made by hand ----------------------------------------------------------------


def write_log(
    planned: RunConfig, rewards: Sequence[float | None], keys: str, **changes: Any
) -> None:
    """Log a finished run with given rewards, None for a failure; a key is a letter."""
    env = make_env(planned.env, planned.env_kwargs)
    about = {
        "run_id": planned.run_id,
        "agent": planned.agent,
        "agent_config": canonical_json(planned.agent_kwargs),
        "env_id": planned.env,
        "env_kwargs": canonical_json(planned.env_kwargs),
        "workload": "",
        "objective": env.objective.name,
        "simulator": "toy",
        "simulator_version": env.simulator.version,
        "package_version": "0",
        "git_commit": "",
        "seed": planned.seed,
        "quality": planned.quality,
    }
    info = RunInfo(**{**about, **changes})
    recorder = ParquetRecorder(planned.out, info, env.space, env.simulator.metrics, flush_rows=3)
    for index, (reward, key) in enumerate(zip(rewards, keys, strict=True)):
        failed = reward is None
        shown = -1000.0 if reward is None else reward
        recorder.append(
            Trial(
                index=index,
                design=env.space.default(),
                key=key,
                status=Status.INFEASIBLE if failed else Status.OK,
                message="too large" if failed else "",
                metrics={} if failed else {"cost_usd": 1.0, "delay_ns": 1.0},
                reward=shown,
                rewards=(shown,),
                cached=False,
                wall_s=0.0,
                seed=0,
            )
        )
    recorder.close()
    state = RunState("finished", len(rewards), planned.budget, "", 1.0)
    (recorder.run_dir / STATE_NAME).write_text(json.dumps(asdict(state)), encoding="utf-8")


def by_hand(out: Path, **changes: Any) -> CollectionConfig:
    """Return a collection with two runs of 5 random samples, and two of 5 others."""
    return config(
        member(0.5, quality="random"),
        member(0.5, "genetic", quality="evolutionary"),
        **{"budget": 20, "seeds": 2, "out": out, **changes},
    )


def test_scores_by_hand(tmp_path: Path) -> None:
    own = by_hand(tmp_path)
    runs = [run.run for run in own.runs()]
    # Random designs: 4 feasible ones, with the mean 1.
    write_log(runs[0], [0.0, 2.0, None, None, None], "abcde")
    write_log(runs[1], [-1.0, 3.0, None, None, None], "afghi")
    # A quarter of 5 samples are the last 2: 4, 5 and 3, as one of them failed.
    write_log(runs[2], [1.0, 1.0, 2.0, 4.0, 5.0], "jjjka")
    write_log(runs[3], [None, 1.0, 2.0, None, 3.0], "lllkm")
    collection = collect(own, resume=True)  # all is there: nothing is run
    [problem] = collection.problems
    random, evolved = problem.members
    assert (problem.random_reward, problem.best_reward, problem.best_source) == (
        *(1.0, 5.0, "collection"),
    )
    assert (problem.samples, problem.feasible, problem.unique) == (20, 12, 13)
    assert (random.runs, random.samples, random.feasible, random.unique) == (2, 10, 4, 9)
    assert (random.best_reward, random.mean_reward) == (3.0, 1.0)
    assert (random.final_reward, random.score) == (None, None)  # its last samples failed
    assert (evolved.runs, evolved.samples, evolved.feasible, evolved.unique) == (2, 10, 8, 5)
    assert (evolved.best_reward, evolved.mean_reward) == (5.0, 19.0 / 8.0)
    assert (evolved.final_reward, evolved.score) == (4.0, 100.0 * (4.0 - 1.0) / (5.0 - 1.0))
    assert (collection.finished, collection.planned, collection.failures) == (4, 4, ())
    assert (
        "evolutionary        genetic     2       10    80.0 %  50.0 %  5.000" in collection.text()
    )
    assert "4 of 4 runs finished, 20 samples, 13 different designs (65.0 %)" in collection.text()
    written = json.loads((tmp_path / RESULT_NAME).read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(collection.to_mapping()))
    assert written["problems"][0]["members"][1]["score"] == 75.0
    assert written["config"]["members"][0]["quality"] == "random"
    assert str(tmp_path) not in json.dumps(written)


@pytest.mark.parametrize(
    ("final", "random", "best", "expected"),
    [
        (1.0, 1.0, 5.0, 0.0),
        (5.0, 1.0, 5.0, 100.0),
        (-1.0, 1.0, 5.0, -50.0),  # not clipped
        (7.0, 1.0, 5.0, 150.0),
        (1.0, 1.0, 1.0, None),
        (None, 1.0, 5.0, None),
        (1.0, None, 5.0, None),
        (None, None, None, None),
    ],
)
def test_scores(
    final: float | None, random: float | None, best: float | None, expected: float | None
) -> None:
    assert score(final, random, best) == expected


def test_designs_of_two_objectives_count_once(tmp_path: Path) -> None:
    own = by_hand(
        tmp_path,
        envs=(SweepEnv(env=TOY, objectives=("minimize:delay_ns", "minimize:cost_usd")),),
        budget=4,
        seeds=1,
    )
    for planned, keys in zip(own.runs(), ("ab", "bc", "ab", "dd"), strict=True):
        write_log(planned.run, [0.0, 1.0], keys)
    collection = collect(own, resume=True)
    assert [problem.unique for problem in collection.problems] == [3, 3]
    assert collection.unique == 4  # a, b, c and d: the metrics are the same


def test_without_random_search_there_is_no_score(tmp_path: Path) -> None:
    own = config(member(1.0, "genetic"), envs=(SweepEnv(env=TOY),), budget=2, seeds=1, out=tmp_path)
    [run] = own.runs()
    write_log(run.run, [0.0, 1.0], "ab")
    [problem] = collect(own, resume=True).problems
    assert (problem.random_reward, problem.members[0].score) == (None, None)
    assert problem.members[0].final_reward == 1.0


def test_the_true_optimum_is_the_best_that_is_known(tmp_path: Path) -> None:
    env = SweepEnv(
        env="ArchGym/DRAMController-v0",
        workloads=("cloud-saturating-1k",),
        objectives=("minimize:energy_pj",),
    )
    own = config(member(0.9), member(0.1, "grid"), envs=(env,), budget=40, out=tmp_path)
    with pytest.raises(ConfigError, match=r"a share of 1e-09 of 2 runs is none"):
        collect(own, share=1e-9)
    assert list(tmp_path.iterdir()) == []
    for planned in own.runs():
        run(planned.run)
    [problem] = collect(own, resume=True).problems
    assert problem.best_source == "dram_cloud_saturating_1k.json"
    assert problem.best_reward is not None
    rewards = [entry.best_reward for entry in problem.members if entry.best_reward is not None]
    assert problem.best_reward > max(rewards)
    assert problem.samples == 40


# --- Folders -------------------------------------------------------------------------------------


def test_folders_are_not_mixed_up(tmp_path: Path) -> None:
    own = by_hand(tmp_path)
    own.to_yaml(tmp_path / CONFIG_NAME)
    with pytest.raises(ConfigError, match=r"was begun already\. Continue or read it with --resume"):
        collect(own)
    with pytest.raises(ConfigError, match="holds another collection, or this one before"):
        collect(replace(own, budget=21), resume=True)
    with (
        locked(tmp_path, "this collection"),
        pytest.raises(LockedError, match="another process is writing this collection"),
    ):
        collect(own, resume=True)


def test_runs_of_others_are_refused(tmp_path: Path) -> None:
    stranger = by_hand(tmp_path, budget=40).runs()[0].run
    write_log(stranger, [0.0], "a")
    with pytest.raises(ConfigError, match="is a run that this collection does not have"):
        collect(by_hand(tmp_path))


def test_runs_of_another_simulator_are_refused(tmp_path: Path) -> None:
    own = by_hand(tmp_path)
    write_log(own.runs()[0].run, [0.0] * 5, "abcde", simulator_version="0")
    with pytest.raises(
        ConfigError, match=r"begun with the simulator 'toy 0', which is 'toy 1' now"
    ):
        collect(own)


def test_a_misspelt_argument_is_found_before_the_first_run(tmp_path: Path) -> None:
    wrong = config(envs=(SweepEnv(env=TOY, kwargs={"objektive": "a"}),), out=tmp_path / "own")
    with pytest.raises(ConfigError, match=r"no argument 'objektive'\. Did you mean 'objective'"):
        collect(wrong)
    assert not wrong.out.exists()


# --- Whole collections ---------------------------------------------------------------------------


def test_every_sample_says_whose_it_is(unbroken: Collection) -> None:
    own = unbroken.config
    assert len(SampleDataset(own.out)) == 2 * own.budget == unbroken.samples
    planned = {run.run.run_id: run.run for run in own.runs()}
    logs = SampleDataset(own.out).runs()
    assert {log.info.run_id for log in logs} == set(planned)
    for log in logs:
        run = planned[log.info.run_id]
        assert (log.rows, log.info.quality, log.info.agent, log.info.seed) == (
            *(run.budget, run.quality, run.agent, run.seed),
        )
        assert json.loads(log.info.agent_config) == run.agent_kwargs
    counts: dict[str, int] = {}
    for row in rows(own.out):
        counts[row["quality"]] = counts.get(row["quality"], 0) + 1
        assert row["fidelity"] == "simulator"
    assert counts == {"random": 1202, "evolutionary": 720, "tuned": 480}


def test_scores_are_those_of_the_log(unbroken: Collection) -> None:
    for problem in unbroken.problems:
        own = [
            row
            for row in rows(unbroken.config.out)
            if json.loads(row["env_kwargs"]) == problem.env_kwargs and row["status"] == "ok"
        ]
        random = np.mean([row["reward"] for row in own if row["quality"] == "random"])
        best = max(row["reward"] for row in own)
        assert problem.random_reward == pytest.approx(random)
        assert problem.best_reward == best
        for entry, per_run in zip(problem.members, (300, 180, 120), strict=True):
            last = [
                row["reward"]
                for row in own
                if row["quality"] == entry.quality and row["index"] >= per_run * 3 // 4
            ]
            expected = 100.0 * (np.mean(last) - random) / (best - random)
            assert entry.score == pytest.approx(expected)
        random_score, evolved, tuned = (entry.score for entry in problem.members)
        assert random_score == pytest.approx(0.0, abs=10.0)
        assert evolved is not None
        assert tuned is not None
        assert min(evolved, tuned) > 20.0


def test_a_finished_collection_is_read_not_repeated(unbroken: Collection) -> None:
    before = files(unbroken.config.out)
    again = collect(unbroken.config, resume=True, jobs=1, progress=False)
    assert again == unbroken
    after = files(unbroken.config.out)
    changed = {path.name for path in before if after[path] != before[path]}
    assert changed <= {RESULT_NAME, CONFIG_NAME, unbroken.config.out.name}
    with pytest.raises(ConfigError, match="begun already"):
        collect(unbroken.config)


def test_a_larger_share_adds_to_a_smaller_one(jobs: int, tmp_path: Path) -> None:
    own = config(member(0.5), member(0.5, "grid"), budget=40, out=tmp_path)
    first, second = sorted(int(planned.run.run_id, 16) for planned in own.runs())
    part = collect(own, share=(first + 1) / 16**12, jobs=jobs, progress=False)
    assert (part.finished, part.planned, part.samples) == (1, 2, 20)
    [log] = SampleDataset(tmp_path).runs()
    assert int(log.info.run_id, 16) == first
    before = files(log.folder)
    whole = collect(own, share=(second + 1) / 16**12, resume=True, jobs=jobs, progress=False)
    assert (whole.finished, whole.samples) == (2, 40)
    assert files(log.folder) == before


START = """
import sys
from archgym_py.collect import CollectionConfig, collect
collect(CollectionConfig.from_yaml(sys.argv[1]), jobs=1, progress=False)
"""


def test_a_killed_collection_goes_on_to_the_samples_of_an_unbroken_one(
    unbroken: Collection, tmp_path: Path
) -> None:
    broken = replace(unbroken.config, out=tmp_path / "broken")
    broken.to_yaml(tmp_path / "broken.yaml")
    with subprocess.Popen(
        [sys.executable, "-c", START, str(tmp_path / "broken.yaml")], start_new_session=True
    ) as process:
        deadline = time.monotonic() + PATIENCE_S
        while len(list(broken.out.rglob(STATE_NAME))) < 2:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert not (broken.out / RESULT_NAME).exists()  # it was killed in the middle
    resumed = collect(broken, resume=True, jobs=2, progress=False)
    assert replace(resumed, config=unbroken.config) == unbroken
    assert rows(broken.out) == rows(unbroken.config.out)
    texts = [(out / RESULT_NAME).read_text() for out in (broken.out, unbroken.config.out)]
    assert texts[0] == texts[1]


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="archgym dataset collect")
    add_arguments(parser)
    return parser.parse_args(arguments)


def test_the_command_tells_failures_and_tries_them_again(jobs: int, tmp_path: Path) -> None:
    own = config(
        member(0.5, quality="random"),
        member(0.3, "external", hyperparameters={"command": TALKS_NONSENSE}),
        member(0.2, "genetic"),
        budget=30,
    )
    own.to_yaml(tmp_path / "own.yaml")
    lines: list[str] = []
    arguments = (str(tmp_path / "own.yaml"), "--out", str(tmp_path / "out"), "--jobs", str(jobs))
    assert command(parsed(*arguments), lines.append) == 1
    assert "2 of 3 runs finished, 1 failed, 21 samples" in lines[0]
    assert "external (external) on Toy, seed 1000000: " in lines[0]
    assert "'good morning' is no JSON" in lines[0]
    written = json.loads((tmp_path / "out" / RESULT_NAME).read_text(encoding="utf-8"))
    assert (written["planned"], written["finished"], len(written["failures"])) == (3, 2, 1)
    with pytest.raises(ConfigError, match="begun already"):
        command(parsed(*arguments), lines.append)
    assert command(parsed(*arguments, "--resume"), lines.append) == 1
    assert lines[1] == lines[0]


@pytest.mark.parametrize("jobs", ["0", "-1", "many"])
def test_a_wrong_number_of_jobs(jobs: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parsed("toy", "--jobs", jobs)
    assert caught.value.code == 2
    assert "must be a whole number of at least 1" in capsys.readouterr().err


def test_help_has_examples_and_the_presets(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["dataset", "collect", "--help"])
    out = capsys.readouterr().out
    assert "archgym dataset collect dram --out data/dram" in out
    assert all(name in out for name in PRESETS)
