"""Files that FINN's own transformations wrote, stage by stage of its end-to-end flow.

finn           MultiThreshold instead of Quant, integer weights with annotations
streamlined    scales and biases moved into thresholds, the rest at the end
lowered        convolutions as Im2Col and MatMul, maps channels last
xnor           -1 and +1 as 0 and 1, products as XnorPopcountMatMul
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import onnx
from dialect_writer import Collection, DialectWriter
from dialects import Dialect
from dialects_examples import example_files
from finn.transformation.qonnx.convert_qonnx_to_finn import ConvertQONNXtoFINN
from finn.transformation.streamline import Streamline
from finn.transformation.streamline.absorb import (
    AbsorbConsecutiveTransposes,
    AbsorbScalarMulAddIntoTopK,
    AbsorbTransposeIntoMultiThreshold,
)
from finn.transformation.streamline.reorder import MakeMaxPoolNHWC
from onnx import ModelProto
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.bipolar_to_xnor import ConvertBipolarMatMulToXnorPopcount
from qonnx.transformation.infer_data_layouts import InferDataLayouts
from qonnx.transformation.insert_topk import InsertTopK
from qonnx.transformation.lower_convs_to_matmul import LowerConvsToMatMul
from qonnx.util.cleanup import cleanup_model

STAGES = ("finn", "streamlined", "lowered", "xnor", "top-k")


def transformed(model: ModelProto, stage: str) -> ModelProto:
    """A QONNX model at a stage of FINN's flow."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = cleanup_model(ModelWrapper(model)).transform(ConvertQONNXtoFINN())
        if stage == "top-k":
            made = made.transform(InsertTopK(k=1))
        if stage != "finn":
            made = made.transform(Streamline())
        if stage in ("lowered", "xnor", "top-k"):
            steps = LowerConvsToMatMul(), MakeMaxPoolNHWC(), AbsorbTransposeIntoMultiThreshold()
            for step in steps:
                made = made.transform(step)
        if stage in ("xnor", "top-k"):
            made = made.transform(ConvertBipolarMatMulToXnorPopcount()).transform(Streamline())
            for step in (AbsorbScalarMulAddIntoTopK(), AbsorbConsecutiveTransposes()):
                made = made.transform(step)
            made = made.transform(InferDataLayouts())
    found: ModelProto = made.model
    return found


class _Writer(DialectWriter):
    """Layers with every attribute written, which FINN asks for."""

    def __init__(self, shape: tuple[int, ...], kind: str) -> None:
        super().__init__((1, *shape))
        self.kind = kind

    def of(self, *shape: int) -> str:
        if self.kind == "bipolar":
            return self.bipolar(self.constant(self.rng.choice([-0.5, 0.5], shape)))
        return self.weights(*shape)

    def codes(self, y: str, channels: int) -> str:
        y = self.norm(y, channels)
        if self.kind == "bipolar":
            return self.bipolar(y)
        if self.kind == "signed":
            return self.quantizer(y, 0.25, 3, signed=1)
        return self.activation(y, 0.25, 2)

    def layer(
        self,
        y: str,
        inputs: int,
        outputs: int,
        size: int = 3,
        pad: int = 0,
        by: int = 1,
        of: int = 1,
    ) -> str:
        y = self.op(
            "Conv",
            y,
            self.of(outputs, inputs // of, size, size),
            kernel_shape=[size] * 2,
            strides=[by] * 2,
            pads=[pad] * 4,
            dilations=[1, 1],
            group=of,
        )
        return self.codes(y, outputs)

    def pool(self, y: str) -> str:
        return self.op("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2], pads=[0] * 4)

    def end(self, y: str, features: int) -> ModelProto:
        y = self.codes(self.op("MatMul", y, self.of(features, 8)), 8)
        y = self.op("Mul", self.op("MatMul", y, self.of(8, 5)), self.constant(0.37))
        return self.model(self.op("Add", y, self.constant(self.rng.normal(size=5))), (1, 5))


def _image(kind: str, size: int = 8) -> tuple[_Writer, str]:
    file = _Writer((3, size, size), kind)
    return file, file.quantizer("x", 2**-7, 8, signed=1)


def _vector(kind: str) -> ModelProto:
    file = _Writer((12,), kind)
    return file.end(file.quantizer("x", 2**-7, 8, signed=1), 12)


def _convolutions(kind: str) -> ModelProto:
    file, x = _image(kind)
    pad = 0 if kind == "bipolar" else 1
    y = file.layer(file.layer(x, 3, 4), 4, 4, pad=pad)
    side = 4 + 2 * pad
    return file.end(file.flat(y), 4 * side * side)


def _pools(kind: str) -> ModelProto:
    """A max-pool between convolutions, and one before the vector."""
    file, x = _image(kind, 10)
    y = file.pool(file.layer(x, 3, 4))
    y = file.pool(file.layer(y, 4, 6, size=3))
    return file.end(file.flat(y), 6)


def _separable(kind: str) -> ModelProto:
    """Depthwise, of stride 2, and of kernel 1."""
    file, x = _image(kind)
    y = file.layer(file.layer(x, 3, 4, pad=1, by=2), 4, 4, pad=1, of=4)
    return file.end(file.flat(file.layer(y, 4, 6, size=1)), 96)


NETWORKS: dict[str, tuple[Callable[[str], ModelProto], tuple[str, ...]]] = {
    "vector": (_vector, ("bipolar", "signed", "unsigned")),
    "convolutions": (_convolutions, ("bipolar", "signed", "unsigned")),
    "max-pools": (_pools, ("bipolar", "signed", "unsigned")),
    "separable": (_separable, ("signed", "unsigned")),
}


def _example(name: str, stage: str, path: Path) -> None:
    dialect = next(one for one in example_files() if one.name == f"example/{name}")
    dialect.write(path)
    onnx.save(transformed(onnx.load(path), stage), path)


def small_streamlined_files() -> list[Dialect]:
    """Small networks at every stage."""
    group = Collection("streamlined")
    for name, (make, kinds) in NETWORKS.items():
        for kind in kinds:
            for stage in STAGES:
                group.add(
                    f"{name}, {kind}, {stage}",
                    lambda make=make, kind=kind, stage=stage: transformed(make(kind), stage),
                )
    return group.files


def streamlined_files() -> list[Dialect]:
    """Each file of this family: small networks, and Brevitas' examples as FINN ends with them."""
    group = Collection("streamlined")
    for name in ("TFC_1W1A", "TFC_1W2A", "CNV_1W1A", "CNV_2W2A"):
        for stage in ("streamlined", "xnor"):
            group.write(
                f"{name}, {stage}",
                lambda path, name=name, stage=stage: _example(name, stage, path),
            )
    return [*small_streamlined_files(), *group.files]
