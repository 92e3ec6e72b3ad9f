"""The `archgym` command.

Results go to stdout; progress, notes and errors go to stderr. Exit codes: 0 all is well, 1 the
command did its work and found something wrong (a bad line, a mismatch), 2 it could not do its work,
130 interrupted, 141 nobody reads its output.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

import archgym_py
from archgym_py.command_line import add_campaign_options, add_command, count
from archgym_py.config import RunConfig, parse_settings
from archgym_py.errors import AgentError, ArchGymError, ConfigError, PoolError
from archgym_py.files import write_text
from archgym_py.progress import progress_bar
from archgym_py.registration import ENVS
from archgym_py.registry import AGENTS, EXPERIMENTS, PROXIES, SIMULATORS

if TYPE_CHECKING:
    from archgym_py.evaluator import Trial

__all__ = ["Experiment", "main"]

_BROKEN_PIPE = 128 + 13  # what a shell reports for a program that SIGPIPE ended
_INTERRUPTED = 128 + 2


class Experiment(Protocol):
    """What `EXPERIMENTS` names: a class without arguments of the constructor.

    Attributes:
        doc: One line that says what is measured.
    """

    doc: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options of the experiment; an epilog with examples may be set too."""

    def run(self, args: argparse.Namespace, write: Callable[[str], object]) -> int:
        """Make the experiment.

        It keeps what it has finished, so that the same command continues when it was interrupted.

        Args:
            args: The options, and `command_line`.
            write: Takes a line of the result.

        Returns:
            The exit code: 1 if some part of the experiment failed.
        """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the `archgym` command.

    Args:
        arguments: What follows the command's name; those of the process where left out.

    Returns:
        The exit code.

    Raises:
        SystemExit: If the arguments cannot be parsed (code 2) or ask for help (code 0).
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parsed = _parser("".join(arguments[:1])).parse_args(arguments)
    parsed.command_line = shlex.join(["archgym", *arguments])
    try:
        command: Callable[[argparse.Namespace], int] = parsed.handler
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            code = command(parsed)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Python flushes stdout once more when it exits, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except KeyboardInterrupt:
        _note("interrupted")
        return _INTERRUPTED
    except ArchGymError as error:
        _note(f"error: {error}")
        return 2
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        _note(f"error: {where}{error.strerror or error}")
        return 2


def _write(text: str) -> None:
    """Write a line of result."""
    sys.stdout.write(text + "\n")


