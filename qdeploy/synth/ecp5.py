"""Yosys commands for a Lattice ECP5: what place and route at hand can take.

The boards' own parts cannot be placed and routed with tools that come with a package registry;
an ECP5 of the slowest speed grade (40 nm, four-input tables) is slower than a Zynq-7000's fabric
(28 nm, six-input tables), so a clock it reaches is a conservative stand-in.
"""

from __future__ import annotations

DEVICE = ("--85k", "--speed", "6", "--package", "CABGA381")


def commands(top: str, netlist: str, *, dsp: bool) -> list[str]:
    """Commands from the sources that were read to the netlist `netlist` in JSON.

    Args:
        dsp: let multiplications become MULT18X18D; they are tables otherwise.
    """
    options = "-abc9" + ("" if dsp else " -nodsp")
    return [f"synth_ecp5 {options} -top {top} -json {netlist}", "check -assert"]
