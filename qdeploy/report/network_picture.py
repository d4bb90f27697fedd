"""The network of a build as a picture: what each layer takes, where the bottleneck is, and where
codes differ.

One box for each stream of codes: the layer that makes it, with the thresholds that it absorbed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from qdeploy.design.manifest import Design, Layer
from qdeploy.ir.integer_graph import IntegerGraph, Node
from qdeploy.report.drawing import Box, draw
from qdeploy.report.network import LayerRow, layer_rows
from qdeploy.report.network_svg import ARROW, input_box

# Of a box; the whole picture fits a telephone held upright.
WIDTH = 296


@dataclass(frozen=True)
class Picture:
    """A picture for a page.

    Args:
        svg: the element; its style is that of the page.
        boxes: how many it has.
        told: in a sentence, for those who cannot see it.
    """

    svg: str
    boxes: int
    told: str


@dataclass(frozen=True)
class _Group:
    """Nodes that become one box; the last one makes its stream."""

    nodes: Sequence[Node]
    rows: Sequence[LayerRow]

    @property
    def inputs(self) -> Sequence[str]:
        return tuple(dict.fromkeys(self.nodes[0].inputs))


def network_picture(graph: IntegerGraph, design: Design | None, differs: str = "") -> Picture:
    """Draw the network of a build.

    Args:
        design: its hardware, None where there is none.
        differs: the tensor where the codes of a level first differ from the integers'.
    """
    groups = _groups(graph)
    places = {graph.input: 0}
    places |= {group.nodes[-1].output: at for at, group in enumerate(groups, 1)}
    hardware = [_hardware(group, design) for group in groups]
    cycles = [max((one.cycles for one in layers), default=0) for layers in hardware]
    # The slowest layer may carry codes on and belong to no node.
    most = design.cycles_per_frame if design is not None else 0
    boxes = [input_box(graph)]
    marked = ""
    for group, layers, each in zip(groups, hardware, cycles, strict=True):
        slowest = bool(most) and each == most
        title = f"{group.rows[0].layer}: {group.rows[0].kind}"
        if slowest:
            marked = title
        wrong = group.nodes[-1].output == differs
        boxes.append(_box(group, layers, design, title, slowest, wrong, each / most if most else 0))
    arrows = [
        (places[name], at)
        for at, group in enumerate(groups, 1)
        for name in group.inputs
        if name in places
    ]
    drawing = draw(boxes, arrows, WIDTH)
    told = f"{len(groups)} layers from the input to the result, in the order of execution."
    if marked:
        told += f" The bottleneck is {marked}."
    if differs:
        told += f" Codes first differ at {differs}."
    svg = (
        f'<svg viewBox="0 0 {drawing.width} {drawing.height}" class="network" role="img" '
        f'aria-label="{escape(told)}" style="max-width:{drawing.width}px">\n'
        f"{ARROW}\n{drawing.elements}\n</svg>"
    )
    return Picture(svg, len(boxes), told)


def _groups(graph: IntegerGraph) -> list[_Group]:
    """Nodes by the stream that they make: a node whose result no stream carries goes with the one
    that reads it."""
    streams, rows = set(graph.boundaries()), layer_rows(graph)
    waiting: dict[str, list[tuple[Node, LayerRow]]] = {}
    groups = []
    for node, row in zip(graph.nodes, rows, strict=True):
        before = [one for name in node.inputs for one in waiting.pop(name, [])]
        members = [*before, (node, row)]
        if node.output in streams or node.output == graph.output:
            groups.append(_Group([one for one, _ in members], [one for _, one in members]))
        else:
            waiting[node.output] = members
    return groups


def _hardware(group: _Group, design: Design | None) -> list[Layer]:
    names = {node.name for node in group.nodes}
    return [one for one in (design.layers if design else ()) if names & set(one.nodes)]


def _box(
    group: _Group,
    layers: Sequence[Layer],
    design: Design | None,
    title: str,
    slowest: bool,
    wrong: bool,
    share: float,
) -> Box:
    last = group.rows[-1]
    size = "x".join(str(number) for number in last.shape_out)
    weights = sum(row.weights for row in group.rows)
    small = [f"{size}, {last.codes}" + (f", {weights:,} weights" if weights else "")]
    if layers:
        most = max(layers, key=lambda one: one.cycles)
        folding = "".join(
            f", {key} {most.folding[key]}" for key in ("PE", "SIMD") if key in most.folding
        )
        small.append(f"{most.cycles:,} cycles{folding}" + ("  ◀ bottleneck" if slowest else ""))
    taps = (tap for tap in (design.taps if design else ()) if tap.tensor == group.nodes[-1].output)
    if tap := next(taps, None):
        small.append(f"stream: {tap.per_beat} x {tap.bits} bits per beat, {tap.beats:,} beats")
    if wrong:
        small.append("✗ codes first differ here")
    kind = "differs" if wrong else "slowest" if slowest else "" if weights else "moves"
    return Box(title, small, kind, share if layers else None)
