"""Boxes from top to bottom and the arrows between them, as plain SVG of text and lines.

An arrow that skips boxes bends around them on the right; the further it goes, the further out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

MARGIN, GAP, LANE = 16, 26, 18
# Width of a character of the two sizes of text, on average.
_TITLE, _SMALL = 7.1, 6.0


@dataclass(frozen=True)
class Box:
    """A layer.

    Args:
        title: its first line.
        small: its further lines.
        kind: class of the rectangle: empty, `moves` or `slowest`.
        bar: in [0, 1], a bar along the lower edge; None for none.
    """

    title: str
    small: Sequence[str]
    kind: str = ""
    bar: float | None = None


@dataclass(frozen=True)
class Drawing:
    """The elements of a picture, and its size."""

    width: int
    height: int
    elements: str


def draw(boxes: Sequence[Box], arrows: Sequence[tuple[int, int]], width: int) -> Drawing:
    """Draw boxes, each `width` wide, and arrows from box to box by their places.

    The arrow heads are those of a marker `arrow`, which whoever places the drawing defines.
    """
    skips = sorted({(a, b) for a, b in arrows if b - a > 1}, key=lambda one: (one[1] - one[0], one))
    lanes = _lanes(skips)
    tops, at = [], MARGIN
    for box in boxes:
        tops.append(at)
        at += _height(box) + GAP
    parts = [_box(box, top, width) for box, top in zip(boxes, tops, strict=True)]
    for before, after in dict.fromkeys(arrows):
        start, end = tops[before], tops[after]
        tall = _height(boxes[before])
        if (before, after) not in lanes:
            middle = MARGIN + width // 2
            parts.append(f'<path class="flow" d="M{middle} {start + tall}L{middle} {end}"/>')
            continue
        right = MARGIN + width
        out = right + LANE * (lanes[before, after] + 1)
        y, z = start + tall // 2, end + _height(boxes[after]) // 2
        parts.append(f'<path class="flow" d="M{right} {y}L{out} {y}L{out} {z}L{right + 1} {z}"/>')
    whole = width + 2 * MARGIN + (max(lanes.values(), default=-1) + 1) * LANE
    return Drawing(whole, at - GAP + MARGIN, "\n".join(parts))


def _lanes(skips: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """A lane for each arrow that skips boxes, so that no two lie on each other."""
    lanes: dict[tuple[int, int], int] = {}
    for skip in skips:
        taken = {lane for (a, b), lane in lanes.items() if a < skip[1] and skip[0] < b}
        lanes[skip] = next(lane for lane in range(len(skips) + 1) if lane not in taken)
    return lanes


def _height(box: Box) -> int:
    return 25 + 15 * len(box.small) + (8 if box.bar is not None else 0)


def _box(box: Box, top: int, width: int) -> str:
    kind = f' class="{box.kind}"' if box.kind else ""
    left = MARGIN + 10
    parts = [
        f'<rect{kind} x="{MARGIN}" y="{top}" width="{width}" height="{_height(box)}"/>',
        f'<text x="{left}" y="{top + 17}">{_cut(box.title, width, _TITLE)}</text>',
    ]
    for at, text in enumerate(box.small):
        y = top + 32 + 15 * at
        parts.append(f'<text class="small" x="{left}" y="{y}">{_cut(text, width, _SMALL)}</text>')
    if box.bar is not None:
        y, full = top + _height(box) - 9, width - 20
        long = max(1.0, box.bar * full)
        parts.append(f'<path class="scale" d="M{left} {y}h{full}"/>')
        parts.append(f'<path class="bar" d="M{left} {y}h{long:.1f}"/>')
    return "".join(parts)


def _cut(text: str, width: int, character: float) -> str:
    most = int((width - 20) / character)
    return escape(text if len(text) <= most else text[: most - 1] + "…")
