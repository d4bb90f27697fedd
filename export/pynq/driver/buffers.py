"""Two sets of buffers, so that one can be packed and unpacked while the other is transferred.

pynq brings whole buffers up to date with the processor's caches, whatever part was used; so buffers
are as large as the transfers in use need, to an eighth, and the most recent sizes are kept.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import numpy as np

from .board import Buffer

KEPT_SIZES = 3


class Pair(NamedTuple):
    """Buffers of one transfer."""

    source: Buffer
    sink: Buffer

    def free(self) -> None:
        """Give both back."""
        self.source.free()
        self.sink.free()


class Buffers:
    """Args:
    in_bytes, out_bytes: of a frame.
    """

    def __init__(self, in_bytes: int, out_bytes: int) -> None:
        self._in_bytes, self._out_bytes = in_bytes, out_bytes
        self._kept: tuple[OrderedDict[int, Pair], ...] = (OrderedDict(), OrderedDict())

    def take(self, turn: int, frames: int) -> Pair:
        """The buffers of set `turn` (0 or 1) for a transfer of `frames`; the set's transfer before
        this one has to be complete."""
        kept, size = self._kept[turn], rounded(frames)
        if size in kept:
            kept.move_to_end(size)
            return kept[size]
        while len(kept) >= KEPT_SIZES:
            kept.popitem(last=False)[1].free()
        made = [Buffer(size * self._in_bytes)]
        try:
            made.append(Buffer(size * self._out_bytes))
            # What the caches have of it must not be written over results later; from here on the
            # processor only reads it.
            made[1].from_device()
        except BaseException:
            for buffer in made:
                buffer.free()
            raise
        kept[size] = Pair(*made)
        return kept[size]

    def rows(self, buffer: Buffer, frames: int, size: int) -> np.ndarray:
        """(frames, size) bytes at the start of a buffer."""
        return buffer.view[: frames * size].reshape(frames, size)

    def free(self) -> None:
        """Give all back; the DMA must not be using them."""
        for kept in self._kept:
            while kept:
                kept.popitem()[1].free()


def rounded(frames: int) -> int:
    """The next number with four significant bits."""
    spare = max(0, frames.bit_length() - 4)
    return -(-frames >> spare) << spare
