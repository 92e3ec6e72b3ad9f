"""`archgym dataset`: collect, summarise, check, merge and export logged samples."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from archgym_py import collect
from archgym_py.command_line import add_command
from archgym_py.dataset import SampleDataset, problem_of
from archgym_py.dataset_files import export_hugging_face, merge
from archgym_py.dataset_minari import export_minari
from archgym_py.dataset_rows import CONSTANTS
from archgym_py.dataset_summary import summarise
from archgym_py.dataset_validation import Validation, validate
from archgym_py.environment import problem_arguments
from archgym_py.errors import ArchGymError, ConfigError
from archgym_py.log import DatasetError
from archgym_py.progress import progress_bar
from archgym_py.runner import make_env
from archgym_py.space import ParameterSpace

__all__ = ["add_commands", "select"]

Write = Callable[[str], object]

_FORMATS = ("csv", "jsonl", "hugging-face", "minari")
_SHOWN = 50  # mismatches that are printed

_EXAMPLES = {
    "collect": collect.EXAMPLES,
    "summary": """\
  archgym dataset summary runs
  archgym dataset summary runs/dram runs/more --where workload=cloud --format json""",
    "validate": """\
  archgym dataset validate runs
  archgym dataset validate runs --samples 10000 --where agent=genetic

The exit code is 1 if a value differs.""",
    "merge": """\
  archgym dataset merge runs/here runs/there --out runs/all

The same command goes on after an interruption.""",
    "export": """\
  archgym dataset export runs --to csv --out samples.csv
  archgym dataset export runs --to hugging-face --out hub/dram --name "DRAM controllers"
  archgym dataset export runs --to minari --where workload=cloud --where quality=tuned \\
      --out ~/.minari/datasets --name archgym/dram/tuned-v0""",
}


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Declare the commands; each sets `action`, a function of the options and a writer of lines.

    Args:
        parser: That of `archgym dataset`.
    """
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str, action: Callable[[argparse.Namespace, Write], int], text: str
    ) -> argparse.ArgumentParser:
        return add_command(commands, name, text, _EXAMPLES[name], action=action)

    command = add("collect", collect.command, "collect samples of mixed quality by many agents")
    collect.add_arguments(command)

    command = add("summary", _summary, "count and measure what there is in a dataset")
    _add_selection(command)
    _add_format(command)

    command = add("validate", _validate, "simulate some samples again and compare them exactly")
    _add_selection(command)
    command.add_argument(
        "--samples", metavar="N", type=int, default=1000, help="samples (default: %(default)s)"
    )
    command.add_argument(
        "--seed", metavar="S", type=int, default=0, help="seed of the draw (default: %(default)s)"
    )
    _add_format(command)

    command = add("merge", _merge, "copy the runs of several folders into one")
    _add_folders(command)
    command.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="folder to fill; what it has stays"
    )

    command = add("export", _export, "write samples in a form that other programs expect")
    _add_selection(command)
    command.add_argument(
        "--to", choices=_FORMATS, required=True, help="form; minari makes episodes of designs"
    )
    command.add_argument(
        "--out",
        metavar="PATH",
        type=Path,
        required=True,
        help="file to write; the folder for hugging-face, the folder of all datasets for minari",
    )
    command.add_argument("--name", metavar="NAME", help="name, for hugging-face and minari")
    command.add_argument(
        "--unique",
        action="store_true",
        help="the first sample of each design on each problem only",
    )


def _add_folders(command: argparse.ArgumentParser) -> None:
    command.add_argument("dirs", metavar="DIR", nargs="+", type=Path, help="folders of runs")
    command.add_argument(
        "--skip-damaged", action="store_true", help="leave damaged files out, with a warning"
    )


def _add_selection(command: argparse.ArgumentParser) -> None:
    _add_folders(command)
    command.add_argument(
        "--where",
        metavar="COLUMN=VALUE",
        action="append",
        default=[],
        help="samples with this value only; may be repeated: several values of one column add up",
    )


def _add_format(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--format",
        choices=("table", "json"),
        default="table",
        help="form of the output (default: %(default)s)",
    )


def select(dataset: SampleDataset, conditions: Sequence[str]) -> SampleDataset:
    """Return the samples that "COLUMN=VALUE" words choose.

    Args:
        dataset: The samples.
        conditions: The words. Of several words with one column it is enough to satisfy one.

    Returns:
        A dataset that reads the same files.

    Raises:
        ConfigError: If a word is not of that form, or its value not of the type of its column.
        DatasetError: If a column does not exist, or no run has a value that is constant in runs.
    """
    wanted: dict[str, list[str]] = {}
    for condition in conditions:
        column, separator, value = condition.partition("=")
        if not (column and separator):
            raise ConfigError(f"{condition!r} is not of the form COLUMN=VALUE, like agent=ppo.")
        wanted.setdefault(column, []).append(value)
    for column, values in wanted.items():
        dataset.check_column(column)
        kind = dataset.schema.field(column).type
        if pa.types.is_dictionary(kind):
            kind = pa.string()
        if pa.types.is_list(kind):
            raise ConfigError(f"column {column!r} holds lists, which --where does not compare.")
        try:
            among = pa.array(values, pa.string()).cast(kind)
        except pa.ArrowInvalid:
            raise ConfigError(
                f"column {column!r} has values of type {kind}, got {', '.join(values)}."
            ) from None
        if column in CONSTANTS:
            dataset = dataset.split_by(column, cast("list[Any]", among.to_pylist()))[
                1
            ]  # knows what there is
        else:
            dataset = dataset.where(pc.field(column).isin(among))
    return dataset


