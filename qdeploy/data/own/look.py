"""A look at data of one's own: what a recipe has to say of them, before anything is trained."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from qdeploy.bounded import read_bounded
from qdeploy.data.dataset import Dataset
from qdeploy.data.files import UNREADABLE, open_image
from qdeploy.data.load import load_dataset
from qdeploy.data.own.image_folder import SUFFIXES
from qdeploy.data.own.look_folders import has_masks, other_kind
from qdeploy.data.own.table import MAX_BYTES
from qdeploy.errors import DataError
from qdeploy.npz import npz_names, read_npy, read_npz
from qdeploy.observer import SILENT, Observer
from qdeploy.recipe.data import AnyData

# Sides of the square that images of several sizes are brought to: the largest that the smallest
# image has.
SIDES = (64, 48, 32, 24, 16)
# Names that columns and files of labels usually have.
LABELS = ("label", "labels", "class", "target", "y")
DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class Look:
    """What was seen.

    Args:
        section: of the recipe, `data`, without a batch size.
        seen: sentences about it.
        dataset: all of it.
    """

    section: dict[str, Any]
    seen: tuple[str, ...]
    dataset: Dataset


def look(path: Path, folder: Path | None = None, observer: Observer = SILENT) -> Look:
    """Find out what kind of data is in `path`, and read them as a training would.

    Args:
        path: a folder of images, of images and masks, of recordings or of parquet files; a CSV
            file, an .npz, an .npy with its labels beside it, or a parquet file.
        folder: of the data sets, which a relative path is below; None for the working folder.

    Raises:
        DataError: it is none of these, or no data set, as of the loaders.
    """
    place = (folder or Path()) / path
    if place.is_dir():
        section, seen = other_kind(place) or _images(place)
    elif place.suffix.lower() == ".parquet" and place.is_file():
        section, seen = {"name": "parquet"}, []
    elif place.suffix.lower() == ".csv":
        section, seen = _table(place)
    elif place.suffix.lower() in (".npz", ".npy"):
        section, seen = _arrays(place, path)
    else:
        raise DataError(
            f"`{path}` is no data that a recipe could be written for",
            where=str(path),
            why="it is not there" if not place.exists() else "its name has another ending",
            do="give a folder of images or recordings by class, of `images` and `masks`, or of "
            "parquet files; a .csv file, an .npz, or an .npy with its labels beside it",
        )
    section = {"name": section.pop("name"), "path": str(path), **section}
    settings = TypeAdapter(AnyData).validate_python(section)
    dataset = load_dataset(settings, folder, observer)
    return Look(section, tuple(seen), dataset)


def _images(place: Path) -> tuple[dict[str, Any], list[str]]:
    files = [path for path in sorted(place.rglob("*")) if path.suffix.lower() in SUFFIXES]
    sizes: Counter[tuple[int, int]] = Counter()
    for path in files:
        try:
            with open_image(path) as image:
                sizes[image.size] += 1
        except UNREADABLE as error:
            raise DataError(
                f"the image `{path.name}` cannot be read: {error}",
                where=str(path),
                do="get the file again, or remove it",
            ) from error
    section: dict[str, Any] = {"name": "mask-folder" if has_masks(place) else "image-folder"}
    if len(sizes) > 1:
        least = min(min(size) for size in sizes)
        side = next(side for side in SIDES if side <= max(SIDES[-1], least))
        section |= {"image_size": side, "resize": "crop"}
        return section, [f"images of {len(sizes)} sizes, from {least} pixels on"]
    return section, [f"all images are {w}x{h} (width x height)" for w, h in sizes]


def _table(place: Path) -> tuple[dict[str, Any], list[str]]:
    try:
        text = read_bounded(place, MAX_BYTES)
        first = text.splitlines()[0] if text.strip() else ""
        delimiter = max(DELIMITERS, key=first.count)
        rows = [row for row in csv.reader(text.splitlines(), delimiter=delimiter) if row]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"`{place.name}` cannot be read: {error}", where=str(place)) from error
    header = [name.strip() for name in rows[0]] if rows else []
    if len(header) < 2 or len(rows) < 3:
        raise DataError(
            f"`{place.name}` is no table of features and labels",
            where=str(place),
            why=f"it has {len(header)} columns and {max(0, len(rows) - 1)} lines of values",
            do="begin it with a line of names; one column is the label",
        )
    label = next((name for name in header if name.lower() in LABELS), header[-1])
    at = header.index(label)
    values = [row[at].strip() for row in rows[1:] if len(row) == len(header)]
    section: dict[str, Any] = {"name": "csv", "label": label}
    seen = [f"{len(header) - 1} features; the column `{label}` is taken for the label"]
    if delimiter != ",":
        section["delimiter"] = delimiter
    if _are_measurements(values):
        section["task"] = "regression"
        seen.append("its values are real numbers: they are predicted, not told apart")
    return section, seen


def _are_measurements(values: list[str]) -> bool:
    """Whether all are numbers, and some of them no integers."""
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        return False
    return any(not number.is_integer() for number in numbers)


def _arrays(place: Path, path: Path) -> tuple[dict[str, Any], list[str]]:
    section: dict[str, Any] = {"name": "arrays"}
    try:
        if place.suffix.lower() == ".npz":
            names = npz_names(place)
            labels = read_npz(place, ("y",), MAX_BYTES)[0] if "y" in names else None
            seen = [f"arrays {', '.join(sorted(names))}"]
        else:
            beside = [place.with_name(f"{name}.npy") for name in LABELS]
            beside.append(place.with_name(f"{place.stem}_labels.npy"))
            found = next((one for one in beside if one.is_file() and one != place), None)
            if found is None:
                raise DataError(
                    f"`{path}` has no labels beside it",
                    where=str(path),
                    do=f"name them {beside[0].name}, or {beside[-1].name}",
                )
            section["labels"] = str(path.with_name(found.name))
            labels, seen = read_npy(found, MAX_BYTES), [f"labels in {found.name}"]
    except (OSError, ValueError) as error:
        raise DataError(f"`{place.name}` cannot be read: {error}", where=str(place)) from error
    if labels is not None and labels.dtype.kind == "f":
        section["task"] = "regression"
        seen.append("the labels are real numbers: they are predicted, not told apart")
    return section, seen
