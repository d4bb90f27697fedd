"""Concat, Resize, ConvTranspose, DepthToSpace from files: exact, or refused with what is near."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from dialect_check import check
from dialect_writer import DialectWriter, quantized
from dialects_concat import CONCATS, between
from dialects_enlarging import FAMILIES, resized, transposed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import ModelProto
from written_files import save

from qdeploy.errors import UnsupportedLayerError
from qdeploy.ir.integer_graph import Concat, Conv, DepthToSpace, Dilate, Upsample
from qdeploy.ir.reference import run_reference
from qdeploy.lowering.integers.lower import lower, lower_with_affine
from qdeploy.lowering.integers.nearest import NearestRule

# Values on the edge between two codes: exact arithmetic on the file decides these.
TIES = {("concat", "scales without a ratio, quantizer")}
KINDS = {"concat": Concat, "resize": Upsample, "transposed": Conv, "shuffle": DepthToSpace}
NOTHING = {("concat", "one branch"), ("resize", "by 1")}
EVERY = [(family, name) for family, files in FAMILIES.items() for name in files]


@pytest.mark.parametrize(("family", "name"), EVERY)
def test_the_integers_are_those_of_the_file(family: str, name: str, tmp_path: Path) -> None:
    found = check(save(FAMILIES[family][name](), tmp_path), frames=3)
    assert (found.engine, found.exact, found.classes) == (0, 0, 0), found.note
    assert found.ties == 0 or (family, name) in TIES
    made = any(isinstance(node, KINDS[family]) for node in found.graph.nodes)
    assert made == ((family, name) not in NOTHING)


def test_branches_of_one_scale_are_codes_of_one_scale(tmp_path: Path) -> None:
    graph = lower(save(CONCATS["one scale"](), tmp_path))
    node = next(node for node in graph.nodes if isinstance(node, Concat))
    assert graph.tensors[node.output].scale == 0.25
    assert [graph.tensors[name].shape[0] for name in node.inputs] == [4, 2]


def test_branches_of_two_scales_keep_theirs(tmp_path: Path) -> None:
    lowered = lower_with_affine(save(CONCATS["scales 1:2"](), tmp_path))
    node = next(node for node in lowered.graph.nodes if isinstance(node, Concat))
    assert lowered.graph.tensors[node.output].scale is None
    assert [float(gain) for gain in lowered.maps[node.output].gain] == [0.25] * 4 + [0.5] * 3


def test_zeros_between_pixels_cost_no_stride_of_one(tmp_path: Path) -> None:
    graph = lower(save(FAMILIES["transposed"]["stride 1"](), tmp_path))
    assert not any(isinstance(node, Dilate) for node in graph.nodes)


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_transposed_convolution_is_torchs(data: st.DataObject, tmp_path: Path) -> None:
    """Weights and sums against torch's own, whatever the geometry."""
    pick = partial(data.draw)
    kernel = [pick(st.integers(1, 4)) for _ in range(2)]
    stride = [pick(st.integers(1, 3)) for _ in range(2)]
    dilation = [pick(st.integers(1, 2)) for _ in range(2)]
    pads = [pick(st.integers(0, min(2, dilation[axis] * (kernel[axis] - 1)))) for axis in (0, 1)]
    more = [pick(st.integers(0, max(stride[a], dilation[a]) - 1)) for a in (0, 1)]
    groups = pick(st.sampled_from([1, 2, 4]))
    codes = np.random.default_rng(pick(st.integers(0, 99))).integers(-7, 8, (4, 2, *kernel))
    file, x = quantized((4, 5, 4))
    weights = file.quantizer(file.constant(codes / 8), 0.125, 4, signed=1)
    how = {"strides": stride, "dilations": dilation, "output_padding": more, "group": groups}
    y = file.op("ConvTranspose", x, weights, kernel_shape=kernel, pads=[*pads, *pads], **how)
    frame = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 4, 5, 4)))
    wanted = torch.nn.functional.conv_transpose2d(
        frame.double(),
        torch.from_numpy(codes).double(),
        None,
        stride,
        pads,
        more,
        groups,
        dilation,
    )
    if min(wanted.shape) < 1:
        return
    path = save(file.model(y, tuple(wanted.shape)), tmp_path)
    graph = lower(path)
    found = run_reference(graph, frame.numpy())[graph.output]
    np.testing.assert_array_equal(found, wanted.numpy().astype(np.int64))


