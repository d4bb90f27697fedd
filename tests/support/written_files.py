"""ONNX files written node by node, as exporters write them: one question each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, TensorProto, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes

from qdeploy.ir.reference import run_reference
from qdeploy.lowering.integers.lower import lower

QONNX = "qonnx.custom_op.general"


class FileWriter:
    """A graph from the input `x` on; each method adds a node and returns its output."""

    def __init__(self, shape: tuple[Any, ...], *, opset: int = 13, domain: str = QONNX) -> None:
        self.shape, self.opset, self.domain = shape, opset, domain
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.rng = np.random.default_rng(7)

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value, dtype=dtype)
        return name

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        output = f"t{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(
                kind, inputs, [output], f"{kind}_{len(self.nodes)}", domain=domain, **attributes
            )
        )
        return output

    def quant(self, source: str, scale: Any, bits: int, *, signed: int = 0, narrow: int = 0) -> str:
        parameters = [self.constant(value) for value in (scale, 0, bits)]
        return self.op(
            "Quant",
            source,
            *parameters,
            domain=self.domain,
            signed=signed,
            narrow=narrow,
            rounding_mode="ROUND",
        )

    def weights(self, *shape: int, scale: Any = 0.25, bits: int = 4) -> str:
        values = self.constant(self.rng.normal(size=shape))
        return self.quant(values, scale, bits, signed=1, narrow=1)

    def conv(self, source: str, inputs: int, outputs: int, **attributes: Any) -> str:
        attributes = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], **attributes}
        return self.op("Conv", source, self.weights(outputs, inputs, 3, 3), **attributes)

    def activation(self, source: str, scale: float = 0.5, bits: int = 2) -> str:
        return self.quant(self.op("Relu", source), scale, bits)

    def head(self, source: str, features: int, classes: int = 5) -> str:
        return self.op("MatMul", source, self.weights(features, classes, scale=0.125))

    def model(
        self,
        output: str,
        shape: tuple[Any, ...] | None = None,
        *,
        input_type: int = TensorProto.FLOAT,
        output_type: int = TensorProto.FLOAT,
        imports: tuple[str, ...] | None = None,
        ir_version: int = 8,
    ) -> ModelProto:
        domains = {node.domain for node in self.nodes} - {""}
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("x", input_type, self.shape)],
            [helper.make_tensor_value_info(output, output_type, shape)],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        sets = [helper.make_opsetid("", self.opset)]
        sets += [helper.make_opsetid(d, 1) for d in (domains if imports is None else imports)]
        return helper.make_model(graph, opset_imports=sets, ir_version=ir_version)


def convnet(**options: Any) -> tuple[FileWriter, str]:
    """Input quantizer, convolution, batch norm, ReLU and quantizer of (1, 3, 6, 6); its output."""
    file = FileWriter((options.pop("batch", 1), 3, 6, 6), **options)
    quantized = file.quant("x", 2**-8, 8)
    sums = file.conv(quantized, 3, 4)
    scale, mean = file.rng.choice([0.5, 1.0, 2.0], 4), file.rng.integers(-3, 3, 4) / 8
    parameters = [scale, mean, np.zeros(4), np.ones(4)]
    # Variance 1 - epsilon: the factor is the scale itself, and ties are decided exactly.
    normed = file.op("BatchNormalization", sums, *map(file.constant, parameters), epsilon=0.0)
    return file, file.activation(normed)


def save(model: ModelProto, folder: Path, name: str = "network") -> Path:
    """Write a model; returns the path."""
    path = folder / f"{name}.onnx"
    onnx.save(model, path)
    return path


def official(model: ModelProto, frames: np.ndarray, name: str | None = None) -> np.ndarray:
    """A tensor by qonnx's executor, frame by frame: what the file means."""
    wrapper = ModelWrapper(model).transform(InferShapes())
    wanted = name or model.graph.output[0].name
    rows = [
        execute_onnx(wrapper, {model.graph.input[0].name: frame[None]}, True)[wanted]
        for frame in frames
    ]
    return np.concatenate(rows)


def by_onnxruntime(model: ModelProto, frames: np.ndarray) -> np.ndarray:
    """The output of a file of standard operators, each as the specification has it: optimized, a
    session puts kernels of integers with rounding of their own in the place of several nodes."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: frame[None]})[0] for frame in frames])


def frames_of(shape: tuple[int, ...], count: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Input codes of 8 unsigned bits, and their values at scale 1/256."""
    codes = np.random.default_rng(1).integers(0, 256, (count, *shape))
    return codes, (codes / 256).astype(np.float32)


def logits_of(path: Path, codes: np.ndarray) -> np.ndarray:
    """The logits of the integer graph of a file, as its head reads them."""
    graph = lower(path)
    tensors = run_reference(graph, codes)
    return graph.head.values(tensors[graph.logits])
