"""Two interleaved spirals of semicircles in the plane (Boo et al. 2020, section 3.1).

Core samples (eq. 5 and 6): for i = 0 .. 4 and r = 0.1 there are four semicircles of 100 points,

    label 0   x² + y² = (2i+1)² r² where y > 0      (x-r)² + y² = (2i+2)² r² where y <= 0
    label 1   x² + y² = (2i+2)² r² where y > 0      (x-r)² + y² = (2i+1)² r² where y <= 0

2,000 points in all. Training set: these, and nine subsamples of each with Gaussian noise (eq. 7).
The paper writes the noise as N(0, r/3 · I); r/3 is taken as the standard deviation. As a variance
it would spread the points over several semicircles, which the paper's figure 1 (a) does not show.

Test set: the plane is divided among the labels by distance: a point belongs to the semicircle
whose radius k·r, k = 1 .. 10, is nearest to its distance from the centre, (0, 0) above and (r, 0)
below the axis; points beyond the last ring belong to none. The test set is all points on the grid
of the codes that belong to a label.

Grid set: all points with 0 < x < 1 and 0 < y < 1, for plots of what a network has learned; with
0 < x < 1 and -1 < y < 0 the quadrant in the paper's figures.

A network reads x and y as two channels of one pixel in 8-bit codes, value = (code - 128) / 100.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from qdeploy.data.dataset import Dataset, in_memory
from qdeploy.observer import Observer
from qdeploy.recipe.data import Data

RADIUS = 0.1
TURNS = 5
ON_A_SEMICIRCLE = 100
SUBSAMPLES = 9
NOISE = RADIUS / 3
STEPS, OFFSET = 100, 128  # codes per unit of length, and the code of 0
SEED = 0
CLASSES = ("spiral 0", "spiral 1")

Points = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


def core_samples() -> tuple[Points, Labels]:
    """Eq. 5 and 6: points (2000, 2) and labels (2000,)."""
    # The midpoints of 100 equal angles: none is on the axis, where two semicircles meet.
    angles = (np.arange(ON_A_SEMICIRCLE) + 0.5) * np.pi / ON_A_SEMICIRCLE
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points, labels = [], []
    for label in (0, 1):
        for i in range(TURNS):
            above, below = (2 * i + 1 + label) * RADIUS, (2 * i + 2 - label) * RADIUS
            points += [above * circle, below * circle * (1, -1) + (RADIUS, 0)]
            labels += [label] * 2 * ON_A_SEMICIRCLE
    return np.concatenate(points), np.array(labels, np.int64)


def training_points(seed: int = SEED) -> tuple[Points, Labels]:
    """Core samples, then nine noisy subsamples of each: (20000, 2) and (20000,)."""
    core, labels = core_samples()
    noise = np.random.default_rng(seed).normal(0.0, NOISE, (SUBSAMPLES, *core.shape))
    points = np.concatenate([core[None], core + noise]).reshape(-1, 2)
    return points, np.tile(labels, SUBSAMPLES + 1)


def area_labels(points: Points) -> Labels:
    """The label of the area that contains each of (N, 2) points, -1 outside all: (N,)."""
    x, y = points[:, 0], points[:, 1]
    above = y > 0
    distance = np.hypot(np.where(above, x, x - RADIUS), y)
    # A point midway belongs to the outer one, however its coordinates are rounded.
    ring = np.floor(distance / RADIUS + 0.5 + 1e-9).astype(np.int64)
    inside = ring <= 2 * TURNS
    ring = np.maximum(ring, 1)  # the innermost half disc belongs to the semicircle around it
    odd = ring % 2 == 1
    return np.where(inside, np.where(above == odd, 0, 1), -1)


def codes(points: Points) -> torch.Tensor:
    """Points (N, 2) as a network reads them: uint8 (N, 2, 1, 1), saturated."""
    rounded = np.clip(np.rint(points * STEPS) + OFFSET, 0, 255).astype(np.uint8)
    return torch.from_numpy(rounded[:, :, None, None])


def grid(x: tuple[float, float] = (0, 1), y: tuple[float, float] = (0, 1)) -> Points:
    """All representable points with x and y strictly between the bounds: (N, 2), rows from the
    largest y down, each from left to right, as in an image."""
    axis, half = (np.arange(256) - OFFSET) / STEPS, 0.5 / STEPS
    columns = axis[(axis > x[0] + half) & (axis < x[1] - half)]
    rows = axis[(axis > y[0] + half) & (axis < y[1] - half)][::-1]
    return np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)


def load(folder: Path | None, settings: Data, observer: Observer) -> Dataset:
    """20,000 training points and a test set of all grid points with a label, in a fixed random
    order; `folder` is not used."""
    points, labels = training_points()
    everywhere = grid((-2, 2), (-2, 2))
    tested = area_labels(everywhere)
    inside = np.random.default_rng(SEED).permutation(np.flatnonzero(tested >= 0))
    return in_memory(
        "synthetic2d",
        (codes(points), torch.from_numpy(labels)),
        (codes(everywhere[inside]), torch.from_numpy(tested[inside])),
        classes=CLASSES,
    )
