"""Schedulers against the rate of jobs: statistics, tables, streams, and the experiment."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from archgym_py.cli import main
from archgym_py.errors import ArchGymError, ConfigError
from archgym_py.experiments import scheduling
from archgym_py.experiments.scheduling import (
    LEARNED,
    PROBLEMS,
    TABLE,
    SchedulingProblem,
    excess,
    half_width,
    job_seed,
    measure,
    render,
)
from archgym_py.experiments.tables import RESULTS, insert_table
from archgym_py.simulators.soc.settings import Settings
from archgym_py.simulators.soc.simulation import SCHEDULERS, simulate

ROOT = Path(__file__).resolve().parents[2]
STUDY: dict[str, Any] = {
    "seeds": 3,
    "problems": [
        {
            "name": "five_profiles",
            "title": "five profiles",
            "platform": "ds3gym",
            "settings": {"max_jobs_in_flight": 3},
            "length_us": 5000.0,
            "rates": [10.0, 40.0],
            "table_rate": 40.0,
        }
    ],
    "policies": [
        {
            "title": "five profiles",
            "curve": [
                {"seconds": 0.0, "steps": 0, "validation_us": 121.0, "etf_us": 120.0},
                {"seconds": 60.0, "steps": 500, "validation_us": 114.0, "etf_us": 120.0},
                {"seconds": 90.0, "steps": 1000, "validation_us": 117.0, "etf_us": 120.0},
            ],
        }
    ],
    "failures": {"optimum": {"runs": 6, "messages": ["no luck"]}},
    "runs": [
        {
            "problem": "five_profiles",
            "scheduler": scheduler,
            "rate": rate,
            "latency_us": [value + rate for value in latency],
            "p95_us": [200.0] * 3,
            "completed": [99.0, 100.0, 101.0],
            "energy_mj": [198.0, 200.0, 202.0],
        }
        for scheduler, latency in (
            ("met", [88.0, 90.0, 92.0]),
            ("etf", [79.0, 80.0, 81.0]),
            (LEARNED, [78.0, 79.0, 80.0]),
        )
        for rate in (10.0, 40.0)
    ],
}


def test_the_interval() -> None:
    # Mean 5, standard deviation sqrt(20 / 3), Student's t for 3 degrees of freedom 3.182446.
    expected = 3.182446 * math.sqrt(20.0 / 3.0) / 2.0
    assert half_width([2.0, 4.0, 6.0, 8.0]) == pytest.approx(expected, rel=1e-6)
    assert half_width([7.0, 7.0]) == 0.0
    assert half_width([7.0]) == math.inf


def test_the_excess_needs_as_many_streams() -> None:
    assert excess([110.0, 90.0], [100.0, 120.0]) == [10.0, -25.0]
    with pytest.raises(ValueError, match="shorter"):
        excess([1.0, 2.0], [1.0])


def test_the_table() -> None:
    text = render(STUDY)
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows] == [
        "| scheduler",
        "| ---",
        f"| `{LEARNED}`",  # by the latency at 40 jobs/ms
        "| `etf`",
        "| `met`",
    ]
    # Hand-computed: t is 4.302653 for 3 values; s / sqrt(3) is 1.154701 for 88, 90, 92.
    assert rows[4][1:] == [
        f"130.0 ± {4.302653 * 1.154701:.1f}",
        f"{fmean([900 / 119, 1000 / 120, 1100 / 121]):+.1f} % ± 1.9",
        "100.0 ± 2.5",
        "2",
        "100.0 |",
    ]
    assert rows[3][2] == "-"
    assert "3 streams" in text
    assert "trained for 1.5 minutes (1,000 decisions)" in text
    assert "after 500, -5.0 % against ETF there" in text
    assert "Failed: 6 runs of `optimum` (no luck)." in text


def test_a_single_seed_has_no_interval() -> None:
    study = {**STUDY, "seeds": 1}
    study["runs"] = [
        {**row, **{name: row[name][:1] for name in ("latency_us", "completed", "energy_mj")}}
        for row in STUDY["runs"]
    ]
    assert "±" not in render(study).split("|", 1)[1]


@pytest.mark.parametrize("name", ["five_profiles", "five_profiles_ds3gym"])
def test_a_policy_gets_the_jobs_that_schedulers_get(name: str) -> None:
    problem = PROBLEMS[name]
    [metrics] = measure(problem, "eft", [(20.0, 3)])
    kwargs = problem.env_kwargs(20.0)
    env = gym.make("ArchGym/SoCScheduler-v0", slots=1, **kwargs)
    observation, info = env.reset(seed=3)
    ended = False
    while not ended:
        # One slot: 5 numbers of the task, 3 execution times, 3 finish times.
        finish = np.where(info["action_mask"], observation[8:11], 2.0)
        observation, _, terminated, truncated, info = env.step(int(finish.argmin()))
        ended = terminated or truncated
    assert info["metrics"]["latency_mean_us"] == pytest.approx(metrics["latency_us"], rel=1e-3)
    assert info["metrics"]["completed_jobs"] == metrics["completed"]


def test_streams_do_not_depend_on_the_scheduler_and_differ_by_seed() -> None:
    assert len({job_seed(seed) for seed in range(50)}) == 50
    problem = PROBLEMS["five_profiles"]
    [first, second] = measure(problem, "etf", [(10.0, 0), (10.0, 1)])
    assert first != second
    assert [first] == list(measure(problem, "etf", [(10.0, 0)]))


def test_the_energy_of_tasks_with_powers() -> None:
    problem = PROBLEMS["five_profiles_ds3gym"]
    [metrics] = measure(problem, "met", [(40.0, 0)])
    arguments = {**problem.settings, "power": True, "length_us": problem.length_us}
    result = simulate(
        problem.platform,
        problem.mix,
        arrivals="poisson:mean_us=25",
        n_jobs=problem.n_jobs(40.0),
        seed=job_seed(0),
        scheduler="met",
        settings=Settings(**arguments),
    )
    assert result.latency_mean_us == metrics["latency_us"]
    micro_joules = float(result.sim.system[0, 0]["task_energy"])  # the kernel's own account
    assert metrics["energy_mj"] == pytest.approx(micro_joules * 1e-3, rel=1e-12)


def test_a_run_that_ends_early_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SchedulingProblem, "n_jobs", lambda *_: 5)
    with pytest.raises(ConfigError, match="all of 5 jobs entered before 50000 us"):
        list(measure(PROBLEMS["five_profiles"], "met", [(40.0, 0)]))


def _command(out: Path, *options: str) -> list[str]:
    return [
        *("experiment", "scheduling", "--problems", "five_profiles_ds3gym", "--rates", "10,40"),
        *("--seeds", "2", "--out", str(out), *options),
    ]


def test_the_experiment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = tmp_path / "README.md"
    page = f"# Page\n<!-- {TABLE}:begin -->\n<!-- {TABLE}:end -->\n"
    readme.write_text(page, encoding="utf-8")
    out = tmp_path / "runs"
    options = ("--train", "100", "--train-steps", "200", "--readme", str(readme))
    command = _command(out, "--schedulers", "met,eft,etf", *options)
    assert main(command) == 0
    text = (tmp_path / RESULTS / f"{TABLE}.json").read_text(encoding="utf-8")
    study = json.loads(text)
    assert (out / f"{TABLE}.json").read_text(encoding="utf-8") == text
    assert readme.read_text(encoding="utf-8") == insert_table(page, TABLE, render(study))
    assert capsys.readouterr().out.startswith(render(study))
    assert [(row["scheduler"], row["rate"]) for row in study["runs"]] == [
        (scheduler, rate) for scheduler in ("met", "eft", "etf", LEARNED) for rate in (10.0, 40.0)
    ]
    [problem], [learned] = study["problems"], study["policies"]
    assert (problem["table_rate"], learned["problem"]) == (40.0, "five_profiles_ds3gym")
    assert learned["curve"][-1]["steps"] >= 200
    for name in ("rates", "bars", "learning"):
        assert (out / f"{TABLE}_{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (out / f"{TABLE}_{name}.svg").read_text(encoding="utf-8")
    _check_csv(out / f"{TABLE}.csv", study["runs"])
    curve = _lines(out / "policy-five_profiles_ds3gym.csv")
    best = min(curve, key=lambda point: float(point["validation_us"]))
    assert float(best["validation_us"]) == min(p["validation_us"] for p in learned["curve"])

    def refuse(*_: object) -> None:
        raise AssertionError("a finished row was made again")

    # Nothing is measured or trained twice; another scheduler is.
    monkeypatch.setattr(scheduling, "_metrics", refuse)
    assert main(command) == 0
    assert (out / f"{TABLE}.json").read_text(encoding="utf-8") == text
    monkeypatch.undo()
    rows = (out / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 16
    (out / "rows.jsonl").write_text("\n".join([*rows[:9], rows[9][:20]]) + "\n", encoding="utf-8")
    assert main(command) == 0  # the last line was cut when a process was killed
    assert (out / f"{TABLE}.json").read_text(encoding="utf-8") == text

    policy = out / "policy-five_profiles_ds3gym.zip"
    other = _command(tmp_path / "other", "--schedulers", "etf", "--policy", str(policy))
    assert main([*other, "--no-plots"]) == 0
    again = json.loads((tmp_path / "other" / f"{TABLE}.json").read_text(encoding="utf-8"))
    assert again["runs"][-2:] == study["runs"][-2:]
    assert not list((tmp_path / "other").glob("*.png"))


def _lines(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def _check_csv(path: Path, runs: Sequence[dict[str, Any]]) -> None:
    lines = _lines(path)
    assert len(lines) == len(runs)
    for line, row in zip(lines, runs, strict=True):
        assert (line["scheduler"], float(line["jobs_per_ms"])) == (row["scheduler"], row["rate"])
        first, second = row["latency_us"]
        assert float(line["latency_us"]) == pytest.approx((first + second) / 2)
        # Of two values: t of one degree of freedom times half of their distance.
        expected = 12.7062047 * abs(first - second) / 2
        assert float(line["latency_us_half_width"]) == pytest.approx(expected, rel=1e-6)


def test_a_scheduler_that_fails_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise ArchGymError("no luck")

    monkeypatch.setattr(scheduling, "_metrics", fail)
    assert main(_command(tmp_path, "--schedulers", "met", "--no-plots")) == 1
    study = json.loads((tmp_path / f"{TABLE}.json").read_text(encoding="utf-8"))
    message = "five profiles as DS3Gym runs them: no luck"
    assert study["failures"] == {"met": {"runs": 4, "messages": [message]}}
    assert study["runs"] == []
    assert message in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--schedulers", "heft_r"], "unknown scheduler 'heft_r'. Did you mean 'heft_rt'?"),
        (["--problems", "five_profile"], "Did you mean 'five_profiles'?"),
        (["--rates", "0"], "numbers of jobs per ms from 0.001 to 1000"),
        (["--rates", "ten"], "got 'ten'"),
        (["--train", "-1"], "a number of seconds above 0"),
        (["--seeds", "0"], "a whole number of at least 1"),
    ],
)
def test_options_that_cannot_be_read(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["experiment", "scheduling", *options])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_policy_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "policy.zip"
    path.write_text("nothing", encoding="utf-8")
    assert main(_command(tmp_path / "runs", "--policy", str(path))) == 2
    assert "is no saved policy" in capsys.readouterr().err


def test_every_scheduler_has_a_place() -> None:
    assert LEARNED not in SCHEDULERS
    for problem in PROBLEMS.values():
        assert problem.nominal in problem.rates
        assert list(problem.rates) == sorted(set(problem.rates))


def test_the_readme_has_the_tables_of_the_results() -> None:
    study = json.loads((ROOT / RESULTS / f"{TABLE}.json").read_text(encoding="utf-8"))
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert page == insert_table(page, TABLE, render(study))
    learned = [run for run in study["runs"] if run["scheduler"] == "maskable_ppo"]
    assert learned
    assert all(len(run["latency_us"]) >= 10 for run in study["runs"])
