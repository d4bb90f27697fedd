"""Weights packed at their bit width: a stream of offset codes, first weight in the lowest bits.

    field = weight - least        least … least + 2^bits - 1        rows begin at a byte

Widths are 1, 2, 3, 4 and 8 bits, and 16 where 8 do not hold the weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdeploy.ir.integer_graph import IntArray

WIDTHS = (1, 2, 3, 4, 8, 16)


@dataclass(frozen=True)
class PackedWeights:
    """Rows of weights.

    Args:
        data: (rows, bytes of a row).
        bits: of a weight.
        least: weight of the field 0.
        columns: weights of a row.
    """

    data: npt.NDArray[np.uint8]
    bits: int
    least: int
    columns: int


def pack_weights(weights: IntArray) -> PackedWeights | None:
    """Pack rows of weights, (rows, columns); None where 16 bits do not hold them."""
    least, most = int(weights.min()), int(weights.max())
    if least < -(1 << 15) or most >= 1 << 15:
        return None
    narrow = least >= -(1 << 7) and most < 1 << 7
    fitting = (bits for bits in WIDTHS[:-2] if narrow and most - least < 1 << bits)
    bits = next(fitting, 8 if narrow else 16)
    if bits >= 8:
        least = -(1 << (bits - 1))
    fields = (weights - least).astype(np.uint32)
    planes = (fields[:, :, None] >> np.arange(bits, dtype=np.uint32)) & 1
    stream = planes.reshape(len(weights), -1).astype(np.uint8)
    data = np.packbits(stream, axis=1, bitorder="little")
    return PackedWeights(data, bits, least, weights.shape[1])
