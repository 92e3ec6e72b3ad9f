"""What the kernel and its callers share: the numbers behind names, and the layout of its memory.

The kernel is compiled with these values. Numba's cache on disk watches only ``kernel.py``, so
whoever changes a number here touches that file too.
"""

from __future__ import annotations

import numpy as np

from archgym_py.simulators.dram.commands import COMMANDS, SCOPES

__all__ = [
    "BANK_BITS",
    "CONFIG",
    "COUNTERS",
    "DECODED",
    "MAX_BANKS",
    "MAX_CHANNELS",
    "MAX_GROUPS",
    "MAX_RANKS",
    "MAX_TRACE",
    "OK",
    "REQUEST",
    "REQUEST_BITS",
    "RESULT",
    "STALLED",
    "STATE",
    "SYSTEM_FIELDS",
    "VALUES",
]

VALUES = {
    "page_policy": ("Open", "OpenAdaptive", "Closed", "ClosedAdaptive"),
    "scheduler": ("Fifo", "FrFcfs", "FrFcfsGrp"),
    "scheduler_buffer": ("Bankwise", "ReadWrite", "Shared"),
    "resp_queue": ("Fifo", "Reorder"),
    "refresh_policy": ("NoRefresh", "AllBank", "PerBank"),
    "arbiter": ("Simple", "Fifo", "Reorder"),
    "cmd_mux": ("Oldest", "Strict"),
    "power_down_policy": ("NoPowerDown", "Staggered"),
}
"""The kernel's number for a value is its position here; a design space may list them otherwise."""

CONFIG = (
    "page_policy",
    "scheduler",
    "scheduler_buffer",
    "request_buffer_size",
    "resp_queue",
    "refresh_policy",
    "refresh_max_postponed",
    "refresh_max_pulledin",
    "arbiter",
    "max_active_transactions",
    "cmd_mux",
    "power_down_policy",
)
"""Columns of a configuration row."""

COUNTERS = (
    "act",
    "pre",
    "rd",
    "wr",
    "ref_all",
    "ref_bank",
    "active",
    "precharged",
    "active_power_down",
    "precharged_power_down",
    "self_refresh",
    "self_refresh_act",
    "self_refresh_pre",
)
"""Energy counters of a power domain: six counts, then durations in ps."""

OK, STALLED = 0, 1

BANK_BITS, REQUEST_BITS = 6, 24
"""Bits of a bank and of a request where the kernel packs them into one number with a time."""

MAX_TRACE = (1 << REQUEST_BITS) - 1

MAX_CHANNELS, MAX_RANKS, MAX_GROUPS, MAX_BANKS = 4, 8, 32, 1 << BANK_BITS
"""Of the whole system: ranks, groups and banks are numbered over all channels."""

_DECODED = [
    ("stamp", np.int64),  # player clock cycles
    ("address", np.int64),
    ("row", np.int32),
    ("successor", np.int32),  # next request of the same channel; number of requests if none
    ("bank", np.int32),
    ("channel", np.int16),
    ("write", np.int16),
]

DECODED = np.dtype(_DECODED)
"""A request of the trace, decoded."""

REQUEST = np.dtype(
    [
        *_DECODED,
        ("following", np.int32),  # neighbours in the list of the bank, later in the response queue
        ("preceding", np.int32),
        ("send", np.int64),  # actual send time at the player, ps
        ("taken", np.int64),  # acceptance by the arbiter, ps
        ("scheduled", np.int64),  # when `taken` became known, ps; or AT_ONCE or WAITED
        ("due", np.int64),  # response ready, ps
        ("at_arbiter", np.int64),  # response received by the arbiter, ps
        ("latency", np.int64),  # answer at the player minus `send`, ps
        ("end_resp", np.int64),  # when the arbiter sees the player's n-th answer, ps
        ("end_resp_scheduled", np.int64),  # when that became known, ps; or AT_ONCE or WAITED
    ]
)
"""A request with what the kernel notes of it."""

SYSTEM_FIELDS = (
    "tck",
    "player_period",
    "relative",  # stamps count from the previous request
    "aligned",  # player and controller have one clock, and every delay is a multiple of it
    "arbitration_fw",
    "arbitration_bw",
    "think_fw",
    "command_delay",  # controller to DRAM: when the energy model sees a command
    "read_delay",  # column command to response ready
    "write_delay",
    "channels",
    "ranks",  # per channel
    "groups",  # per rank
    "banks",  # per rank
    "split_bus",
    "interval_all",
    "interval_bank",
    "merge_ranks",  # count the energy of all ranks of a channel in one domain
    "ap_read",  # from here to trfcpb: durations of the energy model
    "ap_write",
    "tras",
    "trp",
    "trfc",
    "trfcpb",
)
"""Scalars that the caller sets, times in ps."""

