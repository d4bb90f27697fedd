"""Small files whose input goes through some arithmetic before its first quantizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DOMAIN = "qonnx.custom_op.general"


class InputFile:
    """Nodes one after the other, from the input `x` on; `done` adds two layers and writes the file.

    Args:
        shape: of a frame in the file.
        kind: type of the input.
    """

    def __init__(self, shape: tuple[int, ...], kind: int = TensorProto.FLOAT) -> None:
        self.shape, self.kind = shape, kind
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.annotation = ""
        self.now = "x"

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def op(self, op: str, *others: Any, first: bool = True, **attributes: Any) -> InputFile:
        """An operator of the tensor made last and constants; `first`: it is the first operand."""
        names = [o if isinstance(o, str) else self.constant(o) for o in others]
        inputs = [self.now, *names] if first else [*names, self.now]
        domain = DOMAIN if op in ("Quant", "BipolarQuant", "MultiThreshold") else ""
        self.now = f"{op.lower()}{len(self.nodes)}"
        name = f"{self.now}_node"
        node = helper.make_node(op, inputs, [self.now], name, domain=domain, **attributes)
        self.nodes.append(node)
        return self

    def reshape(self, *shape: int) -> InputFile:
        return self.op("Reshape", self.constant(shape, np.int64))

    def quant(
        self,
        scale: Any,
        bits: float,
        *,
        signed: bool = True,
        zero: Any = 0.0,
        narrow: bool = False,
        mode: str = "ROUND",
    ) -> InputFile:
        attributes = {"signed": int(signed), "narrow": int(narrow), "rounding_mode": mode}
        return self.op("Quant", scale, zero, bits, **attributes)

    def done(self, path: Path, shape: tuple[int, ...]) -> Path:
        """Write the file, with a layer on the codes and a fully connected one.

        Args:
            shape: of the tensor made last, without the batch axis.
        """
        random, size = np.random.default_rng(0), int(np.prod(shape))
        if len(shape) == 3:
            weights = self._weights(random.integers(-1, 2, (3, shape[0], 3, 3)), 0.25, 2)
            source, self.now = self.now, "sums"
            window = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
            self.nodes.append(
                helper.make_node("Conv", [source, weights], ["sums"], "conv", **window)
            )
            self.op("Relu").quant(0.5, 2.0, signed=False).op("Flatten", axis=1)
            size = 3 * shape[1] * shape[2]
        weights = self._weights(random.integers(-3, 4, (size, 5)), 0.125, 4)
        self.nodes.append(helper.make_node("MatMul", [self.now, weights], ["logits"], "last"))
        graph = helper.make_graph(
            self.nodes,
            "input",
            [helper.make_tensor_value_info("x", self.kind, [1, *self.shape])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 5])],
            self.constants,
        )
        if self.annotation:
            entry = onnx.StringStringEntryProto(key="finn_datatype", value=self.annotation)
            told = onnx.TensorAnnotation(tensor_name="x", quant_parameter_tensor_names=[entry])
            graph.quantization_annotation.append(told)
        sets = [helper.make_opsetid("", 13), helper.make_opsetid(DOMAIN, 1)]
        onnx.save(helper.make_model(graph, opset_imports=sets, ir_version=9), path)
        return path

    def _weights(self, codes: np.ndarray, scale: float, bits: int) -> str:
        name = f"w{len(self.nodes)}"
        inputs = [self.constant(codes * scale), *(self.constant(v) for v in (scale, 0.0, bits))]
        attributes = {"signed": 1, "narrow": 1, "rounding_mode": "ROUND"}
        self.nodes.append(
            helper.make_node("Quant", inputs, [name], f"{name}_quant", domain=DOMAIN, **attributes)
        )
        return name
