"""`archgym export`: the best design that was found, as files that another tool reads."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from archgym_py.config import parse_settings
from archgym_py.dataset import LoggedRun, SampleDataset
from archgym_py.environment import DesignEnv
from archgym_py.errors import ConfigError, UnknownNameError, did_you_mean
from archgym_py.evaluator import Trial
from archgym_py.files import write_text
from archgym_py.log import DatasetError
from archgym_py.registry import BACKENDS
from archgym_py.runner import make_env
from archgym_py.simulators.backend import Backend
from archgym_py.simulators.stand_in import EMBEDDED, backend_of

__all__ = [
    "JSON",
    "Best",
    "add_options",
    "best_of",
    "default_folder",
    "design_files",
    "export",
    "write_files",
]

JSON: Final = "json"
"""The format that every environment has: the design with its metrics and where it is from."""


def add_options(command: argparse.ArgumentParser) -> None:
    """Declare the options; `action` is a function of them and a writer of lines.

    Args:
        command: The parser of `archgym export`.
    """
    command.add_argument(
        "run", metavar="RUN", type=Path, help="folder of a run, or of runs on one problem"
    )
    command.add_argument(
        "--format",
        metavar="NAME",
        required=True,
        help=f"{', '.join(BACKENDS.names())}, or {JSON} for the design with its metrics",
    )
    command.add_argument(
        "--out", metavar="DIR", type=Path, help="folder to write (default: ENV-FORMAT)"
    )
    command.add_argument(
        "--option",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="argument of the tool's adapter; the value is YAML; may be repeated (default: those "
        "of a run that used the tool)",
    )
    command.add_argument(
        "--force", action="store_true", help="replace files that are there already"
    )
    command.set_defaults(action=_export)


def _export(args: argparse.Namespace, write: Callable[[str], object]) -> int:
    best, files = export(
        args.run,
        args.format,
        out=args.out,
        options=parse_settings(args.option),
        force=args.force,
    )
    trial, info = best.trial, best.log.info
    write(
        f"{best.log.folder}: sample {trial.index + 1}, reward {trial.reward:.6g} "
        f"({info.objective}), as {args.format}:"
    )
    for path in files:
        write(str(path))
    return 0


@dataclass(frozen=True, slots=True)
class Best:
    """The best sample of some runs.

    Attributes:
        log: The run that it is from.
        trial: The sample.
    """

    log: LoggedRun
    trial: Trial

    def to_mapping(self) -> dict[str, Any]:
        """Return the design, its metrics with units and where it is from, ready for JSON."""
        info = self.log.info
        return {
            "env": info.env_id,
            "env_kwargs": json.loads(info.env_kwargs),
            "workload": info.workload,
            "objective": info.objective,
            "design": dict(self.trial.design),
            "metrics": {
                name: {"value": value, "unit": self.log.units[name]}
                for name, value in self.trial.metrics.items()
            },
            "reward": self.trial.reward,
            "rewards": list(self.trial.rewards),
            "fidelity": self.trial.fidelity,
            "simulator": info.simulator,
            "simulator_version": info.simulator_version,
            "package_version": info.package_version,
            "run_id": info.run_id,
            "agent": info.agent,
            "seed": info.seed,
            "sample": self.trial.index + 1,
        }


def export(
    path: str | Path,
    format: str,  # noqa: A002  # that of the option
    *,
    out: Path | None = None,
    options: Mapping[str, Any] | None = None,
    force: bool = False,
) -> tuple[Best, list[Path]]:
    """Write the best design of some runs as files that another tool reads.

    Args:
        path: The folder of a run, or of runs on one problem.
        format: "json", or the name of a backend, whose configuration is written. The tool itself is
            not needed.
        out: Folder to write, which is made; by default `default_folder`.
        options: Arguments of the backend. Those of a run that used it count where they are not
            given.
        force: Whether files that are there already are replaced.

    Returns:
        The design, and the files that were written.

    Raises:
        ConfigError: If the format does not fit the environment, the runs are on several problems,
            or a file is there already.
        UnknownNameError: If there is no such format.
        DatasetError: If there is no log, or no sample is feasible.
        InfeasibleDesign: If the tool cannot express the design.
        OSError: If a file cannot be written.
    """
    _check_format(format)
    best = best_of(path)
    files = design_files(best, format, options=options)
    folder = out if out is not None else Path(default_folder(best.log.info.env_id, format))
    return best, write_files(folder, files, force=force)


def best_of(path: str | Path) -> Best:
    """Return the feasible sample with the highest reward of some runs, the first of equals.

    Args:
        path: The folder of a run, or of runs.

    Raises:
        DatasetError: If there is no log, or no sample is feasible.
        ConfigError: If the runs are on several problems, whose rewards say nothing to each other.
    """
    logs = SampleDataset(path).runs()
    problems = {(log.info.env_id, log.info.env_kwargs, log.info.objective): log for log in logs}
    if len(problems) > 1:
        shown = "; ".join(f"{env_id} {kwargs}" for env_id, kwargs, _ in list(problems)[:4])
        raise ConfigError(
            f"{path}: holds runs on {len(problems)} problems, whose rewards cannot be compared: "
            f"{shown}. Name the folder of one."
        )
    best: Best | None = None
    for log in logs:
        trial = SampleDataset(log.folder).best()
        if trial is not None and (best is None or trial.reward > best.trial.reward):
            best = Best(log, trial)
    if best is None:
        raise DatasetError(f"{path}: no sample is feasible, so that there is no design to export.")
    return best


def design_files(
    best: Best,
    format: str,  # noqa: A002
    *,
    options: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """Return the files of a design.

    Args:
        best: The design.
        format: "json" or the name of a backend.
        options: Arguments of the backend.

    Returns:
        Text of each file by relative path.

    Raises:
        ConfigError: If the format does not fit the environment, or has no such option.
        UnknownNameError: If there is no such format.
        InfeasibleDesign: If the tool cannot express the design.
    """
    _check_format(format)
    if format == JSON:
        if options:
            raise ConfigError(f"the format {JSON!r} has no options. Leave them out.")
        text = json.dumps(best.to_mapping(), indent=2, allow_nan=False)
        return {"design.json": f"{text}\n"}
    info = best.log.info
    kwargs: dict[str, Any] = json.loads(info.env_kwargs)
    used = kwargs.get("simulator", EMBEDDED)
    if "simulator" in kwargs:
        kwargs["simulator"] = EMBEDDED  # neither a proxy nor a tool has to be there
    env = make_env(info.env_id, kwargs)
    try:
        fitting = _formats_for(env)
        if format not in fitting:
            cls: type[Backend] = BACKENDS.load(format)
            raise ConfigError(
                f"the format {format!r} is for designs of {', '.join(cls.simulates)}, and those of "
                f"{info.env_id} are of {env.simulator.name}. Formats for them: "
                f"{', '.join(fitting)}."
            )
        own = {**_options_of(used, format), **(options or {})}
        backend = backend_of(format, env.simulator, env.space, **own)
        return dict(backend.configuration(env.space.validate(best.trial.design)))
    finally:
        env.close()


def write_files(folder: Path, files: Mapping[str, str], *, force: bool = False) -> list[Path]:
    """Write files into a folder.

    Args:
        folder: The folder; it is made.
        files: Text by relative path.
        force: Whether files that are there already are replaced. Others are left as they are.

    Returns:
        The paths, in order of their names.

    Raises:
        ConfigError: If a path leaves the folder, or a file is there already. Nothing is written.
        OSError: If a file cannot be written.
    """
    targets: dict[Path, str] = {}
    for name, text in sorted(files.items()):
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts or not pure.parts:
            raise ConfigError(f"the file {name!r} is no path below the folder of the export.")
        targets[folder / pure] = text
    there = [target for target in targets if target.exists()]
    if there and not force:
        raise ConfigError(
            f"{there[0]}: is there already. Replace it with --force, or name another folder with "
            f"--out."
        )
    for target, text in targets.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        write_text(target, text)
    return list(targets)


def default_folder(env_id: str, format: str) -> str:  # noqa: A002
    """Return the name of the folder of an export that names none.

    Examples:
        >>> default_folder("ArchGym/DRAMController-v0", "dramsys")
        'DRAMController-v0-dramsys'
    """
    return f"{env_id.rpartition('/')[2]}-{format}"


def _check_format(name: str) -> None:
    known = (*BACKENDS.names(), JSON)
    if name not in known:
        raise UnknownNameError(f"unknown format {name!r}.{did_you_mean(name, known)}")


def _formats_for(env: DesignEnv) -> tuple[str, ...]:
    """Return the formats in which designs of an environment can be written."""
    fitting = [
        name for name in BACKENDS.names() if env.simulator.name in BACKENDS.load(name).simulates
    ]
    return (*fitting, JSON)


def _options_of(simulator: object, name: str) -> dict[str, Any]:
    """Return the arguments of a backend that a run used."""
    if isinstance(simulator, Mapping) and simulator.get("backend") == name:
        return {str(key): value for key, value in simulator.items() if key != "backend"}
    return {}
