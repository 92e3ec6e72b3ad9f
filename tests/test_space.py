import hashlib
import itertools
import json
import math
import pickle
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from archgym_py.errors import ActionError, DesignError, SpaceError, UnknownNameError
from archgym_py.space import (
    ActionKind,
    Choice,
    Constraint,
    Design,
    Integer,
    Ordinal,
    Parameter,
    ParameterSpace,
    Real,
    Value,
)


def fits(design: Mapping[str, Value]) -> bool:
    return int(design["ways"]) * int(design["banks"]) <= 16


FITS = Constraint("area", "ways * banks must not exceed 16", fits)
SPACE = ParameterSpace(
    (
        Choice("cache", ("none", "direct", "lru"), doc="cache organisation"),
        Ordinal("ways", (1, 2, 4, 8), active_when={"cache": ("lru",)}, doc="associativity"),
        Choice("prefetch", (False, True), active_when={"cache": ("direct", "lru")}),
        Integer("depth", 1, 3, default=2, active_when={"prefetch": (True,)}),
        Integer("banks", 1, 4, doc="banks"),
    ),
    (FITS,),
)
CONTINUOUS = ParameterSpace((Choice("mode", ("a", "b")), Real("volt", 0.6, 1.2, unit="V")))


# ---- random spaces -----------------------------------------------------------------------------


@st.composite
def finite_parameters(draw: st.DrawFn, name: str, earlier: tuple[Parameter, ...]) -> Parameter:
    conditions: dict[str, list[Value]] = {}
    conditional: bool = draw(st.booleans())
    if earlier and conditional:
        for parent in draw(st.lists(st.sampled_from(earlier), max_size=2, unique_by=id)):
            values = [parent.value_at(i) for i in range(parent.cardinality or 0)]
            conditions[parent.name] = draw(st.lists(st.sampled_from(values), min_size=1))
    numbers = st.lists(st.integers(-9, 9), min_size=1, max_size=4, unique=True)
    match draw(st.sampled_from(["choice", "flag", "ordinal", "integer", "grid"])):
        case "choice":
            words = st.lists(st.text(max_size=3), min_size=1, max_size=4, unique=True)
            parameter: Parameter = Choice(name, draw(words | numbers), active_when=conditions)
        case "flag":
            parameter = Choice(name, (False, True), active_when=conditions)
        case "ordinal":
            parameter = Ordinal(name, sorted(draw(numbers)), active_when=conditions)
        case "integer":
            low, extent = draw(st.integers(-9, 9)), draw(st.integers(0, 3))
            parameter = Integer(name, low, low + extent, active_when=conditions)
        case _:
            levels, log = draw(st.integers(2, 4)), draw(st.booleans())
            parameter = Real(name, 0.1, 1e3, levels=levels, log=log, active_when=conditions)
    default = draw(st.integers(0, (parameter.cardinality or 1) - 1))
    return replace(parameter, default=parameter.value_at(default))


@st.composite
def finite_spaces(draw: st.DrawFn) -> ParameterSpace:
    """Spaces of up to 4^5 designs with conditions, and with a constraint or without."""
    parameters: tuple[Parameter, ...] = ()
    for name in draw(st.permutations("abcde"))[: draw(st.integers(1, 5))]:
        parameters += (draw(finite_parameters(name, parameters)),)
    space = ParameterSpace(parameters)
    if draw(st.booleans()):
        return space
    default, keep = space.default(), draw(st.integers(0, 15))

    def rule(design: Mapping[str, Value]) -> bool:
        return design == default or int(space.key(design)[0], 16) >= keep

    return ParameterSpace(parameters, (Constraint("rule", "a hash", rule),))


def designs(space: ParameterSpace) -> st.SearchStrategy[Design]:
    counts = [parameter.cardinality or 0 for parameter in space.parameters]
    return st.tuples(*[st.integers(0, count - 1) for count in counts]).map(space.decode)


def all_designs(space: ParameterSpace) -> list[Design]:
    numbers = itertools.product(*[range(p.cardinality or 0) for p in space.parameters])
    return [space.decode(number) for number in numbers]


# ---- what holds in every space -----------------------------------------------------------------


@given(finite_spaces(), st.data())
def test_integer_vectors_round_trip(space: ParameterSpace, data: st.DataObject) -> None:
    design = data.draw(designs(space))
    index = space.encode(design)
    assert index.dtype == np.int64
    assert index.shape == (len(space.names),)
    assert space.decode(index) == design
    assert list(space.decode(index)) == list(space.names)
    assert space.action_space("multidiscrete").contains(index)
    assert space.design_from_action(index, "multidiscrete") == design


