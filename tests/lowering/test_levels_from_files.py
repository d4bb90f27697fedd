"""MultiThreshold and Trunc in files: codes as in the official executor, exact at every edge."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from judged import judged
from small_file import DOMAIN, SmallFile, check_file

from qdeploy.errors import UnsupportedLayerError
from qdeploy.ir.integer_graph import Conv, IntType, Threshold
from qdeploy.lowering.integers.builder import Lowered
from qdeploy.lowering.integers.lower import lower
from qdeploy.lowering.integers.quantizer import ROUNDINGS
from qdeploy.verify.float_levels import qonnx_level

SHAPE = (3, 6, 5)
MODES = sorted({*ROUNDINGS} - {"ROUND_TO_ZERO"})  # the executor has no such name
MANY = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def levels(file: SmallFile, source: str, table: Any, **attributes: Any) -> str:
    attributes = {"out_dtype": "INT8", "domain": DOMAIN, **attributes}
    return file.op("MultiThreshold", source, file.const(table), **attributes)


def truncated(
    file: SmallFile, source: str, numbers: list[Any], mode: str, **attributes: Any
) -> str:
    parts = [file.const(number) for number in numbers]
    return file.op("Trunc", source, *parts, domain=DOMAIN, rounding_mode=mode, **attributes)


def ended(file: SmallFile, codes: str, folder: Path, pad: int = 0, **how: Any) -> Lowered:
    """What becomes of the file with a convolution over `codes` as its end, compared."""
    last = file.conv(codes, (3, 4, 3, 3), pad=pad)
    size = tuple(n - 2 + 2 * pad for n in how.pop("size", SHAPE[1:]))
    return check_file(file.save(folder / "file.onnx", last, (3, *size)), folder, **how)


@MANY
@given(
    count=st.integers(1, 9),
    shared=st.booleans(),
    real=st.booleans(),
    step=st.sampled_from([1.0, 0.25, 2.0, -0.5]),
    bias=st.sampled_from([0.0, -2.0, -1.0, 0.5, 3.0, 0.375]),
    before=st.lists(st.sampled_from(["norm", "relu", "pool", "bias"]), max_size=3),
    pad=st.integers(0, 1),
    seed=st.integers(0, 999),
)
def test_any_thresholds_give_the_executors_codes(
    count: int,
    shared: bool,
    real: bool,
    step: float,
    bias: float,
    before: list[str],
    pad: int,
    seed: int,
    tmp_path: Path,
) -> None:
    file = SmallFile(SHAPE, seed)
    sums = file.conv(file.codes, (4, 3, 3, 3), pad=1)
    size = SHAPE[1:]
    for kind in before:
        if kind == "norm":
            sums = file.op("Mul", sums, file.const([[[0.5]], [[-1]], [[2]], [[-0.25]]]))
        elif kind == "bias":
            sums = file.op("Add", sums, file.const(0.375))
        elif kind == "relu":
            sums = file.op("Relu", sums)
        else:
            sums = file.op("MaxPool", sums, kernel_shape=[2, 2], strides=[1, 1], pads=[1, 1, 0, 0])
    table = np.sort(file.random.normal(size=(1 if shared else 4, count)) * 4, axis=1)
    # In 1/64, as the sums are: every edge is met.
    table = table if real else np.round(table * 64) / 64
    codes = levels(file, sums, table, out_scale=step, out_bias=bias)
    try:
        ended(file, codes, tmp_path, pad, frames=10, dull=True, size=size)
    except UnsupportedLayerError as refused:
        assert before.count("pool") > 1 and "between two max-pools" in str(refused)


def codes_of(lowered: Lowered) -> tuple[IntType, tuple[Fraction, Fraction]]:
    """Type and meaning of the codes of the first thresholds."""
    node = next(n for n in lowered.graph.nodes if isinstance(n, Threshold))
    return lowered.graph.tensors[node.output].dtype, lowered.maps[node.output].of(0)


@pytest.mark.parametrize(
    ("count", "step", "bias", "pad", "dtype", "meaning"),
    [
        (1, 2.0, -1.0, 0, IntType(1, False), (2, -1)),
        (1, 2.0, -1.0, 1, IntType(2, True), (1, 0)),
        (3, 1.0, -2.0, 0, IntType(2, True), (1, 0)),
        (3, 0.5, 1.0, 0, IntType(2, False), (Fraction(1, 2), 1)),
        (3, 0.5, 1.0, 1, IntType(3, False), (Fraction(1, 2), 0)),
        (7, 2.0, -7.0, 0, IntType(3, False), (2, -7)),
        (7, 2.0, -7.0, 1, IntType(4, True), (1, 0)),
    ],
)
def test_codes_are_as_narrow_as_their_readers_allow(
    count: int,
    step: float,
    bias: float,
    pad: int,
    dtype: IntType,
    meaning: tuple[Fraction, Fraction],
    tmp_path: Path,
) -> None:
    file = SmallFile(SHAPE, 3)
    sums = file.conv(file.codes, (4, 3, 3, 3), pad=1)
    table = np.linspace(-2, 2, count)[None] if count > 1 else [[0.25]]
    codes = levels(file, sums, table, out_scale=step, out_bias=bias)
    assert codes_of(ended(file, codes, tmp_path, pad)) == (dtype, meaning)


def test_the_order_of_thresholds_and_infinite_ones_mean_nothing(tmp_path: Path) -> None:
    file = SmallFile(SHAPE, 4)
    sums = file.conv(file.codes, (4, 3, 3, 3), pad=1)
    table = [[1, -np.inf, 0, 0.5], [2, -1, 2, 2], [0, np.inf, -1, 1], [-3, -2, -1, np.inf]]
    lowered = ended(file, levels(file, sums, table, out_bias=-1.0), tmp_path)
    node = next(n for n in lowered.graph.nodes if isinstance(n, Threshold))
    assert (np.diff(node.thresholds, axis=1) >= 0).all()


def test_thresholds_of_a_flattened_map_are_per_feature(tmp_path: Path) -> None:
    file = SmallFile(SHAPE, 5)
    codes = file.quant(file.conv(file.codes, (4, 3, 3, 3)), 0.25, 4)
    flat = file.op("Flatten", codes)
    table = np.sort(file.random.integers(-8, 8, (48, 3)) / 4, axis=1)
    bits = levels(file, flat, table)
    last = file.dense(bits, 48, 5)
    path = file.save(tmp_path / "file.onnx", last, (5,))
    lowered = check_file(path, tmp_path)
    assert any(n.thresholds.shape == (48, 3) for n in lowered.graph.nodes if hasattr(n, "base"))


@pytest.mark.parametrize(
    ("table", "attributes", "said"),
    [
        (np.zeros((3, 2)), {}, "thresholds have the shape (3, 2), for 4 channels"),
        (np.zeros((4, 0)), {}, "thresholds have the shape (4, 0)"),
        (np.full((4, 1), np.nan), {}, "a threshold is not a number"),
        (np.zeros((1, 1)), {"out_scale": 0.0}, "its values are 0 · code + 0"),
        (np.zeros((1, 1)), {"out_bias": float("inf")}, "its out_bias is inf"),
        (np.zeros((5, 1)), {"data_layout": "NHWC"}, "its channels are on axis 3"),
    ],
)
def test_thresholds_that_are_none_are_refused(
    table: Any, attributes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    file = SmallFile(SHAPE, 6)
    sums = file.conv(file.codes, (4, 3, 3, 3), pad=1)
    last = file.conv(levels(file, sums, table, **attributes), (3, 4, 1, 1))
    path = file.save(tmp_path / "file.onnx", last, SHAPE)
    with pytest.raises(UnsupportedLayerError) as error:
        lower(path)
    assert said in str(error.value)


def test_thresholds_computed_at_run_time_are_refused(tmp_path: Path) -> None:
    file = SmallFile(SHAPE, 7)
    sums = file.conv(file.codes, (4, 3, 3, 3), pad=1)
    table = file.op("Reshape", file.op("Mul", sums, file.const(2)), file.const([4, -1], np.int64))
    codes = file.op("MultiThreshold", sums, table, domain=DOMAIN, out_dtype="INT8")
    path = file.save(tmp_path / "file.onnx", file.conv(codes, (3, 4, 1, 1)), SHAPE)
    with pytest.raises(UnsupportedLayerError, match="computed at run time"):
        lower(path)


# ---- Trunc ---------------------------------------------------------------------------------------


@MANY
@given(
    mode=st.sampled_from(MODES),
    signed=st.booleans(),
    narrow=st.booleans(),
    shift=st.integers(0, 4),
    bits=st.integers(2, 8),
    zero=st.sampled_from([0, 0, 3]),
    pad=st.integers(0, 1),
    seed=st.integers(0, 999),
)
def test_sums_lose_their_lower_bits_as_in_the_executor(
    mode: str,
    signed: bool,
    narrow: bool,
    shift: int,
    bits: int,
    zero: int,
    pad: int,
    seed: int,
    tmp_path: Path,
) -> None:
    file = SmallFile(SHAPE, seed)
    codes = file.quant(file.conv(file.codes, (4, 3, 3, 3), pad=1), 0.25, 4, int(signed))
    sums = file.conv(codes, (4, 1, 3, 3), pad=1, group=4)
    # Steps of 1/8 of sums in 1/16: ties of the first rounding as well.
    numbers = [1 / 8, zero, 10, 2.0 ** (shift - 3), bits]
    how = {"signed": int(signed), "narrow": int(narrow)}
    cut = truncated(file, sums, numbers, mode, **how)
    lowered = ended(file, cut, tmp_path, pad, frames=10, dull=True)
    node = [n for n in lowered.graph.nodes if isinstance(n, Threshold)][-1]
    # A zero point that is no multiple of what is cut off makes finer steps.
    assert zero or lowered.graph.tensors[node.output].dtype.bits <= bits


@MANY
@given(
    mode=st.sampled_from(MODES),
    shift=st.integers(0, 4),
    zero=st.sampled_from([0, 0, 1]),
    pad=st.integers(0, 1),
    seed=st.integers(0, 999),
)
def test_the_older_form_keeps_its_scale_and_has_no_limits(
    mode: str, shift: int, zero: int, pad: int, seed: int, tmp_path: Path
) -> None:
    file = SmallFile(SHAPE, seed)
    codes = file.quant(file.conv(file.codes, (4, 3, 3, 3), pad=1), 0.25, 4)
    sums = file.conv(codes, (4, 1, 3, 3), pad=1, group=4)
    cut = truncated(file, sums, [1 / 8, zero, 8, 8 - shift], mode)
    ended(file, cut, tmp_path, pad, frames=10, dull=True)


@pytest.mark.parametrize("mode", ["FLOOR", "ROUND", "CEIL"])
@pytest.mark.parametrize("kernel", [2, 3, 5])
def test_an_average_is_cut_at_whole_sums(mode: str, kernel: int, tmp_path: Path) -> None:
    """As TruncAvgPool2d is exported: float32 noise of the mean is rounded away first."""
    file = SmallFile((3, 6, 6), 8)
    codes = file.quant(file.conv(file.codes, (4, 3, 3, 3), pad=1), 0.3, 4)
    mean = file.op("AveragePool", codes, kernel_shape=[kernel] * 2, strides=[1, 1])
    scale = np.float32(0.3) / np.float32(kernel * kernel)
    cut = truncated(file, mean, [scale, 0, 10, scale * 4, 8], mode, signed=0)
    size = (7 - kernel, 7 - kernel)
    last = file.conv(cut, (3, 4, 1, 1))
    lowered = check_file(file.save(tmp_path / "file.onnx", last, (3, *size)), tmp_path, ties=True)
    pool = next(n for n in lowered.graph.nodes if isinstance(n, Conv) and n.name.endswith("pool"))
    assert pool.weights.shape == (4, 1, kernel, kernel)


@pytest.mark.parametrize(
    ("numbers", "mode", "said"),
    [
        ([0.0, 0, 8, 0.25, 4], "FLOOR", "its scales are 0, 0.25"),
        ([0.25, 0, 8, 0.5, 40], "FLOOR", "it has 40 bits"),
        ([0.25, 0, 8, 0.5, 4], "SIDEWAYS", "it rounds by SIDEWAYS"),
    ],
)
def test_truncations_that_are_none_are_refused(
    numbers: list[float], mode: str, said: str, tmp_path: Path
) -> None:
    file = SmallFile(SHAPE, 9)
    sums = file.conv(file.codes, (4, 3, 3, 3), pad=1)
    last = file.conv(truncated(file, sums, numbers, mode), (3, 4, 1, 1))
    path = file.save(tmp_path / "file.onnx", last, SHAPE)
    with pytest.raises(UnsupportedLayerError) as error:
        lower(path)
    assert said in str(error.value)


# ---- what float32 cannot tell, channels last, inputs ---------------------------------------------


@pytest.mark.parametrize("kind", ["MultiThreshold", "Trunc"])
def test_float32_ties_are_judged_by_exact_arithmetic(kind: str, tmp_path: Path) -> None:
    file = SmallFile(SHAPE, 10)
    sums = file.op("Mul", file.conv(file.codes, (4, 3, 3, 3), pad=1), file.const(6.4 * 0.1))
    step = np.float32(6.4 * 0.1) / 64  # value of one of the accumulator's integers, 1/64 · factor
    if kind == "Trunc":
        codes = truncated(file, sums, [step * 2, 0, 8, step * 8, 8], "FLOOR")
    else:
        table = np.float32(step) * np.arange(-20, 20).astype(np.float32)
        codes = levels(file, sums, table[None], out_bias=-20.0)
    last = file.conv(codes, (3, 4, 1, 1))
    path = file.save(tmp_path / "file.onnx", last, SHAPE)
    lowered = check_file(path, tmp_path, ties=True)
    frames = np.random.default_rng(2).integers(0, 256, (60, *SHAPE))
    verdict = judged(path, frames, qonnx_level(path, lowered.graph, frames))
    assert verdict.ties and not verdict.wrong


def channels_last(thresholds: np.ndarray, flat: bool, folder: Path) -> Path:
    """Transposes around a MultiThreshold over (N, H, W, C), as channels-last exporters leave it."""
    file = SmallFile(SHAPE, 11)
    turned = file.op("Transpose", file.conv(file.codes, (4, 3, 3, 3)), perm=[0, 2, 3, 1])
    codes = levels(file, turned, thresholds, data_layout="NHWC", out_scale=0.5)
    if flat:
        last = file.dense(file.op("Flatten", codes), 48, 5)
        return file.save(folder / "file.onnx", last, (5,))
    back = file.op("Transpose", codes, perm=[0, 3, 1, 2])
    return file.save(folder / "file.onnx", file.conv(back, (3, 4, 1, 1)), (3, 4, 3))


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("rows", [1, 4])
def test_thresholds_of_channels_last_maps_sink_to_the_stream(
    flat: bool, rows: int, tmp_path: Path
) -> None:
    table = np.sort(np.random.default_rng(12).integers(-40, 40, (rows, 3)) / 16, axis=1)
    check_file(channels_last(table, flat, tmp_path), tmp_path)


def test_thresholds_behind_a_channels_last_flatten_change_places(tmp_path: Path) -> None:
    file = SmallFile(SHAPE, 13)
    codes = file.quant(file.conv(file.codes, (4, 3, 3, 3)), 0.25, 4)
    flat = file.op("Flatten", file.op("Transpose", codes, perm=[0, 2, 3, 1]))
    table = np.sort(file.random.integers(-8, 8, (48, 3)) / 4, axis=1)
    last = file.dense(levels(file, flat, table), 48, 5)
    check_file(file.save(tmp_path / "file.onnx", last, (5,)), tmp_path)
