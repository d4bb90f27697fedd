"""Convolutions and pools of exact values: (N, C, W) and (N, C, H, W)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product as every
from math import prod
from typing import Any

import numpy as np
from exact_numbers import WORD, Exact, largest

Attributes = Mapping[str, Any]


def convolution(value: Exact, weights: Exact, *rest: Any) -> Exact:
    """ONNX Conv, with a bias or without."""
    *bias, attributes = rest
    kernel, groups = weights.shape[2:], attributes.get("group", 1)
    padded = _padded(value.numerators, kernel, attributes, 0)
    w = weights.numerators
    if largest(padded) * largest(w) * prod(w.shape[1:]) < WORD:
        padded, w = padded.astype(np.int64), w.astype(np.int64)
    else:
        padded, w = _unbounded(padded), _unbounded(w)
    ins, outs = w.shape[1], len(w) // groups
    total = None
    for place, window in _windows(padded, kernel, attributes):
        parts = []
        for group in range(groups):
            taps = w[group * outs : (group + 1) * outs][(slice(None), slice(None), *place)]
            source = window[:, group * ins : (group + 1) * ins]
            parts.append(np.moveaxis(np.tensordot(taps, source, axes=(1, 1)), 0, 1))
        part = np.concatenate(parts, axis=1)
        total = part if total is None else total + part
    assert total is not None
    result = Exact(total.astype(object), value.denominator * weights.denominator).reduced()
    if bias:
        shape = (1, -1, *([1] * len(kernel)))
        result = result + bias[0].moved(lambda array: array.reshape(shape))
    return result


def _unbounded(numbers: np.ndarray) -> np.ndarray:
    """The same as integers of Python: an array of objects may hold words of numpy's, which end."""
    return np.array([int(n) for n in numbers.reshape(-1)], dtype=object).reshape(numbers.shape)


def max_pool(value: Exact, attributes: Attributes) -> Exact:
    """ONNX MaxPool; padding never wins."""
    kernel = tuple(attributes["kernel_shape"])
    numbers = value.numerators
    low = min(int(n) for n in numbers.reshape(-1)) - 1
    padded = _padded(numbers, kernel, attributes, low)
    best = None
    for _, window in _windows(padded, kernel, attributes):
        best = window if best is None else np.maximum(best, window)
    assert best is not None
    return Exact(best, value.denominator)


def average_pool(value: Exact, attributes: Attributes) -> Exact:
    """ONNX AveragePool: the mean of a window's elements, of the padding's too where it counts."""
    kernel = tuple(attributes["kernel_shape"])
    padded = _padded(value.numerators, kernel, attributes, 0)
    ones = np.full(value.shape, 1, dtype=object)
    filling = 1 if attributes.get("count_include_pad", 0) else 0
    counted = _padded(ones, kernel, {**attributes, "ceil_mode": 0}, filling)
    grow = [(0, after - before) for before, after in zip(counted.shape, padded.shape, strict=True)]
    counted = np.pad(counted, grow, constant_values=0)
    sums = sum(window for _, window in _windows(padded, kernel, attributes))
    counts = sum(window for _, window in _windows(counted, kernel, attributes))
    size = Exact(np.asarray(counts, object)).inverse()
    return Exact(np.asarray(sums, object), value.denominator) * size


def _padded(
    numbers: np.ndarray, kernel: tuple[int, ...], attributes: Attributes, filling: int
) -> np.ndarray:
    """With explicit or SAME padding, and what a last window of ceil_mode reaches beyond."""
    sizes = numbers.shape[2:]
    strides = attributes.get("strides", [1] * len(kernel))
    reach = _reach(kernel, attributes)
    auto = attributes.get("auto_pad", b"NOTSET").decode()
    pads = list(attributes.get("pads", [0] * 2 * len(kernel)))
    if auto.startswith("SAME"):
        wanted = [
            max((-(-size // s) - 1) * s + r - size, 0)
            for size, s, r in zip(sizes, strides, reach, strict=True)
        ]
        small = [n // 2 for n in wanted]
        big = [n - n // 2 for n in wanted]
        pads = small + big if auto == "SAME_UPPER" else big + small
    widths = [(0, 0), (0, 0)]
    for axis, size in enumerate(sizes):
        before, after = pads[axis], pads[axis + len(sizes)]
        if attributes.get("ceil_mode", 0):
            rest = (size + before + after - reach[axis]) % strides[axis]
            # A last window that would start in the padding at the end is none.
            more = strides[axis] - rest if rest else 0
            start = size + before + after - reach[axis] + more
            after += more if more and start < size + before else 0
        widths.append((before, after))
    return np.pad(numbers, widths, constant_values=filling)


def _reach(kernel: tuple[int, ...], attributes: Attributes) -> list[int]:
    dilations = attributes.get("dilations", [1] * len(kernel))
    return [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]


def _windows(padded: np.ndarray, kernel: tuple[int, ...], attributes: Attributes) -> Any:
    """For each place of a kernel, the elements that all windows have there."""
    strides = attributes.get("strides", [1] * len(kernel))
    dilations = attributes.get("dilations", [1] * len(kernel))
    reach = _reach(kernel, attributes)
    counts = [
        (size - r) // s + 1 for size, r, s in zip(padded.shape[2:], reach, strides, strict=True)
    ]
    for place in every(*(range(k) for k in kernel)):
        slices = tuple(
            slice(p * d, p * d + (n - 1) * s + 1, s)
            for p, d, n, s in zip(place, dilations, counts, strides, strict=True)
        )
        yield place, padded[(slice(None), slice(None), *slices)]
