import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archgym_py.errors import ConfigError
from archgym_py.simulators.dram.commands import COMMANDS, NEVER, SCOPES
from archgym_py.simulators.dram.technology import load_technology, technology_names
from archgym_py.simulators.dram.timing import _evaluate, timing_tables


def _cycles(technology: str, scope: str, previous: str, following: str) -> float:
    """Distance in cycles; minus infinity where there is no rule."""
    memory = load_technology(technology)
    table = timing_tables(memory).distance
    cell = SCOPES.index(scope), COMMANDS.index(previous), COMMANDS.index(following)
    distance = int(table[cell])
    return -np.inf if distance == NEVER else distance / memory.tck_ps


@pytest.mark.parametrize(
    ("technology", "scope", "previous", "following", "cycles"),
    [
        # DDR3-1600: RCD 10, RP 10, RAS 28, RC 38, RL 10, WL 8, B 4, RTP 6, WR 12, WTR 6, RRD 5
        ("DDR3-1600", "bank", "ACT", "RD", 10),
        ("DDR3-1600", "bank", "ACT", "WRA", 10),
        ("DDR3-1600", "bank", "ACT", "PRE", 28),
        ("DDR3-1600", "bank", "ACT", "ACT", 38),
        ("DDR3-1600", "rank", "ACT", "ACT", 5),
        ("DDR3-1600", "window", "ACT", "ACT", 24),
        ("DDR3-1600", "rank", "RD", "WR", 8),  # 10 + 4 + 2 - 8
        ("DDR3-1600", "rank", "WR", "RD", 18),  # 8 + 4 + 6
        ("DDR3-1600", "bank", "WR", "PRE", 24),  # 8 + 4 + 12
        ("DDR3-1600", "bank", "RDA", "ACT", 16),  # 6 + 10
        ("DDR3-1600", "bank", "WRA", "ACT", 34),  # 8 + 4 + 12 + 10
        ("DDR3-1600", "bank", "WR", "RDA", 18),  # the write must end RTP after the read: 24 - 6
        ("DDR3-1600", "rank", "WRA", "SREFEN", 34),  # max(8 + 4 + 12 + 1, 8 + 4 + 12 + 10)
        ("DDR3-1600", "other", "RD", "RD", 5),  # 4 + 1 to turn the bus to another rank
        ("DDR3-1600", "other", "RD", "WR", 7),  # 10 + 4 + 1 - 8
        ("DDR3-1600", "other", "WR", "RD", 3),  # 8 + 4 + 1 - 10
        ("DDR3-1600", "group", "RD", "RD", -np.inf),  # DDR3 has no bank groups
        ("DDR3-1600", "bank", "REFB", "ACT", -np.inf),  # nor a refresh of one bank
        # DDR4-2400: RL 16, WL 16, B 4, CCD 6/4, RRD 6/4, WTR 9/3, WPRE 1, RPRE 1
        ("DDR4-2400", "group", "RD", "RDA", 6),
        ("DDR4-2400", "rank", "RD", "RDA", 4),
        ("DDR4-2400", "group", "ACT", "ACT", 6),
        ("DDR4-2400", "rank", "ACT", "ACT", 4),
        ("DDR4-2400", "group", "WR", "RD", 29),  # 16 + 4 + 9
        ("DDR4-2400", "rank", "WR", "RD", 23),  # 16 + 4 + 3
        ("DDR4-2400", "rank", "RD", "WR", 6),  # 16 + 4 + 1 - 16 + 1
        ("DDR4-2400", "rank", "REFA", "REFA", 313),
        # LPDDR4-3200: RL 28, DQSCK 6, B 8, WL 14, WPRE 2, RTP 12, RPpb 29, RAS 68, FAW 64
        ("LPDDR4-3200", "rank", "RD", "WR", 30),  # 28 + 6 + 8 - 14 + 2 + 0
        ("LPDDR4-3200", "bank", "RD", "PRE", 14),  # 12 + 8 - 6
        ("LPDDR4-3200", "bank", "RDA", "ACT", 41),  # 12 + 8 - 8 + 29
        ("LPDDR4-3200", "bank", "ACT", "PRE", 70),  # both of two and four cycles: 68 + 2
        ("LPDDR4-3200", "bank", "PRE", "ACT", 27),  # 29 - 2
        ("LPDDR4-3200", "rank", "PRE", "PRE", 4),
        ("LPDDR4-3200", "window", "REFB", "ACT", 61),  # 64 - 3
        ("LPDDR4-3200", "rank", "PREA", "REFA", 34),  # all banks take RPab
        # HBM2: ACT takes two cycles; RCD differs for reads and writes
        ("HBM2", "bank", "ACT", "RD", 13),
        ("HBM2", "bank", "ACT", "WR", 7),
        ("HBM2", "group", "WRA", "RD", 18),  # 7 + 2 + 9
        ("HBM2", "rank", "WRA", "RD", 13),  # 7 + 2 + 4
        ("HBM2", "round", "REFB", "REFB", 96),
        ("HBM2", "rank", "REFB", "REFB", 8),
        ("HBM2", "other", "RD", "RD", -np.inf),  # pseudo channels have a data bus each
    ],
)
def test_distances(
    technology: str, scope: str, previous: str, following: str, cycles: float
) -> None:
    assert _cycles(technology, scope, previous, following) == cycles


