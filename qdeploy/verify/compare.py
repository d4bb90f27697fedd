"""Compare the codes of two levels at every boundary, and say where they first part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy.errors import InternalError

Codes = Mapping[str, npt.NDArray[np.integer]]


# Codes on each side of the first that differs, along rows and columns.
REACH = 3


@dataclass(frozen=True)
class Neighbours:
    """What lies around a code that differs.

    Args:
        before: the boundary before, which does not differ; empty where there is none.
        differing, codes: of this boundary, in all frames.
        corner: row and column of the first code in the two tables.
        expected, actual: rows of codes of the same frame and channel; one row of a vector.
    """

    before: str
    differing: int
    codes: int
    corner: tuple[int, int]
    expected: list[list[int]]
    actual: list[list[int]]


@dataclass(frozen=True)
class Mismatch:
    """One code that differs.

    Args:
        boundary: tensor name.
        frame: index of the frame.
        index: position inside the frame: (channel, row, column), or (element,).
        expected, actual: the codes.
        around: what lies around it, for the first of a comparison.
    """

    boundary: str
    frame: int
    index: tuple[int, ...]
    expected: int
    actual: int
    around: Neighbours | None = None

    def sentence(self) -> str:
        """For people: frame, boundary, channel and pixel."""
        place = f"element {self.index[0]}"
        if len(self.index) == 3:
            channel, row, column = self.index
            place = f"channel {channel}, row {row}, column {column}"
        return (
            f"frame {self.frame}, `{self.boundary}`, {place}: "
            f"{self.actual} instead of {self.expected}"
        )


@dataclass(frozen=True)
class Comparison:
    """Totals over all boundaries, and the differing codes in network order (at most `LIMIT`)."""

    frames: int
    boundaries: int
    codes: int
    mismatches: int
    found: tuple[Mismatch, ...]

    LIMIT = 1000

    @property
    def first(self) -> Mismatch | None:
        """The mismatch at the earliest boundary, there in the earliest frame."""
        return self.found[0] if self.found else None


def merged(parts: Sequence[Comparison], names: Sequence[str]) -> Comparison:
    """Several comparisons as one, those of earlier frames first.

    Args:
        names: boundaries of the longest, in network order.
    """
    order = {name: number for number, name in enumerate(names)}
    # Stable: where the network first differs, the earliest frame, which has what lies around it.
    found = sorted((one for part in parts for one in part.found), key=lambda m: order[m.boundary])
    return Comparison(
        max(part.frames for part in parts),
        max(part.boundaries for part in parts),
        sum(part.codes for part in parts),
        sum(part.mismatches for part in parts),
        tuple(found[: Comparison.LIMIT]),
    )


def from_frame(found: Comparison, first: int) -> Comparison:
    """A comparison of frames that begin with the frame `first`."""
    moved = tuple(replace(one, frame=one.frame + first) for one in found.found)
    return replace(found, found=moved)


def compare(names: Sequence[str], expected: Codes, actual: Codes) -> Comparison:
    """Compare the tensors `names` of two levels.

    Args:
        names: boundaries in network order.
        expected, actual: name -> codes (frames, *shape).

    Raises:
        InternalError: a boundary is missing on one side, or shapes differ.
    """
    codes = mismatches = frames = 0
    found: list[Mismatch] = []
    before = ""
    for name in names:
        if name not in expected or name not in actual:
            raise InternalError(f"boundary `{name}` was not computed on both sides")
        left, right = np.asarray(expected[name]), np.asarray(actual[name])
        if left.shape != right.shape:
            raise InternalError(f"boundary `{name}`: shapes {left.shape} and {right.shape}")
        frames = left.shape[0]
        codes += left.size
        different = left != right
        if not different.any():
            before = name
            continue
        positions = np.argwhere(different)
        mismatches += len(positions)
        for position in positions[: Comparison.LIMIT - len(found)]:
            where = tuple(int(value) for value in position)
            around = None if found else _neighbours(left, right, where, before, len(positions))
            pair = int(left[where]), int(right[where])
            found.append(Mismatch(name, where[0], where[1:], *pair, around))
        before = name
    return Comparison(frames, len(names), codes, mismatches, tuple(found))


def first_difference(first: Mismatch | None) -> dict[str, Any]:
    """The first code that differs, with what lies around it, for `details` in `verify.json`; {}
    where there is none."""
    if first is None or first.around is None:
        return {}
    return {"first_difference": asdict(first)}


def _neighbours(
    expected: npt.NDArray[np.integer],
    actual: npt.NDArray[np.integer],
    where: tuple[int, ...],
    before: str,
    differing: int,
) -> Neighbours:
    """The codes around `where`, an index of (frames, *shape)."""
    # The last two axes are rows and columns; a vector is one row.
    plane = where[:-2] if len(where) > 2 else where[:-1]
    row, column = (where[-2], where[-1]) if len(where) > 2 else (0, where[-1])
    tables = [np.atleast_2d(codes[plane]) for codes in (expected, actual)]
    corner = max(0, row - REACH), max(0, column - REACH)
    window = slice(corner[0], row + REACH + 1), slice(corner[1], column + REACH + 1)
    left, right = (table[window].astype(np.int64).tolist() for table in tables)
    return Neighbours(before, differing, expected.size, corner, left, right)
