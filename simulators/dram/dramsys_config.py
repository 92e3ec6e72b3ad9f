"""Files for DRAMSys: a memory controller, its memory and its trace as versions 4 and 5 read them.

Version 4 is the revision of May 2021, which reads each object from a file of its own. Version 5 is
5.1 to 5.5, which read everything from one file, with SI units in the memory description.

>>> from archgym_py.simulators.dram.technology import load_technology
>>> memspec_4(load_technology("DDR3-1600"))["memtimingspec"]["XPDLL"]
20
>>> memspec_5(load_technology("DDR4-2400"))["memtimingspec"]["tCK"]
8.33e-10
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from archgym_py.design import Design
from archgym_py.errors import ConfigError
from archgym_py.simulators.dram.address import AddressMap
from archgym_py.simulators.dram.model import DRAMSimulator
from archgym_py.simulators.dram.technology import Technology
from archgym_py.simulators.dram.trace import Trace, stl_text

__all__ = [
    "POWER",
    "address_mapping_5",
    "check",
    "files_4",
    "files_5",
    "memspec_4",
    "memspec_5",
]

POWER = {"4": ("DDR3", "DDR4"), "5": ("DDR4", "LPDDR4")}
"""Standards for which each version has a power model, of those that the library has."""

_XPDLL = {("DDR3", 800.0): 20, ("DDR4", 1200.0): 325}
"""Exit from slow power-down in cycles, by standard and clock in MHz, which the technologies lack.

From DRAMSys' memspecs MICRON_1Gb_DDR3-1600_8bit_G and MICRON_4Gb_DDR4-2400_8bit_A.
"""

_ESCKE = 3
"""LPDDR4's delay from self-refresh entry to CKE, in cycles (JESD209-4: max(1.75 ns, 3 nCK))."""

_RENAMED_4 = {
    name: name.upper() for name in ("REFIpb", "RFCab", "RFCpb", "RPab", "RPpb", "RCab", "RCpb")
}
_DDR_CURRENTS_4 = (
    *("idd0", "idd2n", "idd2p0", "idd2p1", "idd3n", "idd3p0", "idd3p1"),
    *("idd4r", "idd4w", "idd5", "idd6"),
)
_LPDDR4_CURRENTS = ("idd0", "idd2n", "idd2p", "idd3n", "idd3p", "idd4r", "idd4w", "idd5", "idd6")
_LPDDR4_CURRENTS_4 = {**{name: name for name in _LPDDR4_CURRENTS}, "idd5pb": "idd5b"}
_RAILS_5 = {
    "DDR4": {
        "idd0": "{}0",
        "idd2n": "{}2n",
        "idd2p0": "{}2p",
        "idd3n": "{}3n",
        "idd3p0": "{}3p",
        "idd4r": "{}4r",
        "idd4w": "{}4w",
        "idd5": "{}5B",
        "idd6": "{}6n",
    },
    "LPDDR4": {name: f"{name}{{}}" for name in (*_LPDDR4_CURRENTS, "idd5pb")},
}
"""Version 5's name of each current; {} stands for the rail."""

_BUSES = ("ck", "ca", "rdq", "wdq", "rdqs", "wdqs", "rdbi", "wdbi")


def check(model: DRAMSimulator, release: str) -> None:
    """Refuse a problem that DRAMSys cannot express.

    Args:
        model: The memory, its wiring and the trace.
        release: "4" or "5".

    Raises:
        ConfigError: If a clock is not a whole number of MHz, a delay not a whole number of clock
            cycles, or the memory not described by this version.
    """
    technology = model.technology
    for name, clock in (
        ("player_clock_mhz", model.player_clock_mhz),
        (f"the clock of {technology.name}", technology.clock_mhz),
    ):
        if not float(clock).is_integer():
            raise ConfigError(
                f"DRAMSys takes clocks in whole MHz, but {name} is {clock:g} MHz. Round it."
            )
    _delay_cycles(model)
    if technology.standard in ("DDR3", "DDR4"):
        _xpdll(technology)
    if release == "5" and technology.standard == "HBM2":
        raise ConfigError(
            f"DRAMSys 5 describes HBM2 by stacks and pseudo channels and with a timing CCDR, which "
            f"{technology.name} does not have. Use version='4'."
        )


