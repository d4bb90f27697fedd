"""A build: from a trained run or a QONNX file to a verified, synthesized package, in one folder.

Everything is made in a temporary folder that takes the build's name at the end: an interrupted
build leaves the previous one as it was. A build whose ladder fails is kept for inspection. The
steps are in `pipeline.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from qdeploy.artifacts import atomic_folder
from qdeploy.build.observer import Observer
from qdeploy.build.options import Options
from qdeploy.build.pipeline import Pipeline
from qdeploy.build.source import Source, open_source
from qdeploy.build_folder import BUILD_FILE
from qdeploy.devices.boards import load_board
from qdeploy.errors import UserError, VerificationError
from qdeploy.targets.registry import find_target
from qdeploy.verify.ladder import failure
from qdeploy.verify.results import Rung


@dataclass
class Build:
    """A finished build: its folder and what the ladder said."""

    folder: Path
    rungs: list[Rung] = field(default_factory=list)
    failure: VerificationError | None = None


def default_folder(name: str, board: str) -> Path:
    """Where a build goes unless told otherwise."""
    return Path("build") / f"{name}-{board}"


def build(
    options: Options,
    out: Path | None = None,
    observer: Observer | None = None,
    source: Source | None = None,
) -> Build:
    """Run the whole pipeline.

    Args:
        out: build folder, `default_folder` when None.
        source: the network, opened from `options.source` when None.

    Raises:
        UserError: anything in the options, the source or the data that can be mended; raised before
            the long steps wherever it can be known there.
        DoesNotFitError: the design at the rate asked for is larger than the board.
    """
    watch = observer or Observer()
    board = load_board(options.board)
    target = find_target(options.target)
    options.check(board)
    with watch.during("read the network") as say:
        source = source or open_source(options.source, options.data)
        say(source.describe())
    folder = out or default_folder(source.name, board.name)
    _refuse_foreign(folder)
    cache = options.cache_of(folder)
    with atomic_folder(folder) as work:
        finished = Pipeline(options, source, board, target, work, cache, watch).run()
    return Build(folder, finished, failure(finished))


def _refuse_foreign(folder: Path) -> None:
    """A file, or a folder that is no build, is not replaced."""
    if not folder.exists() or (folder / BUILD_FILE).exists():
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise UserError(
            f"`{folder}` exists and is not a build",
            why="a build replaces the whole folder",
            do="give another folder with --out, or remove it yourself",
        )
