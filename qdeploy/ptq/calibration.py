"""Frames that a file's network is calibrated with, from files, as the network takes them.

    .npz, .npy, folder of PNG or .npy    `data/given_frames.py`; labels inside, or beside
    folder with a folder for each class  `data/own/image_folder.py`
    .csv                                 `data/own/table.py`: features and a column of labels

Integers mean what their type says: x = scale · (raw - zero), as with `qdeploy export --input`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from qdeploy.data.given_frames import GivenFrames, checked_labels, read_frames, read_labels
from qdeploy.data.own.labels import numbered
from qdeploy.errors import DataError
from qdeploy.ir.input_codes import RawType
from qdeploy.ir.raw_type import EXAMPLE
from qdeploy.observer import Observer
from qdeploy.ptq.importing.to_torch import FloatNetwork, turned
from qdeploy.recipe.own_data import ImageFolder, Table

LABEL_COLUMN = "label"
# Side of an image; smaller ones have to have it in their files.
SMALLEST_RESIZED = 16


@dataclass(frozen=True)
class Calibration:
    """Frames as a network takes them.

    Args:
        frames: float32 (N, *shape).
        labels: int64 (N,), None where there are none.
        span: smallest and largest value that the input can have.
    """

    frames: torch.Tensor
    labels: torch.Tensor | None
    span: tuple[float, float]


def read_calibration(
    path: Path,
    network: FloatNetwork,
    raw: RawType | None,
    observer: Observer,
    *,
    labels: Path | None = None,
    label_column: str = LABEL_COLUMN,
) -> Calibration:
    """Read frames for a network.

    Args:
        path: file or folder.
        raw: what integers mean; None where they are refused.
        labels: a file with the labels.
        label_column: name of the labels' column in a CSV file.

    Raises:
        DataError: there are none, they are of another shape, not finite, or integers of no meaning;
            or labels are not those of the network.
    """
    given = _given(path, network, label_column, observer)
    known = given.labels if labels is None else read_labels(labels, given)
    values = _shaped(given, network, path)
    if values.dtype.kind == "f":
        real = _float32(values, path)
        span = (min(0.0, float(real.min())), float(real.max()))
    else:
        real, span = _of_integers(values, raw, path)
    if span[1] <= span[0]:
        raise DataError("all calibration frames are 0", where=str(path), do="give real frames")
    span = (span[0], max(span[1], -span[0] * 1e-6))  # all values may be below 0
    frames = torch.from_numpy(np.ascontiguousarray(turned(real, network.turn)))
    return Calibration(frames, _labels(known, frames, network, path), span)


def _given(path: Path, network: FloatNetwork, column: str, observer: Observer) -> GivenFrames:
    if not path.exists():
        raise DataError(
            f"there is no file or folder `{path}`",
            where="--calibrate",
            do="give frames as .npz, .npy, .csv, or a folder of images",
        )
    if path.suffix.lower() == ".csv":
        return _table(path, column)
    if path.is_dir() and any(one.is_dir() for one in path.iterdir()):
        return _class_folders(path, network, observer)
    return read_frames(path)


def _table(path: Path, column: str) -> GivenFrames:
    from qdeploy.data.own.table import read_table

    settings = Table(name="csv", path=str(path), label=column)
    values, written, _ = read_table(path, settings)
    if not len(values):
        raise DataError(f"`{path.name}` has no rows", where=str(path), do="give some frames")
    labels, _ = numbered(written, settings, path)
    return GivenFrames(values, checked_labels(labels, len(values), path))


def _class_folders(path: Path, network: FloatNetwork, observer: Observer) -> GivenFrames:
    """All images of all parts, in the order of their classes."""
    from qdeploy.data.own.image_folder import load

    shape = network.shape
    if len(shape) != 3 or shape[1] != shape[2] or shape[0] not in (1, 3):
        raise DataError(
            f"a network that takes {network.given_shape} takes no square images",
            where=str(path),
            do="give the frames as .npz or .npy",
        )
    settings = ImageFolder(
        name="image-folder",
        path=str(path.resolve()),
        image_size=shape[1] if shape[1] >= SMALLEST_RESIZED else None,
        colours="grey" if shape[0] == 1 else "rgb",
    )
    splits = load(None, settings, observer).splits.values()
    read = [split.read(range(len(split))) for split in splits]
    images, labels = (torch.cat(part).numpy() for part in zip(*read, strict=True))
    planes = np.moveaxis(images, 1, 3) if images.shape[1] == 3 else images[:, 0]
    return GivenFrames(planes, labels.astype(np.int64), pictures=True)


def _shaped(given: GivenFrames, network: FloatNetwork, path: Path) -> npt.NDArray[Any]:
    """The values in the shape of the file's frame."""
    values, shape = given.values, network.given_shape
    if given.pictures and values.ndim == 4 and values.shape[1:] != shape:
        values = np.moveaxis(values, 3, 1)
    own = values.shape[1:]
    same = tuple(size for size in own if size > 1) == tuple(size for size in shape if size > 1)
    flat = given.pictures and values.ndim == 3 and len(shape) == 1 and np.prod(own) == shape[0]
    if own != shape and not same and not flat:
        raise DataError(
            f"calibration frames in `{path.name}` have the shape {given.values.shape[1:]}, the "
            f"network takes {shape}",
            where=str(path),
            do="give frames of the network's shape",
        )
    return values.reshape(len(values), *shape)


def _float32(values: npt.NDArray[Any], path: Path) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore"):
        real = values.astype(np.float32)
    if not np.isfinite(real).all():
        raise DataError("a value is too large for float32", where=str(path), do="scale the frames")
    return real


def _of_integers(
    values: npt.NDArray[Any], raw: RawType | None, path: Path
) -> tuple[npt.NDArray[np.float32], tuple[float, float]]:
    if raw is None:
        raise DataError(
            f"calibration frames in `{path.name}` are integers ({values.dtype}), and nothing says "
            "what an integer means",
            where=str(path),
            do=f"say it with `--input {EXAMPLE}` or the like, or give the real numbers that the "
            "network was trained on",
        )
    smallest, largest = int(values.min()), int(values.max())
    if smallest < raw.lo or largest > raw.hi:
        raise DataError(
            f"calibration frames in `{path.name}` go from {smallest} to {largest}, {raw.name} from "
            f"{raw.lo} to {raw.hi}",
            where=str(path),
            do="give frames of the type that --input says",
        )
    table = raw.values()
    return table[values.astype(np.int64) - raw.lo], (min(0.0, float(table[0])), float(table[-1]))


def _labels(
    labels: npt.NDArray[np.int64] | None,
    frames: torch.Tensor,
    network: FloatNetwork,
    path: Path,
) -> torch.Tensor | None:
    if labels is None:
        return None
    with torch.no_grad():
        outputs = network.module(frames[:1]).shape[1:]
    if len(outputs) != 1 or int(labels.max()) >= outputs[0]:
        raise DataError(
            f"the label {labels.max()}, and the network has outputs of shape {tuple(outputs)}",
            where=str(path),
            do="number the classes from 0 on, or leave the labels out",
        )
    return torch.from_numpy(labels)
