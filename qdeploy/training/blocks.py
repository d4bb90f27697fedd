"""Batches of images in memory, several at once.

With small images a call costs more than what it does. Images are changed one by one, with the
random numbers of their batch, so the bits are the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch

from qdeploy.data.augment import Augmentation
from qdeploy.data.dataset import MemorySplit

BLOCK = 1 << 18  # pixels that are made at once: as network input they stay in a processor's cache


def in_blocks(
    split: MemorySplit,
    chosen: Sequence[torch.Tensor],
    places: list[int],
    change: Augmentation | None,
    generator: torch.Generator,
    first_step: int,
    pixels: int = BLOCK,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Images and labels at `places` of the batches of image numbers `chosen`, from `first_step` on;
    as many batches in a row as a block holds, one at least.

    Args:
        change: draws for whole batches, one after the other, also for steps left out.
        pixels: of a block; with 0 every batch is made by itself.
    """
    for batch in chosen[:first_step]:
        if change is not None:
            change.draw(len(batch), generator)
    steps = max(1, pixels // max(1, math.prod(split.shape) * len(places)))
    for begin in range(first_step, len(chosen), steps):
        batches = chosen[begin : begin + steps]
        mine = torch.cat([one[places] for one in batches]).to(split.images.device)
        images, labels = split.images[mine], split.labels[mine]
        if change is not None:
            draws = [change.draw(len(one), generator) for one in batches]
            columns = zip(*draws, strict=True)
            own = tuple(torch.cat([values[places] for values in one]) for one in columns)
            images, labels = change.apply(images, labels, own)
        yield images, labels
