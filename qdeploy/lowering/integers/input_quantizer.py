"""What quantizes the file's input: nodes whose results are codes of the integer graph's input.

Each is evaluated by the official executor's own function, in float32. Its values lie on a grid,
value = scale · code with code 0 for the value 0; what the executor gives says which code it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto
from qonnx.custom_op.general.bipolar_quant import binary_quant
from qonnx.custom_op.general.quant import quant, resolve_rounding_mode

from qdeploy.ir.input_codes import CodeArray
from qdeploy.lowering.canonical.edit import attributes_of
from qdeploy.lowering.canonical.qonnx_functions import threshold_axis
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.lowering.integers.level_nodes import read_levels
from qdeploy.lowering.integers.quant_nodes import MAX_INPUT_BITS
from qdeploy.lowering.integers.raw_input import Floats, RawInput

Constants = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class InputQuantizer:
    """Codes of what comes before the quantizer.

    Args:
        codes: from values (rows, K) to codes (rows, K).
        scale: value of one code.
        zero: zero point of the file's own codes.
        value: the tensor that is quantized.
    """

    codes: Callable[[Floats], CodeArray]
    scale: Fraction
    zero: int
    value: RawInput


def input_quantizer(node: NodeProto, value: RawInput, constants: Constants) -> InputQuantizer:
    """The quantizer of a Quant, BipolarQuant or MultiThreshold node that reads the input.

    Args:
        constants: of the node's inputs, those that are constants of the file.

    Raises:
        UnsupportedLayerError: parameters that no host here implements.
    """
    found = [constants.get(name) for name in node.input[1:] if name]
    if any(array is None for array in found):
        raise refuse(
            node,
            "its scale, zero point or width is computed at run time",
            why="the codes of the input are known before the hardware is built",
            do="export the network in evaluation mode, with constants instead",
        )
    arrays = [array for array in found if array is not None]
    attributes = attributes_of(node)
    if node.op_type == "MultiThreshold":
        return _thresholds(node, value, arrays[0])
    scale = _one(node, arrays[0], "scale")
    if not np.isfinite(scale) or scale == 0:
        raise refuse(
            node,
            f"its quantizer has the scale {scale}",
            why="a scale is a finite step size, and not 0",
            do="calibrate or retrain the quantizer",
        )
    step = np.float32(scale)
    if node.op_type == "BipolarQuant":
        return _on_grid(lambda x: binary_quant(x, step), step, 0, value)
    zero, bits = _one(node, arrays[1], "zero point"), _one(node, arrays[2], "width")
    if zero != np.rint(zero) or not np.isfinite(zero):
        raise refuse(
            node,
            f"its quantizer has the zero point {zero:g}",
            why="the code of 0 has to be an integer: padding and sums rely on it",
            do="use an integer as zero point",
        )
    if not 1 <= bits <= MAX_INPUT_BITS or bits != np.rint(bits):
        raise refuse(
            node,
            f"its quantizer has {bits:g} bits",
            do=f"use one width of 1 to {MAX_INPUT_BITS} bits",
        )
    mode = attributes.get("rounding_mode", b"ROUND").decode(errors="replace").upper()
    try:
        resolve_rounding_mode(mode)
    except ValueError as error:
        raise refuse(
            node,
            f"it rounds by {mode[:40]}",
            why="QONNX has no such rounding mode",
            do="use rounding_mode ROUND",
        ) from error
    signed, narrow = bool(attributes.get("signed", 1)), bool(attributes.get("narrow", 0))
    offset, width = np.float32(zero), np.array(bits, dtype=np.float32)

    def values(x: Floats) -> Floats:
        result: Floats = quant(x, step, offset, width, signed, narrow, mode)
        return result

    return _on_grid(values, step, int(zero), value)


def _on_grid(
    function: Callable[[Floats], Floats], step: np.float32, zero: int, value: RawInput
) -> InputQuantizer:
    """A quantizer whose values are whole steps; a negative scale turns the codes."""
    size = abs(float(step))

    def codes(x: Floats) -> CodeArray:
        with np.errstate(all="ignore"):
            return np.rint(function(x).astype(np.float64) / size).astype(np.int64)

    return InputQuantizer(codes, Fraction(size), zero, value)


def _thresholds(node: NodeProto, value: RawInput, table: npt.NDArray[Any]) -> InputQuantizer:
    """MultiThreshold: value = out_scale · #{k : x >= T[channel, k]} + out_bias."""
    here = value.places.shape
    axis = threshold_axis(node, len(here) + 1)
    if not 0 < axis <= len(here):
        raise refuse(
            node,
            f"its channels are on axis {axis} of frames of {here}",
            do="use the data_layout that the frames have",
        )
    channels = here[axis - 1]
    found = read_levels(node, table, channels)
    ratio = found.bias / found.step
    # Values that are no whole steps are of a finer one: half of it for -1 and +1.
    unit, first = ratio.denominator, ratio.numerator
    most = 1 << MAX_INPUT_BITS
    if found.step < 0 or abs(first) > most or unit * table.shape[1] > most:
        raise refuse(
            node,
            f"its values are {float(found.step):g} · count + {float(found.bias):g}",
            why=f"they are codes of at most {MAX_INPUT_BITS} bits, and code 0 means 0: padding "
            "and sums rely on it",
            do="use a positive out_scale, and an out_bias of whole or half steps",
        )
    rows, same = np.unique(found.table.astype(np.float32), axis=0, return_inverse=True)
    if len(rows) > 1:
        shape = [1] * (len(here) + 1)
        shape[axis] = channels
        along, which = value.per_place(node, same.reshape(shape))
        value = RawInput(value.shape, value.raw, value.layout, value.operations, along)
        rows = rows[which.astype(np.int64)]

    def codes(x: Floats) -> CodeArray:
        own = rows if len(rows) > 1 else np.broadcast_to(rows, (len(x), rows.shape[1]))
        parts = zip(own, x.astype(np.float32), strict=True)
        counts = np.stack([np.searchsorted(row, part, side="right") for row, part in parts])
        return first + unit * counts.astype(np.int64)

    return InputQuantizer(codes, found.step / unit, 0, value)


def _one(node: NodeProto, array: npt.NDArray[Any], what: str) -> float:
    """The one value of a parameter that may be repeated for each channel."""
    if not array.size or not np.array_equal(array, np.full_like(array, array.flat[0]), True):
        raise refuse(
            node,
            f"the input's quantizer has more than one {what}",
            why="the first layer's sums run over all channels of the input",
            do="use one input quantizer with one scale",
        )
    return float(array.reshape(-1)[0])
