import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from archgym_py.design import Parameter
from archgym_py.errors import ActionError, DesignError, SpaceError
from archgym_py.parameters import MAX_CARDINALITY, MAX_LEVELS, Choice, Integer, Ordinal, Real

FINITE: tuple[Parameter, ...] = (
    Choice("policy", ("Open", "Closed", "OpenAdaptive")),
    Choice("flag", (False, True)),
    Choice("ways", (8, 1, 4)),
    Choice("only", ("one",)),
    Ordinal("size", (1, 2, 4, 64)),
    Ordinal("scale", (0.5, 1, 2.5)),
    Integer("depth", -3, 12),
    Integer("fixed", 7, 7),
    Real("volt", 0.6, 1.2, levels=7),
    Real("clock", 1e-3, 1e3, levels=13, log=True),
)
RANGES = st.tuples(st.floats(-1e12, 1e12), st.floats(1e-6, 1e12)).map(
    lambda pair: (pair[0], pair[0] + pair[1] * max(1.0, abs(pair[0])))
)


def ids(parameter: Parameter) -> str:
    return parameter.name


@pytest.mark.parametrize("parameter", FINITE, ids=ids)
def test_finite_parameters_number_and_place_their_values(parameter: Parameter) -> None:
    count = parameter.cardinality
    assert count is not None
    values = [parameter.value_at(index) for index in range(count)]
    assert len(set(values)) == count
    for index, value in enumerate(values):
        assert type(value) is parameter.value_type
        assert parameter.check(value) == value
        assert parameter.index_of(value) == index
        assert parameter.to_unit(value) == (index + 0.5) / count
        assert parameter.from_unit(parameter.to_unit(value)) == value
        assert parameter.from_unit(index / count) in values[max(index - 1, 0) : index + 1]
    assert parameter.from_unit(0.0) == values[0] == parameter.default
    assert parameter.from_unit(1.0) == values[-1]


@pytest.mark.parametrize("parameter", FINITE, ids=ids)
@pytest.mark.parametrize("index", [-1, 1000])
def test_there_is_no_value_at_a_wrong_number(parameter: Parameter, index: int) -> None:
    with pytest.raises(ActionError, match=rf"numbers 0\.\.\d+, got {index}"):
        parameter.value_at(index)


@pytest.mark.parametrize("parameter", [*FINITE, Real("free", -1.0, 1.0)], ids=ids)
@pytest.mark.parametrize("position", [-0.01, 1.01, math.nan, math.inf])
def test_there_is_no_value_outside_the_unit_interval(parameter: Parameter, position: float) -> None:
    with pytest.raises(ActionError, match=r"must lie in \[0, 1\]"):
        parameter.from_unit(position)


@pytest.mark.parametrize("parameter", [*FINITE, Real("free", 1.0, 2.0)], ids=ids)
def test_parameters_are_values(parameter: Parameter) -> None:
    copy = pickle.loads(pickle.dumps(parameter))  # noqa: S301
    assert copy == parameter
    assert hash(copy) == hash(parameter)
    assert copy.check(parameter.default) == parameter.default
    assert replace(parameter, doc="other") != parameter


@given(st.integers(-(2**62), 2**62), st.integers(1, MAX_CARDINALITY), st.data())
def test_integers_of_any_range_round_trip(low: int, count: int, data: st.DataObject) -> None:
    parameter = Integer("x", low, low + count - 1)
    value = data.draw(st.integers(parameter.low, parameter.high))
    assert parameter.value_at(parameter.index_of(value)) == value
    assert parameter.from_unit(parameter.to_unit(value)) == value


@given(RANGES, st.floats(0, 1))
def test_reals_round_trip_to_rounding(bounds: tuple[float, float], position: float) -> None:
    parameter = Real("x", *bounds)
    value = parameter.from_unit(position)
    assert parameter.low <= value <= parameter.high
    size = max(abs(parameter.low), abs(parameter.high))
    assert parameter.from_unit(parameter.to_unit(value)) == pytest.approx(value, abs=1e-15 * size)
    assert parameter.from_unit(0.0) == parameter.low
    assert parameter.from_unit(1.0) == parameter.high
    assert parameter.to_unit(parameter.low) == 0.0
    assert parameter.to_unit(parameter.high) == 1.0


@given(st.floats(1e-9, 1e9), st.floats(1.001, 1e9), st.floats(0, 1))
def test_log_reals_place_equal_ratios_at_equal_distances(
    low: float, ratio: float, position: float
) -> None:
    parameter = Real("x", low, low * ratio, log=True)
    value = parameter.from_unit(position)
    assert parameter.low <= value <= parameter.high
    assert parameter.from_unit(parameter.to_unit(value)) == pytest.approx(value, rel=1e-12)
    middle = math.sqrt(parameter.low) * math.sqrt(parameter.high)
    assert parameter.from_unit(0.5) == pytest.approx(middle, rel=1e-9)


