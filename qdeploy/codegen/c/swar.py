"""Four products to a multiplication: the bound of `export/c/kernels/conv_swar.h`.

With codes 0 … A and weights -L … H, n products of words keep every byte within 4·n·A·(L + H) of its
offset 4·n·A·L; so n is the largest with 4·n·A·(L + H) <= 255. A code of 0 and a weight of 0 occur
whether the layer has them or not: sums of fewer terms are in the lower bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from qdeploy.ir.integer_graph import IntArray

# Codes in a word.
WORD = 4
_BYTE = 255
# The kernel's inner loop takes so many words at a time.
_UNROLLED = 4


@dataclass(frozen=True)
class Swar:
    """Products between two shifts, and what each byte begins with."""

    run: int
    offset: int


def fit_swar(largest: int, weights: IntArray) -> Swar | None:
    """The longest run for codes 0 … `largest` and these weights; None where one is too many."""
    low, high = max(0, -int(weights.min())), max(0, int(weights.max()))
    each = WORD * max(1, largest) * max(1, low + high)
    run = _BYTE // each
    if run == 0:
        return None
    if run > _UNROLLED:
        run -= run % _UNROLLED
    return Swar(run, WORD * run * largest * low)
