"""What the network's output integers mean: the map from integers to the network's own logits.

    logit[c] = gain[c] · n[c] + offset[c]

Gain and offset are exact fractions of the file's own float32 numbers, one for all channels or one
for each. The last layer's bias, its scales per channel and a batch norm after it are all in them,
so no integer has to be rounded for them. The channels of a network with several outputs are those
of its outputs, one after the other. Numpy only: packages carry a copy of this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# Two float64 logits further apart than this part of the largest term are ordered as the exact ones.
SAFE = 1e-14


class Part(NamedTuple):
    """One output of a network with several: its name in the file, and its channels."""

    name: str
    channels: int


@dataclass(frozen=True)
class Head:
    """Gain and offset of the output's channels, each with one entry, or one for each channel.

    Args:
        parts: the outputs of a network with several; none for one output.
    """

    gain: tuple[Fraction, ...] = (Fraction(1),)
    offset: tuple[Fraction, ...] = (Fraction(0),)
    parts: tuple[Part, ...] = ()

    @property
    def scale(self) -> Fraction | None:
        """The one scale of the logits; None where channels have scales or offsets of their own."""
        if any(self.offset) or any(gain != self.gain[0] for gain in self.gain):
            return None
        return self.gain[0]

    def of(self, channel: int) -> tuple[Fraction, Fraction]:
        """Gain and offset of a channel."""
        return _entry(self.gain, channel), _entry(self.offset, channel)

    def slices(self) -> list[slice]:
        """The channels of each output."""
        if not self.parts:
            return [slice(None)]
        found, start = [], 0
        for part in self.parts:
            found.append(slice(start, start + part.channels))
            start += part.channels
        return found

    def values(self, codes: npt.NDArray[np.number], axis: int = 1) -> npt.NDArray[np.float64]:
        """Logits as float64, correctly rounded up to two roundings.

        Args:
            codes: integers, the channels on `axis`.
        """
        shape = [1] * codes.ndim
        shape[axis] = -1
        gain, offset = (
            np.array([float(value) for value in values]).reshape(shape)
            for values in (self.gain, self.offset)
        )
        values: npt.NDArray[np.float64] = codes * gain + offset
        return values

    def classes(self, codes: npt.NDArray[np.integer], axis: int = 1) -> npt.NDArray[np.int64]:
        """Index of the largest exact logit, the lowest index on a tie.

        Args:
            codes: integers, the channels on `axis`.

        Returns:
            Without `axis`; for several outputs, with one index for each of them there, which counts
            from the output's own first channel.
        """
        moved: npt.NDArray[np.int64] = np.moveaxis(np.asarray(codes).astype(np.int64), axis, -1)
        if not self.parts:
            return self._largest(moved)
        found = [self._part(where)._largest(moved[..., where]) for where in self.slices()]
        return np.stack(found, axis=axis if axis >= 0 else axis % codes.ndim)

    def _part(self, where: slice) -> Head:
        """The map of some channels."""
        gain, offset = (v if len(v) == 1 else v[where] for v in (self.gain, self.offset))
        return Head(gain, offset)

    def _largest(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        scale = self.scale
        if scale is not None and scale > 0:
            return np.asarray(codes.argmax(axis=-1), dtype=np.int64)
        values = self.values(codes, axis=codes.ndim - 1)
        found = np.asarray(values.argmax(axis=-1), dtype=np.int64)
        size = np.abs(values).max(axis=-1) + max(abs(float(value)) for value in self.offset)
        best = np.take_along_axis(values, found[..., None], axis=-1)
        close = (values >= best - SAFE * size[..., None]).sum(axis=-1) > 1
        for place in np.argwhere(close):
            index = tuple(int(number) for number in place)
            found[index] = self._exact(codes[index])
        return found

    def _exact(self, codes: Sequence[int]) -> int:
        logits = []
        for channel, code in enumerate(codes):
            gain, offset = self.of(channel)
            logits.append(gain * int(code) + offset)
        return logits.index(max(logits))


def _entry(values: tuple[Fraction, ...], channel: int) -> Fraction:
    return values[0] if len(values) == 1 else values[channel]
