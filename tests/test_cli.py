"""The command: results on stdout, everything else on stderr, exit codes that scripts can use."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import archgym_py
from archgym_py.cli import main
from archgym_py.config import RunConfig
from archgym_py.dataset import SampleDataset
from archgym_py.registration import ENVS
from archgym_py.registry import AGENTS
from archgym_py.runner import CONFIG_NAME, run
from archgym_py.simulators.toy import TOY_SPACE, ToySimulator

TOY = "ArchGym/Toy-v0"
COMMANDS = (
    *("list", "run", "evaluate", "explain", "replay", "best", "enumerate", "plot", "experiment"),
)


def toy_run(out: Path, *more: str, agent: str = "random_search", budget: int = 50) -> list[str]:
    command = ["run", "--env", TOY, "--agent", agent, "--budget", str(budget)]
    return [*command, "--out", str(out), *more]


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "archgym_py.cli", *arguments]
    return subprocess.Popen(command, text=True, stderr=subprocess.PIPE, **options)


# ---- list ------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["envs", "agents"])
def test_list_begins_lines_with_names(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", what]) == 0
    lines = capsys.readouterr().out.splitlines()
    expected = {"envs": [entry.id for entry in ENVS], "agents": list(AGENTS.names())}
    assert [line.split()[0] for line in lines] == expected[what]
    assert all(len(line.split()) > 2 for line in lines)


def test_list_shows_hyperparameters(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "agents", "--verbose"]) == 0
    lines = capsys.readouterr().out.splitlines()
    starts = [index for index, line in enumerate(lines) if not line.startswith(" ")]
    assert [lines[start].split()[0] for start in starts] == list(AGENTS.names())
    for name, start, end in zip(AGENTS.names(), starts, [*starts[1:], None], strict=True):
        shown = {line.split()[0]: line for line in lines[start + 1 : end]}
        for parameter in AGENTS.load(name).hyperparameters.parameters:
            assert parameter.describe() in shown[parameter.name]
            assert str(parameter.default) in shown[parameter.name]
        for option, meaning in AGENTS.load(name).options.items():
            assert shown["required:"].strip() == f"required: {option}, a string: {meaning}"


def test_list_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line and " " not in line] == [
        "envs",
        "agents",
        "proxies",
        "simulators",
        "workloads",
        "networks",
        "experiments",
    ]
    assert {line.split()[0] for line in lines if line} >= {TOY, "genetic", "toy", "cloud", "stream"}
    [alexnet] = [line for line in lines if line.startswith("alexnet")]
    assert alexnet.split()[1:3] == ["1.135", "GMAC,"]


# ---- run -------------------------------------------------------------------------------------


def test_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot = tmp_path / "best.png"
    more = ["--set", "objective=minimize:delay_ns", "--hp", "batch_size=7", "--seed", "3"]
    assert main(toy_run(tmp_path / "runs", *more, "--plot", str(plot))) == 0
    captured = capsys.readouterr()
    samples = SampleDataset(tmp_path / "runs")
    [log] = samples.runs()
    assert len(samples) == 50
    assert log.info.env_kwargs == '{"objective":"minimize:delay_ns"}'
    assert log.info.agent_config == '{"batch_size":7}'
    assert log.info.seed == 3
    best = samples.best()
    assert best is not None
    assert captured.out.startswith("50 samples (")
    assert str(log.folder) in captured.out
    delay = next(line for line in captured.out.splitlines() if line.startswith("delay_ns"))
    assert delay.split()[2:] == [f"{best.metrics['delay_ns']:.6g}", "ns"]
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert f"best reward {best.reward:.5g}" in captured.err
    assert "50/50" in captured.err


def test_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(toy_run(tmp_path)) == 0
    first = capsys.readouterr().out.split("\n", 1)[1]
    assert main(toy_run(tmp_path)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1].startswith("archgym: error: ")
    assert "--resume" in captured.err
    assert main(toy_run(tmp_path, "--resume")) == 0
    assert capsys.readouterr().out.split("\n", 1)[1] == first


def test_policies_are_not_for_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--agent", "random_search", "--budget", "5", "--out", str(tmp_path / "out")]
    for env_id in (entry.id for entry in ENVS if not entry.is_design):
        assert main(["run", "--env", env_id, *arguments]) == 2
        message = capsys.readouterr().err.splitlines()[-1]
        assert message.startswith(f"archgym: error: {env_id} is no design environment")
        assert "gymnasium.make" in message
        assert "`archgym experiment scheduling`" in message
    assert not (tmp_path / "out").exists()


def test_options_go_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    RunConfig(
        env=TOY,
        agent="genetic",
        budget=30,
        seed=1,
        env_kwargs={"objective": "minimize:delay_ns", "action": "box"},
        agent_kwargs={"population_size": 12},
        out=tmp_path / "runs",
    ).to_yaml(file)

    def result(*more: str) -> RunConfig:
        before = set((tmp_path / "runs").rglob(CONFIG_NAME))
        assert main(["run", "--config", str(file), *more]) == 0
        [added] = set((tmp_path / "runs").rglob(CONFIG_NAME)) - before
        return RunConfig.from_yaml(added)

    assert result() == RunConfig.from_yaml(file)
    changed = result("--seed", "2", "--budget", "20", "--set", "action=multidiscrete")
    assert (changed.seed, changed.budget) == (2, 20)
    assert changed.env_kwargs == {"objective": "minimize:delay_ns", "action": "multidiscrete"}
    assert changed.agent_kwargs == {"population_size": 12}
    other = result("--agent", "random_search")
    assert other.agent_kwargs == {}
    assert other.env_kwargs == {"objective": "minimize:delay_ns", "action": "box"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--agent", "genetic", "--budget", "5"], "--env is missing"),
        (["--env", TOY, "--agent", "genetic"], "--budget is missing"),
        (["--env", TOY, "--agent", "gentic", "--budget", "5"], "Did you mean 'genetic'?"),
        (["--env", "ArchGym/Toy", "--agent", "genetic", "--budget", "5"], "Did you mean"),
        (["--env", TOY, "--agent", "genetic", "--budget", "5", "--set", "x"], "key=value"),
        (["--env", TOY, "--agent", "genetic", "--budget", "5", "--hp", "elits=1"], "'elites'"),
        (["--env", TOY, "--agent", "genetic", "--budget", "5", "--seed", "-1"], "seed"),
        (["--config", "none.yaml"], "none.yaml: cannot be read"),
        (["--env", TOY, "--agent", "genetic", "--budget", "5", "--plot", "a.bmp"], ".png"),
    ],
)
def test_mistakes_in_run(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    last = captured.err.splitlines()[-1]
    assert last.startswith("archgym: error: ")
    assert message in last
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["ran"], "invalid choice: 'ran'"),
        (["list", "env"], "invalid choice: 'env'"),
        (["run", "--budget", "0"], "must be a whole number of at least 1, got '0'"),
        (["run", "--budget", "1e3"], "must be a whole number of at least 1, got '1e3'"),
        (["evaluate", TOY], "--designs"),
        (["replay", "runs", "--limit", "-1"], "must be a whole number of at least 1, got '-1'"),
        (["enumerate", TOY, "--metric", "delay_ns"], "--out"),
    ],
)
def test_mistakes_in_usage(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert "examples:" in out
    assert f"archgym {command}" in out.split("examples:")[1]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == archgym_py.__version__


# ---- evaluate --------------------------------------------------------------------------------


def test_evaluate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "designs.jsonl"
    lines = ['{"id": "a", "design": {"lanes": 8}}', "{", '{"id": null, "design": {}}']
    file.write_text("\n".join(lines))
    assert main(["evaluate", TOY, "--designs", str(file), "--defaults"]) == 1
    captured = capsys.readouterr()
    answers = [json.loads(line) for line in captured.out.splitlines()]
    assert [list(answer) for answer in answers] == [["id", "status", "metrics"]] * 2
    assert [answer["id"] for answer in answers] == ["a", None]
    default = ToySimulator().evaluate(TOY_SPACE.default(), seed=0)
    assert answers[1]["metrics"] == default.metrics
    assert captured.err.startswith(f"archgym: {file}, line 2: not valid JSON")
    assert len(captured.err.splitlines()) == 1

    file.write_text(lines[0])
    assert main(["evaluate", TOY, "--designs", str(file), "--defaults"]) == 0
    assert main(["evaluate", TOY, "--designs", str(file)]) == 1
    assert "line 1: " in capsys.readouterr().err
    assert main(["evaluate", TOY, "--designs", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err == (
        f"archgym: error: {tmp_path / 'none'}: No such file or directory\n"
    )


def test_warnings_are_notes(tmp_path: Path) -> None:
    trace = tmp_path / "far.stl"
    trace.write_text("0: read 0xFFFFFFFFFF\n")
    designs = tmp_path / "designs.jsonl"
    designs.write_text(json.dumps({"id": 1, "design": {}, "kwargs": {"workload": str(trace)}}))
    process = start(
        *("evaluate", "ArchGym/DRAMController-v0", "--defaults", "--designs", str(designs)),
        stdout=subprocess.PIPE,
    )
    _, errors = process.communicate(timeout=60)
    assert errors.startswith("archgym: warning: address map ")
    assert errors.count("\n") == 1


def test_evaluate_answers_before_it_reads_on() -> None:
    process = start(
        *["evaluate", TOY, "--designs", "-", "--defaults"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for number in range(3):
        process.stdin.write(json.dumps({"id": number, "design": {"lanes": 1}}) + "\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["id"] == number
    out, err = process.communicate()
    assert (out, err, process.returncode) == ("", "", 0)


def test_evaluate_from_stdin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b'{"id": 1, "design": {}}\n'))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert main(["evaluate", TOY, "--designs", "-", "--defaults", "--set", "action=box"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == 1


# ---- commands that read logs -----------------------------------------------------------------


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for agent in ("random_search", "genetic"):
        run(RunConfig(env=TOY, agent=agent, budget=100, out=folder))
    return folder


def test_best(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["best", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "default" in lines[2]
    assert "genetic seed 0" in lines[2]
    assert "random_search seed 0" in lines[2]
    assert [line.split()[0] for line in lines[3:]] == [
        *["sample", "reward", "cost_usd", "delay_ns"],
        *TOY_SPACE.names,
    ]


def test_plot(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plot", str(out), "--out", str(tmp_path / "a.png")]) == 0
    assert (tmp_path / "a.png").exists()
    assert main(["plot", str(tmp_path), "--out", str(tmp_path / "a.png")]) == 2
    assert "holds no logged run" in capsys.readouterr().err


def test_replay(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(out)]) == 0
    assert [line.split(": ")[1] for line in capsys.readouterr().out.splitlines()] == [
        "100 samples compared, 0 mismatches"
    ] * 2
    evaluate = ToySimulator.evaluate

    def dearer(simulator: ToySimulator, design: Any, *, seed: int) -> Any:
        evaluation = evaluate(simulator, design, seed=seed)
        return type(evaluation)({**evaluation.metrics, "cost_usd": 10.0})

    monkeypatch.setattr(ToySimulator, "evaluate", dearer)
    assert main(["replay", str(out), "--limit", "3"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert sum("metric.cost_usd: logged" in line and "now 10.0" in line for line in lines) == 6
    assert sum("3 samples compared" in line for line in lines) == 2


def test_enumerate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "optima" / "toy.json"
    command = ["enumerate", TOY, "--metric", "delay_ns", "--maximize", "cost_usd"]
    assert main([*command, "--set", "action=box", "--out", str(file)]) == 0
    found = json.loads(file.read_text())
    assert found["env_kwargs"] == {"action": "box"}
    assert found["metrics"]["delay_ns"]["goal"] == "minimize"
    assert found["metrics"]["cost_usd"]["goal"] == "maximize"
    assert found["command"].startswith("archgym enumerate ArchGym/Toy-v0 --metric delay_ns")
    captured = capsys.readouterr()
    assert f"delay_ns: {found['metrics']['delay_ns']['optimum']} ns" in captured.out
    assert f"{found['designs']}/{found['designs']}" in captured.err
    assert main(["enumerate", TOY, "--metric", "delay", "--out", str(file)]) == 2
    assert "Did you mean 'delay_ns'?" in capsys.readouterr().err


def test_enumerate_refuses_a_folder_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["enumerate", TOY, "--metric", "delay_ns", "--out", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.err == f"archgym: error: {tmp_path}: is a folder. Name the file to write.\n"


# ---- signals and pipes -----------------------------------------------------------------------


def test_an_interrupt_leaves_a_log_that_goes_on(tmp_path: Path) -> None:
    arguments = toy_run(tmp_path, "--flush-rows", "20", budget=100_000)
    process = start(*arguments, stdout=subprocess.PIPE)
    deadline = time.monotonic() + 60.0
    while not list(tmp_path.rglob("part-*.parquet")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-2:] == [
        "archgym: what was sampled is logged; the same command with --resume continues",
        "archgym: interrupted",
    ]
    assert "Traceback" not in err
    assert 0 < len(SampleDataset(tmp_path)) < 100_000


def test_a_reader_that_leaves_is_no_error(out: Path) -> None:
    with start("best", str(out), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert process.returncode == 141


# ---- agents that fail, or have several goals -----------------------------------------------------


def test_a_misbehaving_program_ends_the_run_with_a_readable_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import json, sys\n"
        "start = json.loads(sys.stdin.readline())\n"
        "design = {p['name']: p['default'] for p in start['space']['parameters']}\n"
        "print(json.dumps({'designs': [design] * 3}), flush=True)\n"
        "sys.stdin.readline()\n"
        "print('I do not know', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    command = f"command={sys.executable} {program}"
    assert main(toy_run(tmp_path / "runs", "--hp", command, agent="external", budget=9)) == 2
    err = capsys.readouterr().err
    assert "error: the program" in err
    assert "answer 2, after 3 of 9 samples, which are kept: 'I do not know' is no JSON" in err
    assert "--resume continues" in err
    assert main(["best", str(tmp_path / "runs")]) == 0
    captured = capsys.readouterr()
    assert "external seed 0" in captured.out
    assert "failed after 3 of 9 samples: the program" in captured.err


def test_several_goals_end_with_the_trade_offs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    goals = ("--set", "objective=pareto:delay_ns=40,cost_usd=9")
    assert main(toy_run(tmp_path, *goals, agent="nsga2")) == 0
    shown = capsys.readouterr().out
    assert "designs that no other dominates" in shown
    assert "(reference point: delay_ns 40 ns, cost_usd 9 USD)" in shown
    assert main(["best", str(tmp_path)]) == 0
    again = capsys.readouterr().out
    assert again.partition("nsga2 seed 0: ")[2] == shown.partition("nsga2 seed 0: ")[2] != ""


def test_tensorboard_logs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board = ("--tensorboard", str(tmp_path / "board"))
    assert main(toy_run(tmp_path / "a", *board)) == 2
    assert "'random_search' writes no TensorBoard logs" in capsys.readouterr().err
    assert main(toy_run(tmp_path / "b", *board, agent="ppo", budget=20)) == 0
    assert list((tmp_path / "board").rglob("events.out.tfevents*"))


# --- archgym report ------------------------------------------------------------------------------


def test_report_of_plain_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for agent in ("random_search", "genetic"):
        command = ["run", "--env", "ArchGym/Toy-v0", "--agent", agent, "--budget", "40"]
        assert main([*command, "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["report", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "Toy, 40 samples" in out
    assert "2 runs." in out
    assert f"page: {tmp_path / 'report.html'}" in out
    assert "genetic" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_report_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "holds no logged run" in capsys.readouterr().err


def test_report_into_nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "none" / "report.html"
    assert main(["report", str(tmp_path), "--out", str(page)]) == 2
    assert "does not exist" in capsys.readouterr().err
