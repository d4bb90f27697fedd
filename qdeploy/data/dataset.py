"""A data set, its two splits, and the step from raw bytes to what a network reads."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch

from qdeploy.errors import DataError, InternalError
from qdeploy.recipe.data import Shape, Task


class Split(ABC):
    """The training or the test images of a data set, with their labels.

    Labels are one int64 for each image, (N,), or for segmentation one uint8 for each pixel,
    (N, H, W); `Dataset.void` marks pixels that belong to no class.
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
        """Images as the network is tested with, uint8 (N, C, H, W), not augmented, and labels.

        Raises:
            DataError: when a file cannot be read.
        """


@dataclass(frozen=True)
class MemorySplit(Split):
    """A split that lies in memory, that of the machine or that of an accelerator.

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
        """See the base class."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @property
    def bytes(self) -> int:
        """Size in memory."""
        return self.images.nbytes + self.labels.nbytes

    def read(self, indices: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """See the base class."""
        chosen = torch.as_tensor(indices, dtype=torch.int64, device=self.images.device)
        return self.images[chosen], self.labels[chosen]

    def to(self, device: torch.device) -> MemorySplit:
        """The same split on `device`."""
        return MemorySplit(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Dataset:
    """Images as raw bytes, with labels.

    Args:
        name: as in a recipe.
        train, test: the splits.
        classes: names, indexed by label.
        task: one label for each image, or one for each pixel.
        void: label of pixels that count neither in the loss nor in a metric, None where every
            label is a class.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    task: Task = "classification"
    void: int | None = None

    @property
    def shape(self) -> Shape:
        """(channels, height, width) of every image."""
        return self.test.shape

    @property
    def train_images(self) -> torch.Tensor:
        """uint8, (N, C, H, W); only of a data set in memory, as the next three."""
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
    """A data set of two pairs (images, labels), laid out as in `MemorySplit`; labels of three axes
    make it a segmentation."""
    task: Task = "segmentation" if test[1].dim() == 3 else "classification"
    return Dataset(name, MemorySplit(*train), MemorySplit(*test), classes, task, void)


def place(
    dataset: Dataset, device: torch.device, wish: Literal["auto", "yes", "no"], free: int
) -> Dataset:
    """The data set with its splits on `device`, where batches are then cut and augmented too.

    Args:
        wish: `data.on_device` of the recipe. `auto` moves a data set in memory to an accelerator
            when it takes at most a quarter of what is free there.
        free: bytes that are free on the device.

    Raises:
        DataError: when `yes` is wished for and cannot be had.
    """
    if wish == "no":
        return dataset
    if not (isinstance(dataset.train, MemorySplit) and isinstance(dataset.test, MemorySplit)):
        if wish == "yes":
            raise DataError(
                f"`{dataset.name}` cannot lie on the device",
                where="data.on_device: yes",
                why="it is read from its files batch by batch and never lies in memory as a whole",
                do="write data.on_device: auto",
            )
        return dataset
    size = dataset.train.bytes + dataset.test.bytes
    if wish == "yes" and size > free:
        raise DataError(
            f"`{dataset.name}` takes {size / 2**20:,.0f} MiB, and {free / 2**20:,.0f} MiB are free "
            f"on {device}",
            where="data.on_device: yes",
            do="write data.on_device: auto",
        )
    if wish == "auto" and (device.type == "cpu" or size > free // 4):
        return dataset
    return replace(dataset, train=dataset.train.to(device), test=dataset.test.to(device))


def free_bytes(device: torch.device) -> int:
    """Memory that is free on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def input_codes(images: torch.Tensor, bits: int) -> torch.Tensor:
    """The upper `bits` (1..8) of raw bytes: uint8 codes 0 .. 2**bits - 1, same shape."""
    return images >> (8 - bits)


def network_input(images: torch.Tensor, bits: int) -> torch.Tensor:
    """What a network takes: float32 codes · 2**-bits, in [0, 1), exact; same shape as `images`."""
    return input_codes(images, bits).to(torch.float32) * 2.0**-bits


def _memory(split: Split) -> MemorySplit:
    if not isinstance(split, MemorySplit):
        raise InternalError("a data set that is read batch by batch was asked for as a whole")
    return split
