"""QONNX by hand: several outputs on one trunk."""

from __future__ import annotations

from dialect_writer import Collection, DialectWriter, quantized
from dialects import Dialect
from onnx import ModelProto, TensorProto, helper


def _finished(file: DialectWriter, outputs: dict[str, tuple[int, ...]]) -> ModelProto:
    model = file.model(next(iter(outputs)))
    del model.graph.output[:]
    for name, shape in outputs.items():
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    return model


def _vectors(*sizes: int, bias: bool = False) -> ModelProto:
    file, x = quantized()
    flat = file.flat(file.block(file.block(x, 3, 4), 4, 4))
    outputs = {}
    for number, size in enumerate(sizes):
        y = file.op("MatMul", flat, file.weights(144, size, scale=0.125 / (number + 1)))
        if bias:
            y = file.op("Add", y, file.constant(file.rng.normal(size=size)))
        outputs[y] = (1, size)
    return _finished(file, outputs)


def _maps(*sizes: int) -> ModelProto:
    file, x = quantized()
    y = file.block(file.block(x, 3, 4), 4, 4)
    outputs = {}
    for size in sizes:
        weights = file.weights(size, 4, 1, 1)
        outputs[file.op("Conv", y, weights, kernel_shape=[1, 1])] = (1, size, 6, 6)
    return _finished(file, outputs)


def _codes_and_logits() -> ModelProto:
    """The codes of the last hidden layer, an embedding, beside the logits."""
    file, x = quantized()
    flat = file.flat(file.block(x, 3, 4))
    hidden = file.activation(file.op("MatMul", flat, file.weights(144, 8)), 0.5, 3)
    return _finished(file, {file.head(hidden, 8): (1, 5), hidden: (1, 8)})


def output_files() -> list[Dialect]:
    """Each file of this family."""
    group = Collection("outputs")
    group.add("two heads", lambda: _vectors(5, 3))
    group.add("three heads with biases", lambda: _vectors(5, 3, 2, bias=True))
    group.add("two maps", lambda: _maps(2, 3))
    group.add("an embedding and logits", _codes_and_logits)
    return group.files
