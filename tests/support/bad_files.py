"""QONNX files that are wrong in one thing each, from one small residual network that is right."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

DOMAIN = "qonnx.custom_op.general"
SHAPE = (1, 2, 4, 4)
F = np.float32


def _quant(source: str, name: str, scale: str, bits: str, signed: int) -> NodeProto:
    inputs = [source, scale, f"{name}.zero", bits]
    attributes = {"signed": signed, "narrow": 0, "rounding_mode": "ROUND"}
    return helper.make_node("Quant", inputs, [name], name, domain=DOMAIN, **attributes)


@dataclass
class SmallNetwork:
    """Input, a 3x3 convolution with batch norm and ReLU, its codes added to the input's, a head.

    Nodes and constants can be replaced by name before it is written.
    """

    constants: dict[str, Any] = field(default_factory=dict)
    nodes: dict[str, NodeProto] = field(default_factory=dict)
    inputs: tuple[str, ...] = ("x",)
    outputs: tuple[str, ...] = ("out",)
    output_shape: tuple[int, ...] = (1, 3)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(0)
        self.constants = {
            "byte": F(1 / 256),
            "grid": F(1 / 4),
            "other": F(1 / 8),
            "w.scale": F(1 / 8),
            "eight": F(8),
            "four": F(4),
            "two": F(2),
            "weights": (rng.integers(-7, 8, (2, 2, 3, 3)) / 8).astype(F),
            "head": (rng.integers(-7, 8, (2, 3)) / 8).astype(F),
            "bias": np.zeros(2, F),
            "gamma": np.ones(2, F),
            "beta": np.zeros(2, F),
            "average": np.zeros(2, F),
            "var": np.ones(2, F),
            **{f"{name}.zero": F(0) for name in ("input", "w", "act", "short", "v", "last")},
        }
        self.nodes = {
            "input": _quant("x", "input", "byte", "eight", 0),
            "w": _quant("weights", "w", "w.scale", "four", 1),
            "conv": helper.make_node(
                "Conv", ["input", "w", "bias"], ["sums"], "conv", pads=[1, 1, 1, 1]
            ),
            "norm": helper.make_node(
                "BatchNormalization",
                ["sums", "gamma", "beta", "average", "var"],
                ["normed"],
                "norm",
            ),
            "relu": helper.make_node("Relu", ["normed"], ["positive"], "relu"),
            "act": _quant("positive", "act", "grid", "four", 0),
            "short": _quant("input", "short", "grid", "four", 0),
            "join": helper.make_node("Add", ["act", "short"], ["sum"], "join"),
            "last": _quant("sum", "last", "grid", "two", 0),
            "mean": helper.make_node("GlobalAveragePool", ["last"], ["mean"], "average"),
            "flat": helper.make_node("Flatten", ["mean"], ["flat"], "flatten"),
            "v": _quant("head", "v", "w.scale", "four", 1),
            "fc": helper.make_node("MatMul", ["flat", "v"], ["out"], "fc"),
        }

    def attribute(self, node: str, name: str, value: Any) -> None:
        """Set an attribute of a node."""
        found = self.nodes[node]
        for old in [item for item in found.attribute if item.name == name]:
            found.attribute.remove(old)
        found.attribute.append(helper.make_attribute(name, value))

    def save(self, path: Path) -> Path:
        """Write the file; it need not be one that ONNX's checker takes."""

        def value(name: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

        graph = helper.make_graph(
            list(self.nodes.values()),
            "bad",
            [value(name, SHAPE) for name in self.inputs],
            [value(name, self.output_shape) for name in self.outputs],
            [numpy_helper.from_array(np.asarray(a), name) for name, a in self.constants.items()],
        )
        domains = [helper.make_opsetid("", 13), helper.make_opsetid(DOMAIN, 1)]
        onnx.save(helper.make_model(graph, opset_imports=domains, ir_version=9), path)
        return path
