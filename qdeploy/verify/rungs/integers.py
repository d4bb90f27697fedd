"""The int rung: the integer file in onnxruntime, against exact arithmetic in numpy."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qdeploy.build_folder import INT_FILE
from qdeploy.codegen.onnx.model import emit_onnx
from qdeploy.codegen.onnx.session import AT_ONCE, IntSimulator
from qdeploy.errors import VerificationError
from qdeploy.ir.integer_graph import IntArray
from qdeploy.ir.reference import run_reference
from qdeploy.scratch import scratch_folder
from qdeploy.supervised import in_parallel
from qdeploy.verify.compare import Codes, Comparison, compare, from_frame, merged
from qdeploy.verify.inputs import LadderInputs, Reference
from qdeploy.verify.results import RungResult
from qdeploy.verify.rungs.base import Rung, exact_result

if TYPE_CHECKING:
    from qdeploy.codegen.onnx.session import OptimizationLevel

OPTIMIZATION_LEVELS: tuple[OptimizationLevel, ...] = ("disable", "basic", "extended", "all")


class IntegersRung(Rung):
    """The file users get, at every optimization level of onnxruntime."""

    name = "int"
    needs = (INT_FILE,)

    def run(self, inputs: LadderInputs, reference: Reference, *, required: bool) -> RungResult:
        names, frames = inputs.graph.boundaries(), inputs.frames
        passes = 1 + 2 * len(OPTIMIZATION_LEVELS)

        def exact(codes: IntArray) -> Codes:
            return run_reference(inputs.graph, codes)

        with (
            scratch_folder("int") as folder,
            inputs.observer.meter("all frames, level by level", passes, "passes") as bar,
        ):
            tapped = folder / "taps.onnx"
            emit_onnx(inputs.graph, tapped, taps=True)
            # The reference is what numpy gives; then every file and level is what the reference is.
            parts = _compared(exact, names, frames, reference)
            bar.advance(note="numpy")
            for level in OPTIMIZATION_LEVELS:
                for path, checked in ((tapped, names), (inputs.folder / INT_FILE, names[-1:])):
                    parts += _compared(_Session(path, level), checked, frames, reference)
                    bar.advance(note=level)
        total = merged(parts, names)
        details = {
            "optimization_levels": list(OPTIMIZATION_LEVELS),
            "against": "exact arithmetic in numpy",
        }
        return replace(exact_result(self.name, total, details), frames=len(frames))


class _Session:
    """A file at a level of optimization; gives the codes of frames, of the graph's shapes."""

    def __init__(self, path: Path, level: OptimizationLevel) -> None:
        self.path, self._run = path, IntSimulator(path, level=level).run

    def __call__(self, codes: IntArray) -> Codes:
        return self._run(codes)


def _compared(
    level: Callable[[IntArray], Codes], names: Sequence[str], frames: IntArray, reference: Reference
) -> list[Comparison]:
    """Compare a level with the reference, some frames at a time on every core."""

    def compared(first: int) -> Comparison:
        part = slice(first, first + AT_ONCE)
        found, expected = level(frames[part]), {name: reference[name][part] for name in names}
        if isinstance(level, _Session):
            _same_shapes(level.path, names, expected, found)
        return from_frame(compare(names, expected, found), first)

    starts = range(0, len(frames), AT_ONCE)
    with in_parallel(compared, starts, len(os.sched_getaffinity(0))) as results:
        return list(results)


def _same_shapes(path: Path, names: Sequence[str], exact: Codes, found: Codes) -> None:
    """Check that a file, which may have been replaced, puts out tensors of the graph's shapes.

    Raises:
        VerificationError: it does not.
    """
    for name in names:
        theirs = found[name].shape if name in found else None
        if theirs != exact[name].shape:
            raise VerificationError(
                f"{path.name} is not the file of this build's network",
                where=f"output `{name}`",
                why=f"its shape is {theirs or 'that of no output'}, the network's is"
                f" {exact[name].shape}, frames first",
                do="export again: `qdeploy export` writes it anew",
            )
