"""What a file does with its input before its first codes: the codes are the official executor's."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from input_files import InputFile
from judged import judged
from onnx import TensorProto, helper

from qdeploy.errors import UnsupportedLayerError, UserError
from qdeploy.ir.file import read_graph, write_graph
from qdeploy.ir.input_codes import RawType
from qdeploy.ir.input_thresholds import plain
from qdeploy.ir.reference import run_reference
from qdeploy.lowering.canonical.executor import execute
from qdeploy.lowering.canonical.import_qonnx import canonical, import_qonnx
from qdeploy.lowering.integers.lower import lower_model, lower_with_affine
from qdeploy.verify.float_levels import qonnx_level

Make = Callable[[InputFile], InputFile]
MEAN = np.array([0.485, 0.456, 0.406], np.float32).reshape(1, 3, 1, 1)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32).reshape(1, 3, 1, 1)
BYTE = 1 / 255
HALF, EDGES = TensorProto.FLOAT16, [[-0.5, 0.5], [0.1, 2.0]]
CASES: dict[str, tuple[tuple[int, ...], tuple[int, ...], Make]] = {
    "2x-1": ((1, 4, 5), (1, 4, 5), lambda f: f.op("Mul", 2.0).op("Sub", [1.0]).quant(1 / 128, 8)),
    "/255": ((2, 4, 3), (2, 4, 3), lambda f: f.op("Div", 255.0).quant(BYTE, 8, signed=False)),
    "mean and deviation": (
        (3, 5, 4),
        (3, 5, 4),
        lambda f: f.op("Div", 255.0).op("Sub", MEAN).op("Div", DEVIATION).quant(0.0207, 8),
    ),
    "channels last": (
        (4, 5, 3),
        (3, 4, 5),
        lambda f: (
            f.op("Sub", [1.0, -2.0, 30.0])
            .op("Transpose", perm=[0, 3, 1, 2])
            .op("Mul", DEVIATION)
            .quant(0.3, 5)
        ),
    ),
    "a vector made a map": (
        (30,),
        (2, 3, 5),
        lambda f: f.reshape(1, 2, 3, 5).op("Add", [[[1.0]], [[-1.0]]]).quant(0.1, 4),
    ),
    "a map made a vector": ((2, 3, 5), (30,), lambda f: f.reshape(1, -1).quant(0.1, 4)),
    "flattened columns first": (
        (3, 4, 2),
        (24,),
        lambda f: f.op("Transpose", perm=[0, 2, 1, 3]).op("Flatten").quant(0.1, 4),
    ),
    "-1 and +1": (
        (1, 4, 4),
        (16,),
        lambda f: f.reshape(1, -1).op("Mul", 2.0).op("Sub", 1.0).op("BipolarQuant", 1.0),
    ),
    "one signed bit": ((1, 4, 4), (1, 4, 4), lambda f: f.op("Sub", 0.3).quant(0.7, 1)),
    "zero point": ((1, 4, 4), (1, 4, 4), lambda f: f.quant(0.1, 8, signed=False, zero=10.0)),
    "negative scale": ((1, 4, 4), (1, 4, 4), lambda f: f.quant(-0.1, 4)),
    "falling": (
        (1, 4, 4),
        (1, 4, 4),
        lambda f: f.op("Sub", 1.0, first=False).quant(0.1, 4, narrow=True),
    ),
    "rising, falling, constant": (
        (3, 4, 4),
        (3, 4, 4),
        lambda f: f.op("Mul", [[[-1.3]], [[2.1]], [[0.0]]]).quant(0.1, 4),
    ),
    "floor": ((1, 4, 4), (1, 4, 4), lambda f: f.op("Mul", 0.3).quant(0.1, 3, mode="FLOOR")),
    "ceil": ((1, 4, 4), (1, 4, 4), lambda f: f.quant(0.1, 3, mode="CEIL")),
    "clipped": ((1, 4, 4), (1, 4, 4), lambda f: f.op("Clip", -0.45, 0.3).quant(0.02, 8)),
    "negated and rectified": ((1, 4, 4), (1, 4, 4), lambda f: f.op("Neg").op("Relu").quant(0.1, 6)),
    "half": (
        (1, 4, 4),
        (1, 4, 4),
        lambda f: (
            f.op("Cast", to=TensorProto.FLOAT16).op("Cast", to=TensorProto.FLOAT).quant(0.1, 8)
        ),
    ),
    "three levels": (
        (2, 4, 4),
        (2, 4, 4),
        lambda f: f.op(
            "MultiThreshold", [[-0.5, 0.5], [0.1, 2.0]], out_dtype="INT2", out_bias=-1.0
        ),
    ),
    "one row of thresholds for each of many features": (
        (2, 4, 4),
        (32,),
        lambda f: f.reshape(1, -1).op("MultiThreshold", [[-0.5, 0.5]] * 32, out_dtype="UINT2"),
    ),
    "two levels": (
        (1, 4, 4),
        (1, 4, 4),
        lambda f: f.op(
            "MultiThreshold", [[0.0]], out_dtype="BIPOLAR", out_scale=2.0, out_bias=-1.0
        ),
    ),
    "16 bits": ((1, 4, 4), (1, 4, 4), lambda f: f.op("Mul", 0.9).quant(2.0**-15, 16)),
}


def values(shape: tuple[int, ...]) -> np.ndarray:
    """Real frames of several sizes, with whole numbers, halves and both zeros."""
    random = np.random.default_rng(1)
    parts = [
        random.uniform(-2, 2, (30, *shape)),
        random.uniform(-300, 300, (10, *shape)),
        random.integers(0, 256, (10, *shape)),
        random.integers(-6, 7, (10, *shape)) / 20,
        random.choice([0.0, -0.0, 3e38, -3e38, 1e-44], (10, *shape)),
    ]
    return np.concatenate(parts).astype(np.float32)


@pytest.mark.parametrize("name", CASES)
def test_codes_of_real_frames_are_the_files(name: str, tmp_path: Path) -> None:
    shape, coded, make = CASES[name]
    path = make(InputFile(shape)).done(tmp_path / "network.onnx", coded)
    lowered = lower_with_affine(path)
    write_graph(lowered.graph, tmp_path / "graph")
    graph = read_graph(tmp_path / "graph")
    assert graph.preparation == lowered.graph.preparation
    x, found = values(shape), graph.prepared
    given = execute(canonical(path, probe=False), x)[lowered.sources["input"]]
    steps = np.rint(given.astype(np.float64) / float(graph.tensors["input"].scale or 1))
    codes = found.codes(x)
    np.testing.assert_array_equal(codes.reshape(len(x), -1), steps.reshape(len(x), -1))
    assert codes.shape[1:] == graph.tensors["input"].shape
    assert len(np.unique(codes)) > 1
    # And back: the frames that stand for the codes have them, also in the file.
    np.testing.assert_array_equal(found.codes(found.real(codes)), codes)
    level = qonnx_level(path, graph, codes)
    exact = run_reference(graph, codes)
    verdict = judged(path, codes, level)
    assert verdict.wrong == 0, verdict
    assert exact["logits"].any()


def test_an_input_with_a_quantizer_alone_is_a_plain_one(tmp_path: Path) -> None:
    path = InputFile((1, 4, 4)).quant(0.1, 4).done(tmp_path / "network.onnx", (1, 4, 4))
    graph = lower_with_affine(path).graph
    assert graph.preparation is None
    assert graph.prepared == plain(graph.tensors["input"].scale, -8, 7, (1, 4, 4))


@pytest.mark.parametrize("kind", ["type", "annotation", "option"])
def test_raw_bytes_are_known_by_type_annotation_or_option(kind: str, tmp_path: Path) -> None:
    file = InputFile((1, 4, 5), TensorProto.UINT8 if kind == "type" else TensorProto.FLOAT)
    file.annotation = "UINT8" if kind == "annotation" else ""
    if kind == "type":
        file.op("Cast", to=TensorProto.FLOAT)
    file.op("Div", 255.0).op("Mul", 2.0).op("Sub", 1.0).quant(1 / 100, 7)
    path = file.done(tmp_path / "network.onnx", (1, 4, 5))
    stored = tmp_path / "canonical.onnx"
    import_qonnx(path, stored, RawType() if kind == "option" else None)
    lowered = lower_with_affine(stored)
    graph = lowered.graph
    assert graph.preparation is not None and graph.preparation.raw == RawType()
    # -1 is -100, beyond the 7 bits; +1 is beyond them too.
    assert (graph.tensors["input"].lo, graph.tensors["input"].hi) == (-64, 63)
    raw = np.arange(256).astype(np.uint8).reshape(-1, 1, 1, 1) + np.zeros((1, 4, 5), np.uint8)
    given = execute(canonical(stored, probe=False), raw.astype(np.float32))
    codes = np.rint(given[lowered.sources["input"]].astype(np.float64) * 100)
    np.testing.assert_array_equal(graph.preparation.codes_of_integers(raw), codes)


def test_the_range_of_the_codes_is_what_raw_values_reach(tmp_path: Path) -> None:
    file = InputFile((3, 4, 4)).op("Mul", [[[1.0]], [[-1.0]], [[0.5]]]).quant(1 / 128, 8)
    path = file.done(tmp_path / "network.onnx", (3, 4, 4))
    raw = RawType(0, 255, Fraction(1, 256))
    graph = lower_model(canonical(path, raw=raw)).graph
    found = graph.preparation
    assert found is not None and found.falling == (False, True, False)
    assert (found.lo, found.hi) == (-128, 127)
    assert [int(row[-1]) for row in found.table] == [127, -127 - 1, 64]
    narrow = lower_model(canonical(path, raw=RawType(0, 15, Fraction(1, 256)))).graph
    source = narrow.tensors["input"]
    assert (source.lo, source.hi, source.dtype.bits) == (-8, 8, 5)


@pytest.mark.parametrize("raw", [RawType(0, 255, Fraction(1, 255)), RawType(-8, 7)], ids=str)
def test_without_a_quantizer_raw_integers_are_the_codes(raw: RawType, tmp_path: Path) -> None:
    file = InputFile((4, 5, 2)).op("Transpose", perm=[0, 3, 1, 2]).op("Mul", 0.125)
    path = file.done(tmp_path / "network.onnx", (2, 4, 5))
    lowered = lower_model(canonical(path, raw=raw))
    graph = lowered.graph
    source, found = graph.tensors["input"], graph.prepared
    assert (source.lo, source.hi, source.scale) == (raw.lo, raw.hi, raw.scale)
    assert found.takes_codes
    frames = np.random.default_rng(0).integers(raw.lo, raw.hi + 1, (20, 4, 5, 2))
    codes = found.codes_of_integers(frames)
    np.testing.assert_array_equal(codes, frames.transpose(0, 3, 1, 2))
    stored = tmp_path / "canonical.onnx"
    import_qonnx(path, stored, raw)
    verdict = judged(stored, codes, qonnx_level(stored, graph, codes))
    assert verdict.wrong == 0, verdict


def test_raw_integers_with_a_zero_point_are_codes_without_it(tmp_path: Path) -> None:
    path = InputFile((2, 4, 4)).done(tmp_path / "network.onnx", (2, 4, 4))
    graph = lower_model(canonical(path, raw=RawType(0, 255, Fraction(1, 128), 128))).graph
    found = graph.prepared
    assert (found.lo, found.hi, found.zero) == (-128, 127, 128)
    raw = np.array([0, 128, 255]).reshape(3, 1, 1, 1) + np.zeros((2, 4, 4), int)
    assert found.codes_of_integers(raw)[:, 0, 0, 0].tolist() == [-128, 0, 127]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: f.op("Abs").quant(0.1, 4), "rises in one place and falls in another"),
        (lambda f: f.op("Sigmoid").quant(0.1, 4), "engines round it differently"),
        (lambda f: f.op("Div", 1.0, first=False).quant(0.1, 4), "before it is quantized"),
        (
            lambda f: f.op("MaxPool", kernel_shape=[1, 1]).quant(0.1, 4),
            "only operations of one element",
        ),
        (lambda f: f, "--input uint8:1/255"),
        (lambda f: f.quant(0.1, 17), "has 17 bits"),
        (lambda f: f.quant(0.1, 4, zero=0.5), "the zero point 0.5"),
        (lambda f: f.quant(0.0, 4), "the scale 0"),
        (lambda f: f.quant(float("nan"), 4), "the scale nan"),
        (lambda f: f.quant([[[0.1]], [[0.2]]], 4), "more than one scale"),
        (lambda f: f.quant(0.1, 4, mode="ODD"), "it rounds by ODD"),
        (lambda f: f.op("Mul", float("inf")).quant(0.1, 4), "not a finite float32"),
        (
            lambda f: f.op("Add", np.arange(16.0).reshape(1, 4, 4)).quant(0.1, 4),
            "more than one axis",
        ),
        (lambda f: f.quant(1e-30, 16, zero=70000.0), "have at most 16 bits"),
        (lambda f: f.op("Mul", 0.0).quant(0.1, 4), "go from 0 to 0"),
    ],
)
def test_what_cannot_come_before_the_codes_is_refused_with_its_reason(
    make: Make, message: str, tmp_path: Path
) -> None:
    path = make(InputFile((2, 4, 4))).done(tmp_path / "network.onnx", (2, 4, 4))
    with pytest.raises(UnsupportedLayerError) as caught:
        lower_with_affine(path)
    assert message in str(caught.value)


def test_a_type_that_the_file_contradicts_is_refused(tmp_path: Path) -> None:
    file = InputFile((2, 4, 4))
    file.annotation = "INT8"
    path = file.done(tmp_path / "network.onnx", (2, 4, 4))
    with pytest.raises(UserError, match="the file says it is int8"):
        canonical(path, raw=RawType())


@pytest.mark.parametrize(
    ("zero", "kind"), [(3, np.uint8), (128, np.uint8), (-5, np.int8), (0, np.int8)], ids=str
)
def test_quantize_and_dequantize_at_the_input_give_onnxruntimes_codes(
    zero: int, kind: type, tmp_path: Path
) -> None:
    file = InputFile((1, 4, 4))
    scale, point = file.constant(0.1), file.constant(zero, kind)
    file.op("QuantizeLinear", scale, point).op("DequantizeLinear", scale, point)
    last = file.now
    path = file.done(tmp_path / "network.onnx", (1, 4, 4))
    graph = lower_with_affine(path).graph
    limits = np.iinfo(kind)
    source = graph.tensors["input"]
    assert (source.lo, source.hi) == (limits.min - zero, limits.max - zero)
    model = onnx.load(path)
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info(last, TensorProto.FLOAT, None))
    del model.graph.node[2:]
    session = ort.InferenceSession(model.SerializeToString())
    x = values((1, 4, 4))[:60]
    found = np.concatenate([session.run(None, {"x": x[i : i + 1]})[0] for i in range(len(x))])
    steps = np.rint(found.astype(np.float64) / float(source.scale or 1))
    np.testing.assert_array_equal(graph.prepared.codes(x), steps)