@given(finite_spaces(), st.data())
def test_positions_in_the_unit_cube_round_trip(space: ParameterSpace, data: st.DataObject) -> None:
    design = data.draw(designs(space))
    unit = space.to_unit(design)
    assert unit.dtype == np.float64
    assert ((unit > 0) & (unit < 1)).all()
    assert space.from_unit(unit) == design
    action = (2 * unit - 1).astype(np.float32)
    assert space.action_space("box").contains(action)
    assert space.design_from_action(action, "box") == design


@given(finite_spaces(), st.data())
def test_every_point_of_the_cube_is_a_design(space: ParameterSpace, data: st.DataObject) -> None:
    count = len(space.names)
    unit = data.draw(st.lists(st.floats(0, 1), min_size=count, max_size=count))
    design = space.from_unit(unit)
    assert space.validate(design) == design
    number = [
        min(math.floor(u * (p.cardinality or 0)), (p.cardinality or 0) - 1)
        for u, p in zip(unit, space.parameters, strict=True)
    ]
    assert space.encode(design).tolist() == number


@given(finite_spaces(), st.data())
def test_a_batch_says_what_the_designs_say_one_by_one(
    space: ParameterSpace, data: st.DataObject
) -> None:
    rows = st.lists(st.floats(0.0, 1.0), min_size=len(space.names), max_size=len(space.names))
    units = data.draw(st.lists(rows, min_size=1, max_size=8))
    batch = space.batch(units)
    for row, position, design, feasible, active in zip(units, *batch, strict=True):
        inactive = [u if on else 1.0 - u for u, on in zip(row, active, strict=True)]
        assert space.canonical(space.from_unit(inactive)) == design
        assert design == space.canonical(space.from_unit(row))
        assert position.tolist() == space.to_unit(design).tolist()
        assert feasible == (not space.violations(design))


def test_a_batch_of_continuous_parameters_is_exact() -> None:
    space = ParameterSpace(
        (
            Choice("on", (False, True)),
            Real("clock", 1e-3, 1e3, log=True, active_when={"on": (True,)}),
            Integer("big", 0, 2**30, active_when={"on": (True,)}),
        )
    )
    units, designs, feasible, active = space.batch([[1.0, 0.25, 0.5], [0.0, 0.25, 0.5]])
    assert active.tolist() == [[True, True, True], [True, False, False]]
    assert designs[0] == space.from_unit([1.0, 0.25, 0.5])
    assert designs[1] == space.default()
    assert units[1].tolist() == space.to_unit(space.default()).tolist()
    assert feasible.all()


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ([0.5, 0.5], "matrix of numbers with 2 columns"),
        ([[0.5], [0.5]], r"2 columns.* shape \(2, 1\)"),
        ([[0.5, 0.5], [0.5]], "dtype object"),
        ([["a", "b"]], "got dtype <U1"),
        ([[0.5, 1.5]], r"must lie in \[0, 1\]"),
        ([[0.5, float("nan")]], r"must lie in \[0, 1\]"),
    ],
)
def test_wrong_batches_are_refused(units: npt.ArrayLike, message: str) -> None:
    space = ParameterSpace((Integer("x", 0, 3), Real("y", 0.0, 1.0)))
    with pytest.raises(ActionError, match=message):
        space.batch(units)


@given(finite_spaces(), st.data())
def test_canonical_designs_are_the_identity_of_a_design(
    space: ParameterSpace, data: st.DataObject
) -> None:
    one, other = data.draw(designs(space)), data.draw(designs(space))
    canonical = space.canonical(one)
    assert space.canonical(canonical) == canonical
    assert space.validate(canonical) == canonical
    assert space.key(one) == space.key(canonical)
    assert space.violations(one) == space.violations(canonical)
    assert space.resolve(one) == (canonical, space.key(one), space.violations(one))
    assert (space.key(one) == space.key(other)) == (canonical == space.canonical(other))


@given(finite_spaces(), st.data())
def test_keys_are_the_digest_of_canonical_json(space: ParameterSpace, data: st.DataObject) -> None:
    design = data.draw(designs(space))
    text = json.dumps(space.canonical(design), sort_keys=True, separators=(",", ":"))
    assert space.key(design) == hashlib.sha256(text.encode()).hexdigest()
    shuffled = dict(data.draw(st.permutations(list(json.loads(text).items()))))
    assert space.key(shuffled) == space.key(design)


