"""The Yosys commands for a Xilinx part: `synth_xilinx` with two of its mistakes fixed.

Both were found by simulating the netlist, in Yosys 0.23; neither changes what a design takes.
One more step does: ABC gives each flip-flop its own inverter of the reset, and `opt_merge` merges
them.

    xilinx_srl -fixed   makes shift registers of FDRE chains and drops their clock enable: it marks
                        them as having none (ENPOL 2). FDRE's enable is active high, which is
                        ENPOL 1. Therefore the step `map_luts` is given command by command.
    brams_xc6v_map.v    connects the upper parity bits of a 72-bit write where the width is 71,
                        which it never is: four bits of 72 are lost. Where the installed file has
                        that, memories are mapped with a corrected copy before `map_memory`.

For a small module most of the time goes to two files, whatever is in it; without them the same
comes out:

    brams_xc6v_map.v    reading it works out the contents of block RAMs that nothing has; in the
                        copy it does not, as memory_libmap always says of which kind a memory is.
    cells_xtra.v        1.4 MB of cells; of those, only block RAMs and DSPs are ever made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

BRAM_MAP, BRAM_HEADER = "brams_xc6v_map.v", "brams_defs.vh"
BRAM_WRONG, BRAM_RIGHT = "PORT_W_WIDTH == 71", "PORT_W_WIDTH == 72"
_FASTER = (
    ('parameter OPTION_MODE = "FULL";', 'parameter OPTION_MODE = "";'),
    (
        "end else begin\n\twire CAS_A, CAS_B;",
        'end else if (OPTION_MODE == "CASCADE") begin\n\twire CAS_A, CAS_B;',
    ),
)
CELLS = "cells_xtra.v"
_CELL = re.compile(
    r"^module (?:RAMB|URAM|DSP)\w+ \(\.\.\.\);$.*?^endmodule$", re.DOTALL | re.MULTILINE
)
_OPTIONS = "-flatten -noiopad -noclkbuf"
# What synth_xilinx gives memory_libmap for 7-series parts.
MEMORIES = (
    "memory_libmap -logic-cost-rom 0.015625 -lib +/xilinx/lutrams_xc5v.txt"
    " -lib +/xilinx/brams_xc4v.txt -D HAS_SIZE_36 -D HAS_CASCADE -D HAS_MIXWIDTH_SDP"
)


@dataclass(frozen=True)
class XilinxScript:
    """Yosys commands for one Xilinx family.

    Args:
        family: as `synth_xilinx` calls it.
        block_ram_map: whether its block RAMs are mapped with the file that is corrected here.
    """

    family: str
    block_ram_map: bool

    @property
    def summary(self) -> str:
        """The command in short, as `resources.json` names it."""
        return f"synth_xilinx -family {self.family} -flatten"

    def commands(self, module: str, share: Path, scratch: Path) -> list[str]:
        """Commands from the sources that were read to the netlist of `module`.

        Args:
            share: Yosys' folder of data files.
            scratch: folder for changed data files.
        """
        synth = f"synth_xilinx -family {self.family} {_OPTIONS} -top {module}"
        lines, start = [], "begin"
        if cells := _few_cells(share, scratch):
            lines += ["read_verilog -lib -specify +/xilinx/cells_sim.v"]
            lines += [f"read_verilog -lib {cells}", f"hierarchy -check -top {module}"]
            start = "prepare"
        fixed = _fixed_map(share, scratch) if self.block_ram_map else None
        if fixed is not None:
            lines += [
                f"{synth} -run {start}:map_memory",
                MEMORIES,
                "techmap -map +/xilinx/lutrams_xc5v_map.v",
                f"techmap -map {fixed}",
            ]
            start = "map_ffram"
        return [
            *lines,
            f"{synth} -run {start}:map_luts",
            "opt_expr -mux_undef -noclkinv",
            "abc -luts 2:2,3,6:5,10,20",
            "opt_merge",
            "clean",
            "techmap -map +/xilinx/ff_map.v",
            "xilinx_srl -fixed -minlen 3",
            "setparam -set ENPOL 1 t:$__XILINX_SHREG_",
            "techmap -map +/xilinx/lut_map.v -map +/xilinx/cells_map.v -D LUT_WIDTH=6",
            "xilinx_dffopt",
            "opt_lut_ins -tech xilinx",
            f"{synth} -run finalize:",
        ]


def _fixed_map(share: Path, scratch: Path) -> Path | None:
    """A corrected copy of the block RAM map, None where the installed one needs none."""
    folder = share / "xilinx"
    try:
        text = (folder / BRAM_MAP).read_text(encoding="utf-8")
        header = (folder / BRAM_HEADER).read_text(encoding="utf-8")
    except OSError:
        return None
    if BRAM_WRONG not in text:
        return None
    (scratch / BRAM_HEADER).write_text(header, encoding="utf-8")
    for old, new in ((BRAM_WRONG, BRAM_RIGHT), *_FASTER):
        text = text.replace(old, new)
    (scratch / BRAM_MAP).write_text(text, encoding="utf-8")
    return scratch / BRAM_MAP


def _few_cells(share: Path, scratch: Path) -> Path | None:
    """Those of Yosys' further cells that are made here, None where its file is another one."""
    try:
        text = (share / "xilinx" / CELLS).read_text(encoding="utf-8")
    except OSError:
        return None
    found = _CELL.findall(text)
    if not found:
        return None
    (scratch / CELLS).write_text("\n".join(found) + "\n", encoding="utf-8")
    return scratch / CELLS
