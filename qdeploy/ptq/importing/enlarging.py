"""Nodes of a canonical file that make maps larger, as modules of torch."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from onnx import NodeProto
from torch import nn

from qdeploy.lowering.canonical.edit import Edit, attribute
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.lowering.integers.nearest import NearestRule
from qdeploy.ptq.importing.weights import Array, filled, total_bias, weight_of

_TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d}
_NEAREST = "repeat each pixel a whole number of times, as nn.Upsample does in mode nearest"


def transposed_of(
    edit: Edit, node: NodeProto, scale: Array | None, bias: Array | None
) -> nn.Module:
    """A transposed convolution, with a factor and a term of each output channel.

    Args:
        scale, bias: (outputs,) or None for 1 and 0.

    Raises:
        UnsupportedLayerError: it is none of torch's.
    """
    weight = weight_of(edit, node)
    rank, groups = weight.ndim - 2, int(attribute(node, "group", 1))
    if rank not in _TRANSPOSED:
        raise refuse(node, f"its kernel has {rank} axes", do="use kernels of one or two axes")
    strides, dilations = (
        [int(size) for size in attribute(node, name, [1] * rank)]
        for name in ("strides", "dilations")
    )
    padding = [int(size) for size in attribute(node, "pads", [0] * 2 * rank)][:rank]
    given, made = edit.shape(node.input[0])[2:], edit.shape(node.output[0])[2:]
    more = [
        large - ((small - 1) * stride - 2 * pad + dilation * (size - 1) + 1)
        for small, large, stride, pad, dilation, size in zip(
            given, made, strides, padding, dilations, weight.shape[2:], strict=True
        )
    ]
    bounds = [max(pair) for pair in zip(strides, dilations, strict=True)]
    if not all(0 <= one < bound for one, bound in zip(more, bounds, strict=True)):
        raise refuse(
            node,
            f"it makes {tuple(made)} of {tuple(given)} by taking other pixels off the two sides",
            do="take as many off both sides, and add less than a stride at the end",
        )
    wide = weight.astype(np.float64)
    if scale is not None:
        by_group = np.repeat(scale.reshape(groups, -1), len(weight) // groups, axis=0)
        wide = wide * by_group.reshape(*by_group.shape, *[1] * rank)
    outputs = weight.shape[1] * groups
    own = edit.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    total = total_bias(outputs, own, scale, bias)
    layer = _TRANSPOSED[rank](
        len(weight),
        outputs,
        tuple(weight.shape[2:]),  # type: ignore[arg-type]
        stride=tuple(strides),  # type: ignore[arg-type]
        padding=tuple(padding),  # type: ignore[arg-type]
        output_padding=tuple(more),  # type: ignore[arg-type]
        dilation=tuple(dilations),  # type: ignore[arg-type]
        groups=groups,
        bias=total is not None,
    )
    return filled(layer, wide.astype(np.float32), total)


def repeated(edit: Edit, node: NodeProto) -> nn.Module:
    """A Resize or Upsample that repeats pixels.

    Raises:
        UnsupportedLayerError: it mixes pixels, or does not repeat all alike.
    """
    mode = attribute(node, "mode", b"nearest")
    if mode not in (b"nearest", "nearest"):
        raise refuse(node, f"it enlarges in mode {mode!r}, which mixes pixels", do=_NEAREST)
    given, made = edit.shape(node.input[0]), edit.shape(node.output[0])
    rule, factors = NearestRule.of(node), []
    for small, large in zip(given, made, strict=True):
        times, left = divmod(large, small)
        if left or not times or not rule.repeats(small, times, Fraction(times)):
            raise refuse(node, f"it makes {made[2:]} of {given[2:]} by {rule}", do=_NEAREST)
        factors.append(float(times))
    if factors[:2] != [1.0, 1.0]:
        raise refuse(node, "it repeats frames or channels", do=_NEAREST)
    return nn.Upsample(scale_factor=tuple(factors[2:]), mode="nearest")


def shuffled(node: NodeProto) -> nn.Module:
    """A DepthToSpace.

    Raises:
        UnsupportedLayerError: channels lie in another order than those of torch's PixelShuffle.
    """
    if attribute(node, "mode", b"DCR") not in (b"CRD", "CRD"):
        raise refuse(
            node, "its channels lie in the order DCR", do="use mode CRD, that of nn.PixelShuffle"
        )
    return nn.PixelShuffle(int(attribute(node, "blocksize")))