@given(finite_spaces())
def test_the_enumeration_equals_brute_force(space: ParameterSpace) -> None:
    everything = all_designs(space)
    assert len(everything) == space.size
    expected = {space.key(d): space.canonical(d) for d in everything if not space.violations(d)}
    found = list(space.iter_canonical())
    assert {space.key(design): design for design in found} == expected
    assert len(found) == len(expected) == space.count_canonical()
    numbers = [tuple(space.encode(design)) for design in found]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("space", [SPACE, CONTINUOUS], ids=["finite", "continuous"])
def test_actions_drawn_by_gymnasium_are_designs(space: ParameterSpace) -> None:
    kinds: tuple[ActionKind, ...] = ("multidiscrete", "box")
    for kind in kinds if space is SPACE else kinds[1:]:
        action_space = space.action_space(kind)
        action_space.seed(0)
        for _ in range(200):
            design = space.design_from_action(action_space.sample(), kind)
            assert space.validate(design) == design


@pytest.mark.parametrize("kind", ["multidiscrete", "box"])
def test_every_value_is_reached_by_some_action(kind: ActionKind) -> None:
    space = ParameterSpace((*SPACE.parameters, Integer("wide", 1, 1000), Integer("one", 5, 5)))
    reached: dict[str, set[Value]] = {name: set() for name in space.names}
    for index in range(1000):
        if kind == "multidiscrete":
            action = np.array([min(index, (p.cardinality or 0) - 1) for p in space.parameters])
        else:
            action = np.full(len(space.names), -1 + index * 2 / 999, dtype=np.float32)
        assert space.action_space(kind).contains(action)
        for name, value in space.design_from_action(action, kind).items():
            reached[name].add(value)
    for parameter in space.parameters:
        assert len(reached[parameter.name]) == parameter.cardinality


@given(st.integers(1, 2**22), st.data())
def test_32_bit_floats_reach_every_value(count: int, data: st.DataObject) -> None:
    space = ParameterSpace((Integer("x", 0, count - 1),))
    value = data.draw(st.integers(0, count - 1))
    action = (2 * space.to_unit({"x": value}) - 1).astype(np.float32)
    assert space.design_from_action(action, "box") == {"x": value}


# ---- one space in detail -----------------------------------------------------------------------


def test_size_counts_combinations_and_the_count_only_what_differs() -> None:
    assert SPACE.size == 3 * 4 * 2 * 3 * 4
    # No cache; direct with or without prefetching; lru with ways * banks up to 16.
    assert SPACE.count_canonical() == 4 + (1 + 3) * 4 + (1 + 3) * (4 + 4 + 4 + 2)
    assert CONTINUOUS.size == math.inf
    assert isinstance(ParameterSpace((Integer("x", 0, 2**32 - 1),) * 1).size, int)


def test_counting_without_constraints_needs_no_enumeration() -> None:
    parents = (Choice("on", (False, True)), Integer("deep", 1, 3, active_when={"on": (True,)}))
    wide = tuple(
        Integer(f"x{i}", 1, 10**6, active_when={"deep": (1,)} if i % 2 else {}) for i in range(20)
    )
    space = ParameterSpace(parents + wide)
    assert space.count_canonical() == 10**60 * (1 + 2) + 10**120


def test_children_of_inactive_parents_are_inactive() -> None:
    # "prefetch" is inactive, so its value True does not make "depth" matter.
    design = {"cache": "none", "ways": 8, "prefetch": True, "depth": 3, "banks": 4}
    assert SPACE.canonical(design) == {**SPACE.default(), "banks": 4}
    parents = ParameterSpace(
        (
            Choice("a", (0, 1)),
            Choice("b", ("on", "off"), active_when={"a": (1,)}),  # the default "on" when inactive
            Integer("c", 0, 5, active_when={"b": ("on",)}),
        )
    )
    assert parents.canonical({"a": 0, "b": "on", "c": 4})["c"] == 0
    assert parents.canonical({"a": 1, "b": "on", "c": 4})["c"] == 4


def test_constraints_judge_the_canonical_design() -> None:
    large = {"cache": "lru", "ways": 8, "prefetch": False, "depth": 2, "banks": 4}
    assert SPACE.violations(large) == ("area: ways * banks must not exceed 16",)
    assert SPACE.violations({**large, "cache": "direct"}) == ()  # "ways" is inactive
    assert SPACE.violations(SPACE.default()) == ()


def test_validate_orders_and_spells_a_design() -> None:
    given_design = {
        "banks": np.int64(3),
        "prefetch": np.True_,
        "depth": 1.0,
        "cache": np.str_("lru"),
        "ways": np.float32(8),
    }
    valid = SPACE.validate(given_design)
    assert json.dumps(valid) == (
        '{"cache": "lru", "ways": 8, "prefetch": true, "depth": 1, "banks": 3}'
    )
    assert SPACE.validate(valid) is not valid


