"""The design spaces of the memory controller.

>>> from archgym_py.simulators.dram.technology import load_technology
>>> dram_space("archgym", load_technology("DDR3-1600")).size
442368
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args

from archgym_py.errors import ConfigError, did_you_mean
from archgym_py.simulators.dram.address import address_maps_for
from archgym_py.simulators.dram.technology import Technology
from archgym_py.space import Choice, Constraint, Integer, Ordinal, Parameter, ParameterSpace, Value

__all__ = ["CMD_MUX", "POWER_DOWN_POLICY", "SpaceVariant", "dram_space"]

SpaceVariant: TypeAlias = Literal["archgym", "integer", "extended"]

CMD_MUX = Choice(
    "cmd_mux",
    ("Oldest", "Strict"),
    doc="which ready command is issued: that of the oldest request, or column commands strictly in "
    "the order of the requests",
)
POWER_DOWN_POLICY = Choice(
    "power_down_policy",
    ("NoPowerDown", "Staggered"),
    doc="whether idle ranks power down, and refresh themselves when they stay idle",
)


def dram_space(
    variant: SpaceVariant,
    technology: Technology,
    *,
    cmd_mux: str = "Oldest",
    allow_no_refresh: bool = False,
) -> ParameterSpace:
    """Return a design space of the controller.

    Every space has the ten parameters of the published grid. Its defaults are the published base
    configuration.

    Args:
        variant: "archgym" for the published grid of 442,368 designs; "integer" for all numbers
            between, refresh limits of 0 and every refresh policy of the technology; "extended" for
            "integer" with address_map, cmd_mux and power_down_policy.
        technology: The memory, which decides the refresh policies and the address maps.
        cmd_mux: The command multiplexer of a space that does not have it as a parameter.
        allow_no_refresh: Whether a controller that never refreshes, and so loses data, is feasible.

    Returns:
        The space. With a strict command multiplexer only the Fifo scheduler is feasible, and it is
        the default of a space where the multiplexer is not a parameter.

    Raises:
        ConfigError: If there is no such variant.

    Examples:
        >>> from archgym_py.simulators.dram.technology import load_technology
        >>> space = dram_space("integer", load_technology("LPDDR4-3200"))
        >>> space["refresh_policy"].describe()
        'one of NoRefresh, AllBank, PerBank'
        >>> space.violations(space.default() | {"refresh_policy": "NoRefresh"})
        ('refresh: without refresh the memory loses its data (allow_no_refresh=True permits it)',)
    """
    if variant not in get_args(SpaceVariant):
        raise ConfigError(
            f"unknown space {variant!r}.{did_you_mean(str(variant), get_args(SpaceVariant))}"
        )
    grid, extended = variant == "archgym", variant == "extended"
    policies = ("NoRefresh", "AllBank") if grid else technology.refresh_policies
    strict = not extended and cmd_mux == "Strict"

    def size(name: str, default: int, doc: str, **active_when: tuple[str, ...]) -> Parameter:
        if grid:
            values = (1, 2, 4, 8, 16, 32, 64, 128)
            return Ordinal(name, values, default=default, doc=doc, active_when=active_when)
        return Integer(name, 1, 128, default=default, doc=doc, active_when=active_when)

    def refresh_limit(name: str, doc: str) -> Parameter:
        active_when = {"refresh_policy": policies[1:]}
        if grid:
            return Ordinal(name, (1, 2, 4, 8), default=8, doc=doc, active_when=active_when)
        return Integer(name, 0, 8, default=8, doc=doc, active_when=active_when)

    parameters: list[Parameter] = [
        Choice(
            "page_policy",
            ("Open", "OpenAdaptive", "Closed", "ClosedAdaptive"),
            doc="when an access closes its row: never, when only other rows are waited for, "
            "always, or when the row is not waited for",
        ),
        Choice(
            "scheduler",
            ("Fifo", "FrFcfsGrp", "FrFcfs"),
            default="Fifo" if strict else "FrFcfs",
            doc="order within a bank: oldest first, row hits first and grouped by direction, or "
            "row hits first",
        ),
        Choice(
            "scheduler_buffer",
            ("Bankwise", "ReadWrite", "Shared"),
            doc="what request_buffer_size limits: the requests of each bank, of each direction, or "
            "of the channel",
        ),
        size("request_buffer_size", 8, "requests that the scheduler holds"),
        Choice(
            "resp_queue",
            ("Fifo", "Reorder"),
            doc="order of the channel's responses: as they are ready, or as requested",
        ),
        Choice(
            "refresh_policy",
            policies,
            default="AllBank",
            doc="what a refresh command refreshes",
        ),
        refresh_limit("refresh_max_postponed", "refreshes that may be owed while the rank is busy"),
        refresh_limit("refresh_max_pulledin", "refreshes that an idle rank may do in advance"),
        Choice(
            "arbiter",
            ("Simple", "Fifo", "Reorder"),
            doc="front end: unbuffered, buffered, or buffered with responses as requested",
        ),
        size(
            "max_active_transactions",
            128,
            "requests between a buffered front end and their responses",
            arbiter=("Fifo", "Reorder"),
        ),
    ]
    constraints = []
    if not allow_no_refresh:
        constraints.append(_REFRESH)
    if extended:
        parameters += [
            Choice(
                "address_map",
                address_maps_for(technology),
                doc="which address bits select channel, rank, bank, row and column",
            ),
            CMD_MUX,
            POWER_DOWN_POLICY,
        ]
        constraints.append(_STRICT_ORDER)
    elif strict:
        constraints.append(_FIFO_SCHEDULER)
    return ParameterSpace(tuple(parameters), tuple(constraints))


def _refreshes(design: Mapping[str, Value]) -> bool:
    return design["refresh_policy"] != "NoRefresh"


def _schedules_in_order(design: Mapping[str, Value]) -> bool:
    return design["scheduler"] == "Fifo"


def _obeys_its_mux(design: Mapping[str, Value]) -> bool:
    return design["cmd_mux"] != "Strict" or _schedules_in_order(design)


_REFRESH = Constraint(
    "refresh",
    "without refresh the memory loses its data (allow_no_refresh=True permits it)",
    _refreshes,
)
_IN_ORDER_DOC = (
    "cmd_mux Strict needs scheduler Fifo: a younger row hit that is preferred to an elder request "
    "would wait for it for ever"
)
_STRICT_ORDER = Constraint("strict_order", _IN_ORDER_DOC, _obeys_its_mux)
_FIFO_SCHEDULER = Constraint("strict_order", _IN_ORDER_DOC, _schedules_in_order)
