"""Programs as agents: what they are told, and that nothing they do harms the run or its log."""

from __future__ import annotations

import gc
import json
import os
import shlex
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from archgym_py.agents import external
from archgym_py.agents.external import External
from archgym_py.config import RunConfig
from archgym_py.dataset import SampleDataset
from archgym_py.environment import DesignEnv
from archgym_py.errors import AgentError, ConfigError
from archgym_py.evaluator import MemoryRecorder, Trial
from archgym_py.runner import make_env, read_state, run
from archgym_py.simulator import Evaluation, Metric
from archgym_py.simulators.toy import TOY_SPACE
from archgym_py.space import Constraint, Design, Integer, Ordinal, ParameterSpace, Real

BEGIN = """
import json, os, subprocess, sys, time

def read():
    return json.loads(sys.stdin.readline())

def say(text):
    print(text, flush=True)

def propose(*designs):
    say(json.dumps({"designs": designs}))

start = read()
default = {p["name"]: p["default"] for p in start["space"]["parameters"]}
"""

# Walks through the values of the space, the same for the same seed.
GOOD = """
number, answer = start["seed"], {"type": "trials"}
while answer["type"] == "trials":
    number += 1
    propose({p["name"]: p["values"][number % len(p["values"])] if "values" in p
             else p["low"] + number % (p["high"] - p["low"] + 1)
             for p in start["space"]["parameters"]})
    answer = read()
"""


class Bowl:
    """A simulator of any space of numbers."""

    name = "bowl"
    version = "1"
    deterministic = True
    metrics = (Metric("cost", "1", 1e-3, 1e9, "how far away"),)

    def evaluate(self, design: Design, *, seed: int) -> Evaluation:
        return Evaluation({"cost": 1.0 + sum(abs(float(value)) for value in design.values())})

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external, "_GRACE_S", 0.5)


@pytest.fixture
def processes() -> Iterator[None]:
    """Check that no child of this process is left."""
    before = children()
    yield
    assert children() <= before


def children() -> set[int]:
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.add(int(folder.name))
    return found


def write(path: Path, body: str, begin: str = BEGIN) -> str:
    """Write a program; return the command that starts it."""
    path.write_text(begin + textwrap.dedent(body))
    return shlex.join([sys.executable, "-I", "-S", str(path)])


def toy_env(budget: int) -> tuple[DesignEnv, MemoryRecorder]:
    env, memory = make_env("ArchGym/Toy-v0"), MemoryRecorder()
    env.new_evaluator(budget=budget, recorder=memory)
    return env, memory


def drive(
    tmp_path: Path, body: str, budget: int = 5, *, begin: str = BEGIN, **arguments: Any
) -> list[Trial]:
    """Run a program on the toy; return the trials."""
    env, memory = toy_env(budget)
    command = write(tmp_path / "program.py", body, begin)
    try:
        External(env.space, seed=3, command=command, **arguments).run(env)
    finally:
        assert env.evaluator.spent == len(memory.trials)
    return memory.trials


def refusal(tmp_path: Path, body: str, budget: int = 5, **arguments: Any) -> str:
    """Run a program that has to be refused; return the message."""
    with pytest.raises(AgentError) as caught:
        drive(tmp_path, body, budget, **arguments)
    return str(caught.value)


# ---- programs that keep to the protocol ----------------------------------------------------------