def _open(args: argparse.Namespace) -> SampleDataset:
    dataset = SampleDataset(*args.dirs, skip_damaged=args.skip_damaged)
    return select(dataset, args.where)


def _total(args: argparse.Namespace, dataset: SampleDataset) -> int | None:
    """Return the number of samples where it is known without a look at all of them."""
    return None if args.where else len(dataset)


def _summary(args: argparse.Namespace, write: Write) -> int:
    dataset = _open(args)
    spaces = _spaces(dataset)
    with progress_bar(_total(args, dataset), "sample") as bar:
        found = summarise(dataset, spaces=spaces, progress=bar.update)
    if not found.rows:
        raise DatasetError(f"{dataset.name}: no sample satisfies {' '.join(args.where)}.")
    if args.format == "json":
        write(json.dumps(found.to_mapping(), indent=2, allow_nan=False))
    else:
        write(found.text())
    return 0


def _spaces(dataset: SampleDataset) -> dict[str, ParameterSpace]:
    """Return the spaces of those problems whose environment can be made."""
    spaces: dict[str, ParameterSpace] = {}
    for run in dataset.runs():
        problem = problem_of(run.info)
        if problem in spaces:
            continue
        try:
            kwargs = problem_arguments(json.loads(run.info.env_kwargs))
            env = make_env(run.info.env_id, kwargs)
        except ArchGymError:  # a workload's file is gone, say: its cardinalities are not known
            continue
        spaces[problem] = env.space
        env.close()
    return spaces


def _validate(args: argparse.Namespace, write: Write) -> int:
    dataset = _open(args)
    with progress_bar(None, "sample") as bar:
        found = validate(dataset, samples=args.samples, seed=args.seed, progress=bar.update)
    write(_as_json(found) if args.format == "json" else _as_text(found))
    return 1 if found.mismatches else 0


def _as_json(found: Validation) -> str:
    rows = [
        {
            "run_id": info.run_id,
            "index": mismatch.index,
            "column": mismatch.column,
            "logged": mismatch.logged,
            "now": mismatch.now,
        }
        for info, mismatch in found.mismatches
    ]
    mapping: dict[str, Any] = {
        "compared": found.compared,
        "skipped": found.skipped,
        "notes": found.notes,
        "mismatches": rows,
    }
    return json.dumps(mapping, indent=2, allow_nan=False)


def _as_text(found: Validation) -> str:
    lines = [
        f"run {info.run_id} sample {mismatch.index} {mismatch.column}: "
        f"logged {mismatch.logged!r}, now {mismatch.now!r}"
        for info, mismatch in found.mismatches[:_SHOWN]
    ]
    if len(found.mismatches) > _SHOWN:
        lines.append(f"and {len(found.mismatches) - _SHOWN} more; --format json has all")
    lines += found.notes
    lines.append(
        f"{found.compared} samples compared, {len(found.mismatches)} mismatches, "
        f"{found.skipped} skipped"
    )
    return "\n".join(lines)


def _merge(args: argparse.Namespace, write: Write) -> int:
    with progress_bar(None, "run") as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        done = merge(args.dirs, args.out, skip_damaged=args.skip_damaged, progress=show)
    write(
        f"{done.copied} runs copied, {done.extended} extended, {done.kept} there already; "
        f"{done.rows} samples: {args.out}"
    )
    return 0


def _export(args: argparse.Namespace, write: Write) -> int:
    named = args.to in ("hugging-face", "minari")
    if named and args.name is None:
        raise ConfigError(f"--name is missing, which --to {args.to} needs.")
    if not named and args.name is not None:
        raise ConfigError(f"--to {args.to} has no name. Leave --name out.")
    dataset = _open(args)
    if args.unique:
        dataset = dataset.unique()
    rows = len(dataset)
    if not rows:
        raise DatasetError(f"{dataset.name}: no sample is left to export.")
    if not named:
        args.out.parent.mkdir(parents=True, exist_ok=True)
    with progress_bar(rows, "sample") as bar:
        match args.to:
            case "csv":
                dataset.to_csv(args.out, progress=bar.update)
            case "jsonl":
                dataset.to_jsonl(args.out, progress=bar.update)
            case "hugging-face":
                export_hugging_face(dataset, args.out, name=args.name, progress=bar.update)
            case _:
                export_minari(dataset, args.out.expanduser(), name=args.name, progress=bar.update)
    write(f"{rows} samples: {args.out / args.name if args.to == 'minari' else args.out}")
    return 0
