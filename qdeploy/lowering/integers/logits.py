"""The end of the network in the lowering: integer logits with their exact map, or the class.

    logit[c] = gain[c]·n[c] + offset[c]

Gain and offset stay exact and go with the graph as its `Head`: nothing is rounded for the last
bias, for scales per channel, or for a batch norm at the end. An offset of whole steps on one scale
is added in hardware, as a Bias.

The class in hardware compares integers, which on one positive scale needs the order of
n[c] + b[c] with b = offset/gain. The order depends on the integers n + floor(b) first, and where
those are equal on the fractions b - floor(b); so with R(c) the rank of c's fraction among the K
different ones, and 2^k >= K,

    m[c] = 2^k·(n[c] + floor(b[c])) + R(c)        n[c] + b[c] < n[d] + b[d]  <=>  m[c] < m[d]

for all integers n: equal logits stay equal, and the lowest index wins as in the file.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import floor

import numpy as np
from onnx import NodeProto

from qdeploy.errors import UnsupportedLayerError
from qdeploy.ir.head import Head
from qdeploy.ir.integer_graph import ArgMax, Bias, Conv, Dense, IntType, Tensor
from qdeploy.ir.intervals import Intervals
from qdeploy.lowering.canonical.module_names import module_path
from qdeploy.lowering.canonical.refusal import LOGITS, refuse
from qdeploy.lowering.integers.affine import AffineTensor, expand, single
from qdeploy.lowering.integers.builder import ACCUMULATOR_BITS, Builder

# Operators as people call them.
_STEPS = {"Relu": "ReLU"}


def lower_logits(builder: Builder, node: NodeProto, value: AffineTensor, source: str) -> Head:
    """Name the tensor `logits` and return what its integers mean."""
    if value.steps:
        raise refuse(
            node,
            f"the network ends in a {_STEPS.get(node.op_type, node.op_type)} without quantizer",
            expected=LOGITS,
            why="its values are no integers of one step, or of too many bits: a bias that is no "
            "whole number of steps moves 0 between two of them",
            do="put a quantizer behind it, or end at the sums of the last layer",
        )
    value = builder.oriented(value)
    if builder.tensors[value.tensor].name == "input":
        raise refuse(
            node,
            "the network has no layers",
            expected=LOGITS,
            do="put a quantized Conv2d or Linear after the input's quantizer",
        )
    if not any(value.gain):
        raise refuse(
            node,
            "the logits are constants",
            expected=LOGITS,
            why="the scale of the last layer is zero",
            do="train the network again",
        )
    value = _positive(builder, value)
    scale, output = single(value.gain), value.tensor
    if scale is not None and any(value.offset):
        steps = [offset / scale for offset in value.offset]
        if all(step.denominator == 1 for step in steps) and _holds(builder, value.tensor, steps):
            output = _add_bias(builder, node, value.tensor, steps)
            value = replace(value, offset=(Fraction(0),))
    builder.rename(output, "logits")
    builder.sources["logits"] = source
    head = Head(value.gain, value.offset)
    if head.scale is None:
        builder.notes.append(
            f"layer `{module_path(node)}`: its logits have "
            f"{'a scale' if scale is None else 'a bias'} per channel that integers do not hold: "
            "what reads the integers (the driver, the simulators) applies it, exactly"
        )
    tensor = builder.tensors["logits"]
    builder.tensors["logits"] = Tensor(
        "logits", tensor.shape, tensor.dtype, tensor.lo, tensor.hi, head.scale
    )
    return head


def lower_argmax(builder: Builder, node: NodeProto, head: Head, source: str) -> tuple[str, Head]:
    """The index of the largest logit, of each pixel for a map.

    Returns:
        The tensor, and the map of the integers that are compared.
    """
    layer = module_path(node)
    scale = single(head.gain)
    if head.parts:
        raise refuse(
            node,
            f"the file has {len(head.parts)} outputs",
            expected="logits of one output, for the class in hardware",
            why="the class unit compares all channels of a pixel",
            do="leave --argmax out: the driver and the simulators choose the class of each output",
        )
    if scale is None or scale < 0:
        raise refuse(
            node,
            "the last layer has one scale per output channel"
            if scale is None
            else "the codes are negated at the end",
            expected="logits on one positive scale, for the class in hardware",
            why="integers are only comparable on one scale",
            do="leave --argmax out: the driver and the simulators choose the class, exactly",
        )
    if any(head.offset):
        head = _ranked(builder, node, head, scale)
    logits = builder.tensors["logits"]
    top = logits.shape[0] - 1
    tensor = Tensor("class", (1, *logits.shape[1:]), IntType.holding(0, top), 0, top)
    output = builder.add_tensor(tensor, source)
    builder.nodes.append(ArgMax(builder.node_name(layer, "argmax"), layer, ("logits",), output))
    return output, head


def _positive(builder: Builder, value: AffineTensor) -> AffineTensor:
    """The value with positive gains, where the sign can go into a last layer's weights."""
    channels = builder.tensors[value.tensor].shape[0]
    gains = expand(value.gain, channels)
    negative = frozenset(c for c, gain in enumerate(gains) if gain < 0)
    if not negative or not builder.can_negate(value.tensor):
        return value
    builder.negate_channels(value.tensor, negative)
    one = single(value.gain)
    return replace(value, gain=(abs(one),) if one is not None else tuple(map(abs, gains)))


