"""Frames that push one channel of a convolution or a fully connected layer to its extremes.

Each weight's sign picks the end of the codes' interval; a window at the border has other weights
over the map than one inside, so there is a frame for each window.
"""

from __future__ import annotations

import numpy as np

from qdeploy.ir.integer_graph import Conv, Dense, IntArray, Tensor


def worst_frames(node: Conv | Dense, source: Tensor, channel: int) -> IntArray:
    """Frames (n, *source.shape): for each window the one that makes the sum least, and largest."""
    if isinstance(node, Dense):
        row = node.weights[channel]
        return np.stack([_ends(row, source, sign) for sign in (-1, 1)])
    weights, frames = node.weights[channel], []
    group = channel * node.groups // len(node.weights)
    first = group * weights.shape[0]
    kernel = weights.shape[1:]
    spread = [range(0, k * d, d) for k, d in zip(kernel, node.dilation, strict=True)]
    counts = [
        (size + node.pads[a] + node.pads[a + 2] - node.dilation[a] * (kernel[a] - 1) - 1)
        // node.stride[a]
        + 1
        for a, size in enumerate(source.shape[1:])
    ]
    channels, height, width = source.shape
    for row, column in np.ndindex(*counts):
        top, left = (p * s for p, s in zip((row, column), node.stride, strict=True))
        placed = np.zeros(
            (
                channels,
                node.pads[0] + height + node.pads[2],
                node.pads[1] + width + node.pads[3],
            ),
            dtype=np.int64,
        )
        rows, columns = (np.array(taps) + at for taps, at in zip(spread, (top, left), strict=True))
        placed[np.ix_(range(first, first + len(weights)), rows, columns)] = weights
        over_map = placed[
            :, node.pads[0] : node.pads[0] + height, node.pads[1] : node.pads[1] + width
        ]
        frames += [_ends(over_map, source, sign) for sign in (-1, 1)]
    return np.stack(frames)


def _ends(weights: IntArray, source: Tensor, sign: int) -> IntArray:
    return np.where(sign * weights > 0, source.hi, source.lo)
