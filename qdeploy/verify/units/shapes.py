"""Maps as units see them: with M pixels per beat a row of W pixels is one of W/M columns.

A map streams row by row, channels innermost. M neighbouring pixels of C channels are the same
elements in the same order as one column of M·C channels, so a unit that takes M pixels per beat is
a unit on the narrower map. Along a row, with P pixels of padding on the left, output pixel x sees
input pixel x·stride - P + kx·dilation. A window gives J output pixels, the fewest for which it
moves by whole columns:

    J·stride = step·M        J = lcm(M, stride) / stride

Whole columns of padding begin ceil(P/M)·M - P pixels before the first window's first pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm

from qdeploy.errors import PassError
from qdeploy.ir.integer_graph import Conv

Pair = tuple[int, int]


@dataclass(frozen=True)
class PaddingShape:
    """A border around a map.

    Args:
        rows, columns: of the map without it; a column is M pixels.
        channels: of a column, M times those of a pixel.
        top, left, bottom, right: rows and columns of the border.
        code: what the border holds.
    """

    rows: int
    columns: int
    channels: int
    top: int
    left: int
    bottom: int
    right: int
    code: int

    @property
    def padded(self) -> Pair:
        """Rows and columns with the border."""
        return self.top + self.rows + self.bottom, self.left + self.columns + self.right


@dataclass(frozen=True)
class WindowShape:
    """Windows on a map, pairs (vertical, horizontal); a column is M pixels.

    Args:
        rows, columns: of the map, padding included.
        channels: of a column.
        kernel, stride, dilation: of a window.
        out: rows and columns of windows.
        by_channel: each channel's positions follow one another, as depthwise units and pools take
            them: of the channels in one beat, position by position, then those of the next beat.
            Otherwise all channels of a position do.
    """

    rows: int
    columns: int
    channels: int
    kernel: Pair
    stride: Pair
    dilation: Pair
    out: Pair
    by_channel: bool

    def positions(self, axis: int) -> list[list[int]]:
        """For each window along an axis the rows (0) or columns (1) of the map it takes."""
        return [
            [window * self.stride[axis] + tap * self.dilation[axis] for tap in range(taps)]
            for taps in (self.kernel[axis],)
            for window in range(self.out[axis])
        ]


@dataclass(frozen=True)
class RowShape:
    """A convolution along a row, in columns of M pixels.

    Args:
        pixels: M.
        outputs: J, output pixels per window.
        left, right: columns of padding.
        span, step: columns that a window has, and that it moves by.
        count: windows in a row.
        first: pixels from the first window's edge to output pixel 0's first input.
    """

    pixels: int
    outputs: int
    left: int
    right: int
    span: int
    step: int
    count: int
    first: int


def row_shape(node: Conv, width: int, out_width: int, pixels: int) -> RowShape:
    """A convolution's row in columns of `pixels` pixels.

    Args:
        width, out_width: pixels of a row of its input, without padding, and of its output.

    Raises:
        PassError: rows are not whole columns, or windows do not fall on columns.
    """
    kernel, stride, dilation, pad = (
        node.weights.shape[3],
        node.stride[1],
        node.dilation[1],
        node.pads[1],
    )
    if pixels == 1:
        return RowShape(1, 1, pad, node.pads[3], (kernel - 1) * dilation + 1, stride, out_width, 0)
    outputs = lcm(pixels, stride) // stride
    if width % pixels or out_width % outputs:
        raise PassError(
            f"`{node.name}`: rows of {width} pixels in, {out_width} out, are no whole columns of "
            f"{pixels}"
        )
    left = -(-pad // pixels)
    first = left * pixels - pad
    last = first + (outputs - 1) * stride + (kernel - 1) * dilation
    span, step, count = last // pixels + 1, outputs * stride // pixels, out_width // outputs
    right = max((count - 1) * step + span - left - width // pixels, 0)
    return RowShape(pixels, outputs, left, right, span, step, count, first)
