"""Files that are no network of the kind: refused in seconds, with what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper
from written_files import FileWriter, convnet, frames_of, logits_of, official, save

from qdeploy.errors import UnsupportedLayerError
from qdeploy.lowering.integers.lower import lower


def _head(file: FileWriter, codes: str) -> ModelProto:
    return file.model(file.head(file.op("Flatten", codes, axis=1), 144), (1, 5))


def loop() -> ModelProto:
    file, codes = convnet()
    ends = [helper.make_tensor_value_info("again", TensorProto.BOOL, ())]
    body = helper.make_graph([], "body", ends, ends)
    looped = file.op("Loop", file.constant(3, np.int64), "", codes, body=body)
    return _head(file, looped)


def branch() -> ModelProto:
    file, codes = convnet()
    end = helper.make_tensor_value_info(codes, TensorProto.FLOAT, (1, 4, 6, 6))
    body = helper.make_graph([], "body", [], [end])
    return _head(file, file.op("If", file.constant(True, bool), then_branch=body, else_branch=body))


def sequence() -> ModelProto:
    file, codes = convnet()
    joined = file.op("SequenceConstruct", codes, codes)
    return _head(file, file.op("SequenceAt", joined, file.constant(0, np.int64)))


def open_map() -> ModelProto:
    model = _head(*convnet())
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"size{axis}"
    return model


def two_networks() -> ModelProto:
    model, other = _head(*convnet()), _head(*convnet())
    for node in other.graph.node:
        node.input[:] = [f"second_{name}" for name in node.input]
        node.output[:] = [f"second_{name}" for name in node.output]
        node.name = f"second_{node.name}"
    for item in (*other.graph.initializer, *other.graph.input, *other.graph.output):
        item.name = f"second_{item.name}"
    model.graph.node.extend(other.graph.node)
    model.graph.initializer.extend(other.graph.initializer)
    model.graph.input.extend(other.graph.input)
    model.graph.output.extend(other.graph.output)
    return model


def scale_at_run_time() -> ModelProto:
    file, codes = convnet()
    largest = file.op("ReduceMax", codes, keepdims=0)
    parameters = [file.constant(0), file.constant(4)]
    quantized = file.op(
        "Quant", codes, largest, *parameters, domain=file.domain, signed=0, narrow=0
    )
    return _head(file, quantized)


def half_floats() -> ModelProto:
    file, codes = convnet()
    sums = file.conv(codes, 4, 4)
    half = file.op("Cast", sums, to=TensorProto.FLOAT16)
    back = file.op("Cast", half, to=TensorProto.FLOAT)
    return _head(file, file.activation(back))


def training_batch_norm() -> ModelProto:
    file, codes = convnet(opset=15)
    sums = file.conv(codes, 4, 4)
    values = [np.ones(4), np.zeros(4), np.zeros(4), np.ones(4)]
    normed = file.op("BatchNormalization", sums, *map(file.constant, values), training_mode=1)
    return _head(file, file.activation(normed))


def training_dropout() -> ModelProto:
    file, codes = convnet()
    ratio, training = file.constant(0.5), file.constant(True, bool)
    return _head(file, file.op("Dropout", codes, ratio, training))


BAD: dict[str, tuple[Callable[[], ModelProto], str]] = {
    "a loop": (loop, "Loop has a graph of its own"),
    "a branch": (branch, "If has a graph of its own"),
    "a sequence": (sequence, "Sequence"),
    "an open map": (open_map, "has no fixed shape"),
    "two networks": (two_networks, "has 2 inputs and 2 outputs"),
    "a scale computed at run time": (scale_at_run_time, "computed at run time"),
    "sums in float16": (half_floats, "cast to float16"),
    "batch norm in training mode": (training_batch_norm, "batch norm is in training mode"),
    "dropout in training mode": (training_dropout, "Dropout is in training mode"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_network_is_refused(name: str, tmp_path: Path) -> None:
    make, message = BAD[name]
    with pytest.raises(UnsupportedLayerError, match=message) as caught:
        lower(save(make(), tmp_path))
    assert caught.value.do


def test_codes_go_through_float16(tmp_path: Path) -> None:
    file, codes = convnet()
    half = file.op("Cast", codes, to=TensorProto.FLOAT16)
    model = _head(file, file.op("Cast", half, to=TensorProto.FLOAT))
    frames, values = frames_of((3, 6, 6))
    expected = official(_head(*convnet()), values)
    assert np.array_equal(logits_of(save(model, tmp_path), frames), expected)


def test_layers_share_weights_at_scales_of_their_own(tmp_path: Path) -> None:
    file, codes = convnet()
    shared = file.constant(file.rng.normal(size=(4, 4, 3, 3)))
    for scale in (0.25, 0.5):
        weights = file.quant(shared, scale, 4, signed=1, narrow=1)
        sums = file.op("Conv", codes, weights, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        codes = file.activation(sums)
    model = _head(file, codes)
    frames, values = frames_of((3, 6, 6))
    expected = official(model, values)
    assert len(np.unique(expected)) > 50
    assert np.array_equal(logits_of(save(model, tmp_path), frames), expected)
