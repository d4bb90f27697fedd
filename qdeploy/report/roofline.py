"""A design against its board: what it does of what LUTs and memory port would allow.

    x   multiplications per byte that goes over the memory port (input and result of a frame)
    y   multiplications per second
    flat roof    two-bit lanes that the board's usable LUTs would hold, one product each per cycle
    slope        bytes per second of the DMA, at most `dma_bits` per cycle

Williams, Waterman & Patterson 2009, "Roofline". Weights are on the chip, so only frames and results
go over the port.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

from qdeploy.design.manifest import Stream

# The plot, in units of the picture; on a telephone one unit is a CSS pixel.
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 340, 230, 44, 20, 14, 38


@dataclass(frozen=True)
class Roofline:
    """The figures of the plot.

    Args:
        intensity: multiplications per byte.
        reached: multiplications per second.
        lanes: the flat roof, multiplications per second.
        port: bytes per second of the memory port.
        built: what the lanes of the design itself would do, multiplications per second.
    """

    intensity: float
    reached: float
    lanes: float
    port: float
    built: float

    @property
    def roof(self) -> float:
        """The most that the board allows at this intensity."""
        return min(self.lanes, self.port * self.intensity)

    @property
    def bound(self) -> str:
        """What bounds it."""
        return "the board's LUTs" if self.lanes <= self.port * self.intensity else "the memory port"


def roofline(
    macs: int,
    lanes: int,
    lane_limit: float | None,
    cycles: int,
    clock_mhz: float,
    streams: tuple[Stream, Stream],
    dma_bits: int | None,
) -> Roofline | None:
    """The figures of a design, None where one of them is not known.

    Args:
        macs: useful multiplications per frame.
        lanes: products per cycle of all layers together.
        lane_limit: two-bit lanes that the board would hold.
        streams: input and output.
        dma_bits: of the memory port, per cycle.
    """
    moved = sum(one.beats * one.bytes_per_beat for one in streams)
    if not macs or lane_limit is None or dma_bits is None:
        return None
    clock = clock_mhz * 1e6
    return Roofline(
        intensity=macs / moved,
        reached=macs * clock / cycles,
        lanes=lane_limit * clock,
        port=dma_bits / 8 * clock,
        built=lanes * clock,
    )


def told(found: Roofline) -> str:
    """The plot in sentences."""
    return (
        f"{_rate(found.reached)} at {found.intensity:,.0f} multiplications per byte: "
        f"{found.reached / found.roof:.1%} of the {_rate(found.roof)} that the board allows there, "
        f"where {found.bound} would be the limit. The lanes of this design could do "
        f"{_rate(found.built)}."
    )


def roofline_svg(found: Roofline) -> str:
    """The plot, both axes logarithmic; its style is that of the page."""
    knee = found.lanes / found.port
    low, high = _decades(min(found.intensity, knee) / 4, max(found.intensity, knee) * 4)
    bottom, top = _decades(min(found.reached, found.built) / 3, found.lanes * 1.5)

    def x(value: float) -> float:
        return LEFT + (math.log10(value) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        share = (math.log10(value) - bottom) / (top - bottom)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    parts = []
    for power in range(low, high + 1):
        at = x(10.0**power)
        parts.append(f'<path class="grid" d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text class="tick" x="{at:.1f}" y="{HEIGHT - 22}">{_power(power)}</text>')
    for power in range(bottom, top + 1):
        at = y(10.0**power)
        parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(
            f'<text class="tick left" x="{LEFT - 5}" y="{at + 4:.1f}">{_power(power)}</text>'
        )
    start = max(10.0**low, 10.0**bottom / found.port)
    parts.append(
        f'<path class="roof" d="M{x(start):.1f} {y(start * found.port):.1f}'
        f'L{x(knee):.1f} {y(found.lanes):.1f}H{WIDTH - RIGHT}"/>'
    )
    if found.built < found.lanes:
        at = y(found.built)
        parts.append(
            f'<path class="built" d="M{x(max(found.built / found.port, 10.0**low)):.1f} '
            f'{at:.1f}H{WIDTH - RIGHT}"/>'
            f'<text class="tick left" x="{WIDTH - RIGHT - 3}" y="{at - 4:.1f}">'
            "lanes of this design</text>"
        )
    parts.append(
        f'<text class="tick left" x="{WIDTH - RIGHT - 3}" y="{y(found.lanes) - 4:.1f}">'
        "all LUTs of the board</text>"
    )
    px, py = x(found.intensity), y(found.reached)
    parts.append(f'<path class="drop" d="M{px:.1f} {py:.1f}V{y(found.roof):.1f}"/>')
    parts.append(f'<circle class="point" cx="{px:.1f}" cy="{py:.1f}" r="5"/>')
    side = "left" if px > WIDTH * 0.55 else "start"
    shift = -9 if side == "left" else 9
    parts.append(f'<text class="{side}" x="{px + shift:.1f}" y="{py + 14:.1f}">this build</text>')
    parts.append(
        f'<text class="tick" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 5}">'
        "multiplications per byte</text>"
    )
    label = escape("Roofline, multiplications per second. " + told(found))
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" class="chart" role="img" aria-label="{label}">\n'
        + "\n".join(parts)
        + "\n</svg>"
    )


def _decades(least: float, most: float) -> tuple[int, int]:
    low, high = math.floor(math.log10(least)), math.ceil(math.log10(most))
    return low, max(high, low + 1)


def _power(power: int) -> str:
    """10**power with a unit, such as `100 M`."""
    units = {0: "", 3: " k", 6: " M", 9: " G", 12: " T"}
    step = min(max(power // 3 * 3, 0), 12)
    return f"{10.0 ** (power - step):g}{units[step]}"


def _rate(value: float) -> str:
    """Multiplications per second with a unit."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= size:
            return f"{value / size:,.3g} {unit}MAC/s"
    return f"{value:,.0f} MAC/s"
