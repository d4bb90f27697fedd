"""How many DSP blocks Yosys makes of a product on 7 series parts."""

from __future__ import annotations

import functools

# A DSP48E1 multiplies 25 x 18 bits; longer operands are cut into parts of 17 bits.
_LONG, _SHORT, _PART = 25, 18, 17


@functools.lru_cache(maxsize=4096)
def product(first: int, second: int) -> int:
    """DSP48E1s of a signed product of operands of so many bits."""
    long, short = max(first, second), min(first, second)
    blocks = 1 if long <= _LONG else -(-long // _PART)
    return blocks * (1 if short <= _SHORT else -(-short // _PART))
