"""Frames, labels and names of classes that a person gives with a network from a file.

    frames      .npz with one array, or `images` (and `labels`); .npy; a folder of PNG or of .npy
                files, one frame each, in the order of their names
    labels      .npy of integers, or .csv with a label a line, or `file name,label` for a folder
    classes     a text file with a name a line

Sizes are bounded before anything is unpacked.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from qdeploy.bounded import read_bounded
from qdeploy.data.files import UNREADABLE
from qdeploy.errors import DataError
from qdeploy.npz import npz_names, read_npy, read_npz

MAX_FRAMES = 1 << 20
MAX_BYTES = 1 << 31
MAX_PIXELS = 1 << 26
MAX_TEXT = 1 << 26
_IMAGES, _LABELS = ("images", "frames", "x"), ("labels", "y")
_HOW = "give a .npz or .npy of frames (N, …), or a folder with one PNG or .npy file for each frame"


@dataclass(frozen=True)
class GivenFrames:
    """Frames as they were given.

    Args:
        values: (N, …), integers or real numbers.
        labels: (N,), None where the file has none.
        names: of the files of a folder, empty otherwise.
        pictures: whether values are pictures: (N, H, W) or (N, H, W, channels).
    """

    values: npt.NDArray[Any]
    labels: npt.NDArray[np.int64] | None = None
    names: tuple[str, ...] = ()
    pictures: bool = False


def read_frames(path: Path) -> GivenFrames:
    """The frames of a file or a folder.

    Raises:
        DataError: there are none, they are damaged, too large, or differ in shape or type.
    """
    try:
        if path.is_dir():
            found = _of_folder(path)
        elif path.suffix == ".npz":
            found = _of_archive(path)
        elif path.suffix == ".npy":
            found = GivenFrames(read_npy(path, MAX_BYTES))
        else:
            raise ValueError("it is no .npz or .npy file and no folder")
    except (OSError, ValueError) as error:
        raise _wrong("frames", path, str(error), _HOW) from error
    values = found.values
    if values.ndim < 2 or not 1 <= len(values) <= MAX_FRAMES or not values.size:
        raise _wrong("frames", path, f"an array of shape {values.shape} is no frames", _HOW)
    if values.dtype.kind not in "iuf":
        raise _wrong("frames", path, f"its values are {values.dtype}", _HOW)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise _wrong("frames", path, "it has values that are not finite numbers", _HOW)
    return found


def read_labels(path: Path, frames: GivenFrames) -> npt.NDArray[np.int64]:
    """A label for each frame, (N,).

    Raises:
        DataError: the file is damaged, or has other labels than one for each frame.
    """
    how = "give a .npy of integers, or a .csv with `label` or `file name,label` a line"
    try:
        if path.suffix == ".npy":
            labels = read_npy(path, MAX_TEXT)
        elif path.suffix == ".csv":
            labels = _of_table(path, frames.names)
        else:
            raise ValueError("it is no .npy and no .csv file")
    except (OSError, ValueError, csv.Error) as error:
        raise _wrong("labels", path, str(error), how) from error
    return checked_labels(labels, len(frames.values), path)


def checked_labels(labels: npt.NDArray[Any], count: int, path: Path) -> npt.NDArray[np.int64]:
    """Labels (N,) of `count` frames as int64.

    Raises:
        DataError: they are no integers from 0 on, or as many as frames.
    """
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        problem = f"labels {labels.dtype} of shape {labels.shape} for {count:,} frames"
    elif int(labels.min()) < 0:
        problem = f"the label {labels.min()}"
    else:
        return labels.astype(np.int64)
    raise _wrong("labels", path, problem, "give one class number, from 0 on, for each frame")


def read_class_names(path: Path) -> tuple[str, ...]:
    """The names in a file, one a line.

    Raises:
        DataError: it cannot be read, is empty, or has a name twice.
    """
    how = "give a text file with the name of a class on each line, that of class 0 first"
    try:
        names = tuple(line.strip() for line in read_bounded(path, MAX_TEXT).strip().splitlines())
    except (OSError, ValueError) as error:
        raise _wrong("names of classes", path, str(error), how) from error
    twice = next((name for name in names if names.count(name) > 1), None) if names else None
    if not names or not all(names) or len(names) > MAX_FRAMES or twice is not None:
        why = f"the name `{twice}` is there twice" if twice else "a line has no name"
        raise _wrong("names of classes", path, why, how)
    return names


def _of_archive(path: Path) -> GivenFrames:
    names = npz_names(path)
    images = [name for name in _IMAGES if name in names] or list(names)
    if len(names) > 1 and images == list(names):
        raise ValueError(f"it has {len(names)} arrays, none of them called `images`")
    if not images:
        raise ValueError("it has no array")
    (values,) = read_npz(path, images[:1], MAX_BYTES)
    told = [name for name in _LABELS if name in names]
    labels = read_npz(path, told[:1], MAX_BYTES)[0] if told else None
    if labels is not None:
        labels = checked_labels(labels, len(values), path)
    return GivenFrames(values, labels)


def _of_folder(path: Path) -> GivenFrames:
    files = sorted(one for one in path.iterdir() if one.suffix.lower() in (".png", ".npy"))
    kinds = {one.suffix.lower() for one in files}
    if len(kinds) != 1 or len(files) > MAX_FRAMES:
        raise ValueError(f"it has {len(files):,} PNG and .npy files; one kind of them is needed")
    frames: list[npt.NDArray[Any]] = []
    total = 0
    for one in files:
        frame = _picture(one) if kinds == {".png"} else read_npy(one, MAX_BYTES)
        first = frames[0] if frames else frame
        if (frame.shape, frame.dtype) != (first.shape, first.dtype):
            raise ValueError(
                f"`{one.name}` is {frame.dtype} of shape {frame.shape}, the first frame "
                f"{first.dtype} of {first.shape}"
            )
        total += frame.nbytes
        if total > MAX_BYTES:
            raise ValueError(f"its frames have more than {MAX_BYTES:,} bytes")
        frames.append(frame)
    names = tuple(one.name for one in files)
    return GivenFrames(np.stack(frames), names=names, pictures=kinds == {".png"})


def _picture(path: Path) -> npt.NDArray[np.uint8]:
    """A PNG in grey or colour, uint8 (H, W) or (H, W, 3)."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"it has {image.width} x {image.height} pixels")
            kind = "L" if image.mode in ("1", "L", "LA") else "RGB"
            if image.mode.startswith(("I", "F")):
                raise ValueError("its pixels have more than 8 bits")
            return np.asarray(image.convert(kind), dtype=np.uint8)
    except UNREADABLE as error:
        raise ValueError(f"`{path.name}` is damaged, or no PNG: {error}") from error


def _of_table(path: Path, names: tuple[str, ...]) -> npt.NDArray[np.int64]:
    rows = [row for row in csv.reader(read_bounded(path, MAX_TEXT).splitlines()) if row]
    if rows and not rows[0][-1].strip().lstrip("-").isdigit():
        rows = rows[1:]  # names of the columns
    labels = [int(row[-1]) for row in rows]
    if rows and all(len(row) == 2 for row in rows) and names:
        told = {row[0].strip(): label for row, label in zip(rows, labels, strict=True)}
        missing = next((name for name in names if name not in told), None)
        if missing is not None:
            raise ValueError(f"it has no label for `{missing}`")
        labels = [told[name] for name in names]
    elif any(len(row) > 2 for row in rows):
        raise ValueError("it has more than two columns")
    return np.array(labels, dtype=np.int64)


def _wrong(what: str, path: Path, why: str, do: str) -> DataError:
    return DataError(f"the {what} in `{path.name}` cannot be used", where=str(path), why=why, do=do)
