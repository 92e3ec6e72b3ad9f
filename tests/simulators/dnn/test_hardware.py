import math
from typing import Any

import numpy as np
import pytest

from archgym_py.errors import ConfigError
from archgym_py.simulators.dnn.hardware import Architecture, Compute, Level

MACS = Compute(mesh_x=12, mesh_y=6, mac_pj=1.0, area_um2=2.0)
DRAM = Level(name="DRAM")


def build(*levels: Level, compute: Compute = MACS) -> Architecture:
    return Architecture(name="test", levels=levels, compute=compute)


def test_fan_outs_and_area() -> None:
    register = Level(name="RF", mesh_x=12, mesh_y=3, area_um2=10.0)
    buffer = Level(name="GLB", mesh_x=4, mesh_y=3, area_um2=100.0)
    machine = build(register, buffer, DRAM)
    assert (machine.fanout_x, machine.fanout_y) == ((1, 3, 4), (2, 1, 3))
    assert (MACS.instances, register.instances, buffer.instances) == (72, 36, 12)
    assert machine.area_um2 == 72 * 2.0 + 36 * 10.0 + 12 * 100.0


def test_one_level_is_enough() -> None:
    assert build(DRAM).fanout_x == (12,)


@pytest.mark.parametrize("value", [0, -1, 1.0, "2", None, True])
@pytest.mark.parametrize("field", ["mesh_x", "mesh_y", "block_size", "word_bits"])
def test_what_is_no_count(field: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        Level(name="GLB", **{field: value})  # type: ignore[arg-type]
    rule = "must be a whole number from 1 to 2147483647"
    assert str(caught.value) == f"GLB: {field} {rule}, got {value!r}."


@pytest.mark.parametrize("value", [0, -1, 1.5, math.inf, True])
def test_what_is_no_capacity(value: Any) -> None:
    with pytest.raises(ConfigError, match="GLB: capacity_words must be a whole number from 1"):
        Level(name="GLB", capacity_words=value)


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
@pytest.mark.parametrize("field", ["read_pj", "write_pj", "area_um2"])
def test_what_is_no_amount(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"GLB: {field} must be a finite number from 0 on, got"):
        Level(name="GLB", **{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, -2.0, math.nan, math.inf, "4", True])
@pytest.mark.parametrize("field", ["read_bandwidth", "write_bandwidth", "shared_bandwidth"])
def test_what_is_no_bandwidth(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"GLB: {field} must be .* None is no limit"):
        Level(name="GLB", **{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mesh_x": 0}, "MAC: mesh_x must be a whole number from 1 to 2147483647, got 0."),
        ({"mesh_y": 2.0}, "MAC: mesh_y must be a whole number from 1 to 2147483647, got 2.0."),
        ({"mac_pj": -1.0}, "MAC: mac_pj must be a finite number from 0 on, got -1.0."),
        ({"area_um2": math.nan}, "MAC: area_um2 must be a finite number from 0 on, got nan."),
    ],
)
def test_wrong_multipliers(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Compute(**{"mesh_x": 1, "mesh_y": 1, "mac_pj": 1.0, **change})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ((), "architecture 'test' needs at least one storage level."),
        ((Level(name="RF"), Level(name="RF"), DRAM), "names of levels repeat: ['RF', 'RF', 'DR"),
        ((Level(name="RF", mesh_x=2),), "the outermost level 'RF' must be one instance without"),
        ((Level(name="RF", capacity_words=2),), "the outermost level 'RF' must be one instance"),
        (
            (Level(name="RF", mesh_x=5), DRAM),
            "the 12 x 6 instances of 'MAC' do not spread evenly over the 5 x 1 of 'RF'.",
        ),
        (
            (Level(name="RF", mesh_y=3), Level(name="GLB", mesh_y=2), DRAM),
            "the 1 x 3 instances of 'RF' do not spread evenly over the 1 x 2 of 'GLB'.",
        ),
        (
            (Level(name="RF", mesh_x=2), Level(name="GLB", mesh_x=4), DRAM),
            "the 2 x 1 instances of 'RF' do not spread evenly over the 4 x 1 of 'GLB'.",
        ),
    ],
)
def test_wrong_architectures(levels: tuple[Level, ...], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(*levels)
    assert message in str(caught.value)


@pytest.mark.parametrize("field", ["read_pj", "area_um2", "read_bandwidth", "shared_bandwidth"])
def test_a_text_is_no_number(field: str) -> None:
    with pytest.raises(ConfigError, match=f"GLB: {field} must be"):
        Level(name="GLB", **{field: "4"})  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["read_pj", "area_um2"])
def test_energies_and_areas_have_to_be_given(field: str) -> None:
    with pytest.raises(ConfigError, match=f"GLB: {field} must be a finite number from 0 on, got N"):
        Level(name="GLB", **{field: None})  # type: ignore[arg-type]


def test_numbers_of_numpy_become_those_of_python() -> None:
    level = Level(
        name="GLB",
        mesh_x=np.int64(2),  # type: ignore[arg-type]
        capacity_words=np.int32(64),  # type: ignore[arg-type]
        read_pj=np.float32(0.5),  # type: ignore[arg-type]
        read_bandwidth=np.int64(4),  # type: ignore[arg-type]
    )
    assert level == Level(name="GLB", mesh_x=2, capacity_words=64, read_pj=0.5, read_bandwidth=4.0)
    found = (level.mesh_x, level.capacity_words, level.read_pj, level.read_bandwidth)
    assert [type(value) for value in found] == [int, int, float, float]


def test_a_list_of_levels_becomes_a_tuple() -> None:
    levels: Any = [Level(name="RF"), DRAM]
    machine = Architecture(name="test", levels=levels, compute=MACS)
    assert machine == build(Level(name="RF"), DRAM)
    assert hash(machine) == hash(build(Level(name="RF"), DRAM))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"levels": DRAM}, "architecture 'test': levels must be a tuple of Level objects, got Lev"),
        (
            {"levels": None},
            "architecture 'test': levels must be a tuple of Level objects, got None",
        ),
        ({"levels": ("DRAM",)}, "architecture 'test': levels must be a tuple of Level objects, go"),
        ({"compute": None}, "architecture 'test': compute must be a Compute object, got None."),
        ({"compute": DRAM}, "architecture 'test': compute must be a Compute object, got Level("),
        ({"name": 3}, "the name of an architecture must be a name, got 3."),
    ],
)
def test_wrong_parts(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Architecture(**{"name": "test", "levels": (DRAM,), "compute": MACS, **change})
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", [None, 3, ["GLB"]])
def test_names_are_texts(name: Any) -> None:
    with pytest.raises(ConfigError, match="the name of a level must be a name, got"):
        Level(name=name)
    with pytest.raises(ConfigError, match="the name of the multipliers must be a name, got"):
        Compute(name=name, mesh_x=1, mesh_y=1, mac_pj=1.0)
