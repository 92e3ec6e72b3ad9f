"""Says of every layer of a network what it costs on an accelerator, and how it runs there."""

from __future__ import annotations

from collections.abc import Sequence

from archgym_py.explanation import Cell, Column, Explanation, Row
from archgym_py.simulators.dnn.hardware import Architecture
from archgym_py.simulators.dnn.layers import DIMS, Layer
from archgym_py.simulators.dnn.mapped import MappedLayer
from archgym_py.simulators.dnn.model import Mapping, tile_words

__all__ = ["MACS", "explain_layers", "loop_nest"]

MACS = Column("macs", "1", "multiply-accumulates", total="sum")
"""A column of every network."""

_COLUMNS = (
    MACS,
    Column("cycles", "1", "clock cycles", total="sum"),
    Column("bound", "", "what takes the cycles: compute, or the bandwidth of a level"),
    Column("utilization", "1", "share of the units at work", total="mean"),
)
_OPTIMAL = Column("optimal", "", "whether the mapping is proved to be the dataflow's best")


def explain_layers(
    title: str, architecture: Architecture, layers: Sequence[MappedLayer]
) -> Explanation:
    """Explain what a network costs, layer by layer.

    Args:
        title: What runs on what.
        architecture: The accelerator.
        layers: Every layer of the network. Whether its mapping is the best has to be known of all
            of them or of none.

    Returns:
        A row for each layer with its energy in multiply-accumulates and in each level, and its
        loop nest as text.

    Raises:
        ConfigError: If there is no layer, or two have the same name.
    """
    rows = []
    for each in layers:
        layer, cost = each.layer, each.cost
        values: dict[str, Cell] = {
            "macs": layer.macs,
            "cycles": cost.cycles,
            "bound": cost.bound,
            "utilization": cost.utilization,
        }
        if each.optimal is not None:
            values["optimal"] = each.optimal
        energy_pj = {architecture.compute.name: cost.mac_energy_pj}
        energy_pj |= {level.name: level.energy_pj for level in cost.levels}
        nest = loop_nest(layer, each.mapping, architecture)
        rows.append(Row(layer.name, layer.count, values, energy_pj, nest))
    searched = any("optimal" in row.values for row in rows)
    return Explanation(
        title=title,
        part="layer",
        time="cycles",
        columns=(*_COLUMNS, _OPTIMAL) if searched else _COLUMNS,
        rows=tuple(rows),
    )


def loop_nest(layer: Layer, mapping: Mapping, architecture: Architecture) -> str:
    """Write a mapping as loops, from the outermost level inwards.

    Below the name of a level stand its loops over time, the outermost first, and how the body of
    the last one is spread over the children of the level. `0..4` is four iterations, 0 to 3. The
    words of a tensor are its tile: what the loops of this level and of all further in touch. Loops
    of one iteration are left out.

    Args:
        layer: The layer.
        mapping: A mapping that `model.evaluate` takes.
        architecture: The accelerator.

    Returns:
        Lines of text.

    Examples:
        >>> from archgym_py.simulators.dnn.hardware import Compute, Level
        >>> from archgym_py.simulators.dnn.model import LevelMapping
        >>> levels = (Level(name="RF", mesh_x=4, capacity_words=16), Level(name="DRAM"))
        >>> compute = Compute(mesh_x=4, mesh_y=1, mac_pj=1.0)
        >>> small = Architecture(name="small", levels=levels, compute=compute)
        >>> mapping = Mapping((
        ...     LevelMapping(keep=("Weights",), temporal=(("C", 2), ("M", 8))),
        ...     LevelMapping(temporal=(("P", 5),), spatial_x=(("C", 3),)),
        ... ))
        >>> print(loop_nest(Layer(name="fc", op="gemm", M=8, C=6, P=5), mapping, small))
        fc: gemm M=8 C=6 P=5
        DRAM  keeps Weights 48, Inputs 30, Outputs 40 (118 words)
          for P in 0..5
            spread C over 3 in X
        RF    keeps Weights 16 (16 of 16 words) in each of 3
              for M in 0..8
                for C in 0..2
        MAC   works in 3 of 4
    """
    extents = dict.fromkeys(DIMS, 1)
    tiles = []
    for at in mapping.levels:
        for dim, factor in (*at.temporal, *at.spatial_x, *at.spatial_y):
            extents[dim] *= factor
        tiles.append(tile_words(layer, extents))
    sizes = {name: size for name, size in layer.to_dict().items() if name not in ("name", "op")}
    lines = [" ".join([f"{layer.name}: {layer.op}", *(f"{n}={s}" for n, s in sizes.items())])]
    compute = architecture.compute
    width = max(
        len(name) for name in (compute.name, *(level.name for level in architecture.levels))
    )
    indent, used = "  ", 1
    for level, at, words in reversed(
        list(zip(architecture.levels, mapping.levels, tiles, strict=True))
    ):
        held = ", ".join(f"{tensor} {words[tensor]}" for tensor in at.keep)
        of = "" if level.capacity_words is None else f" of {level.capacity_words}"
        tile = f"{held} ({sum(words[tensor] for tensor in at.keep)}{of} words)"
        each = f" in each of {used}" if used > 1 else ""
        lines.append(f"{level.name:<{width}}  keeps {tile if at.keep else 'nothing'}{each}")
        for dim, factor in reversed(at.temporal):
            if factor > 1:
                lines.append(f"{indent}for {dim} in 0..{factor}")
                indent += "  "
        spread = [
            f"{indent}spread {dim} over {factor} in {axis}"
            for axis, factors in (("X", at.spatial_x), ("Y", at.spatial_y))
            for dim, factor in factors
            if factor > 1
        ]
        if spread:
            lines += spread
            indent += "  "
        for _, factor in (*at.spatial_x, *at.spatial_y):
            used *= factor
    lines.append(f"{compute.name:<{width}}  works in {used} of {compute.instances}")
    return "\n".join(lines)
