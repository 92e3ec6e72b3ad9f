"""Any program as an agent: designs against trials, in lines of JSON over its standard streams.

The program is started once and reads a line that says what to search:

    {"type": "start", "protocol": 1, "space": {"parameters": [...], "constraints": [...]},
     "objective": "minimize:delay_ns", "objectives": 1, "metrics": [{"name", "unit", "doc"}, ...],
     "budget": 100, "seed": 7}

A parameter has `name`, `kind`, `default`, `unit`, `doc` and `active_when`, and either `values` (a
list of all legal ones) or `low` and `high` (every integer, or every real number, between them;
`log` says whether a real one is best searched by its logarithm). The program answers with designs,
each complete:

    {"designs": [{"unit": "scalar", "lanes": 4, ...}, ...]}

and reads what became of them, with what is left of the budget. Rewards are maximised; `rewards`
has one entry for each objective. Designs beyond the budget are not evaluated and have no trial.

    {"type": "trials", "trials": [{"index", "design", "status", "message", "metrics", "reward",
     "rewards"}, ...], "remaining": 98}

When nothing remains, it reads {"type": "end", "best": {...} or null} instead and should exit. Its
standard error is free for notes. A resumed run starts the program anew and answers it from the
log, so that it has to make the same proposals for the same seed.
"""

from __future__ import annotations

import json
import os
import queue
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import IO, Any, ClassVar, NoReturn, cast

import numpy as np

from archgym_py.agent import Agent
from archgym_py.environment import DesignEnv
from archgym_py.errors import AgentError, ConfigError, DesignError
from archgym_py.evaluator import Trial
from archgym_py.space import Design, Integer, Parameter, ParameterSpace, Real, Value

__all__ = ["External"]

_PROTOCOL = 1
_MAX_LINE = 2**24
"""Longest line that is read from a program, in bytes."""
_GRACE_S = 2.0
"""Time that a program has to exit by itself after the end."""
_LAST_LINES = 10
"""Lines of standard error that an error message shows."""


