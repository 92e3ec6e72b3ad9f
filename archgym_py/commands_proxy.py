"""`archgym proxy`: fit a proxy on logged samples, evaluate it, show its card."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from archgym_py.command_line import add_command
from archgym_py.config import parse_settings
from archgym_py.dataset import SampleDataset
from archgym_py.files import write_text
from archgym_py.progress import progress_bar
from archgym_py.proxy import ProxyHeader, read_header, save_proxy
from archgym_py.proxy_evaluation import (
    HeldOut,
    evaluate_proxy,
    fit_and_judge,
    read_evaluation,
    write_evaluation,
)
from archgym_py.proxy_quality import quality_table
from archgym_py.registry import PROXIES
from archgym_py.summary import align, markdown

__all__ = ["add_commands"]

Write = Callable[[str], object]

_EXAMPLES = {
    "fit": """\
  archgym proxy fit runs/dram --out dram.safetensors
  archgym proxy fit runs/dram --out dram.safetensors --model gradient_boosting \\
      --target total_time_ns --target energy_pj --samples 20000 --seed 1
  archgym run --env ArchGym/DRAMController-v0 --set simulator=proxy:dram.safetensors \\
      --agent genetic --budget 10000""",
    "evaluate": """\
  archgym proxy evaluate dram.safetensors runs/dram
  archgym proxy evaluate dram.safetensors runs/dram --shots 512""",
    "card": """\
  archgym proxy card dram.safetensors
  archgym proxy card dram.safetensors --out dram.md""",
}


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Declare the commands; each sets `action`, a function of the options and a writer of lines.

    Args:
        parser: That of `archgym proxy`.
    """
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str, action: Callable[[argparse.Namespace, Write], int], text: str
    ) -> argparse.ArgumentParser:
        return add_command(commands, name, text, _EXAMPLES[name], action=action)

    command = add("fit", _fit, "fit a model of the metrics on logged samples")
    command.add_argument("dirs", metavar="DIR", nargs="+", type=Path, help="folders of runs")
    command.add_argument(
        "--out", metavar="FILE", type=Path, required=True, help="safetensors file to write"
    )
    command.add_argument(
        "--model",
        metavar="NAME",
        default="random_forest",
        help=f"{', '.join(PROXIES.names())} (default: %(default)s)",
    )
    command.add_argument(
        "--hp",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="hyperparameter of the model; see archgym list proxies --verbose; may be repeated",
    )
    command.add_argument(
        "--target",
        metavar="METRIC",
        action="append",
        default=[],
        help="metric to predict; may be repeated (default: all)",
    )
    command.add_argument(
        "--samples",
        metavar="N",
        type=int,
        help="largest number of training samples (default: all)",
    )
    command.add_argument(
        "--holdout",
        metavar="P",
        type=float,
        default=0.2,
        help="share of the designs that the proxy is judged by (default: %(default)s)",
    )
    command.add_argument(
        "--seed", metavar="S", type=int, default=0, help="seed (default: %(default)s)"
    )
    command.add_argument(
        "--skip-damaged", action="store_true", help="leave damaged files out, with a warning"
    )

    command = add(
        "evaluate",
        _evaluate,
        "judge a proxy on designs, workloads and a region that it has not seen",
    )
    command.add_argument("file", metavar="FILE", type=Path, help="file of the proxy")
    command.add_argument(
        "dirs",
        metavar="DIR",
        nargs="+",
        type=Path,
        help="folders of the runs that it was fitted on",
    )
    command.add_argument(
        "--shots",
        metavar="N",
        type=int,
        default=0,
        help="judge on each workload also after a fit on N samples of it (default: not)",
    )
    command.add_argument(
        "--skip-damaged", action="store_true", help="leave damaged files out, with a warning"
    )

    command = add("card", _card, "show what a proxy is for, what it learned from, how good it is")
    command.add_argument("file", metavar="FILE", type=Path, help="file of the proxy")
    command.add_argument(
        "--out", metavar="FILE", type=Path, help="Markdown file to write (default: print it)"
    )


