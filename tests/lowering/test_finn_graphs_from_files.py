"""Graphs that FINN's own transformations made, at every stage of its flow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from dialect_check import check
from dialects_streamlined import NETWORKS, small_streamlined_files, transformed
from onnx import ModelProto, NodeProto, helper, numpy_helper

from qdeploy.errors import UnsupportedLayerError
from qdeploy.ir.integer_graph import Conv, Dense
from qdeploy.lowering.integers.lower import lower

FAST = (
    "streamlined/vector, bipolar, xnor",
    "streamlined/max-pools, bipolar, top-k",
    "streamlined/separable, signed, lowered",
    "streamlined/convolutions, unsigned, streamlined",
)
FILES = {one.name: one for one in small_streamlined_files()}


def exact(name: str, path: Path) -> None:
    FILES[name].write(path)
    found = check(path, frames=6)
    assert (found.engine, found.exact, found.classes) == (0, 0, 0)


@pytest.mark.parametrize("name", FAST)
def test_a_stage_of_finns_flow_is_exact(name: str, tmp_path: Path) -> None:
    exact(name, tmp_path / "file.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FILES if name not in FAST])
def test_every_stage_of_finns_flow_is_exact(name: str, tmp_path: Path) -> None:
    exact(name, tmp_path / "file.onnx")


def test_convolutions_are_what_they_were_before_they_were_lowered(tmp_path: Path) -> None:
    make, _ = NETWORKS["separable"]
    found = []
    for stage in ("streamlined", "lowered"):
        path = tmp_path / f"{stage}.onnx"
        onnx.save(transformed(make("signed"), stage), path)
        found.append([n for n in lower(path).nodes if isinstance(n, Conv | Dense)])
    assert any(isinstance(node, Conv) and node.groups == 4 for node in found[0])
    for before, after in zip(*found, strict=True):
        assert np.array_equal(before.weights, after.weights)
        if isinstance(before, Conv) and isinstance(after, Conv):
            assert (before.stride, before.pads, before.groups) == (
                (after.stride, after.pads, after.groups)
            )


def lowered() -> ModelProto:
    make, _ = NETWORKS["convolutions"]
    return transformed(make("bipolar"), "xnor")


def first(model: ModelProto, kind: str) -> NodeProto:
    return next(node for node in model.graph.node if node.op_type == kind)


def set_attribute(model: ModelProto, kind: str, name: str, value: Any) -> None:
    node = first(model, kind)
    for item in [item for item in node.attribute if item.name == name]:
        node.attribute.remove(item)
    node.attribute.append(helper.make_attribute(name, value))


def read_twice(model: ModelProto) -> None:
    window = first(model, "Im2Col")
    place = list(model.graph.node).index(window) + 1
    relu = helper.make_node("Relu", [window.output[0]], ["read"], "read")
    model.graph.node.insert(place, relu)
    model.graph.output.append(helper.make_tensor_value_info("read", 1, [1, 6, 6, 27]))


def odd_matrix(model: ModelProto) -> None:
    name = first(model, "MatMul").input[1]
    stored = next(item for item in model.graph.initializer if item.name == name)
    stored.CopyFrom(numpy_helper.from_array(np.ones((26, 4), np.float32), name))


def computed_weights(model: ModelProto) -> None:
    node = first(model, "XnorPopcountMatMul")
    node.input[1] = node.input[0]


CASES: dict[str, tuple[Callable[[ModelProto], None], str]] = {
    "padding that is not 0": (lambda m: set_attribute(m, "Im2Col", "pad_value", 1), "with 1"),
    "a kernel of one axis": (lambda m: set_attribute(m, "Im2Col", "kernel_size", [3]), "kernel"),
    "a kernel that is no list": (lambda m: set_attribute(m, "Im2Col", "kernel_size", 3), "kernel"),
    "no windows": (lambda m: first(m, "Im2Col").input.pop(), "it has 0 inputs"),
    "a kernel of 0": (lambda m: set_attribute(m, "Im2Col", "kernel_size", [0, 3]), "kernel"),
    "windows that another node reads": (read_twice, "matrix product alone"),
    "a matrix of other rows": (odd_matrix, "a constant of"),
    "weights that are computed": (computed_weights, "without a constant matrix"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_no_transformation_writes_is_refused_with_its_place(name: str, tmp_path: Path) -> None:
    change, said = CASES[name]
    model, path = lowered(), tmp_path / "file.onnx"
    change(model)
    onnx.save(model, path)
    with pytest.raises(UnsupportedLayerError) as caught:
        lower(path)
    assert said in str(caught.value)
    assert caught.value.where and caught.value.do