@given(RANGES, st.integers(2, 200), st.data())
@example((0.6, 1.2), 7, None)
def test_grids_accept_what_means_a_point(
    bounds: tuple[float, float], levels: int, data: st.DataObject | None
) -> None:
    parameter = Real("x", *bounds, levels=levels)
    assert parameter.value_at(0) == parameter.low
    assert parameter.value_at(levels - 1) == parameter.high
    index = data.draw(st.integers(0, levels - 1)) if data else 1
    point = parameter.value_at(index)
    step = (parameter.high - parameter.low) / (levels - 1)
    assert parameter.check(point + 1e-12 * step) == point
    assert parameter.index_of(point) == index
    with pytest.raises(DesignError, match=r"The nearest is"):
        parameter.check(point + 0.4 * step)


def test_grid_points_read_as_one_would_write_them() -> None:
    volts = Real("volt", 0.6, 1.2, levels=7)
    assert [volts.value_at(i) for i in range(7)] == [0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2]
    clocks = Real("clock", 1e-3, 1e3, levels=7, log=True)
    assert [clocks.value_at(i) for i in range(7)] == [0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0]


@pytest.mark.parametrize(
    ("parameter", "given_value", "legal"),
    [
        (Choice("c", ("a", "b")), np.str_("b"), "b"),
        (Choice("c", (False, True)), np.True_, True),
        (Choice("c", (8, 1)), np.int64(8), 8),
        (Choice("c", np.array([8, 1])), 8, 8),  # type: ignore[arg-type]
        (Ordinal("o", (1, 2, 4)), 4.0, 4),
        (Ordinal("o", (0.5, 1)), 1, 1.0),
        (Integer("i", 0, 9), np.uint8(3), 3),
        (Integer("i", 0, 9), 3.0, 3),
        (Integer("i", 0, 9), np.float32(3), 3),
        (Real("r", -1, 1), 0, 0.0),
        (Real("r", -1, 1), np.float32(0.5), 0.5),
        (Real("r", -1, 1), -0.0, 0.0),
        (Real("r", 0, 1, levels=11), 0.1 + 0.2, 0.3),
    ],
)
def test_check_spells_values_as_the_parameter_does(
    parameter: Parameter, given_value: object, legal: object
) -> None:
    checked = parameter.check(given_value)
    assert checked == legal
    assert type(checked) is type(legal)
    assert str(checked) == str(legal)  # tells 0.0 from -0.0


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        (
            Choice("policy", ("Open", "Closed")),
            "Opne",
            "parameter 'policy' takes one of Open, Closed, got 'Opne'. Did you mean 'Open'?",
        ),
        (
            Choice("policy", ("Open", "Closed")),
            3,
            "parameter 'policy' takes one of Open, Closed, got 3.",
        ),
        (
            Choice("policy", ("Open", "Closed")),
            ["Open"],
            "parameter 'policy' takes one of Open, Closed, got ['Open'].",
        ),
        (
            Choice("flag", (False, True)),
            1,
            "parameter 'flag' takes one of False, True, got 1. Write True.",
        ),
        (
            Ordinal("size", (1, 2, 4), unit="KiB"),
            True,
            "parameter 'size' takes one of 1, 2, 4 KiB, got True. Write 1.",
        ),
        (
            Ordinal("size", (1, 2, 4), unit="KiB"),
            10**400,
            f"parameter 'size' takes one of 1, 2, 4 KiB, got {10**400}.",
        ),
        (
            Ordinal("size", (1, 2, 4)),
            3.4,
            "parameter 'size' takes one of 1, 2, 4, got 3.4. The nearest is 4.",
        ),
        (
            Ordinal("size", (1, 2, 4)),
            math.nan,
            "parameter 'size' takes one of 1, 2, 4, got nan.",
        ),
        (
            Integer("depth", 1, 128),
            0,
            "parameter 'depth' takes integer 1..128, got 0. The nearest is 1.",
        ),
        (
            Integer("depth", 1, 128),
            True,
            "parameter 'depth' takes integer 1..128, got True. Write a whole number.",
        ),
        (
            Integer("depth", 1, 128),
            2.5,
            "parameter 'depth' takes integer 1..128, got 2.5. Write a whole number.",
        ),
        (
            Integer("depth", 1, 128),
            math.inf,
            "parameter 'depth' takes integer 1..128, got inf. Write a whole number.",
        ),
        (
            Real("clock", 0.5, 2, unit="GHz"),
            3,
            "parameter 'clock' takes real 0.5..2.0 GHz, got 3. The nearest is 2.0.",
        ),
        (
            Real("clock", 0.5, 2),
            math.nan,
            "parameter 'clock' takes real 0.5..2.0, got nan. Write a finite number.",
        ),
        (
            Real("clock", 0.5, 2, log=True),
            "1",
            "parameter 'clock' takes real 0.5..2.0 on a log scale, got '1'. Write a finite number.",
        ),
        (
            Real("clock", 0.5, 2, levels=4),
            1.2,
            "parameter 'clock' takes one of 4 numbers 0.5..2.0, got 1.2. The nearest is 1.0.",
        ),
    ],
)
def test_refusals_state_the_rule_the_value_and_the_remedy(
    parameter: Parameter, value: object, message: str
) -> None:
    with pytest.raises(DesignError) as refusal:
        parameter.check(value)
    assert str(refusal.value) == message


