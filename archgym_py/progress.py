"""The progress bar of long work."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(total: int | None, unit: str, **options: Any) -> Iterator[tqdm[Any]]:
    """Show a progress bar on stderr; rarely where that is a file.

    Args:
        total: How much there is to do, None where nobody knows.
        unit: What is counted.
        **options: More of tqdm's.

    Yields:
        The bar.
    """
    from tqdm import tqdm

    interval = 0.1 if sys.stderr.isatty() else 10.0
    with tqdm(
        total=total,
        unit=unit,
        file=sys.stderr,
        mininterval=interval,
        dynamic_ncols=True,
        **options,
    ) as bar:
        yield bar
