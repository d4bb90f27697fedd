"""What a build was asked for: given once, stored with the build, read back when it is verified."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdeploy.artifacts import sha256
from qdeploy.build_folder import BUILD_FILE, CACHE_FOLDER
from qdeploy.dataflow.rates import cycles_for
from qdeploy.devices.boards import Board
from qdeploy.errors import UserError
from qdeploy.verify.ladder import check_choice

# Options that are paths: stored absolute, read back as paths.
PATHS = ("source", "folding", "data", "cache")
# What the clock generators of the boards can make, with room above the fastest fabric there is.
LEAST_MHZ, MOST_MHZ = 0.1, 1000.0


@dataclass(frozen=True)
class Options:
    """What `qdeploy export` was asked for; stored with the build.

    Args:
        source: run folder or QONNX file.
        target, board: names.
        fps: frames per second to fold for, None for as fast as fits.
        folding: file with the folding of single layers; the rest is solved for.
        clock_mhz: None for the board's default.
        argmax: put out the class instead of the logits.
        frames, rtl_frames: frames for the ladder, and how many of them run in RTL.
        stall, seed: chance of a stall in RTL simulation, and the seed of stalls and random frames.
        require, skip: rungs that must run or are left out.
        synthesis: whether Yosys counts the resources; without it "as fast as fits" rests on the
            estimate alone.
        fifo_depths: "simulated" sizes FIFOs by RTL simulation, "analytic" by the lags of branches.
        data: folder of the data sets.
        cache: folder of results kept by content (synthesized layers, compiled models); None for
            `.cache` beside the build.
    """

    source: Path
    target: str = "pynq"
    board: str = "pynq-z2"
    fps: float | None = None
    folding: Path | None = None
    clock_mhz: float | None = None
    argmax: bool = False
    frames: int = 1000
    rtl_frames: int = 100
    stall: float = 0.2
    seed: int = 0
    require: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    synthesis: bool = True
    fifo_depths: str = "simulated"
    data: Path | None = None
    cache: Path | None = None

    def check(self, board: Board) -> None:
        """Refuse what is wrong in itself, before anything is done.

        Raises:
            UserError: the rungs are as `check_choice` does not take them, the clock is none, or the
                cache is a file.
            FoldingError: the rate is no positive number, or above one frame a cycle.
        """
        check_choice(self.require, self.skip)
        clock = board.clock_mhz if self.clock_mhz is None else self.clock_mhz
        if not LEAST_MHZ <= clock <= MOST_MHZ:
            raise UserError(
                f"no board can have a clock of {clock:g} MHz",
                where="the board's file" if self.clock_mhz is None else "--clock",
                do=f"give {LEAST_MHZ:g} to {MOST_MHZ:g} MHz; `{board.name}` has "
                f"{board.clock_mhz:g} by default",
            )
        if self.fps is not None:
            cycles_for(self.fps, clock)
        if self.cache is not None:
            _check_cache(self.cache)

    def record(self) -> dict[str, Any]:
        """As stored in `build.json`."""
        plain = dataclasses.asdict(self)
        for key in PATHS:
            plain[key] = None if plain[key] is None else str(Path(plain[key]).resolve())
        return plain

    def cache_of(self, folder: Path) -> Path:
        """Where results kept by content are for a build in `folder`."""
        return self.cache or folder.parent / CACHE_FOLDER


def _check_cache(cache: Path) -> None:
    there = next((path for path in (cache, *cache.parents) if path.exists()), None)
    if there is not None and not there.is_dir():
        raise UserError(
            f"`{there}` is a file, where a folder for the cache is needed",
            do="give a folder with --cache or QDEPLOY_CACHE; it need not be there yet",
        )


def read_options(folder: Path) -> Options:
    """The options a build was made with.

    Raises:
        UserError: the folder holds no complete build.
    """
    with _reading(folder):
        data = _build_file(folder)["options"]
        for key in ("require", "skip"):
            data[key] = tuple(data[key])
        for key in PATHS:
            data[key] = None if data[key] is None else Path(data[key])
        return Options(**data)


def check_files(folder: Path) -> None:
    """Whether a build's files are those that were proven when it was made.

    Those are the networks the levels are computed from; what a later run of the ladder writes anew
    and the design, which the ladder itself compares, are not among them.

    Raises:
        UserError: one is missing or has changed; the folder holds no complete build.
    """
    with _reading(folder):
        files: dict[str, str] = dict(_build_file(folder)["files"])
    for name, digest in files.items():
        path = folder / name
        if not path.is_file():
            fate = "is missing"
        elif sha256(path) != digest:
            fate = "is not the one that was made then"
        else:
            continue
        raise UserError(
            f"`{name}` of the build `{folder}` {fate}",
            where=str(path),
            why=f"{BUILD_FILE} holds the digest of what the accelerator was made of and proven by",
            do="put the file back, or run `qdeploy export` again",
        )


def _build_file(folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((folder / BUILD_FILE).read_text(encoding="utf-8"))
    return data


@contextlib.contextmanager
def _reading(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"`{folder}` holds no complete build",
            where=str(folder / BUILD_FILE),
            why=str(error),
            do="give the folder that `qdeploy export` named at its end",
        ) from error
