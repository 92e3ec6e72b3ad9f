"""The tables of a sweep on the terminal."""

from __future__ import annotations

from typing import Any

import pytest

from archgym_py.summary import align, summary


def agent(name: str, **changes: Any) -> dict[str, Any]:
    values = {
        "agent": name,
        "runs": 10,
        "iqm": [0.5, 0.4375, 0.5625],
        "quartiles": [0.25, 0.5, 0.75],
        "range": 0.875,
        "default_score": 0.125,
        "tuned_score": 0.625,
        "regret": {"quartiles": [0.0, 1.2345, 3.0], "optimal_runs": 4},
    }
    return {**values, **changes}


def problem(*agents: dict[str, Any], **changes: Any) -> dict[str, Any]:
    values = {
        "name": "Toy minimize:delay_ns",
        "budgets": [1000],
        "optimum": {"metric": "delay_ns"},
        "best": {"agent": "genetic", "label": "drawn 3", "seed": 4, "regret_percent": 0.456},
        "variance": None,
        "agents": list(agents),
    }
    return {**values, **changes}


def data(*problems: dict[str, Any], **changes: Any) -> dict[str, Any]:
    overall: dict[str, Any] = {"agents": [], "variance": None}
    values = {
        "problems": list(problems),
        "overall": {**overall, **changes.pop("overall", {})},
        "transfer": [],
        "runs": 20,
        "failed": 0,
        "failures": [],
    }
    return {**values, **changes}


def test_columns_are_aligned() -> None:
    rows = [["agent", "IQM", "n"], ["genetic", "0.5", "1,000"], ["a", "-10.25", "2"]]
    assert align(rows) == ("agent       IQM      n\ngenetic     0.5  1,000\na        -10.25      2")
    with pytest.raises(ValueError, match="shorter"):
        align([["a", "b"], ["c"]])


def test_the_table_of_a_problem() -> None:
    worse = agent("ant_colony", iqm=[0.25, 0.125, 0.375], default_score=None, tuned_score=None)
    text = summary(data(problem(worse, agent("genetic"))))
    lines = text.splitlines()
    assert lines[0] == "Toy minimize:delay_ns, 1,000 samples"
    columns = "agent runs IQM 95 % median IQR range default tuned regret % optimum found"
    assert lines[1].split() == columns.split()
    # The best agent first; what is not known is a dash.
    genetic = "genetic 10 0.500 0.438 to 0.562 0.500 0.500 0.875 0.125 0.625 1.23 4"
    assert lines[2].split() == genetic.split()
    ants = "ant_colony 10 0.250 0.125 to 0.375 0.500 0.500 0.875 - - 1.23 4"
    assert lines[3].split() == ants.split()
    assert lines[4] == "best design: genetic (drawn 3, seed 4), 0.456 % above the optimum"
    assert "20 runs. Scores: 0 is the default design" in text
    assert "variance" not in text
    assert "all problems" not in text


def test_a_problem_whose_optimum_nobody_knows() -> None:
    best = {"agent": "genetic", "label": "default", "seed": 0, "regret_percent": None}
    text = summary(data(problem(agent("genetic", regret=None), optimum=None, best=best)))
    assert "regret" not in text
    assert "best design: genetic (default, seed 0)\n" in text


def test_a_problem_where_nothing_feasible_was_found() -> None:
    text = summary(data(problem(agent("genetic", regret=None), best=None)))
    assert "nothing feasible was found" in text
    assert text.splitlines()[2].split()[-2:] == ["-", "-"]


def test_budgets_are_listed_up_to_six() -> None:
    several = [10, 20, 30, 40, 50, 6000]
    assert ", 10, 20, 30, 40, 50, 6,000 samples" in summary(data(problem(budgets=several)))
    more = summary(data(problem(budgets=[*several, 7000])))
    assert ", 10, 20, 30, 40, 50, 6,000, ... samples" in more


def test_all_problems() -> None:
    agents = [
        agent("genetic", iqm=[0.25, 0.125, 0.375], mean_rank=1.75),
        agent("cma_es", mean_rank=1.25, default_score=None),
    ]
    shares = {"agent": 0.1, "configuration": 0.3, "seed": 0.6}
    one = problem(agent("genetic"), variance=shares)
    text = summary(data(one, one, overall={"agents": agents, "variance": shares}))
    blocks = text.split("\n\n")
    assert len(blocks) == 5
    for block in blocks[:2]:
        assert block.endswith("\nvariance: 10 % algorithm, 30 % hyperparameters, 60 % seed")
    assert blocks[2].splitlines() == [
        "all problems",
        "agent      IQM            95 %  mean rank  default  tuned",
        "cma_es   0.500  0.438 to 0.562       1.25        -  0.625",
        "genetic  0.250  0.125 to 0.375       1.75    0.125  0.625",
    ]
    assert blocks[3] == (
        "variance of the final scores: 10 % algorithm, 30 % hyperparameters, 60 % seed"
    )
    # One problem is all problems.
    assert "all problems" not in summary(data(one, overall={"agents": agents}))


def test_transfer() -> None:
    pair = {
        "agent": "genetic",
        "source": "P",
        "target": "Q",
        "label": "drawn 1",
        "transferred": 0.25,
        "own": 0.5,
        "default": None,
    }
    lines = summary(data(transfer=[pair])).splitlines()
    assert lines[:2] == [
        "tuned elsewhere  source -> target  transferred    own  default",
        "genetic                    P -> Q        0.250  0.500        -",
    ]


def test_failures() -> None:
    failures = [
        {"agent": "genetic", "message": "no such thing", "runs": 3},
        {"agent": "grid", "message": "too large", "runs": 1},
    ]
    text = summary(data(failed=4, failures=failures))
    assert "20 runs, 4 failed. Scores" in text
    assert text.endswith(
        "failed: 3 runs of genetic: no such thing\n\nfailed: 1 runs of grid: too large"
    )


def test_transfer_names_what_sets_problems_apart() -> None:
    pair = {"agent": "genetic", "transferred": 0.5, "own": 0.75, "default": None}
    near = {**pair, "source": "DRAM cloud energy", "target": "DRAM random energy"}
    far = {**pair, "source": "DRAM cloud energy", "target": "DNN"}
    text = summary(data(problem(agent("genetic")), transfer=[near, far]))
    assert "cloud -> random        0.500  0.750        -" in text
    assert "DRAM cloud energy -> DNN" in text