def _fit(args: argparse.Namespace, write: Write) -> int:
    dataset = SampleDataset(*args.dirs, skip_damaged=args.skip_damaged)
    args.out.parent.mkdir(parents=True, exist_ok=True)  # before the work
    with _progress() as progress:
        progress("reading samples", 0, 1)
        proxy, held_out = fit_and_judge(
            dataset,
            model=args.model,
            hyperparameters=parse_settings(args.hp),
            metrics=tuple(args.target),
            samples=args.samples,
            holdout=args.holdout,
            seed=args.seed,
            progress=progress,
        )
    header = save_proxy(proxy, args.out)
    write_evaluation(args.out, header.digest, [held_out])
    write(_section(held_out))
    write(f"\nproxy: {args.out}; `archgym proxy evaluate` judges it on workloads and a region too")
    return 0


def _evaluate(args: argparse.Namespace, write: Write) -> int:
    dataset = SampleDataset(*args.dirs, skip_damaged=args.skip_damaged)
    with _progress() as progress:
        found = evaluate_proxy(args.file, dataset, shots=args.shots, progress=progress)
    path = write_evaluation(args.file, read_header(args.file).digest, found)
    write("\n\n".join(map(_section, found)))
    write(f"\nfigures: {path}; `archgym proxy card` shows them")
    return 0


def _card(args: argparse.Namespace, write: Write) -> int:
    header = read_header(args.file)
    text = _markdown_card(args.file.name, header, read_evaluation(args.file, header.digest))
    if args.out is None:
        write(text)
    else:
        write_text(args.out, text + "\n")
        write(str(args.out))
    return 0


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show what is being done and how far it is."""
    with progress_bar(None, "part") as bar:

        def show(what: str, done: int, total: int) -> None:
            if bar.desc != f"{what}: " or bar.total != total:
                bar.reset(total)
                bar.set_description(what)
            bar.update(done - bar.n)

        yield show


def _section(held_out: HeldOut) -> str:
    samples = held_out.qualities[0].samples
    return (
        f"held out: {_title(held_out)} ({samples} samples; "
        f"fitted on {held_out.training_samples})\n{align(quality_table(held_out.qualities))}"
    )


def _title(held_out: HeldOut) -> str:
    return held_out.what if held_out.kind == "designs" else f"{held_out.kind} {held_out.what}"


def _markdown_card(name: str, header: ProxyHeader, found: Sequence[HeldOut]) -> str:
    """Return a page on a proxy in Markdown."""
    training = header.training
    use = f"gymnasium.make({header.env_id!r}, simulator='proxy:{name}', ...)"
    about = (
        f"A proxy of the simulator `{header.simulator}` (version {header.version}), fitted by the "
        f"model `{header.model}`. It predicts the metrics below with a standard deviation, for the "
        f"parameters and workloads below only. Use it by `{use}`. A prediction is no measurement: "
        f"verify the designs that a search finds on the simulator."
    )
    data = (
        f"{training['rows']} samples of {training['designs']} designs, of which "
        f"{training['infeasible_rows']} infeasible; {training['holdout']:.0%} of the designs were "
        f"held out. Seed {training['seed']}, hyperparameters {dict(training['hyperparameters'])}."
    )
    parameters = [
        (str(each["name"]), str(each["kind"]), str(each["unit"])) for each in header.space
    ]
    metrics = [
        (target.name, target.unit, "logarithm" if target.log else "value")
        for target in header.targets
    ]
    parts = [
        f"# {name}",
        about,
        "## Parameters",
        markdown(("parameter", "kind", "unit"), parameters),
        "## Metrics",
        markdown(("metric", "unit", "modelled by"), metrics),
        "## Workloads",
        "\n".join(f"- {problem.name}" for problem in header.problems),
        "## Training data",
        data,
        markdown(("agent", "quality", "runs", "samples"), _mix(training["sources"])),
        f"SHA-256 of the proxy: `{header.digest}`",
        "## Quality",
    ]
    for held_out in found:
        rows = quality_table(held_out.qualities)
        parts += [
            f"Held out: {_title(held_out)}; fitted on {held_out.training_samples} samples.",
            markdown(rows[0], rows[1:]),
        ]
    if not found:
        parts.append("Not evaluated yet.")
    return "\n\n".join(parts)


def _mix(sources: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Return runs and samples by agent and quality."""
    groups: dict[tuple[str, str], list[int]] = {}
    for source in sources:
        groups.setdefault((source["agent"], source["quality"]), []).append(source["rows"])
    return [(*group, str(len(rows)), str(sum(rows))) for group, rows in sorted(groups.items())]
