"""Arrays of any kind as frames of four axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy.data.scaling import FloatArray


def as_frames(values: npt.NDArray[Any], name: str) -> npt.NDArray[np.uint8] | FloatArray:
    """Frames as (N, C, H, W), uint8 where they are bytes, else float32.

    (N, F) are vectors, (N, C, H, W) images; (N, H, W) are images where they are bytes, else series
    (N, C, L).

    Args:
        name: of the array, for messages.

    Raises:
        ValueError: a sentence: another type or shape, or a value that is no finite number.
    """
    if values.dtype.kind not in "iuf" or not values.size:
        raise ValueError(f"{name} is {values.dtype} of shape {values.shape}")
    if values.ndim == 2:
        values = values[:, :, None, None]
    elif values.ndim == 3 and values.dtype != np.uint8:
        values = values[:, :, None, :]
    elif values.ndim == 3:
        values = values[:, None]
    elif values.ndim != 4:
        raise ValueError(f"{name} has {values.ndim} axes; 2 to 4 are known")
    if values.dtype == np.uint8:
        return values
    with np.errstate(over="ignore"):
        real = values.astype(np.float32)
    finite = np.isfinite(real)
    if not finite.all():
        frame = int(np.argwhere(~finite)[0][0])
        raise ValueError(f"frame {frame:,} of {name} has a value that is no finite number")
    return real
