"""Compare the codes of two levels at every boundary, and say where they first part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdeploy.errors import InternalError

Codes = Mapping[str, npt.NDArray[np.integer]]


@dataclass(frozen=True)
class Mismatch:
    """One code that differs.

    Args:
        boundary: tensor name.
        frame: index of the frame.
        index: position inside the frame: (channel, row, column), or (element,).
        expected, actual: the codes.
    """

    boundary: str
    frame: int
    index: tuple[int, ...]
    expected: int
    actual: int

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
    for name in names:
        if name not in expected or name not in actual:
            raise InternalError(f"boundary `{name}` was not computed on both sides")
        left, right = np.asarray(expected[name]), np.asarray(actual[name])
        if left.shape != right.shape:
            raise InternalError(f"boundary `{name}`: shapes {left.shape} and {right.shape}")
        frames = left.shape[0]
        codes += left.size
        positions = np.argwhere(left != right)
        mismatches += len(positions)
        for position in positions[: Comparison.LIMIT - len(found)]:
            where = tuple(int(value) for value in position)
            found.append(Mismatch(name, where[0], where[1:], int(left[where]), int(right[where])))
    return Comparison(frames, len(names), codes, mismatches, tuple(found))