@pytest.mark.parametrize("transform", ["asymmetric", "half_pixel", "align_corners"])
@pytest.mark.parametrize("rounding", ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])
def test_a_rule_is_taken_where_it_repeats_every_pixel_as_often(
    transform: str, rounding: str
) -> None:
    rule = NearestRule(transform, rounding)
    taken = [rule.repeats(5, times, times) for times in (1, 2, 3, 4)]
    wanted = {
        ("asymmetric", "floor"): [True] * 4,
        ("half_pixel", "round_prefer_floor"): [True] * 4,
        ("half_pixel", "round_prefer_ceil"): [True] * 4,
    }
    assert taken == wanted.get((transform, rounding), [True, *taken[1:]])
    assert all(taken) == ((transform, rounding) in wanted)


def _bilinear(file: DialectWriter, y: str) -> str:
    return file.op("Resize", y, "", file.constant([1, 1, 2, 2]), mode="linear")


def _uneven(file: DialectWriter, y: str) -> str:
    return file.op("Resize", y, "", file.constant([1, 1, 1.5, 2]), mode="nearest")


def _halves(file: DialectWriter, y: str) -> str:
    return file.op("Resize", y, "", file.constant([1, 1, 0.5, 1]), mode="nearest")


def _run_time(file: DialectWriter, y: str) -> str:
    spread = file.op("ReduceMax", y, axes=[2, 3], keepdims=0)
    return file.op("Resize", y, "", file.op("Reshape", spread, file.constant([4], np.int64)))


def _rows_together(file: DialectWriter, y: str) -> str:
    return file.op("Concat", y, y, axis=2)


def _two_sizes(file: DialectWriter, y: str) -> str:
    return file.op("Concat", y, file.op("MaxPool", y, kernel_shape=[2, 2]), axis=1)


def _constant_channels(file: DialectWriter, y: str) -> str:
    return file.op("Concat", y, file.constant(np.ones((1, 1, 6, 5))), axis=1)


def _no_ratio(file: DialectWriter, y: str) -> str:
    return file.op("Concat", y, file.quantizer(file.conv(y, 4, 2), 0.3, 4, signed=1), axis=1)


def _unlike(file: DialectWriter, y: str) -> str:
    sums = file.conv(y, 4, 2)
    return file.quantizer(file.op("Concat", file.op("Relu", sums), sums, axis=1), 0.25, 4)


def _biased_shuffle(file: DialectWriter, y: str) -> str:
    sums = file.norm(file.conv(y, 4, 8), 8)
    return file.activation(file.op("DepthToSpace", sums, blocksize=2), 0.25, 4)


REFUSED: dict[str, tuple[Callable[[DialectWriter, str], str], tuple[int, int, int], str, str]] = {
    "linear": (_bilinear, (4, 12, 10), "by 2 and 2 in mode linear", "mode='nearest' with integer"),
    "not whole": (_uneven, (4, 9, 10), "resizes .4, 6, 5. to .4, 9, 10.", "use integer factors"),
    "smaller": (_halves, (4, 3, 5), "resizes .4, 6, 5. to .4, 3, 5.", "use integer factors"),
    "run time": (_run_time, (4, 6, 5), "factors are computed at run time", "fixed input size"),
    "rows": (_rows_together, (4, 12, 5), "joins along axis 2", "use axis=1"),
    "constants": (_constant_channels, (5, 6, 5), "inputs is a constant", "a bias after"),
    "no ratio": (_no_ratio, (6, 6, 5), "one scale per channel", "one quantizer on all"),
    "unlike": (_unlike, (4, 6, 5), "differ in what stands before a quantizer", "put a quantizer"),
    "biased": (
        _biased_shuffle,
        (2, 12, 10),
        "scales, biases or activations",
        "before PixelShuffle",
    ),
    "rule": (
        lambda f, y: resized(f, y, 2, 2, nearest_mode="ceil"),
        (4, 12, 10),
        "half_pixel, ceil",
        "asymmetric and nearest_mode floor",
    ),
    "shape": (
        lambda f, y: transposed(f, y, (4, 4, 2, 2), output_shape=[7, 6]),
        (4, 7, 6),
        "by the shape of its output",
        "output_padding given in pixels",
    ),
    "kernel": (
        lambda f, y: f.op("ConvTranspose", y, f.weights(4, 4, 2, 2)),
        (4, 7, 6),
        "kernel_shape is not theirs",
        "and kernel_shape",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_names_what_is_near(name: str, tmp_path: Path) -> None:
    change, shape, found, advice = REFUSED[name]
    path = save(between(change, *shape), tmp_path)
    with pytest.raises(UnsupportedLayerError, match=found) as caught:
        lower(path)
    assert caught.value.do is not None and advice in caught.value.do
    assert caught.value.expected


def test_maps_of_two_sizes_are_not_joined(tmp_path: Path) -> None:
    """ONNX's own rules refuse the file before."""
    with pytest.raises(UnsupportedLayerError):
        lower(save(_file_of(_two_sizes), tmp_path))


def _file_of(change: Callable[[DialectWriter, str], str]) -> ModelProto:
    return between(change, 8, 6, 5)
