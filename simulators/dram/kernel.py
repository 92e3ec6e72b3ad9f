"""The memory controller, cycle accurate and event driven, compiled by numba.

One call of `simulate` plays one decoded trace through a list of controller configurations. Time is
in integer picoseconds throughout. The model follows DRAMSys 4.0 (revision 460604a): a controller
*step* takes an offered request into the scheduler, lets the refresh and power-down managers speak,
and issues at most one command; between steps nothing changes, so the kernel jumps from one to the
next.

How a simulation runs. All functions work on `s`, a record of `layout.STATE`, and on the requests
`q`; `c`, `r`, `b`, `d` and `k` are a channel, a rank, a bank, an energy domain and a request.

* `_pump`, `_end_request`: trace player and arbiter. When a request reaches its controller is a
  closed form of earlier acceptances and deliveries, so neither needs events of its own.
* `_accept`: a controller stores an offered request in the list of its bank.
* `_start_bank`: a bank machine chooses its request (scheduler) and its next command (page policy).
* `_start_refresh`, `_start_power_down`: the managers of a rank choose their command.
* `_scan`: the command mux. It finds the command that will issue next and when; that stays true
  until a request arrives, so there is one scan for each command and none in between.
* `_issue`: a command goes out; timing tables, bank states and the energy counters follow.
* `_advance_responses`, `_deliver`: response queue and arbiter, on the way back to the player.

The order of simultaneous events is written in `_run`.

Every compiled function lies in this one file on purpose: numba's cache on disk watches only the
file of the function that is called, so a helper in another module could change without being
recompiled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from archgym_py.simulators.dram.commands import COMMANDS, NEVER, SCOPES
from archgym_py.simulators.dram.layout import (
    BANK_BITS,
    CONFIG,
    COUNTERS,
    OK,
    REQUEST,
    REQUEST_BITS,
    STALLED,
    STATE,
    VALUES,
)

__all__ = ["simulate"]

OPEN, OPEN_ADAPTIVE, CLOSED, CLOSED_ADAPTIVE = range(len(VALUES["page_policy"]))
FIFO, FR_FCFS, FR_FCFS_GRP = range(len(VALUES["scheduler"]))
BANKWISE, READ_WRITE, SHARED = range(len(VALUES["scheduler_buffer"]))
REORDER = VALUES["resp_queue"].index("Reorder")
NO_REFRESH, ALL_BANK, PER_BANK = range(len(VALUES["refresh_policy"]))
SIMPLE_ARBITER, FIFO_ARBITER, REORDER_ARBITER = range(len(VALUES["arbiter"]))
STRICT = VALUES["cmd_mux"].index("Strict")
STAGGERED = VALUES["power_down_policy"].index("Staggered")

(
    PAGE_POLICY,
    SCHEDULER,
    BUFFER,
    BUFFER_SIZE,
    RESPONSE_QUEUE,
    REFRESH,
    MAX_POSTPONED,
    MAX_PULLED_IN,
    ARBITER,
    MAX_ACTIVE,
    MUX,
    POWER_DOWN,
) = range(len(CONFIG))

RD, RDA, WR, WRA, ACT, PRE, REFB, NONE, PREA, REFA, PDEA, PDXA, PDEP, PDXP, SREFEN, SREFEX = range(
    len(COMMANDS)
)
BANK_SCOPE, GROUP_SCOPE, RANK_SCOPE, OTHER_SCOPE, WINDOW_SCOPE, ROUND_SCOPE = range(len(SCOPES))
(
    N_ACT,
    N_PRE,
    N_RD,
    N_WR,
    N_REF_ALL,
    N_REF_BANK,
    C_ACTIVE,
    C_PRECHARGED,
    C_ACTIVE_PD,
    C_PRECHARGED_PD,
    C_SELF_REFRESH,
    C_SELF_REFRESH_ACT,
    C_SELF_REFRESH_PRE,
) = range(len(COUNTERS))

REGULAR, PULLED_IN = range(2)  # refresh manager
PD_IDLE, PD_ACTIVE, PD_PRECHARGED, PD_SELF_REFRESH, PD_EXTRA_REFRESH = range(5)
AWAKE, IN_ACTIVE_PD, IN_PRECHARGED_PD, IN_SELF_REFRESH = range(4)  # energy domain

INF = 1 << 62
EARLY, ARRIVAL, AFTER_RESPONSE = range(3)  # how an offer becomes known to a controller
# REQUEST.scheduled, if not a time: accepted when a response freed a slot of the arbiter, and the
# response came to the arbiter just then (AT_ONCE) or had waited there for its turn (WAITED).
AT_ONCE, WAITED = -1, INF
FIRST, LAST = -1, INF - 1  # urgency of refresh and of power-down; a request's is its number
SELECT_BITS = 11
STALL_PS = 2_000_000_000  # 2 ms without a column command though requests wait: a deadlock

_options: Any = {"nogil": True, "cache": True, "error_model": "numpy"}
# The functions below allocate nothing. Without numba's reference counts (an atomic instruction at
# every call that passes an array) the kernel is more than twice as fast.
_uncounted: Any = {**_options, "_nrt": False}
_compile: Any = njit(**_uncounted)
_inline: Any = njit(**{**_uncounted, "forceinline": True})

# --- Player and arbiter --------------------------------------------------------------------------


@_inline
def _at_arbiter(s: Any, time: int) -> int:
    """When the arbiter sees what the player sends at `time`: at its next clock edge."""
    if not s.aligned:
        late = time % s.tck
        if late > 0:
            time += s.tck - late
    return time


@_inline
def _arrive(s: Any, q: Any, k: int, now: int) -> None:
    """Let the player send request k; it got the END_REQ of its predecessor at `now`."""
    period = s.player_period
    stamp = q[k].stamp * period
    # The next clock edge, also when `now` is on one; remainders are slow, so they are avoided.
    edge = now + period if s.aligned else now - now % period + period
    if k > 0:
        if s.relative:
            stamp += edge
        elif edge > stamp:
            stamp = edge
    q[k].send = stamp
    s.next_arrival = _at_arbiter(s, stamp)


@_inline
def _offer(s: Any, q: Any, c: int, k: int) -> None:
    """Put request k, which the arbiter has, at the door of its controller (not arbiter Simple)."""
    s.offered[c] = k
    if q[k].taken > s.last_end_req[c]:
        s.offer_time[c] = q[k].taken
        s.offer_order[c] = AFTER_RESPONSE if q[k].scheduled == AT_ONCE else ARRIVAL
        s.offer_set[c] = q[k].scheduled
    else:
        s.offer_time[c] = s.last_end_req[c] + s.tck
        s.offer_order[c] = EARLY


@_compile
def _pump(s: Any, q: Any) -> None:
    """Let the arbiter (Fifo, Reorder) take all requests whose time of acceptance is known."""
    n = len(q)
    k = s.next_accept
    slots = s.cfg[MAX_ACTIVE]
    while k < n:
        time = s.next_arrival
        q[k].scheduled = q[k - 1].taken if k > 0 else 0
        if k >= slots:
            if k - slots >= s.delivered:
                break
            if q[k - slots].end_resp >= time:
                time = q[k - slots].end_resp
                q[k].scheduled = q[k - slots].end_resp_scheduled
        q[k].taken = time
        c = q[k].channel
        if s.offered[c] < 0:
            _offer(s, q, c, k)
        k += 1
        if k < n:
            _arrive(s, q, k, time)
    s.next_accept = k


@_inline
def _end_request(s: Any, q: Any, c: int, k: int, time: int) -> None:
    """The controller has taken request k; its END_REQ arrives at `time`."""
    s.last_end_req[c] = time
    s.offered[c] = -1
    s.offer_time[c] = INF
    if s.cfg[ARBITER] == SIMPLE_ARBITER:
        if k + 1 < len(q):
            _arrive(s, q, k + 1, time)
            target = q[k + 1].channel
            s.offered[target] = k + 1
            s.offer_time[target] = s.next_arrival + s.arbitration_fw
            s.offer_order[target] = EARLY if s.arbitration_fw > 0 else ARRIVAL
            s.offer_set[target] = time
    else:
        following = q[k].successor
        if following < s.next_accept:
            _offer(s, q, c, following)


# --- Responses -----------------------------------------------------------------------------------


@_inline
def _to_player(s: Any, q: Any, k: int, time: int, delay: int) -> None:
    """Deliver a response that the arbiter has at `time`; the player answers it at once."""
    last = s.last_end_resp
    waited = time <= last
    time = (last + s.tck if waited else time) + delay
    end_resp = _at_arbiter(s, time)
    q[s.delivered].end_resp = end_resp
    q[s.delivered].end_resp_scheduled = WAITED if waited else AT_ONCE if end_resp == time else time
    s.delivered += 1
    s.last_end_resp = end_resp
    s.last_delivery = time
    latency = time - q[k].send
    q[k].latency = latency
    s.latency_sum += latency
    if latency > s.latency_max:
        s.latency_max = latency


@_inline
def _deliver(s: Any, q: Any, c: int, k: int, time: int) -> None:
    """The response to request k reaches the arbiter at `time`."""
    s.responded[c] += 1
    arbiter = s.cfg[ARBITER]
    if arbiter == SIMPLE_ARBITER:
        _to_player(s, q, k, time, s.arbitration_bw)
        s.link_free[c] = s.last_end_resp
        return
    s.link_free[c] = time
    if arbiter == FIFO_ARBITER:
        _to_player(s, q, k, time, 0)
    else:
        q[k].at_arbiter = time
        k = s.next_in_order
        while k < len(q) and q[k].at_arbiter < INF:
            _to_player(s, q, k, q[k].at_arbiter, 0)
            k += 1
        s.next_in_order = k
    _pump(s, q)


@_inline
def _advance_responses(s: Any, q: Any, c: int) -> None:
    """Send what the response queue of a controller can send.

    With one channel nothing can change the order or the time of a response once its column command
    is issued, so it is delivered here and now, with its future time. With several channels the
    arbiter merges them, so each response becomes an event.
    """
    while s.response_open[c] < 0:
        if s.cfg[RESPONSE_QUEUE] == REORDER:
            k = s.response_next[c]
            if k >= len(q) or q[k].due == INF:
                return
            s.response_next[c] = q[k].successor
        else:
            k = s.response_head[c]
            if k < 0:
                return
            s.response_head[c] = q[k].following
        free = s.link_free[c]
        time = q[k].due if q[k].due > free else free + s.tck
        if s.channels == 1:
            _deliver(s, q, c, k, time)
        else:
            s.response_open[c] = k
            s.response_time[c] = time


@_inline
def _queue_response(s: Any, q: Any, c: int, k: int, due: int) -> None:
    q[k].due = due
    if s.cfg[RESPONSE_QUEUE] != REORDER:
        q[k].following = -1
        if s.response_head[c] < 0:
            s.response_head[c] = k
        else:
            q[s.response_tail[c]].following = k
        s.response_tail[c] = k
    _advance_responses(s, q, c)


# --- Scheduler and bank machines -----------------------------------------------------------------


@_inline
def _has_space(s: Any, c: int) -> bool:
    size = s.cfg[BUFFER_SIZE]
    buffer = s.cfg[BUFFER]
    if buffer == BANKWISE:  # looks at the bank of the last stored request, not at the new one's
        return s.count[s.last_stored[c]] < size
    stored = s.stored[c]
    if buffer == SHARED:
        return stored < size
    writes = s.stored_writes[c]
    return writes < size and stored - writes < size


@_inline
def _choose_grouped(s: Any, q: Any, c: int, b: int) -> int:
    """FrFcfsGrp: the oldest row hit in the direction of the last column command.

    One that waits behind an older request of the same address is passed over; if none is left, the
    oldest row hit is taken.
    """
    row = s.open_row[b]
    direction = s.last_write[c]
    oldest = -1
    k = s.head[b]
    while k >= 0:
        if q[k].row == row:
            if oldest < 0:
                oldest = k
            if q[k].write == direction:
                older = oldest
                while older != k and not (q[older].row == row and q[older].address == q[k].address):
                    older = q[older].following
                if older == k:
                    return k
        k = q[k].following
    return oldest


@_inline
def _choose(s: Any, q: Any, c: int, b: int, search_from: int) -> int:
    """Choose the request of a bank machine and return its command, NONE if it has none."""
    if s.blocked[b] or s.sleeping[s.rank_of_bank[b]]:
        return NONE
    head = s.head[b]
    s.current[b] = head
    if head < 0:
        return NONE
    row = s.open_row[b]
    if row < 0:
        return ACT
    scheduler = s.cfg[SCHEDULER]
    k = head
    if scheduler != FIFO and s.hits[b] > 0:
        if scheduler == FR_FCFS:
            k = search_from if search_from >= 0 else head
            while q[k].row != row:
                k = q[k].following
        else:
            k = _choose_grouped(s, q, c, b)
        s.current[b] = k
    if q[k].row != row:
        return PRE
    policy = s.cfg[PAGE_POLICY]
    auto = policy == CLOSED
    if policy == OPEN_ADAPTIVE or policy == CLOSED_ADAPTIVE:
        if scheduler == FIFO:
            second = q[head].following
            further_hit = second >= 0 and q[second].row == row
        else:
            further_hit = s.hits[b] >= 2
        auto = not further_hit and (policy == CLOSED_ADAPTIVE or s.count[b] >= 2)
    return (WR if q[k].write else RD) + (1 if auto else 0)


@_inline
def _list_ready(s: Any, b: int, r: int, ready: bool) -> None:
    """Enter a bank into the list of those that have a command, or strike it off."""
    if ready:
        s.ready_at[b] = s.ready_count[r]
        s.ready_banks[r, s.ready_count[r]] = b
        s.ready_count[r] += 1
    else:
        s.ready_count[r] -= 1
        moved = s.ready_banks[r, s.ready_count[r]]
        s.ready_banks[r, s.ready_at[b]] = moved
        s.ready_at[moved] = s.ready_at[b]


@_compile
def _start_bank(s: Any, q: Any, c: int, b: int, search_from: int) -> None:
    """Start a bank machine: its request, its command and when that could leave the bus.

    `search_from`: no request before this one in the list is a row hit (FrFcfs only).
    """
    command = _choose(s, q, c, b, search_from)
    if (command == NONE) != (s.command[b] == NONE):
        _list_ready(s, b, s.rank_of_bank[b], command != NONE)
    s.command[b] = command
    s.bank_end[b] = s.length[command] + max(
        s.bank_ready[b, command], s.group_ready[s.group_of_bank[b], command]
    )


@_compile
def _start_rank_banks(s: Any, q: Any, c: int, r: int) -> None:
    banks = s.banks
    for b in range(r * banks, (r + 1) * banks):
        _start_bank(s, q, c, b, -1)


@_inline
def _accept(s: Any, q: Any, c: int, time: int, end_request: int) -> int:
    """Store the offered request and return its bank, which is still to be started.

    Its END_REQ is sent at `end_request`.
    """
    k = s.offered[c]
    b = q[k].bank
    r = s.rank_of_bank[b]
    if s.accepted[c] == s.responded[c] and time > s.link_free[c]:
        s.idle_time[c] += time - max(0, s.link_free[c])
    s.accepted[c] += 1
    s.last_stored[c] = b
    s.stored[c] += 1
    if q[k].write:
        s.stored_writes[c] += 1
    tail = s.tail[b]
    q[k].following = -1
    q[k].preceding = tail
    if tail < 0:
        s.head[b] = k
    else:
        q[tail].following = k
    s.tail[b] = k
    s.count[b] += 1
    if q[k].row == s.open_row[b]:
        s.hits[b] += 1
    s.payloads[r] += 1
    if s.cfg[POWER_DOWN] == STAGGERED and s.payloads[r] == 1:
        s.pd_controller_idle[r] = 0
        s.want_entry[r] = 0
        s.want_self_refresh[r] = 0
        if s.pd_state[r] != PD_IDLE:
            s.want_exit[r] = 1
    _end_request(s, q, c, k, end_request)
    return b


@_inline
def _remove(s: Any, q: Any, c: int, b: int, k: int) -> None:
    before = q[k].preceding
    after = q[k].following
    if before < 0:
        s.head[b] = after
    else:
        q[before].following = after
    if after < 0:
        s.tail[b] = before
    else:
        q[after].preceding = before
    s.count[b] -= 1
    s.stored[c] -= 1
    if q[k].write:
        s.stored_writes[c] -= 1


# --- Managers of a rank --------------------------------------------------------------------------


@_inline
def _any_bank_busy(s: Any, r: int) -> bool:
    banks = s.banks
    for b in range(r * banks, (r + 1) * banks):
        if s.current[b] >= 0:
            return True
    return False


@_compile
def _start_refresh(s: Any, r: int, time: int) -> None:
    """Choose the command of the refresh manager."""
    s.refresh_command[r] = -1
    if time < s.trigger[r]:
        return
    if s.cfg[POWER_DOWN] == STAGGERED:
        s.want_entry[r] = 0
        if s.pd_state[r] != PD_IDLE:
            s.want_exit[r] = 1
    if s.sleeping[r]:
        return
    if s.cfg[REFRESH] == ALL_BANK:
        _start_refresh_all(s, r, time)
    else:
        _start_refresh_bank(s, r, time)


@_inline
def _catch_up(s: Any, r: int, time: int, interval: int) -> None:
    """Leave out a refresh that is a whole interval late; the refreshes owed stay as they are."""
    if time >= s.trigger[r] + interval:
        s.trigger[r] += interval
        s.refresh_state[r] = REGULAR


@_compile
def _start_refresh_all(s: Any, r: int, time: int) -> None:
    interval = s.interval_all
    banks = s.banks
    _catch_up(s, r, time, interval)
    if s.refresh_state[r] == REGULAR:
        if s.flex[r] == s.cfg[MAX_POSTPONED]:
            s.blocked[r * banks : (r + 1) * banks] = 1
        elif _any_bank_busy(s, r):
            s.flex[r] += 1
            s.trigger[r] += interval
            return
        s.refresh_command[r] = PREA if s.activated[r] > 0 else REFA
    elif _any_bank_busy(s, r):
        s.refresh_state[r] = REGULAR
        s.trigger[r] += interval
    else:
        s.refresh_command[r] = REFA


@_compile
def _start_refresh_bank(s: Any, r: int, time: int) -> None:
    interval = s.interval_bank
    banks = s.banks
    _catch_up(s, r, time, interval)
    all_busy = True
    if not s.refresh_keep[r]:
        s.refresh_bank[r] = -1
        for i in range(banks):
            if s.refresh_left[r] >> i & 1:
                b = r * banks + i
                if s.refresh_bank[r] < 0:
                    s.refresh_bank[r] = b
                if s.current[b] < 0:
                    s.refresh_bank[r] = b
                    all_busy = False
                    break
    forced = s.refresh_state[r] == REGULAR and s.flex[r] == s.cfg[MAX_POSTPONED] * banks
    if all_busy and not forced:
        if s.refresh_state[r] == REGULAR:
            s.flex[r] += 1
        s.refresh_state[r] = REGULAR
        s.trigger[r] += interval
        return
    b = s.refresh_bank[r]
    if s.open_row[b] >= 0:
        s.refresh_command[r] = PRE
        return
    s.refresh_command[r] = REFB
    if forced:
        s.blocked[b] = 1
        s.refresh_keep[r] = 1


@_inline
def _refreshed(s: Any, r: int, interval: int, limit: int) -> None:
    """Refresh manager after its REFA or REFB: go on pulling in while the rank is idle."""
    if s.refresh_state[r] == PULLED_IN:
        s.flex[r] -= 1
    else:
        s.refresh_state[r] = PULLED_IN
    if s.flex[r] == -limit:
        s.refresh_state[r] = REGULAR
        s.trigger[r] += interval


@_compile
def _start_power_down(s: Any, r: int) -> None:
    """Choose the command of the power-down manager."""
    state = s.pd_state[r]
    s.pd_command[r] = -1
    if s.want_exit[r]:
        if state == PD_ACTIVE:
            s.pd_command[r] = PDXA
        elif state == PD_PRECHARGED:
            s.pd_command[r] = PDXP
        elif state == PD_SELF_REFRESH:
            s.pd_command[r] = SREFEX
        else:
            s.pd_command[r] = REFA
    elif s.want_entry[r]:
        s.pd_command[r] = PDEA if s.pd_activated[r] > 0 else PDEP
    elif s.want_self_refresh[r]:
        s.pd_command[r] = SREFEN


@_compile
def _start_managers(s: Any, c: int, time: int) -> None:
    ranks = s.ranks
    for r in range(c * ranks, (c + 1) * ranks):
        _start_refresh(s, r, time)
    if s.cfg[POWER_DOWN] == STAGGERED:
        for r in range(c * ranks, (c + 1) * ranks):
            _start_power_down(s, r)


# --- Command mux ---------------------------------------------------------------------------------


@_inline
def _challenge(s: Any, c: int, time: int, urgency: int, command: int, b: int, r: int) -> None:
    """Let a candidate replace the winner if it leaves the bus earlier, or as early and is older."""
    end = time + s.length[command]
    if end < s.win_end[c] or (end == s.win_end[c] and urgency < s.win_urgency[c]):
        s.win_end[c] = end
        s.win_urgency[c] = urgency
        s.win_time[c] = time
        s.win_command[c] = command
        s.win_bank[c] = b
        s.win_rank[c] = r


@_inline
def _packed(s: Any, r: int, b: int, command: int, free: int) -> int:
    """When a bank's command would leave the bus, its request and its bank, in one number.

    The smallest wins: a minimum needs no branches that a processor could not foresee. A wait of up
    to 2**32 ps (4 ms) fits beside request and bank; the timing rules ask for some microseconds.
    """
    end = max(s.bank_end[b], max(s.rank_ready[r, command], free) + s.length[command])
    return ((end - free) << (REQUEST_BITS + BANK_BITS)) + (s.current[b] << BANK_BITS) + b


@_inline
def _challenge_with_banks(s: Any, c: int, r: int, free: int, first: int, last: int) -> None:
    """Let the banks of a rank compete with their commands `first` to `last`.

    The bus is free at `free`. These are the kernel's hottest loops. Few candidates are taken from
    their list; when most banks have one, running over all of them is faster, since the compiler
    treats them side by side.
    """
    only = s.next_column[c] if s.cfg[MUX] == STRICT else -1
    best = INF
    if 2 * s.ready_count[r] > s.banks:
        for b in range(r * s.banks, (r + 1) * s.banks):
            command = s.command[b]
            if command < first or command > last:
                continue
            if only >= 0 and command <= WRA and s.current[b] != only:
                continue
            best = min(best, _packed(s, r, b, command, free))
    else:
        for i in range(s.ready_count[r]):
            b = s.ready_banks[r, i]
            command = s.command[b]
            if command < first or command > last:
                continue
            if only >= 0 and command <= WRA and s.current[b] != only:
                continue
            best = min(best, _packed(s, r, b, command, free))
    if best < INF:
        b = best & ((1 << BANK_BITS) - 1)
        command = s.command[b]
        time = free + (best >> (REQUEST_BITS + BANK_BITS)) - s.length[command]
        _challenge(s, c, time, s.current[b], command, b, r)


@_inline
def _challenge_with_managers(s: Any, c: int, r: int, free: int) -> bool:
    """Let the managers of a rank compete; returns whether power-down silences the rank's banks."""
    if s.cfg[POWER_DOWN] == STAGGERED and s.pd_command[r] >= 0:
        command = s.pd_command[r]
        _challenge(s, c, max(s.rank_ready[r, command], free), LAST, command, -1, r)
        return True
    command = s.refresh_command[r]
    if command >= 0:
        if command == PRE or command == REFB:
            b = s.refresh_bank[r]
            time = max(
                s.bank_ready[b, command],
                s.group_ready[s.group_of_bank[b], command],
                s.rank_ready[r, command],
                free,
            )
        else:
            b = -1
            time = max(s.rank_ready[r, command], free)
        _challenge(s, c, time, FIRST, command, b, r)
    return False


