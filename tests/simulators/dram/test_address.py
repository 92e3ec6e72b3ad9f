import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archgym_py.errors import ConfigError, UnknownNameError
from archgym_py.simulators.dram.address import (
    AddressMap,
    address_map_names,
    address_maps_for,
    decode_trace,
    load_address_map,
)
from archgym_py.simulators.dram.technology import load_technology, technology_names
from archgym_py.simulators.dram.trace import Trace

SMALL = {"BYTE_BIT": [0], "COLUMN_BIT": [1, 2], "BANK_BIT": [3], "ROW_BIT": [4, 5]}


def _one_by_one(address_map: AddressMap, address: int) -> tuple[int, ...]:
    """Decode a single address bit by bit, as the format's definition says."""
    for first, second in address_map.xor:
        address ^= (address >> second & 1) << first

    def field(bits: tuple[int, ...]) -> int:
        return sum((address >> bit & 1) << place for place, bit in enumerate(bits))

    rank = field(address_map.rank)
    group = rank * 2 ** len(address_map.bank_group) + field(address_map.bank_group)
    bank = group * 2 ** len(address_map.bank) + field(address_map.bank)
    row, column = field(address_map.row), field(address_map.column)
    return field(address_map.channel), rank, group, bank, row, column


@given(
    name=st.sampled_from(address_map_names()),
    addresses=st.lists(st.integers(0, 2**30 - 1), min_size=1, max_size=8),
)
def test_decoding_is_what_the_format_defines(name: str, addresses: list[int]) -> None:
    address_map = load_address_map(name)
    decoded = address_map.decode(np.array(addresses, dtype=np.uint64))
    fields = (
        decoded.channel,
        decoded.rank,
        decoded.bank_group,
        decoded.bank,
        decoded.row,
        decoded.column,
    )
    assert all(values.dtype == np.int32 for values in fields)
    assert list(zip(*(values.tolist() for values in fields), strict=True)) == [
        _one_by_one(address_map, address) for address in addresses
    ]


@pytest.mark.parametrize("name", technology_names())
def test_maps_that_fit_number_every_bank_row_and_column(name: str) -> None:
    memory = load_technology(name)
    assert address_maps_for(memory)[0] == memory.default_address_map
    for fitting in address_maps_for(memory):
        address_map = load_address_map(fitting)
        address_map.check(memory)
        last = address_map.decode(np.array([0, 2**address_map.bits - 1], dtype=np.uint64))
        assert last.channel.max() == memory.channels - 1
        assert last.rank.max() == memory.ranks - 1
        assert last.column.max() == memory.columns - 1
        assert last.bank.max() == memory.ranks * memory.banks - 1 or address_map.xor
        assert last.row.max() == memory.rows - 1


def test_every_shipped_map_fits_some_technology() -> None:
    fitting = {name for t in technology_names() for name in address_maps_for(load_technology(t))}
    assert fitting == set(address_map_names())


def test_ranks_and_groups_are_numbered_through_the_channel() -> None:
    decoded = load_address_map("kit_hbm2_rbc").decode([1 << 29, 1 << 10, 1 << 12, 3 << 28])
    assert decoded.rank.tolist() == [1, 0, 0, 1]
    assert decoded.bank_group.tolist() == [4, 1, 0, 4]
    assert decoded.bank.tolist() == [16, 4, 1, 16]


def test_xor_spreads_rows_over_banks() -> None:
    rows = np.arange(8, dtype=np.uint64) << np.uint64(16)
    assert load_address_map("kit_ddr3_xor").decode(rows).bank.tolist() == list(range(8))
    plain = load_address_map("am_ddr3_8x1Gbx8_dimm_p1KB_rbc").decode(rows)
    assert plain.bank.tolist() == [0] * 8


def test_addresses_beyond_the_memory_warn_and_wrap() -> None:
    address_map = load_address_map("kit_ddr3_xor")
    with pytest.warns(UserWarning, match="1 of 2 addresses lie beyond the memory of 30 address"):
        decoded = address_map.decode([0x2000, 0x40002000])
    assert decoded.bank.tolist() == [1, 1]


