"""Exact integer thresholds of quantizers after monotone maps of an accumulator.

    code(n) = q(f(g·n + b))      T_k = the smallest n with code(n) >= k

Where the code changes is `quantizer.py`, the way back through the map `steps.py`. For rounding to
nearest without steps, with A = g/s = p/q and B = b/s = r/t as exact fractions (p, q, t > 0),

    code >= k  <=>  A·n + B >= k - 1/2     k even: the tie k - 1/2 rounds up to k
                    A·n + B >  k - 1/2     k odd: the tie rounds down to k - 1

    with x = (k - 1/2 - B) / A:   T_k = ceil(x) for even k,  floor(x) + 1 for odd k

g = 0 makes the channel constant. Where the map falls the caller negates the channel first.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from qdeploy.errors import PassError
from qdeploy.ir.integer_graph import IntArray
from qdeploy.ir.intervals import Intervals
from qdeploy.lowering.integers.quantizer import Quantizer
from qdeploy.lowering.integers.steps import Affine, Conditions, Step

_HERE = "qdeploy.lowering.integers.thresholds"
# Digits of the logarithms that invert curves: most of them need the first number only.
DIGITS = (24, 48, 96, 192, 384, 768)


def threshold_table(
    gain: Sequence[Fraction],
    offset: Sequence[Fraction],
    quantizer: Quantizer | Sequence[Quantizer],
    acc: Intervals,
    steps: Sequence[Step] = (),
) -> IntArray:
    """Thresholds (channels, hi - lo) for codes lo + 1 .. hi, clipped into [acc.lo, acc.hi + 1].

    Args:
        quantizer: one for all channels, or one for each; all of as many codes.
        steps: between gain·n + offset and the quantizer.

    Raises:
        PassError: the map falls in a channel, or the table does not ascend.
    """
    count = len(acc.lo)
    quantizers = [quantizer] * count if isinstance(quantizer, Quantizer) else quantizer
    rows = [
        _channel((Affine((g,), (b,)), *steps), channel, one, lo, hi)
        for channel, (g, b, one, lo, hi) in enumerate(
            zip(gain, offset, quantizers, acc.lo, acc.hi, strict=True)
        )
    ]
    table = np.array(rows, dtype=np.int64).reshape(count, quantizers[0].hi - quantizers[0].lo)
    if (table[:, 1:] < table[:, :-1]).any():
        raise PassError("thresholds do not ascend", where=_HERE)
    return table


def code_bounds(table: IntArray, base: int, acc: Intervals) -> tuple[int, int]:
    """The smallest and the largest code that can occur."""
    lo = np.array(acc.lo, dtype=np.int64)[:, None]
    hi = np.array(acc.hi, dtype=np.int64)[:, None]
    return base + int((lo >= table).sum(1).min()), base + int((hi >= table).sum(1).max())


def _channel(
    steps: Sequence[Step], channel: int, quantizer: Quantizer, lo: int, hi: int
) -> IntArray:
    wanted = Conditions.of(quantizer)
    for digits in DIGITS:
        ends = []
        for upper in (False, True):
            found = wanted.before(steps, channel, digits, upper)
            decided = found.always | found.never  # by a gain of 0, whatever follows it
            if not found.rising and not decided.all():
                raise PassError("a negative gain reached the thresholds", where=_HERE)
            ends.append(found.thresholds(lo, hi))
            if found.exact:
                return ends[0]
        if np.array_equal(ends[0], ends[1]):
            return ends[0]
    raise PassError(
        f"{DIGITS[-1]} digits do not tell on which side of an edge a sum is", where=_HERE
    )