def files_4(model: DRAMSimulator, design: Design) -> dict[str, str]:
    """Return a design as the files of DRAMSys 4.

    Args:
        model: The memory, its wiring and the trace.
        design: A complete design.

    Returns:
        Text of each file by its path below the resource folder.
    """
    tck_ns = model.technology.tck_ps / 1000.0
    delays = {name: _plain(cycles * tck_ns) for name, cycles in _delay_cycles(model).items()}
    trace = _trace_name(model.trace)
    simulation = {
        "addressmapping": "address_map.json",
        "mcconfig": "controller.json",
        "memspec": "memory.json",
        "simconfig": "simulator.json",
        "simulationid": "archgym",
        "thermalconfig": "thermal.json",
        "tracesetup": [{"clkMhz": int(model.player_clock_mhz), "name": trace}],
    }
    simulator = {
        **_simconfig(model.technology.standard in POWER["4"]),
        "CheckTLM2Protocol": False,
        "ECCControllerMode": "Disabled",
        "ErrorCSVFile": "",
        "ErrorChipSeed": 42,
        "ThermalSimulation": False,
    }
    # Without a thermal simulation nothing reads these values, but the object must not be empty.
    thermal = {"TemperatureScale": "Celsius", "StaticTemperatureDefaultValue": 89}
    controller = {**_knobs(model, design), **delays}
    contents: dict[str, Any] = {
        "simulation.json": {"simulation": simulation},
        "configs/amconfigs/address_map.json": model.address_map_of(design).congen(),
        "configs/mcconfigs/controller.json": {"mcconfig": controller},
        "configs/memspecs/memory.json": {"memspec": memspec_4(model.technology)},
        "configs/simulator/simulator.json": {"simconfig": simulator},
        "configs/thermalsim/thermal.json": {"thermalsimconfig": thermal},
    }
    files = {path: _json(content) for path, content in contents.items()}
    return {**files, f"traces/{trace}": _stl(model.trace)}


def files_5(model: DRAMSimulator, design: Design) -> dict[str, str]:
    """Return a design as the files of DRAMSys 5.

    Args:
        model: The memory, its wiring and the trace.
        design: A complete design.

    Returns:
        Text of each file by its path.
    """
    technology = model.technology
    controller = {**_knobs(model, design), **_delay_cycles(model), "RefreshManagement": False}
    if controller["SchedulerBuffer"] == "ReadWrite":  # a size for each of the two buffers
        size = controller.pop("RequestBufferSize")
        controller |= {"RequestBufferSizeRead": size, "RequestBufferSizeWrite": size}
    trace = _trace_name(model.trace)
    player = {
        "type": "player",
        "clkMhz": int(model.player_clock_mhz),
        "dataLength": technology.bytes_per_burst,
        "name": trace,
    }
    simulator = {
        **_simconfig(technology.standard in POWER["5"]),
        # Without it the power model refuses to work; what the data do is of no account, because
        # the impedances of the memory description are those of a bus that takes no energy.
        "TogglingRate": {
            "togglingRateRead": 0.0,
            "togglingRateWrite": 0.0,
            "dutyCycleRead": 0.0,
            "dutyCycleWrite": 0.0,
            "idlePatternRead": "L",
            "idlePatternWrite": "L",
        },
    }
    simulation = {
        "addressmapping": address_mapping_5(model.address_map_of(design)),
        "mcconfig": controller,
        "memspec": memspec_5(technology),
        "simconfig": simulator,
        "simulationid": "archgym",
        "tracesetup": [player],
    }
    return {"simulation.json": _json({"simulation": simulation}), trace: _stl(model.trace)}


def memspec_4(technology: Technology) -> dict[str, Any]:
    """Return a memory as DRAMSys 4 describes it: timings in cycles, currents in mA, voltages in V.

    Args:
        technology: The memory.

    Returns:
        The object ``memspec``. Currents are left out where the technology has none.

    Raises:
        ConfigError: If a figure that DRAMSys needs is not known.
    """
    standard = technology.standard
    architecture = _architecture(technology)
    if standard in ("DDR3", "DDR4"):  # the others have one device
        architecture["nbrOfDevicesOnDIMM"] = technology.devices
    if standard in ("DDR4", "HBM2"):
        architecture["nbrOfBankGroups"] = technology.bank_groups
    if standard == "DDR3":
        timings = _ddr_timings(technology)
    elif standard == "DDR4":
        timings = {**_ddr_timings(technology), "REFM": 1}
    elif standard == "LPDDR4":
        timings = _lpddr4_timings(technology)
    else:  # HBM2 derives the length of a self-refresh from CKE
        timings = {key: value for key, value in technology.timings.items() if key != "CKESR"}
    memspec: dict[str, Any] = {
        "memarchitecturespec": architecture,
        "memoryId": technology.name,
        "memoryType": standard,
        "memtimingspec": {
            **{_RENAMED_4.get(key, key): value for key, value in timings.items()},
            "clkMhz": int(technology.clock_mhz),
        },
    }
    if technology.supplies:
        memspec["mempowerspec"] = _power_4(technology)
    return memspec


