import csv
import math
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archgym_py.errors import ConfigError, InfeasibleDesign, UnknownNameError
from archgym_py.simulators.dnn.components import (
    DRAMS,
    PRECISIONS,
    Storage,
    dram,
    mac,
    register_file,
    smart_buffer,
    wire_pj_per_bit_mm,
)
from archgym_py.simulators.dnn.scaling import check_node, logic_area, logic_energy
from archgym_py.simulators.dnn.sram import sram

NODES = st.floats(7.0, 90.0)
WIDTHS = st.integers(16, 256)


def _table() -> list[tuple[tuple[int, ...], tuple[float, ...]]]:
    path = files("archgym_py.configs") / "dnn" / "cacti_sram.csv"
    rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))[1:]
    return [(tuple(map(int, row[:5])), tuple(map(float, row[5:]))) for row in rows]


TABLE = _table()


def _figures(storage: Storage) -> tuple[float, ...]:
    assert storage.cycle_ns is not None
    return (storage.read_pj, storage.write_pj, storage.area_um2, storage.cycle_ns)


@pytest.mark.parametrize(
    ("precision", "energy_pj", "area_um2"),
    [  # Aladdin's figures as Accelergy's plug-in adds them up
        ("int8", 0.5608, 332.25),
        ("int16", 2.20035, 1239.5),
        ("int32", 8.7157, 4779.0),
        ("fp32", 32.328, 4120.0),
        ("fp16", 32.328 * 1.5 / 4.6, 4120 * 3000 / 11884),  # the ratios of Horowitz and Dally
    ],
)
def test_mac(precision: str, energy_pj: float, area_um2: float) -> None:
    unit = mac(precision)
    assert unit.energy_pj == pytest.approx(energy_pj, rel=1e-9)
    assert unit.area_um2 == pytest.approx(area_um2, rel=1e-9)
    assert str(unit.bits) in precision


def test_shorter_formats_cost_less() -> None:
    for formats in (("int8", "int16", "int32"), ("bf16", "fp16", "fp32")):
        energies = [mac(precision).energy_pj for precision in formats]
        areas = [mac(precision).area_um2 for precision in formats]
        assert energies == sorted(energies)
        assert areas == sorted(areas)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_shorter_clock_period_costs(precision: str) -> None:
    usual = mac(precision)
    assert mac(precision, period_ns=5) == usual  # to the digit
    # Aladdin's 32-bit multiplier at 2 ns and at 5 ns; half way between 3 and 4 ns.
    assert mac(precision, period_ns=2).energy_pj == pytest.approx(usual.energy_pj * 9.55 / 8.63)
    assert mac(precision, period_ns=2).area_um2 == pytest.approx(usual.area_um2 * 5140 / 4600)
    middle = mac(precision, period_ns=3.5)
    assert middle.energy_pj == pytest.approx(usual.energy_pj * 8.73 / 8.63)
    assert middle.area_um2 == pytest.approx(usual.area_um2 * 4795 / 4600)


def test_period_and_node_both_count() -> None:
    small, fast, usual = mac("int8", node_nm=16), mac("int8", period_ns=1), mac("int8")
    both = mac("int8", node_nm=16, period_ns=1)
    assert both.energy_pj * usual.energy_pj == pytest.approx(small.energy_pj * fast.energy_pj)
    assert both.area_um2 * usual.area_um2 == pytest.approx(small.area_um2 * fast.area_um2)


@pytest.mark.parametrize("period_ns", [0.9, 5.1, 0, -1, math.nan, True, "5", None])
def test_periods_without_figures_are_refused(period_ns: Any) -> None:
    with pytest.raises(ConfigError, match="period_ns must be a number from 1 to 5, got"):
        mac("int8", period_ns=period_ns)


@pytest.mark.parametrize(
    ("words", "width", "energy_pj"),
    # Energies that Accelergy 0.3 printed for buffers of the class "regfile".
    [(1, 16, 0.144), (16, 32, 0.34603), (512, 32, 4.46616), (32768, 64, 446.2464)],
)
def test_register_file(words: int, width: int, energy_pj: float) -> None:
    storage = register_file(words, width)
    assert storage.read_pj == storage.write_pj == pytest.approx(energy_pj, abs=1e-5)
    assert storage.cycle_ns is None


def test_published_register_files_have_the_area_of_one_word() -> None:
    published = register_file(16, 16, per_word_area=False)
    assert published.area_um2 == pytest.approx(16 * 5.98 + 16 * 70 * 4 / 32)
    assert register_file(16, 16).area_um2 - published.area_um2 == pytest.approx(15 * 16 * 5.98)


@given(st.integers(1, 4096), st.integers(1, 256), NODES)
def test_larger_register_files_cost_more(words: int, width: int, node_nm: float) -> None:
    small = register_file(words, width, node_nm=node_nm)
    for large in (
        register_file(words + 1, width, node_nm=node_nm),
        register_file(words, width + 1, node_nm=node_nm),
    ):
        assert large.read_pj >= small.read_pj > 0
        assert large.area_um2 > small.area_um2 > 0


