"""Which operator of the canonical form is lowered by what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

from onnx import NodeProto

from qdeploy.lowering.canonical.edit import attributes_of
from qdeploy.lowering.canonical.passes import shape_of
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.lowering.integers.affine import AffineTensor, Constant, QuantizedConstant, Value
from qdeploy.lowering.integers.average import AVERAGES, lower_average
from qdeploy.lowering.integers.codes import lower_max_pool
from qdeploy.lowering.integers.concat import lower_concat
from qdeploy.lowering.integers.context import Context
from qdeploy.lowering.integers.elementwise import (
    lower_clip,
    lower_curve,
    lower_factor,
    lower_hard_sigmoid,
    lower_leaky,
    lower_negation,
    lower_relu,
    lower_term,
)
from qdeploy.lowering.integers.enlarge import lower_depth_to_space, lower_resize
from qdeploy.lowering.integers.join import lower_add
from qdeploy.lowering.integers.levels import lower_multi_threshold, lower_trunc
from qdeploy.lowering.integers.linear import lower_conv, lower_matmul
from qdeploy.lowering.integers.transposed import lower_conv_transpose


def _conv(context: Context, node: NodeProto) -> Value:
    return lower_conv(context.builder, node, *context.codes(node))


def _matmul(context: Context, node: NodeProto) -> Value:
    return lower_matmul(context.builder, node, *context.codes(node))


def _max_pool(context: Context, node: NodeProto) -> Value:
    return lower_max_pool(context.builder, node, context.activation(node))


def _add(context: Context, node: NodeProto) -> Value:
    branches = [item for item in context.operands(node) if isinstance(item, AffineTensor)]
    if len(branches) != 2:
        return lower_term(context, node)
    branches = [item for item in context.codes(node) if isinstance(item, AffineTensor)]
    if node.op_type == "Sub":
        branches[1] = branches[1].times((Fraction(-1),))
    shapes = [shape_of(context.model, name) for name in node.input]
    if all(shapes) and len(shapes[0]) != len(shapes[1]):
        raise refuse(
            node,
            f"its two inputs have different shapes ({shapes[0]} and {shapes[1]})",
            do="flatten both branches, or neither",
        )
    return lower_add(context.builder, node, *branches)


def _average(context: Context, node: NodeProto) -> Value:
    operands = context.codes(node)
    axes = [item.array for item in operands if isinstance(item, Constant)]
    given = [int(axis) for axis in axes[0].reshape(-1)] if axes else None
    value = next((item for item in operands if isinstance(item, AffineTensor)), None)
    return lower_average(context.builder, node, value or context.activation(node), given)


def _transpose(context: Context, node: NodeProto) -> Value:
    value = context.values[node.input[0]]
    if isinstance(value, QuantizedConstant):
        attributes = attributes_of(node)
        return value.transposed(attributes.get("perm"))
    raise refuse(
        node,
        "an activation is transposed",
        why="feature maps stream in one fixed order",
        do="keep activations as (N, C, H, W) or (N, features)",
    )


# Quantizers and Flatten, which the network's input may reach first, are in `lower.py`.
HANDLERS: Mapping[str, Callable[[Context, NodeProto], Value]] = {
    "Conv": _conv,
    "MatMul": _matmul,
    "Mul": lower_factor,
    "Div": lower_factor,
    "Neg": lower_negation,
    "Add": _add,
    "Sub": _add,
    "Relu": lower_relu,
    "Clip": lower_clip,
    "HardSigmoid": lower_hard_sigmoid,
    "LeakyRelu": lower_leaky,
    "PRelu": lower_leaky,
    "Sigmoid": lower_curve,
    "Tanh": lower_curve,
    "MultiThreshold": lower_multi_threshold,
    "Trunc": lower_trunc,
    "MaxPool": _max_pool,
    "Transpose": _transpose,
    "Concat": lower_concat,
    "Resize": lower_resize,
    "Upsample": lower_resize,
    "DepthToSpace": lower_depth_to_space,
    "ConvTranspose": lower_conv_transpose,
    **dict.fromkeys(AVERAGES, _average),
}
