"""Numbers that the timing tables and the kernel share: commands, scopes, and the value of "never".

The first seven commands can be issued to one bank and may be limited by bank, bank group and rank;
the others concern a whole rank. The kernel relies on this order.
"""

from __future__ import annotations

__all__ = ["COMMANDS", "NEVER", "SCOPES"]

COMMANDS = (
    "RD",
    "RDA",
    "WR",
    "WRA",
    "ACT",
    "PRE",
    "REFB",
    "NOP",  # never issued: keeps the rank commands in the second half of a row of 16
    "PREA",
    "REFA",
    "PDEA",
    "PDXA",
    "PDEP",
    "PDXP",
    "SREFEN",
    "SREFEX",
)

# What an earlier command must share with a later one for a rule to hold: the bank, its bank group,
# its rank, the channel but not the rank; "window": the fourth last such command of the rank;
# "round": the command completed a round over all banks of the rank.
SCOPES = ("bank", "group", "rank", "other", "window", "round")

NEVER = -(10**15)
