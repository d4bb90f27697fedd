"""What is requested of a build: given once, stored with the build, read back to verify it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from qdeploy.bounded import read_json
from qdeploy.build_folder import BUILD_FILE, CACHE_FOLDER
from qdeploy.codegen.c.choices import BALANCED
from qdeploy.errors import UserError
from qdeploy.ir.raw_type import parse_raw_type
from qdeploy.targets.target import Target
from qdeploy.verify.ladder import check_choice

# Options that are paths: stored absolute, read back as paths.
PATHS = ("source", "folding", "data", "frames_from", "labels", "class_names", "cache")
# Values of `fifo_depths`.
SIMULATED, ANALYTIC = "simulated", "analytic"
# Option -> the step that reads it, and what the command line calls it. A target without the step
# has no use for the option.
STEP_OPTIONS = {
    "fps": ("compile", "--fps"),
    "folding": ("compile", "--folding"),
    "clock_mhz": ("compile", "--clock"),
    "max_lut": ("compile", "--max-lut"),
    "max_bram36": ("compile", "--max-bram"),
    "max_dsp": ("compile", "--max-dsp"),
    "fifo_depths": ("size_fifos", "--fifo-depths"),
    "synthesis": ("synthesize", "--no-synthesis"),
    "place_and_route": ("place", "--place-and-route"),
    "mcu": ("generate_c", "--mcu"),
    "optimize": ("generate_c", "--optimize"),
    "prefix": ("generate_c", "--prefix"),
    "max_flash": ("generate_c", "--flash"),
    "max_ram": ("generate_c", "--ram"),
}


@dataclass(frozen=True)
class Options:
    """What `qdeploy export` is to do; stored with the build.

    Args:
        source: run folder or QONNX file.
        target: name.
        board: name, or path of a board's file; None for the target's default.
        fps: frames per second to fold for, None for as fast as fits.
        folding: file with the folding of single layers; the rest is solved for.
        clock_mhz: None for the board's default.
        max_lut, max_bram36, max_dsp: the most that the design may use of the board, None for what
            is usable of it.
        argmax: put out the class instead of the logits.
        frames, rtl_frames: frames for the ladder, and how many of them run in RTL.
        stall, seed: chance of a stall in RTL simulation, and the seed of stalls and random frames.
        require, skip: rungs that must run or are left out.
        synthesis: whether Yosys counts the resources; without it "as fast as fits" rests on the
            estimate alone.
        place_and_route: family of parts to place and route the design for, None for none.
        fifo_depths: "simulated" sizes FIFOs by RTL simulation, "analytic" by the skews of branches.
        data: folder of the data sets.
        output: the one of a file's several outputs that is built.
        input: the integers that a file's input is made of, as `parse_raw_type` takes them.
        frames_from, labels, class_names: files of frames, their labels and the names of the
            classes, for a network from a file.
        cache: folder of results stored by content (synthesized layers, compiled models); None for
            `.cache` beside the build.
        runtime_weights: weights and thresholds are written at run time, so that the design takes
            other networks of the same shape.
        mcu: core that C is compiled and verified for, `host` for this machine alone.
        optimize: what C is made to take little of, one of `codegen.c.choices`.
        prefix: what the names of a network in C begin with.
        max_flash, max_ram: bytes that its constants and its arena may take, None without a limit.
    """

    source: Path
    target: str = "pynq"
    board: str | None = None
    fps: float | None = None
    folding: Path | None = None
    clock_mhz: float | None = None
    max_lut: int | None = None
    max_bram36: int | None = None
    max_dsp: int | None = None
    argmax: bool = False
    frames: int = 1000
    rtl_frames: int = 100
    stall: float = 0.2
    seed: int = 0
    require: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    synthesis: bool = True
    place_and_route: str | None = None
    fifo_depths: str = SIMULATED
    data: Path | None = None
    input: str | None = None
    frames_from: Path | None = None
    labels: Path | None = None
    class_names: Path | None = None
    output: str | None = None
    cache: Path | None = None
    runtime_weights: bool = False
    mcu: str = "host"
    optimize: str = BALANCED
    prefix: str = "network"
    max_flash: int | None = None
    max_ram: int | None = None

    @property
    def most(self) -> dict[str, int | None]:
        """Kind of resource -> the most that the design may use; None for what is usable."""
        return {"lut": self.max_lut, "bram36": self.max_bram36, "dsp": self.max_dsp}

    def check(self, target: Target) -> None:
        """Refuse what is wrong in itself, before anything is done; the steps check their own.

        Raises:
            UserError: an option that the target has no use for, the rungs are as `check_choice`
                does not take them, the input is of no such type, or the cache is a file.
        """
        if self.input is not None:
            parse_raw_type(self.input)
        for option in dataclasses.fields(self):
            step, flag = STEP_OPTIONS.get(option.name, (None, ""))
            if step not in (None, *target.steps) and getattr(self, option.name) != option.default:
                raise _useless(flag, target, f"its builds have no step `{step}`")
        if self.runtime_weights and not target.loads_weights:
            raise _useless(
                "--runtime-weights", target, "its packages do not connect the stream of weights"
            )
        if self.board is not None and target.default_board is None:
            raise _useless("--board", target, "its builds are for no board")
        check_choice(self.require, self.skip, target.rungs)
        if self.cache is not None:
            _check_cache(self.cache)

    def record(self) -> dict[str, Any]:
        """As stored in `build.json`."""
        plain = asdict(self)
        for key in PATHS:
            plain[key] = None if plain[key] is None else str(Path(plain[key]).resolve())
        return plain

    def cache_of(self, folder: Path) -> Path:
        """Where results stored by content are for a build in `folder`."""
        return self.cache or folder.parent / CACHE_FOLDER


def _useless(flag: str, target: Target, why: str) -> UserError:
    return UserError(
        f"the target `{target.name}` has no use for {flag}", why=why, do=f"leave {flag} out"
    )


def _check_cache(cache: Path) -> None:
    there = next((path for path in (cache, *cache.parents) if path.exists()), None)
    if there is not None and not there.is_dir():
        raise UserError(
            f"`{there}` is a file, where a folder for the cache is needed",
            do="give a folder with --cache or QDEPLOY_CACHE; it need not exist yet",
        )


def read_options(folder: Path) -> Options:
    """The options a build was made with.

    Raises:
        UserError: the folder holds no complete build.
    """
    with reading(folder):
        data = read_build_file(folder)["options"]
        for key in ("require", "skip"):
            data[key] = tuple(data[key])
        for key in PATHS:
            data[key] = None if data.get(key) is None else Path(data[key])
        found = TypeAdapter(Options).validate_python(asdict(Options(**data)))
        if min(found.frames, found.rtl_frames) < 1 or not 0 <= found.stall < 1:
            raise ValueError("its frames or its stalls are no such numbers")
        return found


def read_build_file(folder: Path) -> dict[str, Any]:
    """All of `build.json`; to be used within `reading`."""
    data = read_json(folder / BUILD_FILE)
    if not isinstance(data, dict):
        raise TypeError("it is not an object")
    return data


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Around reading `build.json`: what is wrong with it becomes a `UserError`."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"`{folder}` holds no complete build",
            where=str(folder / BUILD_FILE),
            why=str(error),
            do="give the folder that `qdeploy export` named at its end",
        ) from error
