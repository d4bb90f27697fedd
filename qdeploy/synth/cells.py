"""What one Xilinx primitive costs, in the units Vivado's utilization report uses.

Vivado's "Slice LUTs" (7 series) and "CLB LUTs" (UltraScale+) count LUTs as logic plus LUTs as
memory, the latter being distributed RAM and shift registers; so does `Counts.lut`. An inverter is
a LUT1 there. Two small LUTs that could share a site are counted as two: Vivado often packs them,
so this is an upper bound of what it will report.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from qdeploy.errors import ToolFailedError

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
_LUT = re.compile(r"LUT[1-6]|INV")
_SRL = re.compile(r"SRL(16|C16|C32)E?")
_FF = re.compile(r"FD[RSCP]E(_1)?")
_BRAM18 = re.compile(r"RAMB18E[12]")
_BRAM36 = re.compile(r"RAMB36E[12]")
_DSP = re.compile(r"DSP48E[12]")
_CARRY = re.compile(r"CARRY[48]")
_URAM = re.compile(r"URAM288(_BASE)?")
_LATCH = re.compile(r"LD[CP]E(_1)?|\$_?DLATCH.*|\$_?SR_.*|\$_?dlatch.*")
# Multiplexers between LUTs, constants and buffers: no LUT, flip-flop or block of their own.
_FREE = re.compile(r"MUXF[789]|GND|VCC|BUFG.*|IBUF.*|OBUF.*|BUF")


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


def count(cells: Mapping[str, int], module: str, submodules: Iterable[str] = ()) -> Counts:
    """Add up the primitives of a flattened module.

    Args:
        cells: how many cells of each type it has.
        module: its name, for messages.
        submodules: cell types that are modules of the design, counted elsewhere.

    Raises:
        ToolFailedError: when there is a latch, or a cell that is no known primitive: then the
            figures would be wrong without anybody noticing.
    """
    skip = set(submodules)
    total = Counts()
    for kind, number in cells.items():
        if kind in skip or _FREE.fullmatch(kind):
            continue
        if _LATCH.fullmatch(kind):
            raise ToolFailedError(
                f"synthesis inferred {number} latch(es) ({kind}) in `{module}`",
                why="a latch means a combinational block that does not assign in every case",
                do="report it: qdeploy's hardware has no latches on purpose",
            )
        total += _one(kind, module) * number
    return total


def _one(kind: str, module: str) -> Counts:
    if _LUT.fullmatch(kind):
        return Counts(lut=1)
    if kind in _LUTRAM:
        return Counts(lut=_LUTRAM[kind], lutram=_LUTRAM[kind])
    if _SRL.fullmatch(kind):
        return Counts(lut=1, srl=1)
    if _FF.fullmatch(kind):
        return Counts(ff=1)
    if _BRAM36.fullmatch(kind):
        return Counts(bram36=1.0)
    if _BRAM18.fullmatch(kind):
        return Counts(bram36=0.5)
    if _DSP.fullmatch(kind):
        return Counts(dsp=1)
    if _CARRY.fullmatch(kind):
        return Counts(carry=1)
    if _URAM.fullmatch(kind):
        return Counts(uram=1)
    raise ToolFailedError(
        f"synthesis left a cell of unknown kind `{kind}` in `{module}`",
        why="it is neither a Xilinx primitive nor a module of the design",
        do="report it with the log of the synthesis",
    )
