"""Geometry of windows, paddings and streams of a hardware layer, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

Size = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """Geometry of a sliding window; pairs are (vertical, horizontal).

    Args:
        shape: rows and columns of the input map.
        out: rows and columns of windows.
        kernel, stride, dilation: of a window.
        whole: outputs a whole window per beat instead of one kernel position.
        rows_ahead: rows its memory holds in addition to those of a window; 0 for as many again.
    """

    shape: Size
    out: Size
    kernel: Size
    stride: Size
    dilation: Size
    whole: bool
    rows_ahead: int

    @property
    def span(self) -> Size:
        """Rows and columns a window covers, dilation included."""
        tall, wide = (d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True))
        return tall, wide

    @property
    def count(self) -> int:
        """Windows per frame."""
        return prod(self.out)


@dataclass(frozen=True)
class Padding:
    """A border, in pixels, around a map of `shape` (rows, columns)."""

    shape: Size
    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True)
class HwStream:
    """One end of a stream at a hardware layer.

    Args:
        tensor: its name in FINN's graph.
        shape: elements of a frame, batch axis first, channels last.
        beats, per_beat: beats per frame, elements per beat.
        bits: of an element; two's complement where `signed`.
        width: bits per beat, without padding to bytes.
    """

    tensor: str
    shape: tuple[int, ...]
    beats: int
    per_beat: int
    bits: int
    signed: bool
    width: int