def _note(text: str) -> None:
    """Write a line about the work itself."""
    sys.stderr.write(f"archgym: {text}\n")


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Show a warning like a note: its place in the source says nothing to who runs a command."""
    _note(f"warning: {message}")


def _list(args: argparse.Namespace) -> int:
    sections = [args.what] if args.what else list(_SECTIONS)
    for number, section in enumerate(sections):
        if len(sections) > 1:
            _write(f"{'' if number == 0 else chr(10)}{section}")
        entries = _SECTIONS[section]()
        width = max(map(len, entries))
        for name, doc in entries.items():
            _write(f"{name:<{width}}  {doc}")
            if args.verbose and section in ("agents", "proxies"):
                listed = (AGENTS if section == "agents" else PROXIES).load(name)
                table = listed.hyperparameters.describe()
                _write("\n".join(f"    {line}" for line in table.splitlines()))
                for option, meaning in getattr(listed, "options", {}).items():
                    _write(f"    required: {option}, a string: {meaning}")
    return 0


def _workloads() -> dict[str, str]:
    from archgym_py.simulators.dram.workloads import WORKLOADS

    return dict(WORKLOADS)


def _networks() -> dict[str, str]:
    from archgym_py.simulators.dnn.networks import load_network, network_names

    networks = {name: load_network(name) for name in network_names()}
    return {
        name: f"{network.macs / 1e9:9.3f} GMAC, {network.description}"
        for name, network in networks.items()
    }


_SECTIONS: dict[str, Callable[[], dict[str, str]]] = {
    "envs": lambda: {entry.id: entry.doc for entry in ENVS},
    "agents": lambda: {name: AGENTS.load(name).doc for name in AGENTS.names()},
    "proxies": lambda: {name: PROXIES.load(name).doc for name in PROXIES.names()},
    "simulators": lambda: {
        name: (inspect.getdoc(SIMULATORS.load(name)) or "").partition("\n")[0]
        for name in SIMULATORS.names()
    },
    "workloads": _workloads,
    "networks": _networks,
    "experiments": lambda: {name: EXPERIMENTS.load(name).doc for name in EXPERIMENTS.names()},
}


def _run(args: argparse.Namespace) -> int:
    from archgym_py.dataset import SampleDataset
    from archgym_py.report import Finding, check_image, comparison, plot_best_so_far, trade_offs
    from archgym_py.runner import run

    config = _run_config(args)
    if args.plot is not None:
        check_image(args.plot)  # before the samples are spent
    with progress_bar(config.budget, "sample") as bar:
        best = float("-inf")
        bar.set_postfix_str("a new install compiles its simulator first, once")

        def progress(trial: Trial) -> None:
            nonlocal best
            if trial.status == "ok" and trial.reward > best:
                best = trial.reward
            found = f"best reward {best:.5g}" if best > float("-inf") else "none feasible yet"
            bar.set_postfix_str(found, refresh=False)
            bar.update(trial.index + 1 - bar.n)

        try:
            result = run(
                config,
                resume=args.resume,
                progress=progress,
                tensorboard=args.tensorboard,
                flush_rows=args.flush_rows,
                flush_s=args.flush_s,
            )
        except (KeyboardInterrupt, AgentError):
            bar.close()
            _note("what was sampled is logged; the same command with --resume continues")
            raise
        bar.update(result.trials - bar.n)
    counts = ", ".join(f"{number} {status.value}" for status, number in result.counts.items())
    _write(
        f"{result.trials} samples ({counts}) in {result.wall_s:.1f} s, logged in {result.run_dir}"
    )
    _write("")
    finding = Finding(result.log, result.best, result.pareto)
    sys.stdout.write(comparison([finding]) + trade_offs([finding]))
    if args.plot is not None:
        plot_best_so_far(SampleDataset(result.run_dir), args.plot)
        _write(f"\nbest-so-far curve: {args.plot}")
    return 0


def _run_config(args: argparse.Namespace) -> RunConfig:
    """Put together what the file and the options say; options go before."""
    given = {
        name: getattr(args, name)
        for name in ("env", "agent", "budget", "seed", "out")
        if getattr(args, name) is not None
    }
    env_kwargs, agent_kwargs = parse_settings(args.set), parse_settings(args.hp)
    if args.config is not None:
        base = RunConfig.from_yaml(args.config).to_mapping()
        # Arguments of another environment or agent than the file's have nothing to do with it.
        if given.get("env", base["env"]) == base["env"]:
            env_kwargs = {**base["env_kwargs"], **env_kwargs}
        if given.get("agent", base["agent"]) == base["agent"]:
            agent_kwargs = {**base["agent_kwargs"], **agent_kwargs}
        given = {**base, **given}
    for name in ("env", "agent", "budget"):
        if name not in given:
            raise ConfigError(f"--{name} is missing. Give it, or a file that has it with --config.")
    return RunConfig(**{**given, "env_kwargs": env_kwargs, "agent_kwargs": agent_kwargs})


def _evaluate(args: argparse.Namespace) -> int:
    from archgym_py.commands_evaluate import BadLine, answers

    bad = 0
    with _open(args.designs) as lines:
        for answer in answers(
            lines, args.env, kwargs=parse_settings(args.set), use_defaults=args.defaults
        ):
            if isinstance(answer, BadLine):
                bad += 1
                _note(f"{args.designs}, line {answer.number}: {answer.reason}")
            else:
                _write(json.dumps(answer, allow_nan=False))
                sys.stdout.flush()  # who waits for this answer before asking again gets it
    return 1 if bad else 0


@contextmanager
def _open(path: str) -> Iterator[BinaryIO]:
    """Open a file to read; "-" is stdin."""
    if path == "-":
        yield sys.stdin.buffer
    else:
        with Path(path).open("rb") as file:
            yield file


def _replay(args: argparse.Namespace) -> int:
    from archgym_py.commands_replay import Mismatch, replay
    from archgym_py.dataset import SampleDataset

    mismatches = 0
    for log in SampleDataset(args.dir).runs():
        rows = log.rows if args.limit is None else min(args.limit, log.rows)

        def report(mismatch: Mismatch, folder: Path = log.folder) -> None:
            _write(
                f"{folder} sample {mismatch.index} {mismatch.column}: "
                f"logged {mismatch.logged!r}, now {mismatch.now!r}"
            )

        with progress_bar(rows, "sample") as bar:
            result = replay(log, limit=args.limit, report=report, progress=bar.update)
        skipped = f", {result.skipped} timeouts skipped" if result.skipped else ""
        _write(
            f"{log.folder}: {result.compared} samples compared, {result.mismatches} mismatches"
            f"{skipped}"
        )
        if result.note:
            _note(f"{log.folder}: {result.note}")
        mismatches += result.mismatches
    return 1 if mismatches else 0


def _best(args: argparse.Namespace) -> int:
    from archgym_py.report import best_of_runs, comparison, trade_offs
    from archgym_py.runner import read_state

    findings = best_of_runs(args.dir)
    sys.stdout.write(comparison(findings) + trade_offs(findings))
    for finding in findings:
        ended = read_state(finding.log.folder)
        if ended is not None and ended.state != "finished":
            _note(
                f"{finding.log.folder}: {ended.state} after {ended.samples} of {ended.budget} "
                f"samples{': ' if ended.message else ''}{ended.message}"
            )
    return 0


def _enumerate(args: argparse.Namespace) -> int:
    from archgym_py.commands_enumerate import enumerate_designs

    if args.out.is_dir():  # before the work, which may take hours
        raise ConfigError(f"{args.out}: is a folder. Name the file to write.")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with progress_bar(None, "design") as bar:
        found = enumerate_designs(
            args.env,
            kwargs=parse_settings(args.set),
            minimize=args.metric,
            maximize=args.maximize,
            command=args.command_line,
            start=bar.reset,
            progress=bar.update,
        )
    write_text(args.out, json.dumps(found, indent=2, allow_nan=False) + "\n")
    for name, optimum in found["metrics"].items():
        _write(
            f"{name}: {optimum['optimum']} {optimum['unit']} "
            f"({optimum['goal']}, {optimum['ties']} designs)"
        )
    _write(f"{found['designs']} designs {found['statuses']} in {found['wall_s']} s: {args.out}")
    return 0


def _explain(args: argparse.Namespace) -> int:
    from archgym_py.commands_explain import best_design, explain_design, plot, read_design
    from archgym_py.report import check_image

    if args.plot is not None:
        check_image(args.plot)  # before the work
    env, kwargs, design = args.env, parse_settings(args.set), None
    if args.run is not None:
        best = best_design(args.run)
        design = best.design
        # Arguments of another environment than the run's have nothing to do with it.
        if env in (None, best.env_id):
            env, kwargs = best.env_id, {**best.env_kwargs, **kwargs}
    elif args.design is not None:
        if args.design.lstrip().startswith("{"):
            design = read_design(args.design, "--design")
        else:
            with _open(args.design) as file:
                design = read_design(_decoded(file.read(), args.design), args.design)
    if env is None:
        raise ConfigError("ENV is missing. Name an environment, or a run that has one with --run.")
    found = explain_design(env, kwargs=kwargs, design=design, use_defaults=args.defaults)
    if args.layer:
        found = dataclasses.replace(found, explanation=found.explanation.only(args.layer))
    if args.format == "json":
        _write(json.dumps(found.to_mapping(nests=args.nest), indent=2, allow_nan=False))
    else:
        _write(found.text(nests=args.nest))
    if args.plot is not None:
        plot(found.explanation, args.plot)
        _note(f"energy and time by {found.explanation.part}: {args.plot}")
    return 0


def _decoded(content: bytes, path: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text: {error.reason}.") from None


def _action(args: argparse.Namespace) -> int:
    """Do what a command of a group declares."""
    action: Callable[[argparse.Namespace, Callable[[str], object]], int] = args.action
    try:
        return action(args, _write)
    except (KeyboardInterrupt, PoolError):
        if "resume" in args:
            _note("what was finished is kept; the same command with --resume continues")
        raise


def _plot(args: argparse.Namespace) -> int:
    from archgym_py.dataset import SampleDataset
    from archgym_py.report import plot_best_so_far

    plot_best_so_far(SampleDataset(args.dir), args.out)
    _write(str(args.out))
    return 0


def _sweep(args: argparse.Namespace) -> int:
    from archgym_py.analysis import analyse
    from archgym_py.summary import summary
    from archgym_py.sweep import sweep
    from archgym_py.sweep_config import SweepConfig

    config = SweepConfig.from_yaml(args.config)
    if args.out is not None:
        config = dataclasses.replace(config, out=args.out)
    try:
        results = sweep(
            config,
            resume=args.resume,
            share=args.share,
            jobs=args.jobs,
            address=args.address,
            max_failures=args.max_failures,
            command=args.command_line,
        )
    except (KeyboardInterrupt, PoolError):
        _note("what was finished is kept; the same command with --resume continues")
        raise
    data = analyse(results)
    _write(f"{summary(data)}\n\nrows: {config.out}; archgym report {config.out} draws them")
    return 1 if data["failed"] else 0


def _report(args: argparse.Namespace) -> int:
    from archgym_py.analysis import analyse
    from archgym_py.report_page import check_page, write_page
    from archgym_py.results import read_results
    from archgym_py.summary import summary

    page = args.dir / "report.html" if args.out is None else args.out
    check_page(page)  # before the work
    data = analyse(read_results(args.dir))
    write_page(data, page)
    _write(f"{summary(data)}\n\npage: {page}")
    return 0


def _experiment(args: argparse.Namespace) -> int:
    experiment: Experiment = args.experiment
    try:
        return experiment.run(args, _write)
    except KeyboardInterrupt:
        _note("what was finished is kept; the same command continues")
        raise


def _parser(wanted: str) -> argparse.ArgumentParser:
    """Build the parser of the command line.

    Args:
        wanted: The command. The options of some commands are in modules that the other commands
            need not wait for.
    """
    parser = argparse.ArgumentParser(
        prog="archgym",
        description="Search agents design hardware: run searches, read their logs.",
        epilog="archgym COMMAND --help explains a command and gives examples.",
    )
    parser.add_argument("--version", action="version", version=archgym_py.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str, handler: Callable[[argparse.Namespace], int], help_text: str, examples: str
    ) -> argparse.ArgumentParser:
        return add_command(commands, name, help_text, examples, handler=handler)

    def add_set(command: argparse.ArgumentParser, flag: str, what: str) -> None:
        command.add_argument(
            flag,
            metavar="KEY=VALUE",
            action="append",
            default=[],
            help=f"{what}; the value is YAML; may be repeated",
        )

    command = add("list", _list, "list what there is", _EXAMPLES["list"])
    command.add_argument("what", nargs="?", choices=list(_SECTIONS), help="default: everything")
    command.add_argument(
        "--verbose", action="store_true", help="with the hyperparameters of agents and proxies"
    )

    command = add("run", _run, "let an agent search, and log every sample", _EXAMPLES["run"])
    command.add_argument("--config", metavar="FILE", help="YAML file; options go before it")
    command.add_argument("--env", metavar="ID", help="environment; see archgym list envs")
    add_set(command, "--set", "argument of the environment")
    command.add_argument("--agent", metavar="NAME", help="agent; see archgym list agents")
    add_set(command, "--hp", "hyperparameter of the agent; see archgym list agents --verbose")
    command.add_argument("--budget", metavar="N", type=count, help="number of samples")
    command.add_argument("--seed", metavar="S", type=int, help="seed of the run (default: 0)")
    command.add_argument("--out", metavar="DIR", help="folder of the logs (default: runs)")
    command.add_argument(
        "--resume", action="store_true", help="continue the run if it was begun before"
    )
    command.add_argument("--plot", metavar="FILE", type=Path, help="draw the curve of best-so-far")
    command.add_argument(
        "--tensorboard", metavar="DIR", type=Path, help="TensorBoard logs of an agent that learns"
    )
    command.add_argument(
        "--flush-rows",
        metavar="N",
        type=count,
        default=1000,
        help="write the log every N samples (default: %(default)s)",
    )
    command.add_argument(
        "--flush-s",
        metavar="S",
        type=float,
        default=5.0,
        help="and at the first sample after S seconds (default: %(default)s)",
    )

    command = add(
        "evaluate", _evaluate, "evaluate designs given as lines of JSON", _EXAMPLES["evaluate"]
    )
    command.add_argument("env", metavar="ENV", help="environment; see archgym list envs")
    command.add_argument(
        "--designs", metavar="FILE", required=True, help="file of JSON lines, - for stdin"
    )
    command.add_argument(
        "--defaults", action="store_true", help="parameters left out take their default"
    )
    add_set(command, "--set", "argument of the environment for lines that do not give it")

    command = add(
        "replay", _replay, "simulate logged designs again and compare", _EXAMPLES["replay"]
    )
    command.add_argument("dir", metavar="DIR", help="folder of runs, or of a run")
    command.add_argument(
        "--limit", metavar="N", type=count, help="samples of each run (default: all)"
    )

    command = add(
        "best", _best, "print the best design of each run beside the default", _EXAMPLES["best"]
    )
    command.add_argument("dir", metavar="DIR", help="folder of runs, or of a run")

    command = add(
        "enumerate",
        _enumerate,
        "evaluate every design of a space and write down the optima",
        _EXAMPLES["enumerate"],
    )
    command.add_argument("env", metavar="ENV", help="environment; see archgym list envs")
    add_set(command, "--set", "argument of the environment")
    for flag, extreme in (("--metric", "smallest"), ("--maximize", "largest")):
        command.add_argument(
            flag,
            metavar="METRIC",
            action="append",
            default=[],
            help=f"metric whose {extreme} value is wanted; may be repeated",
        )
    command.add_argument(
        "--out", metavar="FILE", type=Path, required=True, help="JSON file to write"
    )

    command = add(
        "explain",
        _explain,
        "show where the metrics of a design come from, layer by layer",
        _EXAMPLES["explain"],
    )
    command.add_argument(
        "env", metavar="ENV", nargs="?", help="environment (default: that of the run)"
    )
    add_set(command, "--set", "argument of the environment; goes before those of the run")
    chosen = command.add_mutually_exclusive_group()
    chosen.add_argument(
        "--design",
        metavar="FILE|-|JSON",
        help="JSON of the design: a file, - for stdin, or {...} (default: the default design)",
    )
    chosen.add_argument("--run", metavar="DIR", help="the best design of the run in this folder")
    command.add_argument(
        "--defaults", action="store_true", help="parameters left out take their default"
    )
    command.add_argument(
        "--layer",
        metavar="NAME",
        action="append",
        default=[],
        help="show this layer alone; may be repeated",
    )
    command.add_argument("--nest", action="store_true", help="with the loop nest of each layer")
    command.add_argument(
        "--plot", metavar="FILE", type=Path, help="draw energy and cycles by layer"
    )
    command.add_argument(
        "--format",
        choices=("table", "json"),
        default="table",
        help="form of the output (default: %(default)s)",
    )

    command = add(
        "sweep",
        _sweep,
        "run agents with many hyperparameters, on Ray Tune",
        _EXAMPLES["sweep"],
    )
    command.add_argument("config", metavar="CONFIG", help="YAML file of the sweep")
    add_campaign_options(command, "sweep")
    command.add_argument(
        "--address",
        metavar="ADDRESS",
        help="a running Ray cluster that shares the folder: HOST:PORT, ray://HOST:PORT or auto "
        "(default: start Ray on this machine)",
    )

    command = add(
        "report",
        _report,
        "print the statistics of a sweep and draw them as an HTML page",
        _EXAMPLES["report"],
    )
    command.add_argument("dir", metavar="DIR", type=Path, help="folder of a sweep, or of any runs")
    command.add_argument(
        "--out", metavar="FILE", type=Path, help="page to write (default: DIR/report.html)"
    )

    command = add("plot", _plot, "draw best-so-far against samples", _EXAMPLES["plot"])
    command.add_argument("dir", metavar="DIR", help="folder of runs, or of a run")
    command.add_argument(
        "--out", metavar="FILE", type=Path, required=True, help="image to write: png, pdf or svg"
    )

    command = add(
        "dataset",
        _action,
        "collect, summarise, check, merge and export logged samples",
        _EXAMPLES["dataset"],
    )
    if wanted == "dataset":
        from archgym_py import commands_dataset

        commands_dataset.add_commands(command)

    command = add(
        "proxy", _action, "fit models of the metrics on logged samples", _EXAMPLES["proxy"]
    )
    if wanted == "proxy":
        from archgym_py import commands_proxy

        commands_proxy.add_commands(command)

    command = add(
        "export",
        _action,
        "write the best design of a run as files that a real tool reads",
        _EXAMPLES["export"],
    )
    if wanted == "export":
        from archgym_py import commands_export

        commands_export.add_options(command)

    command = add(
        "crosscheck",
        _action,
        "evaluate the same designs on two simulators and compare",
        _EXAMPLES["crosscheck"],
    )
    if wanted == "crosscheck":
        from archgym_py import commands_crosscheck

        commands_crosscheck.add_options(command)

    command = add(
        "experiment", _experiment, "make a measurement of many runs", _EXAMPLES["experiment"]
    )
    if wanted == "experiment":
        studies = command.add_subparsers(required=True, metavar="NAME")
        for name in EXPERIMENTS.names():
            experiment: Experiment = EXPERIMENTS.load(name)()
            study = studies.add_parser(
                name,
                help=experiment.doc,
                description=f"{experiment.doc[0].upper()}{experiment.doc[1:]}.",
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
            experiment.add_arguments(study)
            study.set_defaults(experiment=experiment)
    return parser


_EXAMPLES = {
    "list": """\
  archgym list
  archgym list agents --verbose""",
    "run": """\
  archgym run --env ArchGym/Toy-v0 --agent random_search --budget 1000
  archgym run --env ArchGym/DRAMController-v0 --set workload=cloud --agent genetic \\
      --hp population_size=40 --budget 5000 --seed 3 --out runs --plot best.png
  archgym run --config configs/runs/dram_cloud_genetic.yaml --seed 4 --resume""",
    "evaluate": """\
  echo '{"id": 1, "design": {"lanes": 8}}' |
      archgym evaluate ArchGym/Toy-v0 --designs - --defaults
  archgym evaluate ArchGym/DRAMController-v0 --designs designs.jsonl --set workload=a.stl

