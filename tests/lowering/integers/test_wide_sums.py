"""Sums of branches on different grids: small multiples give every pair of codes its code."""

from __future__ import annotations

from fractions import Fraction
from math import gcd
from pathlib import Path

import numpy as np
import pytest
from dialect_check import check
from dialect_writer import DialectWriter, quantized
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto
from written_files import save

from qdeploy.errors import UnsupportedLayerError
from qdeploy.ir.integer_graph import Add, Conv, MaxPool, Threshold
from qdeploy.lowering.integers.lower import lower, lower_with_affine
from qdeploy.lowering.integers.wide_sums import approximations, smallest_multiples

FLOAT = st.floats(2**-10, 10, width=32)
ENDS = st.tuples(st.integers(-128, 0), st.integers(1, 255))


@settings(max_examples=60, deadline=None)
@given(FLOAT, FLOAT, ENDS, ENDS, st.sampled_from([1, -1]), st.integers(0, 10**6))
def test_every_pair_of_codes_is_on_the_same_side_of_every_threshold(
    g: float, h: float, a: tuple[int, int], b: tuple[int, int], sign: int, seed: int
) -> None:
    ratio = Fraction(g) / Fraction(h)
    p, q = ratio.numerator, sign * ratio.denominator
    one, other = (np.arange(low, high + 1, dtype=np.int64) for low, high in (a, b))
    exact = p * one[:, None] + q * other
    rng = np.random.default_rng(seed)
    # Beside and between values that occur, where a code that differs would show.
    some = rng.choice(exact.reshape(-1), 100)
    thresholds = np.unique(np.concatenate([some, some + 1, rng.choice(some, 9) + p // 2]))
    found = smallest_multiples(p, q, a, b, thresholds)
    assert found is not None
    k, m, moved = found
    small = k * one[:, None] + m * other
    for before, after in zip(thresholds, moved, strict=True):
        if exact.min() < before <= exact.max():
            np.testing.assert_array_equal(exact >= before, small >= after)
    reach = max(a[1] - a[0], b[1] - b[0])
    assert max(abs(k), abs(m)) <= max(2 * reach, 1)


@given(st.integers(1, 1 << 30), st.integers(1, 1 << 30))
def test_approximations_are_on_the_way_and_end_at_the_ratio_or_a_bound(p: int, q: int) -> None:
    path = list(zip(range(2000), approximations(p, q), strict=False))
    for _, (k, m) in path:
        assert gcd(k, m) == 1
    distances = [abs(Fraction(k, m) - Fraction(p, q)) for _, (k, m) in path]
    best = [Fraction(10**12)]
    for distance, (_, (k, m)) in zip(distances, path, strict=True):
        if k == m == 1 or distance < best[-1]:
            best.append(distance)
    assert best[-1] == min(distances)


def joined(*, after: str = "", scales: tuple[float, float] = (0.0138, 0.00597)) -> ModelProto:
    """Two branches of 8 bits of their own scales, their sum, something, a quantizer."""
    file, x = quantized()
    y = file.block(x, 3, 4, scale=0.25, bits=4)
    a = file.quantizer(file.op("Relu", file.conv(y, 4, 4)), scales[0], 8)
    b = file.quantizer(file.norm(file.conv(y, 4, 4), 4), scales[1], 8, zero=-3, signed=1)
    total = _change(file, file.op("Sub" if after == "Sub" else "Add", a, b), after)
    y = file.quantizer(total, 0.02, 8, signed=1)
    if after == "two quantizers":
        other = file.quantizer(file.op("Relu", total), 0.03, 4)
        y = file.quantizer(file.op("Add", y, other), 0.05, 5, signed=1)
    size = 36 // (4 if after == "MaxPool" else 1)
    return file.model(file.classes(y, 4 * size), (1, 5))


def _change(file: DialectWriter, y: str, kind: str) -> str:
    if kind == "ReLU":
        return file.op("Relu", y)
    if kind == "MaxPool":
        return file.op("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    if kind == "negative":
        return file.op("Mul", y, file.constant(-0.7))
    if kind == "batch norm":
        return file.norm(y, 4, negative=True)
    return y


@pytest.mark.parametrize(
    "after", ["", "Sub", "ReLU", "MaxPool", "negative", "batch norm", "two quantizers"]
)
def test_a_sum_of_two_scales_gives_the_codes_of_the_file(after: str, tmp_path: Path) -> None:
    found = check(save(joined(after=after), tmp_path), frames=4)
    assert (found.engine, found.exact, found.classes) == (0, 0, 0), found.note
    adds = [node for node in found.graph.nodes if isinstance(node, Add)]
    assert len(adds) == (2 if after == "two quantizers" else 1)
    for add in adds:
        assert found.graph.tensors[add.output].dtype.bits <= 20
        readers = [node for node in found.graph.nodes if add.output in node.inputs]
        assert readers and all(isinstance(node, Threshold) for node in readers)
    multiples = [n for n in found.graph.nodes if isinstance(n, Conv) and "multiple" in n.name]
    assert multiples and max(int(np.abs(node.weights).max()) for node in multiples) <= 510
    if after == "MaxPool":
        assert any(isinstance(node, MaxPool) for node in found.graph.nodes)


def test_the_source_of_a_narrow_sum_is_no_tensor_of_the_file(tmp_path: Path) -> None:
    lowered = lower_with_affine(save(joined(), tmp_path))
    add = next(node for node in lowered.graph.nodes if isinstance(node, Add))
    assert add.output not in lowered.sources
    reader = next(node for node in lowered.graph.nodes if add.output in node.inputs)
    assert lowered.affine[reader.output].narrowed and not lowered.affine[reader.output].is_plain


def test_a_sum_of_two_scales_that_no_quantizer_reads_is_refused(tmp_path: Path) -> None:
    file, x = quantized()
    a, b = (file.quantizer(file.conv(x, 3, 4), scale, 8, signed=1) for scale in (0.0138, 0.00597))
    path = save(file.model(file.op("Add", a, b), (1, 4, 6, 6)), tmp_path)
    with pytest.raises(UnsupportedLayerError, match=r"scales \(0\.0138 and 0\.00597\)") as caught:
        lower(path)
    assert "a quantizer behind" in str(caught.value.do) and "Add" in str(caught.value.where)


def test_a_sum_of_three_scales_without_a_quantizer_between_is_refused(tmp_path: Path) -> None:
    file, x = quantized()
    parts = [file.quantizer(file.conv(x, 3, 4), scale, 8, signed=1) for scale in (0.1, 0.03, 0.7)]
    total = file.op("Add", file.op("Add", parts[0], parts[1]), parts[2])
    path = save(file.model(file.quantizer(total, 0.1, 8, signed=1), (1, 4, 6, 6)), tmp_path)
    with pytest.raises(UnsupportedLayerError, match="different scales") as caught:
        lower(path)
    assert "behind each sum of two" in str(caught.value.do)
