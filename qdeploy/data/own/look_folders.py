"""What kind of data a folder holds, where it is not images in a folder per class."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from qdeploy.data.own.image_folder import SUFFIXES
from qdeploy.data.own.mask_folder import IMAGES, MASKS
from qdeploy.data.own.parts import TRAIN
from qdeploy.data.wav import read_wav

# Recordings that are listened to; windows of a second, spectra of about a thirtieth of it.
HEARD = 100
_FRAMES_A_SECOND = 31
_LEAST_COLUMNS = 8
_BANDS = 32
Section = dict[str, Any]


def has_masks(place: Path) -> bool:
    """Whether there are images and masks, below the folder or its `train`."""
    return any(
        all((part / name).is_dir() for name in (IMAGES, MASKS)) for part in (place, place / TRAIN)
    )


def other_kind(place: Path) -> tuple[Section, list[str]] | None:
    """The section of recordings, or of parquet files; None where there are neither, or images.

    Raises:
        DataError: a recording is damaged.
    """
    kinds = {path.suffix.lower() for path in place.rglob("*") if path.is_file()}
    if kinds & set(SUFFIXES):
        return None
    if ".parquet" in kinds:
        return {"name": "parquet"}, ["rows of parquet files"]
    if ".wav" in kinds:
        return _recordings(sorted(place.rglob("*.[wW][aA][vV]")))
    return None


def _recordings(paths: list[Path]) -> tuple[Section, list[str]]:
    """Windows of a second, or of the usual length where that is less; spectra of windows that have
    enough of them."""
    heard = [read_wav(path) for path in paths[:: max(1, len(paths) // HEARD)]]
    rate = heard[0][1]
    length = max(2, min(rate, int(median(samples.shape[1] for samples, _ in heard))))
    frame = 1 << max(4, (rate // _FRAMES_A_SECOND).bit_length() - 1)
    section: Section = {"name": "series", "length": length}
    seen = [f"{len(paths):,} recordings at {rate:,} Hz; windows of {length / rate:.2g} s"]
    if length >= _LEAST_COLUMNS * frame // 2 + frame:
        section["log_mel"] = {"bands": _BANDS, "frame": frame, "hop": frame // 2}
        seen.append(f"their spectra: {_BANDS} mel bands, {frame / rate * 1000:.0f} ms each")
    return section, seen
