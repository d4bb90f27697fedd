"""A small QONNX file put together operator by operator, and its check at the levels in software."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from judged import judged
from onnx import TensorProto, helper, numpy_helper

from qdeploy.codegen.onnx.model import emit_onnx
from qdeploy.codegen.onnx.session import IntSimulator
from qdeploy.ir.reference import run_reference
from qdeploy.lowering.integers.builder import Lowered
from qdeploy.lowering.integers.lower import lower_with_affine
from qdeploy.verify.compare import compare
from qdeploy.verify.float_levels import qonnx_level

DOMAIN = "qonnx.custom_op.general"


class SmallFile:
    """Operators return the names of their results; `x` is the input, `codes` its quantizer."""

    def __init__(self, shape: tuple[int, ...], seed: int = 0, opset: int = 13) -> None:
        self.shape, self.opset = shape, opset
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.codes = self.quant("x", 2.0**-8, 8, signed=0)

    def const(self, value: Any, kind: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value, dtype=kind)
        return name

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(kind, list(inputs), [f"{name}_out"], name, domain=domain, **attributes)
        )
        return f"{name}_out"

    def quant(
        self,
        source: str,
        scale: Any,
        bits: float,
        signed: int = 1,
        zero: Any = 0,
        narrow: int = 0,
        rounding: str = "ROUND",
    ) -> str:
        parts = [self.const(value) for value in (scale, zero, bits)]
        return self.op(
            "Quant",
            source,
            *parts,
            domain=DOMAIN,
            signed=signed,
            narrow=narrow,
            rounding_mode=rounding,
        )

    def bipolar(self, source: str, scale: Any) -> str:
        return self.op("BipolarQuant", source, self.const(scale), domain=DOMAIN)

    def weights(self, shape: tuple[int, ...], scale: float = 0.25, bits: int = 3) -> str:
        """Random quantized weights with codes of all sizes."""
        top = 2 ** (bits - 1) - 1
        codes = self.random.integers(-top, top + 1, shape)
        return self.quant(self.const(codes * scale), scale, bits, narrow=1)

    def conv(self, source: str, shape: tuple[int, ...], pad: int = 0, **attributes: Any) -> str:
        """A convolution with random weights (out, in / groups, kh, kw)."""
        weights = attributes.pop("weights", None) or self.weights(shape)
        return self.op("Conv", source, weights, pads=[pad] * 4, **attributes)

    def dense(self, source: str, features: int, outputs: int) -> str:
        """A Flatten, where it is one, and a matrix product."""
        return self.op("MatMul", source, self.weights((features, outputs)))

    def save(self, path: Path, last: str, shape: tuple[int, ...]) -> Path:
        graph = helper.make_graph(
            self.nodes,
            "small",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, *self.shape))],
            [helper.make_tensor_value_info(last, TensorProto.FLOAT, (1, *shape))],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid(DOMAIN, 1)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
        return path


def check_file(
    path: Path, folder: Path, *, frames: int = 40, ties: bool = False, dull: bool = False
) -> Lowered:
    """The integers of a file, after executor and onnxruntime gave the same codes for random frames.

    Args:
        dull: whether all results may be the same.
        ties: whether float32 may fall on the other side of an edge, as exact arithmetic judges it.
    """
    lowered = lower_with_affine(path)
    graph = lowered.graph
    source = graph.tensors[graph.input]
    codes = np.random.default_rng(1).integers(source.lo, source.hi + 1, (frames, *source.shape))
    expected = run_reference(graph, codes)
    assert dull or len(np.unique(expected[graph.output])) > 1
    verdict = judged(path, codes, qonnx_level(path, graph, codes))
    assert verdict.wrong == 0, verdict
    assert ties or not verdict.differences, verdict
    emit_onnx(graph, folder / "int.onnx", taps=True)
    found = IntSimulator(folder / "int.onnx").run(codes)
    assert compare(graph.boundaries(), expected, found).first is None
    return lowered
