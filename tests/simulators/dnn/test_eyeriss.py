from itertools import pairwise
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archgym_py.errors import ConfigError, InfeasibleDesign
from archgym_py.simulators.dnn.components import register_file, smart_buffer
from archgym_py.simulators.dnn.eyeriss import (
    BUFFER_CLASSES,
    EYERISS_SPACE,
    PUBLISHED_DEFAULT,
    PUBLISHED_DESIGN,
    Pricing,
    eyeriss_architecture,
)
from archgym_py.simulators.dnn.hardware import Level
from archgym_py.simulators.dnn.sram import sram

PREFIXES = {
    "psum_spad": "psum",
    "weights_spad": "weights",
    "ifmap_spad": "ifmap",
    "DummyBuffer": "dummy",
    "shared_glb": "glb",
}


def _level(name: str, pricing: Pricing = "published", **changes: Any) -> Level:
    built = eyeriss_architecture({**PUBLISHED_DESIGN, **changes}, pricing=pricing)
    return next(level for level in built.levels if level.name == name)


def _energies(level: Level) -> tuple[float, float]:
    return (level.read_pj, level.write_pj)


def test_the_space_is_the_published_one() -> None:
    spads = [
        f"{spad}_{field}"
        for spad in ("ifmap", "psum", "weights")
        for field in ("class", "depth", "block_size", "read_bandwidth", "write_bandwidth")
    ]
    glb = ("class", "depth", "banks", "block_size", "read_bandwidth", "write_bandwidth")
    assert EYERISS_SPACE.names == (
        *("n_pes", "mesh_x", *spads, "dummy_class", "dummy_depth", "dummy_block_size"),
        *(f"glb_{field}" for field in glb),
    )
    assert EYERISS_SPACE.size == 24 * 3 * 3072**3 * 192 * 5376


def test_the_default_is_the_published_design_with_the_next_larger_depths() -> None:
    default = EYERISS_SPACE.default()
    changed = {name for name, value in default.items() if PUBLISHED_DESIGN[name] != value}
    assert changed == {"ifmap_depth", "weights_depth"}
    assert (default["ifmap_depth"], default["weights_depth"]) == (16, 256)


def test_published_default() -> None:
    # Energies and area as Accelergy 0.3 with CACTI 7 printed them for the default design.
    levels = {level.name: level for level in PUBLISHED_DEFAULT.levels}
    assert list(levels) == [*PREFIXES, "DRAM"]
    assert PUBLISHED_DEFAULT.area_um2 == pytest.approx(2026218.52, rel=1e-9)
    assert PUBLISHED_DEFAULT.compute.mac_pj == pytest.approx(2.20035)
    assert _energies(levels["shared_glb"]) == pytest.approx((74.1442, 75.2148), rel=1e-6)
    assert _energies(levels["ifmap_spad"]) == pytest.approx((0.23632, 0.23632), rel=1e-4)
    assert _energies(levels["psum_spad"]) == pytest.approx((0.25083, 0.25083), rel=1e-4)
    assert _energies(levels["DRAM"]) == (512.0, 512.0)
    capacities = [level.capacity_words for level in PUBLISHED_DEFAULT.levels]
    assert capacities == [16, 192, 12, 16, 65536, None]
    assert PUBLISHED_DEFAULT.fanout_x == (1, 1, 1, 1, 14, 1)
    assert PUBLISHED_DEFAULT.fanout_y == (1, 1, 1, 12, 1, 1)


