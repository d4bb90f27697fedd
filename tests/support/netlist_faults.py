"""Broken cells of a netlist, drawn from a seed, and whether a cell leads to anything.

A look-up table is turned over, or the data of a flip-flop.
"""

from __future__ import annotations

import random
import re
import subprocess
from pathlib import Path

from design_faults import Fault

from qdeploy.build_folder import NETLIST_PATH
from qdeploy.design.manifest import Design
from qdeploy.sim.netlist_text import cell_sources

CELL = "cell"
_TABLE = re.compile(r"^  (LUT\d) #\(\n +\.INIT\((\d+)'h([0-9a-f]+)\)\n  \) (\S+) +\(\n", re.M)
_DATA = re.compile(r"^  (FD\w+) #\(\n[^;]*?\n  \) (\S+) +\(\n[^;]*?\.D\(([^\n]*)\),\n", re.M)


def draw_cell(build: Path, design: Design, chance: random.Random) -> Fault:
    """A broken cell of one layer's module in the netlist of a build."""
    text = (build / NETLIST_PATH).read_text(encoding="utf-8")
    layer = chance.choice(design.layers)
    start = text.index(f"module {layer.module}(")
    end = text.index("\nendmodule", start)
    kind = chance.choice((_TABLE, _DATA))
    cells = list(kind.finditer(text, start, end)) or list(_DATA.finditer(text, start, end))
    if not cells:  # wires only
        return draw_cell(build, design, chance)
    cell = chance.choice(cells)
    if cell.re is _TABLE:
        bits = int(cell[2])
        turned = f"{int(cell[3], 16) ^ ((1 << bits) - 1):x}"
        edited = text[: cell.start(3)] + turned + text[cell.end(3) :]
        what = f"{cell[1]} {cell[4]} turned over"
    else:
        edited = text[: cell.start(3)] + f"~{cell[3]}" + text[cell.end(3) :]
        what = f"data of {cell[1]} {cell[2]} turned over"
    return Fault(CELL, NETLIST_PATH.as_posix(), edited, layer.layer, f"{layer.module}: {what}")


def same_cells(good: str, broken: str, module: str, work: Path) -> bool:
    """Whether a module of two netlists gives the same at every port that is connected, from any
    state on: what leads to nothing is taken out, and of the rest Yosys proves by induction over
    cycles that every wire of one has the value of its like in the other."""
    kinds = set(re.findall(r"^  ([A-Z]\w+) (?:#\(|\S+ +\()$", good, re.M))
    script = [f"read_verilog -sv {' '.join(map(str, cell_sources(kinds)))}"]
    for side, text in (("gold", good), ("gate", broken)):
        start = text.index(f"module {module}(")
        own = text[start : text.index("\nendmodule", start)] + "\nendmodule\n"
        # How full a FIFO is, is read in simulation only.
        own = re.sub(r"^  output (?:\[\d+:0\] )?fill;\n", "", own, flags=re.M)
        own = own.replace(", fill,", ",").replace(f"module {module}(", f"module {side}(")
        (work / f"{side}.v").write_text(own, encoding="utf-8")
        script.append(f"read_verilog -sv {side}.v")
    script += [
        "hierarchy -check; proc; flatten gold gate; opt_clean -purge gold gate",
        "memory_map gold gate",
        "equiv_make gold gate both; hierarchy -top both; opt_clean",
        "equiv_simple -undef; equiv_induct -undef; equiv_status -assert",
    ]
    try:
        done = subprocess.run(
            ["yosys", "-Q", "-p", "; ".join(script)],
            cwd=work, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
