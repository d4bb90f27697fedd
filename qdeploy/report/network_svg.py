"""A network as a picture: one box for each layer from top to bottom, arrows for streams.

Plain SVG of text and lines, readable without colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.report.drawing import Box, draw
from qdeploy.report.network import LayerRow

WIDTH = 460
_STYLE = (
    "svg{background:#fff;font-family:sans-serif;font-size:13px}"
    "rect{fill:#f3f6fa;stroke:#345;rx:4}rect.moves{fill:#fff;stroke-dasharray:4 3}"
    ".flow{fill:none;stroke:#345;marker-end:url(#arrow)}text.small{font-size:11px;fill:#445}"
)
# The head of an arrow; `.head` is its class.
ARROW = (
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
    'markerHeight="7" orient="auto"><path class="head" d="M0 0L8 4L0 8z" '
    'style="stroke:none"/></marker></defs>'
)


def network_svg(graph: IntegerGraph, rows: Sequence[LayerRow]) -> str:
    """The picture as a text.

    Args:
        rows: of `layer_rows(graph)`.
    """
    boxes = [input_box(graph)]
    for row in rows:
        size = "x".join(str(number) for number in row.shape_out)
        weights = f", {row.weights:,} weights" if row.weights else ""
        kind = "" if row.macs else "moves"
        boxes.append(Box(f"{row.layer}: {row.kind}", (f"{size}, {row.codes}{weights}",), kind))
    drawing = draw(boxes, arrows_of(graph), WIDTH)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {drawing.width} {drawing.height}" '
        f'width="{drawing.width}" height="{drawing.height}" role="img">\n'
        f"<title>{escape(graph.name)}</title><style>{_STYLE}</style>\n"
        f"{ARROW}\n{drawing.elements}\n</svg>\n"
    )


def input_box(graph: IntegerGraph) -> Box:
    """The box of the network's input."""
    source = graph.tensors[graph.input]
    shape = "x".join(str(size) for size in source.shape)
    return Box("input", (f"{shape}, {source.dtype.bits} bits",))


def arrows_of(graph: IntegerGraph) -> list[tuple[int, int]]:
    """From which box to which: the input is box 0, the nodes follow in their order."""
    places = {graph.input: 0}
    for place, node in enumerate(graph.nodes, 1):
        places[node.output] = place
    return [
        (places[name], place)
        for place, node in enumerate(graph.nodes, 1)
        for name in dict.fromkeys(node.inputs)
    ]