a line:    {"id": 1, "design": {"page_policy": "Open", ...}, "kwargs": {"workload": "a.stl"}}
an answer: {"id": 1, "status": "ok", "metrics": {"total_time_ns": 12345.0, ...}}
kwargs are arguments of the environment and may be left out; a failed design has a message.""",
    "replay": """\
  archgym replay runs
  archgym replay runs --limit 100""",
    "best": """\
  archgym best runs""",
    "enumerate": """\
  archgym enumerate ArchGym/Toy-v0 --metric delay_ns --metric cost_usd --out optima.json
  archgym enumerate ArchGym/DRAMController-v0 --set workload=random --metric energy_pj \\
      --maximize row_hit_rate --out optima.json""",
    "explain": """\
  archgym explain ArchGym/DNNAccelerator-v0 --set workload=resnet50 --plot layers.png
  archgym explain ArchGym/DNNAccelerator-v0 --design '{"n_pes": 336}' --defaults \\
      --layer layer2 --nest
  archgym explain --run runs/mine --format json

A row is one occurrence of a layer, the total counts each as often as the network has it.
In a loop nest "for M in 0..4" has four iterations, 0 to 3.""",
    "sweep": """\
  archgym sweep configs/sweeps/lottery.yaml
  archgym sweep configs/sweeps/lottery_full.yaml --share 0.01 --out runs/try
  archgym sweep configs/sweeps/lottery_full.yaml --resume --max-failures 100

