"""The ladder: the same frames through every level, compared at every boundary.

    torch      Brevitas network          against int   exact, ties in float32 aside
    qonnx      official QONNX executor   against int   as torch
    int        model.int.onnx in onnxruntime, every optimization level, against exact arithmetic
    dataflow   FINN's hardware layers in Python                        against int, exact
    memories   every number in the design's files                      against int, exact
    layer      each hardware layer of it alone in Verilator            against int, exact
    rtl        the stitched Verilog in Verilator, with random stalls   against int, exact
    netlist layer, netlist    the same two of the synthesized netlist  against int, exact
    c          the C sources, compiled for this machine                against int, exact
    c-arm, c-riscv    the same for a bare core, under QEMU             against int, exact

Which of them a build has, its target declares. A rung that cannot run (no Verilator, no netlist, no
trained network beside the file) is skipped with the reason, unless it is required.
"""

from __future__ import annotations

import contextlib
import importlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from qdeploy.errors import ToolMissingError, UserError, VerificationError
from qdeploy.observer import ignore
from qdeploy.verify.coverage.counted import FrameCoverage
from qdeploy.verify.inputs import LadderInputs
from qdeploy.verify.integer_codes import integer_codes
from qdeploy.verify.results import RungResult
from qdeploy.verify.rungs.base import Rung
from qdeploy.verify.units.accounts import BEATS

# Name -> module and class. A rung is imported when it runs: a build whose target has no hardware
# never loads FINN or the simulation.
_RUNGS = {
    "torch": ("qdeploy.verify.rungs.torch", "TorchRung"),
    "qonnx": ("qdeploy.verify.rungs.qonnx", "QonnxRung"),
    "int": ("qdeploy.verify.rungs.integers", "IntegersRung"),
    "dataflow": ("qdeploy.verify.rungs.dataflow", "DataflowRung"),
    "memories": ("qdeploy.verify.rungs.memories", "MemoriesRung"),
    "layer": ("qdeploy.verify.rungs.layer", "LayerRung"),
    "rtl": ("qdeploy.verify.rungs.rtl", "RtlRung"),
    "netlist layer": ("qdeploy.verify.rungs.netlist_layer", "NetlistLayerRung"),
    "netlist": ("qdeploy.verify.rungs.netlist", "NetlistRung"),
    "c": ("qdeploy.verify.rungs.c", "CRung"),
    "c-arm": ("qdeploy.verify.rungs.c_bare", "ArmRung"),
    "c-riscv": ("qdeploy.verify.rungs.c_bare", "RiscvRung"),
}
# Every rung there is, in the order of the ladder.
RUNGS = tuple(_RUNGS)
# Those that begin with the first rung.
_BEGIN_EARLY = ("c",)
# Who leaves out a rung wants nothing of that level: these go with it.
_WITH = {"netlist": ("netlist layer",)}


def load_rung(name: str) -> Rung:
    """The rung `name`, one of `RUNGS`."""
    module, attribute = _RUNGS[name]
    rung = getattr(importlib.import_module(module), attribute)()
    assert isinstance(rung, Rung)
    return rung


def left_out(skip: Sequence[str]) -> frozenset[str]:
    """The rungs that do not run when `skip` are to be left out."""
    return frozenset((*skip, *(other for name in skip for other in _WITH.get(name, ()))))


def check_choice(require: Sequence[str], skip: Sequence[str], rungs: Sequence[str] = RUNGS) -> None:
    """Whether these rungs can be required and left out.

    Args:
        rungs: those of the target.

    Raises:
        UserError: unknown rung names, a required rung that is left out, or one that the target
            does not have.
    """
    for name in (*require, *skip):
        if name not in RUNGS:
            raise UserError(f"there is no rung `{name}`", do=f"choose from {', '.join(RUNGS)}")
    if both := set(require) & left_out(skip):
        raise UserError(f"rung `{min(both)}` is both required and skipped", do="choose one")
    for name in require:
        if name not in rungs:
            raise UserError(
                f"rung `{name}` is required, and the target does not have it",
                do=f"choose from {', '.join(rungs) or 'none: this target has no rungs'}",
            )


