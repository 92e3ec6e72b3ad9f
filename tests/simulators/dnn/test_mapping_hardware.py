"""The hardware of the mapping search: what it is made of, and what is refused."""

import math
from typing import Any

import numpy as np
import pytest

from archgym_py.errors import ConfigError, UnknownNameError
from archgym_py.simulators.dnn.components import dram
from archgym_py.simulators.dnn.mapping_hardware import DRAM, L1, L2, array_architecture


def test_levels() -> None:
    built = array_architecture(
        array_x=4, array_y=2, precision="int8", dram="HBM2", dram_channels=2, clock_mhz=500
    )
    assert [built.levels[place].name for place in (L1, L2, DRAM)] == ["L1", "L2", "DRAM"]
    assert [level.instances for level in built.levels] == [8, 1, 1]
    assert [level.block_size for level in built.levels] == [2, 8, 8]  # 16 and 64 bits
    assert built.levels[DRAM].shared_bandwidth == pytest.approx(2 * 256e9 / 500e6)
    assert built.levels[DRAM].read_pj == pytest.approx(64 * dram("HBM2").pj_per_bit)


def test_numbers_of_numpy_are_taken() -> None:
    given: dict[str, Any] = {
        "array_x": np.int64(4),
        "l1_words": np.int32(64),
        "l1_bandwidth": np.float32(4),
        "dram_channels": np.uint8(2),
        "clock_mhz": np.int64(200),
    }
    plain = {"array_x": 4, "l1_words": 64, "l1_bandwidth": 4.0, "dram_channels": 2}
    assert array_architecture(**given) == array_architecture(**plain)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"array_x": 0}, ConfigError, "array_x must be a whole number from 1 to 1024, got 0"),
        ({"array_y": 32.0}, ConfigError, "array_y must be a whole number from 1 to 1024, got 32.0"),
        ({"array_x": 1025}, ConfigError, "array_x must be a whole number from 1 to 1024, got 1025"),
        ({"l1_words": True}, ConfigError, "l1_words must be a whole number"),
        ({"l1_words": 2}, ConfigError, "l1_words must be a whole number from 3"),
        ({"l2_words": 2}, ConfigError, "l2_words must be a whole number from 3"),
        ({"l2_words": 65537}, ConfigError, "l2_words must be a multiple of the 4 words"),
        ({"l1_words": 255, "precision": "int8"}, ConfigError, "a multiple of the 2 words"),
        ({"l2_words": 256}, ConfigError, r"l2_words = 256 cannot be built: a bank of an SRAM"),
        ({"l2_words": 2**30}, ConfigError, r"l2_words = 1073741824 cannot be built: an SRAM"),
        ({"l2_bandwidth": 0}, ConfigError, "l2_bandwidth must be a number from 0.01 to 1e"),
        ({"l2_bandwidth": 5e3}, ConfigError, "cannot be built: the banks of an SRAM"),
        ({"l1_bandwidth": math.nan}, ConfigError, "l1_bandwidth must be a number"),
        ({"l1_bandwidth": "4"}, ConfigError, "l1_bandwidth must be a number"),
        ({"dram": "LPDDR5"}, UnknownNameError, "unknown DRAM 'LPDDR5'. Did you mean 'LPDDR4'"),
        ({"dram": ["HBM2"]}, ConfigError, r"dram must be a name, got \['HBM2'\]"),
        ({"dram_channels": -1}, ConfigError, "dram_channels must be a whole number"),
        ({"precision": "int4"}, UnknownNameError, "unknown precision 'int4'. Did you mean"),
        ({"precision": 16}, ConfigError, "precision must be a name, got 16"),
        ({"clock_mhz": 0}, ConfigError, "clock_mhz must be a number from 1 to 10000, got 0"),
    ],
)
def test_errors(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        array_architecture(**arguments)


@pytest.mark.parametrize("value", [None, True, "4", math.inf, math.nan, [4], 10**400, b"4", 1j])
@pytest.mark.parametrize(
    "name",
    [
        *("array_x", "array_y", "l1_words", "l2_words", "l1_bandwidth", "l2_bandwidth"),
        *("dram_channels", "clock_mhz"),
    ],
)
def test_what_is_no_number_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{name} must be a "):
        array_architecture(**{name: value})
