"""A build: from a trained run or a QONNX file to a verified package, in one folder.

Everything is made in a temporary folder that takes the build's name at the end: an interrupted
build leaves the previous one as it was. A build whose ladder fails is kept for inspection. The
steps are in `steps/`; which of them a build needs, its target declares.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from qdeploy.artifacts import atomic_folder
from qdeploy.build.observer import SILENT_BUILD, BuildObserver
from qdeploy.build.options import Options
from qdeploy.build.pipeline import load_steps, run_steps
from qdeploy.build.replace import check_replaceable, locked_build
from qdeploy.build.source import FileExtras, Source, open_source
from qdeploy.build.state import BuildState
from qdeploy.devices.boards import Board, load_board
from qdeploy.errors import UserError, VerificationError
from qdeploy.ir.raw_type import parse_raw_type
from qdeploy.targets.registry import TARGETS
from qdeploy.targets.target import Target
from qdeploy.verify.ladder import failure
from qdeploy.verify.results import RungResult


@dataclass
class Build:
    """A finished build: its folder and what the ladder found."""

    folder: Path
    rungs: list[RungResult] = field(default_factory=list)
    failure: VerificationError | None = None


def default_folder(name: str, target: Target, board: Board | None) -> Path:
    """Where a build goes unless told otherwise: its board names it, without one its target."""
    made_for = target.name if board is None else f"{board.name}{target.folder_suffix}"
    return Path("build") / f"{name}-{made_for}"


def build(
    options: Options,
    out: Path | None = None,
    observer: BuildObserver = SILENT_BUILD,
    source: Source | None = None,
    *,
    force: bool = False,
    finish: Callable[[Path], object] | None = None,
) -> Build:
    """Run the steps that the target declares.

    Args:
        out: build folder, `default_folder` when None.
        observer: is told about every step; nothing is printed.
        source: the network, opened from `options.source` when None.
        force: replace the build of another source, which is refused otherwise.
        finish: adds what is made of the finished build to its folder, before that takes its place.

    Raises:
        UserError: anything in the options, the source or the data that can be fixed; raised before
            the long steps wherever it can be known there.
        LockedError: another process writes the folder.
        DoesNotFitError: the design at the rate requested is larger than the board.
    """
    with observer.warnings():
        target = TARGETS.load(options.target)
        options.check(target)
        options = dataclasses.replace(options, board=options.board or target.default_board)
        board = None if options.board is None else load_board(options.board)
        steps = load_steps(target)
        for step in steps:
            step.check(options, board)
        with observer.during("read the network") as say:
            extras = FileExtras(
                None if options.input is None else parse_raw_type(options.input),
                options.frames_from,
                options.labels,
                options.class_names,
                options.output,
            )
            source = source or open_source(options.source, options.data, observer, extras)
            say(source.describe())
        if options.argmax and source.predicts_numbers:
            raise UserError(
                f"the network `{source.name}` predicts numbers, which have no largest class",
                where="--argmax",
                do="leave the option away",
            )
        folder = out or default_folder(source.name, target, board)
        cache = options.cache_of(folder)
        with locked_build(folder, "export", observer.note):
            check_replaceable(folder, options.source, source, force, observer.note)
            with atomic_folder(folder, durable=True) as work:
                state = BuildState(options, source, target, board, work, cache, observer)
                run_steps(steps, state)
                if finish is not None:
                    finish(work)
    return Build(folder, state.rungs, failure(state.rungs))
