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
from onnx import NodeProto, helper
from qonnx.custom_op.general.bipolar_quant import binary_quant
from qonnx.custom_op.general.quant import quant, resolve_rounding_mode

from qdeploy.ir.input_codes import CodeArray
from qdeploy.lowering.canonical.refusal import refuse
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
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "MultiThreshold":
        return _thresholds(node, value, arrays[0], attributes)
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


def _thresholds(
    node: NodeProto, value: RawInput, table: npt.NDArray[Any], attributes: Mapping[str, Any]
) -> InputQuantizer:
    """MultiThreshold: value = out_scale · #{k : x >= T[channel, k]} + out_bias."""
    step, bias = float(attributes.get("out_scale", 1.0)), float(attributes.get("out_bias", 0.0))
    last = attributes.get("data_layout", b"NCHW") in (b"NHWC", b"NWC")
    here = value.places.shape
    channels = here[-1] if last else here[0]
    fits = table.ndim == 2 and len(table) in (1, channels) and table.shape[1]
    if not fits or np.isnan(table).any() or not (np.isfinite([step, bias]).all() and step > 0):
        raise refuse(
            node,
            f"its thresholds of shape {table.shape}, scale {step:g} and bias {bias:g} are no "
            "quantizer of the input",
            do="use one row of numbers, or one for each channel, and a positive scale",
        )
    halves = Fraction(bias) / Fraction(step) * 2
    if halves.denominator != 1:
        raise refuse(
            node,
            f"its values, {step:g} · code + {bias:g}, are no multiples of one step",
            why="code 0 has to mean 0: padding and sums rely on it",
            do="use a bias of whole or half steps",
        )
    # Half a step is the step of values such as -1 and +1.
    unit = 2 if int(halves) % 2 else 1
    first = int(halves) * unit // 2
    rows, same = np.unique(np.sort(table.astype(np.float32), axis=1), axis=0, return_inverse=True)
    if len(rows) > 1:
        shape = [1] * (len(here) + 1)
        shape[-1 if last else 1] = channels
        axis, which = value.per_place(node, same.reshape(shape))
        value = RawInput(value.shape, value.raw, value.layout, value.operations, axis)
        rows = rows[which.astype(np.int64)]

    def codes(x: Floats) -> CodeArray:
        own = rows if len(rows) > 1 else np.broadcast_to(rows, (len(x), rows.shape[1]))
        parts = zip(own, x.astype(np.float32), strict=True)
        counts = np.stack([np.searchsorted(row, part, side="right") for row, part in parts])
        return first + unit * counts.astype(np.int64)

    return InputQuantizer(codes, Fraction(step) / unit, 0, value)


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
