"""Averages in files: any window whose places are means of as many elements; QuantAvgPool2d."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_file import DOMAIN, SmallFile, check_file

from qdeploy.errors import UnsupportedLayerError
from qdeploy.ir.integer_graph import Conv, GlobalSum
from qdeploy.lowering.integers.builder import Lowered
from qdeploy.lowering.integers.lower import lower

SHAPE = (3, 6, 6)
BEYOND = "whose padding counts, with windows that reach beyond the padding"


def written(file: SmallFile, last: str, folder: Path) -> Path:
    """The file with an output of any shape."""
    path = file.save(folder / "file.onnx", last, (1,))
    model = onnx.load(path)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(model, path)
    return path


def averaged(
    folder: Path, *, end: bool, side: int = 6, dilation: int = 1, **window: Any
) -> Lowered:
    file = SmallFile((3, side, side), 1, opset=19 if dilation > 1 else 13)
    codes = file.quant(file.conv(file.codes, (4, 3, 3, 3), pad=1), 0.25, 4)
    if dilation > 1:
        window["dilations"] = [dilation] * 2
    mean = file.op("AveragePool", codes, **window)
    last = file.quant(mean, 0.125, 5) if end else file.conv(mean, (3, 4, 1, 1))
    return check_file(written(file, last, folder), folder, frames=6, ties=True)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kernel=st.lists(st.sampled_from([1, 2, 3, 6]), min_size=2, max_size=2),
    stride=st.lists(st.sampled_from([1, 2, 4]), min_size=2, max_size=2),
    pads=st.sampled_from([(0, 0, 0, 0), (1, 1, 1, 1), (0, 0, 1, 1), (2, 0, 0, 2)]),
    ceil=st.booleans(),
    include=st.booleans(),
    dilation=st.sampled_from([1, 1, 2]),
    end=st.booleans(),
)
def test_any_window_is_exact_unless_engines_count_its_elements_differently(
    kernel: list[int],
    stride: list[int],
    pads: tuple[int, ...],
    ceil: bool,
    include: bool,
    dilation: int,
    end: bool,
    tmp_path: Path,
) -> None:
    if any(pad >= kernel[axis % 2] for axis, pad in enumerate(pads)):
        pads = (0, 0, 0, 0)  # no engine takes it
    if dilation > 1 and max(kernel) > 3:
        dilation = 1
    for axis in range(2):
        room = 6 + pads[axis] + pads[axis + 2] - dilation * (kernel[axis] - 1) - 1
        # Older shape inference has a last window that starts in the padding at the end.
        ceil = ceil and -(-room // stride[axis]) * stride[axis] < 6 + pads[axis]
    try:
        averaged(
            tmp_path,
            end=end,
            kernel_shape=kernel,
            strides=stride,
            pads=list(pads),
            ceil_mode=int(ceil),
            count_include_pad=int(include),
            dilation=dilation,
        )
    except UnsupportedLayerError as refused:
        said = str(refused)
        counted = BEYOND in said and include and ceil
        # Means of other numbers of elements at the border are told apart by a quantizer.
        unquantized = "is another thing at the border of the map" in said and not end
        assert counted or (unquantized and (ceil or not include))


def test_what_ceil_mode_reaches_beyond_the_padding_does_not_count(tmp_path: Path) -> None:
    """Windows of 2 elements each, the first after padding, the last beyond the map."""
    window = {"kernel_shape": [4, 4], "strides": [3, 3], "pads": [2, 2, 0, 0], "ceil_mode": 1}
    lowered = averaged(tmp_path, end=True, side=3, **window)
    pool = next(n for n in lowered.graph.nodes if isinstance(n, Conv) and n.name.endswith("pool"))
    assert pool.pads == (2, 2, 2, 2) and lowered.graph.tensors[pool.output].shape == (4, 2, 2)


@pytest.mark.parametrize(
    ("window", "said"),
    [
        (
            {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "count_include_pad": 1},
            BEYOND,
        ),
        ({"kernel_shape": [7, 7]}, "an average over windows of [7, 7]"),
    ],
)
def test_an_average_without_hardware_is_refused_with_a_way_out(
    window: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedLayerError) as error:
        averaged(tmp_path, end=True, **window)
    assert said in str(error.value)
    assert "use " in str(error.value)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("obits", [2, 4, 8, 16])
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 1), (6, 1)])
@pytest.mark.parametrize("version", [1, 2])
def test_a_quantized_average_pool_shifts_the_sum(
    last: bool, obits: int, kernel: int, stride: int, version: int, tmp_path: Path
) -> None:
    file = SmallFile(SHAPE, 2)
    sums = file.op("Mul", file.conv(file.codes, (4, 3, 3, 3), pad=1), file.const(8))
    codes = file.quant(sums, 1.0, 4, signed=0)
    if last:
        codes = file.op("Transpose", codes, perm=[0, 2, 3, 1])
    how = {"kernel": kernel, "stride": stride, "ibits": 4, "obits": obits, "signed": 0}
    layout = {"data_layout": "NHWC"} if last else {}
    pooled = file.op("QuantAvgPool2d", codes, domain=DOMAIN, **how, **layout)
    if last:
        pooled = file.op("Transpose", pooled, perm=[0, 3, 1, 2])
    path = written(file, file.conv(pooled, (3, 4, 1, 1)), tmp_path)
    model = onnx.load(path)
    for item in model.opset_import:
        item.version = version if item.domain == DOMAIN else item.version
    onnx.save(model, path)
    lowered = check_file(path, tmp_path)
    kinds = [type(node) for node in lowered.graph.nodes]
    assert (GlobalSum in kinds) == (kernel == 6)


def test_a_window_larger_than_the_map_is_refused_as_such(tmp_path: Path) -> None:
    file = SmallFile(SHAPE, 3)
    codes = file.quant(file.conv(file.codes, (4, 3, 3, 3), pad=1), 0.25, 4)
    mean = file.op("AveragePool", codes, kernel_shape=[9, 9])
    path = written(file, file.quant(mean, 0.125, 5), tmp_path)
    with pytest.raises(UnsupportedLayerError, match="window"):
        lower(path)


@pytest.mark.parametrize("padded", [False, True])
def test_means_of_minus_one_and_plus_one_count_padding_as_zero(
    padded: bool, tmp_path: Path
) -> None:
    file = SmallFile(SHAPE, 4)
    signs = file.bipolar(file.conv(file.codes, (4, 3, 3, 3), pad=1), 0.5)
    window = {"kernel_shape": [2, 2], "pads": [int(padded)] * 4, "count_include_pad": 1}
    mean = file.op("AveragePool", signs, strides=[2, 2], **window)
    lowered = check_file(written(file, file.quant(mean, 0.25, 4), tmp_path), tmp_path)
    assert np.array([t.dtype.signed for t in lowered.graph.tensors.values()]).any()
