import copy
from importlib.resources import files
from typing import Any

import pytest
import yaml

from archgym_py.errors import ConfigError, UnknownNameError
from archgym_py.simulators.dram.technology import (
    load_technology,
    parse_technology,
    technology_names,
)

NAMES = ("DDR3-1600", "DDR3-1600-2ch", "DDR3-1600-2rank", "DDR4-2400", "HBM2", "LPDDR4-3200")


def _file(name: str) -> dict[str, Any]:
    path = files("archgym_py.configs") / "dram" / "technologies" / f"{name}.yaml"
    content = yaml.safe_load(path.read_bytes())
    assert isinstance(content, dict)
    return content


def test_names() -> None:
    assert technology_names() == NAMES


@pytest.mark.parametrize(
    ("name", "tck_ps", "burst_bytes", "gibibytes", "peak_gbit_s"),
    [
        ("DDR3-1600", 1250, 64, 1, 102.4),
        ("DDR3-1600-2rank", 1250, 64, 2, 102.4),
        ("DDR3-1600-2ch", 1250, 64, 2, 204.8),
        ("DDR4-2400", 833, 64, 4, 153.66),
        ("LPDDR4-3200", 625, 32, 1, 51.2),
        ("HBM2", 1000, 32, 1, 128.0),
    ],
)
def test_organisation_adds_up(
    name: str, tck_ps: int, burst_bytes: int, gibibytes: int, peak_gbit_s: float
) -> None:
    memory = load_technology(name)
    assert memory.name == name
    assert memory.tck_ps == tck_ps
    assert memory.bytes_per_burst == burst_bytes
    columns = memory.channels * memory.ranks * memory.banks * memory.rows * memory.columns
    assert columns * memory.bytes_per_column == gibibytes * 2**30
    bits_per_clock = 2 * memory.width_bits * memory.devices * memory.channels
    assert bits_per_clock * 1000 / memory.tck_ps == pytest.approx(peak_gbit_s, abs=0.01)


def test_timings_and_currents_are_those_of_the_data_sheets() -> None:
    ddr4 = load_technology("DDR4-2400")
    assert (ddr4.timings["RCD"], ddr4.timings["CCD_L"], ddr4.timings["RFC"]) == (16, 6, 313)
    assert [supply.name for supply in ddr4.supplies] == ["VDD", "VPP"]
    assert ddr4.supplies[1].currents_ma["idd0"] == 4.05
    lpddr4 = load_technology("LPDDR4-3200")
    assert (lpddr4.timings["RPpb"], lpddr4.timings["RPab"]) == (29, 34)
    assert [supply.voltage_v for supply in lpddr4.supplies] == [1.8, 1.1]
    assert load_technology("HBM2").supplies == ()


@pytest.mark.parametrize("name", NAMES)
def test_rows_close_after_they_could_be_read(name: str) -> None:
    t = load_technology(name).timings
    activate_to_activate = t.get("RC", t.get("RCpb", 0))
    precharge = t.get("RP", t.get("RPpb", 0))
    assert activate_to_activate == t["RAS"] + precharge
    assert t["REFI"] > t.get("RFC", t.get("RFCab", 0))


@pytest.mark.parametrize("name", NAMES)
def test_refresh_policies(name: str) -> None:
    memory = load_technology(name)
    has_per_bank = memory.standard in ("LPDDR4", "HBM2")
    assert memory.refresh_policies[:2] == ("NoRefresh", "AllBank")
    assert ("PerBank" in memory.refresh_policies) is has_per_bank


def test_variants_differ_from_their_base_only_where_they_say_so() -> None:
    base, ranks, channels = (load_technology(name) for name in NAMES[0:1] + NAMES[2:0:-1])
    assert (ranks.ranks, channels.channels) == (2, 2)
    assert ranks.timings == channels.timings == base.timings
    assert ranks.supplies == channels.supplies == base.supplies
    assert "timings" not in _file("DDR3-1600-2rank")


def test_loading_twice_gives_the_same_object() -> None:
    assert load_technology("HBM2") is load_technology("HBM2")


def test_unknown_name() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown technology 'DDR3'\. Did you mean 'DDR3-"):
        load_technology("DDR3")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("speed",), 1, "t.yaml: unknown key 'speed'"),
        (("organisation", "bank_group"), 1, "organisation: unknown key 'bank_group'. Did you mean"),
        (("organisation", "source"), None, "organisation: 'source' is missing"),
        (("organisation", "source"), " ", "organisation: source must be a text that is not empty"),
        (("organisation", "banks"), 0, "banks must be a whole number, 1 or more, got 0"),
        (("organisation", "banks"), 8.0, "banks must be a whole number, 1 or more, got 8.0"),
        (("organisation", "bank_groups"), 3, "8 banks do not divide into 3 bank_groups"),
        (("organisation", "clock_mhz"), 0, "clock_mhz must be a number, above 0, got 0"),
        (("organisation",), 3, "organisation: must be a mapping, got 3"),
        (("standard",), "DDR2", "unknown standard 'DDR2'. Did you mean 'DDR"),
        (("timings", 0, "cycles", "RCD"), None, "timings: 'RCD' is missing"),
        (("timings", 0, "cycles", "RCDX"), 1, "timings: unknown key 'RCDX'. Did you mean 'RCD'"),
        (("timings", 0, "cycles", "RTRS"), 1, "timings group 2: RTRS is given twice"),
        (("timings", 0, "cycles", "RCD"), 1.5, "RCD must be a whole number, 1 or more, got 1.5"),
        (("timings", 0, "cycles"), [], "cycles: must be a mapping"),
        (("timings", 0, "source"), None, "timings group 1: 'source' is missing"),
        (("timings",), {}, "timings must be a list"),
        (("supplies", 0, "source"), None, "supply 1: 'source' is missing"),
        (("supplies", 0, "voltage_v"), 0, "voltage_v must be a number, above 0, got 0"),
        (("supplies", 0, "currents_ma", "idd0"), float("nan"), "idd0 must be a number, 0 or more"),
        (("supplies", 0, "currents_ma", "idd0"), None, "currents_ma: 'idd0' is missing"),
    ],
)
def test_files_are_read_strictly(path: tuple[Any, ...], value: Any, message: str) -> None:
    content = copy.deepcopy(_file("DDR3-1600"))
    parent: Any = content
    for step in path[:-1]:
        parent = parent[step]
    if value is None:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    with pytest.raises(ConfigError) as caught:
        parse_technology(content, "t.yaml")
    assert message in str(caught.value)
