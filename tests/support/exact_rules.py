"""The rule of each operator for the exact interpreter: operands and attributes to a value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from exact_enlarging import conv_transpose, depth_to_space, resize
from exact_finn import im2col, max_pool_last, xnor_popcount
from exact_numbers import Exact, NotInterpretedError, on_one_grid, product
from exact_quantizers import (
    bipolar,
    dequantize_linear,
    multi_threshold,
    quant,
    quantize_linear,
    trunc,
)
from exact_values import (
    Tensor,
    all_plain,
    along,
    exact,
    moved,
    numbers_of,
    plain,
    text_of,
)
from exact_windows import average_pool, convolution, max_pool
from onnx import numpy_helper

DIGITS = Context(prec=60)


# ---- sums and products ---------------------------------------------------------------------------


def _two(float_rule: Callable[..., Any], exact_rule: Callable[[Exact, Exact], Exact]) -> Any:
    def rule(operands: list[Any], attributes: Mapping[str, Any]) -> Tensor:
        if all_plain(*operands):
            return np.asarray(float_rule(*operands))
        return exact_rule(exact(operands[0]), exact(operands[1]))

    return rule


def _of_constants(float_rule: Callable[..., Any]) -> Any:
    """An operator that only stands between constants, in the file's own float32."""

    def rule(operands: list[Any], attributes: Mapping[str, Any]) -> Tensor:
        if not all_plain(*operands):
            raise NotInterpretedError("a curve of a value that is no constant")
        return np.asarray(float_rule(*operands))

    return rule


