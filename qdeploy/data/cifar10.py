"""CIFAR-10: 50,000 + 10,000 colour images of 32x32, the published Python batches.

A batch is a pickle of a dictionary with `data`, uint8 (10000, 3072), channel by channel, and
`labels`, 10,000 integers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from qdeploy.bounded import read_some
from qdeploy.data.array_pickle import read_pickle
from qdeploy.data.dataset import Dataset, in_memory
from qdeploy.data.files import needed_folder, note_checksums, unreadable
from qdeploy.errors import DataError
from qdeploy.observer import Observer
from qdeploy.recipe.data import Data

HOME = "https://www.cs.toronto.edu/~kriz/cifar.html"
FOLDER = "cifar-10-batches-py"
CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
PER_BATCH = 10000
MAX_BATCH_BYTES = 1 << 26  # a batch has 31 MB
# File and MD5 as published inside cifar-10-python.tar.gz.
FILES = (
    ("data_batch_1", "c99cafc152244af753f735de768cd75f"),
    ("data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"),
    ("data_batch_3", "54ebc095f3ab1f0389bbae665268c751"),
    ("data_batch_4", "634d18415352ddfa80567beed471001a"),
    ("data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"),
    ("test_batch", "40351d587109b95175f43aff81a1287e"),
)
ARCHIVE_MD5 = "c58f30108f718f92721af3b95e74349a"
LAYOUT = "\n".join(
    [
        f"get cifar-10-python.tar.gz (MD5 {ARCHIVE_MD5}) from {HOME} and unpack it to:",
        *(f"    {FOLDER}/{name}   (MD5 {md5})" for name, md5 in FILES),
    ]
)


def load(folder: Path | None, settings: Data, observer: Observer) -> Dataset:
    """Read the six batches below `folder`/cifar-10-batches-py.

    Raises:
        DataError: when batches are missing or damaged.
    """
    raw = needed_folder("cifar10", folder, LAYOUT) / FOLDER
    missing = [name for name, _ in FILES if not (raw / name).is_file()]
    if missing:
        raise DataError(
            f"CIFAR-10 is incomplete: {', '.join(missing)} not found", where=str(raw), do=LAYOUT
        )
    batches = [_batch(raw / name) for name, _ in FILES]
    note_checksums("CIFAR-10", [(raw / name, md5) for name, md5 in FILES], observer)
    images, labels = [images for images, _ in batches], [labels for _, labels in batches]
    return in_memory(
        "cifar10",
        (torch.cat(images[:-1]), torch.cat(labels[:-1])),
        (images[-1], labels[-1]),
        classes=CLASSES,
    )


def _batch(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    try:
        content = read_pickle(read_some(path, MAX_BATCH_BYTES))
        for key in ("data", "labels"):
            if key not in content:
                raise ValueError(f"it has no `{key}`")
        return _images(content["data"]), _labels(content["labels"])
    except (OSError, ValueError) as error:
        raise unreadable("CIFAR-10", path, error, LAYOUT) from error


def _images(data: Any) -> torch.Tensor:
    if not isinstance(data, np.ndarray):
        raise ValueError(f"its data is a {type(data).__name__}, not an array")
    if data.shape != (PER_BATCH, 3072) or data.dtype != np.uint8:
        raise ValueError(f"its data is {data.dtype} {data.shape}, not uint8 (10000, 3072)")
    return torch.from_numpy(data.reshape(PER_BATCH, 3, 32, 32))


def _labels(given: Any) -> torch.Tensor:
    labels = np.asarray(given)
    if labels.shape != (PER_BATCH,):
        raise ValueError(f"its labels are not {PER_BATCH} numbers")
    if labels.dtype.kind not in "iu":
        raise ValueError("its labels are not all integers of at most 64 bits")
    wrong = np.flatnonzero((labels < 0) | (labels > 9))
    if len(wrong):
        first = int(wrong[0])
        raise ValueError(f"image {first} has the label {labels[first]}, which is not 0 to 9")
    return torch.from_numpy(labels.astype(np.int64))
