"""The longest paths of a netlist by the delays of its cells, without placement: Yosys' `sta`.

Each layer's module by itself, then the flattened design, in which a path may cross layers. A net
that is routed adds the same time everywhere, so that the longest path is not the one of the slowest
cells only; `routed_delay.py` says how long, and what the clock after routing is likely to be. Where
a path begins at a port of the layer, or ends at one, it counts from there: the flattened design has
the rest of it.

The upper half of a 72-bit block RAM has no delay in Yosys' library; its lower half has the same
one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from qdeploy.devices.families import CellTimes
from qdeploy.errors import ToolFailedError
from qdeploy.scratch import scratch_folder
from qdeploy.synth.program import run_script, share_folder

_HEAD = re.compile(r"^Latest arrival time in '(?P<module>[^']+)' is (?P<ps>\d+):$")
_STEP = re.compile(r"^ +(?P<ps>\d+) (?P<cell>\S+) \((?P<kind>[^.()]+)\.(?P<pin>[^->()]+)")
_MODULE = re.compile(r"^module (?P<name>\w+)")
_ARC = re.compile(
    r"(?P<before>\(\s*(?P<pin>\w+)(\s*\[\d+\])?\s*[=*]>[^)]*\)\s*=\s*)(?P<ps>\d+)(?P<after>\s*;)"
)
_SETUP = re.compile(
    r"(?P<before>\$setup\(\s*(?P<pin>\w+)\s*,.*,\s*(/\*[^*]*\*/)?\s*)(?P<ps>\d+)(?P<after>\s*\)\s*;)"
)
# A path starts at one of these: the clock's net is none of its own.
_CLOCKS = frozenset(("C", "CLK", "WCLK", "CLKARDCLK", "CLKBWRCLK"))
_TIMEOUT_S = 600.0


@dataclass(frozen=True)
class CellPath:
    """The longest path of a module.

    Args:
        module: as the netlist calls it.
        total_ns: delay of its cells and nets.
        hops: nets in it that are routed.
        steps: from its start to its end, one per cell: arrival in ns, cell, kind and pin.
    """

    module: str
    total_ns: float
    hops: int
    steps: tuple[str, ...]


def longest_paths(
    netlists: Sequence[Path],
    top: str,
    times: CellTimes,
    net_ns: float,
    log: Path,
    *,
    timeout_s: float = _TIMEOUT_S,
) -> dict[str, CellPath]:
    """The longest path of each module of a netlist, `top` being the flattened design.

    Args:
        netlists: Verilog of primitives whose modules, `top` aside, are flat.
        net_ns: what a routed net takes.
        log: gets what Yosys prints.
        timeout_s: seconds that Yosys may take.

    Returns:
        Module -> path; modules without a path between cells with delays are left out.

    Raises:
        ToolMissingError: there is no Yosys.
        ToolFailedError: it fails, or has no static timing analysis.
    """
    with scratch_folder("sta") as scratch:
        near = [os.path.relpath(one.resolve(), scratch.resolve()) for one in netlists]
        try:
            cells = times.verilog(share_folder())
        except OSError as error:
            raise ToolFailedError(
                "Yosys' library of cells with their delays cannot be read",
                where=str(share_folder()),
                why=str(error),
            ) from error
        text = with_nets(cells, round(net_ns * 1e3), times.dedicated)
        (scratch / "cells.v").write_text(text, encoding="utf-8")
        script = [
            f"read_verilog -lib -specify {scratch}/cells.v",
            *(f'read_verilog "{one}"' for one in near),
            f"hierarchy -check -top {top}",
            "design -save all",
            "sta",
            "design -load all",
            "flatten",
            "sta",
        ]
        said = run_script(script, scratch, scratch, log, timeout_s)
    return read_paths(said, times.dedicated)


def with_nets(cells: str, net_ps: int, dedicated: Collection[str]) -> str:
    """A library of cells whose delays and setup times hold the net in front of each pin too.

    Args:
        cells: Verilog with `specify` blocks; delays that are no number stay as they are.
        dedicated: pins, as `KIND.PIN`, in front of which there is no routing.
    """
    module, lines = "", []

    def longer(found: re.Match[str]) -> str:
        if f"{module}.{found['pin']}" in dedicated:
            return found[0]
        return f"{found['before']}{int(found['ps']) + net_ps}{found['after']}"

    for line in cells.splitlines():
        head = _MODULE.match(line)
        module = module if head is None else head["name"]
        lines.append(_SETUP.sub(longer, _ARC.sub(longer, line)))
    return "\n".join(lines) + "\n"


def read_paths(said: str, dedicated: Collection[str]) -> dict[str, CellPath]:
    """The paths in what `sta` printed; of a module that comes twice the second, flattened one.

    Args:
        dedicated: pins, as `KIND.PIN`, in front of which there is no routing.
    """
    found: dict[str, CellPath] = {}
    lines = iter(said.splitlines())
    for line in lines:
        head = _HEAD.match(line)
        if head is None:
            continue
        steps, hops = [], 0
        for step in lines:
            if step.startswith("Arrival histogram"):
                break
            match = _STEP.match(step)
            if match is None:
                continue
            # Backwards from the end; the last line is the clock, which is no cell.
            pin = f"{match['kind']}.{match['pin']}"
            clocked = match["pin"] in _CLOCKS
            hops += not clocked and pin not in dedicated
            steps.append(f"{int(match['ps']) / 1e3:.2f} {match['cell']} {pin}")
        module = head["module"]
        found[module] = CellPath(module, int(head["ps"]) / 1e3, hops, tuple(reversed(steps)))
    return found
