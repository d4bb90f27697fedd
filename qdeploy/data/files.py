"""Shared by loaders of files: reading images and masks, and reporting files that are missing or not
the expected ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from qdeploy.errors import DataError
from qdeploy.observer import Observer

NAMED = 5  # a message names this many of many missing files
# What PIL raises for files that are truncated, damaged or not images; for a damaged PNG it raises
# SyntaxError.
UNREADABLE = (
    OSError,
    UnidentifiedImageError,
    SyntaxError,
    ValueError,
    Image.DecompressionBombError,
)
Pixels = npt.NDArray[np.uint8]
FORMATS = ("JPEG", "PNG")
# Pixels of an image: those of any data set have fewer, and 8 bytes of each are held at most.
MAX_PIXELS = 1 << 26
_noted: set[str] = set()


def needed_folder(name: str, folder: Path | None, layout: str) -> Path:
    """`folder`, the folder of the data sets, for a set that needs one.

    Args:
        name: as in a recipe.
        layout: where its files come from and how they are laid out.

    Raises:
        DataError: when no folder was given.
    """
    if folder is None:
        raise DataError(
            f"the data set `{name}` needs a folder",
            why="only `digits` and `synthetic2d` come with qdeploy",
            do=f"give --data FOLDER or set QDEPLOY_DATA\n{layout}",
        )
    return folder


def few(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def incomplete(title: str, where: Path, missing: Sequence[str], layout: str) -> DataError:
    """The error for missing files of the set `title`, named relative to `where`."""
    return DataError(
        f"{title} is incomplete: {few(missing)} not found", where=str(where), do=layout
    )


def unreadable(title: str, path: Path, reason: object, layout: str | None = None) -> DataError:
    """The error for a damaged file of the set `title`."""
    return DataError(
        f"the file `{path.name}` of {title} is damaged: {reason}",
        where=str(path),
        do=layout or "get the file again",
    )


def check_counts(
    title: str,
    counts: Sequence[tuple[Path, int, int]],
    partial: bool,
    layout: str,
    observer: Observer,
) -> None:
    """Reject a data set that is not of the published size, or note it where the recipe accepts it.

    Args:
        counts: a folder or list, its number of images, and the published number.
        partial: `data.partial` of the recipe.

    Raises:
        DataError: when numbers differ and `partial` is not set.
    """
    other = [
        f"`{path.name}` has {found:,} images where {published:,} are published"
        for path, found, published in counts
        if found != published
    ]
    if not other:
        return
    what = f"{title} is not of the published size: {', '.join(other)}"
    where = str(counts[0][0].parent)
    if partial:
        observer.note(f"note: {what}, in {where}")
        return
    raise DataError(
        what,
        where=where,
        why="accuracies on part of the images are not accuracies on the data set",
        do="complete it, or accept it as it is, for experiments, with data.partial: true\n"
        + layout,
    )


def note_checksums(title: str, published: Sequence[tuple[Path, str]], observer: Observer) -> None:
    """Note which files differ from the published ones by MD5, once per process.

    This is not an error: damage shows in the formats themselves, and a recompressed copy, or other
    images in the same layout, are as good to train on. Only the accuracies are then not comparable
    with published ones.
    """
    if not _first_time(title):
        return
    other = [p.name for p, md5 in published if hashlib.md5(p.read_bytes()).hexdigest() != md5]
    if other:
        observer.note(
            f"note: {', '.join(other)} of {title} {'is' if len(other) == 1 else 'are'} not the "
            "published file by MD5; do not compare accuracies with published ones"
        )


def note_tree(
    title: str, root: Path, names: Iterable[str], digest: str, observer: Observer
) -> None:
    """Note that files differ from those of the project's own results, once per process.

    Args:
        names: the set's files, relative to `root`, with slashes.
        digest: `tree_digest` of the files behind the results in `docs/results.md`.
    """
    if _first_time(title) and tree_digest(root, names) != digest:
        observer.note(
            f"note: the files of {title} in {root} are not those of qdeploy's own results by MD5; "
            "do not compare accuracies with docs/results.md"
        )


def tree_digest(root: Path, names: Iterable[str]) -> str:
    """The MD5 of the output of `md5sum` for the files, sorted by name."""
    lines = [
        f"{hashlib.md5((root / name).read_bytes()).hexdigest()}  {name}\n" for name in sorted(names)
    ]
    return hashlib.md5("".join(lines).encode()).hexdigest()


def _first_time(title: str) -> bool:
    first = title not in _noted
    _noted.add(title)
    return first


def open_image(path: Path | IO[bytes]) -> Image.Image:
    """An image that is not decoded yet, of a format that data sets have.

    Args:
        path: its file, or what it is read from.

    Pillow goes by what is in a file, not by its name, and for some formats (EPS) starts programs
    that run what is in it.

    Raises:
        OSError, ValueError: one of another format, or of more pixels than any has; `UNREADABLE`
            has what else Pillow raises.
    """
    image = Image.open(path, formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise ValueError(f"it is {image.width}x{image.height}, more than {MAX_PIXELS:,} pixels")
    return image


def read_image(path: Path, title: str) -> Image.Image:
    """A decoded colour image.

    Raises:
        DataError: when it is damaged, naming it.
    """
    try:
        with open_image(path) as image:
            return image.convert("RGB")
    except UNREADABLE as error:
        raise unreadable(title, path, error) from error


def read_mask(path: Path, title: str, size: tuple[int, int], classes: int, void: int) -> Pixels:
    """A mask of class numbers, uint8 (height, width).

    Args:
        size: (width, height) of the image it belongs to.
        classes: labels are 0 .. classes - 1, or `void`.

    Raises:
        DataError: when it is damaged, of another size, not a mask of class numbers, or has a label
            that is not a class; with the file, the label and its position.
    """
    try:
        with open_image(path) as image:
            mode = image.mode
            mask = np.asarray(image)
    except UNREADABLE as error:
        raise unreadable(title, path, error) from error
    if mode not in ("L", "P"):
        raise DataError(
            f"the mask `{path.name}` of {title} has mode {mode} instead of class numbers",
            where=str(path),
            do="masks are grey or palette PNG files whose pixel values are classes; convert "
            "colours to class numbers first",
        )
    if mask.shape != (size[1], size[0]):
        raise DataError(
            f"the mask `{path.name}` of {title} is {mask.shape[1]}x{mask.shape[0]}, but its image "
            f"is {size[0]}x{size[1]}",
            where=str(path),
            do="image and mask must have the same size; get both files again",
        )
    wrong = (mask >= classes) & (mask != void)
    if wrong.any():
        row, column = (int(axis[0]) for axis in np.nonzero(wrong))
        raise DataError(
            f"the mask `{path.name}` of {title} has the label {mask[row, column]}, which is not a "
            "class",
            where=f"{path}, row {row}, column {column}",
            why=f"classes are 0 to {classes - 1}, and {void} is void",
            do="get the file again, or map its labels to these classes",
        )
    return mask
