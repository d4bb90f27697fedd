"""The c rung: the C sources of a build, compiled for this machine, every boundary compared.

Optimized, on all frames; with gcc's address and undefined-behaviour sanitizers, on as many of them
as take seconds; and for this processor where no core is named. The first takes the kernels for
cores with 64-bit sums, the second those for others, the third those with vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from qdeploy.build_folder import C_FOLDER
from qdeploy.codegen.c.program import Program
from qdeploy.ir.integer_graph import Conv, Dense, IntArray
from qdeploy.observer import Meter
from qdeploy.scratch import scratch_folder
from qdeploy.verify.compare import Comparison, compare
from qdeploy.verify.inputs import LadderInputs, Reference
from qdeploy.verify.native_c import NATIVE, OPTIMIZED, compile_native, program_in, run_native
from qdeploy.verify.results import RungResult
from qdeploy.verify.rungs.base import Rung, exact_result

_SANITIZED = (
    "-DQD_WIDE=0",
    "-O1",
    "-g",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
)
# Multiply-accumulates of the sanitized build.
_MOST_MACS = 400_000_000
# Bytes of taps that are compared at a time.
_CHUNK = 1 << 24


class CRung(Rung):
    """What a build without target `c` lacks."""

    name = "c"
    needs = (C_FOLDER,)

    def run(self, inputs: LadderInputs, reference: Reference, *, required: bool) -> RungResult:
        program, frames = program_in(inputs.folder, inputs.graph), inputs.frames
        sanitized = max(1, min(len(frames), _MOST_MACS // max(1, macs_of(program))))
        with scratch_folder("c") as folder:
            parts = []
            builds = [("sanitized", _SANITIZED, sanitized), ("optimized", OPTIMIZED, len(frames))]
            if program.choices.vector:
                builds.append(("native", NATIVE, len(frames)))
            for name, flags, count in builds:
                binary = compile_native(program, inputs.folder / C_FOLDER, folder, name, flags)
                with inputs.observer.meter(f"{name} build", count, "frames") as bar:
                    parts.append(_compared(program, binary, frames[:count], reference, bar))
        total = merged(parts)
        names = ["-fsanitize", "-O2", *(["-march=native"] if program.choices.vector else [])]
        details = {"sanitized_frames": sanitized, "builds": names}
        return replace(exact_result(self.name, total, details), frames=len(frames))


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


def _compared(
    program: Program, binary: Path, frames: IntArray, reference: Reference, bar: Meter
) -> Comparison:
    """Run frames and compare them, a few at a time."""
    names = program.graph.boundaries()
    step = max(1, _CHUNK // sum(one.bytes for one in program.written))
    parts = []
    for first in range(0, len(frames), step):
        part = frames[first : first + step]
        found = compare(
            names,
            {name: reference[name][first : first + step] for name in names},
            run_native(program, binary, part),
        )
        moved = tuple(replace(one, frame=one.frame + first) for one in found.found)
        parts.append(replace(found, found=moved))
        bar.advance(len(part))
    return merged(parts)
