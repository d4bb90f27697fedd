"""QONNX by hand: how files are put together, and quantizers of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from dialect_writer import Collection, DialectWriter, quantized
from dialects import Dialect
from onnx import ModelProto, TensorProto, helper, numpy_helper

ROUNDINGS = ("HALF_EVEN", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN", "ROUND_TO_ZERO")


def convnet(batch: Any = 1, **options: Any) -> DialectWriter:
    """Two convolutions and a head; `done` closes it."""
    return quantized(batch=batch, **options)[0]


def plain(**options: Any) -> ModelProto:
    """The network that most files of this family hold."""
    imports, version = options.pop("imports", None), options.pop("ir_version", 8)
    batch = options.get("batch", 1)
    file, x = quantized(**options)
    y = file.block(file.block(x, 3, 4), 4, 4)
    return file.model(file.classes(y, 144), (batch, 5), imports=imports, ir_version=version)


def _quantizer(**how: Any) -> ModelProto:
    """One activation quantizer of a kind of its own, before a layer with padding."""
    scale, bits = how.pop("scale", 0.25), how.pop("bits", 4)
    file, x = quantized()
    sums = file.norm(file.conv(x, 3, 4), 4)
    if not how.get("signed"):
        sums = file.op("Relu", sums)
    y = file.quantizer(sums, scale, bits, **how)
    y = file.block(y, 4, 4)
    return file.model(file.classes(y, 144), (1, 5))


def _reshape(kind: str) -> ModelProto:
    batch = {"4_n": 4, "dynamic": "N"}.get(kind, 1)
    file, x = quantized(batch=batch)
    y = file.block(x, 3, 4)
    if kind in ("dynamic", "chain"):
        size = file.op("Gather", file.op("Shape", y), file.constant(0, np.int64), axis=0)
        size = file.op("Unsqueeze", size, file.constant([0], np.int64))
        shape = file.op("Concat", size, file.constant([-1], np.int64), axis=0)
    else:
        numbers = {"4_n": [4, 144], "1_n": [1, 144], "m1_n": [-1, 144], "0_m1": [0, -1]}[kind]
        shape = file.constant(numbers, np.int64)
    return file.model(file.head(file.op("Reshape", y, shape), 144), (batch, 5))


def _changed(kind: str) -> ModelProto:
    """The plain network with one thing about the file changed."""
    model = plain()
    graph = model.graph
    if kind == "unsorted nodes":
        nodes = list(graph.node)[::-1]
        del graph.node[:]
        graph.node.extend(nodes)
    elif kind == "initializers as inputs":
        for item in graph.initializer:
            info = helper.make_tensor_value_info(item.name, item.data_type, item.dims)
            graph.input.append(info)
    elif kind == "value_info repeats output":
        graph.value_info.append(graph.output[0])
        graph.value_info.append(graph.input[0])
    elif kind == "Constant nodes":
        nodes = [
            helper.make_node("Constant", [], [item.name], value=item) for item in graph.initializer
        ] + list(graph.node)
        del graph.node[:], graph.initializer[:]
        graph.node.extend(nodes)
    elif kind in ("float64 constants", "float16 scales"):
        wide = np.float64 if kind.startswith("float64") else np.float16
        for place, item in enumerate(list(graph.initializer)):
            array = numpy_helper.to_array(item)
            name, small = item.name, array.size == 1
            if array.dtype == np.float32 and (wide is np.float64 or small):
                stored = numpy_helper.from_array(array.astype(wide), f"{name}_stored")
                graph.initializer[place].CopyFrom(stored)
                cast = helper.make_node("Cast", [stored.name], [name], to=TensorProto.FLOAT)
                graph.node.insert(0, cast)
    elif kind == "nameless nodes":
        for node in graph.node:
            node.name = ""
    elif kind == "one name for all nodes":
        for node in graph.node:
            node.name = "node"
    return model


def _between(*kinds: str) -> ModelProto:
    """Nodes that change nothing."""
    file, x = quantized(opset=11 if "Dropout" in kinds else 13)
    y = file.block(x, 3, 4)
    for kind in kinds:
        y = file.op(kind, y, **({"to": TensorProto.FLOAT} if kind == "Cast" else {}))
    return file.model(file.classes(file.block(y, 4, 4), 144), (1, 5))


def _weights(kind: str) -> ModelProto:
    file, x = quantized()
    values = file.constant(file.rng.normal(size=(4, 3, 3, 3)))
    if kind == "per channel":
        scale = file.rng.uniform(0.1, 0.4, (4, 1, 1, 1))
        w = file.quantizer(values, scale, 4, signed=1, narrow=1)
    elif kind == "bipolar":
        w = file.bipolar(values, 0.3)
    elif kind == "ternary":
        w = file.quantizer(values, 0.5, 2, signed=1, narrow=1)
    elif kind == "zero point":
        w = file.quantizer(values, 0.25, 4, zero=3)
    elif kind == "unsigned":
        w = file.quantizer(values, 0.25, 3)
    elif kind == "transposed":
        w = file.op("Transpose", file.weights(3, 4, 3, 3), perm=[1, 0, 2, 3])
    else:  # integers as they are
        w = file.constant(file.rng.integers(-3, 4, (4, 3, 3, 3)))
    sums = file.op("Conv", x, w, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    return file.model(file.classes(file.activation(file.norm(sums, 4)), 144), (1, 5))


def _external(path: Path) -> None:
    onnx.save_model(
        plain(),
        path,
        save_as_external_data=True,
        location=f"{path.stem}.bin",
        size_threshold=0,
    )


def written_files() -> list[Dialect]:
    """Each file of this family."""
    group = Collection("file")
    for domain in ("onnx.brevitas", "finn.custom_op.general", "qonnx.custom_op.general"):
        group.add(f"domain {domain}", lambda d=domain: plain(domain=d))
        group.add(f"domain {domain} not imported", lambda d=domain: plain(domain=d, imports=()))
    for opset in (7, 9, 11, 15, 17, 19, 21, 23):
        version = 11 if opset > 21 else 10 if opset > 19 else 8
        group.add(f"opset {opset}", lambda o=opset, v=version: plain(opset=o, ir_version=v))
    for version in (3, 4, 6, 10):
        group.add(f"IR version {version}", lambda v=version: plain(ir_version=v))
    group.add("dynamic batch", lambda: plain(batch="N"))
    group.add("batch of 4", lambda: plain(batch=4))
    for kind in ("1_n", "m1_n", "0_m1", "4_n", "chain", "dynamic"):
        group.add(f"Reshape {kind}", lambda k=kind: _reshape(k))
    for kind in (
        "unsorted nodes",
        "initializers as inputs",
        "value_info repeats output",
        "Constant nodes",
        "float64 constants",
        "float16 scales",
        "nameless nodes",
        "one name for all nodes",
    ):
        group.add(kind, lambda k=kind: _changed(k))
    group.write("external data", _external)
    for kinds in (("Identity",), ("Dropout",), ("Cast",), ("Identity", "Cast", "Identity")):
        group.add(" ".join(kinds), lambda k=kinds: _between(*k))
    for kind in (
        "per channel",
        "bipolar",
        "ternary",
        "zero point",
        "unsigned",
        "transposed",
        "integers without quantizer",
    ):
        group.add(f"weights {kind}", lambda k=kind: _weights(k))
    group.files += _quantizers()
    return group.files


def _quantizers() -> list[Dialect]:
    group = Collection("quantizer")
    for rounding in ROUNDINGS:
        group.add(f"{rounding} unsigned", lambda r=rounding: _quantizer(rounding=r))
        group.add(f"{rounding} signed", lambda r=rounding: _quantizer(rounding=r, signed=1))
    group.add("zero point 5", lambda: _quantizer(zero=5))
    group.add("zero point 5 signed", lambda: _quantizer(zero=5, signed=1))
    group.add("zero point -3 signed FLOOR", lambda: _quantizer(zero=-3, signed=1, rounding="FLOOR"))
    group.add("zero point 128 of 8 bits", lambda: _quantizer(zero=128, bits=8, scale=0.0625))
    group.add("negative scale", lambda: _quantizer(scale=-0.25, signed=1))
    group.add("narrow unsigned", lambda: _quantizer(narrow=1))
    group.add("IntQuant", lambda: _quantizer(kind="IntQuant"))
    for bits in (1, 8, 10, 12, 16):
        group.add(f"{bits} bits", lambda b=bits: _quantizer(bits=b, scale=3 * 2.0**-b))
        if bits > 1:
            group.add(
                f"{bits} bits signed",
                lambda b=bits: _quantizer(bits=b, scale=6 * 2.0**-b, signed=1),
            )
    group.add("scale 0.1", lambda: _quantizer(scale=0.1))
    return group.files
