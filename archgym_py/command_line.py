"""What commands of the command line have in common."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

__all__ = ["add_campaign_options", "add_command", "count"]


def count(text: str) -> int:
    """Parse a number of things, for argparse.

    Examples:
        >>> count("20")
        20
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


def add_command(
    commands: Any, name: str, text: str, examples: str, **defaults: Any
) -> argparse.ArgumentParser:
    """Add a command with a help page that ends with examples.

    Args:
        commands: What `ArgumentParser.add_subparsers` returned.
        name: Name of the command.
        text: What it does, in a line that begins with a small letter.
        examples: Lines with examples.
        **defaults: Values that its arguments always have.

    Returns:
        The parser of the command.
    """
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(**defaults)
    return command


def add_campaign_options(command: argparse.ArgumentParser, what: str) -> None:
    """Add the options of a command that makes many runs in a folder, resumably.

    Args:
        command: The parser of the command.
        what: What the runs make, such as "sweep".
    """
    command.add_argument(
        "--resume", action="store_true", help=f"continue the {what} if it was begun before"
    )
    command.add_argument(
        "--out", metavar="DIR", type=Path, help=f"folder of the {what}, in place of the file's"
    )
    command.add_argument(
        "--share",
        metavar="P",
        type=float,
        default=1.0,
        help="make this part of the runs only, such as 0.01; a larger one with --resume adds to it",
    )
    command.add_argument(
        "--jobs", metavar="N", type=count, help="worker processes (default: one for each core)"
    )
    command.add_argument(
        "--max-failures",
        metavar="N",
        type=int,
        help="stop when more than N runs have failed (default: never)",
    )
