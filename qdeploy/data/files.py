"""What loaders of files share: reading images and masks, and saying which files are missing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from qdeploy.errors import DataError
from qdeploy.progress import say

NAMED = 5  # of many missing files, how many a message names
# What PIL raises for files that are cut short, damaged or no images; a damaged PNG is a
# SyntaxError to it.
UNREADABLE = (
    OSError,
    UnidentifiedImageError,
    SyntaxError,
    ValueError,
    Image.DecompressionBombError,
)
Pixels = npt.NDArray[np.uint8]
_noted: set[str] = set()


def incomplete(title: str, where: Path, missing: Sequence[str], layout: str) -> DataError:
    """The error for missing files of the set `title`, named relative to `where`."""
    named = ", ".join(missing[:NAMED])
    if len(missing) > NAMED:
        named += f" and {len(missing) - NAMED:,} more"
    return DataError(f"{title} is incomplete: {named} not found", where=str(where), do=layout)


def unreadable(title: str, path: Path, reason: object, layout: str | None = None) -> DataError:
    """The error for a damaged file of the set `title`."""
    return DataError(
        f"the file `{path.name}` of {title} is damaged: {reason}",
        where=str(path),
        do=layout or "get the file again",
    )


def note_checksums(title: str, published: Sequence[tuple[Path, str]]) -> None:
    """Say which files differ from the published ones by MD5, once in a process.

    No reason to stop: damage shows in the formats themselves, and a copy packed anew, or one of
    other images in the same layout, is as good to train on. Only accuracies are then not to be
    compared with published ones.
    """
    if title in _noted:
        return
    _noted.add(title)
    other = [p.name for p, md5 in published if hashlib.md5(p.read_bytes()).hexdigest() != md5]
    if other:
        say(
            f"note: {', '.join(other)} of {title} {'is' if len(other) == 1 else 'are'} not the "
            "published file by MD5; do not compare accuracies with published ones"
        )


def read_image(path: Path, title: str) -> Image.Image:
    """A colour image, decoded.

    Raises:
        DataError: when it is damaged, naming it.
    """
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except UNREADABLE as error:
        raise unreadable(title, path, error) from error


def read_mask(path: Path, title: str, size: tuple[int, int], classes: int, void: int) -> Pixels:
    """A mask of class numbers, uint8 (height, width).

    Args:
        size: (width, height) of the image it belongs to.
        classes: labels are 0 .. classes - 1, or `void`.

    Raises:
        DataError: when it is damaged, of another size, no mask of class numbers, or holds a number
            that is no class; with the file, and the number and its place.
    """
    try:
        with Image.open(path) as image:
            mode = image.mode
            mask = np.asarray(image)
    except UNREADABLE as error:
        raise unreadable(title, path, error) from error
    if mode not in ("L", "P"):
        raise DataError(
            f"the mask `{path.name}` of {title} is no image of class numbers, but of mode {mode}",
            where=str(path),
            do="masks are grey or palette PNG files whose pixel values are classes; colours have "
            "to be turned into class numbers first",
        )
    if mask.shape != (size[1], size[0]):
        raise DataError(
            f"the mask `{path.name}` of {title} is {mask.shape[1]}x{mask.shape[0]}, and its image "
            f"{size[0]}x{size[1]}",
            where=str(path),
            do="image and mask have to have the same size; get both files again",
        )
    wrong = (mask >= classes) & (mask != void)
    if wrong.any():
        row, column = (int(axis[0]) for axis in np.nonzero(wrong))
        raise DataError(
            f"the mask `{path.name}` of {title} holds the label {mask[row, column]}, which is no "
            f"class",
            where=f"{path}, row {row}, column {column}",
            why=f"classes are 0 to {classes - 1}, and {void} is void",
            do="get the file again, or map its labels to these classes",
        )
    return mask