def memspec_5(technology: Technology) -> dict[str, Any]:
    """Return a memory as DRAMSys 5 describes it: currents in A, the clock period in s.

    Args:
        technology: The memory.

    Returns:
        The object ``memspec``, with currents where DRAMSys 5 has a power model.

    Raises:
        ConfigError: If a figure that DRAMSys needs is not known, as for HBM2.
    """
    standard = technology.standard
    architecture = {
        **_architecture(technology),
        "nbrOfDevices": technology.devices,
        "maxBurstLength": technology.burst_length,
    }
    memspec: dict[str, Any] = {"memoryId": technology.name, "memoryType": standard}
    if standard == "DDR3":
        timings = _ddr_timings(technology)
    elif standard == "DDR4":
        architecture |= {"nbrOfBankGroups": technology.bank_groups, "RefMode": 1}
        timings = _ddr_timings(technology)
        # The shorter refreshes belong to modes 2 and 4.
        timings |= {"RFC1": timings.pop("RFC"), "RFC2": 0, "RFC4": 0}
        memspec["bankwisespec"] = {"factRho": 1.0}
        kinds = ("zeroes_to_ones", "ones_to_zeroes")
        memspec["prepostamble"] = {
            **{f"{way}_{what}": 0.0 for way in ("read", "write") for what in ("zeroes", "ones")},
            **{f"{way}_{kind}": 0 for way in ("read", "write") for kind in kinds},
            **{f"{way}MinTccd": 0 for way in ("read", "write")},
        }
    elif standard == "LPDDR4":
        architecture["nbrOfBankGroups"] = 1
        # Masked writes, which no trace has, keep four times the distance (JESD209-4).
        timings = {**_lpddr4_timings(technology), "CCDMW": 4 * technology.timings["CCD"]}
        memspec["bankwisespec"] = {"factRho": 1, "factSigma": 1, "pasrMode": 0, "hasPASR": False}
    else:
        raise ConfigError(f"DRAMSys 5 cannot be given {technology.name}. Use version='4'.")
    if standard in POWER["5"]:
        memspec["mempowerspec"] = _power_5(technology)
        # No energy in the wires: that of the memory's own model has none either.
        memspec["memimpedancespec"] = {
            **{f"{bus}_termination": False for bus in _BUSES},
            **{f"{bus}_R_eq": 1e6 for bus in _BUSES},
            **{f"{bus}_dyn_E": 0.0 for bus in _BUSES},
        }
    # The power of ten is read, not multiplied, and so exact.
    tck_s = float(f"{technology.tck_ps}e-12")
    return {
        **memspec,
        "memarchitecturespec": architecture,
        "memtimingspec": {**timings, "tCK": tck_s},
    }


def address_mapping_5(address_map: AddressMap) -> dict[str, Any]:
    """Return an address map as DRAMSys 5 describes it.

    Args:
        address_map: The map.

    Returns:
        For each field its bits, least significant first; a list stands for bits that are XORed.

    Examples:
        >>> from archgym_py.simulators.dram.address import load_address_map
        >>> address_mapping_5(load_address_map("kit_ddr3_xor"))["BANK_BIT"]
        [[13, 16], [14, 17], [15, 18]]
    """
    fields: dict[str, Any] = address_map.congen()["CONGEN"]
    fields.pop("XOR", None)
    parity = {bit: frozenset([bit]) for bits in fields.values() for bit in bits}
    for first, second in address_map.xor:  # each pair acts on what the pairs before it have left
        parity[first] ^= parity[second]
    return {
        key: [bit if parity[bit] == {bit} else sorted(parity[bit]) for bit in bits]
        for key, bits in fields.items()
    }


@lru_cache(maxsize=4)
def _stl(trace: Trace) -> str:
    """Return a trace as text, made once for each of the last traces."""
    return stl_text(trace)


def _trace_name(trace: Trace) -> str:
    return "trace.rstl" if trace.relative else "trace.stl"


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1) + "\n"


