"""The c rung: the C sources of a build, compiled for this machine, every boundary compared.

Optimized, on all frames; with gcc's address and undefined-behaviour sanitizers, on as many of them
as take seconds; and for this processor where no core is named. The first takes the kernels for
cores with 64-bit sums, the second those for others, the third those with vectors.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from qdeploy.build_folder import C_FOLDER
from qdeploy.codegen.c.program import Program
from qdeploy.errors import UserError
from qdeploy.ir.integer_graph import Conv, Dense, IntArray
from qdeploy.observer import Meter
from qdeploy.scratch import scratch_folder
from qdeploy.supervised import in_parallel
from qdeploy.verify.compare import Comparison, compare, from_frame, merged
from qdeploy.verify.inputs import LadderInputs, Reference
from qdeploy.verify.native_c import NATIVE, OPTIMIZED, compile_native, program_in, run_native
from qdeploy.verify.results import RungResult
from qdeploy.verify.rungs.base import Rung, exact_result

SANITIZED = (
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


@dataclass(frozen=True)
class _Builds:
    """Programs of the sources, in the order of `made`, which may still be compiling."""

    program: Program
    sanitized_frames: int
    made: Sequence[tuple[str, int]]
    binaries: Iterator[Path]


class CRung(Rung):
    """What a build without target `c` lacks. The compiler works beside the rungs before."""

    name = "c"
    needs = (C_FOLDER,)

    def __init__(self) -> None:
        self._begun: _Builds | None = None

    def begin(self, inputs: LadderInputs, stack: ExitStack) -> None:
        try:
            self._begun = _compiling(inputs, stack)
        except UserError:  # of a plan that cannot be read: the rung itself says so
            self._begun = None

    def run(self, inputs: LadderInputs, reference: Reference, *, required: bool) -> RungResult:
        frames, parts = inputs.frames, list[Comparison]()
        with ExitStack() as stack:
            builds = self._begun or _compiling(inputs, stack)
            program, sanitized = builds.program, builds.sanitized_frames
            for (name, count), binary in zip(builds.made, builds.binaries, strict=True):
                with inputs.observer.meter(f"{name} build", count, "frames") as bar:
                    parts += compare_native(program, binary, frames[:count], reference, bar)
        total = merged(parts, inputs.graph.boundaries())
        names = ["-fsanitize", "-O2", *(["-march=native"] if program.choices.vector else [])]
        details = {"sanitized_frames": sanitized, "builds": names}
        return replace(exact_result(self.name, total, details), frames=len(frames))


def _compiling(inputs: LadderInputs, stack: ExitStack) -> _Builds:
    """Start the compiler; `stack` ends it and removes the programs."""
    program, count = program_in(inputs.folder, inputs.graph), len(inputs.frames)
    sanitized = max(1, min(count, _MOST_MACS // max(1, macs_of(program))))
    builds = [("sanitized", SANITIZED, sanitized), ("optimized", OPTIMIZED, count)]
    if program.choices.vector:
        builds.append(("native", NATIVE, count))
    folder = stack.enter_context(scratch_folder("c"))

    def compiled(build: tuple[str, tuple[str, ...], int]) -> Path:
        return compile_native(program, inputs.folder / C_FOLDER, folder, *build[:2])

    binaries = stack.enter_context(in_parallel(compiled, builds, _cores()))
    return _Builds(program, sanitized, [(name, n) for name, _, n in builds], binaries)


def macs_of(program: Program) -> int:
    """Multiply-accumulates per frame."""
    found = 0
    for step in program.steps:
        if isinstance(step.node, Conv | Dense):
            found += step.node.weights.size * step.result.pixels
    return found


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def compare_native(
    program: Program, binary: Path, frames: IntArray, reference: Reference, bar: Meter
) -> list[Comparison]:
    """Run frames and compare them, a few at a time on every core.

    Args:
        binary: as `compile_native` makes it.
        frames: (N, *input shape of the graph).
        reference: codes at every boundary, of these frames and perhaps others after them.
        bar: counts frames.

    Raises:
        VerificationError: the program fails, as a sanitizer makes it do.
    """
    names = program.graph.boundaries()
    step = max(1, _CHUNK // sum(one.bytes for one in program.written))

    def compared(first: int) -> Comparison:
        part = slice(first, min(first + step, len(frames)))
        expected = {name: reference[name][part] for name in names}
        found = run_native(program, binary, frames[part], number=first)
        return from_frame(compare(names, expected, found), first)

    parts = []
    with in_parallel(compared, range(0, len(frames), step), _cores()) as results:
        for part in results:
            parts.append(part)
            bar.advance(part.frames)
    return parts
