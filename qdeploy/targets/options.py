"""What a build was asked for: given once, stored with the build, read back when it is verified."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdeploy.errors import UserError

BUILD_FILE = "build.json"
CACHE_FOLDER = ".cache"
# Options that are paths: stored absolute, read back as paths.
PATHS = ("source", "folding", "data", "cache")


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

    def record(self) -> dict[str, Any]:
        """As stored in `build.json`."""
        plain = dataclasses.asdict(self)
        for key in PATHS:
            plain[key] = None if plain[key] is None else str(Path(plain[key]).resolve())
        return plain

    def cache_of(self, folder: Path) -> Path:
        """Where results kept by content are for a build in `folder`."""
        return self.cache or folder.parent / CACHE_FOLDER


def read_options(folder: Path) -> Options:
    """The options a build was made with.

    Raises:
        UserError: the folder holds no complete build.
    """
    path = folder / BUILD_FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))["options"]
        for key in ("require", "skip"):
            data[key] = tuple(data[key])
        for key in PATHS:
            data[key] = None if data[key] is None else Path(data[key])
        return Options(**data)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"`{folder}` holds no complete build",
            where=str(path),
            why=str(error),
            do="give the folder that `qdeploy export` named at its end",
        ) from error