def climb(
    inputs: LadderInputs,
    *,
    rungs: Sequence[str] = RUNGS,
    require: Sequence[str] = (),
    skip: Sequence[str] = (),
    lost: Mapping[str, str] = MappingProxyType({}),
    report: Callable[[RungResult], None] = lambda result: None,
    starting: Callable[[str], None] = ignore,
) -> list[RungResult]:
    """Run rungs in the order of the ladder; `report` is called after each.

    Args:
        starting: called with the name of a rung before it runs.
        rungs: names of those that the target declares.
        require: rungs that must run; one that cannot is an error instead of a skip.
        skip: rungs to leave out; `netlist layer` goes with `netlist`.
        lost: rung -> why its level is not the one that the build had: it fails.

    Raises:
        UserError: as `check_choice`; a required rung cannot run; the build lacks a file.
        ToolMissingError: a required rung lacks its tool.
    """
    check_choice(require, skip, rungs)
    omitted = left_out(skip)
    with contextlib.ExitStack() as stack:
        begun = {
            name: _begun(name, inputs, stack)
            for name in _BEGIN_EARLY
            if name in rungs and name not in omitted and name not in lost
        }
        reference = integer_codes(inputs.graph, inputs.frames)
        stops = (inputs.rtl_frames, inputs.qonnx_frames, inputs.netlist_frames)
        counted = FrameCoverage(inputs.graph, inputs.frames, reference, stops)

        def run(name: str) -> RungResult:
            if name in omitted:
                return RungResult(name, skipped="left out on request")
            if name in lost:
                return RungResult(name, refused=lost[name])
            if name == "torch" and inputs.network is None:  # torch need not be loaded
                return RungResult(name, skipped="there is no trained network beside the QONNX file")
            rung = begun.get(name) or load_rung(name)
            if reason := rung.absent(inputs):
                return RungResult(name, skipped=reason)
            _check_files(rung, inputs)
            starting(name)
            try:
                result = rung.run(inputs, reference, required=name in require)
                return _with_coverage(result, rung, counted)
            except ToolMissingError as error:
                if name in require:
                    raise
                return RungResult(name, skipped=error.what)

        results = []
        for name in (name for name in RUNGS if name in rungs):
            result = run(name)
            if name in require and result.skipped is not None:
                raise UserError(f"rung `{name}` is required but cannot run", why=result.skipped)
            results.append(result)
            report(result)
        return results


def _begun(name: str, inputs: LadderInputs, stack: contextlib.ExitStack) -> Rung:
    """A rung, which has begun where the build has such a level."""
    rung = load_rung(name)
    if rung.absent(inputs) is None and all((inputs.folder / one).exists() for one in rung.needs):
        rung.begin(inputs, stack)
    return rung


def _with_coverage(result: RungResult, rung: Rung, counted: FrameCoverage) -> RungResult:
    """The result with the coverage of the frames that the rung compared at every boundary."""
    if not result.frames or result.coverage is not None:
        return result
    found = counted.first(result.frames)
    shares = found.faults.shares()
    if rung.counts_beats:
        # As many beats as the frames have must come at every boundary, or the rung fails.
        shares[BEATS] = 1.0
    return replace(
        result, coverage=shares, details={**result.details, "single_faults": found.record()}
    )


def _check_files(rung: Rung, inputs: LadderInputs) -> None:
    for name in rung.needs:
        if not (inputs.folder / name).exists():
            raise UserError(
                f"the build lacks `{name}`, which rung `{rung.name}` needs",
                where=str(inputs.folder),
                do="run `qdeploy export` again",
            )


def failure(results: Sequence[RungResult]) -> VerificationError | None:
    """The error for the first rung that does not hold, None when all do."""
    for one in results:
        if not one.passed:
            if one.refused is not None:
                return VerificationError(
                    f"rung `{one.name}`: {one.refused}",
                    why="what is compared would not be what was built",
                    do="put back what was there, run `qdeploy export` again, or leave the rung out "
                    f"with `--skip {shlex.quote(one.name)}`",
                )
            if one.wrong:
                return VerificationError(
                    f"rung `{one.name}`: {one.wrong} codes or logits are not what exact arithmetic "
                    "on the file gives",
                    where=one.note or None,
                    why="float rounding at ties was taken out: these are further off, or the "
                    "integers are wrong",
                    do="keep the build folder; `details` of the rung in verify.json lists each one",
                )
            return VerificationError(
                f"rung `{one.name}`: {one.mismatches} of {one.codes} {one.compared} differ",
                where=one.note or None,
                why="everything from the first quantized tensor on has to be the same integers",
                do="keep the build folder; the first difference above names the layer",
            )
    return None
