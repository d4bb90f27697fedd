"""What a part has and a design uses, in one set of units, and which share of it is usable.

Units are those of Vivado's utilization report: `lut` are all LUTs, `lutram` those of them that are
memory or shift register, `bram36` blocks of 36 kbit (halves too), `uram` blocks of 288 kbit.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

# Kind of resource -> its name in messages.
TITLES = {
    "lut": "LUTs",
    "lutram": "LUTs as memory",
    "ff": "flip-flops",
    "bram36": "BRAM36s",
    "uram": "URAMs",
    "dsp": "DSPs",
}
# Share of LUTs and flip-flops a design may use. The rest is for the DMA, the interconnect and the
# shell, and for routing: above about 85 % of the LUTs place and route often fails or misses its
# clock. Of block RAMs and DSP blocks the DMA and its FIFOs take a few.
USABLE = 0.85
USABLE_BLOCKS = 0.95
_BLOCKS = ("bram36", "uram", "dsp")
# An estimate stays below the usable share of LUTs and flip-flops by this: it may be off, and FIFO
# depths are known only after simulation. Block RAMs and DSP blocks are estimated exactly.
ESTIMATE_MARGIN = 0.05


def usable(kind: str, *, estimated: bool = False) -> float:
    """Share of a resource that a design may use.

    Args:
        kind: one of `TITLES`.
        estimated: the share that an estimate may reach, below what synthesis may count.
    """
    if kind in _BLOCKS:
        return USABLE_BLOCKS
    return round(USABLE - ESTIMATE_MARGIN, 6) if estimated else USABLE


@dataclass(frozen=True)
class Counts:
    """Resources of a piece of hardware.

    `lut` is all LUTs, of which `lutram` are distributed RAM and `srl` shift registers; `bram36` is
    in blocks of 36 kbit and may be a half; `carry` are carry chains of four (7 series) bits.
    """

    lut: int = 0
    lutram: int = 0
    srl: int = 0
    ff: int = 0
    bram36: float = 0.0
    uram: int = 0
    dsp: int = 0
    carry: int = 0

    def __add__(self, other: Counts) -> Counts:
        mine, theirs = dataclasses.asdict(self), dataclasses.asdict(other)
        return Counts(**{key: mine[key] + theirs[key] for key in mine})

    def __mul__(self, times: int) -> Counts:
        return Counts(**{key: value * times for key, value in dataclasses.asdict(self).items()})

    def used(self) -> dict[str, float]:
        """Amount of each kind of `TITLES`; shift registers count as LUTs that are memory."""
        found = {kind: float(getattr(self, kind)) for kind in TITLES}
        return {**found, "lutram": float(self.lutram + self.srl)}
