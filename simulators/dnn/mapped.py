"""A layer together with how it runs on an accelerator."""

from __future__ import annotations

from dataclasses import dataclass

from archgym_py.simulators.dnn.layers import Layer
from archgym_py.simulators.dnn.model import Cost, Mapping

__all__ = ["MappedLayer"]


@dataclass(frozen=True, slots=True)
class MappedLayer:
    """A layer on an accelerator.

    Attributes:
        layer: The layer.
        mapping: How it runs.
        cost: What it costs once.
        optimal: Whether the mapping is proved to be the best one; None if nobody asked.
    """

    layer: Layer
    mapping: Mapping
    cost: Cost
    optimal: bool | None = None
