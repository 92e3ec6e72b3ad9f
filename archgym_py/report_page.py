"""The report of a sweep as one HTML page that needs neither a network nor a server.

The page is a template with a style sheet and a script of its own, the plotting library of the
plotly wheel, and the data, all in one file. A content security policy in it forbids the browser to
fetch anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from archgym_py.checks import check_keys
from archgym_py.errors import ConfigError, require
from archgym_py.files import write_text

__all__ = ["check_page", "page", "write_page"]

_KEYS = (
    "commands",
    "versions",
    "git_commits",
    "runs",
    "failed",
    "failures",
    "problems",
    "overall",
    "transfer",
)
_SUFFIXES = (".html", ".htm")


def check_page(path: str | Path) -> None:
    """Check that a page can be written, before the work that goes before it.

    Args:
        path: The page.

    Raises:
        ConfigError: If plotly is not installed, the folder does not exist, or the name is that of a
            folder or ends in something else than .html.
    """
    path = Path(path)
    require("plotly.offline", extra="report")
    if path.suffix not in _SUFFIXES:
        raise ConfigError(f"{path}: a page is HTML. End the name in .html.")
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: the folder {path.parent} does not exist. Create it.")
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder. Name the page to write.")


def page(data: Mapping[str, Any]) -> str:
    """Put the page together.

    Args:
        data: What `archgym_py.analysis.analyse` returns.

    Returns:
        The HTML, about 5 MB more than the data: the plotting library is part of it.

    Raises:
        ConfigError: If plotly is not installed, a key is missing or not known, or something in the
            data has no place in JSON, such as NaN.
    """
    check_keys(data, _KEYS, _KEYS, "the data of a page")
    plotly = require("plotly.offline", extra="report")
    return Template(_asset("page.html")).substitute(
        style=_asset("page.css"),
        data=_embedded(data),
        script=_asset("page.js"),
        # The library is not ours: should one of its texts end a script, it must not end this one.
        plotly=plotly.get_plotlyjs().replace("</script", "<\\/script"),
    )


def write_page(data: Mapping[str, Any], path: str | Path) -> None:
    """Write the page to a file that is either complete or absent.

    Args:
        data: What `archgym_py.analysis.analyse` returns.
        path: The page; an older one is replaced.

    Raises:
        ConfigError: As `check_page` and `page`.
        OSError: If the file cannot be written.
    """
    check_page(path)
    write_text(Path(path), page(data))


def _asset(name: str) -> str:
    return files("archgym_py").joinpath("page", name).read_text(encoding="utf-8")


def _embedded(data: Mapping[str, Any]) -> str:
    r"""Return data as JSON that may stand in a script element, whatever its texts say.

    The end of such an element is looked for before anything reads the JSON. Without the character
    "<" there can be none, nor the beginning of a comment or of another script.

    Examples:
        >>> _embedded({"message": "</script><!--"})
        '{"message":"\\u003c/script>\\u003c!--"}'
    """
    try:
        text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"the data of a page must be plain and finite, as JSON is: {error}."
            " Give None for what is not known."
        ) from error
    return text.replace("<", "\\u003c")