def _ranked(builder: Builder, node: NodeProto, head: Head, scale: Fraction) -> Head:
    """Make the logits integers whose order is that of the exact logits; returns their map."""
    channels = builder.tensors["logits"].shape[0]
    steps = [offset / scale for offset in expand(head.offset, channels)]
    wholes = [floor(step) for step in steps]
    fractions = sorted({step - whole for step, whole in zip(steps, wholes, strict=True)})
    bits = (len(fractions) - 1).bit_length()
    unit = 1 << bits
    bias = [
        unit * whole + fractions.index(step - whole)
        for step, whole in zip(steps, wholes, strict=True)
    ]
    producer = builder.producer("logits")
    sums = builder.rename("logits", f"{module_path(node)}.sums")
    if unit > 1:
        if not isinstance(producer, Conv | Dense):
            raise _no_class(node, "the logits are no sums of a layer")
        interval = builder.intervals[sums].times(unit)
        if not _fits(interval):
            raise _no_class(node, f"the logits need {bits} more bits to be compared exactly")
        builder.scale_weights(sums, unit)
    if not _holds(builder, sums, [Fraction(one) for one in bias]):
        raise _no_class(node, "the logits with their bias need too many bits to be compared")
    source = builder.sources[sums]
    biased = _add_bias(builder, node, sums, [Fraction(one) for one in bias])
    builder.rename(biased, "logits")
    builder.sources["logits"] = source
    offset = tuple(
        exact - scale * Fraction(whole, unit)
        for exact, whole in zip(expand(head.offset, channels), bias, strict=True)
    )
    result = Head((scale / unit,), offset)
    tensor = builder.tensors["logits"]
    builder.tensors["logits"] = replace(tensor, scale=result.scale)
    return result


def _add_bias(builder: Builder, node: NodeProto, tensor: str, steps: list[Fraction]) -> str:
    """Add whole steps to the channels of a tensor; returns the sums."""
    layer, source = module_path(node), builder.tensors[tensor]
    bias = np.array([int(step) for step in expand(tuple(steps), source.shape[0])], dtype=np.int64)
    interval = _with_bias(builder, tensor, bias.tolist())
    output = builder.accumulator(node, source.shape, interval, "biased")
    builder.nodes.append(Bias(builder.node_name(layer, "bias"), layer, (tensor,), output, bias))
    return output


def _with_bias(builder: Builder, tensor: str, bias: list[int]) -> Intervals:
    return builder.channel_intervals(tensor).plus(Intervals(tuple(bias), tuple(bias)))


def _holds(builder: Builder, tensor: str, steps: list[Fraction]) -> bool:
    """Whether an accumulator holds a tensor with these steps added."""
    channels = builder.tensors[tensor].shape[0]
    whole = [int(step) for step in expand(tuple(steps), channels)]
    return _fits(_with_bias(builder, tensor, whole))


def _fits(interval: Intervals) -> bool:
    return IntType.holding(*interval.bounds).bits <= ACCUMULATOR_BITS


def _no_class(node: NodeProto, found: str) -> UnsupportedLayerError:
    return refuse(
        node,
        found,
        expected="logits whose order integers of 32 bits can show, for the class in hardware",
        why="the bias of the last layer is not a whole number of its steps",
        do="leave --argmax out: the driver and the simulators choose the class, exactly",
    )
