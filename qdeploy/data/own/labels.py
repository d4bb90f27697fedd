"""Labels as files have them: names of classes, or numbers to predict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy.errors import DataError
from qdeploy.recipe.own_data import MAX_CLASSES, OwnData

# (N,), indices into the names of the classes, or (N, targets) float64, or masks (N, H, W).
Labels = npt.NDArray[np.int64] | npt.NDArray[np.float64] | npt.NDArray[np.uint8]


def labelled(
    written: Sequence[npt.NDArray[Any]], settings: OwnData, where: Path | str
) -> tuple[list[Labels], tuple[str, ...]]:
    """The labels of each part, and the names of the classes or of the targets.

    Args:
        written: of each part, texts (N,), or for regression numbers (N,) or (N, targets).

    Raises:
        DataError: as `numbered` and `measured`.
    """
    if settings.learned_task == "regression":
        return measured(written, settings, where)
    indices, names = numbered(np.concatenate(written), settings, where)
    bounds = np.cumsum([len(part) for part in written])[:-1]
    return list(np.split(indices, bounds)), names


def measured(
    written: Sequence[npt.NDArray[Any]], settings: OwnData, where: Path | str
) -> tuple[list[Labels], tuple[str, ...]]:
    """Numbers to predict, (N, targets) of each part, and the names of the targets.

    Raises:
        DataError: they are no numbers or not finite, or as many as the recipe names.
    """
    found: list[Labels] = []
    for part in written:
        if part.dtype.kind not in "iuf" or part.ndim not in (1, 2) or not part.size:
            raise _no_numbers(f"they are {part.dtype} of shape {part.shape}", where)
        values = part.astype(np.float64).reshape(len(part), -1)
        if not np.isfinite(values.astype(np.float32)).all():
            at = int(np.argwhere(~np.isfinite(values.astype(np.float32)))[0][0])
            raise _no_numbers(f"that of frame {at:,} is no finite number", where)
        found.append(values)
    count = found[0].shape[1]
    names = settings.target_names or (
        ("y",) if count == 1 else tuple(f"y{index}" for index in range(count))
    )
    if len(names) != count or any(part.shape[1] != count for part in found):
        raise DataError(
            f"frames have {count} targets, and the recipe names {len(names)}",
            where=str(where),
            why=f"data.targets: {', '.join(names)}",
            do="name each target, or remove data.targets",
        )
    return found, names


def numbered(
    labels: npt.NDArray[np.str_], settings: OwnData, where: Path | str
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Labels as they are written, (N,), as indices, and the names of the classes.

    The names of the recipe count; labels that are not among them, but integers from 0 on, are
    indices into them. Without names the labels are the names, sorted, numbers by their value.

    Raises:
        DataError: there is one class only, there are too many, or a label is none of the names.
    """
    found = sorted({str(label) for label in labels}, key=_by_value)
    names = settings.class_names
    if names is None:
        if not 2 <= len(found) <= MAX_CLASSES:
            only = f": `{found[0]}`" if len(found) == 1 else ""
            raise DataError(
                f"the data set has {len(found):,} class{'es' if len(found) != 1 else ''}{only}",
                where=str(where),
                why=f"a network tells 2 to {MAX_CLASSES:,} classes apart",
                do="check the labels; numbers to predict are `data.task: regression`",
            )
        names = tuple(found)
    index = {name: at for at, name in enumerate(names)}
    by_place = {str(at): at for at in range(len(names))}
    if index.keys().isdisjoint(found) and all(label.isdigit() for label in found):
        index = by_place
    stray = next((label for label in found if label not in index), None)
    if stray is not None:
        raise DataError(
            f"the label `{stray}` is none of the {len(names)} classes",
            where=str(where),
            why=f"the recipe names {', '.join(names[:5])}{', …' if len(names) > 5 else ''}",
            do="add it to data.class_names, or correct the label",
        )
    return np.array([index[str(label)] for label in labels], dtype=np.int64), names


def _by_value(label: str) -> tuple[float, str]:
    try:
        return int(label), label
    except ValueError:
        return float("inf"), label


def _no_numbers(why: str, where: Path | str) -> DataError:
    return DataError(
        "the targets are no numbers to predict",
        where=str(where),
        why=why,
        do="give one finite number for each frame and target",
    )
