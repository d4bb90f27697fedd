"""Networks that do not become hardware, each for one reason, and what a refusal has to name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from dialect_writer import DialectWriter, image, quantized
from onnx import ModelProto, helper

NOT_RISING = ("Abs", "Neg then ReLU", "Sin", "Mish", "HardSwish", "Gelu")


@dataclass(frozen=True)
class Unsupported:
    """One file.

    Args:
        make: the file.
        operator: one that the refusal names.
        words: of the reason or the way out.
    """

    make: Callable[[], ModelProto]
    operator: str
    words: str


def _finished(file: DialectWriter, x: str) -> ModelProto:
    return file.model(file.classes(file.block(x, 3, 4), 144), (1, 5))


def _body() -> Any:
    return helper.make_graph([], "body", [], [])


def _loop() -> ModelProto:
    file, x = quantized()
    times, yes = file.constant(3, np.int64), file.constant(True, np.bool_)
    return _finished(file, file.op("Loop", times, yes, x, body=_body()))


def _if() -> ModelProto:
    file, _ = quantized()
    yes = file.constant(True, np.bool_)
    return _finished(file, file.op("If", yes, then_branch=_body(), else_branch=_body()))


def _sequence() -> ModelProto:
    file, x = quantized()
    several = file.op("SequenceConstruct", x, x)
    return _finished(file, file.op("SequenceAt", several, file.constant(0, np.int64)))


def _dynamic() -> ModelProto:
    file = image((3, "height", "width"))
    y = file.block(file.quantizer("x", 2**-8, 8), 3, 4)
    y = file.flat(file.op("GlobalAveragePool", y))
    return file.model(file.head(y, 4), (1, 5))


def _two_networks() -> ModelProto:
    first, second = _finished(*quantized()), _finished(*quantized())
    for tensors in (second.graph.initializer, second.graph.input, second.graph.output):
        for item in tensors:
            item.name = f"second_{item.name}"
    for node in second.graph.node:
        node.name = f"second_{node.name}"
        for names in (node.input, node.output):
            names[:] = [f"second_{name}" for name in names]
    for kind in ("node", "initializer", "input", "output"):
        getattr(first.graph, kind).extend(getattr(second.graph, kind))
    return first


def _activation(kind: str, slope: float = 0.0) -> ModelProto:
    file, x = quantized(opset=20)
    y = file.norm(file.conv(x, 3, 4), 4)
    if kind == "Neg then ReLU":
        y = file.op("Add", file.op("Relu", y), file.op("Relu", file.op("Neg", y)))
    elif kind == "PRelu":
        y = file.op("PRelu", y, file.constant(np.full((4, 1, 1), slope)))
    else:
        y = file.op(kind, y)
    y = file.quantizer(y, 0.25, 4, signed=1)
    return file.model(file.classes(file.block(y, 4, 4), 144), (1, 5))


def _scale(value: float) -> ModelProto:
    file, x = quantized()
    y = file.quantizer(file.op("Relu", file.conv(x, 3, 4)), value, 4)
    return file.model(file.classes(y, 144), (1, 5))


def _future() -> ModelProto:
    model = _finished(*quantized())
    model.opset_import[0].version = 99
    return model


def _at_run_time() -> ModelProto:
    file, x = quantized()
    y = file.op("Relu", file.conv(x, 3, 4))
    largest = file.op("ReduceMax", y, keepdims=0)
    y = file.op(
        "Quant",
        y,
        largest,
        file.constant(0),
        file.constant(4),
        domain=file.domain,
        signed=0,
        narrow=0,
        rounding_mode="ROUND",
    )
    return file.model(file.classes(y, 144), (1, 5))


def zero_slopes() -> ModelProto:
    """This one is taken: it is ReLU."""
    return _activation("PRelu", 0.0)


def shared_weights() -> ModelProto:
    """This one is taken: of one array two layers take codes of scales of their own."""
    file, x = quantized()
    x = file.block(x, 3, 4)
    values = file.constant(file.rng.normal(size=(4, 4, 3, 3)))
    for scale in (0.25, 0.125):
        w = file.quantizer(values, scale, 4, signed=1)
        sums = file.op("Conv", x, w, kernel_shape=[3, 3], pads=[1] * 4)
        x = file.activation(file.norm(sums, 4), 0.5, 3)
    return file.model(file.classes(x, 144), (1, 5))


def unsupported() -> dict[str, Unsupported]:
    """Name -> file."""
    found = {
        "loop": Unsupported(_loop, "Loop", "graph of its own"),
        "if": Unsupported(_if, "If", "graph of its own"),
        "sequence": Unsupported(_sequence, "SequenceConstruct", "no hardware"),
        "dynamic height and width": Unsupported(_dynamic, "x", "fixed"),
        "two networks": Unsupported(_two_networks, "network.onnx", "one input"),
        "operators of the future": Unsupported(_future, "network.onnx", "operator set"),
        "quantizer computed at run time": Unsupported(_at_run_time, "Quant", "run time"),
        "negative slopes": Unsupported(lambda: _activation("PRelu", -0.25), "PRelu", "slope"),
    }
    for kind in NOT_RISING:
        operator, words = ("Add", "quantizer") if kind.startswith("Neg") else (kind, "never fall")
        make = partial(_activation, kind)
        found[f"activation {kind}"] = Unsupported(make, operator, words)
    for value in (np.inf, np.nan, 0.0):
        found[f"scale {value}"] = Unsupported(partial(_scale, value), "Quant", "finite")
    return found