@_inline
def _no_winner(s: Any, c: int) -> None:
    s.win_time[c] = INF
    s.win_end[c] = INF
    s.win_urgency[c] = INF
    s.win_command[c] = NONE
    s.win_bank[c] = -1


@_compile
def _scan(s: Any, c: int, now: int) -> None:
    """Find the command that issues next.

    It is the one that would leave the bus first, the oldest of these. A command that is ready
    earlier but leaves the bus later waits for it, as in the reference; the winner therefore does
    not change as time goes on.
    """
    _no_winner(s, c)
    free = max(now, s.row_bus[c])
    for r in range(c * s.ranks, (c + 1) * s.ranks):
        if not _challenge_with_managers(s, c, r, free):
            _challenge_with_banks(s, c, r, free, ACT if s.split_bus else RD, REFB)
    if s.split_bus:
        _scan_column_bus(s, c, max(now, s.column_bus[c]))


@_compile
def _scan_column_bus(s: Any, c: int, free: int) -> None:
    """Let the winner of the column bus compete with that of the row bus.

    The one that is ready first issues, then the older.
    """
    time, end, urgency = s.win_time[c], s.win_end[c], s.win_urgency[c]
    command, b, r = s.win_command[c], s.win_bank[c], s.win_rank[c]
    _no_winner(s, c)
    for rank in range(c * s.ranks, (c + 1) * s.ranks):
        if s.cfg[POWER_DOWN] != STAGGERED or s.pd_command[rank] < 0:
            _challenge_with_banks(s, c, rank, free, RD, WRA)
    if time < s.win_time[c] or (time == s.win_time[c] and urgency < s.win_urgency[c]):
        s.win_time[c], s.win_end[c], s.win_urgency[c] = time, end, urgency
        s.win_command[c], s.win_bank[c], s.win_rank[c] = command, b, r


