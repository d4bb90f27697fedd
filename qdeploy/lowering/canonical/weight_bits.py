"""The least memory that a file's weights take, from what it declares: read in a second."""

from __future__ import annotations

from math import prod

import numpy as np
from onnx import ModelProto, TensorProto, numpy_helper

_CODES = {
    TensorProto.INT4: 4,
    TensorProto.UINT4: 4,
    TensorProto.INT8: 8,
    TensorProto.UINT8: 8,
    TensorProto.INT16: 16,
    TensorProto.UINT16: 16,
}
# The widest weights that a quantizer may have.
_WIDEST = 32


def weight_bits(model: ModelProto) -> int:
    """Bits of the weights other than zero: constants of two axes or more behind a quantizer.

    Weights that are not recognized count nothing, so that the network has at least as many.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    widths: dict[str, int] = {}
    for node in model.graph.node:
        tensor = constants.get(node.input[0]) if node.input else None
        if tensor is None or len(tensor.dims) < 2:
            continue
        if node.op_type in ("Quant", "IntQuant") and len(node.input) > 3:
            widths[tensor.name] = _width(constants.get(node.input[3]))
        elif node.op_type == "BipolarQuant":
            widths[tensor.name] = 1
        elif node.op_type == "DequantizeLinear":
            widths[tensor.name] = _CODES.get(tensor.data_type, 0)
    return sum(width * _weights(constants[name], width) for name, width in widths.items())


def _width(tensor: TensorProto | None) -> int:
    """Bits that a quantizer's constant says; 0 where it says none."""
    if tensor is None or prod(tensor.dims) != 1:
        return 0
    value = float(numpy_helper.to_array(tensor).reshape(-1)[0])
    return int(value) if 1 <= value <= _WIDEST else 0


def _weights(tensor: TensorProto, width: int) -> int:
    """How many; those that are zero, which need no memory where sums are logic, do not count."""
    return prod(tensor.dims) if width == 1 else int(np.count_nonzero(numpy_helper.to_array(tensor)))
