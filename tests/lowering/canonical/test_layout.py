"""Channels-last maps and wrapped axes: the logits stay those of the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto
from written_files import FileWriter, frames_of, logits_of, official, save

from qdeploy.lowering.canonical.import_qonnx import canonical
from qdeploy.lowering.canonical.views import View

TO_PLANES, FROM_PLANES = [0, 3, 1, 2], [0, 2, 3, 1]


def channels_last(file: FileWriter, source: str, inputs: int, outputs: int, **kw: object) -> str:
    """A convolution between transposes, with constants per channel on the last axis."""
    planes = file.op("Transpose", source, perm=TO_PLANES)
    sums = file.op("Transpose", file.conv(planes, inputs, outputs), perm=FROM_PLANES)
    scaled = file.op("Mul", sums, file.constant(file.rng.choice([0.5, 1, 2], outputs)))
    biased = file.op("Add", scaled, file.constant(file.rng.integers(-8, 8, outputs) / 64))
    return file.activation(biased)


def keras(ends: str) -> ModelProto:
    """Two channels-last layers, max-pool, and one of the usual ends."""
    file = FileWriter((1, 3, 6, 6))
    x = file.op("Transpose", file.quant("x", 2**-8, 8), perm=FROM_PLANES)
    x = channels_last(file, x, 3, 4)
    pooled = file.op(
        "MaxPool",
        file.op("Transpose", x, perm=TO_PLANES),
        kernel_shape=[2, 2],
        strides=[2, 2],
    )
    x = channels_last(file, file.op("Transpose", pooled, perm=FROM_PLANES), 4, 4)
    if ends == "flatten":
        x = file.head(file.op("Reshape", x, file.constant([-1, 36], np.int64)), 36)
    elif ends == "flatten then relu":
        flat = file.op("Flatten", x, axis=1)
        x = file.head(file.op("Relu", flat), 36)
    elif ends == "gemm":
        rows = file.weights(5, 36, scale=0.125)
        flat = file.op("Flatten", x, axis=1)
        x = file.op("Gemm", flat, rows, transB=1)
    else:
        x = file.head(file.op("ReduceMean", x, axes=[1, 2], keepdims=0), 4)
    return file.model(x, (1, 5))


@pytest.mark.parametrize("ends", ["flatten", "flatten then relu", "gemm", "mean"])
def test_a_network_of_channels_last_maps(ends: str, tmp_path: Path) -> None:
    model = keras(ends)
    codes, values = frames_of((3, 6, 6))
    path = save(model, tmp_path)
    assert not any(node.op_type == "Transpose" for node in canonical(path).graph.node)
    expected = official(model, values)
    assert len(np.unique(expected)) > 50
    tolerance = 0 if ends != "mean" else 1e-6  # the executor's mean is a rounded float32
    assert np.abs(logits_of(path, codes) - expected).max() <= tolerance


def test_vectors_wrapped_for_a_batch_norm(tmp_path: Path) -> None:
    file = FileWriter((1, 12))
    sums = file.op("MatMul", file.quant("x", 2**-8, 8), file.weights(12, 6))
    wrapped = file.op("Unsqueeze", sums, file.constant([2], np.int64))
    parameters = [[0.5, 1, 2, 1, 0.5, 2], np.arange(6) / 8, np.zeros(6), np.ones(6)]
    normed = file.op("BatchNormalization", wrapped, *map(file.constant, parameters), epsilon=0.0)
    plain = file.op("Squeeze", normed, file.constant([2], np.int64))
    model = file.model(file.head(file.activation(plain), 6), (1, 5))
    codes, values = frames_of((12,))
    expected = official(model, values)
    assert len(np.unique(expected)) > 20
    assert np.array_equal(logits_of(save(model, tmp_path), codes), expected)


@pytest.mark.parametrize("seed", range(20))
def test_a_constant_over_a_view_is_one_over_its_base(seed: int) -> None:
    rng = np.random.default_rng(seed)
    base = rng.normal(size=rng.permutation([1, 2, 3, 4]))
    perm = [int(axis) for axis in rng.permutation(4)]
    view = View("base", base.shape, tuple(range(4))).transposed(perm)
    shown = base.transpose(perm)
    assert view.shown == shown.shape
    constant = rng.normal(size=[size if rng.random() < 0.5 else 1 for size in shown.shape])
    inner = view.constant(constant)
    assert inner is not None
    assert np.array_equal((base * inner).transpose(perm), shown * constant)
    assert np.array_equal(base.reshape(-1)[view.features()], shown.reshape(-1))


def test_axes_of_size_one_come_and_go() -> None:
    view = View("base", (1, 5), (0, 1))
    wrapped = view.reshaped((1, 5, 1))
    assert wrapped is not None and wrapped.shown == (1, 5, 1)
    back = wrapped.reshaped((1, 5))
    assert back is not None and back.is_plain
    assert view.reshaped((5, 2)) is None and view.reshaped((1, 6)) is None
