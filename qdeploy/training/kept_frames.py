"""Frames that a run keeps of a data set that was an object in Python: no file has it.

The test set, up to `MOST` frames, and as many training frames as a build is verified with.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from qdeploy.artifacts import atomic_path
from qdeploy.data.dataset import Dataset, MemorySplit
from qdeploy.data.scaling import Scaling
from qdeploy.data.targets import TargetScaling
from qdeploy.errors import DataError
from qdeploy.npz import read_npz
from qdeploy.recipe.own_data import TorchData

FILE = "frames.npz"
MOST = 10_000
_FEW = 1_000


def keep_frames(folder: Path, dataset: Dataset) -> None:
    """Write the file into a run folder, if it is not there."""
    if (folder / FILE).exists():
        return
    arrays: dict[str, Any] = {}
    for name, split, most in (("test", dataset.test, MOST), ("train", dataset.train, _FEW)):
        images, labels = split.read(range(min(most, len(split))))
        arrays |= {name: images.cpu().numpy(), f"{name}_labels": labels.cpu().numpy()}
    with atomic_path(folder / FILE) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def kept_dataset(folder: Path, data: TorchData) -> Dataset:
    """The data set that a run kept frames of.

    Raises:
        DataError: the file is missing or damaged.
    """
    path = folder / FILE
    try:
        arrays = read_npz(path, ("test", "test_labels", "train", "train_labels"))
        for images, labels in (arrays[:2], arrays[2:]):
            if images.dtype != np.uint8 or images.ndim != 4 or len(images) != len(labels):
                raise ValueError("its frames are no images in bytes with labels")
            if labels.dtype not in (np.int64, np.float32):
                raise ValueError("its labels are neither classes nor numbers to predict")
    except (OSError, ValueError) as error:
        raise DataError(
            f"the run in `{folder}` has no readable frames of its data set",
            where=str(path),
            why=str(error),
            do="train again",
        ) from error
    test, train = (
        MemorySplit(torch.from_numpy(images), torch.from_numpy(labels))
        for images, labels in (arrays[:2], arrays[2:])
    )
    targets = None
    if data.target_mean is not None and data.target_scale is not None:
        targets = TargetScaling(data.target_mean, data.target_scale)
    names = (data.class_names if targets is None else data.targets) or ()
    scaling = Scaling.of_section(data)
    return Dataset(
        "torch", train, test, tuple(names), data.learned_task, scaling=scaling, targets=targets
    )
