"""The int rung: the integer file in onnxruntime, against int64 arithmetic in numpy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qdeploy.build_folder import INT_FILE
from qdeploy.codegen.onnx.model import emit_onnx
from qdeploy.codegen.onnx.session import IntSimulator
from qdeploy.errors import VerificationError
from qdeploy.ir.reference import run_reference
from qdeploy.scratch import scratch_folder
from qdeploy.verify.compare import Codes, compare, first_difference
from qdeploy.verify.inputs import LadderInputs, Reference
from qdeploy.verify.integer_codes import as_int64
from qdeploy.verify.results import RungResult
from qdeploy.verify.rungs.base import Rung

if TYPE_CHECKING:
    from qdeploy.codegen.onnx.session import OptimizationLevel

OPTIMIZATION_LEVELS: tuple[OptimizationLevel, ...] = ("disable", "basic", "extended", "all")


class IntegersRung(Rung):
    """The file users get, at every optimization level of onnxruntime."""

    name = "int"
    needs = (INT_FILE,)

    def run(self, inputs: LadderInputs, reference: Reference, *, required: bool) -> RungResult:
        names = inputs.graph.boundaries()
        exact = run_reference(inputs.graph, inputs.frames)
        total = compare(names, exact, reference)
        codes, mismatches = total.codes, total.mismatches
        first = total.first
        passes = 2 * len(OPTIMIZATION_LEVELS)
        with (
            scratch_folder("int") as folder,
            inputs.observer.meter("all frames, level by level", passes, "passes") as bar,
        ):
            tapped = folder / "taps.onnx"
            emit_onnx(inputs.graph, tapped, taps=True)
            for level in OPTIMIZATION_LEVELS:
                for path, checked in ((tapped, names), (inputs.folder / INT_FILE, names[-1:])):
                    found = as_int64(IntSimulator(path, level=level).run(inputs.frames))
                    _same_shapes(path, checked, exact, found)
                    part = compare(checked, exact, found)
                    codes, mismatches = codes + part.codes, mismatches + part.mismatches
                    first = first or part.first
                    bar.advance(note=level)
        return RungResult(
            self.name,
            frames=total.frames,
            boundaries=total.boundaries,
            codes=codes,
            mismatches=mismatches,
            note=first.sentence() if first else "",
            details={
                "optimization_levels": list(OPTIMIZATION_LEVELS),
                "against": "int64 arithmetic in numpy",
                **first_difference(first),
            },
        )


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
