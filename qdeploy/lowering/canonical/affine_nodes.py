"""Layers that are products and sums in other words.

BatchNormalization                -> Mul, Add; one float32 scale and bias per channel
Gemm                              -> MatMul, Mul by alpha, Add

BatchNormalization: y = (x - mean)·s + beta = x·s + (beta - mean·s)
                    s = gamma / sqrt(var + eps)
in float64, rounded once to float32.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from qdeploy.errors import PassError
from qdeploy.lowering.canonical.edit import Edit, attribute
from qdeploy.lowering.canonical.local_check import Rewritten
from qdeploy.lowering.canonical.passes import Pass, PassResult
from qdeploy.lowering.canonical.refusal import refuse


class BatchNormToAffine(Pass):
    """BatchNormalization becomes a Mul and an Add."""

    tolerance = 1e-4

    def call(self, model: ModelProto) -> PassResult:
        edit, rewritten = Edit(model), []
        for node in edit.of_kind("BatchNormalization"):
            rank = len(edit.shape(node.input[0]))
            shape = (-1, *([1] * (rank - 2)))
            stem, inner = node.name or node.output[0], f"{node.output[0]}_scaled"
            values = [
                (edit.add_constant(f"{node.output[0]}_{key}", value.reshape(shape)), value)
                for key, value in zip(("scale", "bias"), _parameters(edit, node), strict=True)
            ]
            (scale, _), (bias, _) = values
            new = (
                helper.make_node("Mul", [node.input[0], scale], [inner], stem + "Mul"),
                helper.make_node("Add", [inner, bias], [node.output[0]], stem + "Add"),
            )
            stored = tuple(numpy_helper.from_array(v.reshape(shape), n) for n, v in values)
            rewritten.append(Rewritten(_copy(node), new, stored))
            edit.replace(node, new)
        return PassResult(model, edit.apply(), tuple(rewritten))

    def ensures(self, model: ModelProto) -> None:
        _none_left(model, "BatchNormalization")


class GemmToMatMul(Pass):
    """Gemm with constant factors becomes MatMul, Mul and Add."""

    tolerance = 1e-5

    def requires(self, model: ModelProto) -> None:
        for node in Edit(model).of_kind("Gemm"):
            if attribute(node, "transA", 0):
                raise refuse(node, "a Gemm with transA", do="use a linear layer: y = x·Wᵀ + b")

    def call(self, model: ModelProto) -> PassResult:
        edit, rewritten = Edit(model), []
        for node in edit.of_kind("Gemm"):
            new, stored = _products(edit, node)
            old = _copy(node)
            if all(edit.is_constant(name) or edit.producer(name) for name in node.input[1:]):
                rewritten.append(Rewritten(old, tuple(new), stored))
            edit.replace(node, new)
        return PassResult(model, edit.apply(), tuple(rewritten))

    def ensures(self, model: ModelProto) -> None:
        _none_left(model, "Gemm")


def affine_of_batch_norm(
    gamma: np.ndarray, beta: np.ndarray, mean: np.ndarray, var: np.ndarray, epsilon: float
) -> tuple[np.ndarray, np.ndarray]:
    """Float32 scale and bias per channel of a batch norm, from float64 parameters."""
    scale = gamma / np.sqrt(var + epsilon)
    return scale.astype(np.float32), (beta - mean * scale).astype(np.float32)


def _parameters(edit: Edit, node: NodeProto) -> tuple[np.ndarray, np.ndarray]:
    if attribute(node, "training_mode", 0) or sum(bool(name) for name in node.output) > 1:
        raise refuse(
            node,
            "its batch norm is in training mode",
            why="it takes mean and variance from each batch",
            do="export the network in evaluation mode: network.eval()",
        )
    found = [edit.constant(name) for name in node.input[1:5]]
    if len(found) != 4 or any(values is None for values in found):
        raise refuse(
            node,
            "its batch norm has parameters that are not constants",
            do="export the network in evaluation mode",
        )
    gamma, beta, mean, var = (np.asarray(values, np.float64) for values in found)
    epsilon = float(attribute(node, "epsilon", 1e-5))
    finite = all(np.isfinite(values).all() for values in (gamma, beta, mean, var))
    if not finite or (var + epsilon <= 0).any():
        raise refuse(
            node,
            "its batch norm has parameters that are not finite, or a negative variance",
            why="its factor is gamma / sqrt(var + epsilon)",
            do="train the network again",
        )
    return affine_of_batch_norm(gamma, beta, mean, var, epsilon)


def _products(edit: Edit, node: NodeProto) -> tuple[list[NodeProto], tuple[TensorProto, ...]]:
    stem, weights, target = node.name or node.output[0], node.input[1], node.output[0]
    nodes, stored = [], []
    if attribute(node, "transB", 0):
        transposed = f"{target}_weights"
        nodes.append(
            helper.make_node("Transpose", [weights], [transposed], stem + "Transpose", perm=[1, 0])
        )
        weights = transposed
    steps: list[tuple[str, str]] = []
    alpha, beta = float(attribute(node, "alpha", 1.0)), float(attribute(node, "beta", 1.0))
    if alpha != 1:
        name = edit.add_constant(f"{target}_alpha", np.float32(alpha))
        stored.append(numpy_helper.from_array(np.float32(alpha), name))
        steps.append(("Mul", name))
    if len(node.input) > 2 and node.input[2] and beta != 0:
        bias = node.input[2]
        value = edit.constant(bias)
        if beta != 1:
            if value is None:
                raise refuse(node, "a Gemm with a factor on a computed bias", do="use beta = 1")
            scaled = (value * np.float32(beta)).astype(np.float32)
            bias = edit.add_constant(f"{target}_bias", scaled)
            stored.append(numpy_helper.from_array(scaled, bias))
        steps.append(("Add", bias))
    result = target if not steps else f"{target}_product"
    nodes.append(helper.make_node("MatMul", [node.input[0], weights], [result], stem + "MatMul"))
    for number, (kind, name) in enumerate(steps, 1):
        after = target if number == len(steps) else f"{target}_{number}"
        nodes.append(helper.make_node(kind, [result, name], [after], stem + kind))
        result = after
    return nodes, tuple(stored)


def _copy(node: NodeProto) -> NodeProto:
    return NodeProto.FromString(node.SerializeToString())


def _none_left(model: ModelProto, op_type: str) -> None:
    if any(node.op_type == op_type for node in model.graph.node):
        raise PassError(f"the canonical form still has a {op_type}")
