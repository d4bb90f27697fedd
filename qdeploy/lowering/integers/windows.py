"""Windows of an average: where they lie, and how many elements each is the mean of.

    size of the output   floor, or with ceil_mode ceil, of (size + pads - reach) / stride, plus 1;
                         a last window that would start in the padding at the end is none
    elements of a mean   those of the map, and with count_include_pad those of the padding too, but
                         never those that ceil_mode reaches beyond it

(ONNX, operator AveragePool-22; older sets have fewer attributes.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Pair = tuple[int, int]


@dataclass(frozen=True)
class Windows:
    """Windows over a map of two axes.

    Args:
        pads: (top, left, bottom, right), as far as windows reach.
        counts: for each axis, the elements that the windows along it count.
    """

    kernel: Pair
    stride: Pair
    dilation: Pair
    pads: tuple[int, int, int, int]
    counts: tuple[tuple[int, ...], tuple[int, ...]]

    @property
    def shape(self) -> Pair:
        """How many windows there are."""
        return len(self.counts[0]), len(self.counts[1])


def average_windows(attributes: Mapping[str, Any], sizes: tuple[int, ...]) -> Windows | None:
    """The windows of an AveragePool node over a map; None where they are not two-dimensional with
    padding given in pixels, there is none, or one counts nothing."""
    kernel = [int(n) for n in attributes["kernel_shape"]]
    plain = len(kernel) == len(sizes) == 2
    if not plain or attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        return None
    strides, dilations = (
        [int(n) for n in attributes.get(key, (1, 1))] for key in ("strides", "dilations")
    )
    pads = [int(n) for n in attributes.get("pads", (0, 0, 0, 0))]
    ends: list[int] = []
    counts: list[tuple[int, ...]] = []
    for axis, size in enumerate(sizes):
        before, after = pads[axis], pads[axis + 2]
        reach = dilations[axis] * (kernel[axis] - 1) + 1
        room = size + before + after - reach
        if room < 0:
            return None
        number = room // strides[axis] + 1
        rest = room % strides[axis]
        if attributes.get("ceil_mode", 0) and rest and number * strides[axis] < size + before:
            number += 1
        low, high = (-before, size + after) if attributes.get("count_include_pad", 0) else (0, size)
        starts = [step * strides[axis] - before for step in range(number)]
        taps = range(0, reach, dilations[axis])
        counts.append(tuple(sum(low <= start + tap < high for tap in taps) for start in starts))
        ends.append(max(starts[-1] + reach - size, 0))
    if any(0 in one for one in counts):
        return None
    return Windows(
        (kernel[0], kernel[1]),
        (strides[0], strides[1]),
        (dilations[0], dilations[1]),
        (pads[0], pads[1], ends[0], ends[1]),
        (counts[0], counts[1]),
    )