def test_fill_defaults_completes_a_design() -> None:
    assert SPACE.fill_defaults({}) == SPACE.default()
    assert SPACE.fill_defaults({"banks": 2}) == {**SPACE.default(), "banks": 2}
    with pytest.raises(DesignError, match=r"no parameter 'bank'\. Did you mean 'banks'"):
        SPACE.fill_defaults({"bank": 2})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"cache": None},
            "parameter 'cache' takes one of none, direct, lru, got None.",
        ),
        (
            {"chace": "lru"},
            "the space has no parameter 'chace'. Did you mean 'cache'?",
        ),
        (
            {"voltage": 1},
            "the space has no parameter 'voltage'. Known: cache, ways, prefetch, depth, banks.",
        ),
        (
            {"depth": True},
            "parameter 'depth' takes integer 1..3, got True. Write a whole number.",
        ),
    ],
)
def test_designs_outside_the_space_are_refused(change: Design, message: str) -> None:
    for method in (SPACE.validate, SPACE.canonical, SPACE.key, SPACE.violations, SPACE.resolve):
        with pytest.raises(DesignError) as refusal:
            method({**SPACE.default(), **change})
        assert str(refusal.value) == message
    for encode in (SPACE.encode, SPACE.to_unit):
        with pytest.raises(DesignError) as refusal:
            encode({**SPACE.default(), **change})
        assert str(refusal.value) == message


def test_incomplete_designs_are_refused() -> None:
    partial = {"cache": "lru", "banks": 1, "ways": 1}
    with pytest.raises(DesignError, match=r"lacks 'prefetch', 'depth'.*fill_defaults"):
        SPACE.validate(partial)
    with pytest.raises(DesignError, match="Did you mean 'depth'"):
        SPACE.validate({**partial, "prefetch": True, "dept": 1})
    with pytest.raises(DesignError, match="a design is a mapping"):
        SPACE.validate([1, 2, 3])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ([0, 0, 0, 0], r"5 integers, one for each parameter, got dtype int64 and shape \(4,\)"),
        ([[0, 0, 0, 0, 0]], r"shape \(1, 5\)"),
        ([0.0, 0, 0, 0, 0], "dtype float64"),
        ([False] * 5, "dtype bool"),
        (["0"] * 5, "dtype <U1"),
        ([0, [0], [0, 0], 0, 0], "dtype object"),
        (None, "dtype object"),
        ([0, 4, 0, 0, 0], r"'ways' have the numbers 0\.\.3, got 4"),
        ([0, 0, 0, -1, 0], r"'depth' have the numbers 0\.\.2, got -1"),
    ],
)
def test_wrong_integer_vectors_are_refused(index: object, message: str) -> None:
    with pytest.raises(ActionError, match=message):
        SPACE.decode(index)  # type: ignore[arg-type]
    with pytest.raises(ActionError, match=message):
        SPACE.design_from_action(index, "multidiscrete")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("position", "message"),
    [
        ([0.5], r"2 numbers, one for each parameter, got dtype float64 and shape \(1,\)"),
        ([None, 0.5], "dtype object"),
        ([True, False], "dtype bool"),
        ([0.5, math.nan], "'volt' must lie in .*, got nan. Clip or rescale"),
        ([1.0001, 0.5], "'mode' must lie in .*, got 1.0001"),
        ([0.5, -1.5], "'volt' must lie in .*, got -1.5"),
    ],
)
def test_wrong_positions_are_refused(position: object, message: str) -> None:
    with pytest.raises(ActionError, match=message):
        CONTINUOUS.from_unit(position)  # type: ignore[arg-type]
    with pytest.raises(ActionError, match=message):
        CONTINUOUS.design_from_action(position, "box")  # type: ignore[arg-type]


def test_the_box_is_the_stretched_unit_cube() -> None:
    assert CONTINUOUS.action_space("box") == spaces.Box(-1, 1, (2,), np.float32)
    assert CONTINUOUS.design_from_action([-1, -1], "box") == {"mode": "a", "volt": 0.6}
    assert CONTINUOUS.design_from_action([1, 1], "box") == {"mode": "b", "volt": 1.2}
    assert CONTINUOUS.from_unit([0.2, 0.25]) == {"mode": "a", "volt": pytest.approx(0.75)}
    assert SPACE.action_space("multidiscrete") == spaces.MultiDiscrete([3, 4, 2, 3, 4])


