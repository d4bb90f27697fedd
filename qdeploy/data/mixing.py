"""Augmentation of batches whose images are made: holes in them, and mixtures of two.

Both come after any other augmentation, whether images are in memory or decoded from files.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from qdeploy.data.augment import Augmentation, Batch, Draws


@dataclass(frozen=True)
class Cutout(Augmentation):
    """A square hole (DeVries and Taylor 2017): its middle is a uniformly random pixel, so that it
    may extend beyond the image. It is filled with `blank`, like the padding of crops. In masks it
    is void, where there is such a label.

    Args:
        size: height and width in pixels.
        void: label of pixels that do not count, None where there is none.
        blank: byte of its pixels.
    """

    size: int
    void: int | None = None
    blank: int = 0

    def draw(self, count: int, generator: torch.Generator) -> Draws:
        """The middle's row and column, as shares from 0 to 1 of height and width."""
        down, right = torch.rand((2, count), generator=generator)
        return down, right

    def apply(self, images: torch.Tensor, labels: torch.Tensor, draws: Draws) -> Batch:
        down, right = (values.to(images.device) for values in draws)
        rows, columns = self._inside(down, images.shape[2]), self._inside(right, images.shape[3])
        hole = rows[:, :, None] & columns[:, None, :]
        if labels.dim() == 3 and self.void is not None:
            labels = labels.masked_fill(hole, self.void)
        return images.masked_fill(hole[:, None], self.blank), labels

    def _inside(self, middle: torch.Tensor, length: int) -> torch.Tensor:
        """For each image, which of `length` rows or columns the hole covers, bool (N, length)."""
        begin = (middle * length).to(torch.int64) - self.size // 2
        past = torch.arange(length, device=middle.device)[None] - begin[:, None]
        return (past >= 0) & (past < self.size)


@dataclass(frozen=True)
class Mixup(Augmentation):
    """Mixtures of two images and of their labels (Zhang et al. 2018): λ of an image and 1 - λ of
    its neighbour in the batch, whose order is random; each has a λ of its own, from Beta(α, α).

    The larger share is always the image's own, which leaves the distribution of mixtures as it is,
    since each image of a pair is mixed with the other. Bytes are rounded, half to even: what a
    network learns from is on the grid of its input.

    Args:
        alpha: α, above 0; the smaller, the more one of both prevails.
        classes: number of classes.
    """

    alpha: float
    classes: int

    def draw(self, count: int, generator: torch.Generator) -> Draws:
        """λ of each image, float32, 0.5 to 1."""
        # Gamma(α) as Gamma(α + 1) · U**(1 / α), in logarithms: with a small α it underflows.
        above = torch.full((2, count), self.alpha + 1, dtype=torch.float64)
        logs = torch._standard_gamma(above, generator=generator).log()
        logs += torch.rand((2, count), dtype=torch.float64, generator=generator).log() / self.alpha
        share = torch.sigmoid(logs[0] - logs[1])
        return (torch.maximum(share, 1 - share).to(torch.float32),)

    def apply(self, images: torch.Tensor, labels: torch.Tensor, draws: Draws) -> Batch:
        """See the base class; an even number of images with labels (N,). Labels become shares of
        the classes, float32 (N, classes)."""
        share = draws[0].to(images.device)
        other = torch.arange(len(images), device=images.device) ^ 1
        # Not torch's one_hot, which waits for the device to check the labels.
        every = torch.arange(self.classes, device=labels.device)
        shares = (labels[:, None] == every).to(torch.float32)
        wide = share[:, None, None, None]
        mixed = (images * wide).add_(images[other] * (1 - wide)).round_().to(torch.uint8)
        return mixed, shares * share[:, None] + shares[other] * (1 - share[:, None])
