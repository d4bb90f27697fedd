"""Crop and flip on whole batches of bytes (Boo et al. 2020, section 5.2).

An image is padded with `padding` zeros on each side, a window of its own size is cut out at a
uniformly random place, and with probability 1/2 it is mirrored left to right. The random numbers
come from one generator, so a seed fixes every batch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def crop_and_flip(
    images: torch.Tensor, generator: torch.Generator, padding: int = 4
) -> torch.Tensor:
    """Augmented copy of `images`, (N, C, H, W), any dtype; `padding` in pixels, 0 only flips."""
    count, _, height, width = images.shape
    top = torch.randint(0, 2 * padding + 1, (count,), generator=generator)
    left = torch.randint(0, 2 * padding + 1, (count,), generator=generator)
    flip = torch.randint(0, 2, (count,), generator=generator).bool()
    padded = F.pad(images, (padding, padding, padding, padding))
    columns = torch.arange(width).expand(count, width)
    columns = torch.where(flip[:, None], columns.flip(1), columns) + left[:, None]
    rows = torch.arange(height).expand(count, height) + top[:, None]
    picked = padded[
        torch.arange(count)[:, None, None],
        :,
        rows[:, :, None],
        columns[:, None, :],
    ]
    return picked.permute(0, 3, 1, 2).contiguous()
