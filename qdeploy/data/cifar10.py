"""CIFAR-10: 50,000 + 10,000 colour images of 32x32, the published Python batches.

A batch is a pickle of a dictionary with `data`, uint8 (10000, 3072), channel by channel, and
`labels`, 10,000 integers. Unpickling runs code, so only what builds such an array is let through.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qdeploy.data.dataset import Dataset, in_memory
from qdeploy.data.files import note_checksums
from qdeploy.errors import DataError, InternalError
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

_ALLOWED = {
    ("_codecs", "encode"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
}


class _ArraysOnly(pickle.Unpickler):
    """Builds dictionaries, lists, numbers, text and numpy arrays, nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it wants to run `{module}.{name}`, which is not allowed")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def load(folder: Path | None, settings: Data) -> Dataset:
    """Read the six batches below `folder`/cifar-10-batches-py.

    Raises:
        DataError: when batches are missing or damaged.
    """
    if folder is None:
        raise InternalError("CIFAR-10 was asked for without a folder")
    raw = folder / FOLDER
    missing = [name for name, _ in FILES if not (raw / name).is_file()]
    if missing:
        raise DataError(
            f"CIFAR-10 is incomplete: {', '.join(missing)} not found", where=str(raw), do=LAYOUT
        )
    batches = [_batch(raw / name) for name, _ in FILES]
    note_checksums("CIFAR-10", [(raw / name, md5) for name, md5 in FILES])
    images = [torch.from_numpy(images) for images, _ in batches]
    labels = [torch.from_numpy(labels) for _, labels in batches]
    return in_memory(
        "cifar10",
        (torch.cat(images[:-1]), torch.cat(labels[:-1])),
        (images[-1], labels[-1]),
        classes=CLASSES,
    )


def _batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        content = _ArraysOnly(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        named = {(k.decode() if isinstance(k, bytes) else k): v for k, v in content.items()}
        images, labels = named["data"], np.asarray(named["labels"], np.int64)
        if images.shape != (PER_BATCH, 3072) or images.dtype != np.uint8:
            raise ValueError(f"its data is {images.dtype} {images.shape}, not uint8 (10000, 3072)")
        if labels.shape != (PER_BATCH,):
            raise ValueError(f"its labels are not {PER_BATCH} numbers")
        wrong = np.flatnonzero((labels < 0) | (labels > 9))
        if len(wrong):
            first = int(wrong[0])
            raise ValueError(f"image {first} has the label {labels[first]}, which is not 0 to 9")
    except (
        OSError,
        ValueError,
        KeyError,
        EOFError,
        AttributeError,
        TypeError,
        IndexError,
        ImportError,
        pickle.UnpicklingError,
    ) as error:
        raise DataError(
            f"the file `{path.name}` of CIFAR-10 is damaged: {error}", where=str(path), do=LAYOUT
        ) from error
    return np.ascontiguousarray(images.reshape(PER_BATCH, 3, 32, 32)), labels
