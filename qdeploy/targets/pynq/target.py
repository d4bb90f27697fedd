"""The target `pynq`: hardware for a board of `hw/boards`, packaged for Vivado and PYNQ."""

from __future__ import annotations

from qdeploy.design.manifest import Design
from qdeploy.errors import InternalError
from qdeploy.targets.finished import FinishedBuild
from qdeploy.targets.golden import class_names, golden_frames
from qdeploy.targets.pynq.package import make_package
from qdeploy.targets.pynq.shell import DMA_MAX_BYTES_PER_BEAT, dma_bytes
from qdeploy.targets.target import (
    HARDWARE_PACKAGES,
    HARDWARE_RUNGS,
    HARDWARE_STEPS,
    HARDWARE_TOOLS,
    Target,
)

# Golden frames of a package at least, where the build has as many.
GOLDEN_FRAMES = 64


class PynqTarget(Target):
    """Boards with Zynq or Zynq UltraScale+."""

    name = "pynq"
    summary = "boards with Zynq or Zynq UltraScale+"
    tools = HARDWARE_TOOLS
    packages = HARDWARE_PACKAGES
    steps = HARDWARE_STEPS
    rungs = HARDWARE_RUNGS
    widest_beat = DMA_MAX_BYTES_PER_BEAT
    default_board = "pynq-z2"
    loads_weights = True
    # What Vivado, Yosys and the driver leave.
    use_leaves = (
        "bitstream/",
        "driver/native-",
        "vivado/project/",
        "vivado/vivado.log",
        ".Xil/",
        "open/accelerator",
        "open/utilization.txt",
        "open/synth.ys",
        "open/yosys.log",
    )

    def accept_design(self, design: Design) -> None:
        for stream in (design.input, design.output):
            dma_bytes(stream)

    def package(self, build: FinishedBuild) -> str:
        """See `make_package` for the errors."""
        if build.design is None or build.board is None:
            raise InternalError("a package for pynq needs a design and a board")
        golden = golden_frames(build, GOLDEN_FRAMES)
        make_package(
            build.folder,
            build.design,
            build.board,
            golden.raw,
            golden.outputs,
            preparation=build.graph.prepared,
            meaning=build.graph.head,
            classes=class_names(build),
            input_bits=build.input_bits,
            cycles_per_frame=build.cycles_per_frame,
        )
        return f"{len(golden.raw)} golden frames; `make bitstream` there where Vivado is"


TARGET = PynqTarget()