@pytest.mark.usefixtures("processes")
def test_a_program_is_told_the_space_the_trials_and_the_end(tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    trials = drive(
        tmp_path,
        f"""
        log = open({str(heard)!r}, "w")
        log.write(json.dumps(start) + "\\n")
        answer = start
        while answer["type"] != "end":
            propose(default, {{**default, "lanes": 32, "stages": 12}})
            answer = read()
            log.write(json.dumps(answer) + "\\n")
        log.close()
        """,
    )
    start, *answers = [json.loads(line) for line in heard.read_text().splitlines()]

    parameters = {p["name"]: p for p in start.pop("space")["parameters"]}
    assert start == {
        "type": "start",
        "protocol": 1,
        "objective": "product:cost_usd*delay_ns",
        "objectives": 1,
        "metrics": [
            {"name": "cost_usd", "unit": "USD", "doc": "price of a chip with its cooling"},
            {"name": "delay_ns", "unit": "ns", "doc": "time for the whole workload"},
        ],
        "budget": 5,
        "seed": 3,
    }
    assert list(parameters) == list(TOY_SPACE.names)
    assert parameters["lanes"] == {
        "name": "lanes",
        "kind": "ordinal",
        "default": 4,
        "unit": "",
        "doc": "units side by side",
        "active_when": {},
        "values": [1, 2, 4, 8, 16, 32],
    }
    assert (parameters["stages"]["low"], parameters["stages"]["high"]) == (1, 12)
    assert parameters["buffer_kib"]["active_when"] == {"buffer": ["single", "double"]}
    assert len(parameters["voltage_v"]["values"]) == 9

    assert [answer["type"] for answer in answers] == ["trials", "trials", "end"]
    assert [answer.get("remaining") for answer in answers] == [3, 1, None]
    first, second = answers[0]["trials"]
    assert first == {
        "index": 0,
        "design": TOY_SPACE.default(),
        "status": "ok",
        "message": "",
        "metrics": dict(trials[0].metrics),
        "reward": trials[0].reward,
        "rewards": [trials[0].reward],
    }
    assert (second["status"], second["metrics"]) == ("infeasible", {})
    assert "registers" in second["message"]
    assert second["reward"] < first["reward"]
    assert answers[-1]["best"] == first
    assert [trial.index for trial in trials] == list(range(5))


def test_every_kind_of_parameter_is_described(tmp_path: Path) -> None:
    space = ParameterSpace(
        (
            Integer("integer", -5, 2**20, doc="many", unit="KiB"),
            Real("real", 0.5, 8.0, log=True),
            Real("grid", 0.0, 1.0, levels=3),
            Ordinal("ordinal", (0.5, 4.0)),
        ),
        (Constraint("small", "integer must be small", lambda design: int(design["integer"]) < 99),),
    )
    env = DesignEnv(space, Bowl(), "minimize:cost", action="box")
    memory = MemoryRecorder()
    env.new_evaluator(budget=2, recorder=memory)
    heard = tmp_path / "heard"
    command = write(
        tmp_path / "program.py",
        f"""
        open({str(heard)!r}, "w").write(json.dumps(start["space"]))
        propose(default, {{"integer": -5, "real": 1, "grid": 0.5, "ordinal": 4}})
        read()
        """,
    )
    External(space, seed=0, command=command).run(env)
    told = json.loads(heard.read_text())
    assert told["constraints"] == [{"name": "small", "doc": "integer must be small"}]
    integer, real, grid, ordinal = told["parameters"]
    assert (integer["kind"], integer["low"], integer["high"]) == ("integer", -5, 2**20)
    assert (integer["unit"], integer["doc"]) == ("KiB", "many")
    assert (real["kind"], real["low"], real["high"], real["log"]) == ("real", 0.5, 8.0, True)
    assert (grid["kind"], grid["values"]) == ("real", [0.0, 0.5, 1.0])
    assert (ordinal["kind"], ordinal["values"]) == ("ordinal", [0.5, 4.0])
    assert "values" not in integer
    assert "values" not in real
    assert [trial.design["real"] for trial in memory.trials] == [0.5, 1.0]


def test_several_objectives_are_told(tmp_path: Path) -> None:
    env = make_env("ArchGym/Toy-v0", {"objective": "pareto:delay_ns,cost_usd"})
    memory = MemoryRecorder()
    env.new_evaluator(budget=2, recorder=memory)
    heard = tmp_path / "heard"
    body = f"""
        propose(default)
        answer = read()
        open({str(heard)!r}, "w").write(json.dumps([start["objectives"], answer]))
        propose({{**default, "lanes": 8}})
        read()
        """
    External(env.space, seed=0, command=write(tmp_path / "program.py", body)).run(env)
    objectives, answer = json.loads(heard.read_text())
    assert objectives == 2
    assert answer["trials"][0]["rewards"] == list(memory.trials[0].rewards)


def test_the_seed_is_the_programs(tmp_path: Path) -> None:
    first, again = drive(tmp_path, GOOD), drive(tmp_path, GOOD)
    assert [trial.key for trial in first] == [trial.key for trial in again]
    assert first[0].design["lanes"] == 16  # value number seed + 1


@pytest.mark.usefixtures("processes")
def test_designs_beyond_the_budget_are_not_evaluated(tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    trials = drive(
        tmp_path,
        f"""
        propose(*[{{**default, "stages": number}} for number in range(1, 13)])
        open({str(heard)!r}, "w").write(sys.stdin.read())
        """,
    )
    assert [trial.design["stages"] for trial in trials] == [1, 2, 3, 4, 5]
    assert json.loads(heard.read_text())["type"] == "end"  # one line, then the end of the stream


@pytest.mark.usefixtures("processes")
def test_a_program_may_talk_without_listening(tmp_path: Path) -> None:
    begin = "import json\n"
    design = json.dumps({"designs": [TOY_SPACE.default()]})
    assert len(drive(tmp_path, f"for _ in range(5): print({design!r})", begin=begin)) == 5


@pytest.mark.usefixtures("processes")
def test_a_program_that_goes_on_after_the_end_is_stopped(tmp_path: Path) -> None:
    since = time.monotonic()
    assert len(drive(tmp_path, "while True: propose(default)")) == 5
    assert len(drive(tmp_path, "propose(*[default] * 5)\ntime.sleep(60)")) == 5
    assert time.monotonic() - since < 10.0


@pytest.mark.usefixtures("processes")
def test_much_on_standard_error_blocks_nothing(tmp_path: Path) -> None:
    trials = drive(tmp_path, "sys.stderr.write('note\\n' * 100_000)\npropose(*[default] * 5)")
    assert len(trials) == 5


def test_a_budget_that_is_spent_starts_no_program() -> None:
    env, _ = toy_env(0)
    External(env.space, seed=0, command="/no/such/program").run(env)


# ---- programs that do not ------------------------------------------------------------------------

WRONG = {
    "garbage": ("say('hello')", "'hello' is no JSON"),
    "empty line": ("say('')", "'' is no JSON"),
    "half an object": ("say('{\"designs\": [')", "is no JSON"),
    "no text": ("sys.stdout.buffer.write(b'\\xff\\xfe\\xfd\\n'); sys.stdout.flush()", "is no JSON"),
    "list": ("say('[1, 2]')", r"'\[1, 2\]' has no list of designs\. Send"),
    "number": ("say('17')", "'17' has no list of designs"),
    "null": ("say('null')", "'null' has no list of designs"),
    "no designs": ("propose()", "has no list of designs"),
    "one design": ("say(json.dumps({'designs': default}))", "has no list of designs"),
    "misspelt designs": ("say(json.dumps({'design': [default]}))", "has no list of designs"),
    "nan": ("propose({**default, 'voltage_v': float('nan')})", "NaN is not allowed"),
    "infinity": ("propose({**default, 'voltage_v': float('-inf')})", "-Infinity is not allowed"),
    "overflow": (
        "say(json.dumps({'designs': [default]}).replace('0.875', '1e999'))",
        "design 0 is not in the space: .*'voltage_v'",
    ),
    "huge": ("propose({**default, 'voltage_v': 10**400})", "'voltage_v'"),
    "huge integer": ("propose({**default, 'stages': 10**400})", "'stages'"),
    "many digits": ("say('{\"designs\": [' + '9' * 5000 + ']}')", "is no JSON"),
    "outside": (
        "propose(default, {**default, 'stages': 13})",
        r"design 1 is not in the space: .*'stages'.* 1\.\.12, got 13",
    ),
    "misspelt value": ("propose({**default, 'unit': 'Vector'})", "Did you mean 'vector'"),
    "misspelt parameter": (
        "default['lane'] = default.pop('lanes'); propose(default)",
        "design 0 is not in the space: .*'lane'.*Did you mean 'lanes'",
    ),
    "incomplete": ("del default['lanes']; propose(default)", "'lanes'"),
    "no object": ("propose(7)", "design 0 is not in the space"),
    "list for an object": ("propose(list(default))", "design 0 is not in the space"),
    "null for an object": ("propose(None)", "design 0 is not in the space"),
    "text for an object": ("propose('default')", "design 0 is not in the space"),
    "bool": ("propose({**default, 'stages': True})", "'stages'"),
    "list value": ("propose({**default, 'unit': ['vector']})", "'unit'"),
    "object value": ("propose({**default, 'lanes': {'value': 4}})", "'lanes'"),
    "null value": ("propose({**default, 'buffer_kib': None})", "'buffer_kib'"),
    "one surrogate": ("propose({**default, 'unit': '\\ud800'})", "'unit'"),
}


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize(("body", "message"), WRONG.values(), ids=list(WRONG))
def test_what_is_no_answer_ends_the_run(tmp_path: Path, body: str, message: str) -> None:
    before = "propose(default, default); read()\n"
    env, memory = toy_env(5)
    command = write(tmp_path / "program.py", before + body + "\nread()")
    with pytest.raises(
        AgentError, match=f"after 2 of 5 samples, which are kept: .*{message}"
    ) as error:
        External(env.space, seed=0, command=command).run(env)
    text = str(error.value)
    assert f"the program {command!r}, answer 2, " in text
    text.encode()  # can be printed
    assert len(memory.trials) == env.evaluator.spent == 2  # nothing of the answer is evaluated


def test_json_too_deep_is_no_answer(tmp_path: Path) -> None:
    assert "answer 1, after 0 of 5" in refusal(tmp_path, "say('[' * 100_000)")


def test_long_answers_are_shortened_in_messages(tmp_path: Path) -> None:
    message = refusal(tmp_path, "say('x' * 100_000)")
    assert f"{'x' * 80}...'" in message
    assert len(message) < 1000


@pytest.mark.usefixtures("processes")
def test_silence_ends_the_run_in_time(tmp_path: Path) -> None:
    since = time.monotonic()
    message = refusal(tmp_path, "propose(default); read(); time.sleep(60)", timeout_s=0.3)
    assert time.monotonic() - since < 10.0
    assert "nothing came for 0.3 s. Flush every line, or raise timeout_s." in message


@pytest.mark.usefixtures("processes")
def test_an_answer_that_is_not_flushed_is_silence(tmp_path: Path) -> None:
    body = "print(json.dumps({'designs': [default]})); time.sleep(60)"
    assert "Flush every line" in refusal(tmp_path, body, timeout_s=0.3)


@pytest.mark.usefixtures("processes")
def test_a_program_that_exits_at_once(tmp_path: Path) -> None:
    message = refusal(tmp_path, "", begin="")
    assert "answer 1, after 0 of 5 samples, which are kept: it exited with code 0." in message
    assert "standard error" not in message
    assert "exited with code 7" in refusal(tmp_path, "raise SystemExit(7)", begin="")
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    assert "exited with code -15" in refusal(tmp_path, killed, begin="")


@pytest.mark.usefixtures("processes")
def test_the_last_notes_of_a_program_are_shown(tmp_path: Path) -> None:
    message = refusal(
        tmp_path,
        """
        for number in range(30):
            print("note", number, file=sys.stderr)
        propose(default)
        read()
        raise ValueError("my model diverged")
        """,
    )
    assert "answer 2, after 1 of 5 samples, which are kept: it exited with code 1." in message
    head, _, notes = message.partition("\nIts last lines on standard error:\n")
    assert "program.py" in head
    assert notes.endswith("ValueError: my model diverged")
    assert len(notes.splitlines()) == 10
    assert "note 29" in notes
    assert "note 19" not in notes


@pytest.mark.usefixtures("processes")
def test_notes_that_are_no_text_are_shown_too(tmp_path: Path) -> None:
    body = "sys.stderr.buffer.write(b'bad \\xff' + b'y' * 5000); raise SystemExit(1)"
    message = refusal(tmp_path, body)
    assert "bad \ufffdyyy" in message
    assert len(message) < 1500


@pytest.mark.usefixtures("processes")
def test_a_program_that_closes_its_output(tmp_path: Path) -> None:
    body = "propose(default); read(); os.close(1); time.sleep(60)"
    assert "after 1 of 5 samples, which are kept: it closed its output." in refusal(tmp_path, body)


@pytest.mark.usefixtures("processes")
def test_a_line_without_an_end_is_cut(tmp_path: Path) -> None:
    body = "sys.stdout.write(json.dumps({'designs': [default]})); sys.stdout.flush()"
    assert "a line is cut or longer than" in refusal(tmp_path, body)


@pytest.mark.usefixtures("processes")
def test_a_line_too_long_is_not_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert external._MAX_LINE == 2**24
    monkeypatch.setattr(external, "_MAX_LINE", 10_000)
    body = "while True: sys.stdout.write('x' * 1000)"
    assert "a line is cut or longer than 10000 bytes" in refusal(tmp_path, body)


@pytest.mark.usefixtures("processes")
def test_a_long_line_is_read(tmp_path: Path) -> None:
    body = "say(' ' * 1_000_000 + json.dumps({'designs': [default] * 5}))"
    assert len(drive(tmp_path, body)) == 5


@pytest.mark.usefixtures("processes")
def test_a_program_that_never_reads_does_not_block(tmp_path: Path) -> None:
    # More than fits into a pipe is sent: whoever writes it waits.
    space = ParameterSpace((Ordinal("x", tuple(range(50_000))),))
    env = DesignEnv(space, Bowl(), "minimize:cost")
    env.new_evaluator(budget=5)
    command = write(tmp_path / "program.py", "import time\ntime.sleep(60)", begin="")
    since = time.monotonic()
    with pytest.raises(AgentError, match=r"nothing came for 0\.3 s"):
        External(space, seed=0, command=command, timeout_s=0.3).run(env)
    assert time.monotonic() - since < 10.0


# ---- what a program starts -----------------------------------------------------------------------


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # dead, and its parent has not asked for it yet


@pytest.mark.parametrize(
    "end",
    [
        "propose(*[default] * 5); read()",
        "say('garbage'); read()",
        "time.sleep(60)",
        "raise SystemExit(1)",
    ],
)
def test_children_of_a_program_die_with_it(tmp_path: Path, end: str) -> None:
    told = tmp_path / "pid"
    body = f"""
        child = subprocess.Popen(["sleep", "60"])
        open({str(told)!r}, "w").write(str(child.pid))
        {end}
        """
    env, _ = toy_env(5)
    agent = External(env.space, seed=0, command=write(tmp_path / "program.py", body), timeout_s=1.0)
    since = time.monotonic()
    if end.startswith("propose"):
        agent.run(env)
    else:
        with pytest.raises(AgentError):
            agent.run(env)
    assert time.monotonic() - since < 10.0
    child = int(told.read_text())
    wait_until(lambda: not alive(child))


def test_a_child_that_left_the_group_blocks_nothing(tmp_path: Path) -> None:
    told, threads, since = tmp_path / "pid", threading.active_count(), time.monotonic()
    message = refusal(
        tmp_path,
        f"""
        child = subprocess.Popen(["sleep", "60"], start_new_session=True)
        open({str(told)!r}, "w").write(str(child.pid))
        print("note", file=sys.stderr, flush=True)
        say("garbage")
        """,
    )
    assert time.monotonic() - since < 10.0
    assert message.endswith("note")
    # It holds the streams; once it ends, those who read them end too, and close them.
    os.kill(int(told.read_text()), signal.SIGKILL)
    wait_until(lambda: threading.active_count() == threads)
    gc.collect()  # warns of what is not closed


def test_an_error_of_the_run_stops_the_program(tmp_path: Path) -> None:
    class Full(MemoryRecorder):
        def append(self, trial: Trial) -> None:
            raise OSError(28, "No space left on device")

    told = tmp_path / "pid"
    env = make_env("ArchGym/Toy-v0")
    env.new_evaluator(budget=5, recorder=Full())
    body = f"open({str(told)!r}, 'w').write(str(os.getpid()))\npropose(default)\ntime.sleep(60)"
    with pytest.raises(OSError, match="No space left"):
        External(env.space, seed=0, command=write(tmp_path / "program.py", body)).run(env)
    assert not alive(int(told.read_text()))


# ---- commands ------------------------------------------------------------------------------------


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    env, _ = toy_env(5)
    command = f"{tmp_path / 'nothing'} --fast"
    with pytest.raises(AgentError, match="cannot be started: No such file or directory") as error:
        External(env.space, seed=0, command=command).run(env)
    assert command in str(error.value)


def test_a_program_that_is_not_executable(tmp_path: Path) -> None:
    env, _ = toy_env(5)
    write(tmp_path / "program.py", GOOD)
    for path in (tmp_path / "program.py", tmp_path):
        with pytest.raises(
            AgentError, match=r"Permission denied\. Give its path, and make it exec"
        ):
            External(env.space, seed=0, command=str(path)).run(env)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("python 'my program.py", "the command cannot be split: No closing quotation"),
        ("", "the command is empty. Name a program"),
        ("  ", "the command is empty"),
        (17, "needs 'command', a string: program and arguments.* Got 17"),
        (["python", "x.py"], "needs 'command', a string"),
    ],
)
def test_what_is_no_command_is_refused(command: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        External(TOY_SPACE, seed=0, command=command)


def test_quotes_keep_arguments_together_and_no_shell_is_used(tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    body = f"open({str(heard)!r}, 'w').write(json.dumps(sys.argv[1:]))\npropose(default); read()"
    command = write(tmp_path / "program.py", body) + " 'a b' $HOME '*' '&&' x"
    env, _ = toy_env(1)
    External(env.space, seed=0, command=command).run(env)
    assert json.loads(heard.read_text()) == ["a b", "$HOME", "*", "&&", "x"]


# ---- logged runs ---------------------------------------------------------------------------------


def make(out: Path, command: str, **changes: Any) -> RunConfig:
    arguments = {"command": command, "timeout_s": 10.0, **changes}
    return RunConfig(
        env="ArchGym/Toy-v0", agent="external", budget=40, seed=2, out=out, agent_kwargs=arguments
    )


def rows(run_dir: Path) -> pa.Table:
    return SampleDataset(run_dir).table().drop_columns(["wall_s"])


BREAKS = {
    "garbage": "say('oops')",
    "outside": "propose({**default, 'stages': 99})",
    "exit": "raise SystemExit(3)",
    "close": "os.close(1)",
}


@pytest.mark.parametrize("how", BREAKS.values(), ids=list(BREAKS))
@pytest.mark.parametrize("done", [0, 17])
def test_a_run_goes_on_with_the_repaired_program(tmp_path: Path, how: str, done: int) -> None:
    path = tmp_path / "program.py"
    broken = GOOD.replace(
        "    number += 1\n",
        f"    number += 1\n    if number > start['seed'] + {done}:\n        {how}\n",
    )
    config = make(tmp_path / "cut", write(path, broken))
    with pytest.raises(AgentError, match=f"after {done} of 40 samples, which are kept"):
        run(config)
    if done:
        [log] = SampleDataset(tmp_path / "cut").runs()
        assert log.rows == done
        state = read_state(log.folder)
        assert state is not None
        assert (state.state, state.samples, state.budget) == ("failed", done, 40)
        assert "program.py" in state.message

    whole = run(make(tmp_path / "whole", write(path, GOOD)))
    assert whole.trials == 40
    if done:
        kept = rows(tmp_path / "cut")
        assert kept.equals(rows(whole.run_dir).slice(0, done))
    result = run(config, resume=True)
    assert rows(result.run_dir).equals(rows(whole.run_dir))
    state = read_state(result.run_dir)
    assert state is not None
    assert (state.state, state.samples) == ("finished", 40)
