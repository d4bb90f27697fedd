"""The ladder once more, on a build that exists: its own files, frames and options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qdeploy.build.build import Build
from qdeploy.build.observer import Observer
from qdeploy.build.options import check_files, read_options
from qdeploy.build.pipeline import lower_file
from qdeploy.build.source import open_source
from qdeploy.errors import VerificationError
from qdeploy.verify.frames import load_frames
from qdeploy.verify.ladder import check_choice, climb, failure
from qdeploy.verify.levels import Levels
from qdeploy.verify.results import Rung, anything_ran, write_verify

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
    observer: Observer | None = None,
) -> Build:
    """Run the ladder again on an existing build and rewrite its `verify.json`.

    Raises:
        UserError: the folder holds no complete build, or one whose files have changed; rungs are as
            `check_choice` does not take them.
    """
    check_choice(require, skip)
    watch = observer or Observer()
    options = read_options(folder)
    check_files(folder)
    with watch.during("read the build") as say:
        graph = lower_file(folder, options.argmax)
        network = _network(options.source)
        kept = load_frames(folder)
        proven = kept.first(frames or options.frames)
        most = max(frames or 0, rtl_frames or 0)
        if most > len(kept.codes):
            say(f"it keeps {len(kept.codes):,} frames: {most:,} were asked for, these have to do")
    levels = Levels(
        folder,
        graph,
        network,
        proven.codes,
        options.cache_of(folder),
        rtl_frames=rtl_frames or options.rtl_frames,
        stall=options.stall,
        seed=seed,
    )
    rungs = climb(levels, require=require, skip=skip, report=watch.rung)
    write_verify(folder, rungs)
    return Build(folder, rungs, failure(rungs) or _nothing_said(rungs))


def _nothing_said(rungs: list[Rung]) -> VerificationError | None:
    if anything_ran(rungs):
        return None
    return VerificationError(
        "no rung of the ladder ran: nothing is verified", do="leave fewer rungs out with --skip"
    )


def _network(source: Path) -> nn.Module | None:
    if not source.is_dir():
        return None
    return open_source(source, None).network
