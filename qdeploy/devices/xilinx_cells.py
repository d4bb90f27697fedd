"""What one Xilinx primitive uses of a part, in the units of Vivado's utilization report.

Vivado's "Slice LUTs" (7 series) and "CLB LUTs" (UltraScale+) count LUTs as logic plus LUTs as
memory, the latter being distributed RAM and shift registers; so does `Counts.lut`. An inverter is
a LUT1 there. Two small LUTs that could share a site are counted as two: Vivado often packs them,
so this is an upper bound of what it will report.
"""

from __future__ import annotations

import re

from qdeploy.devices.capacity import Counts

# LUTs that one memory primitive occupies.
_LUTRAM = {
    "RAM16X1D": 2,
    "RAM16X1S": 1,
    "RAM32X1D": 2,
    "RAM32X1S": 1,
    "RAM32X2S": 2,
    "RAM32M": 4,
    "RAM32M16": 8,
    "RAM64X1D": 2,
    "RAM64X1S": 1,
    "RAM64M": 4,
    "RAM64M8": 8,
    "RAM128X1D": 4,
    "RAM128X1S": 2,
    "RAM256X1D": 8,
    "RAM256X1S": 4,
    "RAM512X1S": 8,
}
_WORTH = (
    (re.compile(r"LUT[1-6]|INV"), Counts(lut=1)),
    (re.compile(r"SRL(16|C16|C32)E?"), Counts(lut=1, srl=1)),
    (re.compile(r"FD[RSCP]E(_1)?"), Counts(ff=1)),
    (re.compile(r"RAMB36E[12]"), Counts(bram36=1.0)),
    (re.compile(r"RAMB18E[12]"), Counts(bram36=0.5)),
    (re.compile(r"DSP48E[12]"), Counts(dsp=1)),
    (re.compile(r"CARRY[48]"), Counts(carry=1)),
    (re.compile(r"URAM288(_BASE)?"), Counts(uram=1)),
    # Multiplexers between LUTs, constants and buffers: no LUT, flip-flop or block of their own.
    (re.compile(r"MUXF[789]|GND|VCC|BUFG.*|IBUF.*|OBUF.*|BUF"), Counts()),
)
_LATCH = re.compile(r"LD[CP]E(_1)?|\$_?DLATCH.*|\$_?SR_.*|\$_?dlatch.*")


def worth(kind: str) -> Counts | None:
    """What one cell uses; None when it is no known primitive."""
    if kind in _LUTRAM:
        return Counts(lut=_LUTRAM[kind], lutram=_LUTRAM[kind])
    return next((counts for pattern, counts in _WORTH if pattern.fullmatch(kind)), None)


def is_latch(kind: str) -> bool:
    """Whether a cell is a latch, as a primitive or as Yosys names it before mapping."""
    return _LATCH.fullmatch(kind) is not None
