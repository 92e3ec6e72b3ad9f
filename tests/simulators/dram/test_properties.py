"""What holds for every design, on every memory and workload: 2,142 designs drawn by chance."""

import math
from itertools import pairwise

import numpy as np
import pytest

from archgym_py.simulator import Status
from archgym_py.simulators.dram.address import decode_trace, load_address_map
from archgym_py.simulators.dram.energy import COMPONENTS
from archgym_py.simulators.dram.model import DRAMSimulator
from archgym_py.simulators.dram.space import dram_space
from archgym_py.simulators.dram.technology import Technology, load_technology, technology_names
from archgym_py.simulators.dram.trace import Trace
from archgym_py.simulators.dram.workloads import RATES, WORKLOADS, Workload
from archgym_py.space import Design

DESIGNS = 17  # for each technology, pattern and rate
assert DESIGNS * len(technology_names()) * len(WORKLOADS) * len(RATES) >= 2000


@pytest.mark.parametrize("pattern", WORKLOADS)
@pytest.mark.parametrize("technology", technology_names())
def test_every_design(technology: str, pattern: str) -> None:
    memory = load_technology(technology)
    space = dram_space("extended", memory, allow_no_refresh=True)
    place = technology_names().index(technology), list(WORKLOADS).index(pattern)
    rng = np.random.default_rng(place)
    for rate in RATES:
        requests = int(rng.integers(200, 401))
        share = None if rng.random() < 0.5 else float(rng.random())
        seed = int(rng.integers(1000))
        trace = Workload(pattern, rate, requests, write_fraction=share, seed=seed).generate()
        simulator = DRAMSimulator(
            trace=trace,
            technology=memory,
            address_map=load_address_map(memory.default_address_map),
            fixed={},
            player_clock_mhz=memory.clock_mhz * float(rng.choice([0.4, 1.0, 1.7])),
            think_delay_fw_ns=float(rng.choice([0.0, 10.0])),
            arbitration_delay_fw_ns=float(rng.choice([0.0, 10.0])),
            arbitration_delay_bw_ns=float(rng.choice([0.0, 10.0])),
            phy_delay_bw_ns=float(rng.choice([0.0, 10.0])),
        )
        designs: list[Design] = []
        while len(designs) < DESIGNS:
            design = space.sample(rng)
            if not space.violations(design):
                designs.append(design)
        evaluations = simulator.evaluate_batch(designs, seeds=[0] * DESIGNS)
        again = simulator.evaluate_batch(designs[::-1], seeds=[0] * DESIGNS)
        assert evaluations == again[::-1]
        for design, evaluation in zip(designs, evaluations, strict=True):
            assert evaluation.status == Status.OK, (design, evaluation.message)
            metrics = dict(evaluation.metrics)
            for metric in simulator.metrics:
                value = metrics[metric.name]
                assert math.isfinite(value), (metric.name, design)
                assert metric.low <= value <= metric.high, (metric.name, value, design)
            _check_times(metrics, trace, memory, design)
            _check_commands(metrics, trace, memory, design)
            if memory.supplies:
                _check_energy(metrics, memory)
        simulator.close()


def _check_times(
    metrics: dict[str, float], trace: Trace, memory: Technology, design: Design
) -> None:
    n = len(trace)
    times = [
        metrics[f"{name}_ns"]
        for name in ("latency_p50", "latency_p99", "latency_max", "total_time")
    ]
    assert all(first <= second for first, second in pairwise(times)), design
    assert metrics["latency_mean_ns"] <= metrics["latency_max_ns"]
    # The data bus of a channel; each pseudo channel of HBM2, modelled as a rank, has its own.
    place = decode_trace(trace, load_address_map(str(design["address_map"])))
    buses = memory.channels * (memory.ranks if memory.standard == "HBM2" else 1)
    bus = place.channel * memory.ranks + place.rank if buses > memory.channels else place.channel
    busiest = int(np.bincount(bus).max())
    least = busiest * memory.burst_length / 2 * memory.tck_ps / 1000
    assert metrics["total_time_ns"] >= least, design
    bits = 8 * memory.bytes_per_burst
    assert metrics["bandwidth_gbit_s"] == pytest.approx(n * bits / metrics["total_time_ns"])
    assert metrics["bandwidth_busy_gbit_s"] >= metrics["bandwidth_gbit_s"] * (1 - 1e-9)
    assert metrics["bandwidth_gbit_s"] <= n * bits / least


