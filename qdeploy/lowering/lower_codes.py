"""Quantizers, max-pooling and Flatten in the lowering: nodes whose results are codes."""

from __future__ import annotations

from onnx import NodeProto, helper

from qdeploy.lowering.affine import Activation, single
from qdeploy.lowering.builder import Builder, ThresholdSource
from qdeploy.lowering.integer_graph import Flatten, IntType, MaxPool, Tensor, Threshold
from qdeploy.lowering.names import layer_of
from qdeploy.lowering.refusal import refuse
from qdeploy.lowering.thresholds import Quantizer, code_bounds, threshold_table


def lower_threshold(
    builder: Builder, node: NodeProto, value: Activation, quantizer: Quantizer, dtype: IntType
) -> Activation:
    """Codes of a quantizer behind an affine map; channels with a negative gain change sign."""
    source = builder.tensors[value.tensor]
    if _changes_nothing(builder, value, quantizer, source):
        return Activation(value.tensor, value.gain)
    gain, offset = value.expanded(source.shape[0])
    negative = frozenset(c for c, g in enumerate(gain) if g < 0)
    if negative:
        if not builder.is_accumulator(value.tensor) or builder.is_read(value.tensor):
            raise refuse(
                node,
                "codes are requantized with a negative factor",
                do="keep factors between quantizers positive",
            )
        builder.negate_channels(value.tensor, negative)
        gain = tuple(abs(g) for g in gain)
    interval = builder.channel_intervals(value.tensor)
    table = threshold_table(gain, offset, quantizer, interval)
    lo, hi = code_bounds(table, quantizer.lo, interval)
    layer = layer_of(node)
    output = builder.add_tensor(
        Tensor(f"{layer}.code", source.shape, dtype, lo, hi, quantizer.scale), node.output[0]
    )
    builder.affine[output] = ThresholdSource(gain, offset, quantizer)
    builder.nodes.append(
        Threshold(
            builder.node_name(layer, "threshold"),
            layer,
            (value.tensor,),
            output,
            table,
            quantizer.lo,
        )
    )
    return Activation(output, (quantizer.scale,))


def lower_max_pool(builder: Builder, node: NodeProto, value: Activation) -> Activation:
    """The largest code of each window."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    kernel = tuple(attributes["kernel_shape"])
    stride = tuple(attributes.get("strides", (1,) * len(kernel)))
    plain = (
        len(kernel) == 2
        and not any(attributes.get("pads", ()))
        and not attributes.get("ceil_mode", 0)
        and all(d == 1 for d in attributes.get("dilations", ()))
        and attributes.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
        and sum(bool(name) for name in node.output) == 1
    )
    if not plain:
        raise refuse(
            node,
            "a max-pool with padding, dilation, ceil_mode or other than two dimensions",
            do="use MaxPool2d(kernel, stride) without padding on a size it divides",
        )
    if builder.is_accumulator(value.tensor) or not all(g > 0 for g in value.gain):
        raise refuse(
            node,
            "a max-pool in front of the quantizer",
            why="the pooling unit takes the maximum of codes",
            do="put it behind the quantized activation",
        )
    source = builder.tensors[value.tensor]
    channels, height, width = source.shape
    shape = (
        channels,
        (height - kernel[0]) // stride[0] + 1,
        (width - kernel[1]) // stride[1] + 1,
    )
    layer = layer_of(node)
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
        )
    )
    return Activation(output, value.gain, value.offset, value.rectified)


def lower_flatten(builder: Builder, node: NodeProto, value: Activation) -> Activation:
    """Channels become elements; one map per channel is repeated."""
    source = builder.tensors[value.tensor]
    if len(source.shape) == 1:
        return value
    if builder.is_accumulator(value.tensor):
        raise refuse(
            node, "a Flatten in front of the quantizer", do="flatten behind the activation"
        )
    layer = layer_of(node)
    tensor = Tensor(
        f"{layer}.flat", (source.size,), source.dtype, source.lo, source.hi, source.scale
    )
    output = builder.add_tensor(tensor, node.output[0])
    builder.nodes.append(
        Flatten(builder.node_name(layer, "flatten"), layer, (value.tensor,), output)
    )
    per_channel = value.repeated(source.size // source.shape[0])
    return Activation(output, per_channel.gain, per_channel.offset, value.rectified)


def _changes_nothing(
    builder: Builder, value: Activation, quantizer: Quantizer, source: Tensor
) -> bool:
    return (
        single(value.gain) == quantizer.scale
        and not any(value.offset)
        and not builder.is_accumulator(value.tensor)
        and quantizer.lo <= source.lo
        and source.hi <= quantizer.hi
    )
