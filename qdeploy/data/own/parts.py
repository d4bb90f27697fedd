"""Frames with labels, as files have them, and the data set that they become."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from qdeploy.data.dataset import Dataset, MemorySplit, in_memory
from qdeploy.data.holdout import held_out
from qdeploy.data.scaling import FloatArray, Scaling
from qdeploy.errors import DataError
from qdeploy.observer import Observer
from qdeploy.recipe.own_data import MAX_CLASSES, OwnData, RealData

TRAIN, TEST, VALIDATION = "train", "test", "val"
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """A part of a data set.

    Args:
        frames: (N, C, H, W), uint8, or float32 for real values.
        labels: (N,), index into the names of the classes.
    """

    frames: npt.NDArray[np.uint8] | FloatArray = field(repr=False)
    labels: Labels = field(repr=False)


def place_of(settings: OwnData, folder: Path | None, given: str | None = None) -> Path:
    """The file or folder that a section names.

    Args:
        folder: of the data sets, None for the working folder.
        given: another name than `data.path`.

    Raises:
        DataError: it does not exist, or is a pipe or a device.
    """
    path = (folder or Path()) / Path(given or settings.path).expanduser()
    if not (path.is_file() or path.is_dir()):
        key = "data.path" if given is None else "data"
        raise DataError(
            f"the data set has no file or folder `{path}`",
            where=f"{key}: {given or settings.path}",
            do="check the path; a relative one is below the folder that --data or QDEPLOY_DATA "
            "names, and without them below the working folder",
        )
    return path


def numbered(
    labels: npt.NDArray[np.str_], settings: OwnData, where: Path | str
) -> tuple[Labels, tuple[str, ...]]:
    """Labels as they are written, (N,), as indices, and the names of the classes.

    The names of the recipe count; labels that are not among them, but integers from 0 on, are
    indices into them. Without names the labels are the names, sorted, numbers by their value.

    Raises:
        DataError: there is one class only, there are too many, or a label is none of the names.
    """
    found = sorted({str(label) for label in labels}, key=_by_value)
    names = settings.class_names
    if names is None:
        if not 2 <= len(found) <= MAX_CLASSES:
            only = f": `{found[0]}`" if len(found) == 1 else ""
            raise DataError(
                f"the data set has {len(found):,} class{'es' if len(found) != 1 else ''}{only}",
                where=str(where),
                why=f"a network tells 2 to {MAX_CLASSES:,} classes apart",
                do="check the labels: numbers of many values are no classes",
            )
        names = tuple(found)
    index = {name: at for at, name in enumerate(names)}
    by_place = {str(at): at for at in range(len(names))}
    if index.keys().isdisjoint(found) and all(label.isdigit() for label in found):
        index = by_place
    stray = next((label for label in found if label not in index), None)
    if stray is not None:
        raise DataError(
            f"the label `{stray}` is none of the {len(names)} classes",
            where=str(where),
            why=f"the recipe names {', '.join(names[:5])}{', …' if len(names) > 5 else ''}",
            do="add it to data.class_names, or correct the label",
        )
    return np.array([index[str(label)] for label in labels], dtype=np.int64), names


def dataset_of(
    parts: dict[str, Part],
    names: tuple[str, ...],
    settings: OwnData,
    where: Path | str,
    observer: Observer,
) -> Dataset:
    """The data set of its parts; a test set that is not among them is drawn from `train`.

    Args:
        parts: by `TRAIN`, `TEST` and `VALIDATION`; the first one is there.
        where: the files, for messages.

    Raises:
        DataError: a part is empty, a class has no frames to train with, shapes differ, or the
            recipe has other ranges or another shape.
    """
    _check(parts, names, settings, where)
    train = parts[TRAIN]
    if TEST not in parts:
        kept = held_out(
            _whole(settings.name, train, names), settings.test, settings.split_seed, "test"
        ).numpy()
        parts = {
            **parts,
            TRAIN: Part(train.frames[~kept], train.labels[~kept]),
            TEST: Part(train.frames[kept], train.labels[kept]),
        }
    scaling = _scaling(parts[TRAIN].frames, settings, where)
    splits = {key: _split(part, scaling) for key, part in parts.items()}
    _note_same(splits, where, observer)
    return Dataset(
        settings.name,
        splits[TRAIN],
        splits[TEST],
        names,
        validation=splits.get(VALIDATION),
        scaling=scaling,
    )


def _check(
    parts: dict[str, Part], names: tuple[str, ...], settings: OwnData, where: Path | str
) -> None:
    shape = parts[TRAIN].frames.shape[1:]
    for key, part in parts.items():
        if not len(part.labels):
            raise DataError(f"the part `{key}` is empty", where=str(where), do="fill or remove it")
        if part.frames.shape[1:] != shape:
            raise DataError(
                f"frames of the part `{key}` are {_by(part.frames.shape[1:])}, those of `{TRAIN}` "
                f"{_by(shape)}",
                where=str(where),
                do="bring them to one size",
            )
    counts = np.bincount(parts[TRAIN].labels, minlength=len(names))
    if not counts.all():
        raise DataError(
            f"the class `{names[int(counts.argmin())]}` has nothing to train with",
            where=str(where),
            do="add frames of it, or remove it from data.class_names",
        )
    if settings.shape is not None and settings.shape != shape:
        raise DataError(
            f"frames are {_by(shape)}, not {_by(settings.shape)}",
            where=str(where),
            why="data.shape says so",
            do="remove data.shape, or bring the frames to that size",
        )


def _scaling(
    frames: npt.NDArray[np.uint8] | FloatArray, settings: OwnData, where: Path | str
) -> Scaling | None:
    if not isinstance(settings, RealData):
        return None
    if settings.low is None or settings.high is None:
        if frames.dtype == np.uint8:
            return None
        return Scaling.of(frames.astype(np.float32, copy=False), settings.clip)
    if len(settings.low) != frames.shape[1]:
        raise DataError(
            f"data.low and data.high have {len(settings.low)} ranges for {frames.shape[1]} rows",
            where=str(where),
            why="each channel, or feature of a vector, has one",
            do="give as many, or remove both to take them from the training set",
        )
    return Scaling(settings.low, settings.high)


def _split(part: Part, scaling: Scaling | None) -> MemorySplit:
    frames = part.frames
    if scaling is not None:
        frames = scaling.codes(frames.astype(np.float32, copy=False))
    assert frames.dtype == np.uint8
    return MemorySplit(
        torch.from_numpy(np.ascontiguousarray(frames)), torch.from_numpy(part.labels)
    )


def _whole(name: str, part: Part, names: tuple[str, ...]) -> Dataset:
    """A data set to draw from: only its labels count."""
    nothing = torch.empty((len(part.labels), 0, 0, 0), dtype=torch.uint8)
    pair = nothing, torch.from_numpy(part.labels)
    return in_memory(name, pair, pair, names)


def _note_same(splits: dict[str, MemorySplit], where: Path | str, observer: Observer) -> None:
    """Frames of the test set that are trained with as well."""
    train, test = (
        [frame.tobytes() for frame in splits[key].images.numpy()] for key in (TRAIN, TEST)
    )
    seen = set(train)
    same = sum(frame in seen for frame in test)
    if same:
        observer.note(
            f"note: {same:,} of the {len(test):,} test frames in {where} are in the training set "
            "too: the accuracy is not that of frames never seen"
        )


def _by_value(label: str) -> tuple[float, str]:
    try:
        return int(label), label
    except ValueError:
        return float("inf"), label


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
