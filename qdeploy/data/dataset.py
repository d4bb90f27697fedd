"""A data set, its two splits, and the conversion of raw bytes to a network's input."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch

from qdeploy.data.scaling import Scaling
from qdeploy.data.targets import TargetScaling
from qdeploy.errors import DataError, InternalError
from qdeploy.recipe.data import Shape, Task


class Split(ABC):
    """The training or the test images of a data set, with their labels.

    Labels are one int64 per image, (N,), for segmentation one uint8 per pixel, (N, H, W), and for
    regression float32 (N, targets), as networks learn them; `Dataset.void` marks pixels that belong
    to no class.
    """

    @abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @property
    @abstractmethod
    def shape(self) -> Shape:
        """(channels, height, width) of every image."""

    @abstractmethod
    def read(self, indices: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Images for evaluation, without augmentation, uint8 (N, C, H, W), and their labels.

        Raises:
            DataError: when a file cannot be read.
        """

    def image_labels(self) -> torch.Tensor | None:
        """The label of every image, int64 (N,), without reading the images; None where there is
        none to be had that way, as with masks."""
        return None

    def label_counts(self, classes: int) -> torch.Tensor:
        """How many labels, of images or pixels, name each of `classes` classes, int64 (classes,);
        labels that are no class do not count.

        Raises:
            DataError: when a file cannot be read.
        """
        total = torch.zeros(classes, dtype=torch.int64)
        for index in range(len(self)):
            total += counts_of(self.read([index])[1], classes)
        return total


def counts_of(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """How many of `labels`, of any shape, are each of 0 .. classes - 1; int64 (classes,) on the
    CPU."""
    return torch.bincount(labels.flatten().to(torch.int64), minlength=classes)[:classes].cpu()


@dataclass(frozen=True)
class MemorySplit(Split):
    """A split in memory, of the machine or of an accelerator.

    Args:
        images: uint8, (N, C, H, W), contiguous.
        labels: int64 (N,), or uint8 (N, H, W).
    """

    images: torch.Tensor = field(repr=False)
    labels: torch.Tensor = field(repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> Shape:
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @property
    def bytes(self) -> int:
        """Size in memory."""
        return self.images.nbytes + self.labels.nbytes

    def read(self, indices: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = torch.as_tensor(indices, dtype=torch.int64, device=self.images.device)
        return self.images[chosen], self.labels[chosen]

    def image_labels(self) -> torch.Tensor | None:
        return self.labels if self.labels.dim() == 1 else None

    def label_counts(self, classes: int) -> torch.Tensor:
        return counts_of(self.labels, classes)

    def to(self, device: torch.device) -> MemorySplit:
        """The same split on `device`."""
        return MemorySplit(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Dataset:
    """Images as raw bytes, with labels.

    Args:
        name: as in a recipe.
        train, test: the splits.
        validation: images kept from training to choose by, None where there are none.
        scaling: from real values to the bytes, None where the data are bytes.
        targets: from labels to the numbers to predict; regression only.
        classes: names, indexed by label; of the targets for regression.
        task: one label per image, one per pixel, or numbers to predict.
        void: label of pixels that are ignored in the loss and in metrics, None where every label is
            a class.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    task: Task = "classification"
    void: int | None = None
    validation: Split | None = None
    scaling: Scaling | None = None
    targets: TargetScaling | None = None

    @property
    def shape(self) -> Shape:
        """(channels, height, width) of every image."""
        return self.test.shape

    @property
    def splits(self) -> dict[str, Split]:
        """The splits there are, by the name of their field."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in named.items() if split is not None}

    @property
    def train_images(self) -> torch.Tensor:
        """uint8, (N, C, H, W); only for a data set in memory, as the next three."""
        return _memory(self.train).images

    @property
    def train_labels(self) -> torch.Tensor:
        """int64 (N,), or uint8 (N, H, W)."""
        return _memory(self.train).labels

    @property
    def test_images(self) -> torch.Tensor:
        """uint8, (N, C, H, W)."""
        return _memory(self.test).images

    @property
    def test_labels(self) -> torch.Tensor:
        """int64 (N,), or uint8 (N, H, W)."""
        return _memory(self.test).labels


def in_memory(
    name: str,
    train: tuple[torch.Tensor, torch.Tensor],
    test: tuple[torch.Tensor, torch.Tensor],
    classes: tuple[str, ...],
    void: int | None = None,
) -> Dataset:
    """A data set from two pairs (images, labels), laid out as in `MemorySplit`; labels with three
    axes make it one for segmentation."""
    task: Task = "segmentation" if test[1].dim() == 3 else "classification"
    return Dataset(name, MemorySplit(*train), MemorySplit(*test), classes, task, void)


def place(
    dataset: Dataset, device: torch.device, choice: Literal["auto", "yes", "no"], free: int
) -> Dataset:
    """The data set with its splits on `device`, where batches are then formed and augmented too.

    Args:
        choice: `data.on_device` of the recipe. `auto` moves a data set in memory to an accelerator
            if it takes at most a quarter of the free memory there.
        free: free memory of the device in bytes.

    Raises:
        DataError: for `yes` when it is not possible.
    """
    if choice == "no":
        return dataset
    held = {k: split for k, split in dataset.splits.items() if isinstance(split, MemorySplit)}
    if len(held) < len(dataset.splits):
        if choice == "yes":
            raise DataError(
                f"`{dataset.name}` cannot be moved to the device",
                where="data.on_device: yes",
                why="it is read from its files batch by batch and is never in memory as a whole",
                do="set data.on_device: auto",
            )
        return dataset
    size = sum(split.bytes for split in held.values())
    if choice == "yes" and size > free:
        raise DataError(
            f"`{dataset.name}` needs {size / 2**20:,.0f} MiB, but only {free / 2**20:,.0f} MiB are "
            f"free on {device}",
            where="data.on_device: yes",
            do="set data.on_device: auto",
        )
    if choice == "auto" and (device.type == "cpu" or size > free // 4):
        return dataset
    moved: dict[str, Any] = {name: split.to(device) for name, split in held.items()}
    return replace(dataset, **moved)


def free_bytes(device: torch.device) -> int:
    """Free memory of a device, in bytes."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def input_codes(images: torch.Tensor, bits: int) -> torch.Tensor:
    """The most significant `bits` (1..8) of raw bytes: uint8 codes 0 .. 2**bits - 1, same shape."""
    return images if bits == 8 else images >> (8 - bits)


def network_input(images: torch.Tensor, bits: int) -> torch.Tensor:
    """Input of a network: float32 codes · 2**-bits, in [0, 1), exact; same shape as `images`."""
    return input_codes(images, bits).to(torch.float32).mul_(2.0**-bits)


def _memory(split: Split) -> MemorySplit:
    if not isinstance(split, MemorySplit):
        raise InternalError("a data set that is read batch by batch was requested as a whole")
    return split
