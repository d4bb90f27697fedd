"""The ladder once more, on a build that exists: its own files, frames and options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qdeploy.targets.build import Build
from qdeploy.targets.frames import load_frames
from qdeploy.targets.observer import Observer
from qdeploy.targets.options import read_options
from qdeploy.targets.pipeline import lower_file
from qdeploy.targets.source import open_source
from qdeploy.verify.ladder import climb, failure
from qdeploy.verify.levels import Levels
from qdeploy.verify.results import write_verify

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
        UserError: the folder holds no complete build.
    """
    watch = observer or Observer()
    options = read_options(folder)
    with watch.during("read the build"):
        graph = lower_file(folder, options.argmax)
        network = _network(options.source)
        proven = load_frames(folder).first(frames or options.frames)
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
    return Build(folder, rungs, failure(rungs))


def _network(source: Path) -> nn.Module | None:
    if not source.is_dir():
        return None
    return open_source(source, None).network
