import math
from collections.abc import Mapping
from fractions import Fraction
from os import PathLike
from pathlib import Path

import numpy as np
import pytest

from archgym_py.checks import flag, integer, number, require_type
from archgym_py.errors import ConfigError


def test_types() -> None:
    require_type("workload", "a", str)
    require_type("workload", Path(), str, PathLike)
    require_type("workload", {}, str, Mapping)
    with pytest.raises(ConfigError, match=r"workload must be a name or a mapping, got 3\."):
        require_type("workload", 3, str, Mapping)
    with pytest.raises(ConfigError, match=r"map must be a path, got None\."):
        require_type("map", None, PathLike)
    with pytest.raises(ConfigError, match=r"map must be a path or of type int, got 'a'\."):
        require_type("map", "a", PathLike, int)


@pytest.mark.parametrize("value", [True, False])
def test_flags(value: bool) -> None:
    assert flag("on", value) is value
    assert flag("on", np.bool_(value)) is value


@pytest.mark.parametrize("value", [1, 0, 1.0, None, "True", [True], np.array(True), np.int64(1)])
def test_what_is_no_flag(value: object) -> None:
    with pytest.raises(ConfigError, match="on must be True or False, got "):
        flag("on", value)


@pytest.mark.parametrize("value", [1, 1.5, 4, Fraction(3, 2), np.float32(2.5), np.int64(3)])
def test_numbers(value: float) -> None:
    result = number("clock", value, 1, 4)
    assert type(result) is float
    assert result == value


@pytest.mark.parametrize(
    "value",
    [
        0.9,
        4.1,
        10**400,
        math.nan,
        math.inf,
        np.float64("nan"),
        "2",
        None,
        True,
        np.bool_(True),
        [2],
        2j,
        np.array([2.0, 3.0]),
    ],
)
def test_what_is_no_number_of_the_range(value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        number("clock", value, 1, 4)
    assert str(caught.value).startswith("clock must be a number from 1 to 4, got ")


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, 10**400, np.float64("inf")])
def test_without_an_upper_limit_numbers_are_finite(value: float) -> None:
    assert number("clock", 1.7e308, 0.0, math.inf) == 1.7e308
    with pytest.raises(ConfigError, match=r"clock must be a finite number from 0 on, got "):
        number("clock", value, 0.0, math.inf)


@pytest.mark.parametrize("value", [1, 3, 4, np.int8(3), np.uint64(4)])
def test_integers(value: int) -> None:
    result = integer("ways", value, 1, 4)
    assert type(result) is int
    assert result == value


@pytest.mark.parametrize(
    "value",
    [0, 5, 2**70, 2.0, np.float64(2), "2", None, True, np.bool_(True), [2], np.array([2, 3])],
)
def test_what_is_no_integer_of_the_range(value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        integer("ways", value, 1, 4)
    assert str(caught.value) == f"ways must be a whole number from 1 to 4, got {value!r}."


def test_long_values_are_cut_in_messages() -> None:
    with pytest.raises(ConfigError) as caught:
        integer("ways", "x" * 10_000, 1, 4)
    assert len(str(caught.value)) < 300
    with pytest.raises(ConfigError, match="ways must be a whole number from 1 to 4, got an int"):
        integer("ways", 10**5000, 1, 4)
