"""Distortion and noise of what a network says of the plane, told apart by a measure.

Boo et al. 2020 show prediction maps and call what weight quantization does a distortion of the
mapping and what activation quantization does a noise. As numbers: let M be the class of every point
of the grid, S the majority of M in the window of 5x5 points around each, and T, T' the same of the
areas of the labels.

    noise       share of points where M differs from S: from the samples next to it
    distortion  share of points where S differs from T': what stays when those are averaged away

Points outside all areas do not count, nor do those in whose window such a point lies. The areas are
ten points wide, so the window does not close them; at their borders the labels themselves have some
noise (`truth`), which is what a perfect network has.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

WINDOW = 5

Plane = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Errors:
    """Shares of the points that count, in [0, 1]."""

    distortion: float
    noise: float


def smoothed(plane: Plane) -> Plane:
    """The majority in the window around each point; the border is continued outwards."""
    around = np.pad(plane.astype(np.int64), WINDOW // 2, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(around, (WINDOW, WINDOW))
    majority: Plane = windows.sum(axis=(2, 3)) * 2 > WINDOW**2
    return majority


def errors(plane: Plane, labels: npt.NDArray[np.int64]) -> Errors:
    """Errors of a prediction map.

    Args:
        plane: the class of each point, (H, W).
        labels: the label of its area, 0 or 1, or -1 outside all, (H, W).
    """
    outside = np.pad(labels < 0, WINDOW // 2, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(outside, (WINDOW, WINDOW))
    counts = ~windows.any(axis=(2, 3))
    middle = smoothed(plane)
    return Errors(
        distortion=float((middle != smoothed(labels == 1))[counts].mean()),
        noise=float((plane != middle)[counts].mean()),
    )
