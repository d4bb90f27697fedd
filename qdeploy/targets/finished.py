"""What a target gets: everything a build has come to, in one value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qdeploy.design.manifest import Design
from qdeploy.devices.boards import Board
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.verify.frames import Frames


@dataclass(frozen=True)
class FinishedBuild:
    """A build whose steps before the package are done.

    Args:
        folder: the build folder; its files are named in `qdeploy.build_folder`.
        graph: the integer graph, as it is in the folder.
        classes: names of the classes, empty where unknown.
        input_bits: width of an input code: code = raw value >> (8 - input_bits).
        proven: whether a rung of the ladder ran; the build is UNPROVEN otherwise.
        frames: those the build was verified with; None for a target without the step `frames`.
        rtl_frames: how many of them ran in RTL: what a self-test on the board should cover.
        board: None for a target without boards.
        design: the stitched design, None for a target without hardware.
        cycles_per_frame: measured in RTL simulation; None where there was none.
        latency_cycles: likewise, from the first input beat of a frame to its last output beat, both
            counted, without pauses.
    """

    folder: Path
    graph: IntegerGraph
    classes: tuple[str, ...] = ()
    input_bits: int = 8
    proven: bool = False
    frames: Frames | None = None
    rtl_frames: int = 100
    board: Board | None = None
    design: Design | None = None
    cycles_per_frame: int | None = None
    latency_cycles: int | None = None
