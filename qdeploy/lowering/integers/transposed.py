"""ConvTranspose in the lowering: zeros between the pixels, then a convolution of stride 1.

    out[y] = Σ w[k] · in[i]  over  i·s - p + k·d = y
           = Σ w[K - 1 - t] · z[y + t·d - (d·(K - 1) - p)]

z is the map with s - 1 zeros between neighbouring pixels (Dilate): a window over z, padded by
d·(K - 1) - p, with the kernel turned by half a turn and its channel axes exchanged. Padding of the
output is more padding at the end.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from onnx import NodeProto

from qdeploy.ir.integer_graph import Dilate
from qdeploy.lowering.canonical.edit import attributes_of
from qdeploy.lowering.canonical.module_names import module_path
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.lowering.integers.affine import AffineTensor, QuantizedConstant
from qdeploy.lowering.integers.builder import Builder
from qdeploy.lowering.integers.codes import settled
from qdeploy.lowering.integers.context import Context
from qdeploy.lowering.integers.linear import bias_of, convolved, layer_inputs

_MAP_AXES = 3


def lower_conv_transpose(context: Context, node: NodeProto) -> AffineTensor:
    """A transposed convolution as a convolution of the map with zeros between its pixels."""
    builder, operands = context.builder, context.codes(node)
    x, weights = layer_inputs(builder, node, *operands[:2])
    attributes = attributes_of(node)
    auto_pad = attributes.get("auto_pad", b"NOTSET")
    source = builder.tensors[x.tensor]
    groups = int(attributes.get("group", 1))
    if (
        weights.codes.ndim != _MAP_AXES + 1
        or len(source.shape) != _MAP_AXES
        or len(weights.codes) != source.shape[0]
        or source.shape[0] % groups
    ):
        raise refuse(
            node,
            f"a transposed convolution of {source.shape} with weights {weights.codes.shape}",
            do="use ConvTranspose2d on a map with the channels that its weights take",
        )
    if auto_pad not in (b"NOTSET", b"VALID") or "output_shape" in attributes:
        raise refuse(
            node,
            "its padding is given by a rule or by the shape of its output",
            do="use ConvTranspose2d with padding and output_padding given in pixels",
        )
    stride, dilation, more = (
        _pair(attributes.get(key, (n, n)))
        for key, n in (("strides", 1), ("dilations", 1), ("output_padding", 0))
    )
    cut = tuple(int(p) for p in attributes.get("pads", (0, 0, 0, 0)))
    kernel = weights.codes.shape[2:]
    reach = [dilation[axis % 2] * (kernel[axis % 2] - 1) for axis in range(4)]
    pads = [r - c for r, c in zip(reach, cut, strict=True)]
    pads[2], pads[3] = pads[2] + more[0], pads[3] + more[1]
    if min(pads) < 0:
        raise refuse(
            node,
            f"it takes {cut} pixels off a border of {tuple(reach)}",
            why="what is taken off has to be padding of the kernel's window",
            do="use a padding below dilation * (kernel - 1) + 1",
        )
    if any(x.offset):
        x = settled(builder, node, x, f"{module_path(node)}.padded")
    if any(x.offset):
        raise refuse(
            node,
            "zeros between activations whose code 0 does not mean 0",
            why="no code means 0",
            do="drop the offset before the transposed convolution",
        )
    if max(stride) > 1:
        x = _dilated(builder, node, x, stride)
    top, left, bottom, right = pads
    made = convolved(
        builder,
        node,
        x,
        _turned(weights, groups),
        stride=(1, 1),
        pads=(top, left, bottom, right),
        dilation=dilation,
        groups=groups,
    )
    return made if len(operands) < 3 else made.plus(bias_of(node, operands[2]))


def _turned(weights: QuantizedConstant, groups: int) -> QuantizedConstant:
    """Weights (in, out / groups, kh, kw) as those of the convolution, (out, in / groups, …)."""
    scale = np.broadcast_to(weights.scale, weights.codes.shape)
    parts = []
    for array in (weights.codes, scale):
        inputs, outputs, *kernel = array.shape
        split = array.reshape(groups, inputs // groups, outputs, *kernel).transpose(0, 2, 1, 3, 4)
        parts.append(split.reshape(groups * outputs, inputs // groups, *kernel)[..., ::-1, ::-1])
    return QuantizedConstant(np.ascontiguousarray(parts[0]), parts[1])


def _dilated(
    builder: Builder, node: NodeProto, x: AffineTensor, step: tuple[int, int]
) -> AffineTensor:
    source, layer = builder.tensors[x.tensor], module_path(node)
    channels, height, width = source.shape
    shape = channels, (height - 1) * step[0] + 1, (width - 1) * step[1] + 1
    lo, hi = min(source.lo, 0), max(source.hi, 0)
    tensor = replace(source, name=f"{layer}.dilated", shape=shape, lo=lo, hi=hi)
    output = builder.add_tensor(tensor, None)
    builder.nodes.append(
        Dilate(builder.node_name(layer, "dilate"), layer, (x.tensor,), output, step)
    )
    return replace(x, tensor=output, turned=frozenset())


def _pair(values: Any) -> tuple[int, int]:
    first, second = (int(value) for value in values)
    return first, second
