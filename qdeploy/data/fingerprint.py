"""Which data a training read: a digest that tells data sets of the same name apart."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from qdeploy.data.dataset import MemorySplit

if TYPE_CHECKING:
    from qdeploy.data.dataset import Dataset


def fingerprint(dataset: Dataset) -> str:
    """Hex SHA-256 of images and labels of a data set in memory; of a listed one, of its classes and
    the number of its images, since reading them all would take as long as an epoch."""
    digest = hashlib.sha256(repr((dataset.name, dataset.classes)).encode())
    for name, split in dataset.splits.items():
        digest.update(repr((name, len(split), split.shape)).encode())
        if isinstance(split, MemorySplit):
            for tensor in (split.images, split.labels):
                digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
