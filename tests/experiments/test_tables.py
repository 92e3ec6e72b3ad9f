"""What the tables of the README are made with."""

from __future__ import annotations

import math

import pytest

from archgym_py.errors import ConfigError
from archgym_py.experiments.tables import insert_table, quantile

BEGIN, END = "<!-- rows:begin -->", "<!-- rows:end -->"


@pytest.mark.parametrize(
    ("values", "share", "result"),
    [
        ([3.0], 0.25, 3.0),
        ([1.0, 3.0], 0.5, 2.0),
        ([5.0, 1.0, 4.0, 2.0, 3.0], 0.25, 2.0),
        ([0.0, 10.0, 20.0, 30.0], 0.75, 22.5),
        ([1.0, math.inf], 0.5, math.inf),
        ([1.0, 2.0, math.inf], 0.5, 2.0),
        ([1.0, math.inf, math.inf], 0.75, math.inf),
    ],
)
def test_quantile(values: list[float], share: float, result: float) -> None:
    assert quantile(values, share) == result


@pytest.mark.parametrize(
    "page",
    [
        "nothing",
        BEGIN,
        END,
        f"{END}\n{BEGIN}",
        f"{BEGIN}\n{BEGIN}\n{END}",
        f"{BEGIN}\n{END}\n{END}",
        f"{END}\n{BEGIN}\n{END}",
    ],
)
def test_a_page_needs_a_place_for_the_table(page: str) -> None:
    with pytest.raises(ConfigError, match="once each, in this order"):
        insert_table(page, "rows", "table")


def test_the_page_around_the_table_stays() -> None:
    page = f"before\n{BEGIN}\n{END}\nafter\n"
    filled = insert_table(page, "rows", "one")
    assert filled == f"before\n{BEGIN}\none\n{END}\nafter\n"
    assert insert_table(filled, "rows", "two") == insert_table(page, "rows", "two")
