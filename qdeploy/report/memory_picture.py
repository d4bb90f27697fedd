"""The memory plan of a network in C as a picture: which buffer lies where, from step to step."""

from __future__ import annotations

from html import escape

from qdeploy.c_plan_record import CPlanRecord

# The plot, in units of the picture; on a telephone one unit is a CSS pixel.
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 340, 230, 52, 8, 14, 38
# A buffer that is smaller than this in the picture has its name only on hovering and read aloud.
_LEAST_HEIGHT, _LETTER = 12, 5.6


def memory_svg(plan: CPlanRecord) -> str:
    """The picture; its style is that of the page. Steps go from left to right, addresses up."""
    steps, arena = max(len(plan["steps"]), 1), max(plan["arena"], 1)

    def x(step: int) -> float:
        return LEFT + step / steps * (WIDTH - LEFT - RIGHT)

    def y(offset: int) -> float:
        return HEIGHT - BOTTOM - offset / arena * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<path class="grid" d="M{LEFT} {y(0):.1f}H{WIDTH - RIGHT}M{LEFT} {y(arena):.1f}'
        f'H{WIDTH - RIGHT}"/>',
        f'<text class="tick left" x="{LEFT - 5}" y="{y(0) + 4:.1f}">0</text>',
        f'<text class="tick left" x="{LEFT - 5}" y="{y(arena) + 4:.1f}">{plan["arena"]:,}</text>',
    ]
    for at, one in enumerate(plan["buffers"]):
        left, right = x(one["first"]), x(min(one["last"] + 1, steps))
        top, bottom = y(one["offset"] + one["bytes"]), y(one["offset"])
        lived = f"steps {one['first'] + 1} to {one['last'] + 1}"
        name = escape(one["name"].removeprefix("buffer of "))
        parts.append(
            f'<g class="buffer{" other" if at % 2 else ""}"><title>{name}: {one["bytes"]:,} bytes '
            f'at {one["offset"]:,}, {lived}</title><rect x="{left:.1f}" y="{top:.1f}" '
            f'width="{right - left:.1f}" height="{bottom - top:.1f}"/>'
        )
        letters = int((right - left - 6) / _LETTER)
        if bottom - top >= _LEAST_HEIGHT and letters >= 4:
            short = name if len(name) <= letters else f"{name[: letters - 1]}…"
            parts.append(
                f'<text x="{left + 3:.1f}" y="{(top + bottom) / 2 + 4:.1f}">{short}</text>'
            )
        parts.append("</g>")
    for step in _marks(steps):
        centre = (x(step) + x(step + 1)) / 2
        parts.append(f'<text class="tick" x="{centre:.1f}" y="{HEIGHT - 22}">{step + 1}</text>')
    parts.append(
        f'<text class="tick" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 5}">step</text>'
    )
    label = (
        f"Buffers in the arena of {plan['arena']:,} bytes over {steps} steps; the table of steps "
        "has what is in use at each."
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" class="chart" role="img" aria-label="{label}">\n'
        + "\n".join(parts)
        + "\n</svg>"
    )


def _marks(steps: int) -> range:
    """Steps that are numbered: about ten."""
    return range(0, steps, -(-steps // 10))