# --- Energy bookkeeping --------------------------------------------------------------------------


@_inline
def _power_close(s: Any, d: int, b: int, time: int) -> None:
    """Precharge one bank; a precharge of a closed bank costs nothing."""
    if s.power_open[b]:
        s.power_open[b] = 0
        s.counters[d, N_PRE] += 1
        s.active_banks[d] -= 1
        if s.active_banks[d] == 0:
            s.counters[d, C_ACTIVE] += max(0, time - s.first_act[d])
            s.last_pre[d] = time


@_compile
def _power_flush(s: Any, c: int, d: int, time: int) -> None:
    """Carry out the auto-precharges that start up to `time`."""
    count = s.pending[d]
    done = 0
    while done < count and s.pending_time[d, done] <= time:
        at = s.pending_time[d, done]
        _power_close(s, d, s.pending_bank[d, done], at)
        if at > s.last_time[c]:
            s.last_time[c] = at
            s.last_completion[c] = s.completion[PRE]
        done += 1
    if done:
        for i in range(done, count):
            s.pending_time[d, i - done] = s.pending_time[d, i]
            s.pending_bank[d, i - done] = s.pending_bank[d, i]
        s.pending[d] = count - done


@_inline
def _power_auto(s: Any, d: int, b: int, time: int) -> None:
    """Plan an auto-precharge, keeping the list sorted."""
    i = s.pending[d]
    s.pending[d] = i + 1
    while i > 0 and s.pending_time[d, i - 1] > time:
        s.pending_time[d, i] = s.pending_time[d, i - 1]
        s.pending_bank[d, i] = s.pending_bank[d, i - 1]
        i -= 1
    s.pending_time[d, i] = time
    s.pending_bank[d, i] = b


