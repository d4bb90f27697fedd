"""Nodes of a canonical file as modules of torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import NodeProto
from torch import nn

from qdeploy.lowering.canonical.edit import Edit, attribute, integers
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.ptq.importing.enlarging import repeated, shuffled, transposed_of
from qdeploy.ptq.importing.weights import Array, filled, scaled, weight_of

_CONV = {1: nn.Conv1d, 2: nn.Conv2d}
_MAX = {1: nn.MaxPool1d, 2: nn.MaxPool2d}
_AVERAGE = {1: nn.AvgPool1d, 2: nn.AvgPool2d}
_ADAPTIVE = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d}


def layer_of(
    edit: Edit, node: NodeProto, scale: Array | None, bias: Array | None
) -> list[nn.Module]:
    """A convolution or product with constants, with a factor and a term of each output channel.

    Args:
        scale, bias: (outputs,) or None for 1 and 0.

    Returns:
        The layer, after a padding where its own cannot be that of torch.
    """
    if node.op_type == "MatMul":
        return [_linear(edit, node, scale, bias)]
    if node.op_type == "ConvTranspose":
        return [transposed_of(edit, node, scale, bias)]
    weight, own = weight_of(edit, node), None
    if len(node.input) > 2 and node.input[2]:
        own = edit.constant(node.input[2])
    rank = weight.ndim - 2
    if rank not in _CONV:
        raise refuse(node, f"its kernel has {rank} axes", do="use kernels of one or two axes")
    begin, end = _pads(node, rank)
    before: list[nn.Module] = []
    if begin != end:
        before.append(_zeros(begin, end, node))
        begin = [0] * rank
    groups = int(attribute(node, "group", 1))
    whole = scaled(weight, own, scale, bias)
    conv = _CONV[rank](
        weight.shape[1] * groups,
        weight.shape[0],
        tuple(weight.shape[2:]),  # type: ignore[arg-type]
        stride=tuple(attribute(node, "strides", [1] * rank)),  # type: ignore[arg-type]
        padding=tuple(begin),  # type: ignore[arg-type]
        dilation=tuple(attribute(node, "dilations", [1] * rank)),  # type: ignore[arg-type]
        groups=groups,
        bias=whole[1] is not None,
    )
    return [*before, filled(conv, *whole)]


def plain_module(edit: Edit, node: NodeProto) -> nn.Module | None:
    """A node without weights that reads one activation; None for one that is none."""
    kind, shape = node.op_type, edit.shape(node.input[0])
    rank = len(shape) - 2
    if kind == "Relu":
        return nn.ReLU()
    if kind == "LeakyRelu":
        return nn.LeakyReLU(float(attribute(node, "alpha", 0.01)))
    if kind == "Clip":
        return _clip(edit, node)
    if kind == "Flatten":
        return _flatten(node)
    if kind == "Pad":
        return _pad(edit, node, rank)
    if kind == "MaxPool":
        return _max_pool(node, rank)
    if kind == "AveragePool":
        return _average_pool(node, rank)
    if kind == "GlobalMaxPool" and rank in _MAX:
        return _MAX[rank](tuple(shape[2:]))
    if kind == "GlobalAveragePool" and rank in _ADAPTIVE:
        return _ADAPTIVE[rank](1)
    if kind == "ReduceMean":
        return _mean(edit, node, rank)
    if kind in ("Resize", "Upsample"):
        return repeated(edit, node)
    if kind == "DepthToSpace":
        return shuffled(node)
    return None


def affine_of(edit: Edit, node: NodeProto, channels: int) -> tuple[Array, Array] | None:
    """Factor and term (channels,), float64, of a node that has one constant; None for another."""
    if node.op_type not in ("Mul", "Add", "Sub", "Div") or len(node.input) != 2:
        return None
    place = next((k for k in (0, 1) if edit.is_constant(node.input[k])), None)
    if place is None or edit.is_constant(node.input[1 - place]):
        return None
    if node.op_type in ("Sub", "Div") and place == 0:
        return None
    value = edit.constant(node.input[place])
    assert value is not None
    spread = _by_channel(value, len(edit.shape(node.output[0])), channels)
    if spread is None:
        return None
    one, zero = np.ones(channels), np.zeros(channels)
    if node.op_type == "Mul":
        return spread, zero
    if node.op_type == "Div":
        return (1.0 / spread, zero) if np.all(spread != 0) else None
    return (one, spread if node.op_type == "Add" else -spread)


def _by_channel(value: Array, rank: int, channels: int) -> Array | None:
    """A constant as (channels,), where it is one number for each channel."""
    shape = (1,) * (rank - value.ndim) + value.shape
    if value.ndim > rank or any(size != 1 for axis, size in enumerate(shape) if axis != 1):
        return None
    return np.broadcast_to(value.astype(np.float64).reshape(-1), (channels,)).copy()


def _linear(edit: Edit, node: NodeProto, scale: Array | None, bias: Array | None) -> nn.Module:
    weight = weight_of(edit, node)
    if weight.ndim != 2 or len(edit.shape(node.input[0])) != 2:
        raise refuse(
            node,
            f"it multiplies {edit.shape(node.input[0])} with {weight.shape}",
            do="flatten frames to vectors before it",
        )
    whole = scaled(np.ascontiguousarray(weight.T), None, scale, bias)
    linear = nn.Linear(weight.shape[0], weight.shape[1], bias=whole[1] is not None)
    return filled(linear, *whole)


def _pads(node: NodeProto, rank: int) -> tuple[list[int], list[int]]:
    pads = [int(size) for size in attribute(node, "pads", [0] * 2 * rank)]
    return pads[:rank], pads[rank:]


def _zeros(begin: Sequence[int], end: Sequence[int], node: NodeProto) -> nn.Module:
    """Zeros around a map; torch counts from the last axis."""
    if len(begin) != 2:
        raise refuse(node, "it pads one side more than the other", do="pad both sides alike")
    return nn.ZeroPad2d((begin[1], end[1], begin[0], end[0]))


def _clip(edit: Edit, node: NodeProto) -> nn.Module:
    limits: list[float] = []
    for place, name, usual in ((1, "min", -np.inf), (2, "max", np.inf)):
        value = attribute(node, name, None)
        if len(node.input) > place and node.input[place]:
            value = edit.constant(node.input[place])
            if value is None:
                raise refuse(node, f"its `{name}` is computed", do="use a constant")
        limits.append(usual if value is None else float(np.asarray(value).reshape(-1)[0]))
    low, high = limits
    if low == 0 and high == np.inf:
        return nn.ReLU()
    if (low, high) == (0, 6):
        return nn.ReLU6()
    if not np.isfinite(limits).all() or not low < high:
        raise refuse(node, f"it clips to {low:g} and {high:g}", do="give both limits, or ReLU")
    return nn.Hardtanh(low, high)


def _flatten(node: NodeProto) -> nn.Module:
    if int(attribute(node, "axis", 1)) != 1:
        raise refuse(node, "it flattens from another axis than 1", do="use axis 1")
    return nn.Flatten()


def _pad(edit: Edit, node: NodeProto, rank: int) -> nn.Module:
    sizes = integers(edit, node, "pads", 1)
    value = edit.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    mode = attribute(node, "mode", b"constant")
    if (
        sizes is None
        or mode not in (b"constant", "constant")
        or (value is not None and value.any())
    ):
        raise refuse(node, "it pads with other values than 0", do="pad with zeros")
    whole = len(sizes) // 2
    if any((*sizes[:2], *sizes[whole : whole + 2])) or rank < 1:
        raise refuse(node, "it pads frames or channels", do="pad height and width")
    return _zeros(sizes[2:whole], sizes[whole + 2 :], node)


def _max_pool(node: NodeProto, rank: int) -> nn.Module:
    begin, end = _pads(node, rank)
    if begin != end:
        raise refuse(node, "it pads one side more than the other", do="pad both sides alike")
    return _MAX[rank](
        tuple(attribute(node, "kernel_shape")),
        stride=tuple(attribute(node, "strides", [1] * rank)),
        padding=tuple(begin),
        dilation=tuple(attribute(node, "dilations", [1] * rank)),
        ceil_mode=bool(attribute(node, "ceil_mode", 0)),
    )


def _average_pool(node: NodeProto, rank: int) -> nn.Module:
    begin, end = _pads(node, rank)
    if begin != end or set(attribute(node, "dilations", [1])) != {1}:
        raise refuse(node, "it pads one side more, or has a dilation", do="pad both sides alike")
    return _AVERAGE[rank](
        tuple(attribute(node, "kernel_shape")),
        stride=tuple(attribute(node, "strides", [1] * rank)),
        padding=tuple(begin),
        ceil_mode=bool(attribute(node, "ceil_mode", 0)),
        count_include_pad=bool(attribute(node, "count_include_pad", 0)),
    )


def _mean(edit: Edit, node: NodeProto, rank: int) -> nn.Module:
    """The mean over the map, as an average that leaves one pixel, or none of its axes."""
    axes = integers(edit, node, "axes", 1) or []
    if rank not in _ADAPTIVE or sorted(axis % (rank + 2) for axis in axes) != list(
        range(2, rank + 2)
    ):
        raise refuse(node, f"a mean over the axes {axes}", do="take the mean over the whole map")
    if attribute(node, "keepdims", 1):
        return _ADAPTIVE[rank](1)
    return nn.Sequential(_ADAPTIVE[rank](1), nn.Flatten())
