"""Delays of Xilinx 7-series cells, for Yosys' static timing analysis.

They are those of Yosys' own cell library, which has them from Project X-Ray's timing database for
Artix-7; a xc7z020 has the same fabric. Clock-to-out in ns there, and in AMD's data sheet of the
family's Spartan-7 for speed grade -1 (TRCKO_DO and TRCKO_DO_REG in DS189 v1.10, table 30):

    block RAM, read register only     2.454   2.46
    block RAM, with output register   0.882   0.89
    DSP48E1, PREG                     0.329
    DSP48E1, MREG                     1.671
    DSP48E1, AREG                     2.952

Yosys does not look at the conditions of delays: a block RAM's output register, which its own
synthesis never uses, would not shorten a path.
"""

from __future__ import annotations

from pathlib import Path

LIBRARY = "xilinx/cells_sim.v"
# Pins that only the cell beside drives: a carry chain, its LUTs, the LUTs of a multiplexer, and the
# LUT in front of a flip-flop. No net leads through the routing to them.
DEDICATED = frozenset(
    (
        *(f"CARRY4.{pin}" for pin in ("CI", "S", "DI")),
        *(f"{cell}.{pin}" for cell in ("MUXF7", "MUXF8") for pin in ("I0", "I1")),
        *(f"{cell}.D" for cell in ("FDRE", "FDSE", "FDCE", "FDPE")),
    )
)


def cells(share: Path) -> str:
    """Verilog of the cells with their delays in ps.

    Args:
        share: Yosys' folder of data files.

    Raises:
        OSError: the library cannot be read.
    """
    return (share / LIBRARY).read_text(encoding="utf-8")