@_inline
def _power_all_closed(s: Any, d: int) -> None:
    per_domain = s.banks * (s.ranks if s.merge_ranks else 1)
    s.power_open[d * per_domain : (d + 1) * per_domain] = 0
    s.active_banks[d] = 0


@_inline
def _power_end_interval(s: Any, d: int, time: int) -> None:
    """Close the running standby interval at `time`."""
    if s.active_banks[d] > 0:
        s.counters[d, C_ACTIVE] += max(0, time - s.first_act[d])
    else:
        s.counters[d, C_PRECHARGED] += max(0, time - s.last_pre[d])


@_compile
def _power_sleep(s: Any, d: int, command: int, time: int) -> None:
    """Count power-down and self refresh; waking up costs nothing but standby."""
    if command == PDEA or command == PDEP or command == SREFEN:
        _power_end_interval(s, d, time)
        if command == SREFEN:
            s.mode[d] = IN_SELF_REFRESH
        else:
            # The manager may ask for active power-down though no bank is open; the device knows.
            s.mode[d] = IN_ACTIVE_PD if s.active_banks[d] > 0 else IN_PRECHARGED_PD
        s.entry[d] = time
    else:
        _power_leave(s, d, time)
        s.first_act[d] = time
        s.last_pre[d] = time


@_compile
def _power_leave(s: Any, d: int, time: int) -> None:
    slept = time - s.entry[d]
    if s.mode[d] == IN_ACTIVE_PD:
        s.counters[d, C_ACTIVE_PD] += slept
    elif s.mode[d] == IN_PRECHARGED_PD:
        s.counters[d, C_PRECHARGED_PD] += slept
    elif s.mode[d] == IN_SELF_REFRESH:
        # Entering self refresh starts with one refresh.
        act = (s.trfc - s.trp) * s.tck
        pre = s.trp * s.tck
        s.counters[d, C_SELF_REFRESH_ACT] += min(act, slept)
        s.counters[d, C_SELF_REFRESH_PRE] += min(pre, max(0, slept - act))
        s.counters[d, C_SELF_REFRESH] += max(0, slept - act - pre)
    s.mode[d] = AWAKE


