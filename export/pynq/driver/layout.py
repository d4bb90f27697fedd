"""Input values into DMA beats and beats into results: no board needed.

    integers       raw ones, or codes where the network's file does not say what a raw one is:
                   code = raw >> shift where the network sees fewer bits of a byte than eight, else
                   as `input_codes.py` says
    real numbers   each the code that the network's file gives it

Codes travel in the stream's order (H, W, C), packed into the core's beats, each padded with zero
bytes to the DMA's beat. A result's beats lose their padding and become integers, in the shape of
the stream: (elements,), or (H', W', channels) for a network that decides for every pixel.

The same is done in C where that can be compiled (`native.py`); numpy's way is what it must equal.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import native as natives
from .input_codes import InputPreparation
from .packing import pack, unpack

# Elements that become codes at a time: what is in between takes several bytes for each.
BLOCK = 1 << 20


def _may_exceed(batch: np.ndarray, low: int, high: int) -> bool:
    """Whether an integer is out of range; a type without such integers needs no look."""
    limits = np.iinfo(batch.dtype)
    if (limits.min >= low and limits.max <= high) or not batch.size:
        return False
    return int(batch.min()) < low or int(batch.max()) > high


class Layout:
    """Shapes, widths and meaning of one accelerator's streams, from its bundle.

    Args:
        preparation: of its input.
        native: False never uses C.
    """

    def __init__(
        self, bundle: dict[str, Any], preparation: InputPreparation, native: bool = True
    ) -> None:
        self._in = bundle["input"]
        self._out = bundle["output"]
        self._preparation = preparation
        self.data_shape = tuple(self._in["data_shape"])
        self.out_shape = tuple(self._out["stream_shape"])
        self.in_frame_bytes = self._in["beats"] * self._in["dma_bytes_per_beat"]
        self.out_frame_bytes = self._out["beats"] * self._out["dma_bytes_per_beat"]
        self.raw_range = tuple(self._in["raw_range"])
        self._native = self._tried() if native else None

    @property
    def packing(self) -> str:
        """What packs and unpacks."""
        return "numpy" if self._native is None else "native"

    def check(self, batch: np.ndarray, from_float: bool = False) -> np.ndarray:
        """A batch of integers, or of real numbers as float32; one frame is made a batch of one.

        Args:
            from_float: the values are real numbers.

        Raises:
            TypeError: when values are no integers, or real ones no numbers.
            ValueError: when the shape is not (N, *data_shape) of this network, an integer is out of
                range, a real one is not finite, or the network's step is not known.
        """
        batch = np.asarray(batch)
        if from_float:
            batch = self._real(batch)
        elif not np.issubdtype(batch.dtype, np.integer):
            raise TypeError(
                f"the input must be integers, not {batch.dtype}; real numbers need from_float=True"
            )
        if batch.shape == self.data_shape:
            batch = batch[np.newaxis]
        if batch.shape[1:] != self.data_shape:
            raise ValueError(
                f"the input must have shape (N, {', '.join(map(str, self.data_shape))}),"
                f" not {batch.shape}"
            )
        low, high = self.raw_range
        if not from_float and _may_exceed(batch, low, high):
            raise ValueError(
                f"input values must be from {low} to {high}, not {batch.min()} to {batch.max()};"
                " scale them first, or give real numbers with from_float=True"
            )
        return batch

    def _real(self, batch: np.ndarray) -> np.ndarray:
        if self._in["scale"] is None:
            raise ValueError("what one step of the input means is not known; give integers")
        with np.errstate(over="ignore"):
            values = batch.astype(np.float32)
        if not np.isfinite(values).all():
            raise ValueError("the input has values that are not finite numbers")
        return values

    def codes(self, batch: np.ndarray) -> np.ndarray:
        """Checked values (N, *data_shape) -> input codes in stream order (N, elements)."""
        if np.issubdtype(batch.dtype, np.floating):
            codes = self._preparation.codes(batch)
        else:
            if self._in["shift"]:
                batch = np.clip(batch >> self._in["shift"], *self._in["range"])
            codes = self._preparation.codes_of_integers(batch)
        if codes.ndim == 4:
            codes = codes.transpose(0, 2, 3, 1)
        return codes.reshape(len(batch), -1)

    def to_beats(self, batch: np.ndarray, out: np.ndarray) -> None:
        """Fill `out` (N, bytes of a frame; uint8) with the DMA's beats of a checked batch."""
        step = max(1, BLOCK // self._in["elements"])
        for first in range(0, len(batch), step):
            part, rows = batch[first : first + step], out[first : first + step]
            if self._native is None:
                self._pack(part, rows)
            elif np.issubdtype(part.dtype, np.floating):
                self._native.pack_codes(self.codes(part), rows)
            else:
                self._native.pack(part, rows)

    def _pack(self, batch: np.ndarray, out: np.ndarray) -> None:
        beats = pack(self.codes(batch).reshape(-1), self._in["bits"], self._in["per_beat"])
        view = out.reshape(len(batch) * self._in["beats"], self._in["dma_bytes_per_beat"])
        used = beats.shape[1]
        view[:, :used] = beats
        if used < view.shape[1]:
            view[:, used:] = 0

    def from_beats(self, data: np.ndarray) -> np.ndarray:
        """The DMA's beats (N, bytes of a frame; uint8) -> integers (N, *out_shape), int64."""
        # Integers of whole bytes are views to numpy.
        if self._native is not None and self._out["bits"] not in (8, 16, 32):
            return self._native.unpack(data).reshape(len(data), *self.out_shape)
        return self._unpack(data)

    def _unpack(self, data: np.ndarray) -> np.ndarray:
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

    def _tried(self) -> natives.NativePacking | None:
        """The C code, where it can be had and gives numpy's results on random values."""
        code = natives.library()
        if code is None:
            return None
        try:
            native = natives.NativePacking(code, self._in, self._out, self._preparation)
        except ValueError:
            return None
        generator = np.random.default_rng(0)
        low, high = self.raw_range
        raw = generator.integers(low, high + 1, (2, *self.data_shape))
        beats = generator.integers(0, 256, (2, self.out_frame_bytes)).astype(np.uint8)
        ours, theirs = np.zeros((2, 2, self.in_frame_bytes), dtype=np.uint8)
        self._pack(raw, ours)
        native.pack(raw, theirs)
        same = np.array_equal(ours, theirs)
        same &= np.array_equal(self._unpack(beats).reshape(-1), native.unpack(beats))
        return native if same else None