def _check_commands(
    metrics: dict[str, float], trace: Trace, memory: Technology, design: Design
) -> None:
    n = {name.removeprefix("n_"): value for name, value in metrics.items() if name[:2] == "n_"}
    reads, writes = n["rd"] + n["rda"], n["wr"] + n["wra"]
    assert (reads, writes) == (len(trace) - trace.is_write.sum(), trace.is_write.sum())
    if design["page_policy"] == "Open":
        assert n["rda"] == n["wra"] == 0
    policy = design["refresh_policy"]
    if design["page_policy"] == "Closed":
        assert n["rd"] == n["wr"] == 0
        assert n["pre"] == 0 or policy == "PerBank"  # the refresh of a bank that was just opened
    assert n["refb"] == 0 or policy == "PerBank"
    assert n["refa"] == 0 or policy == "AllBank" or n["srefen"] > 0
    if design["power_down_policy"] == "NoPowerDown":
        assert n["pdea"] == n["pdep"] == n["srefen"] == 0

    # An activation opens a closed bank: those opened were closed again, or are open at the end.
    banks = memory.channels * memory.ranks * memory.banks
    closed = n["pre"] + n["rda"] + n["wra"]
    assert closed <= n["act"] <= closed + n["prea"] * memory.banks + banks
    # A column command that is no row hit is the first after its activation. An activation without
    # a column command before the next is possible only if a refresh or a change of mind closes it.
    hits = metrics["row_hit_rate"] * len(trace)
    assert hits == pytest.approx(round(hits))
    assert len(trace) - n["act"] <= round(hits) < len(trace)
    if design["page_policy"] == "Closed":
        assert hits == 0
    if n["prea"] == n["pre"] == 0:
        # No row was closed but by a column command; a bank may be open at the end and unused.
        assert round(hits) <= len(trace) - n["act"] + banks


def _check_energy(metrics: dict[str, float], memory: Technology) -> None:
    assert metrics["energy_pj"] == pytest.approx(
        sum(metrics[name] for name in COMPONENTS), rel=1e-9
    )
    for name in COMPONENTS:
        assert metrics[name] >= 0
    if metrics["n_pdea"] == metrics["n_pdep"] == metrics["n_srefen"] == 0:
        assert metrics["energy_power_down_pj"] == metrics["energy_self_refresh_pj"] == 0
    if metrics["n_refa"] == metrics["n_refb"] == metrics["n_srefen"] == 0:
        assert metrics["energy_ref_pj"] == 0
    # Each command costs the same whatever the design, so these parts follow from the counts.
    reads, writes = metrics["n_rd"] + metrics["n_rda"], metrics["n_wr"] + metrics["n_wra"]
    period_ns = 1000 / memory.clock_mhz
    beats = memory.burst_length // 2
    for name, count, current in (
        ("energy_rd_pj", reads, "idd4r"),
        ("energy_wr_pj", writes, "idd4w"),
        ("energy_act_pj", metrics["n_act"], "idd0"),
    ):
        cycles = memory.timings["RAS"] if current == "idd0" else beats
        charge = sum(
            supply.voltage_v * (supply.currents_ma[current] - supply.currents_ma["idd3n"])
            for supply in memory.supplies
        )
        expected = count * cycles * charge * period_ns * memory.devices
        assert metrics[name] == pytest.approx(expected), name
