"""The c-arm and c-riscv rungs: the C sources on a bare core under QEMU, every boundary compared.

Besides, what is measured there: instructions of a frame (not cycles), stack by painting it, and
from the linker's map flash of the network with what it needs of the compiler's own library, its
static RAM, and the arena.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qdeploy.artifacts import write_text
from qdeploy.build_folder import C_FOLDER
from qdeploy.codegen.c.cores import CORES, Core, load_core
from qdeploy.codegen.c.plan import check_measured
from qdeploy.codegen.c.program import Program
from qdeploy.codegen.c.taps import input_bytes, tapped, taps_header
from qdeploy.errors import ToolFailedError, VerificationError
from qdeploy.ir.integer_graph import IntArray
from qdeploy.resources import resource
from qdeploy.scratch import scratch_folder
from qdeploy.tools import find_tool, run_tool
from qdeploy.verify.compare import compare
from qdeploy.verify.inputs import LadderInputs, Reference
from qdeploy.verify.map_file import FLASH, RAM, array_bytes, section_bytes
from qdeploy.verify.narrow import Narrow
from qdeploy.verify.native_c import STANDARD, budgets_in, choices_of, program_in
from qdeploy.verify.results import RungResult
from qdeploy.verify.rungs.base import Rung, exact_result
from qdeploy.verify.rungs.c import macs_of

FRAMES = 20
CHECKS = "export/c/checks"
# QEMU's clock follows the instructions.
COUNTED = ("-icount", "shift=0")
# Instructions of a tick of SysTick on the MPS2 machines: 1 ns each, 25 MHz.
_PER_TICK = 40
# Multiply-accumulates of a frame whose instructions surely fit 24 bits of them.
_MOST_MACS = 30_000_000
_SECONDS = 600.0
# No libraries but the compiler's own, with its knowledge of memcpy.
BARE = ("-ffreestanding", "-fbuiltin", "-nostdlib", "-ffunction-sections", "-fdata-sections")
OPTIMIZED = ("-O3", "-fno-tree-loop-distribute-patterns")
SMALL = ("-Os", "-fno-tree-loop-distribute-patterns")


@dataclass(frozen=True)
class Measured:
    """What a core takes for a frame.

    Args:
        instructions: as QEMU counts them; None where SysTick may have gone round.
        stack: bytes.
        flash: bytes of code and constants.
        static: bytes of RAM that the network has of its own.
        arena: bytes.
        steps: instructions of each step, with those of counting them; None as above.
    """

    instructions: int | None
    stack: int
    flash: int
    static: int
    arena: int
    steps: tuple[int, ...] | None


def run_bare(
    program: Program, sources: Path, prefix: str, core: Core, frames: IntArray
) -> tuple[dict[str, Narrow], Measured]:
    """Run frames on a core.

    Returns:
        Codes of every boundary, and what was measured with the last frame.

    Raises:
        ToolMissingError: compiler or QEMU are not installed.
        VerificationError: the sources do not compile, or fail when they run.
    """
    compiler = find_tool(f"{core.compiler}gcc")
    emulator = find_tool(core.emulator)
    with scratch_folder("bare") as folder:
        write_text(folder / "taps.h", taps_header(program, prefix))
        (folder / "frames.bin").write_bytes(input_bytes(program, frames))
        try:
            flags = flags_of(program, core)
            elf = link_bare(compiler, core, flags, sources, folder)
            flash, static = _linked_alone(compiler, flags, sources, folder, prefix)
            arena = array_bytes((folder / "check.map").read_text(encoding="utf-8"), "arena")
            run_tool(
                [emulator, *core.machine_arguments, *COUNTED, "-kernel", elf],
                folder,
                folder / "log",
                _SECONDS,
            )
            taps = (folder / "taps.bin").read_bytes()
            figures = (folder / "figures.bin").read_bytes()
            (count, stack), marks = struct.unpack_from("<2I", figures), _marks(figures, program)
            found = tapped(program, taps, len(frames))
        except (ToolFailedError, OSError, ValueError, struct.error) as error:
            raise VerificationError(
                f"the C sources fail on {core.name}",
                where=str(sources),
                why=getattr(error, "why", None) or str(error),
            ) from error
    if core.emulator != "qemu-system-arm":
        return found, Measured(count, stack, flash, static, arena, marks)
    if macs_of(program) >= _MOST_MACS:
        return found, Measured(None, stack, flash, static, arena, None)
    steps = tuple(mark * _PER_TICK for mark in marks)
    return found, Measured(count * _PER_TICK, stack, flash, static, arena, steps)


def _marks(figures: bytes, program: Program) -> tuple[int, ...]:
    """Of each step, by how much the counter went on."""
    marks = dict(zip(program.written, struct.iter_unpack("<I", figures[8:]), strict=True))
    found = []
    for step in program.steps:
        written = [*([] if step.fused is None else step.fused.held), step.result]
        found.append(sum(marks[one][0] for one in written))
    return tuple(found)


class _BareRung(Rung):
    needs = (C_FOLDER,)
    emulator = ""
    family = ""

    def absent(self, inputs: LadderInputs) -> str | None:
        if choices_of(inputs.folder)[1] in self._cores():
            return None
        return f"--mcu names no {self.family} core: {', '.join(self._cores())}"

    def run(self, inputs: LadderInputs, reference: Reference, *, required: bool) -> RungResult:
        prefix, mcu = choices_of(inputs.folder)
        program, frames = program_in(inputs.folder, inputs.graph), inputs.frames[:FRAMES]
        core = load_core(mcu)
        found, measured = run_bare(program, inputs.folder / C_FOLDER, prefix, core, frames)
        expected = {name: codes[: len(frames)] for name, codes in reference.items()}
        total = compare(inputs.graph.boundaries(), expected, found)
        result, count = exact_result(self.name, total), measured.instructions
        buffers = measured.arena + program.source.bytes + program.result.bytes
        ram = buffers + measured.static + measured.stack
        if total.first is None:
            budgets = budgets_in(inputs.folder)
            check_measured(program, budgets, core.name, measured.flash, ram)
        return replace(
            result,
            details={
                "core": core.name,
                "instructions_per_frame": count,
                "instructions_by_step": measured.steps and list(measured.steps),
                "macs_per_instruction": count and round(macs_of(program) / count, 3),
                "flash_bytes": measured.flash,
                "arena_bytes": measured.arena,
                "static_bytes": measured.static,
                "stack_bytes": measured.stack,
                "ram_bytes": ram,
            },
        )

    def _cores(self) -> list[str]:
        return [core.name for core in CORES.values() if core.emulator == self.emulator]


class ArmRung(_BareRung):
    """Cortex-M."""

    name = "c-arm"
    emulator = "qemu-system-arm"
    family = "Cortex-M"


class RiscvRung(_BareRung):
    """RISC-V of 32 bits."""

    name = "c-riscv"
    emulator = "qemu-system-riscv32"
    family = "RISC-V"


def flags_of(program: Program, core: Core) -> tuple[str, ...]:
    """Of the compiler."""
    return (*core.flags, *(SMALL if program.choices.size else OPTIMIZED))


def link_bare(
    compiler: Path, core: Core, flags: Sequence[str], sources: Path, folder: Path
) -> Path:
    """The program with its taps, as `check.elf` with its map."""
    checks, elf = resource(CHECKS), folder / "check.elf"
    script = checks / ("arm.ld" if core.emulator == "qemu-system-arm" else "riscv.ld")
    command = [
        *(str(compiler), *flags, "-std=gnu99", "-Wall", "-Werror", *BARE),
        *("-I", str(folder), "-I", str(sources), "-I", str(checks / "include")),
        *(str(checks / "bare.c"), str(checks / "memory.c"), str(sources / "weights.c")),
        *("-T", str(script), "-Wl,--gc-sections", f"-Wl,-Map={folder / 'check.map'}"),
        *("-lgcc", "-o", str(elf)),
    ]
    run_tool(command, folder, folder / "link.log", _SECONDS)
    return elf


def _linked_alone(
    compiler: Path, flags: Sequence[str], sources: Path, folder: Path, prefix: str
) -> tuple[int, int]:
    """Bytes of flash and of static RAM of the network alone, as it is linked into a program."""
    checks, elf, found = resource(CHECKS), folder / "network.elf", folder / "network.map"
    command = [
        *(str(compiler), *flags, *STANDARD, *BARE),
        *("-I", str(checks / "include"), str(sources / "network.c"), str(sources / "weights.c")),
        *(str(checks / "memory.c"), "-Wl,--gc-sections", f"-Wl,-e,{prefix}_run", "-lgcc"),
        *(f"-Wl,-Map={found}", "-o", str(elf)),
    ]
    run_tool(command, folder, folder / "network.log", _SECONDS)
    text = found.read_text(encoding="utf-8")
    return section_bytes(text, FLASH), section_bytes(text, RAM)
