"""The target `pynq`: hardware for a board of `hw/boards`, packaged for Vivado and PYNQ."""

from __future__ import annotations

import numpy as np

from qdeploy.build_folder import INT_FILE
from qdeploy.codegen.onnx.session import IntSimulator
from qdeploy.design.manifest import Design
from qdeploy.errors import InternalError
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.targets.finished import FinishedBuild
from qdeploy.targets.pynq.package import make_package
from qdeploy.targets.pynq.shell import DMA_MAX_BYTES_PER_BEAT, dma_bytes
from qdeploy.targets.target import HARDWARE_RUNGS, HARDWARE_STEPS, Target

# Golden frames of a package at least, where the build has as many.
GOLDEN_FRAMES = 64


class PynqTarget(Target):
    """Boards with Zynq or Zynq UltraScale+."""

    name = "pynq"
    steps = HARDWARE_STEPS
    rungs = HARDWARE_RUNGS
    widest_beat = DMA_MAX_BYTES_PER_BEAT
    default_board = "pynq-z2"
    # What Vivado and the driver leave.
    use_leaves = ("bitstream/", "driver/native-", "vivado/project/", "vivado/vivado.log", ".Xil/")

    def accept_design(self, design: Design) -> None:
        for stream in (design.input, design.output):
            dma_bytes(stream)

    def package(self, build: FinishedBuild) -> str:
        """See `make_package` for the errors.

        The golden frames cover those that ran in RTL; the golden integers are those of the integer
        graph, the reference every level has to equal.
        """
        if build.frames is None or build.design is None or build.board is None:
            raise InternalError("a package for pynq needs frames, a design and a board")
        graph = build.graph
        golden = build.frames.first(max(GOLDEN_FRAMES, build.rtl_frames))
        outputs = IntSimulator(build.folder / INT_FILE).run(golden.codes)[graph.output]
        make_package(
            build.folder,
            build.design,
            build.board,
            golden.raw,
            outputs.astype(np.int64),
            preparation=graph.prepared,
            meaning=graph.head,
            classes=build.classes or _numbers(graph),
            input_bits=build.input_bits,
            cycles_per_frame=build.cycles_per_frame,
        )
        return f"{len(golden.raw)} golden frames; `make bitstream` there where Vivado is"


def _numbers(graph: IntegerGraph) -> tuple[str, ...]:
    """Numbers for names of the classes."""
    return tuple(str(index) for index in range(graph.tensors[graph.logits].shape[0]))


TARGET = PynqTarget()
