"""MultiThreshold and Trunc nodes of a file: quantizers whose codes begin at edges of their own.

    MultiThreshold(x) = out_scale · #{k : x >= T[c, k]} + out_bias

The order of a row's thresholds means nothing to a count of them: they are sorted here.

    y = round_half_even(x / scale + zero)       an integer: float noise of an average is cleaned
    Trunc(x), five inputs                       (r(y / 2^t) - zero) · scale
                                                t = bits before - bits after
    Trunc(x), six inputs                        (clip(r(y / 2^t)) - zero / 2^t) · output scale
                                                t = log2(output scale / scale), rounded

r is the rounding mode. y / 2^t reaches code k from an integer y = E on, and y >= E where x / scale
+ zero is beyond E - 1/2, which for even E belongs to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto

from qdeploy.lowering.canonical.edit import attributes_of
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.lowering.integers.quant_nodes import MAX_BITS
from qdeploy.lowering.integers.quantizer import ROUNDINGS, Edge, Quantizer, Rounding

Array = npt.NDArray[Any]
MOST_LEVELS = (1 << MAX_BITS) - 1


@dataclass(frozen=True)
class Levels:
    """What a MultiThreshold node says.

    Args:
        table: (rows, levels), each row ascending; one row, or one for each channel.
        step, bias: value = step · count + bias; `step` is not 0.
    """

    table: Array
    step: Fraction
    bias: Fraction

    def edges(self) -> list[tuple[Edge, ...]]:
        """The edges of each row."""
        return [tuple(_edge(value) for value in row) for row in self.table]


def read_levels(node: NodeProto, table: Array, channels: int) -> Levels:
    """The numbers of a MultiThreshold node.

    Args:
        table: its second input.
        channels: of its first input.

    Raises:
        UnsupportedLayerError: numbers that are no quantizer's.
    """
    attributes = attributes_of(node)
    step, bias = (
        float(attributes.get(key, default)) for key, default in (("out_scale", 1), ("out_bias", 0))
    )
    if table.ndim != 2 or len(table) not in (1, channels) or not table.shape[1]:
        raise refuse(
            node,
            f"its thresholds have the shape {table.shape}, for {channels} channels",
            why="each row is the thresholds of a channel, or of all of them",
            do=f"use (1, levels) or ({channels}, levels)",
        )
    if table.shape[1] > MOST_LEVELS:
        raise refuse(
            node,
            f"it has {table.shape[1]:,} thresholds per channel",
            why=f"codes have at most {MAX_BITS} bits",
            do=f"use at most {MOST_LEVELS:,}",
        )
    if np.isnan(table).any():
        raise refuse(node, "a threshold is not a number", do="train the network again")
    if not np.isfinite([step, bias]).all() or step == 0:
        raise refuse(
            node,
            f"its values are {step:g} · code + {bias:g}",
            why="a step is finite, and not 0",
            do="use a finite out_scale other than 0, and a finite out_bias",
        )
    return Levels(np.sort(table, axis=1), Fraction(step), Fraction(bias))


@dataclass(frozen=True)
class Truncation:
    """What a Trunc node says, for one channel.

    Args:
        scale, zero: of the integers y.
        shift: t above.
        step: value of one code.
        offset: code - offset is what is multiplied by the step.
        ends: of the codes, None where they are not clipped.
    """

    scale: Fraction
    zero: Fraction
    shift: int
    step: Fraction
    offset: Fraction
    ends: tuple[int, int] | None
    rounding: Rounding

    def code(self, value: Fraction) -> int:
        """The code of a value, before it is clipped."""
        whole = round(value / self.scale + self.zero)
        lo, hi = -(1 << 40), 1 << 40
        while lo < hi:
            middle = (lo + hi + 1) // 2
            lo, hi = (middle, hi) if whole >= self._least(middle) else (lo, middle - 1)
        return lo

    def edges(self, lo: int, hi: int) -> tuple[Edge, ...]:
        """Edges of x below the codes lo + 1 … hi."""
        half = Fraction(1, 2)
        wholes = [self._least(code) for code in range(lo + 1, hi + 1)]
        return tuple(
            Edge((whole - half - self.zero) * self.scale, whole % 2 == 0) for whole in wholes
        )

    def _least(self, code: int) -> int:
        """The least integer y whose code is `code` or more."""
        rounding = Quantizer(Fraction(1), code - 1, code, rounding=self.rounding)
        twice, included = rounding.edges(np.array([code], dtype=np.int64))
        edge = Fraction(int(twice[0]), 2) * Fraction(2) ** self.shift
        down = edge.numerator // edge.denominator
        return down if edge == down and included[0] else down + 1


def read_truncations(node: NodeProto, arrays: list[Array]) -> list[Truncation]:
    """What a Trunc node says: once, or for each channel.

    Args:
        arrays: its inputs but the first.

    Raises:
        UnsupportedLayerError: numbers that are no truncation's.
    """
    attributes = attributes_of(node)
    mode = attributes.get("rounding_mode", b"FLOOR").decode(errors="replace").upper()
    if mode not in ROUNDINGS or len(arrays) not in (4, 5):
        raise refuse(
            node,
            f"it rounds by {mode[:40]}" if len(arrays) in (4, 5) else f"{len(arrays)} parameters",
            why="QONNX has no such truncation",
            do=f"use rounding_mode {', '.join(ROUNDINGS)}, and QONNX's five or six inputs",
        )
    scale, zero, width = arrays[:3]
    scales = [scale] if len(arrays) == 4 else [scale, arrays[3]]
    if any(not np.isfinite(one).all() or (one <= 0).any() for one in scales):
        raise refuse(
            node,
            f"its scales are {', '.join(f'{one.reshape(-1)[0]:g}' for one in scales)}",
            why="a scale is a positive, finite step size",
            do="calibrate or retrain the quantizer",
        )
    bits, before = _bits(node, arrays[-1]), _bits(node, width)
    if not np.isfinite(zero).all():
        raise refuse(node, "its zero point is not finite", do="use the zero point 0")
    parts = np.broadcast_arrays(scale, zero, *scales[1:])
    rows = [
        tuple(Fraction(float(v)) for v in row) for row in zip(*map(np.ravel, parts), strict=True)
    ]
    rounding = ROUNDINGS[mode]
    if len(arrays) == 4:
        return [Truncation(s, z, before - bits, s, z, None, rounding) for s, z in rows]
    signed, narrow = bool(attributes.get("signed", 1)), bool(attributes.get("narrow", 0))
    lo = -(1 << (bits - 1)) + narrow if signed else 0
    hi = (1 << (bits - 1)) - 1 if signed else (1 << bits) - 1 - narrow
    if lo >= hi:
        raise refuse(node, "its codes are of one value only", do="use more bits")
    # In float32, as the executor has it: it is a power of two, or taken for the nearest one.
    shifts = np.round(np.log2(np.float32(parts[2]) / np.float32(parts[0]))).reshape(-1)
    return [
        Truncation(s, z, int(t), out, z / Fraction(2) ** int(t), (lo, hi), rounding)
        for (s, z, out), t in zip(rows, shifts, strict=True)
    ]


def _bits(node: NodeProto, array: Array) -> int:
    width = float(array.reshape(-1)[0]) if array.size else 0.0
    if not (array == width).all() or not 1 <= width <= 32 or width != int(width):
        raise refuse(node, f"it has {width:g} bits", do="use one width of 1 to 32 bits")
    return int(width)


def _edge(threshold: Any) -> Edge:
    if not np.isfinite(threshold):
        return Edge(None, bool(threshold < 0))
    return Edge(Fraction(threshold.item()))