class External(Agent):
    """Lets a program propose the designs; the module describes the protocol.

    The program is started without a shell, in a process group of its own, which is killed with
    everything in it when the search ends, however it ends. A program that sends what is no answer,
    says nothing for `timeout_s`, exits before the budget is spent, or proposes a design outside
    of the space ends the run with an `AgentError`; nothing of that answer is evaluated, and all
    samples before it stay in the log.

    Examples:
        >>> from archgym_py.simulators.toy import TOY_SPACE
        >>> External(TOY_SPACE, seed=0)
        Traceback (most recent call last):
        archgym_py.errors.ConfigError: agent 'external' needs 'command', a string: program and \
arguments, quoted as for a shell; no shell is used. Got None.
    """

    name: ClassVar[str] = "external"
    doc: ClassVar[str] = "any program that answers in lines of JSON"
    hyperparameters: ClassVar[ParameterSpace] = ParameterSpace(
        (Real("timeout_s", 0.1, 86400.0, log=True, default=60.0, doc="longest wait for an answer"),)
    )
    options: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"command": "program and arguments, quoted as for a shell; no shell is used"}
    )
    example: ClassVar[Mapping[str, Value]] = MappingProxyType(
        {"command": shlex.join([sys.executable, "-m", "archgym_py.agents.external_example"])}
    )

    def __init__(self, space: ParameterSpace, *, seed: int, **arguments: Value) -> None:
        super().__init__(space, seed=seed, **arguments)
        try:
            self._command = shlex.split(cast(str, self.config["command"]))
        except ValueError as error:
            raise ConfigError(f"agent 'external': the command cannot be split: {error}.") from error
        if not self._command:
            raise ConfigError("agent 'external': the command is empty. Name a program.")
        self._seed = seed

    def run(self, env: DesignEnv) -> None:
        """Evaluate what the program proposes until the budget is spent.

        Args:
            env: An environment of `space` whose evaluator has a budget.

        Raises:
            ConfigError: If the environment has another space, or its evaluator no budget.
            AgentError: If the program cannot be started, does not keep to the protocol, or ends
                too early.
        """
        self.begin(env)
        evaluator = env.evaluator
        if not evaluator.remaining:
            return
        with _Program(self._command, cast(float, self.config["timeout_s"])) as program:
            program.send(self._start(env))
            answers = 0
            while remaining := evaluator.remaining:
                answers += 1
                where = (
                    f"answer {answers}, after {evaluator.spent} of {evaluator.budget} samples, "
                    f"which are kept"
                )
                designs = self._read(program, where)
                trials = evaluator.evaluate_batch(designs[:remaining])
                if evaluator.remaining:
                    told = [_plain(trial) for trial in trials]
                    program.send(
                        {"type": "trials", "trials": told, "remaining": evaluator.remaining}
                    )
            best = evaluator.best
            program.send({"type": "end", "best": None if best is None else _plain(best)})
            program.finish()

    def express(self, rng: np.random.Generator) -> Design:
        """Return a random design that went through JSON."""
        return self.space.validate(json.loads(json.dumps(super().express(rng))))

    def _start(self, env: DesignEnv) -> dict[str, Any]:
        return {
            "type": "start",
            "protocol": _PROTOCOL,
            "space": {
                "parameters": [_describe(parameter) for parameter in self.space.parameters],
                "constraints": [{"name": c.name, "doc": c.doc} for c in self.space.constraints],
            },
            "objective": env.objective.name,
            "objectives": self.objectives,
            "metrics": [
                {"name": m.name, "unit": m.unit, "doc": m.doc} for m in env.simulator.metrics
            ],
            "budget": env.evaluator.budget,
            "seed": self._seed,
        }

    def _read(self, program: _Program, where: str) -> list[Design]:
        """Return the designs of the program's next answer, all of them legal."""
        line = program.receive(where)
        try:
            answer = json.loads(line, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:  # the latter: nested too deeply
            program.blame(f"{where}: {_short(line)} is no JSON ({error})", "Send one JSON object.")
        proposed = answer.get("designs") if isinstance(answer, dict) else None
        if not isinstance(proposed, list) or not proposed:
            program.blame(
                f"{where}: {_short(line)} has no list of designs",
                'Send {"designs": [...]} with at least one.',
            )
        designs = []
        for number, design in enumerate(proposed):
            try:
                designs.append(self.space.validate(design))
            except DesignError as error:
                program.blame(f"{where}: design {number} is not in the space: {error}", "")
        return designs


class _Program:
    """A running program, its streams, and the threads that keep them from blocking.

    Args:
        command: The program and its arguments.
        timeout_s: Longest wait for an answer.

    Raises:
        AgentError: If it cannot be started.
    """

    def __init__(self, command: Sequence[str], timeout_s: float) -> None:
        self._name = shlex.join(command)
        self._timeout_s = timeout_s
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise AgentError(
                f"the program {self._name!r} cannot be started: {error.strerror}. Give its path, "
                f"and make it executable."
            ) from error
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._messages: queue.Queue[bytes | None] = queue.Queue()
        self._notes: deque[str] = deque(maxlen=_LAST_LINES)
        # Each closes its stream. One that another process holds, having left the group, may stay
        # open for as long as that likes: its thread waits, and nobody waits for the thread.
        self._threads = [
            threading.Thread(target=job, daemon=True)
            for job in (self._write, self._read_answers, self._read_notes)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> _Program:
        return self

    def __exit__(self, *_: object) -> None:
        self._kill()

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a line; a program that does not read it is found out by its silence."""
        self._messages.put(json.dumps(message, allow_nan=False).encode() + b"\n")

    def receive(self, where: str) -> bytes:
        """Return the next line of the program.

        Raises:
            AgentError: If there is none in time, or it is too long.
        """
        try:
            line = self._lines.get(timeout=self._timeout_s)
        except queue.Empty:
            self.blame(
                f"{where}: nothing came for {self._timeout_s:g} s",
                "Flush every line, or raise timeout_s.",
            )
        if not line:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE_S)
            code = self._process.returncode
            ended = "closed its output" if code is None else f"exited with code {code}"
            self.blame(f"{where}: it {ended}", "Go on until the end is told.")
        if not line.endswith(b"\n"):
            self.blame(f"{where}: a line is cut or longer than {_MAX_LINE} bytes", "")
        return line

    def finish(self) -> None:
        """Give the program a short time to exit by itself."""
        self._messages.put(None)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)

    def blame(self, problem: str, remedy: str) -> NoReturn:
        """End the run because of the program.

        Raises:
            AgentError: Always.
        """
        self._kill()
        notes = "\n".join(self._notes)
        said = f"\nIts last lines on standard error:\n{notes}" if notes else ""
        raise AgentError(f"the program {self._name!r}, {problem}. {remedy}".rstrip() + said)

    def _kill(self) -> None:
        """Kill the program with all that it started; once is enough."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._messages.put(None)
        until = time.monotonic() + _GRACE_S
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._threads = []

    def _write(self) -> None:
        # A program that has ended is found out by whoever waits for its answer.
        with suppress(OSError), cast(IO[bytes], self._process.stdin) as stdin:
            while (message := self._messages.get()) is not None:
                stdin.write(message)
                stdin.flush()

    def _read_answers(self) -> None:
        with cast(IO[bytes], self._process.stdout) as stdout:
            while line := stdout.readline(_MAX_LINE):
                self._lines.put(line)
        self._lines.put(b"")

    def _read_notes(self) -> None:
        with cast(IO[bytes], self._process.stderr) as stderr:
            while line := stderr.readline(_MAX_LINE):
                self._notes.append(line[:1000].decode(errors="replace").rstrip())


def _describe(parameter: Parameter) -> dict[str, Any]:
    """Return a parameter as the start message has it."""
    described: dict[str, Any] = {
        "name": parameter.name,
        "kind": type(parameter).__name__.lower(),
        "default": parameter.default,
        "unit": parameter.unit,
        "doc": parameter.doc,
        "active_when": {name: list(values) for name, values in parameter.conditions},
    }
    if isinstance(parameter, Integer):
        return {**described, "low": parameter.low, "high": parameter.high}
    if isinstance(parameter, Real) and parameter.levels is None:
        return {**described, "low": parameter.low, "high": parameter.high, "log": parameter.log}
    values = [parameter.value_at(index) for index in range(parameter.cardinality or 0)]
    return {**described, "values": values}


def _plain(trial: Trial) -> dict[str, Any]:
    """Return what a program is told about a trial."""
    return {
        "index": trial.index,
        "design": dict(trial.design),
        "status": trial.status.value,
        "message": trial.message,
        "metrics": dict(trial.metrics),
        "reward": trial.reward,
        "rewards": list(trial.rewards),
    }


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not allowed")


def _short(line: bytes) -> str:
    text = line.decode(errors="replace").strip()
    return repr(text if len(text) <= 80 else f"{text[:80]}...")
