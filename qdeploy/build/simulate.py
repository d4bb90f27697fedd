"""Frames through a build: what the accelerator would say of them, and how good that is.

int    the integer network in onnxruntime: thousands of frames in seconds
rtl    the stitched design in Verilator: the same codes, cycle by cycle
c      the C sources of a build for target `c`, compiled for this machine
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import numpy.typing as npt

from qdeploy.build.devices import CDevice, IntDevice, RtlDevice
from qdeploy.build.options import Options, read_options
from qdeploy.build.scores import by_class, classes_of, finds_classes, scores
from qdeploy.build.source import open_source
from qdeploy.build_folder import GRAPH_FILE, read_build
from qdeploy.build_records import ClassesRecord
from qdeploy.errors import UserError
from qdeploy.ir.file import read_graph
from qdeploy.ir.integer_graph import IntArray, IntegerGraph
from qdeploy.observer import SILENT, Observer
from qdeploy.verify.frames import Frames, load_frames
from qdeploy.verify.frames_of_files import frames_of_files

if TYPE_CHECKING:
    from qdeploy.data.given_frames import GivenFrames

Level = Literal["int", "rtl", "c"]
LEVELS: tuple[Level, ...] = get_args(Level)


@dataclass(frozen=True)
class Simulation:
    """What came out.

    Args:
        level: where it ran.
        frames: what went in.
        classes: (N,) the class of each frame; empty where the output is a map, or numbers.
        output: (N, …) integers, as the accelerator puts them out.
        logits: (N, K) their values as float64, None where the output is a class or a map.
        metrics: by name, as `scores` gives them; empty without labels.
        by_class: class by class, None without labels.
        seconds: of the simulation, without its preparation.
        cycles_per_frame: at level rtl.
    """

    level: Level
    frames: Frames
    classes: npt.NDArray[np.int64]
    output: IntArray = field(repr=False)
    logits: npt.NDArray[np.float64] | None = field(repr=False)
    metrics: dict[str, float]
    by_class: ClassesRecord | None
    seconds: float
    cycles_per_frame: int | None = None


def simulate(
    folder: Path,
    *,
    level: Level = "int",
    count: int | None = None,
    frames_from: Path | GivenFrames | None = None,
    labels: Path | None = None,
    data: Path | None = None,
    threads: int = 1,
    observer: Observer = SILENT,
) -> Simulation:
    """Send frames through a build.

    Args:
        count: frames at most, the first ones; None for all.
        frames_from, labels: as for `export`, or frames in memory; without them the test set of the
            run, or the frames that are in the build.
        data: folder of the data sets; where the build had them when None.
        threads: passes of onnxruntime, or programs in C, at one time.

    Raises:
        UserError: the folder holds no build, no design for `rtl`, or no C sources for `c`.
        DataError: frames or labels are not those of the network, or the data set is not there.
        CheckpointError: the run of the build is not there, or another one.
        ToolMissingError: Verilator, g++ or make is not installed, for `rtl`, or gcc for `c`.
        VerificationError: the C sources do not compile, or fail when they run.
    """
    if level not in LEVELS:
        raise UserError(f"there is no level `{level}`", do=f"choose one of {', '.join(LEVELS)}")
    options = read_options(folder)
    graph = read_graph(folder / GRAPH_FILE)
    frames = _frames(folder, options, graph, frames_from, labels, data, observer)
    if count is not None:
        frames = frames.first(count)
    device = _device(level, folder, graph, options, threads)
    ran = device.run(frames.codes, observer)
    output = ran.output
    is_map = len(graph.tensors[graph.output].shape) > 1
    source = (read_build(folder) or {}).get("source") or {}
    numbers = bool(source.get("predicts_numbers"))
    classes = np.zeros(0, np.int64)
    if not is_map and not numbers:
        classes = classes_of(graph, output).astype(np.int64)
    plain = is_map or finds_classes(graph)
    tested = (
        frames.masks is not None
        or frames.targets is not None
        or (not numbers and bool((frames.labels >= 0).all()))
    )
    metrics = scores(graph, frames, output) if tested else {}
    names = tuple(source.get("classes") or ())
    return Simulation(
        level,
        frames,
        classes,
        output,
        None if plain else graph.head.values(output),
        metrics,
        by_class(graph, frames, output, names) if tested else None,
        ran.seconds,
        ran.cycles_per_frame,
    )


def _device(
    level: Level, folder: Path, graph: IntegerGraph, options: Options, threads: int
) -> IntDevice | RtlDevice | CDevice:
    if level == "rtl":
        return RtlDevice(folder, options)
    return (IntDevice if level == "int" else CDevice)(folder, graph, threads)


def _frames(
    folder: Path,
    options: Options,
    graph: IntegerGraph,
    given: Path | GivenFrames | None,
    labels: Path | None,
    data: Path | None,
    observer: Observer,
) -> Frames:
    if given is not None:
        from qdeploy.data.given_frames import read_frames, read_labels

        found = read_frames(given) if isinstance(given, Path) else given
        told = found.labels if labels is None else read_labels(labels, found)
        return frames_of_files(graph, found, told, given.name if isinstance(given, Path) else "x")
    if labels is not None:
        raise UserError(
            "there are labels, and no frames that they are of",
            where=str(labels),
            do="give the frames with --frames-from",
        )
    source = Path(options.source)
    if not source.is_dir():
        return load_frames(folder)
    run = open_source(source, data or options.data, observer)
    frames = run.frames(graph, 1, options.seed)
    return frames.first(frames.tested) if frames.tested else frames
