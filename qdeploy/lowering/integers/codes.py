"""Quantizers, max-pooling and Flatten in the lowering: nodes whose results are codes.

A quantizer reads a weighted sum, a sum of codes, or codes (a second quantizer on a shortcut); all
are integers under an affine map. Where the map falls, thresholds would have to count down. A
weighted sum that nothing else reads changes sign in its weights; anything else goes through a
depthwise convolution of kernel 1 with the weights -1 and +1.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto, helper

from qdeploy.ir.integer_graph import Conv, Flatten, IntArray, IntType, MaxPool, Tensor, Threshold
from qdeploy.lowering.canonical.module_names import call_number, module_path, numbered
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.lowering.integers.affine import AffineTensor, single
from qdeploy.lowering.integers.builder import Builder, ThresholdSource
from qdeploy.lowering.integers.thresholds import Quantizer, code_bounds, threshold_table


def lower_threshold(
    builder: Builder, node: NodeProto, value: AffineTensor, quantizer: Quantizer, dtype: IntType
) -> AffineTensor:
    """Codes of a quantizer after an affine map; channels with a negative gain change sign.

    A quantizer that changes no code, or repeats an earlier one, makes no node.
    """
    layer = module_path(node)
    source = builder.tensors[value.tensor]
    if _changes_nothing(builder, value, quantizer, source):
        return AffineTensor(value.tensor, value.gain)
    value = builder.oriented(value)
    gain, offset = value.expanded(source.shape[0])
    tensor = value.tensor
    negative = frozenset(c for c, g in enumerate(gain) if g < 0)
    if negative:
        tensor = _negated(builder, node, tensor, negative)
        gain = tuple(abs(g) for g in gain)
    interval = builder.channel_intervals(tensor)
    table = threshold_table(gain, offset, quantizer, interval)
    made = _made_before(builder, tensor, table, quantizer, dtype)
    if made is not None:
        return AffineTensor(made, (quantizer.scale,))
    lo, hi = code_bounds(table, quantizer.lo, interval)
    call = call_number(node)
    name = numbered(f"{layer}.code", call)
    output = builder.add_tensor(
        Tensor(name, source.shape, dtype, lo, hi, quantizer.scale), node.output[0]
    )
    builder.affine[output] = ThresholdSource(gain, offset, quantizer, node.output[0])
    builder.nodes.append(
        Threshold(
            builder.node_name(layer, numbered("threshold", call)),
            layer,
            (tensor,),
            output,
            table,
            quantizer.lo,
        )
    )
    return AffineTensor(output, (quantizer.scale,))


def lower_max_pool(builder: Builder, node: NodeProto, value: AffineTensor) -> AffineTensor:
    """The largest code of each window."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    kernel = tuple(attributes["kernel_shape"])
    stride = tuple(attributes.get("strides", (1,) * len(kernel)))
    pads = tuple(int(p) for p in attributes.get("pads", (0, 0, 0, 0)))
    plain = (
        len(kernel) == 2
        # Less than a window on each side: no window lies in the padding alone.
        and all(pad < kernel[axis % 2] for axis, pad in enumerate(pads))
        and not attributes.get("ceil_mode", 0)
        and all(d == 1 for d in attributes.get("dilations", ()))
        and attributes.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
        and sum(bool(name) for name in node.output) == 1
    )
    if not plain:
        raise refuse(
            node,
            "a max-pool with dilation, ceil_mode, more padding than window or other than "
            "two dimensions",
            do="use MaxPool2d(kernel, stride, padding)",
        )
    if builder.is_accumulator(value.tensor) or not all(g > 0 for g in value.gain):
        raise refuse(
            node,
            "a max-pool before the quantizer",
            why="the pooling unit takes the maximum of codes",
            do="put it after the quantized activation",
        )
    source = builder.tensors[value.tensor]
    channels, height, width = source.shape
    shape = (
        channels,
        (height + pads[0] + pads[2] - kernel[0]) // stride[0] + 1,
        (width + pads[1] + pads[3] - kernel[1]) // stride[1] + 1,
    )
    layer = module_path(node)
    tensor = Tensor(f"{layer}.code", shape, source.dtype, source.lo, source.hi, single(value.gain))
    output = builder.add_tensor(tensor, node.output[0])
    builder.nodes.append(
        MaxPool(
            builder.node_name(layer, "pool"),
            layer,
            (value.tensor,),
            output,
            (kernel[0], kernel[1]),
            (stride[0], stride[1]),
            (pads[0], pads[1], pads[2], pads[3]),
        )
    )
    return AffineTensor(output, value.gain, value.offset, value.rectified)


def lower_flatten(builder: Builder, node: NodeProto, value: AffineTensor) -> AffineTensor:
    """Channels become elements; one map per channel is repeated."""
    source = builder.tensors[value.tensor]
    if len(source.shape) == 1:
        return value
    if builder.is_accumulator(value.tensor):
        raise refuse(node, "a Flatten before the quantizer", do="flatten after the activation")
    layer = module_path(node)
    tensor = Tensor(
        f"{layer}.flat", (source.size,), source.dtype, source.lo, source.hi, source.scale
    )
    output = builder.add_tensor(tensor, node.output[0])
    builder.nodes.append(
        Flatten(builder.node_name(layer, "flatten"), layer, (value.tensor,), output)
    )
    per_channel = value.repeated(source.size // source.shape[0])
    return AffineTensor(output, per_channel.gain, per_channel.offset, value.rectified)


def _negated(builder: Builder, node: NodeProto, name: str, channels: frozenset[int]) -> str:
    """A tensor with the sign of some channels changed."""
    if builder.can_negate(name):
        builder.negate_channels(name, channels)
        return name
    source = builder.tensors[name]
    if len(source.shape) != 3:
        raise refuse(
            node,
            "codes are quantized again with a negative factor",
            why="thresholds count upwards",
            do="put the batch norm after a layer, or keep its factors positive",
        )
    layer, count = module_path(node), source.shape[0]
    weights = np.ones((count, 1, 1, 1), dtype=np.int64)
    weights[list(channels)] = -1
    interval = builder.channel_intervals(name).negated(channels)
    output = builder.accumulator(node, source.shape, interval, "turned")
    builder.nodes.append(
        Conv(builder.node_name(layer, "turn"), layer, (name,), output, weights, groups=count)
    )
    return output


def _made_before(
    builder: Builder, tensor: str, table: IntArray, quantizer: Quantizer, dtype: IntType
) -> str | None:
    """The codes of an earlier Threshold that is the same."""
    for node in builder.nodes:
        if (
            isinstance(node, Threshold)
            and node.inputs == (tensor,)
            and builder.affine[node.output].quantizer == quantizer
            and builder.tensors[node.output].dtype == dtype
            and np.array_equal(node.thresholds, table)
        ):
            return node.output
    return None


def _changes_nothing(
    builder: Builder, value: AffineTensor, quantizer: Quantizer, source: Tensor
) -> bool:
    return (
        single(value.gain) == quantizer.scale
        and not any(value.offset)
        and not builder.is_accumulator(value.tensor)
        and quantizer.lo <= source.lo
        and source.hi <= quantizer.hi
    )
