"""Energy of the DRAM devices, from the kernel's counters and the data sheet's currents.

DDR3 and DDR4 follow DRAMPower 4.1 (core energy, no I/O or termination); LPDDR4 follows the same
rules per supply rail, with a term of its own for per-bank refresh (DRAMPower 5). Where a technology
gives no currents there is no energy.

Every counter contributes in proportion, so a design's energy is one small matrix product:

    E = V * tCK * (counts and cycles) * (current above the standby that runs anyway)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from archgym_py.simulators.dram.layout import COUNTERS
from archgym_py.simulators.dram.technology import Supply, Technology
from archgym_py.simulators.dram.timing import timing_tables

__all__ = ["COMPONENTS", "EnergyModel"]

COMPONENTS = {
    "energy_act_pj": "activations",
    "energy_pre_pj": "precharges",
    "energy_rd_pj": "reads, without their standby",
    "energy_wr_pj": "writes, without their standby",
    "energy_ref_pj": "refreshes, without their standby",
    "energy_standby_pj": "active and precharge standby",
    "energy_power_down_pj": "power-down",
    "energy_self_refresh_pj": "self refresh",
}
"""The parts that add up to ``energy_pj``."""

_DURATIONS = slice(COUNTERS.index("active"), None)


@dataclass(frozen=True, slots=True, eq=False)
class EnergyModel:
    """What each counter of the kernel costs in one technology.

    Attributes:
        weights: float64[counters, components] in pJ for each count and each ps.
    """

    weights: np.ndarray

    @classmethod
    def of(cls, technology: Technology, *, merge_ranks: bool = False) -> EnergyModel | None:
        """Build the model of a technology.

        Args:
            technology: The memory.
            merge_ranks: Count as the reference does for several ranks: one domain for all ranks of
                a channel, whose standby is then multiplied by the number of ranks.

        Returns:
            The model, or None where no currents are public.
        """
        if not technology.supplies:
            return None
        ranks = technology.ranks if merge_ranks else 1
        rails = (_rail_weights(technology, supply, ranks) for supply in technology.supplies)
        return cls(sum(rails, start=np.zeros((len(COUNTERS), len(COMPONENTS)))))


def _rail_weights(technology: Technology, supply: Supply, ranks: int) -> np.ndarray:
    """Weights of one supply rail, all devices of a rank."""
    power = timing_tables(technology).power
    currents = supply.currents_ma
    # LPDDR4 knows one kind of power-down; DDR3 and DDR4 leave it slowly (DLL off), as in DRAMPower.
    precharge_pd = currents.get("idd2p0", currents.get("idd2p", 0.0))
    active_pd = currents.get("idd3p0", currents.get("idd3p", 0.0))
    standby, idle = currents["idd3n"], currents["idd2n"]
    burst = technology.burst_length // 2
    refresh_above = currents["idd5"] - standby

    per_bank_above = 0.0
    if "idd5pb" in currents:
        # IDD5PB is an average over the refresh interval; this is the current during tRFCpb.
        interval = technology.timings["REFI"] / 8
        busy = power.trfcpb
        per_bank = (currents["idd5pb"] * interval - idle * (interval - busy)) / busy
        per_bank_above = per_bank - standby

    # Charge in mA * cycles; by counter: for each count, or for each cycle.
    charge = {
        ("act", "energy_act_pj"): power.tras * (currents["idd0"] - standby),
        ("pre", "energy_pre_pj"): (power.trc - power.tras) * (currents["idd0"] - idle),
        ("rd", "energy_rd_pj"): burst * (currents["idd4r"] - standby),
        ("wr", "energy_wr_pj"): burst * (currents["idd4w"] - standby),
        ("ref_all", "energy_ref_pj"): power.trfc * refresh_above,
        ("ref_bank", "energy_ref_pj"): power.trfcpb * per_bank_above,
        ("active", "energy_standby_pj"): ranks * standby,
        ("precharged", "energy_standby_pj"): ranks * idle,
        ("active_power_down", "energy_power_down_pj"): ranks * active_pd,
        ("precharged_power_down", "energy_power_down_pj"): ranks * precharge_pd,
        ("self_refresh", "energy_self_refresh_pj"): ranks * currents["idd6"],
        ("self_refresh_act", "energy_self_refresh_pj"): refresh_above + ranks * active_pd,
        ("self_refresh_pre", "energy_self_refresh_pj"): refresh_above + ranks * precharge_pd,
    }
    names = tuple(COMPONENTS)
    weights = np.zeros((len(COUNTERS), len(names)))
    for (counter, component), value in charge.items():
        weights[COUNTERS.index(counter), names.index(component)] = value
    # Times are multiples of the rounded period, energies use the exact one, as in the reference.
    weights[_DURATIONS] /= technology.tck_ps
    period_ns = 1000.0 / technology.clock_mhz
    return supply.voltage_v * period_ns * technology.devices * weights
