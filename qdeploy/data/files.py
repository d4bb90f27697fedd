"""What loaders of files share: reading images and masks, and saying which files are missing or are
not the expected ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from qdeploy.errors import DataError
from qdeploy.observer import Observer

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
    """The first of the names, and how many more there are."""
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
    """Refuse a set of another size than the published one, or note it where the recipe takes it.

    Args:
        counts: a folder or list, the number of images it has, and that of the published one.
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
        why="accuracies on a part of the images are not those of the data set",
        do="complete it, or take it as it is, for trying things out, with data.partial: true\n"
        + layout,
    )


def note_checksums(title: str, published: Sequence[tuple[Path, str]], observer: Observer) -> None:
    """Say which files differ from the published ones by MD5, once in a process.

    No reason to stop: damage shows in the formats themselves, and a copy packed anew, or one of
    other images in the same layout, is as good to train on. Only accuracies are then not to be
    compared with published ones.
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
    """Say that files are others than those of the project's own results, once in a process.

    Args:
        names: the set's files, relative to `root`, with slashes.
        digest: `tree_digest` of the files that `docs/results.md` comes from.
    """
    if _first_time(title) and tree_digest(root, names) != digest:
        observer.note(
            f"note: the files of {title} in {root} are not those of qdeploy's own results by MD5; "
            "compare no accuracies with docs/results.md"
        )


def tree_digest(root: Path, names: Iterable[str]) -> str:
    """The MD5 of what `md5sum` writes for the files, sorted by name."""
    lines = [
        f"{hashlib.md5((root / name).read_bytes()).hexdigest()}  {name}\n" for name in sorted(names)
    ]
    return hashlib.md5("".join(lines).encode()).hexdigest()


def _first_time(title: str) -> bool:
    first = title not in _noted
    _noted.add(title)
    return first


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
