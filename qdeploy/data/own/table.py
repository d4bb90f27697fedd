"""A table in a CSV file as a data set: features, and one column of labels."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy.bounded import read_bounded
from qdeploy.data.dataset import Dataset
from qdeploy.data.own.labels import labelled
from qdeploy.data.own.parts import TEST, TRAIN, Part, dataset_of, place_of
from qdeploy.errors import DataError
from qdeploy.observer import Observer
from qdeploy.recipe.own_data import Table

MAX_BYTES = 1 << 28


def load(folder: Path | None, settings: Table, observer: Observer) -> Dataset:
    """The table of `data.path`, and that of `data.test_path`.

    Raises:
        DataError: a file cannot be read, a column is missing, or a cell is no finite number, with
            its line.
    """
    path = place_of(settings, folder)
    tables = {TRAIN: read_table(path, settings)}
    if settings.test_path is not None:
        tables[TEST] = read_table(place_of(settings, folder, settings.test_path), settings)
    first, second = (tables.get(key, (None, None, ()))[2] for key in (TRAIN, TEST))
    if second and first != second:
        raise DataError(
            "the tables have other columns, or in another order",
            where=f"{path} and {settings.test_path}",
            do="name the columns in data.features",
        )
    if settings.task == "regression":
        settings = settings.model_copy(update={"targets": settings.label_columns})
    indices, names = labelled([labels for _, labels, _ in tables.values()], settings, path)
    parts = {
        key: Part(values[:, :, None, None], own)
        for (key, (values, _, _)), own in zip(tables.items(), indices, strict=True)
    }
    return dataset_of(parts, names, settings, path, observer)


def read_table(
    path: Path, settings: Table
) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any], tuple[str, ...]]:
    """Values (N, features), labels (N,), or targets (N, targets), and the names of the features.

    Raises:
        DataError: as of `load`.
    """
    try:
        text = read_bounded(path, MAX_BYTES)
        lines = csv.reader(text.splitlines(), delimiter=settings.delimiter, strict=True)
        rows = [(lines.line_num, row) for row in lines if row]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"`{path.name}` cannot be read: {error}", where=str(path)) from error
    header = [name.strip() for name in rows[0][1]] if rows else []
    columns = settings.label_columns
    features = settings.features or tuple(name for name in header if name not in columns)
    for name in (*columns, *features):
        if header.count(name) != 1:
            raise column_error(path, name, header, settings.delimiter)
    if not features:
        raise column_error(path, "a feature", header, settings.delimiter)
    at, of_label = ([header.index(name) for name in names] for names in (features, columns))
    values = np.empty((len(rows) - 1, len(features)), dtype=np.float32)
    labels: list[Any] = []
    for index, (line, row) in enumerate(rows[1:]):
        if len(row) != len(header):
            raise bad_cell(path, line, f"it has {len(row)} cells, the first line has {len(header)}")
        for place, column in enumerate(at):
            values[index, place] = number_of(row[column], path, line, header[column])
        if settings.task == "regression":
            labels.append(
                [number_of(row[column], path, line, header[column]) for column in of_label]
            )
            continue
        labels.append(row[of_label[0]].strip())
        if not labels[-1]:
            raise bad_cell(path, line, "it has no label")
    kind = np.float64 if settings.task == "regression" else np.str_
    return values, np.array(labels, dtype=kind), features


def number_of(text: str, path: Path, line: int, column: str) -> float:
    """A cell as a number.

    Raises:
        DataError: it is none that is finite in float32.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= float(np.finfo(np.float32).max):
        raise bad_cell(path, line, f"`{text.strip()}` in the column `{column}` is no finite number")
    return value


def bad_cell(path: Path, line: int, why: str) -> DataError:
    """The error for a line that cannot be used."""
    return DataError(
        f"line {line} of `{path.name}` cannot be used",
        where=f"{path}, line {line}",
        why=why,
        do="correct or remove the line, or name the columns of numbers in data.features",
    )


def column_error(path: Path, name: str, header: list[str], delimiter: str) -> DataError:
    """The error for a column that is missing, or there more than once."""
    count = header.count(name)
    shown = ", ".join(f"`{one}`" for one in header[:10]) or "none"
    return DataError(
        f"`{path.name}` has {'no column' if count == 0 else f'{count} columns'} `{name}`",
        where=str(path),
        why=f"its first line names {shown}{', …' if len(header) > 10 else ''}; they are separated "
        f"by `{delimiter}`",
        do="set data.label, data.features or data.delimiter",
    )
