"""A network as a picture: one box for each layer from top to bottom, arrows for streams.

An arrow that skips layers bends around them on the right; the further it goes, the further out.
Plain SVG of text and lines, readable without colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.report.network import LayerRow

_WIDTH, _HEIGHT, _GAP, _MARGIN, _LANE = 460, 40, 26, 16, 18
_STYLE = (
    "svg{background:#fff;font-family:sans-serif;font-size:13px}"
    "rect{fill:#f3f6fa;stroke:#345;rx:4}rect.moves{fill:#fff;stroke-dasharray:4 3}"
    "path{fill:none;stroke:#345;marker-end:url(#arrow)}text.small{font-size:11px;fill:#445}"
)


def network_svg(graph: IntegerGraph, rows: Sequence[LayerRow]) -> str:
    """The picture as a text.

    Args:
        rows: of `layer_rows(graph)`.
    """
    source = graph.tensors[graph.input]
    places = {graph.input: 0}
    for place, node in enumerate(graph.nodes, 1):
        places[node.output] = place
    skips = [
        (places[name], place)
        for place, node in enumerate(graph.nodes, 1)
        for name in node.inputs
        if place - places[name] > 1
    ]
    lanes = _lanes(skips)
    shape = "x".join(str(size) for size in source.shape)
    parts = [_box(0, "input", f"{shape}, {source.dtype.bits} bits", False)]
    for place, row in enumerate(rows, 1):
        size = "x".join(str(number) for number in row.shape_out)
        weights = f", {row.weights:,} weights" if row.weights else ""
        title = f"{row.layer}: {row.kind}"
        parts.append(_box(place, title, f"{size}, {row.codes}{weights}", row.macs == 0))
    for place, node in enumerate(graph.nodes, 1):
        for name in dict.fromkeys(node.inputs):
            before = places[name]
            parts.append(_arrow(before, place, lanes.get((before, place))))
    width = _WIDTH + 2 * _MARGIN + (max(lanes.values(), default=-1) + 1) * _LANE + _LANE
    height = (len(rows) + 1) * (_HEIGHT + _GAP) + 2 * _MARGIN - _GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">\n'
        f"<title>{escape(graph.name)}</title><style>{_STYLE}</style>\n"
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" '
        'style="fill:#345;stroke:none;marker-end:none"/></marker></defs>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _lanes(skips: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """A lane for each arrow that skips layers, so that no two lie on each other."""
    lanes: dict[tuple[int, int], int] = {}
    for skip in sorted(set(skips), key=lambda item: (item[1] - item[0], item)):
        taken = {lane for (a, b), lane in lanes.items() if a < skip[1] and skip[0] < b}
        lanes[skip] = next(lane for lane in range(len(skips) + 1) if lane not in taken)
    return lanes


def _top(place: int) -> int:
    return _MARGIN + place * (_HEIGHT + _GAP)


def _box(place: int, title: str, small: str, moves: bool) -> str:
    top, kind = _top(place), ' class="moves"' if moves else ""
    return (
        f'<rect{kind} x="{_MARGIN}" y="{top}" width="{_WIDTH}" height="{_HEIGHT}"/>'
        f'<text x="{_MARGIN + 10}" y="{top + 17}">{escape(title[:60])}</text>'
        f'<text class="small" x="{_MARGIN + 10}" y="{top + 32}">{escape(small[:70])}</text>'
    )


def _arrow(before: int, after: int, lane: int | None) -> str:
    start, end = _top(before) + _HEIGHT, _top(after)
    if lane is None:
        middle = _MARGIN + _WIDTH // 2
        return f'<path d="M{middle} {start}L{middle} {end}"/>'
    right = _MARGIN + _WIDTH
    out = right + _LANE * (lane + 1)
    y, z = start - _HEIGHT // 2, end + _HEIGHT // 2
    return f'<path d="M{right} {y}L{out} {y}L{out} {z}L{right + 1} {z}"/>'
