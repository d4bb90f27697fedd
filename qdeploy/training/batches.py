"""Order and augmentation of training images, a function of seed, phase and epoch alone.

Nothing is carried from epoch to epoch, so a resumed run sees the same batches as an unbroken one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch

from qdeploy.data.augment import crop_and_flip
from qdeploy.data.dataset import Dataset, network_input
from qdeploy.recipe.models import Recipe


def epoch_generator(seed: int, phase: int, epoch: int) -> torch.Generator:
    """The generator of one epoch; phase and epoch count from 0."""
    digest = hashlib.sha256(f"{seed}/{phase}/{epoch}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Steps in an epoch: an incomplete last batch is left out, unless it is the only one."""
    return max(1, images // batch_size)


def training_batches(
    dataset: Dataset, recipe: Recipe, phase: int, epoch: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Shuffled, augmented batches: float input (N, C, H, W) in channels-last memory, labels."""
    generator = epoch_generator(recipe.seed, phase, epoch)
    count = len(dataset.train_labels)
    order = torch.randperm(count, generator=generator)
    size = recipe.data.batch_size
    for step in range(steps_per_epoch(count, size)):
        chosen = order[step * size : (step + 1) * size]
        images = dataset.train_images[chosen]
        if recipe.data.augment == "crop-flip":
            images = crop_and_flip(images, generator, recipe.data.crop_padding)
        yield prepared(images, recipe), dataset.train_labels[chosen]


def prepared(images: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Raw bytes as network input, in the memory format in which convolutions are fastest."""
    values = network_input(images, recipe.quantization.input_bits)
    return values.contiguous(memory_format=torch.channels_last)
