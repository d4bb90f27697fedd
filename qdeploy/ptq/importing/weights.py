"""Weights of a file's layers, as those of modules of torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from onnx import NodeProto
from torch import nn

from qdeploy.lowering.canonical.edit import Edit
from qdeploy.lowering.canonical.refusal import refuse

Array = npt.NDArray[Any]


def weight_of(edit: Edit, node: NodeProto) -> Array:
    """The weights that the file stores.

    Raises:
        UnsupportedLayerError: they are computed.
    """
    weight = edit.constant(node.input[1])
    if weight is None:
        raise refuse(node, "its weights are computed", do="store the weights in the file")
    return weight


def scaled(
    weight: Array, own: Array | None, scale: Array | None, bias: Array | None
) -> tuple[Array, Array | None]:
    """Weights (outputs, ...) and bias with a factor and a term of each output, each rounded to
    float32 once.
    """
    wide = weight.astype(np.float64)
    if scale is not None:
        wide = wide * scale.reshape(-1, *[1] * (weight.ndim - 1))
    return wide.astype(np.float32), total_bias(len(weight), own, scale, bias)


def total_bias(
    outputs: int, own: Array | None, scale: Array | None, bias: Array | None
) -> Array | None:
    """A layer's own bias with a factor and a term, (outputs,), rounded to float32 once; None where
    there is none.
    """
    if own is None and bias is None:
        return None
    total = np.zeros(outputs) if own is None else own.astype(np.float64)
    if scale is not None:
        total = total * scale
    if bias is not None:
        total = total + bias
    return total.astype(np.float32)


def filled(layer: Any, weight: Array, bias: Array | None) -> nn.Module:
    """`layer` with these weights, of its own shape."""
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight.copy()))
        if bias is not None:
            layer.bias.copy_(torch.from_numpy(bias.copy()))
    module: nn.Module = layer
    return module
