"""Weights that no folding brings onto a board are refused before anything is lowered."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from dialect_writer import DialectWriter

from qdeploy.build.build import build
from qdeploy.build.options import Options
from qdeploy.devices.boards import list_boards, load_board
from qdeploy.devices.hopeless import check_weights, storage_bits
from qdeploy.errors import DoesNotFitError
from qdeploy.lowering.canonical.reading import read_file
from qdeploy.lowering.canonical.weight_bits import weight_bits


def fully_connected(path: Path, size: int, layers: int, bits: int = 4) -> Path:
    file = DialectWriter((1, size))
    x = file.quantizer("x", 2**-7, 8, signed=1)
    for _ in range(layers):
        values = file.constant(file.rng.integers(1, 8, (size, size)).astype(np.float32) / 8)
        x = file.activation(
            file.op("MatMul", x, file.quantizer(values, 0.125, bits, signed=1)), 0.5, 3
        )
    onnx.save(file.model(file.head(x, size), (1, 5)), path)
    return path


def test_the_bits_of_a_file_are_counted(tmp_path: Path) -> None:
    model, _ = read_file(fully_connected(tmp_path / "network.onnx", 32, 2))
    head = weight_bits(model) - 2 * 32 * 32 * 4
    assert 0 < head <= 32 * 5 * 8


@pytest.mark.parametrize("width", [np.nan, np.inf, -4.0, 1e30])
def test_a_width_that_is_none_counts_nothing(width: float, tmp_path: Path) -> None:
    path = fully_connected(tmp_path / "network.onnx", 32, 1)
    model = onnx.load(path)
    weights = next(node for node in model.graph.node if len(node.input) > 3)
    names = {node.input[3] for node in model.graph.node if node.op_type == weights.op_type}
    for tensor in model.graph.initializer:
        if tensor.name in names:
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.float32(width), tensor.name))
    assert weight_bits(model) == 0


def test_a_network_larger_than_its_board_is_refused_in_seconds(tmp_path: Path) -> None:
    path = fully_connected(tmp_path / "network.onnx", 3072, 1)
    begun = time.process_time()
    with pytest.raises(DoesNotFitError, match="do not fit pynq-z2") as refused:
        build(Options(path, target="pynq", board="pynq-z2"), tmp_path / "build")
    assert time.process_time() - begun < 10
    assert "--board zcu104" in str(refused.value)


@pytest.mark.parametrize("name", list_boards())
def test_what_a_board_could_just_store_is_not_refused(name: str) -> None:
    board = load_board(name)
    most = storage_bits(board.resources)
    check_weights(most, board, "a network")
    with pytest.raises(DoesNotFitError, match="whatever the folding"):
        check_weights(most + 1, board, "a network")


def test_where_no_board_does_the_largest_is_named() -> None:
    with pytest.raises(DoesNotFitError, match="the largest board, zcu104, stores 55 Mbit"):
        check_weights(10**9, load_board("kv260"), "a network")
