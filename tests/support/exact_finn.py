"""Operators of FINN's transformed graphs, on exact values: maps are (N, H, W, C)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product as every
from typing import Any

import numpy as np
from exact_numbers import Exact, product
from exact_values import exact, moved
from exact_windows import max_pool

Attributes = Mapping[str, Any]


def im2col(operands: list[Any], attributes: Attributes) -> Any:
    """The elements of each window in one row: tap by tap, all channels of each."""
    kernel, stride = attributes["kernel_size"], attributes["stride"]
    dilation = attributes.get("dilations", [1, 1])
    top, left, bottom, right = attributes.get("pad_amount", [0] * 4)
    filling = int(attributes.get("pad_value", 0))

    def rows(array: np.ndarray) -> np.ndarray:
        wide = [(0, 0), (top, bottom), (left, right), (0, 0)]
        padded = np.pad(array, wide, constant_values=filling)
        counts = [
            (padded.shape[1 + axis] - dilation[axis] * (kernel[axis] - 1) - 1) // stride[axis] + 1
            for axis in range(2)
        ]
        taps = []
        for tap in every(*(range(size) for size in kernel)):
            start = [t * d for t, d in zip(tap, dilation, strict=True)]
            stop = [s + (n - 1) * by + 1 for s, n, by in zip(start, counts, stride, strict=True)]
            taps.append(
                padded[:, start[0] : stop[0] : stride[0], start[1] : stop[1] : stride[1], :]
            )
        return np.concatenate(taps, axis=-1)

    return moved(operands[0], rows)


def xnor_popcount(operands: list[Any], attributes: Attributes) -> Exact:
    """How many of the bits are equal."""
    one, two = Exact.of(np.float32(1)), Exact.of(np.float32(2))
    half = Exact.of(np.float32(0.5))
    signs = [exact(value) * two + one.moved(lambda array: -array) for value in operands]
    count = Exact.of(np.float32(operands[1].shape[0]))
    return (product(*signs) + count) * half


def max_pool_last(operands: list[Any], attributes: Attributes) -> Exact:
    """MaxPool of (N, H, W, C)."""
    planes = exact(operands[0]).moved(lambda array: array.transpose(0, 3, 1, 2))
    return max_pool(planes, attributes).moved(lambda array: array.transpose(0, 2, 3, 1))
