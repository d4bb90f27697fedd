"""The ladder once more, on a build that exists: its own files, frames and options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qdeploy.build.build import Build
from qdeploy.build.observer import SILENT_BUILD, BuildObserver
from qdeploy.build.options import Options, check_files, read_options
from qdeploy.build.source import open_source
from qdeploy.build_folder import GRAPH_FILE, QONNX_FILE
from qdeploy.errors import UserError, VerificationError
from qdeploy.ir.file import read_graph
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.targets.registry import TARGETS
from qdeploy.verify.frames import load_frames
from qdeploy.verify.inputs import LadderInputs
from qdeploy.verify.ladder import check_choice, climb, failure
from qdeploy.verify.results import RungResult, anything_ran, write_verify

if TYPE_CHECKING:
    from torch import nn


def verify(
    folder: Path,
    *,
    frames: int | None = None,
    rtl_frames: int | None = None,
    require: tuple[str, ...] = (),
    skip: tuple[str, ...] = (),
    seed: int = 0,
    observer: BuildObserver = SILENT_BUILD,
) -> Build:
    """Run the ladder again on an existing build and rewrite its `verify.json`.

    Args:
        frames, rtl_frames: as built when None; never more than the build has.
        require, skip: rungs that must run or are left out.
        seed: of the stalls.
        observer: is told about every step; nothing is printed.

    Raises:
        UserError: the folder holds no complete build, or one whose files have changed; its target
            has no ladder; rungs are as `check_choice` does not take them.
    """
    check_choice(require, skip)
    with observer.warnings():
        options = read_options(folder)
        check_files(folder)
        rungs = TARGETS.load(options.target).rungs
        if not rungs:
            raise UserError(
                f"builds for the target `{options.target}` have no ladder to verify",
                where=str(folder),
            )
        with observer.during("read the build") as say:
            graph = _graph(folder, options)
            network = _network(options.source)
            stored = load_frames(folder)
            verified = stored.first(frames or options.frames)
            most = max(frames or 0, rtl_frames or 0)
            if most > len(stored.codes):
                say(
                    f"{most:,} frames requested, using {len(stored.codes):,}: the build has no more"
                )
        inputs = LadderInputs(
            folder,
            graph,
            network,
            verified.codes,
            options.cache_of(folder),
            rtl_frames=rtl_frames or options.rtl_frames,
            stall=options.stall,
            seed=seed,
        )
        results = climb(inputs, rungs=rungs, require=require, skip=skip, report=observer.rung)
        write_verify(folder, results)
    return Build(folder, results, failure(results) or _nothing_ran(results))


def _nothing_ran(results: list[RungResult]) -> VerificationError | None:
    if anything_ran(results):
        return None
    return VerificationError(
        "no rung of the ladder ran: nothing is verified", do="leave fewer rungs out with --skip"
    )


def _graph(folder: Path, options: Options) -> IntegerGraph:
    if (folder / GRAPH_FILE).is_file():
        return read_graph(folder / GRAPH_FILE)
    # Builds of before integer graphs were files: the QONNX file is what they were proven by.
    from qdeploy.lowering.integers.lower import lower

    return lower(folder / QONNX_FILE, argmax=options.argmax)


def _network(source: Path) -> nn.Module | None:
    if not source.is_dir():
        return None
    return open_source(source, None).network
