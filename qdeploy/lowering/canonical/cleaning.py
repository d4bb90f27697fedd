"""Nodes that compute nothing: results nobody reads, identities, constants, shapes.

results that nothing reads                 -> nothing
Shape, Size of a tensor of fixed shape     -> initializers
Constant, computed constants               -> initializers
Identity, Dropout, Cast to float           -> nothing
Cast to float16 and back                   -> nothing, where every code fits float16
Neg, Sum                                   -> Mul by -1, Adds
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper
from onnx.reference import ReferenceEvaluator

from qdeploy.lowering.canonical.bounds import MAX_COMPUTED, STANDARD_DOMAINS
from qdeploy.lowering.canonical.constants import foldable, too_many
from qdeploy.lowering.canonical.edit import Edit, attribute
from qdeploy.lowering.canonical.executor import foreign_tools
from qdeploy.lowering.canonical.passes import Pass, PassResult
from qdeploy.lowering.canonical.refusal import refuse

_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE)


class RemoveUnread(Pass):
    """Nodes and constants whose results nothing reads are removed."""

    def call(self, model: ModelProto) -> PassResult:
        wanted = {item.name for item in model.graph.output}
        kept = []
        for node in reversed(model.graph.node):
            if wanted.intersection(node.output):
                wanted.update(node.input)
                kept.append(node)
        modified = len(kept) < len(model.graph.node)
        if modified:
            copies = [NodeProto.FromString(n.SerializeToString()) for n in reversed(kept)]
            del model.graph.node[:]
            model.graph.node.extend(copies)
        constants = [tensor for tensor in model.graph.initializer if tensor.name in wanted]
        if len(constants) < len(model.graph.initializer):
            stored = [TensorProto.FromString(t.SerializeToString()) for t in constants]
            del model.graph.initializer[:]
            model.graph.initializer.extend(stored)
        return PassResult(model, modified)


class FoldConstants(Pass):
    """Standard nodes that read only constants, or only shapes, become initializers."""

    def call(self, model: ModelProto) -> PassResult:
        edit, known, total = Edit(model), {}, 0
        for node in edit.nodes:
            if node.domain not in STANDARD_DOMAINS:
                continue
            shape = _shape(edit, node)
            if shape is not None:
                known[node.output[0]] = edit.store(node.output[0], shape)
                edit.remove(node)
                continue
            names = [name for name in node.input if name]
            values = {name: edit.constant(name) for name in names}
            if any(value is None for value in values.values()):
                continue
            if not foldable(node, {n: v for n, v in values.items() if v is not None}):
                continue
            with foreign_tools(f"the constants of node `{node.name or node.output[0]}`"):
                results = ReferenceEvaluator(node).run(None, values)
            for name, value in zip(node.output, results, strict=True):
                edit.store(name, np.asarray(value))
                total += np.asarray(value).size
            if total > MAX_COMPUTED:
                raise too_many(node, total, MAX_COMPUTED)
            edit.remove(node)
        return PassResult(model, edit.apply())


class RemoveIdentities(Pass):
    """Identity, Dropout at inference and Cast to float32 pass their input through."""

    def requires(self, model: ModelProto) -> None:
        edit = Edit(model)
        for node in edit.of_kind("Dropout"):
            mode = edit.constant(node.input[2]) if len(node.input) > 2 else None
            if mode is not None and mode.any():
                raise refuse(
                    node,
                    "its Dropout is in training mode",
                    why="it drops other values in every run",
                    do="export the network in evaluation mode",
                )

    def call(self, model: ModelProto) -> PassResult:
        edit = Edit(model)
        for node in edit.of_kind("Identity", "Dropout", "Cast"):
            if node.op_type != "Cast" or _keeps_values(edit, node):
                edit.bypass(node)
        return PassResult(model, edit.apply())


class PlainSums(Pass):
    """Neg becomes a Mul by -1, Sum becomes Adds."""

    def call(self, model: ModelProto) -> PassResult:
        edit = Edit(model)
        for node in edit.of_kind("Neg", "Sum"):
            stem = node.name or node.output[0]
            if node.op_type == "Neg":
                minus = edit.add_constant(f"{node.output[0]}_minus", np.float32(-1))
                new = [helper.make_node("Mul", [node.input[0], minus], [node.output[0]], stem)]
            elif len(node.input) == 1:
                edit.bypass(node)
                continue
            else:
                new, total = [], node.input[0]
                for number, item in enumerate(node.input[1:], 1):
                    last = number == len(node.input) - 1
                    result = node.output[0] if last else f"{node.output[0]}_{number}"
                    new.append(helper.make_node("Add", [total, item], [result], f"{stem}_{number}"))
                    total = result
            edit.replace(node, new)
        return PassResult(model, edit.apply())


def _shape(edit: Edit, node: NodeProto) -> np.ndarray | None:
    """The result of a Shape or Size node of a tensor whose shape is known."""
    if node.op_type not in ("Shape", "Size"):
        return None
    shape = edit.shape(node.input[0])
    if not shape or min(shape) < 1:
        return None
    if node.op_type == "Size":
        return np.array(np.prod(shape), np.int64)
    start, end = attribute(node, "start", 0), attribute(node, "end")
    return np.array(shape[start:end], np.int64)


def _keeps_values(edit: Edit, node: NodeProto) -> bool:
    """Whether a Cast passes every value through that it can get."""
    source, to = edit.producer(node.input[0]), attribute(node, "to", 0)
    if to in _FLOATS:
        integers = source is not None and source.op_type == "Cast"
        return not (integers and attribute(source, "to", 0) not in _FLOATS)
    if to != TensorProto.FLOAT16 or source is None:
        return False
    readers = edit.readers(node.output[0])
    back = all(r.op_type == "Cast" and attribute(r, "to", 0) in _FLOATS for r in readers)
    if not back or not readers or not _codes_fit_half(edit, source):
        raise refuse(
            node,
            "its values are cast to float16",
            why="float16 rounds what a layer computes; only codes of a few bits are sure to fit",
            do="export the network in float32",
        )
    return True


def _codes_fit_half(edit: Edit, node: NodeProto) -> bool:
    """Whether every value of a quantizer is a float16."""
    if node.op_type not in ("Quant", "IntQuant") or len(node.input) < 4:
        return False
    values = [edit.constant(name) for name in node.input[1:4]]
    if any(value is None for value in values):
        return False
    scale, zero, bits = (np.asarray(value, np.float32) for value in values)
    if bits.size != 1 or not 1 <= float(bits.reshape(-1)[0]) <= 16:
        return False
    half = 2.0 ** float(bits.reshape(-1)[0])
    codes = np.arange(-half, half + 1, dtype=np.float32) - zero.reshape(-1)[0]
    reached = codes[:, None] * scale.reshape(1, -1)
    return bool((reached.astype(np.float16).astype(np.float32) == reached).all())
