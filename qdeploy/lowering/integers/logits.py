"""The end of the network in the lowering: integer logits on one scale, or the class.

    logit = gain·n + offset = gain·(n + offset/gain)

The gain is the scale of the logits; offset/gain is rounded to the nearest integer and added as a
Bias, so a logit moves by at most half a step.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from onnx import NodeProto

from qdeploy.ir.integer_graph import ArgMax, Bias, IntType, Tensor
from qdeploy.ir.intervals import Intervals
from qdeploy.lowering.canonical.module_names import module_path
from qdeploy.lowering.canonical.refusal import LOGITS, refuse
from qdeploy.lowering.integers.affine import AffineTensor, expand, single
from qdeploy.lowering.integers.builder import Builder


def lower_logits(builder: Builder, node: NodeProto, value: AffineTensor, source: str) -> float:
    """Absorb the last offset, name the tensor `logits` and return the scale."""
    if value.rectified:
        raise refuse(
            node,
            "the network ends in a ReLU without quantizer",
            expected=LOGITS,
            do="use QuantReLU, or end at the sums of the last layer",
        )
    value = builder.oriented(value)
    scale = single(value.gain)
    if scale is None or scale == 0:
        raise refuse(
            node,
            "the last layer has one scale per output channel",
            expected=LOGITS,
            why="integer logits are only comparable on one scale",
            do="use weight scaling per layer for the last layer, and no batch norm after it",
        )
    if builder.tensors[value.tensor].name == "input":
        raise refuse(
            node,
            "the network has no layers",
            expected=LOGITS,
            do="put a quantized Conv2d or Linear after the input's quantizer",
        )
    channels = builder.tensors[value.tensor].shape[0]
    if scale < 0:
        if not builder.can_negate(value.tensor):
            raise refuse(
                node,
                "the codes are negated at the end",
                expected=LOGITS,
                why="only the weights of a last layer can take up the sign",
                do="drop the negation, or end in a Linear or Conv2d",
            )
        builder.negate_channels(value.tensor, frozenset(range(channels)))
        scale = -scale
    output = value.tensor
    if any(value.offset):
        output = _last_bias(builder, node, value, scale)
    builder.rename(output, "logits")
    builder.sources["logits"] = source
    tensor = builder.tensors["logits"]
    builder.tensors["logits"] = Tensor(
        "logits", tensor.shape, tensor.dtype, tensor.lo, tensor.hi, scale
    )
    return float(scale)


def lower_argmax(builder: Builder, node: NodeProto, source: str) -> str:
    """The index of the largest logit, of each pixel for a map; returns the tensor."""
    layer = module_path(node)
    logits = builder.tensors["logits"]
    top = logits.shape[0] - 1
    tensor = Tensor("class", (1, *logits.shape[1:]), IntType.holding(0, top), 0, top)
    output = builder.add_tensor(tensor, source)
    builder.nodes.append(ArgMax(builder.node_name(layer, "argmax"), layer, ("logits",), output))
    return output


def _last_bias(builder: Builder, node: NodeProto, value: AffineTensor, scale: Fraction) -> str:
    layer, source = module_path(node), builder.tensors[value.tensor]
    exact = [o / scale for o in expand(value.offset, source.shape[0])]
    bias = [round(b) for b in exact]
    worst = max(abs(b - whole) for b, whole in zip(exact, bias, strict=True))
    if worst:
        builder.notes.append(
            f"the bias of `{layer}` was rounded to integers: at most {float(worst):.3g} steps "
            f"of {float(scale):.6g}, {float(worst * scale):.3g} in a logit"
        )
    before = builder.channel_intervals(value.tensor)
    interval = Intervals(
        tuple(lo + b for lo, b in zip(before.lo, bias, strict=True)),
        tuple(hi + b for hi, b in zip(before.hi, bias, strict=True)),
    )
    output = builder.accumulator(
        node,
        source.shape,
        interval,
        "biased",
        found="its logits need {} bits",
        expected=LOGITS,
        do="use a smaller bias, or fewer bits or inputs in the last layer",
    )
    builder.nodes.append(
        Bias(builder.node_name(layer, "bias"), layer, (value.tensor,), output, np.array(bias))
    )
    return output
