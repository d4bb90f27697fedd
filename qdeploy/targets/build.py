"""A build: from a trained run or a QONNX file to a verified, synthesized package, step by step.

    QONNX -> integer graph -> FINN and RTL -> synthesis -> ladder -> package

Everything is made in a temporary folder that takes the build's name at the end: an interrupted
build leaves the previous one as it was. A build whose ladder fails is kept for inspection.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qdeploy import provenance
from qdeploy.artifacts import atomic_folder, sha256, write_json
from qdeploy.boards import Board, load_board
from qdeploy.dataflow.compile import HARDWARE_FILE, Compiled, compile_graph, hardware_layers
from qdeploy.dataflow.design import Design
from qdeploy.errors import DoesNotFitError, ToolMissingError, UserError, VerificationError
from qdeploy.lowering.integer_graph import ArgMax, IntegerGraph
from qdeploy.synth.figures import Resources
from qdeploy.targets.frames import Frames, load_frames, save_frames
from qdeploy.targets.registry import Package, find_target
from qdeploy.targets.source import Source, open_source
from qdeploy.verify.ladder import climb, failure
from qdeploy.verify.levels import Levels
from qdeploy.verify.results import Rung, write_verify
from qdeploy.verify.rungs import INT_FILE, QONNX_FILE, RTL_FOLDER

if TYPE_CHECKING:
    from torch import nn

BUILD_FILE = "build.json"
SYNTH_FOLDER = "synth"
CACHE_FOLDER = ".cache"
# Options that are paths: stored absolute, read back as paths.
PATHS = ("source", "data", "cache")
# Each further try of "as fast as fits" allows this much more time a frame.
SLOWER = 1.3
TRIES = 4


@dataclass(frozen=True)
class Options:
    """What `qdeploy export` was asked for; stored with the build.

    Args:
        source: run folder or QONNX file.
        target, board: names.
        fps: frames per second to fold for, None for as fast as fits.
        clock_mhz: None for the board's default.
        argmax: put out the class instead of the logits.
        frames, rtl_frames: frames for the ladder, and how many of them run in RTL.
        stall, seed: chance of a stall in RTL simulation, and the seed of stalls and random frames.
        require, skip: rungs that must run or are left out.
        synthesis: whether Yosys counts the resources; without it "as fast as fits" rests on the
            estimate alone.
        data: folder of the data sets.
        cache: folder of results kept by content (synthesized layers, compiled models); None for
            `.cache` beside the build.
    """

    source: Path
    target: str = "pynq"
    board: str = "pynq-z2"
    fps: float | None = None
    clock_mhz: float | None = None
    argmax: bool = False
    frames: int = 1000
    rtl_frames: int = 100
    stall: float = 0.2
    seed: int = 0
    require: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    synthesis: bool = True
    data: Path | None = None
    cache: Path | None = None

    def record(self) -> dict[str, Any]:
        """As stored in `build.json`."""
        plain = dataclasses.asdict(self)
        for key in PATHS:
            plain[key] = None if plain[key] is None else str(Path(plain[key]).resolve())
        return plain


@dataclass(frozen=True)
class Observer:
    """What a caller wants to hear about while a build goes on."""

    stage: Callable[[str], None] = lambda name: None
    done: Callable[[str, float, str], None] = lambda name, seconds, result: None
    rung: Callable[[Rung], None] = lambda rung: None


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
    with _stage(watch, "read the network") as say:
        source = source or open_source(options.source, options.data)
        say(source.describe())
    folder = out or default_folder(source.name, board.name)
    _refuse_foreign(folder)
    cache = options.cache or folder.parent / CACHE_FOLDER
    with atomic_folder(folder) as work:
        finished = _Pipeline(options, source, board, target, work, cache, watch).run()
    return Build(folder, finished, failure(finished))


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
    with _stage(watch, "read the build"):
        graph = _lower(folder, options.argmax)
        network = _network(options.source)
        proven = load_frames(folder).first(frames or options.frames)
    levels = Levels(
        folder,
        graph,
        network,
        proven.codes,
        options.cache or folder.parent / CACHE_FOLDER,
        rtl_frames=rtl_frames or options.rtl_frames,
        stall=options.stall,
        seed=seed,
    )
    rungs = climb(levels, require=require, skip=skip, report=watch.rung)
    write_verify(folder, rungs)
    return Build(folder, rungs, failure(rungs))


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


@contextlib.contextmanager
def _stage(watch: Observer, name: str) -> Iterator[Callable[[str], None]]:
    watch.stage(name)
    start, said = time.monotonic(), [""]

    def say(result: str) -> None:
        said[0] = result

    yield say
    watch.done(name, time.monotonic() - start, said[0])


def _refuse_foreign(folder: Path) -> None:
    """A folder that is no build is not replaced."""
    if folder.exists() and not (folder / BUILD_FILE).exists() and any(folder.iterdir()):
        raise UserError(
            f"`{folder}` exists and is not a build",
            why="a build replaces the whole folder",
            do="give another folder with --out, or remove it yourself",
        )


def _lower(folder: Path, argmax: bool) -> IntegerGraph:
    from qdeploy.lowering.lower import lower

    return lower(folder / QONNX_FILE, argmax=argmax)


def _network(source: Path) -> nn.Module | None:
    if not source.is_dir():
        return None
    return open_source(source, None).network


@dataclass
class _Pipeline:
    """The steps of one build inside its temporary folder."""

    options: Options
    source: Source
    board: Board
    target: Package
    work: Path
    cache: Path
    watch: Observer

    def run(self) -> list[Rung]:
        graph = self._lowered()
        frames = self._frames(graph)
        accuracy = self._accuracy(graph, frames)
        compiled, resources = self._design(graph)
        proven = frames.first(self.options.frames)
        save_frames(self.work, proven)
        rungs = self._ladder(graph, proven)
        with _stage(self.watch, f"package for {self.options.target}") as say:
            say(self.target(self.work, compiled.design, self.board, graph, self.source, proven))
        self._record(graph, frames, accuracy, resources)
        return rungs

    def _lowered(self) -> IntegerGraph:
        with _stage(self.watch, "export QONNX and lower to integers") as say:
            from qdeploy.lowering.emit_onnx import emit_onnx

            self.source.write_qonnx(self.work / QONNX_FILE)
            graph = _lower(self.work, self.options.argmax)
            graph = dataclasses.replace(graph, name=self.source.name)
            hardware_layers(graph)  # a layer without hardware is refused here, in seconds
            emit_onnx(graph, self.work / INT_FILE, taps=False)
            say(f"{len(graph.nodes)} integer nodes, {graph.weights_of():,} weights")
        return graph

    def _frames(self, graph: IntegerGraph) -> Frames:
        return self.source.frames(graph, self.options.frames, self.options.seed)

    def _accuracy(self, graph: IntegerGraph, frames: Frames) -> float | None:
        """Accuracy of the integer network on the test set, None where there is none."""
        tested = frames.first(frames.tested)
        if not frames.tested:
            return None
        from qdeploy.lowering.simulator import IntSimulator

        with _stage(self.watch, "integer network on the test set") as say:
            result = IntSimulator(self.work / INT_FILE).run(tested.codes)[graph.output]
            classes = result.reshape(len(result), -1)
            if not isinstance(graph.producer(graph.output), ArgMax):
                classes = classes.argmax(axis=1)
            accuracy = float(np.mean(classes.reshape(-1) == tested.labels))
            say(f"{accuracy:.2%} of {frames.tested:,} frames")
        return accuracy

    def _design(self, graph: IntegerGraph) -> tuple[Compiled, Resources | None]:
        """Compile and synthesize; "as fast as fits" folds slower until synthesis agrees."""
        from qdeploy.synth.fit import check_fit

        fps, tries = self.options.fps, TRIES if self.options.fps is None else 1
        while True:
            compiled = self._compiled(graph, fps)
            resources = self._synthesized(compiled.design)
            if resources is None:
                return compiled, None
            tries -= 1
            try:
                check_fit(resources, self.board, compiled.design.clock_mhz)
            except DoesNotFitError:
                if not tries:
                    raise
                design = compiled.design
                fps = design.clock_mhz * 1e6 / (design.cycles_per_frame * SLOWER)
            else:
                resources.save(self.work)
                return compiled, resources

    def _compiled(self, graph: IntegerGraph, fps: float | None) -> Compiled:
        with _stage(self.watch, "FINN: hardware layers, folding, RTL") as say:
            compiled = compile_graph(
                graph,
                self.board,
                self.work / RTL_FOLDER,
                clock_mhz=self.options.clock_mhz,
                fps=fps,
            )
            design = compiled.design
            say(f"{len(design.layers)} layers, {design.cycles_per_frame:,} cycles a frame expected")
        return compiled

    def _synthesized(self, design: Design) -> Resources | None:
        from qdeploy.synth.synthesize import synthesize

        if not self.options.synthesis:
            return None
        with _stage(self.watch, "synthesis with Yosys") as say:
            try:
                resources = synthesize(
                    self.work / RTL_FOLDER,
                    design,
                    self.work / SYNTH_FOLDER,
                    self.board,
                    store=self.cache / "modules",
                )
            except ToolMissingError as error:
                say(f"skipped: {error.what}")
                return None
            total = resources.total
            say(f"{total.lut:,} LUT, {total.ff:,} FF, {total.bram36:g} BRAM36, {total.dsp} DSP")
        return resources

    def _ladder(self, graph: IntegerGraph, frames: Frames) -> list[Rung]:
        levels = Levels(
            self.work,
            graph,
            self.source.network,
            frames.codes,
            self.cache,
            rtl_frames=self.options.rtl_frames,
            stall=self.options.stall,
            seed=self.options.seed,
        )
        rungs = climb(
            levels,
            require=self.options.require,
            skip=self.options.skip,
            report=self.watch.rung,
        )
        write_verify(self.work, rungs)
        return rungs

    def _record(
        self,
        graph: IntegerGraph,
        frames: Frames,
        accuracy: float | None,
        resources: Resources | None,
    ) -> None:
        if self.source.recipe_file is not None:
            shutil.copy(self.source.recipe_file, self.work / "recipe.yaml")
        write_json(
            self.work / BUILD_FILE,
            {
                "name": self.source.name,
                "options": self.options.record(),
                "frames": frames.source,
                "accuracy_int": accuracy,
                "synthesized": resources is not None,
                "logit_scale": float(graph.logit_scale),
                "files": {
                    name: sha256(self.work / name) for name in (QONNX_FILE, INT_FILE, HARDWARE_FILE)
                },
                **provenance.record(),
            },
        )
