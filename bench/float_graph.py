"""A QONNX file in standard float operators, so that plain onnxruntime runs it.

    Quant(x, s, z, b) = (round(clip(x / s + z, lo, hi)) - z) · s
    lo, hi = the range of b bits, by sign and narrow range; round is half to even

as the QONNX operator documentation defines it. This is what a careful user does by hand to get a
QONNX network into onnxruntime; it is a peer of the integer graph, not a part of qdeploy.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper


def float_graph(path: Path) -> ModelProto:
    """Read a QONNX file and replace its Quant nodes; the batch size becomes free.

    Raises:
        ValueError: a quantizer does not round half to even, or has parameters that are not
            constant.
    """
    model = onnx.load(path)
    graph = model.graph
    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    nodes: list[NodeProto] = []
    for node in graph.node:
        nodes.extend(_standard(node, constants, model) if node.op_type == "Quant" else [node])
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    for item in (graph.input[0], graph.output[0]):
        item.type.tensor_type.shape.dim[0].dim_param = "N"
    kept = [one for one in model.opset_import if one.domain == ""]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return model


def _standard(
    node: NodeProto, constants: dict[str, np.ndarray], model: ModelProto
) -> list[NodeProto]:
    """The standard nodes of one Quant node."""
    attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    if attributes.get("rounding_mode", b"ROUND") not in (b"ROUND", b"HALF_EVEN"):
        raise ValueError(f"`{node.name}` does not round half to even")
    source, scale, zero, bits = node.input
    if bits not in constants:
        raise ValueError(f"`{node.name}` has a width that is not constant")
    lo, hi = _range(
        int(constants[bits].item()), bool(attributes["signed"]), bool(attributes["narrow"])
    )
    target = node.output[0]
    for name, value in (("lo", lo), ("hi", hi)):
        array = np.array(value, dtype=np.float32)
        model.graph.initializer.append(numpy_helper.from_array(array, f"{target}.{name}"))
    steps = (
        ("Div", [source, scale], "divided"),
        ("Add", [f"{target}.divided", zero], "shifted"),
        ("Clip", [f"{target}.shifted", f"{target}.lo", f"{target}.hi"], "clipped"),
        ("Round", [f"{target}.clipped"], "rounded"),
        ("Sub", [f"{target}.rounded", zero], "code"),
    )
    nodes = [helper.make_node(op, inputs, [f"{target}.{name}"]) for op, inputs, name in steps]
    return [*nodes, helper.make_node("Mul", [f"{target}.code", scale], [target])]


def _range(bits: int, signed: bool, narrow: bool) -> tuple[float, float]:
    """Smallest and largest code."""
    if signed:
        top = 2 ** (bits - 1) - 1
        return float(-top if narrow else -top - 1), float(top)
    return 0.0, float(2**bits - 1 - narrow)
