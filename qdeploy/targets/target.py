"""What a target declares and does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from qdeploy.design.manifest import Design
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.targets.finished import FinishedBuild

# Of builds with hardware that FINN and the RTL library make.
HARDWARE_STEPS = (
    "lower",
    "check_hardware",
    "frames",
    "score",
    "compile",
    "size_fifos",
    "synthesize",
    "time_paths",
    "place",
    "estimate",
    "ladder",
    "package",
    "record",
)
HARDWARE_RUNGS = (
    "torch",
    "qonnx",
    "int",
    "dataflow",
    "memories",
    "layer",
    "rtl",
    "netlist layer",
    "netlist",
)

# What these builds need besides.
HARDWARE_PACKAGES = ("finn-plus",)
HARDWARE_TOOLS = ("verilator", "g++", "make", "yosys")


class Target(ABC):
    """Makes a deployment package of a finished build, and rejects early what it cannot deploy.

    Attributes:
        name: what `--target` calls it.
        summary: what it is for, in a few words.
        tools: programs of `qdeploy.tools` that its builds use.
        packages: Python packages that qdeploy does not always bring.
        steps: the steps of its builds by name, in order; `qdeploy.build.steps` has them. A step's
            options, such as `--fps`, are refused for a target that does not declare the step.
        rungs: the rungs of its ladder by name; `qdeploy.verify.ladder.RUNGS` has them.
        widest_beat: bytes of a beat that its host can send or take; None without a limit. The
            folding keeps to it.
        default_board: the board to build for when none is named; None for a target without boards.
        folder_suffix: what its builds' folders have after the name of the board, so that two
            targets for one board do not share a folder.
        loads_weights: whether its packages connect the stream of weights that a design with
            `--runtime-weights` has.
        use_leaves: names and beginnings of names, with `/`, of what using a package leaves in it.
    """

    name: ClassVar[str]
    steps: ClassVar[tuple[str, ...]]
    rungs: ClassVar[tuple[str, ...]] = ()
    summary: ClassVar[str] = ""
    tools: ClassVar[tuple[str, ...]] = ()
    packages: ClassVar[tuple[str, ...]] = ()
    widest_beat: ClassVar[int | None] = None
    default_board: ClassVar[str | None] = None
    folder_suffix: ClassVar[str] = ""
    use_leaves: ClassVar[tuple[str, ...]] = ()
    loads_weights: ClassVar[bool] = False

    def accept_graph(self, graph: IntegerGraph) -> None:
        """Reject a network that the target cannot run, before anything is made of it.

        Raises:
            UnsupportedLayerError: says why.
        """
        return

    def accept_design(self, design: Design) -> None:
        """Reject a design that the target cannot hold, before it is sized and synthesized.

        Raises:
            FoldingError: says why.
        """
        return

    @abstractmethod
    def package(self, build: FinishedBuild) -> str:
        """Make the package in the build folder; one line about it, for people."""