@_inline
def _power(s: Any, c: int, command: int, r: int, b: int, time: int) -> None:
    """Count a command as DRAMPower does."""
    d = c if s.merge_ranks else r
    tck = s.tck
    if s.pending[d] > 0 and s.pending_time[d, 0] <= time:
        _power_flush(s, c, d, time)
    s.last_time[c] = time
    s.last_completion[c] = s.completion[command]
    if command <= WRA:
        if command <= RDA:
            s.counters[d, N_RD] += 1
            off = s.ap_read
        else:
            s.counters[d, N_WR] += 1
            off = s.ap_write
        if command & 1:
            start = max(time + off * tck, s.power_act[b] + s.tras * tck)
            _power_auto(s, d, b, start)
    elif command == ACT:
        s.power_act[b] = time
        if not s.power_open[b]:
            s.power_open[b] = 1
            s.counters[d, N_ACT] += 1
            if s.active_banks[d] == 0:
                s.first_act[d] = time
                s.counters[d, C_PRECHARGED] += max(0, time - s.last_pre[d])
            s.active_banks[d] += 1
    elif command == PRE:
        _power_close(s, d, b, time)
    elif command == PREA:
        if s.active_banks[d] > 0:
            s.counters[d, C_ACTIVE] += time - s.first_act[d]
            s.counters[d, N_PRE] += s.active_banks[d]
            s.last_pre[d] = time
            _power_all_closed(s, d)
    elif command == REFA:
        s.counters[d, N_REF_ALL] += 1
        s.counters[d, C_PRECHARGED] += max(0, time - s.last_pre[d])
        busy = (s.trfc - s.trp) * tck
        s.counters[d, C_ACTIVE] += busy
        s.last_pre[d] = time + busy
        s.first_act[d] = time
        _power_all_closed(s, d)
    elif command == REFB:
        # The bank counts as active while it refreshes, as the rank does during an all-bank refresh.
        s.counters[d, N_REF_BANK] += 1
        if s.active_banks[d] == 0:
            s.first_act[d] = time
            s.counters[d, C_PRECHARGED] += max(0, time - s.last_pre[d])
        s.active_banks[d] += 1
        s.power_open[b] = 1
        s.counters[d, N_PRE] -= 1  # the close below is not a precharge command
        _power_auto(s, d, b, time + (s.trfcpb - s.trp) * tck)
    else:
        _power_sleep(s, d, command, time)


