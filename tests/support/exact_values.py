"""Values of the exact interpreter: exact ones, and float32 ones before the first quantizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from exact_numbers import Exact

Tensor = Exact | np.ndarray


def plain(array: np.ndarray) -> np.ndarray:
    if array.dtype in (np.float64, np.float16):
        return array.astype(np.float32)
    four_bits = array.dtype.name in ("int4", "uint4")  # A zero point's type tells its codes.
    return array if four_bits or array.dtype.kind in "iufb" else array.astype(np.int64)


def exact(value: Tensor) -> Exact:
    return value if isinstance(value, Exact) else Exact.of(value)


def moved(value: Tensor, change: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    return value.moved(change) if isinstance(value, Exact) else change(value)


def all_plain(*values: Tensor | None) -> bool:
    return all(value is None or isinstance(value, np.ndarray) for value in values)


def text_of(attributes: Mapping[str, Any], key: str, default: str) -> str:
    found = attributes.get(key, default)
    return found.decode() if isinstance(found, bytes) else str(found)


def numbers_of(value: Any) -> list[int]:
    return [int(n) for n in np.asarray(value).reshape(-1)]


def along(value: Tensor, axis: int, rank: int) -> np.ndarray:
    """A parameter (channels,) for broadcasting along an axis."""
    array = np.asarray(value)
    if array.size == 1:
        return array.reshape(())
    shape = [1] * rank
    shape[axis] = -1
    return array.reshape(shape)
