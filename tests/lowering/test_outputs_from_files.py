"""Files with several outputs: each output's own numbers and classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dialect_writer import quantized
from onnx import ModelProto, helper
from written_files import frames_of, official, save

from qdeploy.errors import UnsupportedLayerError
from qdeploy.ir.reference import run_reference
from qdeploy.lowering.canonical.import_qonnx import canonical
from qdeploy.lowering.canonical.outputs import OUTPUTS_KEY
from qdeploy.lowering.integers.lower import lower


def with_outputs(model: ModelProto, names: dict[str, tuple[int, ...]]) -> ModelProto:
    del model.graph.output[:]
    for name, shape in names.items():
        model.graph.output.append(helper.make_tensor_value_info(name, 1, shape))
    return model


def two_heads(*, softmax: bool = False, bias: bool = False) -> ModelProto:
    """One trunk; five classes and three on grids of their own."""
    file, x = quantized()
    flat = file.flat(file.block(file.block(x, 3, 4), 4, 4))
    first = file.op("MatMul", flat, file.weights(144, 5, scale=0.125))
    second = file.op("MatMul", flat, file.weights(144, 3, scale=0.0625))
    if bias:
        second = file.op("Add", second, file.constant([0.3, -0.1, 0.7]))
    if softmax:
        first = file.op("Softmax", first, axis=1)
    return with_outputs(file.model(first), {first: (1, 5), second: (1, 3)})


def two_maps() -> ModelProto:
    file, x = quantized()
    y = file.block(file.block(x, 3, 4), 4, 4)
    outputs = [file.op("Conv", y, file.weights(n, 4, 1, 1), kernel_shape=[1, 1]) for n in (2, 3)]
    shapes = {name: (1, n, 6, 6) for name, n in zip(outputs, (2, 3), strict=True)}
    return with_outputs(file.model(outputs[0]), shapes)


def chosen(model: ModelProto, frames: np.ndarray, number: int) -> np.ndarray:
    """One output by the file's own engine."""
    return official(model, frames, model.graph.output[number].name)


@pytest.mark.parametrize("make", [two_heads, lambda: two_heads(bias=True), two_maps])
def test_each_output_has_the_files_own_numbers(
    make: Callable[[], ModelProto], tmp_path: Path
) -> None:
    model = make()
    graph = lower(save(model, tmp_path))
    codes, frames = frames_of((3, 6, 6))
    integers = run_reference(graph, codes)[graph.logits]
    values, classes = graph.head.values(integers), graph.head.classes(integers)
    assert [part.name for part in graph.head.parts] == [item.name for item in model.graph.output]
    for number, where in enumerate(graph.head.slices()):
        expected = chosen(model, frames, number)
        assert np.allclose(values[:, where], expected, rtol=0, atol=1e-5)
        assert np.array_equal(classes[:, number], expected.argmax(axis=1))


def test_what_the_host_computes_is_cut_from_each_output(tmp_path: Path) -> None:
    graph = lower(save(two_heads(softmax=True), tmp_path))
    plain = lower(save(two_heads(), tmp_path, "plain"))
    codes, _ = frames_of((3, 6, 6))
    assert [part.channels for part in graph.head.parts] == [5, 3]
    integers, same = (run_reference(one, codes)[one.logits] for one in (graph, plain))
    assert np.array_equal(integers, same)


def test_the_class_in_hardware_is_of_one_output(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedLayerError, match="the file has 2 outputs"):
        lower(save(two_heads(), tmp_path), argmax=True)


@pytest.mark.parametrize(
    "told",
    [
        '[["a", 5], ["b", 4]]',
        '[["a", -1], ["b", 9]]',
        '[["a", 8]]',
        "[1, 2]",
        "{",
        '{"a": 8}',
        "[[]]",
    ],
)
def test_a_list_of_outputs_that_is_none_is_refused(told: str, tmp_path: Path) -> None:
    model = canonical(save(two_heads(), tmp_path))
    for item in model.metadata_props:
        if item.key == OUTPUTS_KEY:
            item.value = told
    with pytest.raises(UnsupportedLayerError, match="list of its outputs"):
        lower(save(model, tmp_path, "again"))


def test_outputs_of_different_sizes_are_refused(tmp_path: Path) -> None:
    file, x = quantized()
    y = file.block(x, 3, 4)
    head = file.classes(y, 144)
    model = with_outputs(file.model(head), {head: (1, 5), y: (1, 4, 6, 6)})
    with pytest.raises(UnsupportedLayerError, match="different sizes"):
        lower(save(model, tmp_path))


def test_one_set_of_logits_is_put_out_once(tmp_path: Path) -> None:
    file, x = quantized()
    logits = file.classes(file.block(x, 3, 4), 144)
    first, second = file.op("Softmax", logits, axis=1), file.op("ArgMax", logits, axis=1)
    model = with_outputs(file.model(first), {first: (1, 5)})
    model.graph.output.append(helper.make_tensor_value_info(second, 7, (1, 1)))
    with pytest.raises(UnsupportedLayerError, match="from the same logits"):
        lower(save(model, tmp_path))
