"""Operators on single elements in the lowering: factors, terms, ReLU and its like, curves.

Each becomes part of the map from integers to the file's values, and ends in the thresholds of the
quantizer behind it. What neither rises nor falls everywhere has no thresholds and is refused.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, cast

import numpy as np
from onnx import NodeProto

from qdeploy.lowering.canonical.edit import attributes_of
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.lowering.integers.affine import AffineTensor, Constant, Fractions, single
from qdeploy.lowering.integers.context import Context
from qdeploy.lowering.integers.steps import RELU, Clamp, Curve, Leaky

_CURVES = {"Sigmoid": "sigmoid", "Tanh": "tanh"}


def lower_factor(context: Context, node: NodeProto) -> AffineTensor:
    """Mul or Div by a constant."""
    value = context.activation(node)
    factor = context.constants(node, value)
    if node.op_type == "Div":
        if isinstance(context.values[node.input[1]], AffineTensor) or not all(factor):
            raise refuse(node, "a division by an activation or by zero", do="multiply instead")
        factor = tuple(1 / f for f in factor)
    return value.times(factor)


def lower_term(context: Context, node: NodeProto) -> AffineTensor:
    """Add or Sub of a constant."""
    value = context.activation(node)
    term = context.constants(node, value)
    if node.op_type == "Sub":
        if isinstance(context.values[node.input[1]], AffineTensor):
            return value.times((Fraction(-1),)).plus(term)
        term = tuple(-t for t in term)
    return value.plus(term)


def lower_negation(context: Context, node: NodeProto) -> AffineTensor:
    """Neg."""
    return context.activation(node).times((Fraction(-1),))


def lower_relu(context: Context, node: NodeProto) -> AffineTensor:
    """Relu; of codes that are never negative it is nothing."""
    return _clamped(context, context.activation(node), RELU)


def lower_clip(context: Context, node: NodeProto) -> AffineTensor:
    """Clip: ReLU6, Hardtanh; limits are inputs, or attributes of old files."""
    value = context.activation(node)
    attributes = attributes_of(node)
    limits: list[Fraction | None] = []
    for place, key in ((1, "min"), (2, "max")):
        limit = attributes.get(key)
        if len(node.input) > place and node.input[place]:
            operand = context.values[node.input[place]]
            if not isinstance(operand, Constant) or operand.array.size != 1:
                raise refuse(
                    node,
                    "its limits are computed at run time",
                    do="use torch.clamp, ReLU6 or Hardtanh with numbers as limits",
                )
            limit = float(operand.array.reshape(-1)[0])
        if limit is not None and np.isnan(limit):
            raise refuse(node, "a limit is not a number", do="train the network again")
        bounded = limit is not None and abs(np.float32(limit)) < np.finfo(np.float32).max
        limits.append(_limit(context, value, np.float32(cast(float, limit))) if bounded else None)
    lo, hi = limits
    if lo is not None and hi is not None and lo > hi:
        lo = hi  # ONNX: all values are the upper limit then.
    return _clamped(context, value, Clamp(lo, hi))


def _limit(context: Context, value: AffineTensor, limit: np.float32) -> Fraction:
    """A limit in exact terms.

    A file can only name a code's value rounded to float32, as a QuantizeLinear with a zero point
    does in canonical form. In its own float32 arithmetic, clipping values at fl(g·k) is clipping
    codes at k, since rounding never falls: so the limit is g·k.
    """
    exact, gain = Fraction(float(limit)), single(value.gain)
    codes = not context.builder.is_accumulator(value.tensor) and not value.steps
    if not codes or gain is None or gain == 0 or any(value.offset):
        return exact
    nearest = round(exact / gain)
    same = np.float32(np.float32(float(gain)) * np.float32(nearest)) == limit
    return gain * nearest if same else exact


def lower_hard_sigmoid(context: Context, node: NodeProto) -> AffineTensor:
    """HardSigmoid: alpha·x + beta between 0 and 1."""
    attributes = attributes_of(node)
    alpha, beta = (
        Fraction(float(np.float32(attributes.get(key, default))))
        for key, default in (("alpha", 0.2), ("beta", 0.5))
    )
    value = context.activation(node).times((alpha,)).plus((beta,))
    return value.then(Clamp(Fraction(0), Fraction(1)))


def lower_leaky(context: Context, node: NodeProto) -> AffineTensor:
    """LeakyRelu and PRelu, with slopes above zero."""
    value = context.activation(node)
    if node.op_type == "PRelu":
        slope: Fractions = context.constants(node, value)
    else:
        slope = (Fraction(float(np.float32(attributes_of(node).get("alpha", 0.01)))),)
    if any(one < 0 for one in slope):
        raise refuse(
            node,
            f"a negative slope ({float(min(slope)):g})",
            why="its values fall and rise again: a code would come from two ranges of sums, and "
            "thresholds count upwards",
            do="keep the slopes at zero or above (clamp them while training)",
        )
    if not any(slope):
        return _clamped(context, value, RELU)
    if not all(slope):
        raise refuse(
            node,
            "slopes of zero in some channels",
            why="one map per channel is either a ReLU or a leaky one",
            do="keep all slopes above zero, or all at zero",
        )
    one = single(slope)
    return value if one == 1 else value.then(Leaky(slope))


def lower_curve(context: Context, node: NodeProto) -> AffineTensor:
    """Sigmoid and Tanh before a quantizer, as exact real functions."""
    kind = cast(Literal["sigmoid", "tanh"], _CURVES[node.op_type])
    return context.activation(node).then(Curve(kind))


def _clamped(context: Context, value: AffineTensor, step: Clamp) -> AffineTensor:
    """The value with a clamp, but for one that no value reaches."""
    source = context.builder.tensors[value.tensor]
    if not value.steps and not context.builder.is_accumulator(value.tensor):
        gains, offsets = value.expanded(source.shape[0])
        both = (source.lo, source.hi)
        ends = [g * n + b for g, b in zip(gains, offsets, strict=True) for n in both]
        low = step.lo is None or step.lo <= min(ends)
        if low and (step.hi is None or max(ends) <= step.hi):
            return value
    return value.then(step)
