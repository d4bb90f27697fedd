"""Frames with labels, as files have them, and the data set that they become."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from qdeploy.data.dataset import Dataset, MemorySplit, in_memory
from qdeploy.data.holdout import held_out
from qdeploy.data.own.labels import Labels
from qdeploy.data.scaling import FloatArray, Scaling
from qdeploy.data.targets import TargetScaling
from qdeploy.errors import DataError
from qdeploy.observer import Observer
from qdeploy.recipe.own_data import OwnData, RealData

TRAIN, TEST, VALIDATION = "train", "test", "val"
_NAMES = {TEST: "test", VALIDATION: "validation"}
# Share of values beyond the ranges that is told.
_WIDER = {
    True: "give the sensors' own ranges as data.low and data.high",
    False: "raise data.limit",
}
_BEYOND = 0.05


@dataclass(frozen=True)
class Part:
    """A part of a data set.

    Args:
        frames: (N, C, H, W), uint8, or float32 for real values.
        labels: (N,), index into the names of the classes, or (N, targets), numbers to predict; or
            (N, H, W), uint8, for masks.
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


def dataset_of(
    parts: dict[str, Part],
    names: tuple[str, ...],
    settings: OwnData,
    where: Path | str,
    observer: Observer,
    void: int | None = None,
) -> Dataset:
    """The data set of its parts; a test set that is not among them is drawn from `train`.

    Args:
        parts: by `TRAIN`, `TEST` and `VALIDATION`; the first one is there.
        where: the files, for messages.
        void: label of pixels that do not count.

    Raises:
        DataError: a part is empty, a class has no frames to train with, shapes differ, or the
            recipe has other ranges or another shape.
    """
    _check(parts, names, settings, where, void)
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
    targets = _targets(parts[TRAIN].labels, names, settings, where)
    splits = {key: _split(part, scaling, targets) for key, part in parts.items()}
    _note_same(splits, where, observer)
    if scaling is not None and isinstance(settings, RealData):
        _note_beyond(parts, scaling, settings.clip, where, observer)
    return Dataset(
        settings.name,
        splits[TRAIN],
        splits[TEST],
        names,
        settings.learned_task,
        validation=splits.get(VALIDATION),
        scaling=scaling,
        targets=targets,
        void=void,
    )


def _check(
    parts: dict[str, Part],
    names: tuple[str, ...],
    settings: OwnData,
    where: Path | str,
    void: int | None,
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
    regression = settings.learned_task == "regression"
    labels = parts[TRAIN].labels.ravel()
    kept = labels if void is None else labels[labels != void]
    counts = () if regression else np.bincount(kept, minlength=len(names))
    if not np.all(counts):
        raise DataError(
            f"the class `{names[int(np.argmin(counts))]}` has nothing to train with",
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
    found = Scaling.of_section(settings)
    if found is None:
        if frames.dtype != np.uint8:
            return Scaling.learned(frames.astype(np.float32, copy=False), settings)
        if settings.signed or settings.standard:
            raise DataError(
                "data.signed and data.scaling are for real values, and these data are bytes",
                where=str(where),
                why="bytes are the network's input as they are",
                do="remove both keys, or keep the values as real numbers (float32)",
            )
        return None
    keys = "data.low and data.high" if settings.low is not None else "data.mean and data.scale"
    if len(found.low) != frames.shape[1]:
        raise DataError(
            f"{keys} have {len(found.low)} ranges for {frames.shape[1]} rows",
            where=str(where),
            why="each channel, or feature of a vector, has one",
            do="give as many, or remove both to take them from the training set",
        )
    return found


def _targets(
    labels: Labels, names: tuple[str, ...], settings: OwnData, where: Path | str
) -> TargetScaling | None:
    if not isinstance(settings, RealData) or settings.task != "regression":
        return None
    if settings.target_mean is None or settings.target_scale is None:
        found = TargetScaling.of(labels.astype(np.float64))
    else:
        found = TargetScaling(settings.target_mean, settings.target_scale)
    if len(found.mean) != len(names):
        raise DataError(
            f"data.target_mean has {len(found.mean)} numbers for {len(names)} targets",
            where=str(where),
            do="give as many, or remove it and data.target_scale",
        )
    if not all(found.scale):
        raise DataError(
            f"the target `{names[found.scale.index(0.0)]}` is the same in all training frames",
            where=str(where),
            why="there is nothing to learn of it",
            do="leave it out of data.targets",
        )
    return found


def _split(part: Part, scaling: Scaling | None, targets: TargetScaling | None) -> MemorySplit:
    frames = part.frames
    if scaling is not None:
        frames = scaling.bytes(frames.astype(np.float32, copy=False))
    assert frames.dtype == np.uint8
    labels: npt.NDArray[np.generic] = part.labels
    if targets is not None:
        labels = targets.normalized(part.labels.astype(np.float64))
    return MemorySplit(torch.from_numpy(np.ascontiguousarray(frames)), torch.from_numpy(labels))


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


def _note_beyond(
    parts: dict[str, Part], scaling: Scaling, clip: float, where: Path | str, observer: Observer
) -> None:
    """Values of validation or test beyond the ranges, which all become the nearest code."""
    low, high = (
        np.array(ends, dtype=np.float32)[:, None, None] for ends in (scaling.low, scaling.high)
    )
    shares = {}
    for key, part in parts.items():
        if key != TRAIN and part.frames.dtype != np.uint8:
            outside = (part.frames < low) | (part.frames > high)
            # Twice `clip` is beyond by the recipe's own wish.
            if outside.mean() > _BEYOND + 2 * clip:
                shares[_NAMES[key]] = float(outside.mean())
    if shares:
        told = " and ".join(f"{share:.1%} of the {name} values" for name, share in shares.items())
        observer.note(
            f"note: {told} in {where} lie beyond the ranges of the training set and become its "
            f"nearest codes: {_WIDER[scaling.mean is None]}, or train with more recordings"
        )


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
