"""Augmentation of whole batches of bytes.

An augmentation first draws its random numbers, then applies them. Numbers are drawn for the batch
of all processes together, in one order, and each process applies its own part, so that the images
of a step do not depend on the number of processes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F

Draws = tuple[torch.Tensor, ...]
Batch = tuple[torch.Tensor, torch.Tensor]
GREY = 128  # value around an image, where the mask is void


class Augmentation(ABC):
    """A random transformation of images, and of masks where labels are masks."""

    @abstractmethod
    def draw(self, count: int, generator: torch.Generator) -> Draws:
        """Random numbers for `count` images: tensors of `count` rows."""

    @abstractmethod
    def apply(self, images: torch.Tensor, labels: torch.Tensor, draws: Draws) -> Batch:
        """Transformed copies of `images`, uint8 (N, C, H, W), and of labels, (N,) or (N, H, W)."""


@dataclass(frozen=True)
class Crop(Augmentation):
    """Crop and flip (Boo et al. 2020, section 5.2, after Lee et al. 2015); without flips, a shift.

    An image is padded with `blank`, a window of its original size is cut out at a uniformly random
    position and, with `flips`, mirrored left to right with probability 1/2. Labels are unchanged.

    Args:
        vertical, horizontal: of the padding above and below, and left and right, in pixels.
        blank: its byte.
    """

    vertical: int = 4
    horizontal: int = 4
    flips: bool = True
    blank: int = 0

    def draw(self, count: int, generator: torch.Generator) -> Draws:
        """Top and left edge of the window in the padded image, and whether it is mirrored."""
        top = torch.randint(0, 2 * self.vertical + 1, (count,), generator=generator)
        left = torch.randint(0, 2 * self.horizontal + 1, (count,), generator=generator)
        if not self.flips:
            return top, left, torch.zeros(count, dtype=torch.bool)
        return top, left, torch.randint(0, 2, (count,), generator=generator).bool()

    def apply(self, images: torch.Tensor, labels: torch.Tensor, draws: Draws) -> Batch:
        device = images.device
        top, left, flip = (values.to(device) for values in draws)
        count, _, height, width = images.shape
        sides = (self.horizontal, self.horizontal, self.vertical, self.vertical)
        padded = F.pad(images, sides, value=self.blank)
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)
        picked = windows[torch.arange(count, device=device), :, top, left]
        if self.flips:
            picked = torch.where(flip[:, None, None, None], picked.flip(3), picked)
        return picked.contiguous(), labels


@dataclass(frozen=True)
class ScaleCropFlip(Augmentation):
    """Scale, crop and flip of an image together with its mask (Chen et al. 2017, section 4.1, which
    Boo et al. 2020, section 5.1, train with).

    A window of (height, width) is cut out of the image scaled by a factor drawn uniformly from
    [low, high], at a uniformly random position, and mirrored with probability 1/2. Images are
    interpolated bilinearly, masks take the nearest pixel. A scaled image smaller than the window is
    placed at a random position in it, surrounded by grey, which is void in the mask.

    Args:
        height, width: of the window.
        void: label around the image.
        low, high: range of the factor.
    """

    height: int
    width: int
    void: int
    low: float = 0.5
    high: float = 2.0

    def draw(self, count: int, generator: torch.Generator) -> Draws:
        """Scale, vertical and horizontal position of the window from 0 to 1, mirrored or not."""
        uniform = torch.rand((count, 3), generator=generator)
        scale = self.low + (self.high - self.low) * uniform[:, 0]
        flip = torch.randint(0, 2, (count,), generator=generator).bool()
        return scale, uniform[:, 1], uniform[:, 2], flip

    def apply(self, images: torch.Tensor, labels: torch.Tensor, draws: Draws) -> Batch:
        """See the base class; the results have the window's height and width."""
        scale, down, right, flip = (values.to(images.device) for values in draws)
        return window(
            images, labels, (self.height, self.width), scale, (down, right), flip, self.void
        )


def window(
    images: torch.Tensor,
    masks: torch.Tensor,
    size: tuple[int, int],
    scale: torch.Tensor,
    position: tuple[torch.Tensor, torch.Tensor],
    flip: torch.Tensor,
    void: int,
) -> Batch:
    """Windows of scaled images and masks.

    Args:
        images, masks: uint8 (N, C, H, W) and (N, H, W).
        size: height and width of the windows.
        scale: (N,), window pixels per image pixel.
        position: two of (N,), from 0 to 1, vertical and horizontal: of the window within a larger
            scaled image, or of a smaller scaled image within the window.
        flip: (N,), whether the window is mirrored.
        void: label outside the image; the image is grey there.

    Returns:
        uint8 (N, C, *size) and (N, *size).
    """
    rows = _sources(images.shape[2], size[0], scale, position[0])
    columns = _sources(images.shape[3], size[1], scale, position[1])
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    nearest_row, row_inside = _nearest(rows, images.shape[2])
    nearest_column, column_inside = _nearest(columns, images.shape[3])
    inside = row_inside[:, :, None] & column_inside[:, None, :]
    which = torch.arange(len(images), device=images.device)[:, None, None]
    picked = masks[which, nearest_row[:, :, None], nearest_column[:, None, :]]
    # grid_sample expects centres of pixels as (2 · index + 1) / length - 1.
    x = ((2 * columns + 1) / images.shape[3] - 1)[:, None, :].expand(-1, size[0], -1)
    y = ((2 * rows + 1) / images.shape[2] - 1)[:, :, None].expand(-1, -1, size[1])
    sampled = F.grid_sample(
        images.to(torch.float32),
        torch.stack([x, y], dim=-1),
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    pixels = sampled.round_().clamp_(0, 255).to(torch.uint8)
    return (
        pixels.masked_fill_(~inside[:, None], GREY),
        picked.masked_fill_(~inside, void),
    )


def _sources(length: int, wanted: int, scale: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    """For each of `wanted` pixels of the window, its coordinate in the image, (N, wanted); the
    centre of pixel i is i."""
    begin = (length * scale - wanted) * position
    at = torch.arange(wanted, device=scale.device)[None] + begin[:, None] + 0.5
    return at / scale[:, None] - 0.5


def _nearest(at: torch.Tensor, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Index of the nearest pixel, clamped, and whether the coordinate is inside the image."""
    index = torch.floor(at + 0.5).to(torch.int64)
    return index.clamp(0, length - 1), (index >= 0) & (index < length)