def test_a_continuum_has_no_numbers() -> None:
    real = Real("x", 0, 1)
    assert real.cardinality is None
    with pytest.raises(SpaceError, match=r"'x' is continuous.*levels=N"):
        real.index_of(0.5)
    with pytest.raises(SpaceError, match=r"'x' is continuous.*levels=N"):
        real.value_at(0)


@pytest.mark.parametrize(
    ("define", "message"),
    [
        (lambda: Choice("2x", ("a",)), "Python identifier"),
        (lambda: Choice("class", ("a",)), "Python identifier"),
        (lambda: Choice(None, ("a",)), "Python identifier"),  # type: ignore[arg-type]
        (lambda: Choice("x", ()), "sequence of one type"),
        (lambda: Choice("x", "abc"), "sequence of one type"),
        (lambda: Choice("x", 3), "sequence of one type"),  # type: ignore[arg-type]
        (lambda: Choice("x", ("a", 1)), "Spell mixed values as strings"),
        (lambda: Choice("x", (True, 1)), "Spell mixed values as strings"),
        (lambda: Choice("x", (None, None)), "sequence of one type"),  # type: ignore[arg-type]
        (lambda: Choice("x", ("a", "b", "a")), "must differ"),
        (lambda: Choice("x", (1.0, math.nan)), "must be finite"),
        (lambda: Choice("x", ("a", "b"), default="c"), "default is not legal.*one of a, b, got"),
        (lambda: Ordinal("x", ("a", "b")), "one type among int, float"),
        (lambda: Ordinal("x", (False, True)), "one type among int, float"),
        (lambda: Ordinal("x", (1, 4, 2)), "strictly increasing"),
        (lambda: Integer("x", 2, 1), "low must not exceed high"),
        (lambda: Integer("x", 0.5, 1), "low must be a 64-bit integer"),  # type: ignore[arg-type]
        (lambda: Integer("x", 0, 2**63), "high must be a 64-bit integer"),
        (lambda: Integer("x", 0, MAX_CARDINALITY), "Use a Real, or an Ordinal"),
        (lambda: Integer("x", 0, 1, default=2), "default is not legal"),
        (lambda: Real("x", 1, 1), "low must be below high"),
        (lambda: Real("x", -math.inf, 1), "low must be a finite number"),
        (lambda: Real("x", 0, 10**400), "high must be a finite number"),
        (lambda: Real("x", 0, 1, log=True), "log scale needs low > 0"),
        (lambda: Real("x", -1e308, 1e308), "wider than floats can resolve"),
        (lambda: Real("x", 1e-300, 1e300, log=True), "wider than floats can resolve"),
        (lambda: Real("x", 0, 1, levels=1), f"levels must be None or 2..{MAX_LEVELS}"),
        (lambda: Real("x", 0, 1, levels=2**20), f"levels must be None or 2..{MAX_LEVELS}"),
        (lambda: Real("x", 1, math.nextafter(1, 2), levels=3), "no 3 distinct levels"),
        (lambda: Real("x", 0, 1, levels=3, default=0.4), "default is not legal"),
        (lambda: Choice("x", ("a",), active_when={"y": ()}), "needs a sequence of values of 'y'"),
        (lambda: Choice("x", ("a",), active_when={"y": "on"}), "needs a sequence of values of 'y'"),
    ],
)
def test_unusable_definitions_are_refused(define: object, message: str) -> None:
    assert callable(define)
    with pytest.raises(SpaceError, match=message):
        define()


def test_conditions_are_kept_as_pairs() -> None:
    child = Integer("x", 0, 1, active_when={"a": ["on"], "b": (1, 2)})
    assert child.conditions == (("a", ("on",)), ("b", (1, 2)))
    assert replace(child, doc="other").conditions == child.conditions
