"""What a QONNX or QCDQ file says of a frame, in exact arithmetic: shares no code with the lowering.

The contract, which is the one the integer graph is held to:

    up to the first quantizer    float32, operator by operator, as the file's engine computes
    constants                    as stored; a quantizer of constants works in float32
    batch norm                   s = gamma / sqrt(var + eps) and beta - mean·s in float64, each
                                 rounded once to float32; what is made of them is exact
    all else                     exact fractions: sums, products, quotients, averages, the step a
                                 value lies in, the rounding of a tie
    Sigmoid, Tanh                60 decimal digits, exact at 0
    Softmax, ArgMax and the like at the end are left out: the result is the logits
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Context, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from exact_numbers import Exact, on_one_grid, product, rounded
from exact_windows import average_pool, convolution, max_pool
from onnx import ModelProto, NodeProto, helper, numpy_helper

Tensor = Exact | np.ndarray
HEADS = ("Softmax", "LogSoftmax", "Sigmoid", "ArgMax", "TopK", "Identity", "Cast")
DIGITS = Context(prec=60)
INTEGERS = {
    onnx.TensorProto.UINT8: (0, 255),
    onnx.TensorProto.INT8: (-128, 127),
    onnx.TensorProto.UINT16: (0, 65535),
    onnx.TensorProto.INT16: (-32768, 32767),
    onnx.TensorProto.INT32: (-(2**31), 2**31 - 1),
    onnx.TensorProto.UINT4: (0, 15),
    onnx.TensorProto.INT4: (-8, 7),
}


class NotInterpretedError(Exception):
    """An operator, or a form of one, that this interpreter has no rule for."""


def exact_logits(path: Path, frames: np.ndarray, output: str | None = None) -> Exact:
    """The logits of a file for float32 frames (N, *shape in the file), each run on its own.

    Args:
        output: the tensor that is wanted, instead of the file's first output.

    Raises:
        NotInterpretedError: there is no rule for an operator.
    """
    model = onnx.load(path)
    found = [_Run(model, frame[None]).result(output) for frame in frames.astype(np.float32)]
    parts = [value if isinstance(value, Exact) else Exact.of(value) for value in found]
    whole = parts[0].numerators, parts[0].denominator
    for part in parts[1:]:
        mine, theirs, common = on_one_grid(Exact(*whole), part)
        whole = np.concatenate([mine, theirs]), common
    return Exact(*whole)


class _Run:
    """One frame through the file; tensors are made when they are asked for."""

    def __init__(self, model: ModelProto, frame: np.ndarray) -> None:
        self.model = model
        self.makers = {name: node for node in model.graph.node for name in node.output if name}
        self.found: dict[str, Tensor] = {
            item.name: _plain(numpy_helper.to_array(item)) for item in model.graph.initializer
        }
        source = next(item for item in model.graph.input if item.name not in self.found)
        dims = [d.dim_value for d in source.type.tensor_type.shape.dim]
        self.batch = dims[0] if dims and dims[0] > 0 else 1
        self.found[source.name] = np.repeat(frame, self.batch, axis=0)

    def result(self, output: str | None) -> Tensor:
        name = output or self.model.graph.output[0].name
        while output is None and name in self.makers and self.makers[name].op_type in HEADS:
            name = self.makers[name].input[0]
        waiting = [name]
        while waiting:
            if waiting[-1] in self.found:
                waiting.pop()
                continue
            node = self.makers.get(waiting[-1])
            if node is None:
                raise NotInterpretedError(f"nothing makes {waiting[-1]}")
            missing = [item for item in node.input if item and item not in self.found]
            if missing:
                waiting += missing
                continue
            self._evaluate(node)
        value = self.found[name]
        shape = value.shape
        if self.batch > 1 and shape and shape[0] == self.batch:
            value = _moved(value, lambda array: array[:1])
        return value

    def _evaluate(self, node: NodeProto) -> None:
        operands = [self.found[item] if item else None for item in node.input]
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        rule = RULES.get(node.op_type)
        if rule is None:
            raise NotInterpretedError(f"no rule for {node.op_type}")
        result = rule(operands, attributes)
        for name, value in zip(node.output, result if isinstance(result, list) else [result]):
            if name:
                self.found[name] = value


# ---- values --------------------------------------------------------------------------------------


def _plain(array: np.ndarray) -> np.ndarray:
    if array.dtype in (np.float64, np.float16):
        return array.astype(np.float32)
    return array.astype(np.int64) if array.dtype.kind not in "iufb" else array


def _exact(value: Tensor) -> Exact:
    return value if isinstance(value, Exact) else Exact.of(value)


def _moved(value: Tensor, change: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    return value.moved(change) if isinstance(value, Exact) else change(value)


def _all_plain(*values: Tensor | None) -> bool:
    return all(value is None or isinstance(value, np.ndarray) for value in values)


def _text(attributes: Mapping[str, Any], key: str, default: str) -> str:
    found = attributes.get(key, default)
    return found.decode() if isinstance(found, bytes) else str(found)


def _numbers(value: Any) -> list[int]:
    return [int(n) for n in np.asarray(value).reshape(-1)]


def _along(value: Tensor, axis: int, rank: int) -> np.ndarray:
    """A parameter (channels,) for broadcasting along an axis."""
    array = np.asarray(value)
    if array.size == 1:
        return array.reshape(())
    shape = [1] * rank
    shape[axis] = -1
    return array.reshape(shape)


# ---- quantizers ----------------------------------------------------------------------------------


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


def _quant(operands: list[Any], attributes: Mapping[str, Any]) -> Exact:
    value, scale, zero, bits = operands
    if not _all_plain(scale, zero, bits):
        raise NotInterpretedError("a quantizer computed at run time")
    signed, narrow = attributes.get("signed", 1), attributes.get("narrow", 0)
    width = int(np.asarray(bits).reshape(-1)[0])
    if signed and width == 1:
        return _bipolar([value, scale], {})
    lo = -(1 << (width - 1)) + narrow if signed else 0
    hi = (1 << (width - 1)) - 1 if signed else (1 << width) - 1 - narrow
    mode = _text(attributes, "rounding_mode", "ROUND").upper()
    return _quantized(value, scale, zero, (lo, hi), mode)


def _bipolar(operands: list[Any], attributes: Mapping[str, Any]) -> Exact:
    value, scale = operands
    numbers = value.numerators if isinstance(value, Exact) else value
    signs = np.where(np.asarray(numbers >= 0, bool), 1, -1).astype(object)
    return Exact(signs) * Exact.of(scale)


def _trunc(operands: list[Any], attributes: Mapping[str, Any]) -> Exact:
    mode = _text(attributes, "rounding_mode", "FLOOR").upper()
    value, scale, zero, before = operands[:4]
    codes = _steps(_exact(value), scale, zero, "ROUND")
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


def _multi_threshold(operands: list[Any], attributes: Mapping[str, Any]) -> Exact:
    value, table = _exact(operands[0]), Exact.of(operands[1])
    axis = -1 if _text(attributes, "data_layout", "NCHW") in ("NHWC", "NWC") else 1
    numbers, edges, _ = on_one_grid(value, table)
    last = np.moveaxis(numbers, axis, -1)[..., None]
    counts = (last >= edges).astype(bool).sum(axis=-1).astype(object)
    counts = np.moveaxis(counts, -1, axis)
    scale, bias = (
        Exact.of(np.float32(attributes.get(key, default)))
        for key, default in (("out_scale", 1.0), ("out_bias", 0.0))
    )
    return Exact(counts) * scale + bias


def _quantize_linear(operands: list[Any], attributes: Mapping[str, Any]) -> Exact:
    """ONNX: saturate(round_half_even(x / y_scale) + y_zero_point)."""
    value, scale = operands[0], operands[1]
    zero = operands[2] if len(operands) > 2 and operands[2] is not None else np.zeros(1, np.uint8)
    kind = attributes.get("output_dtype") or helper.np_dtype_to_tensor_dtype(zero.dtype)
    rank, axis = len(value.shape), attributes.get("axis", 1)
    scale, zero = _along(scale, axis, rank), _along(zero, axis, rank).astype(np.int64)
    if isinstance(value, Exact):
        codes = _steps(value, scale, np.zeros(1, np.int64), "ROUND")
    else:
        codes = np.rint(value.astype(np.float32) / scale).astype(np.int64).astype(object)
    return Exact(np.clip(codes + zero.astype(object), *INTEGERS[kind]))


def _dequantize_linear(operands: list[Any], attributes: Mapping[str, Any]) -> Exact:
    value, scale = _exact(operands[0]), operands[1]
    rank, axis = len(value.shape), attributes.get("axis", 1)
    if len(operands) > 2 and operands[2] is not None:
        value = value - Exact.of(_along(operands[2], axis, rank).astype(np.int64))
    return value * Exact.of(_along(scale, axis, rank))


# ---- sums and products ---------------------------------------------------------------------------


def _two(float_rule: Callable[..., Any], exact_rule: Callable[[Exact, Exact], Exact]) -> Any:
    def rule(operands: list[Any], attributes: Mapping[str, Any]) -> Tensor:
        if _all_plain(*operands):
            return np.asarray(float_rule(*operands))
        return exact_rule(_exact(operands[0]), _exact(operands[1]))

    return rule


def _matmul(operands: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    return product(_exact(operands[0]), _exact(operands[1]))


def _gemm(operands: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    a, b = (
        _exact(value).moved(lambda array: array.T) if attributes.get(key) else _exact(value)
        for value, key in zip(operands, ("transA", "transB"), strict=False)
    )
    result = product(a, b) * Exact.of(np.float32(attributes.get("alpha", 1.0)))
    if len(operands) > 2:
        result = result + _exact(operands[2]) * Exact.of(np.float32(attributes.get("beta", 1.0)))
    return result


def _batch_norm(operands: list[Any], attributes: Mapping[str, Any]) -> Exact:
    value = _exact(operands[0])
    gamma, beta, mean, var = (np.asarray(item, np.float64) for item in operands[1:5])
    scale = gamma / np.sqrt(var + np.float64(np.float32(attributes.get("epsilon", 1e-5))))
    rank = len(value.shape)
    factor, term = (
        Exact.of(_along(item.astype(np.float32), 1, rank)) for item in (scale, beta - mean * scale)
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
    return lambda operands, attributes: _exact(operands[0]).each(change)


def _power(number: Fraction) -> Decimal:
    ratio = DIGITS.divide(Decimal(number.numerator), Decimal(number.denominator))
    return DIGITS.exp(ratio)


def _sigmoid(number: Fraction) -> Fraction:
    below = Fraction(_power(-abs(number)))
    return below / (1 + below) if number < 0 else 1 / (1 + below)


def _leaky(operands: list[Any], attributes: Mapping[str, Any]) -> Exact:
    slope = Fraction(float(np.float32(attributes.get("alpha", 0.01))))
    return _exact(operands[0]).each(lambda number: number if number >= 0 else number * slope)


def _prelu(operands: list[Any], attributes: Mapping[str, Any]) -> Exact:
    value = _exact(operands[0])
    scaled = value * Exact.of(operands[1])
    mine, theirs, common = on_one_grid(value, scaled)
    return Exact(np.where(np.asarray(mine >= 0, bool), mine, theirs), common)


def _hard_sigmoid(operands: list[Any], attributes: Mapping[str, Any]) -> Exact:
    alpha, beta = (
        Fraction(float(np.float32(attributes.get(key, default))))
        for key, default in (("alpha", 0.2), ("beta", 0.5))
    )
    return _exact(operands[0]).each(
        lambda number: min(Fraction(1), max(Fraction(0), alpha * number + beta))
    )


def _relu(operands: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    return _moved(operands[0], lambda array: np.where(np.asarray(array > 0, bool), array, 0))


# ---- means ---------------------------------------------------------------------------------------


def _mean(operands: list[Any], attributes: Mapping[str, Any]) -> Exact:
    value = _exact(operands[0])
    axes = _numbers(operands[1]) if len(operands) > 1 else list(attributes.get("axes", ()))
    keep = bool(attributes.get("keepdims", 1))
    where = tuple(axis % len(value.shape) for axis in axes) or tuple(range(2, len(value.shape)))
    count = int(np.prod([value.shape[axis] for axis in where]))
    total = value.numerators.sum(axis=where, keepdims=keep)
    return Exact(np.asarray(total, object), value.denominator * count).reduced()


# ---- order and shape -----------------------------------------------------------------------------


def _reshape(operands: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    sizes = _numbers(operands[1])
    shape = [operands[0].shape[i] if n == 0 else n for i, n in enumerate(sizes)]
    return _moved(operands[0], lambda array: array.reshape(shape))


def _flatten(operands: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    axis = attributes.get("axis", 1) % len(operands[0].shape)
    rows = int(np.prod(operands[0].shape[:axis]))
    return _moved(operands[0], lambda array: array.reshape(rows, -1))


def _axes(operands: list[Any], attributes: Mapping[str, Any]) -> list[int] | None:
    if len(operands) > 1 and operands[1] is not None:
        return _numbers(operands[1])
    return list(attributes["axes"]) if "axes" in attributes else None


def _squeeze(operands: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    axes = _axes(operands, attributes)
    where = None if axes is None else tuple(axes)
    return _moved(operands[0], lambda array: np.squeeze(array, where))


def _unsqueeze(operands: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    axes = tuple(_axes(operands, attributes) or ())
    return _moved(operands[0], lambda array: np.expand_dims(array, axes))


def _transpose(operands: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    return _moved(operands[0], lambda array: np.transpose(array, attributes.get("perm")))


def _concat(operands: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    if _all_plain(*operands):
        return np.concatenate(operands, attributes["axis"])
    whole = _exact(operands[0])
    for part in operands[1:]:
        mine, theirs, common = on_one_grid(whole, _exact(part))
        whole = Exact(np.concatenate([mine, theirs], attributes["axis"]), common)
    return whole


def _pad(operands: list[Any], attributes: Mapping[str, Any]) -> Tensor:
    rank = len(operands[0].shape)
    given = operands[1] if len(operands) > 1 else attributes["pads"]
    axes = _numbers(operands[3]) if len(operands) > 3 else list(range(rank))
    pads, widths = _numbers(given), [(0, 0)] * rank
    for place, axis in enumerate(axes):
        widths[axis] = pads[place], pads[place + len(axes)]
    if _text(attributes, "mode", "constant") != "constant":
        raise NotInterpretedError("a Pad that repeats the map")
    if len(operands) > 2 and operands[2] is not None and np.any(operands[2]):
        raise NotInterpretedError("a Pad by another value than 0")
    return _moved(operands[0], lambda array: np.pad(array, widths, constant_values=0))


def _constant(operands: list[Any], attributes: Mapping[str, Any]) -> np.ndarray:
    key, value = next(iter(attributes.items()))
    if key == "value":
        return _plain(numpy_helper.to_array(value))
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
        return rule(*[_exact(item) for item in operands if item is not None], dict(attributes))

    return run


RULES: Mapping[str, Callable[[list[Any], Mapping[str, Any]], Any]] = {
    "Quant": _quant,
    "IntQuant": _quant,
    "BipolarQuant": _bipolar,
    "Trunc": _trunc,
    "MultiThreshold": _multi_threshold,
    "QuantizeLinear": _quantize_linear,
    "DequantizeLinear": _dequantize_linear,
    "Add": _two(np.add, lambda a, b: a + b),
    "Sub": _two(np.subtract, lambda a, b: a - b),
    "Mul": _two(np.multiply, lambda a, b: a * b),
    "Div": _two(np.divide, lambda a, b: a * b.inverse()),
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Conv": _windows(convolution),
    "BatchNormalization": _batch_norm,
    "MaxPool": _windows(max_pool),
    "AveragePool": _windows(average_pool),
    "GlobalAveragePool": _mean,
    "ReduceMean": _mean,
    "Relu": _relu,
    "Clip": _clip,
    "LeakyRelu": _leaky,
    "PRelu": _prelu,
    "HardSigmoid": _hard_sigmoid,
    "Sigmoid": _curve(_sigmoid),
    "Tanh": _curve(lambda number: 2 * _sigmoid(2 * number) - 1),
    "Neg": lambda operands, attributes: _moved(operands[0], lambda array: -array),
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Concat": _concat,
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
