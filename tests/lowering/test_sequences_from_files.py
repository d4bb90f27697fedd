"""Sequences (N, C, L) and linear layers shared by all positions from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dialect_check import check
from dialects_sequences import FILES, separable, sequence
from written_files import save

from qdeploy.errors import UnsupportedLayerError
from qdeploy.ir.integer_graph import Conv, Dense
from qdeploy.lowering.canonical.import_qonnx import canonical
from qdeploy.lowering.integers.lower import lower, lower_with_affine

REFUSED = ("linear layer over the length",)
# Frames as the file takes them, and the map that streams.
SHAPES = {
    "radio signals": ((2, 64), (2, 1, 64)),
    "length, channels": ((24, 2), (2, 1, 24)),
    "one channel added": ((24,), (1, 1, 24)),
    "frames of one row": ((2, 1, 24), (2, 1, 24)),
    "shared linear layers": ((6, 8), (8, 1, 6)),
    "shared linear layer of a map": ((3, 4, 8), (8, 3, 4)),
}


@pytest.mark.parametrize("name", [name for name in FILES if name not in REFUSED])
def test_the_integers_are_those_of_the_file(name: str, tmp_path: Path) -> None:
    path = save(FILES[name](), tmp_path)
    found = check(path, frames=3)
    assert (found.engine, found.ties, found.exact, found.classes) == (0, 0, 0, 0), found.note
    kinds = {node.op_type for node in canonical(path).graph.node[2:]}
    assert not kinds & {"Squeeze", "Unsqueeze", "Transpose"}
    if name in SHAPES:
        graph = found.graph
        assert (graph.prepared.shape, graph.tensors[graph.input].shape) == SHAPES[name]


def test_rows_have_kernels_of_one_row(tmp_path: Path) -> None:
    graph = lower(save(separable(), tmp_path))
    layers = [node for node in graph.nodes if isinstance(node, Conv)]
    assert [node.weights.shape for node in layers] == [
        (8, 4, 1, 11),
        (8, 1, 1, 5),
        (8, 8, 1, 1),
        (5, 8, 1, 1),
    ]
    assert (layers[1].pads, layers[1].dilation) == ((0, 4, 0, 4), (1, 2))


def test_a_linear_layer_of_one_position_is_one_of_a_vector(tmp_path: Path) -> None:
    file, x = sequence((1, 8))
    y = file.activation(file.op("MatMul", x, file.weights(8, 4)))
    path = save(file.model(file.op("MatMul", y, file.weights(4, 3)), (1, 1, 3)), tmp_path)
    found = check(path)
    assert (found.engine, found.exact) == (0, 0)
    assert not any(isinstance(node, Conv) for node in found.graph.nodes)
    assert sum(isinstance(node, Dense) for node in found.graph.nodes) == 2


def test_a_linear_layer_over_the_length_names_what_it_reads(tmp_path: Path) -> None:
    path = save(FILES["linear layer over the length"](), tmp_path)
    said = "a linear layer over the 24 positions of each of 4 channels"
    with pytest.raises(UnsupportedLayerError, match=said) as caught:
        lower(path)
    assert "MatMul" in str(caught.value.where)
    assert "a depthwise convolution of kernel 24" in str(caught.value.do)
    assert "a linear layer of 96 features" in str(caught.value.do)


@pytest.mark.parametrize("depthwise", [True, False])
def test_the_forms_that_take_the_place_of_a_linear_layer_over_the_length_are_exact(
    depthwise: bool, tmp_path: Path
) -> None:
    file, x = sequence()
    y = file.layer(x, 2, 4)
    if depthwise:
        last, shape = file.windows(y, 4, 4, 24, pads=[0, 0], group=4), (1, 4, 1)
    else:
        rows = np.kron(np.eye(4), file.rng.integers(-3, 4, (24, 3)))
        weights = file.quantizer(file.constant(rows), 1.0, 3, signed=1)
        last, shape = file.op("MatMul", file.flat(y), weights), (1, 12)
    found = check(save(file.model(last, shape), tmp_path))
    assert (found.engine, found.exact) == (0, 0)


def test_results_of_another_order_are_noted(tmp_path: Path) -> None:
    lowered = lower_with_affine(save(FILES["shared linear layers"](), tmp_path))
    assert lowered.graph.tensors["logits"].shape == (3, 1, 6)
    assert any("(channels, height, width) = (3, 1, 6)" in note for note in lowered.notes)


@pytest.mark.parametrize(("axis", "taken"), [(-1, True), (1, False)])
def test_classes_are_chosen_along_the_channels(axis: int, taken: bool, tmp_path: Path) -> None:
    file, x = sequence((6, 8))
    y = file.op("Softmax", file.op("MatMul", x, file.weights(8, 3)), axis=axis)
    path = save(file.model(y, (1, 6, 3)), tmp_path)
    if taken:
        assert lower(path).tensors["logits"].shape == (3, 1, 6)
    else:
        with pytest.raises(UnsupportedLayerError, match="its axis is 1 of"):
            lower(path)


def test_weights_of_other_channels_are_refused(tmp_path: Path) -> None:
    file, x = sequence()
    y = file.windows(x, 3, 4)
    with pytest.raises(UnsupportedLayerError, match="in 1 group"):
        lower(save(file.model(y, (1, 4, 24)), tmp_path))
