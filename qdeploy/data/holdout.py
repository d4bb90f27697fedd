"""A part of the training images that is kept from training, to choose by: the validation split."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from qdeploy.data.augment import Batch
from qdeploy.data.dataset import Dataset, MemorySplit, Split, counts_of
from qdeploy.data.stream import FileSplit
from qdeploy.errors import DataError, InternalError
from qdeploy.recipe.data import Shape


@dataclass(frozen=True)
class PartOfFiles(FileSplit):
    """Some images of a split that is read from its files.

    Args:
        whole: the split.
        indices: int64 (N,), of the images in it; one array, as a list of a million numbers would be
            copied into every process that decodes.
    """

    whole: FileSplit
    indices: npt.NDArray[np.int64] = field(repr=False)

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def shape(self) -> Shape:
        return self.whole.shape

    def item(self, index: int, generator: torch.Generator | None) -> Batch:
        return self.whole.item(int(self.indices[index]), generator)

    def image_labels(self) -> torch.Tensor | None:
        labels = self.whole.image_labels()
        return None if labels is None else labels[torch.from_numpy(self.indices)]

    def label_counts(self, classes: int) -> torch.Tensor:
        labels = self.image_labels()
        return super().label_counts(classes) if labels is None else counts_of(labels, classes)


def with_validation(dataset: Dataset, share: float, seed: int) -> Dataset:
    """Keep a `share` of the training images, in (0, 1), from training, as `held_out` draws them.

    Both splits keep the order of the data set.

    Returns:
        The data set with the two splits; as it is, where `share` is 0 or it has a validation split.

    Raises:
        DataError: when a class, or the data set, has too few images to give some away.
    """
    if share == 0 or dataset.validation is not None:
        return dataset
    kept = held_out(dataset, share, seed)
    return divided(dataset, ~kept, kept)


def held_out(
    dataset: Dataset, share: float, seed: int, part: Literal["validation", "test"] = "validation"
) -> torch.Tensor:
    """Which training images are kept from training, bool (N,); none where `share` is 0.

    Where images have one label each, every class gives the same share of its images, drawn by
    `seed`, at least one; of images with masks the share is drawn from all.

    Raises:
        DataError: as `with_validation`.
    """
    labels = dataset.train.image_labels()
    if labels is None:
        labels = torch.zeros(len(dataset.train), dtype=torch.int64)
        names: tuple[str, ...] = ("",)
    else:
        labels, names = labels.cpu(), dataset.classes
    kept = torch.zeros(len(labels), dtype=torch.bool)
    if share == 0:
        return kept
    # Neither the order of batches nor the calibration images draw from this.
    key = hashlib.sha256(f"{seed}/{part}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key[:7], "big"))
    for label, name in enumerate(names):
        members = (labels == label).nonzero().flatten()
        count = round(share * len(members))
        if len(members) and not 0 < count < len(members):
            raise _too_small(dataset, share, name, (count, len(members)), part)
        kept[members[torch.randperm(len(members), generator=generator)[:count]]] = True
    return kept


def divided(dataset: Dataset, train: torch.Tensor, validation: torch.Tensor) -> Dataset:
    """The data set with these of its training images, bool (N,) each, as the two splits; where
    none is for validation, without that split."""
    return replace(
        dataset,
        train=_part(dataset.train, train),
        validation=_part(dataset.train, validation) if validation.any() else None,
    )


def _part(split: Split, chosen: torch.Tensor) -> Split:
    indices = chosen.nonzero().flatten()
    if isinstance(split, MemorySplit):
        return MemorySplit(*split.read(indices.tolist()))
    if isinstance(split, FileSplit):
        return PartOfFiles(split, indices.numpy())
    raise InternalError(f"a split of the kind {type(split).__name__} cannot be divided")


def _too_small(
    dataset: Dataset, share: float, name: str, counts: tuple[int, int], part: str
) -> DataError:
    held, images = counts
    what = f"the class `{name}`" if name else f"`{dataset.name}`"
    return DataError(
        f"a {part} split of {share:g} is {'all' if held else 'nothing'} of the "
        f"{images:,} training image{'s' if images != 1 else ''} of {what}",
        where=f"data.{part}",
        why=f"each class is in training and in the {part} split",
        do="choose another share"
        + (", or 0 to train on all images and keep the last epoch" if part == "validation" else ""),
    )
