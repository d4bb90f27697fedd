"""The target `ip`: the core with AXI-Stream in and out, packaged for the user's own design."""

from __future__ import annotations

from qdeploy.errors import InternalError
from qdeploy.targets.finished import FinishedBuild
from qdeploy.targets.golden import class_names, golden_frames
from qdeploy.targets.ip.package import make_package
from qdeploy.targets.ip.texts import module_name
from qdeploy.targets.target import (
    HARDWARE_PACKAGES,
    HARDWARE_RUNGS,
    HARDWARE_STEPS,
    HARDWARE_TOOLS,
    Target,
)

# The widest TDATA of AMD's AXI-Stream infrastructure.
MAX_BYTES_PER_BEAT = 512
# Golden frames of a package at least, where the build has as many.
GOLDEN_FRAMES = 16


class IpTarget(Target):
    """Any design: the board only says how large the FPGA is, and its clock."""

    name = "ip"
    summary = "a core for any design on an FPGA"
    tools = HARDWARE_TOOLS
    packages = HARDWARE_PACKAGES
    steps = HARDWARE_STEPS
    rungs = HARDWARE_RUNGS
    widest_beat = MAX_BYTES_PER_BEAT
    default_board = "pynq-z2"
    folder_suffix = "-ip"
    loads_weights = True
    # What simulators, FuseSoC and Vivado leave.
    use_leaves = ("sim/", "build/", "ip/", "ip.log", "vivado/project/", ".Xil/")

    def package(self, build: FinishedBuild) -> str:
        """See `make_package` for the errors; golden frames are fewer where their files would be
        long."""
        if build.design is None:
            raise InternalError("a package of IP needs a design")
        golden = golden_frames(build, GOLDEN_FRAMES)
        make_package(
            build.folder,
            build.design,
            golden.codes,
            golden.outputs,
            preparation=build.graph.prepared,
            meaning=build.graph.head,
            classes=class_names(build),
            input_bits=build.input_bits,
            cycles_per_frame=build.cycles_per_frame,
            latency_cycles=build.latency_cycles,
        )
        return f"module `{module_name(build.design)}`; `make sim` there runs its testbench"


TARGET = IpTarget()