def test_smart_buffer_adds_two_address_generators() -> None:
    plain = sram(16384, 64, banks=32, ports=2)
    assert _figures(smart_buffer(plain))[:3] == pytest.approx((74.1442, 75.2148, 1162549.0))
    assert smart_buffer(plain).cycle_ns == plain.cycle_ns
    free = Storage(0.0, 0.0, 0.0)
    assert smart_buffer(free).area_um2 == pytest.approx(179.0)
    assert smart_buffer(free, node_nm=16).area_um2 == pytest.approx(179.0 * 0.19)


def test_points_of_the_table_are_exact() -> None:
    for (node, ports, banks, width, size), values in TABLE:
        storage = sram(size * 8 // width, width, banks=banks, ports=ports, node_nm=node)
        assert _figures(storage) == pytest.approx(values, rel=0 if node == 45 else 1e-11)


def test_the_table_covers_all_ports_and_banks() -> None:
    banked = {key[1:4] for key, _ in TABLE if key[0] == 45}
    widths = (16, 32, 64, 128, 256)
    every = {(p, 2**b, width) for p in (1, 2) for b in range(8) for width in widths}
    assert banked == every
    assert len({key for key, _ in TABLE}) == len(TABLE)


def test_interpolation_is_geometric() -> None:
    low, high = sram(1024, 64), sram(2048, 64)
    middle = sram(1448, 64)  # 1024 * sqrt(2), rounded
    expected = [math.sqrt(a * b) for a, b in zip(_figures(low), _figures(high), strict=True)]
    assert _figures(middle) == pytest.approx(expected, rel=1e-3)
    narrow, wide = sram(1024, 64), sram(1024, 128)
    expected = [
        a ** (1 - math.log2(1.5)) * b ** math.log2(1.5)
        for a, b in zip(_figures(narrow), _figures(wide), strict=True)
    ]
    assert _figures(sram(1024, 96)) == pytest.approx(expected, rel=1e-9)


@given(st.integers(32, 2**14 - 1), WIDTHS, st.sampled_from((1, 2)), NODES)
def test_more_words_never_cost_less(words: int, width: int, ports: int, node_nm: float) -> None:
    small = sram(words, width, ports=ports)
    large = sram(words + 1, width, ports=ports)
    assert large.read_pj >= small.read_pj > 0
    assert large.area_um2 >= small.area_um2 > 0
    scaled = sram(words, width, ports=ports, node_nm=node_nm)
    assert (scaled.read_pj <= small.read_pj) is (node_nm <= 45)


@given(st.integers(32, 2**14), WIDTHS)
def test_a_second_port_costs(words: int, width: int) -> None:
    one, two = sram(words, width), sram(words, width, ports=2)
    assert two.read_pj > one.read_pj
    assert two.write_pj > one.write_pj
    assert two.area_um2 > one.area_um2


def test_cacti_builds_nothing_below_64_words() -> None:
    # Two ports, as the published pipeline printed for 16 and 32 words of 32 bits.
    assert sram(16, 32, ports=2).read_pj == sram(32, 32, ports=2).read_pj == 0.762037
    assert sram(32, 16) == sram(128, 16)
    assert sram(129, 16).read_pj > sram(128, 16).read_pj


def test_below_64_bytes_an_sram_is_a_register_file() -> None:
    assert sram(12, 16) == register_file(12, 16)
    assert sram(15, 32, node_nm=16) == register_file(15, 32, node_nm=16)


@pytest.mark.parametrize("node_nm", [16, 7])
def test_sram_below_22_nm_follows_the_rule_of_the_plug_in(node_nm: float) -> None:
    base, small = sram(8192, 64, node_nm=22), sram(8192, 64, node_nm=node_nm)
    assert small.read_pj == pytest.approx(base.read_pj * math.sqrt(node_nm / 22))
    assert small.write_pj == pytest.approx(base.write_pj * math.sqrt(node_nm / 22))
    assert small.area_um2 == pytest.approx(base.area_um2 * node_nm / 22)
    assert small.cycle_ns == base.cycle_ns


def test_sram_above_65_nm_grows_as_logic() -> None:
    base, large = sram(8192, 64, node_nm=65), sram(8192, 64, node_nm=90)
    assert large.read_pj / base.read_pj == pytest.approx(logic_energy(90) / logic_energy(65))
    assert large.area_um2 / base.area_um2 == pytest.approx(2.8 / 1.5)
    assert large.cycle_ns is None


def test_sram_between_nodes_is_interpolated() -> None:
    at = {node: sram(8192, 128, ports=2, node_nm=node).read_pj for node in (22, 27, 32)}
    assert at[27] == pytest.approx((at[22] + at[32]) / 2)


@pytest.mark.parametrize(
    ("words", "width", "banks", "ports", "message"),
    [
        (1024, 8, 1, 1, "16 to 256 bits, got 8"),
        (1024, 512, 1, 1, "16 to 256 bits, got 512"),
        (2**20, 64, 1, 1, "at most 524288 words, got 1048576"),
        (512, 64, 32, 1, "leave 16. Use at most 16 banks"),
        (31, 64, 2, 1, "leave 15. Use at most 1 banks"),
        (4096, 64, 3, 1, "power of 2 up to 128, got 3"),
        (2**17, 64, 256, 1, "power of 2 up to 128, got 256"),
    ],
)
def test_sram_that_cannot_be_built(
    words: int, width: int, banks: int, ports: int, message: str
) -> None:
    with pytest.raises(InfeasibleDesign, match=message):
        sram(words, width, banks=banks, ports=ports)


def test_arguments_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"words must be a whole number from 1 to \d+, got 0"):
        sram(0, 64)
    with pytest.raises(ConfigError, match="ports must be a whole number from 1 to 2, got 3"):
        sram(1024, 64, ports=3)
    with pytest.raises(ConfigError, match="width_bits must be a whole number from 1 to"):
        register_file(4, 2.5)
    with pytest.raises(UnknownNameError, match="unknown precision 'fp8'"):
        mac("fp8")
    with pytest.raises(UnknownNameError, match="Did you mean 'HBM2'"):
        dram("HBM-2")