@_compile
def _power_finish(s: Any, c: int) -> None:
    """Close all intervals of a channel where its energy window ends."""
    domains = 1 if s.merge_ranks else s.ranks
    for d in range(c * domains, (c + 1) * domains):
        _power_flush(s, c, d, INF)
    end = s.last_time[c] + (s.last_completion[c] - 1) * s.tck
    for d in range(c * domains, (c + 1) * domains):
        if s.mode[d] == AWAKE:
            _power_end_interval(s, d, end)
        else:
            _power_leave(s, d, max(end, s.entry[d]))


# --- Issue ---------------------------------------------------------------------------------------


@_inline
def _update_timing(s: Any, c: int, command: int, r: int, b: int, time: int) -> None:
    """Push the earliest times of later commands."""
    if s.split_bus and command <= WRA:
        s.column_bus[c] = time + s.length[command]
    else:
        s.row_bus[c] = time + s.length[command]
    for x in range(16):
        s.rank_ready[r, x] = max(s.rank_ready[r, x], time + s.distance[RANK_SCOPE, command, x])
    if b >= 0:
        g = s.group_of_bank[b]
        for x in range(8):
            s.bank_ready[b, x] = max(s.bank_ready[b, x], time + s.distance[BANK_SCOPE, command, x])
        if s.groups > 1:
            _update_group(s, g, command, time)
    ranks = s.ranks
    if ranks > 1:
        for other in range(c * ranks, (c + 1) * ranks):
            if other != r:
                for x in range(16):
                    s.rank_ready[other, x] = max(
                        s.rank_ready[other, x], time + s.distance[OTHER_SCOPE, command, x]
                    )
    if s.distance[WINDOW_SCOPE, command, ACT] > NEVER:
        position = s.window_position[r]
        s.window[r, position] = time + s.length[command] - s.tck
        position = (position + 1) & 3
        s.window_position[r] = position
        fourth = s.window[r, position]
        for x in (ACT, REFB):
            s.rank_ready[r, x] = max(
                s.rank_ready[r, x], fourth + s.distance[WINDOW_SCOPE, command, x]
            )
    if command == REFB:
        s.round[r] += 1
        if s.round[r] == s.banks:
            s.round[r] = 0
            s.rank_ready[r, REFB] = max(
                s.rank_ready[r, REFB], time + s.distance[ROUND_SCOPE, command, REFB]
            )


@_compile
def _update_group(s: Any, g: int, command: int, time: int) -> None:
    for x in range(8):
        s.group_ready[g, x] = max(s.group_ready[g, x], time + s.distance[GROUP_SCOPE, command, x])
    per_group = s.banks // s.groups
    for b in range(g * per_group, (g + 1) * per_group):
        waiting = s.command[b]
        s.bank_end[b] = max(s.bank_end[b], s.group_ready[g, waiting] + s.length[waiting])


@_inline
def _issue_column(s: Any, q: Any, c: int, command: int, r: int, b: int, time: int) -> None:
    k = s.current[b]
    hint = q[k].following
    _remove(s, q, c, b, k)
    s.current[b] = -1
    if s.fresh[b]:
        s.fresh[b] = 0
    else:
        s.row_hits[c] += 1
    if command & 1:
        s.open_row[b] = -1
        s.hits[b] = 0
        s.activated[r] -= 1
    else:
        s.hits[b] -= 1
    s.last_column_time[c] = time
    s.next_column[c] = q[k].successor
    write = q[k].write
    turned = write != s.last_write[c]
    s.last_write[c] = write
    if s.offer_time[c] < time + (s.offer_order[c] == EARLY) and _has_space(s, c):
        taken = _accept(s, q, c, time, time + s.think_fw)
        if taken != b:
            _start_bank(s, q, c, taken, -1)
        elif hint < 0:
            hint = s.tail[b]
    _queue_response(s, q, c, k, time + (s.write_delay if write else s.read_delay))
    s.payloads[r] -= 1
    if s.cfg[POWER_DOWN] == STAGGERED and s.payloads[r] == 0:
        s.pd_controller_idle[r] = 1
        if s.pd_state[r] == PD_IDLE:
            s.want_entry[r] = 1
    if turned and s.cfg[SCHEDULER] == FR_FCFS_GRP:
        ranks = s.ranks
        for other in range(c * ranks, (c + 1) * ranks):
            _start_rank_banks(s, q, c, other)
    else:
        _start_bank(s, q, c, b, hint)


@_compile
def _issue_rank(s: Any, q: Any, c: int, command: int, r: int, b: int, time: int) -> None:
    """State changes of refresh and power-down commands."""
    banks = s.banks
    if command == PREA:
        s.open_row[r * banks : (r + 1) * banks] = -1
        s.hits[r * banks : (r + 1) * banks] = 0
        s.activated[r] = 0
        s.pd_activated[r] = 0
    elif command == REFA:
        s.blocked[r * banks : (r + 1) * banks] = 0
        if s.sleeping[r]:  # the refresh after self refresh
            s.sleeping[r] = 0
            s.refresh_state[r] = REGULAR
            s.trigger[r] = time + s.interval_all
        else:
            _refreshed(s, r, s.interval_all, s.cfg[MAX_PULLED_IN])
    elif command == REFB:
        s.blocked[b] = 0
        s.refresh_keep[r] = 0
        s.refresh_left[r] &= ~(1 << (b - r * banks))
        if s.refresh_left[r] == 0:
            s.refresh_left[r] = (1 << banks) - 1
        _refreshed(s, r, s.interval_bank, s.cfg[MAX_PULLED_IN] * banks)
    if s.cfg[POWER_DOWN] == STAGGERED:
        _update_power_down(s, r, command)
    _start_rank_banks(s, q, c, r)


@_compile
def _update_power_down(s: Any, r: int, command: int) -> None:
    if command == REFA or command == REFB:
        if s.pd_state[r] == PD_EXTRA_REFRESH:
            s.pd_state[r] = PD_IDLE
            s.want_exit[r] = 0
        elif s.pd_controller_idle[r]:
            s.want_entry[r] = 1
    elif command == PDEA or command == PDEP:
        s.pd_state[r] = PD_ACTIVE if command == PDEA else PD_PRECHARGED
        s.want_entry[r] = 0
        s.sleeping[r] = 1
    elif command == PDXA or command == PDXP:
        s.pd_state[r] = PD_IDLE
        s.want_exit[r] = 0
        s.sleeping[r] = 0
        if command == PDXP and s.pd_controller_idle[r]:
            s.want_self_refresh[r] = 1
    elif command == SREFEN:
        s.pd_state[r] = PD_SELF_REFRESH
        s.want_self_refresh[r] = 0
        s.sleeping[r] = 1
        s.trigger[r] = INF
    elif command == SREFEX:
        s.pd_state[r] = PD_EXTRA_REFRESH