def test_requests_that_a_space_cannot_serve_are_refused() -> None:
    with pytest.raises(SpaceError, match=r"'volt' is continuous.*'box' action.*levels=N"):
        CONTINUOUS.action_space("multidiscrete")
    with pytest.raises(SpaceError, match="'volt' is continuous"):
        CONTINUOUS.encode(CONTINUOUS.default())
    with pytest.raises(SpaceError, match="'volt' is continuous"):
        CONTINUOUS.decode([0, 0])
    with pytest.raises(SpaceError, match="cannot be listed"):
        list(CONTINUOUS.iter_canonical())
    with pytest.raises(SpaceError, match="cannot be listed"):
        CONTINUOUS.count_canonical()
    huge = ParameterSpace((Integer("x", 0, 2**22),))
    with pytest.raises(SpaceError, match="'multidiscrete'"):
        huge.action_space("box")
    with pytest.raises(SpaceError, match=r"'dict'\. Known: multidiscrete, box"):
        SPACE.action_space("dict")  # type: ignore[arg-type]
    with pytest.raises(SpaceError, match="Did you mean 'multidiscrete'"):
        SPACE.design_from_action([0] * 5, "multi-discrete")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("parameters", "constraints", "message"),
    [
        ((), (), "at least one parameter"),
        ((Integer("x", 0, 1), Choice("x", ("a",))), (), "two parameters are called 'x'"),
        (SPACE.parameters, (FITS, FITS), "two constraints are called 'area'"),
        (SPACE.parameters[1:], (), "'ways', active_when: no parameter 'cache' is declared before"),
        (SPACE.parameters[::-1], (), "'depth', active_when: no parameter 'prefetch' is declared"),
        (
            (*CONTINUOUS.parameters, Integer("x", 0, 1, active_when={"volt": (1.0,)})),
            (),
            "'x', active_when: 'volt' is continuous",
        ),
        (
            (Choice("mode", ("a", "b")), Integer("x", 0, 1, active_when={"mode": ("A",)})),
            (),
            "'x', active_when: parameter 'mode' takes one of a, b, got 'A'. Did you mean",
        ),
        (
            SPACE.parameters,
            (Constraint("never", "no design will do", lambda _: False),),
            "default design breaks the constraint never: no design will do",
        ),
    ],
)
def test_unusable_spaces_are_refused(
    parameters: tuple[Parameter, ...], constraints: tuple[Constraint, ...], message: str
) -> None:
    with pytest.raises(SpaceError, match=message):
        ParameterSpace(parameters, constraints)


def test_samples_are_uniform_and_reproducible() -> None:
    rng = np.random.default_rng(1)
    samples = [SPACE.sample(rng) for _ in range(6000)]
    again = np.random.default_rng(1)
    assert [SPACE.sample(again) for _ in range(20)] == samples[:20]
    for column, parameter in zip(
        np.array([SPACE.encode(sample) for sample in samples]).T, SPACE.parameters, strict=True
    ):
        counts = np.bincount(column, minlength=parameter.cardinality or 0)
        expected = 6000 / (parameter.cardinality or 1)
        assert np.abs(counts - expected).max() < 5 * math.sqrt(expected)
    volts = [float(CONTINUOUS.sample(rng)["volt"]) for _ in range(2000)]
    assert np.mean(volts) == pytest.approx(0.9, abs=0.02)


def test_spaces_are_values() -> None:
    SPACE.key(SPACE.default())  # fills the tables, which travel along
    copy = pickle.loads(pickle.dumps(SPACE))  # noqa: S301
    assert copy == SPACE
    assert hash(copy) == hash(SPACE)
    for design in itertools.islice(SPACE.iter_canonical(), 20):
        assert copy.key(design) == SPACE.key(design)
    assert replace(SPACE, constraints=()).count_canonical() > SPACE.count_canonical()
    assert ParameterSpace(list(SPACE.parameters), [FITS]) == SPACE  # type: ignore[arg-type]


def test_parameters_are_found_by_name() -> None:
    assert SPACE["banks"] is SPACE.parameters[-1]
    with pytest.raises(UnknownNameError, match="Did you mean 'banks'"):
        SPACE["bnaks"]


def test_the_description_is_a_table() -> None:
    assert SPACE.describe().splitlines() == [
        "parameter  values                    default  active when           meaning",
        "cache      one of none, direct, lru  none                           cache organisation",
        "ways       one of 1, 2, 4, 8         1        cache in lru          associativity",
        "prefetch   one of False, True        False    cache in direct, lru",
        "depth      integer 1..3              2        prefetch in True",
        "banks      integer 1..4              1                              banks",
        "constraint area: ways * banks must not exceed 16",
    ]
    assert "real 0.6..1.2 V" in CONTINUOUS.describe()
