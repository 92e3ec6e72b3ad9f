from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archgym_py.errors import ActionError, ArchGymError, ConfigError, DesignError
from archgym_py.features import FeatureMap
from archgym_py.space import Choice, Design, Integer, Ordinal, Parameter, ParameterSpace, Real

NONE = np.zeros(0)
SPACE = ParameterSpace(
    (
        Choice("policy", ("open", "closed", "adaptive")),
        Choice("ecc", (False, True)),
        Ordinal("size", (1, 2, 8), active_when={"ecc": (True,)}),
        Integer("depth", 1, 128),
        Real("clock", 0.5, 2.0),
    )
)


def table_of(space: ParameterSpace, designs: Sequence[Design]) -> pa.Table:
    return pa.table(
        {f"design.{name}": [design[name] for design in designs] for name in space.names}
    )


@st.composite
def parameters(draw: st.DrawFn, name: str) -> Parameter:
    kind = draw(
        st.sampled_from(["words", "flags", "numbers", "ordinal", "integer", "grid", "real"])
    )
    if kind == "words":
        return Choice(name, draw(st.lists(st.text("ab", max_size=3), min_size=1, unique=True)))
    if kind == "flags":
        return Choice(name, (False, True))
    if kind == "numbers":
        return Choice(name, draw(st.lists(st.integers(-9, 9), min_size=1, unique=True)))
    if kind == "ordinal":
        values = draw(st.lists(st.integers(-99, 99), min_size=1, max_size=20, unique=True))
        floats = draw(st.booleans())
        return Ordinal(name, [v / 4 if floats else v for v in sorted(values)])
    if kind == "integer":
        low = draw(st.integers(-100, 100))
        return Integer(name, low, low + draw(st.sampled_from([0, 1, 2, 15, 16, 2**16, 2**31])))
    low_end = draw(st.floats(0.01, 100.0))
    high_end = low_end * draw(st.floats(1.5, 1e6))
    levels = draw(st.integers(2, 40)) if kind == "grid" else None
    return Real(name, low_end, high_end, levels=levels, log=draw(st.booleans()))


@st.composite
def spaces(draw: st.DrawFn) -> ParameterSpace:
    count = draw(st.integers(1, 5))
    return ParameterSpace(tuple(draw(parameters(f"p{number}")) for number in range(count)))


@settings(deadline=None, max_examples=60)
@given(spaces(), st.integers(0, 20), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_all_ways_in_give_the_same_columns(
    space: ParameterSpace, rows: int, described: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    features = FeatureMap(space, [f"d{number}" for number in range(described)])
    descriptors = rng.normal(size=(rows, described))
    designs = space.batch(rng.random((rows, len(space.parameters)))).designs
    units = np.array([space.to_unit(design) for design in designs])
    units = units.reshape(rows, len(space.parameters))
    expected = features.of_designs(designs, descriptors)
    assert expected.shape == (rows, len(features.names))
    assert expected.dtype == np.float32
    np.testing.assert_array_equal(features.of_units(units, descriptors), expected)
    np.testing.assert_array_equal(
        features.of_table(table_of(space, designs), descriptors), expected
    )
    np.testing.assert_array_equal(
        expected[:, len(features.names) - described :], descriptors.astype("f4")
    )


@settings(deadline=None, max_examples=60)
@given(spaces(), st.integers(0, 2**32 - 1))
def test_other_designs_have_other_columns(space: ParameterSpace, seed: int) -> None:
    rng = np.random.default_rng(seed)
    units = space.batch(rng.random((12, len(space.parameters)))).units
    features = FeatureMap(space, ()).of_units(units, NONE)
    # Positions in 32 bits: two numbers of a continuum may be too close to tell apart.
    distinct = len(np.unique(units.astype(np.float32), axis=0))
    assert len(np.unique(features, axis=0)) == distinct


def test_columns_say_what_the_design_has() -> None:
    features = FeatureMap(SPACE, ("write_share", "gap"))
    assert features.names == (
        *("policy=open", "policy=closed", "policy=adaptive", "ecc=True"),
        *("size", "size=1", "size=2", "size=8", "depth", "clock"),
        *("workload.write_share", "workload.gap"),
    )
    design = {"policy": "closed", "ecc": True, "size": 2, "depth": 1, "clock": 1.25}
    row = features.of_designs([design], np.array([0.25, 7.0]))[0]
    expected = [0, 1, 0, 1, 0.5, 0, 1, 0, 0.5 / 128, 0.5, 0.25, 7.0]
    np.testing.assert_array_equal(row, np.array(expected, dtype=np.float32))


def test_rows_may_have_descriptors_of_their_own() -> None:
    features = FeatureMap(SPACE, ("gap",))
    rows = features.of_designs([SPACE.default()] * 2, np.array([[1.0], [2.0]]))
    assert rows[:, -1].tolist() == [1.0, 2.0]
    assert (rows[0, :-1] == rows[1, :-1]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"policy": "opn"}, "Did you mean 'open'"),
        ({"ecc": 1}, "Write True"),
        ({"size": True}, "got True"),
        ({"size": 3}, "one of 1, 2, 8"),
        ({"depth": 129}, "The nearest is 128"),
        ({"depth": "8"}, "integer 1..128"),
        ({"clock": float("nan")}, "finite number"),
        ({"clock": None}, "finite number"),
        ({"latency": 3}, "latency"),
    ],
)
def test_illegal_designs_are_refused(change: dict[str, object], message: str) -> None:
    features = FeatureMap(SPACE, ())
    changed: Mapping[str, object] = {**SPACE.default(), **change}
    designs = [SPACE.default(), changed, SPACE.default()]
    with pytest.raises(DesignError, match=message):
        features.of_designs(designs, NONE)


