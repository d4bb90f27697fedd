"""Arrays of numpy as a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy.data.dataset import Dataset
from qdeploy.data.own.frames import as_frames
from qdeploy.data.own.labels import labelled
from qdeploy.data.own.parts import TEST, TRAIN, VALIDATION, Part, dataset_of, place_of
from qdeploy.errors import DataError
from qdeploy.npz import npz_names, read_npy, read_npz
from qdeploy.observer import Observer
from qdeploy.recipe.own_data import Arrays

MAX_BYTES = 1 << 32
_NAMES = {TRAIN: ("x", "y"), TEST: ("x_test", "y_test"), VALIDATION: ("x_val", "y_val")}
_HOW = "give an .npz with `x` and `y`, or an .npy and its labels as data.labels"


def load(folder: Path | None, settings: Arrays, observer: Observer) -> Dataset:
    """The arrays of `data.path`.

    Raises:
        DataError: they are missing, damaged, of a type or shape that is no data set, or not finite.
    """
    path = place_of(settings, folder)
    arrays = _read(path, settings, folder)
    written = [labels for _, labels in arrays.values()]
    if settings.task == "classification":
        try:
            written = [_written(labels) for labels in written]
        except ValueError as error:
            raise _wrong(path, str(error)) from error
    indices, names = labelled(written, settings, path)
    parts = {}
    for (key, (frames, labels)), own in zip(arrays.items(), indices, strict=True):
        if len(frames) != len(labels):
            raise _wrong(path, f"{len(frames):,} frames of `{key}` have {len(labels):,} labels")
        try:
            parts[key] = Part(as_frames(frames, f"`{_NAMES[key][0]}`"), own)
        except ValueError as error:
            raise _wrong(path, str(error)) from error
    kinds = {part.frames.dtype for part in parts.values()}
    if len(kinds) > 1:
        raise _wrong(path, "some parts are bytes, others real numbers")
    return dataset_of(parts, names, settings, path, observer)


def _read(
    path: Path, settings: Arrays, folder: Path | None
) -> dict[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """Frames and labels of each part there is."""
    try:
        if path.suffix == ".npy" and settings.labels is not None:
            place = place_of(settings, folder, settings.labels)
            return {TRAIN: (read_npy(path, MAX_BYTES), read_npy(place, MAX_BYTES))}
        if path.suffix != ".npz":
            raise ValueError(f"`{path.name}` is no .npz, and no .npy with labels beside it")
        there = npz_names(path)
        missing = [name for name in _NAMES[TRAIN] if name not in there]
        if missing:
            held = ", ".join(list(there)[:10]) or "nothing"
            raise ValueError(f"`{path.name}` has no array `{missing[0]}`; it has {held}")
        found = {}
        for key, pair in _NAMES.items():
            if all(name in there for name in pair):
                frames, labels = read_npz(path, pair, MAX_BYTES)
                found[key] = frames, labels
            elif any(name in there for name in pair):
                raise ValueError(f"`{path.name}` has one of `{pair[0]}` and `{pair[1]}` only")
        return found
    except (OSError, ValueError) as error:
        raise _wrong(path, str(error)) from error


def _written(labels: npt.NDArray[Any]) -> npt.NDArray[np.str_]:
    if labels.dtype.kind == "b":
        labels = labels.astype(np.int64)
    if labels.ndim != 1 or labels.dtype.kind not in "iuU":
        raise ValueError(
            f"labels are {labels.dtype} of shape {labels.shape}, not one integer or name for each "
            "frame; numbers to predict are `data.task: regression`"
        )
    return labels.astype(np.str_)


def _wrong(path: Path, why: str) -> DataError:
    return DataError(
        f"the arrays in `{path.name}` are no data set", where=str(path), why=why, do=_HOW
    )
