"""Windows over recordings as a data set.

Windows of a recording overlap or follow each other, and are much alike. So a group (a session, a
person, a recording) is in training, validation or test as a whole, also where the parts are drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy.data.dataset import Dataset
from qdeploy.data.mel import levels
from qdeploy.data.own.labels import labelled
from qdeploy.data.own.parts import TEST, TRAIN, VALIDATION, Part, dataset_of, place_of
from qdeploy.data.own.recordings import SUFFIXES, Recording, other_rate, recordings_of
from qdeploy.errors import DataError
from qdeploy.observer import Observer
from qdeploy.recipe.series import Series

MAX_BYTES = 1 << 32
# Groups of a part that say little of the others.
FEW_GROUPS = 2
_LAYOUT = (
    "lay the files out as CLASS/*.wav or CLASS/*.csv, also below train, val and test; or set "
    "data.names; or give CSV files with a column of labels"
)
Parts = dict[str, list[Recording]]


def load(folder: Path | None, settings: Series, observer: Observer) -> Dataset:
    """The windows of the recordings at `data.path`, in memory.

    Raises:
        DataError: there are none, a file cannot be read or lacks something, recordings differ in
            channels or rate, there are too few groups to divide, or it is too much.
    """
    path = place_of(settings, folder)
    if settings.task == "regression":
        settings = settings.model_copy(update={"targets": settings.label_columns})
    parts: Parts = {
        key: _recordings(files, settings, observer) for key, files in _files(path).items()
    }
    every = [one for part in parts.values() for one in part]
    rate = _rate(every, settings)
    given = set(parts)
    parts = _divided(parts, settings, path)
    _note_few({key: part for key, part in parts.items() if key not in given}, settings, observer)
    windows = {key: _windows(part, settings) for key, part in parts.items()}
    _note_short(every, settings, observer)
    for key, (frames, _) in windows.items():
        if not len(frames):
            raise DataError(
                f"the part `{key}` has no windows",
                where=str(path),
                why=f"none of its {len(parts[key]):,} recordings has {settings.length:,} samples",
                do="set a smaller data.length",
            )
    labels, names = labelled([written for _, written in windows.values()], settings, path)
    found = {}
    for (key, (frames, _)), own in zip(windows.items(), labels, strict=True):
        found[key] = Part(_inputs(frames, rate, settings, path), own)
    return dataset_of(found, names, settings, path, observer)


def _files(path: Path) -> dict[str, list[tuple[Path, str | None]]]:
    """Files of each part, with the class that their folder is."""
    if path.is_file():
        return {TRAIN: [(path, None)]}
    places = {TRAIN: path}
    if (path / TRAIN).is_dir():
        places = {key: path / key for key in (TRAIN, VALIDATION, TEST) if (path / key).is_dir()}
    return {key: _below(place) for key, place in places.items()}


def _below(place: Path) -> list[tuple[Path, str | None]]:
    def own(folder: Path) -> list[Path]:
        return sorted(one for one in folder.iterdir() if one.suffix.lower() in SUFFIXES)

    found: list[tuple[Path, str | None]] = [(one, None) for one in own(place)]
    for folder in sorted(one for one in place.iterdir() if one.is_dir() and one.name[0] != "."):
        files = own(folder)
        if not files:
            raise DataError(
                f"the class `{folder.name}` has no recordings",
                where=str(folder),
                why=f"it holds no {' or '.join(SUFFIXES)} files",
                do="add some, or remove the folder",
            )
        found += [(one, folder.name) for one in files]
    if not found:
        raise DataError("there are no recordings", where=str(place), do=_LAYOUT)
    return found


def _recordings(
    files: Sequence[tuple[Path, str | None]], settings: Series, observer: Observer
) -> list[Recording]:
    found: list[Recording] = []
    with observer.meter("reading recordings", len(files), "files") as bar:
        for path, of_class in files:
            found += recordings_of(path, settings, of_class)
            bar.advance(1)
    return found


def _rate(recordings: Sequence[Recording], settings: Series) -> int:
    """In Hz, 0 where nothing says it."""
    if not recordings:
        raise DataError("there are no recordings", where=settings.path, do=_LAYOUT)
    first = recordings[0]
    for one in recordings:
        if len(one.values) != len(first.values):
            raise DataError(
                f"`{one.path.name}` has {len(one.values)} channels, `{first.path.name}` "
                f"{len(first.values)}",
                where=str(one.path),
                do="bring the recordings to the same channels",
            )
        if one.rate != first.rate:
            raise other_rate(one.path, one.rate or 0, first.rate or 0, f"`{first.path.name}` has")
    rate = settings.rate or first.rate or 0
    if settings.log_mel is not None and not rate:
        raise DataError(
            "spectra in hertz need the rate of the recordings",
            where="data.rate",
            why="CSV files do not say it",
            do="set data.rate, in samples per second",
        )
    return rate


def _divided(parts: Parts, settings: Series, path: Path) -> Parts:
    """With a test and a validation part, where the files have none."""
    train = parts[TRAIN]
    for key, share, chosen in (
        (TEST, settings.test, settings.test_groups),
        (VALIDATION, settings.validation, settings.validation_groups),
    ):
        if key in parts:
            continue
        if chosen is not None:
            groups = set(chosen)
            missing = groups - {one.group for one in train}
            if missing:
                raise DataError(
                    f"there is no group `{min(missing)}`",
                    where=str(path),
                    why="there are "
                    + ", ".join(f"`{name}`" for name in _groups(train)[:10])
                    + (", …" if len(_groups(train)) > 10 else ""),
                    do=f"correct data.{'test' if key == TEST else 'validation'}_groups",
                )
        elif share:
            groups = _drawn(train, share, settings.split_seed, key, path)
        else:
            continue
        parts = {**parts, key: [one for one in train if one.group in groups]}
        train = [one for one in train if one.group not in groups]
    if not train:
        raise _too_few(path, "all groups are in the test or the validation set")
    return {**parts, TRAIN: train}


def _groups(recordings: Sequence[Recording]) -> list[str]:
    return sorted({one.group for one in recordings})


def _drawn(
    recordings: Sequence[Recording], share: float, seed: int, key: str, path: Path
) -> set[str]:
    """Groups of about a share: of each class, where each group is of one, else of all."""
    labels: dict[str, set[str | None]] = {}
    for one in recordings:
        labels.setdefault(one.group, set()).add(one.label)
    by_class: dict[str | None, list[str]] = {}
    alone = all(len(own) == 1 for own in labels.values())
    for group in sorted(labels):
        by_class.setdefault(next(iter(labels[group])) if alone else None, []).append(group)
    random = np.random.default_rng([seed, key == TEST])
    chosen: set[str] = set()
    for label, groups in by_class.items():
        if len(groups) < 2:
            what = "the recordings have" if label is None else f"the class `{label}` has"
            raise _too_few(
                path,
                f"{what} one group, `{groups[0]}`, which cannot be in training and in the part "
                f"`{key}`",
            )
        count = min(max(1, round(share * len(groups))), len(groups) - 1)
        chosen |= {groups[at] for at in random.permutation(len(groups))[:count]}
    return chosen


def _windows(
    recordings: Sequence[Recording], settings: Series
) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any]]:
    """Windows (N, channels, length), and a label or the mean of the targets of each."""
    frames: list[npt.NDArray[np.float32]] = []
    said: list[Any] = []
    for one in map(lambda one: _padded(one, settings), recordings):
        for first in range(0, one.values.shape[1] - settings.length + 1, settings.step):
            last = first + settings.length
            frames.append(one.values[:, first:last])
            said.append(one.label if one.targets is None else one.targets[first:last].mean(0))
    if sum(frame.nbytes for frame in frames) > MAX_BYTES:
        raise DataError(
            f"{len(frames):,} windows do not fit into memory",
            where="data.hop",
            why=f"more than {MAX_BYTES >> 30} GiB are not held",
            do="set a larger data.hop",
        )
    kind = np.float64 if settings.task == "regression" else np.str_
    empty = np.zeros((0, 1, settings.length), np.float32)
    return np.stack(frames) if frames else empty, np.array(said, dtype=kind)


def _padded(one: Recording, settings: Series) -> Recording:
    """Silence follows a wav file that is shorter than a window."""
    missing = settings.length - one.values.shape[1]
    if missing <= 0 or one.rate is None:
        return one
    return replace(one, values=np.pad(one.values, ((0, 0), (0, missing))))


def _note_few(drawn: Parts, settings: Series, observer: Observer) -> None:
    """Groups differ (a sensor is mounted anew, another voice): one or two of them are a figure that
    another draw changes."""
    chosen = {TEST: settings.test_groups, VALIDATION: settings.validation_groups}
    told = []
    for key, part in drawn.items():
        groups = _groups(part)
        if key in chosen and chosen[key] is None and len(groups) <= FEW_GROUPS:
            names = " and ".join(f"`{one}`" for one in groups)
            told.append(f"the {'test' if key == TEST else 'validation'} set is {names} alone")
    if told:
        observer.note(
            f"note: {'; '.join(told)}: its figures may change much with another draw "
            "(data.split_seed), and test and validation differ by more than chance"
        )


def _note_short(every: Sequence[Recording], settings: Series, observer: Observer) -> None:
    short = [one for one in every if one.values.shape[1] < settings.length]
    padded = sum(one.rate is not None for one in short)
    for count, what in (
        (padded, "wav files are shorter than a window: silence follows them"),
        (len(short) - padded, "runs of lines are shorter than a window and are not used"),
    ):
        if count:
            observer.note(f"note: {count:,} of {len(every):,} {what}")


def _inputs(
    frames: npt.NDArray[np.float32], rate: int, settings: Series, path: Path
) -> npt.NDArray[np.float32]:
    """(N, channels, 1, length), or spectra (N, channels, bands, columns)."""
    if settings.log_mel is None:
        return frames[:, :, None, :]
    highest = settings.log_mel.highest or rate / 2
    if not settings.log_mel.lowest < highest <= rate / 2:
        raise DataError(
            f"mel bands from {settings.log_mel.lowest:g} to {highest:g} Hz are not within the "
            f"spectrum of {rate:,} samples per second",
            where=str(path),
            why=f"it ends at {rate / 2:g} Hz",
            do="set data.log_mel.lowest and highest",
        )
    return np.stack([levels(frame, rate, settings.log_mel) for frame in frames])


def _too_few(path: Path, why: str) -> DataError:
    return DataError(
        "there are too few groups to divide the recordings",
        where=str(path),
        why=why,
        do="give more recordings, name their sessions in data.group or data.names, or lay them out "
        "in train and test",
    )
