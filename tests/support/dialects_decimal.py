"""The hand-written files with decimal steps: sums of theirs have last bits that depend on order.

Files written by hand have steps that are powers of two, where every order of adding gives the same
bits; those of trained networks do not.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from dialects import Dialect, by_hand
from dialects_outputs import output_files
from onnx import ModelProto, numpy_helper

FACTOR = np.float32(1.137)
_QUANTIZERS = ("Quant", "IntQuant", "BipolarQuant", "QuantizeLinear", "DequantizeLinear")


def decimal_files() -> list[Dialect]:
    return [decimal(one) for one in (*by_hand(), *output_files()) if not one.large]


def decimal(given: Dialect) -> Dialect:
    """The same file with each stored step times `FACTOR`."""

    def write(path: Path) -> None:
        given.write(path)
        model = onnx.load(path)
        scale_steps(model)
        onnx.save(model, path)

    return Dialect(f"decimal/{given.name}", write, given.raw)


def scale_steps(model: ModelProto) -> None:
    steps = {node.input[1] for node in model.graph.node if node.op_type in _QUANTIZERS}
    for tensor in model.graph.initializer:
        if tensor.name in steps:
            array = numpy_helper.to_array(tensor)
            made = (array * FACTOR).astype(array.dtype)
            tensor.CopyFrom(numpy_helper.from_array(made, tensor.name))
    for node in model.graph.node:
        for item in node.attribute:
            if item.name == "out_scale":
                item.f *= float(FACTOR)
