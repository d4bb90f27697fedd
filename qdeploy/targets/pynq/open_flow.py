"""The folder `open` of a package: synthesis for openXC7, for parts of the 7 series.

What is left out, shift registers in LUTs and DSP blocks, and why, is in the script itself,
`export/pynq/open/synth.sh.in`.
"""

from __future__ import annotations

import string
from pathlib import Path

from qdeploy.artifacts import write_text
from qdeploy.design.manifest import Design
from qdeploy.devices.boards import Board
from qdeploy.devices.xilinx_synthesis import (
    BRAM_HEADER,
    BRAM_MAP,
    BRAM_RIGHT,
    BRAM_WRONG,
    MEMORIES,
)
from qdeploy.resources import resource
from qdeploy.targets.pynq.shell import REGISTERS, SHELL

SCRIPT = "synth.sh"
FAMILY = "xc7"


def write_open_flow(folder: Path, design: Design, board: Board) -> None:
    """Write the folder, where openXC7 knows the family of the board's part."""
    if board.family != FAMILY:
        return
    folder.mkdir()
    template = string.Template(resource(f"export/pynq/open/{SCRIPT}.in").read_text("utf-8"))
    text = template.substitute(
        sources=" ".join([*design.sources, REGISTERS, SHELL]),
        bram_map=BRAM_MAP,
        bram_header=BRAM_HEADER,
        wrong=BRAM_WRONG,
        right=BRAM_RIGHT,
        memories=MEMORIES,
    )
    write_text(folder / SCRIPT, text)