def _matmul(operands: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    return product(exact(operands[0]), exact(operands[1]))


def _gemm(operands: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    a, b = (
        exact(value).moved(lambda array: array.T) if attributes.get(key) else exact(value)
        for value, key in zip(operands, ("transA", "transB"), strict=False)
    )
    result = product(a, b) * Exact.of(np.float32(attributes.get("alpha", 1.0)))
    if len(operands) > 2:
        result = result + exact(operands[2]) * Exact.of(np.float32(attributes.get("beta", 1.0)))
    return result


def _batch_norm(operands: list[Any], attributes: Mapping[str, Any]) -> Exact:
    value = exact(operands[0])
    gamma, beta, mean, var = (np.asarray(item, np.float64) for item in operands[1:5])
    scale = gamma / np.sqrt(var + np.float64(np.float32(attributes.get("epsilon", 1e-5))))
    rank = len(value.shape)
    factor, term = (
        Exact.of(along(item.astype(np.float32), 1, rank)) for item in (scale, beta - mean * scale)
    )
    return value * factor + term


# ---- one element at a time -----------------------------------------------------------------------


def _clip(operands: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    limits: list[Any] = [attributes.get("min"), attributes.get("max")]
    for place, value in enumerate(operands[1:3]):
        limits[place] = limits[place] if value is None else np.asarray(value).item()
    value = operands[0]
    if isinstance(value, np.ndarray):
        return np.clip(value, *limits).astype(value.dtype)
    low, high = (None if end is None or np.isinf(end) else Fraction(end) for end in limits)

    def change(number: Fraction) -> Fraction:
        number = number if low is None else max(number, low)
        return number if high is None else min(number, high)

    return value.each(change)


def _curve(change: Callable[[Fraction], Fraction]) -> Any:
    return lambda operands, attributes: exact(operands[0]).each(change)


def _power(number: Fraction) -> Decimal:
    ratio = DIGITS.divide(Decimal(number.numerator), Decimal(number.denominator))
    return DIGITS.exp(ratio)


def _sigmoid(number: Fraction) -> Fraction:
    below = Fraction(_power(-abs(number)))
    return below / (1 + below) if number < 0 else 1 / (1 + below)


def _leaky(operands: list[Any], attributes: Mapping[str, Any]) -> Exact:
    slope = Fraction(float(np.float32(attributes.get("alpha", 0.01))))
    return exact(operands[0]).each(lambda number: number if number >= 0 else number * slope)


def _prelu(operands: list[Any], attributes: Mapping[str, Any]) -> Exact:
    value = exact(operands[0])
    scaled = value * Exact.of(operands[1])
    mine, theirs, common = on_one_grid(value, scaled)
    return Exact(np.where(np.asarray(mine >= 0, bool), mine, theirs), common)


def _hard_sigmoid(operands: list[Any], attributes: Mapping[str, Any]) -> Exact:
    alpha, beta = (
        Fraction(float(np.float32(attributes.get(key, default))))
        for key, default in (("alpha", 0.2), ("beta", 0.5))
    )
    return exact(operands[0]).each(
        lambda number: min(Fraction(1), max(Fraction(0), alpha * number + beta))
    )


def _relu(operands: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    return moved(operands[0], lambda array: np.where(np.asarray(array > 0, bool), array, 0))


# ---- means ---------------------------------------------------------------------------------------


def _mean(operands: list[Any], attributes: Mapping[str, Any]) -> Exact:
    value = exact(operands[0])
    axes = numbers_of(operands[1]) if len(operands) > 1 else list(attributes.get("axes", ()))
    keep = bool(attributes.get("keepdims", 1))
    where = tuple(axis % len(value.shape) for axis in axes) or tuple(range(2, len(value.shape)))
    count = int(np.prod([value.shape[axis] for axis in where]))
    total = value.numerators.sum(axis=where, keepdims=keep)
    return Exact(np.asarray(total, object), value.denominator * count).reduced()


def _quantized_average(operands: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    """QONNX's QuantAvgPool2d: the sum of a window, rounded, and shifted."""
    kernel, last = attributes["kernel"], text_of(attributes, "data_layout", "NCHW") == "NHWC"
    value = exact(operands[0])
    value = value.moved(lambda array: np.moveaxis(array, -1, 1)) if last else value
    window = {"kernel_shape": [kernel] * 2, "strides": [attributes["stride"]] * 2}
    widest = ((1 << attributes["ibits"]) - 1) * kernel * kernel
    shift = max(widest.bit_length() - attributes["obits"], 0)
    total = average_pool(value, window) * Exact.of(np.int64(kernel * kernel))
    result = total.each(lambda number: Fraction(round(number) >> shift))
    return result.moved(lambda array: np.moveaxis(array, 1, -1)) if last else result


# ---- order and shape -----------------------------------------------------------------------------


def _reshape(operands: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    sizes = numbers_of(operands[1])
    shape = [operands[0].shape[i] if n == 0 else n for i, n in enumerate(sizes)]
    return moved(operands[0], lambda array: array.reshape(shape))


def _flatten(operands: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    axis = attributes.get("axis", 1) % len(operands[0].shape)
    rows = int(np.prod(operands[0].shape[:axis]))
    return moved(operands[0], lambda array: array.reshape(rows, -1))


def _axes(operands: list[Any], attributes: Mapping[str, Any]) -> list[int] | None:
    if len(operands) > 1 and operands[1] is not None:
        return numbers_of(operands[1])
    return list(attributes["axes"]) if "axes" in attributes else None


def _squeeze(operands: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    axes = _axes(operands, attributes)
    where = None if axes is None else tuple(axes)
    return moved(operands[0], lambda array: np.squeeze(array, where))


def _unsqueeze(operands: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    axes = tuple(_axes(operands, attributes) or ())
    return moved(operands[0], lambda array: np.expand_dims(array, axes))


def _transpose(operands: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    return moved(operands[0], lambda array: np.transpose(array, attributes.get("perm")))


def _concat(operands: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    if all_plain(*operands):
        return np.concatenate(operands, attributes["axis"])
    whole = exact(operands[0])
    for part in operands[1:]:
        mine, theirs, common = on_one_grid(whole, exact(part))
        whole = Exact(np.concatenate([mine, theirs], attributes["axis"]), common)
    return whole


def _pad(operands: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    rank = len(operands[0].shape)
    given = operands[1] if len(operands) > 1 else attributes["pads"]
    axes = numbers_of(operands[3]) if len(operands) > 3 else list(range(rank))
    pads, widths = numbers_of(given), [(0, 0)] * rank
    for place, axis in enumerate(axes):
        widths[axis] = pads[place], pads[place + len(axes)]
    if text_of(attributes, "mode", "constant") != "constant":
        raise NotInterpretedError("a Pad that repeats the map")
    if len(operands) > 2 and operands[2] is not None and np.any(operands[2]):
        raise NotInterpretedError("a Pad by another value than 0")
    return moved(operands[0], lambda array: np.pad(array, widths, constant_values=0))


def _constant(operands: list[Any], attributes: Mapping[str, Any]) -> np.ndarray:
    key, value = next(iter(attributes.items()))
    if key == "value":
        return plain(numpy_helper.to_array(value))
    return np.asarray(value, np.float32 if key.startswith("value_f") else np.int64)


def _cast(operands: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    value, to = operands[0], attributes["to"]
    if to == onnx.TensorProto.FLOAT:
        return value.astype(np.float32) if isinstance(value, np.ndarray) else value
    if isinstance(value, np.ndarray) and to in (onnx.TensorProto.INT64, onnx.TensorProto.INT32):
        return value.astype(np.int64)
    raise NotInterpretedError("a Cast to anything but float32")


def _as_it_is(operands: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    return operands[0]


def _windows(rule: Callable[..., Exact]) -> Any:
    def run(operands: list[Any], attributes: Mapping[str, Any]) -> Exact:
        return rule(*[exact(item) for item in operands if item is not None], dict(attributes))

    return run


RULES: Mapping[str, Callable[[list[Any], Mapping[str, Any]], Any]] = {
    "Quant": quant,
    "IntQuant": quant,
    "BipolarQuant": bipolar,
    "Trunc": trunc,
    "MultiThreshold": multi_threshold,
    "QuantizeLinear": quantize_linear,
    "DequantizeLinear": dequantize_linear,
    "Add": _two(np.add, lambda a, b: a + b),
    "Sub": _two(np.subtract, lambda a, b: a - b),
    "Mul": _two(np.multiply, lambda a, b: a * b),
    "Div": _two(np.divide, lambda a, b: a * b.inverse()),
    "Pow": _of_constants(np.power),
    "Sqrt": _of_constants(np.sqrt),
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Conv": _windows(convolution),
    "BatchNormalization": _batch_norm,
    "MaxPool": _windows(max_pool),
    "AveragePool": _windows(average_pool),
    "GlobalAveragePool": _mean,
    "ReduceMean": _mean,
    "QuantAvgPool2d": _quantized_average,
    "Log": _of_constants(np.log),
    "Ceil": _of_constants(np.ceil),
    "Relu": _relu,
    "Clip": _clip,
    "LeakyRelu": _leaky,
    "PRelu": _prelu,
    "HardSigmoid": _hard_sigmoid,
    "Sigmoid": _curve(_sigmoid),
    "Tanh": _curve(lambda number: 2 * _sigmoid(2 * number) - 1),
    "Neg": lambda operands, attributes: moved(operands[0], lambda array: -array),
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Concat": _concat,
    "Resize": resize,
    "Upsample": resize,
    "DepthToSpace": depth_to_space,
    "ConvTranspose": conv_transpose,
    "Im2Col": im2col,
    "XnorPopcountMatMul": xnor_popcount,
    "MaxPoolNHWC": max_pool_last,
    "Pad": _pad,
    "Shape": lambda operands, attributes: np.array(operands[0].shape, np.int64),
    "Gather": lambda operands, attributes: np.take(
        operands[0], np.asarray(operands[1], np.int64), attributes.get("axis", 0)
    ),
    "Constant": _constant,
    "Cast": _cast,
    "Identity": _as_it_is,
    "Dropout": _as_it_is,
}
