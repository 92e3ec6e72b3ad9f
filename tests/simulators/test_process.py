"""External programs: what they get and leave, how they fail, and that they never meet."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archgym_py.errors import ConfigError, SimulatorError, SimulatorTimeout
from archgym_py.simulators.process import Program, find_program, quantity


def python(code: str, timeout_s: float = 60.0) -> Program:
    return Program([sys.executable, "-c", code], timeout_s=timeout_s)


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which temporary folders are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_call_has_a_folder_that_goes_away(private: Path) -> None:
    program = python(
        "import os, pathlib, sys\n"
        "pathlib.Path('b/out.txt').write_text(open('a/in.txt').read() * 2)\n"
        "print(os.getcwd(), sys.argv[1]); print('note', file=sys.stderr)"
    )
    answer = program.call(
        ["$HOME; echo *"], files={"a/in.txt": "12 ", "b/x": b"\xff"}, read=["b/out.txt"]
    )
    folder, argument = answer.stdout.rstrip("\n").split(" ", 1)
    assert argument == "$HOME; echo *"  # no shell has seen it
    assert answer.files == {"b/out.txt": "12 12 "}
    assert answer.stderr == "note\n"
    assert answer.wall_s > 0
    assert Path(folder).is_relative_to(private)
    assert not list(private.iterdir())


def test_the_environment_is_ours_and_what_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "1")
    show = "import os; print(os.environ['OURS'], os.environ['ADDED'])"
    program = Program([sys.executable, "-c", show], environment={"ADDED": "2"})
    assert program.call([]).stdout == "1 2\n"
    assert "ADDED" not in os.environ


def test_a_program_reads_nothing_from_us() -> None:
    assert python("import sys; print(repr(sys.stdin.read()))").call([]).stdout == "''\n"


def test_a_failure_shows_the_last_lines() -> None:
    code = "import sys\nfor i in range(30): print('line', i, file=sys.stderr)\nsys.exit(3)"
    with pytest.raises(SimulatorError, match=r"exited with 3\. Its last lines:") as caught:
        python(code).call([])
    text = str(caught.value)
    assert "line 29" in text
    assert "line 20" in text
    assert "line 19" not in text


def test_a_failure_without_messages_shows_the_output() -> None:
    with pytest.raises(SimulatorError, match=r"exited with 1\. Its last lines:\s+on stdout"):
        python("print('on stdout'); raise SystemExit(1)").call([])


def test_a_crash_names_the_signal() -> None:
    with pytest.raises(SimulatorError, match="was killed by SIGSEGV"):
        python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)").call([])


def test_a_missing_result_file_is_an_error() -> None:
    with pytest.raises(SimulatorError, match=r"did not leave the file out\.txt: No such file"):
        python("pass").call([], read=["out.txt"])


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", ""])
def test_paths_stay_in_the_folder(path: str) -> None:
    with pytest.raises(ConfigError, match="is no path below"):
        python("pass").call([], files={path: "x"})
    with pytest.raises(ConfigError, match="is no path below"):
        python("pass").call([], read=[path])


HANGS = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
print("so far", flush=True)
time.sleep(600)
"""


def gone(pid: int) -> bool:
    """Return whether a process has ended, within a second."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
def test_a_program_that_hangs_is_killed_with_its_children(private: Path) -> None:
    note = private / "child"
    begun = time.monotonic()
    with pytest.raises(SimulatorTimeout, match=r"within 1\.5 s and was killed") as caught:
        python(HANGS, timeout_s=1.5).call([str(note)])
    assert "so far" in str(caught.value)
    assert time.monotonic() - begun < 2.5
    assert gone(int(note.read_text()))
    assert list(private.iterdir()) == [note]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
def test_children_do_not_outlive_a_program_that_ends(tmp_path: Path) -> None:
    note = tmp_path / "child"
    ends = HANGS.rpartition("time.sleep")[0]
    begun = time.monotonic()
    assert python(ends, timeout_s=60.0).call([str(note)]).stdout == "so far\n"
    assert time.monotonic() - begun < 30.0  # it did not wait for the child, which holds the output
    assert gone(int(note.read_text()))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
def test_an_interrupt_kills_the_program_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "child"

    def interrupt(_: float) -> None:
        if note.exists() and note.read_text():
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        python(HANGS).call([str(note)])
    monkeypatch.undo()
    assert gone(int(note.read_text()))


SIXTEEN = """
import sys
from concurrent.futures import ThreadPoolExecutor
from archgym_py.simulators.process import Program

ECHO = '''
import pathlib, sys, time
text = pathlib.Path('in').read_text()
time.sleep(float(text) % 7 / 1000)
assert [path.name for path in pathlib.Path('.').iterdir()] == ['in']
pathlib.Path('out').write_text(text)
print(pathlib.Path('in').read_text())
'''
program = Program([sys.executable, "-c", ECHO])

def echo(number):
    answer = program.call([], files={"in": str(number)}, read=["out"])
    return answer.stdout == f"{number}\\n" and answer.files == {"out": str(number)}

first = int(sys.argv[1])
with ThreadPoolExecutor(4) as threads:
    print(sum(threads.map(echo, range(first, first + 8))))
