"""Parquet files as a data set, as Hugging Face's `datasets` keeps and exports them: images with
labels, or tables of numbers.

    data/train-00000-of-00001.parquet, data/test-00000-of-00001.parquet
    image: {bytes, path}   label: integer, whose names are in the file's metadata

Nothing is downloaded. The files are read by pyarrow, which comes with `datasets`.
"""

from __future__ import annotations

import importlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy.data.dataset import Dataset
from qdeploy.data.files import UNREADABLE, open_image
from qdeploy.data.own.image_folder import GREY_MODES, check_size, pixels_of
from qdeploy.data.own.labels import labelled
from qdeploy.data.own.parts import TEST, TRAIN, VALIDATION, Part, dataset_of, place_of
from qdeploy.errors import DataError
from qdeploy.observer import Observer
from qdeploy.recipe.own_data import Parquet

MAX_BYTES = 1 << 32
SUFFIX = ".parquet"
_NUMBER_BYTES = 4
# Names of images' columns, where the files' metadata do not say which it is.
_IMAGES = ("image", "img", "pixels")
_PARTS = {"train": TRAIN, "test": TEST, "validation": VALIDATION, "valid": VALIDATION}
_PARTS |= {"val": VALIDATION, "dev": VALIDATION}
_LAYOUT = (
    "give one .parquet, or a folder whose files say train, test or validation in their names, or "
    "in those of their folders, such as data/train-00000-of-00001.parquet"
)


def load(folder: Path | None, settings: Parquet, observer: Observer) -> Dataset:
    """The rows of the files at `data.path`, in memory.

    Raises:
        DataError: pyarrow is not installed, there are no such files, one cannot be read, a column
            is missing or of a type that is no feature, a cell is empty, or it is too much, which is
            seen before a file is decompressed.
    """
    path = place_of(settings, folder)
    reader = _pyarrow()
    files = _files(path)
    every = [file for part in files.values() for file in part]
    schema = _schema(reader, every[0])
    settings = _with_names(settings, schema)
    column = _image_column(settings, schema)
    _check_columns(settings, schema, column, every[0])
    _check_declared(reader, every, path)
    tables = {key: [_table(reader, file) for file in part] for key, part in files.items()}
    if sum(table.nbytes for part in tables.values() for table in part) > MAX_BYTES:
        raise _too_much(path)
    labels, names = labelled(
        [
            np.concatenate(
                [_labels(one, settings, file) for one, file in zip(part, files[key], strict=True)]
            )
            for key, part in tables.items()
        ],
        settings,
        path,
    )
    found = {}
    if column is None:
        for (key, part), own in zip(tables.items(), labels, strict=True):
            rows = [
                _numbers(one, settings, file) for one, file in zip(part, files[key], strict=True)
            ]
            found[key] = Part(np.concatenate(rows)[:, :, None, None], own)
    else:
        pictures = _pictures(tables, files, column, settings, observer)
        for (key, frames), own in zip(pictures.items(), labels, strict=True):
            found[key] = Part(frames, own)
    return dataset_of(found, names, settings, path, observer)


def _pyarrow() -> Any:
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise DataError(
            "`pyarrow` is not installed",
            where="data.name: parquet",
            why=f"{error}; parquet files are read with it, and qdeploy does not bring it",
            do="pip install pyarrow, or save the rows as .npz (`arrays`), .csv (`csv`) or images "
            "in folders (`image-folder`)",
        ) from error


def _files(path: Path) -> dict[str, list[Path]]:
    """Files of each part, by their names; files that name none are for training."""
    if path.is_file():
        return {TRAIN: [path]}
    found: dict[str, list[Path]] = {}
    for file in sorted(path.rglob(f"*{SUFFIX}")):
        told = [*file.relative_to(path).parts[:-1], file.stem]
        words = [word for name in reversed(told) for word in re.split(r"[^a-z]+", name.lower())]
        part = next((_PARTS[word] for word in words if word in _PARTS), TRAIN)
        found.setdefault(part, []).append(file)
    if TRAIN not in found:
        why = "no file is for training" if found else f"there are no {SUFFIX} files"
        raise DataError("this is no data set", where=str(path), why=why, do=_LAYOUT)
    return {key: found[key] for key in (TRAIN, TEST, VALIDATION) if key in found}


def _schema(reader: Any, file: Path) -> Any:
    try:
        return reader.read_schema(file)
    except (OSError, ValueError) as error:  # what pyarrow raises are kinds of these
        raise _wrong(file, str(error)) from error


def _check_declared(reader: Any, files: Sequence[Path], path: Path) -> None:
    """Whether what the files say of themselves fits memory, before anything is decompressed."""
    declared = 0
    for file in files:
        try:
            told = reader.read_metadata(file)
        except (OSError, ValueError) as error:
            raise _wrong(file, str(error)) from error
        groups = [told.row_group(at) for at in range(told.num_row_groups)]
        # A column of one value is a few bytes in the file, and a number for each row in memory.
        declared += max(
            sum(group.total_byte_size for group in groups),
            told.num_rows * told.num_columns * _NUMBER_BYTES,
        )
    if declared > MAX_BYTES:
        raise _too_much(path)


def _table(reader: Any, file: Path) -> Any:
    try:
        # Without threads: a training has its own.
        return reader.read_table(file, use_threads=False)
    except (OSError, ValueError) as error:
        raise _wrong(file, str(error)) from error