@_compile
def _issue(s: Any, q: Any, c: int, time: int) -> None:
    """Issue the command that won the last scan."""
    command = s.win_command[c]
    b = s.win_bank[c]
    r = s.win_rank[c]
    s.counts[command] += 1
    _update_timing(s, c, command, r, b, time)
    _power(s, c, command, r, b, time + s.command_delay)
    if command <= WRA:
        _issue_column(s, q, c, command, r, b, time)
    elif command == ACT:
        row = q[s.current[b]].row
        s.open_row[b] = row
        s.fresh[b] = 1
        s.activated[r] += 1
        s.pd_activated[r] += 1
        hits = 0
        k = s.head[b]
        while k >= 0:
            if q[k].row == row:
                hits += 1
            k = q[k].following
        s.hits[b] = hits
        _start_bank(s, q, c, b, -1)
    elif command == PRE:
        s.open_row[b] = -1
        s.hits[b] = 0
        s.activated[r] -= 1
        s.pd_activated[r] -= 1
        _start_bank(s, q, c, b, -1)
    else:
        _issue_rank(s, q, c, command, r, b, time)


@_compile
def _record(s: Any, q: Any, c: int, log: Any) -> None:
    """Log the command that is about to issue."""
    command = s.win_command[c]
    b = s.win_bank[c]
    i = s.logged
    s.logged = i + 1
    if i >= len(log):
        return
    log[i, 0] = s.win_time[c]
    log[i, 1] = command
    log[i, 2] = s.win_rank[c]
    log[i, 3] = s.group_of_bank[b] if b >= 0 else -1
    log[i, 4] = b
    if b < 0:
        log[i, 5] = -1
    elif command == ACT:
        log[i, 5] = q[s.current[b]].row
    else:
        log[i, 5] = s.open_row[b]


# --- Steps ---------------------------------------------------------------------------------------


@_inline
def _managers_speak(s: Any, c: int, time: int) -> bool:
    """Whether a refresh is due or power-down is managed; else the managers have nothing to say."""
    if s.cfg[POWER_DOWN] == STAGGERED:
        return True
    ranks = s.ranks
    for r in range(c * ranks, (c + 1) * ranks):
        if s.trigger[r] <= time:
            return True
    return False


@_inline
def _set_wake(s: Any, c: int, time: int) -> None:
    wake = s.win_time[c]
    ranks = s.ranks
    for r in range(c * ranks, (c + 1) * ranks):
        trigger = s.trigger[r]
        if time < trigger < wake:
            wake = trigger
    if wake != s.wake[c] or wake <= time:
        s.wake[c] = wake
        s.wake_set[c] = time


@_compile
def _step(s: Any, q: Any, log: Any, c: int, time: int) -> None:
    """A controller step: managers, command mux, issue, and what comes next."""
    managed = _managers_speak(s, c, time)
    if managed:
        # The bank machines' commands stand though a refresh may block them from now on.
        _start_managers(s, c, time)
        _scan(s, c, time)
    if s.win_time[c] == time:
        if len(log) > 0:
            _record(s, q, c, log)
        _issue(s, q, c, time)
    if managed:
        ranks = s.ranks
        for r in range(c * ranks, (c + 1) * ranks):
            _start_rank_banks(s, q, c, r)
        _start_managers(s, c, time)
    _scan(s, c, time)
    _set_wake(s, c, time)


@_compile
def _request_step(s: Any, q: Any, log: Any, c: int, time: int) -> None:
    """A controller step caused by an arriving request."""
    b = _accept(s, q, c, time, time)
    _start_bank(s, q, c, b, -1)
    if _managers_speak(s, c, time) or s.win_bank[c] == b or s.split_bus or s.cfg[MUX] == STRICT:
        if not _managers_speak(s, c, time):
            _scan(s, c, time)
        _step(s, q, log, c, time)
        return
    # Only this bank's candidate changed: compare it with the winner.
    command = s.command[b]
    if command != NONE:
        r = s.rank_of_bank[b]
        bank_time = s.bank_end[b] - s.length[command]
        candidate = max(bank_time, s.rank_ready[r, command], s.row_bus[c], time)
        _challenge(s, c, candidate, s.current[b], command, b, r)
        if s.win_time[c] == time:
            _step(s, q, log, c, time)
        elif s.win_time[c] < s.wake[c]:
            s.wake[c] = s.win_time[c]
            s.wake_set[c] = time


@_inline
def _request_time(s: Any, c: int) -> int:
    """When the controller can take the request at its door; INF: not before a column command."""
    if s.offer_time[c] < INF and _has_space(s, c):
        return s.offer_time[c]
    return INF


@_inline
def _comes_first(s: Any, c: int, time: int) -> bool:
    """Whether a request due at `time` is seen by a step of the controller's own timer at `time`.

    The reference leaves that to the order of its event heap. A request that the arbiter announced
    one cycle ahead is always seen. One that arrives at this very instant is mostly not, unless its
    arrival was scheduled before the timer was set and the timer was set just before.
    """
    if s.offer_order[c] == EARLY:
        return True
    fresh = time - s.wake_set[c] <= s.tck
    return s.offer_order[c] == ARRIVAL and fresh and s.offer_set[c] < s.wake_set[c]


@_inline
def _has_stalled(s: Any, c: int, time: int) -> bool:
    last = max(s.last_column_time[c], s.last_end_req[c])
    return s.stored[c] > 0 and time > last + STALL_PS