"""


def test_calls_at_the_same_time_do_not_mix() -> None:
    """Sixteen at a time: four threads in each of four processes."""
    processes = [
        subprocess.Popen([sys.executable, "-c", SIXTEEN, str(first)], stdout=subprocess.PIPE)
        for first in range(0, 32, 8)
    ]
    assert [process.communicate()[0] for process in processes] == [b"8\n"] * 4


def test_signals_to_us_do_not_reach_the_program() -> None:
    code = "import os; print(os.getpid() == os.getpgid(0))"
    assert python(code).call([]).stdout == "True\n"
    assert signal.getsignal(signal.SIGINT) is not None


def test_a_program_that_says_too_much_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archgym_py.simulators.process._MAX_OUTPUT", 2**20)
    with pytest.raises(SimulatorError, match="has more than 1048576 bytes"):
        python("print('x' * 1_500_000)").call([])
    with pytest.raises(SimulatorTimeout, match="did not finish"):
        python("import time; print('x' * 1_500_000, flush=True); time.sleep(60)", 1.0).call([])
    endless = "import sys\nwhile True: sys.stdout.write('x' * 10_000)"
    with pytest.raises(SimulatorError, match=r"SIGXFSZ|exited with 1"):
        python(endless).call([])


# --- Programs that are not there -----------------------------------------------------------------


def test_a_program_has_to_be_there(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("no program")
    for command in ([str(tmp_path / "none")], [str(plain)], ["no-such-program"]):
        with pytest.raises(ConfigError, match="is no program that can be executed"):
            Program(command)
    wrong: Sequence[str]
    for wrong in ([], "ls"):
        with pytest.raises(ConfigError, match="a command is a list"):
            Program(wrong)
    with pytest.raises(ConfigError, match="timeout_s"):
        python("pass", timeout_s=0.0)


def test_a_program_for_another_machine(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"\x7fELF nonsense")
    other.chmod(0o755)
    with pytest.raises(SimulatorError, match="cannot be started"):
        Program([other]).call([])


def test_a_relative_path_is_found_from_the_folder_of_a_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\necho here\n")
    (tmp_path / "tool").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    program = Program(["./tool"])
    assert program.call([]).stdout == "here\n"
    assert len(program.digest) == 64


def test_a_tool_is_found_by_argument_variable_and_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "c"))
    monkeypatch.delenv("ARCHGYM_TOOL", raising=False)

    def find(given: str | None = None) -> str:
        return find_program("tool", given=given, variable="ARCHGYM_TOOL", remedy="Buy one.")

    with pytest.raises(ConfigError, match=r"program=.*ARCHGYM_TOOL.* PATH\. Buy one\."):
        find()
    tools = []
    for folder in "abc":
        (tmp_path / folder).mkdir()
        tool = tmp_path / folder / "tool"
        tool.write_text("#!/bin/sh\n")
        tool.chmod(0o755)
        tools.append(str(tool))
    assert find() == tools[2]
    monkeypatch.setenv("ARCHGYM_TOOL", tools[1])
    assert find() == tools[1]
    assert find(tools[0]) == tools[0]
    with pytest.raises(ConfigError, match="program must be a name or a path"):
        find_program("tool", given=5, variable="ARCHGYM_TOOL", remedy="")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"program: .*nowhere"):
        find(str(tmp_path / "nowhere"))
    monkeypatch.setenv("ARCHGYM_TOOL", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=r"ARCHGYM_TOOL: .*nowhere"):
        find()


# --- Numbers with units --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("50025 ns", "ns", 50025.0),
        ("50468750 ps", "ns", 50468.75),
        ("1 us", "ns", 1000.0),
        ("2 ms", "ns", 2e6),
        ("3 s", "ns", 3e9),
        ("0 s", "ns", 0.0),
        ("7 fs", "ns", 7e-6),
        ("354964950.00 pJ", "pJ", 354964950.0),
        ("1.5e-3uJ", "pJ", 1500.0),
        ("1232.60 mW", "mW", 1232.6),
        ("1.2326 W", "mW", 1232.6),
        ("17.78 Gb/s", "Gb/s", 17.78),
        (" 800 MHz ", "MHz", 800.0),
    ],
)
def test_quantities(text: str, unit: str, value: float) -> None:
    assert quantity(text, unit) == value


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "is not a number with a unit"),
        ("12", "is not a number with a unit"),
        ("ns", "is not a number with a unit"),
        ("nan ns", "is not a number with a unit"),
        ("inf ns", "is not a number with a unit"),
        ("1,5 ns", "is not a number with a unit"),
        ("12 ns ns", "is not a number with a unit"),
        ("1e999 ns", "too large"),
        ("1e999999999 ns", "too large"),
        ("1e99999999999999999999 ns", "too large"),
        ("12 sn", "unknown unit 'sn'"),
        ("12 NS", "unknown unit 'NS'"),
        ("12 pJ", "'pJ' is a unit of energy"),
    ],
)
def test_no_quantities(text: str, error: str) -> None:
    with pytest.raises(SimulatorError, match=error):
        quantity(text, "ns")


@given(st.integers(0, 10**15), st.sampled_from(["fs", "ps", "ns", "us", "ms", "s"]))
def test_units_of_time_agree(number: int, unit: str) -> None:
    power = {"fs": -6, "ps": -3, "ns": 0, "us": 3, "ms": 6, "s": 9}[unit]
    exact = float(number * 10**power) if power >= 0 else number / 10**-power
    assert quantity(f"{number} {unit}", "ns") == exact
