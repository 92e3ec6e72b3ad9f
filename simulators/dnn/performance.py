"""What a network costs on an accelerator: the metrics of the environments of this family."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from archgym_py.simulator import Metric
from archgym_py.simulators.dnn.hardware import Architecture
from archgym_py.simulators.dnn.layers import Layer
from archgym_py.simulators.dnn.model import Cost

__all__ = ["Limits", "combine", "describe_metrics", "measure"]

_ACCESSES_PER_MAC: Final = 8
"""More words than a level moves for one multiply-accumulate and unit of stride: a read of each
tensor, the fills of each, and the update of a sum, are seven."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the accelerators of a space have at least and at most, from which metrics are bounded.

    Attributes:
        units: Most multiply-accumulate units.
        clock_mhz: Slowest and fastest clock, in MHz.
        mac_pj: Lowest and highest energy of a multiply-accumulate, in pJ.
        access_pj: Highest energy of an access, summed over the levels, in pJ.
        local_pj: Lowest energy, in pJ, that the memories of an element spend on a
            multiply-accumulate; 0 where they may be missing.
        shared_pj: Lowest energy of moving a word into or out of the shared memory, in pJ.
        dram_pj: Lowest energy of moving a word into or out of the outermost level, in pJ.
        bandwidth: Smallest bandwidth of a level, in words per cycle.
        area_mm2: Smallest and largest area, in mm2.
        word_bytes: Bytes of the narrowest and of the widest word.
    """

    units: int
    clock_mhz: tuple[float, float]
    mac_pj: tuple[float, float]
    access_pj: float
    local_pj: float = 0.0
    shared_pj: float = 0.0
    dram_pj: float = 0.0
    bandwidth: float
    area_mm2: tuple[float, float]
    word_bytes: tuple[float, float]


def describe_metrics(layers: Sequence[Layer], limits: Limits) -> tuple[Metric, ...]:
    """Return the metrics of a network, with bounds that hold for every accelerator of a space.

    From above: no level moves more than `_ACCESSES_PER_MAC` words per operation, times the strides,
    which leave gaps in the inputs. From below: no unit does more than one operation per cycle, and
    the outputs at least pass through the shared memory, and with the weights into or out of the
    outermost level.

    Args:
        layers: The layers of the network.
        limits: What the accelerators have.
    """
    macs = sum(layer.count * layer.macs for layer in layers)
    most_words = sum(
        layer.count * layer.macs * _ACCESSES_PER_MAC * layer.stride_p * layer.stride_q
        * layer.dilation_r * layer.dilation_s
        for layer in layers
    )  # fmt: skip
    outputs = sum(layer.count * layer.N * layer.G * layer.M * layer.P * layer.Q for layer in layers)
    weights = sum(layer.count * layer.G * layer.M * layer.C * layer.R * layer.S for layer in layers)
    rounded_up = sum(layer.count for layer in layers)
    slow, fast = limits.clock_mhz
    highest = most_words * limits.access_pj / 1e6
    cycles = (macs / limits.units, macs + most_words / min(1.0, limits.bandwidth) + rounded_up)
    latency = (cycles[0] / fast / 1e3, cycles[1] / slow / 1e3)
    parts = {
        "mac": (macs * limits.mac_pj[0] / 1e6, macs * limits.mac_pj[1] / 1e6),
        "local": (macs * limits.local_pj / 1e6, highest),
        "shared": (outputs * limits.shared_pj / 1e6, highest),
        "dram": ((outputs + weights) * limits.dram_pj / 1e6, highest),
    }
    energy = (sum(low for low, _ in parts.values()), parts["mac"][1] + highest)
    moved = (
        (outputs + weights) * limits.word_bytes[0] / 1e6,
        most_words * limits.word_bytes[1] / 1e6,
    )
    rows = (
        ("cycles", "cycles", cycles, "clock cycles of one pass through the network"),
        ("latency_ms", "ms", latency, "time of one pass through the network"),
        ("energy_uj", "uJ", energy, "energy of one pass through the network"),
        ("energy_mac_uj", "uJ", parts["mac"], "of which in multiply-accumulates"),
        ("energy_local_uj", "uJ", parts["local"], "in the memories of the elements"),
        ("energy_shared_uj", "uJ", parts["shared"], "in the memory that they share"),
        ("energy_dram_uj", "uJ", parts["dram"], "in the outermost level"),
        (
            "edp_uj_ms",
            "uJ*ms",
            (energy[0] * latency[0], energy[1] * latency[1]),
            "energy times latency",
        ),
        (
            "power_mw",
            "mW",
            (energy[0] / latency[1], energy[1] / latency[0]),
            "energy over latency",
        ),
        ("area_mm2", "mm2", limits.area_mm2, "area of the chip, without the DRAM"),
        ("utilization", "1", (macs / cycles[1] / limits.units, 1.0), "share of units at work"),
        ("dram_mb", "MB", moved, "data that the outermost level reads and writes"),
    )
    return tuple(
        # Rounding may take a value past a bound that is reached exactly.
        Metric(name, unit, low * (1 - 1e-9), high * (1 + 1e-9), doc)
        for name, unit, (low, high), doc in rows
    )


def combine(
    *,
    cycles: Any,
    mac_pj: Any,
    local_pj: Any,
    shared_pj: Any,
    dram_pj: Any,
    dram_bits: Any,
    macs: int,
    units: Any,
    area_mm2: Any,
    clock_mhz: Any,
) -> dict[str, Any]:
    """Return the metrics of a network from its sums, of one accelerator or of many.

    Args:
        cycles: Cycles; this and the others are numbers, or arrays with an entry per accelerator.
        mac_pj: Energy of the multiply-accumulates, in pJ.
        local_pj: Energy of the memories of the elements, in pJ.
        shared_pj: Energy of the memory that they share, in pJ.
        dram_pj: Energy of the outermost level, in pJ.
        dram_bits: Bits that the outermost level reads and writes.
        macs: Multiply-accumulates.
        units: Units for them.
        area_mm2: Area of the chip, in mm2.
        clock_mhz: Clock, in MHz.

    Returns:
        Every metric of `describe_metrics`, in that order.
    """
    latency_ms = cycles / clock_mhz / 1e3
    energy_uj = (mac_pj + local_pj + shared_pj + dram_pj) / 1e6
    return {
        "cycles": cycles,
        "latency_ms": latency_ms,
        "energy_uj": energy_uj,
        "energy_mac_uj": mac_pj / 1e6,
        "energy_local_uj": local_pj / 1e6,
        "energy_shared_uj": shared_pj / 1e6,
        "energy_dram_uj": dram_pj / 1e6,
        "edp_uj_ms": energy_uj * latency_ms,
        "power_mw": energy_uj / latency_ms,
        "area_mm2": area_mm2,
        "utilization": macs / (cycles * units),
        "dram_mb": dram_bits / 8e6,
    }


def measure(
    layers: Sequence[Layer],
    costs: Mapping[tuple[int, ...], Cost],
    architecture: Architecture,
    clock_mhz: float,
) -> dict[str, float]:
    """Sum the costs of layers up to the metrics of a network.

    The last level is the outermost one, levels before it with one instance are shared, and the
    others belong to the elements.

    Args:
        layers: The layers of the network, each with its count.
        costs: What a layer costs once, by its `Layer.shape_key`.
        architecture: The accelerator.
        clock_mhz: Its clock, in MHz.

    Returns:
        The value of every metric of `describe_metrics`, in that order.
    """
    places = [
        "dram"
        if level is architecture.levels[-1]
        else "shared"
        if level.instances == 1
        else "local"
        for level in architecture.levels
    ]
    cycles, dram_bits = 0, 0
    energies: dict[str, list[float]] = {"mac": [], "local": [], "shared": [], "dram": []}
    for layer in layers:
        cost = costs[layer.shape_key]
        cycles += layer.count * cost.cycles
        energies["mac"].append(layer.count * cost.mac_energy_pj)
        for place, spent in zip(places, cost.levels, strict=True):
            energies[place].append(layer.count * spent.energy_pj)
        moved = sum(t.reads + t.fills + t.updates for t in cost.levels[-1].tensors.values())
        dram_bits += layer.count * moved * architecture.levels[-1].word_bits
    return combine(
        cycles=float(cycles),
        dram_bits=float(dram_bits),
        macs=sum(layer.count * layer.macs for layer in layers),
        units=architecture.compute.instances,
        area_mm2=architecture.area_um2 / 1e6,
        clock_mhz=clock_mhz,
        **{f"{place}_pj": math.fsum(parts) for place, parts in energies.items()},
    )
