"""What a build has come to so far: every step reads the results before it and adds its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from qdeploy.build.observer import BuildObserver
from qdeploy.build.options import Options
from qdeploy.build.source import Source
from qdeploy.devices.boards import Board
from qdeploy.errors import DoesNotFitError, InternalError
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.targets.target import Target
from qdeploy.verify.frames import Frames
from qdeploy.verify.results import RungResult

if TYPE_CHECKING:
    from qdeploy.dataflow.compile import Compiled
    from qdeploy.synth.figures import Resources

T = TypeVar("T")


@dataclass
class BuildState:
    """One build while it goes on.

    Args:
        options: what was requested.
        source, target, board: what the options name, found; no board for a target without boards.
        folder: the build folder, which everything is written to.
        cache: folder of results stored by content.
        observer: is told about every step.

    Attributes:
        graph: the integer graph, as it is in the folder; by the step `lower`.
        notes: what the lowering says of the network, in sentences; by `lower`.
        frames: all frames of the source; by `frames`.
        metrics: of the integer network on the test set, by name; by `score`.
        compiled: the design with everything it was made from; by `compile` and `size_fifos`.
        resources: None without synthesis; by `synthesize`.
        rungs: what the ladder found; by `ladder`.
        tries: how often the design was synthesized.
        reserved: share of each resource of the board that the folding has to leave free.
        too_large: why the design of the try before does not fit.
    """

    options: Options
    source: Source
    target: Target
    board: Board | None
    folder: Path
    cache: Path
    observer: BuildObserver
    graph: IntegerGraph | None = None
    notes: tuple[str, ...] = ()
    frames: Frames | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    compiled: Compiled | None = None
    resources: Resources | None = None
    rungs: list[RungResult] = field(default_factory=list)
    tries: int = 0
    reserved: dict[str, float] = field(default_factory=dict)
    too_large: DoesNotFitError | None = None

    @property
    def verification_frames(self) -> Frames:
        """The frames that every rung gets: the first of the source's, as many as requested."""
        return made(self.frames, "frames").first(self.options.frames)


def made(result: T | None, step: str) -> T:
    """The result of an earlier step.

    Raises:
        InternalError: the step has not run.
    """
    if result is None:
        raise InternalError(f"the result of the step `{step}` is needed, and it has not run")
    return result
