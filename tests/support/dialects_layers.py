"""QONNX by hand: layers, averages, joins and heads of every kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from dialect_writer import Collection, DialectWriter, image, quantized
from dialects import Dialect
from onnx import ModelProto, TensorProto, helper

Change = Callable[[DialectWriter, str], str]


def _before_quantizer(change: Change, **how: Any) -> ModelProto:
    """Convolution, something, a quantizer, a layer."""
    opset = how.pop("opset", 13)
    file, x = quantized(opset=opset)
    sums = file.norm(file.conv(x, 3, 4), 4)
    y = file.quantizer(change(file, sums), how.pop("scale", 0.25), 4, **how)
    return file.model(file.classes(file.block(y, 4, 4), 144), (1, 5))


def _between(change: Change, channels: int, size: int, **options: Any) -> ModelProto:
    """Something between two quantized layers; what it leaves is (channels, size, size)."""
    file, x = quantized(**options)
    y = change(file, file.block(x, 3, 4, bits=4, scale=0.25))
    y = file.block(y, channels, 4)
    return file.model(file.classes(y, 4 * size * size), (1, 5))


def _head(change: Change, shape: tuple[int, ...] = (1, 5), classes: int = 5) -> ModelProto:
    file, x = quantized()
    y = file.classes(file.block(x, 3, 4), 144, classes)
    return file.model(change(file, y), shape)


def _join(make: Callable[[DialectWriter, str], str]) -> ModelProto:
    file, x = quantized()
    y = make(file, file.block(x, 3, 4, scale=0.25, bits=4))
    y = file.quantizer(y, 0.25, 4, signed=1)
    return file.model(file.classes(y, 144), (1, 5))


def _branch(file: DialectWriter, x: str, scale: float, bits: int = 5) -> str:
    return file.quantizer(file.norm(file.conv(x, 4, 4), 4), scale, bits, signed=1)


def _conv1d(kernel: int, pad: int, stride: int, groups: int = 1) -> ModelProto:
    file = image((2, 24))
    x = file.quantizer("x", 2**-7, 8, signed=1)
    w = file.weights(4, 2, 5)
    y = file.op("Conv", x, w, kernel_shape=[5], pads=[2, 2])
    y = file.activation(file.norm(y, 4), 0.5, 3)
    w = file.weights(4, 4 // groups, kernel)
    y = file.op(
        "Conv", y, w, kernel_shape=[kernel], pads=[pad, pad], strides=[stride], group=groups
    )
    y = file.activation(file.norm(y, 4), 0.5, 3)
    length = (24 + 2 * pad - kernel) // stride + 1
    return file.model(file.classes(y, 4 * length), (1, 5))


def _rank3() -> ModelProto:
    file = image((1, 20))
    y = file.op("MatMul", file.quantizer("x", 2**-8, 8), file.weights(20, 8))
    return file.model(file.head(file.activation(y, 0.5, 3), 8), (1, 1, 5))


def _gemm(**how: Any) -> ModelProto:
    file = image((20,))
    x = file.quantizer("x", 2**-8, 8)
    shape = (8, 20) if how.get("transB") else (20, 8)
    y = file.op("Gemm", x, file.weights(*shape), file.constant(file.rng.normal(size=8)), **how)
    return file.model(file.head(file.activation(y, 0.5, 3), 8), (1, 5))


def _pooled_vector() -> ModelProto:
    file, x = quantized()
    y = file.op("GlobalAveragePool", file.block(x, 3, 4, bits=4))
    y = file.op("Conv", y, file.weights(5, 4, 1, 1), kernel_shape=[1, 1])
    return file.model(y, (1, 5, 1, 1))


def _trunc(width: int, rounding: str) -> ModelProto:
    """A sum of four pixels of four bits, of which `width` bits are kept (as Brevitas' TruncAvgPool
    writes it)."""
    file, x = quantized()
    y = file.block(x, 3, 4, bits=4, scale=0.25)
    y = file.op("AveragePool", y, kernel_shape=[2, 2], strides=[2, 2])
    y = file.op("Mul", y, file.constant(4.0))
    parameters = [file.constant(value) for value in (0.25, 0, 6, width)]
    y = file.op("Trunc", y, *parameters, domain=file.domain, rounding_mode=rounding)
    y = file.op("Div", y, file.constant(4.0)) if width == 4 else y
    return file.model(file.classes(y, 36), (1, 5))


def _average(change: Change, features: int, *, again: bool) -> ModelProto:
    file, x = quantized()
    y = change(file, file.block(x, 3, 4, bits=4, scale=0.25))
    y = file.quantizer(y, 0.125, 4) if again else y
    return file.model(file.classes(y, features), (1, 5))


def _parameter(file: DialectWriter, values: Any) -> str:
    return file.constant(np.asarray(values, np.float32).reshape(-1, 1, 1))


BEFORE: dict[str, tuple[Change, dict[str, Any]]] = {
    "ReLU6": (lambda f, y: f.op("Clip", y, f.constant(0.0), f.constant(6.0)), {}),
    "HardTanh": (
        lambda f, y: f.op("Clip", y, f.constant(-1.0), f.constant(1.0)),
        {"signed": 1},
    ),
    "HardSigmoid": (lambda f, y: f.op("HardSigmoid", y, alpha=0.25, beta=0.5), {"scale": 0.0625}),
    "LeakyReLU": (lambda f, y: f.op("LeakyRelu", y, alpha=0.125), {"signed": 1}),
    "PReLU per channel": (
        lambda f, y: f.op("PRelu", y, _parameter(f, [0.1, 0.2, 0.5, 0.25])),
        {"signed": 1},
    ),
    "PReLU with a negative slope": (
        lambda f, y: f.op("PRelu", y, _parameter(f, [0.1, -0.2, 0.5, 0.25])),
        {"signed": 1},
    ),
    "Sigmoid": (lambda f, y: f.op("Sigmoid", y), {"scale": 0.0625}),
    "Tanh": (lambda f, y: f.op("Tanh", y), {"signed": 1, "scale": 0.125}),
    "ReLU, then batch norm": (lambda f, y: f.norm(f.op("Relu", y), 4), {"signed": 1}),
    "ReLU, then batch norm of negative factors": (
        lambda f, y: f.norm(f.op("Relu", y), 4, negative=True),
        {"signed": 1},
    ),
    "ReLU, then Mul": (lambda f, y: f.op("Mul", f.op("Relu", y), f.constant(0.7)), {}),
    "ReLU, then Add": (lambda f, y: f.op("Add", f.op("Relu", y), f.constant(0.3)), {}),
    "max-pool before the quantizer": (
        lambda f, y: f.op("MaxPool", y, kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4),
        {"signed": 1},
    ),
    "max-pool after a negative factor": (
        lambda f, y: f.op(
            "MaxPool",
            f.op("Mul", y, f.constant(-1.0)),
            kernel_shape=[3, 3],
            strides=[1, 1],
            pads=[1] * 4,
        ),
        {"signed": 1},
    ),
    "Sub from a constant": (lambda f, y: f.op("Sub", f.constant(0.5), y), {"signed": 1}),
    "Neg": (lambda f, y: f.op("Neg", y), {"signed": 1}),
    "Abs": (lambda f, y: f.op("Abs", y), {}),
    "batch norm of negative factors": (
        lambda f, y: f.norm(y, 4, negative=True),
        {"signed": 1},
    ),
    "two convolutions without a quantizer": (lambda f, y: f.conv(y, 4, 4), {"signed": 1}),
}
POOLS: dict[str, tuple[Change, int]] = {
    "GlobalAveragePool": (lambda f, y: f.op("GlobalAveragePool", y), 4),
    "ReduceMean": (lambda f, y: f.op("ReduceMean", y, axes=[2, 3], keepdims=1), 4),
    "ReduceMean without axes of one": (
        lambda f, y: f.op("ReduceMean", y, axes=[2, 3], keepdims=0),
        4,
    ),
    "AveragePool 2x2": (
        lambda f, y: f.op("AveragePool", y, kernel_shape=[2, 2], strides=[2, 2]),
        36,
    ),
    "AveragePool 3x3, stride 1": (lambda f, y: f.op("AveragePool", y, kernel_shape=[3, 3]), 64),
    "AveragePool 3x2": (
        lambda f, y: f.op("AveragePool", y, kernel_shape=[3, 2], strides=[3, 2]),
        24,
    ),
    "AveragePool 6x6": (lambda f, y: f.op("AveragePool", y, kernel_shape=[6, 6]), 4),
    "AveragePool with padding that counts": (
        lambda f, y: f.op("AveragePool", y, kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1),
        144,
    ),
    "AveragePool with ceil_mode": (
        lambda f, y: f.op("AveragePool", y, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
        36,
    ),
    "AveragePool 5x3 with padding of one side": (
        lambda f, y: f.op("AveragePool", y, kernel_shape=[5, 3], pads=[0, 1, 3, 0], strides=[2, 1]),
        60,
    ),
    "AveragePool with padding": (
        lambda f, y: f.op("AveragePool", y, kernel_shape=[3, 3], pads=[1] * 4),
        144,
    ),
}
BETWEEN: dict[str, tuple[Change, int, int, dict[str, Any]]] = {
    "Pad as an input": (
        lambda f, y: f.op("Pad", y, f.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64)),
        4,
        8,
        {},
    ),
    "Pad with axes": (
        lambda f, y: f.op(
            "Pad", y, f.constant([1, 1, 1, 1], np.int64), "", f.constant([2, 3], np.int64)
        ),
        4,
        8,
        {"opset": 18},
    ),
    "Pad as attribute": (
        lambda f, y: f.op("Pad", y, pads=[0, 0, 1, 1, 0, 0, 1, 1]),
        4,
        8,
        {"opset": 10},
    ),
    "SAME_UPPER": (lambda f, y: f.activation(_same(f, y)), 4, 3, {}),
    "max-pool with ceil_mode": (
        lambda f, y: f.op("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
        4,
        3,
        {},
    ),
    "batch norm after the quantizer": (lambda f, y: f.norm(y, 4), 4, 6, {}),
    "batch norm after the quantizer, depthwise": (
        lambda f, y: f.activation(_own(f, f.norm(y, 4, negative=True))),
        4,
        6,
        {},
    ),
    "bias after the quantizer": (
        lambda f, y: f.op("Add", y, _parameter(f, [0.3, -0.7, 0.1, 0.9])),
        4,
        6,
        {},
    ),
    "factor and term after the quantizer": (
        lambda f, y: f.op("Add", f.op("Mul", y, f.constant(-0.3)), f.constant(0.173)),
        4,
        6,
        {},
    ),
    "bias after the quantizer, average whose padding counts": (
        lambda f, y: f.activation(
            f.op(
                "AveragePool",
                f.op("Add", y, _parameter(f, [0.3, -0.7, 0.1, 0.9])),
                kernel_shape=[3, 3],
                pads=[1] * 4,
                count_include_pad=1,
            ),
            0.25,
        ),
        4,
        6,
        {},
    ),
    "Upsample by 2": (
        lambda f, y: f.op(
            "Resize",
            y,
            "",
            f.constant([1, 1, 2, 2]),
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        ),
        4,
        12,
        {},
    ),
    "ConvTranspose": (
        lambda f, y: f.activation(
            f.op("ConvTranspose", y, f.weights(4, 4, 2, 2), kernel_shape=[2, 2], strides=[2, 2])
        ),
        4,
        12,
        {},
    ),
    "DepthToSpace": (lambda f, y: f.op("DepthToSpace", y, blocksize=2), 1, 12, {}),
    "Concat of one scale": (
        lambda f, y: f.op("Concat", y, f.block(y, 4, 2, bits=4, scale=0.25), axis=1),
        6,
        6,
        {},
    ),
    "Concat of two scales": (
        lambda f, y: f.op("Concat", y, f.block(y, 4, 2, bits=4, scale=0.125), axis=1),
        6,
        6,
        {},
    ),
    "depthwise, scale per channel before it": (lambda f, y: _depthwise(f, y), 4, 6, {}),
    "groups of 2": (
        lambda f, y: f.activation(
            f.op("Conv", y, f.weights(4, 2, 3, 3), kernel_shape=[3, 3], pads=[1] * 4, group=2)
        ),
        4,
        6,
        {},
    ),
    "codes of -1 and +1": (lambda f, y: f.bipolar(f.conv(y, 4, 4)), 4, 6, {}),
    "codes of -1 and +1, scale 0.3": (lambda f, y: f.bipolar(f.conv(y, 4, 4), 0.3), 4, 6, {}),
}
JOINS: dict[str, Callable[[DialectWriter, str], str]] = {
    "Add of one scale": lambda f, y: f.op("Add", y, _branch(f, y, 0.25)),
    "Add of scales 1:2": lambda f, y: f.op("Add", y, _branch(f, y, 0.5)),
    "Add of scales 2:3": lambda f, y: f.op("Add", y, _branch(f, y, 0.375)),
    "Add of scales without a ratio": lambda f, y: f.op("Add", y, _branch(f, y, 0.1)),
    "Sub of branches": lambda f, y: f.op("Sub", y, _branch(f, y, 0.25)),
    "a branch times one half": lambda f, y: f.op(
        "Add", f.op("Mul", y, f.constant(0.5)), _branch(f, y, 0.25)
    ),
    "Add of a sum and a branch": lambda f, y: f.op("Add", f.conv(y, 4, 4), y),
    "Mul of branches": lambda f, y: f.op("Mul", y, _branch(f, y, 0.25)),
    "Add to itself": lambda f, y: f.op("Add", y, y),
}
HEADS: dict[str, tuple[Change, tuple[int, ...], int]] = {
    "Softmax": (lambda f, y: f.op("Softmax", y, axis=1), (1, 5), 5),
    "LogSoftmax": (lambda f, y: f.op("LogSoftmax", y, axis=1), (1, 5), 5),
    "Sigmoid of one logit": (lambda f, y: f.op("Sigmoid", y), (1, 1), 1),
    "batch norm": (lambda f, y: f.norm(y, 5), (1, 5), 5),
    "batch norm of negative factors": (lambda f, y: f.norm(y, 5, negative=True), (1, 5), 5),
    "bias": (lambda f, y: f.op("Add", y, f.constant(f.rng.normal(size=5))), (1, 5), 5),
    "scale per class": (lambda f, y: f.op("Mul", y, f.constant([1, 2, 3, 0.7, -1])), (1, 5), 5),
    "scalar scale and bias": (
        lambda f, y: f.op("Add", f.op("Mul", y, f.constant(0.37)), f.constant(-0.2)),
        (1, 5),
        5,
    ),
    "ReLU": (lambda f, y: f.op("Relu", y), (1, 5), 5),
    "quantizer": (lambda f, y: f.quantizer(y, 0.25, 8, signed=1), (1, 5), 5),
}


def _same(file: DialectWriter, y: str) -> str:
    return file.op(
        "Conv",
        y,
        file.weights(4, 4, 3, 3),
        kernel_shape=[3, 3],
        strides=[2, 2],
        auto_pad="SAME_UPPER",
    )


def _depthwise(file: DialectWriter, y: str) -> str:
    scale = np.array([0.25, 0.5, 0.3, 0.125]).reshape(1, 4, 1, 1)
    y = file.quantizer(file.op("Relu", file.conv(y, 4, 4)), scale, 4)
    return file.activation(_own(file, y))


def _own(file: DialectWriter, y: str) -> str:
    """A depthwise convolution."""
    return file.op("Conv", y, file.weights(4, 1, 3, 3), kernel_shape=[3, 3], pads=[1] * 4, group=4)


def _indices(kind: str) -> ModelProto:
    """ArgMax or TopK at the end."""
    file, x = quantized()
    y = file.classes(file.block(x, 3, 4), 144)
    if kind == "ArgMax":
        y = file.op("ArgMax", y, axis=1, keepdims=0)
        return file.model(y, (1,), output_type=TensorProto.INT64)
    node = helper.make_node(
        "TopK", [y, file.constant([1], np.int64)], ["top_values", "top"], axis=1
    )
    file.nodes.append(node)
    return file.model("top", (1, 1), output_type=TensorProto.INT64)


def layer_files() -> list[Dialect]:
    """Each file of this family."""
    group = Collection("layer")
    for name, (change, how) in BEFORE.items():
        group.add(name, lambda c=change, h=how: _before_quantizer(c, **h))
    for name, (between, channels, size, options) in BETWEEN.items():
        group.add(name, lambda c=between, n=channels, s=size, o=options: _between(c, n, s, **o))
    for kernel, pad, stride, groups in ((3, 1, 1, 1), (4, 0, 2, 1), (3, 1, 1, 4)):
        group.add(
            f"Conv1d {kernel}, pad {pad}, stride {stride}, groups {groups}",
            lambda a=(kernel, pad, stride, groups): _conv1d(*a),
        )
    group.add("MatMul of rank 3", _rank3)
    group.add("Gemm", lambda: _gemm())
    group.add("Gemm transB", lambda: _gemm(transB=1))
    group.add("Gemm alpha and beta", lambda: _gemm(alpha=0.5, beta=0.25))
    group.add("1x1 convolution on a pooled vector", _pooled_vector)
    for name, (pool, features) in POOLS.items():
        for again in (False, True):
            group.add(
                f"{name}{', quantizer' if again else ''}",
                lambda p=pool, n=features, a=again: _average(p, n, again=a),
            )
    for rounding in ("FLOOR", "ROUND", "CEIL"):
        group.add(f"Trunc to 4 bits, {rounding}", lambda r=rounding: _trunc(4, r))
    group.add("Trunc to 2 bits, FLOOR", lambda: _trunc(2, "FLOOR"))
    for name, join in JOINS.items():
        group.add(name, lambda j=join: _join(j))
    for name, (head, shape, classes) in HEADS.items():
        group.add(f"head: {name}", lambda h=head, s=shape, c=classes: _head(h, s, c))
    for kind in ("ArgMax", "TopK"):
        group.add(f"head: {kind}", lambda k=kind: _indices(k))
    return group.files