def _features(schema: Any) -> dict[str, Any]:
    """What Hugging Face's metadata say of each column; nothing in files from elsewhere."""
    text = (schema.metadata or {}).get(b"huggingface")
    try:
        found = json.loads(text)["info"]["features"] if text else {}
    except (ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _with_names(settings: Parquet, schema: Any) -> Parquet:
    """The section with the names of the classes that the file tells."""
    told = _features(schema).get(settings.label)
    names = told.get("names") if isinstance(told, dict) else None
    if settings.class_names is not None or settings.task == "regression" or not names:
        return settings
    return settings.model_copy(update={"class_names": tuple(map(str, names))})


def _image_column(settings: Parquet, schema: Any) -> str | None:
    """The column of the images; None where rows are numbers."""
    if settings.image is not None or settings.features is not None:
        return settings.image
    told = {
        name
        for name, one in _features(schema).items()
        if isinstance(one, dict) and one.get("_type") == "Image"
    }
    there = [name for name in schema.names if name in (told or _IMAGES)]
    return there[0] if there else None


def _check_columns(settings: Parquet, schema: Any, image: str | None, file: Path) -> None:
    wanted = [*settings.label_columns, *([image] if image else settings.features or ())]
    for name in wanted:
        if schema.names.count(name) != 1:
            shown = ", ".join(f"`{one}`" for one in schema.names[:10]) or "none"
            raise DataError(
                f"`{file.name}` has no column `{name}`",
                where=str(file),
                why=f"it has {shown}{', …' if len(schema.names) > 10 else ''}",
                do="set data.label, data.image or data.features",
            )


def _column(table: Any, name: str, file: Path) -> Any:
    if name not in table.column_names:
        raise _wrong(file, f"it has no column `{name}`, which other files have")
    column = table.column(name)
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise _wrong(file, f"row {row:,} has nothing in the column `{name}`")
    return column


def _labels(table: Any, settings: Parquet, file: Path) -> npt.NDArray[Any]:
    columns = [_column(table, name, file).to_pylist() for name in settings.label_columns]
    if settings.task == "regression":
        try:
            return np.array(columns, dtype=np.float64).T
        except (ValueError, TypeError) as error:
            raise _wrong(file, f"targets are no numbers: {error}") from error
    (values,) = columns
    for row, value in enumerate(values):
        if not isinstance(value, str | int):
            raise _wrong(file, f"the label of row {row:,} is a {type(value).__name__}")
    return np.array([str(value) for value in values], dtype=np.str_)


def _numbers(table: Any, settings: Parquet, file: Path) -> npt.NDArray[np.float32]:
    """(N, features)."""
    names = settings.features or tuple(
        name for name in table.column_names if name not in settings.label_columns
    )
    if not names:
        raise _wrong(file, "it has no column but that of the labels")
    rows = []
    for name in names:
        column = _column(table, name, file)
        values = column.to_numpy()
        if values.dtype.kind not in "iufb":
            raise _wrong(file, f"the column `{name}` is of type {column.type}, not of numbers")
        with np.errstate(over="ignore"):
            real = values.astype(np.float32)
        if not np.isfinite(real).all():
            row = int(np.argmin(np.isfinite(real)))
            raise _wrong(file, f"row {row:,} of the column `{name}` is no finite number")
        rows.append(real)
    return np.stack(rows, axis=1)


def _pictures(
    tables: dict[str, list[Any]],
    files: dict[str, list[Path]],
    column: str,
    settings: Parquet,
    observer: Observer,
) -> dict[str, npt.NDArray[np.uint8]]:
    """Images of each part, (N, C, H, W)."""
    count = sum(table.num_rows for part in tables.values() for table in part)
    grey = settings.colours == "grey" or (
        settings.colours == "auto"
        and all(
            _opened(cell, where).mode in GREY_MODES
            for key, part in tables.items()
            for cell, where in _cells(part, files[key], column)
        )
    )
    found = {}
    with observer.meter("reading images", count, "images") as bar:
        for key, part in tables.items():
            frames: list[npt.NDArray[np.uint8]] = []
            for cell, where in _cells(part, files[key], column):
                try:
                    frame = pixels_of(_opened(cell, where), grey, settings)
                except UNREADABLE as error:
                    raise _unreadable(where, str(error)) from error
                check_size(frame, frames, where, count)
                frames.append(frame)
                bar.advance(1)
            if not frames:
                raise _wrong(files[key][0], "it has no rows")
            found[key] = np.stack(frames)
    return found


def _cells(part: Sequence[Any], files: Sequence[Path], column: str) -> Iterator[tuple[Any, Path]]:
    """Cells of the column, each with its file and row, for messages."""
    for table, file in zip(part, files, strict=True):
        for row, cell in enumerate(_column(table, column, file)):
            yield cell.as_py(), file / f"row {row}"


def _opened(cell: Any, where: Path) -> Any:
    """An image, not decoded yet."""
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(data, bytes):
        raise _unreadable(where, "the file holds a path in its place, or no bytes of an image")
    try:
        return open_image(io.BytesIO(data))
    except UNREADABLE as error:
        raise _unreadable(where, str(error)) from error


def _unreadable(where: Path, why: str) -> DataError:
    return DataError(
        f"the image in {where.name} of `{where.parent.name}` cannot be read",
        where=str(where.parent),
        why=why,
        do="write the rows with their images inside: `Dataset.to_parquet` of `datasets` does",
    )


def _too_much(path: Path) -> DataError:
    return DataError(
        f"`{path.name}` is too large",
        where=str(path),
        why=f"its rows have more than {MAX_BYTES >> 30} GiB, which are held in memory",
        do="give fewer rows, or images in folders (`image-folder`)",
    )


def _wrong(path: Path, why: str) -> DataError:
    return DataError(f"`{path.name}` is no data set", where=str(path), why=why, do=_LAYOUT)
