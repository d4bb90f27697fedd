"""Averages of any window and sums of branches on different grids, as in the official executor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from small_file import SmallFile, check_file

from qdeploy.ir.integer_graph import Add, Conv, Dense, GlobalSum

SHAPE = (3, 6, 5)
ONCE = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def branch(file: SmallFile, scale: Any, *, signed: int = 1, bits: int = 4) -> str:
    return file.quant(file.conv(file.codes, (4, 3, 3, 3), pad=1), scale, bits, signed)


@ONCE
@given(
    kernel=st.tuples(st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 4])),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 1)] * 4),
    quantized=st.booleans(),
    signs=st.booleans(),
)
def test_averages_of_windows_are_convolutions_of_ones(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, ...],
    quantized: bool,
    signs: bool,
    tmp_path: Path,
) -> None:
    pads = tuple(min(pad, kernel[axis % 2] - 1) for axis, pad in enumerate(pads))
    file = SmallFile(SHAPE, 2)
    codes = file.bipolar(branch(file, 0.5), 0.5) if signs else branch(file, 0.5)
    mean = file.op(
        "AveragePool",
        codes,
        kernel_shape=list(kernel),
        strides=list(stride),
        pads=list(pads),
        count_include_pad=1,
    )
    if quantized:
        mean = file.quant(mean, 0.25, 4)
    end = file.conv(mean, (3, 4, 1, 1))
    size = tuple(
        (n + pads[a] + pads[a + 2] - kernel[a]) // stride[a] + 1 for a, n in enumerate(SHAPE[1:])
    )
    check_file(file.save(tmp_path / "f.onnx", end, (3, *size)), tmp_path, frames=10)


def test_an_average_may_count_fewer_pixels_at_the_border(tmp_path: Path) -> None:
    file = SmallFile(SHAPE, 2)
    mean = file.op("AveragePool", branch(file, 0.5), kernel_shape=[2, 2], pads=[1, 1, 0, 0])
    path = file.save(tmp_path / "f.onnx", file.conv(mean, (3, 4, 1, 1)), (3, 6, 5))
    check_file(path, tmp_path, frames=10, ties=True)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("kernel", [1, 3])
def test_a_convolution_of_a_mean_is_a_matrix_product(
    groups: int, kernel: int, tmp_path: Path
) -> None:
    file = SmallFile((3, 4, 4), 2)
    mean = file.op("GlobalAveragePool", branch(file, 0.5))
    sums = file.conv(mean, (4, 4 // groups, kernel, kernel), pad=kernel // 2, group=groups)
    end = file.conv(file.quant(sums, 0.0625, 4), (5, 4, 1, 1))
    lowered = check_file(file.save(tmp_path / "f.onnx", end, (5, 1, 1)), tmp_path)
    kinds = [type(node) for node in lowered.graph.nodes]
    assert kinds[-3:-2] == [Dense] and GlobalSum in kinds


@ONCE
@given(
    scales=st.tuples(*[st.sampled_from([0.125, 0.25, 0.375, 0.5, 1.25, 0.3, -0.5])] * 2),
    subtract=st.booleans(),
    vector=st.booleans(),
    sums=st.booleans(),
    again=st.booleans(),
)
def test_branches_on_different_grids_are_added_exactly(
    scales: tuple[float, float],
    subtract: bool,
    vector: bool,
    sums: bool,
    again: bool,
    tmp_path: Path,
) -> None:
    # Weights put a branch of 0.3 on a grid too fine to be joined with another; see the refusal.
    assume(not (sums and not vector and 0.3 in scales))
    file = SmallFile(SHAPE, 7)
    first, second = (branch(file, scale) for scale in scales)
    if vector:
        first, second = (file.op("Flatten", name, axis=1) for name in (first, second))
    elif sums:
        second = file.op("Mul", file.conv(second, (4, 4, 3, 3), pad=1), file.const(0.5))
    total = file.op("Sub" if subtract else "Add", first, second)
    last = file.quant(file.op("Add", total, first) if again else total, 0.5, 4)
    size = (4 * 30,) if vector else (4, 6, 5)
    path = file.save(tmp_path / "f.onnx", last, size)
    lowered = check_file(path, tmp_path, frames=10, ties=0.3 in scales)
    assert any(isinstance(node, Add) for node in lowered.graph.nodes)


def test_a_difference_of_equal_scales_turns_one_branch(tmp_path: Path) -> None:
    file = SmallFile(SHAPE, 7)
    difference = file.op("Sub", branch(file, 0.5), branch(file, 0.5))
    path = file.save(tmp_path / "f.onnx", file.quant(difference, 0.5, 4), (4, 6, 5))
    lowered = check_file(path, tmp_path)
    turned = [n for n in lowered.graph.nodes if n.name.endswith(".multiple")]
    assert len(turned) == 1 and isinstance(turned[0], Conv) and (turned[0].weights == -1).all()


def test_a_branch_times_a_constant_is_on_another_grid(tmp_path: Path) -> None:
    file = SmallFile(SHAPE, 7)
    half = file.op("Mul", branch(file, 0.5), file.const(0.5))
    total = file.op("Add", half, branch(file, 0.5))
    check_file(file.save(tmp_path / "f.onnx", file.quant(total, 0.5, 4), (4, 6, 5)), tmp_path)


@pytest.mark.parametrize("kind", ["conv", "grouped", "flat"])
def test_powers_of_two_per_channel_go_into_the_next_weights(kind: str, tmp_path: Path) -> None:
    file = SmallFile(SHAPE, 8)
    scales = np.array([0.5, 0.25, -0.5, 1]).reshape(1, 4, 1, 1)
    codes = branch(file, scales)
    if kind == "flat":
        end, size = file.dense(file.op("Flatten", codes, axis=1), 120, 3), (3,)
    else:
        groups = 2 if kind == "grouped" else 1
        shape = (4, 4 // groups, 3, 3)
        end, size = file.conv(codes, shape, pad=1, group=groups), (4, 6, 5)
    check_file(file.save(tmp_path / "f.onnx", end, size), tmp_path)
