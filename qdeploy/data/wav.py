"""Samples of wav files: PCM of 8, 16, 24 or 32 bits."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qdeploy.bounded import read_some
from qdeploy.errors import DataError

MAX_BYTES = 1 << 30


def read_wav(path: Path) -> tuple[npt.NDArray[np.float32], int]:
    """Samples (channels, N) in [-1, 1), and the rate in Hz.

    Raises:
        DataError: the file cannot be read, is no PCM, is empty or ends too early.
    """
    try:
        with wave.open(io.BytesIO(read_some(path, MAX_BYTES))) as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            frames = file.getnframes()
            raw = file.readframes(frames)
    except (OSError, EOFError, RuntimeError, ValueError, wave.Error) as error:
        reason = str(error) or "its header does not match its length"
        raise _damaged(path, reason) from error
    if not raw or len(raw) != frames * channels * width or rate < 1:
        raise _damaged(path, f"it has {len(raw):,} of {frames * channels * width:,} bytes")
    return _samples(raw, width).reshape(-1, channels).T, rate


def _samples(raw: bytes, width: int) -> npt.NDArray[np.float32]:
    if width == 1:  # the only unsigned one
        return (np.frombuffer(raw, np.uint8).astype(np.float32) - 128) / np.float32(128)
    padded = np.zeros((len(raw) // width, 4), np.uint8)
    padded[:, 4 - width :] = np.frombuffer(raw, np.uint8).reshape(-1, width)
    whole = padded.reshape(-1).view("<i4")
    return (whole / np.float64(1 << 31)).astype(np.float32)


def _damaged(path: Path, why: str) -> DataError:
    return DataError(
        f"the recording `{path.name}` cannot be read: {why}",
        where=str(path),
        do="get the file again, as PCM of 8 to 32 bits, or remove it",
    )
