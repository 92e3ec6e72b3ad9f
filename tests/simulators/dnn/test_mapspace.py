import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archgym_py.errors import ConfigError
from archgym_py.simulators.dnn.dataflows import ROW_STATIONARY, SIMBA
from archgym_py.simulators.dnn.layers import DIMS, TENSORS, Layer
from archgym_py.simulators.dnn.mapspace import (
    LevelRule,
    Template,
    choices_of,
    combinations,
    factorizations,
    free_orders,
    minimal_mapping,
    orders_of,
)
from archgym_py.simulators.dnn.model import tile_words

ALL = "".join(DIMS)
few = settings(max_examples=40, deadline=None)


def exponents(number: int) -> list[int]:
    found, prime = [], 2
    while number > 1:
        count = 0
        while number % prime == 0:
            number //= prime
            count += 1
        found += [count] if count else []
        prime += 1
    return found


def splits(number: int, parts: int) -> set[tuple[int, ...]]:
    """All ordered factorisations, by trying every tuple of divisors."""
    divisors = [d for d in range(1, number + 1) if number % d == 0]
    return {each for each in itertools.product(divisors, repeat=parts) if math.prod(each) == number}


# --- Factorisations -------------------------------------------------------------------------------


@given(st.integers(1, 400), st.integers(1, 6))
@few
def test_there_are_as_many_factorizations_as_stars_and_bars_say(number: int, parts: int) -> None:
    found = factorizations(number, parts)
    count = math.prod(math.comb(e + parts - 1, parts - 1) for e in exponents(number))
    assert found.shape == (count, parts)
    assert (found.prod(axis=1) == number).all()
    assert len({tuple(row) for row in found.tolist()}) == count


@pytest.mark.parametrize("number", [1, 7, 12, 36])
@pytest.mark.parametrize("parts", [1, 2, 3])
def test_factorizations_are_all_there_are(number: int, parts: int) -> None:
    assert {tuple(row) for row in factorizations(number, parts).tolist()} == splits(number, parts)


# --- Choices --------------------------------------------------------------------------------------

SMALL = Template(
    "small",
    (
        LevelRule(temporal="MR"),
        LevelRule(keep=("Inputs",), spatial_x="MP", spatial_y="MC", temporal="C"),
        LevelRule(temporal="NGMCPQS", spatial_x="M"),
    ),
)
"""M has five slots; R has one, in time; P three."""


def distributions(template: Template, bounds: tuple[int, ...]) -> Iterator[list[dict[str, int]]]:
    """All factors of each dimension, by slot: "level.t", "level.x" and "level.y"."""
    per_dim = []
    for dim, bound in zip(DIMS, bounds, strict=True):
        slots = [
            f"{number}.{kind}"
            for number, rule in enumerate(template.rules)
            for kind, dims in zip(
                "txy", (rule.temporal, rule.spatial_x, rule.spatial_y), strict=True
            )
            if dim in dims
        ]
        ways = splits(bound, len(slots))
        per_dim.append([dict(zip(slots, way, strict=True)) for way in ways])
    yield from (list(each) for each in itertools.product(*per_dim))


@pytest.mark.parametrize(
    "bounds",
    [(1, 1, 12, 4, 6, 1, 3, 1), (2, 3, 4, 1, 5, 7, 1, 2), (1,) * 8, (1, 1, 8, 6, 1, 1, 1, 4)],
)
def test_choices_are_all_distributions(bounds: tuple[int, ...]) -> None:
    choices = choices_of(SMALL, bounds)
    assert choices.first_option[0] == 0
    assert choices.first_option[-1] == len(choices.options)
    for d, (dim, bound) in enumerate(zip(DIMS, bounds, strict=True)):
        found = []
        for option in range(choices.first_option[d], choices.first_option[d + 1]):
            rows = choices.rows[choices.first_row[option] : choices.last_row[option]].tolist()
            found += [(*choices.options[option].tolist(), *row) for row in rows]
        space, time = SMALL.spatial_slots(dim), SMALL.temporal_slots(dim)
        expected = set()
        for way in splits(bound, len(space) + len(time)):
            factors = [1] * 9
            for slot, factor in zip((*space, *(6 + slot for slot in time)), way, strict=True):
                factors[slot] = factor
            expected.add(tuple(factors))
        assert len(found) == len(expected)
        assert set(found) == expected


@pytest.mark.parametrize("fanouts", [(1, 1, 4, 2, 2, 1), (1, 1, 1, 1, 1, 1), (5, 5, 12, 12, 12, 1)])
def test_combinations_are_those_that_fit(fanouts: tuple[int, ...]) -> None:
    bounds = (1, 1, 12, 4, 6, 1, 3, 1)
    choices = choices_of(SMALL, bounds)
    combos = combinations(SMALL, bounds, fanouts)
    found = set()
    for options, used in zip(combos.options, combos.used, strict=True):
        for d, option in enumerate(options):
            assert choices.first_option[d] <= option < choices.first_option[d + 1]
        factors = choices.options[options]
        assert (factors.prod(axis=0) <= np.array(fanouts)).all()
        assert factors.prod() == used
        found.add(tuple(map(tuple, factors.tolist())))
    assert len(found) == len(combos.options)
    assert (np.diff(combos.used) <= 0).all()
    expected = set()
    for nest in distributions(SMALL, bounds):
        table = np.ones((8, 6), int)
        for d, factors_of_dim in enumerate(nest):
            for slot, factor in factors_of_dim.items():
                number, kind = slot.split(".")
                if kind != "t":
                    table[d, 2 * int(number) + "xy".index(kind)] = factor
        if (table.prod(axis=0) <= np.array(fanouts)).all():
            expected.add(tuple(map(tuple, table.tolist())))
    assert found == expected


