"""Which problem a memory and its wiring pose: names where the library knows them, else digests.

>>> from archgym_py.simulators.dram.address import load_address_map
>>> from archgym_py.simulators.dram.technology import load_technology
>>> memory = load_technology("DDR3-1600")
>>> identify_technology(memory)
'DDR3-1600'
>>> identify_address_map(load_address_map("kit_ddr3_xor"), memory)
'kit_ddr3_xor'
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace

from archgym_py.config import canonical_json
from archgym_py.simulators.dram.address import AddressMap, address_maps_for, load_address_map
from archgym_py.simulators.dram.technology import Technology, load_technology, technology_names

__all__ = ["identify_address_map", "identify_technology"]

_NO_CONTENT = ("name", "description", "default_address_map")


def identify_technology(technology: Technology) -> str:
    """Return the name of a technology of the library, or a digest of another one's content.

    Args:
        technology: The memory.

    Returns:
        A text that is the same for two memories if and only if their figures are.
    """
    content = _content(technology)
    # Its own name comes first: to look at the other technologies takes reading their files.
    for name in sorted(technology_names(), key=lambda known: known != technology.name):
        if _content(load_technology(name)) == content:
            return name
    return hashlib.sha256(content.encode()).hexdigest()


def identify_address_map(address_map: AddressMap, technology: Technology) -> str:
    """Return the name of a map of the library, or a digest of another one's content.

    Args:
        address_map: The map; its own name may be that of a file and does not count.
        technology: The memory that it is for.

    Returns:
        A text that is the same for two maps if and only if their bits are.
    """
    bits = replace(address_map, name="")
    for name in address_maps_for(technology):
        if replace(load_address_map(name), name="") == bits:
            return name
    return hashlib.sha256(canonical_json(asdict(bits)).encode()).hexdigest()


def _content(technology: Technology) -> str:
    fields = asdict(technology)
    return canonical_json({name: fields[name] for name in fields if name not in _NO_CONTENT})
