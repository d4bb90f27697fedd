"""Concat in the lowering: the channels of several branches, each with its own meaning.

    a = g·n + b,  c = h·m + d    ->    one tensor with n's channels, then m's; gains (g, …, h, …)

Nothing is computed: branches of one scale give codes of one scale. Others keep theirs, channel by
channel, and whoever reads them decides: a quantizer has thresholds for each channel anyway, a
depthwise convolution too; any other layer needs multiples of one scale (`common_grid`).
"""

from __future__ import annotations

from onnx import NodeProto

from qdeploy.ir.integer_graph import Concat, IntType, Tensor
from qdeploy.ir.intervals import Intervals
from qdeploy.lowering.canonical.module_names import module_path
from qdeploy.lowering.canonical.passes import shape_of
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.lowering.integers.affine import AffineTensor, Fractions, shortened, single
from qdeploy.lowering.integers.builder import Builder
from qdeploy.lowering.integers.context import Context
from qdeploy.lowering.integers.join import check_settled
from qdeploy.lowering.integers.steps import Clamp, Curve, Step


def lower_concat(context: Context, node: NodeProto) -> AffineTensor:
    """The channels of all inputs, one after the other."""
    builder, values = context.builder, context.codes(node)
    parts = [value for value in values if isinstance(value, AffineTensor)]
    if len(parts) != len(values):
        raise refuse(
            node,
            "one of its inputs is a constant",
            why="a constant is no stream",
            do="drop channels that are always the same: a bias after the convolution can replace "
            "them",
        )
    _check_axis(context, node)
    if len(parts) == 1:
        return parts[0]
    tensors = [builder.tensors[part.tensor] for part in parts]
    shapes = [tensor.shape for tensor in tensors]
    if any(shape[1:] != shapes[0][1:] for shape in shapes):
        raise refuse(
            node,
            f"it joins maps of {' and '.join(map(str, dict.fromkeys(shapes)))}",
            why="streams are joined pixel by pixel",
            do="bring the branches to one height and width: stride or max-pool on the larger, "
            "Upsample (nearest) on the smaller",
        )
    steps = _shared_steps(builder, node, parts)
    gain, offset = (
        tuple(end for part in parts for end in part.expanded(_channels(builder, part))[side])
        for side in range(2)
    )
    output = _output(builder, node, tensors, gain, offset, steps)
    layer = module_path(node)
    inputs = tuple(tensor.name for tensor in tensors)
    builder.nodes.append(Concat(builder.node_name(layer, "concat"), layer, inputs, output))
    return AffineTensor(output, shortened(gain), shortened(offset), steps)


def _channels(builder: Builder, value: AffineTensor) -> int:
    return builder.tensors[value.tensor].shape[0]


def _check_axis(context: Context, node: NodeProto) -> None:
    axis = next((int(a.i) for a in node.attribute if a.name == "axis"), 1)
    rank = len(shape_of(context.model, node.output[0])) or 4
    if axis % rank != 1:
        raise refuse(
            node,
            f"it joins along axis {axis}",
            why="streams are joined pixel by pixel: a pixel of the result has the channels of all",
            do="use axis=1, with maps of one height and width",
        )


def _shared_steps(builder: Builder, node: NodeProto, parts: list[AffineTensor]) -> tuple[Step, ...]:
    """Steps that are pending on every branch alike, whatever the channel."""
    steps = parts[0].steps
    alike = all(part.steps == steps for part in parts)
    if alike and all(isinstance(step, Clamp | Curve) for step in steps):
        return steps
    for part in parts:
        check_settled(builder, node, part, "its inputs differ in what stands before a quantizer")
    return ()


def _output(
    builder: Builder,
    node: NodeProto,
    tensors: list[Tensor],
    gain: Fractions,
    offset: Fractions,
    steps: tuple[Step, ...],
) -> str:
    """The tensor of the result: codes, or sums where one of the inputs is."""
    interval = Intervals.joined(builder.channel_intervals(one.name) for one in tensors)
    shape = (sum(one.shape[0] for one in tensors), *tensors[0].shape[1:])
    dtype = IntType.holding(
        min(one.dtype.lo for one in tensors), max(one.dtype.hi for one in tensors)
    )
    sums = any(builder.is_accumulator(one.name) for one in tensors)
    scale = None if any(offset) else single(gain)
    name = f"{module_path(node)}.{'sums' if sums else 'code'}"
    tensor = Tensor(name, shape, dtype, *interval.bounds, scale)
    output = builder.add_tensor(tensor, None if steps else node.output[0])
    builder.intervals[output] = interval
    if sums:
        builder.sums.add(output)
    return output
