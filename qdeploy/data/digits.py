"""Handwritten digits, 8x8, included in scikit-learn: 1,797 images, 10 classes.

Pixel values 0..16 become bytes min(16·value, 255). The split is stratified, 80 % for training,
with seed 0.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from qdeploy.data.dataset import Dataset, in_memory
from qdeploy.observer import Observer
from qdeploy.recipe.data import Data


def load(folder: Path | None, settings: Data, observer: Observer) -> Dataset:
    """1,437 training and 360 test images of (1, 8, 8); `folder` is not used."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    pixels = np.minimum(images * 16, 255).astype(np.uint8).reshape(-1, 1, 8, 8)
    train_x, test_x, train_y, test_y = train_test_split(
        pixels, labels.astype(np.int64), test_size=0.2, random_state=0, stratify=labels
    )
    return in_memory(
        "digits",
        (torch.from_numpy(np.ascontiguousarray(train_x)), torch.from_numpy(train_y)),
        (torch.from_numpy(np.ascontiguousarray(test_x)), torch.from_numpy(test_y)),
        classes=tuple(str(digit) for digit in range(10)),
    )
