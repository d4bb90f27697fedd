"""Rewritten nodes checked alone: the node and what took its place, on the same random values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from qdeploy.errors import PassError
from qdeploy.lowering.canonical.evaluate import evaluate
from qdeploy.lowering.canonical.qonnx_functions import infer_shapes


@dataclass(frozen=True)
class Rewritten:
    """A node, and what computes the same output from the same inputs.

    Args:
        constants: that the new nodes read.
    """

    old: NodeProto
    new: tuple[NodeProto, ...]
    constants: tuple[TensorProto, ...] = ()


def check_rewritten(
    model: ModelProto, rewritten: Sequence[Rewritten], tolerance: float, name: str
) -> None:
    """Compare each node with its replacement.

    Args:
        model: before the rewriting; nodes whose inputs have no shape in it are not checked.
        tolerance: largest difference, relative to the largest value of the result.
        name: of the pass, for the message.

    Raises:
        PassError: a result differs by more.
    """
    known = {item.name: item for item in (*model.graph.value_info, *model.graph.input)}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    rng = np.random.default_rng(0)
    sides: tuple[list[NodeProto], list[NodeProto]] = ([], [])
    stored: dict[str, TensorProto] = {}
    wanted = []
    checked = [
        pair
        for pair in rewritten
        if all(not name or name in known or name in constants for name in pair.old.input)
    ]
    for index, pair in enumerate(checked):
        names = {}
        for source in pair.old.input:
            if source in constants:
                stored[source] = constants[source]
            elif source in known:
                shape = [d.dim_value for d in known[source].type.tensor_type.shape.dim]
                names[source] = f"{index}/{source}"
                value = rng.normal(size=shape).astype(np.float32)
                stored[names[source]] = numpy_helper.from_array(value, names[source])
        stored |= {tensor.name: tensor for tensor in pair.constants}
        for side, nodes in zip(sides, ((pair.old,), pair.new), strict=True):
            side += [_renamed(node, names, index) for node in nodes]
        wanted.append(f"{index}/{pair.old.output[0]}")
    if not wanted:
        return
    frame = np.zeros((1, 1), np.float32)
    results = [evaluate(_model(model, side, stored, wanted), frame, wanted) for side in sides]
    for pair, expected, found in zip(checked, *results, strict=True):
        if not np.isfinite(expected).all():
            continue
        difference = float(np.abs(expected - found).max(initial=0))
        if not difference <= tolerance * max(1.0, float(np.abs(expected).max(initial=0))):
            raise PassError(
                f"{name} changed the outputs by {difference:.3g}",
                where=f"node `{pair.old.name or pair.old.output[0]}` ({pair.old.op_type})",
                why=f"at most {tolerance:.3g} of the largest value is allowed",
            )


def _renamed(node: NodeProto, names: dict[str, str], index: int) -> NodeProto:
    copy = NodeProto.FromString(node.SerializeToString())
    inner = set(names)
    copy.input[:] = [names.get(item, item) for item in node.input]
    for output in node.output:
        if output and output not in inner:
            names[output] = f"{index}/{output}"
    copy.output[:] = [names.get(item, item) for item in node.output]
    copy.name = f"{index}/{node.name}"
    return copy


def _model(
    like: ModelProto, nodes: list[NodeProto], stored: dict[str, TensorProto], wanted: list[str]
) -> ModelProto:
    graph = helper.make_graph(
        [*nodes, helper.make_node("Identity", ["frame"], ["frame_out"])],
        "rewritten",
        [helper.make_tensor_value_info("frame", TensorProto.FLOAT, (1, 1))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in wanted],
        list(stored.values()),
    )
    model = helper.make_model(graph, opset_imports=like.opset_import, ir_version=like.ir_version)
    return infer_shapes(model)