def _plain(value: float) -> int | float:
    """Return a whole number without its point."""
    value = round(value, 6)
    return int(value) if value.is_integer() else value


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _knobs(model: DRAMSimulator, design: Design) -> dict[str, Any]:
    """Return the controller of a design under DRAMSys' names, which are ours in another case."""
    return {_camel(name): value for name, value in model.controller_of(design).items()}


def _delay_cycles(model: DRAMSimulator) -> dict[str, int]:
    """Return the delays in clock cycles, to which DRAMSys rounds them."""
    cycles = {}
    for name, delay_ns in model.delays_ns.items():
        exact = delay_ns * model.technology.clock_mhz / 1000.0
        if abs(exact - round(exact)) > 1e-6:
            raise ConfigError(
                f"DRAMSys delays by whole clock cycles, but {name}_ns={delay_ns:g} is {exact:g} "
                f"cycles of {model.technology.name}. Give a multiple of "
                f"{1000.0 / model.technology.clock_mhz:g} ns."
            )
        cycles[_camel(name)] = round(exact)
    return cycles


def _simconfig(power: bool) -> dict[str, Any]:
    return {
        "AddressOffset": 0,
        "DatabaseRecording": False,  # a database per run
        "Debug": False,
        "EnableWindowing": False,
        "PowerAnalysis": power,  # fatal where there is no power model
        "SimulationName": "archgym",
        "SimulationProgressBar": False,
        "StoreMode": "NoStorage",
        "UseMalloc": False,
        "WindowSize": 1000,
    }


def _architecture(technology: Technology) -> dict[str, int]:
    return {
        "burstLength": technology.burst_length,
        "dataRate": 2,
        "nbrOfBanks": technology.banks,
        "nbrOfChannels": technology.channels,
        "nbrOfColumns": technology.columns,
        "nbrOfRanks": technology.ranks,
        "nbrOfRows": technology.rows,
        "width": technology.width_bits,
    }


def _xpdll(technology: Technology) -> int:
    kind = (technology.standard, technology.clock_mhz)
    if kind not in _XPDLL:
        raise ConfigError(
            f"DRAMSys needs tXPDLL, which is not known for {technology.standard} at "
            f"{technology.clock_mhz:g} MHz ({technology.name}). Add it in dramsys_config.py."
        )
    return _XPDLL[kind]


def _ddr_timings(technology: Technology) -> dict[str, int]:
    """With no additive latency (AL), as the timing rules of the standards assume."""
    timings = technology.timings
    return {**timings, "AL": 0, "CL": timings["RL"], "XPDLL": _xpdll(technology)}


def _lpddr4_timings(technology: Technology) -> dict[str, int]:
    timings = technology.timings
    return {**timings, "RCab": timings["RAS"] + timings["RPab"], "ESCKE": _ESCKE}


def _power_4(technology: Technology) -> dict[str, float]:
    first, *others = technology.supplies
    if technology.standard == "LPDDR4":
        power = {"vdd": first.voltage_v}
        power |= {name: first.currents_ma[key] for key, name in _LPDDR4_CURRENTS_4.items()}
        for supply in others:
            power["vdd2"] = supply.voltage_v
            for key, name in _LPDDR4_CURRENTS_4.items():
                power[f"{name}2"] = supply.currents_ma[key]
        return power
    power = {"vdd": first.voltage_v, **{key: first.currents_ma[key] for key in _DDR_CURRENTS_4}}
    for supply in others:  # the second rail counts for activation and self refresh
        power |= {"vdd2": supply.voltage_v}
        power |= {f"{key}2": supply.currents_ma[key] for key in ("idd0", "idd6")}
    return power


def _power_5(technology: Technology) -> dict[str, float]:
    standard = technology.standard
    names = {"DDR4": (("vdd", "idd"), ("vpp", "ipp")), "LPDDR4": (("vdd1", "1"), ("vdd2", "2"))}
    # The I/O rail takes nothing: what it takes depends on termination and data.
    power = {"vddq": 0.0}
    if standard == "DDR4":
        power |= {f"{rail}{mode}": 0.0 for rail in ("idd", "ipp") for mode in ("5F2", "5F4")}
    for supply, (voltage, rail) in zip(technology.supplies, names[standard], strict=True):
        power[voltage] = supply.voltage_v
        power[f"iBeta_{voltage}"] = supply.currents_ma["idd0"] / 1000.0
        for key, name in _RAILS_5[standard].items():
            power[name.format(rail)] = supply.currents_ma[key] / 1000.0
    return power
