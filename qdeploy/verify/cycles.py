"""An estimate of cycles: instructions that QEMU runs, times what the core's manual gives for each.

No measurement: no wait states of flash, no pipelining of neighbouring loads, a branch that is taken
refills the pipeline in `refill` cycles. Cycles of a class of instructions, N registers moved:

                        Cortex-M0+          Cortex-M4
    arithmetic, moves   1                   1
    multiplications     1 (fast option)     1 (with and without accumulation, 32 and 64 bits)
    divisions           -                   12 (2 to 12)
    loads, stores       2                   2
    of N registers      1 + N               1 + N
    branches            1, taken 2; bl 3    1, taken 1 + refill
    to the pc by pop    3 + N               1 + N + refill

Sources: Arm Cortex-M0+ Technical Reference Manual, DDI 0484C, table 3-1; Arm Cortex-M4 Technical
Reference Manual, DDI 0439B, table 3-1, where the refill takes 1 to 3 cycles, here 2.

What of the M4's table was compared with a text of it: moves, arithmetic, all multiplications,
divisions and the refill, with Arm's page of that table for r0p1 (100166_0001_00, 3.3.1) and its
reprint for TI's M4F (SWCU192, table 3-25), of which no more could be had; both agree.
The rows of loads, stores and branches were compared with table 3-1 of the Cortex-M3 (100165_0201),
a core of the same pipeline, whose multiplications differ. TI's reprint adds that a store at a
constant offset takes one cycle and that loads after one another take one less each; the estimate
has two for each, and so is above a core without wait states there.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from qdeploy.artifacts import write_text
from qdeploy.codegen.c.cores import Core
from qdeploy.codegen.c.program import Program
from qdeploy.codegen.c.taps import input_bytes, taps_header
from qdeploy.ir.integer_graph import IntArray
from qdeploy.scratch import scratch_folder
from qdeploy.tools import find_tool
from qdeploy.verify.rungs.c_bare import flags_of, link_bare

CORES = ("cortex-m0plus", "cortex-m4")
_REFILL = 2
_INSTRUCTION = re.compile(r"^0x([0-9a-f]+):\s+([0-9a-f ]+?)\s{2,}(\S+)\s*(.*)$")
_TRACE = re.compile(r"^Trace \d+: \S+ \[[^/]*/([0-9a-f]+)/[^\]]*\] ?(\S*)")
_MOVED = ("ldr", "str")
_MANY = ("ldm", "stm", "push", "pop")
_CONDITIONS = r"(?:eq|ne|cs|hs|cc|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)?"
_BRANCH = re.compile(rf"^(?:b{_CONDITIONS}|bl|bx|blx|cbz|cbnz)(?:\.[nw])?$")


def estimated_cycles(
    program: Program, sources: Path, prefix: str, core: Core, frames: IntArray
) -> tuple[int, int]:
    """Instructions of a frame, and the estimate of its cycles.

    Args:
        core: one of `CORES`.
        frames: the last one is estimated.

    Raises:
        ToolMissingError: compiler or QEMU are not installed.
    """
    compiler, emulator = find_tool(f"{core.compiler}gcc"), find_tool(core.emulator)
    with scratch_folder("cycles") as folder:
        write_text(folder / "taps.h", taps_header(program, prefix))
        (folder / "frames.bin").write_bytes(input_bytes(program, frames[-1:]))
        elf = link_bare(compiler, core, flags_of(program, core), sources, folder)
        log = folder / "log"
        os.mkfifo(log)
        command = [
            str(emulator),
            *core.machine_arguments,
            "-d",
            "exec,in_asm,nochain",
            "-D",
            str(log),
        ]
        with subprocess.Popen([*command, "-kernel", str(elf)], cwd=folder) as process:
            with log.open(encoding="utf-8", errors="replace") as lines:
                found = cycles_of_log(lines, core.name)
            process.wait()
    return found


def cycles_of_log(lines: Iterable[str], core: str) -> tuple[int, int]:
    """Instructions and cycles of the second call of `run` in QEMU's log, which writes no taps."""
    blocks: dict[int, list[tuple[int, str, str]]] = {}
    block: list[tuple[int, str, str]] = []
    runs: Counter[tuple[int, bool]] = Counter()
    calls, last, inside, name_before = 0, -1, False, ""
    for line in lines:
        if (match := _INSTRUCTION.match(line)) is not None:
            place, code, mnemonic, operands = match.groups()
            size = len(code.replace(" ", "")) // 2
            block.append((int(place, 16) + size, mnemonic, operands))
            if len(block) == 1:
                blocks[int(place, 16)] = block
            continue
        block = []
        if (trace := _TRACE.match(line)) is None:
            continue
        place, name = int(trace[1], 16), trace[2]
        if last >= 0 and inside:
            runs[last, place != blocks[last][-1][0]] += 1
        calls += name == "run" and name_before in ("start", "check")
        inside = calls == 2 and name not in ("start", "check")
        last, name_before = place, name
    instructions = cycles = 0
    for (first, taken), count in runs.items():
        instructions += count * len(blocks[first])
        for number, (_, mnemonic, operands) in enumerate(blocks[first]):
            jumps = taken and number == len(blocks[first]) - 1
            cycles += count * cycles_of(mnemonic, operands, core, jumps=jumps)
    return instructions, cycles


def cycles_of(mnemonic: str, operands: str, core: str, *, jumps: bool) -> int:
    """Cycles of an instruction; `jumps`: the next one is elsewhere."""
    small, jump = core == "cortex-m0plus", _REFILL if jumps else 0
    if mnemonic.startswith(_MANY) or mnemonic.startswith(("ldrd", "strd")):
        if mnemonic.startswith(("ldrd", "strd")):
            return 3
        moved = sum(_registers(one) for one in re.findall(r"\{([^}]*)\}", operands))
        return 1 + moved + jump
    if mnemonic.startswith(_MOVED):
        return 2 + jump
    if mnemonic.startswith(("sdiv", "udiv")):
        return 12
    if _BRANCH.match(mnemonic):
        if small and mnemonic.startswith("bl") and not mnemonic.startswith(("bls", "blt", "ble")):
            return 2 if mnemonic.startswith("blx") else 3
        return (2 if jumps else 1) if small else 1 + jump
    return 1 + jump


def _registers(text: str) -> int:
    """How many registers a list such as `r4-r7, lr` names."""
    found = 0
    for part in (one.strip() for one in text.split(",")):
        low, dash, high = part.partition("-")
        found += int(high.strip()[1:]) - int(low.strip()[1:]) + 1 if dash else 1
    return found