def test_a_trace_is_decoded_once_for_each_map() -> None:
    first = Trace(np.array([0]), np.array([False]), np.array([64], dtype=np.uint64), name="a")
    second = Trace(np.array([0]), np.array([False]), np.array([64], dtype=np.uint64), name="b")
    ours = load_address_map("kit_ddr3_rcb")
    assert decode_trace(first, ours) is decode_trace(second, ours)
    assert decode_trace(first, ours) is not decode_trace(first, load_address_map("kit_ddr3_xor"))
    assert not decode_trace(first, ours).row.flags.writeable


def test_the_folder_of_maps_is_read_once() -> None:
    """Designs of the extended space name their map, so that every evaluation looks one up."""
    assert address_map_names() is address_map_names()


def test_names_of_the_reference_are_understood() -> None:
    assert load_address_map("DDR3 8x1Gbx8 brc").name == "am_ddr3_8x1Gbx8_dimm_p1KB_brc"


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"CONGEN": SMALL | {"XOR": [{"FIRST": 3, "SECOND": 4}]}}))
    address_map = load_address_map(path)
    assert address_map.name == str(path)
    assert address_map.bits == 6
    assert address_map.decode([0b011000]).bank.tolist() == [0]


def test_a_map_of_another_size_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        load_address_map("kit_ddr4_rbc").check(load_technology("DDR3-1600"))
    message = str(caught.value)
    assert "address map kit_ddr4_rbc: does not fit DDR3-1600" in message
    assert "BANKGROUP_BIT has 2 bits and so 4 values, the memory has 1" in message
    assert "Maps that fit: am_ddr3_8x1Gbx8_dimm_p1KB_rbc, " in message


@pytest.mark.parametrize("name", ["kit_ddr3_xro", "missing.json"])
def test_unknown_name(name: str) -> None:
    with pytest.raises(UnknownNameError, match=f"unknown address map '{name}': it is no file"):
        load_address_map(name)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "not valid JSON"),
        ([], "must be a JSON object with the one key 'CONGEN'"),
        ({"addressmapping": {}}, "must be a JSON object with the one key 'CONGEN'"),
        ({"CONGEN": []}, "CONGEN must be a JSON object"),
        ({"CONGEN": {"BANKS_BIT": [0]}}, "unknown field 'BANKS_BIT'. Did you mean 'BANK_BIT'?"),
        ({"CONGEN": {"ROW_BIT": [[0, 1]]}}, "ROW_BIT: must be a list of address bits"),
        ({"CONGEN": {"ROW_BIT": [True]}}, "ROW_BIT: must be a list of address bits"),
        ({"CONGEN": {"ROW_BIT": [64]}}, "ROW_BIT: address bit 64 is not in 0..63"),
        ({"CONGEN": {"ROW_BIT": list(range(31))}}, "ROW_BIT: a field has at most 30 bits"),
        ({"CONGEN": SMALL | {"ROW_BIT": [3, 4]}}, "bit 3 is already used by BANK_BIT"),
        ({"CONGEN": SMALL | {"ROW_BIT": [4, 6]}}, "bit 5 is in no field, though bit 6 is"),
        ({"CONGEN": SMALL | {"XOR": [{"FIRST": 3}]}}, "XOR: must be a list of objects"),
        ({"CONGEN": SMALL | {"XOR": [{"FIRST": 3, "SECOND": 9}]}}, "bit 9 is in no field"),
        ({"CONGEN": SMALL | {"XOR": [{"FIRST": 3, "SECOND": 3}]}}, "bit 3 with itself"),
    ],
)
def test_files_are_read_strictly(tmp_path: Path, document: Any, message: str) -> None:
    path = tmp_path / "map.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    with pytest.raises(ConfigError) as caught:
        load_address_map(path)
    assert f"address map {path}: " in str(caught.value)
    assert message in str(caught.value)