@_compile
def _run(s: Any, q: Any, log: Any) -> int:
    """Play the trace until all is delivered; returns OK or STALLED.

    At one instant: requests that come first, the controllers' own timers, other requests, responses
    and the requests that they release.
    """
    n = len(q)
    channels = s.channels
    while s.delivered < n:
        time = INF
        for c in range(channels):
            time = min(
                time,
                s.wake[c],
                _request_time(s, c),
                s.response_time[c],
            )
        if time == INF:
            return STALLED
        for c in range(channels):
            if _request_time(s, c) == time and _comes_first(s, c, time):
                _request_step(s, q, log, c, time)
        for c in range(channels):
            if s.wake[c] == time:
                if _has_stalled(s, c, time):
                    return STALLED
                _step(s, q, log, c, time)
        for c in range(channels):
            # A second command of the same instant (two buses) goes before a response's effects.
            if _request_time(s, c) == time and (
                s.offer_order[c] != AFTER_RESPONSE or s.wake[c] > time
            ):
                _request_step(s, q, log, c, time)
        if channels > 1:
            for c in range(channels):
                if s.response_time[c] == time:
                    k = s.response_open[c]
                    s.response_open[c] = -1
                    s.response_time[c] = INF
                    _deliver(s, q, c, k, time)
                    _advance_responses(s, q, c)
    # The managers go on until the last response is delivered.
    for c in range(channels):
        while s.wake[c] <= s.last_delivery:
            _step(s, q, log, c, s.wake[c])
    return OK


@_compile
def _reset(s: Any, q: Any) -> None:
    n = len(q)
    s.open_row[:] = -1
    s.current[:] = -1
    s.command[:] = NONE
    s.head[:] = -1
    s.tail[:] = -1
    s.power_act[:] = NEVER
    s.window[:] = NEVER
    if s.cfg[RESPONSE_QUEUE] == REORDER or s.cfg[ARBITER] == REORDER_ARBITER:
        for k in range(n):
            q[k].due = INF
            q[k].at_arbiter = INF
    for b in range(s.channels * s.ranks * s.banks):
        s.rank_of_bank[b] = b // s.banks
        s.group_of_bank[b] = b // (s.banks // s.groups)
    channels = s.channels
    ranks = s.ranks
    banks = s.banks
    staggered = s.cfg[POWER_DOWN] == STAGGERED
    for c in range(channels):
        if s.split_bus:
            # The reference takes "never" plus one cycle for the end of the last command, and its
            # 64-bit time overflows: the first command of each bus is not issued before this.
            s.row_bus[c] = s.tck - 1
            s.column_bus[c] = s.tck - 1
        s.offered[c] = -1
        s.offer_time[c] = INF
        s.last_end_req[c] = -1
        s.last_stored[c] = c * ranks * banks
        s.response_head[c] = -1
        s.response_open[c] = -1
        s.response_time[c] = INF
        s.link_free[c] = -1
        k = 0
        while k < n and q[k].channel != c:
            k += 1
        s.response_next[c] = k
        s.next_column[c] = k
    policy = s.cfg[REFRESH]
    interval = s.interval_all if policy == ALL_BANK else s.interval_bank
    bits = 0
    while (1 << bits) < ranks:
        bits += 1
    for r in range(channels * ranks):
        if policy == NO_REFRESH:
            s.trigger[r] = INF
        else:
            # The ranks' first refreshes are spread: rank numbers with their bits reversed.
            reverse = 0
            for i in range(bits):
                reverse |= (r % ranks >> i & 1) << (bits - 1 - i)
            first = interval - reverse * (interval // ranks)
            s.trigger[r] = -(-first // s.tck) * s.tck
        s.refresh_command[r] = -1
        s.refresh_left[r] = (1 << banks) - 1
        s.pd_command[r] = -1
        if staggered:
            s.pd_controller_idle[r] = 1
            s.want_entry[r] = 1
    for c in range(channels):
        if staggered:
            _start_managers(s, c, 0)
        _scan(s, c, 0)
        _set_wake(s, c, -1)
    _arrive(s, q, 0, 0)
    if s.cfg[ARBITER] == SIMPLE_ARBITER:
        c = q[0].channel
        s.offered[c] = 0
        s.offer_time[c] = s.next_arrival + s.arbitration_fw
        s.offer_order[c] = EARLY if s.arbitration_fw > 0 else ARRIVAL
    else:
        _pump(s, q)


@_compile
def _select(values: Any, largest: int, rank: int, histogram: Any) -> int:
    """Element `rank` of the sorted list of non-negative values, found digit by digit."""
    base = 0
    shift = 0
    while largest >> shift >= len(histogram):
        shift += SELECT_BITS
    while True:
        histogram[:] = 0
        for value in values:
            digit = (value - base) >> shift
            if 0 <= digit < len(histogram):
                histogram[digit] += 1
        digit = 0
        while histogram[digit] <= rank:
            rank -= histogram[digit]
            digit += 1
        base += digit << shift
        if shift == 0:
            return base
        shift -= SELECT_BITS


@njit(**_options)
def simulate(system: Any, configs: Any, requests: Any, results: Any, log: Any) -> None:
    """Play one trace through each configuration.

    Args:
        system: STATE[1]; zero but for `SYSTEM_FIELDS`, `distance`, `length` and `completion`.
        configs: int64[m, 12]; the columns are those of `CONFIG`.
        requests: DECODED[n]; the decoded trace, n > 0.
        results: RESULT[m]; output.
        log: int64[l, 6]; output: time in ps, command, rank, bank group, bank and row of each
            command of the last design, -1 where one does not apply. What does not fit is dropped.
    """
    n = len(requests)
    state = np.empty(1, STATE)
    s = state[0]
    q = np.empty(n, REQUEST)
    for k in range(n):
        q[k].stamp = requests[k].stamp
        q[k].address = requests[k].address
        q[k].row = requests[k].row
        q[k].successor = requests[k].successor
        q[k].bank = requests[k].bank
        q[k].channel = requests[k].channel
        q[k].write = requests[k].write
    latencies = np.empty(n, np.int64)
    histogram = np.empty(1 << SELECT_BITS, np.int64)
    for i in range(len(configs)):
        state[0] = system[0]
        s.cfg[:] = configs[i]
        _reset(s, q)
        out = results[i]
        out.status = _run(s, q, log)
        out.total_time_ps = s.last_delivery
        out.latency_sum_ps = s.latency_sum
        out.latency_max_ps = s.latency_max
        if out.status == OK:
            for k in range(n):
                latencies[k] = q[k].latency
            out.latency_p50_ps = _select(latencies, s.latency_max, n // 2, histogram)
            out.latency_p99_ps = _select(latencies, s.latency_max, 99 * n // 100, histogram)
        out.row_hits = 0
        for c in range(s.channels):
            _power_finish(s, c)
            out.row_hits += s.row_hits[c]
            out.served[c] = s.accepted[c]
            out.idle_ps[c] = s.idle_time[c] + max(0, s.last_delivery - max(0, s.link_free[c]))
        out.counts[:] = s.counts
        out.counters[:] = s.counters
