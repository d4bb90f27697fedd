"""The target `ip`: the core with AXI-Stream in and out, packaged for the user's own design."""

from __future__ import annotations

import numpy as np

from qdeploy.build_folder import INT_FILE
from qdeploy.codegen.onnx.session import IntSimulator
from qdeploy.errors import InternalError
from qdeploy.targets.finished import FinishedBuild
from qdeploy.targets.ip.package import make_package
from qdeploy.targets.ip.texts import module_name
from qdeploy.targets.target import HARDWARE_RUNGS, HARDWARE_STEPS, Target

# The widest TDATA of AMD's AXI-Stream infrastructure.
MAX_BYTES_PER_BEAT = 512
# Golden frames of a package at least, where the build has as many.
GOLDEN_FRAMES = 16


class IpTarget(Target):
    """Any design: the board only says how large the FPGA is, and its clock."""

    name = "ip"
    steps = HARDWARE_STEPS
    rungs = HARDWARE_RUNGS
    widest_beat = MAX_BYTES_PER_BEAT
    default_board = "pynq-z2"
    folder_suffix = "-ip"
    # What simulators, FuseSoC and Vivado leave.
    use_leaves = ("sim/", "build/", "ip/", "ip.log", "vivado/project/", ".Xil/")

    def package(self, build: FinishedBuild) -> str:
        """See `make_package` for the errors.

        The golden frames cover those that ran in RTL, as far as their files stay short; what must
        come out are the integers of the integer graph, the reference every level has to equal.
        """
        if build.frames is None or build.design is None:
            raise InternalError("a package of IP needs frames and a design")
        graph = build.graph
        golden = build.frames.first(max(GOLDEN_FRAMES, build.rtl_frames))
        outputs = IntSimulator(build.folder / INT_FILE).run(golden.codes)[graph.output]
        make_package(
            build.folder,
            build.design,
            golden.codes,
            outputs.astype(np.int64),
            preparation=graph.prepared,
            meaning=graph.head,
            classes=build.classes
            or tuple(str(index) for index in range(graph.tensors[graph.logits].shape[0])),
            input_bits=build.input_bits,
            cycles_per_frame=build.cycles_per_frame,
            latency_cycles=build.latency_cycles,
        )
        return f"module `{module_name(build.design)}`; `make sim` there runs its testbench"


TARGET = IpTarget()
