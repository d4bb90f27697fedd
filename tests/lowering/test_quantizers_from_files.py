"""Every quantizer of QONNX as activation and as weights: codes as in the official executor."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_file import SmallFile, check_file

from qdeploy.ir.integer_graph import IntType, MaxPool, Threshold
from qdeploy.lowering.integers.quantizer import ROUNDINGS

SHAPE = (3, 6, 5)
MODES = sorted(ROUNDINGS)
ONCE = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def ended(file: SmallFile, folder: Path, codes: str, channels: int = 4) -> Path:
    """The file with a convolution over `codes` as its end."""
    last = file.conv(codes, (3, channels, 1, 1))
    return file.save(folder / "file.onnx", last, (3, *SHAPE[1:]))


@ONCE
@given(
    mode=st.sampled_from(MODES),
    bits=st.integers(2, 8),
    signed=st.booleans(),
    zero=st.integers(-9, 20),
    narrow=st.booleans(),
    scale=st.sampled_from([0.25, 0.5, 1 / 16, -0.25, 0.3]),
    seed=st.integers(0, 999),
)
def test_an_activation_is_rounded_and_shifted_as_by_the_executor(
    mode: str,
    bits: int,
    signed: bool,
    zero: int,
    narrow: bool,
    scale: float,
    seed: int,
    tmp_path: Path,
) -> None:
    file = SmallFile(SHAPE, seed)
    sums = file.conv(file.codes, (4, 3, 3, 3), pad=1)
    moved = file.op("Add", sums, file.const([[[0]], [[0.125]], [[-0.25]], [[1]]]))
    codes = file.quant(moved, scale, bits, int(signed), zero, int(narrow), mode)
    second = file.conv(codes, (3, 4, 3, 3), pad=1)  # Padding is exact whatever the zero point.
    path = file.save(tmp_path / "file.onnx", second, (3, *SHAPE[1:]))
    lowered = check_file(path, tmp_path, ties=scale == 0.3)
    node = next(n for n in lowered.graph.nodes if isinstance(n, Threshold))
    tensor = lowered.graph.tensors[node.output]
    lo = -(2 ** (bits - 1)) + int(narrow) if signed else 0
    hi = 2 ** (bits - 1) - 1 if signed else 2**bits - 1 - int(narrow)
    assert lo - zero <= tensor.lo <= tensor.hi <= hi - zero
    assert tensor.scale == abs(Fraction(float(np.float32(scale)))) * (1 if scale > 0 else -1)
    if zero:
        base = min(lo - zero, 0)
        assert tensor.dtype == IntType.holding(base, max(hi - zero, 0))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("zero", [0, 3])
@pytest.mark.parametrize("scale", [0.25, -0.25, 0.3])
def test_weights_are_rounded_and_shifted_as_by_the_executor(
    mode: str, zero: int, scale: float, tmp_path: Path
) -> None:
    file = SmallFile(SHAPE, 5)
    values = file.random.integers(-24, 25, (4, 3, 3, 3)) / 16  # halves of a step and others
    weights = file.quant(file.const(values), scale, 4, int(not zero), zero, 0, mode)
    sums = file.conv(file.codes, (), pad=1, weights=weights)
    check_file(ended(file, tmp_path, file.quant(sums, 0.5, 3)), tmp_path, ties=scale == 0.3)


def test_zero_points_of_weights_may_differ_by_channel(tmp_path: Path) -> None:
    file = SmallFile(SHAPE, 6)
    zero = np.array([0, 3, 7, 15]).reshape(4, 1, 1, 1)
    values = file.const(file.random.normal(size=(4, 3, 3, 3)))
    sums = file.conv(file.codes, (), pad=1, weights=file.quant(values, 0.25, 4, 0, zero))
    check_file(ended(file, tmp_path, file.quant(sums, 0.5, 3)), tmp_path)


@pytest.mark.parametrize("bits", [9, 10, 12, 16])
@pytest.mark.parametrize("signed", [0, 1])
def test_wide_activations_are_exact(bits: int, signed: int, tmp_path: Path) -> None:
    file = SmallFile((3, 3, 2), 7)
    sums = file.conv(file.codes, (2, 3, 3, 3), pad=1)
    codes = file.quant(sums, 2.0 ** -(bits - 2), bits, signed)
    path = file.save(tmp_path / "file.onnx", file.conv(codes, (3, 2, 1, 1)), (3, 3, 2))
    lowered = check_file(path, tmp_path, frames=6)
    node = next(n for n in lowered.graph.nodes if isinstance(n, Threshold))
    assert node.thresholds.shape == (2, 2**bits - 1)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("scale", [0.5, 0.3, -0.5])
@pytest.mark.parametrize("kind", ["BipolarQuant", "Quant"])
def test_signs_are_bits_where_nothing_pads_them(
    padded: bool, scale: float, kind: str, tmp_path: Path
) -> None:
    file = SmallFile(SHAPE, 8)
    sums = file.conv(file.codes, (4, 3, 3, 3), pad=1)
    moved = file.op("Add", sums, file.const([[[0]], [[0.125]], [[-0.25]], [[1]]]))
    signs = file.bipolar(moved, scale) if kind == "BipolarQuant" else file.quant(moved, scale, 1)
    pooled = file.op("MaxPool", signs, kernel_shape=[2, 2], strides=[1, 1])
    sums = file.conv(pooled, (5, 4, 3, 3), pad=int(padded))
    last = file.quant(sums, 0.25, 4)
    size = (5, 4) if padded else (3, 2)
    path = file.save(tmp_path / "file.onnx", last, (5, *size))
    lowered = check_file(path, tmp_path, ties=scale == 0.3)
    node = next(n for n in lowered.graph.nodes if isinstance(n, Threshold))
    assert lowered.graph.tensors[node.output].dtype == IntType(1 + padded, padded)
    if scale > 0:
        pool = next(n for n in lowered.graph.nodes if isinstance(n, MaxPool))
        exact = Fraction(float(np.float32(scale)))
        expected = (exact, 0) if padded else (2 * exact, -exact)
        assert lowered.maps[pool.output].of(0) == expected


def test_a_sign_behind_a_relu_is_said_to_be_constant(tmp_path: Path) -> None:
    file = SmallFile(SHAPE, 9)
    sums = file.conv(file.codes, (4, 3, 3, 3), pad=1)
    one = file.bipolar(file.op("Relu", sums), 0.5)
    both = file.op("Add", file.conv(one, (3, 4, 1, 1)), file.const(0.5))
    last = file.op("Add", file.quant(both, 0.5, 4), file.quant(file.codes, 0.5, 4))
    lowered = check_file(file.save(tmp_path / "file.onnx", last, SHAPE), tmp_path)
    assert any("always 1" in note and "`bipolarquant" in note for note in lowered.notes)


@ONCE
@given(
    mode=st.sampled_from(MODES),
    zero=st.integers(0, 4),
    pooled=st.booleans(),
    seed=st.integers(0, 999),
)
def test_scales_and_zero_points_per_channel_go_through_a_depthwise_layer(
    mode: str, zero: int, pooled: bool, seed: int, tmp_path: Path
) -> None:
    file = SmallFile(SHAPE, seed)
    sums = file.conv(file.codes, (4, 3, 3, 3), pad=1)
    scale = np.array([0.5, 0.25, 0.3, -1]).reshape(1, 4, 1, 1)
    zeros = zero * np.arange(4).reshape(1, 4, 1, 1)
    codes = file.quant(sums, scale, 3, 0, zeros, rounding=mode)
    if pooled:
        codes = file.op("MaxPool", codes, kernel_shape=[1, 1])
    wide = file.quant(file.conv(codes, (4, 1, 3, 3), pad=1, group=4), 0.25, 5)
    check_file(ended(file, tmp_path, wide), tmp_path, ties=True)
