"""Codes to bytes and back, as they travel on an AXI-Stream.

    beat = Σ code[i] · 2^(i·bits), i < per_beat, padded with zeros to whole bytes, little end first

Element 0 lies in the least significant bits; negative codes are two's complement. Needs numpy only
(1.17 or later): packages carry a copy of this file to the board.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

MAX_BITS = 32


def pack(codes: npt.ArrayLike, bits: int, per_beat: int) -> npt.NDArray[np.uint8]:
    """Pack integer codes of any shape, read row-major, into beats.

    Args:
        codes: integers, each in -2^(bits-1) … 2^bits - 1; their number divisible by `per_beat`.
        bits: width of a code, 1 to 32.
        per_beat: codes per beat.

    Returns:
        uint8 (beats, ceil(bits · per_beat / 8)).

    Raises:
        ValueError: a code does not fit, or the last beat is not full.
    """
    _check(bits, per_beat)
    flat = np.asarray(codes).reshape(-1)
    if flat.size % per_beat:
        raise ValueError(f"{flat.size} codes do not fill beats of {per_beat}")
    if flat.size and (int(flat.min()) < -(1 << (bits - 1)) or int(flat.max()) >= 1 << bits):
        raise ValueError(f"codes from {flat.min()} to {flat.max()} do not fit {bits} bits")
    beats = flat.size // per_beat
    width = (bits * per_beat + 7) // 8
    words = flat.astype(_unsigned(bits)).reshape(beats, per_beat)
    if bits in (8, 16, 32):
        return words.astype(words.dtype.newbyteorder("<")).view(np.uint8).reshape(beats, width)
    if 8 % bits == 0:
        group = 8 // bits
        padded = np.zeros((beats, width * group), np.uint8)
        padded[:, :per_beat] = words & np.uint8((1 << bits) - 1)
        shifts = (np.arange(group) * bits).astype(np.uint8)
        lanes = padded.reshape(beats, width, group) << shifts
        return np.bitwise_or.reduce(lanes, axis=2)
    planes = _bits_of(words)[:, :, :bits].reshape(beats, per_beat * bits)
    return np.packbits(planes, axis=1, bitorder="little")


def unpack(
    beats: npt.NDArray[np.uint8], bits: int, per_beat: int, signed: bool
) -> npt.NDArray[np.int64]:
    """Codes of beats, in the order they travelled: the inverse of `pack`.

    Args:
        beats: uint8 (beats, ceil(bits · per_beat / 8)).
        signed: whether codes are two's complement.

    Returns:
        int64 (beats · per_beat,).

    Raises:
        ValueError: the beats have another width.
    """
    _check(bits, per_beat)
    width = (bits * per_beat + 7) // 8
    data = np.ascontiguousarray(beats, dtype=np.uint8)
    if data.ndim != 2 or data.shape[1] != width:
        raise ValueError(
            f"beats of shape {data.shape}; {per_beat} x {bits} bits take {width} bytes"
        )
    count = len(data)
    kind = _unsigned(bits)
    if bits in (8, 16, 32):
        codes = data.view(kind.newbyteorder("<"))
    elif 8 % bits == 0:
        group = 8 // bits
        shifts = (np.arange(group) * bits).astype(np.uint8)
        lanes = (data[:, :, None] >> shifts) & np.uint8((1 << bits) - 1)
        codes = lanes.reshape(count, width * group)[:, :per_beat]
    else:
        planes = np.unpackbits(data, axis=1, bitorder="little")[:, : per_beat * bits]
        padded = np.zeros((count, per_beat, 8 * kind.itemsize), np.uint8)
        padded[:, :, :bits] = planes.reshape(count, per_beat, bits)
        whole = np.packbits(padded, axis=2, bitorder="little")
        codes = whole.reshape(count, per_beat * kind.itemsize).view(kind.newbyteorder("<"))
    result = codes.reshape(-1).astype(np.int64)
    if signed:
        half = 1 << (bits - 1)
        result = (result ^ half) - half
    return result


def _check(bits: int, per_beat: int) -> None:
    if not 1 <= bits <= MAX_BITS or per_beat < 1:
        raise ValueError(
            f"{per_beat} codes of {bits} bits per beat: bits are 1 to {MAX_BITS}, codes at least 1"
        )


def _unsigned(bits: int) -> np.dtype[Any]:
    """The narrowest unsigned type that holds `bits`; casting to it keeps two's complement."""
    return np.dtype(np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32)


def _bits_of(words: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """(rows, columns) of unsigned words to (rows, columns, bits of a word), least bit first."""
    little = np.ascontiguousarray(words.astype(words.dtype.newbyteorder("<")))
    octets = little.view(np.uint8).reshape(*words.shape, words.dtype.itemsize)
    return np.unpackbits(octets, axis=2, bitorder="little")
