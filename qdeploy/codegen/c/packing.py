"""Weights packed at their bit width: a stream of offset codes, first weight in the lowest bits.

    field = weight - least        least … least + 2^bits - 1        rows begin at a byte

Widths are 1, 2, 3, 4 and 8 bits, and 16 where 8 do not hold the weights. Fields of three values may
be packed five to a byte instead, 1.6 bits each, so that a multiplication by 3 brings one out after
the other, the first one first:

    byte = ⌈256 n / 243⌉,  n = Σ f[k] 3^(4-k)        byte · 3 = 256 f[0] + byte of the others

because n·256/243 <= byte < (n + 1)·256/243, and the remainder of 3·byte is between the same bounds
of what is left of n.
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
        trits: five to a byte; `bits` are then 2, those of a field once it is unpacked.
    """

    data: npt.NDArray[np.uint8]
    bits: int
    least: int
    columns: int
    trits: bool = False


def pack_weights(weights: IntArray, *, trits: bool = False) -> PackedWeights | None:
    """Pack rows of weights, (rows, columns); None where 16 bits do not hold them.

    Args:
        trits: pack weights of three values five to a byte, where rows are shorter for it.
    """
    least, most = int(weights.min()), int(weights.max())
    if least < -(1 << 15) or most >= 1 << 15:
        return None
    narrow = least >= -(1 << 7) and most < 1 << 7
    fitting = (bits for bits in WIDTHS[:-2] if narrow and most - least < 1 << bits)
    bits = next(fitting, 8 if narrow else 16)
    if (
        trits
        and narrow
        and most - least == 2
        and -(-weights.shape[1] // 5) < -(-weights.shape[1] // 4)
    ):
        return PackedWeights(_five_to_a_byte(weights - least), 2, least, weights.shape[1], True)
    if bits >= 8:
        least = -(1 << (bits - 1))
    fields = (weights - least).astype(np.uint32)
    planes = (fields[:, :, None] >> np.arange(bits, dtype=np.uint32)) & 1
    stream = planes.reshape(len(weights), -1).astype(np.uint8)
    data = np.packbits(stream, axis=1, bitorder="little")
    return PackedWeights(data, bits, least, weights.shape[1])


def _five_to_a_byte(fields: IntArray) -> npt.NDArray[np.uint8]:
    padded = np.pad(fields, ((0, 0), (0, -fields.shape[1] % 5)))
    groups = padded.reshape(len(fields), -1, 5) @ (3 ** np.arange(4, -1, -1))
    return (-(-256 * groups // 243)).astype(np.uint8)