@pytest.mark.parametrize(
    ("technology", "read", "write"),
    [
        ("DDR3-1600", 14, 12),  # 10 + 4, 8 + 4
        ("DDR4-2400", 20, 20),  # 16 + 4 both
        ("LPDDR4-3200", 45, 28),  # 28 + 6 + 8 + 3, 14 + 1 + 2 + 8 + 3
        ("HBM2", 20, 9),  # 17 + 1 + 2, 7 + 2
    ],
)
def test_ends_of_data(technology: str, read: int, write: int) -> None:
    memory = load_technology(technology)
    tables = timing_tables(memory)
    assert tables.read_data_end == read * memory.tck_ps
    assert tables.write_data_end == write * memory.tck_ps


def test_command_buses() -> None:
    lpddr4 = timing_tables(load_technology("LPDDR4-3200"))
    lengths = {name: int(lpddr4.length[COMMANDS.index(name)]) // 625 for name in COMMANDS}
    assert {n: lengths[n] for n in ("ACT", "RD", "WRA", "PRE", "REFB", "SREFEX", "PDEA")} == {
        "ACT": 4,
        "RD": 4,
        "WRA": 4,
        "PRE": 2,
        "REFB": 2,
        "SREFEX": 2,
        "PDEA": 1,
    }
    assert set(timing_tables(load_technology("DDR3-1600")).length.tolist()) == {1250}
    split = {name: timing_tables(load_technology(name)).split_bus for name in technology_names()}
    assert [name for name, has in split.items() if has] == ["HBM2"]


def test_refresh_intervals() -> None:
    assert timing_tables(load_technology("DDR3-1600")).refresh_interval == {"AllBank": 7_800_000}
    assert timing_tables(load_technology("LPDDR4-3200")).refresh_interval == {
        "AllBank": 6246 * 625,
        "PerBank": 780 * 625,
    }
    for name in technology_names():
        memory = load_technology(name)
        policies = ("NoRefresh", *timing_tables(memory).refresh_interval)
        assert policies == memory.refresh_policies


@pytest.mark.parametrize("name", technology_names())
def test_every_command_that_is_issued_has_rules(name: str) -> None:
    """A misplaced row would leave a command that may be issued at any time."""
    memory = load_technology(name)
    distance = timing_tables(memory).distance.max(axis=0)
    issued = set(COMMANDS) - {"NOP"}
    if "PerBank" not in memory.refresh_policies:
        issued -= {"REFB"}
    for following in issued:
        assert distance[:, COMMANDS.index(following)].max() > 0, following
    assert distance[:, COMMANDS.index("NOP")].max() == NEVER
    assert distance[COMMANDS.index("NOP")].max() == NEVER


def test_what_the_energy_model_needs() -> None:
    power = timing_tables(load_technology("DDR3-1600")).power
    assert (power.tras, power.trp, power.trc, power.trfc, power.trfcpb) == (28, 10, 38, 88, 0)
    assert (power.auto_precharge_read, power.auto_precharge_write) == (6, 24)
    # A read keeps the device busy for RL + DQSCK + 1 + B, a write for WL + B + WR.
    busy = {name: int(power.completion[COMMANDS.index(name)]) for name in COMMANDS}
    assert {name: cycles for name, cycles in busy.items() if cycles} == {
        "RD": 15,
        "WR": 24,
        "ACT": 10,
        "PRE": 10,
        "PREA": 10,
    }


def test_tables_are_built_once() -> None:
    memory = load_technology("DDR3-1600")
    assert timing_tables(memory) is timing_tables(memory)


def test_a_timing_that_is_not_given_is_named() -> None:
    memory = load_technology("DDR3-1600")
    timings = {name: value for name, value in memory.timings.items() if name != "RCD"}
    # The name tells the changed memory from the original, whose tables are kept.
    lacking = replace(memory, name="lacking", timings=timings)
    message = (
        r"DDR3\.yaml, row 'bank ACT RCD' of RD RDA: the technology gives no timing 'RCD'\. Did"
    )
    with pytest.raises(ConfigError, match=message):
        timing_tables(lacking)


def test_a_standard_that_does_not_exist_is_named() -> None:
    memory = replace(load_technology("DDR3-1600"), name="future", standard="DDR33")
    message = "unknown memory standard 'DDR33'. Did you mean 'DDR3'?"
    with pytest.raises(ConfigError, match=re.escape(message)):
        timing_tables(memory)


_NAMES = {"WL": 8, "B": 4, "WTR_S": 3}
_TERMS = st.lists(
    st.tuples(
        st.sampled_from([1, -1]), st.one_of(st.integers(0, 99), st.sampled_from(sorted(_NAMES)))
    ),
    min_size=1,
)


@given(terms=_TERMS, tight=st.booleans())
def test_sums_are_read_as_written(terms: list[tuple[int, int | str]], *, tight: bool) -> None:
    space = "" if tight else " "
    text = space.join(f"{'+' if sign > 0 else '-'}{space}{term}" for sign, term in terms)
    total = sum(s * (_NAMES[t] if isinstance(t, str) else t) for s, t in terms)
    assert _evaluate(text, _NAMES, "here") == total
    assert _evaluate(f"max({text}, {text} - 1)", _NAMES, "here") == total


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("WL + WTR_L", "here: the technology gives no timing 'WTR_L'. Did you mean 'WTR_S'?"),
        ("WL * B", "here: the technology gives no timing '*'"),
        ("max(WL, 1", "here: the technology gives no timing 'max(WL,'"),
        ("1.5", "here: the technology gives no timing '1.5'"),
    ],
)
def test_what_is_no_sum_is_refused(expression: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        _evaluate(expression, _NAMES, "here")
