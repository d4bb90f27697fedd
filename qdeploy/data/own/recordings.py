"""Recordings with a label and a group: from wav files, and from CSV files."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy.bounded import read_bounded
from qdeploy.data.own.table import MAX_BYTES, bad_cell, column_error, number_of
from qdeploy.data.wav import read_wav
from qdeploy.errors import DataError
from qdeploy.recipe.series import Series

SUFFIXES = (".wav", ".csv")


@dataclass(frozen=True)
class Recording:
    """A piece of one label.

    Args:
        path: its file.
        values: (channels, N), float32.
        label: name of the class; None where `targets` are to be predicted.
        group: what is in training, or in the test set, as a whole.
        targets: (N, targets), numbers to predict, for each sample.
        rate: in Hz; None for CSV files.
    """

    path: Path
    values: npt.NDArray[np.float32] = field(repr=False)
    label: str | None
    group: str
    targets: npt.NDArray[np.float64] | None = field(default=None, repr=False)
    rate: int | None = None


def recordings_of(path: Path, settings: Series, of_class: str | None) -> Iterator[Recording]:
    """The recordings in a file.

    Args:
        of_class: the class that its folder stands for, None where the file says it.

    Raises:
        DataError: it cannot be read, its name does not say what `names` wants, a column is missing,
            or a cell is no finite number.
    """
    named = _named(path, settings)
    label = named.get("label", of_class)
    # Files of one name in the folders of two classes are two recordings.
    title = path.stem if of_class is None else f"{of_class}/{path.stem}"
    if path.suffix.lower() == ".csv":
        yield from _in_table(path, title, settings, label, named.get("group"))
        return
    if label is None or settings.task == "regression":
        raise DataError(
            f"nothing gives the label of the recording `{path.name}`",
            where=str(path),
            why="a wav file holds none; its folder or its name has to be that of a class",
            do="lay the files out as CLASS/*.wav, or set data.names, such as {label}_*",
        )
    samples, rate = read_wav(path)
    if settings.rate not in (None, rate):
        raise other_rate(path, rate, settings.rate or 0, "data.rate says so")
    yield Recording(path, samples, label, named.get("group", title), rate=rate)


def other_rate(path: Path, rate: int, wanted: int, why: str) -> DataError:
    """The error for a recording of another rate than the others."""
    return DataError(
        f"the recording `{path.name}` has {rate:,} samples per second, not {wanted:,}",
        where=str(path),
        why=why,
        do="bring all recordings to one rate; nothing is resampled here",
    )


def _named(path: Path, settings: Series) -> dict[str, str]:
    if settings.names is None:
        return {}
    pieces = re.split(r"(\{label\}|\{group\}|\*)", settings.names)
    known = {"{label}": "(?P<label>.+?)", "{group}": "(?P<group>.+?)", "*": ".*?"}
    pattern = "".join(known.get(piece, re.escape(piece)) for piece in pieces)
    found = re.fullmatch(pattern, path.stem)
    if found is None:
        raise DataError(
            f"the name of `{path.name}` is not as data.names says",
            where=str(path),
            why=f"`{path.stem}` is not of the form `{settings.names}`",
            do="rename or remove the file, or correct data.names",
        )
    return found.groupdict()


def _in_table(
    path: Path, title: str, settings: Series, label: str | None, group: str | None
) -> Iterator[Recording]:
    """Runs of lines of one label and one group."""
    try:
        text = read_bounded(path, MAX_BYTES)
        lines = csv.reader(text.splitlines(), delimiter=settings.delimiter, strict=True)
        rows = [(lines.line_num, row) for row in lines if row]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"`{path.name}` cannot be read: {error}", where=str(path)) from error
    header = [name.strip() for name in rows[0][1]] if rows else []
    regression = settings.task == "regression"
    columns = settings.label_columns if regression or label is None else ()
    ids = (settings.group,) if settings.group is not None and group is None else ()
    features = settings.features or tuple(
        name for name in header if name not in (*settings.label_columns, settings.group)
    )
    for name in (*columns, *ids, *features):
        if header.count(name) != 1:
            raise column_error(path, name, header, settings.delimiter)
    if not features:
        raise column_error(path, "a feature", header, settings.delimiter)
    of_label, of_group, at = (
        [header.index(name) for name in names] for names in (columns, ids, features)
    )
    values = np.empty((len(features), len(rows) - 1), dtype=np.float32)
    said: list[tuple[Any, str]] = []
    targets = np.zeros((len(rows) - 1, len(columns)))
    for index, (line, row) in enumerate(rows[1:]):
        if len(row) != len(header):
            raise bad_cell(path, line, f"it has {len(row)} cells, the first has {len(header)}")
        for place, column in enumerate(at):
            values[place, index] = number_of(row[column], path, line, header[column])
        if regression:
            targets[index] = [number_of(row[one], path, line, header[one]) for one in of_label]
        own = label if regression or not of_label else row[of_label[0]].strip()
        if own == "":
            raise bad_cell(path, line, "it has no label")
        said.append((own, group or "/".join(row[one].strip() for one in of_group)))
    for number, (first, last) in enumerate(_runs(said)):
        own, its_group = said[first]
        whole = its_group or (title if label is not None else f"{title} {number + 1}")
        yield Recording(
            path,
            values[:, first:last],
            None if regression else own,
            whole,
            targets[first:last] if regression else None,
        )


def _runs(said: list[tuple[Any, str]]) -> Iterator[tuple[int, int]]:
    """First and last line of each run of equal ones."""
    first = 0
    for index in range(1, len(said) + 1):
        if index == len(said) or said[index] != said[first]:
            yield first, index
            first = index
