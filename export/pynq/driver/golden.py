"""The package's golden frames: what goes in, how it is packed, and what has to come out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .bundle import BundleError
from .npz import read_npz


def load(root: Path, bundle: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Raw frames (N, *data shape), the same packed (N, bytes of a frame), and the integers that
    come out, (N, elements).

    Raises:
        BundleError: they are missing or damaged, or not of this accelerator.
    """
    path = root / "golden" / "golden.npz"
    try:
        raw, packed, expected = read_npz(path, ("inputs", "packed", "outputs"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} cannot be read ({error}); copy the whole package") from error
    source, sink = bundle["input"], bundle["output"]
    frames = len(raw) if raw.ndim else 0
    wanted = (
        (raw, np.integer, (frames, *source["data_shape"])),
        (packed, np.uint8, (frames, source["beats"] * source["dma_bytes_per_beat"])),
        (expected, np.integer, (frames, sink["elements"])),
    )
    for array, kind, shape in wanted:
        if not frames or array.shape != shape or not np.issubdtype(array.dtype, kind):
            raise BundleError(f"{path} is not of this accelerator; copy the whole package")
    low, high = source["raw_range"]
    if raw.min() < low or raw.max() > high:
        raise BundleError(f"{path} has inputs that are not {low} to {high}; copy the whole package")
    return raw, packed, expected
