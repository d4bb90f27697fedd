"""A data set in memory, and the step from raw bytes to what a network reads."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class Dataset:
    """Images as raw bytes.

    Args:
        name: as in a recipe.
        train_images, test_images: uint8, (N, C, H, W), contiguous.
        train_labels, test_labels: int64, (N,).
        classes: names, indexed by label.
    """

    name: str
    train_images: torch.Tensor = field(repr=False)
    train_labels: torch.Tensor = field(repr=False)
    test_images: torch.Tensor = field(repr=False)
    test_labels: torch.Tensor = field(repr=False)
    classes: tuple[str, ...]


def input_codes(images: torch.Tensor, bits: int) -> torch.Tensor:
    """The upper `bits` (1..8) of raw bytes: uint8 codes 0 .. 2**bits - 1, same shape."""
    return images >> (8 - bits)


def network_input(images: torch.Tensor, bits: int) -> torch.Tensor:
    """What a network takes: float32 codes · 2**-bits, in [0, 1), exact; same shape as `images`."""
    return input_codes(images, bits).to(torch.float32) * 2.0**-bits