The form of CONFIG is described in archgym_py/sweep_config.py.""",
    "report": """\
  archgym report runs/lottery
  archgym report runs/demo --out demo.html""",
    "plot": """\
  archgym plot runs --out best_so_far.png""",
    "dataset": """\
  archgym dataset summary runs
  archgym dataset --help""",
    "proxy": """\
  archgym proxy fit runs --out proxy.safetensors
  archgym proxy --help""",
    "export": """\
  archgym export runs --format dramsys --out best-for-dramsys
  archgym export runs/mine --format json --force

The README.txt of a tool's files says how the tool is called. The best design is that with the
highest reward, the first of equals.""",
    "crosscheck": """\
  archgym crosscheck ArchGym/DRAMController-v0 --backend embedded --backend dramsys \\
      --option dramsys.program=/opt/DRAMSys/bin/DRAMSys --designs 100 --out scatter.png
  archgym crosscheck ArchGym/SystolicArray-v0 --backend embedded --backend scalesim \\
      --workload mobilenet_v2/b7.expand --designs 4 --csv pairs.csv --exact

A relative difference is |a - b| / max(|a|, |b|). With --layers each layer is a workload of its
own, and every workload has its own designs: the default design first, if it is feasible, then
random ones that the embedded simulator can evaluate. SCALE-Sim takes minutes for a large layer.""",
    "experiment": """\
  archgym experiment agents --help
  archgym experiment defaults --agents genetic""",
}


if __name__ == "__main__":
    sys.exit(main())