_CHANNEL_FIELDS = (
    "row_bus",  # time from which the row command bus (or the only bus) is free
    "column_bus",  # the same for the column command bus
    "win_time",  # the command that will issue next: when, what, on which bank and rank
    "win_command",
    "win_bank",
    "win_rank",
    "win_end",  # when it leaves the bus, and the number of its request
    "win_urgency",
    "wake",  # time of the controller's next own step
    "wake_set",  # when that step was scheduled
    "last_stored",  # bank of the last stored request
    "stored",  # requests in the buffer
    "stored_writes",
    "last_write",  # direction of the last column command
    "offered",  # request at the controller's door, -1 if none
    "offer_time",
    "offer_set",  # when the offer was scheduled
    "offer_order",  # when it is seen among simultaneous events: EARLY, ARRIVAL, AFTER_RESPONSE
    "last_end_req",
    "accepted",  # requests stored so far
    "responded",  # responses handed to the arbiter so far
    "response_head",  # response queue, linked by REQUEST.following
    "response_tail",
    "response_next",  # next request in order (RespQueue Reorder)
    "response_open",  # response on the link (several channels only), -1 if none
    "response_time",  # when it reaches the arbiter
    "link_free",  # when the response link was freed last
    "idle_time",
    "next_column",  # next request in order (command mux Strict)
    "last_column_time",
    "row_hits",
    "last_time",  # last command and how long the device is busy with it (energy window)
    "last_completion",
)

_RANK_FIELDS = (
    "ready_count",  # bank machines that have a command
    "trigger",  # time of the next refresh
    "flex",  # refreshes owed; negative: pulled in
    "refresh_state",
    "refresh_command",  # command of the refresh manager, -1 if none
    "refresh_bank",
    "refresh_left",  # bit mask of the banks still to be refreshed in this round
    "refresh_keep",  # the selected bank is kept until its REFB
    "activated",
    "payloads",  # requests of this rank in the buffer
    "sleeping",
    "pd_state",
    "pd_command",  # command of the power-down manager, -1 if none
    "pd_activated",  # as the power-down manager counts: without auto-precharges
    "pd_controller_idle",
    "want_entry",
    "want_exit",
    "want_self_refresh",
    "window_position",
    "round",  # REFBs of this round
    # Energy domain: a rank, or with merge_ranks all ranks of a channel.
    "active_banks",
    "first_act",
    "last_pre",
    "pending",  # auto-precharges that have not started yet
    "entry",  # when power-down or self refresh was entered
    "mode",
)

_BANK_FIELDS = (
    "rank_of_bank",
    "group_of_bank",
    "open_row",  # -1 if precharged
    "current",  # request of the bank machine, -1 if none
    "command",  # its command, NOP if none
    "head",  # list of the bank's requests, linked by REQUEST.following
    "tail",
    "count",
    "ready_at",  # position in STATE.ready_banks while the bank machine has a command
    "hits",  # requests of the list for the open row
    "blocked",
    "fresh",  # activated, and no column command since
    "power_open",  # open as the energy model sees it
)

_PLAYER_FIELDS = (
    "next_accept",  # next request that the arbiter will take
    "next_arrival",  # when it reaches the arbiter
    "delivered",
    "last_delivery",
    "last_end_resp",  # when the arbiter saw the player's last answer
    "latency_sum",
    "latency_max",
    "next_in_order",
    "logged",
)

_N = len(COMMANDS)

STATE = np.dtype(
    [
        *((name, np.int64) for name in SYSTEM_FIELDS),
        ("distance", np.int64, (len(SCOPES), _N, _N)),  # TimingTables.distance
        ("length", np.int64, _N),  # TimingTables.length
        ("completion", np.int64, _N),  # PowerTiming.completion
        ("cfg", np.int64, len(CONFIG)),
        *((name, np.int64) for name in _PLAYER_FIELDS),
        *((name, np.int64, MAX_CHANNELS) for name in _CHANNEL_FIELDS),
        *((name, np.int64, MAX_RANKS) for name in _RANK_FIELDS),
        # Narrow, so that they lie within 4 KiB: processors mistake addresses 4096 bytes apart for
        # one another when they match loads with earlier stores, which cost a third of the speed.
        *((name, np.int32, MAX_BANKS) for name in _BANK_FIELDS),
        ("ready_banks", np.int32, (MAX_RANKS, MAX_BANKS)),  # in no particular order
        # Earliest end of the bank machine's command on the bus, by the rules of bank and group.
        ("bank_end", np.int64, MAX_BANKS),
        ("power_act", np.int64, MAX_BANKS),  # last activation
        ("bank_ready", np.int64, (MAX_BANKS, 8)),  # earliest times by command
        ("group_ready", np.int64, (MAX_GROUPS, 8)),
        ("rank_ready", np.int64, (MAX_RANKS, _N)),
        ("window", np.int64, (MAX_RANKS, 4)),  # last four activations
        ("counters", np.int64, (MAX_RANKS, len(COUNTERS))),
        ("pending_time", np.int64, (MAX_RANKS, 2 * MAX_BANKS)),  # auto-precharges, sorted by time
        ("pending_bank", np.int64, (MAX_RANKS, 2 * MAX_BANKS)),
        ("counts", np.int64, _N),  # commands issued
    ]
)
"""Everything else that a simulation reads and writes."""

RESULT = np.dtype(
    [
        ("status", np.int64),
        ("total_time_ps", np.int64),
        ("latency_sum_ps", np.int64),
        ("latency_p50_ps", np.int64),
        ("latency_p99_ps", np.int64),
        ("latency_max_ps", np.int64),
        ("row_hits", np.int64),
        ("idle_ps", np.int64, MAX_CHANNELS),  # no request in the controller
        ("served", np.int64, MAX_CHANNELS),
        ("counts", np.int64, _N),
        ("counters", np.int64, (MAX_RANKS, len(COUNTERS))),
    ]
)
"""What a simulation of one design returns."""
