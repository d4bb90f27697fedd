"""The c rung: the C sources of a build, compiled for this machine, every boundary compared.

Twice: optimized, on all frames; and with gcc's address and undefined-behaviour sanitizers, on as
many of them as take seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from qdeploy.artifacts import write_text
from qdeploy.bounded import read_json
from qdeploy.build_folder import C_FOLDER, C_PLAN_PATH
from qdeploy.codegen.c.program import Program, program_of
from qdeploy.codegen.c.taps import input_bytes, tapped, taps_header
from qdeploy.errors import ToolFailedError, UserError, VerificationError
from qdeploy.ir.integer_graph import Conv, Dense, IntArray
from qdeploy.resources import resource
from qdeploy.scratch import scratch_folder
from qdeploy.tools import find_tool, run_tool
from qdeploy.verify.compare import Comparison, compare
from qdeploy.verify.inputs import LadderInputs, Reference
from qdeploy.verify.results import RungResult
from qdeploy.verify.rungs.base import Rung, exact_result

STANDARD = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror")
_SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
# Multiply-accumulates of the sanitized build.
_MOST_MACS = 400_000_000
# Bytes of taps that are compared at a time.
_CHUNK = 1 << 24
_SECONDS = 900.0


class CRung(Rung):
    """What a build without target `c` lacks."""

    name = "c"
    needs = (C_FOLDER,)

    def run(self, inputs: LadderInputs, reference: Reference, *, required: bool) -> RungResult:
        find_tool("gcc")
        program, frames = program_of(inputs.graph), inputs.frames
        prefix, _ = choices_of(inputs.folder)
        sanitized = max(1, min(len(frames), _MOST_MACS // max(1, macs_of(program))))
        with scratch_folder("c") as folder:
            write_text(folder / "taps.h", taps_header(program, prefix))
            parts = []
            for name, flags, count in (
                ("sanitized", _SANITIZED, sanitized),
                ("optimized", ("-O2",), len(frames)),
            ):
                binary = _compiled(inputs.folder / C_FOLDER, folder, name, flags)
                parts.append(_compared(program, binary, frames[:count], reference))
        total = merged(parts)
        details = {"sanitized_frames": sanitized, "builds": ["-fsanitize", "-O2"]}
        return replace(exact_result(self.name, total, details), frames=len(frames))


def choices_of(folder: Path) -> tuple[str, str]:
    """What the names of a build's C sources begin with, and the core that they are for.

    Raises:
        UserError: its plan cannot be read.
    """
    try:
        plan = read_json(folder / C_PLAN_PATH)
        return str(plan["prefix"]), str(plan["mcu"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            "the plan of the C sources cannot be read",
            where=str(folder / C_PLAN_PATH),
            why=str(error),
            do="run `qdeploy export` again",
        ) from error


def macs_of(program: Program) -> int:
    """Multiply-accumulates per frame."""
    found = 0
    for step in program.steps:
        if isinstance(step.node, Conv | Dense):
            found += step.node.weights.size * step.result.pixels
    return found


def merged(parts: Sequence[Comparison]) -> Comparison:
    """Several comparisons of the same boundaries as one; frames are those of the longest."""
    return Comparison(
        max(part.frames for part in parts),
        parts[0].boundaries,
        sum(part.codes for part in parts),
        sum(part.mismatches for part in parts),
        tuple(one for part in parts for one in part.found)[: Comparison.LIMIT],
    )


def _compiled(sources: Path, folder: Path, name: str, flags: Sequence[str]) -> Path:
    binary = folder / name
    command: list[str | Path] = [
        "gcc",
        *STANDARD,
        *flags,
        *("-I", str(folder), "-I", str(sources)),
        *(str(resource("export/c/checks/host.c")), str(sources / "weights.c")),
        *("-o", str(binary)),
    ]
    try:
        run_tool(command, folder, folder / f"{name}.log", _SECONDS)
    except ToolFailedError as error:
        raise VerificationError(
            "the C sources do not compile", where=str(sources), why=error.why
        ) from error
    return binary


def _compared(program: Program, binary: Path, frames: IntArray, reference: Reference) -> Comparison:
    """Run frames and compare them, a few at a time."""
    names = program.graph.boundaries()
    step = max(1, _CHUNK // sum(one.result.bytes for one in program.steps))
    parts = []
    for first in range(0, len(frames), step):
        part = frames[first : first + step]
        found = compare(
            names,
            {name: reference[name][first : first + step] for name in names},
            _run(program, binary, part),
        )
        moved = tuple(replace(one, frame=one.frame + first) for one in found.found)
        parts.append(replace(found, found=moved))
    return merged(parts)


def _run(program: Program, binary: Path, frames: IntArray) -> dict[str, IntArray]:
    folder = binary.parent
    given, taken = folder / "frames.bin", folder / "taps.bin"
    given.write_bytes(input_bytes(program, frames))
    try:
        run_tool([binary, given, taken], folder, folder / "run.log", _SECONDS)
        return tapped(program, taken.read_bytes(), len(frames))
    except (ToolFailedError, ValueError) as error:
        raise VerificationError(
            f"the C sources fail when they run ({binary.name} build)",
            why=getattr(error, "why", None) or str(error),
            do="report this: no frame should make them",
        ) from error
