"""Sequences (N, C, L) and linear layers of each position, from files to the simulated RTL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from dialect_check import check
from dialects_sequences import radio, separable, sequence
from onnx import ModelProto
from simulated import mismatches_in_rtl
from written_files import save


def _linear_steps() -> ModelProto:
    file, x = sequence((6, 8))
    y = file.activation(file.op("MatMul", x, file.weights(8, 4)))
    return file.model(file.op("MatMul", y, file.weights(4, 3)))


def _strided() -> ModelProto:
    file, x = sequence((3, 21))
    y = file.layer(x, 3, 4, 5, strides=[3], pads=[2, 1])
    y = file.op("MaxPool", y, kernel_shape=[3], strides=[2], pads=[1, 1])
    y = file.quantizer(file.op("AveragePool", y, kernel_shape=[2]), 0.25, 4)
    return file.model(file.classes(y, 12), (1, 5))


@pytest.mark.slow
@pytest.mark.parametrize("make", [radio, separable, _linear_steps, _strided])
def test_a_sequence_is_exact_down_to_rtl(make: Callable[[], ModelProto], tmp_path: Path) -> None:
    path = save(make(), tmp_path)
    found = check(path, frames=3)
    assert found.exact == 0
    different, compared = mismatches_in_rtl(found.graph, found.codes, tmp_path)
    assert different == 0
    assert compared > 100
