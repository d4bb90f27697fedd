"""Quantizers in exact arithmetic: of QONNX, FINN and ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from exact_numbers import Exact, NotInterpretedError, on_one_grid, rounded
from exact_values import Tensor, all_plain, along, exact, text_of
from onnx import helper

INTEGERS = {
    onnx.TensorProto.UINT8: (0, 255),
    onnx.TensorProto.INT8: (-128, 127),
    onnx.TensorProto.UINT16: (0, 65535),
    onnx.TensorProto.INT16: (-32768, 32767),
    onnx.TensorProto.INT32: (-(2**31), 2**31 - 1),
    onnx.TensorProto.UINT4: (0, 15),
    onnx.TensorProto.INT4: (-8, 7),
}


def _steps(value: Exact, scale: np.ndarray, zero: np.ndarray, mode: str) -> np.ndarray:
    """round(value / scale + zero) of each element, Python integers."""
    ratio = value * Exact.of(scale).inverse() + Exact.of(zero)
    return ratio.each(lambda number: Fraction(rounded(number, mode))).reduced().numerators


def _float_rounded(values: np.ndarray, mode: str) -> np.ndarray:
    """Float32 values rounded as the executor does it: every float32 is an exact fraction."""
    if mode in ("ROUND", "HALF_EVEN"):
        return np.rint(values)
    numbers = [float(rounded(Fraction(float(v)), mode)) for v in values.reshape(-1)]
    return np.array(numbers).reshape(values.shape)


def _quantized(
    value: Tensor, scale: np.ndarray, zero: np.ndarray, ends: tuple[int, int], mode: str
) -> Exact:
    """(clip(round(value / scale + zero)) - zero) · scale."""
    if isinstance(value, Exact):
        codes = np.clip(_steps(value, scale, zero, mode), *ends)
    else:
        one = np.float32
        steps = np.asarray(value, one) / scale.astype(one) + zero.astype(one)
        codes = np.clip(_float_rounded(steps, mode), *ends).astype(np.int64).astype(object)
    return (Exact(codes) - Exact.of(zero)) * Exact.of(scale)


def quant(operands: list[Any], attributes: Mapping[str, Any]) -> Exact:
    value, scale, zero, bits = operands
    if not all_plain(scale, zero, bits):
        raise NotInterpretedError("a quantizer computed at run time")
    signed, narrow = attributes.get("signed", 1), attributes.get("narrow", 0)
    width = int(np.asarray(bits).reshape(-1)[0])
    if signed and width == 1:
        return bipolar([value, scale], {})
    lo = -(1 << (width - 1)) + narrow if signed else 0
    hi = (1 << (width - 1)) - 1 if signed else (1 << width) - 1 - narrow
    mode = text_of(attributes, "rounding_mode", "ROUND").upper()
    return _quantized(value, scale, zero, (lo, hi), mode)


def bipolar(operands: list[Any], attributes: Mapping[str, Any]) -> Exact:
    value, scale = operands
    numbers = value.numerators if isinstance(value, Exact) else value
    signs = np.where(np.asarray(numbers >= 0, bool), 1, -1).astype(object)
    return Exact(signs) * Exact.of(scale)


def trunc(operands: list[Any], attributes: Mapping[str, Any]) -> Exact:
    mode = text_of(attributes, "rounding_mode", "FLOOR").upper()
    value, scale, zero, before = operands[:4]
    codes = _steps(exact(value), scale, zero, "ROUND")
    if len(operands) == 5:
        out_scale, ends = scale, None
        shift = int(np.asarray(before).item()) - int(np.asarray(operands[4]).item())
    else:
        out_scale, width = operands[4], int(np.asarray(operands[5]).item())
        shift = round(np.log2(float(np.asarray(out_scale).item() / np.asarray(scale).item())))
        signed, narrow = attributes.get("signed", 1), attributes.get("narrow", 0)
        low = -(1 << (width - 1)) + narrow if signed else 0
        ends = low, (1 << (width - signed)) - 1 - (0 if signed else narrow)
    factor = Fraction(1, 1 << shift) if shift >= 0 else Fraction(1 << -shift)
    parts = Exact(codes).each(lambda n: Fraction(rounded(n * factor, mode))).reduced().numerators
    if ends is None:  # the older form keeps the scale: codes are multiples of what is cut off
        return (Exact(parts) - Exact.of(zero)) * Exact.of(scale)
    moved = Exact.of(zero).each(lambda n: n * factor)
    return (Exact(np.clip(parts, *ends)) - moved) * Exact.of(out_scale)


def multi_threshold(operands: list[Any], attributes: Mapping[str, Any]) -> Exact:
    value, table = exact(operands[0]), Exact.of(operands[1])
    axis = -1 if text_of(attributes, "data_layout", "NCHW") in ("NHWC", "NWC") else 1
    numbers, edges, _ = on_one_grid(value, table)
    last = np.moveaxis(numbers, axis, -1)[..., None]
    counts = (last >= edges).astype(bool).sum(axis=-1).astype(object)
    counts = np.moveaxis(counts, -1, axis)
    scale, bias = (
        Exact.of(np.float32(attributes.get(key, default)))
        for key, default in (("out_scale", 1.0), ("out_bias", 0.0))
    )
    return Exact(counts) * scale + bias


def quantize_linear(operands: list[Any], attributes: Mapping[str, Any]) -> Exact:
    """ONNX: saturate(round_half_even(x / y_scale) + y_zero_point)."""
    value, scale = operands[0], operands[1]
    zero = operands[2] if len(operands) > 2 and operands[2] is not None else np.zeros(1, np.uint8)
    kind = attributes.get("output_dtype") or helper.np_dtype_to_tensor_dtype(zero.dtype)
    rank, axis = len(value.shape), attributes.get("axis", 1)
    scale, zero = along(scale, axis, rank), along(zero, axis, rank).astype(np.int64)
    if isinstance(value, Exact):
        codes = _steps(value, scale, np.zeros(1, np.int64), "ROUND")
    else:
        codes = np.rint(value.astype(np.float32) / scale).astype(np.int64).astype(object)
    return Exact(np.clip(codes + zero.astype(object), *INTEGERS[kind]))


def dequantize_linear(operands: list[Any], attributes: Mapping[str, Any]) -> Exact:
    stored, scale = operands[0], operands[1]
    value = exact(stored if isinstance(stored, Exact) else stored.astype(np.int64))
    rank, axis = len(value.shape), attributes.get("axis", 1)
    if len(operands) > 2 and operands[2] is not None:
        value = value - Exact.of(along(operands[2], axis, rank).astype(np.int64))
    return value * Exact.of(along(scale, axis, rank))