def test_the_dummy_buffer_has_fourteen_instances_in_every_mesh() -> None:
    for mesh_x in (2, 7, 14):
        built = eyeriss_architecture({**PUBLISHED_DESIGN, "mesh_x": mesh_x, "n_pes": 28})
        assert built.fanout_x[3:5] == (1, mesh_x)
        assert built.fanout_y[3:5] == (2, 14 // mesh_x)
        assert built.compute.instances == 28


def test_bandwidth_block_and_capacity_come_from_the_design() -> None:
    level = _level("psum_spad", psum_depth=64, psum_block_size=4, psum_write_bandwidth=8)
    assert (level.capacity_words, level.block_size, level.word_bits) == (256, 4, 16)
    assert (level.read_bandwidth, level.write_bandwidth) == (2, 8)
    dummy = _level("DummyBuffer")
    assert (dummy.read_bandwidth, dummy.write_bandwidth) == (None, None)


@pytest.mark.parametrize("depth", [2, 65536])
def test_published_classes_that_ignore_the_depth(depth: int) -> None:
    # Energies as Accelergy 0.3 printed them, whatever the depth.
    spad = _level("weights_spad", weights_class="regfile", weights_depth=depth)
    assert _energies(spad) == pytest.approx((0.144, 0.144))
    assert spad.area_um2 == pytest.approx(95.68)
    assert spad.capacity_words == depth
    spad = _level("weights_spad", weights_class="SRAM", weights_depth=depth)
    assert _energies(spad) == (3.38552, 6.45356)
    for kind in ("smartbuffer_RF", "smartbuffer_SRAM"):
        dummy = _level("DummyBuffer", dummy_class=kind, dummy_depth=depth)
        assert _energies(dummy) == pytest.approx((0.23632, 0.23632), rel=1e-4)


@pytest.mark.parametrize(
    ("level", "changes", "energies"),
    [  # Energies as Accelergy 0.3 printed them.
        ("DummyBuffer", {"class": "SRAM", "depth": 2048, "block_size": 1}, (3.51836, 2.70462)),
        ("DummyBuffer", {"class": "SRAM", "depth": 2, "block_size": 4}, (1.0, 1.0)),
        ("DummyBuffer", {"class": "regfile", "depth": 512, "block_size": 2}, (4.46616, 4.46616)),
        ("ifmap_spad", {"class": "smartbuffer_SRAM", "depth": 8192}, (11.1845, 5.8727)),
        ("ifmap_spad", {"class": "smartbuffer_RF", "depth": 8}, (0.21456, 0.21456)),
        ("shared_glb", {"class": "SRAM", "depth": 1024, "banks": 16}, (6.61311, 7.00287)),
    ],
)
def test_published_prices(
    level: str, changes: dict[str, Any], energies: tuple[float, float]
) -> None:
    prefix = PREFIXES[level]
    built = _level(level, **{f"{prefix}_{name}": value for name, value in changes.items()})
    assert _energies(built) == pytest.approx(energies, rel=1e-4)


def test_published_small_srams_are_register_files() -> None:
    changes: dict[str, Any] = {"ifmap_class": "smartbuffer_SRAM", "ifmap_depth": 64}
    registers = smart_buffer(register_file(64, 16, per_word_area=False))
    assert _level("ifmap_spad", **changes).read_pj == registers.read_pj
    assert _level("ifmap_spad", "granted", **changes).read_pj == pytest.approx(
        smart_buffer(sram(64, 16, ports=2)).read_pj
    )


@pytest.mark.parametrize("pricing", ["published", "granted"])
def test_banks_of_less_than_32_words_are_infeasible(pricing: Pricing) -> None:
    small: dict[str, Any] = {"glb_depth": 1024, "glb_banks": 64}
    with pytest.raises(InfeasibleDesign, match="leave 16"):
        _level("shared_glb", pricing, **small)
    large: dict[str, Any] = {"glb_class": "SRAM", "glb_depth": 65536, "glb_banks": 32}
    if pricing == "published":  # prices 512 words whatever the depth, and so aborts
        with pytest.raises(InfeasibleDesign, match="512 words in 32 banks"):
            _level("shared_glb", pricing, **large)
    else:
        assert _level("shared_glb", pricing, **large).read_pj == sram(65536, 64, banks=32).read_pj


@given(
    st.sampled_from(sorted(PREFIXES)), st.sampled_from(BUFFER_CLASSES), st.sampled_from((1, 2, 4))
)
def test_granted_capacity_is_paid_for(name: str, kind: str, block_size: int) -> None:
    prefix = PREFIXES[name]
    depths = (2048, 4096, 16384, 65536)
    built = [
        _level(
            name,
            "granted",
            **{
                f"{prefix}_class": kind,
                f"{prefix}_depth": depth,
                f"{prefix}_block_size": block_size,
            },
        )
        for depth in depths
    ]
    areas = [level.area_um2 for level in built]
    assert all(small < large for small, large in pairwise(areas))
    assert built[0].read_pj < built[-1].read_pj
    # No kind of memory is nearly free: below 0.2 um2 per bit nothing of 45 nm is.
    assert all(
        area > 0.2 * 16 * depth * block_size for area, depth in zip(areas, depths, strict=True)
    )


@given(st.integers(0, 2**32 - 1))
def test_every_design_is_built_or_infeasible(seed: int) -> None:
    design = EYERISS_SPACE.sample(np.random.default_rng(seed))
    kind, depth, banks = (design[f"glb_{name}"] for name in ("class", "depth", "banks"))
    for pricing in get_args(Pricing):
        priced = 512 if (kind, pricing) == ("SRAM", "published") else int(depth)
        if kind in ("SRAM", "smartbuffer_SRAM") and priced < 32 * int(banks):
            with pytest.raises(InfeasibleDesign, match="a bank of an SRAM holds at least 32 words"):
                eyeriss_architecture(design, pricing=pricing)
        else:
            assert eyeriss_architecture(design, pricing=pricing).area_um2 > 0


def test_unknown_pricing_is_refused() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'granted'"):
        eyeriss_architecture(PUBLISHED_DESIGN, pricing="grant")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "pricing",
    ["granteed", "", None, 3, ["published"], ("published",), np.array(["published", "granted"])],
)
def test_what_is_no_pricing(pricing: Any) -> None:
    with pytest.raises(ConfigError, match="unknown pricing"):
        eyeriss_architecture(PUBLISHED_DESIGN, pricing=pricing)
