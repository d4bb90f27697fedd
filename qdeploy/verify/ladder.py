"""The ladder: the same frames through every level, compared at every boundary.

    torch      Brevitas network          against int   exact where every scale is a power of two
    qonnx      official QONNX executor   against int   as torch
    int        model.int.onnx in onnxruntime, every optimization level, against int64 arithmetic
    dataflow   FINN's hardware layers in Python                        against int, exact
    rtl        the stitched Verilog in Verilator, with random stalls   against int, exact
    netlist    the synthesized netlist in Verilator                    against int, exact

A rung that cannot run (no Verilator, no netlist, no trained network beside the file) is skipped
with the reason, unless it is required.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from qdeploy.errors import ToolMissingError, UserError, VerificationError
from qdeploy.verify import rungs
from qdeploy.verify.levels import Levels
from qdeploy.verify.netlist import netlist_rung
from qdeploy.verify.results import Rung

RUNGS = ("torch", "qonnx", "int", "dataflow", "rtl", "netlist")


def check_choice(require: Sequence[str], skip: Sequence[str]) -> None:
    """Whether there are such rungs to be required and left out.

    Raises:
        UserError: unknown rung names, or a required rung left out.
    """
    for name in (*require, *skip):
        if name not in RUNGS:
            raise UserError(f"there is no rung `{name}`", do=f"choose from {', '.join(RUNGS)}")
    if both := set(require) & set(skip):
        raise UserError(f"rung `{min(both)}` is both required and skipped", do="choose one")


def climb(
    levels: Levels,
    *,
    require: Sequence[str] = (),
    skip: Sequence[str] = (),
    report: Callable[[Rung], None] = lambda rung: None,
) -> list[Rung]:
    """Run every rung; `report` is called after each.

    Args:
        require: rungs that must run; one that cannot is an error instead of a skip.
        skip: rungs to leave out.

    Raises:
        UserError: as `check_choice`; a required rung cannot run.
        ToolMissingError: a required rung lacks its tool.
    """
    check_choice(require, skip)
    reference = rungs.integer_codes(levels.graph, levels.frames)
    order: dict[str, Callable[[], Rung]] = {
        "torch": partial(rungs.torch_rung, levels, reference),
        "qonnx": partial(rungs.qonnx_rung, levels, reference),
        "int": partial(rungs.int_rung, levels, reference),
        "dataflow": partial(rungs.dataflow_rung, levels, reference),
        "rtl": partial(rungs.rtl_rung, levels, reference),
        "netlist": partial(netlist_rung, levels, reference, required="netlist" in require),
    }
    results = []
    for name, run in order.items():
        result = _run(name, run, required=name in require, left_out=name in skip)
        results.append(result)
        report(result)
    return results


def _run(name: str, run: Callable[[], Rung], *, required: bool, left_out: bool) -> Rung:
    if left_out:
        return Rung(name, skipped="left out on request")
    try:
        result = run()
    except ToolMissingError as error:
        if required:
            raise
        return Rung(name, skipped=error.what)
    if required and result.skipped is not None:
        raise UserError(f"rung `{name}` is required but cannot run", why=result.skipped)
    return result


def failure(results: Sequence[Rung]) -> VerificationError | None:
    """The error for the first rung that does not hold, None when all do."""
    for rung in results:
        if not rung.passed:
            return VerificationError(
                f"rung `{rung.name}`: {rung.mismatches} of {rung.codes} codes differ",
                where=rung.note or None,
                why="everything from the first quantized tensor on has to be the same integers",
                do="keep the build folder; the first differing code above names the layer",
            )
    return None
