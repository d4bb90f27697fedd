"""The canonical form of a QONNX file, so that files from elsewhere go through the same pipeline.

The canonical form has only Quant, BipolarQuant, Conv, MatMul, Mul, Add, Sub, Div, Relu, MaxPool,
averages, Flatten and Transpose of constants, and what the lowering then refuses by name:

    results that nothing reads        -> nothing
    Constant, computed constants      -> initializers
    Identity, Dropout, Cast to float  -> nothing
    BatchNormalization                -> Mul, Add; one float32 scale and bias per channel
    Gemm                              -> MatMul, Add
    Reshape, Squeeze to (N, features) -> Flatten
    Pad with zeros, then Conv         -> Conv with more padding

    BatchNormalization: y = (x - mean)·s + beta = x·s + (beta - mean·s)
                        s = gamma / sqrt(var + eps)
    in float64, rounded once to float32.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, NodeProto, TensorProto, helper

from qdeploy.artifacts import atomic_path
from qdeploy.errors import PassError, UnsupportedLayerError
from qdeploy.ir.input_codes import RawType
from qdeploy.lowering.canonical.bounds import check_bounds, check_size
from qdeploy.lowering.canonical.constants import FoldConstants, refuse_growth
from qdeploy.lowering.canonical.executor import infer_shapes
from qdeploy.lowering.canonical.input_type import declare_type, float_input
from qdeploy.lowering.canonical.padding import PadIntoConv
from qdeploy.lowering.canonical.passes import (
    Pass,
    PassResult,
    add_initializer,
    bypass,
    initializers,
    replace_node,
    run_passes,
    shape_of,
)
from qdeploy.lowering.canonical.raw_part import raw_tensors, reshape_each_frame
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.lowering.canonical.window_rules import check_channels, check_windows


class RemoveIdentities(Pass):
    """Identity, Dropout at inference and Cast to float32 pass their input through."""

    def requires(self, model: ModelProto) -> None:
        known = initializers(model)
        for node in model.graph.node:
            mode = known.get(node.input[2]) if len(node.input) > 2 else None
            if node.op_type == "Dropout" and mode is not None and mode.any():
                raise refuse(
                    node,
                    "its Dropout is in training mode",
                    why="it drops other values in every run",
                    do="export the network in evaluation mode",
                )

    def call(self, model: ModelProto) -> PassResult:
        modified = False
        for node in list(model.graph.node):
            cast = node.op_type == "Cast" and _attribute(node, "to", 0) == TensorProto.FLOAT
            if cast or node.op_type in ("Identity", "Dropout"):
                bypass(model, node)
                modified = True
        return PassResult(model, modified)


class BatchNormToAffine(Pass):
    """BatchNormalization becomes a Mul and an Add."""

    tolerance = 1e-4

    def call(self, model: ModelProto) -> PassResult:
        found = [n for n in model.graph.node if n.op_type == "BatchNormalization"]
        for node in found:
            known = initializers(model)
            if any(name not in known for name in node.input[1:5]):
                raise refuse(
                    node,
                    "its batch norm has parameters that are not constants",
                    do="export the network in evaluation mode",
                )
            gamma, beta, mean, var = (known[name].astype(np.float64) for name in node.input[1:5])
            epsilon = _attribute(node, "epsilon", 1e-5)
            finite = all(np.isfinite(values).all() for values in (gamma, beta, mean, var))
            if not finite or (var + epsilon <= 0).any():
                raise refuse(
                    node,
                    "its batch norm has parameters that are not finite, or a negative variance",
                    why="its factor is gamma / sqrt(var + epsilon)",
                    do="train the network again",
                )
            scale, bias = affine_of_batch_norm(gamma, beta, mean, var, epsilon)
            rank = len(shape_of(model, node.input[0]))
            shape = (-1, *([1] * (rank - 2)))
            stem, inner = node.name or node.output[0], f"{node.output[0]}_scaled"
            constants = [
                add_initializer(model, f"{node.output[0]}_{key}", value.reshape(shape))
                for key, value in (("scale", scale), ("bias", bias))
            ]
            replace_node(
                model,
                node,
                [
                    helper.make_node("Mul", [node.input[0], constants[0]], [inner], stem + "Mul"),
                    helper.make_node("Add", [inner, constants[1]], [node.output[0]], stem + "Add"),
                ],
            )
        return PassResult(model, bool(found))

    def ensures(self, model: ModelProto) -> None:
        _none_left(model, "BatchNormalization")


class GemmToMatMul(Pass):
    """Gemm with alpha = beta = 1 becomes MatMul and Add."""

    tolerance = 1e-5

    def requires(self, model: ModelProto) -> None:
        for node in model.graph.node:
            factors = _attribute(node, "alpha", 1.0), _attribute(node, "beta", 1.0)
            if node.op_type == "Gemm" and (factors != (1.0, 1.0) or _attribute(node, "transA", 0)):
                raise refuse(
                    node,
                    "a Gemm with alpha, beta or transA",
                    do="use a linear layer: y = x·Wᵀ + b",
                )

    def call(self, model: ModelProto) -> PassResult:
        found = [n for n in model.graph.node if n.op_type == "Gemm"]
        for node in found:
            stem, weights = node.name or node.output[0], node.input[1]
            nodes = []
            if _attribute(node, "transB", 0):
                transposed = f"{node.output[0]}_weights"
                nodes.append(
                    helper.make_node(
                        "Transpose", [weights], [transposed], stem + "Transpose", perm=[1, 0]
                    )
                )
                weights = transposed
            biased = len(node.input) > 2 and bool(node.input[2])
            product = f"{node.output[0]}_product" if biased else node.output[0]
            nodes.append(
                helper.make_node("MatMul", [node.input[0], weights], [product], stem + "MatMul")
            )
            if biased:
                nodes.append(
                    helper.make_node(
                        "Add", [product, node.input[2]], [node.output[0]], stem + "Add"
                    )
                )
            replace_node(model, node, nodes)
        return PassResult(model, bool(found))

    def ensures(self, model: ModelProto) -> None:
        _none_left(model, "Gemm")


class ReshapeToFlatten(Pass):
    """Reshape or Squeeze to (N, features) becomes Flatten; other shapes are refused, but for those
    of the input before its quantizer."""

    def call(self, model: ModelProto) -> PassResult:
        constant, raw = set(initializers(model)), raw_tensors(model)
        kinds = ("Reshape", "Squeeze")
        found = [n for n in model.graph.node if n.op_type in kinds and n.input[0] not in constant]
        modified = False
        for node in found:
            before, after = shape_of(model, node.input[0]), shape_of(model, node.output[0])
            if node.output[0] in raw and len(after) > 2 and after[0] == before[0]:
                modified = reshape_each_frame(model, node, after) or modified
                continue
            modified = True
            if len(after) != 2 or not before or after[0] != before[0]:
                raise refuse(
                    node,
                    f"a reshape from {before} to {after}",
                    why="feature maps stream pixel by pixel; only flattening leaves them in order",
                    do="use torch.nn.Flatten or torch.flatten(x, 1)",
                )
            flat = helper.make_node("Flatten", [node.input[0]], [node.output[0]], node.name, axis=1)
            replace_node(model, node, [flat])
        return PassResult(model, modified)


class RemoveUnread(Pass):
    """Nodes whose results nothing reads are removed."""

    def call(self, model: ModelProto) -> PassResult:
        modified = False
        while True:
            read = {name for node in model.graph.node for name in node.input}
            read |= {item.name for item in model.graph.output}
            unread = [n for n in model.graph.node if not read.intersection(n.output)]
            if not unread:
                return PassResult(model, modified)
            for node in unread:
                model.graph.node.remove(node)
            modified = True


PASSES: tuple[Pass, ...] = (
    RemoveUnread(),
    FoldConstants(),
    RemoveIdentities(),
    BatchNormToAffine(),
    GemmToMatMul(),
    ReshapeToFlatten(),
    PadIntoConv(),
)


def canonical(path: Path, *, probe: bool = True, raw: RawType | None = None) -> ModelProto:
    """Read a QONNX file into canonical form with inferred shapes and a batch of one frame.

    Args:
        path: the file.
        probe: check each rewriting with the official executor on a probe frame.
        raw: the integers that the input is made of, where the file does not say.

    Raises:
        UserError: the file says that its input is made of others.
        UnsupportedLayerError: the file holds no network, or one that cannot be lowered.
    """
    try:
        check_size(path)
        model = onnx.load(path)
        check_bounds(model, path.name, str(path))
        float_input(model)
        if raw is not None:
            declare_type(model, raw)
        onnx.checker.check_model(model)
    except (OSError, ValueError, DecodeError, onnx.checker.ValidationError) as error:
        raise UnsupportedLayerError(
            f"{path.name} cannot be read as an ONNX file",
            where=str(path),
            why=next(iter(str(error).splitlines()), type(error).__name__),
            do="export the network again",
        ) from error
    one_input_one_output(model, path.name, str(path))
    check_windows(model)
    model = infer_shapes(model)
    check_channels(model)
    # Before a probe frame runs through the file, nothing in it may grow without bound.
    model = run_passes(model, (RemoveUnread(), FoldConstants()), probe=False).model
    refuse_growth(model)
    return run_passes(model, PASSES, probe=probe).model


def import_qonnx(source: Path, target: Path, raw: RawType | None = None) -> None:
    """Write the canonical form of `source` to `target`, atomically; `raw` as of `canonical`."""
    model = canonical(source, raw=raw)
    with atomic_path(target) as temporary:
        onnx.save(model, temporary)


def affine_of_batch_norm(
    gamma: np.ndarray, beta: np.ndarray, mean: np.ndarray, var: np.ndarray, epsilon: float
) -> tuple[np.ndarray, np.ndarray]:
    """Float32 scale and bias per channel of a batch norm, from float64 parameters."""
    scale = gamma / np.sqrt(var + epsilon)
    return scale.astype(np.float32), (beta - mean * scale).astype(np.float32)


def one_input_one_output(model: ModelProto, name: str, where: str) -> None:
    """Check that a file has one input of fixed shape and one output; set its batch to one frame.

    Args:
        name, where: the file or the network, in messages.

    Raises:
        UnsupportedLayerError: it has not.
    """
    constant = set(initializers(model))
    inputs = [item for item in model.graph.input if item.name not in constant]
    if len(inputs) != 1 or len(model.graph.output) != 1:
        raise UnsupportedLayerError(
            f"{name} has {len(inputs)} inputs and {len(model.graph.output)} outputs",
            where=where,
            expected="one input -> layers -> one output",
            why="a design has one stream of frames in and one stream of results out",
            do="export a network with exactly one input and one output",
        )
    for item in [item for item in model.graph.input if item.name in constant]:
        model.graph.input.remove(item)
    item = model.graph.input[0]
    if item.name == model.graph.output[0].name:
        raise UnsupportedLayerError(
            f"the output of {name} is its input `{item.name}`",
            where=where,
            expected="one input -> layers -> one output",
            do="export a network with a layer",
        )
    dims = item.type.tensor_type.shape.dim
    if len(dims) < 2 or any(d.dim_value < 1 for d in list(dims)[1:]):
        raise UnsupportedLayerError(
            f"the input `{item.name}` of {name} has no fixed shape",
            where=where,
            expected="(N, C, H, W) or (N, features), with numbers after the batch axis",
            why="hardware is built for one size",
            do="export with fixed sizes after the batch axis",
        )
    for item in (*model.graph.input, *model.graph.output):
        dim = item.type.tensor_type.shape.dim
        if dim:
            dim[0].ClearField("dim_param")
            dim[0].dim_value = 1


def _attribute(node: NodeProto, name: str, default: float) -> float:
    for attribute in node.attribute:
        if attribute.name == name:
            return float(helper.get_attribute_value(attribute))
    return default


def _none_left(model: ModelProto, op_type: str) -> None:
    if any(node.op_type == op_type for node in model.graph.node):
        raise PassError(f"the canonical form still has a {op_type}")