def test_no_combination_where_slots_force_more_children_than_there_are() -> None:
    rules = (LevelRule(), LevelRule(spatial_x="M", temporal="NGCPQRS"))
    template = Template("forced", rules)
    bounds = (1, 1, 6, 1, 1, 1, 1, 1)
    assert len(combinations(template, bounds, (1, 1, 5, 1)).options) == 0
    assert combinations(template, bounds, (1, 1, 6, 1)).used.tolist() == [6]


# --- The smallest tiles ---------------------------------------------------------------------------


def tiles(spatial: Any, temporal: Any, layer: Layer) -> list[dict[str, int]]:
    extents = np.ones(8, int)
    found = []
    for level in range(len(temporal)):
        extents = extents * np.prod(spatial[level], axis=0) * temporal[level]
        found.append(tile_words(layer, dict(zip(DIMS, extents.tolist(), strict=True))))
    return found


@pytest.mark.parametrize(
    "template",
    [
        SMALL,
        Template("column", (replace(SMALL.rules[0], temporal=""), LevelRule(temporal=ALL))),
        Template("row", (LevelRule(), LevelRule(temporal="NGMCPQS", spatial_y="R"))),
    ],
    ids=lambda template: template.name,
)
@pytest.mark.parametrize("bounds", [(1, 1, 6, 2, 4, 1, 3, 1), (2, 1, 2, 3, 2, 2, 2, 2)])
def test_no_mapping_has_smaller_tiles(template: Template, bounds: tuple[int, ...]) -> None:
    sizes = dict(zip(DIMS, bounds, strict=True))
    layer = Layer(name="l", op="conv", **sizes, stride_p=2)  # type: ignore[arg-type]
    spatial, temporal = minimal_mapping(template, layer)
    factors = temporal.prod(axis=0) * spatial.prod(axis=(0, 1))
    assert tuple(factors.tolist()) == bounds
    least = tiles(spatial, temporal, layer)
    for nest in distributions(template, bounds):
        space, time = np.ones_like(spatial), np.ones_like(temporal)
        for d, factors_of_dim in enumerate(nest):
            for slot, factor in factors_of_dim.items():
                number, kind = slot.split(".")
                if kind == "t":
                    time[int(number), d] = factor
                else:
                    space[int(number), "xy".index(kind), d] = factor
        for mine, its in zip(least, tiles(space, time, layer), strict=True):
            assert all(mine[tensor] <= its[tensor] for tensor in TENSORS)


# --- Orders ---------------------------------------------------------------------------------------


def test_free_orders() -> None:
    orders = free_orders()
    assert len(set(orders)) == len(orders)
    assert all(sorted(order) == sorted(DIMS) for order in orders)
    firsts = {order[0] for order in orders}
    assert firsts >= set("NMC")  # first loops that leave weights, inputs or sums in place


@pytest.mark.parametrize("template", [ROW_STATIONARY, SIMBA, SMALL], ids=lambda t: t.name)
def test_distinct_orders_are_all_that_differ(template: Template) -> None:
    table = orders_of(template)
    names = ["".join(DIMS[d] for d in order) for order in table.orders]
    for level, rule in enumerate(template.rules):
        allowed = [rule.order] if rule.order else list(free_orders())
        for mask in range(2**8):
            looped = [dim for d, dim in enumerate(DIMS) if mask >> d & 1]
            count = table.n_distinct[level, mask]
            chosen = [names[number] for number in table.distinct[level, mask, :count]]
            effects = ["".join(dim for dim in order if dim in looped) for order in chosen]
            assert len(set(effects)) == count
            assert set(chosen) <= set(allowed)
            assert set(effects) == {
                "".join(dim for dim in order if dim in looped) for order in allowed
            }


# --- Templates ------------------------------------------------------------------------------------


def test_slots() -> None:
    assert SMALL.temporal_slots("M") == (0, 2)
    assert SMALL.spatial_slots("M") == (2, 3, 4)
    assert SMALL.temporal_slots("R") == (0,)
    assert SMALL.spatial_slots("R") == ()
    assert SMALL.keep.tolist() == [[True] * 3, [False, True, False], [True] * 3]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ((LevelRule(temporal="NGMCPQRSK"),), "slots are dimensions of NGMCPQRS, each once; got"),
        ((LevelRule(temporal=ALL, spatial_x="MM"),), "each once; got 'MM'."),
        ((LevelRule(temporal=ALL, spatial_y="m"),), "each once; got 'm'."),
        ((LevelRule(temporal=ALL, order="NMC"),), "an order is a permutation of NGMCPQRS, got 'NM"),
        ((LevelRule(temporal=ALL, order="NNGMCPQRS"),), "an order is a permutation of NGMCPQRS"),
        (
            (LevelRule(keep=("Weight",), temporal=ALL), LevelRule()),
            "tensors are Weights, Inputs, Outputs, got ('Weight',).",
        ),
        ((LevelRule(keep=TENSORS[:2], temporal=ALL),), "the outermost level keeps every tensor."),
        ((LevelRule(temporal="NGMCPQR"), LevelRule()), "dimension S has no slot."),
    ],
)
def test_wrong_templates(rules: tuple[LevelRule, ...], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Template("wrong", rules)
    assert str(caught.value).startswith("template 'wrong': ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "rules",
    [
        (LevelRule(temporal="NGCPQRS", spatial_x="M", spatial_y="M"), LevelRule()),
        (LevelRule(temporal=ALL), LevelRule(spatial_x="M")),
    ],
)
def test_the_outermost_slot_is_in_time(rules: tuple[LevelRule, LevelRule]) -> None:
    with pytest.raises(ConfigError, match="the outermost slot of dimension M is in space"):
        Template("space", rules)
