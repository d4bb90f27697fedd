"""Raw data into DMA beats and beats into results: numpy only, no board needed.

A frame of uint8 values (C, H, W) becomes codes (value >> shift), in the stream's order (H, W, C),
packed into the core's beats, each padded with zero bytes to the DMA's beat. A result's beats lose
their padding and become integers, in the shape of the stream: (elements,), or (H', W', channels)
for a network that decides for every pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .packing import pack, unpack


class Layout:
    """Shapes and widths of one accelerator's streams, from its bundle."""

    def __init__(self, bundle: dict[str, Any]) -> None:
        self._in = bundle["input"]
        self._out = bundle["output"]
        self.data_shape = tuple(self._in["data_shape"])
        self.out_shape = tuple(self._out["stream_shape"])
        self.in_frame_bytes = self._in["beats"] * self._in["dma_bytes_per_beat"]
        self.out_frame_bytes = self._out["beats"] * self._out["dma_bytes_per_beat"]

    def check(self, batch: np.ndarray) -> np.ndarray:
        """A batch of raw values, or one frame made a batch of one.

        Raises:
            TypeError: when it is not uint8.
            ValueError: when its shape is not (N, C, H, W) of this network.
        """
        batch = np.asarray(batch)
        if batch.dtype != np.uint8:
            raise TypeError(f"the input must be raw uint8 values, not {batch.dtype}")
        if batch.shape == self.data_shape:
            batch = batch[np.newaxis]
        if batch.shape[1:] != self.data_shape:
            raise ValueError(
                f"the input must have shape (N, {', '.join(map(str, self.data_shape))}),"
                f" not {batch.shape}"
            )
        return batch

    def codes(self, batch: np.ndarray) -> np.ndarray:
        """Raw values (N, C, H, W) -> input codes in stream order (N, elements)."""
        codes = batch >> np.uint8(self._in["shift"])
        if codes.ndim == 4:
            codes = codes.transpose(0, 2, 3, 1)
        return codes.reshape(len(batch), -1)

    def to_beats(self, batch: np.ndarray, out: np.ndarray) -> None:
        """Fill `out` (N, bytes per frame; uint8) with the DMA's beats of a batch."""
        beats = pack(self.codes(batch).reshape(-1), self._in["bits"], self._in["per_beat"])
        view = out.reshape(len(batch) * self._in["beats"], self._in["dma_bytes_per_beat"])
        used = beats.shape[1]
        view[:, :used] = beats
        if used < view.shape[1]:
            view[:, used:] = 0

    def from_beats(self, data: np.ndarray) -> np.ndarray:
        """The DMA's beats (N, bytes per frame; uint8) -> integers (N, *out_shape), int64."""
        count = len(data)
        used = (self._out["bits"] * self._out["per_beat"] + 7) // 8
        beats = data.reshape(count * self._out["beats"], self._out["dma_bytes_per_beat"])
        values = unpack(
            np.ascontiguousarray(beats[:, :used]),
            self._out["bits"],
            self._out["per_beat"],
            self._out["signed"],
        )
        return values.reshape(count, *self.out_shape).astype(np.int64)