def test_a_design_without_a_parameter_is_refused() -> None:
    features = FeatureMap(SPACE, ())
    partial = {name: value for name, value in SPACE.default().items() if name != "depth"}
    with pytest.raises(DesignError, match="depth"):
        features.of_designs([SPACE.default(), partial], NONE)
    with pytest.raises(DesignError, match="depth"):
        features.of_designs([{**partial, "dpth": 3}], NONE)


def test_numbers_that_equal_a_legal_value_are_taken_for_it() -> None:
    features = FeatureMap(SPACE, ())
    numbers: Mapping[str, object] = {"ecc": np.bool_(True), "size": 8.0, "depth": np.int64(5)}
    design = {**SPACE.default(), **numbers}
    plain = {**SPACE.default(), "ecc": True, "size": 8, "depth": 5}
    np.testing.assert_array_equal(
        features.of_designs([design], NONE), features.of_designs([plain], NONE)
    )


def test_a_table_may_have_dictionaries_chunks_and_other_columns() -> None:
    features = FeatureMap(SPACE, ())
    rng = np.random.default_rng(3)
    designs = SPACE.batch(rng.random((40, 5))).designs
    whole = table_of(SPACE, designs)
    column = whole["design.policy"].dictionary_encode()
    table = pa.concat_tables([whole.slice(0, 7), whole.slice(7)])
    encoded = pa.chunked_array(
        [
            *(column.slice(0, 7).cast(pa.string()).dictionary_encode().chunks),
            *(column.slice(7).cast(pa.string()).dictionary_encode().chunks),
        ]
    )
    table = table.set_column(0, "design.policy", encoded)
    table = table.append_column("reward", pa.array(rng.random(40)))
    table = table.append_column("design.other", pa.nulls(40, pa.int64()))
    np.testing.assert_array_equal(
        features.of_table(table, NONE), features.of_designs(designs, NONE)
    )


def test_tables_of_other_spaces_are_refused() -> None:
    features = FeatureMap(SPACE, ())
    table = table_of(SPACE, [SPACE.default()] * 3)
    with pytest.raises(DesignError, match=r"no column 'design.depth'"):
        features.of_table(table.drop_columns("design.depth"), NONE)
    extra = table.append_column("design.dept", pa.array([1, 2, 3]))
    with pytest.raises(DesignError, match="Did you mean 'depth'"):
        features.of_table(extra, NONE)
    at = table.column_names.index("design.depth")
    missing = table.set_column(at, "design.depth", pa.array([1, None, 3]))
    with pytest.raises(DesignError, match="no value in row 1"):
        features.of_table(missing, NONE)
    illegal = table.set_column(at, "design.depth", pa.array([1, 2, 1000]))
    with pytest.raises(DesignError, match="got 1000"):
        features.of_table(illegal, NONE)


@pytest.mark.parametrize(
    "descriptors",
    [
        np.zeros(1),
        np.zeros(3),
        np.zeros((2, 2)),
        np.array([0.0, np.nan]),
        np.array([0.0, np.inf]),
        np.array([0.0, 1e300]),
    ],
    ids=str,
)
def test_descriptors_are_finite_and_complete(descriptors: np.ndarray) -> None:
    features = FeatureMap(SPACE, ("write_share", "gap"))
    with pytest.raises(ConfigError, match=r"gap|2 descriptors"):
        features.of_designs([SPACE.default()] * 3, descriptors)


@pytest.mark.parametrize(
    "units", [np.zeros(5), np.zeros((2, 4)), np.full((1, 5), np.nan), np.full((1, 5), 1.1)]
)
def test_positions_lie_in_the_unit_cube(units: np.ndarray) -> None:
    with pytest.raises(ActionError, match=r"positions"):
        FeatureMap(SPACE, ()).of_units(units, NONE)


def test_what_cannot_be_columns_is_refused() -> None:
    many = ParameterSpace((Choice("id", range(1025)),))
    with pytest.raises(ConfigError, match="1024 are the most"):
        FeatureMap(many, ())
    with pytest.raises(ArchGymError, match="two descriptors are called 'gap'"):
        FeatureMap(SPACE, ("gap", "share", "gap"))


def test_many_rows_are_filled_in_blocks() -> None:
    features = FeatureMap(SPACE, ("gap",))
    units = SPACE.batch(np.random.default_rng(5).random((9000, 5))).units
    gaps = np.arange(9000.0)[:, None]
    whole = features.of_units(units, gaps)
    for rows in (slice(0, 3), slice(4090, 4100), slice(8999, 9000)):
        np.testing.assert_array_equal(features.of_units(units[rows], gaps[rows]), whole[rows])
