import pickle
from typing import Any

import pytest

from archgym_py.errors import ConfigError
from archgym_py.simulators.dram.space import dram_space
from archgym_py.simulators.dram.technology import load_technology, technology_names
from archgym_py.space import ParameterSpace

BASE = {
    "page_policy": "Open",
    "scheduler": "FrFcfs",
    "scheduler_buffer": "Bankwise",
    "request_buffer_size": 8,
    "resp_queue": "Fifo",
    "refresh_policy": "AllBank",
    "refresh_max_postponed": 8,
    "refresh_max_pulledin": 8,
    "arbiter": "Simple",
    "max_active_transactions": 128,
}


def _space(variant: Any, technology: str = "DDR3-1600", **arguments: Any) -> ParameterSpace:
    return dram_space(variant, load_technology(technology), **arguments)


def test_the_published_grid() -> None:
    space = _space("archgym")
    assert space.size == 442_368
    assert space.default() == BASE
    values = {p.name: [p.value_at(i) for i in range(p.cardinality or 0)] for p in space.parameters}
    powers = [1, 2, 4, 8, 16, 32, 64, 128]
    assert list(values.items()) == [
        ("page_policy", ["Open", "OpenAdaptive", "Closed", "ClosedAdaptive"]),
        ("scheduler", ["Fifo", "FrFcfsGrp", "FrFcfs"]),
        ("scheduler_buffer", ["Bankwise", "ReadWrite", "Shared"]),
        ("request_buffer_size", powers),
        ("resp_queue", ["Fifo", "Reorder"]),
        ("refresh_policy", ["NoRefresh", "AllBank"]),
        ("refresh_max_postponed", powers[:4]),
        ("refresh_max_pulledin", powers[:4]),
        ("arbiter", ["Simple", "Fifo", "Reorder"]),
        ("max_active_transactions", powers),
    ]


def test_inert_settings_share_a_key() -> None:
    # 576 designs of the other knobs, 16 refresh limits, and Simple or one of 2 x 8 front ends.
    assert _space("archgym").count_canonical() == 4 * 3 * 3 * 8 * 2 * 16 * (1 + 2 * 8)
    space = _space("archgym", allow_no_refresh=True)
    assert space.count_canonical() == 4 * 3 * 3 * 8 * 2 * (1 + 16) * (1 + 2 * 8)
    same = BASE | {"max_active_transactions": 4}
    assert space.key(same) == space.key(BASE)
    assert space.key(same | {"arbiter": "Fifo"}) != space.key(BASE | {"arbiter": "Fifo"})
    lossy = BASE | {"refresh_policy": "NoRefresh"}
    assert space.key(lossy | {"refresh_max_postponed": 1}) == space.key(lossy)
    assert space.key(BASE | {"refresh_max_postponed": 1}) != space.key(BASE)


@pytest.mark.parametrize("technology", technology_names())
def test_integer_widens_the_numbers(technology: str) -> None:
    space = _space("integer", technology)
    assert space.names == tuple(BASE)
    assert space.default() == BASE
    described = {p.name: p.describe() for p in space.parameters}
    for name in ("request_buffer_size", "max_active_transactions"):
        assert described[name] == "integer 1..128"
    for name in ("refresh_max_postponed", "refresh_max_pulledin"):
        assert described[name] == "integer 0..8"
    policies = ", ".join(load_technology(technology).refresh_policies)
    assert described["refresh_policy"] == f"one of {policies}"


def test_per_bank_refresh_has_limits_too() -> None:
    space = _space("integer", "LPDDR4-3200")
    per_bank = BASE | {"refresh_policy": "PerBank"}
    assert not space.violations(per_bank)
    assert space.key(per_bank) != space.key(per_bank | {"refresh_max_pulledin": 0})
    assert "PerBank" not in _space("archgym", "LPDDR4-3200")["refresh_policy"].describe()


@pytest.mark.parametrize("technology", technology_names())
def test_extended_adds_three_parameters(technology: str) -> None:
    memory = load_technology(technology)
    space = _space("extended", technology)
    assert space.names == (*BASE, "address_map", "cmd_mux", "power_down_policy")
    assert space.default() == BASE | {
        "address_map": memory.default_address_map,
        "cmd_mux": "Oldest",
        "power_down_policy": "NoPowerDown",
    }


@pytest.mark.parametrize("variant", ["archgym", "integer", "extended"])
def test_no_refresh_is_infeasible_unless_allowed(variant: str) -> None:
    space = _space(variant)
    lossy = space.default() | {"refresh_policy": "NoRefresh"}
    assert len(space.violations(lossy)) == 1
    assert space.violations(lossy)[0].startswith("refresh: without refresh the memory loses")
    assert not _space(variant, allow_no_refresh=True).violations(lossy)


def test_a_strict_command_mux_needs_a_fifo_scheduler() -> None:
    extended = _space("extended")
    strict = extended.default() | {"cmd_mux": "Strict"}
    assert extended.violations(strict)[0].startswith("strict_order: cmd_mux Strict needs")
    assert not extended.violations(strict | {"scheduler": "Fifo"})

    fixed = _space("archgym", cmd_mux="Strict")
    assert fixed.default()["scheduler"] == "Fifo"
    assert fixed.violations(BASE)[0].startswith("strict_order: cmd_mux Strict needs")
    assert fixed.size == 442_368


@pytest.mark.parametrize("variant", ["archgym", "integer", "extended"])
def test_spaces_can_be_pickled(variant: str) -> None:
    space = _space(variant, "HBM2")
    assert pickle.loads(pickle.dumps(space)) == space  # noqa: S301  # our own bytes


def test_unknown_variant() -> None:
    with pytest.raises(ConfigError, match=r"unknown space 'arch_gym'\. Did you mean 'archgym'\?"):
        _space("arch_gym")