@pytest.mark.parametrize("node_nm", [6.9, 91, math.nan, True, "45"])
def test_nodes_outside_of_the_factors_are_refused(node_nm: float) -> None:
    for price in (check_node, logic_energy, logic_area, wire_pj_per_bit_mm):
        with pytest.raises(ConfigError, match="node_nm must be a number from 7 to 90, got"):
            price(node_nm)
    with pytest.raises(ConfigError, match="node_nm must be a number from 7 to 90, got"):
        sram(1024, 64, node_nm=node_nm)
    with pytest.raises(ConfigError, match="node_nm must be a number from 7 to 90, got"):
        mac("int8", node_nm=node_nm)


@pytest.mark.parametrize(
    ("node_nm", "factor"),
    # Stillmaker and Baas 2017 at 0.8 V, to the digits that are usually quoted.
    [(45, 1.0), (32, 0.659), (28, 0.513), (20, 0.221), (16, 0.174), (10, 0.118), (7, 0.094)],
)
def test_logic_energy(node_nm: float, factor: float) -> None:
    assert logic_energy(node_nm) == pytest.approx(factor, abs=6e-4)
    assert mac("int8", node_nm=node_nm).energy_pj == pytest.approx(0.5608 * factor, abs=6e-4)


@given(NODES, NODES)
def test_logic_shrinks_with_the_node(one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert logic_energy(small) <= logic_energy(large) * (1 + 1e-12)
    assert logic_area(small) <= logic_area(large) * (1 + 1e-12)


def test_drams() -> None:
    assert dram("LPDDR4").pj_per_bit * 64 == 512.0  # a burst, as the published pipeline prices it
    assert dram("HBM2").bandwidth_gb_s == 256.0
    for name, memory in DRAMS.items():
        assert name == memory.name
        assert memory.pj_per_bit > 0
        assert memory.source


def test_words_per_cycle() -> None:
    # 12.8e9 bytes in 500e6 cycles of a second: 25.6 bytes in a cycle.
    assert dram("LPDDR4").words_per_cycle(500, 1, 8) == pytest.approx(25.6)
    assert dram("LPDDR4").words_per_cycle(500.0, 4, 32) == pytest.approx(25.6)
    assert dram("HBM2").words_per_cycle(1000, 1, 1) == pytest.approx(2048)
    wrong: Any
    for wrong in (0, -1, "500", True, None, math.nan):
        with pytest.raises(ConfigError, match="clock_mhz must be a number from"):
            dram("HBM2").words_per_cycle(wrong, 1, 1)
        with pytest.raises(ConfigError, match="channels must be a whole number from 1"):
            dram("HBM2").words_per_cycle(500, 0 if wrong is True else wrong, 1)
        with pytest.raises(ConfigError, match="word_bits must be a whole number from 1"):
            dram("HBM2").words_per_cycle(500, 1, wrong)


@pytest.mark.parametrize("wrong", [True, 1.0, "1", None, 0, -1])
def test_what_was_priced_before_is_checked_again(wrong: Any) -> None:
    """The results of 1 are kept, and True equals 1."""
    register_file(1, 16)
    sram(1024, 64, banks=1)
    with pytest.raises(ConfigError, match="words must be a whole number"):
        register_file(wrong, 16)
    with pytest.raises(ConfigError, match="banks must be a whole number"):
        sram(1024, 64, banks=wrong)


def test_numbers_of_numpy_are_taken() -> None:
    words: Any = np.int64(1024)
    assert sram(words, 64) == sram(1024, 64)
    assert register_file(words, 16) == register_file(1024, 16)
    assert check_node(np.float64(45)) == 45.0


def test_every_precision_is_priced() -> None:
    assert all(mac(precision).energy_pj > 0 for precision in PRECISIONS)


def test_wires() -> None:
    assert wire_pj_per_bit_mm() == wire_pj_per_bit_mm(16) == pytest.approx(0.3254)
